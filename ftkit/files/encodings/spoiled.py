"""Texts that were spoiled before they were saved: UTF-8 read as another encoding, lost characters, UTF-7, bytes.

The bytes of such a file are valid, so no reader stumbles over them. They are read as they are, and noted.
"""

import re
from collections.abc import Callable, Iterable
from functools import partial

LATIN = {bytes([b]).decode("cp1252", "ignore") or chr(b): b for b in range(0x80, 0x100)} | {
    chr(b): b for b in range(0x80, 0x100)
}  # character -> byte: cp1252, and Latin-1 for what cp1252 lacks
CYRILLIC = {bytes([b]).decode("cp1251", "ignore") or chr(b): b for b in range(0x80, 0x100)}
FOLLOWS = "\xa0»›’”“‘–—…•"  # continuation bytes that also follow an honest capital letter: MANHÃ», É\xa0!


def continue_with(
    table: dict[str, int],  # character -> byte
    without: str = "",  # characters that do not count
) -> str:
    "Return the class of characters that are continuation bytes of UTF-8"
    return "[" + "".join(re.escape(c) for c, b in table.items() if b < 0xC0 and c not in without) + "]"


SEVERAL = continue_with(LATIN)
DOUBLY = re.compile(
    f"[ÃÂ]{continue_with(LATIN, FOLLOWS)}|â€{SEVERAL}|ðŸ{SEVERAL}{{2}}|(?:[ÃÂÄÅÐÑÎÏØÙ×]{SEVERAL}){{3,}}"
    f"|(?:[ã-é]{SEVERAL}{{2}}){{2,}}|(?:[РС]{continue_with(CYRILLIC)}){{3,}}"
)
SUSPECT = re.compile(f"[Â-ôРС×]{continue_with(LATIN | CYRILLIC)}|\ufffd")  # a quick look: most texts hold none
SEVEN = re.compile(r"\+[A-Za-z0-9/]{3,}-")


def note_spoiled(
    columns: Iterable[list],  # of a table
) -> list[str]:
    "Return a note for each kind of spoiled text, with the number of values and an example"
    kinds = {
        "look like UTF-8 that was read as another encoding": find_doubly,
        "hold U+FFFD, the mark of a lost character": find_lost,
        "look like UTF-7": find_seven,
        "look like bytes that Python printed": find_bytes,
    }
    counts, examples = dict.fromkeys(kinds, 0), {}
    for values in columns:
        for value in values:
            if not isinstance(value, str) or not is_suspect(value):
                continue
            for kind, find in kinds.items():
                if example := find(value):
                    counts[kind] += 1
                    examples.setdefault(kind, example)
    return [
        f"{count:,} {'value' if count == 1 else 'values'} {kind}, such as {examples[kind]}: export the source as UTF-8"
        for kind, count in counts.items()
        if count
    ]


def is_suspect(
    text: str,  # of a row
) -> bool:
    "Return whether a text is worth a closer look. Most are not"
    if text.isascii():
        return "+" in text or text[:1] == "b"
    return SUSPECT.search(text) is not None or text[:1] == "b"


def find_doubly(
    text: str,  # of a row
) -> str | None:
    "Return an example of UTF-8 that was read as another encoding, with its repair, or None"
    for found in () if text.isascii() else DOUBLY.finditer(text):
        if decode_again(found) != found[0]:
            return show_word(text, found, lambda word: DOUBLY.sub(decode_again, word))
    return None


def decode_again(
    found: re.Match,  # of `DOUBLY`
) -> str:
    "Return what the bytes of a place are in UTF-8, or the place as it is"
    table = CYRILLIC if found[0][0] in "РС" else LATIN
    try:
        return bytes(table[c] for c in found[0]).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return found[0]


def find_lost(
    text: str,  # of a row
) -> str | None:
    "Return an example of a lost character, or None"
    found = re.search("\ufffd", text)
    return show_word(text, found) if found else None


def find_seven(
    text: str,  # of a row
) -> str | None:
    "Return an example of UTF-7, with what it says, or None"
    for found in SEVEN.finditer(text) if text.isascii() else ():
        try:
            right = found[0].encode().decode("utf-7")
        except UnicodeDecodeError:
            continue
        if right.isalpha() and not right.isascii() and ord(max(right)) < 0x530:  # Latin, Greek, Cyrillic
            return show_word(text, found, partial(SEVEN.sub, right))
    return None


def find_bytes(
    text: str,  # of a row
) -> str | None:
    "Return the beginning of bytes as Python prints them, or None"
    return f"{text[:20]}…" if text[:2] in ("b'", 'b"') and text[1] == text[-1] and len(text) > 3 else None


def show_word(
    text: str,  # of a row
    found: re.Match,  # a place in it
    repair: Callable[[str], str] | None = None,  # of the word
) -> str:
    "Return the word around a place, and what it should be"
    before = re.search(r"[^\s,;]{0,12}\Z", text[max(0, found.start() - 12) : found.start()])[0]
    after = re.match(r"[^\s,;]{0,12}", text[found.end() : found.end() + 12])[0]
    word = before + found[0][:20] + after
    return f"'{word}'" + (f" ('{repair(word)}')" if repair else "")
