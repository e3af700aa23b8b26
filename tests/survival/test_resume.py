"""Resuming when something has changed, and runs that end at an odd moment."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from runs import ROWS, SHORT_ROWS, only_classification, read_fingerprint

import ftkit.fine_tuning
import ftkit.tasks.classification
import ftkit.trainer
from ftkit.errors import RunFailed, UserError
from ftkit.files.safety import reading_checkpoint
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.listing import summarise_runs
from ftkit.runs.session import Session, create_run
from ftkit.serving.batch import write_rows
from ftkit.settings import Settings
from ftkit.starter import tiny_gpt2
from survival.commands import start_process


def stop_in(monkeypatch, name, how=KeyboardInterrupt):
    "The training is over and the function after it raises"

    def raised(*args, **kwargs):
        raise how()

    module = ftkit.trainer if hasattr(ftkit.trainer, name) else ftkit.fine_tuning
    monkeypatch.setattr(module, name, raised)


@pytest.mark.slow
@only_classification
@pytest.mark.fault("killed")
def test_early_stopped_run_stays_ended(short_settings, tmp_path, monkeypatch):
    def falling(predictions):
        seen.append(1 / (1 + len(seen)))
        return {"accuracy": seen[-1]}

    seen = []
    monkeypatch.setattr(ftkit.tasks.classification, "compute_metrics", falling)
    settings = short_settings.replace(eval_strategy="steps", eval_steps=4, early_stopping_patience=1)
    reference = fine_tune(settings, SHORT_ROWS, tmp_path, "reference")
    assert reference.history[-1]["step"] == 8 and seen == [1, 0.5]
    seen.clear()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_in(patch, "score_run")
        fine_tune(settings, SHORT_ROWS, tmp_path, "x")
    resumed = read_fingerprint(Run.load("x", tmp_path).resume(SHORT_ROWS))
    assert resumed == read_fingerprint(reference) and seen == [1, 0.5]


@pytest.mark.slow
def test_added_patience_starts_counting(short_settings, tmp_path, interrupt_run):
    run = interrupt_run(tmp_path, short_settings, SHORT_ROWS, 9)
    (run.path / "settings.ini").write_text(short_settings.replace(early_stopping_patience=9).to_ini())
    assert run.resume(SHORT_ROWS).status == "finished"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    "A base model of one's own"
    return tiny_gpt2(tmp_path_factory.mktemp("base"))


@pytest.mark.fault("killed")
@pytest.mark.parametrize("changed", ["model.safetensors", "tokenizer.json"])
def test_changed_base_model_refuses_resume(short_settings, tmp_path, base, reference_run, interrupt_run, changed):
    settings = short_settings.replace(model_name_or_path=str(base), method="lora")
    reference = reference_run(settings, SHORT_ROWS)
    run = interrupt_run(tmp_path, settings, SHORT_ROWS, 9)
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
        run.resume(SHORT_ROWS)
    (base / changed).write_bytes(old)
    assert read_fingerprint(run.resume(SHORT_ROWS)) == read_fingerprint(reference)


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
def test_late_failure_keeps_model(short_settings, tmp_path, monkeypatch):
    stop_in(monkeypatch, "ladder", lambda: UserError("the base model is not there"))
    with pytest.raises(RunFailed, match="the base model is not there"):
        fine_tune(short_settings.replace(eval_strategy="no", logging_strategy="no"), SHORT_ROWS, tmp_path, "x")
    run = Run.load("x", tmp_path)
    assert run.status == "failed" and run.history == [] and (run.path / "model/model.safetensors").is_file()


@pytest.mark.fault("exit status")
def test_closed_stderr_is_survived():
    lines = """
import logging
from ftkit.views.console import install_handler
install_handler()
for i in range(5): logging.getLogger("ftkit").info(f"line {i}")
print("done")
"""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", lines], stdout=subprocess.PIPE, stderr=writing, text=True)
    os.close(writing)
    assert done.returncode == 0 and done.stdout == "done\n"


def test_damaged_run_hides_no_others(short_settings, tmp_path, capsys):
    for name in ("a", "b"):
        with create_run(short_settings, tmp_path, name):
            pass
    (tmp_path / "a/settings.ini").unlink()
    assert [row["run"] for row in summarise_runs([Run.load(name, tmp_path) for name in ("a", "b")])] == ["b"]
    assert "settings.ini" in capsys.readouterr().err


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


def test_missing_train_split_raises(short_settings, tmp_path):
    with pytest.raises(UserError, match="has no split 'train'. It has: validation"):
        fine_tune(short_settings, {"validation": SHORT_ROWS}, tmp_path)


@pytest.mark.fault("predict")
def test_two_writers_mix_no_rows(tmp_path):
    out, rows = tmp_path / "out.jsonl", [{"label": "good"}] * 40_000
    both = [start_process(write_rows, out, [name] * 40_000, rows) for name in "ab"]
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
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


@pytest.mark.slow
@pytest.mark.fault("hostile files")
def test_linked_looks_are_not_followed(short_settings, tmp_path, reference_run):
    run = Run(shutil.copytree(reference_run(short_settings, SHORT_ROWS).path, tmp_path / "theirs/x"))
    outside = tmp_path / "profile"
    outside.write_text("mine\n")
    (tmp_path / "theirs/test_looks.jsonl").symlink_to(outside)
    run.evaluate()
    assert outside.read_text() == "mine\n"


def test_other_machine_warns(tmp_path, capsys, interrupt_run):
    run = interrupt_run(tmp_path)
    threads = run.record["machine"]["threads"]
    run.update(machine={**run.record["machine"], "threads": 77}, versions={**run.record["versions"], "torch": "2.0"})
    run.resume(ROWS)
    message = capsys.readouterr().err
    assert f"threads was 77, is {threads}: the result may differ" in message and "torch was 2.0, is " in message
    assert run.record["machine"]["threads"] == 77 and run.record["resumed"][0]["changed"]["threads"] == [77, threads]
