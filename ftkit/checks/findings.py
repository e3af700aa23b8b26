"""What a data check reports, and the rows that it looks at."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from ftkit.checks.columns import get_column, has_labels, join_texts, show_pair
from ftkit.checks.duplicates import Repeats, find_alike_conflicts, find_conflicts, find_repeats
from ftkit.checks.labels import join_spellings
from ftkit.checks.privacy import mask_hits
from ftkit.checks.texts import is_blank
from ftkit.errors import escape_controls
from ftkit.files.annotations import unlist
from ftkit.files.rows import Table

EXAMPLES = 3  # of each finding
LONGEST_EXAMPLE = 80  # characters


@dataclass
class Finding:
    "Something in the rows that a person should know before training"

    what: str  # in one line
    count: int  # rows, texts or labels
    examples: list[str] = field(default_factory=list)
    fix: str = ""  # a setting or a line of code
    rows: list[int] = field(default_factory=list)  # their numbers, from 1: all of them, if it is about single rows
    pairs: list[list[int]] = field(default_factory=list)  # the same, two that belong together
    split: str = "train"  # whose rows are numbered


@dataclass
class Rows:
    "Labelled rows that are examined, as they were read"

    tables: dict[str, Table]  # by split; `test` may be missing
    text_columns: list[str]  # one, or two that are a pair
    label_column: str  # its label
    one_label: bool = False  # each row has one label, whose spellings are joined

    @cached_property
    def raw(self) -> dict[str, tuple[list, list]]:
        "Return texts and labels by split; a label is None if there is none, a list if there are several"
        return {split: self.read_split(split) for split in self.tables}

    @cached_property
    def spelling(self) -> tuple[dict[str, str], list[str]]:
        "Return spelling -> label, as `load_data` joins them, and a note for each label with several spellings"
        labels = self.raw["train"][1] if self.one_label else []
        return join_spellings([name for name in labels if isinstance(name, str)])

    @cached_property
    def read(self) -> dict[str, tuple[list, list]]:
        "Return texts and labels by split, the spellings of a label joined"
        names, _ = self.spelling
        return {
            split: (texts, [names.get(label, label) if isinstance(label, str) else label for label in labels])
            for split, (texts, labels) in self.raw.items()
        }

    def read_split(
        self,
        split: str,  # train, validation or test
    ) -> tuple[list, list]:
        "Return texts and labels of one split"
        table = self.tables[split]
        texts = join_texts(table, self.text_columns, split)
        if split != "train" and not has_labels(table, self.label_column, self.text_columns):
            return texts, [None] * len(texts)
        labels = unlist(get_column(table, self.label_column, split))
        return texts, [None if is_blank(v) else v.strip() if isinstance(v, str) else v for v in labels]

    @property
    def texts(self) -> list:
        "Return the texts of the training rows"
        return self.read["train"][0]

    @property
    def labels(self) -> list:
        "Return the labels of the training rows"
        return self.read["train"][1]

    @cached_property
    def counts(self) -> Counter:
        "Return label -> training rows"
        return self.count("train")

    def count(
        self,
        split: str,  # train, validation or test
    ) -> Counter:
        "Return label -> rows of one split"
        return Counter(name for name in self.names(split) if isinstance(name, str))

    def names(
        self,
        split: str,  # train, validation or test
    ) -> list:
        "Return the labels of one split, None for a row without one"
        return self.read[split][1]

    @cached_property
    def repeats(self) -> Repeats:
        "Return duplicates and leaks"
        return find_repeats(self.texts, self.read["test"][0] if "test" in self.read else None)

    @cached_property
    def conflicts(self) -> dict[str, Counter]:
        "Return the texts that have more than one label"
        return find_conflicts(self.texts, self.labels, self.repeats.duplicates["exact"])

    @cached_property
    def alike_conflicts(self) -> list[tuple[int, int]]:
        "Return pairs of training rows that differ in spelling or in a few words, and in their label"
        return find_alike_conflicts(self.repeats.duplicates, self.labels)


def show(
    values,  # texts or names from data
    longest: int = LONGEST_EXAMPLE,  # characters of each
) -> list[str]:
    "Return the first few values as they may be shown: short, personal data masked, without control characters"
    shown = [escape_controls(mask_hits(str(show_pair(value)))) for value in islice(values, EXAMPLES)]
    return [text[:longest] + ("…" if len(text) > longest else "") for text in shown]
