"""Write README.md from nbs/index.ipynb. Nothing is executed.

    .venv/bin/python docs/readme.py

Badges stay, links that count from nbs/ count from the top, pictures among the outputs go to docs/readme_files/.
"""

import posixpath
import re
import shutil
from base64 import b64decode

from notebooks import NOTEBOOKS, ROOT, outside_fences, read_visible, split_directives

PICTURES = ROOT / "docs" / "readme_files"
FIRST_LINE = "<!-- Made from nbs/index.ipynb by docs/readme.py: edit the notebook, not this file. -->"


def main():
    "Write README.md and its pictures anew"
    shutil.rmtree(PICTURES, ignore_errors=True)
    blocks = [FIRST_LINE]
    for cell in read_visible(NOTEBOOKS / "index.ipynb").cells:
        if cell.cell_type == "markdown":
            blocks.append(outside_fences(from_top, cell.source))
        else:
            blocks += code_blocks(cell)
    (ROOT / "README.md").write_text("\n\n".join(block.strip("\n") for block in blocks) + "\n", encoding="utf-8")


def from_top(text: str) -> str:
    "Markdown in nbs/ as Markdown beside README.md: relative links and pictures"
    return re.sub(r"(?<=\]\()(?![a-z]+:|[#/])([^)\s]+)", lambda match: posixpath.normpath(f"nbs/{match[1]}"), text)


def code_blocks(cell) -> list[str]:
    "The code of a cell as a fence and its outputs below it"
    source, directives = split_directives(cell.source)
    if directives.get("include") == "false":
        return []
    shown = source.strip() and directives.get("echo") != "false"
    return ([fence(source, "python")] if shown else []) + [
        block for output in cell.outputs if (block := output_block(output))
    ]


def fence(text: str, language: str) -> str:
    "A fenced block"
    return f"```{language}\n{text.strip()}\n```"


def output_block(output) -> str:
    "An output as Markdown: the richest form that GitHub shows"
    if output.output_type == "stream":
        return fence("".join(output.text), "text")
    data = {
        kind: content if isinstance(content, str) else "".join(content)
        for kind, content in output.get("data", {}).items()
    }
    if "image/png" in data:
        return picture(data["image/png"], output.get("metadata", {}).get("image/png", {}))
    if "text/markdown" in data:
        return data["text/markdown"]
    if "text/html" in data:
        return re.sub(r"<style.*?</style>\s*", "", data["text/html"], flags=re.DOTALL)
    return fence(data["text/plain"], "text") if "text/plain" in data else ""


def picture(
    content: str,  # a PNG in base 64
    metadata: dict,  # of the output: `alt`, `width`
) -> str:
    "Save a picture and point at it"
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / f"{len(list(PICTURES.iterdir())) + 1}.png"
    path.write_bytes(b64decode(content))
    width = f' width="{metadata["width"]}"' if "width" in metadata else ""
    return f'<img src="{path.relative_to(ROOT)}" alt="{metadata.get("alt", "output")}"{width}>'


if __name__ == "__main__":
    main()
