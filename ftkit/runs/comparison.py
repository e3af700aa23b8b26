"""The comparison of two runs: differences of their records and losses, and a verdict on their predictions.

`ftkit train --rerun` and `ftkit runs A B` both use it.
"""

import hashlib
import logging
import re
from dataclasses import replace
from itertools import zip_longest

import pandas as pd

from ftkit.data import SPLITS, rows_sha256
from ftkit.errors import UserError
from ftkit.files.feedback import TRAINED_WITH, read_entries
from ftkit.metrics import Verdict
from ftkit.runs.folder import RunFolder
from ftkit.runs.scoring import count_look
from ftkit.settings import format_value
from ftkit.tasks.base import Task
from ftkit.views.html import shorten

GROUPS = ("data", "tokens", "weights", "versions", "machine")
MACHINE = ("device", "device_name", "precision", "threads", "platform")
WORDS = {
    **{split: f"{split} rows" for split in SPLITS},
    "labels": "label names",
    "tokens_sha256": "token ids of the training rows",
    "first_sha256": "first weights",
    "final_sha256": "final weights",
    "settings_sha256": "settings.ini",
    "device_name": "device name",
}

logger = logging.getLogger(__name__)


def judge_rerun(
    run: RunFolder,  # the first run
    again: RunFolder,  # its rerun
    task: Task,  # of both
) -> dict:
    "Return the outcome of a rerun: `of`, `outcome`, `first_different_step`, `changed`, `text`"
    changed, losses = diff_runs(run, again), compare_losses(run, again)
    kind, text = conclude(run, again, task, losses)
    changed["settings"] |= find_edited_settings(run)
    changed["weights"].pop("final_sha256", None)  # the outcome, not a cause
    lines = [text, *([describe_loss_difference(losses, "{} then, {} now")] if losses["same"] is False else [])]
    causes = describe_changes(changed, "{} then, {} now") + describe_resumes(run)
    lines += [f"{'changed, to no effect' if kind == 'identical' else 'cause'}: {line}" for line in causes]
    if kind != "identical" and not causes:
        lines.append("no change of settings, rows, versions or machine is recorded")
    changed = {group: pairs for group, pairs in changed.items() if pairs}
    return {
        "of": run.path.name,
        "outcome": kind,
        "first_different_step": losses["first_different_step"],
        "changed": changed,
        "text": "\n".join(lines),
    }


def conclude(
    run: RunFolder,  # the first run
    again: RunFolder,  # its rerun
    task: Task,  # of both
    losses: dict,  # from `compare_losses`
) -> tuple[str | None, str]:
    "Return identical, within noise or different (None if there is nothing to compare), and a sentence about it"
    name, old, new = run.path.name, run.record, again.record
    rows = [split for split in SPLITS if split in diff_records(old, new)["data"]]
    final, judged = get_nested(old, "weights", "final_sha256"), compare_predictions(again, run, task)
    equal, logged = final == get_nested(new, "weights", "final_sha256"), f"{losses['compared']:,} losses"
    if rows:
        disagreement = f"; {describe_disagreement(again, run, judged)}" if judged else ""
        return "different", f"different from {name}: the {', '.join(rows)} rows changed{disagreement}"
    if final is None and losses["same"] is None:
        return None, f"there is nothing to compare: {name} has neither final weights nor a logged loss"
    if final is None and losses["same"]:
        return (
            "identical",
            f"identical to {name} as far as it came: all {logged} up to step {losses['last_step']} are the same",
        )
    if equal and losses["same"] is not False:
        return "identical", f"identical to {name}: the final weights and all {logged} are the same"
    what = f"the {'losses' if equal or final is None else 'final weights'} differ"
    if not judged:
        return "different", f"different from {name}: {what}; it has no test predictions to compare"
    if judged.p > 1 - run.settings.confidence_level:
        return "within noise", f"within noise of {name}: {what}; {describe_disagreement(again, run, judged)}"
    return "different", f"different from {name}: {what}; {describe_disagreement(again, run, judged)}"


def find_edited_settings(
    run: RunFolder,  # whose settings.ini may have been edited since it was started
) -> dict[str, tuple]:
    "Return the sha256 of settings.ini then and now if they differ. Older records don't have the first"
    then = get_nested(run.record, "settings_sha256")
    now = hashlib.sha256((run.path / "settings.ini").read_bytes()).hexdigest()
    return {} if then in (None, now) else {"settings_sha256": (then, now)}


def describe_resumes(
    run: RunFolder,  # that may have been resumed
) -> list[str]:
    "Return one line for each part of hardware and versions that had changed when the run was resumed"
    found = [get_nested(entry, "changed") or {} for entry in get_nested(run.record, "resumed") or []]
    return [
        f"{run.path.name} was resumed with {WORDS.get(name, name)} {format_short(now)}, not {format_short(then)}"
        for pairs in found
        for name, (then, now) in pairs.items()
    ]


def get_nested(
    record: object,  # run.json, or a part of it
    *keys: str,  # one for each level
) -> object:
    "Return a nested value of a record, or None if the record has no such key"
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def collect_facts(
    record: dict,  # run.json
) -> dict[str, dict]:
    "Return what a record has about the origin of its result, by group, without what is missing"
    data = {
        split: {key: get_nested(record, "data", split, key) for key in ("rows", "sha256")}
        for split in SPLITS
        if get_nested(record, "data", split, "sha256")
    }
    groups = {
        "data": {**data, "labels": get_nested(record, "data", "labels")},
        "tokens": {"tokens_sha256": get_nested(record, "tokens_sha256")},
        "weights": {name: get_nested(record, "weights", name) for name in ("first_sha256", "final_sha256")},
        "versions": {name: get_nested(record, "versions", name) for name in get_nested(record, "versions") or {}},
        "machine": {name: get_nested(record, "machine", name) for name in MACHINE},
    }
    return {
        group: {name: value for name, value in values.items() if value is not None} for group, values in groups.items()
    }


def diff_records(
    a: dict,  # run.json of one run
    b: dict,  # run.json of another
) -> dict[str, dict[str, tuple]]:
    """Return the differences of two records, by group, with both values.

    A fact that one of them lacks is no difference; a package that one of them lacks is.
    """
    ours, theirs, found = collect_facts(a), collect_facts(b), {}
    for group, known in ours.items():
        other = theirs[group]
        lists_both = group == "versions" and known and other
        names = known | other if lists_both else [name for name in known if name in other]
        pairs = {name: (known.get(name), other.get(name)) for name in names}
        found[group] = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return found


def diff_runs(
    a: RunFolder,  # one run
    b: RunFolder,  # another
) -> dict[str, dict[str, tuple]]:
    "Return the differences of two runs, by group: settings, data, tokens, weights, versions, machine"
    ours, theirs = (
        {**{k: v for k, v in vars(s).items() if k != "training_arguments"}, **s.training_arguments}
        for s in (a.settings, b.settings)
    )
    settings = {key: (ours.get(key), theirs.get(key)) for key in ours | theirs if ours.get(key) != theirs.get(key)}
    return {"settings": settings, **diff_records(a.record, b.record)}


def read_losses(
    run: RunFolder,  # with a log
) -> list[tuple]:
    "Return (step, loss or eval_loss, value) of every loss in the log, in its order"
    return [(row["step"], kind, row[kind]) for row in run.history for kind in ("loss", "eval_loss") if kind in row]


def compare_losses(
    a: RunFolder,  # one run
    b: RunFolder,  # another
) -> dict:
    """Return `same`, `first_different_step`, `metric`, and the values at that step as `a` and `b`.

    A run that did not finish is compared as far as it came. `same` is None if no loss is logged in both.
    """
    logged, compared, last = (read_losses(a), read_losses(b)), 0, None
    complete = [run.record.get("status") == "finished" and bool(log) for run, log in zip((a, b), logged)]
    for one, two in zip_longest(*logged):
        if one != two and all(pair or end for pair, end in zip((one, two), complete)):
            step, kind = min(pair[:2] for pair in (one, two) if pair)
            values = [pair[2] if pair and pair[:2] == (step, kind) else None for pair in (one, two)]
            return {
                "same": False,
                "compared": compared,
                "last_step": last,
                "first_different_step": step,
                "metric": kind,
                "a": values[0],
                "b": values[1],
            }
        if one != two:
            break
        compared, last = compared + 1, one[0]
    return {
        "same": True if compared else None,
        "compared": compared,
        "last_step": last,
        "first_different_step": None,
        "metric": None,
        "a": None,
        "b": None,
    }


def compare_on_rows(
    a: RunFolder,  # a run that has a model
    b: RunFolder,  # another one
    task: Task,  # of both
    rows,  # labelled rows, or a file of them
    text_column_name: str | None = None,  # default: that of the training rows
    label_column_name: str | None = None,  # default: that of the training rows
) -> Verdict:
    """Return the verdict on the models of two runs on other rows than their own. The evaluation is counted for both.

    Rows that one of them learned as judged answers are left out. Raises `UserError` if none is left, or if their
    labels differ
    """
    names = (a.path.name, b.path.name)
    if a.data["labels"] != b.data["labels"]:
        raise UserError(f"{names[0]} and {names[1]} have different labels, so they cannot be compared.")
    data, _ = task.load_rows(rows, a.data, text_column_name, label_column_name)
    files = [file for run in (a, b) if (file := run.path / TRAINED_WITH).is_file()]
    learned = {entry["text"] for file in files for entry in read_entries(file)}
    kept = [i for i, text in enumerate(data["text"]) if text not in learned]
    if not kept:
        raise UserError(f"{rows}: one of the runs learned all of these rows. Give rows that are new to both.")
    if left_out := len(data) - len(kept):
        logger.info(f"{left_out:,} of {len(data):,} rows are left out: one of the runs learned them as judged answers")
        data = data.select(kept)
    found = [task.predict(*task.open_model(str(run.model_folder)), data, run.settings) for run in (a, b)]
    for run in (a, b):
        count_look(run, rows_sha256(data), "compare")
    verdict = task.compare(*found, names, **a.settings.section("metrics"))
    return replace(verdict, text=f"{verdict.text} (on {len(data):,} other rows)")


def read_test_predictions(
    a: RunFolder,  # one run
    b: RunFolder,  # another, scored on the same test rows
) -> list[pd.DataFrame]:
    "Return the test rows of two runs with what each predicted"
    return [run.predictions.query("split == 'test'").reset_index(drop=True) for run in (a, b)]


def compare_predictions(
    a: RunFolder,  # one run
    b: RunFolder,  # another
    task: Task,  # of both
) -> Verdict | None:
    "Return the verdict on two models on the same test rows, or None if the rows differ or a run was not scored"
    records = a.record, b.record
    sha256 = [get_nested(record, "data", "test", "sha256") for record in records]
    if not all(get_nested(record, "metrics", "test") for record in records) or sha256[0] != sha256[1]:
        return None
    names = (a.path.name, b.path.name)
    one, two = read_test_predictions(a, b)
    judged = task.compare(one, two, names, **a.settings.section("metrics"))
    if judged.difference == 0 and (one.predicted.astype(str) == two.predicted.astype(str)).all():
        judged = replace(judged, text=f"{names[0]} and {names[1]} give the same answers to all {len(one):,} test rows")
    return judged


def describe_disagreement(
    a: RunFolder,  # one run
    b: RunFolder,  # another
    judged: Verdict,  # from `compare_predictions`
) -> str:
    "Return how many test predictions differ, and whether that makes one of the two better"
    one, two = (rows.predicted.astype(str) for rows in read_test_predictions(a, b))
    return f"{(one != two).sum():,} of {len(one):,} test predictions differ; {judged.text}"


def compare_runs(
    a: RunFolder,  # one run
    b: RunFolder,  # another
    task: Task,  # of both
) -> dict:
    "Return the differences by group and of the losses, and a verdict if both were scored on the same test rows"
    found, judged = diff_runs(a, b), compare_predictions(a, b, task)
    known = [collect_facts(run.record) for run in (a, b)]
    same = [g for g, pairs in found.items() if not pairs and (g == "settings" or all(facts[g] for facts in known))]
    return {
        "a": a.path.name,
        "b": b.path.name,
        "changed": found.pop("settings"),
        **found,
        "losses": compare_losses(a, b),
        "same": same,
        "verdicts": [judged] if judged else [],
    }


def describe_comparison(
    result: dict,  # from `compare_runs`
) -> list[str]:
    "Return a comparison as lines of text"
    losses = result["losses"]
    lines = describe_changes({"settings": result["changed"], **{group: result[group] for group in GROUPS}})
    if losses["same"]:
        lines.append(f"all {losses['compared']:,} losses up to step {losses['last_step']} are the same")
    elif losses["same"] is not None:
        lines.append(describe_loss_difference(losses))
    if result["same"]:
        lines.append(f"the same: {', '.join(result['same'])}")
    why = "not both of them were scored: there is no verdict"
    if "test" in result["data"]:
        why = "their test rows differ: there is no verdict. Train both with the same --test_file for one"
    return lines + ([v.text for v in result["verdicts"]] or [why])


def describe_changes(
    changed: dict[str, dict[str, tuple]],  # from `diff_records` or `diff_runs`
    pattern: str = "{} | {}",  # how two values are written
) -> list[str]:
    "Return one line for each difference"
    found = []
    for group, pairs in changed.items():
        for name, pair in pairs.items():
            one, two = (
                f"{v['rows']} (sha256 {format_short(v['sha256'])})"
                if group == "data" and name in SPLITS
                else format_short(v)
                for v in pair
            )
            hint = f" (num_threads = {one} repeats the first)" if name == "threads" else ""
            found.append(f"{WORDS.get(name, name)}: {pattern.format(one, two)}{hint}")
    return found


def describe_loss_difference(
    losses: dict,  # from `compare_losses`, with `same` False
    pattern: str = "{} | {}",  # how two values are written
) -> str:
    "Return the step from which on the losses differ, and both values there"
    values = ["not logged" if losses[run] is None else format_short(losses[run]) for run in ("a", "b")]
    pair = pattern.format(*values)
    return f"the losses differ from step {losses['first_different_step']} on: {losses['metric']} {pair}"


def format_short(value: object) -> str:
    "Return a value of a record on one line: fingerprints cut short, control characters written out"
    text = ", ".join(map(str, value)) if isinstance(value, list) else format_value(value)
    return shorten(text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text, limit=100)
