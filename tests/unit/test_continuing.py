"A run that continues another: the same test rows, the judged answers, a verdict on the two and on slices."

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import quick_settings, small_dataset, small_rows, write_csv
from datasets import Dataset

from ftkit.cli.commands import print_result
from ftkit.errors import UserError
from ftkit.files.feedback import add_feedback, read_entries
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.comparison import compare_predictions
from ftkit.runs.continuing import describe_verdict, find_continued, find_slices, judge_slices
from ftkit.runs.scoring import count_runs
from ftkit.settings import Settings
from ftkit.tasks.classification import Classification
from ftkit.tasks.multi_label import MultiLabel
from ftkit.tasks.regression import Regression
from ftkit.views.scores import describe_slices

QUICK = {"num_train_epochs": 1, "num_resamples": 100, "preflight": "false"}


@pytest.fixture(scope="module")
def first_folder(tmp_path_factory, tiny):
    "A folder with rows in a file, and a finished run on them"
    folder = tmp_path_factory.mktemp("continued")
    rows = write_csv(folder / "mine.csv", small_rows(240))
    settings = quick_settings(tiny, **QUICK, train_file=str(rows), label_column_name="stars", test_size=0.3)
    fine_tune(settings, runs_dir=folder / "runs", name="first")
    return folder


@pytest.fixture
def first(first_folder, tmp_path):
    "A copy of the run"
    return Run(shutil.copytree(first_folder / "runs", tmp_path / "runs") / "first")


def judge(file, count=3):
    "Judge answers, all corrected to `bad`"
    for i in range(count):
        add_feedback(file, f"a late bus again, {i}", "good", "bad", "bad", "first")
    return str(file)


def test_weights_and_rows_are_continued(first, tmp_path):
    file = judge(tmp_path / "f.jsonl")
    settings = first.settings.replace(feedback_file=file, learning_rate=1e-4)
    second = fine_tune(settings, continue_from=first, name="second")
    old, new = first.record, second.record
    assert second.path == first.path.parent / "second"
    assert new["weights"]["first_sha256"] == old["weights"]["final_sha256"]
    assert [new["data"][s]["sha256"] == old["data"][s]["sha256"] for s in ("test", "validation")] == [True, True]
    assert new["data"]["train"]["rows"] == old["data"]["train"]["rows"] + 3
    told = new["continued"]
    assert (told["from"], told["start"], told["weights"]) == ("first", "weights", old["weights"])
    assert told["verdict"]["text"] == compare_predictions(second, first, second.task).text
    assert told["runs"] == 2 and new["looks"] == 2 and {s["slice"] for s in told["slices"]} > {"label bad"}
    assert all(s["p_holm"] >= s["p"] and s["rows"] >= 20 for s in told["slices"])
    assert len(read_entries(second.path / "judged.jsonl")) == 3
    assert second.settings.learning_rate == 1e-4
    assert second.settings.feedback_file == str(second.path / "judged.jsonl")
    assert "Compared with first" in (second.path / "report.html").read_text()
    assert "continues first from its weights" in (second.path / "model/README.md").read_text()


@pytest.mark.slow
def test_grown_feedback_changes_no_rerun(first, tmp_path, capsys):
    file = judge(tmp_path / "f.jsonl")
    second = fine_tune(first.settings.replace(feedback_file=file), continue_from=first, name="second")
    judge(tmp_path / "f.jsonl", 9)
    again = second.rerun(name="again")
    assert again.record["rerun"]["outcome"] == "identical"
    assert again.record["continued"]["from"] == "first"
    third = fine_tune(second.settings.replace(feedback_file=file), continue_from=second, name="third")
    assert third.record["data"]["feedback"]["judged"] == 12  # the three of before are not counted twice
    assert third.record["continued"]["runs"] == 4
    print_result(third)
    said = capsys.readouterr().out
    assert "continues second from its weights" in said and "have now chosen between 4 runs" in said


@pytest.mark.slow
def test_base_is_started_from(first):
    second = fine_tune(continue_from=first, start="base", name="second")
    assert second.record["weights"] == first.record["weights"]
    verdict = second.record["continued"]["verdict"]
    assert verdict["difference"] == 0 and verdict["better"] is None


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "ia3", "top_k", "head"])
def test_merged_weights_are_continued(first, method):
    second = fine_tune(first.settings.replace(method=method), continue_from=first, name="second")
    third = fine_tune(second.settings.replace(method="full"), continue_from=second, name="third")
    assert third.record["weights"]["first_sha256"] == second.record["weights"]["final_sha256"]


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"test_size": 0.2}, "test_size = 0.2: a run that continues first keeps its rows and labels"),
        ({"text_column_name": "other"}, "text_column_name = 'other'"),
        ({"max_train_samples": 10}, "max_train_samples = 10"),
        ({"task": "regression", "baselines": ["median"]}, "task = 'regression'"),
        ({"model_name_or_path": "starter"}, "starts from the weights of first. Give start = base"),
        ({"method": "prompt"}, "method = prompt: keeps its weights beside the base model"),
        ({"feedback_file": "none.jsonl"}, "none.jsonl: cannot be read"),
    ],
)
def test_settings_that_do_not_go_are_refused(first, keys, message):
    before = sorted(first.path.parent.iterdir())
    with pytest.raises(UserError, match=message):
        fine_tune(first.settings.replace(**keys), continue_from=first)
    assert sorted(first.path.parent.iterdir()) == before


def test_label_that_the_run_does_not_know_is_refused(first, tmp_path):
    add_feedback(tmp_path / "f.jsonl", "a new text", "good", "bad", "superb")
    for start in ("weights", "base"):
        settings = first.settings.replace(feedback_file=str(tmp_path / "f.jsonl"))
        with pytest.raises(UserError, match="have the label 'superb'.*which no training row has"):
            fine_tune(settings, continue_from=first, start=start)


@pytest.mark.parametrize("status", ["stopped", "failed"])
def test_unfinished_run_is_not_continued(first, status):
    first.update(status=status)
    with pytest.raises(UserError, match="only a finished run is continued. Resume it"):
        fine_tune(continue_from=first)


def test_other_starts_and_rows_are_refused(first):
    with pytest.raises(UserError, match="start = scratch: not a choice. Choices: weights, base"):
        fine_tune(continue_from=first, start="scratch")
    with pytest.raises(UserError, match="Pass its settings"):
        fine_tune(small_dataset(), continue_from=first)
    with pytest.raises(UserError, match="that of the run that is continued"):
        fine_tune(continue_from=first, name="first", runs_dir=first.path.parent / "elsewhere")


def test_changed_rows_are_refused(first, tmp_path):
    rows = write_csv(tmp_path / "mine.csv", small_rows(240)[::-1])
    text = (first.path / "settings.ini").read_text()
    (first.path / "settings.ini").write_text(text.replace(first.settings.train_file, str(rows)))
    with pytest.raises(UserError, match="its test rows cannot be had again"):
        fine_tune(continue_from=first)


def test_changed_weights_are_refused(first):
    first.update(weights={**first.record["weights"], "final_sha256": "0" * 64})
    with pytest.raises(UserError, match="not the one that it trained"):
        fine_tune(continue_from=first)


@pytest.mark.slow
def test_rows_from_python_are_passed_again(tmp_path, tiny):
    rows = small_dataset(60)
    fine_tune(quick_settings(tiny, **QUICK), rows, tmp_path, "first")
    with pytest.raises(UserError, match="Pass them again"):
        fine_tune(continue_from=tmp_path / "first")
    second = fine_tune(dataset=rows, continue_from="first", runs_dir=tmp_path, name="second")
    assert second.record["continued"]["verdict"]


@pytest.mark.slow
def test_run_outlives_the_one_it_continues(first, caplog):
    second = fine_tune(continue_from=first, name="second")
    told = second.record["continued"]
    shutil.rmtree(first.path)
    second.evaluate(again=True)
    assert second.record["continued"] == told and "no longer there, so there is no verdict" in caplog.text
    with pytest.raises(UserError, match="the run that is continued is no longer there"):
        second.rerun()


@pytest.mark.fault("hostile files")
@pytest.mark.parametrize("known", ["x", {"from": "a"}, {"from": "a", "path": 7, "id": "b", "start": "base"}])
def test_other_lineage_is_refused(first, known):
    first.update(continued=known)
    with pytest.raises(UserError, match="`continued` in its run.json is not as ftkit writes it"):
        find_continued(first)


def rate(text):
    "Return a label of another task for a small row"
    return {"lovely": ["good", "warm"], "the bus": ["bad"], "the lib": []}[text[:7].strip()]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "multi-label", "text-generation"])
def test_other_tasks_are_continued(tmp_path, tiny, task):
    texts = [row["review"] for row in small_rows(240)]
    label = {
        "regression": lambda text, i: len(rate(text)) * 2.5 + i % 2,
        "multi-label": lambda text, i: rate(text),
        "text-generation": lambda text, i: " ".join(rate(text)) or "neither",
    }[task]
    rows = Dataset.from_list([{"text": text, "label": label(text, i)} for i, text in enumerate(texts)])
    keys = {"method": "full", "max_generated_samples": 2, "max_new_tokens": 3} if task == "text-generation" else {}
    settings = Settings(task=task, **keys).replace(
        **QUICK | {"num_train_epochs": 3}, model_name_or_path=tiny, baselines=[], learning_rate=1e-3, test_size=0.3,
        per_device_train_batch_size=8, text_column_name="text", label_column_name="label", bf16=False,
    )  # fmt: skip
    first = fine_tune(settings, rows, tmp_path, "first")
    corrected = {"regression": "2.5", "multi-label": '["bad"]', "text-generation": "bad"}[task]
    add_feedback(tmp_path / "f.jsonl", "the bus was late", "", "bad", corrected)
    settings = first.settings.replace(feedback_file=str(tmp_path / "f.jsonl"), learning_rate=1e-9)
    second = fine_tune(settings, rows, continue_from=first, name="second")
    told = second.record["continued"]
    assert second.record["data"]["feedback"]["added"] == 1 and abs(told["verdict"]["difference"]) < 0.02
    assert len(told["slices"]) >= 2
    if task != "regression":  # whose head answers in the unit of the data when it is saved
        assert second.record["weights"]["first_sha256"] == first.record["weights"]["final_sha256"]
    if task != "text-generation":
        one, two = (run.predictions.query("split == 'test'") for run in (first, second))
        near = np.mean([a == pytest.approx(b, abs=0.1) for a, b in zip(one.predicted, two.predicted)])
        assert task == "multi-label" or near == 1.0  # nothing was learned: the answers are those of before


def frames(count=200, worse=()):
    "Test predictions of two models, right on every row but those that the new one has wrong"
    rows = pd.DataFrame({"text": [f"text {'long ' * (i % 7)}{i}" for i in range(count)]})
    rows["label"] = ["bad" if i % 2 else "good" for i in range(count)]
    old = rows.assign(predicted=rows.label)
    new = rows.assign(predicted=["flat" if i in worse else label for i, label in enumerate(rows.label)])
    return new, old


def test_slice_that_is_worse_is_found():
    new, old = frames(worse=range(1, 41, 2))
    found = judge_slices(new, old, Classification(), ("new", "old"), [], Settings())
    verdicts = {s["slice"]: s["better"] for s in found}
    assert verdicts["label bad"] == "old" and verdicts["label good"] is None
    assert describe_slices(found)[0].startswith("worse on label bad, 100 rows: -20.0 [")
    assert len(describe_verdict(compare(new, old), 2)) == 1


def compare(new, old):
    return Classification().compare(new, old, ("new", "old"), num_resamples=100)


def test_correction_for_many_slices_keeps_noise_quiet():
    new, old = frames(worse=(1, 3, 5, 7, 9, 11))  # p = 0.03 in the slice alone
    found = judge_slices(new, old, Classification(), ("new", "old"), [], Settings())
    bad = next(s for s in found if s["slice"] == "label bad")
    assert bad["p"] < 0.05 < bad["p_holm"] and bad["better"] is None
    assert describe_slices(found) == ["no significant difference on any of 5 slices (p adjusted by Holm)"]
    assert "chosen between 3 runs" in describe_verdict(compare(new, old), 3)[1]


def test_small_slices_get_no_verdict():
    new, old = frames(30)
    assert [s["slice"] for s in judge_slices(new, old, Classification(), ("new", "old"), [], Settings())] == []


def test_slices_of_each_task():
    rows = pd.DataFrame({"text": ["a bus", "a bus", "bread", "warm bread, a long one"] * 10})
    likeness = find_slices(Classification(), rows.assign(label="x"), ["the bus is late"])
    assert set(rows.text[likeness["texts like the judged ones"]]) == {"a bus"}
    assert not (likeness["texts like the judged ones"] & likeness["texts unlike the judged ones"]).any()
    assert "texts like the judged ones" not in find_slices(Classification(), rows.assign(label="x"), ["zebra"])
    sets = MultiLabel().slices(rows.assign(label=[["a"], [], ["a", "b"], []] * 10))
    assert {name: int(mask.sum()) for name, mask in sets.items()} == {"label a": 20, "label b": 10}
    numbers = Regression().slices(rows.assign(label=np.arange(40.0)))
    assert sum(mask.astype(int) for mask in numbers.values()).tolist() == [1] * 40


def test_runs_on_the_same_rows_are_counted(tmp_path, first):
    sha256 = first.data["test"]["sha256"]
    assert count_runs(first, sha256) == 1
    first.evaluate()
    assert count_runs(first, sha256) == 1  # another look, not another run
    with open(first.path.parent / "test_looks.jsonl", "a") as f:
        f.write(json.dumps({"run": "other", "sha256": sha256}) + "\n")
    assert count_runs(first, sha256) == 2
