"report.html: one page about a run that needs nothing beside it. Everything on it is read from the run folder."

import html
from pathlib import Path

import numpy as np

from ftkit.errors import UserError, visible
from ftkit.metrics import Interval, plot_confusion, plot_intervals, softmax
from ftkit.run import Run
from ftkit.views import cell, curve_figure, img_tag, shortened, table_html

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>
:root{{color-scheme:light}}
body{{font:16px/1.55 system-ui,sans-serif;color:#1d2530;background:#f5f6f8;margin:0}}
main{{max-width:62rem;margin:0 auto;padding:1.5rem 1rem 4rem}}
h1{{font-size:1.7rem;margin:.2em 0}} h2{{font-size:1.2rem;margin:0 0 .6em}}
section{{background:#fff;border:1px solid #dfe3e8;border-radius:8px;padding:1.1rem 1.3rem;margin:1rem 0;overflow-x:auto}}
.lead{{font-size:1.1rem}} .muted{{color:#5b6572}} .failed{{color:#a3261b}}
table{{border-collapse:collapse;width:100%;font-size:.92rem}} th{{border-bottom:2px solid #cfd5dc}}
td{{border-bottom:1px solid #e8ebee}} td,th{{padding:.35em .7em;vertical-align:top}} .n{{text-align:right;font-variant-numeric:tabular-nums}} .t{{text-align:left}}
td.t{{overflow-wrap:break-word}} pre{{overflow-x:auto;background:#f5f6f8;padding:.8em;border-radius:6px;font-size:.85rem}} ul{{padding-left:1.2em}} .texts td:first-child{{min-width:14rem}}
</style></head><body><main>
<h1>{title}</h1>
{body}
</main></body></html>
"""


def interval(value: dict) -> Interval:
    "A score of run.json as an `Interval`"
    return Interval(value["value"], value["low"], value["high"], value["n"])


def section(title: str, *parts: str) -> str:
    "A box with a heading"
    return f"<section><h2>{cell(title)}</h2>{''.join(parts)}</section>"


def lead(record: dict, confidence: float) -> str:
    "The result in two sentences"
    if record["status"] != "finished" and not (
        record["status"] == "running" and record["metrics"]
    ):  # scored, and about to finish
        return f'<p class="lead failed">This run is {cell(record["status"])}: {cell(record["reason"] or "it has not come to its end")}.</p>'
    if not record["metrics"]:
        return '<p class="lead">This run has trained, but was not scored.</p>'
    test, timing = record["metrics"]["test"], record["timing"]
    return (
        f'<p class="lead"><b>Test accuracy {cell(str(interval(test["accuracy"])))}</b> on {test["accuracy"]["n"]:,} rows, '
        f"macro F1 {cell(str(interval(test['f1_macro'])))}. Trained in {timing['train_seconds']:.0f} s on {cell(record['machine']['device'])} "
        f"({cell(record['machine']['precision'])}, {cell(record['machine']['threads'])} threads).</p>"
        f'<p class="muted">An interval holds the true score at a confidence of {confidence:.0%}. {which_look(record["looks"])}'
        f"{': the more often one looks, the less a good score means' if (record['looks'] or 0) > 1 else ''}.</p>"
    )


def which_look(looks: int | None) -> str:
    "How often these test rows had been looked at, in words"
    return f"This was look {looks} at these test rows" if looks else "This look at the test rows could not be counted"


def ladder_rows(record: dict) -> list[dict]:
    "Every rung and the fine-tuned model: score, interval, seconds"
    rungs = [(name, rung["accuracy"], rung["seconds"]) for name, rung in (record["baselines"] or {}).items()]
    rungs.append(("fine-tuned", record["metrics"]["test"]["accuracy"], record["timing"]["train_seconds"]))
    return [
        {"rung": name, "accuracy": a["value"], "from": a["low"], "to": a["high"], "seconds": round(s, 1)}
        for name, a, s in rungs
    ]


def ladder_section(record: dict) -> str:
    "The ladder as picture, table and verdicts"
    scores = {name: interval(rung["accuracy"]) for name, rung in (record["baselines"] or {}).items()}
    scores["fine-tuned"] = interval(record["metrics"]["test"]["accuracy"])
    verdicts = "".join(f"<li>{cell(v['text'])}</li>" for v in record["verdicts"] or [])
    return section(
        "The ladder",
        img_tag(plot_intervals(scores, "test accuracy"), "accuracy of each rung"),
        table_html(ladder_rows(record)),
        f"<ul>{verdicts}</ul>",
    )


def curve_section(run: Run) -> str:
    "Training and validation loss"
    names = {"loss": "training loss", "eval_loss": "validation loss"}
    series = {shown: [(row["step"], row[key]) for row in run.history if key in row] for key, shown in names.items()}
    return (
        section("The curve", img_tag(curve_figure({k: v for k, v in series.items() if v}), "loss by step"))
        if any(series.values())
        else ""
    )


def class_section(run: Run, record: dict) -> str:
    "Scores of each label and the confusion matrix, on the test rows"
    rows = run.predictions.query("split == 'test'")
    ids = {name: i for i, name in enumerate(run.labels)}
    figure = plot_confusion(
        np.stack(rows.logits).argmax(-1), rows.label.map(ids), [shortened(name, limit=24) for name in run.labels]
    )
    table = [
        {"label": name, **{k: str(interval(v)) for k, v in scores.items()}}
        for name, scores in record["metrics"]["test"]["per_class"].items()
    ]
    return section("Each label", table_html(table), img_tag(figure, "confusion matrix of the test rows"))


def error_section(run: Run, limit: int = 25) -> str:
    "The most confident errors on the validation rows"
    rows = run.predictions.query("split == 'validation'")
    probabilities = softmax(np.stack(rows.logits))
    wrong = [
        {"text": text, "label": label, "predicted": run.labels[p.argmax()], "confidence": float(p.max())}
        for text, label, p in zip(rows.text, rows.label, probabilities)
        if run.labels[p.argmax()] != label
    ]
    wrong.sort(key=lambda row: -row["confidence"])
    return section(
        f"The most confident errors ({len(wrong)} of {len(rows)} validation rows are wrong)",
        f'<div class="texts">{table_html(wrong[:limit])}</div>' if wrong else "<p>None.</p>",
    )


def data_section(record: dict) -> str:
    "The rows"
    data = record["data"]
    rows = [
        {
            "split": s,
            "rows": data[s]["rows"],
            **{f"“{k}”": n for k, n in data[s]["labels"].items()},
            "sha256": data[s]["sha256"][:16],
        }
        for s in ("train", "validation", "test")
    ]
    dropped = [
        f"{count} {reason.replace('_', ' ')} ({split})"
        for split, reasons in data["dropped"].items()
        for reason, count in reasons.items()
        if count
    ]
    notes = f"Dropped: {', '.join(dropped) or 'no row'}. Carved from the training rows: {', '.join(data['carved']) or 'nothing'}."
    return section("The rows", table_html(rows), f'<p class="muted">{cell(notes)}</p>')


def settings_section(run: Run, record: dict) -> str:
    "Settings and versions"
    lines = [
        line
        for line in (run.path / "settings.ini").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    versions = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
    return section(
        "Settings and versions",
        f"<pre>{html.escape(visible(chr(10).join(lines), keep=chr(10)))}</pre>",
        f'<p class="muted">{cell(versions)}</p>',
    )


def write_report(
    run: Run,  # finished or not
) -> Path:
    "Write report.html and give its path"
    record = run.record
    parts = [lead(record, run.settings.confidence_level)]
    if record["metrics"]:
        parts += [ladder_section(record), curve_section(run), class_section(run, record), error_section(run)]
    else:
        parts += [curve_section(run)]
    parts += ([data_section(record)] if "data" in record else []) + [settings_section(run, record)]
    file, beside = run.path / "report.html", run.path / ".report.tmp"
    try:
        beside.write_text(PAGE.format(title=cell(f"Run {run.path.name}"), body="\n".join(parts)), encoding="utf-8")
        beside.replace(file)
    except OSError as e:
        raise UserError(f"{file}: cannot be written ({e.strerror}). Copy the run to a folder that can be.") from None
    return file
