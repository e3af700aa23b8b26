"The runs of a folder as rows, for the command and the panel. Neither torch nor transformers is loaded."

import logging

from ftkit.errors import UserError
from ftkit.intervals import Interval
from ftkit.runs.folder import RunFolder

logger = logging.getLogger(__name__)


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
