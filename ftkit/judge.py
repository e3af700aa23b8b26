"The end of a run: the model and every rung on the same test rows, in one look that is counted."

import errno
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import DatasetDict
from filelock import FileLock

from ftkit.checkpoints import flush
from ftkit.data import SPLITS, as_dataset, find_column, labelled_rows, rows_sha256
from ftkit.files import read_table
from ftkit.metrics import Verdict, compare, score
from ftkit.objective import Rung
from ftkit.predict import predict_logits
from ftkit.run import Run
from ftkit.settings import Settings
from ftkit.views import say


def judge(
    run: Run,  # where the result is written
    data: DatasetDict,  # from `load_data`
    logits: dict[str, np.ndarray],  # split -> logits (rows, labels) of the fine-tuned model
    rungs: list[Rung],  # from `ladder`, on the test rows
) -> None:
    "Write predictions, metrics, baselines and verdicts of a finished training"
    settings, labels = run.settings, data["train"].features["label"].names
    references = {split: np.array(data[split]["label"]) for split in logits}
    write_predictions(run, data, logits)
    scores = {split: scored(logits[split].argmax(-1), references[split], labels, settings) for split in logits}
    baselines = {
        r.name: {**scored(r.predictions, references["test"], labels, settings), "seconds": r.seconds} for r in rungs
    }
    best = logits["test"].argmax(-1)
    verdicts = [verdict(best, r.predictions, references["test"], ("fine-tuned", r.name), settings) for r in rungs]
    looks = count_look(run, rows_sha256(data["test"]), "train")
    run.update(metrics=scores, baselines=baselines, verdicts=verdicts, looks=looks)


def scored(predictions: np.ndarray, references: np.ndarray, labels: list[str], settings: Settings) -> dict:
    "Scores at the confidence of the settings"
    return score(predictions, references, labels, settings.confidence_level, settings.num_resamples)


def verdict(
    a: np.ndarray, b: np.ndarray, references: np.ndarray, names: tuple[str, str], settings: Settings
) -> Verdict:
    "A comparison at the confidence of the settings"
    return compare(a, b, references, names, settings.confidence_level, settings.num_resamples)


def write_predictions(run: Run, data: DatasetDict, logits: dict[str, np.ndarray]) -> None:
    "predictions.parquet: split, text, label, logits in the order of the rows"
    names = data["train"].features["label"].names
    parts = [
        pd.DataFrame(
            {
                "split": split,
                "text": list(data[split]["text"]),
                "label": [names[i] for i in data[split]["label"]],
                "logits": list(logits[split]),
            }
        )
        for split in SPLITS
        if split in logits
    ]
    beside = run.path / ".predictions.tmp"
    pd.concat(parts, ignore_index=True).to_parquet(beside, index=False)
    flush(beside)
    beside.replace(run.path / "predictions.parquet")


def count_look(
    run: Run,  # who looks
    sha256: str,  # of the rows
    command: str,  # train or evaluate
) -> int | None:
    "Note a look at a set of test rows in test_looks.jsonl, and how many there have been; None, which is said, where it cannot be noted"
    file = run.path.parent / "test_looks.jsonl"
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run.path.name,
        "command": command,
        "sha256": sha256,
    }
    try:
        if file.is_symlink() or file.exists() and not file.is_file():  # a stranger's: what it leads to is not written
            raise OSError(errno.ELOOP, "it is no file of its own")
        with FileLock(file.with_name(".test_looks.lock"), timeout=60):
            seen = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
            with open(file, "a", encoding="utf-8") as f:
                f.write(
                    "\n" * (seen[-1:] not in ("", "\n")) + json.dumps(entry) + "\n"
                )  # the last line may have been cut
    except OSError as e:
        say(
            f"{file}: this look at the test rows could not be counted ({e.strerror or 'it is locked'}). A score that was looked for often means less."
        )
        return None
    return seen.count(sha256) + 1


def evaluate_run(
    run: Run,  # with a model
    file: str | Path | None = None,  # labelled rows; default: the run's own test rows
) -> dict:
    "The model's scores on labelled rows, as in `metrics.test`, with `looks` and `sha256` of the rows"
    model, tokenizer = run.load_model()
    labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
    if file is None:
        rows = run.predictions.query("split == 'test'")
        texts, names, dropped = list(rows.text), list(rows.label), {}
    else:
        table, data = read_table(file), run.data
        columns = [find_column(table, data[f"{kind}_column"], (), f"{kind}_column_name") for kind in ("text", "label")]
        texts, names, dropped = labelled_rows(table, *columns, "test")
    dataset = as_dataset(texts, names, labels, "evaluated")
    logits = predict_logits(
        model, tokenizer, texts, run.settings.max_seq_length, run.settings.per_device_eval_batch_size
    )
    sha256 = rows_sha256(dataset)
    result = {"run": str(run.path), "rows": len(texts), "sha256": sha256, "dropped": dropped}
    result["metrics"] = scored(logits.argmax(-1), np.array(dataset["label"]), labels, run.settings)
    result["looks"] = count_look(run, sha256, "evaluate")
    return result
