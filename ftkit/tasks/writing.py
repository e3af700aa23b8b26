"A model that writes: losses of given responses and new ones, in the order of the rows whatever the batches are."

import logging

import numpy as np
import torch
from datasets import Dataset
from peft import PeftType
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.generation import BaseStreamer

from ftkit.errors import RunFailed, is_out_of_memory
from ftkit.tasks.chat import IGNORED, CausalCollator, find_end_ids, pad_id, pad_right

logger = logging.getLogger(__name__)


class WritingCollator(CausalCollator):
    "Pads as `CausalCollator` does; for encoder-decoders it adds what the decoder reads: the labels, one place later"

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,  # from `Generation.load_tokenizer`
        decoder_start: int | None = None,  # id that a decoder begins with; None: the model has no encoder
    ):
        super().__init__(tokenizer)
        self.decoder_start = decoder_start

    def __call__(self, rows: list[dict]):
        batch = super().__call__(rows)
        if self.decoder_start is not None and "labels" in batch:
            labels = batch["labels"].masked_fill(batch["labels"] == IGNORED, pad_id(self.tokenizer))
            start = torch.full_like(labels[:, :1], self.decoder_start)
            batch["decoder_input_ids"] = torch.cat([start, labels[:, :-1]], -1)
        return batch


def token_losses(
    logits: torch.Tensor,  # (rows, tokens, vocabulary)
    labels: torch.Tensor,  # (rows, tokens), -100 where nothing is trained
    shifted: bool,  # whether the logits at a token are for the next one, as those of decoders are
) -> torch.Tensor:
    "Return the loss of each token in nats (rows, tokens), 0 where nothing is trained"
    logits = logits[:, -labels.shape[1] :]  # without those of the vectors that prompt tuning puts in front
    if shifted:
        logits, labels = logits[:, :-1], labels[:, 1:]
    trained = labels != IGNORED  # the others need no softmax over the vocabulary
    losses = torch.zeros(labels.shape, device=logits.device)
    return losses.masked_scatter(trained, cross_entropy(logits[trained].float(), labels[trained], reduction="none"))


def writing_loss(
    shifted: bool = True,  # as in `token_losses`
):
    "Return a `compute_loss_func`: the summed loss of a batch, divided by the number of trained tokens in the update"

    def loss(outputs, labels, num_items_in_batch=None):
        total = token_losses(outputs["logits"], labels, shifted).sum()
        # without a token to train this is 0 / 0, which stops the training: a loss of 0.0 would hide it (trl#3927)
        return total / (count_trained(labels, shifted).sum() if num_items_in_batch is None else num_items_in_batch)

    return loss


def count_trained(
    labels: torch.Tensor,  # (rows, tokens)
    shifted: bool,  # as in `token_losses`
) -> torch.Tensor:
    "Return the number of trained tokens of each row (rows,)"
    return ((labels[:, 1:] if shifted else labels) != IGNORED).sum(-1)


def keep_losses(
    shifted: bool = True,  # as in `token_losses`
):
    "Return a `preprocess_logits_for_metrics`: of each row its loss and tokens (rows, 2), not a vocabulary per token"

    def keep(logits, labels):
        logits = logits[0] if isinstance(logits, tuple) else logits
        sums = token_losses(logits, labels, shifted).sum(-1)
        return torch.stack([sums, count_trained(labels, shifted).to(sums.dtype)], -1)

    return keep


def compute_metrics(prediction) -> dict[str, float]:
    "Return loss and perplexity, every token counting the same, for `Trainer(compute_metrics=...)`"
    total, tokens = np.asarray(prediction.predictions, dtype=float).sum(0)
    loss = total / max(tokens, 1)
    return {"loss": float(loss), "perplexity": float(np.exp(min(loss, 709.0)))}


def split_batches(
    lengths: list[int],  # tokens of each row
    batch_size: int,  # rows in a batch
) -> list[list[int]]:
    "Return the row numbers by batch, rows of similar length together, the longest first: memory runs out at once"
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


@torch.inference_mode()
def measure_losses(
    model: PreTrainedModel,  # that writes
    tokens: Dataset,  # from `tokenize_conversations`
    collate: WritingCollator,  # makes batches
    batch_size: int = 8,  # rows in a batch
    progress=None,  # called with the number of rows after each batch
) -> np.ndarray:
    "Return the loss of each row, summed over its trained tokens, and their number (rows, 2)"
    keep = keep_losses(shifted=not model.config.is_encoder_decoder)
    columns = tokens.select_columns(["input_ids", "attention_mask", "labels"])

    def measure(rows):
        batch = collate([columns[i] for i in rows]).to(model.device)
        labels = batch.pop("labels")
        return keep(model(**batch).logits, labels).double().cpu().numpy()

    found = in_batches(measure, [len(ids) for ids in tokens["input_ids"]], batch_size, model, progress)
    return np.array(found)


@torch.inference_mode()
def write_texts(
    model: PreTrainedModel,  # that writes
    tokenizer: PreTrainedTokenizerBase,  # with its chat template
    prompts: list[list[int]],  # token ids that generation starts from
    max_new_tokens: int = 64,  # of each text
    temperature: float = 0.0,  # of sampling; 0: always the likeliest token
    seed: int = 42,  # of sampling
    batch_size: int = 8,  # prompts in a batch
    progress=None,  # called with the number of prompts after each batch
    streamer: BaseStreamer | None = None,  # told of each token of a single prompt as it is written
) -> list[tuple[str, str]]:
    "Return (text, finish reason) for each prompt: stop, or length if the limit ended it"
    ends, pad = find_end_ids(tokenizer), pad_id(tokenizer)
    options = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    config = GenerationConfig(max_new_tokens=max_new_tokens, eos_token_id=ends, pad_token_id=pad, **options)
    if model.config.is_encoder_decoder:
        config.decoder_start_token_id = model.config.decoder_start_token_id

    def write(rows):
        chosen = [prompts[i] for i in rows]
        if model.config.is_encoder_decoder:  # the encoder of BART counts positions from the first id
            ids, mask = pad_right(chosen, pad), pad_right([[1] * len(row) for row in chosen], 0)
        else:
            ids, mask = pad_left(chosen, pad)
        with torch.random.fork_rng():
            torch.manual_seed(seed + rows[0])  # another place in the row of random numbers for each batch
            out = generate(model, ids.to(model.device), mask.to(model.device), config, streamer)
        start = 1 if model.config.is_encoder_decoder else ids.shape[1]
        return [read_output(row, ends, tokenizer) for row in out[:, start:].tolist()]

    # `generate` fills in what a base model's own configuration has, such as beams and penalties
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    own, inner.generation_config = inner.generation_config, config
    try:
        return in_batches(write, [len(ids) for ids in prompts], batch_size, model, progress)
    finally:
        inner.generation_config = own


def generate(
    model: PreTrainedModel,  # that writes, perhaps with vectors that were learned in front of the text
    ids: torch.Tensor,  # (rows, tokens)
    mask: torch.Tensor,  # (rows, tokens)
    config: GenerationConfig,  # how to write
    streamer: BaseStreamer | None = None,  # told of each token of a single row
) -> torch.Tensor:
    """Return the ids of prompts and texts (rows, tokens), as the model's `generate` does.

    That of PEFT 0.21 leaves a prefix out, and counts positions wrongly after a prompt's vectors
    """
    learned = model.active_peft_config if hasattr(model, "peft_config") else None
    if learned is None or not learned.is_prompt_learning or model.config.is_encoder_decoder:
        return model.generate(input_ids=ids, attention_mask=mask, generation_config=config, streamer=streamer)
    base, count = model.get_base_model(), learned.num_virtual_tokens
    mask = torch.cat([mask.new_ones(len(ids), count), mask], 1)
    keys = {"attention_mask": mask, "generation_config": config, "streamer": streamer}
    vectors = model.get_prompt(batch_size=len(ids))
    if learned.peft_type == PeftType.PREFIX_TUNING:
        held = torch.cat([ids[:, :1].expand(-1, count), ids], 1)  # places of the vectors: their ids are not read
        return base.generate(input_ids=held, past_key_values=vectors, **keys)[:, count:]
    embeds = torch.cat([vectors, model.word_embeddings(ids)], 1)
    return torch.cat([ids, base.generate(inputs_embeds=embeds, **keys)], 1)


class PieceStreamer(BaseStreamer):
    "Passes a text on while it is written, without what `read_output` will cut off. Half a character waits for its end"

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,  # of the model
        emit,  # called with each piece
    ):
        self.tokenizer, self.emit, self.ends = tokenizer, emit, find_end_ids(tokenizer)
        self.ids, self.sent = None, ""

    def put(self, value):
        if self.ids is None:  # the first call brings the prompt
            self.ids = []
            return
        self.ids += value.reshape(-1).tolist()
        self.send(complete=False)

    def end(self):
        self.send(complete=True)

    def send(
        self,
        complete: bool,  # no more tokens follow
    ) -> None:
        "Pass on what is new"
        text, _ = read_output(self.ids, self.ends, self.tokenizer)
        if len(text) > len(self.sent) and text.startswith(self.sent) and (complete or not text.endswith("\ufffd")):
            self.emit(text[len(self.sent) :])
            self.sent = text


def read_output(
    ids: list[int],  # that were generated, with padding
    ends: list[int],  # ids that end a text
    tokenizer: PreTrainedTokenizerBase,  # of the model
) -> tuple[str, str]:
    "Return text and finish reason"
    end = next((i for i, token in enumerate(ids) if token in ends), None)
    text = tokenizer.decode(ids[:end], skip_special_tokens=True).strip()
    return text, "length" if end is None else "stop"


def pad_left(
    rows: list[list[int]],  # token ids
    pad: int,  # id of padding
) -> tuple[torch.Tensor, torch.Tensor]:
    "Return ids and attention mask (rows, longest row): what is written follows the last token"
    longest = max(map(len, rows))
    ids = [[pad] * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


def in_batches(
    work,  # with row numbers; returns one result for each
    lengths: list[int],  # tokens of each row
    batch_size: int,  # rows in a batch; halved if memory runs out
    model: PreTrainedModel,  # in evaluation mode meanwhile
    progress=None,  # called with the number of rows after each batch
) -> list:
    "Return the results in the order of the rows. Raises `RunFailed` if memory runs out with one row at a time"
    found, training = {}, model.training
    model.eval()
    try:
        while len(found) < len(lengths):
            left = [i for i in range(len(lengths)) if i not in found]
            try:
                for places in split_batches([lengths[i] for i in left], batch_size):
                    rows = [left[i] for i in places]
                    found |= dict(zip(rows, work(rows)))
                    if progress:
                        progress(len(rows))
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if batch_size == 1:
                    raise RunFailed(
                        "out of memory with one row at a time: write a smaller max_seq_length or max_new_tokens, "
                        f"or free memory on {model.device}."
                    ) from error
                batch_size = max(1, batch_size // 2)
                logger.info(f"out of memory: continuing with batches of {batch_size}")
    finally:
        model.train(training)
    return [found[i] for i in range(len(lengths))]
