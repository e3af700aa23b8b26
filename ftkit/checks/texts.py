"What counts as a text."

import re
import unicodedata

from ftkit.errors import UNSEEN

FEWEST_LETTERS = 3  # letters and digits
DAMAGED = re.compile("\ufffd|ï¿½|â€[™œ˜“”¦\x9d]|Ã[\x80-\xa9«-¿]|Â[\x80-\xbf]")  # UTF-8 read as another encoding


def is_blank(
    value: object,  # of a row
) -> bool:
    "Return whether there is nothing to read: None, NaN, or nothing but spaces and invisible characters"
    if value is None or isinstance(value, float) and value != value:
        return True
    return isinstance(value, str) and all(c.isspace() or unicodedata.category(c) in UNSEEN for c in value)


def is_short(
    value: object,  # of a row
) -> bool:
    "Return whether a text has hardly a letter: fewer than three letters and digits, but something to read"
    return isinstance(value, str) and not is_blank(value) and sum(map(str.isalnum, value)) < FEWEST_LETTERS


def is_damaged(
    value: object,  # of a row
) -> bool:
    "Return whether a text has characters that a wrong decoding left: `cafÃ©`, `itâ€™s`, or the sign for what was lost"
    return isinstance(value, str) and DAMAGED.search(value) is not None
