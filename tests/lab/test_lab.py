"The first notebook, opened and run in JupyterLab in a real browser."

import json
import re

import pytest
from conftest import ROOT

from lab.jupyter import save_picture

NOTEBOOK = "00_ten_lines.ipynb"
OWN_ROWS = "c025"  # a second training, of which JupyterLab shows nothing new


def reduce_settings(notebook: dict) -> None:
    "Leave out the second training, and change the settings of the first to a few rows, one epoch and cheap rungs"
    source = "".join("".join(cell["source"]) for cell in notebook["cells"])
    assert "max_train_samples=" in source and "num_train_epochs=" in source
    assert OWN_ROWS in {cell["id"] for cell in notebook["cells"]}
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] != OWN_ROWS]
    for cell in notebook["cells"]:
        text = re.sub(r"max_train_samples=\d+, ", "", "".join(cell["source"]))
        few = (
            'max_train_samples=60, max_eval_samples=40, max_predict_samples=40, num_train_epochs=1, preflight="false"'
        )
        if "baselines=" not in text:
            few += ', baselines=["majority", "tfidf"]'
        cell["source"] = re.sub(r"num_train_epochs=\d+", few, text)


@pytest.mark.parametrize("size", ["reduced", pytest.param("as it is", marks=pytest.mark.slow)])
def test_ten_lines_run_in_jupyterlab(start_lab, browser, size):
    from playwright.sync_api import expect

    notebook = json.loads((ROOT / "nbs" / NOTEBOOK).read_text(encoding="utf-8"))
    if size == "reduced":
        reduce_settings(notebook)
    with start_lab({NOTEBOOK: notebook}) as lab:
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        lab.open(page, NOTEBOOK)
        lab.command(page, "notebook:clear-all-cell-outputs")
        lab.command(page, "notebook:run-all-cells")
        prompt = page.locator(".jp-CodeCell").last.locator(".jp-InputPrompt")
        expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=240_000)  # [ ] before, [*] while it waits
        assert page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').count() == 0
        assert page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
        assert page.locator(".jp-OutputArea-output img").count() >= 1
        save_picture(page, "ten_lines")
