"""What to do when: what a run's own files show to be wrong, and the key to change first.

To add a symptom: a row in `SYMPTOMS`, and a function that recognises it if a record can show it. It reads run.json,
log.jsonl and settings.ini, asks no task for its name, and says nothing if it cannot know. A setting is advised from
training and validation rows; test rows say only whether there are enough of them and which rung is as good. Neither
torch nor a plotting library is loaded.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist, fmean, median

from ftkit.settings import LOWER_IS_BETTER, SHARES, TASKS, Rates, Settings, rates_of
from ftkit.views.scores import is_better, read_curves

UNLIKELY = 1.96  # standard errors
ENOUGH_TO_CHOOSE = 0.2  # of the rows, to choose an epoch by
MOST = 3  # pieces of advice shown for a run
FEW_POINTS = 8  # logged training losses, below which the curve says nothing
FEW_VALIDATION = 20  # rows, below which the validation loss says nothing
FEW_OF_LABEL = 5  # validation rows of a label, below which a model may miss them all by chance
FEW_UPDATES = 60  # of the weights: a new head needs about so many
SMALL_BATCH = 8  # rows: of 100 posts, 39 updates of 8 rows gave 54 % right, 40 of 32 rows 47 %, 4 of 32 rows 34 %
STUCK = 0.95  # of the loss of guessing
FALL, RISE, HIGH_RISE = 0.05, 0.05, 0.2  # shares of the validation loss that count
JUMP = 1.5  # times the loss at the start
WIDE_GAP = 10  # points: test rows that cannot show it are too few
SURER = 0.1  # by which the mean confidence lies above the share of right answers
LONG = 60  # seconds of training that are worth saving
BLIND = {"majority", "median"}  # rungs that do not read the text


@dataclass(frozen=True)
class Evidence:
    "What the files of a run say, as the functions below read it"

    record: dict  # run.json
    history: list[dict]  # the lines of log.jsonl
    settings: Settings  # settings.ini

    @cached_property
    def losses(self) -> list[tuple[int, float]]:
        "Return (step, training loss)"
        return read_curves(self.history, {"loss": "loss"}).get("loss", [])

    @cached_property
    def evaluations(self) -> list[tuple[int, float]]:
        "Return (step, validation loss); empty if the rows behind it are too few, or a value is not finite"
        found = read_curves(self.history, {"eval_loss": "loss"}).get("loss", [])
        few = self.rows("validation") < FEW_VALIDATION
        return [] if few or not all(math.isfinite(loss) for _, loss in found) else found

    @cached_property
    def smoothed(self) -> list[float]:
        "Return the running median of the training loss: one batch that is hard does not count"
        width, values = max(3, len(self.losses) // 10), [loss for _, loss in self.losses]
        return [median(values[i : i + width]) for i in range(len(values) - width + 1)]

    @cached_property
    def guessing(self) -> tuple[float, str] | None:
        "Return the loss of a model that knows nothing, and the same in words; None if there is no such number"
        found = self.record.get("expected_loss")
        return tuple(found) if found else None

    def find_stop(
        self,
        patience: int,  # evaluations in a row without a better metric_for_best_model
    ) -> float:
        "Return the step at which early stopping would have ended the training; infinity if it would not have"
        metric, best, waited = self.settings.metric_for_best_model, -math.inf, 0
        sign = -1 if metric in LOWER_IS_BETTER else 1
        for step, value in read_curves(self.history, {f"eval_{metric}": metric}).get(metric, []):
            best, waited = (sign * value, 0) if sign * value > best else (best, waited + 1)
            if waited == patience:
                return step
        return math.inf

    @property
    def read(self) -> int:
        "Return the rows that were read, of all splits"
        return sum(self.data.get("read", {}).values())

    @property
    def left_out(self) -> bool:
        "Return whether `max_train_samples` left out most of the rows"
        return self.settings.max_train_samples is not None and self.read > 2 * self.rows("train")

    @property
    def rates(self) -> Rates:
        "Return the usual learning rates of the method"
        return rates_of(self.settings.method)

    @property
    def data(self) -> dict:
        "Return the report on the rows; empty if the run ended before they were read"
        return self.record.get("data") or {}

    def rows(
        self,
        split: str,  # train, validation or test
    ) -> int:
        "Return the rows of a split"
        return self.data.get(split, {}).get("rows", 0)

    def mean_loss(
        self,
        after: int,  # step
        until: float = math.inf,  # step, inclusive
    ) -> float:
        "Return the mean training loss between two steps; NaN if none was logged"
        found = [loss for step, loss in self.losses if after < step <= until]
        return fmean(found) if found else math.nan


@dataclass(frozen=True)
class Advice:
    "What was seen in a run, and what to change"

    symptom: str  # its name in `SYMPTOMS`
    seen: str  # with numbers
    change: str  # a key and its value, as settings.ini has it, or a command
    why: str  # in one sentence

    def __str__(self):
        return f"{self.change} ({self.seen})"


@dataclass(frozen=True)
class Symptom:
    "A row of the table"

    name: str  # what a person sees
    sign: str  # how it is recognised
    key: str  # to change
    first: str  # what to try first
    why: str  # in one sentence
    find: Callable[[Evidence], tuple[str, str] | None] | None = (
        None  # what was seen and the change; None: not from one run
    )


def advise_run(
    record: dict,  # run.json
    history: list[dict],  # the lines of log.jsonl
    settings: Settings,  # of the run
) -> list[Advice]:
    "Return what to change, the most useful first, at most `MOST`; empty if nothing is known to help"
    evidence, found = Evidence(record, history, settings), []
    for symptom in SYMPTOMS:
        try:
            seen = symptom.find and symptom.find(evidence)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # a stranger's record may hold anything: then nothing is known
        if seen and seen[1] not in [advice.change for advice in found]:
            found.append(Advice(symptom.name, *seen, symptom.why))
    return found[:MOST]


def find_jump(e: Evidence) -> tuple[str, str] | None:
    change = f"learning_rate = {min(e.settings.learning_rate / 3, e.rates.high):.2g}"
    if (e.record.get("reason") or "").startswith("NotFinite"):
        return "the loss or a gradient was not finite", change
    if len(e.losses) < FEW_POINTS:
        return None
    start = max(e.smoothed[0], e.guessing[0] if e.guessing else 0.0)
    highest, lowest = max(e.smoothed), min(e.smoothed)
    if highest >= JUMP * start:
        return f"the training loss jumped from {start:.2f} to {highest:.2f}", change
    after = e.smoothed[e.smoothed.index(lowest) :]
    if lowest <= 0.7 * start and after[-1] >= STUCK * start:
        return f"the training loss fell to {lowest:.2f} and jumped back to {after[-1]:.2f}", change
    return None


def find_memory(e: Evidence) -> tuple[str, str] | None:
    s, reason = e.settings, e.record.get("reason") or ""
    if e.record["status"] == "failed" and "out of memory" in reason.lower():
        if s.method == "full":
            return "memory ran out with one row at a time", "method = lora"
        return "memory ran out with one row at a time", f"max_seq_length = {max(1, s.max_seq_length // 2)}"
    if not e.record.get("started_again"):
        return None
    sizes = {k: getattr(s, k) for k in ("per_device_train_batch_size", "gradient_accumulation_steps")}
    change = ", ".join(f"{name} = {size}" for name, size in sizes.items())
    return "memory ran out, and the training began again with these", change


def find_stuck(e: Evidence) -> tuple[str, str] | None:
    if not e.guessing or not e.losses or find_jump(e):
        return None
    (expected, words), updates, s = e.guessing, e.losses[-1][0], e.settings
    last = e.mean_loss(updates * 3 // 4)
    if min(last, e.evaluations[-1][1] if e.evaluations else last) < STUCK * expected:
        return None
    seen = f"the loss stayed at {last:.2f}, next to {words}"
    if s.learning_rate < e.rates.default / 3:
        return seen, f"learning_rate = {e.rates.default:.1g}"
    if updates < FEW_UPDATES:
        return f"{seen}, after {updates} updates", advise_updates(s, updates)
    if s.method in ("head", "top_k"):
        return seen, "method = full"
    return seen, "ftkit check FILE: do the labels follow from the texts?"


def advise_updates(
    settings: Settings,  # of the training
    updates: int,  # of the weights that it makes
) -> str:
    "Return the settings that make `FEW_UPDATES` of them, or more: smaller batches first, as they cost no time"
    size = min(settings.per_device_train_batch_size, SMALL_BATCH)
    more = updates * settings.per_device_train_batch_size / size
    epochs = math.ceil(settings.num_train_epochs * max(1, FEW_UPDATES / more))
    keys = {"per_device_train_batch_size": size, "num_train_epochs": epochs}
    return ", ".join(f"{k} = {v}" for k, v in keys.items() if v != getattr(settings, k))


def is_untrained(e: Evidence) -> bool:
    "Return whether the training itself went wrong, which explains all that its results show"
    return bool(find_jump(e) or find_stuck(e))


def find_rise(e: Evidence) -> tuple[str, str] | None:
    if len(e.evaluations) < 2 or is_untrained(e):
        return None
    (step, lowest), (end, last) = min(e.evaluations, key=lambda found: found[1]), e.evaluations[-1]
    before = e.mean_loss(step / 2, step)
    best = (e.record.get("best") or {}).get("step") or step
    risen = last >= (1 + (RISE if best < end else HIGH_RISE)) * lowest
    if not risen or not e.mean_loss(max(step, end * 3 // 4)) < before:
        return None
    seen = (
        f"the validation loss rose from {lowest:.2f} after step {step:,} to {last:.2f}, while the training loss fell"
    )
    if e.settings.early_stopping_patience is None and best < e.find_stop(2) < end:
        return seen, "early_stopping_patience = 2"
    epochs = {row["step"]: row["epoch"] for row in e.history if "eval_loss" in row and "epoch" in row}
    if e.settings.early_stopping_patience is None and best <= step in epochs:  # no better epoch is lost
        return seen, f"num_train_epochs = {epochs[step]:.2g}, then more rows"
    return seen, "max_train_samples = none" if e.left_out else "more training rows"


def find_unpredicted(e: Evidence) -> tuple[str, str] | None:
    s, never = e.settings, find_never(e.record)
    if not never or is_untrained(e):
        return None
    seen = f"{show_names(never)} was never predicted on validation rows"
    counts = e.data.get("train", {}).get("labels") or {}
    rare = bool(counts) and counts.get(never[0], 0) < max(counts.values()) / 2
    if rare and s.section("trainer").get("class_weights") == "none":
        return seen, "class_weights = balanced"
    if rare and "f1_macro" in TASKS[s.task].metrics and s.metric_for_best_model != "f1_macro":
        return seen, "metric_for_best_model = f1_macro, then more rows with it"
    if rare or find_rise(e):
        return seen, "more training rows with it"
    return seen, f"num_train_epochs = {2 * s.num_train_epochs:g}"


def find_never(
    record: dict,  # run.json
) -> list[str]:
    "Return the labels of which enough validation rows are there and no row was given them, the most frequent first"
    groups = ((record.get("metrics") or {}).get("validation") or {}).values()
    scores = {name: s for g in groups if isinstance(g, dict) and "value" not in g for name, s in g.items()}
    scores = {name: s for name, s in scores.items() if isinstance(s, dict) and {"precision", "recall"} <= set(s)}
    rows = {name: s["recall"]["n"] for name, s in scores.items() if s["precision"]["n"] == 0}
    return sorted((name for name, n in rows.items() if n >= FEW_OF_LABEL), key=lambda name: -rows[name])


def find_cut(e: Evidence) -> tuple[str, str] | None:
    found = [f for f in e.record.get("preflight") or [] if f["name"] == "length" and f["level"] == "warn"]
    if not found or "max_seq_length" not in found[0]["fix"]:  # else the model reads no more
        return None
    return found[0]["seen"], found[0]["fix"].removeprefix("Write ").rstrip(".")


def find_fall(e: Evidence) -> tuple[str, str] | None:
    if len(e.evaluations) < 2 or e.record["status"] != "finished" or e.record.get("time_limit") or is_untrained(e):
        return None
    losses = [loss for _, loss in e.evaluations]
    ended = e.evaluations[-1][0] == e.record.get("max_steps")  # else it was stopped early
    if not ended or losses[-1] > min(losses[:-1]) * (1 - FALL):
        return None
    seen = f"the validation loss still fell at the end: {losses[-2]:.2f}, then {losses[-1]:.2f}"
    steps = e.settings.training_arguments.get("max_steps") or 0
    if steps > 0:
        return seen, f"max_steps = {2 * steps}"
    return seen, f"num_train_epochs = {2 * e.settings.num_train_epochs:g}"


def find_few(e: Evidence) -> tuple[str, str] | None:
    level, rows = 1 - e.settings.confidence_level, e.rows("test")
    undecided = [v for v in e.record["verdicts"] or [] if v.get("metric") in SHARES and decide(e, v) is None]
    gap = smallest_gap(rows, level)
    if not undecided or gap <= WIDE_GAP:
        return None
    seen = f"{rows:,} test rows seldom show a gap below {gap} points"
    needed, data = count_rows(WIDE_GAP, level), e.data
    read = e.read - sum(sum(why.values()) for why in data.get("dropped", {}).values())
    if e.settings.max_predict_samples == rows:
        return seen, f"max_predict_samples = {needed}"
    if "test" in data.get("held_out", []) and needed <= read / 2:
        return seen, f"test_size = {math.ceil(100 * needed / read) / 100:g}"
    return seen, f"label {needed} test rows, which show a gap of {WIDE_GAP} points"


def find_tie(e: Evidence) -> tuple[str, str] | None:
    few = smallest_gap(e.rows("test"), 1 - e.settings.confidence_level) > WIDE_GAP
    states = {v["b"]: decide(e, v) for v in e.record["verdicts"] or [] if v.get("a") == "fine-tuned"}
    won, tied = ([name for name, state in states.items() if state is wanted] for wanted in (False, None))
    if is_untrained(e) or not won and (few or not tied):
        return None
    name = pick_rung(e.record, won or tied)
    seen = f"{name} is {'better than' if won else 'not significantly different from'} the fine-tuned model"
    if e.left_out:
        return f"{seen}, which saw {e.rows('train'):,} of {e.read:,} rows", "max_train_samples = none"
    if name in BLIND:
        return seen, "ftkit check FILE: do the labels follow from the texts?"
    return seen, f"use {name}, or label more training rows"


def decide(
    e: Evidence,  # with the level of the verdicts
    verdict: dict,  # of run.json
) -> bool | None:
    "Return whether the fine-tuned model is better; None if there is no significant difference"
    return is_better(verdict, e.settings.confidence_level)


def pick_rung(
    record: dict,  # run.json
    names: list[str],  # of rungs, at least one
) -> str:
    "Return the rung with the best headline score; the first if none has one"
    headline, sign = record["headline"], -1 if record["headline"] in LOWER_IS_BETTER else 1
    scores = {name: ((record["baselines"] or {}).get(name) or {}).get(headline) for name in names}
    known = [name for name in names if scores[name]]
    return max(known, key=lambda name: sign * scores[name]["value"]) if known else names[0]


def find_slow(e: Evidence) -> tuple[str, str] | None:
    limit, s = e.record.get("time_limit"), e.settings
    if limit and e.record["status"] == "finished":
        epochs = math.floor(10 * s.num_train_epochs * limit["step"] / limit["of"]) / 10
        seen = f"minutes = {s.minutes or 0:g} ended the training after step {limit['step']:,} of {limit['of']:,}"
        return (seen, f"num_train_epochs = {epochs:g}, which fits into it") if epochs else None
    seconds, train = e.record["timing"]["train_seconds"] or 0, e.data.get("train", {})
    mean = train.get("tokens", 0) / max(train.get("rows", 0), 1)
    if s.pad_to_max_length and mean and s.max_seq_length > 1.5 * mean and seconds > LONG:
        seen = f"each text has {mean:.0f} tokens in the mean, and is padded to {s.max_seq_length}"
        return seen, "pad_to_max_length = false"
    return None


def find_flattered(e: Evidence) -> tuple[str, str] | None:
    name, scores = e.record["headline"], e.record["metrics"] or {}
    found = [(scores.get(split) or {}).get(name) for split in ("validation", "test")]
    if name not in SHARES or None in found:
        return None
    (v, n), (t, m) = ((score["value"], score["n"]) for score in found)
    mean = (v * n + t * m) / (n + m)
    if v - t <= UNLIKELY * math.sqrt(mean * (1 - mean) * (1 / n + 1 / m)):
        return None
    seen = f"{name} {v:.2f} on the {n:,} validation rows that chose the epoch, and {t:.2f} on {m:,} test rows"
    if n >= (e.settings.max_eval_samples or math.inf):
        return seen, f"max_eval_samples = {4 * n}"
    more = "validation" in e.data.get("held_out", []) and e.settings.validation_size < ENOUGH_TO_CHOOSE
    return seen, f"validation_size = {ENOUGH_TO_CHOOSE}" if more else "ftkit check FILE: are both kinds of rows alike?"


def find_overconfidence(e: Evidence) -> tuple[str, str] | None:
    name, score = e.record["headline"], ((e.record["metrics"] or {}).get("validation") or {}).get(e.record["headline"])
    confidence = (e.record.get("confidence") or {}).get("validation")
    if None in (score, confidence) or is_untrained(e):
        return None
    if confidence <= max(score["value"] + SURER, score["high"] or 0):
        return None
    seen = f"the mean confidence is {confidence:.2f}, and the {name} {score['value']:.2f} on validation rows"
    if e.settings.metric_for_best_model != "loss" and find_rise(e):
        return seen, "metric_for_best_model = loss, early_stopping_patience = 2"
    return seen, "show no confidence, or divide the logits by a temperature (lesson 6)"


def smallest_gap(
    rows: int,  # of a test
    level: float = 0.05,  # of the test
    power: float = 0.8,  # chance of detecting it
) -> int:
    """Return the smallest difference in accuracy that the rows can show, in points; 100 if there is none.

    It is that of two models of which one is right wherever the other is: `rows_needed` without any row in return.
    """
    return next((gap for gap in range(1, 100) if count_rows(gap, level, power) <= rows), 100)


def count_rows(
    gap: int,  # points
    level: float = 0.05,  # of the test
    power: float = 0.8,  # chance of detecting it
) -> int:
    "Return the fewest test rows that can show a gap: `rows_needed` of lesson 6 at its lowest, without torch"
    a, b, share = NormalDist().inv_cdf(1 - level / 2), NormalDist().inv_cdf(power), gap / 100
    return math.ceil((a + b * math.sqrt(1 - share)) ** 2 / share)


def show_names(
    names: list[str],  # at least one
) -> str:
    "Return the first of some labels, and how many more there are"
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0][:40]!r}{more}"


SYMPTOMS = [  # the most useful first
    Symptom(
        "the loss jumps, or becomes NaN",
        f"its running median rises to {JUMP:g} times that of the start or back to it, or the run ended as not finite",
        "learning_rate",
        "a third of it, or the highest usual rate of the method if that is lower",
        "The updates are too large: they undo what the ones before have learned.",
        find_jump,
    ),
    Symptom(
        "out of memory",
        "the training began again with smaller batches, or failed with one row",
        "per_device_train_batch_size, gradient_accumulation_steps",
        "half of the first and twice the second; with one row: method = lora",
        "The memory of a step grows with the tokens in a batch; accumulation leaves the updates as they were.",
        find_memory,
    ),
    Symptom(
        "the loss stays at that of guessing (ln K with K labels)",
        f"in the last quarter it is at least {STUCK:.0%} of it, in training and validation",
        "learning_rate, per_device_train_batch_size, num_train_epochs, method",
        f"the usual rate if yours is below a third; batches of {SMALL_BATCH} if updates are few; method = full",
        f"Nothing was learned: the updates are too small, too few (below {FEW_UPDATES}), or reach too few weights.",
        find_stuck,
    ),
    Symptom(
        "validation loss rises while training loss falls",
        f"at the end it is {RISE:.0%} above its lowest value ({HIGH_RISE:.0%} if the metric still rises)",
        "early_stopping_patience, num_train_epochs, max_train_samples",
        "early_stopping_patience = 2 with metric_for_best_model = loss, or fewer epochs; then more rows",
        "The model memorises its training rows. The best epoch is kept: fewer save time, more rows raise scores.",
        find_rise,
    ),
    Symptom(
        "a label is never predicted",
        f"no validation row was given it, and at least {FEW_OF_LABEL} have it",
        "class_weights, metric_for_best_model, num_train_epochs",
        "class_weights = balanced if it is rare, or metric_for_best_model = f1_macro; else twice the epochs",
        "A rare label costs little in a loss that counts every row the same.",
        find_unpredicted,
    ),
    Symptom(
        "texts are cut",
        "over a fifth of the training texts, or of a label's, are longer than the limit, and the model reads more",
        "max_seq_length",
        "twice as much",
        "What is cut off, the model never sees; twice the tokens take about twice the time.",
        find_cut,
    ),
    Symptom(
        "validation loss still falls at the end",
        f"the last evaluation is its lowest, by {FALL:.0%} or more, and nothing stopped the training early",
        "num_train_epochs",
        "twice as many",
        "The model had not finished learning.",
        find_fall,
    ),
    Symptom(
        "too few test rows",
        f"a difference in accuracy is not significant, and the rows cannot show a gap of {WIDE_GAP} points",
        "test_size, max_predict_samples",
        f"{count_rows(WIDE_GAP)} rows: 30 test rows seldom show a gap below {smallest_gap(30)} points",
        "With few rows chance alone makes large differences.",
        find_few,
    ),
    Symptom(
        "a cheap rung is as good",
        "its verdict says better, or no significant difference, on enough test rows",
        "max_train_samples",
        "max_train_samples = none if it left out rows; else use the rung, or label more training rows",
        "A rung costs seconds and nothing to maintain. A model has to earn its place.",
        find_tie,
    ),
    Symptom(
        "it takes too long",
        f"the time limit ended the training, or most of each batch is padding and it took over {LONG} s",
        "num_train_epochs, pad_to_max_length",
        "the epochs that fit into the time; pad_to_max_length = false; before a run, ftkit forecast",
        "A schedule of the learning rate that reaches its end trains better; padding is computed for nothing.",
        find_slow,
    ),
    Symptom(
        "the test score is far below the validation score",
        "chance alone makes a gap as large in one run of forty",
        "validation_size, max_eval_samples",
        f"{ENOUGH_TO_CHOOSE}, if the rows are held out, and no cap below it; believe the test score",
        "The best epoch is chosen on the validation rows. The fewer they are, the more luck is in their score.",
        find_flattered,
    ),
    Symptom(
        "the confidence is too high",
        f"on validation rows its mean is {100 * SURER:.0f} points above the accuracy, and above its interval",
        "metric_for_best_model",
        "loss with early_stopping_patience = 2; else divide the logits by the temperature of lesson 6",
        "A model that repeats its training rows grows sure of all its answers, the wrong ones too.",
        find_overconfidence,
    ),
    Symptom(
        "scores differ between seeds",
        "one run cannot show it: train with seeds 1, 2 and 3, and compare with ftkit runs RUN RUN",
        "seed",
        "three of them and their mean, then more test rows",
        "A difference smaller than that between seeds is no difference between settings.",
    ),
    Symptom(
        "served answers differ from evaluated ones",
        "no run can show it: ftkit serve RUN --verify names the first row that differs",
        "the texts",
        "send them as the training file has them, all columns of the text included",
        "The server reads the same model; what differs is nearly always the text that reaches it.",
    ),
]
