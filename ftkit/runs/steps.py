"What follows the training, step by step: each is recorded, and one that fails keeps no other from being done."

import logging
import shlex
from collections.abc import Callable

from ftkit.errors import RunFailed, redact
from ftkit.files.atomic import is_disk_full
from ftkit.runs.folder import RunFolder

DONE = "done"
logger = logging.getLogger(__name__)


class Steps:
    "The steps after the training of one run, kept as `steps` in run.json"

    def __init__(
        self,
        run: RunFolder,  # whose model is saved
        again: bool = False,  # forget what was done
    ):
        self.run, self.failed = run, {}
        run.update(steps={} if again else run.read()["steps"])

    def is_done(
        self,
        *names: str,  # of steps
    ) -> bool:
        "Return whether steps have been done, now or before"
        recorded = self.run.read()["steps"]
        return all(recorded.get(name) == DONE for name in names)

    def do(
        self,
        name: str,  # of the step
        work: Callable,  # what is done
        *args,  # of `work`
    ):
        "Do a step and return its result, or None if it failed. A full disk and signals end the run as ever"
        try:
            result = work(*args)
        except Exception as e:
            if is_disk_full(e):
                raise
            self.failed[name] = redact(f"{type(e).__name__}: {str(e) or 'no message'}".splitlines()[0])
            logger.warning(f"{self.run.path}: {name} failed ({self.failed[name]}). The model is saved.")
            logger.debug(name, exc_info=True)
            self.record(name, self.failed[name])
            return None
        self.record(name, DONE)
        return result

    def record(
        self,
        name: str,  # of the step
        outcome: str,  # done, or what failed
    ) -> None:
        "Note the outcome in run.json"
        self.run.update(steps={**self.run.read()["steps"], name: outcome})

    def end(self) -> None:
        "Raise `RunFailed` if a step failed, with the command that repeats it"
        if self.failed:
            failed = ", ".join(f"{name} ({reason})" for name, reason in self.failed.items())
            raise RunFailed(
                f"{self.run.path}: the model is trained and saved, but this failed after it: {failed}. "
                f"Repeat it without training: ftkit evaluate {shlex.quote(str(self.run.path))} --again"
            )
