"Two spellings of one label are one label; names that stand for nothing are reported."

import pytest

from ftkit.checks.duplicates import normalise
from ftkit.checks.labels import find_empty_names, join_spellings, label_key
from ftkit.checks.texts import is_blank

SAME = [
    ("pos", "Pos"),
    ("pos", "POS "),
    ("pos", "pos\u200b"),
    ("café", "cafe\u0301"),
    ("1", "1.0"),
    ("-0", "0"),
    ("ﬁne", "fine"),
    ("a b", "ab"),
]
OTHER = [
    ("pos", "neg"),
    ("007", "7"),
    ("1", "10"),
    ("1.0", "1.1"),
    ("1234567", "1234568"),
    ("हि", "हा"),
    ("+1", "-1"),
    ("C", "C++"),
]


@pytest.mark.parametrize("a, b", SAME)
def test_spellings_share_a_key(a, b):
    assert label_key(a) == label_key(b)


@pytest.mark.parametrize("a, b", OTHER)
def test_labels_differ_by_key(a, b):
    assert label_key(a) != label_key(b)


def test_frequent_spelling_is_chosen():
    spelling, notes = join_spellings(["pos"] * 5 + ["Pos"] * 2 + ["neg"])
    assert spelling == {"pos": "pos", "Pos": "pos", "neg": "neg"}
    assert notes == ["'pos' (5), 'Pos' (2) were read as one label, 'pos'"]


@pytest.mark.parametrize("name", ["nan", "None", "N/A", "-", "?", "null"])
def test_missing_name_is_reported(name):
    (note,) = find_empty_names({name: 3, "pos": 9}, "label")
    assert note.startswith(f"3 rows have the label '{name}'") and "ignore_labels = " in note


def test_column_name_is_reported():
    assert "header line repeated" in find_empty_names({"Label": 1, "pos": 9}, "label")[0]


@pytest.mark.parametrize("value", [None, float("nan"), "", " \t\n", "\u200b", "\ufeff \u2060", "\x00"])
def test_nothing_to_read_is_blank(value):
    assert is_blank(value)


@pytest.mark.parametrize("value", ["0", "-", "null", "😀", "\u200bx"])
def test_something_to_read_is_not(value):
    assert not is_blank(value)


def test_links_alone_stay_different():
    assert len({normalise(f"https://a{i}.example/x") for i in range(20)}) == 20
    assert len({normalise(f"@user{i} @x{i} !") for i in range(20)}) == 20
    assert normalise("see https://a.example/1 @bo") == normalise("SEE  https://b.example/2 @ana")
