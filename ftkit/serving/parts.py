"""Predictions for files of many millions of rows: in parts that survive a kill, in shards for several machines.

The rows come from `open_rows`, 2,048 at a time, and memory does not grow with them. Each 2,048 rows are a part:
answered together, whatever was answered before, so that a part has the same bytes in any order of starts, and shards
of whole parts have the same bytes as one run over all. A part is written atomically into a hidden folder next to the
output,

    .out.csv.3f9c01d2ab45.parts/  manifest.json  0000000.part  0000001.part …

whose name holds the first digits of a hash over the source's bytes, the run's weights and settings, and the options.
The same command finds it again, keeps the parts that are there, and answers the others. Another source, run or option
has another folder; one line names the folder that is not used, and why. When all parts are there, they are joined into
the output, which appears complete or not at all, and the folder is deleted.

A shard `i/n` is the i-th of n equal runs of parts. Next to its output stands `<out>.shard.json`: which rows of which
source, answered by which run, and the sha256 of the output. `join_shards` requires all n of them, each once and
unchanged, and writes their rows in the order of the input.
"""

import json
import logging
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from ftkit.errors import UserError
from ftkit.files.atomic import discard, replacing, sha256_file, sha256_json, write_json
from ftkit.files.rows import Table
from ftkit.files.streams import Rows
from ftkit.serving.batch import arrange_columns, check_output, discard_leftovers, write_csv, write_header, write_jsonl

logger = logging.getLogger(__name__)

PART = 2048  # rows that are answered together
EVERY = 30  # seconds between two lines about the progress if stderr is no terminal


@dataclass(frozen=True)
class OutputForm:
    "How the lines of the output are written"

    suffix: str  # .csv or .jsonl
    separator: str = ","  # of a .csv
    bom: bool = False  # a .csv begins with a byte order mark
    reading: str = ""  # what was said about the source, as text: another reading is another output

    def write(
        self,
        columns: dict[str, list],  # before the answers
        answers: list[dict],
        keys: tuple[str, ...],  # of an answer, which lead
        labels: list[str],  # that have scores
        file,  # open for text
    ) -> int:
        "Write the lines of rows. Return how many were changed for spreadsheets"
        if self.suffix == ".jsonl":
            return write_jsonl(file, columns, answers)
        return write_csv(file, columns, answers, keys, labels, self.separator)


@dataclass(frozen=True)
class Shard:
    "One of several shares of the rows, each of whole parts"

    number: int = 1  # from 1
    of: int = 1

    def parts(
        self,
        count: int,  # parts of the whole source
    ) -> range:
        "Return the numbers of the shard's parts"
        return range(count * (self.number - 1) // self.of, count * self.number // self.of)


class Predictor:
    "A run that answers rows; its model is opened when the first row needs it"

    def __init__(
        self,
        run,  # a `Run` that has a model
        text_column_name: str | None = None,  # default: that of the training rows
    ):
        self.run, self.text_column_name = run, text_column_name
        self.keys = run.task.answer_keys

    @property
    def identity(self) -> dict:
        "Return what makes the run's answers: its weights, its settings, the configuration of its model"
        files = {name: sha256_file(self.run.path / name) for name in ("settings.ini", "model/config.json")}
        return {"weights": self.run.record["weights"]["final_sha256"], **files}

    @cached_property
    def model(self) -> tuple:
        "Return the model and its tokenizer"
        return self.run.open_model()

    def read(
        self,
        table: Table,  # the next rows
    ) -> tuple[list, dict[str, list]]:
        "Return what is asked in each row, and the columns that come along"
        used = (self.text_column_name or self.run.data["text_column"]).split(", ")
        others = {
            name: values for name, values in table.columns.items() if name not in used and len(table.columns) > 1
        }
        return self.run.task.read_prompts(table, self.run.data, self.text_column_name), others

    def answer(
        self,
        texts: list,  # what is asked
        progress: Callable | None = None,  # called with a number of rows as they are done
    ) -> list[dict]:
        "Return one answer for each text"
        return self.run.task.answer(*self.model, texts, self.run.settings, progress)

    def list_scores(self) -> list[str]:
        "Return the labels that answers have scores of"
        if "text" in self.keys:
            return []
        return sorted(self.answer(["one text"])[0].get("scores", {}))


class Progress:
    "How far the rows are, on stderr: a bar on a terminal, else a line every 30 seconds"

    def __init__(
        self,
        total: int,  # rows
    ):
        self.total, self.done, self.kept, self.start = total, 0, 0, time.monotonic()
        self.shown = self.start

    def __enter__(self):
        self.bar = tqdm(total=self.total, desc="predict", unit="row", file=sys.stderr, disable=None, leave=False)
        return self

    def __exit__(self, *error):
        self.bar.close()

    def keep(
        self,
        count: int,  # rows that an earlier start has done
    ) -> None:
        "Count rows that took no time"
        self.kept += count
        if not self.bar.disable:
            self.bar.initial += count  # they are no part of the speed
        self.bar.update(count)

    def add(
        self,
        count: int,  # rows that were answered
    ) -> None:
        "Count rows, and show the speed"
        self.done += count
        self.bar.update(count)
        now = time.monotonic()
        if self.bar.disable and now - self.shown >= EVERY:
            self.shown, rate = now, self.done / (now - self.start)
            done = self.kept + self.done
            left = timedelta(seconds=round((self.total - done) / rate))
            logger.info(f"{done:,} of {self.total:,} rows, {rate:,.0f} rows a second, {left} left")


class Parts:
    "The folder of the parts of one output"

    def __init__(
        self,
        out: Path,  # the output
        identity: dict,  # of source, run and options
        shard: Shard,
    ):
        self.out, self.identity, self.shard = out, identity, shard
        self.folder = out.with_name(f".{out.name}.{sha256_json([identity, asdict(shard)])[:12]}.parts")

    def path(
        self,
        number: int,  # of a part
    ) -> Path:
        "Return where a part stands"
        return self.folder / f"{number:07d}.part"

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make the folder, or find it, and hold its lock. It stays after an error if it holds a part.

        Raises `UserError` if another process works on it.
        """
        for other in sorted(self.out.parent.glob(".*.parts")):
            if re.fullmatch(rf"\.{re.escape(self.out.name)}\.[0-9a-f]{{12}}\.parts", other.name):
                if other != self.folder:
                    self.log_unused(other)
        with writing(self.out):
            self.folder.mkdir(exist_ok=True)
        lock = FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(f"--out {self.out}: another process is writing it. Wait, or give another name.") from None
        with lock:
            write_json(self.folder / "manifest.json", {**self.identity, "shard": asdict(self.shard)})
            try:
                yield
            except BaseException:
                if count := len(list(self.folder.glob("*.part"))):
                    logger.info(f"{count:,} parts of {PART:,} rows are done and kept: the same command continues")
                else:
                    discard(self.folder)
                raise

    def log_unused(
        self,
        other: Path,  # the folder of an earlier start
    ) -> None:
        "Log that the parts of an earlier start are not used, and why"
        try:
            was = json.loads((other / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            was = {}
        now = {**self.identity, "shard": asdict(self.shard)}
        names = {"source": "the source", "run": "the run", "options": "the options", "shard": "the shard"}
        what = " and ".join(said for key, said in names.items() if was.get(key) != now[key]) or "the form of parts"
        count = len(list(other.glob("*.part")))
        logger.info(
            f"{count:,} parts of an earlier start are not used: {what} changed. Delete {other} to free its room"
        )

    def write(
        self,
        number: int,  # of the part
        lines: Callable,  # writes the rows into a file and returns how many it changed
        count: int,  # of the rows
    ) -> None:
        "Write a part: a line about it, then the lines of its rows"
        with writing(self.out), replacing(self.path(number)) as temporary:
            with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as f:
                f.write(" " * 60 + "\n")
                about = json.dumps({"rows": count, "changed": lines(f)})
                f.seek(0)
                f.write(about.ljust(60))


@contextmanager
def writing(
    out: Path,  # the output
) -> Iterator[None]:
    "Raise `UserError` if the disk is full, or closed to us. Parts that were written stay"
    try:
        yield
    except OSError as e:
        raise UserError(f"--out {out}: cannot be written ({e.strerror}). The rows that are done are kept.") from None


@dataclass
class Written:
    "What was written"

    rows: int  # in the output
    changed: int  # of them with a quote before what a spreadsheet would take for a formula
    kept: int  # of them from an earlier start
    seconds: float  # of the answers


def predict_rows_of(
    predictor: Predictor,  # who answers
    rows: Rows,  # of the source
    out: Path,  # .csv or .jsonl
    form: OutputForm,
    shard: Shard | None = None,  # None: all rows
    force: bool = True,  # replace a file that is there
    progress: Progress | None = None,  # shows how far it is
) -> Written:
    "Answer the rows of a source and write them, in order. What an earlier start has done is kept"
    check_output(out, rows.source, force)
    whole, shard, start = shard is None, shard or Shard(), time.monotonic()
    identity = {"source": rows.sha256, "rows": rows.count, "part": PART, "options": asdict(form)}
    parts = Parts(out, {**identity, "run": predictor.identity}, shard)
    numbers = shard.parts(-(-rows.count // PART))
    progress = progress or Progress(sum(min(PART, rows.count - n * PART) for n in numbers))
    with parts.open(), progress:
        kept = write_parts(predictor, rows, parts, form, numbers, progress)
        seconds = time.monotonic() - start
        with writing(out):
            written = join_parts(parts, numbers, seconds, kept)
            if not whole:
                write_shard(parts, written, rows, numbers)
        discard(parts.folder)
    return written


def write_parts(
    predictor: Predictor,
    rows: Rows,
    parts: Parts,
    form: OutputForm,
    numbers: range,  # of the parts
    progress: Progress,
) -> int:
    "Write the parts that are missing, and the header. Return the number of rows that were there"
    kept, header, labels = 0, parts.folder / "header", None
    for number, table in enumerate(rows.tables(PART)):
        if number >= numbers.stop:
            break
        if number < numbers.start:
            continue
        if parts.path(number).exists() and header.exists():
            kept += len(table)
            progress.keep(len(table))
            continue
        texts, others = predictor.read(table)
        columns = arrange_columns(texts, others, predictor.keys)
        if labels is None:
            labels = predictor.list_scores() if form.suffix == ".csv" else []
            with writing(parts.out):
                write_head(header, list(columns), predictor.keys, labels, form)
        answers = predictor.answer(texts, progress.add)
        parts.write(number, partial(form.write, columns, answers, predictor.keys, labels), len(table))
    rows.check_unchanged()
    return kept


def write_head(
    header: Path,  # the file to write
    names: list[str],  # of the columns before the answer
    keys: tuple[str, ...],  # of an answer
    labels: list[str],  # that have scores
    form: OutputForm,
) -> None:
    "Write what stands above the rows"
    with replacing(header) as temporary:
        encoding = "utf-8-sig" if form.bom else "utf-8"
        with open(temporary, "w", encoding=encoding, errors="backslashreplace", newline="") as f:
            if form.suffix == ".csv":
                write_header(f, names, keys, labels, form.separator)


def join_parts(
    parts: Parts,
    numbers: range,  # of the parts
    seconds: float,  # that the answers took
    kept: int,  # rows that were there
) -> Written:
    "Write the output from its parts"
    written = Written(0, 0, kept, seconds)
    discard_leftovers(parts.out)
    with replacing(parts.out) as temporary, open(temporary, "wb") as out:
        if (header := parts.folder / "header").exists():
            out.write(header.read_bytes())
        for number in numbers:
            with open(parts.path(number), "rb") as f:
                about = json.loads(f.readline())
                shutil.copyfileobj(f, out)
            written.rows, written.changed = written.rows + about["rows"], written.changed + about["changed"]
    return written


def parse_shard(
    text: str,  # the value of --shard
) -> Shard:
    "Return the shard that is meant. Raises `UserError`"
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f"--shard {text}: write which of how many, from 1/4 to 4/4.")
    return Shard(int(found[1]), int(found[2]))


def write_shard(
    parts: Parts,
    written: Written,
    rows: Rows,
    numbers: range,  # of the shard's parts
) -> None:
    "Write what a shard is next to it"
    header = parts.folder / "header"
    about = {
        **parts.identity,
        "shard": asdict(parts.shard),
        "first_row": min(numbers.start * PART, rows.count) + 1,
        "shard_rows": written.rows,
        "changed": written.changed,
        "header_bytes": header.stat().st_size if header.exists() else 0,
        "sha256": sha256_file(parts.out),
    }
    write_json(parts.out.with_name(f"{parts.out.name}.shard.json"), about)


def join_shards(
    folder: Path,  # of the shards' outputs, each with its .shard.json
    out: Path,  # the file to write
    identity: dict,  # of the run that is asked for
    force: bool = True,  # replace a file that is there
) -> Written:
    "Write the rows of all shards in the order of the input. Raises `UserError` if one is missing, twice or another's"
    check_output(out, None, force)
    shards = read_shards(folder, out)
    first = next(iter(shards.values()))[1]
    if first["run"] != identity:
        raise UserError(f"{folder}: its shards were answered by another run. Name that run.")
    written, start = Written(0, 0, 0, 0), time.monotonic()
    headers = {read_header(path, about) for path, about in shards.values() if about["shard_rows"]} or {b""}
    if len(headers) > 1:
        raise UserError(f"{folder}: the first lines of its shards differ. Make them again with one version of ftkit.")
    with replacing(out) as temporary, open(temporary, "wb") as f:
        f.write(headers.pop())
        for _, (path, about) in sorted(shards.items()):
            if about["first_row"] != written.rows + 1 and about["shard_rows"]:
                raise UserError(f"{path}: begins with row {about['first_row']:,}, expected {written.rows + 1:,}.")
            copy_shard(path, about, f)
            written.rows, written.changed = written.rows + about["shard_rows"], written.changed + about["changed"]
    written.seconds = time.monotonic() - start
    return written


def read_shards(
    folder: Path,  # of the shards' outputs
    out: Path,  # the file to write, which is no shard
) -> dict[int, tuple[Path, dict]]:
    "Return number -> output and what stands next to it. Raises `UserError` unless all are there, of one source"
    if not folder.is_dir():
        raise UserError(f"--join {folder}: there is no such folder. Name the one that holds the shards.")
    found: dict[int, tuple[Path, dict]] = {}
    for file in sorted(folder.glob("*.shard.json")):
        path = file.with_name(file.name.removesuffix(".shard.json"))
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            number, of = about["shard"]["number"], about["shard"]["of"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{file}: cannot be read. Copy it again from where the shard was made.") from None
        if number in found:
            raise UserError(f"{folder}: shard {number}/{of} is there twice ({found[number][0].name}, {path.name}).")
        if not path.is_file():
            raise UserError(f"{path}: is missing next to {file.name}. Copy it too.")
        if path.suffix != out.suffix:
            raise UserError(f"--out {out}: the shards are {path.suffix} files. Name one that ends in {path.suffix}.")
        found[number] = path, about
    if not found:
        raise UserError(f"--join {folder}: holds no shards. Make them with --shard 1/4 to --shard 4/4.")
    first_path, first = next(iter(found.values()))
    for key, what in (("source", "source"), ("run", "run"), ("options", "options"), ("part", "version of ftkit")):
        for path, about in found.values():
            if about.get(key) != first.get(key) or about["shard"]["of"] != first["shard"]["of"]:
                what = what if about.get(key) != first.get(key) else "number of shards"
                raise UserError(f"{folder}: {first_path.name} and {path.name} are of another {what}.")
    missing = [f"{i}/{first['shard']['of']}" for i in range(1, first["shard"]["of"] + 1) if i not in found]
    if missing:
        raise UserError(f"{folder}: lacks the shards {', '.join(missing[:10])}{' …' * (len(missing) > 10)}.")
    return found


def read_header(
    path: Path,  # the output of a shard
    about: dict,  # what stands next to it
) -> bytes:
    "Return what stands above the rows"
    with open(path, "rb") as f:
        return f.read(about["header_bytes"])


def copy_shard(
    path: Path,  # the output of a shard
    about: dict,  # what stands next to it
    out,  # an open file
) -> None:
    "Copy the rows of a shard. Raises `UserError` if its bytes are not those that were written"
    digest = sha256()
    with open(path, "rb") as f:
        digest.update(f.read(about["header_bytes"]))
        while block := f.read(1 << 20):
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != about["sha256"]:
        raise UserError(f"{path}: has changed since it was made. Make shard {about['shard']['number']} again.")
