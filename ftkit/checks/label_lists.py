"Several labels a row: lists, names with a delimiter, one column of 0 and 1 for each label. No label is an answer too."

import json

from ftkit.checks.columns import (
    LABEL_NAMES,
    SURROGATE,
    choose_label,
    choose_text,
    find_named,
    get_column,
    named_columns,
    simplify,
)
from ftkit.checks.texts import is_blank
from ftkit.errors import UserError
from ftkit.files.annotations import (
    DELIMITERS,
    EMPTY_LISTS,
    SEPARATORS,
    find_indicator_columns,
    find_several_labels,
    unlist,
)
from ftkit.files.rows import Table

TRUE, FALSE = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no", ""}


def choose_several(
    table: Table,  # the training rows
    text_column_name: str | None = None,  # as given
    label_column_name: str | None = None,  # as given; several names with commas: columns of 0 and 1
) -> tuple[list[str], str, str]:
    "Return the text columns, the label columns with commas between them, and how they were chosen"
    columns = named_columns(table, label_column_name) if label_column_name else find_indicator_columns(table)
    if len(columns) < 2:
        found = None if label_column_name else find_lists(table, text_column_name)
        label = label_column_name or found
        texts, how = choose_text(table, text_column_name, (label,) if label else ())
        label, label_how = choose_label(table, label, tuple(texts))
        label_how = "by content: lists" if found else label_how
        return texts, label, f"text = '{', '.join(texts)}' ({how}), label = '{label}' ({label_how})"
    columns = [find_named(table, name, "label_column_name") for name in columns]
    texts, how = choose_text(table, text_column_name, tuple(columns))
    shown = f"text = '{', '.join(texts)}' ({how}), labels = {len(columns)} columns of 0 and 1"
    return texts, ", ".join(columns), shown + note_blanks(table, columns)


def note_blanks(
    table: Table,  # the training rows
    columns: list[str],  # of 0 and 1
) -> str:
    "Return the end of a line that names columns with blank cells in rows that are not blank in all of them"
    blank = {name: [is_blank(cell) for cell in table.columns[name]] for name in columns}
    empty = [all(row) for row in zip(*blank.values())]
    counts = {name: sum(b and not e for b, e in zip(cells, empty)) for name, cells in blank.items()}
    named = [f"'{name}' ({count:,})" for name, count in counts.items() if count]
    return f"; blank cells were read as 0: {', '.join(named[:5])}{' …' if len(named) > 5 else ''}" if named else ""


def read_several(
    table: Table,  # the rows of one split
    column: str,  # the label, or the columns of 0 and 1 with commas between them
    split: str,  # for messages
    reading: dict,  # what the training rows, which are the first to be read, decide: the delimiter
) -> list[list[str] | None]:
    "Return the labels of each row, None if it is blank. Raises `UserError` for a cell that holds anything but labels"
    columns = named_columns(table, column)
    if len(columns) > 1:
        return read_indicators(table, columns, split)
    values = get_column(table, column, split)
    check_names(table, column)
    if "delimiter" not in reading:
        reading["delimiter"] = find_delimiter(values)
    sign = reading["delimiter"]
    return read_lists(values, find_delimiter(values) if sign is None else sign)


def have_several(
    table: Table,  # the rows of one split
    column: str,  # as in `read_several`
) -> bool | None:
    "Return whether columns of 0 and 1 hold anything; None if the labels stand in one column"
    columns = named_columns(table, column)
    if len(columns) > 1 and set(columns) <= set(table.columns):
        return not all(is_blank(flag) for name in columns for flag in table.columns[name])
    return None


def find_lists(table, text_column_name: str | None) -> str | None:
    "Return the column whose cells are lists, if there is one; of several, the one with a usual name"
    found = [n for n, values in table.columns.items() if n != text_column_name and has_lists(values)]
    found = [n for n in found if simplify(n) in LABEL_NAMES] or found
    return found[0] if len(found) == 1 else None


def has_lists(values: list) -> bool:
    "Return whether the cells of a column are lists, or lists as text, and not all of them empty"
    some = [v for v in values if not is_blank(v)] if isinstance(values, list) else []
    return all(isinstance(v, list | tuple) or is_list_text(v) for v in some[:200]) and not all(map(is_empty, some))


def is_list_text(value: object) -> bool:
    "Return whether a cell is a list as text"
    return isinstance(value, str) and (value.strip() in EMPTY_LISTS or value.strip()[:1] + value.strip()[-1:] == "[]")


def check_names(table, column: str) -> None:
    "Raise `UserError` for a cell that holds anything but names, or half of a character"
    for i, names in enumerate(unlist(list(table.columns[column]))):
        for name in names if isinstance(names, list) else [names]:
            if name is None or isinstance(name, str) and (name.isascii() or not SURROGATE.search(name)):
                continue
            shown = ascii(table.columns[column][i])[:60]
            raise UserError(
                f"{table.source}, row {table.number(i)}, column '{column}': {shown} is no list of names. "
                'Write names of labels, such as ["anger", "joy"].'
            )


def find_delimiter(values: list) -> str | None:
    """Return what separates the labels of a column: a semicolon or a bar always, another sign if it does.

    Empty if its labels stand alone; None if its cells are lists, which do not say how others are to be split
    """
    texts = [x for value, x in zip(values, unlist(list(values))) if not is_list(value, x) and not is_blank(x)]
    if not texts or any(isinstance(v, list | tuple) for v in values):
        return None
    for sign in SEPARATORS:
        if any(sign in text.strip(sign + " ") for text in texts):
            return sign
    found = find_several_labels(texts)
    if found and found[0] in DELIMITERS:  # never "food and cooking" at its words
        return found[0]
    rows = [[part.strip() for part in text.split(",")] for text in texts]
    numbers, alone = {part for row in rows for part in row}, {row[0] for row in rows if len(row) == 1}
    known = any(len(row) > 1 and alone.issuperset(row) for row in rows)
    several = known or max(map(len, rows)) > 1 and len(numbers) <= len(texts) / 2
    return "," if several and all(map(str.isdigit, numbers)) else ""


def read_lists(values: list, delimiter: str | None) -> list[list[str] | None]:
    "Return the labels of each row: a list, or names with a delimiter. An empty list is no label, a blank is unknown"
    rows = []
    for value, found in zip(values, unlist(list(values))):
        names = found if isinstance(found, list) else [found] if is_list(value, found) else split(found, delimiter)
        names = [name.strip() for name in names if not is_blank(name)]
        rows.append(names if names or is_empty(value) else None)
    return rows


def is_empty(value: object) -> bool:
    "Return whether a cell is an empty list"
    return value.strip() in EMPTY_LISTS if isinstance(value, str) else hasattr(value, "__len__") and len(value) == 0


def is_list(value: object, found: object) -> bool:
    "Return whether a cell is a list, or a list as text, from which `unlist` has made what is found"
    return not isinstance(value, str) or found != value


def split(text: str, delimiter: str | None) -> list[str]:
    "Return the parts of a text"
    sign = delimiter if delimiter in SEPARATORS else next((s for s in SEPARATORS if s in text), delimiter)
    return text.split(sign) if sign else [text]


def read_indicators(table, columns: list[str], split: str) -> list[list[str] | None]:
    "Return the names of the columns that hold 1, None if all are blank. Raises `UserError` for another value"
    values = {name: get_column(table, name, split) for name in columns}
    for name, cells in values.items():
        for i, cell in enumerate(cells):
            if to_flag(cell) not in TRUE | FALSE:
                raise UserError(
                    f"{table.source}, row {table.number(i)}, column '{name}': {str(cell)[:40]!r} is neither 0 nor 1. "
                    "Correct it, or name the columns of the labels: label_column_name = a, b."
                )
    blank = [all(is_blank(cells[i]) for cells in values.values()) for i in range(len(table))]
    flags = [[name for name in columns if to_flag(values[name][i]) in TRUE] for i in range(len(table))]
    return [None if nothing else names for nothing, names in zip(blank, flags)]


def to_flag(cell: object) -> str:
    "Return a cell in lower case; a missing one is empty"
    return "" if is_blank(cell) else str(cell).strip().lower()


def to_json(names) -> str:
    "Return labels as a JSON list in the order of the alphabet, each once"
    return json.dumps(sorted(set(names)), ensure_ascii=False)


def count_labels(rows: list[str]) -> dict[str, int]:
    "Return label -> rows that have it, from JSON lists"
    counts = {}
    for row in rows:
        for name in json.loads(row):
            counts[name] = counts.get(name, 0) + 1
    return counts
