"What this machine offers: device, precision, names for the record."

import platform
from functools import cache
from pathlib import Path

import torch

NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
    "cudnn_status_not_supported",
)


def device_name() -> str:
    "cuda, mps or cpu: what the Trainer will use"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@cache
def precision() -> str:
    "bf16 where the hardware really has it, else fp16 on CUDA, else float32. Master weights are float32 in every case"
    kind = device_name()
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if kind == "cpu" and cpu_flags() & {"avx512_bf16", "amx_bf16"} else "float32"


@cache
def cpu_flags() -> frozenset[str]:
    "The processor's features as Linux lists them; empty elsewhere"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), []))


def attention() -> str | None:
    "Eager on CPUs, where PyTorch's fused attention is slower for short texts (bench/step_cost.py); elsewhere what the model chooses"
    return "eager" if device_name() == "cpu" else None


def out_of_memory(
    error: BaseException,  # what a step of the model raised
) -> bool:
    "Whether a smaller batch may help: CUDA, MPS or the machine's own memory was used up. More than accelerate's `should_reduce_batch_size` sees"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in NO_MEMORY)


def describe() -> dict:
    "The machine, for the run's record"
    kind = device_name()
    name = torch.cuda.get_device_name() if kind == "cuda" else platform.processor() or platform.machine()
    return {
        "device": kind,
        "device_name": name,
        "precision": precision(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
    }
