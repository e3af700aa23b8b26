"""What the whole-file readers ask of all rows, asked of rows that pass by in pieces.

`Rules` keeps the first 10,000 rows and a few facts about every row. `judge` then calls the readers' own checks on the
first rows, and raises `ReadWhole` unless no row below them can change what they found.
"""

from collections import Counter

import numpy as np

from ftkit.files.annotations import ANSWERS, holds_choices, is_response
from ftkit.files.headers import (
    CHUNK,
    READ_WITH_HEADER,
    TOP,
    TOTAL,
    is_comment,
    is_usual_name,
    refuse_row_as_names,
    refuse_second_header,
    refuse_title,
)
from ftkit.files.rows import Table
from ftkit.files.streams.text import ReadWhole, refusing_doubt

KINDS = 50_000  # different values of a column that are counted one by one
SLOTS = 1 << 24  # bytes for a lower bound on the number of more different values


class Rules:
    "Facts about the rows of a file, gathered table by table"

    def __init__(
        self,
        source: str,  # for messages
    ):
        self.source, self.format, self.rows = source, "", 0
        self.head: list[Table] = []  # the first rows, at least `CHUNK` of them
        self.names: dict[str, None] = {}  # of the columns, in the order in which they appear
        self.own: set[str] = set()  # columns that hold their own name
        self.asides, self.last = 0, ""  # rows that begin like a comment; the first value of the last row
        self.lists: set[str] = set()  # columns that hold a list somewhere

    def add(
        self,
        table: Table,  # the next rows
    ) -> None:
        "Gather facts. Raises `ReadWhole` for a row that only the whole-file reader can judge"
        if self.rows < CHUNK:
            self.head.append(table)
        self.rows, self.format = self.rows + len(table), table.format
        self.names.update(dict.fromkeys(table.columns))
        found = {name for name, values in table.columns.items() if name in values}
        self.own |= found
        if len(found) == len(table.columns) > 1 and any(
            all(v == n for v, n in zip(row, table.columns)) for row in zip(*table.columns.values())
        ):
            raise ReadWhole("a row repeats the names of the columns")
        for name, values in table.columns.items():
            self.look_for_annotations(name, values)
        first = table.columns.get(next(iter(self.names)), [None] * len(table))
        self.asides += sum(map(is_comment, first))
        self.last = first[-1] if isinstance(first[-1], str) else ""

    def look_for_annotations(
        self,
        name: str,  # of a column
        values: list,  # of the next rows
    ) -> None:
        "Raise `ReadWhole` if a cell is one of an annotation tool's"
        kinds = set(map(type, values))
        if list in kinds:
            self.lists.add(name)
            if any(isinstance(v, list) and v and all(map(is_response, v)) for v in values):
                raise ReadWhole("it may be an export of Argilla")
        if dict in kinds or any("choices" in v for v in values if isinstance(v, str)):
            if holds_choices(values):
                raise ReadWhole("it may be an export of Label Studio")

    def judge(self) -> None:
        "Raise `ReadWhole` if the whole-file reader may refuse the rows, or return others"
        if not self.rows or "" in self.names:
            raise ReadWhole("it has no rows, or a column without a name")
        head = self.join_head()
        self.judge_annotations(head)
        names, values = list(self.names), [to_strings(column) for column in head.columns.values()]
        if self.format not in READ_WITH_HEADER:
            numbers = [head.number(i) for i in range(min(TOP, len(head)))]
            refusing_doubt(refuse_title, self.source, names, values, numbers, None)
            self.judge_header(refuse_row_as_names, names, values)
        refusing_doubt(refuse_second_header, head, values, "row")

    def judge_header(
        self,
        refuse,  # (source, names, values): whether the names are a row
        names: list[str],  # of the fields
        values: list[list[str]],  # of the first rows
    ) -> None:
        "Raise `ReadWhole` if the names may be a row"
        if not self.own:
            refusing_doubt(refuse, self.source, names, values)
        elif not any(is_usual_name(name) for name in names if name not in self.own):
            raise ReadWhole(f"the name of a column stands in its rows ('{min(self.own)[:40]}')")

    def judge_annotations(
        self,
        head: Table,  # the first rows
    ) -> None:
        "Raise `ReadWhole` if the columns may be those of an annotation tool"
        names = set(self.names)
        answers = {v for v in head.columns.get("answer", []) if not isinstance(v, list | dict)} - {None}
        tools = {
            "Label Studio": "data" in names and names & {"annotations", "completions"},
            "Label Studio, flat": {"annotation_id", "id"} <= names,
            "Prodigy": names & {"label", "accept", "options", "_input_hash", "_task_hash", "spans"}
            and "answer" in names
            and answers <= ANSWERS,
            "Argilla 1": {"annotation", "status"} <= names,
            "Argilla": {"fields", "responses"} <= names or any(name.endswith(".responses") for name in names),
            "doccano": names & {"text", "data"} and (self.lists & {"label", "labels"} or "entities" in names),
        }
        if tool := next((tool for tool, is_one in tools.items() if is_one), None):
            raise ReadWhole(f"it may be an export of an annotation tool ({tool})")

    def join_head(self) -> Table:
        "Return the first rows as one table with all columns"
        columns = {name: [] for name in self.names}
        for table in self.head:
            for name, column in columns.items():
                column += table.columns.get(name, [None] * len(table))
        numbers = [table.number(i) for table in self.head for i in range(len(table))]
        return Table(columns, self.source, self.format, numbers=numbers)

    @property
    def needs_counts(self) -> bool:
        "Return whether rows may be comments or totals, so that the values of all columns have to be counted"
        found = self.comments + is_total(self.last)
        return 0 < found <= max(3, self.rows / 50)

    @property
    def comments(self) -> int:
        "Return how many rows may be comments: none if most begin so"
        return 0 if 2 * self.asides > self.rows else self.asides

    def judge_asides(
        self,
        tables,  # all rows once more
    ) -> None:
        "Raise `ReadWhole` if a row that looks like a comment or a total has a label of its own"
        columns, left = {name: Kinds() for name in self.names}, self.rows
        first = next(iter(self.names))
        for table in tables:
            left -= len(table)
            begins = table.columns.get(first, [None] * len(table))
            rows = {i for i, value in enumerate(begins) if self.comments and is_comment(value)}
            rows |= {len(table) - 1} if left == 0 and is_total(self.last) else set()
            for name, kinds in columns.items():
                kinds.add(to_strings(table.columns.get(name, [None] * len(table))), rows)
        limit = max(3, self.rows / 2)
        if any(kinds.may_single_out(limit) for kinds in columns.values()):
            raise ReadWhole("a row looks like a comment or a total")


class Kinds:
    "The different values of a column: counted one by one while they are few, then bounded from below in flat memory"

    def __init__(self):
        self.counts, self.asides, self.slots = Counter(), set(), None

    def add(
        self,
        values: list[str],  # of the next rows
        asides: set[int],  # those that look like a comment or a total
    ) -> None:
        "Count values"
        values = [v.strip() for v in values]
        if self.slots is None:
            self.counts.update(values)
            self.asides.update(values[i] for i in asides)
            if len(self.counts) > KINDS:
                values, self.counts, self.slots = list(self.counts), Counter(), np.zeros(SLOTS, dtype=np.uint8)
        if self.slots is not None:
            self.slots[[hash(v) % SLOTS for v in values]] = 1

    def may_single_out(
        self,
        limit: float,  # kinds that labels have at most
    ) -> bool:
        "Return whether an aside may hold a value that no other row has, in a column of few kinds"
        if self.slots is not None:
            return int(self.slots.sum()) <= limit
        return 1 < len(self.counts) <= limit and any(v and self.counts[v] == 1 for v in self.asides)


def is_total(
    value: str,  # the first of the last row
) -> bool:
    "Return whether a row begins like a total or a source"
    return TOTAL.match(value) is not None and len(value.split()) <= 8


def to_strings(
    values: list,  # of a column
) -> list[str]:
    "Return values with an empty text for what is none, as the checks of headers see them"
    return [v if isinstance(v, str) else "" for v in values]
