"The machine: device, precision, attention, and a description for the record."

import platform
from functools import cache
from pathlib import Path

import torch


def pick_device() -> str:
    "Return cuda, mps or cpu, as the Trainer will choose"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@cache
def pick_precision() -> str:
    "Return bf16 if the hardware supports it, else fp16 on CUDA, else float32. Master weights are always float32"
    kind = pick_device()
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if kind == "cpu" and read_cpu_flags() & {"avx512_bf16", "amx_bf16"} else "float32"


@cache
def read_cpu_flags() -> frozenset[str]:
    "Return the processor's features as Linux lists them. Empty on other systems"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), []))


def pick_attention() -> str | None:
    """Return eager on CPUs, else None: the model's default.

    On CPUs PyTorch's fused attention is slower for short texts (bench/step_cost.py).
    """
    return "eager" if pick_device() == "cpu" else None


def describe_machine() -> dict:
    "Return the machine for the run's record"
    kind = pick_device()
    name = torch.cuda.get_device_name() if kind == "cuda" else platform.processor() or platform.machine()
    return {
        "device": kind,
        "device_name": name,
        "precision": pick_precision(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
    }
