"""What a panel asks for and the kernel should not do itself: `python -m ftkit.panels.worker`.

Questions come as lines of JSON on stdin, answers go to stdout in their order. Rows, tokens, model and trial are kept
between questions, so that a forecast after another change of the settings is arithmetic.
To add a question: a method of `Desk` and a row in `ANSWERS`.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from ftkit.errors import RunFailed, UserError, escape_controls, redact
from ftkit.files.atomic import sha256_json
from ftkit.panels.files import store
from ftkit.runs.folder import to_json_value
from ftkit.settings import Settings, format_value

SHOWN_ROWS = 10
MOST_BYTES = 20_000_000  # of a file that is read again for the names of its columns


class Memory:
    "The newest value for each name, with what it was made from"

    def __init__(self):
        self.kept: dict[str, tuple] = {}

    def get(
        self,
        name: str,  # what it is
        source,  # what it is made from
        make: Callable,  # makes it
    ):
        "Return the value, made anew if its source has changed"
        key = sha256_json(source)
        if self.kept.get(name, (None,))[0] != key:
            self.kept.pop(name, None)  # its memory is free before the new one is made
            self.kept[name] = key, make()
        return self.kept[name][1]


class Desk:
    "Answers questions. Each method takes the question's arguments and returns JSON"

    def __init__(self):
        self.memory = Memory()

    def read_rows(self, settings: Settings):
        "Return splits and report of `load_data`. A file that has changed is read again"
        from ftkit.fine_tuning import TASKS

        keys = settings.section("data")
        times = [os.path.getmtime(v) for k, v in keys.items() if k.endswith("_file") and v and os.path.isfile(v)]
        return self.memory.get(
            "rows", [settings.task, keys, times], lambda: TASKS[settings.task].load_data(None, **keys)
        )

    def rows(self, settings: dict) -> dict:
        "Return what was read: lines, columns, counts, the first rows. With an error, the columns that there are"
        settings = Settings().replace(**settings)
        try:
            data, report = self.read_rows(settings)
        except UserError as e:
            return {"error": str(e), "columns": read_columns(settings)}
        first = data["train"].select(range(min(SHOWN_ROWS, len(data["train"]))))
        return {
            "lines": [*report["lines"], *report["notes"]],
            "labels": report["labels"],
            "columns": read_columns(settings) or [report["text_column"], report["label_column"]],
            "text_column": report["text_column"],
            "label_column": report["label_column"],
            "counts": {split: report[split]["labels"] for split in data},
            "rows": [
                {"text": str(row["text"]), "label": shown}
                for row, shown in zip(first, spell_labels(first, report["labels"]))
            ],
        }

    def examine(self, file: str, test_file: str | None, text: str | None, label: str | None, task: str | None) -> dict:
        "Return what the doctor finds. The task is recognised if it is None"
        from ftkit.checks.report import examine
        from ftkit.files.tables import read_table

        tables = {"train": read_table(file)} | ({"test": read_table(test_file)} if test_file else {})
        return examine(tables, text, label, task)

    def clean(self, file: str, folder: str, arguments: dict) -> dict:
        "Write a cleaned copy of a file into a folder and return its path and what was changed"
        from ftkit.checks.cleaning import clean

        rows, log = clean(file, **arguments)
        content = rows.to_pandas().to_csv(index=False).encode()
        path = store(Path(folder), f"{Path(file).stem.split('-', 1)[-1]}.csv", content)
        return {"file": str(path), "log": log}

    def prepare(self, settings: Settings):
        "Return a plan with its model. What has not changed since the last question is not made again"
        from dataclasses import replace

        from ftkit.checks.preflight import Plan
        from ftkit.fine_tuning import TASKS, with_limit
        from ftkit.objective import Objective
        from ftkit.trainer import training_arguments

        args, task = training_arguments(**settings.section("trainer")), TASKS[settings.task]
        data, report = self.read_rows(settings)
        model_keys, rows_key = settings.section("model"), self.memory.kept["rows"][0]
        tokenizer = self.memory.get(
            "tokenizer", [settings.task, model_keys], lambda: task.load_tokenizer(**model_keys)
        )
        settings = with_limit(settings, tokenizer)
        length = settings.section("tokenizer")
        tokens = self.memory.get(
            "tokens", [rows_key, model_keys, length], lambda: task.tokenize(data, tokenizer, **length)
        )
        objective = Objective(report["labels"], **settings.section("objective"))
        plan = Plan(task, settings, args, data, report, objective, tokenizer, tokens, "runs")
        return replace(plan, model=self.memory.get("model", self.model_key(plan), lambda: load_model(plan)))

    def model_key(self, plan) -> list:
        "Return what the model before its training depends on"
        keys = [plan.settings.section(name) for name in ("model", "model_init")]
        return [plan.task.name, *keys, plan.labels, plan.settings.seed]

    def forecast(self, settings: dict, runs_dir: str, measure: bool = True) -> dict:
        "Return the forecast. Trial steps run if model or method have changed, and if `measure` allows it"
        from ftkit.training.forecast import fit_trial, make_forecast
        from ftkit.training.trial import run_trial

        plan = self.prepare(Settings().replace(**settings))
        source = [self.model_key(plan), plan.settings.num_threads, plan.args.bf16, plan.args.fp16]
        known = self.memory.kept.get("trial", (None,))[0] == sha256_json(source)
        if not known and not measure:
            return {"waiting": True}
        trial = self.memory.get(
            "trial",
            source,
            lambda: run_trial(plan.model, plan.tokens, plan.settings, plan.args, runs_dir, **plan.pieces),
        )
        if trial is None:
            raise RunFailed("the trial steps ran out of memory, or their loss was not finite.")
        trial = fit_trial(trial, plan.model, plan.tokens, plan.settings)
        return asdict(make_forecast(trial, plan.model, plan.tokens, plan.settings, plan.args, runs_dir))

    def answer(self, run: str, texts: list[str]) -> dict:
        "Return what a run's model says to texts, what it said before its training, and their tokens"
        from ftkit.fine_tuning import Run

        tuned = Run(run)
        settings, time = tuned.settings, (tuned.path / "run.json").stat().st_mtime
        model, tokenizer = self.memory.get("tuned", [run, time], tuned.open_model)
        before = self.memory.get("untrained", [run, time], lambda: load_untrained(tuned, tokenizer, model))
        ids = tokenizer(texts, truncation=True, max_length=settings.max_seq_length)["input_ids"]
        return {
            "after": tuned.task.answer(model, tokenizer, texts, settings),
            "before": tuned.task.answer(before, tokenizer, texts, settings),
            "tokens": [[show_token(t) for t in tokenizer.convert_ids_to_tokens(row)] for row in ids],
        }

    def monitor(self, run: str, file: str) -> dict:
        "Return whether the texts of a file have drifted from a run's validation rows"
        from ftkit.files.tables import read_table
        from ftkit.fine_tuning import Run
        from ftkit.serving.monitor import monitor

        tuned, table = Run(run), read_table(file)
        settings, time = tuned.settings, (tuned.path / "run.json").stat().st_mtime
        model, tokenizer = self.memory.get("tuned", [run, time], tuned.open_model)
        base = [tuned.task.name, settings.section("model"), settings.max_seq_length]
        features = self.memory.get("features", base, lambda: tuned.task.read_features(settings))
        return monitor(tuned, table, opened=(model, tokenizer, features))

    def compare(self, a: str, b: str) -> dict:
        "Return the differences of two runs as lines, and the verdicts"
        from ftkit.fine_tuning import Run
        from ftkit.runs.comparison import compare_runs, describe_comparison

        one, two = Run(a), Run(b)
        result = compare_runs(one, two, one.task)
        return {"lines": describe_comparison(result), "verdicts": [v.text for v in result["verdicts"]]}


def spell_labels(rows, names: list[str]) -> list[str]:
    "Return the label of each row as a person reads it"
    if hasattr(rows.features["label"], "names"):
        return [names[i] for i in rows["label"]]
    if names:
        return [", ".join(n for n, has in zip(names, row) if has) or "none" for row in rows["label"]]
    return [format_value(value) for value in rows["label"]]


def read_columns(
    settings: Settings,  # the experiment
) -> list[str]:
    "Return the names of the columns of the training file; none if it is not a small file that can be read"
    from ftkit.files.tables import read_table

    file = settings.train_file
    if not file or not os.path.isfile(file) or os.path.getsize(file) > MOST_BYTES:
        return []
    try:
        return list(read_table(file).columns)
    except UserError:
        return []


def load_model(plan):
    "Return the model of a plan with its first weights"
    plan.load_model()
    return plan.model


def load_untrained(run, tokenizer, tuned):
    "Return the model of a run as it was before its training"
    settings = run.settings
    keys = settings.section("model") | settings.section("model_init")
    model = run.task.load_model(run.labels, tokenizer, seed=settings.seed, **keys).eval()
    if scale := getattr(tuned.config, "label_scale", None):  # what its answers are standardised by
        model.config.label_mean, model.config.label_std = scale
    return model


def show_token(
    token: str,  # of a tokenizer
) -> str:
    "Return a token for a person to read: the mark of a space becomes a space"
    return token.replace("Ġ", " ").replace("▁", " ").replace("Ċ", "↵")


ANSWERS = {"rows", "examine", "clean", "forecast", "answer", "compare", "monitor"}


def main() -> None:
    "Answer until the questions end"
    out, desk = os.fdopen(os.dup(1), "w", encoding="utf-8"), Desk()
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        question = json.loads(line)
        number, what = question.pop("number"), question.pop("what")
        try:
            found = getattr(desk, what)(**question) if what in ANSWERS else {"error": f"{what}: no such question"}
        except (UserError, RunFailed) as e:
            found = {"error": str(e)}
        except Exception as e:  # a fault of the program does not end the others' answers
            found = {"error": redact(f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}")}
        if "error" in found:
            found["error"] = escape_controls(found["error"])
        out.write(json.dumps({"number": number, **to_json_value(found)}) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
