"Losses and texts of models that write: the same in any batch, and as a plain loop over single rows finds them."

import math

import numpy as np
import pytest
import torch
from architectures import make_base
from conftest import mark_slow
from datasets import Dataset
from transformers import GenerationConfig

import ftkit.tasks.chat
import ftkit.tasks.writing
from ftkit.errors import RunFailed
from ftkit.settings import Settings
from ftkit.tasks.chat import (
    IGNORED,
    PackedCollator,
    check_messages,
    encode_prompt,
    find_end_ids,
    frame_prompt,
    pack,
    set_template,
    tokenize_conversations,
)
from ftkit.tasks.generation import Generation, load_writer, write
from ftkit.tasks.text_scores import score_losses
from ftkit.tasks.writing import (
    WritingCollator,
    compute_metrics,
    in_batches,
    keep_losses,
    measure_losses,
    read_output,
    split_batches,
    token_losses,
    write_texts,
    writing_loss,
)

TASK = Generation()
KINDS = ["llama", "gpt2", "t5", "bart"]
DECODERS = ["llama", "gpt2"]
LIMIT, NEW = 120, 10  # tokens of a row; tokens of a text
CONVERSATIONS = [
    [
        {"role": "user", "content": "good " * (1 + i % 4) + f"day {i}"},
        {"role": "assistant", "content": "well " * i + "."},
    ]
    for i in range(1, 9)
]
CONVERSATIONS += [
    [{"role": "system", "content": "Be brief."}, *CONVERSATIONS[0]],
    [*CONVERSATIONS[1], *CONVERSATIONS[4]],
]


@pytest.fixture(scope="module")
def make_writer(tmp_path_factory):
    "Return a model with random weights and its tokenizer, made once: `make_writer(kind, method)`"
    made = {}

    def make(kind, method="full"):
        if (kind, method) not in made:
            folder = str(make_base(kind, tmp_path_factory.mktemp("bases") / kind))
            tokenizer = TASK.load_tokenizer(folder)
            set_template(tokenizer, "auto")
            model = load_writer(tokenizer, 1, folder, method=method).eval()
            seq2seq = tokenizer.decoder_start is not None
            if seq2seq or method != "full":  # else every text gets the same answer
                shake([p for p in model.parameters() if seq2seq or p.requires_grad], 0.5 if kind == "t5" else 0.15)
            made[kind, method] = model, tokenizer
        return made[kind, method]

    return make


def shake(weights, size):
    "Add noise to weights"
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in weights:
            p += size * torch.randn(p.shape, generator=draws)


def tokenize(tokenizer, conversations=CONVERSATIONS, limit=LIMIT):
    return tokenize_conversations(conversations, tokenizer, limit, tokenizer.decoder_start is not None)


def loop_over_rows(model, tokens):
    "Return (loss, tokens) of each row, read alone and without padding, as Transformers itself or plain softmax has it"
    found = []
    for row in tokens:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        with torch.no_grad():
            if model.config.is_encoder_decoder:
                found.append(
                    (model(input_ids=ids, labels=labels).loss.item() * len(row["labels"]), len(row["labels"]))
                )
                continue
            logs = model(input_ids=ids).logits[0].double().log_softmax(-1)
        trained = [i for i, label in enumerate(row["labels"]) if label != IGNORED]
        found.append((-sum(logs[i - 1, row["labels"][i]].item() for i in trained), len(trained)))
    return np.array(found)


def extend(model, tokenizer, messages):
    "Return the ids that a loop of whole forward passes writes, always the likeliest"
    seq2seq, ends = model.config.is_encoder_decoder, find_end_ids(tokenizer)
    prompt = (
        frame_prompt(tokenizer, check_messages(messages)) if seq2seq else encode_prompt(tokenizer, messages, LIMIT)
    )
    written = []
    while len(written) < NEW and not set(written[-1:]) & set(ends):
        ids = torch.tensor([prompt if seq2seq else prompt + written])
        more = {"decoder_input_ids": torch.tensor([[tokenizer.decoder_start, *written]])} if seq2seq else {}
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), **more).logits
        written.append(int(logits[0, -1].argmax()))
    return written


@pytest.fixture
def show_ids(monkeypatch):
    "Let ids, up to the end with it, stand for a text: random weights write bytes that are no characters"

    def read(ids, ends, tokenizer):
        stop = next((i + 1 for i, token in enumerate(ids) if token in ends), len(ids))
        return ids[:stop], read_output(ids, ends, tokenizer)[1]

    monkeypatch.setattr(ftkit.tasks.writing, "read_output", read)


def ask(model, tokenizer, conversations, size=3, **keys):
    "Return what is written, in batches of a size"
    keys = {"max_seq_length": LIMIT + NEW, "max_new_tokens": NEW, "per_device_eval_batch_size": size, **keys}
    return write(model, tokenizer, conversations, Settings(task=TASK.name, **keys))


PROMPTS = [messages[:-1] for messages in CONVERSATIONS]

# --- losses ---


@pytest.mark.parametrize("size", [1, 2, 5, 10])
@pytest.mark.parametrize("kind", KINDS)
def test_perplexity_equals_plain_loop(make_writer, kind, size):
    model, tokenizer = make_writer(kind)
    tokens = tokenize(tokenizer)
    wanted = loop_over_rows(model, tokens)
    found = measure_losses(model, tokens, WritingCollator(tokenizer, tokenizer.decoder_start), size)
    assert found[:, 1].tolist() == wanted[:, 1].tolist() == tokens["trained"][:]
    assert found[:, 0] == pytest.approx(wanted[:, 0], rel=1e-4)
    perplexity = math.exp(wanted[:, 0].sum() / wanted[:, 1].sum())
    assert score_losses(*found.T, num_resamples=100)["perplexity"].value == pytest.approx(perplexity, rel=1e-4)


def test_metrics_weigh_tokens():
    class Prediction:
        predictions = np.array([[1.0, 1], [1.0, 9]], dtype=np.float32)

    assert compute_metrics(Prediction) == pytest.approx({"loss": 0.2, "perplexity": math.exp(0.2)})


@pytest.mark.parametrize("kind", KINDS)
def test_decoder_reads_shifted_labels(make_writer, kind):
    model, tokenizer = make_writer(kind)
    batch = WritingCollator(tokenizer, tokenizer.decoder_start)(list(tokenize(tokenizer)))
    assert ("decoder_input_ids" in batch) == (kind in ("t5", "bart"))
    if kind in ("t5", "bart"):
        assert torch.equal(batch["decoder_input_ids"], model.prepare_decoder_input_ids_from_labels(batch["labels"]))


@pytest.mark.parametrize("parts", [[8], [1] * 8, [4, 4], [5, 3], [2, 6]], ids=str)
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_micro_batches_keep_gradient(make_writer, kind, parts):
    model, tokenizer = make_writer(kind)
    rows, collate = list(tokenize(tokenizer))[:8], WritingCollator(tokenizer, tokenizer.decoder_start)
    shifted = not model.config.is_encoder_decoder
    total, loss = sum(row["trained"] for row in rows), 0.0
    model.zero_grad()
    for first, size in zip(np.cumsum([0, *parts]), parts):
        batch = collate(rows[first : first + size])
        labels = batch.pop("labels")
        part = writing_loss(shifted)(model(**batch), labels, total)
        part.backward()
        loss += part.item()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    wanted = sum_gradient(model, rows, collate, shifted)
    assert loss == pytest.approx(loop_over_rows(model, rows)[:, 0].sum() / total, rel=1e-4)
    assert torch.allclose(gradient, wanted, atol=1e-5 * float(wanted.abs().max()) + 1e-7)
    model.zero_grad()


def sum_gradient(model, rows, collate, shifted):
    "Return the gradient of the mean over all trained tokens, from rows read alone"
    model.zero_grad()
    for row in rows:
        batch = collate([row])
        labels = batch.pop("labels")
        token_losses(model(**batch).logits, labels, shifted).sum().backward()
    count = sum(row["trained"] for row in rows)
    return torch.cat([p.grad.flatten() / count for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("count", [None, torch.tensor(0)], ids=["batch", "update"])
def test_untrained_batch_is_not_zero(count):
    logits, labels = torch.zeros(2, 4, 7), torch.full((2, 4), IGNORED)
    assert writing_loss()({"logits": logits}, labels, count).isnan()  # a loss of 0.0 would hide it
    assert keep_losses()(logits, labels).tolist() == [[0.0, 0.0]] * 2


@pytest.mark.parametrize("shifted", [True, False])
def test_prompt_vectors_have_no_label(shifted):
    logits, labels = torch.randn(2, 4, 7), torch.randint(7, (2, 4))
    longer = torch.cat([torch.randn(2, 3, 7), logits], 1)
    assert torch.equal(token_losses(longer, labels, shifted), token_losses(logits, labels, shifted))


# --- packing ---


@pytest.mark.parametrize("kind", DECODERS)
def test_packing_keeps_every_loss(make_writer, kind):
    model, tokenizer = make_writer(kind)
    tokens = tokenize(tokenizer)
    packed = pack(tokens, LIMIT)
    assert len(packed) < len(tokens) and sum(packed["trained"]) == sum(tokens["trained"])
    batch = PackedCollator(tokenizer)(list(packed))
    labels = batch.pop("labels")
    with torch.no_grad():
        losses = token_losses(model(**batch).logits, labels, True)
    assert losses.sum().item() == pytest.approx(loop_over_rows(model, tokens)[:, 0].sum(), rel=1e-4)


@pytest.mark.parametrize("kind", DECODERS)
def test_packed_rows_do_not_meet(make_writer, kind):
    model, tokenizer = make_writer(kind)
    rows = [row for row in tokenize(tokenizer) if row["length"] < LIMIT / 2][:2]
    start, found = len(rows[0]["input_ids"]), []
    for first in ([*rows[0]["input_ids"]], [5] * start):  # the first row, and another in its place
        both = pack(Dataset.from_list([{**rows[0], "input_ids": first}, rows[1]]), LIMIT)
        batch = PackedCollator(tokenizer)(list(both))
        batch.pop("labels")
        with torch.no_grad():
            found.append(model(**batch).logits[0, start : start + len(rows[1]["input_ids"])])
    assert len(both) == 1 and torch.equal(*found)


# --- texts ---


@pytest.mark.parametrize("size", mark_slow([4, 2, 10], fast=[4]))
@pytest.mark.parametrize("kind", KINDS)
def test_batch_writes_as_single_rows(make_writer, show_ids, kind, size):
    model, tokenizer = make_writer(kind)
    alone = [ask(model, tokenizer, [messages])[0] for messages in PROMPTS]
    assert ask(model, tokenizer, PROMPTS, size) == alone
    assert ask(model, tokenizer, PROMPTS[::-1], size) == alone[::-1]
    assert len({tuple(ids) for ids, _ in alone}) > 2


REFUSED = {("t5", "prefix"), ("bart", "prefix")}
WRITERS = [(kind, method) for kind in KINDS for method in ("full", "lora", "prompt", "prefix")]


@pytest.mark.parametrize(
    "kind, method",
    [
        pytest.param(
            kind, method, marks=[] if (kind, method) in (("llama", "full"), ("gpt2", "prefix")) else pytest.mark.slow
        )
        for kind, method in WRITERS
        if (kind, method) not in REFUSED
    ],
)
def test_greedy_writes_likeliest_tokens(make_writer, show_ids, kind, method):
    model, tokenizer = make_writer(kind, method)
    assert [ids for ids, _ in ask(model, tokenizer, PROMPTS[:5])] == [
        extend(model, tokenizer, messages) for messages in PROMPTS[:5]
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_text_stops_at_end(make_writer, show_ids, monkeypatch, kind):
    model, tokenizer = make_writer(kind)
    whole = [ids for ids, _ in ask(model, tokenizer, PROMPTS)]
    places = {token: [ids.index(token) if token in ids else None for ids in whole] for ids in whole for token in ids}
    # padding is the end, too: it must not end a text before its time
    end = max(places, key=lambda token: len({*places[token]}) * (None in places[token] or 0.5))
    monkeypatch.setattr(ftkit.tasks.writing, "find_end_ids", lambda tokenizer: [end])
    monkeypatch.setattr(ftkit.tasks.writing, "pad_id", lambda tokenizer: end)
    for ids, (found, reason) in zip(whole, ask(model, tokenizer, PROMPTS)):
        shown = ids[: ids.index(end) + 1] if end in ids else ids
        assert (found, reason) == (shown, "stop" if end in ids else "length")
    assert len({*places[end]}) > 1


@pytest.mark.parametrize(
    "ids, text, reason",
    [
        ([5, 6, 1, 1], "5 6", "stop"),
        ([5, 6], "5 6", "length"),
        ([1], "", "stop"),
        ([], "", "length"),
        ([2, 5], "5", "length"),
    ],
)
def test_output_ends_at_first_end(ids, text, reason):
    class Tokenizer:
        def decode(self, ids, skip_special_tokens):
            return " " + " ".join(str(i) for i in ids if i not in (1, 2))

    assert read_output(ids, [1, 9], Tokenizer()) == (text, reason)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_sampling_is_seeded(make_writer, show_ids, kind):
    model, tokenizer = make_writer(kind)
    state = torch.get_rng_state()
    first = ask(model, tokenizer, PROMPTS, temperature=1.0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert ask(model, tokenizer, PROMPTS, temperature=1.0) == first
    assert ask(model, tokenizer, PROMPTS, temperature=1.0, seed=1) != first
    assert ask(model, tokenizer, PROMPTS) != first


def test_batches_draw_their_own_samples(make_writer, show_ids):
    model, tokenizer = make_writer("llama")
    same = [PROMPTS[0]] * 6
    texts = [tuple(ids) for ids, _ in ask(model, tokenizer, same, size=2, temperature=2.0)]
    assert len({*texts}) > 2


@pytest.mark.parametrize("method", ["full", "prompt"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
def test_base_defaults_do_not_count(make_writer, show_ids, kind, method):
    model, tokenizer = make_writer(kind, method)
    wanted = ask(model, tokenizer, PROMPTS[:4])
    inner = model.get_base_model() if method == "prompt" else model
    own = inner.generation_config
    inner.generation_config = GenerationConfig(
        repetition_penalty=3.0, no_repeat_ngram_size=1, num_beams=3, suppress_tokens=[*range(3, 300)], min_length=5
    )
    try:
        assert ask(model, tokenizer, PROMPTS[:4]) == wanted and inner.generation_config.num_beams == 3
    finally:
        inner.generation_config = own


def test_progress_counts_each_row(make_writer):
    model, tokenizer = make_writer("gpt2")
    counts = []
    prompts = [encode_prompt(tokenizer, messages, LIMIT) for messages in PROMPTS]
    assert len(write_texts(model, tokenizer, prompts, max_new_tokens=2, batch_size=4, progress=counts.append)) == 10
    assert counts == [4, 4, 2]


# --- batches ---


class Model:
    "What `in_batches` needs of a model"

    def __init__(self, training=True):
        self.training, self.device = training, "the device"

    def eval(self):
        self.training = False

    def train(self, training):
        self.training = training


def test_longest_rows_come_first():
    assert split_batches([3, 9, 1, 9, 5], 2) == [[1, 3], [4, 0], [2]]


@pytest.mark.parametrize("training", [True, False])
def test_memory_halves_batches(training):
    tried, counted, model = [], [], Model(training)

    def work(rows):
        tried.append(len(rows))
        assert not model.training
        if len(rows) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return [f"row {i}" for i in rows]

    found = in_batches(work, [1, 5, 3, 4, 2, 6, 7], 8, model, counted.append)
    assert found == [f"row {i}" for i in range(7)] and model.training is training
    assert max(tried[2:]) == 2 and sum(counted) == 7


@pytest.mark.parametrize(
    "error, raised, message",
    [
        (MemoryError(), RunFailed, "out of memory with one row at a time.*max_new_tokens"),
        (RuntimeError("shapes differ"), RuntimeError, "shapes differ"),
    ],
    ids=["memory", "another"],
)
def test_failing_rows_end_the_work(error, raised, message):
    model = Model()

    def work(rows):
        raise error

    with pytest.raises(raised, match=message):
        in_batches(work, [1, 2, 3], 4, model)
    assert model.training


@pytest.mark.parametrize(
    "kind, method",
    [*((kind, "full") for kind in KINDS), *((kind, m) for kind in DECODERS for m in ("prompt", "prefix"))],
)
def test_streamed_pieces_are_the_answer(make_writer, kind, method):
    model, tokenizer = make_writer(kind, method)
    settings, pieces = Settings().replace(task=TASK.name, max_new_tokens=NEW, max_seq_length=LIMIT), []
    answer = TASK.stream(model, tokenizer, "good day", settings, pieces.append)
    assert answer == TASK.answer(model, tokenizer, ["good day"], settings)[0]
    assert "".join(pieces) == answer["text"] and all(pieces)
