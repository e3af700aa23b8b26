"""The faults that were measured on the plain libraries, one by one: inputs that they misread, or refuse obscurely.

Each row of `FILES` is one of these inputs. It is read as meant and the log line names what was read, or it is refused
in one line with file, row, cause and remedy, exit code 2 and no run folder. `TEXTS` and what follows are the traps of
tokenizers and classifiers.
"""

import gzip
import io
import json
import os
import random
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from architectures import END, make_base
from conftest import BAD, GOOD
from corpus import ROWS, count, join, join_json, join_plain, load, make_rows, run_check
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ftkit.checks.columns import PAIR
from ftkit.cli.main import main
from ftkit.errors import UserError
from ftkit.files.tables import read_table
from ftkit.model_init import load_model
from ftkit.serving.predict import open_model, predict_logits, predict_rows
from ftkit.tokenizer import encode, load_tokenizer

REMEDY = re.compile(
    r"\b(Add|Check|Complete|Convert|Correct|Delete|Download|Export|Get|Give|Keep|Name|Next to it|Put|Remove|Rename|"
    r"Save|Unpack|Use|Write)\b|\b(check|delete|put|write|must be|need) "
)
PLAIN = [(t.replace(",", ""), x) for t, x in ROWS]  # no text holds a comma
FRENCH = [(f"le café n°{i} était fermé, {t}", x) for i, (t, x) in enumerate(ROWS)]
OBJECTS = [{"text": t, "label": x} for t, x in ROWS]
LONG = make_rows(10_200)
FRAME = pd.DataFrame(ROWS, columns=["text", "label"])
STARS = FRAME.rename(columns={"label": "stars"})


@dataclass
class File:
    "An input and what is right"

    id: str  # as the table of measurements describes it
    name: str  # of the file, as it is given to the command
    content: str | bytes | Callable  # or what writes it: (path) -> None
    rows: list | None = None  # text and label of each row that is kept; None: it is refused
    says: str = "60 rows read, none dropped"  # a regex: what the log line, or the message, must hold
    keys: dict = field(default_factory=dict)  # settings that the person gives
    named: str | None = None  # the file that the message must name; default: `name`
    by_check: bool = True  # whether `ftkit check` ends alike; False: it reports a finding, or would take seconds


def change(text: object = None, label: object = None) -> list[tuple]:
    "Return the rows with another text or label in row 10"
    return [(t if text is None else text, x if label is None else label) if i == 9 else (t, x) for i, (t, x) in ROW_OF]


ROW_OF = list(enumerate(ROWS))
WITHOUT = [row for i, row in ROW_OF if i != 9]  # row 10


def rename(label: object) -> list[tuple]:
    "Return the rows with another name for the third label"
    return [(t, label if x == "neu" else x) for t, x in ROWS]


def label_by(make: Callable) -> list[tuple]:
    "Return the rows with the label that `make` returns for a row number"
    return [(t, make(i)) for i, (t, _) in ROW_OF]


def edit(text: str, old: str, new: str) -> str:
    "Return a text with one replacement, which is in row 10"
    assert text.count(old) >= 1
    start = text.index("day 9")
    at = max(text.rfind("\n", 0, start), 0)
    return text[:at] + text[at:].replace(old, new, 1)


def write_objects(change: Callable) -> str:
    "Return JSON Lines of the objects, each as `change` returns it for its row number"
    return "".join(json.dumps(change(i, row)) + "\n" for i, row in enumerate(OBJECTS))


def pack(*files: tuple[str, str]) -> bytes:
    "Return a ZIP archive with files: name and content"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)
    return out.getvalue()


def to_parquet(frame: pd.DataFrame) -> bytes:
    "Return a frame as a Parquet file"
    out = io.BytesIO()
    frame.to_parquet(out)
    return out.getvalue()


def write_ids(*ids: int) -> Callable:
    "Return what writes a Parquet file of a ClassLabel with two names, with these ids from row 10 on"

    def write(path):
        feature = {"_type": "ClassLabel", "names": ["neg", "pos"]}
        known = {b"huggingface": json.dumps({"info": {"features": {"label": feature}}}).encode()}
        labels = [ids[i - 9] if 9 <= i < 9 + len(ids) else i % 2 for i, _ in ROW_OF]
        rows = pyarrow.table({"text": [t for t, _ in ROWS], "label": labels}).replace_schema_metadata(known)
        pyarrow.parquet.write_table(rows, path)

    return write


def write_frames(**frames: pd.DataFrame) -> Callable:
    "Return what writes a CSV file for each frame"
    return lambda path: [frame.to_csv(path.parent / f"{name}.csv", index=False) for name, frame in frames.items()]


def write_folder(path: Path) -> None:
    "Make a folder of that name, which holds a file"
    path.mkdir()
    (path / "mine.csv").write_text(join())


def rewrite(path: Path) -> None:
    "Write rows and read them; then write others, of the same size and with the same time of change"
    path.write_text(join([(t, x.upper()) for t, x in ROWS]))
    before = path.stat()
    assert load(path)[1]["labels"] == ["NEG", "NEU", "POS"]
    path.write_text(join())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


CSV = [
    File(
        "csv: a bare comma in every text", "a.csv", join_plain(sep=",", header="text,label"), says="line 2: 3 fields"
    ),
    File("csv: no header", "a.csv", join().partition("\n")[2], says="first line looks like a row.*column_names"),
    *(File(f"csv: text {x}", "a.csv", join(change(x)), change(x)) for x in ("null", "NA", "nan")),
    *(
        File(f"csv: label {x}", "a.csv", join(rename(x)), rename(x), f"20 rows have the label '{x}'.*ignore_labels")
        for x in ("None", "NA", "null")
    ),
    File(
        "csv: texts 007",
        "a.csv",
        join([(f"{i:03}", x) for i, (_, x) in ROW_OF]),
        [(f"{i:03}", x) for i, (_, x) in ROW_OF],
    ),
    File(
        "csv: texts True",
        "a.csv",
        join([("True", t, x) for t, x in ROWS], header="flag,text,label"),
        [(f"True{PAIR}{t}", x) for t, x in ROWS],
        keys={"text_column_name": "flag, text"},
    ),
    File("csv: blank label", "a.csv", join(change(label="")), WITHOUT, "60 rows read, 1 no label dropped, "),
    File("csv: short row", "a.csv", edit(join(PLAIN), ",pos", ""), says="line 11: 1 field where the header has 2"),
    File("csv: rewritten, same size and time", "a.csv", rewrite, ROWS, "neg 16, neu 16, pos 16"),
    File("csv: extra field in one row", "a.csv", edit(join(PLAIN), ",pos", ",pos,x"), says="line 11: 3 fields"),
    File("csv: empty file", "a.csv", b"", says="the file is empty"),
    File("csv: header only", "a.csv", "text,label\n", says="no rows below the column names"),
    File("csv: UTF-16", "a.csv", join(FRENCH).encode("utf-16"), FRENCH, "utf-16-le"),
    File("csv: Latin-1", "a.csv", join(FRENCH).encode("latin-1"), FRENCH, "decoded as cp1252: 'café'"),
    File("csv: byte order mark", "a.csv", b"\xef\xbb\xbf" + join(FRENCH).encode(), FRENCH, r"\(CSV, utf-8, comma"),
    File("csv: NUL byte", "a.csv", join(change("a NUL \0 byte")), change("a NUL \0 byte")),
    File(
        "csv: texts change type after 10,000 rows",
        "a.csv",
        join([(i if i < 10_000 else t, x) for i, (t, x) in enumerate(LONG)]),
        [(str(i) if i < 10_000 else t, x) for i, (t, x) in enumerate(LONG)],
        "10,200 rows read, none dropped",
    ),
    File(
        "csv: labels change type after 10,000 rows",
        "a.csv",
        join([(t, i % 2 if i < 10_000 else "pos") for i, (t, _) in enumerate(LONG)]),
        [(t, str(i % 2) if i < 10_000 else "pos") for i, (t, _) in enumerate(LONG)],
        "'0' [34],[09]{3}, '1' [34],[09]{3}, pos 1",
    ),
    File("csv: label of 20 digits", "a.csv", join(rename("9" * 20)), rename("9" * 20), "'9{20}' 16, neg 16, pos 16"),
    File("csv: no label column", "a.csv", "text\n" + join([(t,) for t, _ in ROWS])[11:], says="and no other column"),
    File("csv: spaces and case in names", "a.csv", join(header=" Text ,LABEL"), ROWS, "spaces around column names"),
    File("csv: semicolons", "a.csv", join(sep=";", header="text;label"), ROWS, "semicolon-separated"),
    File(
        "csv: two columns of one name",
        "a.csv",
        join([(t, "b", x) for t, x in ROWS], header="text,text,label"),
        says="two columns are named 'text'",
    ),
    File("csv: labels are strings", "a.csv", join(), ROWS, "label = 'label' .*neg 16, neu 16, pos 16"),
    File("csv: labels are floats", "a.csv", join(label_by(lambda i: i % 3 / 2)), label_by(lambda i: f"{i % 3 / 2}")),
    File("csv: one class", "a.csv", join(label_by(lambda i: "pos")), says="has the label 'pos'", by_check=False),
    File("csv: duplicates", "a.csv", join(ROWS + ROWS[:5]), ROWS, "65 rows read, 5 duplicate dropped"),
    File(
        "csv: test rows that are training rows",
        "a.csv",
        write_frames(a=FRAME, test=FRAME[:9]),
        ROWS + ROWS[:9],
        "9 of 9 test rows are training rows too",
        {"test_file": "test.csv"},
    ),
    File("csv: unclosed quote", "a.csv", edit(join(), '",', ","), says="line 11: .*quote.*quoting = literal"),
    File("csv: quotes in a text", "a.csv", join(change('he said "no", twice')), change('he said "no", twice')),
    File("csv: line breaks in a text", "a.csv", join(change("one,\ntwo\n\n3")), change("one,\ntwo\n\n3"), "quoted"),
    File("csv: lines end in CR alone", "a.csv", join(end="\r"), ROWS),
    File("csv: blank lines", "a.csv", join().replace("\n", "\n\n"), ROWS),
    File(
        "csv: text of 20 MB",
        "a.csv",
        join(change("twenty MB " * 2_000_000)),
        change("twenty MB " * 2_000_000),
        by_check=False,
    ),
    File("csv: formulas", "a.csv", join(change("=cmd|' /C calc'!A0")), change("=cmd|' /C calc'!A0")),
    File(
        "csv: train and test have other columns",
        "a.csv",
        write_frames(a=FRAME[:40], test=STARS[40:]),
        says="no column 'label'.*text, stars",
        keys={"test_file": "test.csv"},
        named="test.csv",
    ),
    File(
        "csv: two files have other columns",
        "part-*.csv",
        write_frames(**{"part-1": FRAME[:40], "part-2": STARS[40:]}),
        says="part-1.csv.* has .*text, (label|stars).*part-2.csv|part-2.csv.* has .*text, stars.*part-1.csv",
        named="part-2.csv",
    ),
]
PATHS = [
    File("path: is a folder", "rows", write_folder, says="is a folder without train.csv.*Name a file"),
    File("path: is missing", "none.csv", write_frames(mine=FRAME), says="no such file. Next to it: mine.csv"),
    File("path: no file fits the pattern", "none-*.csv", write_frames(mine=FRAME), says="no such file.*: mine.csv"),
    File("path: brackets in the name", "a[1].csv", join(), ROWS, r"a\[1\].csv \(CSV"),
    File("path: spaces in the name", "my rows (1).csv", join(), ROWS, r"my rows \(1\).csv \(CSV"),
    File("gz: rows", "a.csv.gz", gzip.compress(join().encode()), ROWS, r"a.csv.gz \(CSV, utf-8"),
    File("zip: one file", "a.zip", pack(("rows.csv", join())), ROWS, r"a.zip.*\(CSV, utf-8"),
    File("zip: rows and a text", "a.zip", pack(("a.csv", join()), ("b.txt", "x")), says="2 files .a.csv, b.txt"),
    File("gz: cut", "a.csv.gz", gzip.compress(join().encode())[:-30], says="is cut: .*Download it again"),
    File("gz: plain text", "a.csv.gz", join(), says="is not gz-compressed"),
    File(
        "csv: begins as a ZIP archive", "a.csv", b"PK\x03\x04" + random.Random(0).randbytes(400), says="a ZIP archive"
    ),
    File(
        "csv: page of a missing file", "a.csv", "<!DOCTYPE html>\n<html><body>404</body></html>\n", says="a web page"
    ),
    File("zip: a member outside of the folder", "a.zip", pack(("../../x.csv", join())), ROWS, r"a.zip.*\(CSV, utf-8"),
]
JSON = [
    File(
        "json: rows in a wrapper",
        "a.json",
        json.dumps({"data": OBJECTS, "version": 1}),
        ROWS,
        "the rows are those under 'data'; 'version' left out",
    ),
    File("json: dictionary of lists", "a.json", json.dumps(FRAME.to_dict("list")), ROWS, "JSON dictionary of lists"),
    File("json: list of texts", "a.json", json.dumps(["a", "b"]), says="a list of texts without labels"),
    File("json: empty file", "a.json", b"", says="the file is empty"),
    File("json: empty list", "a.json", b"[]", says="no rows: the list is empty"),
    File(
        "json: Latin-1",
        "a.json",
        json.dumps([{"text": t, "label": x} for t, x in FRENCH], ensure_ascii=False).encode("latin-1"),
        FRENCH,
        "decoded as cp1252: 'café'",
    ),
    File("json: byte order mark", "a.json", b"\xef\xbb\xbf" + json.dumps(OBJECTS).encode(), ROWS, r"\(JSON.*, utf-8"),
    File("jsonl: a text is a number", "a.jsonl", join_json(change(7)), change("7")),
    File(
        "jsonl: labels are numbers and texts",
        "a.jsonl",
        join_json(label_by(lambda i: i % 2 if i < 30 else str(i % 2))),
        label_by(lambda i: str(i % 2)),
        "'0' 24, '1' 24",
    ),
    File(
        "jsonl: missing key",
        "a.jsonl",
        write_objects(lambda i, row: {"text": row["text"]} if i == 9 else row),
        WITHOUT,
        "60 rows read, 1 no label dropped",
    ),
    File("jsonl: extra key", "a.jsonl", write_objects(lambda i, row: {**row, "note": "x"} if i == 9 else row), ROWS),
    File("jsonl: broken line", "a.jsonl", edit(join_json(), '"label":', '"label"'), says="line 10: not valid JSON"),
    File("jsonl: last line is cut", "a.jsonl", join_json()[:-12], says="line 60: the last line is cut"),
    File("jsonl: label NaN", "a.jsonl", edit(join_json(), '"pos"', "NaN"), WITHOUT, "1 no label dropped"),
    File(
        "jsonl: nested text",
        "a.jsonl",
        write_objects(lambda i, row: {**row, "text": {"body": row["text"]}}),
        says="row 1, column 'text': expected a text, found dict",
    ),
    File("jsonl: blank lines", "a.jsonl", join_json().replace("\n", "\n\n"), ROWS, r"\(JSON Lines, utf-8"),
    File("json: list of objects", "a.json", json.dumps(OBJECTS), ROWS, "JSON list of objects, utf-8"),
    File(
        "json: half a character", "a.json", json.dumps(OBJECTS).replace("day 9", "\\ud83d"), says="row 10, column 't"
    ),
    File(
        "json: a key twice",
        "a.json",
        edit(json.dumps(OBJECTS, indent=1), '"label"', '"text"'),
        says="line 38: .*twice",
    ),
]
PARQUET = [
    File("parquet: cut", "a.parquet", to_parquet(FRAME)[:-20], says="cannot be read as Parquet"),
    File("parquet: empty file", "a.parquet", b"", says="the file is empty"),
    File("parquet: is a csv", "a.parquet", join(), says="cannot be read as Parquet"),
    File("parquet: no rows", "a.parquet", to_parquet(FRAME[:0]), says="no rows below the column names"),
    File(
        "parquet: nulls",
        "a.parquet",
        to_parquet(FRAME.assign(label=FRAME["label"].where(FRAME.index != 9, None))),
        WITHOUT,
        "60 rows read, 1 no label dropped",
    ),
    File("parquet: index of pandas", "a.parquet", to_parquet(FRAME.sample(frac=1, random_state=0)), ROWS),
]
LABELS = [
    File("labels: id 5 of two classes", "a.parquet", write_ids(5), says="row 10, column 'label': 5 is no class"),
    File(
        "labels: id -1 of two classes",
        "a.parquet",
        write_ids(-1),
        [(t, ("neg", "pos")[i % 2]) for i, (t, _) in ROW_OF if i != 9],
        "60 rows read, 1 no label dropped",
    ),
    File("labels: all are -100", "a.csv", join(label_by(lambda i: -100)), says="has the label '-100'", by_check=False),
    File(
        "labels: two floats",
        "a.csv",
        join(label_by(lambda i: i % 2 / 1)),
        label_by(lambda i: f"{i % 2}.0"),
        "'0.0' 24, '1.0' 24",
    ),
    File("labels: one whole number", "a.csv", join(label_by(lambda i: 1)), says="has the label '1'", by_check=False),
]


def wrap(start: str, end: str, rows: list = PLAIN, every: int = 1) -> str:
    "Return rows as CSV below a bare header: every n-th line has marks around each of its values"
    mark = lambda value, i: f"{start}{value}{end}" if i % every == 0 else value
    return "text,label\n" + "".join(f"{mark(t, i)},{mark(x, i)}\n" for i, (t, x) in enumerate(rows))


def quote_lines(sep: str = ",", rows: list = PLAIN, every: int = 1, names: str = "text{}label") -> str:
    "Return rows below a bare header, of which every n-th line stands in quotes as a whole"
    lines = ((f'"{t}{sep}{x}"' if i % every == 0 else f"{t}{sep}{x}") for i, (t, x) in enumerate(rows))
    return names.format(sep) + "\n" + "".join(f"{line}\n" for line in lines)


def to_excel(rows: list, change: Callable = lambda sheet: None) -> Callable:
    "Return what writes an Excel file with these rows, and then changes its sheet"

    def write(path):
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(list(row))
        change(book.active)
        book.save(path)

    return write


def filter_rows(sheet) -> None:
    "Hide rows, as a filter does"
    for number in range(2, 20):
        sheet.row_dimensions[number].hidden = True


def write_table(**columns) -> Callable:
    "Return what writes a Parquet file with these columns"
    return lambda path: pyarrow.parquet.write_table(pyarrow.table(columns), path)


NAMED, ALL_TEXTS, GROUPS = [("text", "label"), *ROWS], [t for t, _ in ROWS], sorted(ROWS, key=lambda row: row[1])
EATEN = pd.DataFrame(ROWS[1:], columns=list(ROWS[0]))  # a file without a header, converted as if it had one
TITLE = pd.DataFrame([("text", "label"), *ROWS], columns=["Survey of spring", "2026"])
BY_LABEL = {name: [t for t, x in ROWS if x == name] for name in ("pos", "neg", "neu")}
MAPS = pyarrow.array([[(x, 1)] for _, x in ROWS], pyarrow.map_(pyarrow.string(), pyarrow.int64()))
DAMAGED = gzip.compress(join().encode())
WHOLE, SECOND, ASIDE = "stands in quotes as a whole", "second header", "comment or a total"


def read_twice(codec: str) -> str:
    "Return French rows as UTF-8 that was read as another encoding"
    return join(FRENCH).encode().decode(codec)


FAMILIES = [
    # an example as the header, in every reader
    File("header: excel without one", "a.xlsx", to_excel(ROWS), says="first line looks like a row.*column_names"),
    File(
        "header: excel without one, named",
        "a.xlsx",
        to_excel(ROWS),
        ROWS,
        keys={"column_names": ["text", "label"]},
    ),
    File(
        "header: excel with one, named",
        "a.xlsx",
        to_excel(NAMED),
        ROWS,
        "it is the header",
        {"column_names": ["text", "label"]},
    ),
    File("header: parquet", "a.parquet", to_parquet(EATEN), says="column names look like a row.*header=None"),
    File("header: jsonl", "a.jsonl", EATEN.to_json(orient="records", lines=True), says="column names look like a row"),
    File("header: json", "a.json", EATEN.to_json(orient="records"), says="column names look like a row"),
    File("header: feather", "a.feather", EATEN.to_feather, says="column names look like a row"),
    File(
        "header: jsonl with ids",
        "a.jsonl",
        EATEN.assign(r0=[f"r{i}" for i in range(1, 60)]).to_json(orient="records", lines=True),
        says="column names look like a row",
    ),
    File(
        "title: excel, as wide", "a.xlsx", to_excel([("Survey", 2026), *NAMED]), says="row 2: holds the names.*row 1"
    ),
    File("title: excel, one cell", "a.xlsx", to_excel([("Survey",), *NAMED]), says="row 2: holds the names.*row 1"),
    File(
        "title: excel, merged",
        "a.xlsx",
        to_excel([("Survey",), *NAMED], lambda sheet: sheet.merge_cells("A1:B1")),
        says="row 1 is a title.*Delete row 1",
    ),
    File("title: parquet", "a.parquet", to_parquet(TITLE), says="row 1: holds the names .text, label.*a title"),
    File("title: jsonl", "a.jsonl", TITLE.to_json(orient="records", lines=True), says="line 1: holds the names"),
    File(
        "header: excel of a form",
        "a.xlsx",
        to_excel(
            [
                ("Start time", "Please describe your experience in your own words", "How do you feel?"),
                *((f"2026-01-05 12:{i:02}", t, x) for i, (t, x) in ROW_OF),
            ]
        ),
        ROWS,
    ),
    # quotes around lines
    File("lines in quotes: commas in texts", "a.csv", quote_lines(rows=ROWS), says=f"line 2: {WHOLE}"),
    *(File(f"lines in quotes: {sep!r}", "a.csv", quote_lines(sep), says=f"line 2: {WHOLE}") for sep in ",;\t|"),
    File(
        "lines in quotes: label first",
        "a.csv",
        quote_lines(rows=[r[::-1] for r in PLAIN], names="label{}text"),
        says=WHOLE,
    ),
    File("lines in quotes: every third", "a.csv", quote_lines(every=3), says=f"line 2: {WHOLE}"),
    File("lines in quotes: tabs, .tsv", "a.tsv", quote_lines("\t"), says=WHOLE),
    File(
        "lines in quotes: delimiters behind", "a.csv", quote_lines().replace('"\n', '";;\n'), says=f"line 2: {WHOLE}"
    ),
    File(
        "lines in quotes: names given",
        "a.csv",
        quote_lines().partition("\n")[2],
        says=f"line 1: {WHOLE}",
        keys={"column_names": "text, label"},
    ),
    File(
        "curly quotes around labels",
        "a.csv",
        join([(t, f"“{x}”") for t, x in ROWS]),
        ROWS,
        "'“pos”' .20. was read as the label 'pos'",
    ),
    File(
        "bytes as labels",
        "a.csv",
        join([(t, f"b'{x}'") for t, x in ROWS]),
        ROWS,
        "look like bytes that Python printed",
    ),
    # other quotes around values
    File("single quotes", "a.csv", wrap("'", "'"), PLAIN, "single quotes around every value of 'text'.*\n.*'label'"),
    File(
        "single quotes, doubled",
        "a.csv",
        wrap("'", "'", [(f"it''s {t}", x) for t, x in PLAIN]),
        [(f"it's {t}", x) for t, x in PLAIN],
        "single quotes around every value",
    ),
    File("single quotes: commas in texts", "a.csv", wrap("'", "'", ROWS), ROWS, "single quotes around a value"),
    File("backticks", "a.csv", wrap("`", "`"), PLAIN, "backticks around every value of 'label'"),
    File("backticks: commas in texts", "a.csv", wrap("`", "`", ROWS), ROWS, "backticks around a value"),
    File('="…" of Excel', "a.csv", wrap('="', '"'), PLAIN, "Excel's =.* around every value of 'label'"),
    File(
        "single quotes around labels, excel",
        "a.xlsx",
        to_excel([("text", "label"), *((t, f"'{x}'") for t, x in ROWS)]),
        ROWS,
        "''pos'' .20. was read as the label 'pos'",
    ),
    File(
        "single quotes around some texts",
        "a.csv",
        wrap("'", "'", [(t, x) for t, x in PLAIN], every=3).replace("'pos'", "pos"),
        [(f"'{t}'" if i % 3 == 0 else t, x) for i, (t, x) in enumerate(PLAIN)],
        "20 of 60 values of 'text' stand in single quotes",
    ),
    # rows that are none
    File("second header: types", "a.csv", join().replace("label\n", "label\nstring,category\n"), says=SECOND),
    File("second header: units", "a.csv", join().replace("label\n", "label\n(string),(class)\n"), says=SECOND),
    File("second header: names", "a.csv", join().replace("label\n", "label\nReview text,Sentiment\n"), says=SECOND),
    File("second header: jsonl", "a.jsonl", join_json([("text", "category"), *ROWS]), says=f"line 1: .*{SECOND}"),
    File("second header: excel", "a.xlsx", to_excel([NAMED[0], ("string", "int"), *ROWS]), says=f"row 2: .*{SECOND}"),
    File(
        "second header: survey",
        "a.csv",
        join([("What?", "How?"), ('{"ImportId":"QID1"}', '{"ImportId":"QID2"}'), *ROWS], header="Q1,Q2"),
        says="line 3: holds the ids of a survey.*lines 2 to 3",
    ),
    File("footer: comment", "a.csv", join() + "# generated by tool, v1\n", says=f"line 62: .*{ASIDE}.*' v1'|'v1'"),
    File("footer: total", "a.csv", join() + "Total,60\n", says=f"line 62: .*{ASIDE}"),
    File("footer: source, excel", "a.xlsx", to_excel([*NAMED, ("Source: survey", "2026")]), says=f"row 62: .*{ASIDE}"),
    File("comment: in the middle", "a.csv", edit(join(PLAIN), "\n", "\n# a remark, here\n"), says=ASIDE),
    File(
        "texts begin with # and total",
        "a.csv",
        join([(f"#{t}" if i % 2 else f"Total: {t}", x) for i, (t, x) in ROW_OF]),
        [(f"#{t}" if i % 2 else f"Total: {t}", x) for i, (t, x) in ROW_OF],
    ),
    File(
        "rare labels of texts that begin with #",
        "a.csv",
        join([*ROWS, *[("#MeToo matters", "odd"), ("#MeToo is loud", "odder")]]),
        [*ROWS, ("#MeToo matters", "odd"), ("#MeToo is loud", "odder")] * 3,
        "2 labels have one row only",
        {"validation_file": "a.csv", "test_file": "a.csv"},
        by_check=False,
    ),
    File(
        "header again: excel",
        "a.xlsx",
        to_excel([*NAMED[:31], *NAMED[:1], *NAMED[31:]]),
        ROWS,
        "1 repeated header row left out.* row 32",
    ),
    File(
        "header again: jsonl", "a.jsonl", join_json([*ROWS[:30], NAMED[0], *ROWS[30:]]), ROWS, "1 repeated header row"
    ),
    # labels and texts of another kind
    File(
        "map as the label",
        "a.parquet",
        write_table(text=ALL_TEXTS, label=MAPS),
        says="row 1, column 'label': .*found dict",
        by_check=False,
    ),
    File(
        "list as the label",
        "a.parquet",
        write_table(text=ALL_TEXTS, label=[[x] for _, x in ROWS]),
        ROWS,
        "'label' holds lists; a list of one label was read as the label",
    ),
    File("jsonl named .txt", "a.txt", join_json(), says="holds JSON.*Rename it to .json"),
    File("json named .txt", "a.txt", json.dumps(OBJECTS), says="holds JSON.*Rename it"),
    File("rtf named .txt", "a.txt", "{\\rtf1\\ansi{\\fonttbl}\n\\f0 some text\\par\n}", says="is an RTF document"),
    # archives
    File("gz: damaged", "a.csv.gz", DAMAGED[:-8] + b"\1\2\3\4" + DAMAGED[-4:], says="is damaged: .*CRC"),
    File("gz: more behind it", "a.csv.gz", DAMAGED + b"junk", says="is damaged"),
    *(
        File(f"{x}: plain text", f"a.csv.{x}", join(), says=f"not {x}-compressed.*Rename it to a.csv")
        for x in ("bz2", "xz")
    ),
    File("xz: is gz", "a.csv.xz", DAMAGED, says="not xz-compressed.*it is gz. Rename it to a.csv.gz"),
    File("zip: plain text", "a.zip", join(), says="is not a ZIP archive"),
    File("zip: empty", "a.zip", pack(), says="is an empty archive"),
    File("gz: nothing inside", "a.csv.gz", gzip.compress(b""), says="the file inside is empty"),
    # read, and named
    File(
        "labels: True and 1",
        "a.csv",
        join(label_by(lambda i: ("True", "1", "False", "0")[i % 4])),
        label_by(lambda i: ("True", "1", "False", "0")[i % 4]),
        "the labels 'True', '1', 'False', '0' look like one yes and no",
    ),
    File(
        "labels: 1,5 and 1.5",
        "a.csv",
        join(label_by(lambda i: ("1,5", "1.5", "2")[i % 3])),
        label_by(lambda i: ("1,5", "1.5", "2")[i % 3]),
        "the labels '1,5' and '1.5' look like one number",
    ),
    File(
        "index of pandas holds texts",
        "a.parquet",
        to_parquet(FRAME.assign(n=range(60)).set_index(pd.Index(ALL_TEXTS))[["label", "n"]]),
        ROWS,
        "nameless index of pandas was read as the column 'index'",
    ),
    File(
        "index of pandas holds ids",
        "a.parquet",
        to_parquet(FRAME.set_index(pd.Index([f"r{i}" for i in range(60)]))),
        ROWS,
        "nameless index",
    ),
    *(
        File(
            f"UTF-8 read as {codec}",
            "a.csv",
            read_twice(codec),
            [(t.encode().decode(codec), x) for t, x in FRENCH],
            "60 values look like UTF-8 that was read as another encoding, such as 'cafÃ©' .'café'",
        )
        for codec in ("latin-1", "cp1252")
    ),
    File(
        "Russian UTF-8 read as cp1251",
        "a.csv",
        join([("всё понял " + t, x) for t, x in ROWS]).encode().decode("cp1251", "replace").replace("\ufffd", ""),
        [(("всё понял " + t).encode().decode("cp1251", "replace").replace("\ufffd", ""), x) for t, x in ROWS],
        "60 values look like UTF-8",
    ),
    File(
        "lost characters",
        "a.csv",
        join(FRENCH).replace("é", "\ufffd"),
        [(t.replace("é", "\ufffd"), x) for t, x in FRENCH],
        "60 values hold U.FFFD.*'caf\ufffd'",
    ),
    File(
        "UTF-7",
        "a.csv",
        join([("+AOk-tait " + t, x) for t, x in ROWS]),
        [("+AOk-tait " + t, x) for t, x in ROWS],
        "UTF-7, such as '.AOk-tait' .'était'",
    ),
    File(
        "capitals that only look doubly encoded",
        "a.csv",
        join([(f"«É\xa0! MANHÃ» СССР» {t}", x) for t, x in ROWS]),
        [(f"«É\xa0! MANHÃ» СССР» {t}", x) for t, x in ROWS],
        r"decoded as|^(?!.*(another encoding|U.FFFD|UTF-7))",
    ),
    File(
        "hidden rows", "a.xlsx", to_excel(NAMED, filter_rows), ROWS, "18 hidden rows were read too, the first is row 2"
    ),
    # refused with the cause
    File(
        "label in the first row of its group: excel",
        "a.xlsx",
        to_excel([NAMED[0], *((t, x if i % 20 == 0 else None) for i, (t, x) in enumerate(GROUPS))]),
        says="row 3, column 'label': is empty, like 57 of 60 rows: .*first row of its group.*ffill",
    ),
    File(
        "label in the first row of its group: csv",
        "a.csv",
        join([(t, x if i % 20 == 0 else "") for i, (t, x) in enumerate(GROUPS)]),
        says="line 3|row 3, column 'label': is empty",
    ),
    *(
        File(f"lines end in U+{ord(end):04X}", "a.csv", join(end=end), says=f"lines end in U.{ord(end):04X}")
        for end in "\x85\u2028\u2029"
    ),
    File("jsonl lines end in U+2028", "a.jsonl", join_json().replace("\n", "\u2028"), says="lines end in U.2028"),
    File(
        "json holds U+2028",
        "a.json",
        json.dumps([{"text": f"{t} \u2028 \u2028", "label": x} for t, x in ROWS], ensure_ascii=False),
        [(f"{t} \u2028 \u2028", x) for t, x in ROWS],
    ),
    File("json: labels as keys", "a.json", json.dumps(BY_LABEL), says="'pos', 'neg', 'neu' each hold texts.*labels"),
    File(
        "json: labels as keys, uneven",
        "a.json",
        json.dumps({**BY_LABEL, "pos": ALL_TEXTS[:3]}),
        says="keys are the labels",
    ),
    *(
        File(
            f"header {a!r}, rows {b!r}",
            "a.csv",
            f"text{a}label\n" + join_plain(PLAIN, b, ""),
            says="line 1: the names stand between",
        )
        for a, b in (",\t", ";,", ",;", "\t|")
    ),
    File(
        "header with commas, rows with tabs, commas in texts",
        "a.csv",
        "text,label\n" + join_plain(sep="\t", header=""),
        says="the names stand between commas .*, but the lines below between tabs",
    ),
]
FILES = CSV + PATHS + JSON + PARQUET + LABELS + FAMILIES


def hash_files(folder: Path) -> dict:
    "Return the files below a folder with their hashes, and its folders"
    return {p: p.is_file() and sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*")}


def check_message(case: File, message: str) -> None:
    "Assert that a refusal is one line with file, cause and remedy"
    assert message.startswith("ftkit: ") and message.count("\n") == 1 and len(message) < 700, message
    assert re.search(case.says, message), message
    assert (case.named or case.name) in message, f"the file is not named: {message}"
    assert REMEDY.search(message), f"no remedy: {message}"


LARGE = ("csv: labels change type after 10,000 rows", "csv: text of 20 MB")  # take seconds


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c.id, marks=pytest.mark.slow if c.id in LARGE else ()) for c in FILES]
)
def test_measured_file_is_read_or_refused(case, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "own" / "folder"  # what leaves it is seen
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("ftkit.views.console.quiet_libraries", lambda: None)
    if callable(case.content):
        case.content(folder / case.name)
    else:
        (folder / case.name).write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    before = hash_files(tmp_path)
    if case.rows is None:
        code, result, err = run_check(case.name, capsys, **case.keys)
        assert (code, result) == (2, None) if case.by_check else code == 3, (code, result)
        if case.by_check:
            check_message(case, err)
        flags = [word for key, value in case.keys.items() for word in (f"--{key}", value)]
        assert main(["train", "--train_file", case.name, *flags]) == 2
        check_message(case, capsys.readouterr().err)
    else:
        if case.by_check:
            code, _, err = run_check(case.name, capsys, **case.keys)
            assert code in (0, 3) and not err, (code, err)
        found, _, said = load(case.name, max_eval_samples=None, **case.keys)
        wanted = Counter(case.rows)
        assert found == wanted, f"missing {list(wanted - found)[:3]}, unexpected {list(found - wanted)[:3]}"
        assert re.search(case.says, said), said
    assert hash_files(tmp_path) == before
    count("measured files", "refused" if case.rows is None else "read as meant")


def test_files_are_those_measured():
    assert len(CSV + PATHS + JSON + PARQUET) == 79 and len({case.id for case in FILES}) == len(FILES)
    count("measured files", "counted")


# --- several files, and objects of Python ---


def load_both(folder: Path, train: list, test: list, capsys, header: str | None = None) -> tuple[dict, Callable]:
    "Return what `ftkit check` finds in a training and a test file, and what loads them"
    (folder / "train.csv").write_text(join(train))
    (folder / "test.csv").write_text(join(test, header=header))
    files = {"validation_file": str(folder / "test.csv"), "test_file": str(folder / "test.csv")}
    code, result, err = run_check(folder / "train.csv", capsys, test_file=files["test_file"])
    assert code in (0, 3), err
    found = {f["what"]: f for f in result["findings"]}
    return found, lambda: load(folder / "train.csv", max_eval_samples=None, **files)[2]


@pytest.mark.parametrize("row", [("Texte", "Etiquette"), ("a note at the end", "v1")], ids=["header", "footer"])
def test_label_of_one_row_is_named(tmp_path, capsys, row):
    train = [row, *ROWS] if row[0] == "Texte" else [*ROWS, row]
    found, load_all = load_both(tmp_path, train, ROWS[:9], capsys)
    place = train.index(row) + 2
    assert f"1 label has one row only: '{row[1]}' (row {place})" in load_all()
    assert any(row[1] in f["examples"] for f in found.values())
    count("measured files", "read as meant")


def test_label_of_another_spelling_is_named(tmp_path, capsys):
    found, load_all = load_both(tmp_path, ROWS, [(f"new {t}", x.upper()) for t, x in ROWS[:9]], capsys)
    assert "'POS' (3) in the test rows was read as 'pos'" in found and "'POS' (3) in the test rows" in load_all()
    count("measured files", "read as meant")


def test_label_of_test_rows_alone_is_refused(tmp_path, capsys):
    found, load_all = load_both(tmp_path, ROWS, [*ROWS[:9], ("new", "odd"), ("newer", "")], capsys)
    assert found["labels of the test rows that no training row has"]["examples"] == ["odd"]
    assert found["test rows without a label; they are dropped"]["count"] == 1
    said = hear(load_all, capsys)
    assert re.search("test.csv: the validation rows have the label 'odd'.*Correct it", said), said
    count("measured files", "refused")


@pytest.mark.parametrize("header", ["text,label", "text"])
def test_test_rows_without_labels_are_left_out(tmp_path, capsys, header):
    test = [(t, "")[: header.count(",") + 1] for t, _ in ROWS[:9]]
    found, load_all = load_both(tmp_path, ROWS, test, capsys, header)
    assert "the test rows have no labels and are left out" in found
    assert "the test rows have no labels and were left out" in load_all()
    count("measured files", "read as meant")


@pytest.mark.parametrize(
    "rows, says",
    [
        (EATEN, "column names look like a row"),
        (EATEN.to_dict("records"), "column names look like a row"),
        (TITLE, "a title .Survey"),
        (pd.concat([FRAME[:0], pd.DataFrame([["string", "int"]], columns=FRAME.columns), FRAME]), "second header"),
        (FRAME.assign(label="pos"), "the DataFrame: every row has the label 'pos' in the column 'label'"),
    ],
    ids=["frame", "dictionaries", "title", "types", "one label"],
)
def test_frame_is_judged_like_a_file(rows, says):
    with pytest.raises(UserError, match=says):
        load(dataset=rows)
    count("measured files", "refused")


def test_nameless_index_of_a_frame_is_named():
    said = load(dataset=FRAME.set_index(pd.Index(ALL_TEXTS)))[2]
    assert "the index 'The bread" in said and "use df.reset_index()" in said
    assert "the index" not in load(dataset=FRAME.sample(frac=1, random_state=0))[2]
    count("measured files", "read as meant")


def test_document_in_a_label_folder_is_refused(tmp_path):
    for name in ("pos", "neg"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_text("{\\rtf1\\ansi some text}" if name == "neg" else "some text")
    with pytest.raises(UserError, match="neg/1.txt: is an RTF document.*Save it"):
        load(tmp_path)
    count("measured files", "refused")


@pytest.mark.parametrize(
    "lines, says",
    [
        (
            "comment_x,mood_y\n" + join(PLAIN)[11:],
            "every line holds 1 comma.s. and was read as one text: .*delimiter = comma",
        ),
        ("".join(f'"{t}"\n' for t in ALL_TEXTS), "every line stands in quotes, which were kept"),
        ("".join(f"{t}\n" for t in ALL_TEXTS[:9]), "^$"),
    ],
    ids=["commas", "quotes", "few"],
)
def test_lines_that_look_like_a_table_are_named(tmp_path, lines, says):
    (tmp_path / "rows.txt").write_text(lines)
    table = read_table(tmp_path / "rows.txt")
    assert len(table) == lines.count("\n") and re.search(says, "".join(table.notes)), table.notes
    count("measured files", "read as meant")


# --- tokenizers and classifiers ---

HALF, NO_TEXT = "the text holds half of a character (a lone surrogate)", "there is no text"
TEXTS = {  # text, and why it has no answer; None: it has one
    "nothing": ("", "the text is empty"),
    "ends with the end of text": (f"{GOOD}{END}", None),
    "holds the end of text": (f"lovely {END} bread", None),
    "longer than the context": ("word " * 600, None),
    "emoji family": ("👨‍👩‍👧‍👦", None),
    "right to left": ("שלום עולם, مرحبا بالعالم", None),
    "5,000 letters": ("a" * 5000, None),
    "zero-width space": ("\u200b", "the text is empty"),
    "line break": ("\n", "the text is empty"),
    "NUL": ("\x00", "the text is empty"),
    "half a character": ("\ud83d", HALF),
    "None": (None, NO_TEXT),
    "7": (7, "expected a text, found int"),
    "nan": (float("nan"), NO_TEXT),
}
TWO = ["bad", "good"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    "The folder of a small GPT-2 without a pad token"
    return make_base("gpt2", tmp_path_factory.mktemp("base") / "gpt2", positions=64)


@pytest.fixture(scope="module")
def classifier(base):
    "Model and tokenizer"
    return load_classifier(base)


@pytest.fixture
def own(base, tmp_path):
    "A folder of a classifier, to be changed"
    tokenizer = load_tokenizer(str(base))
    load_model(str(base), TWO, tokenizer).save_pretrained(tmp_path / "own")
    tokenizer.save_pretrained(tmp_path / "own")
    return tmp_path / "own"


def load_classifier(folder, labels=TWO):
    "Return the model and the tokenizer of a base model"
    tokenizer = load_tokenizer(str(folder))
    return load_model(str(folder), labels, tokenizer).eval(), tokenizer


def check_batch(classifier, texts: list[str]) -> None:
    "Assert that texts have the same logits alone and together"
    together = predict_logits(*classifier, texts)
    alone = np.concatenate([predict_logits(*classifier, [text]) for text in texts])
    assert np.isfinite(alone).all() and np.abs(together - alone).max() < 1e-5


def change_json(path: Path, **values) -> None:
    "Change keys of a JSON file"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def hear(work: Callable, capsys) -> str:
    "Return what was logged, or the message of a refusal"
    capsys.readouterr()
    try:
        work()
    except UserError as e:
        assert "\n" not in str(e)
        return str(e)
    lines = capsys.readouterr().err.splitlines()
    return "\n".join(line for line in lines if "MISSING" not in line and "Loading weights" not in line)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("how", ["alone", "in a batch of its kind", "in a mixed batch"])
def test_measured_text_has_answer_or_reason(classifier, name, how):
    text, reason = TEXTS[name]
    texts = {"alone": [text], "in a batch of its kind": [text] * 3, "in a mixed batch": [GOOD, text, BAD]}[how]
    rows = predict_rows(*classifier, texts)
    place = len(texts) // 2
    assert len(rows) == len(texts) and rows[place].get("error") == reason
    if reason is None:
        assert rows[place]["scores"] == pytest.approx(predict_rows(*classifier, [text])[0]["scores"], abs=1e-5)
        ids = encode(classifier[1], [text])["input_ids"][0]
        assert not set(ids) & set(classifier[1].all_special_ids)
    count("measured texts", "answered" if reason is None else "reason given")


@pytest.mark.parametrize("texts", [[GOOD], [GOOD, "no", BAD]], ids=["one text", "several texts"])
def test_missing_pad_token_is_replaced(base, classifier, texts):
    assert AutoTokenizer.from_pretrained(base).pad_token is None
    model, tokenizer = classifier
    assert model.config.pad_token_id == tokenizer.pad_token_id == tokenizer.eos_token_id
    check_batch(classifier, texts)
    count("measured models", "as meant")


def test_left_padding_changes_no_answer(base, classifier, tmp_path):
    folder = shutil.copytree(base, tmp_path / "left")
    AutoTokenizer.from_pretrained(base, padding_side="left").save_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder).padding_side == "left"
    texts = [GOOD, "no", BAD]
    left = load_classifier(folder)
    assert np.abs(predict_logits(*left, texts) - predict_logits(*classifier, texts)).max() < 1e-5
    check_batch(left, texts)
    count("measured models", "as meant")


def test_text_beyond_the_positions_is_cut(tmp_path):
    short = load_classifier(make_base("gpt2", tmp_path / "short", positions=16))
    check_batch(short, ["a" * 17, "b " * 17, "no"])
    count("measured models", "as meant")


@pytest.mark.parametrize("added", ["a pad token", "a word"])
def test_token_beyond_the_vocabulary_is_refused(base, tmp_path, capsys, added):
    folder, tokenizer = shutil.copytree(base, tmp_path / "more"), AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"}) if "pad" in added else tokenizer.add_tokens(["@reader"])
    tokenizer.save_pretrained(folder)
    said = hear(lambda: check_batch(load_classifier(folder), ["hi @reader", "no", BAD]), capsys)
    assert re.search(r"\b40[01]\b.*token", said), said
    count("measured models", "refused")


@pytest.mark.parametrize("names", [["0", "1"], ["0.0", "1.0"]], ids=str)
def test_number_labels_are_classes(base, names):
    model, tokenizer = load_classifier(base, names)
    assert model.config.problem_type == "single_label_classification" and model.config.num_labels == 2
    assert set(predict_rows(model, tokenizer, [GOOD])[0]["scores"]) == set(names)
    count("measured models", "as meant")


def test_head_of_other_labels_is_new(own, capsys):
    old = AutoModelForSequenceClassification.from_pretrained(own).score.weight.detach()
    said = hear(lambda: load_classifier(own, ["bad", "flat", "good"]), capsys)
    model, _ = load_classifier(own, ["bad", "flat", "good"])
    assert len(model.score.weight) == 3 and not np.allclose(model.score.weight[:2].detach(), old)
    assert "classifies into bad, good: it gets a new head" in said
    count("measured models", "as meant")


@pytest.mark.parametrize("use", ["training", "predicting"])
def test_missing_head_is_reported(own, capsys, use):
    weights = load_file(own / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, own / "model.safetensors", {"format": "pt"})
    work = lambda: load_classifier(own) if use == "training" else open_model(own, AutoModelForSequenceClassification)
    said = hear(work, capsys)
    assert re.search(r"no head|lacks .*head|new head|score", said) and "is kept" not in said, said
    count("measured models", "refused")


@pytest.mark.parametrize("use", ["training", "predicting"])
def test_contradicting_label_names_are_reported(own, capsys, use):
    change_json(own / "config.json", label2id={"bad": 1, "good": 0})
    work = lambda: load_classifier(own) if use == "training" else open_model(own, AutoModelForSequenceClassification)
    said = hear(work, capsys)
    assert "label2id" in said, said
    count("measured models", "refused")
