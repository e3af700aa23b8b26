"""The terms of the lessons: read from docs/glossary.md, found in prose, linked at their first use on each page.

The notebooks stay as they are; `stage.py` links on the site. A test finds terms without an entry.
"""

import re

from notebooks import ROOT

FILE = ROOT / "docs" / "glossary.md"
OTHER_FORMS = {  # as the lessons write it -> the entry
    "calibrated": "calibration",
    "causal": "causal model",
    "leaked": "leak",
    "macro": "macro average",
    "McNemar": "McNemar's test",
    "overfits": "overfitting",
    "p": "p value",
    "test": "test rows",
    "train": "training rows",
    "validation": "validation rows",
    "Wilson": "Wilson's interval",
}
EVERYDAY = {  # words with other meanings, too: linked only if a lesson marks them as a term
    *("adjusted", "attention", "block", "causal", "context", "drift", "exact", "feature", "frozen", "head"),
    *("hit", "label", "layer", "leak", "macro", "miss", "norm", "p", "pair", "point", "rank", "recall"),
    *("slice", "step", "task", "test", "train", "update", "validation", "weight"),
}
KEPT = re.compile(  # what is no prose: code, formulas, headings, links, tags, roles, attributes, directives
    r"```.*?```|~~~.*?~~~|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|^#.*?$|!?\[[^\]]*\]\([^)]*\)|<[^>\n]*>|\{[^}\n]*\}"
    r"(?:`[^`]*`)?|^:::.*?$",
    re.DOTALL | re.MULTILINE,
)
MARKED = re.compile(r"(?<![*\w])(\*{1,2})(?![\s*])([^*\n]{1,40}?)(?<![\s*])\1(?![*\w])")


def read_terms() -> dict[str, str]:
    "Return term -> its clause"
    return dict(re.findall(r"^(\S.*)\n: (.+)$", FILE.read_text(encoding="utf-8"), re.MULTILINE))


def list_names(
    terms,  # of the glossary
) -> dict[str, str]:
    "Return what is looked for -> its entry, longer names first: *hidden state* is not linked as *state*"
    names = {**{term: term for term in terms}, **OTHER_FORMS}
    return dict(sorted(names.items(), key=lambda item: -len(item[0])))


def find_entry(
    text: str,  # as a lesson marks it, such as *Logits*
    names: dict[str, str],  # from `list_names`
) -> str | None:
    "Return the entry of a term in singular or plural, or None"
    lowered = {name.lower(): entry for name, entry in names.items()}
    forms = (text.lower(), text.lower().removesuffix("s"), text.lower().removesuffix("es"))
    return next((lowered[form] for form in forms if form in lowered), None)


def link_terms(
    texts: list[str],  # the prose of a page, cell by cell
    terms,  # of the glossary
) -> list[str]:
    "Return the prose with a link at the first use of each term; title and lead have none"
    names, done = list_names(terms), set()
    return [text if text.startswith("# ") else link_cell(text, names, done) for text in texts]


def link_cell(
    text: str,  # Markdown
    names: dict[str, str],  # from `list_names`
    done: set[str],  # entries that are linked already; those of this cell are added
) -> str:
    "Return the text of a cell with links"
    parts, places, start = [], [], 0
    for kept in KEPT.finditer(text):
        places.append((start, kept.start()))
        start = kept.end()
    places.append((start, len(text)))
    start = 0
    for begin, end in places:
        parts += [text[start:begin], link_prose(text[begin:end], names, done)]
        start = end
    return "".join(parts)


def link_prose(
    text: str,  # without code, links and headings
    names: dict[str, str],  # from `list_names`
    done: set[str],  # entries that are linked already
) -> str:
    "Return prose with links"
    found = {}  # start -> (end, entry)
    for name, entry in names.items():
        if entry in done:
            continue
        word = rf"(?<![\w-]){re.escape(name)}(?:s|es)?(?![\w-])"
        marks = r"(?<=\*)", r"(?=\*)"
        pattern = marks[0] + word + marks[1] if name in EVERYDAY else word
        for match in re.finditer(pattern, text, re.IGNORECASE):
            if all(match.end() <= a or match.start() >= b for a, (b, _) in found.items()):
                found[match.start()] = (match.end(), entry)
                done.add(entry)
                break
    for start, (end, entry) in sorted(found.items(), reverse=True):
        text = f"{text[:start]}{{term}}`{text[start:end]} <{entry}>`{text[end:]}"
    return text
