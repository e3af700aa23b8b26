"The order of the training rows, a function of seed and epoch alone: a resumed run continues in the same order."

import numpy as np
from torch.utils.data import Sampler

# batches whose texts are sorted by length together, as in Hugging Face's LengthGroupedSampler
MEGABATCH = 50


class EpochSampler(Sampler):
    "Yields the row numbers of one epoch. It has its own generator and leaves the global ones alone"

    def __init__(
        self,
        lengths: list[int],  # tokens of each training row
        batch_size: int,  # rows in a batch
        strategy: str = "random",  # random, sequential or group_by_length
        seed: int = 42,  # of the order
    ):
        self.lengths, self.batch_size, self.strategy = np.asarray(lengths), batch_size, strategy
        self.seed, self.epoch = seed, 0

    def __len__(self):
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        "Set the epoch. The training loop calls this before each one, also after a resume"
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
        """Return the shuffled rows sorted by length within each megabatch, in shuffled batches.

        The last batch, which may be short, stays last.
        """
        size = self.batch_size * MEGABATCH
        parts = [order[i : i + size] for i in range(0, len(order), size)]
        order = (
            np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in parts]) if parts else order
        )
        full = len(order) // self.batch_size * self.batch_size
        batches = order[:full].reshape(-1, self.batch_size)
        return np.concatenate([batches[rng.permutation(len(batches))].ravel(), order[full:]])
