"Checkpoints: which are kept, and how a damaged one is found."

import os

from conftest import assemble, quick_settings, small_dataset

from ftkit.data import load_data
from ftkit.files.atomic import count_bytes
from ftkit.fine_tuning import fine_tune
from ftkit.model_init import load_model
from ftkit.runs.checkpoints import find_newest, find_problem
from ftkit.runs.session import create_run
from ftkit.tokenizer import load_tokenizer, tokenize
from ftkit.trainer import train


def test_save_total_limit_keeps_checkpoints(tiny, tmp_path):
    run, two = (
        fine_tune(quick_settings(tiny, **keys), small_dataset(), tmp_path, name)
        for name, keys in (("x", {}), ("two", {"save_total_limit": 2}))
    )
    assert not (run.path / "checkpoints").exists() and run.open_model()
    assert sorted(p.name for p in (two.path / "checkpoints").iterdir()) == ["step-18", "step-9"]
    assert run.record["weights"] == two.record["weights"]
    assert 2 * count_bytes(run.path) < count_bytes(two.path)


def test_run_without_model_keeps_checkpoints(tiny, tmp_path):
    settings = quick_settings(tiny)
    data, report = load_data(small_dataset())
    tokenizer = load_tokenizer(tiny)
    tokens = tokenize(data, tokenizer)
    model = load_model(tiny, labels=report["labels"], tokenizer=tokenizer)
    with create_run(settings, tmp_path, "x") as run:
        train(assemble(model, tokens, tokenizer, settings, run), run)
    assert run.status == "finished" and find_newest(run.path / "checkpoints")[0].name == "step-18"


def test_damaged_checkpoint_is_found(tiny, tmp_path):
    run = fine_tune(quick_settings(tiny, save_total_limit=2), small_dataset(), tmp_path, "x")
    folder = run.path / "checkpoints"
    checkpoint, passed = find_newest(folder)
    assert passed == [] and find_problem(checkpoint) is None and not (folder / ".staging").exists()
    weights = checkpoint / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert find_problem(checkpoint) == "model.safetensors has changed since it was written"
    assert find_newest(folder)[0] != checkpoint
    assert (run.path / "model/model.safetensors").stat().st_mode & 0o044 == 0o044 & ~os.umask(os.umask(0))
