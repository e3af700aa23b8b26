"""Delimited text (CSV, TSV) as rows: delimiter and quoting are found over the whole file, or the file is refused.

A file is scanned with several readings: every line split at the delimiter, or quotes as the csv module reads them.
A reading fits if all records have as many fields as the header. If two fit and differ, the file's evidence decides.
"""

import csv
import json
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from ftkit.errors import UserError, did_you_mean
from ftkit.files.rows import ReadOptions, Table

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SPELLINGS = {name: d for d, name in DELIMITERS.items()} | {d: d for d in DELIMITERS} | {"\\t": "\t", "pipe": "|"}
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")  # U+2028 and form feed are text, unlike in str.splitlines
SEPARATOR = re.compile(r'"?sep=(.+?)"?\s*', re.IGNORECASE | re.DOTALL)  # Excel's first line
NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)?|\.\d+)([eE][+-]?\d+)?%?")
INVISIBLE = dict.fromkeys(
    map(ord, "\u200b\u2060\ufeff\xad")
)  # anywhere in a name; joiners are letters of some scripts
MISSING = {"", "-", "?", "na", "n/a", "nan", "null", "none"}
CHUNK = 10_000  # rows that are held as lists at a time
TOP = 30  # lines that may stand above a table
LONG_RUN = 4  # lines in one quoted cell that carry labels of the table: no text does that by chance
USUAL_NAMES = frozenset(
    "text label labels sentence sentence1 sentence2 review reviews comment comments tweet tweets message "
    "body title content class category sentiment target id idx index question question1 question2 answer "
    "premise hypothesis score rating stars date time timestamp author user username name url source lang "
    "language split topic intent emotion document description summary headline utterance query passage "
    "context abstract subject tag tags type polarity goldlabel v1 v2 input output selectedtext textid "
    "tweetid reviewtext reviewbody labeltext labelid value key".split()
)
TAG = r"!doctype\s+html|html|head|body|meta|title|script|style|link|table|center"
IMPOSTORS = [  # how a text starts, what it is, what to do
    (
        r"version https://git-lfs|oid sha256:",
        "is a Git LFS pointer, not the data",
        "Get the file with `git lfs pull`",
    ),
    (r"[./]*(git/)?annex/objects/", "is a git-annex pointer, not the data", "Get the file with `git annex get`"),
    (
        rf"(?><\?xml.*?\?>\s*|<!--.*?-->\s*)*+<({TAG})\b",
        "is a web page (HTML), not a table",
        "Download the file itself",
    ),
    (
        r"<\?xml|<!--.*?-->\s*<\w",
        "is an XML file, not a table",
        "Save it as CSV",
    ),
    (r"\{\\rtf", "is an RTF document, not a table", "Save it as CSV or plain text"),
    (
        r"(%[^\r\n]*[\r\n]\s*)*\\(documentclass|documentstyle|begin\{|usepackage)",
        "is a LaTeX file",
        "Save its table as CSV",
    ),
    (r"(%[^\r\n]*[\r\n]\s*)*@relation\b", "is an ARFF file (Weka)", "Save it as CSV"),
    (
        r"%PDF-|PK\x03\x04|PAR1[\0-\x1f]|\x1f\x8b|\xd0\xcf\x11\xe0",
        "is a binary file, not text",
        "Save its table as CSV",
    ),
    (r"[^\r\n]*\|[^\r\n]*[\r\n]+\|?[ :-]*-{3}[ :|-]*[\r\n]", "is a Markdown table", "Save it as CSV"),
    (r"\[?\s*\{\s*'[^'\r\n]*'\s*:", "holds Python dictionaries, not delimited rows", "Write them with json.dump"),
    (r"__label__", "holds fastText lines (`__label__pos some text`), not delimited rows", "Give it the ending .txt"),
]
JSON_STARTS = re.compile(r'\[?\s*\{\s*("[^"\r\n]*"\s*:|\})|\[\s*\]')


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


# What stands above the table


def refuse_impostor(
    text: str,
    source: str,
) -> None:
    "Raise `UserError` if the text is no delimited text, naming what it is"
    start = text[:100_000].lstrip()
    if not start and not text.strip():
        raise UserError(f"{source}: the file is empty.")
    for pattern, what, remedy in IMPOSTORS:
        if re.match(pattern, start, re.IGNORECASE | re.DOTALL):
            raise UserError(f"{source}: {what}. {remedy}.")
    if start[:1] in ("{", "[") and is_json(text.lstrip()):
        raise UserError(
            f"{source}: holds JSON, not delimited rows. Rename it to .json, or .jsonl if each line is an object."
        )
    sample = [line for line in start.split("\n")[:1000] if line.strip()]
    if "\0" in text and (text.count("\0") > len(text) / 4 or all("\0" in line for line in sample)):
        raise UserError(
            f"{source}: is binary, or UTF-16 text read as another encoding. "
            "Write encoding = utf-16, or save it as UTF-8."
        )


def is_json(
    text: str,  # that begins with a bracket
) -> bool:
    "Return whether a text is JSON or JSON Lines, cut or complete"
    if JSON_STARTS.match(text):
        return True
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return not text[end:].strip() or text[end:].lstrip(" \t")[:1] in ("\n", "\r")


def open_body(
    text: str,
    source: str,
    options: ReadOptions,
    suffix: str,
) -> Body:
    "Return the lines without `sep=` and comments above the header"
    lines = LINE.findall(text)
    names = [clean_name(n) for n in options.column_names]
    if twice := [n for n in names if names.count(n) > 1]:
        raise UserError(f"{source}: column_names holds '{twice[0]}' twice. Rename one.")
    if options.quoting == "literal":
        options = replace(options, quoting="none")
    if options.quoting not in (None, "quotes", "none"):
        raise UserError(f"{source}: quoting = {options.quoting} is unknown. Write quotes or literal.")
    unused = tuple(islice((c for c in map(chr, range(0xE000, 0x10FFFF)) if c not in text), 2))
    body = Body(lines, text, source, options, suffix.lower(), names, unused)
    if "\n" in text and text.count("\r") > text.count("\r\n"):
        body.notes.append("line breaks are mixed: a carriage return alone ends a line too")
    body = skip_comments(skip_separator(body))
    if body.first:
        body = replace(body, text="".join(lines[body.first :]))
    rows = sum(1 for _ in islice(list_indexes(body), 2))
    if rows + bool(names) < 2:
        raise UserError(f"{source}: there are no rows below the column names.")
    return body


def list_indexes(
    body: Body,
) -> Iterator[int]:
    "Yield the indexes of the lines that are not blank"
    return (i for i in range(body.first, len(body.lines)) if body.lines[i].strip(" \r\n"))


def skip_separator(
    body: Body,
) -> Body:
    "Return the body without Excel's line `sep=;`, which names the delimiter. Raises `UserError` if it is unknown"
    index = next(list_indexes(body), 0)
    line = body.lines[index].rstrip("\r\n")
    if not (found := SEPARATOR.fullmatch(line) or re.fullmatch(r'"?sep=(\t)"?', line, re.IGNORECASE)):
        return body
    if found[1] not in SPELLINGS:
        if len(found[1]) > 1:  # such as a sentence
            return body
        raise UserError(
            f"{body.source}, line {index + 1}: sep={found[1]} is not a known delimiter. {name_delimiters()}"
        )
    body.notes.append(f"line {index + 1} (sep={found[1]}) names the delimiter; it is no row")
    return replace(body, first=index + 1, separator=SPELLINGS[found[1]])


def name_delimiters() -> str:
    "Return the delimiters as a sentence"
    return "Use a comma, a semicolon, a tab or a bar."


def skip_comments(
    body: Body,
) -> Body:
    "Return the body without the lines above the header that begin with #. Raises `UserError` if one may be the header"
    comments, below = [], None
    for index in list_indexes(body):
        if not body.lines[index].startswith("#"):
            below = index
            break
        comments.append(index)
    if not comments:
        return body
    if body.names and (row := next((i for i in comments if is_named_row(body, i)), None)) is not None:
        comments, below = [i for i in comments if i < row], row
    elif below is not None and is_hash_header(body, comments[-1], below):
        below = comments.pop()
        body.notes.append(f"the # before the first name in line {below + 1} was left out")
        body = replace(body, hash_header=True)
    if comments:
        plural = f"{len(comments)} comment lines" if len(comments) > 1 else "1 comment line"
        body.notes.append(f"{plural} above the header left out")
    return replace(body, first=len(body.lines) if below is None else below)


def is_named_row(
    body: Body,
    index: int,  # of a line that begins with #
) -> bool:
    "Return whether a line has as many fields as names were given"
    line = body.lines[index]
    if len(body.names) == 1:
        return not re.match(r"#[\s#]", line)
    return any(line.count(d) + 1 == len(body.names) for d in list_delimiters(body))


def is_hash_header(
    body: Body,
    index: int,  # of the last line that begins with #
    below: int,  # of the next line
) -> bool:
    "Return whether a line such as `#text,label` is the header. Raises `UserError` if it may be one or a comment"
    line, following = body.lines[index].rstrip("\r\n"), body.lines[below].rstrip("\r\n")
    for d in list_delimiters(body):
        names, below_it = line.lstrip("# ").split(d), next(csv.reader([following], delimiter=d), [])
        if len(names) > 1 and len(names) in (len(below_it), following.count(d) + 1):
            if any(is_usual_name(n) for n in (*below_it, *following.split(d))):
                return False
            if any(is_usual_name(n) for n in names):
                return True
            if all(is_name(n) for n in names):
                raise UserError(
                    f"{body.source}, line {index + 1}: may be a comment or the header. "
                    "Delete the line if it is a comment, or its # if it holds the names."
                )
    return False


# The lines as records


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


def count_evidence(
    body: Body,
    reading: Reading,
) -> int:
    "Count the quoted fields on one line that need their quotes: they hold the delimiter or a doubled quote"
    q, d = reading.quote, re.escape(reading.delimiter or body.unused[0])
    quoted = re.compile(
        rf"(?:^|{d}){' *' if reading.spaced else ''}{q}([^{q}\r\n]*(?:{q}{q}[^{q}\r\n]*)*){q}(?={d}|[\r\n]|$)"
    )
    needs = re.compile(
        "|".join([q + q, body.unused[1], re.escape(reading.delimiter) if reading.delimiter else "[,;\t|]"])
    )
    prepared = list(prepare_lines(body, reading)) if reading.inner != "doubled" else body.lines[body.first :]
    count = 0
    for start, end, _ in read_records(body, reading):
        if end - start == 1 and q in (line := prepared[start - body.first]):
            count += sum(bool(needs.search(value)) for value in quoted.findall(line))
    return count


# Which reading


def list_delimiters(
    body: Body,
) -> list[str]:
    "Return the delimiter that was given, or those that are tried. Raises `UserError` if an unknown one was given"
    given = body.options.delimiter
    if given is None:
        return [body.separator] if body.separator else list(DELIMITERS)
    spelled = given if given in SPELLINGS else given.strip().strip("'\"").lower()
    if spelled not in SPELLINGS:
        raise UserError(
            f"{body.source}: delimiter = {given} is not a known delimiter.{did_you_mean(spelled, SPELLINGS)} "
            f"{name_delimiters()}"
        )
    return [SPELLINGS[spelled]]


def find_fit(
    body: Body,
) -> Fit:
    "Return the one reading that fits. Raises `UserError` if none does, or several do and nothing decides"
    delimiters = list_delimiters(body)
    fit = find_usual(body, delimiters) or find_unusual(body, delimiters)
    if fit is None:
        refuse_other_delimiter(body, delimiters)
        refuse_prose(body, delimiters)
        refuse_names(body, delimiters)
        fit = find_one_column(body, delimiters)
    if fit is None:
        refuse_ragged(body, delimiters)
    return skip_spaces(body, refine_quoting(body, fit))


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


def find_usual(
    body: Body,
    delimiters: list[str],
) -> Fit | None:
    "Return the fit of a delimiter with CSV quotes or none, or None"
    pairs = {d: scan_both(body, d) for d in delimiters}
    fits = {d: next(f for f in pair if f and f.fits) for d, pair in pairs.items() if any(f and f.fits for f in pair)}
    if not fits:
        return None
    return settle_quoting(body, *pairs[choose_delimiter(body, fits)])


def find_unusual(
    body: Body,
    delimiters: list[str],
) -> Fit | None:
    "Return the fit of a delimiter with quotes after spaces, backslashes, bare quotes or single quotes; or None"
    if body.options.quoting == "none":
        return None
    fits = {}
    for d in delimiters:
        for quote in ('"', "'"):
            if quote not in body.text or d in fits or d not in body.text:
                continue
            for reading in list_unusual(d, quote):
                fit = scan(body, reading)
                if fit.fits and begins_fields(body, reading):
                    fits[d] = fit
                    break
    if not fits:
        return None
    fit = fits[choose_delimiter(body, fits)]
    return settle_quoting(body, None, fit)


def list_unusual(
    delimiter: str | None,
    quote: str,
) -> list[Reading]:
    "Return the readings with a quote that CSV does not have, the strictest first"
    readings = [
        Reading(delimiter, quote, inner, s) for inner in ("doubled", "backslash", "bare") for s in (False, True)
    ]
    return readings[1:] if quote == '"' else readings


def choose_delimiter(
    body: Body,
    fits: dict[str, Fit],  # of each delimiter that fits
) -> str:
    "Return the one delimiter whose header holds names. Raises `UserError` if there are more or none"
    if len(fits) == 1:
        return next(iter(fits))
    if "\t" in fits and body.suffix in (".tsv", ".tab"):
        return "\t"
    clean = [d for d, fit in fits.items() if all(is_name(h) and not set(h) & set(fits) for h in fit.header)]
    if len(clean) == 1 and not body.names:
        return clean[0]
    found = clean if len(clean) > 1 else list(fits)
    names = " and ".join(DELIMITERS[d] for d in found)
    remedies = " or ".join(f"delimiter = {'tab' if d == chr(9) else d}" for d in found)
    raise UserError(f"{body.source}: {names} each split every line into the same number of fields. Write {remedies}.")


def is_name(
    value: str,  # a field of a header
) -> bool:
    "Return whether a field looks like a column's name"
    name = clean_name(value)
    return len(name) <= 60 and len(name.split()) <= 6 and name.count('"') % 2 == 0 and not NUMBER.fullmatch(name)


def clean_name(
    name: str,
) -> str:
    "Return a column's name without surrounding spaces and without invisible characters"
    name = name.translate(INVISIBLE).strip()
    while name and unicodedata.category(name[0]) in ("Cf", "Cc", "Zs", "Zl", "Zp"):
        name = name[1:]
    while name and unicodedata.category(name[-1]) in ("Cf", "Cc", "Zs", "Zl", "Zp"):
        name = name[:-1]
    return name


def is_usual_name(
    value: str,
) -> bool:
    "Return whether a value is a name that data sets often have"
    return re.sub(r"[\s_.\-\"']", "", clean_name(value)).casefold() in USUAL_NAMES


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


def settle_quoting(
    body: Body,
    plain: Fit | None,  # of the lines without quoting
    quoted: Fit | None,  # of the lines with quoting
) -> Fit:
    "Return the fit that is right. Raises `UserError` if quoted cells may have swallowed rows"
    if not (quoted and quoted.fits):
        return plain
    both = plain is not None and plain.fits
    if not begins_fields(body, quoted.reading):
        return plain if both else quoted
    if body.options.quoting == "quotes" or not (quoted.runs or quoted.wrapped):
        return quoted
    if both and quoted.reading.delimiter == "\t":
        return settle_tabs(body, plain, quoted)
    evidence = count_evidence(body, quoted.reading) + is_quoted_header(quoted, body)
    if not both:
        evidence += quoted.wrapped
    doubtful = len(quoted.runs)
    if evidence < doubtful or (both and 0 < doubtful == evidence):
        refuse_run(body, *quoted.runs[0])
    return quoted


def settle_tabs(
    body: Body,
    plain: Fit,
    quoted: Fit,
) -> Fit:
    "Return the lines as they are: most TSV files have no quoting. Raises `UserError` if this one seems to have some"
    if is_quoted_header(quoted, body) or not quoted.runs:
        return quoted
    other_ends = any(
        get_end(body.lines[i]) != get_end(body.lines[e - 1]) for s, e in quoted.runs for i in range(s, e - 1)
    )
    doubled = any('""' in "".join(body.lines[start:end]) for start, end in quoted.runs)
    if other_ends or doubled or count_evidence(body, quoted.reading) > len(quoted.runs):
        refuse_run(body, *quoted.runs[0])
    return plain


def get_end(
    line: str,
) -> str:
    "Return the line break of a line"
    return line[len(line.rstrip("\r\n")) :]


def is_quoted_header(
    fit: Fit,
    body: Body,
) -> bool:
    "Return whether every name in the header stands in quotes"
    if fit.header_line is None:
        return False
    line = body.lines[fit.header_line].strip()
    d, quote = fit.reading.delimiter, fit.reading.quote or '"'
    return all(is_wrapped(f.strip(), quote) for f in (line.split(d) if d else [line]))


def refuse_run(
    body: Body,
    start: int,  # index of the line at which the quote opens
    end: int,  # index of the line after the cell
) -> None:
    "Raise `UserError` for a quoted cell that may have swallowed rows"
    raise UserError(
        f"{body.source}, line {start + 1}: the quote that opens here closes in line {end}, but the lines between "
        "look like rows of their own. Write quoting = literal if quotes are part of the text, "
        "or quoting = quotes if one text has several lines."
    )


def refine_quoting(
    body: Body,
    fit: Fit,
) -> Fit:
    "Return a fit in which quotes around fields are syntax although the csv module cannot read what they hold"
    if fit.reading.quote or body.options.quoting == "none":
        return fit
    for quote in ('"', "'"):
        if quote not in body.text or not begins_fields(body, Reading(fit.reading.delimiter, quote)):
            continue
        header = fit.header_line is not None and all(is_wrapped(h.strip(), quote) for h in fit.header)
        for reading in list_unusual(fit.reading.delimiter, quote):
            if quote == "'" and not header:
                continue
            if reading.spaced or (reading.inner == "backslash" and "\\" + quote not in body.text):
                continue
            better = scan(body, reading)
            if better.fits and better.rows == fit.rows and (header or is_mostly_quoted(body, fit, reading)):
                return better
        if header:
            refuse_quotes(body, scan(body, Reading(fit.reading.delimiter, quote)))
    return fit


def is_mostly_quoted(
    body: Body,
    fit: Fit,  # without quoting
    reading: Reading,  # with quoting
) -> bool:
    "Return whether every field that begins with a quote ends with one, and most hold no bare quote"
    quote, simple, inner, columns = reading.quote, 0, 0, Counter()
    for index, _, fields in read_records(body, fit.reading):
        if index == fit.header_line:
            continue
        for column, value in enumerate(fields):
            if value[:1] != quote:
                continue
            if not is_wrapped(value, quote):
                return False
            columns[column] += 1
            if quote in value[1:-1].replace(quote * 2, ""):
                inner += 1
            else:
                simple += 1
    if reading.inner == "backslash":
        return inner > 0
    return inner > 0 and (simple > inner or (fit.rows > 1 and fit.rows in columns.values()))


def skip_spaces(
    body: Body,
    fit: Fit,
) -> Fit:
    "Return a fit that skips the space after each delimiter if every field of the file has one"
    d, inner = fit.reading.delimiter, fit.reading
    if d is None or inner.spaced or f"{d} " not in body.text:
        return fit
    header = fit.header_line is None or all(h.startswith(" ") for h in fit.header[1:])
    quotes = '"' in body.text and inner.quote is None and body.options.quoting is None
    before_quotes = quotes and f'{d} "' in body.text
    if not (header or before_quotes):
        return fit
    for index, _, fields in read_records(body, inner):
        if index != fit.header_line and not all(f.startswith(" ") for f in fields[1:] if f):
            return fit
    if not any(any(f for f in fields[1:]) for i, _, fields in read_records(body, inner) if i != fit.header_line):
        return fit
    readings = [Reading(d, '"', spaced=True)] if before_quotes else []
    readings += [replace(inner, spaced=True)] if header else []
    for reading in readings:
        better = scan(body, reading)
        if better.fits and better.rows == fit.rows:
            return better
    return fit


def find_one_column(
    body: Body,
    delimiters: list[str],
) -> Fit | None:
    "Return the fit of one column without a delimiter, or None if the header has one"
    if len(body.names) > 1:
        return None
    first = body.lines[next(list_indexes(body))].strip("\r\n")
    single = re.fullmatch(r'\s*"(?:[^"]|"")*"\s*', first)
    if not body.names and not single and any(d in first for d in delimiters):
        return None
    if single and sum(is_usual_name(n) for n in re.split(r"[,;\t|]", first)) > 1:
        raise UserError(
            f"{body.source}: each line stands in quotes as a whole ({first[:40]}). Delete the quotes around the lines."
        )
    plain, quoted = scan_both(body, None)
    if not any(f and f.fits for f in (plain, quoted)):
        if plain is None and quoted is not None:
            refuse_quotes(body, quoted)
        return None
    fit = settle_quoting(body, plain, quoted)
    if not body.names and not fit.reading.quote:
        refuse_odd_header(body, delimiters)
    return fit


# What is refused


def refuse_other_delimiter(
    body: Body,
    delimiters: list[str],
) -> None:
    "Raise `UserError` if the delimiter that was given does not fit, but another does"
    if len(delimiters) > 1:
        return
    others = [d for d in DELIMITERS if d not in delimiters and any(f and f.fits for f in scan_both(body, d))]
    if others and delimiters[0] not in body.lines[next(list_indexes(body))]:
        where = "delimiter" if body.options.delimiter else "the line sep="
        raise UserError(
            f"{body.source}: {where} names the {DELIMITERS[delimiters[0]]}, which the header does not hold, "
            f"but a {DELIMITERS[others[0]]} splits every line. Write delimiter = {DELIMITERS[others[0]]}."
        )


def refuse_prose(
    body: Body,
    delimiters: list[str],
) -> None:
    "Raise `UserError` if a table begins below some lines of prose, such as a title or the date of an export"
    if body.names:
        return
    top = list(islice(list_indexes(body), TOP + 1))
    for d in delimiters:
        for index in top[1:]:
            pair = scan_both(replace(body, first=index), d)
            fit = next((f for f in pair if f and f.fits), None)
            if fit is None:
                if all(f is None or (f.line or 0) > index + TOP for f in pair):
                    break
            elif is_prose(body, fit, [i for i in top if i < index]):
                lines = f"line {top[0] + 1} is" if index == top[1] else f"lines {top[0] + 1} to {index} are"
                gone = "that line" if index == top[1] else "those lines"
                raise UserError(
                    f"{body.source}: {lines} above the table, which has {fit.width} fields in each line. "
                    f"Delete {gone} if line {index + 1} holds the names ({', '.join(fit.header[:5])}); "
                    f"if not, put quotes around texts that hold a {DELIMITERS[d]}."
                )
            else:
                break


def is_prose(
    body: Body,
    fit: Fit,  # of the lines below
    above: list[int],  # the indexes of the lines above
) -> bool:
    "Return whether the lines above a table are no part of it"
    d = fit.reading.delimiter
    fields = [body.lines[i].rstrip("\r\n").split(d) for i in above]
    if sum(is_usual_name(h) for h in fit.header) > 1 and not any(is_usual_name(n) for f in fields for n in f):
        return True
    if any(len(f) == len(fit.header) for f in fields):
        return False
    if any(is_usual_name(h) for h in fit.header):
        return True
    if any(is_usual_name(name) for name in fields[-1]):
        return False
    return all(len(f) == 1 for f in fields) or all(is_name(h) for h in fit.header)


def refuse_odd_header(
    body: Body,
    delimiters: list[str],
) -> None:
    "Raise `UserError` if nearly all lines below a header without a delimiter have one, as many each"
    rows = [body.lines[i] for i in islice(list_indexes(body), 1, None)]
    for d in delimiters:
        counts = Counter(row.count(d) for row in rows)
        most, number = counts.most_common(1)[0]
        if most and number >= max(2, 0.8 * len(rows)):
            header = body.lines[next(list_indexes(body))].strip()
            index = next(i for i in islice(list_indexes(body), 1, None) if body.lines[i].count(d))
            raise UserError(
                f"{body.source}, line {index + 1}: {body.lines[index].count(d) + 1} fields where the header has 1 "
                f"({header[:40]}). {number} of {len(rows)} lines have {most + 1}: put a {DELIMITERS[d]} between the "
                f"names in the header, or quotes around texts that hold a {DELIMITERS[d]}."
            )


def refuse_names(
    body: Body,
    delimiters: list[str],
) -> None:
    "Raise `UserError` if the lines have another number of fields than names were given"
    if not body.names:
        return
    for d in delimiters:
        fit = next((f for f in scan_both(replace(body, names=[]), d) if f and f.fits), None)
        if fit:
            raise UserError(
                f"{body.source}: column_names holds {len(body.names)} ({', '.join(body.names[:5])}), but every line "
                f"has {len(fit.header)} fields ({', '.join(fit.header[:5])[:60]}). Name each of them."
            )


def refuse_ragged(
    body: Body,
    delimiters: list[str],
) -> None:
    "Raise `UserError` with the first line that has another number of fields than the header"
    fit = choose_worst(body, delimiters)
    if fit.fault:
        refuse_quotes(body, fit)
    if fit.line is None:
        first = body.lines[next(list_indexes(body))].strip()
        raise UserError(
            f"{body.source}: no delimiter was found in the first line ({first[:40]}). "
            "Write it as delimiter = , for example."
        )
    names = ", ".join(clean_name(h) for h in fit.header[:5])
    if fit.count == len(fit.header):
        raise UserError(
            f"{body.source}, line {fit.line + 1}: has no {DELIMITERS[fit.reading.delimiter]} at its end, but "
            "lines above it have one. Delete those at the ends of lines."
        )
    fields = "1 field" if fit.count == 1 else f"{fit.count} fields"
    given = f"column_names has {len(fit.header)}" if fit.header_line is None else f"the header has {len(fit.header)}"
    message = f"{body.source}, line {fit.line + 1}: {fields} where {given} ({names})."
    raise UserError(f"{message} {advise_ragged(body, fit)}")


def choose_worst(
    body: Body,
    delimiters: list[str],
) -> Fit:
    "Return the fit that the message is about: of the delimiter that splits most lines like the header"
    header = body.lines[next(list_indexes(body))]
    rows = [body.lines[i] for i in list_indexes(body)]

    def count_alike(d: str) -> int:
        wanted = (len(body.names) or header.count(d) + 1) - 1
        return sum(row.count(d) == wanted for row in rows) if wanted else 0

    preferred = "\t" if body.suffix in (".tsv", ".tab") else ","
    delimiter = max(delimiters, key=lambda d: (count_alike(d), d == preferred))
    pair = [f for f in scan_both(body, delimiter) if f]
    if len(pair) == 2 and not begins_fields(body, pair[1].reading):
        pair = pair[:1]
    return max(pair, key=lambda f: -1 if f.line is None else f.line)


def advise_ragged(
    body: Body,
    fit: Fit,
) -> str:
    "Return what to do about a line with too many or too few fields"
    name = DELIMITERS.get(fit.reading.delimiter, "delimiter")
    if body.lines[fit.line].startswith("#"):
        return "It looks like a comment below the header: delete it."
    if fit.count > len(fit.header):
        same = sum(body.lines[i].count(fit.reading.delimiter) + 1 == fit.count for i in list_indexes(body))
        every = (
            f" {same} lines have {fit.count}: is a name missing in the header?" if same > 1 and fit.rows == 0 else ""
        )
        return f"If a text holds a {name}, put quotes around it.{every}"
    last = all(not line.strip() for line in body.lines[fit.line + 1 :])
    if last and not body.text.endswith(("\n", "\r")):
        return "It is the last line and has no line break: the file seems to be cut. Get it again, or delete the line."
    return "A value is missing, or a line break inside a text has no quotes around it. Complete the line."


def refuse_quotes(
    body: Body,
    fit: Fit,  # that failed at a quote
) -> None:
    "Raise `UserError` with the line at which the record with a wrong quote begins"
    if fit.line is None:
        return
    if "end of data" in (fit.fault or ""):
        cut = fit.line == len(body.lines) - 1 and not body.text.endswith(("\n", "\r"))
        why = "a quote that opens here is never closed" + (": the file seems to be cut" if cut else "")
    elif fit.fault:
        why = "a quote stands inside a quoted text"
    else:
        why = f"{fit.count} fields where the header has {len(fit.header)}"
    raise UserError(
        f'{body.source}, line {fit.line + 1}: {why}. Write a quote inside a quoted text twice (""), '
        "or write quoting = literal if quotes are part of the text."
    )


# The table


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
        raise UserError(f"{source}: there are no rows below the column names.")
    if fit.header_line is not None and not body.names:
        refuse_title(body, fit, names, values, numbers)
        refuse_missing_header(source, names, values)
    refuse_second_names(body, fit, values)
    refuse_doubles(source, names)
    refuse_shifted(body, fit, names, values, numbers)
    refuse_rows_in_cell(body, fit, values)
    if repeated:
        plural = f"{len(repeated)} repeated header lines" if len(repeated) > 1 else "1 repeated header line"
        notes.append(f"{plural} left out, the first in line {repeated[0]}")
    note_reading(body, fit)
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


def refuse_title(
    body: Body,
    fit: Fit,
    names: list[str],
    values: list[list[str]],
    numbers: list[int],
) -> None:
    "Raise `UserError` if one of the first rows holds the names, below a title with as many fields"
    if any(is_usual_name(n) for n in names) or (len(names) == 1 and len(names[0].split()) < 2):
        return
    for row, number in enumerate(numbers[:TOP]):
        fields = [column[row] for column in values]
        if sum(is_usual_name(f) for f in fields) >= min(2, len(names)) and all(is_name(f) for f in fields):
            raise UserError(
                f"{body.source}, line {number}: holds the names ({', '.join(fields[:5])}) below other lines. "
                f"Delete the lines above it, from line {fit.header_line + 1} to line {number - 1}."
            )


def refuse_missing_header(
    source: str,
    names: list[str],
    values: list[list[str]],
) -> None:
    "Raise `UserError` if the first line looks like a row"
    sign = None if is_certain_header(names, values) else find_sign_of_row(names, values)
    if sign:
        raise UserError(
            f"{source}: the first line looks like a row ({sign}). If the file has no header, write column_names = "
            f"{suggest_names(values)}. If it is the header, write column_names = {', '.join(n[:40] for n in names)}."
        )


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


def is_certain_header(
    names: list[str],
    values: list[list[str]],
) -> bool:
    "Return whether a name is a usual one, or a word above a column of numbers, or all are 0, 1, 2 above a text"
    for name, column in zip(names, values):
        if is_usual_name(name) and name not in column:
            return True
        if name.casefold() not in MISSING and not NUMBER.fullmatch(name) and is_numeric(column, 1.0):
            return True
    counted = names == [str(i) for i in range(len(names))]
    return counted and not all(is_numeric(column, 0.5) for column in values)


def is_numeric(
    column: list[str],
    share: float,  # of the values that are not empty
) -> bool:
    "Return whether a column holds numbers"
    filled = [v for v in islice(column, CHUNK) if v.strip().casefold() not in MISSING]
    return bool(filled) and sum(bool(NUMBER.fullmatch(v.strip())) for v in filled) >= share * len(filled)


def find_sign_of_row(
    names: list[str],
    values: list[list[str]],
) -> str | None:
    "Return what makes the first line look like a row, or None"
    for name, column in zip(names, values):
        times = column.count(name) if name else 0
        if times and (len(column) < 20 or len(set(column)) <= len(column) / 2):
            return f"'{name[:40]}' occurs {times} {'time' if times == 1 else 'times'} below it"
    for name, column in zip(names, values):
        if NUMBER.fullmatch(name) and is_numeric(column, 0.9) and not is_series(names):
            return f"{name} is a number, like the values below it"
    for name, column in zip(names, values):
        if is_sentence(name, column):
            return f"'{name[:40]}…' is a sentence, like the values below it"
    return None


def is_series(
    names: list[str],
) -> bool:
    "Return whether names are years or numbers that count up: 2019, 2020, 2021"
    whole = [int(n) for n in names if n.isdecimal()]
    return len(whole) > 1 and len(whole) < len(names) and all(b - a == 1 for a, b in zip(whole, whole[1:]))


def is_sentence(
    name: str,
    column: list[str],
) -> bool:
    "Return whether a name is as long as the texts below it. A question above answers is a form's header"
    sample = [v for v in column[:1000] if v.strip()]
    if not sample or (name.endswith("?") and sum(v.endswith("?") for v in sample) < len(sample) / 2):
        return False
    usual = statistics.median(len(v.split()) for v in sample)
    if re.match(r"\w*_", name):  # name_of_a_column (with an explanation)
        return False
    if len(name.split()) >= 6:
        return usual >= 4
    return len(name) > 60 and statistics.median(map(len, sample)) > 20


def suggest_names(
    values: list[list[str]],
) -> str:
    "Return names for columns: the longest values are the text, the column with the fewest different values the label"
    if len(values) == 1:
        return "text"
    lengths = [sum(map(len, column[:1000])) for column in values]
    text = lengths.index(max(lengths))
    label = min((i for i in range(len(values)) if i != text), key=lambda i: len(set(values[i])))
    return ", ".join("text" if i == text else "label" if i == label else f"other_{i + 1}" for i in range(len(values)))


def refuse_doubles(
    source: str,
    names: list[str],
) -> None:
    "Raise `UserError` if two columns have the same name"
    if twice := [n for n in names if n and names.count(n) > 1]:
        raise UserError(f"{source}: two columns are named '{twice[0]}'. Rename one.")


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
    mark = "single quotes" if reading.quote == "'" else "quotes"
    if reading.quote == "'":
        body.notes.append("single quotes around a value are quoting")
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
