"""The files of a run. Every view is rebuilt from them.

`settings.ini` is the experiment, `run.json` the record, `log.jsonl` the curve, `predictions.parquet` the rows.
Neither torch nor a view is loaded here.
"""

import hashlib
import json
import os
import platform
import re
import shlex
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from ftkit.errors import UserError, did_you_mean
from ftkit.files.atomic import apply_umask, replacing, write_json, write_text
from ftkit.files.feedback import TRAINED_WITH
from ftkit.files.safety import check_run
from ftkit.settings import Settings

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
    "task": "text-classification",
    "headline": "accuracy",
    "metrics": None,
    "baselines": None,
    "unfitted": {},
    "always": {},
    "verdicts": None,
    "confidence": {},
    "looks": None,
    "leaks": None,
    "personal_data": None,
    "timing": {"train_seconds": None, "train_cpu_seconds": None, "total_seconds": None},
    "peak_bytes": None,
    "max_steps": None,
    "expected_loss": None,
    "forecast": dict.fromkeys(["train_seconds", "train_cpu_seconds", "total_seconds", "peak_bytes", "disk_bytes"]),
    "preflight": [],
    "auto": [],
    "weights": {"first_sha256": None, "final_sha256": None},
    "steps": {},
    "continued": None,
}


class RunFolder:
    "One run on the disk: read its files, replace them atomically"

    def __init__(
        self,
        path: str | Path,  # the run folder
    ):
        self.path = Path(path)

    def __repr__(self):
        return f"{type(self).__name__}({str(self.path)!r}, {self.status})"

    @classmethod
    def load(
        cls,
        name: str | Path,  # a run folder, or a name below runs_dir
        runs_dir: str | Path | None = None,  # default: `runs` in the current folder
    ):
        "Open an existing run. Raises `UserError` with the nearest name if there is none"
        return cls(find_run(name, runs_dir))

    @property
    def record(self) -> dict:
        "run.json as it is now. The status of a run whose process has died is `failed`"
        record = self.read()
        if record["status"] == "running":
            if not self.is_alive() and self.read() == record:  # it has not finished just now
                record.update(status="failed", reason="the process that trained it has died")
            else:
                record = self.read()
        return {**record, "run": str(self.path)}

    def read(self) -> dict:
        "Read run.json as it is written. Raises `UserError` if it is not JSON"
        try:
            written = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            return {**EMPTY, "versions": {}, **written}
        except (OSError, ValueError, TypeError, RecursionError) as e:
            raise UserError(f"{self.path}: its run.json cannot be read ({str(e).splitlines()[0]}).") from None

    def is_alive(self) -> bool:
        """Return whether a process works on this run.

        A shared lock asks: it needs no right to write and blocks nobody else who asks
        """
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
        "Change keys of run.json"
        file = self.path / "run.json"
        record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        write_json(file, to_json_value({**record, **keys}))

    def log(self, **values) -> None:
        "Append a line to log.jsonl"
        with open(self.path / "log.jsonl", "a", encoding="utf-8") as f:
            f.write(json.dumps(to_json_value(values), ensure_ascii=False) + "\n")

    @property
    def history(self) -> list[dict]:
        "Return the lines of log.jsonl; a torn last line is left out"
        file = self.path / "log.jsonl"
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n") if file.exists() else []
        found = []
        for line in filter(None, lines):
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    def write_history(
        self,
        rows: list[dict],  # one dictionary a line
    ) -> None:
        "Replace log.jsonl"
        lines = [json.dumps(to_json_value(row), ensure_ascii=False) for row in rows]
        write_text(self.path / "log.jsonl", "".join(line + "\n" for line in lines))

    @property
    def settings(self) -> Settings:
        "Return the experiment that made this run"
        return Settings.read(self.path / "settings.ini")

    def write_settings(
        self,
        settings: Settings,  # the experiment
    ) -> str:
        """Replace settings.ini and return its sha256. Relative paths become absolute, as the folder may move.

        The judged answers of a run lie in its folder, and are named as they lie there
        """
        settings = settings.with_absolute_paths()
        if (self.path / TRAINED_WITH).is_file():
            settings = settings.replace(feedback_file=TRAINED_WITH)
        text = settings.to_ini("The settings that made this run.", record=True)
        write_text(self.path / "settings.ini", text)
        return hashlib.sha256(text.encode()).hexdigest()

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
        "Return the report of `load_data` on the rows"
        data = self.record.get("data")
        if not isinstance(data, dict):
            raise UserError(f"{self.path}: its run.json has nothing about its rows (status: {self.status}).")
        return data

    @property
    def predictions(self):
        "predictions.parquet as a DataFrame, in the order of the rows: `split`, `text`, `label`, and the task's own"
        import pandas as pd

        if not (self.path / "predictions.parquet").is_file():
            raise UserError(
                f"{self.path}: this run has no predictions yet (status: {self.status}). {self.advise_unfinished()}"
            )
        try:
            frame = pd.read_parquet(self.path / "predictions.parquet")
        except (OSError, ValueError) as e:  # pyarrow's errors are one or the other
            raise UserError(
                f"{self.path}: its predictions.parquet cannot be read ({str(e).splitlines()[0]})."
            ) from None
        if "predicted" not in frame and "logits" in frame:  # a run of version 0.1
            ids = [row.argmax() for row in frame.logits]
            frame["predicted"] = pd.Categorical.from_codes(ids, self.labels)
            frame["label"] = pd.Categorical(frame.label, self.labels)
        return frame

    def write_predictions(
        self,
        frame,  # a DataFrame with the column `split`
    ) -> None:
        "Replace predictions.parquet"
        with replacing(self.path / "predictions.parquet") as temporary:
            frame.to_parquet(temporary, index=False)

    @property
    def model_folder(self) -> Path:
        "Return the folder of the fine-tuned model. Raises `UserError` if there is none yet"
        folder = self.path / "model"
        if not (folder / "config.json").is_file():
            raise UserError(
                f"{self.path}: this run has no model yet (status: {self.status}). {self.advise_unfinished()}"
            )
        return folder

    def save_model(
        self,
        model,  # a `PreTrainedModel`
        tokenizer,  # its tokenizer
    ) -> None:
        "Replace model/: weights as safetensors, tokenizer and configuration, with the permissions of the umask"
        with replacing(self.path / "model") as temporary:
            if hasattr(model, "peft_config"):  # an adapter that is not merged: without the weights of its base
                model.config.save_pretrained(temporary)
                model.save_pretrained(temporary / "adapter")
                (temporary / "adapter/README.md").unlink(missing_ok=True)
            else:
                model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            for file in temporary.rglob("*"):
                apply_umask(file)

    def check_finished(self) -> None:
        "Raise `UserError` if the run has not finished, or has no model"
        folder = self.model_folder.parent
        if self.status != "finished":
            raise UserError(f"{folder}: this run has not finished (status: {self.status}). {self.advise_unfinished()}")

    def advise_unfinished(self) -> str:
        "Return how this run is brought to its end, as a sentence"
        if self.status == "running":
            return "Wait until it has finished."
        return f"Resume it: ftkit train --resume {shlex.quote(str(self.path))}"


def find_run(
    name: str | Path,  # a run folder, or a name below runs_dir
    runs_dir: str | Path | None = None,  # default: as in `default_runs_dir`
) -> Path:
    """Return the folder of an existing run.

    Raises `UserError` if there is none, or if it is a link or contains one that leads out
    """
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
        return path.resolve() if path.name in ("", "..") else path
    known = [run.path.name for run in list_runs(root)]
    raise UserError(
        f"there is no run '{name}' in {root}.{did_you_mean(str(name), known)} "
        f"Runs: {', '.join(known[-5:]) or 'none yet'}."
    )


def list_runs(
    root: Path,  # a folder of runs
    kind: type[RunFolder] = RunFolder,  # what to make of each
) -> list[RunFolder]:
    "Return the runs in a folder, oldest first"
    found = [kind(file.parent) for file in root.glob("*/run.json")] if os.path.isdir(root) else []
    return sorted(found, key=lambda run: (read_created(run), run.path.name))


def read_created(
    run: RunFolder,  # any run
) -> float:
    "Return when a run started, in seconds since 1970; 0 if its record cannot be read"
    try:
        record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
        return datetime.fromisoformat(record["created"]).timestamp()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0.0


def default_runs_dir() -> Path:
    "Return `runs` in the current folder; for a notebook in the repository's nbs/, the repository's"
    here = Path.cwd()
    return (here.parent if here.name == "nbs" and (here.parent / "pyproject.toml").is_file() else here) / "runs"


def check_name(
    name: str | None,  # of a new run
    runs_dir: str | Path | None = None,  # where it would be made
) -> None:
    "Raise `UserError` if the name is not plain or is taken, before the work starts"
    if name is not None and not (isinstance(name, str) and NAME.fullmatch(name)):
        raise UserError(
            f"run name {str(name)[:80]!r}: use only letters, digits, '_', '-' and '.', up to 64, "
            "starting with a letter or digit."
        )
    root = Path(runs_dir) if runs_dir is not None else default_runs_dir()
    if name is not None and os.path.exists(root / name):
        raise UserError(f"there is already a run '{name}' in {root}. Give another name, or none.")


def package_versions() -> dict[str, str]:
    "Return the versions of Python and of the packages that the result depends on"
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def utc_now() -> str:
    "Return the time for a record"
    return datetime.now(UTC).isoformat(timespec="seconds")


def to_json_value(
    value: object,  # any value of a record
) -> object:
    "Return a value as JSON has it: dataclasses as objects, NaN and infinities as text, NumPy numbers as numbers"
    if is_dataclass(value):
        return to_json_value(asdict(value))
    if isinstance(value, dict):
        return {str(k): to_json_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(v) for v in value]
    if hasattr(value, "item"):
        return to_json_value(value.item())
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return str(value) if isinstance(value, Path) else value
