"The order of the training rows."

import numpy as np
import pytest
import torch

from ftkit.tokenizer import padding_share
from ftkit.training.sampler import EpochSampler


@pytest.mark.parametrize("strategy", ["random", "group_by_length", "sequential"])
def test_order_follows_seed_and_epoch(strategy):
    lengths = np.random.default_rng(0).integers(1, 60, 1000).tolist()
    sampler = EpochSampler(lengths, 8, strategy, seed=3)
    first = list(sampler)
    torch.manual_seed(99)
    assert list(EpochSampler(lengths, 8, strategy, seed=3)) == first and sorted(first) == list(range(1000))
    sampler.set_epoch(1)
    assert (list(sampler) == first) == (strategy == "sequential")


def test_grouping_saves_padding():
    lengths = np.random.default_rng(0).integers(1, 60, 1000)
    share = {s: padding_share(lengths[list(EpochSampler(lengths, 8, s))], 8) for s in ("random", "group_by_length")}
    assert share["group_by_length"] < 0.1 < 0.3 < share["random"]
