"Texts that are the same but for case, spaces, addresses and @names."

import re
import unicodedata


def normalise(
    text: str,  # any text
) -> str:
    "Return a text as its duplicates have it: NFKC, lower case, single spaces, placeholders for addresses and @names"
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"https?://\S+|www\.\S+", "<url>", text)
    text = re.sub(r"@\w+", "<user>", text)
    return " ".join(text.split())
