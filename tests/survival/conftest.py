"Settings of small runs, and the runs that nothing happened to: trained once for each settings and session."

import shutil

import pytest
from runs import ROWS, make_settings, raise_at_step, read_fingerprint

import ftkit.training.callbacks
import ftkit.views.html
from ftkit.fine_tuning import Run, fine_tune


@pytest.fixture(scope="session", autouse=True)
def skip_drawing():
    "Leave out the report's pictures in this process: they take a third of a small run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ftkit.views.html, "to_png", lambda figure, **keys: b"")
        yield


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
def short_settings(tiny):
    "A run of 18 updates on SHORT_ROWS that keeps its checkpoints"
    return make_settings(
        model_name_or_path=tiny,
        num_train_epochs=3,
        save_total_limit=20,
        per_device_train_batch_size=8,
        logging_steps=1,
        learning_rate=2e-3,
        baselines=[],
        num_resamples=100,
        bf16=False,
    )


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
