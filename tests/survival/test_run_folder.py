"""The run folder among people and processes: read while it is written, locked, moved, copied, oddly named, open to reading alone.

One run that nobody disturbed and one that was stopped are made by real processes in a folder that every user may read; what would change them works on copies.
"""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import stat
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import BAD, FLAT, GOOD, small_rows, write_csv
from processes import Command, context

from ftkit.cli.main import main
from ftkit.errors import UserError
from ftkit.fine_tuning import Run
from ftkit.runs.checkpoints import find_newest, parse_step
from ftkit.runs.folder import EMPTY, list_runs
from ftkit.runs.scoring import count_look
from ftkit.runs.session import Session, create_run, describe_way_to_resume, reopen_run
from ftkit.settings import Settings

fault_reading, several, moved, slow = (
    pytest.mark.fault("read while written"),
    pytest.mark.fault("several processes"),
    pytest.mark.fault("run folder moved"),
    pytest.mark.slow,
)
NOBODY = 65534
TEXTS = [GOOD, BAD, FLAT]
KEYS = [
    "--train_file",
    "mine.csv",
    "--text_column_name",
    "review",
    "--label_column_name",
    "stars",
    "--baselines",
    "majority",
    "--logging_steps",
    1,
]
KEYS += [
    "--dropout",
    0.1,
    "--save_total_limit",
    2,
    "--num_train_epochs",
    4,
    "--per_device_train_batch_size",
    8,
    "--learning_rate",
    3e-3,
]
PLACES = {
    "renamed": "runs/another-name",
    "moved": "somewhere/else/run",
    "spaces and unicode": "my runs/Größe 日本 🙂 é/ein Lauf",
    "signs that mean something elsewhere": "50% [1-3]* #2; a=b/$HOME 'x' \"y\" & {z}/-run",
    "over 200 characters": "/".join(["d" * 60] * 4) + "/run",
}


def use_one_thread():
    "Several processes share the cores"
    torch.set_num_threads(1)


def run_command(*argv, cwd):
    "A command as a process of its own"
    return Command(*argv, cwd=cwd, before=use_one_thread)


def start_training(folder, base, name, *more):
    "A training as a process of its own"
    return run_command("train", *KEYS, "--model_name_or_path", base, "--run", name, *more, cwd=folder)


def start_process(work, *args):
    "A function of this module in a process of its own"
    process = context.Process(target=work, args=args, daemon=True)
    process.start()
    return process


def signal_at(process, path, step, number):
    "Send a signal when a run has logged a step"
    while not any(row["step"] >= step for row in Run(path).history):
        assert process.poll() is None, process.stderr
        time.sleep(0.001)
    process.send_signal(number)


@pytest.fixture(scope="module")
def folder(tiny):
    "Rows and base model in a folder that every user may read"
    mask = os.umask(0o022)
    places = [
        p
        for p in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp"))
        if p.is_dir() and all(q.stat().st_mode & 0o001 for q in (p, *p.parents))
    ]
    with tempfile.TemporaryDirectory(prefix="ftkit-", dir=places[0]) as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_csv(folder / "mine.csv", small_rows(90))
        shutil.copytree(tiny, folder / "base", copy_function=shutil.copyfile)
        (folder / "base").chmod(0o755)
        yield folder
    os.umask(mask)


@pytest.fixture(scope="module")
def base(folder):
    return folder / "base"


@pytest.fixture(scope="module")
def finished_run(folder, base):
    "A finished run, which no test changes"
    process = start_training(folder, base, "whole")
    assert process.wait() == 0, process.stderr
    return folder / "runs/whole"


@pytest.fixture(scope="module")
def stopped_run(folder, base):
    "A run that was stopped after its best epoch and is no longer where it was trained; no test changes it"
    process = start_training(folder, base, "stopped")
    signal_at(process, folder / "runs/stopped", 20, signal.SIGINT)
    assert process.wait(30) == 130, process.stderr
    (folder / "kept").mkdir()
    path = (folder / "runs/stopped").rename(folder / "kept/stopped")
    checkpoint, _ = find_newest(path / "checkpoints")
    assert json.loads((checkpoint / "trainer_state.json").read_text())["best_global_step"] < parse_step(checkpoint)
    return path


@pytest.fixture(scope="module")
def held_run(folder, base):
    "A run in training, whose process stands still"
    process = start_training(folder, base, "held", "--num_train_epochs", 500)
    signal_at(process, folder / "runs/held", 3, signal.SIGSTOP)
    yield folder / "runs/held"
    process.send_signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def answers(finished_run):
    return Run(finished_run).predict(TEXTS)


def fingerprint(path):
    "Status, weights, optimizer at the last step, and every loss"
    run = Run(path)
    checkpoint, _ = find_newest(path / "checkpoints")
    with zipfile.ZipFile(
        checkpoint / "optimizer.pt"
    ) as archive:  # torch.save names its root `archive`, not `optimizer`, where the path is not ASCII
        optimizer = {
            name.partition("/")[2]: archive.read(name)
            for name in archive.namelist()
            if not name.endswith("serialization_id")
        }
    return (
        run.status,
        run.record["weights"],
        optimizer,
        [(row["step"], row["loss"]) for row in run.history if "loss" in row],
    )


def read_files(path):
    "Every file below a folder with its content and time"
    return {p.relative_to(path): (p.read_bytes(), p.stat().st_mtime_ns) for p in path.rglob("*") if p.is_file()}


def get_line(text):
    "The one line that a command has written which was refused"
    assert text.startswith("ftkit: ") and text.count("\n") == 1, text
    return text


def read_all(path, out):
    "Read a run's records as fast as it goes until the file `enough` is there; write what was counted and what was wrong"
    run, counts, wrong = Run(path), dict.fromkeys(["run.json", "settings.ini", "log.jsonl", "history"], 0), []
    began, last, again = time.monotonic(), 0, 0

    def check_record():
        record = json.loads((path / "run.json").read_text(encoding="utf-8"))
        assert record.keys() >= EMPTY.keys() | {"run", "created", "versions", "machine"} and record["status"] in (
            "running",
            "stopped",
            "finished",
        ), record
        return record

    def check_settings():
        settings = run.settings
        assert settings.text_column_name == "review" and settings.training_arguments["logging_steps"] == 1, settings

    def check_lines():
        lines = (path / "log.jsonl").read_text(encoding="utf-8").split("\n")
        assert all("step" in json.loads(line) for line in lines[:-1]), lines

    def check_order():
        nonlocal last, again
        steps = [row["step"] for row in run.history]
        assert steps == sorted(steps), steps
        now, before, last = max(steps, default=0), last, max(steps, default=0)
        if now < before:
            known, again = again, len(check_record().get("resumed", []))
            assert again > known, f"from {before} back to {now} without a resume"

    kinds = {
        "run.json": check_record,
        "settings.ini": check_settings,
        "log.jsonl": check_lines,
        "history": check_order,
    }
    while not (path.parent / "enough").exists():
        for kind in [*["run.json"] * 20, *counts]:
            if kind in ("log.jsonl", "history") and not (path / "log.jsonl").exists():
                continue
            try:
                kinds[kind]()
            except Exception as e:
                wrong.append((kind, f"{type(e).__name__}: {e}"[:300]))
            counts[kind] += 1
    Path(out).write_text(json.dumps({"counts": counts, "wrong": wrong, "seconds": time.monotonic() - began}))


def kill_training(folder, base, kills):
    "A run that is saved at every step, killed, resumed, stopped and resumed; first its folder, as soon as there is something to read"
    path = folder / f"runs-{kills}/run"
    process = start_training(
        folder,
        base,
        "run",
        "--eval_strategy",
        "steps",
        "--eval_steps",
        1,
        "--num_train_epochs",
        max(3, 0.8 * kills),
        "--runs_dir",
        path.parent,
    )
    while not (path / "run.json").exists():
        time.sleep(0.001)
    yield path
    for number in [signal.SIGKILL] * kills + [signal.SIGTERM]:
        signal_at(process, path, max((row["step"] for row in Run(path).history), default=0) + 4, number)
        process.wait(30)
        process = run_command("train", "--resume", path, cwd=folder)
    assert process.wait() == 0, process.stderr
    assert len(Run(path).record["resumed"]) == kills + 1


def rewrite_records(path):
    "Write all that is written to a run's records, without a pause"
    run = Run(path)
    session = Session(run)
    session.lock.acquire()
    run.update(resumed=[*run.record.get("resumed", []), {}])
    run.write_history([])
    settings = run.settings
    for step in range(1_000_000):
        run.log(step=step, loss=0.5, text="x" * (step % 3000))
        run.update(looks=step)
        for seed in range(5):
            run.write_settings(settings.replace(seed=seed))


def kill_rewriting(folder, kills):
    "A run whose records are written all the time, by processes that are killed; first its folder"
    session = create_run(
        Settings(text_column_name="review").replace(logging_steps=1), folder / f"runs-rewritten-{kills}", "run"
    )
    run = session.run
    session.lock.release()
    yield run.path
    for n in range(kills):
        process = start_process(rewrite_records, run.path)
        while len(run.record.get("resumed", [])) <= n or len(run.history) < 20 + n:
            time.sleep(0.001)
        process.kill()
        process.join(10)


@pytest.fixture(
    scope="module",
    params=[
        "trained 3",
        "rewritten 3",
        pytest.param("trained 20", marks=slow),
        pytest.param("rewritten 20", marks=slow),
    ],
    ids="{} kills".format,
)
def reading(folder, base, request):
    "What a process found that read all the time"
    kind, kills = request.param.split()
    work = kill_training(folder, base, int(kills)) if kind == "trained" else kill_rewriting(folder, int(kills))
    path = next(work)
    reader = start_process(read_all, path, path.parent / "read.json")
    assert next(work, None) is None
    (path.parent / "enough").touch()
    reader.join(30)
    return json.loads((path.parent / "read.json").read_text())


@fault_reading
@pytest.mark.parametrize("kind", ["run.json", "settings.ini", "log.jsonl", "history"])
def test_record_is_never_torn(reading, kind):
    assert [text for name, text in reading["wrong"] if name == kind] == []
    assert (
        reading["counts"][kind] > 10 * reading["seconds"]
        and sum(reading["counts"].values()) > 1000 * reading["seconds"]
    )


def count_looks(path, times, out):
    "Look at test rows many times"
    Path(out).write_text(json.dumps([count_look(Run(path), "0" * 64, "evaluate") for _ in range(times)]))


@fault_reading
def test_concurrent_looks_are_all_counted(tmp_path):
    lookers = [start_process(count_looks, tmp_path / f"run-{i}", 100, tmp_path / f"{i}.json") for i in range(2)]
    while any(process.is_alive() for process in lookers):
        file = tmp_path / "test_looks.jsonl"
        assert all(json.loads(line)["sha256"] for line in (file.read_text() if file.exists() else "").split("\n")[:-1])
    assert sorted(n for i in range(2) for n in json.loads((tmp_path / f"{i}.json").read_text())) == list(range(1, 201))
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 200


@fault_reading
def test_torn_look_spares_others(tmp_path):
    file = tmp_path / "test_looks.jsonl"
    assert count_look(Run(tmp_path / "run"), "0" * 64, "train") == 1
    file.write_text(file.read_text() + '{"time": "2026-01-01T00:0')
    assert count_look(Run(tmp_path / "run"), "0" * 64, "evaluate") == 2
    assert json.loads(file.read_text().splitlines()[-1])["command"] == "evaluate"


@several
def test_second_resume_is_refused(folder, stopped_run, finished_run):
    path = shutil.copytree(stopped_run, folder / "runs/twice")
    first = run_command("train", "--resume", "twice", cwd=folder)
    signal_at(first, path, Run(path).history[-1]["step"] + 3, signal.SIGSTOP)
    before = read_files(path)
    second, after = run_command("train", "--resume", "twice", cwd=folder).result(), read_files(path)
    first.send_signal(signal.SIGCONT)
    assert first.wait() == 0 and fingerprint(path) == fingerprint(finished_run)
    assert (
        second.returncode == 2
        and "another process is working on this run" in get_line(second.stderr)
        and second.stdout == ""
    )
    assert after == before


@several
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=slow)])
def test_killed_process_frees_lock(folder, base, workers):
    name = f"killed-{workers}"
    process = start_training(folder, base, name, "--dataloader_num_workers", workers)
    signal_at(process, folder / "runs" / name, 3, signal.SIGKILL)
    process.wait(30)
    run = Run.load(name, folder / "runs")
    assert run.status == "failed" and run.record["reason"] == "the process that trained it has died"
    with Session(run).lock:
        assert Run.load(name, folder / "runs").status == "running"


def ask_status(path, out):
    "Ask for a run's status until the file `enough` is there"
    seen = set()
    while not Path(out).with_name("enough").exists():
        seen.add(Run(path).status)
    Path(out).write_text(json.dumps(sorted(seen)))


@pytest.fixture
def asked_run(stopped_run, tmp_path):
    "A run whose process was killed, and two processes that ask for its status without a pause: (run folder, what they have seen)"
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


@several
def test_status_readers_ignore_each_other(asked_run):
    time.sleep(0.5)
    assert asked_run[1]() == [["failed"], ["failed"]]


@several
def test_status_readers_block_no_resume(asked_run):
    path, seen = asked_run
    for _ in range(20):
        record = Run(path).record
        session = reopen_run(Run(path), record["data"], record["tokens_sha256"])
        assert Run(path).status == "running"
        session.lock.release()


@several
def test_one_training_wins_name(folder, base):
    both = [start_training(folder, base, "same", "--num_train_epochs", 1) for _ in range(2)]
    winner, loser = sorted((process.result() for process in both), key=lambda done: done.returncode)
    assert (winner.returncode, loser.returncode) == (0, 2) and "there is already a run 'same' in runs" in get_line(
        loser.stderr
    )
    assert Run.load("same", folder / "runs").status == "finished"


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


@several
def test_each_name_is_used_once(tmp_path):
    names = [f"n{i}" for i in range(15)]
    made = create_at_once(tmp_path, names)
    for name, got in zip(names, zip(*made)):
        assert got.count(name) == 1 and sum(f"there is already a run '{name}'" in text for text in got) == 2


@several
def test_unnamed_runs_get_own_folders(tmp_path):
    made = sum(create_at_once(tmp_path, [None] * 15), [])
    assert len(set(made)) == 45 == len(list_runs(tmp_path / "runs")) and len({name[:17] for name in made}) < 10


@several
@pytest.mark.parametrize("argv", [["evaluate", "{}"], ["predict", "{}", GOOD]], ids=lambda argv: argv[0])
def test_training_run_has_no_model(held_run, capsys, argv):
    before = read_files(held_run)
    assert main([word.format(held_run) for word in argv]) == 2
    assert "this run has no model yet (status: running)" in get_line(capsys.readouterr().err)
    assert read_files(held_run) == before


@several
def test_unscored_run_refuses_evaluation(finished_run, tmp_path, capsys):
    path = shutil.copytree(finished_run, tmp_path / "runs/run")
    (path / "predictions.parquet").unlink()
    Run(path).update(status="running")
    assert main(["evaluate", str(path)]) == 2
    assert "has no predictions yet (status: failed)" in get_line(capsys.readouterr().err)
    assert main(["predict", str(path), GOOD]) == 0


@several
@slow
def test_commands_share_one_folder(folder, base, finished_run):
    first = len((folder / "runs/test_looks.jsonl").read_text().splitlines())
    commands = [start_training(folder, base, name) for name in ("at-once-1", "at-once-2")]
    commands += [
        run_command("evaluate", "whole", "--json", cwd=folder),
        run_command("predict", "whole", *TEXTS * 20, "--json", cwd=folder),
    ]
    for process in commands:
        assert process.wait() == 0, process.stderr
    lines = [json.loads(line) for line in (folder / "runs/test_looks.jsonl").read_text().splitlines()]
    looks = [Run.load(f"at-once-{i}", folder / "runs").record["looks"] for i in (1, 2)] + [
        json.loads(commands[2].stdout)["looks"]
    ]
    assert (
        len(lines) == first + 3
        and len(set(looks)) == 3
        and max(looks) == sum(line["sha256"] == lines[-1]["sha256"] for line in lines)
    )
    assert (
        fingerprint(folder / "runs/at-once-1") == fingerprint(folder / "runs/at-once-2") == fingerprint(finished_run)
    )
    assert len(commands[3].stdout.splitlines()) == 60


@moved
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
    assert run.report() == path / "report.html" and "Test accuracy" in run.report().read_text(encoding="utf-8")


@moved
def test_copied_folder_continues_look_count(folder, finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "copy/whole")
    shutil.copy(folder / "runs/test_looks.jsonl", tmp_path / "copy")
    before = (folder / "runs/test_looks.jsonl").read_bytes()
    sha256 = Run(finished_run).record["data"]["test"]["sha256"]
    assert Run.load("whole", tmp_path / "copy").evaluate()["looks"] == before.decode().count(sha256) + 1
    assert (folder / "runs/test_looks.jsonl").read_bytes() == before


@moved
def test_look_is_counted_in_parent(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(finished_run, tmp_path / "runs/run"))
    run = Run.load(".")
    assert run.evaluate()["looks"] == 1 and run.path.name == "run"
    assert (tmp_path / "runs/test_looks.jsonl").exists() and not Path("test_looks.jsonl").exists()


@moved
@slow
@pytest.mark.parametrize("place", PLACES)
def test_moved_run_resumes(stopped_run, finished_run, tmp_path, place):
    path = shutil.copytree(stopped_run, tmp_path / PLACES[place])
    assert run_command("train", "--resume", path, cwd=tmp_path).wait() == 0
    assert (
        fingerprint(path) == fingerprint(finished_run) and Run(path).record["best"] == Run(finished_run).record["best"]
    )


@moved
def test_copied_run_is_independent(folder, stopped_run, finished_run, tmp_path):
    path = shutil.copytree(stopped_run, tmp_path / "copy")
    first = Path(shutil.copytree(stopped_run, folder / "runs/stopped"))
    for file in first.glob("checkpoints/step-*/model.safetensors"):
        file.write_bytes(b"\0" * file.stat().st_size)
    before = read_files(first)
    assert run_command("train", "--resume", path, cwd=tmp_path).wait() == 0
    assert fingerprint(path) == fingerprint(finished_run) and read_files(first) == before


@moved
def test_moved_rows_are_reported(folder, stopped_run, finished_run, tmp_path):
    path = shutil.copytree(stopped_run, tmp_path / "run")
    ini = path / "settings.ini"
    ini.write_text(ini.read_text().replace(str(folder / "mine.csv"), str(tmp_path / "gone.csv")))
    refused = run_command("train", "--resume", path, cwd=tmp_path).result()
    assert (
        refused.returncode == 2
        and str(tmp_path / "gone.csv") in get_line(refused.stderr)
        and str(ini) in refused.stderr
    )
    ini.write_text(ini.read_text().replace("gone.csv", "here.csv"))
    shutil.copy(folder / "mine.csv", tmp_path / "here.csv")
    assert run_command("train", "--resume", path, cwd=tmp_path).wait() == 0 and fingerprint(path) == fingerprint(
        finished_run
    )


@moved
@pytest.mark.parametrize("name", ["two words", *(p for p in PLACES if p.startswith("s"))])
def test_resume_line_is_shell_safe(stopped_run, tmp_path, name):
    path = shutil.copytree(stopped_run, tmp_path / PLACES.get(name, name))
    run_command = re.search("Resume it: (.*), or in Python", describe_way_to_resume(Run(path), "stopped"))[1]
    assert shlex.split(run_command) == ["ftkit", "train", "--resume", str(path)]


@moved
def test_local_base_model_becomes_absolute(folder, base, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    with create_run(Settings(model_name_or_path="base", train_file="mine.csv"), tmp_path) as run:
        assert (run.settings.model_name_or_path, run.settings.train_file) == (str(base), str(folder / "mine.csv"))


@moved
@slow
@pytest.mark.parametrize("place", PLACES)
def test_run_in_odd_folder_resumes(folder, base, tmp_path, place):
    there = tmp_path / PLACES[place]
    there.mkdir(parents=True)
    shutil.copy(folder / "mine.csv", there)
    shutil.copytree(base, there / "base")
    process = start_training(there, there / "base", "odd", "--num_train_epochs", 2)
    signal_at(process, there / "runs/odd", 5, signal.SIGTERM)
    assert process.wait(30) == 143, process.stderr
    assert run_command("train", "--resume", "odd", cwd=there).wait() == 0
    assert Run.load("odd", there / "runs").status == "finished" and Run.load(
        "odd", there / "runs"
    ).settings.train_file == str(there / "mine.csv")


@moved
def test_uncounted_look_fails_no_training(folder, base):
    (folder / "uncounted/test_looks.jsonl").mkdir(parents=True)
    process = start_training(folder, base, "run", "--num_train_epochs", 1, "--runs_dir", "uncounted")
    assert process.wait() == 0 and "could not be counted" in process.stderr, process.stderr
    run = Run.load("run", folder / "uncounted")
    assert run.status == "finished" and run.metrics and run.record["looks"] is None
    texts = [process.stdout, *((run.path / name).read_text() for name in ("report.html", "model/README.md"))]
    assert [text.count("look None") for text in texts] == [0, 0, 0] and all(
        "could not be counted" in text for text in texts[1:]
    )


def list_modes(path):
    "The permissions of files and of folders below a run folder"
    return [
        {stat.S_IMODE(p.stat().st_mode) for p in [path, *path.rglob("*")] if p.is_dir() == folder}
        for folder in (False, True)
    ]


@moved
def test_run_files_are_readable(finished_run):
    assert (
        list_modes(finished_run) == [{0o644}, {0o755}]
        and stat.S_IMODE((finished_run.parent / "test_looks.jsonl").stat().st_mode) == 0o644
    )


def set_private_umask():
    "As in a shell after `umask 077`"
    os.umask(0o077)


@moved
@slow
def test_run_files_follow_umask(folder, base):
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
            base,
            "--run",
            "private",
        ],
        cwd=folder,
        before=set_private_umask,
    )
    assert process.wait() == 0, process.stderr
    assert list_modes(folder / "runs/private") == [{0o600}, {0o700}]


def run_as_nobody(warm, jobs, out):
    "Commands as a user who may read and not write. What is loaded late is loaded before, as that user may not see it"
    run = Run.load(warm)
    run.predict(TEXTS), run.evaluate(), run.report()
    with open(out, "w") as file:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
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
def other_user(folder, base, finished_run, stopped_run, held_run):
    "What another user gets: name -> (exit code, stdout, stderr)"
    closed = shutil.copytree(finished_run, folder / "others/closed")
    there = [shutil.copytree(path, folder / "others/runs" / path.name) for path in (finished_run, stopped_run)]
    train = [
        "train",
        "--train_file",
        str(folder / "mine.csv"),
        "--baselines",
        "none",
        "--model_name_or_path",
        str(base),
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
        "runs": ["runs", "--runs_dir", str(folder / "runs"), "--json"],
        "closed": ["predict", str(closed), GOOD],
    }
    if os.geteuid() != 0:
        for path in [there[0].parent, *there[0].parent.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
    closed.chmod(0o700 if os.geteuid() == 0 else 0)
    before = read_files(there[0].parent)
    start_process(
        run_as_nobody, shutil.copytree(finished_run, folder / "others/warm/run"), jobs, folder / "another.json"
    ).join(60)
    closed.chmod(0o700)
    assert read_files(there[0].parent) == before
    return json.loads((folder / "another.json").read_text())


@moved
def test_other_user_predicts(other_user, answers):
    code, printed, _ = other_user["predict"]
    assert code == 0 and [json.loads(line) for line in printed.splitlines()] == answers


@moved
def test_other_user_evaluates_uncounted(other_user, finished_run):
    code, printed, warned = other_user["evaluate"]
    assert code == 0, warned
    result = json.loads(printed)
    assert result["metrics"] == Run(finished_run).record["metrics"]["test"] and result["looks"] is None
    assert "could not be counted" in warned and warned.count("\n") == 1
    assert other_user["evaluate as text"][0] == 0 and "None" not in other_user["evaluate as text"][1]


@moved
def test_other_user_sees_running_status(other_user):
    code, printed, warned = other_user["runs"]
    assert code == 0 and {row["run"]: row["status"] for row in json.loads(printed)["runs"]}["held"] == "running", (
        warned
    )


@moved
@pytest.mark.parametrize(
    "job, words",
    {"resume": "cannot be written", "train": "no run can be written there", "closed": "cannot be read"}.items(),
)
def test_other_user_is_refused(other_user, job, words):
    code, printed, warned = other_user[job]
    assert code == 2 and printed == "" and words in get_line(warned)


@moved
def test_unwritable_report_raises(other_user):
    assert (
        re.match(r"UserError: .*report\.html.*cannot be written", other_user["report"][0])
        and "\n" not in other_user["report"][0]
    )
