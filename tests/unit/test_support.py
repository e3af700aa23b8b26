"The support answers: what the datasheet of support.csv promises."

import csv
import hashlib
import re
from collections import Counter
from functools import cache

import pytest

import ftkit.starter as starter
from ftkit.checks.duplicates import find_repeats, normalise
from ftkit.checks.near import find_near
from ftkit.checks.templates import find_templates
from ftkit.metrics import wilson

COLUMNS = ["prompt", "response", "topic"]
UNITS = (
    "%|°C|litres?|ml|cm|metres?|kg|volts?|GHz|(?:violet |red )?blinks?|gold contacts|seconds?|minutes?|hours?|"
    "(?:working )?days?|weeks?|months?|years?|levels|buttons|sips|phones|digits?|characters|people|tablespoons"
)
QUANTITY = re.compile(rf"(?<![\w.])(£?\d+(?:[.:]\d+)?)(?!\w)(?: ?({UNITS})(?!\w))?")


def find_file(name):
    return starter.posts_path().with_name(name)


@cache
def read_rows():
    with open(find_file("support.csv"), newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


@cache
def read_datasheet():
    return find_file("SUPPORT.md").read_text(encoding="utf-8")


@cache
def read_second_answers():
    with open(find_file("second_answers.csv"), newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def read_section(title):
    return read_datasheet().split(f"\n## {title}\n")[1].split("\n## ")[0]


def read_table(section):
    "Return the rows of the two-column table of a section, without its head"
    return dict(re.findall(r"^\| (.+?) \| (.+?) \|$", read_section(section), re.M)[1:])


def read_column(name):
    return [row[name] for row in read_rows()]


def split_sentences(text):
    return re.split(r"(?<=[.?!]) ", text)


def find_quantities(text):
    "Return the numbers of a text with their units in the singular, '' if there is none"
    return {(number, unit.removesuffix("s")) for number, unit in QUANTITY.findall(text)}


def find_menu_steps(text):
    return set(re.findall(r"([\w-]+) > ([\w-]+)", text))


# ---- the file


def test_rows_have_three_columns():
    assert 300 <= len(read_rows()) <= 306
    assert not [row for row in read_rows() if list(row) != COLUMNS]


def test_file_ends_lines_with_newline():
    data = find_file("support.csv").read_bytes()
    assert b"\r" not in data and data.endswith(b"\n") and data.count(b"\n") == len(read_rows()) + 1


def test_no_cell_is_empty():
    assert not [row for row in read_rows() if not all(cell and cell == cell.strip() for cell in row.values())]


def test_datasheet_names_the_file():
    assert f"`{hashlib.sha256(find_file('support.csv').read_bytes()).hexdigest()[:12]}`" in read_datasheet()


def test_topics_are_as_counted():
    counts = {topic: int(rows) for topic, rows in read_table("Composition").items()}
    assert Counter(read_column("topic")) == counts
    assert len(counts) == 12 and all(20 <= rows <= 30 for rows in counts.values())


def test_second_check_has_five_per_topic():
    topics = read_column("topic")
    table = {topic: [int(row) for row in rows.split(", ")] for topic, rows in read_table("Second check").items()}
    assert set(table) == set(topics)
    assert all(len(set(rows)) == 5 and {topics[row - 1] for row in rows} == {topic} for topic, rows in table.items())


def test_second_answers_are_those_of_the_table():
    rows, second = read_rows(), read_second_answers()
    table = [int(row) for cell in read_table("Second check").values() for row in cell.split(", ")]
    assert [int(row["row"]) for row in second] == sorted(table)
    assert all(row["prompt"] == rows[int(row["row"]) - 1]["prompt"] and row["second"] for row in second)


def test_judgements_are_as_counted():
    second, section = read_second_answers(), read_section("Second check")
    right, helps = (sum(row[c] == v for row in second) for c, v in (("judgement", "right"), ("helps", "yes")))
    assert f"Right: {right} of 60, {wilson(right, 60)} (Wilson" in section
    assert f"Helps the customer: {helps} of 60, {wilson(helps, 60)}." in section
    assert all(bool(row["why"]) == (row["judgement"] != "right") for row in second)
    assert f"`{hashlib.sha256(find_file('second_answers.csv').read_bytes()).hexdigest()[:12]}`" in read_datasheet()


def test_faulty_rows_are_corrected():
    "All rows but the nine that the datasheet names are as they were when they were judged"
    second, answers = read_second_answers(), read_column("response")
    changed = [row["row"] for row in second if row["response"] != answers[int(row["row"]) - 1]]
    faulty = {row["row"] for row in second if row["judgement"] != "right"}
    assert set(changed) == faulty - {"8", "259"}
    named = f"{', '.join(changed[:-1])} and {changed[-1]}"
    assert f"Afterwards rows {named} were corrected" in read_section("Second check")


# ---- written one by one


@pytest.mark.parametrize("column", ["prompt", "response"])
def test_no_text_is_repeated(column):
    texts = read_column(column)
    assert not any(find_repeats(texts).duplicates.values())
    assert not find_near([normalise(text) for text in texts], 0.7).pairs.tolist()
    assert not find_templates(texts)


def test_sentences_are_rarely_shared():
    counts = Counter(sentence for answer in read_column("response") for sentence in set(split_sentences(answer)))
    assert counts.most_common(1)[0][1] <= 3


def test_answers_are_short():
    assert not [answer for answer in read_column("response") if not 15 <= len(answer.split()) <= 45]


def test_voice_is_kept():
    answers = read_column("response")
    assert not [a for a in answers if "!" in a or re.match(r"(?i)(hi|hello|dear|thank)", a)]
    assert not [a for a in answers if a.lower().count("sorry") > 1]
    closing = [" ".join(split_sentences(a)[-2:]) for a in answers]
    assert sum(bool(re.search(r"(?i)\?|\b(if|should|otherwise|failing)\b", c)) for c in closing) == 290


# ---- the invented world


def find_unknown_quantities(row, known):
    "Return the quantities of an answer that stand neither in the fact sheet nor in its question"
    asked, numbers = {number for number, _ in find_quantities(row["prompt"])}, {number for number, _ in known}
    unknown = {quantity for quantity in find_quantities(row["response"]) - known if quantity[0] not in asked}
    return {(number, unit) for number, unit in unknown if unit or number not in numbers}


def test_quantities_stand_in_the_fact_sheet():
    known = find_quantities(read_section("Fact sheet"))
    unknown = {row["response"]: find_unknown_quantities(row, known) for row in read_rows()}
    assert not {answer: quantities for answer, quantities in unknown.items() if quantities}


def test_menus_stand_in_the_fact_sheet():
    known = find_menu_steps(read_section("Fact sheet"))
    assert not {step: a for a in read_column("response") for step in find_menu_steps(a) - known}


def test_only_example_addresses():
    found = Counter(re.findall(r"\S+@[\w-]+(?:\.[\w-]+)+", find_file("support.csv").read_text(encoding="utf-8")))
    assert {address.strip("\"',.;:?") for address in found} == {"help@example.com"}
    assert not re.search(r"https?:|www\.|\d{6}", " ".join(read_column("prompt") + read_column("response")))
