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
        labels = self.rows.attrs["labels"]
        self.silent = True
        for control in (self.true, self.predicted):
            control.options = [ANY, *labels]
            control.value = ANY
            control.layout.display = None if labels else "none"
        self.kind.value, self.search.value = "errors", ""
        self.silent = False
        self.grid.children = self.build_grid(labels) if self.has_matrix() else []
        self.show(0)

    def has_matrix(self) -> bool:
        "Return whether each row has one of a few labels. Counts them"
        labels, columns = self.rows.attrs["labels"], ("names", "said")
        single = all(len(names) == 1 for column in columns for names in self.rows[column])
        if not single or not 0 < len(labels) <= MOST_CELLS:
            return False
        true, predicted = (pd.Categorical(self.rows[column], labels) for column in ("label", "predicted"))
        self.counts = pd.crosstab(true, predicted, dropna=False)
        return True

    def build_grid(self, labels: list[str]) -> list[widgets.Widget]:
        "Return the confusion matrix as buttons"
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
        for column, control in (("names", self.true), ("said", self.predicted)):
            if control.value != ANY:
                keep &= rows[column].map(lambda names, wanted=control.value: wanted in names)
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
        labels, table = self.rows.attrs["labels"], Markup("")
        if self.has_matrix():
            table = table_html(
                [{"true ↓ predicted →": t, **{p: int(self.counts.loc[t, p]) for p in labels}} for t in labels]
            )
        title = Markup("<h4>Where it is wrong: validation rows</h4>")
        return title + table + rows_html(self.rows[self.rows.wrong], 0, len(self.rows), 10)


def read_errors(
    predictions: pd.DataFrame,  # of a run
) -> pd.DataFrame | None:
    """Return the validation rows, the worst first, as a person reads them. None if there are none.

    `label` and `predicted` as text, `names` and `said` as lists of labels, `wrong`, and a number with the name
    `attrs["measure"]`. `attrs["labels"]` has the labels to choose from.
    """
    if not {"label", "predicted"} <= set(predictions.columns):
        return None
    rows = predictions[predictions.split == "validation"].reset_index(drop=True)
    if not len(rows):
        return None
    labels, measure, found = next(reading for reads, reading in READINGS if reads(rows))(rows)
    found["text"] = rows.text.astype(str)
    found = found.sort_values(["wrong", "number"], ascending=False, kind="stable").reset_index(drop=True)
    found.attrs |= {"labels": labels, "measure": measure}
    return found


def read_labels(rows: pd.DataFrame) -> tuple:
    "Return labels, name of the number, and rows that have one label each"
    label, predicted = rows.label.astype(str), rows.predicted.astype(str)
    number = softmax(np.stack(rows.logits), axis=-1).max(-1) if "logits" in rows else 1.0
    found = pd.DataFrame({"label": label, "predicted": predicted, "number": number, "wrong": label != predicted})
    return (
        list(rows.label.cat.categories),
        "confidence",
        found.assign(names=[(x,) for x in label], said=[(x,) for x in predicted]),
    )


def read_lists(rows: pd.DataFrame) -> tuple:
    "Return labels, name of the number, and rows that have any number of labels"
    names, said = ([tuple(row) for row in rows[column]] for column in ("label", "predicted"))
    number = [float(len(set(a) ^ set(b))) for a, b in zip(names, said)]
    shown = {c: [", ".join(row) or "none" for row in v] for c, v in (("label", names), ("predicted", said))}
    found = pd.DataFrame({**shown, "number": number, "wrong": np.array(number) > 0})
    labels = sorted({name for row in (*names, *said) for name in row})
    return labels, "labels wrong", found.assign(names=names, said=said)


def read_numbers(rows: pd.DataFrame) -> tuple:
    "Return no labels, name of the number, and rows that have a number"
    number = (rows.predicted - rows.label).abs()
    shown = {column: [f"{value:.4g}" for value in rows[column]] for column in ("label", "predicted")}
    return (
        [],
        "error",
        pd.DataFrame(
            {**shown, "number": number, "wrong": number > 0, "names": [()] * len(rows), "said": [()] * len(rows)}
        ),
    )


def read_texts(rows: pd.DataFrame) -> tuple:
    "Return no labels, name of the number, and rows that have a text"
    written, number = rows.predicted.notna(), rows.nll / rows.tokens.clip(lower=1) if "nll" in rows else 0.0
    shown = {
        "label": rows.label.astype(str),
        "predicted": rows.predicted.where(written, "– (not written)").astype(str),
    }
    found = pd.DataFrame({**shown, "number": number, "wrong": written & (rows.label != rows.predicted)})
    return [], "loss of a token", found.assign(names=[()] * len(rows), said=[()] * len(rows))


READINGS = (  # whether rows are of a kind, and how they are read
    (lambda rows: hasattr(rows.label, "cat"), read_labels),
    (lambda rows: hasattr(rows.label.iloc[0], "__len__") and not isinstance(rows.label.iloc[0], str), read_lists),
    (lambda rows: pd.api.types.is_numeric_dtype(rows.label), read_numbers),
    (lambda rows: True, read_texts),
)


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
    measure = rows.attrs.get("measure", "confidence")
    records = [
        {"text": r.text, "true": r.label, "predicted": r.predicted, measure: float(r.number)}
        for r in shown.itertuples()
    ]
    table = table_html(records) if records else ""
    return Markup(
        '<p class="ftkit-muted">{} ({} validation rows in all)</p><div class="ftkit-scroll">{}</div>'
    ).format(count, f"{total:,}", table)
