"The section Settings: a control for each key, presets, a file to keep them in, and the code that does the same."

import shlex

import ipywidgets as widgets
from markupsafe import Markup

from ftkit.errors import UserError
from ftkit.panels.controls import FIELD, LABEL, Control
from ftkit.panels.files import save_settings
from ftkit.panels.forecast import ForecastView
from ftkit.panels.processes import changed_keys, to_flags
from ftkit.panels.views import View, button, guarded, html, line, row
from ftkit.settings import KEYS, PRESETS, Settings, check_key, format_value, parse_plain
from ftkit.views.html import table_html

MAIN = (
    "model_name_or_path",
    "method",
    "learning_rate",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "max_seq_length",
    "class_weights",
    "early_stopping_patience",
    "seed",
)
ELSEWHERE = ("dataset_name", "train_file", "test_file", "text_column_name", "label_column_name")  # in the section Data


class SettingsView(View):
    "Hyperparameters, next to the forecast of what they cost"

    title = "Settings"

    def build(self):
        s, change = self.panel.settings, self.panel.change
        rest = [name for name in KEYS if name not in (*MAIN, *ELSEWHERE)]
        self.controls = {name: Control(name, s, change) for name in (*MAIN, *rest)}
        self.extra = widgets.Textarea(
            description="TrainingArguments",
            placeholder="adam_beta2 = 0.95\nlr_scheduler_type = cosine",
            continuous_update=False,
            style={"description_width": LABEL},
            layout=FIELD,
        )
        self.extra_message = html("")
        self.extra.observe(self.on_extra, "value")
        self.forecast = ForecastView(self.panel)
        self.preset = widgets.Dropdown(
            options=[("choose …", None), *((name, name) for name in PRESETS)],
            description="Preset",
            style={"description_width": LABEL},
            layout=FIELD,
        )
        self.preset.observe(self.on_preset, "value")
        self.more = widgets.VBox([self.controls[name].widget for name in rest] + [self.extra, self.extra_message])
        self.more.layout.display = "none"
        self.more_button = widgets.ToggleButton(description="More settings", layout=widgets.Layout(width="auto"))
        self.more_button.observe(lambda change: toggle(self.more, change["new"]), "value")
        self.code = html("")
        self.code.layout.display = "none"
        self.code_button = widgets.ToggleButton(description="Show code", layout=widgets.Layout(width="auto"))
        self.code_button.observe(lambda change: toggle(self.code, change["new"]), "value")
        self.name = widgets.Text(placeholder="name of the file", layout=widgets.Layout(width="12em"))
        self.settings_changed()
        form = widgets.VBox([self.preset, *(self.controls[name].widget for name in MAIN)])
        form.layout.flex, form.layout.min_width = "1 1 22em", "18em"
        return [
            row(form, self.forecast.widget),
            row(self.more_button, self.code_button, self.name, button("Save", self.save)),
            self.code,
            self.more,
        ]

    def settings_changed(self) -> None:
        for control in self.controls.values():
            control.show(self.panel.settings)
        extra = self.panel.settings.training_arguments
        self.silent = True
        self.extra.value = "\n".join(f"{name} = {format_value(value)}" for name, value in extra.items())
        self.silent, self.extra_message.value = False, ""
        self.code.value = code_html(self.panel.settings)
        self.forecast.settings_changed()

    def refresh(self) -> None:
        self.forecast.refresh()

    def closed(self) -> None:
        self.forecast.closed()

    def on_extra(self, change) -> None:
        "Use other fields of TrainingArguments"
        if self.silent:
            return
        try:
            found = {}
            for text in filter(str.strip, change["new"].splitlines()):
                name, sign, value = (part.strip() for part in text.partition("="))
                if not sign:
                    raise UserError(f"{text.strip()!r}: write name = value, one in each line.")
                check_key(name, "trainer")
                found[name] = parse_plain(value)
            self.panel.change(training_arguments=found)
        except UserError as e:
            self.extra_message.value = line(str(e))

    @guarded
    def on_preset(self, change) -> None:
        "Use a ready-made experiment"
        if change["new"]:
            self.panel.settings = Settings.preset(change["new"])
            self.say(f"all settings are those of the preset {change['new']}, its rows too", "note")
            self.preset.value = None

    @guarded
    def save(self) -> None:
        "Keep the settings in a new file"
        path = save_settings(self.panel.settings, self.name.value.strip(), self.panel.runs_dir)
        self.say(f"saved: {path}. Run them anywhere: ftkit train {shlex.quote(str(path))}", "note")

    def to_html(self) -> Markup:
        s = self.panel.settings
        shown = [*MAIN, *(name for name in changed_keys(s) if name in KEYS and name not in MAIN)]
        rows = [{"setting": name, "value": format_value(getattr(s, name))} for name in shown]
        return self.forecast.to_html() + table_html(rows) + code_html(s)


def toggle(
    widget: widgets.Widget,  # to show or hide
    visible: bool,  # which of the two
) -> None:
    "Show or hide a widget"
    widget.layout.display = None if visible else "none"


def show_code(
    settings: Settings,  # the experiment
) -> dict[str, str]:
    "Return the Python cell and the command line that run the same experiment"
    keys = ", ".join(f"{name}={value!r}" for name, value in changed_keys(settings).items())
    python = f"from ftkit import Settings, fine_tune\n\ntuned = fine_tune(Settings().replace({keys}))"
    return {"Python": python, "Command line": shlex.join(["ftkit", "train", *to_flags(settings)])}


def code_html(
    settings: Settings,  # the experiment
) -> Markup:
    "Return both as HTML"
    return Markup("").join(
        Markup('<div class="ftkit-code"><b>{}</b><pre>{}</pre></div>').format(name, text)
        for name, text in show_code(settings).items()
    )
