"Log lines: without secrets and control characters, where a person reads them."

import logging
import os
import subprocess
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell

from ftkit.views import console

SECRET = "hf_not_a_real_one"


@pytest.fixture
def log(monkeypatch):
    "A logger with the handler alone, in a terminal"
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setattr(console, "_shell", lambda: None)
    logger = logging.Logger("ftkit.test")
    logger.addHandler(console.ConsoleHandler())
    return logger


@pytest.mark.parametrize(
    "message, line",
    [
        ("plain", "plain"),
        (f"401 for {SECRET}", "401 for ***"),
        ("https://me:word@host/x", "https://***@host/x"),
        ("\x1b[2Jgone\nftkit: forged", r"\x1b[2Jgone\nftkit: forged"),
        ("left \u202e right", r"left \u202e right"),
    ],
    ids=["plain", "token", "password", "control characters", "direction"],
)
def test_line_is_cleaned(log, capsys, message, line):
    log.info("%s", message)
    assert capsys.readouterr() == ("", line + "\n")


def test_notebook_line_is_on_stdout(log, capsys, monkeypatch):
    monkeypatch.setattr(console, "_shell", InteractiveShell)
    log.info("a line")
    assert capsys.readouterr() == ("a line\n", "")


def test_wrong_format_does_not_raise(log, capsys):
    log.info("%d", "no number")
    assert "no number" in capsys.readouterr().err


def test_broken_pipe_does_not_raise():
    code = """
import logging, os
from ftkit.views.console import install_handler
install_handler()
for number in range(3):
    logging.getLogger("ftkit.test").info("line %d", number)
os.write(1, b"done")
"""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=write)
    os.close(write)
    assert done.returncode == 0 and done.stdout == b"done"


def test_handler_is_installed_once(monkeypatch):
    logger = logging.getLogger("ftkit")
    monkeypatch.setattr(logger, "handlers", [])
    console.install_handler()
    console.install_handler()
    assert [type(handler) for handler in logger.handlers] == [console.ConsoleHandler] and not logger.propagate


def test_configured_logger_is_left_alone(monkeypatch):
    theirs = logging.NullHandler()
    monkeypatch.setattr(logging.getLogger("ftkit"), "handlers", [theirs])
    console.install_handler()
    assert logging.getLogger("ftkit").handlers == [theirs]


@pytest.mark.parametrize("message, shown", [("model LOAD REPORT from x", False), ("another warning", True)])
def test_load_report_alone_is_hidden(message, shown):
    record = logging.LogRecord("transformers", logging.WARNING, "", 0, message, (), None)
    assert console.is_no_load_report(record) == shown


@pytest.mark.parametrize(
    "lines, shown",
    [
        (["logging_steps: 0.01 (from args) != 1 (from trainer_state.json)"], False),
        (["logging_steps: 5 (from args) != 1 (from trainer_state.json)"], True),
        (["logging_steps: 0.01 (from args) != 1 (from trainer_state.json)", "per_device_train_batch_size: 8 …"], True),
    ],
)
def test_false_warning_of_a_resumed_run_is_left_out(lines, shown):
    text = "Warning: The following arguments do not match the ones in the `trainer_state.json`: "
    record = logging.LogRecord("x", logging.WARNING, "x", 1, text + "".join(f"\n\t{line}" for line in lines), (), None)
    assert console.is_news(record) == shown


def test_best_checkpoint_of_a_resumed_run_is_not_missed():
    text = "The best checkpoint runs/x/checkpoints/.staging/checkpoint-78 recorded in the resumed state does not "
    for end, shown in (("exist anymore. Ignoring it for this run.", False), ("load", True)):
        record = logging.LogRecord("x", logging.WARNING, "x", 1, text + end, (), None)
        assert console.is_news(record) == shown
