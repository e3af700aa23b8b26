"""Repeat a run from its record and say what came of it: identical, within noise or different, from which step on, and what changed.

The comparison of two records is here alone: `ftkit train --rerun` and `ftkit runs A B` both use it.
"""

import hashlib
import os
import re
from itertools import zip_longest
from pathlib import Path

import numpy as np

from ftkit.data import SPLITS, load_data
from ftkit.judge import verdict
from ftkit.metrics import Verdict
from ftkit.run import Run, check_name, versions
from ftkit.settings import written
from ftkit.views import say, shortened

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


def rerun(
    run: Run,  # what is repeated; it is never touched
    dataset=None,  # the rows, where the run was given rows from Python
    name: str | None = None,  # of the new run; default: date and time
    runs_dir: str | Path | None = None,  # where the new run is made; default: beside the old one
) -> Run:
    "Repeat a run from its record, in a new folder. `record['rerun']` of the new run says what came of it"
    from ftkit.device import describe
    from ftkit.trainer import fine_tune

    root = Path(runs_dir) if runs_dir is not None else Path(os.path.abspath(run.path)).parent
    check_name(name, root)
    now = {"data": rows_again(run, dataset), "versions": versions(), "machine": describe()}
    for line in lines(changes(run.record, now), "{} then, {} now"):
        say(f"not as when {run.path.name} was made: {line}")
    again = fine_tune(run.settings, dataset, root, name)
    again.update(rerun=outcome(run, again))
    return again


def rows_again(
    run: Run,  # what is repeated
    dataset=None,  # the rows, where the run was given rows from Python
) -> dict:
    "The report of the run's rows as they are now; `UserError` where they cannot be read again"
    run.check_source(dataset)
    return load_data(dataset, **run.settings.section("data"))[1]


def outcome(
    run: Run,  # what was repeated
    again: Run,  # the repetition
) -> dict:
    "What came of a repetition: `of`, `outcome`, `first_different_step`, `changed`, `text`"
    changed, parted = compare_records(run, again), compare_losses(run, again)
    kind, text = conclusion(run, again, parted)
    changed["settings"] |= edited(run)
    changed["weights"].pop("final_sha256", None)  # that is the outcome, no cause
    told = [text, *([loss_line(parted, "{} then, {} now")] if parted["same"] is False else [])]
    causes = lines(changed, "{} then, {} now") + resumed_elsewhere(run)
    told += [f"{'changed, to no effect' if kind == 'identical' else 'cause'}: {line}" for line in causes]
    if kind != "identical" and not causes:
        told.append("nothing that the record holds has changed")
    changed = {group: pairs for group, pairs in changed.items() if pairs}
    return {
        "of": run.path.name,
        "outcome": kind,
        "first_different_step": parted["first_different_step"],
        "changed": changed,
        "text": "\n".join(told),
    }


def conclusion(
    run: Run,  # what was repeated
    again: Run,  # the repetition
    parted: dict,  # from `compare_losses`
) -> tuple[str | None, str]:
    "identical, within noise, different, or None where there is nothing to compare; and a sentence that says it"
    name, old, new = run.path.name, run.record, again.record
    rows = [split for split in SPLITS if split in changes(old, new)["data"]]
    final, judged = at(old, "weights", "final_sha256"), verdict_of(again, run)
    equal, logged = final == at(new, "weights", "final_sha256"), f"{parted['compared']:,} losses"
    if rows:
        return "different", f"different from {name}: the {', '.join(rows)} rows changed" + (
            f"; {disagreement(again, run, judged)}" if judged else ""
        )
    if final is None and parted["same"] is None:
        return None, f"there is nothing to compare: {name} has neither final weights nor a logged loss"
    if final is None and parted["same"]:
        return (
            "identical",
            f"identical to {name} as far as that came: all {logged} up to step {parted['last_step']} are the same",
        )
    if equal and parted["same"] is not False:
        return "identical", f"identical to {name}: the final weights and all {logged} are the same"
    what = f"the {'losses' if equal or final is None else 'final weights'} differ"
    if not judged:
        return "different", f"different from {name}: {what}; it has no test predictions to compare"
    if judged.p > 1 - run.settings.confidence_level:
        return "within noise", f"within noise of {name}: {what}; {disagreement(again, run, judged)}"
    return "different", f"different from {name}: {what}; {disagreement(again, run, judged)}"


def edited(
    run: Run,  # whose settings.ini may be another than the one that it was made with
) -> dict[str, tuple]:
    "The fingerprints of settings.ini then and now, where they differ and the record has the first"
    then, now = at(run.record, "settings_sha256"), hashlib.sha256((run.path / "settings.ini").read_bytes()).hexdigest()
    return {} if then in (None, now) else {"settings_sha256": (then, now)}


def resumed_elsewhere(
    run: Run,  # that may have been resumed
) -> list[str]:
    "What was not as at its start when a run was resumed: one line each"
    found = [at(entry, "changed") or {} for entry in at(run.record, "resumed") or []]
    return [
        f"{run.path.name} was resumed with {WORDS.get(name, name)} {shown(now)}, not {shown(then)}"
        for pairs in found
        for name, (then, now) in pairs.items()
    ]


def at(
    record: object,  # run.json, or a part of it
    *keys: str,  # the way down
) -> object:
    "A value deep in a record; None where the record has no such key"
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def facts(
    record: dict,  # run.json
) -> dict[str, dict]:
    "What a record says about where its result comes from, by group; what it does not say is left out"
    data = {
        split: {key: at(record, "data", split, key) for key in ("rows", "sha256")}
        for split in SPLITS
        if at(record, "data", split, "sha256")
    }
    groups = {
        "data": {**data, "labels": at(record, "data", "labels")},
        "tokens": {"tokens_sha256": at(record, "tokens_sha256")},
        "weights": {name: at(record, "weights", name) for name in ("first_sha256", "final_sha256")},
        "versions": {name: at(record, "versions", name) for name in at(record, "versions") or {}},
        "machine": {name: at(record, "machine", name) for name in MACHINE},
    }
    return {
        group: {name: value for name, value in values.items() if value is not None} for group, values in groups.items()
    }


def changes(
    a: dict,  # run.json of one run
    b: dict,  # run.json of another
) -> dict[str, dict[str, tuple]]:
    "What differs between two records, by group, with both values. What one of them does not say is no difference; a package that it lacks is one"
    ours, theirs, found = facts(a), facts(b), {}
    for group, known in ours.items():
        names = (
            known | theirs[group]
            if group == "versions" and known and theirs[group]
            else [name for name in known if name in theirs[group]]
        )
        found[group] = {
            name: (known.get(name), theirs[group].get(name))
            for name in names
            if known.get(name) != theirs[group].get(name)
        }
    return found


def compare_records(
    a: Run,  # one run
    b: Run,  # another
) -> dict[str, dict[str, tuple]]:
    "What differs between two runs, by group: settings, data, tokens, weights, versions, machine"
    ours, theirs = (
        {**{k: v for k, v in vars(s).items() if k != "training_arguments"}, **s.training_arguments}
        for s in (a.settings, b.settings)
    )
    settings = {key: (ours.get(key), theirs.get(key)) for key in ours | theirs if ours.get(key) != theirs.get(key)}
    return {"settings": settings, **changes(a.record, b.record)}


def losses(
    run: Run,  # with a log
) -> list[tuple]:
    "(step, loss or eval_loss, value) of every loss in the log, in its order"
    return [(row["step"], kind, row[kind]) for row in run.history for kind in ("loss", "eval_loss") if kind in row]


def compare_losses(
    a: Run,  # one run
    b: Run,  # another
) -> dict:
    """Where the logged losses of two runs part: `same`, `first_different_step`, `metric`, and the values there as `a` and `b`.

    A run that did not finish is compared as far as it came; `same` is None where there is no loss in both.
    """
    logged, compared, last = (losses(a), losses(b)), 0, None
    whole = [run.record.get("status") == "finished" and bool(log) for run, log in zip((a, b), logged)]
    for one, two in zip_longest(*logged):
        if one != two and all(pair or end for pair, end in zip((one, two), whole)):
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


def on_test_rows(
    a: Run,  # one run
    b: Run,  # another, scored on the same test rows
) -> list[np.ndarray]:
    "Ids of the labels on the test rows: as one predicts them, as the other does, and as they are"
    ids = {name: i for i, name in enumerate(dict.fromkeys([*a.labels, *b.labels]))}
    rows = [run.predictions.query("split == 'test'") for run in (a, b)]
    predicted = [np.array([ids[run.labels[i]] for i in np.stack(r.logits).argmax(-1)]) for run, r in zip((a, b), rows)]
    return [*predicted, rows[0].label.map(ids).to_numpy()]


def verdict_of(
    a: Run,  # one run
    b: Run,  # another
) -> Verdict | None:
    "Two models on the same test rows; None where these differ, or where one of the two was not scored"
    records = a.record, b.record
    sha256 = [at(record, "data", "test", "sha256") for record in records]
    if not all(at(record, "metrics", "test") for record in records) or sha256[0] != sha256[1]:
        return None
    return verdict(*on_test_rows(a, b), (a.path.name, b.path.name), a.settings)


def disagreement(
    a: Run,  # one run
    b: Run,  # another
    judged: Verdict,  # from `verdict_of`
) -> str:
    "How many test predictions differ, and whether that makes one of the two better"
    one, two, _ = on_test_rows(a, b)
    return f"{(one != two).sum():,} of {len(one):,} test predictions differ; {judged.text}"


def lines(
    changed: dict[str, dict[str, tuple]],  # from `changes` or `compare_records`
    pattern: str = "{} | {}",  # how two values are put
) -> list[str]:
    "One line for each thing that differs"
    found = []
    for group, pairs in changed.items():
        for name, pair in pairs.items():
            one, two = (
                f"{v['rows']} (sha256 {shown(v['sha256'])})" if group == "data" and name in SPLITS else shown(v)
                for v in pair
            )
            hint = f" (OMP_NUM_THREADS={one} repeats the first)" if name == "threads" else ""
            found.append(f"{WORDS.get(name, name)}: {pattern.format(one, two)}{hint}")
    return found


def loss_line(
    parted: dict,  # from `compare_losses`, where they part
    pattern: str = "{} | {}",  # how two values are put
) -> str:
    "From which step on the losses differ"
    values = ["not logged" if parted[run] is None else shown(parted[run]) for run in ("a", "b")]
    return f"the losses differ from step {parted['first_different_step']} on: {parted['metric']} {pattern.format(*values)}"


def shown(value: object) -> str:
    "A value of a record on one line: fingerprints short, nothing that a terminal would obey"
    text = ", ".join(map(str, value)) if isinstance(value, list) else written(value)
    return shortened(text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text, limit=100)
