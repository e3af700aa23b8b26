"""Folders of strangers, what is outside of them, and a run of one's own."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import small_rows, write_csv
from safetensors.torch import load_file, save_file

from ftkit.fine_tuning import fine_tune
from ftkit.settings import Settings
from security.strangers import SECRET, SECRET_WEIGHT, SMALL, TOKENIZER, WEIGHTS, set_keys


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


@pytest.fixture
def folder(tmp_path, tiny):
    "A stranger's model, to be spoilt"
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.fixture(scope="session")
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
