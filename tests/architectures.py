"""Base models of 17 architectures with random weights, as small as they get, each with a tokenizer of its family.

They are for code paths, never for accuracy: hidden size 32, two blocks, two heads, a vocabulary of 400 pieces.
"""

import csv
import json
import math
import re
import string
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path

import torch
import transformers
from tokenizers import ByteLevelBPETokenizer, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from ftkit.starter import posts_path

VOCABULARY = 400
SPREAD = {"initializer_range": 0.1}  # 0.02 is for a hidden size of 768: here every text would get the same answer
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, **SPREAD}
SIZES = {**SMALL, "intermediate_size": 64}
GPT2_SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 2, **SPREAD}
DISTILBERT_SIZES = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, **SPREAD}
XLNET_SIZES = {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64, **SPREAD}
LAYERS = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
BART_SIZES = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, **LAYERS, "init_std": 0.1}
T5_SIZES = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
MPNET_TOKENS = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
ALBERT_TOKENS = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
DEBERTA_TOKENS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
XLNET_TOKENS = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]
OPT_TOKENS = ["<s>", "<pad>", "</s>"]
LLAMA_TOKENS = ["<|begin_of_text|>", "<|end_of_text|>"]
GEMMA_TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
T5_TOKENS = ["<pad>", "</s>", "<unk>"]
END = "<|endoftext|>"


@cache
def read_posts() -> list[str]:
    "Return the texts that the tokenizers are trained on: a few of the starter's posts, and digits, which they lack"
    with open(posts_path(), newline="", encoding="utf-8") as f:
        return [row["text"] for row in islice(csv.DictReader(f), 200)] + [" ".join(string.digits)] * 5


def read_vocabulary(tokenizer: Tokenizer) -> dict:
    "Return `vocab` and `merges` as the tokenizers of Transformers take them"
    model = json.loads(tokenizer.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(pair) for pair in model["merges"]]}


def train_wordpiece(tokens: list[str]) -> dict:
    """Return lower-case word pieces, as BERT has them: characters and the most frequent words.

    The trainer of `tokenizers` gives other ids in every process.
    """
    words = Counter(re.findall(r"\w+|[^\w\s]", " ".join(read_posts()).lower()))
    letters = sorted(set("".join(words)))
    pieces = [*tokens, *letters, *(f"##{letter}" for letter in letters if letter.isalnum())]
    often = sorted((word for word in words if len(word) > 1), key=lambda word: (-words[word], word))
    return {"vocab": {piece: i for i, piece in enumerate([*pieces, *often][:VOCABULARY])}}


def train_unigram(tokens: list[str]) -> dict:
    """Return the pieces of a unigram model, as SentencePiece makes them: characters and the most frequent words.

    The trainer of `tokenizers` gives other pieces in every process.
    """
    text = " ".join(read_posts()).lower()
    counts = Counter({"▁": 1, **Counter(text.replace(" ", ""))}) + Counter(f"▁{w}" for w in re.findall(r"\w+", text))
    often = sorted(counts, key=lambda piece: (len(piece) > 1, -counts[piece], piece))[: VOCABULARY - len(tokens)]
    total = sum(counts.values())
    scores = [(piece, math.log(counts[piece] / total)) for piece in often]
    return {"vocab": [*((token, 0.0) for token in tokens), *scores]}


def train_bytes(tokens: list[str]) -> dict:
    "Return byte-level pieces and merges, as GPT-2 has them"
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(read_posts(), vocab_size=VOCABULARY, special_tokens=tokens, show_progress=False)
    return read_vocabulary(bpe)


def train_spaces(tokens: list[str]) -> dict:
    "Return pieces and merges in which a space is a character, as Gemma has them"
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.normalizer = normalizers.Replace(" ", "▁")
    bpe.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=tokens, show_progress=False)
    bpe.train_from_iterator(read_posts(), trainer)
    return read_vocabulary(bpe)


def make_plain_tokenizer(vocab: dict, merges: list, first: str = "", last: str = "", **keys):
    "Return a byte-level tokenizer without a class of its own, as Llama 3 and ModernBERT have it"
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    around = [token for token in (first, last) if token]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join([*([first] if first else []), "$A", *([last] if last else [])]),
        special_tokens=[(token, vocab[token]) for token in around],
    )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **keys)


def make_llama_tokenizer(vocab: dict, merges: list, **keys):
    "Return a tokenizer that begins a text with the begin-of-text token and has no pad token"
    first, end = LLAMA_TOKENS
    return make_plain_tokenizer(vocab, merges, first, bos_token=first, eos_token=end, **keys)


def make_modernbert_tokenizer(vocab: dict, merges: list, **keys):
    "Return a byte-level tokenizer with BERT's special tokens"
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    inputs = ["input_ids", "attention_mask"]
    keys = {**dict(zip(names, BERT_TOKENS)), "model_input_names": inputs, **keys}
    return make_plain_tokenizer(vocab, merges, "[CLS]", "[SEP]", **keys)


@dataclass(frozen=True)
class Kind:
    "What the base model of an architecture is made of"

    model: str  # its class on the Hub
    train: Callable  # makes the vocabulary
    tokens: list[str]  # special tokens, in the order of their ids
    tokenizer: str | Callable  # its class, or what makes it
    config: dict = field(default_factory=lambda: SIZES)
    positions: str | None = "max_position_embeddings"  # the key of the longest text; None: there is none
    reserved: int = 0  # positions that no token can have
    limited: bool = True  # whether the tokenizer on the Hub knows the longest text
    tokenizer_keys: dict = field(default_factory=dict)


def special_ids(tokens: list[str], **names: str) -> dict:
    "Return the ids of special tokens as keys of a configuration: `special_ids(tokens, pad='<pad>')`"
    return {f"{name}_token_id": tokens.index(token) for name, token in names.items()}


ROBERTA_IDS = special_ids(ROBERTA_TOKENS, bos="<s>", pad="<pad>", eos="</s>")
XLNET_IDS = special_ids(XLNET_TOKENS, bos="<s>", pad="<pad>", eos="</s>")
BART_IDS = {**ROBERTA_IDS, "decoder_start_token_id": 2, "forced_eos_token_id": 2}
MODERNBERT_IDS = special_ids(BERT_TOKENS, pad="[PAD]", cls="[CLS]", sep="[SEP]", bos="[CLS]", eos="[SEP]")
END_IDS = {"bos_token_id": 0, "eos_token_id": 0}
KINDS = {
    "bert": Kind("BertForMaskedLM", train_wordpiece, BERT_TOKENS, "BertTokenizer"),
    "distilbert": Kind(
        "DistilBertForMaskedLM",
        train_wordpiece,
        BERT_TOKENS,
        "BertTokenizer",
        DISTILBERT_SIZES,
        tokenizer_keys={"model_input_names": ["input_ids", "attention_mask"]},
    ),
    "roberta": Kind(
        "RobertaForMaskedLM",
        train_bytes,
        ROBERTA_TOKENS,
        "RobertaTokenizer",
        {**SIZES, **ROBERTA_IDS, "type_vocab_size": 1},
        reserved=2,
    ),
    "albert": Kind(
        "AlbertForMaskedLM",
        train_unigram,
        ALBERT_TOKENS,
        "AlbertTokenizer",
        {**SIZES, **special_ids(ALBERT_TOKENS, pad="<pad>", bos="[CLS]", eos="[SEP]"), "embedding_size": 16},
    ),
    "electra": Kind(
        "ElectraForPreTraining", train_wordpiece, BERT_TOKENS, "BertTokenizer", {**SIZES, "embedding_size": 16}
    ),
    "deberta-v2": Kind(
        "DebertaV2ForMaskedLM",
        train_unigram,
        DEBERTA_TOKENS,
        "DebertaV2Tokenizer",
        {
            **SIZES,
            "relative_attention": True,
            "position_buckets": 16,
            "max_relative_positions": -1,
            "pos_att_type": ["p2c", "c2p"],
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "position_biased_input": False,
            "type_vocab_size": 0,
            "pooler_hidden_size": 32,
        },
        limited=False,
        tokenizer_keys={"unk_id": 3},
    ),
    "mpnet": Kind(
        "MPNetForMaskedLM",
        train_wordpiece,
        MPNET_TOKENS,
        "MPNetTokenizer",
        {**SIZES, **special_ids(MPNET_TOKENS, bos="<s>", pad="<pad>", eos="</s>")},
        reserved=2,
    ),
    "modernbert": Kind(
        "ModernBertForMaskedLM",
        train_bytes,
        BERT_TOKENS,
        make_modernbert_tokenizer,
        {**SIZES, **MODERNBERT_IDS, "local_attention": 16, "global_attn_every_n_layers": 2},
    ),
    "xlnet": Kind(
        "XLNetLMHeadModel",
        train_unigram,
        XLNET_TOKENS,
        "XLNetTokenizer",
        {**XLNET_SIZES, **XLNET_IDS},
        positions=None,
    ),
    "gpt2": Kind(
        "GPT2LMHeadModel", train_bytes, [END], "GPT2Tokenizer", {**GPT2_SIZES, **END_IDS}, positions="n_positions"
    ),
    "gpt-neox": Kind(
        "GPTNeoXForCausalLM",
        train_bytes,
        [END, "<|padding|>"],
        "GPTNeoXTokenizer",
        {**SIZES, **END_IDS},
        limited=False,
        tokenizer_keys={"pad_token": None},
    ),
    "opt": Kind(
        "OPTForCausalLM",
        train_bytes,
        OPT_TOKENS,
        "GPT2Tokenizer",
        {
            **SMALL,
            "init_std": 0.1,
            "ffn_dim": 64,
            "word_embed_proj_dim": 32,
            **special_ids(OPT_TOKENS, bos="</s>", pad="<pad>", eos="</s>"),
        },
        limited=False,
        tokenizer_keys={
            "bos_token": "</s>",
            "eos_token": "</s>",
            "unk_token": "</s>",
            "pad_token": "<pad>",
            "add_bos_token": True,
        },
    ),
    "llama": Kind(
        "LlamaForCausalLM", train_bytes, LLAMA_TOKENS, make_llama_tokenizer, {**SIZES, "num_key_value_heads": 1}
    ),
    "qwen": Kind(
        "Qwen2ForCausalLM",
        train_bytes,
        [END],
        "Qwen2Tokenizer",
        {**SIZES, **END_IDS, "num_key_value_heads": 1},
        tokenizer_keys={"pad_token": END, "eos_token": END},
    ),
    "gemma": Kind(
        "GemmaForCausalLM",
        train_spaces,
        GEMMA_TOKENS,
        "GemmaTokenizer",
        {
            **SIZES,
            **special_ids(GEMMA_TOKENS, bos="<bos>", pad="<pad>", eos="<eos>"),
            "num_key_value_heads": 1,
            "head_dim": 16,
        },
        limited=False,
        tokenizer_keys={"add_bos_token": True},
    ),
    "t5": Kind(
        "T5ForConditionalGeneration",
        train_unigram,
        T5_TOKENS,
        "T5Tokenizer",
        {**T5_SIZES, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0},
        positions=None,
        tokenizer_keys={"extra_ids": 0},
    ),
    "bart": Kind(
        "BartForConditionalGeneration", train_bytes, ROBERTA_TOKENS, "BartTokenizer", {**BART_SIZES, **BART_IDS}
    ),
}


def make_base(
    kind: str,  # a key of `KINDS`
    folder: Path,  # where to write it, once
    positions: int = 512,  # the longest text, in tokens, of architectures that have such a limit
) -> Path:
    "Write the base model of an architecture and its tokenizer, as people find them on the Hub; return the folder"
    folder = Path(folder)
    if (folder / "model.safetensors").is_file():
        return folder
    made = KINDS[kind]
    tokenizer = make_tokenizer(made, positions)
    tokenizer.save_pretrained(folder)
    model = getattr(transformers, made.model)
    longest = {made.positions: positions + made.reserved} if made.positions else {}
    config = model.config_class(vocab_size=len(tokenizer), **made.config, **longest)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model(config).save_pretrained(folder)
    return folder


def make_tokenizer(made: Kind, positions: int):
    "Return the tokenizer of an architecture; it knows the longest text if the one on the Hub does"
    make = getattr(transformers, made.tokenizer) if isinstance(made.tokenizer, str) else made.tokenizer
    limit = {"model_max_length": positions} if made.positions and made.limited else {}
    return make(**made.train(made.tokens), **made.tokenizer_keys, **limit)
