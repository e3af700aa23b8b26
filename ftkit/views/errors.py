"Where a classifier is wrong: the most confident errors, and which label is taken for which."

import numpy as np
import pandas as pd
from markupsafe import Markup

from ftkit.metrics import plot_confusion, softmax
from ftkit.runs.folder import RunFolder
from ftkit.views.html import Section, img_tag, shorten, table_html


def error_table(
    run: RunFolder,  # a finished run
    split: str = "validation",  # the rows to look at
    limit: int | None = 20,  # rows at most
) -> pd.DataFrame:
    "Return the wrong predictions, most confident first: text, true label, predicted label, confidence"
    rows = run.predictions.query("split == @split")
    confidence = softmax(np.stack(rows.logits)).max(-1) if len(rows) else []
    table = rows[["text", "label", "predicted"]].assign(confidence=confidence).astype({"label": str, "predicted": str})
    wrong = table[table.label != table.predicted].sort_values("confidence", ascending=False, kind="stable")
    return wrong.head(limit if limit is not None else len(wrong)).reset_index(drop=True)


def error_section(
    run: RunFolder,  # a finished run
    limit: int = 25,  # rows at most
) -> Section:
    "Return the most confident errors on the validation rows"
    wrong, rows = error_table(run, limit=None), run.predictions.query("split == 'validation'")
    title = f"The most confident errors ({len(wrong)} of {len(rows)} validation rows are wrong)"
    table = table_html(wrong.head(limit).to_dict("records")) if len(wrong) else "None."
    return Section(title, [Markup('<div class="texts">{}</div>').format(table)])


def worst_section(
    what: str,  # is predicted: labels, value
    rows: pd.DataFrame,  # validation rows with `text`, truth and prediction
    wrong: str,  # the column that says by how much each is wrong
    limit: int = 25,  # rows at most
) -> Section:
    "Return the worst predictions on the validation rows"
    found = rows[rows[wrong] > 0].sort_values(wrong, ascending=False, kind="stable")
    title = f"The worst errors ({len(found)} of {len(rows)} validation rows: other {what})"
    table = table_html(found.head(limit).to_dict("records")) if len(found) else "None."
    return Section(title, [Markup('<div class="texts">{}</div>').format(table)])


def confusion_section(
    run: RunFolder,  # a finished run
) -> Section:
    "Return the scores of each label and the confusion matrix, on the test rows"
    rows = run.predictions.query("split == 'test'")
    names = [shorten(name, limit=24) for name in run.labels]
    figure = plot_confusion(rows.predicted.cat.codes, rows.label.cat.codes, names)
    return Section("Each label", [img_tag(figure, "confusion matrix of the test rows")])
