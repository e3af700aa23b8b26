"A stream reads every file as the whole-file reader does, or leaves it to that reader."

import bz2
import csv
import gzip
import io
import json
import logging
import random
import tracemalloc
import zipfile

import pandas as pd
import pytest
from conftest import REAL_DATA

from ftkit.errors import UserError
from ftkit.files import headers
from ftkit.files.rows import ReadOptions
from ftkit.files.streams import delimited, open_rows, opening, plain, rules
from ftkit.files.streams.opening import STREAM_FROM
from ftkit.files.tables import READERS, inner_suffix, read_table

CHUNK, N = 1_000, 2_600  # rows of the head, and of a file: most are seen by the rules alone
LARGE = 10_500  # rows of a file that is larger than the real head


@pytest.fixture(autouse=True)
def small_head(request, monkeypatch):
    "Let a tenth of the rows settle what they settle, in both readers"
    if "real_head" not in request.node.name:
        for module in (headers, delimited, plain, rules):
            monkeypatch.setattr(module, "CHUNK", CHUNK)
        monkeypatch.setattr(delimited, "HEAD_CHARS", 1)


def read_either(read, path, options):
    "Columns and row numbers, or the error"
    try:
        return read(path, options)
    except UserError as e:
        return str(e)


def read_stream(path, options):
    "Columns and row numbers from pieces"
    rows = open_rows(path, options, stream_from=0)
    columns, numbers = {name: [] for name in rows.names}, []
    for table in rows.tables(777):
        assert list(table.columns) == rows.names
        for name, values in table.columns.items():
            columns[name] += values
        numbers += [table.number(i) for i in range(len(table))]
    assert rows.count == len(numbers)
    return columns, numbers, rows.stream is not None


def read_all(path, options):
    "Columns and row numbers from the whole-file reader"
    table = read_table(path, options)
    return table.columns, [table.number(i) for i in range(len(table))]


def compare(path, **options) -> bool:
    "Assert that both readers agree. Return whether the file was streamed"
    options = ReadOptions(**options)
    found, wanted = read_either(read_stream, path, options), read_either(read_all, path, options)
    if isinstance(wanted, str):
        assert found == wanted
        return False
    assert found[:2] == wanted
    return found[2]


def join(rows, sep=",", header=("text", "label"), **keys) -> str:
    "Rows as the csv module writes them"
    out = io.StringIO()
    csv.writer(out, delimiter=sep, lineterminator="\n", **keys).writerows([header, *rows])
    return out.getvalue()


def join_plain(rows, sep="\t", header=("text", "label")) -> str:
    "Rows without any quoting"
    return "".join(sep.join(row) + "\n" for row in [header, *rows])


def make_texts(n: int) -> list[str]:
    "Texts, every one different"
    return [f"the {i}th letter, {'late' if i % 3 else 'in time, at last'}" for i in range(n)]


def make_streamed(n: int) -> dict[str, str]:
    "Name -> content of files that are streamed"
    texts = make_texts(n)
    pairs = [(text, "ab"[i % 2]) for i, text in enumerate(texts)]
    simple = [(text.replace(",", ""), label) for text, label in pairs]
    return {
        "quoted.csv": join(pairs),
        "semicolons.csv": join(pairs, ";"),
        "tabs.tsv": join_plain(pairs),
        "bars.psv": join(pairs, "|"),
        "quote in a text.tsv": join_plain([(f'{t} "so', label) for t, label in pairs]),
        "quotes alone late.csv": join_plain(simple, ",") + '"late, but read",a\n',
        "odd quote late.tsv": join_plain(pairs) + '"never closed\ta\n',
        "several lines.csv": join([*pairs, ("one\ntwo\n\nthree, four", "a")]),
        "one column.csv": join_plain(
            [(t,) if i % 2 else (t.replace(",", ""),) for i, t in enumerate(texts)], header=("text",)
        ),
        "one quoted column.csv": join([(t,) for t in texts], header=("text",), quoting=csv.QUOTE_ALL),
        "headers again.csv": join(pairs) + join(pairs[:5]),
        "blank lines.csv": join(pairs).replace("a\n", "a\n\n"),
        "comments above.csv": "# made by hand\n# twice\n" + join(pairs),
        "sep.csv": "sep=;\n" + join(pairs, ";"),
        "windows.csv": join(pairs).replace("\n", "\r\n"),
        "empty column.csv": join([(t, "") for t in texts]),
        "a name in its column.csv": join([*pairs, ("label", "text"), ("x", "label")]),
        "nameless first.csv": join([(i, *p) for i, p in enumerate(pairs)], header=("", "text", "label")),
        "single quotes but one.csv": join_plain([*[(f"'{t}'", label) for t, label in simple], ("plain", "a")], ","),
        "some hash texts.csv": join([(f"# {t}" if i % 200 == 0 else t, "ab"[i % 2]) for i, t in enumerate(texts)]),
        "hash texts.csv": join([(f"# {t}", "ab"[i % 2]) for i, t in enumerate(texts)]),
        "rows.jsonl": "".join(
            json.dumps({"text": t, "n": i, "ok": i % 2 == 0, "x": i / 7}) + "\n" for i, t in enumerate(texts)
        ),
        "sparse.jsonl": "".join(
            json.dumps({"text": t} | ({"late": [1]} if i > n - 100 else {})) + "\n" for i, t in enumerate(texts)
        ),
        "nested.ndjson": "".join(
            json.dumps({"text": None if i == 3 else t, "meta": {"i": i}}) + "\n\n" for i, t in enumerate(texts)
        ),
        "lines.json": "".join(json.dumps({"text": t}) + "\r\n" for t in texts),
        "texts.txt": "".join(f"{t}\n" for t in texts),
        "named texts.txt": "".join(f"{t}\n" for t in ["text", *texts]),
    }


def make_left(n: int) -> dict[str, str]:
    "Name -> content of files that hold what only all rows can decide, or a fault"
    texts = make_texts(n)
    pairs = [(text, "ab"[i % 2]) for i, text in enumerate(texts)]
    simple = [(text.replace(",", ""), label) for text, label in pairs]
    return {
        "ragged late.csv": join(pairs) + "too,many,fields\n",
        "open quote late.csv": join(pairs) + '"never closed,a\n',
        "rows in a cell.csv": join(pairs) + '"x,a\ny,b\nz,a\nw",b\n',
        "single quotes.csv": join_plain([(f"'{t}'", label) for t, label in simple], ","),
        "excel text.csv": join_plain([(f'="{t}"', label) for t, label in simple], ","),
        "total late.csv": join([*pairs, ("Total: 10500", "n/a")]),
        "hash texts and a total.csv": join(
            [*((f"# {t}", "ab"[i % 2]) for i, t in enumerate(texts)), ("Total", "n/a")]
        ),
        "comment late.csv": join([*pairs[: n - 200], ("# a comment", "none"), *pairs[n - 200 :]]),
        "second header.csv": join([("string", "category"), *pairs]),
        "title.csv": "A title,\n" + join(pairs),
        "no header.csv": join(pairs[1:], header=pairs[0]),
        "name comes again.csv": join(
            [(f"w {i}", "ab"[i % 2]) for i in range(n)] + [("w 1", "zz")], header=("w w", "zz")
        ),
        "spaces.csv": join_plain([(t, f" {label}") for t, label in simple], ",", ("text", " label")),
        "whole lines.csv": join_plain(simple, ",") + '"late,b"\n',
        "two delimiters.csv": join_plain([(f"{i};x", "a") for i in range(n)], ",", ("te;xt", "label")),
        "a lone return.csv": join(pairs) + "\r" + join(pairs[:3]).partition("\n")[2],
        "broken late.jsonl": "".join(json.dumps({"text": t}) + "\n" for t in texts) + '{"text": "cut',
        "doubled late.jsonl": "".join(json.dumps({"text": t}) + "\n" for t in texts) + '{"text": "a", "text": "b"}\n',
        "list late.jsonl": "".join(json.dumps({"text": t}) + "\n" for t in texts) + "[1, 2]\n",
        "array.json": json.dumps([{"text": t} for t in texts]),
        "pairs.jsonl": "".join(json.dumps([t, label]) + "\n" for t, label in pairs),
        "choices late.jsonl": "".join(json.dumps({"text": t, "c": None}) + "\n" for t in texts)
        + '{"text": "x", "c": {"choices": ["a"]}}\n',
        "lists.jsonl": "".join(json.dumps({"text": t, "label": ["a"]}) + "\n" for t in texts),
        "prodigy.jsonl": "".join(json.dumps({"text": t, "label": "a", "answer": "accept"}) + "\n" for t in texts),
        "fasttext late.txt": "".join(f"{t}\n" for t in texts) + "__label__a late\n",
        "labels.txt": "".join(f"{'AB'[i % 2]} {t}\n" for i, t in enumerate(texts)),
        "tabs.txt": join_plain(pairs),
    }


TEXTS, STREAMED, LEFT = make_texts(N), make_streamed(N), make_left(N)
PAIRS = [(text, "ab"[i % 2]) for i, text in enumerate(TEXTS)]


@pytest.mark.parametrize("name", STREAMED, ids=str)
def test_common_files_are_streamed_alike(tmp_path, name):
    (tmp_path / name).write_text(STREAMED[name], encoding="utf-8", newline="")
    assert compare(tmp_path / name)


@pytest.mark.parametrize("name", LEFT, ids=str)
def test_doubts_are_left_to_the_whole_file_reader(tmp_path, name):
    (tmp_path / name).write_text(LEFT[name], encoding="utf-8", newline="")
    assert not compare(tmp_path / name)


@pytest.mark.parametrize("label, streamed", [("a", True), ("none", False)])
def test_many_kinds_are_bounded_in_flat_memory(tmp_path, monkeypatch, label, streamed):
    monkeypatch.setattr(rules, "KINDS", 100)
    texts = [*PAIRS, ("# a comment, or a text", label)]
    (tmp_path / "x.csv").write_text(join(texts), encoding="utf-8")
    assert compare(tmp_path / "x.csv") is streamed


def test_reading_a_large_file_whole_is_logged(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(opening, "WARN_FROM", 1000)
    monkeypatch.setattr(logging.getLogger("ftkit"), "propagate", True)
    (tmp_path / "x.csv").write_bytes(b"text,label\n" + "café d'été,a\nplain,b\n".encode("cp1252") * 99)
    with caplog.at_level("INFO", logger="ftkit"):
        open_rows(tmp_path / "x.csv", stream_from=0)
    assert "x.csv: is read whole (" in caplog.text and "it is not UTF-8 throughout" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings_are_decoded_alike(tmp_path, encoding):
    (tmp_path / "x.csv").write_text(join([(f"café {t}", label) for t, label in PAIRS]), encoding=encoding)
    assert compare(tmp_path / "x.csv") is (encoding != "cp1252")
    if encoding == "cp1252":
        assert compare(tmp_path / "x.csv", encoding="cp1252")
        assert not compare(tmp_path / "x.csv", encoding="utf-8")
    (tmp_path / "y.csv").write_text(join([(f"café {t}", label) for t, label in PAIRS]), encoding="utf-8")
    assert not compare(tmp_path / "y.csv", encoding="cp1252")  # it is UTF-8


def test_one_byte_that_is_not_utf8_is_seen(tmp_path):
    (tmp_path / "x.csv").write_bytes(join(PAIRS).encode() + b"caf\xe9,a\n")
    assert not compare(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_bytes(join(PAIRS).encode() + b"a\0b,a\n")
    assert not compare(tmp_path / "x.csv")


@pytest.mark.parametrize("pack", ["gz", "bz2", "zip"])
def test_packed_files_are_streamed_alike(tmp_path, pack):
    data, path = join(PAIRS).encode(), tmp_path / (f"x.csv.{pack}" if pack != "zip" else "x.zip")
    if pack == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.csv", data)
    else:
        path.write_bytes((gzip if pack == "gz" else bz2).compress(data))
    assert compare(path)
    path.write_bytes(path.read_bytes()[:-200])
    assert not compare(path)


@pytest.mark.parametrize(
    "columns, streamed",
    [
        ({"text": TEXTS, "n": range(N), "x": [i / 7 for i in range(N)], "b": [i % 2 == 0 for i in range(N)]}, True),
        ({"text": TEXTS, "tags": [["a", "b"]] * N, "c": pd.Categorical(["a", "b"] * (N // 2))}, True),
        ({"text": TEXTS, "blob": [b"\xff\xfe"] * N}, True),
        ({"text": TEXTS, "blob": [b"ok"] * (N - 1) + [b"\xff"]}, False),
        ({"text": TEXTS, "at": pd.date_range("2020", periods=N, freq="h")}, False),
    ],
    ids=["numbers", "lists", "bytes", "bytes late", "times"],
)
def test_parquet_is_streamed_alike(tmp_path, columns, streamed):
    pd.DataFrame(columns).to_parquet(tmp_path / "x.parquet", row_group_size=700)
    assert compare(tmp_path / "x.parquet") is streamed


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ";"},
        {"quoting": "literal"},
        {"quoting": "quotes"},
        {"column_names": ("text", "label")},
        {"column_names": ("a", "b", "c")},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["quoted.csv", "tabs.tsv", "one column.csv", "odd quote late.tsv"])
def test_what_a_person_says_is_heeded_alike(tmp_path, name, options):
    (tmp_path / name).write_text(STREAMED[name], encoding="utf-8", newline="")
    compare(tmp_path / name, **options)


@pytest.mark.slow
def test_real_head_settles_alike(tmp_path):
    for name, text in (make_streamed(LARGE) | make_left(LARGE)).items():
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
        assert compare(tmp_path / name) is (name in STREAMED), name


@pytest.mark.slow
def test_random_changes_are_read_alike(tmp_path):
    rng, pieces = random.Random(0), ['"', "'", ",", ";", "\t", "\n", "\r", " ", "# ", "text", "label", '""', "\\", "="]
    streamed = 0
    for i in range(400):
        name = rng.choice([n for n in STREAMED if not n.endswith("json")])
        text = STREAMED[name]
        for _ in range(rng.randint(1, 3)):
            at = rng.randint(len(text) // 2, len(text)) if rng.random() < 0.7 else rng.randint(0, 200)
            text = text[:at] + rng.choice(pieces) + text[at + rng.randint(0, 1) :]
        path = tmp_path / f"{i}{name[name.rindex('.') :]}"
        path.write_text(text, encoding="utf-8", newline="")
        streamed += compare(path)
        path.unlink()
    assert streamed > 100


@pytest.mark.slow
def test_real_files_are_read_alike():
    files = (
        [p for p in sorted(REAL_DATA.rglob("*")) if p.is_file() and inner_suffix(p) in READERS]
        if REAL_DATA.is_dir()
        else []
    )
    if not files:
        pytest.skip(f"there are no real files in {REAL_DATA} (set FTKIT_REAL_DATA)")
    assert sum(compare(path) for path in files if path.stat().st_size < 30e6)


def test_small_files_are_not_examined(tmp_path):
    (tmp_path / "x.csv").write_text(join(PAIRS[:50]))
    rows = open_rows(tmp_path / "x.csv")
    assert rows.stream is None and rows.why_whole == "it is small" and STREAM_FROM > 10**6


def test_a_file_that_changes_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(join(PAIRS))
    rows = open_rows(path, stream_from=0)
    path.write_text(join(PAIRS[:-3]))
    with pytest.raises(UserError, match="changed while it was read"):
        list(rows.tables())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_rows(tmp_path, kind):
    peaks = []
    for count in (20_000, 200_000):
        path = tmp_path / f"{count}.{kind}"
        frame = pd.DataFrame({"n": range(count), "text": [f"text number {i}, short" for i in range(count)]})
        if kind == "parquet":
            frame.to_parquet(path, row_group_size=10_000)
        else:
            frame.to_csv(path, index=False) if kind == "csv" else frame.to_json(path, orient="records", lines=True)
        tracemalloc.start()
        rows = open_rows(path, stream_from=0)
        assert rows.stream is not None and sum(map(len, rows.tables())) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
