"""The same seed gives the same bytes: in any process, with or without evaluation, bar, log lines and checkpoints.

One run in this process is what the others are compared with. Dropout is on, so that one random number too many shows.
"""

import json
import os
import pty
import random
import subprocess
import sys
import termios
from functools import partial

import numpy as np
import pytest
import torch
from conftest import assemble, small_rows, write_csv

from ftkit import trainer
from ftkit.data import load_data
from ftkit.fine_tuning import Run, fine_tune
from ftkit.model_init import load_model
from ftkit.runs.checkpoints import commit, find_newest
from ftkit.runs.session import create_run
from ftkit.settings import Settings
from ftkit.tokenizer import load_tokenizer, tokenize
from ftkit.training import callbacks
from ftkit.training.callbacks import Checkpoints

pytestmark = pytest.mark.fault("same seed")
slow = pytest.mark.slow
TRAIN = (
    "from ftkit.settings import Settings\nfrom ftkit.fine_tuning import fine_tune\n"
    "fine_tune(Settings.read('settings.ini'), runs_dir='runs', name={name!r})"
)
STRAY = "import random\nimport numpy as np\nimport torch\n(random.random(), np.random.rand(3), torch.rand(3))"
IRRELEVANT = {  # what must not matter, as settings
    "evaluation off": ({"eval_strategy": "no", "save_strategy": "epoch"}, []),
    "evaluation after every third step": ({"eval_strategy": "steps", "eval_steps": 3}, slow),
    "a log line for every epoch": ({"logging_strategy": "epoch"}, slow),
    "a log line for every seventh step": ({"logging_steps": 7}, slow),
    "the Trainer's own bar": ({"disable_tqdm": False}, slow),
    "workers": ({"dataloader_num_workers": 2}, slow),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny):
    "Rows and settings.ini. The validation loss falls to the end, so that the best epoch is the last"
    folder = tmp_path_factory.mktemp("same")
    keys = {
        "train_file": str(write_csv(folder / "mine.csv", small_rows(90))),
        "text_column_name": "review",
        "label_column_name": "stars",
        "model_name_or_path": tiny,
    }
    keys |= {
        "baselines": ["majority"],
        "dropout": 0.1,
        "learning_rate": 1e-3,
        "per_device_train_batch_size": 8,
        "num_train_epochs": 2,
        "metric_for_best_model": "loss",
    }
    (folder / "settings.ini").write_text(Settings(**keys).replace(save_total_limit=2).to_ini(), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def threads():
    "As many as in a new process: that is part of the result"
    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    yield
    torch.set_num_threads(before)


@pytest.fixture
def settings(folder):
    return Settings.read(folder / "settings.ini")


def read_weights(run):
    "First and final weights, and those of the last checkpoint"
    checkpoint, _ = find_newest(run.path / "checkpoints")
    files = json.loads((checkpoint / "manifest.json").read_text())["files"]
    return {
        "threads": run.record["machine"]["threads"],
        **run.record["weights"],
        checkpoint.name: files["model.safetensors"]["sha256"],
    }


@pytest.fixture(scope="module")
def reference(folder):
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    run = fine_tune(Settings.read(folder / "settings.ini"), runs_dir=folder / "runs", name="reference")
    assert run.record["best"]["step"] == 18 and read_weights(run).keys() == {
        "threads",
        "first_sha256",
        "final_sha256",
        "step-18",
    }
    assert len({*read_weights(run).values()}) == 4 - (
        read_weights(run)["final_sha256"] == read_weights(run)["step-18"]
    )
    return read_weights(run)


def train_by_hand(settings, runs_dir, before):
    "The steps of `fine_tune` one by one, with something in between"
    data, _ = load_data(**settings.section("data"))
    tokenizer = load_tokenizer(**settings.section("model"))
    tokens = tokenize(data, tokenizer, **settings.section("tokenizer"))
    with create_run(settings, runs_dir) as run:
        model = load_model(
            labels=tokens["train"].features["labels"].names,
            tokenizer=tokenizer,
            seed=settings.seed,
            **settings.section("model"),
            **settings.section("model_init"),
        )
        made = assemble(model, tokens, tokenizer, settings, run)
        before(made)
        trainer.train(made, run)
    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys", [pytest.param(keys, marks=marks, id=name) for name, (keys, marks) in IRRELEVANT.items()]
)
def test_other_settings_keep_weights(settings, reference, tmp_path, keys):
    assert read_weights(fine_tune(settings.replace(**keys), runs_dir=tmp_path)) == reference


@pytest.mark.slow
@pytest.mark.parametrize(
    "share", [pytest.param(0, marks=slow, id="after epochs alone"), pytest.param(1e9, id="after every step")]
)
def test_checkpoint_frequency_keeps_weights(settings, reference, tmp_path, monkeypatch, share):
    monkeypatch.setattr(trainer, "Checkpoints", partial(Checkpoints, share=share))
    steps = []
    monkeypatch.setattr(
        callbacks,
        "commit",
        lambda written, folder, step, *more: (steps.append(step), commit(written, folder, step, *more))[1],
    )
    assert read_weights(fine_tune(settings, runs_dir=tmp_path)) == reference
    assert steps == ([*range(1, 19)] if share else [9, 18])


def draw_numbers(made):
    "Numbers that a cell between two steps draws"
    random.random(), np.random.rand(5), torch.rand(5), torch.randperm(9)


@pytest.mark.parametrize(
    "before",
    [draw_numbers, pytest.param(lambda made: [made.evaluate(), made.evaluate()], id="evaluated twice", marks=slow)],
)
def test_earlier_random_draws_keep_weights(settings, reference, tmp_path, before):
    assert read_weights(train_by_hand(settings, tmp_path, before)) == reference


@slow
@pytest.mark.parametrize("keys", [{"method": "lora", "seed": 7}, {}], ids=["another", "the same"])
def test_earlier_run_keeps_weights(settings, reference, tmp_path, keys):
    fine_tune(settings.replace(**keys, num_train_epochs=1), runs_dir=tmp_path)
    assert read_weights(fine_tune(settings, runs_dir=tmp_path, name="after")) == reference


@slow
@pytest.mark.parametrize(
    "env",
    [{}, {"PYTHONHASHSEED": "4242"}, {"LC_ALL": "C", "TZ": "Asia/Tokyo"}],
    ids=lambda env: ", ".join(env) or "as it is",
)
def test_command_matches_function(folder, reference, ftkit, env):
    name = "-".join(["command", *env])
    done = ftkit("train", "settings.ini", "--run", name, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    assert read_weights(Run.load(name, folder / "runs")) == reference


@slow
def test_command_matches_in_other_folder(folder, reference, ftkit, tmp_path):
    done = ftkit("train", folder / "settings.ini", "--runs_dir", "here", "--run", "moved", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_weights(Run.load("moved", tmp_path / "here")) == reference


@slow
def test_command_matches_on_terminal(folder, reference):
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 100))
    command = [sys.executable, "-m", "ftkit", "train", "settings.ini", "--run", "terminal"]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    shown = b""
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:  # Linux, when the last process has closed the other end
        pass
    assert process.wait(60) == 0 and b"train:" in shown and b"/18 [" in shown
    assert read_weights(Run.load("terminal", folder / "runs")) == reference


@slow
def test_script_matches_command(folder, reference):
    (folder / "script.py").write_text(f"{STRAY}\n{TRAIN.format(name='script')}\n")
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert read_weights(Run.load("script", folder / "runs")) == reference


@slow
def test_notebook_matches_command(folder, reference):
    cells = [STRAY, TRAIN.format(name="notebook-1"), STRAY, TRAIN.format(name="notebook-2")]
    import nbformat  # imported late: with it comes a parser's grammar, which takes seconds
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    NotebookClient(
        notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    assert any("image/png" in output.get("data", {}) for output in notebook.cells[1].outputs)
    for name in ("notebook-1", "notebook-2"):
        assert read_weights(Run.load(name, folder / "runs")) == reference
