"The curve as it grows: cheap SVG while the training runs, one PNG at the end."

import math
import time

from IPython.display import HTML, display
from markupsafe import escape

from ftkit.views.charts import COLOURS, curve_figure, show_figure
from ftkit.views.console import has_front_end
from ftkit.views.html import format_cell


class LiveChart:
    "A curve through a display handle: cheap SVG while it grows, one PNG at the end"

    def __init__(
        self,
        total: int,  # steps of the whole training
        every: float = 0.2,  # seconds between two updates
    ):
        self.total, self.every, self.drawn, self.handle = max(total, 1), every, 0.0, None
        self.series: dict[str, list[tuple[float, float]]] = {}

    def show(self) -> None:
        "Put the empty chart under the cell"
        if has_front_end():
            self.handle = display(HTML(self.draw_svg()), display_id=True)

    def add_point(self, name: str, step: int, value: float) -> None:
        "Add a point to a line, and draw again if the last drawing is older than `every`"
        self.series.setdefault(name, []).append((step, float(value)))
        if self.handle and time.monotonic() - self.drawn >= self.every:
            self.drawn = time.monotonic()
            self.handle.update(HTML(self.draw_svg()))

    def finish(self) -> None:
        "Draw the final chart as a PNG"
        if self.series:
            alt = "; ".join(f"{name}: last {points[-1][1]:.3f}" for name, points in self.series.items())
            picture = show_figure(curve_figure(self.series), alt)
            self.handle.update(picture) if self.handle else display(picture)

    def draw_svg(self, width: int = 560, height: int = 220) -> str:
        "Return the chart with the points so far"
        points = [y for line in self.series.values() for _, y in line if math.isfinite(y)]
        low, high = (min(points), max(points)) if points else (0.0, 1.0)
        span = (high - low) or 1.0
        x = lambda step: 46 + step * (width - 60) / self.total
        y = lambda value: height - 24 - (value - low) * (height - 44) / span
        lines, legend = "", ""
        for i, (colour, (name, line)) in enumerate(zip(COLOURS, self.series.items())):
            path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line if math.isfinite(b))
            lines += f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            legend += (
                f'<text x="{56 + 190 * i}" y="14" fill="{colour}">{escape(format_cell(name))} {line[-1][1]:.3f}</text>'
            )
        step = max((line[-1][0] for line in self.series.values()), default=0)
        return (
            f'<svg viewBox="0 0 {width} {height}" style="width:100%;max-width:{width}px" role="img" '
            f'aria-label="loss by step">'
            f'<path d="M46 20V{height - 24}H{width - 10}" fill="none" stroke="currentColor" opacity=".4"/>{lines}'
            f'<g font-size="12" fill="currentColor">{legend}<text x="4" y="26">{high:.2f}</text>'
            f'<text x="4" y="{height - 24}">{low:.2f}</text>'
            f'<text x="{width - 10}" y="{height - 8}" text-anchor="end">step {step} of {self.total}</text></g></svg>'
        )
