"""Runs that are stopped, killed or fail at a known moment: exit code, record, leftovers, resume to the same bits.

A moment is the k-th call of a function in a process of its own. Signals are real: the process sends them to itself, or
has another send them.
"""

import errno
import json
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from conftest import mark_slow, small_rows, write_csv
from processes import Command
from runs import TASK, make_flags, read_fingerprint, wait_for

from ftkit.cli.main import main
from ftkit.errors import NOTHING_MADE, RunFailed, UserError
from ftkit.fine_tuning import TASKS, Run
from ftkit.runs.checkpoints import find_newest
from ftkit.runs.folder import RunFolder
from ftkit.settings import CLASSIFICATION
from survival.commands import COLUMNS, get_line, start_training

INT, TERM, KILL, NOTHING = signal.SIGINT, signal.SIGTERM, signal.SIGKILL, 0
KEYS = {
    **COLUMNS,
    "baselines": "majority,tfidf",
    "dropout": 0.1,
    "num_resamples": 200,
    "num_train_epochs": 3,
    "save_total_limit": 2,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 2,
    "logging_steps": 1,
    "learning_rate": 1e-3,
}
STEP, EVALUATION = (
    "ftkit.trainer.OrderedTrainer.training_step",
    "transformers.Trainer.prediction_step",
)  # 6 of them in each of 3 epochs; 3 in each evaluation
HASH = "ftkit.runs.checkpoints.sha256_file"

OWNER = f"{type(TASKS[TASK]).__module__}.{type(TASKS[TASK]).__qualname__}"
KIND = "ForSequenceClassification" if TASK == CLASSIFICATION else "LMHeadModel"
FIT = {True: "linear_model.LogisticRegression.fit", False: "feature_extraction.text.TfidfVectorizer.fit_transform"}
RUNG = f"sklearn.{FIT[TASK == CLASSIFICATION]}"
TOKENS = [] if TASK == CLASSIFICATION else ["train"]  # a line says how many of them are trained
SECOND = 2 if TASK == CLASSIFICATION else 1  # of the saves; a run with steps as short as these saves less often
NO_RUN_YET = {
    "the rows are read": "ftkit.data.read_source",
    "the rows are split": "ftkit.data.split_rows",
    "the tokenizer is loaded": f"{OWNER}.load_tokenizer",
    "the texts become tokens": f"{OWNER}.tokenize",
    "the model is built": f"transformers.GPT2{KIND}.__init__",
    "the plan is checked": "ftkit.checks.preflight.run_checks",
    "the trial steps": "ftkit.fine_tuning.run_trial",
    "the run folder has its settings": "ftkit.runs.session.describe_machine",
    "the first record is written": "ftkit.runs.folder.write_json",
}
MOMENTS = {
    "the trainer is made": [("ftkit.trainer.make_trainer", 1)],
    "the training begins": [("ftkit.training.callbacks.Checkpoints.on_train_begin", 1)],
    "the first step": [(STEP, 1)],
    "a step within an epoch": [(STEP, 9)],
    "the backward pass": [("accelerate.Accelerator.backward", 8)],
    "the update of the weights": [("ftkit.training.callbacks.NonFiniteGuard.on_pre_optimizer_step", 10)],
    "the last step of the first epoch": [(STEP, 6)],
    "the last step of the best epoch": [(STEP, 12)],
    "the last step of all": [(STEP, 18)],
    "an epoch's end": [("ftkit.training.callbacks.Checkpoints.on_epoch_end", 2)],
    "the last epoch's end": [("ftkit.training.callbacks.Checkpoints.on_epoch_end", 3)],
    "the first evaluation": [(EVALUATION, 1)],
    "a later evaluation": [(EVALUATION, 5)],
    "the last evaluation": [(EVALUATION, 9)],
    "the end of an evaluation": [("ftkit.training.callbacks.Checkpoints.on_evaluate", 2)],
    "the Trainer writes a checkpoint": [
        ("ftkit.training.callbacks.Checkpoints.on_evaluate", 2, NOTHING),
        ("torch.save", 1),
    ],
    "the files of a checkpoint are hashed": [("ftkit.training.callbacks.commit", 2, NOTHING), (HASH, 3)],
    "the files of a checkpoint are flushed": [
        ("ftkit.training.callbacks.commit", 2, NOTHING),
        ("ftkit.runs.checkpoints.fsync", 3),
    ],
    "a checkpoint gets its name": [
        ("ftkit.training.callbacks.commit", SECOND, NOTHING),
        ("ftkit.runs.checkpoints.write_json", 1, NOTHING),
        ("os.replace", 2),
    ],
    "old checkpoints are deleted": [("ftkit.training.callbacks.prune", 3)],
    "the best weights are verified": [("ftkit.training.callbacks.find_problem", 1)],
    "the best weights are loaded": [("transformers.Trainer._load_best_model", 1)],
    "the training has ended": [("ftkit.trainer.weights_sha256", 2)],
    "the model is saved": [("ftkit.runs.folder.apply_umask", 1)],
    "the model predicts": [(f"{OWNER}.predict", 2)],
    "a rung of the ladder": [(RUNG, 1)],
    "the predictions are written": [("pandas.DataFrame.to_parquet", 1)],
    "the judging": [(f"{OWNER}.compare", 1)],
    "the model card": [("ftkit.fine_tuning.write_card", 1)],
    "the record becomes finished": [("ftkit.runs.session.ignore_signals", 1)],
    "the report is drawn": [("ftkit.views.report.img_tag", 1)],
    "the report is written": [("ftkit.views.report.img_tag", 1, NOTHING), ("os.replace", 1)],
}
TWICE = {
    "50 ms apart, in one long step": [(STEP, 8, "twice")],
    "in a step, in its backward pass": [(STEP, 8), ("accelerate.Accelerator.backward", 1)],
    "in a step, while its checkpoint is written": [(STEP, 8), ("torch.save", 1)],
    "in a step, while its checkpoint is hashed": [(STEP, 8), (HASH, 2)],
    "in a step, while its checkpoint gets its name": [
        (STEP, 8),
        ("ftkit.runs.checkpoints.write_json", 1, NOTHING),
        ("os.replace", 2),
    ],
    "while the trainer is made, while the run ends": [("ftkit.trainer.make_trainer", 1), ("shutil.rmtree", 1)],
    "while the trainer is made, before the record is written": [
        ("ftkit.trainer.make_trainer", 1),
        ("ftkit.runs.session.ignore_signals", 1),
    ],
    "while the trainer is made, while the record is written": [
        ("ftkit.trainer.make_trainer", 1),
        ("ftkit.runs.folder.write_json", 1),
    ],
    "while the trainer is made, before the last words": [
        ("ftkit.trainer.make_trainer", 1),
        ("ftkit.runs.session.find_newest", 1),
    ],
    "five": [
        (STEP, 8),
        (HASH, 2),
        ("shutil.rmtree", 1),
        ("ftkit.runs.folder.write_json", 1),
        ("ftkit.runs.session.find_newest", 1),
    ],
}
FAST = {"a checkpoint gets its name"}
TERMINATED = [
    "a step within an epoch",
    "a later evaluation",
    "the files of a checkpoint are hashed",
    "the judging",
]


def act(deed) -> None:
    "In the child: send a signal, wait to be killed, or fail"
    if isinstance(deed, BaseException):
        raise deed
    if deed == "twice":
        subprocess.Popen(["sh", "-c", f"sleep 0.05; kill -INT {os.getpid()}"])
        os.kill(os.getpid(), INT)
        time.sleep(20)
    elif deed == "wait":
        Path("waiting").touch()
        time.sleep(60)
    elif deed == KILL:
        subprocess.run(["kill", "-KILL", str(os.getpid())])
    elif deed == "group":
        os.killpg(os.getpid(), TERM)
    else:
        os.kill(os.getpid(), deed)


def count_calls(where: str, plain, left: list):
    "The function, acting when it is called for the k-th time since what comes before it in the chain"

    def patched(*args, **kwargs):
        if left and left[0][0] == where:
            left[0][1] -= 1
            if left[0][1] == 0:
                deed = left.pop(0)[2]
                if deed != NOTHING and not Path("times").exists():
                    Path("times").write_text(str(time.monotonic()))
                act(deed)
        return plain(*args, **kwargs)

    return patched


def watch_fine_tune(plain):
    "fine_tune, with a note of what the process looks like when it is left by a signal"
    from ftkit.trainer import OrderedTrainer

    def patched(*args, **kwargs):
        handlers = [signal.getsignal(number) for number in (INT, TERM)]
        try:
            return plain(*args, **kwargs)
        except BaseException as error:
            found = {
                "signalled": isinstance(error, KeyboardInterrupt | SystemExit),
                "models that train": sum(model.training for model in OrderedTrainer.trained),
                "signals given back": [signal.getsignal(number) for number in (INT, TERM)] == handlers,
                "status": [Run(file.parent).status for file in Path("runs").glob("*/run.json")],
            }
            Path("found").write_text(json.dumps(found))
            raise

    return patched


def arrange_moments(chain: list[tuple], group: bool = False) -> None:
    "In the child, before the command: what happens at the moments of the chain"
    import ftkit.trainer

    signal.signal(INT, signal.default_int_handler)  # a shell's background jobs ignore it
    if group:
        os.setpgid(0, 0)
    left = [[*link, INT][:3] for link in chain]
    for where in {where for where, *_ in chain}:
        place, _, name = where.rpartition(".")
        owner = pkgutil.resolve_name(place)
        setattr(owner, name, count_calls(where, getattr(owner, name), left))
    ftkit.fine_tuning.fine_tune = watch_fine_tune(ftkit.fine_tuning.fine_tune)


def wait_for_end(process: Command, folder: Path) -> int:
    "The exit code, once the process has ended within ten seconds of the signal"
    code = process.wait(60)
    seconds = time.monotonic() - float((folder / "times").read_text())
    print(f"{seconds:.2f} s after the signal")
    assert seconds < 10
    return code


def read_record(folder: Path) -> dict:
    "run.json as it is in the file"
    return json.loads((folder / "runs/x/run.json").read_text())


def find_unfinished(folder: Path) -> list[Path]:
    "What is only half written"
    return [p for p in folder.rglob("*") if p.name.endswith(".tmp") or p.name == ".staging"]


@pytest.fixture
def folder(tmp_path):
    "A folder with rows and no runs"
    (tmp_path / "runs").mkdir()
    write_csv(tmp_path / "mine.csv", small_rows(60))
    return tmp_path


@pytest.fixture
def start(folder, tiny):
    "Start a training as a process of its own, where things happen: `start(chain, '--some_key', value)`"

    def run(chain, *more, **kwargs):
        return start_training(folder, tiny, "x", *more, keys=KEYS, before=partial(arrange_moments, chain, **kwargs))

    return run


@pytest.fixture(scope="module")
def reference(tmp_path_factory, tiny):
    "The folder of the run that nothing happened to, for each set of further keys: made once"
    made = {}

    def run(*more):
        if more not in made:
            folder = tmp_path_factory.mktemp("reference")
            write_csv(folder / "mine.csv", small_rows(60))
            process = start_training(folder, tiny, "x", *more, keys=KEYS)
            assert process.wait() == 0, process.stderr
            made[more] = folder / "runs/x"
            # else a lost evaluation would not be seen in the weights; the loss of written answers falls to the end
            assert read_fingerprint(made[more])["best"]["step"] < 18 or more or TASK != CLASSIFICATION
        return made[more]

    return run


def check_stopped(process, folder, reason="interrupted"):
    "All that holds after a stop that came when there was a run"
    code = wait_for_end(process, folder)
    assert code == {"interrupted": 130, "terminated": 143}[reason], process.stderr
    assert json.loads((folder / "found").read_text()) == {
        "signalled": True,
        "models that train": 0,
        "signals given back": True,
        "status": ["stopped"],
    }
    record = read_record(folder)
    assert (record["status"], record["reason"]) == ("stopped", reason)
    assert find_newest(folder / "runs/x/checkpoints")[1] == [] and find_unfinished(folder) == []
    lines = process.stderr.splitlines()
    assert (
        any("Resume it: ftkit train --resume runs/x" in line for line in lines)
        and lines[-1] == f"ftkit: {reason}"
        and "Traceback" not in process.stderr
    )


def check_resume(ftkit, folder, path):
    "Resume the run: it ends like the run that nothing happened to"
    done = ftkit("train", "--resume", "x", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (
        read_fingerprint(folder / "runs/x") == read_fingerprint(path)
        and find_unfinished(folder) == []
        and (folder / "runs/x/report.html").is_file()
    )


@pytest.mark.fault("stopped")
@pytest.mark.parametrize("moment", mark_slow(MOMENTS, FAST))
def test_stopped_run_resumes_identically(folder, start, ftkit, reference, moment):
    check_stopped(start(MOMENTS[moment]), folder)
    check_resume(ftkit, folder, reference())


@pytest.mark.slow
@pytest.mark.fault("stopped")
@pytest.mark.parametrize("moments", TWICE)
def test_second_signal_harms_nothing(folder, start, ftkit, reference, moments):
    check_stopped(start(TWICE[moments]), folder)
    check_resume(ftkit, folder, reference())


@pytest.mark.slow
@pytest.mark.fault("stopped")
@pytest.mark.parametrize("moment", TERMINATED)
def test_terminated_run_resumes_identically(folder, start, ftkit, reference, moment):
    check_stopped(start([(*link, TERM)[:3] for link in MOMENTS[moment]]), folder, "terminated")
    check_resume(ftkit, folder, reference())


@pytest.mark.slow
@pytest.mark.fault("stopped")
@pytest.mark.parametrize("moment", NO_RUN_YET)
def test_early_stop_leaves_nothing(folder, start, moment):
    process = start([(NO_RUN_YET[moment], 1)])
    assert wait_for_end(process, folder) == 130 and list((folder / "runs").rglob("*")) == []
    *read, why, last = process.stderr.splitlines()
    assert why == NOTHING_MADE and last == "ftkit: interrupted"
    said = [line.split(":")[0] for line in read if not line.startswith("updates: ")]  # which are few here
    told = ["train", "validation", "test", *TOKENS, "preflight", "forecast"]
    assert said == told[: len(said)] and len(said) not in (1, 2)


@pytest.mark.slow
@pytest.mark.fault("stopped")
def test_group_signal_stops_workers(folder, start, ftkit, reference):
    more = ["--dataloader_num_workers", 2]
    check_stopped(start([(STEP, 8, "group")], *more, group=True), folder, "terminated")
    check_resume(ftkit, folder, reference(*more))


@pytest.mark.slow
@pytest.mark.fault("stopped")
@pytest.mark.parametrize("number", [15, 14])
def test_stop_at_last_steps_resumes(folder, start, ftkit, reference, number):
    more = ["--max_steps", 15]
    check_stopped(start([(STEP, number)], *more), folder)
    check_resume(ftkit, folder, reference(*more))


@pytest.mark.slow
@pytest.mark.fault("stopped")
def test_ended_run_trains_no_further(folder, start, ftkit, reference):
    more = ["--max_steps", 15]
    check_stopped(start([(f"{OWNER}.compare", 1)], *more), folder)
    check_resume(ftkit, folder, reference(*more))


@pytest.mark.fault("stopped")
def test_failed_training_restores_signals(folder, start):
    assert start([(STEP, 8, RuntimeError("boom"))]).wait() == 1
    assert json.loads((folder / "found").read_text()) == {
        "signalled": False,
        "models that train": 0,
        "signals given back": True,
        "status": ["failed"],
    }


IMPORTING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
codes, count = [], 0

class Finder:
    def find_spec(self, name, path=None, target=None):
        global count
        count += 1
        if count % 500 == 0:
            child = os.fork()
            if child:
                codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            else:
                sys.meta_path.remove(self)
                os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from ftkit.cli.main import main
code = main(sys.argv[1:])
if code != 130:
    print(*codes)
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.fault("stopped")
def test_stop_during_imports_exits_130(folder):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING, "train", "--train_file", "mine.csv", "--text_column_name", "missing"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    codes = done.stdout.split()
    assert (
        done.returncode == 2 and len(codes) >= 5 and set(codes) == {"130"} and list((folder / "runs").rglob("*")) == []
    )
    assert set(done.stderr.splitlines()[:-1]) == {"ftkit: interrupted"}


@pytest.mark.slow
@pytest.mark.fault("stopped")
def test_notebook_stop_button_stops(folder, tiny, monkeypatch):
    from jupyter_client.manager import start_new_kernel

    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    manager, client = start_new_kernel(cwd=str(folder))

    def cell(code):
        "Run a cell: (its text output, the name of its error)"
        shown = []
        reply = client.execute_interactive(
            code, timeout=120, output_hook=lambda message: shown.append(message["content"].get("text", ""))
        )
        return "".join(shown), reply["content"].get("ename")

    def press(pressed):
        while not any("loss" in row and row["step"] >= 20 for row in Run(folder / "runs/x").history):
            time.sleep(0.002)
        pressed.append(time.monotonic())
        manager.interrupt_kernel()

    try:
        values = {
            "model_name_or_path": tiny,
            "train_file": "mine.csv",
            "text_column_name": "review",
            "label_column_name": "stars",
            "baselines": ["majority"],
            "dropout": 0.1,
        }
        values |= {"num_train_epochs": 20, "per_device_train_batch_size": 8, "logging_steps": 1, "learning_rate": 1e-3}
        setup = (
            "from ftkit.fine_tuning import Run, fine_tune\nfrom ftkit.settings import Settings\n"
            f"settings = Settings().replace(**{values!r})\n"
        )
        assert cell(setup + "reference = fine_tune(settings, name='reference')")[1] is None
        pressed = []
        threading.Thread(target=press, args=(pressed,), daemon=True).start()
        text, error = cell("fine_tune(settings, name='x')")
        seconds = time.monotonic() - pressed[0]
        print(f"{seconds:.2f} s until the prompt was back")
        assert seconds < 10 and error == "Interrupted" and "checkpoint step-" in text and ".resume()" in text
        assert cell("print(Run.load('x').status, Run.load('x').record['reason'])") == ("stopped interrupted\n", None)
        text, error = cell(
            "print((Run.load('x').resume().record['weights'] == reference.record['weights'], Run.load('x').status))"
        )
        assert error is None and text.endswith("(True, 'finished')\n") and "resuming from step-" in text
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


FAULT, FULL = RuntimeError("boom"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
ENDS = {  # what happens -> exit code, status, reason, the last line on stderr
    "it is done": ([], 0, "finished", None, ""),
    "a fault before the training": (
        [("ftkit.trainer.make_trainer", 1, FAULT)],
        1,
        "failed",
        "RuntimeError: boom",
        "RuntimeError: boom",
    ),
    "a fault in training": ([(STEP, 9, FAULT)], 1, "failed", "RuntimeError: boom", "RuntimeError: boom"),
    "a fault in an evaluation": ([(EVALUATION, 5, FAULT)], 1, "failed", "RuntimeError: boom", "RuntimeError: boom"),
    "a fault in judging": (
        [(f"{OWNER}.compare", 1, FAULT)],
        1,
        "failed",
        "RunFailed: runs/x: the model is trained and saved, but this failed after it: scores (RuntimeError: boom)",
        "ftkit: runs/x: the model is trained and saved, but this failed after it: scores (RuntimeError: boom)",
    ),
    "a fault in the report": (
        [("ftkit.views.report.img_tag", 1, FAULT)],
        1,
        "failed",
        "RunFailed: runs/x: the model is trained and saved, but this failed after it: report (RuntimeError: boom)",
        "ftkit: runs/x: the model is trained and saved, but this failed after it: report (RuntimeError: boom)",
    ),
    "a disk that is full at a checkpoint": (
        [("ftkit.training.callbacks.commit", 2, FULL)],
        1,
        "failed",
        "OSError: runs/x: cannot be written",
        "ftkit: runs/x: cannot be written",
    ),
    "a disk that is full at the predictions": (
        [("pandas.DataFrame.to_parquet", 1, FULL)],
        1,
        "failed",
        "OSError: runs/x: cannot be written",
        "ftkit: runs/x: cannot be written",
    ),
    "a run that cannot be trained further": (
        [("ftkit.training.callbacks.find_problem", 1, RunFailed("the best weights are gone."))],
        1,
        "failed",
        "RunFailed: the best weights are gone.",
        "ftkit: the best weights are gone.",
    ),
    "the input is at fault, seen in judging": (
        [(f"{OWNER}.compare", 1, UserError("no."))],
        1,
        "failed",
        "RunFailed: runs/x: the model is trained and saved, but this failed after it: scores (UserError: no.)",
        "ftkit: runs/x: the model is trained and saved, but this failed after it: scores (UserError: no.)",
    ),
}
KILLED = [
    "a step within an epoch",
    "the first evaluation",
    "the files of a checkpoint are hashed",
    "the model is saved",
    "the judging",
    "the report is drawn",
]


@pytest.mark.fault("exit status")
@pytest.mark.parametrize("end", mark_slow(ENDS, fast=["a fault in judging"]))
def test_every_end_has_exit_code(folder, start, ftkit, reference, end):
    chain, code, status, reason, last = ENDS[end]
    process = start(chain)
    assert process.wait(60) == code, process.stderr
    record = read_record(folder)
    assert (
        record["status"] == Run(folder / "runs/x").status == status
        and (record["reason"] or "").startswith(reason or "")
        and find_unfinished(folder) == []
    )
    lines = process.stderr.strip().splitlines() or [""]
    assert lines[-1].startswith(last) and ("Traceback (most recent call last):" in lines) == (
        reason == "RuntimeError: boom"
    )
    assert any("Resume it: ftkit train --resume runs/x" in line for line in lines) == (code == 1)
    if status == "failed":
        check_resume(ftkit, folder, reference())


@pytest.mark.fault("exit status")
def test_late_input_error_leaves_nothing(folder, start):
    process = start([], "--method", "top_k", "--top_k_layers", 99)
    assert process.wait(60) == 2
    assert get_line(process.stderr) == "ftkit: top_k_layers = 99: the model has 2 layers. Write at most 2."
    assert list((folder / "runs").iterdir()) == []


@pytest.mark.fault("exit status")
@pytest.mark.parametrize("moment", mark_slow(KILLED))
def test_killed_run_is_failed(folder, start, ftkit, reference, capsys, moment):
    assert start([(*link, KILL)[:3] for link in MOMENTS[moment]]).wait(60) == -KILL
    assert read_record(folder)["status"] == "running"
    assert (
        Run(folder / "runs/x").record["reason"] == "the process that trained it has died"
        and Run(folder / "runs/x").status == "failed"
    )
    assert (
        main(["runs", "--runs_dir", str(folder / "runs"), "--json"]) == 0
        and json.loads(capsys.readouterr().out)["runs"][0]["status"] == "failed"
    )
    check_resume(ftkit, folder, reference())


@pytest.mark.fault("exit status")
@pytest.mark.parametrize("moment", ["a step within an epoch", pytest.param("the model card", marks=pytest.mark.slow)])
def test_status_follows_process(folder, start, ftkit, moment):
    process = start([(*link, "wait") for link in MOMENTS[moment]])
    wait_for(process, lambda: (folder / "waiting").exists())
    assert Run(folder / "runs/x").status == "running" and " running " in ftkit("runs", cwd=folder).stdout
    refused = ftkit("train", "--resume", "x", cwd=folder)
    line = "ftkit: runs/x: another process is working on this run. Wait for it, or stop it first."
    assert refused.returncode == 2 and get_line(refused.stderr) == line
    assert Run(folder / "runs/x").status == "running"
    process.send_signal(KILL)
    assert process.wait(60) == -KILL
    assert Run(folder / "runs/x").status == "failed" and " failed " in ftkit("runs", cwd=folder).stdout


@pytest.mark.fault("exit status")
def test_reused_pid_is_not_alive(folder, start):
    last = Path("/proc/sys/kernel/ns_last_pid")
    if not os.access(last, os.W_OK):
        pytest.skip("only root can have a process number given again")
    process = start([(STEP, 9, KILL)])
    assert process.wait(60) == -KILL
    for _ in range(200):
        last.write_text(str(process.pid - 1))
        other = subprocess.Popen(["sleep", "60"])
        try:
            if other.pid == process.pid:
                assert Run(folder / "runs/x").status == "failed"
                return
        finally:
            other.kill()
            other.wait()
    pytest.skip(f"{process.pid} was not given again")


@pytest.mark.fault("exit status")
def test_finishing_run_is_not_failed(reference, tmp_path, monkeypatch):
    run = Run(shutil.copytree(reference(), tmp_path / "x"))
    run.update(status="running")
    plain = RunFolder.is_alive

    def alive(self):
        run.update(status="finished")
        return plain(self)

    monkeypatch.setattr(RunFolder, "is_alive", alive)
    assert run.status == "finished"


@pytest.mark.slow
@pytest.mark.fault("exit status")
@pytest.mark.parametrize("number, times, codes", [(INT, 5, (130, -INT)), (TERM, 1, (143,)), (TERM, 5, (143, -TERM))])
def test_cold_command_stops_alike(folder, tiny, ftkit, reference, number, times, codes):
    "A shell shows 130 and 143 for both of the codes"
    command = [sys.executable, "-m", "ftkit", "train", *make_flags({**KEYS, "model_name_or_path": tiny, "run": "x"})]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    while not Run(folder / "runs/x").history:
        assert process.poll() is None
        time.sleep(0.002)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.02)
    assert process.wait(30) in codes and "Resume it: ftkit train --resume" in process.stderr.read()
    assert (
        Run(folder / "runs/x").status == "stopped"
        and find_newest(folder / "runs/x/checkpoints")[1] == []
        and find_unfinished(folder) == []
    )
    check_resume(ftkit, folder, reference())
