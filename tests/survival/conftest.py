"Settings of small runs, and the runs that nothing happened to: trained once for each settings and session."

import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from conftest import small_rows, write_csv
from runs import ROWS, make_settings, raise_at_step, read_fingerprint, signal_at

import ftkit.training.callbacks
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.checkpoints import find_newest, parse_step
from survival.commands import TEXTS, start_training


@pytest.fixture
def settings(tiny):
    "A run of 36 updates on ROWS, with dropout, whose accuracy goes up and down"
    return make_settings(
        model_name_or_path=tiny,
        num_train_epochs=3,
        save_total_limit=2,
        per_device_train_batch_size=8,
        logging_steps=1,
        learning_rate=2e-3,
        dropout=0.1,
        baselines=[],
        num_resamples=100,
        bf16=False,
    )


@pytest.fixture
def short_settings(settings):
    "A run of 18 updates on SHORT_ROWS that keeps its checkpoints"
    return settings.replace(save_total_limit=20)


@pytest.fixture(scope="session")
def reference_run(tmp_path_factory):
    "The run of some settings that nothing happened to: `reference_run(settings, rows)`, trained once"
    made = {}

    def train(settings, rows=None):
        key = settings.to_ini(), id(rows)
        if key not in made:
            made[key] = fine_tune(settings, rows, tmp_path_factory.mktemp("reference"), "x")
        return made[key]

    return train


@pytest.fixture
def reference(reference_run, settings):
    "What identifies the run of `settings` on ROWS that nothing happened to"
    return read_fingerprint(reference_run(settings, ROWS))


@pytest.fixture(scope="session")
def interrupted_runs(tmp_path_factory):
    "Runs that were stopped before a step, with a checkpoint of every step before it: made once for each settings"
    made = {}

    def train(settings, rows, step):
        key = settings.to_ini(), id(rows), step
        if key not in made:
            made[key] = tmp_path_factory.mktemp("interrupted")
            with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 1e9)
                raise_at_step(patch, step)
                fine_tune(settings, rows, made[key], "x")
        return made[key] / "x"

    return train


@pytest.fixture
def interrupt_run(interrupted_runs, settings):
    "Return a copy of a stopped run; without settings, one in its third epoch: `interrupt_run(folder)`"

    def copy(folder, settings=settings, rows=ROWS, step=30):
        return Run(shutil.copytree(interrupted_runs(settings, rows, step), folder / "x"))

    return copy


@pytest.fixture(scope="session")
def public_folder(tiny):
    "Rows and base model in a folder that every user may read"
    mask = os.umask(0o022)
    places = [
        p
        for p in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp"))
        if p.is_dir() and all(q.stat().st_mode & 0o001 for q in (p, *p.parents))
    ]
    with tempfile.TemporaryDirectory(prefix="ftkit-", dir=places[0]) as name:
        public_folder = Path(name)
        public_folder.chmod(0o755)
        write_csv(public_folder / "mine.csv", small_rows(90))
        shutil.copytree(tiny, public_folder / "base", copy_function=shutil.copyfile)
        (public_folder / "base").chmod(0o755)
        yield public_folder
    os.umask(mask)


@pytest.fixture(scope="session")
def public_base(public_folder):
    return public_folder / "base"


@pytest.fixture(scope="session")
def finished_run(public_folder, public_base):
    "A finished run, which no test changes"
    process = start_training(public_folder, public_base, "reference")
    assert process.wait() == 0, process.stderr
    return public_folder / "runs/reference"


@pytest.fixture(scope="session")
def stopped_run(public_folder, public_base):
    "A run that was stopped after its best epoch and is no longer where it was trained; no test changes it"
    process = start_training(public_folder, public_base, "stopped")
    signal_at(process, public_folder / "runs/stopped", 20, signal.SIGINT)
    assert process.wait(30) == 130, process.stderr
    (public_folder / "kept").mkdir()
    path = (public_folder / "runs/stopped").rename(public_folder / "kept/stopped")
    checkpoint, _ = find_newest(path / "checkpoints")
    assert json.loads((checkpoint / "trainer_state.json").read_text())["best_global_step"] < parse_step(checkpoint)
    return path


@pytest.fixture(scope="session")
def held_run(public_folder, public_base):
    "A run in training, whose process stands still"
    process = start_training(public_folder, public_base, "held", "--num_train_epochs", 500)
    signal_at(process, public_folder / "runs/held", 3, signal.SIGSTOP)
    yield public_folder / "runs/held"
    process.send_signal(signal.SIGKILL)


@pytest.fixture(scope="session")
def answers(finished_run):
    return Run(finished_run).predict(TEXTS)
