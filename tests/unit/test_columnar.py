"Typed sources as text: Parquet, Arrow, Excel, databases, objects of Python."

import builtins
import datetime
import itertools
import sqlite3
import sys
from decimal import Decimal

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from ftkit.errors import UserError
from ftkit.files import columnar
from ftkit.files.columnar import from_python, read_arrow, read_excel, read_parquet, read_sql
from ftkit.files.rows import ReadOptions

COLUMNS = {"text": ["first text", None, "nan"], "label": ["neg", "pos", None]}
FRAME = pd.DataFrame(COLUMNS)
CLASSES = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["pos", "neg", "neu"]))
DATASET = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=CLASSES)
NAMED = {"text": ["a", "b", "c"], "label": ["neg", "pos", None]}
ROWS = [{"text": "a", "label": 1}, {"text": "b"}]
OPTIONS = ReadOptions()


def refuses(message, call, *args):
    with pytest.raises(UserError, match=message) as caught:
        call(*args)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


# --- Parquet and Arrow ---


def write_stream(frame, path):
    rows = pa.Table.from_pandas(frame)
    with pa.OSFile(str(path), "wb") as f, pa.ipc.new_stream(f, rows.schema) as writer:
        writer.write_table(rows)


FILES = {
    "parquet": (read_parquet, lambda frame, path: frame.to_parquet(path), "Parquet"),
    "feather": (read_arrow, lambda frame, path: frame.to_feather(path), "Arrow"),
    "compressed": (read_arrow, lambda frame, path: frame.to_feather(path, compression="zstd"), "Arrow"),
    "stream": (read_arrow, write_stream, "Arrow stream"),
}


@pytest.mark.parametrize("read, write, form", FILES.values(), ids=FILES)
def test_files_give_same_columns(tmp_path, read, write, form):
    write(FRAME, tmp_path / "a")
    table = read(tmp_path / "a", OPTIONS)
    assert table.columns == COLUMNS and table.format == form and table.source == str(tmp_path / "a")


@pytest.mark.filterwarnings("ignore:Feather V1")
def test_old_feather_is_read(tmp_path):
    pyarrow.feather.write_feather(FRAME, str(tmp_path / "a.feather"), version=1)
    assert read_arrow(tmp_path / "a.feather", OPTIONS).columns == COLUMNS


@pytest.mark.parametrize("read, write, form", FILES.values(), ids=FILES)
def test_categories_keep_their_order(tmp_path, read, write, form):
    frame = FRAME.assign(label=pd.Categorical(COLUMNS["label"], categories=["pos", "neu", "neg"]))
    write(frame, tmp_path / "a")
    table = read(tmp_path / "a", OPTIONS)
    assert table.columns == COLUMNS and table.orders == {"label": ["pos", "neu", "neg"]}


def test_dictionaries_alone_set_no_order(tmp_path):
    pa.parquet.write_table(pa.table({"label": pa.array(["b", "a"]).dictionary_encode()}), tmp_path / "a.parquet")
    assert read_parquet(tmp_path / "a.parquet", OPTIONS).orders == {}


def test_parquet_index_is_left(tmp_path):
    FRAME.set_index(pd.Index([5, 6, 7])).to_parquet(tmp_path / "a.parquet")
    assert read_parquet(tmp_path / "a.parquet", OPTIONS).columns == COLUMNS


def test_stored_class_names_are_read(tmp_path):
    DATASET.to_parquet(tmp_path / "a.parquet")
    DATASET.save_to_disk(tmp_path / "saved")
    for table in (
        read_parquet(tmp_path / "a.parquet", OPTIONS),
        read_arrow(next((tmp_path / "saved").glob("*.arrow")), OPTIONS),
    ):
        assert table.columns == NAMED and table.orders == {"label": ["pos", "neg", "neu"]}
        assert table.notes == ["the numbers in 'label' were read as the class names stored in the file"]


VALUES = {
    "integers": ([1, 2], ["1", "2"]),
    "floats": ([1.0, np.nan], ["1.0", None]),
    "short floats": (np.array([0.1, 2], "float32"), ["0.1", "2.0"]),
    "booleans": ([True, False], ["True", "False"]),
    "nullable": (pd.array([True, None], "boolean"), ["True", None]),
    "nullable integers": (pd.array([1, None], "Int64"), ["1", None]),
    "dates": (pd.to_datetime(["2024-01-05", None]), ["2024-01-05", None]),
    "times": (pd.to_datetime(["2024-01-05 10:00", None]), ["2024-01-05 10:00:00", None]),
    "days": ([datetime.date(2024, 1, 5), None], ["2024-01-05", None]),
    "decimals": ([Decimal("1.10"), None], ["1.10", None]),
    "bytes": ([b"caf\xc3\xa9", None], ["café", None]),
    "lists": ([["a"], ["a", "b"]], [["a"], ["a", "b"]]),
    "arrays": ([np.array(["a"]), np.array([], str)], [["a"], []]),
    "dictionaries": ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
    "codes": (["007", "null"], ["007", "null"]),
}


@pytest.mark.parametrize("values, texts", VALUES.values(), ids=VALUES)
def test_values_become_text(tmp_path, values, texts):
    frame = pd.DataFrame({"text": ["a", "b"], "label": values})
    frame.to_parquet(tmp_path / "a.parquet")
    assert from_python(frame).columns["label"] == texts
    assert from_python(pa.Table.from_pandas(frame)).columns["label"] == texts
    assert read_parquet(tmp_path / "a.parquet", OPTIONS).columns["label"] == texts


@pytest.mark.parametrize("name", ["integers", "floats", "short floats", "booleans", "nullable", "dates", "times"])
def test_frame_equals_its_csv(tmp_path, name):
    frame = pd.DataFrame({"text": ["a", "b"], "label": VALUES[name][0]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    written = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)["label"]
    assert [v or "" for v in from_python(frame).columns["label"]] == written.tolist()


@pytest.mark.parametrize("content", [b"text,label\na,b\n", b"PAR1" + b"x" * 20, b"ARROW1" + b"x" * 30], ids=str)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    refuses("cannot be read as Parquet .* df.to_parquet", read_parquet, tmp_path / "a", OPTIONS)
    refuses("cannot be read as Arrow or Feather .* df.to_feather", read_arrow, tmp_path / "a", OPTIONS)


@pytest.mark.parametrize("read, write, form", FILES.values(), ids=FILES)
@pytest.mark.parametrize("left_out", [1, 8, 100])
def test_cut_files_are_refused(tmp_path, read, write, form, left_out):
    write(FRAME, tmp_path / "a")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-left_out])
    refuses("cannot be read as|it was cut", read, tmp_path / "a", OPTIONS)


@pytest.mark.parametrize("read", [read_parquet, read_arrow, read_excel])
def test_missing_files_are_refused(tmp_path, read):
    refuses("cannot be read", read, tmp_path / "a.xlsx", OPTIONS)


# --- Excel ---


def write_sheets(path, **sheets):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, cells in sheets.items():
        sheet = book.create_sheet(title)
        for place, value in cells.items():
            sheet[place] = value
    book.save(path)
    return path


CELLS = {"A1": "text", "B1": "label", "A2": "a", "B2": 1, "A3": "b", "B3": 2.5}


@pytest.mark.parametrize("index", [True, False])
def test_excel_of_pandas_is_read(tmp_path, index):
    pytest.importorskip("openpyxl")
    frame = pd.DataFrame({"text": ["a", "b _x0041_", "007"], "label": [1.0, 2.0, 3.5], "ok": [True, False, True]})
    frame.to_excel(tmp_path / "a.xlsx", index=index)
    table = read_excel(tmp_path / "a.xlsx", OPTIONS)
    assert table.columns == {"text": ["a", "b A", "007"], "label": ["1", "2", "3.5"], "ok": ["True", "False", "True"]}
    assert table.format == "Excel" and list(table.numbers) == [2, 3, 4] and len(table.notes) == index


def test_excel_dates_are_iso(tmp_path):
    days = {"C1": "day", "C2": datetime.datetime(2024, 1, 5), "C3": datetime.datetime(2024, 1, 5, 10)}
    table = read_excel(write_sheets(tmp_path / "a.xlsx", Rows={**CELLS, **days}), OPTIONS)
    assert table.columns["day"] == ["2024-01-05", "2024-01-05 10:00:00"]


def test_excel_empty_borders_are_skipped(tmp_path):
    cells = {"C4": "text", "D4": "label", "C6": "a", "D6": "x", "C9": "b", "D9": " "}
    table = read_excel(write_sheets(tmp_path / "a.xlsx", Rows=cells), OPTIONS)
    assert table.columns == {"text": ["a", "b"], "label": ["x", " "]} and list(table.numbers) == [6, 9]


def test_excel_shows_leading_zeros(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.load_workbook(write_sheets(tmp_path / "a.xlsx", Rows=CELLS))
    book["Rows"]["B2"].number_format = "000"
    book.save(tmp_path / "a.xlsx")
    assert read_excel(tmp_path / "a.xlsx", OPTIONS).columns["label"] == ["001", "2.5"]


def test_excel_sheet_is_chosen(tmp_path):
    path = write_sheets(tmp_path / "a.xlsx", Rows=CELLS, Notes={"A1": "text", "A2": "c"})
    first = read_excel(path, OPTIONS)
    assert len(first) == 2 and first.notes == ["sheet 'Rows' was read; not read: 'Notes'"]
    assert read_excel(path, ReadOptions(sheet_name="Notes")).columns == {"text": ["c"]}
    refuses("no sheet 'Note'. Did you mean 'Notes'", read_excel, path, ReadOptions(sheet_name="Note"))


def test_excel_columns_may_be_named(tmp_path):
    path = write_sheets(tmp_path / "a.xlsx", Rows={"A1": "a", "B1": "x", "A2": "b", "B2": "y"})
    named = ReadOptions(column_names=("text", "label"))
    assert read_excel(path, named).columns == {"text": ["a", "b"], "label": ["x", "y"]}
    refuses("2 columns, but column_names has 1", read_excel, path, ReadOptions(column_names=("text",)))


def test_excel_notes_errors_and_limits(tmp_path):
    cells = {**CELLS, "B3": "#N/A", "A2": "a" * 32_767}
    table = read_excel(write_sheets(tmp_path / "a.xlsx", Rows=cells), OPTIONS)
    assert table.columns["label"] == ["1", None]
    assert "cells with an error such as B3 (#N/A) were read as empty: 1" in table.notes
    assert any("32,767 characters" in note for note in table.notes)


SHEETS = {
    "nameless": ({**CELLS, "C2": "x"}, "column C has values, but no name in row 1"),
    "title": (
        {"A1": "My rows", "A2": "text", "B2": "label", "A3": "a", "B3": "x"},
        "row 2: holds the names .text, label. below other rows. Delete row 1",
    ),
    "names twice": ({**CELLS, "C1": "text", "C2": "x"}, "two columns are named 'text'"),
    "formula": ({**CELLS, "B3": "=B2+1"}, "cell B3: a formula without a computed value"),
    "empty": ({}, "the sheet is empty"),
}


@pytest.mark.parametrize("cells, message", SHEETS.values(), ids=SHEETS)
def test_excel_guesses_nothing(tmp_path, cells, message):
    refuses(message, read_excel, write_sheets(tmp_path / "a.xlsx", Rows=cells), OPTIONS)


@pytest.mark.parametrize("merged", ["A1:B1", "B2:B3"])
def test_merged_cells_are_refused(tmp_path, merged):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.load_workbook(write_sheets(tmp_path / "a.xlsx", Rows=CELLS))
    book["Rows"].merge_cells(merged)
    book.save(tmp_path / "a.xlsx")
    refuses(f"cells {merged} are merged", read_excel, tmp_path / "a.xlsx", OPTIONS)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.xls", b"", ".xls files are not read. Save it as .xlsx"),
        ("a.ods", b"", ".ods files are not read"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0rest", "an old .xls file, or has a password"),
        ("a.xlsx", b"text,label\n", "is not an Excel file"),
        ("a.xlsx", b"PK\x03\x04rest", "cannot be read as Excel"),
    ],
)
def test_other_workbooks_are_refused(tmp_path, name, content, message):
    pytest.importorskip("openpyxl")
    (tmp_path / name).write_bytes(content)
    refuses(message, read_excel, tmp_path / name, OPTIONS)


def hide(monkeypatch, package):
    real = builtins.__import__

    def importing(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named '{package}'", name=package)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)


def test_missing_packages_are_named(tmp_path, monkeypatch):
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04")
    hide(monkeypatch, "openpyxl")
    refuses("pip install openpyxl", read_excel, tmp_path / "a.xlsx", OPTIONS)
    hide(monkeypatch, "sqlalchemy")
    refuses(r"pip install 'ftkit\[sql\]'", read_sql, "postgresql://me:secret@host/db", OPTIONS)


# --- databases ---


@pytest.fixture
def database(tmp_path):
    with sqlite3.connect(tmp_path / "a b.db") as connection:
        connection.execute("CREATE TABLE reviews (id INTEGER, body TEXT, stars REAL, raw BLOB)")
        connection.executemany(
            "INSERT INTO reviews VALUES (?, ?, ?, ?)", [(2, "b", 1.0, b"\xff"), (1, "a", None, b"x")]
        )
        connection.execute("CREATE VIEW short AS SELECT body FROM reviews")
    connection.close()
    return f"sqlite:///{tmp_path}/a b.db"


@pytest.mark.parametrize("standard", [True, False], ids=["sqlite3", "SQLAlchemy"])
def test_query_rows_are_read(database, standard, monkeypatch):
    pytest.importorskip("sqlalchemy")
    if not standard:
        monkeypatch.setattr(columnar, "read_sqlite", columnar.read_database)
    query = "SELECT body AS text, stars AS label, raw FROM reviews ORDER BY id"
    table = read_sql(database, ReadOptions(sql_query=query))
    assert table.columns == {"text": ["a", "b"], "label": [None, "1.0"]} and table.format == "SQL"
    assert table.notes == ["column 'raw' left out: it holds no text"]
    refuses("The tables are: reviews, short. Write sql_query = SELECT", read_sql, database, OPTIONS)
    refuses("no such table: other", read_sql, database, ReadOptions(sql_query="SELECT * FROM other"))


QUERIES = {
    "same name": ("SELECT body, body FROM reviews", "two columns are named 'body'"),
    "broken": ("SELEC body", "syntax error"),
    "changes": ("DELETE FROM reviews", "readonly database"),
    "two": ("SELECT 1; SELECT 2", "one statement at a time"),
}


@pytest.mark.parametrize("query, message", QUERIES.values(), ids=QUERIES)
def test_other_queries_are_refused(database, query, message):
    refuses(message, read_sql, database, ReadOptions(sql_query=query))


def test_unordered_query_is_noted(database):
    table = read_sql(database, ReadOptions(sql_query="SELECT body FROM reviews"))
    assert "no ORDER BY" in table.notes[-1]


@pytest.mark.parametrize(
    "url, message",
    [
        ("sqlite:///missing.db", "there is no file missing.db"),
        ("nosuch://me:secret@host/db", "nosuch://\\*\\*\\*@host/db: .*nosuch"),
        ("postgresql+nodriver://me:secret@host/db", "nodriver"),
    ],
)
def test_other_databases_are_refused(url, message):
    pytest.importorskip("sqlalchemy")
    refuses(message, read_sql, url, ReadOptions(sql_query="SELECT 1"))


# --- objects of Python ---


def batch_reader():
    return pa.Table.from_pandas(FRAME).to_reader()


OBJECTS = {
    "DataFrame": (FRAME, COLUMNS),
    "odd index": (FRAME.set_index(pd.Index(["x", "x", "y"])), COLUMNS),
    "objects": (FRAME.astype(object), COLUMNS),
    "missing values": (
        pd.DataFrame({"text": ["a", pd.NA, pd.NaT, np.nan]}, dtype=object),
        {"text": ["a", None, None, None]},
    ),
    "Series": (pd.Series(["a", "b"]), {"text": ["a", "b"]}),
    "named Series": (pd.Series(["a", "b"], name="body"), {"body": ["a", "b"]}),
    "numbered columns": (pd.DataFrame([["a", "x"]]), {"0": ["a"], "1": ["x"]}),
    "Table": (pa.Table.from_pandas(FRAME), COLUMNS),
    "RecordBatch": (pa.RecordBatch.from_pandas(FRAME), COLUMNS),
    "Array": (pa.array(["a", None]), {"text": ["a", None]}),
    "Dataset": (DATASET, NAMED),
    "part of a Dataset": (DATASET.select([2, 0]), {"text": ["c", "a"], "label": [None, "neg"]}),
    "stream": (DATASET.to_iterable_dataset(), NAMED),
    "dictionaries": (ROWS, {"text": ["a", "b"], "label": ["1", None]}),
    "generator": ((row for row in ROWS), {"text": ["a", "b"], "label": ["1", None]}),
    "pairs": ([("a", 1), ["b", True]], {"text": ["a", "b"], "label": ["1", "True"]}),
    "zip": (zip(["a", "b"], "xy"), {"text": ["a", "b"], "label": ["x", "y"]}),
    "lists": ({"text": ["a", "b"], "label": (1, None)}, {"text": ["a", "b"], "label": ["1", None]}),
    "arrays": (
        {"text": np.array(["a", "b"]), "label": np.array([1.0, np.nan])},
        {"text": ["a", "b"], "label": ["1.0", None]},
    ),
    "Series by name": ({"text": pd.Series(["a"]), "label": pa.array([1])}, {"text": ["a"], "label": ["1"]}),
    "lists of labels": (
        {"text": ["a", "b"], "label": [["x"], ["x", "y"]]},
        {"text": ["a", "b"], "label": [["x"], ["x", "y"]]},
    ),
    "lists of dictionaries": ({"text": ["a"], "meta": [{"b": 1}]}, {"text": ["a"], "meta": [{"b": 1}]}),
}


@pytest.mark.parametrize("rows, columns", OBJECTS.values(), ids=OBJECTS)
def test_objects_give_their_columns(rows, columns):
    table = from_python(rows)
    assert table.columns == columns
    assert all(type(v) in (str, list, dict, type(None)) for values in table.columns.values() for v in values)


def test_batch_reader_is_read():
    assert from_python(batch_reader()).columns == COLUMNS


@pytest.mark.parametrize("ordered", [True, False])
def test_categorical_sets_the_order(ordered):
    label = pd.Categorical(["b", "a", None], categories=["c", "b", "a"], ordered=ordered)
    for rows in (FRAME.assign(label=label), {"text": COLUMNS["text"], "label": pd.Series(label)}):
        table = from_python(rows)
        assert table.columns["label"] == ["b", "a", None] and table.orders == {"label": ["c", "b", "a"]}


def test_numbered_categories_keep_spelling():
    table = from_python(pd.DataFrame({"label": pd.Categorical([2.0, 1.0], categories=[2.0, 1.0])}))
    assert table.columns == {"label": ["2.0", "1.0"]} and table.orders == {"label": ["2.0", "1.0"]}


@pytest.mark.parametrize("rows", [DATASET, DATASET.to_iterable_dataset()], ids=["Dataset", "stream"])
def test_class_label_sets_the_order(rows):
    assert from_python(rows).orders == {"label": ["pos", "neg", "neu"]}


def test_lists_of_classes_are_named():
    features = datasets.Features(text=datasets.Value("string"), label=[datasets.ClassLabel(names=["b", "a"])])
    rows = datasets.Dataset.from_dict({"text": ["x", "y"], "label": [[0, 1], []]}, features=features)
    table = from_python(rows)
    assert table.columns["label"] == [["b", "a"], []] and table.orders == {"label": ["b", "a"]}


def test_mixed_json_values_are_text(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"text":"a","label":"pos"}\n{"text":"b","label":1}\n{"text":"c","label":null}\n'
    )
    rows = datasets.load_dataset("json", data_files=str(tmp_path / "a.jsonl"), split="train", cache_dir=str(tmp_path))
    assert from_python(rows).columns["label"] == ["pos", "1", None]


SPLITS = {
    "DatasetDict": datasets.DatasetDict(train=DATASET, val=DATASET),
    "IterableDatasetDict": datasets.IterableDatasetDict({"train": DATASET.to_iterable_dataset()}),
    "frames": {"Train": FRAME, "dev": FRAME},
    "kinds": {"train": DATASET, "val": ROWS, "test": {"text": ["a"]}, "more": pa.Table.from_pandas(FRAME)},
    "pairs": {"train": [("a", "x")], "test": [["b", "y"]]},
    "empty": {"train": ROWS, "test": []},
}


@pytest.mark.parametrize("rows", SPLITS.values(), ids=SPLITS)
def test_splits_keep_their_keys(rows):
    tables = from_python(rows)
    assert list(tables) == list(rows)
    assert all(f"of '{name}'" in table.source for name, table in tables.items())


def test_named_index_is_noted():
    assert "'id' was not read" in from_python(FRAME.rename_axis("id")).notes[0]


def test_columns_without_text_noted():
    table = from_python([{"text": "a", "picture": object()}, {"text": "b", "picture": b"\xff"}])
    assert table.columns == {"text": ["a", "b"]} and table.notes == ["column 'picture' left out: it holds no text"]


def test_label_may_come_first():
    table = from_python([("x", "a b"), ("y", "c d"), ("x", "e f"), ("y", "g h")])
    assert table.columns == {"text": ["a b", "c d", "e f", "g h"], "label": ["x", "y", "x", "y"]} and table.notes


UNREAD = {
    "names twice": (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are named 'a'"),
    "number and text": (pd.DataFrame([[1, 2]], columns=["1", 1]), "two columns are named '1'"),
    "levels": (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), "several levels"),
    "arrow names twice": (
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]),
        "two columns are named 'a'",
    ),
    "texts and rows": (["a", {"text": "b"}], "row 2: expected a text, found dict"),
    "triple": ([("a", "b", "c")], "row 1: expected a pair"),
    "mixed": ([{"text": "a"}, ("a", "b")], "row 2: expected a dictionary"),
    "lengths": ({"text": ["a", "b"], "label": ["x"]}, r"differ in length \('text' 2, 'label' 1\)"),
    "one row": ({"text": "a", "label": "b"}, "'text' in the dictionary is a str"),
    "path in splits": ({"train": "a.csv"}, "'train' in the dictionary is a str"),
    "table and column": (
        {"train": FRAME, "test": ["a"]},
        "'train' in the dictionary is a table, but 'test' is a column",
    ),
    "columns by row": ({"text": {"0": "a"}, "label": {"0": "b"}}, "'0' is a str, not a list"),
    "empty": ({}, "the dictionary is empty"),
    "array": (np.array([["a", "b"]]), "numpy.ndarray holds no rows that can be read. Give a DataFrame"),
    "number": (7, "builtins.int holds no rows"),
    "None": (None, "NoneType holds no rows"),
    "groups": (FRAME.groupby("label"), "DataFrameGroupBy holds no rows"),
    "set": ({"a", "b"}, "builtins.set holds no rows"),
    "no class": (
        pa.table({"label": [5]}, schema=pa.schema({"label": pa.int64()}, DATASET.data.schema.metadata)),
        "row 1, column 'label': 5 is no class: there are 3 names",
    ),
    "pictures alone": ([{"picture": object()}], "no column holds text"),
}


@pytest.mark.parametrize("rows, message", UNREAD.values(), ids=UNREAD)
def test_other_objects_are_refused(rows, message):
    refuses(message, from_python, rows)


@pytest.mark.parametrize(
    "rows", [itertools.repeat({"text": "a"}), itertools.repeat(("a", "b"))], ids=["rows", "pairs"]
)
def test_endless_streams_are_refused(rows, monkeypatch):
    monkeypatch.setattr(columnar, "MAX_ROWS", 50)
    refuses("did not end after 50 rows", from_python, rows)


def test_long_stream_may_end(monkeypatch):
    monkeypatch.setattr(columnar, "MAX_ROWS", 2)
    assert len(from_python(iter(ROWS))) == 2


def test_polars_frames_are_read():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(COLUMNS, schema={"text": pl.String, "label": pl.Enum(["pos", "neg"])})
    for rows in (frame, frame.lazy()):
        table = from_python(rows)
        assert table.columns == COLUMNS and table.orders == {"label": ["pos", "neg"]}
    assert from_python(frame["text"]).columns == {"text": COLUMNS["text"]}
    assert from_python({"train": frame})["train"].columns == COLUMNS
    assert from_python({"text": frame["text"], "label": frame["label"]}).columns == COLUMNS


def test_module_loads_no_library():
    import subprocess

    code = "import sys, ftkit.files.columnar; print({'pandas', 'pyarrow', 'torch', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
