"Training: the loss, the order of the rows, evaluation, and the run folder."

import json
import os
import threading

import numpy as np
import pytest
import torch
from conftest import assemble, small_rows
from datasets import Dataset
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from ftkit.data import load_data
from ftkit.files.atomic import count_bytes
from ftkit.fine_tuning import Run, fine_tune
from ftkit.metrics import softmax
from ftkit.model_init import load_model
from ftkit.runs.checkpoints import find_newest, find_problem
from ftkit.runs.session import create_run
from ftkit.settings import Settings
from ftkit.tokenizer import load_tokenizer, tokenize
from ftkit.trainer import class_weights, classification_loss, train
from ftkit.training.sampler import EpochSampler
from ftkit.views.errors import error_table

ROWS = Dataset.from_list([{"text": r["review"], "label": r["stars"]} for r in small_rows(90)])


def quick(tiny, **keys):
    "Settings for a run of a second"
    return Settings().replace(
        **{
            "model_name_or_path": tiny,
            "num_train_epochs": 2,
            "per_device_train_batch_size": 8,
            "baselines": ["majority"],
            "learning_rate": 1e-3,
            "dropout": 0.1,
            **keys,
        }
    )


@pytest.mark.parametrize("weights", [None, [3.0, 1.0, 0.5]])
def test_accumulated_gradients_are_those_of_the_whole_batch(tiny, weights, tmp_path):
    tokenizer = load_tokenizer(tiny)
    tokens = tokenize(load_data(ROWS)[0], tokenizer)["train"].select(range(8)).remove_columns("length")
    loss = classification_loss(None if weights is None else torch.tensor(weights))

    def first_update(batch, accumulation):
        model = load_model(tiny, ["bad", "flat", "good"], tokenizer)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        args = TrainingArguments(
            output_dir=tmp_path,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            max_steps=1,
            max_grad_norm=1e9,
            learning_rate=0.0,
            use_cpu=True,
            logging_steps=1,
            disable_tqdm=True,
            train_sampling_strategy="sequential",
            save_strategy="no",
        )
        trainer = Trainer(
            model=model,
            args=args,
            train_dataset=tokens,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_loss_func=loss,
        )
        trainer.train()
        return next((row["loss"], row["grad_norm"]) for row in trainer.state.log_history if "loss" in row)

    whole = first_update(8, 1)
    assert first_update(2, 4) == pytest.approx(whole, rel=1e-4)
    assert first_update(5, 2) == pytest.approx(whole, rel=1e-4)  # 5 + 3


def test_balanced_weights_count_every_label_the_same():
    weights = class_weights([0] * 6 + [1] * 3 + [2], 3)
    assert (weights * torch.tensor([6.0, 3.0, 1.0])).tolist() == pytest.approx([10 / 3] * 3)


@pytest.mark.parametrize("strategy", ["random", "group_by_length", "sequential"])
def test_the_order_is_a_function_of_seed_and_epoch(strategy):
    lengths = np.random.default_rng(0).integers(1, 60, 1000).tolist()
    sampler = EpochSampler(lengths, 8, strategy, seed=3)
    first = list(sampler)
    torch.manual_seed(99)
    assert list(EpochSampler(lengths, 8, strategy, seed=3)) == first and sorted(first) == list(range(1000))
    sampler.set_epoch(1)
    assert (list(sampler) == first) == (strategy == "sequential")


def test_grouping_saves_padding():
    from ftkit.tokenizer import padding_share

    lengths = np.random.default_rng(0).integers(1, 60, 1000)
    share = {s: padding_share(lengths[list(EpochSampler(lengths, 8, s))], 8) for s in ("random", "group_by_length")}
    assert share["group_by_length"] < 0.1 < 0.3 < share["random"]


@pytest.mark.parametrize("strategy", ["random", "group_by_length", "sequential"])
def test_predictions_come_in_the_order_of_the_rows(tiny, tmp_path, strategy):
    data, _ = load_data(ROWS)
    run = fine_tune(quick(tiny, train_sampling_strategy=strategy), ROWS, tmp_path, "x")
    for name in ("validation", "test"):
        rows = run.predictions.query("split == @name")
        assert rows.text.tolist() == data[name]["text"][:] and rows.label.tolist() == [
            data[name].features["label"].int2str(i) for i in data[name]["label"]
        ]
        answers = run.predict(rows.text.tolist())
        assert np.allclose([list(a["scores"].values()) for a in answers], softmax(np.stack(rows.logits)), atol=1e-5)


def test_evaluation_and_stray_random_numbers_do_not_change_the_weights(tiny, tmp_path):
    def final(name, stray=0, **keys):
        torch.rand(1 + stray)
        return fine_tune(quick(tiny, **keys), ROWS, tmp_path, name).record["weights"]["final_sha256"]

    wanted = final("a", load_best_model_at_end=False)
    assert final("b", stray=7, load_best_model_at_end=False) == wanted
    assert final("c", eval_strategy="no") == wanted
    assert final("d", eval_strategy="steps", eval_steps=3, save_strategy="no", load_best_model_at_end=False) == wanted
    assert final("e", load_best_model_at_end=False, seed=1) != wanted


@pytest.mark.parametrize("method", ["lora", "top_k", "head"])
def test_every_method_saves_a_model_that_opens_alone(tiny, tmp_path, method):
    run = fine_tune(quick(tiny, method=method, top_k_layers=1), ROWS, tmp_path, "x")
    assert (run.path / "model/model.safetensors").is_file() and not (
        run.path / "model/adapter_model.safetensors"
    ).exists()
    rows = run.predictions.query("split == 'test'")
    assert [a["label"] for a in run.predict(rows.text.tolist())] == [
        run.labels[i] for i in np.stack(rows.logits).argmax(-1)
    ]


def test_early_stopping_stops(tiny, tmp_path):
    run = fine_tune(
        quick(tiny, num_train_epochs=20, early_stopping_patience=1, learning_rate=1e-9), ROWS, tmp_path, "x"
    )
    assert run.history[-1]["epoch"] == 2 and run.status == "finished"


def test_the_best_epoch_is_the_one_that_is_kept(tiny, tmp_path):
    run = fine_tune(quick(tiny, num_train_epochs=4, learning_rate=5e-3), ROWS, tmp_path, "x")
    best = max(row["eval_accuracy"] for row in run.history if "eval_accuracy" in row)
    assert run.metrics["validation"]["accuracy"].value == pytest.approx(best)


def test_a_finished_run_keeps_its_model_and_as_many_checkpoints_as_it_was_told_to(tiny, tmp_path):
    run, two = (
        fine_tune(quick(tiny, **keys), ROWS, tmp_path, name)
        for name, keys in (("x", {}), ("two", {"save_total_limit": 2}))
    )
    assert not (run.path / "checkpoints").exists() and run.open_model()
    assert sorted(p.name for p in (two.path / "checkpoints").iterdir()) == ["step-18", "step-9"]
    assert run.record["weights"] == two.record["weights"]
    assert 2 * count_bytes(run.path) < count_bytes(two.path)


def test_a_run_by_hand_whose_model_is_not_saved_keeps_its_checkpoints(tiny, tmp_path):
    settings = quick(tiny)
    data, report = load_data(ROWS)
    tokenizer = load_tokenizer(tiny)
    tokens = tokenize(data, tokenizer)
    model = load_model(tiny, labels=report["labels"], tokenizer=tokenizer)
    with create_run(settings, tmp_path, "x") as run:
        train(assemble(model, tokens, tokenizer, settings, run), run)
    assert run.status == "finished" and find_newest(run.path / "checkpoints")[0].name == "step-18"


def test_checkpoints_verify_and_damage_is_seen(tiny, tmp_path):
    run = fine_tune(quick(tiny, save_total_limit=2), ROWS, tmp_path, "x")
    folder = run.path / "checkpoints"
    checkpoint, passed = find_newest(folder)
    assert passed == [] and find_problem(checkpoint) is None and not (folder / ".staging").exists()
    weights = checkpoint / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert find_problem(checkpoint) == "model.safetensors is not as it was written"
    assert find_newest(folder)[0] != checkpoint
    assert (run.path / "model/model.safetensors").stat().st_mode & 0o044 == 0o044 & ~os.umask(os.umask(0))


def test_a_run_that_fails_says_so_and_a_dead_one_is_not_running(tmp_path):
    with pytest.raises(ZeroDivisionError), create_run(Settings(), tmp_path, "x"):
        1 / 0
    assert Run.load("x", tmp_path).record["reason"] == "ZeroDivisionError: division by zero"
    with pytest.raises(KeyboardInterrupt), create_run(Settings(), tmp_path, "y"):
        raise KeyboardInterrupt
    assert Run.load("y", tmp_path).status == "stopped"
    session = create_run(Settings(), tmp_path, "z")
    assert Run.load("z", tmp_path).status == "running"
    session.lock.release()
    assert Run.load("z", tmp_path).status == "failed"


def test_records_are_whole_for_a_reader_at_any_time(tmp_path):
    session, torn, done = create_run(Settings(), tmp_path, "x"), [], threading.Event()
    run = session.run

    def poll():
        while not done.is_set():
            try:
                json.loads((run.path / "run.json").read_text())
            except ValueError as e:
                torn.append(e)

    reader = threading.Thread(target=poll)
    reader.start()
    for i in range(200):
        run.update(filler="x" * i * 20)
    done.set()
    reader.join()
    assert torn == []


def test_a_run_keeps_its_settings_and_its_name_is_its_own(tiny, tmp_path):
    settings = quick(tiny, adam_beta2=0.95, dataset_name=None)
    run = fine_tune(settings, ROWS, tmp_path, "x")
    assert run.settings == settings and run.record["data"]["read"] == {"train": 90}
    with pytest.raises(ValueError, match="there is already a run 'x'"):
        fine_tune(settings, ROWS, tmp_path, "x")
    assert {"text", "label", "predicted", "confidence"} == set(error_table(run).columns)


def test_hostile_texts_are_escaped_in_the_report(tiny, tmp_path):
    from bs4 import BeautifulSoup

    hostile = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "</td></table><svg onload=alert(1)>",
        "</textarea><b>",
    ]
    rows = [{"text": f"{hostile[i % 4]} {i}", "label": ["<i>a</i>", "b & c"][i % 2]} for i in range(80)]
    run = fine_tune(quick(tiny, num_train_epochs=1, learning_rate=1e-9), Dataset.from_list(rows), tmp_path, "x")
    page = BeautifulSoup(run.report().read_text(encoding="utf-8"), "html.parser")
    assert not page.find_all(["script", "svg", "i", "textarea"]) and not [
        t for t in page.find_all() for a in t.attrs if a.startswith("on")
    ]
    assert all(image["src"].startswith("data:image/png") for image in page.find_all("img"))
    assert "<script>" in page.get_text()
