"Predictions in the order of the rows, whatever the batches were."

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ftkit.metrics import softmax
from ftkit.objective import batches


@torch.inference_mode()
def predict_logits(
    model: PreTrainedModel,  # a classifier
    tokenizer: PreTrainedTokenizerBase,  # its tokenizer
    texts: list[str],  # what to classify
    max_seq_length: int = 128,  # longer texts are cut
    batch_size: int = 64,  # texts in a batch
    progress=None,  # called with the number of rows after each batch
) -> np.ndarray:
    "float32 logits (texts, labels) in the order of the texts: texts of like length share a batch, then the order is restored"
    logits = np.zeros((len(texts), model.config.num_labels), dtype=np.float32)
    training = model.training
    model.eval()
    try:
        for rows, batch in batches(list(texts), tokenizer, max_seq_length, batch_size):
            logits[rows] = model(**batch.to(model.device)).logits.float().cpu().numpy()
            if progress:
                progress(len(rows))
    finally:
        model.train(training)
    return logits


def unusable(text: object) -> str | None:
    "Why a text cannot be classified, or None"
    if not isinstance(text, str):
        return f"expected a text, found {type(text).__name__}" if text is not None else "there is no text"
    if not text.strip():
        return "the text is empty"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "the text holds half of a character (a lone surrogate)"
    return None


def predict_rows(
    model: PreTrainedModel,  # a classifier
    tokenizer: PreTrainedTokenizerBase,  # its tokenizer
    texts: list,  # what to classify
    **kwargs,  # of `predict_logits`
) -> list[dict]:
    "One dictionary for each text, in order: `label`, `score`, `scores` by label, or `error` where the text cannot be classified"
    problems = [unusable(text) for text in texts]
    good = [text for text, problem in zip(texts, problems) if problem is None]
    labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
    rows = iter(softmax(predict_logits(model, tokenizer, good, **kwargs)) if good else [])
    return [{"error": problem} if problem else as_row(next(rows), labels) for problem in problems]


def as_row(probabilities: np.ndarray, labels: list[str]) -> dict:
    "Probabilities (labels,) as the answer for one text"
    best = int(np.argmax(probabilities))
    return {"label": labels[best], "score": float(probabilities[best]), "scores": {name: float(p) for name, p in zip(labels, probabilities)}}
