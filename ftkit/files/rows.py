"Rows as they were read: text in columns, with what was decided while reading."

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

# `postgresql://host/db`, `https://…`: no path, although a path has made one slash of two
ADDRESS = re.compile(r"([a-z][a-z0-9+.]+):/{1,3}", re.IGNORECASE)

EMPTY = "the file is empty. Write its rows again, or name another file."
NO_ROWS = "there are no rows below the column names. Add rows, or name another file."


@dataclass
class Table:
    "The rows of one split as text"

    columns: dict[
        str, list
    ]  # name -> values, all of one length: text, or None if there is none; lists and dictionaries stay
    source: str = "the rows from Python"  # file, data set or kind of object, for messages
    format: str = "rows"  # such as CSV, JSON Lines, Excel
    encoding: str | None = None  # of a text file
    delimiter: str | None = None  # comma, semicolon, tab or bar
    quoting: str | None = None  # quotes or none
    numbers: Sequence[int] | None = None  # line or row number of each row in the file, for messages; default: from 1
    notes: list[str] = field(
        default_factory=list
    )  # what was decided for the user, such as "2 comment lines were left out"
    orders: dict[str, list[str]] = field(default_factory=dict)  # column -> its values in the data set's own order

    def __len__(self):
        return len(next(iter(self.columns.values()), []))

    def number(
        self,
        row: int,  # from 0
    ) -> int:
        "Return the number of a row in the file, from 1"
        return self.numbers[row] if self.numbers is not None else row + 1

    def describe(self) -> str:
        "Return source, format, encoding, delimiter and quoting as one phrase"
        quoting = {"quotes": "quoted", "none": "no quoting"}.get(self.quoting)
        parts = [self.format, self.encoding, self.delimiter and f"{self.delimiter}-separated", quoting]
        return f"{self.source} ({', '.join(filter(None, parts))})"


@dataclass(frozen=True)
class ReadOptions:
    "What a person may say about a file instead of having it found"

    encoding: str | None = None  # a codec of Python, such as cp1252; default: found
    delimiter: str | None = None  # , ; | or tab; default: found
    quoting: str | None = None  # quotes or none; default: found
    column_names: tuple[str, ...] = ()  # of a file without a header line
    sheet_name: str | None = None  # of an Excel file; default: the first
    sql_query: str | None = None  # of a database


def to_text(
    value: object,  # of a typed source: JSON, Parquet, a DataFrame
) -> object:
    "Return a value as text, spelled as a CSV of pandas has it: True, 1, 1.0. Lists and dictionaries stay; NaN is None"
    if value is None or isinstance(value, str | list | dict):
        return value
    if value != value:  # NaN, NaT
        return None
    return str(value)
