"""Intervals and verdicts by resampling rows: for any score that is a function of sums over the rows.

A row is described by a few numbers, such as hits, false alarms and misses. A resample of the rows is then a weighted
sum, so that thousands of them cost one matrix product. Differences of single rows are tested by flipping their signs.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import norm, t

from ftkit.errors import UserError
from ftkit.intervals import Interval, format_p
from ftkit.metrics import Verdict, wilson
from ftkit.serving.drift import relabel, share_beyond
from ftkit.views.scores import spell_metric

MOST_NUMBERS = 10**7  # of a block of resamples


def resample(
    stats: np.ndarray,  # numbers of each row (rows, numbers)
    num_resamples: int = 2000,  # bootstrap resamples
    seed: int = 0,  # of the resamples
) -> np.ndarray:
    "Return the sums of each resample of the rows (num_resamples, numbers)"
    stats, rng, n = np.asarray(stats, dtype=float), np.random.default_rng(seed), len(stats)
    size, shares = max(1, MOST_NUMBERS // n), np.full(n, 1 / n)
    blocks = [min(size, num_resamples - start) for start in range(0, num_resamples, size)]
    return np.concatenate([rng.multinomial(n, shares, size=k) @ stats for k in blocks])


def interval(
    value: float,  # the score of the rows
    draws: np.ndarray,  # the scores of resamples (num_resamples,)
    n: int,  # rows
    confidence_level: float = 0.95,  # of the interval
) -> Interval:
    """Return a score with the expanded percentile interval (Hesterberg 2015), which holds its level with few rows too.

    low and high are None with one row
    """
    if n < 2:
        return Interval(float(value), None, None, n)
    tail = norm.cdf(np.sqrt(n / (n - 1)) * t.ppf((1 - confidence_level) / 2, n - 1))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high), n)


def score_sums(
    stats: np.ndarray,  # numbers of each row (rows, numbers)
    metrics: dict[str, Callable],  # name -> function of sums (..., numbers)
    confidence_level: float = 0.95,  # of every interval
    num_resamples: int = 2000,  # bootstrap resamples
    seed: int = 0,  # of the resamples
) -> dict[str, Interval]:
    "Return name -> score with its interval. Raises `UserError` without rows"
    if not len(stats):
        raise UserError("there are no rows to score.")
    draws, total = resample(stats, num_resamples, seed), np.asarray(stats, dtype=float).sum(0)
    return {
        name: interval(metric(total), metric(draws), len(stats), confidence_level) for name, metric in metrics.items()
    }


def compare_sums(
    a: np.ndarray,  # numbers of each row for one model (rows, numbers)
    b: np.ndarray,  # for the other, on the same rows
    metric: tuple[str, Callable],  # name, and function of sums (..., numbers)
    names: tuple[str, str] = ("a", "b"),  # of the models
    confidence_level: float = 0.95,  # of the interval; the test is at 1 minus this
    num_resamples: int = 2000,  # bootstrap resamples
    seed: int = 0,  # of the resamples
    lower_is_better: bool = False,  # of the metric
    unit: str = "points",  # of the difference: points are hundredths
) -> Verdict:
    """Compare two models on the same rows by the paired bootstrap: each resample of the rows scores both.

    The test and the interval agree: it excludes 0 if and only if p is at most 1 minus the level. Raises `UserError`
    if the numbers of rows differ.
    """
    if len(a) != len(b) or not len(a):
        raise UserError(f"a and b have {len(a)} and {len(b)} rows. Give the same rows, at least one.")
    name, function = metric
    width, n = np.shape(a)[1], len(a)
    draws = resample(np.hstack([a, b]), num_resamples, seed)
    difference = float(function(np.sum(a, 0)) - function(np.sum(b, 0)))
    gaps = function(draws[:, :width]) - function(draws[:, width:])
    found, p = interval(difference, gaps, n, confidence_level), bootstrap_p(gaps, n)
    if n > 1 and found.low == found.high == 0:  # no row differs: the models may still differ on this share of all rows
        end = wilson(0, n, confidence_level).high
        found = Interval(0.0, -end, end, n)
    level = 1 - confidence_level
    better = None
    if found.low is not None and (found.low > 0 or found.high < 0):
        better, p = names[(difference < 0) != lower_is_better], min(p, level)
    else:
        p = max(p, np.nextafter(level, 1))
    low, high = (None, None) if found.low is None else (found.low, found.high)
    text = write_verdict(names, name, (difference, low, high), p, better, unit)
    return Verdict(*names, name, difference, low, high, float(p), text, better, unit)


def compare_unpaired(
    a: np.ndarray,  # numbers of each row of one set (rows, numbers)
    b: np.ndarray,  # of another set, with the same model
    metric: tuple[str, Callable],  # name, and function of sums (..., numbers)
    names: tuple[str, str] = ("a", "b"),  # of the sets
    confidence_level: float = 0.95,  # of the interval; the test is at 1 minus this
    num_resamples: int = 2000,  # bootstrap resamples, and permutations
    seed: int = 0,  # of both
    lower_is_better: bool = False,  # of the metric
    unit: str = "points",  # of the difference: points are hundredths
) -> Verdict:
    """Compare the scores of one model on two sets of rows by a permutation test, with a bootstrap interval.

    The interval is widened to contain 0 if the test finds no difference
    """
    name, function = metric
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    total, rows = a.sum(0) + b.sum(0), np.concatenate([b, a])
    sums = relabel(len(b), len(a), seed, num_resamples - 1).astype(float) @ rows
    gaps = function(sums) - function(total - sums)
    draws = function(resample(a, num_resamples, seed)) - function(resample(b, num_resamples, seed + 1))
    found, p = interval(float(gaps[0]), draws, min(len(a), len(b)), confidence_level), share_beyond(np.abs(gaps))
    low, high, better = found.low, found.high, None
    if p <= 1 - confidence_level:
        better = names[(found.value < 0) != lower_is_better]
    elif low is not None:
        low, high = min(low, 0.0), max(high, 0.0)
    text = write_verdict(names, name, (found.value, low, high), p, better, unit)
    return Verdict(*names, name, found.value, low, high, p, text, better, unit)


def flip_signs(
    differences: np.ndarray,  # of each row, a minus b (rows,)
    weights: np.ndarray,  # of each row (rows,)
    num_resamples: int = 2000,  # random flips
    seed: int = 0,  # of the flips
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each random flip, the lowest and the highest difference that it speaks for (num_resamples,).

    If the true difference is x, what is left of each row, d - x w, may as well have the other sign. A flip is as
    extreme as the data if its sum of them is at least as large. This holds for x between the two roots of a quadratic
    equation, one on each side of the observed difference: so the test of every x is solved at once.
    """
    rng, n, total = np.random.default_rng(seed), len(weights), weights.sum()
    size, columns = max(1, MOST_NUMBERS // n), np.column_stack([differences, weights]) / total
    blocks = [min(size, num_resamples - start) for start in range(0, num_resamples, size)]
    sums = [(2 * rng.integers(0, 2, (k, n), dtype=np.int8) - 1) @ columns for k in blocks]
    observed, (flipped, balance) = columns[:, 0].sum(), np.concatenate(sums).T
    same = np.abs(balance) > 1 - 1e-12  # every row, or none: as extreme as the data whatever the difference
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = np.array([(observed - flipped) / (1 - balance), (observed + flipped) / (1 + balance)])
    roots[np.abs(roots) < 1e-12 * np.abs(differences).max(initial=0)] = 0.0  # ties, which rounding would break
    low, high = np.minimum(roots.min(0), observed), np.maximum(roots.max(0), observed)
    return np.where(same, -np.inf, low), np.where(same, np.inf, high)


def judge_difference(
    differences: np.ndarray,  # of each row, a minus b (rows,)
    weights: np.ndarray,  # of each row (rows,)
    confidence_level: float = 0.95,  # of the interval
    num_resamples: int = 2000,  # random flips
    seed: int = 0,  # of the flips
) -> tuple[float, float, float]:
    """Return low, high and p of sum(differences) / sum(weights), by flipping the signs of rows at random.

    The interval holds the differences that the test does not reject: it excludes 0 if and only if p is at most 1 minus
    the level. It is unbounded with so few rows that nothing could be rejected (5 at the level of 0.95).
    """
    lows, highs = flip_signs(differences, weights, num_resamples, seed)
    chances = (1 + np.arange(num_resamples + 1)) / (1 + num_resamples)  # p of 0, 1, ... flips (Phipson and Smyth 2010)
    rejected = int((chances <= 1 - confidence_level).sum())  # with so many flips a difference is not rejected
    p = chances[((lows <= 0) & (highs >= 0)).sum()]
    if rejected == 0:
        return -math.inf, math.inf, float(p)
    return float(np.sort(lows)[rejected - 1]), float(np.sort(highs)[-rejected]), float(p)


def count_needed(
    differences: np.ndarray,  # of each row, a minus b (rows,)
    weights: np.ndarray,  # of each row (rows,)
    gap: float,  # the difference to detect
    level: float,  # of the test
    power: float = 0.8,  # chance of detecting it
) -> int:
    "Return the test rows that detecting `gap` takes: those of a paired z test with this spread of the differences"
    left = (differences - weights * differences.sum() / weights.sum()) / weights.mean()
    deviation = math.sqrt((left**2).sum() / max(len(left) - 1, 1))
    fewest = math.ceil(1 - math.log2(level))  # with fewer even differences of one sign are not significant
    return max(fewest, math.ceil(((norm.ppf(1 - level / 2) + norm.ppf(power)) * deviation / gap) ** 2))


def describe_gap(
    gap: float,  # the difference to detect
    unit: str,  # of it
    rows: int,  # that detecting it takes
) -> str:
    "Return in words how many rows would show a difference"
    shown = f"{100 * gap:g}-point gap" if unit == "points" else f"gap of {gap:.2g} {unit}".rstrip()
    return f"detecting a {shown} takes about {rows:,} test rows"


def make_verdict(
    names: tuple[str, str],  # of the models
    metric: str,  # that is compared
    differences: np.ndarray,  # of each row, a minus b (rows,)
    weights: np.ndarray,  # of each row (rows,)
    lower_is_better: bool,  # of the metric
    unit: str,  # of the difference: points are hundredths
    gap: float,  # the difference that would matter to you
    confidence_level: float,  # of the interval
    num_resamples: int,  # random flips
    seed: int,  # of the flips
) -> Verdict:
    "Return the verdict on sum(differences) / sum(weights)"
    n, difference = len(weights), float(differences.sum() / weights.sum())
    low, high, p = judge_difference(differences, weights, confidence_level, num_resamples, seed)
    if unit == "points":
        low, high = max(low, -1.0), min(high, 1.0)
        if not differences.any():  # the models may still differ on this share of all rows
            high = wilson(0, n, confidence_level).high
            low = -high
    if math.isinf(low):
        low = high = None
    better = None
    if p <= 1 - confidence_level:
        better = names[(difference < 0) != lower_is_better]
    text = write_verdict(names, metric, (difference, low, high), p, better, unit)
    if not better:
        rows = count_needed(differences, weights, gap, 1 - confidence_level)
        text += "; " + (describe_gap(gap, unit, rows) if differences.any() else "they are equal on every row")
    return Verdict(*names, metric, difference, low, high, p, text, better, unit)


def compare_rows(
    a_scores: np.ndarray,  # of one model (rows,)
    b_scores: np.ndarray,  # of the other, on the same rows
    metric: str,  # that was scored: token_f1
    names: tuple[str, str] = ("a", "b"),  # of the models
    confidence_level: float = 0.95,  # of the interval; the test is at 1 minus this
    num_resamples: int = 2000,  # random flips of the rows
    seed: int = 0,  # of the flips
    gap: float = 0.02,  # the difference that would matter to you
    lower_is_better: bool = False,  # of the metric, as of an error
    unit: str = "points",  # of the difference, for scores from 0 to 1; else the scores' own unit
) -> Verdict:
    """Compare the mean score of two models on the same rows by a sign-flip test.

    The test flips, at random, which model is which on a row. It holds its level with few rows, with which the paired
    bootstrap finds too many differences. low and high are None with so few rows that no difference could be found.
    For scores that are 0 or 1 it is the exact McNemar test. Raises `UserError` if the numbers of rows differ, or a
    score is not finite.
    """
    check_rows(a_scores=a_scores, b_scores=b_scores)
    differences = np.asarray(a_scores, dtype=float) - np.asarray(b_scores, dtype=float)
    if not np.isfinite(differences).all():
        raise UserError(f"{metric} has rows without a finite score. Leave them out for both models.")
    weights = np.ones(len(differences))
    return make_verdict(
        names, metric, differences, weights, lower_is_better, unit, gap, confidence_level, num_resamples, seed
    )


def count_right(
    right: np.ndarray,  # whether each prediction is right (rows,)
) -> np.ndarray:
    "Return whether it is right, and 1, of each row (rows, 2)"
    return np.stack([np.asarray(right, dtype=float), np.ones(len(right))], -1)


def share_right(
    sums: np.ndarray,  # of `count_right` (..., 2)
) -> np.ndarray:
    "Return the share of right predictions"
    return sums[..., 0] / sums[..., 1]


def bootstrap_p(
    gaps: np.ndarray,  # differences of resamples (num_resamples,)
    n: int,  # rows
) -> float:
    "Return the level at which `interval` would just reach 0"
    if n < 2:
        return 1.0
    beyond = (1 + min((gaps <= 0).sum(), (gaps >= 0).sum())) / (1 + len(gaps))
    return float(min(1.0, 2 * t.cdf(norm.ppf(min(beyond, 0.5)) / np.sqrt(n / (n - 1)), n - 1)))


def check_rows(
    **columns,  # name -> values, one a row
) -> None:
    "Raise `UserError` without rows, or if the numbers of rows differ"
    sizes = [len(values) for values in columns.values()]
    if len(set(sizes)) > 1:
        raise UserError(f"{', '.join(columns)} have {', '.join(map(str, sizes))} rows. Give the same rows.")
    if not sizes[0]:
        raise UserError("there are no rows to score.")


def write_verdict(
    names: tuple[str, str],  # of the two models
    metric: str,  # that is compared
    numbers: tuple[float, float | None, float | None],  # difference, low, high
    p: float,  # of the test
    better: str | None,  # the significantly better model
    unit: str,  # of the difference
) -> str:
    "Return a comparison in one sentence, the better model first"
    if better == names[1]:
        difference, low, high = numbers
        names, numbers = names[::-1], (-difference, -high, -low)
    scale, form = (100, "{:+.1f}") if unit == "points" else (1, "{:+.3g}")
    value, *ends = ("none" if x is None else form.format(scale * x) for x in numbers)
    p_value = format_p(p)
    shown = f"{spell_metric(metric)} {value} {unit} [{', '.join(ends)}], {p_value}".replace("  ", " ")
    if better:
        return f"{names[0]} is better than {names[1]}: {shown}"
    return f"no significant difference between {names[0]} and {names[1]}: {shown}"
