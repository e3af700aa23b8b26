"The rows of delimited text as columns: every value as written, every line accounted for."

import csv
import re
from collections import Counter

from ftkit.errors import UserError
from ftkit.files.delimited.dialect import find_fit
from ftkit.files.delimited.impostors import refuse_impostor
from ftkit.files.delimited.preamble import open_body
from ftkit.files.delimited.records import (
    DELIMITERS,
    QUOTES,
    Body,
    Fit,
    Reading,
    begins_fields,
    get_end,
    is_blank,
    read_records,
)
from ftkit.files.delimited.refusals import refuse_run, refuse_two_delimiters
from ftkit.files.headers import (
    CHUNK,
    clean_name,
    is_usual_name,
    refuse_doubles,
    refuse_missing_header,
    refuse_title,
)
from ftkit.files.rows import NO_ROWS, ReadOptions, Table

MARKS = (("'", "'", "single quotes"), ("`", "`", "backticks"), ('="', '"', 'Excel\'s ="…"'))  # start, end, name
FEWEST = 10  # values: fewer may stand in marks by chance
FIRST = "'`="  # how the marks begin
LONG_RUN = 4  # lines in one quoted cell that carry labels of the table: no text does that by chance


def parse_delimited(
    text: str,  # decoded, without a byte order mark
    source: str,  # for messages
    encoding: str,  # as it was found
    options: ReadOptions,  # what is known about the file; wins over what is found
    suffix: str = ".csv",  # of the file
) -> Table:
    """Read delimited text: every value stays as written.

    Raises `UserError` with line and remedy if the rows differ in their number of fields or can be read in two ways.
    """
    refuse_impostor(text, source)
    csv.field_size_limit(2**31 - 1)
    body = open_body(text, source, options, suffix)
    fit = find_fit(body)
    return build_table(body, fit, encoding)


def build_table(
    body: Body,
    fit: Fit,
    encoding: str,
) -> Table:
    "Return the rows as columns. Raises `UserError` if the header is none, or a quoted cell holds rows"
    names = name_columns(body, fit)
    values, numbers, repeated = collect_values(body, fit, names)
    source, notes = body.source, body.notes
    if not numbers:
        raise UserError(f"{source}: {NO_ROWS}")
    if fit.header_line is not None and not body.names:
        refuse_title(source, names, values, numbers, fit.header_line + 1)
        refuse_missing_header(source, names, values)
        refuse_two_delimiters(body, values)
    refuse_second_names(body, fit, values)
    refuse_doubles(source, names)
    refuse_shifted(body, fit, names, values, numbers)
    refuse_rows_in_cell(body, fit, values)
    if repeated:
        plural = f"{len(repeated)} repeated header lines" if len(repeated) > 1 else "1 repeated header line"
        notes.append(f"{plural} left out, the first in line {repeated[0]}")
    note_reading(body, fit)
    values = unwrap_columns(body, names, values)
    note_nameless(fit, names, values, numbers, notes)
    numbers = range(numbers[0], numbers[-1] + 1) if numbers[-1] - numbers[0] + 1 == len(numbers) else numbers
    delimiter, quote = fit.reading.delimiter, fit.reading.quote
    syntax = quote and begins_fields(body, fit.reading)
    quoting = "quotes" if syntax else "none" if '"' in body.text else None
    tabs = delimiter == "\t" or (delimiter is None and body.suffix in (".tsv", ".tab"))
    columns = {name: column for name, column in zip(names, values) if name}
    return Table(
        columns, source, "TSV" if tabs else "CSV", encoding, DELIMITERS.get(delimiter), quoting, numbers, list(notes)
    )


def name_columns(
    body: Body,
    fit: Fit,
) -> list[str]:
    "Return the clean name of each field, empty if it has none. Raises `UserError` if no field has one"
    header = (fit.header + [""] * fit.width)[: fit.width]
    if body.names:
        names = (body.names + [""] * fit.width)[: fit.width]
        if fit.header_line is not None:
            body.notes.append(
                f"line {fit.header_line + 1} holds the names of column_names: it is the header, not a row"
            )
    else:
        names = [clean_name(h) for h in header]
        if body.hash_header:
            names[0] = clean_name(names[0].lstrip("#"))
        elif names != [h.strip(" ") for h in header]:
            body.notes.append("invisible characters in column names left out")
        elif names != header and not fit.reading.spaced:
            body.notes.append("spaces around column names left out")
    if joined := next((n for n in names if sum(map(is_usual_name, re.split(r"[,;\t|]", n))) > 1), None):
        raise UserError(
            f"{body.source}: one name holds several ({joined[:40]}): the lines stand in quotes as a whole. "
            "Delete the quotes around the lines."
        )
    if not any(names):
        raise UserError(f"{body.source}: the header has no names. Write them into its first line, or as column_names.")
    return names


def collect_values(
    body: Body,
    fit: Fit,
    names: list[str],  # of the fields
) -> tuple[list[list[str]], list[int], list[int]]:
    "Return the columns, the line number of each row, and the line numbers of repeated headers"
    values, numbers, repeated, rows = [[] for _ in names], [], [], []
    anchor = next(i for i, name in enumerate(names) if name)
    known, blank, continued, after = names[anchor], 0, 0, body.first
    for start, end, fields in read_records(body, fit.reading):
        if after < start:
            blank += count_blank(body, fit.reading.delimiter, after, start)
        continued += end - start - 1
        after = end
        if start == fit.header_line:
            continue
        if known in fields[anchor] and [clean_name(f) for f in fields] == names:
            repeated.append(start + 1)
            continue
        rows.append(fields)
        numbers.append(start + 1)
        if len(rows) == CHUNK:
            add_rows(values, rows)
            rows = []
    add_rows(values, rows)
    blank += count_blank(body, fit.reading.delimiter, after, len(body.lines))
    found = len(numbers) + (fit.header_line is not None) + len(repeated) + blank + continued + body.first
    if found != len(body.lines) or any(len(column) != len(numbers) for column in values):
        raise AssertionError(f"{body.source}: {found} of {len(body.lines)} lines are accounted for")
    return values, numbers, repeated


def count_blank(
    body: Body,
    delimiter: str | None,
    start: int,  # index of the first line between two records
    end: int,  # index of the line after them
) -> int:
    "Return how many lines between records are blank. Raises `UserError` if one ends in a lone carriage return"
    blank = [i for i in range(start, end) if is_blank(body.lines[i], delimiter)]
    if alone := [i for i in blank if body.lines[i].endswith("\r") and "\n" in body.text]:
        number = 1 + sum(get_end(line) != "\r" for line in body.lines[: alone[0]])
        raise UserError(
            f"{body.source}, line {number}: a carriage return (\\r) stands alone. "
            "Delete it, or put quotes around the text that holds it."
        )
    return len(blank)


def add_rows(
    values: list[list[str]],  # columns, which grow
    rows: list[list[str]],
) -> None:
    "Append rows to columns"
    for column, more in zip(values, zip(*rows)):
        column.extend(more)


def refuse_second_names(
    body: Body,
    fit: Fit,
    values: list[list[str]],
) -> None:
    "Raise `UserError` if names were given and the first row holds other names"
    first = [column[0] for column in values]
    if body.names and fit.header_line is None and len(first) > 1 and all(is_usual_name(f) for f in first):
        raise UserError(
            f"{body.source}: column_names says that there is no header, but the first line looks like one "
            f"({', '.join(first[:5])}). Delete the line or column_names."
        )


def refuse_shifted(
    body: Body,
    fit: Fit,
    names: list[str],
    values: list[list[str]],
    numbers: list[int],
) -> None:
    "Raise `UserError` if a label stands in the column after the last name: a text before it holds the delimiter"
    last = max(i for i, name in enumerate(names) if name)
    if last + 1 >= len(names):
        return
    labels = set(values[last])
    if len(labels) > max(len(numbers) / 2, 10):
        return
    for number, value, before in zip(numbers, values[last + 1], values[last]):
        if value.strip() and value in labels and value != before:
            raise UserError(
                f"{body.source}, line {number}: '{value[:40]}' stands behind the column {names[last]}, which holds it "
                f"in other lines. If a text holds a {DELIMITERS[fit.reading.delimiter]}, put quotes around it."
            )


def refuse_rows_in_cell(
    body: Body,
    fit: Fit,
    values: list[list[str]],
) -> None:
    "Raise `UserError` if every line in a quoted cell carries a label of the table: rows were swallowed"
    runs = [r for r in fit.runs if r[1] - r[0] >= LONG_RUN]
    if not runs or fit.reading.delimiter is None or body.options.quoting == "quotes":
        return
    for column, found in enumerate(map(Counter, values)):
        if len(found) > len(values[column]) / 2:
            continue
        for start, end in runs:
            fields = [
                line.rstrip("\r\n").split(fit.reading.delimiter) for line in body.lines[start:end] if line.strip()
            ]
            if all(f[column].strip(' "') in found for f in fields):
                refuse_run(body, start, end)


def note_reading(
    body: Body,
    fit: Fit,
) -> None:
    "Record how quotes and spaces were read, if not as CSV has them"
    reading = fit.reading
    mark = QUOTES.get(reading.quote)
    if reading.quote not in (None, '"'):
        body.notes.append(f"{mark} around a value are quoting")
    if reading.inner == "backslash" and "\\" + reading.quote in body.text:
        body.notes.append(f"{mark} after a backslash belong to the text; other backslashes stay")
    if reading.inner == "bare":
        body.notes.append(f"{mark} inside a quoted text that are not written twice belong to the text")
    if reading.spaced:
        body.notes.append(f"the space after each {DELIMITERS[reading.delimiter]} left out")
    if reading.quote is None and begins_fields(body, Reading(reading.delimiter, '"')):
        body.notes.append("quote characters are part of the text")
    if fit.runs:
        first = fit.runs[0]
        body.notes.append(
            f"a quoted text runs over lines that look like rows; the first in lines {first[0] + 1} to {first[1]}"
        )


def unwrap_columns(
    body: Body,
    names: list[str],  # of the columns
    values: list[list[str]],
) -> list[list[str]]:
    """Return columns without the marks around a value that every value of a column has.

    Single quotes (SQL), backticks, and the `="..."` with which Excel keeps a text a text. Marks that some values lack
    are text; they are noted.
    """
    unwrapped = list(values)
    for place, column in enumerate(values if body.options.quoting is None else []):
        begun = [v for v in map(str.strip, column) if v[:1] in FIRST and v]
        filled = len(column) - column.count("") if len(begun) > 1 else 0
        for start, end, what in MARKS if filled else ():
            marked = sum(v.startswith(start) and v.endswith(end) and len(v) >= len(start + end) for v in begun)
            if marked == filled >= FEWEST:
                unwrapped[place] = unwrap_values(column, start, end)
                body.notes.append(f"{what} around every value of '{names[place]}' were left out")
            elif marked > max(1, filled / 10):
                body.notes.append(f"{marked} of {filled} values of '{names[place]}' stand in {what}")
    return unwrapped


def unwrap_values(
    column: list[str],
    start: str,  # of every value
    end: str,  # of every value
) -> list[str]:
    "Return values without the marks around them; a mark inside is written twice if all are"
    inner = [v.strip()[len(start) : -len(end)] for v in column]
    doubled = all(len(run) % 2 == 0 for v in inner for run in re.findall(f"{end}+", v))
    return [v.replace(end * 2, end) for v in inner] if doubled else inner


def note_nameless(
    fit: Fit,
    names: list[str],
    values: list[list[str]],
    numbers: list[int],
    notes: list[str],  # which grow
) -> None:
    "Record which columns without a name were left out, and what they held"
    extra = [column for name, column in zip(names, values) if not name]
    if len(fit.header) > fit.width:
        extra += [[]] * (len(fit.header) - fit.width)
    if not extra:
        return
    plural = f"{len(extra)} nameless columns were" if len(extra) > 1 else "1 nameless column was"
    filled = [number for number, *fields in zip(numbers, *filter(None, extra)) if any(f.strip() for f in fields)]
    if not filled:
        notes.append(f"{plural} left out")
    elif not names[0] and len(extra) == 1 and extra[0] in ([str(i + n) for i in range(len(numbers))] for n in (0, 1)):
        notes.append(f"{plural} left out: it holds the row numbers")
    else:
        rows = f"{len(filled)} rows have" if len(filled) > 1 else "1 row has"
        notes.append(f"{plural} left out; {rows} text there, the first in line {filled[0]}")
