"Why no reading fits: one line with the place, the cause and the remedy."

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from ftkit.errors import UserError
from ftkit.files.delimited.records import DELIMITERS, Body, Fit, begins_fields, list_indexes, scan_both
from ftkit.files.headers import TOP, clean_name, is_name, is_usual_name

WHOLE_LINE = re.compile(r"(\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*')\s*([,;\t|]*)")  # and delimiters without a value
DECIMAL = re.compile(r"\d,\d")
OTHER_MARK = re.compile(r"([\x1c-\x1f]|[^\w\s\"'.,;|-])\1*")


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


def refuse_whole_lines(
    body: Body,
    delimiters: list[str],
) -> None:
    "Raise `UserError` if the quotes of a line stand around all of its fields: they are one field then"
    header = body.lines[next(list_indexes(body))]
    if body.options.quoting or len(body.names) == 1 or not body.names and WHOLE_LINE.fullmatch(header.strip()):
        return
    delimiters = [d for d in delimiters if body.names or d in header]
    for index in islice(list_indexes(body), 0 if body.names else 1, None):
        line = body.lines[index].strip()
        found = WHOLE_LINE.fullmatch(line) if line[:1] in ('"', "'") else None
        if found and any(d in found[1] and d not in found[2] for d in delimiters):
            raise UserError(
                f"{body.source}, line {index + 1}: stands in quotes as a whole ({line[:40]}). Delete the quotes "
                "around such lines, or write quoting = literal if they are part of the text."
            )


def refuse_two_delimiters(
    body: Body,
    values: list[list[str]] | None = None,  # of the columns, as the header's delimiter splits them; None: it does not
) -> None:
    "Raise `UserError` if the lines below the header are split by another delimiter than its names"
    if body.names or values and any(is_repeated(column) for column in values):
        return
    first, *indexes = list_indexes(body)
    header, rows = body.lines[first].strip("\r\n"), [body.lines[i].strip("\r\n") for i in indexes]
    for own in DELIMITERS:
        for other in DELIMITERS:
            if own not in header or other in header or any(row.count(other) != header.count(own) for row in rows):
                continue
            if other == "," and all(DECIMAL.search(row) for row in rows):
                continue
            if values is None or any(map(is_repeated, zip(*(row.split(other) for row in rows)))):
                raise UserError(
                    f"{body.source}, line {first + 1}: the names stand between {DELIMITERS[own]}s ({header[:40]}), "
                    f"but the lines below between {DELIMITERS[other]}s. "
                    f"Write {DELIMITERS[other]}s between the names too."
                )


def is_repeated(
    column: Sequence[str],
) -> bool:
    "Return whether few values of a column come again, as labels do"
    return len(set(column)) <= max(1, len(column) / 2)


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


def refuse_unread_delimiter(
    body: Body,
) -> None:
    "Raise `UserError` if another character, such as ^ or a control character, splits every line like the header"
    rows = [body.lines[i].rstrip("\r\n") for i in list_indexes(body)]
    for mark in sorted({m[0] for m in OTHER_MARK.finditer(rows[0])}, key=len, reverse=True):
        names = rows[0].split(mark)
        if any(is_usual_name(n) for n in names) and all(len(row.split(mark)) == len(names) for row in rows[1:]):
            shown = mark if mark.isprintable() else f"the character 0x{ord(mark[0]):02x}"
            raise UserError(
                f"{body.source}: {shown} splits every line into {len(names)} fields, but is no known delimiter. "
                "Save the file with commas, semicolons, tabs or bars between the values."
            )


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
