"""Hostile names and paths are refused in one line, and nothing is touched."""

import os
import shutil

import pytest
from conftest import small_rows, write_csv
from processes import Command
from runs import read_files

from ftkit.files.tables import read_table
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.folder import list_runs
from ftkit.runs.session import create_run
from ftkit.settings import Settings
from security.strangers import SMALL, get_message, is_one_line, run_command, set_keys

pytestmark = pytest.mark.fault("hostile names")
slow = pytest.mark.slow

NAMES = {
    "two dots": "..",
    "a dot": ".",
    "up": "../x",
    "far up": "../../../../../../tmp/x",
    "up in the middle": "a/../../x",
    "absolute path": "{outside}/x",
    "NUL": "a\0b",
    "NUL at the end": "a\0",
    "65 letters": "a" * 65,
    "300 letters": "a" * 300,
    "5,000 letters": "a" * 5000,
    "line break": "a\nb",
    "line break at the end": "a\n",
    "carriage return": "a\rb",
    "full-width letters": "ｒｕｎ",
    "Cyrillic a": "rаn",
    "dots that are one": "․․",
    "slash that is none": "..∕..∕x",
    "combining mark": "ru\u0301n",
    "right to left": "a\u202eb",
    "zero width": "a\u200bb",
    "half a character": "\udcff",
    "leading dash": "-x",
    "a flag": "--json",
    "nothing": "",
    "a space": " ",
    "space at the end": "a ",
    "home": "~",
    "somebody's home": "~root/x",
    "backslash": "a\\b",
    "up with backslashes": "..\\..\\x",
    "drive": "C:x",
    "terminal": "\x1b[2J\x1b]0;owned\x07",
    "hidden": ".hidden",
    "folder in a folder": "a/b",
    "slash at the end": "a/",
    "glob": "*",
    "question": "own?",
    "brackets": "[o]wn",
    "variable": "$HOME",
    "command": "a;touch x",
    "percent": "%2e%2e",
    "root": "/",
    "network": "//server/share",
}


@pytest.fixture
def root(tmp_path, outside, own_run):
    "A runs folder with one run in it, next to the folder that is nobody's business"
    shutil.copytree(own_run.path, tmp_path / "runs" / "own")
    return tmp_path / "runs"


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_hostile_name_creates_no_run(root, outside, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name, before = name.replace("{outside}", str(outside)), read_files(tmp_path)
    settings = Settings(train_file="missing.csv")
    for make in (
        lambda: fine_tune(settings, runs_dir=root, name=name),
        lambda: create_run(settings, root, name),
        lambda: create_run(settings, None, name),
    ):
        assert get_message(make).startswith("run name ")
    assert read_files(tmp_path) == before


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_hostile_name_finds_no_run(root, outside, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name, before = name.replace("{outside}", str(outside)), read_files(tmp_path)
    assert get_message(lambda: Run.load(name, root)).startswith("there is no run ")
    assert read_files(tmp_path) == before


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_command_refuses_hostile_name(root, outside, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    name, before = name.replace("{outside}", str(outside)), read_files(tmp_path)
    for words in (
        ["train", f"--run={name}"],
        ["train", f"--resume={name}"],
        ["predict", "--", name, "text"],
        ["evaluate", "--", name],
        ["runs", "--", "own", name],
    ):
        code, text = run_command(capsys, *words[:1], "--runs_dir", root, *words[1:])
        assert code == 2 and text.startswith("ftkit: ") and is_one_line(text), (words, text)
    assert read_files(tmp_path) == before


@pytest.mark.parametrize("name", ["../x", "terminal", "absolute path", "300 letters", "line break at the end"])
@pytest.mark.parametrize("flag", ["--run", "--resume"])
def test_process_refuses_hostile_name(root, outside, tmp_path, flag, name):
    before = read_files(tmp_path)
    name = NAMES.get(name, name).replace("{outside}", str(outside))
    done = Command("train", "--runs_dir", root, flag, name, cwd=root).result()
    after = {k: v for k, v in read_files(tmp_path).items() if not k.startswith(".output-")}
    assert (
        done.returncode == 2
        and done.stderr.startswith("ftkit: ")
        and is_one_line(done.stderr)
        and done.stdout == ""
        and after == before
    )


def test_linked_name_is_refused(root, outside):
    shutil.move(root / "own", outside / "run")
    (root / "own").symlink_to(outside / "run")
    (root / "gone").symlink_to(outside / "nowhere")
    before = read_files(outside)
    assert "is a link" in get_message(lambda: Run.load("own", root))
    assert "there is already a run 'own'" in get_message(lambda: create_run(Settings(), root, "own"))
    assert get_message(lambda: create_run(Settings(), root, "gone"))
    assert read_files(outside) == before


@pytest.fixture
def places(tmp_path):
    "Files, folders, pipes and devices where something else is expected"
    folder = tmp_path / "places"
    (folder / "folder.csv").mkdir(parents=True)
    (folder / "file").write_text("a file")
    os.mkfifo(folder / "pipe.csv")
    for name, target in (
        ("zero.csv", "/dev/zero"),
        ("memory.csv", "/proc/self/mem"),
        ("loop.csv", "loop.csv"),
        ("nowhere.csv", "nowhere/x.csv"),
    ):
        (folder / name).symlink_to(target)
    return folder


INPUTS = [
    "missing.csv",
    "folder.csv",
    "pipe.csv",
    "zero.csv",
    "memory.csv",
    "loop.csv",
    "nowhere.csv",
    "file",
    "file/x.csv",
    ".",
    "",
    "/dev/null",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/mem",
    "/proc/self/environ",
]


INPUTS += [
    "~/x.csv",
    "a" * 300 + ".csv",
    "a\0.csv",
    "a\n.csv",
    "\x1b[2J.csv",
    "a\u202evsc.csv",
    "\udcff.csv",
    "*.csv",
    "--json",
    "file:///etc/passwd",
    "https://example.com/x.csv",
    "C:\\x.csv",
    "..\\x.csv",
]


@pytest.mark.parametrize("path", INPUTS, ids=ascii)
def test_hostile_rows_path_is_refused(places, root, tmp_path, monkeypatch, capsys, path):
    monkeypatch.chdir(places)
    runs = read_files(root)
    assert get_message(lambda: read_table(path))
    for words in (
        ["train", f"--train_file={path}"],
        ["evaluate", "own", f"--file={path}"],
        ["predict", "own", f"--file={path}"],
    ):
        if path or words[0] == "predict":
            code, text = run_command(capsys, *words, "--runs_dir", root)
            assert code == 2 and text.startswith("ftkit: ") and is_one_line(text), (words, text)
    assert read_files(root) == runs


OUTPUTS = [
    "folder.csv",
    "pipe.csv",
    "zero.csv",
    "file",
    "file/x.csv",
    "missing/x.csv",
    ".",
    "..",
    "/",
    ".csv",
    "/dev/null",
    "/dev/full",
    "/dev/stdout",
    "/proc/x.csv",
    "/proc/self/mem",
    "~/x.csv",
    "a" * 300 + ".csv",
    "x.csv\n",
    "x.exe",
]


@pytest.mark.parametrize("path", OUTPUTS, ids=ascii)
def test_hostile_output_path_is_refused(places, root, monkeypatch, capsys, path):
    monkeypatch.chdir(places)
    before = sorted(p.name for p in places.iterdir()), (places / "file").read_text()
    code, text = run_command(capsys, "predict", "own", "a text", "--runs_dir", root, f"--out={path}")
    assert code == 2 and text.startswith("ftkit: ") and is_one_line(text)
    assert (sorted(p.name for p in places.iterdir()), (places / "file").read_text()) == before and (
        places / "pipe.csv"
    ).is_fifo()


def test_linked_output_is_replaced(root, outside, tmp_path, capsys):
    (tmp_path / "out.csv").symlink_to(outside / "secret.txt")
    before = read_files(outside)
    words = ["predict", "own", "a text", "--runs_dir", root, "--out", tmp_path / "out.csv"]
    assert run_command(capsys, *words)[0] == 2 and read_files(outside) == before
    code, text = run_command(capsys, *words, "--force")
    assert code == 0, text
    assert read_files(outside) == before and not (tmp_path / "out.csv").is_symlink()


RUNS_DIRS = [
    "file",
    "file/x",
    "pipe.csv",
    "zero.csv",
    "loop.csv",
    "/dev/null",
    "/proc/self/x",
    "a" * 300,
    "x/" * 3000,
    "a\0b",
]


@pytest.mark.parametrize("path", RUNS_DIRS, ids=lambda p: ascii(p[:20]))
def test_hostile_runs_folder_is_refused(places, monkeypatch, capsys, path):
    monkeypatch.chdir(places)
    before = sorted(p.name for p in places.iterdir())
    for make in (
        lambda: create_run(Settings(), path, "x"),
        lambda: create_run(Settings(), path),
        lambda: Run.load("x", path),
    ):
        assert get_message(make)
    code, text = run_command(capsys, "predict", "x", "a text", "--runs_dir", path)
    assert code == 2 and is_one_line(text)
    assert sorted(p.name for p in places.iterdir()) == before


@pytest.mark.parametrize(
    "path",
    [
        "missing.ini",
        "folder.csv",
        "file",
        "file/x.ini",
        "a" * 300,
        "a\0.ini",
        "\x1b[2J.ini",
        "a\n.ini",
        "loop.csv",
        "~/x.ini",
    ],
    ids=ascii,
)
def test_hostile_settings_path_is_refused(places, monkeypatch, capsys, path):
    monkeypatch.chdir(places)
    assert get_message(lambda: Settings.read(path))
    code, text = run_command(capsys, "train", path)
    assert code == 2 and is_one_line(text) and not (places / "runs").exists()


@pytest.mark.parametrize(
    "part",
    ["a[1]", *(pytest.param(part, marks=slow) for part in ("[!x]*?", "{b} (2)", "é ö 字", "it's $HOME; #1 %s"))],
)
def test_odd_honest_names_work(tiny, tmp_path, capsys, part):
    folder = tmp_path / part
    folder.mkdir()
    rows = write_csv(folder / f"{part}.csv", small_rows(60))
    model = shutil.copytree(tiny, folder / f"model {part}")
    run = fine_tune(
        Settings(model_name_or_path=str(model), train_file=str(rows), **SMALL),
        runs_dir=folder / f"runs {part}",
        name="ok",
    )
    assert [r.path for r in list_runs(folder / f"runs {part}")] == [run.path]
    assert run_command(capsys, "predict", run.path, "--file", rows, "--out", folder / f"out {part}.csv")[0] == 0
    assert len(read_table(folder / f"out {part}.csv")) == 60
    set_keys(run.path / "run.json", status="stopped")
    assert Run.load("ok", folder / f"runs {part}").resume().status == "finished"
