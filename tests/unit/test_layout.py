"The layout: imports point down, tables and settings name the same things, defaults are those of the settings."

import dataclasses
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, small_rows, write_csv
from transformers import DataCollatorWithPadding

from ftkit import settings
from ftkit.data import load_data
from ftkit.files.tables import READERS, Table, read_table
from ftkit.fine_tuning import TASKS, fine_tune
from ftkit.metrics import METRICS, compare, score, wilson
from ftkit.model import load_config
from ftkit.model_init import METHODS, load_model, trainable_share
from ftkit.objective import RUNGS, Objective
from ftkit.panels.explorer import read_errors
from ftkit.serving.predict import predict_rows
from ftkit.settings import SECTIONS, Settings
from ftkit.tasks.heads import HeadTask
from ftkit.tasks.resampling import compare_sums
from ftkit.tokenizer import tokenize
from ftkit.trainer import classification_loss, training_arguments
from ftkit.views.html import Section, table_html

LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
STEPS = {
    "objective": Objective,
    "model": load_config,
    "data": load_data,
    "tokenizer": tokenize,
    "model_init": load_model,
    "metrics": score,
    "trainer": training_arguments,
}


@pytest.fixture(scope="module")
def graph():
    "Which module imports which, imports inside functions included"
    return grimp.build_graph("ftkit", cache_dir=None)


def test_imports_point_down():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "Imports point down KEPT" in done.stdout, done.stdout


def test_every_module_has_its_layer(graph):
    listed = {name.strip(" ()") for layer in LAYERS for name in layer.split(" : ")}
    packages = {module for module in graph.modules if graph.find_children(module)}
    parts = {part for module in listed for part in graph.find_descendants(module)}  # a reader in several modules
    assert graph.modules - (packages - listed) - parts - {"ftkit._modidx"} == listed


def test_there_is_no_circle(graph):
    def reach(module, seen=()):
        return {*seen, *graph.find_modules_directly_imported_by(module)}

    circles = []
    for module in graph.modules:
        found, front = set(), reach(module)
        while front:
            found |= front
            front = set().union(*(reach(m) for m in front)) - found
        circles += [module] if module in found else []
    assert circles == []


@pytest.mark.parametrize(
    "table, names",
    [
        (RUNGS, settings.BASELINES),
        (METHODS, settings.METHODS),
        (METRICS, settings.METRICS),
        (TASKS, list(settings.TASKS)),
    ],
    ids=["rungs", "methods", "metrics", "tasks"],
)
def test_a_table_and_the_settings_name_the_same(table, names):
    assert list(table) == names


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_the_keyword_arguments_of_its_step(section):
    parameters = inspect.signature(STEPS[section]).parameters
    for name, value in Settings().section(section).items():
        default = parameters[name].default
        if section == "objective" and default not in (value, inspect.Parameter.empty):
            field = {f.name: f for f in dataclasses.fields(Objective)}[name]
            default = field.default_factory()
        default = list(default) if isinstance(default, tuple) else default
        assert name in ("model_name_or_path",) or default == value, name


def test_comparisons_take_the_section_of_the_metrics():
    parameters = inspect.signature(compare).parameters
    assert {k: parameters[k].default for k in Settings().section("metrics")} == Settings().section("metrics")


@pytest.fixture
def own(tmp_path, tiny):
    "Settings for a run of a second on own rows"
    file = write_csv(tmp_path / "mine.csv", small_rows(60))
    return Settings(
        model_name_or_path=tiny,
        train_file=str(file),
        text_column_name="review",
        label_column_name="stars",
        num_train_epochs=1,
        num_resamples=100,
        baselines=[],
    )


def test_a_rung_can_be_added(own, tmp_path, monkeypatch):
    def first_label(data, rows, base=None, objective=None):
        return np.zeros(len(rows), int)

    monkeypatch.setitem(RUNGS, "first_label", first_label)
    settings.BASELINES.append("first_label")
    try:
        tuned = fine_tune(own.replace(baselines=["first_label"]), runs_dir=tmp_path)
        assert "first_label" in tuned.report().read_text()
    finally:
        settings.BASELINES.remove("first_label")
    assert tuned.baselines["first_label"]["accuracy"].n == 6 and tuned.verdicts[0].b == "first_label"


def test_a_metric_can_be_added(own, tmp_path, monkeypatch):
    def lowest_recall(counts, classes):
        return classes["recall"].min(-1)

    monkeypatch.setitem(METRICS, "lowest_recall", lowest_recall)
    settings.BEST_METRICS.append("lowest_recall")
    try:
        tuned = fine_tune(own.replace(metric_for_best_model="lowest_recall"), runs_dir=tmp_path)
    finally:
        settings.BEST_METRICS.remove("lowest_recall")
    worst = tuned.metrics["test"]["lowest_recall"]
    assert worst.value == min(c["recall"].value for c in tuned.metrics["test"]["per_class"].values())
    assert (
        tuned.record["best"]["metric"] == "lowest_recall"
        and "lowest recall" in (tuned.path / "model/README.md").read_text()
    )


def test_a_method_can_be_added(own, tmp_path, monkeypatch):
    def biases(model, **keys):
        for name, p in model.named_parameters():
            p.requires_grad = name.endswith("bias")
        return model

    monkeypatch.setitem(METHODS, "biases", biases)
    settings.METHODS.append("biases")
    try:
        tuned = fine_tune(own.replace(method="biases"), runs_dir=tmp_path)
    finally:
        settings.METHODS.remove("biases")
    assert 0 < tuned.record["trainable"][0] < trainable_share(tuned.open_model()[0])[1] / 10


def test_a_file_format_can_be_added(own, tmp_path, monkeypatch):
    def read_lines(path, options):
        rows = [line.split(" ", 1) for line in path.read_text().splitlines()]
        return Table({"stars": [r[0] for r in rows], "review": [r[1] for r in rows]})

    monkeypatch.setitem(READERS, ".lines", read_lines)
    file = tmp_path / "mine.lines"
    file.write_text("".join(f"{r['stars']} {r['review']}\n" for r in small_rows(60)))
    assert read_table(file).columns["stars"][:3] == [r["stars"] for r in small_rows(3)]
    assert fine_tune(own.replace(train_file=str(file)), runs_dir=tmp_path).data["read"]["train"] == 60


class TwoGuesses(HeadTask):
    "One label for each text, for which the model has two guesses"

    name, headline = "two-guesses", "found"
    answer_keys = ("guesses",)
    words, limit = "that has two guesses for each text", "It never has fewer than two guesses."
    rungs = {
        "first_two": lambda data, rows, base, objective: np.tile(np.eye(len(objective.labels))[0], (len(rows), 1))
    }

    def load_model(self, labels, tokenizer, seed, **model_keys):
        return load_model(labels=labels, tokenizer=tokenizer, seed=seed, **model_keys)

    def trainer_kwargs(self, tokens, tokenizer, settings):
        return {
            "data_collator": DataCollatorWithPadding(tokenizer),
            "compute_metrics": lambda p: {
                "found": float((two_best(p.predictions) == p.label_ids[:, None]).sum(1).mean())
            },
            "compute_loss_func": classification_loss(),
        }

    def predict(self, model, tokenizer, rows, settings):
        names, logits = rows.features["label"].names, self.read_logits(model, tokenizer, rows, settings)
        frame = pd.DataFrame({"text": rows["text"], "label": [names[i] for i in rows["label"]]})
        return self.with_predictions(frame.assign(names=[names] * len(frame)), logits)

    def with_predictions(self, predictions, outputs):
        pairs = [[names[i] for i in best] for names, best in zip(predictions.names, two_best(outputs))]
        return predictions.assign(predicted=[" or ".join(sorted(pair)) for pair in pairs])

    def right(self, predictions):
        return np.array([label in pair.split(" or ") for label, pair in zip(predictions.label, predictions.predicted)])

    def score(self, predictions, confidence_level=0.95, num_resamples=2000):
        return {"found": wilson(self.right(predictions).sum(), len(predictions), confidence_level)}

    def compare(self, a, b, names, **metrics):
        stats = [np.stack([self.right(frame), np.ones(len(frame))], -1) for frame in (a, b)]
        return compare_sums(*stats, ("found", lambda sums: sums[..., 0] / sums[..., 1]), names, **metrics)

    def answer(self, model, tokenizer, texts, settings, progress=None):
        keys = dict(max_seq_length=settings.max_seq_length)
        names = list(model.config.id2label.values())
        guess = lambda logits, model: {"guesses": sorted(names[i] for i in two_best(logits[None])[0])}
        return predict_rows(model, tokenizer, texts, progress, answer=guess, **keys)

    def report_sections(self, run):
        return [
            Section("Two guesses", [table_html(run.predictions[["text", "predicted"]].head(3).to_dict("records"))])
        ]


def two_best(logits: np.ndarray) -> np.ndarray:
    "Return the two likeliest classes of each row (rows, 2)"
    return np.argsort(-np.asarray(logits), axis=-1, kind="stable")[:, :2]


def test_a_task_can_be_added(own, tmp_path, monkeypatch):
    task = TwoGuesses()
    monkeypatch.setitem(TASKS, task.name, task)
    monkeypatch.setitem(settings.TASKS, task.name, settings.TaskValues(list(task.rungs), ["found", "loss"]))
    tuned = fine_tune(own.replace(task=task.name, baselines=["first_two"]), runs_dir=tmp_path, name="x")
    assert (tuned.record["task"], tuned.record["headline"]) == (task.name, "found")
    assert set(tuned.record["steps"].values()) == {"done"} and tuned.record["best"]["metric"] == "found"
    score, rung = tuned.metrics["test"]["found"], tuned.baselines["first_two"]["found"]
    assert score.n == rung.n == 6 and rung.value == pytest.approx(2 / 3) and tuned.verdicts[0].b == "first_two"
    assert tuned.evaluate()["metrics"]["found"] == score
    test = tuned.predictions.query("split == 'test'")
    answers = tuned.predict([*test.text, ""])
    assert [" or ".join(answer["guesses"]) for answer in answers[:-1]] == test.predicted.tolist()
    assert answers[-1] == {"error": "the text is empty"}
    page, card = tuned.report().read_text(), (tuned.path / "model/README.md").read_text()
    assert "Two guesses" in page and "first_two" in page and task.limit in card and "test found" in card
    assert len(read_errors(tuned.predictions)) == 6  # in the panel


def test_public_names_of_a_run_are_all_that_tab_shows(own, tmp_path):
    from IPython.core.completer import provisionalcompleter
    from IPython.core.interactiveshell import InteractiveShell

    tuned = fine_tune(own, runs_dir=tmp_path)
    shell = InteractiveShell()  # no instance(): log lines of later tests would go to the output of a notebook
    shell.user_ns["tuned"] = tuned
    with provisionalcompleter():
        shown = {c.text.removeprefix(".") for c in shell.Completer.completions("tuned.", 6)}
    assert {n for n in shown if not n.startswith("_")} == set(dir(tuned)) and len(dir(tuned)) == 15


def test_a_run_names_its_task_and_its_headline(own, tmp_path):
    record = fine_tune(own, runs_dir=tmp_path).record
    assert (record["task"], record["headline"]) == ("text-classification", "accuracy")
