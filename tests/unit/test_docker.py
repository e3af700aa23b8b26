"A run as an image: not as root, pinned, without secrets or rows; built if docker runs."

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from importlib.metadata import PackageNotFoundError

import pytest
import yaml
from packaging.requirements import Requirement

import ftkit
from ftkit.cli.main import main
from ftkit.errors import UserError
from ftkit.runs.folder import RunFolder
from ftkit.serving import docker
from ftkit.serving.docker import export_docker, pin_requirements

SECRETS = {
    "HF_TOKEN": "hf_canaryCanaryCanary",
    "DB_PASSWORD": "canary-password-1",
    "AWS_SECRET_ACCESS_KEY": "canaryAWS0",
}


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    "The folder of a run whose files and environment are full of secrets"
    base = tmp_path_factory.mktemp("docker")
    path = shutil.copytree(trained[0] / "runs/small", base / "runs/small")
    (path / ".env").write_text("".join(f"{k}={v}\n" for k, v in SECRETS.items()))
    (path / "model/.token").write_text(SECRETS["HF_TOKEN"])
    ini = (path / "settings.ini").read_text()
    source = "train_file = postgresql://db.example/rows"
    (path / "settings.ini").write_text(re.sub(r"(?m)^train_file = .*$", source, ini))
    record = json.loads((path / "run.json").read_text())
    record["data"]["lines"] = [f"read from postgresql://anna:{SECRETS['DB_PASSWORD']}@db.example/rows"]
    record["process"] = {"host": "canary-host"}
    (path / "run.json").write_text(json.dumps(record))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        return export_docker(RunFolder(path), base / "image")


def read_all(folder) -> str:
    "All text in the files of a folder, except the package's own"
    files = [p for p in folder.rglob("*") if p.is_file() and "package" not in p.relative_to(folder).parts[:1]]
    return "\n".join(f"{p.name}\n{p.read_bytes().decode('utf-8', 'replace')}" for p in files)


def test_no_secret_and_no_row_is_inside(exported, trained):
    text = read_all(exported)
    for canary in (*SECRETS.values(), "canary-host", "db.example", str(trained[0]), "mine.csv", "warm bread"):
        assert canary not in text, canary
    assert sorted(p.name for p in (exported / "run").iterdir()) == ["model", "run.json", "settings.ini"]
    assert not list(exported.rglob("*.parquet")) and not list(exported.rglob("__pycache__"))
    assert not [p for p in exported.rglob(".*") if p.name != ".dockerignore"]


def test_server_is_not_root_and_everything_is_pinned(exported):
    lines = [line for line in (exported / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines)
    assert not re.search(r":latest|^FROM \S+$(?<!bookworm)", read_all(exported), re.M)
    assert re.search(r"^FROM python:3\.\d+-slim-bookworm$", text, re.M)
    user = [line for line in lines if line.startswith("USER ")]
    assert user == ["USER app"] and lines.index("USER app") < next(
        i for i, x in enumerate(lines) if x.startswith("CMD")
    )
    assert "--uid 10001 app" in text and "sudo" not in text and "HEALTHCHECK" in text and "/health" in text
    assert 'CMD ["ftkit", "serve", "run", "--host", "0.0.0.0", "--port", "8000"]' in text
    assert "FTKIT_SERVE_TOKEN" not in text  # it comes from the environment alone
    assert re.search(r"torch==\d+\.\d+\.\d+", text) and "ARG DEVICE=cpu" in lines
    pins = [Requirement(line) for line in (exported / "requirements.txt").read_text().splitlines()]
    assert len(pins) > 30 and all(str(pin.specifier).startswith("==") and "+" not in str(pin) for pin in pins)
    assert {"transformers", "peft", "tokenizers", "torch"} <= {pin.name for pin in pins}


def test_compose_needs_a_token_and_keeps_to_this_machine(exported):
    services = yaml.safe_load((exported / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["environment"]["FTKIT_SERVE_TOKEN"].startswith("${FTKIT_SERVE_TOKEN:?")
        assert service["ports"] == ["127.0.0.1:8000:8000"] and service["cap_drop"] == ["ALL"]
        assert re.fullmatch(r"ftkit-small:[0-9a-f]{12}(-cuda)?", service["image"])
    assert services["cuda"]["build"]["args"] == {"DEVICE": "cuda"} and services["cuda"]["profiles"] == ["cuda"]
    assert (exported / ".dockerignore").read_text().splitlines()[0] == "*"
    assert len((exported / "README.md").read_text().splitlines()) == 6


def test_copied_run_answers_alike(exported, trained):
    from ftkit.fine_tuning import Run

    texts = ["lovely warm bread", "", "the bus broke down"]
    assert Run(exported / "run").predict(texts) == Run(trained[0] / "runs/small").predict(texts)
    record = json.loads((exported / "run/run.json").read_text())
    assert record["weights"] == trained[1]["weights"] and record["metrics"] == trained[1]["metrics"]


def test_recorded_versions_win():
    pins = dict(line.split("==") for line in pin_requirements({"transformers": "5.20.1", "torch": "2.9.0+cpu"}))
    assert pins["transformers"] == "5.20.1" and pins["torch"] == "2.9.0"
    assert "pytest" not in pins and "ftkit" not in pins


def test_package_installs_as_ftkit(exported, tmp_path):
    names = {p.relative_to(exported / "package/ftkit") for p in (exported / "package/ftkit").rglob("*") if p.is_file()}
    own = {
        p.relative_to(ftkit.__path__[0])
        for p in type(exported)(ftkit.__path__[0]).rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert names == own
    assert f'version = "{ftkit.__version__}"' in (exported / "package/pyproject.toml").read_text()


@pytest.mark.slow
def test_built_package_has_every_file(exported, tmp_path):
    package = shutil.copytree(exported / "package", tmp_path / "package")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "-w", tmp_path, package], check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("ftkit-*.whl"))) as wheel:
        names = set(wheel.namelist())
    wanted = {str(p.relative_to(exported / "package")) for p in (exported / "package/ftkit").rglob("*") if p.is_file()}
    assert wanted <= names


@pytest.mark.slow
def test_exported_folder_serves_without_docker(exported):
    token = "canary-token-of-this-test"
    env = {**os.environ, "PYTHONPATH": str(exported / "package"), "HF_HUB_OFFLINE": "1", "FTKIT_SERVE_TOKEN": token}
    env["PYTHONDONTWRITEBYTECODE"] = "1"  # the folder stays as it was
    command = [sys.executable, "-m", "ftkit", "serve", "run", "--host", "0.0.0.0", "--port", "0", "--json"]
    server = subprocess.Popen(command, cwd=exported, env=env, stdout=subprocess.PIPE, text=True)
    try:
        port = json.loads(server.stdout.readline())["url"].rpartition(":")[2].strip("/")
        url = f"http://127.0.0.1:{port}"
        assert urllib.request.urlopen(f"{url}/health", timeout=20).status == 200  # what HEALTHCHECK asks
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{url}/predict", b'{"text": "lovely warm bread"}', headers)
        assert json.load(urllib.request.urlopen(request, timeout=20))["label"] in ("bad", "flat", "good")
    finally:
        server.terminate()
        server.wait(60)


def test_odd_names_and_places_are_refused_or_made_plain(trained, tmp_path):
    odd = shutil.copytree(trained[0] / "runs/small", tmp_path / "Ünsere \n RUN rm -rf; run")
    folder = export_docker(RunFolder(odd), tmp_path / "image")
    assert "rm -rf" not in (folder / "Dockerfile").read_text()
    assert "image: ftkit-nsere-run-rm-rf-run:" in (folder / "compose.yaml").read_text()
    for out, message in ((folder, "already there"), (odd.parent, "already there"), (tmp_path / "no/x", "no folder")):
        with pytest.raises(UserError, match=message):
            export_docker(RunFolder(odd), out)
    with pytest.raises(UserError, match="holds the run"):
        export_docker(RunFolder(odd), odd.parent, force=True)
    assert odd.is_dir()


def test_command_writes_the_folder(trained, tmp_path, capsys):
    words = ["export", "small", "--runs_dir", str(trained[0] / "runs"), "--out", str(tmp_path / "image")]
    assert main([*words, "--to", "dokcer"]) == 2
    assert "Did you mean 'docker'?" in capsys.readouterr().err
    assert main([*words, "--to", "docker", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [
        ".dockerignore", "Dockerfile", "README.md", "compose.yaml", "package", "requirements.txt", "run",
    ]  # fmt: skip
    assert main([*words, "--to", "docker"]) == 2 and "--force" in capsys.readouterr().err


@pytest.mark.slow
def test_image_is_built(exported):
    if not shutil.which("docker"):
        pytest.skip("docker is not installed")
    running = subprocess.run(["docker", "info"], capture_output=True, text=True)
    if "Server Version" not in running.stdout:
        pytest.skip("the docker daemon does not run here")
    done = subprocess.run(["docker", "build", "-q", "."], cwd=exported, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    image = done.stdout.strip()
    user = subprocess.run(["docker", "run", "--rm", image, "id", "-u"], capture_output=True, text=True)
    assert user.stdout.strip() == "10001", os.environ.get("DOCKER_HOST")


@pytest.mark.parametrize("command", [["export", "{run}", "--to", "docker", "--out", "{to}"], ["new", "{to}"]])
def test_a_missing_package_is_named_not_left_out(trained, tmp_path, monkeypatch, capsys, command):
    plain = docker.distribution

    def without_server(name):
        if name == "fastapi":
            raise PackageNotFoundError(name)
        return plain(name)

    monkeypatch.setattr(docker, "distribution", without_server)
    to = tmp_path / "to"
    assert main([word.format(run=trained[0] / "runs/small", to=to) for word in command]) == 2
    said = capsys.readouterr().err
    assert (
        "fastapi: not installed here" in said and "pip install 'ftkit[serve" in said and not list(tmp_path.iterdir())
    )
