"The section Monitor: new texts against the validation rows of the run that is shown, as in `ftkit monitor`."

from pathlib import Path

import ipywidgets as widgets
from markupsafe import Markup

from ftkit.errors import UserError
from ftkit.files.tables import check_source
from ftkit.panels.controls import FIELD, LABEL
from ftkit.panels.files import experiments_dir, read_upload, store
from ftkit.panels.views import View, button, guarded, html, line, row
from ftkit.views.html import format_cell
from ftkit.views.monitoring import describe_limits, describe_rows, monitoring_sections, summarise


class MonitorView(View):
    "A file of new texts, and whether they have drifted"

    title = "Monitor"

    def build(self):
        self.result = None
        self.file = widgets.Text(
            description="New texts",
            placeholder="rows.csv",
            style={"description_width": LABEL},
            layout=FIELD,
            continuous_update=False,
        )
        self.upload = widgets.FileUpload(
            description="Upload a file (up to 10 MB)", multiple=False, layout=widgets.Layout(width="auto")
        )
        self.upload.observe(self.on_upload, "value")
        hint = "Compare these texts with the validation rows of the run that is shown"
        self.button = button("Look for drift", self.compare, "primary", hint)
        self.shown = html("")
        return [row(self.file, self.upload), row(self.button), self.shown]

    def run_changed(self) -> None:
        self.result, self.shown.value = None, ""
        self.say()

    @guarded
    def on_upload(self, change) -> None:
        "Keep an uploaded file and use it"
        if found := read_upload(change["new"]):
            self.file.value = str(store(experiments_dir(self.panel.runs_dir) / "data", *found))
            if isinstance(self.upload.value, tuple):  # so that the same file can come again; 7 has no way to say so
                self.upload.value = ()

    @guarded
    def compare(self) -> None:
        "Ask for the comparison"
        file, folder = self.file.value.strip(), self.panel.folder
        if folder is None:
            raise UserError("there is no run to compare with. Start one.")
        if not file:
            raise UserError("choose a file of new texts first.")
        check_source(file)
        self.run_changed()
        self.say("comparing …", "note")
        self.panel.wake()
        path = str(Path(file).expanduser().absolute())
        self.panel.worker.ask(
            "monitor", lambda answer: self.show(folder, answer), run=str(folder.absolute()), file=path
        )

    @guarded
    def show(
        self,
        folder: Path,  # of the run that was asked about
        answer: dict,  # of the worker
    ) -> None:
        "Show what was found, unless another run is shown by now"
        if folder != self.panel.folder:
            return
        if "error" in answer:
            return self.say(answer["error"])
        self.say()
        self.result = answer
        self.shown.value = monitoring_html(answer)
        self.panel.update_static()

    def to_html(self) -> Markup:
        if self.result is None:
            return line("No new texts were compared.", "note")
        return monitoring_html(self.result)


def monitoring_html(
    result: dict,  # of `monitor`
) -> Markup:
    "Return what was found: the verdict, what to do, then one section after the other"
    kind = "ftkit-error" if result["drift"] else "ftkit-lead"
    found = Markup('<p class="{}"><b>{}</b></p><p>{}</p><p class="ftkit-muted">{}<br>{}</p>').format(
        kind, *map(format_cell, (summarise(result), result["advice"], describe_rows(result), describe_limits(result)))
    )
    for section in monitoring_sections(result):
        parts = Markup("").join(section.parts)
        found += Markup('<h4>{}</h4><div class="ftkit-scroll">{}</div>').format(format_cell(section.title), parts)
    return found
