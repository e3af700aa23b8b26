"""Write docs/what_to_do_when.md from the table in `ftkit.views.advice`.

.venv/bin/python docs/advice.py
"""

import re

from notebooks import ROOT

from ftkit.settings import KEYS
from ftkit.views.advice import SYMPTOMS

FILE = ROOT / "docs" / "what_to_do_when.md"
PAGE = """<!-- Made from ftkit/views/advice.py by docs/advice.py: edit the table there, not this file. -->

# What to do when

{{.lead}}
What you see, the key to change, and the value to try first.

{table}

ftkit looks for most of these itself. `ftkit train` prints at most three lines below the verdicts, and the report and
the panel show them too, under *What to try next*. Nothing is printed if nothing is known to help. A setting is never
advised from test rows: they say only whether there are enough of them, and which rung is as good.

## How each is recognised, and why the change helps

{signs}

`ln K` is the natural logarithm of the number of labels: the loss of a model that gives each of K labels the same
probability. The lessons end with tables of their own, for what only they show.
"""


def main():
    "Write the page anew"
    FILE.write_text(make_page(), encoding="utf-8")


def make_page() -> str:
    "Return the page"
    keys = [", ".join(f"`{key}`" if key in KEYS else key for key in s.key.split(", ")) for s in SYMPTOMS]
    rows = [(s.name, key, mark_code(s.first)) for s, key in zip(SYMPTOMS, keys)]
    signs = [(s.name, mark_code(s.sign), mark_code(s.why)) for s in SYMPTOMS]
    heads = ("you see", "change", "try first"), ("you see", "a run shows it if", "why the change helps")
    return PAGE.format(table=make_table(heads[0], rows), signs=make_table(heads[1], signs))


def make_table(
    head: tuple[str, ...],  # the columns
    rows: list[tuple[str, ...]],  # their texts
) -> str:
    "Return a table in Markdown"
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mark_code(
    text: str,  # of a cell
) -> str:
    "Return the text with keys, settings and commands as code"
    names = sorted((name for name in KEYS if "_" in name), key=len, reverse=True)
    assigned = rf"(?:{'|'.join(KEYS)}) = (?:[\w.]*\w)"
    command = r"ftkit (?:runs|serve|forecast|check)(?: (?:RUN|FILE|--\w+))*"
    return re.sub(rf"\b(?:{assigned}|{command}|{'|'.join(names)})\b", r"`\g<0>`", text)


if __name__ == "__main__":
    main()
