"Rows that people pass from Python: splits, duplicates, types, label orders. Read as meant, or refused in one line."

import json
from collections import Counter

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from corpus import ROWS, count, join, load, make_rows, refuse, run_check
from datasets import ClassLabel, Dataset, DatasetDict, Features, IterableDataset, IterableDatasetDict, Value

from ftkit.checks.columns import PAIR
from ftkit.data import load_data, load_rows
from ftkit.fine_tuning import read_texts, with_rows
from ftkit.serving.batch import write_rows

FRAME = pd.DataFrame(ROWS, columns=["text", "label"])
TRAIN, VALID, TEST = FRAME[:40], FRAME[40:50], FRAME[50:]
NAMES = ["pos", "neg", "neu"]


def as_classes(rows=ROWS, names=NAMES, ids=None) -> Dataset:
    "Return rows as a Dataset with a ClassLabel in an order of its own"
    ids = [names.index(x) for _, x in rows] if ids is None else ids
    features = Features(text=Value("string"), label=ClassLabel(names=names))
    return Dataset.from_dict({"text": [t for t, _ in rows], "label": ids}, features=features)


# --- A3: names of splits ---

SPLITS = [
    ("train", "val", "test"),
    ("train", "valid", "test"),
    ("train", "dev", "test"),
    ("train", "Eval", "Testing"),
    ("Train", "Validation", "TEST"),
    ("training", "development", "testing"),
    ("train ", " devel", "test"),
]


@pytest.mark.parametrize("form", ["dictionary", "DatasetDict", "folder", "JSON"])
@pytest.mark.parametrize("names", SPLITS, ids=" ".join)
def test_usual_split_names_are_known(names, form, tmp_path):
    parts = dict(zip(names, (TRAIN, VALID, TEST)))
    if form == "DatasetDict":
        source = {"dataset": DatasetDict({n.strip(): Dataset.from_pandas(p) for n, p in parts.items()})}
    elif form == "dictionary":
        source = {"dataset": parts}
    elif form == "folder":
        for name, part in parts.items():
            part.to_csv(tmp_path / f"{name.strip()}.csv", index=False)
        source = {"path": tmp_path}
    else:
        (tmp_path / "all.json").write_text(json.dumps({n: p.to_dict("records") for n, p in parts.items()}))
        source = {"path": tmp_path / "all.json"}
    found, report, _ = load(**source)
    assert report["held_out"] == [] and found == Counter(ROWS)
    assert [report[s]["rows"] for s in ("train", "validation", "test")] == [40, 10, 10]
    count("A3", "read as meant")


@pytest.mark.parametrize(
    "names, says",
    [
        (("train", "dev", "val"), "two parts for the validation rows, one of them 'val'. Keep one"),
        (("train", "training", "test"), "two parts for the train rows"),
        (("train", "unsupervised", "test"), "'unsupervised' is no split. Use train, validation and test"),
        (("train", "holdout", "test"), "'holdout' is no split"),
        (("tarin", "val", "test"), "'tarin' is no split|no split 'train'"),
        (("val", "test", "extra"), "no split"),
    ],
    ids=str,
)
def test_other_split_names_are_refused(names, says):
    refuse(lambda: load_data(dict(zip(names, (TRAIN, VALID, TEST)))), says)
    count("A3", "refused")


@pytest.mark.parametrize("extra", ["unsupervised", "validation_mismatched", "pool"])
def test_other_split_of_dataset_is_left_out(extra):
    parts = {"train": TRAIN, "validation": VALID, "test": TEST, extra: FRAME[:3]}
    found, report, said = load(dataset=DatasetDict({n: Dataset.from_pandas(p) for n, p in parts.items()}))
    assert report["held_out"] == [] and found == Counter(ROWS) and f"left out: {extra}" in said
    count("A3", "read as meant")


def test_label_that_train_lacks_is_refused():
    refuse(
        lambda: load_data({"train": TRAIN, "val": VALID.assign(label="new")}), "validation rows have the label 'new'"
    )
    count("A3", "refused")


# --- A4, A5, A13: duplicates, shares, leaks ---

LINKS = [f"https://a{i}.example/x" for i in range(200)]
MOSTLY = [f"https://a{i}.example/x" if i % 5 < 3 else f"{ROWS[i % 60][0]} again {i}" for i in range(200)]
TEXTS = {
    "addresses": LINKS,
    "names": [f"@reader{i}" for i in range(200)],
    "mostly addresses": MOSTLY,
    "a third names": [f"@reader{i}" if i % 3 == 0 else f"{ROWS[i % 60][0]} again {i}" for i in range(300)],
    "name and address": [f"@reader{i} https://t.example/{i}" for i in range(200)],
    "emoji and address": [f"😀 https://t.example/{i}" for i in range(200)],
    "marks": ["!" * (i % 40 + 1) + "?" * (i // 40) for i in range(200)],
    "numbers": [f"{i}" for i in range(200)],
    "tags": [f"#tag{i} @reader{i}" for i in range(200)],
    "retweets": [f"RT @reader{i}: {ROWS[i % 60][0]} {i}" for i in range(300)],
    "four in a group": [f"{ROWS[i // 4 % 60][0]} number {i // 4}" + " " * (i % 4) for i in range(400)],
}


@pytest.mark.parametrize("seed", [0, 42])
@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_shares_are_of_rows(texts, seed):
    labels = [("a", "b")[i % 7 < 4] for i in range(len(texts))]
    data, report = load_data(pd.DataFrame({"text": texts, "label": labels}), data_seed=seed)
    rows = {s: report[s]["rows"] for s in data}
    whole = sum(rows.values())
    assert whole == len(texts) - report["dropped"]["train"]["duplicate"]
    assert all(abs(rows[s] / whole - 0.1) <= 0.02 for s in ("validation", "test")), rows
    assert not set(data["train"]["text"]) & set(data["test"]["text"])
    count("A4", "read as meant")


def test_missed_share_is_noted():
    texts = [f"one text, {'x' * (i // 30)}" for i in range(90)]
    labels = [("a", "b")[i % 2] for i in range(90)]
    _, report = load_data(
        pd.DataFrame({"text": [f"{t}{' ' * (i % 30)}" for i, t in enumerate(texts)], "label": labels})
    )
    assert any("rows are" in note and "not 10%" in note for note in report["notes"]), report["notes"]
    count("A4", "read as meant")


@pytest.mark.parametrize("common, rare, times", [(290, 10, 29), (200, 12, 15), (150, 20, 5)])
def test_oversampling_is_said(common, rare, times):
    rows = [(t, "no") for t, _ in make_rows(common)] + [(f"rare {t}", "yes") for t, _ in make_rows(rare)] * times
    found, report, said = load(dataset=pd.DataFrame(rows, columns=["text", "label"]))
    assert sum(found.values()) == common + rare and f"{rare * times - rare:,} duplicate dropped" in said
    assert ("class_weights = balanced" in said) == (rare * (times - 1) > (common + rare) / 4)
    count("A5", "read as meant")


@pytest.mark.parametrize("kind", ["conflict", "leak", "validation"])
def test_conflicts_and_leaks_are_said(kind, tmp_path, capsys):
    if kind == "conflict":
        rows = [*ROWS, (ROWS[0][0], "neg"), (ROWS[1][0], "pos")]
        (tmp_path / "a.csv").write_text(join(rows))
        said = load(tmp_path / "a.csv")[2]
        assert "2 training texts have more than one label" in said
        code, result, _ = run_check(tmp_path / "a.csv", capsys)
        assert code == 3 and result["conflicts"] == 2
    else:
        split = "test" if kind == "leak" else "val"
        said = load(dataset={"train": TRAIN, split: pd.concat([TEST, TRAIN[:4]])})[2]
        assert "4 of 14 " in said and "rows are training rows too" in said
    count("A13", "read as meant")


def test_check_finds_test_rows_in_train(tmp_path, capsys):
    (tmp_path / "a.csv").write_text(join())
    near = [(t.upper().replace(" ", "  "), x) for t, x in ROWS[5:8]]
    (tmp_path / "b.csv").write_text(join([*ROWS[:5], *near, ("another text that is new", "pos")]))
    code, result, _ = run_check(tmp_path / "a.csv", capsys, test_file=tmp_path / "b.csv")
    assert code == 3 and (result["leaks"]["exact"], result["leaks"]["normalised"]) == (5, 3)
    count("A13", "read as meant")


# --- A9: texts to predict ---

TEXTS_OF = {
    "list": lambda t: t,
    "tuple": tuple,
    "array": np.array,
    "series": pd.Series,
    "named series": lambda t: pd.Series(t, name="whatever"),
    "frame": lambda t: pd.DataFrame({"id": range(len(t)), "review": t}),
    "one column": lambda t: pd.DataFrame({"something": t}),
    "dictionary": lambda t: {"review": t},
    "dictionary of two": lambda t: {"id": list(range(len(t))), "review": t},
    "records": lambda t: [{"review": x, "n": i} for i, x in enumerate(t)],
    "dataset": lambda t: Dataset.from_dict({"review": t, "n": list(range(len(t)))}),
    "column": lambda t: Dataset.from_dict({"review": t})["review"],
    "polars": lambda t: polars.DataFrame({"review": t, "n": range(len(t))}),
    "polars series": lambda t: polars.Series("review", t),
    "arrow": lambda t: pyarrow.table({"review": t, "n": list(range(len(t)))}),
    "generator": lambda t: (x for x in t),
}


@pytest.mark.parametrize("make", TEXTS_OF.values(), ids=TEXTS_OF)
def test_texts_of_any_kind_are_taken(make):
    texts = [t for t, _ in ROWS[:8]]
    assert read_texts(make(texts), {"text_column": "review"}) == texts
    count("A9", "read as meant")


@pytest.mark.parametrize(
    "rows, says",
    [
        ("a text", r"predict\(\[text\]\)"),
        ({"train": FRAME, "test": FRAME}, "not splits|rows, not"),
        (pd.DataFrame({"a": ["x y z"], "b": ["u v w"]}), "no such column.*Columns: a, b"),
        (7, "holds no rows"),
        (b"bytes", "holds no rows|text"),
        ({"review": "a text"}, "not a list of values|list"),
    ],
    ids=str,
)
def test_other_things_to_predict_are_refused(rows, says):
    refuse(lambda: read_texts(rows, {"text_column": "review"}), says)
    count("A9", "refused")


# --- A10: order of classes ---

ORDERED = pd.Categorical([x for _, x in ROWS], categories=NAMES, ordered=True)
ORDERS = {
    "ClassLabel": as_classes,
    "DatasetDict": lambda: DatasetDict({"train": as_classes(ROWS[:50]), "test": as_classes(ROWS[50:])}),
    "Categorical": lambda: FRAME.assign(label=ORDERED),
    "polars Enum": lambda: polars.DataFrame(
        {"text": FRAME["text"].tolist(), "label": polars.Series([x for _, x in ROWS], dtype=polars.Enum(NAMES))}
    ),
    "stream": lambda: as_classes().to_iterable_dataset(),
    "arrow dictionary": lambda: pyarrow.table(
        {"text": [t for t, _ in ROWS], "label": pyarrow.array(ORDERED.codes).cast(pyarrow.int32())}
    ).set_column(1, "label", pyarrow.DictionaryArray.from_arrays(ORDERED.codes.astype("int32"), NAMES, ordered=True)),
}


@pytest.mark.parametrize("make", ORDERS.values(), ids=ORDERS)
def test_order_of_classes_is_kept(make):
    found, report, _ = load(dataset=make())
    assert report["labels"] == NAMES and found == Counter(ROWS)
    count("A10", "read as meant")


@pytest.mark.parametrize("form", ["parquet of datasets", "parquet of pandas", "feather"])
def test_order_of_classes_is_kept_in_file(form, tmp_path):
    path = tmp_path / ("a.feather" if form == "feather" else "a.parquet")
    if form == "parquet of datasets":
        as_classes().to_parquet(path)
    elif form == "feather":
        FRAME.assign(label=ORDERED).to_feather(path)
    else:
        FRAME.assign(label=ORDERED).to_parquet(path)
    found, report, _ = load(path)
    assert report["labels"] == NAMES and found == Counter(ROWS)
    count("A10", "read as meant")


def test_order_without_source_is_by_value_or_alphabet():
    assert load(dataset=FRAME)[1]["labels"] == ["neg", "neu", "pos"]
    assert load(dataset=FRAME.assign(label=[str(i % 3 * 5) for i in range(60)]))[1]["labels"] == ["0", "5", "10"]
    numbers = FRAME.assign(label=[(-1.5, 0.5, 10.0)[i % 3] for i in range(60)])
    assert load(dataset=numbers)[1]["labels"] == ["-1.5", "0.5", "10.0"]
    count("A10", "read as meant")


def test_class_without_rows_is_said():
    rows = [row for row in ROWS if row[1] != "neu"]
    found, report, said = load(dataset=as_classes(rows))
    assert found == Counter(rows) and "'neu' has no training rows" in said
    count("A10", "read as meant")


def test_ignored_class_is_no_class():
    found, report, _ = load(dataset=as_classes(), ignore_labels=["neu"])
    assert report["labels"] == ["pos", "neg"] and found == Counter(row for row in ROWS if row[1] != "neu")
    count("A10", "read as meant")


# --- A11: files of predictions ---


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("labels", [("-1", "0", "+1"), ("=a", "@b", "-c"), ("007", "1e3", "None")], ids=str)
def test_labels_and_numbers_are_never_changed(labels, separator, tmp_path):
    texts = ["-20", "+1", "@anna", "=1+1", "-5.5 %", "plain", "-- dashes", "1,5", "", "NA"]
    answers = [
        {"label": labels[i % 3], "score": 0.5 + i / 100, "scores": dict.fromkeys(labels, 0.25)} for i in range(10)
    ]
    others = {"id": [f"-{i}" for i in range(10)], "label": ["=x"] * 10}
    changed = write_rows(tmp_path / "out.csv", texts, answers, others, separator)
    found = pd.read_csv(tmp_path / "out.csv", sep=separator, dtype=str, keep_default_na=False)
    assert found["label"].tolist() == [a["label"] for a in answers]
    assert [float(v) for v in found["score"]] == [a["score"] for a in answers]
    assert [float(v) for v in found[f"score_{labels[0]}"]] == [0.25] * 10
    assert found["id"].tolist() == others["id"]
    plain = {"-20", "+1", "plain", "1,5", "", "NA"}
    assert [t == f for t, f in zip(texts, found["text"]) if t in plain] == [True] * 6
    assert all(f in (t, f"'{t}") for t, f in zip(texts, found["text"])) and changed > 0
    count("A11", "read as meant")


# --- A12: one definition of an empty text ---

BLANK = ["\u200b", "\ufeff", "\u2060 \u00ad", "\u3000", "\x00", "\u202e\u202c", "\u00a0\t"]


@pytest.mark.parametrize("text", BLANK, ids=ascii)
def test_invisible_text_is_empty_everywhere(text, tmp_path, capsys):
    from ftkit.serving.predict import find_text_problem

    rows = pd.DataFrame([*ROWS, (text, "pos"), (f"{text} x y {text}", "neg")], columns=["text", "label"])
    found, report, said = load(dataset=rows)
    assert found == Counter([*ROWS, (f"{text} x y {text}", "neg")]) and "1 empty text dropped" in said
    assert find_text_problem(text) == "the text is empty" and find_text_problem(f"{text}x") is None
    assert load_rows(rows, report)[1]["empty_text"] == 1
    rows.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    assert run_check(tmp_path / "a.jsonl", capsys)[1]["empty"] == 1
    count("A12", "read as meant")


# --- D26: rows without labels ---


@pytest.mark.parametrize("missing", [-1, None], ids=str)
@pytest.mark.parametrize("share", ["all of test", "some of test", "some of train", "all of unsupervised"])
def test_rows_without_labels_are_left_out(missing, share):
    ids = lambda rows: [NAMES.index(x) for _, x in rows]
    if share == "some of train":
        found, _, said = load(dataset=as_classes(ids=[missing if i < 6 else n for i, n in enumerate(ids(ROWS))]))
        assert found == Counter(ROWS[6:]) and "6 no label dropped" in said
        return count("D26", "read as meant")
    name = "unsupervised" if "unsup" in share else "test"
    own = ids(TEST.itertuples(index=False))
    other = as_classes(ROWS[50:], ids=[missing if i < 3 or "all" in share else n for i, n in enumerate(own)])
    found, report, said = load(dataset=DatasetDict({"train": as_classes(ROWS[:50]), name: other}))
    if "some" in share:
        assert found == Counter(ROWS[:50] + ROWS[53:]) and "3 no label dropped" in said
    else:
        assert found == Counter(ROWS[:50]) and "left out" in said and "test" in report["held_out"]
    count("D26", "read as meant")


@pytest.mark.parametrize("value", [np.nan, None, "", "  ", pd.NA], ids=repr)
def test_missing_labels_of_frame_are_left_out(value):
    labels = FRAME["label"].astype(object)
    labels[:6] = value
    found, _, said = load(dataset=FRAME.assign(label=labels))
    assert found == Counter(ROWS[6:]) and "6 no label dropped" in said
    count("D26", "read as meant")


def test_test_file_without_labels_is_left_out(tmp_path):
    (tmp_path / "a.csv").write_text(join())
    (tmp_path / "b.csv").write_text(join([(f"new {t}", "") for t, _ in ROWS[:9]]))
    found, report, said = load(tmp_path / "a.csv", test_file=str(tmp_path / "b.csv"))
    assert found == Counter(ROWS) and "test rows have no labels and were left out" in said
    (tmp_path / "b.csv").write_text("text\n" + "".join(f'"new {t}"\n' for t, _ in ROWS[:9]))
    assert (
        "test rows have no labels and were left out" in load(tmp_path / "a.csv", test_file=str(tmp_path / "b.csv"))[2]
    )
    count("D26", "read as meant")


def test_labels_under_another_name_are_not_left_out(tmp_path):
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    FRAME.rename(columns={"label": "stars"}).to_csv(tmp_path / "b.csv", index=False)
    says = "test rows have no column 'label'.*Columns: text, stars"
    refuse(lambda: load(tmp_path / "a.csv", test_file=str(tmp_path / "b.csv")), says)
    count("D26", "refused")


@pytest.mark.parametrize(
    "ignore, says", [(["neuu"], "Did you mean 'neu'"), (["neu", "other"], "other: no row has")], ids=str
)
def test_ignored_label_that_no_row_has_is_refused(ignore, says):
    refuse(lambda: load_data(FRAME, ignore_labels=ignore), says)
    assert load(dataset=FRAME, ignore_labels=["NEU "])[1]["labels"] == ["neg", "pos"]
    count("E36", "refused")


# --- D27: kinds of data ---

KINDS = {
    "polars": lambda: polars.DataFrame(ROWS, schema=["text", "label"], orient="row"),
    "lazy": lambda: polars.DataFrame(ROWS, schema=["text", "label"], orient="row").lazy(),
    "arrow": lambda: pyarrow.Table.from_pandas(FRAME),
    "batch": lambda: pyarrow.RecordBatch.from_pandas(FRAME),
    "records": lambda: FRAME.to_dict("records"),
    "columns": lambda: FRAME.to_dict("list"),
    "pairs": lambda: ROWS,
    "lists": lambda: [list(r) for r in ROWS],
    "label first": lambda: [(x, t) for t, x in ROWS],
    "generator": lambda: ({"text": t, "label": x} for t, x in ROWS),
    "stream": lambda: IterableDataset.from_generator(lambda: ({"text": t, "label": x} for t, x in ROWS)),
    "dataset": lambda: Dataset.from_pandas(FRAME),
    "index": lambda: FRAME.sample(frac=1, random_state=0),
    "named index": lambda: FRAME.set_index(pd.Index(range(100, 160), name="key")),
    "string dtype": lambda: FRAME.astype("string"),
    "object": lambda: FRAME.astype(object),
    "arrow dtype": lambda: FRAME.astype(pd.ArrowDtype(pyarrow.string())),
    "one split": lambda: {"train": FRAME},
    "one split of records": lambda: {"train": FRAME.to_dict("records")},
    "DatasetDict": lambda: DatasetDict(train=Dataset.from_pandas(FRAME)),
    "streams": lambda: IterableDatasetDict({"train": Dataset.from_pandas(FRAME).to_iterable_dataset()}),
    "filtered": lambda: Dataset.from_pandas(pd.concat([FRAME, FRAME])).select(range(60)),
    "formatted": lambda: Dataset.from_pandas(FRAME).with_format("numpy"),
    "extra columns": lambda: FRAME.assign(id=range(60), when=pd.Timestamp("2026-05-01")),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_data_of_any_kind_is_taken(make):
    found, report, said = load(dataset=make())
    assert found == Counter(ROWS) and len(report["lines"]) == 3
    count("D27", "read as meant")


def test_paths_by_split_are_taken(tmp_path):
    for name, part in (("a", TRAIN), ("b", VALID), ("c", TEST)):
        part.to_csv(tmp_path / f"{name}.csv", index=False)
    paths = {"train": tmp_path / "a.csv", "val": str(tmp_path / "b.csv"), "test": tmp_path / "c.csv"}
    found, report, _ = load(dataset=paths)
    assert found == Counter(ROWS) and report["held_out"] == []
    count("D27", "read as meant")


def test_parts_and_other_files_in_folder(tmp_path):
    TRAIN[:20].to_parquet(tmp_path / "train-00000-of-00002.parquet")
    TRAIN[20:].to_parquet(tmp_path / "train-00001-of-00002.parquet")
    pd.concat([VALID, TEST]).to_parquet(tmp_path / "test-00000-of-00001.parquet")
    (tmp_path / "README.txt").write_text("made by hand")
    found, report, said = load(tmp_path)
    assert found == Counter(ROWS) and report["held_out"] == ["validation"] and "not read: README.txt" in said
    TRAIN.to_csv(tmp_path / "train.csv", index=False)
    refuse(lambda: load(tmp_path), "two files for one split")
    count("A3", "refused")


def test_path_and_settings_are_taken(tmp_path):
    (tmp_path / "mine.csv").write_text(join())
    for path in (tmp_path / "mine.csv", str(tmp_path / "mine.csv")):
        assert load(dataset=path)[0] == Counter(ROWS)
        settings, dataset = with_rows(path)
        assert settings.train_file == str(path) and dataset is None
    settings, dataset = with_rows(FRAME)
    assert dataset is FRAME and settings.dataset_name is None
    count("D27", "read as meant")


@pytest.mark.parametrize(
    "rows, says",
    [
        (FRAME["text"], "no other column"),
        ([t for t, _ in ROWS], "no other column. Add a column"),
        (7, "holds no rows that can be read"),
        (np.array(ROWS), "holds no rows|Give a DataFrame"),
        ([], "no rows|empty"),
        (FRAME[:0], "no rows|none"),
        (pd.concat([FRAME, FRAME["text"]], axis=1), "two columns are named 'text'"),
        ({"text": ["a"], "label": ["b", "c"]}, "differ in length"),
        (lambda: None, "holds no rows"),
        (DatasetDict(), "no split|no rows|nothing|is empty"),
        ([("a", "b"), ("c",)], "row 2: expected a pair"),
        (DatasetDict(test=Dataset.from_pandas(FRAME)), "no split 'train'. It has: test"),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, str) else "",
)
def test_other_data_is_refused(rows, says):
    refuse(lambda: load_data(rows), says)
    count("D27", "refused")


# --- E35: one spelling of a value; E36: rare labels ---

VALUES = {
    "bool": [i % 2 == 0 for i in range(60)],
    "int": [i % 3 for i in range(60)],
    "negative": [i % 3 - 1 for i in range(60)],
    "float": [float(i % 2) for i in range(60)],
    "half": [i % 3 / 2 for i in range(60)],
    "int64": np.arange(60) % 3,
    "nullable int": pd.array([i % 3 for i in range(60)], dtype="Int64"),
    "nullable bool": pd.array([i % 2 == 0 for i in range(60)], dtype="boolean"),
    "float with gaps": [None if i == 5 else float(i % 2) for i in range(60)],
    "date": pd.to_datetime(["2026-05-01", "2026-05-02"] * 30),
    "category of int": pd.Categorical([i % 3 for i in range(60)]),
    "float32": np.array([0.1, 0.2] * 30, dtype="float32"),
    "big": [2**60 + i % 2 for i in range(60)],
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_value_is_spelled_alike_in_every_form(values, tmp_path):
    frame = FRAME.assign(label=values)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    forms = [
        {"dataset": frame},
        {"path": tmp_path / "a.csv"},
        {"path": tmp_path / "a.parquet"},
        {"dataset": polars.from_pandas(frame)},
        {"dataset": Dataset.from_pandas(frame)},
    ]
    first, report, _ = load(**forms[0])
    for form in forms[1:]:
        found, other, _ = load(**form)
        assert found == first and other["labels"] == report["labels"], form
    for form in forms:  # and as rows to evaluate a model on
        rows, _ = load_rows(form.get("dataset", form.get("path")), report)
        assert Counter(zip(rows["text"], (report["labels"][i] for i in rows["label"]))) == first
    count("E35", "read as meant")


@pytest.mark.parametrize(
    "rare, says",
    [
        ({"r1": 1}, r"label 'r1' has 1 of 151 rows: .*ignore_labels = r1,"),
        ({"r1": 2}, r"label 'r1' has 2 of 152 rows: .*ignore_labels = r1,"),
        ({"r1": 1, "r2": 2}, r"label 'r1' has 1 of 153 rows, and 1 more labels have too few.*ignore_labels = r1, r2,"),
    ],
    ids=str,
)
def test_rare_label_is_named(rare, says):
    rows = [*make_rows(150), *((f"rare {name} {i}", name) for name, n in rare.items() for i in range(n))]
    frame = pd.DataFrame(rows, columns=["text", "label"])
    refuse(lambda: load_data(frame), says)
    found, _, _ = load(dataset=frame, ignore_labels=list(rare))
    assert found == Counter(make_rows(150))
    count("E36", "refused")


def test_rare_label_of_one_text_is_named():
    rows = [*make_rows(60), *[("The same thing", "r1"), ("the same  thing", "r1"), ("THE SAME THING", "r1")]]
    refuse(lambda: load_data(pd.DataFrame(rows, columns=["text", "label"])), "'r1' has 3 of 63 rows of one text")
    count("E36", "refused")


# --- F: other column names, extra columns, two texts ---


@pytest.mark.parametrize(
    "columns", [("text", "label"), ("review", "stars"), ("Text", " LABEL "), ("gripe", "verdict")]
)
def test_evaluate_takes_other_column_names(columns, tmp_path):
    report = load(dataset=FRAME)[1]
    rows = FRAME.rename(columns=dict(zip(FRAME.columns, columns)))
    rows.to_csv(tmp_path / "a.csv", index=False)
    for source in (rows, tmp_path / "a.csv"):
        try:
            found, _ = load_rows(source, report)
        except ValueError:
            refuse(lambda s=source: load_rows(s, report), r"no such column.*Columns")
            found, _ = load_rows(source, report, *columns)
        assert found["text"][:] == [t for t, _ in ROWS]
        assert [report["labels"][i] for i in found["label"]] == [x for _, x in ROWS]
    count("F", "read as meant")


def test_evaluated_labels_are_spelled_as_trained():
    report = load(dataset=FRAME)[1]
    rows, _ = load_rows(FRAME.assign(label=[x.upper() for x in FRAME["label"]]), report)
    assert [report["labels"][i] for i in rows["label"]] == [x for _, x in ROWS]
    refuse(lambda: load_rows(FRAME.assign(label="new"), report), "'new'")
    count("F", "read as meant")


@pytest.mark.parametrize("form", ["csv", "jsonl", "frame"])
def test_extra_columns_travel_along(form, tmp_path):
    frame = FRAME.assign(id=[f"00{i}" for i in range(60)], split="x", labels=[str(i % 4) for i in range(60)])
    if form == "csv":
        frame.to_csv(tmp_path / "a.csv", index=False)
    elif form == "jsonl":
        frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    source = frame if form == "frame" else tmp_path / f"a.{form}"
    data, _ = load_data(source, text_column_name="text", label_column_name="label")
    ids = {t: f"00{i}" for i, (t, _) in enumerate(ROWS)}
    for part in data.values():
        assert {"text", "label", "id", "split_", "labels_"} <= set(part.column_names)
        assert part["id"][:] == [ids[t] for t in part["text"]]
    count("F", "read as meant")


def test_half_a_character_in_an_extra_column_is_escaped(tmp_path):
    file = tmp_path / "a.jsonl"
    rows = [{"text": t, "label": x, "user\ude00": "half \ud83d", "tags": ["é", "\ud83d"]} for t, x in ROWS]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for source in (file, rows):
        data, _ = load_data(source, text_column_name="text", label_column_name="label")
        assert set(data["train"]["user\\ude00"]) == {"half \\ud83d"}
        assert set(data["train"]["tags"]) == {'["é", "\\ud83d"]'}
    count("F", "read as meant")


def test_file_that_replaces_a_split_is_said(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("data/train.csv", "data/validation.csv", "own.csv"):
        FRAME.to_csv(tmp_path / name, index=False)
    names = {"text_column_name": "text", "label_column_name": "label"}
    report = load_data(train_file=str(tmp_path / "data"), validation_file=str(tmp_path / "own.csv"), **names)[1]
    assert any(note.startswith("validation_file takes the place of the validation rows") for note in report["notes"])
    count("A3", "read as meant")


def test_two_text_columns_are_a_pair():
    frame = FRAME.assign(question=[f"Is it {i}?" for i in range(60)]).rename(columns={"text": "passage"})
    found, report, _ = load(dataset=frame, text_column_name="question, passage", label_column_name="label")
    assert found == Counter((f"Is it {i}?{PAIR}{t}", x) for i, (t, x) in enumerate(ROWS))
    assert report["text_column"] == "question, passage"
    assert read_texts(frame, report)[0] == f"Is it 0?{PAIR}{ROWS[0][0]}"
    count("F", "read as meant")
