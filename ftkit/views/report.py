"report.html: one page about a run that needs no file next to it. Everything on it is read from the run folder."

from pathlib import Path

from markupsafe import Markup

from ftkit.checks.duplicates import KINDS
from ftkit.checks.privacy import describe_personal_data
from ftkit.errors import UserError, escape_controls
from ftkit.files.atomic import format_bytes, write_text
from ftkit.metrics import Interval, plot_intervals
from ftkit.runs.folder import RunFolder
from ftkit.tasks.base import Task
from ftkit.views.advice import advise_run
from ftkit.views.charts import curve_figure
from ftkit.views.html import Section, format_cell, img_tag, shorten, table_html, templates
from ftkit.views.scores import (
    describe_continued,
    describe_looks,
    describe_result,
    format_seconds,
    headline_scores,
    ladder_rows,
    read_curves,
    show_slice,
    spell_metric,
)


def write_report(
    run: RunFolder,  # finished or not
    task: Task,  # of the run
) -> Path:
    "Write report.html and return its path. Raises `UserError` if the folder cannot be written"
    record, file = run.record, run.path / "report.html"
    sections = [ladder_section(record, task)] if record["metrics"] else []
    sections += [advice_section(run, record), continued_section(record), curve_section(run)]
    if record["metrics"]:
        sections += [*score_sections(record), *task.report_sections(run)]
    sections += [data_section(record), doctor_section(record)] if "data" in record else []
    sections += [forecast_section(record), preflight_section(record)]
    sections += [settings_section(run, record)]
    page = templates().get_template("report.html.j2")
    html = page.render(
        title=f"Run {run.path.name}",
        record=record,
        lead=describe_result(record),
        looks=describe_looks(record["looks"]),
        confidence=run.settings.confidence_level,
        sections=[section for section in sections if section],
    )
    try:
        write_text(file, html)
    except OSError as e:
        raise UserError(
            f"{file}: cannot be written ({e.strerror}). Copy the run to a folder that can be written."
        ) from None
    return file


def ladder_section(
    record: dict,  # run.json of a scored run
    task: Task,  # of the run
) -> Section:
    "Return the ladder as picture, table and verdicts"
    metric = spell_metric(task.headline)
    picture = img_tag(plot_intervals(headline_scores(record), f"test {metric}"), f"{metric} of each rung")
    verdicts = Markup("").join(Markup("<li>{}</li>").format(format_cell(v["text"])) for v in record["verdicts"] or [])
    unfitted = Markup("").join(
        Markup("<p>{}</p>").format(format_cell(f"{rung} could not be fitted: {problem}"))
        for rung, problem in record["unfitted"].items()
    )
    table = table_html(ladder_rows(record))
    return Section("The ladder", [picture, table, unfitted, Markup("<ul>{}</ul>").format(verdicts)])


def advice_section(
    run: RunFolder,  # finished or not
    record: dict,  # its run.json
) -> Section | None:
    "Return what to change in the next run; None if nothing is known to help"
    found = advise_run(record, run.history, run.settings)
    rows = [{"what was seen": shorten(a.seen), "try first": shorten(a.change), "why": a.why} for a in found]
    return Section("What to try next", [table_html(rows)]) if rows else None


def continued_section(
    record: dict,  # run.json
) -> Section | None:
    "Return the verdict on a run and the one that it continues, and that on each slice; None if it continues none"
    continued = record["continued"]
    if not continued:
        return None
    found = (record["data"].get("feedback") or {}).get("added", 0)
    lines = [*describe_continued(continued), f"Judged answers among its training rows: {found:,}."]
    rows = [
        {
            "slice of the test rows": shorten(s["slice"]),
            "rows": s["rows"],
            f"difference in {spell_metric(s['metric'])} (p adjusted by Holm)": show_slice(s),
            "better": shorten(s["better"] or "no significant difference"),
        }
        for s in continued["slices"]
    ]
    paragraphs = [Markup("<p>{}</p>").format(format_cell(line)) for line in lines]
    return Section(f"Compared with {shorten(continued['from'])}", [*paragraphs, *([table_html(rows)] if rows else [])])


def curve_section(
    run: RunFolder,  # with a log
) -> Section | None:
    "Return training and validation loss by step; None if nothing was logged"
    series = read_curves(run.history)
    return Section("The curve", [img_tag(curve_figure(series), "loss by step")]) if series else None


def score_sections(
    record: dict,  # run.json of a scored run
) -> list[Section]:
    "Return a table for each group of test scores, such as those of each class"
    groups = {
        name: group
        for name, group in record["metrics"]["test"].items()
        if isinstance(group, dict) and "value" not in group
    }
    return [
        Section(
            name.replace("_", " ").capitalize(),
            [
                table_html(
                    [
                        {"": key, **{k: str(Interval.from_record(v)) for k, v in scores.items()}}
                        for key, scores in group.items()
                    ]
                )
            ],
        )
        for name, group in groups.items()
    ]


def data_section(
    record: dict,  # run.json
) -> Section:
    "Return rows, labels, fingerprints, and what was dropped"
    data = record["data"]
    rows = [
        {
            "split": split,
            "rows": data[split]["rows"],
            **{f"“{label}”": count for label, count in data[split]["labels"].items()},
            "sha256": data[split]["sha256"][:16],
        }
        for split in ("train", "validation", "test")
    ]
    dropped = [
        f"{count} {reason.replace('_', ' ')} ({split})"
        for split, reasons in data["dropped"].items()
        for reason, count in reasons.items()
        if count
    ]
    held_out = data.get("held_out", data.get("carved", []))  # `carved` in runs of version 0.1
    notes = f"Dropped: {', '.join(dropped) or 'no row'}. "
    notes += f"Held out from the training rows: {', '.join(held_out) or 'nothing'}."
    return Section("The rows", [table_html(rows), Markup('<p class="muted">{}</p>').format(escape_controls(notes))])


def doctor_section(
    record: dict,  # run.json
) -> Section | None:
    "Return leaks with what they add to the score, and personal data; None if that was not looked for"
    leaks = record["leaks"]
    if not leaks:
        return None
    counts = [{"test rows that are training rows too": kind, "rows": leaks[kind]} for kind in KINDS]
    price = leaks["price"] and leaks["price"]["text"]
    leaked = sum(row["rows"] for row in counts)
    if not leaked:
        said = "No test row is a training row too, nor nearly the same as one."
    elif leaked == record["data"]["test"]["rows"]:
        said = "Without them no test row would be left: the score says nothing of new texts."
    else:
        said = price or "They make the score look better than it is on new texts."
    personal = f"Personal data in the training texts: {describe_personal_data(record['personal_data'])}"
    paragraphs = [Markup("<p>{}</p>").format(format_cell(text)) for text in (said, personal)]
    return Section("Leaks and personal data", [table_html(counts), *paragraphs])


def forecast_section(
    record: dict,  # run.json
) -> Section | None:
    "Return what the forecast said and what the training took; None if there was no forecast"
    said, timing, peak = record["forecast"], record["timing"], record["peak_bytes"]
    if not said["train_seconds"]:
        return None
    rows = [
        {"": "training", "forecast": format_seconds(said["train_seconds"]), "actual": timing["train_seconds"]},
        {"": "CPU", "forecast": format_seconds(said["train_cpu_seconds"]), "actual": timing.get("train_cpu_seconds")},
        {"": "memory", "forecast": format_bytes(said["peak_bytes"]), "actual": peak and format_bytes(peak)},
    ]
    for row in rows[:2]:
        row["actual"] = row["actual"] and format_seconds(row["actual"])
    limit = record.get("time_limit")
    ended = f"The training ended at its time limit, after step {limit['step']} of {limit['of']}." if limit else ""
    return Section("Forecast and actual", [table_html(rows), Markup('<p class="muted">{}</p>').format(ended)])


def preflight_section(
    record: dict,  # run.json
) -> Section | None:
    "Return what the checks before the training found; None if there were none"
    shown = ("name", "level", "seen", "why", "fix")
    rows = [{key: finding[key] for key in shown} for finding in record["preflight"]]
    return Section("Checked before the training", [table_html(rows)]) if rows else None


def settings_section(
    run: RunFolder,  # any run
    record: dict,  # its run.json
) -> Section:
    "Return settings and package versions"
    text = (run.path / "settings.ini").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if line and not line.startswith("#"))
    versions = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
    return Section(
        "Settings and versions",
        [
            Markup("<pre>{}</pre>").format(escape_controls(lines, keep="\n")),
            Markup('<p class="muted">{}</p>').format(escape_controls(versions)),
        ],
    )
