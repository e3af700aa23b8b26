"The files of a run: replaced atomically, read as they are."

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from ftkit.errors import UserError
from ftkit.runs.folder import RunFolder, check_name, to_json_value
from ftkit.runs.session import create_run
from ftkit.settings import Settings


def test_record_is_never_torn(tmp_path):
    session, torn, done = create_run(Settings(), tmp_path, "x"), [], threading.Event()
    run = session.run

    def poll():
        while not done.is_set():
            try:
                json.loads((run.path / "run.json").read_text())
            except ValueError as e:
                torn.append(e)

    reader = threading.Thread(target=poll)
    reader.start()
    for i in range(200):
        run.update(filler="x" * i * 20)
    done.set()
    reader.join()
    assert torn == []


def test_torn_line_ends_the_history(tmp_path):
    run = RunFolder(tmp_path)
    run.write_history([{"step": 1}, {"step": 2}])
    with open(tmp_path / "log.jsonl", "a") as f:
        f.write('{"step": 3, "lo')
    assert run.history == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("name", ["", ".x", "../x", "a b", "x" * 65, "é", 7], ids=str)
def test_odd_name_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="use only letters, digits"):
        check_name(name, tmp_path)


def test_unreadable_record_is_one_line(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="its run.json cannot be read"):
        RunFolder(tmp_path).status


@pytest.mark.parametrize(
    "value, written",
    [(float("nan"), "nan"), (np.float32(0.5), 0.5), ((1, None), [1, None]), ({1: Path("a")}, {"1": "a"})],
    ids=["nan", "number", "tuple", "path"],
)
def test_value_becomes_json(value, written):
    assert to_json_value(value) == written
