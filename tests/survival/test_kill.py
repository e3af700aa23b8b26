"Runs that survive: real processes, really killed, and resumed to the same bits."

import shutil
import signal

import pytest
from processes import Command
from runs import read_files, read_fingerprint, read_losses, signal_at, wait_for

from ftkit.fine_tuning import Run
from ftkit.runs.checkpoints import find_newest, parse_step
from survival.commands import start_training

VARIANTS = {
    "grouped": [],
    "random order": ["--train_sampling_strategy", "random"],
    "accumulation": ["--gradient_accumulation_steps", 2, "--per_device_train_batch_size", 4],
    "lora": ["--method", "lora"],
    "early stopping": ["--early_stopping_patience", 2, "--num_train_epochs", 8],
    "workers": ["--dataloader_num_workers", 2],
    "steps between evaluations": ["--eval_strategy", "steps", "--eval_steps", 7],
    "ten steps a log line": ["--logging_steps", 10],
}
KILLED_AT = {"first epoch": 5, "second epoch": 14, "after a save": 0}  # of 9 steps each
FAST = {("lora", "second epoch")}
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(public_folder, public_base, finished_run):
    "What identifies the run of a variant that nothing happened to: each made once"
    made = {"grouped": read_fingerprint(finished_run)}

    def run(variant="grouped"):
        if variant not in made:
            process = start_training(public_folder, public_base, f"reference-{len(made)}", *VARIANTS[variant])
            assert process.wait(200) == 0, process.stderr
            made[variant] = read_fingerprint(public_folder / f"runs/reference-{len(made)}")
        return made[variant]

    return run


@pytest.mark.fault("killed")
@pytest.mark.parametrize(
    "variant, moment",
    [pytest.param(v, m, marks=[] if (v, m) in FAST else SLOW) for v in VARIANTS for m in KILLED_AT],
)
def test_killed_run_resumes_identically(public_folder, public_base, reference, variant, moment):
    name = f"{variant}-{moment}".replace(" ", "-")
    path = public_folder / "runs" / name
    process = start_training(public_folder, public_base, name, *VARIANTS[variant])
    if KILLED_AT[moment]:
        signal_at(process, path, KILLED_AT[moment], signal.SIGKILL)
    else:
        wait_for(process, lambda: len(list((path / "checkpoints").glob("step-*"))) > 1)
        process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert Run(path).status == "failed"
    resumed = Command("train", "--resume", name, "--json", cwd=public_folder)
    assert resumed.wait() == 0, resumed.stderr
    assert read_fingerprint(path) == reference(variant)


@pytest.mark.fault("stopped")
@pytest.mark.parametrize("number, code", [pytest.param(signal.SIGINT, 130, marks=SLOW), (signal.SIGTERM, 143)])
def test_stopped_run_resumes_identically(public_folder, public_base, reference, number, code):
    path = public_folder / f"runs/stopped-{code}"
    process = start_training(public_folder, public_base, path.name)
    signal_at(process, path, 15, number)
    assert process.wait(30) == code
    assert "--resume" in process.stderr
    run = Run(path)
    assert run.status == "stopped" and run.record["reason"] == {130: "interrupted", 143: "terminated"}[code]
    checkpoint, skipped = find_newest(path / "checkpoints")
    assert skipped == [] and parse_step(checkpoint) == read_losses(run)[-1][0] >= 15
    assert Command("train", "--resume", path.name, cwd=public_folder).wait() == 0
    assert read_fingerprint(path) == reference()


@pytest.mark.slow
@pytest.mark.fault("damaged checkpoint")
def test_damaged_checkpoint_is_skipped(public_folder, public_base, reference):
    path = public_folder / "runs/damaged"
    process = start_training(public_folder, public_base, "damaged", "--save_total_limit", 5)
    signal_at(process, path, 25, signal.SIGKILL)
    process.wait(60)
    newest, _ = find_newest(path / "checkpoints")
    optimizer = newest / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-100])
    resumed = Command("train", "--resume", "damaged", cwd=public_folder).result()
    assert resumed.returncode == 0, resumed.stderr
    assert f"{newest.name} was skipped: optimizer.pt has changed since it was written" in resumed.stderr
    assert read_fingerprint(path) == reference()


@pytest.mark.fault("not finite")
def test_not_finite_gradient_stops_command(public_folder, public_base):
    keys = ["--learning_rate", 1e30, "--max_grad_norm", 0]
    done = start_training(public_folder, public_base, "nan", *keys).result()
    assert done.returncode == 1 and "learning rate" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("ftkit: step ")
    run = Run(public_folder / "runs/nan")
    assert run.status == "failed" and "not finite" in run.record["reason"]
    assert all(loss not in (0.0, "nan", "NaN") for _, loss in read_losses(run))


def test_finished_run_refuses_resume(public_folder, finished_run):
    path = shutil.copytree(finished_run, public_folder / "runs/done")
    before = read_files(path)
    done = Command("train", "--resume", "done", cwd=public_folder).result()
    assert done.returncode == 2 and "it is finished: there is nothing to resume" in done.stderr
    done = Command("train", "--resume", "done", "--seed", 1, cwd=public_folder).result()
    assert done.returncode == 2 and "--resume continues a run with its own settings" in done.stderr
    assert read_files(path) == before
