"""Scores of generated texts against their references, and of the loss on them, each with an interval from the rows.

Every share is between 0 and 1, BLEU and chrF too, which papers print from 0 to 100. Words are found in any script.
Chinese and Japanese have no spaces: there each character counts as a word; Thai, Lao, Khmer and Burmese are only split
at spaces. One reference a row.
"""

import logging
import math
import re
import string
import unicodedata
from collections import Counter
from functools import cache
from importlib.util import find_spec

import numpy as np

from ftkit.errors import UserError
from ftkit.intervals import Interval
from ftkit.metrics import Verdict, wilson
from ftkit.tasks.resampling import check_rows, make_verdict, score_sums

logger = logging.getLogger(__name__)

ARTICLES = {"a", "an", "the"}  # those of SQuAD; other languages keep theirs, in both texts
# Kana and Han: scripts whose words no space separates
NO_SPACES = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
# in a number, punctuation is part of the value: 3.5 is not 35, -5 is not 5
NUMBER = re.compile(r"((?:(?<!\w)-)?\d+(?:[^\w\s]\d+)*)")
THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")
DASHES = str.maketrans("−–", "--")
BLEU_ORDER, CHRF_ORDER, CHRF_BETA = 4, 6, 2  # Papineni 2002; Popović 2015, 2016: the defaults of sacrebleu
REPEATED_WORDS, REPEATED_TIMES = 4, 3  # so many words that come so many times are a loop
EXTRA = {"rougeL": "rouge_score", "bleu": "sacrebleu", "chrf": "sacrebleu"}  # metric -> optional package


def split_words(
    text: str,  # any text
) -> list[str]:
    "Return the words between spaces; a character of a script without spaces is a word"
    return NO_SPACES.sub(r" \1 ", text).split()


def is_punctuation(
    character: str,  # one
) -> bool:
    "Return whether this is punctuation in Unicode or in ASCII"
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def normalise_answer(
    text: str,  # any text
) -> str:
    """Return a text as SQuAD compares it: lower case, no punctuation, no English articles, single spaces.

    Two differences. Numbers keep their value: SQuAD reads 3.5 as 35. And a step that would leave nothing is skipped:
    SQuAD makes the answers `A`, `the` and `?` equal, all of them empty
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(DASHES)
    parts = NUMBER.split(folded)
    parts[::2] = ["".join(c for c in part if not is_punctuation(c)) for part in parts[::2]]
    parts[1::2] = [THOUSANDS.sub("", number) for number in parts[1::2]]
    words = "".join(parts).split() or folded.split()
    return " ".join([word for word in words if word not in ARTICLES] or words)


def exact_match(
    prediction: str,  # generated
    reference: str,  # expected
) -> float:
    "Return 1.0 if both are equal when normalised, else 0.0"
    return float(normalise_answer(prediction) == normalise_answer(reference))


def token_f1(
    prediction: str,  # generated
    reference: str,  # expected
) -> float:
    "Return the F1 of the words that both normalised texts share (Rajpurkar 2016)"
    found, expected = (split_words(normalise_answer(text)) for text in (prediction, reference))
    if not found or not expected:
        return float(found == expected)
    return 2 * (Counter(found) & Counter(expected)).total() / (len(found) + len(expected))


class RougeTokenizer:
    """Splits a text for rouge-score, whose own tokenizer drops every letter outside a to z: `für` becomes `f r`.

    English texts are split as it does
    """

    def tokenize(self, text: str) -> list[str]:
        "Return the lower-case words: letters, digits and their marks. A text without any is split at spaces"
        letters = (c if unicodedata.category(c)[0] in "LNM" else " " for c in text.lower())
        return split_words("".join(letters)) or text.split()


def rouge_l(
    predictions: list[str],  # generated
    references: list[str],  # expected
) -> np.ndarray:
    "Return ROUGE-L of each row (rows,): the F1 of the longest common subsequence (Lin 2004), without a stemmer"
    from rouge_score.rouge_scorer import RougeScorer  # 3 seconds: it imports nltk

    scorer = RougeScorer(["rougeL"], use_stemmer=False, tokenizer=RougeTokenizer())
    pairs = zip(references, predictions)
    return np.array([scorer.score(target, found)["rougeL"].fmeasure for target, found in pairs], dtype=float)


def count_bleu(
    predictions: list[str],  # generated
    references: list[str],  # expected
) -> np.ndarray:
    "Return what BLEU sums over rows (rows, 10): hits and n-grams of each order, words generated and expected"
    from sacrebleu import BLEU

    metric = BLEU(effective_order=True)
    scores = [metric.sentence_score(found, [target]) for found, target in zip(predictions, references)]
    return np.array([[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in scores], dtype=float)


def bleu(
    sums: np.ndarray,  # of `count_bleu` (..., 10)
) -> np.ndarray:
    """Return corpus BLEU (...), 0 to 1.

    Equal to `sacrebleu.corpus_bleu` as soon as any text has four words. If none has, only the orders that occur count,
    where that function returns 0 for perfect answers.
    """
    from sacrebleu import BLEU

    def score(row):
        hits, ngrams = row[:BLEU_ORDER].tolist(), row[BLEU_ORDER : 2 * BLEU_ORDER].tolist()
        lengths = map(int, row[2 * BLEU_ORDER :])
        return BLEU.compute_bleu(hits, ngrams, *lengths, smooth_method="exp", effective_order=True).score

    return np.minimum(np.apply_along_axis(score, -1, sums) / 100, 1.0)


def count_chrf(
    predictions: list[str],  # generated
    references: list[str],  # expected
) -> np.ndarray:
    "Return what chrF sums over rows (rows, 18): n-grams generated, n-grams expected and hits of each order"
    from sacrebleu import extract_char_ngrams

    def count(found, target, order):
        a, b = extract_char_ngrams(found, order), extract_char_ngrams(target, order)
        return a.total() if b else 0, b.total(), (a & b).total()

    orders, pairs = range(1, CHRF_ORDER + 1), zip(predictions, references)
    return np.array([[x for n in orders for x in count(found, target, n)] for found, target in pairs], dtype=float)


def chrf(
    sums: np.ndarray,  # of `count_chrf` (..., 18)
) -> np.ndarray:
    "Return corpus chrF (...), 0 to 1, as `sacrebleu.corpus_chrf`: F of the mean precision and recall of the orders"
    found, expected, hits = np.moveaxis(np.reshape(sums, (*np.shape(sums)[:-1], CHRF_ORDER, 3)), -1, 0)
    counted = (found > 0) & (expected > 0)
    orders = np.maximum(counted.sum(-1), 1)
    precision = (hits / np.maximum(found, 1) * counted).sum(-1) / orders
    recall = (hits / np.maximum(expected, 1) * counted).sum(-1) / orders
    total = CHRF_BETA**2 * precision + recall
    return (1 + CHRF_BETA**2) * precision * recall / np.where(total > 0, total, 1)


@cache
def report_missing(
    metrics: tuple[str, ...],  # that cannot be computed
) -> None:
    "Log once what is missing and how to install it"
    logger.info(f"{', '.join(metrics)}: not computed. They need: pip install 'ftkit[generation]'")


def count_rows(
    predictions: list[str],  # generated
    references: list[str],  # expected
    names: list[str],  # metrics
) -> dict[str, np.ndarray]:
    "Return metric -> numbers of each row (rows, numbers), whose sums over rows give the metric"
    mean = lambda scores: np.column_stack([scores, np.ones(len(scores))])
    counters = {
        "token_f1": lambda: mean(list(map(token_f1, predictions, references))),
        "rougeL": lambda: mean(rouge_l(predictions, references)),
        "bleu": lambda: count_bleu(predictions, references),
        "chrf": lambda: count_chrf(predictions, references),
    }
    return {name: counters[name]() for name in names}


def divide(
    sums: np.ndarray,  # numerator and denominator (..., 2)
) -> np.ndarray:
    "Return a mean as the ratio of two sums (...)"
    return sums[..., 0] / sums[..., 1]


def bound_share(
    found: Interval,  # of a share, from the bootstrap
    confidence_level: float,  # of the interval
) -> Interval:
    """Return the interval of a share, with Wilson's if all resamples are equal.

    Rows that all have the same score, such as 1, say nothing about the next one if they are few. Wilson's interval is
    that of scores that are 0 or 1, which vary most.
    """
    if found.low is not None and found.low < found.high:
        return hold_value(found)
    widest = wilson(round(found.value * found.n), found.n, confidence_level)
    return hold_value(Interval(found.value, widest.low, widest.high, found.n))


def hold_value(
    found: Interval,  # of any score
) -> Interval:
    "Return an interval that holds its score, which a bootstrap of a ratio may miss by little"
    if found.low is None:
        return found
    return Interval(found.value, min(found.low, found.value), max(found.high, found.value), found.n)


def score_texts(
    predictions: list[str],  # generated, one a row
    references: list[str],  # expected, one a row
    confidence_level: float = 0.95,  # of every interval
    num_resamples: int = 2000,  # bootstrap resamples of the rows
    seed: int = 0,  # of the resamples
) -> dict[str, Interval | None]:
    """Return exact match, token F1, ROUGE-L, BLEU and chrF with intervals, all of them 0 to 1.

    BLEU and chrF are those of all rows together: each resample sums the counts of its rows. The last three are None,
    which is logged once, if the extra `generation` is not installed. Raises `UserError` without rows, or if the
    numbers of rows differ.
    """
    check_rows(predictions=predictions, references=references)
    missing = tuple(name for name, package in EXTRA.items() if find_spec(package) is None)
    if missing:
        report_missing(missing)
    functions = {"token_f1": divide, "rougeL": divide, "bleu": bleu, "chrf": chrf}
    counts = count_rows(predictions, references, [name for name in functions if name not in missing])
    ends = np.cumsum([part.shape[1] for part in counts.values()])
    columns = {name: slice(end - counts[name].shape[1], end) for name, end in zip(counts, ends)}
    metrics = {name: lambda sums, name=name: functions[name](sums[..., columns[name]]) for name in counts}
    found = score_sums(np.hstack(list(counts.values())), metrics, confidence_level, num_resamples, seed)
    right = sum(map(exact_match, predictions, references))
    return {
        "exact_match": wilson(right, len(references), confidence_level),
        **{name: bound_share(found[name], confidence_level) if name in found else None for name in functions},
    }


def select_trained(
    losses: list[np.ndarray],  # of each model (rows,)
    tokens: np.ndarray,  # trained tokens of each row (rows,)
) -> tuple[np.ndarray, ...]:
    "Return losses and tokens of the rows that have tokens. Raises `UserError` if none has, or if a loss is not finite"
    tokens = np.asarray(tokens, dtype=float)
    if (kept := tokens > 0).sum() == 0:
        raise UserError("no row has a token to score: max_seq_length leaves nothing of the responses. Raise it.")
    losses = [np.asarray(loss, dtype=float)[kept] for loss in losses]
    if bad := sum(int((~np.isfinite(loss)).sum()) for loss in losses):
        raise UserError(f"the loss of {bad:,} rows is not a finite number: the model is broken. Train it again.")
    return *losses, tokens[kept]


def score_losses(
    nll: np.ndarray,  # negative log-likelihood of each row, summed over its trained tokens (rows,)
    tokens: np.ndarray,  # trained tokens of each row (rows,)
    confidence_level: float = 0.95,  # of every interval
    num_resamples: int = 2000,  # bootstrap resamples of the rows
    seed: int = 0,  # of the resamples
) -> dict[str, Interval]:
    """Return the mean loss of a token in nats, and the perplexity, its exponential, with intervals.

    Every token counts the same, in whatever batches the rows came. Rows without a trained token are left out. low and
    high are None with one row. Raises `UserError` if there is nothing to score, or a loss is not finite.
    """
    check_rows(nll=nll, tokens=tokens)
    sums = np.column_stack(select_trained([nll], tokens))
    loss = hold_value(score_sums(sums, {"loss": divide}, confidence_level, num_resamples, seed)["loss"])
    # above 709 the exponential is no float64, and JSON has no infinity
    value, low, high = (None if x is None else math.exp(min(x, 709.0)) for x in (loss.value, loss.low, loss.high))
    return {"loss": loss, "perplexity": Interval(value, low, high, loss.n)}


def compare_losses(
    a_nll: np.ndarray,  # of one model: loss of each row, summed over its trained tokens (rows,)
    b_nll: np.ndarray,  # of the other, on the same rows
    tokens: np.ndarray,  # trained tokens of each row, the same for both (rows,)
    names: tuple[str, str] = ("a", "b"),  # of the models
    confidence_level: float = 0.95,  # of the interval; the test is at 1 minus this
    num_resamples: int = 2000,  # random flips of the rows
    seed: int = 0,  # of the flips
    gap: float = 0.02,  # the difference in nats that would matter to you: 0.02 is 2 % of perplexity
) -> Verdict:
    """Compare the mean loss of a token of two models on the same rows. Lower is better.

    By the sign-flip test of `compare_rows`. The models need the same tokens: with two tokenizers their losses are not
    comparable. Raises `UserError` if the numbers of rows differ, there is nothing to score, or a loss is not finite.
    """
    check_rows(a_nll=a_nll, b_nll=b_nll, tokens=tokens)
    a, b, weights = select_trained([a_nll, b_nll], tokens)
    return make_verdict(names, "loss", a - b, weights, True, "nats", gap, confidence_level, num_resamples, seed)


def has_repetition(
    text: str,  # generated
) -> bool:
    "Return whether any four words come three times or more"
    words = split_words(text.casefold())
    grams = Counter(zip(*(words[i:] for i in range(REPEATED_WORDS))))
    return max(grams.values(), default=0) >= REPEATED_TIMES


def has_copy(
    prediction: str,  # generated
    prompt: str,  # that was answered
    reference: str,  # expected
) -> bool:
    "Return whether a text holds its prompt of four words or more, though the reference does not"
    words, *texts = (split_words(normalise_answer(text)) for text in (prompt, prediction, reference))
    sought, found, expected = (f" {' '.join(part)} " for part in (words, *texts))
    return len(words) >= REPEATED_WORDS and sought in found and sought not in expected


def describe_outputs(
    predictions: list[str],  # generated, one a row
    references: list[str],  # expected, one a row
    max_new_tokens_hit: list[bool] | None = None,  # whether a text ended at the limit
    prompts: list[str] | None = None,  # one a row
) -> dict[str, float | None]:
    """Return what a reader should know of the generated texts.

    `rows` and `empty` are counts, `words` and `reference_words` medians, the others shares of the rows: `repetition`
    (four words that come three times or more), `cut` (at the limit of new tokens; None if not known) and `copies` (the
    prompt comes back; None without prompts). Raises `UserError` without rows, or if the numbers of rows differ.
    """
    limits = [False] * len(predictions) if max_new_tokens_hit is None else max_new_tokens_hit
    asked = [""] * len(predictions) if prompts is None else prompts
    check_rows(predictions=predictions, references=references, max_new_tokens_hit=limits, prompts=asked)
    share = lambda flags: float(np.mean([bool(flag) for flag in flags]))
    copies = map(has_copy, predictions, asked, references)
    return {
        "rows": len(predictions),
        "empty": sum(not text.strip() for text in predictions),
        "words": float(np.median([len(split_words(text)) for text in predictions])),
        "reference_words": float(np.median([len(split_words(text)) for text in references])),
        "repetition": share(map(has_repetition, predictions)),
        "cut": None if max_new_tokens_hit is None else share(limits),
        "copies": None if prompts is None else share(copies),
    }
