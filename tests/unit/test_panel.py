"The panel without a front end: what its controls, buttons and views do, driven as a notebook's widgets drive them."

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from conftest import small_rows, write_csv
from panels import SilentWorker
from processes import Command

from ftkit.cli.main import COMMANDS
from ftkit.cli.parser import parse, read_settings
from ftkit.errors import UserError
from ftkit.files.feedback import read_feedback
from ftkit.panels.controls import make_input, put_value, take_value
from ftkit.panels.data import parse_fix
from ftkit.panels.explorer import Explorer, read_errors
from ftkit.panels.files import experiments_dir, read_upload, save_settings, store
from ftkit.panels.knobs import Knobs
from ftkit.panels.panel import VIEWS, Panel
from ftkit.panels.processes import Training, Worker, to_flags
from ftkit.panels.result import PARTS, conclude
from ftkit.panels.settings import ELSEWHERE, show_code
from ftkit.panels.training import with_interval
from ftkit.panels.views import Latest
from ftkit.runs.folder import RunFolder
from ftkit.settings import KEYS, Settings, parse_value
from ftkit.views.curves import MOST_POINTS, curve_svg, find_ticks, smooth, thin

HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J"


@pytest.fixture
def make_panel(tmp_path, monkeypatch):
    "Make a panel whose worker only notes what it is asked"
    import ftkit.panels.panel

    monkeypatch.setattr(ftkit.panels.panel, "Worker", SilentWorker)
    return lambda settings=None, runs_dir=tmp_path / "runs": Panel(settings, runs_dir)


@pytest.fixture
def own(trained, tmp_path):
    "A copy of a folder with one finished run, `runs/small`, and its rows, `mine.csv`"
    return Path(shutil.copytree(trained[0], tmp_path / "own"))


@pytest.fixture
def finished(own, make_panel):
    "A panel over a folder with one finished run"
    return make_panel(runs_dir=own / "runs")


@pytest.fixture(scope="module")
def worker():
    "A worker that really answers"
    made = Worker()
    yield made
    made.close()


def text_of(html: str) -> str:
    "Return the words of some HTML"
    return BeautifulSoup(str(html), "html.parser").get_text(" ", strip=True)


def test_a_panel_loads_neither_torch_nor_transformers(tmp_path):
    code = (
        "import sys; from ftkit import Panel; p = Panel(); p.to_html(); p.change(num_train_epochs=2); "
        "print([m for m in ('torch', 'transformers', 'datasets', 'evaluate') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", KEYS)
def test_a_control_gives_back_the_value_that_it_shows(name):
    others = {
        "baselines": ["majority", "frozen"],
        "label_words": {"good": "fine words", "bad": "no"},
        "ignore_labels": ["not sure", "x"],
        "column_names": ["a text", "b"],
        "dropout": None,
        "num_threads": 3,
        "learning_rate": 3.2e-5,
    }
    for value in (getattr(Settings(), name), others.get(name, getattr(Settings(), name))):
        control = make_input(name)
        put_value(control, value)
        assert parse_value(KEYS[name], take_value(control)) == value


def test_every_key_has_one_control(make_panel):
    assert {*make_panel().views["settings"].controls, *ELSEWHERE} == {*KEYS}


def test_settings_follow_the_controls_and_the_controls_the_settings(make_panel):
    panel = make_panel()
    controls = panel.views["settings"].controls
    controls["num_train_epochs"].input.value = "5"
    controls["method"].input.value = "lora"
    controls["learning_rate"].input.value = 10**-3.35
    assert panel.settings == Settings().replace(num_train_epochs=5, method="lora", learning_rate=4.5e-4)
    panel.settings = Settings().replace(seed=7, learning_rate=0.5, early_stopping_patience=3)
    assert controls["seed"].input.value == "7" and controls["early_stopping_patience"].input.value == "3"
    assert controls["num_train_epochs"].input.value == "3" and controls["method"].input.value == "full"
    assert controls["learning_rate"].input.value == 0.5 and panel.settings.learning_rate == 0.5
    panel.views["settings"].extra.value = "adam_beta2 = 0.95\nlr_scheduler_type = cosine"
    assert panel.settings.training_arguments == {"adam_beta2": 0.95, "lr_scheduler_type": "cosine"}


@pytest.mark.parametrize(
    "name, value, reason",
    [
        ("num_train_epochs", "0", "must be above 0"),
        ("num_train_epochs", "many", "expected a number"),
        ("per_device_train_batch_size", "1.5", "expected a whole number"),
        ("baselines", "tf-idf", "Did you mean 'tfidf'?"),
        ("model_name_or_path", "https://user:secret@example.org/m", "holds a user or password"),
        ("seed", HOSTILE, "expected a whole number"),
    ],
)
def test_a_refused_value_has_its_reason_next_to_it(make_panel, name, value, reason):
    panel = make_panel()
    control = panel.views["settings"].controls[name]
    control.input.value = value
    assert panel.settings == Settings()
    assert reason in text_of(control.message.value) and 'role="alert"' in control.message.value
    assert "<img" not in control.message.value and "secret" not in control.message.value
    assert [c for c in panel.views["settings"].controls.values() if c.message.value] == [control]
    control.input.value = str(getattr(Settings(), name) if name != "baselines" else "tfidf")
    assert control.message.value == ""


def test_other_fields_are_refused_by_line(make_panel):
    view = make_panel().views["settings"]
    for text, reason in (("adam_beta2", "write name = value"), ("output_dir = x", "ftkit sets this itself")):
        view.extra.value = text
        assert reason in text_of(view.extra_message.value) and view.panel.settings == Settings()


CODES = [
    Settings(),
    Settings.preset("gpt2-tweets"),
    Settings().replace(train_file="my 'own' \"rows\".csv", text_column_name="-x", label_column_name="a, b"),
    Settings().replace(baselines=[], ignore_labels=["not sure", "5"], dropout=None, learning_rate=3.3e-7),
    Settings().replace(label_words={"bad": "a sad day", "good": "fine"}, minutes=0.5, num_threads=2),
    Settings().replace(adam_beta2=0.95, lr_scheduler_kwargs={"a": 1}, bf16=False, lr_scheduler_type="cosine"),
    Settings().replace(method="lora"),
    Settings().replace(method="lora", learning_rate=Settings().learning_rate),
    Settings().replace(task="text-generation", method="full", max_seq_length=128),
]


@pytest.mark.parametrize("settings", CODES, ids=range(len(CODES)))
def test_shown_code_makes_the_same_settings(settings):
    code = show_code(settings)
    call = ast.parse(code["Python"]).body[-1].value
    assert eval(ast.unparse(call.args[0]), {"Settings": Settings}) == settings
    words = shlex.split(code["Command line"])
    assert words == ["ftkit", "train", *to_flags(settings)]
    assert read_settings(*parse(COMMANDS["train"], words[2:])) == settings


def test_saved_settings_read_from_anywhere(make_panel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    view = make_panel(Settings().replace(train_file="rows.csv", seed=3)).views["settings"]
    view.name.value = "mine"
    view.save()
    file = tmp_path / "experiments/mine.ini"
    assert Settings.read(file) == Settings().replace(train_file=str(tmp_path / "rows.csv"), seed=3)
    before = file.read_bytes()
    view.save()
    assert "there is already" in text_of(view.message.value) and file.read_bytes() == before
    for name in ("../settings", "", "a/b", ".x", "a b"):
        with pytest.raises(UserError, match="use only letters"):
            save_settings(Settings(), name, tmp_path / "runs")


@pytest.mark.parametrize(
    "name, kept",
    [
        ("rows.csv", "rows.csv"),
        ("../../etc/passwd", "passwd"),
        ("..\\x y.csv", "x_y.csv"),
        ("...", "rows"),
        ("é.csv", "é.csv"),
    ],
)
def test_an_upload_stays_in_its_folder(tmp_path, name, kept):
    seven = {name: {"metadata": {"name": name}, "content": b"a,b"}}
    eight = ({"name": name, "content": memoryview(b"a,b"), "size": 3},)
    assert read_upload(seven) == read_upload(eight) == (name, b"a,b") and read_upload({}) is read_upload(()) is None
    path = store(tmp_path / "data", *read_upload(eight))
    assert path.parent == tmp_path / "data" and path.name.endswith(f"-{kept}") and path.read_bytes() == b"a,b"
    assert store(tmp_path / "data", *read_upload(seven)) == path


def test_an_uploaded_file_is_used(make_panel, tmp_path):
    panel = make_panel(Settings().replace(text_column_name="old"))
    data = panel.views["data"]
    data.on_upload({"new": {"mine.csv": {"content": b"review,stars\na,1\n"}}})
    assert panel.settings.train_file.startswith(str(experiments_dir(tmp_path / "runs") / "data"))
    assert panel.settings.text_column_name is None and data.source.value == "file"
    assert panel.worker.questions[-1][:2] == ("rows", {"settings": {"train_file": panel.settings.train_file}})


def test_sources_show_their_own_controls(make_panel):
    panel = make_panel()
    data = panel.views["data"]
    shown = lambda: (data.file_row.layout.display, data.hub_row.layout.display)
    assert shown() == ("none", "none")
    data.source.value = "file"
    data.file.value = "rows.csv"
    assert shown() == (None, "none") and panel.settings.train_file == "rows.csv"
    data.source.value = "hub"
    data.hub.value = "owner/name"
    assert shown() == ("none", None)
    assert panel.settings.train_file is None and panel.settings.dataset_name == "owner/name"
    data.source.value = "starter"
    assert panel.settings == Settings()


def test_rows_are_shown_or_the_reason_why_not(make_panel, worker, own, tmp_path):
    panel = make_panel(Settings().replace(train_file=str(own / "mine.csv")))
    data = panel.views["data"]
    data.show_rows(worker.call("rows", settings={"train_file": str(own / "mine.csv")}))
    words = text_of(data.rows.value)
    assert "90 rows read" in words and "all 72 9 9" in words and data.message.value == ""
    assert data.columns["text_column_name"].options == ("review", "stars")
    assert data.columns["text_column_name"].placeholder == "review (found automatically)"
    assert len(BeautifulSoup(data.rows.value, "html.parser").find_all("table")[1].find_all("tr")) == 11
    data.columns["label_column_name"].value = "stars"
    assert panel.settings.label_column_name == "stars"
    (tmp_path / "odd.csv").write_text(f"text,label\n{HOSTILE}\n")
    data.show_rows(worker.call("rows", settings={"train_file": str(tmp_path / "odd.csv")}))
    assert 'role="alert"' in data.message.value and data.rows.value == "" and "<img" not in data.message.value
    panel.change(seed=5)
    assert panel.views["settings"].controls["seed"].input.value == "5"


def test_columns_that_are_not_found_can_be_chosen(make_panel, worker, tmp_path):
    rows = [{"foo": f"a text number {i}", "bar": f"another text {i}", "baz": "ab"[i % 2]} for i in range(30)]
    panel = make_panel(Settings().replace(train_file=str(write_csv(tmp_path / "odd.csv", rows))))
    data = panel.views["data"]
    data.read()
    answer_all(panel, worker)
    assert "would both do as text" in text_of(data.message.value)
    assert data.columns["text_column_name"].options == ("foo", "bar", "baz")
    data.columns["text_column_name"].value, data.columns["label_column_name"].value = "foo, bar", "baz"
    answer_all(panel, worker)
    assert data.message.value == "" and "30 rows read" in text_of(data.rows.value)
    assert panel.settings.text_column_name == "foo, bar" and panel.settings.label_column_name == "baz"


def answer_all(panel, worker) -> None:
    "Let a real worker answer what the panel has asked so far, about the rows alone"
    while panel.worker.questions:
        what, question, callback = panel.worker.questions.pop(0)
        if what != "forecast":
            callback(worker.call(what, **question))


def test_an_answer_about_other_rows_is_not_shown(make_panel, tmp_path):
    file = str(write_csv(tmp_path / "mine.csv", small_rows(30)))
    panel = make_panel(Settings().replace(train_file=file))
    data = panel.views["data"]
    data.examine()
    asked = panel.worker.questions[-1][2]
    data.source.value = "starter"
    asked({"findings": [{"what": "old", "count": 2, "examples": [], "fix": "clean(rows, short='drop')"}]})
    assert data.findings is None and data.found.children == ()


def test_a_source_without_a_name_is_refused_and_kept(make_panel):
    panel = make_panel()
    data = panel.views["data"]
    data.source.value = "file"
    panel.change(seed=3)
    assert data.source.value == "file" and data.file_row.layout.display is None
    panel.views["training"].on_start()
    assert "name a file" in text_of(panel.views["training"].message.value)
    data.source.value = "hub"
    panel.views["training"].on_start()
    assert "name the data set" in text_of(panel.views["training"].message.value)
    assert not panel.runs_dir.exists()
    asked = len(panel.worker.questions)
    data.source.value = "starter"
    assert [what for what, *_ in panel.worker.questions[asked:]] == ["rows"]


def test_findings_are_mended_by_a_button(make_panel, worker, tmp_path):
    rows = small_rows(60) + small_rows(3) * 2
    file = write_csv(tmp_path / "mine.csv", rows)
    test = write_csv(tmp_path / "test.csv", small_rows(72)[54:])
    before = file.read_bytes()
    panel = make_panel(Settings().replace(train_file=str(file), test_file=str(test)))
    data = panel.views["data"]
    data.examine()
    what, question, callback = panel.worker.questions[-1]
    callback(worker.call(what, **question))
    fixes = {finding["fix"]: parse_fix(finding["fix"]) for finding in data.findings}
    assert ("train_file", {"duplicates": "exact"}) in fixes.values()
    assert ("test_file", {"leaks": "near"}) in fixes.values()
    for key, keys, left in (("train_file", {"duplicates": "exact"}, 60), ("test_file", {"leaks": "exact"}, 12)):
        data.apply(key, keys)
        answer_all(panel, worker)
        assert len(pd.read_csv(getattr(panel.settings, key))) == left, data.message.value
        assert "dropped" in text_of(data.message.value)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "fix, call",
    [
        ("clean(rows, short='drop')", ("train_file", {"short": "drop"})),
        ("clean(rows, labels={'a)': 'b'})", ("train_file", {"labels": {"a)": "b"}})),
        ("decide for one, or clean(rows, conflicts='drop')", ("train_file", {"conflicts": "drop"})),
        ("clean(test_rows, leaks='near', train=rows)", ("test_file", {"leaks": "near"})),
        ("read them; correct them in the file, or clean(rows, drop=[…])", None),
        ("ignore_labels = a, b", None),
        ("clean(rows, x=__import__('os'))", None),
        ("", None),
    ],
)
def test_only_plain_values_become_a_button(fix, call):
    assert parse_fix(fix) == call


def test_a_forecast_after_a_change_is_arithmetic(tmp_path, tiny, monkeypatch):
    import ftkit.training.trial
    from ftkit.panels.worker import Desk

    trials, plain = [], ftkit.training.trial.run_trial
    monkeypatch.setattr(ftkit.training.trial, "run_trial", lambda *a, **k: trials.append(1) or plain(*a, **k))
    file = str(write_csv(tmp_path / "mine.csv", small_rows(90)))
    desk, keys = Desk(), {"model_name_or_path": tiny, "train_file": file, "baselines": [], "num_threads": 1}
    ask = lambda measure=True, **more: desk.forecast({**keys, **more}, str(tmp_path / "runs"), measure)
    assert ask(measure=False) == {"waiting": True}
    first = ask()
    twice = ask(num_train_epochs=6)
    assert twice["train_seconds"] == pytest.approx(2 * first["train_seconds"], rel=0.1)
    assert ask(max_seq_length=4)["train_seconds"] < first["train_seconds"]
    assert len(trials) == 1 and ask(method="head") and len(trials) == 2


class Forked(Command):
    "The child of a panel without seconds of imports; tests/lab starts a real one"

    def __init__(self, words, stdout, **keys):
        assert words[:3] == [sys.executable, "-m", "ftkit"] and keys["start_new_session"]
        super().__init__(*words[3:], cwd=Path(stdout.name).parent)
        self.returncode = None

    def poll(self):
        self.returncode = super().poll()
        return self.returncode


def test_memory_of_a_forecast_grows_with_the_batch(tmp_path, tiny):
    from ftkit.panels.worker import Desk
    from ftkit.training.forecast import count_trained, fit_trial
    from ftkit.training.trial import Timing, Trial, list_batches

    file = str(write_csv(tmp_path / "mine.csv", small_rows(90)))
    plan = Desk().prepare(Settings().replace(model_name_or_path=tiny, train_file=file, per_device_train_batch_size=8))
    longest = np.quantile(list_batches(plan.tokens, plan.settings)[1], 0.99, method="lower")
    timing, fixed = Timing(1, int(longest), 1.0, 1.0), 10**8 + 4 * count_trained(plan.model)
    trial = Trial(1, (timing,), timing, 0.1, 10**8, fixed + 10**9)
    fit = lambda size: fit_trial(
        trial, plan.model, plan.tokens, plan.settings.replace(per_device_train_batch_size=size)
    )
    assert fit(8).peak_bytes == pytest.approx(trial.peak_bytes, rel=0.01)
    assert fit(16).peak_bytes == pytest.approx(fixed + 2 * 10**9, rel=0.1)
    assert fit(4).peak_bytes == pytest.approx(fixed + 10**9 / 2, rel=0.1)


def test_a_training_outlives_its_panel(tmp_path, tiny, make_panel, monkeypatch):
    "Start, a second panel that stops it as another kernel would, resume, result"
    monkeypatch.setattr("ftkit.panels.processes.subprocess.Popen", Forked)
    file = str(write_csv(tmp_path / "mine.csv", small_rows(90)))
    keys = {"per_device_train_batch_size": 4, "num_train_epochs": 12, "baselines": ["majority"], "num_threads": 1}
    settings = Settings().replace(model_name_or_path=tiny, train_file=file, **keys)
    panel = make_panel(settings)
    folder = panel.start("mine")
    with pytest.raises(UserError, match="is training"):
        panel.start()
    wait_until(lambda: len(RunFolder(folder).history) > 3, panel)
    panel.refresh()
    view = panel.views["training"]
    assert "is training" in text_of(view.status.value) and "<polyline" in view.curves.value
    assert view.start.disabled and not view.stop.disabled
    other = make_panel()
    assert other.folder == folder and other.is_training and "is training" in text_of(other.to_html())
    assert other.settings == settings
    other.stop()
    wait_until(lambda: not panel.is_training, panel)
    stopped = max(row["step"] for row in RunFolder(folder).history)
    assert panel.record["status"] == "stopped" and stopped < panel.record["max_steps"]
    assert "Resume continues it" in text_of(view.status.value) and not view.resume.disabled
    other.refresh()
    other.resume()
    other.wait(240)
    assert other.record["status"] == "finished" and other.views["training"].resume.disabled
    assert max(row["step"] for row in RunFolder(folder).history) == other.record["max_steps"] > stopped
    assert "Test accuracy" in text_of(other.views["result"].parts.value)
    assert other.run.metrics["test"]["accuracy"].n == other.record["data"]["test"]["rows"]
    with pytest.raises(UserError, match="it is finished"):
        other.resume()


def wait_until(reached, panel, seconds=200) -> None:
    "Look at a condition until it holds"
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end and not (panel.training and panel.training.failure), panel.training.lines
        time.sleep(0.05)
    panel.refresh()


def test_a_start_that_fails_says_why_in_place(tmp_path, make_panel):
    panel = make_panel(Settings().replace(train_file=str(tmp_path / "missing.csv")))
    panel.views["training"].on_start()
    wait_until(lambda: panel.training.process.poll() is not None, make_panel())
    panel.refresh()
    view = panel.views["training"]
    assert "missing.csv" in text_of(view.message.value) and 'role="alert"' in view.message.value
    assert not view.start.disabled and not (tmp_path / "runs" / panel.folder.name).exists()
    assert panel.record is None and "No run to show" in text_of(view.status.value)
    view.on_stop()
    assert "nothing is training" in text_of(view.message.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, make_panel):
    (tmp_path / "runs").write_text("a file")
    panel = make_panel()
    panel.views["training"].on_start()
    assert "no run can be written there" in text_of(panel.views["training"].message.value)


@pytest.mark.parametrize(
    "process, reason",
    [
        ({"pid": 1, "host": None}, "Stop it there"),
        ({"pid": os.getpid(), "host": "elsewhere"}, "it runs on elsewhere"),
        ({"pid": "1; rm", "host": "here"}, "Stop it there"),
        (None, "Stop it there"),
    ],
)
def test_no_signal_goes_to_a_process_that_is_not_known(own, monkeypatch, process, reason):
    run = RunFolder(own / "runs/small")
    run.update(process=process)
    monkeypatch.setattr(RunFolder, "is_alive", lambda self: True)
    monkeypatch.setattr(os, "kill", lambda *a: pytest.fail("a signal was sent"))
    with pytest.raises(UserError, match=reason):
        Training(run.path).stop()


def test_a_cell_of_the_matrix_opens_its_rows(finished):
    explorer = finished.views["result"].explorer
    rows = RunFolder(finished.folder).predictions.query("split == 'validation'")
    grid = explorer.grid.children[0].children
    labels = list(rows.label.cat.categories)
    assert len(grid) == (len(labels) + 1) ** 2
    for i, true in enumerate(labels):
        for j, predicted in enumerate(labels):
            button = grid[(i + 1) * (len(labels) + 1) + j + 1]
            expected = rows[(rows.label == true) & (rows.predicted == predicted)]
            assert button.description == str(len(expected)) and f"true {true}, predicted {predicted}" in button.tooltip
            button.click()
            assert sorted(explorer.chosen().text) == sorted(expected.text)
    explorer.true.value = explorer.predicted.value = "any"
    explorer.kind.value = "all rows"
    explorer.search.value = "NUMBER 1"
    assert sorted(explorer.chosen().text) == sorted(t for t in rows.text if "number 1" in t.lower())


def test_settings_of_a_run_are_used_again(finished, tmp_path, make_panel):
    assert finished.settings == Settings() and finished.record["auto"] == ["num_threads"]
    finished.views["training"].reuse.click()
    assert finished.settings.learning_rate == Settings().learning_rate and finished.settings.num_threads == "auto"
    assert finished.settings.per_device_train_batch_size == 8
    assert finished.views["settings"].controls["num_train_epochs"].input.value == "2"
    empty = make_panel(runs_dir=tmp_path / "none")
    empty.views["training"].reuse.click()
    assert "there is no run" in text_of(empty.views["training"].message.value)


def test_pages_of_rows_show_each_row_once():
    frame = pd.DataFrame({"split": "validation", "text": [f"row {i}" for i in range(60)]})
    frame["label"] = pd.Categorical(["a", "b"] * 30)
    frame["predicted"] = pd.Categorical(["a"] * 60, ["a", "b"])
    frame["logits"] = [[i / 10, 0.0] for i in range(60)]
    explorer = Explorer(threading.RLock())
    explorer.load(frame)
    seen = []
    while True:
        table = BeautifulSoup(explorer.table.value, "html.parser")
        seen += [tr.td.get_text() for tr in table.find_all("tr")[1:]]
        if explorer.next.disabled:
            break
        explorer.next.click()
    assert seen == [f"row {i}" for i in range(59, 0, -2)]
    explorer.back.click()
    assert explorer.page == 0 and explorer.back.disabled
    assert set(read_errors(frame.drop(columns="logits")).number) == {1.0}
    assert read_errors(frame.drop(columns="predicted")) is None


def test_a_result_says_what_the_verdicts_say(finished):
    shown = text_of(finished.views["result"].parts.value)
    assert conclude(finished.record, 0.95) in shown and "This was evaluation 1" in shown
    verdict = {"p": 0.01, "difference": 0.1, "b": "a"}
    record = {"verdicts": [verdict, {**verdict, "b": "c", "difference": -0.2}, {**verdict, "b": "d", "p": 0.3}]}
    assert conclude(record, 0.95) == "It is better than a; worse than c; not significantly different from d."
    assert conclude({"verdicts": [verdict, verdict]}, 0.95) == "It is better than all 2 baselines."


def test_a_part_of_the_result_is_a_function_and_a_row(finished, monkeypatch):
    monkeypatch.setitem(PARTS, "mine", lambda folder, record: f"<p>{folder.path.name}: {record['status']}</p>")
    finished.run_changed()
    assert "small: finished" in text_of(finished.views["result"].parts.value)
    assert "small: finished" in text_of(finished.to_html())


def test_a_sentence_is_answered_before_and_after(finished, worker):
    attempt = finished.views["result"].attempt
    attempt.button.click()
    assert "type a sentence first" in text_of(attempt.shown.value)
    attempt.text.value = f"lovely warm bread {HOSTILE}"
    attempt.button.click()
    what, question, callback = finished.worker.questions[-1]
    answer = worker.call(what, **question)
    callback(answer)
    after = finished.run.predict([attempt.text.value])[0]
    assert answer["after"][0]["label"] == after["label"]
    assert answer["after"][0]["scores"] == pytest.approx(after["scores"]) != answer["before"][0]["scores"]
    assert "".join(answer["tokens"][0]).startswith("lovely warm bread")
    assert "✓" in attempt.shown.value and "<img" not in attempt.shown.value
    attempt.corrected.value = "flat"
    attempt.bad.click()
    table, unused = read_feedback(finished.runs_dir / "small.feedback.jsonl")
    assert table.columns == {"text": [attempt.text.value], "label": ["flat"]}
    assert "--continue_from small --add_feedback" in text_of(attempt.kept.value)


def test_runs_are_sorted_and_compared(own, make_panel, worker):
    runs = own / "runs"
    shutil.copytree(runs / "small", runs / "again")
    record = json.loads((runs / "again/run.json").read_text())
    record["metrics"]["test"]["accuracy"]["value"] = 0.125
    (runs / "again/run.json").write_text(json.dumps(record))
    view = make_panel(runs_dir=runs).views["runs"]
    first = lambda: [tr.td.get_text() for tr in BeautifulSoup(view.table.value, "html.parser").find_all("tr")[1:]]
    view.order.value = "name"
    assert first() == ["again", "small"]
    view.order.value = "test score"
    assert first() == ["small", "again"]
    view.compare()
    assert "choose two different runs" in text_of(view.message.value)
    view.a.value, view.b.value = "small", "again"
    view.compare()
    what, question, callback = view.panel.worker.questions[-1]
    callback(worker.call(what, **question))
    shown = text_of(view.comparison.value)
    assert "losses up to step" in shown and "0 validation rows fixed by again" in shown
    assert view.comparison.value.count("<polyline") >= 4


def test_nothing_from_the_data_becomes_markup(finished):
    run = RunFolder(finished.folder)
    frame = run.predictions
    frame["text"] = HOSTILE
    frame["predicted"] = frame.label.cat.categories[0]
    frame["predicted"] = pd.Categorical(frame.predicted, frame.label.cat.categories)
    run.write_predictions(frame)
    run.update(verdicts=[{**v, "b": HOSTILE, "text": HOSTILE} for v in run.record["verdicts"]])
    finished.change(train_file=f"{'x'}<img src=x onerror=alert(1)>.csv")
    finished.run_changed()
    page = BeautifulSoup(str(finished.to_html()) + str(finished.views["result"].explorer.table.value), "html.parser")
    assert page.find("img") is None and page.find("script") is None and "\x1b" not in str(page)
    assert "onerror" in page.get_text()


def test_without_a_kernel_every_section_shows_its_state(finished):
    page = BeautifulSoup(finished._repr_html_(), "html.parser")
    titles = [h.get_text() for h in page.select("section > h3")]
    assert titles == [f"{i} {view.title}" for i, view in enumerate(VIEWS.values(), 1)]
    words = page.get_text(" ")
    for expected in ("is finished", "The ladder", "Where it is wrong", "ftkit train", "small", "step 18 of 18"):
        assert expected in words, expected
    assert page.find("img")["src"].startswith("data:image/png") and page.find("svg") is None


def test_a_front_end_gets_controls_that_no_file_keeps(finished, monkeypatch):
    import IPython.display

    import ftkit.panels.panel

    sent = []

    def display(value, **keys):
        sent.append((value, keys))
        return type("Handle", (), {"update": lambda self, new: sent.append((new, {}))})()

    monkeypatch.setattr(ftkit.panels.panel, "has_front_end", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    finished._ipython_display_()
    bundle, static, picture = (value for value, _ in sent[:3])
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == finished.widget.model_id
    assert "need a running kernel" in bundle["text/html"]
    assert "ftkit-static" in static.data and picture.data[1:4] == b"PNG"
    before = len(sent)
    finished.change(seed=9)
    assert ">9</td>" in sent[before][0].data
    again = Panel(runs_dir=finished.runs_dir)
    again._ipython_display_()
    assert again.is_open and not finished.is_open
    finished.change(seed=10)  # who uses a panel again opens it again
    assert finished.is_open and not again.is_open and finished.follower.is_alive()
    finished._ipython_display_()
    assert finished.is_open and threading.active_count() < 20
    finished.close()


def test_knobs_show_what_follows_from_their_keys(monkeypatch):
    import IPython.display

    import ftkit.panels.knobs

    knobs = Knobs(
        lambda s: (s.num_train_epochs, s.method, s.learning_rate, s.seed),
        Settings().replace(seed=9),
        num_train_epochs=(1, 10),
        method=["full", "head"],
        learning_rate=None,
    )
    assert knobs.value == (3.0, "full", 2e-4, 9)
    sent = []
    handle = type("Handle", (), {"update": lambda self, value: sent.append(value)})()
    monkeypatch.setattr(IPython.display, "display", lambda *values, **keys: sent.append(values[0]) or handle)
    with pytest.raises(NotImplementedError):
        knobs._ipython_display_()
    monkeypatch.setattr(ftkit.panels.knobs, "has_front_end", lambda: True)
    knobs._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in sent[0] and sent[1] == knobs.value
    knobs.controls["num_train_epochs"].input.value = 5
    knobs.controls["method"].input.value = "head"
    assert sent[-1] == (5.0, "head", 1e-3, 9)  # the rate follows the method
    assert knobs.controls["learning_rate"].input.value == 1e-3
    knobs.change(learning_rate=3e-3)
    assert knobs.controls["learning_rate"].input.value == 3e-3 and sent[-1][2] == 3e-3
    with pytest.raises(UserError, match="must be above 0"):
        knobs.change(num_train_epochs=0)
    assert knobs.settings.num_train_epochs == 5


def test_a_fault_in_one_section_leaves_the_others(finished, monkeypatch):
    import ftkit.panels.result

    monkeypatch.setitem(ftkit.panels.result.PARTS, "broken", lambda folder, record: 1 / 0)
    finished.run_changed()
    assert "ZeroDivisionError" in text_of(finished.views["result"].parts.value)
    assert "The ladder" in text_of(finished.views["result"].parts.value)
    assert "is finished" in text_of(finished.views["training"].status.value)
    (finished.folder / "run.json").write_text("{")
    finished.run_changed()
    finished.change(seed=4)
    assert finished.settings.seed == 4 and finished.record is None


def test_nothing_of_another_run_stays(finished, worker):
    shutil.copytree(finished.folder, finished.runs_dir / "other")
    (finished.runs_dir / "other/predictions.parquet").unlink()
    result = finished.views["result"]
    result.attempt.text.value = "lovely warm bread"
    result.attempt.button.click()
    what, question, callback = finished.worker.questions[-1]
    answer = worker.call(what, **question)
    callback(answer)
    assert "tokens" in result.attempt.shown.value and "lovely" in text_of(result.attempt.to_html())
    finished.show_run("other")
    assert "no predictions" in text_of(result.message.value) and result.explorer.rows is None
    assert "The ladder" in text_of(result.parts.value) and result.attempt.shown.value == ""
    callback(answer)
    assert result.attempt.shown.value == "" and "lovely" not in text_of(result.to_html())
    finished.show_run("small")
    assert result.message.value == "" and result.explorer.rows is not None


@pytest.mark.slow
def test_a_refused_resume_says_why(own, make_panel):
    runs = own / "runs"
    run = RunFolder(runs / "small")
    run.update(status="stopped", reason="interrupted", process=None)
    run.write_settings(run.settings.replace(train_file=str(own / "mine.csv")))
    (own / "mine.csv").write_text("review,stars\na,b\n")
    panel = make_panel(runs_dir=runs)
    view = panel.views["training"]
    view.resume.click()
    wait_until(lambda: panel.training.process.poll() is not None, make_panel())
    panel.refresh()
    assert 'role="alert"' in view.message.value and "mine.csv" in text_of(view.message.value)
    with pytest.raises(UserError, match="mine.csv"):
        panel.worker.waiting, panel.is_open = {}, True
        panel.wait()


def test_records_of_other_versions_are_shown(own, make_panel):
    run = RunFolder(own / "runs/small")
    record = run.read()
    for key in ("max_steps", "process", "timing", "weights"):
        record.pop(key)
    (run.path / "run.json").write_text(json.dumps(record))
    run.log(step=99, loss="nan", eval_loss="nan")
    panel = make_panel(runs_dir=run.path.parent)
    assert "<polyline" in panel.views["training"].curves.value
    assert "The ladder" in panel._repr_html_()
    (run.path / "settings.ini").unlink()
    panel.run_changed()
    assert "settings.ini" in text_of(panel.to_html())
    (run.path / "run.json").write_text("{")
    panel.refresh()
    assert "cannot be read" in text_of(panel.views["training"].message.value)


def test_a_run_that_somebody_else_starts_is_listed(finished):
    shutil.copytree(finished.folder, finished.runs_dir / "new")
    finished.refresh()
    assert [name for _, name in finished.views["training"].choice.options] == ["small", "new"]


def test_a_link_to_a_run_is_not_shown(own, make_panel):
    (own / "others").mkdir()
    (own / "others/linked").symlink_to(own / "runs/small")
    panel = make_panel(runs_dir=own / "others")
    assert panel.folder is None and "No run" in text_of(panel.to_html())
    panel.views["training"].on_choice({"new": "linked"})
    assert "is a link" in text_of(panel.views["training"].message.value) and panel.folder is None


def test_a_worker_that_is_closed_forgets_its_questions():
    worker, found = Worker(), []
    worker.ask("rows", found.append, settings={"lr": 1})
    first = worker.process
    worker.close()
    assert "Did you mean" in worker.call("rows", settings={"lr": 1})["error"]
    assert found == [] and first.wait(20) is not None and worker.process is not first
    worker.close()


def test_a_worker_that_dies_answers_and_starts_again():
    worker = Worker()
    assert worker.call("no such question")["error"] == "no such question: no such question"
    found = []
    worker.ask("rows", found.append, settings={})
    worker.process.kill()
    end = time.monotonic() + 30
    while not found and time.monotonic() < end:
        time.sleep(0.02)
    assert "has died" in found[0]["error"]
    assert "Did you mean" in worker.call("rows", settings={"lr": 1})["error"]
    worker.close()


def test_only_the_newest_question_waits():
    worker, shown = SilentWorker(), []
    latest = Latest(worker, "forecast", shown.append)
    for n in range(5):
        latest.ask(n=n)
    assert [q["n"] for _, q, _ in worker.questions] == [0]
    worker.questions[0][2]({"answer": 0})
    assert [q["n"] for _, q, _ in worker.questions] == [0, 4] and shown == []
    worker.questions[1][2]({"answer": 4})
    assert shown == [{"answer": 4}]


def test_a_curve_keeps_its_points_and_drops_what_is_not_finite():
    points = [(i, 1 / (i + 1)) for i in range(1000)]
    assert len(thin(points)) <= MOST_POINTS + 1 and thin(points)[-1] == points[-1] and thin([]) == []
    assert smooth([(0, 2.0), (1, 2.0)], 0.9) == [(0, pytest.approx(2)), (1, pytest.approx(2))]
    assert smooth([(0, 1.0), (1, float("nan")), (2, 3.0)], 0.0) == [(0, 1.0), (2, 3.0)]
    svg = str(curve_svg({"loss": [(1, 0.5), (2, float("nan")), (3, 0.4)], HOSTILE: []}, 10, 0.5))
    assert "nan" not in svg.split("polyline", 1)[1] and "<img" not in svg and svg.count("<circle") == 2
    for low, high in ((0, 1), (0.701, 0.735), (-3, 1e6), (1e-9, 2e-9)):
        ticks = find_ticks(low, high)
        assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 8


def test_only_a_share_of_rows_gets_an_interval():
    from ftkit.metrics import wilson

    assert with_interval(0.75, 40) == wilson(30, 40)
    assert with_interval(0.7512, 40).low is None
