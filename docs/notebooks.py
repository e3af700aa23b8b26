"""The notebooks as a reader sees them, for the site and README.md.

nbdev's own processors do the work: they drop what `#| hide` and `#| export` mark, and put `show_doc(name)` after the
cell that exports `name`. Quarto is not needed, and no cell is executed: the outputs are committed.
"""

import re
import tomllib
from pathlib import Path

from fastcore.nbio import read_nb
from nbdev.process import NBProcessor
from nbdev.processors import (
    add_show_docs,
    clean_magics,
    filter_stream_,
    hide_,
    hide_line,
    mv_exports,
    populate_language,
    rm_export,
    rm_header_dash,
    strip_ansi,
    strip_hidden_metadata,
)

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "nbs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"].rstrip("/")
WIDGET = "application/vnd.jupyter.widget-view+json"
PROCESSORS = [
    populate_language,
    add_show_docs,
    strip_ansi,
    hide_line,
    filter_stream_,
    rm_header_dash,
    rm_export,
    clean_magics,
    hide_,
    mv_exports,
    strip_hidden_metadata,
]


def read_visible(
    path: Path,  # a notebook
):
    "Read a notebook without what is not for readers. A cell keeps its directives as lines `#| key: value`"
    notebook = read_nb(path)
    NBProcessor(nb=notebook, procs=PROCESSORS, rm_directives="quarto").process()
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type != "raw"]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.get("outputs", []) if not drop_widget_view(output)]
    return notebook


def drop_widget_view(output) -> bool:
    """Drop the widget view of an output: it needs a running kernel.

    Return whether nothing but its plain text is left, so that the output can be dropped.
    """
    data = output.get("data", {})
    return data.pop(WIDGET, None) is not None and set(data) <= {"text/plain"}


def find_exported_module(
    path: Path,  # a notebook
) -> str | None:
    "Return the full name of the module that `#| default_exp` names, or None"
    sources = (cell.source for cell in read_nb(path).cells if cell.cell_type == "code")
    found = re.search(r"^#\|\s*default_exp\s+(\S+)", "\n".join(sources), re.MULTILINE)
    return f"{PROJECT['name']}.{found[1]}" if found else None


def split_directives(
    source: str,  # of a code cell
) -> tuple[str, dict[str, str]]:
    "Return the code and the directives of a cell"
    pattern = r"^#\|\s*([\w-]+)\s*:?\s*(.*?)\s*$\n?"
    directives = dict(re.findall(pattern, source, re.MULTILINE))
    return re.sub(pattern, "", source, flags=re.MULTILINE).strip("\n"), directives


def change_outside_fences(
    change,  # a function from text to text
    source: str,  # Markdown
) -> str:
    "Return the Markdown with `change` applied to all but fenced code"
    parts = re.split(r"(^(?:```|~~~).*?^(?:```|~~~)[ \t]*$)", source, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [change(part) for part in parts[::2]]
    return "".join(parts)
