"""Turn the notebooks into the pages that Sphinx reads: `nbs/*.ipynb` -> `_site_src/`.

    .venv/bin/python docs/stage.py
    .venv/bin/sphinx-build -q -W -b html -c docs _site_src _site

A page keeps its notebook's name; pages without code are `docs/*.md`. The entry of an exported name becomes an autodoc
directive; modules that no notebook exports get pages of their own, listed on `api`. It takes a second and executes,
imports and downloads nothing.
"""

import ast
import re
import shutil
from pathlib import Path

from fastcore.nbio import mk_cell, write_nb
from glossary import link_terms, read_terms
from notebooks import (
    NOTEBOOKS,
    PROJECT,
    REPOSITORY,
    ROOT,
    change_outside_fences,
    find_exported_module,
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
}


def main():
    "Write all pages anew"
    shutil.rmtree(PAGES, ignore_errors=True)
    (PAGES / "api").mkdir(parents=True)
    for file in (ROOT / "docs" / "_static" / "colab-badge.svg", *(ROOT / "docs").glob("*.md")):
        shutil.copy(file, PAGES)
    if (NOTEBOOKS / "images").is_dir():
        shutil.copytree(NOTEBOOKS / "images", PAGES / "images")
    paths = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if path.name[0] not in "._"]
    lessons = {module: path.stem for path in paths if (module := find_exported_module(path))}
    for path in paths:
        notebook = make_page(path)
        if path.stem == "index":
            notebook.cells.append(mk_cell(make_navigation([path.stem for path in paths]), "markdown"))
        number_lines(notebook)
        write_nb(notebook, PAGES / path.name)
    write_plumbing(lessons)
    write_redirects(lessons)
    print(f"{PAGES.name}: {len(paths)} notebooks, {len(list((PAGES / 'api').iterdir()))} modules without one")


def make_page(
    path: Path,  # a notebook
):
    "Return the notebook as MyST-NB reads it"
    notebook = read_visible(path)
    module = find_exported_module(path)
    names = [name for cell in notebook.cells if (name := find_shown_name(cell))]
    cells = []
    for cell in notebook.cells:
        if name := find_shown_name(cell):
            cells.append(mk_cell(make_entry(module, name, names), "markdown"))
        elif cell.cell_type == "markdown":
            cell.source = change_outside_fences(adapt_prose, cell.source)
            cells.append(cell)
        elif set_display(cell):
            cells.append(cell)
    notebook.cells = cells
    if path.stem[:1].isdigit():
        link_prose(cells)
    return notebook


def link_prose(
    cells: list,  # of a lesson
) -> None:
    "Link each term of the glossary at its first use on the page"
    prose = [cell for cell in cells if cell.cell_type == "markdown" and not cell.source.startswith("```{eval-rst}")]
    for cell, text in zip(prose, link_terms([cell.source for cell in prose], read_terms())):
        cell.source = text


def number_lines(
    notebook,  # a page
) -> None:
    """Give each cell the lines from 100 times its number on: a warning about line 402 is about cell 4.

    MyST-NB alone counts 10,000 lines a cell, and MyST puts as many blank lines in front of each autodoc directive.
    They would take most of the time of a build.
    """
    notebook.metadata["source_map"] = [100 * number for number in range(len(notebook.cells))]


def find_shown_name(cell) -> str | None:
    "Return the name that the cell documents with `show_doc`, or None"
    found = re.match(r"show_doc\(\s*([\w.]+)", cell.source) if cell.cell_type == "code" else None
    return found[1] if found else None


def make_entry(
    module: str,  # that defines the name
    name: str,  # `function`, `Class` or `Class.method`
    names: list[str],  # all that have entries on this page
) -> str:
    "Return the autodoc directive of an exported name"
    if "." in name:
        return wrap_rst([f".. automethod:: {module}.{name}"])
    if not name[0].isupper():
        return wrap_rst([f".. autofunction:: {module}.{name}"])
    patched = [other.removeprefix(f"{name}.") for other in names if other.startswith(f"{name}.")]
    exclude = [f"   :exclude-members: {', '.join(patched)}"] if patched else []
    return wrap_rst([f".. autoclass:: {module}.{name}", "   :members:", *exclude])


def wrap_rst(lines: list[str]) -> str:
    "Return lines of reStructuredText as a block for a page of Markdown"
    return "\n".join(["```{eval-rst}", *lines, "```"])


def set_display(cell) -> bool:
    "Turn the directives of a code cell into MyST-NB's tags. Return whether there is anything left to show"
    cell.source, directives = split_directives(cell.source)
    tags = [tag for directive, tag in CELL_TAGS.items() if directive in directives.items()]
    folded = cell.metadata.get("jupyter", {})  # in JupyterLab, too
    if folded.get("source_hidden"):
        tags.append("hide-cell" if folded.get("outputs_hidden") else "hide-input")
    if tags:
        cell.metadata["tags"] = tags
    pictures = [output.get("metadata", {}).get("image/png", {}) for output in cell.outputs]
    alts = [directives.get("fig-alt"), *(picture.get("alt") for picture in pictures)]
    if any(alts):
        cell.metadata["mystnb"] = {"image": {"alt": next(filter(None, alts))}}
    return bool(cell.source.strip() or cell.outputs)


def adapt_prose(text: str) -> str:
    "Return Markdown for Jupyter as Markdown for the site: lead, notes, badges, links outside of nbs/"
    text = re.sub(r"\A# (.+)\n\s*((?:> (?!\*\*).*\n?)+)", format_lead, text)
    text = re.sub(
        r"^> \*\*(Note|Tip|Warning|Important|Caution)(?::\*\*|\*\*:)[ ]*(.*(?:\n>.*)*)",
        format_admonition,
        text,
        flags=re.MULTILINE,
    )
    text = text.replace(COLAB_BADGE, "colab-badge.svg")
    text = re.sub(r"!\[([^\]]*)\]\(https?:[^)]+\)", r"\1", text)
    text = re.sub(r"(?<=\]\()\.\./docs/(?=[\w-]+\.md\))", "", text)  # a page of the site
    return re.sub(r"(?<=\]\()\.\./", f"{REPOSITORY}/blob/main/", text)


def format_lead(match: re.Match) -> str:
    "Return a title and the quote below it as title and lead"
    return f"# {match[1]}\n\n{{.lead}}\n{unquote(match[2])}\n\n"


def format_admonition(match: re.Match) -> str:
    "Return `> **Note:** text` as an admonition"
    return f":::{{{match[1].lower()}}}\n{unquote(match[2])}\n:::"


def unquote(text: str) -> str:
    "Return the lines of a block quote without their marks"
    return re.sub(r"^> ?", "", text, flags=re.MULTILINE).strip()


def make_navigation(
    stems: list[str],  # the names of the notebooks
) -> str:
    "Return the tables of contents for the left side of every page"
    numbers = {stem: int(found[0]) for stem in stems if (found := re.match(r"\d+", stem))}
    steps = [stem for stem, number in numbers.items() if number <= LAST_STEP]
    beyond = [stem for stem, number in numbers.items() if number > LAST_STEP]
    plain = [stem for stem in stems if stem not in numbers and stem != "index"]
    reference = [*(path.stem for path in sorted((ROOT / "docs").glob("*.md"))), "api"]
    sections = {"Without code": plain, "The seven steps": steps, "Beyond": beyond, "Reference": reference}
    return "\n\n".join(make_toctree(caption, pages) for caption, pages in sections.items() if pages)


def make_toctree(
    caption: str,  # "" for none
    pages: list[str],  # in their order
) -> str:
    "Return a table of contents that shows in the navigation only"
    return "\n".join(["```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), "", *pages, "```"])


def write_plumbing(
    lessons: dict[str, str],  # exported module -> its notebook
):
    "Write a page for each package and each module that no notebook exports, and `api.md`, which lists them"
    modules = {name: text for name, text in list_modules().items() if name not in lessons}
    pages = {}  # page -> its modules: `files` -> `ftkit.files`, `ftkit.files.tables`
    for name in modules:
        pages.setdefault(name.split(".")[1], []).append(name)
    for page, names in pages.items():
        entries = [make_module_entry(name) for name in names]
        title = [] if names[0].count(".") == 1 else [f"# {PROJECT['name']}.{page}"]
        text = "\n\n".join([*title, *entries])
        (PAGES / "api" / f"{page}.md").write_text(f"{text}\n", encoding="utf-8")
    rows = [f"| [`{name}`](#{name}) | {text} |" for name, text in modules.items()]
    taught = [f"| [`{module}`]({stem}.ipynb) | `nbs/{stem}.ipynb` |" for module, stem in lessons.items()]
    parts = [
        "# Plumbing\n\n{.lead}\nThe modules without a lesson: settings, files, folders, the command.",
        "\n".join(["| module | what it is |", "|---|---|", *rows]),
        "The other modules are documented in their lessons:",
        "\n".join(["| module | notebook |", "|---|---|", *taught]),
        "The {ref}`index <genindex>` lists every name.",
        make_toctree("", [f"api/{page}" for page in pages]),
    ]
    (PAGES / "api.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def make_module_entry(
    name: str,  # of a package or module
) -> str:
    "Return the heading and the autodoc directive, which is a target for links"
    heading = "#" if name.count(".") == 1 else "##"
    return f"{heading} {name}\n\n" + wrap_rst([f".. automodule:: {name}", "   :members:"])


def list_modules() -> dict[str, str]:
    """Return public module -> the first sentence of its docstring, escaped for a table. Skips modules without one.

    A package within a package (`ftkit.files.delimited`) stands for its modules.
    """
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if name.count(".") > 2 or name == PROJECT["name"]:
            continue
        if text and not any(part.startswith("_") for part in name.split(".")):
            found[name] = re.split(r"(?<=\.)\s|\n\n", text)[0].rstrip(".").replace("\n", " ").replace("|", r"\|")
    return found


def write_redirects(
    lessons: dict[str, str],  # exported module -> its notebook
):
    "Redirect `data.html#load_data`, to which nbdev's own links point, to `03_data.html#ftkit.data.load_data`"
    folder = PAGES / "_redirects"
    folder.mkdir()
    for module, stem in lessons.items():
        name = module.partition(".")[2]
        script = f"location.replace('{stem}.html' + location.hash.replace('#', '#{module}.'))"
        link = f'<a href="{stem}.html">{module}</a>'
        html = f'<!doctype html><meta charset="utf-8"><title>{module}</title><script>{script}</script>{link}\n'
        (folder / f"{name}.html").write_text(html, encoding="utf-8")


if __name__ == "__main__":
    main()
