"""Memory that runs out: smaller batches from the first weights, or one line that says what to do."""

import os
import resource
from pathlib import Path

import pytest
import torch
from runs import ROWS, SHORT_ROWS, raise_at_step, read_fingerprint, read_losses

from ftkit.errors import RunFailed
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.checkpoints import find_newest
from ftkit.trainer import OrderedTrainer


def limit_batch(monkeypatch, number, error, most=4):
    "From a step on, batches of more rows than `most` do not fit"
    plain = OrderedTrainer.training_step

    def step(self, model, inputs, *args):
        if len(inputs["labels"]) > most and self.state.global_step + 1 >= number:
            error()
        return plain(self, model, inputs, *args)

    monkeypatch.setattr(OrderedTrainer, "training_step", step)


def raise_cuda():
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB"
    )


def raise_python():
    raise MemoryError


def raise_allocator():
    "The real allocator's own refusal"
    torch.empty(2**60, dtype=torch.uint8)


@pytest.fixture
def small_batches(reference_run, settings):
    "What identifies a run at the batch size that fits"
    settings = settings.replace(per_device_train_batch_size=4, gradient_accumulation_steps=2)
    return read_fingerprint(reference_run(settings, ROWS))


@pytest.mark.fault("out of memory")
@pytest.mark.parametrize(
    "number, error",
    [
        pytest.param(1, raise_cuda, marks=pytest.mark.slow),
        pytest.param(7, raise_cuda, marks=pytest.mark.slow),
        pytest.param(30, raise_cuda, marks=pytest.mark.slow),
        (7, raise_python),
        pytest.param(30, raise_allocator, marks=pytest.mark.slow),
    ],
)
def test_out_of_memory_halves_batch(settings, tmp_path, monkeypatch, capsys, small_batches, number, error):
    limit_batch(monkeypatch, number, error)
    run = fine_tune(settings, ROWS, tmp_path, "x")
    assert read_fingerprint(run) == small_batches
    assert (run.settings.per_device_train_batch_size, run.settings.gradient_accumulation_steps) == (4, 2)
    sizes = "per_device_train_batch_size = 4, gradient_accumulation_steps = 2"
    message = f"out of memory: starting again from the first weights with {sizes}"
    assert message in capsys.readouterr().err and run.record["started_again"] == [message]
    assert all(find_newest(run.path / "checkpoints")[0].parent.glob("step-*")) and read_losses(run)[0][0] == 1


@pytest.mark.fault("out of memory")
def test_real_memory_limit_halves_batch(settings, tmp_path, monkeypatch, small_batches):
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limit = resource.getrlimit(resource.RLIMIT_AS)
    plain = OrderedTrainer.training_step

    def hungry(self, model, inputs, *args):
        weight = torch.empty(len(inputs["labels"]) * 500_000_000, dtype=torch.uint8)
        weight[-1] = 0
        return plain(self, model, inputs, *args)

    monkeypatch.setattr(OrderedTrainer, "training_step", hungry)
    resource.setrlimit(resource.RLIMIT_AS, (held + 3_000_000_000, limit[1]))
    try:
        run = fine_tune(settings, ROWS, tmp_path, "x")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    assert read_fingerprint(run) == small_batches


@pytest.mark.fault("out of memory")
def test_oversized_row_names_remedies(settings, tmp_path, monkeypatch):
    limit_batch(monkeypatch, 1, raise_cuda, most=0)
    with pytest.raises(RunFailed, match="one row at a time. Use method = lora or head, a smaller max_seq_length"):
        fine_tune(settings.replace(per_device_train_batch_size=2), ROWS, tmp_path, "x")
    assert Run.load("x", tmp_path).status == "failed"


@pytest.mark.slow
def test_evaluation_resumes_in_smaller_batches(settings, tmp_path, monkeypatch, reference):
    plain = OrderedTrainer.prediction_step

    def step(self, model, inputs, *args, **kwargs):
        if len(inputs["labels"]) > 4:
            raise_cuda()
        return plain(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(OrderedTrainer, "prediction_step", step)
    found = read_fingerprint(fine_tune(settings, ROWS, tmp_path, "x"))
    assert [found[key] for key in ("weights", "losses")] == [reference[key] for key in ("weights", "losses")]


@pytest.mark.slow
@pytest.mark.fault("out of memory")
def test_memory_shortage_keeps_checkpoints(short_settings, tmp_path, monkeypatch, reference_run, interrupt_run):
    reference = reference_run(short_settings, SHORT_ROWS)
    interrupt_run(tmp_path, short_settings, SHORT_ROWS, 9)
    raise_at_step(monkeypatch, 9, lambda: torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RunFailed, match="Free memory and resume again"):
        Run.load("x", tmp_path).resume(SHORT_ROWS)
    monkeypatch.undo()
    assert find_newest(tmp_path / "x/checkpoints")[0] is not None and read_fingerprint(
        Run.load("x", tmp_path).resume(SHORT_ROWS)
    ) == read_fingerprint(reference)
