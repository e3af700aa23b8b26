"The model before training: head, labels, padding, and which weights learn."

import pytest
import torch
from conftest import GOOD
from transformers import GPT2Config, GPT2ForSequenceClassification

from ftkit.errors import UserError
from ftkit.model_init import find_blocks, load_model, trainable_share, weights_sha256
from ftkit.tokenizer import load_tokenizer

LABELS = ["bad", "flat", "good"]


@pytest.fixture(scope="module", params=["starter", "tiny"])
def classifier(request, tiny):
    name = tiny if request.param == "tiny" else "starter"
    tokenizer = load_tokenizer(name)
    return load_model(name, LABELS, tokenizer).eval(), tokenizer


def test_pad_id_decides_pooling(tiny):
    tokenizer = load_tokenizer(tiny)
    model = load_model(tiny, LABELS, tokenizer).eval()
    padded = tokenizer(GOOD, padding="max_length", max_length=64, return_tensors="pt")
    short = tokenizer(GOOD, return_tensors="pt")
    right = (model(**padded).logits - model(**short).logits).abs().max()
    model.config.pad_token_id = None
    wrong = (model(**padded).logits - model(**short).logits).abs().max()
    assert right < 1e-5 < 1e-3 < wrong


def test_config_has_labels_and_padding(classifier):
    model, tokenizer = classifier
    assert (
        model.config.num_labels == 3
        and model.config.id2label == dict(enumerate(LABELS))
        and model.config.label2id == {n: i for i, n in enumerate(LABELS)}
    )
    assert model.config.pad_token_id == tokenizer.pad_token_id is not None and tokenizer.padding_side == "right"
    assert model.config.problem_type == "single_label_classification"


def test_master_weights_are_float32(tmp_path):
    config = GPT2Config(vocab_size=30_600, n_positions=64, n_embd=16, n_layer=2, n_head=2, num_labels=2)
    GPT2ForSequenceClassification(config).to(torch.bfloat16).save_pretrained(tmp_path)
    tokenizer = load_tokenizer("starter")
    assert {p.dtype for p in load_model(str(tmp_path), LABELS[:2], tokenizer).parameters()} == {torch.float32}


def test_seed_alone_draws_the_head(tiny):
    tokenizer = load_tokenizer(tiny)
    torch.rand(3)
    first = weights_sha256(load_model(tiny, LABELS, tokenizer, seed=1))
    torch.rand(5)
    assert (
        weights_sha256(load_model(tiny, LABELS, tokenizer, seed=1))
        == first
        != weights_sha256(load_model(tiny, LABELS, tokenizer, seed=2))
    )


def test_method_selects_trainable_weights():
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


def test_tokenizer_of_another_model_is_refused(tmp_path):
    GPT2ForSequenceClassification(GPT2Config(vocab_size=300, n_embd=16, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="knows 300 tokens, .* tokenizer of another model"):
        load_model(str(tmp_path), LABELS, load_tokenizer("starter"))
    with pytest.raises(UserError, match="the model knows 300 tokens, its tokenizer .*: its folder has no tokenizer"):
        load_tokenizer(str(tmp_path))


def test_head_of_the_same_labels_is_kept(tiny, tmp_path, caplog):
    tokenizer = load_tokenizer(tiny)
    load_model(tiny, LABELS, tokenizer, seed=1).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    first = load_model(str(tmp_path), LABELS, tokenizer, seed=1)
    kept = load_model(str(tmp_path), LABELS, tokenizer, seed=2)
    assert torch.equal(kept.score.weight, first.score.weight)
    caplog.set_level("INFO")
    for labels in (["a", "b", "c"], ["a", "b"], list(reversed(LABELS))):
        caplog.clear()
        fresh = load_model(str(tmp_path), labels, tokenizer, seed=2)
        assert len(fresh.score.weight) == len(labels) and not torch.equal(
            fresh.score.weight[:2], first.score.weight[:2]
        )
        assert torch.equal(fresh.transformer.wte.weight, first.transformer.wte.weight)
        assert [fresh.config.id2label[i] for i in range(len(labels))] == labels
        assert "it gets a new head" in caplog.text
