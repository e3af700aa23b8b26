"Columns are found by name and content; a tie is refused with both names."

import pytest

from ftkit.checks.columns import choose_label, choose_text
from ftkit.errors import UserError
from ftkit.files.rows import Table

N = 60
TEXTS = [f"The bus number {i} was late again today" for i in range(N)]
LONG = [f"{t}, and so I walked home through the rain for an hour" for t in TEXTS]
IDS = [f"a{i:05d}" for i in range(N)]
KINDS = [("bad", "flat", "good")[i % 3] for i in range(N)]
NUMBERS = [str(i % 3) for i in range(N)]
OTHERS = [("home", "work")[i // 30] for i in range(N)]
DATES = [f"2026-01-{i % 28 + 1:02d}" for i in range(N)]
TITLES = [f"Late bus {i}" for i in range(N)]

FOUND = {
    "usual names": ({"text": TEXTS, "label": KINDS}, "text", "label"),
    "lists of labels": ({"text": TEXTS, "labels": [[name] for name in KINDS], "class": KINDS}, "text", "labels"),
    "names in capitals with spaces": ({" Text ": TEXTS, "LABEL": KINDS}, " Text ", "LABEL"),
    "ids under text": ({"text": IDS, "body": TEXTS, "label": KINDS}, "body", "label"),
    "numbers and their names": ({"text": TEXTS, "label": NUMBERS, "label_text": KINDS}, "text", "label_text"),
    "numbers and names of another name": ({"text": TEXTS, "label": NUMBERS, "mood": KINDS}, "text", "mood"),
    "no usual name": ({"Remark": TEXTS, "Feeling": KINDS}, "Remark", "Feeling"),
    "other columns": ({"id": IDS, "date": DATES, "review": TEXTS, "stars": NUMBERS}, "review", "stars"),
    "a shorter title": ({"title": TITLES, "review": LONG, "stars": NUMBERS}, "review", "stars"),
    "part of the text": ({"text": LONG, "selected_text": TEXTS, "sentiment": KINDS}, "text", "sentiment"),
    "one constant usual column": ({"text": TEXTS, "category": ["x"] * N, "stars": NUMBERS}, "text", "stars"),
    "no spaces between words": (
        {"post": ["公交车今天又晚了" + str(i) for i in range(N)], "label": KINDS},
        "post",
        "label",
    ),
}
TIES = {
    "a question and its passage": ({"question": TEXTS, "passage": LONG, "label": KINDS}, "'question' and 'passage'"),
    "two usual names": (
        {"question": TEXTS, "sentence": LONG, "label": KINDS},
        "'question'.*'sentence'|'sentence'.*'question'",
    ),
    "two texts without a usual name": ({"a": TEXTS, "b": LONG, "label": KINDS}, "'b' and 'a'"),
    "two labels": ({"text": TEXTS, "label": KINDS, "topic": OTHERS}, "'label' and 'topic'"),
    "two labels without a usual name": ({"text": TEXTS, "x": KINDS, "y": OTHERS}, "'x' and 'y'"),
}


def choose(columns):
    table = Table(dict(columns), "mine.csv")
    text, _ = choose_text(table)
    return text, choose_label(table, without=tuple(text))[0]


@pytest.mark.parametrize("columns, text, label", FOUND.values(), ids=FOUND)
def test_columns_are_found(columns, text, label):
    assert choose(columns) == ([text], label)


@pytest.mark.parametrize("columns, message", TIES.values(), ids=TIES)
def test_tie_names_both(columns, message):
    with pytest.raises(UserError, match=f"^mine.csv: ({message}) would both do as .* Write ") as e:
        choose(columns)
    assert "\n" not in str(e.value)


def test_two_text_columns_given():
    table = Table({"title": TITLES, "body": LONG, "label": KINDS})
    assert choose_text(table, "title, body") == (["title", "body"], "as given")
    assert choose_text(Table({"title, body": LONG}), "title, body")[0] == ["title, body"]


@pytest.mark.parametrize("wanted, message", [("reveiw", "Did you mean 'review'"), ("x", "Columns: review, stars")])
def test_unknown_column_is_refused(wanted, message):
    with pytest.raises(UserError, match=f"text_column_name = {wanted}: there is no such column.*{message}"):
        choose_text(Table({"review": TEXTS, "stars": NUMBERS}), wanted)


def test_given_name_may_differ_in_case():
    assert choose_label(Table({"review": TEXTS, "Star Rating": NUMBERS}), "star_rating")[0] == "Star Rating"
