"Text classification on a small frame: scores, verdicts and what a rung predicts."

import numpy as np
import pandas as pd
import pytest
from conftest import quick_settings, small_dataset

from ftkit.tasks.classification import Classification

TASK, LABELS = Classification(), ["bad", "flat", "good"]
TRUTH = [0, 0, 1, 1, 2, 2]


@pytest.fixture
def predictions():
    "Six rows, the last of them wrong"
    return make_predictions([0, 0, 1, 1, 2, 0])


def make_predictions(ids):
    "Predictions as predictions.parquet keeps them"
    label, predicted = (pd.Categorical.from_codes(codes, LABELS) for codes in (TRUTH, ids))
    logits = list(np.eye(3, dtype=np.float32)[ids])
    texts = [f"text {row}" for row in range(len(ids))]
    return pd.DataFrame({"text": texts, "label": label, "predicted": predicted, "logits": logits})


def test_score_counts_right_rows(predictions):
    scores = TASK.score(predictions, num_resamples=100)
    assert (scores["accuracy"].value, scores["accuracy"].n) == (pytest.approx(5 / 6), 6)
    assert scores["per_class"]["good"]["recall"].value == 0.5 and list(scores["per_class"]) == LABELS
    assert TASK.headline in scores


def test_absent_label_keeps_its_place():
    frame = make_predictions([0] * 6)
    scores = TASK.score(frame, num_resamples=100)
    assert scores["per_class"]["good"]["recall"].value == 0 and scores["accuracy"].value == pytest.approx(1 / 3)


def test_rung_predicts_the_same_rows(predictions):
    rung = TASK.with_predictions(predictions, np.array(TRUTH))
    assert rung.predicted.tolist() == rung.label.tolist() == predictions.label.tolist()
    assert "logits" not in rung and rung.text.equals(predictions.text)
    assert predictions.predicted.tolist()[-1] == "bad"


@pytest.mark.parametrize("ids, difference", [(TRUTH, -1 / 6), ([0, 0, 1, 1, 2, 0], 0), ([0] * 6, 1 / 2)])
def test_compare_is_pairwise(predictions, ids, difference):
    verdict = TASK.compare(predictions, TASK.with_predictions(predictions, ids), ("a", "b"), num_resamples=100)
    assert (verdict.a, verdict.b, verdict.difference) == ("a", "b", pytest.approx(difference))


def test_compare_ignores_category_order(predictions):
    other = predictions.assign(predicted=predictions.predicted.cat.reorder_categories(LABELS[::-1]))
    assert TASK.compare(predictions, other, ("a", "b"), num_resamples=100).difference == 0


def test_predict_returns_a_row_each(tiny):
    settings = quick_settings(tiny)
    data, _ = TASK.load_data(small_dataset(), **settings.section("data") | {"dataset_name": None})
    from ftkit.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(tiny)
    model = TASK.load_model(LABELS, tokenizer, 1, model_name_or_path=tiny).eval()
    frame = TASK.predict(model, tokenizer, data["test"], settings)
    assert (
        frame.text.tolist() == data["test"]["text"][:] and frame.label.cat.codes.tolist() == data["test"]["label"][:]
    )
    assert frame.predicted.cat.codes.tolist() == np.stack(frame.logits).argmax(-1).tolist()
    assert [row["label"] for row in TASK.answer(model, tokenizer, frame.text.tolist(), settings)] == list(
        frame.predicted
    )
