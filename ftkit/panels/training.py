"The section Training: start, stop, resume, and the curves as they grow. All of it is read from the run folder."

import ipywidgets as widgets
from markupsafe import Markup
from scipy.stats import binomtest

from ftkit.files.atomic import format_bytes
from ftkit.intervals import Interval
from ftkit.panels.controls import LABEL
from ftkit.panels.views import View, button, facts, guarded, html, line, row
from ftkit.runs.folder import list_runs
from ftkit.settings import SHARES
from ftkit.views.curves import curve_svg
from ftkit.views.html import format_cell, table_html
from ftkit.views.scores import format_seconds, read_curves, spell_metric

RECENT = 20  # logged lines from which the pace is taken
UNITS = ("runtime", "samples_per_second", "steps_per_second")  # of an evaluation, besides its scores


class TrainingView(View):
    "Buttons, progress, curves and evaluations of one run"

    title = "Training"

    def build(self):
        self.seen, self.listing = None, False
        self.start = button("Start", self.on_start, "primary", "Train with the settings above, in a new run folder")
        self.stop = button("Stop", self.on_stop, "danger", "Stop after the current step, with a checkpoint")
        self.resume = button("Resume", self.on_resume, "", "Continue the run from its last checkpoint")
        self.reuse = button("Use its settings", self.on_reuse, "", "Take over the settings of the run that is shown")
        self.choice = widgets.Dropdown(
            options=[("none yet", None)],
            description="Run",
            style={"description_width": "3em"},
            layout=widgets.Layout(width="auto", min_width="16em"),
        )
        self.choice.observe(self.on_choice, "value")
        self.smoothing = widgets.FloatSlider(
            value=0.6,
            min=0,
            max=0.98,
            step=0.02,
            description="Smoothing",
            style={"description_width": LABEL},
            readout_format=".2f",
            layout=widgets.Layout(width="auto", max_width="30em"),
        )
        self.smoothing.observe(lambda _: self.redraw(), "value")
        self.status, self.curves, self.table = html(""), html(""), html("")
        return [
            row(self.start, self.stop, self.resume, self.choice, self.reuse),
            self.status,
            self.curves,
            self.smoothing,
            self.table,
        ]

    def run_changed(self) -> None:
        self.seen = None
        self.say()
        self.refresh()

    def settings_changed(self) -> None:
        if "the settings are those of" in self.message.value:
            self.say()

    @guarded
    def on_start(self) -> None:
        "Train with the settings above"
        self.say()
        self.panel.start()

    @guarded
    def on_stop(self) -> None:
        "Stop after the current step"
        self.panel.stop()
        self.say("stopping after the current step …", "note")

    @guarded
    def on_resume(self) -> None:
        "Continue the run"
        self.say()
        self.panel.resume()

    @guarded
    def on_reuse(self) -> None:
        "Take over the settings of the run"
        self.panel.use_settings()
        self.say(f"the settings are those of {self.panel.folder.name}", "note")

    @guarded
    def on_choice(self, change) -> None:
        "Look at another run"
        if change["new"] and not self.listing:
            self.panel.show_run(change["new"])

    def list_choices(self, runs: list[str]) -> None:
        "Keep the list of runs as the folder is, newest first"
        names = runs[::-1]
        folder = self.panel.folder
        if folder is not None and folder.name not in names:
            names.insert(0, folder.name)
        options = [(name, name) for name in names] or [("none yet", None)]
        if list(self.choice.options) != options or self.choice.value != (folder and folder.name):
            self.listing = True
            self.choice.options = options
            self.choice.value = folder.name if folder else options[0][1]
            self.listing = False

    @guarded
    def refresh(self) -> None:
        training = self.panel.training
        runs = [run.path.name for run in list_runs(self.panel.runs_dir)]
        state = (self.panel.is_training, *self.panel.fingerprint(), training and len(training.lines), runs)
        if state == self.seen:
            return
        self.seen = state
        self.list_choices(runs)
        if problem := training and training.failure or self.panel.problem:
            self.say(problem)
        record = self.panel.record
        self.start.disabled = self.panel.is_training
        self.stop.disabled = not self.panel.is_training
        self.resume.disabled = self.panel.is_training or not record or record["status"] in ("finished", "running")
        self.status.value = self.status_html(record, self.panel.history)
        if record and record["status"] != "running" and "stopping" in self.message.value:
            self.say()
        self.draw()

    @guarded
    def redraw(self) -> None:
        "Draw again with another smoothing"
        self.draw()

    def draw(self) -> None:
        "Draw the curves and the table of evaluations"
        record = self.panel.record
        history = self.panel.history
        total = (record or {}).get("max_steps") or max((r.get("step", 0) for r in history), default=0)
        names = metric_names(history, (record or {}).get("headline"))
        drawn = [curve_svg(read_curves(history), total, self.smoothing.value)]
        scores = read_curves(history, {f"eval_{name}": f"validation {spell_metric(name)}" for name in names[:2]})
        drawn.append(curve_svg(scores, total, label="score"))  # empty at first, so that nothing moves later
        self.curves.value = Markup('<div class="ftkit-curves">{}</div>').format(Markup("").join(drawn))
        self.table.value = evaluations_html(record, history)

    def status_html(self, record: dict | None, history: list[dict]) -> Markup:
        "Return what the run does at this moment, how far it is, and its numbers"
        training = self.panel.training
        if not record:
            if training is None or training.process and training.process.poll() is not None:
                return line("No run to show. Start trains with the settings above.", "note")
            last = training.lines[-1] if training.lines else "loading the libraries …"
            return line(f"{training.folder.name} is being prepared: {last}", "note") + progress(0, None)
        step = max((row.get("step", 0) for row in history), default=0)
        words = {
            "running": "is training" if not record["weights"].get("final_sha256") else "is being scored",
            "finished": "is finished",
            "stopped": "was stopped: Resume continues it",
            "failed": f"has failed: {record['reason']}",
        }
        said = f"{record['run'].rsplit('/', 1)[-1]} {words.get(record['status'], record['status'])}"
        kind = "error" if record["status"] == "failed" else "note"
        return line(said, kind) + progress(step, record.get("max_steps")) + facts(read_pace(record, history))

    def to_html(self) -> Markup:
        record = self.panel.record
        history = self.panel.history
        if not record:
            return line("No run yet.", "note")
        return self.status_html(record, history) + evaluations_html(record, history)


def progress(
    step: int,  # done
    total: int | None,  # of the training
) -> Markup:
    "Return a progress bar with its numbers"
    if not total:
        return Markup('<div class="ftkit-progress"><progress aria-label="training"></progress></div>')
    return Markup(
        '<div class="ftkit-progress"><progress aria-label="training" value="{}" max="{}"></progress>'
        "<span>step {} of {}</span></div>"
    ).format(step, total, f"{step:,}", f"{total:,}")


def read_pace(
    record: dict,  # run.json
    history: list[dict],  # of log.jsonl
) -> dict[str, str | None]:
    "Return time left, time so far, tokens per second, learning rate and memory, from the last lines of the log"
    logged = [row for row in history if "seconds" in row]
    if not logged:
        return {}
    last, first = logged[-1], logged[-min(len(logged), RECENT)]
    steps, seconds = last["step"] - first["step"], last["seconds"] - first["seconds"]
    total = record.get("max_steps") or last["step"]
    pace = seconds / steps if steps else last["seconds"] / max(last["step"], 1)
    tokens = record.get("data", {}).get("train", {}).get("tokens")
    epochs = [row["epoch"] for row in (first, last) if "epoch" in row]
    speed = tokens * (epochs[1] - epochs[0]) / seconds if tokens and len(epochs) == 2 and seconds > 0 else None
    rate = next((row["learning_rate"] for row in reversed(logged) if "learning_rate" in row), None)
    running = record["status"] == "running" and last["step"] < total
    return {
        "time left": format_seconds(pace * (total - last["step"])) if running else None,
        "time so far": format_seconds(last["seconds"]),
        "tokens per second": speed and f"{speed:,.0f}",
        "learning rate": None if rate is None else f"{rate:.2e}",
        "memory": format_bytes(last["memory_bytes"]) if last.get("memory_bytes") else None,
    }


def metric_names(
    history: list[dict],  # of log.jsonl
    headline: str | None = None,  # the metric that leads
) -> list[str]:
    "Return the names of the validation metrics in the log, the one that leads first"
    found = dict.fromkeys(k.removeprefix("eval_") for row in history for k in row if k.startswith("eval_"))
    names = [name for name in found if name != "loss" and name not in UNITS]
    return sorted(names, key=lambda name: name != headline)


def evaluations_html(
    record: dict | None,  # run.json
    history: list[dict],  # of log.jsonl
) -> Markup:
    "Return a table of the evaluations on validation rows. A share of rows has its Wilson interval"
    rows, n = [], ((record or {}).get("data") or {}).get("validation", {}).get("rows")
    headline = (record or {}).get("headline")
    for logged in history:
        if "eval_loss" not in logged:
            continue
        shown = {"step": logged["step"], "epoch": f"{logged.get('epoch', 0):g}", "loss": logged["eval_loss"]}
        for name in metric_names([logged], headline):
            value = logged[f"eval_{name}"]
            shown[spell_metric(name)] = str(with_interval(value, n)) if name in SHARES and n else value
        rows.append(shown)
    if not rows:
        return Markup("")
    title = Markup("<h4>Evaluations on {} validation rows</h4>").format(format_cell(f"{n:,}" if n else "the"))
    return title + table_html(rows)


def with_interval(
    share: float,  # of rows
    n: int,  # rows
    level: float = 0.95,  # of the interval
) -> Interval:
    "Return a share of rows with its Wilson interval; a score that is no such share without one"
    right = share * n
    if abs(right - round(right)) > 0.01:
        return Interval(share, None, None, n)
    ci = binomtest(round(right), n).proportion_ci(level, method="wilson")
    return Interval(share, float(ci.low), float(ci.high), n)
