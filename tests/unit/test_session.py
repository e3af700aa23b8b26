"A process at work on a run: however it ends, the record has the end."

import json

import pytest

from ftkit.errors import NotFinite, RunFailed, UserError
from ftkit.runs.folder import RunFolder
from ftkit.runs.session import create_run, reopen_run
from ftkit.settings import Settings

REPORT = {split: {"sha256": split} for split in ("train", "validation", "test")}
ENDS = {
    "success": (None, "finished", None),
    "error": (ZeroDivisionError("by zero"), "failed", "ZeroDivisionError: by zero"),
    "not finite": (NotFinite("the loss is nan"), "failed", "NotFinite: the loss is nan"),
    "interrupt": (KeyboardInterrupt(), "stopped", "interrupted"),
    "terminated": (SystemExit(143), "stopped", "terminated"),
}


def end_run(folder, error=None, trained=False):
    "Make the run `x` and end its work"
    try:
        with create_run(Settings(), folder, "x") as run:
            if trained:
                run.log(step=1, loss=1.0)
            if error:
                raise error
    except BaseException as raised:
        assert raised is error
    return RunFolder(folder / "x")


@pytest.mark.parametrize("error, status, reason", ENDS.values(), ids=ENDS)
def test_status_follows_the_end(tmp_path, error, status, reason):
    run = end_run(tmp_path, error)
    assert (run.record["status"], run.record["reason"]) == (status, reason)
    assert run.record["timing"]["total_seconds"] > 0 and not (run.path / ".reserve").exists()


def test_dead_run_is_failed(tmp_path):
    session = create_run(Settings(), tmp_path, "x")
    assert session.run.status == "running"
    session.lock.release()
    assert session.run.status == "failed"


def test_early_user_error_leaves_nothing(tmp_path):
    end_run(tmp_path, UserError("wrong"))
    assert list(tmp_path.iterdir()) == []


def test_late_user_error_keeps_the_run(tmp_path):
    assert end_run(tmp_path, UserError("wrong"), trained=True).status == "failed"


def test_full_disk_is_named_in_bytes(tmp_path):
    with pytest.raises(RunFailed, match=r"No space left on device.* are free. Free some space first"):
        with create_run(Settings(), tmp_path, "x"):
            raise OSError(28, "No space left on device")
    assert RunFolder(tmp_path / "x").status == "failed"


def test_secret_stays_out_of_the_record(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_not_a_real_one")
    run = end_run(tmp_path, RuntimeError("401 for hf_not_a_real_one"))
    assert run.record["reason"] == "RuntimeError: 401 for ***"


def test_stopped_run_is_reopened(tmp_path):
    run = end_run(tmp_path, KeyboardInterrupt())
    run.update(data=REPORT, tokens_sha256="tokens")
    with reopen_run(run, REPORT, "tokens") as again:
        assert again.status == "running" and len(again.record["resumed"]) == 1
    assert run.status == "finished"


@pytest.mark.parametrize(
    "error, changed, tokens, message",
    [
        (None, {}, "tokens", "it is finished"),
        (KeyboardInterrupt(), {"train": {"sha256": "other"}}, "tokens", "its train rows are not those"),
        (KeyboardInterrupt(), {}, "other", "its tokenizer gives other tokens"),
    ],
    ids=["finished", "rows", "tokens"],
)
def test_changed_run_stays_closed(tmp_path, error, changed, tokens, message):
    run = end_run(tmp_path, error)
    run.update(data=REPORT, tokens_sha256="tokens")
    before = json.loads((run.path / "run.json").read_text())
    with pytest.raises(UserError, match=message):
        reopen_run(run, {**REPORT, **changed}, tokens)
    assert json.loads((run.path / "run.json").read_text()) == before and not run.is_alive()


def test_second_process_is_refused(tmp_path):
    session = create_run(Settings(), tmp_path, "x")
    with pytest.raises(UserError, match="another process is working on this run"):
        reopen_run(session.run, REPORT, "tokens")
    session.lock.release()


def test_stop_is_one_line_in_a_notebook(capsys):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.run_cell("from ftkit.training.callbacks import Interrupted\nraise Interrupted(2)")
    shown = capsys.readouterr().out.splitlines()
    assert shown == ["Interrupted: the training was stopped; the line above says how to resume the run"]
