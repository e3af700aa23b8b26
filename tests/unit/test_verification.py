"`ftkit serve --verify`: a real server is asked for the rows of a run."

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from processes import Command

from ftkit.errors import RunFailed
from ftkit.fine_tuning import Run, fine_tune
from ftkit.serving import verification
from ftkit.serving.questions import ITEMS
from ftkit.serving.verification import compare_answers, describe_verification, split_requests, verify
from ftkit.settings import GENERATION, MULTI_LABEL, REGRESSION, Settings
from ftkit.starter.smol import tiny_llama


@pytest.fixture
def run(trained, tmp_path):
    "A copy of the small run"
    return Run(shutil.copytree(trained[0] / "runs/small", tmp_path / "small"))


def change(run: Run, row: int, **values) -> None:
    "Replace values of a row of predictions.parquet"
    frame = run.predictions
    for name, value in values.items():
        frame[name] = [value if i == row else old for i, old in enumerate(frame[name])]
    run.write_predictions(frame)


def test_served_is_evaluated(run):
    result = verify(run)
    assert result["rows"] == len(run.predictions) and result["largest_difference"] <= 1e-5
    assert "18 rows over HTTP, same answers" in describe_verification(result)[0]


def test_the_first_row_that_differs_is_named(run):
    logits = run.predictions.logits[11]
    change(run, 11, logits=np.array([9, -9, 0], dtype=np.float32))
    with pytest.raises(RunFailed, match=r"row 12 of predictions.parquet \(test\): "):
        verify(run)
    change(run, 11, logits=logits + np.array([1e-3, 0, 0], dtype=np.float32))
    with pytest.raises(RunFailed, match=r"row 12 of predictions.parquet \(test\): score"):
        verify(run)
    done = Command("serve", run.path, "--verify", cwd=run.path.parent).result()
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("ftkit: ") and "row 12" in done.stderr


def test_long_rows_are_counted(run, monkeypatch):
    monkeypatch.setattr(verification, "CHARACTERS", 30)
    lengths = run.predictions.text.str.len()
    result = verify(run)
    assert 0 < result["too_long"] == (lengths > 30).sum() and result["rows"] == (lengths <= 30).sum()
    assert "longer" in describe_verification(result)[-1]


@pytest.mark.parametrize(
    "stored, got, problem",
    [
        ({"label": "a", "score": 0.5}, {"label": "a", "score": 0.500009}, None),
        ({"label": "a", "score": 0.5}, {"label": "a", "score": 0.50002}, "score is 0.50002"),
        ({"label": "a", "score": 0.5}, {"label": "b", "score": 0.5}, "label is 'b'"),
        ({"label": "a", "score": 0.5}, {"label": "a", "score": float("nan")}, "score is nan"),
        ({"labels": ["a"]}, {"labels": ["a", "b"]}, "labels is"),
        ({"scores": {"a": 0.5}}, {"scores": {"a": 0.6}}, "scores of a is 0.6"),
        ({"scores": {"a": 0.5}}, {"scores": {"a": 0.5, "b": 0.5}}, "scores of b"),
        ({"value": 250000.0}, {"value": 250001.0}, None),  # of a large number the share counts
        ({"value": 250000.0}, {"value": 250010.0}, "value is 250010"),
        ({"text": "yes", "finish_reason": "stop"}, {"text": "no", "finish_reason": "stop"}, "text is 'no'"),
        ({"label": "a"}, {"error": "the text is empty"}, "label is None"),
    ],
)
def test_answers_are_compared(stored, got, problem):
    if problem is None:
        assert compare_answers(stored, got, "row 1") <= 1e-5
    else:
        with pytest.raises(RunFailed, match=f"row 1: {problem}"):
            compare_answers(stored, got, "row 1")


def test_requests_keep_the_limits_and_the_splits():
    asked = ["x"] * 500 + ["y" * 90_000] * 30
    splits = ["validation"] * 100 + ["test"] * 430
    found = split_requests(list(range(530)), asked, splits)
    assert [i for some in found for i in some] == list(range(530))
    assert all(len({splits[i] for i in some}) == 1 and len(some) <= ITEMS for some in found)
    assert all(sum(len(json.dumps(asked[i])) + 2 for i in some) < 1_000_000 for some in found)


WORDS = ["warm bread", "late bus", "grey sky", "fine day"]
TEXTS = [f"{WORDS[i % 4]}{' and so on' * (i % 5)}, number {i}" for i in range(60)]
OTHERS = {
    MULTI_LABEL: {"label": [[["a"], ["b"], ["a", "b"], []][i % 4] for i in range(60)]},
    REGRESSION: {"label": [1000.0 * (i % 4) + i for i in range(60)]},
    GENERATION: {"response": [WORDS[i % 4] for i in range(60)]},
}


@pytest.mark.slow
@pytest.mark.parametrize("task", OTHERS)
def test_every_task_is_served_as_it_was_evaluated(task, tiny, tmp_path):
    base, column = tiny, "text"
    if task == GENERATION:
        base, column = str(tiny_llama()), "prompt"
    rows = pd.DataFrame({column: TEXTS, **OTHERS[task]})
    keys = {"task": task, "model_name_or_path": base, "num_train_epochs": 1, "baselines": [], "preflight": "false"}
    run = fine_tune(Settings().replace(**keys, num_resamples=100), rows, tmp_path, "x")
    result = verify(run)
    assert result["rows"] >= 10 and result["largest_difference"] <= 1e-5
