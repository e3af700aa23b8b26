"The order in which encodings are tried: what is certain first."

import codecs

from ftkit.errors import UserError, did_you_mean
from ftkit.files.encodings.guess import UNTEXT, guess, sample_bytes
from ftkit.files.encodings.letters import CANDIDATES
from ftkit.files.encodings.pricing import price
from ftkit.files.encodings.signatures import count_controls, refuse_binary, refuse_controls
from ftkit.files.encodings.text import Decoded, decode_strictly
from ftkit.files.encodings.wide import WIDE, decode_escaped, decode_wide, find_wide, find_wides
from ftkit.files.encodings.words import count_lines, describe_fault, foreign_words, quote_words

MARKS = (  # longest first: the mark of UTF-32 starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python calls these text encodings, but they rewrite ASCII such as "\n" or "xn--"
NOT_FOR_FILES = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined")


def decode(
    data: bytes,  # all of a text file
    source: str,  # its name, for messages
    encoding: str | None = None,  # a codec of Python; default: found
) -> Decoded:
    """Return the text of a file.

    Raises `UserError` if the bytes are no text, do not fit the encoding, or fit several that read different words.
    """
    refuse_binary(data, source)
    if encoding is not None:
        return decode_as(data, source, encoding)
    if mark := find_mark(data):
        return Decoded(decode_strictly(data[len(mark[0]) :], source, mark[1]), mark[1])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        return decode_foreign(data, source, e.start)
    if b"\0" in data and count_controls(data) > 0.05 and (wide := find_wide(data)):
        return decode_wide(data, source, wide)
    if text.isascii() and (escaped := decode_escaped(data, source)):
        return escaped
    refuse_controls(data, source, 0.1)
    return Decoded(text, "utf-8")


def find_mark(
    data: bytes,  # all of a file
) -> tuple[bytes, str] | None:
    "Return the byte order mark at the start and its encoding, or None"
    for mark, codec in MARKS:
        if data.startswith(mark) and not (codec == "utf-32-le" and len(data) % 4):
            return mark, codec
    return None


def decode_as(
    data: bytes,  # all of a file
    source: str,  # its name
    encoding: str,  # written by a person
) -> Decoded:
    "Return the text in a given encoding. Raises `UserError` if there is no such text encoding or a byte does not fit."
    codec = find_codec(source, encoding)
    mark, marked = find_mark(data) or (b"", codec)
    family = codec.removesuffix("-sig")
    if not marked.startswith(family) and not (family == "utf-16-le" == marked):
        raise UserError(
            f"{source}: starts with the byte order mark of {marked}, but encoding = {encoding}. "
            f"Write encoding = {marked}, or leave it out."
        )
    if family in ("utf-16", "utf-32") and not mark:
        marked = next((wide for wide in find_wides(data) if wide.startswith(family)), None)
        if marked is None:
            raise UserError(f"{source}: has no byte order mark. Write encoding = {family}-le or {family}-be.")
    codec = marked.removesuffix("-sig")
    text = decode_strictly(data[len(mark) :], source, codec)
    refuse_mojibake(data, source, codec, text)
    return Decoded(text, codec, note_controls(codec, text))


def refuse_mojibake(
    data: bytes,  # all of a file
    source: str,  # its name
    codec: str,  # written by a person
    text: str,  # what it reads
) -> None:
    "Raise `UserError` if the file is UTF-8 and the given encoding reads its characters as others"
    if codec == "utf-8" or text.isascii() or not is_utf8(data):
        return
    words = foreign_words(data.decode("utf-8"), 2)
    if codec in WIDE:
        if b"\0" not in data:  # which every line break and delimiter has in an encoding of two or four bytes
            raise UserError(f"{source}: is not {codec} but UTF-8. Write encoding = utf-8, or leave it out.")
        return
    sample = sample_bytes(data)
    given, right = (sample.decode(name, "replace") for name in (codec, "utf-8"))
    if price(right, ["utf-8"]).cost < price(given, [codec]).cost:
        would = [word.encode("utf-8").decode(codec, "replace") for word in words]
        raise UserError(
            f"{source}: is UTF-8, and encoding = {codec} would read {quote_words(would)} for {quote_words(words)}. "
            "Write encoding = utf-8, or leave it out."
        )


def note_controls(
    codec: str,  # written by a person
    text: str,  # what it reads
) -> list[str]:
    "Return a note if a given encoding reads control characters"
    if codec == "utf-8" or not (control := UNTEXT.search(text)):
        return []
    return [
        f"{codec} reads control characters or none at all, such as 0x{ord(control[0]):02x} in line "
        f"{count_lines(text[: control.start()])}; files from Windows are cp1252 or similar"
    ]


def is_utf8(
    data: bytes,  # all of a file
) -> bool:
    "Return whether all bytes are UTF-8"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def find_codec(
    source: str,  # the name of the file
    encoding: str,  # written by a person
) -> str:
    "Return Python's name of a text encoding. Raises `UserError` if there is none."
    try:
        info = codecs.lookup(encoding.strip())
    except (LookupError, ValueError):
        raise UserError(
            f"{source}: there is no encoding {encoding!r}.{did_you_mean(encoding.lower(), known_codecs())} "
            "Write a codec of Python, such as utf-8, cp1252 or utf-16."
        ) from None
    if not info._is_text_encoding or info.name.replace("_", "-") in NOT_FOR_FILES:
        raise UserError(
            f"{source}: encoding = {encoding} turns bytes into other bytes or rewrites text; it is no encoding "
            "of a text file. Write a codec such as utf-8 or cp1252."
        )
    return info.name


def known_codecs() -> list[str]:
    "Return the names that a person may have meant"
    from encodings.aliases import aliases

    names = {
        *CANDIDATES,
        *WIDE,
        "utf-8",
        "utf-8-sig",
        "utf-16",
        "utf-32",
        "latin-1",
        "ascii",
        "shift_jis",
        "gbk",
        "big5",
    }
    return [*sorted(names), *sorted({*aliases} - names)]


def decode_foreign(
    data: bytes,  # not UTF-8
    source: str,  # the name of the file
    start: int,  # of the first byte that is not UTF-8
) -> Decoded:
    "Return the text in UTF-16, UTF-32 or a legacy encoding. Raises `UserError` for broken UTF-8."
    if b"\0" in data and (wide := find_wide(data)):
        return decode_wide(data, source, wide)
    refuse_controls(data, source, 0.03)
    valid, bad = count_utf8(data)
    if valid >= bad:
        refuse_broken(data, source, valid, bad)
    return guess(data, source, valid)


def count_utf8(
    data: bytes,  # not UTF-8
) -> tuple[int, int]:
    "Return the numbers of characters of several bytes and of places that are not UTF-8"
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    valid = bad = 0
    for at in range(0, len(data), 1 << 22):
        text = decoder.decode(data[at : at + (1 << 22)], final=at + (1 << 22) >= len(data))
        replaced = text.count("\ufffd")
        bad += replaced
        valid += len(text) - len(text.encode("ascii", "ignore")) - replaced
        if bad > 10 * valid + 100_000:
            break
    written = data.count(b"\xef\xbf\xbd") if valid * 2 >= bad else 0  # the replacement character itself
    return valid + written, bad - written


def refuse_broken(
    data: bytes,  # mostly UTF-8
    source: str,  # the name of the file
    valid: int,  # characters of several bytes
    bad: int,  # places that are not UTF-8
):
    "Raise `UserError` for UTF-8 with bytes that are not"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as e:
        more = f" {bad - 1} more such place{'s' if bad > 2 else ''}." if bad > 1 else ""
        right = (
            f"the other {valid} character{'s' if valid > 1 else ''} outside ASCII {'are' if valid > 1 else 'is'} UTF-8"
        )
        raise UserError(
            f"{describe_fault(data, source, 'utf-8', e)}{more} Save the file as UTF-8, or write encoding = cp1252 "
            f"if all of it was saved on Windows ({right})."
        ) from None
