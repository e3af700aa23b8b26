"""Turn the notebooks into the pages that Sphinx reads: `nbs/*.ipynb` -> `_site_src/`.

    .venv/bin/python docs/stage.py
    .venv/bin/sphinx-build -q -W -b html -c docs _site_src _site

A page keeps its notebook's name. The entry of an exported name becomes an autodoc directive; modules that no notebook exports
get pages of their own, listed on `api`. Takes a second; nothing is executed, nothing imported, nothing fetched.
"""

import ast
import re
import shutil
from pathlib import Path

from fastcore.nbio import mk_cell, write_nb
from notebooks import (
    NOTEBOOKS,
    PROJECT,
    REPOSITORY,
    ROOT,
    exported_module,
    outside_fences,
    read_visible,
    split_directives,
)

PACKAGE = ROOT / PROJECT["name"]
PAGES = ROOT / "_site_src"
LAST_STEP = 7
COLAB_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
CELL_TAGS = {
    ("include", "false"): "remove-cell",
    ("echo", "false"): "remove-input",
    ("output", "false"): "remove-output",
    ("code-fold", "true"): "hide-input",
}


def main():
    "Write all pages anew"
    shutil.rmtree(PAGES, ignore_errors=True)
    (PAGES / "api").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "_static" / "colab-badge.svg", PAGES)
    if (NOTEBOOKS / "images").is_dir():
        shutil.copytree(NOTEBOOKS / "images", PAGES / "images")
    paths = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if path.name[0] not in "._"]
    lessons = {module: path.stem for path in paths if (module := exported_module(path))}
    for path in paths:
        notebook = page(path)
        if path.stem == "index":
            notebook.cells.append(mk_cell(navigation([path.stem for path in paths]), "markdown"))
        write_nb(notebook, PAGES / path.name)
    write_plumbing(lessons)
    write_redirects(lessons)
    print(f"{PAGES.name}: {len(paths)} notebooks, {len(list((PAGES / 'api').iterdir()))} modules without one")


def page(
    path: Path,  # a notebook
):
    "The notebook as MyST-NB reads it"
    notebook = read_visible(path)
    module = exported_module(path)
    names = [name for cell in notebook.cells if (name := shown_name(cell))]
    cells = []
    for cell in notebook.cells:
        if name := shown_name(cell):
            cells.append(mk_cell(entry(module, name, names), "markdown"))
        elif cell.cell_type == "markdown":
            cell.source = outside_fences(prose, cell.source)
            cells.append(cell)
        elif set_display(cell):
            cells.append(cell)
    notebook.cells = cells
    return notebook


def shown_name(cell) -> str | None:
    "The name whose entry in the documentation stands in the place of this cell"
    found = re.match(r"show_doc\(\s*([\w.]+)", cell.source) if cell.cell_type == "code" else None
    return found[1] if found else None


def entry(
    module: str,  # that defines the name
    name: str,  # `function`, `Class` or `Class.method`
    names: list[str],  # all that have entries on this page
) -> str:
    "The autodoc directive of an exported name"
    if "." in name:
        return eval_rst([f".. automethod:: {module}.{name}"])
    if not name[0].isupper():
        return eval_rst([f".. autofunction:: {module}.{name}"])
    patched = [other.removeprefix(f"{name}.") for other in names if other.startswith(f"{name}.")]
    exclude = [f"   :exclude-members: {', '.join(patched)}"] if patched else []
    return eval_rst([f".. autoclass:: {module}.{name}", "   :members:", *exclude])


def eval_rst(lines: list[str]) -> str:
    "reStructuredText inside a page of Markdown"
    return "\n".join(["```{eval-rst}", *lines, "```"])


def set_display(cell) -> bool:
    "Turn the directives of a code cell into MyST-NB's tags, and say whether there is anything left to show"
    cell.source, directives = split_directives(cell.source)
    tags = [tag for directive, tag in CELL_TAGS.items() if directive in directives.items()]
    if tags:
        cell.metadata["tags"] = tags
    pictures = [output.get("metadata", {}).get("image/png", {}) for output in cell.outputs]
    alts = [directives.get("fig-alt"), *(picture.get("alt") for picture in pictures)]
    if any(alts):
        cell.metadata["mystnb"] = {"image": {"alt": next(filter(None, alts))}}
    return bool(cell.source.strip() or cell.outputs)


def prose(text: str) -> str:
    "Markdown that reads well in Jupyter as Markdown that reads well here: lead, notes, badges, links out of nbs/"
    text = re.sub(r"\A# (.+)\n\s*((?:> (?!\*\*).*\n?)+)", lead, text)
    text = re.sub(
        r"^> \*\*(Note|Tip|Warning|Important|Caution)(?::\*\*|\*\*:)[ ]*(.*(?:\n>.*)*)",
        admonition,
        text,
        flags=re.MULTILINE,
    )
    text = text.replace(COLAB_BADGE, "colab-badge.svg")
    text = re.sub(r"!\[([^\]]*)\]\(https?:[^)]+\)", r"\1", text)
    return re.sub(r"(?<=\]\()\.\./", f"{REPOSITORY}/blob/main/", text)


def lead(match: re.Match) -> str:
    "A title and the quote below it as title and lead"
    return f"# {match[1]}\n\n{{.lead}}\n{unquoted(match[2])}\n\n"


def admonition(match: re.Match) -> str:
    "`> **Note:** text` as an admonition"
    return f":::{{{match[1].lower()}}}\n{unquoted(match[2])}\n:::"


def unquoted(text: str) -> str:
    "The lines of a block quote without their marks"
    return re.sub(r"^> ?", "", text, flags=re.MULTILINE).strip()


def navigation(
    stems: list[str],  # the names of the notebooks
) -> str:
    "What stands on the left of every page"
    numbers = {stem: int(found[0]) for stem in stems if (found := re.match(r"\d+", stem))}
    steps = [stem for stem, number in numbers.items() if number <= LAST_STEP]
    beyond = [stem for stem, number in numbers.items() if number > LAST_STEP]
    sections = {"The seven steps": steps, "Beyond": beyond, "Reference": ["api"]}
    return "\n\n".join(toctree(caption, pages) for caption, pages in sections.items() if pages)


def toctree(
    caption: str,  # "" for none
    pages: list[str],  # in their order
) -> str:
    "A table of contents that shows in the navigation only"
    return "\n".join(["```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), "", *pages, "```"])


def write_plumbing(
    lessons: dict[str, str],  # exported module -> its notebook
):
    "A page for each module that no notebook exports, and `api.md`, which lists them"
    plumbing = {name: text for name, text in documented_modules().items() if name not in lessons}
    pages = {name: f"api/{name.partition('.')[2]}" for name in plumbing}
    for name, target in pages.items():
        directive = eval_rst([f".. automodule:: {name}", "   :members:"])
        (PAGES / f"{target}.md").write_text(f"# {name}\n\n{directive}\n", encoding="utf-8")
    rows = [f"| [`{name}`]({pages[name]}.md) | {text} |" for name, text in plumbing.items()]
    taught = [f"| [`{module}`]({stem}.ipynb) | `nbs/{stem}.ipynb` |" for module, stem in lessons.items()]
    parts = [
        "# Plumbing\n\n{.lead}\nThe modules that carry no lesson: settings, files, folders, the command.",
        "\n".join(["| module | what it is |", "|---|---|", *rows]),
        "What a lesson explains is documented where it is explained:",
        "\n".join(["| module | notebook |", "|---|---|", *taught]),
        "Every name there is stands in the {ref}`index <genindex>`.",
        toctree("", list(pages.values())),
    ]
    (PAGES / "api.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def documented_modules() -> dict[str, str]:
    "The public modules of the package that have a docstring, with its first sentence as a cell of a table"
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if text and name != PROJECT["name"] and not any(part.startswith("_") for part in name.split(".")):
            found[name] = re.split(r"(?<=\.)\s|\n\n", text)[0].rstrip(".").replace("\n", " ").replace("|", r"\|")
    return found


def write_redirects(
    lessons: dict[str, str],  # exported module -> its notebook
):
    "`data.html#load_data`, which nbdev's own links ask for, leads to `03_data.html#ftkit.data.load_data`"
    folder = PAGES / "_redirects"
    folder.mkdir()
    for module, stem in lessons.items():
        name = module.partition(".")[2]
        script = f"location.replace('{stem}.html' + location.hash.replace('#', '#{module}.'))"
        html = f'<!doctype html><meta charset="utf-8"><title>{module}</title><script>{script}</script><a href="{stem}.html">{module}</a>\n'
        (folder / f"{name}.html").write_text(html, encoding="utf-8")


if __name__ == "__main__":
    main()
