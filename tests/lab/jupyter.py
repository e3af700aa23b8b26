"JupyterLab on a folder of notebooks. `docs/pictures.py` uses it too."

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

TOKEN = "only-for-this-test"
CHROMIUM = "/usr/bin/chromium"
NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-CodeCell"
IDLE = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status==='idle'"


class Lab:
    "A running JupyterLab"

    def __init__(self, folder: Path, port: int):
        self.folder, self.port = folder, port

    def open(self, page, notebook: str, kernel: bool = True) -> None:
        "Open a notebook in a page and wait until its kernel is idle"
        page.goto(f"http://127.0.0.1:{self.port}/doc/tree/nbs/{notebook}?token={TOKEN}")
        page.wait_for_selector(NOTEBOOK, timeout=60_000)
        if kernel:
            page.wait_for_function(IDLE, timeout=60_000)

    def command(self, page, name: str) -> None:
        "Do what a menu does"
        page.evaluate(f"void window.jupyterapp.commands.execute({name!r})")


@contextmanager
def running_lab(
    folder: Path,  # where everything is written
    notebooks: dict[str, dict],  # file name -> notebook
    theme: str = "JupyterLab Light",
):
    "Start JupyterLab on notebooks and stop it at the end"
    for name in ("nbs", "settings"):
        (folder / name).mkdir(exist_ok=True)
    for name, notebook in notebooks.items():
        (folder / "nbs" / name).write_text(json.dumps(notebook), encoding="utf-8")
    settings = {
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
        "@jupyterlab/apputils-extension:themes": {"theme": theme},
        "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    }
    (folder / "settings/overrides.json").write_text(json.dumps(settings))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True",
        f"--LabServerApp.app_settings_dir={folder / 'settings'}",
    ]
    env = {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "HF_HUB_OFFLINE": "1"}
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env)
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", timeout=2)
                    break
                except OSError:
                    time.sleep(0.25)
            yield Lab(folder, port)
        finally:
            server.terminate()
            server.wait(20)


@contextmanager
def open_browser():
    "Start Debian's chromium and stop it at the end"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        made = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


def save_picture(page, name: str) -> None:
    "Keep a screenshot if somebody wants to look at it"
    if folder := os.environ.get("FTKIT_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")
