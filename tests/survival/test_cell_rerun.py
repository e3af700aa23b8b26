"""A cell that is run again: it trains nothing silently and touches nothing."""

import shutil

import pytest
from conftest import assemble
from runs import ROWS, act_at_step, only_classification, read_files, read_fingerprint

from ftkit.data import load_data
from ftkit.errors import UserError
from ftkit.fine_tuning import Run, fine_tune
from ftkit.model_init import load_model, weights_sha256
from ftkit.runs.session import create_run
from ftkit.tokenizer import load_tokenizer, tokenize
from ftkit.trainer import train

pytestmark = only_classification


def make_pieces(settings):
    "What the cells of a notebook make"
    data, report = load_data(ROWS)
    tokenizer = load_tokenizer(settings.model_name_or_path)
    tokens = tokenize(data, tokenizer)
    return tokens, tokenizer, lambda: load_model(settings.model_name_or_path, report["labels"], tokenizer, dropout=0.1)


@pytest.mark.fault("cell run again")
@pytest.mark.parametrize(
    "again", ["trainer.train()", "train(trainer, run)", "a new trainer, the old model", "a new model, the old run"]
)
def test_cell_rerun_changes_nothing(settings, tmp_path, again):
    tokens, tokenizer, fresh = make_pieces(settings)
    settings = settings.replace(num_train_epochs=1)
    model = fresh()
    session = create_run(settings, tmp_path, "x")
    run = session.run
    trainer = assemble(model, tokens, tokenizer, settings, run)
    with session:
        train(trainer, run)
    weights, files = weights_sha256(model), read_files(run.path, folders=False)
    with pytest.raises(UserError, match="already been trained|this run is finished"):
        if again == "trainer.train()":
            trainer.train()
        elif again == "train(trainer, run)":
            train(trainer, run)
        elif again == "a new trainer, the old model":
            with create_run(settings, tmp_path, "y") as other:
                train(assemble(model, tokens, tokenizer, settings, other), other)
        else:
            train(assemble(fresh(), tokens, tokenizer, settings, run), run)
    assert weights_sha256(model) == weights and read_files(run.path, folders=False) == files


@pytest.mark.fault("cell run again")
def test_stopped_cell_rerun_is_refused(settings, tmp_path, monkeypatch, reference):
    tokens, tokenizer, fresh = make_pieces(settings)
    model = fresh()
    session = create_run(settings, tmp_path, "x")
    run = session.run
    trainer = assemble(model, tokens, tokenizer, settings, run)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), session:
        act_at_step(patch, 20, lambda trainer, step: (_ for _ in ()).throw(KeyboardInterrupt))
        train(trainer, run)
    assert not model.training and run.status == "stopped"
    for cell in (lambda: trainer.train(), lambda: train(trainer, run)):
        with pytest.raises(UserError, match="already been trained"):
            cell()
    assert read_fingerprint(Run.load("x", tmp_path).resume(ROWS)) == reference


@pytest.mark.fault("cell run again")
def test_fine_tune_again_is_identical(settings, tmp_path, reference_run):
    first = Run(shutil.copytree(reference_run(settings, ROWS).path, tmp_path / "x"))
    files = read_files(first.path)
    with pytest.raises(UserError, match="there is already a run 'x'"):
        fine_tune(settings, ROWS, tmp_path, "x")
    second = fine_tune(settings, ROWS, tmp_path)
    assert read_fingerprint(second) == read_fingerprint(first) and second.path != first.path
    assert read_files(first.path) == files
