"""Run folders from strangers: no code in them is run, nothing outside of them is read or written."""

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from processes import Command
from runs import read_files
from safetensors.torch import load_file, save_file

from ftkit.fine_tuning import Run
from ftkit.runs.checkpoints import find_newest
from security.strangers import (
    AUTO,
    CONFIG,
    DOES,
    INDEX,
    SECRET_WEIGHT,
    TOKENIZER_CONFIG,
    WEIGHTS,
    Payload,
    find_checkpoint,
    find_leaks,
    get_message,
    is_one_line,
    make_bert_with,
    plant_adapter,
    plant_bin,
    plant_code,
    replace_by_link,
    resume_run,
    seal_manifest,
    set_keys,
    sign_manifest,
    zip_payload,
)

pytestmark = pytest.mark.fault("hostile files")
slow = pytest.mark.slow

CHECKPOINT_CODE = {
    **{
        f"{name} as a {kind}": lambda h, c, n=name, raw=kind == "bare pickle": (h / n).write_bytes(
            pickle.dumps(Payload(c)) if raw else zip_payload(c).getvalue()
        )
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "scaler.pt")
        for kind in ("zip", "bare pickle")
    },
    "pytorch_model.bin": plant_bin,
    "adapter_model.bin": lambda h, c: plant_bin(h, c, "adapter_model.bin"),
    "index that names a pickle": lambda h, c: (
        plant_bin(h, c, "shard.bin")
        or (h / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"score.weight": "shard.bin"}}))
    ),
}


QUICK = ("optimizer.pt as a zip", "rng_state.pth as a zip", "training_args.bin as a zip", "pytorch_model.bin")


@pytest.mark.parametrize(
    "plant", [pytest.param(p, id=n, marks=() if n in QUICK else slow) for n, p in CHECKPOINT_CODE.items()]
)
def test_checkpoint_code_is_not_run(foreign_stopped, canary, plant):
    plant(find_checkpoint(foreign_stopped), canary)
    sign_manifest(foreign_stopped)
    message = get_message(lambda: resume_run(foreign_stopped))
    assert not canary.exists() and (message is None or "step-" in message)


@pytest.mark.parametrize(
    "key, value",
    [
        ("best_global_step", "../../../../outside"),
        *(
            pytest.param(*pair, marks=slow)
            for pair in (("best_model_checkpoint", "outside"), ("global_step", "4"), ("log_history", 7))
        ),
    ],
)
def test_hostile_trainer_state_is_contained(foreign_stopped, outside, key, value):
    set_keys(
        find_checkpoint(foreign_stopped) / "trainer_state.json", **{key: str(outside) if value == "outside" else value}
    )
    sign_manifest(foreign_stopped)
    before = read_files(outside)
    get_message(lambda: resume_run(foreign_stopped))
    assert read_files(outside) == before and find_leaks(foreign_stopped) == []


@pytest.mark.parametrize("shard", [f"../../../../outside/{WEIGHTS}", pytest.param("outside", marks=slow)])
def test_checkpoint_loads_no_outside_weights(foreign_stopped, outside, shard):
    here = find_checkpoint(foreign_stopped)
    theirs = load_file(here / WEIGHTS)
    save_file(
        {name: torch.full_like(w, SECRET_WEIGHT) for name, w in theirs.items()}, outside / WEIGHTS, {"format": "pt"}
    )
    (here / WEIGHTS).unlink()
    (here / INDEX).write_text(
        json.dumps(
            {
                "metadata": {},
                "weight_map": dict.fromkeys(theirs, str(outside / WEIGHTS) if shard == "outside" else shard),
            }
        )
    )
    sign_manifest(foreign_stopped)
    get_message(lambda: resume_run(foreign_stopped))
    assert find_leaks(foreign_stopped) == []


MANIFESTS = {
    "a path that leads outside": lambda o: {
        "files": {
            "../../../../outside/secret.txt": {"sha256": hashlib.sha256((o / "secret.txt").read_bytes()).hexdigest()}
        }
    },
    "an absolute path": lambda o: {
        "files": {str(o / "secret.txt"): {"sha256": hashlib.sha256((o / "secret.txt").read_bytes()).hexdigest()}}
    },
    "a best checkpoint outside": lambda o: {"best": "1/../../../../outside/step-1"},
    "a best checkpoint to come": lambda o: {"best": 10**9},
    "no files": lambda o: {"files": []},
}


@pytest.mark.parametrize("make", MANIFESTS.values(), ids=MANIFESTS)
def test_manifest_names_nothing_outside(foreign_stopped, outside, make):
    sign_manifest(foreign_stopped)
    manifest = json.loads((find_checkpoint(foreign_stopped) / "manifest.json").read_text())
    changed = make(outside)
    files_of = (
        {**manifest["files"], **changed["files"]}
        if isinstance(changed.get("files"), dict)
        else changed.get("files", manifest["files"])
    )
    seal_manifest(find_checkpoint(foreign_stopped) / "manifest.json", **{**changed, "files": files_of})
    found, skipped = find_newest(foreign_stopped / "checkpoints")
    assert found is None and len(skipped) == 1


def test_circular_manifests_end(foreign_run):
    a, b = sorted((foreign_run / "checkpoints").glob("step-*"))[:2]
    for one, other in ((a, b), (b, a)):
        seal_manifest(one / "manifest.json", best=int(other.name[5:]))
    assert len(find_newest(foreign_run / "checkpoints")[1]) >= 1


RUN_MODEL = {
    "weights as a pickle": lambda r, c: plant_bin(r / "model", c),
    "adapter as a pickle": lambda r, c: plant_adapter(r / "model", c),
    "code for a known model": lambda r, c: plant_code(r / "model", c, CONFIG, auto_map=AUTO),
    "code for an unknown model": lambda r, c: plant_code(r / "model", c, CONFIG, auto_map=AUTO, model_type="mine"),
    "code for the tokenizer": lambda r, c: plant_code(
        r / "model", c, TOKENIZER_CONFIG, auto_map=["payload.Any", "payload.Any"], tokenizer_class="Mine"
    ),
}


@pytest.mark.parametrize("do", ["predict", "evaluate"])
@pytest.mark.parametrize("plant", RUN_MODEL.values(), ids=RUN_MODEL)
def test_foreign_model_code_is_inert(foreign_run, canary, plant, do):
    plant(foreign_run, canary)
    message = get_message(lambda: DOES[do](foreign_run))
    assert not canary.exists() and (message is None or "model" in message)


@pytest.mark.parametrize("keys", [{"vocab": "secret.txt"}, {"init_inputs": ["secret.txt"]}], ids=str)
def test_tokenizer_reads_nothing_outside(foreign_run, outside, keys):
    path = str(outside / "secret.txt")
    make_bert_with(
        foreign_run / "model", **{key: [path] if isinstance(value, list) else path for key, value in keys.items()}
    )
    assert "outside of the model's folder" in get_message(lambda: DOES["predict"](foreign_run))


@pytest.mark.parametrize(
    "words",
    [["predict", "{run}", "a text"], ["evaluate", "{run}"], ["train", "--resume", "{run}"]],
    ids=lambda w: w[0],
)
def test_command_refuses_in_one_line(foreign_stopped, own_run, canary, words):
    (find_checkpoint(foreign_stopped) / "optimizer.pt").write_bytes(zip_payload(canary).getvalue())
    sign_manifest(foreign_stopped)
    if words[0] != "train":
        plant_bin(Path(shutil.copytree(own_run.path / "model", foreign_stopped / "model")), canary)
    done = Command(*(w.format(run=foreign_stopped) for w in words), cwd=foreign_stopped).result()
    complaints = [line for line in done.stderr.splitlines() if line.startswith("ftkit: ")]
    assert (
        done.returncode == 2 and len(complaints) == 1 and is_one_line(complaints[0]) and "Traceback" not in done.stderr
    )
    assert not canary.exists()


SETTINGS = {
    "trust_remote_code under model": ("[model]", "trust_remote_code = true"),
    "trust_remote_code under trainer": ("[trainer]", "trust_remote_code = true"),
    "output_dir": ("[trainer]", "output_dir = {outside}"),
    "overwrite_output_dir": ("[trainer]", "overwrite_output_dir = true"),
    "logging_dir": ("[trainer]", "logging_dir = {outside}"),
    "resume_from_checkpoint": ("[trainer]", "resume_from_checkpoint = {outside}"),
    "push_to_hub": ("[trainer]", "push_to_hub = true"),
    "hub_token": ("[trainer]", "hub_token = x"),
    "accelerator_config": ("[trainer]", "accelerator_config = {outside}/secret.txt"),
    "deepspeed": ("[trainer]", "deepspeed = {outside}/secret.json"),
    "compiler": ("[trainer]", "torch_compile_backend = payload"),
    "another model with code": ("model_name_or_path", "model_name_or_path = {folder}"),
    "a run name with a path": ("[trainer]", "run_name = ../../outside"),
    "interpolation": ("[trainer]", "seed = %(path)s ${{HOME}} {{0.__class__}}"),
}


@pytest.mark.parametrize("do", ["predict", "resume"])
@pytest.mark.parametrize("after, line", [pytest.param(*v, id=k) for k, v in SETTINGS.items()])
def test_hostile_settings_run_nothing(foreign_stopped, own_run, folder, canary, outside, after, line, do):
    if do == "predict":
        shutil.copytree(own_run.path / "model", foreign_stopped / "model")
    plant_code(folder, canary, CONFIG, auto_map=AUTO, model_type="mine")
    old = (foreign_stopped / "settings.ini").read_text().splitlines()
    line = line.format(outside=outside, folder=folder)
    (foreign_stopped / "settings.ini").write_text(
        "\n".join(line if row.startswith(after + " =") else f"{row}\n{line}" if row == after else row for row in old)
    )
    before = read_files(outside)
    get_message(lambda: DOES[do](foreign_stopped))
    assert not canary.exists() and read_files(outside) == before


RECORDS = {
    "a list": "[]",
    "nothing": "{}",
    "null": "null",
    "a text": '"finished"',
    "endlessly nested": "[" * 100_000,
    "a huge number": '{"status": ' + "9" * 5000 + "}",
    "bytes": "\udcff",
    "status alone": '{"status": "stopped"}',
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_hostile_record_raises_one_line(foreign_run, record):
    (foreign_run / "run.json").write_text(record, errors="surrogateescape")
    for do in DOES.values():
        get_message(lambda: do(foreign_run))


FOLDERS, TEMPORARY = (
    ("checkpoints", "model", ".model.tmp", "checkpoints/.staging"),
    (".log.tmp", ".report.tmp", ".predictions.tmp", ".settings.tmp"),
)


RECORDED = ("log.jsonl", "run.json", "settings.ini", "predictions.parquet", "report.html", ".lock")


@pytest.mark.parametrize("name", FOLDERS + TEMPORARY + RECORDED)
def test_linked_file_is_not_followed(foreign_stopped, outside, name):
    target = outside if name in FOLDERS else outside / Path(name).name
    if name in RECORDED:
        shutil.copy(foreign_stopped / name, target)
    elif name in TEMPORARY:
        target.write_text("years of work")
    replace_by_link(foreign_stopped / name, target)
    before = read_files(outside)
    get_message(lambda: resume_run(foreign_stopped))
    get_message(lambda: Run.load(foreign_stopped).report())
    assert read_files(outside) == before


def test_linked_checkpoint_is_not_resumed(foreign_stopped, outside):
    here = find_checkpoint(foreign_stopped)
    shutil.move(here, outside / here.name)
    here.symlink_to(outside / here.name)
    before = read_files(outside)
    get_message(lambda: resume_run(foreign_stopped))
    assert read_files(outside) == before


@pytest.mark.parametrize("do", ["predict", "resume", "report", "list"])
def test_linked_run_is_not_written(foreign_run, outside, do):
    shutil.move(foreign_run, outside / "run")
    foreign_run.symlink_to(outside / "run")
    set_keys(outside / "run" / "run.json", status="running")
    (outside / "run" / ".lock").unlink(missing_ok=True)
    before = read_files(outside)
    get_message(lambda: DOES[do](foreign_run))
    assert read_files(outside) == before
