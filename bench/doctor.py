"""Measure the data doctor: what it finds of planted faults, and what it costs.

    OMP_NUM_THREADS=1 python bench/doctor.py

Needs the real tweets (`FTKIT_REAL_DATA`, else ../shared/data). Cost is the CPU seconds of `examine` as a multiple of
reading the same file with pandas and fitting TF-IDF on it; both take turns in this process, five times. Writes
doctor.json next to this file.
"""

import json
import os
import time
from datetime import date
from pathlib import Path
from statistics import mean, median

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from ftkit.checks.report import examine
from ftkit.checks.suspicious import find_suspicious
from ftkit.files.tables import read_table
from ftkit.starter import posts_path
from ftkit.training.hardware import describe_machine

HERE = Path(__file__).resolve().parent
TWEETS = Path(os.environ.get("FTKIT_REAL_DATA", HERE.parents[1] / "shared/data")) / "tweets/train.csv"
SEEDS, TURNS, FLIPPED = range(5), 5, 0.05


def judge_calls(texts: list[str], labels: list[str], seed: int) -> dict:
    "Flip 5 % of the labels and return which share of the calls are flipped rows, and which share of those is called"
    rng, (names, ids) = np.random.default_rng(seed), np.unique(labels, return_inverse=True)
    flipped = rng.random(len(ids)) < FLIPPED
    changed = np.where(flipped, (ids + rng.integers(1, len(names), len(ids))) % len(names), ids)
    rows = [found.row for found in find_suspicious(texts, [str(names[i]) for i in changed])]
    return {"called": len(rows), "right": flipped[rows].mean(), "found": flipped[rows].sum() / flipped.sum()}


def measure_calls(file: Path, label: str) -> dict:
    "Return what is found of flipped labels, over the seeds"
    rows = pd.read_csv(file, keep_default_na=False)
    rows = rows[rows.text.str.strip() != ""]
    found = [judge_calls(list(rows.text), list(rows[label]), seed) for seed in SEEDS]
    return {key: round(float(mean(calls[key] for calls in found)), 3) for key in found[0]} | {"seeds": len(SEEDS)}


def measure_cost() -> dict:
    "Return CPU seconds of the doctor and of pandas with TF-IDF, and their ratio"
    ours, theirs = [], []
    for _ in range(TURNS):
        start = time.process_time()
        examine({"train": read_table(TWEETS)}, "text", "sentiment")
        ours.append(time.process_time() - start)
        start = time.process_time()
        TfidfVectorizer().fit_transform(pd.read_csv(TWEETS, keep_default_na=False).text)
        theirs.append(time.process_time() - start)
    ratio = median(a / b for a, b in zip(ours, theirs))
    return {"doctor": round(median(ours), 2), "pandas and TF-IDF": round(median(theirs), 2), "ratio": round(ratio, 1)}


def main() -> None:
    "Measure and write the result"
    result = {
        "date": date.today().isoformat(),
        "machine": describe_machine(),
        "flipped labels, 5 %": {
            "tweets": measure_calls(TWEETS, "sentiment"),
            "starter": measure_calls(posts_path(), "label"),
        },
        "CPU seconds, 27,481 tweets": measure_cost(),
    }
    (HERE / "doctor.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
