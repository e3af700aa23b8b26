"Predictions for a file: one line out for each text in, in order, also after a kill."

import csv
import json
import os
import signal
from functools import partial

import pytest
from conftest import BAD, FLAT, GOOD, mark_slow
from processes import Command

import ftkit.serving.predict
from ftkit.cli.main import main
from ftkit.serving.batch import guard_formula, write_rows

LABELS = ["bad", "flat", "good"]
ROWS = 1_500  # of a file


EMPTY, NONE = "the text is empty", "there is no text"


UNUSABLE = {
    "csv": [("", EMPTY), ("   ", EMPTY), ("\u200b", EMPTY), ("\n", EMPTY)],
    "jsonl": [
        ("", EMPTY),
        ("\t ", EMPTY),
        (None, NONE),
        (float("nan"), NONE),
        (["a"], "expected a text, found list"),
        ("half \ud83d", "the text holds half of a character (a lone surrogate)"),
    ],
    "parquet": [("", EMPTY), (" ", EMPTY), (None, NONE)],
}


AWKWARD = [
    "=1+1",
    "a\rb",
    "a\nb\r\nc",
    'say "yes", twice',
    "-",
    "semi;colon\ttab",
    "\u2028line\x1cend\x85s",
    "\x00",
    "\ud83d",
    "007",
    "null",
    "'quoted",
]


ENDS = ["before the first batch", "while it predicts", "while it writes", "before the rename"]


def arrange_end(moment):
    "In the child: the process kills itself at a moment"
    sent = []
    batches, dumps, replace = ftkit.serving.predict.iter_batches, json.dumps, os.replace

    def die(now):
        sent.append(now)
        if now == moment and sent.count(now) > {"while it predicts": 20, "while it writes": 700}.get(now, 0):
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(*args):
        die("before the first batch")
        for batch in batches(*args):
            die("while it predicts")
            yield batch

    def dumped(value, **kwargs):
        if isinstance(value, dict) and "text" in value:
            die("while it writes")
        return dumps(value, **kwargs)

    def replaced(path, target):
        if str(path).endswith(".tmp"):
            die("before the rename")
        return replace(path, target)

    ftkit.serving.predict.iter_batches, json.dumps, os.replace = counted, dumped, replaced


def write_texts(path, texts):
    "Texts as a file of its kind; a row whose text is None has no such key in JSON Lines"
    rows = [{"n": i} if text is None else {"n": i, "review": text} for i, text in enumerate(texts)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8") as f:
            csv.writer(f).writerows([("n", "review"), *(row.values() for row in rows)])
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def make_rows(kind):
    "Texts and the errors that they must get: one in a hundred cannot be classified"
    bad = UNUSABLE[kind]
    rows = [
        bad[i // 100 % len(bad)] if i % 100 == 37 else (f"{(GOOD, BAD, FLAT)[i % 3]}, number {i}", None)
        for i in range(ROWS)
    ]
    return map(list, zip(*rows))


def run_predict(trained, *args):
    "`ftkit predict` in this process"
    return main(["predict", "small", "--runs_dir", str(trained[0] / "runs"), *map(str, args)])


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    "Some thousand rows as JSON Lines, and what a command that nobody disturbed made of them"
    folder = tmp_path_factory.mktemp("whole")
    texts, _ = make_rows("jsonl")
    write_texts(folder / "rows.jsonl", texts)
    assert run_predict(trained, "--file", folder / "rows.jsonl", "--out", folder / "out.jsonl") == 0
    return folder


def is_same(a, b):
    "Equal, where nan equals the null that JSON has for it"
    return a == b or (b is None and a != a)


@pytest.mark.fault("predict")
def test_jsonl_rows_are_answered_in_order(trained, whole):
    from ftkit.fine_tuning import Run

    texts, errors = make_rows("jsonl")
    rows = [json.loads(line) for line in (whole / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert len(rows) == ROWS and all(is_same(text, row["text"]) for text, row in zip(texts, rows))
    assert [row.get("error") for row in rows] == errors and sum(map(bool, errors)) == ROWS // 100
    some = list(range(0, ROWS, 331))
    again = Run.load("small", trained[0] / "runs").predict([texts[i] for i in some])
    assert [rows[i].get("scores") for i in some] == [
        pytest.approx(row["scores"], abs=1e-5) if "scores" in row else None for row in again
    ]


@pytest.mark.fault("predict")
@pytest.mark.parametrize("kind", ["csv", pytest.param("parquet", marks=pytest.mark.slow)])
def test_table_rows_are_answered_in_order(trained, tmp_path, kind):
    texts, errors = make_rows(kind)
    write_texts(tmp_path / f"rows.{kind}", texts)
    assert run_predict(trained, "--file", tmp_path / f"rows.{kind}", "--out", tmp_path / "out.csv") == 0
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f, strict=True))
    assert [row["text"] for row in rows] == [text or "" for text in texts] and [
        row["error"] or None for row in rows
    ] == errors
    assert all(
        row["label"] in LABELS and abs(sum(float(row[f"score_{label}"]) for label in LABELS) - 1) < 1e-6
        for row in rows
        if not row["error"]
    )


@pytest.mark.fault("predict")
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("text", AWKWARD, ids=ascii)
def test_awkward_text_is_one_row(tmp_path, text, kind):
    texts = [GOOD, text, BAD]
    write_rows(tmp_path / f"out.{kind}", texts, [{"label": "good", "score": 1.0, "scores": {"good": 1.0}}] * 3)
    if kind == "jsonl":
        assert [
            json.loads(line)["text"] for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        ] == texts
    else:
        with open(tmp_path / "out.csv", newline="", encoding="utf-8") as f:
            rows = list(csv.DictReader(f, strict=True))
        assert [row["text"] for row in rows] == [GOOD, guard_formula(text).replace("\ud83d", "\\ud83d"), BAD] and {
            row["label"] for row in rows
        } == {"good"}


@pytest.mark.fault("predict")
@pytest.mark.parametrize("moment", mark_slow(ENDS, fast=["while it writes"]))
def test_killed_predict_keeps_old_file(trained, whole, tmp_path, moment):
    out = tmp_path / "out.jsonl"
    out.write_text("from before\n")
    args = [
        "predict",
        "small",
        "--runs_dir",
        trained[0] / "runs",
        "--file",
        whole / "rows.jsonl",
        "--out",
        out,
        "--force",
    ]
    killed = Command(*args, cwd=tmp_path, before=partial(arrange_end, moment)).result()
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert out.read_text() == "from before\n"
    assert run_predict(trained, *args[4:]) == 0
    assert out.read_bytes() == (whole / "out.jsonl").read_bytes() and [p.name for p in tmp_path.iterdir()] == [
        "out.jsonl"
    ]


@pytest.mark.slow
@pytest.mark.fault("predict")
def test_other_process_writes_same_bytes(trained, whole, tmp_path, ftkit):
    done = ftkit("predict", "small", "--file", whole / "rows.jsonl", "--out", tmp_path / "out.jsonl", cwd=trained[0])
    assert (
        done.returncode == 0
        and done.stderr.splitlines() == [f"{ROWS:,} rows in {tmp_path / 'out.jsonl'}, in the order of the input"]
        and done.stdout == ""
    )
    assert (tmp_path / "out.jsonl").read_bytes() == (whole / "out.jsonl").read_bytes()


@pytest.mark.fault("predict")
@pytest.mark.parametrize(
    "out, message",
    [
        ("nowhere/out.csv", "there is no folder"),
        ("folder.csv", "is a folder"),
        ("out.xlsx", "write a file that ends in .csv or .jsonl"),
        ("out", "write a file that ends in .csv or .jsonl"),
        ("rows.csv", "this is the file that is read"),
        pytest.param(
            "closed/out.csv",
            "cannot be written to",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere"),
        ),
    ],
)
def test_unwritable_output_is_refused_first(trained, tmp_path, monkeypatch, capsys, out, message):
    from ftkit.fine_tuning import Run

    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "closed").mkdir(mode=0o500)
    write_texts(tmp_path / "rows.csv", [GOOD, BAD])
    monkeypatch.setattr(Run, "open_model", lambda self: pytest.fail("the work was begun"))
    assert run_predict(trained, "--file", tmp_path / "rows.csv", "--out", tmp_path / out) == 2
    assert message in capsys.readouterr().err and (tmp_path / "rows.csv").read_text().count("\n") == 3
