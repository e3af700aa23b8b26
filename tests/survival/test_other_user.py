"""Runs among users: permissions, and what a user gets who may read and not write."""

import contextlib
import io
import json
import os
import re
import shutil
import stat

import pytest
from conftest import GOOD
from processes import Command
from runs import read_files

from ftkit.cli.main import main
from ftkit.fine_tuning import Run
from survival.commands import TEXTS, get_line, start_process

pytestmark = pytest.mark.fault("run folder moved")
slow = pytest.mark.slow


def list_modes(path):
    "The permissions of files and of folders below a run folder"
    return [
        {stat.S_IMODE(p.stat().st_mode) for p in [path, *path.rglob("*")] if p.is_dir() == folder}
        for folder in (False, True)
    ]


def test_run_files_are_readable(finished_run):
    assert (
        list_modes(finished_run) == [{0o644}, {0o755}]
        and stat.S_IMODE((finished_run.parent / "test_looks.jsonl").stat().st_mode) == 0o644
    )


def set_private_umask():
    "As in a shell after `umask 077`"
    os.umask(0o077)


@slow
def test_run_files_follow_umask(public_folder, public_base):
    process = Command(
        "train",
        *[
            "--train_file",
            "mine.csv",
            "--baselines",
            "none",
            "--num_train_epochs",
            1,
            "--model_name_or_path",
            public_base,
            "--run",
            "private",
        ],
        cwd=public_folder,
        before=set_private_umask,
    )
    assert process.wait() == 0, process.stderr
    assert list_modes(public_folder / "runs/private") == [{0o600}, {0o700}]


def run_as_nobody(warm, jobs, out):
    "Commands as a user who may read and not write. What is loaded late is loaded before, as that user may not see it"
    run = Run.load(warm)
    run.predict(TEXTS), run.evaluate(), run.report()
    with open(out, "w") as file:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        done = {}
        for name, argv in jobs.items():
            printed, warned = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(warned):
                try:
                    code = main(argv) if argv[0] != "report" else Run.load(argv[1]).report() and 0
                except Exception as e:
                    code = f"{type(e).__name__}: {e}"
            done[name] = code, printed.getvalue(), warned.getvalue()
        json.dump(done, file)


@pytest.fixture(scope="module")
def other_user(public_folder, public_base, finished_run, stopped_run, held_run):
    "What another user gets: name -> (exit code, stdout, stderr)"
    closed = shutil.copytree(finished_run, public_folder / "others/closed")
    there = [shutil.copytree(path, public_folder / "others/runs" / path.name) for path in (finished_run, stopped_run)]
    train = [
        "train",
        "--train_file",
        str(public_folder / "mine.csv"),
        "--baselines",
        "none",
        "--model_name_or_path",
        str(public_base),
        "--num_train_epochs",
        "1",
        "--json",
    ]
    jobs = {
        "predict": ["predict", str(there[0]), *TEXTS, "--json"],
        "evaluate": ["evaluate", str(there[0]), "--json"],
        "evaluate as text": ["evaluate", str(there[0])],
        "report": ["report", str(there[0])],
        "resume": ["train", "--resume", str(there[1])],
        "train": [*train, "--runs_dir", str(there[0].parent)],
        "runs": ["runs", "--runs_dir", str(public_folder / "runs"), "--json"],
        "closed": ["predict", str(closed), GOOD],
    }
    if os.geteuid() != 0:
        for path in [there[0].parent, *there[0].parent.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
    closed.chmod(0o700 if os.geteuid() == 0 else 0)
    before = read_files(there[0].parent, times=True)
    start_process(
        run_as_nobody,
        shutil.copytree(finished_run, public_folder / "others/warm/run"),
        jobs,
        public_folder / "another.json",
    ).join(60)
    closed.chmod(0o700)
    assert read_files(there[0].parent, times=True) == before
    return json.loads((public_folder / "another.json").read_text())


def test_other_user_predicts(other_user, answers):
    code, printed, _ = other_user["predict"]
    assert code == 0 and [json.loads(line) for line in printed.splitlines()] == answers


def test_other_user_evaluates_uncounted(other_user, finished_run):
    code, printed, warned = other_user["evaluate"]
    assert code == 0, warned
    result = json.loads(printed)
    assert result["metrics"] == Run(finished_run).record["metrics"]["test"] and result["looks"] is None
    assert "could not be counted" in warned and warned.count("\n") == 1
    assert other_user["evaluate as text"][0] == 0 and "None" not in other_user["evaluate as text"][1]


def test_other_user_sees_running_status(other_user):
    code, printed, warned = other_user["runs"]
    assert code == 0 and {row["run"]: row["status"] for row in json.loads(printed)["runs"]}["held"] == "running", (
        warned
    )


@pytest.mark.parametrize(
    "job, words",
    {"resume": "cannot be written", "train": "no run can be written there", "closed": "cannot be read"}.items(),
)
def test_other_user_is_refused(other_user, job, words):
    code, printed, warned = other_user[job]
    assert code == 2 and printed == "" and words in get_line(warned)


def test_unwritable_report_raises(other_user):
    assert (
        re.match(r"UserError: .*report\.html.*cannot be written", other_user["report"][0])
        and "\n" not in other_user["report"][0]
    )
