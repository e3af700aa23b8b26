"The first notebook, opened and run in JupyterLab in a real browser."

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import ROOT

TOKEN = "only-for-this-test"
NOTEBOOK = "00_ten_lines.ipynb"


def reduce_settings(notebook: dict) -> None:
    "Change the settings of its runs to a few rows and one epoch"
    source = "".join("".join(cell["source"]) for cell in notebook["cells"])
    assert "max_train_samples=" in source and "num_train_epochs=" in source
    for cell in notebook["cells"]:
        text = re.sub(r"num_train_epochs=\d+", "num_train_epochs=1", "".join(cell["source"]))
        cell["source"] = re.sub(
            r"max_train_samples=\d+", "max_train_samples=60, max_eval_samples=40, max_predict_samples=40", text
        )


@pytest.fixture(params=["reduced", pytest.param("as it is", marks=pytest.mark.slow)])
def lab(request, tmp_path):
    "A JupyterLab on a copy of the first notebook: its address"
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("Debian's chromium is not installed")
    (tmp_path / "nbs").mkdir()
    notebook = json.loads((ROOT / "nbs" / NOTEBOOK).read_text(encoding="utf-8"))
    if request.param == "reduced":
        reduce_settings(notebook)
    (tmp_path / "nbs" / NOTEBOOK).write_text(json.dumps(notebook), encoding="utf-8")
    settings = {
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
        "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    }
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/overrides.json").write_text(json.dumps(settings))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
    ]
    command += [
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={tmp_path}",
        "--LabApp.expose_app_in_browser=True",
        f"--LabServerApp.app_settings_dir={tmp_path / 'settings'}",
    ]
    with open(tmp_path / "lab.log", "w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")}
        )
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", timeout=2)
                    break
                except OSError:
                    time.sleep(0.25)
            yield f"http://127.0.0.1:{port}/doc/tree/nbs/{{}}?token={TOKEN}"
        finally:
            server.terminate()
            server.wait(20)


def test_ten_lines_run_in_jupyterlab(lab):
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.goto(lab.format(NOTEBOOK))
        page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-CodeCell", timeout=60_000)
        page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status==='idle'", timeout=60_000
        )
        page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        prompt = page.locator(".jp-CodeCell").last.locator(".jp-InputPrompt")
        expect(prompt).to_have_text(
            re.compile(r"\[\d+\]:"), timeout=240_000
        )  # [ ] before, [*] while it waits, then its number
        assert page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').count() == 0
        assert page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
        assert page.locator(".jp-OutputArea-output img").count() >= 1
        if folder := os.environ.get("FTKIT_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/ten_lines.png")
        browser.close()
