"Regression: numbers as people write them, scores next to scikit-learn's and scipy's, and whole runs of tiny models."

import csv
import json
import math
import re
import shutil
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from architectures import KINDS, make_base
from conftest import before_transformers, write_csv
from hypothesis import given
from hypothesis import settings as rules
from hypothesis import strategies as st
from panels import SilentWorker
from runs import PRECISION, hash_file, stop_in_second_epoch
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, mean_squared_error
from transformers import DataCollatorWithPadding, EvalPrediction, pipeline

from ftkit.checks.numbers import find_decimal_sign, is_rating, to_number
from ftkit.data import load_data
from ftkit.errors import UserError
from ftkit.fine_tuning import Run, fine_tune
from ftkit.panels.training import with_interval
from ftkit.panels.worker import Desk
from ftkit.settings import Settings
from ftkit.tasks.regression import (
    Number,
    Regression,
    ScaledCollator,
    compute_metrics,
    find_scale,
    fold_scale,
    median,
    rank_correlation,
    score_numbers,
    squared_loss,
    to_values,
)
from ftkit.tokenizer import load_tokenizer
from ftkit.training.trial import count_answers

TASK, SCORES = Regression(), {"mae", "mse", "spearman"}
RATINGS = {*SCORES, "within_one", "exact"}
quick = rules(max_examples=25, deadline=None)
slow = pytest.mark.slow


def make_rows(n: int = 90) -> list[dict]:
    "Return rows with 1 to 5 stars, which their words show"
    return [{"text": f"{'good ' * (i % 5)}bread, number {i}", "stars": 1 + i % 5} for i in range(n)]


def make_prices(n: int = 90) -> list[dict]:
    "Return rows with prices, which are no rating"
    return [{"text": row["text"], "price": 9000.5 + 2500 * row["stars"]} for row in make_rows(n)]


def make_settings(model: str, **keys) -> Settings:
    "Return settings for a run of a second"
    own = dict(model_name_or_path=model, num_train_epochs=2, per_device_train_batch_size=8, learning_rate=1e-3)
    own |= dict(num_resamples=100, num_threads=1, dropout=0.1, baselines=["median"], preflight="false")
    return Settings().replace(task="regression").replace(**{**own, **keys})


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    "A finished run with all its baselines and checks"
    keys = dict(baselines=TASK.rungs, preflight="full")
    return fine_tune(make_settings(tiny, **keys), make_rows(), tmp_path_factory.mktemp("stars"), "first")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    "The folder of a tiny BERT, whose head has a bias"
    return str(make_base("bert", tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def prices(bert, tmp_path_factory):
    "A finished run of the tiny BERT on prices"
    return fine_tune(make_settings(bert), make_prices(), tmp_path_factory.mktemp("prices"), "first")


def load(rows, **keys):
    "Return the splits of rows and the report on them"
    return load_data(rows, target=Number(), **{"dataset_name": None, **keys})


# --- reading ---


@pytest.mark.parametrize(
    "text, number",
    [
        ("4", 4),
        ("4.0", 4),
        (" 4 ", 4),
        ("+4", 4),
        ("-4", -4),
        ("−4,5", -4.5),
        ("4,5", 4.5),
        (".5", 0.5),
        ("80 %", 80),
        ("80%", 80),
        ("1,200.5", 1200.5),
        ("1.200,5", 1200.5),
        ("1,200", 1200),
        ("1,200,500", 1_200_500),
        ("1\u00a0200", 1200),
        ("1e3", 1000),
        ("1e-05", 1e-5),
        ("0,125", 0.125),
    ],
)
def test_numbers_are_read(text, number):
    assert read_number(text) == pytest.approx(number)


def read_number(text: str) -> float:
    "Return the number of a cell that stands alone"
    return to_number(text, find_decimal_sign([text]) or ".")


@pytest.mark.parametrize(
    "text", ["four", "4/5", "4 stars", "$4", "1_000", "", "%", "true", "1.2.3", "½", "NaN", "nan"]
)
def test_other_texts_are_no_numbers(text):
    assert math.isnan(read_number(text))


def test_lists_are_no_numbers():
    assert math.isnan(read_number("1,2,3"))


@given(st.floats(allow_nan=False, allow_infinity=False))
@quick
def test_python_numbers_come_back(number):
    assert to_number(repr(number)) == number


@given(st.integers(0, 10**9), st.integers(0, 99))
@quick
def test_thousands_come_back(whole, cents):
    number = float(f"{whole}.{cents:02}")
    assert read_number(f"{whole:,}.{cents:02}") == number
    assert read_number(f"{whole:,}.{cents:02}".translate(str.maketrans(",.", ".,"))) == number


@pytest.mark.parametrize("kind", [int, float, str, np.float32, Decimal, lambda n: f"{n},0", lambda n: f"{n} %"])
def test_stars_of_any_kind_are_read(kind):
    rows = [{**row, "stars": kind(row["stars"])} for row in make_rows(40)]
    data, report = load(rows)
    assert report["label_column"] == "stars" and report["labels"] == []
    assert [part["label"][:] for part in data.values()] == [p["label"][:] for p in load(make_rows(40))[0].values()]
    assert set(report["train"]["labels"]) == {"1", "2", "3", "4", "5"}


@pytest.mark.parametrize(
    "train, test, sign",
    [
        (["1", "2", "5"], ["4,5"], None),
        (["1", "2", "5"], ["4.5"], None),
        (["1,5", "2", "1.000"], ["4,5"], ","),
        (["0,125", "1,250", "2,375"], ["4,500"], ","),
        (["1,200", "2,400", "3,600"], ["4.5"], "."),
    ],
)
def test_training_rows_decide_the_decimal_sign(train, test, sign):
    rows = [{"text": f"a text with number {i}", "score": train[i % 3]} for i in range(40)]
    data, report = load({"train": rows, "test": [{"text": "a new text", "score": test[0]}]}, label_column_name="score")
    assert data["test"]["label"][:] == [4.5] and report["reading"]["decimal"] == sign
    again, _ = TASK.load_rows([{"text": "a new text", "score": test[0]}], report)
    assert again["label"][:] == [4.5] and max(data["train"]["label"]) in (5, 1000, 2.375, 3600)


def test_other_signs_are_refused():
    rows = [{"text": f"a text with number {i}", "score": f"{i}.5"} for i in range(40)]
    with pytest.raises(UserError, match="row 1, column 'score': '4,5' is no number with the decimal sign '.' of"):
        load({"train": rows, "test": [{"text": "a new text", "score": "4,5"}]}, label_column_name="score")


@pytest.mark.parametrize("blank", [None, "", " ", math.nan, pd.NA])
def test_blank_cells_are_dropped(blank):
    rows = make_rows(40) + [{"text": f"an unknown text {i}", "stars": blank} for i in range(3)]
    data, report = load(pd.DataFrame(rows), label_column_name="stars")
    assert report["dropped"]["train"]["no_label"] == 3 and sum(map(len, data.values())) == 40


@pytest.mark.parametrize("value", ["four", "4/5", "inf", "-inf", "NaN", "1e999", True, [4, 5]])
def test_other_values_name_their_row(value):
    rows = [{**row, "stars": value if i == 2 else row["stars"]} for i, row in enumerate(make_rows(30))]
    with pytest.raises(UserError, match="row 3, column 'stars'.*(is no number|expected a text)") as caught:
        load(rows, label_column_name="stars")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("end", ["csv", "jsonl", "parquet"])
def test_files_hold_numbers(tmp_path, end):
    frame, file = pd.DataFrame(make_prices(40)), tmp_path / f"rows.{end}"
    {"csv": lambda: frame.to_csv(file), "parquet": lambda: frame.to_parquet(file)}.get(
        end, lambda: frame.to_json(file, orient="records", lines=True)
    )()
    data, report = load(None, train_file=str(file), label_column_name="price")
    assert [p["label"][:] for p in data.values()] == [
        p["label"][:] for p in load(make_prices(40), label_column_name="price")[0].values()
    ]
    assert data["train"].features["label"].dtype == "float64"


def test_number_column_is_found():
    rows = [{"text": row["text"], "score": 0.1 + i} for i, row in enumerate(make_rows(60))]
    assert load(rows)[1]["label_column"] == "score"


@pytest.mark.parametrize(
    "stars, message",
    [([4] * 30, "every row has the number 4.0"), (range(9), "9 rows, too few for train, validation and test")],
)
def test_unsuitable_numbers_are_refused(stars, message):
    rows = [{"text": f"a text with number {i}", "stars": number} for i, number in enumerate(stars)]
    with pytest.raises(UserError, match=message):
        load(rows, label_column_name="stars")


# --- splits ---


@pytest.mark.parametrize("seed, kind", [(0, "stars"), (1, "normal"), (2, "skewed")])
def test_splits_have_the_same_numbers(kind, seed):
    rng = np.random.default_rng(seed)
    values = {"stars": 1 + np.arange(400) % 5, "normal": rng.normal(size=400), "skewed": rng.lognormal(0, 1, 400)}[
        kind
    ]
    data, _ = load([{"text": f"a text with number {i}", "stars": v} for i, v in enumerate(values)], data_seed=seed)
    wanted = np.quantile(values, [0.1, 0.3, 0.5, 0.7, 0.9])
    for split, size in (("train", 320), ("validation", 40), ("test", 40)):
        own = np.array(data[split]["label"])
        assert len(own) == pytest.approx(size, abs=4)
        shares = [(own <= q).mean() for q in wanted]
        assert shares == pytest.approx([(values <= q).mean() for q in wanted], abs=0.06)


@pytest.mark.parametrize(
    "labels, bins",
    [
        (range(400), 10),
        (range(100), 5),
        (range(40), 2),
        (range(10), 1),
        ([0] * 300 + [1] * 5 + [2] * 5, 1),
        ([i % 2 for i in range(200)], 2),
        ([5] * 200, 1),
    ],
    ids=["many", "some", "few", "fewest", "one often", "two values", "constant"],
)
def test_bins_have_enough_rows(labels, bins):
    found = pd.Series(Number().strata([repr(float(x)) for x in labels]))
    assert found.nunique() == bins and found.value_counts().min() >= min(10, len(labels))
    order = pd.DataFrame({"bin": found.astype(int), "label": list(labels)}).groupby("bin").label.agg(["min", "max"])
    assert (order["max"].to_numpy()[:-1] < order["min"].to_numpy()[1:]).all()


@given(st.lists(st.integers(-20, 20), min_size=10, max_size=120))
@quick
def test_any_numbers_have_bins(values):
    found = pd.Series(Number().strata([repr(float(x)) for x in values]))
    assert len(found) == len(values) and found.value_counts().min() >= min(10, len(values))


@pytest.mark.parametrize("n", [10, 13, 30])
def test_few_rows_are_split(n):
    data, _ = load(make_rows(n))
    assert sum(map(len, data.values())) == n and all(len(part) for part in data.values())


def test_groups_have_any_number():
    rows = [{"text": f"a text with number {i}", "score": i, "author": "x" if i < 60 else f"y{i}"} for i in range(100)]
    data, _ = load(rows, label_column_name="score", group_column_name="author")
    assert sum(map(len, data.values())) == 100


def test_given_files_stay_as_they_are():
    test = [{"text": "a new text", "stars": 100}, {"text": "another text", "stars": -3.5}]
    data, report = load({"train": make_rows(40), "test": test})
    assert data["test"]["label"][:] == [100, -3.5] and report["held_out"] == ["validation"]


# --- scale ---


def test_scale_is_that_of_training_rows():
    assert find_scale([1.0, 2.0, 3.0]) == (2, pytest.approx(math.sqrt(2 / 3))) and find_scale([4.0] * 3) == (4, 1)


def test_batches_are_standardised():
    rows = [{"labels": 1.0, "input_ids": [1]}, {"labels": 3.0, "input_ids": [2]}]
    collate = ScaledCollator(lambda rows: {"seen": [list(row) for row in rows]}, 2.0, 4.0)
    found = collate(rows)
    assert found["labels"].tolist() == [-0.25, 0.25] and found["labels"].dtype == torch.float32
    assert found["seen"] == [["input_ids"]] * 2 and "labels" not in collate([{"input_ids": [1]}])


@pytest.mark.parametrize("mean", [0, 1e9])
def test_large_numbers_keep_their_differences(tiny, mean):
    values = [mean + i for i in range(5)]
    collate = ScaledCollator(DataCollatorWithPadding(load_tokenizer(tiny)), *find_scale(values))
    labels = collate([{"input_ids": [1, 2], "attention_mask": [1, 1], "labels": v} for v in values])["labels"]
    assert labels.tolist() == pytest.approx([(i - 2) / math.sqrt(2) for i in range(5)])


BIASED = ["bert", "roberta", "distilbert", "electra", "albert", "modernbert", "bart", "t5", "xlnet"]


@pytest.mark.parametrize("kind", ["bert", "gpt2", *(pytest.param(x, marks=slow) for x in (*BIASED[1:], "llama"))])
def test_folded_head_answers_in_units(kind, tmp_path):
    base = str(make_base(kind, tmp_path / kind))
    tokenizer = load_tokenizer(base)
    model = TASK.load_model([], tokenizer, 1, model_name_or_path=base).eval()
    batch = tokenizer(["a short text", "another one"], return_tensors="pt", padding=True)
    with torch.no_grad():
        before = model(**batch).logits.double().numpy()
        model.config.label_mean, model.config.label_std = fold_scale(model, 30.0, 7.0)
        after = model(**batch).logits.double().numpy()
    assert kind in KINDS and after.shape == (2, 1)
    assert ((model.config.label_mean, model.config.label_std) == (0, 1)) == (kind in BIASED)
    assert to_values(after, model) == pytest.approx(before[:, 0] * 7 + 30, abs=1e-4)


# --- scores and verdicts ---


numbers = st.integers(-40, 40).map(lambda i: i / 8)
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12)


@given(pairs)
@quick
def test_scores_are_those_of_sklearn(rows):
    predicted, true = np.array(rows).T
    scores = score_numbers(predicted, true, num_resamples=100)
    assert scores["mae"].value == pytest.approx(mean_absolute_error(true, predicted))
    assert scores["mse"].value == pytest.approx(mean_squared_error(true, predicted))
    if np.ptp(predicted) and np.ptp(true):
        assert scores["spearman"].value == pytest.approx(spearmanr(predicted, true).statistic)
    for score in scores.values():
        assert score.n == len(rows) and (score.low is None) == (score.high is None)
        assert score.low is None or score.low - 1e-9 <= score.value <= score.high + 1e-9
    assert all(scores[name].low is None for name in ("mae", "mse")) == (len(rows) == 1)


@given(st.lists(st.tuples(st.floats(0, 6), st.integers(1, 5)), min_size=1, max_size=12))
@quick
def test_ratings_count_whole_steps(rows):
    predicted, true = np.array(rows).T
    scores = score_numbers(predicted, true, num_resamples=100)
    assert set(scores) == RATINGS
    assert scores["exact"].value == pytest.approx(np.mean(np.round(predicted) == true))
    assert scores["within_one"].value == pytest.approx(np.mean(np.abs(np.round(predicted) - true) <= 1))


@pytest.mark.parametrize(
    "values, expected",
    [([1, 2, 5], True), ([1.0, 2.5], False), (range(20), True), (range(21), False), ([0, 1], True), ([-3, 3], True)],
)
def test_ratings_are_few_whole_numbers(values, expected):
    assert is_rating(values) == expected


@slow
def test_prices_are_no_rating_in_a_run(tiny, tmp_path):
    rows = [{"text": row["text"], "price": 9000 + 37 * i} for i, row in enumerate(make_rows(60))]
    made = fine_tune(make_settings(tiny, num_train_epochs=1, baselines=[]), rows_of(rows, "price"), tmp_path, "x")
    assert set(made.metrics["test"]) == SCORES


@pytest.mark.parametrize("known", [True, False, None])
def test_training_rows_decide_what_is_a_rating(known):
    frame = make_frame([1.2, 2.6], [1, 2])
    frame.attrs["rating"] = known
    assert set(TASK.score(frame, num_resamples=100)) == (SCORES if known is False else RATINGS)
    right = TASK.right(frame)
    assert right is None if known is False else right.tolist() == [True, False]
    prices = [{"text": f"a text with number {i}", "price": 9000 + 37 * i} for i in range(60)]
    assert load(prices, label_column_name="price")[1]["reading"]["rating"] is False


def rows_of(rows, column):
    "Return rows whose label column has a name that is found"
    return [{"text": row["text"], "target": row[column]} for row in rows]


@pytest.mark.parametrize("n", [2, 3, 5, 10, 50])
@pytest.mark.parametrize("sign", [1, -1])
def test_perfect_order_correlates_fully(n, sign):
    found = rank_correlation(sign * np.arange(n), np.arange(n))
    assert found.value == pytest.approx(sign) and found.low <= found.value <= found.high and found.n == n


@pytest.mark.parametrize("predicted, true", [([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [2, 2, 2]), ([1], [2])])
def test_constants_have_no_order(predicted, true):
    found = rank_correlation(np.array(predicted), np.array(true))
    assert (found.value, found.low, found.high) == (0, -1, 1)


def test_rank_interval_holds_its_level():
    hits = []
    for seed in range(150):
        a, b = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 40).T
        found = rank_correlation(a, b)
        hits.append(found.low <= 6 / math.pi * math.asin(0.3) <= found.high)
    assert 0.91 < np.mean(hits) < 0.99


@pytest.mark.parametrize("shift, mae, spearman", [(0, 0, 1), (10, 10, 1)])
def test_extreme_scores_are_exact(shift, mae, spearman):
    true = np.arange(1.0, 6).repeat(4)
    scores = score_numbers(true + shift, true, num_resamples=100)
    assert scores["mae"].value == scores["mae"].low == scores["mae"].high == mae
    assert scores["spearman"].value == pytest.approx(spearman)
    assert scores["exact"].value == scores["within_one"].value == float(shift == 0)


def test_trainer_metrics_have_units():
    rng = np.random.default_rng(0)
    predicted, true = rng.normal(size=(30, 1)), rng.normal(size=30)
    found = compute_metrics(EvalPrediction(predictions=predicted, label_ids=true), std=50.0)
    wanted = score_numbers(50 * predicted[:, 0] + 7, 50 * true + 7, num_resamples=100)
    assert found == {name: pytest.approx(wanted[name].value) for name in SCORES}


def make_frame(predicted, true) -> pd.DataFrame:
    "Return predictions as predictions.parquet keeps them"
    texts = [f"text {i}" for i in range(len(true))]
    return pd.DataFrame({"text": texts, "label": np.asarray(true, float), "predicted": np.asarray(predicted, float)})


@pytest.mark.parametrize("swapped", [False, True])
def test_smaller_error_is_better(swapped):
    rng, true = np.random.default_rng(0), np.arange(40.0)
    models = {"close": make_frame(true + rng.normal(0, 1, 40), true), "far": make_frame(true + 9, true)}
    names = ("far", "close") if swapped else ("close", "far")
    verdict = TASK.compare(*(models[name] for name in names), names, num_resamples=300)
    assert verdict.better == "close" and verdict.metric == "mae" and verdict.p <= 0.05
    assert (verdict.difference > 0) == swapped and verdict.low * verdict.high > 0
    errors = [mean_absolute_error(models[name].label, models[name].predicted) for name in names]
    assert verdict.difference == pytest.approx(errors[0] - errors[1])
    assert verdict.text.startswith("close is better than far: ") and " points" not in verdict.text


@given(st.integers(0, 10**6), st.integers(2, 30), st.sampled_from([0.9, 0.95, 0.99]), st.sampled_from([0, 1, 3]))
@quick
def test_interval_and_test_agree(seed, n, level, shift):
    rng = np.random.default_rng(seed)
    true, frames = rng.normal(size=n), []
    for far in (0, shift):
        frames.append(make_frame(true + far + rng.normal(size=n), true))
    verdict = TASK.compare(*frames, ("a", "b"), confidence_level=level, num_resamples=200)
    excludes = verdict.low is not None and (verdict.low > 0 or verdict.high < 0)
    assert excludes == (verdict.better is not None) == (verdict.p <= 1 - level and verdict.low is not None)
    if verdict.better:
        assert (verdict.better == "a") == (verdict.difference < 0)


@pytest.mark.parametrize("n", [1, 5, 50])
def test_same_predictions_are_no_better(n):
    frame = make_frame(np.arange(n) + 0.5, np.arange(n))
    verdict = TASK.compare(frame, frame, ("a", "b"), num_resamples=200)
    assert (verdict.difference, verdict.better, verdict.p) == (0, None, 1)


def test_rows_needed_follow_the_unit():
    rng, true, texts = np.random.default_rng(0), np.arange(20.0), []
    noise = rng.normal(0, 0.5, (2, 20))
    for unit in (1, 1000):
        frames = [make_frame(unit * (true + part), unit * true) for part in noise]
        texts.append(TASK.compare(*frames, ("a", "b"), num_resamples=200).text.rpartition(";")[2])
    assert texts[0].split()[-3] == texts[1].split()[-3]


def test_rungs_predict_the_same_rows():
    frame = make_frame([1, 2, 3], [1, 2, 4])
    rung = TASK.with_predictions(frame, np.array([2, 2, 2]))
    assert rung.predicted.tolist() == [2, 2, 2] and rung.label.tolist() == [1, 2, 4]
    assert frame.predicted.tolist() == [1, 2, 3] and rung.predicted.dtype == float


def test_median_has_the_smallest_error():
    values = np.random.default_rng(0).lognormal(size=99)
    data = {"train": {"label": values}}
    guess = median(data, [0] * 3)
    assert len(guess) == 3 and guess[0] == np.median(values)
    errors = [np.abs(values - guess[0] - step).mean() for step in np.linspace(-1, 1, 41)]
    assert min(errors) == errors[20]


def test_right_is_for_ratings_alone():
    assert TASK.right(make_frame([1.4, 2.6, 3.0], [1, 2, 3])).tolist() == [True, False, True]
    assert TASK.right(make_frame([1.4], [1.5])) is None


# --- loss ---


@pytest.mark.parametrize("sizes", [[8], [4, 4], [5, 3], [1, 7]], ids=str)
def test_loss_is_that_of_torch(sizes):
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 1, requires_grad=True), torch.randn(8)
    wanted = torch.nn.MSELoss()(logits.squeeze(-1), labels)
    gradient = torch.autograd.grad(wanted, logits)[0]
    total, loss = count_answers(labels), 0.0
    for part, own in zip(logits.split(sizes), labels.split(sizes)):
        loss = loss + squared_loss({"logits": part}, own, total)
    assert total == 8 and loss.item() == pytest.approx(wanted.item())
    assert torch.allclose(torch.autograd.grad(loss, logits)[0], gradient, atol=1e-7)
    assert squared_loss({"logits": logits}, labels).item() == pytest.approx(wanted.item())


@slow
def test_accumulation_changes_no_update(tiny, tmp_path):
    keys = dict(num_train_epochs=1, train_sampling_strategy="sequential", dropout=0.0, baselines=[], logging_steps=1)
    keys["bf16"] = False  # its digits are too few to compare
    losses = []
    for size, parts in ((8, 1), (2, 4)):
        settings = make_settings(tiny, per_device_train_batch_size=size, gradient_accumulation_steps=parts, **keys)
        made = fine_tune(settings, make_rows(46), tmp_path, f"x{size}")  # the last update has fewer rows
        losses.append([row["loss"] for row in made.history if "loss" in row])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


# --- whole runs ---


def test_record_names_task_and_scores(run):
    record = run.record
    assert (record["task"], record["headline"], record["status"]) == ("regression", "mae", "finished")
    assert set(record["metrics"]["test"]) == set(record["metrics"]["validation"]) == RATINGS
    assert list(record["baselines"]) == ["median", "tfidf", "frozen"] == list(TASK.rungs) and record["unfitted"] == {}
    assert [verdict.b for verdict in run.verdicts] == list(TASK.rungs) and run.labels == [] and record["looks"] == 1
    assert set(record["steps"].values()) == {"done"} and record["best"]["metric"] == "mae"
    levels = {finding["name"]: finding["level"] for finding in record["preflight"]}
    assert (
        levels.pop("forecast", "ok")
        and levels.pop("updates") == "warn"
        and set(levels.values()) == {"ok"}
        and "labels" not in levels
    )
    assert record["metrics"]["validation"]["mae"]["value"] == pytest.approx(record["best"]["value"], rel=PRECISION)
    values = [row["eval_mae"] for row in run.history if "eval_mae" in row]
    assert record["best"]["value"] == min(values)


def test_predictions_are_kept_as_numbers(run):
    rows = pd.read_parquet(run.path / "predictions.parquet")
    assert list(rows.columns) == ["text", "label", "predicted", "split"] and len(rows) == 18
    assert rows.attrs["rating"] is run.predictions.attrs["rating"] is True and TASK.expected_loss([])[0] == 1
    truth = {row["text"]: row["stars"] for row in make_rows()}
    assert rows.label.tolist() == [truth[text] for text in rows.text] and rows.predicted.dtype == float
    test = rows[rows.split == "test"]
    assert run.metrics["test"]["mae"].value == pytest.approx(mean_absolute_error(test.label, test.predicted))
    assert run.metrics["test"]["spearman"].value == pytest.approx(spearmanr(test.label, test.predicted).statistic)
    train = load(make_rows())[0]["train"]["label"]
    error = mean_absolute_error(test.label, np.full(len(test), np.median(train)))
    assert run.baselines["median"]["mae"].value == pytest.approx(error)


def test_report_and_card_show_the_task(run):
    page, card = run.report().read_text(), (run.path / "model/README.md").read_text()
    for words in ("The worst errors", "The ladder", "mae", *TASK.rungs):
        assert words.lower() in page.lower(), words
    for words in ("gives each text a number", "test MAE", "test MSE", "type: mae"):
        assert words in card, words
    assert "## Labels" not in card


@pytest.mark.parametrize("kind", [list, pd.Series])
def test_predict_answers_each_text(run, kind):
    answers = run.predict(kind(["good good bread", " ", "bread"]))
    assert [set(answer) for answer in answers] == [{"value"}, {"error"}, {"value"}]
    assert all(0 < answers[i]["value"] < 6 for i in (0, 2))


@pytest.mark.parametrize("which", ["run", "prices"])
def test_predictions_do_not_depend_on_batches(which, request):
    made = request.getfixturevalue(which)
    rows = made.predictions
    answers = made.predict(rows.text.tolist() + ["a much longer text than all the others, " * 3])
    assert [answer["value"] for answer in answers[:-1]] == pytest.approx(rows.predicted.tolist(), rel=1e-5)


def test_pipeline_answers_the_same(prices):
    texts = [row["text"] for row in make_prices(10)]
    values = [answer["value"] for answer in prices.predict(texts)]
    for keys in ({"function_to_apply": "none"}, {}):
        found = pipeline("text-classification", model=str(prices.path / "model"), device="cpu", **keys)(texts)
        assert [answer["score"] for answer in found] == pytest.approx(values, rel=1e-5)
    assert 9000 < min(values) and max(values) < 25000 and set(prices.metrics["test"]) == SCORES
    config = json.loads((prices.path / "model/config.json").read_text())
    assert (config["label_mean"], config["label_std"], config["problem_type"]) == (0, 1, "regression")


def test_evaluation_repeats_the_metrics(run, tmp_path):
    copy = copy_run(run, tmp_path)
    found = copy.evaluate()
    assert found["metrics"] == run.metrics["test"] and found["sha256"] == run.data["test"]["sha256"]
    assert found["rows"] == 9 and found["looks"] == 2


def copy_run(run, folder) -> Run:
    "Return a copy of a run, with the evaluations on its test rows"
    shutil.copytree(run.path.parent, folder / "runs")
    return Run(folder / "runs" / run.path.name)


@pytest.mark.parametrize("spell", [str, lambda n: f"{n},0"], ids=["text", "comma"])
def test_evaluation_takes_a_file(run, tmp_path, spell):
    rows = make_rows(30)
    file = write_csv(tmp_path / "rows.csv", [{**row, "stars": spell(row["stars"])} for row in rows])
    found = copy_run(run, tmp_path).evaluate(file)
    values = [answer["value"] for answer in run.predict([row["text"] for row in rows])]
    assert found["rows"] == 30
    assert found["metrics"]["mae"].value == pytest.approx(mean_absolute_error([r["stars"] for r in rows], values))


def test_one_test_row_is_scored(tiny, tmp_path):
    rows = {"train": make_rows(50), "test": [{"text": "good bread at last", "stars": 2}]}
    made = fine_tune(make_settings(tiny, num_train_epochs=1), rows, tmp_path, "x")
    score = made.metrics["test"]["mae"]
    assert (score.low, score.high, score.n) == (None, None, 1) and made.verdicts[0].better is None
    assert made.report().is_file() and "| test MAE |" in (made.path / "model/README.md").read_text()


@slow
def test_stopped_run_ends_the_same(prices, tmp_path, monkeypatch):
    stop_in_second_epoch(monkeypatch, lambda: fine_tune(prices.settings, make_prices(), tmp_path, "x"))
    resumed = Run(tmp_path / "x").resume(make_prices())
    assert resumed.record["weights"] == prices.record["weights"] and resumed.metrics == prices.metrics
    assert hash_file(resumed.path / "model/model.safetensors") == hash_file(prices.path / "model/model.safetensors")


@slow
@pytest.mark.parametrize("name", ["save_model", "write_predictions"])
def test_scale_is_folded_once(prices, tmp_path, monkeypatch, name):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("ftkit.runs.folder.RunFolder." + name, stopped)
        fine_tune(prices.settings, make_prices(), tmp_path, "x")
    resumed = Run(tmp_path / "x").resume(make_prices())
    assert resumed.record["weights"] == prices.record["weights"] and resumed.metrics == prices.metrics


@slow
def test_evaluate_again_and_rerun(prices, tmp_path):
    copy = copy_run(prices, tmp_path)
    (copy.path / "predictions.parquet").unlink()
    assert copy.evaluate(make_prices(), again=True)["metrics"] == prices.metrics["test"]
    assert hash_file(copy.path / "predictions.parquet") == hash_file(prices.path / "predictions.parquet")
    again = copy.rerun(make_prices(), "again")
    assert again.record["rerun"]["outcome"] == "identical" and again.metrics == prices.metrics


@pytest.mark.parametrize(
    "method, base", [("lora", "bert"), *(pytest.param(*x, marks=slow) for x in (("head", "tiny"), ("prompt", "bert")))]
)
def test_methods_answer_in_units(method, base, tiny, bert, tmp_path):
    settings = make_settings({"tiny": tiny, "bert": bert}[base], method=method, num_train_epochs=1, baselines=[])
    made = fine_tune(settings, make_prices(60), tmp_path, "x")
    rows, config = made.predictions, json.loads((made.path / "model/config.json").read_text())
    assert [a["value"] for a in made.predict(rows.text.tolist())] == pytest.approx(rows.predicted.tolist(), rel=1e-5)
    assert rows.predicted.between(9000, 25000).all() and made.evaluate()["metrics"] == made.metrics["test"]
    assert (config["label_mean"] == 0) == (method == "lora")  # the others have no bias to fold it into


@before_transformers("5.20")  # older versions could train it
def test_prefix_is_refused(bert, tmp_path):
    with pytest.raises(UserError, match="method = prefix: .* cannot be trained with it") as caught:
        fine_tune(make_settings(bert, method="prefix"), make_rows(40), tmp_path / "runs", "x")
    assert "\n" not in str(caught.value) and not (tmp_path / "runs").exists()


@slow
def test_own_model_trains_further(prices, tmp_path):
    settings = make_settings(str(prices.path / "model"), num_train_epochs=1, baselines=[])
    further = fine_tune(settings, make_prices(), tmp_path, "x")
    assert further.metrics["test"]["mae"].value < 2 * prices.metrics["test"]["mae"].value


@slow
def test_preflight_notices_a_large_loss(prices, tmp_path):
    settings = make_settings(str(prices.path / "model"), num_train_epochs=1, baselines=[], preflight="true")
    further = fine_tune(settings, make_prices(), tmp_path, "x")
    first = next(finding for finding in further.record["preflight"] if finding["name"] == "loss at the start")
    assert first["level"] == "warn" or float(re.search(r"training is ([\d.]+)", first["seen"])[1]) < 100


# --- settings, command, panel ---


@pytest.mark.parametrize(
    "key, value",
    [
        ("ignore_labels", ["4"]),
        ("class_weights", "balanced"),
        ("label_words", {"4": "fine"}),
        ("num_shots", 2),
        ("max_new_tokens", 8),
        ("baselines", ["majority"]),
        ("metric_for_best_model", "accuracy"),
        ("label_smoothing_factor", 0.1),
    ],
)
def test_keys_of_other_tasks_are_refused(key, value):
    with pytest.raises(UserError, match=f"^{key}.*regression") as caught:
        Settings().replace(task="regression", **{key: value})
    assert "\n" not in str(caught.value)


def test_settings_come_back_from_a_file(tmp_path):
    settings = Settings().replace(task="regression", metric_for_best_model="spearman", baselines=["median"])
    (tmp_path / "settings.ini").write_text(settings.to_ini())
    assert Settings.read(tmp_path / "settings.ini") == settings and settings.dataset_name is None


@pytest.mark.parametrize("metric, greater", [("mae", False), ("mse", False), ("spearman", True), ("loss", False)])
def test_best_epoch_follows_the_metric(metric, greater):
    from ftkit.trainer import training_arguments

    settings = Settings().replace(task="regression", metric_for_best_model=metric)
    assert training_arguments(**settings.section("trainer")).greater_is_better == greater


@slow
def test_command_predicts_and_evaluates(ftkit, run, tmp_path):
    copy = copy_run(run, tmp_path)
    rows = make_rows(20)
    write_csv(tmp_path / "new.csv", [{"text": row["text"], "value": row["stars"]} for row in rows])
    values = [answer["value"] for answer in copy.predict([row["text"] for row in rows])]
    for name in ("out.csv", "out.jsonl"):
        done = ftkit("predict", "first", "--file", "new.csv", "--out", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["text", "value_", "value", "error"]
    assert [float(row["value"]) for row in table] == pytest.approx(values, rel=1e-5)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["value"] for line in lines] == pytest.approx(values, rel=1e-5)
    said = ftkit("predict", "first", "good bread", "", cwd=tmp_path).stdout.splitlines()
    assert re.fullmatch(r"\d\.\d{3}\t'good bread'", said[0]) and said[1].startswith("error\tthe text is empty")
    done = ftkit("evaluate", "first", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["metrics"] == run.record["metrics"]["test"], done.stderr


@pytest.fixture
def panel(run, monkeypatch):
    "A panel over the folder with the run"
    import ftkit.panels.panel

    monkeypatch.setattr(ftkit.panels.panel, "Worker", SilentWorker)
    return ftkit.panels.panel.Panel(None, run.path.parent)


def test_panel_shows_ladder_and_rows(panel, run):
    page = str(panel.to_html())
    for words in ("The ladder", "test MAE", "Where it is wrong", *TASK.rungs):
        assert words in page, words
    assert "in points" not in page
    result, rows = panel.views["result"], run.predictions.query("split == 'validation'")
    explorer = result.explorer
    assert explorer.grid.children == () and explorer.true.layout.display == "none"
    errors = (rows.predicted - rows.label).abs()
    assert explorer.chosen().text.tolist() == rows.text[errors.sort_values(ascending=False).index].tolist()
    explorer.search.value = "number 1"
    assert len(explorer.chosen()) == rows.text.str.contains("number 1").sum()
    result.report_button.value = True
    assert "srcdoc" in result.report.value and "The worst errors" in result.report.value


def test_panel_answers_before_and_after(panel, run):
    attempt = panel.views["result"].attempt
    attempt.text.value = "good good bread"
    attempt.button.click()
    what, question, callback = panel.worker.questions[-1]
    answer = Desk().answer(**question)
    callback(answer)
    assert what == "answer" and answer["after"][0]["value"] == pytest.approx(
        run.predict(["good good bread"])[0]["value"]
    )
    assert "before" in answer and f"{answer['after'][0]['value']:.3f}" in attempt.shown.value


def test_answers_before_training_have_units(run):
    before = Desk().answer(str(run.path), ["good bread", "bread", "good good good good bread"])["before"]
    assert 1.5 < np.mean([answer["value"] for answer in before]) < 4.5


def test_error_is_no_share_of_rows(run):
    from ftkit.panels.training import evaluations_html

    logged = [{"step": i, "epoch": i, "eval_loss": 1.0, "eval_mae": value} for i, value in enumerate((2.0, 0.5))]
    assert "[" not in str(evaluations_html({**run.record, "data": {"validation": {"rows": 10}}}, logged))


def test_smallest_error_is_sorted_first(run, tmp_path, monkeypatch):
    import ftkit.panels.panel

    monkeypatch.setattr(ftkit.panels.panel, "Worker", SilentWorker)
    copy = copy_run(run, tmp_path)
    shutil.copytree(copy.path, copy.path.with_name("worse"))
    record = json.loads((copy.path.with_name("worse") / "run.json").read_text())
    record["metrics"]["test"]["mae"]["value"] = 9.0
    (copy.path.with_name("worse") / "run.json").write_text(json.dumps(record))
    view = ftkit.panels.panel.Panel(None, copy.path.parent).views["runs"]
    view.order.value = "test score"
    assert [row["run"] for row in view.sorted_rows()] == ["first", "worse"]


def test_share_of_rows_has_an_interval():
    assert with_interval(0.5, 10).low is not None


def test_worker_reads_numbers(tmp_path, tiny):
    file = write_csv(tmp_path / "mine.csv", make_prices(40))
    settings = {
        "task": "regression",
        "train_file": str(file),
        "model_name_or_path": tiny,
        "label_column_name": "price",
    }
    found = Desk().rows(settings)
    assert found["labels"] == [] and found["label_column"] == "price" and len(found["rows"]) == 10
    assert {float(row["label"]) for row in found["rows"]} <= {row["price"] for row in make_prices()}
