"""Files as rows of text: one reader for each format.

Every value stays what was written: `007`, `null` and `True` are text. What cannot be read as meant is refused with
file, row, cause and remedy: a row that is silently shifted, dropped or retyped teaches the model something else than
the file says.
"""

import glob
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from ftkit.errors import UserError
from ftkit.files.annotations import select, unpack_annotations
from ftkit.files.archives import COMPRESSED, read_bytes, read_single_member
from ftkit.files.columnar import read_arrow, read_excel, read_parquet, read_sql
from ftkit.files.delimited import is_usual_name, parse_delimited
from ftkit.files.encodings import Decoded, decode, note_spoiled
from ftkit.files.headers import find_repeated_headers, note_repeated, refuse_foreign_rows
from ftkit.files.json_rows import parse_json, parse_jsonl
from ftkit.files.lines import parse_lines
from ftkit.files.rows import ADDRESS, EMPTY, NO_ROWS, ReadOptions, Table

STAND_INS = (  # how a file starts that stands in for the data, what it is, what to do
    (rb"version https://git-lfs", "a Git LFS pointer, not the data", "Get the file with `git lfs pull`."),
    (rb"[./]*(git/)?annex/objects/", "a git-annex pointer, not the data", "Get the file with `git annex get`."),
    (rb"<(!doctype\s+html|html)\b", "a web page (HTML), not the data", "Download the file itself."),
)
SPLIT_FILE = re.compile(  # a name without its ending
    r"(train(?:ing)?|val(?:id)?(?:ation)?|dev(?:el(?:opment)?)?|eval(?:uation)?|test(?:ing)?)(-\d+-of-\d+)?"
)
NO_LABEL_FOLDERS = ("unsup", "unsupervised", "unlabeled", "unlabelled")
WEB = ("http", "https", "ftp", "s3", "gs", "gcs", "abfs", "az", "file", "hf")


def read_table(
    path: str | Path,  # a file, a pattern such as rows-*.csv, a folder, - for stdin, or the URL of a database
    options: ReadOptions = ReadOptions(),  # what is known about the file
) -> Table:
    "Read rows that are one split. Raises `UserError` with file, row, cause and remedy"
    found = read_tables(path, options)
    if isinstance(found, dict):
        raise UserError(f"{path}: holds several splits ({', '.join(found)}). Give a file with one of them.")
    return found


def read_tables(
    path: str | Path,  # as for `read_table`
    options: ReadOptions = ReadOptions(),  # what is known about the file
) -> Table | dict[str, Table]:
    "Read the rows of a source as text; a dictionary if it holds several splits. Raises `UserError`"
    source = str(path)
    if source == "-":
        return finish(read_stdin(options), "standard input")
    if scheme := ADDRESS.match(source):
        return finish(read_address(source, scheme[1].lower(), options), source)
    check_source(source)
    path = Path(source).expanduser()
    if not os.path.exists(path):
        return join_tables([read_table(file, options) for file in find_files(source)], source)
    if path.is_dir():
        return finish(read_folder(path, options), source)
    try:
        return finish(READERS[inner_suffix(path)](path, options), source)
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror or e}).") from None
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply. Each row must be one object of texts and numbers.") from None


def check_source(
    source: str,  # a path, a pattern, a folder, - for stdin, an address
) -> None:
    "Raise `UserError` for a source that cannot be read, as far as that is known without reading it all"
    path = Path(source).expanduser()
    if source == "-" or ADDRESS.match(source) or os.path.isdir(path):
        return
    if not os.path.exists(path):  # false, not an error, if a name is too long
        if find_files(source):
            return
        raise UserError(f"{path}: there is no such file.{list_neighbours(path.parent)}")
    if not path.is_file():
        raise UserError(f"{path}: is a device or a pipe, not a file. Write its rows into a file first.")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: {EMPTY}")
    refuse_stand_in(path)
    if inner_suffix(path) not in READERS:
        raise UserError(f"{path}: files ending in '{path.suffix}' are not read. Use {ENDINGS}.")


def refuse_stand_in(
    path: Path,  # a file of any format
) -> None:
    "Raise `UserError` for a file that only points at the data, or is the page that a failed download left"
    try:
        with open(path, "rb") as f:
            start = f.read(200).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror or e}).") from None
    for pattern, what, remedy in STAND_INS:
        if re.match(pattern, start, re.IGNORECASE):
            raise UserError(f"{path}: is {what}. {remedy}")


def find_files(
    source: str,  # a path, or a pattern such as rows-*.csv
) -> list[str]:
    "Return the files that a path or a pattern names, in the order of their names"
    path = os.path.expanduser(source)
    if os.path.exists(path):
        return [path]
    return sorted(glob.glob(path)) if re.search(r"[*?\[]", source) else []


def finish(
    found: Table | dict[str, Table],  # from a reader
    source: str,  # as the user gave it
) -> Table | dict[str, Table]:
    "Return what a reader found, annotation exports unpacked. Raises `UserError` if there are no rows"
    if isinstance(found, dict):
        return {name: finish(table, f"{source}, {name}") for name, table in found.items()}
    found.source = source
    if not len(found):
        raise UserError(f"{source}: {NO_ROWS}")
    found = leave_out_headers(found)
    refuse_foreign_rows(found)
    found.notes += note_spoiled(found.columns.values())
    return unpack_annotations(found)


def leave_out_headers(
    table: Table,  # from a reader
) -> Table:
    "Return the rows that do not repeat the names of all columns, with a note on those that do"
    values = [[v if isinstance(v, str) else "" for v in column] for column in table.columns.values()]
    repeated = find_repeated_headers(list(table.columns), values)
    if not repeated:
        return table
    keep = [i for i in range(len(table)) if i not in repeated]
    return select(table, table.columns, keep, [note_repeated(repeated, [table.number(i) for i in range(len(table))])])


def inner_suffix(
    path: Path,  # a file
) -> str:
    "Return the ending that tells the format: `.csv` for rows.csv and for rows.csv.gz"
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSED else suffix


def read_text(
    parse: Callable,  # (text, source, encoding, options, suffix) -> rows
) -> Callable:
    "Return the reader of a text format: it unpacks and decodes the file, then parses it"

    def reader(path: Path, options: ReadOptions) -> Table | dict[str, Table]:
        return parse_bytes(parse, read_bytes(path), str(path), options, inner_suffix(path))

    return reader


def parse_bytes(
    parse: Callable,  # (text, source, encoding, options, suffix) -> rows
    data: bytes,  # of the file
    source: str,  # for messages
    options: ReadOptions,  # what is known about the file
    suffix: str,  # that tells the format
) -> Table | dict[str, Table]:
    "Decode and parse; the notes begin with what the decoding decided"
    decoded = decode(data, source, options.encoding)
    del data
    return parse_decoded(parse, decoded, source, options, suffix)


def parse_decoded(
    parse: Callable,  # (text, source, encoding, options, suffix) -> rows
    decoded: Decoded,  # the text of the file
    source: str,  # for messages
    options: ReadOptions,  # what is known about the file
    suffix: str,  # that tells the format
) -> Table | dict[str, Table]:
    "Parse a text; the notes begin with what the decoding decided"
    refuse_odd_ends(decoded.text, source, suffix)
    found = parse(decoded.text, source, decoded.encoding, options, suffix)
    for table in found.values() if isinstance(found, dict) else [found]:
        table.notes[:0] = decoded.notes
    return found


def refuse_odd_ends(
    text: str,  # of the file
    source: str,  # for messages
    suffix: str,  # that tells the format
) -> None:
    "Raise `UserError` if lines end in another character than a line break, such as U+2028: it is all one line then"
    inside = text.strip()
    if "\n" in inside or "\r" in inside:
        return
    pattern = r"\}\s*([\x85\u2028\u2029\x1e])\s*\{" if "json" in suffix else r"([\x85\u2028\u2029\x1e])"
    marks = re.findall(pattern, inside)
    if len(marks) > 1 and len(set(marks)) == 1:
        raise UserError(
            f"{source}: its lines end in U+{ord(marks[0]):04X}, which is no line break of a text file ({len(marks)} "
            "of them). Write line breaks in their place."
        )


def read_zip(
    path: Path,  # a .zip with one file
    options: ReadOptions,  # what is known about the file inside
) -> Table | dict[str, Table]:
    "Read the one file in an archive. Nothing is unpacked to the disk"
    name, data = read_single_member(path)
    suffix = Path(name).suffix.lower()
    if suffix not in PARSERS:
        raise UserError(f"{path}: holds {name}, which is not read inside a .zip. Unpack it first.")
    return parse_bytes(PARSERS[suffix], data, f"{path}: {name}", options, suffix)


def read_stdin(
    options: ReadOptions,  # what is known about the rows
) -> Table | dict[str, Table]:
    "Read rows from standard input: JSON Lines, JSON, delimited rows, or a text in each line"
    data = sys.stdin.buffer.read()
    if not data.strip():
        raise UserError("standard input is empty. Write: ftkit … < rows.csv")
    decoded = decode(data, "standard input", options.encoding)
    suffix = guess_suffix(decoded.text)
    return parse_decoded(PARSERS[suffix], decoded, "standard input", options, suffix)


def guess_suffix(
    text: str,  # without a name
) -> str:
    "Return the ending that a file with this text would have; .txt if the first line is a text, not names of columns"
    lines = (line.strip() for line in re.split(r"[\r\n]+", text))
    first = next((line for line in lines if line and not re.match(r"#[\s#]", line)), "")
    if first.startswith("{"):
        return ".jsonl" if first.endswith("}") else ".json"
    if first.startswith("["):
        return ".json"
    names = [name.strip(" \"'") for name in re.split(r"[,;\t|]", first)]
    are_names = any(map(is_usual_name, names)) or not any(" " in name for name in names)
    return ".csv" if re.match(r'"?sep=', first) or len(names) > 1 and are_names else ".txt"


def read_address(
    source: str,  # with a scheme
    scheme: str,  # such as https or sqlite
    options: ReadOptions,  # the query
) -> Table:
    "Read a database. Raises `UserError` with what to do for an address on the web"
    if scheme in WEB:
        hub = "huggingface.co" in source or scheme == "hf"
        hint = " For a data set on the Hub write dataset_name = owner/name." if hub else ""
        raise UserError(f"{source}: addresses are not read. Download the file, and give its path.{hint}")
    return read_sql(source, options)


def read_folder(
    folder: Path,  # of split files, or of a folder for each label
    options: ReadOptions,  # what is known about the files
) -> Table | dict[str, Table]:
    "Read `train.csv`, `test.csv` … in a folder, or texts in a folder for each label (also below train/ and test/)"
    inside = sorted(folder.iterdir())
    if "train" in (files := find_split_files(inside)):
        tables = {name: join_parts(paths, folder, options) for name, paths in files.items()}
        others = [p.name for p in inside if not any(p in paths for paths in files.values())]
        if others:
            tables["train"].notes.append(f"not read: {', '.join(others[:5])}{' …' if len(others) > 5 else ''}")
        return tables
    folders = [p for p in inside if p.is_dir() and any(p.iterdir())]
    if {p.name.lower() for p in folders} & {"train", "training"}:
        return {p.name: read_label_folders(p, options) for p in folders}
    if folders:
        return read_label_folders(folder, options)
    raise UserError(
        f"{folder}: is a folder without train.csv and without a folder for each label. Name a file: {ENDINGS}."
    )


def find_split_files(
    inside: list[Path],  # what a folder holds
) -> dict[str, list[Path]]:
    "Return the files named like a split: train.csv, dev.jsonl, test-00000-of-00002.parquet; `train` for training"
    found: dict[str, list[Path]] = {}
    for path in inside:
        name = SPLIT_FILE.fullmatch(path.name.split(".")[0].lower())
        if name and path.is_file() and inner_suffix(path) in READERS:
            found.setdefault(name[1].replace("training", "train"), []).append(path)
    return found


def join_parts(
    paths: list[Path],  # of one split
    folder: Path,  # that holds them
    options: ReadOptions,  # what is known about the files
) -> Table:
    "Read the file of a split, or its numbered parts. Raises `UserError` for two files that are no parts"
    if len(paths) == 1:
        return read_table(paths[0], options)
    if not all(re.search(r"-of-\d+", path.name) for path in paths):
        names = ", ".join(path.name for path in paths)
        raise UserError(f"{folder}: holds two files for one split ({names}). Keep one, or name the file.")
    return join_tables([read_table(path, options) for path in paths], str(folder))


def read_label_folders(
    folder: Path,  # with a folder for each label
    options: ReadOptions,  # the encoding
) -> Table:
    "Read each text file below `folder/<label>/` as one row"
    table = Table({"text": [], "label": [], "file": []}, format="a folder for each label")
    encodings = set()
    for path in sorted(folder.glob("*/*.txt")):
        label = path.parent.name
        if label.lower() in NO_LABEL_FOLDERS:
            continue
        decoded = decode(path.read_bytes(), str(path), options.encoding)
        if decoded.text.startswith("{\\rtf"):
            raise UserError(f"{path}: is an RTF document, not plain text. Save it as plain text.")
        encodings.add(decoded.encoding)
        for column, value in (("text", decoded.text), ("label", label), ("file", f"{label}/{path.name}")):
            table.columns[column].append(value)
    for name in (p.name for p in folder.iterdir() if p.is_dir() and p.name.lower() in NO_LABEL_FOLDERS):
        table.notes.append(f"the folder {name} has no labels and was left out")
    if not len(table):
        raise UserError(f"{folder}: its folders hold no .txt files. Name a file: {ENDINGS}.")
    table.encoding = ", ".join(sorted(encodings))
    return table


def join_tables(
    tables: list[Table],  # of the files that a pattern found
    source: str,  # the pattern
) -> Table:
    "Return the rows of several files as one table. Raises `UserError` if their columns differ"
    first = tables[0]
    for table in tables[1:]:
        if set(table.columns) != set(first.columns):
            raise UserError(
                f"{table.source}: has the columns {', '.join(table.columns)}, "
                f"but {first.source} has {', '.join(first.columns)}. Give files with the same columns."
            )
    columns = {name: [v for table in tables for v in table.columns[name]] for name in first.columns}
    merged = {
        kind: " and ".join(sorted({str(getattr(t, kind)) for t in tables if getattr(t, kind)})) or None
        for kind in ("format", "encoding", "delimiter", "quoting")
    }
    notes = [f"{len(tables)} files were joined", *(f"{t.source}: {note}" for t in tables for note in t.notes)]
    return Table(columns, source, **merged, notes=notes, orders=first.orders)


def list_neighbours(
    folder: Path,  # that may be missing
) -> str:
    "Return the first tables in a folder as a sentence, or an empty text"
    if not os.path.isdir(folder):
        return ""
    found = sorted(p.name for p in folder.glob("*") if inner_suffix(p) in READERS and p.suffix != ".txt")
    return f" Next to it: {', '.join(found[:5])}." if found else ""


def without_options(
    parse: Callable,  # (text, source, encoding) -> rows
) -> Callable:
    "Return the parser of a format that has neither delimiter nor quoting"
    return lambda text, source, encoding, options, suffix: parse(text, source, encoding)


PARSERS = {  # text formats: ending -> (text, source, encoding, options, suffix) -> rows
    ".csv": parse_delimited,
    ".tsv": parse_delimited,
    ".tab": parse_delimited,
    ".psv": parse_delimited,
    ".txt": parse_lines,
    ".label": parse_lines,
    ".json": without_options(parse_json),
    ".jsonl": without_options(parse_jsonl),
    ".ndjson": without_options(parse_jsonl),
}
READERS = {  # ending -> (path, options) -> rows
    **{suffix: read_text(parse) for suffix, parse in PARSERS.items()},
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    ".xlsx": read_excel,
    ".xls": read_excel,
    ".zip": read_zip,
}
ENDINGS = ".csv, .tsv, .txt, .json, .jsonl, .parquet, .arrow, .feather or .xlsx (text also as .gz, .bz2, .xz, .zip)"
