"Text classification: one label for each text. The functions are those that lessons 01 to 07 explain."

import pandas as pd
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding

from ftkit.data import load_data, load_rows
from ftkit.metrics import compare, compute_metrics, score
from ftkit.model_init import load_model
from ftkit.serving.predict import open_model, predict_logits, predict_rows
from ftkit.tasks.base import Task
from ftkit.tokenizer import tokenize
from ftkit.trainer import class_weights, classification_loss
from ftkit.views.errors import confusion_section, error_section


class Classification(Task):
    "One label for each text"

    name, pipeline, headline = "text-classification", "text-classification", "accuracy"
    rungs, base_model = ("majority", "tfidf", "zero_shot", "few_shot", "frozen"), "starter"

    def load_data(self, dataset=None, **data):
        return load_data(dataset, **data)

    def load_rows(self, rows, report, text_column_name=None, label_column_name=None):
        return load_rows(rows, report, text_column_name, label_column_name)

    def tokenize(self, data, tokenizer, **tokenizer_keys):
        return tokenize(data.select_columns(["text", "label"]), tokenizer, **tokenizer_keys)

    def load_model(self, tokens, tokenizer, seed, **model_keys):
        labels = tokens["train"].features["labels"].names
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

    def open_model(self, folder):
        return open_model(folder, AutoModelForSequenceClassification)

    def predict(self, model, tokenizer, rows, settings):
        size, names = settings.per_device_eval_batch_size, rows.features["label"].names
        logits = predict_logits(model, tokenizer, rows["text"], settings.max_seq_length, size)
        label, predicted = (pd.Categorical.from_codes(ids, names) for ids in (rows["label"], logits.argmax(-1)))
        frame = pd.DataFrame({"text": rows["text"], "label": label, "predicted": predicted, "logits": list(logits)})
        return frame.assign(**{name: rows[name] for name in rows.column_names if name not in frame})

    def with_predictions(self, predictions, outputs):
        predicted = pd.Categorical.from_codes(outputs, dtype=predictions.label.dtype)
        return predictions.drop(columns="logits").assign(predicted=predicted)

    def score(self, predictions, **metrics):
        predicted, references = (predictions[column].cat for column in ("predicted", "label"))
        return score(predicted.codes, references.codes, list(references.categories), **metrics)

    def compare(self, a, b, names, **metrics):
        return compare(a.predicted.astype(str), b.predicted.astype(str), a.label.astype(str), names, **metrics)

    def answer(self, model, tokenizer, texts, settings, progress=None):
        return predict_rows(model, tokenizer, texts, progress, max_seq_length=settings.max_seq_length)

    def report_sections(self, run):
        return [confusion_section(run), error_section(run)]
