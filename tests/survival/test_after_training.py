"What goes wrong after the last step costs neither the model nor a second training."

import errno
import os
import shutil

import pytest
from conftest import mark_slow
from runs import SHORT_ROWS, TASK, only_classification, read_fingerprint

import ftkit.fine_tuning
import ftkit.objective
import ftkit.runs.scoring
from ftkit.cli.main import main
from ftkit.errors import RunFailed, UserError
from ftkit.fine_tuning import TASKS, Run, fine_tune
from ftkit.runs.folder import RunFolder
from ftkit.settings import CLASSIFICATION

OWNER = type(TASKS[TASK])
RUNGS = ["majority", "tfidf"] if TASK == CLASSIFICATION else ["copy", "nearest"]
BOOM = RuntimeError("boom")
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
FAULTS = {  # where, the name that is replaced, what it raises, the step that the record names
    "the model cannot predict": (OWNER, "predict", BOOM, "predictions"),
    "no memory to predict": (OWNER, "predict", MemoryError(), "predictions"),
    "the scores cannot be computed": (OWNER, "score", BOOM, "scores"),
    "a comparison fails": (OWNER, "compare", ValueError("not enough rows"), "scores"),
    "the predictions cannot be written": (RunFolder, "write_predictions", PermissionError(13, "denied"), "scores"),
    "the ladder cannot start": (ftkit.fine_tuning, "ladder", UserError("the base model is gone"), "ladder"),
    "the card cannot be written": (ftkit.fine_tuning, "write_card", BOOM, "card"),
    "the report cannot be drawn": (ftkit.fine_tuning, "write_report", BOOM, "report"),
    "the disk is full at the report": (ftkit.fine_tuning, "write_report", FULL, None),
    "the disk is full at the scores": (RunFolder, "write_predictions", FULL, None),
    "an interrupt while it scores": (OWNER, "compare", KeyboardInterrupt(), None),
    "a SIGTERM while the card is written": (ftkit.fine_tuning, "write_card", SystemExit(143), None),
}

FAST = {
    "the model cannot predict",
    "the disk is full at the report",
    "an interrupt while it scores",
}


def raise_it(error):
    "Return a function that raises an error whatever it is called with"

    def raised(*args, **kwargs):
        raise error

    return raised


@pytest.fixture
def settings(short_settings):
    return short_settings.replace(baselines=RUNGS)


def forbid_training(monkeypatch):
    monkeypatch.setattr(ftkit.fine_tuning, "train_with_retry", raise_it(AssertionError("trained again")))


@pytest.mark.parametrize("fault", mark_slow(FAULTS, FAST))
def test_fault_after_training_is_repaired(settings, tmp_path, monkeypatch, reference_run, fault):
    owner, name, error, step = FAULTS[fault]
    reference = reference_run(settings, SHORT_ROWS)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, raise_it(error))
        with pytest.raises(RunFailed if isinstance(error, Exception) else type(error)) as raised:
            fine_tune(settings, SHORT_ROWS, tmp_path, "x")
    run = Run.load("x", tmp_path)
    assert run.status == ("failed" if isinstance(error, Exception) else "stopped")
    assert "error" not in run.predict(["warm number 1"])[0]
    if step:
        assert step in str(raised.value) and "--again" in str(raised.value)
        assert run.record["steps"][step] != "done" and run.record["steps"]["predictions"] == (
            "done" if step != "predictions" else run.record["steps"][step]
        )
    forbid_training(monkeypatch)
    again = run.resume(SHORT_ROWS)
    assert set(again.record["steps"].values()) == {"done"} and (again.path / "report.html").is_file()
    assert read_fingerprint(again) == read_fingerprint(reference)


@only_classification
def test_rung_that_fails_is_noted(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(ftkit.objective.RUNGS, "tfidf", raise_it(ValueError("empty vocabulary")))
    tuned = fine_tune(settings, SHORT_ROWS, tmp_path, "x")
    assert tuned.status == "finished" and list(tuned.baselines) == RUNGS[:1] and len(tuned.verdicts) == 1
    assert tuned.record["unfitted"] == {"tfidf": "ValueError: empty vocabulary"}
    assert "the rung tfidf could not be fitted (ValueError: empty vocabulary)" in capsys.readouterr().err
    assert "tfidf could not be fitted: ValueError: empty vocabulary" in (tuned.path / "report.html").read_text()


def test_evaluate_again_repeats_all_but_the_training(settings, tmp_path, monkeypatch, capsys):
    rows = tmp_path / "rows.jsonl"
    SHORT_ROWS.to_json(rows)
    tuned = fine_tune(settings.replace(train_file=str(rows)), runs_dir=tmp_path, name="x")
    before = read_fingerprint(tuned)
    for name in ("predictions.parquet", "report.html", "model/README.md"):
        (tuned.path / name).unlink()
    forbid_training(monkeypatch)
    assert main(["evaluate", "x", "--again", "--runs_dir", str(tmp_path)]) == 0
    assert RUNGS[1] in capsys.readouterr().out
    again = Run.load("x", tmp_path)
    assert read_fingerprint(again) == before and again.record["looks"] == 2
    assert all((again.path / name).is_file() for name in ("report.html", "model/README.md"))


@pytest.mark.parametrize("method", mark_slow(["lora", "head" if TASK == CLASSIFICATION else "top_k"], fast=["lora"]))
def test_partly_trained_model_is_evaluated_again(settings, tmp_path, monkeypatch, method):
    tuned = fine_tune(settings.replace(method=method), SHORT_ROWS, tmp_path, "x")
    before = tuned.metrics
    forbid_training(monkeypatch)
    tuned.evaluate(SHORT_ROWS, again=True)
    assert tuned.metrics == before and tuned.status == "finished"


@pytest.mark.slow
def test_other_model_in_the_folder_is_not_evaluated_again(settings, tmp_path):
    tuned = fine_tune(settings, SHORT_ROWS, tmp_path, "x")
    other = fine_tune(settings.replace(seed=1), SHORT_ROWS, tmp_path, "y")
    before = tuned.record
    shutil.copy(other.path / "model/model.safetensors", tuned.path / "model/model.safetensors")
    with pytest.raises(UserError, match="its model is not the one that it trained"):
        tuned.evaluate(SHORT_ROWS, again=True)
    assert tuned.record == before


@pytest.mark.slow
def test_run_without_model_is_not_evaluated_again(settings, tmp_path, interrupt_run):
    run = interrupt_run(tmp_path, settings, SHORT_ROWS, 9)
    with pytest.raises(UserError, match="no model yet"):
        run.evaluate(SHORT_ROWS, again=True)
