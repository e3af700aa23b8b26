"""Atomic writes: a reader sees the old file or the new one, never a part of it.

`replacing` is the one way in which ftkit replaces a file or a folder: it writes next to the target, flushes
to the disk, then renames.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(
    target: Path,  # the file or folder to replace
) -> Iterator[Path]:
    """Yield a path next to `target` to write to; on success flush it to the disk and rename it over `target`.

    After an error `target` is what it was before. What a killed process leaves is named `.<name>.<pid>.tmp`.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    discard(temporary)
    try:
        yield temporary
        for path in [*(temporary.rglob("*") if temporary.is_dir() else ()), temporary]:
            fsync(path)
        if temporary.is_dir():
            discard(target)
        os.replace(temporary, target)
        fsync(target.parent)
    except BaseException:
        discard(temporary)
        raise


def write_text(
    target: Path,  # the file to replace
    text: str,  # its new content
) -> None:
    "Replace a text file"
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(
    target: Path,  # the file to replace
    value: object,  # JSON
) -> None:
    "Replace a JSON file. Raises `ValueError` for NaN"
    write_text(target, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def fsync(
    path: Path,  # a file or folder
) -> None:
    "Wait until it is on the disk"
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def discard(
    path: Path,  # a file, a link or a folder, or nothing
) -> None:
    "Delete it if it is there. A link is deleted, not what it points to"
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def apply_umask(
    path: Path,  # a file
) -> None:
    "Set the permissions that the umask gives to any new file: safetensors writes 0600"
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def sha256_file(
    path: Path,  # a file
) -> str:
    "Return the sha256 of a file's bytes, as hexadecimal digits"
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sha256_json(
    value: object,  # numbers and texts in lists and dictionaries
) -> str:
    "Return the sha256 of a value's JSON"
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def count_bytes(
    folder: Path,  # any folder
) -> int:
    "Return the size of all files in a folder"
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def format_bytes(
    count: float,  # bytes
) -> str:
    "Return a size for a person to read: `1.5 GB`"
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000


def is_disk_full(
    error: BaseException,  # raised by a write
) -> bool:
    "Return whether the disk, the quota or the file size limit stopped a write"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        return True
    words = (
        "No space left",
        "File too large",
        "Disk quota exceeded",
        "inline_container",
        "PytorchStreamWriter",
        "iostream error",
    )
    return any(word in str(error) for word in words)
