"A control for each key of `Settings`: it shows the key's value, and a value that is refused next to the reason."

import math
import typing
from collections.abc import Callable

import ipywidgets as widgets

from ftkit.errors import UserError
from ftkit.panels.views import html, line
from ftkit.settings import KEYS, TYPES, Settings, format_value, is_union

LABEL = "13em"  # width of every label
FIELD = widgets.Layout(width="100%", max_width="34em", min_width="18em")
LABELS = {  # key -> its name and unit in the form; the others are called by their key
    "model_name_or_path": "Base model",
    "method": "Method",
    "max_seq_length": "Longest text (tokens)",
    "learning_rate": "Learning rate",
    "num_train_epochs": "Epochs",
    "per_device_train_batch_size": "Batch size (rows)",
    "gradient_accumulation_steps": "Accumulation (batches)",
    "class_weights": "Class weights",
    "early_stopping_patience": "Early stopping (epochs)",
    "minutes": "Time limit (minutes)",
    "seed": "Seed",
    "text_column_name": "Text column",
    "label_column_name": "Label column",
}


class Control:
    "A widget for one key. `show` follows the settings; a change by hand calls `change`"

    def __init__(
        self,
        name: str,  # of the key
        settings: Settings,  # its value
        change: Callable,  # called with key=value; raises `UserError` if it is refused
        control: widgets.DOMWidget | None = None,  # default: the one that suits the key
    ):
        self.name, self.change, self.silent = name, change, False
        self.input = control or make_input(name)
        self.message = html("")
        self.widget = widgets.VBox([self.input, self.message])
        self.show(settings)
        self.input.observe(self.on_change, "value")

    def show(
        self,
        settings: Settings,  # the current ones
    ) -> None:
        "Show the value that the settings have"
        self.silent = True
        try:
            put_value(self.input, getattr(settings, self.name))
        finally:
            self.silent = False
        self.message.value = ""

    def on_change(self, change) -> None:
        "Hand a value on, or show why it is refused"
        if self.silent:
            return
        try:
            value = take_value(self.input)
            self.change(**{self.name: "none" if value == "" and may_be_empty(self.name) else value})
            self.message.value = ""
        except UserError as e:
            self.message.value = line(str(e))


def make_input(
    name: str,  # of a key
) -> widgets.DOMWidget:
    "Return the widget that suits a key: a log scale, a list of choices, a tick, or a line of text"
    keys = {
        "description": LABELS.get(name, name),
        "style": {"description_width": LABEL},
        "layout": FIELD,
    }
    choices = KEYS[name].metadata.get("choices")
    if name == "learning_rate":
        made = widgets.FloatLogSlider(min=-6, max=-1, step=0.05, readout_format=".2g", continuous_update=False, **keys)
    elif TYPES[name] is bool:
        made = widgets.Dropdown(options=[("yes", True), ("no", False)], **keys)
    elif choices and TYPES[name] is str:
        made = widgets.Dropdown(options=list(choices), **keys)
    else:
        made = widgets.Text(continuous_update=False, placeholder="none", **keys)
    trait = "tooltip" if "tooltip" in made.trait_names() else "description_tooltip"  # the latter in ipywidgets 7
    setattr(made, trait, KEYS[name].metadata["help"])
    return made


def may_be_empty(
    name: str,  # of a key
) -> bool:
    "Return whether a key may have no value: None, no names, no words"
    return is_union(TYPES[name]) or (typing.get_origin(TYPES[name]) or TYPES[name]) in (list, dict)


def put_value(
    control: widgets.DOMWidget,  # from `make_input`
    value: object,  # of the key
) -> None:
    "Set the value of a control"
    if isinstance(control, widgets.FloatLogSlider):
        exponent = math.log10(value)
        control.min, control.max = min(control.min, math.floor(exponent)), max(control.max, math.ceil(exponent))
        control.value = value
    elif isinstance(control, widgets.Text):
        control.value = "" if value is None else format_value(value)
    else:
        control.value = value


def take_value(
    control: widgets.DOMWidget,  # from `make_input`
) -> object:
    "Return the value of a control as `Settings` reads it; of the log scale, two digits"
    if isinstance(control, widgets.FloatLogSlider):
        return float(f"{control.value:.2g}")
    if isinstance(control, widgets.Text):
        return control.value.strip()
    return control.value
