"Predictions in the order of the rows, whatever the batches are."

import logging
import unicodedata
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ftkit.errors import UNSEEN, RunFailed, UserError, is_out_of_memory
from ftkit.files.safety import check_model, loading, read_adapter
from ftkit.metrics import softmax
from ftkit.model import resolve_model
from ftkit.model_init import check_label_names, describe_labels, pick_quantization
from ftkit.objective import iter_batches
from ftkit.training.hardware import pick_attention

logger = logging.getLogger(__name__)


def open_model(
    folder,  # model/ of a run
    kind,  # such as `AutoModelForSequenceClassification`
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    "Return a fine-tuned model, ready to predict, and its tokenizer. Raises `UserError` if it cannot be loaded"
    check_model(str(folder))
    with loading(str(folder)):
        if (adapter := Path(folder) / "adapter").is_dir():
            model = open_adapter(adapter, kind)
        else:
            model, loaded = kind.from_pretrained(
                folder,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation=pick_attention(),
                output_loading_info=True,
            )
            check_complete(loaded["missing_keys"], folder)
        check_label_names((model.config.id2label, model.config.label2id), folder)
        return model.eval(), AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def check_complete(
    missing,  # names of weights that the model has and its files have not
    folder,  # model/ of a run
) -> None:
    "Raise `UserError` if weights are missing: they would be drawn at random, and so would the answers"
    if missing:
        raise UserError(
            f"{folder}: its weights lack {describe_labels(sorted(missing))}, so its answers would be random. "
            "Copy the whole folder again, or train once more."
        )


def open_adapter(
    adapter: Path,  # model/adapter of a run
    kind,  # such as `AutoModelForSequenceClassification`
) -> PreTrainedModel:
    "Return the base model that an adapter names, with the adapter"
    name, revision = read_adapter(adapter)
    check_model(resolve_model(name), revision)
    config = AutoConfig.from_pretrained(adapter.parent, trust_remote_code=False)
    if quantized := hasattr(config, "quantization_config"):
        del config.quantization_config  # of the run's model: those of the base are quantized while they are read
    with torch.random.fork_rng():  # a head is drawn, and replaced by the adapter's
        model = kind.from_pretrained(
            resolve_model(name),
            config=config,
            revision=revision,
            quantization_config=pick_quantization(config) if quantized else None,
            dtype=torch.float32,
            attn_implementation=pick_attention(),
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    model = PeftModel.from_pretrained(model, adapter, use_safetensors=True, trust_remote_code=False)
    with safe_open(adapter / "adapter_model.safetensors", "pt") as weights:
        check_complete(get_peft_model_state_dict(model).keys() - set(weights.keys()), adapter)
    return model


@torch.inference_mode()
def predict_logits(
    model: PreTrainedModel,  # a classifier
    tokenizer: PreTrainedTokenizerBase,  # its tokenizer
    texts: list[str],  # what to classify
    max_seq_length: int = 128,  # longer texts are cut
    batch_size: int = 64,  # texts in a batch; halved if memory runs out
    progress=None,  # called with the number of rows after each batch
) -> np.ndarray:
    """Return float32 logits (texts, labels) in the order of the texts.

    Texts of similar length share a batch; the order is restored afterwards. Raises `RunFailed` if memory runs out
    with one text at a time.
    """
    texts = list(texts)
    side = getattr(model.config, "padding_side", "right")  # as `load_model` found it
    logits = np.zeros((len(texts), model.config.num_labels), dtype=np.float32)
    left, training = list(range(len(texts))), model.training
    model.eval()
    try:
        while left:
            done = set()
            try:
                some = [texts[i] for i in left]
                for places, batch in iter_batches(some, tokenizer, max_seq_length, batch_size, side):
                    rows = [left[i] for i in places]
                    logits[rows] = model(**batch.to(model.device)).logits.float().cpu().numpy()
                    done.update(rows)
                    if progress:
                        progress(len(rows))
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if batch_size == 1:
                    raise RunFailed(
                        f"out of memory with one text at a time: write a max_seq_length below {max_seq_length}, "
                        f"or free memory on {model.device}."
                    ) from error
                batch_size = max(1, min(batch_size, len(left)) // 2)
                logger.info(f"out of memory: continuing with batches of {batch_size}")
            left = [i for i in left if i not in done]
    finally:
        model.train(training)
    return logits


def find_text_problem(text: object) -> str | None:
    "Return why a text cannot be classified, or None"
    if not isinstance(text, str):
        missing = text is None or isinstance(text, float) and text != text
        return "there is no text" if missing else f"expected a text, found {type(text).__name__}"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "the text holds half of a character (a lone surrogate)"
    return "the text is empty" if all(c.isspace() or unicodedata.category(c) in UNSEEN for c in text) else None


def predict_rows(
    model: PreTrainedModel,  # a classifier
    tokenizer: PreTrainedTokenizerBase,  # its tokenizer
    texts: list,  # what to classify
    progress=None,  # called with the number of rows after each batch
    answer=None,  # turns the logits of a text and the model into a dictionary; default: `to_answer`
    **kwargs,  # of `predict_logits`
) -> list[dict]:
    """Return one dictionary for each text, in order: by default `label`, `score`, and `scores` by label.

    A text that cannot be classified has only `error`.
    """
    answer = answer or to_answer
    problems = [find_text_problem(text) for text in texts]
    valid = [text for text, problem in zip(texts, problems) if problem is None]
    if progress:
        progress(len(problems) - len(valid))
    rows = iter(predict_logits(model, tokenizer, valid, progress=progress, **kwargs) if valid else [])
    return [{"error": problem} if problem else answer(next(rows), model) for problem in problems]


def to_answer(
    logits: np.ndarray,  # of one text (labels,)
    model: PreTrainedModel,  # a classifier
) -> dict:
    "Return label, its probability, and the probabilities of all labels"
    labels, probabilities = [model.config.id2label[i] for i in range(model.config.num_labels)], softmax(logits)
    best = int(np.argmax(probabilities))
    return {
        "label": labels[best],
        "score": float(probabilities[best]),
        "scores": {name: float(p) for name, p in zip(labels, probabilities)},
    }
