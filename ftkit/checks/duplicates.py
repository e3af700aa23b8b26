"""Texts that come again: the same, the same but for case, spaces, addresses and @names, or nearly the same.

Duplicates inside the training rows count one text several times. Duplicates of training rows among the test rows are a
leak: the model has seen the answer.
"""

import random
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

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

    def count(self) -> tuple[dict[str, int], dict[str, int]]:
        "Return the number of duplicates and of leaks by kind"
        return tuple({kind: len(rows[kind]) for kind in KINDS} for rows in (self.duplicates, self.leaks))


def find_repeats(
    train: list,  # texts; what is no text is passed over
    test: list | None = None,  # texts
    most_compared: int = MOST_COMPARED,  # different texts: of more, near duplicates are looked for in a sample
) -> Repeats:
    "Return the training rows that have a duplicate, and the test rows that are training rows too"
    sides = [
        {i: text for i, text in enumerate(texts) if isinstance(text, str) and not is_blank(text)}
        for texts in (train, test or [])
    ]
    normal = [{i: normalise(text) for i, text in rows.items()} for rows in sides]
    found = Repeats({kind: {} for kind in KINDS}, {kind: {} for kind in KINDS}, 0, 0)
    for kind, (rows, others) in {"exact": sides, "normalised": normal}.items():
        first, second = index_twice(rows)
        for i, text in rows.items():
            if text in second and not is_found(found.duplicates, i):
                found.duplicates[kind][i] = first[text] if first[text] != i else second[text]
        for i, text in others.items():
            if text in first and not is_found(found.leaks, i):
                found.leaks[kind][i] = first[text]
    add_near(found, normal, most_compared)
    return found


def index_twice(
    rows: dict[int, str],  # row -> text
) -> tuple[dict[str, int], dict[str, int]]:
    "Return the first and the second row of each text"
    first, second = {}, {}
    for i, text in rows.items():
        if first.setdefault(text, i) != i:
            second.setdefault(text, i)
    return first, second


def is_found(
    rows: dict[str, dict[int, int]],  # kind -> row -> the row that it repeats
    row: int,  # of the same split
) -> bool:
    "Return whether a row stands under a kind already"
    return any(row in found for found in rows.values())


def add_near(
    found: Repeats,  # is added to
    normal: list[dict[int, str]],  # row -> normalised text, of the training rows and of the test rows
    most_compared: int,  # different texts
) -> None:
    "Add the near duplicates of rows that have no closer one"
    texts = list(dict.fromkeys(text for rows in reversed(normal) for text in rows.values()))  # test rows first
    found.texts = len(texts)
    if len(texts) > most_compared:
        texts = random.Random(42).sample(texts, most_compared)
    found.compared = len(texts)
    near: dict[str, list[str]] = {}
    for a, b in find_near(texts).pairs.tolist():
        near.setdefault(texts[a], []).append(texts[b])
        near.setdefault(texts[b], []).append(texts[a])
    first, _ = index_twice(normal[0])
    for rows, kinds in zip(normal, (found.duplicates, found.leaks)):
        for i, text in rows.items():
            others = [first[other] for other in near.get(text, ()) if other in first]
            if others and not is_found(kinds, i):
                kinds["near"][i] = others[0]


def find_conflicts(
    texts: list,  # one a row
    labels: list,  # one a row
) -> dict[str, Counter]:
    "Return the texts that have more than one label: text -> label -> rows"
    found: dict[str, Counter] = {}
    for text, label in zip(texts, labels):
        if isinstance(text, str) and isinstance(label, str) and not is_blank(text):
            found.setdefault(text, Counter())[label] += 1
    return {text: names for text, names in found.items() if len(names) > 1}


def find_oversampled(
    texts: list,  # one a row
    labels: list,  # one a row
    share: float = 0.3,  # of a label's rows that are copies, from which it counts as oversampled
) -> dict[str, tuple[int, int]]:
    "Return the labels of which many rows are copies of one another: label -> (copies, rows)"
    rows, different = Counter(), {}
    for text, label in zip(texts, labels):
        if isinstance(text, str) and isinstance(label, str):
            rows[label] += 1
            different.setdefault(label, set()).add(text)
    copies = {label: count - len(different[label]) for label, count in rows.items()}
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
