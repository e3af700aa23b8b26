"What `ftkit monitor` found: lines for the terminal, and a page that needs no other file."

from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from ftkit.errors import UserError
from ftkit.files.atomic import write_text
from ftkit.views.charts import COLOURS
from ftkit.views.html import Section, format_cell, img_tag, shorten, table_html, templates

SHOWN = 5  # words and slices on a terminal
TITLES = {  # of the charts
    "features": "how new the classifier takes a text to be",
    "labels": "predicted label",
    "confidence": "confidence",
    "value": "predicted number",
    "tokens": "tokens of a text",
    "unknown": "share of [UNK] tokens of a text",
    "answer_words": "words of an answer",
}


def describe_monitoring(
    result: dict,  # of `monitor`
) -> list[str]:
    "Return what was found as lines, the verdict and what to do at the end"
    lines = [describe_rows(result), "", f"{'test':<14} {'p':>8} {'adjusted':>9}  "]
    for test in result["tests"]:
        mark = "drift: " if test["fired"] else ""
        lines.append(f"{test['name']:<14} {spell_p(test['p']):>8} {spell_p(test['p_holm']):>9}  {mark}{test['text']}")
    moved = [row for row in result["words"] if row["p_holm"] <= result["level"]][:SHOWN]
    if moved:
        words = "; ".join(f"{row['word']} {row['reference']:.0%} → {row['new']:.0%}" for row in moved)
        lines += ["", f"words that moved: {words}"]
    slices = [row for row in result["slices"] if row["p_holm"] <= result["level"]][:SHOWN]
    if slices:
        shown = "; ".join(f"{row['slice']} {row['reference']:.0%} → {row['new']:.0%}" for row in slices)
        lines += ["", f"slices that moved: {shown}"]
    if result["score"] and result["score"]["verdict"]:
        lines += ["", read(result["score"]["verdict"], "text")]
    return [*lines, "", describe_limits(result), summarise(result), result["advice"]]


def describe_rows(
    result: dict,  # of `monitor`
) -> str:
    "Return how many rows were compared, and why the others were not"
    parts = [f"{result['repeats']:,} repeat a text"] if result["repeats"] else []
    parts += [f"{result['unusable']:,} are empty or broken"] if result["unusable"] else []
    left = f" ({', '.join(parts)})" if parts else ""
    rows = f"{result['used']:,} of {result['rows']:,} rows{left}"
    return f"{result['file']}: {rows} against {result['reference_rows']:,} validation rows of {result['run']}"


def describe_limits(
    result: dict,  # of `monitor`
) -> str:
    "Return what so many rows can show"
    points = f"{100 * result['detectable']:.0f} points"
    return f"With so many rows a share near 50 % has to move by {points} to be found in 8 of 10 calls."


def summarise(
    result: dict,  # of `monitor`
) -> str:
    "Return whether there is drift, and by which tests"
    if not result["drift"]:
        return f"No drift was found: no test is below {result['level']:.2g} after the adjustment for all of them."
    return f"Drift: {', '.join(result['fired'])}."


def spell_p(
    p: float,  # of a test
) -> str:
    "Return a p-value with as many digits as a reader needs"
    return f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def monitoring_sections(
    result: dict,  # of `monitor`
) -> list[Section]:
    "Return tests, charts, score, words, slices and examples as sections"
    tests = [
        {
            "test": test["name"],
            "p": spell_p(test["p"]),
            "adjusted": spell_p(test["p_holm"]),
            "drift": "yes" if test["fired"] else "no",
            "what moved": test["text"],
        }
        for test in result["tests"]
    ]
    sections = [Section("Tests", [table_html(tests)])]
    if result["score"]:
        sections.append(score_section(result["score"]))
    charts = [
        img_tag(distribution_figure(name, found), describe_distribution(name, found))
        for name, found in result["distributions"].items()
    ]
    sections.append(Section("Validation rows and new rows", charts))
    note = Markup('<p class="muted">Shown, adjusted among themselves, and no reason for an alarm.</p>')
    for title, key in (("Words that moved most", "words"), ("Slices", "slices")):
        if result[key]:
            rows = [{**row, "p_holm": spell_p(row["p_holm"])} for row in result[key]]
            sections.append(Section(title, [table_html(rows), note]))
    if result["examples"]:
        items = Markup("").join(Markup("<li>{}</li>").format(shorten(text)) for text in result["examples"])
        sections.append(Section("Texts that look newest", [Markup("<ul>{}</ul>").format(items)]))
    return sections


def score_section(
    score: dict,  # of `monitor`
) -> Section:
    "Return the score on the labelled rows and on the validation rows, and the verdict"
    rows = [
        {"rows": name, **{key: read(score[side], key) for key in ("value", "low", "high", "n")}}
        for name, side in (("these", "new"), ("validation", "reference"))
        if score[side]
    ]
    verdict = score["verdict"] and read(score["verdict"], "text")
    return Section(f"Score: {score['metric']}", [table_html(rows), format_cell(verdict or "Not compared.")])


def read(
    value: object,  # a dataclass, or the dictionary that JSON makes of it
    key: str,
) -> object:
    "Return a field"
    return value[key] if isinstance(value, dict) else getattr(value, key)


def distribution_figure(
    name: str,  # of the measure
    found: dict,  # of `monitor`: `edges` or `names`, `reference`, `new`
) -> Figure:
    "Draw the two distributions over each other; for labels, bars side by side"
    figure = Figure(figsize=(6, 2.4), layout="constrained")
    axes = figure.subplots()
    sides = (("reference", "validation rows", COLOURS[0]), ("new", "new rows", COLOURS[1]))
    for shift, (side, label, colour) in zip((-0.2, 0.2), sides):
        if "names" in found:
            axes.bar([i + shift for i in range(len(found["names"]))], found[side], 0.38, color=colour, label=label)
        else:
            axes.stairs(found[side], found["edges"], fill=True, color=colour, alpha=0.25)
            axes.stairs(found[side], found["edges"], color=colour, label=label, linestyle="-" if shift < 0 else "--")
    if "names" in found:
        axes.set_xticks(range(len(found["names"])), [shorten(n, limit=16) for n in found["names"]], parse_math=False)
    axes.set_xlabel(TITLES.get(name, name), parse_math=False)
    axes.set_ylabel("share of the rows")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    return figure


def describe_distribution(
    name: str,  # of the measure
    found: dict,  # of `monitor`
) -> str:
    "Return what a chart shows, in words"
    title = TITLES.get(name, name)
    if "names" in found:
        rows = zip(found["names"], found["reference"], found["new"])
        shares = [f"{label} {old:.0%} of the validation rows, {now:.0%} of the new rows" for label, old, now in rows]
        return f"{title}: {'; '.join(shares)}"
    old, now = (middle(found["edges"], found[side]) for side in ("reference", "new"))
    return f"{title}: the middle of the validation rows is at {old:.3g}, that of the new rows at {now:.3g}"


def middle(
    edges: list[float],  # of bins
    shares: list[float],  # of the rows in each
) -> float:
    "Return the middle of the bin in which half of the rows are reached"
    total = 0.0
    for low, high, share in zip(edges, edges[1:], shares):
        total += share
        if total >= 0.5:
            return (low + high) / 2
    return edges[-1]


def render_monitoring(
    result: dict,  # of `monitor`
) -> str:
    "Return the page as HTML. Every text from the data is escaped"
    page = templates().get_template("monitoring.html.j2")
    texts = {"lead": summarise(result), "limits": describe_limits(result)}
    return page.render(title="Drift of new rows", result=result, sections=monitoring_sections(result), **texts)


def write_monitoring(
    result: dict,  # of `monitor`
    file: str | Path,  # where the page goes
) -> Path:
    "Write the page and return its path. Raises `UserError` if it cannot be written"
    try:
        write_text(Path(file), render_monitoring(result))
    except OSError as e:
        raise UserError(f"{file}: cannot be written ({e.strerror}). Name another file for --html.") from None
    return Path(file)
