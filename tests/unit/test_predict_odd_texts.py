"Odd texts: the same answer alone, in any batch and in a plain pipeline; none acts as a control token."

import numpy as np
import pytest
from conftest import BAD, FLAT, GOOD, mark_slow
from tokenizers import normalizers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from ftkit.model_init import load_model
from ftkit.objective import iter_batches
from ftkit.serving.predict import predict_logits, predict_rows
from ftkit.tokenizer import load_tokenizer, pooled_position, tokenize


def make_long(letters: int) -> dict[str, str]:
    "Texts of so many letters"
    return {
        "one long word": "a" * letters,
        "many words": "word " * (letters // 5),
        "Chinese": "中" * letters,
        "a word after spaces": " " * letters + GOOD,
        "many control tokens": "<|endoftext|>[SEP]" * (letters // 18),
    }


LONG = make_long(50_000)
PLACES = {
    "alone": "{0}",
    "before": "{0}good day",
    "after": "good day{0}",
    "inside": "good {0} day",
    "only these": "{0}{0} {0}",
}
ODD = {
    "emoji family": "👨‍👩‍👧‍👦",
    "emoji": "🙂🙃 fine 🇪🇺",
    "right to left": "שלום עולם, مرحبا بالعالم",
    "direction override": "\u202egood\u202c day",
    "NUL inside": "good\x00 day",
    "control characters inside": "good\x07\x1b[31m day\x7f",
    "zero width inside": "go\u200bod\ufeff d\u2060ay",
    "combining marks": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
    "combining marks alone": "\u0301\u0301\u0327",
    "private and unassigned": "\ue000\U000e0fff",
    "line ends inside": "good\r\nday\u2028and\u0085night\x0b",
    "one letter": "a",
    "one sign": "?",
    "trailing spaces": GOOD + "   \n",
    "a number": "7",
    **{
        f"{token} {where}": form.format(token)
        for token in ("<|endoftext|>", "[SEP]", "[PAD]")
        for where, form in PLACES.items()
    },
}
UNUSABLE = {
    "nothing": ("", "the text is empty"),
    "spaces": ("   ", "the text is empty"),
    "line ends": ("\n\r\n", "the text is empty"),
    "zero-width space": ("\u200b\ufeff", "the text is empty"),
    "control characters": ("\x00\x07\x1b", "the text is empty"),
    "many spaces": (" " * 10**6, "the text is empty"),
    "lone surrogate": ("\ud83d", "the text holds half of a character (a lone surrogate)"),
    "lone surrogate inside": ("good \ude00 day", "the text holds half of a character (a lone surrogate)"),
    "None": (None, "there is no text"),
    "nan": (float("nan"), "there is no text"),
    "7": (7, "expected a text, found int"),
    "a list": (["good"], "expected a text, found list"),
    "bytes": (b"good", "expected a text, found bytes"),
}
PLAIN = [GOOD, "no", BAD + ", and then it rained for the rest of the day while we waited", FLAT, "word " * 300]
LABELS = ["bad", "flat", "good"]


@pytest.fixture(scope="module", params=["tiny", pytest.param("starter", marks=pytest.mark.slow)])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def source(kind, tiny):
    "What settings.ini would name"
    return tiny if kind == "tiny" else "starter"


@pytest.fixture(scope="module")
def classifier(source):
    tokenizer = load_tokenizer(source)
    return load_model(source, LABELS, tokenizer).eval(), tokenizer


@pytest.fixture(scope="module")
def answers(classifier):
    "Logits of every odd text from batches of several sizes and orders: name -> (batches, labels)"
    model, tokenizer = classifier
    names = [*ODD, *LONG]
    texts = [{**ODD, **LONG}[name] for name in names] + PLAIN
    found = []
    for seed, size in enumerate((5, 64)):
        order = np.random.default_rng(seed).permutation(len(texts))
        logits = np.empty((len(texts), len(LABELS)), np.float32)
        logits[order] = predict_logits(model, tokenizer, [texts[i] for i in order], batch_size=size)
        found.append(logits)
    return dict(zip(names, np.stack(found, 1)))


@pytest.fixture(scope="module")
def saved(classifier, tmp_path_factory):
    "The folder of the classifier as a run keeps it"
    folder = tmp_path_factory.mktemp("saved")
    for part in classifier:
        part.save_pretrained(folder)
    return folder


@pytest.mark.fault("odd texts")
@pytest.mark.parametrize("name", [*ODD, *LONG])
def test_odd_text_ignores_its_batch(classifier, answers, name):
    alone = predict_logits(*classifier, [{**ODD, **LONG}[name]])[0]
    assert np.isfinite(alone).all() and np.abs(answers[name] - alone).max() < 1e-5


@pytest.mark.slow
@pytest.mark.fault("odd texts")
@pytest.mark.parametrize("name", LONG)
def test_million_letters_ignore_the_batch(classifier, name):
    text = make_long(10**6)[name]
    alone, batch = predict_logits(*classifier, [text]), predict_logits(*classifier, [*PLAIN, text])
    assert np.isfinite(alone).all() and np.abs(batch[-1] - alone[0]).max() < 1e-5


@pytest.mark.fault("odd texts")
@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_text_gets_a_reason(classifier, name):
    text, reason = UNUSABLE[name]
    rows = predict_rows(*classifier, [GOOD, text, text, BAD, text])
    assert [r.get("error") for r in rows] == [None, reason, reason, None, reason]
    assert [rows[i]["scores"] for i in (0, 3)] == [
        pytest.approx(r["scores"], abs=1e-5) for r in predict_rows(*classifier, [GOOD, BAD])
    ]
    assert predict_rows(*classifier, [text]) == [{"error": reason}]


@pytest.mark.fault("odd texts")
@pytest.mark.parametrize("name", [name for name in ODD if name[0] in "<["] + ["many control tokens"])
def test_control_tokens_are_plain_text(classifier, name):
    model, tokenizer = classifier
    text = {**ODD, **LONG}[name]
    ((_, batch),) = iter_batches([text, "word " * 300], tokenizer)
    ids = batch["input_ids"][0][: batch["attention_mask"][0].sum()].tolist()
    around = tokenizer.num_special_tokens_to_add()
    assert sum(i in tokenizer.all_special_ids for i in ids) == around
    if not around:
        assert pooled_position(batch["input_ids"][0].tolist(), model.config.pad_token_id) == len(ids) - 1


@pytest.mark.fault("odd texts")
def test_training_and_predict_tokens_agree(classifier):
    from datasets import Dataset

    texts = [*ODD.values(), *PLAIN]
    tokens = tokenize(Dataset.from_dict({"text": texts}), classifier[1])
    predicted = {}
    for rows, batch in iter_batches(texts, classifier[1]):
        predicted.update(
            {
                row: ids[mask.bool()].tolist()
                for row, ids, mask in zip(rows, batch["input_ids"], batch["attention_mask"])
            }
        )
    assert tokens["input_ids"][:] == [predicted[i] for i in range(len(texts))] and tokens["length"][:] == [
        len(predicted[i]) for i in range(len(texts))
    ]


@pytest.mark.fault("odd texts")
@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.slow), 8])
def test_pipeline_answers_are_equal(classifier, saved, batch_size):
    texts = [*ODD.values(), *PLAIN, LONG["many control tokens"][:20_000]]
    answered = pipeline(
        "text-classification", str(saved), top_k=None, truncation=True, max_length=128, batch_size=batch_size
    )(texts)
    scores = [{a["label"]: a["score"] for a in answer} for answer in answered]
    wanted = [row["scores"] for row in predict_rows(*classifier, texts)]
    assert max(abs(a[label] - b[label]) for a, b in zip(scores, wanted) for label in LABELS) < 1e-5


@pytest.mark.fault("odd texts")
def test_run_and_pipeline_agree(trained):
    from ftkit.fine_tuning import Run

    folder, _ = trained
    texts = [*ODD.values(), *PLAIN]
    rows = Run.load("small", folder / "runs").predict(texts)
    answered = pipeline("text-classification", str(folder / "runs/small/model"), truncation=True, max_length=128)(
        texts
    )
    assert [a["label"] for a in answered] == [r["label"] for r in rows]
    assert [a["score"] for a in answered] == pytest.approx([r["score"] for r in rows], abs=1e-5)


@pytest.mark.fault("odd texts")
def test_left_padding_changes_nothing(classifier, saved, tmp_path):
    model, tokenizer = classifier
    texts = [*PLAIN, *ODD.values()]
    wanted = predict_logits(model, tokenizer, texts)
    left = AutoTokenizer.from_pretrained(saved, padding_side="left", truncation_side="left")
    left.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).padding_side == "left"
    assert (
        np.abs(
            predict_logits(
                AutoModelForSequenceClassification.from_pretrained(tmp_path).eval(),
                load_tokenizer(str(tmp_path)),
                texts,
            )
            - wanted
        ).max()
        < 1e-5
    )
    left.truncation_side = "right"
    assert np.abs(predict_logits(model, left, texts) - wanted).max() < 1e-5


@pytest.mark.fault("odd texts")
def test_text_without_tokens_is_stable(tiny):
    tokenizer = load_tokenizer(tiny)
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("\u0301", "")
    model = load_model(tiny, LABELS, tokenizer).eval()
    alone = predict_logits(model, tokenizer, ["\u0301"])
    together = predict_logits(model, tokenizer, [*PLAIN, "\u0301\u0301", "\u0301"])
    assert np.isfinite(alone).all() and np.abs(together[-2:] - alone).max() < 1e-5


@pytest.mark.parametrize("limit", mark_slow([8, 128], fast=[128]))
def test_long_text_keeps_its_tokens(classifier, limit):
    _, tokenizer = classifier
    letters, rng = list("abcdefgh ,.-\n\té中😀\u0301"), np.random.default_rng(limit)
    texts = [
        "".join(rng.choice(letters[: rng.integers(1, len(letters))], rng.integers(10, 9000))) for _ in range(150)
    ] + [" " * 5000 + GOOD, "a" * 9000 + " " + GOOD]
    for rows, batch in iter_batches(texts, tokenizer, limit):
        whole = tokenizer([texts[i] for i in rows], truncation=True, max_length=limit)["input_ids"]
        assert [ids[mask.bool()].tolist() for ids, mask in zip(batch["input_ids"], batch["attention_mask"])] == whole
