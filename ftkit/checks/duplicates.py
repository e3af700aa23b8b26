"Texts that come again: the same, or the same but for case, spaces, addresses and @names."

import re
import unicodedata


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
