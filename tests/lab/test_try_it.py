"The page of `ftkit serve` in a real browser: asking, streaming, judging, a token, hostile texts, both themes."

import os
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import expect
from serving import serving

from ftkit.files.feedback import read_entries
from ftkit.fine_tuning import fine_tune
from ftkit.settings import GENERATION, Settings
from ftkit.starter.smol import tiny_llama

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror=alert(1)>"
TOKEN = "a token of the tests 123"


@pytest.fixture(scope="module")
def hostile(tiny, tmp_path_factory):
    "The folder of a run whose label is markup, and of one that writes"
    folder = tmp_path_factory.mktemp("page")
    labels, words = [HOSTILE, "fine & good", "late"], ["grey sky", "warm bread", "the bus"]
    texts = [f"{words[i % 3]}, number {i}" for i in range(60)]
    keys = {"num_train_epochs": 1, "baselines": [], "preflight": "false"}
    rows = pd.DataFrame({"text": texts, "label": [labels[i % 3] for i in range(60)]})
    fine_tune(Settings().replace(model_name_or_path=tiny, **keys), rows, folder / "runs", "marked")
    rows = pd.DataFrame({"prompt": texts, "response": [words[i % 3] for i in range(60)]})
    keys |= {"model_name_or_path": str(tiny_llama()), "task": GENERATION, "max_generated_samples": 2}
    fine_tune(Settings().replace(**keys, max_new_tokens=30), rows, folder / "runs", "writer")
    return folder


def open_page(browser, server, theme: str):
    "Return the page in a theme, and the list of what the browser complains about"
    page = browser.new_page(color_scheme=theme, viewport={"width": 800, "height": 900})
    page.troubles = []
    page.on("console", lambda message: page.troubles.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: (page.troubles.append("a dialog"), dialog.dismiss()))
    page.on(
        "request", lambda request: page.troubles.append(request.url) if str(server.port) not in request.url else None
    )
    page.goto(f"http://127.0.0.1:{server.port}/")
    return page


def keep_picture(page, name: str) -> None:
    "Write a picture for a person to look at, if a folder is named"
    if folder := os.environ.get("FTKIT_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_text_is_answered_and_judged(hostile, browser, theme):
    with serving(hostile, "--feedback", run="marked") as server:
        page = open_page(browser, server, theme)
        expect(page.locator("#what")).to_contain_text(HOSTILE)
        page.fill("#text", HOSTILE)
        page.click("#ask")
        expect(page.locator(".bars progress")).to_have_count(3)
        assert page.locator("img").count() == 0
        keep_picture(page, f"try-it-{theme}")
        page.click("#bad")
        page.fill("#corrected", "late")
        page.click("#send")
        expect(page.locator("#kept")).to_have_text("Kept, thank you.")
        kept = read_entries(hostile / "runs/marked.feedback.jsonl")[-1]
        assert (kept["text"], kept["mark"], kept["corrected"], kept["run"]) == (HOSTILE, "bad", "late", "marked")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
        assert dark == (theme == "dark")
        page.fill("#text", "  ")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#answer .bad")).to_have_text("the text is empty")
        page.troubles = [text for text in page.troubles if "422" not in text]
        assert page.troubles == []


def test_a_text_is_written_piece_by_piece(hostile, browser):
    with serving(hostile, run="writer") as server:
        page = open_page(browser, server, "light")
        expect(page.locator("#name")).to_have_text("writer")
        page.fill("#text", "grey sky, number 1")
        page.click("#ask")
        expect(page.locator("#ask")).to_be_enabled()
        expect(page.locator("#judge")).to_be_hidden()  # no --feedback
        status, answer = server.ask({"text": "grey sky, number 1"})
        assert status == 200 and page.locator("#answer .written").text_content() == answer["text"]
        keep_picture(page, "try-it-writer")
        assert page.troubles == []


def test_a_token_opens_the_page(hostile, browser):
    with serving(hostile, run="marked", env={"FTKIT_SERVE_TOKEN": TOKEN}) as server:
        page = open_page(browser, server, "dark")
        expect(page.locator("#what")).to_have_text("Enter the token to see the model.")
        assert "marked" not in page.content()
        page.fill("#token", TOKEN)
        page.click("#enter")
        expect(page.locator("#name")).to_have_text("marked")
        page.fill("#text", "warm bread")
        page.click("#ask")
        expect(page.locator(".bars progress")).to_have_count(3)
        keep_picture(page, "try-it-token")
