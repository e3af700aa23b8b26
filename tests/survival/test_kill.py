"Runs that survive: real processes, really killed, and gone on with to the same bits."

import json
import signal
import time

import pytest
from conftest import small_rows, write_csv
from processes import Command

KEYS = [
    "--train_file",
    "mine.csv",
    "--text_column_name",
    "review",
    "--label_column_name",
    "stars",
    "--baselines",
    "majority",
]
KEYS += [
    "--dropout",
    0.1,
    "--save_total_limit",
    2,
    "--num_train_epochs",
    5,
    "--per_device_train_batch_size",
    4,
    "--logging_steps",
    1,
    "--learning_rate",
    1e-3,
]
VARIANTS = {
    "grouped": [],
    "random": ["--train_sampling_strategy", "random"],
    "accumulation": ["--gradient_accumulation_steps", 2],
    "lora": ["--method", "lora"],
    "early stopping": ["--early_stopping_patience", 2],
    "workers": ["--dataloader_num_workers", 2],
    "steps between evaluations": ["--eval_strategy", "steps", "--eval_steps", 7],
    "ten steps a log line": ["--logging_steps", 10],
}
KILLED_AT = {"first epoch": 10, "second epoch": 24, "after a save": 0}
FAST = {("grouped", "second epoch"), ("lora", "second epoch"), ("early stopping", "after a save")}


def start_training(folder, tiny, name, *more):
    "Training as a process of its own"
    return Command("train", *KEYS, "--model_name_or_path", tiny, "--run", name, *more, cwd=folder)


def read_losses(folder, name):
    "(step, loss) of every training step in the log"
    file = folder / "runs" / name / "log.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")] if file.exists() else []
    return [(r["step"], r["loss"]) for r in rows if "loss" in r]


def signal_at(process, folder, name, step, number):
    "Send a signal when a step has been logged (0: when the second checkpoint is there); False where the process was faster"
    reached = (
        (lambda: any(s >= step for s, _ in read_losses(folder, name)))
        if step
        else (lambda: len(list((folder / "runs" / name / "checkpoints").glob("step-*"))) > 1)
    )
    for _ in range(60_000):
        if reached():
            process.send_signal(number)
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    raise TimeoutError


def fingerprint(folder, name):
    "Weights, optimizer at the last step, and every loss"
    record = json.loads((folder / "runs" / name / "run.json").read_text())
    last = max((folder / "runs" / name / "checkpoints").glob("step-*"), key=lambda p: int(p.name[5:]))
    files = json.loads((last / "manifest.json").read_text())["files"]
    return (
        record["status"],
        record["weights"],
        files["optimizer.pt"]["sha256"],
        files["rng_state.pth"]["sha256"],
        read_losses(folder, name),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survival")
    write_csv(folder / "mine.csv", small_rows(90))
    return folder


@pytest.fixture(scope="module")
def reference(folder, tiny):
    "The run that nobody disturbed, for each variant: made once"
    made = {}

    def run(variant="grouped"):
        if variant not in made:
            name = f"whole-{len(made)}"
            process = start_training(folder, tiny, name, *VARIANTS[variant])
            assert process.wait(200) == 0, process.stderr
            made[variant] = fingerprint(folder, name)
        return made[variant]

    return run


@pytest.mark.fault("killed")
@pytest.mark.parametrize(
    "variant, moment",
    [pytest.param(v, m, marks=[] if (v, m) in FAST else pytest.mark.slow) for v in VARIANTS for m in KILLED_AT],
)
def test_killed_run_resumes_identically(folder, tiny, ftkit, reference, variant, moment):
    from ftkit.fine_tuning import Run

    name = f"{variant}-{moment}".replace(" ", "-")
    killed = start_training(folder, tiny, name, *VARIANTS[variant])
    assert signal_at(killed, folder, name, KILLED_AT[moment], signal.SIGKILL)
    assert killed.wait(60) == -signal.SIGKILL
    assert Run.load(name, folder / "runs").status == "failed"
    resumed = ftkit("train", "--resume", name, "--json", cwd=folder)
    assert resumed.returncode == 0, resumed.stderr
    assert fingerprint(folder, name) == reference(variant)


@pytest.mark.fault("stopped")
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_run_resumes_identically(folder, tiny, ftkit, reference, number, code):
    from ftkit.runs.checkpoints import find_newest, parse_step

    name = f"stopped-{code}"
    process = start_training(folder, tiny, name)
    assert signal_at(process, folder, name, 20, number)
    assert process.wait(30) == code
    assert "--resume" in process.stderr
    record = json.loads((folder / "runs" / name / "run.json").read_text())
    assert record["status"] == "stopped" and record["reason"] == {130: "interrupted", 143: "terminated"}[code]
    checkpoint, skipped = find_newest(folder / "runs" / name / "checkpoints")
    assert skipped == [] and parse_step(checkpoint) == read_losses(folder, name)[-1][0] >= 20
    assert ftkit("train", "--resume", name, cwd=folder).returncode == 0
    assert fingerprint(folder, name) == reference()


@pytest.mark.fault("damaged checkpoint")
def test_damaged_checkpoint_is_skipped(folder, tiny, ftkit, reference):
    process = start_training(folder, tiny, "damaged", "--save_total_limit", 5)
    assert signal_at(process, folder, "damaged", 60, signal.SIGKILL)
    process.wait(60)
    checkpoints = sorted((folder / "runs/damaged/checkpoints").glob("step-*"), key=lambda p: int(p.name[5:]))
    assert len(checkpoints) >= 2
    optimizer = checkpoints[-1] / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-100])
    resumed = ftkit("train", "--resume", "damaged", cwd=folder)
    assert (
        resumed.returncode == 0
        and f"{checkpoints[-1].name} was skipped: optimizer.pt has changed since it was written" in resumed.stderr
    )
    assert fingerprint(folder, "damaged") == reference()


@pytest.mark.fault("not finite")
def test_not_finite_gradient_stops_command(folder, tiny, ftkit):
    done = ftkit(
        "train",
        *KEYS,
        "--model_name_or_path",
        tiny,
        "--learning_rate",
        1e30,
        "--max_grad_norm",
        0,
        "--run",
        "nan",
        cwd=folder,
    )
    record = json.loads((folder / "runs/nan/run.json").read_text())
    assert (
        done.returncode == 1
        and done.stderr.strip().splitlines()[-1].startswith("ftkit: step ")
        and "learning rate" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert record["status"] == "failed" and "not finite" in record["reason"]
    assert all(loss not in (0.0, "nan", "NaN") for _, loss in read_losses(folder, "nan"))


def test_finished_run_refuses_resume(folder, tiny, ftkit):
    small = ["--num_train_epochs", 1]
    assert ftkit("train", *KEYS, *small, "--model_name_or_path", tiny, "--run", "done", cwd=folder).returncode == 0
    before = {p: p.read_bytes() for p in (folder / "runs/done").rglob("*") if p.is_file()}
    done = ftkit("train", "--resume", "done", cwd=folder)
    assert done.returncode == 2 and "it is finished: there is nothing to resume" in done.stderr
    done = ftkit("train", "--resume", "done", "--seed", 1, cwd=folder)
    assert done.returncode == 2 and "--resume continues a run with its own settings" in done.stderr
    assert {p: p.read_bytes() for p in (folder / "runs/done").rglob("*") if p.is_file()} == before
