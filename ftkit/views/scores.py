"""Scores of a record in words and rows: what report, card, command and panel share.

Neither torch nor transformers is loaded.
"""

from ftkit.intervals import Interval, format_p

SPELLED = {"f1": "F1", "mae": "MAE", "mse": "MSE", "bleu": "BLEU", "chrf": "chrF", "rougeL": "ROUGE-L"}
LOSSES = {"loss": "training loss", "eval_loss": "validation loss"}  # key of the log -> its name


def read_curves(
    history: list[dict],  # the lines of log.jsonl
    names: dict[str, str] = LOSSES,  # key of the log -> name of the line
) -> dict[str, list[tuple[int, float]]]:
    "Return (step, value) by name, without what was never logged. A record has NaN as text"
    series = {name: [(row["step"], float(row[key])) for row in history if key in row] for key, name in names.items()}
    return {name: points for name, points in series.items() if points}


def describe_result(
    record: dict,  # run.json
) -> list[str] | None:
    "Return the scores of the test rows in words, the headline metric first. None if the run was not scored"
    if not record["metrics"]:
        return None
    scores = {
        name: Interval.from_record(value) for name, value in leading(record["metrics"]["test"], record["headline"])
    }
    return [f"test {spell_metric(name)} {score}" for name, score in scores.items()]


def describe_others(
    record: dict,  # run.json of a scored run
) -> list[str]:
    "Return what a terminal shows besides the headline metric: averages, and the mean confidence if there is one"
    found = [(name, Interval.from_record(v)) for name, v in leading(record["metrics"]["test"], record["headline"])[1:]]
    lines = [f"{spell_metric(name)} {score}" for name, score in found if not name.startswith(("precision", "recall"))]
    confidence = (record.get("confidence") or {}).get("test")
    return lines if confidence is None else [*lines, f"mean confidence {confidence:.3f}"]


def leading(
    scores: dict,  # of one split, from `Task.score`
    headline: str,  # the metric that leads
) -> list[tuple[str, dict]]:
    "Return (name, interval) of the scores that are no group, the headline metric first"
    found = [(name, value) for name, value in scores.items() if isinstance(value, dict) and "value" in value]
    return sorted(found, key=lambda item: item[0] != headline)


def spell_metric(
    name: str,  # such as f1_macro
) -> str:
    "Return a metric's name for a person to read: `macro F1`"
    kind = name.rpartition("_")[2]
    kind = kind if kind in ("macro", "micro") else ""
    words = " ".join(SPELLED.get(word, word) for word in name.removesuffix(f"_{kind}").split("_"))
    return f"{kind} {words}".strip()


def describe_looks(
    looks: int | None,  # evaluations on these test rows so far
) -> str:
    "Return how often these test rows have been evaluated, as a sentence"
    if not looks:
        return "This evaluation on the test rows could not be counted."
    more = ": the more evaluations, the less a good score means" if looks > 1 else ""
    return f"This was evaluation {looks} on these test rows{more}."


def show_verdict(
    verdict: dict,  # of run.json
) -> str:
    "Return the difference of a verdict with its interval and p. Points are hundredths of a share"
    unit = verdict.get("unit", "points")
    scale, form = (100, "{:+.1f}") if unit == "points" else (1, "{:+.3g}")
    value, *ends = (
        "none" if x is None else form.format(scale * x) for x in map(verdict.get, ("difference", "low", "high"))
    )
    return f"{value} [{', '.join(ends)}], {format_p(verdict['p'])}"


def describe_continued(
    continued: dict,  # of run.json
) -> list[str]:
    "Return what a run continues, and whether it is better, as lines"
    what = "its weights" if continued["start"] == "weights" else "its base model"
    text = continued["text"] or "there is no verdict on the two yet"
    return [f"continues {continued['from']} from {what}", *text.splitlines()]


def describe_slices(
    slices: list[dict],  # of `continued` in run.json
) -> list[str]:
    "Return the slices of the test rows on which a run is better or worse than the one it continues, as lines"
    if not slices:
        return ["no slice of the test rows has enough rows for a verdict"]
    lines = [
        f"{'better' if s['better'] == s['a'] else 'worse'} on {s['slice']}, {s['rows']:,} rows: {show_slice(s)}"
        for s in slices
        if s["better"]
    ]
    if not lines:
        return [f"no significant difference on any of {len(slices)} slices (p adjusted by Holm)"]
    return [*lines, f"({len(slices)} slices were compared: p is adjusted for that by Holm, the intervals are not)"]


def show_slice(
    s: dict,  # a slice of `continued` in run.json
) -> str:
    "Return the difference on a slice with its interval and the adjusted p"
    return show_verdict({**s, "p": s["p_holm"]})


def is_better(
    verdict: dict,  # of run.json
    confidence_level: float,  # of the verdicts
) -> bool | None:
    "Return whether the first model is the better one; None if there is no significant difference"
    if "better" in verdict:
        return verdict["better"] and verdict["better"] == verdict["a"]
    return None if verdict["p"] > 1 - confidence_level else verdict["difference"] > 0  # of a run of version 0.2


def headline_scores(
    record: dict,  # run.json of a scored run
) -> dict[str, Interval]:
    "Return the headline score of each rung that has one, and of the fine-tuned model"
    found = {name: rung.get(record["headline"]) for name, rung in (record["baselines"] or {}).items()}
    found["fine-tuned"] = record["metrics"]["test"][record["headline"]]
    return {name: Interval.from_record(score) for name, score in found.items() if score}


def ladder_rows(
    record: dict,  # run.json of a scored run
) -> list[dict]:
    """Return every rung and the fine-tuned model: headline score, interval, seconds.

    The score is None for a rung that has none of this kind, as a copied text has no loss
    """
    headline, none = record["headline"], dict.fromkeys(("value", "low", "high"))
    rungs = [(name, rung.get(headline) or none, rung["seconds"]) for name, rung in (record["baselines"] or {}).items()]
    rungs.append(("fine-tuned", record["metrics"]["test"][headline], record["timing"]["train_seconds"]))
    return [
        {
            "rung": name,
            headline: s["value"],
            "from": s["low"],
            "to": s["high"],
            "seconds": round(seconds or 0.0, 1),
        }
        for name, s, seconds in rungs
    ]


def format_seconds(
    seconds: float,  # any
) -> str:
    "Return a time for a person to read"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
