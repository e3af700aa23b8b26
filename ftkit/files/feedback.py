"""Answers that people judged: good, bad, or corrected. Good and corrected ones are rows of the next training.

ftkit writes JSON Lines, one judgement a line with the keys of `KEYS`, and only ever adds lines. Any table with the
columns text, answer, mark and corrected is read too. What is bad and has no correction teaches nothing yet: it is
counted and left out.
"""

import errno
import json
import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from ftkit.errors import UserError
from ftkit.files.atomic import write_text
from ftkit.files.rows import Table
from ftkit.files.tables import read_table

KEYS = ("text", "answer", "mark", "corrected", "run", "time")
MARKS = ("good", "bad")
LINES = (".jsonl", ".ndjson")
TRAINED_WITH = "judged.jsonl"  # in a run folder: the judgements that the run was trained with
logger = logging.getLogger(__name__)


def feedback_path(
    run: str | Path,  # a run folder
) -> Path:
    "Return where judgements of a run's answers are kept: next to its folder, so that they outlive it"
    run = Path(run)
    return run.with_name(f"{run.name}.feedback.jsonl")


def add_feedback(
    file: str | Path,  # a .jsonl; made if it is not there
    text: str,  # that was answered
    answer: str,  # of the model
    mark: str,  # good or bad
    corrected: str | None = None,  # what the answer should have been
    run: str = "",  # that answered
) -> None:
    "Append a judgement. Raises `UserError` for another mark, or if it cannot be written; no earlier line is touched"
    if mark not in MARKS:
        raise UserError(f"mark = {mark}: not a choice. Choices: {', '.join(MARKS)}.")
    file, time = Path(file), datetime.now(UTC).isoformat(timespec="seconds")
    line = spell_entry(dict(zip(KEYS, (text, answer, mark, corrected or "", run, time))))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_symlink() or file.exists() and not file.is_file():  # what a stranger's link leads to is not written
            raise OSError(errno.ELOOP, "it is not a regular file")
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=60):
            append_line(file, line)
    except OSError as e:
        raise UserError(f"{file}: cannot be written ({e.strerror or 'it is locked'}). Name another file.") from None


def append_line(
    file: Path,  # that nobody else writes to now
    line: bytes,  # with its line break
) -> None:
    "Append a line and wait until it is on the disk. A torn last line, of a killed process, is ended first"
    with open(file, "a+b", buffering=0) as f:
        end = f.seek(0, os.SEEK_END)
        if end:
            f.seek(end - 1)
            line = b"\n" * (f.read(1) != b"\n") + line
        try:
            if f.write(line) < len(line):
                raise OSError(errno.ENOSPC, "the disk is full")
            os.fsync(f.fileno())
        except OSError:
            os.ftruncate(f.fileno(), end)
            raise


def spell_entry(entry: dict[str, str]) -> bytes:
    "Return a judgement as a line. Half of a character becomes its escape, which JSON reads back"
    return (json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def read_entries(
    file: str | Path,  # of judgements: .jsonl as ftkit writes it, or any table
) -> list[dict[str, str]]:
    """Return the judgements of a file, each with the keys of `KEYS`. Warns about lines that are torn, and skips them.

    Raises `UserError` if the file is no feedback, or if a mark is neither good nor bad
    """
    rows = read_lines(Path(file)) if Path(file).suffix.lower() in LINES else read_columns(file)
    entries = []
    for number, row in rows:
        entries.append(read_entry(row, f"{file}, row {number}"))
    return entries


def read_entry(
    row: dict,  # as it was written
    source: str,  # for the message
) -> dict[str, str]:
    "Return a judgement with the keys of `KEYS`. Raises `UserError` if its mark is neither good nor bad"
    entry = {key: spell_value(row.get(key)) for key in KEYS}
    entry["mark"] = entry["mark"].strip().lower()
    if entry["mark"] not in MARKS:
        raise UserError(f"{source}: the mark is {entry['mark']!r}. Write good or bad.")
    return entry


def read_dicts(rows: list[dict]) -> list[dict[str, str]]:
    "Return judgements that are given as values"
    for number, row in enumerate(rows, 1):
        check_names(row if isinstance(row, dict) else (), f"judgement {number}")
    return [read_entry(row, f"judgement {number}") for number, row in enumerate(rows, 1)]


def read_lines(file: Path) -> list[tuple[int, dict]]:
    "Return (number of the line, judgement) of JSON Lines"
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as e:
        raise UserError(f"{file}: cannot be read ({e.strerror}).") from None
    rows, torn = [], []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            torn.append(number)
            continue
        if row is not None:
            check_names(row if isinstance(row, dict) else (), f"{file}, line {number}")
            rows.append((number, row))
    if torn and not rows:
        raise UserError(f"{file}: none of its lines is a JSON object. Write one judgement a line: {', '.join(KEYS)}.")
    for number in torn:
        logger.warning(f"{file}, line {number}: is torn, as by a process that was killed while writing. It is skipped")
    return rows


def read_columns(file: str | Path) -> list[tuple[int, dict]]:
    "Return (number of the row, judgement) of a table"
    table = read_table(file)
    check_names(table.columns, str(file))
    columns = {key: table.columns[key] for key in KEYS if key in table.columns}
    return [(table.number(i), dict(zip(columns, values))) for i, values in enumerate(zip(*columns.values()))]


def check_names(
    names: Iterable[str],  # keys or columns
    source: str,  # for the message
) -> None:
    "Raise `UserError` if a judgement lacks what it needs"
    missing = [name for name in ("text", "answer", "mark") if name not in names]
    if missing:
        raise UserError(
            f"{source}: is no feedback: '{missing[0]}' is missing. Needed: text, answer, mark (good or bad); "
            "corrected, if the answer was wrong."
        )


def spell_value(value: object) -> str:
    "Return a value of a judgement as text: several labels as a JSON list, nothing as an empty text"
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def join_entries(
    *parts: list[dict],  # judgements of several files
) -> list[dict]:
    "Return all judgements, in their order, each once: a file that grew since is read without counting twice"
    found = {tuple(entry.values()): entry for part in parts for entry in part}
    return list(found.values())


def write_entries(
    file: Path,  # to replace
    entries: list[dict],  # judgements
) -> None:
    "Replace a file of judgements"
    write_text(file, b"".join(map(spell_entry, entries)).decode("utf-8"))


def read_feedback(
    source: str | Path | list[dict],  # a file of judgements, or the judgements
) -> tuple[Table, int]:
    """Return `text` and `label` of the rows that teach something, and how many judgements are left out.

    Of several judgements on one text the last counts. Raises `UserError` as `read_entries` does
    """
    entries = read_dicts(source) if isinstance(source, list) else read_entries(source)
    last = {entry["text"]: (number, entry) for number, entry in enumerate(entries, 1)}
    texts, labels, numbers = [], [], []
    for text, (number, entry) in last.items():
        label = entry["corrected"].strip() or (entry["answer"] if entry["mark"] == "good" else "")
        if label:
            texts.append(text)
            labels.append(label)
            numbers.append(number)
    name = "the judged answers" if isinstance(source, list) else str(source)
    kept = Table({"text": texts, "label": labels}, name, "judged answers", numbers=numbers)
    return kept, len(entries) - len(texts)


def spell_answer(answer: dict) -> str:
    "Return what a model answered as a cell: its text, label or value; several labels as a JSON list"
    value = next((answer[key] for key in ("text", "label", "labels", "value") if key in answer), "")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else str(value)
