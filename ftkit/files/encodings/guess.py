"A legacy encoding is guessed: every one is tried on a sample, and the best needs a clear lead over every other."

import codecs
import re
import unicodedata
from collections import Counter

from ftkit.errors import UserError
from ftkit.files.encodings.letters import ALPHABET, CANDIDATES, COMMON, CYRILLIC, GROUPS, LATIN, SAME, TABLE
from ftkit.files.encodings.pricing import DEAREST, IN_WORD, Reading, classify, is_mid_word, price, script
from ftkit.files.encodings.text import Decoded, decode_strictly
from ftkit.files.encodings.words import (
    count_lines,
    first_difference,
    foreign_words,
    last_words,
    note_guess,
    quote_words,
)

UNTEXT = re.compile("[\x80-\x84\x86-\x9f\ue000-\uf8ff]")  # controls beyond ASCII, private use
SAMPLE = 200_000  # bytes that a guess reads
STRIDES = 16  # parts of the file that the sample is taken from
DIGITS = re.compile(rb"[0-9]+")
HIGH = re.compile(rb"[\x80-\xff]")
SAFE = re.compile(rb"[\x00-/:-?]")  # never part of a longer character in any encoding below
LEAD = 10.0  # bits by which the best reading has to be cheaper than every other
UNSPOKEN = 1e4  # bits to pay for a language whose most frequent words a longer text lacks
FOREIGN = 8  # bits to pay for another script if six in seven letters are ASCII


def guess(
    data: bytes,  # in a legacy encoding
    source: str,  # the name of the file
    valid: int,  # characters that happen to be UTF-8
) -> Decoded:
    "Return the text in the encoding that reads best. Raises `UserError` unless its lead is clear."
    readings = rank_readings(sample := sample_bytes(data), len(sample) >= SAMPLE, weigh_languages(data))
    if not readings or readings[0].mean > DEAREST:
        refuse_unknown(source, readings)
    best = readings[0]
    if valid and len(bytes(range(256)).decode(best.codec, "replace")) == 256:  # one byte a character
        refuse_mixed(data, source, best.codec)
    if has_faults(best):
        refuse_unknown(source, readings)
    if len(readings) > 1 and readings[1].cost - best.cost < LEAD:
        refuse_unclear(source, best, readings[1])
    advice = f"The rest reads as {best.codec}. Save the file as UTF-8."
    text = decode_strictly(data, source, best.codec, advice)
    if odd := UNTEXT.search(text):
        before = text[: odd.start()]
        raise UserError(
            f"{source}, line {count_lines(before)}: a character that is no text (after {last_words(before)!r}), "
            f"though the rest reads as {best.codec}. Save the file as UTF-8."
        )
    return Decoded(text, best.codec, [note_guess(best.codec, text)])


def has_faults(
    reading: Reading,  # the best
) -> bool:
    "Return whether the language is not one of the encoding, or over 5 % of its letters are foreign or out of place"
    if not reading.is_usual and reading.language not in GROUPS[0].split():
        return True
    text = unicodedata.normalize("NFC", reading.text)
    letters = Counter(SAME.get(c, c.lower()) for c in text if not c.isascii() and c.isalpha())
    own = set().union(*(ALPHABET[language] for language in relatives(reading.language)))
    foreign = sum(
        n for c, n in letters.items() if c not in own and script(c) in ("LATIN", "CYRILLIC", "GREEK", "MICRO")
    )
    is_cyrillic = reading.language in CYRILLIC.split()  # whose languages borrow no letters
    pairs = Counter(zip(text, text[1:]))
    capitals = sum(n for (a, b), n in pairs.items() if not (a + b).isascii() and is_mid_word(classify(a), classify(b)))
    symbols = sum(1 if c in "“”„«»" else 5 for c in IN_WORD.findall(text))  # endings follow quotes in some languages
    faults = foreign * (2 if is_cyrillic else 1) + symbols + 2 * capitals
    return faults * 20 > sum(letters.values())


def relatives(
    language: str,  # of TABLES
) -> list[str]:
    "Return the languages whose letters may stand in one file with a language"
    group = next((group for group in GROUPS if language in group.split()), language)
    return [*group.split(), "en"] if language in LATIN else group.split()


def sample_bytes(
    data: bytes,  # all of a file
) -> bytes:
    """Return up to 200 kB of distinct words with bytes outside ASCII, from all parts of the file, each such byte.

    Words that differ in digits alone are one: `n°1` to `n°500` say no more than one of them.
    """
    words = {}  # with zeros for digits -> as written, in their order
    for part in range(STRIDES):
        start = len(data) * part // STRIDES
        start = next_word(data, start) if part else 0
        collect_words(data, start, len(data) * (part + 1) // STRIDES, SAMPLE // STRIDES, words)
    seen = b"".join(words.values())
    rest = data.translate(None, bytes(range(128)) + bytes(set(seen)))
    for byte in sorted(set(rest[:1_000_000])):
        at = data.find(bytes([byte]))
        collect_words(data, previous_word(data, at), len(data), 400, words)
    return b"\n".join(words.values())


def next_word(data: bytes, start: int) -> int:
    "Return where the next word starts, at or after an offset"
    found = SAFE.search(data, start, start + SAMPLE)
    return found.start() if found else len(data)


def previous_word(data: bytes, start: int) -> int:
    "Return where the word at an offset starts"
    found = [m.start() for m in SAFE.finditer(data, max(0, start - 4000), start)]
    return found[-1] if found else max(0, start - 4000)


def collect_words(
    data: bytes,  # all of a file
    start: int,  # where a word starts
    stop: int,  # where to end
    room: int,  # bytes to collect at most
    words: dict,  # that are added to
):
    "Collect words with bytes outside ASCII, each with the byte before and after"
    while room > 0 and (hit := HIGH.search(data, start, stop)):
        left = max(start, hit.start() - 40)
        spaces = [m.start() for m in SAFE.finditer(data, left, hit.start())]
        begin = spaces[-1] if spaces else left
        end = SAFE.search(data, hit.end(), hit.end() + SAMPLE)
        word = data[begin : end.end() if end else len(data)]
        if len(word) <= SAMPLE // STRIDES or not words:
            key = DIGITS.sub(b"0", word[:SAMPLE])
            room -= len(word) / 4 if key in words else len(word)
            words.setdefault(key, word[:SAMPLE])
        start = end.start() if end else len(data)


def weigh_languages(
    data: bytes,  # all of a file
) -> dict[str, float]:
    "Return bits to pay for languages whose ASCII words the file lacks, and for other scripts in an ASCII file"
    pieces = b" ".join(data[at : at + 4000] for at in range(0, len(data), len(data) // STRIDES + 1))
    words = {word.decode() for word in re.findall(rb"(?<![\x80-\xff\w])[a-z]{2,9}(?![\x80-\xff\w])", pieces.lower())}
    hits = {language: len(words & set(common.split())) for language, common in COMMON.items()}
    most = max(*hits.values(), min(6, len(words) // 15))  # a text of 90 words has six of them, at the least
    letters = len(re.findall(rb"[a-zA-Z]", pieces))
    foreign = FOREIGN if len(HIGH.findall(pieces)) * 6 < letters else 0
    other = dict.fromkeys(TABLE.keys() - {*LATIN}, foreign)
    unspoken = min(3, len(words) // 60)
    return other | {
        language: UNSPOKEN if n < unspoken and language not in GROUPS[0].split() else min(3.0 * (most - n), 15.0)
        for language, n in hits.items()
    }


def rank_readings(
    sample: bytes,  # words with bytes outside ASCII
    cut: bool,  # whether it may end in the middle of a character
    evidence: dict[str, float],  # bits to pay for a language
) -> list[Reading]:
    "Return what the encodings make of a sample, different texts only, the most plausible first"
    names = {}  # text -> codecs that read it
    for codec in CANDIDATES:
        try:
            text = codecs.getincrementaldecoder(codec)().decode(sample, final=not cut)
        except UnicodeDecodeError:
            continue
        names.setdefault(text, []).append(codec)
    return sorted(price(text, codecs_of, evidence) for text, codecs_of in names.items())


def refuse_unclear(
    source: str,  # the name of the file
    best: Reading,
    second: Reading,
):
    "Raise `UserError` that names two readings, the more plausible first"
    one, two = first_difference(best.text, second.text)
    raise UserError(
        f"{source}: is not UTF-8, and its encoding is not clear: {best.codec} reads '{one}', {second.codec} '{two}'. "
        f"Write encoding = {best.codec}, or save the file as UTF-8."
    )


def refuse_unknown(
    source: str,  # the name of the file
    readings: list[Reading],  # the most plausible first
):
    "Raise `UserError`: no encoding reads text"
    nearest = f" ({readings[0].codec} reads {quote_words(foreign_words(readings[0].text, 2))})" if readings else ""
    raise UserError(
        f"{source}: is not UTF-8, and no encoding reads it as text of a language that is known{nearest}. "
        "Save it as UTF-8, or write encoding = …"
    )


def refuse_mixed(
    data: bytes,  # all of a file
    source: str,  # its name
    codec: str,  # that reads best
):
    "Raise `UserError` if characters of UTF-8 stand among those of the encoding that reads best"
    pieces = {m[0] for m in re.finditer(rb"[\xc2-\xdf][\x80-\xbf]|\xe2[\x80-\x84][\x80-\xbf]", data[: 1 << 24])}
    for piece in sorted(pieces):
        first, *rest = (classify(c) for c in piece.decode(codec, "replace"))
        odd = any(not kind.letter and kind.bits[0] > 11 for kind in rest)
        if first.letter and odd and (piece.decode().isalpha() or len(piece) == 3):
            at = data.find(piece)
            raise UserError(
                f"{source}, line {data.count(bytes([10]), 0, at) + 1}: '{piece.decode('utf-8', 'replace')}' is UTF-8, "
                f"but most of the file is {codec}. Save the whole file as UTF-8."
            )
