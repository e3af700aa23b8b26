"Multi-label: rows in every form, thresholds, scores next to scikit-learn's, and whole runs of the tiny GPT-2."

import csv
import json
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from architectures import make_base
from conftest import before_transformers, write_csv
from hypothesis import given
from hypothesis import settings as rules
from hypothesis import strategies as st
from panels import SilentWorker
from runs import hash_file, stop_in_second_epoch
from sklearn.metrics import accuracy_score, f1_score, hamming_loss, precision_recall_fscore_support
from transformers import EvalPrediction, pipeline

from ftkit.checks.label_lists import read_indicators
from ftkit.data import load_data
from ftkit.errors import UserError
from ftkit.files.rows import Table
from ftkit.fine_tuning import Run, fine_tune
from ftkit.panels.explorer import Explorer
from ftkit.panels.worker import Desk
from ftkit.settings import Settings
from ftkit.tasks.multi_label import (
    MultiLabel,
    SeveralLabels,
    compute_metrics,
    multi_label_loss,
    pick_threshold,
    pick_thresholds,
    score_labels,
    to_answer,
)
from ftkit.training.trial import count_answers

TASK, NAMES = MultiLabel(), ["anger", "joy", "rain"]
WORDS = {"anger": "furious shouting", "joy": "lovely bread", "rain": "wet grey"}
SCORES = {"f1_micro", "f1_macro", "hamming_loss", "subset_accuracy"}
quick = rules(max_examples=25, deadline=None)
slow = pytest.mark.slow


def make_rows(n: int = 80) -> list[dict]:
    "Return rows with none, one, two or three labels, which their words show"
    rows = []
    for i in range(n):
        labels = [name for k, name in enumerate(NAMES) if i >> k & 1]
        words = " and ".join(WORDS[name] for name in labels) or "nothing at all"
        rows.append({"text": f"{words}, number {i}", "labels": labels})
    return rows


def make_settings(model: str, **keys) -> Settings:
    "Return settings for a run of a second"
    own = dict(model_name_or_path=model, num_train_epochs=2, per_device_train_batch_size=8, learning_rate=1e-3)
    own |= dict(num_resamples=100, num_threads=1, dropout=0.1, baselines=["majority"], preflight="false")
    return Settings().replace(task="multi-label").replace(**{**own, **keys})


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    "A finished run with all its baselines and checks"
    keys = dict(baselines=TASK.rungs, preflight="full")
    return fine_tune(make_settings(tiny, **keys), make_rows(), tmp_path_factory.mktemp("multi"), "first")


def load(rows, **keys):
    "Return the splits of rows and the report on them"
    return load_data(rows, target=SeveralLabels(), **{"dataset_name": None, **keys})


# --- reading ---


def read(cells: list, column: str = "labels") -> list:
    "Return the labels in some cells"
    texts = [f"a text with number {i}" for i in range(len(cells))]
    _, found, _ = SeveralLabels().read(Table({"text": texts, column: cells}), ["text"], column, "train")
    return [None if row is None else json.loads(row) for row in found]


@pytest.mark.parametrize(
    "cells, expected",
    [
        ([["b", "a"], ["a"], [], None], [["a", "b"], ["a"], [], None]),
        ([np.array(["a", "b"]), np.array(["a"]), np.array([]), None], [["a", "b"], ["a"], [], None]),
        (['["a", "b"]', '["a"]', "[]", ""], [["a", "b"], ["a"], [], None]),
        (["['a', 'b']", "['a']", "[]", "  "], [["a", "b"], ["a"], [], None]),
        (["['a' 'b']", "['a']", "[]", None], [["a", "b"], ["a"], [], None]),
        (["[a, b]", "[a]", "[]", None], [["a", "b"], ["a"], [], None]),
        (["('a', 'b')", "('a',)", "()", "set()"], [["a", "b"], ["a"], [], []]),
        ([[1, 2], [2], [], None], [["1", "2"], ["2"], [], None]),
        ([["a", None, " "], ["b", "b"], [" a "], []], [["a"], ["b"], ["a"], []]),
        (["a;b", "a", "b", ""], [["a", "b"], ["a"], ["b"], None]),
        (["a, b", "a", "b", " "], [["a", "b"], ["a"], ["b"], None]),
        (["a|b", "a", "b", "[]"], [["a", "b"], ["a"], ["b"], []]),
        (["a; b;", "a;", "b", "a"], [["a", "b"], ["a"], ["b"], ["a"]]),
        (["a b", "a and b", "a", "c"], [["a b"], ["a and b"], ["a"], ["c"]]),
        (["sci/tech", "R&B, soul", "sport", "news"], [["sci/tech"], ["R&B, soul"], ["sport"], ["news"]]),
        (["a;b", "b;c", "a;c"], [["a", "b"], ["b", "c"], ["a", "c"]]),
        (["a;b", "c|d", "e;"], [["a", "b"], ["c|d"], ["e"]]),
        (["1,2", "1", "2", "3"], [["1", "2"], ["1"], ["2"], ["3"]]),
        (
            [["War/Peace"], ["War"], ["Peace"], ["War/Peace", "War"]],
            [["War/Peace"], ["War"], ["Peace"], ["War", "War/Peace"]],
        ),
        ([["a;b"], ["a"], ["b"], ["a|c"]], [["a;b"], ["a"], ["b"], ["a|c"]]),
        (["['War/Peace']", "['War']", "('Peace',)", "[]"], [["War/Peace"], ["War"], ["Peace"], []]),
        (["[]", "[]", "a/b", "a", "b"], [[], [], ["a", "b"], ["a"], ["b"]]),
    ],
)
def test_labels_are_read_in_any_form(cells, expected):
    assert read(cells) == expected


@pytest.mark.parametrize("column", ["labels", "tags", "genres", "label", "Categories"])
@pytest.mark.parametrize("spell", [list, json.dumps, "; ".join], ids=["list", "json", "joined"])
def test_label_column_is_found(column, spell):
    rows = [{"text": row["text"], column: spell(row["labels"])} for row in make_rows(40)]
    data, report = load(rows)
    assert report["label_column"] == column and report["labels"] == NAMES
    blank = report["dropped"]["train"]["no_label"]
    assert blank == (5 if spell == "; ".join else 0) and sum(map(len, data.values())) == 40 - blank


@pytest.mark.parametrize("other", [[], ["a", "b"]], ids=["empty", "full"])
def test_other_lists_are_no_labels(other):
    rows = [{**row, "Comments": other[: i % 3]} for i, row in rows_of(40)]  # as doccano writes them
    data, report = load(rows)
    assert report["label_column"] == "labels" and data["train"].column_names == ["text", "label", "Comments"]


@pytest.mark.parametrize(
    "cell", [{"anger": 1, "joy": 0}, [{"name": "joy"}], ["joy", ["rain"]], ["joy\ud83d"]], ids=str
)
def test_other_cells_name_their_row(cell):
    rows = [{**row, "labels": cell if i == 2 else row["labels"]} for i, row in rows_of(40)]
    with pytest.raises(UserError, match="row 3, column 'labels': .* is no list of names") as caught:
        load(rows, label_column_name="labels")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["labels", "tags"])
def test_many_combinations_are_no_text(column):
    rng, genres = np.random.default_rng(0), [f"genre {i}" for i in range(19)]
    rows = [{"text": f"a text with number {i}", column: list(rng.choice(genres, 4))} for i in range(100)]
    assert load(rows)[1]["label_column"] == column


def write_rows(file: Path, rows: list[dict]) -> Path:
    "Write rows whose labels are lists"
    if file.suffix == ".jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows))
    elif file.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(file)
    else:
        pd.DataFrame(rows).to_csv(file, index=False)
    return file


@pytest.mark.parametrize("column", ["labels", "tags"])
@pytest.mark.parametrize("end", ["jsonl", "json", "parquet"])
def test_files_hold_lists(tmp_path, end, column):
    rows = [{"text": row["text"], column: row["labels"]} for row in make_rows(40)]
    data, report = load(None, train_file=str(write_rows(tmp_path / f"rows.{end}", rows)))
    wanted, again = load(rows)
    assert [data[s]["label"][:] for s in data] == [wanted[s]["label"][:] for s in data]
    assert report["labels"] == again["labels"] and report["train"] == again["train"]


def test_csv_of_pandas_holds_lists(tmp_path):
    data, report = load(None, train_file=str(write_rows(tmp_path / "rows.csv", make_rows(40))))
    assert report["labels"] == NAMES and report["dropped"]["train"]["no_label"] == 0
    assert [data[s]["label"][:] for s in data] == [load(make_rows(40))[0][s]["label"][:] for s in data]


def test_empty_list_is_an_answer():
    rows = make_rows(40) + [{"text": f"unknown {i}", "labels": None} for i in range(3)]
    data, report = load(rows)
    assert report["dropped"]["train"]["no_label"] == 3 and sum(map(len, data.values())) == 40
    assert sum(not any(row) for split in data.values() for row in split["label"]) == 5


SPELLINGS = [("0", "1"), ("False", "True"), ("no", "yes"), ("No", "YES"), ("0.0", "1.0"), ("", "1"), (None, "true")]


@pytest.mark.parametrize("no, yes", SPELLINGS)
def test_a_column_each_is_read(no, yes):
    cells = {"a": [yes, no, yes, no], "b": [yes, yes, no, no]}
    table = Table({"text": ["one text"] * 4, **cells})
    neither = [] if no else None  # a row that is blank in all columns is unknown
    assert read_indicators(table, ["a", "b"], "train") == [["a", "b"], ["b"], ["a"], neither]


@pytest.mark.parametrize("kind", [int, bool, float])
def test_columns_of_flags_are_found(kind):
    rows = [{"text": row["text"], **{n: kind(n in row["labels"]) for n in NAMES}, "id": i} for i, row in rows_of(60)]
    data, report = load(rows)
    assert report["label_column"] == "anger, joy, rain" and report["labels"] == NAMES
    assert data["train"].column_names == ["text", "label", "id"]
    assert [data[s]["label"][:] for s in data] == [load(make_rows(60))[0][s]["label"][:] for s in data]


def rows_of(n: int):
    "Return (number, row) of rows"
    return enumerate(make_rows(n))


@pytest.mark.parametrize("named, labels", [("anger, joy", NAMES[:2]), ("rain,anger", ["anger", "rain"])])
def test_named_columns_are_the_labels(named, labels):
    rows = [{"text": row["text"], **{n: ["no", "yes"][n in row["labels"]] for n in NAMES}} for _, row in rows_of(60)]
    data, report = load(rows, label_column_name=named)
    assert report["labels"] == labels
    assert set(data["train"].column_names) == {"text", "label", *set(NAMES) - set(labels)}


@pytest.mark.parametrize(
    "change, named, message",
    [
        ({"anger": "2"}, "anger, joy", "column 'anger': '2' is neither 0 nor 1"),
        ({"anger": "perhaps"}, "anger, joy", "'perhaps' is neither 0 nor 1"),
        ({}, "anger, angst", "label_column_name = angst: there is no such column"),
        ({}, "wrath", "there is no such column"),
    ],
)
def test_other_flags_are_refused(change, named, message):
    rows = [{"text": row["text"], **{n: int(n in row["labels"]) for n in NAMES}, **change} for _, row in rows_of(30)]
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load(rows, label_column_name=named)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("cell", "shown"), [("2", "'2'"), ("yes?", "'yes\\?'")])
def test_odd_flag_of_a_found_column_is_named(cell, shown):
    rows = [{"text": row["text"], **{n: str(int(n in row["labels"])) for n in NAMES}} for _, row in rows_of(30)]
    rows[4]["joy"] = cell
    with pytest.raises(UserError, match=f"row 5, column 'joy': {shown} is neither 0 nor 1.*label_column_name"):
        load(rows)


def test_blank_flag_of_a_found_column_is_noted():
    rows = [{"text": row["text"], **{n: int(n in row["labels"]) for n in NAMES}} for _, row in rows_of(60)]
    rows[4]["joy"] = None
    report = load(rows)[1]
    assert report["labels"] == NAMES and report["columns"].endswith("; blank cells were read as 0: 'joy' (1)")


TOOLS = {
    "prodigy": lambda text, names: {"text": text, "accept": names, "answer": "accept", "_task_hash": text.split()[-1]},
    "label studio": lambda text, names: {
        "id": text.split()[-1],
        "data": {"text": text},
        "annotations": [{"result": [{"from_name": "x", "type": "choices", "value": {"choices": names}}]}],
    },
    "label studio, flat": lambda text, names: {
        "id": text.split()[-1],
        "annotation_id": text.split()[-1],
        "text": text,
        "label": names[0] if len(names) == 1 else {"choices": names},
    },
    "argilla": lambda text, names: {
        "id": text.split()[-1],
        "fields": {"text": text},
        "responses": {"topic": [{"value": names, "status": "submitted"}]},
    },
    "argilla 1": lambda text, names: {"text": text, "annotation": names, "status": "Validated"},
    "doccano": lambda text, names: {"text": text, "label": names},
}


@pytest.mark.parametrize("tool", TOOLS)
def test_annotations_lose_no_label(tmp_path, tool):
    lists = [["War; Peace"], ["rain"], ["rain", "War; Peace"], []] * 10
    rows = [TOOLS[tool](f"a text with number {i}", names) for i, names in enumerate(lists)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data, report = load(None, train_file=str(tmp_path / "a.jsonl"))
    assert report["labels"] == ["War; Peace", "rain"]
    found = {row["text"]: row["label"] for split in data.values() for row in split}
    hot = {0: [1, 0], 1: [0, 1], 2: [1, 1], 3: [0, 0]}
    assert found == {f"a text with number {i}": hot[i % 4] for i in range(40)}


def test_blank_flags_are_unknown():
    rows = [{"text": row["text"], **{n: int(n in row["labels"]) for n in NAMES}} for _, row in rows_of(60)]
    blank = [{"text": f"a new text {i}", **dict.fromkeys(NAMES)} for i in range(9)]
    assert "the test rows have no labels and were left out" in load({"train": rows, "test": blank})[1]["notes"]


def test_partly_blank_flags_are_answers():
    rows = [{"text": row["text"], **{n: int(n in row["labels"]) for n in NAMES}} for _, row in rows_of(60)]
    test = [{"text": "a", "anger": 1, "joy": None, "rain": ""}, {"text": "b", **dict.fromkeys(NAMES)}]
    data, report = load({"train": rows, "test": test})
    assert data["test"]["label"][:] == [[1, 0, 0]] and report["dropped"]["test"]["no_label"] == 1


def test_spellings_are_joined():
    rows = [{**row, "labels": [n.upper() if i % 3 else f" {n} " for n in row["labels"]]} for i, row in rows_of(60)]
    rows[1]["labels"] = ["anger"]
    test = [{"text": "a new text", "labels": ["ANGER", "Joy"]}, {"text": "another text", "labels": []}]
    data, report = load({"train": rows, "test": test})
    assert report["labels"] == ["JOY", "RAIN", "anger"]  # as the first row with it spells each
    assert data["test"]["label"][:] == [[1, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_unknown_label_is_refused(split):
    other = [{"text": "a new text", "labels": ["joy", "envy"]}]
    with pytest.raises(UserError, match=f"the {split} rows have the label 'envy'.*Labels: anger, joy, rain"):
        load({"train": make_rows(40), split: other})


@pytest.mark.parametrize(
    "train, test, expected",
    [
        ("a;b", "a;b", ["a", "b"]),
        ("a;b", "a,b", ["a,b"]),
        ("a;b", "a|b", ["a|b"]),
        ("a;b", ["a;b"], ["a;b"]),
        ("a,b", "b, a", ["a", "b"]),
        ("a,b", "a;b", ["a", "b"]),
        ("a", "a;b", ["a", "b"]),
        ("a", "a,b", ["a,b"]),
        (["a"], "a|b", ["a", "b"]),
        (["a"], ["a|b"], ["a|b"]),
    ],
)
def test_few_test_rows_are_read_alike(train, test, expected):
    target = SeveralLabels()
    cells = [train, *([name] if isinstance(train, list) else name for name in "abc")]
    target.read(Table({"text": ["x"] * 4, "labels": cells}), ["text"], "labels", "train")
    _, found, _ = target.read(Table({"text": ["x"], "labels": [test]}), ["text"], "labels", "test")
    assert json.loads(found[0]) == expected


def test_other_files_are_read_alike():
    rows = [{**row, "labels": ";".join(row["labels"]) or "[]"} for _, row in rows_of(40)]
    data, report = load({"train": rows, "test": [{"text": "a new text", "labels": "anger;joy"}]})
    assert data["test"]["label"][:] == [[1, 1, 0]] and report["reading"] == {"delimiter": ";"}
    again, _ = TASK.load_rows([{"text": "another text", "labels": "rain;joy"}], report)
    assert again["label"][:] == [[0, 1, 1]]


def test_one_label_a_row_is_enough():
    rows = [{"text": f"a text with number {i}", "labels": NAMES[i % 3]} for i in range(30)]
    data, report = load(rows)
    assert report["labels"] == NAMES and {sum(row) for row in data["train"]["label"]} == {1}


def test_duplicates_are_dropped_in_train():
    twice = [{"text": "the same text", "labels": labels} for labels in (["joy", "anger"], ["anger", "joy"], ["joy"])]
    data, report = load({"train": make_rows(40) + twice, "test": twice})
    assert report["dropped"]["train"]["duplicate"] == 1 and report["dropped"]["test"]["duplicate"] == 0
    assert len(data["test"]) == 3 and any("more than one set of labels" in note for note in report["notes"])


def test_own_rows_are_read_again():
    lists = [["War/Peace"], ["War"], ["Peace"], ["Peace", "War"]]
    frame = pd.DataFrame({"text": [f"a text with number {i}" for i in range(4)], "label": lists})
    report = {"text_column": "text", "label_column": "genres", "labels": ["Peace", "War", "War/Peace"]}
    data, _ = TASK.read_again(frame, report)
    assert data["label"][:] == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0]]


@pytest.mark.parametrize("named", ["label", "anger, joy, rain"])
def test_own_rows_keep_their_labels(named):
    rows = make_rows(16)
    frame = pd.DataFrame({"text": [row["text"] for row in rows], "label": [np.array(row["labels"]) for row in rows]})
    data, dropped = TASK.read_again(frame, {"text_column": "text", "label_column": named, "labels": NAMES})
    assert data["label"][:] == [[float(name in row["labels"]) for name in NAMES] for row in rows]
    assert not any(dropped.values())


@pytest.mark.parametrize("name", ["none", "n/a"])
def test_odd_names_are_noted(name):
    rows = [{**row, "labels": ";".join(row["labels"]) or name} for row in make_rows(60)]
    notes = [note for note in load(rows)[1]["notes"] if f"the label '{name}'" in note]
    assert len(notes) == 1 and "ignore_labels" not in notes[0]


@pytest.mark.parametrize(
    "cells, message",
    [
        ([["a"]] * 30, "holds fewer than two labels; task = multi-label needs two"),
        ([[f"label {i}"] for i in range(50)], "50 different labels in 50 rows"),
        ([["a", "b"][i % 2 :] + ["z"] * (i < 2) for i in range(60)], "label 'z' has 2 of 60 rows"),
    ],
)
def test_unsuitable_labels_are_refused(cells, message):
    rows = [{"text": f"a text with number {i}", "labels": labels} for i, labels in enumerate(cells)]
    with pytest.raises(UserError, match=message):
        load(rows, label_column_name="labels")


# --- splits ---


def draw_rows(seed: int, n: int, shares: dict) -> list[dict]:
    "Return rows that have each label with a given chance"
    rng = np.random.default_rng(seed)
    return [
        {"text": f"a text with number {i}", "labels": [name for name, share in shares.items() if rng.random() < share]}
        for i in range(n)
    ]


@pytest.mark.parametrize("seed", range(2))
def test_splits_have_every_label(seed):
    rows = draw_rows(seed, 400, {"often": 0.5, "half": 0.25, "seldom": 0.08, "rare": 0.04})
    data, report = load(rows, data_seed=seed)
    shares = {split: np.mean(data[split]["label"][:], axis=0) for split in data}
    for split in ("validation", "test"):
        assert len(data[split]) == pytest.approx(40, abs=4) and (shares[split] > 0).all()
        assert shares[split] == pytest.approx(shares["train"], abs=0.15)
        rare = [i for i, name in enumerate(report["labels"]) if name in ("rare", "seldom")]
        assert shares[split][rare] == pytest.approx(shares["train"][rare], abs=0.05)


def test_three_rows_reach_every_split():
    rows = [{**row, "labels": row["labels"] + ["rare"] * (i < 3)} for i, row in rows_of(80)]
    assert all(load(rows, data_seed=seed)[1][s]["labels"]["rare"] for seed in range(3) for s in ("validation", "test"))


@pytest.mark.parametrize("n", [9, 12, 20])
def test_few_rows_are_split(n):
    rows = [{"text": f"a text with number {i}", "labels": [["a"], ["b"], ["a", "b"]][i % 3]} for i in range(n)]
    data, _ = load(rows)
    assert sum(map(len, data.values())) == n and all(len(part) for part in data.values())


def test_equal_texts_stay_together():
    rows = [{"text": f"one of {i % 20} texts", "labels": [NAMES[i % 3], NAMES[i % 2]]} for i in range(120)]
    data, _ = load(rows)
    texts = [set(part["text"]) for part in data.values()]
    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]


# --- thresholds ---


def f1_of(has, chosen) -> float:
    "Return the F1 of the rows that get a label; at least one has it"
    return 2 * (has & chosen).sum() / (has.sum() + chosen.sum())


def best_f1(probabilities, has) -> float:
    "Return the best F1 of all thresholds, one after the other"
    return max(f1_of(has, probabilities >= x) for x in {*probabilities.tolist(), *(probabilities - 1e-3).tolist()})


rows_of_one_label = st.lists(
    st.tuples(st.integers(0, 16).map(lambda i: i / 16), st.booleans()), min_size=1, max_size=9
)


@given(rows_of_one_label)
@quick
def test_threshold_has_the_best_f1(rows):
    probabilities, has = np.array([p for p, _ in rows]), np.array([y for _, y in rows])
    threshold = pick_threshold(probabilities, has)
    if not has.any():
        assert threshold == 0.5
    else:
        assert f1_of(has, probabilities >= threshold) == pytest.approx(best_f1(probabilities, has))
    assert 0 <= threshold <= 1


@given(st.lists(st.tuples(st.integers(-8, 8).map(lambda i: i / 8), st.booleans()), min_size=1, max_size=8))
@quick
def test_similarities_have_thresholds_too(rows):
    near, has = np.array([p for p, _ in rows]), np.array([y for _, y in rows])
    if has.any():
        assert f1_of(has, near >= pick_threshold(near, has)) == pytest.approx(best_f1(near, has))


@pytest.mark.parametrize(
    "probabilities, has, threshold",
    [
        ([0.9, 0.2, 0.1], [1, 0, 0], 0.55),
        ([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0], 0.4),
        ([0.6, 0.6, 0.1], [1, 0, 0], 0.35),
        ([0.75, 0.5, 0.25, 0.0], [1, 0, 0, 1], 0.625),
        ([0.3], [1], 0.15),
        ([0.3], [0], 0.5),
        ([0.0, 0.0], [1, 1], 0.0),
        ([1.0, 1.0], [1, 0], 0.5),
    ],
)
def test_threshold_lies_between_rows(probabilities, has, threshold):
    assert pick_threshold(np.array(probabilities), np.array(has, bool)) == pytest.approx(threshold)


def test_each_label_has_its_threshold():
    probabilities, hot = np.array([[0.9, 0.3], [0.6, 0.1]]), np.array([[1, 1], [0, 0]], bool)
    assert pick_thresholds(probabilities, hot) == pytest.approx([0.75, 0.2])


# --- scores and verdicts ---


def draw_hot(seed: int, n: int = 40, labels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    "Return what a model of medium quality predicts, and the truth"
    rng = np.random.default_rng(seed)
    true = rng.random((n, labels)) < 0.4
    return np.where(rng.random((n, labels)) < 0.8, true, ~true), true


def make_frame(predicted, true, names=NAMES) -> pd.DataFrame:
    "Return predictions as predictions.parquet keeps them"
    columns = {
        column: [[name for name, has in zip(names, row) if has] for row in hot]
        for column, hot in (("label", true), ("predicted", predicted))
    }
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(len(true))], **columns})
    frame.attrs["labels"] = list(names)
    return frame


hot_rows = st.integers(1, 8).flatmap(
    lambda n: st.tuples(*[st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=n, max_size=n)] * 2)
)


@given(hot_rows)
@rules(max_examples=15, deadline=None)
def test_scores_are_those_of_sklearn(rows):
    predicted, true = map(np.array, rows)
    scores, present = score_labels(predicted, true, NAMES, num_resamples=100), (predicted | true).any(0)
    keys = dict(zero_division=0)
    assert scores["f1_micro"].value == pytest.approx(f1_score(true, predicted, average="micro", **keys))
    each = precision_recall_fscore_support(true, predicted, average=None, **keys)
    assert scores["f1_macro"].value == pytest.approx(each[2][present].mean() if present.any() else 0)
    assert scores["hamming_loss"].value == pytest.approx(hamming_loss(true, predicted))
    assert scores["subset_accuracy"].value == pytest.approx(accuracy_score(true, predicted))
    for i, name in enumerate(NAMES):
        found = scores["per_label"][name]
        assert [found[part].value for part in ("precision", "recall", "f1")] == pytest.approx([x[i] for x in each[:3]])
        assert (found["precision"].n, found["recall"].n) == (predicted[:, i].sum(), true[:, i].sum())
    assert {scores[name].n for name in SCORES} == {len(true)}
    for score in [*(scores[name] for name in SCORES), *(s for x in scores["per_label"].values() for s in x.values())]:
        assert score.low is None or score.low - 1e-9 <= score.value <= score.high + 1e-9


def test_every_label_present_averages_alike():
    predicted, true = draw_hot(0)
    scores = score_labels(predicted, true, NAMES, num_resamples=100)
    assert scores["f1_macro"].value == pytest.approx(f1_score(true, predicted, average="macro"))


@pytest.mark.parametrize(
    "case, f1, loss, right",
    [("right", 1, 0, 1), ("wrong", 0, 1, 0), ("none", 0, 0.5, 0)],
)
def test_extreme_scores_are_exact(case, f1, loss, right):
    true = np.array([[1, 0], [0, 1]] * 5, bool)
    predicted = {"right": true, "wrong": ~true, "none": np.zeros_like(true)}[case]
    scores = TASK.score(make_frame(predicted, true, ["a", "b"]), num_resamples=100)
    assert [scores[n].value for n in ("f1_micro", "f1_macro", "hamming_loss", "subset_accuracy")] == [
        f1,
        f1,
        loss,
        right,
    ]


def test_perfect_score_has_an_interval():
    true = np.array([[1, 0], [0, 1]] * 5, bool)
    assert TASK.score(make_frame(true, true, ["a", "b"]))["f1_micro"].low < 1


def test_hamming_loss_counts_all_labels():
    predicted, true = np.zeros((4, 3), bool), np.zeros((4, 3), bool)
    predicted[:, 0] = True
    found = TASK.score(make_frame(predicted, true), num_resamples=100)["hamming_loss"].value
    assert found == pytest.approx(hamming_loss(true, predicted))


def test_one_row_is_scored():
    scores = TASK.score(make_frame([[1, 0, 1]], [[1, 0, 0]]), num_resamples=100)
    assert (scores["f1_micro"].value, scores["f1_micro"].low, scores["f1_micro"].n) == (pytest.approx(2 / 3), None, 1)


def test_metrics_use_their_own_thresholds():
    rng = np.random.default_rng(0)
    logits, true = rng.normal(size=(50, 3)), rng.random((50, 3)) < 0.4
    found = compute_metrics(EvalPrediction(predictions=logits, label_ids=true.astype(float)))
    probabilities = 1 / (1 + np.exp(-logits))
    predicted = probabilities >= pick_thresholds(probabilities, true)
    assert found == {
        "f1_micro": pytest.approx(f1_score(true, predicted, average="micro")),
        "f1_macro": pytest.approx(f1_score(true, predicted, average="macro")),
        "hamming_loss": pytest.approx(hamming_loss(true, predicted)),
        "subset_accuracy": pytest.approx(accuracy_score(true, predicted)),
    }
    assert found["f1_macro"] >= f1_score(true, logits > 0, average="macro")


@pytest.mark.parametrize("swapped", [False, True])
def test_better_model_is_named(swapped):
    predicted, true = draw_hot(0, 60)
    frames = [make_frame(true, true), make_frame(predicted, true)]
    names = ["perfect", "medium"]
    verdict = TASK.compare(*frames[:: -1 if swapped else 1], tuple(names[:: -1 if swapped else 1]), num_resamples=300)
    assert verdict.better == "perfect" and verdict.p <= 0.05 and verdict.metric == "f1_micro"
    gap = 1 - f1_score(true, predicted, average="micro")
    assert abs(verdict.difference) == pytest.approx(gap) and (verdict.difference < 0) == swapped


@pytest.mark.parametrize("seed", range(3))
def test_same_predictions_are_no_better(seed):
    frame = make_frame(*draw_hot(seed))
    verdict = TASK.compare(frame, frame, ("a", "b"), num_resamples=200)
    assert (verdict.difference, verdict.better) == (0, None) and verdict.p > 0.05


def test_right_means_the_same_set():
    frame = make_frame([[1, 1, 0], [0, 0, 0], [1, 0, 0]], [[1, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert TASK.right(frame).tolist() == [True, True, False]


# --- loss ---


@pytest.mark.parametrize("sizes", [[8], [4, 4], [5, 3], [1, 7]], ids=str)
def test_loss_is_that_of_torch(sizes):
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 3, requires_grad=True), (torch.rand(8, 3) < 0.5).float()
    wanted = torch.nn.BCEWithLogitsLoss()(logits, labels)
    gradient = torch.autograd.grad(wanted, logits)[0]
    total, loss = count_answers(labels), 0.0
    for part, own in zip(logits.split(sizes), labels.split(sizes)):
        loss = loss + multi_label_loss({"logits": part}, own, total)
    assert loss.item() == pytest.approx(wanted.item())
    assert torch.allclose(torch.autograd.grad(loss, logits)[0], gradient, atol=1e-7)
    assert multi_label_loss({"logits": logits}, labels).item() == pytest.approx(wanted.item())


@slow
def test_accumulation_changes_no_update(tiny, tmp_path):
    keys = dict(num_train_epochs=1, train_sampling_strategy="sequential", dropout=0.0, baselines=[], logging_steps=1)
    losses = []
    for size, parts in ((8, 1), (2, 4)):
        settings = make_settings(tiny, per_device_train_batch_size=size, gradient_accumulation_steps=parts, **keys)
        made = fine_tune(settings, make_rows(46), tmp_path, f"x{size}")  # the last update has fewer rows
        losses.append([row["loss"] for row in made.history if "loss" in row])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


# --- whole runs ---


def test_record_names_task_and_scores(run):
    record = run.record
    assert (record["task"], record["headline"], record["status"]) == ("multi-label", "f1_micro", "finished")
    assert set(record["metrics"]) == {"validation", "test"} and record["unfitted"] == {}
    assert set(record["metrics"]["test"]) == {*SCORES, "per_label"} and record["looks"] == 1
    assert list(record["baselines"]) == ["majority", "tfidf", "zero_shot", "frozen"] == list(TASK.rungs)
    assert [verdict.b for verdict in run.verdicts] == list(TASK.rungs) and run.labels == NAMES
    assert set(record["steps"].values()) == {"done"} and record["best"]["metric"] == "f1_micro"
    levels = {finding["name"]: finding["level"] for finding in record["preflight"]}
    assert (
        levels.pop("forecast", "ok")
        and levels.pop("updates") == "warn"
        and set(levels.values()) == {"ok"}
        and "overfit" in levels
    )
    assert record["metrics"]["validation"]["f1_micro"]["value"] == pytest.approx(record["best"]["value"])


def test_loss_at_the_start_is_known():
    value, words = TASK.expected_loss(NAMES)
    assert value == pytest.approx(np.log(2)) and words == "ln 2 = 0.69"


def test_predictions_are_kept_as_lists(run):
    rows = pd.read_parquet(run.path / "predictions.parquet")
    assert list(rows.columns) == ["text", "label", "predicted", "logits", "split"]
    assert rows.attrs["labels"] == run.predictions.attrs["labels"] == NAMES
    assert rows.split.value_counts().to_dict() == {"validation": 8, "test": 8}
    config = json.loads((run.path / "model/config.json").read_text())
    hot = 1 / (1 + np.exp(-np.stack(rows.logits))) >= config["label_thresholds"]
    assert [list(row) for row in rows.predicted] == [[n for n, has in zip(NAMES, row) if has] for row in hot]
    truth = {row["text"]: row["labels"] for row in make_rows()}
    assert [list(row) for row in rows.label] == [truth[text] for text in rows.text]
    assert run.metrics["test"]["f1_micro"].value == pytest.approx(
        f1_score(*(stack_hot(rows[rows.split == "test"][c]) for c in ("label", "predicted")), average="micro")
    )


def stack_hot(lists) -> np.ndarray:
    "Return whether each row has each label (rows, labels)"
    return np.array([[name in row for name in NAMES] for row in lists])


def test_report_and_card_show_the_task(run):
    page, card = run.report().read_text(), (run.path / "model/README.md").read_text()
    for words in ("Per label", "The worst errors", "The ladder", "micro F1", *NAMES, *TASK.rungs):
        assert words.lower() in page.lower(), words
    for words in ("any number of labels", "test micro F1", "F1 of joy", "label_thresholds", "type: f1_micro"):
        assert words in card, words


@pytest.mark.parametrize("kind", [list, lambda texts: pd.DataFrame({"text": texts, "id": 1})], ids=["list", "frame"])
def test_predict_answers_each_text(run, kind):
    texts = ["furious shouting", "", "wet grey and lovely bread"]
    answers = run.predict(kind(texts))
    assert [set(answer) for answer in answers] == [{"labels", "scores"}, {"error"}, {"labels", "scores"}]
    thresholds = run.open_model()[0].config.label_thresholds
    for answer in (answers[0], answers[2]):
        scores = answer["scores"]
        assert list(scores) == NAMES and all(0 < p < 1 for p in scores.values())
        assert answer["labels"] == [n for n, low in zip(NAMES, thresholds) if scores[n] >= low]


def test_predictions_do_not_depend_on_batches(run):
    rows = run.predictions
    answers = run.predict(rows.text.tolist() + ["a much longer text than all the others, " * 3])
    assert [answer["labels"] for answer in answers[:-1]] == [list(row) for row in rows.predicted]


def test_evaluation_repeats_the_metrics(run, tmp_path):
    copy = copy_run(run, tmp_path)
    found = copy.evaluate()
    assert found["metrics"] == run.metrics["test"] and found["sha256"] == run.data["test"]["sha256"]
    assert found["rows"] == 8 and found["looks"] == 2


def copy_run(run, folder) -> Run:
    "Return a copy of a run, with the evaluations on its test rows"
    shutil.copytree(run.path.parent, folder / "runs")
    return Run(folder / "runs" / run.path.name)


@pytest.mark.parametrize(
    "form", [pytest.param("csv", marks=slow), "jsonl", pytest.param("frame", marks=slow), "joined"]
)
def test_evaluation_takes_other_rows(run, tmp_path, form):
    copy, rows = copy_run(run, tmp_path), [row for row in make_rows() if row["labels"]]
    spelled = [{**row, "labels": "; ".join(row["labels"]).upper()} for row in rows] if form == "joined" else rows
    file = write_rows(tmp_path / f"rows.{'jsonl' if form == 'jsonl' else 'csv'}", spelled)
    found = copy.evaluate(pd.DataFrame(rows) if form == "frame" else file)
    predicted = [answer["labels"] for answer in copy.predict([row["text"] for row in rows])]
    hot = stack_hot([row["labels"] for row in rows]), stack_hot(predicted)
    assert found["rows"] == 70 and found["metrics"]["subset_accuracy"].value == pytest.approx(accuracy_score(*hot))
    assert found["metrics"]["f1_macro"].value == pytest.approx(f1_score(*hot, average="macro"))


@slow
def test_evaluate_again_changes_nothing(run, tmp_path):
    copy = copy_run(run, tmp_path)
    (copy.path / "predictions.parquet").unlink()
    found = copy.evaluate(make_rows(), again=True)
    assert found["metrics"] == run.metrics["test"] and copy.record["weights"] == run.record["weights"]
    assert hash_file(copy.path / "predictions.parquet") == hash_file(run.path / "predictions.parquet")
    assert {name: rung["f1_micro"] for name, rung in copy.baselines.items()} == {
        name: rung["f1_micro"] for name, rung in run.baselines.items()
    }


@slow
def test_stopped_run_ends_the_same(run, tmp_path, monkeypatch):
    stop_in_second_epoch(monkeypatch, lambda: fine_tune(run.settings, make_rows(), tmp_path, "x"))
    assert Run(tmp_path / "x").status == "stopped"
    resumed = Run(tmp_path / "x").resume(make_rows())
    assert resumed.status == "finished" and resumed.record["weights"] == run.record["weights"]
    assert resumed.metrics == run.metrics and read_thresholds(resumed) == read_thresholds(run)
    assert hash_file(resumed.path / "model/model.safetensors") == hash_file(run.path / "model/model.safetensors")


def read_thresholds(run) -> list[float]:
    "Return the thresholds of a saved model"
    return json.loads((run.path / "model/config.json").read_text())["label_thresholds"]


@slow
def test_rerun_is_identical(run, tmp_path):
    again = run.rerun(make_rows(), "again", tmp_path)
    assert again.record["rerun"]["outcome"] == "identical" and again.record["weights"] == run.record["weights"]
    assert read_thresholds(again) == read_thresholds(run)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    "The folder of a tiny BERT"
    return str(make_base("bert", tmp_path_factory.mktemp("bert")))


@pytest.mark.parametrize("method, base", [("lora", "tiny"), ("head", "tiny"), ("prompt", "bert")])
@slow
def test_methods_keep_their_thresholds(method, base, tiny, bert, tmp_path):
    settings = make_settings({"tiny": tiny, "bert": bert}[base], method=method, num_train_epochs=1, baselines=[])
    made = fine_tune(settings, make_rows(60), tmp_path, "x")
    rows = made.predictions
    assert [answer["labels"] for answer in made.predict(rows.text.tolist())] == [list(row) for row in rows.predicted]
    assert read_thresholds(made) != [0.5] * 3 and made.evaluate()["metrics"] == made.metrics["test"]


@before_transformers("5.20")  # older versions could train it
def test_prefix_is_refused(tiny, tmp_path):
    with pytest.raises(UserError, match="method = prefix: .* cannot be trained with it") as caught:
        fine_tune(make_settings(tiny, method="prefix"), make_rows(40), tmp_path / "runs", "x")
    assert "\n" not in str(caught.value) and not (tmp_path / "runs").exists()


def test_pipeline_gives_the_same_scores(run):
    texts = ["furious shouting", "wet grey and lovely bread"]
    found = pipeline("text-classification", model=str(run.path / "model"), device="cpu", top_k=None)(texts)
    for answer, scores in zip(run.predict(texts), found):
        assert {s["label"]: s["score"] for s in scores} == pytest.approx(answer["scores"], abs=1e-5)


@slow
def test_own_model_trains_further(run, tmp_path):
    settings = make_settings(str(run.path / "model"), num_train_epochs=1, baselines=[], logging_steps=1)
    further = fine_tune(settings, make_rows(), tmp_path, "x")
    losses = [[row["loss"] for row in made.history if "loss" in row] for made in (run, further)]
    assert np.mean(losses[1]) < np.mean(losses[0][:5])


def test_answers_follow_thresholds():
    class Config:
        id2label, label_thresholds = {0: "a", 1: "b"}, [0.5, 0.1]

    model = type("Model", (), {"config": Config})
    assert to_answer(np.array([0.0, -2.0]), model)["labels"] == ["a", "b"]
    assert to_answer(np.array([-0.1, -3.0]), model) == {
        "labels": [],
        "scores": {"a": pytest.approx(0.475, abs=1e-3), "b": pytest.approx(0.0474, abs=1e-3)},
    }


# --- settings, command, panel ---


@pytest.mark.parametrize(
    "key, value",
    [
        ("ignore_labels", ["joy"]),
        ("class_weights", "balanced"),
        ("num_shots", 2),
        ("packing", True),
        ("baselines", ["few_shot"]),
        ("baselines", ["median"]),
        ("metric_for_best_model", "accuracy"),
        ("label_smoothing_factor", 0.1),
    ],
)
def test_keys_of_other_tasks_are_refused(key, value):
    with pytest.raises(UserError, match=f"^{key}.*multi-label") as caught:
        Settings().replace(task="multi-label", **{key: value})
    assert "\n" not in str(caught.value)


def test_settings_come_back_from_a_file(tmp_path):
    settings = Settings().replace(
        task="multi-label", label_words={"joy": "great fun"}, metric_for_best_model="f1_macro"
    )
    (tmp_path / "settings.ini").write_text(settings.to_ini())
    assert Settings.read(tmp_path / "settings.ini") == settings and settings.dataset_name is None
    other = settings.replace(task="regression", label_words={}, metric_for_best_model="auto")
    assert (other.baselines, other.metric_for_best_model) == (["median", "tfidf", "frozen"], "mae")


@pytest.mark.parametrize("metric", ["f1_macro", "hamming_loss", "subset_accuracy", "loss"])
def test_best_epoch_follows_the_metric(metric):
    settings = Settings().replace(task="multi-label", metric_for_best_model=metric)
    from ftkit.trainer import training_arguments

    args = training_arguments(**settings.section("trainer"))
    assert args.metric_for_best_model == metric and args.greater_is_better == (metric not in ("hamming_loss", "loss"))


def test_advice_can_be_followed(tiny, tmp_path):
    rows = [{**row, "labels": row["labels"] + ["rare"] * (i < 9)} for i, row in rows_of(80)]
    with pytest.raises(UserError, match="rare") as caught:
        fine_tune(make_settings(tiny, max_train_samples=6, data_seed=1, preflight="true"), rows, tmp_path)
    assert "ignore_labels" not in str(caught.value)


def test_command_trains_and_predicts(ftkit, tiny, tmp_path):
    rows = [{"post": row["text"], **{n: int(n in row["labels"]) for n in NAMES}} for row in make_rows(60)]
    write_csv(tmp_path / "mine.csv", rows)
    keys = {"task": "multi-label", "train_file": "mine.csv", "text_column_name": "post", "model_name_or_path": tiny}
    keys |= {"label_column_name": "anger, joy, rain", "num_train_epochs": 1, "baselines": "majority", "run": "x"}
    done = ftkit("train", *(word for k, v in keys.items() for word in (f"--{k}", v)), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["data"]["labels"] == NAMES and "f1_micro" in record["metrics"]["test"]
    texts = [row["post"] for row in rows]
    answers = Run(tmp_path / "runs/x").predict(texts)
    for name in ("out.csv", "out.jsonl"):
        done = ftkit("predict", "x", "--file", "mine.csv", "--out", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["text", *NAMES, "labels", *(f"score_{name}" for name in NAMES), "error"]
    assert [row["labels"] for row in table] == ["; ".join(answer["labels"]) for answer in answers]
    assert [float(row["score_joy"]) for row in table] == pytest.approx([a["scores"]["joy"] for a in answers], abs=1e-5)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["labels"] for line in lines] == [answer["labels"] for answer in answers]
    said = ftkit("predict", "x", "furious shouting", "", "--json", cwd=tmp_path).stdout.splitlines()
    assert set(json.loads(said[0])) == {"labels", "scores"} and json.loads(said[1]) == {"error": "the text is empty"}


@pytest.fixture
def panel(run, monkeypatch):
    "A panel over the folder with the run"
    import ftkit.panels.panel

    monkeypatch.setattr(ftkit.panels.panel, "Worker", SilentWorker)
    return ftkit.panels.panel.Panel(None, run.path.parent)


def test_panel_shows_ladder_and_rows(panel, run):
    page = str(panel.to_html())
    for words in ("The ladder", "test micro F1", "in points", "Where it is wrong", "labels wrong", *TASK.rungs):
        assert words in page, words
    result, rows = panel.views["result"], run.predictions.query("split == 'validation'")
    explorer, sets = result.explorer, [(set(a), set(b)) for a, b in zip(rows.label, rows.predicted)]
    assert len(explorer.chosen()) == sum(a != b for a, b in sets) and explorer.grid.children == ()
    explorer.kind.value = "all rows"
    assert len(explorer.chosen()) == 8 and explorer.true.options == ("any", *NAMES)
    explorer.true.value = "joy"
    assert len(explorer.chosen()) == sum("joy" in a for a, _ in sets)
    explorer.predicted.value = "rain"
    assert len(explorer.chosen()) == sum("joy" in a and "rain" in b for a, b in sets)
    explorer.true.value = explorer.predicted.value = "any"
    explorer.search.value = "BREAD"
    assert len(explorer.chosen()) == rows.text.str.contains("bread").sum()
    result.report_button.value = True
    assert "srcdoc" in result.report.value and "Per label" in result.report.value


def test_panel_answers_before_and_after(panel, run):
    attempt = panel.views["result"].attempt
    attempt.text.value = "lovely bread <b>"
    attempt.button.click()
    what, question, callback = panel.worker.questions[-1]
    answer = Desk().answer(**question)
    callback(answer)
    assert what == "answer" and answer["after"] == run.predict(["lovely bread <b>"])
    assert answer["before"][0]["scores"] != answer["after"][0]["scores"] and set(answer["before"][0]["scores"]) == {
        *NAMES
    }
    assert attempt.shown.value.count("✓") == len(answer["after"][0]["labels"])
    assert "<b>l" not in attempt.shown.value and "<b>" not in str(attempt.to_html())[:60]


def test_cells_open_the_rows_they_count():
    labels = [["a"], ["a"], ["b"], ["b"]]
    rows = {"split": "validation", "text": list("wxyz"), "label": labels, "predicted": [["a"], ["a", "b"], ["b"], []]}
    explorer = Explorer(threading.RLock())
    explorer.load(pd.DataFrame(rows))
    for button in explorer.grid.children[0].children if explorer.grid.children else []:
        if (tooltip := getattr(button, "tooltip", None)) and tooltip.endswith("rows"):
            button.click()
            assert len(explorer.chosen()) == int(button.description), tooltip


def test_worker_reads_label_lists(tmp_path, tiny):
    file = write_csv(tmp_path / "a.csv", [{**row, "labels": json.dumps(row["labels"])} for row in make_rows(40)])
    settings = {"task": "multi-label", "train_file": str(file), "model_name_or_path": tiny}
    found = Desk().rows(settings)
    assert found["labels"] == NAMES and found["label_column"] == "labels" and found["counts"]["train"]["joy"] > 0
    shown = {row["labels"] and ", ".join(row["labels"]) or "none" for row in make_rows(40)}
    assert {row["label"] for row in found["rows"]} <= shown
