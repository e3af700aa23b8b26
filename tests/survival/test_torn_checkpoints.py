"""Torn and damaged checkpoints: the run resumes from the newest complete one to the same bits and warns of others.

One run is interrupted at step 17, in the middle of its second epoch; each case damages a copy of its folder and
resumes that in this process.
What is killed within a save is a process of its own.
"""

import json
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import mark_slow, small_rows, write_csv
from processes import Command
from runs import read_fingerprint

from ftkit import fine_tuning, trainer
from ftkit.errors import UserError
from ftkit.fine_tuning import Run
from ftkit.runs.checkpoints import commit, estimate_bytes, find_newest, find_problem, parse_step
from ftkit.runs.folder import RunFolder
from ftkit.runs.session import create_run
from ftkit.settings import Settings
from ftkit.training import callbacks

torn, damaged, slow = pytest.mark.fault("torn checkpoint"), pytest.mark.fault("damaged checkpoint"), pytest.mark.slow
WEIGHTS, OPTIMIZER, RNG, MANIFEST = "model.safetensors", "optimizer.pt", "rng_state.pth", "manifest.json"
FILES = (
    WEIGHTS,
    OPTIMIZER,
    "scheduler.pt",
    RNG,
    "trainer_state.json",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    MANIFEST,
)
OLDER, BEST, NEWEST, LAST = "step-10", "step-15", "step-17", "step-30"
CHANGES = ("open", "os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir", "os.fsync", "torch.save")
LOGS = {
    "a line that is no JSON": lambda log: log.replace(b'{"step": 9,', b'!"step": 9,'),
    "another number": lambda log: log.replace(b'"step": 9,', b'"step": 8,'),
    "cut": lambda log: log[: len(log) // 2],
    "empty": lambda log: b"",
    "no text": lambda log: log.replace(b'{"step": 9,', b"\xff\0"),
    "a line without a step": lambda log: log + b"{}\n",
    "a line that is no row": lambda log: log + b"7\n",
}
POINTS = 46  # before each operation of a save, and after the last


def quiet_training(change=setattr):
    "Use one thread, save at evaluations and stops only, however slow the machine is, and draw no charts"
    torch.set_num_threads(1)
    change(trainer, "Checkpoints", partial(callbacks.Checkpoints, share=0))
    change(fine_tuning, "write_report", lambda run, task: None)


def die_at(point, step=15):
    "In a process that will train: SIGKILL before the n-th operation of a step's save, or the first one of that name"
    quiet_training()
    seen = []

    def hook(event, args):
        path = str(args[event == "os.rename"]) if event in CHANGES else None
        reads = event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR)
        vain = (
            event == "os.mkdir"
            and os.path.isdir(path)
            or event == "os.remove"
            and args[1] == -1
            and not os.path.lexists(path)
        )
        if path and not reads and not vain and seen[-1:] != ["end"] and (seen or path.endswith(f"checkpoint-{step}")):
            seen.append("end" if seen[-1:] == ["os.rename run.json"] else f"{event} {Path(path).name}")
            if len(seen) == point or seen[-1].startswith(str(point)):
                os.write(2, f"\n{seen[-1]}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    def announce(real, event, *args):
        sys.audit(event, args[-1])
        return real(*args)

    os.fsync, torch.save = partial(announce, os.fsync, "os.fsync"), partial(announce, torch.save, "torch.save")
    sys.addaudithook(hook)


@pytest.fixture(scope="module", autouse=True)
def quiet():
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        quiet_training(patch.setattr)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def settings(tmp_path_factory, tiny):
    "30 steps in three epochs, evaluated and saved every five; the loss falls, so the newest evaluated one is best"
    file = write_csv(tmp_path_factory.mktemp("rows") / "mine.csv", small_rows(50))
    keys = {
        "train_file": str(file),
        "text_column_name": "review",
        "label_column_name": "stars",
        "model_name_or_path": tiny,
        "baselines": ["majority"],
    }
    keys |= {
        "dropout": 0.1,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "num_resamples": 100,
        "metric_for_best_model": "loss",
    }
    return Settings(**keys).replace(logging_steps=1, eval_strategy="steps", eval_steps=5, save_total_limit=2)


@pytest.fixture(scope="module")
def reference(settings, tmp_path_factory):
    "The fingerprint of the run that nothing happened to"
    run = fine_tuning.fine_tune(settings, runs_dir=tmp_path_factory.mktemp("reference"))
    found = read_fingerprint(run)
    assert (
        found["status"] == "finished"
        and found["hidden"] == [".lock"]
        and [step for step, _ in found["losses"]] == list(range(1, 31))
    )
    return found


def interrupt_at(work, step):
    "Ctrl-C in a step of the training"
    real = Run.log

    def log(run, **values):
        real(run, **values)
        if values["step"] == step - 1 and ("eval_loss" in values or step % 5 != 1):
            signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunFolder, "log", log)
        work()


@pytest.fixture(scope="module")
def stopped_run(settings, tmp_path_factory):
    "The folder of the interrupted run"
    folder = tmp_path_factory.mktemp("stopped")
    interrupt_at(partial(fine_tuning.fine_tune, settings.replace(save_total_limit=3), runs_dir=folder, name="run"), 17)
    checkpoints = folder / "run/checkpoints"
    assert sorted(p.name for p in checkpoints.iterdir()) == [OLDER, BEST, NEWEST]
    assert {p.name for p in (checkpoints / NEWEST).iterdir()} == set(FILES)
    assert json.loads((checkpoints / NEWEST / MANIFEST).read_text())["best"] == parse_step(checkpoints / BEST)
    return folder / "run"


@pytest.fixture
def run(stopped_run, tmp_path):
    "A copy of the interrupted run, to be damaged"
    return Run(shutil.copytree(stopped_run, tmp_path / "run"))


@pytest.fixture
def check_resume(reference, capsys):
    "Resume a run: check where it starts, its warnings, and the same end"

    def resume(run, start, *warnings):
        capsys.readouterr()
        assert read_fingerprint(Run.load(run.path).resume()) == reference
        lines = capsys.readouterr().err
        assert (
            f"resuming from {start}\n" in lines if start else "from the beginning" in lines and "going on" not in lines
        )
        assert [line for line in warnings if line not in lines] == []
        assert lines.count("was skipped") == len(warnings)

    return resume


def cut_file(file, share):
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])


def flip_byte(file, place):
    content = bytearray(file.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    file.write_bytes(content)


def describe_damage(file):
    "Return the warning about a damaged file"
    return "its manifest is missing or torn" if file == MANIFEST else f"{file} has changed since it was written"


@torn
@slow
@pytest.mark.parametrize("point", range(1, POINTS + 1))
def test_killed_save_resumes(settings, tmp_path, check_resume, point):
    (tmp_path / "settings.ini").write_text(settings.to_ini())
    command = Command("train", "settings.ini", "--run", "run", cwd=tmp_path, before=partial(die_at, point))
    if command.wait() == 0:
        pytest.skip("a save of this version of Transformers has fewer operations")
    assert command.wait() == -signal.SIGKILL, command.stderr
    assert (command.stderr.splitlines()[-1] == "end") == (point == POINTS)
    run = Run(tmp_path / "runs/run")
    best, skipped = find_newest(run.path / "checkpoints")
    assert best.name == (BEST if (run.path / "checkpoints" / BEST).exists() else OLDER) and skipped == []
    check_resume(run, best.name)


@pytest.mark.slow
@torn
@pytest.mark.parametrize(
    "operation", mark_slow(["open .manifest.json", "os.rmdir step-15", "os.rename step-15"], fast=["os.rmdir step-15"])
)
def test_killed_replacement_resumes(run, check_resume, operation):
    cut_file(run.path / "checkpoints" / BEST / OPTIMIZER, 0.5)
    command = Command("train", "--resume", run.path, cwd=run.path.parent, before=partial(die_at, operation))
    assert command.wait() == -signal.SIGKILL, command.stderr
    assert f"{BEST} was skipped: {OPTIMIZER} has changed since it was written" in command.stderr
    found, skipped = find_newest(run.path / "checkpoints")
    assert found.name == OLDER
    check_resume(run, OLDER, *skipped)


@torn
@pytest.mark.parametrize(
    "file, share", mark_slow([(file, share) for file in FILES for share in (0, 0.5)], fast=[(OPTIMIZER, 0.5)])
)
def test_truncated_file_is_skipped(run, check_resume, file, share):
    cut_file(run.path / "checkpoints" / NEWEST / file, share)
    check_resume(run, BEST, f"{NEWEST} was skipped: {describe_damage(file)}")


@pytest.mark.slow
@torn
@pytest.mark.parametrize("name", mark_slow(["step-999", "step-16", "step-18"], fast=["step-999"]))
def test_renamed_copy_is_skipped(run, check_resume, name):
    checkpoints = run.path / "checkpoints"
    source = BEST if name == "step-18" else OLDER
    shutil.copytree(checkpoints / source, checkpoints / name)
    check_resume(
        run,
        NEWEST,
        *([f"{name} was skipped: it is a copy of {source}"] if parse_step(checkpoints / name) > 17 else []),
    )


@torn
@slow
def test_foreign_checkpoint_is_skipped(settings, run, check_resume, tmp_path):
    other = fine_tuning.fine_tune(settings.replace(num_train_epochs=4, seed=1), runs_dir=tmp_path, name="other")
    shutil.copytree(other.path / "checkpoints/step-40", run.path / "checkpoints/step-40")
    check_resume(run, NEWEST, "step-40 was skipped: it belongs to another run")


@torn
@slow
@pytest.mark.parametrize("count", [1, 3])
def test_skipped_checkpoints_displace_none(run, check_resume, count):
    for step in range(100, 100 + count):
        shutil.copytree(run.path / "checkpoints" / OLDER, run.path / f"checkpoints/step-{step}")
    check_resume(run, NEWEST, *(f"step-{step} was skipped" for step in range(100, 100 + count)))
    assert {"step-20", "step-25", LAST} <= {
        p.name for p in (run.path / "checkpoints").iterdir() if find_problem(p) is None
    }


@torn
@slow
@pytest.mark.parametrize(
    "name, warnings",
    [
        ("step-99", 1),
        ("step-99 (copy)", 0),
        ("step-99-backup", 0),
        ("step-", 0),
        ("step--99", 0),
        ("step-9.9", 0),
        ("step-\u00b2", 0),
        ("checkpoint-99", 0),
        (".staging", 0),
    ],
)
def test_other_folders_are_ignored(run, check_resume, name, warnings):
    (run.path / "checkpoints" / name).mkdir()
    (run.path / "checkpoints" / name / "trainer_state.json").write_text('{"global_step": 99')
    check_resume(run, NEWEST, *[f"{name} was skipped: its manifest is missing or torn"][:warnings])


@torn
@slow
@pytest.mark.parametrize("kind", ["file", "symlink to a folder", "symlink to nothing"])
@pytest.mark.parametrize("name", ["step-20", "step-99"])
def test_file_named_checkpoint_is_survived(run, check_resume, tmp_path, name, kind):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/notes.txt").write_text("mine")
    place = run.path / "checkpoints" / name
    if kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to(tmp_path / ("elsewhere" if kind == "symlink to a folder" else "nowhere"))
    check_resume(
        run,
        NEWEST,
        *([f"{name} was skipped: its manifest is missing or torn"] if kind == "symlink to a folder" else []),
    )
    assert (tmp_path / "elsewhere/notes.txt").read_text() == "mine"


@damaged
@pytest.mark.parametrize(
    "file, place", mark_slow([(file, (0.5, 0, 1)[i % 3]) for i, file in enumerate(FILES)], fast=[(WEIGHTS, 0.5)])
)
def test_changed_byte_is_skipped(run, check_resume, file, place):
    flip_byte(run.path / "checkpoints" / NEWEST / file, place)
    check_resume(run, BEST, f"{NEWEST} was skipped: {describe_damage(file)}")


@damaged
@pytest.mark.parametrize("file", mark_slow(FILES, fast=[RNG]))
def test_missing_file_is_skipped(run, check_resume, file):
    (run.path / "checkpoints" / NEWEST / file).unlink()
    check_resume(run, BEST, f"{NEWEST} was skipped: {'its manifest' if file == MANIFEST else file} is missing")


@damaged
@slow
@pytest.mark.parametrize("file", [f for f in FILES if f != MANIFEST])
def test_linked_file_is_skipped(run, check_resume, tmp_path, file):
    place = run.path / "checkpoints" / NEWEST / file
    place.rename(tmp_path / file)
    place.symlink_to(tmp_path / file)
    check_resume(run, BEST, f"{NEWEST} was skipped: {file} is missing")


@damaged
@slow
@pytest.mark.parametrize("file", ["pytorch_model.bin", "scaler.pt", "adapter_model.bin", "more/notes.txt"])
def test_foreign_file_is_skipped(run, check_resume, file):
    place = run.path / "checkpoints" / NEWEST / file
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"x")
    check_resume(run, BEST, f"{NEWEST} was skipped: {file} was not written by the training")


def remove_weights(checkpoint):
    (checkpoint / WEIGHTS).unlink()


@damaged
@pytest.mark.parametrize(
    "harm, warnings",
    [
        (remove_weights, f"{WEIGHTS} is missing"),
        pytest.param(shutil.rmtree, "its manifest is missing or torn", marks=slow),
    ],
)
def test_damaged_best_checkpoint_skips_dependants(run, check_resume, harm, warnings):
    checkpoints = run.path / "checkpoints"
    harm(checkpoints / BEST)
    own = [f"{BEST} was skipped: {warnings}"] if (checkpoints / BEST).exists() else []
    check_resume(run, OLDER, f"{NEWEST} was skipped: of {BEST}, the best so far, {warnings}", *own)


@damaged
def test_no_valid_checkpoint_restarts_run(run, check_resume):
    for name in (OLDER, BEST, NEWEST):
        flip_byte(run.path / "checkpoints" / name / WEIGHTS, 0.5)
    check_resume(run, None, *(f"{name} was skipped" for name in (OLDER, BEST, NEWEST)))


@damaged
@slow
def test_second_stop_keeps_log_complete(run, check_resume):
    flip_byte(run.path / "checkpoints" / BEST / WEIGHTS, 0.5)
    interrupt_at(lambda: Run.load(run.path).resume(), 16)
    found, skipped = find_newest(run.path / "checkpoints")
    check_resume(run, found.name, *skipped)


@damaged
@slow
@pytest.mark.parametrize("harm", LOGS.values(), ids=LOGS)
def test_damaged_log_is_completed(run, check_resume, harm):
    log = run.path / "log.jsonl"
    log.write_bytes(harm(log.read_bytes()))
    check_resume(run, NEWEST)


@damaged
@slow
def test_missing_log_is_completed(run, check_resume):
    (run.path / "log.jsonl").unlink()
    check_resume(run, NEWEST)


@damaged
@pytest.mark.parametrize("content", [b"", b'{"status": "stop', b"\xff{}", b"[]", b"{}"])
def test_damaged_record_raises(run, content):
    (run.path / "run.json").write_bytes(content)
    for _ in range(2):
        with pytest.raises(UserError, match=r"run\.json"):
            Run.load(run.path).resume()
    assert (run.path / "run.json").read_bytes() == content


@damaged
def test_manifest_detects_every_byte(tmp_path):
    for step, best in ((3, 3), (10, 3)):
        (tmp_path / "written").mkdir()
        (tmp_path / "written/scheduler.pt").write_bytes(b"x")
        checkpoint = commit(tmp_path / "written", tmp_path, step, best)
    file = checkpoint / MANIFEST
    before = file.read_bytes()
    unseen = []
    for place in range(len(before)):
        changed = bytearray(before)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        if find_problem(checkpoint) is None:
            unseen.append(bytes(changed[max(0, place - 10) : place + 10]))
    assert unseen == []


@damaged
@pytest.mark.parametrize("best", ["a/b", "", "..", "\0", -1, 10**40, [1], {}, 0.5, True], ids=ascii)
def test_strange_best_checkpoint_is_skipped(tmp_path, best):
    (tmp_path / "written").mkdir()
    commit(tmp_path / "written", tmp_path, 10, best)
    found, skipped = find_newest(tmp_path)
    assert found is None and len(skipped) == 1


@damaged
def test_circular_best_checkpoints_end(tmp_path):
    for step, best in ((5, 10), (10, 5)):
        (tmp_path / "written").mkdir()
        commit(tmp_path / "written", tmp_path, step, best)
    find_newest(tmp_path)


@damaged
def test_kept_checkpoint_keeps_best(settings, tmp_path):
    with create_run(settings, tmp_path, "run") as run:
        args, keeper, model = (
            SimpleNamespace(output_dir=run.path / "checkpoints/.staging"),
            callbacks.Checkpoints(run, 2),
            torch.nn.Linear(1, 1),
        )
        state = SimpleNamespace(global_step=0, best_global_step=0)
        keeper.on_train_begin(args, state, None, model=model)
        for state.global_step, state.best_global_step in ((5, 5), (10, 5), (15, 15)):
            (args.output_dir / f"checkpoint-{state.global_step}").mkdir(parents=True)
            keeper.on_save(args, state, None, model=model)
    shutil.rmtree(run.path / "checkpoints" / BEST)
    assert find_newest(run.path / "checkpoints")[0] == run.path / "checkpoints" / OLDER


@pytest.mark.fault("killed")
@slow
@pytest.mark.parametrize("left", [True, False])
def test_first_evaluation_is_logged_once(settings, tmp_path, left):
    settings = settings.replace(eval_on_start=True)
    reference = fine_tuning.fine_tune(settings, runs_dir=tmp_path)
    interrupt_at(partial(fine_tuning.fine_tune, settings, runs_dir=tmp_path, name="stopped"), 17)
    if not left:
        shutil.rmtree(tmp_path / "stopped/checkpoints")
    assert read_fingerprint(Run.load("stopped", tmp_path).resume()) == read_fingerprint(reference)


@pytest.mark.parametrize("steps, seconds", [(17, 1.0), (400, 0.3), (4000, 0.1)])
def test_saving_uses_its_share(settings, tmp_path, monkeypatch, steps, seconds):
    "Three epochs by a clock of the test's own, each save 0.6 s: the epochs' ends, and what else can be afforded"
    now, cost, saves, model = 0.0, 0.6, [], torch.nn.Linear(1, 1)
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: now, process_time=lambda: now))
    monkeypatch.setattr(callbacks, "WRITE_SPEED", estimate_bytes(model) / cost)
    args = SimpleNamespace(output_dir=tmp_path / "staging", save_strategy="epoch", eval_strategy="epoch")
    state = SimpleNamespace(global_step=0, max_steps=3 * steps, num_train_epochs=3, best_global_step=0)
    with create_run(settings, tmp_path, "run") as run:
        keeper = callbacks.Checkpoints(run, share=0.05)
        keeper.on_train_begin(args, state, None, model=model)
        for state.global_step in range(1, 3 * steps + 1):
            now, state.epoch, control = now + seconds, state.global_step / steps, SimpleNamespace(should_save=False)
            keeper.on_step_end(args, state, control)
            if control.should_save or state.epoch.is_integer():
                (args.output_dir / f"checkpoint-{state.global_step}").mkdir(parents=True)
                now += cost
                saves.append(now)
                keeper.on_save(args, state, None, model=model)
    assert 0.03 < len(saves) * cost / now < 0.05
    assert max(b - a for a, b in zip([0.0, *saves], saves)) <= max(steps * seconds, 2 * cost / 0.05) + cost
