"""What surviving costs: ftkit's training beside the plain Trainer's, saving at the same steps; and the share of the time that saving takes.

    python bench/survival_cost.py [PAIRS]

Both train the starter model on the same rows in the same order, evaluate and save at the end of each epoch. The pairs run in random order, and the
ratio of each pair counts: these machines are noisy. Writes survival_cost.json beside this file.
"""

import json
import platform
import random
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import transformers
from datasets import disable_progress_bars
from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback, set_seed

import ftkit.callbacks
from ftkit.data import load_data
from ftkit.device import describe
from ftkit.metrics import compute_metrics
from ftkit.model_init import load_model
from ftkit.run import Run, versions
from ftkit.samplers import EpochSampler
from ftkit.settings import Settings
from ftkit.tokenizer import load_tokenizer, tokenize
from ftkit.trainer import OrderedTrainer, classification_loss, make_trainer, training_arguments

SETTINGS = Settings().replace(max_train_samples=960, max_eval_samples=64, num_train_epochs=2)


class SameOrder(Trainer):
    "The plain Trainer, given ftkit's order of rows: else the padding differs"

    get_train_dataloader = OrderedTrainer.get_train_dataloader


class Saving(TrainerCallback):
    "Seconds between the end of a step or an evaluation and the end of the save that follows"

    def __init__(self):
        self.seconds, self.count, self.asked = 0.0, 0, 0.0

    def on_step_end(self, *args, **kwargs):
        self.asked = time.monotonic()

    on_evaluate = on_step_end

    def on_save(self, *args, **kwargs):
        self.seconds, self.count = self.seconds + time.monotonic() - self.asked, self.count + 1


def plain(tokens, tokenizer, labels, folder):
    "Seconds of the plain Trainer"
    model = load_model(labels=labels, tokenizer=tokenizer, seed=SETTINGS.seed, **SETTINGS.section("model"), **SETTINGS.section("model_init"))
    rows = {split: tokens[split].remove_columns("length") for split in ("train", "validation")}
    trainer = SameOrder(
        model=model, args=training_arguments(SETTINGS, folder), train_dataset=rows["train"], eval_dataset=rows["validation"], processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer), compute_metrics=compute_metrics, compute_loss_func=classification_loss(),
    )
    trainer.sampler = EpochSampler(tokens["train"]["length"], trainer.args.train_batch_size, SETTINGS.train_sampling_strategy, SETTINGS.seed)
    trainer.remove_callback(PrinterCallback)
    set_seed(SETTINGS.seed)
    start = time.monotonic()
    trainer.train()
    return time.monotonic() - start, trainer.state.global_step


def ours(tokens, tokenizer, labels, folder, share=0.0):
    "Seconds of ftkit's; with a share, it saves between the epochs as well"
    model = load_model(labels=labels, tokenizer=tokenizer, seed=SETTINGS.seed, **SETTINGS.section("model"), **SETTINGS.section("model_init"))
    ftkit.callbacks.SAVING_SHARE = share
    saving = Saving()
    with Run.create(SETTINGS, folder, "run") as run:
        trainer = make_trainer(model, tokens, tokenizer, SETTINGS, run)
        trainer.add_callback(saving)
        start = time.monotonic()
        trainer.train()
        return time.monotonic() - start, saving


def main(pairs: int) -> None:
    disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    data, report = load_data(**SETTINGS.section("data"))
    tokenizer = load_tokenizer(**SETTINGS.section("model"))
    pieces = tokenize(data, tokenizer, **SETTINGS.section("tokenizer")), tokenizer, report["labels"]
    kinds, ratios, share = {"plain": plain, "ftkit": ours}, [], ftkit.callbacks.SAVING_SHARE
    with tempfile.TemporaryDirectory() as folder:
        plain(*pieces, f"{folder}/warm")
        for number in range(pairs):
            seconds = {}
            for kind in random.sample(sorted(kinds), 2):
                seconds[kind] = kinds[kind](*pieces, f"{folder}/{number}-{kind}")[0]
            ratios.append(seconds["ftkit"] / seconds["plain"])
            print(f"{number}: plain {seconds['plain']:.1f} s, ftkit {seconds['ftkit']:.1f} s, ratio {ratios[-1]:.3f}", flush=True)
        seconds, saving = ours(*pieces, f"{folder}/adaptive", share)
    means = np.random.default_rng(0).choice(ratios, (10_000, pairs)).mean(1)
    result = {
        "date": date.today().isoformat(), "machine": {**describe(), "platform": platform.platform()}, "versions": versions(), "pairs": pairs,
        "ratio": {"mean": float(np.mean(ratios)), "median": float(np.median(ratios)), "low": float(np.quantile(means, 0.025)), "high": float(np.quantile(means, 0.975)), "each": ratios},
        "adaptive": {"seconds": seconds, "saves": saving.count, "saving_seconds": saving.seconds, "share": saving.seconds / seconds},
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: result[k] for k in ("ratio", "adaptive")}, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
