"""Texts that come again: the same, the same but for case, spaces, addresses and @names, or nearly the same.

Duplicates inside the training rows count one text several times. Duplicates of training rows among the test rows are a
leak: the model has seen the answer.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ftkit.checks.near import find_near
from ftkit.checks.texts import is_blank

KINDS = ("exact", "normalised", "near")  # the closest first
MOST_COMPARED = 100_000  # texts that are compared for near duplicates; of more, a sample


def normalise(
    text: str,  # any text
) -> str:
    """Return a text as its duplicates have it: NFKC, lower case, single spaces, placeholders for addresses and @names.

    A text of nothing but addresses and @names keeps them: two links to two pages are two texts.
    """
    text = " ".join((text if text.isascii() else unicodedata.normalize("NFKC", text)).lower().split())
    if "@" not in text and "http" not in text and "www." not in text:
        return text
    reduced = re.sub(r"https?://\S+|www\.\S+", "<url>", text)
    reduced = re.sub(r"@\w+", "<user>", reduced)
    rest = reduced.replace("<url>", "").replace("<user>", "")
    return reduced if any(c.isalnum() for c in rest) else text


@dataclass
class Repeats:
    "Rows whose text comes again, each under its closest kind, with the row that it repeats"

    duplicates: dict[str, dict[int, int]]  # kind -> training row -> another training row
    leaks: dict[str, dict[int, int]]  # kind -> test row -> training row
    compared: int  # different texts that were compared for near duplicates
    texts: int  # different texts
    complete: bool = True  # False if so many texts are alike that not all near duplicates were compared

    def count(self) -> tuple[dict[str, int], dict[str, int]]:
        "Return the number of duplicates and of leaks by kind"
        return tuple({kind: len(rows[kind]) for kind in KINDS} for rows in (self.duplicates, self.leaks))


def find_repeats(
    train: list,  # texts; what is no text is passed over
    test: list | None = None,  # texts
    most_compared: int = MOST_COMPARED,  # different texts: of more, near duplicates are looked for in a sample
) -> Repeats:
    "Return the training rows that have a duplicate, and the test rows that are training rows too"
    sides = [Side(train), Side(test or [])]
    found = Repeats({kind: {} for kind in KINDS}, {kind: {} for kind in KINDS}, 0, 0)
    for kind in ("exact", "normalised"):
        keys, others = (getattr(side, kind) for side in sides)
        order = np.argsort(keys, kind="stable")
        known, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
        first, several = sides[0].rows[order[starts]], counts > 1
        second = sides[0].rows[order[np.minimum(starts + 1, max(len(order) - 1, 0))]]
        for rows, sought, kinds in ((sides[0].rows, keys, found.duplicates), (sides[1].rows, others, found.leaks)):
            place = np.minimum(np.searchsorted(known, sought), max(len(known) - 1, 0))
            hit = known[place] == sought if len(known) else np.zeros(len(sought), bool)
            hit &= several[place] if kinds is found.duplicates and len(known) else True
            for i, j, k in zip(rows[hit].tolist(), first[place[hit]].tolist(), second[place[hit]].tolist()):
                if not is_found(kinds, i):
                    kinds[kind][i] = k if kinds is found.duplicates and i == j else j
    add_near(found, sides, most_compared)
    return found


class Side:
    "The rows of one split that have a text, and the hashes of their texts: a million texts are held once"

    def __init__(
        self,
        texts: list,  # what is no text is passed over
    ):
        kept = [i for i, text in enumerate(texts) if isinstance(text, str) and not is_blank(text)]
        self.texts, self.rows = texts, np.array(kept, np.int64)
        self.exact = np.fromiter((hash(texts[i]) for i in kept), np.int64, len(kept))
        self.normalised = np.fromiter((hash(normalise(texts[i])) for i in kept), np.int64, len(kept))


def is_found(
    rows: dict[str, dict[int, int]],  # kind -> row -> the row that it repeats
    row: int,  # of the same split
) -> bool:
    "Return whether a row stands under a kind already"
    return any(row in found for found in rows.values())


def add_near(
    found: Repeats,  # is added to
    sides: list[Side],  # the training rows and the test rows
    most_compared: int,  # different texts
) -> None:
    "Add the near duplicates of rows that have no closer one"
    keys = np.concatenate([side.normalised for side in sides])
    where = np.concatenate([np.full(len(side.rows), i) for i, side in enumerate(sides)])
    rows = np.concatenate([side.rows for side in sides])
    different, first = np.unique(keys, return_index=True)  # the first is a training row, if there is one
    different, first = different[np.argsort(first)], np.sort(first)  # hashes have another order in each process
    found.texts = len(different)
    if len(different) > most_compared:
        chosen = np.sort(np.random.default_rng(42).choice(len(different), most_compared, replace=False))
        different, first = different[chosen], first[chosen]
    found.compared = len(different)
    texts = [normalise(sides[where[i]].texts[rows[i]]) for i in first]
    near: dict[int, list[int]] = {}
    pairs = find_near(texts)
    found.complete = pairs.complete
    for a, b in pairs.pairs.tolist():
        near.setdefault(int(different[a]), []).append(int(first[b]))
        near.setdefault(int(different[b]), []).append(int(first[a]))
    for side, kinds in zip(sides, (found.duplicates, found.leaks)):
        for i, key in zip(side.rows.tolist(), side.normalised.tolist()):
            others = [place for place in near.get(key, ()) if where[place] == 0]
            if others and not is_found(kinds, i):
                kinds["near"][i] = int(rows[others[0]])


def find_conflicts(
    texts: list,  # one a row
    labels: list,  # one a row
    repeated: Iterable[int] | None = None,  # the rows that have an exact duplicate, if they are known
) -> dict[str, Counter]:
    "Return the texts that have more than one label: text -> label -> rows"
    found: dict[str, Counter] = {}
    for i in range(len(texts)) if repeated is None else sorted(repeated):
        if isinstance(texts[i], str) and isinstance(labels[i], str) and not is_blank(texts[i]):
            found.setdefault(texts[i], Counter())[labels[i]] += 1
    return {text: names for text, names in found.items() if len(names) > 1}


def find_alike_conflicts(
    duplicates: dict[str, dict[int, int]],  # of `Repeats`: kind -> row -> the row that it repeats
    labels: list,  # one a row
) -> list[tuple[int, int]]:
    "Return pairs of rows whose texts differ in spelling or in a few words, and whose labels differ"
    pairs = {
        (min(i, j), max(i, j))
        for kind in ("normalised", "near")
        for i, j in duplicates[kind].items()
        if isinstance(labels[i], str) and isinstance(labels[j], str) and labels[i] != labels[j]
    }
    return sorted(pairs)


def find_oversampled(
    texts: list,  # one a row
    labels: list,  # one a row
    repeated: Iterable[int],  # the rows that have an exact duplicate
    share: float = 0.3,  # of a label's rows that are copies, from which it counts as oversampled
) -> dict[str, tuple[int, int]]:
    "Return the labels of which many rows are copies of one another: label -> (copies, rows)"
    rows = Counter(label for label in labels if isinstance(label, str))
    repeated = [i for i in repeated if isinstance(labels[i], str)]
    copies = Counter(labels[i] for i in repeated)
    copies.subtract(label for label, _ in {(labels[i], texts[i]) for i in repeated})
    return {label: (copies[label], rows[label]) for label in rows if copies[label] >= max(10, share * rows[label])}


def group_repeats(
    texts: list,  # one a row; what is no text is alone
    kind: str,  # exact, normalised or near: what counts as the same text
) -> list[int]:
    "Return the first row that each row repeats, directly or through others; its own number if there is none"
    keys = [text if not isinstance(text, str) or kind == "exact" else normalise(text) for text in texts]
    first: dict[str, int] = {}
    group = [
        first.setdefault(key, i) if isinstance(key, str) and not is_blank(key) else i for i, key in enumerate(keys)
    ]
    if kind != "near":
        return group
    names, root = list(first), {i: i for i in first.values()}

    def find(i):
        while root[i] != i:
            root[i] = i = root[root[i]]
        return i

    for a, b in find_near(names).pairs.tolist():
        low, high = sorted((find(first[names[a]]), find(first[names[b]])))
        root[high] = low
    return [find(i) if i in root else i for i in group]
