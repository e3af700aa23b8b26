"""Personal data in texts, as far as a pattern can find it: names of people, for one, have none.

To add a kind: a row in `PATTERNS`, with a check if the pattern alone would find too much.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from ftkit.errors import UserError

PHONE = r"""(?x)(?<![\w.,/:=#$€£-])
(?: \+\d{1,3}[ .-]?(?:\(\d{1,5}\)[ .-]?)?(?:\d{1,5}[ .-]?){1,5}\d{2,4}   # +49 30 1234567
  | \(\d{3}\)[ .-]?\d{3}[ .-]\d{4}                                       # (555) 123-4567
  | (?:1[ .-])?\d{3}([ .-])\d{3}\1\d{4}                                  # 1-555-123-4567
  | 0\d{1,4}[ /-](?:\d{2,8}[ -]?){1,4}\d{2,4}                            # 020 7946 0958
)(?![\w%€$-])"""
SECRET_KEYS = (
    r"access_?token|auth_?token|api_?key|apikey|token|secret|password|passwd|pwd|signature|sig|session_?id|key"
)
TOKENS = (
    r"sk-[A-Za-z0-9_-]{20,}",
    r"gh[pousr]_[A-Za-z0-9]{30,}",
    r"github_pat_\w{30,}",
    r"hf_[A-Za-z0-9]{30,}",
    r"A(?:KIA|SIA)[A-Z0-9]{16}",
    r"AIza[\w-]{35}",
    r"xox[abprs]-[\w-]{10,}",
    r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
)

STARTS = ("://", "sk-", "gh", "hf_", "AKIA", "ASIA", "AIza", "xox", "eyJ", "-----BEGIN")


@dataclass(frozen=True)
class Hit:
    "A piece of personal data in a text"

    row: int  # from 0
    kind: str  # a name in `PATTERNS`
    start: int  # where it begins in the text
    value: str  # as it stands there


def count_digits(
    value: str,  # with spaces and dashes
) -> int:
    "Return the number of digits"
    return sum(c.isdigit() for c in value)


def is_phone(value: str) -> bool:
    "Return whether a number has as many digits as a telephone number, and is no date"
    date = re.fullmatch(r"0?\d{1,2}[ /.-]\d{1,2}[ /.-]\d{2,4}|\d{4}[ /.-]\d{1,2}[ /.-]\d{1,2}", value)
    return 9 <= count_digits(value) <= 15 and not date or value[0] == "+" and 8 <= count_digits(value) <= 15


def is_iban(value: str) -> bool:
    "Return whether the check digits of an IBAN are right (ISO 13616: modulo 97)"
    plain = "".join(value.split()).upper()
    digits = "".join(str(int(c, 36)) for c in plain[4:] + plain[:4])
    return 15 <= len(plain) <= 34 and int(digits) % 97 == 1


def is_card(value: str) -> bool:
    "Return whether the check digit of a card number is right (ISO/IEC 7812: Luhn)"
    digits = [int(c) for c in value if c.isdigit()]
    doubled = [sum(divmod(2 * d, 10)) if i % 2 else d for i, d in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and digits[0] in range(2, 7) and len(set(digits)) > 1 and sum(doubled) % 10 == 0


def is_address(value: str) -> bool:
    "Return whether this is an IP address of a machine"
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    parts = [part for part in value.replace(".", ":").split(":") if part]
    long = max(map(len, parts), default=0) > (1 if address.version == 4 else 2)  # 1.2.3.4 is a version, a::b a name
    return long and not address.is_unspecified and not address.is_loopback


def is_security_number(value: str) -> bool:
    "Return whether this can be a social security number of the USA"
    area, group, serial = value.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_place(value: str) -> bool:
    "Return whether these are a latitude and a longitude"
    latitude, longitude = map(float, re.split(r"\s*[,;]\s*", value))
    return abs(latitude) <= 90 and abs(longitude) <= 180


PATTERNS: dict[str, tuple[str, Callable[[str], bool] | None]] = {  # the first that finds a place has it
    "secret": ("|".join(TOKENS), None),
    "url with a secret": (
        rf"\bhttps?://[^\s/@:]+:[^\s/@]+@\S+|\bhttps?://\S+[?&#](?i:{SECRET_KEYS})=[^\s&#]{{6,}}\S*",
        None,
    ),
    "email": (r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[A-Za-z]{2,24}\b", None),
    "iban": (r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b", is_iban),
    "card": (r"(?<![\w.-])(?:(?:\d{4}[ -]){3}\d{1,7}|\d{4}[ -]\d{6}[ -]\d{5}|\d{13,19})(?![\w-])", is_card),
    "social security number": (r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])", is_security_number),
    "ip address": (
        r"(?<![\w.:])(?<![vV])(?:\d{1,3}\.){3}\d{1,3}(?![\w:]|\.\d)"
        r"|(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])"
        r"|(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}(?![\w:])",
        is_address,
    ),
    "mac address": (r"(?<![\w:-])(?:[0-9A-Fa-f]{2}([:-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])", None),
    "coordinates": (r"(?<![\w.])-?\d{1,2}\.\d{4,}\s*[,;]\s*-?\d{1,3}\.\d{4,}(?!\w|\.\d)", is_place),
    "date of birth": (
        r"(?i)\b(?:born(?: on)?|date of birth|birth ?date|dob|d\.o\.b\.?|geboren(?: am)?|geb\.|n[ée]e? le)\W{0,3}"
        r"(?:\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}-\d{2}-\d{2}|\d{1,2}(?:st|nd|rd|th|\.)? [A-Za-z]{3,9},? \d{4}"
        r"|[A-Za-z]{3,9} \d{1,2}(?:st|nd|rd|th)?,? \d{4})",
        None,
    ),
    "phone": (PHONE, is_phone),
}
COMPILED = {kind: (re.compile(pattern), check) for kind, (pattern, check) in PATTERNS.items()}


def find_personal_data(
    texts: list,  # one a row; what is no text is passed over
) -> list[Hit]:
    "Return what the patterns find, in the order of the texts"
    found = []
    for row, text in enumerate(texts):
        if isinstance(text, str) and might_hold(text):
            found += find_in_text(text, row)
    return found


def might_hold(
    text: str,  # of a row
) -> bool:
    "Return whether a text holds anything that a pattern needs: a digit, an @, or how a secret begins"
    return any(c in text for c in "@0123456789") or any(start in text for start in STARTS)


def find_in_text(
    text: str,  # of a row
    row: int = 0,  # its number
) -> list[Hit]:
    "Return what the patterns find in one text, in its order"
    taken: list[Hit] = []
    for kind, (pattern, check) in COMPILED.items():
        for match in pattern.finditer(text):
            start, value = match.start(), match.group().rstrip(".,;:)")
            free = all(start >= h.start + len(h.value) or start + len(value) <= h.start for h in taken)
            if free and (check is None or check(value)):
                taken.append(Hit(row, kind, start, value))
    return sorted(taken, key=lambda hit: hit.start)


def mask(
    value: str,  # that a pattern has found
) -> str:
    "Return a value with all but its first and last character covered, as it may be shown"
    return value[:1] + "".join("•" if c.isalnum() else c for c in value[1:-1]) + value[-1:]


def mask_hits(
    text: str,  # of a row
) -> str:
    "Return a text with all personal data in it covered, as it may be shown"
    for hit in reversed(find_in_text(text) if might_hold(text) else []):
        text = text[: hit.start] + mask(hit.value) + text[hit.start + len(hit.value) :]
    return text


class Redactor:
    """Replaces personal data by placeholders such as <EMAIL_1>.

    The same value has the same placeholder in all texts. Names of people stay: no pattern finds them
    """

    def __init__(
        self,
        kinds: tuple[str, ...] = tuple(PATTERNS),  # what is replaced
    ):
        if unknown := [kind for kind in kinds if kind not in PATTERNS]:
            raise UserError(f"personal data of the kind {unknown[0]!r}: not a choice. Choices: {', '.join(PATTERNS)}.")
        self.numbers: dict[str, dict[str, int]] = {kind: {} for kind in kinds}

    @property
    def counts(self) -> dict[str, int]:
        "Return how many different values of each kind were replaced"
        return {kind: len(known) for kind, known in self.numbers.items() if known}

    def replace(
        self,
        texts: list,  # one a row; what is no text stays as it is
    ) -> list:
        "Return the texts with placeholders"
        return [self.replace_in(text) if isinstance(text, str) and might_hold(text) else text for text in texts]

    def replace_in(
        self,
        text: str,  # of a row
    ) -> str:
        "Return one text with placeholders"
        parts, end = [], 0
        for hit in find_in_text(text):
            if hit.kind in self.numbers:
                known = self.numbers[hit.kind]
                number = known.setdefault(hit.value, len(known) + 1)
                parts += [text[end : hit.start], f"<{hit.kind.upper().replace(' ', '_')}_{number}>"]
                end = hit.start + len(hit.value)
        return "".join([*parts, text[end:]])


def find_placeholders(
    text: str,  # of a row
) -> list[str]:
    "Return the kinds of the placeholders in a text that was redacted"
    names = {kind.upper().replace(" ", "_"): kind for kind in PATTERNS}
    return [names[name] for name in re.findall(r"<([A-Z_]+)_\d+>", text) if name in names] if "<" in text else []


def redact(
    texts: list,  # one a row; what is no text stays as it is
    kinds: tuple[str, ...] = tuple(PATTERNS),  # what is replaced
) -> tuple[list, dict[str, int]]:
    "Return the texts with placeholders, and how many different values of each kind were replaced"
    redactor = Redactor(kinds)
    return redactor.replace(texts), redactor.counts


def describe_personal_data(
    found: dict | None,  # of run.json
) -> str:
    "Return what was found in the training texts and what was done, in words; empty if nobody looked"
    if not found:
        return ""
    list_kinds = lambda kinds: ", ".join(f"{kind} {count:,}" for kind, count in kinds.items())
    said = (
        f"found by pattern and left as it is: {list_kinds(found['found'])}"
        if found["found"]
        else "none found by pattern"
    )
    if found["placeholders"]:
        said += f"; replaced by placeholders before: {list_kinds(found['placeholders'])}"
    return f"{said}. Names of people have no pattern and were not looked for."
