"""Whether new texts are still like those that a run was validated on: `ftkit monitor RUN FILE`.

New rows are compared with the run's own validation rows; its test rows are not read. Every text counts once. One call
makes several tests, adjusted by Holm, so that without drift at most 5 of 100 calls alarm (`confidence_level = 0.95`).

Keys of the result (`--json`), which stay as they are:

- `run`, `file`; `rows` read, and of them `used`, `repeats`, `unusable` (empty or broken) and `answered` (the model
  writes to the first ones only, where generation is slow); `reference_rows`: validation rows
- `level`; `drift`: whether a test fired; `fired`: their names; `advice`: what to do, in one line
- `tests`: list of `name`, `statistic`, `value`, `p`, `p_holm`, `fired`, `text`, and `reference` and `new`: means, if
  the test has some
- `detectable`: how far a share near one half has to move to be found in 8 of 10 calls
- `words` (`word`, `reference`, `new`, `p_holm`) and `slices` (`slice`, `reference`, `new`, `p_holm`, `auc`): they are
  shown, adjusted among themselves, and no reason for an alarm
- `distributions`: name -> `edges` of bins or `names`, with the shares of the rows in `reference` and `new`
- `examples`: texts that the classifier takes to be newest, if it fired
- `score`: null without labels, else `metric`, `rows`, `dropped`, `looks`, `reference`, `new`, `metrics`, `verdict`
- `notes`: what was decided while the file was read

Names of the tests: `features` (a classifier on features of the frozen base model), `feature_means` (their means,
which takes all rows), `labels` (shares of the predicted ones), `confidence`, `value` (predicted numbers), `answers`
(empty or cut) and `answer_words` of generated texts, `characters` (kinds of them), `tokens` (length), `unknown` (share
of [UNK] tokens), `unusable` (texts that are empty or broken), `score` (against the labels in the file).
"""

import logging
import math
from dataclasses import asdict

import numpy as np

from ftkit.data import named_columns, read_source, rows_sha256, sample
from ftkit.errors import UserError
from ftkit.files.rows import Table
from ftkit.intervals import Interval
from ftkit.runs.scoring import count_look
from ftkit.serving.batch import show_prompt
from ftkit.serving.drift import (
    POWER,
    DriftTest,
    Measured,
    Told,
    adjust,
    compare_counts,
    count_characters,
    detectable_gap,
    find_moved_slices,
    find_moved_words,
    run_tests,
)
from ftkit.serving.predict import find_text_problem
from ftkit.settings import LOWER_IS_BETTER
from ftkit.tasks.resampling import compare_unpaired
from ftkit.tokenizer import encode, unknown_shares

FEWEST = 20  # different texts of either side
MOST_ROWS = 2000  # new rows that are measured: more would be slower, and alarm at differences that do not matter
BINS, EXAMPLES = 16, 5
ADVICE = {  # test that fired -> what to do; the first one counts
    "unusable": "Texts arrive empty or broken. Mend what delivers them, then run this again.",
    "worse": "The model is worse on these rows. Correct its answers and train again: "
    "ftkit train --continue_from RUN --add_feedback FILE.",
    "unknown": "The tokenizer does not know many of these characters: another language, or a damaged encoding. "
    "Mend the encoding, or choose a base model that reads them.",
    "tokens": "Texts have another length. Check first whether something cuts or joins them on their way; if not, "
    "label 100 of them and run this again with the labels.",
    "characters": "Texts are written in another way (capitals, signs, encoding). Check first whether something "
    "changes them on their way; if not, label 100 of them and run this again with the labels.",
    "features": "These are other texts than the validation rows. Label 100 of them and run this again with the "
    "labels: the score says whether the model still holds.",
    "feature_means": "The texts differ a little from the validation rows. Label 100 of them and run this again with "
    "the labels: the score says whether the model still holds.",
    "labels": "The shares of the labels have moved. Label 100 of the rows: if the score holds, only the mixture has "
    "changed, and thresholds or class weights may need another look.",
    "value": "The predicted numbers have moved. Label 100 of the rows and run this again with the labels.",
    "answers": "The answers have changed their form. Read 20 of them, and check the prompts.",
    "answer_words": "The answers have another length. Read 20 of them, and check the prompts.",
    "confidence": "The model is more or less certain than it was. Label 100 of the rows and run this again with the "
    "labels.",
    "score": "The score is better than on the validation rows. Check that these are no training rows.",
}
RISING = ("unusable", "unknown")  # tests whose advice is right only if the share has grown
OTHER = "The texts have changed, but not for the worse. Read 20 of them."
NOTHING = "Nothing has to be done."
logger = logging.getLogger(__name__)


def monitor(
    run,  # a `Run` that has a model and predictions
    rows,  # new ones, perhaps with labels: a file, or rows from Python
    text_column_name: str | None = None,  # default: that of the training rows
    label_column_name: str | None = None,  # default: that of the training rows, if it is there
    opened: tuple | None = None,  # model, tokenizer and function of the features, if they are open
    progress=None,  # called with a number of rows as they are answered
) -> dict:
    "Compare new rows with the run's validation rows. Raises `UserError` if either are too few"
    table = rows if isinstance(rows, Table) else read_source(rows)["train"]
    known = read_validation(run)
    reference = unique(list(map(show_prompt, known["text"])))
    if len(reference) < FEWEST:
        raise UserError(
            f"{run.path}: has {len(reference)} different validation texts, and at least {FEWEST} are needed to "
            "compare with. Train with more rows, or with a larger validation_size."
        )
    prompts = run.task.read_prompts(table, run.data, text_column_name)
    usable, repeats = pick_usable(prompts, table.source, len(reference))
    model, tokenizer, features = opened or open_run(run)
    said = run.task.read_answers(known.iloc[reference], model)
    answered = sum(map(bool, said))
    asked = [prompts[i] for i in usable[: None if answered == len(said) else answered]]
    answers = run.task.answer(model, tokenizer, asked, run.settings, progress) if asked else []
    answers += [{}] * (len(usable) - len(answers))
    broken = {i for i, answer in enumerate(answers) if not is_finite(answer)}
    kept = [i for i in range(len(usable)) if i not in broken]
    check_enough(kept, len(prompts), table.source, len(reference), broken)
    old_texts = [show_prompt(known["text"].iloc[i]) for i in reference]
    new_texts = [show_prompt(prompts[usable[i]]) for i in kept]
    vectors = read_features(run, features, old_texts, new_texts)
    old = measure(old_texts, said, tokenizer, vectors and vectors[0])
    new = measure(new_texts, [answers[i] for i in kept], tokenizer, vectors and vectors[1])
    unusable = sum(find_text_problem(show_prompt(text)) is not None for text in prompts) + len(broken)
    score = score_rows(run, table, known, (model, tokenizer), text_column_name, label_column_name)
    extra = [compare_counts("unusable", count_dropped(run), (unusable, len(prompts)), "empty or broken texts")]
    extra += [score["test"]] if score and score["test"] else []
    numbers = {"rows": len(prompts), "used": len(new), "repeats": repeats, "unusable": unusable}
    numbers |= {"answered": len(asked), "reference_rows": len(old)}
    result = judge(old, new, [test for test in extra if test], 1 - run.settings.confidence_level, score)
    return {"run": str(run.path), "file": table.source, **numbers, **result, "notes": list(table.notes)}


def judge(
    reference: Measured,  # validation rows
    new: Measured,  # rows to watch
    extra: list[DriftTest] = (),  # other tests of the same call
    level: float = 0.05,  # chance that any of them fires without drift
    score: dict | None = None,  # of `score_rows`
) -> dict:
    "Return tests, what moved and what to do, as keys of the result"
    found, told = run_tests(reference, new)
    tests = adjust([*found, *extra], level)
    fired = [test.name for test in tests if test.fired]
    return {
        "level": round(level, 6),
        "drift": bool(fired),
        "fired": fired,
        "tests": [asdict(test) for test in tests],
        "advice": advise([test for test in tests if test.fired], score),
        "detectable": detectable_gap(len(reference), len(new), level / max(len(tests), 1)),
        "words": find_moved_words(reference.texts, new.texts),
        "slices": find_moved_slices(*slice_rows(reference, new), told),
        "distributions": describe_distributions(reference, new, told),
        "examples": pick_examples(new, told) if {"features", "feature_means"} & {*fired} else [],
        "score": {key: value for key, value in score.items() if key != "test"} if score else None,
    }


def advise(
    fired: list[DriftTest],  # that fired
    score: dict | None = None,  # of `score_rows`
) -> str:
    "Return what to do next, in one line"
    names = {test.name for test in fired if test.name not in RISING or test.new > test.reference}
    names |= {"worse"} if "score" in names and is_worse(score) else set()
    return next((line for name, line in ADVICE.items() if name in names), OTHER if fired else NOTHING)


# --- rows ---


def read_validation(run):
    "Return the validation rows of a run as it predicted them. Raises `UserError` if it has none"
    rows = run.predictions
    rows = rows[rows.split == "validation"].reset_index(drop=True)
    rows.attrs["labels"] = run.labels
    if "logits" in rows and not all(np.isfinite(row).all() for row in rows.logits):
        raise UserError(
            f"{run.path}: its predictions are not finite, so nothing can be compared with them. Train again."
        )
    return rows


def unique(
    texts: list,  # any
) -> list[int]:
    "Return the number of the first row of each different text"
    first = {}
    for i, text in enumerate(texts):
        first.setdefault(text, i)
    return list(first.values())


def pick_usable(
    prompts: list,  # what is asked in each row
    source: str,  # the file, for messages
    reference: int,  # validation rows
) -> tuple[list[int], int]:
    "Return the rows to measure, each different text once, and how many repeat one. Raises `UserError` if too few"
    texts = [show_prompt(text) for text in prompts]
    valid = [i for i, text in enumerate(texts) if find_text_problem(text) is None]
    rows = [valid[k] for k in unique([texts[i] for i in valid])]
    check_enough(rows, len(prompts), source, reference)
    if len(rows) > MOST_ROWS:
        logger.info(f"{source}: {MOST_ROWS:,} of {len(rows):,} different texts are compared, drawn at random")
        drawn = np.random.default_rng(0).choice(len(rows), MOST_ROWS, replace=False)
        rows = [rows[i] for i in sorted(drawn)]
    return rows, len(valid) - len(unique([texts[i] for i in valid]))


def check_enough(
    rows: list[int],  # to measure
    total: int,  # rows of the file
    source: str,  # the file
    reference: int,  # validation rows
    broken=(),  # rows whose answer is no finite number
) -> None:
    "Raise `UserError` if there are too few rows, with what more of them would find"
    if len(rows) >= FEWEST:
        return
    gaps = [f"{100 * detectable_gap(reference, n, 0.05 / 6):.0f} points with {n:,} rows" for n in (50, 200, 1000)]
    why = f" ({len(broken):,} answers are no finite number: the model is broken)" if broken else ""
    raise UserError(
        f"{source}: has {total:,} rows, of which {len(rows):,} different texts can be used{why}, and at least "
        f"{FEWEST} are needed. For an alarm in {10 * POWER:.0f} of 10 calls a share has to move by {', '.join(gaps)}."
    )


def is_finite(answer: dict) -> bool:
    "Return whether the numbers of an answer are finite. True if there are none"
    return all(math.isfinite(answer[key]) for key in ("score", "value") if key in answer) and all(
        map(math.isfinite, answer.get("scores", {}).values())
    )


def count_dropped(run) -> tuple[int, int]:
    "Return how many rows without a text were read with the run's own rows, and how many rows that were"
    read, dropped = run.data.get("read", {}), run.data.get("dropped", {})
    source = "validation" if "validation" in read else "train"
    count = dropped.get(source, {}).get("empty_text", 0)
    return count, max(read.get(source, 0), count)


# --- measures ---


def open_run(run) -> tuple:
    "Return model, tokenizer, and the function that makes features of the frozen base model, or None"
    return *run.open_model(), run.task.read_features(run.settings)


def read_features(
    run,  # a `Run`
    features,  # turns texts into features; None: the task has none
    *texts: list[str],
) -> list[np.ndarray] | None:
    "Return features of each list of texts; of the fine-tuned model if its base is not there; None if neither works"
    if features is None:
        return None
    own = run.settings.replace(model_name_or_path=str(run.model_folder), model_revision="main")
    makers = {"those of the fine-tuned model are compared": features, "none are compared": run.task.read_features(own)}
    for otherwise, make in makers.items():
        try:
            return [make(some) for some in texts]
        except Exception as e:  # the other tests still run
            why = (str(e).splitlines() or [type(e).__name__])[0]
            logger.warning(f"features could not be made: {otherwise} ({why})")
    return None


def measure(
    texts: list[str],  # different ones
    answers: list[dict],  # what the model says to them
    tokenizer,  # of the model
    features: np.ndarray | None,  # of the base model (texts, width)
) -> Measured:
    "Return all that is compared of some rows"
    ids = encode(tokenizer, texts, verbose=False)["input_ids"]
    unknown = unknown_shares({"input_ids": ids}, tokenizer, {str(i): [i] for i in range(len(ids))})
    numbers, shares = read_said(answers)
    numbers |= {"tokens": np.array([float(len(row)) for row in ids]), "unknown": np.array(list(unknown.values()))}
    return Measured(texts, features, numbers, {**shares, "characters": count_characters(texts)})


def read_said(
    answers: list[dict],  # of a task; empty ones were not asked for
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    "Return what answers hold: numbers by name, and shares by test and name. NaN for a row without an answer"
    first, numbers, shares = next(filter(None, answers), {}), {}, {}
    collect = lambda read: np.array([float(read(answer)) if answer else math.nan for answer in answers])
    if "scores" in first:
        one = "label" in first
        chosen = lambda answer: [answer["label"]] if one else answer["labels"]
        shares["labels"] = {name: collect(lambda a, n=name: n in chosen(a)) for name in first["scores"]}
        numbers["confidence"] = collect(
            lambda a: a["score"] if one else np.mean([max(p, 1 - p) for p in a["scores"].values()])
        )
    if "value" in first:
        numbers["value"] = collect(lambda a: a["value"])
    if "text" in first:
        shares["answers"] = {
            "empty answers": collect(lambda a: not a["text"].strip()),
            "answers cut at the limit": collect(lambda a: a["finish_reason"] == "length"),
        }
        numbers["answer_words"] = collect(lambda a: len(a["text"].split()))
    return numbers, shares


def slice_rows(
    reference: Measured,  # validation rows
    new: Measured,  # rows to watch
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    "Return slice -> whether a row is in it, for both sides: by predicted label, and by length"
    low, high = np.quantile(reference.numbers["tokens"], [1 / 3, 2 / 3])
    parts = {
        f"up to {low:.0f} tokens": lambda n: n <= low,
        f"{low + 1:.0f} to {high:.0f} tokens": lambda n: (n > low) & (n <= high),
        f"more than {high:.0f} tokens": lambda n: n > high,
    }
    sides = []
    for side in (reference, new):
        labels = {f"predicted {name}": values > 0 for name, values in side.shares.get("labels", {}).items()}
        sides.append(labels | {name: part(side.numbers["tokens"]) for name, part in parts.items()})
    return sides[0], sides[1]


def describe_distributions(
    reference: Measured,  # validation rows
    new: Measured,  # rows to watch
    told: Told | None,  # what the classifier found
) -> dict[str, dict]:
    "Return the shares of the rows by label, and by bins of each number, for a chart"
    found = {}
    if told:
        count = len(told.reference)
        found["features"] = count_bins(told.scores[:count], told.scores[count:])
    if labels := reference.shares.get("labels"):
        sides = ([float(np.nanmean(v)) for v in side.values()] for side in (labels, new.shares["labels"]))
        found["labels"] = {"names": list(labels), **dict(zip(("reference", "new"), sides))}
    for name in (name for name in reference.numbers if name in new.numbers):
        old, now = (side.numbers[name][np.isfinite(side.numbers[name])] for side in (reference, new))
        if len(old) and len(now) and np.ptp(np.concatenate([old, now])):
            found[name] = count_bins(old, now)
    return found


def count_bins(
    reference: np.ndarray,  # numbers
    new: np.ndarray,  # numbers
) -> dict[str, list[float]]:
    "Return edges of bins, and the share of each side in them. What lies far outside is in the last bin"
    both = np.concatenate([reference, new])
    low, high = np.quantile(both, [0.005, 0.995])
    edges = np.linspace(low, high if high > low else both.max(), BINS + 1)
    shares = (np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0] / len(side) for side in (reference, new))
    return {"edges": edges.tolist(), **{name: x.tolist() for name, x in zip(("reference", "new"), shares)}}


def pick_examples(
    new: Measured,  # rows to watch
    told: Told | None,  # what the classifier found
) -> list[str]:
    "Return the texts that the classifier takes to be newest"
    if not told:
        return []
    order = np.argsort(-told.scores[len(told.reference) :], kind="stable")
    return [new.texts[told.new[i]] for i in order[:EXAMPLES]]


# --- labels ---


def score_rows(
    run,  # a `Run`
    table: Table,  # new rows
    known,  # validation rows as they were predicted
    opened: tuple,  # model and tokenizer
    text_column_name: str | None = None,  # default: that of the training rows
    label_column_name: str | None = None,  # default: that of the training rows
) -> dict | None:
    "Return the score of the labelled rows against that of the validation rows; None if there are no labels"
    column, texts = label_column_name or run.data["label_column"], text_column_name or run.data["text_column"]
    if not label_column_name and not is_labelled(run.task, table, column, texts):
        return None
    try:
        data, dropped = run.task.load_rows(table.columns, run.data, text_column_name, label_column_name)
    except UserError as e:
        if label_column_name:
            raise
        logger.warning(f"the labels are not used: {e}")
        return None
    task, metric, keys = run.task, run.task.headline, run.settings.section("metrics")
    rows = task.predict(*opened, sample(data, MOST_ROWS), run.settings)
    rows.attrs["labels"] = run.labels
    scores, sums = task.score(rows, **keys), [task.headline_sums(side) for side in (rows, known)]
    verdict = None
    if all(sums):
        names, lower = ("the score here", "the score on validation rows"), metric in LOWER_IS_BETTER
        options = {"lower_is_better": lower, "unit": "" if lower else "points"}
        options |= {key: keys[key] for key in ("confidence_level", "num_resamples")}
        verdict = compare_unpaired(sums[0][0], sums[1][0], (metric, sums[0][1]), names, **options)
    return {
        "metric": metric,
        "rows": len(rows),
        "dropped": dropped,
        "looks": count_look(run, rows_sha256(data), "monitor"),
        "reference": (run.record["metrics"] or {}).get("validation", {}).get(metric),
        "new": scores.get(metric),
        "metrics": scores,
        "verdict": verdict,
        "test": verdict and DriftTest("score", metric, verdict.difference, verdict.p, describe_score(verdict, scores)),
    }


def is_labelled(task, table: Table, column: str, texts: str) -> bool:
    "Return whether rows came with labels, as the training rows have them"
    found = set(named_columns(table, column)) <= set(table.columns)
    return found and task.target_class().is_in(table, column, named_columns(table, texts))


def is_worse(score: dict) -> bool:
    "Return whether the score on the new rows is the worse one"
    verdict = score["verdict"]
    return verdict is not None and verdict.better == "the score on validation rows"


def describe_score(verdict, scores: dict) -> str:
    "Return the score of the new rows with its interval, and the difference"
    found = scores.get(verdict.metric)
    shown = str(found) if isinstance(found, Interval) else ""
    scale, form = (100, "{:+.1f} points") if verdict.unit == "points" else (1, "{:+.3g}")
    return f"{verdict.metric} {shown}, {form.format(scale * verdict.difference)} against the validation rows"
