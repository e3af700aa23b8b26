"""Real processes without seconds of imports: children forked from a server that has loaded ftkit and never trained.

A child is a process like any other: it has its own pid, can be killed, and ends with the exit code of the command.
What must be seen from a cold start (imports, the console script, environment variables that libraries read when they
load) is run by `subprocess` instead.
"""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    ["ftkit.fine_tuning", "ftkit.cli.main", "ftkit.runs.comparison", "ftkit.serving.batch", "ftkit.serving.server"]
)


def child(argv: list[str], cwd: str, env: dict[str, str], files: tuple[str, str], before) -> None:
    "In the forked process: the command, with its output in files"
    import torch

    import ftkit.views.html
    from ftkit.cli.main import main

    gc.freeze()  # the Trainer calls the collector in every run
    ftkit.views.html.to_png = lambda figure, **keys: b""  # the report's pictures take a third of a small run

    torch.set_num_threads(1)  # several processes share the cores
    multiprocessing.set_start_method("fork", force=True)  # as in a process that was not forked from a server
    os.chdir(cwd)
    os.environ.update(env)
    for number, file in zip((1, 2), files):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))
    if before:
        before()
    sys.exit(main(argv))


class Command:
    "A command that runs: `pid`, `send_signal`, `wait`, `stdout`, `stderr`"

    def __init__(
        self,
        *argv,  # of ftkit
        cwd: Path,  # where it runs
        env: dict[str, str] | None = None,  # next to the environment of the tests
        before=None,  # a function of a module, called in the child before the command
    ):
        scratch = Path(cwd).parent / f".output-{time.monotonic_ns()}"
        self.files = str(scratch) + ".out", str(scratch) + ".err"
        self.process = context.Process(
            target=child,
            args=([str(a) for a in argv], str(cwd), {"HF_HUB_OFFLINE": "1", **(env or {})}, self.files, before),
        )
        self.process.start()
        self.pid = self.process.pid

    def send_signal(self, number: int) -> None:
        "As the kernel, a terminal or a scheduler would"
        os.kill(self.pid, number)

    def poll(self) -> int | None:
        "The exit code, None while it runs"
        return self.process.exitcode

    def wait(self, timeout: float = 280) -> int:
        "The exit code; minus the signal's number where one ended it"
        self.process.join(timeout)
        if self.process.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired("ftkit", timeout)
        return self.process.exitcode

    @property
    def stdout(self) -> str:
        "What it has written so far"
        return Path(self.files[0]).read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        "What it has complained about so far"
        return Path(self.files[1]).read_text(encoding="utf-8", errors="replace")

    def result(self, timeout: float = 280) -> subprocess.CompletedProcess:
        "As `subprocess.run` gives it"
        code = self.wait(timeout)
        return subprocess.CompletedProcess("ftkit", code, self.stdout, self.stderr)
