"Lines as records: one reading (delimiter and quoting) applied to the lines, and how well it fits."

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from ftkit.files.headers import clean_name
from ftkit.files.rows import ReadOptions

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
QUOTES = {'"': "quotes", "'": "single quotes", "`": "backticks"}
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")  # U+2028 and form feed are text, unlike in str.splitlines


@dataclass(frozen=True)
class Reading:
    "A way to split lines into fields"

    delimiter: str | None  # None: one column
    quote: str | None = None  # the character that quotes; None: every line is split at the delimiter
    inner: str = "doubled"  # how a quote inside quotes is written: doubled, backslash or bare
    spaced: bool = False  # the spaces after a delimiter are skipped


@dataclass(frozen=True)
class Body:
    "The lines of a file and what is known about them"

    lines: list[str]  # with their line breaks
    text: str
    source: str
    options: ReadOptions
    suffix: str
    names: list[str]  # given for a file without a header
    unused: tuple[str, str]  # two characters that are not in the text
    first: int = 0  # the index of the line at which header and rows begin
    separator: str | None = None  # from a line `sep=;`
    hash_header: bool = False  # the header begins with #
    notes: list[str] = field(default_factory=list)


@dataclass
class Fit:
    "How a reading fits the lines of a file"

    reading: Reading
    header: list[str]  # the fields of the header, or the names that were given
    header_line: int | None = None  # its index; None if there is none
    width: int = 0  # the number of fields in the first row
    rows: int = 0  # that fit
    line: int | None = None  # the index of the first line that does not
    count: int = 0  # of its fields
    fault: str | None = None  # of its quotes
    runs: list[tuple[int, int]] = field(default_factory=list)  # lines in one record, each of them like a row
    wrapped: int = 0  # other records of several lines

    @property
    def fits(self) -> bool:
        return self.line is None and self.rows > 0 and (self.reading.delimiter is None or len(self.header) > 1)


class QuoteFault(Exception):
    "A record whose quotes are wrong"

    def __init__(
        self,
        line: int,  # the index of the line at which the record begins
        why: str,
    ):
        super().__init__(why)
        self.line, self.why = line, why


def list_indexes(
    body: Body,
) -> Iterator[int]:
    "Yield the indexes of the lines that are not blank"
    return (i for i in range(body.first, len(body.lines)) if body.lines[i].strip(" \r\n"))


def is_blank(
    line: str,
    delimiter: str | None,  # a tab between empty values is no blank line
) -> bool:
    "Return whether a line is no row"
    return not line.strip() and not (delimiter and delimiter in line)


def read_records(
    body: Body,
    reading: Reading,
) -> Iterator[tuple[int, int, list[str]]]:
    "Yield the index of a record's first line, of the line after it, and its fields. Raises `QuoteFault`"
    return split_lines(body, reading) if reading.quote is None else read_quoted(body, reading)


def split_lines(
    body: Body,
    reading: Reading,
) -> Iterator[tuple[int, int, list[str]]]:
    "Yield every line as a record: quote characters are text"
    delimiter, spaced = reading.delimiter, reading.spaced
    for index in range(body.first, len(body.lines)):
        line = body.lines[index].rstrip("\r\n")
        if not is_blank(line, delimiter):
            fields = line.split(delimiter) if delimiter else [line]
            yield index, index + 1, [fields[0], *(f.lstrip(" ") for f in fields[1:])] if spaced else fields


def read_quoted(
    body: Body,
    reading: Reading,
) -> Iterator[tuple[int, int, list[str]]]:
    "Yield records as the csv module reads them strictly"
    lines, start = body.lines, body.first
    reader = csv.reader(
        prepare_lines(body, reading),
        delimiter=reading.delimiter or body.unused[0],
        quotechar=reading.quote,
        skipinitialspace=reading.spaced,
        strict=True,
    )
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            raise QuoteFault(start, str(e)) from None
        end = body.first + reader.line_num
        if fields and not is_blank(lines[start], reading.delimiter):
            yield start, end, fields if reading.inner == "doubled" else restore_quotes(body, reading, fields, start)
        start = end


def prepare_lines(
    body: Body,
    reading: Reading,
) -> Iterator[str]:
    "Return the lines for the csv module, with a stand-in for quotes inside quotes that are not doubled"
    lines, quote, stand_in = islice(body.lines, body.first, None), reading.quote, body.unused[1]
    if reading.inner == "doubled":
        return lines
    if reading.inner == "backslash":
        pattern = re.compile(rf"\\(?:\\|{quote})")
        kept = "\\\\"
    else:  # a quote that neither follows nor precedes a delimiter or the end of the line; a doubled one stays
        edge = re.escape(reading.delimiter or body.unused[0])
        pattern = re.compile(rf"{quote}{quote}|(?<=[^{edge}])(?<!{edge} ){quote}(?!{edge}|[\r\n]|$)")
        kept = quote * 2
    return (pattern.sub(lambda m: m[0] if m[0] == kept else stand_in, line) for line in lines)


def restore_quotes(
    body: Body,
    reading: Reading,
    fields: list[str],
    start: int,  # the index of the record's first line
) -> list[str]:
    'Return fields with their quotes. Raises `QuoteFault` for text such as `"Alien" meets "Predator"`'
    stand_in, quote = body.unused[1], reading.quote
    if reading.inner == "bare" and any(closes_first(f, stand_in) for f in fields):
        if not is_wrapped(body.lines[body.first].strip(), quote):  # in a fully quoted file the outer quotes are syntax
            raise QuoteFault(start, "the quotes are part of the text")
    return [f.replace(stand_in, quote) for f in fields]


def closes_first(
    value: str,
    quote: str,  # its stand-in
) -> bool:
    "Return whether the first of an even number of inner quotes closes a quotation that the field's own quote opened"
    at = value.find(quote)
    return at > 0 and value.count(quote) % 2 == 0 and not value[at - 1].isspace() and value[at - 1] not in "([{-"


def is_wrapped(
    value: str,
    quote: str,
) -> bool:
    "Return whether a field begins and ends with a quote"
    return len(value) > 1 and value[0] == value[-1] == quote


def scan(
    body: Body,
    reading: Reading,
) -> Fit:
    "Return how a reading fits. Stops at the first record that does not"
    fit = Fit(reading, list(body.names))
    if reading.delimiter and (len(fit.header) == 1 or reading.delimiter not in body.text):
        return fit
    try:
        for start, end, fields in read_records(body, reading):
            if fit.header_line is None and fit.rows == 0 and is_header(body, fields):
                fit.header, fit.header_line = fields, start
                if reading.delimiter and len(fields) < 2:
                    return fit
                if splits_quotes(body, reading, fields):
                    fit.line, fit.fault = start, "a name in quotes is split"
                    return fit
                continue
            fit.width = fit.width or len(fields)
            if len(fields) != fit.width or not matches_header(fields, fit.header):
                fit.line, fit.count = start, len(fields)
                return fit
            fit.rows += 1
            if end - start > 1:
                keep_run(body, fit, start, end)
    except QuoteFault as e:
        fit.line, fit.fault = e.line, e.why
    return fit


def splits_quotes(
    body: Body,
    reading: Reading,
    header: list[str],
) -> bool:
    'Return whether a reading without quoting splits a name such as `"text, all"`'
    if reading.quote or not reading.delimiter or body.options.quoting:
        return False
    names = [name for name in map(str.strip, header) if name.count('"') == 1]
    return any(name.startswith('"') or name.endswith('"') for name in names)


def is_header(
    body: Body,
    fields: list[str],  # of the first record
) -> bool:
    "Return whether the first record holds the names"
    if not body.names:
        return True
    found = [clean_name(f).casefold() for f in fields]
    return found[: len(body.names)] == [n.casefold() for n in body.names] and not any(found[len(body.names) :])


def matches_header(
    fields: list[str],
    header: list[str],
) -> bool:
    "Return whether a row has the header's fields; delimiters at the end with nothing between them do not count"
    if len(fields) == len(header):
        return True
    if len(fields) > len(header):
        return not any(f.strip() for f in fields[len(header) :])
    return not any(clean_name(h) for h in header[len(fields) :])


def keep_run(
    body: Body,
    fit: Fit,
    start: int,  # index of the first line of a record
    end: int,  # index of the line after it
) -> None:
    "Record whether the lines of a record would be rows of their own without quoting"
    d = fit.reading.delimiter
    lines = [line for line in body.lines[start:end] if line.strip()]
    if all((line.count(d) if d else 0) + 1 == fit.width for line in lines):
        fit.runs.append((start, end))
    else:
        fit.wrapped += 1


def scan_both(
    body: Body,
    delimiter: str | None,
) -> tuple[Fit | None, Fit | None]:
    "Return how the lines fit without and with quoting; None for one that is excluded or makes no difference"
    quoting = body.options.quoting
    plain = None if quoting == "quotes" else scan(body, Reading(delimiter))
    quoted = None
    if quoting == "quotes" or (quoting is None and '"' in body.text):
        quoted = scan(body, Reading(delimiter, '"'))
    return plain, quoted


def begins_fields(
    body: Body,
    reading: Reading,
) -> bool:
    "Return whether a quote stands at the beginning of a field, so that it may be syntax"
    quote, text = reading.quote, body.text
    edges = ["\n", "\r", *filter(None, [reading.delimiter])]
    if text.startswith(quote) or any(edge + quote in text for edge in edges):
        return True
    return reading.spaced and re.search(rf"{re.escape(reading.delimiter)} +{quote}", text) is not None


def get_end(
    line: str,
) -> str:
    "Return the line break of a line"
    return line[len(line.rstrip("\r\n")) :]
