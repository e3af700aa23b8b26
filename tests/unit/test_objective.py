"The ladder: what the cheap baselines learn, and from which rows."

import numpy as np
import pytest
import torch

from ftkit.data import load_data
from ftkit.metrics import wilson
from ftkit.objective import FrozenModel, Objective, build_prompt, few_shot, frozen, pick_shots, zero_shot


@pytest.mark.parametrize("kind", ["starter", "tiny"])
@pytest.mark.slow
def test_shuffled_labels_give_chance(kind, tiny):
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


def test_shots_are_balanced():
    data, _ = load_data(max_train_samples=100)
    chosen = pick_shots(data["train"], 3, seed=1)
    assert np.bincount(np.array(data["train"]["label"])[chosen]).tolist() == [3, 3, 3] and chosen == pick_shots(
        data["train"], 3, seed=1
    )
    assert build_prompt("x", ["bad", "good"], [("y", "bad")]).endswith("Post: y\nLabel: bad\n\nPost: x\nLabel:")


def test_likelihood_is_the_token_mean(tiny):
    model = FrozenModel(tiny)
    prompts, answer = ["a longer text before the label", "short"], " negative"
    ids = model.tokenizer(answer, add_special_tokens=False)["input_ids"]
    for text, got in zip(prompts, model.log_likelihood(prompts, answer)):
        whole = [model.tokenizer.bos_token_id, *model.tokenizer(text)["input_ids"], *ids]
        logs = model.model(torch.tensor([whole])).logits[0].log_softmax(-1)
        wanted = np.mean([logs[len(whole) - len(ids) - 1 + j, t].item() for j, t in enumerate(ids)])
        assert got == pytest.approx(wanted, abs=1e-4)
