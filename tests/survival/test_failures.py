"What goes wrong while a model trains: numbers that are not finite, no memory, no room, a best model that is gone, a cell that is run again."

import json
import math
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import assemble
from datasets import Dataset
from transformers import TrainerCallback

import ftkit.tasks.classification
import ftkit.trainer
import ftkit.training.callbacks
from ftkit.data import load_data
from ftkit.errors import NotFinite, RunFailed, UserError
from ftkit.files.atomic import count_bytes, sha256_file
from ftkit.fine_tuning import Run, fine_tune
from ftkit.model_init import load_model, weights_sha256
from ftkit.runs.checkpoints import find_newest
from ftkit.runs.session import create_run
from ftkit.settings import Settings
from ftkit.tokenizer import load_tokenizer, tokenize
from ftkit.trainer import OrderedTrainer, train

RNG = np.random.default_rng(0)
ROWS = Dataset.from_list(
    [
        {
            "text": f"{' '.join(RNG.choice(['warm', 'late', 'grey', 'fine', 'cold'], 6))} {i}",
            "label": str(RNG.choice(["bad", "good"])),
        }
        for i in range(120)
    ]
)


@pytest.fixture
def settings(tiny):
    "A run of 36 updates, with dropout, whose accuracy goes up and down"
    return Settings().replace(
        model_name_or_path=tiny,
        num_train_epochs=3,
        save_total_limit=2,
        per_device_train_batch_size=8,
        logging_steps=1,
        learning_rate=2e-3,
        dropout=0.1,
        baselines=[],
        bf16=False,
    )


@pytest.fixture(scope="module")
def reference(tiny, tmp_path_factory):
    "The run that nothing happened to: (weights, losses)"
    settings = Settings().replace(
        model_name_or_path=tiny,
        num_train_epochs=3,
        save_total_limit=2,
        per_device_train_batch_size=8,
        logging_steps=1,
        learning_rate=2e-3,
        dropout=0.1,
        baselines=[],
        bf16=False,
    )
    return fingerprint(fine_tune(settings, ROWS, tmp_path_factory.mktemp("whole"), "whole"))


def fingerprint(run):
    "Weights and losses"
    return run.record["weights"], [(row["step"], row["loss"]) for row in run.history if "loss" in row]


def hash_files(folder: Path) -> dict:
    "Every file of a folder"
    return {p.relative_to(folder).as_posix(): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def at_step(monkeypatch, number, act, method="training_step"):
    "Let something happen just before the Trainer works on a step: `act(trainer, result)` gives what the step gives"
    plain = getattr(OrderedTrainer, method)

    def patched(self, *args, **kwargs):
        return (
            act(self, lambda: plain(self, *args, **kwargs))
            if self.state.global_step + 1 == number
            else plain(self, *args, **kwargs)
        )

    monkeypatch.setattr(OrderedTrainer, method, patched)


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
@pytest.mark.parametrize("what", ["loss", "infinite loss", "gradient", "weights"])
@pytest.mark.parametrize("clipping", [1.0, pytest.param(0.0, marks=pytest.mark.slow)])
def test_not_finite_step_stops_run(settings, tmp_path, monkeypatch, reference, what, clipping):
    seen = {}
    at_step(monkeypatch, 14, make_poison(what))
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
        match=r"^step 14: the (loss|gradient) is not finite; the weights were not changed.*learning rate.*The last complete checkpoint is step-1[23]\.$",
    ):
        fine_tune(settings.replace(max_grad_norm=clipping), ROWS, tmp_path, "x")
    run = Run.load("x", tmp_path)
    assert seen["updates"] == 13 and run.status == "failed" and "not finite" in run.record["reason"]
    losses = fingerprint(run)[1]
    assert [step for step, _ in losses] == list(range(1, 14)) and all(
        loss > 0 and math.isfinite(loss) for _, loss in losses
    )
    assert find_newest(run.path / "checkpoints")[1] == []


@pytest.mark.fault("not finite")
def test_unused_weight_is_checked(settings, tmp_path, monkeypatch):
    def act(trainer, step):
        trainer.model.get_input_embeddings().weight.data[-1, 0] = math.nan
        return step()

    at_step(monkeypatch, 20, act)
    with pytest.raises(
        NotFinite,
        match=r"^step 2\d: the weights of \S+wte.weight are not finite; they are not saved. The last complete checkpoint is step-1\d\.$",
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
    assert fingerprint(Run.load("x", tmp_path))[1] == []


@pytest.mark.fault("not finite")
@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_exploding_learning_rate_stops_run(settings, tmp_path, rate):
    with pytest.raises(NotFinite, match="a learning rate that is too high"):
        fine_tune(settings.replace(learning_rate=rate, max_grad_norm=0), ROWS, tmp_path, "x")
    assert Run.load("x", tmp_path).status == "failed"


def limit_batch(monkeypatch, number, error, most=4):
    "From a step on, batches of more rows than `most` do not fit"
    plain = OrderedTrainer.training_step

    def step(self, model, inputs, *args):
        if len(inputs["labels"]) > most and self.state.global_step + 1 >= number:
            error()
        return plain(self, model, inputs, *args)

    monkeypatch.setattr(OrderedTrainer, "training_step", step)


def raise_cuda():
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB"
    )


def raise_python():
    raise MemoryError


def raise_allocator():
    "The real allocator's own refusal"
    torch.empty(2**60, dtype=torch.uint8)


@pytest.fixture(scope="module")
def small_batches(tiny, tmp_path_factory):
    "A clean run at the batch size that fits"
    settings = Settings().replace(
        model_name_or_path=tiny,
        num_train_epochs=3,
        save_total_limit=2,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        logging_steps=1,
        learning_rate=2e-3,
        dropout=0.1,
        baselines=[],
        bf16=False,
    )
    return fingerprint(fine_tune(settings, ROWS, tmp_path_factory.mktemp("small"), "x"))


@pytest.mark.fault("out of memory")
@pytest.mark.parametrize(
    "number, error",
    [
        pytest.param(1, raise_cuda, marks=pytest.mark.slow),
        pytest.param(7, raise_cuda, marks=pytest.mark.slow),
        (30, raise_cuda),
        (7, raise_python),
        pytest.param(30, raise_allocator, marks=pytest.mark.slow),
    ],
)
def test_out_of_memory_halves_batch(settings, tmp_path, monkeypatch, capsys, small_batches, number, error):
    limit_batch(monkeypatch, number, error)
    run = fine_tune(settings, ROWS, tmp_path, "x")
    assert fingerprint(run) == small_batches
    assert (run.settings.per_device_train_batch_size, run.settings.gradient_accumulation_steps) == (4, 2)
    message = "out of memory: starting again from the first weights with per_device_train_batch_size = 4, gradient_accumulation_steps = 2"
    assert message in capsys.readouterr().err and run.record["started_again"] == [message]
    assert all(find_newest(run.path / "checkpoints")[0].parent.glob("step-*")) and fingerprint(run)[1][0][0] == 1


@pytest.mark.fault("out of memory")
def test_real_memory_limit_halves_batch(settings, tmp_path, monkeypatch, small_batches):
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limit = resource.getrlimit(resource.RLIMIT_AS)
    plain = OrderedTrainer.training_step

    def hungry(self, model, inputs, *args):
        weight = torch.empty(len(inputs["labels"]) * 500_000_000, dtype=torch.uint8)
        weight[-1] = 0
        return plain(self, model, inputs, *args)

    monkeypatch.setattr(OrderedTrainer, "training_step", hungry)
    resource.setrlimit(resource.RLIMIT_AS, (held + 3_000_000_000, limit[1]))
    try:
        run = fine_tune(settings, ROWS, tmp_path, "x")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    assert fingerprint(run) == small_batches


@pytest.mark.fault("out of memory")
def test_oversized_row_names_remedies(settings, tmp_path, monkeypatch):
    limit_batch(monkeypatch, 1, raise_cuda, most=0)
    with pytest.raises(RunFailed, match="one row at a time. Use method = lora or head, a smaller max_seq_length"):
        fine_tune(settings.replace(per_device_train_batch_size=2), ROWS, tmp_path, "x")
    assert Run.load("x", tmp_path).status == "failed"


def test_evaluation_resumes_in_smaller_batches(settings, tmp_path, monkeypatch, reference):
    plain = OrderedTrainer.prediction_step

    def step(self, model, inputs, *args, **kwargs):
        if len(inputs["labels"]) > 4:
            raise_cuda()
        return plain(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(OrderedTrainer, "prediction_step", step)
    assert fingerprint(fine_tune(settings, ROWS, tmp_path, "x")) == reference


@pytest.fixture
def disk(tmp_path):
    "A file system of its own: `disk(kilobytes)` makes it that large"
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here (that takes root)")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill_disk(folder: Path, left: int) -> None:
    "Leave that many bytes"
    with open(folder / "filler", "wb") as f:
        os.posix_fallocate(f.fileno(), 0, max(shutil.disk_usage(folder).free - left, 1))


SHARES = [0, 0.001, 0.1, 0.3, 0.34, 0.5, 0.8, 0.95, 0.99, 0.999]


@pytest.mark.fault("disk full")
@pytest.mark.parametrize("asked", [True, False], ids=["asked before", "found while writing"])
@pytest.mark.parametrize("share", [s if s == 0.5 else pytest.param(s, marks=pytest.mark.slow) for s in SHARES])
def test_full_disk_loses_nothing(settings, disk, monkeypatch, capsys, reference, share, asked):
    def act(trainer, step):
        before.update(hash_files(disk / "x/checkpoints"))
        fill_disk(disk, int(share * count_bytes(find_newest(disk / "x/checkpoints")[0])))
        return step()

    before = {}
    at_step(monkeypatch, 20, act)
    if not asked:
        monkeypatch.setattr(ftkit.training.callbacks, "check_free_space", lambda *args: None)
    monkeypatch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 0)
    with pytest.raises(RunFailed) as raised:
        fine_tune(
            settings.replace(save_strategy="steps", save_steps=6, eval_strategy="steps", eval_steps=6), ROWS, disk, "x"
        )
    message = str(raised.value)
    assert "3.7 MB" in message and "free" in message and "Free some space" in message and "\n" not in message
    run = Run.load("x", disk)
    assert (
        run.status == "failed" and "free" in run.record["reason"] and "step-18 is complete" in capsys.readouterr().err
    )
    assert hash_files(disk / "x/checkpoints") == before and find_newest(disk / "x/checkpoints")[1] == []
    monkeypatch.undo()
    (disk / "filler").unlink()
    assert (
        fingerprint(run.resume(ROWS))[0]["final_sha256"] and find_newest(disk / "x/checkpoints")[0].name == "step-36"
    )
    assert fingerprint(run)[1] == reference[1]


@pytest.mark.fault("disk full")
def test_full_disk_refuses_resume(settings, disk, monkeypatch, reference):
    run = interrupt_run(settings, disk, monkeypatch)
    before = hash_files(run.path)
    fill_disk(disk, 20_000)
    with pytest.raises(RunFailed, match="cannot be written"):
        run.resume(ROWS)
    assert hash_files(run.path) == before and not run.is_alive()
    (disk / "filler").unlink()
    assert fingerprint(run.resume(ROWS)) == reference


@pytest.mark.fault("disk full")
def test_small_disk_is_reported_early(settings, disk):
    fill_disk(disk, 12_000_000)
    with pytest.raises(
        RunFailed,
        match=r"training, with room for 4 checkpoints, needs 1\d MB, and .* has 12 MB free\. Free some space, or give --runs_dir on another disk\.",
    ):
        fine_tune(settings, ROWS, disk, "x")
    assert Run.load("x", disk).history == []


@pytest.mark.fault("disk full")
def test_file_size_limit_loses_nothing(settings, tmp_path, monkeypatch, reference):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    at_step(
        monkeypatch,
        20,
        lambda trainer, step: (resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limit[1])), step())[1],
    )
    try:
        with pytest.raises(RunFailed, match="3.7 MB"):
            fine_tune(settings, ROWS, tmp_path, "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    monkeypatch.undo()
    run = Run.load("x", tmp_path)
    assert run.status == "failed" and fingerprint(run.resume(ROWS)) == reference


def interrupt_run(settings, folder, monkeypatch, step=30):
    "A run that was stopped in its third epoch"

    def stop(trainer, work):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 1e9)
        at_step(patch, step, stop)
        with pytest.raises(KeyboardInterrupt):
            fine_tune(settings, ROWS, folder, "x")
    return Run.load("x", folder)


def score_again(run) -> float:
    "The given model's accuracy on the validation rows"
    rows = run.predictions.query("split == 'validation'")
    return float(np.mean([a["label"] == label for a, label in zip(run.predict(rows.text.tolist()), rows.label)]))


@pytest.mark.fault("best model")
def test_best_model_is_recorded_one(settings, tmp_path, monkeypatch, reference):
    run = fine_tune(settings, ROWS, tmp_path, "x")
    scores = {row["step"]: row["eval_accuracy"] for row in run.history if "eval_accuracy" in row}
    assert (
        run.record["best"]["value"]
        == max(scores.values())
        == scores[run.record["best"]["step"]]
        == pytest.approx(score_again(run))
    )


@pytest.mark.fault("best model")
@pytest.mark.parametrize("happened", ["killed", "moved", "deleted"])
def test_resumed_run_keeps_best_model(settings, tmp_path, monkeypatch, capsys, reference, happened):
    run = interrupt_run(settings, tmp_path / "a", monkeypatch)
    best = json.loads((find_newest(run.path / "checkpoints")[0] / "manifest.json").read_text())["best"]
    if happened == "moved":
        shutil.move(tmp_path / "a", tmp_path / "b")
        run = Run.load("x", tmp_path / "b")
    elif happened == "deleted":
        shutil.rmtree(run.path / f"checkpoints/step-{best}")
    run.resume(ROWS)
    assert fingerprint(run) == reference and run.record["best"]["value"] == pytest.approx(score_again(run))
    message = f"step-29 was skipped: of step-{best}, the best so far, its manifest is missing or torn"
    assert (message in capsys.readouterr().err) == (happened == "deleted")


@pytest.mark.fault("best model")
def test_first_equal_epoch_is_best(settings, tmp_path):
    run = fine_tune(settings.replace(learning_rate=1e-9), ROWS, tmp_path, "x")
    assert run.record["best"]["step"] == 12 and run.record["best"]["value"] == pytest.approx(score_again(run))


@pytest.mark.fault("best model")
@pytest.mark.parametrize("how", ["deleted", "damaged"])
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
    monkeypatch.setattr(ftkit.tasks.classification, "compute_metrics", lambda prediction: {"accuracy": math.nan})
    with pytest.raises(RunFailed, match="no evaluation returned a comparable accuracy"):
        fine_tune(settings, ROWS, tmp_path, "x")


def make_pieces(settings):
    "What the cells of a notebook make"
    data, report = load_data(ROWS)
    tokenizer = load_tokenizer(settings.model_name_or_path)
    tokens = tokenize(data, tokenizer)
    return tokens, tokenizer, lambda: load_model(settings.model_name_or_path, report["labels"], tokenizer, dropout=0.1)


@pytest.mark.fault("cell run again")
@pytest.mark.parametrize(
    "again", ["trainer.train()", "train(trainer, run)", "a new trainer, the old model", "a new model, the old run"]
)
def test_cell_rerun_changes_nothing(settings, tmp_path, again):
    tokens, tokenizer, fresh = make_pieces(settings)
    settings = settings.replace(num_train_epochs=1)
    model = fresh()
    session = create_run(settings, tmp_path, "x")
    run = session.run
    trainer = assemble(model, tokens, tokenizer, settings, run)
    with session:
        train(trainer, run)
    weights, files = weights_sha256(model), hash_files(run.path)
    with pytest.raises(UserError, match="already been trained|this run is finished"):
        if again == "trainer.train()":
            trainer.train()
        elif again == "train(trainer, run)":
            train(trainer, run)
        elif again == "a new trainer, the old model":
            with create_run(settings, tmp_path, "y") as other:
                train(assemble(model, tokens, tokenizer, settings, other), other)
        else:
            train(assemble(fresh(), tokens, tokenizer, settings, run), run)
    assert weights_sha256(model) == weights and hash_files(run.path) == files


@pytest.mark.fault("cell run again")
def test_stopped_cell_rerun_is_refused(settings, tmp_path, monkeypatch, reference):
    tokens, tokenizer, fresh = make_pieces(settings)
    model = fresh()
    session = create_run(settings, tmp_path, "x")
    run = session.run
    trainer = assemble(model, tokens, tokenizer, settings, run)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), session:
        at_step(patch, 20, lambda trainer, step: (_ for _ in ()).throw(KeyboardInterrupt))
        train(trainer, run)
    assert not model.training and run.status == "stopped"
    for cell in (lambda: trainer.train(), lambda: train(trainer, run)):
        with pytest.raises(UserError, match="already been trained"):
            cell()
    assert fingerprint(Run.load("x", tmp_path).resume(ROWS)) == reference


@pytest.mark.fault("cell run again")
def test_fine_tune_again_is_identical(settings, tmp_path, reference):
    first = fine_tune(settings, ROWS, tmp_path, "x")
    files = hash_files(first.path)
    with pytest.raises(UserError, match="there is already a run 'x'"):
        fine_tune(settings, ROWS, tmp_path, "x")
    second = fine_tune(settings, ROWS, tmp_path)
    assert (
        fingerprint(second) == fingerprint(first) == reference
        and second.path != first.path
        and hash_files(first.path) == files
    )


def test_saving_share_limits_checkpoints(settings, tmp_path, monkeypatch):
    saves = []
    commit = ftkit.training.callbacks.commit
    monkeypatch.setattr(ftkit.training.callbacks, "commit", lambda *args: (saves.append(args[2]), commit(*args))[1])
    fine_tune(settings, ROWS, tmp_path, "few")
    few = list(saves)
    saves.clear()
    monkeypatch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 1e9)
    fine_tune(settings, ROWS, tmp_path, "all")
    assert {12, 24, 36} <= set(few) and len(few) < len(saves) and saves == list(range(1, 37))


def test_other_machine_warns(settings, tmp_path, monkeypatch, capsys):
    run = interrupt_run(settings, tmp_path, monkeypatch)
    threads = run.record["machine"]["threads"]
    run.update(machine={**run.record["machine"], "threads": 77}, versions={**run.record["versions"], "torch": "2.0"})
    run.resume(ROWS)
    message = capsys.readouterr().err
    assert f"threads was 77, is {threads}: the result may differ" in message and "torch was 2.0, is " in message
    assert run.record["machine"]["threads"] == 77 and run.record["resumed"][0]["changed"]["threads"] == [77, threads]


@pytest.mark.fault("stopped")
@pytest.mark.parametrize("step", [12, 13, 36])
def test_epoch_end_stop_keeps_evaluation(settings, tmp_path, monkeypatch, reference, step):
    with monkeypatch.context() as patch:
        patch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 1e9)
        at_step(patch, step, lambda trainer, work: (os.kill(os.getpid(), signal.SIGINT), work())[1])
        with pytest.raises(KeyboardInterrupt):
            fine_tune(settings, ROWS, tmp_path, "x")
    run = Run.load("x", tmp_path)
    assert (
        run.status == "stopped"
        and find_newest(run.path / "checkpoints")[0].name == f"step-{step if step == 13 else step - 1}"
    )
    run.resume(ROWS)
    assert fingerprint(run) == reference and [row["step"] for row in run.history if "eval_loss" in row] == [12, 24, 36]
