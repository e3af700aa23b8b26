"""The two child processes of a panel: `ftkit train`, and a worker that answers what needs torch.

A training outlives the kernel: it has a session of its own, writes its lines to a file, and is found again by its
run folder.
"""

import json
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from ftkit.errors import UserError
from ftkit.files.atomic import format_bytes
from ftkit.runs.folder import RunFolder, check_name
from ftkit.settings import KEYS, Settings, format_value

INTERRUPTED, TERMINATED = 130, 143  # exit codes of a command that was stopped
logger = logging.getLogger(__name__)
LOGS = Path(".cache") / "panel"  # in runs_dir: what a training wrote on its terminal


def changed_keys(
    settings: Settings,  # the experiment
) -> dict[str, object]:
    "Return the keys that differ from the defaults of their task and method, and the fields of `TrainingArguments`"
    default, own = Settings(), {}
    for name in ("task", "method", *KEYS):  # each of the first two changes the defaults of those after it
        if name not in own and (value := getattr(settings, name)) != getattr(default, name):
            own[name] = value
            default = default.replace(**{name: value}) if name in ("task", "method") else default
    return own | settings.training_arguments


def to_flags(
    settings: Settings,  # the experiment
) -> list[str]:
    "Return the words after `ftkit train` that give these settings"
    words = []
    for name, value in changed_keys(settings).items():
        text = json.dumps(value) if name not in KEYS and isinstance(value, list | dict) else format_value(value)
        words.append(f"--{name}={text}" if text.startswith("-") else f"--{name}")
        words += [] if text.startswith("-") else [text]
    return words


class Training:
    "One `ftkit train`: of this panel, or of somebody else if only its folder is known"

    def __init__(
        self,
        folder: Path,  # of the run; it may not exist yet
        process: subprocess.Popen | None = None,  # if this kernel started it
    ):
        self.folder, self.process = folder, process
        self.log = folder.parent / LOGS / f"{folder.name}.log"

    @classmethod
    def start(
        cls,
        words: list[str],  # of the command, after `ftkit train`
        folder: Path,  # of the run
    ) -> "Training":
        "Start the command in a session of its own. Raises `UserError` if its lines cannot be written"
        training = cls(folder)
        try:
            training.log.parent.mkdir(parents=True, exist_ok=True)
            with open(training.log, "wb") as log:
                training.process = subprocess.Popen(
                    [sys.executable, "-m", "ftkit", "train", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # neither the stop button nor the end of the kernel reaches it
                )
        except OSError as e:
            raise UserError(
                f"{folder.parent}: no run can be written there ({e.strerror}). Give another runs_dir."
            ) from None
        return training

    @property
    def is_running(self) -> bool:
        "Return whether the command has not ended, or whether a process holds the lock of the run"
        if self.process is not None and self.process.poll() is None:
            return True
        return RunFolder(self.folder).is_alive()

    @property
    def lines(self) -> list[str]:
        "Return what the command wrote, without empty lines"
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return [line.rsplit("\r", 1)[-1].strip() for line in text.splitlines() if line.strip()]

    @property
    def failure(self) -> str | None:
        "Return the line with which the command was refused or died, or None. What run.json says is not repeated"
        code = self.process and self.process.poll()
        if code in (None, 0, INTERRUPTED, TERMINATED):
            return None
        with suppress(UserError):
            if (RunFolder(self.folder).read().get("process") or {}).get("pid") == self.process.pid:
                return None
        if code < 0:
            return f"ftkit train was killed by signal {-code}."
        said = [line.removeprefix("ftkit: ") for line in self.lines if line.startswith("ftkit: ")]
        return said[-1] if said else f"ftkit train ended with exit code {code}: see {self.log}"

    def stop(self) -> None:
        "Send the signal of a stop button. Raises `UserError` if it cannot be sent"
        if self.process is not None and self.process.poll() is None:
            return self.process.send_signal(signal.SIGTERM)  # a child may have inherited that SIGINT is ignored
        known = RunFolder(self.folder).read().get("process") or {}
        if not RunFolder(self.folder).is_alive():
            raise UserError(f"{self.folder.name}: no process works on this run.")
        if known.get("host") != platform.node() or not isinstance(known.get("pid"), int) or known["pid"] < 2:
            raise UserError(f"{self.folder.name}: it runs on {known.get('host') or 'another machine'}. Stop it there.")
        try:
            os.kill(known["pid"], signal.SIGINT)
        except OSError as e:
            raise UserError(f"{self.folder.name}: its process cannot be stopped from here ({e.strerror}).") from None


def new_name(
    runs_dir: Path,  # the folder of the runs
) -> str:
    "Return date and time as the name of a new run, with a number if that is taken"
    stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    names = (stamp if n == 1 else f"{stamp}-{n}" for n in range(1, 1000))
    return next(name for name in names if not os.path.exists(runs_dir / name))


def start_run(
    settings: Settings,  # the experiment
    runs_dir: Path,  # for the new run folder
    name: str | None = None,  # of the run; default: date and time
) -> Training:
    "Start a new run. Raises `UserError` if its name is taken"
    check_name(name, runs_dir)
    name = name or new_name(runs_dir)
    return Training.start([*to_flags(settings), "--run", name, "--runs_dir", str(runs_dir)], runs_dir / name)


def resume_run(
    folder: Path,  # of a run that was stopped, failed or killed
) -> Training:
    "Resume a run. Raises `UserError` if it is at work or finished"
    run = RunFolder.load(folder.absolute())
    if run.is_alive():
        raise UserError(f"{folder.name}: a process is working on this run. Stop it first.")
    if run.status == "finished":
        raise UserError(f"{folder.name}: it is finished. Start a new run.")
    return Training.start(["--resume", str(folder.absolute()), "--runs_dir", str(folder.parent)], folder)


class Worker:
    """A child process that answers questions, one after the other; see `ftkit.panels.worker`.

    If it dies, the question gets an error as its answer, and the next one starts another.
    """

    def __init__(self):
        self.process, self.waiting, self.turn, self.number = None, {}, threading.Lock(), 0

    def ask(
        self,
        what: str,  # one of `ftkit.panels.worker.ANSWERS`
        callback: Callable[[dict], None],  # gets the answer, or `{"error": …}`, in another thread
        **question,  # its arguments
    ) -> None:
        "Send a question and return at once"
        with self.turn:
            if self.process is None or self.process.poll() is not None:
                self.begin()
            self.number += 1
            self.waiting[self.number] = callback
            line = json.dumps({"number": self.number, "what": what, **question})
            try:
                self.process.stdin.write(line + "\n")
                self.process.stdin.flush()
            except OSError:  # it has just died: its reader answers for it
                pass

    def call(
        self,
        what: str,  # one of `ftkit.panels.worker.ANSWERS`
        timeout: float = 300,  # seconds
        **question,  # its arguments
    ) -> dict:
        "Send a question and wait for its answer"
        done, found = threading.Event(), {}
        self.ask(what, lambda answer: (found.update(answer), done.set()), **question)
        if not done.wait(timeout):
            raise UserError(f"{what}: no answer within {timeout:.0f} s.")
        return found

    def begin(self) -> None:
        "Start the process and the thread that reads its answers"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ftkit.panels.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self.waiting = {}  # the questions of this process alone
        threading.Thread(target=self.read, args=(self.process, self.waiting), daemon=True).start()

    def read(
        self,
        process: subprocess.Popen,  # whose answers to read until it ends
        waiting: dict[int, Callable],  # its questions
    ) -> None:
        "Hand each answer to who asked"
        for line in process.stdout:
            answer = json.loads(line)
            callback = waiting.pop(answer.pop("number"), None)
            if callback:
                hand_over(callback, answer)
        code = process.wait()
        free = f"{format_bytes(free_memory())} of memory are free" if code == -signal.SIGKILL else f"exit code {code}"
        while waiting:
            why = f"the process that answers has died ({free})"
            _, callback = waiting.popitem()
            hand_over(callback, {"error": f"{why}. Try again, with fewer rows if it dies again."})

    def close(self) -> None:
        "End the process; its open questions are forgotten"
        with self.turn:
            process, self.process = self.process, None
            self.waiting.clear()
        if process is not None and process.poll() is None:
            process.terminate()


def hand_over(
    callback: Callable[[dict], None],  # of a question
    answer: dict,  # to it
) -> None:
    "Call back. A fault in one answer does not end the others"
    try:
        callback(answer)
    except Exception:
        logger.exception("an answer could not be shown")


def free_memory() -> int:
    "Return the bytes of memory that are free on this machine"
    import psutil

    return psutil.virtual_memory().available
