"A part of the panel for a lesson: a few keys of `Settings` as controls, and what follows from their values."

from collections.abc import Callable

import ipywidgets as widgets

from ftkit.panels.controls import Control, put_value
from ftkit.panels.views import display_widget
from ftkit.settings import Settings
from ftkit.views.console import has_front_end


class Knobs:
    """Controls for some keys of `settings`. `show(settings)` is displayed, again after every change.

    A key is given with its range `(low, high)` or `(low, high, step)`, with a list of choices, or with None for the
    control that the panel has. Without a front end only what follows is shown.
    """

    def __init__(
        self,
        show: Callable,  # takes the settings, returns what is displayed: a table, a picture
        settings: Settings | None = None,  # to begin with; default: the defaults
        **keys,  # name of a key -> its range, its choices, or None
    ):
        self.show, self.settings, self.handle = show, settings or Settings(), None
        self.controls = {
            name: Control(name, self.settings, self.change, make_slider(name, limits, self.settings))
            for name, limits in keys.items()
        }
        self.value = show(self.settings)

    def change(self, **keys) -> None:
        "Change some keys, as a hand does that moves a control. Raises `UserError` if a value is refused"
        self.settings = self.settings.replace(**keys)
        for control in self.controls.values():
            control.show(self.settings)
        self.value = self.show(self.settings)
        if self.handle:
            self.handle.update(self.value)

    def _ipython_display_(self) -> None:
        "Show the controls if a front end can move them, and what follows"
        if not has_front_end():
            raise NotImplementedError  # IPython takes `_repr_mimebundle_`
        from IPython.display import display

        display_widget(widgets.VBox([control.widget for control in self.controls.values()]))
        self.handle = display(self.value, display_id=True)

    def _repr_mimebundle_(self, include=None, exclude=None):
        "Return what follows, as its own type is shown"
        from IPython import get_ipython

        return get_ipython().display_formatter.format(self.value)


def make_slider(
    name: str,  # of the key
    limits,  # its range, its choices, or None
    settings: Settings,  # the value to begin with
) -> widgets.DOMWidget | None:
    "Return a control for a range or for choices; None for the key's own"
    if limits is None:
        return None
    value = getattr(settings, name)
    if isinstance(limits, list):
        return widgets.Dropdown(options=limits, value=value, description=name)
    kind = widgets.IntSlider if isinstance(value, int) else widgets.FloatSlider
    low, high, *step = limits
    keys = {"step": step[0]} if step else {}
    made = kind(min=low, max=high, description=name, continuous_update=False, **keys)
    made.style.description_width, made.layout.width = "initial", "24em"
    put_value(made, value)
    return made
