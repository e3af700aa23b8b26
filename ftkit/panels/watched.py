"The run that a panel shows, read from its folder as it is at this moment."

from contextlib import suppress
from pathlib import Path

from ftkit.errors import UserError
from ftkit.panels.processes import Training
from ftkit.runs.folder import RunFolder, find_run, list_runs


class WatchedRun:
    "A folder of runs and the one that is shown. What has been read is kept until its files change"

    def __init__(
        self,
        runs_dir: Path,  # the folder of the runs
    ):
        self.runs_dir, self._kept = runs_dir, {}
        self.training: Training | None = None
        self.folder: Path | None = self.find_newest()

    def find_newest(self) -> Path | None:
        "Return the folder of the run that is at work, else of the newest one"
        runs = list_runs(self.runs_dir)
        for run in sorted(runs, key=RunFolder.is_alive)[::-1]:  # those at work first, then from new to old
            with suppress(UserError):  # a link, or a folder with one that leads out
                find_run(run.path.name, self.runs_dir)
                return run.path
        return None

    @property
    def is_training(self) -> bool:
        "Return whether the run that is shown is at work"
        if self.training is not None:
            return self.training.is_running
        return self.folder is not None and RunFolder(self.folder).is_alive()

    @property
    def record(self) -> dict | None:
        "Return run.json of the run that is shown, or None if it is not there or cannot be read"
        try:
            return RunFolder(self.folder).record if self.folder else None
        except UserError:
            return None

    @property
    def problem(self) -> str | None:
        "Return why run.json of the run that is shown cannot be read, or None"
        if self.folder is None or self.training is not None and not (self.folder / "run.json").exists():
            return None
        try:
            RunFolder(self.folder).read()
        except UserError as e:
            return str(e)

    @property
    def predictions(self):
        "Return predictions.parquet of the run that is shown"
        return self.keep("predictions", lambda: RunFolder(self.folder).predictions)

    @property
    def history(self) -> list[dict]:
        "Return the lines of log.jsonl of the run that is shown"
        return self.keep("history", lambda: RunFolder(self.folder).history) if self.folder else []

    def keep(self, name: str, read):
        "Return what `read` returns, read again only if the files of the run have changed"
        key = self.fingerprint()
        if self._kept.get(name, (None,))[0] != key:
            self._kept[name] = key, read()
        return self._kept[name][1]

    def fingerprint(self) -> tuple:
        "Return when the files of the run were last written"
        if self.folder is None:
            return ()
        found = []
        for name in ("run.json", "log.jsonl", "predictions.parquet"):
            try:
                stat = (self.folder / name).stat()
                found.append((stat.st_mtime_ns, stat.st_size))
            except OSError:
                found.append(None)
        return str(self.folder), *found
