"Packages are found although a script of their name lies next to the program."

import subprocess
import sys

import pytest

from ftkit.installed import import_installed

PROGRAM = """
import sys
if sys.argv[1:] == ["first"]:
    import evaluate as script
    assert script.MINE
from ftkit.metrics import Accuracy
assert Accuracy().compute(predictions=[0, 1], references=[0, 0]) == {"accuracy": 0.5}
if sys.argv[1:] == ["first"]:
    assert sys.modules["evaluate"] is script
"""


@pytest.mark.slow
def test_script_named_like_a_package_is_passed_by(tmp_path):
    (tmp_path / "evaluate.py").write_text("MINE = True\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    for words in ([], ["first"]):
        done = subprocess.run([sys.executable, tmp_path / "program.py", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_path_stays_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "filelock.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.path)
    monkeypatch.delitem(sys.modules, "filelock")
    assert hasattr(import_installed("filelock"), "__path__") and sys.path == before
