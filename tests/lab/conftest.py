"JupyterLab and a real browser for a test."

from functools import partial
from pathlib import Path

import pytest

from lab.jupyter import CHROMIUM, open_browser, running_lab


@pytest.fixture
def start_lab(tmp_path):
    "Start JupyterLab on notebooks, given by name; a context manager"
    if not Path(CHROMIUM).exists():
        pytest.skip("Debian's chromium is not installed")
    return partial(running_lab, tmp_path)


@pytest.fixture
def browser():
    "Debian's chromium"
    with open_browser() as made:
        yield made
