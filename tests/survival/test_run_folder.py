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

reading, processes, sharing, slow = (
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


def one_thread():
    "Several processes share the cores"
    torch.set_num_threads(1)


def command(*argv, cwd):
    "A command as a process of its own"
    return Command(*argv, cwd=cwd, before=one_thread)


def start(folder, base, name, *more):
    "A training as a process of its own"
    return command("train", *KEYS, "--model_name_or_path", base, "--run", name, *more, cwd=folder)


def beside(work, *args):
    "A function of this module in a process of its own"
    process = context.Process(target=work, args=args, daemon=True)
    process.start()
    return process


def hit_at(process, path, step, number):
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
def whole(folder, base):
    "A finished run, which no test changes"
    process = start(folder, base, "whole")
    assert process.wait() == 0, process.stderr
    return folder / "runs/whole"


@pytest.fixture(scope="module")
def stopped(folder, base):
    "A run that was stopped after its best epoch and is no longer where it was trained; no test changes it"
    process = start(folder, base, "stopped")
    hit_at(process, folder / "runs/stopped", 20, signal.SIGINT)
    assert process.wait(30) == 130, process.stderr
    (folder / "kept").mkdir()
    path = (folder / "runs/stopped").rename(folder / "kept/stopped")
    checkpoint, _ = find_newest(path / "checkpoints")
    assert json.loads((checkpoint / "trainer_state.json").read_text())["best_global_step"] < parse_step(checkpoint)
    return path


@pytest.fixture(scope="module")
def held(folder, base):
    "A run in training, whose process stands still"
    process = start(folder, base, "held", "--num_train_epochs", 500)
    hit_at(process, folder / "runs/held", 3, signal.SIGSTOP)
    yield folder / "runs/held"
    process.send_signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def answers(whole):
    return Run(whole).predict(TEXTS)


def outcome(path):
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


def files_of(path):
    "Every file below a folder with its content and time"
    return {p.relative_to(path): (p.read_bytes(), p.stat().st_mtime_ns) for p in path.rglob("*") if p.is_file()}


def the_line(text):
    "The one line that a command has written which was refused"
    assert text.startswith("ftkit: ") and text.count("\n") == 1, text
    return text


def read_all(path, out):
    "Read a run's records as fast as it goes until the file `enough` is there; write what was counted and what was wrong"
    run, counts, wrong = Run(path), dict.fromkeys(["run.json", "settings.ini", "log.jsonl", "history"], 0), []
    began, last, again = time.monotonic(), 0, 0

    def whole_record():
        record = json.loads((path / "run.json").read_text(encoding="utf-8"))
        assert record.keys() >= EMPTY.keys() | {"run", "created", "versions", "machine"} and record["status"] in (
            "running",
            "stopped",
            "finished",
        ), record
        return record

    def whole_settings():
        settings = run.settings
        assert settings.text_column_name == "review" and settings.training_arguments["logging_steps"] == 1, settings

    def whole_lines():
        lines = (path / "log.jsonl").read_text(encoding="utf-8").split("\n")
        assert all("step" in json.loads(line) for line in lines[:-1]), lines

    def forwards():
        nonlocal last, again
        steps = [row["step"] for row in run.history]
        assert steps == sorted(steps), steps
        now, before, last = max(steps, default=0), last, max(steps, default=0)
        if now < before:
            known, again = again, len(whole_record().get("resumed", []))
            assert again > known, f"from {before} back to {now} without a resume"

    kinds = {"run.json": whole_record, "settings.ini": whole_settings, "log.jsonl": whole_lines, "history": forwards}
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


def trained_on(folder, base, kills):
    "A run that is saved at every step, killed, resumed, stopped and resumed; first its folder, as soon as there is something to read"
    path = folder / f"runs-{kills}/run"
    process = start(
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
        hit_at(process, path, max((row["step"] for row in Run(path).history), default=0) + 4, number)
        process.wait(30)
        process = command("train", "--resume", path, cwd=folder)
    assert process.wait() == 0, process.stderr
    assert len(Run(path).record["resumed"]) == kills + 1


def rewrite(path):
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


def rewritten(folder, kills):
    "A run whose records are written all the time, by processes that are killed; first its folder"
    session = create_run(
        Settings(text_column_name="review").replace(logging_steps=1), folder / f"runs-rewritten-{kills}", "run"
    )
    run = session.run
    session.lock.release()
    yield run.path
    for n in range(kills):
        process = beside(rewrite, run.path)
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
def read(folder, base, request):
    "What a process found that read all the time"
    kind, kills = request.param.split()
    work = trained_on(folder, base, int(kills)) if kind == "trained" else rewritten(folder, int(kills))
    path = next(work)
    reader = beside(read_all, path, path.parent / "read.json")
    assert next(work, None) is None
    (path.parent / "enough").touch()
    reader.join(30)
    return json.loads((path.parent / "read.json").read_text())


@reading
@pytest.mark.parametrize("kind", ["run.json", "settings.ini", "log.jsonl", "history"])
def test_a_record_is_whole_whenever_it_is_read(read, kind):
    assert [text for name, text in read["wrong"] if name == kind] == []
    assert read["counts"][kind] > 10 * read["seconds"] and sum(read["counts"].values()) > 1000 * read["seconds"]


def look(path, times, out):
    "Look at test rows many times"
    Path(out).write_text(json.dumps([count_look(Run(path), "0" * 64, "evaluate") for _ in range(times)]))


@reading
def test_looks_that_two_processes_count_at_once_are_all_there(tmp_path):
    lookers = [beside(look, tmp_path / f"run-{i}", 100, tmp_path / f"{i}.json") for i in range(2)]
    while any(process.is_alive() for process in lookers):
        file = tmp_path / "test_looks.jsonl"
        assert all(json.loads(line)["sha256"] for line in (file.read_text() if file.exists() else "").split("\n")[:-1])
    assert sorted(n for i in range(2) for n in json.loads((tmp_path / f"{i}.json").read_text())) == list(range(1, 201))
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 200


@reading
def test_a_look_that_was_cut_takes_no_other_with_it(tmp_path):
    file = tmp_path / "test_looks.jsonl"
    assert count_look(Run(tmp_path / "run"), "0" * 64, "train") == 1
    file.write_text(file.read_text() + '{"time": "2026-01-01T00:0')
    assert count_look(Run(tmp_path / "run"), "0" * 64, "evaluate") == 2
    assert json.loads(file.read_text().splitlines()[-1])["command"] == "evaluate"


@processes
def test_a_second_process_that_resumes_is_refused_and_touches_nothing(folder, stopped, whole):
    path = shutil.copytree(stopped, folder / "runs/twice")
    first = command("train", "--resume", "twice", cwd=folder)
    hit_at(first, path, Run(path).history[-1]["step"] + 3, signal.SIGSTOP)
    before = files_of(path)
    second, after = command("train", "--resume", "twice", cwd=folder).result(), files_of(path)
    first.send_signal(signal.SIGCONT)
    assert first.wait() == 0 and outcome(path) == outcome(whole)
    assert (
        second.returncode == 2
        and "another process is working on this run" in the_line(second.stderr)
        and second.stdout == ""
    )
    assert after == before


@processes
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=slow)])
def test_the_lock_of_a_killed_process_is_free_at_once(folder, base, workers):
    name = f"killed-{workers}"
    process = start(folder, base, name, "--dataloader_num_workers", workers)
    hit_at(process, folder / "runs" / name, 3, signal.SIGKILL)
    process.wait(30)
    run = Run.load(name, folder / "runs")
    assert run.status == "failed" and run.record["reason"] == "the process that trained it has died"
    with Session(run).lock:
        assert Run.load(name, folder / "runs").status == "running"


def ask(path, out):
    "Ask for a run's status until the file `enough` is there"
    seen = set()
    while not Path(out).with_name("enough").exists():
        seen.add(Run(path).status)
    Path(out).write_text(json.dumps(sorted(seen)))


@pytest.fixture
def asked(stopped, tmp_path):
    "A run whose process was killed, and two processes that ask for its status without a pause: (run folder, what they have seen)"
    path = shutil.copytree(stopped, tmp_path / "run")
    Run(path).update(status="running", reason=None)
    askers = [beside(ask, path, tmp_path / f"{i}.json") for i in range(2)]
    time.sleep(0.3)

    def seen():
        (tmp_path / "enough").touch()
        for process in askers:
            process.join(10)
        return [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(2)]

    yield path, seen
    seen()


@processes
def test_two_who_ask_for_the_status_do_not_take_each_other_for_the_training(asked):
    time.sleep(0.5)
    assert asked[1]() == [["failed"], ["failed"]]


@processes
def test_who_asks_for_the_status_does_not_keep_a_run_from_being_resumed(asked):
    path, seen = asked
    for _ in range(20):
        record = Run(path).record
        session = reopen_run(Run(path), record["data"], record["tokens_sha256"])
        assert Run(path).status == "running"
        session.lock.release()


@processes
def test_of_two_trainings_with_one_name_one_wins(folder, base):
    both = [start(folder, base, "same", "--num_train_epochs", 1) for _ in range(2)]
    winner, loser = sorted((process.result() for process in both), key=lambda done: done.returncode)
    assert (winner.returncode, loser.returncode) == (0, 2) and "there is already a run 'same' in runs" in the_line(
        loser.stderr
    )
    assert Run.load("same", folder / "runs").status == "finished"


def create(root, names, at, out):
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


def created(tmp_path, names):
    "What three processes made that began at the same time"
    makers = [beside(create, tmp_path / "runs", names, time.time() + 0.3, tmp_path / f"{i}.json") for i in range(3)]
    for process in makers:
        process.join(30)
    return [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(3)]


@processes
def test_each_of_many_names_is_given_once(tmp_path):
    names = [f"n{i}" for i in range(15)]
    made = created(tmp_path, names)
    for name, got in zip(names, zip(*made)):
        assert got.count(name) == 1 and sum(f"there is already a run '{name}'" in text for text in got) == 2


@processes
def test_runs_without_a_name_that_begin_in_the_same_second_get_different_folders(tmp_path):
    made = sum(created(tmp_path, [None] * 15), [])
    assert len(set(made)) == 45 == len(list_runs(tmp_path / "runs")) and len({name[:17] for name in made}) < 10


@processes
@pytest.mark.parametrize("argv", [["evaluate", "{}"], ["predict", "{}", GOOD]], ids=lambda argv: argv[0])
def test_a_run_that_is_being_trained_is_not_asked_for_its_model(held, capsys, argv):
    before = files_of(held)
    assert main([word.format(held) for word in argv]) == 2
    assert "this run has no model yet (status: running)" in the_line(capsys.readouterr().err)
    assert files_of(held) == before


@processes
def test_a_run_that_was_killed_before_its_rows_were_scored_is_not_evaluated(whole, tmp_path, capsys):
    path = shutil.copytree(whole, tmp_path / "runs/run")
    (path / "predictions.parquet").unlink()
    Run(path).update(status="running")
    assert main(["evaluate", str(path)]) == 2
    assert "has no predictions yet (status: failed)" in the_line(capsys.readouterr().err)
    assert main(["predict", str(path), GOOD]) == 0


@processes
@slow
def test_trainings_an_evaluation_and_predictions_go_on_at_once_in_one_folder(folder, base, whole):
    first = len((folder / "runs/test_looks.jsonl").read_text().splitlines())
    commands = [start(folder, base, name) for name in ("at-once-1", "at-once-2")]
    commands += [
        command("evaluate", "whole", "--json", cwd=folder),
        command("predict", "whole", *TEXTS * 20, "--json", cwd=folder),
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
    assert outcome(folder / "runs/at-once-1") == outcome(folder / "runs/at-once-2") == outcome(whole)
    assert len(commands[3].stdout.splitlines()) == 60


@sharing
@pytest.mark.parametrize("place", [pytest.param(p, marks=slow if p in ("renamed", "moved") else []) for p in PLACES])
def test_a_finished_run_answers_where_it_is_now(whole, answers, tmp_path, capsys, place):
    path = shutil.copytree(whole, tmp_path / PLACES[place])
    run = Run.load(path)
    assert len(str(path)) > 200 or place != "over 200 characters"
    assert main(["evaluate", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (
        result["metrics"] == Run(whole).record["metrics"]["test"]
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


@sharing
def test_a_folder_of_runs_that_was_copied_elsewhere_goes_on_counting_its_looks(folder, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "copy/whole")
    shutil.copy(folder / "runs/test_looks.jsonl", tmp_path / "copy")
    before = (folder / "runs/test_looks.jsonl").read_bytes()
    sha256 = Run(whole).record["data"]["test"]["sha256"]
    assert Run.load("whole", tmp_path / "copy").evaluate()["looks"] == before.decode().count(sha256) + 1
    assert (folder / "runs/test_looks.jsonl").read_bytes() == before


@sharing
def test_a_run_that_is_named_from_within_its_folder_counts_its_look_beside_it(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(whole, tmp_path / "runs/run"))
    run = Run.load(".")
    assert run.evaluate()["looks"] == 1 and run.path.name == "run"
    assert (tmp_path / "runs/test_looks.jsonl").exists() and not Path("test_looks.jsonl").exists()


@sharing
@slow
@pytest.mark.parametrize("place", PLACES)
def test_a_stopped_run_goes_on_where_it_is_now(stopped, whole, tmp_path, place):
    path = shutil.copytree(stopped, tmp_path / PLACES[place])
    assert command("train", "--resume", path, cwd=tmp_path).wait() == 0
    assert outcome(path) == outcome(whole) and Run(path).record["best"] == Run(whole).record["best"]


@sharing
def test_a_copy_takes_nothing_from_the_run_that_it_was_copied_from(folder, stopped, whole, tmp_path):
    path = shutil.copytree(stopped, tmp_path / "copy")
    first = Path(shutil.copytree(stopped, folder / "runs/stopped"))
    for file in first.glob("checkpoints/step-*/model.safetensors"):
        file.write_bytes(b"\0" * file.stat().st_size)
    before = files_of(first)
    assert command("train", "--resume", path, cwd=tmp_path).wait() == 0
    assert outcome(path) == outcome(whole) and files_of(first) == before


@sharing
def test_a_stopped_run_whose_rows_moved_too_says_where_to_write_their_new_place(folder, stopped, whole, tmp_path):
    path = shutil.copytree(stopped, tmp_path / "run")
    ini = path / "settings.ini"
    ini.write_text(ini.read_text().replace(str(folder / "mine.csv"), str(tmp_path / "gone.csv")))
    refused = command("train", "--resume", path, cwd=tmp_path).result()
    assert (
        refused.returncode == 2
        and str(tmp_path / "gone.csv") in the_line(refused.stderr)
        and str(ini) in refused.stderr
    )
    ini.write_text(ini.read_text().replace("gone.csv", "here.csv"))
    shutil.copy(folder / "mine.csv", tmp_path / "here.csv")
    assert command("train", "--resume", path, cwd=tmp_path).wait() == 0 and outcome(path) == outcome(whole)


@sharing
@pytest.mark.parametrize("name", ["two words", *(p for p in PLACES if p.startswith("s"))])
def test_the_line_that_says_how_to_go_on_can_be_pasted_into_a_shell(stopped, tmp_path, name):
    path = shutil.copytree(stopped, tmp_path / PLACES.get(name, name))
    command = re.search("Resume it: (.*), or in Python", describe_way_to_resume(Run(path), "stopped"))[1]
    assert shlex.split(command) == ["ftkit", "train", "--resume", str(path)]


@sharing
def test_a_base_model_in_a_folder_is_found_from_any_other_folder(folder, base, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    with create_run(Settings(model_name_or_path="base", train_file="mine.csv"), tmp_path) as run:
        assert (run.settings.model_name_or_path, run.settings.train_file) == (str(base), str(folder / "mine.csv"))


@sharing
@slow
@pytest.mark.parametrize("place", PLACES)
def test_a_run_is_made_stopped_and_gone_on_with_in_an_odd_place(folder, base, tmp_path, place):
    there = tmp_path / PLACES[place]
    there.mkdir(parents=True)
    shutil.copy(folder / "mine.csv", there)
    shutil.copytree(base, there / "base")
    process = start(there, there / "base", "odd", "--num_train_epochs", 2)
    hit_at(process, there / "runs/odd", 5, signal.SIGTERM)
    assert process.wait(30) == 143, process.stderr
    assert command("train", "--resume", "odd", cwd=there).wait() == 0
    assert Run.load("odd", there / "runs").status == "finished" and Run.load(
        "odd", there / "runs"
    ).settings.train_file == str(there / "mine.csv")


@sharing
def test_a_training_does_not_fail_in_the_end_because_its_look_cannot_be_counted(folder, base):
    (folder / "uncounted/test_looks.jsonl").mkdir(parents=True)
    process = start(folder, base, "run", "--num_train_epochs", 1, "--runs_dir", "uncounted")
    assert process.wait() == 0 and "could not be counted" in process.stderr, process.stderr
    run = Run.load("run", folder / "uncounted")
    assert run.status == "finished" and run.metrics and run.record["looks"] is None
    texts = [process.stdout, *((run.path / name).read_text() for name in ("report.html", "model/README.md"))]
    assert [text.count("look None") for text in texts] == [0, 0, 0] and all(
        "could not be counted" in text for text in texts[1:]
    )


def modes(path):
    "The permissions of files and of folders below a run folder"
    return [
        {stat.S_IMODE(p.stat().st_mode) for p in [path, *path.rglob("*")] if p.is_dir() == folder}
        for folder in (False, True)
    ]


@sharing
def test_every_file_of_a_run_may_be_read_by_others(whole):
    assert (
        modes(whole) == [{0o644}, {0o755}]
        and stat.S_IMODE((whole.parent / "test_looks.jsonl").stat().st_mode) == 0o644
    )


def private():
    "As in a shell after `umask 077`"
    os.umask(0o077)


@sharing
@slow
def test_a_run_is_as_private_as_the_umask_says(folder, base):
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
        before=private,
    )
    assert process.wait() == 0, process.stderr
    assert modes(folder / "runs/private") == [{0o600}, {0o700}]


def as_another(warm, jobs, out):
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
            said, complained = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
                try:
                    code = main(argv) if argv[0] != "report" else Run.load(argv[1]).report() and 0
                except Exception as e:
                    code = f"{type(e).__name__}: {e}"
            done[name] = code, said.getvalue(), complained.getvalue()
        json.dump(done, file)


@pytest.fixture(scope="module")
def another(folder, base, whole, stopped, held):
    "What another user gets: name -> (exit code, stdout, stderr)"
    closed = shutil.copytree(whole, folder / "others/closed")
    there = [shutil.copytree(path, folder / "others/runs" / path.name) for path in (whole, stopped)]
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
    before = files_of(there[0].parent)
    beside(as_another, shutil.copytree(whole, folder / "others/warm/run"), jobs, folder / "another.json").join(60)
    closed.chmod(0o700)
    assert files_of(there[0].parent) == before
    return json.loads((folder / "another.json").read_text())


@sharing
def test_another_user_gets_the_same_predictions(another, answers):
    code, said, _ = another["predict"]
    assert code == 0 and [json.loads(line) for line in said.splitlines()] == answers


@sharing
def test_another_user_gets_the_scores_and_is_told_that_the_look_was_not_counted(another, whole):
    code, said, complained = another["evaluate"]
    assert code == 0, complained
    result = json.loads(said)
    assert result["metrics"] == Run(whole).record["metrics"]["test"] and result["looks"] is None
    assert "could not be counted" in complained and complained.count("\n") == 1
    assert another["evaluate as text"][0] == 0 and "None" not in another["evaluate as text"][1]


@sharing
def test_another_user_sees_that_a_run_is_being_trained(another):
    code, said, complained = another["runs"]
    assert code == 0 and {row["run"]: row["status"] for row in json.loads(said)["runs"]}["held"] == "running", (
        complained
    )


@sharing
@pytest.mark.parametrize(
    "job, words",
    {"resume": "cannot be written", "train": "no run can be written there", "closed": "cannot be read"}.items(),
)
def test_what_another_user_may_not_do_is_said_in_one_line(another, job, words):
    code, said, complained = another[job]
    assert code == 2 and said == "" and words in the_line(complained)


@sharing
def test_a_report_that_cannot_be_written_is_said(another):
    assert (
        re.match(r"UserError: .*report\.html.*cannot be written", another["report"][0])
        and "\n" not in another["report"][0]
    )
