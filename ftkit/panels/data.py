"The section Data: where the rows come from, what was read, and what the doctor finds in them."

import ast
import json

import ipywidgets as widgets
from markupsafe import Markup

from ftkit.errors import UserError
from ftkit.panels.controls import FIELD, LABEL, Control
from ftkit.panels.files import experiments_dir, read_upload, store
from ftkit.panels.processes import changed_keys
from ftkit.panels.views import Latest, View, button, guarded, html, line, row
from ftkit.settings import CLASSIFICATION
from ftkit.starter import posts_path
from ftkit.views.examination import finding_section
from ftkit.views.html import format_cell, table_html

SOURCES = {"the posts that come with ftkit": "starter", "a file": "file", "the Hugging Face Hub": "hub"}
NOT_FOUND = "found automatically"


class DataView(View):
    "Rows: their source, columns, counts, the first ten, findings"

    title = "Data"

    def build(self):
        self.answer, self.findings, self.note, self.silent = None, None, "", False
        form = {"style": {"description_width": LABEL}, "layout": FIELD}
        line = {**form, "continuous_update": False}
        self.source = widgets.Dropdown(options=list(SOURCES.items()), description="Rows from", **form)
        self.file = widgets.Text(description="File", placeholder="rows.csv", **line)
        narrow = widgets.Layout(width="auto")
        self.upload = widgets.FileUpload(description="Upload a file (up to 10 MB)", multiple=False, layout=narrow)
        self.hub = widgets.Text(description="Data set", placeholder="owner/name", **line)
        self.columns = {
            key: widgets.Combobox(description=label, placeholder=NOT_FOUND, ensure_option=False, **line)
            for key, label in (("text_column_name", "Text column"), ("label_column_name", "Label column"))
        }
        self.test_file = Control("test_file", self.panel.settings, self.panel.change)
        self.test_file.input.description, self.test_file.input.placeholder = "Test file", "held out from the rows"
        self.file_row, self.hub_row = row(self.file, self.upload), row(self.hub)
        self.rows, self.found = html(""), widgets.VBox()
        hint = "Look for duplicates, leaks, odd labels and more"
        self.examine_button = button("Examine", self.examine, tooltip=hint)
        self.question = Latest(self.panel.worker, "rows", self.show_rows)
        self.show_settings()
        self.source.observe(self.on_source, "value")
        self.file.observe(self.on_file, "value")
        self.hub.observe(self.on_hub, "value")
        self.upload.observe(self.on_upload, "value")
        for key, control in self.columns.items():
            control.observe(lambda change, key=key: self.choose_column(key, change["new"]), "value")
        return [
            self.source,
            self.file_row,
            self.hub_row,
            self.test_file.widget,
            *self.columns.values(),
            self.rows,
            row(self.examine_button),
            self.found,
        ]

    def settings_changed(self) -> None:
        before = self.keys
        if before != self.read_keys():
            self.show_settings()
            self.read()

    def closed(self) -> None:
        self.question.forget()

    def read_keys(self) -> str:
        "Return what decides which rows are read"
        return json.dumps([self.panel.settings.section("data"), self.panel.settings.task])

    def show_settings(self) -> None:
        "Show the source that the settings have"
        s = self.panel.settings
        self.keys, self.silent = self.read_keys(), True
        try:
            kind = "file" if s.train_file else "starter" if s.dataset_name == "starter" else "hub"
            self.show_source(kind)
            self.file.value = s.train_file or ""
            self.hub.value = s.dataset_name if kind == "hub" and s.dataset_name else ""
            self.test_file.show(s)
            for key, control in self.columns.items():
                control.value = getattr(s, key) or ""
        finally:
            self.silent = False

    def show_source(self, kind: str) -> None:
        "Show the controls of one source"
        self.source.value = kind
        self.file_row.layout.display = self.test_file.widget.layout.display = None if kind == "file" else "none"
        self.hub_row.layout.display = None if kind == "hub" else "none"

    def check_source(self) -> None:
        "Raise `UserError` if a source was chosen that has no name yet"
        chosen, s = self.source.value, self.panel.settings
        if chosen == "file" and not s.train_file:
            raise UserError("name a file or upload one first, in the section Data.")
        if chosen == "hub" and (s.train_file or s.dataset_name == "starter"):
            raise UserError("name the data set on the Hub first, in the section Data.")

    @guarded
    def on_source(self, change) -> None:
        "Show the controls of the source; the starter needs no more"
        if self.silent:
            return
        self.show_source(change["new"])
        if change["new"] == "starter":
            self.use(train_file=None, test_file=None, dataset_name="starter")

    @guarded
    def on_file(self, change) -> None:
        "Use the file whose path was written"
        if not self.silent and change["new"].strip():
            self.use(train_file=change["new"].strip())

    @guarded
    def on_hub(self, change) -> None:
        "Use the data set whose name was written"
        if not self.silent and change["new"].strip():
            self.use(train_file=None, test_file=None, dataset_name=change["new"].strip())

    @guarded
    def on_upload(self, change) -> None:
        "Keep the uploaded file in experiments/data and use it"
        upload = read_upload(change["new"])
        if upload:
            path = store(experiments_dir(self.panel.runs_dir) / "data", *upload)
            self.use(train_file=str(path))
            if isinstance(self.upload.value, tuple):  # so that the same file can come again; 7 has no way to say so
                self.upload.value = ()

    def use(self, **keys) -> None:
        "Change the source; the columns of the last one are forgotten"
        before, self.note = self.keys, ""
        for control in self.columns.values():
            control.options = ()
        self.panel.change(text_column_name=None, label_column_name=None, **keys)
        if self.keys == before:
            self.read()

    @guarded
    def choose_column(self, key: str, value: str) -> None:
        "Use a column that was chosen or written"
        if not self.silent:
            self.panel.change(**{key: value.strip() or None})

    def read(self) -> None:
        "Ask for the rows"
        self.answer, self.findings, self.found.children = None, None, ()
        self.say("reading the rows …", "note")
        self.question.ask(settings=changed_keys(self.panel.settings))

    @guarded
    def show_rows(self, answer: dict) -> None:
        "Show what was read, or why not"
        self.answer = None if "error" in answer else answer
        self.rows.value = self.rows_html()
        for key, control in self.columns.items():
            control.options = tuple(answer.get("columns", ()))
            found = answer.get("text_column" if key.startswith("text") else "label_column")
            control.placeholder = f"{found} ({NOT_FOUND})" if found and not control.value else NOT_FOUND
        if "error" in answer:
            return self.say(answer["error"])
        self.say(self.note, "note")
        self.panel.rows_read()
        self.panel.update_static()

    def rows_html(self) -> Markup:
        "Return lines, counts by split and the first rows as HTML"
        if not self.answer:
            return Markup("")
        a = self.answer
        counts = [{"label": label, **{s: c.get(label, 0) for s, c in a["counts"].items()}} for label in a["labels"]]
        total = {"label": "all", **{s: sum(c.values()) for s, c in a["counts"].items()}}
        lines = Markup("").join(Markup("<li>{}</li>").format(format_cell(text)) for text in a["lines"])
        return Markup(
            '<ul class="ftkit-lines">{}</ul>'
            '<div class="ftkit-tables"><div>{}</div><div class="ftkit-scroll">{}</div></div>'
        ).format(lines, table_html([*counts, total]), table_html(a["rows"]))

    @property
    def source_file(self) -> str | None:
        "Return the file that the doctor can read: not the Hub's"
        s = self.panel.settings
        return s.train_file or (str(posts_path()) if s.dataset_name == "starter" else None)

    def for_these_rows(self, show):
        "Return a function that shows an answer only if the rows are still those that it is about"
        keys = self.keys
        return lambda answer: show(answer) if keys == self.keys else None

    @guarded
    def examine(self) -> None:
        "Ask the doctor"
        s = self.panel.settings
        if not self.source_file:
            raise UserError("the doctor reads files: save the rows as a .csv first, and name that.")
        self.say("the doctor reads every row …", "note")
        self.panel.worker.ask(
            "examine",
            self.for_these_rows(self.show_findings),
            file=self.source_file,
            test_file=s.test_file if s.train_file else None,
            text=s.text_column_name if s.train_file else "text",
            label=s.label_column_name if s.train_file else "label",
            task=None if s.task == CLASSIFICATION else s.task,
        )

    @guarded
    def show_findings(self, answer: dict) -> None:
        "Show the findings, each with a button if a call of `clean` mends it"
        if "error" in answer:
            return self.say(answer["error"])
        self.say()
        self.findings = answer["findings"]
        self.found.children = [
            row(html(finding_html(finding)), *self.apply_button(finding)) for finding in self.findings
        ] or [html(line("The doctor found nothing.", "note"))]
        self.panel.update_static()

    def apply_button(self, finding: dict) -> list[widgets.Button]:
        "Return the button that mends a finding, if it can be mended by itself"
        fix = parse_fix(finding["fix"])
        return [button("Apply", lambda: self.apply(*fix), tooltip=finding["fix"])] if fix else []

    @guarded
    def apply(
        self,
        key: str,  # which file: train_file or test_file
        keys: dict,  # the arguments of `clean`
    ) -> None:
        "Write a cleaned copy of a file, and use it"
        s = self.panel.settings
        names = {
            name: getattr(s, name) if s.train_file else name.split("_")[0]
            for name in ("text_column_name", "label_column_name")
        }
        self.say("cleaning …", "note")
        self.panel.worker.ask(
            "clean",
            self.for_these_rows(lambda answer: self.use_cleaned(key, answer)),
            file=self.source_file if key == "train_file" else s.test_file,
            folder=str(experiments_dir(self.panel.runs_dir) / "data"),
            arguments=names | keys | ({"train": self.source_file} if key == "test_file" else {}),
        )

    @guarded
    def use_cleaned(self, key: str, answer: dict) -> None:
        "Use the cleaned copy from now on"
        if "error" in answer:
            return self.say(answer["error"])
        self.note = f"{'; '.join(answer['log'])}. The file that you brought stays as it is."
        self.panel.change(**{key: answer["file"]})

    def to_html(self) -> Markup:
        found = Markup("").join(Markup("<div>{}</div>").format(finding_html(f)) for f in self.findings or [])
        return self.message_html() + self.rows_html() + found

    def message_html(self) -> Markup:
        "Return the line at the top"
        return Markup(self.message.value)


def finding_html(
    finding: dict,  # of `examine`
) -> Markup:
    "Return what was found, how often, and examples"
    section = finding_section(finding)
    parts = Markup("").join(section.parts)
    return Markup('<div class="ftkit-finding"><b>{}</b>{}</div>').format(format_cell(section.title), parts)


def parse_fix(
    fix: str,  # of a finding: a sentence with a call of `clean` in it, perhaps
) -> tuple[str, dict] | None:
    "Return which file `clean(…)` mends, train_file or test_file, and its arguments. None if a person has to decide"
    for name, key in (("clean(rows,", "train_file"), ("clean(test_rows,", "test_file")):
        start = fix.find(name)
        for end in (i + 1 for i, sign in enumerate(fix) if start >= 0 and sign == ")" and i > start):
            try:
                call = ast.parse(fix[start:end], mode="eval").body
                keys = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg != "train"}
            except (SyntaxError, ValueError):
                continue
            return (key, keys) if keys and "Ellipsis" not in repr(keys) else None
    return None
