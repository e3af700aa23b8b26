"Texts as vectors of the starter's model, MiniLM: its first blocks in NumPy, because a check does not load torch."

from pathlib import Path
from threading import Lock

import numpy as np

from ftkit.errors import UserError
from ftkit.starter import minilm_path

BLOCKS = (3, 4)  # whose outputs are averaged over the tokens: bench/doctor.json has what they find
HEADS, EPSILON = 12, 1e-12  # of MiniLM
MOST_TOKENS = 64  # of a text that are read
ROWS = 64  # of a batch
MOST_KEPT = 6_000  # texts whose vectors are kept, 3 KB each


known: dict[str, np.ndarray] = {}  # text -> its vector: rows that are examined again after a repair cost nothing
reading = Lock()


def embed(
    texts: list[str],  # one or more
) -> np.ndarray | None:
    "Return vectors (texts, 768), or None if the starter's package is not installed"
    try:
        folder = minilm_path()
    except UserError:
        return None
    with reading:
        if new := list(dict.fromkeys(text for text in texts if text not in known)):
            known.update(zip(new, read_vectors(new, folder)))
        found = np.stack([known[text] for text in texts])
        for text in list(known)[: max(0, len(known) - MOST_KEPT)]:
            del known[text]
    return found


def read_vectors(
    texts: list[str],  # one or more
    folder: Path,  # of the model
) -> np.ndarray:
    "Return vectors (texts, 768) by a pass through the blocks"
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    weights = load_file(folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    same = {}  # length -> texts of as many tokens: nothing is padded
    for i, ids in enumerate(encoded):
        same.setdefault(len(ids), []).append(i)
    vectors = np.zeros((len(texts), len(BLOCKS) * weights["embeddings.LayerNorm.weight"].size), np.float32)
    for rows in same.values():
        for start in range(0, len(rows), ROWS):
            batch = rows[start : start + ROWS]
            vectors[batch] = read_blocks(np.array([encoded[i] for i in batch]), weights)
    return vectors


def read_blocks(
    ids: np.ndarray,  # (texts, tokens)
    weights: dict[str, np.ndarray],  # of a BERT
) -> np.ndarray:
    "Return the mean over the tokens of what each of `BLOCKS` passes on (texts, blocks * width)"
    from scipy.special import softmax

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def normalise(x, name):
        x = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(EPSILON))
        return x / scale * weights[f"{name}.LayerNorm.weight"] + weights[f"{name}.LayerNorm.bias"]

    def split_heads(x):
        return x.reshape(*ids.shape, HEADS, -1).swapaxes(1, 2)

    table = "embeddings.{}_embeddings.weight".format
    x = weights[table("word")][ids] + weights[table("position")][: ids.shape[1]] + weights[table("token_type")][0]
    x, kept = normalise(x, "embeddings").reshape(ids.size, -1), []  # a matrix: NumPy multiplies it twice as fast
    for number in range(max(BLOCKS)):
        block = f"encoder.layer.{number}"
        query, key, value = (
            split_heads(linear(x, f"{block}.attention.self.{part}")) for part in ("query", "key", "value")
        )
        attention = softmax(query @ key.swapaxes(2, 3) / np.float32(query.shape[-1] ** 0.5), -1)
        mixed = (attention @ value).swapaxes(1, 2).reshape(x.shape)
        x = normalise(x + linear(mixed, f"{block}.attention.output.dense"), f"{block}.attention.output")
        inner = linear(x, f"{block}.intermediate.dense")
        # GELU by its usual approximation: NumPy's tanh takes a quarter of the time of SciPy's erf
        inner *= 0.5 * (1 + np.tanh(np.float32((2 / np.pi) ** 0.5) * inner * (1 + np.float32(0.044715) * inner**2)))
        x = normalise(x + linear(inner, f"{block}.output.dense"), f"{block}.output")
        if number + 1 in BLOCKS:
            kept.append(x.reshape(*ids.shape, -1).mean(1))
    return np.concatenate(kept, -1)
