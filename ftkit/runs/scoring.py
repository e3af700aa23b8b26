"The end of a training: the model and every rung on the same test rows, in one evaluation that is counted."

import errno
import json
import logging
from collections import Counter
from dataclasses import asdict

import numpy as np
import pandas as pd
from filelock import FileLock

from ftkit.checks.duplicates import find_repeats
from ftkit.checks.price import price
from ftkit.checks.privacy import find_personal_data, find_placeholders
from ftkit.runs.folder import RunFolder, utc_now
from ftkit.tasks.base import Task

FEW_LEAKED = 0.01  # share of the test rows up to which the report alone says it
HOW_TO_MEND = "ftkit check shows how to take them out"
logger = logging.getLogger(__name__)


def score_run(
    run: RunFolder,  # where the result is written
    task: Task,  # how it is scored
    predictions: dict[str, pd.DataFrame],  # split -> predictions of the fine-tuned model, from `Task.predict`
    rungs: list,  # of `ladder`: each has name, predictions of the test rows, seconds, or its problem
    sha256: str,  # of the test rows
) -> None:
    "Write predictions, metrics, baselines and verdicts"
    keys, test = run.settings.section("metrics"), predictions["test"]
    run.write_predictions(
        pd.concat([rows.assign(split=split) for split, rows in predictions.items()], ignore_index=True)
    )
    baselines, verdicts, unfitted, always = {}, [], {}, {}
    for rung in rungs:
        if rung.problem:
            unfitted[rung.name] = rung.problem
            continue
        rows = task.with_predictions(test, rung.predictions)
        baselines[rung.name] = {**task.score(rows, **keys), "seconds": rung.seconds}
        verdicts.append(task.compare(test, rows, ("fine-tuned", rung.name), **keys))
        if (answer := task.constant_answer(rows)) is not None:
            always[rung.name] = answer
    scores = {split: task.score(rows, **keys) for split, rows in predictions.items()}
    confidence = {split: task.mean_confidence(rows) for split, rows in predictions.items()}
    looks = count_look(run, sha256, "train")
    found = {"metrics": scores, "baselines": baselines, "unfitted": unfitted, "always": always, "verdicts": verdicts}
    run.update(**found, confidence=confidence, looks=looks)


def examine_rows(
    run: RunFolder,  # where the result is written
    train: list[str],  # the training texts
    test: pd.DataFrame,  # predictions of the test rows
    right: np.ndarray | None,  # whether each is right (rows,); None: nothing is priced
    written: list[str],  # all that people wrote in the training rows
) -> None:
    """Record what the doctor finds in the rows of a run.

    That is how many test rows are training rows too and what they add to the share of right ones, and the personal
    data and its placeholders in the training texts
    """
    held_out = (run.read().get("data") or {}).get("held_out", [])
    how = "Write group_near_duplicates = true" if "test" in held_out else HOW_TO_MEND
    leaks = find_leaks(train, list(test["text"]), right, run.settings.confidence_level, how)
    personal = {
        "found": dict(Counter(hit.kind for hit in find_personal_data(written))),
        "placeholders": dict(Counter(kind for text in written for kind in find_placeholders(text))),
    }
    run.update(leaks=leaks, personal_data=personal)


def find_leaks(
    train: list[str],  # the training texts
    test: list[str],  # the texts that a model is scored on
    right: np.ndarray | None,  # whether each answer is right (rows,); None: nothing is priced
    confidence_level: float = 0.95,  # of the price
    how: str = HOW_TO_MEND,  # what to do
) -> dict:
    "Return how many test rows are training rows too, by kind, and their `price`. Warn if they are more than a few"
    repeats = find_repeats(train, test)
    leaked = np.isin(np.arange(len(test)), [row for rows in repeats.leaks.values() for row in rows])
    found = None if right is None else price(right, leaked, "fine-tuned", confidence_level)
    if leaked.sum() > FEW_LEAKED * len(test):
        cost, count = f": {found}" if found else "", f"{leaked.sum():,} of {len(test):,} test rows"
        logger.warning(f"leak: {count} are training rows too, or nearly the same{cost}. {how}.")
    return {**repeats.count()[1], "price": asdict(found) if found else None}


def count_look(
    run: RunFolder,  # that evaluates
    sha256: str,  # of the rows
    command: str,  # train or evaluate
) -> int | None:
    """Record an evaluation on a set of test rows and return how many there have been.

    If it cannot be recorded, warn and return None
    """
    file = run.path.parent / "test_looks.jsonl"
    entry = {"time": utc_now(), "run": run.path.name, "command": command, "sha256": sha256}
    try:
        if file.is_symlink() or file.exists() and not file.is_file():  # a stranger's: what it leads to is not written
            raise OSError(errno.ELOOP, "it is not a regular file")
        with FileLock(file.with_name(".test_looks.lock"), timeout=60):
            seen = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
            newline = "\n" * (seen[-1:] not in ("", "\n"))  # the last line may be torn
            with open(file, "a", encoding="utf-8") as f:
                f.write(newline + json.dumps(entry) + "\n")
    except OSError as e:
        logger.warning(
            f"{file}: this evaluation on the test rows could not be counted ({e.strerror or 'it is locked'}). "
            "The more evaluations, the less a good score means."
        )
        return None
    return seen.count(sha256) + 1


def count_runs(
    run: RunFolder,  # one of them
    sha256: str,  # of the test rows
) -> int | None:
    "Return how many runs have been scored on a set of test rows, None if that cannot be read"
    try:
        lines = (run.path.parent / "test_looks.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
        looks = [json.loads(line) for line in lines if sha256 in line]
        return len({look["run"] for look in looks})
    except (OSError, ValueError, KeyError, TypeError):
        return None
