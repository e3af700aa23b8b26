"Load, clean, split, sample."

import random

import pandas as pd
import pytest
from conftest import small_rows, write_csv
from datasets import ClassLabel, Dataset, Features, Value

from ftkit.checks.duplicates import find_repeats, normalise
from ftkit.data import drop_unusable, load_data, rows_sha256, sample, split_rows
from ftkit.errors import UserError
from ftkit.settings import Settings


def own(n=120):
    return pd.DataFrame(small_rows(n)).rename(columns={"review": "text", "stars": "label"})


def test_the_starter_splits_80_10_10_with_every_label_alike():
    data, report = load_data(**Settings().section("data"))
    rows = {s: data[s].num_rows for s in data}
    total = sum(rows.values())
    assert abs(rows["test"] / total - 0.1) < 0.01 and abs(rows["validation"] / total - 0.1) < 0.01
    shares = [{k: v / report[s]["rows"] for k, v in report[s]["labels"].items()} for s in rows]
    assert all(abs(a[k] - shares[0][k]) < 0.02 for a in shares for k in a)
    assert not set(data["train"]["text"]) & set(data["test"]["text"])


@pytest.mark.parametrize("form", ["frame", "dataset", "csv", "tsv", "jsonl", "json", "parquet"])
def test_the_same_rows_in_any_form_are_the_same_splits(tmp_path, form):
    frame = own()
    if form in ("frame", "dataset"):
        data, _ = load_data(frame if form == "frame" else Dataset.from_pandas(frame))
    else:
        file = tmp_path / f"rows.{form}"
        if form == "parquet":
            frame.to_parquet(file)
        elif form.startswith("json"):
            frame.to_json(file, orient="records", lines=form == "jsonl")
        else:
            frame.to_csv(file, index=False, sep="\t" if form == "tsv" else ",")
        data, _ = load_data(train_file=str(file))
    wanted, _ = load_data(own())
    assert {s: rows_sha256(data[s]) for s in data} == {s: rows_sha256(wanted[s]) for s in wanted}


def test_label_names_are_mapped_once():
    frame = own()
    frame["label"] = frame["label"].map({"bad": 10, "flat": 9, "good": 2})
    data, _ = load_data(frame)
    assert data["train"].features["label"].names == ["2", "9", "10"]
    named = Dataset.from_dict(
        {"text": [f"t {i}" for i in range(60)], "label": [i % 2 for i in range(60)]},
        features=Features(text=Value("string"), label=ClassLabel(names=["no", "yes"])),
    )
    assert load_data(named)[0]["train"].features["label"].names == ["no", "yes"]


def test_cleaning_counts_what_it_drops():
    texts, labels = ["a", "", "  ", None, "b", "a", "a"], ["x", "x", "x", "x", "", "x", "y"]
    assert drop_unusable(texts, labels) == ([0, 6], {"empty_text": 3, "no_label": 1, "duplicate": 1})
    assert drop_unusable(texts, labels, keep_duplicates=True)[0] == [0, 5, 6]


def test_twins_stay_on_one_side():
    texts = [f"Post {i // 2} {'  @anna' if i % 2 else ' @BOB'}".upper() for i in range(200)]
    rest, carved = split_rows(texts, ["x", "x", "y", "y"] * 50, 0.2)
    assert {normalise(texts[i]) for i in rest}.isdisjoint({normalise(texts[i]) for i in carved})
    assert sorted(rest + carved) == list(range(200)) and len(carved) == 40


def test_sampling_is_a_seeded_shuffle_then_the_first():
    rows = load_data(own())[0]["train"]
    assert sample(rows, 10, 42)["text"][:] == rows.shuffle(seed=42).select(range(10))["text"][:]
    assert sample(rows, None) is rows and sample(rows, 10_000) is rows


def test_a_test_file_is_kept_whole_and_validation_is_carved_from_train(tmp_path):
    write_csv(tmp_path / "train.csv", small_rows(90))
    write_csv(tmp_path / "test.csv", small_rows(30) * 2)
    data, report = load_data(
        train_file=str(tmp_path / "train.csv"),
        test_file=str(tmp_path / "test.csv"),
        text_column_name="review",
        label_column_name="stars",
    )
    assert (
        report["held_out"] == ["validation"]
        and data["test"].num_rows == 60
        and data["train"].num_rows + data["validation"].num_rows == 90
    )


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: f.assign(label="same"), "every row has the label 'same'"),
        (lambda f: f.assign(label=[str(i) for i in range(len(f))]), "looks like free text or numbers, not labels"),
        (lambda f: f.assign(text=""), "none has both a text"),
        (lambda f: f.head(6), "too few to hold out|label .* has"),
        (lambda f: f.assign(text=[["a"]] * len(f)), "row 1, column 'text': expected a text, found list"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        load_data(change(own()))


def test_a_label_that_training_never_saw_is_refused():
    with pytest.raises(UserError, match="the test rows have the label 'new' .1 rows., which no training row has"):
        load_data({"train": own(), "test": pd.DataFrame({"text": ["x"], "label": ["new"]})})


def test_the_fingerprint_sees_text_label_and_order():
    rows = load_data(own())[0]["train"]
    prints = {
        rows_sha256(r)
        for r in (
            rows,
            rows.select(range(1, rows.num_rows)),
            rows.select(list(range(rows.num_rows))[::-1]),
            rows.map(lambda r: {"label": 0}),
        )
    }
    assert len(prints) == 4


@pytest.mark.parametrize("together", [False, True])
def test_near_duplicates_share_a_side_only_if_asked(together):
    rng, words = random.Random(0), "one two three four five six seven eight nine ten red blue green".split()
    texts = [" ".join(rng.choices(words, k=14)) for _ in range(150)]
    rows = [{"text": text + more, "label": "ab"[i % 2]} for i, text in enumerate(texts) for more in ("", " again")]
    data, report = load_data(rows, group_near_duplicates=together)
    leaks = find_repeats(list(data["train"]["text"]), list(data["test"]["text"])).count()[1]
    assert (leaks["near"] == 0) == together and leaks["exact"] == leaks["normalised"] == 0
    assert len(data["test"]) == pytest.approx(30, abs=3) and {*data["test"]["label"]} == {0, 1}


FEW = "16 rows are few, and each split takes some of every label"


@pytest.mark.parametrize(
    ("n", "labels", "author", "why"),
    [
        (16, 4, lambda i: i, FEW),
        (16, 4, lambda i: 0 if i in (0, 4) else i, FEW),  # two rows that stay together change nothing
        (200, 2, lambda i: i // 40, "duplicates and groups stay together"),
    ],
)
def test_missed_share_has_its_reason(n, labels, author, why):
    rows = [{"text": f"a text with number {i}", "label": f"label {i % labels}", "by": author(i)} for i in range(n)]
    notes = [note for note in load_data(rows, group_column_name="by")[1]["notes"] if "of all, not" in note]
    assert notes and all(note.endswith(f": {why}") for note in notes), notes
