"""What a stranger plants in files and folders, and the message that the user gets.

Each payload makes a file, the canary, when it is run. Each secret is a file outside of the stranger's folder, whose
content must turn up nowhere.
"""

import hashlib
import io
import json
import pickle
import shutil
import struct
import unicodedata
from pathlib import Path

import torch
from conftest import small_rows, write_csv
from safetensors.torch import load_file, save_file

from ftkit.cli.main import main
from ftkit.errors import RunFailed, UserError
from ftkit.files.atomic import sha256_json
from ftkit.fine_tuning import Run

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
    "Return whether it is a message on one line that no terminal obeys"
    return bool(text.strip()) and not [
        c for c in text.strip() if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]


def get_message(call) -> str | None:
    "Return the one line that the user gets, None if nothing was wrong; any other error is a fault"
    try:
        call()
    except (UserError, RunFailed) as e:
        assert is_one_line(str(e)), repr(str(e))
        return str(e)


def zip_payload(canary) -> io.BytesIO:
    "A payload as `torch.save` writes it"
    file = io.BytesIO()
    torch.save({"weight": Payload(canary)}, file)
    return io.BytesIO(file.getvalue())


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


def make_bert(folder):
    "A tokenizer whose vocabulary is a plain list"
    (folder / TOKENIZER).unlink()
    set_keys(folder / TOKENIZER_CONFIG, tokenizer_class="BertTokenizer", unk_token="line", pad_token="line")


def make_bert_with(folder, **keys):
    make_bert(folder)
    set_keys(folder / TOKENIZER_CONFIG, **keys)


def find_leaks(folder) -> list[str]:
    "Files that hold a secret"
    weight = struct.pack("<4f", *[SECRET_WEIGHT] * 4)
    return [
        str(p)
        for p in folder.rglob("*")
        if p.is_file() and not p.is_symlink() and (SECRET in p.read_bytes().lower() or weight in p.read_bytes())
    ]


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


DOES = {
    "predict": lambda run: Run.load(run).predict(["x"]),
    "evaluate": lambda run: Run.load(run).evaluate(),
    "evaluate a file": lambda run: Run.load(run).evaluate(write_csv(run.parents[1] / "mine.csv", small_rows(12))),
    "status": lambda run: Run.load(run).status,
    "report": lambda run: Run.load(run).report(),
    "resume": resume_run,
    "list": lambda run: main(["runs", "--runs_dir", str(run.parent)]),
}


def run_command(capsys, *words) -> tuple[int, str]:
    "Run a command in this process: its exit code and stderr"
    capsys.readouterr()
    code = main([str(w) for w in words])
    return code, capsys.readouterr().err
