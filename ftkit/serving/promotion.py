"""The run that serves: `promoted.json` next to the runs names it, and the one that served before it.

A run is promoted on a verdict alone, or by force. Neither torch nor transformers is loaded to read the file.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ftkit.errors import UserError
from ftkit.files.atomic import write_json
from ftkit.runs.folder import RunFolder, find_run, utc_now
from ftkit.settings import LOWER_IS_BETTER
from ftkit.views.scores import headline_scores, is_better

FILE = "promoted.json"
KEPT = 20  # promotions that can be gone back to
SEPARATORS = re.compile(r"[/\\\x00]")  # of a name that would lead out of the folder of the runs
logger = logging.getLogger(__name__)


def read_promoted(
    runs_dir: str | Path,  # the folder of the runs
) -> dict | None:
    """Return `run`, `previous`, `time` and `why` of the run that is promoted, or None if none is.

    Whether its folder still exists is not checked. Raises `UserError` if the file is not as ftkit writes it
    """
    file = Path(runs_dir) / FILE
    if not file.is_file():
        return None
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        check_entry(entry)
    except (OSError, ValueError, RecursionError) as e:
        raise UserError(
            f"{file}: is not as `ftkit promote` writes it ({str(e).splitlines()[0]}). Delete it and promote a run."
        ) from None
    return entry


def check_entry(
    entry: object,  # of promoted.json
) -> None:
    "Raise `ValueError` if an entry, or one before it, names no folder next to it"
    while entry is not None:
        name = entry.get("run") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name in ("", ".", "..") or SEPARATORS.search(name):
            raise ValueError("it names no run")
        entry = entry.get("previous")


def find_promoted(
    runs_dir: str | Path,  # the folder of the runs
) -> Path | None:
    "Return the folder of the promoted run, or None if none is. Raises `UserError` if it is no longer there"
    entry = read_promoted(runs_dir)
    return find_entry(entry, runs_dir) if entry else None


def find_entry(
    entry: dict,  # of promoted.json
    runs_dir: str | Path,  # the folder of the runs
) -> Path:
    "Return the folder of a run that is or was promoted. Raises `UserError` if it is no longer there"
    folder = Path(runs_dir) / entry["run"]
    if not (folder / "run.json").is_file():
        raise UserError(
            f"{folder}: was promoted on {entry.get('time')}, and is no longer there. "
            "Put it back, or promote another run: ftkit promote RUN --force."
        )
    return find_run(folder, runs_dir)


def promote(
    run: RunFolder,  # finished; promoted.json lies next to it
    judge,  # of `ftkit.runs.comparison.compare_predictions`: (new run, promoted run) -> `Verdict`, or None
    force: bool = False,  # also without a verdict
) -> dict:
    """Promote a run if a verdict says that it is better than the promoted one, and return the new entry.

    The first one has to be better than the best rung of its ladder. Raises `UserError` if it may not be promoted
    """
    record, root = run.record, run.path.absolute().parent
    if record["status"] != "finished" or not record["metrics"]:
        raise UserError(f"{run.path}: is {record['status']}, and only a finished run is promoted.")
    with locked(root):
        try:
            old = read_promoted(root)
        except UserError as e:
            if not force:
                raise
            old = None
            logger.warning(f"{e} It is replaced.")
        if old and old["run"] == run.path.name:
            return old
        is_good, text = judge_promoted(run, old, root, judge) if old else judge_first(run, record)
        if not is_good and not force:
            raise UserError(f"{run.path.name} was not promoted: {text}. To promote it all the same: --force.")
        why = text if is_good else f"forced: {text}"
        return write_promoted(root, {"run": run.path.name, "previous": keep(old), "time": utc_now(), "why": why})


def keep(
    entry: dict | None,  # of promoted.json
    number: int = KEPT,  # of entries
) -> dict | None:
    "Return an entry with the newest ones before it"
    return {**entry, "previous": keep(entry.get("previous"), number - 1)} if entry and number else None


def judge_first(
    run: RunFolder,  # scored
    record: dict,  # its run.json
) -> tuple[bool, str]:
    "Return whether a run is better than the rung with the best headline score, and the verdict in words"
    rungs = {name: score.value for name, score in headline_scores(record).items() if name != "fine-tuned"}
    if not rungs:
        return False, "no run is promoted yet, and it has no rung that it could be better than"
    best = (min if record["headline"] in LOWER_IS_BETTER else max)(rungs, key=rungs.get)
    verdict = next((v for v in record["verdicts"] if v["b"] == best), None)
    if verdict is None:
        return False, f"it has no verdict on the rung {best}"
    return bool(is_better(verdict, run.settings.confidence_level)), verdict["text"]


def judge_promoted(
    run: RunFolder,  # scored
    old: dict,  # the entry of the promoted run
    runs_dir: Path,  # the folder of both
    judge,  # as in `promote`
) -> tuple[bool, str]:
    "Return whether a run is better than the promoted one, and the verdict in words"
    try:
        promoted = RunFolder(find_entry(old, runs_dir))
        verdict = judge(run, promoted)
    except UserError as e:
        return False, str(e).removesuffix(".")
    if verdict is None:
        return False, (
            f"there is no verdict, as its test rows are not those of {promoted.path.name}, the promoted run. "
            f"A run that continues it has the same: ftkit train --continue_from {promoted.path.name}"
        )
    return verdict.better == run.path.name, verdict.text


def roll_back(
    runs_dir: str | Path,  # the folder of the runs
) -> dict:
    "Promote the run again that was promoted before, and return its entry. Raises `UserError` if there is none"
    root = Path(runs_dir)
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder of runs. Give --runs_dir.")
    with locked(root):
        entry = read_promoted(root)
        if entry is None:
            raise UserError(f"{root}: no run is promoted, so there is nothing to go back from.")
        if not (old := entry.get("previous")):
            raise UserError(f"{root}: no run was promoted before {entry['run']}, so there is nothing to go back to.")
        find_entry(old, root)
        return write_promoted(root, old)


def write_promoted(
    root: Path,  # the folder of the runs, locked
    entry: dict,  # the run, and what was promoted before it
) -> dict:
    "Replace promoted.json and return its entry. Raises `UserError` if it cannot be written"
    try:
        write_json(root / FILE, entry)
    except OSError as e:
        raise UserError(f"{root / FILE}: cannot be written ({e.strerror}). Nothing was changed.") from None
    return entry


@contextmanager
def locked(
    root: Path,  # the folder of the runs
) -> Iterator[None]:
    "Let one process at a time promote. A killed one holds no lock. Raises `UserError` if it cannot be had"
    try:
        lock = FileLock(root / ".promoted.lock", timeout=60)
        lock.acquire()
    except Timeout:
        raise UserError(f"{root}: another process has been promoting a run for a minute. Try again.") from None
    except OSError as e:
        raise UserError(f"{root}: cannot be written ({e.strerror}). Nothing was promoted.") from None
    try:
        yield
    finally:
        lock.release()
