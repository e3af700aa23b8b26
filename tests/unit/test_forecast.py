"The forecast: its sums, its advice, the command, and the time limit."

import json
import math
from dataclasses import replace

import pytest
from conftest import mark_slow, quick_settings, small_dataset, small_rows, write_csv
from transformers import GPT2Config, LlamaConfig

from ftkit.errors import UserError
from ftkit.fine_tuning import fine_tune, prepare
from ftkit.settings import Settings
from ftkit.trainer import training_arguments
from ftkit.training.forecast import (
    compare_candidates,
    count_batches,
    count_evaluations,
    forecast_training,
    format_seconds,
    make_forecast,
)
from ftkit.training.trial import Timing, Trial

MB = 1_000_000
TRIAL = Trial(1, (Timing(1, 100, 0.1, 0.2),), Timing(1, 100, 0.03, 0.06), 0.5, 100 * MB, 300 * MB)


@pytest.fixture(scope="module")
def plan(tiny, tmp_path_factory):
    "A training of the tiny GPT-2 that has not begun"
    return prepare(quick_settings(tiny, preflight="false"), small_dataset(), tmp_path_factory.mktemp("runs"))


def sums(plan, kind="seconds", **keys):
    "Return the parts of the forecast with other settings"
    settings = plan.settings.replace(**keys)
    args = training_arguments(**settings.section("trainer"))
    return forecast_training(TRIAL, plan.model, plan.tokens, settings, args, kind)


def test_time_is_the_sum_of_its_parts(plan):
    two, four = sums(plan), sums(plan, num_train_epochs=4)
    assert four["batches"] == pytest.approx(2 * two["batches"]) and four["updates"] == 18 * 2 * TRIAL.update_seconds
    assert four["evaluations"] == pytest.approx(2 * two["evaluations"])
    cpu = sums(plan, "cpu_seconds")
    assert two["batches"] < cpu["batches"] < 2 * two["batches"] + 1
    assert sums(plan, gradient_accumulation_steps=3)["updates"] == pytest.approx(two["updates"] / 3)
    assert sums(plan, pad_to_max_length=True)["batches"] > 3 * two["batches"]
    assert sums(plan, max_steps=9)["batches"] == pytest.approx(two["batches"] / 2)


@pytest.mark.parametrize(
    "keys, batches, updates, evaluations",
    [
        ({}, 30, 30, 3),
        ({"num_train_epochs": 1.5}, 15, 15, 2),
        ({"gradient_accumulation_steps": 4}, 30, 9, 3),
        ({"max_steps": 7}, 7, 7, 1),
        ({"eval_strategy": "steps", "eval_steps": 4}, 30, 30, 7),
        ({"eval_strategy": "steps", "eval_steps": 0.1}, 30, 30, 10),
        ({"eval_strategy": "steps", "eval_steps": 500}, 30, 30, 1),
    ],
)
def test_batches_are_counted_as_the_trainer_does(keys, batches, updates, evaluations):
    args = training_arguments(**Settings().replace(**keys).section("trainer"))
    assert count_batches(10, args) == (batches, updates)
    assert count_evaluations(updates, args) == evaluations


ACCUMULATED = {"gradient_accumulation_steps": 4}


@pytest.mark.parametrize("keys", mark_slow([{}, ACCUMULATED, {"num_train_epochs": 1.5}], fast=[ACCUMULATED]))
def test_updates_are_those_of_the_training(tiny, tmp_path, keys):
    settings = quick_settings(tiny, **keys)
    run = fine_tune(settings, small_dataset(), tmp_path, "x")
    batches = math.ceil(run.data["train"]["rows"] / settings.per_device_train_batch_size)
    args = training_arguments(**settings.section("trainer"))
    assert run.history[-1]["step"] == count_batches(batches, args)[1]


def test_memory_and_disk(plan, tmp_path):
    weights = 4 * sum(p.numel() for p in plan.model.parameters())
    found = make_forecast(TRIAL, plan.model, plan.tokens, plan.settings, plan.args, tmp_path / "not/yet/there")
    assert found.peak_bytes == pytest.approx(300 * MB + 2 * weights + 3 * weights, rel=0.01)
    assert found.disk_bytes == pytest.approx(4 * 3 * weights + weights, rel=0.1) and found.fits
    assert found.total_seconds > found.train_seconds > 0 and found.threads == 1
    huge = replace(TRIAL, peak_bytes=10**15)
    assert not make_forecast(huge, plan.model, plan.tokens, plan.settings, plan.args, tmp_path).fits


def test_advice_holds(plan, tmp_path):
    "What the advice says to write leads to what it says"
    found = make_forecast(TRIAL, plan.model, plan.tokens, plan.settings, plan.args, tmp_path)
    time, memory, disk, _ = found.advice
    assert time.startswith("half the time: num_train_epochs = 1 (")
    assert sum(sums(plan, num_train_epochs=1).values()) == pytest.approx(found.train_seconds / 2, rel=0.05)
    assert "per_device_train_batch_size = 4, gradient_accumulation_steps = 2" in memory
    args = training_arguments(**plan.settings.replace(save_total_limit=1).section("trainer"))
    fewer = make_forecast(TRIAL, plan.model, plan.tokens, plan.settings, args, tmp_path).disk_bytes
    assert disk == f"less disk: save_total_limit = 1 ({fewer / MB:.0f} MB)"


def test_minutes_limit_the_forecast(plan, tmp_path):
    settings = plan.settings.replace(num_train_epochs=1000, minutes=1)
    args = training_arguments(**settings.section("trainer"))
    found = make_forecast(TRIAL, plan.model, plan.tokens, settings, args, tmp_path)
    assert found.train_seconds == 60 and "minutes = 1 is enough for about" in found.advice[0]


@pytest.mark.parametrize("seconds, text", [(3.4, "3 s"), (99, "99 s"), (120, "2 min"), (7000, "1 h 57 min")])
def test_seconds_are_spelled(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    "keys",
    [
        {"eval_strategy": "steps", "eval_steps": 1000},
        *(pytest.param(keys, marks=pytest.mark.slow) for keys in ({}, {"eval_strategy": "no"})),
    ],
)
def test_training_ends_at_its_time_limit(tiny, tmp_path, keys):
    settings = quick_settings(tiny, num_train_epochs=5000, minutes=0.05, **keys)
    run = fine_tune(settings, small_dataset(), tmp_path, "x")
    limit, last = run.record["time_limit"], run.history[-1]["step"]
    assert run.status == "finished" and limit == {"step": last, "of": 45_000} and 0 < last < 45_000
    assert run.record["timing"]["train_seconds"] < 3 + 3  # the last step, evaluation and save
    assert run.metrics["test"]["accuracy"].n > 0 and (run.path / "model/config.json").is_file()
    if "no" not in keys.values():
        evaluated = [row["step"] for row in run.history if "eval_loss" in row]
        assert evaluated[-1] == last and len(set(evaluated)) == len(evaluated)
    assert f"time limit, after step {last} of 45000" in (run.path / "report.html").read_text()


@pytest.mark.slow
def test_time_of_a_resumed_run_counts(tiny, tmp_path, monkeypatch):
    from runs import raise_at_step

    settings = quick_settings(tiny, num_train_epochs=5000, minutes=1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        raise_at_step(patch, 30)
        fine_tune(settings, small_dataset(), tmp_path, "x")
    from ftkit.fine_tuning import Run

    run = Run.load("x", tmp_path)
    run.update(timing={**run.record["timing"], "train_seconds": 100.0})  # more than there is
    resumed = run.resume(small_dataset())
    assert resumed.status == "finished" and 27 <= resumed.record["time_limit"]["step"] <= 31


def test_command_says_what_a_training_takes(tiny, ftkit, tmp_path):
    keys = ["--model_name_or_path", tiny, "--train_file", write_csv(tmp_path / "mine.csv", small_rows(90))]
    keys += ["--text_column_name", "review", "--label_column_name", "stars"]
    done = ftkit("forecast", *keys, "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["fits"] is True and found["advice"]
    for key in ("train_seconds", "train_cpu_seconds", "total_seconds", "peak_bytes", "disk_bytes"):
        assert found[key] > 0
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("[!.]*"))
    told = ftkit("forecast", *keys, cwd=tmp_path)
    assert told.returncode == 0 and "half the time" in told.stdout and "fits      yes" in told.stdout


@pytest.mark.parametrize("flags", [["--train_file", "no.csv"], ["--epochs", "3"], ["--minutes", "0"], ["mine.csv"]])
def test_command_refuses_in_one_line(flags, ftkit, tmp_path):
    done = ftkit("forecast", *flags, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "runs").exists()


def test_candidates_need_no_weights(tmp_path):
    GPT2Config().save_pretrained(tmp_path / "gpt2")
    LlamaConfig().save_pretrained(tmp_path / "llama-7b")
    small, large = compare_candidates([str(tmp_path / "gpt2"), str(tmp_path / "llama-7b")], tokens=10_000)
    assert small["parameters"] == 124_439_808 and large["parameters"] == pytest.approx(6.6e9, rel=0.02)
    assert small["flops_per_token"] == pytest.approx(6 * 85e6, rel=0.1)
    assert large["minutes"] > 30 * small["minutes"] > 0
    assert (small["fits"], large["fits"]) == ("laptop, 16 GB", "none of these")
    with pytest.raises(UserError, match="no model can be loaded|there is no"):
        compare_candidates([str(tmp_path / "missing")], tokens=10)
