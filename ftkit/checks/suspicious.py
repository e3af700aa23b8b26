"""Labels that are probably wrong: cheap models, asked about rows that they have not seen, are sure of another one.

One reads words. With up to `MOST_EMBEDDED` rows, another reads the vectors of the starter's model, and counts twice.
This is confident learning (Northcutt, Jiang and Chuang, 2021) with one change: rows are ranked by how much more likely
the other label is, which found more planted errors in tweets than the difference of the two probabilities.
"""

import math
import random
import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ftkit.checks.duplicates import normalise
from ftkit.checks.embeddings import embed
from ftkit.checks.near import make_shingles
from ftkit.checks.texts import is_blank

EFFORT = {True: (10, 20), False: (5, 5)}  # few rows or many: folds, and passes over the rows of each model
MANY = 10_000  # rows, from which a model sees enough of them with less effort
FEWEST = 10  # different texts of a label, of which each fold needs some
MOST_ROWS = 100_000  # of more, a sample is examined
MOST_SCORES = 3_000_000  # rows times labels: with many labels, fewer rows are examined
MOST_EMBEDDED = 3_000  # rows whose vectors are computed: up to seven CPU seconds for a thousand posts
MOST_WEIGHED = 300_000  # rows times labels, the same: half a minute with 150 labels
ODDS = 11  # how many times as likely the other label has to be: bench/doctor.json has what that finds
ODDS_EMBEDDED = 8  # the same, where vectors have a say
MOST_LABELS = 20  # of several a row, the most frequent are examined
RARE = 4  # a shingle that fewer texts have is left out


@dataclass(frozen=True)
class Suspicion:
    "A label that is probably wrong"

    row: int  # from 0
    given: str  # the label of the row
    other: str  # the label that is more likely
    odds: float  # how many times as likely


@dataclass(frozen=True)
class Unlikely:
    "A label of several that is probably wrong, or missing"

    row: int  # from 0
    label: str  # that is in question
    given: bool  # whether the row has it
    odds: float  # how many times as likely the opposite


def find_unlikely(
    texts: list,  # one a row; what is no text is passed over
    lists: list,  # the labels of each row, None if they are unknown
    names: list[str],  # labels, the most frequent first
    odds: float = ODDS,  # how many times as likely the opposite has to be
    most_rows: int = MOST_ROWS,  # of more, a sample is examined
    seed: int = 42,  # of folds and sample
) -> list[Unlikely]:
    """Return the labels that are probably wrong or missing, the most probable first.

    Each label is a question of its own. What its share of the rows alone makes likely counts for nothing: else every
    row of a rare label would be suspicious
    """
    rows = [i for i, text in enumerate(texts) if isinstance(text, str) and not is_blank(text) and lists[i] is not None]
    names = names[:MOST_LABELS]
    most_rows = min(most_rows, MOST_SCORES // max(4 * len(names), 1))  # a model for each label
    if len(rows) > most_rows:
        rows = sorted(random.Random(seed).sample(rows, most_rows))
    normal, found = [normalise(texts[i]) for i in rows], []
    features = make_features(normal) if rows else None
    for name in names:
        has = np.array([name in lists[i] for i in rows], dtype=int)
        counts = [len({text for text, h in zip(normal, has) if h == side}) for side in (0, 1)]
        if min(counts) < FEWEST:
            continue
        scores = calibrate(cross_validate(normal, has, 2, seed, features), has)
        prior = np.log(np.bincount(has, minlength=2) / len(has))
        places = np.arange(len(rows))
        gaps = scores[places, 1 - has] - scores[places, has] - np.maximum(prior[1 - has] - prior[has], 0)
        found += [
            Unlikely(rows[i], name, bool(has[i]), float(np.exp(min(gaps[i], 20.0))))
            for i in np.flatnonzero(gaps >= math.log(odds))
        ]
    return sorted(found, key=lambda u: (-u.odds, u.row))


def find_suspicious(
    texts: list,  # one a row; what is no text is passed over
    labels: list,  # one a row
    odds: float | None = None,  # how many times as likely the other label has to be; default: as measured
    most_rows: int = MOST_ROWS,  # of more, a sample is examined
    seed: int = 42,  # of folds and sample
) -> list[Suspicion]:
    "Return the rows whose label is probably wrong, the most probable first"
    rows = [
        i
        for i, (text, label) in enumerate(zip(texts, labels))
        if isinstance(text, str) and not is_blank(text) and isinstance(label, str)
    ]
    most_rows = min(most_rows, MOST_SCORES // max(len({labels[i] for i in rows}), 1))
    if len(rows) > most_rows:
        rows = sorted(random.Random(seed).sample(rows, most_rows))
    normal = {i: normalise(texts[i]) for i in rows}
    counts = Counter(label for _, label in {(normal[i], labels[i]) for i in rows})
    rows = [i for i in rows if counts[labels[i]] >= FEWEST]
    names = sorted({labels[i] for i in rows})
    if len(names) < 2:
        return []
    given = np.array([names.index(labels[i]) for i in rows])
    few = len(rows) <= MOST_EMBEDDED and len(rows) * len(names) <= MOST_WEIGHED
    vectors = embed([texts[i] for i in rows]) if few else None
    scores = judge_labels([normal[i] for i in rows], vectors, given, len(names), seed)
    odds = odds or (ODDS if vectors is None else ODDS_EMBEDDED)
    own = scores[np.arange(len(rows)), given].copy()
    scores[np.arange(len(rows)), given] = -np.inf
    gaps = scores.max(1) - own
    chosen = np.argsort(-gaps, kind="stable")[: int((gaps >= math.log(odds)).sum())]
    return [
        Suspicion(rows[i], names[given[i]], names[scores[i].argmax()], float(np.exp(min(gaps[i], 20.0))))
        for i in chosen
    ]


def judge_labels(
    texts: list[str],  # normalised
    vectors: np.ndarray | None,  # of the same texts (texts, width)
    given: np.ndarray,  # (texts,) label ids
    labels: int,  # how many there are
    seed: int,  # of the folds
) -> np.ndarray:
    "Return how likely each label is without a look at the given one: log probabilities (texts, labels)"
    scores = calibrate(cross_validate(texts, given, labels, seed), given)
    if vectors is None:
        return scores
    known = calibrate(cross_validate(texts, given, labels, seed, scale(vectors), dense=True), given)
    return calibrate(known + scores / 2, given)


def make_features(
    texts: list[str],  # normalised
):
    "Return words and 5-character shingles as TF-IDF features, a sparse matrix (texts, features)"
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer

    every, texts = texts, list(dict.fromkeys(texts))
    words = TfidfVectorizer(
        sublinear_tf=True, token_pattern=r"\w+|[^\w\s]+", lowercase=False, dtype=np.float32
    ).fit_transform(texts)
    shingles = make_shingles(tuple(texts))
    frequent = np.bincount(shingles.tokens, minlength=shingles.kinds) >= RARE
    kept = frequent[shingles.tokens]
    rows = np.repeat(np.arange(len(texts)), shingles.sizes)[kept]
    places = (np.cumsum(frequent) - 1)[shingles.tokens[kept]]
    counts = csr_matrix((np.ones(len(rows), np.float32), (rows, places)), shape=(len(texts), int(frequent.sum())))
    found = hstack([words, TfidfTransformer().fit_transform(counts)] if frequent.any() else [words]).tocsr()
    place = {text: i for i, text in enumerate(texts)}
    return found if len(texts) == len(every) else found[[place[text] for text in every]]


def scale(
    vectors: np.ndarray,  # (texts, width)
) -> np.ndarray:
    "Return the vectors with a mean of 0 and the same spread in every place, and a length of about 1 (texts, width)"
    centred = vectors - vectors.mean(0)
    return centred / np.maximum(centred.std(0), 1e-6) / vectors.shape[1] ** 0.5


def cross_validate(
    texts: list[str],  # normalised
    given: np.ndarray,  # (texts,) label ids
    labels: int,  # how many there are
    seed: int,  # of the folds
    features=None,  # of the texts, if they are known
    dense: bool = False,  # whether they are vectors, not counts
) -> np.ndarray:
    """Return log probabilities (texts, labels), each from a model that was not trained on that text.

    Duplicates share a fold: else a model would have seen the label that it is asked about.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    number, passes = EFFORT[len(texts) < MANY and not dense]
    features = make_features(texts) if features is None else features
    scores = np.zeros((len(texts), labels))
    folds = make_folds(texts, given, number, seed)
    for fold in range(number):
        held_out = folds == fold
        if not held_out.any():
            continue
        if dense:
            model = LogisticRegression(C=1.0, tol=1e-3)
        else:
            model = LogisticRegression(C=0.5, solver="saga", tol=1e-2, max_iter=passes, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a few passes are enough
            model.fit(features[~held_out], given[~held_out])
        part = np.full((int(held_out.sum()), labels), -50.0)  # a label that this model has not seen
        part[:, model.classes_] = model.predict_log_proba(features[held_out])
        scores[held_out] = part
    return scores


def make_folds(
    texts: list[str],  # normalised
    given: np.ndarray,  # (texts,) label ids
    number: int,  # of folds
    seed: int,  # of the order
) -> np.ndarray:
    "Return the fold of each text (texts,): each label is spread evenly, duplicates share a fold"
    first: dict[str, int] = {}
    for i, text in enumerate(texts):
        first.setdefault(text, i)
    order = list(first.values())
    random.Random(seed).shuffle(order)
    turn, fold = Counter(), {}
    for i in order:
        fold[texts[i]] = turn[given[i]] % number
        turn[given[i]] += 1
    return np.array([fold[text] for text in texts])


def calibrate(
    scores: np.ndarray,  # (texts, labels) log probabilities
    given: np.ndarray,  # (texts,) label ids
) -> np.ndarray:
    "Return log probabilities divided by the temperature at which the given labels are most likely"
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    rows = np.arange(len(given))
    loss = lambda power: -log_softmax(scores * np.exp(power), axis=1)[rows, given].mean()
    best = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x
    return log_softmax(scores * np.exp(best), axis=1)
