"""A disk without room: the run ends with a line that says how much is missing, and nothing is lost."""

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import mark_slow
from runs import ROWS, SHORT_ROWS, act_at_step, read_files, read_fingerprint, read_losses

import ftkit.training.callbacks
from ftkit.errors import RunFailed, UserError
from ftkit.files.atomic import count_bytes
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.checkpoints import find_newest
from ftkit.settings import Settings


@pytest.fixture
def disk(tmp_path):
    "A file system of its own: `disk(kilobytes)` makes it that large"
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here (that takes root)")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill_disk(folder: Path, left: int) -> None:
    "Leave that many bytes"
    with open(folder / "filler", "wb") as f:
        os.posix_fallocate(f.fileno(), 0, max(shutil.disk_usage(folder).free - left, 1))


SHARES = [0, 0.001, 0.1, 0.3, 0.34, 0.5, 0.8, 0.95, 0.99, 0.999]


@pytest.mark.fault("disk full")
@pytest.mark.parametrize("asked", mark_slow([True, False], fast=[False]), ids=["asked before", "found while writing"])
@pytest.mark.parametrize("share", mark_slow(SHARES, fast=[0.5]))
def test_full_disk_loses_nothing(settings, disk, monkeypatch, capsys, reference, share, asked):
    def act(trainer, step):
        before.update(read_files(disk / "x/checkpoints", folders=False))
        fill_disk(disk, int(share * count_bytes(find_newest(disk / "x/checkpoints")[0])))
        return step()

    before = {}
    act_at_step(monkeypatch, 20, act)
    if not asked:
        monkeypatch.setattr(ftkit.training.callbacks, "check_free_space", lambda *args: None)
    monkeypatch.setattr(ftkit.training.callbacks, "SAVING_SHARE", 0)
    with pytest.raises(RunFailed) as raised:
        fine_tune(
            settings.replace(save_strategy="steps", save_steps=6, eval_strategy="steps", eval_steps=6), ROWS, disk, "x"
        )
    message = str(raised.value)
    assert "3.7 MB" in message and "free" in message and "Free some space" in message and "\n" not in message
    run = Run.load("x", disk)
    assert (
        run.status == "failed" and "free" in run.record["reason"] and "step-18 is complete" in capsys.readouterr().err
    )
    assert read_files(disk / "x/checkpoints", folders=False) == before and find_newest(disk / "x/checkpoints")[1] == []
    monkeypatch.undo()
    (disk / "filler").unlink()
    assert run.resume(ROWS).status == "finished" and find_newest(disk / "x/checkpoints")[0].name == "step-36"
    assert read_losses(run) == reference["losses"]


@pytest.mark.slow
@pytest.mark.fault("disk full")
def test_full_disk_refuses_resume(disk, reference, interrupted_runs, settings):
    run = Run(disk / "x")
    shutil.copytree(interrupted_runs(settings, ROWS, 30), run.path)
    before = read_files(run.path)
    fill_disk(disk, 20_000)
    with pytest.raises(RunFailed, match="cannot be written"):
        run.resume(ROWS)
    assert read_files(run.path) == before and not run.is_alive()
    (disk / "filler").unlink()
    assert read_fingerprint(run.resume(ROWS)) == reference


@pytest.mark.fault("disk full")
def test_small_disk_is_reported_early(settings, disk):
    fill_disk(disk, 12_000_000)
    with pytest.raises(UserError, match=r"disk: the run needs 1\d MB, and 12 MB are free in .*--runs_dir"):
        fine_tune(settings, ROWS, disk, "x")
    assert not (disk / "x").exists()
    with pytest.raises(
        RunFailed,
        match=r"training, with room for 4 checkpoints, needs 1\d MB, and .* has 12 MB free\. "
        r"Free some space, or give --runs_dir on another disk\.",
    ):
        fine_tune(settings.replace(preflight=False), ROWS, disk, "x")
    assert Run.load("x", disk).history == []


@pytest.mark.slow
@pytest.mark.fault("disk full")
def test_file_size_limit_loses_nothing(settings, tmp_path, monkeypatch, reference):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    act_at_step(
        monkeypatch,
        20,
        lambda trainer, step: (resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limit[1])), step())[1],
    )
    try:
        with pytest.raises(RunFailed, match="3.7 MB"):
            fine_tune(settings, ROWS, tmp_path, "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    monkeypatch.undo()
    run = Run.load("x", tmp_path)
    assert run.status == "failed" and read_fingerprint(run.resume(ROWS)) == reference


@pytest.mark.fault("disk full")
def test_model_is_flushed_before_pruning(short_settings, tmp_path, monkeypatch):
    seen, fsync = set(), os.fsync
    mark = lambda stat: (
        stat.st_ino,
        stat.st_mode,
        stat.st_mtime_ns,
    )  # the number of a file that is gone is given again
    monkeypatch.setattr(os, "fsync", lambda handle: (seen.add(mark(os.fstat(handle))), fsync(handle))[1])
    run = fine_tune(
        Settings(**{**short_settings.section("model"), "num_train_epochs": 1, "baselines": []}),
        SHORT_ROWS,
        tmp_path,
        "x",
    )
    assert not (run.path / "checkpoints").exists()
    kept = [*(run.path / "model").iterdir(), run.path / "predictions.parquet", run.path / "run.json"]
    assert len(kept) > 5 and [p.name for p in kept if mark(p.stat()) not in seen] == []
