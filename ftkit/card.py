"The model card: README.md of model/, with labels, data, scores and limits."

import json
import re
from pathlib import Path

from ftkit.checkpoints import flush
from ftkit.report import interval, which_look
from ftkit.run import Run
from ftkit.views import shortened

CARD = """---
{front}
---

# {name}

A text classifier, fine-tuned from `{base}` with [ftkit]({url}).

## Labels

{labels}

## Scores

{scores}

Each interval holds the true score at a confidence of {confidence:.0%}. {looks}.

{ladder}

## Data

{data}

## Limits

- It knows the labels above and no others: every text gets one of them.
- It was scored on rows like its training rows. On other sources, languages or times it may do worse.
- It was trained and scored with texts cut to {length} tokens: `pipeline(..., truncation=True, max_length={length})` does the same.
- A score is a probability only as far as the model is calibrated.
"""


def plain_text(text: object) -> str:
    "Text from data for Markdown: no markup, no link, no line breaks"
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", shortened(" ".join(str(text).split())))


def write_card(
    run: Run,  # with metrics and a model
    url: str = "https://github.com/ftkit/ftkit",  # of the kit
) -> None:
    "Write model/README.md"
    record, settings = run.record, run.settings
    base = base_model(settings.model_name_or_path)
    test, rungs = record["metrics"]["test"], record["baselines"]
    front = {
        "pipeline_tag": "text-classification",
        "library_name": "transformers",
        "tags": ["ftkit"],
        "base_model": base,
    }
    rows = [("test accuracy", test["accuracy"]), ("test macro F1", test["f1_macro"])]
    rows += [(f"F1 of {plain_text(name)}", scores["f1"]) for name, scores in test["per_class"].items()]
    table = ["| | score | interval | rows |", "|---|---|---|---|"] + [
        f"| {n} | {s['value']:.3f} | {s['low']:.3f} to {s['high']:.3f} | {s['n']} |" for n, s in rows
    ]
    ladder = (
        ["| baseline on the same rows | accuracy |", "|---|---|"]
        + [f"| {n} | {interval(r['accuracy'])} |" for n, r in rungs.items()]
        if rungs
        else []
    )
    data = [
        f"- {s}: {record['data'][s]['rows']} rows, sha256 of texts and labels in order `{record['data'][s]['sha256']}`"
        for s in ("train", "validation", "test")
    ]
    text = CARD.format(
        front="\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items() if value),
        name=plain_text(run.path.name),
        base=shortened(base or Path(settings.model_name_or_path).name).replace("`", "'"),
        url=url,
        labels="\n".join(f"- {i}: {plain_text(name)}" for i, name in enumerate(run.labels)),
        scores="\n".join(table),
        confidence=settings.confidence_level,
        looks=which_look(record["looks"]),
        ladder="\n".join(ladder),
        data="\n".join(data),
        length=settings.max_seq_length,
    )
    file = run.path / "model" / "README.md"
    file.write_text(text, encoding="utf-8")
    flush(file)


def base_model(name: str) -> str | None:
    "The base model's name on the Hub, None for a folder"
    if name == "starter":
        return "sentence-transformers/all-MiniLM-L6-v2"
    return name if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name, re.ASCII) and not Path(name).is_dir() else None
