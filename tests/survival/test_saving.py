"""When checkpoints are saved: at epochs' ends, at the best step, and as often as their share of the time allows."""

import os
import signal

import pytest
from conftest import mark_slow
from runs import ROWS, SHORT_ROWS, act_at_step, raise_at_step, read_fingerprint

import ftkit.training.callbacks
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.checkpoints import find_newest


@pytest.fixture
def saves(monkeypatch):
    "The steps whose checkpoints were committed"
    steps, commit = [], ftkit.training.callbacks.commit
    monkeypatch.setattr(ftkit.training.callbacks, "commit", lambda *args: (steps.append(args[2]), commit(*args))[1])
    return steps


@pytest.mark.slow
def test_saving_share_limits_checkpoints(settings, tmp_path, monkeypatch, saves):
    settings = settings.replace(num_train_epochs=1)
    fine_tune(settings, ROWS, tmp_path, "few")
    few = list(saves)
    saves.clear()
    monkeypatch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 1e9)
    fine_tune(settings, ROWS, tmp_path, "all")
    assert 12 in few and len(few) < len(saves) and saves == list(range(1, 13))


@pytest.mark.fault("stopped")
@pytest.mark.parametrize("step", mark_slow([12, 13, 36]))
def test_epoch_end_stop_keeps_evaluation(settings, tmp_path, monkeypatch, reference, step):
    with monkeypatch.context() as patch:
        patch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 1e9)
        act_at_step(patch, step, lambda trainer, work: (os.kill(os.getpid(), signal.SIGINT), work())[1])
        with pytest.raises(KeyboardInterrupt):
            fine_tune(settings, ROWS, tmp_path, "x")
    run = Run.load("x", tmp_path)
    assert (
        run.status == "stopped"
        and find_newest(run.path / "checkpoints")[0].name == f"step-{step if step == 13 else step - 1}"
    )
    run.resume(ROWS)
    evaluated = [row["step"] for row in run.history if "eval_loss" in row]
    assert read_fingerprint(run) == reference and evaluated == [12, 24, 36]


@pytest.mark.fault("killed")
def test_every_epoch_is_saved_once(short_settings, tmp_path, monkeypatch, saves):
    monkeypatch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 1e9)
    settings = short_settings.replace(eval_strategy="no")
    reference = fine_tune(settings, SHORT_ROWS, tmp_path, "reference")
    assert sorted(saves) == sorted(set(saves)) and {6, 12, 18} <= set(saves)
    monkeypatch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 0)
    raise_at_step(monkeypatch, 15)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(settings, SHORT_ROWS, tmp_path, "x")
    monkeypatch.undo()
    assert {p.name for p in (tmp_path / "x/checkpoints").glob("step-*")} == {"step-6", "step-12"}
    resumed = read_fingerprint(Run.load("x", tmp_path).resume(SHORT_ROWS))
    assert resumed == read_fingerprint(reference)
