"Exports of annotation tools: confirmed labels alone, conflicts and spans refused."

import pytest

from ftkit.errors import UserError
from ftkit.files.annotations import (
    find_indicator_columns,
    find_several_labels,
    to_labels,
    unlist,
    unpack_annotations,
)
from ftkit.files.json_rows import parse_json
from ftkit.files.rows import Table


def unpack(rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    return unpack_annotations(Table({name: [row.get(name) for row in rows] for name in names}, "a.jsonl"))


def chosen(*names, question="topic", **more):
    value = {"from_name": question, "to_name": "t", "type": "choices", "value": {"choices": list(names)}}
    return {"result": [value] if names else [], **more}


def task(number, *annotations, **data):
    return {"id": str(number), "data": {"text": f"text {number}", **data}, "annotations": list(annotations)}


LABEL_STUDIO = {
    "one annotator": ([task(1, chosen("a")), task(2, chosen("b"))], ["a", "b"]),
    "annotators agree": (
        [task(1, chosen("a"), chosen("a")), task(2, chosen("x", "y"), chosen("y", "x"))],
        [["a"], ["x", "y"]],
    ),
    "skipped": ([task(1, chosen("a", was_cancelled=True)), task(2, chosen("b"))], [None, "b"]),
    "nothing chosen": ([task(1, chosen()), task(2)], [None, None]),
    "ground truth": ([task(1, chosen("a"), chosen("b", ground_truth=True))], ["b"]),
}


@pytest.mark.parametrize("rows, labels", LABEL_STUDIO.values(), ids=LABEL_STUDIO)
def test_label_studio_choices_are_labels(rows, labels):
    table = unpack(rows)
    assert list(table.columns) == ["id", "text", "label"] and table.columns["label"] == labels
    assert table.columns["text"] == [f"text {r['id']}" for r in rows]
    assert table.notes[0] == "read as a Label Studio export"


def test_label_studio_counts_unfinished_tasks():
    notes = unpack([task(1, chosen("a", was_cancelled=True)), task(2, chosen("b")), task(3)]).notes
    assert notes[1:] == ["1 skipped annotation left out", "2 tasks without a completed annotation"]


def test_label_studio_export_from_json():
    text = '[{"id": 7, "data": {"review": "a good day", "n": 1}, "annotations": [%s], "predictions": []}]'
    annotation = '{"result": [{"from_name": "s", "type": "choices", "value": {"choices": ["pos"]}}]}'
    table = unpack_annotations(parse_json(text % annotation, "a.json", "utf-8"))
    assert table.columns == {"id": ["7"], "text": ["a good day"], "n": ["1"], "label": ["pos"], "predictions": [[]]}


def test_label_studio_questions_are_columns():
    annotation = chosen("a")
    annotation["result"] += chosen("good", question="tone")["result"]
    table = unpack([task(1, annotation)])
    assert table.columns["topic"] == ["a"] and table.columns["tone"] == ["good"] and "label" not in table.columns


def test_label_in_data_keeps_apart():
    assert unpack([task(1, chosen("a"), label="old")]).columns["label"] == ["a"]


def test_flat_label_studio_keeps_names():
    rows = [
        {"text": "x", "id": "1", "topic": '{"choices": ["a", "b"]}', "annotation_id": "5"},
        {"text": "y", "id": "2", "topic": "a", "annotation_id": "6"},
        {"text": "y", "id": "2", "topic": "a", "annotation_id": "7"},
    ]
    table = unpack(rows)
    assert table.columns["topic"] == [["a", "b"], ["a"]] and list(table.numbers) == [1, 2]
    assert table.notes[1] == "1 further annotation with the same choices left out"


@pytest.mark.parametrize("key", ["label", "labels"])
def test_doccano_lists_are_labels(key):
    rows = [
        {"id": "1", "data": "x", key: ["pos"]},
        {"id": "2", "data": "y", key: []},
        {"id": "3", "data": "z", key: ["a", "b"]},
    ]
    table = unpack(rows)
    assert table.columns == {"id": ["1", "2", "3"], "text": ["x", "y", "z"], key: [["pos"], [], ["a", "b"]]}
    assert table.notes == ["read as a doccano export"]


PRODIGY = {
    "binary": (
        [("pos", "accept"), ("pos", "reject"), ("neg", "ignore"), ("neg", "accept"), ("neg", None)],
        ["pos", "neg"],
        "1 rejected, 1 ignored, 1 unanswered: left out",
    ),
    "choice": (
        [(["pos"], "accept"), ([], "reject"), (["a", "b"], "accept")],
        [["pos"], ["a", "b"]],
        "1 rejected: left out",
    ),
    "one choice each": (
        [(["pos"], "accept"), (["pos", "neg"], "reject"), (["neg"], "accept")],
        ["pos", "neg"],
        "1 rejected: left out",
    ),
    "no choice fits": (
        [(["pos"], "accept"), ([], "reject"), ([], "accept")],
        [["pos"], []],
        "1 rejected: left out",
    ),
    "choice, in a CSV": (
        [("['pos']", "accept"), ("[]", "reject"), ("['a', 'b']", "accept")],
        [["pos"], ["a", "b"]],
        "1 rejected: left out",
    ),
}


@pytest.mark.parametrize("rows, labels, note", PRODIGY.values(), ids=PRODIGY)
def test_prodigy_trains_accepted_alone(rows, labels, note):
    key = "accept" if isinstance(rows[0][0], list) or rows[0][0][0] == "[" else "label"
    table = unpack([{"text": f"text {i}", key: label, "answer": answer} for i, (label, answer) in enumerate(rows)])
    assert table.columns["label"] == labels and table.notes == ["read as a Prodigy export", note]
    assert [f"text {table.number(i) - 1}" for i in range(2)] == table.columns["text"]


def test_answers_may_be_labels():
    rows = [{"text": "x", "answer": "accept"}, {"text": "y", "answer": "reject"}]
    assert unpack(rows).columns["answer"] == ["accept", "reject"]


SUBMITTED = {"value": "pos", "status": "submitted"}
ARGILLA = {
    "records": [
        {"text": "a", "annotation": "pos", "status": "Validated", "prediction": [{"label": "neg", "score": 1.0}]},
        {"text": "b", "annotation": "neg", "status": "Default"},
        {"text": "c", "annotation": "neg", "status": "Discarded"},
    ],
    "by question": [
        {"fields": {"text": "a"}, "responses": {"topic": [SUBMITTED]}},
        {"fields": {"text": "b"}, "responses": {}, "suggestions": {"topic": {"value": "neg"}}},
        {"fields": {"text": "c"}, "responses": {"topic": [{"value": "neg", "status": "discarded"}]}},
    ],
    "by person": [
        {"fields": {"text": "a"}, "responses": [{"values": {"topic": {"value": "pos"}}, "status": "submitted"}]},
        {"fields": {"text": "b"}, "responses": [{"values": {"topic": {"value": "neg"}}, "status": "draft"}]},
        {"fields": {"text": "c"}, "responses": [{"values": {}, "status": "discarded"}]},
    ],
    "flat": [
        {"text": "a", "topic.responses": ["pos"], "topic.responses.status": ["submitted"], "topic.suggestion": "neg"},
        {"text": "b", "topic.responses": None, "topic.responses.status": None, "topic.suggestion": "neg"},
        {"text": "c", "topic.responses": ["neg"], "topic.responses.status": ["discarded"], "topic.suggestion": "neg"},
    ],
    "feedback": [
        {"text": "a", "topic": [SUBMITTED], "topic-suggestion": "neg"},
        {"text": "b", "topic": [], "topic-suggestion": "neg"},
        {"text": "c", "topic": [{"value": "neg", "status": "discarded"}], "topic-suggestion": "neg"},
    ],
}


@pytest.mark.parametrize("rows", ARGILLA.values(), ids=ARGILLA)
def test_argilla_trains_confirmed_alone(rows):
    table = unpack(rows)
    labels = table.columns["label"]
    assert table.columns["text"] == ["a", "b"] and labels == ["pos", None]
    assert table.notes == [
        "read as an Argilla export",
        "1 discarded record left out",
        "1 record without a submitted or validated label",
    ]


def spans(kind):
    return {"result": [{"type": kind, "value": {"start": 0, "end": 2, "labels": ["PER"]}}]}


REFUSED = {
    "disagree": (
        [task(1, chosen("a"), chosen("b")), task(2, chosen("a"))],
        "disagree on 1 of 2 tasks .task 1.* ground truth",
    ),
    "flat rows disagree": (
        [{"text": "x", "id": "1", "topic": t, "annotation_id": t} for t in "ab"],
        r"disagree on 1 of 1 tasks \(task 1\)",
    ),
    "label studio spans": ([task(1, spans("labels"))], "sequence labelling"),
    "label studio text": ([task(1, {"result": [{"type": "textarea", "value": {"text": ["x"]}}]})], "of type textarea"),
    "doccano spans": ([{"text": "x", "label": [[0, 5, "PER"]]}], "sequence labelling"),
    "doccano entities": ([{"text": "x", "entities": [{"start_offset": 0, "end_offset": 1}]}], "sequence labelling"),
    "prodigy spans": ([{"text": "x", "spans": [{"start": 0, "end": 1}], "answer": "accept"}], "sequence labelling"),
    "all rejected": ([{"text": "x", "label": "pos", "answer": "reject"}], r"no row was accepted \(1 rejected\)"),
    "accepted and rejected": (
        [{"text": "x", "label": "pos", "answer": a} for a in ("accept", "reject")],
        "disagree on 1 of 1 tasks",
    ),
    "prodigy sessions": (
        [{"text": "x", "accept": [n], "answer": "accept", "_input_hash": 1, "_session_id": n} for n in "ab"],
        r"disagree on 1 of 1 texts \(text 'x'\)",
    ),
    "argilla": (
        [{"fields": {"text": "a"}, "responses": {"t": [SUBMITTED, {**SUBMITTED, "value": "neg"}]}, "id": "r1"}],
        r"disagree on 1 of 1 records \(record r1\)",
    ),
}


@pytest.mark.parametrize("rows, message", REFUSED.values(), ids=REFUSED)
def test_spans_and_conflicts_refused(rows, message):
    with pytest.raises(UserError, match=message) as caught:
        unpack(rows)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("a.jsonl")


def test_plain_tables_stay():
    table = Table({"text": ["x", "y"], "label": ["pos", "neg"], "status": ["new", "old"]})
    assert unpack_annotations(table) is table


@pytest.mark.parametrize(
    "values, labels",
    [
        ([["a"], [], ["a", "b"], None, ["a", "a"], ("a",), [1]], ["a", None, ["a", "b"], None, "a", "a", "1"]),
        (["['a']", '["a"]', "[]", "['a', 'b']", "['a' 'b']"], ["a", "a", None, ["a", "b"], ["a", "b"]]),
        (['["it\'s"]', r"['it\'s']", "('a',)", "{'a'}"], ["it's", "it's", "a", "a"]),
        ([{"choices": ["a"]}, '{"choices": ["a", "b"]}', "{'choices': ['a']}", "b"], ["a", ["a", "b"], "a", "b"]),
        (["[1]", "[1, 2]", "[1 2]"], ["1", ["1", "2"], ["1", "2"]]),
        (["[1]", "other", "('a')", "[music]", "", "a, b"], ["[1]", "other", "('a')", "[music]", "", "a, b"]),
    ],
    ids=["lists", "as text", "quotes", "choices", "numbers", "names in brackets"],
)
def test_one_element_is_label(values, labels):
    assert unlist(values) == labels


@pytest.mark.parametrize(
    ("answers", "labels"),
    [
        ([["a"], ["b"], None], ["a", "b", None]),
        ([["a"], ["a", "b"], None, []], [["a"], ["a", "b"], None, []]),
        ([["a"], []], [["a"], []]),
        ([["a"], ["b; c"]], [["a"], ["b; c"]]),
        ([{"choices": ["a"]}, {"choices": []}], [["a"], []]),
        (["a", "b", ""], ["a", "b", ""]),
        ([1, 5, None], ["1", "5", None]),
    ],
)
def test_answers_lose_no_label(answers, labels):
    assert to_labels(answers) == labels


def test_unlist_refuses_spans():
    with pytest.raises(UserError, match="sequence labelling"):
        unlist([[[0, 5, "PER"]]])


@pytest.mark.parametrize(
    "values, found",
    [
        (["a", "b", "a;b"], (";", ["a", "b"])),
        (["a|b", "a", "b", None], ("|", ["a", "b"])),
        (["a", "b", "a, b"], (",", ["a", "b"])),
        (["a", "b", "a/b"], ("/", ["a", "b"])),
        (["a;b", "a;c", "b;c", "a;b;c"], (";", ["a", "b"])),
        (["1", "2", "3", "1,2,3"], (",", ["1", "2", "3"])),
        (["sci/tech", "world", "sports", "business"], None),
        (["R&B, soul", "rock", "pop", "rock, indie and folk"], None),
        (["food/good", "food/bad", "staff/good", "staff/bad", "room/good", "room/bad", "bar/good", "bar/bad"], None),
        (["1", "5", "1,5", "2"], None),
        (["n/a", "-", "C#", "a;", ";"], None),
        (["pos", "neg", None, ["a", "b"]], None),
    ],
)
def test_joined_labels_are_recognised(values, found):
    assert find_several_labels(values) == found


TWO_TEXTS = {"id": ["1", "2"], "comment": ["so good to see", "what a bad day"]}
MANY_TEXTS = {"text": [f"a text with number {i}" for i in range(10)]}
FLAGS = {"a": list("0101010101"), "b": list("0011001100")}


@pytest.mark.parametrize(
    "columns, found",
    [
        (
            {**TWO_TEXTS, "toxic": ["1", "0"], "threat": ["0", "0"], "insult": ["0", "1"]},
            ["toxic", "threat", "insult"],
        ),
        ({**TWO_TEXTS, "a": ["True", "False"], "b": ["1.0", "0.0"]}, ["a", "b"]),
        ({**TWO_TEXTS, "toxic": ["1", "0"]}, []),
        ({**TWO_TEXTS, "label": ["1", "0"], "is_reply": ["1", "0"]}, []),
        ({**TWO_TEXTS, "a": ["1", "2"], "b": ["0", None]}, []),
        ({**MANY_TEXTS, **FLAGS, "c": ["1", "0", "", *"0101010"]}, ["a", "b", "c"]),
        ({**MANY_TEXTS, **FLAGS, "c": ["1", "0", "2", *"0101010"]}, ["a", "b", "c"]),
        ({**MANY_TEXTS, **FLAGS, "c": ["1", "0", "2", "3", *"010101"]}, ["a", "b"]),
        ({**MANY_TEXTS, **FLAGS, "c": ["1", "0", None, None, *"010101"]}, ["a", "b"]),
        ({**MANY_TEXTS, **FLAGS, "c": ["1"] * 9 + ["2"]}, ["a", "b"]),
        ({**MANY_TEXTS, "a": [*"01010101", "2", "0"], "b": FLAGS["b"]}, ["a", "b"]),
        ({**MANY_TEXTS, "a": [*"01010101", "2", "0"], "b": [*"01010101", "", "0"]}, []),
        ({"a": ["1", "0"], "b": ["0", "1"]}, []),
    ],
)
def test_indicator_columns_are_found(columns, found):
    assert find_indicator_columns(Table(columns)) == found
