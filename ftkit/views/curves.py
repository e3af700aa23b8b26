"Curves as SVG: cheap enough to be drawn again with every new point, in the colours of the page around them."

import math

from markupsafe import Markup, escape

from ftkit.views.charts import COLOURS
from ftkit.views.html import format_cell

MOST_POINTS = 400  # of a line; of more, some are left out
LEAST_SPAN = 0.1  # of the axis, so that noise does not look like a trend
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 22, 36  # margins around the lines


def smooth(
    points: list[tuple[float, float]],  # (step, value)
    weight: float,  # of what came before, from 0 (none) to below 1
) -> list[tuple[float, float]]:
    "Return an exponential moving average, free of the pull to its first value (Kingma and Ba 2015, section 3)"
    mean, seen, found = 0.0, 0.0, []
    for step, value in points:
        if math.isfinite(value):
            mean, seen = weight * mean + (1 - weight) * value, weight * seen + 1 - weight
            found.append((step, mean / seen))
    return found


def thin(
    points: list,  # of a line
) -> list:
    "Return at most about `MOST_POINTS` of them, the last among them"
    every = math.ceil(len(points) / MOST_POINTS)
    return points[-1::-every][::-1] if points else []


def find_ticks(
    low: float,  # of the values
    high: float,  # not below low
    count: int = 4,  # about so many
) -> list[float]:
    "Return round numbers that span the values"
    raw = (high - low) / count or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999) * power
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def curve_svg(
    series: dict[str, list[tuple[float, float]]],  # name -> (step, value)
    total: int,  # steps of the whole training: the width of the axis
    smoothing: float = 0.0,  # of lines with more than 12 points; the points themselves stay visible
    width: int = 560,  # of the picture, in its own units: it fills its place
    height: int = 230,
    label: str = "loss",  # what the values are, for a screen reader
) -> Markup:
    "Return lines over steps as an <svg>. Lines differ in their dashes too, and few points have markers"
    lines = {name: [p for p in points if math.isfinite(p[1])] for name, points in series.items()}
    values = [value for points in lines.values() for _, value in points]
    margin = max(0.0, LEAST_SPAN - (max(values) - min(values))) / 2 if values else 0.0
    ticks = find_ticks(min(values) - margin, max(values) + margin) if values else [0.0, 0.5, 1.0]
    low, high = ticks[0], ticks[-1]
    x = lambda step: LEFT + step * (width - LEFT - RIGHT) / max(total, 1)
    y = lambda value: height - BOTTOM - (value - low) * (height - TOP - BOTTOM) / (high - low)
    drawn, legend, newest, place = [], [], [], LEFT
    for i, (name, points) in enumerate(lines.items()):
        colour, dash = COLOURS[i % len(COLOURS)], ("", "6 3", "2 3", "8 3 2 3")[i % 4]
        drawn.append(draw_line(points, colour, dash, smoothing, x, y))
        shown = f"{format_cell(name)} {series[name][-1][1]:.3f}" if series[name] else format_cell(name)
        newest.append(shown)
        legend.append(draw_legend(shown, colour, dash, place))
        place += 42 + 6.4 * len(shown)
    step = max((points[-1][0] for points in lines.values() if points), default=0)
    digits = next(d for d in range(8) if d == 7 or abs(round(t := ticks[1] - ticks[0], d) - t) < t / 1000)
    grid = Markup("").join(
        Markup(
            '<path d="M{} {:.1f}H{}" stroke="currentColor" opacity=".15"/>'
            '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(LEFT, y(t), width - RIGHT, LEFT - 6, y(t) + 4, f"{t:.{digits}f}")
        for t in ticks
    )
    foot = Markup('<text x="{}" y="{}">0</text><text x="{}" y="{}" text-anchor="end">step {} of {}</text>').format(
        LEFT, height - 10, width - RIGHT, height - 10, f"{step:,}", f"{total:,}"
    )
    return Markup(
        '<svg class="ftkit-curve" viewBox="0 0 {} {}" style="width:100%;max-width:{}px;height:auto" role="img" '
        'aria-label="{} by step: {}"><g font-size="12" font-family="system-ui,sans-serif" fill="currentColor">'
        "{}{}{}</g>{}</svg>"
    ).format(
        width,
        height,
        width,
        label,
        "; ".join(newest) or "nothing yet",
        Markup("").join(legend),
        grid,
        foot,
        Markup("").join(drawn),
    )


def draw_line(points, colour, dash, smoothing, x, y) -> Markup:
    "Return one line, and under a smoothed one what it was made of"
    parts = []
    if smoothing and len(points) > 12:
        parts.append((thin(points), 1, ".3", ""))
        points = smooth(points, smoothing)
    parts.append((thin(points), 2, "1", dash))
    found = [
        Markup(
            '<polyline points="{}" fill="none" stroke="{}" stroke-width="{}" opacity="{}" stroke-dasharray="{}"/>'
        ).format(" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in part), colour, wide, opacity, dashes)
        for part, wide, opacity, dashes in parts
        if part
    ]
    if 0 < len(points) <= 12:
        found += [
            Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="{}"/>').format(x(a), y(b), colour) for a, b in points
        ]
    return Markup("").join(found)


def draw_legend(text, colour, dash, place) -> Markup:
    "Return the name of a line next to a piece of it"
    return Markup(
        '<path d="M{:.0f} 10h22" stroke="{}" stroke-width="2" stroke-dasharray="{}"/><text x="{:.0f}" y="14">{}</text>'
    ).format(place, colour, dash, place + 28, escape(text))
