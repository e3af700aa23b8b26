"What stands above the table: `sep=;`, comments, and a header that begins with #."

import csv
import re
from dataclasses import replace
from itertools import islice

from ftkit.errors import UserError, did_you_mean
from ftkit.files.delimited.records import DELIMITERS, LINE, Body, list_indexes
from ftkit.files.headers import clean_name, is_name, is_usual_name
from ftkit.files.rows import NO_ROWS, ReadOptions

SPELLINGS = {name: d for d, name in DELIMITERS.items()} | {d: d for d in DELIMITERS} | {"\\t": "\t", "pipe": "|"}
SEPARATOR = re.compile(r'"?sep=(.+?)"?\s*', re.IGNORECASE | re.DOTALL)  # Excel's first line


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
        raise UserError(f"{source}: {NO_ROWS}")
    return body


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
