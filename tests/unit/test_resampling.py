"Resampling rows: sums, intervals and verdicts, next to loops over rows and to what scipy finds."

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as rules
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from ftkit.errors import UserError
from ftkit.metrics import wilson
from ftkit.tasks import resampling
from ftkit.tasks.resampling import (
    bootstrap_p,
    compare_rows,
    compare_sums,
    interval,
    judge_difference,
    resample,
    score_sums,
    write_verdict,
)

RNG = np.random.default_rng(0)
MEAN = {"mean": lambda sums: sums[..., 0] / sums[..., 1]}
LEVELS = [0.8, 0.9, 0.95, 0.99]
quick = rules(max_examples=25, deadline=None)
numbers = st.lists(st.integers(-8, 8).map(lambda i: i / 4), min_size=2, max_size=20)


def with_ones(values) -> np.ndarray:
    "Return a value and 1 of each row, whose sums make a mean"
    return np.stack([np.asarray(values, dtype=float), np.ones(len(values))], -1)


def compare(a, b, **keys):
    "Compare the means of two models"
    return compare_sums(with_ones(a), with_ones(b), ("mean", MEAN["mean"]), **keys)


def draw(seed: int, n: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    "Return numbers that two models may have on the same rows"
    return shift + scale * np.random.default_rng(seed).normal(size=n)


def test_resamples_are_sums_of_rows():
    stats = np.array([[1, 10, 1], [2, 20, 1], [4, 40, 1]])
    draws = resample(stats, 500)
    assert draws.shape == (500, 3) and (draws[:, 2] == 3).all() and (draws[:, 1] == 10 * draws[:, 0]).all()
    possible = {a + b + c for a in (1, 2, 4) for b in (1, 2, 4) for c in (1, 2, 4)}
    assert set(draws[:, 0]) == possible
    assert draws.mean(0) == pytest.approx(stats.sum(0), rel=0.03)


def test_blocks_change_nothing(monkeypatch):
    stats = with_ones(draw(0, 50))
    whole = resample(stats, 300)
    monkeypatch.setattr(resampling, "MOST_NUMBERS", 50 * 7)
    assert np.allclose(resample(stats, 300), whole, rtol=0, atol=1e-12)  # sums of other shapes: another last bit
    assert not np.array_equal(resample(stats, 300, seed=1), whole)


@pytest.mark.parametrize("n", [2, 5, 10, 100])
def test_interval_is_wide_as_t(n):
    values = draw(n, n)
    found = score_sums(with_ones(values), MEAN, num_resamples=20_000)["mean"]
    half = t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    assert found.value == pytest.approx(values.mean()) and found.n == n
    if n > 2:  # two rows have three resamples
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.3 if n == 5 else 0.12)


def test_interval_holds_its_level():
    hits = [
        (found := score_sums(with_ones(draw(seed, 10)), MEAN, num_resamples=300)["mean"]).low <= 0 <= found.high
        for seed in range(200)
    ]
    assert 0.915 < np.mean(hits) < 0.985


@given(numbers)
@quick
def test_value_is_in_its_interval(values):
    found = score_sums(with_ones(values), MEAN, num_resamples=300)["mean"]
    assert found.low - 1e-12 <= found.value <= found.high + 1e-12
    assert min(values) - 1e-12 <= found.low and found.high <= max(values) + 1e-12


def test_higher_level_is_wider():
    stats, seen = with_ones(draw(0, 30)), []
    for level in LEVELS:
        found = score_sums(stats, MEAN, level)["mean"]
        seen.append((-found.low, found.high))
    assert seen == sorted(seen) and len(set(seen)) == len(LEVELS)


def test_one_row_has_no_interval():
    found = score_sums([[3.0, 1.0]], MEAN)["mean"]
    assert (found.value, found.low, found.high, found.n) == (3, None, None, 1)
    verdict = compare([1.0], [0.0])
    assert (verdict.difference, verdict.low, verdict.high, verdict.p, verdict.better) == (1, None, None, 1, None)


@pytest.mark.parametrize("a, b", [([], []), ([1.0], [1.0, 2.0])])
def test_missing_rows_are_refused(a, b):
    with pytest.raises(UserError, match="Give the same rows, at least one"):
        compare(a, b)
    with pytest.raises(UserError, match="no rows to score"):
        score_sums(np.zeros((0, 2)), MEAN)


@pytest.mark.parametrize("n", [2, 3, 30])
def test_same_model_is_no_better(n):
    verdict = compare(draw(0, n), draw(0, n))
    assert (verdict.difference, verdict.better, verdict.p) == (0, None, 1)
    assert -verdict.low == verdict.high == wilson(0, n).high  # equal rows do not show that all rows are equal


@pytest.mark.parametrize("lower, better", [(False, "new"), (True, "old")])
@pytest.mark.parametrize("swapped", [False, True])
def test_better_names_the_right_model(lower, better, swapped):
    models = {"new": draw(0, 60, 1.0), "old": draw(1, 60)}
    names = ("old", "new") if swapped else ("new", "old")
    verdict = compare(*(models[name] for name in names), names=names, lower_is_better=lower)
    assert (verdict.a, verdict.b, verdict.better) == (*names, better) and verdict.p <= 0.05
    assert (verdict.difference > 0) == (not swapped) and verdict.low * verdict.high > 0
    assert verdict.text.startswith(f"{better} is better than ")


@given(numbers, st.integers(0, 99), st.sampled_from(LEVELS), st.sampled_from([0.0, 0.5, 1.0]))
@quick
def test_interval_and_test_agree(values, seed, level, shift):
    b = np.array(values) + draw(seed, len(values), shift)
    verdict = compare(values, b, confidence_level=level, num_resamples=200)
    excludes = verdict.low > 0 or verdict.high < 0
    assert excludes == (verdict.p <= 1 - level) == (verdict.better is not None)
    assert verdict.low - 1e-12 <= verdict.difference <= verdict.high + 1e-12 and 0 < verdict.p <= 1
    if verdict.better:
        assert (verdict.better == "a") == (verdict.difference > 0)


@given(numbers, st.integers(0, 99))
@quick
def test_order_of_models_is_free(values, seed):
    b = np.array(values) + draw(seed, len(values), 0.5)
    one, two = compare(values, b, num_resamples=300), compare(b, values, num_resamples=300)
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low), abs=1e-9)
    assert {"a": "b", "b": "a"}.get(one.better) == two.better and one.p == two.p


def test_pairs_are_kept_together():
    hard = draw(0, 40, 0, 10)  # some rows are hard for both
    paired = compare(hard + 0.5 + draw(1, 40, 0, 0.1), hard)
    shuffled = compare(hard + 0.5, np.random.default_rng(2).permutation(hard))
    assert paired.better == "a" and shuffled.better is None
    assert paired.high - paired.low < 0.1 * (shuffled.high - shuffled.low)


def test_equal_models_are_seldom_told_apart():
    found = [compare(draw(seed, 12), draw(1000 + seed, 12), num_resamples=200).better for seed in range(150)]
    assert np.mean([name is not None for name in found]) < 0.09


@pytest.mark.parametrize("shift", [0.2, 0.35, 0.5])
def test_p_is_where_the_interval_ends(shift):
    gaps = draw(0, 4000, shift, 0.25)
    p = bootstrap_p(gaps, 20)
    inside, outside = (interval(shift, gaps, 20, 1 - factor * p) for factor in (0.8, 1.25))
    assert inside.low < 0 < outside.low


def test_p_needs_two_rows():
    assert bootstrap_p(np.ones(100), 1) == 1.0 and bootstrap_p(np.ones(100), 2) > bootstrap_p(np.ones(100), 50) > 0


@pytest.mark.parametrize(
    "numbers, better, unit, words",
    [
        ((0.1, 0.05, 0.15), "a", "points", "a is better than b: micro F1 +10.0 points [+5.0, +15.0], p = 0.010"),
        ((-0.1, -0.15, -0.05), "b", "points", "b is better than a: micro F1 +10.0 points [+5.0, +15.0], p = 0.010"),
        ((0.3, 0.1, 0.5), "b", "", "b is better than a: micro F1 -0.3 [-0.5, -0.1], p = 0.010"),
        ((0.1, None, None), None, "points", "no significant difference between a and b: micro F1 +10.0 points ["),
    ],
)
def test_verdict_is_one_sentence(numbers, better, unit, words):
    text = write_verdict(("a", "b"), "f1_micro", numbers, 0.01, better, unit)
    assert text.startswith(words) and "\n" not in text and "  " not in text
    assert "p < 0.001" in write_verdict(("a", "b"), "f1_micro", numbers, 0.0009, better, unit)


# --- flips of signs ---


def test_flips_equal_brute_force():
    differences, weights = RNG.normal(0.3, 1, 10), RNG.integers(1, 9, 10).astype(float)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 10)).reshape(10, -1)

    def p_value(x):  # of every flip of the signs
        left = differences - x * weights
        return (np.abs(left @ signs) >= np.abs(left.sum()) - 1e-9).mean()

    low, high, p = judge_difference(differences, weights, num_resamples=20_000)
    assert p == pytest.approx(p_value(0), abs=0.01)
    assert [p_value(low), p_value(high)] == pytest.approx([0.05, 0.05], abs=0.01)


def test_flips_equal_mcnemar():
    a, b = RNG.random(120) < 0.8, RNG.random(120) < 0.65
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    verdict = compare_rows(a, b, "exact_match", num_resamples=20_000)
    assert verdict.p == pytest.approx(binomtest(only_a, only_a + only_b).pvalue, abs=0.01)


@rules(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-3, 3), st.integers(1, 50)), min_size=1, max_size=30),
    st.sampled_from([0.9, 0.95]),
    st.sampled_from([99, 199, 200]),
)
def test_flips_interval_and_test_agree(rows, level, resamples):
    differences, weights = (np.array(column, dtype=float) for column in zip(*rows))
    low, high, p = judge_difference(differences, weights, level, resamples)
    value = differences.sum() / weights.sum()
    assert low <= value <= high and 0 < p <= 1
    assert (low <= 0 <= high) == (p > 1 - level)
    mirrored = judge_difference(-differences, weights, level, resamples)
    assert mirrored == pytest.approx((-high, -low, p))


@pytest.mark.parametrize(("lower_is_better", "best"), [(False, "y"), (True, "x")])
def test_direction_of_rows_is_respected(lower_is_better, best):
    low, high = RNG.random(40) / 2, RNG.random(40) / 2 + 0.5
    assert compare_rows(low, high, "token_f1", ("x", "y"), lower_is_better=lower_is_better).better == best


def test_small_difference_names_rows_needed():
    scores = RNG.random(60)
    verdict = compare_rows(scores, scores + RNG.normal(0, 0.2, 60), "token_f1", ("x", "y"))
    rows = int(re.search(r"a 2-point gap takes about ([\d,]+) test rows$", verdict.text)[1].replace(",", ""))
    found = [
        compare_rows(scores, scores + draw, "token_f1", num_resamples=200).better is not None
        for draw in RNG.normal(0.05, 0.2, (150, 60))
    ]
    assert verdict.better is None and verdict.unit == "points" and 500 < rows < 1100
    assert np.mean(found) < 0.8  # 60 rows are too few for 5 points as well


def test_equal_scores_leave_room():
    verdict = compare_rows([1, 0, 1], [1, 0, 1], "exact_match")
    assert verdict.p == 1 and verdict.low == -verdict.high < 0 and "equal on every row" in verdict.text


def test_few_rows_are_named_as_needed():
    assert compare_rows(np.ones(5), np.zeros(5), "token_f1").text.endswith("takes about 6 test rows")
    assert compare_rows(np.ones(6), np.zeros(6), "token_f1").better == "a"


def test_five_rows_decide_nothing():
    verdict = compare_rows(np.ones(5), np.linspace(0, 0.1, 5), "token_f1")
    assert (verdict.low, verdict.high, verdict.better) == (-1, 1, None)


@pytest.mark.parametrize(
    ("a", "b", "message"), [([1.0], [np.inf], "without a finite score"), ([1.0], [1.0, 2.0], "have 1, 2 rows")]
)
def test_scores_that_cannot_be_compared_are_refused(a, b, message):
    with pytest.raises(UserError, match=message):
        compare_rows(a, b, "error")
