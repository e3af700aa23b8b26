"JSON in every form that people and tools write, or refused by name."

import json

import pandas as pd
import pytest

from ftkit.errors import UserError
from ftkit.files.json_rows import parse_json, parse_jsonl

TEXTS = [f"some text number {i}" for i in range(6)]
LABELS = ["pos", "neg"] * 3
COLUMNS = {"text": TEXTS, "label": LABELS}
OBJECTS = [{"text": t, "label": n} for t, n in zip(TEXTS, LABELS)]
PAIRS = [[t, n] for t, n in zip(TEXTS, LABELS)]
FORMS = {
    "objects": (OBJECTS, "list of objects"),
    "pairs": (PAIRS, "list of pairs"),
    "pairs, label first": ([p[::-1] for p in PAIRS], "list of pairs, label first"),
    "pairs under a header": ([["sentence", "intent"], *PAIRS], "list of pairs"),
    "lists": (COLUMNS, "dictionary of lists"),
    "texts and labels": (dict(PAIRS), "dictionary of texts and labels"),
    "wrapper": ({"data": OBJECTS, "version": 1}, "list of objects"),
    "wrapper of pairs": ({"intents": PAIRS, "version": 1}, "list of pairs"),
    "wrapper of columns": ({"data": COLUMNS}, "dictionary of lists"),
    "rows without usual names": ({"ab": OBJECTS[0], "cd": OBJECTS[1], "ef": OBJECTS[2]}, "orient=index"),
}


def read(document, parse=parse_json):
    text = document if isinstance(document, str) else json.dumps(document)
    return parse(text, "a.json", "utf-8")


@pytest.mark.parametrize("document, form", FORMS.values(), ids=FORMS)
def test_forms_give_same_columns(document, form):
    table = read(document)
    n = len(table)
    assert table.columns == {"text": TEXTS[:n], "label": LABELS[:n]} and n >= 3
    assert form in table.format and table.encoding == "utf-8" and table.orders == {}


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table", "values"])
@pytest.mark.parametrize("index", [None, [f"id {i}" for i in range(6)]], ids=["numbered", "named"])
def test_pandas_orients_are_read(orient, index):
    text = pd.DataFrame(COLUMNS, index=index).to_json(orient=orient)
    assert read(text).columns == COLUMNS


def test_pandas_lines_are_read():
    text = pd.DataFrame(COLUMNS).to_json(orient="records", lines=True)
    for parse in (parse_json, parse_jsonl):
        table = read(text, parse)
        assert table.columns == COLUMNS and table.format == "JSON Lines" and table.number(5) == 6


@pytest.mark.parametrize("orient", ["columns", "index", "split", "table", "records"])
def test_documents_read_as_jsonl(orient):
    assert read(pd.DataFrame(COLUMNS).to_json(orient=orient), parse_jsonl).columns == COLUMNS


@pytest.mark.parametrize(
    "text, numbers",
    [
        ('\ufeff{"text":"x"}\n\n  \n{"text":"y"}\n', [1, 4]),
        ('{"text":"x"}\r\n{"text":"y"}', [1, 2]),
        ('{"text":"x"}\r{"text":"y"}\r', [1, 2]),
        ('{\n"text":"x"\n}\n{\n"text":"y"\n}\n', [1, 4]),
    ],
    ids=["blank lines", "windows", "old mac", "over several lines"],
)
def test_lines_keep_their_numbers(text, numbers):
    for parse in (parse_json, parse_jsonl):
        table = read(text, parse)
        assert table.columns == {"text": ["x", "y"]} and list(table.numbers) == numbers


def test_line_separators_stay_text():
    assert read('{"text":"a\u2028b\x85c\td"}\n{"text":"y"}', parse_jsonl).columns == {
        "text": ["a\u2028b\x85c\td", "y"]
    }


def test_one_line_is_one_row():
    assert read('{"text":"x","label":["a","b"]}', parse_jsonl).columns == {"text": ["x"], "label": [["a", "b"]]}


def test_pairs_in_lines_are_read():
    table = read("\n".join(map(json.dumps, PAIRS)), parse_jsonl)
    assert table.columns == COLUMNS and table.number(2) == 3


@pytest.mark.parametrize(
    "written, kept",
    [
        ("1", "1"),
        ("1.0", "1.0"),
        ("true", "True"),
        ("null", None),
        ("NaN", None),
        ("Infinity", "inf"),
        ("1e999", "1e999"),
        ('"007"', "007"),
        ('"nan"', "nan"),
        ("9" * 5000, "9" * 5000),
        ('["a"]', ["a"]),
        ('{"b": 1}', {"b": 1}),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\\ud83d"', r"\ud83d"),
    ],
)
def test_values_become_text(written, kept):
    document = f'[{{"text": "x", "label": {written}}}, {{"text": "y"}}]'
    assert read(document).columns == {"text": ["x", "y"], "label": [kept, None]}


@pytest.mark.parametrize("part", [OBJECTS, PAIRS, COLUMNS, dict(PAIRS)], ids=["objects", "pairs", "lists", "mapping"])
@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "dev"), ("train", "oos_train"), ("validation_1",)]
)
def test_splits_keep_their_keys(part, names):
    tables = read(dict.fromkeys(names, part))
    assert tuple(tables) == names
    assert all(t.columns == COLUMNS and t.encoding == "utf-8" for t in tables.values())
    assert tables[names[0]].source == f"a.json, '{names[0]}'"


def test_small_split_follows_others():
    tables = read({"train": PAIRS, "oos_test": [["what is this", "oos"]]})
    assert tables["oos_test"].columns == {"text": ["what is this"], "label": ["oos"]}
    tables = read({"train": dict(PAIRS), "test": {"what is this": "pos"}})
    assert tables["test"].columns == {"text": ["what is this"], "label": ["pos"]}


def test_keys_without_rows_noted():
    tables = read({"train": OBJECTS, "test": [], "version": 1, "labels": ["neg", "pos"]})
    assert list(tables) == ["train"] and tables["train"].notes == ["'test', 'version', 'labels' left out: no rows"]


def test_wrapper_notes_its_key():
    assert read({"version": 1, "data": OBJECTS}).notes == ["the rows are those under 'data'; 'version' left out"]
    assert list(read({"data": {"train": OBJECTS, "test": OBJECTS}, "v": 1})) == ["train", "test"]


def test_column_may_be_named_val():
    frame = pd.DataFrame({**COLUMNS, "val": range(6)})
    assert list(read(frame.to_json(orient="columns")).columns) == ["text", "label", "val"]


REFUSED = {
    "broken line": ('{"text":"x"}\n{"text" "y"}\n{"text":"z"}', r"line 2: not valid JSON .*: {\"text\" \"y\"}"),
    "broken first line": ('{"text" "x"}\n{"text":"y"}', "line 1: not valid JSON"),
    "cut line": ('{"text":"x"}\n{"text":"y', r"line 2: the last line is cut: {\"text\":\"y\. Write the file again"),
    "cut in a word": ('{"text":"x"}\n{"text":tru', "line 2: the last line is cut"),
    "commas between lines": ('{"text":"x"},\n{"text":"y"}', "line 1: ends in a comma"),
    "two in a line": ('{"text":"x"}{"text":"z"}\n{"text":"y"}', "line 1: holds more than one value"),
    "cut document": ('[{"text":"x"},\n{"text":', "line 2: the file ends in the middle of a value: it was cut"),
    "comma at the end": ('[{"text":"x"},\n]', "line 2: not valid JSON .* Delete the comma"),
    "single quotes": ("[{'text':'x'}]", "JSON needs double quotes: write it with json.dumps"),
    "None": ('[{"text":None}]', "JSON spells true, false, null"),
    "key twice": ('[{"text":"x"},\n{"text":"y",\n"text":"z"}]', "line 2: an object has the key 'text' twice"),
    "key twice in a line": ('{"text":"x"}\n{"text":"y","text":"z"}', "line 2: an object has the key 'text' twice"),
    "text twice in a mapping": ('{"some text":"pos","a b":"neg","some text":"neg"}', "the key 'some text' twice"),
    "deep": ('{"a":' * 100_000, "nested too deeply"),
    "null": ("null", r"holds one value \(null\), not rows"),
    "lines of null": ("null\nnull", "line 1: expected an object .* found null"),
    "scalar": ("7", r"holds one value \(7\)"),
    "null among rows": ('[{"text":"x"},null]', "row 2: expected an object .* found null"),
    "texts alone": ('["a","b"]', "list of texts without labels"),
    "three values": (
        '[["a","b","c"],["d","e","f"]]',
        r'row 1: .* is not a pair .* df.to_json\(path, orient="records"',
    ),
    "unclear pairs": ('[["a","b"],["c","d"]]', "unclear which of the two values"),
    "both come again": ('[["a","b"],["a","b"],["c","d"],["c","d"]]', "unclear which of the two values"),
    "lists of other lengths": ('{"pos":["a","b"],"neg":["c"]}', r"lists differ in length \('pos' 2, 'neg' 1\)"),
    "two lists of objects": ('{"a":[{"x":1}],"b":[{"x":1}]}', r"several lists of objects \('a', 'b'\)"),
    "ids and labels": ('{"id1":"pos","id2":"neg","id3":"pos","id4":"neg"}', "is one object"),
    "one row": ('{"text":"x","label":"y"}', "is one object"),
    "unclear orient": (
        '{"a":{"x":"1","y":"2"},"b":{"x":"3","y":"4"}}',
        "unclear whether 'a', 'b' are rows or columns",
    ),
    "numbers both ways": (pd.DataFrame([["a", "b"], ["c", "d"]]).to_json(), "rows or columns"),
    "levels": ('{"columns":[["a","b"],["a","c"]],"index":[0],"data":[[1,2]]}', "several levels"),
    "short row": ('{"columns":["a","b"],"index":[0],"data":[[1]]}', r"row 1: \[1\] does not fit the 2 columns"),
    "name twice": ('{"columns":["a","a"],"index":[0],"data":[[1,2]]}', "two columns are named 'a'"),
    "splits of texts": ('{"train":["a","b"],"test":["c"]}', "'train': is a list of texts without labels"),
    "empty list": ("[]", "the list is empty"),
    "empty object": ("{}", "the object is empty"),
    "empty": (" \n", "the file is empty"),
    "web page": ("<!DOCTYPE html>", "is a web page"),
    "pointer": ("version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
}


@pytest.mark.parametrize("text, message", REFUSED.values(), ids=REFUSED)
def test_other_json_is_refused(text, message):
    with pytest.raises(UserError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("a.json") and len(str(caught.value)) < 400


def test_splits_need_their_ending():
    with pytest.raises(UserError, match=r"several splits \(train, test\).* Rename the file to .json"):
        read({"train": OBJECTS, "test": OBJECTS}, parse_jsonl)
