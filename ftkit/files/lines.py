"Text files with a text a line: fastText (`__label__pos …`), `LABEL text`, or texts alone."

import re
from collections import Counter

from ftkit.errors import UserError
from ftkit.files.delimited import is_usual_name, parse_delimited, refuse_impostor
from ftkit.files.rows import EMPTY, ReadOptions, Table

MANY = 10  # lines that are alike by chance no more
MARK = "__label__"
LABEL_WORD = re.compile(r"\d+|[A-Z][A-Z0-9_-]*(:\w+)?|[A-Za-z]+:\w+")  # 1, POSITIVE, DESC, DESC:manner


def parse_lines(
    text: str,  # of the file
    source: str,  # for messages
    encoding: str,  # as it was found
    options: ReadOptions,  # what is known about the file
    suffix: str = ".txt",  # of the file
) -> Table:
    "Read fastText lines, `LABEL text` lines, delimited rows, or a text a line: what every line is"
    lines = [(number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UserError(f"{source}: {EMPTY}")
    marked = sum(line.lstrip().startswith(MARK) for _, line in lines)
    at_end = sum(line.split()[-1].startswith(MARK) for _, line in lines)
    if marked or at_end == len(lines):
        return parse_fasttext(lines, source, encoding, marked)
    refuse_impostor(text, source)
    if not options.delimiter and is_labelled(lines):
        numbers, pairs = [n for n, _ in lines], [line.split(None, 1) for _, line in lines]
        columns = {"text": [p[1] for p in pairs], "label": [p[0] for p in pairs]}
        return Table(columns, source, "label and text in each line", encoding, numbers=numbers)
    if options.delimiter or options.column_names or is_delimited(lines) or has_names(lines[0][1]):
        return parse_delimited(text, source, encoding, options, suffix)
    name, notes = "text", []
    if len(lines) > 1 and is_usual_name(lines[0][1]):
        name = lines.pop(0)[1].strip()
        notes.append(f"the first line ({name}) names the column")
    texts, numbers = [line for _, line in lines], [n for n, _ in lines]
    notes += note_regular(texts)
    return Table({name: texts}, source, "a text in each line", encoding, numbers=numbers, notes=notes)


def parse_fasttext(
    lines: list[tuple[int, str]],  # number and text of each line that is not empty
    source: str,  # for messages
    encoding: str,  # as it was found
    marked: int,  # lines with a label
) -> Table:
    "Read `__label__a __label__b text`; several labels are a list. Raises `UserError` for a line without a label"
    texts, labels = [], []
    for number, line in lines:
        words = line.split()
        found = [w.removeprefix(MARK) for w in words if w.startswith(MARK)]
        if not found:
            raise UserError(
                f"{source}, line {number}: has no {MARK}, which {marked} other lines have. "
                "Add the label, or delete the line."
            )
        texts.append(" ".join(w for w in words if not w.startswith(MARK)))
        labels.append(found[0] if len(found) == 1 else found)
    return Table({"text": texts, "label": labels}, source, "fastText", encoding, numbers=[n for n, _ in lines])


def is_labelled(
    lines: list[tuple[int, str]],  # number and text of each line that is not empty
) -> bool:
    "Return whether every line starts with one of a few words that look like a label: 1, POSITIVE, DESC:manner"
    first = Counter(line.split(None, 1)[0] for _, line in lines)
    are_labels = all(LABEL_WORD.fullmatch(word) for word in first)
    have_texts = all(len(line.split(None, 1)) == 2 for _, line in lines)
    return are_labels and have_texts and len(lines) >= 4 and 2 <= len(first) <= len(lines) / 2


def note_regular(
    texts: list[str],  # one a line
) -> list[str]:
    "Return a note if all lines have what a table has: as many delimiters each, or quotes around them"
    notes = []
    for mark, name in ((",", "comma"), (";", "semicolon"), ("|", "bar")):
        counts = {text.count(mark) for text in texts}
        if len(texts) >= MANY and len(counts) == 1 and counts != {0}:
            notes.append(
                f"every line holds {counts.pop()} {name}(s) and was read as one text: for a table write "
                f"delimiter = {name}"
            )
    if len(texts) >= MANY and all(len(text) > 1 and text[0] == text[-1] == '"' for text in texts):
        notes.append("every line stands in quotes, which were kept")
    return notes


def has_names(
    line: str,  # the first
) -> bool:
    "Return whether a line holds names of columns with delimiters between them, one of them a usual one"
    names = [name.strip(" \"'") for name in re.split(r"[,;\t|]", line)]
    usual = [is_usual_name(name) for name in names]
    return len(names) > 1 and any(usual) and all(u or " " not in name for u, name in zip(usual, names))


def is_delimited(
    lines: list[tuple[int, str]],  # number and text of each line that is not empty
) -> bool:
    "Return whether every line has the same number of tabs, at least one"
    counts = {line.count("\t") for _, line in lines}
    return len(counts) == 1 and counts != {0}
