"The repository's rules: generated files are current, notebooks are clean, nothing of this machine is in it."

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "docs"))
NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
BIN = Path(sys.executable).parent


def run_git(*args, cwd):
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    "The tracked and new files as a repository of their own, so that nothing here is changed"
    folder = tmp_path_factory.mktemp("copy") / "ftkit"
    for name in run_git("ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    run_git("init", "-q", cwd=folder)
    run_git("add", "-A", cwd=folder)
    run_git("commit", "-qm", "as it is", cwd=folder)
    return folder


@pytest.mark.parametrize("command", ["nbdev-export", "nbdev-clean", "docs/headers.py", "docs/readme.py"])
def test_generated_files_are_current(copy, command):
    program = [BIN / command] if command.startswith("nbdev") else [sys.executable, command]
    done = subprocess.run(
        program, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    changed = run_git("status", "--porcelain", cwd=copy)
    run_git("checkout", "-q", ".", cwd=copy)
    assert changed == "", f"run `make prepare`: {command} changes\n{changed}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_begins_with_badge(path):
    from headers import make_header

    cells = json.loads(path.read_text())["cells"]
    assert ["".join(c["source"]) for c in cells[1:3]] == list(make_header(path))
    assert re.match(r"# .+\n\n> .+", "".join(cells[0]["source"]))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_shareable(path):
    notebook = json.loads(path.read_text())
    code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    outputs = [o for c in code for o in c["outputs"]]
    text = json.dumps(outputs)
    assert "widgets" not in notebook["metadata"]
    assert not [
        o
        for o in outputs
        if o["output_type"] == "error" or "application/vnd.jupyter.widget-view+json" in o.get("data", {})
    ]
    assert not [o for o in outputs if o.get("name") == "stderr"], "a progress bar or a warning was left in the outputs"
    assert not re.search(r"/(?:work|tmp|root|home)/[\w.-]+", text), "a path of one machine"
    assert not re.search(r"hf_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9]{20,}", path.read_text())
    assert "eval: false" not in path.read_text()
    assert sum(bool(c["outputs"]) for c in code) >= (2 if path.stem == "index" else 3)


def test_links_have_targets():
    for path in [*NOTEBOOKS, ROOT / "README.md"]:
        text = (
            "".join(
                "".join(c["source"]) for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "markdown"
            )
            if path.suffix == ".ipynb"
            else path.read_text()
        )
        for target in re.findall(r"\]\(((?!https?:|#)[^)#\s]+)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_readme_and_ci_run_tests():
    assert "make test" in (ROOT / "README.md").read_text() and "make run" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "ftkit").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT / "ftkit"))
)
def test_library_calls_are_safe(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] in ("transformers", "datasets", "torch", "peft", "accelerate", "evaluate")
        ):
            assert not [n.name for n in node.names if n.name.startswith("_")]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in ("evaluate.load", "pickle.load", "joblib.load", "torch.load", "eval", "exec")
            if name.endswith("from_pretrained") and not name.startswith("super"):
                keys = {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert keys.get("trust_remote_code") == "False"
                assert keys.get("use_safetensors") == "True" or "Tokenizer" in name or "Config" in name


def test_fine_tune_follows_seven_steps():
    source = (ROOT / "ftkit/fine_tuning.py").read_text()
    functions = {n.name: n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}
    steps = {
        "prepare": [
            "load_data",
            "Objective",
            "load_tokenizer",
            "task.tokenize(",
            "load_model()",
            "check()",
            "run_trial",
        ],
        "fine_tune": ["prepare(", "open_session", "train_with_retry", "finish_training", "finish_run"],
    }
    for name, words in steps.items():
        body = ast.unparse(functions[name])
        assert functions[name].end_lineno - functions[name].body[1].lineno < 30
        assert [body.index(word) for word in words] == sorted(body.index(word) for word in words)
