"The main job on real input: `make slow`. The tweets lie outside the project."

import json

import numpy as np
import pytest
import torch

SEEDS = (1, 42)
LABELS = ["negative", "neutral", "positive"]


def score_plain_trainer(tweets, seed, folder) -> float:
    "Return the accuracy on all test rows of the plain Trainer, on the same 1,000 rows with the same settings"
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    from ftkit.data import load_data
    from ftkit.starter import minilm_path
    from ftkit.training.hardware import pick_precision

    data, _ = load_data(
        train_file=str(tweets / "train.csv"),
        test_file=str(tweets / "test.csv"),
        text_column_name="text",
        label_column_name="sentiment",
        max_train_samples=1000,
    )
    tokenizer = AutoTokenizer.from_pretrained(minilm_path())
    tokens = data.map(lambda b: tokenizer(b["text"], truncation=True, max_length=128), batched=True)
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(minilm_path(), num_labels=3, dtype=torch.float32)
    args = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=64,
        num_train_epochs=3,
        learning_rate=2e-4,
        bf16=pick_precision() == "bf16",
        use_cpu=True,
        seed=seed,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=tokens["train"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.train()
    prediction = trainer.predict(tokens["test"])
    return float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_tweets_match_plain_trainer(tweets, ftkit, tmp_path):
    ours, plain = [], []
    for seed in SEEDS:
        keys = [
            "--train_file",
            tweets / "train.csv",
            "--test_file",
            tweets / "test.csv",
            "--text_column_name",
            "text",
            "--label_column_name",
            "sentiment",
        ]
        done = ftkit(
            "train",
            *keys,
            "--max_train_samples",
            1000,
            "--baselines",
            "tfidf",
            "--seed",
            seed,
            "--run",
            f"s{seed}",
            "--json",
            cwd=tmp_path,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert record["metrics"]["test"]["accuracy"]["n"] == 3534 and record["data"]["train"]["rows"] == 1000
        ours.append(record["metrics"]["test"]["accuracy"]["value"])
        plain.append(score_plain_trainer(tweets, seed, tmp_path / "plain"))
        print(
            seed,
            f"ftkit {ours[-1]:.4f} in {record['timing']['train_seconds']:.0f} s, plain {plain[-1]:.4f}",
            f"tfidf {record['baselines']['tfidf']['accuracy']['value']:.4f}",
        )
    assert np.mean(ours) >= 0.735 and np.mean(ours) >= np.mean(plain) - 0.015
    assert record["baselines"]["tfidf"]["accuracy"]["value"] < np.mean(ours) - 0.1
