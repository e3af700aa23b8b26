"""Several processes and one run folder: one works on it, the others are refused and touch nothing."""

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from conftest import GOOD
from processes import Command
from runs import read_files, read_fingerprint, signal_at

from ftkit.cli.main import main
from ftkit.errors import UserError
from ftkit.fine_tuning import Run
from ftkit.runs.folder import list_runs
from ftkit.runs.session import Session, create_run, reopen_run
from ftkit.settings import Settings
from survival.commands import TEXTS, get_line, start_process, start_training

pytestmark = pytest.mark.fault("several processes")
slow = pytest.mark.slow


def test_second_resume_is_refused(public_folder, stopped_run, finished_run):
    path = shutil.copytree(stopped_run, public_folder / "runs/twice")
    first = Command("train", "--resume", "twice", cwd=public_folder)
    signal_at(first, path, Run(path).history[-1]["step"] + 3, signal.SIGSTOP)
    before = read_files(path, times=True)
    second, after = Command("train", "--resume", "twice", cwd=public_folder).result(), read_files(path, times=True)
    first.send_signal(signal.SIGCONT)
    assert first.wait() == 0 and read_fingerprint(path) == read_fingerprint(finished_run)
    assert (
        second.returncode == 2
        and "another process is working on this run" in get_line(second.stderr)
        and second.stdout == ""
    )
    assert after == before


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=slow)])
def test_killed_process_frees_lock(public_folder, public_base, workers):
    name = f"killed-{workers}"
    process = start_training(public_folder, public_base, name, "--dataloader_num_workers", workers)
    signal_at(process, public_folder / "runs" / name, 3, signal.SIGKILL)
    process.wait(30)
    run = Run.load(name, public_folder / "runs")
    assert run.status == "failed" and run.record["reason"] == "the process that trained it has died"
    with Session(run).lock:
        assert Run.load(name, public_folder / "runs").status == "running"


def ask_status(path, out):
    "Ask for a run's status until the file `enough` is there"
    seen = {Run(path).status}
    while not Path(out).with_name("enough").exists():
        seen.add(Run(path).status)
    Path(out).write_text(json.dumps(sorted(seen)))


@pytest.fixture
def asked_run(stopped_run, tmp_path):
    "A killed run and two processes that read its status without a pause: (run folder, what they have seen)"
    path = shutil.copytree(stopped_run, tmp_path / "run")
    Run(path).update(status="running", reason=None)
    askers = [start_process(ask_status, path, tmp_path / f"{i}.json") for i in range(2)]
    time.sleep(0.3)

    def seen():
        (tmp_path / "enough").touch()
        for process in askers:
            process.join(10)
        return [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(2)]

    yield path, seen
    seen()


def test_status_readers_ignore_each_other(asked_run):
    time.sleep(0.5)
    assert asked_run[1]() == [["failed"], ["failed"]]


def test_status_readers_block_no_resume(asked_run):
    path, seen = asked_run
    for _ in range(20):
        record = Run(path).record
        session = reopen_run(Run(path), record["data"], record["tokens_sha256"])
        assert Run(path).status == "running"
        session.lock.release()


def test_one_training_wins_name(public_folder, public_base):
    both = [start_training(public_folder, public_base, "same", "--num_train_epochs", 1) for _ in range(2)]
    winner, loser = sorted((process.result() for process in both), key=lambda done: done.returncode)
    assert (winner.returncode, loser.returncode) == (0, 2) and "there is already a run 'same' in runs" in get_line(
        loser.stderr
    )
    assert Run.load("same", public_folder / "runs").status == "finished"


def create_runs(root, names, at, out):
    "Make runs from a moment on; what became of each"
    made = []
    time.sleep(max(0, at - time.time()))
    for name in names:
        try:
            session = create_run(Settings(), root, name)
            session.lock.release()
            made.append(session.run.path.name)
        except UserError as e:
            made.append(str(e))
    Path(out).write_text(json.dumps(made))


def create_at_once(tmp_path, names):
    "What three processes made that began at the same time"
    makers = [
        start_process(create_runs, tmp_path / "runs", names, time.time() + 0.3, tmp_path / f"{i}.json")
        for i in range(3)
    ]
    for process in makers:
        process.join(30)
    return [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(3)]


def test_each_name_is_used_once(tmp_path):
    names = [f"n{i}" for i in range(15)]
    made = create_at_once(tmp_path, names)
    for name, got in zip(names, zip(*made)):
        assert got.count(name) == 1 and sum(f"there is already a run '{name}'" in text for text in got) == 2


def test_unnamed_runs_get_own_folders(tmp_path):
    made = sum(create_at_once(tmp_path, [None] * 15), [])
    assert len(set(made)) == 45 == len(list_runs(tmp_path / "runs")) and len({name[:17] for name in made}) < 10


@pytest.mark.parametrize("argv", [["evaluate", "{}"], ["predict", "{}", GOOD]], ids=lambda argv: argv[0])
def test_training_run_has_no_model(held_run, capsys, argv):
    before = read_files(held_run, times=True)
    assert main([word.format(held_run) for word in argv]) == 2
    assert "this run has no model yet (status: running)" in get_line(capsys.readouterr().err)
    assert read_files(held_run, times=True) == before


def test_unscored_run_refuses_evaluation(finished_run, tmp_path, capsys):
    path = shutil.copytree(finished_run, tmp_path / "runs/run")
    (path / "predictions.parquet").unlink()
    Run(path).update(status="running")
    assert main(["evaluate", str(path)]) == 2
    assert "has no predictions yet (status: failed)" in get_line(capsys.readouterr().err)
    assert main(["predict", str(path), GOOD]) == 0


@slow
def test_commands_share_one_folder(public_folder, public_base, finished_run):
    first = len((public_folder / "runs/test_looks.jsonl").read_text().splitlines())
    commands = [start_training(public_folder, public_base, name) for name in ("at-once-1", "at-once-2")]
    commands += [
        Command("evaluate", "reference", "--json", cwd=public_folder),
        Command("predict", "reference", *TEXTS * 20, "--json", cwd=public_folder),
    ]
    for process in commands:
        assert process.wait() == 0, process.stderr
    lines = [json.loads(line) for line in (public_folder / "runs/test_looks.jsonl").read_text().splitlines()]
    looks = [Run.load(f"at-once-{i}", public_folder / "runs").record["looks"] for i in (1, 2)] + [
        json.loads(commands[2].stdout)["looks"]
    ]
    assert (
        len(lines) == first + 3
        and len(set(looks)) == 3
        and max(looks) == sum(line["sha256"] == lines[-1]["sha256"] for line in lines)
    )
    assert (
        read_fingerprint(public_folder / "runs/at-once-1")
        == read_fingerprint(public_folder / "runs/at-once-2")
        == read_fingerprint(finished_run)
    )
    assert len(commands[3].stdout.splitlines()) == 60
