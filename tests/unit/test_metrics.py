"Scores, intervals, verdicts: against other implementations and against simulation."

import evaluate
import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score, precision_score, recall_score
from transformers import EvalPrediction

from ftkit.metrics import (
    Accuracy,
    MacroF1,
    calibration,
    compare,
    compute_metrics,
    compute_scores,
    rows_needed,
    score,
    wilson,
)

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 3, 400)
GUESS = np.where(RNG.random(400) < 0.7, TRUTH, RNG.integers(0, 3, 400))


def test_scores_equal_scikit_learn():
    scores = score(GUESS, TRUTH, ["a", "b", "c"])
    assert scores["accuracy"].value == (GUESS == TRUTH).mean()
    for name, function in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        assert scores[f"{name}_macro"].value == pytest.approx(function(TRUTH, GUESS, average="macro"))
        assert [scores["per_class"][c][name].value for c in "abc"] == pytest.approx(
            function(TRUTH, GUESS, average=None).tolist()
        )


def test_evaluate_metrics_work_offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    both = evaluate.combine([Accuracy(), MacroF1()]).compute(predictions=GUESS, references=TRUTH)
    scores = score(GUESS, TRUTH, ["a", "b", "c"])
    assert both == pytest.approx({k: scores[k].value for k in both})
    logits = np.eye(3)[GUESS]
    assert compute_metrics(EvalPrediction(logits, TRUTH)) == pytest.approx(both)


def test_wilson_holds_its_level():
    for p, n in ((0.5, 50), (0.9, 100), (0.75, 269)):
        draws = RNG.binomial(n, p, 2000)
        intervals = {k: wilson(k, n) for k in set(draws.tolist())}
        assert 0.93 <= np.mean([intervals[k].low <= p <= intervals[k].high for k in draws.tolist()]) <= 0.975


@pytest.mark.slow
def test_f1_interval_holds_its_level():
    cells = np.array([[60, 10, 5], [8, 50, 12], [6, 9, 40]]) / 200
    truth = float(compute_scores(cells * 1e6)["f1_macro"])
    hits = []
    for _ in range(400):
        counts = RNG.multinomial(200, cells.ravel())
        pairs = np.repeat(np.arange(9), counts)
        interval = score(pairs % 3, pairs // 3, ["a", "b", "c"], num_resamples=400)["f1_macro"]
        hits.append(interval.low <= truth <= interval.high)
    assert 0.91 <= np.mean(hits) <= 0.985


def test_resampling_equals_row_bootstrap():
    ours = score(GUESS, TRUTH, ["a", "b", "c"], num_resamples=4000)["f1_macro"]
    rows = RNG.integers(0, 400, (1000, 400))
    draws = [f1_score(TRUTH[r], GUESS[r], average="macro") for r in rows]
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.006)


def test_mcnemar_test_is_exact():
    a, b = np.where(RNG.random(400) < 0.8, TRUTH, 9), np.where(RNG.random(400) < 0.72, TRUTH, 9)
    only_a, only_b = ((a == TRUTH) & (b != TRUTH)).sum(), ((a != TRUTH) & (b == TRUTH)).sum()
    verdict = compare(a, b, TRUTH)
    assert verdict.p == binomtest(int(only_a), int(only_a + only_b)).pvalue
    assert (
        verdict.difference == pytest.approx((a == TRUTH).mean() - (b == TRUTH).mean())
        and verdict.low < verdict.difference < verdict.high
    )


@pytest.mark.slow
def test_equal_models_rarely_differ():
    flags = 0
    for _ in range(1000):
        kind = RNG.choice(4, 300, p=[0.1, 0.1, 0.7, 0.1])  # only a, only b, both, none right
        truth = np.zeros(300, int)
        flags += (
            compare(
                np.where((kind == 0) | (kind == 2), 0, 1),
                np.where((kind == 1) | (kind == 2), 0, 1),
                truth,
                num_resamples=100,
            ).p
            <= 0.05
        )
    assert flags / 1000 <= 0.065


def test_verdicts_in_words():
    good, poor = np.where(RNG.random(400) < 0.9, TRUTH, 9), np.where(RNG.random(400) < 0.5, TRUTH, 9)
    assert compare(good, poor, TRUTH, ("x", "y")).text.startswith("x is better than y: +")
    assert compare(poor, good, TRUTH, ("x", "y")).text.startswith("y is better than x: +")
    close = compare(good[:40], np.where(np.arange(40) < 1, 9, good[:40]), TRUTH[:40], ("x", "y")).text
    assert "no significant difference between" in close and "rows" in close


def test_rows_needed_has_its_power():
    gap, discordance = 0.05, 0.2
    n = rows_needed(discordance, gap)
    seen = 0
    for _ in range(400):
        only_a, only_b, _ = RNG.multinomial(n, [(discordance + gap) / 2, (discordance - gap) / 2, 1 - discordance])
        seen += binomtest(int(only_a), int(only_a + only_b)).pvalue <= 0.05
    assert 0.72 <= seen / 400 <= 0.87


@pytest.mark.parametrize("guess", [TRUTH, np.zeros(400, int), (TRUTH + 1) % 3])
def test_extreme_predictions_have_scores(guess):
    scores = score(guess, TRUTH, ["a", "b", "c", "never seen"])
    for value in [
        scores["accuracy"],
        scores["f1_macro"],
        *(s for c in scores["per_class"].values() for s in c.values()),
    ]:
        assert 0 <= value.low <= value.value <= value.high <= 1
    assert scores["per_class"]["never seen"]["recall"].n == 0


def test_calibration_separates_models():
    logits = RNG.normal(size=(2000, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.array([RNG.choice(3, p=row) for row in p])
    fair, sure = calibration(logits, truth, num_resamples=200), calibration(logits * 4, truth, num_resamples=200)
    assert fair["ece"] < 2.5 * fair["ece_if_calibrated"] and sure["ece"] > 5 * sure["ece_if_calibrated"]
    assert fair["log_loss"].value < sure["log_loss"].value and fair["brier"].high < sure["brier"].low
