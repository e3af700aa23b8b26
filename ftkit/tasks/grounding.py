"""Claims in generated texts that no source holds: numbers, names, codes, addresses and quotations.

Characters are compared, not meaning: no entailment is claimed. A text without a flag may still contradict its
sources, or join their numbers and names wrongly. A flag says where to look first, and may be there for a good reason:
a number that the model has computed or rounded, a name that everybody knows.

Left out, so that nothing is flagged that was copied: signs, units, am and pm; list markers, citations such as [1], and
fenced code; words that only begin a sentence, whose capital says nothing; names in German, which capitalises every
noun, and in texts and headings that capitalise most words. Scripts without capitals have no names here. Number words
are read in English, German, French and Spanish.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from os.path import commonprefix

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from ftkit.checks.languages import known_words
from ftkit.errors import UserError
from ftkit.metrics import wilson
from ftkit.tasks.text_scores import NO_SPACES

MOST_CAPITALS = 1 / 3  # share of the words inside sentences: in a text with more, a capital is no sign of a name
HEADING = 0.8  # share of the words that begin with a capital in a heading
FEWEST_WORDS = 6  # inside sentences, to judge these shares by
FEWEST_QUOTED = 3  # words of a quotation; fewer are emphasis
SHORTEST_STEM = 5  # letters of a name whose ending may differ
INFLECTED = {"Polish", "Turkish"}  # of the languages that `find_languages` knows
LONGEST_ACRONYM = 6  # letters; a longer word in capitals is emphasis
# stand for what was found: private use, no letters, no spaces. A quotation may end with the full stop of its sentence
FILLER, QUOTED, HAN = "\ue000", "\ue001", "\ue002"

GAP = "[ \u00a0\u2009\u202f]"  # spaces that group thousands
TITLES = "mr mrs ms mx dr prof st sir herr frau mme mlle sr sra"
ORDINARY = ENGLISH_STOP_WORDS.union(*known_words().values(), TITLES.split(), "ok pm am ps tv pc id faq".split())
WORD = re.compile(r"[^\W\d_]+")
TOKEN = re.compile(r"[^\W\d_]+|\d+")
JOINERS = (" ", "-", "'", "’", "‑", " & ")  # between the words of one name

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar janvier enero",
            "february feb februar fevrier febrero",
            "march mar marz mars marzo",
            "april apr avril abril",
            "may mai mayo",
            "june jun juni juin junio",
            "july jul juli juillet julio",
            "august aug aout agosto",
            "september sep sept septembre septiembre",
            "october oct oktober okt octobre octubre",
            "november nov novembre noviembre",
            "december dec dezember dez decembre diciembre",
        ),
        start=1,
    )
    for name in names.split()
}
NUMBER_WORDS = {  # language -> one, two, three, ... without accents, as `split_tokens` has them
    "English": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty",
    "German": "eins zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn sechzehn "
    "siebzehn achtzehn neunzehn zwanzig",
    "French": "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
    "Spanish": "uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis "
    "diecisiete dieciocho diecinueve veinte",
}
VALUES = {
    language: {word: number for number, word in enumerate(words.split(), start=1)}
    for language, words in NUMBER_WORDS.items()
}
TENS = {f"{word}ty": 10 * n for n, word in enumerate("twen thir for fif six seven eigh nine".split(), start=2)}
VALUES["English"] |= TENS
ORDINALS = {word: n for n, word in enumerate("first second third fourth fifth sixth seventh".split(), start=1)}
# before a number word: the number is known already, or the word is a pronoun
KNOWN = set("the these those all both either other any every or die der den les los las".split())
SCALES = {  # word -> factor
    **dict.fromkeys("hundred hundert cien".split(), 10**2),
    **dict.fromkeys("thousand tausend tsd mille mil".split(), 10**3),
    **dict.fromkeys("million millions millionen mio millon millones milliones".split(), 10**6),
    **dict.fromkeys("billion billions bn mrd milliarde milliarden milliard milliards".split(), 10**9),
    **dict.fromkeys("trillion trillions".split(), 10**12),
    "dozen": 12,
    "lakh": 10**5,
    "crore": 10**7,
}
SHORT_SCALES = {"k": 10**3, "m": 10**6, "b": 10**9}  # written to the number; 5m may be metres as well

ADDRESS = re.compile(
    r"(?:https?://|www\.)(?=\w)[^\s<>\"“”]+"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
    r"|(?<![\w@./-])@\w{2,40}"
    r"|(?<![\w@./-])(?:[\w-]{1,63}\.){1,8}(?:com|org|net|edu|gov|info|io|dev|app|de|fr|eu|uk|nl|ch)(?![\w-])"
    r"(?:/[^\s<>\"“”]*)?"
)
DATE = re.compile(
    r"(?<![\w.,/-])(?:(\d{4})([-./])(\d\d?)\2(\d\d?)|(\d\d?)([-./])(\d\d?)\6(\d{4}|\d\d))(?![\w/-]|[.,]\d)"
)
HALF_DAY = r"[ap](?:m\b|\.m\.)"
TIME = re.compile(rf"(?i)(?<![\w:.,])(\d\d?)(?:[:h](\d\d)(?::\d\d)?(?:{GAP}?{HALF_DAY})?|{GAP}?{HALF_DAY})(?![\w:])")
CODE = re.compile(
    r"(?<!\w)(?!\d+[x×]\d)(?:(?:[^\W\d_]+\d|\d+[^\W\d_]+\d)[^\W_]*|(?=[^\W\d_]*[A-Z])[^\W\d_]+-\d[^\W_]*)"
    r"(?:[-./](?=[^\W_]*\d)[^\W_]+)*(?![^\W_])"
)
NUMBER = re.compile(
    rf"(?:[$€£¥₹]{GAP}?)?(?:(?<!\w)|(?<=\d[x×]))(\d+(?:[.,'’]\d+|{GAP}\d{{3}}(?!\d))*)"
    rf"(?:{GAP}?({'|'.join(SCALES)})(?!\w)|([^\W\d_]{{1,12}})(?!\w)|(?=[x×]\d)|(?![^\W_]))"
    rf"(?:{GAP}?[%‰°$€£¥₹][CF]?(?!\w))?",
    re.IGNORECASE,
)
GROUPED = re.compile(r"(\d{1,3}(?:([.,'])\d{3})(?:\2\d{3})*|\d{1,2}(?:,\d\d)+,\d{3})(?:(?!\2)[.,](\d+))?")
PLAIN = re.compile(r"\d+(?:[.,]\d+)?")
FENCE = re.compile(r"(```|~~~).*?(?:\1|\Z)", re.DOTALL)
CITATION = re.compile(r"\[\^?\d{1,3}(?:[,–-] ?\d{1,3})*\]")
LIST_MARK = re.compile(r"(?m)^[ \t>*#_(\[-]*(?:[^\W\d_]{1,20} )?(\d{1,3})[.):\]](?=[*_]*[ \t]+\S|[*_]*$)")


@dataclass(frozen=True)
class Claim:
    "A piece of a text that a source should hold"

    kind: str  # number, name, code, address or quotation
    text: str  # as it is written
    start: int  # where it begins in the text
    end: int  # where it ends


@dataclass(frozen=True)
class Held:
    "What the sources of a text hold"

    text: str  # all of it, folded
    words: str  # its tokens, between spaces
    positions: dict[str, set[int]]  # token -> places
    ordinary: set[str]  # tokens that come in lower case
    numbers: set[Decimal]  # by value
    months: set[int]  # named, or in a date
    times: set[tuple[int, int]]  # hour on the dial and minute
    inflects: bool  # whether names may have other endings


def fold(
    text: str,  # any text
) -> str:
    "Return a text without differences of case, width and accents"
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", "".join(c for c in text if unicodedata.category(c) != "Mn"))


def split_tokens(
    text: str,  # any text
) -> list[str]:
    "Return the folded runs of letters and of digits: E3 and E-3 are e 3. Each character of Chinese is one"
    return TOKEN.findall(NO_SPACES.sub(r" \1 ", fold(text)))


def cover(
    text: str,  # that is searched
    spans: list[tuple[int, int]],  # starts and ends
    filler: str,  # one character
) -> str:
    "Return a text of the same length in which some places are covered; line breaks stay"
    parts, end = [], 0
    for start, stop in spans:
        parts += [text[end:start], "".join("\n" if c == "\n" else filler for c in text[start:stop])]
        end = stop
    return "".join([*parts, text[end:]])


def cover_structure(
    text: str,  # generated
) -> str:
    "Return a text without fenced code, citations, and the numbers of lists that count up from 1"
    for pattern in (FENCE, CITATION):
        text = cover(text, [match.span() for match in pattern.finditer(text)], " ")
    counted, spans = {0}, []
    for match in LIST_MARK.finditer(text):
        if int(match[1]) - 1 in counted:
            counted.add(int(match[1]))
            spans.append(match.span(1))
    return cover(text, spans, " ")


def find_languages(
    text: str,  # any text
) -> set[str]:
    "Return the languages whose function words a text has most of: several if it is unclear, none without any"
    words = set(WORD.findall(text.lower()))
    hits = {language: len(words & known) for language, known in known_words().items()}
    return {language for language, count in hits.items() if count and count == max(hits.values())}


def begins_sentence(
    text: str,  # that is searched
    start: int,  # of a word
) -> bool:
    "Return whether a word may owe its capital to its place: after a full stop, a bullet, an opening quotation mark"
    before = text[max(0, start - 80) : start]
    if re.search(r"[^\W_][-/'’]$", before):
        return False
    if before.endswith(tuple('"“„«»‘([{<')) or re.search(r"(?:^|\s)['’]$", before):
        return True
    before = before.rstrip(" \t\u00a0*_~`")
    if closed := re.search(r"[\"”“»)\]'’]+$", before):
        before = before[: closed.start()]
        return before.endswith(tuple(".!?…")) or not before
    if word := re.search(r"([^\W\d_]+)\.$", before):
        return len(word[1]) > 1 and word[1].lower() not in TITLES.split()
    return not (before and (before[-1].isalnum() or before[-1] in ",%‰°$€£¥&" + FILLER))


def find_words(
    text: str,  # that is searched
) -> Iterator[tuple[str, int, bool]]:
    "Yield each word, its start, and whether it may owe its capital to its place, as all words of a heading do"
    lines, end = text.splitlines(keepends=True), 0
    for line in lines:
        plain = line.strip()
        heading = plain.startswith("#") or plain.startswith("**") and plain.endswith("**") or plain.endswith(":")
        for match in WORD.finditer(line):
            start = end + match.start()
            yield match.group(), start, match.group()[0].isupper() and (heading or begins_sentence(text, start))
        end += len(line)


def has_capital_nouns(
    text: str,  # generated
    sources: list[str] = (),  # whose language counts if the text has no function word
) -> bool:
    """Return whether a capital is no sign of a name: in German, and if more than a third of the words have one.

    Words at the start of a sentence do not count, and words in a row count once, as Anna Schmidt does; but a text in
    which nearly all have a capital is a heading.
    """
    if "German" in (find_languages(text) or find_languages("\n".join(sources))):
        return True
    inside = [word[0].isupper() for word, _, initial in find_words(text) if not initial]
    runs = [capital for capital, before in zip(inside, [False, *inside]) if not (capital and before)]
    heading = len(inside) >= FEWEST_WORDS and sum(inside) > HEADING * len(inside)
    return heading or len(runs) >= FEWEST_WORDS and sum(runs) > MOST_CAPITALS * len(runs)


def is_mixed(
    word: str,  # letters
) -> bool:
    "Return whether a word has a capital inside and is not all capitals: GitHub, iPhone"
    return any(map(str.isupper, word[1:])) and not word.isupper()


def find_names(
    text: str,  # that is searched
    names: bool = True,  # False: only words with a capital inside
) -> Iterator[tuple[int, int]]:
    """Yield the spans of names: runs of capitalised words that do not owe the capital to their place.

    A word at the start of a sentence counts if it has a capital inside sentences too.
    """
    words = list(find_words(text))
    inside = {word for word, _, initial in words if not initial and word[0].isupper()}
    lower = {word for word, _, _ in words if word.islower()}
    span = None
    for word, start, initial in words:
        known = word.lower() in ORDINARY or word.lower() in lower or word.isupper() and len(word) > LONGEST_ACRONYM
        capital = names and word[0].isupper() and (not initial or word in inside) and len(word) > 1 and not known
        if not capital and not is_mixed(word):
            continue
        if span and text[span[1] : start] in JOINERS:
            span = (span[0], start + len(word))
            continue
        if span:
            yield span
        span = (start, start + len(word))
    if span:
        yield span


def find_quotations(
    text: str,  # that is searched
) -> Iterator[tuple[int, int]]:
    "Yield the spans of quotations, with their marks. Guillemets open as the first of them does"
    first = re.search("[«»]", text)
    guillemets = "»([^«»]{1,2000})«" if first and first.group() == "»" else "«([^«»]{1,2000})»"
    pairs = (r'(?<!\w)"(?=\S)([^"\n]{1,2000})(?<=\S)"(?!\w)', "„([^„“”]{1,2000})[“”]", "“([^“”]{1,2000})”")
    for match in re.finditer("|".join([*pairs, guillemets]), text):
        words = split_tokens(match.group())
        # a character of Chinese or Japanese is about half a word
        if len(words) - sum(bool(NO_SPACES.match(word)) for word in words) / 2 >= FEWEST_QUOTED:
            yield match.span()


def read_number_words(
    tokens: list[str],  # folded
    values: dict[str, int],  # word -> number
) -> Iterator[tuple[int, int, int]]:
    "Yield the place, the number of tokens and the value of number words: two, twenty-one, two hundred"
    for i, token in enumerate(tokens):
        if token not in values:
            continue
        value, size, after = values[token], 1, [*tokens[i + 1 : i + 4], ""]
        if token in TENS and 0 < values.get(after[0], 0) < 10:
            value, size = value + values[after[0]], 2
        while after[size - 1] in SCALES:
            value, size = value * SCALES[after[size - 1]], size + 1
        yield i, size, value


def find_number_words(
    text: str,  # that is searched
) -> Iterator[tuple[int, int]]:
    "Yield the spans of number words from two, in the language of the text, but not after an article"
    languages = find_languages(text)
    values = VALUES.get(languages.pop(), {}) if len(languages) == 1 else VALUES["English"]
    words, tokens, free = [], [], 0
    for match in WORD.finditer(text):
        if words and text[words[-1][1] : match.start()] not in (" ", "-"):  # `ten. Three` is two numbers
            words.append(words[-1])
            tokens.append("")
        words.append(match.span())
        tokens.append(fold(match.group()))
    for i, size, value in read_number_words(tokens, values):
        if i >= free and value > 1 and (i == 0 or tokens[i - 1] not in KNOWN):
            yield words[i][0], words[i + size - 1][1]
            free = i + size


def find_addresses(
    text: str,  # that is searched
) -> Iterator[tuple[int, int]]:
    "Yield the spans of addresses, without the punctuation of the sentence"
    for match in ADDRESS.finditer(text):
        address = match.group().rstrip(".,;:!?*_'’»]}")
        if "(" not in address:
            address = address.rstrip(").,;:!?")
        yield match.start(), match.start() + len(address)


def find_claims(
    text: str,  # generated
    names: bool | None = None,  # whether capitals are a sign of names; default: as `has_capital_nouns` finds
) -> list[Claim]:
    "Return what a source should hold, in the order of the text"
    names = not has_capital_nouns(text) if names is None else names
    spans = lambda pattern: lambda covered: (match.span() for match in pattern.finditer(covered))
    finders = [  # the first that finds a place has it
        ("quotation", find_quotations),
        ("address", find_addresses),
        ("number", spans(DATE)),
        ("number", spans(TIME)),
        ("code", spans(CODE)),
        ("number", spans(NUMBER)),
        ("name", lambda covered: find_names(covered, names)),
        ("number", find_number_words),
    ]
    covered, found = NO_SPACES.sub(HAN, cover_structure(text)), []
    for kind, find in finders:
        places = list(find(covered))
        found += [Claim(kind, text[start:end], start, end) for start, end in places]
        covered = cover(covered, places, QUOTED if kind == "quotation" else FILLER)
    return sorted(found, key=lambda claim: claim.start)


def read_run(
    run: str,  # digits with separators
) -> tuple[set[Decimal], list[Decimal]]:
    "Return what a number may mean, as 1,200 is 1200 or 1.2, and its pieces, as 1,2,3 is three numbers"
    pieces, plain = [Decimal(part) for part in re.findall(r"\d+", run)], re.sub(f"{GAP}|’", "'", run)
    found = set()
    if PLAIN.fullmatch(plain):
        found.add(Decimal(plain.replace(",", ".")))
    if match := GROUPED.fullmatch(plain):
        found.add(Decimal(re.sub(r"\D", "", match[1]) + "." + (match[3] or "0")))
    apart = not found and run.count(".") + 1 < len(pieces) or len(run.split()) > 1
    return found, pieces if apart else []


def read_number(
    match: re.Match,  # of `NUMBER`
) -> tuple[set[Decimal], set[Decimal], list[Decimal]]:
    "Return the values of a number with its scale (1.2 million), those without, and its pieces"
    plain, pieces = read_run(match[1])
    if match[2]:
        return {value * SCALES[match[2].lower()] for value in plain}, plain, pieces
    short = SHORT_SCALES.get((match[3] or "").lower(), 1)
    return plain | {value * short for value in plain}, plain, pieces


def read_date(
    match: re.Match,  # of `DATE`
) -> list[tuple[set[int], int, int]]:
    "Return what a date may mean: its year, which two digits leave open, its month and its day"
    year, first, second = (match[1], match[3], match[4]) if match[1] else (match[8], match[5], match[7])
    years = {int(year)} if len(year) == 4 else {int(year), 1900 + int(year), 2000 + int(year)}
    orders = {(int(first), int(second)), (int(second), int(first))}
    return [(years, month, day) for month, day in orders if 1 <= month <= 12 and 1 <= day <= 31]


def read_time(
    match: re.Match,  # of `TIME`
) -> tuple[int, int]:
    "Return the hour on the dial and the minute: 15:00 is 3 pm"
    return int(match[1]) % 12, int(match[2] or 0)


def hold(
    sources: list[str],  # prompts and documents
    inflects: bool = False,  # whether names have endings in this language
) -> Held:
    "Return what sources hold"
    text = NO_SPACES.sub(HAN, "\n\n".join(sources))  # next to a number as a space would be
    tokens = [token for source in sources for token in (*split_tokens(source), "\n", "\n")]
    positions, numbers = defaultdict(set), set()
    for i, token in enumerate(tokens):
        positions[token].add(i)
    for match in NUMBER.finditer(text):
        numbers.update(*read_number(match))
    for values in (*VALUES.values(), ORDINALS):
        for i, _, value in read_number_words(tokens, values):
            numbers |= {Decimal(value), Decimal(values[tokens[i]])}
    numbers |= {Decimal(SCALES[token]) for token in positions if token in SCALES}
    dates = [date for match in DATE.finditer(text) for date in read_date(match)]
    numbers |= {Decimal(number) for years, month, day in dates for number in (*years, month, day)}
    times = {read_time(match) for match in TIME.finditer(text)}
    dotted = re.findall(r"(?<![\w.,])([01]?\d|2[0-4])[.]([0-5]\d)(?!\w|[.,]\d)", text)
    return Held(
        fold(text),
        f" {' '.join(tokens)} ",
        positions,
        {fold(word) for word in WORD.findall(text) if word.islower()},
        numbers | {Decimal(f"{hour}.{minute:02}") for hour, minute in times},
        {MONTHS[token] for token in positions if token in MONTHS} | {month for _, month, _ in dates},
        times | {(int(hour) % 12, int(minute)) for hour, minute in dotted},
        inflects,
    )


def has_literally(
    held: Held,  # of the sources
    text: str,  # of a claim
) -> bool:
    "Return whether the sources have a text as it is, not inside a longer word or number"
    return re.search(rf"(?<!\w)(?<!\d[.,]){re.escape(fold(text))}(?!\w|[.,]\d)", held.text) is not None


def has_number(
    held: Held,  # of the sources
    text: str,  # of a claim
) -> bool:
    "Return whether the sources have a number, date or time by value"
    if match := DATE.fullmatch(text):
        dates = read_date(match)
        return any(
            day in held.numbers and month in held.months and years & held.numbers for years, month, day in dates
        )
    if match := TIME.fullmatch(text):
        hour, minute = read_time(match)
        return (hour, minute) in held.times or minute == 0 and bool({hour, hour + 12} & held.numbers)
    if match := NUMBER.search(text):
        values, _, pieces = read_number(match)
        if values or pieces:
            return bool(values & held.numbers) or bool(pieces) and held.numbers.issuperset(pieces)
        return f" {' '.join(split_tokens(match[1]))} " in held.words  # a version: 1.2.3
    tokens = split_tokens(text)
    return any(
        size == len(tokens) and Decimal(value) in held.numbers
        for values in VALUES.values()
        for i, size, value in read_number_words(tokens, values)
    )


def is_inflected(
    a: str,  # a folded word
    b: str,  # another
) -> bool:
    "Return whether two words have one stem of five letters or more, and endings of at most two"
    stem = len(commonprefix([a, b]))
    return stem >= max(SHORTEST_STEM, len(a) - 2, len(b) - 2)


def has_name(
    held: Held,  # of the sources
    text: str,  # of a claim
) -> bool:
    """Return whether the sources have the words of a name in a row, with at most one word between two of them.

    A word that they have in lower case is no name (President). A final s may be there or not (Anna's), and in a
    language that inflects names other last letters (Warszawa, Warszawie).
    """
    parts = [part for part in split_tokens(text) if part not in held.ordinary]
    if len(parts) == 1 and MONTHS.get(parts[0]) in held.months:
        return True
    ends = None
    for part in parts:
        forms = [part, part + "s", part.removesuffix("s")]
        if held.inflects and len(part) >= SHORTEST_STEM:
            forms += [token for token in held.positions if is_inflected(part, token)]
        places = set().union(*(held.positions.get(form, ()) for form in forms))
        ends = places if ends is None else {end + step for end in ends for step in (1, 2)} & places
    return ends is None or bool(ends)


def has_code(
    held: Held,  # of the sources
    text: str,  # of a claim
) -> bool:
    "Return whether the sources have the letters and digits of a code in a row; of Top-10 they may be apart"
    tokens = split_tokens(text)
    word, *rest = tokens
    apart = len(word) > 2 and "-" in text and word in held.positions and all(part in held.positions for part in rest)
    return f" {' '.join(tokens)} " in held.words or apart


def has_address(
    held: Held,  # of the sources
    text: str,  # of a claim
) -> bool:
    "Return whether the sources have an address, with or without http and www"
    plain = re.escape(re.sub(r"^(?:https?://)?(?:www\.)?", "", fold(text)).rstrip("/"))
    return re.search(rf"(?<![\w-]){plain}(?![\w-]|\.\w)", held.text) is not None


def has_quotation(
    held: Held,  # of the sources
    text: str,  # of a claim
) -> bool:
    "Return whether the sources have the words of a quotation, in parts if it was shortened by ... or []"
    parts = map(split_tokens, re.split(r"\.{3}|…|\[[^\]]*\]", text))
    return all(f" {' '.join(part)} " in held.words for part in parts if part)


CHECKS = {  # kind -> whether the sources have it
    "number": has_number,
    "name": has_name,
    "code": has_code,
    "address": has_address,
    "quotation": has_quotation,
}


def find_unsupported(
    answer: str,  # generated
    sources: list[str],  # its prompt, and the documents that it may use
) -> list[Claim]:
    "Return the claims that no source holds, in the order of the text"
    if not (claims := find_claims(answer, not has_capital_nouns(answer, sources))):
        return []
    languages = find_languages(answer) or find_languages("\n".join(sources))
    held = hold(sources, not languages or bool(languages & INFLECTED))
    missing = {
        (kind, text)
        for kind, text in {(claim.kind, claim.text) for claim in claims}  # one that is repeated is sought once
        if not has_literally(held, text) and not CHECKS[kind](held, text)
    }
    return [claim for claim in claims if (claim.kind, claim.text) in missing]


def grounding(
    answers: list[str],  # generated, one a row
    sources: list[list[str]],  # of each row: its prompt, and the documents that it may use
    confidence_level: float = 0.95,  # of the interval
) -> dict:
    """Return how many answers have a claim without a source.

    `unsupported` is the share of answers with a flag, `flags` lists (row, kind, text), and `without_names` counts the
    answers in which names were not looked for: see `has_capital_nouns`. Raises `UserError` without rows, or if the
    numbers of rows differ.
    """
    if len(answers) != len(sources) or not answers:
        raise UserError(
            f"answers and sources have {len(answers)} and {len(sources)} rows. Give the same rows, at least one."
        )
    sources = [[row] if isinstance(row, str) else list(row) for row in sources]
    found = [find_unsupported(answer, held) for answer, held in zip(answers, sources)]
    flags = [(row, claim.kind, claim.text) for row, claims in enumerate(found) for claim in claims]
    return {
        "unsupported": wilson(sum(map(bool, found)), len(answers), confidence_level),
        "flags": list(dict.fromkeys(flags)),
        "without_names": sum(map(has_capital_nouns, answers, sources)),
    }
