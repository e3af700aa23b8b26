"The form of the lessons: a lesson to read and type in a quarter of an hour, and below it how it is built."

import json
import re
from pathlib import Path

import pytest
from fastcore.nbio import read_nb

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted((ROOT / "nbs").glob("[01]*.ipynb"))
SECONDS = json.loads((ROOT / "bench/lessons.json").read_text())["lessons"]
BUILT = ("## How it is built", "## More")
WORDS_A_MINUTE = 200
MOST_MINUTES = 15


def read_lesson(path):
    "Return the cells of the lesson, and those below that show how it is built"
    cells = read_nb(path).cells
    border = [i for i, c in enumerate(cells) if c.cell_type == "markdown" and c.source.startswith(BUILT)]
    assert len(border) <= 1
    return (cells[: border[0]], cells[border[0] :]) if border else (cells, [])


def is_folded(cell):
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def is_shown(cell):
    "Return whether a reader sees the source"
    return not is_folded(cell) and not re.match(r"#\| *(hide|include|default_exp)", cell.source)


def count_words(cells):
    "Return the words of prose and of code that a reader sees"
    return sum(len(cell.source.split()) for cell in cells if is_shown(cell))


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_exported_cells_are_folded_below_the_lesson(path):
    lesson, built = read_lesson(path)
    assert not [c.source[:60] for c in lesson if re.search(r"^#\| *export", c.source, re.M)]
    exported = [c for c in built if re.search(r"^#\| *export", c.source, re.M)]
    assert not [c.source[:60] for c in exported if not is_folded(c)]
    assert bool(exported) == bool(re.search("default_exp", path.read_text()))


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_hidden_cells_are_folded(path):
    "In JupyterLab, too, which knows nothing of nbdev's directives"
    cells = [c for c in read_nb(path).cells if re.match(r"#\| *hide", c.source)]
    assert not [c.source[:60] for c in cells if not is_folded(c)]


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_lesson_can_be_finished_in_a_quarter_of_an_hour(path):
    lesson, _ = read_lesson(path)
    words, seconds = count_words(lesson), SECONDS[path.stem]["wall_seconds"]
    minutes = words / WORDS_A_MINUTE + seconds / 60
    print(f"{path.stem}: {len(lesson)} cells, {words:,} words and {seconds:.0f} s of run time, {minutes:.1f} minutes")
    assert minutes <= MOST_MINUTES
    assert len(lesson) <= 50  # 45 beside the badge, the installation and what is hidden


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_lesson_ends_with_what_to_do_when(path):
    lesson, _ = read_lesson(path)
    text = "\n".join(c.source for c in lesson if c.cell_type == "markdown")
    if path.stem != "00_ten_lines":  # which has its remedies where it shows the symptoms
        assert "## What to do when" in text
    assert "## What you can do now" in text or path.stem == "00_ten_lines"


@pytest.mark.parametrize("path", [p for p in LESSONS if p.stem[:2] < "08"], ids=lambda p: p.stem)
def test_exercises_have_answers(path):
    "A folded cell that runs; where it would train for minutes, folded words. Lesson 8 asks for your own labels"
    lesson, _ = read_lesson(path)
    folded = [c for c in lesson if c.metadata.get("jupyter", {}).get("outputs_hidden")]
    assert [c for c in folded if c.source.startswith(("# Answers", "# The answer")) and is_folded(c)] or [
        c for c in lesson if "## Exercises" in c.source and "<details><summary>Answers</summary>" in c.source
    ]


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_shown_code_is_short(path):
    lesson, built = read_lesson(path)
    assert not [c.source[:60] for c in lesson if c.cell_type == "code" and is_shown(c) and c.source.count("\n") > 34]
    assert not [c.source[:60] for c in built if c.cell_type == "code" and is_shown(c) and c.source.count("\n") > 40]


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_no_name_of_ipython_is_shadowed(path):
    "`run` alone on a line would be taken for the magic"
    cells = read_nb(path).cells
    assert not [c.source[:60] for c in cells if c.cell_type == "code" and re.search(r"^run\b\s*(=|$)", c.source, re.M)]
