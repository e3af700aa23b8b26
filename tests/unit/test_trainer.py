"Training: the loss and the weights of the labels."

import pytest
import torch
from conftest import small_dataset
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from ftkit.data import load_data
from ftkit.model_init import load_model
from ftkit.tokenizer import load_tokenizer, tokenize
from ftkit.trainer import class_weights, classification_loss


@pytest.mark.parametrize("weights", [None, [3.0, 1.0, 0.5]])
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
