"""Model folders from strangers: no code in them is run, nothing outside of them is read or written."""

import os
import pickle
import shutil
import struct

import pytest
import torch
from conftest import small_rows, write_csv
from runs import read_files

from ftkit.fine_tuning import fine_tune
from ftkit.model_init import load_model
from ftkit.objective import FrozenModel
from ftkit.runs.folder import RunFolder
from ftkit.settings import Settings
from ftkit.tokenizer import load_tokenizer
from security.strangers import (
    AUTO,
    BIN,
    CONFIG,
    INDEX,
    SMALL,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    Payload,
    find_leaks,
    get_message,
    make_bert,
    make_bert_with,
    plant_adapter,
    plant_bin,
    plant_code,
    plant_index,
    plant_megatron,
    plant_named_weights,
    plant_pickles,
    plant_template,
    replace_by_link,
    set_keys,
    write_code,
    zip_payload,
)

pytestmark = pytest.mark.fault("hostile files")
slow = pytest.mark.slow


def test_payloads_really_run(canary):
    for run in (
        lambda: pickle.loads(pickle.dumps(Payload(canary))),
        lambda: exec(write_code(canary)),
        lambda: torch.load(zip_payload(canary), weights_only=False),
    ):
        run()
        assert canary.exists()
        canary.unlink()


MODEL_CODE = {
    "weights as a pickle in a zip": plant_bin,
    "weights as a bare pickle": lambda f, c: plant_bin(f, c, raw=True),
    "pickles next to the safetensors": lambda f, c: plant_pickles(
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


MODEL_SECRETS = {
    "index that leads outside": lambda f, o: plant_index(f, f.parent / "canary", f"../outside/{WEIGHTS}"),
    "index with an absolute path": lambda f, o: plant_index(f, f.parent / "canary", str(o / WEIGHTS)),
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


def load_everything(folder, kept=None):
    "Everything that training does with a base model's files: read, ask, save"
    tokenizer = load_tokenizer(str(folder))
    model = load_model(str(folder), ["bad", "good"], tokenizer)
    FrozenModel(str(folder)).features(["x"])
    if kept:
        kept.mkdir()
        RunFolder(kept).save_model(model, tokenizer)


@pytest.mark.parametrize("plant", MODEL_CODE.values(), ids=MODEL_CODE)
def test_model_code_is_not_run(folder, canary, outside, tmp_path, monkeypatch, plant):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    plant(folder, canary)
    message = get_message(lambda: load_everything(folder))
    assert not canary.exists() and (message is None or "model" in message)


@pytest.mark.parametrize("plant", MODEL_SECRETS.values(), ids=MODEL_SECRETS)
def test_model_touches_nothing_outside(folder, outside, tmp_path, plant):
    plant(folder, outside)
    before = read_files(outside)
    get_message(lambda: load_everything(folder, tmp_path / "kept"))
    assert find_leaks(tmp_path / "kept") == [] and read_files(outside) == before


@pytest.mark.parametrize("plant", MODEL_JUNK.values(), ids=MODEL_JUNK)
def test_broken_model_raises_one_line(folder, plant):
    plant(folder)
    assert "model" in get_message(lambda: load_everything(folder))


def test_run_folder_leaks_no_secret(folder, outside, tmp_path):
    replace_by_link(folder / "chat_template.jinja", outside / "secret.txt")
    rows = write_csv(tmp_path / "mine.csv", small_rows(60))
    get_message(
        lambda: fine_tune(
            Settings(model_name_or_path=str(folder), train_file=str(rows), **SMALL), runs_dir=tmp_path / "runs"
        )
    )
    assert find_leaks(tmp_path / "runs") == []


def test_hub_cache_links_are_followed(tmp_path, tiny):
    blobs, snapshot = [tmp_path / "models--stranger--model" / name for name in ("blobs", "snapshots/abc")]
    shutil.copytree(tiny, blobs)
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    assert get_message(lambda: load_everything(snapshot)) is None
