"Settings files: `key = value` lines under `[section]` headers, read in one pass so that every message has its line."

import re
from pathlib import Path
from typing import NamedTuple

from ftkit.errors import UserError, did_you_mean


class Entry(NamedTuple):
    "A key of an .ini file"

    section: str
    key: str
    value: str  # without surrounding spaces; indented lines below the key are part of it
    line: int  # its number, from 1


def read_entries(
    path: Path,  # an .ini file
    sections,  # the valid section names
) -> list[Entry]:
    """Read all keys.

    Raises `UserError` if the file cannot be read, a line has another form, a section is unknown,
    or a key or section is given twice.
    """
    entries, section, seen = {}, None, set()
    open_key = None  # an indented line continues its value
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path}, line {number}"
        text = line.strip()
        if not text:
            open_key = None
        elif text[0] in "#;":
            continue
        elif line[0].isspace() and open_key:
            entries[open_key] = entries[open_key]._replace(value=f"{entries[open_key].value}\n{text}".strip())
        elif header := re.fullmatch(r"\[(.+)\]", text):
            section, open_key = header[1], None
            if section not in sections:
                raise UserError(
                    f"{where}: there is no section [{section}].{did_you_mean(section, sections)} "
                    f"Sections: {', '.join(sections)}."
                )
            if section in seen:
                raise UserError(f"{where}: the section [{section}] is given twice. Merge the two.")
            seen.add(section)
        elif not (option := re.match(r"([^=:]*?[^=:\s])\s*[=:]\s*(.*)", text)):
            raise UserError(f"{where}: not a line of the form key = value.")
        elif section is None:
            raise UserError(f"{where}: a key before any section. Start with [trainer], for example.")
        else:
            open_key = (section, option[1])
            if open_key in entries:
                raise UserError(f"{where}: [{section}] {option[1]} is given twice. Keep one.")
            entries[open_key] = Entry(section, option[1], option[2], number)
    return list(entries.values())


def read_lines(
    path: Path,  # a text file
) -> list[str]:
    "Return the lines of a UTF-8 file, with or without a byte order mark"
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no such settings file. `ftkit train` alone runs the starter experiment. "
            "Several values of a key have commas between them, and no space: --baselines majority,tfidf."
        ) from None
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else "not UTF-8"
        raise UserError(f"{path}: cannot be read as a UTF-8 settings file ({why}).") from None
