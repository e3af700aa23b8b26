"Settings files: read in one pass, every message with its line."

import pytest

from ftkit.errors import UserError
from ftkit.files.ini import Entry, read_entries

SECTIONS = ("objective", "data", "trainer")


def read_text(folder, text):
    "Entries of a file with this text"
    file = folder / "x.ini"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_entries(file, SECTIONS)


def test_entries_have_their_lines(tmp_path):
    text = "# first\n[data]\ntrain_file = a.csv\n; second\n\n[trainer]\nseed: 7\n  \nlearning_rate =\n"
    assert read_text(tmp_path, text) == [
        Entry("data", "train_file", "a.csv", 3),
        Entry("trainer", "seed", "7", 7),
        Entry("trainer", "learning_rate", "", 9),
    ]


@pytest.mark.parametrize(
    "text, value",
    [
        ("a =\n  one\n  two\n", "one\ntwo"),
        ("a = one\n\ttwo = 2\n", "one\ntwo = 2"),
        ("a = one\n# between\n  two\n", "one\ntwo"),
        ("a = x = y\n", "x = y"),
        ("a = [data]\n", "[data]"),
        ("a = half # no comment\n", "half # no comment"),
    ],
)
def test_value_is_read_as_written(tmp_path, text, value):
    assert read_text(tmp_path, f"[data]\n{text}") == [Entry("data", "a", value, 2)]


def test_blank_line_ends_a_value(tmp_path):
    with pytest.raises(UserError, match="line 4: not a line of the form key = value"):
        read_text(tmp_path, "[data]\na = one\n\n  two\n")


@pytest.mark.parametrize("text", ["\ufeff[data]\na = é\n", "[data]\r\na = é\r\n"], ids=["byte order mark", "windows"])
def test_foreign_file_is_read(tmp_path, text):
    assert read_text(tmp_path, text) == [Entry("data", "a", "é", 2)]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a = 1", "line 1: a key before any section"),
        ("[data]\n\na", "line 3: not a line of the form key = value"),
        ("[data]\na = 1\nb = 2\na = 3", r"line 4: \[data\] a is given twice"),
        ("[data]\n[trainer]\n[data]", r"line 3: the section \[data\] is given twice"),
        ("\n[dat]", r"line 2: there is no section \[dat\]. Did you mean 'data'\? Sections: objective, data, trainer"),
        (b"[data]\na = \xff", "cannot be read as a UTF-8 settings file"),
    ],
)
def test_message_has_file_and_line(tmp_path, text, message):
    with pytest.raises(UserError, match=rf"x\.ini(, |: ){message}"):
        read_text(tmp_path, text)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="none.ini: there is no such settings file"):
        read_entries(tmp_path / "none.ini", SECTIONS)
