"""What a leak costs: the score with the leaked rows and without them, and whether the difference is more than luck."""

import warnings
from dataclasses import dataclass

import numpy as np

from ftkit.checks.duplicates import normalise
from ftkit.intervals import Interval

RESAMPLES = 2000  # of the test rows
MOST_ROWS = 100_000  # training rows of the cheap models; of more, a sample
MOST_PRICED = 5000  # rows of templates; of more, a sample
FOLDS = 5


@dataclass(frozen=True)
class Price:
    "The same predictions, scored with some rows and without them"

    model: str  # whose predictions these are
    whole: Interval  # accuracy on all rows
    without: Interval  # accuracy without the rows in question
    difference: Interval  # the first minus the second
    text: str  # in words

    def __str__(self):
        return self.text


def share(
    right: np.ndarray,  # (rows,) whether a prediction is right
    confidence_level: float = 0.95,  # of the interval
) -> Interval:
    "Return a share with Wilson's interval, as `ftkit.metrics.wilson` does; that module loads torch"
    from scipy.stats import binomtest

    n, count = len(right), int(right.sum())
    interval = binomtest(count, n).proportion_ci(confidence_level, method="wilson")
    return Interval(count / n, float(interval.low), float(interval.high), n)


def price(
    right: np.ndarray,  # (rows,) whether a prediction is right
    leaked: np.ndarray,  # (rows,) whether a row is one of those in question
    model: str = "the model",  # whose predictions these are
    confidence_level: float = 0.95,  # of the intervals
    seed: int = 0,  # of the resamples
) -> Price | None:
    """Return what the leaked rows add to the accuracy; None if no row is leaked, or none is left.

    The interval is that of the paired bootstrap: each resample of the rows is scored with the leaked ones and without.
    """
    right, leaked = np.asarray(right, bool), np.asarray(leaked, bool)
    if not leaked.any() or leaked.all():
        return None
    counts = [int((leaked == a).astype(int) @ (right == b)) for a, b in [(1, 1), (1, 0), (0, 1), (0, 0)]]
    draws = np.random.default_rng(seed).multinomial(len(right), np.array(counts) / len(right), size=RESAMPLES)
    clean = np.maximum(draws[:, 2] + draws[:, 3], 1)
    gaps = (draws[:, 0] + draws[:, 2]) / len(right) - draws[:, 2] / clean
    low, high = np.quantile(gaps, [(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    whole, without = share(right, confidence_level), share(right[~leaked], confidence_level)
    difference = Interval(whole.value - without.value, float(low), float(high), len(right))
    return Price(model, whole, without, difference, describe_price(model, whole, without, difference))


def describe_price(
    model: str,  # whose predictions these are
    whole: Interval,  # accuracy on all rows
    without: Interval,  # accuracy without the rows in question
    difference: Interval,  # the first minus the second
) -> str:
    "Return the price in one sentence"
    points = f"{100 * difference.value:+.1f} points [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
    scores = f"{model}: accuracy {whole} on all {whole.n:,} rows, {without} on the {without.n:,} others"
    if difference.low > 0:
        return f"{scores}; the leak flatters it by {points}"
    if difference.high < 0:
        return f"{scores}; the leaked rows are harder: {points}"
    return f"{scores}; no significant difference: {points}"


def fit_words(
    texts: list[str],  # to train on
    labels: list[str],  # of the texts
    rows: list[str],  # to predict
) -> np.ndarray:
    """Return the labels that words predict (rows,): the rung `tfidf`, but for a solver that takes a tenth of the time.

    On the tweets 99 of 100 predictions are those of the rung, which is in `ftkit.objective`, a module that loads torch
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    model = make_pipeline(words, LogisticRegression(C=5, solver="saga", tol=1e-3, max_iter=50, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(texts, labels).predict(rows)


def price_leak(
    train: tuple[list[str], list[str]],  # texts and labels
    test: tuple[list[str], list[str]],  # texts and labels
    leaked: list[int],  # test rows that are training rows too
) -> list[Price]:
    "Return the price of a leak for the two cheap models `majority` and `tfidf`. Empty if there is none"
    (texts, labels), (rows, truth) = train, test
    if not leaked or len(leaked) == len(rows) or len(set(labels)) < 2:
        return []
    if len(texts) > MOST_ROWS:
        chosen = np.random.default_rng(42).choice(len(texts), MOST_ROWS, replace=False)
        texts, labels = [texts[i] for i in chosen], [labels[i] for i in chosen]
    mask = np.isin(np.arange(len(rows)), leaked)
    names, counts = np.unique(labels, return_counts=True)
    predictions = {
        "majority": np.full(len(rows), names[counts.argmax()]),
        "tfidf": fit_words(texts, labels, rows),
    }
    prices = [price(found == np.array(truth), mask, name) for name, found in predictions.items()]
    return [found for found in prices if found]


def price_templates(
    texts: list[str],  # one a row
    labels: list[str],  # one a row
    groups: list[int],  # of each row: rows of one template have the same
    seed: int = 42,  # of the folds
) -> tuple[Interval, Interval]:
    "Return the accuracy of `tfidf` on held-out rows, and on rows of held-out templates"
    rng = np.random.default_rng(seed)
    if len(texts) > MOST_PRICED:
        chosen = np.sort(rng.choice(len(texts), MOST_PRICED, replace=False))
        texts, labels, groups = ([values[i] for i in chosen] for values in (texts, labels, groups))
    units = [[normalise(text) for text in texts], groups]
    scores = []
    for keys in units:  # duplicates stay together in both
        names = list(dict.fromkeys(keys))
        turn = dict(zip(names, rng.permutation(len(names)) % FOLDS))
        folds = np.array([turn[key] for key in keys])
        right = np.zeros(len(texts), bool)
        for fold in range(FOLDS):
            train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            if len(test) and len({labels[i] for i in train}) > 1:
                found = fit_words([texts[i] for i in train], [labels[i] for i in train], [texts[i] for i in test])
                right[test] = found == np.array([labels[i] for i in test])
        scores.append(share(right))
    return tuple(scores)
