"""The section Result: the ladder and its verdict, where the model is wrong, and a sentence to try.

To add a part that only shows something: a function that takes a `RunFolder` and its record and returns HTML, and a
row in `PARTS`.
"""

from collections.abc import Callable

import ipywidgets as widgets
from markupsafe import Markup

from ftkit.errors import UserError
from ftkit.intervals import Interval
from ftkit.panels.attempt import Attempt
from ftkit.panels.explorer import Explorer
from ftkit.panels.views import View, describe_fault, guarded, html, line, row
from ftkit.runs.folder import RunFolder
from ftkit.views.advice import advise_run
from ftkit.views.html import format_cell
from ftkit.views.scores import describe_looks, describe_result, is_better, ladder_rows, show_verdict, spell_metric


class ResultView(View):
    "What came out of the run that is shown"

    title = "Result"

    def build(self):
        self.parts = html("")
        self.explorer, self.attempt = Explorer(self.panel.lock), Attempt(self.panel)
        self.report = html("")
        self.report_button = widgets.ToggleButton(description="Show report", layout=widgets.Layout(width="auto"))
        self.report_button.observe(lambda _: self.show_report(), "value")
        self.body = widgets.VBox(
            [self.parts, self.explorer.widget, self.attempt.widget, row(self.report_button), self.report]
        )
        self.seen = None
        return [self.body]

    def run_changed(self) -> None:
        self.seen = None
        self.refresh()

    @guarded
    def refresh(self) -> None:
        record = self.panel.record
        scored = bool(record and record.get("metrics"))
        state = (str(self.panel.folder), scored and self.panel.fingerprint())
        if state == self.seen:
            return
        self.seen, self.parts.value, self.report_button.value = state, "", False  # nothing of another run stays
        self.explorer.load(None)
        self.attempt.clear()
        self.say("" if scored else "There is no result yet: it comes when a run has finished.", "note")
        self.body.layout.display = None if scored else "none"
        if scored:
            self.parts.value = self.parts_html()
            self.explorer.load(self.panel.predictions)

    @guarded
    def show_report(self) -> None:
        "Show report.html in a frame that runs no script, or hide it"
        self.report.value = ""
        if self.report_button.value:
            file = self.panel.folder / "report.html"
            if not file.is_file():
                raise UserError(f"{file}: this run has no report yet.")
            self.report.value = Markup(
                '<p class="ftkit-muted">{}</p><iframe title="report" sandbox srcdoc="{}" '
                'style="width:100%;height:40rem;border:1px solid #888"></iframe>'
            ).format(str(file.absolute()), file.read_text(encoding="utf-8"))

    def parts_html(self) -> Markup:
        "Return what only shows something, one part after the other"
        record = self.panel.record
        if not record or not record.get("metrics"):
            return Markup("")
        folder, found = RunFolder(self.panel.folder), Markup("")
        for part in PARTS.values():
            try:
                found += part(folder, record)
            except Exception as e:  # the other parts still show
                found += line(describe_fault(e))
        return found

    def to_html(self) -> Markup:
        if not (self.panel.record or {}).get("metrics"):
            return line("There is no result yet.", "note")
        return self.parts_html() + self.explorer.to_html() + self.attempt.to_html()


def lead_part(folder: RunFolder, record: dict) -> Markup:
    "Return the scores and the verdict in one sentence"
    lead = describe_result(record) or [""]
    return Markup('<p class="ftkit-lead"><b>{}</b>{}</p><p>{}</p><p class="ftkit-muted">{}</p>').format(
        lead[0][:1].upper() + lead[0][1:],
        f", {lead[1]}" if len(lead) > 1 else "",
        format_cell(conclude(record, folder.settings.confidence_level)),
        describe_looks(record["looks"]),
    )


def conclude(
    record: dict,  # run.json of a scored run
    confidence_level: float,  # of the verdicts
) -> str:
    "Return what the verdicts say together, as one sentence"
    verdicts = record["verdicts"] or []
    if not verdicts:
        return "There was no baseline to compare it with."
    groups = {"better than": [], "worse than": [], "not significantly different from": []}
    for v in verdicts:
        kind = {True: 0, False: 1, None: 2}[is_better(v, confidence_level)]
        list(groups.values())[kind].append(v["b"])
    if len(groups["better than"]) == len(verdicts):
        return (
            f"It is better than all {len(verdicts)} baselines."
            if len(verdicts) > 1
            else f"It is better than {verdicts[0]['b']}."
        )
    said = [f"{words} {spell_list(names)}" for words, names in groups.items() if names]
    return f"It is {'; '.join(said)}."


def spell_list(
    names: list[str],  # at least one
) -> str:
    "Return names as a sentence has them: `a, b and c`"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def ladder_part(folder: RunFolder, record: dict) -> Markup:
    "Return the ladder: each score with its interval, as a number and as a mark on a line from 0 to 1"
    headline, rows, verdicts = record["headline"], [], record["verdicts"] or []
    against = {verdict["b"]: show_verdict(verdict) for verdict in verdicts}
    units = {verdict.get("unit", "points") for verdict in verdicts}
    unit = units.pop() if len(units) == 1 else ""
    end = max([1.0, *(rung["to"] or rung[headline] or 0.0 for rung in ladder_rows(record))])
    for rung in ladder_rows(record):
        score = None if rung[headline] is None else Interval(rung[headline], rung["from"], rung["to"], 0)
        rows.append(
            Markup("<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td class='n'>{} s</td></tr>").format(
                rung["rung"],
                str(score or "–"),
                interval_mark(score, end) if score else "",
                against.get(rung["rung"], ""),
                rung["seconds"],
            )
        )
    return Markup(
        '<h4>The ladder</h4><div class="ftkit-scroll"><table class="ftkit mathjax_ignore"><thead><tr><th>rung</th>'
        "<th>test {}</th><th></th><th>fine-tuned is{}</th><th>time</th></tr></thead>"
        "<tbody>{}</tbody></table></div>"
    ).format(spell_metric(headline), f", in {unit}" if unit else "", Markup("").join(rows))


def advice_part(folder: RunFolder, record: dict) -> Markup:
    "Return what to change in the next run; nothing if nothing is known to help"
    found = advise_run(record, folder.history, folder.settings)
    lines = Markup("").join(
        Markup("<li><b>{}</b><br>{}. {}</li>").format(format_cell(a.change), format_cell(a.seen), a.why) for a in found
    )
    return Markup('<h4>What to try next</h4><ul class="ftkit-lines">{}</ul>').format(lines) if found else lines


def interval_mark(
    score: Interval,  # between 0 and the end
    end: float = 1.0,  # of the line
) -> Markup:
    "Return an interval as a bar with a point"
    low, high = (score.value if x is None else x for x in (score.low, score.high))
    low, high, value = (min(max(x / end, 0.0), 1.0) for x in (low, high, score.value))
    return Markup(
        '<span class="ftkit-interval"><i style="left:{:.1f}%;width:{:.1f}%"></i><b style="left:{:.1f}%"></b></span>'
    ).format(100 * low, 100 * (high - low), 100 * value)


PARTS: dict[str, Callable[[RunFolder, dict], Markup]] = {
    "lead": lead_part,
    "ladder": ladder_part,
    "advice": advice_part,
}
