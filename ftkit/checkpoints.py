"""Checkpoints that are whole or absent.

The Trainer writes into a staging folder. When it is done, every file is flushed to the disk, a manifest with the sha256 of each file
is written last, and the folder is renamed to `step-N`. A checkpoint whose manifest does not verify is passed over.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

MANIFEST = "manifest.json"
STAGING = ".staging"
UNKEPT = ("training_args.bin",)  # a pickle that holds tokens in clear; settings.ini says the same


def sha256_file(path: Path) -> str:
    "The fingerprint of a file"
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def flush(path: Path) -> None:
    "Wait until a file or folder is on the disk"
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def shareable(path: Path) -> None:
    "The permissions that the umask gives to any new file: safetensors writes 0600"
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def write_json(path: Path, value: object) -> None:
    "Write a JSON file in one step: a reader sees the old one or the new one, never a part"
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(beside, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1, ensure_ascii=False, allow_nan=False)
        f.write("\n")
        f.flush()
        os.fsync(f.fileno())
    os.replace(beside, path)


def commit(
    written: Path,  # the folder that the Trainer has written
    folder: Path,  # the run's checkpoints folder
    step: int,  # the step it belongs to
) -> Path:
    "Turn a written folder into the checkpoint `step-N`"
    for name in UNKEPT:
        (written / name).unlink(missing_ok=True)
    files = sorted(p for p in written.rglob("*") if p.is_file())
    for file in files:
        shareable(file)
        flush(file)
    entries = {p.relative_to(written).as_posix(): {"bytes": p.stat().st_size, "sha256": sha256_file(p)} for p in files}
    write_json(written / MANIFEST, {"step": step, "files": entries})
    flush(written)
    target = folder / f"step-{step}"
    if target.exists():
        shutil.rmtree(target)
    os.replace(written, target)
    flush(folder)
    return target


def problem(
    checkpoint: Path,  # a folder `step-N`
) -> str | None:
    "What is wrong with a checkpoint, or None when every file is as it was written"
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        entries = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "its manifest is missing or torn"
    for name, sha256 in entries.items():
        file = checkpoint / name
        if not file.is_file():
            return f"{name} is missing"
        if sha256_file(file) != sha256:
            return f"{name} is not as it was written"
    return None


def step_of(checkpoint: Path) -> int:
    "The step in a checkpoint's name, -1 where it is another folder"
    number = checkpoint.name.removeprefix("step-")
    return int(number) if checkpoint.name.startswith("step-") and number.isdecimal() else -1


def newest(
    folder: Path,  # the run's checkpoints folder
) -> tuple[Path | None, list[str]]:
    "The newest checkpoint that verifies, and why newer ones were passed over"
    passed = []
    for checkpoint in sorted((p for p in folder.glob("step-*") if p.is_dir() and step_of(p) >= 0), key=step_of, reverse=True):
        reason = problem(checkpoint)
        if reason is None:
            return checkpoint, passed
        passed.append(f"{checkpoint.name} was passed over: {reason}")
    return None, passed


def prune(
    folder: Path,  # the run's checkpoints folder
    keep: set[int],  # steps to keep
) -> None:
    "Delete the other checkpoints, after the new one is whole"
    for checkpoint in folder.glob("step-*"):
        if step_of(checkpoint) >= 0 and step_of(checkpoint) not in keep:
            shutil.rmtree(checkpoint, ignore_errors=True)
