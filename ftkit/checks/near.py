"""Near duplicates: all pairs of texts whose sets of 5-character shingles have a Jaccard similarity of 0.7 or more.

The search is exact. Two sets that are so alike share at least one of their rarest shingles, so only texts that share
such a shingle are compared: the prefix filter of Bayardo, Ma and Srikant, "Scaling up all
pairs similarity search" (2007).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

SHINGLE = 5  # characters
THRESHOLD = 0.7  # Jaccard similarity of two sets, 0 to 1
LONGEST_LIST = 100  # texts that share a rare shingle: of more, each is compared with its neighbours in length
MOST_LOOKUPS = 30_000_000  # shingles that are looked up, some seconds of work: of more, the closest pairs in length
CHUNK = 3_000_000  # shingles that are looked up at a time


@dataclass
class Shingles:
    "The shingles of some texts, each once in a text, the rarest first"

    tokens: np.ndarray  # (shingles of all texts,) ranks: 0 is the rarest of all
    starts: np.ndarray  # (texts + 1,) where the shingles of a text begin
    kinds: int  # different shingles

    @property
    def sizes(self) -> np.ndarray:
        "Return the number of shingles of each text (texts,)"
        return np.diff(self.starts)


def shingle_set(
    text: str,  # normalised
) -> set[str]:
    "Return the shingles of a text; of a text that is shorter than one, the text"
    return {text[i : i + SHINGLE] for i in range(len(text) - SHINGLE + 1)} or {text}


def jaccard(
    a: str,  # normalised
    b: str,  # normalised
) -> float:
    "Return the Jaccard similarity of two texts' shingles, 0 to 1"
    a, b = shingle_set(a), shingle_set(b)
    return len(a & b) / len(a | b)


@lru_cache(1)  # near duplicates and suspicious labels ask for the same texts
def make_shingles(
    texts: tuple[str, ...],  # normalised
) -> Shingles:
    "Return the shingles of texts as numbers. Two shingles have the same number only if they are the same"
    padded = [text.ljust(SHINGLE) for text in texts]
    lengths = np.array([len(text) for text in padded])
    ends = np.cumsum(lengths)
    letters = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32) + 1
    for i in np.flatnonzero(lengths == SHINGLE):  # what was added to a short text is no letter
        letters[ends[i] - SHINGLE + len(texts[i]) : ends[i]] = 0
    known = np.zeros(int(letters.max()) + 1, np.int64)
    known[letters] = 1
    letters, size = (np.cumsum(known) - 1)[letters], int(known.sum())
    inside = np.arange(len(letters)) + SHINGLE <= np.repeat(ends, lengths)
    inside = inside[: len(letters) - SHINGLE + 1]
    codes = letters
    for width in range(1, SHINGLE):  # a longer shingle is a shorter one and a letter
        if (int(codes.max()) + 1) * size >= 2**63:
            codes = np.unique(codes, return_inverse=True)[1]
        codes = codes[:-1] * size + letters[width:]
    rows = np.repeat(np.arange(len(texts)), lengths)[: len(codes)][inside]
    kinds, found = pd.factorize(codes[inside])  # a hash table: `np.unique` sorts, which takes six times as long
    rank = np.empty(len(found), np.int64)
    rank[np.argsort(np.bincount(kinds), kind="stable")] = np.arange(len(found))
    keys = sort_once(rows * len(found) + rank[kinds])
    starts = np.searchsorted(keys, np.arange(len(texts) + 1) * len(found))
    return Shingles(keys % len(found), starts, len(found))


def sort_once(
    keys: np.ndarray,  # numbers
) -> np.ndarray:
    "Return numbers in order, each once. `np.unique` counts them in a hash table, which takes ten times as long"
    keys = np.sort(keys)
    return keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys


def find_candidates(
    shingles: Shingles,  # of all texts
    threshold: float,  # of the Jaccard similarity
) -> tuple[np.ndarray, bool]:
    "Return pairs of texts that share a rare shingle (pairs, 2), the smaller number first, and whether all were taken"
    sizes = shingles.sizes
    prefix = sizes - np.ceil(threshold * sizes).astype(np.int64) + 1
    place = np.arange(len(shingles.tokens)) - np.repeat(shingles.starts[:-1], sizes)
    chosen = place < np.repeat(prefix, sizes)
    tokens, rows, place = shingles.tokens[chosen], np.repeat(np.arange(len(sizes)), sizes)[chosen], place[chosen]
    order = np.lexsort((sizes[rows], tokens))
    tokens, rows = tokens[order], rows[order]
    rest = (sizes[rows] - place[order]).astype(float)  # shingles from this one on
    found, complete, lookups = [], True, 0
    share = threshold / (1 + threshold) - 1e-9  # of both sizes, which they have in common
    for step in range(1, len(rows)):
        same = tokens[step:] == tokens[:-step]
        if not same.any():
            break
        if step > LONGEST_LIST or lookups > MOST_LOOKUPS:
            complete = False
            break
        a, b = rows[:-step][same], rows[step:][same]
        near = np.minimum(rest[:-step][same], rest[step:][same]) >= share * (sizes[a] + sizes[b])
        lookups += int(sizes[a[near]].sum())
        found.append(np.minimum(a, b)[near] * len(sizes) + np.maximum(a, b)[near])
    keys = sort_once(np.concatenate(found)) if found else np.empty(0, np.int64)
    return np.stack([keys // len(sizes), keys % len(sizes)], axis=1), complete


def count_common(
    shingles: Shingles,  # of all texts
    pairs: np.ndarray,  # (pairs, 2) numbers of texts
) -> np.ndarray:
    "Return how many shingles the two texts of each pair share (pairs,)"
    sizes, total = shingles.sizes, shingles.kinds
    keys = np.repeat(np.arange(len(sizes)), sizes) * total + shingles.tokens
    common = np.zeros(len(pairs), np.int64)
    size = max(1, int(CHUNK / max(sizes.mean(), 1)))
    for first in range(0, len(pairs), size):
        a, b = pairs[first : first + size].T
        counts = sizes[a]
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        wanted = np.repeat(b, counts) * total + shingles.tokens[np.repeat(shingles.starts[a], counts) + offsets]
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        hits = keys[places] == wanted
        common[first : first + size] = np.bincount(np.repeat(np.arange(len(a)), counts), hits, len(a))
    return common


@dataclass
class NearPairs:
    "Pairs of texts that are near duplicates"

    pairs: np.ndarray  # (pairs, 2) numbers of texts, the smaller one first
    similarity: np.ndarray  # (pairs,) Jaccard, threshold to 1
    complete: bool  # False if a shingle was in so many texts that not all of their pairs were compared


def find_near(
    texts: list[str],  # normalised, each once
    threshold: float = THRESHOLD,  # of the Jaccard similarity, above 0 to 1
) -> NearPairs:
    "Return all pairs of near duplicates"
    if len(texts) < 2:
        return NearPairs(np.empty((0, 2), np.int64), np.empty(0), True)
    shingles = make_shingles(tuple(texts))
    pairs, complete = find_candidates(shingles, threshold)
    common = count_common(shingles, pairs)
    union = shingles.sizes[pairs].sum(1) - common
    near = common >= math.nextafter(threshold, 0) * union
    return NearPairs(pairs[near], common[near] / union[near], complete)
