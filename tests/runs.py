"What tests of runs share: rows, what identifies a run, what a folder holds, something that happens at a step."

import json
import os
import time
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from ftkit.fine_tuning import Run
from ftkit.runs.checkpoints import find_problem
from ftkit.settings import CLASSIFICATION, Settings
from ftkit.trainer import OrderedTrainer
from ftkit.training.hardware import pick_precision

TASK = os.environ.get("FTKIT_TASK", CLASSIFICATION)  # of all these runs: bench/faults.py has others
only_classification = pytest.mark.skipif(TASK != CLASSIFICATION, reason="is about the accuracy or the head")
PRECISION = 1e-4 if pick_precision() == "float32" else 2e-2  # of a loss while training, beside that of the predictions
RNG = np.random.default_rng(0)
ROWS = Dataset.from_list(  # 12 steps an epoch with a batch of 8; labels that cannot be learned
    [
        {
            "text": f"{' '.join(RNG.choice(['warm', 'late', 'grey', 'fine', 'cold'], 6))} {i}",
            "label": str(RNG.choice(["bad", "good"])),
        }
        for i in range(120)
    ]
)
SHORT_ROWS = Dataset.from_list(  # 6 steps an epoch with a batch of 8
    [
        {"text": f"{word} number {i}", "label": label}
        for i in range(60)
        for word, label in [(("warm", "good"), ("late", "bad"))[i % 2]]
    ]
)


def hash_file(file: Path) -> str:
    "Return sha256 of a file; of what torch.save wrote, without the name of its root, which is not that of every path"
    if not zipfile.is_zipfile(file):
        return sha256(file.read_bytes()).hexdigest()
    with zipfile.ZipFile(file) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("serialization_id"))
        parts = [(name.partition("/")[2], sha256(archive.read(name)).hexdigest()) for name in names]
    return sha256(repr(parts).encode()).hexdigest()


def stop_in_second_epoch(monkeypatch, train) -> None:
    "Call a function that trains, and interrupt it in the second epoch"
    plain = OrderedTrainer.training_step

    def stopped(self, *args, **kwargs):
        if self.state.epoch and self.state.epoch > 1:
            raise KeyboardInterrupt
        return plain(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(OrderedTrainer, "training_step", stopped)
        train()


def read_losses(run: Run) -> list[tuple]:
    "Return (step, loss) of every logged training step"
    return [(row["step"], row["loss"]) for row in run.history if "loss" in row]


def read_fingerprint(run: Run | Path) -> dict:
    "Return all that an interruption must not change: weights, optimizer, random numbers, losses, scores, predictions"
    run = run if isinstance(run, Run) else Run(run)
    keys = ("step", "loss", "eval_loss", "eval_accuracy")
    found = {key: run.record[key] for key in ("status", "reason", "weights", "best", "metrics")}
    found["history"] = [[row.get(key) for key in keys] for row in run.history]
    found["losses"] = read_losses(run)
    found["hidden"] = sorted(p.name for p in run.path.rglob("*") if p.name[0] == "." or p.name.endswith(".tmp"))
    if (run.path / "predictions.parquet").exists():
        found["predictions"] = hash_file(run.path / "predictions.parquet")
    if (run.path / "checkpoints").exists():
        last = run.path / f"checkpoints/step-{run.history[-1]['step']}"
        assert find_problem(last) is None
        names = json.loads((last / "manifest.json").read_text())["files"]
        tensors = sorted(name for name in names if name.endswith((".safetensors", ".pt", ".pth")))
        found["last"] = {"name": last.name, **{name: hash_file(last / name) for name in tensors}}
    return found


def read_files(folder: Path, folders: bool = True, times: bool = False) -> dict:
    "Return everything below a folder with its content or where it leads, and when it was written if `times`"
    return {
        str(p.relative_to(folder)): (
            str(p.readlink()) if p.is_symlink() else p.read_bytes() if p.is_file() else "",
            p.stat().st_mtime_ns if times and p.is_file() else None,
        )
        for p in folder.rglob("*")
        if folders or p.is_symlink() or not p.is_dir()
    }


def act_at_step(monkeypatch, number: int, act, method: str = "training_step") -> None:
    "Let something happen just before the Trainer works on a step: `act(trainer, work)` returns what the step returns"
    plain = getattr(OrderedTrainer, method)

    def patched(self, *args, **kwargs):
        work = lambda: plain(self, *args, **kwargs)
        return act(self, work) if self.state.global_step + 1 == number else work()

    monkeypatch.setattr(OrderedTrainer, method, patched)


def raise_at_step(monkeypatch, number: int, error=KeyboardInterrupt) -> None:
    "End the training before a step, as if the process had been killed: nothing is saved"

    def act(trainer, work):
        raise error()

    act_at_step(monkeypatch, number, act)


def wait_for(process, is_reached) -> None:
    "Wait until a process has come so far"
    while not is_reached():
        assert process.poll() is None, process.stderr
        time.sleep(0.002)


def signal_at(process, path: Path, step: int, number: int) -> None:
    "Send a signal when a run has logged a step"
    wait_for(process, lambda: any(row["step"] >= step for row in Run(path).history))
    process.send_signal(number)


def make_flags(keys: dict) -> list[str]:
    "Return settings as flags of the command"
    keys = with_task(keys)
    texts = {key: ",".join(value) if isinstance(value, list) else str(value) for key, value in keys.items()}
    return [word for key, text in texts.items() for word in (f"--{key}", text)]


def make_settings(**keys) -> Settings:
    "Return settings from keys of any section"
    return Settings().replace(**with_task(keys))


def with_task(keys: dict) -> dict:
    "Return settings of a run of the task that is tested: the rows are the same, with the label as the response"
    if TASK == CLASSIFICATION:
        return keys
    rungs = keys.get("baselines", [])
    rungs = rungs.split(",") if isinstance(rungs, str) else rungs
    rungs = [{"majority": "copy", "tfidf": "nearest"}[name] for name in rungs]  # the two cheapest
    columns = {"text_column_name": "text", "label_column_name": "label"} | keys
    more = {"max_generated_samples": 2, "max_new_tokens": 3, "method": "full"}
    return {"task": TASK, **more, **columns, "baselines": rungs or "none"}
