"Command lines that people type, and cases in processes of their own: a result, or one line that says what to write."

import io
import json
import re
import sys
from pathlib import Path

import pytest
from corpus import ROWS, Case, count, join, join_json, write
from test_corpus_labels import ANNOTATIONS, COLUMNS, FORMS_OF_FILES, SPELLINGS
from test_corpus_text import ENCODINGS, HEADERS, QUOTES

from ftkit.cli.main import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "A folder with rows, in which the command runs"
    (tmp_path / "mine.csv").write_text(join())
    (tmp_path / "part-1.csv").write_text(join(ROWS[:30]))
    (tmp_path / "part-2.csv").write_text(join(ROWS[30:]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


WRONG = [
    ("E32", "train mine.csv", r"mine.csv: is not a settings file. Did you mean --train_file mine.csv\?"),
    ("E32", "train part-1.csv part-2.csv", r"Did you mean --train_file part-1.csv\?.*quotes.*'\*.csv'"),
    ("E32", "train --preset starter mine.csv", r"Did you mean --train_file mine.csv\?"),
    ("E32", "train mine.jsonl", r"Did you mean --train_file mine.jsonl\?"),
    ("E32", "train rows.csv.gz", r"Did you mean --train_file rows.csv.gz\?"),
    ("E32", "train --train_file part-1.csv part-2.csv", r"part-2.csv.*--train_file"),
    ("E32", "check part-1.csv part-2.csv", "part-2.csv"),
    ("E33", "train --train_file https://x.org/a.csv", "https://x.org/a.csv: addresses are not read. Download"),
    ("E33", "check https://huggingface.co/datasets/x/y", "write dataset_name"),
    ("E33", "check s3://bucket/a.csv", "addresses are not read"),
    ("E33", "check ~/none.csv", "there is no such file.*Next to it: mine.csv"),
    ("E33", "check none.csv", "none.csv: there is no such file. Next to it: mine.csv"),
    ("E33", "check none-*.csv", "there is no such file"),
    ("E33", "check .", "is a folder"),
    ("E33", "train --train_file", "train_file.*expected"),
    ("E34", "train --text_column text", "text_column.*Did you mean 'text_column_name'|text_column_name"),
    ("E34", "train --epochs 3", "num_train_epochs"),
    ("E34", "train --lr 1e-5", "learning_rate"),
    ("E34", "train --model gpt2", "model_name_or_path"),
    ("E34", "train --max_len 64", "max_seq_length"),
    ("E34", "train --batch-size 8", "per_device_train_batch_size"),
    ("E34", "train --learning-rat 1", "learning_rate"),
    ("E34", "train --train-fil mine.csv", "train_file"),
    ("E34", "train --output_path x", "runs_dir"),
    ("E34", "check mine.csv --text_column text", "text_column_name"),
    ("E34", "check mine.csv --sep ;", "delimiter"),
    ("E34", "check mine.csv --label label", "label_column_name"),
    ("E37", "train --train_file mine.csv --eval_strategy steps", "eval_strategy|eval_steps"),
    ("E37", "train --train_file mine.csv --save_strategy no", "save_strategy"),
    ("E37", "check mine.csv --encoding nonsense", "nonsense"),
    ("E37", "check mine.csv --delimiter x", "delimiter"),
    ("E37", "check mine.csv --quoting all", "quoting.*literal"),
    ("E37", "check mine.csv --test_file none.csv", "none.csv: there is no such file"),
    ("E37", "check mine.doc", "no such file|are not read"),
    ("E37", "chek mine.csv", "Did you mean 'check'"),
    ("E37", "check", "FILE"),
]


@pytest.mark.parametrize("kind, words, says", WRONG, ids=[w for _, w, _ in WRONG])
def test_wrong_command_is_one_line(kind, words, says, folder, capsys):
    before = sorted(p.name for p in folder.iterdir() if p.name[0] != ".")  # matplotlib writes there
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("ftkit: ") and err.count("\n") == 1 and re.search(says, err), err
    assert sorted(p.name for p in folder.iterdir() if p.name[0] != ".") == before
    count(kind, "refused")


RIGHT = [
    ("E33", "check ~/mine.csv"),
    ("E33", "check part-*.csv"),
    ("E34", "check mine.csv --text-column-name text"),
    ("E34", "check --json mine.csv --label_column_name=LABEL"),
    ("F", "check mine.csv --delimiter ,"),
    ("F", "check mine.csv --delimiter comma --quoting quotes --encoding utf-8"),
    ("F", "check mine.csv --column_names text,label"),
]


@pytest.mark.parametrize("kind, words", RIGHT, ids=[w for _, w in RIGHT])
def test_usual_ways_to_name_rows_work(kind, words, folder, capsys):
    assert main([*words.split(), "--json"]) in (0, 3)
    assert json.loads(capsys.readouterr().out)["rows"] == 60
    count(kind, "read as meant")


STDIN = {
    "csv": join(),
    "tsv": join(sep="\t", header="text\tlabel"),
    "semicolons": join(sep=";", header="text;label"),
    "JSON Lines": join_json(),
    "JSON": json.dumps([{"text": t, "label": x} for t, x in ROWS], indent=1),
    "JSON in one line": json.dumps([{"text": t, "label": x} for t, x in ROWS]),
    "pairs": json.dumps(ROWS),
    "fastText": "".join(f"__label__{x} {t}\n" for t, x in ROWS),
    "with a mark": "\ufeff" + join(),
    "JSON Lines with a mark": "\ufeff" + join_json(),
    "utf-16": join().encode("utf-16"),
    "comments": "# by hand\n" + join(),
}


@pytest.mark.parametrize("content", STDIN.values(), ids=STDIN)
def test_rows_from_stdin_are_read(content, folder, capsys, monkeypatch):
    data = content if isinstance(content, bytes) else content.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["check", "-", "--json"]) in (0, 3)
    result = json.loads(capsys.readouterr().out)
    assert result["rows"] == 60 and result["labels"] == {"pos": 20, "neg": 20, "neu": 20}
    assert "standard input" in result["source"]
    count("F", "read as meant")


def test_empty_stdin_is_refused(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert main(["check", "-"]) == 2
    assert "standard input is empty. Write: ftkit" in capsys.readouterr().err
    count("F", "refused")


PREDICT = {
    "a text in each line": "the bread is warm\nthe bus is late\n",
    "csv": "id,review\n1,the bread is warm\n2,the bus is late\n",
    "semicolons": "id;review\n1;the bread, it is warm\n2;the bus is late\n",
    "JSON Lines": '{"review": "the bread is warm"}\n{"review": "the bus is late"}\n',
    "one line": "the bread is warm",
    "a header": "review\nthe bread is warm\nthe bus, it is late\n",
    "a mark": "\ufeffreview,n\nthe bread is warm,1\nthe bus is late,2\n",
    "commas": "the bread, it is warm\nthe bus is late again\n",
    "colons and bars": "the bread | warm\nthe bus; late\n",
}


@pytest.mark.parametrize("content", PREDICT.values(), ids=PREDICT)
def test_predict_reads_stdin(content, trained, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    code = main(["predict", "small", "-", "--runs_dir", str(trained[0] / "runs")])
    out, err = capsys.readouterr()
    assert code == 0, err
    texts = [line.split("\t")[2].strip("'\"") for line in out.splitlines()]
    assert len(texts) == (1 if content == PREDICT["one line"] else 2) and texts[0].startswith("the bread"), out
    count("A9", "read as meant")


@pytest.mark.parametrize("kind", ["frame", "dictionary", "file"])
def test_trained_run_takes_rows(kind, trained, tmp_path):
    import pandas as pd

    from ftkit.fine_tuning import Run

    run = Run.load("small", trained[0] / "runs")
    frame = pd.DataFrame({"id": [1, 2], "review": ["lovely warm bread today", "the bus broke down again"]})
    alone = run.predict(frame["review"].tolist())
    if kind == "file":
        rows = pd.DataFrame({"text": frame["review"], "mark": ["good", "bad"]})
        rows.to_csv(tmp_path / "new.csv", index=False)
        assert run.evaluate(tmp_path / "new.csv", "text", "mark")["rows"] == 2
    else:
        assert run.predict(frame if kind == "frame" else frame.to_dict("list")) == alone and len(alone) == 2
    count("A9", "read as meant")


# --- in processes of their own ---

ALL = ENCODINGS + QUOTES + HEADERS + SPELLINGS + ANNOTATIONS + COLUMNS + FORMS_OF_FILES
CHOSEN = [c for c in ALL if c.by_check and not c.keys][::8]


@pytest.mark.parametrize("case", CHOSEN, ids=lambda c: f"{c.kind}-{c.name}")
def test_process_reads_or_refuses(case, ftkit, tmp_path):
    check_process(case, ftkit, tmp_path / "own", None)


@pytest.mark.slow
@pytest.mark.parametrize("case", [QUOTES[0], HEADERS[10]], ids=lambda c: f"{c.kind}-{c.name}")
def test_cold_process_reads_or_refuses(case, ftkit, tmp_path):
    check_process(case, ftkit, tmp_path / "own", {"PYTHONIOENCODING": "cp1252"})


def check_process(case: Case, ftkit, folder: Path, env: dict | None) -> None:
    "Run `ftkit check` and judge its exit code, its result and its one line"
    folder.mkdir()
    path = write(case, folder)
    done = ftkit("check", path.name, "--json", cwd=folder, env=env)
    if case.rows is None:
        assert done.returncode == 2 and done.stdout == "", done.stderr
        assert done.stderr.startswith("ftkit: ") and done.stderr.count("\n") == 1
    else:
        assert done.returncode in (0, 3) and done.stderr == "", done.stderr
        assert json.loads(done.stdout)["rows"] >= len(case.rows)
    assert [p.name for p in folder.iterdir()] == [case.name]
    count(case.kind, "in a process")
