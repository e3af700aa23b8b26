"The forecast next to the settings: minutes, memory and disk, and what would halve each."

from markupsafe import Markup

from ftkit.files.atomic import format_bytes
from ftkit.panels.processes import changed_keys
from ftkit.panels.views import Latest, View, facts, guarded, html, line
from ftkit.views.html import format_cell
from ftkit.views.scores import format_seconds


class ForecastView(View):
    "What the settings cost on this machine"

    title = "Forecast"

    def build(self):
        self.answer, self.waits = None, False
        self.shown = html("")
        self.question = Latest(self.panel.worker, "forecast", self.show)
        return [html(Markup("<h4>What it takes on this machine</h4>")), self.shown]

    def __init__(self, panel):
        super().__init__(panel)
        self.widget.layout.flex, self.widget.layout.min_width = "1 1 20em", "18em"

    def settings_changed(self) -> None:
        if self.panel.is_open:
            self.measure()

    def measure(self) -> None:
        "Ask for a new forecast; trial steps would slow a training down, and be slowed down"
        self.say("computing …" if self.answer else "timing a few steps of this model on this machine …", "note")
        self.question.ask(
            settings=changed_keys(self.panel.settings),
            runs_dir=str(self.panel.runs_dir),
            measure=not self.panel.is_training,
        )

    def closed(self) -> None:
        self.question.forget()

    def refresh(self) -> None:
        if self.waits and not self.panel.is_training:
            self.waits = False
            self.measure()

    @guarded
    def show(self, answer: dict) -> None:
        "Show the forecast, or why there is none"
        self.answer = None if "error" in answer or "waiting" in answer else answer
        self.waits = "waiting" in answer
        self.say()
        if self.waits:
            self.say("the next forecast comes when the training has ended", "note")
        elif "error" in answer:
            self.say(answer["error"])
        self.shown.value = self.to_html()
        self.panel.update_static()

    def to_html(self) -> Markup:
        a = self.answer
        if not a:
            return Markup("")
        tiles = facts(
            {
                "training": format_seconds(a["train_seconds"]),
                "in all": format_seconds(a["total_seconds"]),
                "memory": format_bytes(a["peak_bytes"]),
                "disk": format_bytes(a["disk_bytes"]),
                "threads": str(a["threads"]),
            }
        )
        fits = "" if a["fits"] else line("memory or disk of this machine do not suffice")
        advice = Markup("").join(Markup("<li>{}</li>").format(format_cell(text)) for text in a["advice"])
        return tiles + fits + Markup('<ul class="ftkit-lines">{}</ul>').format(advice)
