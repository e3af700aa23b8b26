"Training: the loss and the weights of the labels."

import shutil

import pytest
import torch
from conftest import mark_slow, small_dataset
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from ftkit.data import load_data
from ftkit.errors import UserError
from ftkit.fine_tuning import fine_tune
from ftkit.model_init import load_model
from ftkit.settings import Settings
from ftkit.tokenizer import load_tokenizer, tokenize
from ftkit.trainer import class_weights, classification_loss


@pytest.mark.parametrize("weights", mark_slow([None, [3.0, 1.0, 0.5]], fast=[[3.0, 1.0, 0.5]]))
def test_accumulation_equals_one_batch(tiny, weights, tmp_path):
    tokenizer = load_tokenizer(tiny)
    tokens = tokenize(load_data(small_dataset())[0], tokenizer)["train"].select(range(8)).remove_columns("length")
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


def test_balanced_weights_are_inverse_frequencies():
    weights = class_weights([0] * 6 + [1] * 3 + [2], 3)
    assert (weights * torch.tensor([6.0, 3.0, 1.0])).tolist() == pytest.approx([10 / 3] * 3)


@pytest.mark.parametrize(
    "fields, says",
    [
        ({"dataloader_drop_last": True, "per_device_train_batch_size": 512}, "do not fill a batch of 512"),
        ({"optim": "adamw_8bit"}, "optim = adamw_8bit.*bitsandbytes"),
        ({"adam_beta1": 2.0}, "Invalid beta"),
        ({"lr_scheduler_type": "warmup_stable_decay"}, "lr_scheduler_type = warmup_stable_decay"),
        ({"eval_strategy": "steps"}, "Write eval_steps"),
        ({"save_strategy": "no"}, "save_strategy = no: every evaluation saves"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_finish_are_refused(tiny, tmp_path, fields, says):
    settings = Settings(model_name_or_path=tiny, baselines=[]).replace(**fields)
    with pytest.raises(UserError, match=says) as refusal:
        fine_tune(settings, small_dataset(), tmp_path / "runs", "x")
    assert "\n" not in str(refusal.value) and not list((tmp_path / "runs").glob("*"))


@pytest.mark.parametrize(
    "fields",
    mark_slow(
        [
            {"eval_delay": 500},
            {"eval_strategy": "steps", "eval_steps": 2, "eval_delay": 500},
            {"eval_strategy": "steps", "eval_steps": 500},
        ],
        fast=[{"eval_delay": 500}],
    ),
)
def test_last_step_is_evaluated(tiny, tmp_path, fields):
    settings = Settings(model_name_or_path=tiny, baselines=[], num_train_epochs=1, num_resamples=100)
    run = fine_tune(settings.replace(**fields), small_dataset(), tmp_path, "x")
    last = run.history[-1]["step"]
    assert run.status == "finished" and run.record["best"]["step"] == last
    assert [row["step"] for row in run.history if "eval_loss" in row] == [last]


def test_limit_of_the_model_is_kept(tiny, tmp_path, caplog):
    caplog.set_level("INFO")
    settings = Settings(model_name_or_path=tiny, baselines=[], num_train_epochs=1, num_resamples=100)
    run = fine_tune(settings.replace(max_seq_length=5000), small_dataset(), tmp_path, "x")
    limit = run.settings.max_seq_length
    assert limit == load_tokenizer(tiny).model_max_length < 5000
    assert f"max_seq_length = 5000: the model reads {limit} tokens at most" in caplog.text
    assert (
        f"max_length={limit}" in (run.path / "model/README.md").read_text()
        or str(limit) in (run.path / "model/README.md").read_text()
    )
    with pytest.raises(UserError, match="special tokens alone take 2"):
        fine_tune(Settings(max_seq_length=2), small_dataset(), tmp_path, "y")


@pytest.mark.slow
def test_unknown_script_is_reported(tmp_path, caplog):
    words = {"ก": "สวัสดีครับ", "ข": "ขอบคุณมาก", "en": "good morning"}
    rows = [{"text": f"{word} {i}", "label": label} for i in range(20) for label, word in words.items()]
    settings = Settings(baselines=[], num_resamples=100).replace(max_steps=1)
    run = fine_tune(settings, rows, tmp_path, "x")
    shares = run.data["unknown"]
    assert shares["en"] == 0 and shares["ก"] > 0.2 and "does not know many of the tokens" in caplog.text


def test_pickled_weights_are_refused_with_the_way_out(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "bin")
    (tmp_path / "bin/model.safetensors").rename(tmp_path / "bin/pytorch_model.bin")
    with pytest.raises(UserError, match="pytorch_model.bin alone.*convert it once: python -c"):
        load_tokenizer(str(tmp_path / "bin"))


def test_evaluation_never_drops_rows(tiny, tmp_path):
    settings = Settings(model_name_or_path=tiny, baselines=[], num_train_epochs=1, num_resamples=100)
    run = fine_tune(settings.replace(dataloader_drop_last=True), small_dataset(), tmp_path, "x")
    rows = run.data["validation"]["rows"]
    found = next(row["eval_accuracy"] for row in run.history if "eval_accuracy" in row)
    assert rows % 64 and found == run.metrics["validation"]["accuracy"].value
