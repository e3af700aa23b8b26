"What a reading costs in bits: rare pairs of letters, symbols inside words, capitals out of place."

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ftkit.files.encodings.letters import (
    ALPHABET,
    ANY,
    BOX,
    CANDIDATES,
    IDEOGRAPHS,
    LETTERS,
    MISS,
    NEAR,
    SAME,
    STRANGE,
    SYMBOLS,
    TABLE,
    UNUSUAL,
)

DEAREST = 12.5  # bits a pair, on average: above it a reading is no text of a known language
# a symbol with a letter on both sides; dashes and apostrophes may stand there
IN_WORD = re.compile(
    r"(?<=[^\W\d_\u2e80-\uffff])"
    r"(?:[¡-¬®-³µ¶¸-¿×÷\u02c6-\u02dd“”„‚‘‹›†‡•…‰€™\u200e\u200f\u2190-\u2bff]|(?<![lL])·)"
    r"(?=[^\W\d_\u2e80-\uffff])"
)
# Hebrew and Thai have no words of one letter
LONE = re.compile(r"(?<!\w)[\u05d0-\u05ea\u0e01-\u0e5b](?!\w)")
# an apostrophe stands in English endings, after French and Italian articles, before Turkish endings of names
APOSTROPHE = re.compile(r"[^\W\d_]{1,20}’[^\W\d_]+|(?<!\w)’[\u0370-\u03ff]")
CONTRACTION = re.compile(
    r"\w+’s|\w*n’t|I’m|(i|you|we|they|s?he|it|who|that|there)’(d|ll|ve|re)|(sh|c|w)ould’ve", re.IGNORECASE
)
ELISION = re.compile(
    r".+’s|\w*n’t|([ldjnscmto]|\w*qu|\w*ll|\w*un|\w*st)’[haeiouyàâäèéêëìîïòôöùûüœæ].*"
    r"|[A-ZÇĞİÖŞÜ]\w*’\w+|[\u0370-\u04ff]+’.+",
    re.IGNORECASE,
)


class Reading(NamedTuple):
    "What one encoding makes of the sample"

    cost: float  # bits, the rarity of the encoding included
    mean: float  # bits a pair of characters, without it
    codec: str
    language: str  # that suits it best
    is_usual: bool  # whether the encoding is made for that language
    text: str


def is_mid_word(left: "Kind", right: "Kind") -> bool:
    "Return whether a capital follows a small letter"
    return right.capital and left.letter and not left.capital


def price(
    text: str,  # a sample as some encodings read it
    names: list[str],  # these encodings, the first names them all
    evidence: dict[str, float] | None = None,  # bits to pay for a language that the rest of the file does not speak
) -> Reading:
    "Return the cost of a reading in the language that suits it best"
    evidence = evidence or {}
    fixed, pairs, total = count_pairs(unicodedata.normalize("NFC", text))
    spent = dict(zip(TABLE, (fixed + sum_bits(pairs)).tolist()))
    naturals = [(rarity, natural.split()) for rarity, natural in (CANDIDATES.get(name, (0, "")) for name in names)]
    cost, language, is_usual = min(
        (
            rarity + evidence.get(language, 0) + spent[language] + (0 if usual else UNUSUAL.get(language, 20)),
            language,
            usual,
        )
        for rarity, natural in naturals
        for language in TABLE
        for usual in [language in natural]
    )
    return Reading(cost, min(spent.values()) / max(1, total), names[0], language, is_usual, text)


def sum_bits(
    pairs: Counter,  # of letters
) -> np.ndarray:
    "Return the bits of all pairs in each language of TABLE"
    bits = np.zeros(len(TABLE))
    for pair, n in pairs.items():
        bits += n * look_up(pair)
    return bits


@lru_cache(maxsize=20_000)
def look_up(
    pair: str,  # of letters
) -> np.ndarray:
    "Return the bits of a pair in each language of TABLE"
    missed = miss(pair)
    near = [NEAR if missed > NEAR and ALPHABET[language].issuperset(pair) else missed for language in TABLE]
    return np.array([table.get(pair, cost) for table, cost in zip(TABLE.values(), near)])


def count_pairs(
    text: str,  # normalised
) -> tuple[float, Counter, int]:
    "Return bits that no language changes, pairs of letters in lower case, and the number of both"
    fixed, pairs, total = count_faults(text), Counter(), 0
    for (a, b), n in Counter(zip(f"\n{text}", f"{text}\n")).items():
        if a.isascii() and b.isascii():
            continue
        bits, keys = weigh(a, b)
        fixed += n * bits
        total += n * max(1, len(keys))
        for key in keys:
            pairs[key] += n
    return fixed, pairs, total


def count_faults(
    text: str,  # normalised
) -> float:
    "Return the bits of symbols and apostrophes inside words that do not stand there in any language"
    words = APOSTROPHE.findall(text) if "’" in text else []
    odd = sum(not (ELISION.fullmatch(word) or CONTRACTION.fullmatch(word)) for word in words)
    usual = sum(bool(CONTRACTION.fullmatch(word)) for word in words)
    return 10.0 * len(IN_WORD.findall(text) + LONE.findall(text)) + 8.0 * odd - 6.0 * usual


@lru_cache(maxsize=200_000)
def weigh(
    a: str,  # a character
    b: str,  # the next
) -> tuple[float, tuple[str, ...]]:
    "Return the bits of symbols and of a wrong case between two characters, and the letters to look up in the tables"
    left, right = classify(a), classify(b)
    bits = weigh_symbol(a, left, b, right)
    if not (left.letter or right.letter):
        return bits, ()
    if left.ideograph or right.ideograph:
        keys = tuple(c.key for c in (left, right) if c.ideograph)
        mixed = left.letter and right.letter and not (left.ideograph and right.ideograph)
        return bits + 8 * mixed, keys
    if left.key.isascii() and right.key.isascii():  # a symbol beside ASCII, or the capital I with a dot
        return bits + 8 * (left.letter and right.letter) + weigh_case(left, right), ()
    return bits + weigh_case(left, right), (left.key + right.key,)


def weigh_symbol(a: str, left: "Kind", b: str, right: "Kind") -> float:
    "Return the bits of symbols outside ASCII beside each other, a letter or anything else"
    bits = 0.0
    if left.bits == right.bits == BOX:
        return 16
    if not left.letter and not a.isascii():
        bits += left.bits[1 if right.letter else 2]
    if not right.letter and not b.isascii():
        bits += right.bits[0 if left.letter else 2]
    return bits


def weigh_case(left: "Kind", right: "Kind") -> float:
    "Return the bits of a capital: cheap at the start of a word, in a word of capitals; dear after a small letter"
    if is_mid_word(left, right):
        return 12
    return right.capital * (1 if left.letter else 2)


class Kind(NamedTuple):
    "What a character is in a word"

    key: str  # in lower case, "_" if it is no letter
    letter: bool
    capital: bool = False
    ideograph: bool = False  # Chinese, Japanese, Korean: looked up alone
    bits: tuple[float, float, float] = (0, 0, 0)  # of a symbol: after a letter, before a letter, else


@lru_cache(maxsize=100_000)
def classify(c: str) -> Kind:
    "Return what a character is in a word"
    category = unicodedata.category(c)
    if c in SYMBOLS:
        return Kind("_", False, bits=SYMBOLS[c])
    if script(c) in IDEOGRAPHS:
        return Kind(c, True, ideograph=True)
    if category[0] == "L" and c not in "ªº" or category[0] == "M":
        return Kind(SAME.get(c, c.lower()), True, capital=category == "Lu")
    if c.isascii():
        return Kind("_", False)
    if 0x2500 <= ord(c) < 0x25A0:  # lines and blocks
        return Kind("_", False, bits=BOX)
    return Kind("_", False, bits=(24, 24, 24) if category[0] == "C" else (18, 18, 14))


@lru_cache(maxsize=100_000)
def script(c: str) -> str:
    "Return the first word of a character's Unicode name: LATIN, CYRILLIC, CJK"
    return unicodedata.name(c, "NONE").split()[0]


@lru_cache(maxsize=200_000)
def miss(
    key: str,  # two letters, or an ideograph
) -> float:
    "Return the bits of letters that a language's table lacks"
    if key in ANY:
        return ANY[key] + 5
    if len(key) == 1:
        return miss_ideograph(key)
    known = [c for c in key if c != "_"]
    if any(unicodedata.category(c) == "Mn" and script(c) in ("HEBREW", "ARABIC") for c in key):
        return NEAR  # vowel points
    if len({script(c) for c in known}) > 1 or any(c not in LETTERS and not c.isascii() for c in known):
        return STRANGE
    return MISS


def miss_ideograph(c: str) -> float:
    "Return the bits of a character of Chinese, Japanese or Korean that no table has: less if a basic set has it"
    for codec, last in (("gb2312", 0xD7), ("shift_jis", 0x97), ("big5", 0xC6), ("euc_kr", 0xC8)):
        try:
            code = c.encode(codec)
        except UnicodeEncodeError:
            continue
        if len(code) == 2 and code[0] <= last:
            return 12.5
    return 15
