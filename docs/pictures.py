"""Take the pictures of the panel and of the server's page that README, lessons and site show, light and dark.

    .venv/bin/python docs/pictures.py

A quick run of the starter is trained first: some minutes. Needs Debian's chromium. Writes nbs/images/.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from notebooks import NOTEBOOKS, ROOT

sys.path.insert(0, str(ROOT / "tests"))
from lab.jupyter import open_browser, running_lab  # noqa: E402

WIDTH = 1180  # of the page, in pixels
RUN = "--max_train_samples 600 --num_train_epochs 3 --per_device_train_batch_size 16 --run first".split()
CELLS = ("c000", "c002")
TEXT = "What a lovely evening, thank you all!"


def main():
    "Train, then take every picture"
    (NOTEBOOKS / "images").mkdir(exist_ok=True)
    notebook = json.loads((NOTEBOOKS / "panel.ipynb").read_text(encoding="utf-8"))
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] in CELLS]
    with tempfile.TemporaryDirectory() as name, open_browser() as browser:
        folder = Path(name)
        (folder / "nbs").mkdir()
        env = {**os.environ, "HF_HUB_OFFLINE": "1"}
        subprocess.run([sys.executable, "-m", "ftkit", "train", *RUN], cwd=folder / "nbs", env=env, check=True)
        take_page(folder / "nbs", browser, env)
        for theme in ("light", "dark"):
            with running_lab(folder, {"panel.ipynb": notebook}, f"JupyterLab {theme.title()}") as lab:
                take_pictures(lab, browser, theme)


def take_pictures(lab, browser, theme: str) -> None:
    "Take a picture of some sections"
    from playwright.sync_api import expect

    page = browser.new_page(viewport={"width": WIDTH, "height": 1500}, device_scale_factor=1.25)
    lab.open(page, "panel.ipynb")
    lab.command(page, "notebook:run-all-cells")
    panel = page.locator(".widget-vbox.ftkit-panel").first
    expect(panel).to_contain_text("half the time", timeout=180_000)
    for section, file in (("3 Training", "training"), ("4 Result", "result")):
        panel.get_by_role("button", name=section, exact=True).click()
        if file == "result":
            panel.locator(".widget-gridbox button").nth(1).click()
            panel.get_by_label("Try it", exact=True).fill(TEXT)
            panel.get_by_role("button", name="Try", exact=True).click()
            expect(panel.locator(".ftkit-tokens")).to_contain_text("tokens", timeout=60_000)
        page.mouse.move(0, 0)
        page.wait_for_timeout(500)
        panel.screenshot(path=NOTEBOOKS / "images" / f"panel_{file}_{theme}.png")
    page.close()


def take_page(folder: Path, browser, env: dict) -> None:
    "Take a picture of the page of `ftkit serve` in both color schemes"
    command = [sys.executable, "-m", "ftkit", "serve", "first", "--json", "--feedback"]
    server = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)
    url = json.loads(server.stdout.readline())["url"]
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport={"width": 720, "height": 600}, device_scale_factor=1.25, color_scheme=scheme)
        page.goto(url)
        page.get_by_label("Text", exact=True).fill(TEXT)
        page.get_by_role("button", name="Answer").click()
        page.get_by_text("Right", exact=True).wait_for()
        page.evaluate("document.activeElement.blur()")
        page.locator("main").screenshot(path=NOTEBOOKS / "images" / f"try_it_{scheme}.png")
        page.close()
    server.terminate()
    server.wait(60)


if __name__ == "__main__":
    main()
