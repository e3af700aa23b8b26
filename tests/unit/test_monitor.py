"Monitoring: alarms without drift are rare, planted drift is found, and what the command, page and panel say of it."

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from conftest import BAD, FLAT, GOOD, write_csv
from panels import SilentWorker
from scipy.stats import binomtest, ks_2samp, mannwhitneyu

from ftkit.cli.main import main
from ftkit.errors import UserError
from ftkit.files.tables import Table
from ftkit.fine_tuning import TASKS, Run, fine_tune
from ftkit.intervals import holm
from ftkit.metrics import Verdict
from ftkit.panels.worker import ANSWERS, Desk
from ftkit.runs.folder import to_json_value
from ftkit.serving.drift import (
    DriftTest,
    Measured,
    adjust,
    classifier_auc,
    compare_counts,
    compare_features,
    compare_number,
    compare_shares,
    count_characters,
    detectable_gap,
    distribution_distance,
    find_moved_slices,
    find_moved_words,
    relabel,
    run_tests,
    share_beyond,
)
from ftkit.serving.monitor import ADVICE, FEWEST, NOTHING, OTHER, advise, judge, measure, monitor, read_said
from ftkit.settings import CLASSIFICATION, GENERATION, MULTI_LABEL, REGRESSION, Settings
from ftkit.tasks.resampling import compare_unpaired, count_right, share_right
from ftkit.views.monitoring import describe_monitoring, render_monitoring, write_monitoring

HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J"
TEXTS = (BAD, FLAT, GOOD)


def draw(rng, rows: int, shift: float = 0.0, width: int = 24) -> Measured:
    "Synthetic rows: features, a confidence with ties, lengths, three labels. A shift moves all of them"
    labels = rng.choice(3, rows, p=[0.5 - 0.3 * shift, 0.3, 0.2 + 0.3 * shift])
    return Measured(
        [f"text {rng.integers(1000)}" for _ in range(rows)],
        rng.normal(size=(rows, width)) + shift,
        {"confidence": rng.beta(5, 1 + shift, rows).round(2), "tokens": rng.poisson(15 + 4 * shift, rows) * 1.0},
        {"labels": {name: labels == i for i, name in enumerate("abc")}},
    )


def call_without_drift(draws: int) -> list[list[DriftTest]]:
    "Return the tests of calls on rows of one source"
    found = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        found.append(adjust(run_tests(draw(rng, 60), draw(rng, 40), seed)[0]))
    return found


def test_alarms_without_drift_are_rare():
    calls = call_without_drift(100)
    alarms = sum(any(test.fired for test in tests) for tests in calls)
    assert binomtest(alarms, 100, 0.05, alternative="greater").pvalue > 0.001, alarms
    for name in ("features", "feature_means", "labels", "confidence", "tokens"):
        low = sum(test.p <= 0.2 for tests in calls for test in tests if test.name == name)
        assert binomtest(low, 100, 0.2, alternative="greater").pvalue > 0.001, name


@pytest.mark.slow
def test_five_hundred_draws_alarm_rarely():
    assert sum(any(test.fired for test in tests) for tests in call_without_drift(500)) <= 0.055 * 500


def test_a_shift_is_found_by_every_test():
    rng = np.random.default_rng(0)
    tests = adjust(run_tests(draw(rng, 200), draw(rng, 100, 1.0), 0)[0])
    assert [test.fired for test in tests] == [True] * 5
    assert tests[0].value > 0.9 and tests[2].text.startswith(("a: ", "c: "))


def test_statistics_are_those_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 40) * 1.0, rng.integers(2, 12, 25) * 1.0
    labellings = relabel(40, 25, count=999)
    both = np.concatenate([a, b])
    assert distribution_distance(both, labellings)[0] == pytest.approx(ks_2samp(a, b).statistic)
    auc = classifier_auc(both, labellings)
    assert auc[0] == pytest.approx(mannwhitneyu(b, a).statistic / (40 * 25))
    assert share_beyond(auc) == pytest.approx(mannwhitneyu(b, a, alternative="greater").pvalue, abs=0.01)
    assert labellings.sum(1).tolist() == [25] * 1000 and not labellings[0, :40].any()


def test_holm_multiplies_by_the_tests_that_are_left():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize(
    "old, new",
    [(np.ones(30), np.ones(40)), (np.full(30, np.nan), np.ones(40)), (np.ones(30), np.full(40, np.nan))],
    ids=["one value", "not measured before", "not measured now"],
)
def test_what_cannot_differ_is_no_test(old, new):
    assert compare_number("x", old, new) is None
    assert compare_shares("x", {"a": old}, {"a": new}) is None


def test_one_label_on_both_sides_is_no_test_and_on_one_side_drift():
    ones, zeros = np.ones(50), np.zeros(50)
    assert compare_shares("labels", {"a": ones, "b": zeros}, {"a": ones, "b": zeros}) is None
    found = compare_shares("labels", {"a": ones, "b": zeros}, {"a": zeros, "b": ones})
    assert found.p == 1 / 2000 and found.text in ("a: 100.0% → 0.0%", "b: 0.0% → 100.0%")


def test_rare_events_are_compared_exactly():
    assert compare_counts("unusable", (0, 900), (0, 50), "x") is None
    assert compare_counts("unusable", (9, 900), (1, 100), "x").p > 0.5
    assert compare_counts("unusable", (9, 900), (20, 100), "x").p < 1e-9


@pytest.mark.slow
def test_the_gap_that_is_named_is_found_in_eight_of_ten():
    gap, found = detectable_gap(250, 100, 0.05 / 6), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        sides = [{"a": (rng.random(n) < p).astype(float)} for n, p in ((250, 0.5 - gap / 2), (100, 0.5 + gap / 2))]
        found += compare_shares("labels", *sides, seed).p <= 0.05 / 6
    assert 0.7 < found / 200 < 0.92


def test_words_and_slices_that_moved_are_named():
    old = ["the bus is late again"] * 30 + ["a fine warm day"] * 30
    new = ["the bus is late again"] * 5 + ["refund my parcel please"] * 40
    words = find_moved_words(old, new)
    assert {"refund", "parcel", "please", "my"} <= {row["word"] for row in words[:8]} and words[0]["p_holm"] < 1e-6
    assert find_moved_words(["a"], ["b"]) == []
    slices = find_moved_slices({"x": np.ones(60), "y": np.zeros(60)}, {"x": np.zeros(45), "y": np.ones(45)})
    assert [row["p_holm"] < 1e-6 for row in slices] == [True, True] and slices[0]["auc"] is None


def test_a_slice_says_where_the_classifier_finds_new_rows():
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=(200, 8)), rng.normal(size=(200, 8))
    inside = np.arange(200) < 100
    new[inside, 0] += 6
    told = compare_features(old, new)
    auc = [row["auc"] for row in find_moved_slices({"a": inside, "b": ~inside}, {"a": inside, "b": ~inside}, told)]
    assert auc[0] > 0.9 > 0.7 > auc[1]


def test_kinds_of_characters_are_shares():
    found = count_characters(["AB c1!", "", "日本"])
    assert found["capital letters"].tolist() == pytest.approx([2 / 6, 0, 0])
    assert found["digits"][0] == found["signs"][0] == found["spaces"][0] == pytest.approx(1 / 6)
    assert found["characters beyond ASCII"].tolist() == [0, 0, 1]


# --- answers and scores of the tasks ---


def test_answers_of_each_task_are_measured():
    one = [{"label": "a", "score": 0.7, "scores": {"a": 0.7, "b": 0.3}}]
    numbers, shares = read_said(one)
    assert numbers["confidence"][0] == 0.7 and shares["labels"]["a"][0] == 1 and shares["labels"]["b"][0] == 0
    several = [{"labels": [], "scores": {"a": 0.2, "b": 0.4}}]
    assert read_said(several)[0]["confidence"][0] == pytest.approx(0.7)
    assert read_said([{"value": 2.5}])[0]["value"].tolist() == [2.5]
    numbers, shares = read_said(
        [{}, {"text": " ", "finish_reason": "length"}, {"text": "a b", "finish_reason": "stop"}]
    )
    assert np.isnan(numbers["answer_words"][0]) and numbers["answer_words"].tolist()[1:] == [0, 2]
    assert shares["answers"]["empty answers"].tolist()[1:] == [1, 0]
    assert read_said([{}, {}]) == ({}, {})


FRAMES = {
    CLASSIFICATION: {"label": pd.Categorical(["a", "b"]), "predicted": pd.Categorical(["a", "a"], ["a", "b"])},
    MULTI_LABEL: {"label": [["a"], ["b"]], "predicted": [["a"], ["a", "b"]]},
    REGRESSION: {"label": [1.0, 2.0], "predicted": [1.5, 2.0]},
    GENERATION: {"nll": [2.0, 4.0], "tokens": [1, 2]},
}
VALUES = {CLASSIFICATION: 0.5, MULTI_LABEL: 0.8, REGRESSION: 0.25, GENERATION: 2.0}


@pytest.mark.parametrize("task", TASKS)
def test_the_headline_is_a_function_of_sums(task):
    frame = pd.DataFrame(FRAMES[task])
    frame.attrs["labels"] = ["a", "b"]
    sums, metric = TASKS[task].headline_sums(frame)
    assert metric(np.sum(sums, 0)) == pytest.approx(VALUES[task])


def test_unpaired_comparison_holds_its_level_and_finds_a_gap():
    false = found = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        draw = lambda n, p: count_right(rng.random(n) < p)
        metric = ("accuracy", share_right)
        false += compare_unpaired(draw(50, 0.8), draw(200, 0.8), metric, num_resamples=200).better is not None
        verdict = compare_unpaired(draw(100, 0.5), draw(200, 0.8), metric, ("new", "old"), num_resamples=200)
        found += verdict.better == "old"
        assert (verdict.better is None) == (verdict.low <= 0 <= verdict.high) or verdict.p > 0.02
    assert binomtest(false, 50, 0.05, alternative="greater").pvalue > 0.001 and found > 45
    worse = compare_unpaired(count_right(np.zeros(30)), count_right(np.ones(30)), metric, ("new", "old"))
    assert worse.difference == -1 and "old is better than new" in worse.text


def test_what_to_do_follows_from_what_fired():
    test = lambda name, old=0.0, new=0.0: DriftTest(name, "", 0, 0, "", old, new)
    assert advise([]) == NOTHING
    assert advise([test("labels"), test("tokens")]) == ADVICE["tokens"]
    assert advise([test("unknown", 0.1, 0.3)]) == ADVICE["unknown"]
    assert advise([test("unknown", 0.3, 0.1)]) == OTHER
    sides = ("the score here", "the score on validation rows")
    verdict = Verdict(*sides, "accuracy", -0.2, -0.3, -0.1, 0.001, "", sides[1])
    assert advise([test("score"), test("features")], {"verdict": verdict}) == ADVICE["worse"]
    assert advise([test("score")], {"verdict": None}) == ADVICE["score"]


# --- a run ---


@pytest.fixture(scope="module")
def watched(trained, tmp_path_factory):
    "The small run with more validation rows, predicted by its own model, as its nine are too few"
    folder = Path(shutil.copytree(trained[0], tmp_path_factory.mktemp("watched") / "own"))
    run = Run(folder / "runs/small")
    rows = [{"review": text, "stars": label} for text, label in make_rows(90)]
    data, _ = run.task.load_rows({k: [row[k] for row in rows] for k in rows[0]}, run.data)
    more = run.task.predict(*run.open_model(), data, run.settings).assign(split="validation")
    test = run.predictions[lambda frame: frame.split == "test"]
    run.write_predictions(pd.concat([more, test], ignore_index=True))
    return folder


def make_rows(count: int, start: int = 0) -> list[tuple]:
    "Texts and labels, every text different"
    labels = ("bad", "flat", "good")
    return [(f"{TEXTS[i % 3]}, number {7 * i + start}", labels[i % 3]) for i in range(count)]


def run_monitor(folder, *args):
    return main(["monitor", "small", "--runs_dir", str(folder / "runs"), *map(str, args)])


def write_new(path: Path, texts: list, labels: list | None = None) -> Path:
    more = [{"n": i} for i in range(len(texts))] if labels is None else [{"stars": label} for label in labels]
    return write_csv(path, [{"review": text, **row} for text, row in zip(texts, more)])


def test_rows_like_the_validation_rows_are_no_drift(watched, tmp_path, capsys):
    file = write_new(tmp_path / "new.csv", [text for text, _ in make_rows(60, 1)])
    assert run_monitor(watched, file) == 0
    said = capsys.readouterr().out
    assert "60 of 60 rows against 90 validation rows" in said and "No drift was found" in said and NOTHING in said


def test_drift_is_said_to_a_scheduler_and_on_a_page(watched, tmp_path, capsys, drawing):
    texts = [f"REFUND MY PARCEL {HOSTILE} {i}" for i in range(40)]
    file, page = write_new(tmp_path / "new.csv", [*texts, *texts[:5], "", " "]), tmp_path / "page.html"
    assert run_monitor(watched, file, "--json", "--html", page) == 3
    result = json.loads(capsys.readouterr().out)
    assert result["drift"] and {"feature_means", "characters", "tokens"} <= set(result["fired"])
    assert (result["rows"], result["used"], result["repeats"], result["unusable"]) == (47, 40, 5, 2)
    assert result["reference_rows"] == 90 and result["score"] is None and result["advice"] in ADVICE.values()
    assert all(test["fired"] == (test["p_holm"] <= 0.05) for test in result["tests"])
    assert {"refund", "parcel"} <= {row["word"] for row in result["words"]}
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    assert soup.find("script") is None and not soup.find_all("img", src="x") and "onerror" in soup.get_text()
    charts = soup.find_all("img")
    assert len(charts) == len(result["distributions"]) and all("new rows" in chart["alt"] for chart in charts)
    assert "prefers-color-scheme:dark" in str(soup.style) and "Drift: " in soup.get_text()
    assert "\x1b" not in page.read_text(encoding="utf-8") + "\n".join(describe_monitoring(result)).replace(HOSTILE, "")


def test_keys_of_the_result_are_those_of_the_docstring(watched):
    import ftkit.serving.monitor as module

    rows = make_rows(60, 1)
    table = Table({"review": [text for text, _ in rows], "stars": [label for _, label in rows]})
    result = monitor(Run(watched / "runs/small"), table)
    named = set(module.__doc__.replace("\n", " ").replace(",", " ").split())
    keys = {*result, *result["score"], *result["tests"][0], *result["words"][0], *result["slices"][0]}
    assert {f"`{key}`" for key in keys} <= {word.strip("();:.") for word in named}
    assert {test["name"] for test in result["tests"]} <= {*ADVICE}
    assert {f"`{test['name']}`" for test in result["tests"]} <= {word.strip("();:.") for word in named}


def test_labels_that_came_give_a_score_and_a_verdict(watched, tmp_path, capsys):
    run, texts = Run(watched / "runs/small"), [text for text, _ in make_rows(60, 1)]
    file = write_new(tmp_path / "new.csv", *zip(*make_rows(60, 1)))
    run_monitor(watched, file, "--json")
    score = json.loads(capsys.readouterr().out)["score"]
    assert score["metric"] == "accuracy" and score["rows"] == 60 and score["looks"] >= 1
    assert score["new"] == to_json_value(run.evaluate(str(file))["metrics"]["accuracy"])
    wrong = ["good" if answer["label"] == "bad" else "bad" for answer in run.predict(texts)]
    assert run_monitor(watched, write_new(tmp_path / "wrong.csv", texts, wrong)) == 3
    said = capsys.readouterr().out
    assert "the score on validation rows is better than the score here: accuracy" in said and ADVICE["worse"] in said


def test_labels_that_the_model_does_not_know_are_named(watched, tmp_path, capsys):
    file = write_new(tmp_path / "new.csv", [text for text, _ in make_rows(60, 1)], ["refund"] * 60)
    assert run_monitor(watched, file) == 0  # without a score
    said = capsys.readouterr()
    assert "the labels are not used" in said.err and "refund" in said.err and "accuracy" not in said.out
    assert run_monitor(watched, file, "--label_column_name", "stars") == 2


def test_test_rows_are_not_read(watched, tmp_path):
    folder = shutil.copytree(watched, tmp_path / "own")
    run = Run(folder / "runs/small")
    table = Table({"review": [text for text, _ in make_rows(60, 1)]})
    before = monitor(run, table)
    rows = run.predictions
    rows.loc[rows.split == "test", "text"] = "another text"
    run.write_predictions(rows)
    assert monitor(Run(run.path), table) == before


@pytest.mark.parametrize(
    "texts, reason",
    [
        (["one text", "two texts"] * 20, "has 40 rows, of which 2 different texts can be used, and at least 20"),
        ([f"text {i}" for i in range(5)], "has to move by 31 points with 50 rows, 22 points with 200 rows, "),
        ([""] * 30, "of which 0 different texts can be used"),
    ],
    ids=["repeated", "five rows", "empty texts"],
)
def test_too_few_rows_say_how_many_find_what(watched, tmp_path, capsys, texts, reason):
    rows = [{"review": text, "n": i} for i, text in enumerate(texts)]
    assert run_monitor(watched, write_csv(tmp_path / "new.csv", rows)) == 2
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1


def test_what_cannot_be_compared_is_refused(trained, watched, tmp_path, capsys):
    new = write_new(tmp_path / "new.csv", [text for text, _ in make_rows(60, 1)])
    assert run_monitor(trained[0], new) == 2
    assert f"has 9 different validation texts, and at least {FEWEST} are needed" in capsys.readouterr().err
    (tmp_path / "empty.csv").touch()
    for file, reason in (
        (tmp_path / "empty.csv", "the file is empty"),
        (tmp_path / "no.csv", "there is no such file"),
    ):
        assert run_monitor(watched, file) == 2
        assert reason in capsys.readouterr().err
    assert main(["monitor", "nobody", str(new), "--runs_dir", str(watched / "runs")]) == 2
    assert "there is no run 'nobody'" in capsys.readouterr().err


def test_a_text_counts_once(watched):
    run, texts = Run(watched / "runs/small"), [text for text, _ in make_rows(60, 1)]
    once = monitor(run, Table({"review": texts}))
    again = monitor(run, Table({"review": texts + texts[:3] * 40}))
    assert again["repeats"] == 120 and {**again, "rows": 60, "repeats": 0} == once


def test_answers_that_are_not_finite_are_no_rows(watched, monkeypatch):
    run = Run(watched / "runs/small")
    table = Table({"review": [text for text, _ in make_rows(60, 1)]})
    plain = run.task.answer

    def broken(*args, **keys):
        answers = plain(*args, **keys)
        return [{**answer, "score": float("nan")} if i % 3 == 0 else answer for i, answer in enumerate(answers)]

    monkeypatch.setattr(type(run.task), "answer", lambda self, *args, **keys: broken(*args, **keys))
    result = monitor(run, table)
    assert result["used"] == 40 and result["unusable"] == 20 and "unusable" in result["fired"]
    assert result["advice"] == ADVICE["unusable"]
    monkeypatch.setattr(
        type(run.task), "answer", lambda self, m, t, texts, s, p: [{"score": float("nan")}] * len(texts)
    )
    with pytest.raises(UserError, match="60 answers are no finite number: the model is broken"):
        monitor(run, table)


def test_without_its_base_the_fine_tuned_model_makes_the_features(watched, tmp_path, caplog):
    folder = Path(shutil.copytree(watched, tmp_path / "own"))
    shutil.rmtree(folder / "tiny")
    settings = folder / "runs/small/settings.ini"
    settings.write_text(
        settings.read_text().replace(
            str(Run(watched / "runs/small").settings.model_name_or_path), str(folder / "tiny")
        )
    )
    result = monitor(Run(folder / "runs/small"), Table({"review": [text for text, _ in make_rows(60, 1)]}))
    assert "features" in [test["name"] for test in result["tests"]]
    assert "those of the fine-tuned model are compared" in caplog.text


def test_a_page_that_cannot_be_written_is_named(watched, tmp_path):
    result = monitor(Run(watched / "runs/small"), Table({"review": [text for text, _ in make_rows(60, 1)]}))
    with pytest.raises(UserError, match="Name another file for --html"):
        write_monitoring(result, tmp_path / "no folder/page.html")
    assert "Nothing has to be done" in render_monitoring(result)


def test_hostile_texts_are_measured(tiny):
    from ftkit.tokenizer import load_tokenizer

    texts = [HOSTILE, "\ufdd0", "a" * 20_000, "日本語", "\u202e", "=1+1", "\x00"] * 5
    found = measure([f"{text}{i}" for i, text in enumerate(texts)], [{}] * 35, load_tokenizer(tiny), None)
    assert len(found) == 35 and np.isfinite(found.numbers["tokens"]).all()
    assert judge(found, found)["fired"] == []


# --- other tasks ---


def make_table(task: str, count: int, start: int = 0) -> dict[str, list]:
    "Rows of a task, every text different"
    texts, labels = map(list, zip(*make_rows(count, start)))
    if task == MULTI_LABEL:
        return {"text": texts, "labels": [["a"] if y == "bad" else ["a", "b"] if y == "good" else [] for y in labels]}
    if task == REGRESSION:
        return {"text": texts, "stars": [str(1 + len(y) % 4) for y in labels]}
    return {"prompt": texts, "response": labels} if task == GENERATION else {"text": texts, "label": labels}


@pytest.mark.slow
@pytest.mark.parametrize(
    "task, names",
    [
        (MULTI_LABEL, {"labels", "confidence"}),
        (REGRESSION, {"value"}),
        (GENERATION, set()),
    ],
)
def test_every_task_is_watched_by_what_it_answers(task, names, tiny, tmp_path):
    keys = {"task": task, "model_name_or_path": tiny, "validation_size": 0.3, "num_train_epochs": 1, "baselines": []}
    keys |= {"max_generated_samples": 25, "max_new_tokens": 4, "method": "full"} if task == GENERATION else {}
    tuned = fine_tune(Settings().replace(**keys), make_table(task, 120), runs_dir=tmp_path)
    same = monitor(tuned, Table(make_table(task, 40, 1)))
    tests = {test["name"] for test in same["tests"]}
    assert names | {"features", "feature_means", "tokens", "characters", "score"} <= tests, tests
    assert same["score"]["metric"] == tuned.record["headline"] and same["score"]["verdict"].text
    column = tuned.data["text_column"]
    other = monitor(tuned, Table({column: [f"REFUND MY PARCEL {i}" for i in range(40)]}))
    assert other["drift"] and other["score"] is None and other["answered"] == (25 if task == GENERATION else 40)
    assert describe_monitoring(other)[-1] == other["advice"] and "<script" not in render_monitoring(other)


# --- the panel ---


@pytest.fixture
def panel(watched, monkeypatch):
    "A panel over the watched run, whose worker only notes what it is asked"
    import ftkit.panels.panel

    monkeypatch.setattr(ftkit.panels.panel, "Worker", SilentWorker)
    return ftkit.panels.panel.Panel(runs_dir=watched / "runs")


def test_the_panel_shows_what_the_command_finds(panel, watched, tmp_path, capsys):
    file = write_new(tmp_path / "new.csv", [f"REFUND MY PARCEL {HOSTILE} {i}" for i in range(40)])
    view = panel.views["monitor"]
    assert "No new texts were compared" in view.to_html()
    view.file.value = str(file)
    view.button.click()
    (what, question, show) = panel.worker.questions[-1]
    assert what in ANSWERS
    answer = json.loads(json.dumps(to_json_value(getattr(Desk(), what)(**question))))
    show(answer)
    run_monitor(watched, file, "--json")
    assert {**answer, "run": ""} == {**json.loads(capsys.readouterr().out), "run": ""}
    for page in (view.shown.value, str(panel.to_html())):
        soup = BeautifulSoup(page, "html.parser")
        assert "Drift: " in soup.get_text() and answer["advice"] in soup.get_text() and "\x1b" not in page
        assert "onerror" in soup.get_text() and not soup.find_all("img", src="x")
    panel.run_changed()
    assert view.result is None and view.shown.value == ""


def test_the_panel_says_why_it_cannot_compare(panel, tmp_path):
    view = panel.views["monitor"]
    for file, reason in (("", "choose a file"), (str(tmp_path / "no.csv"), "there is no such file")):
        view.file.value = file
        view.button.click()
        assert reason in view.message.value
    view.show(panel.folder, {"error": f"too few {HOSTILE}"})
    assert "too few" in view.message.value and "<img" not in view.message.value
    view.show(panel.folder / "another", {"drift": True})
    assert view.result is None
    view.on_upload({"new": ({"name": "a.csv", "content": b"review\nx\n"},)})
    assert Path(view.file.value).read_bytes() == b"review\nx\n"


def test_rows_from_python_and_a_file_are_the_same(watched, tmp_path):
    run, texts = Run(watched / "runs/small"), [text for text, _ in make_rows(40, 1)]
    frame = pd.DataFrame({"review": texts})
    frame.to_csv(tmp_path / "new.csv", index=False)
    found = [monitor(run, rows) for rows in (frame, str(tmp_path / "new.csv"), Table({"review": texts}))]
    assert found[0]["tests"] == found[1]["tests"] == found[2]["tests"] and found[0]["used"] == 40
