"""Text generation: a model that answers, from pairs, instructions, chats or plain text.

Supervised fine-tuning: the responses are trained, the prompts are read. The model is judged by the loss of the test
responses, by texts that it writes for test prompts, and by what it loses on general text.
"""

import csv
import json
import re
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from datasets import DatasetDict, Features, Value
from markupsafe import Markup
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig, set_seed

from ftkit.data import OneLabel, make_dataset
from ftkit.errors import UserError
from ftkit.files.conversations import (
    Form,
    choose_form,
    from_json,
    prompt_of,
    read_conversations,
    read_prompts,
    response_of,
    to_json,
)
from ftkit.files.safety import loading
from ftkit.intervals import Interval
from ftkit.model import is_causal, load_config, resolve_model
from ftkit.model_init import PROMPTS, choose_weights, name_base, pick_quantization, set_dropout
from ftkit.objective import FrozenModel
from ftkit.serving.predict import find_text_problem, open_model
from ftkit.settings import GENERATION
from ftkit.starter import posts_path
from ftkit.tasks.base import Task
from ftkit.tasks.chat import (
    IGNORED,
    PackedCollator,
    check_messages,
    encode_conversation,
    encode_prompt,
    find_end_ids,
    fit_prompt,
    frame_prompt,
    pack,
    set_template,
    tokenize_conversations,
)
from ftkit.tasks.grounding import find_unsupported, grounding
from ftkit.tasks.resampling import compare_rows
from ftkit.tasks.text_scores import compare_losses, describe_outputs, score_losses, score_texts, token_f1
from ftkit.tasks.writing import (
    PieceStreamer,
    WritingCollator,
    compute_metrics,
    keep_losses,
    measure_losses,
    write_texts,
    writing_loss,
)
from ftkit.tokenizer import fit_length, load_tokenizer
from ftkit.training.hardware import pick_attention, pick_device
from ftkit.views.html import Section, table_html

GENERAL_TEXTS = 100  # posts whose loss says what a model has forgotten
SHOWN = 25  # answers in the report
FEWEST_TOKENS = 16  # of a prompt


class Generation(Task):
    "A text for each prompt"

    name, pipeline, headline = GENERATION, "text-generation", "loss"
    answer_keys = ("text", "finish_reason")
    words = "that writes text"
    streams = True
    limit = "It writes what is likely, which may be wrong: check numbers, names and quotations against a source."

    @property
    def rungs(self):
        return {"copy": copy, "nearest": nearest, "zero_shot": zero_shot, "few_shot": few_shot}

    @property
    def target_class(self):
        return Conversation

    def read_again(self, predictions, report):
        extras = {name: list(predictions[name]) for name in predictions if name not in OWN}
        columns = {name: list(predictions[name]) for name in ("text", "label", "messages")} | extras
        return make_dataset(columns, Features(dict.fromkeys(columns, Value("string")))), {}

    def load_tokenizer(self, model_name_or_path, model_revision="main"):
        config = check_writes(model_name_or_path, model_revision)
        tokenizer = load_tokenizer(model_name_or_path, model_revision, keep_template=True)
        # a pipeline would split the marks of its own template; `chat` says for each text whether it may spell them
        tokenizer.split_special_tokens = tokenizer.init_kwargs["split_special_tokens"] = False
        tokenizer.decoder_start = config.decoder_start_token_id if config.is_encoder_decoder else None
        return tokenizer

    def tokenize(self, data, tokenizer, max_seq_length=512, chat_template="auto", packing=False):
        set_template(tokenizer, chat_template)
        seq2seq = find_decoder_start(tokenizer) is not None
        tokens = DatasetDict(
            {
                split: tokenize_conversations(
                    list(map(from_json, rows["messages"])), tokenizer, max_seq_length, seq2seq
                )
                for split, rows in data.items()
            }
        )
        if packing and seq2seq:
            raise UserError("packing = true: is for decoders; this model has an encoder. Leave it out.")
        trained = [i for i, count in enumerate(tokens["train"]["trained"]) if count]
        tokens["train"] = tokens["train"].select(trained)  # the others were named
        if packing:
            tokens["train"] = pack(tokens["train"], max_seq_length)
        return tokens

    def count_cut(self, rows, tokens, tokenizer, max_seq_length):
        return int(sum(tokens["cut"]))

    def describe_tokens(self, tokens):
        trained, whole = sum(tokens["train"]["trained"]), sum(tokens["train"]["length"])
        return [f"train: {trained:,} of {whole:,} tokens are trained, those of the responses and their ends"]

    def load_model(self, labels, tokenizer, seed, **model_keys):
        return load_writer(tokenizer, seed, **model_keys)

    def trainer_kwargs(self, tokens, tokenizer, settings):
        start = find_decoder_start(tokenizer)
        shifted, room = start is None, tokenizer.model_max_length - settings.max_new_tokens
        if shifted and room < FEWEST_TOKENS:
            raise UserError(
                f"max_new_tokens = {settings.max_new_tokens}: leaves nothing of the model's "
                f"{tokenizer.model_max_length} tokens to the prompt. Write at most "
                f"{tokenizer.model_max_length - FEWEST_TOKENS}."
            )
        if settings.packing and settings.method in PROMPTS:
            raise UserError(f"packing = true: does not go with method = {settings.method}. Leave one of them out.")
        packed = "position_ids" in tokens["train"].column_names
        return {
            "data_collator": MixedCollator(tokenizer) if packed else WritingCollator(tokenizer, start),
            "compute_metrics": compute_metrics,
            "compute_loss_func": writing_loss(shifted),
            "preprocess_logits_for_metrics": keep_losses(shifted),
        }

    def finish_model(self, model, tokenizer, data, settings):
        model.config.continues_text = all(len(from_json(m)) == 1 for m in data["train"]["messages"][:10])
        model.generation_config = GenerationConfig(
            max_new_tokens=settings.max_new_tokens,
            do_sample=settings.temperature > 0,
            temperature=settings.temperature or None,
            top_k=0 if settings.temperature else None,  # else Transformers would sample from the 50 likeliest tokens
            eos_token_id=find_end_ids(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
        )

    def open_model(self, folder):
        config = load_config(folder)
        return open_model(folder, AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM)

    def open_base(self, settings):
        return Base(self, settings)

    def predict(self, model, tokenizer, rows, settings):
        frame = pd.DataFrame({"text": rows["text"], "label": rows["label"], "messages": rows["messages"]})
        frame = frame.assign(**judge(model, tokenizer, list(map(from_json, rows["messages"])), settings))
        return frame.assign(**{name: rows[name] for name in rows.column_names if name not in frame})

    def with_predictions(self, predictions, outputs):
        return predictions.assign(**outputs)

    def score(self, predictions, max_new_tokens=None, temperature=None, max_generated_samples=None, **metrics):
        scores = score_losses(predictions.nll, predictions.tokens, **metrics) if predictions.nll.notna().all() else {}
        written = predictions[predictions.predicted.notna()]
        if len(written):
            scores |= score_texts(list(written.predicted), list(written.label), **metrics)
            level = {key: value for key, value in metrics.items() if key == "confidence_level"}
            sources = [[prompt_text(row)] for row in written.messages]
            scores["unsupported"] = grounding(list(written.predicted), sources, **level)["unsupported"]
        return scores

    def compare(self, a, b, names, max_new_tokens=None, temperature=None, max_generated_samples=None, **metrics):
        same = np.array_equal(a.tokens, b.tokens)  # with two tokenizers losses are not comparable
        if same and a.nll.notna().all() and b.nll.notna().all():
            return compare_losses(a.nll, b.nll, a.tokens, names, **metrics)
        both = a.predicted.notna().to_numpy() & b.predicted.notna().to_numpy()
        f1 = [[token_f1(*pair) for pair in zip(f.predicted[both], f.label[both])] for f in (a, b)]
        return compare_rows(*f1, "token_f1", names, **metrics)

    def examinations(self, model, tokenizer, base, settings):
        return {"general text": partial(self.find_forgotten, model, tokenizer, base, settings)}

    def find_forgotten(self, model, tokenizer, base, settings):
        "Return the loss on general text, before and after the training, and the verdict"
        with open(posts_path(), encoding="utf-8", newline="") as f:
            texts = [row["text"] for row in csv.DictReader(f)][:GENERAL_TEXTS]
        conversations = [[{"role": "assistant", "content": text}] for text in texts]
        before, after = (
            lose(m, t, conversations, settings) for m, t in ((base.model, base.tokenizer), (model, tokenizer))
        )
        keys = {k: getattr(settings, k) for k in ("confidence_level", "num_resamples")}
        losses = {"before": score_losses(*before.T, **keys)["loss"], "after": score_losses(*after.T, **keys)["loss"]}
        verdict = compare_losses(after[:, 0], before[:, 0], before[:, 1], ("fine-tuned", "base"), **keys)
        return {"general_text": {**losses, "rows": len(texts), "verdict": verdict}}

    def read_prompts(self, table, report, text_column_name=None):
        form = Form(**report["reading"])
        return read_prompts(
            table, replace(form, prompt=(text_column_name,) if text_column_name else tuple(form.prompt))
        )

    def answer(self, model, tokenizer, texts, settings, progress=None, streamer=None):
        problems = [find_prompt_problem(text) for text in texts]
        role = "assistant" if getattr(model.config, "continues_text", False) else "user"
        asked = [
            text if isinstance(text, list) else [{"role": role, "content": text}]
            for text, problem in zip(texts, problems)
            if problem is None
        ]
        if progress:
            progress(len(texts) - len(asked))
        written = iter(write(model, tokenizer, asked, settings, progress, streamer))
        answers = []
        for problem in problems:
            text, reason = (None, None) if problem else next(written)
            answers.append({"error": problem} if problem else {"text": text, "finish_reason": reason})
        return answers

    def personal_texts(self, rows):
        return [f"{text}\n{label}" for text, label in zip(rows["text"], rows["label"])]

    def find_pipeline(self, folder):
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        return None if config.get("is_encoder_decoder") else self.pipeline

    def stream(self, model, tokenizer, text, settings, emit):
        return self.answer(model, tokenizer, [text], settings, streamer=PieceStreamer(tokenizer, emit))[0]

    def read_asked(self, predictions):
        return [from_json(messages)[:-1] for messages in predictions.messages]

    def read_answers(self, predictions, model):
        pairs = zip(predictions.predicted, predictions.finish_reason)
        return [{"text": text, "finish_reason": reason} if isinstance(text, str) else {} for text, reason in pairs]

    def headline_sums(self, predictions):
        return np.stack([predictions.nll, predictions.tokens], -1), mean_loss

    def read_features(self, settings):
        config = load_config(settings.model_name_or_path, settings.model_revision)
        if config.is_encoder_decoder:
            return None
        return FrozenModel(**settings.section("model"), max_seq_length=settings.max_seq_length).features

    def report_sections(self, run):
        rows = run.predictions.query("split == 'test'")
        written = rows[rows.predicted.notna()]
        record = run.record.get("general_text")
        return [
            *([forgetting_section(record)] if record else []),
            *([answers_section(written), outputs_section(written)] if len(written) else []),
        ]


OWN = {"text", "label", "messages", "predicted", "nll", "tokens", "finish_reason", "split"}


# --- rows ---


class Conversation(OneLabel):
    "A prompt and its response, in any of the forms of `ftkit.files.conversations`"

    must_stratify = False
    word = "response"

    def choose(self, table, text_column_name=None, label_column_name=None):
        "Return the columns of the prompt, that of the response, and how they were chosen"
        known = self.reading and self.describe(Form(**self.reading))
        if known and (text_column_name, label_column_name) == (", ".join(known[0]), known[1]):
            return known  # as the training rows
        same = label_column_name is not None and label_column_name == text_column_name
        form = choose_form(table, text_column_name, None if same else label_column_name)
        self.reading = asdict(form)
        return self.describe(form)

    def describe(self, form):
        "Return the columns of the prompt, that of the response, and how they were chosen"
        return list(form.prompt), form.response or ", ".join(form.prompt), form.how

    def is_in(self, table, column, texts):
        "Return True: rows without responses are refused by name, as they cannot be scored"
        return True

    def read(self, table, texts, column, split):
        "Return prompt and response of each row as a person reads them, and the whole conversation as JSON"
        form = Form(**self.reading)
        if column not in (form.response, ", ".join(form.prompt)):  # judged answers have columns of their own
            form = choose_form(table, ", ".join(texts), column)
        found = read_conversations(table, replace(form, prompt=tuple(form.prompt)))
        prompts = [None if m is None else prompt_of(m) or response_of(m) for m in found]  # plain text has no prompt
        responses = [None if m is None else response_of(m) for m in found]
        return prompts, responses, {"messages": [None if m is None else to_json(m) for m in found]}

    def unify(self, parts, train, column, ignore_labels=()):
        "Leave the responses as they are"
        return []

    def respell(self, labels, names):
        "Leave the responses as they are"
        return labels

    def name(self, labels, order, column):
        "Return no names: a response is no label"
        return []

    def check_rows(self, rows, missing):
        "Raise `UserError` if there are fewer rows than splits"
        if len(rows.labels) < 10:
            raise UserError(f"there are {len(rows.labels)} rows, too few for train, validation and test. Add rows.")

    def strata(self, labels):
        "Return one name for all rows"
        return [""] * len(labels)

    def check_sample(self, rows, names, limit, seed):
        "Have nothing to check: no response has to occur"

    def to_dataset(self, rows, names, split):
        "Return the rows with `text`, `label` and `messages`"
        columns = {"text": rows.texts, "label": rows.labels, **rows.extras}
        return make_dataset(columns, Features(dict.fromkeys(columns, Value("string"))))

    def count(self, rows, names):
        "Return nothing: responses are not counted"
        return {}


def find_prompt_problem(prompt: object) -> str | None:
    "Return why a prompt cannot be answered, or None"
    if not isinstance(prompt, list):
        return find_text_problem(prompt)
    return find_text_problem(prompt[-1].get("content") if prompt and isinstance(prompt[-1], dict) else "")


def find_decoder_start(tokenizer) -> int | None:
    "Return the id that the decoder begins with, None for a model without an encoder"
    return getattr(tokenizer, "decoder_start", None)  # set by `Generation.load_tokenizer`


def prompt_text(messages: str) -> str:
    "Return all that a model was given, from a conversation as JSON"
    return "\n\n".join(turn["content"] for turn in from_json(messages)[:-1])


# --- model ---


def check_writes(model_name_or_path: str, model_revision: str = "main"):
    "Return the configuration of a model that writes. Raises `UserError` for an encoder, such as BERT"
    config = load_config(model_name_or_path, model_revision)
    if not (is_causal(config) or config.is_encoder_decoder):
        raise UserError(
            f"model_name_or_path = {model_name_or_path}: {config.model_type} is an encoder and cannot write. "
            "Write smol, or a causal model such as gpt2."
        )
    return config


def load_writer(tokenizer, seed, model_name_or_path, model_revision="main", method="full", dropout=0.0, **keys):
    "Return a model that writes, in float32, with the weights marked that train"
    config = check_writes(model_name_or_path, model_revision)
    if method == "prefix" and config.is_encoder_decoder:
        raise UserError("method = prefix: PEFT's own writing ignores it with an encoder. Write method = lora.")
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    align_tokens(config, tokenizer)
    set_seed(seed)
    with loading(f"model_name_or_path = {model_name_or_path}"):
        model = kind.from_pretrained(
            resolve_model(model_name_or_path),
            config=config,
            revision=model_revision,
            dtype=torch.float32,
            attn_implementation=pick_attention(),
            quantization_config=pick_quantization(config, kind) if method == "qlora" else None,
            use_safetensors=True,
            trust_remote_code=False,
        )
    align_tokens(model.generation_config, tokenizer)
    if dropout is not None:
        set_dropout(model, dropout)
    return name_base(choose_weights(model, method, seed=seed, **keys), method, model_name_or_path, model_revision)


def align_tokens(
    config,  # of a model, or of its generation
    tokenizer,  # whose special tokens count
) -> None:
    "Take over the ids of the special tokens that the tokenizer has"
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if (value := getattr(tokenizer, name)) is not None:
            setattr(config, name, value)


class MixedCollator:
    "Batches of packed training rows, and of validation rows as they are"

    def __init__(self, tokenizer):
        self.packed, self.single = PackedCollator(tokenizer), WritingCollator(tokenizer)

    def __call__(self, rows: list[dict]):
        return (self.packed if "position_ids" in rows[0] else self.single)(rows)


class Base:
    "The base model before its training, for the rungs. Loaded on first use"

    def __init__(self, task: Generation, settings):
        self.task, self.settings = task, settings

    @cached_property
    def tokenizer(self):
        "Return its tokenizer, with the chat template of the run"
        tokenizer = self.task.load_tokenizer(**self.settings.section("model"))
        set_template(tokenizer, self.settings.chat_template)
        return tokenizer

    @cached_property
    def model(self):
        "Return the model, unchanged"
        keys = self.settings.section("model")
        return load_writer(self.tokenizer, self.settings.seed, **keys).to(pick_device()).eval()


# --- answers ---


def lose(model, tokenizer, conversations: list, settings, shots: list = ()) -> np.ndarray:
    "Return loss and trained tokens of each conversation (rows, 2). What stands before it, as examples, is not counted"
    seq2seq, limit = model.config.is_encoder_decoder, settings.max_seq_length
    tokens = tokenize_conversations(conversations, tokenizer, limit, seq2seq)
    if shots:
        longer = tokenize_conversations([put_shots(shots, m) for m in conversations], tokenizer, limit, seq2seq)
        labels = [keep_last(row, count) for row, count in zip(longer["labels"], tokens["trained"])]
        tokens = longer.remove_columns("labels").add_column("labels", labels)
    start = model.config.decoder_start_token_id if seq2seq else None
    return measure_losses(model, tokens, WritingCollator(tokenizer, start), settings.per_device_eval_batch_size)


def put_shots(shots: list, messages: list) -> list:
    "Return a conversation with examples before its first question. Its system turn stays the first"
    system = [turn for turn in messages[:1] if turn["role"] == "system"]
    return [*system, *shots, *messages[len(system) :]]


def keep_last(
    labels: list[int],  # of one row
    count: int,  # trained tokens to keep
) -> list[int]:
    "Return labels with nothing trained before the last ones"
    places = [i for i, label in enumerate(labels) if label != IGNORED]
    kept = set(places[max(0, len(places) - count) :])  # [-0:] would be all of them
    return [label if i in kept else IGNORED for i, label in enumerate(labels)]


def write(model, tokenizer, conversations: list, settings, progress=None, streamer=None) -> list[tuple[str, str]]:
    "Return (text, finish reason) for each conversation, which ends with a turn of the user"
    if not conversations:
        return []
    if model.config.is_encoder_decoder:
        limit = fit_length(settings.max_seq_length, tokenizer)
        prompts = [
            fit_prompt(tokenizer, check_messages(m), limit, partial(frame_prompt, tokenizer)) for m in conversations
        ]
    else:
        room = min(settings.max_seq_length, tokenizer.model_max_length - settings.max_new_tokens)
        prompts = [start_text(tokenizer, m, room) for m in conversations]
    options = {"max_new_tokens": settings.max_new_tokens, "temperature": settings.temperature, "seed": settings.seed}
    size = settings.per_device_eval_batch_size
    return write_texts(model, tokenizer, prompts, **options, batch_size=size, progress=progress, streamer=streamer)


def start_text(tokenizer, messages: list, limit: int) -> list[int]:
    "Return the ids that an answer follows: those of the prompt, or of a text that is continued"
    if messages[-1]["role"] != "assistant":
        return encode_prompt(tokenizer, messages, limit)
    ids = encode_conversation(tokenizer, messages, limit)["input_ids"]
    return ids[:-1] if ids[-1] == tokenizer.eos_token_id else ids


def pick_asked(conversations: list, settings) -> list[int]:
    "Return the numbers of the rows that are answered: the first ones, if they have a prompt"
    return [i for i, m in enumerate(conversations[: settings.max_generated_samples]) if len(m) > 1]


def judge(model, tokenizer, conversations: list, settings, shots: list = ()) -> dict[str, list]:
    "Return loss and tokens of each response, and for the first rows a written one with its finish reason, as columns"
    sums = lose(model, tokenizer, conversations, settings, shots)
    chosen = pick_asked(conversations, settings)
    asked = [put_shots(shots, conversations[i][:-1]) for i in chosen]
    written = dict(zip(chosen, write(model, tokenizer, asked, settings)))
    pairs = [written.get(i, (None, None)) for i in range(len(conversations))]
    return {
        "predicted": [text for text, _ in pairs],
        "nll": sums[:, 0],
        "tokens": sums[:, 1].astype(int),
        "finish_reason": [reason for _, reason in pairs],
    }


# --- rungs: each returns columns of predictions ---


def read_rows(rows) -> list:
    "Return the conversations of rows"
    return list(map(from_json, rows["messages"]))


def as_written(texts: list, rows, base) -> dict:
    "Return texts that no model wrote as columns, for the rows that the models answer. They have no loss"
    chosen = set(pick_asked(read_rows(rows), base.settings))
    if not chosen:
        raise UserError("no answer is written to compare with: plain text, or max_generated_samples = 0.")
    texts = [text if i in chosen else None for i, text in enumerate(texts)]
    return {"predicted": texts, "nll": np.nan, "finish_reason": None}


def copy(data, rows, base, objective=None) -> dict:
    "Return the first sentence of each prompt"
    asked = [m[-2]["content"] if len(m) > 1 else "" for m in read_rows(rows)]
    first = [re.split(r"(?<=[.!?。！？])\s|\n", text.strip(), maxsplit=1)[0] for text in asked]
    return as_written(first, rows, base)


def nearest(data, rows, base, objective=None) -> dict:
    "Return for each row the response to the training prompt that shares most with it, by TF-IDF"
    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
    known = words.fit_transform(list(data["train"]["text"]))
    best = (words.transform(list(rows["text"])) @ known.T).toarray().argmax(-1)
    responses = data["train"]["label"][:]
    return as_written([responses[i] for i in best], rows, base)


def zero_shot(data, rows, base, objective=None) -> dict:
    "Return what the base model writes, and its loss"
    return judge(base.model, base.tokenizer, read_rows(rows), base.settings)


def few_shot(data, rows, base, objective) -> dict:
    "Return what the base model writes after a few training conversations, and its loss"
    chosen = np.random.default_rng(42).permutation(len(data["train"]))[: objective.num_shots]
    shots = [turn for i in sorted(chosen.tolist()) for turn in from_json(data["train"]["messages"][i])]
    if not any(turn["role"] == "user" for turn in shots):
        raise UserError("plain text has no prompts, so there are no examples to show.")
    shots = [turn for turn in shots if turn["role"] != "system"]
    return judge(base.model, base.tokenizer, read_rows(rows), base.settings, shots)


def mean_loss(sums: np.ndarray) -> np.ndarray:
    "Return the mean loss of a token, from sums of losses and tokens (..., 2)"
    return sums[..., 0] / np.maximum(sums[..., 1], 1)


# --- views ---


def forgetting_section(record: dict) -> Section:
    "Return the loss on general text before and after"
    rows = [
        {"loss on general text": name, "nats": Interval.from_record(record[name]).value}
        for name in ("before", "after")
    ]
    return Section("What it may have forgotten", [table_html(rows), record["verdict"]["text"]])


def answers_section(written: pd.DataFrame) -> Section:
    "Return prompts, references and what was written, with the claims that stand in no prompt"
    shown = [
        {
            "prompt": row.text,
            "reference": row.label,
            "written": row.predicted,
            "not in the prompt": ", ".join(
                c.text for c in find_unsupported(row.predicted, [prompt_text(row.messages)])
            ),
        }
        for row in written.head(SHOWN).itertuples()
    ]
    table = Markup('<div class="texts">{}</div>').format(table_html(shown))
    return Section(f"Answers ({min(SHOWN, len(written))} of {len(written)} test rows)", [table])


def outputs_section(written: pd.DataFrame) -> Section:
    "Return what a reader should know of the written texts"
    cut = list(written.finish_reason == "length")
    found = describe_outputs(list(written.predicted), list(written.label), cut, list(written.text))
    return Section("How it writes", [table_html([{"": k.replace("_", " "), "value": v} for k, v in found.items()])])
