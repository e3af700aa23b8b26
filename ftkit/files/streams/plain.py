"JSON Lines, and a text in each line, in pieces."

import json
from collections.abc import Iterator
from itertools import islice

from ftkit.files.delimited import is_usual_name, refuse_impostor
from ftkit.files.headers import CHUNK
from ftkit.files.json_rows import DuplicateKey, decode, refuse_other_formats
from ftkit.files.lines import LABEL_WORD, MARK, has_names
from ftkit.files.rows import ReadOptions, Table, to_text
from ftkit.files.streams.rules import Rules
from ftkit.files.streams.text import ReadWhole, TextFile, refusing_doubt

START = 100_000  # characters that tell what a file is


def attempt_json(
    file: TextFile,  # its encoding is known
    options: ReadOptions,  # what is known about it
) -> Iterator["JsonLines"]:
    "Yield the one way to read an object in each line. Raises `ReadWhole` for any other form of JSON"
    with file.open() as f:
        start = f.read(START)
    refusing_doubt(refuse_other_formats, start, file.source)
    if start.startswith("\ufeff"):
        raise ReadWhole("it begins with two marks")
    yield JsonLines(file)


class JsonLines:
    "The rows of a file with an object in each line"

    def __init__(
        self,
        file: TextFile,  # its encoding is known
    ):
        self.file = file

    def tables(
        self,
        size: int,  # rows in each
    ) -> Iterator[Table]:
        "Yield the rows in tables, each with the columns that its rows have. Raises `ReadWhole`"
        with self.file.open() as f:
            records = (self.read(number, line) for number, line in enumerate(f, 1) if line.strip())
            while rows := list(islice(records, size)):
                names = dict.fromkeys(name for _, row in rows for name in row)
                columns = {name: [to_text(row.get(name)) for _, row in rows] for name in names}
                numbers = [number for number, _ in rows]
                yield Table(columns, self.file.source, "JSON Lines", self.file.codec, numbers=numbers)

    def read(
        self,
        number: int,  # of the line
        line: str,
    ) -> tuple[int, dict]:
        "Return the number and the object of a line. Raises `ReadWhole`"
        try:
            row = decode(line.rstrip("\r\n"))
        except (DuplicateKey, json.JSONDecodeError, RecursionError):
            raise ReadWhole(f"line {number} is not one object") from None
        if not isinstance(row, dict) or not row:
            raise ReadWhole(f"line {number} is not an object with values")
        return number, row

    def finish(
        self,
        rules: Rules,  # what was gathered about all rows
    ) -> None:
        "Judge what all rows showed. Raises `ReadWhole`"
        if rules.rows < 2:
            raise ReadWhole("one object may be a table")


def attempt_lines(
    file: TextFile,  # its encoding is known
    options: ReadOptions,  # what is known about it
) -> Iterator["TextLines"]:
    "Yield the one way to read a text in each line. Raises `ReadWhole` if the lines may be a table or have labels"
    if options.delimiter or options.column_names:
        raise ReadWhole("it may be a table")
    with file.open() as f:
        start = f.read(START)
    refusing_doubt(refuse_impostor, start, file.source)
    if start.lstrip()[:1] in ("", "{", "["):
        raise ReadWhole("it may be JSON")
    yield TextLines(file)


class TextLines:
    "The rows of a file with a text in each line"

    def __init__(
        self,
        file: TextFile,  # its encoding is known
    ):
        self.file, self.name, self.first = file, "text", 0
        head = list(islice(self.lines(), CHUNK))
        if not head or has_names(head[0][1]):
            raise ReadWhole("its first line may hold names of columns")
        if len(head) > 1 and is_usual_name(head[0][1]):
            self.first, self.name = head[0][0], head[0][1].strip()
        words = [line.split(None, 1) for _, line in head]
        if all(len(w) == 2 and LABEL_WORD.fullmatch(w[0]) for w in words):
            raise ReadWhole("each line may begin with a label")
        tabs = {line.count("\t") for _, line in head}
        if len(tabs) == 1 and tabs != {0}:
            raise ReadWhole("it may be a table")

    def lines(self) -> Iterator[tuple[int, str]]:
        "Yield number and text of each line that is not blank. Raises `ReadWhole` for a label of fastText"
        with self.file.open(newline="\n") as f:
            for number, line in enumerate(f, 1):
                text = line.removesuffix("\n").rstrip("\r")
                if text.strip():
                    if MARK in text:
                        raise ReadWhole("it may hold labels of fastText")
                    yield number, text

    def tables(
        self,
        size: int,  # rows in each
    ) -> Iterator[Table]:
        "Yield the rows in tables. Raises `ReadWhole`"
        lines = (pair for pair in self.lines() if pair[0] > self.first)
        while rows := list(islice(lines, size)):
            columns, numbers = {self.name: [text for _, text in rows]}, [number for number, _ in rows]
            yield Table(columns, self.file.source, "a text in each line", self.file.codec, numbers=numbers)

    def finish(
        self,
        rules: Rules,  # what was gathered about all rows
    ) -> None:
        "Judge what all rows showed. Raises `ReadWhole`"
        if rules.rows < 2:
            raise ReadWhole("one line may be anything")
