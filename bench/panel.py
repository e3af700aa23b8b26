"""Measure what a click in the panel costs with 10,000 validation rows and 10,000 logged steps.

    OMP_NUM_THREADS=1 python bench/panel.py

Each interaction is called as a widget calls it, without a front end, and takes turns with reading the predictions
with pandas: the ratio is to that. Writes panel.json next to this file.
"""

import json
import shutil
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from ftkit.panels.panel import Panel
from ftkit.runs.folder import EMPTY, RunFolder
from ftkit.settings import Settings

HERE = Path(__file__).resolve().parent
ROWS, STEPS, TURNS, LABELS = 10_000, 10_000, 9, ["negative", "neutral", "positive"]


def write_run(folder: Path) -> RunFolder:
    "Write the files of a finished run"
    folder.mkdir(parents=True)
    run, rng = RunFolder(folder), np.random.default_rng(0)
    words = np.array("the train was late again and nobody said why but the coffee is warm".split())
    logits = rng.normal(size=(ROWS, 3)).astype("float32")
    frame = pd.DataFrame({"text": [" ".join(rng.choice(words, 20)) for _ in range(ROWS)], "logits": list(logits)})
    frame["label"] = pd.Categorical.from_codes(rng.integers(0, 3, ROWS), LABELS)
    frame["predicted"] = pd.Categorical.from_codes(logits.argmax(-1), LABELS)
    run.write_predictions(frame.assign(split="validation"))
    run.write_settings(Settings())
    score = {"value": 0.7, "low": 0.69, "high": 0.71, "n": ROWS}
    data = {"labels": LABELS, "validation": {"rows": ROWS}, "train": {"rows": ROWS, "tokens": 20 * ROWS}}
    run.update(**EMPTY)
    run.update(
        status="finished", data=data, metrics={"test": {"accuracy": score}}, max_steps=STEPS, verdicts=[], looks=1
    )
    run.update(timing={"train_seconds": 60.0, "train_cpu_seconds": 60.0, "total_seconds": 70.0}, baselines={})
    history = [
        {"step": i, "loss": 1 / i, "learning_rate": 1e-4, "epoch": i / 1000, "seconds": i / 10, "memory_bytes": 10**9}
        for i in range(1, STEPS + 1)
    ]
    run.write_history([*history, {"step": STEPS, "eval_loss": 0.5, "eval_accuracy": 0.7, "epoch": 10.0}])
    return run


def measure(panel: Panel, run: RunFolder) -> dict:
    "Return the seconds of each interaction, medians, and their ratio to reading the predictions with pandas"
    explorer, training = panel.views["result"].explorer, panel.views["training"]

    def touch() -> None:
        run.log(step=STEPS, loss=0.1)
        panel.refresh()

    acts = {
        "click a cell of the matrix": lambda: explorer.open("negative", "positive"),
        "search": lambda: setattr(explorer.search, "value", "coffee" if explorer.search.value != "coffee" else "late"),
        "next page": lambda: explorer.turn(1),
        "open another run": panel.run_changed,
        "a new line in the log": touch,
        "smoothing": lambda: setattr(training.smoothing, "value", 0.5 if training.smoothing.value != 0.5 else 0.7),
        "change a setting": lambda: panel.change(seed=panel.settings.seed + 1),
        "the saved form": panel.to_html,
        "pandas reads the predictions": lambda: pd.read_parquet(run.path / "predictions.parquet"),
    }
    taken = {name: [] for name in acts}
    for _ in range(TURNS):
        for name, act in acts.items():
            start = time.perf_counter()
            act()
            taken[name].append(time.perf_counter() - start)
    seconds = {name: median(values) for name, values in taken.items()}
    plain = seconds.pop("pandas reads the predictions")
    return {name: {"seconds": round(s, 3), "times pandas": round(s / plain, 1)} for name, s in seconds.items()}


def main() -> None:
    "Measure and write the result"
    folder = Path(tempfile.mkdtemp())
    try:
        run = write_run(folder / "runs/ten_thousand")
        found = measure(Panel(runs_dir=folder / "runs"), run)
    finally:
        shutil.rmtree(folder)
    result = {"date": date.today().isoformat(), "rows": ROWS, "steps": STEPS, "interactions": found}
    (HERE / "panel.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
