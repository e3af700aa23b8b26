"The order of the training rows as a function of (seed, epoch) alone, so that a resumed run goes on in the same order."

import numpy as np
from torch.utils.data import Sampler

MEGABATCH = 50  # batches that are shuffled together before their texts are sorted by length, as in Hugging Face's LengthGroupedSampler


class EpochSampler(Sampler):
    "Row numbers for one epoch. Nothing is drawn from a generator that belongs to the process"

    def __init__(
        self,
        lengths: list[int],  # tokens of each training row
        batch_size: int,  # rows in a batch
        strategy: str = "random",  # random, sequential or group_by_length
        seed: int = 42,  # of the order
    ):
        self.lengths, self.batch_size, self.strategy, self.seed, self.epoch = (
            np.asarray(lengths),
            batch_size,
            strategy,
            seed,
            0,
        )

    def __len__(self):
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        "Called by the training loop before each epoch, also after a resume"
        self.epoch = epoch

    def __iter__(self):
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.strategy == "sequential":
            return iter(range(len(self)))
        order = rng.permutation(len(self))
        if self.strategy == "group_by_length":
            order = self.group_by_length(order, rng)
        return iter(order.tolist())

    def group_by_length(self, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        "The shuffled rows, sorted by length within each megabatch, cut into batches, the batches shuffled; the short batch stays last"
        size = self.batch_size * MEGABATCH
        parts = [order[i : i + size] for i in range(0, len(order), size)]
        order = (
            np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in parts]) if parts else order
        )
        full = len(order) // self.batch_size * self.batch_size
        batches = order[:full].reshape(-1, self.batch_size)
        return np.concatenate([batches[rng.permutation(len(batches))].ravel(), order[full:]])
