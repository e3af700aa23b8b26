"""Write README.md from nbs/index.ipynb. Nothing is executed.

    .venv/bin/python docs/readme.py

Badges are kept, links relative to nbs/ become relative to the top, pictures in outputs go to docs/readme_files/.
"""

import posixpath
import re
import shutil
from base64 import b64decode

from notebooks import NOTEBOOKS, ROOT, change_outside_fences, read_visible, split_directives

PICTURES = ROOT / "docs" / "readme_files"
FIRST_LINE = "<!-- Made from nbs/index.ipynb by docs/readme.py: edit the notebook, not this file. -->"


def main():
    "Write README.md and its pictures anew"
    shutil.rmtree(PICTURES, ignore_errors=True)
    blocks = [FIRST_LINE]
    for cell in read_visible(NOTEBOOKS / "index.ipynb").cells:
        if cell.cell_type == "markdown":
            blocks.append(change_outside_fences(rebase_links, cell.source))
        else:
            blocks += render_cell(cell)
    (ROOT / "README.md").write_text("\n\n".join(block.strip("\n") for block in blocks) + "\n", encoding="utf-8")


def rebase_links(text: str) -> str:
    "Return Markdown of nbs/ with relative links and pictures that work from README.md"
    return re.sub(r"(?<=\]\()(?![a-z]+:|[#/])([^)\s]+)", lambda match: posixpath.normpath(f"nbs/{match[1]}"), text)


def render_cell(cell) -> list[str]:
    "Return the code of a code cell as a fence, followed by its outputs"
    source, directives = split_directives(cell.source)
    if directives.get("include") == "false":
        return []
    shown = source.strip() and directives.get("echo") != "false"
    return ([fence(source, "python")] if shown else []) + [
        block for output in cell.outputs if (block := render_output(output))
    ]


def fence(text: str, language: str) -> str:
    "Return a fenced block"
    return f"```{language}\n{text.strip()}\n```"


def render_output(output) -> str:
    "Return an output as Markdown, in the richest form that GitHub shows"
    if output.output_type == "stream":
        return fence("".join(output.text), "text")
    data = {
        kind: content if isinstance(content, str) else "".join(content)
        for kind, content in output.get("data", {}).items()
    }
    if "image/png" in data:
        return save_picture(data["image/png"], output.get("metadata", {}).get("image/png", {}))
    if "text/markdown" in data:
        return data["text/markdown"]
    if "text/html" in data:
        return re.sub(r"<style.*?</style>\s*", "", data["text/html"], flags=re.DOTALL)
    return fence(data["text/plain"], "text") if "text/plain" in data else ""


def save_picture(
    content: str,  # a PNG in base 64
    metadata: dict,  # of the output: `alt`, `width`
) -> str:
    "Save a picture and return the tag that shows it"
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / f"{len(list(PICTURES.iterdir())) + 1}.png"
    path.write_bytes(b64decode(content))
    width = f' width="{metadata["width"]}"' if "width" in metadata else ""
    return f'<img src="{path.relative_to(ROOT)}" alt="{metadata.get("alt", "output")}"{width}>'


if __name__ == "__main__":
    main()
