"Tokenizer and model: the same text has the same logits, whatever stands beside it."

import numpy as np
import pytest
import torch
from conftest import BAD, FLAT, GOOD
from transformers import GPT2Config, GPT2ForSequenceClassification

from ftkit.data import load_data
from ftkit.errors import UserError
from ftkit.metrics import wilson
from ftkit.model import is_causal, load_config, model_facts
from ftkit.model_init import find_blocks, load_model, trainable_share, weights_sha256
from ftkit.objective import FrozenModel, Objective, build_prompt, few_shot, frozen, pick_shots, zero_shot
from ftkit.serving.predict import predict_logits, predict_rows
from ftkit.tokenizer import load_tokenizer, padding_share, pooled_position, tokenize

LABELS = ["bad", "flat", "good"]
TEXTS = [
    GOOD,
    "no",
    BAD + ", and then it rained for the rest of the day while we waited",
    FLAT,
    "🙂",
    "a b c",
    "ends with <|endoftext|>",
]


@pytest.fixture(scope="module", params=["starter", "tiny"])
def classifier(request, tiny):
    name = tiny if request.param == "tiny" else "starter"
    tokenizer = load_tokenizer(name)
    return load_model(name, LABELS, tokenizer).eval(), tokenizer


def test_the_same_logits_alone_batched_and_in_any_order(classifier):
    model, tokenizer = classifier
    alone = np.concatenate([predict_logits(model, tokenizer, [t]) for t in TEXTS])
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = predict_logits(model, tokenizer, [TEXTS[i] for i in order], batch_size=3)
    assert np.abs(predict_logits(model, tokenizer, TEXTS) - alone).max() < 1e-5
    assert np.abs(shuffled - alone[order]).max() < 1e-5
    assert alone.dtype == np.float32 and np.abs(alone[0] - alone[2]).max() > 1e-4


def test_without_the_pad_id_the_padding_is_pooled(tiny):
    tokenizer = load_tokenizer(tiny)
    model = load_model(tiny, LABELS, tokenizer).eval()
    padded = tokenizer(GOOD, padding="max_length", max_length=64, return_tensors="pt")
    short = tokenizer(GOOD, return_tensors="pt")
    right = (model(**padded).logits - model(**short).logits).abs().max()
    model.config.pad_token_id = None
    wrong = (model(**padded).logits - model(**short).logits).abs().max()
    assert right < 1e-5 < 1e-3 < wrong


def test_the_configuration_knows_labels_and_padding(classifier):
    model, tokenizer = classifier
    assert (
        model.config.num_labels == 3
        and model.config.id2label == dict(enumerate(LABELS))
        and model.config.label2id == {n: i for i, n in enumerate(LABELS)}
    )
    assert model.config.pad_token_id == tokenizer.pad_token_id is not None and tokenizer.padding_side == "right"
    assert model.config.problem_type == "single_label_classification"


def test_master_weights_are_float32_whatever_the_folder_holds(tmp_path):
    config = GPT2Config(vocab_size=300, n_positions=64, n_embd=16, n_layer=2, n_head=2, num_labels=2)
    GPT2ForSequenceClassification(config).to(torch.bfloat16).save_pretrained(tmp_path)
    tokenizer = load_tokenizer("starter")
    assert {p.dtype for p in load_model(str(tmp_path), LABELS[:2], tokenizer).parameters()} == {torch.float32}


def test_the_seed_makes_the_head_and_nothing_else_does(tiny):
    tokenizer = load_tokenizer(tiny)
    torch.rand(3)
    first = weights_sha256(load_model(tiny, LABELS, tokenizer, seed=1))
    torch.rand(5)
    assert (
        weights_sha256(load_model(tiny, LABELS, tokenizer, seed=1))
        == first
        != weights_sha256(load_model(tiny, LABELS, tokenizer, seed=2))
    )


def test_the_methods_learn_what_they_say():
    tokenizer = load_tokenizer("starter")
    share = {
        m: trainable_share(load_model("starter", LABELS, tokenizer, method=m, top_k_layers=2))[2]
        for m in ("full", "lora", "top_k", "head")
    }
    assert share["full"] == 1 and 0 < share["lora"] < 0.02 and share["head"] < 0.02 < share["top_k"] < 0.3
    model = load_model("starter", LABELS, tokenizer, method="top_k", top_k_layers=1)
    learns = [all(p.requires_grad for p in block.parameters()) for block in find_blocks(model)]
    assert learns == [False] * 5 + [True] and model.classifier.weight.requires_grad
    assert not model.bert.embeddings.word_embeddings.weight.requires_grad
    with pytest.raises(UserError, match="top_k_layers = 7: the model has 6 layers"):
        load_model("starter", LABELS, tokenizer, method="top_k", top_k_layers=7)


def test_facts_need_no_weights(tmp_path, tiny):
    GPT2Config().save_pretrained(tmp_path)
    facts = model_facts(str(tmp_path))
    assert facts.parameters == 124_439_808 and facts.causal and facts.context == 1024 and facts.license == "unknown"
    assert (
        not is_causal(load_config("starter"))
        and is_causal(load_config(tiny))
        and model_facts("starter").license == "apache-2.0"
    )
    with pytest.raises(UserError, match="no model can be loaded from there"):
        model_facts(str(tmp_path / "nowhere"))


def test_tokenise_keeps_order_and_cuts(tiny):
    data, _ = load_data(max_train_samples=50, max_eval_samples=20, max_predict_samples=20)
    tokenizer = load_tokenizer(tiny)
    tokens = tokenize(data, tokenizer, max_seq_length=10)
    assert (
        tokens["train"]["labels"][:] == data["train"]["label"][:] and max(map(len, tokens["train"]["input_ids"])) == 10
    )
    assert tokens["train"]["length"][:] == [len(i) for i in tokens["train"]["input_ids"]]
    padded = tokenize(data, tokenizer, max_seq_length=10, pad_to_max_length=True)
    assert (
        set(map(len, padded["train"]["input_ids"])) == {10}
        and padded["train"]["length"][:] == tokens["train"]["length"][:]
    )


def test_padding_share_and_pooled_position():
    assert padding_share([1, 3, 2, 2], 2) == pytest.approx(2 / 10)
    assert padding_share([1, 3, 2, 2], 2, pad_to=4) == pytest.approx(8 / 16)
    assert pooled_position([5, 6, 7, 0, 0], 0) == 2 and pooled_position([5, 6, 7, 0, 0], None) == 4


def test_texts_that_cannot_be_classified_are_answered_in_place(classifier):
    rows = predict_rows(*classifier, [GOOD, "", None, 7, "\ud83d", "\n\t", BAD])
    assert ["error" in r for r in rows] == [False, True, True, True, True, True, False]


@pytest.mark.parametrize("kind", ["starter", "tiny"])
def test_no_rung_beats_chance_on_shuffled_labels(kind, tiny):
    data, report = load_data(max_train_samples=300, max_predict_samples=250)
    labels = np.random.default_rng(0).permutation(data["train"]["label"])
    data["train"] = (
        data["train"]
        .remove_columns("label")
        .add_column("label", labels.tolist(), feature=data["test"].features["label"])
    )
    objective, model = Objective(report["labels"], num_shots=2), FrozenModel(tiny if kind == "tiny" else "starter")
    truth = np.array(data["test"]["label"])
    rungs = (frozen, few_shot) if kind == "starter" else (frozen, few_shot, zero_shot)
    for rung in rungs:
        right = rung(data, data["test"], model, objective) == truth
        assert wilson(right.sum(), len(right), 0.999).low < 0.36, rung.__name__


def test_shots_come_from_train_and_are_balanced():
    data, _ = load_data(max_train_samples=100)
    chosen = pick_shots(data["train"], 3, seed=1)
    assert np.bincount(np.array(data["train"]["label"])[chosen]).tolist() == [3, 3, 3] and chosen == pick_shots(
        data["train"], 3, seed=1
    )
    assert build_prompt("x", ["bad", "good"], [("y", "bad")]).endswith("Post: y\nLabel: bad\n\nPost: x\nLabel:")


def test_likelihood_is_what_the_model_says_token_by_token(tiny):
    model = FrozenModel(tiny)
    prompts, answer = ["a longer text before the label", "short"], " negative"
    ids = model.tokenizer(answer, add_special_tokens=False)["input_ids"]
    for text, got in zip(prompts, model.log_likelihood(prompts, answer)):
        whole = [model.tokenizer.bos_token_id, *model.tokenizer(text)["input_ids"], *ids]
        logs = model.model(torch.tensor([whole])).logits[0].log_softmax(-1)
        wanted = np.mean([logs[len(whole) - len(ids) - 1 + j, t].item() for j, t in enumerate(ids)])
        assert got == pytest.approx(wanted, abs=1e-4)
