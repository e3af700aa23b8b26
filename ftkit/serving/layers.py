"""Fewer layers: some blocks of a fine-tuned model are kept, and one more epoch lets it get used to that.

Two choices are compared on the validation rows before that epoch: the first blocks (Sajjad et al. 2023) and evenly
spaced ones (as DistilBERT begins). The first block is always kept: in T5 it has the positions.
"""

import copy
import logging
from pathlib import Path

import numpy as np
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ftkit.errors import UserError
from ftkit.fine_tuning import Run, check_source, fine_tune
from ftkit.model_init import find_blocks
from ftkit.runs.continuing import Continuation, check_same_rows
from ftkit.settings import LOWER_IS_BETTER

EPOCHS = 1.0  # of the training after the cut; fewer if the run itself had fewer
COUNTS = "num_hidden_layers num_layers num_decoder_layers encoder_layers decoder_layers".split()  # in a configuration
logger = logging.getLogger(__name__)


def find_stacks(
    model: PreTrainedModel,  # any
) -> list[nn.ModuleList]:
    "Return the lists of blocks: one, or those of encoder and decoder"
    if not model.config.is_encoder_decoder:
        return [find_blocks(model)]
    base = model.base_model
    return [find_blocks(base.get_encoder()), find_blocks(base.get_decoder())]


def list_choices(
    blocks: int,  # that the model has
    count: int,  # that are kept
) -> dict[str, list[int]]:
    "Return name -> numbers of the blocks to keep"
    choices = {"the first": list(range(count))}
    spread = np.linspace(0, blocks - 1, count).round().astype(int).tolist()
    return choices if spread == choices["the first"] else choices | {"evenly spaced": spread}


def keep_blocks(
    model: PreTrainedModel,  # it is changed
    kept: list[int],  # numbers of the blocks, ascending
) -> PreTrainedModel:
    "Drop the other blocks, and let the configuration say so"
    for stack in find_stacks(model):
        before, blocks = len(stack), [stack[i] for i in kept]
        del stack[:]
        stack.extend(blocks)
        for i, block in enumerate(blocks):
            for part in block.modules():
                if hasattr(part, "layer_idx"):  # its place in the cache of keys and values
                    part.layer_idx = i
        for name in COUNTS:
            if getattr(model.config, name, None) == before:
                setattr(model.config, name, len(kept))
        if kinds := getattr(model.config, "layer_types", None):
            model.config.layer_types = [kinds[i] for i in kept] if len(kinds) == before else kinds
    return model


def check_count(
    model: PreTrainedModel,  # of the run
    count: int,  # blocks to keep
) -> None:
    "Raise `UserError` if the model does not have more blocks than that, in each stack as many"
    sizes = [len(stack) for stack in find_stacks(model)]
    if len(set(sizes)) > 1:
        raise UserError(f"layers={count}: encoder and decoder differ ({sizes[0]} and {sizes[1]} layers). Write int8.")
    if not 1 <= count < sizes[0]:
        most = f"Write 1 to {sizes[0] - 1}." if sizes[0] > 1 else "Write int8."
        raise UserError(f"layers={count}: the model has {sizes[0]}. {most}")


def check_rows(
    run: Run,  # whose rows are trained again
) -> None:
    "Raise `UserError` if the rows cannot be read again"
    data = run.settings.section("data")
    if not data["train_file"] and not data["dataset_name"]:
        raise UserError(
            f"{run.path}: its rows were passed from Python, and layers=N trains on them. "
            "Save them, train with train_file, and export that run. Or write int8."
        )
    check_source(run)


def choose_blocks(
    run: Run,  # of the model
    model: PreTrainedModel,  # all its blocks
    tokenizer: PreTrainedTokenizerBase,  # its tokenizer
    count: int,  # blocks to keep
) -> PreTrainedModel:
    "Return the model with the blocks whose headline metric on the validation rows is better, before more training"
    rows, _ = run.task.read_again(run.predictions.query("split == 'validation'"), run.data)
    sign, found = -1 if run.task.headline in LOWER_IS_BETTER else 1, {}
    for name, kept in list_choices(len(find_stacks(model)[0]), count).items():
        smaller = keep_blocks(copy.deepcopy(model), kept)
        sums, metric = run.task.headline_sums(run.task.predict(smaller, tokenizer, rows, run.settings))
        found[name] = (sign * float(metric(np.sum(sums, 0))), smaller)
    best = max(found, key=lambda name: found[name][0])
    values = ", ".join(f"{name} {sign * value:.3f}" for name, (value, _) in found.items())
    logger.info(f"layers={count}: {best} are kept ({run.task.headline} on validation rows before training: {values})")
    return found[best][1]


def train_layers(
    run: Run,  # finished
    count: int,  # blocks to keep
    folder: Path,  # a temporary one, for the run that trains them
) -> Run:
    "Return the run that trains the remaining blocks, with the settings, the rows and the seed of the run"
    check_rows(run)
    model, tokenizer = run.open_model()
    check_count(model, count)
    base = folder / "base"
    smaller = choose_blocks(run, model, tokenizer, count)
    smaller.save_pretrained(base)
    tokenizer.save_pretrained(base)
    if len(find_stacks(run.task.open_model(str(base))[0])[0]) != count:
        raise UserError(
            f"layers={count}: the configuration of {model.config.model_type} has no such number. Write int8."
        )
    keys = {"model_name_or_path": str(base), "model_revision": "main", "baselines": [], "preflight": "false"}
    epochs = min(EPOCHS, run.settings.num_train_epochs)
    tuned = fine_tune(run.settings.replace(**keys, num_train_epochs=epochs), runs_dir=folder / "runs", name="layers")
    check_same_rows(Continuation(run), tuned.data)
    return tuned
