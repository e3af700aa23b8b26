"""Answers that people judged: good, bad, or corrected. Good and corrected ones are rows of the next training.

A file of feedback is a CSV with the columns of `COLUMNS`; any tool may write it. What is bad and has no correction
teaches nothing yet: it is counted and left out.
"""

import csv
import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

from filelock import FileLock

from ftkit.errors import UserError
from ftkit.files.atomic import write_text
from ftkit.files.rows import Table
from ftkit.files.tables import read_table

COLUMNS = ("text", "answer", "mark", "corrected", "run", "time")
MARKS = ("good", "bad")


def add_feedback(
    file: str | Path,  # a .csv; made if it is not there
    text: str,  # that was answered
    answer: str,  # of the model
    mark: str,  # good or bad
    corrected: str | None = None,  # what the answer should have been
    run: str = "",  # that answered
) -> int:
    "Append a judgement and return how many there are. Raises `UserError` for another mark, or if it cannot be written"
    if mark not in MARKS:
        raise UserError(f"mark = {mark}: not a choice. Choices: {', '.join(MARKS)}.")
    file = Path(file)
    entry = [text, answer, mark, corrected or "", run, datetime.now(UTC).isoformat(timespec="seconds")]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=60):
            rows = [*read_entries(file), entry]
            write_text(file, "".join(map(spell_row, [list(COLUMNS), *rows])))
    except OSError as e:
        raise UserError(f"{file}: cannot be written ({e.strerror or 'it is locked'}). Name another file.") from None
    return len(rows)


def read_entries(file: Path) -> list[list[str]]:
    "Return the rows of a file, none if it is not there"
    if not file.is_file():
        return []
    with open(file, encoding="utf-8", newline="") as f:
        return [[row.get(name) or "" for name in COLUMNS] for row in csv.DictReader(f)]


def spell_row(cells: list[str]) -> str:
    "Return a row as CSV"
    out = StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(cells)
    return out.getvalue()


def read_feedback(
    file: str | Path,  # a file of judgements
) -> tuple[Table, int]:
    """Return `text` and `label` of the rows that teach something, and how many are left out.

    Raises `UserError` if the file is no feedback, or if a mark is neither good nor bad
    """
    table = read_table(file)
    missing = [name for name in ("text", "answer", "mark") if name not in table.columns]
    if missing:
        raise UserError(
            f"{file}: is no file of feedback: the column '{missing[0]}' is missing. Columns: text, answer, mark (good "
            "or bad), corrected."
        )
    corrected = table.columns.get("corrected", [None] * len(table))
    texts, labels, numbers = [], [], []
    for row, (text, answer, mark, better) in enumerate(
        zip(*(table.columns[name] for name in ("text", "answer", "mark")), corrected)
    ):
        mark = str(mark or "").strip().lower()
        if mark not in MARKS:
            raise UserError(f"{file}, row {table.number(row)}: the mark is {mark!r}. Write good or bad.")
        label = better if better and better.strip() else answer if mark == "good" else None
        if label is not None:
            texts.append(text)
            labels.append(label)
            numbers.append(table.number(row))
    kept = Table({"text": texts, "label": labels}, table.source, table.format, numbers=numbers)
    return kept, len(table) - len(texts)


def spell_answer(answer: dict) -> str:
    "Return what a model answered as a cell: its text, label or value; several labels as a JSON list"
    value = next((answer[key] for key in ("text", "label", "labels", "value") if key in answer), "")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else str(value)
