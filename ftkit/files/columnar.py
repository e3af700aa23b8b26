"""Typed sources as text: Parquet, Arrow, Excel, databases, and objects of Python such as a DataFrame or a Dataset.

Values are spelled as a CSV of pandas spells them, so that the same rows are the same labels in every form. Names of
classes and their order come from the source if it has them: from a `ClassLabel`, a `Categorical` or an `Enum`.
"""

import json
import re
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from pathlib import Path

from ftkit.errors import UserError, did_you_mean, redact
from ftkit.files.headers import (
    clean_name,
    find_repeated_headers,
    is_usual_name,
    note_repeated,
    refuse_missing_header,
    refuse_title,
)
from ftkit.files.json_rows import SPLIT_NAME, find_label, name_some
from ftkit.files.rows import ReadOptions, Table, to_text

MAX_ROWS = 20_000_000  # of a stream: more is endless, or needs Parquet
# https://support.microsoft.com/en-us/office/excel-specifications-and-limits
HIDDEN = re.compile(rb"<(\w+:)?(row|col) [^>]{0,250}hidden=\"(1|true)\"")  # a row or a column of a sheet
EXCEL_CHARS, EXCEL_ROWS = 32_767, 1_048_576
# https://arrow.apache.org/docs/format/Columnar.html, "IPC Streaming Format"
END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
WANTED = (
    "Give a DataFrame, a Dataset, a pyarrow Table, a list of dictionaries, a list of (text, label) pairs, "
    "or a dictionary of lists."
)
NO_TEXT = object()  # a value that no text can spell


# --- values ---


def to_plain(
    value: object,  # of a typed source
) -> object:
    "Return a value as text, a list, a dictionary or None; `NO_TEXT` if it is none of these, such as an image"
    if value is None or isinstance(value, str | bool | int | float | Decimal | date | time):
        return str.__str__(value) if isinstance(value, str) else to_text(value)  # no subclass, such as an Enum
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return NO_TEXT
    if isinstance(value, dict):
        return value
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if hasattr(value, "tolist"):  # an array or a scalar of numpy, a tensor
        plain = value.tolist()
        return plain if isinstance(plain, list) else to_text(value if is_numpy(value) else plain)
    kind = f"{type(value).__module__.split('.')[0]}.{type(value).__name__}"
    if kind in ("pandas.NAType", "pandas.NaTType"):
        return None
    if kind in ("pandas.Timedelta", "pandas.Period", "pandas.Interval", "datetime.timedelta", "uuid.UUID"):
        return str(value)
    return NO_TEXT


def is_numpy(
    value: object,  # a scalar
) -> bool:
    "Return whether a scalar is numpy's own: its text is short, as 0.1 is for a float of 32 bits"
    return type(value).__module__ == "numpy"


def finish(
    columns: dict[str, list],  # with values as `to_plain` returns them
    table: Table,  # to hold them
) -> Table:
    "Return the table with the columns that are text; the others are noted"
    for name, values in columns.items():
        if any(v is NO_TEXT for v in values):
            table.notes.append(f"column '{name}' left out: it holds no text")
        else:
            table.columns[name] = values
    if columns and not table.columns:
        raise UserError(f"{table.source}: no column holds text ({name_some(list(columns))}). Convert one to text.")
    return table


def check_names(
    names: list,  # of the columns
    source: str,  # for messages
) -> list[str]:
    "Return column names as text. Raises `UserError` if two are the same, or if they have several levels"
    if any(isinstance(n, tuple) for n in names):
        raise UserError(f"{source}: the column names have several levels ({names[0]}). Flatten them: one text each.")
    texts = [str(n) for n in names]
    twice = [n for n, count in Counter(texts).items() if count > 1]
    if twice:
        raise UserError(f"{source}: two columns are named '{twice[0]}'. Rename one.")
    return texts


# --- Parquet and Arrow ---


def read_parquet(
    path: str | Path,  # of the file
    options: ReadOptions = ReadOptions(),
) -> Table:
    "Read a Parquet file. Raises `UserError` if it is damaged"
    import pyarrow
    import pyarrow.parquet

    try:
        return from_arrow(pyarrow.parquet.ParquetFile(path).read(), str(path), "Parquet")
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as e:
        raise explain(e, path, "Parquet", "df.to_parquet") from None


def read_arrow(
    path: str | Path,  # of the file
    options: ReadOptions = ReadOptions(),
) -> Table:
    "Read an Arrow file or stream, or a Feather file. Raises `UserError` if it is damaged"
    import pyarrow
    import pyarrow.feather
    import pyarrow.ipc

    try:
        with open(path, "rb") as f:
            start = f.read(6)
            f.seek(max(0, f.seek(0, 2) - 8))
            end = f.read()
        if start == b"ARROW1":
            with pyarrow.memory_map(str(path)) as f:
                return from_arrow(pyarrow.ipc.open_file(f).read_all(), str(path), "Arrow")
        if start[:4] == b"FEA1":
            return from_arrow(pyarrow.feather.read_table(path), str(path), "Feather 1")
        with pyarrow.memory_map(str(path)) as f:
            rows = pyarrow.ipc.open_stream(f).read_all()
            if end != END_OF_STREAM:  # a stream that is cut between two batches reads without an error
                raise UserError(f"{path}: the Arrow stream has no end mark: it was cut. Write the file again.")
            return from_arrow(rows, str(path), "Arrow stream")
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as e:
        raise explain(e, path, "Arrow or Feather", "df.to_feather") from None


def explain(
    error: Exception,  # raised while reading
    path: str | Path,  # of the file
    kind: str,  # of file
    writer: str,  # a method that writes one
) -> Exception:
    "Return the error to raise for a file that cannot be read"
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError) and error.errno:  # missing, not permitted
        return UserError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.")
    message = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return UserError(f"{path}: cannot be read as {kind} ({message}). Write it again with {writer}.")


def from_arrow(
    rows,  # a pyarrow Table
    source: str,  # for messages
    form: str,  # for `Table.format`
) -> Table:
    "Return the columns of an Arrow table as text, with the class names that Datasets or pandas stored in it"
    check_names(rows.column_names, source)
    metadata = rows.schema.metadata or {}
    features = load_json(metadata.get(b"huggingface")).get("info", {}).get("features") or {}
    about = {c.get("name"): c for c in load_json(metadata.get(b"pandas")).get("columns", [])}
    table, columns = Table({}, source, form), {}
    for name in rows.column_names:
        column, feature = rows[name], features.get(name)
        if name.startswith("__index_level_"):
            keep_index(arrow_values(column), name, columns, rows.column_names, table.notes)
            continue
        columns[name] = arrow_values(column)
        if names := find_class_names(feature):
            columns[name] = name_classes(column.to_pylist(), names, source, name)
            table.orders[name] = names
            if form != "datasets":
                table.notes.append(f"the numbers in '{name}' were read as the class names stored in the file")
        elif (order := find_order(column, about.get(name, {}))) is not None:
            table.orders[name] = order
        elif isinstance(feature, dict) and feature.get("_type") == "Json":
            columns[name] = [None if v is None else to_plain(json.loads(v)) for v in columns[name]]
    return finish(columns, table)


def keep_index(
    values: list,  # of a nameless index of pandas
    name: str,  # that pandas gave it in the file
    columns: dict[str, list],  # which grow
    known: list[str],  # the names of all columns
    notes: list[str],  # what was decided
) -> None:
    "Add a nameless index as a column, unless it only numbers the rows"
    if is_row_numbers(values):
        return
    name = name if "index" in known or "index" in columns else "index"
    columns[name] = values
    notes.append(f"the nameless index of pandas was read as the column '{name}'")


def is_row_numbers(
    values: list,  # of an index, as text
) -> bool:
    "Return whether an index numbers the rows: whole numbers, each once"
    return len(set(map(str, values))) == len(values) and all(str(v).isdecimal() for v in values)


def load_json(
    data: bytes | None,  # metadata of a schema
) -> dict:
    "Return metadata as a dictionary, an empty one if there is none"
    try:
        loaded = json.loads(data or b"{}")
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


def arrow_values(
    column,  # a pyarrow ChunkedArray
) -> list:
    "Return the values of a column as text"
    import pyarrow.types as types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind):
        return column.to_pylist()
    if types.is_timestamp(kind) and not types.is_dictionary(column.type):
        return pandas_values(column.to_pandas())
    if (types.is_float32(kind) or types.is_float16(kind)) and not types.is_dictionary(column.type):
        return [None if v is None else to_plain(kind.to_pandas_dtype()(v)) for v in column.to_pylist()]
    if types.is_map(kind):
        return [None if v is None else dict(v) for v in column.to_pylist()]
    return [to_plain(v) for v in column.to_pylist()]


def find_order(
    column,  # a pyarrow ChunkedArray
    about: dict,  # what pandas stored about the column
) -> list[str] | None:
    "Return the values of a category in their order, if it is stored: other dictionaries only save space"
    import pyarrow.types as types

    if not types.is_dictionary(column.type) or not column.num_chunks:
        return None
    values = column.unify_dictionaries().chunk(0).dictionary.to_pylist()
    stored = (about.get("metadata") or {}).get("num_categories")
    if column.type.ordered or stored == len(values):
        return [to_plain(v) for v in values]
    return None


def find_class_names(
    feature: object,  # of a Dataset, as its metadata describe it
) -> list[str] | None:
    "Return the names of a ClassLabel, or of a list of them"
    if isinstance(feature, list) and len(feature) == 1:
        feature = {"feature": feature[0]}
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel":
        return feature.get("names")
    return find_class_names(feature.get("feature"))


def name_classes(
    ids: list,  # of a ClassLabel, or lists of them
    names: list[str],  # of the classes
    source: str,  # for messages
    column: str,  # for messages
) -> list:
    "Return class names for ids; -1 is no label. Raises `UserError` for an id without a name"
    named = []
    for number, value in enumerate(ids, 1):
        if isinstance(value, list):
            named.append([n for n in name_classes(value, names, source, column) if n is not None])
        elif value is None or value == -1:
            named.append(None)
        elif isinstance(value, str) and value in names:
            named.append(value)
        elif isinstance(value, int) and 0 <= value < len(names):
            named.append(names[value])
        else:
            raise UserError(
                f"{source}, row {number}, column '{column}': {value} is no class: there are {len(names)} names. "
                "Correct the value, or the ClassLabel."
            )
    return named


# --- Excel ---


def read_excel(
    path: str | Path,  # of the file
    options: ReadOptions = ReadOptions(),
) -> Table:
    "Read a sheet of an Excel file. Raises `UserError` for merged cells, formulas without a value and nameless columns"
    path = Path(path)
    refuse_other_workbooks(path)
    try:
        import openpyxl
    except ImportError:
        raise UserError(f"{path}: reading Excel files needs openpyxl. Run: pip install openpyxl") from None
    try:
        marks = find_marks(path)
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            sheet, notes = choose_sheet(book, options.sheet_name, path)
            source = f"{path}, sheet '{sheet.title}'"
            sheet.reset_dimensions()
            rows = [(n, cells) for n, cells in enumerate(sheet.iter_rows(), 1) if any(has_value(c) for c in cells)]
            if "mergeCell" in marks and rows:
                check_merged(path, sheet.title, source, rows[0][0], len(rows[0][1]))
            table = read_sheet(rows, source, notes, options)
        if "hidden" in marks:
            table.notes += note_hidden(path, sheet.title, table.numbers)
        if "formula" in marks:
            check_formulas(path, sheet.title, source)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, SyntaxError, TypeError, EOFError) as e:
        raise explain(e, path, "Excel", "df.to_excel") from None
    return table


def refuse_other_workbooks(
    path: Path,  # of the file
):
    "Raise `UserError` for formats that openpyxl does not read"
    if path.suffix.lower() in (".xls", ".xlsb", ".ods"):
        raise UserError(f"{path}: {path.suffix} files are not read. Save it as .xlsx.")
    try:
        with open(path, "rb") as f:
            start = f.read(4)
    except OSError as e:
        raise explain(e, path, "Excel", "df.to_excel") from None
    if start == b"\xd0\xcf\x11\xe0":
        raise UserError(f"{path}: is an old .xls file, or has a password. Save it as .xlsx without one.")
    if start != b"PK\x03\x04":
        raise UserError(f"{path}: is not an Excel file, though its name says so. Save it as .xlsx, or rename it.")


def find_marks(
    path: Path,  # of the file
) -> set[str]:
    "Return which of formula, mergeCell and hidden any sheet holds: they need a second, slower look"
    found = set()
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                with archive.open(name) as f:
                    tail = b""
                    while block := f.read(1 << 20):
                        data = tail + block
                        found |= {"formula"} if re.search(rb"<(\w+:)?f[ />]", data) else set()
                        found |= {"mergeCell"} if b"mergeCell " in data else set()
                        found |= {"hidden"} if HIDDEN.search(data) else set()
                        tail = data[-300:]
    return found


def choose_sheet(
    book,  # an openpyxl Workbook
    wanted: str | None,  # the name that the user gave
    path: Path,  # of the file
):
    "Return the named sheet or the first that is visible, and a note that names the others"
    names = [s.title for s in book.worksheets]
    if not names:
        raise UserError(f"{path}: has no sheet with cells. Save the rows in a sheet.")
    if wanted is not None and wanted not in names:
        raise UserError(
            f"{path}: there is no sheet '{wanted}'.{did_you_mean(wanted, names)} The sheets are: {', '.join(names)}."
        )
    visible = [s for s in book.worksheets if s.sheet_state == "visible"] or book.worksheets
    sheet = book[wanted] if wanted is not None else visible[0]
    others = [n for n in names if n != sheet.title]
    return sheet, [f"sheet '{sheet.title}' was read; not read: {name_some(others)}"] if others else []


def read_sheet(
    rows: list[tuple],  # number and cells of each row that is not empty
    source: str,  # file and sheet
    notes: list[str],  # what was decided
    options: ReadOptions,  # may name the columns
) -> Table:
    "Return the rows below the first as columns named by it"
    if not rows:
        others = "".join(f" ({n})" for n in notes)
        raise UserError(f"{source}: the sheet is empty{others}. Name another with sheet_name.")
    width = max(len(cells) for _, cells in rows)
    errors = []
    grid = [[cell_text(c, errors) for c in cells] + [None] * (width - len(cells)) for _, cells in rows]
    numbers = [number for number, _ in rows]
    filled = [i for i in range(width) if any(row[i] and row[i].strip() for row in grid)]
    if options.column_names:
        header = list(options.column_names)
        if len(header) != len(filled):
            raise UserError(f"{source}: {len(filled)} columns, but column_names has {len(header)}. Name each column.")
        names = dict(zip(filled, header))
        if [clean_name(grid[0][i] or "").casefold() for i in filled] == [clean_name(n).casefold() for n in header]:
            notes.append(f"row {numbers[0]} holds the names of column_names: it is the header, not a row")
            grid, numbers = grid[1:], numbers[1:]
    else:
        names = {i: grid[0][i].strip() if grid[0][i] else "" for i in filled}
        grid, numbers, rows_above = grid[1:], numbers[1:], numbers[0]
        values = [[row[i] or "" for row in grid] for i in filled]
        refuse_title(source, list(names.values()), values, numbers, rows_above, "row")
        names = leave_out_nameless(names, grid, rows_above, source, notes)
        values = [[(row[i] or "").strip() for row in grid] for i in names]
        if repeated := find_repeated_headers(list(names.values()), values):
            notes.append(note_repeated(repeated, numbers))
            grid, numbers = ([x for i, x in enumerate(part) if i not in repeated] for part in (grid, numbers))
        refuse_missing_header(source, list(names.values()), [[row[i] or "" for row in grid] for i in names])
    check_names(list(names.values()), source)
    columns = {name: [row[i] for row in grid] for i, name in names.items()}
    if errors:
        notes.append(f"cells with an error such as {errors[0]} were read as empty: {len(errors)}")
    note_limits(columns, numbers, notes)
    return Table(columns, source, "Excel", numbers=numbers, notes=notes)


def leave_out_nameless(
    names: dict[int, str],  # place -> name, empty if it has none
    grid: list[list],  # the rows below the header
    header: int,  # the number of the header row
    source: str,  # file and sheet
    notes: list[str],  # what was decided
) -> dict[int, str]:
    "Return the named columns. A nameless first one that counts the rows is the index of pandas; others are refused"
    from openpyxl.utils import get_column_letter

    for place in [i for i, name in names.items() if not name]:
        values = [row[place] for row in grid]
        is_index = len(names) > 1 and place == min(names) and values == [str(i) for i in range(len(values))]
        if not is_index:
            letter = get_column_letter(place + 1)
            raise UserError(
                f"{source}: column {letter} has values, but no name in row {header}. "
                "The first row must name every column."
            )
        notes.append("the first column counts the rows and has no name: left out")
        del names[place]
    return names


def has_value(
    cell,  # of openpyxl
) -> bool:
    "Return whether a cell holds anything but spaces"
    return cell.value is not None and (not isinstance(cell.value, str) or bool(cell.value.strip()))


def cell_text(
    cell,  # of openpyxl
    errors: list[str],  # collects cells such as #REF!
) -> str | None:
    "Return what a cell shows: 5 for 5.0, 007 for 7 in the format 000, dates as ISO"
    from openpyxl.utils.escape import unescape

    value = cell.value
    if value is None:
        return None
    if cell.data_type == "e":
        errors.append(f"{cell.coordinate} ({value})")
        return None
    if isinstance(value, str):
        return unescape(value) if "_x" in value else value  # Excel writes a carriage return as _x000D_
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and re.fullmatch("0+", cell.number_format or ""):
        return str(value).zfill(len(cell.number_format))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date | time) else to_text(value)


def note_limits(
    columns: dict[str, list],  # as they were read
    numbers: list[int],  # of the rows
    notes: list[str],  # what was decided
):
    "Add a note if texts or rows end where Excel cuts them"
    cut = sum(isinstance(v, str) and len(v) >= EXCEL_CHARS for values in columns.values() for v in values)
    if cut:
        notes.append(f"{cut} texts have {EXCEL_CHARS:,} characters, the most that Excel keeps: probably cut")
    if numbers and numbers[-1] >= EXCEL_ROWS:
        notes.append(f"the sheet is full ({EXCEL_ROWS:,} rows): rows may be missing")


def check_formulas(
    path: Path,  # of the file
    title: str,  # of the sheet
    source: str,  # file and sheet
):
    "Raise `UserError` for a formula whose value was never computed"
    import openpyxl

    with (
        closing(openpyxl.load_workbook(path, read_only=True)) as formulas,
        closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as values,
    ):
        for sheet in (formulas[title], values[title]):
            sheet.reset_dimensions()
        for written, shown in zip(formulas[title].iter_rows(), values[title].iter_rows()):
            for a, b in zip(written, shown):
                if a.data_type == "f" and b.value is None:
                    raise UserError(
                        f"{source}, cell {a.coordinate}: a formula without a computed value. "
                        "Open the file in Excel or LibreOffice and save it, or paste values."
                    )


def check_merged(
    path: Path,  # of the file
    title: str,  # of the sheet
    source: str,  # file and sheet
    header: int,  # the number of the header row
    width: int,  # of the rows
):
    "Raise `UserError` for merged cells: only the first of them has a value"
    import openpyxl

    sheet = openpyxl.load_workbook(path)[title]
    merged = [r for r in sheet.merged_cells.ranges if r.max_row >= header]
    above = [r for r in merged if r.min_row == r.max_row == header and r.max_col - r.min_col + 1 >= max(2, width - 1)]
    if above and not is_usual_name(str(sheet.cell(header, above[0].min_col).value)):
        raise UserError(
            f"{source}: row {header} is a title ({above[0].coord} are merged), not the names of the columns. "
            f"Delete row {header}."
        )
    if merged:
        raise UserError(
            f"{source}: cells {merged[0].coord} are merged, so that only the first has a value. "
            "Unmerge them, and fill in each cell."
        )


def note_hidden(
    path: Path,  # of the file
    title: str,  # of the sheet
    numbers: Sequence[int],  # of the rows that were read
) -> list[str]:
    "Return a note on hidden rows, such as those that a filter leaves out, and on hidden columns: they were read too"
    import openpyxl

    sheet = openpyxl.load_workbook(path)[title]
    rows = [n for n in numbers if n in sheet.row_dimensions and sheet.row_dimensions[n].hidden]
    columns = [letter for letter, column in sheet.column_dimensions.items() if column.hidden]
    notes = []
    if rows:
        what = f"{len(rows):,} hidden rows were" if len(rows) > 1 else "1 hidden row was"
        notes.append(f"{what} read too, the first is row {rows[0]}: to leave them out delete them")
    return notes + ([f"hidden columns were read too: {', '.join(columns)}"] if columns else [])


# --- databases ---


def read_sql(
    url: str,  # of SQLAlchemy, such as sqlite:///rows.db
    options: ReadOptions = ReadOptions(),
) -> Table:
    "Read the rows of `options.sql_query`. Raises `UserError` with the database's own message"
    query = options.sql_query
    kind = re.match(r"sqlite(\+pysqlite)?://", url)
    names, rows, tables = read_sqlite(url, query) if kind else read_database(url, query)
    source = redact(url)
    if query is None:
        found = f"The tables are: {', '.join(tables[:20])}" if tables else "It has no tables"
        example = tables[0] if tables else "reviews"
        raise UserError(
            f"{source}: sql_query is missing. {found}. Write sql_query = SELECT text, label FROM {example}"
        )
    if names is None:
        raise UserError(f"{source}: sql_query returns no rows: it must be a SELECT.")
    check_names(names, source)
    columns = {str(name): [to_plain(row[i]) for row in rows] for i, name in enumerate(names)}
    table = finish(columns, Table({}, source, "SQL"))
    if not re.search(r"\border\s+by\b", query, re.IGNORECASE):
        table.notes.append("sql_query has no ORDER BY: the order of the rows, and so the split, may change")
    return table


def read_sqlite(
    url: str,  # sqlite:///relative.db or sqlite:////absolute.db
    query: str | None,  # None: only the tables are listed
) -> tuple[list[str] | None, list, list[str]]:
    "Return column names, rows and tables of a SQLite file, which is opened for reading alone"
    path = Path(re.sub(r"^sqlite(\+pysqlite)?:///?", "", url).split("?")[0])
    if not path.is_file():
        raise UserError(
            f"{redact(url)}: there is no file {path}. Write sqlite:///name.db, or sqlite:////absolute/name.db"
        )
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            listed = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
            tables = [row[0] for row in database.execute(listed) if not row[0].startswith("sqlite_")]
            if query is None:
                return None, [], tables
            cursor = database.execute(query)
            names = [column[0] for column in cursor.description] if cursor.description else None
            return names, cursor.fetchall(), tables
    except (sqlite3.Error, sqlite3.Warning) as e:
        raise UserError(f"{redact(url)}: {first_line(e)}. Correct sql_query or the path.") from None


def read_database(
    url: str,  # of SQLAlchemy
    query: str | None,  # None: only the tables are listed
) -> tuple[list[str] | None, list, list[str]]:
    "Return column names, rows and tables of a database. Nothing is committed"
    try:
        import sqlalchemy
    except ImportError:
        raise UserError(f"{redact(url)}: reading databases needs SQLAlchemy. Run: pip install 'ftkit[sql]'") from None
    try:
        engine = sqlalchemy.create_engine(url)
        with ExitStack() as stack:
            stack.callback(engine.dispose)
            connection = stack.enter_context(engine.connect())
            if query is None:
                about = sqlalchemy.inspect(connection)
                return None, [], sorted([*about.get_table_names(), *about.get_view_names()])
            result = connection.exec_driver_sql(query)
            return (list(result.keys()), result.fetchall(), []) if result.returns_rows else (None, [], [])
    except ImportError as e:
        raise UserError(f"{redact(url)}: the driver '{e.name}' is missing. Run: pip install {e.name}") from None
    except sqlalchemy.exc.SQLAlchemyError as e:
        raise UserError(f"{redact(url)}: {first_line(e)}. Correct the address or sql_query.") from None


def first_line(
    error: Exception,  # of a database
) -> str:
    "Return the first line of a message without its full stop"
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


# --- objects of Python ---


def from_python(
    rows: object,  # a DataFrame, a Dataset, a list of dictionaries …
) -> dict[str, Table] | Table:
    "Return the rows of an object, or a table for each split. Raises `UserError` for an object that is not known"
    if isinstance(rows, Mapping):
        return from_mapping(rows)
    return from_object(rows)


def from_object(
    rows: object,  # one table
    split: str | None = None,  # its name, for messages
) -> Table:
    "Return the rows of one object"
    kind, place = describe_type(rows), f" of '{split}'" if split is not None else ""
    if isinstance(rows, list | tuple):
        return from_rows(rows, f"the {type(rows).__name__}{place}", f"{type(rows).__name__} of Python")
    if isinstance(rows, Mapping):
        return from_columns(rows, f"the dictionary{place}")
    source = f"the {type(rows).__name__}{place}"
    if kind == "pandas.DataFrame":
        return from_pandas(rows, source)
    if kind == "pandas.Series":
        return from_pandas(rows.to_frame(rows.name if rows.name is not None else "text"), source)
    if kind == "polars.Series":
        return from_arrow(rows.to_frame(rows.name or "text").to_arrow(), source, "polars")
    if kind.startswith("polars.") and hasattr(rows, "collect" if kind == "polars.LazyFrame" else "to_arrow"):
        frame = rows.collect() if kind == "polars.LazyFrame" else rows
        return from_arrow(frame.to_arrow(), source, "polars")
    if kind == "datasets.Dataset":
        return from_dataset(rows, source)
    if kind == "datasets.IterableDataset":
        return from_stream(rows, source)
    if kind.startswith("pyarrow."):
        return from_pyarrow(rows, source)
    if isinstance(rows, Iterator):
        return from_rows(rows, source, f"{type(rows).__name__} of Python")
    if getattr(rows, "ndim", None) == 1 or type(rows).__name__ == "Column":  # an array; a column of a Dataset
        return from_rows(rows, source, f"{type(rows).__name__} of texts")
    raise UserError(f"{type(rows).__module__}.{type(rows).__name__}{place} holds no rows that can be read. {WANTED}")


def describe_type(
    value: object,  # of the user
) -> str:
    "Return package and class of an object, or of the first known class that it derives from: pandas.DataFrame"
    known = ("pandas", "polars", "pyarrow", "datasets")
    for parent in type(value).__mro__:
        package = parent.__module__.split(".")[0]
        if package in known and parent.__name__ in KINDS:
            return f"{package}.{parent.__name__}"
    return ""


# classes that hold a table or a column
KINDS = {
    "DataFrame",
    "LazyFrame",
    "Series",
    "Dataset",
    "IterableDataset",
    "Table",
    "RecordBatch",
    "RecordBatchReader",
    "ChunkedArray",
    "Array",
}
COLUMN_KINDS = {"pandas.Series", "polars.Series", "pyarrow.ChunkedArray", "pyarrow.Array"}


def from_mapping(
    rows: Mapping,  # splits or columns
) -> dict[str, Table] | Table:
    "Return a table for each split if the values are tables, one table if they are columns"
    if not rows:
        raise UserError(f"the dictionary is empty. {WANTED}")
    kinds = {
        key: "table" if is_table(key, value) else "column" if is_column(value) else "" for key, value in rows.items()
    }
    unknown = [key for key, kind in kinds.items() if not kind]
    if unknown:
        found = type(rows[unknown[0]]).__name__
        raise UserError(f"'{unknown[0]}' in the dictionary is a {found}, neither a table nor a column. {WANTED}")
    tables = [key for key, kind in kinds.items() if kind == "table"]
    if len(tables) == len(rows):
        check_names(list(rows), "the dictionary")
        return {str(key): from_object(value, str(key)) for key, value in rows.items()}
    columns = [key for key, kind in kinds.items() if kind == "column"]
    if any(SPLIT_NAME.search(str(key)) for key in tables) or not all(is_sequence(rows[key]) for key in tables):
        raise UserError(
            f"'{tables[0]}' in the dictionary is a table, but '{columns[0]}' is a column. "
            "Give splits alone, or columns alone."
        )
    return from_columns(rows, "the dictionary")


def is_sequence(
    value: object,  # in a dictionary
) -> bool:
    "Return whether a value is a list or tuple"
    return isinstance(value, list | tuple)


def is_table(
    key: object,  # of the dictionary
    value: object,  # in a dictionary
) -> bool:
    "Return whether a value is a split: a frame, a Dataset, a list of dictionaries or pairs, a dictionary of columns"
    kind = describe_type(value)
    if kind:
        return kind not in COLUMN_KINDS
    if isinstance(value, Mapping) or isinstance(value, Iterator):
        return True
    if not is_sequence(value):
        return False
    if not value:
        return bool(SPLIT_NAME.search(str(key)))
    is_pairs = all(isinstance(v, list | tuple) and len(v) == 2 for v in value)
    pairs = is_pairs and (isinstance(value[0], tuple) or bool(SPLIT_NAME.search(str(key))))
    return all(isinstance(v, Mapping) for v in value) or pairs


def is_column(
    value: object,  # in a dictionary
) -> bool:
    "Return whether a value is a column: a list, an array or a Series"
    return describe_type(value) in COLUMN_KINDS or is_sequence(value) or getattr(value, "ndim", None) == 1


def from_columns(
    rows: Mapping,  # name -> values
    source: str,  # for messages
) -> Table:
    "Return a dictionary of columns as a table. Raises `UserError` if they differ in length"
    check_names(list(rows), source)
    table, columns = Table({}, source, "dictionary of lists"), {}
    for key, values in rows.items():
        if not is_column(values):
            found = type(values).__name__
            raise UserError(f"{source}: '{key}' is a {found}, not a list of values. {WANTED}")
        kind = describe_type(values)
        if kind:
            column = from_object(values)
            columns[str(key)] = next(iter(column.columns.values()))
            table.orders |= {str(key): order for order in column.orders.values()}
        else:
            columns[str(key)] = [to_plain(v) for v in values]
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"'{n}' {count}" for n, count in list(lengths.items())[:5])
        raise UserError(f"{source}: the columns differ in length ({shown}). Give each row a value in each column.")
    return finish(columns, table)


def from_pandas(
    frame,  # a DataFrame
    source: str,  # for messages
) -> Table:
    "Return the columns of a DataFrame; its index is no column"
    names = check_names(list(frame.columns), source)
    table, columns = Table({}, source, "pandas"), {}
    for place, name in enumerate(names):
        series = frame.iloc[:, place]
        columns[name] = pandas_values(series)
        if hasattr(series, "cat"):
            table.orders[name] = pandas_values(series.cat.categories.to_series())
    index = [str(n) for n in frame.index.names if n is not None]
    if not index and frame.index.nlevels == 1 and not is_row_numbers(frame.index.tolist()):
        index = [str(v) for v in frame.index[:2]]
    if index:
        table.notes.append(f"the index {name_some(index)} was not read: use df.reset_index() if it is a column")
    return finish(columns, table)


def pandas_values(
    series,  # of pandas
) -> list:
    "Return the values of a Series as text, column by column if they are plain strings"
    import pandas as pd

    if hasattr(series, "cat"):
        names = pandas_values(series.cat.categories.to_series())
        return [names[code] if code >= 0 else None for code in series.cat.codes.tolist()]
    missing = series.isna()
    has_missing = bool(missing.any())
    is_text = isinstance(series.dtype, pd.StringDtype)
    if is_text or series.dtype == object and pd.api.types.infer_dtype(series, skipna=True) == "string":
        values = series.astype(object)
        return (values.where(~missing, None) if has_missing else values).tolist()
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        values = series.astype(str).astype(object)  # dates alone if no value has a time, as in a CSV
        return values.where(~missing, None).tolist()
    if pd.api.types.is_float_dtype(series.dtype) and series.dtype.itemsize < 8:
        values = series.to_numpy(dtype=getattr(series.dtype, "numpy_dtype", series.dtype), na_value=float("nan"))
        return [to_plain(v) for v in values]  # numpy's: 0.1 stays 0.1
    return [None if gone is True else to_plain(v) for v, gone in zip(series.tolist(), missing.tolist())]


def from_pyarrow(
    rows,  # of pyarrow
    source: str,  # for messages
) -> Table:
    "Return a Table, RecordBatch, reader or array of pyarrow"
    import pyarrow

    if isinstance(rows, pyarrow.RecordBatchReader):
        rows = rows.read_all()
    if isinstance(rows, pyarrow.RecordBatch):
        rows = pyarrow.Table.from_batches([rows])
    if isinstance(rows, pyarrow.Array | pyarrow.ChunkedArray):
        rows = pyarrow.table({"text": rows})
    if not isinstance(rows, pyarrow.Table):
        raise UserError(f"pyarrow.{type(rows).__name__} holds no rows that can be read. {WANTED}")
    return from_arrow(rows, source, "pyarrow")


def from_dataset(
    rows,  # a Dataset
    source: str,  # for messages
) -> Table:
    "Return the columns of a Dataset, with the names and the order of its classes"
    if not rows.column_names:
        return Table({}, source, "datasets")
    features = {name: feature._type if hasattr(feature, "_type") else "" for name, feature in rows.features.items()}
    media = [n for n, kind in features.items() if kind in ("Image", "Audio", "Video", "Pdf")]
    plain = rows.remove_columns(media) if media else rows
    data = plain.with_format("arrow")[:]
    described = {n: describe_feature(f) for n, f in plain.features.items()}
    metadata = {b"huggingface": json.dumps({"info": {"features": described}}).encode()}
    table = from_arrow(data.replace_schema_metadata(metadata), source, "datasets")
    table.notes += [f"column '{name}' left out: it holds no text" for name in media]
    return table


def describe_feature(
    feature: object,  # of a Dataset
) -> object:
    "Return a feature as the metadata of a file describe it, as far as classes go"
    if hasattr(feature, "names"):
        return {"_type": "ClassLabel", "names": list(feature.names)}
    if hasattr(feature, "feature"):
        return {"feature": describe_feature(feature.feature)}
    if isinstance(feature, list) and feature:
        return {"feature": describe_feature(feature[0])}
    return {"_type": type(feature).__name__}


def from_stream(
    rows,  # an IterableDataset
    source: str,  # for messages
) -> Table:
    "Read an IterableDataset to its end"
    table = from_rows(iter(rows.with_format(None)), source, "datasets stream", keep_numbers=True)
    for name, feature in (rows.features or {}).items():
        names = find_class_names(describe_feature(feature))
        if names and name in table.columns:
            table.columns[name] = name_classes(table.columns[name], names, source, name)
            table.orders[name] = names
    table.columns = {name: [to_plain(v) for v in values] for name, values in table.columns.items()}
    return finish(table.columns, Table({}, source, table.format, orders=table.orders))


def from_rows(
    rows: Iterable,  # dictionaries or pairs
    source: str,  # for messages
    form: str,  # for `Table.format`
    keep_numbers: bool = False,  # leave values as they are
) -> Table:
    "Return rows one by one as columns. Raises `UserError` for a row of another kind, and for an endless stream"
    convert = (lambda v: v) if keep_numbers else to_plain
    columns: dict[str, list] = {}
    pairs: list | None = None
    texts: list | None = None
    for number, row in enumerate(islice(rows, MAX_ROWS + 1), 1):
        if number > MAX_ROWS:
            raise UserError(
                f"{source}: did not end after {MAX_ROWS:,} rows. Take a part: rows.take(n), or use Parquet."
            )
        if number == 1 and isinstance(row, list | tuple):
            pairs = []
        if number == 1 and isinstance(row, str):
            texts = []
        if texts is not None and (row is None or isinstance(row, str)):
            texts.append(convert(row))
        elif pairs is not None and isinstance(row, list | tuple) and len(row) == 2:
            pairs.append((convert(row[0]), convert(row[1])))
        elif pairs is None and texts is None and isinstance(row, Mapping):
            for name in row:
                if name not in columns:
                    columns[name] = [None] * (number - 1)
            for name, values in columns.items():
                values.append(convert(row.get(name)))
        else:
            wanted = (
                "a pair of text and label" if pairs is not None else "a text" if texts is not None else "a dictionary"
            )
            raise UserError(f"{source}, row {number}: expected {wanted}, found {shorten(row)}. {WANTED}")
    if pairs is not None:
        return name_pairs(pairs, source, form)
    if texts is not None:
        return finish({"text": texts}, Table({}, source, form))
    names = check_names(list(columns), source)
    return finish(dict(zip(names, columns.values())), Table({}, source, form))


def name_pairs(
    pairs: list[tuple],  # text and label, as text
    source: str,  # for messages
    form: str,  # for `Table.format`
) -> Table:
    "Return pairs as the columns text and label; label first if only the first values come again"
    label = find_label(pairs)
    notes = ["the first value of each pair was read as the label: its values come again"] if label == 0 else []
    first, second = ([p[i] for p in pairs] for i in (0, 1))
    columns = {"text": second, "label": first} if label == 0 else {"text": first, "label": second}
    return finish(columns, Table({}, source, form, notes=notes))


def shorten(
    value: object,  # of the user
) -> str:
    "Return the start of a value, with its type"
    text = " ".join(repr(value)[:60].split())
    return f"{type(value).__name__} {text[:40]}{'…' if len(text) > 40 else ''}"
