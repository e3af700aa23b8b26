"What the command reads and writes beside a run: texts in, predictions out, lists and comparisons of runs."

import csv
import json
from pathlib import Path

import numpy as np

from ftkit.data import find_column
from ftkit.errors import UserError
from ftkit.files import read_table
from ftkit.judge import verdict
from ftkit.metrics import Verdict
from ftkit.report import interval
from ftkit.run import Run


def texts_of(run: Run, texts: list[str], file: str | None, column: str | None) -> list:
    "The texts on the command line, or those of a file's text column"
    if bool(texts) == bool(file):
        raise UserError("predict takes texts or --file, one of the two. Write: ftkit predict RUN 'a text', or ftkit predict RUN --file rows.csv")
    if not file:
        return texts
    table = read_table(file)
    return table.columns[find_column(table, column or run.record["data"]["text_column"], (), "text_column_name")]


def neutral(text: object) -> object:
    "Text that a spreadsheet would take for a formula, made harmless (OWASP, CSV injection)"
    return "'" + text if isinstance(text, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_rows(out: Path, texts: list, rows: list[dict]) -> None:
    "One line per text, in order: .jsonl keeps every text as it was; .csv makes formulas harmless"
    if out.suffix not in (".csv", ".jsonl"):
        raise UserError(f"--out {out}: write a file that ends in .csv or .jsonl.")
    beside = out.with_name(f".{out.name}.tmp")
    try:
        with open(beside, "w", encoding="utf-8", errors="backslashreplace", newline="") as f:
            if out.suffix == ".jsonl":
                f.writelines(json.dumps({"text": t, **row}, ensure_ascii=False) + "\n" for t, row in zip(texts, rows))
            else:
                labels = sorted({label for row in rows for label in row.get("scores", {})})
                writer = csv.writer(f, lineterminator="\n")
                writer.writerow(["text", "label", "score", *(neutral(f"score_{label}") for label in labels), "error"])
                for t, row in zip(texts, rows):
                    scores = [row.get("scores", {}).get(label, "") for label in labels]
                    writer.writerow([neutral(t), neutral(row.get("label", "")), row.get("score", ""), *scores, row.get("error", "")])
        beside.replace(out)
    except OSError as e:
        raise UserError(f"--out {out}: cannot be written ({e.strerror}).") from None


def run_rows(runs: list[Run]) -> list[dict]:
    "A list of runs: name, status, test accuracy, seconds of training, base model"
    rows = []
    for run in runs:
        record = run.record
        accuracy = str(interval(record["metrics"]["test"]["accuracy"])) if record["metrics"] else None
        seconds = record["timing"]["train_seconds"]
        rows.append({"run": run.path.name, "status": record["status"], "accuracy": accuracy, "seconds": seconds and f"{seconds:.1f}", "model": run.settings.model_name_or_path})
    return rows


def compare_runs(a: Run, b: Run) -> dict:
    "What changed between two runs, and a verdict where both were scored on the same test rows"
    ours, theirs = vars(a.settings), vars(b.settings)
    changed = {key: (ours[key], theirs[key]) for key in ours if ours[key] != theirs[key]}
    records = a.record, b.record
    same = all(r["metrics"] for r in records) and records[0]["data"]["test"]["sha256"] == records[1]["data"]["test"]["sha256"]
    return {"a": a.path.name, "b": b.path.name, "changed": changed, "verdicts": [verdict_of(a, b)] if same else []}


def verdict_of(a: Run, b: Run) -> Verdict:
    "Two models on the same test rows"
    ids = {name: i for i, name in enumerate(a.labels)}
    rows = [run.predictions.query("split == 'test'") for run in (a, b)]
    predicted = [np.array([ids[run.labels[i]] for i in np.stack(r.logits).argmax(-1)]) for run, r in zip((a, b), rows)]
    return verdict(*predicted, rows[0].label.map(ids).to_numpy(), (a.path.name, b.path.name), a.settings)
