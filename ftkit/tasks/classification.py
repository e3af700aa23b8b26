"Text classification: one label for each text. The functions are those that lessons 01 to 07 explain."

import math

import numpy as np
import pandas as pd
from transformers import DataCollatorWithPadding

from ftkit.metrics import compare, compute_metrics, score, softmax
from ftkit.model_init import load_model
from ftkit.objective import RUNGS
from ftkit.serving.predict import predict_rows, to_answer
from ftkit.settings import CLASSIFICATION
from ftkit.tasks.heads import HeadTask
from ftkit.tasks.resampling import count_right, share_right
from ftkit.trainer import class_weights, classification_loss
from ftkit.views.errors import confusion_section, error_section


class Classification(HeadTask):
    "One label for each text"

    name, headline = CLASSIFICATION, "accuracy"
    rungs, answer_keys = RUNGS, ("label", "score")
    words = "for text classification"
    limit = "It knows the labels above and no others: every text gets one of them."

    def groups(self, rows, names):
        ids = np.array(rows["label" if "label" in rows.column_names else "labels"][:])
        return {name: ids == i for i, name in enumerate(names)}

    def load_model(self, labels, tokenizer, seed, **model_keys):
        return load_model(labels=labels, tokenizer=tokenizer, seed=seed, **model_keys)

    def trainer_kwargs(self, tokens, tokenizer, settings):
        names, weights = tokens["train"].features["labels"].names, None
        if settings.class_weights == "balanced":
            weights = class_weights(list(tokens["train"]["labels"]), len(names))
        smoothing = settings.training_arguments.get("label_smoothing_factor", 0.0)
        return {
            "data_collator": DataCollatorWithPadding(tokenizer),
            "compute_metrics": compute_metrics,
            "compute_loss_func": classification_loss(weights, smoothing),
        }

    def expected_loss(self, labels):
        loss = math.log(len(labels))
        return loss, f"ln {len(labels)} = {loss:.2f}"

    def predict(self, model, tokenizer, rows, settings):
        logits, names = self.read_logits(model, tokenizer, rows, settings), rows.features["label"].names
        label, predicted = (pd.Categorical.from_codes(ids, names) for ids in (rows["label"], logits.argmax(-1)))
        frame = pd.DataFrame({"text": rows["text"], "label": label, "predicted": predicted, "logits": list(logits)})
        return self.with_extras(frame, rows)

    def with_predictions(self, predictions, outputs):
        predicted = pd.Categorical.from_codes(outputs, dtype=predictions.label.dtype)
        return predictions.drop(columns="logits").assign(predicted=predicted)

    def score(self, predictions, **metrics):
        predicted, references = (predictions[column].cat for column in ("predicted", "label"))
        return score(predicted.codes, references.codes, list(references.categories), **metrics)

    def compare(self, a, b, names, **metrics):
        return compare(a.predicted.astype(str), b.predicted.astype(str), a.label.astype(str), names, **metrics)

    def slices(self, predictions):
        labels = predictions.label.astype(str)
        return {f"label {name}": (labels == name).to_numpy() for name in sorted(set(labels))}

    def right(self, predictions):
        return (predictions.predicted.astype(str) == predictions.label.astype(str)).to_numpy()

    def constant_answer(self, predictions):
        given = predictions.predicted.astype(str).unique()
        return given[0] if len(given) == 1 else None

    def mean_confidence(self, predictions):
        return float(softmax(np.stack(predictions.logits)).max(-1).mean()) if len(predictions) else None

    def answer(self, model, tokenizer, texts, settings, progress=None):
        return predict_rows(model, tokenizer, texts, progress, max_seq_length=settings.max_seq_length)

    def read_answers(self, predictions, model):
        return [to_answer(logits, model) for logits in predictions.logits]

    def headline_sums(self, predictions):
        return count_right(self.right(predictions)), share_right

    def report_sections(self, run):
        return [confusion_section(run), error_section(run)]
