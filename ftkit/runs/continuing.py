"""A run that continues another: its rows and judged answers, its test rows, and a verdict on the two.

`continued` in run.json is where it comes from (`from`, `path`, `id`, `start`, `weights`) and, at the end, `verdict`,
`slices`, `runs` (how many have been scored on these test rows) and `text`.
"""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from ftkit.errors import UserError
from ftkit.files.feedback import join_entries, read_entries
from ftkit.intervals import holm
from ftkit.metrics import Verdict
from ftkit.model_init import ADAPTERS
from ftkit.runs.comparison import compare_predictions, read_test_predictions
from ftkit.runs.folder import RunFolder
from ftkit.runs.scoring import count_runs
from ftkit.settings import KEYS, Settings, quote
from ftkit.tasks.base import Task

STARTS = ("weights", "base")
FEWEST = 20  # test rows of a slice that gets a verdict
NEAREST = 0.25  # share of the test rows that is compared as like the judged ones
MANY_RUNS = 3  # from which on the choice between them is warned about
FIXED = ("task", *(name for name, f in KEYS.items() if f.metadata["section"] == "data" and name != "feedback_file"))
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Continuation:
    "The run that another continues, and what the training starts from"

    run: RunFolder  # finished
    start: str = "weights"  # weights: the fine-tuned ones of the run; base: those of the base model

    @property
    def first_weights(self) -> str | None:
        "Return the folder of the first weights, None for those of the base. Raises `UserError` if it is gone"
        if self.start == "base":
            return None
        self.check_there()
        return str(self.run.model_folder)

    def check_there(self) -> None:
        "Raise `UserError` if the run is gone"
        if not (self.run.path / "run.json").is_file():
            raise UserError(f"{self.run.path}: the run that is continued is no longer there. Put it back.")

    def record(self) -> dict:
        "Return the lineage for run.json"
        record = self.run.record
        return {
            "from": self.run.path.name,
            "path": str(self.run.path.absolute()),
            "id": record.get("id"),
            "start": self.start,
            "weights": record["weights"],
            "verdict": None,
            "slices": [],
            "runs": None,
            "text": None,
        }


def find_continued(
    run: RunFolder,  # that may continue another
) -> Continuation | None:
    """Return what a run continues, or None. The other is looked for next to it, then where it was.

    Raises `UserError` if the record is not as ftkit writes it
    """
    known = run.record.get("continued")
    if not known:
        return None
    keys = ("from", "path", "start")
    if not (isinstance(known, dict) and all(isinstance(known.get(k), str) for k in keys) and known["start"] in STARTS):
        raise UserError(f"{run.path}: `continued` in its run.json is not as ftkit writes it. Start a new run.")
    places = [run.path.absolute().parent / Path(known["from"]).name, Path(known["path"])]
    found = [RunFolder(place) for place in places if (place / "run.json").is_file()]
    same = [other for other in found if other.read().get("id") == known.get("id")]
    return Continuation((same or [RunFolder(places[0])])[0], known["start"])


def check_continuation(
    continued: Continuation,  # what a new run shall continue
    settings: Settings,  # of the new run
    name: str | None = None,  # of the new run
) -> None:
    "Raise `UserError` if the run cannot be continued with these settings"
    run, start = continued.run, continued.start
    continued.check_there()
    if start not in STARTS:
        raise UserError(f"start = {start}: not a choice. Choices: {', '.join(STARTS)}.")
    if run.record["status"] != "finished" or not run.record["metrics"]:
        raise UserError(
            f"{run.path}: is {run.status}, and only a finished run is continued. {run.advise_unfinished()}"
        )
    if name == run.path.name:
        raise UserError(f"run name '{name}': is that of the run that is continued. Give another name.")
    old = run.settings.with_absolute_paths()
    for key in FIXED:
        value = getattr(settings.with_absolute_paths(), key)
        if value != getattr(old, key):
            raise UserError(
                f"{key} = {quote(value)}: a run that continues {run.path.name} keeps its rows and labels "
                f"({key} = {quote(getattr(old, key))}). Leave it out, or start a new run."
            )
    if start == "base":
        return
    for key in ("model_name_or_path", "model_revision"):
        if getattr(settings.with_absolute_paths(), key) != getattr(old, key):
            raise UserError(
                f"{key}: the training starts from the weights of {run.path.name}. Give start = base with it."
            )
    beside = next((s.method for s in (old, settings) if s.method in ADAPTERS), None)
    if beside:
        raise UserError(
            f"method = {beside}: keeps its weights beside the base model, and they are not trained further. "
            "Give start = base."
        )


def join_judged(
    continued: Continuation | None,  # what a new run continues
    settings: Settings,  # of the new run
) -> list[dict] | None:
    "Return the judged answers that a new run is trained with: those of the run it continues, then its own"
    files = [continued.run.settings.feedback_file if continued else None, settings.feedback_file]
    parts = [read_entries(file) for file in dict.fromkeys(filter(None, files))]
    return join_entries(*parts) if parts else None


def check_same_rows(
    continued: Continuation,  # what a new run continues
    report: dict,  # of `load_data`, now
) -> None:
    "Raise `UserError` if the rows of the run cannot be had again"
    old = continued.run.data
    for split in ("test", "validation", "train"):
        then, now = (
            (data.get("feedback") or {}).get("rows_sha256") if split == "train" else None for data in (old, report)
        )
        if (then or old[split]["sha256"]) != (now or report[split]["sha256"]):
            raise UserError(
                f"{continued.run.path}: its {split} rows cannot be had again: what was read now has another sha256, "
                "so the two runs could not be compared. Put the old rows back, or start a new run."
            )


def judge_continued(
    run: RunFolder,  # scored
    continued: Continuation,  # what it continues
    task: Task,  # of both
    judged: list[str],  # texts of the judged answers that were trained
) -> None:
    "Record the verdict on a run and the one it continues, on the same test rows and on slices of them"
    old, names = continued.run, (run.path.name, continued.run.path.name)
    if not (old.path / "run.json").is_file():
        return logger.warning(f"{old.path}: the run that is continued is no longer there, so there is no verdict.")
    verdict = compare_predictions(run, old, task)
    if verdict is None:
        return logger.warning(f"{old.path}: was not scored on the same test rows, so there is no verdict.")
    slices = judge_slices(*read_test_predictions(run, old), task, names, judged, run.settings)
    runs = count_runs(run, run.data["test"]["sha256"])
    found = {"verdict": asdict(verdict), "slices": slices, "runs": runs}
    run.update(continued={**run.record["continued"], **found, "text": "\n".join(describe_verdict(verdict, runs))})


def judge_slices(
    new: pd.DataFrame,  # test predictions of a run
    old: pd.DataFrame,  # of the run that it continues, on the same rows
    task: Task,  # of both
    names: tuple[str, str],  # of the runs
    judged: list[str],  # texts of the judged answers that were trained
    settings: Settings,  # of the new run
) -> list[dict]:
    """Return the verdict on each slice with enough rows, as `slice`, `rows`, `p_holm` and the keys of `Verdict`.

    `better` is None unless p, adjusted for all slices (Holm 1979), is significant; intervals are those of one slice
    """
    slices = {name: mask for name, mask in find_slices(task, old, judged).items() if FEWEST <= mask.sum() < len(mask)}
    verdicts = [task.compare(new[m], old[m], names, **settings.section("metrics")) for m in slices.values()]
    adjusted, level = holm([v.p for v in verdicts]), 1 - settings.confidence_level
    return [
        {**asdict(v), "slice": name, "rows": int(mask.sum()), "p_holm": p, "better": v.better if p <= level else None}
        for (name, mask), v, p in zip(slices.items(), verdicts, adjusted)
    ]


def find_slices(
    task: Task,  # of the rows
    rows: pd.DataFrame,  # test predictions
    judged: list[str],  # texts of the judged answers that were trained
) -> dict[str, np.ndarray]:
    "Return name -> whether each row is in the slice (rows,): by label, by length, and by likeness to judged answers"
    found, texts = dict(task.slices(rows)), list(rows["text"].astype(str))
    lengths = np.array([len(text) for text in texts])
    low, high = np.quantile(lengths, [1 / 3, 2 / 3])
    found |= {
        f"short texts (up to {low:.0f} characters)": lengths <= low,
        "texts of middle length": (lengths > low) & (lengths <= high),
        f"long texts (over {high:.0f} characters)": lengths > high,
    }
    if judged and (likeness := measure_likeness(texts, judged)).max() > 0:
        near = (likeness >= np.quantile(likeness, 1 - NEAREST)) & (likeness > 0)
        found |= {"texts like the judged ones": near, "texts unlike the judged ones": ~near}
    return found


def measure_likeness(
    texts: list[str],  # to compare
    judged: list[str],  # with these
) -> np.ndarray:
    "Return the largest cosine of each text to a judged one, by TF-IDF of words (texts,)"
    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", sublinear_tf=True).fit([*texts, *judged])
    return (words.transform(texts) @ words.transform(judged).T).max(axis=1).toarray().ravel()


def describe_verdict(
    verdict: Verdict,  # on all test rows
    runs: int | None,  # scored on these rows
) -> list[str]:
    "Return the verdict, and a warning if the same rows have chosen between many runs, as lines"
    if not runs or runs < MANY_RUNS:
        return [verdict.text]
    warning = (
        f"these test rows have now chosen between {runs} runs: each choice makes their score look better than it is. "
        "Confirm the last one on rows that none of them was scored on: ftkit evaluate RUN --file FILE"
    )
    return [verdict.text, warning]
