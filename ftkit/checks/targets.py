"""What `ftkit check` asks of rows with several labels or with numbers, in place of the checks on single labels.

Neither torch nor transformers is loaded. To add a check: a function that takes the rows and returns findings, and a
row in `SEVERAL_CHECKS` or `NUMBER_CHECKS`.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ftkit.checks.columns import choose_label, choose_text, get_column, has_labels, join_texts, named_columns
from ftkit.checks.findings import Finding, Rows, show
from ftkit.checks.label_lists import choose_several, find_lists, have_several, read_several, to_json
from ftkit.checks.labels import find_alike_names, is_missing, join_spellings
from ftkit.checks.numbers import MOST_STEPS, choose_number, find_decimal_sign, find_odd, is_rating, to_number
from ftkit.checks.privacy import mask_hits
from ftkit.checks.suspicious import ODDS, find_unlikely
from ftkit.checks.texts import is_blank
from ftkit.errors import UserError
from ftkit.files.annotations import DELIMITERS, find_indicator_columns, find_several_labels, unlist
from ftkit.files.rows import Table
from ftkit.settings import CLASSIFICATION, MULTI_LABEL, REGRESSION

FEWEST_NUMBERS = 10  # rows that train, validation and test take


def recognise(
    table: Table,  # the training rows, which are no chats
    text_column_name: str | None = None,  # as given
    label_column_name: str | None = None,  # as given
) -> tuple[str, list[Finding]]:
    "Return the task whose labels these rows clearly hold, and a finding that names it unless it is the default"
    columns = named_columns(table, label_column_name) if label_column_name else find_indicator_columns(table)
    if len(columns) > 1 and set(columns) <= set(table.columns):
        what = f"the labels are {len(columns)} columns of 0 and 1: examined as task = {MULTI_LABEL}"
        return MULTI_LABEL, [Finding(what, 1, show(columns), f"train with --task {MULTI_LABEL}")]
    try:
        texts, _ = choose_text(table, text_column_name, (label_column_name,) if label_column_name else ())
        column, _ = choose_label(table, label_column_name, tuple(texts))
    except UserError:
        column = find_lists(table, text_column_name) or find_measure(table, text_column_name)
    values = unlist(list(table.columns[column])) if column else []
    several = [value for value in values if isinstance(value, list) and all(isinstance(name, str) for name in value)]
    joined = None if several else find_several_labels(values)
    if several or joined and joined[0] in DELIMITERS:
        how = f", separated by '{joined[0]}'" if joined else ""
        shown = show(several or [joined[1]])
        what = f"rows with several labels{how}: examined as task = {MULTI_LABEL}"
        fix = f"train with --task {MULTI_LABEL}, or give one label a row"
        return MULTI_LABEL, [Finding(what, max(1, len(several)), shown, fix)]
    if is_measure(values):
        what, fix = f"numbers, not labels: examined as task = {REGRESSION}", f"train with --task {REGRESSION}"
        return REGRESSION, [Finding(what, 1, show(v for v in values if not is_blank(v)), fix)]
    return CLASSIFICATION, []


def find_measure(
    table: Table,  # the training rows
    text_column_name: str | None,  # as given
) -> str | None:
    "Return the only column that is clearly numbers, if there is one"
    found = [name for name, values in table.columns.items() if name != text_column_name and is_measure(values)]
    return found[0] if len(found) == 1 else None


def is_measure(
    values: list,  # of the label column
) -> bool:
    "Return whether labels are clearly numbers: more different ones than a rating has, some with decimals"
    texts = [value for value in values if not is_blank(value)]
    if len(set(map(str, texts))) <= MOST_STEPS or not all(isinstance(text, str) for text in texts):
        return False
    sign = find_decimal_sign(texts) or "."
    numbers = [to_number(text, sign) for text in texts]
    return all(map(math.isfinite, numbers)) and not all(map(float.is_integer, numbers))


@dataclass
class SeveralRows(Rows):
    "Rows with any number of labels; the label of a row is the JSON list of them"

    reading: dict = field(default_factory=dict)  # what the training rows decide, such as the delimiter

    def read_split(self, split):
        "Return texts and labels of one split"
        table = self.tables[split]
        texts, filled = join_texts(table, self.text_columns, split), have_several(table, self.label_column)
        if filled is None:
            filled = has_labels(table, self.label_column, self.text_columns)
        if split != "train" and not filled:
            return texts, [None] * len(texts)
        lists = read_several(table, self.label_column, split, self.reading)
        return texts, [None if names is None else to_json(names) for names in lists]

    def names(self, split):
        "Return the labels of all rows of one split, None for a row that is blank"
        rows = [[None] if row is None else json.loads(row) for row in self.read[split][1]]
        return [name for row in rows for name in row]


@dataclass
class NumberRows(Rows):
    "Rows with a number; the label of a row is the number as Python writes it, None if there is none"

    @cached_property
    def values(self) -> dict[str, list[str | None]]:
        "Return by split what the column holds as text, None for a blank cell"
        found = {}
        for split, table in self.tables.items():
            if split == "train" or has_labels(table, self.label_column, self.text_columns):
                column = unlist(get_column(table, self.label_column, split))
                found[split] = [None if is_blank(value) else str(value).strip() for value in column]
        return found

    def read_split(self, split):
        "Return texts and numbers of one split"
        texts = join_texts(self.tables[split], self.text_columns, split)
        numbers = self.read_numbers(split)
        return texts, [None if n is None or not math.isfinite(n) else repr(n) for n in numbers]

    def read_numbers(
        self,
        split: str,  # train, validation or test
    ) -> list[float | None]:
        "Return the number of each row, NaN if it holds something else, None if it is blank"
        if split not in self.values:
            return [None] * len(self.tables[split])
        texts = lambda name: [value for value in self.values[name] if value is not None]
        sign = find_decimal_sign(texts("train")) or find_decimal_sign(texts(split)) or "."
        return [None if value is None else to_number(value, sign) for value in self.values[split]]

    def names(self, split):
        "Return the ratings of one split; of other numbers the quarter of the range of each; None if there is none"
        rows = [None if label is None else float(label) for label in self.read[split][1]]
        known = np.array([float(label) for label in self.labels if label is not None])
        if is_rating(known) or not len(known):
            return [None if number is None else f"{number:g}" for number in rows]
        ends = np.histogram_bin_edges(known, bins=4)
        place = lambda number: int(np.clip(np.searchsorted(ends, number, side="right") - 1, 0, 3))
        quarter = [f"{a:.4g} to {b:.4g}" for a, b in zip(ends, ends[1:])]
        return [None if number is None else quarter[place(number)] for number in rows]


# --- several labels ---


def check_label_lists(rows: SeveralRows) -> list[Finding]:
    names = [name for name in rows.names("train") if name is not None]
    found = []
    if missing := sum(label is None for label in rows.labels):
        found.append(Finding("rows whose labels are unknown; they are dropped ([] is no label)", missing))
    found += [Finding(note, 1) for note in join_spellings(names)[1]]
    odd = [name for name in rows.counts if is_missing(name, "+" in rows.counts)]
    if odd:
        what, fix = (
            "labels that usually stand for a missing value",
            "write [] for no label, nothing for an unknown one",
        )
        found.append(Finding(what, len(odd), show(odd), fix))
    found += [Finding(note, 1) for note in find_alike_names(dict(rows.counts))]
    if len(rows.counts) < 2:
        what = f"fewer than two labels: task = {MULTI_LABEL} needs two"
        found.append(Finding(what, 1, show(rows.counts), "check label_column_name"))
    always = [name for name, count in rows.counts.items() if count == len(rows.labels)]
    if always and len(rows.counts) > 1:
        found.append(Finding("labels that every row has: there is nothing to learn", len(always), show(always)))
    return found


def check_unlikely(rows: SeveralRows) -> list[Finding]:
    lists = [None if label is None else set(json.loads(label)) for label in rows.labels]
    found = find_unlikely(rows.texts, lists, [name for name, _ in rows.counts.most_common()])
    if not found:
        return []
    shown = [
        f"row {s.row + 1}, {s.label} {'is given' if s.given else 'is missing'}: {mask_hits(rows.texts[s.row])[:50]}"
        for s in found
    ]
    model = "a cheap model that has not seen the row"
    what = f"labels to read again: {model} finds the opposite at least {ODDS} times as likely"
    return [Finding(what, len(found), show(shown), "read them; correct them in the file")]


def check_sets(rows: Rows) -> list[Finding]:
    if not rows.conflicts:
        return []
    spell = lambda names: " or ".join(f"{name} ({n})" for name, n in names.items())
    shown = [f"{mask_hits(text)[:50]}: {spell(names)}" for text, names in rows.conflicts.items()]
    what = "texts with different sets of labels"
    return [Finding(what, len(rows.conflicts), show(shown), "decide for one, or join them, in the file")]


# --- numbers ---


def check_numbers(rows: NumberRows) -> list[Finding]:
    found = []
    for split in rows.values:
        numbers = rows.read_numbers(split)
        if missing := sum(number is None for number in numbers):
            found.append(Finding(f"{split} rows without a number; they are dropped", missing))
        table = rows.tables[split]
        wrong = [i for i, number in enumerate(numbers) if number is not None and not math.isfinite(number)]
        shown = [f"row {table.number(i)}: {rows.values[split][i]}" for i in wrong]
        if wrong:
            what = f"{split} values that are no number: training refuses these rows"
            found.append(Finding(what, len(wrong), show(shown), "correct them, or leave the cells empty"))
    known = [label for label in rows.labels if label is not None]
    if len(set(known)) < 2:
        found.append(Finding("only one number: there is nothing to learn", 1, show(known), "check label_column_name"))
    elif len(known) < FEWEST_NUMBERS:
        found.append(Finding(f"fewer than {FEWEST_NUMBERS} rows with a number: too few for three splits", len(known)))
    return found


def check_odd_numbers(rows: NumberRows) -> list[Finding]:
    numbers = [math.nan if label is None else float(label) for label in rows.labels]
    table, values, fix = rows.tables["train"], rows.values["train"], "read them; correct them in the file"
    return [
        Finding(why, len(places), show(f"row {table.number(i)}: {values[i]}" for i in places), fix)
        for why, places in find_odd(numbers).items()
    ]


def check_range(rows: NumberRows) -> list[Finding]:
    known = [float(label) for label in rows.labels if label is not None]
    found = []
    for split in (name for name in rows.read if name != "train" and known):
        labels = rows.read[split][1]
        outside = [i for i, x in enumerate(labels) if x is not None and not min(known) <= float(x) <= max(known)]
        if split not in rows.values:
            found.append(Finding(f"the {split} rows have no numbers and are left out", len(labels)))
        elif outside:
            shown = show(f"row {rows.tables[split].number(i)}: {rows.values[split][i]}" for i in outside)
            what = f"{split} numbers outside the range of the training rows, {min(known):g} to {max(known):g}"
            found.append(Finding(what, len(outside), shown, "read them; a model does not answer there"))
    return found


def check_different_numbers(rows: Rows) -> list[Finding]:
    if not rows.conflicts:
        return []
    spell = lambda names: " or ".join(f"{float(name):g} ({n})" for name, n in names.items())
    shown = [f"{mask_hits(text)[:50]}: {spell(names)}" for text, names in rows.conflicts.items()]
    what = "texts with different numbers"
    fix = "decide for one, or write their mean, in the file; people differ, and no model can be closer than they are"
    return [Finding(what, len(rows.conflicts), show(shown), fix)]


SEVERAL_CHECKS: dict[str, Callable[[SeveralRows], list[Finding]]] = {
    "lists of labels": check_label_lists,
    "conflicts": check_sets,
    "suspicious labels": check_unlikely,
}
NUMBER_CHECKS: dict[str, Callable[[NumberRows], list[Finding]]] = {
    "numbers": check_numbers,
    "odd numbers": check_odd_numbers,
    "range": check_range,
    "conflicts": check_different_numbers,
}
CHOICES = {MULTI_LABEL: (choose_several, SeveralRows), REGRESSION: (choose_number, NumberRows)}
