"""Ways on that are easily lost: settings that change what is saved, a base model that has changed, an end at an odd moment.

The training runs in this process; what happens to it is injected between two steps.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset

import ftkit.fine_tuning
import ftkit.tasks.classification
import ftkit.trainer
from ftkit.cli.commands import summarise_runs
from ftkit.errors import RunFailed, UserError
from ftkit.files.safety import reading_checkpoint
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.checkpoints import find_newest
from ftkit.runs.session import Session, create_run
from ftkit.serving.batch import write_rows
from ftkit.settings import Settings
from ftkit.starter import tiny_gpt2
from ftkit.trainer import OrderedTrainer

TEXTS = [
    {"text": f"{word} number {i}", "label": label}
    for i in range(60)
    for word, label in [(("warm", "good"), ("late", "bad"))[i % 2]]
]
ROWS = Dataset.from_list(TEXTS)  # 6 steps an epoch


@pytest.fixture
def settings(tiny):
    "A run of 18 steps"
    keys = {
        "model_name_or_path": tiny,
        "num_train_epochs": 3,
        "per_device_train_batch_size": 8,
        "learning_rate": 2e-3,
        "baselines": [],
        "num_resamples": 100,
    }
    return Settings().replace(**keys, logging_steps=1, save_total_limit=20, bf16=False)


def stop_at(monkeypatch, number, how=KeyboardInterrupt):
    "Before that step the training ends, as if the process had been killed: nothing is saved"
    plain = OrderedTrainer.training_step

    def step(self, *args, **kwargs):
        if self.state.global_step + 1 == number:
            raise how()
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(OrderedTrainer, "training_step", step)


def stop_in(monkeypatch, name, how=KeyboardInterrupt):
    "The training is over and the function after it raises"

    def raised(*args, **kwargs):
        raise how()

    module = ftkit.trainer if hasattr(ftkit.trainer, name) else ftkit.fine_tuning
    monkeypatch.setattr(module, name, raised)


def fingerprint(run):
    "Status, weights, and every logged number that is no time"
    keys = ("step", "loss", "eval_loss", "eval_accuracy")
    return (
        run.status,
        run.record["weights"],
        run.record["best"],
        [[row.get(key) for key in keys] for row in run.history],
    )


def list_steps(folder: Path) -> list[int]:
    "The checkpoints of a run"
    return sorted(int(p.name[5:]) for p in (folder / "checkpoints").glob("step-*"))


@pytest.mark.fault("best model")
def test_best_step_is_always_saved(settings, tmp_path):
    run = fine_tune(
        settings.replace(eval_strategy="steps", eval_steps=3, save_steps=6, learning_rate=1e-9), ROWS, tmp_path, "x"
    )
    assert run.status == "finished" and run.record["best"]["step"] == 3 and 3 in list_steps(run.path)


@pytest.mark.fault("killed")
def test_every_epoch_is_saved_once(settings, tmp_path, monkeypatch):
    saves = []
    commit = ftkit.training.callbacks.commit
    monkeypatch.setattr(ftkit.training.callbacks, "commit", lambda *args: (saves.append(args[2]), commit(*args))[1])
    monkeypatch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 1e9)
    settings = settings.replace(eval_strategy="no")
    reference = fine_tune(settings, ROWS, tmp_path, "whole")
    assert sorted(saves) == sorted(set(saves)) and {6, 12, 18} <= set(saves)
    monkeypatch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 0)
    stop_at(monkeypatch, 15)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(settings, ROWS, tmp_path, "x")
    monkeypatch.undo()
    assert list_steps(tmp_path / "x") == [6, 12] and fingerprint(Run.load("x", tmp_path).resume(ROWS)) == fingerprint(
        reference
    )


@pytest.mark.fault("killed")
def test_early_stopped_run_stays_ended(settings, tmp_path, monkeypatch):
    def falling(predictions):
        seen.append(1 / (1 + len(seen)))
        return {"accuracy": seen[-1]}

    seen = []
    monkeypatch.setattr(ftkit.tasks.classification, "compute_metrics", falling)
    settings = settings.replace(eval_strategy="steps", eval_steps=4, early_stopping_patience=1)
    reference = fine_tune(settings, ROWS, tmp_path, "whole")
    assert reference.history[-1]["step"] == 8 and seen == [1, 0.5]
    seen.clear()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_in(patch, "score_run")
        fine_tune(settings, ROWS, tmp_path, "x")
    assert fingerprint(Run.load("x", tmp_path).resume(ROWS)) == fingerprint(reference) and seen == [1, 0.5]


def test_added_patience_starts_counting(settings, tmp_path, monkeypatch):
    stop_at(monkeypatch, 9)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(settings, ROWS, tmp_path, "x")
    monkeypatch.undo()
    (tmp_path / "x/settings.ini").write_text(settings.replace(early_stopping_patience=9).to_ini())
    assert Run.load("x", tmp_path).resume(ROWS).status == "finished"


@pytest.mark.fault("killed")
@pytest.mark.parametrize("changed", ["model.safetensors", "tokenizer.json"])
def test_changed_base_model_refuses_resume(settings, tmp_path, monkeypatch, changed):
    base = tiny_gpt2(tmp_path / "base")
    settings = settings.replace(model_name_or_path=str(base), method="lora")
    reference = fine_tune(settings, ROWS, tmp_path, "whole")
    stop_at(monkeypatch, 9)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(settings, ROWS, tmp_path, "x")
    monkeypatch.undo()
    old = (base / changed).read_bytes()
    if changed == "tokenizer.json":
        (base / changed).write_text(
            old.decode()
            .replace('"add_prefix_space":false', '"add_prefix_space":true')
            .replace('"add_prefix_space": false', '"add_prefix_space": true')
        )
    else:
        from safetensors.torch import load_file, save_file

        save_file({name: w + 0.01 for name, w in load_file(base / changed).items()}, base / changed, {"format": "pt"})
    assert (base / changed).read_bytes() != old
    with pytest.raises(UserError, match="first weights are not those|gives other tokens"):
        Run.load("x", tmp_path).resume(ROWS)
    (base / changed).write_bytes(old)
    assert fingerprint(Run.load("x", tmp_path).resume(ROWS)) == fingerprint(reference)


@pytest.mark.fault("out of memory")
def test_memory_shortage_keeps_checkpoints(settings, tmp_path, monkeypatch):
    reference = fine_tune(settings, ROWS, tmp_path, "whole")
    stop_at(monkeypatch, 9)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(settings, ROWS, tmp_path, "x")
    monkeypatch.undo()
    stop_at(monkeypatch, 9, lambda: torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RunFailed, match="Free memory and resume again"):
        Run.load("x", tmp_path).resume(ROWS)
    monkeypatch.undo()
    assert find_newest(tmp_path / "x/checkpoints")[0] is not None and fingerprint(
        Run.load("x", tmp_path).resume(ROWS)
    ) == fingerprint(reference)


@pytest.mark.parametrize(
    "error",
    [
        OSError(24, "Too many open files"),
        RuntimeError("CUDA error: CUDA-capable device(s) is/are busy"),
        MemoryError(),
    ],
)
def test_passing_fault_blames_no_checkpoint(error):
    with pytest.raises(type(error)) as raised, reading_checkpoint("step-5", lambda: False):
        raise error
    assert raised.value is error


@pytest.mark.fault("disk full")
def test_model_is_flushed_before_pruning(settings, tmp_path, monkeypatch):
    seen, fsync = set(), os.fsync
    mark = lambda stat: (
        stat.st_ino,
        stat.st_mode,
        stat.st_mtime_ns,
    )  # the number of a file that is gone is given again
    monkeypatch.setattr(os, "fsync", lambda handle: (seen.add(mark(os.fstat(handle))), fsync(handle))[1])
    run = fine_tune(
        Settings(**{**settings.section("model"), "num_train_epochs": 1, "baselines": []}), ROWS, tmp_path, "x"
    )
    assert not (run.path / "checkpoints").exists()
    kept = [*(run.path / "model").iterdir(), run.path / "predictions.parquet", run.path / "run.json"]
    assert len(kept) > 5 and [p.name for p in kept if mark(p.stat()) not in seen] == []


@pytest.mark.fault("exit status")
def test_late_signal_changes_nothing(tmp_path, monkeypatch):
    end = Session.end

    def late(self, *args):
        end(self, *args)
        raise KeyboardInterrupt

    session = create_run(Settings(), tmp_path, "x")
    monkeypatch.setattr(Session, "end", late)
    with pytest.raises(KeyboardInterrupt), session:
        pass
    assert Run.load("x", tmp_path).status == "finished"


@pytest.mark.fault("exit status")
def test_late_failure_keeps_model(settings, tmp_path, monkeypatch):
    stop_in(monkeypatch, "ladder", lambda: UserError("the base model is not there"))
    with pytest.raises(UserError):
        fine_tune(settings.replace(eval_strategy="no", logging_strategy="no"), ROWS, tmp_path, "x")
    run = Run.load("x", tmp_path)
    assert run.status == "failed" and run.history == [] and (run.path / "model/model.safetensors").is_file()


@pytest.mark.fault("exit status")
def test_closed_stderr_is_survived():
    lines = "import logging\nfrom ftkit.views.console import install_handler\ninstall_handler()\nfor i in range(5): logging.getLogger('ftkit').info(f'line {i}')\nprint('done')"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", lines], stdout=subprocess.PIPE, stderr=writing, text=True)
    os.close(writing)
    assert done.returncode == 0 and done.stdout == "done\n"


def test_damaged_run_hides_no_others(settings, tmp_path, capsys):
    for name in ("a", "b"):
        with create_run(settings, tmp_path, name):
            pass
    (tmp_path / "a/settings.ini").unlink()
    assert [row["run"] for row in summarise_runs([Run.load(name, tmp_path) for name in ("a", "b")])] == ["b"]
    assert "settings.ini" in capsys.readouterr().err


@pytest.mark.fault("predict")
def test_two_writers_mix_no_rows(tmp_path):
    out, rows = tmp_path / "out.jsonl", [{"label": "good"}] * 40_000
    script = f"from pathlib import Path\nfrom ftkit.serving.batch import write_rows\nimport sys\nwrite_rows(Path({str(out)!r}), [sys.argv[1]] * 40_000, [{{'label': 'good'}}] * 40_000)"
    both = [subprocess.Popen([sys.executable, "-c", script, name]) for name in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    lines = out.read_text().splitlines()
    assert len(lines) == 40_000 and len(set(lines)) == 1
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f".out.jsonl.{gone.pid}.tmp").write_text("half")
    for other in (os.getppid(), 10**12, "mine"):
        (tmp_path / f".out.jsonl.{other}.tmp").write_text("at work")
    write_rows(out, ["a"] * 40_000, rows)
    assert {p.name for p in tmp_path.glob(".*.tmp")} == {
        f".out.jsonl.{other}.tmp" for other in (os.getppid(), 10**12, "mine")
    }


@pytest.mark.fault("hostile files")
def test_linked_looks_are_not_followed(settings, tmp_path, capsys):
    run = fine_tune(settings, ROWS, tmp_path / "theirs", "x")
    outside = tmp_path / "profile"
    outside.write_text("mine\n")
    (tmp_path / "theirs/test_looks.jsonl").unlink()
    (tmp_path / "theirs/test_looks.jsonl").symlink_to(outside)
    run.evaluate()
    assert outside.read_text() == "mine\n"


def test_pipe_as_lock_returns(tmp_path):
    session = create_run(Settings(), tmp_path, "x")
    run = session.run
    session.lock.release()
    (run.path / ".lock").unlink(missing_ok=True)
    os.mkfifo(run.path / ".lock")
    signal.alarm(20)
    try:
        assert Run.load("x", tmp_path).status == "failed"
    finally:
        signal.alarm(0)


def test_missing_train_split_raises(settings, tmp_path):
    with pytest.raises(UserError, match="has no 'train'. It has: validation"):
        fine_tune(settings, {"validation": ROWS}, tmp_path)
