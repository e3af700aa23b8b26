"""Write the Open-in-Colab badge and the install cell of every notebook, from the repository's URL in pyproject.toml.

    .venv/bin/python docs/headers.py

The badge is the second cell of a notebook, the install cell the third. The install cell does nothing outside Colab.
"""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell
from notebooks import NOTEBOOKS, REPOSITORY

COLAB = "https://colab.research.google.com"
BADGE = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/github/{{repository}}/blob/main/nbs/{{name}})"
INSTALL = '''#| include: false
import sys

if "google.colab" in sys.modules:  # Colab brings torch and transformers along; nothing happens anywhere else
    %pip install -q "ftkit[{extras}] @ git+{address}"'''
EXTRAS = {"14_serving.ipynb": "starter,serve,shrink"}  # of a notebook, if it needs more than the starter


def make_header(path: Path) -> tuple[str, str]:
    "Return the badge and the install cell of a notebook"
    badge = BADGE.format(repository=REPOSITORY.removeprefix("https://github.com/"), name=path.name)
    return badge, INSTALL.format(address=REPOSITORY, extras=EXTRAS.get(path.name, "starter"))


def add_header(path: Path):
    "Return the notebook with its current header"
    notebook = nbformat.read(path, 4)
    badge, install = make_header(path)
    cells = [c for c in notebook.cells if not c.source.startswith(("[![Open in Colab]", INSTALL.split("\n\n")[0]))]
    top = [new_markdown_cell(badge, id="badge"), new_code_cell(install, id="install")]
    notebook.cells = cells[:1] + top + cells[1:]
    return notebook


if __name__ == "__main__":
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = add_header(path)
        if notebook != nbformat.read(path, 4):
            nbformat.write(notebook, path)
