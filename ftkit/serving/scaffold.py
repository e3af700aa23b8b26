"A new project: scripts over ftkit's functions, a server, tests, a container. `ftkit new FOLDER`."

import csv
from pathlib import Path

from ftkit.errors import UserError
from ftkit.files.atomic import replacing
from ftkit.serving.docker import describe, pin_requirements, render, write_container
from ftkit.settings import Settings
from ftkit.starter import posts_path

EACH = 200  # example rows of each label
FILES = {  # template -> file
    "train.py": "train.py",
    "evaluate.py": "evaluate.py",
    "inference.py": "inference.py",
    "app.py": "app/__main__.py",
    "test_project.py": "tests/test_project.py",
    "readme.md": "README.md",
    "gitignore": ".gitignore",
}
COMMAND = ["python", "-m", "app", "--host", "0.0.0.0", "--port", "8000"]


def make_project(
    folder: str | Path,  # to make; it may be there if it is empty
) -> Path:
    "Write a project that trains, answers, serves and tests itself. Raises `UserError` for a folder that holds files"
    folder = Path(folder).expanduser()
    if folder.is_symlink() or folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f"{folder}: is not empty, and nothing in it is replaced. Name a new folder.")
    if not folder.absolute().parent.is_dir():
        raise UserError(f"{folder}: there is no folder {folder.parent}. Make it first.")
    name = folder.absolute().name
    try:
        with replacing(folder.absolute()) as new:
            new.mkdir()
            rows = write_example(new / "data/posts.csv")
            for template, file in FILES.items():
                (new / file).parent.mkdir(exist_ok=True)
                text = render(f"project/{template}.j2", **describe(name), rows=rows)
                (new / file).write_text(text, encoding="utf-8")
            keys = {"train_file": "data/posts.csv", "text_column_name": "text", "label_column_name": "label"}
            settings = Settings().replace(**keys, test_size=0.2)  # enough rows to see a large difference
            text = settings.to_ini("The experiment: `python train.py` trains as it says.")
            (new / "settings.ini").write_text(text, encoding="utf-8")
            write_container(new, name, COMMAND, ["app", "inference.py", "runs"], {}, "1")
            pins = pin_requirements({}, ("serve", "starter"))  # to train, too
            (new / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    except OSError as e:
        raise UserError(f"{folder}: cannot be written ({e.strerror}). Name another folder.") from None
    return folder


def write_example(
    file: Path,  # to write
) -> int:
    "Write some of the posts, as many of each label, and return their number"
    with open(posts_path(), encoding="utf-8", newline="") as f:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(f)]
    labels = sorted({label for _, label in rows})
    kept = [
        row
        for label in labels
        for row in [r for r in rows if r[1] == label][:: len(rows) // len(labels) // EACH][:EACH]
    ]
    file.parent.mkdir()
    with open(file, "w", encoding="utf-8", newline="") as f:
        csv.writer(f, lineterminator="\n").writerows([("text", "label"), *kept])
    return len(kept)
