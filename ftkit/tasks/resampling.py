"""Intervals and verdicts by resampling rows: for any score that is a function of sums over the rows.

A row is described by a few numbers, such as hits, false alarms and misses. A resample of the rows is then a weighted
sum, so that thousands of them cost one matrix product.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import norm, t

from ftkit.errors import UserError
from ftkit.intervals import Interval
from ftkit.metrics import Verdict, wilson
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


def bootstrap_p(
    gaps: np.ndarray,  # differences of resamples (num_resamples,)
    n: int,  # rows
) -> float:
    "Return the level at which `interval` would just reach 0"
    if n < 2:
        return 1.0
    beyond = (1 + min((gaps <= 0).sum(), (gaps >= 0).sum())) / (1 + len(gaps))
    return float(min(1.0, 2 * t.cdf(norm.ppf(min(beyond, 0.5)) / np.sqrt(n / (n - 1)), n - 1)))


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
    p_value = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    shown = f"{spell_metric(metric)} {value} {unit} [{', '.join(ends)}], {p_value}".replace("  ", " ")
    if better:
        return f"{names[0]} is better than {names[1]}: {shown}"
    return f"no significant difference between {names[0]} and {names[1]}: {shown}"
