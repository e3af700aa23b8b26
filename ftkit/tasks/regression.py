"""A number for each text: stars, a score, a price.

The head is trained on standardised numbers. Afterwards the scale is folded into its last layer, so that the saved
model answers in the unit of the data; a head without a bias cannot take it, and the configuration keeps `label_mean`
and `label_std` instead.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from datasets import Features, Value
from scipy.stats import norm, spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import nn
from transformers import DataCollatorWithPadding

from ftkit.checks.columns import get_column, get_texts, join_texts
from ftkit.checks.numbers import choose_number, find_decimal_sign, is_rating, to_number
from ftkit.checks.texts import is_blank
from ftkit.data import OneLabel, make_dataset
from ftkit.errors import UserError
from ftkit.files.annotations import unlist
from ftkit.intervals import Interval
from ftkit.metrics import wilson
from ftkit.model_init import is_adapter, load_model, new_parts
from ftkit.serving.predict import predict_rows
from ftkit.settings import REGRESSION
from ftkit.tasks.heads import HeadTask
from ftkit.tasks.resampling import compare_rows, score_sums
from ftkit.views.errors import worst_section

BINS = 10  # of numbers, which every split gets the same share of
FEWEST = 10  # rows of a bin
GAP = 0.1  # the difference of mean absolute errors that would matter, in standard deviations of the data


class Regression(HeadTask):
    "A number for each text"

    name, headline = REGRESSION, "mae"
    answer_keys = ("value",)
    words = "that gives each text a number"
    limit = "It answers with a number for every text, also where the text says nothing about it."

    @property
    def rungs(self):
        return {"median": median, "tfidf": tfidf, "frozen": frozen}

    @property
    def target_class(self):
        return Number

    def load_model(self, labels, tokenizer, seed, **model_keys):
        model = load_model(labels=["value"], tokenizer=tokenizer, seed=seed, problem_type="regression", **model_keys)
        if scale := getattr(model.config, "label_scale", None):  # of a base model that ftkit has fine-tuned
            unfold_scale(model, *scale)
        model.config.label_mean, model.config.label_std = 0.0, 1.0
        return model

    def trainer_kwargs(self, tokens, tokenizer, settings):
        mean, std = find_scale(tokens["train"]["labels"])
        return {
            "data_collator": ScaledCollator(DataCollatorWithPadding(tokenizer), mean, std),
            "compute_metrics": partial(compute_metrics, std=std),
            "compute_loss_func": squared_loss,
        }

    def expected_loss(self, labels):
        return 1.0, "1, that of the mean"

    def finish_model(self, model, tokenizer, data, settings):
        scale = find_scale(data["train"]["label"])
        model.config.label_scale, model.config.is_rating = list(scale), is_rating(data["train"]["label"][:])
        model.config.label_mean, model.config.label_std = fold_scale(model, *scale)

    def predict(self, model, tokenizer, rows, settings):
        logits = self.read_logits(model, tokenizer, rows, settings)
        frame = pd.DataFrame({"text": rows["text"], "label": rows["label"], "predicted": to_values(logits, model)})
        frame = self.with_extras(frame, rows)
        frame.attrs["rating"] = getattr(model.config, "is_rating", None)
        return frame

    def with_predictions(self, predictions, outputs):
        return predictions.assign(predicted=np.asarray(outputs, dtype=float))

    def score(self, predictions, **metrics):
        numbers = predictions.predicted.to_numpy(), predictions.label.to_numpy()
        return score_numbers(*numbers, **metrics, rating=predictions.attrs.get("rating"))

    def compare(self, a, b, names, **metrics):
        errors = [(f.predicted - f.label).abs().to_numpy() for f in (a, b)]
        gap = GAP * float(a.label.std(ddof=0)) or GAP
        return compare_rows(*errors, "mae", names, **metrics, gap=gap, lower_is_better=True, unit="")

    def slices(self, predictions):
        values = predictions.label.to_numpy(dtype=float)
        low, high = np.quantile(values, [1 / 3, 2 / 3])
        return {
            f"numbers up to {low:.4g}": values <= low,
            f"numbers from {low:.4g} to {high:.4g}": (values > low) & (values <= high),
            f"numbers over {high:.4g}": values > high,
        }

    def right(self, predictions):
        gaps = np.abs(predictions.predicted - predictions.label).to_numpy()
        return gaps < 0.5 if has_steps(predictions) else None

    def answer(self, model, tokenizer, texts, settings, progress=None):
        return predict_rows(
            model, tokenizer, texts, progress, max_seq_length=settings.max_seq_length, answer=to_answer
        )

    def read_answers(self, predictions, model):
        return [{"value": float(value)} for value in predictions.predicted]

    def headline_sums(self, predictions):
        return count_errors(predictions.predicted, predictions.label), METRICS["mae"]

    def report_sections(self, run):
        rows = run.predictions.query("split == 'validation'")
        shown = pd.DataFrame({"text": rows.text, "label": rows.label, "predicted": rows.predicted})
        gaps = (rows.predicted - rows.label).abs()
        if has_steps(rows):
            gaps = gaps.where(gaps >= 0.5, 0.0)  # it rounds to the right step
        return [worst_section("value", shown.assign(wrong=gaps), "wrong")]


# --- rows ---


class Number(OneLabel):
    "A number in one column"

    must_stratify = False
    word = "number"

    def choose(self, table, text_column_name=None, label_column_name=None):
        "Return the text columns, the number's, and how they were chosen: without a usual name, the one with numbers"
        return choose_number(table, text_column_name, label_column_name)

    def read(self, table, texts, column, split):
        "Return the texts, and each number as text. Raises `UserError` for a value that is no number"
        table.columns[column] = unlist(get_column(table, column, split))
        values = get_texts(table, column, split)
        if "decimal" not in self.reading:  # the training rows are the first to be read
            self.reading["decimal"] = find_decimal_sign(values)
        sign = self.reading["decimal"] or find_decimal_sign(values) or "."
        numbers = [None if is_blank(value) else to_number(value, sign) for value in values]
        for i, (value, number) in enumerate(zip(values, numbers)):
            if number is not None and not math.isfinite(number):
                other = math.isfinite(to_number(value, "." if sign == "," else ","))
                why = f"is no number with the decimal sign '{sign}' of the other rows" if other else "is no number"
                raise UserError(
                    f"{table.source}, row {table.number(i)}, column '{column}': {value[:40]!r} {why}, and "
                    "task = regression learns numbers. Correct it, or write task = text-classification."
                )
        return join_texts(table, texts, split), [None if n is None else repr(n) for n in numbers], {}

    def unify(self, parts, train, column, ignore_labels=()):
        "Leave the numbers as they are"
        return []

    def respell(self, labels, names):
        "Leave the numbers as they are"
        return labels

    def name(self, labels, order, column):
        "Return no names. Raises `UserError` if all numbers are the same"
        self.reading["rating"] = is_rating([float(x) for x in labels])
        if len(set(labels)) < 2:
            raise UserError(
                f"every row has the number {labels[0]} in the column '{column}': there is nothing to learn."
            )
        return []

    def check_rows(self, rows, missing):
        "Raise `UserError` if there are fewer rows than splits"
        if len(rows.labels) < 10:
            raise UserError(f"there are {len(rows.labels)} rows, too few for train, validation and test. Add rows.")

    def strata(self, labels):
        "Return the bin of each number: about as many rows in each, none with few"
        bins = max(1, min(BINS, len(labels) // 20))
        if len(set(labels)) < 2:  # the others may have been held out already
            return ["0"] * len(labels)
        cut = pd.qcut(np.array(labels, dtype=float), bins, labels=False, duplicates="drop")
        for i in range(cut.max(), 0, -1):
            if (cut == i).sum() < FEWEST:
                cut[cut == i] = i - 1
        if (cut == cut.min()).sum() < FEWEST and cut.max() > cut.min():
            cut[cut == cut.min()] = cut[cut > cut.min()].min()
        return [str(i) for i in cut]

    def check_sample(self, rows, names, limit, seed):
        "Have nothing to check: no number has to occur"

    def to_dataset(self, rows, names, split):
        "Return the rows with `text` and `label`"
        features = Features(
            text=Value("string"), label=Value("float64"), **dict.fromkeys(rows.extras, Value("string"))
        )
        return make_dataset({"text": rows.texts, "label": [float(x) for x in rows.labels], **rows.extras}, features)

    def count(self, rows, names):
        "Return rating -> rows, or for other numbers quarter of the range -> rows"
        values = np.array(rows["label"])
        if self.reading["rating"]:
            numbers, counts = np.unique(values, return_counts=True)
            return {f"{number:g}": int(count) for number, count in zip(numbers, counts)}
        counts, ends = np.histogram(values, bins=4)
        return {f"{a:.4g} to {b:.4g}": int(n) for a, b, n in zip(ends, ends[1:], counts)}


def has_steps(predictions: pd.DataFrame) -> bool:
    "Return whether the numbers are a rating, as the training rows decided; without their word: as these rows look"
    known = predictions.attrs.get("rating")
    return is_rating(predictions.label) if known is None else known


def find_scale(values) -> tuple[float, float]:
    "Return mean and standard deviation of the training rows"
    values = np.array(values[:], dtype=float)
    return float(values.mean()), float(values.std()) or 1.0


@dataclass
class ScaledCollator:
    "Make batches with standardised numbers"

    collate: DataCollatorWithPadding  # makes the batch
    mean: float  # of the training rows
    std: float  # of the training rows

    def __call__(self, rows: list[dict]):
        labels = [row["labels"] for row in rows if "labels" in row]
        batch = self.collate([{k: v for k, v in row.items() if k != "labels"} for row in rows])
        if labels:  # standardised in float64: float32 cannot tell 1,000,000,001 from 1,000,000,000
            batch["labels"] = ((torch.tensor(labels, dtype=torch.float64) - self.mean) / self.std).float()
        return batch


# --- model ---


@torch.no_grad()
def fold_scale(model, mean: float, std: float) -> tuple[float, float]:
    "Let the last layer of the head answer in the unit of the data. Return mean and deviation that are left to do"
    parts = [] if is_adapter(model) else [getattr(model, name) for name in new_parts(model)]
    layers = [m for part in parts for m in part.modules() if isinstance(m, nn.Linear) and m.out_features == 1]
    if not layers or layers[-1].bias is None:
        return mean, std
    layers[-1].weight.mul_(std)
    layers[-1].bias.mul_(std).add_(mean)
    return 0.0, 1.0


@torch.no_grad()
def unfold_scale(model, mean: float, std: float) -> None:
    "Let the last layer of the head answer in standard deviations again, if `fold_scale` had changed its unit"
    if getattr(model.config, "label_std", 1.0) != 1.0 or getattr(model.config, "label_mean", 0.0) != 0.0:
        return
    plain = model.get_base_model() if hasattr(model, "peft_config") else model
    for part in (getattr(plain, name) for name in new_parts(plain)):
        for layer in part.modules():
            if isinstance(layer, nn.Linear) and layer.out_features == 1 and layer.bias is not None:
                layer.bias.sub_(mean).div_(std)
                layer.weight.div_(std)


def to_values(
    logits: np.ndarray,  # (rows, 1)
    model,  # knows the scale
) -> np.ndarray:
    "Return numbers in the unit of the data (rows,)"
    return np.asarray(logits, dtype=float)[:, 0] * model.config.label_std + model.config.label_mean


def to_answer(logits: np.ndarray, model) -> dict:
    "Return what the model says of one text"
    return {"value": float(to_values(logits[None], model)[0])}


def squared_loss(outputs, labels, num_items_in_batch=None):
    "Return the summed squared error of a batch, divided by the number of rows in the update"
    total = (outputs["logits"].float().squeeze(-1) - labels.float()).square().sum()
    return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)


# --- scores ---


def count_errors(
    predicted: np.ndarray,  # (rows,)
    true: np.ndarray,  # (rows,)
) -> np.ndarray:
    "Return absolute error, squared error and 1 of each row (rows, 3)"
    gaps = np.asarray(predicted, dtype=float) - np.asarray(true, dtype=float)
    return np.stack([np.abs(gaps), gaps**2, np.ones(len(gaps))], -1)


METRICS = {  # name -> function of sums of `count_errors` (..., 3)
    "mae": lambda sums: sums[..., 0] / sums[..., 2],
    "mse": lambda sums: sums[..., 1] / sums[..., 2],
}


def score_numbers(
    predicted: np.ndarray,  # (rows,)
    true: np.ndarray,  # (rows,)
    confidence_level: float = 0.95,  # of every interval
    num_resamples: int = 2000,  # bootstrap resamples
    rating: bool | None = None,  # whether the training rows are a rating; None: look at these
) -> dict:
    "Return MAE, MSE and Spearman's rank correlation with intervals; for ratings also the share within one step"
    scores = score_sums(count_errors(predicted, true), METRICS, confidence_level, num_resamples)
    scores["spearman"] = rank_correlation(predicted, true, confidence_level)
    if is_rating(true) if rating is None else rating:
        rounded = np.round(np.asarray(predicted, dtype=float))
        scores["within_one"] = wilson(int((np.abs(rounded - true) <= 1).sum()), len(true), confidence_level)
        scores["exact"] = wilson(int((rounded == true).sum()), len(true), confidence_level)
    return scores


def rank_correlation(predicted, true, confidence_level: float = 0.95) -> Interval:
    "Return Spearman's correlation with the interval of Bonett and Wright (2000); 0 if one side is constant"
    n = len(true)
    if n < 2 or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return Interval(0.0, -1.0, 1.0, n)
    value = float(spearmanr(predicted, true).statistic)
    if n < 5:
        return Interval(value, -1.0, 1.0, n)
    width = norm.ppf((1 + confidence_level) / 2) * math.sqrt((1 + value**2 / 2) / (n - 3))
    center = math.atanh(min(max(value, -1 + 1e-12), 1 - 1e-12))
    return Interval(value, min(value, math.tanh(center - width)), max(value, math.tanh(center + width)), n)


def compute_metrics(
    prediction,  # standardised numbers
    std: float = 1.0,  # their unit
) -> dict[str, float]:
    "Return the scores in the unit of the data, for `Trainer(compute_metrics=...)`"
    predicted, true = np.asarray(prediction.predictions)[:, 0] * std, np.asarray(prediction.label_ids) * std
    sums = count_errors(predicted, true).sum(0)
    return {name: float(metric(sums)) for name, metric in METRICS.items()} | {
        "spearman": rank_correlation(predicted, true).value
    }


# --- rungs: each returns numbers (rows,) ---


def median(data, rows, base=None, objective=None) -> np.ndarray:
    "Return for each row the median of the training rows: no other constant has a smaller absolute error"
    return np.full(len(rows), np.median(data["train"]["label"]))


def fit_ridge(known, values, asked, scaled: bool) -> np.ndarray:
    "Return the numbers of a ridge regression whose penalty is chosen on the training rows"
    ridge = RidgeCV(alphas=np.logspace(-2, 4, 13))
    with threadpool_limits(1):
        return (make_pipeline(StandardScaler(), ridge) if scaled else ridge).fit(known, values).predict(asked)


def tfidf(data, rows, base=None, objective=None) -> np.ndarray:
    "Return the numbers of a ridge regression on words, signs and their pairs"
    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True)
    known = words.fit_transform(list(data["train"]["text"]))
    return fit_ridge(known, data["train"]["label"], words.transform(list(rows["text"])), scaled=False)


def frozen(data, rows, base, objective) -> np.ndarray:
    "Return the numbers of a ridge regression on features of the base model, which is not trained"
    known, asked = base.features(list(data["train"]["text"])), base.features(list(rows["text"]))
    return fit_ridge(known, data["train"]["label"], asked, scaled=True)
