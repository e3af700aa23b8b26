"""Rows that were made from a template: many texts that differ in a word or two.

A model learns the template. On texts that were written without it, it is worse than its score says.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import islice

from ftkit.checks.duplicates import normalise

WORDS = 4  # in a row, that texts of one template share
FEWEST = 5  # different texts of a template
COVERED = 0.5  # share of a text's words that stand in shared sequences, from which it was made from a template
MOST_TEXTS = 100_000  # texts that are examined: of more, the first


@dataclass(frozen=True)
class Template:
    "Rows that were made from one template"

    text: str  # the words that most of its rows share, … for the others
    rows: tuple[int, ...]  # from 0


def find_templates(
    texts: list,  # one a row; what is no text is passed over
) -> list[Template]:
    "Return the templates that several texts were made from, the most frequent first"
    rows: dict[str, list[int]] = {}
    for i, text in islice(enumerate(texts), MOST_TEXTS):
        if isinstance(text, str) and len(text.split()) > WORDS:
            rows.setdefault(normalise(text), []).append(i)
    words = {text: text.split() for text in rows}
    counts: Counter = Counter()
    for parts in words.values():
        counts.update(set(sequences(parts)))
    groups: dict[tuple, list[str]] = {}
    for text, parts in words.items():
        shared = [seq for seq in sequences(parts) if counts[seq] >= FEWEST]
        if shared and share_covered(parts, counts) >= COVERED:
            groups.setdefault(max(shared, key=lambda seq: (counts[seq], seq)), []).append(text)
    found = [
        Template(
            describe_template([words[text] for text in members]), tuple(i for text in members for i in rows[text])
        )
        for members in groups.values()
        if len(members) >= FEWEST
    ]
    return sorted(found, key=lambda template: (-len(template.rows), template.text))


def sequences(
    parts: list[str],  # the words of a text
) -> list[tuple[str, ...]]:
    "Return all sequences of so many words"
    return list(zip(*(parts[i:] for i in range(WORDS))))


def share_covered(
    parts: list[str],  # the words of a text
    counts: Counter,  # sequence -> texts that have it
) -> float:
    "Return the share of a text's words that stand in a sequence that several texts share, 0 to 1"
    covered = set()
    for start, seq in enumerate(sequences(parts)):
        if counts[seq] >= FEWEST:
            covered.update(range(start, start + WORDS))
    return len(covered) / len(parts)


def describe_template(
    members: list[list[str]],  # the words of its texts
) -> str:
    "Return the words of the first text that most of the others have too, … in place of the rest"
    counts = Counter(word for parts in members for word in set(parts))
    kept = [word if counts[word] >= 0.8 * len(members) else "…" for word in members[0]]
    return " ".join(word for i, word in enumerate(kept) if word != "…" or kept[i - 1 : i] != ["…"])
