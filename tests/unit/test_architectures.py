"Architectures and methods: each pair is trained, exported and answers the same in any batch, or is refused before."

import re

import numpy as np
import pytest
import transformers
from architectures import KINDS, make_base
from conftest import BAD, FLAT, GOOD, ROOT, mark_slow, small_rows, write_csv
from datasets import Dataset
from packaging.version import Version
from runs import read_fingerprint, stop_in_second_epoch

from ftkit.errors import UserError
from ftkit.fine_tuning import Run, fine_tune
from ftkit.model import context_length, load_config
from ftkit.model_init import PROMPTS, load_model, new_parts
from ftkit.serving.predict import predict_logits
from ftkit.settings import METHODS, Settings
from ftkit.tokenizer import fit_length, load_tokenizer, tokenize

NO_PROMPT = (
    "gpt2",
    "gpt-neox",
    "llama",
    "qwen",
    "gemma",
    "xlnet",
    "t5",
    "bart",
)  # read another position, or ids alone
REFUSED = {  # (kind, method) -> what the message must hold: a regex
    ("albert", "top_k"): "top_k_layers = 2: the model has 1 layer",  # all its layers share their weights
    **{(kind, "prefix"): "method = prefix: .* cannot be trained with it" for kind in KINDS},
    **{(kind, "prompt"): "method = prompt: .* cannot be trained with it" for kind in NO_PROMPT},
}
LIMITS = {"xlnet": None, "t5": None}  # the other kinds: 512, also those whose configuration says 514
TRIED = [method for method in METHODS if method != "qlora"]  # which needs a GPU: see the tests at the end
PAIRS = [(kind, method) for kind in KINDS for method in TRIED]
ALIKE = ("distilbert", "roberta", "mpnet", "llama", "qwen", "gpt2")  # trained as others are: with `make slow`
QUICK = {(kind, TRIED[i % len(TRIED)]) for i, kind in enumerate(KINDS) if kind not in ALIKE}  # methods take turns
MIXED_TEXTS = [
    "no",
    GOOD,
    BAD + ", and then it rained for the rest of the day while we waited",
    FLAT,
    "a b c",
    "it is late, " * 6 + "number 7",
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    "The base model of a kind, made once"
    folder = tmp_path_factory.mktemp("bases")
    return lambda kind: make_base(kind, folder / kind)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("rows") / "mine.csv", small_rows())


@pytest.fixture
def make_settings(bases, rows):
    "Settings of a small run of a kind with a method"

    def settings(kind, method, **keys):
        defaults = {
            "model_name_or_path": str(bases(kind)),
            "train_file": str(rows),
            "text_column_name": "review",
            "label_column_name": "stars",
            "method": method,
            "num_train_epochs": 1,
            "num_resamples": 100,
            "baselines": ["majority"],
            "per_device_train_batch_size": 8,
        }
        return Settings().replace(**{**defaults, **keys})

    return settings


def check_run(run: Run) -> None:
    "Check that a run has learned, that its folder opens elsewhere, and that a text's answer ignores its batch"
    from transformers import pipeline

    weights = run.record["weights"]
    assert run.status == "finished" and weights["first_sha256"] != weights["final_sha256"]
    model, tokenizer = run.open_model()
    alone = predict_logits(model, tokenizer, MIXED_TEXTS, batch_size=1)
    together = predict_logits(model, tokenizer, MIXED_TEXTS, batch_size=len(MIXED_TEXTS))
    assert np.isfinite(alone).all() and np.abs(together - alone).max() < 1e-4
    alarms = [f for f in run.record["preflight"] if f["level"] != "ok" and f["name"] != "updates"]  # they are few
    assert alarms == []  # a clean set-up raises none
    found = [row["label"] for row in Run.load(run.path.name, run.path.parent).predict(MIXED_TEXTS)]
    if run.settings.method in PROMPTS:  # an adapter, which a plain pipeline does not open
        labels = [model.config.id2label[i] for i in alone.argmax(-1)]
        assert found == labels and not (run.path / "model/model.safetensors").exists()
        return
    answers = pipeline("text-classification", model=str(run.path / "model"))(MIXED_TEXTS)
    assert [row["label"] for row in answers] == found


@pytest.mark.parametrize("kind", KINDS)
def test_limit_is_what_the_model_reads(bases, kind):
    limit = context_length(load_config(str(bases(kind))))
    assert limit == LIMITS.get(kind, 512)
    tokenizer = load_tokenizer(str(bases(kind)))
    assert fit_length(5000, tokenizer) == min(5000, limit or 5000, tokenizer.model_max_length)
    if limit:
        model = load_model(str(bases(kind)), ["a", "b"], tokenizer)
        assert np.isfinite(predict_logits(model, tokenizer, ["word " * 1500], max_seq_length=5000)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_spells_a_control_token(bases, kind):
    base = str(bases(kind))
    tokenizer = load_tokenizer(base)
    control = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    texts = [" good ".join(tokenizer.all_special_tokens), "".join(tokenizer.all_special_tokens), "good"]
    rows = Dataset.from_dict({"text": texts})
    plain = tokenizer("good")["input_ids"]
    added = sum(i in control for i in plain)
    for ids in tokenize(rows, tokenizer)["input_ids"]:
        assert sum(i in control for i in ids) == added
    model = load_model(base, ["a", "b"], tokenizer)
    assert np.isfinite(predict_logits(model, tokenizer, texts)).all()


@pytest.mark.parametrize(
    "kind, method",
    [
        pytest.param(kind, method, marks=[] if method == "lora" else pytest.mark.slow)
        for kind, method in PAIRS
        if (kind, method) not in REFUSED or method == "top_k"
    ],
)
def test_new_weights_train(bases, kind, method):
    base = str(bases(kind))
    model = load_model(base, ["a", "b"], load_tokenizer(base), method=method, top_k_layers=1)
    if method in ("lora", "ia3", "prompt"):
        new = {name: p for name, p in model.named_parameters() if ".modules_to_save." in name}
        for part in new_parts(model.get_base_model()):
            assert any(f".{part}." in name for name in new)
        new = [*new.values()]
    else:
        new = [p for name in new_parts(model) for p in model.get_submodule(name).parameters()]
    assert new and all(p.requires_grad for p in new)


@pytest.mark.parametrize(
    "kind, method",
    [pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow, id="-".join(pair)) for pair in PAIRS],
)
def test_pair_trains_or_is_refused(make_settings, tmp_path, record_property, kind, method):
    settings = make_settings(kind, method)
    if (kind, method) not in REFUSED:
        return check_run(fine_tune(settings, runs_dir=tmp_path, name="x"))
    if (kind, method) == ("opt", "prefix") and Version(transformers.__version__) < Version("5.20"):
        return check_run(fine_tune(settings, runs_dir=tmp_path, name="x"))  # older versions could
    with pytest.raises(UserError) as refusal:
        fine_tune(settings, runs_dir=tmp_path, name="x")
    assert re.search(REFUSED[kind, method], str(refusal.value)) and not list(tmp_path.iterdir())
    record_property("refused", str(refusal.value))  # for bench/architectures.py


RESUMED = [(kind, method) for kind in KINDS for method in ("full", "ia3")]


@pytest.mark.fault("killed")
@pytest.mark.parametrize("kind, method", mark_slow([("bert", "prompt"), *RESUMED], fast=[("bert", "prompt")]))
def test_stopped_run_resumes_to_same_weights(make_settings, tmp_path, monkeypatch, kind, method):
    settings = make_settings(kind, method, num_train_epochs=2, dropout=0.1, save_total_limit=20)
    reference = read_fingerprint(fine_tune(settings, runs_dir=tmp_path / "reference", name="x"))
    stop_in_second_epoch(monkeypatch, lambda: fine_tune(settings, runs_dir=tmp_path, name="x"))
    stopped_run = Run.load("x", tmp_path)
    assert stopped_run.status != "finished" and list((stopped_run.path / "checkpoints").glob("step-*"))
    assert read_fingerprint(stopped_run.resume()) == reference


def test_table_lists_every_pair():
    text = (ROOT / "bench/architectures.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines()]
    rows = {first: others for first, *others in cells}
    for kind, method in PAIRS:
        outcome = rows[kind][rows["architecture"].index(f"`{method}`")]
        assert outcome == "trains" if (kind, method) not in REFUSED else outcome.startswith("refused: ")


def test_adapter_is_opened_by_its_base(make_settings, tmp_path, caplog):
    "The model of a prompt is an adapter and its base: evaluated again, read again, never opened if it would run code"
    import json

    run = fine_tune(make_settings("bert", "prompt", max_seq_length=5000), runs_dir=tmp_path, name="x")
    assert run.settings.max_seq_length == 512 - run.settings.num_virtual_tokens
    adapter, predictions = run.path / "model/adapter", run.predictions
    assert sorted(p.name for p in adapter.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert '`PeftModel.from_pretrained(base, "adapter")`' in (run.path / "model/README.md").read_text()
    run.evaluate(again=True)
    assert np.array_equal(np.stack(run.predictions.logits), np.stack(predictions.logits))
    long = predict_logits(*run.open_model(), ["word " * 1500], max_seq_length=run.settings.max_seq_length)
    assert np.isfinite(long).all()
    config = json.loads((adapter / "adapter_config.json").read_text())
    for hostile in (
        {"auto_mapping": {"base_model_class": "X", "parent_library": "os"}},
        {"peft_type": "LORA"},
        {"prompt_tuning_init": "TEXT", "tokenizer_name_or_path": "/etc"},
        {"base_model_name_or_path": None},
        {"base_model_name_or_path": str(tmp_path / "nowhere")},
    ):
        (adapter / "adapter_config.json").write_text(json.dumps({**config, **hostile}))
        with pytest.raises(UserError):
            run.predict(["warm"])
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(UserError, match="is not an adapter as ftkit writes it"):
        run.predict(["warm"])
