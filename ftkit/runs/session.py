"""One process at work on a run folder: it takes the lock, and however it ends, the record has the end.

`with create_run(settings) as run:` starts a run, `with reopen_run(run, …) as run:` continues one.
"""

import logging
import os
import platform
import shlex
import shutil
import signal
import threading
import time
import uuid
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ftkit.errors import NOTHING_MADE, NotFinite, RunFailed, UserError, redact
from ftkit.files.atomic import discard, format_bytes, is_disk_full
from ftkit.files.feedback import TRAINED_WITH, write_entries
from ftkit.runs.checkpoints import STAGING, find_newest
from ftkit.runs.folder import EMPTY, RunFolder, check_name, default_runs_dir, package_versions, utc_now
from ftkit.settings import Settings
from ftkit.training.hardware import describe_machine

RESERVED_BYTES = 100_000  # freed at the end, so that a run on a full disk can still record that it failed
logger = logging.getLogger(__name__)


class Session:
    "A context manager around the work on one run. The block gets the `RunFolder`"

    def __init__(
        self,
        run: RunFolder,  # the run
    ):
        self.run, self.started = run, time.monotonic()
        self.before = 0.0  # seconds of earlier sessions, if the run is resumed
        self.lock = FileLock(run.path / ".lock", timeout=0)

    def __enter__(self) -> RunFolder:
        return self.run

    def __exit__(self, kind, error, traceback) -> None:
        "Record the end, also if a signal comes at this very moment"
        try:
            with ignore_signals():
                self.end(kind, error)
        except (KeyboardInterrupt, SystemExit) as late:
            with ignore_signals():
                if self.lock.is_locked:  # else the end was recorded before the signal came
                    self.end(type(late), late)
            raise

    def reserve(self) -> None:
        "Reserve space for the record of the end"
        (self.run.path / ".reserve").write_bytes(bytes(RESERVED_BYTES))

    def end(
        self,
        kind: type[BaseException] | None,  # of the error that ended the work; None: it is done
        error: BaseException | None,  # the error
    ) -> None:
        """Record how the run ended and log how to resume it.

        Nothing is left of a run that never trained because of its input
        """
        run = self.run
        shutil.rmtree(run.path / "checkpoints" / STAGING, ignore_errors=True)
        (run.path / ".reserve").unlink(missing_ok=True)
        discard_unfinished(run)
        if kind is not None and issubclass(kind, UserError) and not has_trained(run):
            self.lock.release()
            return shutil.rmtree(run.path, ignore_errors=True)
        full = kind is not None and is_disk_full(error) and describe_full_disk(run, error)
        status, reason = describe_end(kind, full or error)
        try:
            timing = {**run.read()["timing"], "total_seconds": self.before + time.monotonic() - self.started}
            run.update(status=status, reason=reason, timing=timing)
            if status == "finished":
                discard_checkpoints(run)
        except OSError as e:  # not even the record: a dead process is then shown as failed
            logger.warning(f"{run.path}: the record could not be written ({e.strerror})")
        finally:
            self.lock.release()
        if status != "finished" and not issubclass(kind, NotFinite | UserError):
            logger.warning(describe_way_to_resume(run, status))
        if full:
            raise RunFailed(full) from error


def create_run(
    settings: Settings,  # the experiment: kept as settings.ini
    runs_dir: str | Path | None = None,  # default: as in `default_runs_dir`
    name: str | None = None,  # a plain name; default: date and time
    feedback: list[dict] | None = None,  # the judged answers that it is trained with, which it keeps
    continued: dict | None = None,  # the run that it continues, for its record
) -> Session:
    """Make a new run folder with the status `running`.

    An existing folder is never touched. Raises `UserError` if it cannot be written
    """
    root = Path(runs_dir) if runs_dir is not None else default_runs_dir()
    session = Session(RunFolder(new_folder(root, name)))
    run = session.run
    try:
        session.lock.acquire()
        session.reserve()
        if feedback is not None:
            write_entries(run.path / TRAINED_WITH, feedback)
        run.update(
            **EMPTY | {"continued": continued},
            id=uuid.uuid4().hex,
            run=str(run.path),
            created=utc_now(),
            versions=package_versions(),
            machine=describe_machine(),
            process=describe_process(),
            settings_sha256=run.write_settings(settings),
        )
    except OSError as e:
        session.lock.release()
        shutil.rmtree(run.path, ignore_errors=True)
        raise UserError(f"{root}: no run can be written there ({e.strerror}). Give another --runs_dir.") from None
    except BaseException:  # Ctrl-C: no half-made folder is left
        with ignore_signals():
            session.lock.release()
            shutil.rmtree(run.path, ignore_errors=True)
            logger.warning(NOTHING_MADE)
        raise
    return session


def reopen_run(
    run: RunFolder,  # that was stopped, failed or killed
    report: dict,  # of `load_data`, now: the rows must be those of the record
    tokens_sha256: str,  # of the training rows' token ids, now
    again: bool = False,  # repeat what follows the training, also if the run is finished
) -> Session:
    "Continue a run. Raises `UserError` if it is finished, in use, or its rows or tokenizer have changed"
    session = Session(run)
    try:
        session.lock.acquire(timeout=1)  # who asks for the status holds it for less than a millisecond
    except Timeout:
        raise UserError(
            f"{run.path}: another process is working on this run. Wait for it, or stop it first."
        ) from None
    except OSError as e:
        raise UserError(
            f"{run.path}: cannot be written ({e.strerror}). "
            "Copy the run to a folder that can be written, and resume it there."
        ) from None
    try:
        discard_unfinished(run)
        record = run.record
        check_resumable(run, record, report, tokens_sha256, again)
        spent = record["timing"]
        session.before = spent["total_seconds"] or spent["train_seconds"] or 0.0  # killed: the end was not recorded
        session.reserve()
        resumed = {"time": utc_now(), "changed": warn_about_changes(run, record)}
        resumes = [*record.get("resumed", []), resumed]
        run.update(status="running", reason=None, process=describe_process(), resumed=resumes)
    except OSError as e:
        session.lock.release()
        (run.path / ".reserve").unlink(missing_ok=True)
        raise RunFailed(describe_full_disk(run, e)) from None
    except BaseException:
        session.lock.release()
        raise
    return session


def restart_run(
    run: RunFolder,  # in work
    settings: Settings,  # with a smaller batch
    reason: str,  # for the record
) -> None:
    "Forget checkpoints and curve; the run continues with other settings from the first weights"
    shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
    run.write_history([])
    sha256 = run.write_settings(settings)
    run.update(settings_sha256=sha256, started_again=[*run.record.get("started_again", []), reason])


def check_resumable(
    run: RunFolder,  # to resume
    record: dict,  # its run.json
    report: dict,  # of `load_data`, now
    tokens_sha256: str,  # of the training rows' token ids, now
    again: bool = False,  # it may be finished
) -> None:
    "Raise `UserError` if the run cannot be resumed to the same weights"
    splits = ("train", "validation", "test")
    changed = [s for s in splits if "data" in record and report[s]["sha256"] != record["data"][s]["sha256"]]
    why = f"its {changed[0]} rows are not those that it was started with" if changed else None
    if not why and record.get("tokens_sha256") not in (None, tokens_sha256):
        why = "its tokenizer gives other tokens than when it was started"
    if "machine" not in record:
        why = "its run.json is not as ftkit writes it"
    elif record["status"] == "finished" and not again:
        why = "it is finished: there is nothing to resume"
    if why:
        raise UserError(f"{run.path}: {why}. Start a new run.")


def check_first_weights(
    run: RunFolder,  # new or resumed
    sha256: str,  # of the weights before the training, now
) -> None:
    """Raise `UserError` if a resumed run would train on another base model.

    Warn if another machine may have drawn another head
    """
    record = run.record
    if record.get("resumed") and record["weights"]["first_sha256"] not in (None, sha256):
        line = f"{run.path}: its first weights are not those that it was started with. Was the base model changed?"
        if not record["resumed"][-1]["changed"]:
            raise UserError(f"{line} Put the old one back, or start a new run.")
        logger.warning(line)


def warn_about_changes(
    run: RunFolder,  # resumed
    record: dict,  # its run.json
) -> dict[str, tuple]:
    "Warn about hardware and package versions that changed since the run started. Return name -> (then, now)"
    then, now = {**record["machine"], **record["versions"]}, {**describe_machine(), **package_versions()}
    changed = {key: (then[key], now.get(key)) for key in then if then[key] != now.get(key)}
    for name, (before, after) in changed.items():
        logger.warning(
            f"{run.path.name}: {name} was {before}, is {after}: "
            "the result may differ from that of an uninterrupted run"
        )
    return changed


def is_resumed_from_checkpoint(
    run: RunFolder,  # in work
) -> bool:
    "Return whether the run was resumed and has a valid checkpoint"
    record = run.record
    return bool(record.get("resumed")) and find_newest(run.path / "checkpoints", record.get("id"))[0] is not None


def has_trained(
    run: RunFolder,  # any run
) -> bool:
    "Return whether there is something to lose: a logged step, a resume, or final weights"
    record = run.record
    return bool(run.history or record.get("resumed") or record["weights"]["final_sha256"])


def describe_end(
    kind: type[BaseException] | None,  # of the error that ended the work; None: it is done
    error: BaseException | str | None,  # the error, or a clearer message
) -> tuple[str, str | None]:
    "Return status and reason for the record"
    if kind is None:
        return "finished", None
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return "stopped", "terminated" if signal.SIGTERM in error.args or 143 in error.args else "interrupted"
    return "failed", redact(f"{kind.__name__}: {error}".splitlines()[0])


def describe_full_disk(
    run: RunFolder,  # that could not be written
    error: BaseException,  # raised by the write
) -> str:
    "Return the message for a full disk, in bytes"
    needed = run.read().get("checkpoint_bytes")
    needs = f"a checkpoint needs {format_bytes(needed)}, " if needed else ""
    free = format_bytes(shutil.disk_usage(run.path).free)
    return (
        f"{run.path}: cannot be written ({str(error).splitlines()[0][:100]}): "
        f"{needs}{free} are free. Free some space first."
    )


def describe_way_to_resume(
    run: RunFolder,  # that was stopped or failed
    status: str,  # stopped or failed
) -> str:
    "Return how to resume a run, as one line"
    checkpoint, _ = find_newest(run.path / "checkpoints", run.read().get("id"))
    kept = (
        f"checkpoint {checkpoint.name} is complete"
        if checkpoint
        else "there is no checkpoint yet, so it will start anew"
    )
    if run.read()["steps"]:
        kept = "its model is saved, and nothing is trained again"
    command = f"ftkit train --resume {shlex.quote(str(run.path))}"
    ended = "was stopped" if status == "stopped" else "has failed"
    return (
        f"run {run.path.name!r} {ended}; {kept}. "
        f"Resume it: {command}, or in Python Run.load({str(run.path)!r}).resume()"
    )


def discard_unfinished(
    run: RunFolder,  # any run
) -> None:
    "Delete what a stopped or killed process was just writing"
    for unfinished in run.path.glob(".*.tmp"):
        discard(unfinished)


def discard_checkpoints(
    run: RunFolder,  # finished
) -> None:
    "Delete the checkpoints of a finished run whose model is saved, unless save_total_limit keeps them"
    if (run.path / "model").is_dir() and "save_total_limit" not in run.settings.training_arguments:
        discard(run.path / "checkpoints")


def new_folder(
    root: Path,  # the folder of the runs
    name: str | None,  # default: date and time
) -> Path:
    "Make the folder of a new run. Raises `UserError` if the name is taken or the place cannot be written"
    check_name(name, root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            suffix = f"-{attempt + 1}" if attempt else ""
            given = name or datetime.now().strftime("%Y-%m-%d-%H%M%S") + suffix
            try:
                (root / given).mkdir()
                return root / given
            except FileExistsError:
                check_name(name, root)
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", e)
        raise UserError(f"{root}: no run can be written there ({reason}). Give another --runs_dir.") from None
    raise UserError(f"{root}: there is no free run name. Give one with --run.")


@contextmanager
def ignore_signals():
    "Let no impatient second Ctrl-C keep the record from being written"
    main = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.signal(number, signal.SIG_IGN) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def describe_process() -> dict:
    "Return which process works on a run, so that another can send it a signal"
    return {"pid": os.getpid(), "host": platform.node()}
