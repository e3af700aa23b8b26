"Which delimiter and which quoting: the one reading that fits every line, or the file is refused."

import re
from collections import Counter
from dataclasses import replace

from ftkit.errors import UserError
from ftkit.files.delimited.preamble import list_delimiters
from ftkit.files.delimited.records import (
    DELIMITERS,
    QUOTES,
    Body,
    Fit,
    Reading,
    begins_fields,
    get_end,
    is_wrapped,
    list_indexes,
    prepare_lines,
    read_records,
    scan,
    scan_both,
)
from ftkit.files.delimited.refusals import (
    refuse_names,
    refuse_odd_header,
    refuse_other_delimiter,
    refuse_prose,
    refuse_quotes,
    refuse_ragged,
    refuse_run,
    refuse_two_delimiters,
    refuse_unread_delimiter,
    refuse_whole_lines,
)
from ftkit.files.headers import is_name, is_usual_name


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


def find_fit(
    body: Body,
) -> Fit:
    "Return the one reading that fits. Raises `UserError` if none does, or several do and nothing decides"
    delimiters = list_delimiters(body)
    fit = find_usual(body, delimiters) or find_unusual(body, delimiters)
    if fit is None:
        refuse_other_delimiter(body, delimiters)
        refuse_whole_lines(body, delimiters)
        refuse_two_delimiters(body)
        refuse_prose(body, delimiters)
        refuse_names(body, delimiters)
        fit = find_one_column(body, delimiters)
    if fit is None:
        refuse_ragged(body, delimiters)
    elif fit.reading.quote is None and fit.reading.delimiter:
        refuse_whole_lines(body, [fit.reading.delimiter])
    return skip_spaces(body, refine_quoting(body, fit))


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
        for quote in QUOTES:
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


def refine_quoting(
    body: Body,
    fit: Fit,
) -> Fit:
    "Return a fit in which quotes around fields are syntax although the csv module cannot read what they hold"
    if fit.reading.quote or body.options.quoting == "none":
        return fit
    for quote in QUOTES:
        if quote not in body.text or not begins_fields(body, Reading(fit.reading.delimiter, quote)):
            continue
        header = fit.header_line is not None and all(is_wrapped(h.strip(), quote) for h in fit.header)
        for reading in list_unusual(fit.reading.delimiter, quote):
            if quote != '"' and not header:
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
        refuse_unread_delimiter(body)
        refuse_odd_header(body, delimiters)
    return fit
