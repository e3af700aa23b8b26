"Files as rows: read as typed, or refused with file, row, cause and remedy."

import json

import pandas as pd
import pytest

from ftkit.errors import UserError
from ftkit.files.tables import read_table


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
    "latin-1": ("a.csv", "text,label\nxé,1\n".encode("latin-1"), {"text": ["xé"], "label": ["1"]}),
    "semicolons": ("a.csv", "text;label\nhello, you;0\n", {"text": ["hello, you"], "label": ["0"]}),
    "tabs": ("a.tsv", "text\tlabel\nhello, you\t0\n", {"text": ["hello, you"], "label": ["0"]}),
    "quotes and lines": (
        "a.csv",
        'text,label\n"two\nlines, ""quoted""",0\n\nx,1\n',
        {"text": ['two\nlines, "quoted"', "x"], "label": ["0", "1"]},
    ),
    "brackets in the name": ("a[1].csv", "text,label\nx,1\n", {"text": ["x"], "label": ["1"]}),
    "json lines": ("a.jsonl", '{"text":"x","label":1}\n\n{"text":"y"}\n', {"text": ["x", "y"], "label": ["1", None]}),
    "json": ("a.json", '[{"text":"x","label":true}]', {"text": ["x"], "label": ["true"]}),
    "json lines under .json": ("a.json", '{"text":"x"}\n{"text":"y"}\n', {"text": ["x", "y"]}),
}
REFUSED = {
    "a comma too many": (
        "a.csv",
        "text,label\nok,1\nhello, you,0\n",
        r"a\.csv, line 3: 3 fields where the first line has 2 \(text, label\). Put quotes",
    ),
    "a short row": ("a.csv", "text,label\nok\n", "line 2: 1 fields where the first line has 2"),
    "unclosed quote": ("a.csv", 'text,label\nok,1\n"never closed,0\n', "line 3: unexpected end of data"),
    "empty": ("a.csv", "", "the file is empty"),
    "header only": ("a.csv", "text,label\n", "no rows below the column names"),
    "names twice": ("a.csv", "text,text\nx,y\n", "two columns are named 'text'"),
    "web page": ("a.csv", "<!DOCTYPE html><html>404</html>", "is a web page"),
    "zip": ("a.csv", b"PK\x03\x04rest", "is compressed or binary"),
    "gzip": ("a.csv", b"\x1f\x8brest", "is compressed or binary"),
    "broken line": ("a.jsonl", '{"text":"x"}\n{"text":\n', r"line 2: not valid JSON"),
    "not objects": ("a.json", '["a","b"]', "row 1: expected an object"),
    "wrapped": (
        "a.json",
        '{"data":[{"text":"x"}],"version":1}',
        "expected a list of objects, found one dict. The rows seem to be under 'data'",
    ),
    "not parquet": ("a.parquet", "text,label", "cannot be read as Parquet"),
    "other ending": ("a.xlsx", "x", "files ending in '.xlsx' are not read"),
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
    assert read_table(tmp_path / "a.jsonl").columns["label"] == ["1", "1", "1.5", None, None]
