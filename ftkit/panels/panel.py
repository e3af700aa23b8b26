"The panel: hyperparameters under your hand, results before your eyes. `from ftkit import Panel; Panel()`"

import logging
import threading
import time
import weakref
from importlib.resources import files
from pathlib import Path

import ipywidgets as widgets
from markupsafe import Markup

from ftkit.errors import UserError
from ftkit.panels.data import DataView
from ftkit.panels.monitor import MonitorView
from ftkit.panels.processes import Training, Worker, resume_run, start_run
from ftkit.panels.result import ResultView
from ftkit.panels.runs import RunsView
from ftkit.panels.settings import SettingsView
from ftkit.panels.training import TrainingView
from ftkit.panels.views import View, describe_fault, display_widget, html, line
from ftkit.panels.watched import WatchedRun
from ftkit.runs.folder import RunFolder, default_runs_dir, find_run
from ftkit.settings import Settings
from ftkit.views.charts import curve_figure, show_figure
from ftkit.views.console import has_front_end
from ftkit.views.html import STYLE, img_tag
from ftkit.views.scores import read_curves

logger = logging.getLogger(__name__)
SECONDS = 0.5  # between two looks at the run folder
VIEWS: dict[str, type[View]] = {
    "data": DataView,
    "settings": SettingsView,
    "training": TrainingView,
    "result": ResultView,
    "runs": RunsView,
    "monitor": MonitorView,
}
shown = weakref.WeakSet()  # panels of this kernel: a cell that is run again ends the one before


class Panel(WatchedRun):
    """A view over `Settings` and a folder of runs. Trainings are child processes, so they outlive page and kernel.

    `settings` is always current, `run` is the run that is shown. Everything works from Python too.
    """

    def __init__(
        self,
        settings: Settings | None = None,  # to begin with; default: the starter
        runs_dir: str | Path | None = None,  # default: `runs` in the current folder
    ):
        super().__init__(Path(runs_dir) if runs_dir is not None else default_runs_dir())
        self.worker, self.is_open, self.lock = Worker(), False, threading.RLock()
        self._settings = settings or self.first_settings()
        self.handles, self.follower = (), None
        self.views = {name: make(self) for name, make in VIEWS.items()}
        self.widget = self.lay_out()
        self.run_changed()

    def __dir__(self):
        return ["settings", "run", "runs_dir", "start", "stop", "resume", "wait", "show_run", "to_html", "views"]

    @property
    def settings(self) -> Settings:
        "Return the settings as the controls have them"
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        with self.lock:
            self.wake()
            self._settings = settings
            for view in self.views.values():
                view.settings_changed()
            self.update_static()

    def change(self, **keys) -> None:
        "Change some keys. Raises `UserError` if a value is refused; nothing is changed then"
        self.settings = self._settings.replace(**keys)

    @property
    def run(self):
        "Return the run that is shown, as a `Run`, or None"
        from ftkit.fine_tuning import Run

        return Run(self.folder) if self.folder and (self.folder / "run.json").is_file() else None

    def start(
        self,
        name: str | None = None,  # of the run; default: date and time
    ) -> Path:
        "Start `ftkit train` with the settings and return the folder of the run. Raises `UserError`"
        if self.is_training:
            raise UserError(f"{self.folder.name} is training. Stop it first, or wait for its end.")
        self.views["data"].check_source()
        self.training = start_run(self._settings, self.runs_dir, name)
        self.show_run(self.training.folder.name)
        return self.training.folder

    def stop(self) -> None:
        "Stop the run that is shown, after its current step. Raises `UserError` if it is not running"
        training = self.training or (self.folder and Training(self.folder))
        if not training or not training.is_running:
            raise UserError("nothing is training.")
        training.stop()

    def wait(
        self,
        timeout: float = 3600,  # seconds
    ) -> None:
        """Wait until rows are read, questions are answered and the training has ended.

        Raises `UserError` if time is up or the training was refused
        """
        if not self.is_open:
            self.is_open = True
            self.views["data"].read()
        end = time.monotonic() + timeout
        while self.worker.waiting or self.is_training:
            if time.monotonic() > end:
                raise UserError(f"not done within {timeout:.0f} s. A training goes on; wait again, or stop it.")
            time.sleep(0.1)
            self.refresh()
        self.refresh()
        if self.training is not None and self.training.failure:
            raise UserError(self.training.failure)

    def resume(self) -> Path:
        "Resume the run that is shown and return its folder. Raises `UserError` if there is nothing to resume"
        if self.folder is None:
            raise UserError("there is no run to resume. Start one.")
        self.training = resume_run(self.folder)
        self.run_changed()
        return self.folder

    def show_run(
        self,
        name: str,  # of a run in runs_dir
    ) -> None:
        "Show another run. Raises `UserError` with the nearest name if there is none"
        if self.training is None or self.training.folder != self.runs_dir / name:
            self.training = None
            find_run(name, self.runs_dir)
        self.folder = self.runs_dir / name
        self.run_changed()

    def first_settings(self) -> Settings:
        "Return the settings of a run that is at work, else the defaults"
        try:
            return read_settings(self.folder) if self.is_training else Settings()
        except UserError as e:
            logger.warning(f"the panel begins with the defaults: {e}")
            return Settings()

    def use_settings(self) -> None:
        "Take over the settings of the run that is shown. Raises `UserError` if there is none"
        if not self.record:
            raise UserError("there is no run whose settings could be used.")
        self.settings = read_settings(self.folder)

    def run_changed(self) -> None:
        "Let every section follow the run that is shown"
        with self.lock:
            self.wake()
            for view in self.views.values():
                view.run_changed()
            self.refresh()

    def refresh(self) -> None:
        "Read again what may have changed on the disk"
        with self.lock:
            for view in self.views.values():
                view.refresh()
            record = self.record
            state = (self.is_training, record and record["status"])
            if self._kept.get("state") != state:
                self._kept["state"] = state
                self.update_static()

    def rows_read(self) -> None:
        "Note that the rows can be read: they can be timed too"
        self.views["settings"].forecast.measure()

    def lay_out(self) -> widgets.VBox:
        "Return the whole as one widget: a row of sections, and the one that is chosen"
        names = [f"{i} {view.title}" for i, view in enumerate(self.views.values(), 1)]
        self.tabs = widgets.ToggleButtons(options=list(zip(names, self.views)), style={"button_width": "auto"})
        self.tabs.observe(lambda change: self.open_section(change["new"]), "value")
        for view in self.views.values():
            view.widget.add_class("ftkit-section")
        made = widgets.VBox([html(LIVE_STYLE), self.tabs, *(view.widget for view in self.views.values())])
        made.add_class("ftkit-panel")
        self.open_section("data")
        return made

    def open_section(
        self,
        name: str,  # of `VIEWS`
    ) -> None:
        "Show one section and hide the others"
        for other, view in self.views.items():
            view.widget.layout.display = None if other == name else "none"

    def to_html(self) -> Markup:
        "Return every section without controls: what a notebook shows that has no kernel"
        parts = Markup("").join(
            Markup("<section><h3>{} {}</h3>{}</section>").format(i, view.title, render(view))
            for i, view in enumerate(self.views.values(), 1)
        )
        return Markup('{}<div class="ftkit-panel ftkit-static">{}</div>').format(STATIC_STYLE, parts)

    def open(self) -> None:
        "Ask for rows and forecast, and follow the run folder. Another panel of this kernel is closed"
        for other in list(shown):
            if other is not self:
                other.close()
        shown.add(self)
        self.is_open = True
        self.views["data"].read()
        if self.follower is None or not self.follower.is_alive():
            self.follower = threading.Thread(target=follow, args=(weakref.ref(self),), daemon=True)
            self.follower.start()

    def wake(self) -> None:
        "Open the panel again if it was closed because another one was shown"
        if self.handles and not self.is_open:
            self.open()

    def close(self) -> None:
        "End the worker and stop following. A training goes on; who uses the panel again opens it again"
        self.is_open = False
        self.worker.close()
        for view in self.views.values():
            view.closed()
        shown.discard(self)

    def _ipython_display_(self) -> None:
        "Show the controls if there is a front end, and beneath them what stays without one"
        from IPython.display import HTML, display

        if not has_front_end():
            raise NotImplementedError  # IPython takes `_repr_html_`
        display_widget(self.widget)
        static = display(HTML(self.to_html()), display_id=True)
        self.handles = (static, display(self.picture(), display_id=True))
        self.open()

    def _repr_html_(self) -> str:
        "Return what stays without a kernel, its picture included"
        figure = self.figure()
        return self.to_html() + (img_tag(*figure) if figure else "")

    def update_static(self) -> None:
        "Update what stays without a kernel; its picture only if the run has changed"
        if self.handles:
            from IPython.display import HTML

            self.handles[0].update(HTML(self.to_html()))
            if self._kept.get("picture") != self.fingerprint():
                self._kept["picture"] = self.fingerprint()
                self.handles[1].update(self.picture())

    def figure(self):
        "Return the curve of the run that is shown and what it shows in words, or None"
        series = read_curves(self.history)
        words = "; ".join(f"{name}: last {points[-1][1]:.3f}" for name, points in series.items())
        return (curve_figure(series), words) if series else None

    def picture(self):
        "Return the curve as a PNG, or nothing"
        from IPython.display import HTML

        figure = self.figure()
        return show_figure(*figure) if figure else HTML("")


def read_settings(
    folder: Path,  # of a run
) -> Settings:
    "Return the settings of a run as they were given: what was found at its start is `auto` again"
    run = RunFolder(folder)
    return run.settings.replace(**dict.fromkeys(run.record.get("auto") or [], "auto"))


def render(
    view: View,  # a section
) -> Markup:
    "Return a section as HTML, or its fault as a line"
    try:
        return view.to_html()
    except Exception as e:
        return line(describe_fault(e))


def follow(panel) -> None:
    "Refresh a panel as long as it is shown"
    while True:
        now = panel()
        if now is None or not now.is_open:
            return
        try:
            now.refresh()
        except Exception:  # the next look may succeed
            logger.debug("the panel could not be refreshed", exc_info=True)
        del now
        time.sleep(SECONDS)


def read_style() -> str:
    "Return the style sheet"
    return files("ftkit.panels").joinpath("style.css").read_text(encoding="utf-8")


STATIC_STYLE = STYLE + Markup("<style>{}</style>").format(Markup(read_style()))
# While the controls are there, what stays without them is hidden: the page would show everything twice
LIVE_STYLE = STATIC_STYLE + Markup(
    "<style>.jp-OutputArea-child:has(.ftkit-static),.jp-OutputArea-child:has(.ftkit-static)+.jp-OutputArea-child"
    "{display:none}</style>"
)
