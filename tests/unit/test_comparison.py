"A run repeated from its record: the same, within noise or different, and why; two runs compared."

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import mark_slow, small_rows, write_csv

from ftkit.cli.main import main
from ftkit.errors import UserError
from ftkit.files.feedback import TRAINED_WITH, add_feedback
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.comparison import compare_on_rows, compare_runs, describe_comparison
from ftkit.settings import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny):
    "One run of a second on three files: 75 rows to train on, 60 to test on"
    folder, rows = tmp_path_factory.mktemp("rerun"), small_rows(150)
    files = {"train": rows[:75], "validation": rows[75:90], "test": rows[90:]}
    keys = {f"{split}_file": str(write_csv(folder / f"{split}.csv", part)) for split, part in files.items()}
    keys |= {
        "text_column_name": "review",
        "label_column_name": "stars",
        "model_name_or_path": tiny,
        "baselines": ["majority"],
    }
    fine_tune(
        Settings(per_device_train_batch_size=8, learning_rate=3e-3, **keys), runs_dir=folder / "runs", name="first"
    )
    return folder


@pytest.fixture
def copied(folder, tmp_path):
    "A copy of that run, with changes: `copied(record=..., settings=...)`"

    def copy(record=lambda record: None, **settings):
        run = Run(shutil.copytree(folder / "runs/first", tmp_path / "runs/first"))
        changed = json.loads((run.path / "run.json").read_text())
        record(changed)
        (run.path / "run.json").write_text(json.dumps(changed))
        if settings:
            (run.path / "settings.ini").write_text(run.settings.replace(**settings).to_ini())
        return run

    return copy


def read_all_bytes(folder: Path) -> dict:
    "Every file below a folder with its content"
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_rerun_is_identical(folder, copied, capsys):
    first = copied()
    before = read_all_bytes(first.path)
    assert main(["train", "--rerun", str(first.path), "--run", "again", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["rerun"]["outcome"] == "identical" and record["rerun"]["of"] == "first"
    assert record["rerun"]["first_different_step"] is None and record["rerun"]["changed"] == {}
    assert (
        record["rerun"]["text"].startswith("identical to first: the final weights and all ")
        and "\n" not in record["rerun"]["text"]
    )
    assert record["weights"] == first.record["weights"] and len(first.history) > 20
    again = Run(first.path.parent / "again")
    assert again.record["rerun"] == record["rerun"] and again.settings == first.settings
    assert read_all_bytes(first.path) == before


def test_changed_settings_are_named(copied):
    first = copied(lambda record: record.update(settings_sha256="0" * 64), learning_rate=1e-9)
    said = first.rerun().record["rerun"]
    assert (
        said["outcome"] == "different" and said["first_different_step"] == 3
    )  # the first step of the warm-up has a rate of 0
    assert "first is better than" in said["text"] and "test predictions differ" in said["text"]
    assert "the losses differ from step 3 on: loss " in said["text"] and list(said["changed"]) == ["settings"]
    assert "cause: settings.ini: 000000000000 then" in said["text"]


def test_changed_seed_is_named(copied):
    said = copied(seed=7).rerun().record["rerun"]
    assert said["outcome"] == "within noise" and said["first_different_step"] == 1
    assert list(said["changed"]["weights"]) == ["first_sha256"] and "cause: first weights: " in said["text"]
    assert re.search(
        "no significant difference between .* p = |give the same answers to all 60 test rows", said["text"]
    )


@pytest.mark.parametrize("split", mark_slow(["train", "validation", "test"], fast=["train"]))
def test_changed_rows_are_named(folder, copied, tmp_path, capsys, split):
    text = (folder / f"{split}.csv").read_text()
    (tmp_path / "other.csv").write_text(text.replace("lovely", "awful", 1))
    said = copied(**{f"{split}_file": str(tmp_path / "other.csv")}).rerun().record["rerun"]
    assert said["outcome"] == "different" and list(said["changed"]["data"]) == [split]
    assert (
        said["text"].startswith(f"different from first: the {split} rows changed")
        and f"cause: {split} rows: " in said["text"]
    )
    assert f"changed since first was made: {split} rows: " in capsys.readouterr().err


@pytest.mark.slow
def test_changed_threads_are_named(copied, capsys):
    before = torch.get_num_threads()
    said = copied(num_threads=3 - before).rerun().record["rerun"]
    assert said["outcome"] == "within noise" and said["changed"]["machine"] == {"threads": [before, 3 - before]}
    cause = f"threads: {before} then, {3 - before} now (num_threads = {before} repeats the first)"
    assert f"cause: {cause}" in said["text"] and f"changed since first was made: {cause}" in capsys.readouterr().err
    assert re.search("test predictions differ; .*(no significant difference|give the same answers)", said["text"])


def test_changed_versions_are_named(copied):
    def older(record):
        record["versions"].update(torch="2.0.0", gone="1.0")
        record["weights"]["final_sha256"] = record["tokens_sha256"] = "0" * 64
        record["resumed"] = [{"changed": {"threads": [2, 8]}}]

    first = copied(older)
    said = first.rerun().record["rerun"]
    assert said["outcome"] == "within noise" and said["changed"]["versions"]["torch"] == ["2.0.0", torch.__version__]
    assert (
        said["first_different_step"] is None
        and "the final weights differ; 0 of 60 test predictions differ" in said["text"]
    )
    assert (
        f"cause: torch: 2.0.0 then, {torch.__version__} now" in said["text"]
        and "cause: gone: 1.0 then, none now" in said["text"]
    )
    assert (
        list(said["changed"]["tokens"]) == ["tokens_sha256"]
        and "cause: token ids of the training rows: 000000000000 then, " in said["text"]
    )
    assert "cause: first was resumed with threads 8, not 2" in said["text"]


def test_killed_run_is_compared(copied):
    first = copied(
        lambda record: record.update(
            status="failed", metrics=None, weights={**record["weights"], "final_sha256": None}
        )
    )
    for name in ("model", "predictions.parquet"):
        shutil.rmtree(first.path / name) if name == "model" else (first.path / name).unlink()
    kept = (first.path / "log.jsonl").read_text().splitlines(keepends=True)[:9]
    (first.path / "log.jsonl").write_text("".join(kept) + kept[-1][:20])
    assert (
        describe_comparison(compare_runs(first, first, first.task))[-1]
        == "not both of them were scored: there is no verdict"
    )
    said = first.rerun().record["rerun"]
    assert (
        said["outcome"] == "identical"
        and said["text"] == "identical to first as far as it came: all 9 losses up to step 9 are the same"
    )


@pytest.mark.slow
def test_sparse_record_is_compared(copied):
    def little(record):
        for key in ("versions", "machine", "data", "metrics", "weights"):
            del record[key]

    first = copied(little)
    (first.path / "log.jsonl").unlink()
    said = first.rerun().record["rerun"]
    assert said["outcome"] is None and said["changed"] == {} and "there is nothing to compare" in said["text"]


def test_rerun_needs_python_rows(folder, copied, capsys):
    rows = {split: pd.read_csv(folder / f"{split}.csv") for split in ("train", "validation", "test")}
    first = copied(train_file=None, validation_file=None, test_file=None, dataset_name=None)
    assert main(["train", "--rerun", str(first.path)]) == 2
    assert capsys.readouterr().err.endswith(
        "the rows of this run were passed from Python. "
        f"Pass them again: Run.load({str(first.path)!r}).resume(dataset), or .rerun(dataset).\n"
    )
    assert [p.name for p in first.path.parent.iterdir()] == ["first"]
    assert first.rerun(rows, "again").record["rerun"]["outcome"] == "identical"


def test_rerun_names_missing_file(copied, capsys):
    first = copied(train_file="/nowhere/mine.csv")
    before = read_all_bytes(first.path.parent)
    assert main(["train", "--rerun", str(first.path), "--run", "again"]) == 2
    said = capsys.readouterr().err
    assert (
        "its train_file is no longer there: /nowhere/mine.csv. Put the file back" in said
        and said.startswith("ftkit: ")
        and said.count("\n") == 1
    )
    assert read_all_bytes(first.path.parent) == before


@pytest.mark.parametrize(
    "more, message",
    [
        (["--seed", "42"], "--rerun repeats a run with its own settings"),
        (["--adam_beta2", "0.9"], "--rerun repeats a run with its own settings"),
        (["--preset", "starter"], "--rerun repeats a run with its own settings"),
        (["--resume", "first"], "--rerun repeats a run with its own settings"),
        (["--run", "first"], "there is already a run 'first'"),
        (["--run", "../x"], "run name '../x'"),
    ],
)
def test_rerun_refuses_other_flags(folder, capsys, more, message):
    before = read_all_bytes(folder)
    assert main(["train", "--rerun", "first", "--runs_dir", str(folder / "runs"), *more]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and read_all_bytes(folder) == before


def test_rerun_refuses_unknown_run(folder, capsys):
    assert main(["train", "--rerun", "frist", "--runs_dir", str(folder / "runs")]) == 2
    assert "there is no run 'frist'" in capsys.readouterr().err


def test_compare_runs_names_all_changes(folder, copied, capsys):
    def other(record):
        record["versions"]["torch"], record["machine"]["threads"], record["data"]["train"]["sha256"] = (
            "2.0.0\x1b[2J",
            64,
            "0" * 64,
        )
        record["tokens_sha256"] = "0" * 64
        record["weights"]["final_sha256"] = "0" * 64

    second = copied(other, learning_rate=1e-3, adam_beta2=0.9)
    second = Run(second.path.rename(second.path.with_name("second")))
    log = (second.path / "log.jsonl").read_text().splitlines()
    (second.path / "log.jsonl").write_text(
        "\n".join([*log[:4], json.dumps({**json.loads(log[4]), "loss": 9.0}), *log[5:]]) + "\n"
    )
    first = Run(shutil.copytree(folder / "runs/first", second.path.with_name("first")))
    first.update(tokens_sha256="1" * 64)
    names = [str(first.path), str(second.path)]
    assert main(["runs", *names, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["changed"] == {"learning_rate": [3e-3, 1e-3], "adam_beta2": [None, 0.9]}
    assert (
        list(found["data"]) == ["train"]
        and list(found["versions"]) == ["torch"]
        and found["machine"]["threads"][1] == 64
        and list(found["weights"]) == ["final_sha256"]
    )
    assert (
        found["losses"]["first_different_step"] == 5
        and found["losses"]["b"] == 9.0
        and found["losses"]["same"] is False
        and found["losses"]["compared"] == 4
    )
    assert len(found["verdicts"]) == 1 and found["verdicts"][0]["difference"] == 0
    assert main(["runs", *names]) == 0
    said = capsys.readouterr().out
    starts = (
        "learning_rate: 0.003 | 0.001\n",
        "adam_beta2: none | 0.9\n",
        "train rows: 75 (sha256 ",
        "token ids of the training rows: 111111111111 | 000000000000\n",
        "torch: ",
        "threads: ",
        "final weights: ",
        "the losses differ from step 5 on: loss ",
    )
    assert [start for start in starts if f"\n{start}" not in f"\n{said}"] == []
    assert "first and second give the same answers to all 60 test rows" in said and "\x1b" not in said


def test_run_equals_itself(folder):
    run = Run(folder / "runs/first")
    found = compare_runs(run, run, run.task)
    assert (
        not any(found[group] for group in ("changed", "data", "tokens", "weights", "versions", "machine"))
        and found["losses"]["same"]
    )
    assert found["same"][:2] == ["settings", "data"]


def test_two_runs_are_compared_on_other_rows(copied, tmp_path, capsys):
    one = copied()
    two = Run(shutil.copytree(one.path, one.path.parent / "second"))
    add_feedback(two.path / TRAINED_WITH, small_rows(150)[100]["review"], "bad", "good", "", "first")
    rows = [{**row, "review": f"{row['review']}, truly"} for row in small_rows(33)]
    file = str(write_csv(tmp_path / "more.csv", [*rows, small_rows(150)[100]]))
    verdict = compare_on_rows(two, one, two.task, file)
    assert verdict.p == 1 and verdict.text.endswith("(on 33 other rows)")
    assert "1 of 34 rows are left out: one of the runs learned them as judged answers" in capsys.readouterr().err
    looks = (one.path.parent / "test_looks.jsonl").read_text().splitlines()
    assert [json.loads(line)["run"] for line in looks[-2:]] == ["second", "first"]
    with pytest.raises(UserError, match="learned all of these rows"):
        compare_on_rows(two, one, two.task, str(write_csv(tmp_path / "old.csv", [small_rows(150)[100]])))
    assert main(["promote", str(two.path), "--file", file]) == 2
    assert "no run is promoted yet" in capsys.readouterr().err
    assert main(["promote", str(one.path), "--force"]) == 0 and main(["promote", str(two.path), "--file", file]) == 2
    assert re.search(r"second was not promoted: no significant difference .*on 33 other rows", capsys.readouterr().err)
    two.update(data={**two.data, "labels": ["x", "y"]})
    with pytest.raises(UserError, match="different labels"):
        compare_on_rows(two, one, two.task, file)
