"""Files as rows of text: CSV, TSV, JSON, JSON Lines, Parquet.

Every value stays what was written: `007`, `null` and `True` are text. Rows that do not fit stop the reading with their number,
because a row that is silently shifted, dropped or retyped teaches the model something else than the file says.
"""

import csv
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

from ftkit.errors import UserError

KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass
class Table:
    "The rows of a file"

    columns: dict[str, list]  # name -> values, all of one length; None where the file has none
    encoding: str | None = None  # of a text file
    delimiter: str | None = None  # of a CSV file
    first_row: int = 1  # the number of the first row in the file, for messages

    def __len__(self):
        return len(next(iter(self.columns.values()), []))


def read_table(
    path: str | Path,  # the file; its ending tells the format
) -> Table:
    "Read the rows of a file as text. Raises `UserError` with file, row, cause and remedy"
    path = Path(path)
    if not os.path.exists(path):  # false, not an error, if a name is too long
        raise UserError(f"{path}: there is no such file.{list_neighbours(path.parent)}")
    if path.is_dir():
        raise UserError(f"{path}: is a folder. Name a file in it: {ENDINGS}.")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: files ending in '{path.suffix}' are not read. Use {ENDINGS}.")
    if not path.is_file():
        raise UserError(f"{path}: is a device or a pipe, not a file. Write its rows into a file first.")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty.")
    try:
        table = reader(path)
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror}).") from None
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply. Each row must be one object of texts and numbers.") from None
    if not len(table):
        raise UserError(f"{path}: there are no rows below the column names.")
    return table


def list_neighbours(
    folder: Path,  # that may be missing
) -> str:
    "Return the first tables in a folder as a sentence, or an empty text"
    found = (
        sorted(p.name for p in folder.glob("*") if p.suffix in READERS and p.suffix != ".txt")
        if os.path.isdir(folder)
        else []
    )
    return f" Next to it: {', '.join(found[:5])}." if found else ""


def read_text(path: Path) -> tuple[str, str]:
    "Text and encoding: UTF-8 with or without a mark, UTF-16 with one, else Windows-1252"
    data = path.read_bytes()
    if data[:4] in (b"PK\x03\x04", b"PAR1") or data[:2] == b"\x1f\x8b":
        raise UserError(f"{path}: is compressed or binary, though it ends in '{path.suffix}'. Unpack it first.")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
            return text, "utf-8" if encoding == "utf-8-sig" else encoding
        except UnicodeDecodeError:
            continue
    raise UserError(f"{path}: is neither UTF-8 nor {encodings[-1]} text. Save it as UTF-8.")


def sniff_delimiter(text: str, path: Path) -> str:
    "The delimiter with which the first rows have the same number of fields, more than one if possible"
    if path.suffix.lower() == ".tsv":
        return "\t"
    best, most = ",", 1
    for delimiter in DELIMITERS:
        try:
            rows = [
                r
                for _, r in zip(range(50), csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
                if r
            ]
        except csv.Error:
            continue
        if rows and len(rows[0]) > most and sum(len(r) == len(rows[0]) for r in rows) > len(rows) / 2:
            best, most = delimiter, len(rows[0])
    return best


def read_csv(path: Path) -> Table:
    "A CSV or TSV file, read strictly: a row with too many or too few fields is an error, not a guess"
    text, encoding = read_text(path)
    if text.lstrip()[:15].lower().startswith(("<!doctype html", "<html")):
        raise UserError(f"{path}: is a web page, not a table. Download the file itself.")
    delimiter = sniff_delimiter(text, path)
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, line = [], 1
    try:
        for fields in reader:
            if fields:
                rows.append((line, fields))
            line = reader.line_num + 1
    except csv.Error as e:
        raise UserError(
            f"{path}, line {line}: {e}. A quote that is opened must be closed; a quote inside a quoted text is written twice."
        ) from None
    if not rows:
        raise UserError(f"{path}: the file is empty.")
    header = rows[0][1]
    twice = [n for n in header if header.count(n) > 1]
    if twice:
        raise UserError(f"{path}: two columns are named '{twice[0]}'. Rename one.")
    for line, fields in rows[1:]:
        if len(fields) != len(header):
            raise UserError(
                f"{path}, line {line}: {len(fields)} fields where the first line has {len(header)} "
                f"({', '.join(header[:5])}). Put quotes around a text that holds a {DELIMITERS[delimiter]}."
            )
    columns = {name: [fields[i] for _, fields in rows[1:]] for i, name in enumerate(header)}
    return Table(columns, encoding, DELIMITERS[delimiter], 2)


def as_columns(records: list, path: Path, first: int = 1) -> dict[str, list]:
    "A list of JSON objects as columns"
    for number, record in enumerate(records, first):
        if not isinstance(record, dict):
            raise UserError(
                f'{path}, row {number}: expected an object such as {{"text": "...", "label": "..."}}, found {json.dumps(record)[:40]}.'
            )
    names = list(dict.fromkeys(name for record in records for name in record))
    return {name: [to_text(record.get(name)) for record in records] for name in names}


def to_text(value: object) -> object:
    "A JSON or Parquet value as it is kept: text and None stay, numbers become their own text, the rest stays to be refused by name"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return None if value != value else str(int(value)) if value.is_integer() else str(value)
    return value


def read_jsonl(path: Path) -> Table:
    "One JSON object a line"
    text, encoding = read_text(path)
    records = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                records.append(json.loads(line))
            except ValueError as e:
                raise UserError(
                    f"{path}, line {number}: not valid JSON ({e.args[0]}). Each line must be one object."
                ) from None
    return Table(as_columns(records, path), encoding)


def read_json(path: Path) -> Table:
    "A JSON array of objects, or JSON Lines under the ending .json"
    text, encoding = read_text(path)
    try:
        records = json.loads(text)
    except ValueError as e:
        if "Extra data" in str(e):
            return read_jsonl(path)
        raise UserError(f"{path}: not valid JSON ({e}).") from None
    if not isinstance(records, list):
        inside = (
            [k for k, v in records.items() if isinstance(v, list) and v and isinstance(v[0], dict)]
            if isinstance(records, dict)
            else []
        )
        hint = f" The rows seem to be under '{inside[0]}': save that list alone." if inside else ""
        raise UserError(f"{path}: expected a list of objects, found one {type(records).__name__}.{hint}")
    return Table(as_columns(records, path), encoding)


def read_parquet(path: Path) -> Table:
    "A Parquet file"
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
        return Table(
            {
                name: [to_text(v) for v in table[name].to_pylist()]
                for name in table.column_names
                if not name.startswith("__index_level_")
            }
        )
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as e:
        raise UserError(f"{path}: cannot be read as Parquet ({str(e).splitlines()[0]}).") from None


READERS = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}
ENDINGS = ".csv, .tsv, .json, .jsonl or .parquet"
