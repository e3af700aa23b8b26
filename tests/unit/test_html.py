"HTML and Markdown from data: text stays text."

import pytest
from bs4 import BeautifulSoup
from jinja2 import UndefinedError
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from ftkit.views.html import escape_markdown, format_cell, img_tag, shorten, show_table, table_html, templates

HOSTILE = ["<script>x</script>", '"><img src=x onerror=x>', "</td><b>", "a & b", "$x$", "{{ 7 * 7 }}"]


def parse_html(html):
    return BeautifulSoup(html, "html.parser")


@pytest.mark.parametrize("text", HOSTILE)
def test_table_escapes_texts(text):
    page = parse_html(table_html([{text: text, "n": 1}]))
    assert {tag.name for tag in page.find_all()} <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert page.find("td").get_text() == page.find("th").get_text() == text
    assert "mathjax_ignore" in page.find("table")["class"]


def test_table_aligns_numbers():
    page = parse_html(table_html([{"name": "a", "score": 0.12345, "seconds": 12.345}, {"name": "b", "score": 1}]))
    cells = [(cell.get_text(), cell["class"]) for cell in page.find_all("td")]
    assert cells[:2] == [("a", ["t"]), ("0.123", ["n"])]
    wide = parse_html(table_html([{"seconds": 12.345}, {"seconds": 3.21}]))
    assert [cell.get_text() for cell in wide.find_all("td")] == ["12.3", "3.2"]


@pytest.mark.parametrize(
    "rows, columns, names", [([], ["a"], ["a"]), ([], None, []), ([{"a": 1, "b": 2}], ["b"], ["b"])]
)
def test_table_has_its_columns(rows, columns, names):
    assert [cell.get_text() for cell in parse_html(table_html(rows, columns)).find_all("th")] == names


def test_show_table_is_html():
    assert "<table" in show_table([{"a": 1}]).data


@pytest.mark.parametrize(
    "value, text",
    [(0.12345, "0.123"), (7, "7"), (None, "–"), ("a\nb\x1b", "a\nb\\x1b"), ("x" * 700, "x" * 600 + " …")],
    ids=["float", "number", "none", "control characters", "long"],
)
def test_cell_is_plain_text(value, text):
    assert format_cell(value) == text


def test_shorten_writes_controls_out():
    assert shorten("a\nb\u202e") == r"a\nb\u202e" and shorten("abc", limit=2) == "ab …"


@pytest.mark.parametrize("text", [*HOSTILE, "# a", "[a](http://x)", "![a](x)", "`a`", "**a**", "a|b", "a\n\n- b"])
def test_markdown_is_text(text):
    page = parse_html(MarkdownIt().enable("table").render(escape_markdown(text)))
    assert [tag.name for tag in page.find_all()] == ["p"]
    assert page.get_text().strip() == " ".join(text.split())


def test_image_needs_no_file(drawing):
    (image,) = parse_html(img_tag(Figure(figsize=(2, 1)), HOSTILE[1])).find_all()
    assert image["src"].startswith("data:image/png;base64,iVBOR") and image["alt"] == HOSTILE[1]
    assert image["width"] == "192" and not [name for name in image.attrs if name.startswith("on")]


def test_missing_value_is_an_error():
    with pytest.raises(UndefinedError):
        templates().from_string("{{ missing }}").render()
