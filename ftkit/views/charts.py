"Charts as matplotlib figures and PNG pictures, which survive saving, GitHub and the site."

import io
import math
import warnings

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = ("#2a6fb0", "#d1622b", "#3d8b4f", "#8a5bb5")


def to_png(
    figure: Figure,  # a matplotlib figure
    dpi: int = 144,  # dots per inch
) -> bytes:
    "Return the figure as PNG"
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ")  # an emoji in a label becomes a box: the picture shows that
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def show_figure(
    figure: Figure,  # a matplotlib figure
    alt: str,  # what it shows, in words
):
    "Return the figure for the end of a cell, at its own size"
    from IPython.display import Image

    return Image(to_png(figure), format="png", width=int(figure.get_figwidth() * 96), alt=alt)


def curve_figure(
    series: dict[str, list[tuple[float, float]]],  # name -> (step, value)
    ylabel: str = "loss",  # of the axis
) -> Figure:
    "Draw lines over steps"
    figure = Figure(figsize=(6, 2.8), layout="constrained")
    axes = figure.subplots()
    for colour, (name, points) in zip(COLOURS, series.items()):
        finite = [(x, y) for x, y in points if isinstance(y, int | float) and math.isfinite(y)]
        marker = "o" if len(finite) < 12 else None
        axes.plot(*zip(*finite) if finite else ([], []), marker=marker, markersize=4, color=colour, label=name)
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
