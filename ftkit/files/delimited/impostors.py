"What is no delimited text although its name says so: a web page, a pointer of Git LFS, JSON."

import json
import re

from ftkit.errors import UserError
from ftkit.files.rows import EMPTY

TAG = r"!doctype\s+html|html|head|body|meta|title|script|style|link|table|center"
IMPOSTORS = [  # how a text starts, what it is, what to do
    (
        r"version https://git-lfs|oid sha256:",
        "is a Git LFS pointer, not the data",
        "Get the file with `git lfs pull`",
    ),
    (r"[./]*(git/)?annex/objects/", "is a git-annex pointer, not the data", "Get the file with `git annex get`"),
    (
        rf"(?><\?xml.*?\?>\s*|<!--.*?-->\s*)*+<({TAG})\b",
        "is a web page (HTML), not a table",
        "Download the file itself",
    ),
    (
        r"<\?xml|<!--.*?-->\s*<\w",
        "is an XML file, not a table",
        "Save it as CSV",
    ),
    (r"\{\\rtf", "is an RTF document, not a table", "Save it as CSV or plain text"),
    (
        r"(%[^\r\n]*[\r\n]\s*)*\\(documentclass|documentstyle|begin\{|usepackage)",
        "is a LaTeX file",
        "Save its table as CSV",
    ),
    (r"(%[^\r\n]*[\r\n]\s*)*@relation\b", "is an ARFF file (Weka)", "Save it as CSV"),
    (
        r"%PDF-|PK\x03\x04|PAR1[\0-\x1f]|\x1f\x8b|\xd0\xcf\x11\xe0",
        "is a binary file, not text",
        "Save its table as CSV",
    ),
    (r"[^\r\n]*\|[^\r\n]*[\r\n]+\|?[ :-]*-{3}[ :|-]*[\r\n]", "is a Markdown table", "Save it as CSV"),
    (r"\[?\s*\{\s*'[^'\r\n]*'\s*:", "holds Python dictionaries, not delimited rows", "Write them with json.dump"),
    (r"__label__", "holds fastText lines (`__label__pos some text`), not delimited rows", "Give it the ending .txt"),
]
JSON_STARTS = re.compile(r'\[?\s*\{\s*("[^"\r\n]*"\s*:|\})|\[\s*\]')


def refuse_impostor(
    text: str,
    source: str,
) -> None:
    "Raise `UserError` if the text is no delimited text, naming what it is"
    start = text[:100_000].lstrip()
    if not start and not text.strip():
        raise UserError(f"{source}: {EMPTY}")
    for pattern, what, remedy in IMPOSTORS:
        if re.match(pattern, start, re.IGNORECASE | re.DOTALL):
            raise UserError(f"{source}: {what}. {remedy}.")
    if start[:1] in ("{", "[") and is_json(text.lstrip()):
        raise UserError(
            f"{source}: holds JSON, not delimited rows. Rename it to .json, or .jsonl if each line is an object."
        )
    sample = [line for line in start.split("\n")[:1000] if line.strip()]
    if "\0" in text and (text.count("\0") > len(text) / 4 or all("\0" in line for line in sample)):
        raise UserError(
            f"{source}: is binary, or UTF-16 text read as another encoding. "
            "Write encoding = utf-16, or save it as UTF-8."
        )


def is_json(
    text: str,  # that begins with a bracket
) -> bool:
    "Return whether a text is JSON or JSON Lines, cut or complete"
    if JSON_STARTS.match(text):
        return True
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return not text[end:].strip() or text[end:].lstrip(" \t")[:1] in ("\n", "\r")
