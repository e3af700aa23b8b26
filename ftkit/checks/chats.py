"""What a file of prompts and responses holds, before a model is trained to write: `ftkit check` on chats and pairs.

To add a check: a function that takes `Chats` and returns findings, and a row in `CHECKS`.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from ftkit.checks.columns import profile
from ftkit.checks.duplicates import normalise
from ftkit.checks.findings import Finding, Rows, show
from ftkit.errors import UserError
from ftkit.files.conversations import FORMS, Form, choose_form, prompt_of, response_of
from ftkit.files.rows import Table

MANY_ALIKE = 0.05  # share of the rows from which a response that comes again is reported
FEWEST_ALIKE = 3  # rows that have it
ENDS = re.compile(r"[.!?…:;。！？।\"'”’»)\]}>*`~]\s*$")  # of a finished text
OPENING = 40  # characters of a prompt that a response repeats


@dataclass
class Chats:
    "Prompts and responses that are examined, as they were read"

    tables: dict[str, Table]  # by split; `test` may be missing
    form: Form  # of the training rows

    @cached_property
    def found(self) -> dict[str, tuple[list, list[str]]]:
        "Return by split the conversation of each row, None if there is none, and what is wrong with rows"
        return {split: read_each(table, self.form) for split, table in self.tables.items()}

    @cached_property
    def rows(self) -> Rows:
        "Return prompts and responses as texts and labels, for the checks that classification has too"
        tables = {}
        for split, (conversations, _) in self.found.items():
            prompts = [None if m is None else prompt_of(m) or response_of(m) for m in conversations]
            responses = [None if m is None else response_of(m) for m in conversations]
            tables[split] = replace(self.tables[split], columns={"prompt": prompts, "response": responses})
        return Rows(tables, ["prompt"], "response")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        "Return prompt and response of the training rows that have both"
        return [(prompt_of(m), response_of(m)) for m in self.found["train"][0] if m]


def find_chats(
    table: Table,  # the training rows
    text_column_name: str | None = None,  # as given
    label_column_name: str | None = None,  # as given
) -> Form | None:
    "Return the form of rows that are prompts and responses; None for labelled texts and plain text"
    try:
        form = choose_form(table, text_column_name, label_column_name)
    except UserError:
        return None
    if form.name == "pair":
        seen = profile(table.columns[form.response])
        return None if seen.is_label or not seen.is_text else form
    return form if form.name != "text" else None


def read_each(
    table: Table,  # the rows of one split
    form: Form,  # of the training rows
) -> tuple[list, list[str]]:
    "Return the conversation of each row, None if there is none, and what is wrong with each row that has a fault"
    read, found, problems = FORMS[form.name][1](table, form), [], []
    for row in range(len(table)):
        try:
            found.append(read(row))
        except UserError as e:
            found.append(None)
            problems.append(f"row {table.number(row)}: {e}")
    return found, problems


def check_turns(chats: Chats) -> list[Finding]:
    problems = [problem for _, found in chats.found.values() for problem in found]
    fix = "correct these rows: roles take turns, user first, and the last turn is the assistant's"
    return [Finding("rows that are no conversation", len(problems), show(problems), fix)] if problems else []


def check_missing(chats: Chats) -> list[Finding]:
    missing = sum(m is None for m in chats.found["train"][0]) - len(chats.found["train"][1])
    return [Finding("rows without a prompt or a response; they are dropped", missing)] if missing else []


def check_repeated_prompt(chats: Chats) -> list[Finding]:
    found = [response for prompt, response in chats.pairs if repeats(prompt, response)]
    what = "responses that begin with their prompt: the model learns to repeat it"
    return [Finding(what, len(found), show(found), "take the prompt out of the response")] if found else []


def repeats(prompt: str, response: str) -> bool:
    "Return whether a response begins with its prompt"
    start = normalise(prompt.strip())[:OPENING]
    return len(start) >= OPENING / 2 and normalise(response.strip()).startswith(start)


def check_cut(chats: Chats) -> list[Finding]:
    responses = [response for _, response in chats.pairs]
    ended = sum(bool(ENDS.search(response)) for response in responses)
    if not responses or ended < 0.5 * len(responses):  # responses that are no sentences, such as titles or code
        return []
    cut = [r for r in responses if not ENDS.search(r) and len(r.split()) > 10]
    what = "responses that end in the middle of a sentence: the model learns to stop there"
    return [Finding(what, len(cut), show(r[-60:] for r in cut), "export the full responses again")] if cut else []


def check_same_response(chats: Chats) -> list[Finding]:
    counts = Counter(normalise(response) for _, response in chats.pairs)
    least = max(FEWEST_ALIKE, MANY_ALIKE * len(chats.pairs))
    many = {text: n for text, n in counts.items() if n >= least}
    if not many:
        return []
    shown = [f"{text} ({n} rows)" for text, n in sorted(many.items(), key=lambda item: -item[1])]
    what = "responses that many prompts share: the model learns to give them to any prompt"
    return [Finding(what, sum(many.values()), show(shown), "keep a few of each, or vary them")]


def check_conflicting(chats: Chats) -> list[Finding]:
    answers = {}
    for prompt, response in chats.pairs:
        answers.setdefault(normalise(prompt), set()).add(normalise(response))
    found = [prompt for prompt, texts in answers.items() if len(texts) > 1 and prompt]
    what = "prompts that have several different responses"
    return (
        [Finding(what, len(found), show(found), "keep the best one, if the prompt does not ask for variety")]
        if found
        else []
    )


def check_length(chats: Chats) -> list[Finding]:
    words = sorted(len(response.split()) for _, response in chats.pairs)
    if len(words) < 20 or words[-1] < 20 * max(1, words[len(words) // 2]):
        return []
    long = [r for _, r in chats.pairs if len(r.split()) >= 20 * max(1, words[len(words) // 2])]
    what = f"responses that are 20 times as long as the one in the middle ({words[len(words) // 2]} words)"
    return [Finding(what, len(long), show(long), "look at them: max_seq_length may cut them")]


CHECKS: dict[str, Callable[[Chats], list[Finding]]] = {
    "turns": check_turns,
    "missing": check_missing,
    "prompts in responses": check_repeated_prompt,
    "cut responses": check_cut,
    "shared responses": check_same_response,
    "several responses": check_conflicting,
    "length": check_length,
}
