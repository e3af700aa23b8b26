"Open a file so that its rows come in pieces, whether it can be streamed or has to be read whole."

import json
import logging
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ftkit.errors import UserError
from ftkit.files.archives import COMPRESSED, find_single_member
from ftkit.files.atomic import format_bytes, sha256_file
from ftkit.files.rows import ADDRESS, ReadOptions, Table
from ftkit.files.streams.columnar import ParquetRows
from ftkit.files.streams.delimited import attempt_delimited
from ftkit.files.streams.plain import attempt_json, attempt_lines
from ftkit.files.streams.rules import Rules
from ftkit.files.streams.text import DAMAGE, Misfit, ReadWhole, examine_text
from ftkit.files.tables import check_source, inner_suffix, read_table

logger = logging.getLogger(__name__)

PIECE = 2048  # rows that are held at a time
STREAM_FROM = 4 * 10**6  # bytes: a smaller file is read whole, which takes less time and little memory
PACKED = 10  # times that a packed file is larger when it is unpacked, about
WARN_FROM = 100 * 10**6  # bytes: reading a larger file whole is logged, with the reason
ATTEMPTS = {  # ending -> (file, options) -> the ways in which its rows may be read
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv"), attempt_delimited),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), attempt_json),
    ".txt": attempt_lines,
}


@dataclass
class Rows:
    "The rows of a source, in pieces"

    source: str  # as the user gave it
    names: list[str]  # of the columns
    count: int  # of the rows
    sha256: str  # of the file's bytes; of the rows if there is no single file
    stream: object = None  # what has `tables`; None: the source was read whole
    whole: Table | None = None  # the rows if the source was read whole
    why_whole: str | None = None  # a reason if it is a file
    state: tuple = field(default=(), repr=False)  # of the file when it was examined

    def tables(
        self,
        size: int = PIECE,  # rows in each but the last
    ) -> Iterator[Table]:
        "Yield the rows as tables with all columns, in order. Raises `UserError` if the file has changed"
        if self.whole is not None:
            for start in range(0, self.count, size):
                yield cut_table(self.whole, start, start + size)
            return
        try:
            for table in self.stream.tables(size):
                columns = {name: table.columns.get(name) or [None] * len(table) for name in self.names}
                table.columns = columns
                yield table
        except (ReadWhole, *DAMAGE):
            self.check_unchanged()
            raise
        self.check_unchanged()

    def check_unchanged(self) -> None:
        "Raise `UserError` if the file is another one than when it was examined"
        if self.state and read_state(Path(self.source).expanduser()) != self.state:
            raise UserError(f"{self.source}: changed while it was read. Start again when nobody writes to it.")


def open_rows(
    source: str | Path,  # as for `read_table`
    options: ReadOptions = ReadOptions(),  # what is known about the file
    stream_from: int = STREAM_FROM,  # bytes of the smallest file that is streamed
) -> Rows:
    "Return the rows of a source in pieces: as `read_table` reads them, whatever the size. Raises `UserError`"
    source, path = str(source), Path(source).expanduser()
    if source == "-" or ADDRESS.match(source) or not os.path.isfile(path):
        table = read_table(source, options)
        return Rows(source, list(table.columns), len(table), hash_table(table), whole=table)
    check_source(source)
    state, digest = read_state(path), sha256_file(path)
    size = path.stat().st_size
    try:
        if size * (PACKED if is_packed(path) else 1) < stream_from:
            raise ReadWhole("it is small")
        stream, rules = examine(path, options)
    except ReadWhole as why:
        if size >= WARN_FROM:
            logger.info(f"{source}: is read whole ({format_bytes(size)}), which takes several times its size: {why}")
        table = read_table(source, options)
        return Rows(source, list(table.columns), len(table), digest, whole=table, why_whole=str(why), state=state)
    return Rows(source, list(rules.names), rules.rows, digest, stream, state=state)


def examine(
    path: Path,  # a file
    options: ReadOptions,  # what is known about it
):
    "Return what streams a file, and the facts about its rows, of which each was seen. Raises `ReadWhole`"
    attempts = list_attempts(path, options)
    while True:
        try:
            stream = next(attempts, None)
            if stream is None:
                raise ReadWhole("no way to read it fits every row")
            rules = Rules(str(path))
            for table in stream.tables(PIECE):
                rules.add(table)
            stream.finish(rules)
            rules.judge()
            if rules.needs_counts:
                rules.judge_asides(stream.tables(PIECE))
            return stream, rules
        except Misfit:
            continue
        except DAMAGE:
            raise ReadWhole("it cannot be unpacked") from None


def list_attempts(
    path: Path,  # a file
    options: ReadOptions,  # what is known about it
) -> Iterator:
    "Yield the ways in which a file may be streamed. Raises `ReadWhole`"
    suffix = inner_suffix(path)
    if suffix == ".zip":
        suffix = find_packed_suffix(path)
    if path.suffix.lower() in (".parquet", ".pq"):
        yield ParquetRows(path, options)
    elif suffix in ATTEMPTS:
        try:
            file = examine_text(path, suffix, options.encoding)
        except UserError:
            raise ReadWhole("its first bytes may hold a fault") from None
        yield from ATTEMPTS[suffix](file, options)
    else:
        raise ReadWhole(f"{suffix} is not streamed; .csv, .tsv, .jsonl, .txt and .parquet are")


def find_packed_suffix(
    path: Path,  # a .zip
) -> str:
    "Return the ending of the one file in an archive. Raises `ReadWhole`"
    try:
        with zipfile.ZipFile(path) as archive:
            return Path(find_single_member(archive, path).filename).suffix.lower()
    except (*DAMAGE, UserError):
        raise ReadWhole("it cannot be unpacked") from None


def is_packed(
    path: Path,  # a file
) -> bool:
    "Return whether a file takes more room when it is read"
    return path.suffix.lower() in (*COMPRESSED, ".zip", ".parquet", ".pq")


def read_state(
    path: Path,  # a file
) -> tuple:
    "Return what changes when a file is written: size, time and number"
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ino


def cut_table(
    table: Table,  # all rows
    start: int,  # the first, from 0
    end: int,  # the one after the last
) -> Table:
    "Return some of the rows"
    columns = {name: values[start:end] for name, values in table.columns.items()}
    numbers = [table.number(i) for i in range(start, min(end, len(table)))]
    return Table(columns, table.source, table.format, table.encoding, numbers=numbers)


def hash_table(
    table: Table,  # all rows
) -> str:
    "Return the sha256 of names and values"
    digest = sha256(json.dumps(list(table.columns)).encode())
    for row in zip(*table.columns.values()):
        digest.update(json.dumps(row, default=str).encode())
    return digest.hexdigest()
