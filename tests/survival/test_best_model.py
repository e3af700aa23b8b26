"""The best model is the recorded one, also after a stop and a resume, or there is an error."""

import json
import math
import shutil

import numpy as np
import pytest
from conftest import mark_slow
from runs import ROWS, SHORT_ROWS, TASK, only_classification, read_fingerprint
from transformers import TrainerCallback

import ftkit.tasks.classification
import ftkit.tasks.generation
import ftkit.trainer
from ftkit.errors import NotFinite, RunFailed
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.checkpoints import find_newest
from ftkit.settings import CLASSIFICATION

METRIC, BEST = ("accuracy", max) if TASK == CLASSIFICATION else ("loss", min)


def score_again(run) -> float:
    "The given model's headline score on the validation rows"
    rows = run.predictions.query("split == 'validation'")
    if TASK == CLASSIFICATION:
        return float(np.mean([a["label"] == label for a, label in zip(run.predict(rows.text.tolist()), rows.label)]))
    model, tokenizer = run.open_model()
    data, _ = run.task.read_again(rows, run.data)
    return run.task.score(run.task.predict(model, tokenizer, data, run.settings))[METRIC].value


@pytest.mark.fault("best model")
def test_best_model_is_recorded_one(settings, reference_run):
    run = reference_run(settings, ROWS)
    scores = {row["step"]: row[f"eval_{METRIC}"] for row in run.history if f"eval_{METRIC}" in row}
    assert (
        run.record["best"]["value"]
        == BEST(scores.values())
        == scores[run.record["best"]["step"]]
        == pytest.approx(score_again(run))
    )


@pytest.mark.fault("best model")
@pytest.mark.parametrize("happened", mark_slow(["killed", "moved", "deleted"], fast=["deleted"]))
def test_resumed_run_keeps_best_model(tmp_path, capsys, reference, interrupt_run, happened):
    run = interrupt_run(tmp_path / "a")
    best = json.loads((find_newest(run.path / "checkpoints")[0] / "manifest.json").read_text())["best"]
    if happened == "moved":
        shutil.move(tmp_path / "a", tmp_path / "b")
        run = Run.load("x", tmp_path / "b")
    elif happened == "deleted":
        shutil.rmtree(run.path / f"checkpoints/step-{best}")
    run.resume(ROWS)
    assert read_fingerprint(run) == reference and run.record["best"]["value"] == pytest.approx(score_again(run))
    message = f"step-29 was skipped: of step-{best}, the best so far, its manifest is missing or torn"
    assert (message in capsys.readouterr().err) == (happened == "deleted")


@pytest.mark.slow
@only_classification
@pytest.mark.fault("best model")
def test_first_equal_epoch_is_best(settings, tmp_path):
    run = fine_tune(settings.replace(learning_rate=1e-9), ROWS, tmp_path, "x")
    assert run.record["best"]["step"] == 12 and run.record["best"]["value"] == pytest.approx(score_again(run))


@pytest.mark.fault("best model")
@pytest.mark.parametrize("how", mark_slow(["deleted", "damaged"], fast=["deleted"]))
def test_lost_best_checkpoint_raises(settings, tmp_path, monkeypatch, how):
    class Vandal(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            if state.global_step == 36:
                best = tmp_path / f"x/checkpoints/step-{state.best_global_step}"
                shutil.rmtree(best) if how == "deleted" else (best / "model.safetensors").write_bytes(b"torn")

    make = ftkit.trainer.make_trainer
    monkeypatch.setattr(
        ftkit.trainer,
        "make_trainer",
        lambda *args, **keys: (lambda t: (t.add_callback(Vandal()), t)[1])(make(*args, **keys)),
    )
    with pytest.raises(RunFailed, match=r"^step-\d+ has the best weights .*they cannot be loaded"):
        fine_tune(settings, ROWS, tmp_path, "x")
    assert Run.load("x", tmp_path).status == "failed" and not (tmp_path / "x/model").exists()


@pytest.mark.fault("best model")
def test_nan_metric_raises(settings, tmp_path, monkeypatch):
    task = ftkit.tasks.classification if TASK == CLASSIFICATION else ftkit.tasks.generation
    monkeypatch.setattr(task, "compute_metrics", lambda prediction: {METRIC: math.nan})
    with pytest.raises((RunFailed, NotFinite), match=f"no evaluation returned a comparable {METRIC}|not finite"):
        fine_tune(settings, ROWS, tmp_path, "x")


@pytest.mark.slow
@only_classification
@pytest.mark.fault("best model")
def test_best_step_is_always_saved(short_settings, tmp_path):
    run = fine_tune(
        short_settings.replace(eval_strategy="steps", eval_steps=3, save_steps=6, learning_rate=1e-9),
        SHORT_ROWS,
        tmp_path,
        "x",
    )
    assert run.status == "finished" and run.record["best"]["step"] == 3 and (run.path / "checkpoints/step-3").is_dir()
