"""Delimited text in pieces.

The head settles which delimiter is left; its quoting is settled by attempts: rows are read as the csv module has them,
or split at the delimiter, and the attempt that fits every row is the one that the whole-file reader chooses, provided
that nothing of what makes that reader think twice occurs: quoted cells that look like rows, quotes that CSV does not
have, spaces after every delimiter, marks around every value.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from ftkit.errors import UserError
from ftkit.files.delimited.dialect import choose_delimiter, list_unusual
from ftkit.files.delimited.impostors import refuse_impostor
from ftkit.files.delimited.preamble import list_delimiters, open_body
from ftkit.files.delimited.records import (
    DELIMITERS,
    QUOTES,
    Body,
    Fit,
    Reading,
    begins_fields,
    is_blank,
    is_wrapped,
    list_indexes,
    scan,
    scan_both,
)
from ftkit.files.delimited.refusals import OTHER_MARK, WHOLE_LINE, refuse_two_delimiters
from ftkit.files.delimited.table import FIRST, name_columns, refuse_second_names
from ftkit.files.headers import CHUNK, TOP, clean_name, refuse_doubles, refuse_missing_header, refuse_title
from ftkit.files.rows import ReadOptions, Table
from ftkit.files.streams.rules import Rules
from ftkit.files.streams.text import Misfit, ReadWhole, TextFile, refusing_doubt

HEAD_CHARS = 100_000  # that `refuse_impostor` looks at
UNCLOSED = "end of data"  # how the csv module names a quote that is open at the end, here of the head


def attempt_delimited(
    file: TextFile,  # its encoding is known
    options: ReadOptions,  # what is known about it
) -> Iterator["DelimitedRows"]:
    "Yield the ways in which the rows may be read; the first that raises no `Misfit` is right. Raises `ReadWhole`"
    csv.field_size_limit(2**31 - 1)
    body = read_head(file, options)
    delimiter = find_delimiter(body)
    plain, quoted = scan(body, Reading(delimiter)), scan(body, Reading(delimiter, '"'))
    quoting = body.options.quoting
    begins = begins_fields(body, quoted.reading)
    as_plain = [] if quoting == "quotes" or not is_alive(plain) else [plain]
    as_quoted = [] if quoting == "none" or not is_alive(quoted) else [quoted]
    dead = quoting == "none" or not as_quoted
    attempts = [(fit, dead) for fit in as_plain] if not begins or dead else []
    attempts += [(fit, False) for fit in as_quoted]
    attempts += [(fit, True) for fit in as_plain if not dead]
    for fit, is_settled in attempts:
        yield DelimitedRows(file, body, fit, is_settled)


def read_head(
    file: TextFile,  # its encoding is known
    options: ReadOptions,  # what is known about it
) -> Body:
    "Return the first lines, without what stands above the table"
    with file.open() as f:
        lines, chars = [], 0
        for line in f:
            lines.append(line)
            chars += len(line)
            if len(lines) >= 2 * CHUNK and chars >= HEAD_CHARS:
                break
    text = "".join(lines)
    if text.lstrip()[:1] in ("", "{", "["):
        raise ReadWhole("it may be JSON")
    refusing_doubt(refuse_impostor, text, file.source)
    if "\n" not in text:
        raise ReadWhole("its lines do not end in line feeds")
    try:
        return open_body(text, file.source, options, file.suffix)
    except UserError:
        raise ReadWhole("its first lines may hold a fault") from None


def is_alive(
    fit: Fit | None,  # of a reading to the head
) -> bool:
    "Return whether a reading may fit the file: it fits the head, or a quote is still open there"
    return fit is not None and (fit.fits or UNCLOSED in (fit.fault or ""))


def find_delimiter(
    body: Body,  # the head
) -> str | None:
    "Return the one delimiter that may fit, None for a file of one column. Raises `ReadWhole`"
    try:
        delimiters = list_delimiters(body)
        fits = {d: next(filter(is_alive, scan_both(body, d)), None) for d in delimiters}
        alive = {d: fit for d, fit in fits.items() if fit}
        if alive:
            if len(alive) > 1:
                raise ReadWhole("several delimiters fit")
            return choose_delimiter(body, alive)
    except UserError:
        raise ReadWhole("its delimiter is not clear") from None
    header = body.lines[next(list_indexes(body))]
    is_single = not (body.names or body.options.delimiter or body.separator or set(header) & set(DELIMITERS))
    if not is_single or OTHER_MARK.search(header.strip("\r\n")) or may_be_prose(body):
        raise ReadWhole("no delimiter fits")
    return None


def may_be_prose(
    body: Body,  # the head of a file of one column
) -> bool:
    "Return whether a table may begin below the first lines"
    below = list(islice(list_indexes(body), 1, TOP + 1))
    return any(is_alive(fit) for i in below for d in DELIMITERS for fit in scan_both(replace(body, first=i), d))


class DelimitedRows:
    "The rows of a file in one reading"

    def __init__(
        self,
        file: TextFile,  # its encoding is known
        body: Body,  # its head
        fit: Fit,  # of the reading to the head
        is_settled: bool,  # quotes are known to be no syntax, so that they may begin fields
    ):
        self.file, self.body, self.fit, self.is_settled = file, body, fit, is_settled
        self.reading, self.width = fit.reading, fit.width
        try:
            self.names = name_columns(replace(body, notes=[]), fit)
            refuse_doubles(file.source, self.names)
        except UserError:
            raise ReadWhole("its header may hold a fault") from None
        named = [i for i, name in enumerate(self.names) if name]
        if not self.width or not named or named[-1] + 1 < len(self.names):
            raise ReadWhole("its last columns have no name")
        self.anchor, self.named = named[0], named
        self.begins = self.broken = self.spaced = False  # what some line was found to do
        self.unmarked, self.marked = set(range(len(self.names))), set()  # columns, see `look_for_marks`
        self.is_unusual = any(is_alive(scan(body, reading)) for reading in list_unusual(fit.reading.delimiter, '"'))
        self.head = [fields for _, fields in islice(self.records(), CHUNK)]
        if not self.head:
            raise ReadWhole("it has no rows")
        self.check_head()

    def check_head(self) -> None:
        "Raise `ReadWhole` if the head leaves open what all rows decide"
        body, fit, d = self.body, self.fit, self.reading.delimiter
        self.values = list(map(list, zip(*self.head)))
        if fit.header_line is not None and not body.names:
            first = fit.header_line + 1
            numbers = range(first + 1, first + 1 + len(self.head))
            refusing_doubt(refuse_title, self.file.source, self.names, self.values, numbers, first)
            refusing_doubt(refuse_two_delimiters, body)
            if may_have_decimals(body):
                raise ReadWhole("its numbers may have a comma")
        refusing_doubt(refuse_second_names, body, fit, self.values)
        unspaced = any(f and not f.startswith(" ") for fields in self.head for f in fields[1:])
        header = fit.header_line is None or all(h.startswith(" ") for h in fit.header[1:])
        self.may_be_spaced = d is not None and not unspaced
        if self.may_be_spaced and header:
            raise ReadWhole("a space may follow each delimiter")
        if not self.reading.quote and fit.header_line is not None and body.options.quoting != "none":
            if any(all(is_wrapped(h.strip(), quote) for h in fit.header) for quote in QUOTES):
                raise ReadWhole("its names stand in quotes")

    def tables(
        self,
        size: int,  # rows in each
    ) -> Iterator[Table]:
        "Yield the rows in tables. Raises `Misfit` or `ReadWhole` for a row that does not fit"
        records = self.records()
        while rows := list(islice(records, size)):
            values = list(map(list, zip(*(fields for _, fields in rows))))
            self.look_for_marks(values)
            kind = "TSV" if self.reading.delimiter == "\t" else "CSV"
            columns = {self.names[i]: values[i] for i in self.named}
            yield Table(columns, self.file.source, kind, self.file.codec, numbers=[number for number, _ in rows])

    def look_for_marks(
        self,
        values: list[list[str]],  # of the columns
    ) -> None:
        "Note the columns that have a value without quotes or backticks around it: no column loses its marks then"
        for i in [i for i in self.unmarked if any(values[i])]:
            starts = [value.strip()[:1] for value in values[i] if value]
            if any(not start or start not in FIRST for start in starts):
                self.unmarked.discard(i)
            else:
                self.marked.add(i)

    def records(self) -> Iterator[tuple[int, list[str]]]:
        "Yield the line number and the fields of each row"
        split = self.split_quoted if self.reading.quote else self.split_plain
        known = self.names[self.anchor]
        with self.file.open() as f:
            for start, fields in split(islice(f, self.body.first, None)):
                if start == self.fit.header_line:
                    continue
                if len(fields) != self.width:
                    raise Misfit(f"line {start + 1} has {len(fields)} fields, the lines above it {self.width}")
                if known in fields[self.anchor] and [clean_name(f) for f in fields] == self.names:
                    continue
                yield start + 1, fields

    def split_plain(
        self,
        lines: Iterator[str],  # from the first one of the table
    ) -> Iterator[tuple[int, list[str]]]:
        "Yield the index and the fields of each line: quotes are text"
        d, settled = self.reading.delimiter, self.is_settled
        self.counts = {mark: Counter() for mark in DELIMITERS}  # of this pass
        for start, line in enumerate(lines, self.body.first):
            if is_blank(line, d):
                self.broken = self.broken or line.endswith("\r")
                continue
            if '"' in line or line.lstrip()[:1] == "'":
                self.look_at_quotes(line)
            if d is None and start != self.fit.header_line:
                for mark, counts in self.counts.items():
                    counts[line.count(mark)] += 1
            if self.begins and not settled:
                raise Misfit("quotes may be syntax")
            line = line.rstrip("\r\n")
            yield start, line.split(d) if d else [line]

    def look_at_quotes(
        self,
        line: str,  # that holds one
    ) -> None:
        "Note what the quotes of a line that is split plainly may mean. Raises `ReadWhole`"
        d, body = self.reading.delimiter, self.body
        self.spaced = self.spaced or d is not None and f'{d} "' in line
        self.begins = self.begins or body.options.quoting is None and begins_with_quote(line, d)
        if self.begins and self.is_unusual and body.options.quoting is None:
            fields = line.rstrip("\r\n").split(d) if d else [line.rstrip("\r\n")]
            self.is_unusual = not any(f[:1] == '"' and not is_wrapped(f, '"') for f in fields)
        whole = WHOLE_LINE.fullmatch(line.strip()) if d and not body.options.quoting else None
        if whole and d in whole[1] and d not in whole[2]:
            raise ReadWhole("a line stands in quotes as a whole")

    def split_quoted(
        self,
        lines: Iterator[str],  # from the first one of the table
    ) -> Iterator[tuple[int, list[str]]]:
        "Yield the index of the first line, and the fields, of each record of the csv module"
        taken, start, d = [], self.body.first, self.reading.delimiter

        def take():
            for line in lines:
                taken.append(line)
                yield line

        reader = csv.reader(take(), delimiter=d or self.body.unused[0], quotechar='"', strict=True)
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as e:
                raise Misfit(f"line {start + 1}: {e}") from None
            self.begins = self.begins or any(begins_with_quote(line, d) for line in taken)
            if len(taken) > 1 and looks_like_rows(taken, d, self.width):
                raise ReadWhole("a quoted text has lines that look like rows")
            if fields and not is_blank(taken[0], d):
                if not d and self.body.unused[0] in taken[0]:
                    raise ReadWhole("it holds characters for private use")
                yield start, fields
            else:
                self.broken = self.broken or taken[0].endswith("\r")
            start += len(taken)
            taken.clear()

    def finish(
        self,
        rules: Rules,  # what was gathered about all rows
    ) -> None:
        "Judge what all rows showed. Raises `Misfit` if another attempt may be right, or `ReadWhole`"
        quoting, body = self.body.options.quoting, self.body
        if self.reading.quote and not self.begins and quoting != "quotes":
            raise Misfit("no quote begins a field")
        if self.broken:
            raise ReadWhole("a carriage return stands alone")
        if self.may_be_spaced and self.spaced:
            raise ReadWhole("a space may follow each delimiter")
        if self.marked & self.unmarked and quoting is None:
            raise ReadWhole("every value of a column may stand in quotes")
        if not self.reading.quote and self.begins and self.is_unusual:
            raise ReadWhole("its quotes are not those of CSV")
        if self.reading.delimiter is None and not self.reading.quote and any(map(is_regular, self.counts.values())):
            raise ReadWhole("nearly all lines have a delimiter")
        if self.fit.header_line is not None and not body.names:
            rules.judge_header(refuse_missing_header, self.names, self.values)


def begins_with_quote(
    line: str,
    delimiter: str | None,
) -> bool:
    "Return whether a quote stands at the beginning of a field"
    return line[:1] == '"' or delimiter is not None and f'{delimiter}"' in line


def looks_like_rows(
    lines: list[str],  # of one record
    delimiter: str | None,
    width: int,  # fields of a row
) -> bool:
    "Return whether every line of a record could be a row"
    return all((line.count(delimiter) if delimiter else 0) + 1 == width for line in lines if line.strip())


def is_regular(
    counts: Counter,  # how many delimiters of a kind lines have -> lines
) -> bool:
    "Return whether nearly all lines have as many delimiters, at least one"
    most, number = counts.most_common(1)[0] if counts else (0, 0)
    return bool(most) and number >= max(2, 0.8 * counts.total())


def may_have_decimals(
    body: Body,  # the head
) -> bool:
    "Return whether every line of the head has as many commas as its header has other delimiters"
    first, *rest = list_indexes(body)
    header, rows = body.lines[first], [body.lines[i] for i in rest]
    wanted = {header.count(d) for d in DELIMITERS if d != "," and d in header}
    return "," not in header and any(all(row.count(",") == n for row in rows) for n in wanted)
