"Text of two or four bytes a character without a mark, and text that switches its alphabet by escapes."

import codecs
import re
import unicodedata
from collections import Counter

from ftkit.errors import UserError
from ftkit.files.encodings.letters import IDEOGRAPHIC, TABLE
from ftkit.files.encodings.pricing import DEAREST, price
from ftkit.files.encodings.text import Decoded, decode_strictly
from ftkit.files.encodings.words import foreign_words, note_guess, quote_words

WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
ESCAPED = ("iso2022_jp", "iso2022_jp_3", "iso2022_jp_ext", "iso2022_kr", "iso2022_jp_2")


def find_wides(
    data: bytes,  # all of a file
) -> list[str]:
    "Return the encodings of two and four bytes that read plausible text, the best first"
    start = len(data) // 3 // 4 * 4
    pieces = [data[:40_000], data[start : start + 40_000]]
    share = {codec: min(price_wide(piece, codec) for piece in pieces) for codec in WIDE}
    return sorted((codec for codec in WIDE if share[codec] > 0), key=lambda codec: -share[codec])


def find_wide(
    data: bytes,  # all of a file
) -> str | None:
    "Return the encoding of two or four bytes that is plausible, or None"
    return next(iter(find_wides(data)), None)


def price_wide(
    piece: bytes,  # from the file, aligned to four bytes
    codec: str,  # such as utf-16-le
) -> float:
    "Return how plausible the reading is: 0 for no text, else the share of ASCII, plus 1 for UTF-32"
    try:
        text = codecs.getincrementaldecoder(codec)().decode(piece)
    except UnicodeDecodeError:
        return 0
    if not text:
        return 0
    counts = Counter(text)
    odd = sum(
        n
        for c, n in counts.items()
        if c not in "\t\n\r\f\x1b\ufeff" and unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs")
    )
    plain = sum(n for c, n in counts.items() if c.isascii())
    if odd * 50 > len(text) or not plain or not is_one_script(counts):
        return 0
    return plain / len(text) + codec.startswith("utf-32")


def is_one_script(
    counts: Counter,  # characters of a text
) -> bool:
    "Return whether the characters outside ASCII are of few blocks, or frequent in Chinese, Japanese or Korean"
    foreign = {c: n for c, n in counts.items() if not c.isascii()}
    total = sum(foreign.values())
    blocks = Counter()
    for c, n in foreign.items():
        blocks[ord(c) >> 8] += n
    frequent = max(sum(n for c, n in foreign.items() if c in TABLE[language]) for language in IDEOGRAPHIC)
    return sum(n for _, n in blocks.most_common(3)) >= 0.8 * total or frequent >= 0.25 * total


def decode_wide(
    data: bytes,  # all of a file
    source: str,  # its name
    codec: str,  # found by zero bytes
) -> Decoded:
    "Return the text with a note"
    text = decode_strictly(data, source, codec).removeprefix("\ufeff")
    words = quote_words(foreign_words(text))
    return Decoded(text, codec, [f"decoded as {codec}, found without a byte order mark{words and ': '}{words}"])


def decode_escaped(
    data: bytes,  # pure ASCII bytes
    source: str,  # the name of the file
) -> Decoded | None:
    "Return a text that switches its alphabets by escape sequences (ISO-2022) or by ~{ (HZ), or None"
    escaped = re.search(rb"\x1b\$[@B]|\x1b\$\([A-Z]|\x1b\$\)C|\x1b\([IJ]", data) if b"\x1b" in data else None
    hz = b"~" in data and b"~{" in data and b"~}" in data
    for codec in (*(ESCAPED if escaped else ()), *(("hz",) if hz else ())):
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            continue
        reading = price(text, [codec])
        if foreign_words(text) and reading.mean <= DEAREST:
            return Decoded(text, codec, [note_guess(codec, text)])
    if escaped:
        raise UserError(
            f"{source}: has escape sequences of ISO-2022, but does not decode as such. Save it as UTF-8, "
            "or write encoding = utf-8 if they are meant to stay."
        )
    return None
