"Numbers as people write them in a column: 4, 4.5, 4,5, 1,200.5, 80 %."

import math
import re

import numpy as np

from ftkit.checks.columns import choose_label, choose_text
from ftkit.checks.texts import is_blank
from ftkit.errors import UserError
from ftkit.files.rows import Table

MOST_STEPS = 20  # different whole numbers that count as a rating
FEW, SHARE = 3, 0.01  # rows, or share of the rows, that may be a slip and no usual value
FAR = 3  # times the range of the others: a number that is so far from them is odd; a rating needs 1


def choose_number(
    table: Table,  # the training rows
    text_column_name: str | None = None,  # as given
    label_column_name: str | None = None,  # as given
) -> tuple[list[str], str, str]:
    "Return the text columns, the number's, and how they were chosen: without a usual name, the one with numbers"
    try:
        return choose_columns(table, text_column_name, label_column_name)
    except UserError:
        found = [name for name, values in table.columns.items() if name != text_column_name and has_numbers(values)]
        if label_column_name or len(found) != 1:
            raise
        texts, label, how = choose_columns(table, text_column_name, found[0])
        return texts, label, how.replace("(as given)", "(the column of numbers)")


def choose_columns(
    table: Table,  # the training rows
    text_column_name: str | None,  # as given
    label_column_name: str | None,  # as given
) -> tuple[list[str], str, str]:
    "Return the text columns, the label column, and how they were chosen"
    texts, how = choose_text(table, text_column_name, (label_column_name,) if label_column_name else ())
    label, label_how = choose_label(table, label_column_name, tuple(texts))
    return texts, label, f"text = '{', '.join(texts)}' ({how}), label = '{label}' ({label_how})"


def to_number(
    value: str,  # as people write it: 4, 4.5, 4,5, 1,200.5, 80 %
    decimal: str = ".",  # the decimal sign of its column
) -> float:
    "Return a number, NaN if it is none"
    text = value.strip().removesuffix("%").strip().replace("\u2212", "-").replace("\u00a0", "")
    whole, sign, rest = text.partition(decimal)
    other = "." if decimal == "," else ","
    if other in whole and not re.fullmatch(rf"[+-]?[1-9]\d{{0,2}}(\{other}\d{{3}})+", whole) or other in rest:
        return math.nan
    text = whole.replace(other, "") + ("." if sign else "") + rest
    try:
        return float(text) if "_" not in text else math.nan
    except ValueError:
        return math.nan


def find_decimal_sign(values: list) -> str | None:
    "Return the decimal sign that makes most values of a column numbers, a point if both do; None if it has no signs"
    texts = [value for value in values if not is_blank(value)]
    if not any("." in text or "," in text for text in texts):
        return None
    readable = {sign: sum(math.isfinite(to_number(text, sign)) for text in texts) for sign in ".,"}
    return "," if readable[","] > readable["."] else "."


def has_numbers(values: list) -> bool:
    "Return whether a column holds numbers that are no row numbers"
    texts = [str(value) for value in values if not is_blank(value)]
    sign = find_decimal_sign(texts) or "."
    numbers = [to_number(text, sign) for text in texts]
    if not numbers or not all(map(math.isfinite, numbers)) or len(set(numbers)) < 2:
        return False
    return not (len(numbers) > 2 and all(b - a == 1 for a, b in zip(numbers, numbers[1:])))


def is_rating(values) -> bool:
    "Return whether the numbers are a rating: few different whole numbers"
    known = set(np.asarray(values, dtype=float).tolist())
    return len(known) <= MOST_STEPS and all(value.is_integer() for value in known)


def find_odd(
    values: list[float],  # one a row, NaN for none
) -> dict[str, list[int]]:
    "Return what is odd about few of the numbers -> their rows, from 0: far from the others, negative, between steps"
    numbers = np.array(values, dtype=float)
    kept = np.flatnonzero(np.isfinite(numbers))
    few = max(FEW, SHARE * len(kept))
    if len(kept) <= 2 * few:
        return {}
    whole = kept[numbers[kept] % 1 == 0]
    steps = len(kept) - len(whole) <= few and len(np.unique(numbers[whole])) <= MOST_STEPS
    far = find_far(numbers, kept, 1 if steps else FAR, few)
    rest = kept[~np.isin(kept, far)]
    below = rest[numbers[rest] < 0] if steps else []
    between = rest[numbers[rest] % 1 != 0] if steps else []
    usual = f"{numbers[rest].min():g} to {numbers[rest].max():g}"
    found = {
        f"numbers far from all others, which go from {usual}": far,
        "negative numbers among ratings: do they stand for a missing one?": below if len(below) <= few else [],
        "numbers between the steps of a rating": between,
    }
    return {why: sorted(map(int, rows)) for why, rows in found.items() if len(rows)}


def find_far(
    numbers: np.ndarray,  # (rows,)
    kept: np.ndarray,  # rows that have a number
    times: float,  # the range of the others that a gap has to exceed
    few: float,  # rows at most
) -> np.ndarray:
    "Return the rows whose number is beyond a gap that is wider than the range of all numbers on its other side"
    far, rest = [], kept[np.argsort(numbers[kept], kind="stable")]
    for side in (1, -1):
        line = rest[::side]
        gaps = np.abs(np.diff(numbers[line]))
        spans = np.abs(numbers[line][:-1] - numbers[line][0])
        ends = np.flatnonzero((gaps > times * spans) & (spans > 0))
        ends = ends[len(line) - 1 - ends <= few]
        if len(ends):
            far += line[ends[0] + 1 :].tolist()
            rest = line[: ends[0] + 1][::side]
    return np.array(far, dtype=int)
