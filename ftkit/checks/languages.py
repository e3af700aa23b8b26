"""Texts in another script or language than the rest.

A base model reads the languages that it was trained on. A few rows of another one are mostly there by accident.
"""

import unicodedata
from collections import Counter
from functools import cache

MAIN = 0.8  # share of the rows that a script or language has to have, to be that of the data
FEWEST_WORDS = 5  # of a text whose language is looked for
FEWEST_HITS = 3  # different function words that a text has to have of its language
FUNCTION_WORDS = {
    "English": "the and of to in is that it for you was with on are this be have not but they at from i my",
    "German": "der die das und ist nicht ich zu den mit ein eine auf für es sich dem von im auch wir sie aber",
    "French": "le la les et est une des je pas que vous dans pour qui sur au avec ce il elle nous mais très",
    "Spanish": "el la los las y es que de en un una por con no para se lo mi muy pero como está este",
    "Italian": "il lo gli e è che di un una per non con sono mi della nel si ma molto anche questo come",
    "Portuguese": "o os e é que de em um uma para não com eu do da no na mas muito por se está você",
    "Dutch": "de het een en is niet ik van dat op te zijn voor met maar ook die er aan heeft naar je",
    "Swedish": "och att det är en som inte jag på med för av den till har vi men så om ett var",
    "Polish": "nie się na jest to że do w z i jak ale co tak po od za dla mnie był bardzo przez",
    "Turkish": "ve bir bu için çok da de ne ben o ile var mi daha ama gibi kadar sonra değil en",
}


@cache
def find_script(
    letter: str,  # one character
) -> str | None:
    "Return the script of a letter as the first word of its Unicode name, such as LATIN; None for anything else"
    if not letter.isalpha():
        return None
    name = unicodedata.name(letter, "").split(" ")[0].split("-")[0]
    return {"HIRAGANA": "JAPANESE", "KATAKANA": "JAPANESE", "CJK": "HAN", "FULLWIDTH": "LATIN"}.get(name, name)


def main_script(
    text: str,  # of a row
) -> str | None:
    "Return the script of most letters of a text, or None if it has no letters. Han next to Kana is Japanese"
    if text.isascii():
        return "LATIN" if any(map(str.isalpha, text)) else None
    counts = Counter(filter(None, map(find_script, text)))
    if counts["JAPANESE"]:
        counts["JAPANESE"] += counts.pop("HAN", 0)
    return counts.most_common(1)[0][0] if counts else None


def main_language(
    text: str,  # in Latin letters
) -> str | None:
    "Return the language whose function words a text has most of, or None if that is not clear"
    parts = text.lower().split()
    if len(parts) < FEWEST_WORDS:
        return None
    words = set(parts)
    hits = sorted(((len(words & known), name) for name, known in known_words().items()), reverse=True)
    (most, name), (second, _) = hits[:2]
    return name if most >= FEWEST_HITS and most >= 2 * second else None


@cache
def known_words() -> dict[str, set[str]]:
    "Return language -> function words"
    return {name: set(words.split()) for name, words in FUNCTION_WORDS.items()}


def find_kind(
    text: str,  # of a row
) -> str | None:
    "Return the language of a text in Latin letters if it is clear, else the script; None if there are no letters"
    script = main_script(text)
    return main_language(text) or script if script == "LATIN" else script


def find_foreign(
    texts: list,  # one a row; what is no text is passed over
) -> dict[str, list[int]]:
    "Return the rows whose script or language is not that of the data: name -> rows. Empty if the data has no main one"
    kinds = [find_kind(text) if isinstance(text, str) else None for text in texts]
    scripts = Counter("LATIN" if kind in FUNCTION_WORDS else kind for kind in kinds if kind)
    languages = Counter(kind for kind in kinds if kind in FUNCTION_WORDS)
    if not scripts or scripts.most_common(1)[0][1] < MAIN * scripts.total():
        return {}
    expected = {scripts.most_common(1)[0][0]}
    if expected == {"LATIN"}:
        sure = languages and languages.most_common(1)[0][1] >= MAIN * languages.total()
        expected |= {languages.most_common(1)[0][0]} if sure else set(FUNCTION_WORDS)
    found: dict[str, list[int]] = {}
    for i, kind in enumerate(kinds):
        if kind and kind not in expected:
            found.setdefault(kind if kind in FUNCTION_WORDS else f"{kind.capitalize()} script", []).append(i)
    return found
