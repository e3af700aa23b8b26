"The section Runs: all runs of the folder as a table, and two of them next to each other."

import math

import ipywidgets as widgets
import pandas as pd
from markupsafe import Markup

from ftkit.errors import UserError
from ftkit.panels.controls import LABEL
from ftkit.panels.views import View, button, guarded, html, line, row
from ftkit.runs.folder import RunFolder, list_runs
from ftkit.runs.listing import summarise_runs
from ftkit.settings import LOWER_IS_BETTER
from ftkit.views.curves import curve_svg
from ftkit.views.html import table_html
from ftkit.views.scores import read_curves

COLUMNS = {"newest first": None, "test score": "score", "seconds": "seconds", "name": "run", "model": "model"}
MOST_CHANGED = 10  # rows fixed or broken that are shown


class RunsView(View):
    "A table of runs, and the comparison of two"

    title = "Runs"

    def build(self):
        self.seen, self.compared = None, None
        layout = widgets.Layout(width="auto", min_width="16em")
        style = {"description_width": LABEL}
        self.order = widgets.Dropdown(options=list(COLUMNS), description="Sort by", style=style, layout=layout)
        self.order.observe(lambda _: self.show(), "value")
        self.a, self.b = (
            widgets.Dropdown(options=[("choose …", None)], description=text, style=style, layout=layout)
            for text in ("Compare run", "with")
        )
        self.table, self.comparison = html(""), html("")
        return [row(self.order), self.table, row(self.a, self.b, button("Compare", self.compare)), self.comparison]

    @guarded
    def refresh(self) -> None:
        runs = list_runs(self.panel.runs_dir)
        state = [(run.path.name, mtime(run), run.is_alive()) for run in runs]
        if state == self.seen:
            return
        self.seen = state
        self.rows = summarise_runs(runs)[::-1]
        names = [row["run"] for row in self.rows]
        for control in (self.a, self.b):
            value = control.value
            control.options = [("choose …", None), *((name, name) for name in names)]
            control.value = value if value in names else None
        self.show()

    def sorted_rows(self) -> list[dict]:
        "Return the rows of the table in the chosen order"
        rows = [
            {
                "run": r["run"],
                "status": r["status"],
                "test score": f"{r['headline']} {r[r['headline']]}" if r[r["headline"]] else "",
                "seconds": r["seconds"] or "",
                "model": r["model"],
                "rank": rank_score(r["headline"], r[r["headline"]]),
            }
            for r in self.rows
        ]
        key = COLUMNS[self.order.value]
        if key == "score":
            rows.sort(key=lambda r: r["rank"])
        elif key == "seconds":
            rows.sort(key=lambda r: float(r["seconds"] or 0))
        elif key:
            rows.sort(key=lambda r: r[key])
        return rows

    def show(self) -> None:
        "Show the table"
        columns = ["run", "status", "test score", "seconds", "model"]
        rows = self.sorted_rows()
        self.table.value = table_html(rows, columns) if rows else line("No run yet.", "note")

    @guarded
    def compare(self) -> None:
        "Ask for the comparison of the two chosen runs"
        if not self.a.value or not self.b.value or self.a.value == self.b.value:
            raise UserError("choose two different runs to compare.")
        self.say("comparing …", "note")
        paths = [self.panel.runs_dir.absolute() / name for name in (self.a.value, self.b.value)]
        self.panel.worker.ask(
            "compare", lambda answer: self.show_comparison(paths, answer), a=str(paths[0]), b=str(paths[1])
        )

    @guarded
    def show_comparison(self, paths, answer: dict) -> None:
        "Show what differs"
        if "error" in answer:
            return self.say(answer["error"])
        self.say()
        self.compared = comparison_html(*map(RunFolder, paths), answer)
        self.comparison.value = self.compared
        self.panel.update_static()

    def to_html(self) -> Markup:
        self.refresh()
        return Markup(self.table.value) + (self.compared or Markup(""))


def mtime(run: RunFolder) -> float:
    "Return when its record was last written"
    try:
        return (run.path / "run.json").stat().st_mtime
    except OSError:
        return 0.0


def comparison_html(
    a: RunFolder,  # one run
    b: RunFolder,  # another
    answer: dict,  # of the worker: `lines`
) -> Markup:
    "Return curves over each other, what differs, the verdict, and the rows that one fixed and broke"
    series, total = {}, 1
    for letter, run in (("A", a), ("B", b)):
        for name, points in read_curves(run.history, {"loss": "training", "eval_loss": "validation"}).items():
            series[f"{letter} {name}"] = points
            total = max(total, points[-1][0])
    lines = Markup("").join(Markup("<li>{}</li>").format(text) for text in answer["lines"])
    return Markup('<h4>A: {}, B: {}</h4><div class="ftkit-curves">{}</div><ul class="ftkit-lines">{}</ul>{}').format(
        a.path.name, b.path.name, curve_svg(series, total, 0.6, width=760), lines, changed_rows_html(a, b)
    )


def rank_score(
    headline: str,  # the metric
    score: str | None,  # as it is shown; None: the run was not scored
) -> float:
    "Return what the runs are sorted by: the best first, those without a score last"
    if not score:
        return math.inf
    value = float(score.split()[0])
    return value if headline in LOWER_IS_BETTER else -value


def changed_rows_html(
    a: RunFolder,  # one run
    b: RunFolder,  # another
) -> Markup:
    "Return validation rows that only one of the two predicts right; nothing if their rows differ"
    try:
        one, two = (run.predictions.query("split == 'validation'").reset_index(drop=True) for run in (a, b))
    except UserError:
        return Markup("")
    if len(one) != len(two) or not (one.text == two.text).all() or "predicted" not in one:
        return Markup("")
    if not hasattr(one.label, "cat"):  # of other tasks a prediction is more or less wrong
        return Markup("")
    label = one.label.astype(str)
    right = [rows.predicted.astype(str) == label for rows in (one, two)]
    found = Markup("")
    for title, chosen in (("fixed", ~right[0] & right[1]), ("broken", right[0] & ~right[1])):
        rows = pd.DataFrame(
            {
                "text": one.text.astype(str),
                "true": label,
                a.path.name: one.predicted.astype(str),
                b.path.name: two.predicted.astype(str),
            }
        )[chosen]
        found += Markup('<h4>{} validation rows {} by {}</h4><div class="ftkit-scroll">{}</div>').format(
            f"{len(rows):,}", title, b.path.name, table_html(rows.head(MOST_CHANGED).to_dict("records"))
        )
    return found
