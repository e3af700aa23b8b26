"Files as rows: read as typed, or refused with file, row, cause and remedy."

import bz2
import gzip
import json
import lzma
import zipfile

import pandas as pd
import pytest

from ftkit.errors import UserError
from ftkit.files.tables import read_table, read_tables


def made(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


READ = {
    "plain": ("a.csv", "text,label\nhello,0\nbye,1\n", {"text": ["hello", "bye"], "label": ["0", "1"]}),
    "values stay as typed": (
        "a.csv",
        "text,label\n007,null\nTrue,NA\n",
        {"text": ["007", "True"], "label": ["null", "NA"]},
    ),
    "mark": ("a.csv", b"\xef\xbb\xbftext,label\nx,1\n", {"text": ["x"], "label": ["1"]}),
    "utf-16": ("a.csv", "text,label\nxé,1\n".encode("utf-16"), {"text": ["xé"], "label": ["1"]}),
    "latin-1": (
        "a.csv",
        "text,label\nle café était fermé et désolé pour le problème à l'entrée,1\n".encode("latin-1"),
        {"text": ["le café était fermé et désolé pour le problème à l'entrée"], "label": ["1"]},
    ),
    "semicolons": ("a.csv", "text;label\nhello, you;0\n", {"text": ["hello, you"], "label": ["0"]}),
    "tabs": ("a.tsv", "text\tlabel\nhello, you\t0\n", {"text": ["hello, you"], "label": ["0"]}),
    "quotes and lines": (
        "a.csv",
        'text,label\n"two\nlines, ""quoted""",0\n\nx,1\n',
        {"text": ['two\nlines, "quoted"', "x"], "label": ["0", "1"]},
    ),
    "brackets in the name": ("a[1].csv", "text,label\nx,1\n", {"text": ["x"], "label": ["1"]}),
    "json lines": ("a.jsonl", '{"text":"x","label":1}\n\n{"text":"y"}\n', {"text": ["x", "y"], "label": ["1", None]}),
    "json": ("a.json", '[{"text":"x","label":true}]', {"text": ["x"], "label": ["True"]}),
    "wrapped": ("a.json", '{"data":[{"text":"x"}],"version":1}', {"text": ["x"]}),
    "json lines under .json": ("a.json", '{"text":"x"}\n{"text":"y"}\n', {"text": ["x", "y"]}),
}
REFUSED = {
    "a comma too many": (
        "a.csv",
        "text,label\nok,1\nhello, you,0\n",
        r"a\.csv, line 3: 3 fields where the header has 2 \(text, label\). If a text holds a comma, put quotes",
    ),
    "a short row": ("a.csv", "text,label\nok\n", "line 2: 1 field where the header has 2"),
    "unclosed quote": ("a.csv", 'text,label\n"o,k",1\n"never closed,0\n', "line 3: "),
    "empty": ("a.csv", "", "the file is empty"),
    "header only": ("a.csv", "text,label\n", "no rows below the column names"),
    "names twice": ("a.csv", "text,text\nx,y\n", "two columns are named 'text'"),
    "web page": ("a.csv", "<!DOCTYPE html><html>404</html>", "is a web page"),
    "zip": ("a.csv", b"PK\x03\x04rest", "is a ZIP archive"),
    "gzip": ("a.csv", b"\x1f\x8brest", "is gzip data"),
    "broken line": ("a.jsonl", '{"text":"x"}\n{"text":\n', r"line 2: the last line is cut"),
    "not objects": ("a.json", '["a","b"]', "is a list of texts without labels"),
    "not parquet": ("a.parquet", "text,label", "cannot be read as Parquet"),
    "other ending": ("a.xlsx", "x", "is not an Excel file"),
    "unknown ending": ("a.doc", "x", "files ending in '.doc' are not read"),
}


@pytest.mark.parametrize("name, content, columns", READ.values(), ids=READ)
def test_rows_are_read_as_typed(tmp_path, name, content, columns):
    assert read_table(made(tmp_path, name, content)).columns == columns


@pytest.mark.parametrize("name, content, message", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(tmp_path, name, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read_table(made(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_parquet(tmp_path):
    pd.DataFrame({"text": ["x", None], "label": [1, 2]}, index=[5, 6]).to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").columns == {"text": ["x", None], "label": ["1", "2"]}


def test_json_numbers_become_their_own_text(tmp_path):
    made(
        tmp_path,
        "a.jsonl",
        "\n".join(json.dumps({"text": "x", "label": v}) for v in (1, 1.0, 1.5, None)) + '\n{"text":"x","label":NaN}',
    )
    assert read_table(tmp_path / "a.jsonl").columns["label"] == ["1", "1.0", "1.5", None, None]


@pytest.mark.parametrize("suffix, pack", [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_compressed_text_is_read(tmp_path, suffix, pack):
    file = made(tmp_path, f"a.csv{suffix}", pack(b"text,label\nx,1\n"))
    assert read_table(file).columns == {"text": ["x"], "label": ["1"]}
    with pytest.raises(UserError, match="is not .*compressed, though its name says so"):
        read_table(made(tmp_path, f"b.csv{suffix}", "text,label\nx,1\n"))
    with pytest.raises(UserError, match="is cut|is not"):
        read_table(made(tmp_path, f"c.csv{suffix}", pack(b"text,label\nx,1\n")[:-9]))


def test_zip_with_one_file_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("folder/rows.tsv", "text\tlabel\nx\t1\n")
        archive.writestr("__MACOSX/rows.tsv", "junk")
    assert read_table(tmp_path / "a.zip").columns == {"text": ["x"], "label": ["1"]}
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("more.csv", "text,label\n")
    with pytest.raises(UserError, match="holds 2 files .*Unpack it, and name one"):
        read_table(tmp_path / "a.zip")


def test_pattern_joins_files(tmp_path):
    for name in ("1", "2"):
        made(tmp_path, f"part-{name}.csv", f"text,label\nx{name},1\n")
    table = read_table(tmp_path / "part-*.csv")
    assert table.columns["text"] == ["x1", "x2"] and table.notes[0] == "2 files were joined"
    made(tmp_path, "part-3.csv", "text,stars\nx,1\n")
    with pytest.raises(UserError, match="part-3.csv: has the columns text, stars, but .*part-1.csv has text, label"):
        read_table(tmp_path / "part-*.csv")


def test_folder_for_each_label_is_read(tmp_path):
    for path, text in (
        ("train/pos/1.txt", "good"),
        ("train/neg/1.txt", "bad"),
        ("test/pos/1.txt", "fine"),
        ("train/unsup/9.txt", "?"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    tables = read_tables(tmp_path)
    assert list(tables) == ["test", "train"] and tables["train"].columns["label"] == ["neg", "pos"]
    assert tables["train"].notes == ["the folder unsup has no labels and was left out"]


@pytest.mark.parametrize(
    "text, columns",
    [
        ("__label__pos so good\n__label__neg too bad\n", {"text": ["so good", "too bad"], "label": ["pos", "neg"]}),
        ("DESC:manner How did it\nENTY:animal What cat\n" * 3, None),
        ("1 so good\n0 too bad\n" * 3, None),
        ("a text alone\nand another one\n", {"text": ["a text alone", "and another one"]}),
    ],
    ids=["fasttext", "trec", "numbers", "texts alone"],
)
def test_lines_of_text_are_read(tmp_path, text, columns):
    found = read_table(made(tmp_path, "a.txt", text)).columns
    assert found == columns if columns else found["text"][0] == text.splitlines()[0].split(" ", 1)[1]


@pytest.mark.parametrize("address", ["https://x.org/a.csv", "s3://bucket/a.csv", "hf://datasets/x/y"])
def test_address_on_the_web_is_refused(address):
    with pytest.raises(UserError, match="addresses are not read. Download the file"):
        read_table(address)
