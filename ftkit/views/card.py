"""The model card: README.md of model/, with labels, data, scores and limits.

Its front matter carries the scores to the Hub.
"""

import re
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from ftkit.checks.privacy import describe_personal_data
from ftkit.files.atomic import write_text
from ftkit.metrics import Interval
from ftkit.model_init import ADAPTERS
from ftkit.runs.folder import RunFolder
from ftkit.tasks.base import Task
from ftkit.views.html import escape_markdown, shorten, templates
from ftkit.views.scores import describe_continued, describe_looks, headline_scores, leading, spell_metric

REPOSITORY = "https://github.com/ftkit/ftkit"
STARTER_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def write_card(
    run: RunFolder,  # with metrics and a model
    task: Task,  # of the run
) -> None:
    "Write model/README.md"
    write_text(run.path / "model" / "README.md", render_card(run, task))


def render_card(
    run: RunFolder,  # with metrics and a model
    task: Task,  # of the run
) -> str:
    "Return the card: YAML front matter, then Markdown in which text from data is escaped"
    record, settings = run.record, run.settings
    test = record["metrics"]["test"]
    base = hub_name(settings.model_name_or_path)
    front = ModelCardData(
        base_model=base,
        library_name="transformers",
        pipeline_tag=task.find_pipeline(run.path / "model"),
        tags=["ftkit"],
        model_name=shorten(run.path.name),
        eval_results=[
            make_eval_result(name, value, record, settings, task) for name, value in leading(test, task.headline)
        ],
    )
    rungs = {name: score for name, score in headline_scores(record).items() if name != "fine-tuned"}
    body = (
        templates()
        .get_template("card.md.j2")
        .render(
            name=run.path.name,
            base=shorten(base or Path(settings.model_name_or_path).name).replace("`", "'"),
            repository=REPOSITORY,
            task=task,
            labels=run.labels,
            scores=list_scores(test, task),
            settings=settings,
            adapter=settings.method in ADAPTERS,
            looks=describe_looks(record["looks"]),
            headline=spell_metric(task.headline),
            rungs=rungs,
            personal_data=describe_personal_data(record["personal_data"]),
            continued=record["continued"] and describe_continued(record["continued"])[:2],
            splits={split: record["data"][split] for split in ("train", "validation", "test")},
        )
    )
    return f"---\n{front}\n---\n\n{body}"


def list_scores(
    scores: dict,  # of the test rows, from run.json
    task: Task,  # of the run
) -> list[tuple[str, Interval]]:
    "Return (name in Markdown, score), the headline metric first, then the groups, such as the scores of each class"
    found = [(f"test {spell_metric(name)}", value) for name, value in leading(scores, task.headline)]
    for group in (group for group in scores.values() if isinstance(group, dict) and "value" not in group):
        for key, values in group.items():
            found += [(f"{spell_metric(name)} of {escape_markdown(key)}", value) for name, value in values.items()]
    return [(name, Interval.from_record(value)) for name, value in found]


def make_eval_result(
    name: str,  # of the metric
    value: dict,  # value, low, high, n
    record: dict,  # run.json
    settings,  # the experiment
    task: Task,  # of the run
) -> EvalResult:
    "Return a score as the Hub reads it. It has no field for an interval, which goes into `metric_args`"
    dataset = settings.dataset_name if not settings.train_file and settings.dataset_name else "own rows"
    return EvalResult(
        task_type=task.pipeline or task.name,
        dataset_type=shorten(dataset),
        dataset_name=shorten(dataset),
        dataset_split="test",
        metric_type=name,
        metric_name=f"test {spell_metric(name)}",
        metric_value=value["value"],
        metric_args={
            "interval": [value["low"], value["high"]],
            "confidence_level": settings.confidence_level,
            "rows": value["n"],
            "rows_sha256": record["data"]["test"]["sha256"],
        },
    )


def hub_name(
    model_name_or_path: str,  # from the settings
) -> str | None:
    "Return the base model's name on the Hub; None for a folder"
    if model_name_or_path == "starter":
        return STARTER_MODEL
    is_name = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model_name_or_path, re.ASCII)
    return model_name_or_path if is_name and not Path(model_name_or_path).is_dir() else None
