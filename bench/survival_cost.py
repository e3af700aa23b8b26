"""Measure the cost of survival: ftkit's training next to the plain Trainer's, with saves at the same steps.

    python bench/survival_cost.py [PASSES]

Both train the starter experiment on the same rows in the same order, and evaluate and save at the end of each epoch.
They take turns within one process, each with a step (and the evaluation and the save that follow it), so that a noisy
machine slows both: each ratio is of the same batch. The second with a batch is some 4 % faster (measured with two
plain Trainers), so run an even number of passes: each Trainer is first in half of them. A last training of ftkit alone
measures the share of the time that its saves take by default. Writes survival_cost.json next to this file.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait for their turn must not spin

import json
import platform
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

import numpy as np
import transformers
from datasets import disable_progress_bars
from transformers import PrinterCallback, Trainer, TrainerCallback

import ftkit.training.callbacks
from ftkit.data import load_data
from ftkit.runs.folder import package_versions
from ftkit.runs.session import create_run
from ftkit.settings import Settings
from ftkit.tasks.classification import Classification
from ftkit.tokenizer import load_tokenizer, tokenize
from ftkit.trainer import OrderedTrainer, make_trainer, training_arguments
from ftkit.training.hardware import describe_machine
from ftkit.training.sampler import EpochSampler

SETTINGS, TASK = Settings(), Classification()
NAMES = ("plain", "ftkit")
SHARE = ftkit.training.callbacks.SAVING_SHARE


class SameOrder(Trainer):
    "The plain Trainer with ftkit's order of rows, or the padding would differ"

    get_train_dataloader = OrderedTrainer.get_train_dataloader


class Turns(TrainerCallback):
    "Times each turn: from the end of a step to the end of the next, with evaluation and save in between"

    def __init__(
        self,
        mine: threading.Semaphore,  # released for a turn of this Trainer
        other: threading.Semaphore,  # released for a turn of the other one
    ):
        self.mine, self.other, self.seconds, self.saving, self.asked = mine, other, [], 0.0, 0.0

    def start(self):
        "Wait for the turn"
        self.mine.acquire()
        self.began = time.perf_counter()

    def stop(self):
        "Note the time and give the turn to the other Trainer"
        self.seconds.append(time.perf_counter() - self.began)
        self.other.release()

    def on_step_end(self, *args, **kwargs):
        "End this turn and wait for the next"
        self.stop()
        self.start()
        self.asked = time.perf_counter()

    def on_evaluate(self, *args, **kwargs):
        "Time a save that follows from here"
        self.asked = time.perf_counter()

    def on_save(self, *args, **kwargs):
        "Add the seconds since the end of the step or of the evaluation: this callback is the last of a save"
        self.saving += time.perf_counter() - self.asked


def make_model(tokens, tokenizer):
    "Return a model with the first weights, which are the same for both"
    keys = {**SETTINGS.section("model"), **SETTINGS.section("model_init")}
    return TASK.load_model(tokens, tokenizer, SETTINGS.seed, **keys)


def make_plain(tokens, tokenizer, folder):
    "Return the plain Trainer"
    rows = {split: tokens[split].remove_columns("length") for split in ("train", "validation")}
    trainer = SameOrder(
        model=make_model(tokens, tokenizer),
        args=training_arguments(folder, **SETTINGS.section("trainer")),
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        processing_class=tokenizer,
        **TASK.trainer_kwargs(tokens, tokenizer, SETTINGS),
    )
    trainer.sampler = EpochSampler(
        tokens["train"]["length"], trainer.args.train_batch_size, SETTINGS.train_sampling_strategy, SETTINGS.seed
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def make_ours(tokens, tokenizer, run):
    "Return ftkit's Trainer"
    pieces = TASK.trainer_kwargs(tokens, tokenizer, SETTINGS)
    return make_trainer(make_model(tokens, tokenizer), tokens, tokenizer, SETTINGS, run, **pieces)


def train_both(pieces, folder, names) -> dict:
    """Train both in turns. Return the seconds of each turn and of all saves, by name.

    The first name makes its Trainer first, and is the first with each batch.
    """
    ftkit.training.callbacks.SAVING_SHARE = 0.0  # the epochs' ends only, as the plain Trainer saves
    starts = {name: threading.Semaphore(int(name == names[0])) for name in names}
    turns = {name: Turns(starts[name], starts[other]) for name, other in zip(names, reversed(names))}
    with create_run(SETTINGS, folder, "run") as run:
        makers = {"plain": lambda: make_plain(*pieces, f"{folder}/plain"), "ftkit": lambda: make_ours(*pieces, run)}
        trainers = {name: makers[name]() for name in names}

        def train_in_turns(name):
            trainers[name].add_callback(turns[name])
            turns[name].start()
            trainers[name].train()
            turns[name].stop()

        threads = [threading.Thread(target=train_in_turns, args=[name]) for name in trainers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        weights = [dict(trainer.model.named_parameters()) for trainer in trainers.values()]
        equal = all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])
        assert equal, "the two ended with different weights"
    return {name: {"seconds": t.seconds, "saving": t.saving} for name, t in turns.items()}


def train_alone(pieces, folder) -> dict:
    "Train with ftkit alone, with its default saves. Return the share of the time that they take"
    ftkit.training.callbacks.SAVING_SHARE = SHARE
    saving = Turns(threading.Semaphore(10**9), threading.Semaphore(0))
    with create_run(SETTINGS, folder, "alone") as run:
        trainer = make_ours(*pieces, run)
        trainer.add_callback(saving)
        start = time.perf_counter()
        saving.start()
        trainer.train()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "saving": saving.saving, "share": saving.saving / seconds}


def main(passes: int) -> None:
    "Measure, print and write the result"
    disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    data, _ = load_data(**SETTINGS.section("data"))
    tokenizer = load_tokenizer(**SETTINGS.section("model"))
    pieces = tokenize(data, tokenizer, **SETTINGS.section("tokenizer")), tokenizer
    seconds, ratios, saving = [], [], []
    for number in range(passes):
        with tempfile.TemporaryDirectory() as folder:
            found = train_both(pieces, folder, NAMES if number % 2 else NAMES[::-1])
        seconds.append(np.array([found["plain"]["seconds"], found["ftkit"]["seconds"]]))
        totals = seconds[-1].sum(1)
        ratios.append(totals[1] / totals[0])
        saving.append([found["plain"]["saving"], found["ftkit"]["saving"]])
        print(
            f"{number}: plain {totals[0]:.1f} s ({saving[-1][0]:.2f} s in saves), "
            f"ftkit {totals[1]:.1f} s ({saving[-1][1]:.2f}), ratio {ratios[-1]:.3f}, "
            f"median turn {np.median(seconds[-1][1] / seconds[-1][0]):.3f}",
            flush=True,
        )
    with tempfile.TemporaryDirectory() as folder:
        adaptive = train_alone(pieces, folder)
    turns = np.concatenate(seconds, 1)
    again = turns[:, np.random.default_rng(0).integers(turns.shape[1], size=(10_000, turns.shape[1]))].sum(2)
    low, high = np.quantile(again[1] / again[0], (0.025, 0.975))
    result = {
        "date": date.today().isoformat(),
        "machine": {**describe_machine(), "platform": platform.platform()},
        "versions": package_versions(),
        "passes": passes,
        "turns": turns.shape[1],
        "ratio": {
            "all": float(turns[1].sum() / turns[0].sum()),
            "low": float(low),
            "high": float(high),
            "each": ratios,
            "median_turn": float(np.median(turns[1] / turns[0])),
        },
        "saving_seconds": {"plain": float(np.mean(saving, 0)[0]), "ftkit": float(np.mean(saving, 0)[1])},
        "adaptive": adaptive,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: result[k] for k in ("ratio", "saving_seconds", "adaptive")}, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
