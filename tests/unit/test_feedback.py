"Judged answers: written, read, and added to the training rows without leaking into them."

import json
import logging
from multiprocessing import get_context

import pytest
from conftest import small_rows, write_csv

from ftkit.data import load_data
from ftkit.errors import UserError
from ftkit.files.feedback import KEYS, add_feedback, feedback_path, join_entries, read_entries, read_feedback
from ftkit.tasks.generation import Conversation
from ftkit.tasks.multi_label import SeveralLabels
from ftkit.tasks.regression import Number


@pytest.fixture
def judged(tmp_path):
    "Four judgements: good, corrected, bad, and one whose text is odd"
    file = tmp_path / "feedback/answers.jsonl"
    add_feedback(file, "It works, number 900", "good", "good", run="one")
    add_feedback(file, 'A "bad" day,\nnumber 901', "good", "bad", "bad")
    add_feedback(file, "So so, number 902", "bad", "bad")
    add_feedback(file, "=1+1 number 903", "flat", "good")
    return file


@pytest.fixture
def keys(tmp_path):
    "The data settings of the small rows"
    return dict(train_file=str(write_csv(tmp_path / "rows.csv", small_rows(90))), label_column_name="stars")


def write_judged(tmp_path, *rows):
    "Write judgements (text, answer, mark, corrected)"
    for row in rows:
        add_feedback(tmp_path / "f.jsonl", *row)
    return str(tmp_path / "f.jsonl")


def test_judgements_are_read_back(judged):
    table, unused = read_feedback(judged)
    assert table.columns["label"] == ["good", "bad", "flat"] and unused == 1
    assert table.columns["text"][1:] == ['A "bad" day,\nnumber 901', "=1+1 number 903"]
    lines = [json.loads(line) for line in judged.read_text().splitlines()]
    assert len(lines) == 4 and tuple(lines[0]) == KEYS and lines[0]["run"] == "one"


def test_tables_are_read_too(tmp_path):
    rows = [{"text": "a", "answer": "good", "mark": "Good"}, {"text": "b", "answer": "good", "mark": "bad"}]
    table, unused = read_feedback(write_csv(tmp_path / "f.csv", rows))
    assert table.columns == {"text": ["a"], "label": ["good"]} and unused == 1


def test_last_judgement_on_a_text_counts(tmp_path):
    file = write_judged(
        tmp_path, ("a", "good", "good"), ("b", "good", "good"), ("a", "good", "bad", "bad"), ("b", "good", "bad")
    )
    table, unused = read_feedback(file)
    assert table.columns == {"text": ["a"], "label": ["bad"]} and unused == 3


@pytest.mark.parametrize("torn", [b'{"text": "half', b'{"text": "a", "ans\xf0\x9f'])
def test_torn_line_is_skipped_and_named(judged, torn, caplog):
    with open(judged, "ab") as f:
        f.write(torn)
    with caplog.at_level(logging.WARNING, "ftkit"):
        assert len(read_entries(judged)) == 4
    assert "line 5: is torn" in caplog.text
    add_feedback(judged, "after it", "good", "good")
    assert [entry["text"] for entry in read_entries(judged)][-1] == "after it" and len(read_entries(judged)) == 5


def test_line_without_its_break_is_kept(judged):
    judged.write_bytes(judged.read_bytes()[:-1])
    add_feedback(judged, "after it", "good", "good")
    assert len(read_entries(judged)) == 5


def append_many(file, name):
    for i in range(50):
        add_feedback(file, f"{name} {i}", "good", "good")


def test_writers_lose_no_line(tmp_path):
    processes = [get_context("fork").Process(target=append_many, args=(tmp_path / "f.jsonl", n)) for n in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert len({entry["text"] for entry in read_entries(tmp_path / "f.jsonl")}) == 200


@pytest.mark.fault("disk full")
def test_full_disk_leaves_earlier_lines(judged, monkeypatch):
    before = judged.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ftkit.files.feedback.os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        add_feedback(judged, "one more", "good", "good")
    assert judged.read_bytes() == before


@pytest.mark.fault("hostile files")
def test_links_are_not_written_through(tmp_path):
    (tmp_path / "profile").write_text("mine\n")
    (tmp_path / "f.jsonl").symlink_to(tmp_path / "profile")
    with pytest.raises(UserError, match="cannot be written"):
        add_feedback(tmp_path / "f.jsonl", "a", "b", "good")
    assert (tmp_path / "profile").read_text() == "mine\n"


def test_half_a_character_is_written_and_read(tmp_path):
    file = write_judged(tmp_path, ("half \ud83d", "good", "good"))
    assert read_entries(file)[0]["text"] == "half \ud83d"


def test_file_lies_next_to_the_run(tmp_path):
    assert feedback_path(tmp_path / "runs/x") == tmp_path / "runs/x.feedback.jsonl"


def test_grown_file_counts_once(judged):
    first = read_entries(judged)
    add_feedback(judged, "one more", "good", "good")
    assert join_entries(first, read_entries(judged)) == read_entries(judged)


@pytest.mark.parametrize(
    "row, message",
    [
        ({"text": "a", "answer": "b", "mark": "perhaps"}, "row 1: the mark is 'perhaps'. Write good or bad"),
        ({"text": "a", "answer": "b"}, "'mark' is missing"),
        (["a"], "'text' is missing"),
    ],
)
def test_other_files_are_refused(tmp_path, row, message):
    (tmp_path / "f.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=message):
        read_feedback(tmp_path / "f.jsonl")
    if isinstance(row, dict):
        with pytest.raises(UserError, match=message.replace("row 1", "row .")):
            read_feedback(write_csv(tmp_path / "f.csv", [row]))


def test_judgements_given_as_values_are_read_as_from_a_file():
    rows = [{"text": "a", "answer": "good", "mark": "Good"}, {"text": "b", "answer": "good", "mark": "bad"}]
    table, unused = read_feedback(rows)  # neither has a correction
    assert table.columns == {"text": ["a"], "label": ["good"]} and unused == 1
    with pytest.raises(UserError, match="judgement 2: is no feedback: 'mark' is missing"):
        read_feedback([rows[0], {"text": "b", "answer": "good"}])


def test_file_without_json_is_refused(tmp_path):
    (tmp_path / "f.jsonl").write_text("text,answer,mark\na,b,good\n")
    with pytest.raises(UserError, match="none of its lines is a JSON object"):
        read_feedback(tmp_path / "f.jsonl")


def test_other_marks_are_refused(tmp_path):
    with pytest.raises(UserError, match="good, bad"):
        add_feedback(tmp_path / "f.jsonl", "a", "b", "ok")
    assert not (tmp_path / "f.jsonl").exists()


@pytest.mark.parametrize("limit", [None, 20])
def test_judged_answers_join_the_training_rows(keys, judged, limit):
    plain, old = load_data(**keys, max_train_samples=limit)
    data, report = load_data(**keys, max_train_samples=limit, feedback_file=str(judged))
    train, count = data["train"], len(plain["train"])
    assert len(train) == count + 3 and train["text"][:count] == plain["train"]["text"][:]
    assert train["source"][count:] == ["feedback"] * 3
    assert data["test"]["text"][:] == plain["test"]["text"][:] and set(data["test"]["source"]) == {"rows"}
    assert report["feedback"]["rows_sha256"] == old["train"]["sha256"] != report["train"]["sha256"]
    assert any("3 judged answers were added" in note and "1 without a correction" in note for note in report["notes"])
    assert "3 judged answers added" in report["lines"][0]


def test_judged_held_out_row_stays_as_it_is(tmp_path, keys):
    plain, _ = load_data(**keys)
    text = plain["test"]["text"][0]
    label = plain["test"].features["label"].int2str(plain["test"]["label"][0])
    other = next(name for name in ("good", "bad") if name != label)
    data, report = load_data(**keys, feedback_file=write_judged(tmp_path, (text.upper(), label, "bad", other)))
    assert len(data["train"]) == len(plain["train"]) and report["test"]["sha256"]
    assert data["test"]["label"][:] == plain["test"]["label"][:]
    assert report["feedback"]["held_out"] == 1
    assert report["feedback"]["disputed"] == [{"split": "test", "text": text.upper(), "label": label, "judged": other}]
    assert any("1 test rows were judged otherwise and stay" in note for note in report["notes"])


def test_known_rows_are_not_doubled(tmp_path, keys):
    plain, _ = load_data(**keys)
    row = plain["train"][0]
    label = plain["train"].features["label"].int2str(row["label"])
    data, report = load_data(**keys, feedback_file=write_judged(tmp_path, (row["text"], label, "good")))
    assert len(data["train"]) == len(plain["train"]) and report["feedback"]["known"] == 1


def test_unknown_label_of_a_judgement_is_refused(tmp_path, keys):
    file = write_judged(tmp_path, ("a new text", "superb", "good"))
    with pytest.raises(UserError, match="f.jsonl: the judged rows have the label 'superb'"):
        load_data(**keys, feedback_file=file)


def test_corrected_answers_are_conversations(tmp_path):
    file = write_judged(tmp_path, ("Is it new?", "I do not know.", "bad", "Yes, it is new."))
    data, _ = load_data(dataset_name="support", target=Conversation(), feedback_file=file)
    last = data["train"][-1]
    assert (last["text"], last["label"], last["source"]) == ("Is it new?", "Yes, it is new.", "feedback")
    assert last["messages"].endswith('"content": "Yes, it is new."}]')


def test_corrected_numbers_and_sets_of_labels_are_read(tmp_path):
    rows = [{"text": f"text {i}", "label": i % 5 + 0.5} for i in range(60)]
    data, _ = load_data(rows, target=Number(), feedback_file=write_judged(tmp_path, ("new", "2.0", "bad", "4.5")))
    assert data["train"][-1]["label"] == 4.5
    with pytest.raises(UserError, match="'many'.* is no number"):
        load_data(rows, target=Number(), feedback_file=write_judged(tmp_path, ("newer", "2.0", "bad", "many")))
    (tmp_path / "f.jsonl").unlink()
    rows = [{"text": f"text {i}", "label": [["a"], ["b"], ["a", "b"]][i % 3]} for i in range(60)]
    file = write_judged(tmp_path, ("new", '["a"]', "bad", '["a", "b"]'), ("newer", "[]", "good"))
    data, _ = load_data(rows, target=SeveralLabels(), feedback_file=file)
    assert data["train"]["label"][-2:] == [[1.0, 1.0], [0.0, 0.0]]
