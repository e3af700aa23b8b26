"""A loss, gradient, weight or metric that is not finite ends the run before anything is made of it."""

import math

import pytest
import torch
from conftest import mark_slow
from runs import ROWS, act_at_step, only_classification, read_losses

import ftkit.tasks.classification
import ftkit.trainer
import ftkit.training.callbacks
from ftkit.errors import NotFinite
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.checkpoints import find_newest


def make_poison(what):
    "A step in which something is not finite"

    def act(trainer, step):
        if what == "weights":
            next(p for name, p in trainer.model.named_parameters() if "ln_f" in name).data[0] = math.nan
        loss = step()
        if what == "loss":
            return poison_loss(trainer, loss, math.nan)
        if what == "infinite loss":
            return poison_loss(trainer, loss, math.inf)
        if what == "gradient":
            list(trainer.model.parameters())[4].grad.view(-1)[3] = math.inf
        return loss

    return act


def poison_loss(trainer, loss, value):
    "As if the loss had been this, with gradients that are finite"
    ftkit.training.callbacks.unlogged_loss(trainer.state)["loss"] += value
    return loss * value


@pytest.mark.fault("not finite")
@pytest.mark.parametrize(
    "what",
    mark_slow(["loss", "gradient", "infinite loss", "weights"], fast=["loss", "gradient"]),
)
@pytest.mark.parametrize("clipping", [1.0, pytest.param(0.0, marks=pytest.mark.slow)])
def test_not_finite_step_stops_run(settings, tmp_path, monkeypatch, what, clipping):
    seen = {}
    act_at_step(monkeypatch, 14, make_poison(what))
    monkeypatch.setattr("ftkit.training.trial.time_update", lambda *_: 0.0)  # its updates are not of the model
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda self, *a, step=torch.optim.AdamW.step, **k: (
            seen.update(updates=seen.get("updates", 0) + 1),
            step(self, *a, **k),
        )[1],
    )
    with pytest.raises(
        NotFinite,
        match=r"^step 14: the (loss|gradient) is not finite; the weights were not changed.*learning rate.*"
        r"The last complete checkpoint is step-1[23]\.$",
    ):
        fine_tune(settings.replace(max_grad_norm=clipping), ROWS, tmp_path, "x")
    run = Run.load("x", tmp_path)
    assert seen["updates"] == 13 and run.status == "failed" and "not finite" in run.record["reason"]
    losses = read_losses(run)
    assert [step for step, _ in losses] == list(range(1, 14)) and all(
        loss > 0 and math.isfinite(loss) for _, loss in losses
    )
    assert find_newest(run.path / "checkpoints")[1] == []


@only_classification
@pytest.mark.fault("not finite")
def test_unused_weight_is_checked(settings, tmp_path, monkeypatch):
    def act(trainer, step):
        trainer.model.get_input_embeddings().weight.data[-1, 0] = math.nan
        return step()

    act_at_step(monkeypatch, 20, act)
    with pytest.raises(
        NotFinite,
        match=r"^step 2\d: the weights of \S+wte.weight are not finite; they are not saved. "
        r"The last complete checkpoint is step-1\d\.$",
    ):
        fine_tune(settings, ROWS, tmp_path, "x")
    assert find_newest(tmp_path / "x/checkpoints")[1] == [] and Run.load("x", tmp_path).status == "failed"


@pytest.mark.fault("not finite")
def test_ignored_labels_stop_run(settings, tmp_path, monkeypatch):
    make = ftkit.trainer.make_trainer

    def ignoring(*args, **keys):
        trainer = make(*args, **keys)
        collate = trainer.data_collator
        trainer.data_collator = lambda rows: (
            lambda batch: {**batch, "labels": torch.full_like(batch["labels"], -100)}
        )(collate(rows))
        return trainer

    monkeypatch.setattr(ftkit.trainer, "make_trainer", ignoring)
    with pytest.raises(
        NotFinite, match="^step 1: the loss is not finite.*labels that are wrong.*There is no checkpoint yet"
    ):
        fine_tune(settings, ROWS, tmp_path, "x")
    assert read_losses(Run.load("x", tmp_path)) == []


@pytest.mark.fault("not finite")
@pytest.mark.parametrize("rate", [1e6, pytest.param(1e30, marks=pytest.mark.slow)])
def test_exploding_learning_rate_stops_run(settings, tmp_path, rate):
    with pytest.raises(NotFinite, match="a learning rate that is too high"):
        fine_tune(settings.replace(learning_rate=rate, max_grad_norm=0), ROWS, tmp_path, "x")
    assert Run.load("x", tmp_path).status == "failed"
