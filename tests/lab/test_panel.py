"The panel as a person uses it who has never seen it: JupyterLab in a real browser, clicks and keys alone."

import csv
import json
import os
import re
import signal
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

from ftkit.runs.folder import RunFolder, list_runs
from ftkit.starter import posts_path, tiny_gpt2
from lab.jupyter import NOTEBOOK, save_picture

WIDGET = "application/vnd.jupyter.widget-view+json"
CELLS = ("c000", "c002")  # the title and the one cell


def read_panel() -> dict:
    "Return panel.ipynb, its first cell alone and without outputs"
    notebook = json.loads((ROOT / "nbs/panel.ipynb").read_text(encoding="utf-8"))
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] in CELLS]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    return notebook


def write_reviews(file: Path, rows: int = 150) -> Path:
    "Write posts as a person's own CSV, with other names"
    stars = {"negative": "1", "neutral": "3", "positive": "5"}
    with open(posts_path(), newline="", encoding="utf-8") as f:
        posts = list(csv.DictReader(f))[:rows]
    with open(file, "w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows([["review", "stars"], *([p["text"], stars[p["label"]]] for p in posts)])
    return file


def set_text(panel, label: str, value: str) -> None:
    "Type into a control"
    field = panel.get_by_label(label, exact=True)
    field.fill(value)
    field.press("Enter")


def press(panel, name: str) -> None:
    "Click a button"
    panel.get_by_role("button", name=name, exact=True).click()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_person_trains_on_a_csv_without_code(start_lab, browser, tmp_path, theme):
    from playwright.sync_api import expect

    reviews, tiny = write_reviews(tmp_path / "reviews.csv"), tiny_gpt2(tmp_path / "tiny")
    dark = "dark" if theme.endswith("Dark") else "light"
    with start_lab({"panel.ipynb": read_panel()}, theme) as lab:
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        lab.open(page, "panel.ipynb")
        lab.command(page, "notebook:run-all-cells")
        panel = page.locator(".widget-vbox.ftkit-panel").first
        expect(panel).to_contain_text("2,519 rows read", timeout=120_000)
        save_picture(page, f"panel_{dark}_1_data")

        # a CSV: a wrong one first
        panel.get_by_label("Rows from").select_option("a file")
        set_text(panel, "File", "missing.csv")
        expect(panel.get_by_role("alert").first).to_contain_text("missing.csv", timeout=30_000)
        with page.expect_file_chooser() as chooser:
            panel.get_by_role("button", name="Upload a file").click()
        chooser.value.set_files(str(reviews))
        expect(panel).to_contain_text("150 rows read", timeout=60_000)
        press(panel, "Examine")
        expect(panel.locator(".ftkit-finding, .ftkit-note").first).to_be_visible(timeout=60_000)

        # settings and what they cost
        press(panel, "2 Settings")
        set_text(panel, "Base model", str(tiny))
        set_text(panel, "Batch size (rows)", "4")
        set_text(panel, "Epochs", "0")
        expect(panel.get_by_role("alert").filter(has_text="must be above 0")).to_be_visible()
        set_text(panel, "Epochs", "40")
        expect(panel.locator(".ftkit-facts").first).to_contain_text("training", timeout=120_000)
        handle = panel.locator(".noUi-handle").first
        handle.focus()
        for _ in range(3):
            handle.press("ArrowRight")
        press(panel, "Show code")
        expect(panel.locator(".ftkit-code").first).to_contain_text("learning_rate=0.00028")
        save_picture(page, f"panel_{dark}_2_settings")

        # start, watch the curve grow, stop, resume
        press(panel, "3 Training")
        press(panel, "Start")
        expect(panel).to_contain_text("is training", timeout=120_000)
        line = panel.locator("svg.ftkit-curve polyline").first
        expect(line).to_be_attached(timeout=60_000)
        count = lambda: len(line.get_attribute("points").split())
        before = count()
        page.wait_for_function(
            "n => document.querySelector('svg.ftkit-curve polyline').getAttribute('points').split(' ').length > n",
            arg=before,
            timeout=60_000,
        )
        save_picture(page, f"panel_{dark}_3_training")
        press(panel, "Stop")
        expect(panel).to_contain_text("was stopped", timeout=60_000)
        (run,) = list_runs(tmp_path / "nbs/runs")
        stopped = run.history[-1]["step"]
        assert run.status == "stopped" and stopped < run.record["max_steps"]
        press(panel, "Resume")
        expect(panel).to_contain_text("is training", timeout=120_000)

        # the page is reloaded and the kernel restarted while it trains
        lab.command(page, "docmanager:save")
        page.wait_for_timeout(1000)
        os.kill(run.read()["process"]["pid"], signal.SIGSTOP)  # so that it has not finished before
        page.reload()
        page.wait_for_selector(NOTEBOOK, timeout=60_000)
        page.wait_for_timeout(3000)
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        page.wait_for_timeout(2000)
        lab.command(page, "notebook:run-all-cells")
        panel = page.locator(".widget-vbox.ftkit-panel").last
        press(panel, "3 Training")
        expect(panel).to_contain_text("is training", timeout=120_000)
        os.kill(run.read()["process"]["pid"], signal.SIGCONT)
        expect(panel).to_contain_text("is finished", timeout=240_000)
        assert run.history[-1]["step"] == run.record["max_steps"] > stopped

        # the errors, a sentence
        press(panel, "4 Result")
        expect(panel).to_contain_text("The ladder", timeout=30_000)
        cell = panel.locator(".widget-gridbox button").nth(1)
        rows = int(cell.inner_text())
        cell.click()
        expect(panel).to_contain_text(f"of {rows} (" if rows else "no such row (")
        panel.get_by_label("Try it", exact=True).fill("What a lovely day <b>")
        press(panel, "Try")
        expect(panel.locator(".ftkit-tokens")).to_contain_text("tokens", timeout=60_000)
        press(panel, "Show report")
        expect(panel.frame_locator("iframe").locator("h1")).to_contain_text(run.path.name, timeout=20_000)
        press(panel, "Show report")
        save_picture(page, f"panel_{dark}_4_result")

        # a second run, compared with the first
        press(panel, "2 Settings")  # those of the first run: the kernel was restarted while it trained
        set_text(panel, "Epochs", "2")
        press(panel, "3 Training")
        press(panel, "Start")
        expect(panel).to_contain_text("is being prepared", timeout=30_000)
        expect(panel).to_contain_text("is finished", timeout=240_000)
        press(panel, "5 Runs")
        names = [r.path.name for r in list_runs(tmp_path / "nbs/runs")]
        panel.get_by_label("Compare run").select_option(names[0])
        panel.get_by_label("with", exact=True).select_option(names[1])
        press(panel, "Compare")
        expect(panel).to_contain_text("num_train_epochs: 40 | 2", timeout=120_000)
        save_picture(page, f"panel_{dark}_5_runs")
        page.set_viewport_size({"width": 390, "height": 1400})
        for i, name in enumerate(("1 Data", "2 Settings", "3 Training", "4 Result", "5 Runs", "6 Monitor"), 1):
            press(panel, name)
            page.wait_for_timeout(300)
            save_picture(page, f"phone_{dark}_{i}")
        lab.command(page, "docmanager:save")
        page.wait_for_timeout(1500)
        check_saved(read_notebook(tmp_path / "nbs/panel.ipynb"), run)

        # the same notebook where no kernel is
        page.set_viewport_size({"width": 1280, "height": 1400})
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        page.wait_for_timeout(1000)
        page.close()
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        lab.open(page, "panel.ipynb", kernel=False)
        static = page.locator(".ftkit-static")
        expect(static).to_be_visible(timeout=30_000)
        expect(static).to_contain_text("The ladder")
        page.wait_for_timeout(2000)
        for dead in page.get_by_text(re.compile("Loading widget|Error displaying widget")).all():
            expect(dead).to_be_hidden()
        save_picture(page, f"panel_{dark}_6_static")


def read_notebook(path: Path):
    "Return a saved notebook"
    import nbformat  # imported late: it takes seconds

    return nbformat.read(path, 4)


def to_html(notebook) -> str:
    "Return a notebook as a page"
    from nbconvert import HTMLExporter

    return HTMLExporter().from_notebook_node(notebook)[0]


def check_saved(notebook, run: RunFolder) -> None:
    "Check that a saved notebook shows every result without a kernel and without scripts"
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert "widgets" not in notebook.metadata
    for output in outputs:
        assert WIDGET not in output.data or "need a running kernel" in output.data["text/html"]
    html = to_html(notebook)
    page = BeautifulSoup(html, "html.parser")
    for script in page.find_all("script"):
        script.decompose()
    words = page.get_text(" ")
    for expected in (run.path.name, "The ladder", "Where it is wrong", "num_train_epochs: 40 | 2", "150 rows read"):
        assert expected in words, expected
    assert page.find("img", src=lambda src: src and src.startswith("data:image/png"))


def test_the_committed_panel_shows_its_results_without_a_kernel():
    notebook = read_notebook(ROOT / "nbs/panel.ipynb")
    html = to_html(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not any(WIDGET in output.get("data", {}) for output in outputs) and "widgets" not in notebook.metadata
    words = BeautifulSoup(html, "html.parser").get_text(" ")
    for expected in ("first is finished", "The ladder", "Where it is wrong", "--max_train_samples 150"):
        assert expected in words, expected
