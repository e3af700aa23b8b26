"Whole runs: what they learn, what they keep, what changes their weights."

import random

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import mark_slow, quick_settings, small_dataset

from ftkit.data import load_data
from ftkit.errors import NOTHING_MADE
from ftkit.fine_tuning import fine_tune
from ftkit.metrics import softmax
from ftkit.settings import Settings
from ftkit.views.errors import error_table
from ftkit.views.scores import describe_others

README = {"max_train_samples": 600, "num_train_epochs": 2, "per_device_train_batch_size": 16}


@pytest.mark.slow  # nbs/index.ipynb makes this run and asserts the same
def test_readme_run_beats_tfidf(tmp_path):
    run = fine_tune(Settings(baselines=["tfidf"], **README), runs_dir=tmp_path)
    assert run.verdicts[0].b == "tfidf" and run.verdicts[0].low > 0 and run.verdicts[0].p < 0.05


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_starter_beats_tfidf(tmp_path):
    run = fine_tune(Settings(baselines=["majority", "tfidf"]), runs_dir=tmp_path)
    verdict = run.verdicts[1]
    assert verdict.b == "tfidf" and verdict.low > 0 and verdict.p < 0.01
    assert run.metrics["test"]["accuracy"].low > run.baselines["tfidf"]["accuracy"].value


STRATEGIES = ["random", "group_by_length", "sequential"]


@pytest.mark.parametrize("strategy", mark_slow(STRATEGIES, fast=["group_by_length"]))
def test_predictions_keep_row_order(tiny, tmp_path, strategy):
    data, _ = load_data(small_dataset())
    run = fine_tune(quick_settings(tiny, train_sampling_strategy=strategy), small_dataset(), tmp_path, "x")
    for name in ("validation", "test"):
        rows = run.predictions.query("split == @name")
        assert rows.text.tolist() == data[name]["text"][:] and rows.label.tolist() == [
            data[name].features["label"].int2str(i) for i in data[name]["label"]
        ]
        answers = run.predict(rows.text.tolist())
        assert np.allclose([list(a["scores"].values()) for a in answers], softmax(np.stack(rows.logits)), atol=1e-5)


@pytest.mark.slow
def test_weights_ignore_evaluation_and_random_state(tiny, tmp_path):
    def final(name, stray=0, **keys):
        torch.rand(1 + stray)
        return fine_tune(quick_settings(tiny, **keys), small_dataset(), tmp_path, name).record["weights"][
            "final_sha256"
        ]

    wanted = final("a", load_best_model_at_end=False)
    assert final("b", stray=7, load_best_model_at_end=False) == wanted
    assert final("c", eval_strategy="no") == wanted
    assert final("d", eval_strategy="steps", eval_steps=3, save_strategy="no", load_best_model_at_end=False) == wanted
    assert final("e", load_best_model_at_end=False, seed=1) != wanted


@pytest.mark.parametrize("method", mark_slow(["lora", "top_k", "head"], fast=["lora"]))
def test_every_method_saves_a_model(tiny, tmp_path, method):
    run = fine_tune(quick_settings(tiny, method=method, top_k_layers=1), small_dataset(), tmp_path, "x")
    assert (run.path / "model/model.safetensors").is_file() and not (
        run.path / "model/adapter_model.safetensors"
    ).exists()
    rows = run.predictions.query("split == 'test'")
    assert [a["label"] for a in run.predict(rows.text.tolist())] == [
        run.labels[i] for i in np.stack(rows.logits).argmax(-1)
    ]


def test_early_stopping_ends_training(tiny, tmp_path):
    run = fine_tune(
        quick_settings(tiny, num_train_epochs=20, early_stopping_patience=1, learning_rate=1e-9),
        small_dataset(),
        tmp_path,
        "x",
    )
    assert run.history[-1]["epoch"] == 2 and run.status == "finished"


def test_best_epoch_is_kept(tiny, tmp_path):
    run = fine_tune(quick_settings(tiny, num_train_epochs=4, learning_rate=5e-3), small_dataset(), tmp_path, "x")
    best = max(row["eval_accuracy"] for row in run.history if "eval_accuracy" in row)
    assert run.metrics["validation"]["accuracy"].value == pytest.approx(best)


def test_run_keeps_settings_and_name(tiny, tmp_path):
    settings = quick_settings(tiny, adam_beta2=0.95, dataset_name=None)
    run = fine_tune(settings, small_dataset(), tmp_path, "x")
    assert run.settings.replace(num_threads="auto") == settings and run.record["data"]["read"] == {"train": 90}
    with pytest.raises(ValueError, match="there is already a run 'x'"):
        fine_tune(settings, small_dataset(), tmp_path, "x")
    assert {"text", "label", "predicted", "confidence"} == set(error_table(run).columns)


def test_leak_is_said_after_the_training(tiny, tmp_path, caplog):
    rows = small_dataset()
    splits = {"train": rows, "validation": rows.select(range(9)), "test": rows.select(range(18))}
    with caplog.at_level("WARNING", "ftkit"):
        fine_tune(quick_settings(tiny, baselines=[], preflight="false"), splits, tmp_path, "x")
    assert "leak: 18 of 18 test rows are training rows too" in caplog.text and "ftkit check shows how" in caplog.text


def random_rows(n: int = 90) -> pd.DataFrame:
    "Rows whose texts have nothing in common"
    rng = random.Random(0)
    words = lambda: " ".join("".join(rng.sample("abcdefghijklmnop", 6)) for _ in range(6))
    return pd.DataFrame({"text": [words() for _ in range(n)], "label": [("bad", "good")[i % 2] for i in range(n)]})


def test_leak_is_said_by_evaluate(tiny, tmp_path, caplog):
    rows = random_rows()
    rows.to_csv(tmp_path / "mine.csv", index=False)
    run = fine_tune(quick_settings(tiny, train_file=str(tmp_path / "mine.csv")), runs_dir=tmp_path, name="x")
    known = set(run.predictions.text)
    trained = rows[~rows.text.isin(known)].head(20)
    fresh = rows[rows.text.isin(known)].head(10)
    caplog.clear()
    assert sum(n for kind, n in run.evaluate(fresh)["leaks"].items() if kind != "price") == 0 and not caplog.text
    leaks = run.evaluate(pd.concat([trained, fresh]))["leaks"]
    assert leaks["exact"] == 20 and "leak: 20 of 30 test rows are training rows too" in caplog.text
    assert run.evaluate()["leaks"] == run.record["leaks"]
    rows.head(60).to_csv(tmp_path / "mine.csv", index=False)
    assert run.evaluate(trained)["leaks"] is None  # the file is another one now


def test_changed_file_has_other_test_rows(tiny, tmp_path, caplog):
    rows, file = random_rows(), tmp_path / "mine.csv"
    rows.to_csv(file, index=False)
    settings = quick_settings(tiny, train_file=str(file))
    fine_tune(settings, runs_dir=tmp_path, name="a")
    fine_tune(settings, runs_dir=tmp_path, name="b")
    assert "not the test rows" not in caplog.text
    rows.loc[:20, "label"] = "good"
    rows.to_csv(file, index=False)
    fine_tune(settings, runs_dir=str(tmp_path), name="c")
    assert "test: not the test rows of run 'b', as the file has changed since" in caplog.text
    caplog.clear()
    fine_tune(settings.replace(seed=7), runs_dir=tmp_path, name="d")
    assert "not the test rows" not in caplog.text


def test_stop_before_the_training_is_said(tiny, tmp_path, caplog, monkeypatch):
    def interrupted(*args, **keys):
        raise KeyboardInterrupt

    monkeypatch.setattr("ftkit.fine_tuning.run_trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(quick_settings(tiny), small_dataset(), tmp_path, "x")
    assert caplog.messages[-1] == NOTHING_MADE and not (tmp_path / "x").exists()


def test_confidence_is_kept(tiny, tmp_path):
    run = fine_tune(quick_settings(tiny), small_dataset(), tmp_path, "x")
    for split, mean in run.record["confidence"].items():
        logits = np.stack(run.predictions[run.predictions.split == split].logits)
        assert mean == pytest.approx(softmax(logits).max(-1).mean())
    assert describe_others(run.record) == [
        f"macro F1 {run.metrics['test']['f1_macro']}",
        f"mean confidence {run.record['confidence']['test']:.3f}",
    ]


def test_time_of_all_sessions_counts(tiny, tmp_path, monkeypatch):
    from runs import raise_at_step

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        raise_at_step(patch, 12)
        fine_tune(quick_settings(tiny, baselines=[], preflight="false"), small_dataset(), tmp_path, "x")
    from ftkit.fine_tuning import Run

    run = Run.load("x", tmp_path)
    run.update(timing={**run.record["timing"], "total_seconds": 1000.0})
    assert 1000 < run.resume(small_dataset()).record["timing"]["total_seconds"] < 1600
