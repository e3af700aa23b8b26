"Names of columns: how they are cleaned, and whether the first line holds names or is a row."

import re
import statistics
import unicodedata
from itertools import islice

from ftkit.errors import UserError

NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)?|\.\d+)([eE][+-]?\d+)?%?")
INVISIBLE = dict.fromkeys(
    map(ord, "\u200b\u2060\ufeff\xad")
)  # anywhere in a name; joiners are letters of some scripts
MISSING = {"", "-", "?", "na", "n/a", "nan", "null", "none"}
CHUNK = 10_000  # rows that are held as lists at a time
USUAL_NAMES = frozenset(
    "text label labels sentence sentence1 sentence2 review reviews comment comments tweet tweets message "
    "body title content class category sentiment target id idx index question question1 question2 answer "
    "premise hypothesis score rating stars date time timestamp author user username name url source lang "
    "language split topic intent emotion document description summary headline utterance query passage "
    "context abstract subject tag tags type polarity goldlabel v1 v2 input output selectedtext textid "
    "tweetid reviewtext reviewbody labeltext labelid value key".split()
)


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
