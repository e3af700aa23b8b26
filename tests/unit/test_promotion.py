"The run that serves: promoted on a verdict or by force, and rolled back."

import json
import shutil

import pytest
from conftest import small_rows

from ftkit.errors import UserError
from ftkit.fine_tuning import Run
from ftkit.metrics import Verdict
from ftkit.runs.session import create_run
from ftkit.serving.promotion import KEPT, find_promoted, promote, read_promoted, roll_back
from ftkit.settings import Settings


@pytest.fixture
def runs(tmp_path):
    "A folder with three scored runs: a beats its ladder, b and c are judged by `judge`"
    for name in "abc":
        with create_run(Settings(), tmp_path, name) as run:
            score = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 50}
            verdict = Verdict("fine-tuned", "tfidf", "accuracy", 0.3, 0.2, 0.4, 0.001, "it is better", "fine-tuned")
            worst = Verdict("fine-tuned", "majority", "accuracy", 0.0, -0.1, 0.1, 1.0, "no difference")
            low = {**score, "value": 0.1}
            baselines = {"majority": {"accuracy": low, "seconds": 0}, "tfidf": {"accuracy": score, "seconds": 0}}
            run.update(metrics={"test": {"accuracy": score}}, baselines=baselines, verdicts=[worst, verdict])
    return tmp_path


def judge(new, old):
    "Find the run whose name comes later better"
    better = max(new.path.name, old.path.name)
    return Verdict(new.path.name, old.path.name, "accuracy", 0.1, 0.05, 0.15, 0.01, f"{better} is better", better)


def load(runs, name):
    return Run.load(name, runs)


def test_nothing_is_promoted_at_first(runs):
    assert read_promoted(runs) is None and find_promoted(runs) is None


def test_first_has_to_beat_the_best_rung(runs):
    entry = promote(load(runs, "a"), judge)
    assert (entry["run"], entry["previous"], entry["why"]) == ("a", None, "it is better")
    assert read_promoted(runs) == entry and set(entry) == {"run", "previous", "time", "why"}
    assert find_promoted(runs) == runs / "a"


def test_run_that_beats_no_rung_needs_force(runs):
    run = load(runs, "a")
    run.update(verdicts=[{**run.record["verdicts"][1], "better": None, "text": "no significant difference"}])
    with pytest.raises(UserError, match="a was not promoted: no significant difference.*--force"):
        promote(run, judge)
    assert read_promoted(runs) is None
    assert promote(run, judge, force=True)["why"] == "forced: no significant difference"


def test_next_has_to_beat_the_promoted_one(runs):
    promote(load(runs, "b"), judge)
    with pytest.raises(UserError, match="a was not promoted: b is better. To promote it all the same: --force"):
        promote(load(runs, "a"), judge)
    entry = promote(load(runs, "c"), judge)
    assert entry["run"] == "c" and entry["previous"]["run"] == "b" and entry["why"] == "c is better"
    assert promote(load(runs, "c"), judge) == entry  # it is promoted already


def test_other_test_rows_give_no_verdict(runs):
    promote(load(runs, "a"), judge)
    with pytest.raises(UserError, match="there is no verdict.*--continue_from a"):
        promote(load(runs, "b"), lambda new, old: None)


def test_back_restores_the_entry_of_before(runs):
    first = promote(load(runs, "a"), judge)
    second = promote(load(runs, "b"), judge)
    promote(load(runs, "c"), judge)
    assert roll_back(runs) == second == read_promoted(runs)
    assert roll_back(runs) == first == read_promoted(runs)
    with pytest.raises(UserError, match="no run was promoted before a"):
        roll_back(runs)
    assert read_promoted(runs) == first


def test_back_without_a_promoted_run_is_refused(runs):
    with pytest.raises(UserError, match="no run is promoted"):
        roll_back(runs)
    with pytest.raises(UserError, match="no such folder"):
        roll_back(runs / "none")
    assert not (runs / "none").exists()


def test_deleted_runs_are_named(runs):
    promote(load(runs, "a"), judge)
    promote(load(runs, "b"), judge)
    shutil.rmtree(runs / "a")
    with pytest.raises(UserError, match="a: was promoted on .*, and is no longer there"):
        roll_back(runs)
    shutil.rmtree(runs / "b")
    with pytest.raises(UserError, match="b: was promoted on"):
        find_promoted(runs)
    with pytest.raises(UserError, match="c was not promoted: .*b: was promoted on.*--force"):
        promote(load(runs, "c"), judge)
    assert promote(load(runs, "c"), judge, force=True)["run"] == "c"


@pytest.mark.parametrize("status", ["stopped", "failed"])
def test_unfinished_runs_are_refused(runs, status):
    load(runs, "a").update(status=status)
    with pytest.raises(UserError, match=f"a: is {status}, and only a finished run is promoted"):
        promote(load(runs, "a"), judge, force=True)


@pytest.mark.fault("hostile files")
@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"run": "../a"}', '{"run": ".."}', '{"run": "a", "previous": {"run": "/etc"}}', "[" * 9999],
)
def test_damaged_file_is_refused_by_name(runs, content):
    (runs / "promoted.json").write_text(content)
    with pytest.raises(UserError, match="promoted.json: is not as `ftkit promote` writes it"):
        read_promoted(runs)
    with pytest.raises(UserError):
        promote(load(runs, "a"), judge)
    assert promote(load(runs, "a"), judge, force=True)["previous"] is None


def test_history_does_not_grow_without_end(runs):
    for i in range(KEPT + 5):
        promote(load(runs, "ab"[i % 2]), judge, force=True)
    entry, count = read_promoted(runs), 0
    while entry := entry["previous"]:
        count += 1
    assert count == KEPT


def test_command_promotes_and_marks_the_run(trained, ftkit, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "own")
    run = lambda *words: ftkit(*words, cwd=folder)
    refused = run("promote", "small")
    done = run("promote", "small", "--force", "--json") if refused.returncode else run("promote", "small", "--json")
    assert json.loads(done.stdout)["run"] == "small", done.stderr
    assert "(promoted)" in run("runs").stdout
    rows = json.loads(run("runs", "--json").stdout)["runs"]
    assert [row["run"] for row in rows if row["promoted"]] == ["small"]
    back = run("promote", "--back")
    assert back.returncode == 2 and back.stderr.endswith("so there is nothing to go back to.\n")
    for words in (("promote",), ("promote", "small", "--back"), ("promote", "smal")):
        done = run(*words)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and done.stdout == ""
    Run.load("small", folder / "runs").update(weights={"first_sha256": None, "final_sha256": "0" * 64})
    done = run("promote", "small", "--force")
    assert done.returncode == 2 and "not the one that it was scored with" in done.stderr


def test_command_continues_and_refuses(trained, ftkit, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "own")
    before = sorted((folder / "runs").iterdir())
    for words, message in [
        (["--continue_from", "small", "--test_size", "0.2"], "keeps its rows and labels"),
        (["--continue_from", "small", "--preset", "starter"], "takes the settings of the run"),
        (["--continue_from", "small", "--resume", "small"], "Give one of them"),
        (["--continue_from", "smal"], "there is no run 'smal'"),
        (["--start", "base"], "is for --continue_from RUN"),
        (["--continue_from", "small", "--start", "scratch"], "Choices: weights, base"),
        (["--continue_from", "small", "--add_feedback", "none.jsonl"], "none.jsonl"),
    ]:
        done = ftkit("train", *words, cwd=folder)
        assert done.returncode == 2 and message in done.stderr and done.stdout == "", done.stderr
    assert sorted((folder / "runs").iterdir()) == before
    rows = [{"text": row["review"], "answer": "flat", "mark": "good"} for row in small_rows(3)]
    (folder / "f.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = ftkit(
        "train", "--continue_from", "small", "--add-feedback", "f.jsonl", "--run", "next", "--json", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["continued"]["from"] == "small" and record["continued"]["verdict"]["a"] == "next"
    assert record["data"]["feedback"]["judged"] == 3
