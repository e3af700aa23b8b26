"""Runs that are moved, copied, oddly named: they predict, evaluate and resume where they are now."""

import json
import re
import shlex
import shutil
import signal
from pathlib import Path

import pytest
from processes import Command
from runs import read_files, read_fingerprint, signal_at

from ftkit.cli.main import main
from ftkit.fine_tuning import Run
from ftkit.runs.session import create_run, describe_way_to_resume
from ftkit.settings import Settings
from survival.commands import TEXTS, get_line, start_training

pytestmark = pytest.mark.fault("run folder moved")
slow = pytest.mark.slow

PLACES = {
    "renamed": "runs/another-name",
    "moved": "somewhere/else/run",
    "spaces and unicode": "my runs/Größe 日本 🙂 é/ein Lauf",
    "signs that mean something elsewhere": "50% [1-3]* #2; a=b/$HOME 'x' \"y\" & {z}/-run",
    "over 200 characters": "/".join(["d" * 60] * 4) + "/run",
}


@pytest.mark.parametrize("place", [pytest.param(p, marks=slow if p in ("renamed", "moved") else []) for p in PLACES])
def test_moved_run_predicts(finished_run, answers, tmp_path, capsys, place):
    path = shutil.copytree(finished_run, tmp_path / PLACES[place])
    run = Run.load(path)
    assert len(str(path)) > 200 or place != "over 200 characters"
    assert main(["evaluate", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (
        result["metrics"] == Run(finished_run).record["metrics"]["test"]
        and result["run"] == str(path)
        and (path.parent / "test_looks.jsonl").exists()
    )
    assert main(["predict", str(path), *TEXTS, "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == answers
    assert (
        main(["runs", "--runs_dir", str(path.parent), "--json"]) == 0
        and json.loads(capsys.readouterr().out)["runs"][0]["status"] == "finished"
    )
    (path / "report.html").unlink()
    assert run.report() == path / "report.html"
    assert f"Test {run.task.headline}" in run.report().read_text(encoding="utf-8")


def test_copied_folder_continues_look_count(public_folder, finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "copy/x")
    shutil.copy(public_folder / "runs/test_looks.jsonl", tmp_path / "copy")
    before = (public_folder / "runs/test_looks.jsonl").read_bytes()
    sha256 = Run(finished_run).record["data"]["test"]["sha256"]
    assert Run.load("x", tmp_path / "copy").evaluate()["looks"] == before.decode().count(sha256) + 1
    assert (public_folder / "runs/test_looks.jsonl").read_bytes() == before


def test_look_is_counted_in_parent(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(finished_run, tmp_path / "runs/run"))
    run = Run.load(".")
    assert run.evaluate()["looks"] == 1 and run.path.name == "run"
    assert (tmp_path / "runs/test_looks.jsonl").exists() and not Path("test_looks.jsonl").exists()


@slow
@pytest.mark.parametrize("place", PLACES)
def test_moved_run_resumes(stopped_run, finished_run, tmp_path, place):
    path = shutil.copytree(stopped_run, tmp_path / PLACES[place])
    assert Command("train", "--resume", path, cwd=tmp_path).wait() == 0
    assert (
        read_fingerprint(path) == read_fingerprint(finished_run)
        and Run(path).record["best"] == Run(finished_run).record["best"]
    )


def test_copied_run_is_independent(public_folder, stopped_run, finished_run, tmp_path):
    path = shutil.copytree(stopped_run, tmp_path / "copy")
    first = Path(shutil.copytree(stopped_run, public_folder / "runs/stopped"))
    for file in first.glob("checkpoints/step-*/model.safetensors"):
        file.write_bytes(b"\0" * file.stat().st_size)
    before = read_files(first, times=True)
    assert Command("train", "--resume", path, cwd=tmp_path).wait() == 0
    assert read_fingerprint(path) == read_fingerprint(finished_run) and read_files(first, times=True) == before


@pytest.mark.slow
def test_moved_rows_are_reported(public_folder, stopped_run, finished_run, tmp_path):
    path = shutil.copytree(stopped_run, tmp_path / "run")
    ini = path / "settings.ini"
    ini.write_text(ini.read_text().replace(str(public_folder / "mine.csv"), str(tmp_path / "gone.csv")))
    refused = Command("train", "--resume", path, cwd=tmp_path).result()
    assert (
        refused.returncode == 2
        and str(tmp_path / "gone.csv") in get_line(refused.stderr)
        and str(ini) in refused.stderr
    )
    ini.write_text(ini.read_text().replace("gone.csv", "here.csv"))
    shutil.copy(public_folder / "mine.csv", tmp_path / "here.csv")
    assert Command("train", "--resume", path, cwd=tmp_path).wait() == 0 and read_fingerprint(path) == read_fingerprint(
        finished_run
    )


@pytest.mark.parametrize("name", ["two words", *(p for p in PLACES if p.startswith("s"))])
def test_resume_line_is_shell_safe(stopped_run, tmp_path, name):
    path = shutil.copytree(stopped_run, tmp_path / PLACES.get(name, name))
    run_command = re.search("Resume it: (.*), or in Python", describe_way_to_resume(Run(path), "stopped"))[1]
    assert shlex.split(run_command) == ["ftkit", "train", "--resume", str(path)]


def test_local_base_model_becomes_absolute(public_folder, public_base, tmp_path, monkeypatch):
    monkeypatch.chdir(public_folder)
    with create_run(Settings(model_name_or_path="base", train_file="mine.csv"), tmp_path) as run:
        assert (run.settings.model_name_or_path, run.settings.train_file) == (
            str(public_base),
            str(public_folder / "mine.csv"),
        )


@slow
@pytest.mark.parametrize("place", PLACES)
def test_run_in_odd_folder_resumes(public_folder, public_base, tmp_path, place):
    there = tmp_path / PLACES[place]
    there.mkdir(parents=True)
    shutil.copy(public_folder / "mine.csv", there)
    shutil.copytree(public_base, there / "base")
    process = start_training(there, there / "base", "odd", "--num_train_epochs", 2)
    signal_at(process, there / "runs/odd", 5, signal.SIGTERM)
    assert process.wait(30) == 143, process.stderr
    assert Command("train", "--resume", "odd", cwd=there).wait() == 0
    assert Run.load("odd", there / "runs").status == "finished" and Run.load(
        "odd", there / "runs"
    ).settings.train_file == str(there / "mine.csv")


@pytest.mark.slow
def test_uncounted_look_fails_no_training(public_folder, public_base):
    (public_folder / "uncounted/test_looks.jsonl").mkdir(parents=True)
    process = start_training(public_folder, public_base, "run", "--num_train_epochs", 1, "--runs_dir", "uncounted")
    assert process.wait() == 0 and "could not be counted" in process.stderr, process.stderr
    run = Run.load("run", public_folder / "uncounted")
    assert run.status == "finished" and run.metrics and run.record["looks"] is None
    texts = [process.stdout, *((run.path / name).read_text() for name in ("report.html", "model/README.md"))]
    assert [text.count("look None") for text in texts] == [0, 0, 0] and all(
        "could not be counted" in text for text in texts[1:]
    )
