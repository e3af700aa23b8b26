"What every section of the panel has: a widget, a place for its errors, and the same as plain HTML."

import threading
import traceback
from collections.abc import Callable
from functools import wraps

import ipywidgets as widgets
from markupsafe import Markup

from ftkit.errors import RunFailed, UserError, redact
from ftkit.views.html import format_cell

WIDGET = "application/vnd.jupyter.widget-view+json"
NO_KERNEL = "<p>The controls need a running kernel. What they showed last is below.</p>"
WRAP = {"flex_flow": "row wrap", "align_items": "flex-start", "overflow": "visible"}


class View:
    "A section of the panel. A subclass says what it shows and what it does when something has changed"

    title = ""  # of the section

    def __init__(
        self,
        panel,  # the `Panel` that it is part of
    ):
        self.panel, self.message = panel, html("")
        self.widget = widgets.VBox([self.message, *self.build()])

    def build(self) -> list[widgets.Widget]:
        "Return the widgets, top to bottom"
        raise NotImplementedError

    def settings_changed(self) -> None:
        "Follow `panel.settings`"

    def run_changed(self) -> None:
        "Follow another run"

    def refresh(self) -> None:
        "Read again what may have changed on the disk. Called twice a second"

    def closed(self) -> None:
        "Forget what the worker was asked: it has been ended"

    def to_html(self) -> Markup:
        "Return the section without controls, for a notebook that has no kernel"
        return Markup("")

    def say(
        self,
        text: str = "",  # one line; none takes the last one away
        kind: str = "error",  # or note
    ) -> None:
        "Show a line at the top of the section"
        self.message.value = line(text, kind)


def guarded(
    method: Callable,  # of a `View`, called by a widget, a thread or a person
) -> Callable:
    "Show an error of the method in its section, so that every other section still works"

    @wraps(method)
    def wrapped(self, *args, **keys):
        with self.panel.lock:  # the clicks, the worker's answers and the look at the folder come from three threads
            try:
                return method(self, *args, **keys)
            except Exception as e:
                self.say(describe_fault(e))

    return wrapped


def describe_fault(
    error: Exception,  # caught
) -> str:
    "Return one line: what a person can change, or where the fault of ours is"
    if isinstance(error, UserError | RunFailed):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return redact(f"{type(error).__name__}: {error} ({place.filename.rsplit('/', 1)[-1]}, line {place.lineno})")


def html(
    value: str,  # HTML
) -> widgets.HTML:
    "Return a widget that shows HTML"
    return widgets.HTML(value=value, layout=widgets.Layout(width="auto", margin="2px 0"))


def line(
    text: str,  # from anywhere
    kind: str = "error",  # or note
) -> Markup:
    "Return one line of text as HTML, or nothing"
    if not text:
        return Markup("")
    role, mark = ("alert", "✗ ") if kind == "error" else ("status", "")
    return Markup('<div class="ftkit-{}" role="{}">{}{}</div>').format(kind, role, mark, format_cell(text))


def button(
    text: str,  # what it does
    act: Callable[[], None],  # on a click
    style: str = "",  # primary, danger
    tooltip: str = "",  # more words
) -> widgets.Button:
    "Return a button"
    made = widgets.Button(
        description=text, button_style=style, tooltip=tooltip or text, layout=widgets.Layout(width="auto")
    )
    made.on_click(lambda _: act())
    return made


def row(
    *children: widgets.Widget,  # left to right
) -> widgets.HBox:
    "Return widgets side by side, below each other on a narrow screen"
    return widgets.HBox(list(children), layout=widgets.Layout(**WRAP))


def display_widget(
    widget: widgets.Widget,  # with controls
) -> None:
    "Display controls; where no kernel is, a line is shown in their place"
    from IPython.display import display

    view = {"model_id": widget.model_id, "version_major": 2, "version_minor": 0}
    display({WIDGET: view, "text/html": NO_KERNEL, "text/plain": "Run this cell for its controls"}, raw=True)


def facts(
    values: dict[str, str | None],  # name -> value; None is left out
) -> Markup:
    "Return named values as a row of small tiles"
    tiles = Markup("").join(
        Markup("<div><span>{}</span><b>{}</b></div>").format(name, format_cell(value))
        for name, value in values.items()
        if value is not None
    )
    return Markup('<div class="ftkit-facts">{}</div>').format(tiles)


class Latest:
    "Asks the worker one question at a time; while it waits, only the newest of the next ones is kept"

    def __init__(
        self,
        worker,  # a `Worker`
        what: str,  # which question
        show: Callable[[dict], None],  # gets each answer
    ):
        self.worker, self.what, self.show = worker, what, show
        self.busy, self.next, self.lock = False, None, threading.Lock()

    def ask(self, **question) -> None:
        "Ask now, or when the answer to the last question is there"
        with self.lock:
            if self.busy:
                self.next = question
                return
            self.busy = True
        self.worker.ask(self.what, self.receive, **question)

    def receive(self, answer: dict) -> None:
        "Show an answer unless a newer question waits"
        with self.lock:
            question, self.next = self.next, None
            self.busy = False
        if question is not None:
            self.ask(**question)
        else:
            self.show(answer)

    def forget(self) -> None:
        "Forget what was asked: the worker was closed"
        with self.lock:
            self.busy, self.next = False, None
