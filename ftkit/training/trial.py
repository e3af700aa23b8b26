"""A few timed steps before the training, on its own batches: they choose the threads and feed the forecast.

Weights, gradients and random numbers are the same afterwards.
"""

import json
import logging
import math
import os
import platform
import random
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel, TrainingArguments

from ftkit.errors import is_out_of_memory
from ftkit.files.atomic import sha256_json, write_json
from ftkit.settings import Settings
from ftkit.tokenizer import model_columns
from ftkit.training.hardware import (
    count_cores,
    pick_device,
    read_peak_memory,
    reset_peak_memory,
    using_threads,
)
from ftkit.training.sampler import EpochSampler

SECONDS = 3.0  # that the steps may always cost
SHARE = 0.05  # of the training that they may cost if that is more
ROUNDS = 2  # timings of each number of threads
GAIN = 0.9  # more threads have to need less than this share of the seconds
OPTIMIZED = 4_000_000  # weights that a timed update of the optimizer has at most
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    "One timed batch"

    threads: int  # of torch
    tokens: int  # in the batch, with padding
    seconds: float  # of wall time
    cpu_seconds: float  # of all threads


@dataclass(frozen=True)
class Trial:
    "What the steps measured"

    threads: int  # the fastest number
    timings: tuple[Timing, ...]  # of training batches, forward and backward, in their order
    forward: Timing  # of a batch that is only predicted
    update_seconds: float  # of one update of the trained weights
    base_bytes: int  # of memory before the first step
    peak_bytes: int  # with gradients and the longest batch that was timed

    def typical(
        self,
        kind: str,  # seconds or cpu_seconds
    ) -> list[tuple[int, float]]:
        "Return (tokens, median time) of each size of a batch, with the chosen threads, smallest first"
        found = {}
        for t in self.timings[1:] if len(self.timings) > 2 else self.timings:  # the first one warms up
            if t.threads == self.threads:
                found.setdefault(t.tokens, []).append(getattr(t, kind))
        return [(tokens, float(np.median(found[tokens]))) for tokens in sorted(found)]

    def batch_cost(
        self,
        tokens: np.ndarray,  # of each batch, with padding (batches,)
        kind: str = "seconds",  # or cpu_seconds
    ) -> np.ndarray:
        "Return the seconds of batches, forward and backward (batches,): on the line through the two sizes timed"
        timed = self.typical(kind)
        (n, cost), (m, more) = timed[0], timed[-1]
        slope = max(0.0, more - cost) / (m - n) if m > n else cost / n
        slope = min(slope, more / m)  # no batch costs less than nothing
        return np.maximum(more - slope * (m - np.asarray(tokens, dtype=float)), 0.0)

    def forward_cost(
        self,
        tokens: np.ndarray,  # of each batch, with padding (batches,)
        kind: str = "seconds",  # or cpu_seconds
    ) -> np.ndarray:
        "Return the seconds of batches that are only predicted (batches,)"
        return getattr(self.forward, kind) / self.forward.tokens * np.asarray(tokens, dtype=float)


def run_trial(
    model: PreTrainedModel,  # before its training
    tokens: DatasetDict,  # from `tokenize`
    settings: Settings,  # the experiment
    args: TrainingArguments,  # from `training_arguments`
    runs_dir: str | Path,  # remembers the threads
    data_collator: Callable,  # this and the loss: from `Task.trainer_kwargs`
    compute_loss_func: Callable,
    **others,  # unused
) -> Trial | None:
    """Time steps on batches of median and of 99th-percentile length.

    They cost at most `SECONDS`, or `SHARE` of the training, or two steps. Returns None if a loss is not finite or
    memory runs out: then the training itself shows it.
    """
    rows, sizes = list_batches(tokens, settings)
    order = np.argsort(sizes, kind="stable")
    median, longest = (int(order[int(q * (len(order) - 1))]) for q in (0.5, 0.99))

    def load(i):
        features = tokens["train"].select(rows[i]).select_columns(model_columns(tokens["train"]))
        return data_collator(list(features)).to(model.device)

    known = KnownThreads(runs_dir, model, settings, int(sizes[median]))
    threads = candidates(settings, known.read())
    try:
        with unchanged(model):
            model.to(pick_device()).train()
            reset_peak_memory()
            base = read_peak_memory()
            batches = {i: load(i) for i in {median, longest}}
            timed = time_batches(
                lambda i, threads: time_batch(model, batches[i], int(sizes[i]), threads, args, compute_loss_func),
                median,
                longest,
                threads,
                total=len(rows) * args.num_train_epochs,
            )
            if not timed:
                return None
            peak = max(base, read_peak_memory())  # the two are read some kilobytes apart
            update = time_update(model, timed[-1].threads, args)
            forward = time_forward(model, tokens["validation"], timed[-1].threads, settings, data_collator)
    except (RuntimeError, MemoryError) as e:
        if not is_out_of_memory(e):
            raise
        logger.info("the trial steps before the training ran out of memory: there is no forecast")
        return None
    if len(threads) > 1:
        known.write(timed[-1].threads)
    return Trial(timed[-1].threads, tuple(timed), forward, update, base, peak)


class KnownThreads:
    """What earlier trials found, in runs_dir/.cache/threads.json: the same experiment gets the same threads again.

    So it also gets the same weights. The file may be deleted.
    """

    def __init__(
        self,
        runs_dir: str | Path,  # of the runs
        model: PreTrainedModel,  # what is timed
        settings: Settings,  # the experiment
        tokens: int,  # in a batch of median length
    ):
        self.file = Path(runs_dir) / ".cache" / "threads.json"
        size, trained = (
            sum(p.numel() for p in model.parameters() if p.requires_grad in kinds)
            for kinds in ((True, False), (True,))
        )
        # the batch counts by its power of two: a few rows more do not ask for another trial
        what = [platform.node(), count_cores(), torch.__version__, type(model).__name__, size, trained]
        self.key = sha256_json([*what, settings.per_device_train_batch_size, tokens.bit_length()])[:16]

    def read(self) -> int | None:
        "Return the number of threads that was found, or None"
        try:
            found = json.loads(self.file.read_text(encoding="utf-8")).get(self.key)
            return found if type(found) is int and 1 <= found <= count_cores() else None
        except (OSError, ValueError, AttributeError):
            return None

    def write(
        self,
        threads: int,  # that were fastest
    ) -> None:
        "Remember it. If the file cannot be written, the next run tries again"
        try:
            known = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.file, {**dict(list(known.items())[-200:]), self.key: threads})
        except (OSError, AttributeError):
            logger.debug(f"{self.file}: cannot be written")


def list_batches(
    tokens: DatasetDict,  # from `tokenize`
    settings: Settings,  # the experiment
) -> tuple[list[list[int]], np.ndarray]:
    "Return the rows of each batch of the first epoch, and its tokens with padding (batches,)"
    lengths, size = np.array(tokens["train"]["length"]), settings.per_device_train_batch_size
    order = list(EpochSampler(lengths, size, settings.train_sampling_strategy, settings.seed))
    rows = [order[i : i + size] for i in range(0, len(order), size)]
    return rows, count_tokens([lengths[r] for r in rows], settings)


def count_tokens(
    batches: list[np.ndarray],  # lengths of the texts of each batch, in tokens
    settings: Settings,  # the experiment
) -> np.ndarray:
    "Return the tokens of each batch with padding (batches,)"
    pad_to = settings.max_seq_length if settings.pad_to_max_length else 0
    return np.array([len(b) * max(int(b.max()), pad_to) for b in batches])


def candidates(
    settings: Settings,  # the experiment
    known: int | None = None,  # what an earlier trial found
) -> list[int]:
    "Return the numbers of threads to try, ascending: one alone if it has been decided"
    if settings.num_threads != "auto":
        return [settings.num_threads]
    if os.environ.get("OMP_NUM_THREADS") or pick_device() != "cpu":
        return [torch.get_num_threads()]
    if known:
        return [known]
    cores = count_cores()
    return [*(2**i for i in range(cores.bit_length()) if 2**i < cores), cores]


def time_batches(
    step: Callable,  # with a batch and a number of threads; returns a `Timing`, or None if its loss is not finite
    median: int,  # the batch of median length
    longest: int,  # the batch of 99th-percentile length
    threads: list[int],  # to try, ascending
    total: float,  # batches of the training
) -> list[Timing]:
    """Return timings within the budget, those of the chosen threads last. Empty if a loss is not finite.

    More threads are tried while they help, each number once before any a second time: a few long steps leave time for
    one step each. Numbers of threads take turns, and the fastest time of each counts.
    """
    timings = [step(median, threads[0])]
    if timings[0] is None:
        return []
    first = timings[0].seconds
    budget = max(SECONDS, 2 * first, min(SHARE * total * first, 10 * SECONDS))
    fastest, alive = {threads[0]: first}, [*threads]

    def affordable(i, n):
        scale = 1.0 if i == median else 2.0
        best = min(fastest, key=fastest.get)
        cost = fastest.get(n, fastest[best] * best / n)  # what was not tried: as if it helped as much as it can
        return sum(t.seconds for t in timings) + scale * cost <= budget

    def take(i, n):
        timings.append(step(i, n))
        if timings[-1] is not None and i == median:
            fastest[n] = min(fastest.get(n, math.inf), timings[-1].seconds)
        return timings[-1] is not None

    for turn in range(ROUNDS):
        for n in [*alive][:: -1 if turn % 2 else 1]:
            tried = turn == 0 and n in fastest
            if n in alive and not tried and affordable(median, n) and not take(median, n):
                return []
            slow = n in fastest and n > threads[0] and fastest[n] > min(fastest.values())
            if n in alive and slow:
                alive = [m for m in alive if m < n]  # more threads than that would not help either
    chosen = threads[0]
    for n in sorted(fastest):
        chosen = n if fastest[n] < GAIN * fastest[chosen] else chosen
    done = 0
    while done < ROUNDS and (affordable(longest, chosen) or not done and len(timings) == 1):
        if not take(longest, chosen):
            return []
        done += 1
    return sorted(timings, key=lambda t: t.threads == chosen)


def time_batch(
    model: PreTrainedModel,  # in training mode
    batch: dict,  # tensors on its device, with `labels`
    tokens: int,  # in the batch, with padding
    threads: int,  # of torch
    args: TrainingArguments,  # the precision
    compute_loss_func: Callable,  # (outputs, labels, answers) -> loss
) -> Timing | None:
    "Run forward and backward on a batch and return their time, or None if the loss is not finite"
    labels = batch["labels"]
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    kind = torch.bfloat16 if args.bf16 else torch.float16
    with using_threads(threads):
        start, cpu = read_clock(model), time.process_time()
        with torch.autocast(model.device.type, dtype=kind, enabled=args.bf16 or args.fp16):
            outputs = model(**inputs)
        loss = compute_loss_func(outputs, labels, count_answers(labels))
        if not math.isfinite(loss.item()):
            return None
        loss.backward()
        model.zero_grad()
        return Timing(threads, tokens, read_clock(model) - start, time.process_time() - cpu)


def count_answers(
    labels: torch.Tensor,  # of a batch
) -> int:
    "Return what the Trainer divides a loss by: the labels that are not -100"
    return int((labels != -100).sum())


@torch.no_grad()
def time_forward(
    model: PreTrainedModel,  # any
    rows: Dataset,  # tokens of the validation rows
    threads: int,  # of torch
    settings: Settings,  # the experiment
    data_collator: Callable,  # from `Task.trainer_kwargs`
) -> Timing:
    "Predict one batch of median length and return its time"
    order = np.argsort(rows["length"], kind="stable")
    size = settings.per_device_eval_batch_size
    first = max(0, len(order) // 2 - size // 2)
    chosen = rows.select(order[first : first + size])
    batch = data_collator(list(chosen.select_columns(model_columns(chosen)))).to(model.device)
    batch.pop("labels")
    model.eval()
    with using_threads(threads):
        start, cpu = read_clock(model), time.process_time()
        model(**batch)
        tokens = int(count_tokens([np.array(chosen["length"])], settings)[0])
        return Timing(threads, tokens, read_clock(model) - start, time.process_time() - cpu)


def read_clock(model) -> float:
    "Return the time when the work so far is done"
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def time_update(
    model: PreTrainedModel,  # its trained weights say how much there is to update
    threads: int,  # of torch
    args: TrainingArguments,  # the optimizer's
) -> float:
    "Return the seconds of one update of all trained weights by AdamW, from an update of as many zeros or fewer"
    total, weights, count = 0, [], 0
    for p in model.parameters():
        total += p.numel() if p.requires_grad else 0
        if p.requires_grad and count < OPTIMIZED:
            weights.append(torch.nn.Parameter(torch.zeros_like(p).flatten()[: OPTIMIZED - count]))
            count += weights[-1].numel()
    for w in weights:
        w.grad = torch.ones_like(w)
    optimizer = torch.optim.AdamW(weights, lr=args.learning_rate, fused=True)
    with using_threads(threads):
        optimizer.step()  # makes its state
        start = read_clock(model)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return (read_clock(model) - start) * total / max(count, 1)


@contextmanager
def unchanged(
    model: PreTrainedModel,  # any
):
    "Leave its buffers, gradients and mode, and all random numbers, as they were"
    buffers, training = [(b, b.clone()) for b in model.buffers()], model.training
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            model.zero_grad(set_to_none=True)
            model.train(training)
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
            random.setstate(python)
            np.random.set_state(numpy)
