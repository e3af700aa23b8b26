"The checks before the training: every planted fault is found, and a clean set-up raises none."

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import quick_settings, small_dataset
from datasets import DatasetDict

from ftkit.checks import preflight
from ftkit.checks.preflight import CHECKS, OK, REFUSE, WARN, Finding, advise_limit, run_checks
from ftkit.errors import UserError
from ftkit.fine_tuning import fine_tune, prepare
from ftkit.settings import Settings
from ftkit.training.trial import Timing, Trial


@pytest.fixture(scope="module")
def prepared(tiny, tmp_path_factory):
    "A training of the tiny GPT-2 that has not begun"
    settings = quick_settings(tiny, preflight="false", num_train_epochs=3)
    return prepare(settings, small_dataset(), tmp_path_factory.mktemp("runs"))


@pytest.fixture
def plan(prepared):
    "The same, with a model of its own"
    plan = replace(prepared, report={**prepared.report, "unknown": dict(prepared.report["unknown"])}, findings=[])
    plan.args = copy.copy(prepared.args)
    plan.load_model()
    return plan


def judge(plan, name) -> Finding:
    "Return the outcome of one check"
    return Finding(name, *CHECKS[name](plan))


def drop_label(split, label):
    "Return a fault: no row of a split has the label"

    def plant(plan, monkeypatch):
        rows = plan.tokens[split].filter(lambda row: row["labels"] != label)
        plan.tokens = DatasetDict({**plan.tokens, split: rows})

    return plant


def use_small_vocabulary(plan, monkeypatch):
    plan.model.resize_token_embeddings(50)


def meet_unknown_script(plan, monkeypatch):
    plan.report["unknown"]["bad"] = 0.9


def pad_where_it_is_read(plan, monkeypatch):
    plan.tokenizer = plan.tokenizer.__class__.from_pretrained(plan.settings.model_name_or_path)
    plan.tokenizer.pad_token = plan.tokenizer.eos_token
    plan.__dict__.pop("pieces", None)
    plan.tokenizer.padding_side = "left"


def cut_all(plan, monkeypatch):
    plan.settings = plan.settings.replace(max_seq_length=4)
    rows = {name: plan.tokens[name].map(lambda row: {"length": 4}, desc=None) for name in plan.tokens}
    plan.tokens = DatasetDict(rows)
    plan.report = {**plan.report, "train": {**plan.report["train"], "cut": plan.report["train"]["rows"]}}


def swap_labels(plan, monkeypatch):
    names = plan.labels[::-1]
    plan.model.config.id2label = dict(enumerate(names))


def break_weights(plan, monkeypatch):
    with torch.no_grad():
        plan.model.score.weight[:] = math.nan


def average_loss(plan, monkeypatch):
    mean = lambda outputs, labels, rows: torch.nn.functional.cross_entropy(outputs["logits"], labels)
    plan.__dict__["pieces"] = {**plan.pieces, "compute_loss_func": mean}


def freeze_all(plan, monkeypatch):
    for p in plan.model.parameters():
        p.requires_grad = False


def halve_precision(plan, monkeypatch):
    plan.model.to(torch.bfloat16)


def raise_rate(plan, monkeypatch):
    plan.settings = plan.settings.replace(learning_rate=2.0)


def stop_after_three(plan, monkeypatch):
    plan.args.max_steps = 3


def take_memory(plan, monkeypatch):
    monkeypatch.setattr(preflight, "count_usable_memory", lambda: 1_000_000)


def fill_disk(plan, monkeypatch):
    monkeypatch.setattr(preflight, "count_free_disk", lambda folder: 1000)


def drop_all_batches(plan, monkeypatch):
    plan.args.dataloader_drop_last, plan.args.per_device_train_batch_size = True, 512


def learn_nothing(plan, monkeypatch):
    plan.settings = plan.settings.replace(preflight="full")
    plan.__dict__["pieces"] = {**plan.pieces, "compute_loss_func": lambda o, labels, rows: 0 * o["logits"].sum() + 1}


FAULTS = {  # name -> (check, what is planted, its level, what the line says)
    "vocabulary": ("tokenizer", use_small_vocabulary, REFUSE, "the model knows 50"),
    "unknown script": ("tokenizer", meet_unknown_script, WARN, "by label: bad 90%"),
    "pooled padding": ("padding", pad_where_it_is_read, REFUSE, "get other logits"),
    "cut texts": ("length", cut_all, WARN, "training texts are cut at 4 tokens"),
    "label map": ("label map", swap_labels, REFUSE, "those of the data"),
    "label without training rows": ("labels", drop_label("train", 1), REFUSE, "no training row has the label flat"),
    "label without validation rows": ("labels", drop_label("validation", 1), WARN, "validation has no row of flat"),
    "label without test rows": ("labels", drop_label("test", 0), WARN, "test has no row of bad"),
    "loss that is not finite": ("loss at the start", break_weights, WARN, "before training is nan"),
    "loss that is averaged": ("accumulation", average_loss, WARN, "gradients of norm"),
    "all frozen": ("trained weights", freeze_all, REFUSE, "no weight of the model trains"),
    "half precision": ("precision", halve_precision, WARN, "are bfloat16"),
    "learning rate": ("learning rate", raise_rate, WARN, "outside the usual range of method = full"),
    "few updates": ("updates", stop_after_three, WARN, "3 updates of the weights in all"),
    "memory": ("memory", take_memory, REFUSE, "weights, gradients and moments need 4."),
    "disk": ("disk", fill_disk, REFUSE, "and 1.0 kB are free"),
    "no batch": ("settings", drop_all_batches, REFUSE, "do not fill a batch of 512"),
    "nothing learned": ("overfit", learn_nothing, WARN, "bring the loss from 1.00 to 1.00"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(plan, fault, monkeypatch, caplog):
    name, plant, level, says = FAULTS[fault]
    before = judge(plan, name)
    assert before.level == OK, before
    plant(plan, monkeypatch)
    finding = judge(plan, name)
    assert finding.level == level and says in finding.seen and finding.why, finding
    assert level != WARN or finding.fix
    if level == REFUSE:
        with pytest.raises(UserError) as refusal:
            run_checks(plan)
        assert "\n" not in str(refusal.value)


def test_each_check_has_a_planted_fault():
    assert {check for check, *_ in FAULTS.values()} == set(CHECKS)


@pytest.mark.parametrize("kind", ["false", "true", "full"])
def test_setting_chooses_the_checks(plan, kind):
    plan.settings = plan.settings.replace(preflight=kind)
    plan.check()
    names = {"false": [], "true": [n for n in CHECKS if n != "overfit"], "full": [*CHECKS]}[kind]
    assert [f.name for f in plan.findings] == names
    assert {f.level for f in plan.findings} <= {OK}, [str(f) for f in plan.findings if f.level != OK]


def test_checks_change_nothing(plan):
    plan.settings = plan.settings.replace(preflight="full")
    before = {name: p.clone() for name, p in plan.model.state_dict().items()}
    state, mode = torch.get_rng_state(), plan.model.training
    plan.check()
    assert all(torch.equal(p, before[name]) for name, p in plan.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and plan.model.training == mode
    assert all(p.grad is None for p in plan.model.parameters())


@pytest.mark.slow  # the lessons train the starter; each architecture is checked for false alarms as well
@pytest.mark.parametrize("method", ["full", "lora", "top_k", "head"])
def test_starter_raises_no_alarm(tmp_path, method):
    few = {"max_train_samples": 60, "max_eval_samples": 30, "max_predict_samples": 30}
    settings = Settings(**few, method=method, per_device_train_batch_size=8, preflight="full")
    plan = prepare(settings, runs_dir=tmp_path)
    assert [str(f) for f in plan.findings if f.level != OK] == []
    assert len(plan.findings) == len(CHECKS) + 1  # and the forecast
    assert not list(tmp_path.glob("[!.]*"))


def test_refused_training_leaves_no_folder(tiny, tmp_path, monkeypatch):
    fill_disk(None, monkeypatch)
    with pytest.raises(UserError, match=r"disk: .* and 1.0 kB are free in .*Free some, or give"):
        fine_tune(quick_settings(tiny), small_dataset(), tmp_path / "runs", "x")
    assert not list((tmp_path / "runs").glob("*"))


def test_broken_base_model_is_left_to_the_training(tmp_path, tiny):
    "A loss that is not finite neither refuses nor changes anything: the run itself fails with its reason"
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(tiny)
    with torch.no_grad():
        model.wte.weight[:] = math.nan
    model.save_pretrained(tmp_path / "nan"), AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / "nan")
    from ftkit.errors import NotFinite

    with pytest.raises(NotFinite):
        fine_tune(quick_settings(str(tmp_path / "nan"), num_train_epochs=3), small_dataset(), tmp_path / "runs", "x")
    from ftkit.fine_tuning import Run

    run = Run.load("x", tmp_path / "runs")
    assert run.status == "failed" and run.record["forecast"]["train_seconds"] is None
    assert [f["name"] for f in run.record["preflight"] if f["level"] == WARN] == ["loss at the start"]


def test_run_keeps_what_was_checked(tiny, tmp_path):
    run = fine_tune(quick_settings(tiny), small_dataset(), tmp_path, "x")
    names = [finding["name"] for finding in run.record["preflight"]]
    assert names == [*(n for n in CHECKS if n != "overfit"), "forecast"]
    page = (run.path / "report.html").read_text()
    assert "Checked before the training" in page and "Forecast and actual" in page and "get the same logits" in page


def test_forecast_beyond_the_memory_warns(plan, monkeypatch, caplog):
    forward = Timing(1, 100, 0.1, 0.1)
    trial = Trial(1, (Timing(1, 100, 0.1, 0.1),), forward, 0.01, 10**9, 2 * 10**9)
    monkeypatch.setattr(preflight, "count_usable_memory", lambda: 10**9)
    found = plan.with_trial(trial).findings[-1]
    assert found.name == "forecast" and found.level == WARN and "per_device_train_batch_size" in found.fix
    assert "of memory are there" in caplog.text


def test_advised_limit_cuts_few_texts(plan):
    few = plan.settings.replace(max_seq_length=5)
    limit = advise_limit(replace(plan, settings=few))
    lengths = [len(ids) for ids in plan.tokenizer(list(plan.data["train"]["text"]))["input_ids"]]
    assert np.mean(np.array(lengths) > limit) <= 0.05 and limit & (limit - 1) == 0
