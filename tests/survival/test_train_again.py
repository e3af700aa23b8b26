"Training again: continued runs that are interrupted, killed promotions, and the whole way with a real server."

import json
import os
import shutil
import signal

import pytest
from conftest import small_rows, write_csv
from processes import Command
from runs import SHORT_ROWS, only_classification, raise_at_step, read_fingerprint
from serving import serving, wait_until

import ftkit.fine_tuning
from ftkit.files.feedback import add_feedback, read_entries
from ftkit.fine_tuning import Run, fine_tune
from ftkit.serving.promotion import read_promoted

KEYS = {
    "train_file": "mine.csv",
    "text_column_name": "review",
    "label_column_name": "stars",
    "test_size": 0.4,
    "baselines": "majority",
    "num_resamples": 100,
    "num_train_epochs": 1,
    "learning_rate": 1e-7,
    "preflight": "false",
    "per_device_train_batch_size": 8,
}


@pytest.fixture
def parent(short_settings, reference_run, tmp_path):
    "A copy of a finished run"
    folder = reference_run(short_settings, SHORT_ROWS).path
    return Run(shutil.copytree(folder, tmp_path / "parent"))


def judge(folder):
    "Judge answers in a file, which the next call lets grow"
    for i in range(4):
        add_feedback(folder / "f.jsonl", f"late and cold {i} {os.urandom(2).hex()}", "good", "bad", "bad")
    return str(folder / "f.jsonl")


@pytest.mark.slow
@only_classification
@pytest.mark.fault("killed")
@pytest.mark.parametrize("method", [pytest.param("full", marks=pytest.mark.slow), "lora"])
@pytest.mark.parametrize("step", [pytest.param(2, marks=pytest.mark.slow), 12])
def test_continued_run_resumes_identically(parent, tmp_path, monkeypatch, method, step):
    settings = parent.settings.replace(feedback_file=judge(tmp_path), method=method)
    whole = fine_tune(settings, SHORT_ROWS, continue_from=parent, name="whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        raise_at_step(patch, step)
        fine_tune(settings, SHORT_ROWS, continue_from=parent, name="x")
    judge(tmp_path)  # people go on judging
    resumed = Run.load("x", tmp_path).resume(SHORT_ROWS)
    assert read_fingerprint(resumed) == read_fingerprint(whole)
    ours, theirs = (
        [s["difference"] for s in run.record["continued"]["slices"]] + [run.record["continued"]["verdict"]["p"]]
        for run in (resumed, whole)
    )
    assert ours == theirs


@pytest.mark.slow
@only_classification
@pytest.mark.fault("killed")
def test_verdict_is_made_up_for(parent, tmp_path, monkeypatch):
    def raised(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ftkit.fine_tuning, "judge_continued", raised)
        fine_tune(None, SHORT_ROWS, continue_from=parent, name="x")
    assert Run.load("x", tmp_path).record["continued"]["verdict"] is None
    resumed = Run.load("x", tmp_path).resume(SHORT_ROWS)
    assert resumed.record["continued"]["verdict"]["b"] == "parent" and resumed.record["looks"] is not None


@pytest.fixture
def two_runs(trained, tmp_path):
    "A folder with the runs a and b, of which none is promoted"
    for name in "ab":
        shutil.copytree(trained[0] / "runs/small", tmp_path / "own/runs" / name)
    return tmp_path / "own"


def die_while_replacing():
    "Let the process be killed when all is written but nothing replaced"
    plain = os.replace

    def replace(source, target):
        if str(target).endswith("promoted.json"):
            os.kill(os.getpid(), signal.SIGKILL)
        plain(source, target)

    os.replace = replace


@pytest.mark.slow
@pytest.mark.fault("killed")
def test_killed_promotion_changes_nothing(two_runs):
    assert Command("promote", "a", "--force", cwd=two_runs).wait() == 0
    before = (two_runs / "runs/promoted.json").read_bytes()
    killed = Command("promote", "b", "--force", cwd=two_runs, before=die_while_replacing)
    assert killed.wait() == -signal.SIGKILL
    assert (two_runs / "runs/promoted.json").read_bytes() == before
    assert Command("promote", "b", "--force", cwd=two_runs).wait() == 0
    assert read_promoted(two_runs / "runs")["previous"]["run"] == "a"


@pytest.mark.fault("several processes")
def test_promotions_at_once_lose_none(two_runs):
    both = [Command("promote", name, "--force", cwd=two_runs) for name in "ab"]
    assert [process.wait() for process in both] == [0, 0], [process.stderr for process in both]
    entry = read_promoted(two_runs / "runs")
    assert {entry["run"], entry["previous"]["run"]} == {"a", "b"} and entry["previous"]["previous"] is None


def test_feedback_becomes_the_run_that_serves(tmp_path, tiny):
    folder = tmp_path / "own"
    folder.mkdir()
    write_csv(folder / "mine.csv", small_rows(150))

    def ftkit(*words):
        done = Command(*words, cwd=folder).result()
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    flags = [str(word) for key, value in KEYS.items() for word in (f"--{key}", value)]
    ftkit("train", *flags, "--model_name_or_path", tiny, "--run", "first", "--json")
    ftkit("promote", "first", "--force", "--json")
    with serving(folder, "--feedback", run=None) as server:
        serves = lambda name: json.loads(server.get("/info")[2])["run"] == name
        assert serves("first")
        text = "the bus broke down again, at last"
        assert server.ask({"text": text})[0] == 200
        judgement = {"text": text, "answer": "good", "mark": "bad", "corrected": "bad"}
        assert server.ask(judgement, "/feedback")[0] == 200
        file = folder / "runs/first.feedback.jsonl"
        assert [entry["corrected"] for entry in read_entries(file)] == ["bad"]
        more = ["--num_train_epochs", 4, "--learning_rate", "3e-3", "--run", "second", "--json"]
        record = ftkit("train", "--continue_from", "first", "--add_feedback", file, *more)
        assert record["continued"]["verdict"]["better"] == "second" and record["data"]["feedback"]["added"] == 1
        assert serves("first")
        assert ftkit("promote", "second", "--json")["why"] == record["continued"]["verdict"]["text"]
        wait_until(lambda: serves("second"))
        assert server.ask({"text": text})[1] == Run(folder / "runs/second").predict([text])[0]
        assert ftkit("promote", "--back", "--json")["run"] == "first"
        wait_until(lambda: serves("first"))
