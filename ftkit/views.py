"Tables and charts as HTML and PNG. Every text from data is escaped here and nowhere else."

import base64
import html
import io
import logging
import math
import os
import sys
import time
import warnings

from huggingface_hub.utils.logging import get_logger
from IPython import get_ipython
from IPython.display import HTML, Image, display
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ftkit.errors import scrubbed, visible

COLOURS = ("#2a6fb0", "#d1622b", "#3d8b4f", "#8a5bb5")


def in_notebook() -> bool:
    "Does the code run in a notebook (Jupyter, Colab, nbdev-test)?"
    shell = get_ipython()
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"


def has_front_end() -> bool:
    "Is there a kernel behind the cells? nbdev-test runs them without one: nobody moves a slider or watches a curve grow"
    return getattr(get_ipython(), "kernel", None) is not None


def show_control(control) -> None:
    "Show a widget where a front end can move it. Elsewhere its static result stands alone"
    if has_front_end():
        display(control)


def note(text: str) -> None:
    "Where the work is, on stderr of a terminal; a notebook shows the result itself"
    if not in_notebook():
        told(text, sys.stderr)


def say(text: str) -> None:
    "What nobody may miss: on stderr of a terminal, in the output of a cell"
    told(text, sys.stdout if in_notebook() else sys.stderr)


def told(text: str, file) -> None:
    "A line; where nobody reads any more, the work goes on"
    try:
        print(scrubbed(visible(text)), file=file, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


def without_secrets(record: logging.LogRecord) -> bool:
    "A filter for what the Hub's client logs: while it tries again it names the address, with user and password"
    record.msg, record.args = scrubbed(record.getMessage()), ()
    return True


for handler in get_logger("huggingface_hub").handlers:
    handler.addFilter(without_secrets)


def png(
    figure: Figure,  # a matplotlib figure
    dpi: int = 144,  # dots per inch
) -> bytes:
    "The figure as PNG"
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ")  # an emoji in a label becomes a box: the picture shows that
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def show_figure(
    figure: Figure,  # a matplotlib figure
    alt: str,  # what it shows, in words
) -> Image:
    "The figure for the end of a cell, at its own size"
    return Image(png(figure), format="png", width=int(figure.get_figwidth() * 96), alt=alt)


def img_tag(figure: Figure, alt: str) -> str:
    "The figure as an <img> that needs no file beside it"
    width = int(figure.get_figwidth() * 96)
    return f'<img width="{width}" style="max-width:100%" alt="{cell(alt)}" src="data:image/png;base64,{base64.b64encode(png(figure)).decode()}">'


def cell(value: object, digits: int = 3) -> str:
    "A value as it stands in a table, escaped"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return html.escape(shortened(value, keep="\n"))


def shortened(
    value: object,  # a text from data
    keep: str = "",  # as in `visible`
    limit: int = 600,  # characters
) -> str:
    "As much of a text as one wants to read, control characters written out"
    text = str(value)
    return visible(text[:limit], keep) + (" …" if len(text) > limit else "")


def table_html(
    rows: list[dict],  # one a row; the first gives the columns
    columns: list[str] | None = None,  # default: the keys of the first row
) -> str:
    "Rows as an HTML table; numbers to the right. Dollar signs stay what they are: JupyterLab would set what is between two of them as a formula"
    columns = columns or list(rows[0]) if rows else columns or []
    number = {c: all(isinstance(r.get(c), int | float) for r in rows) for c in columns}
    digits = {c: 1 if number[c] and any(abs(r[c]) >= 10 for r in rows) else 3 for c in columns}
    head = "".join(f'<th class="{"n" if number[c] else "t"}">{cell(c)}</th>' for c in columns)
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{"n" if number[c] else "t"}">{cell(r.get(c, ""), digits[c])}</td>' for c in columns)
        + "</tr>"
        for r in rows
    )
    return f'<table class="ftkit mathjax_ignore"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


STYLE = "<style>table.ftkit td,table.ftkit th{padding:.2em .7em;vertical-align:top}table.ftkit .n{text-align:right}table.ftkit .t{text-align:left}</style>"


def show_table(rows: list[dict], columns: list[str] | None = None) -> HTML:
    "A table for the end of a cell"
    return HTML(STYLE + table_html(rows, columns))


def curve_figure(
    series: dict[str, list[tuple[float, float]]],  # name -> (step, value)
    ylabel: str = "loss",  # of the axis
) -> Figure:
    "Lines over steps"
    figure = Figure(figsize=(6, 2.8), layout="constrained")
    axes = figure.subplots()
    for colour, (name, points) in zip(COLOURS, series.items()):
        finite = [(x, y) for x, y in points if isinstance(y, int | float) and math.isfinite(y)]
        axes.plot(
            *zip(*finite) if finite else ([], []),
            marker="o" if len(finite) < 12 else None,
            markersize=4,
            color=colour,
            label=name,
        )
    low, high = axes.get_ylim()
    margin = max(0.0, 0.3 - (high - low)) / 2  # so that noise does not look like a trend
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("step")
    axes.set_ylabel(ylabel, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    for text in axes.legend().get_texts():
        text.set_parse_math(False)
    return figure


class LiveChart:
    "A curve through a display handle: cheap SVG while it grows, one PNG at the end"

    def __init__(
        self,
        total: int,  # steps that will come
        every: float = 0.2,  # seconds between two drawings
    ):
        self.total, self.every, self.drawn, self.handle = max(total, 1), every, 0.0, None
        self.series: dict[str, list[tuple[float, float]]] = {}

    def show(self) -> None:
        "Put the empty chart under the cell"
        if has_front_end():
            self.handle = display(HTML(self.svg()), display_id=True)

    def add(self, name: str, step: int, value: float) -> None:
        "One point more"
        self.series.setdefault(name, []).append((step, float(value)))
        if self.handle and time.monotonic() - self.drawn >= self.every:
            self.drawn = time.monotonic()
            self.handle.update(HTML(self.svg()))

    def finish(self) -> None:
        "Draw the last state as PNG"
        if self.series:
            alt = "; ".join(f"{name}: last {points[-1][1]:.3f}" for name, points in self.series.items())
            picture = show_figure(curve_figure(self.series), alt)
            self.handle.update(picture) if self.handle else display(picture)

    def svg(self, width: int = 560, height: int = 220) -> str:
        "The chart as it stands"
        points = [y for line in self.series.values() for _, y in line if math.isfinite(y)]
        low, high = (min(points), max(points)) if points else (0.0, 1.0)
        span = (high - low) or 1.0
        x = lambda step: 46 + step * (width - 60) / self.total
        y = lambda value: height - 24 - (value - low) * (height - 44) / span
        lines, legend = "", ""
        for i, (colour, (name, line)) in enumerate(zip(COLOURS, self.series.items())):
            path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line if math.isfinite(b))
            lines += f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            legend += f'<text x="{56 + 190 * i}" y="14" fill="{colour}">{cell(name)} {line[-1][1]:.3f}</text>'
        step = max((line[-1][0] for line in self.series.values()), default=0)
        return (
            f'<svg viewBox="0 0 {width} {height}" style="width:100%;max-width:{width}px" role="img" aria-label="loss by step">'
            f'<path d="M46 20V{height - 24}H{width - 10}" fill="none" stroke="currentColor" opacity=".4"/>{lines}'
            f'<g font-size="12" fill="currentColor">{legend}<text x="4" y="26">{high:.2f}</text><text x="4" y="{height - 24}">{low:.2f}</text>'
            f'<text x="{width - 10}" y="{height - 8}" text-anchor="end">step {step} of {self.total}</text></g></svg>'
        )
