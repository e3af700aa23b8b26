"""What surviving costs: ftkit's training beside the plain Trainer's, saving at the same steps; and the share of the time that saving takes.

    python bench/survival_cost.py [PASSES]

Both train the starter's own experiment on the same rows in the same order and evaluate and save at the end of each epoch. They take turns within one
process, a step (and the evaluation and the save that follow it) each, so that a noisy machine slows both: each ratio is of the same batch.
The second with a batch is some 4 % faster (plain beside plain), so that an even number of passes is run, each first in half of them.
Writes survival_cost.json beside this file.
"""

import os

from conftest import assemble

from ftkit.runs.session import create_run

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
from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback

import ftkit.training.callbacks
from ftkit.data import load_data
from ftkit.metrics import compute_metrics
from ftkit.model_init import load_model
from ftkit.runs.folder import package_versions
from ftkit.settings import Settings
from ftkit.tokenizer import load_tokenizer, tokenize
from ftkit.trainer import OrderedTrainer, classification_loss, training_arguments
from ftkit.training.hardware import describe_machine
from ftkit.training.sampler import EpochSampler

SETTINGS = Settings()
NAMES = ("plain", "ftkit")
SHARE = ftkit.training.callbacks.SAVING_SHARE


class SameOrder(Trainer):
    "The plain Trainer, given ftkit's order of rows: else the padding differs"

    get_train_dataloader = OrderedTrainer.get_train_dataloader


class Turns(TrainerCallback):
    "Seconds of each turn: from the end of a step to the end of the next one, with what is evaluated and saved between"

    def __init__(
        self,
        mine: threading.Semaphore,  # released when it is this trainer's turn
        other: threading.Semaphore,  # that of the other one
    ):
        self.mine, self.other, self.seconds, self.saving, self.asked = mine, other, [], 0.0, 0.0

    def start(self):
        "Wait for the turn"
        self.mine.acquire()
        self.began = time.perf_counter()

    def stop(self):
        "Note the time, give the turn away"
        self.seconds.append(time.perf_counter() - self.began)
        self.other.release()

    def on_step_end(self, *args, **kwargs):
        self.stop()
        self.start()
        self.asked = time.perf_counter()

    def on_evaluate(self, *args, **kwargs):
        self.asked = time.perf_counter()

    def on_save(self, *args, **kwargs):
        "The last callback of a save: the seconds since the step's or the evaluation's end"
        self.saving += time.perf_counter() - self.asked


def plain(tokens, tokenizer, labels, folder):
    "The plain Trainer"
    model = load_model(
        labels=labels,
        tokenizer=tokenizer,
        seed=SETTINGS.seed,
        **SETTINGS.section("model"),
        **SETTINGS.section("model_init"),
    )
    rows = {split: tokens[split].remove_columns("length") for split in ("train", "validation")}
    trainer = SameOrder(
        model=model,
        args=training_arguments(SETTINGS, folder),
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=compute_metrics,
        compute_loss_func=classification_loss(),
    )
    trainer.sampler = EpochSampler(
        tokens["train"]["length"], trainer.args.train_batch_size, SETTINGS.train_sampling_strategy, SETTINGS.seed
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def ours(tokens, tokenizer, labels, run):
    "ftkit's"
    model = load_model(
        labels=labels,
        tokenizer=tokenizer,
        seed=SETTINGS.seed,
        **SETTINGS.section("model"),
        **SETTINGS.section("model_init"),
    )
    return assemble(model, tokens, tokenizer, SETTINGS, run)


def side_by_side(pieces, folder, names) -> dict:
    "Seconds of each turn and of all saves, of both, turn about; the first name makes its Trainer, starts and comes to each batch first"
    ftkit.training.callbacks.SAVING_SHARE = 0.0  # the epochs' ends only, as the plain Trainer saves
    doors = {name: threading.Semaphore(int(name == names[0])) for name in names}
    turns = {name: Turns(doors[name], doors[other]) for name, other in zip(names, reversed(names))}
    with create_run(SETTINGS, folder, "run") as run:
        makers = {"plain": lambda: plain(*pieces, f"{folder}/plain"), "ftkit": lambda: ours(*pieces, run)}
        trainers = {name: makers[name]() for name in names}

        def work(name):
            trainers[name].add_callback(turns[name])
            turns[name].start()
            trainers[name].train()
            turns[name].stop()

        threads = [threading.Thread(target=work, args=[name]) for name in trainers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        weights = [dict(trainer.model.named_parameters()) for trainer in trainers.values()]
        assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0]), (
            "the two did not train the same"
        )
    return {name: {"seconds": t.seconds, "saving": t.saving} for name, t in turns.items()}


def alone(pieces, folder) -> dict:
    "ftkit by itself, as it saves by default: the share of the time that saving takes"
    ftkit.training.callbacks.SAVING_SHARE = SHARE
    saving = Turns(threading.Semaphore(10**9), threading.Semaphore(0))
    with create_run(SETTINGS, folder, "alone") as run:
        trainer = ours(*pieces, run)
        trainer.add_callback(saving)
        start = time.perf_counter()
        saving.start()
        trainer.train()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "saving": saving.saving, "share": saving.saving / seconds}


def main(passes: int) -> None:
    disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    data, report = load_data(**SETTINGS.section("data"))
    tokenizer = load_tokenizer(**SETTINGS.section("model"))
    pieces = tokenize(data, tokenizer, **SETTINGS.section("tokenizer")), tokenizer, report["labels"]
    seconds, ratios, saving = [], [], []
    for number in range(passes):
        with tempfile.TemporaryDirectory() as folder:
            found = side_by_side(pieces, folder, NAMES if number % 2 else NAMES[::-1])
        seconds.append(np.array([found["plain"]["seconds"], found["ftkit"]["seconds"]]))
        totals = seconds[-1].sum(1)
        ratios.append(totals[1] / totals[0])
        saving.append([found["plain"]["saving"], found["ftkit"]["saving"]])
        print(
            f"{number}: plain {totals[0]:.1f} s ({saving[-1][0]:.2f} s in saves), ftkit {totals[1]:.1f} s ({saving[-1][1]:.2f}), ratio {ratios[-1]:.3f}, median turn {np.median(seconds[-1][1] / seconds[-1][0]):.3f}",
            flush=True,
        )
    with tempfile.TemporaryDirectory() as folder:
        adaptive = alone(pieces, folder)
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
