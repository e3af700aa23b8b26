"""Mend what the doctor found: every change is asked for, and logged. The rows that came in stay as they are."""

import os
from collections.abc import Iterable

from datasets import Dataset

from ftkit.checks.columns import choose_label, choose_text, join_texts
from ftkit.checks.duplicates import KINDS, find_alike_conflicts, find_conflicts, find_repeats, group_repeats
from ftkit.checks.labels import join_spellings, label_key
from ftkit.checks.languages import find_foreign
from ftkit.checks.privacy import PATTERNS, Redactor
from ftkit.checks.templates import find_templates
from ftkit.checks.texts import is_short
from ftkit.errors import UserError, escape_controls
from ftkit.files.annotations import unlist
from ftkit.files.columnar import from_python
from ftkit.files.rows import Table
from ftkit.files.tables import read_table


def clean(
    rows,  # a file, or rows from Python: a DataFrame, a Dataset, a list
    text_column_name: str | None = None,  # default: found
    label_column_name: str | None = None,  # default: found
    *,
    short: str | None = None,  # drop: texts with fewer than three letters and digits
    drop: Iterable[int] = (),  # row numbers as `ftkit check` prints them: from 1, without the header
    labels: dict[str, str] | None = None,  # label -> label that takes its place
    conflicts: str | None = None,  # of texts with several labels: drop, majority (keep that), near (drop alike ones)
    duplicates: str | None = None,  # exact, normalised or near: keep the first of them
    leaks: str | None = None,  # exact, normalised or near: drop rows that are training rows too; with `train`
    train=None,  # the training rows, for `leaks`
    foreign: str | None = None,  # drop: texts in another language or script than most
    redact: bool | tuple[str, ...] = False,  # replace personal data, or these kinds of it, by <EMAIL_1> and the like
    template_column: str | None = None,  # the name of a new column that tells which template a row was made from
) -> tuple[Dataset, list[str]]:
    """Return a new data set and a log of what was changed, a line each. Raises `UserError` for a wrong argument.

    Columns keep their names, and rows their order. Nothing is changed that was not asked for.
    """
    check_choices(short=(short, "drop"), conflicts=(conflicts, "drop", "majority", "near"), foreign=(foreign, "drop"))
    check_choices(duplicates=(duplicates, *KINDS), leaks=(leaks, *KINDS))
    table = read_rows(rows)
    text_columns, _ = choose_text(table, text_column_name, (label_column_name,) if label_column_name else ())
    label_column, _ = choose_label(table, label_column_name, tuple(text_columns))
    cleaner = Cleaner(table, text_columns, label_column)
    cleaner.drop([number - 1 for number in drop], "named in `drop`")
    if short:
        cleaner.drop((i for i, text in enumerate(cleaner.texts) if is_short(text)), "texts of hardly a letter")
    if labels:
        cleaner.rename_labels(labels)
    if conflicts:
        cleaner.settle_conflicts(conflicts)
    if duplicates:
        first = group_repeats(cleaner.texts, duplicates)
        cleaner.drop((i for i, j in enumerate(first) if i != j), f"{duplicates} duplicates of an earlier row")
    if leaks:
        cleaner.drop_leaks(leaks, train)
    if foreign:
        found = find_foreign(cleaner.texts)
        cleaner.drop((i for places in found.values() for i in places), f"in {' or '.join(found)}")
    if redact:
        cleaner.redact(tuple(PATTERNS) if redact is True else tuple(redact))
    if template_column:
        cleaner.add_templates(template_column)
    return Dataset.from_dict(cleaner.columns), cleaner.log or ["nothing was changed"]


def check_choices(
    **choices: tuple,  # argument -> (its value, the values that it may have)
) -> None:
    "Raise `UserError` for a value that is not a choice"
    for name, (value, *allowed) in choices.items():
        if value is not None and value not in allowed:
            raise UserError(f"clean({name}={value!r}): not a choice. Choices: {', '.join(map(repr, allowed))}.")


def read_rows(
    rows,  # a file, or rows from Python
) -> Table:
    "Return rows as a table. Raises `UserError` for several splits"
    if isinstance(rows, str | os.PathLike):
        return read_table(rows)
    found = from_python(rows)
    if isinstance(found, dict):
        raise UserError(f"clean takes the rows of one split, not of {', '.join(map(str, found))}. Pass one of them.")
    return found


class Cleaner:
    "The columns of a table while they are changed, and what was changed"

    def __init__(
        self,
        table: Table,  # as it was read; it stays as it is
        text_columns: list[str],  # one, or two that are a pair
        label_column: str,  # its label
    ):
        self.columns = {name: list(values) for name, values in table.columns.items()}
        self.text_columns, self.label_column, self.log = text_columns, label_column, []
        if any(isinstance(label, list) for label in self.labels):
            labels = unlist(self.labels)
            one = not any(isinstance(label, list) for label in labels)
            self.columns[label_column] = labels if one else self.labels  # lists of one label are labels

    @property
    def texts(self) -> list:
        "Return the texts, two columns as a pair"
        return join_texts(Table(self.columns), self.text_columns, "train")

    @property
    def labels(self) -> list:
        "Return the labels"
        return self.columns[self.label_column]

    def drop(
        self,
        rows: Iterable[int],  # from 0
        why: str,  # for the log
    ) -> None:
        "Leave rows out"
        gone, total = set(rows), len(self.labels)
        if outside := sorted(i for i in gone if not 0 <= i < total):
            raise UserError(
                f"clean(drop=…): there is no row {outside[0] + 1}: the {total:,} rows have numbers from 1."
            )
        if gone:
            for name, values in self.columns.items():
                self.columns[name] = [value for i, value in enumerate(values) if i not in gone]
            self.log.append(f"{len(gone):,} of {total:,} rows dropped: {why}")

    def rename_labels(
        self,
        names: dict[str, str],  # label -> label that takes its place
    ) -> None:
        "Replace labels by others, in every spelling. Raises `UserError` for a label that no row has"
        keys = [label_key(label) if isinstance(label, str) else None for label in self.labels]
        for old, new in names.items():
            rows = [i for i, key in enumerate(keys) if key == label_key(old)]
            if not rows:
                raise UserError(f"clean(labels=…): no row has the label {old!r}.")
            changed = [i for i in rows if self.labels[i] != new]
            for i in changed:
                self.labels[i] = new
            self.log.append(f"{len(changed):,} labels changed from {escape_controls(old)} to {escape_controls(new)}")

    def settle_conflicts(
        self,
        how: str,  # drop, majority or near
    ) -> None:
        "Leave out the texts that have several labels, or keep the rows with the label that most of them have"
        texts, gone = self.texts, []
        names, _ = join_spellings([label for label in self.labels if isinstance(label, str)])
        labels = [names[label] if isinstance(label, str) else label for label in self.labels]
        found = find_conflicts(texts, labels)
        for i, text in enumerate(texts):
            counts = found.get(text, {}) if isinstance(text, str) else {}
            most = [name for name, count in counts.items() if count == max(counts.values())]
            if counts and (how != "majority" or len(most) > 1 or labels[i] != most[0]):
                gone.append(i)
        if how == "near":
            gone += [i for pair in find_alike_conflicts(find_repeats(texts).duplicates, labels) for i in pair]
        kept = ", but for those with the label that most have" if how == "majority" else ""
        alike = ", or nearly the same as one with another label" if how == "near" else ""
        self.drop(gone, f"texts with more than one label{kept}{alike}")

    def drop_leaks(
        self,
        kind: str,  # exact, normalised or near
        train,  # the training rows
    ) -> None:
        "Leave out the rows that are training rows too"
        if train is None:
            raise UserError("clean(leaks=…) compares with the training rows. Pass them too: train=rows.")
        others = read_rows(train)
        columns = self.text_columns if all(c in others.columns for c in self.text_columns) else choose_text(others)[0]
        found = find_repeats(join_texts(others, columns, "train"), self.texts).leaks
        kinds = KINDS[: KINDS.index(kind) + 1]
        self.drop((i for name in kinds for i in found[name]), f"training rows too ({' or '.join(kinds)})")

    def redact(
        self,
        kinds: tuple[str, ...],  # of personal data
    ) -> None:
        "Replace personal data in the texts by placeholders"
        redactor = Redactor(kinds)
        for name in self.text_columns:
            self.columns[name] = redactor.replace(self.columns[name])
        if redactor.counts:
            found = ", ".join(f"{kind} {count:,}" for kind, count in redactor.counts.items())
            self.log.append(f"personal data replaced by placeholders, different values: {found}; names of people stay")

    def add_templates(
        self,
        column: str,  # the name of the new column
    ) -> None:
        "Add a column with the number of the template that a row was made from; a row of none has its own"
        if column in self.columns:
            raise UserError(f"clean(template_column={column!r}): there is such a column already. Choose another name.")
        found = find_templates(self.texts)
        numbers = {row: f"template {n}" for n, template in enumerate(found, 1) for row in template.rows}
        self.columns[column] = [numbers.get(i, f"row {i}") for i in range(len(self.labels))]
        self.log.append(f"column {column} added: {len(numbers):,} rows were made from {len(found):,} templates")
