"""Any number of labels for each text: a post may be angry and sad, or neither.

The head answers each label for itself (a sigmoid). Each label gets the threshold with the best F1 on the validation
rows, which the model's configuration keeps as `label_thresholds`.
"""

import json
import math

import numpy as np
import pandas as pd
from datasets import Features, List, Value
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import DataCollatorWithPadding

from ftkit.checks.columns import join_texts
from ftkit.checks.label_lists import choose_several, count_labels, have_several, read_several, to_json
from ftkit.checks.labels import find_alike_names, is_missing, label_key
from ftkit.data import OneLabel, make_dataset
from ftkit.errors import UserError
from ftkit.metrics import f1_interval, wilson
from ftkit.model_init import load_model
from ftkit.objective import scale_to_unit
from ftkit.serving.predict import predict_rows
from ftkit.settings import MULTI_LABEL
from ftkit.tasks.heads import HeadTask
from ftkit.tasks.resampling import compare_sums, score_sums
from ftkit.tasks.text_scores import bound_share
from ftkit.views.errors import worst_section


class MultiLabel(HeadTask):
    "Any number of labels for each text"

    name, headline = MULTI_LABEL, "f1_micro"
    answer_keys = ("labels",)
    words = "that gives each text any number of labels"
    limit = "It knows the labels above and no others; their thresholds are in config.json (`label_thresholds`)."

    @property
    def rungs(self):
        return {"majority": majority, "tfidf": tfidf, "zero_shot": zero_shot, "frozen": frozen}

    @property
    def target_class(self):
        return SeveralLabels

    def groups(self, rows, names):
        hot = np.array(rows["label" if "label" in rows.column_names else "labels"][:], dtype=bool)
        return {name: hot[:, i] for i, name in enumerate(names)}

    def load_model(self, labels, tokenizer, seed, **model_keys):
        keys = dict(labels=labels, problem_type="multi_label_classification")
        model = load_model(tokenizer=tokenizer, seed=seed, **keys, **model_keys)
        model.config.label_thresholds = [0.5] * len(labels)
        return model

    def trainer_kwargs(self, tokens, tokenizer, settings):
        return {
            "data_collator": DataCollatorWithPadding(tokenizer),
            "compute_metrics": compute_metrics,
            "compute_loss_func": multi_label_loss,
        }

    def expected_loss(self, labels):
        return math.log(2), f"ln 2 = {math.log(2):.2f}"

    def finish_model(self, model, tokenizer, data, settings):
        rows = data["validation"]
        logits = self.read_logits(model, tokenizer, rows, settings)
        model.config.label_thresholds = pick_thresholds(expit(logits), np.array(rows["label"][:], dtype=bool))

    def predict(self, model, tokenizer, rows, settings):
        logits, names = self.read_logits(model, tokenizer, rows, settings), list(model.config.id2label.values())
        hot = expit(logits) >= np.array(model.config.label_thresholds)
        frame = pd.DataFrame({"text": rows["text"], "label": to_names(rows["label"][:], names)})
        frame = frame.assign(predicted=to_names(hot, names), logits=list(logits))
        frame.attrs["labels"] = names
        return self.with_extras(frame, rows)

    def with_predictions(self, predictions, outputs):
        names = outputs.names
        return predictions.drop(columns="logits").assign(predicted=to_names(outputs.hot, names))

    def score(self, predictions, **metrics):
        names = find_labels(predictions)
        return score_labels(to_hot(predictions.predicted, names), to_hot(predictions.label, names), names, **metrics)

    def compare(self, a, b, names, **metrics):
        labels = find_labels(a, b)
        counts = [count_rows(to_hot(f.predicted, labels), to_hot(f.label, labels)) for f in (a, b)]
        return compare_sums(*counts, ("f1_micro", METRICS["f1_micro"]), names, **metrics)

    def slices(self, predictions):
        rows = list(map(set, predictions.label))
        return {f"label {name}": np.array([name in row for row in rows]) for name in sorted(set().union(*rows))}

    def right(self, predictions):
        return np.array([set(a) == set(b) for a, b in zip(predictions.predicted, predictions.label)])

    def answer(self, model, tokenizer, texts, settings, progress=None):
        keys = dict(max_seq_length=settings.max_seq_length, answer=to_answer)
        return predict_rows(model, tokenizer, texts, progress, **keys)

    def read_answers(self, predictions, model):
        return [to_answer(logits, model) for logits in predictions.logits]

    def headline_sums(self, predictions):
        names = find_labels(predictions)
        return count_rows(to_hot(predictions.predicted, names), to_hot(predictions.label, names)), METRICS["f1_micro"]

    def report_sections(self, run):
        rows = run.predictions.query("split == 'validation'")
        missed = [len(set(a) ^ set(b)) for a, b in zip(rows.label, rows.predicted)]
        shown = pd.DataFrame(
            {
                "text": rows.text,
                "labels": [", ".join(r) or "none" for r in rows.label],
                "predicted": [", ".join(r) or "none" for r in rows.predicted],
                "wrong": missed,
            }
        )
        return [worst_section("labels", shown, "wrong")]


# --- rows ---


class SeveralLabels(OneLabel):
    "A list of labels in one column, or one column of 0 and 1 for each label. No label at all is an answer too"

    must_stratify = False
    word = "set of labels"

    def choose(self, table, text_column_name=None, label_column_name=None):
        "Return the text columns, the label columns, and how they were chosen"
        return choose_several(table, text_column_name, label_column_name)

    def is_in(self, table, column, texts):
        "Return whether the rows have labels"
        filled = have_several(table, column)
        return super().is_in(table, column, texts) if filled is None else filled

    def read(self, table, texts, column, split):
        "Return the texts, and the labels of each row as a JSON list"
        lists = read_several(table, column, split, self.reading)
        return join_texts(table, texts, split), [None if row is None else to_json(row) for row in lists], {}

    def unify(self, parts, train, column, ignore_labels=()):
        "Spell each label as the training rows spell it first. Return notes on names that look odd"
        names = {label_key(name): name for row in reversed(parts["train"].labels) for name in json.loads(row)}
        for rows in parts.values():
            rows.labels = self.respell(rows.labels, list(names.values()))
        counts = count_labels(parts["train"].labels)
        missing = [
            f"{count} rows have the label '{name}', which usually stands for a missing value; for no label write []"
            for name, count in counts.items()
            if is_missing(name, "+" in counts)
        ]
        sign = self.reading.get("delimiter")
        split = [f"labels are split at '{sign}'"] if sign else []
        return split + missing + find_alike_names(counts)

    def respell(self, labels, names):
        "Return the labels as the training rows spell them"
        by_key = {label_key(name): name for name in names}
        return [to_json(by_key.get(label_key(name), name) for name in json.loads(row)) for row in labels]

    def name(self, labels, order, column):
        "Return the label names in the order of the alphabet"
        names = sorted(count_labels(labels))
        if len(names) < 2:
            raise UserError(
                f"the column '{column}' holds fewer than two labels; task = multi-label needs two at least. "
                "Check label_column_name."
            )
        if len(names) > max(20, len(labels) / 2):
            raise UserError(
                f"{len(names)} different labels in {len(labels)} rows: that looks like free text, not labels. "
                "Check label_column_name."
            )
        return names

    def check_rows(self, rows, missing):
        "Raise `UserError` if a label has too few rows to be in every split"
        counts = count_labels(rows.labels)
        rare = min(counts, key=counts.get)
        if counts[rare] <= len(missing):
            raise UserError(
                f"label '{rare}' has {counts[rare]} of {len(rows.labels):,} rows: train, validation and test need one "
                "each. Add rows, take the label out of the file, or give validation_file and test_file."
            )

    def strata(self, labels):
        "Return the rarest label of each row, which decides the split; what would be alone joins the largest group"
        counts = count_labels(labels)
        rarest = [min(json.loads(row), key=counts.get, default="") for row in labels]
        sizes = {name: rarest.count(name) for name in set(rarest)}
        largest = max(sizes, key=sizes.get)
        return [name if sizes[name] > 1 else largest for name in rarest]

    def check_sample(self, rows, names, limit, seed):
        "Leave labels without a row to preflight"

    def to_dataset(self, rows, names, split):
        "Return the rows with `text` and `label`: for each name in its order 0.0 or 1.0"
        lists = [json.loads(row) for row in rows.labels]
        unknown = next((name for row in lists for name in row if name not in set(names)), None)
        if unknown is not None:
            raise UserError(
                f"the {split} rows have the label '{unknown}', which no training row has. "
                f"Labels: {', '.join(names)}. Correct it, or delete the rows."
            )
        label, more = List(Value("float32")), dict.fromkeys(rows.extras, Value("string"))
        hot = to_hot(lists, names).astype(np.float32)
        features = Features(text=Value("string"), label=label, **more)
        return make_dataset({"text": rows.texts, "label": list(hot), **rows.extras}, features)

    def count(self, rows, names):
        "Return name -> rows that have it"
        return dict(zip(names, np.sum(rows["label"][:], axis=0).astype(int).tolist()))


def to_hot(
    lists,  # the labels of each row
    names: list[str],  # of all labels
) -> np.ndarray:
    "Return whether each row has each label (rows, labels)"
    places, lists = {name: i for i, name in enumerate(names)}, list(lists)
    hot = np.zeros((len(lists), len(names)), dtype=bool)
    for i, row in enumerate(lists):
        hot[i, [places[name] for name in row]] = True
    return hot


def to_names(
    hot: np.ndarray,  # (rows, labels)
    names: list[str],  # of all labels
) -> list[list[str]]:
    "Return the labels of each row"
    return [[name for name, has in zip(names, row) if has] for row in hot]


def find_labels(*predictions: pd.DataFrame) -> list[str]:
    "Return the names of all labels; of frames that do not know them, those that occur"
    known = predictions[0].attrs.get("labels")
    columns = [frame[column] for frame in predictions for column in ("label", "predicted")]
    return known or sorted({name for column in columns for row in column for name in row})


# --- loss, thresholds, scores ---


def multi_label_loss(outputs, labels, num_items_in_batch=None):
    "Return the binary cross-entropy of all answers of a batch, divided by the number of answers in the update"
    logits = outputs["logits"].float()
    total = binary_cross_entropy_with_logits(logits, labels.float(), reduction="sum")
    return total / (labels.numel() if num_items_in_batch is None else num_items_in_batch)


def pick_thresholds(
    probabilities: np.ndarray,  # (rows, labels)
    hot: np.ndarray,  # whether each row has each label (rows, labels)
) -> list[float]:
    "Return for each label the threshold with the best F1 on these rows, the nearest to 0.5 of equal ones"
    return [pick_threshold(p, y) for p, y in zip(np.asarray(probabilities, float).T, np.asarray(hot).T)]


def pick_threshold(probabilities: np.ndarray, has: np.ndarray) -> float:
    "Return the threshold of one label; 0.5 if no row has it"
    order = np.argsort(-probabilities, kind="stable")
    p, y = probabilities[order], has[order].astype(float)
    if not y.sum():
        return 0.5
    f1 = 2 * np.cumsum(y) / (np.arange(1, len(y) + 1) + y.sum())  # if the first 1, 2, … rows get the label
    ends = np.append(p[:-1] > p[1:], True)  # equal probabilities cannot be told apart
    middles = (p + np.append(p[1:], min(p[-1], 0.0))) / 2  # below all rows: similarities may be negative
    best = np.flatnonzero(ends & (f1 >= f1[ends].max() - 1e-12))
    return float(middles[best[np.abs(middles[best] - 0.5).argmin()]])


def count_rows(
    predicted: np.ndarray,  # (rows, labels)
    true: np.ndarray,  # (rows, labels)
) -> np.ndarray:
    "Return hits, false alarms and misses of each label, one row after the other (rows, 3 * labels)"
    return np.hstack([predicted & true, predicted & ~true, ~predicted & true]).astype(float)


def split_sums(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    "Return hits, false alarms and misses (..., labels) from sums of `count_rows` (..., 3 * labels)"
    return tuple(np.moveaxis(np.reshape(sums, (*np.shape(sums)[:-1], 3, -1)), -2, 0))


def f1_micro(sums):
    "Return the F1 of all answers together"
    hits, alarms, misses = (part.sum(-1) for part in split_sums(sums))
    return 2 * hits / np.maximum(2 * hits + alarms + misses, 1)


def f1_macro(sums):
    "Return the mean F1 of the labels that occur"
    hits, alarms, misses = split_sums(sums)
    total = 2 * hits + alarms + misses
    return (2 * hits / np.maximum(total, 1)).sum(-1) / np.maximum((total > 0).sum(-1), 1)


METRICS = {"f1_micro": f1_micro, "f1_macro": f1_macro}  # name -> function of sums of `count_rows`


def score_labels(
    predicted: np.ndarray,  # (rows, labels)
    true: np.ndarray,  # (rows, labels)
    names: list[str],  # of the labels
    confidence_level: float = 0.95,  # of every interval
    num_resamples: int = 2000,  # bootstrap resamples
) -> dict:
    "Return F1, Hamming loss and subset accuracy with intervals, and precision, recall and F1 of each label"
    stats, n = count_rows(predicted, true), len(true)
    hits, alarms, misses = split_sums(stats.sum(0))
    wrong = (predicted ^ true).mean(1, keepdims=True) if len(names) else np.zeros((n, 1))
    right = int((predicted == true).all(1).sum())
    scores = score_sums(stats, METRICS, confidence_level, num_resamples)
    scores |= score_sums(np.hstack([wrong, np.ones((n, 1))]), {"hamming_loss": ratio}, confidence_level, num_resamples)
    return {
        **{name: bound_share(score, confidence_level) if n > 1 else score for name, score in scores.items()},
        "subset_accuracy": wilson(right, n, confidence_level),
        "per_label": {
            name: {
                "precision": wilson(h, h + a, confidence_level),
                "recall": wilson(h, h + m, confidence_level),
                "f1": f1_interval(h, h + a + m, confidence_level),
            }
            for name, h, a, m in zip(names, hits, alarms, misses)
        },
    }


def ratio(sums: np.ndarray) -> np.ndarray:
    "Return a sum over the rows divided by their number (...), from sums (..., 2)"
    return sums[..., 0] / sums[..., 1]


def compute_metrics(prediction) -> dict[str, float]:
    "Return the scores of validation rows with their own best thresholds, for `Trainer(compute_metrics=...)`"
    true = np.asarray(prediction.label_ids) > 0.5
    probabilities = expit(np.asarray(prediction.predictions, dtype=float))
    predicted = probabilities >= np.array(pick_thresholds(probabilities, true))
    sums = count_rows(predicted, true).sum(0)
    scores = {name: float(metric(sums)) for name, metric in METRICS.items()}
    right = float((predicted == true).all(1).mean())
    return scores | {"hamming_loss": float((predicted ^ true).mean()), "subset_accuracy": right}


def to_answer(logits: np.ndarray, model) -> dict:
    "Return what the model says of one text: its labels, and the probability of each"
    names, probabilities = list(model.config.id2label.values()), expit(np.asarray(logits, dtype=float))
    chosen = probabilities >= np.array(model.config.label_thresholds)
    return {
        "labels": [name for name, has in zip(names, chosen) if has],
        "scores": {name: float(p) for name, p in zip(names, probabilities)},
    }


# --- rungs: each returns the labels of the rows ---


class Labelled:
    "What a rung predicts: whether each row has each label (rows, labels), and their names"

    def __init__(self, hot, names):
        self.hot, self.names = np.asarray(hot, dtype=bool), names


def with_thresholds(probabilities: dict, data, objective) -> Labelled:
    "Return the labels of the rows with the thresholds that suit the validation rows, as the fine-tuned model has them"
    thresholds = pick_thresholds(probabilities["validation"], np.array(data["validation"]["label"][:], dtype=bool))
    return Labelled(probabilities["rows"] >= np.array(thresholds), objective.labels)


def majority(data, rows, base=None, objective=None) -> Labelled:
    "Return for each row the set of labels that most training rows have"
    sets, counts = np.unique(np.array(data["train"]["label"][:], dtype=bool), axis=0, return_counts=True)
    return Labelled(np.repeat(sets[[counts.argmax()]], len(rows), axis=0), objective.labels)


def fit_each(model, known: np.ndarray, hot: np.ndarray, asked: dict) -> dict:
    "Return name -> probabilities (rows, labels) of a classifier for each label"
    varied = hot.any(0) & ~hot.all(0)
    found = {name: np.repeat(hot.mean(0)[None], x.shape[0], axis=0) for name, x in asked.items()}
    if not varied.any():
        return found
    with threadpool_limits(1):
        fitted = OneVsRestClassifier(model).fit(known, hot[:, varied].astype(int))
        for name, x in asked.items():
            found[name][:, varied] = fitted.predict_proba(x)[:, -int(varied.sum()) :]
    return found


def tfidf(data, rows, base=None, objective=None) -> Labelled:
    "Return the labels by a logistic regression for each label, on words, signs and their pairs"
    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True)
    known = words.fit_transform(list(data["train"]["text"]))
    asked = {"validation": data["validation"]["text"], "rows": rows["text"]}
    asked = {name: words.transform(list(texts)) for name, texts in asked.items()}
    hot = np.array(data["train"]["label"][:], dtype=bool)
    return with_thresholds(fit_each(LogisticRegression(C=5, max_iter=1000), known, hot, asked), data, objective)


def frozen(data, rows, base, objective) -> Labelled:
    "Return the labels by a logistic regression for each label, on features of the base model"
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    known = base.features(list(data["train"]["text"]))
    asked = {"validation": data["validation"]["text"], "rows": rows["text"]}
    asked = {name: base.features(list(texts)) for name, texts in asked.items()}
    return with_thresholds(
        fit_each(head, known, np.array(data["train"]["label"][:], dtype=bool), asked), data, objective
    )


def zero_shot(data, rows, base, objective) -> Labelled:
    "Return the labels whose description is near enough to the text, without labelled training rows"
    described = scale_to_unit(base.features([f"This text is {w}." for w in objective.words]))
    asked = {"validation": data["validation"]["text"], "rows": rows["text"]}
    near = {name: scale_to_unit(base.features(list(texts))) @ described.T for name, texts in asked.items()}
    return with_thresholds(near, data, objective)
