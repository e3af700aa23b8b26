"Method qlora: refused with its reason where it cannot run; where bitsandbytes is there, tried on the CPU."

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from conftest import small_rows, write_csv
from runs import read_fingerprint, stop_in_second_epoch

from ftkit import model_init
from ftkit.errors import UserError
from ftkit.fine_tuning import Run, fine_tune
from ftkit.model_init import is_adapter, load_model, trainable_share
from ftkit.serving.predict import predict_logits
from ftkit.settings import Settings
from ftkit.tokenizer import load_tokenizer
from ftkit.training import hardware

needs_bitsandbytes = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed: pip install 'ftkit[qlora]'"
)


@pytest.fixture
def settings(tmp_path):
    "Settings of a small run"
    return Settings().replace(
        model_name_or_path="starter",  # bitsandbytes packs no layer narrower than 64
        train_file=str(write_csv(tmp_path / "mine.csv", small_rows())),
        text_column_name="review",
        label_column_name="stars",
        method="qlora",
        learning_rate=1e-3,
        num_train_epochs=2,
        num_resamples=100,
        baselines=["majority"],
        per_device_train_batch_size=8,
    )


@pytest.fixture
def on_cpu(monkeypatch):
    "Try it without a GPU, with the kernels that know gradients: those of AVX-512 do not"
    monkeypatch.setattr(model_init, "check_quantization", lambda: None)
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)


@pytest.mark.parametrize("cuda, missing", [(False, "need a CUDA GPU"), (True, "need the package bitsandbytes")])
def test_refused_with_the_reason(settings, tmp_path, monkeypatch, cuda, missing):
    monkeypatch.setattr(hardware.torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(hardware, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"method = qlora: .*{missing}.*method = lora"):
        load_model(
            settings.model_name_or_path, ["a", "b"], load_tokenizer(settings.model_name_or_path), method="qlora"
        )
    if not cuda:
        with pytest.raises(UserError, match=missing):
            fine_tune(settings, runs_dir=tmp_path / "runs", name="x")
        assert not (tmp_path / "runs").exists()


@needs_bitsandbytes
def test_trains_saves_and_resumes_in_four_bits(settings, tmp_path, monkeypatch, on_cpu):
    run = fine_tune(settings, runs_dir=tmp_path, name="reference")
    weights = run.record["weights"]
    assert run.status == "finished" and weights["first_sha256"] != weights["final_sha256"]
    assert [f for f in run.record["preflight"] if f["level"] != "ok" and f["name"] != "updates"] == []
    adapter = run.path / "model/adapter"
    assert sorted(p.name for p in adapter.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert "quantized to 4 bits" in (run.path / "model/README.md").read_text()
    model, tokenizer = run.open_model()
    assert model.is_loaded_in_4bit and is_adapter(model)
    rows = run.predictions.query("split == 'test'")
    again = predict_logits(model, tokenizer, list(rows["text"]), run.settings.max_seq_length)
    assert np.abs(again - np.stack(rows["logits"])).max() < 1e-3  # the CPU packs its weights anew
    check_resume(settings, tmp_path, monkeypatch, read_fingerprint(run))


def check_resume(settings, tmp_path, monkeypatch, reference):
    "Stop a run in its second epoch, resume it, and compare it with one that was not stopped"
    stop_in_second_epoch(monkeypatch, lambda: fine_tune(settings, runs_dir=tmp_path, name="x"))
    assert read_fingerprint(Run.load("x", tmp_path).resume()) == reference


@needs_bitsandbytes
def test_counts_weights_not_bytes(settings, on_cpu):
    tokenizer, labels = load_tokenizer(settings.model_name_or_path), ["a", "b"]
    whole, packed = (
        load_model(settings.model_name_or_path, labels, tokenizer, method=method) for method in ("lora", "qlora")
    )
    assert trainable_share(whole) == trainable_share(packed)
    assert any(p.dtype == torch.uint8 for p in packed.parameters())
