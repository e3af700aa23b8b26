"The report: one page, in which text from data is text."

from bs4 import BeautifulSoup
from conftest import quick_settings
from datasets import Dataset

from ftkit.fine_tuning import fine_tune


def test_report_escapes_hostile_texts(tiny, tmp_path, drawing):
    hostile = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "</td></table><svg onload=alert(1)>",
        "</textarea><b>",
    ]
    rows = [{"text": f"{hostile[i % 4]} {i}", "label": ["<i>a</i>", "b & c"][i % 2]} for i in range(80)]
    run = fine_tune(
        quick_settings(tiny, num_train_epochs=1, learning_rate=1e-9), Dataset.from_list(rows), tmp_path, "x"
    )
    page = BeautifulSoup(run.report().read_text(encoding="utf-8"), "html.parser")
    assert not page.find_all(["script", "svg", "i", "textarea"]) and not [
        t for t in page.find_all() for a in t.attrs if a.startswith("on")
    ]
    images = [image["src"] for image in page.find_all("img")]
    assert images and all(src.startswith("data:image/png;base64,iVBOR") for src in images)
    assert "<script>" in page.get_text()
