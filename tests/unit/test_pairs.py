"Two text columns: a pair for models that take pairs, joined for others; the same in training, prediction and files."

import json

import numpy as np
import pandas as pd
import pytest
from architectures import KINDS, make_base
from conftest import mark_slow, write_csv
from datasets import Dataset, DatasetDict

from ftkit.checks.columns import PAIR, join_parts, show_pair
from ftkit.fine_tuning import Run, fine_tune
from ftkit.model_init import load_model
from ftkit.serving.predict import predict_logits
from ftkit.settings import Settings
from ftkit.tokenizer import count_cut, encode, load_tokenizer, model_columns, takes_pairs, takes_types, tokenize
from ftkit.trainer import OrderedTrainer

TYPED = {"bert", "electra", "deberta-v2"}  # tell the parts apart by token types, as the tokenizers made here have them
PAIRED = TYPED | {"distilbert", "roberta", "albert", "mpnet", "xlnet", "t5", "bart"}
TEXTS = [f"warm{PAIR}cold", "warm cold", f"late{PAIR}it is very late and the bus has left", "a b c", f"{PAIR}late"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    "The base model of a kind, made once"
    folder = tmp_path_factory.mktemp("bases")
    return lambda kind: str(make_base(kind, folder / kind))


def write_rows(folder):
    "A file of questions with two answers, right or wrong: neither column alone tells which"
    words = [("warm", "summer"), ("cold", "winter")]
    rows = [
        {"question": f"when is it {q} outside, number {i}", "answer": f"that is in {a}", "label": label, "id": str(i)}
        for i in range(60)
        for q, a, label in [(words[i % 2][0], words[(i // 2) % 2][1], "right" if i % 2 == (i // 2) % 2 else "wrong")]
    ]
    return write_csv(folder / "pairs.csv", rows), rows


@pytest.mark.parametrize("kind", KINDS)
def test_models_that_take_pairs_are_known(base, kind):
    tokenizer = load_tokenizer(base(kind))
    assert (takes_pairs(tokenizer), takes_types(tokenizer)) == (kind in PAIRED, kind in TYPED)


def test_pair_is_encoded_as_the_model_takes_it(base):
    tokenizer = load_tokenizer(base("bert"))
    found = encode(tokenizer, ["warm", f"warm{PAIR}cold"], typed=True)
    plain = tokenizer("warm", text_pair="cold")
    assert found["input_ids"] == [tokenizer("warm")["input_ids"], plain["input_ids"]]
    assert found["token_type_ids"] == [[0] * len(found["input_ids"][0]), plain["token_type_ids"]]
    causal = load_tokenizer(base("gpt2"))
    assert encode(causal, [f"warm{PAIR}cold"])["input_ids"] == causal(["warm\ncold"])["input_ids"]
    assert encode(tokenizer, []) == {"input_ids": [], "attention_mask": []}


@pytest.mark.parametrize("parts, text", [
    (("a", "b"), f"a{PAIR}b"),
    (("a", None), f"a{PAIR}"),
    (("", "b"), f"{PAIR}b"),
    ((None, " "), ""),
    (("a", "b", "c"), "a\nb\nc"),
    (("a", 7), f"a{PAIR}7"),
    ((f"a{PAIR}", "b"), f"a{PAIR}b"),
])  # fmt: skip
def test_parts_are_joined(parts, text):
    assert join_parts(parts) == text
    assert PAIR not in show_pair(text) and show_pair(None) is None


@pytest.mark.parametrize("kind", KINDS)
def test_pair_has_the_same_answer_in_any_batch(base, kind):
    tokenizer = load_tokenizer(base(kind))
    model = load_model(base(kind), ["a", "b"], tokenizer)
    alone = np.concatenate([predict_logits(model, tokenizer, [text]) for text in TEXTS])
    together = predict_logits(model, tokenizer, TEXTS, batch_size=len(TEXTS))
    assert np.abs(alone - together).max() < 1e-4
    assert np.abs(alone[0] - alone[1]).max() > 1e-4 or kind not in PAIRED  # the border tells


def test_columns_of_a_batch_hold_for_all_splits(base):
    tokenizer = load_tokenizer(base("bert"))
    rows = {"train": ["warm", "cold"], "validation": [f"warm{PAIR}cold"]}
    data = DatasetDict({k: Dataset.from_dict({"text": v, "label": [0] * len(v)}) for k, v in rows.items()})
    tokens = tokenize(data, tokenizer)
    names = ["input_ids", "attention_mask", "token_type_ids", "labels"]
    assert model_columns(tokens["train"]) == model_columns(tokens["validation"]) == names
    single = tokenize(Dataset.from_dict({"text": ["warm"], "label": [0]}), tokenizer)
    assert model_columns(single) == ["input_ids", "attention_mask", "labels"]
    lengths = tokens["validation"]["length"]
    assert count_cut(rows["validation"], lengths, tokenizer, lengths[0]) == 0
    assert count_cut(rows["validation"], lengths, tokenizer, lengths[0] - 1) == 1


@pytest.mark.parametrize("kind", mark_slow(["bert", "roberta", "gpt2"], fast=["roberta"]))
def test_pairs_are_trained_predicted_and_exported(base, ftkit, tmp_path, kind, monkeypatch):
    from transformers import pipeline

    file, rows = write_rows(tmp_path)
    seen, plain = set(), OrderedTrainer.training_step

    def watched(self, model, batch, *rest):
        seen.update(batch)
        return plain(self, model, batch, *rest)

    monkeypatch.setattr(OrderedTrainer, "training_step", watched)
    settings = Settings().replace(
        model_name_or_path=base(kind),
        train_file=str(file),
        text_column_name="question, answer",
        num_train_epochs=1,
        baselines=["majority", "tfidf"],
        num_resamples=100,
    )
    run = fine_tune(settings, runs_dir=tmp_path / "runs", name="x")
    assert ("token_type_ids" in seen) == (kind in TYPED)
    answers = run.predict(pd.DataFrame(rows[:6]))
    assert run.predict([(row["question"], row["answer"]) for row in rows[:6]]) == answers
    assert run.evaluate()["metrics"]["accuracy"].value == run.metrics["test"]["accuracy"].value
    classifier = pipeline("text-classification", model=str(run.path / "model"))
    for row, answer in zip(rows[:6], answers):
        text = {"text": row["question"], "text_pair": row["answer"]}
        text = text if kind in PAIRED else f"{row['question']}\n{row['answer']}"
        found = classifier(text)
        found = found[0] if isinstance(found, list) else found
        assert found["label"] == answer["label"] and found["score"] == pytest.approx(answer["score"], abs=1e-4)
    out = tmp_path / "out.csv"
    done = ftkit("predict", "runs/x", "--file", file, "--out", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = pd.read_csv(out, dtype=str)
    assert list(written["id"]) == [row["id"] for row in rows]
    assert list(written["text"]) == [f"{row['question']}\n{row['answer']}" for row in rows]
    assert list(written["label"][:6]) == [answer["label"] for answer in answers]
    for view in ("report.html", "model/README.md"):
        assert PAIR not in (run.path / view).read_text(encoding="utf-8")
    line = ftkit("predict", "runs/x", "--file", file, "--json", cwd=tmp_path).stdout.splitlines()[0]
    assert json.loads(line)["label"] == answers[0]["label"]
    assert Run.load("x", tmp_path / "runs").data["text_column"] == "question, answer"
