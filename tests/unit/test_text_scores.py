"Scores of generated texts and losses: against the libraries, brute force and simulation."

import math
import re
import string
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftkit.errors import UserError
from ftkit.metrics import wilson
from ftkit.tasks import text_scores
from ftkit.tasks.text_scores import (
    compare_losses,
    describe_outputs,
    exact_match,
    normalise_answer,
    score_losses,
    score_texts,
    token_f1,
)

RNG = np.random.default_rng(0)
WORDS = "the cat sat on a mat while two dogs ran past an old house near the river and barked".split()
REFERENCES = [" ".join(RNG.choice(WORDS, RNG.integers(5, 15))).capitalize() + "." for _ in range(60)]
PREDICTIONS = [
    " ".join(word if RNG.random() < 0.8 else str(RNG.choice(WORDS)) for word in text.split()) for text in REFERENCES
]
PREDICTIONS[:6] = REFERENCES[:6]
TOKENS = RNG.integers(1, 60, 80)
NLL = TOKENS * RNG.gamma(4, 0.5, 80)


def squad_f1(prediction, reference):
    "SQuAD's own evaluation (rajpurkar.github.io/SQuAD-explorer, evaluate-v2.0.py)"

    def words(text):
        text = "".join(c for c in text.lower() if c not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    found, expected = words(prediction), words(reference)
    same = (Counter(found) & Counter(expected)).total()
    if not found or not expected:
        return float(found == expected)
    precision, recall = same / len(found), same / len(expected)
    return 2 * precision * recall / (precision + recall) if same else 0.0


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("The Cat.", "cat"),
        ("  an  apple ", "apple!"),
        ("U.S.A.", "USA"),
        ("1,200 km", "1200 km"),
        ("STRASSE", "Straße"),
        ("Cafe\u0301", "café"),
        ("１２", "12"),
        ("−5", "-5"),
        ("«Да»", "да"),
    ],
)
def test_normalised_answers_match(a, b):
    assert exact_match(a, b) == exact_match(b, a) == token_f1(a, b) == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [("3.5", "35"), ("-5", "5"), ("10:30", "1030"), ("A", "the"), ("?", "!"), ("👍", "👎"), ("A", ""), ("2/3", "23")],
)
def test_different_answers_stay_different(a, b):
    assert exact_match(a, b) == token_f1(a, b) == 0


def test_answers_equal_those_of_squad():
    scores = [(token_f1(*pair), squad_f1(*pair)) for pair in zip(PREDICTIONS, REFERENCES)]
    assert [ours for ours, _ in scores] == pytest.approx([theirs for _, theirs in scores])


@given(st.text(), st.text())
def test_token_f1_is_symmetric(a, b):
    assert token_f1(a, b) == token_f1(b, a) and 0 <= token_f1(a, b) <= 1 and token_f1(a, a) == exact_match(a, a) == 1
    assert normalise_answer(f"  {a}\n") == normalise_answer(a)


def test_characters_are_words_without_spaces():
    assert token_f1("我喜欢猫", "我喜欢狗") == 0.75


def test_texts_score_as_the_libraries():
    sacrebleu = pytest.importorskip("sacrebleu")
    rouge = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    found = score_texts(PREDICTIONS, REFERENCES, num_resamples=100)
    assert found["bleu"].value == pytest.approx(sacrebleu.corpus_bleu(PREDICTIONS, [REFERENCES]).score / 100)
    assert found["chrf"].value == pytest.approx(sacrebleu.corpus_chrf(PREDICTIONS, [REFERENCES]).score / 100)
    pairs = list(zip(PREDICTIONS, REFERENCES))
    assert found["rougeL"].value == pytest.approx(np.mean([rouge.score(b, a)["rougeL"].fmeasure for a, b in pairs]))
    assert found["token_f1"].value == pytest.approx(np.mean([token_f1(*pair) for pair in pairs]))
    assert found["exact_match"] == wilson(sum(exact_match(*pair) for pair in pairs), 60)


@pytest.mark.slow
def test_corpus_scores_resample_rows():
    sacrebleu = pytest.importorskip("sacrebleu")
    found = score_texts(PREDICTIONS, REFERENCES, num_resamples=2000)
    for name, score in (("bleu", sacrebleu.corpus_bleu), ("chrf", sacrebleu.corpus_chrf)):
        rows = RNG.integers(0, 60, (80, 60))
        draws = [score([PREDICTIONS[i] for i in r], [[REFERENCES[i] for i in r]]).score / 100 for r in rows]
        width = found[name].high - found[name].low
        assert np.quantile(draws, [0.025, 0.975]) == pytest.approx([found[name].low, found[name].high], abs=width / 3)


@pytest.mark.parametrize("text", ["yes", "Zürich", "Привет, мир", "我喜欢猫", "👍", "für alle Fälle", "한국어 문장"])
def test_perfect_texts_score_one(text):
    pytest.importorskip("sacrebleu"), pytest.importorskip("rouge_score")
    scores = score_texts([text] * 10, [text] * 10, num_resamples=100)
    assert {name: found.value for name, found in scores.items()} == dict.fromkeys(scores, pytest.approx(1))
    assert all(
        found.low < 0.8 and found.high == pytest.approx(1) for found in scores.values()
    )  # ten rows prove little


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=8))
def test_intervals_of_texts_hold_their_value(pairs):
    for found in score_texts(*map(list, zip(*pairs)), num_resamples=100).values():
        assert found is None or 0 <= found.low <= found.value <= found.high <= 1 and found.n == len(pairs)


def test_missing_extra_is_logged_once(monkeypatch):
    said = []
    monkeypatch.setattr(text_scores, "find_spec", lambda name: None)
    monkeypatch.setattr(text_scores.logger, "info", said.append)
    text_scores.report_missing.cache_clear()
    scores = [score_texts(["one two"], ["one three"]) for _ in range(2)][-1]
    assert scores["rougeL"] is scores["bleu"] is scores["chrf"] is None and scores["token_f1"].value > 0
    assert said == ["rougeL, bleu, chrf: not computed. They need: pip install 'ftkit[generation]'"]


def test_loss_weighs_every_token():
    tokens = [RNG.gamma(2, 1, size) for size in (3, 40, 7, 1, 22)]
    rows = np.array([part.sum() for part in tokens]), np.array([len(part) for part in tokens])
    found = score_losses(*rows)
    assert found["loss"].value == pytest.approx(np.concatenate(tokens).mean())
    assert found["perplexity"].value == pytest.approx(math.exp(np.concatenate(tokens).mean()))
    batches = [np.concatenate(tokens[a:b]).mean() for a, b in ((0, 2), (2, 5))]
    assert found["loss"].value != pytest.approx(np.mean(batches))  # what a mean over batches shows
    for order in (range(5), (4, 2, 0, 3, 1)):
        assert score_losses(*(part[list(order)] for part in rows))["loss"].value == pytest.approx(found["loss"].value)


def test_loss_interval_resamples_rows():
    found = score_losses(NLL, TOKENS, num_resamples=4000)["loss"]
    rows = RNG.integers(0, 80, (4000, 80))
    draws = NLL[rows].sum(1) / TOKENS[rows].sum(1)
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx([found.low, found.high], abs=0.03)


def test_loss_interval_holds_its_level():
    hits, rng = 0, np.random.default_rng(5)
    for seed in range(400):
        tokens = rng.integers(1, 40, 20)
        found = score_losses(tokens * rng.gamma(8, 0.25, 20), tokens, num_resamples=300, seed=seed)["loss"]
        hits += found.low <= 2 <= found.high
    assert 0.915 <= hits / 400 <= 0.985


def test_rows_without_tokens_are_left_out():
    empty = np.zeros(3)
    assert score_losses(np.append(NLL, empty), np.append(TOKENS, empty)) == score_losses(NLL, TOKENS)
    verdicts = [
        compare_losses(np.append(NLL, more), np.append(NLL + TOKENS, more), np.append(TOKENS, more))
        for more in (empty, [])
    ]
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize(("loss", "perplexity"), [(1e5, math.exp(709)), (0.0, 1.0)])
def test_perplexity_stays_finite(loss, perplexity):
    assert score_losses(np.full(3, loss), np.ones(3))["perplexity"].high == perplexity


def test_one_row_has_no_loss_interval():
    found = score_losses(np.array([4.0]), np.array([2]))["loss"]
    assert (found.value, found.low, found.high, found.n) == (2, None, None, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score_texts([], []), "no rows"),
        (lambda: score_texts(["a"], []), "have 1, 0 rows"),
        (lambda: score_losses([1.0], [0]), "no row has a token"),
        (lambda: score_losses([math.nan, 1.0], [2, 2]), "loss of 1 rows is not a finite number"),
        (lambda: compare_losses([1.0], [1.0, 2.0], [1]), "have 1, 2, 1 rows"),
        (lambda: describe_outputs(["a"], ["a"], [True, False]), "have 1, 1, 2, 1 rows"),
    ],
)
def test_wrong_rows_are_refused(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_equal_models_rarely_differ():
    found = 0
    for seed in range(400):
        tokens = RNG.integers(1, 60, 12)
        a, b = (tokens * RNG.gamma(2, 1, 12) for _ in range(2))
        found += compare_losses(a, b, tokens, num_resamples=300, seed=seed).better is not None
    assert found / 400 <= 0.08


def test_lower_loss_is_better():
    verdicts = [compare_losses(NLL, NLL + 0.3 * TOKENS, TOKENS, ("x", "y"))]
    verdicts.append(compare_losses(NLL + 0.3 * TOKENS, NLL, TOKENS, ("y", "x")))
    assert [v.better for v in verdicts] == ["x", "x"] and [v.unit for v in verdicts] == ["nats", "nats"]
    assert [v.difference for v in verdicts] == pytest.approx([-0.3, 0.3])
    assert all(v.text.startswith("x is better than y: loss -0.3 nats") for v in verdicts)


def test_five_rows_decide_nothing():
    verdict = compare_losses(np.ones(5), np.linspace(0, 0.1, 5), np.ones(5))
    assert (verdict.low, verdict.high, verdict.better) == (None, None, None)


def test_outputs_are_described():
    loop = "I am sorry. " * 5
    found = describe_outputs(
        [loop, "", "The answer is: what is the capital of Peru? Lima", "Lima"],
        ["Sorry", "Lima", "Lima", "Lima in Peru"],
        [True, False, False, False],
        ["Say sorry", "", "What is the capital of Peru?", "Lima"],
    )
    assert found == {
        "rows": 4,
        "empty": 1,
        "words": 5.5,
        "reference_words": 1.0,
        "repetition": 0.25,
        "cut": 0.25,
        "copies": 0.25,
    }
    unknown = describe_outputs(["a"], ["a"])
    assert unknown["cut"] is None and unknown["copies"] is None


def test_expected_copies_are_no_fault():
    text = "this sentence has no mistake"
    assert describe_outputs([text], [text], prompts=[text])["copies"] == 0
    assert describe_outputs([text], ["other"], prompts=[text])["copies"] == 1
