"The site: built from the committed notebooks without a network, and read in a browser where there is one."

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

pytestmark = pytest.mark.slow  # the build takes half a minute; the workflow `docs` builds the site of every change


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "The built site"
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "nbs", "ftkit"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    subprocess.run([sys.executable, "docs/stage.py"], cwd=folder, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "-c", "docs", "_site_src", "_site"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "_site"


def read_page(site: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((site / name).read_text(encoding="utf-8"), "html.parser")


def test_navigation_follows_the_steps(site):
    links = [a["href"] for a in read_page(site, "index.html").select(".bd-sidebar-primary a.reference.internal")]
    numbered = [link for link in links if re.match(r"\d\d_", link)]
    assert numbered == sorted(numbered) and len(numbered) >= 9


def test_exported_function_has_an_entry(site):
    entry = read_page(site, "03_data.html").find(id="ftkit.data.load_data")
    assert entry is not None and "max_train_samples" in entry.parent.get_text()


def test_first_use_of_a_term_leads_to_the_glossary(site):
    links = read_page(site, "04_tokenizer.html").select('a[href="glossary.html#term-pad-token"]')
    assert [link.get_text() for link in links] == ["pad token"]
    assert read_page(site, "glossary.html").find(id="term-pad-token")


def test_site_fetches_nothing(site):
    for file in site.glob("*.html"):
        soup = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
        sources = [t.get("src") for t in soup.find_all(["script", "img"])] + [
            t.get("href") for t in soup.find_all("link") if "canonical" not in t.get("rel", [])
        ]
        assert not [s for s in sources if s and re.match(r"(https?:)?//", s)], file.name


def test_pages_fit_the_browser(site):
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("Debian's chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        for width in (1280, 390):
            tab = browser.new_page(viewport={"width": width, "height": 900})
            problems = []
            tab.on("pageerror", lambda e: problems.append(str(e)))
            tab.on("request", lambda r: problems.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
            for name in ("index.html", "06_metrics.html", "07_trainer.html"):
                tab.goto((site / name).as_uri())
                assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1"), (
                    f"{name} is wider than {width}"
                )
            assert problems == []
        browser.close()
