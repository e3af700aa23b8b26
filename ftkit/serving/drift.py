"""Tests for drift on arrays: are new rows draws from the same distribution as the reference rows?

Every p-value is that of a permutation test: the share of random relabellings of the rows whose statistic is at least
as large as the real one. If the rows are exchangeable, it is valid for any number of rows, with ties too (Phipson and
Smyth 2010). Neither torch nor a model is loaded here.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from scipy.stats import hypergeom, norm, rankdata
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, normalize
from threadpoolctl import threadpool_limits

from ftkit.intervals import holm

NUM_PERMUTATIONS = 1999  # of each test: the smallest p is 1 / 2,000
FEWEST_OF_WORD = 5  # rows that hold a word, reference and new together
SHOWN_WORDS = 12
MOST_CHARACTERS = 2000  # of a text that are counted
POWER = 0.8  # chance with which `detectable_gap` is found
INVERSE_PENALTY = 0.1  # C of the classifier: it has more features than rows
CHARACTERS = {  # name -> characters that are counted
    "capital letters": str.isupper,
    "digits": str.isdigit,
    "spaces": str.isspace,
    "signs": lambda c: c.isascii() and not c.isalnum() and not c.isspace(),
    "characters beyond ASCII": lambda c: not c.isascii(),
}


@dataclass
class Measured:
    "What is compared of some rows. A measure that one side lacks is left out"

    texts: list[str]
    features: np.ndarray | None = None  # of the frozen base model (rows, width)
    numbers: dict[str, np.ndarray] = field(default_factory=dict)  # name -> number of each row, NaN: not measured
    shares: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # test -> name -> value of each row

    def __len__(self):
        return len(self.texts)

    def select(
        self,
        rows: np.ndarray,  # numbers of rows
    ) -> "Measured":
        "Return some of the rows"
        return Measured(
            [self.texts[i] for i in rows],
            None if self.features is None else self.features[rows],
            {name: values[rows] for name, values in self.numbers.items()},
            {test: {name: v[rows] for name, v in table.items()} for test, table in self.shares.items()},
        )


@dataclass(frozen=True)
class DriftTest:
    "One test: what was compared, and how likely so large a difference is without drift"

    name: str  # such as features, labels, tokens
    statistic: str  # what is compared: auc, shares, ks
    value: float  # of the statistic
    p: float  # of this test alone
    text: str  # what moved, in words
    reference: float | None = None  # mean of what is compared over the validation rows; None: there is none
    new: float | None = None  # over the new rows
    p_holm: float = 1.0  # adjusted for all tests of the call
    fired: bool = False  # p_holm is at most the level


@dataclass
class Told:
    "The rows that the classifier did not see, and how new it takes each of them to be"

    test: DriftTest
    reference: np.ndarray  # numbers of the reference rows that were held out
    new: np.ndarray  # of the new rows
    scores: np.ndarray  # of both, the reference rows first


# --- permutations ---


@lru_cache(maxsize=2)  # the tests of a call share their labellings
def relabel(
    reference: int,  # rows
    new: int,  # rows
    seed: int = 0,  # of the draws
    count: int = NUM_PERMUTATIONS,  # relabellings
) -> np.ndarray:
    "Return the real labelling and random ones: whether each row is new (1 + count, reference + new)"
    real = np.repeat([False, True], [reference, new])
    rng = np.random.default_rng(seed)
    found = np.vstack([real, rng.permuted(np.broadcast_to(real, (count, len(real))), axis=1)])
    found.flags.writeable = False
    return found


def share_beyond(
    statistics: np.ndarray,  # of the real labelling and of the random ones (1 + count,)
) -> float:
    "Return p: the share of labellings, the real one among them, whose statistic is at least the real one's"
    return float((statistics >= statistics[0] - 1e-9 * (1 + abs(statistics[0]))).mean())


def distribution_distance(
    values: np.ndarray,  # one number of each row (rows,)
    labellings: np.ndarray,  # from `relabel` (labellings, rows)
) -> np.ndarray:
    "Return the largest distance of the two distribution functions for each labelling (Kolmogorov-Smirnov)"
    order = np.argsort(values, kind="stable")
    ends = np.append(np.diff(values[order]) > 0, True)  # equal values are passed together
    new = labellings[:, order].cumsum(axis=1, dtype=np.int32)[:, ends]
    passed, (total, count) = np.flatnonzero(ends) + 1, (len(values), int(labellings[0].sum()))
    return np.abs(new / count - (passed - new) / (total - count)).max(axis=1)


def share_distance(
    table: np.ndarray,  # floats of each row, such as whether it has each label (rows, columns)
    labellings: np.ndarray,  # from `relabel` (labellings, rows)
) -> np.ndarray:
    "Return the summed squared differences of the columns' means, each in units of its variance, for each labelling"
    table = (table - table.mean(0)) / np.maximum(table.std(0), 1e-12)
    total, count = len(table), int(labellings[0].sum())
    sums = labellings.astype(table.dtype) @ table  # of standardised columns: those of the others are the negative
    return ((sums / count + sums / (total - count)) ** 2).sum(axis=1)


def classifier_auc(
    scores: np.ndarray,  # how new a classifier takes each row to be (rows,)
    labellings: np.ndarray,  # from `relabel` (labellings, rows)
) -> np.ndarray:
    "Return the chance that a new row has a higher score than a reference row, for each labelling"
    total, count = len(scores), int(labellings[0].sum())
    ranks = labellings.astype(float) @ rankdata(scores)
    return (ranks / count - (count + 1) / 2) / (total - count)


# --- tests ---


def compare_features(
    reference: np.ndarray,  # of the frozen base model (rows, width)
    new: np.ndarray,  # (rows, width)
    seed: int = 0,  # of the halves and of the relabellings
) -> Told:
    """Compare features by a classifier (Lopez-Paz and Oquab 2017).

    It is fitted once, on one half of each side, and scores the other half; only these scores are relabelled
    """
    rng = np.random.default_rng(seed)
    halves = [np.array_split(rng.permutation(len(rows)), 2) for rows in (reference, new)]
    fit, held = ([reference[halves[0][k]], new[halves[1][k]]] for k in (1, 0))
    model = make_pipeline(Normalizer(), LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=500))
    with threadpool_limits(1):
        model.fit(np.concatenate(fit), np.repeat([0, 1], [len(fit[0]), len(fit[1])]))
        scores = model.decision_function(np.concatenate(held))
    found = classifier_auc(scores, relabel(len(held[0]), len(held[1]), seed))
    text = f"a classifier tells new rows from validation rows with AUC {found[0]:.2f} (0.50: it cannot)"
    test = DriftTest("features", "auc", float(found[0]), share_beyond(found), text)
    return Told(test, halves[0][0], halves[1][0], scores)


def compare_means(
    reference: np.ndarray,  # features of the frozen base model (rows, width)
    new: np.ndarray,  # (rows, width)
    seed: int = 0,  # of the relabellings
) -> DriftTest:
    """Compare the means of features of length 1, which is the maximum mean discrepancy of a linear kernel.

    All rows count (Gretton et al. 2012), while the classifier spends half of them on being fitted
    """
    rows = normalize(np.concatenate([reference, new]))
    found = share_distance(rows, relabel(len(reference), len(new), seed))
    text = f"the mean of the features lies {np.sqrt(found[0] / rows.shape[1]):.2f} standard deviations away"
    return DriftTest("feature_means", "mmd", float(found[0]), share_beyond(found), text)


def compare_number(
    name: str,  # of the number, such as tokens
    reference: np.ndarray,  # (rows,)
    new: np.ndarray,  # (rows,)
    seed: int = 0,  # of the relabellings
) -> DriftTest | None:
    "Compare the distributions of a number. None if one side lacks it, or if all rows have the same"
    old, now = (values[np.isfinite(values)] for values in (reference, new))
    if not len(old) or not len(now) or np.ptp(np.concatenate([old, now])) == 0:
        return None
    found = distribution_distance(np.concatenate([old, now]), relabel(len(old), len(now), seed))
    kind, (a, b) = "median", (np.median(old), np.median(now))
    if a == b:
        kind, (a, b) = "mean", (old.mean(), now.mean())
    text, means = f"{kind} {a:.3g} → {b:.3g}", (float(old.mean()), float(now.mean()))
    return DriftTest(name, "ks", float(found[0]), share_beyond(found), text, *means)


def compare_shares(
    name: str,  # of the test, such as labels
    reference: dict[str, np.ndarray],  # column -> value of each row
    new: dict[str, np.ndarray],  # the same columns
    seed: int = 0,  # of the relabellings
) -> DriftTest | None:
    "Compare shares, such as those of the labels, together. None if no column differs between any two rows"
    sides = [{key: values[np.isfinite(values)] for key, values in side.items()} for side in (reference, new)]
    pooled = {key: np.concatenate([side[key] for side in sides]).astype(float) for key in reference}
    count = len(next(iter(sides[1].values())))
    pooled = {key: values for key, values in pooled.items() if 0 < count < len(values) and np.ptp(values) > 0}
    if not pooled:
        return None
    table = np.stack(list(pooled.values()), -1)
    found = share_distance(table, relabel(len(table) - count, count, seed))
    old, now = table[:-count].mean(0), table[-count:].mean(0)
    most = int(np.argmax(np.abs(now - old) / table.std(0)))
    text = f"{list(pooled)[most]}: {old[most]:.1%} → {now[most]:.1%}"
    return DriftTest(name, "shares", float(found[0]), share_beyond(found), text, float(old[most]), float(now[most]))


def compare_counts(
    name: str,  # of the test
    reference: tuple[int, int],  # rows with a property, and all rows
    new: tuple[int, int],  # the same of the new rows
    text: str,  # what is counted
) -> DriftTest | None:
    "Compare the shares of rows with a property by the exact test. None if no row has it"
    if not reference[0] + new[0]:
        return None
    p = float(exact_p(np.array([reference[0]]), np.array([new[0]]), reference[1], new[1])[0])
    old, now = reference[0] / max(reference[1], 1), new[0] / max(new[1], 1)
    return DriftTest(name, "share", now - old, p, f"{text}: {old:.1%} → {now:.1%}", old, now)


def exact_p(
    reference: np.ndarray,  # reference rows with each property (properties,)
    new: np.ndarray,  # new rows with each property (properties,)
    num_reference: int,  # all reference rows
    num_new: int,  # all new rows
) -> np.ndarray:
    "Return twice the smaller tail of Fisher's exact test for each property (properties,)"
    args = (num_reference + num_new, reference + new, num_new)
    return np.minimum(1.0, 2 * np.minimum(hypergeom.cdf(new, *args), hypergeom.sf(new - 1, *args)))


def run_tests(
    reference: Measured,  # validation rows
    new: Measured,  # rows to watch
    seed: int = 0,  # of halves and relabellings
) -> tuple[list[DriftTest], Told | None]:
    "Return the tests of all measures that both sides have, not yet adjusted, and what the classifier found"
    told, tests = None, []
    if reference.features is not None and new.features is not None:
        told = compare_features(reference.features, new.features, seed)
        tests += [told.test, compare_means(reference.features, new.features, seed)]
    for name in (name for name in reference.shares if name in new.shares):
        tests.append(compare_shares(name, reference.shares[name], new.shares[name], seed))
    for name in (name for name in reference.numbers if name in new.numbers):
        tests.append(compare_number(name, reference.numbers[name], new.numbers[name], seed))
    return [test for test in tests if test], told


def adjust(
    tests: list[DriftTest],  # of one call
    level: float = 0.05,  # chance that any of them fires without drift
) -> list[DriftTest]:
    "Return the tests with p adjusted for all of them, and whether each fired"
    adjusted = holm([test.p for test in tests])
    return [replace(test, p_holm=p, fired=p <= level) for test, p in zip(tests, adjusted)]


# --- what moved: shown, and no reason for an alarm ---


def find_moved_words(
    reference: list[str],  # texts
    new: list[str],  # texts
    limit: int = SHOWN_WORDS,  # words
) -> list[dict]:
    "Return the words whose share of rows moved most, with p adjusted for all words that were looked at"
    words = CountVectorizer(binary=True, min_df=FEWEST_OF_WORD, token_pattern=r"(?u)\b\w[\w'’]*\b")
    try:
        counts = words.fit_transform([*reference, *new])
    except ValueError:  # no word is in enough rows
        return []
    old, now = (np.asarray(part.sum(0)).ravel() for part in (counts[: len(reference)], counts[len(reference) :]))
    p = exact_p(old, now, len(reference), len(new))
    adjusted, names = holm(p), words.get_feature_names_out()
    return [
        {
            "word": str(names[i]),
            "reference": float(old[i] / len(reference)),
            "new": float(now[i] / len(new)),
            "p_holm": float(adjusted[i]),
        }
        for i in np.argsort(p, kind="stable")[:limit]
    ]


def find_moved_slices(
    reference: dict[str, np.ndarray],  # slice -> whether each reference row is in it
    new: dict[str, np.ndarray],  # the same of the new rows
    told: Told | None = None,  # what the classifier found
) -> list[dict]:
    """Return each slice with its share of the rows before and now, p adjusted for all slices, and an AUC.

    `auc` says how well the classifier tells the slice's own rows apart, None with fewer than 5 of a side
    """
    names = [name for name in reference if name in new]
    sizes = [len(next(iter(side.values()), [])) for side in (reference, new)]
    counts = [np.array([int(side[name].sum()) for name in names], dtype=int) for side in (reference, new)]
    adjusted = holm(list(exact_p(*counts, *sizes))) if names else []
    return [
        {
            "slice": name,
            "reference": float(counts[0][i] / max(sizes[0], 1)),
            "new": float(counts[1][i] / max(sizes[1], 1)),
            "p_holm": float(adjusted[i]),
            "auc": told and slice_auc(told, reference[name], new[name]),
        }
        for i, name in enumerate(names)
    ]


def slice_auc(
    told: Told,  # what the classifier found
    reference: np.ndarray,  # whether each reference row is in the slice
    new: np.ndarray,  # the same of the new rows
) -> float | None:
    "Return the AUC within one slice, None with fewer than 5 rows of a side"
    inside = np.concatenate([reference[told.reference], new[told.new]]).astype(bool)
    is_new = np.repeat([False, True], [len(told.reference), len(told.new)])[inside]
    if min(is_new.sum(), (~is_new).sum()) < 5:
        return None
    return float(classifier_auc(told.scores[inside], is_new[None])[0])


def count_characters(
    texts: list[str],  # any
) -> dict[str, np.ndarray]:
    "Return kind -> its share of the characters of each text (texts,)"
    some = [text[:MOST_CHARACTERS] for text in texts]
    return {
        name: np.array([sum(map(is_kind, text)) / max(len(text), 1) for text in some])
        for name, is_kind in CHARACTERS.items()
    }


def detectable_gap(
    reference: int,  # rows
    new: int,  # rows
    level: float = 0.05,  # of the test
    power: float = POWER,  # chance of finding it
) -> float:
    "Return by how much a share near one half has to move to be found: by 0.2, from 50 % to 70 %. At most 1"
    width = norm.ppf(1 - level / 2) + norm.ppf(power)
    return float(min(1.0, width * 0.5 * np.sqrt(1 / reference + 1 / new)))
