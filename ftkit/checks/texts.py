"What counts as a text."

import unicodedata

from ftkit.errors import UNSEEN


def is_blank(
    value: object,  # of a row
) -> bool:
    "Return whether there is nothing to read: None, NaN, or nothing but spaces and invisible characters"
    if value is None or isinstance(value, float) and value != value:
        return True
    return isinstance(value, str) and all(c.isspace() or unicodedata.category(c) in UNSEEN for c in value)
