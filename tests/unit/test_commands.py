"The command, run as a person runs it."

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BAD, GOOD, small_rows, write_csv

from ftkit.cli.main import main

WRONG = [
    (
        ["train", "--train_file", "mine.csv", "--text_column_name", "revew"],
        r"text_column_name = revew: there is no such column. Did you mean 'review'? Columns: review, stars.",
    ),
    (
        ["train", "--train_file", "mine.csv", "--text_column_name", "review", "--label_column_name", "star"],
        "label_column_name = star: there is no such column. Did you mean 'stars'?",
    ),
    (["train", "--train_file", "none.csv"], "none.csv: there is no such file. Next to it: mine.csv."),
    (["train", "--train_file", "."], "is a folder"),
    (
        ["train", "--learning_rat", "1"],
        "learning_rat: neither a key of ftkit nor a field of TrainingArguments. Did you mean 'learning_rate'?",
    ),
    (["train", "--seed", "x"], "--seed = 'x': expected a whole number, as in seed = 42."),
    (["train", "--seed", "-1"], "--seed = -1: must be at least 0."),
    (["train", "--evaluation_strategy", "epoch"], "this name is retired. Write eval_strategy."),
    (["train", "--output_dir", "x"], "ftkit sets this itself"),
    (["train", "--save_only_model", "true"], "without the optimizer a resumed run ends with other weights"),
    (["train", "--auto_find_batch_size", "true"], "ftkit starts the training again with smaller batches"),
    (["train", "--bf16", "mine.ini"], "bf16 = 'mine.ini': expected"),
    (["train", "--report_to", "comet_ml", "--max_train_samples", "30"], "[trainer]: CometCallback requires comet-ml"),
    (["train", "--max_steps", "1.5"], "max_steps = 1.5: expected int."),
    (["train", "--max_grad_norm", "abc"], "max_grad_norm = 'abc': expected float."),
    (["train", "--preset", "starte"], "Did you mean 'starter'?"),
    (["train", "none.ini"], "there is no such settings file"),
    (
        [
            "train",
            "--run",
            "../x",
            "--train_file",
            "mine.csv",
            "--text_column_name",
            "review",
            "--label_column_name",
            "stars",
        ],
        "run name '../x'",
    ),
    (["trian"], "there is no command 'trian'. Did you mean 'train'?"),
    (["predict", "none", "a text"], "there is no run 'none'"),
    (["evaluate"], "the following arguments are required: RUN"),
    (["runs", "one"], "name two runs to compare"),
]


@pytest.fixture
def folder(tmp_path):
    write_csv(tmp_path / "mine.csv", small_rows(30))
    return tmp_path


@pytest.mark.parametrize("args, message", WRONG, ids=lambda x: " ".join(x)[:40] if isinstance(x, list) else "")
def test_wrong_input_is_one_line(folder, ftkit, args, message):
    done = ftkit(*args, cwd=folder)
    assert done.returncode == 2, done.stderr
    *read, last = done.stderr.splitlines()  # what was read may be said before
    assert message in last and last.startswith("ftkit: ") and not [line for line in read if "ftkit: " in line]
    assert done.stdout == ""
    assert [p.name for p in folder.rglob("*") if p.name != "runs"] == ["mine.csv"]


@pytest.fixture
def own(trained, tmp_path):
    "A copy of the folder of the run, for tests that write into it"
    return Path(shutil.copytree(trained[0], tmp_path / "own"))


def test_train_prints_the_record(trained):
    folder, record = trained
    assert record["status"] == "finished" and record["reason"] is None
    assert record == {**json.loads((folder / "runs/small/run.json").read_text()), "run": record["run"]}
    for split in ("validation", "test"):
        for metric in ("accuracy", "f1_macro", "precision_macro", "recall_macro"):
            score = record["metrics"][split][metric]
            assert set(score) == {"value", "low", "high", "n"} and score["low"] <= score["value"] <= score["high"]
        assert set(record["metrics"][split]["per_class"]) == {"bad", "flat", "good"}
    assert set(record["baselines"]) == {"majority", "tfidf", "zero_shot", "few_shot", "frozen"}
    assert all(
        rung["seconds"] >= 0 and rung["accuracy"]["n"] == record["data"]["test"]["rows"]
        for rung in record["baselines"].values()
    )
    assert [v["b"] for v in record["verdicts"]] == list(record["baselines"])
    assert {"a", "b", "metric", "difference", "low", "high", "p", "text"} <= set(record["verdicts"][0])
    assert record["timing"]["total_seconds"] > record["timing"]["train_seconds"] > 0
    for key in ("train_seconds", "train_cpu_seconds", "total_seconds", "peak_bytes", "disk_bytes"):
        assert record["forecast"][key] > 0
    assert record["timing"]["train_cpu_seconds"] > 0 and record["peak_bytes"] > 0
    assert (
        len(record["weights"]["first_sha256"]) == 64
        and record["weights"]["first_sha256"] != record["weights"]["final_sha256"]
    )
    assert sum(record["data"][s]["rows"] for s in ("train", "validation", "test")) == 90
    assert record["looks"] == 1


def test_run_folder_is_complete(trained):
    folder, _ = trained
    names = {p.name for p in (folder / "runs/small").iterdir()}
    assert {
        "settings.ini",
        "run.json",
        "log.jsonl",
        "model",
        "predictions.parquet",
        "report.html",
    } <= names and "checkpoints" not in names
    assert not [n for n in names if n.endswith(".tmp")]
    steps = [json.loads(line) for line in (folder / "runs/small/log.jsonl").read_text().splitlines()]
    assert (
        any("loss" in s for s in steps)
        and any("eval_accuracy" in s for s in steps)
        and all("step" in s for s in steps)
    )
    assert not list((folder / "runs/small").rglob("training_args.bin"))


def test_model_opens_in_pipeline(trained):
    from transformers import pipeline

    folder, _ = trained
    answer = pipeline("text-classification", str(folder / "runs/small/model"))(GOOD)[0]
    assert answer["label"] in ("bad", "flat", "good")
    card = (folder / "runs/small/model/README.md").read_text()
    assert "good" in card and "sha256" in card and "Limits" in card


def test_predict_answers_in_order(trained, ftkit):
    folder, _ = trained
    done = ftkit("predict", "small", GOOD, "", BAD, "--json", cwd=folder)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and [set(r) for r in rows] == [
        {"label", "score", "scores"},
        {"error"},
        {"label", "score", "scores"},
    ]
    assert abs(sum(rows[0]["scores"].values()) - 1) < 1e-6 and rows[0]["score"] == max(rows[0]["scores"].values())


def test_predict_escapes_formulas(trained, ftkit, tmp_path):
    folder, _ = trained
    texts = ["=cmd|' /C calc'!A0", "plain", "@SUM(1)", "  "]
    write_csv(tmp_path / "in.csv", [{"review": t, "x": "1"} for t in texts])
    for name in ("out.csv", "out.jsonl"):
        done = ftkit("predict", "small", "--file", tmp_path / "in.csv", "--out", tmp_path / name, cwd=folder)
        assert done.returncode == 0, done.stderr
    with open(tmp_path / "out.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert [r["text"] for r in rows] == ["'=cmd|' /C calc'!A0", "plain", "'@SUM(1)", "  "] and rows[3][
        "error"
    ] == "the text is empty"
    assert [json.loads(line)["text"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == texts


def test_evaluate_counts_the_look(trained, own, ftkit):
    folder, record = own, trained[1]
    done = ftkit("evaluate", "small", "--json", cwd=folder)
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result["metrics"]["accuracy"] == record["metrics"]["test"]["accuracy"]
    assert result["sha256"] == record["data"]["test"]["sha256"] and result["looks"] == 2
    again = ftkit("evaluate", "small", "--file", "mine.csv", "--json", cwd=folder)
    assert json.loads(again.stdout)["rows"] == 90


def test_runs_are_compared(own, ftkit):
    from ftkit.fine_tuning import Run

    settings = Run.load("small", own / "runs").settings.replace(seed=1, num_train_epochs=1, baselines=["majority"])
    (own / "other.ini").write_text(settings.to_ini())
    done = ftkit("train", "other.ini", "--run", "other", cwd=own)
    assert done.returncode == 0, done.stderr
    assert "look" in done.stdout and "report" in done.stdout and "fine-tuned" in done.stdout
    listed = json.loads(ftkit("runs", "--json", cwd=own).stdout)["runs"]
    assert [r["run"] for r in listed] == ["small", "other"] and all(r["status"] == "finished" for r in listed)
    both = json.loads(ftkit("runs", "small", "other", "--json", cwd=own).stdout)
    assert set(both["changed"]) == {"seed", "num_train_epochs", "baselines"} and len(both["verdicts"]) == 1


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_terminal_without_the_characters_gets_escapes(trained, monkeypatch, encoding):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["predict", "small", "😀 привет", "half \ud83d", "--runs_dir", str(trained[0] / "runs")]) == 0
    out.flush()
    lines = out.buffer.getvalue().decode(encoding).splitlines()
    assert len(lines) == 2 and ("😀" in lines[0] or "\\U0001f600" in lines[0]) and "lone surrogate" in lines[1]


HEAVY = ("torch", "transformers", "pandas", "datasets")


@pytest.mark.parametrize(
    "words",
    [
        ["runs"],
        ["train", "--epochs", "3"],
        ["train", "--train_file", "none.csv"],
        ["train", "--resume", "none"],
        ["train", "--run", "../x"],
        ["predict", "none", "a text"],
        ["evaluate", "none"],
        ["check", "none.csv"],
    ],
    ids=" ".join,
)
def test_names_and_files_are_answered_before_torch_is_loaded(tmp_path, words):
    script = f"import sys; from ftkit.cli.main import main; code = main({words!r}); " + (
        f"print(code, *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == ("0" if words == ["runs"] else "2"), done.stderr


@pytest.mark.slow
def test_home_that_cannot_be_written_is_no_matter(folder, ftkit, tiny):
    env = {"HOME": str(folder / "mine.csv" / "nowhere"), "HF_HOME": str(folder / "mine.csv" / "cache")}
    names = ["--text_column_name", "review", "--label_column_name", "stars", "--baselines", "majority"]
    base = ["--train_file", "mine.csv", "--model_name_or_path", tiny, "--num_train_epochs", "1"]
    done = ftkit("train", *base, *names, "--run", "x", cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "runs/x/run.json").read_text())["status"] == "finished"
