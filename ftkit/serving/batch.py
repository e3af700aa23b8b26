"Files of predictions: one line out for each text in, in order."

import csv
import glob
import json
import os
import re
from pathlib import Path

import psutil

from ftkit.checks.columns import show_pair
from ftkit.errors import UserError
from ftkit.files.atomic import discard, replacing
from ftkit.files.conversations import prompt_of


def guard_formula(
    text: object,  # a cell of text: never a label or a score
) -> object:
    "Return text that a spreadsheet would take for a formula with a quote in front (OWASP, CSV injection)"
    is_formula = isinstance(text, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") and not is_number(text)
    return "'" + text if is_formula else text


def is_number(
    text: str,  # a cell
) -> bool:
    "Return whether a text is a plain number, such as -20 or +1.5"
    return bool(re.fullmatch(r"[+-]?\d+([.,]\d+)*%?", text.strip()))


def check_output(
    out: Path,  # the value of --out
    source: str | None = None,  # the file that is read
    force: bool = True,  # replace a file that is there
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
    if os.path.exists(out) and not force:
        raise UserError(f"--out {out}: is already there. Give another name, or --force to replace it.")


def write_rows(
    out: Path,  # .csv or .jsonl
    texts: list,  # what was asked
    rows: list[dict],  # the answers, from `Run.predict`
    others: dict[str, list] | None = None,  # columns that come along
    separator: str = ",",  # of a .csv
    bom: bool = False,  # begin a .csv with a byte order mark
    force: bool = True,  # replace a file that is there
    keys: tuple[str, ...] = ("label", "score"),  # of an answer, which lead
) -> int:
    "Write one line for each text, in order. Return how many texts were changed: .csv makes formulas harmless"
    check_output(out, force=force)
    columns = arrange_columns(texts, others or {}, keys)
    try:
        discard_leftovers(out)
        with replacing(out) as temporary:
            encoding = "utf-8-sig" if bom and out.suffix == ".csv" else "utf-8"
            with open(temporary, "w", encoding=encoding, errors="backslashreplace", newline="") as f:
                if out.suffix == ".jsonl":
                    return write_jsonl(f, columns, rows)
                labels = sorted({label for row in rows for label in row.get("scores", {})})
                write_header(f, list(columns), keys, labels, separator)
                return write_csv(f, columns, rows, keys, labels, separator)
    except OSError as e:
        raise UserError(f"--out {out}: cannot be written ({e.strerror}).") from None


def arrange_columns(
    texts: list,  # what was asked
    others: dict[str, list],  # columns that come along
    keys: tuple[str, ...],  # of an answer, which lead
) -> dict[str, list]:
    "Return the columns before the answer. One with a name that the answer has gets a `_` behind it"
    asked = "prompt" if "text" in keys else "text"  # the column of what was asked
    own = (asked, *keys, "error")
    along = {f"{name}_" if name in own else name: values for name, values in others.items()}
    return {asked: [show_prompt(text) for text in texts], **along}


def write_jsonl(file, columns: dict[str, list], rows: list[dict]) -> int:
    "Write one JSON object a line"
    for i, row in enumerate(rows):
        along = {name: values[i] for name, values in columns.items()}
        file.write(json.dumps({**along, **row}, ensure_ascii=False) + "\n")
    return 0


def write_header(file, names: list[str], keys: tuple, labels: list[str], separator: str) -> None:
    "Write the first line of a table, with a column for the score of each label"
    csv.writer(file, delimiter=separator).writerow([*names, *keys, *(f"score_{label}" for label in labels), "error"])


def write_csv(file, columns: dict[str, list], rows: list[dict], keys: tuple, labels: list[str], separator: str) -> int:
    "Write the lines of a table; return how many cells of text got a quote in front"
    changed = 0
    # with another lineterminator a carriage return in a text would not be quoted
    writer = csv.writer(file, delimiter=separator)
    for i, row in enumerate(rows):
        cells = [values[i] for values in columns.values()]
        answer = [spell_answer(row.get(key, "")) for key in keys]
        texts = [*cells, *(value for key, value in zip(keys, answer) if key == "text")]  # never a label or a number
        guarded = [guard_formula(cell) for cell in texts]
        changed += guarded != texts
        answer = [guard_formula(value) if key == "text" else value for key, value in zip(keys, answer)]
        scores = [row.get("scores", {}).get(label, "") for label in labels]
        writer.writerow([*guarded[: len(cells)], *answer, *scores, row.get("error", "")])
    return changed


def show_prompt(prompt: object) -> object:
    "Return what was asked as a cell: of a chat its turns"
    is_chat = isinstance(prompt, list) and all(isinstance(turn, dict) for turn in prompt)
    return (prompt_of([*prompt, {}]) if prompt else "") if is_chat else show_pair(prompt)


def spell_answer(value: object) -> object:
    "Return a value of an answer as a cell: labels with a semicolon between them"
    return "; ".join(value) if isinstance(value, list) else value


def discard_leftovers(
    out: Path,  # the file to write
) -> None:
    "Delete the unfinished files of processes that were killed"
    for left in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):
        number = left.name.split(".")[-2]
        if number.isdecimal() and len(number) < 10 and not psutil.pid_exists(int(number)):
            discard(left)
