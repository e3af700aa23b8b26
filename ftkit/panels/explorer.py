"Where a run is wrong: a confusion matrix whose cells open the rows behind them, filters and a search."

import ipywidgets as widgets
import numpy as np
import pandas as pd
from markupsafe import Markup
from scipy.special import softmax

from ftkit.panels.controls import LABEL
from ftkit.panels.views import button, html, row
from ftkit.views.html import shorten, table_html

PAGE = 25  # rows shown at a time
MOST_CELLS = 12  # labels of a confusion matrix that can be clicked
ANY = "any"


class Explorer:
    "The validation rows: a confusion matrix whose cells filter them, a search, the most confident errors first"

    def __init__(
        self,
        lock,  # held while it shows other rows: clicks and the look at the folder come from two threads
    ):
        self.rows, self.page, self.lock = None, 0, lock
        style = {"description_width": LABEL}
        narrow = widgets.Layout(width="auto", min_width="16em")
        self.true = widgets.Dropdown(options=[ANY], description="True label", style=style, layout=narrow)
        self.predicted = widgets.Dropdown(options=[ANY], description="Predicted label", style=style, layout=narrow)
        self.kind = widgets.Dropdown(options=["errors", "all rows"], description="Show", style=style, layout=narrow)
        self.search = widgets.Text(
            description="Search", placeholder="a word", continuous_update=False, style=style, layout=narrow
        )
        self.grid, self.table = widgets.VBox(), html("")
        self.back = button("‹ Back", lambda: self.turn(-1), tooltip="the rows before these")
        self.next = button("Next ›", lambda: self.turn(1), tooltip="the rows after these")
        for control in (self.true, self.predicted, self.kind, self.search):
            control.observe(self.on_filter, "value")
        self.silent = False
        self.widget = widgets.VBox(
            [
                html(Markup("<h4>Where it is wrong: validation rows</h4>")),
                self.grid,
                row(self.true, self.predicted, self.kind, self.search),
                self.table,
                row(self.back, self.next),
            ]
        )

    def load(
        self,
        predictions: pd.DataFrame | None,  # of a run; None: there are none
    ) -> None:
        "Show the rows of another run"
        self.rows = read_errors(predictions) if predictions is not None else None
        self.widget.layout.display = "none" if self.rows is None else None
        if self.rows is None:
            return
        labels = list(self.rows.label.cat.categories)
        self.silent = True
        for control in (self.true, self.predicted):
            control.options = [ANY, *labels]
            control.value = ANY
        self.kind.value, self.search.value = "errors", ""
        self.silent = False
        self.counts = pd.crosstab(self.rows.label, self.rows.predicted, dropna=False)
        self.grid.children = self.build_grid(labels)
        self.show(0)

    def build_grid(self, labels: list[str]) -> list[widgets.Widget]:
        "Return the confusion matrix as buttons; nothing for many labels, as the lists do the same"
        if len(labels) > MOST_CELLS:
            return []
        share = self.counts / np.maximum(self.counts.sum(axis=1).to_numpy()[:, None], 1)
        cell = widgets.Layout(width="auto", margin="1px")
        children = [html(Markup('<div class="ftkit-corner">true ↓ predicted →</div>'))]
        children += [
            html(Markup('<div class="ftkit-head">{}</div>').format(shorten(name, limit=24))) for name in labels
        ]
        for true in labels:
            children.append(html(Markup('<div class="ftkit-side">{}</div>').format(shorten(true, limit=24))))
            for predicted in labels:
                count = int(self.counts.loc[true, predicted])
                words = f"true {shorten(true, limit=40)}, predicted {shorten(predicted, limit=40)}: {count} rows"
                made = widgets.Button(description=str(count), tooltip=words, layout=cell)
                depth = 0.08 + 0.5 * float(share.loc[true, predicted])
                made.style.button_color = f"rgba({'42,111,176' if true == predicted else '209,98,43'},{depth:.2f})"
                made.on_click(lambda _, t=true, p=predicted: self.open(t, p))
                children.append(made)
        layout = widgets.Layout(
            grid_template_columns=f"minmax(4em, max-content) repeat({len(labels)}, minmax(4em, 7em))",
            width="max-content",
            max_width="100%",
            overflow="auto",
        )
        return [widgets.GridBox(children, layout=layout)]

    def open(self, true: str, predicted: str) -> None:
        "Show the rows of one cell"
        with self.lock:
            self.silent = True
            self.true.value, self.predicted.value, self.search.value = true, predicted, ""
            self.kind.value = "all rows" if true == predicted else "errors"
            self.silent = False
            self.show(0)

    def on_filter(self, change) -> None:
        "Follow a filter"
        with self.lock:
            if not self.silent and self.rows is not None:
                self.show(0)

    def turn(self, by: int) -> None:
        "Show other rows"
        with self.lock:
            self.show(self.page + by)

    def chosen(self) -> pd.DataFrame:
        "Return the rows that the filters let through"
        rows = self.rows
        keep = pd.Series(True, index=rows.index)
        if self.kind.value == "errors":
            keep &= rows.wrong
        for column, control in (("label", self.true), ("predicted", self.predicted)):
            if control.value != ANY:
                keep &= rows[column] == control.value
        if words := self.search.value.strip():
            keep &= rows.text.str.contains(words, case=False, regex=False)
        return rows[keep]

    def show(self, page: int) -> None:
        "Show one page of the rows"
        rows = self.chosen()
        self.page = max(0, min(page, (len(rows) - 1) // PAGE))
        self.back.disabled, self.next.disabled = self.page == 0, (self.page + 1) * PAGE >= len(rows)
        self.table.value = rows_html(rows, self.page, len(self.rows))

    def to_html(self) -> Markup:
        "Return the matrix and the most confident errors"
        if self.rows is None:
            return Markup("")
        labels = list(self.rows.label.cat.categories)
        matrix = [{"true ↓ predicted →": t, **{p: int(self.counts.loc[t, p]) for p in labels}} for t in labels]
        wrong = self.rows[self.rows.wrong]
        title = Markup("<h4>Where it is wrong: validation rows</h4>")
        return (
            title + (table_html(matrix) if len(labels) <= MOST_CELLS else "") + rows_html(wrong, 0, len(self.rows), 10)
        )


def read_errors(
    predictions: pd.DataFrame,  # of a run
) -> pd.DataFrame | None:
    "Return the validation rows, wrong and confident ones first. None if the task has no labels"
    if not {"label", "predicted", "logits"} <= set(predictions.columns):
        return None
    rows = predictions[predictions.split == "validation"]
    if not len(rows) or not hasattr(rows.label, "cat"):
        return None
    confidence = softmax(np.stack(rows.logits), axis=-1).max(-1)
    wrong = rows.label.astype(str) != rows.predicted.astype(str)
    found = rows[["text", "label", "predicted"]].assign(confidence=confidence, wrong=wrong)
    found["text"] = found.text.astype(str)
    return found.sort_values(["wrong", "confidence"], ascending=False, kind="stable").reset_index(drop=True)


def rows_html(
    rows: pd.DataFrame,  # chosen ones
    page: int,  # from 0
    total: int,  # of all rows
    size: int = PAGE,  # rows of a page
) -> Markup:
    "Return one page of rows as a table, with how many there are"
    first, last = page * size, min((page + 1) * size, len(rows))
    shown = rows.iloc[first:last]
    count = f"rows {first + 1:,} to {last:,} of {len(rows):,}" if len(rows) else "no such row"
    records = [
        {"text": r.text, "true": str(r.label), "predicted": str(r.predicted), "confidence": float(r.confidence)}
        for r in shown.itertuples()
    ]
    table = table_html(records) if records else ""
    return Markup(
        '<p class="ftkit-muted">{} ({} validation rows in all)</p><div class="ftkit-scroll">{}</div>'
    ).format(count, f"{total:,}", table)
