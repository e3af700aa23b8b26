"Files that a panel writes: uploads and settings, in `experiments` next to the folder of the runs."

import hashlib
import re
from pathlib import Path

from ftkit.errors import UserError
from ftkit.files.atomic import replacing, write_text
from ftkit.runs.folder import NAME
from ftkit.settings import Settings


def experiments_dir(
    runs_dir: Path,  # the folder of the runs
) -> Path:
    "Return the folder next to it for uploads and saved settings"
    return runs_dir.absolute().parent / "experiments"


def read_upload(
    value,  # of a `FileUpload`: a dictionary by name in ipywidgets 7, a tuple of dictionaries in 8
) -> tuple[str, bytes] | None:
    "Return name and content of the newest uploaded file, or None"
    if not value:
        return None
    if isinstance(value, dict):
        name, item = list(value.items())[-1]
    else:
        item = value[-1]
        name = item["name"]
    return name, bytes(item["content"])


def store(
    folder: Path,  # experiments/data
    name: str,  # of the file, as a browser gave it
    content: bytes,  # of the file
) -> Path:
    "Write a file under its sha256 and its own name and return its path. Raises `UserError` if it cannot be written"
    plain = re.sub(r"[^\w.-]+", "_", name.replace("\\", "/").rsplit("/", 1)[-1]).lstrip(".")[-80:] or "rows"
    path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}-{plain}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            with replacing(path) as temporary:
                temporary.write_bytes(content)
    except OSError as e:
        raise UserError(f"{path}: cannot be written ({e.strerror}). Write the path of your file instead.") from None
    return path


def save_settings(
    settings: Settings,  # the experiment
    name: str,  # of the new file, without .ini
    runs_dir: Path,  # the folder of the runs
) -> Path:
    "Write experiments/NAME.ini and return its path. Raises `UserError` if there is one or it cannot be written"
    if not NAME.fullmatch(name):
        raise UserError(f"{name[:80]!r}: use only letters, digits, '_', '-' and '.', up to 64.")
    path = experiments_dir(runs_dir) / f"{name}.ini"
    if path.exists():
        raise UserError(f"there is already {path}. Give another name.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, settings.with_absolute_paths().to_ini())
    except OSError as e:
        raise UserError(f"{path}: cannot be written ({e.strerror}).") from None
    return path
