"The curve as it grows: cheap SVG while the training runs, one PNG at the end."

import time

from IPython.display import HTML, display

from ftkit.views.charts import curve_figure, show_figure
from ftkit.views.console import has_front_end
from ftkit.views.curves import curve_svg


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

    def draw_svg(self) -> str:
        "Return the chart with the points so far"
        return curve_svg(self.series, self.total)
