"The runs of a folder as rows, for the command and the panel. Neither torch nor transformers is loaded."

import logging
from pathlib import Path

from ftkit.errors import UserError
from ftkit.intervals import Interval
from ftkit.runs.folder import RunFolder, list_runs
from ftkit.settings import Settings

logger = logging.getLogger(__name__)


def warn_about_other_rows(
    root: str | Path,  # the folder of the runs
    settings: Settings,  # of a new run
    report: dict,  # of `load_data`, for it
) -> None:
    "Warn if the newest run with the same data settings had other test rows: the file was changed since"
    section = settings.with_absolute_paths().section("data")
    if not settings.train_file:
        return
    for run in reversed(list_runs(Path(root))):
        try:
            data, same = run.record.get("data"), run.settings.with_absolute_paths().section("data") == section
        except UserError:  # a damaged run says nothing
            continue
        if same and data:
            if data["test"]["sha256"] != report["test"]["sha256"]:
                logger.warning(
                    f"test: not the test rows of run {run.path.name!r}, as the file has changed since: their scores "
                    "cannot be compared. To see whether a change of the file helps, give both runs one --test_file."
                )
            return


def summarise_runs(
    runs: list[RunFolder],  # of one folder or several
) -> list[dict]:
    "Return name, status, headline test score, seconds of training and base model of each run"
    rows = []
    for run in runs:
        try:
            record, model = run.record, run.settings.model_name_or_path
            headline, seconds = record["headline"], record["timing"]["train_seconds"]
            score = Interval.from_record(record["metrics"]["test"][headline]) if record["metrics"] else None
        except UserError as e:  # one damaged run does not hide the others
            logger.warning(str(e))
            continue
        except (KeyError, TypeError):
            logger.warning(f"{run.path}: its run.json has no score of its headline metric.")
            continue
        rows.append(
            {
                "run": run.path.name,
                "status": record["status"],
                "headline": headline,
                headline: score and str(score),
                "seconds": seconds and f"{seconds:.1f}",
                "model": model,
            }
        )
    return rows
