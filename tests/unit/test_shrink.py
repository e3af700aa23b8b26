"Smaller forms of a model: what opens again answers as it was measured, near the original; what cannot be is refused."

import json
import shutil
import subprocess
import sys
import warnings

import pytest
import torch
from conftest import quick_settings, small_rows
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
)

from ftkit.cli.main import main
from ftkit.errors import UserError
from ftkit.fine_tuning import Run, fine_tune
from ftkit.installed import check_installed
from ftkit.serving.int8 import WEIGHTS, open_int8, quantize, save_int8
from ftkit.serving.layers import find_stacks, keep_blocks, list_choices
from ftkit.serving.onnx import OnnxClassifier
from ftkit.serving.shrink import describe_shrunk, open_shrunk, shrink
from ftkit.serving.turns import compare_answers, time_turns

IDS = torch.tensor([[5, 6, 7, 8], [9, 4, 3, 2]])
TEXTS = [*(row["review"] for row in small_rows(9)), None, ""]
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 4, "num_heads": 2, "decoder_start_token_id": 0}
BERT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 3}
MODELS = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=32, n_embd=16, n_layer=4, n_head=2)),
    "bert": lambda: BertForSequenceClassification(BertConfig(vocab_size=64, **BERT)),
    "t5": lambda: T5ForConditionalGeneration(T5Config(vocab_size=64, pad_token_id=0, **T5)),
}


@pytest.fixture
def model(request):
    "A seeded model with random weights"
    torch.manual_seed(0)
    model = MODELS[request.param]().eval()
    if request.param != "bert":
        model.generation_config.max_new_tokens = 5
    return model


@pytest.fixture(scope="module")
def run(trained):
    "The small run of the command"
    return Run(trained[0] / "runs" / "small")


@pytest.fixture(scope="module")
def int8(run, tmp_path_factory):
    "The small run in 8 bits: (folder, what was measured)"
    folder = tmp_path_factory.mktemp("int8") / "out"
    return folder, shrink(run, "int8", folder)


@torch.no_grad()
def read_logits(model) -> torch.Tensor:
    "Return the logits of a model for two short rows"
    more = {"decoder_input_ids": IDS} if model.config.is_encoder_decoder else {}
    return model(input_ids=IDS, **more).logits


@pytest.mark.parametrize("model", MODELS, indirect=True)
def test_int8_opens_as_it_was_saved(model, tmp_path):
    before = read_logits(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantized = quantize(model)
    logits = read_logits(quantized)
    assert 0 < (logits - before).abs().max() < 0.1 * before.abs().max()
    save_int8(quantized, tmp_path)
    opened = open_int8(tmp_path)
    assert torch.equal(read_logits(opened), logits)
    if opened.can_generate():
        assert torch.equal(opened.generate(IDS, do_sample=False), quantized.generate(IDS, do_sample=False))


@pytest.mark.parametrize("model", ["bert"], indirect=True)
def test_missing_weight_is_refused(model, tmp_path):
    from safetensors.torch import load_file, save_file

    save_int8(quantize(model), tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    for name in ("bert.embeddings.word_embeddings.weight", "classifier.int8_scale", "classifier.weight"):
        save_file({key: value for key, value in tensors.items() if key != name}, tmp_path / WEIGHTS)
        with pytest.raises(UserError, match=f"lack '?{name}"):
            open_int8(tmp_path)


@pytest.mark.parametrize("model", MODELS, indirect=True)
def test_kept_blocks_open_again(model, tmp_path):
    kept = [0, 3]
    blocks = [[stack[i] for i in kept] for stack in find_stacks(model)]
    smaller = keep_blocks(model, kept)
    assert all(a is b for stack, own in zip(find_stacks(smaller), blocks) for a, b in zip(stack, own))
    smaller.save_pretrained(tmp_path)
    opened, loaded = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not loaded["missing_keys"] and not loaded["unexpected_keys"]
    assert torch.equal(read_logits(opened.eval()), read_logits(smaller))
    if opened.can_generate():  # each block finds its own keys and values in the cache
        with_cache, without = (opened.generate(IDS, do_sample=False, use_cache=use) for use in (True, False))
        assert torch.equal(with_cache, without)


def test_choices_keep_the_first_block():
    assert list_choices(6, 3) == {"the first": [0, 1, 2], "evenly spaced": [0, 2, 5]}
    assert list_choices(6, 1) == {"the first": [0]}


def test_int8_answers_near_the_original(run, int8):
    folder, record = int8
    shrunk = open_shrunk(folder)
    a, b = run.predict(TEXTS), shrunk.predict(TEXTS)
    assert [list(x) for x in a] == [list(x) for x in b] and b[-2:] == a[-2:]
    found = compare_answers(a[:-2], b[:-2])
    assert found["rows"] == 9 and 0 < found["largest_difference"] < 0.05
    assert record["smaller"] > 1 and record["answers"]["largest_difference"] < 0.05
    assert record["verdict"]["split"] == "validation" and record["looks"] is None
    assert not (run.path.parent / "test_looks.jsonl").read_text().count('"export"')
    assert json.loads((folder / "shrunk.json").read_text()) | {"out": str(folder)} == record
    rows = run.task.read_again(run.predictions.query("split == 'validation'"), run.data)[0]
    again = run.task.predict(shrunk.model, shrunk.tokenizer, rows, run.settings)
    value = run.task.score(again, **run.settings.section("metrics"))[record["headline"]].value
    assert value == record["scores"]["validation"][record["headline"]]["value"]
    text = (folder / "README.md").read_text()
    assert describe_shrunk(record)[0] in text and "model-index" not in text
    assert "mine.csv" not in "".join(
        p.read_text() for p in folder.glob("*.[ij][ns][io]*") if p.name != "tokenizer.json"
    )


def test_command_prints_and_refuses(run, tmp_path, capsys):
    words = ["export", "small", "--runs_dir", str(run.path.parent)]
    refused = {
        "int8=4": "takes no value",
        "int9": "Did you mean 'int8'?",
        "onnx=int4": "write onnx, or onnx=int8",
        "layers": "write layers=3",
        "layers=2": "the model has 2. Write 1 to 1.",
        "layers=0": "Write 1 to 1.",
    }
    for form, message in refused.items():
        assert main([*words, "--to", form, "--out", str(tmp_path / "x")]) == 2
        printed = capsys.readouterr().err
        assert message.lower() in printed.lower() and printed.strip().count("\n") == 0, printed
    for out, message in (
        (run.path, "holds the run"),
        (run.path / "model", "lies in the run"),
        (tmp_path / "no/x", "no folder"),
    ):
        assert main([*words, "--to", "int8", "--force", "--out", str(out)]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir()) and (run.path / "model/config.json").is_file()


def test_task_that_writes_gets_no_graph(run, tmp_path, monkeypatch):
    monkeypatch.setattr(type(run.task), "one_call", False)
    with pytest.raises(UserError, match="Write int8 or layers=N"):
        shrink(run, "onnx", tmp_path / "x")


def test_adapter_and_foreign_folder_are_refused(run, tmp_path):
    copied = tmp_path / "adapter"
    shutil.copytree(run.path, copied)
    (copied / "model/adapter").mkdir()
    with pytest.raises(UserError, match="its model is an adapter"):
        shrink(Run(copied), "int8", tmp_path / "x")
    with pytest.raises(UserError, match="has no shrunk.json"):
        open_shrunk(run.path / "model")
    (tmp_path / "shrunk.json").write_text('{"form": "pickle", "task": "text-classification", "data": {}}')
    with pytest.raises(UserError, match="not as ftkit writes it"):
        open_shrunk(tmp_path)
    with pytest.raises(UserError, match="ftkit\\[shrink\\]"):
        check_installed("onnx", "shrink", "no_such_package")


@pytest.mark.parametrize("place", ["../secret.bin", "link.bin"])
def test_graph_reads_nothing_outside_its_folder(tmp_path, place):
    from onnx import TensorProto, helper

    (tmp_path / "secret.bin").write_bytes(bytes(16))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to("../secret.bin")
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", place), ("offset", "0"), ("length", "16")):
        weights.external_data.add(key=key, value=value)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "logits")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["logits"])], "g", ends[:1], ends[1:], [weights])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    BertConfig(**BERT).save_pretrained(folder)
    with pytest.raises(UserError, match="External data path"):
        OnnxClassifier(folder)


def test_turns_measure_the_slower_one(monkeypatch):
    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    class Slow:
        def __init__(self, cost):
            self.cost = cost

        def answer(self, texts, size):
            clock.now += self.cost * len(texts)

    clock = Clock()
    monkeypatch.setattr("ftkit.serving.turns.time", clock)
    found = time_turns(Slow(0.03), Slow(0.01), ["a"], 1)
    assert found["faster"] == pytest.approx(3) and found["milliseconds"] == pytest.approx(10)
    assert time_turns(Slow(2.0), Slow(2.0), ["a"], 16)["turns"] == 3  # the time is up


def test_answers_are_compared_by_words_and_numbers():
    old = [{"label": "a", "scores": {"a": 0.9, "b": 0.1}}, {"label": "a", "scores": {"a": 0.6, "b": 0.4}}, {}]
    new = [{"label": "a", "scores": {"a": 0.8, "b": 0.2}}, {"label": "b", "scores": {"a": 0.3, "b": 0.7}}, {}]
    assert compare_answers(old, new) == {"rows": 2, "same": 0.5, "largest_difference": pytest.approx(0.3)}
    assert compare_answers([{"value": 1.0}], [{"value": 3.0}]) == {"rows": 1, "same": None, "largest_difference": 2.0}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "onnx=int8", "layers=1"])
def test_form_opens_in_a_fresh_process(run, tmp_path, form):
    record = shrink(run, form, tmp_path / "out")
    code = "import json, sys; from ftkit.serving.shrink import open_shrunk\n"
    code += "print(json.dumps(open_shrunk(sys.argv[1]).predict(json.loads(sys.argv[2]))))"
    command = [sys.executable, "-c", code, tmp_path / "out", json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    here, there = open_shrunk(tmp_path / "out").predict(TEXTS), json.loads(done.stdout)
    assert (
        compare_answers(here[:-2], there[:-2])["largest_difference"] < 1e-6 and there[-2:] == run.predict(TEXTS)[-2:]
    )
    gap = compare_answers(run.predict(TEXTS)[:-2], there[:-2])["largest_difference"]
    assert {"onnx": gap < 1e-5, "onnx=int8": gap < 0.05, "layers=1": gap > 0.001}[form]
    looks = (run.path.parent / "test_looks.jsonl").read_text().count('"export"')
    if form == "layers=1":
        assert record["verdict"]["split"] == "test" and record["looks"] == 2 and looks == 1
        assert len(find_stacks(open_shrunk(tmp_path / "out").model)[0]) == 1
    else:
        assert record["verdict"]["split"] == "validation" and record["looks"] is None


ROWS = {
    "regression": [{"text": row["review"], "label": float(i % 5)} for i, row in enumerate(small_rows(90))],
    "multi-label": [
        {"text": row["review"], "label": json.dumps([row["stars"], *(["odd"] if i % 4 == 0 else [])])}
        for i, row in enumerate(small_rows(90))
    ],
    "text-generation": [{"prompt": row["review"], "response": row["stars"]} for row in small_rows(60)],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "task, form",
    [
        ("regression", "int8"),
        ("regression", "onnx"),
        ("regression", "layers=1"),
        ("multi-label", "onnx=int8"),
        ("multi-label", "layers=1"),
        ("text-generation", "int8"),
        ("text-generation", "layers=1"),
    ],
)
def test_every_task_has_forms(task, form, tiny, tmp_path):
    import pandas as pd

    pd.DataFrame(ROWS[task]).to_csv(tmp_path / "mine.csv", index=False)
    more = {"max_generated_samples": 3, "max_new_tokens": 4, "method": "full"} if task == "text-generation" else {}
    settings = quick_settings(tiny, task=task, train_file=str(tmp_path / "mine.csv"), baselines=[], **more)
    run = fine_tune(settings.replace(preflight="false"), runs_dir=tmp_path / "runs", name="small")
    record = shrink(run, form, tmp_path / "out")
    asked = run.task.read_asked(run.predictions)[:3]
    a, b = run.predict(asked), open_shrunk(tmp_path / "out").predict(asked)
    assert [list(x) for x in a] == [list(x) for x in b]
    gap = record["answers"]["largest_difference"]
    if task == "regression":
        assert gap < {"onnx": 1e-4, "int8": 0.2, "layers=1": 5}[form]
    assert record["verdict"]["metric"] and record["headline"] in record["scores"]["validation"]
    assert len(describe_shrunk(record)) == 6
