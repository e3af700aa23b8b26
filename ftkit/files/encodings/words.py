"What a person is shown of an encoding: the words that it decides, and the place where a byte does not fit."

import codecs
import re


def describe_fault(
    data: bytes,  # that did not decode
    source: str,  # the name of the file
    codec: str,  # that failed
    error: UnicodeDecodeError,  # the first fault
) -> str:
    "Return where a byte does not fit and what stands around it"
    before = data[: error.start].decode(codec, "replace")
    after = data[error.end : error.end + 80].decode(codec, "backslashreplace")
    after = re.split(r"[\r\n]", after)[0][:15].rstrip()
    before_it = last_words(before)
    around = f"after {before_it!r}" if before_it else f"before {after!r}" if after.strip() else "alone in its line"
    line = count_lines(before)
    fault = (
        f"{source}, line {line}: byte 0x{data[error.start]:02x} is not {codec.upper() if codec == 'utf-8' else codec}"
    )
    if is_cut(data, codec, error):
        return f"{fault} ({around}): the file ends in the middle of a character, as if cut off."
    return f"{fault} ({around})."


def last_words(
    before: str,  # the text up to a fault
) -> str:
    "Return the end of the last line, up to 20 characters"
    return re.split(r"[\r\n]", before[-200:])[-1][-20:].lstrip()


def count_lines(
    before: str,  # the text up to a fault
) -> int:
    "Return the number of its last line, from 1"
    return before.count("\n") + (0 if "\n" in before else before.count("\r")) + 1


def is_cut(
    data: bytes,  # that did not decode
    codec: str,  # that failed
    error: UnicodeDecodeError,  # the first fault
) -> bool:
    "Return whether only the last character is not complete"
    try:
        codecs.getincrementaldecoder(codec)().decode(data[error.start :])
    except UnicodeDecodeError:
        return False
    return len(data) - error.start < 8


FOREIGN_LETTER = re.compile(r"[^\x00-\x7f]")


def foreign_words(
    text: str,  # decoded
    limit: int = 5,  # words at most
) -> list[str]:
    "Return the first different words with characters outside ASCII, shortened"
    words, at = {}, 0
    while len(words) < limit and (found := FOREIGN_LETTER.search(text, at)):
        before = re.search(r"[^\W_]*\Z", text[max(at, found.start() - 12) : found.start()])[0]
        after = re.match(r"[^\W_]*(?:[’'-][^\W_]+)*", text[found.start() + 1 : found.start() + 100])[0]
        word = before + found[0] + after
        words[word if len(word) <= 20 else f"{word[:20]}…"] = None
        at = found.end() + len(after)
    return list(words)


def quote_words(
    words: list[str],  # from the file
) -> str:
    "Return words in quotes"
    return ", ".join(f"'{word}'" for word in words)


def note_guess(
    codec: str,  # that was found
    text: str,  # that it reads
) -> str:
    "Return the note of a guess, with the first words that it decides"
    return f"decoded as {codec}: {quote_words(foreign_words(text))}"


def first_difference(one: str, two: str) -> tuple[str, str]:
    "Return the first word that two readings of a sample differ in"
    for left, right in zip(one.split("\n"), two.split("\n")):
        if left != right:
            return left.strip(" \t\r,;:\"'<>=")[:20], right.strip(" \t\r,;:\"'<>=")[:20]
    return one[:20], two[:20]
