"""Names of columns, and what is taken for them: an example, a title, a second header, a comment or a total.

The same rules serve every reader of tables. A row that is learned as a name is lost, and a name that is learned as a
row is a class of its own.
"""

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from ftkit.errors import UserError
from ftkit.files.rows import Table

NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)?|\.\d+)([eE][+-]?\d+)?%?")
INVISIBLE = dict.fromkeys(
    map(ord, "\u200b\u2060\ufeff\xad")
)  # anywhere in a name; joiners are letters of some scripts
MISSING = {"", "-", "?", "na", "n/a", "nan", "null", "none"}
CHUNK = 10_000  # rows that are held as lists at a time
TOP = 30  # lines that may stand above a table
READ_WITH_HEADER = ("CSV", "TSV", "Excel", "SQL")  # whose reader looks at the header, or whose names are certain
TYPE = re.compile(  # what stands below the names of some exports
    r"[(\[<]?\s*(str|string|text|txt|n?var(char2?|iable)|char|character|u?int\d*|integer|long|float\d*|double|decimal|"
    r"num|number|numeric|bool|boolean|date|datetime|timestamp|categor(y|ical)|nominal|ordinal|enum|class|object|factor|"
    r"label|meta|target|feature|units?|continuous|discrete|none|n/a)\s*(\(\d+\))?\s*[)\]>]?",
    re.IGNORECASE,
)
SURVEY_ID = '{"ImportId"'  # the third line of Qualtrics' exports
COMMENT = re.compile(r"#[\s#]|//\s")  # #MeToo is a text
TURN = re.compile(r"#{2,}[ \t]*\w[\w ]{0,30}:")  # ### Human: and ### Assistant: in one text
FORMS = (  # what the values of a column may look like without being texts
    re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?"),  # dates
    re.compile(r"[^\s@]+@[^\s@]+\.\w+"),  # addresses
    re.compile(r"https?://\S+"),
)
TOTAL = re.compile(
    r"\W*((grand |sub)?total|sum(me)?|gesamt|count|source|quelle|generated|exported|created|printed|page|end of|eof|"
    r"\d+ (rows|records|lines)|\(?c\)|©)\b",
    re.IGNORECASE,
)
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


def refuse_row_as_names(
    source: str,
    names: list[str],
    values: list[list[str]],
) -> None:
    "Raise `UserError` if a program took an example for the names: every one of them looks like the values below it"
    if is_certain_header(names, values) or not all(map(is_like_values, names, values)):
        return
    comes_again = any(name in column or NUMBER.fullmatch(name) for name, column in zip(names, values))
    if comes_again and (sign := find_sign_of_row(names, values)):
        wanted = ", ".join(f'"{name}"' for name in suggest_names(values).split(", "))
        raise UserError(
            f"{source}: the column names look like a row ({sign}), as if a file without a header had been converted. "
            f"Write it again with names, in pandas: pd.read_csv(path, header=None, names=[{wanted}])."
        )


def is_like_values(
    name: str,
    column: list[str],
) -> bool:
    "Return whether a name may be one more value of its column: it comes again, or has as many words, or is a number"
    if any(map(str.isdigit, name)) and all(write_shape(v) == write_shape(name) for v in column[:100] if v):  # r0, r1
        return True
    name = re.sub(r"\.\d+$", "", name)  # pandas numbers names that come twice
    if name in column or NUMBER.fullmatch(name) and is_numeric(column, 0.9) or re.match(r"Unnamed: \d", name):
        return True
    usual = statistics.median([len(v.split()) for v in column[:1000] if v.strip()] or [0])
    return len(name.split()) >= max(3, usual / 2)


def is_certain_header(
    names: list[str],
    values: list[list[str]],
) -> bool:
    "Return whether a name is usual, or a word above numbers, dates or addresses, or all are 0, 1, 2 above a text"
    for name, column in zip(names, values):
        if is_usual_name(name) and name not in column:
            return True
        if name.casefold() not in MISSING and not NUMBER.fullmatch(name) and is_numeric(column, 1.0):
            return True
        if any(has_form(column, form) and not form.fullmatch(name) for form in FORMS):
            return True
    counted = names == [str(i) for i in range(len(names))]
    return counted and not all(is_numeric(column, 0.5) for column in values)


def has_form(
    column: list[str],
    form: re.Pattern,
) -> bool:
    "Return whether all values of a column that are not empty have a form, such as a date"
    filled = [v for v in islice(column, 1000) if v.strip().casefold() not in MISSING]
    return bool(filled) and all(form.fullmatch(v.strip()) for v in filled)


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


def write_shape(
    value: str,
) -> str:
    "Return a value with 0 for its numbers and a for its words"
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", value))


def find_repeated_headers(
    names: list[str],
    values: list[list[str]],
) -> set[int]:
    "Return the rows that hold the names of all columns: tables that were joined with their headers"
    first = min(range(len(names)), key=lambda i: values[i].count(names[i]), default=0)
    found = [row for row, value in enumerate(values[first]) if value == names[first]] if names else []
    return {row for row in found if len(names) > 1 and all(column[row] == n for column, n in zip(values, names))}


def note_repeated(
    rows: set[int],  # that repeat the header, from 0
    numbers: Sequence[int],  # of all rows
) -> str:
    "Return the note on rows that repeat the header"
    plural = f"{len(rows)} repeated header rows" if len(rows) > 1 else "1 repeated header row"
    return f"{plural} left out, the first is row {numbers[min(rows)]}"


def refuse_title(
    source: str,
    names: list[str],
    values: list[list[str]],
    numbers: Sequence[int],  # of the rows
    first: int | None = None,  # the number of the header; None: a program wrote the names
    unit: str = "line",  # what is numbered
) -> None:
    "Raise `UserError` if one of the first rows holds the names, below a title with as many fields"
    if any(is_usual_name(n) for n in names) or (len(names) == 1 and (first is None or len(names[0].split()) < 2)):
        return
    for row, number in enumerate(numbers[:TOP]):
        fields = [column[row] for column in values]
        filled = [f for f in fields if f.strip()]
        if sum(is_usual_name(f) for f in filled) >= min(2, len(names)) and all(is_name(f) for f in filled):
            shown = ", ".join(filled[:5])
            if first is None:
                raise UserError(
                    f"{source}, {unit} {number}: holds the names ({shown}), but a title ({names[0][:40]}) was read in "
                    "their place. Delete what stands above the names, and write the file again."
                )
            above = f"{unit} {first}" if number == first + 1 else f"the {unit}s {first} to {number - 1}"
            raise UserError(
                f"{source}, {unit} {number}: holds the names ({shown}) below other {unit}s. Delete {above} above it."
            )


def refuse_foreign_rows(
    table: Table,  # as a reader returns it
) -> None:
    "Raise `UserError` if names are an example or a title, or if a row is a second header, a comment or a total"
    if not len(table):
        return
    columns = {name: [v if isinstance(v, str) else "" for v in values] for name, values in table.columns.items()}
    names, values = list(columns), list(columns.values())
    unit = "line" if table.format in ("CSV", "TSV", "JSON Lines") else "row"
    if table.format not in READ_WITH_HEADER:
        refuse_title(table.source, names, values, [table.number(i) for i in range(min(TOP, len(table)))], None, unit)
        refuse_row_as_names(table.source, names, values)
    refuse_second_header(table, values, unit)
    refuse_asides(table, values, unit)


def refuse_second_header(
    table: Table,
    values: list[list[str]],  # of its columns
    unit: str,  # line or row
) -> None:
    "Raise `UserError` if the first row holds types, units or usual names that come once, or the ids of a survey"
    for row in range(min(3, len(table))):
        if any(column[row].lstrip().startswith(SURVEY_ID) for column in values):
            last = table.number(row)
            lines = f"the {unit}s {table.number(0)} to {last}" if row else f"{unit} {last}"
            raise UserError(
                f"{table.source}, {unit} {last}: holds the ids of a survey (Qualtrics), not an answer. Delete {lines}."
            )
    fields = [column[0].strip() for column in values]
    filled = [(f, column) for f, column in zip(fields, values) if f]
    if len(table) < 4 or len(filled) < 2 or any(f in map(str.strip, column[1:]) for f, column in filled):
        return
    shown = ", ".join(f for f, _ in filled[:5])
    for what, is_word in (("types or units", TYPE.fullmatch), ("names", is_usual_name)):
        if all(is_word(f) for f, _ in filled):
            raise UserError(
                f"{table.source}, {unit} {table.number(0)}: looks like a second header: it holds {what} ({shown}), "
                "which no other row has. Delete it."
            )


def is_comment(
    value: object,  # the first of a row
) -> bool:
    "Return whether a row begins like a comment, and is neither marked turns nor a text of several lines"
    if not isinstance(value, str) or value[:1] not in ("#", "/") or not COMMENT.match(value):
        return False
    return "\n" not in value.strip() and len(TURN.findall(value)) < 2


def refuse_asides(
    table: Table,
    values: list[list[str]],  # of its columns
    unit: str,  # line or row
) -> None:
    "Raise `UserError` for a comment among the rows, or a total or source in the last one, with a label of its own"
    first, last = values[0], len(table) - 1
    found = [i for i, v in enumerate(first) if is_comment(v)]
    if 2 * len(found) > len(table):  # a comment stands among rows; here the texts begin so
        found = []
    if TOTAL.match(first[last]) and len(first[last].split()) <= 8:
        found.append(last)
    if not found or len(found) > max(3, len(table) / 50):
        return
    counts = [Counter(map(str.strip, column)) for column in values]
    for row in found:
        for column, seen in zip(values, counts):
            if (value := column[row].strip()) and seen[value] == 1 and 1 < len(seen) <= max(3, len(table) / 2):
                shown = ", ".join(f"'{c[row].strip()[:40]}'" for c in values if c[row].strip())
                raise UserError(
                    f"{table.source}, {unit} {table.number(row)}: looks like a comment or a total, not a row "
                    f"({shown}): no other row has '{value[:40]}'. Delete it."
                )
