"What the command reads and writes beside a run: texts in, predictions out, lists and comparisons of runs."

import csv
import glob
import json
import os
from contextlib import suppress
from pathlib import Path

import psutil

from ftkit.checkpoints import discard
from ftkit.data import find_column
from ftkit.errors import UserError
from ftkit.files import read_table
from ftkit.report import interval
from ftkit.rerun import GROUPS, compare_losses, compare_records, facts, lines, loss_line, verdict_of
from ftkit.run import Run
from ftkit.views import say


def texts_of(run: Run, texts: list[str], file: str | None, column: str | None) -> list:
    "The texts on the command line, or those of a file's text column"
    if bool(texts) == bool(file):
        raise UserError(
            "predict takes texts or --file, one of the two. Write: ftkit predict RUN 'a text', or ftkit predict RUN --file rows.csv"
        )
    if not file:
        return texts
    table = read_table(file)
    return table.columns[find_column(table, column or run.data["text_column"], (), "text_column_name")]


def neutral(text: object) -> object:
    "Text that a spreadsheet would take for a formula, made harmless (OWASP, CSV injection)"
    return "'" + text if isinstance(text, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def check_out(out: Path, source: str | None = None) -> None:
    "`UserError` where `--out` cannot be written: said before the work starts. `source` is the file that is read"
    if os.path.isdir(out):
        raise UserError(f"--out {out}: is a folder. Name a file in it that ends in .csv or .jsonl.")
    if out.suffix not in (".csv", ".jsonl"):
        raise UserError(f"--out {out}: write a file that ends in .csv or .jsonl.")
    if os.path.exists(out) and not os.path.isfile(out):
        raise UserError(f"--out {out}: is a device or a pipe, not a file. Name a file that ends in .csv or .jsonl.")
    if not os.path.isdir(out.parent):
        raise UserError(f"--out {out}: there is no folder {out.parent}. Make it first.")
    if not os.access(out.parent, os.W_OK):
        raise UserError(f"--out {out}: the folder {out.parent} cannot be written to. Name another one.")
    if source and os.path.exists(out) and os.path.exists(source) and out.samefile(source):
        raise UserError(f"--out {out}: this is the file that is read, and would be lost. Give another name.")


def write_rows(out: Path, texts: list, rows: list[dict]) -> None:
    "One line per text, in order: .jsonl keeps every text as it was; .csv makes formulas harmless"
    check_out(out)
    beside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        for left in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):  # by a process that was killed
            number = left.name.split(".")[-2]
            if number.isdecimal() and len(number) < 10 and not psutil.pid_exists(int(number)):
                discard(left)
        with open(beside, "w", encoding="utf-8", errors="backslashreplace", newline="") as f:
            if out.suffix == ".jsonl":
                f.writelines(json.dumps({"text": t, **row}, ensure_ascii=False) + "\n" for t, row in zip(texts, rows))
            else:
                labels = sorted({label for row in rows for label in row.get("scores", {})})
                writer = csv.writer(
                    f
                )  # a carriage return in a text is quoted too, which it is not with another lineterminator
                writer.writerow(["text", "label", "score", *(neutral(f"score_{label}") for label in labels), "error"])
                for t, row in zip(texts, rows):
                    scores = [row.get("scores", {}).get(label, "") for label in labels]
                    writer.writerow(
                        [
                            neutral(t),
                            neutral(row.get("label", "")),
                            row.get("score", ""),
                            *scores,
                            row.get("error", ""),
                        ]
                    )
        beside.replace(out)
    except OSError as e:
        with suppress(OSError):
            beside.unlink()
        raise UserError(f"--out {out}: cannot be written ({e.strerror}).") from None


def run_rows(runs: list[Run]) -> list[dict]:
    "A list of runs: name, status, test accuracy, seconds of training, base model"
    rows = []
    for run in runs:
        try:
            record, settings = run.record, run.settings
        except UserError as e:  # one damaged run does not hide the others
            say(str(e))
            continue
        accuracy = str(interval(record["metrics"]["test"]["accuracy"])) if record["metrics"] else None
        seconds = record["timing"]["train_seconds"]
        rows.append(
            {
                "run": run.path.name,
                "status": record["status"],
                "accuracy": accuracy,
                "seconds": seconds and f"{seconds:.1f}",
                "model": settings.model_name_or_path,
            }
        )
    return rows


def compare_runs(a: Run, b: Run) -> dict:
    "What differs between two runs, by group, where their losses part, and a verdict where both were scored on the same test rows"
    found, known, judged = compare_records(a, b), [facts(run.record) for run in (a, b)], verdict_of(a, b)
    same = [
        group for group, pairs in found.items() if not pairs and (group == "settings" or all(k[group] for k in known))
    ]
    return {
        "a": a.path.name,
        "b": b.path.name,
        "changed": found.pop("settings"),
        **found,
        "losses": compare_losses(a, b),
        "same": same,
        "verdicts": [judged] if judged else [],
    }


def comparison_lines(result: dict) -> list[str]:
    "A comparison of two runs as text"
    groups = {"settings": result["changed"], **{group: result[group] for group in GROUPS}}
    parted = result["losses"]
    told = lines(groups)
    if parted["same"] is not None:
        told.append(
            f"all {parted['compared']:,} losses up to step {parted['last_step']} are the same"
            if parted["same"]
            else loss_line(parted)
        )
    if result["same"]:
        told.append(f"the same: {', '.join(result['same'])}")
    why = "their test rows differ" if "test" in result["data"] else "not both of them were scored"
    return told + ([v.text for v in result["verdicts"]] or [f"{why}: there is no verdict"])
