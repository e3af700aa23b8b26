"Predict: the same logits in any batch; smaller batches if memory runs out."

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import BAD, FLAT, GOOD

from ftkit.errors import RunFailed, is_out_of_memory
from ftkit.model_init import load_model
from ftkit.serving.predict import predict_logits, predict_rows
from ftkit.tokenizer import load_tokenizer

LABELS = ["bad", "flat", "good"]


@pytest.fixture(scope="module")
def classifier(tiny):
    tokenizer = load_tokenizer(tiny)
    return load_model(tiny, LABELS, tokenizer).eval(), tokenizer


@pytest.fixture
def small_memory(classifier, monkeypatch):
    "Batches above a limit do not fit: `small_memory(limit, error)` gives the list of batch sizes that were tried"

    def limit_to(limit, error):
        forward, tried = classifier[0].forward, []

        def limited(input_ids, **kwargs):
            tried.append(len(input_ids))
            if len(input_ids) > limit:
                raise error
            return forward(input_ids=input_ids, **kwargs)

        monkeypatch.setattr(classifier[0], "forward", limited)
        return tried

    return limit_to


TEXTS = [f"{text}, {'and so on ' * (i % 12)}{i}" for i in range(70) for text in (GOOD, BAD)]
NO_MEMORY = {
    "CUDA": torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 14.74 GiB"
    ),
    "CUDA driver": RuntimeError(
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call"
    ),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "MPS": RuntimeError(
        "MPS backend out of memory (MPS allocated: 9.06 GiB, other allocations: 3.16 MiB, max allowed: 9.07 GiB)."
    ),
    "Linux": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B."
    ),
    "Windows": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:116] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 B."
    ),
    "Python": MemoryError(),
}


@pytest.mark.fault("out of memory")
@pytest.mark.parametrize("error", NO_MEMORY)
def test_predict_halves_the_batch(classifier, small_memory, capsys, error):
    model, tokenizer = classifier
    wanted, done = predict_logits(model, tokenizer, TEXTS), []
    tried = small_memory(20, NO_MEMORY[error])
    logits = predict_logits(model, tokenizer, TEXTS, progress=done.append)
    assert np.abs(logits - wanted).max() < 1e-5 and sum(done) == len(TEXTS)
    assert tried == [64, 32] + [16] * 8 + [12]
    assert capsys.readouterr().err.splitlines() == [
        "out of memory: continuing with batches of 32",
        "out of memory: continuing with batches of 16",
    ]


@pytest.mark.fault("out of memory")
def test_finished_rows_are_kept(classifier, monkeypatch):
    model, tokenizer = classifier
    wanted, forward, seen = predict_logits(model, tokenizer, TEXTS), model.forward, []

    def limited(input_ids, **kwargs):
        if input_ids.numel() > 500:  # the longest rows come last
            raise torch.OutOfMemoryError("CUDA out of memory.")
        seen.append(len(input_ids))
        return forward(input_ids=input_ids, **kwargs)

    monkeypatch.setattr(model, "forward", limited)
    assert np.abs(predict_logits(model, tokenizer, TEXTS, batch_size=32) - wanted).max() < 1e-5
    assert sum(seen) == len(TEXTS) and len(set(seen)) > 2


@pytest.mark.fault("out of memory")
def test_single_text_without_memory_fails(classifier, small_memory):
    model, tokenizer = classifier
    model.train()
    tried = small_memory(0, NO_MEMORY["CUDA"])
    with pytest.raises(
        RunFailed,
        match="^out of memory with one text at a time: write a max_seq_length below 128, or free memory on cpu.$",
    ):
        predict_rows(model, tokenizer, TEXTS)
    assert tried == [64, 32, 16, 8, 4, 2, 1] and model.training
    model.eval()


@pytest.mark.fault("out of memory")
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA error: device-side assert triggered"),
        ValueError("out of memory"),
    ],
    ids=str,
)
def test_other_errors_are_raised(classifier, small_memory, error):
    tried = small_memory(0, error)
    with pytest.raises(type(error), match=str(error)):
        predict_logits(*classifier, TEXTS)
    assert tried == [64] and not is_out_of_memory(error)


@pytest.mark.slow
@pytest.mark.fault("out of memory")
def test_real_memory_limit_is_survived(tiny):
    code = """
import resource, sys
import numpy as np
from ftkit.model_init import load_model
from ftkit.serving.predict import predict_logits
from ftkit.tokenizer import load_tokenizer
tokenizer = load_tokenizer(sys.argv[1])
model = load_model(sys.argv[1], ["a", "b"], tokenizer)
texts = ["word " * 1100 + str(i) for i in range(20)]
wanted = predict_logits(model, tokenizer, texts, 1000, batch_size=2)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 150_000_000, -1))
print(np.abs(predict_logits(model, tokenizer, texts, 1000) - wanted).max() < 1e-5)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tiny], env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
    )
    assert done.stdout == "True\n", done.stderr
    assert "out of memory: continuing with batches of 10" in done.stderr


MIXED_TEXTS = [
    GOOD,
    "no",
    BAD + ", and then it rained for the rest of the day while we waited",
    FLAT,
    "🙂",
    "a b c",
    "ends with <|endoftext|>",
]


def test_logits_ignore_the_batch(classifier):
    model, tokenizer = classifier
    alone = np.concatenate([predict_logits(model, tokenizer, [t]) for t in MIXED_TEXTS])
    order = np.random.default_rng(0).permutation(len(MIXED_TEXTS))
    shuffled = predict_logits(model, tokenizer, [MIXED_TEXTS[i] for i in order], batch_size=3)
    assert np.abs(predict_logits(model, tokenizer, MIXED_TEXTS) - alone).max() < 1e-5
    assert np.abs(shuffled - alone[order]).max() < 1e-5
    assert alone.dtype == np.float32 and np.abs(alone[0] - alone[2]).max() > 1e-4


def test_unusable_texts_keep_their_place(classifier):
    rows = predict_rows(*classifier, [GOOD, "", None, 7, "\ud83d", "\n\t", BAD])
    assert ["error" in r for r in rows] == [False, True, True, True, True, True, False]
