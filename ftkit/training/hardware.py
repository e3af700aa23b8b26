"The machine: device, precision, attention, threads, memory, and a description for the record."

import os
import platform
import re
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch

from ftkit.errors import UserError


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


def check_quantization() -> None:
    "Raise `UserError` where method = qlora cannot run"
    if not torch.cuda.is_available():
        raise UserError(
            "method = qlora: weights of 4 bits need a CUDA GPU, and torch finds none here. "
            "Write method = lora, which runs anywhere."
        )
    if find_spec("bitsandbytes") is None:
        raise UserError(
            "method = qlora: weights of 4 bits need the package bitsandbytes, which is not installed. "
            "Run: pip install 'ftkit[qlora]'. Or write method = lora, which runs anywhere."
        )


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


def count_cores() -> int:
    "Return the processor cores that this process may use"
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def using_threads(
    threads: int,  # of torch
):
    "Use a number of threads, then as many as before"
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def reset_peak_memory() -> None:
    "Start to measure the highest use of memory anew. Where the system does not allow it, it counts from the start"
    if pick_device() == "cuda":
        return torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def read_peak_memory() -> int:
    "Return the highest use of memory since it was reset, in bytes: of the GPU if there is one, else of this process"
    if pick_device() == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    except (OSError, TypeError):
        return psutil.Process().memory_info().rss


def count_usable_memory() -> int:
    "Return the bytes that this process may use in all: of the GPU if there is one, else of the machine or container"
    if pick_device() == "cuda":
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    free = psutil.virtual_memory().available
    folder = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # the limit of a container, if there is one
            free = min(free, int((folder / limit).read_text()) - int((folder / used).read_text()))
    return free + psutil.Process().memory_info().rss
