"Judged answers: written, read, and added to the training rows without leaking into them."

import pytest
from conftest import small_rows, write_csv

from ftkit.data import load_data
from ftkit.errors import UserError
from ftkit.files.feedback import add_feedback, read_feedback
from ftkit.tasks.generation import Conversation


@pytest.fixture
def judged(tmp_path):
    "Four judgements: good, corrected, bad, and one whose text is odd"
    file = tmp_path / "feedback/answers.csv"
    add_feedback(file, "It works, number 900", "good", "good", run="one")
    add_feedback(file, 'A "bad" day,\nnumber 901', "good", "bad", "bad")
    add_feedback(file, "So so, number 902", "bad", "bad")
    assert add_feedback(file, "=1+1 number 903", "flat", "good") == 4
    return file


def test_judgements_are_read_back(judged):
    table, unused = read_feedback(judged)
    assert table.columns["label"] == ["good", "bad", "flat"] and unused == 1
    assert table.columns["text"][1:] == ['A "bad" day,\nnumber 901', "=1+1 number 903"]


@pytest.mark.parametrize(
    "row, message",
    [
        ({"text": "a", "answer": "b", "mark": "perhaps"}, "Write good or bad"),
        ({"text": "a", "answer": "b"}, "column 'mark' is missing"),
    ],
)
def test_other_files_are_refused(tmp_path, row, message):
    file = write_csv(tmp_path / "f.csv", [row])
    with pytest.raises(UserError, match=message):
        read_feedback(file)


def test_other_marks_are_refused(tmp_path):
    with pytest.raises(UserError, match="good, bad"):
        add_feedback(tmp_path / "f.csv", "a", "b", "ok")
    assert not (tmp_path / "f.csv").exists()


def test_judged_answers_join_the_training_rows(tmp_path, judged):
    keys = dict(train_file=str(write_csv(tmp_path / "rows.csv", small_rows(90))), label_column_name="stars")
    plain, _ = load_data(**keys)
    data, report = load_data(**keys, feedback_file=str(judged))
    new = [row for row in data["train"] if row["source"] == "feedback"]
    assert len(data["train"]) == len(plain["train"]) + 3 == len(plain["train"]) + len(new)
    assert data["test"]["text"][:] == plain["test"]["text"][:] and set(data["test"]["source"]) == {"rows"}
    assert any("3 judged answers were added" in note and "1 without a correction" in note for note in report["notes"])


def test_judged_test_row_stays_out(tmp_path):
    keys = dict(train_file=str(write_csv(tmp_path / "rows.csv", small_rows(90))), label_column_name="stars")
    plain, _ = load_data(**keys)
    add_feedback(tmp_path / "f.csv", plain["test"]["text"][0].upper(), "good", "good")
    data, report = load_data(**keys, feedback_file=str(tmp_path / "f.csv"))
    assert len(data["train"]) == len(plain["train"])
    assert any("1 whose text is a validation or test row" in note for note in report["notes"])


def test_unknown_label_of_a_judgement_is_refused(tmp_path):
    keys = dict(train_file=str(write_csv(tmp_path / "rows.csv", small_rows(90))), label_column_name="stars")
    add_feedback(tmp_path / "f.csv", "a new text", "superb", "good")
    with pytest.raises(UserError, match="superb"):
        load_data(**keys, feedback_file=str(tmp_path / "f.csv"))


def test_corrected_answers_are_conversations(tmp_path):
    add_feedback(tmp_path / "f.csv", "Is it new?", "I do not know.", "bad", "Yes, it is new.")
    data, _ = load_data(dataset_name="support", target=Conversation(), feedback_file=str(tmp_path / "f.csv"))
    last = data["train"][-1]
    assert (last["text"], last["label"], last["source"]) == ("Is it new?", "Yes, it is new.", "feedback")
    assert last["messages"].endswith('"content": "Yes, it is new."}]')
