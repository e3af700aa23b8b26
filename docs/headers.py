"""Give every notebook its Open-in-Colab badge and its install cell, made from the repository's address in pyproject.toml.

    .venv/bin/python docs/headers.py

The badge is the second cell of a notebook, the install cell the third. The install cell does nothing outside Colab.
"""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell
from notebooks import NOTEBOOKS, REPOSITORY

BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/{repository}/blob/main/nbs/{name})"
INSTALL = '''#| include: false
import sys

if "google.colab" in sys.modules:  # Colab brings torch and transformers along; nothing happens anywhere else
    %pip install -q "ftkit[starter] @ git+{address}"'''


def header(path: Path) -> tuple[str, str]:
    "Badge and install cell of a notebook"
    return BADGE.format(repository=REPOSITORY.removeprefix("https://github.com/"), name=path.name), INSTALL.format(
        address=REPOSITORY
    )


def with_header(path: Path):
    "The notebook with its header brought up to date"
    notebook = nbformat.read(path, 4)
    badge, install = header(path)
    cells = [c for c in notebook.cells if not c.source.startswith(("[![Open in Colab]", INSTALL.split("\n\n")[0]))]
    top = [new_markdown_cell(badge, id="badge"), new_code_cell(install, id="install")]
    notebook.cells = cells[:1] + top + cells[1:]
    return notebook


if __name__ == "__main__":
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = with_header(path)
        if notebook != nbformat.read(path, 4):
            nbformat.write(notebook, path)
