"Trial steps: they choose the threads within their budget, and leave everything as it was."

import json
import random

import numpy as np
import pytest
import torch
from conftest import quick_settings, small_dataset

from ftkit.fine_tuning import fine_tune, prepare
from ftkit.model_init import weights_sha256
from ftkit.settings import Settings
from ftkit.training import trial as trials
from ftkit.training.trial import Timing, Trial, candidates, run_trial, time_batches

MEDIAN, LONGEST = 0, 1


def time_with(seconds, total=100):
    "Return the timings of steps that take `seconds[threads]`, twice that for the longest batch"
    return time_batches(
        lambda i, n: Timing(n, 100 * (1 + i), seconds[n] * (1 + i), seconds[n]), MEDIAN, LONGEST, [*seconds], total
    )


@pytest.mark.parametrize(
    "seconds, chosen",
    [
        ({1: 0.1, 2: 0.8}, 1),  # a busy machine
        ({1: 0.1, 2: 0.097}, 1),  # a gain that is not worth a second thread
        ({1: 0.2, 2: 0.1}, 2),
        ({1: 0.4, 2: 0.2, 4: 0.1, 8: 0.095, 16: 0.3}, 4),
        ({1: 0.1, 2: 0.2, 4: 0.01}, 1),  # where two do not help, four are not tried
        ({3: 0.1}, 3),
    ],
)
def test_fastest_threads_are_chosen(seconds, chosen):
    timed = time_with(seconds)
    assert timed[-1].threads == chosen
    assert {t.tokens for t in timed if t.threads == chosen} == {100, 200}


@pytest.mark.parametrize("seconds, chosen", [({1: 6.5, 2: 3.6}, 2), ({1: 8, 2: 4.2, 4: 2.4}, 4), ({1: 6, 2: 9}, 1)])
@pytest.mark.parametrize("total", [2, 40])
def test_few_long_steps_still_try_every_number_of_threads(seconds, chosen, total):
    assert time_with(seconds, total)[-1].threads == chosen


@pytest.mark.parametrize("seconds", [0.01, 0.7, 2.0, 40.0])
@pytest.mark.parametrize("total", [2, 100, 10_000])
def test_steps_stay_within_their_budget(seconds, total):
    timed = time_with({1: seconds, 2: seconds, 4: seconds}, total)
    spent = sum(t.seconds for t in timed)
    assert spent <= max(3.0, 0.05 * total * seconds, 3 * seconds)  # one of median, one of double length


def test_step_that_is_not_finite_ends_the_trial():
    steps = iter([Timing(1, 100, 0.1, 0.1), None])
    assert time_batches(lambda i, n: next(steps), MEDIAN, LONGEST, [1], 100) == []
    assert time_batches(lambda i, n: None, MEDIAN, LONGEST, [1], 100) == []


def test_threads_that_were_decided_are_used(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(trials, "count_cores", lambda: 6)
    assert candidates(Settings()) == [1, 2, 4, 6]
    assert candidates(Settings(), known=4) == [4]
    assert candidates(Settings(num_threads=3), known=4) == [3]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert candidates(Settings(), known=4) == [torch.get_num_threads()]


def test_costs_lie_on_the_line_through_what_was_timed():
    warm_up = Timing(1, 100, 9.0, 9.0)
    timings = (warm_up, Timing(1, 100, 0.2, 0.2), Timing(2, 100, 0.1, 0.2), Timing(1, 300, 0.4, 0.4))
    forward = Timing(1, 200, 0.1, 0.1)
    found = Trial(1, timings, forward, 0.0, 0, 0)
    assert found.batch_cost(np.array([100, 200, 300, 400])).tolist() == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert found.forward_cost(np.array([200, 400])).tolist() == pytest.approx([0.1, 0.2])
    one = Trial(2, timings, forward, 0.0, 0, 0)
    assert one.batch_cost(np.array([50, 100, 200])).tolist() == pytest.approx([0.05, 0.1, 0.2])


@pytest.fixture
def plan(tiny, tmp_path):
    "A training of the tiny GPT-2 that has not begun"
    return prepare(quick_settings(tiny, method="full"), small_dataset(), tmp_path)


def test_trial_changes_nothing(plan, monkeypatch, tmp_path):
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    before = weights_sha256(plan.model), torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    mode, threads = plan.model.training, torch.get_num_threads()
    monkeypatch.setattr(trials, "candidates", lambda *_: [1, 2])
    found = run_trial(plan.model, plan.tokens, plan.settings, plan.args, tmp_path, **plan.pieces)
    after = weights_sha256(plan.model), torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert after[0] == before[0] and torch.equal(after[1], before[1]) and after[2:] == before[2:]
    assert all(p.grad is None for p in plan.model.parameters())
    assert plan.model.training == mode and torch.get_num_threads() == threads
    assert len(found.timings) > 1 and found.peak_bytes >= found.base_bytes > 0 and found.update_seconds > 0


def test_trained_weights_are_those_without_a_trial(tiny, tmp_path, monkeypatch):
    settings = quick_settings(tiny, num_train_epochs=1)
    with_trial = fine_tune(settings, small_dataset(), tmp_path, "with")
    monkeypatch.setattr("ftkit.fine_tuning.run_trial", lambda *args, **kwargs: None)
    without = fine_tune(settings.replace(preflight=False), small_dataset(), tmp_path, "without")
    assert with_trial.record["weights"] == without.record["weights"]
    assert with_trial.record["forecast"]["train_seconds"] > 0 and without.record["forecast"]["train_seconds"] is None
    assert with_trial.record["preflight"] and not without.record["preflight"]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_trial_without_memory_leaves_it_to_the_training(plan, error, monkeypatch, tmp_path, caplog):
    caplog.set_level("INFO")

    def fail(*args):
        raise error

    monkeypatch.setattr(trials, "time_batch", fail)
    assert run_trial(plan.model, plan.tokens, plan.settings, plan.args, tmp_path, **plan.pieces) is None
    assert "ran out of memory: there is no forecast" in caplog.text
    assert all(p.grad is None for p in plan.model.parameters())


def test_same_experiment_gets_the_same_threads(plan, monkeypatch, tmp_path):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(trials, "count_cores", lambda: 2)
    asked = []

    def choose(step, median, longest, threads, total):
        asked.append(threads)
        return [Timing(2, 100, 0.1, 0.1)]

    monkeypatch.setattr(trials, "time_batches", choose)
    again = lambda: run_trial(plan.model, plan.tokens, AUTO, plan.args, tmp_path, **plan.pieces).threads
    AUTO = plan.settings.replace(num_threads="auto")
    cache = tmp_path / ".cache/threads.json"
    assert [again(), again()] == [2, 2] and asked == [[1, 2], [2]]
    assert list(json.loads(cache.read_text()).values()) == [2]
    for damaged in ("", "[1]", '{"x": 1}', json.dumps(dict.fromkeys(json.loads(cache.read_text()), 999))):
        cache.write_text(damaged)
        assert again() == 2 and asked[-1] == [1, 2]
    cache.unlink(), cache.parent.rmdir()
    cache.parent.write_text("a file in its place")
    assert again() == 2


def test_number_of_threads_is_kept(tiny, tmp_path):
    settings = quick_settings(tiny, num_train_epochs=1)
    before = torch.get_num_threads()
    run = fine_tune(settings, small_dataset(), tmp_path, "auto")
    assert run.settings.num_threads == before and run.record["auto"] == ["num_threads"]
    assert "num_threads = " in (run.path / "settings.ini").read_text()
    told = fine_tune(settings.replace(num_threads=before + 1), small_dataset(), tmp_path, "told")
    assert told.record["machine"]["threads"] == before + 1 and told.record["auto"] == []
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("wrong", ["0", "many", "1.5", "-2", "none"])
def test_wrong_number_of_threads_is_refused(wrong, ftkit, tmp_path):
    done = ftkit("train", "--num_threads", wrong, cwd=tmp_path)
    assert done.returncode == 2 and "num_threads" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_rerun_uses_the_threads_of_the_run(tiny, tmp_path, caplog):
    before = torch.get_num_threads()
    settings = quick_settings(tiny, num_train_epochs=1, num_threads=before + 1)
    run = fine_tune(settings, small_dataset(), tmp_path, "x")
    again = run.rerun(small_dataset(), "again")
    assert again.record["machine"]["threads"] == before + 1 and again.record["rerun"]["outcome"] == "identical"
    assert "changed since" not in caplog.text
    old = (run.path / "settings.ini").read_text().replace(f"num_threads = {before + 1}", "num_threads = auto")
    (run.path / "settings.ini").write_text(old)  # as in a run of an older version
    assert run.rerun(small_dataset(), "older").record["machine"]["threads"] == before + 1
