"""The run folder: what is written there while a model trains, and what can be read from it afterwards.

`run.json` is the record, `log.jsonl` the curve, `predictions.parquet` the rows. Every view is rebuilt from these files.
"""

import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from ftkit.checkpoints import STAGING, discard, flush, newest, no_room, shareable, size, write_json
from ftkit.errors import NotFinite, RunFailed, UserError, nearest, scrubbed
from ftkit.settings import Settings
from ftkit.trust import check_model, check_run, opening

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
PACKAGES = (
    "ftkit",
    "torch",
    "transformers",
    "datasets",
    "tokenizers",
    "accelerate",
    "peft",
    "evaluate",
    "scikit-learn",
    "numpy",
    "scipy",
)
EMPTY = {
    "status": "running",
    "reason": None,
    "metrics": None,
    "baselines": None,
    "verdicts": None,
    "looks": None,
    "timing": {"train_seconds": None, "total_seconds": None},
    "forecast": {"train_seconds": None},
    "weights": {"first_sha256": None, "final_sha256": None},
}


class Run:
    "One experiment on the disk"

    def __init__(
        self,
        path: str | Path,  # the run folder
    ):
        self.path = Path(path)
        self.lock = FileLock(self.path / ".lock", timeout=0)
        self.started = time.monotonic()

    @classmethod
    def create(
        cls,
        settings: Settings,  # the experiment: kept as settings.ini
        runs_dir: str
        | Path
        | None = None,  # default: `runs` in the current folder, or in the repository's for a notebook under nbs/
        name: str | None = None,  # a plain name; default: date and time
    ) -> "Run":
        "A new folder with a record whose status is `running`. An existing folder is never touched"
        root = Path(runs_dir) if runs_dir is not None else default_runs_dir()
        from ftkit.device import describe

        run = cls(new_folder(root, name))
        try:
            run.lock.acquire()
            run.reserve()
            created, sha256 = datetime.now(UTC).isoformat(timespec="seconds"), run.write_settings(settings)
            run.update(
                **EMPTY,
                id=uuid.uuid4().hex,
                run=str(run.path),
                created=created,
                versions=versions(),
                machine=describe(),
                settings_sha256=sha256,
            )
        except OSError as e:
            run.lock.release()
            shutil.rmtree(run.path, ignore_errors=True)
            raise UserError(f"{root}: no run can be written there ({e.strerror}). Give another --runs_dir.") from None
        except BaseException:  # Ctrl-C: nothing half made is left
            with unsignalled():
                run.lock.release()
                shutil.rmtree(run.path, ignore_errors=True)
            raise
        return run

    def write_settings(self, settings: Settings) -> str:
        "settings.ini, and its sha256: relative paths become absolute, as the folder may move"
        paths = {k: str(Path(v).absolute()) for k, v in settings.section("data").items() if k.endswith("_file") and v}
        if (base := settings.model_name_or_path) != "starter" and os.path.isdir(base):
            paths["model_name_or_path"] = str(Path(base).absolute())
        text, beside = (
            settings.replace(**paths).to_ini("The settings that made this run."),
            self.path / ".settings.tmp",
        )
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.path / "settings.ini")
        return hashlib.sha256(text.encode()).hexdigest()

    def start_again(
        self,
        settings: Settings,  # with a smaller batch
        reason: str,  # for the record
    ) -> None:
        "Forget what was trained so far, checkpoints and curve, and go on with other settings from the first weights"
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)
        self.write_history([])
        self.update(
            settings_sha256=self.write_settings(settings),
            started_again=[*self.record.get("started_again", []), reason],
        )

    def reopen(
        self,
        report: dict,  # of `load_data`, now: the rows must be those of the record
        tokens_sha256: str,  # of the training rows' token ids, now
    ) -> "Run":
        "Go on with a run that was stopped, failed or killed"
        try:
            self.lock.acquire(timeout=1)  # who asks for the status holds it for less than a millisecond
        except Timeout:
            raise UserError(
                f"{self.path}: another process is working on this run. Wait for it, or stop it first."
            ) from None
        except OSError as e:
            raise UserError(
                f"{self.path}: cannot be written ({e.strerror}). Copy the run to a folder that can be, and resume it there."
            ) from None
        try:
            self.discard_unfinished()
            record = self.record
            self.check_resumable(record, report, tokens_sha256)
            self.reserve()
            changed, now = self.drift(record), datetime.now(UTC).isoformat(timespec="seconds")
            self.update(
                status="running", reason=None, resumed=[*record.get("resumed", []), {"time": now, "changed": changed}]
            )
        except OSError as e:
            self.lock.release()
            (self.path / ".reserve").unlink(missing_ok=True)
            raise RunFailed(self.full(e)) from None
        except BaseException:
            self.lock.release()
            raise
        return self

    def check_resumable(
        self,
        record: dict,  # run.json
        report: dict,  # of `load_data`, now
        tokens_sha256: str,  # of the training rows' token ids, now
    ) -> None:
        "`UserError` where there is nothing to go on with"
        changed = [
            s
            for s in ("train", "validation", "test")
            if "data" in record and report[s]["sha256"] != record["data"][s]["sha256"]
        ]
        why = f"its {changed[0]} rows are not those that it was started with" if changed else None
        if not why and record.get("tokens_sha256") not in (None, tokens_sha256):
            why = "its tokenizer gives other tokens than when it was started"
        if "machine" not in record:
            why = "its run.json is not as ftkit writes it"
        elif record["status"] == "finished":
            why = "it is finished: there is nothing to resume"
        if why:
            raise UserError(f"{self.path}: {why}. Start a new run.")

    @property
    def going_on(self) -> bool:
        "Was it resumed, from a checkpoint?"
        return (
            bool(self.record.get("resumed"))
            and newest(self.path / "checkpoints", self.record.get("id"))[0] is not None
        )

    def check_first_weights(
        self,
        sha256: str,  # of the weights before the training, now
    ) -> None:
        "`UserError` where a resumed run would train on another base model; said, where another machine may have drawn another head"
        from ftkit.views import say

        record = self.record
        if record.get("resumed") and record["weights"]["first_sha256"] not in (None, sha256):
            line = (
                f"{self.path}: its first weights are not those that it was started with. Was the base model changed?"
            )
            if not record["resumed"][-1]["changed"]:
                raise UserError(f"{line} Put the old one back, or start a new run.")
            say(line)

    def drift(
        self,
        record: dict,  # run.json
    ) -> dict[str, tuple]:
        "What of machine and versions is not as it was when the run began, which is said: name -> (then, now)"
        from ftkit.device import describe
        from ftkit.views import say

        then, now = {**record["machine"], **record["versions"]}, {**describe(), **versions()}
        changed = {key: (then[key], now.get(key)) for key in then if then[key] != now.get(key)}
        for what, (before, after) in changed.items():
            say(
                f"{self.path.name}: {what} was {before}, is {after}: the result may differ from that of an uninterrupted run"
            )
        return changed

    @classmethod
    def load(
        cls,
        name: str | Path,  # a run folder, or a name below runs_dir
        runs_dir: str | Path | None = None,  # default: as in `create`
    ) -> "Run":
        "An existing run"
        root = Path(runs_dir) if runs_dir is not None else default_runs_dir()
        for path in (root / name, Path(name)):
            try:
                (path / "run.json").stat()
            except PermissionError as e:
                raise UserError(
                    f"{path}: cannot be read ({e.strerror}). Its owner can open it: chmod -R a+rX {shlex.quote(str(path))}"
                ) from None
            except (OSError, ValueError):
                continue
            if path.is_symlink():
                raise UserError(f"{path}: is a link to {os.readlink(path)}. Name that folder itself.")
            check_run(path)
            return cls(path.resolve() if path.name in ("", "..") else path)
        known = [r.path.name for r in list_runs(root)]
        raise UserError(
            f"there is no run '{name}' in {root}.{nearest(str(name), known)} Runs: {', '.join(known[-5:]) or 'none yet'}."
        )

    @property
    def record(self) -> dict:
        "run.json as it is now. A run whose process has died is shown as `failed`"
        record = self.read()
        if (
            record["status"] == "running" and not self.alive() and self.read() == record
        ):  # it has not finished just now
            record.update(status="failed", reason="the process that trained it has died")
        elif record["status"] == "running":
            record = self.read()
        return {**record, "run": str(self.path)}

    def read(self) -> dict:
        "run.json as it is written"
        try:
            return {**EMPTY, "versions": {}, **json.loads((self.path / "run.json").read_text(encoding="utf-8"))}
        except (OSError, ValueError, TypeError, RecursionError) as e:
            raise UserError(f"{self.path}: its run.json cannot be read ({str(e).splitlines()[0]}).") from None

    def alive(self) -> bool:
        "Does a process hold this run? Asked with a shared lock, which needs no right to write and stands in nobody's way who asks too"
        if self.lock.is_locked:
            return True
        if not (self.path / ".lock").is_file():
            return False
        try:
            if fcntl is None:
                with FileLock(self.path / ".lock", timeout=0):
                    return False
            with open(self.path / ".lock", "rb") as f:
                fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except (Timeout, BlockingIOError):
            return True
        except OSError:  # without a lock file nobody holds it
            return False

    def update(self, **keys) -> None:
        "Change keys of run.json in one step"
        file = self.path / "run.json"
        record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        write_json(file, plain({**record, **keys}))

    def log(self, **values) -> None:
        "Add a line to log.jsonl"
        with open(self.path / "log.jsonl", "a", encoding="utf-8") as f:
            f.write(json.dumps(plain(values), ensure_ascii=False) + "\n")

    @property
    def history(self) -> list[dict]:
        "The lines of log.jsonl; a last line that is cut is left out"
        file = self.path / "log.jsonl"
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n") if file.exists() else []
        found = []
        for line in filter(None, lines):
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        "However it ends, also by a signal at this very moment, the record says how"
        try:
            with unsignalled():
                self.end(kind, error)
        except (KeyboardInterrupt, SystemExit) as late:
            with unsignalled():
                if self.lock.is_locked:  # else the end was recorded before the signal came
                    self.end(type(late), late)
            raise

    def end(self, kind: type[BaseException] | None, error: BaseException | None) -> None:
        "The record of the end, and how to go on"
        from ftkit.views import say

        shutil.rmtree(self.path / "checkpoints" / STAGING, ignore_errors=True)
        (self.path / ".reserve").unlink(missing_ok=True)
        self.discard_unfinished()
        if (
            kind is not None
            and issubclass(kind, UserError)
            and not self.history
            and not self.record.get("resumed")
            and not self.record["weights"]["final_sha256"]
        ):  # nothing was trained: no folder is left
            self.lock.release()
            return shutil.rmtree(self.path, ignore_errors=True)
        full = kind is not None and no_room(error) and self.full(error)
        if kind is None:
            status, reason = "finished", None
        elif issubclass(kind, KeyboardInterrupt | SystemExit):
            status, reason = (
                "stopped",
                "terminated" if signal.SIGTERM in error.args or 143 in error.args else "interrupted",
            )
        else:
            status, reason = "failed", scrubbed(f"{kind.__name__}: {full or error}".splitlines()[0])
        try:
            self.update(
                status=status,
                reason=reason,
                timing={**self.read()["timing"], "total_seconds": time.monotonic() - self.started},
            )
            if status == "finished":
                self.discard_checkpoints()
        except OSError as e:  # not even the record: a dead process is then shown as failed
            say(f"{self.path}: the record could not be written ({e.strerror})")
        finally:
            self.lock.release()
        if status != "finished" and not issubclass(kind, NotFinite | UserError):
            say(self.advice(status))
        if full:
            raise RunFailed(full) from error

    def reserve(self) -> None:
        "Room for the record of the end, given back then: on a full disk the run can still say that it failed"
        (self.path / ".reserve").write_bytes(bytes(100_000))

    def discard_unfinished(self) -> None:
        "What a process that was stopped or killed was just writing"
        for unfinished in self.path.glob(".*.tmp"):
            discard(unfinished)

    def discard_checkpoints(self) -> None:
        "A finished run is not gone on with: where its model is saved, the checkpoints go (each takes three times its room), unless save_total_limit says how many to keep"
        if (self.path / "model").is_dir() and "save_total_limit" not in dict(self.settings.training_arguments):
            discard(self.path / "checkpoints")

    def full(self, error: BaseException) -> str:
        "A disk that is full, in bytes"
        needed = self.read().get("checkpoint_bytes")
        needs = f"a checkpoint needs {size(needed)}, " if needed else ""
        return f"{self.path}: no more can be written there ({str(error).splitlines()[0][:100]}): {needs}{size(shutil.disk_usage(self.path).free)} are free. Make room first."

    def advice(self, status: str) -> str:
        "How to go on with a run that was stopped or has failed"
        checkpoint, _ = newest(self.path / "checkpoints", self.read().get("id"))
        whole = f"checkpoint {checkpoint.name} is whole" if checkpoint else "there is no checkpoint yet"
        return f"run {self.path.name!r} {'was' if status == 'stopped' else 'has'} {status}; {whole}. Go on: ftkit train --resume {shlex.quote(str(self.path))}, or in Python Run.load({str(self.path)!r}).resume()"

    def way_on(self) -> str:
        "How a run comes to its end"
        return (
            "Wait until it has finished."
            if self.status == "running"
            else f"Go on with it: ftkit train --resume {shlex.quote(str(self.path))}"
        )

    def write_history(self, rows: list[dict]) -> None:
        "log.jsonl anew, in one step"
        beside = self.path / ".log.tmp"
        beside.write_text("".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        beside.replace(self.path / "log.jsonl")

    @property
    def settings(self) -> Settings:
        "The experiment that made this run"
        return Settings.read(self.path / "settings.ini")

    @property
    def status(self) -> str:
        "running, finished, stopped or failed"
        return self.record["status"]

    @property
    def labels(self) -> list[str]:
        "Label names in the order of their ids"
        return self.data["labels"]

    @property
    def data(self) -> dict:
        "What `load_data` reported of the rows"
        data = self.record.get("data")
        if not isinstance(data, dict):
            raise UserError(f"{self.path}: its run.json says nothing of its rows (status: {self.status}).")
        return data

    @property
    def metrics(self) -> dict:
        "Scores by split, each with value, low, high and n"
        return self.record["metrics"] or {}

    @property
    def baselines(self) -> dict:
        "Scores of the ladder's rungs on the test rows"
        return self.record["baselines"] or {}

    @property
    def verdicts(self) -> list[dict]:
        "The model against each rung, on the same test rows"
        return self.record["verdicts"] or []

    @property
    def predictions(self):
        "predictions.parquet as a DataFrame: split, text, label, logits, in the order of the rows"
        import pandas as pd

        if not (self.path / "predictions.parquet").is_file():
            raise UserError(f"{self.path}: this run has no predictions yet (status: {self.status}). {self.way_on()}")
        try:
            return pd.read_parquet(self.path / "predictions.parquet")
        except (OSError, ValueError) as e:  # pyarrow's errors are one or the other
            raise UserError(
                f"{self.path}: its predictions.parquet cannot be read ({str(e).splitlines()[0]})."
            ) from None

    def load_model(self):
        "The fine-tuned classifier and its tokenizer"
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        folder = self.path / "model"
        if not (folder / "config.json").is_file():
            raise UserError(f"{self.path}: this run has no model yet (status: {self.status}). {self.way_on()}")
        check_model(str(folder))
        with opening(str(folder)):
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False
            )
            return model.eval(), AutoTokenizer.from_pretrained(folder, trust_remote_code=False)

    def predict(
        self,
        texts: list[str],  # what to classify
        progress=None,  # called with a number of rows as they are done
    ) -> list[dict]:
        "One answer for each text, in order: `label`, `score`, `scores`, or `error`"
        from ftkit.predict import predict_rows

        if isinstance(texts, str):
            raise UserError("predict takes a list of texts. Write run.predict([text]).")
        return predict_rows(*self.load_model(), list(texts), progress, max_seq_length=self.settings.max_seq_length)

    def evaluate(
        self,
        file: str | Path | None = None,  # rows to score; default: the run's own test rows
    ) -> dict:
        "Score the model on labelled rows. The look at these rows is counted"
        from ftkit.judge import evaluate_run

        return evaluate_run(self, file)

    def resume(
        self,
        dataset=None,  # the rows, where the run was given rows from Python
    ) -> "Run":
        "Go on from the newest whole checkpoint, to the same weights as if nothing had happened"
        from ftkit.trainer import fine_tune

        self.check_source(dataset)
        return fine_tune(self.settings, dataset, resume=self)

    def check_source(
        self,
        dataset=None,  # the rows, where they are given
    ) -> None:
        "`UserError` where the rows cannot be read again"
        data = self.settings.section("data")
        if dataset is None and not data["train_file"] and not data["dataset_name"]:
            raise UserError(
                f"{self.path}: this run was given its rows from Python. Give them again: Run.load({str(self.path)!r}).resume(dataset), or .rerun(dataset)."
            )
        for key, file in data.items():
            if dataset is None and key.endswith("_file") and file and not Path(file).exists():
                raise UserError(
                    f"{self.path}: its {key} is no longer there: {file}. Put the file back, or write its new place in {self.path / 'settings.ini'}."
                )

    def rerun(
        self,
        dataset=None,  # the rows, where the run was given rows from Python
        name: str | None = None,  # of the new run; default: date and time
    ) -> "Run":
        "Repeat this run from its record, in a new folder beside it. `record['rerun']` of the new run says what came of it"
        from ftkit.rerun import rerun

        return rerun(self, dataset, name)

    def report(self) -> Path:
        "Write report.html, which needs nothing beside it, and give its path"
        from ftkit.report import write_report

        return write_report(self)

    def __repr__(self):
        return f"Run({str(self.path)!r}, {self.status})"


@contextmanager
def unsignalled():
    "An impatient second Ctrl-C does not keep the record from being written"
    main = threading.current_thread() is threading.main_thread()
    before = (
        {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)} if main else {}
    )
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def default_runs_dir() -> Path:
    "`runs` in the current folder; for a notebook in the repository's nbs/, the repository's"
    here = Path.cwd()
    return (here.parent if here.name == "nbs" and (here.parent / "pyproject.toml").is_file() else here) / "runs"


def check_name(
    name: str | None,  # of a new run
    runs_dir: str | Path | None = None,  # where it would be made
) -> None:
    "`UserError` where the name is not plain or is taken: said before the work starts"
    if name is not None and not (isinstance(name, str) and NAME.fullmatch(name)):
        raise UserError(
            f"run name {str(name)[:80]!r}: use letters, digits, '_', '-' and '.' alone, up to 64, starting with a letter or digit."
        )
    root = Path(runs_dir) if runs_dir is not None else default_runs_dir()
    if name is not None and os.path.exists(root / name):
        raise UserError(f"there is already a run '{name}' in {root}. Give another name, or none.")


def new_folder(root: Path, name: str | None) -> Path:
    "Make the folder of a new run; `UserError` where the name will not do or the place cannot be written"
    check_name(name, root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            given = name or datetime.now().strftime("%Y-%m-%d-%H%M%S") + (f"-{attempt + 1}" if attempt else "")
            try:
                (root / given).mkdir()
                return root / given
            except FileExistsError:
                check_name(name, root)
    except (OSError, ValueError) as e:
        raise UserError(
            f"{root}: no run can be written there ({getattr(e, 'strerror', e)}). Give another --runs_dir."
        ) from None
    raise UserError(f"{root}: there is no free run name. Give one with --run.")


def list_runs(root: Path) -> list[Run]:
    "The runs in a folder, oldest first"
    found = [Run(file.parent) for file in root.glob("*/run.json")] if os.path.isdir(root) else []
    return sorted(found, key=lambda run: (created(run), run.path.name))


def created(run: Run) -> float:
    "When a run began, in seconds since 1970; 0 where its record cannot be read"
    try:
        return datetime.fromisoformat(
            json.loads((run.path / "run.json").read_text(encoding="utf-8"))["created"]
        ).timestamp()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0.0


def versions() -> dict[str, str]:
    "Python and the packages that the result depends on"
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def plain(value: object) -> object:
    "A value as JSON has it: dataclasses as objects, NaN and infinities as text, NumPy numbers as numbers"
    if is_dataclass(value):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return str(value) if isinstance(value, Path) else value


def save_model(run: Run, model, tokenizer) -> None:
    "model/: weights as safetensors, tokenizer and configuration, readable by whom the umask allows"
    beside, folder = run.path / ".model.tmp", run.path / "model"
    shutil.rmtree(beside, ignore_errors=True)
    model.save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    for file in beside.iterdir():
        shareable(file)
        flush(file)  # the checkpoints, which are on the disk, go when the run is finished
    flush(beside)
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed after this line, and resumed
    os.replace(beside, folder)
    flush(run.path)
