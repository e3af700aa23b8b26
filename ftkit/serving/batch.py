"Files of predictions: one line out for each text in, in order."

import csv
import glob
import json
import os
from pathlib import Path

import psutil

from ftkit.errors import UserError
from ftkit.files.atomic import discard, replacing


def guard_formula(
    text: object,  # a cell
) -> object:
    "Return text that a spreadsheet would take for a formula with a quote in front (OWASP, CSV injection)"
    return "'" + text if isinstance(text, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def check_output(
    out: Path,  # the value of --out
    source: str | None = None,  # the file that is read
) -> None:
    "Raise `UserError` if `--out` cannot be written, before the work starts"
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


def write_rows(
    out: Path,  # .csv or .jsonl
    texts: list,  # what was asked
    rows: list[dict],  # the answers, from `Run.predict`
) -> None:
    "Replace a file by one line for each text, in order: .jsonl keeps every text as it was, .csv makes formulas harmless"
    check_output(out)
    try:
        discard_leftovers(out)
        with replacing(out) as temporary:
            with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as f:
                (write_jsonl if out.suffix == ".jsonl" else write_csv)(f, texts, rows)
    except OSError as e:
        raise UserError(f"--out {out}: cannot be written ({e.strerror}).") from None


def write_jsonl(file, texts: list, rows: list[dict]) -> None:
    "Write one JSON object a line"
    file.writelines(json.dumps({"text": t, **row}, ensure_ascii=False) + "\n" for t, row in zip(texts, rows))


def write_csv(file, texts: list, rows: list[dict]) -> None:
    "Write a table with a column for the score of each label"
    labels = sorted({label for row in rows for label in row.get("scores", {})})
    writer = csv.writer(file)  # with another lineterminator a carriage return in a text would not be quoted
    writer.writerow(["text", "label", "score", *(guard_formula(f"score_{label}") for label in labels), "error"])
    for text, row in zip(texts, rows):
        scores = [row.get("scores", {}).get(label, "") for label in labels]
        label, score, error = (row.get(key, "") for key in ("label", "score", "error"))
        writer.writerow([guard_formula(text), guard_formula(label), score, *scores, error])


def discard_leftovers(
    out: Path,  # the file to write
) -> None:
    "Delete the unfinished files of processes that were killed"
    for left in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):
        number = left.name.split(".")[-2]
        if number.isdecimal() and len(number) < 10 and not psutil.pid_exists(int(number)):
            discard(left)
