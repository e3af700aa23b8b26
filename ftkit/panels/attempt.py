"Try it: a sentence, and what the model says to it before and after its training."

import shlex

import ipywidgets as widgets
from markupsafe import Markup

from ftkit.errors import UserError
from ftkit.files.feedback import add_feedback, feedback_path, spell_answer
from ftkit.panels.controls import LABEL
from ftkit.panels.views import button, describe_fault, html, line, row
from ftkit.views.html import format_cell, shorten


class Attempt:
    "A sentence, and what the model says to it before and after its training"

    def __init__(
        self,
        panel,  # the `Panel` whose run answers
    ):
        self.panel, self.answer = panel, None
        self.text = widgets.Text(
            description="Try it",
            placeholder="type a sentence",
            style={"description_width": LABEL},
            continuous_update=True,
            layout=widgets.Layout(width="auto", flex="1 1 20em", min_width="16em"),
        )
        self.shown = html("")
        self.button = button("Try", self.ask, "primary", "Ask the model, before and after its training")
        self.good = button("Good", lambda: self.judge("good"), tooltip="keep this answer for the next training")
        self.bad = button("Bad", lambda: self.judge("bad"), tooltip="note that it is wrong, with your correction")
        self.corrected = widgets.Text(
            description="Correction",
            placeholder="what the answer should have been",
            style={"description_width": LABEL},
            layout=widgets.Layout(width="auto", flex="1 1 20em", min_width="16em"),
        )
        self.kept = html("")
        self.judging = widgets.VBox([row(self.good, self.corrected, self.bad), self.kept])
        self.judging.layout.display = "none"
        title = html(Markup("<h4>Try it</h4>"))
        self.widget = widgets.VBox([title, row(self.text, self.button), self.shown, self.judging])

    def ask(self) -> None:
        "Ask for the answers"
        with self.panel.lock:
            if not self.text.value.strip():
                self.shown.value = line("type a sentence first.")
                return
            self.shown.value = line("asking the model …", "note")
            asked = (self.panel.folder, self.text.value)
            self.panel.wake()
            show = lambda answer: self.show(asked, answer)
            self.panel.worker.ask("answer", show, run=str(self.panel.folder.absolute()), texts=[self.text.value])

    def show(
        self,
        asked: tuple,  # folder of the run and sentence
        answer: dict,  # of the worker
    ) -> None:
        "Show the answers, unless another run is shown by now"
        with self.panel.lock:
            if asked[0] != self.panel.folder:
                return
            try:
                self.shown.value = line(answer["error"]) if "error" in answer else answer_html(answer)
                self.answer = None if "error" in answer else (asked[1], answer)
                answered = self.answer is not None and "error" not in answer["after"][0]
                self.judging.layout.display = None if answered else "none"
                self.corrected.value, self.kept.value = "", ""
            except Exception as e:
                self.shown.value = line(describe_fault(e))
            self.panel.update_static()

    def clear(self) -> None:
        "Forget the answers of another run"
        self.answer, self.shown.value, self.kept.value = None, "", ""
        self.judging.layout.display = "none"

    def judge(
        self,
        mark: str,  # good or bad
    ) -> None:
        "Keep the answer with a mark, for the next training"
        with self.panel.lock:
            if not self.answer:
                return
            text, answer = self.answer
            said, run = spell_answer(answer["after"][0]), self.panel.folder
            file = feedback_path(run)
            try:
                add_feedback(file, text, said, mark, self.corrected.value.strip(), run.name)
            except UserError as e:
                self.kept.value = line(str(e))
                return
            command = f"ftkit train --continue_from {shlex.quote(run.name)} --add_feedback {shlex.quote(str(file))}"
            self.kept.value = line(f"kept in {file}. To train with it: {command}", "note")

    def to_html(self) -> Markup:
        "Return the last answers"
        if not self.answer:
            return Markup("")
        text, answer = self.answer
        return Markup("<h4>Try it: {}</h4>").format(shorten(text)) + answer_html(answer)


def answer_html(
    answer: dict,  # of the worker
) -> Markup:
    "Return label and probabilities, before and after, and the tokens"
    found = Markup("")
    for before, after, tokens in zip(answer["before"], answer["after"], answer["tokens"]):
        if "error" in after:
            return line(after["error"])
        chips = Markup("").join(Markup("<span>{}</span>").format(shorten(t, limit=40)) for t in tokens)
        rows = Markup("").join(
            Markup("<tr><th>{}</th><td>{}</td><td>{}</td></tr>").format(shorten(name, limit=60), old, new)
            for name, old, new in compare_answers(before, after)
        )
        found += Markup(
            '<table class="ftkit ftkit-try mathjax_ignore"><thead><tr><th>label</th><th>before training</th>'
            '<th>after training</th></tr></thead><tbody>{}</tbody></table><div class="ftkit-tokens">'
            "<b>{} tokens</b> {}</div>"
        ).format(rows, len(tokens), chips)
    return found


def compare_answers(
    before: dict,  # what the model said before its training
    after: dict,  # and after it
) -> list[tuple]:
    "Return (name, before, after): the probability of each label, or for other tasks each part of the answer"
    if "scores" not in after:
        return [(name, format_cell(before.get(name)), format_cell(value)) for name, value in after.items()]
    chosen = after["labels"] if "labels" in after else [after["label"]]
    return [(name, bar(before["scores"][name]), bar(x, name in chosen)) for name, x in after["scores"].items()]


def bar(
    share: float,  # from 0 to 1
    strong: bool = False,  # it is the answer
) -> Markup:
    "Return a share as a bar with its number"
    return Markup('<span class="ftkit-bar"><i style="width:{:.0f}%"></i></span> {}{:.2f}').format(
        100 * share, "✓ " if strong else "", share
    )
