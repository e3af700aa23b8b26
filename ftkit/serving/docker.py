"""A run as a container image: Dockerfile, compose file, pinned requirements, the model and ftkit itself.

Only what the server reads is copied: the weights, the settings without the sources of the rows, and the parts of the
record that a client may see. Rows, texts, paths and names of this machine stay here.
"""

import platform
import re
import shutil
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ftkit
from ftkit.errors import UserError, redact
from ftkit.files.atomic import replacing, write_json
from ftkit.runs.folder import RunFolder

PYTHONS = ("3.11", "3.12", "3.13")  # that ftkit runs on
PUBLIC = "status reason task headline metrics verdicts baselines versions weights timing created best id".split()
PUBLIC_DATA = "text_column label_column labels reading orders".split()  # of the record's `data`
SOURCES = "train_file validation_file test_file feedback_file sql_query".split()  # keys that name where rows are
NOT_SERVED = ("nvidia-", "cuda-", "triton")  # come with the torch for CUDA, at its own versions
PYPROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "ftkit"
version = "{version}"

[project.scripts]
ftkit = "ftkit.cli.main:main"

[tool.setuptools.packages.find]
include = ["ftkit*"]

[tool.setuptools.package-data]
"*" = ["*.csv", "*.md", "*.css", "*.js", "*.html", "templates/**/*"]
"""


def export_docker(
    run: RunFolder,  # a finished run
    out: str | Path,  # the folder to write
    force: bool = False,  # replace a folder that is there
) -> Path:
    "Write a folder from which `docker build` makes a server. Raises `UserError` if the run has no model of its own"
    out = check_out(run, out, force)
    if (run.model_folder / "adapter").is_dir():
        raise UserError(
            f"{run.path}: its model is an adapter and needs its base model, which an image without a network "
            "cannot get. Train with a method that is merged, such as lora."
        )
    try:
        with replacing(out) as folder:
            folder.mkdir()
            copy_run(run, folder / "run")
            command = ["ftkit", "serve", "run", "--host", "0.0.0.0", "--port", "8000"]
            write_container(folder, run.path.name, command, ["run"], run.record.get("versions", {}), read_tag(run))
            (folder / "README.md").write_text(
                render("docker_readme.md.j2", **describe(run.path.name)), encoding="utf-8"
            )
    except OSError as e:
        raise UserError(f"--out {out}: cannot be written ({e.strerror}). Name another folder.") from None
    return out


def check_out(
    run: RunFolder,  # that is exported
    out: str | Path,  # the folder to write
    force: bool = False,  # replace a folder that is there
) -> Path:
    "Return the folder as a path. Raises `UserError` if it cannot be written, or if the run would be lost"
    out = Path(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not force):
        raise UserError(f"--out {out}: is already there. Give another name, or --force to replace it.")
    if out.resolve() == run.path.resolve() or run.path.resolve().is_relative_to(out.resolve()):
        raise UserError(f"--out {out}: holds the run, which would be lost. Give another name.")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}. Make it first.")
    return out


def write_container(
    folder: Path,  # that is built
    name: str,  # of the run or the project, whatever its characters
    command: list[str],  # that starts the server
    copies: list[str],  # files and folders below `folder` that it needs
    versions: dict[str, str],  # that a run recorded; the others are those installed here
    tag: str,  # of the image
) -> None:
    "Write what `docker build` needs next to a model"
    python = ".".join(versions.get("python", platform.python_version()).split(".")[:2])
    pins = pin_requirements(versions)
    values = {
        **describe(name),
        "python": python if python in PYTHONS else PYTHONS[-1],
        "torch": next(line for line in pins if line.startswith("torch==")),
        "command": command,
        "copies": copies,
        "tag": tag,
    }
    files = {"Dockerfile.j2": "Dockerfile", "compose.yaml.j2": "compose.yaml", "dockerignore.j2": ".dockerignore"}
    for template, file in files.items():
        (folder / file).write_text(render(template, **values), encoding="utf-8")
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    copy_package(folder / "package")


def describe(
    name: str,  # of a run or a project, whatever its characters
) -> dict[str, str]:
    "Return a name that no Dockerfile and no shell can misread, the name of an image, and ftkit's version"
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "model"
    return {"name": plain, "image": f"ftkit-{plain}", "ftkit": ftkit.__version__}


def read_tag(
    run: RunFolder,  # a finished run
) -> str:
    "Return a tag that changes with the weights"
    weights = run.record["weights"]["final_sha256"] or ""
    return weights[:12] if re.fullmatch("[0-9a-f]{64}", weights) else "unversioned"


def render(
    template: str,  # a file in ftkit/serving/templates
    **values: object,
) -> str:
    "Return a filled template: no page, so nothing is escaped, and values are made plain before"
    loader = PackageLoader("ftkit.serving", "templates")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.get_template(template).render(values)


def copy_run(
    run: RunFolder,  # a finished run
    to: Path,  # the folder to make
) -> None:
    "Copy what answers need: the model, its settings, and what its record says about it"
    to.mkdir(parents=True)
    shutil.copytree(run.model_folder, to / "model", ignore=shutil.ignore_patterns(".*"))
    write_settings(run, to)
    record = run.record
    data = {key: record["data"][key] for key in PUBLIC_DATA if key in record["data"]}
    splits = {
        key: {"rows": part["rows"], "sha256": part["sha256"]} for key, part in record["data"].items() if is_split(part)
    }
    write_json(to / "run.json", {**{key: record.get(key) for key in PUBLIC}, "data": {**data, **splits}})


def write_settings(
    run: RunFolder,  # whose settings
    to: Path,  # the folder that gets settings.ini
) -> None:
    "Write the settings of a run, without what names its rows and its base model"
    settings = run.settings.replace(**dict.fromkeys(SOURCES), model_name_or_path="starter", dataset_name="starter")
    text = redact(settings.to_ini("The settings that made this run, without the sources of its rows.", record=True))
    (to / "settings.ini").write_text(text, encoding="utf-8")


def is_split(
    value: object,  # of the record's `data`
) -> bool:
    "Return whether a value is about the rows of a split"
    return isinstance(value, dict) and {"rows", "sha256"} <= set(value)


def copy_package(
    to: Path,  # the folder to make
) -> None:
    "Copy ftkit as it is installed, with what pip needs to install it again: it is in no package index"
    source = Path(ftkit.__file__).parent
    shutil.copytree(source, to / "ftkit", ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
    (to / "pyproject.toml").write_text(PYPROJECT.format(version=ftkit.__version__), encoding="utf-8")


def pin_requirements(
    versions: dict[str, str],  # that a run recorded: these win
    extras: tuple[str, ...] = ("serve",),  # of ftkit
) -> list[str]:
    """Return `name==version` of all that ftkit needs, and that needs in turn, as it is installed here.

    Raises `UserError` if a package that ftkit itself needs for this is not installed: it has no version to pin
    """
    recorded = {canonicalize_name(name): number for name, number in versions.items()}
    found, left, seen, missing = {}, [("ftkit", frozenset(extras), "")], set(), []
    while left:
        name, wanted, parent = left.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            missing += [name] if parent == "ftkit" else []  # others are of another platform
            continue
        if name != "ftkit":
            found[name] = (recorded.get(name) or installed.version).partition("+")[0]
        for line in list_own_requirements() if name == "ftkit" else installed.requires or []:
            needed = Requirement(line)
            marks = [{"extra": extra} for extra in (*wanted, "")]
            if needed.marker is None or any(needed.marker.evaluate(mark) for mark in marks):
                left.append((canonicalize_name(needed.name), frozenset(needed.extras), name))
    if missing:
        raise UserError(
            f"{', '.join(sorted(missing))}: not installed here, so requirements.txt cannot name a version. "
            f"Run: pip install 'ftkit[{','.join(extras)}]'"
        )
    return sorted(f"{name}=={number}" for name, number in found.items() if not name.startswith(NOT_SERVED))


def list_own_requirements() -> list[str]:
    "Return what ftkit needs; of a checkout as its pyproject.toml has it now, not as when it was installed"
    file = Path(ftkit.__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}) if file.is_file() else {}
    if project.get("name") != "ftkit":
        return distribution("ftkit").requires or []
    extras = project["optional-dependencies"].items()
    return [*project["dependencies"], *(f"{line} ; extra == '{extra}'" for extra, lines in extras for line in lines)]
