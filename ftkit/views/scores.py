"""Scores of a record in words and rows: what report, card, command and panel share.

Neither torch nor transformers is loaded.
"""

from ftkit.intervals import Interval

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
    words = name.removesuffix("_macro").replace("_", " ").replace("f1", "F1")
    return f"macro {words}" if name.endswith("_macro") else words


def describe_looks(
    looks: int | None,  # evaluations on these test rows so far
) -> str:
    "Return how often these test rows have been evaluated, as a sentence"
    if not looks:
        return "This evaluation on the test rows could not be counted."
    more = ": the more evaluations, the less a good score means" if looks > 1 else ""
    return f"This was evaluation {looks} on these test rows{more}."


def ladder_rows(
    record: dict,  # run.json of a scored run
) -> list[dict]:
    "Return every rung and the fine-tuned model: headline score, interval, seconds"
    headline = record["headline"]
    rungs = [(name, rung[headline], rung["seconds"]) for name, rung in (record["baselines"] or {}).items()]
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
