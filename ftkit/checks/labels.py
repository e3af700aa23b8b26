"Labels: names that are spelled differently and mean the same, names that stand for nothing, several labels in a row."

import re
import unicodedata
from collections import Counter
from decimal import Decimal
from functools import lru_cache

from ftkit.errors import escape_controls

MISSING = (  # without spaces and punctuation
    "nan none null na nil nat undefined missing empty blank notavailable notapplicable nolabel "
    "unlabeled unlabelled todo tbd"
).split()
AROUND = re.compile(r"^(=?[\"'“”‘’«»]*)(.*?\w)[.,;:]?[\"'“”‘’«»]*[.,;:]?$", re.DOTALL)
PLAIN_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?")  # 007 is a code


@lru_cache(10_000)
def label_key(
    name: str,  # a label as it was read
) -> str:
    """Return what two spellings of one label share.

    That is the name in NFKC without case, spaces, invisible characters, quotes around it or a stop at its end; numbers
    count by their value.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    text = "".join(c for c in text if not c.isspace() and unicodedata.category(c) not in ("Cc", "Cf"))
    text = AROUND.sub(r"\2", text)
    return str(Decimal(text).normalize() + 0) if PLAIN_NUMBER.fullmatch(text) else text


def join_spellings(
    labels: list[str],  # one a row
) -> tuple[dict[str, str], list[str]]:
    "Return spelling -> label (the most frequent spelling), and a note for each label that was spelled in several ways"
    groups: dict[str, Counter] = {}
    for name, count in Counter(labels).items():
        groups.setdefault(label_key(name), Counter())[name] = count
    spelling, notes = {}, []
    for spellings in groups.values():
        chosen = max(spellings, key=lambda name: (spellings[name], -len(name), name))
        spelling |= dict.fromkeys(spellings, chosen)
        if len(spellings) > 1:
            counts = ", ".join(f"'{escape_controls(n)}' ({c})" for n, c in spellings.most_common())
            notes.append(f"{counts} were read as one label, '{escape_controls(chosen)}'")
    return spelling, notes


def is_missing(
    name: str,  # of a label
    has_plus: bool,  # whether + is a label too, so that - is one
) -> bool:
    "Return whether a name stands for a missing value: a word such as n/a or (none), or nothing but punctuation"
    word = "".join(c for c in label_key(name) if unicodedata.category(c)[0] not in "PS")
    if not word and has_plus:
        return False
    return word in MISSING or all(unicodedata.category(c)[0] == "P" or c in "<>|~" for c in label_key(name))


def find_empty_names(
    labels: dict[str, int],  # name -> rows
    column: str,  # the name of the label column
) -> list[str]:
    "Return a note for each label whose name stands for a missing value or repeats the column's name"
    notes = []
    for name, count in labels.items():
        if is_missing(name, "+" in labels):
            value = f"{name}," if name.lower() == "none" else name
            notes.append(
                f"{count} rows have the label '{name}', which usually stands for a missing value; "
                f"to leave them out write ignore_labels = {value}"
            )
        elif label_key(name) == label_key(column):
            notes.append(f"{count} rows have the label '{name}', the name of the column: is a header line repeated?")
    return notes
