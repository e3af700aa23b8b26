"Labels: names that are spelled differently and mean the same, names that stand for nothing, several labels in a row."

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from difflib import SequenceMatcher
from functools import lru_cache

from ftkit.errors import escape_controls

ALIKE = 0.85  # similarity of two names, 0 to 1, from which they may be one
MOST_COMPARED = 300  # names
NEGATIONS = ("un", "non", "not", "in", "im", "dis", "il", "ir", "a", "anti", "no")
CONFUSABLE = str.maketrans(
    "аеорсухіјѕԁԛԝвнтмкοαενικτρυ0", "aeopcyxijsdqwbhtmkoaevikrpuo"
)  # Cyrillic and Greek letters as Latin ones
MISSING = (  # without spaces and punctuation
    "nan none null na nil nat undefined missing empty blank notavailable notapplicable nolabel "
    "unlabeled unlabelled todo tbd"
).split()
AROUND = re.compile(r"^((?:=|b(?=[\"']))?[\"'`“”‘’«»]*)(.*?\w)[.,;:]?[\"'`“”‘’«»]*[.,;:]?$", re.DOTALL)
QUOTED = re.compile(  # ="pos" is how Excel keeps a text a text, b'pos' how Python prints bytes
    r"[=b]?\"(.*)\"|b?'(.*)'|`(.*)`|“(.*)”|„(.*)“|‘(.*)’|«(.*)»|»(.*)«", re.DOTALL
)
YES_NO = [{"true", "false"}, {"1", "0"}, {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"on", "off"}]
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
        chosen = unquote(max(spellings, key=lambda name: (spellings[name], -len(name), name)))
        spelling |= dict.fromkeys(spellings, chosen)
        if len(spellings) > 1 or chosen not in spellings:
            counts = ", ".join(f"'{escape_controls(n)}' ({c})" for n, c in spellings.most_common())
            were = "were read as one label," if len(spellings) > 1 else "was read as the label"
            notes.append(f"{counts} {were} '{escape_controls(chosen)}'")
    return spelling, notes


def unquote(
    name: str,  # a label as it was read
) -> str:
    "Return a label without the quotes around it"
    found = QUOTED.fullmatch(name)
    inner = found[found.lastindex].strip() if found else ""
    return inner if inner and label_key(inner) == label_key(name) else name


def is_missing(
    name: str,  # of a label
    has_plus: bool,  # whether + is a label too, so that - is one
) -> bool:
    "Return whether a name stands for a missing value: a word such as n/a or (none), or nothing but punctuation"
    word = "".join(c for c in label_key(name) if unicodedata.category(c)[0] not in "PS")
    if not word and has_plus:
        return False
    return word in MISSING or all(unicodedata.category(c)[0] == "P" or c in "<>|~" for c in label_key(name))


def find_odd_names(
    labels: dict[str, int],  # name -> rows
    column: str,  # the name of the label column
) -> list[str]:
    "Return a note for each label that may not be meant as a class of its own"
    return find_empty_names(labels, column) + find_alike_names(labels)


def find_alike_names(
    labels: dict[str, int],  # name -> rows
) -> list[str]:
    "Return notes on labels that are two ways to write one value: True and 1, or 1,5 and 1.5"
    notes, keys = [], {label_key(name): name for name in labels}
    used = [pair for pair in YES_NO if pair & keys.keys()]
    if len(used) > 1 and keys.keys() <= set().union(*YES_NO):
        shown = ", ".join(f"'{name}'" for name in labels)
        notes.append(
            f"the labels {shown} look like one yes and no that are written in several ways, and were read as "
            f"{len(keys)} classes. Write them in one way"
        )
    for key, name in keys.items():
        if not re.fullmatch(r"[+-]?\d[\d,]*,\d+", key):
            continue
        alike = [keys[k] for k in map(label_key, (key.replace(",", "."), key.replace(",", ""))) if k in keys]
        if alike:
            notes.append(f"the labels '{name}' and '{alike[0]}' look like one number, and were read as two classes")
    return notes


def find_lone_names(
    labels: list,  # one a row
    number: Callable[[int], int],  # of a row in its file
    ignored: set[str],  # keys of the labels that are left out
) -> list[str]:
    "Return a note on labels that one row alone has: a second header, a total or a slip looks like that"
    keys = [label_key(name) if isinstance(name, str) else "" for name in labels]
    counts = Counter(keys)
    lone = [row for row, key in enumerate(keys) if key and counts[key] == 1 and key not in ignored]
    if not lone:
        return []
    shown = ", ".join(f"'{escape_controls(labels[row])[:40]}' (row {number(row)})" for row in lone[:3])
    what = f"{len(lone)} labels have" if len(lone) > 1 else "1 label has"
    return [
        f"{what} one row only: {shown}. Is it a second header, a total or a slip? To leave it out write "
        f"ignore_labels = {', '.join(labels[row] for row in lone[:3])}"
    ]


def find_unlike_labels(
    labels: list,  # of the validation or test rows, one a row
    known: set[str],  # the labels of the training rows
    split: str,  # validation or test
) -> list[dict]:
    "Return what a person should know of labels next to those of the training rows: what, count, examples and fix"
    if all(label is None for label in labels):
        return [{"what": f"the {split} rows have no labels and are left out", "count": len(labels)}]
    found = []
    if missing := sum(label is None for label in labels):
        found.append({"what": f"{split} rows without a label; they are dropped", "count": missing})
    keys = {label_key(name) for name in known}
    unknown = Counter(name for name in labels if isinstance(name, str) and label_key(name) not in keys)
    if unknown:
        fix = f"correct them, or ignore_labels = {', '.join(list(unknown)[:3])}"
        what = f"labels of the {split} rows that no training row has"
        found.append({"what": what, "count": len(unknown), "examples": list(unknown)[:3], "fix": fix})
    found += [{"what": note, "count": 1} for note in note_spellings(labels, known, split)]
    return found


def note_spellings(
    labels: list,  # of the validation or test rows
    known: set[str],  # the labels of the training rows, as they are spelled there
    split: str,  # validation or test
) -> list[str]:
    "Return a note for each label that is spelled in another way than in the training rows"
    by_key = {label_key(name): escape_controls(name) for name in known}
    counts = Counter(name for name in labels if isinstance(name, str) and name not in known)
    return [
        f"'{escape_controls(name)}' ({count}) in the {split} rows was read as '{by_key[label_key(name)]}'"
        for name, count in counts.items()
        if label_key(name) in by_key
    ]


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


def find_lookalikes(
    names,  # of all labels
) -> list[tuple[str, str]]:
    "Return pairs of labels that may be one: a typing error, a plural, letters of another script"
    found, names = [], sorted(names)[:MOST_COMPARED]
    keys = [label_key(name).translate(CONFUSABLE) for name in names]
    for i, a in enumerate(keys):
        for j in range(i + 1, len(keys)):
            b = keys[j]
            plural = min(a, b, key=len) + "s" == max(a, b, key=len)
            long = min(len(a), len(b)) > 4 and not any(c.isdigit() for c in a + b)
            if a == b or plural or long and SequenceMatcher(None, a, b).ratio() >= ALIKE and not is_negated(a, b):
                found.append((names[i], names[j]))
    return found


def is_negated(
    a: str,  # key of a label
    b: str,  # key of another
) -> bool:
    "Return whether one label is the other with a beginning that turns it around, such as un or non"
    short, long = sorted((a, b), key=len)
    return long.endswith(short) and long.removesuffix(short).strip("-_ ") in NEGATIONS
