"""Which columns hold the text and the label: by name, else by content. A tie is refused with both names.

The names alone mislead: `text` may hold ids, `label` numbers whose names are in `label_text`, and a question has its
passage next to it.
"""

import re
from collections import Counter
from dataclasses import dataclass

from ftkit.checks.texts import is_blank
from ftkit.errors import UserError, did_you_mean
from ftkit.files.rows import Table

SURROGATE = re.compile("[\ud800-\udfff]")
PAIR = "\ufdd0"  # between the two texts of a row: Unicode reserves this code point for programs, so no text holds it

TEXT_NAMES = (
    "text",
    "sentence",
    "tweet",
    "post",
    "review",
    "comment",
    "message",
    "content",
    "body",
    "utterance",
    "question",
    "review_text",
    "review_body",
    "comment_text",
)
LABEL_NAMES = (
    "label",
    "labels",
    "label_text",
    "label_name",
    "sentiment",
    "class",
    "category",
    "target",
    "intent",
    "topic",
    "rating",
    "stars",
)
JSON_COLUMNS = "JSON dictionary of lists"  # a format of `Table`
SAMPLE = 2000  # rows that are looked at
NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|\.\d+)([eE][+-]?\d+)?%?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}.*)?")
NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
)  # scripts written without spaces


@dataclass
class Profile:
    "What the values of a column look like"

    distinct: int  # different values in the sample
    rows: int  # values in the sample that are not blank
    chars: float  # mean length in characters
    words: float  # mean number of words
    odd: float  # share of numbers, dates and bare addresses

    @property
    def is_text(self) -> bool:
        "Return whether the column may be the text: several words, mostly different"
        several_words = self.words >= 1.5 and self.chars >= 5
        return self.rows > 0 and self.odd < 0.5 and several_words and self.distinct > min(20, self.rows / 5)

    @property
    def is_label(self) -> bool:
        "Return whether the column may be the label: few different, short values that come again"
        return 2 <= self.distinct <= max(2, min(self.rows / 2, 200)) and self.chars <= 40


def profile(
    values: list,  # of a column
) -> Profile:
    "Look at a sample of a column"
    step = max(1, len(values) // SAMPLE)
    texts = [str(v).strip() for v in values[::step] if not is_blank(v)]
    if not texts:
        return Profile(0, 0, 0.0, 0.0, 0.0)
    words = [max(len(t.split()), len(NO_SPACES.findall(t)) / 2) for t in texts]
    odd = sum(
        bool(NUMBER.fullmatch(t) or DATE.fullmatch(t) or re.fullmatch(r"(https?://|www\.)\S+", t)) for t in texts
    )
    n = len(texts)
    return Profile(len(set(texts)), n, sum(map(len, texts)) / n, sum(words) / n, odd / n)


def choose_text(
    table: Table,  # the rows
    wanted: str | None = None,  # the name that the user gave; two names with a comma: two columns
    without: tuple[str, ...] = (),  # columns that hold something else
) -> tuple[list[str], str]:
    "Return the text column or columns, and how they were chosen. Raises `UserError` if none or several would do"
    names = [n for n in table.columns if n not in without]
    if wanted is not None:
        parts = [wanted] if wanted in table.columns else [p.strip() for p in wanted.split(",")]
        return [find_named(table, part, "text_column_name") for part in parts], "as given"
    profiles = {n: profile(table.columns[n]) for n in names}
    text_like = sorted((n for n in names if profiles[n].is_text), key=lambda n: -profiles[n].chars)
    refuse_labels_as_names(table, names, text_like)
    usual = [n for usual in TEXT_NAMES for n in names if simplify(n) == usual]
    usual_texts = [n for n in usual if n in text_like]
    if len(usual_texts) > 1:
        raise tie("text_column_name", usual_texts, table, pair=True)
    if usual_texts:
        rivals = [n for n in text_like if n != usual_texts[0] and profiles[n].chars >= profiles[usual_texts[0]].chars]
        if rivals:
            raise tie("text_column_name", [usual_texts[0], rivals[0]], table, pair=True)
        skipped = [n for n in usual if n != usual_texts[0]]
        why = f"by name: '{skipped[0]}' holds no texts" if skipped and usual[0] == skipped[0] else "by name"
        others = [n for n in text_like if n != usual_texts[0]]
        return usual_texts, f"{why}; {name_others(others)} too" if others else why
    if usual and not text_like:
        return usual[:1], "by name"
    if len(names) == 1:
        return names, "the only column"
    if not text_like:
        raise UserError(
            f"{table.source}: text_column_name is not given and cannot be guessed. "
            f"Columns: {', '.join(table.columns)}. "
            "Write text_column_name = one of them."
        )
    if len(text_like) > 1 and profiles[text_like[0]].chars < 4 * profiles[text_like[1]].chars:
        raise tie("text_column_name", text_like[:2], table, pair=True)
    why = f"by content: '{usual[0]}' holds no texts" if usual else "by content: the longest varied text"
    return text_like[:1], why


def refuse_labels_as_names(
    table: Table,  # the rows
    names: list[str],  # the columns that may hold the text
    text_like: list[str],  # those of them that hold texts
) -> None:
    "Raise `UserError` for a JSON object such as {pos: [texts], neg: [texts]}, which looks like a table of columns"
    known = {*TEXT_NAMES, *LABEL_NAMES}
    if table.format != JSON_COLUMNS or not len(names) == len(text_like) == len(table.columns) > 1:
        return
    if not any(simplify(n) in known for n in names):
        shown = ", ".join(f"'{n}'" for n in names[:5])
        raise UserError(
            f"{table.source}: {shown} each hold texts, and nothing holds labels. If these names are the labels, write "
            f'an object for each text: {{"text": "...", "label": "{names[0][:30]}"}}. If not, write text_column_name.'
        )


def name_others(
    names: list[str],  # columns that hold texts and were not chosen
) -> str:
    "Return the beginning of a phrase about them"
    shown = ", ".join(f"'{n}'" for n in names[:3]) + (" …" if len(names) > 3 else "")
    return f"{shown} {'holds' if len(names) == 1 else 'hold'} texts"


def choose_label(
    table: Table,  # the rows
    wanted: str | None = None,  # the name that the user gave
    without: tuple[str, ...] = (),  # columns that hold something else, such as the text
) -> tuple[str, str]:
    "Return the label column, and how it was chosen. Raises `UserError` if none or several would do"
    column, how = find_label_column(table, wanted, without)
    refuse_grouped(table, column)
    return column, how


def refuse_grouped(
    table: Table,  # the rows
    column: str,  # the label
) -> None:
    "Raise `UserError` if a label stands only in the first row of its group, as in a table for the eye"
    values = table.columns[column]
    filled = [i for i, value in enumerate(values) if not is_blank(value)]
    once = len({str(values[i]).strip() for i in filled}) == len(filled)
    apart = all(b - a > 1 for a, b in zip(filled, [*filled[1:], len(values)]))
    if len(filled) > 1 and filled[0] == 0 and once and apart:
        raise UserError(
            f"{table.source}, row {table.number(1)}, column '{column}': is empty, like {len(values) - len(filled)} of "
            f"{len(values)} rows: each label stands only in the first row of its group. Write it into every row, in "
            f'pandas: df["{column}"] = df["{column}"].ffill().'
        )


def find_label_column(
    table: Table,  # the rows
    wanted: str | None,  # the name that the user gave
    without: tuple[str, ...],  # columns that hold something else, such as the text
) -> tuple[str, str]:
    "Return the label column, and how it was chosen. Raises `UserError` if none or several would do"
    if wanted is not None:
        return find_named(table, wanted, "label_column_name"), "as given"
    names = [n for n in table.columns if n not in without]
    found = [n for usual in LABEL_NAMES for n in names if simplify(n) == usual and profile(table.columns[n]).rows]
    found = [n for n in found if profile(table.columns[n]).distinct > 1] or found
    if found:
        named, how = prefer_names(table, found, names)
        rest = [n for n in found if n != named and not is_one_to_one(table, n, named)]
        if rest:
            raise tie("label_column_name", [named, rest[0]], table)
        return named, how
    candidates = [n for n in names if profile(table.columns[n]).is_label]
    if len(candidates) > 1:
        named, _ = prefer_names(table, candidates[:1], candidates)
        rest = [n for n in candidates if n != named and not is_one_to_one(table, n, named)]
        if rest:
            raise tie("label_column_name", [named, rest[0]], table)
        candidates = [named]
    if not names:
        raise UserError(
            f"{table.source}: has the text ({', '.join(without)}) and no other column"
            f"{''.join(f' ({note})' for note in table.notes if 'left out' in note)}. Add a column with the labels."
        )
    if not candidates:
        raise UserError(
            f"{table.source}: label_column_name is not given and cannot be guessed. "
            f"Columns: {', '.join(table.columns)}. "
            "Write label_column_name = one of them."
        )
    return candidates[0], "by content: few different values"


def prefer_names(
    table: Table,  # the rows
    found: list[str],  # candidates, the best first
    names: list[str],  # all columns that may hold their names
) -> tuple[str, str]:
    "Return the first candidate, or the column that names its numbers one to one, and how it was chosen"
    first = found[0]
    if profile(table.columns[first]).odd > 0.9:
        for other in names:
            seen = profile(table.columns[other])
            if other != first and seen.is_label and seen.odd < 0.5 and is_one_to_one(table, first, other):
                return other, f"it names the numbers of '{first}'"
    return first, "by name"


def is_one_to_one(
    table: Table,  # the rows
    a: str,  # a column
    b: str,  # another
) -> bool:
    "Return whether two columns say the same in other words: each value of one goes with one value of the other"
    pairs = Counter(zip(map(str, table.columns[a]), map(str, table.columns[b])))  # lists cannot be counted
    left, right = {p[0] for p in pairs}, {p[1] for p in pairs}
    return len(pairs) == len(left) == len(right)


def find_named(
    table: Table,  # the rows
    wanted: str,  # the name that the user gave
    key: str,  # the setting, for the message
) -> str:
    "Return the name of a column as the table spells it. Raises `UserError` with the nearest name"
    if wanted in table.columns:
        return wanted
    alike = [n for n in table.columns if simplify(n) == simplify(wanted)]
    if len(alike) == 1:
        return alike[0]
    names = ", ".join(table.columns)
    raise UserError(
        f"{table.source}: {key} = {wanted}: there is no such column.{did_you_mean(wanted, table.columns)} "
        f"Columns: {names}."
    )


def named_columns(
    table: Table,  # the rows
    name: str,  # of a column, or several with commas between them
) -> list[str]:
    "Return the columns that a name stands for"
    return [name] if name in table.columns else [part.strip() for part in name.split(",")]


def get_column(
    table: Table,  # the rows of one split
    column: str,  # its text or its label
    split: str,  # for the message
) -> list:
    "Return the values of a column. Raises `UserError` if it is missing"
    if column not in table.columns:
        raise UserError(
            f"{table.source}: the {split} rows have no column '{column}', which the training rows have. "
            f"Columns: {', '.join(table.columns)}. Rename the one that is meant, or leave the file out."
        )
    return table.columns[column]


def has_labels(
    table: Table,  # validation or test rows
    label_column: str,  # of the training rows
    text_columns: list[str],  # of the training rows
) -> bool:
    "Return whether rows have labels: in the column of the training rows, or in another, which is then refused by name"
    if label_column in table.columns:
        return not all(is_blank(v) for v in table.columns[label_column])
    return any(profile(values).is_label for name, values in table.columns.items() if name not in text_columns)


def get_texts(
    table: Table,  # the rows of one split
    column: str,  # its text or its label
    split: str,  # for the message
) -> list[str | None]:
    "Return the values of a column. Raises `UserError` for a value that is no text or holds half of a character"
    values = get_column(table, column, split)
    for i, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            why = f"expected a text, found {type(value).__name__}. Convert it to one text a row."
        elif value is not None and not value.isascii() and SURROGATE.search(value):
            why = "holds half of a character (a lone surrogate such as \\ud83d). Remove it, or the row."
        else:
            continue
        raise UserError(f"{table.source}, the {split} rows, row {table.number(i)}, column '{column}': {why}")
    return values


def join_texts(
    table: Table,  # the rows of one split
    columns: list[str],  # one, two that are a pair, or more that are joined
    split: str,  # for the message
) -> list[str | None]:
    "Return one text a row. Raises `UserError` for a value that is no text"
    for column in columns:
        get_texts(table, column, split)
    return join_columns(table, columns)


def join_columns(
    table: Table,  # rows
    columns: list[str],  # one, two that are a pair, or more that are joined
) -> list:
    "Return one text a row, whatever a column of one text holds"
    values = [table.columns[column] for column in columns]
    return values[0] if len(values) == 1 else [join_parts(row) for row in zip(*values)]


def join_parts(
    parts: tuple,  # the texts of one row
) -> str:
    "Return two texts as a pair, of which one may be empty; more are joined by line breaks. All blank: an empty text"
    texts = ["" if is_blank(part) else str(part).replace(PAIR, "") for part in parts]
    if len(texts) == 2 and any(texts):
        return PAIR.join(texts)
    return "\n".join(filter(None, texts))


def show_pair(
    text: object,  # a text, or anything else
) -> object:
    "Return a text for a person, a file or a model that takes no pairs: a line break between its two texts"
    return text.strip(PAIR).replace(PAIR, "\n") if isinstance(text, str) else text


def simplify(
    name: str,  # of a column
) -> str:
    "Return a column name without case, surrounding spaces, and signs between its words"
    return re.sub(r"[\s._-]+", "_", str(name).strip().lower())


def tie(
    key: str,  # the setting
    names: list[str],  # columns that would do
    table: Table,  # the rows
    pair: bool = False,  # whether both may be given
) -> UserError:
    "Return the error for two columns that would do"
    both = f", or both: {key} = {', '.join(names)}" if pair else ""
    return UserError(
        f"{table.source}: '{names[0]}' and '{names[1]}' would both do as {key.split('_')[0]}. "
        f"Write {key} = one of them{both}."
    )
