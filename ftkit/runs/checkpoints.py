"""Checkpoints that are complete or absent.

The Trainer writes into a staging folder. When it is done, every file is flushed to the disk, a manifest with the
sha256 of each file is written last, and the folder is renamed to `step-N`. A checkpoint that does not match its
manifest is skipped.
"""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ftkit.errors import RunFailed
from ftkit.files.atomic import apply_umask, discard, format_bytes, fsync, sha256_file, sha256_json, write_json
from ftkit.files.safety import find_foreign_shard

MANIFEST = "manifest.json"
STAGING = ".staging"
UNKEPT = ("training_args.bin",)  # a pickle that holds tokens in clear text; settings.ini has the same arguments


def commit(
    written: Path,  # the folder that the Trainer has written
    folder: Path,  # the run's checkpoints folder
    step: int,  # the step it belongs to
    best: int | None = None,  # the step of the best checkpoint so far, which is read at the end of the training
    run: str | None = None,  # the run's id
) -> Path:
    "Turn a written folder into the checkpoint `step-N`"
    for name in UNKEPT:
        (written / name).unlink(missing_ok=True)
    files = sorted(p for p in written.rglob("*") if p.is_file())
    for file in files:
        apply_umask(file)
    with ThreadPoolExecutor(2 * len(files) or 1) as pool:  # each is hashed while others are flushed
        fingerprints, on_disk = pool.map(sha256_file, files), pool.map(fsync, files)
        list(on_disk)  # raises what `fsync` raised
    entries = {
        p.relative_to(written).as_posix(): {"bytes": p.stat().st_size, "sha256": sha256}
        for p, sha256 in zip(files, fingerprints)
    }
    content = {"run": run, "step": step, "best": best, "files": entries}
    write_json(written / MANIFEST, {**content, "sha256": sha256_json(content)})
    fsync(written)
    target = folder / f"step-{step}"
    discard(target)
    os.replace(written, target)
    fsync(folder)
    return target


def find_problem(
    checkpoint: Path,  # a folder `step-N`
) -> str | None:
    "Return what is wrong with a checkpoint, or None if every file is as the training wrote it"
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        step, best, seal = manifest["step"], manifest["best"], manifest.pop("sha256")
        entries = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "its manifest is missing or torn"
    if sha256_json(manifest) != seal:
        return f"{MANIFEST} has changed since it was written"
    if checkpoint.is_symlink():
        return "it is a link"
    if step != parse_step(checkpoint):
        return f"it is a copy of step-{step}"
    found = {p.relative_to(checkpoint).as_posix() for p in checkpoint.rglob("*") if p.is_symlink() or not p.is_dir()}
    for name in entries:
        if name not in found or (checkpoint / name).is_symlink():
            return f"{name} is missing"
    with ThreadPoolExecutor() as pool:
        fingerprints = list(pool.map(sha256_file, (checkpoint / name for name in entries)))
    for (name, sha256), now in zip(entries.items(), fingerprints):
        if now != sha256:
            return f"{name} has changed since it was written"
    if extra := sorted(found - {*entries, MANIFEST}):
        return f"{extra[0]} was not written by the training"
    for index in checkpoint.glob("*.index.json"):
        if shard := find_foreign_shard(index):
            return f"{index.name} names {shard!r}, which is not a safetensors file next to it"
    if "trainer_state.json" in entries and not is_trainer_state(checkpoint / "trainer_state.json", step):
        return "its trainer_state.json is not the Trainer's"
    if best not in (None, step):
        if not isinstance(best, int) or best > step:
            return "its manifest is missing or torn"
        reason = find_problem(checkpoint.with_name(f"step-{best}"))
        return reason and f"of step-{best}, the best so far, {reason}"
    return None


def is_trainer_state(
    file: Path,  # trainer_state.json
    step: int,  # of its checkpoint
) -> bool:
    "Return whether a file holds what the Trainer and its callbacks read without a check"
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        kinds = {"log_history": list, "stateful_callbacks": dict, "best_global_step": int | None}
        return state["global_step"] == step and all(isinstance(state[key], kind) for key, kind in kinds.items())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def parse_step(checkpoint: Path) -> int:
    "Return the step in a checkpoint's name, or -1 if it is another folder"
    number = checkpoint.name.removeprefix("step-")
    return int(number) if checkpoint.name.startswith("step-") and number.isdecimal() else -1


def read_manifest(checkpoint: Path) -> dict:
    "Return the manifest of a checkpoint, or an empty one if it cannot be read"
    try:
        return dict(json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def find_newest(
    folder: Path,  # the run's checkpoints folder
    run: str | None = None,  # the run's id: checkpoints of other runs are skipped; default: any
) -> tuple[Path | None, list[str]]:
    "Return the newest valid checkpoint, or None, and one line for each newer one that was skipped"
    skipped = []
    for checkpoint in sorted(
        (p for p in folder.glob("step-*") if p.is_dir() and parse_step(p) >= 0), key=parse_step, reverse=True
    ):
        reason = find_problem(checkpoint)
        if reason is None and run and read_manifest(checkpoint).get("run") != run:
            reason = "it belongs to another run"
        if reason is None:
            return checkpoint, skipped
        skipped.append(f"{checkpoint.name} was skipped: {reason}")
    return None, skipped


def estimate_bytes(
    model,  # the model that is to be trained, wrapped by peft or not
) -> int:
    "Estimate the size of one checkpoint: the weights that are saved and AdamW's two moments, in float32"
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    saved = trained if hasattr(model, "peft_config") else sum(p.numel() for p in model.parameters())
    return 4 * saved + 8 * trained + 100_000


def check_free_space(
    folder: Path,  # the run's checkpoints folder
    needed: int,  # bytes
    what: str,  # what needs them, for the message
) -> None:
    "Raise `RunFailed` if the disk has less free space than needed"
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunFailed(
            f"{what} needs {format_bytes(needed)}, and {folder} has {format_bytes(free)} free. "
            "Free some space, or give --runs_dir on another disk."
        )


def prune(
    folder: Path,  # the run's checkpoints folder
    keep: set[int],  # steps to keep
) -> None:
    """Delete the other checkpoints once the new one is complete.

    The one that a kept checkpoint names as the best so far is kept too. Later ones, which a resumed run skipped,
    are left alone.
    """
    last = max(keep)
    keep = keep | {read_manifest(folder / f"step-{step}").get("best") for step in keep}
    for checkpoint in folder.glob("step-*"):
        if 0 <= parse_step(checkpoint) < last and parse_step(checkpoint) not in keep:
            discard(checkpoint)
