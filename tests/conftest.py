"What several tests need: a command that is really run, small rows, the tiny GPT-2, the Hub, the real tweets."

import csv
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from faults import FAULTS, FaultCounter
from filelock import FileLock
from processes import Command

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = Path(os.environ.get("FTKIT_REAL_DATA", ROOT.parent / "shared" / "data"))
GOOD, BAD, FLAT = "lovely warm bread today", "the bus broke down again", "the library opens at nine"


def pytest_configure(config):
    "Count the cases of each fault. A shell that starts a job in the background lets it ignore Ctrl-C: that is undone"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(FaultCounter(), "faults")


def pytest_collection_finish():
    "Let the garbage collector pass over what was imported: the Trainer calls it in every run"
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    "Note on each case the fault that it counts for"
    for item in items:
        for mark in item.iter_markers("fault"):
            assert mark.args[0] in FAULTS, f"{item.nodeid}: there is no fault {mark.args[0]!r}"
            item.user_properties.append(("fault", mark.args[0]))


@pytest.fixture(scope="session", autouse=True)
def skip_drawing():
    "Leave out the report's pictures in this process: they take a third of a small run"
    import ftkit.views.html

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ftkit.views.html, "to_png", lambda figure, **keys: b"")
        yield


@pytest.fixture
def drawing(monkeypatch):
    "Draw the report's pictures"
    import ftkit.views.html
    from ftkit.views.charts import to_png

    monkeypatch.setattr(ftkit.views.html, "to_png", to_png)


@pytest.fixture(scope="session")
def ftkit():
    "Run the command in a process of its own: `ftkit('train', '--json', cwd=...)`; with `env` from a cold start"

    def run(*args, cwd, env=None, timeout=280):
        if env is None:
            return Command(*args, cwd=cwd).result(timeout)
        command = [sys.executable, "-m", "ftkit", *map(str, args)]
        return subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **env},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    "The folder of the tiny GPT-2"
    from ftkit.starter import tiny_gpt2

    return str(tiny_gpt2(tmp_path_factory.mktemp("tiny-gpt2")))


def mark_slow(values, fast=()) -> list:
    "Return the parameters of a test. What is not in `fast` repeats what that shows, and is left to `make slow`"
    slow = pytest.mark.slow
    return [v if v in fast else pytest.param(*(v if isinstance(v, tuple) else [v]), marks=slow) for v in values]


def before_transformers(version: str):
    "Return the mark of a test that is for this version of Transformers and later ones"
    from importlib.metadata import version as installed

    from packaging.version import Version

    old = Version(installed("transformers")) < Version(version)
    return pytest.mark.skipif(old, reason=f"Transformers before {version} behave otherwise")


def small_rows(n: int = 60) -> list[dict]:
    "Rows of three labels, every text different"
    texts = {"bad": BAD, "flat": FLAT, "good": GOOD}
    return [
        {"review": f"{texts[label]}, number {i}", "stars": label} for i in range(n) for label in [sorted(texts)[i % 3]]
    ]


def small_dataset(n: int = 90):
    "The small rows as a `Dataset` with the columns text and label"
    from datasets import Dataset

    return Dataset.from_list([{"text": row["review"], "label": row["stars"]} for row in small_rows(n)])


def quick_settings(model: str, **keys):
    "Settings for a run of a second on `small_dataset`"
    from ftkit.settings import Settings

    defaults = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "baselines": ["majority"],
        "learning_rate": 1e-3,
        "dropout": 0.1,
    }
    return Settings().replace(**{"model_name_or_path": model, **defaults, **keys})


def write_csv(path: Path, rows: list[dict]) -> Path:
    "Rows as a CSV file"
    with open(path, "w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, ftkit):
    "A copy of one small run that the command made of a person's own CSV: (folder, run.json as --json printed it)"
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    with FileLock(f"{shared}.lock"):  # the first worker trains it for all
        if not (shared / "record.json").exists():
            train_small_run(shared, ftkit)
    folder = tmp_path_factory.mktemp("own") / "own"
    shutil.copytree(shared, folder)
    return folder, json.loads((folder / "record.json").read_text(encoding="utf-8"))


def train_small_run(folder: Path, ftkit) -> None:
    "Make `runs/small`, its rows `mine.csv`, its base model `tiny` and its `record.json`"
    from ftkit.starter import tiny_gpt2

    folder.mkdir()
    write_csv(folder / "mine.csv", small_rows(90))
    keys = {
        "model_name_or_path": tiny_gpt2(folder / "tiny"),
        "train_file": "mine.csv",
        "text_column_name": "review",
        "label_column_name": "stars",
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "run": "small",
    }
    flags = [word for key, value in keys.items() for word in (f"--{key}", value)]
    done = ftkit("train", *flags, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "record.json").write_text(done.stdout, encoding="utf-8")


@pytest.fixture(scope="session")
def tweets() -> Path:
    "The folder of the real tweets, outside the project"
    folder = REAL_DATA / "tweets"
    if not folder.is_dir():
        pytest.skip(f"the real tweets are not in {folder} (set FTKIT_REAL_DATA)")
    return folder


def assemble(model, tokens, tokenizer, settings, run):
    "The Trainer of a text classifier"
    from ftkit.tasks.classification import Classification
    from ftkit.trainer import make_trainer

    pieces = Classification().trainer_kwargs(tokens, tokenizer, settings)
    return make_trainer(model, tokens, tokenizer, settings, run, **pieces)
