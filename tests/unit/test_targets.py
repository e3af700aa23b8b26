"`ftkit check` of several labels and of numbers: the task is recognised or given, and the checks suit it."

import csv
import json
import random
import re
import subprocess
import sys

import pytest

from ftkit.checks.numbers import find_odd
from ftkit.checks.report import describe_examination, examine
from ftkit.checks.suspicious import find_unlikely
from ftkit.cli.main import main
from ftkit.errors import UserError
from ftkit.files.columnar import from_python
from ftkit.settings import TASKS
from ftkit.starter import posts_path

WORDS = {"anger": "furious shouting", "joy": "lovely bread", "rain": "wet grey morning"}
NAMES, KEYS = list(WORDS), {"rows", "columns", "labels", "duplicates", "leaks", "conflicts", "empty", "findings"}


def make_lists(n: int = 240) -> list[dict]:
    "Return texts of no, one, two or three labels, which their words show"
    rng, rows = random.Random(0), []
    for i in range(n):
        labels = [name for k, name in enumerate(NAMES) if i >> k & 1]
        some = " ".join(rng.sample("the a this that of near with under over old new big".split(), 4))
        rows.append({"text": f"{' and '.join(WORDS[x] for x in labels) or 'nothing'} {some} {i}", "labels": labels})
    return rows


def make_stars(n: int = 200) -> list[dict]:
    "Return texts with one to five stars"
    rng = random.Random(0)
    words = "good fine bad old warm cold quick slow soup bread train room".split()
    return [{"text": f"{' '.join(rng.sample(words, 6))} {i}", "stars": str(1 + i % 5)} for i in range(n)]


def check(rows, test=None, **keys):
    "Return the result, and what was found -> finding"
    tables = {"train": from_python(rows)} | ({"test": from_python(test)} if test else {})
    result = examine(tables, **keys)
    assert describe_examination(result) and KEYS <= set(result)
    return result, {finding["what"]: finding for finding in result["findings"]}


def find(found: dict, part: str) -> dict | None:
    "Return the finding whose words hold a part"
    return next((finding for what, finding in found.items() if part in what), None)


# --- which task ---

SPELLED = {
    "lists": lambda labels: labels,
    "JSON": json.dumps,
    "semicolons": ";".join,
    "bars": " | ".join,
}


@pytest.mark.parametrize("how", SPELLED)
def test_several_labels_are_recognised(how):
    rows = [{"text": row["text"], "labels": SPELLED[how](row["labels"] or ["joy"])} for row in make_lists()]
    result, found = check(rows)
    assert result["task"] == "multi-label" and set(result["labels"]) == set(NAMES)
    assert result["labels"]["joy"] == sum("joy" in (row["labels"] or ["joy"]) for row in make_lists())
    assert "train with --task multi-label" in find(found, "examined as task = multi-label")["fix"]
    given, told = check(rows, task="multi-label")
    assert given["labels"] == result["labels"] and not find(told, "examined as")


def test_columns_of_flags_are_recognised():
    rows = [{"text": row["text"], **{n: int(n in row["labels"]) for n in NAMES}} for row in make_lists()]
    rows[3]["joy"] = None
    result, found = check(rows)
    assert result["columns"]["label"] == "anger, joy, rain" and "read as 0: 'joy' (1)" in result["columns"]["how"]
    assert find(found, "3 columns of 0 and 1")
    assert result["labels"] == check([{**row, "text": row["text"]} for row in rows], task="multi-label")[0]["labels"]


@pytest.mark.parametrize(
    "label", [lambda i: ["pos", "neg"][i % 2], lambda i: str(1 + i % 5), lambda i: [["pos"], ["neg"]][i % 2], str]
)
def test_single_labels_stay_labels(label):
    rows = [{**row, "label": label(i)} for i, row in enumerate(make_stars())]
    assert check([{k: row[k] for k in ("text", "label")} for row in rows])[0]["task"] == "text-classification"


def test_prices_are_recognised():
    rows = [{"text": row["text"], "score": f"{i * 1.37:.2f}"} for i, row in enumerate(make_stars())]
    result, found = check(rows)
    assert result["task"] == "regression" and find(found, "numbers, not labels")
    assert not find(check(rows, task="regression")[1], "numbers, not labels")


def test_given_task_counts():
    rows = [{"text": row["text"], "labels": row["labels"]} for row in make_lists()]
    result, found = check(rows, task="text-classification")
    assert result["task"] == "text-classification"
    assert find(found, "rows with several labels")["fix"] == "give a column with one label a row"
    pairs = [{"prompt": f"ask {i}?", "response": f"say {i}."} for i in range(40)]
    assert check(pairs, task="text-generation")[0]["form"] == "pair"
    with pytest.raises(UserError, match="there is no such column"):
        check(rows, task="multi-label", label_column_name="lables")


# --- several labels ---


def test_labels_are_counted_each():
    rows = make_lists()
    rows += [{"text": f"a rare one {i}", "labels": ["rare", "joy"]} for i in range(2)]
    result, found = check(rows, task="multi-label")
    assert result["labels"]["rare"] == 2
    few = find(found, "fewer than 3 rows")
    assert few["examples"] == ["rare"] and "ignore_labels" not in few["fix"]
    scored, found = check(rows, [*make_lists(8), {"text": "new", "labels": ["fury"]}], task="multi-label")
    assert find(found, "fewer than 10 test rows")["count"] == 3
    assert find(found, "labels of the test rows that no training row has")["examples"] == ["fury"]


def test_different_sets_of_one_text_conflict():
    rows = [*make_lists(), {"text": "one text", "labels": ["joy", "rain"]}, {"text": "one text", "labels": ["joy"]}]
    rows += [{"text": "same set", "labels": labels} for labels in (["rain", "joy"], ["joy", "rain"])]
    result, found = check(rows, task="multi-label")
    conflict = find(found, "different sets of labels")
    assert result["conflicts"] == conflict["count"] == 1
    assert conflict["examples"] == ['one text: ["joy", "rain"] (1) or ["joy"] (1)']


def test_wrong_and_missing_labels_are_called():
    rows, planted = make_lists(), {}
    for i, name in ((33, "joy"), (70, "joy"), (101, "anger"), (160, "rain"), (200, "rain")):
        planted[i] = name
        rows[i]["labels"] = sorted(set(rows[i]["labels"]) ^ {name})
    found = find_unlikely([row["text"] for row in rows], [set(row["labels"]) for row in rows], NAMES)
    assert {(u.row, u.label) for u in found} == set(planted.items())
    assert all(u.given == (u.label in rows[u.row]["labels"]) for u in found)
    finding = find(check(rows, task="multi-label")[1], "labels to read again")
    assert finding["count"] == 5 and all(
        re.match(r"row \d+, \w+ is (given|missing): ", e) for e in finding["examples"]
    )


def test_rare_labels_are_not_all_suspicious():
    "A label that no word shows is likely absent everywhere: its rows are no errors"
    with open(posts_path(), newline="", encoding="utf-8") as f:
        texts = [row["text"] for row in csv.DictReader(f)][:600]
    lists = [{"rare"} if i % 20 == 0 else set() for i in range(len(texts))]
    assert len(find_unlikely(texts, lists, ["rare"])) <= 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda rows: rows[5].update(labels=None), "labels are unknown"),
        (lambda rows: rows[5].update(labels=["Joy"]), "were read as one label"),
        (lambda rows: rows[5].update(labels=["n/a"]), "stand for a missing value"),
        (lambda rows: [row["labels"].append("post") for row in rows], "labels that every row has"),
        (lambda rows: [row.update(labels=["post"]) for row in rows], "fewer than two labels"),
        (lambda rows: rows.append(dict(rows[5])), "an exact duplicate"),
    ],
)
def test_fault_of_lists_is_found(change, what):
    rows = make_lists()
    change(rows)
    assert find(check(rows, task="multi-label")[1], what)


# --- numbers ---


def test_ratings_are_counted_and_clean():
    result, found = check(make_stars(), task="regression")
    assert result["labels"] == {str(k): 40 for k in range(1, 6)} and not found
    lines = describe_examination(result)
    assert any(line.startswith("numbers: 1 40") for line in lines) and lines[-1] == "nothing found"


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("55", "far from all others, which go from 1 to 5"),
        ("-999", "far from all others"),
        ("-1", "negative numbers among ratings"),
        ("3.5", "between the steps of a rating"),
        ("five", "no number: training refuses"),
        ("", "without a number"),
    ],
)
def test_odd_value_is_found_with_its_row(value, what):
    rows = make_stars()
    rows[7]["stars"] = value
    finding = find(check(rows, task="regression")[1], what)
    assert finding["count"] == 1 and (finding["examples"] == [f"row 8: {value}"] or not value)


@pytest.mark.parametrize(
    "values",
    [
        [float(1 + i % 5) for i in range(200)],
        [float(i % 2) for i in range(200)],
        [0.5 * (i % 9) for i in range(200)],
        [random.Random(i).lognormvariate(3, 1) for i in range(500)],
        [random.Random(i).gauss(0, 1) for i in range(500)],
        [7.0] * 50,
        [],
    ],
)
def test_usual_numbers_are_not_odd(values):
    assert not find_odd(values)


def test_checks_of_classes_are_not_asked():
    rows = make_stars() + [{"text": f"a text with odd stars {i}", "stars": str(4 + i)} for i in range(2, 4)]
    _, found = check(rows, task="regression")
    assert not any(word in what for what in found for word in ("label", "classes", "oversampled"))


def test_different_ratings_of_one_text_conflict():
    rows = [*make_stars(), {"text": "one text", "stars": "2"}, {"text": "one text", "stars": "5"}]
    rows += [{"text": "same text", "stars": "4"}, {"text": "same text", "stars": "4.0"}]
    result, found = check(rows, task="regression")
    conflict = find(found, "different numbers")
    assert result["conflicts"] == conflict["count"] == 1 and conflict["examples"] == ["one text: 2 (1) or 5 (1)"]


def test_test_numbers_outside_the_range_are_found():
    test = [{"text": f"another text {i}", "stars": str(i)} for i in range(1, 8)]
    finding = find(check(make_stars(), test, task="regression")[1], "outside the range of the training rows, 1 to 5")
    assert finding["examples"] == ["row 6: 6", "row 7: 7"]


def test_decimal_sign_is_that_of_training_rows():
    rows = [
        {"text": f"{row['text']} {i}", "score": f"{i * 1.37:.2f}".replace(".", ",")}
        for i, row in enumerate(make_stars())
    ]
    result, found = check(rows, task="regression")
    assert not find(found, "no number") and sum(result["labels"].values()) == len(rows)


# --- the command ---


def test_command_takes_the_task(tmp_path, capsys):
    file = tmp_path / "stars.csv"
    with open(file, "w", newline="") as f:
        csv.writer(f).writerows([("text", "stars"), *((row["text"], row["stars"]) for row in make_stars())])
    assert main(["check", str(file), "--task", "regression", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"] == "regression"
    assert main(["check", str(file), "--task", "regresion"]) == 2
    assert f"Did you mean 'regression'? Choices: {', '.join(TASKS)}" in capsys.readouterr().err


@pytest.mark.slow
def test_check_loads_no_torch(tmp_path):
    file = tmp_path / "lists.csv"
    with open(file, "w", newline="") as f:
        csv.writer(f).writerows([("text", "labels"), *((r["text"], json.dumps(r["labels"])) for r in make_lists(40))])
    code = (
        f"from ftkit.cli.main import main; main(['check', {str(file)!r}]); import sys; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "examined as task = multi-label" in done.stdout and done.stdout.endswith("False\n"), done.stderr
