"The glossary: every term that a lesson marks has an entry, and its first use on a page is linked."

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from glossary import EVERYDAY, FILE, MARKED, OTHER_FORMS, find_entry, link_terms, list_names, read_terms  # noqa: E402

LESSONS = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))
STRESSED = {  # words that a lesson stresses, which are no terms
    *(
        "all, and, are, at random, bad, Begin with, below, better, called, check it, checks, compare, "
        "counted, empty, ended by, ends, every row, facts, fit, form, good, How it is built, i, i + 1, If …, "
        "is, its, kept, known, last, Left, memory, More, names, nearly, no, no answer, no label, not, on top of, "
        "once, one, per label, positive, read, rows have no token to train, runs, same, seconds, setting, "
        "Smaller, smaller, to keep, training, what, which, write, you, your"
    ).split(", ")
}


def read_prose(path: Path) -> list[str]:
    "Return the Markdown cells of a notebook"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def find_marked(text: str) -> set[str]:
    "Return what is in bold or italics and may be a term: no label of a paragraph, no hint, no sentence"
    plain = re.sub(r"```.*?```|`[^`\n]*`", "`", text, flags=re.DOTALL)
    return {match[2] for match in MARKED.finditer(plain) if not re.search(r"[.:?`]", match[2])}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_terms_of_a_lesson_have_entries(path):
    names = list_names(read_terms())
    marked = {text for cell in read_prose(path) for text in find_marked(cell)}
    assert {text for text in marked if not find_entry(text, names)} <= STRESSED, (
        "an entry in docs/glossary.md is missing"
    )


def test_stressed_words_are_no_terms():
    assert not [word for word in STRESSED if find_entry(word, list_names(read_terms()))]


def test_entries_are_short_sorted_and_used():
    terms, text = read_terms(), FILE.read_text(encoding="utf-8")
    assert (
        list(terms) == sorted(terms, key=str.lower) and len(terms) == len(re.findall(r"^: ", text, re.MULTILINE)) > 120
    )
    assert {term: clause for term, clause in terms.items() if len(clause.split()) > 25 or clause[-1] != "."} == {}
    assert {*OTHER_FORMS.values()} <= set(terms) and EVERYDAY <= {*terms, *OTHER_FORMS}
    wanted = "attention, adapter, bf16, clipping, norm, logit, safetensors, weight decay, warm-up, calibration, epoch"
    assert set(wanted.split(", ")) <= set(terms)


def test_first_use_is_linked():
    terms = ["loss", "token", "hidden state", "step"]
    first, second = link_terms(["The loss of two tokens. The loss again.", "Hidden states, a token."], terms)
    assert first == "The {term}`loss <loss>` of two {term}`tokens <token>`. The loss again."
    assert second == "{term}`Hidden states <hidden state>`, a token."


@pytest.mark.parametrize(
    "text",
    [
        "`loss` and ```\nloss\n``` and $loss$ and $$\nloss\n$$",
        "## The loss\n",
        "[the loss](loss.md) and ![loss](loss.png)",
        '<a title="loss">',
        "{doc}`loss`",
        ":::{note} loss",
        "losses_of, data-loss, lossy",
        "Step 3 takes a step.",
        "# Title\n\n> The loss leads.",
    ],
)
def test_what_is_no_prose_stays(text):
    assert link_terms([text], ["loss", "step"]) == [text]


def test_everyday_word_is_linked_where_it_is_marked():
    assert link_terms(["One step. A **step** is an update."], ["step"]) == [
        "One step. A **{term}`step <step>`** is an update."
    ]


def test_lessons_only_gain_links():
    terms = read_terms()
    for path in LESSONS:
        prose = read_prose(path)
        linked = link_terms(prose, terms)
        assert [re.sub(r"\{term\}`([^`<]+) <[^>]+>`", r"\1", text) for text in linked] == prose
        assert sum(text.count("{term}`") for text in linked) >= 8, path.name
