"""JSON as rows, in the forms that people and tools write. What fits no form is refused by name.

Decided once for all forms: a key that an object holds twice, half a character (`\\ud83d` alone) and a row of `null`
are refused, because each has lost something. `NaN` is no value; `Infinity` is kept as the text `inf`, which a CSV of
pandas holds too.
"""

import json
import json.scanner
import math
import re
from collections import Counter
from collections.abc import Callable

from ftkit.errors import UserError
from ftkit.files.rows import EMPTY, Table, to_text

EXCERPT = 40  # characters of the file that a message quotes
LABEL_CHARS = 60  # longer values are no label names
SPLIT_NAME = re.compile(
    r"(^|[\W_])(train(ing)?|val(id)?(ation)?|dev(elopment)?|eval(uation)?|test(ing)?)\d*($|[\W_])", re.I
)
USUAL_NAMES = set(
    "text sentence tweet post review comment message content body utterance question query input id title "
    "label labels sentiment class category target intent topic rating stars".split()
)
LINE_BREAK = re.compile(r"\r\n|\n|\r")
# scripts written without spaces: a text in them is one word
NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]{4}")
WANTED = 'Write a list of objects: [{"text": "...", "label": "..."}, ...].'
LABELS_AS_KEYS = "If the keys are the labels of the texts, each text needs an object of its own."
REMEDY = 'Write it with df.to_json(path, orient="records", lines=True).'


class DuplicateKey(ValueError):
    "An object holds a key twice"


def parse_json(
    text: str,  # of the file
    source: str,  # the file, for messages
    encoding: str,  # as it was found
) -> dict[str, Table] | Table:
    "Read a JSON document or JSON Lines as a table, or a table for each split. Raises `UserError` for any other form"
    text = text.removeprefix("\ufeff")
    refuse_other_formats(text, source)
    try:
        if is_lines(text):
            return parse_lines(text, source, encoding)
        try:
            document = decode(text)
        except json.JSONDecodeError as e:
            if seems_lines(text):
                return parse_lines(text, source, encoding)
            if e.msg == "Extra data":
                return parse_stream(text, source, encoding)
            raise UserError(f"{source}, line {e.lineno}: {explain(e, text)}") from None
        except DuplicateKey as e:
            raise UserError(f"{source}, line {find_duplicate(text)}: {e}") from None
        tables = read_document(document, source)
    except RecursionError:
        raise UserError(f"{source}: is nested too deeply. Each row must be one object of texts and numbers.") from None
    for table in tables.values() if isinstance(tables, dict) else [tables]:
        table.encoding = encoding
    return tables


def parse_jsonl(
    text: str,  # of the file
    source: str,  # the file, for messages
    encoding: str,  # as it was found
) -> Table:
    "Read JSON Lines, or one document under that ending. Raises `UserError` with the line that is broken"
    if is_row(text.removeprefix("\ufeff")):
        return parse_lines(text.removeprefix("\ufeff"), source, encoding)
    tables = parse_json(text, source, encoding)
    if isinstance(tables, dict):
        names = ", ".join(tables)
        raise UserError(f"{source}: holds several splits ({names}), not JSON Lines. Rename the file to .json.")
    return tables


def first_lines(
    text: str,  # of the file
) -> tuple[str, str]:
    "Return the first two lines that are not blank"
    lines = (line.strip() for line in iterate_lines(text))
    return next((x for x in lines if x), ""), next((x for x in lines if x), "")


def is_lines(
    text: str,  # of the file
) -> bool:
    "Return whether the first of several lines is complete: an object or a list"
    first, second = first_lines(text)
    try:
        return second != "" and isinstance(decode(first), dict | list)
    except DuplicateKey:
        return True
    except ValueError:
        return False


def seems_lines(
    text: str,  # of a file that is no JSON document
) -> bool:
    "Return whether the first two lines both start an object, so that the first is a broken line"
    first, second = first_lines(text)
    return first.startswith("{") and first != "{" and second.startswith("{")


def iterate_lines(
    text: str,  # of the file
):
    "Yield the lines of a text one by one"
    start = 0
    for found in LINE_BREAK.finditer(text):
        yield text[start : found.start()]
        start = found.end()
    yield text[start:]


def is_row(
    text: str,  # of a file of JSON Lines
) -> bool:
    "Return whether the only line is one row: an object that is no table by itself"
    first, second = first_lines(text)
    try:
        document = None if second else decode(first)
    except (ValueError, RecursionError):  # said by parse_json
        return False
    if not isinstance(document, dict) or not document:
        return False
    return not any(fits(document) for fits in (is_splits, is_table_schema, is_split_orient, is_columns, is_nested))


def parse_lines(
    text: str,  # of the file
    source: str,  # the file, for messages
    encoding: str,  # as it was found
) -> Table:
    "Read a JSON value from each line that is not blank"
    lines = [(number, line) for number, line in enumerate(iterate_lines(text), 1) if line.strip()]
    values = []
    for number, line in lines:
        try:
            values.append(decode(line))
        except DuplicateKey as e:
            raise UserError(f"{source}, line {number}: {e}") from None
        except json.JSONDecodeError as e:
            is_last = number == lines[-1][0]
            raise UserError(f"{source}, line {number}: {explain_line(e, line, is_last)}") from None
    return finish_lines(values, [number for number, _ in lines], source, encoding, "JSON Lines", text)


def parse_stream(
    text: str,  # of the file
    source: str,  # the file, for messages
    encoding: str,  # as it was found
) -> Table:
    "Read JSON values that follow each other, each over several lines, as jq writes them"
    decoder = make_decoder()
    values, numbers, end, line, counted = [], [], 0, 1, 0
    while start := re.compile(r"\S").search(text, end):
        line, counted = line + len(LINE_BREAK.findall(text, counted, start.start())), start.start()
        try:
            value, end = decoder.raw_decode(text, start.start())
        except json.JSONDecodeError as e:
            raise UserError(f"{source}, line {e.lineno}: {explain(e, text)}") from None
        except DuplicateKey as e:
            raise UserError(f"{source}, in the object from line {line}: {e}") from None
        values.append(value)
        numbers.append(line)
    return finish_lines(values, numbers, source, encoding, "JSON objects one after another", text)


def finish_lines(
    values: list,  # one a line
    numbers: list[int],  # of the lines
    source: str,  # the file, for messages
    encoding: str,  # as it was found
    form: str,  # for `Table.format`
    text: str,  # of the file
) -> Table:
    "Return the values of lines as a table"
    if not values:
        raise UserError(f"{source}: {EMPTY}")
    if all(isinstance(v, list) for v in values):
        table = read_pairs(values, source, "line", numbers)
        table.format = f"{form}, pairs"
    else:
        table = Table(join_records(values, source, "line", numbers), source, form, numbers=numbers)
    table.encoding = encoding
    return table


def make_decoder() -> json.JSONDecoder:
    "Return a decoder that refuses a key written twice, and keeps numbers that Python cannot hold as they were written"
    return json.JSONDecoder(
        object_pairs_hook=join_pairs,
        parse_int=lambda s: int(s) if len(s) < 1000 else s,  # Python refuses more than 4,300 digits
        parse_float=lambda s: s if math.isinf(float(s)) else float(s),
        parse_constant=lambda s: None if s == "NaN" else float(s),
        strict=False,  # a tab in a text is read as one
    )


def decode(
    text: str,  # one JSON value
) -> object:
    "Return the value of a JSON text"
    return DECODER.decode(text)


def join_pairs(
    pairs: list[tuple[str, object]],  # keys and values of an object
) -> dict:
    "Return an object as a dictionary. Raises `DuplicateKey`"
    joined = dict(pairs)
    if len(joined) < len(pairs):
        key = Counter(k for k, _ in pairs).most_common(1)[0][0]
        raise DuplicateKey(f"an object has the key '{shorten(key)}' twice. Delete one, or rename it.")
    return joined


DECODER = make_decoder()


def find_duplicate(
    text: str,  # of a document with a key written twice
) -> int:
    "Return the line of the object that has a key twice. Slow: only for the message"
    decoder = make_decoder()
    parse_object = decoder.parse_object
    starts = []

    def remember(s_and_end, *args):
        try:
            return parse_object(s_and_end, *args)
        except DuplicateKey:
            starts.append(s_and_end[1])  # the innermost object comes first
            raise

    decoder.parse_object = remember
    decoder.scan_once = json.scanner.py_make_scanner(decoder)
    try:
        decoder.decode(text)
    except (DuplicateKey, RecursionError):
        pass
    return len(LINE_BREAK.findall(text, 0, starts[0])) + 1 if starts else 1


def refuse_other_formats(
    text: str,  # of the file
    source: str,  # the file, for messages
):
    "Raise `UserError` for an empty file, a web page and a Git LFS pointer"
    start = text[:200].lstrip()
    if not text.strip():
        raise UserError(f"{source}: {EMPTY}")
    if start.startswith("<"):
        raise UserError(f"{source}: is a web page or XML, not JSON. Download the file itself.")
    if start.startswith("version https://git-lfs"):
        raise UserError(f"{source}: is a Git LFS pointer, not the file itself. Run: git lfs pull")


def explain(
    error: json.JSONDecodeError,  # of a document
    text: str,  # the document
) -> str:
    "Return why a document is not JSON, with an excerpt, and what to do"
    if is_cut(error, text):
        return "the file ends in the middle of a value: it was cut. Download it or write it again."
    return f"not valid JSON ({error.msg}) at {quote(text, error.pos)}. {advise(error, text)}"


def explain_line(
    error: json.JSONDecodeError,  # of a line
    line: str,  # the line
    is_last: bool,  # of the file
) -> str:
    "Return why a line is not JSON, with an excerpt, and what to do"
    start = shorten(line.strip())
    if is_last and is_cut(error, line):
        return f"the last line is cut: {start}. Write the file again, or delete that line."
    if error.msg == "Extra data" and line[error.pos :].strip() == ",":
        return f"ends in a comma: {quote(line, error.pos)}. Delete the commas between the lines."
    if error.msg == "Extra data":
        return f"holds more than one value, from {quote(line, error.pos)}. Each line must be one object."
    return f"not valid JSON ({error.msg}): {start}. Each line must be one object. {advise(error, line)}".rstrip()


def is_cut(
    error: json.JSONDecodeError,  # of the text
    text: str,  # a document, or the last line
) -> bool:
    "Return whether a text ends before its value does"
    rest = text[error.pos :].strip()
    if error.msg.startswith("Unterminated string") or not rest:
        return True
    if error.msg.startswith("Invalid \\u"):
        return len(rest) < 6
    return any(word.startswith(rest) for word in ("true", "false", "null", "NaN", "-Infinity"))


def advise(
    error: json.JSONDecodeError,  # of the text
    text: str,  # of the file or the line
) -> str:
    "Return what to change in a text that is not JSON"
    after, before = text[error.pos : error.pos + 1], text[: error.pos].rstrip()[-1:]
    if after == "'":
        return "JSON needs double quotes: write it with json.dumps."
    if after in "]}" and after and before == "," or "trailing comma" in error.msg:
        return "Delete the comma before the bracket."
    if text.startswith(("True", "False", "None"), error.pos):
        return "JSON spells true, false, null: write it with json.dumps."
    return "Keys and texts need double quotes, quotes inside a text a backslash."


def quote(
    text: str,  # of the file
    position: int,  # of the fault
) -> str:
    "Return the part of a text around a position"
    return shorten(text[max(0, position - EXCERPT // 2) :].strip())


def shorten(
    value: object,  # of the file
) -> str:
    "Return the start of a value as one line"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text[: EXCERPT + 1].split())
    return text if len(text) <= EXCERPT else text[:EXCERPT] + "…"


# --- documents ---


def read_document(
    document: object,  # as it was decoded
    source: str,  # the file, for messages
) -> dict[str, Table] | Table:
    "Return the rows of a document in any of the forms"
    if isinstance(document, list):
        return read_list(document, source)
    if not isinstance(document, dict):
        raise UserError(f"{source}: holds one value ({shorten(document)}), not rows. {WANTED}")
    if not document:
        raise UserError(f"{source}: there are no rows: the object is empty. {WANTED}")
    if is_splits(document):
        return read_splits(document, source)
    inner = [v for v in document.values() if isinstance(v, dict)]
    if len(inner) == 1 and is_splits(inner[0]) and not any(is_list(v) for v in document.values()):
        return read_splits(inner[0], source)
    return read_dictionary(document, source)


def is_splits(
    document: dict,  # the document
) -> bool:
    "Return whether a key names a split and holds rows; with lists of texts alone, whether every key does"
    if all(isinstance(v, dict) and all(map(is_number, v)) for v in document.values()):
        return False  # columns, one of which is named val or test
    named = [k for k, v in document.items() if SPLIT_NAME.search(k) and isinstance(v, dict | list)]
    if any(isinstance(document[k], dict) or is_list_of(document[k], dict | list) for k in named):
        return True
    return len(named) == len(document)


def read_splits(
    document: dict,  # split -> rows in any of the forms
    source: str,  # the file, for messages
) -> dict[str, Table]:
    "Read each split. Keys that hold no rows are noted"
    parts = {
        k: v
        for k, v in document.items()
        if is_list_of(v, dict | list) or v and isinstance(v, dict | list) and SPLIT_NAME.search(k)
    }
    left_out = [k for k in document if k not in parts]
    if not parts:
        raise UserError(f"{source}: there are no rows in {name_some(left_out)}. {WANTED}")
    pairs = [p for v in parts.values() if is_list_of(v, list) for p in v if len(p) == 2]
    order = find_label(pairs) if pairs else None  # by all splits: a small one does not tell
    plain = [v for v in parts.values() if isinstance(v, dict) and all(isinstance(x, str) for x in v.values())]
    are_mappings = is_mapping({text: label for part in plain for text, label in part.items()})
    tables = {}
    for name, part in parts.items():
        place = f"{source}, '{name}'"
        if isinstance(part, list):
            tables[name] = read_list(part, place, order)
        elif are_mappings and part in plain:
            tables[name] = read_mapping(part, place)
        else:
            tables[name] = read_dictionary(part, place)
        if left_out:
            tables[name].notes.append(f"{name_some(left_out)} left out: no rows")
    return tables


def read_list(
    rows: list,  # of the document
    source: str,  # the file, for messages
    order: int | None = None,  # the place of the label in pairs, if it is known
) -> Table:
    "Read a list of objects or pairs"
    if not rows:
        raise UserError(f"{source}: there are no rows: the list is empty. {WANTED}")
    if all(isinstance(r, list) for r in rows):
        return read_pairs(rows, source, "row", None, order)
    if all(isinstance(r, str) for r in rows):
        raise UserError(f"{source}: is a list of texts without labels. {WANTED}")
    return Table(join_records(rows, source, "row"), source, "JSON list of objects")


def join_records(
    rows: list,  # objects
    source: str,  # the file, for messages
    unit: str,  # row or line
    numbers: list[int] | None = None,  # of the rows; default: from 1
) -> dict[str, list]:
    "Return objects as columns. Raises `UserError` for the first row that is no object"
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            number = numbers[i] if numbers else i + 1
            raise UserError(
                f"{source}, {unit} {number}: expected an object such as "
                f'{{"text": "...", "label": "..."}}, found {shorten(row)}. Write one, or delete the {unit}.'
            )
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        raise UserError(f"{source}: the objects are empty. {WANTED}")
    return {name: [to_text(row.get(name)) for row in rows] for name in names}


def read_pairs(
    rows: list[list],  # a text and a label each
    source: str,  # the file, for messages
    unit: str,  # row or line
    numbers: list[int] | None = None,  # of the rows; default: from 1
    order: int | None = None,  # the place of the label, if it is known
) -> Table:
    "Read pairs of text and label, in this order or the other. Raises `UserError` if it is unclear which is which"
    for i, row in enumerate(rows):
        if len(row) != 2 or any(isinstance(v, dict | list) for v in row):
            number = numbers[i] if numbers else i + 1
            raise UserError(
                f"{source}, {unit} {number}: {shorten(row)} is not a pair of text and label. "
                f'Lists have no column names: write objects such as {{"text": "...", "label": "..."}}. {REMEDY}'
            )
    notes, numbers = [], list(numbers or range(1, len(rows) + 1))
    if len(rows) > 1 and is_header(rows):
        notes.append(f"the first pair, {shorten(rows[0])}, was read as column names")
        rows, numbers = rows[1:], numbers[1:]
    label = find_label(rows) if order is None else order
    if label is None:
        raise UserError(
            f"{source}: it is unclear which of the two values in {shorten(rows[0])} is the label, because neither "
            f'has few values that come again. Write objects such as {{"text": "...", "label": "..."}}.'
        )
    columns = {"text": [to_text(r[1 - label]) for r in rows], "label": [to_text(r[label]) for r in rows]}
    form = "JSON list of pairs" if label == 1 else "JSON list of pairs, label first"
    return Table(columns, source, form, numbers=numbers, notes=notes)


def is_header(
    rows: list,  # pairs
) -> bool:
    "Return whether the first pair holds two usual column names, and nothing that comes again"
    header = {str(v).strip().lower() for v in rows[0]}
    return header <= USUAL_NAMES and not any(v in rows[0] for row in rows[1:] for v in row)


def find_label(
    rows: list,  # pairs
) -> int | None:
    "Return the place of the label in pairs, 0 or 1: the few values that come again. None if that is neither or both"
    n, values = len(rows), [[to_text(r[i]) for r in rows] for i in (0, 1)]
    distinct = [len(set(map(str, v))) for v in values]
    chars = [max((len(str(v)) for v in column), default=0) for column in values]
    for i in (0, 1):
        comes_again = distinct[i] < n and distinct[i] <= max(2, n / 2)
        other_varies = distinct[1 - i] == n or distinct[1 - i] >= 3 * distinct[i]
        if comes_again and other_varies and chars[i] <= LABEL_CHARS:
            return i
    return None


def read_dictionary(
    document: dict,  # an object that is no row
    source: str,  # the file, for messages
) -> Table:
    "Read the forms of pandas, a wrapper around rows, or texts with labels. Raises `UserError` for any other object"
    for recognises, read in FORMS:
        if recognises(document):
            return read(document, source)
    raise UserError(f"{source}: {describe(document)} {WANTED}")


def describe(
    document: dict,  # that has no known form
) -> str:
    "Return what an object holds, and why it is not read"
    lists = [k for k, v in document.items() if is_list_of(v, dict)]
    keys = name_some(list(document))
    if len(lists) > 1:
        return f"holds several lists of objects ({name_some(lists)}). Save one, or name them train, val and test."
    scalar_lists = {k: len(v) for k, v in document.items() if isinstance(v, list)}
    if len(scalar_lists) == len(document):
        lengths = ", ".join(f"'{shorten(k)}' {n}" for k, n in list(scalar_lists.items())[:5])
        return f"the lists differ in length ({lengths}), so they are no columns. {LABELS_AS_KEYS}"
    if all(isinstance(v, dict) for v in document.values()):
        return f"it is unclear whether {keys} are rows or columns. {REMEDY}"
    if not any(isinstance(v, dict | list) for v in document.values()):
        return f"is one object ({keys}), neither rows nor texts with labels that come again."
    return f"is one object ({keys}), and no list of rows was found in it."


# The forms of an object. `document` is the object, `source` the file for messages.


def is_table_schema(document: dict) -> bool:
    'Return whether an object is what pandas writes with orient="table"'
    return {"schema", "data"} <= set(document) and isinstance(document["schema"], dict) and is_list(document["data"])


def read_table_schema(document: dict, source: str) -> Table:
    "Read a table schema with its rows, without the nameless index of pandas"
    rows = document["data"]
    if not rows:
        raise UserError(f"{source}: there are no rows under 'data'. {WANTED}")
    columns = join_records(rows, source, "row")
    key = document["schema"].get("primaryKey") or []
    for name in [key] if isinstance(key, str) else key:
        if re.fullmatch(r"index|level_\d+", str(name)):
            columns.pop(name, None)
    return Table(columns, source, "JSON of pandas, orient=table")


def is_split_orient(document: dict) -> bool:
    'Return whether an object is what pandas writes with orient="split"'
    known = {"columns", "data"} <= set(document) <= {"columns", "data", "index", "name", "index_names", "column_names"}
    return known and is_list(document["columns"]) and is_list(document["data"])


def read_split_orient(document: dict, source: str) -> Table:
    "Read column names and rows of values. Raises `UserError` for a row of another length"
    names, rows = document["columns"], document["data"]
    if not all(isinstance(n, str | int | float) for n in names):
        raise UserError(
            f"{source}: the column names have several levels ({shorten(names)}). Flatten them: one text each."
        )
    names = [str(n) for n in names]
    twice = [n for n, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{source}: two columns are named '{twice[0]}'. Rename one.")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(names):
            raise UserError(
                f"{source}, row {number}: {shorten(row)} does not fit the {len(names)} columns ({name_some(names)}). "
                "Give each row a value for each column."
            )
    if not rows:
        raise UserError(f"{source}: there are no rows under 'data'. {WANTED}")
    columns = {name: [to_text(row[i]) for row in rows] for i, name in enumerate(names)}
    return Table(columns, source, "JSON of pandas, orient=split")


def is_columns(document: dict) -> bool:
    "Return whether an object holds lists of one length, at least one of them of texts or numbers"
    lists = list(document.values())
    if not all(is_list(v) and v for v in lists) or len({len(v) for v in lists}) > 1:
        return False
    return any(not isinstance(v, dict | list) for column in lists for v in column)


def read_columns(document: dict, source: str) -> Table:
    "Read a dictionary of lists"
    columns = {name: [to_text(v) for v in values] for name, values in document.items()}
    return Table(columns, source, "JSON dictionary of lists")


def is_nested(document: dict) -> bool:
    "Return whether an object holds objects of values: rows by number, or columns by row"
    inner = list(document.values())
    if not all(isinstance(v, dict) and v for v in inner) or all(is_list(x) for v in inner for x in v.values()):
        return False
    return find_orient(document) is not None


def find_orient(document: dict) -> str | None:
    "Return columns or index: the side with numbers as keys holds the rows, else the one without a usual column name"
    outer, inner = list(document), list(dict.fromkeys(k for v in document.values() for k in v))
    if all(map(is_number, outer)) != all(map(is_number, inner)):
        return "index" if all(map(is_number, outer)) else "columns"
    are_columns = [any(name.strip().lower() in USUAL_NAMES for name in names) for names in (outer, inner)]
    is_regular = len(outer) > 1 and all(list(v) == inner for v in document.values())
    if is_regular and are_columns[0] != are_columns[1]:
        return "columns" if are_columns[0] else "index"
    return None


def read_nested(document: dict, source: str) -> Table:
    "Read the rows of pandas' orient columns or index"
    orient = find_orient(document)
    if orient == "index":
        columns = join_records(list(document.values()), source, "row")
    else:
        rows = list(dict.fromkeys(row for values in document.values() for row in values))
        columns = {name: [to_text(values.get(row)) for row in rows] for name, values in document.items()}
    return Table(columns, source, f"JSON of pandas, orient={orient}")


def is_wrapper(document: dict) -> bool:
    "Return whether exactly one value holds rows: a list of objects, or a list of pairs among plain values"
    return find_rows(document) is not None


def find_rows(document: dict) -> str | None:
    "Return the key that holds the rows of a wrapper, or None"
    objects = [k for k, v in document.items() if is_list_of(v, dict)]
    if objects:
        return objects[0] if len(objects) == 1 else None
    pairs = [k for k, v in document.items() if is_list_of(v, list) and all(len(p) == 2 for p in v)]
    nested = [k for k, v in document.items() if isinstance(v, dict) and any(is_list(x) for x in v.values())]
    plain = [k for k, v in document.items() if not isinstance(v, dict | list)]
    found = pairs + nested
    return found[0] if len(found) == 1 and len(plain) == len(document) - 1 else None


def read_wrapper(document: dict, source: str) -> Table:
    "Read the rows under one key of an object, and note which"
    key = find_rows(document)
    rest = [k for k in document if k != key]
    inner = document[key]
    table = read_list(inner, source) if isinstance(inner, list) else read_dictionary(inner, source)
    table.notes.append(f"the rows are those under '{key}'" + (f"; {name_some(rest)} left out" if rest else ""))
    return table


def is_mapping(document: dict) -> bool:
    "Return whether an object maps texts to labels: its values are short texts that come again, its keys several words"
    values = list(document.values())
    if not all(isinstance(v, str) and 0 < len(v) <= LABEL_CHARS for v in values):
        return False
    several_words = sum(len(k.split()) > 1 or bool(NO_SPACES.search(k)) for k in document)
    return len(values) >= 3 and len(set(values)) <= max(2, len(values) / 2) and several_words >= len(values) / 2


def read_mapping(document: dict, source: str) -> Table:
    "Read texts with their labels"
    columns = {"text": list(document), "label": list(document.values())}
    return Table(columns, source, "JSON dictionary of texts and labels")


def is_number(name: str) -> bool:
    "Return whether a key is the number of a row"
    return re.fullmatch(r"-?\d+", name) is not None


def is_list(value: object) -> bool:
    "Return whether a value is a list"
    return isinstance(value, list)


def is_list_of(
    value: object,  # of an object
    kind: type,  # or a union of types
) -> bool:
    "Return whether a value is a list with elements, all of one kind"
    return isinstance(value, list) and len(value) > 0 and all(isinstance(v, kind) for v in value)


def name_some(
    names: list,  # keys
) -> str:
    "Return the first names as a phrase"
    shown = ", ".join(f"'{shorten(n)}'" for n in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# the order matters: a form is tried if none above it fits
FORMS: list[tuple[Callable, Callable]] = [
    (is_table_schema, read_table_schema),
    (is_split_orient, read_split_orient),
    (is_columns, read_columns),
    (is_nested, read_nested),
    (is_wrapper, read_wrapper),
    (is_mapping, read_mapping),
]
