"""HTML from data: tables for the end of a cell, and the environment of the page templates.

Every text is escaped by Jinja's autoescape. What is already HTML is marked as `Markup` here and nowhere else.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from ftkit.checks.columns import show_pair
from ftkit.errors import escape_controls
from ftkit.views.charts import to_png

STYLE = Markup(
    "<style>table.ftkit td,table.ftkit th{padding:.2em .7em;vertical-align:top}"
    "table.ftkit .n{text-align:right}table.ftkit .t{text-align:left}</style>"
)


@dataclass
class Section:
    "A part of the report: a heading and what stands below it"

    title: str  # escaped when it is shown
    parts: Iterable[str]  # `Markup` as it is, text as a paragraph


@cache
def templates() -> Environment:
    "Return the page templates: autoescape on, a missing value is an error"
    environment = Environment(
        loader=PackageLoader("ftkit.views"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": format_cell, "markdown": escape_markdown}
    return environment


def shorten(
    value: object,  # a text from data
    keep: str = "",  # control characters that may stay, such as the line break
    limit: int = 600,  # characters
) -> str:
    "Return the first `limit` characters of a text, control characters written out"
    text = str(show_pair(value))
    return escape_controls(text[:limit], keep) + (" …" if len(text) > limit else "")


def format_cell(
    value: object,  # a number or a text from data
    digits: int = 3,  # of a float
) -> str:
    "Return a value as plain text for a table; the template escapes it"
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, float) else shorten(value, keep="\n")


def escape_markdown(
    text: object,  # from data
) -> str:
    "Return a text for Markdown: no markup, no link, no line break"
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", shorten(" ".join(str(text).split())))


def table_html(
    rows: list[dict],  # one dictionary a row; the first gives the columns
    columns: list[str] | None = None,  # default: the keys of the first row
    inline: bool = False,  # each cell of text carries its style
) -> Markup:
    """Return rows as an HTML table, numbers aligned right.

    JupyterLab would read what is between two dollar signs as a formula; the class `mathjax_ignore` prevents it.
    """
    columns = columns or list(rows[0]) if rows else columns or []
    number = {c: all(isinstance(r.get(c), int | float | None) for r in rows) for c in columns}
    digits = {c: 1 if number[c] and any(abs(r.get(c) or 0) >= 10 for r in rows) else 3 for c in columns}
    kinds = {c: "n" if number[c] else "t" for c in columns}
    left = {c: Markup(' style="text-align:left"') if inline and kinds[c] == "t" else "" for c in columns}
    table = templates().get_template("table.html.j2")
    return Markup(table.render(rows=rows, columns=columns, kinds=kinds, left=left, digits=digits))


def img_tag(
    figure: Figure,  # a matplotlib figure
    alt: str,  # what it shows, in words
) -> Markup:
    "Return the figure as an <img> that needs no file next to it"
    tag = '<img width="{}" style="max-width:100%" alt="{}" src="data:image/png;base64,{}">'
    return Markup(tag).format(
        int(figure.get_figwidth() * 96), format_cell(alt), base64.b64encode(to_png(figure)).decode()
    )


def show_table(
    rows: list[dict],  # one dictionary a row
    columns: list[str] | None = None,  # default: the keys of the first row
):
    """Return a table for the end of a cell.

    JupyterLab drops the style sheet of a notebook that was not run here, and keeps the style of a single cell
    """
    from IPython.display import HTML

    return HTML(STYLE + table_html(rows, columns, inline=True))
