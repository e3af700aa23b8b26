"""Records that are read while they are written are never torn, whoever is killed."""

import json
import signal
import time
from pathlib import Path

import pytest
from processes import Command
from runs import signal_at

from ftkit.fine_tuning import Run
from ftkit.runs.folder import EMPTY
from ftkit.runs.scoring import count_look
from ftkit.runs.session import Session, create_run
from ftkit.settings import Settings
from survival.commands import start_process, start_training

pytestmark = pytest.mark.fault("read while written")
slow = pytest.mark.slow


def read_all(path, out):
    "Read a run's records until the file `enough` is there; write what was counted and what was wrong"
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
    "Train and save at every step, kill, resume, stop and resume; yield the folder as soon as there is a record"
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
        max(2, 0.8 * kills),
        "--runs_dir",
        path.parent,
    )
    while not (path / "run.json").exists():
        time.sleep(0.001)
    yield path
    for number in [signal.SIGKILL] * kills + [signal.SIGTERM]:
        signal_at(process, path, max((row["step"] for row in Run(path).history), default=0) + 4, number)
        process.wait(30)
        process = Command("train", "--resume", path, cwd=folder)
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
    "Write a run's records all the time, in processes that are killed; yield its folder first"
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
        "trained 1",
        "rewritten 1",
        pytest.param("trained 3", marks=slow),
        pytest.param("rewritten 3", marks=slow),
        pytest.param("trained 20", marks=slow),
        pytest.param("rewritten 20", marks=slow),
    ],
    ids="{} kills".format,
)
def reading(public_folder, public_base, request):
    "What a process found that read all the time"
    kind, kills = request.param.split()
    work = (
        kill_training(public_folder, public_base, int(kills))
        if kind == "trained"
        else kill_rewriting(public_folder, int(kills))
    )
    path = next(work)
    reader = start_process(read_all, path, path.parent / "read.json")
    assert next(work, None) is None
    (path.parent / "enough").touch()
    reader.join(30)
    return json.loads((path.parent / "read.json").read_text())


@pytest.mark.parametrize("kind", ["run.json", "settings.ini", "log.jsonl", "history"])
def test_record_is_never_torn(reading, kind):
    assert [text for name, text in reading["wrong"] if name == kind] == []
    assert reading["counts"][kind] > 30 and sum(reading["counts"].values()) > 1000  # it was read often enough


def count_looks(path, times, out):
    "Look at test rows many times"
    Path(out).write_text(json.dumps([count_look(Run(path), "0" * 64, "evaluate") for _ in range(times)]))


def test_concurrent_looks_are_all_counted(tmp_path):
    lookers = [start_process(count_looks, tmp_path / f"run-{i}", 100, tmp_path / f"{i}.json") for i in range(2)]
    while any(process.is_alive() for process in lookers):
        file = tmp_path / "test_looks.jsonl"
        assert all(json.loads(line)["sha256"] for line in (file.read_text() if file.exists() else "").split("\n")[:-1])
    assert sorted(n for i in range(2) for n in json.loads((tmp_path / f"{i}.json").read_text())) == list(range(1, 201))
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 200


def test_torn_look_spares_others(tmp_path):
    file = tmp_path / "test_looks.jsonl"
    assert count_look(Run(tmp_path / "run"), "0" * 64, "train") == 1
    file.write_text(file.read_text() + '{"time": "2026-01-01T00:0')
    assert count_look(Run(tmp_path / "run"), "0" * 64, "evaluate") == 2
    assert json.loads(file.read_text().splitlines()[-1])["command"] == "evaluate"
