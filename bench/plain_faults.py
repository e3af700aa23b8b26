"""Do the faults of tests/faults.py to plain Transformers, for the table next to ftkit's.

    .venv/bin/python bench/plain_faults.py

A two-layer GPT-2 classifier (`tiny_gpt2`, dropout 0.1), 64 rows, batch 4, 48 steps, a checkpoint every 5, one
thread, the Trainer as its documentation shows it. Each training is a process of its own, forked from one that has only
imported the libraries; kills and signals are real and come at an exact step. "Same bits" means: sha256 of the weights,
sha256 of the optimizer's state and the loss of every step are those of the undisturbed run. Resuming means
`Trainer.train(resume_from_checkpoint=True)` in a new process. The docstring of each `try_` function says when a case
passes; it is written to the result as the criterion. Printed and written to bench/plain_faults.json.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
os.umask(0o022)

import hashlib
import itertools
import json
import math
import platform
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import peft
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    GPT2ForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from faults import FAULTS, FIGURES

HOME = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="plain-faults-"))
STEPS, SAVE, KILL = 48, 5, 23
LAST, BEFORE = "checkpoint-20", "checkpoint-15"  # the newest ones of a run killed at step 23
WORDS = {
    "bad": "late broken cold rude lost noisy",
    "flat": "opens closes monday street number hall",
    "good": "warm bright lovely kind fresh quick",
}
FILLER = "the a bus bread library today again this room with its very new old small".split()
EVAL = {"eval_strategy": "steps", "eval_steps": SAVE}
BEST = {**EVAL, "load_best_model_at_end": True}
VARIANTS = {  # settings, steps of the kill: epoch 1, middle of epoch 2, first step after a save
    "random order": ({}, (13, 23, 36)),
    "group_by_length": ({"train_sampling_strategy": "group_by_length"}, (13, 23, 36)),
    "2 workers": ({"dataloader_num_workers": 2}, (13, 23, 36)),
    "accumulation 2": ({"gradient_accumulation_steps": 2, "num_train_epochs": 6}, (7, 13, 36)),
    "LoRA": ({"lora": True}, (13, 23, 36)),
    "noise collator": ({"noise": True}, (13, 23, 36)),
    "evaluation and best model": (BEST, (13, 23, 36)),
    "early stopping": ({**BEST, "patience": 4}, (13, 23, 36)),  # patience ends it at step 45
}
NOT_APPLICABLE = {
    "HTML from data": "The Trainer shows no data: its only HTML is the notebook's table of metrics.",
    "hostile names": "The Trainer takes any path as output_dir; there are no names of runs to refuse.",
    "predict": "There is no command that predicts a file.",
    "read while written": "There is no record of a run for another process to read while it is written.",
    "several processes": "There is no lock and no rerun: two processes may write into one output_dir.",
}
NOT_MEASURED = {
    "hostile files": "It applies, but was not measured here: it depends on the versions of torch and safetensors.",
    "odd texts": "It applies, but was not measured here: the result depends on the user's code around the tokenizer.",
}


# The user's code, and the result of a training


def make_rows(n: int, seed: int, noisy: bool = False) -> list[dict]:
    "Return short texts of three labels, 4 to 24 words. Noisy ones have random labels: the evaluation soon gets worse"
    draw = random.Random(seed)
    labels = [draw.choice(sorted(WORDS)) for _ in range(n)]
    texts = [
        " ".join(
            draw.choice(FILLER if draw.random() < 0.7 else WORDS[label].split()) for _ in range(draw.randint(4, 24))
        )
        for label in labels
    ]
    return [
        {"text": text, "label": draw.randrange(3) if noisy else sorted(WORDS).index(label)}
        for text, label in zip(texts, labels)
    ]


class NoiseCollator(DataCollatorWithPadding):
    "Replaces random tokens, drawn from torch's global generator as in DataCollatorForLanguageModeling"

    def __call__(self, features):
        batch = super().__call__(features)
        drawn = torch.rand(batch["input_ids"].shape) < 0.1
        batch["input_ids"] = torch.where(drawn, torch.randint(1, 300, drawn.shape), batch["input_ids"])
        return batch


def load_model_and_tokenizer(lora: bool = False):
    "Return the tiny GPT-2 with a new head, and its tokenizer"
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(HOME / "tiny", pad_token="<|endoftext|>")
    model = AutoModelForSequenceClassification.from_pretrained(
        HOME / "tiny", num_labels=3, pad_token_id=tokenizer.pad_token_id
    )
    if lora:
        model = peft.get_peft_model(
            model,
            peft.LoraConfig(
                task_type="SEQ_CLS",
                r=4,
                lora_alpha=8,
                lora_dropout=0.1,
                target_modules=["c_attn"],
                fan_in_fan_out=True,
            ),
        )
    return model, tokenizer


def make_trainer(
    out, callbacks=(), model=None, lora=False, noise=False, patience=0, labels=None, metrics=None, **settings
) -> Trainer:
    "Return a Trainer as the documentation shows it"
    new, tokenizer = load_model_and_tokenizer(lora)
    data = [
        [{**tokenizer(r["text"]), "labels": r["label"] if labels is None else labels} for r in part]
        for part in (make_rows(64, 0), make_rows(16, 1, noisy=True))
    ]
    defaults = {
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "save_steps": SAVE,
        "logging_steps": 1,
        "seed": 0,
    }
    arguments = TrainingArguments(
        str(out), **{**defaults, "use_cpu": True, "report_to": "none", "disable_tqdm": True, **settings}
    )
    collator = (NoiseCollator if noise else DataCollatorWithPadding)(tokenizer)
    callbacks = [*callbacks, *([EarlyStoppingCallback(patience)] if patience else [])]
    return Trainer(model or new, arguments, collator, *data, tokenizer, compute_metrics=metrics, callbacks=callbacks)


def hash_value(value) -> str:
    "Return the sha256 of nested numbers and tensors"
    if isinstance(value, dict):
        value = repr([(str(k), hash_value(value[k])) for k in sorted(value, key=str)])
    elif isinstance(value, (list, tuple)):
        value = repr([hash_value(v) for v in value])
    return hashlib.sha256(
        value.contiguous().numpy().tobytes() if torch.is_tensor(value) else repr(value).encode()
    ).hexdigest()


def describe_result(trainer: Trainer, error: str | None = None) -> dict:
    "Return what a training left: hashes, losses, step, best metric, mode"
    weights = trainer.model.state_dict()
    return {
        "error": error,
        "weights": hash_value(weights),
        "optimizer": hash_value(trainer.optimizer.state_dict()) if trainer.optimizer else None,
        "losses": [[r["step"], r["loss"]] for r in trainer.state.log_history if "loss" in r],
        "step": trainer.state.global_step,
        "best": trainer.state.best_metric,
        "finite": all(bool(torch.isfinite(w).all()) for w in weights.values()),
        "training": trainer.model.training,
    }


def train_and_describe(trainer: Trainer, resume=None) -> dict:
    "Train as in a notebook: an error or Ctrl-C ends the cell, not the process"
    try:
        trainer.train(resume_from_checkpoint=resume)
    except (Exception, KeyboardInterrupt) as e:
        traceback.print_exc()
        return describe_result(trainer, " ".join(f"{type(e).__name__}: {e}".split()))
    return describe_result(trainer)


def make_and_train(out, resume=None, **settings) -> dict:
    "Run the whole cell: make a Trainer and train"
    return train_and_describe(make_trainer(out, **settings), resume)


def run_in_child(work, *args, ends=(0,), **settings) -> SimpleNamespace:
    """Call `work` in a child process. Return its exit code, what it printed and the keys of its result.

    A negative exit code is the signal that ended the child. Any code that is not in `ends` is an error of this script.
    """
    with tempfile.TemporaryFile("w+") as result, tempfile.TemporaryFile("w+") as printed:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.dup2(printed.fileno(), 1)
                os.dup2(printed.fileno(), 2)
                signal.alarm(120)
                json.dump(work(*args, **settings), result)
                code = 0
            except BaseException as e:
                traceback.print_exc()
                if isinstance(e, KeyboardInterrupt):  # ends as Python itself does
                    signal.signal(signal.SIGINT, signal.SIG_DFL)
                    os.kill(os.getpid(), signal.SIGINT)
            finally:
                for stream in (sys.stdout, sys.stderr, result):
                    stream.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for stream in (result, printed):
            stream.seek(0)
        text = printed.read()
        assert code in ends, text
        return SimpleNamespace(code=code, printed=text, **(json.loads(result.read()) if code == 0 else {}))


def has_same_bits(a, b) -> bool:
    "Return whether weights, optimizer and losses are equal"
    return a.error is None and all(getattr(a, k) == getattr(b, k) for k in ("weights", "optimizer", "losses"))


def shorten(error: str | None) -> str:
    "Return the start of an error message, without the paths of this machine"
    text = re.sub(rf"{re.escape(str(HOME))}(/tmp\w+)?", "…", error or "no error")
    return text if len(text) <= 130 else text[:129] + "…"


def describe_resume(after, undisturbed) -> str:
    "Return how a resumed run differs from the undisturbed one"
    if after.error:
        return shorten(after.error)
    apart = next((a[0] for a, b in zip(after.losses, undisturbed.losses) if a != b), None)
    differ = [k for k in ("weights", "optimizer", "losses") if getattr(after, k) != getattr(undisturbed, k)]
    return (
        "same bits"
        if not differ
        else f"no error, other {' and '.join(differ)}" + (f", the first other loss at step {apart}" if apart else "")
    )


@contextmanager
def temporary_folder():
    "Yield the path of a new folder and remove it afterwards"
    path = Path(tempfile.mkdtemp(dir=HOME)) / "out"
    yield path
    shutil.rmtree(path.parent)


def hash_files(path: Path) -> dict:
    "Return the sha256 of every file in a folder"
    return {
        p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(path.rglob("*"))
        if p.is_file()
    }


def list_checkpoints(path: Path) -> list[Path]:
    "Return the checkpoints of a run, in the order of their steps"
    return sorted(path.glob("checkpoint-*"), key=lambda p: int(p.name[11:]))


def read_state(checkpoint: Path) -> TrainerState:
    "Return the trainer_state.json of a checkpoint"
    return TrainerState.load_from_json(checkpoint / "trainer_state.json")


# Faults at an exact place


class ActAtStep(TrainerCallback):
    "Acts once: at one event, after a number of steps"

    def __init__(self, event, step, act):
        self.step, self.act = step, act
        setattr(self, event, self.fire)

    def fire(self, args, state, control, **kwargs):
        if state.global_step == self.step and self.act:
            act, self.act = self.act, None
            act(state=state, **kwargs)


def make_sender(number):
    "Return an action that sends a real signal to this process"
    return lambda **_: os.kill(os.getpid(), number)


def make_raiser(error: Exception):
    "Return an action that raises an exception"

    def act(**_):
        raise error

    return act


def insert_before(owner, name, act, when=lambda *args, **kwargs: True):
    "Return an action after which `act` is called before every call of owner.name in this process"

    def arm(**_):
        original = getattr(owner, name)

        def wrapped(*args, **kwargs):
            if when(*args, **kwargs):
                act()
            return original(*args, **kwargs)

        setattr(owner, name, wrapped)

    return arm


def insert_before_write(name, act):
    "Return a callback that acts before this file of the checkpoint of step 20 is written"
    if name == "trainer_state.json":
        arm = insert_before(TrainerState, "save_to_json", act)
    else:
        arm = insert_before(torch, "save", act, lambda value, path, **_: Path(path).name == name)
    return ActAtStep("on_step_begin", 19, arm)


def kill_run(out, step=KILL, **settings) -> None:
    "Make a run that gets SIGKILL at the end of a step"
    run_in_child(
        make_and_train,
        out,
        ends=(-signal.SIGKILL,),
        callbacks=[ActAtStep("on_step_end", step, make_sender(signal.SIGKILL))],
        **settings,
    )


WHOLE = {}


def get_undisturbed(**settings) -> SimpleNamespace:
    "Return the result of the undisturbed run, made once"
    key = json.dumps(settings, sort_keys=True)
    if key not in WHOLE:
        with temporary_folder() as out:
            WHOLE[key] = run_in_child(make_and_train, out, **settings)
        assert WHOLE[key].error is None, WHOLE[key].printed
    return WHOLE[key]


def copy_checkpoints(out):
    "Copy the checkpoints of a killed run and return the newest one, to damage it"
    if not (HOME / "killed").exists():
        kill_run(HOME / "killed")
    for name in (BEFORE, LAST):
        shutil.copytree(HOME / "killed" / name, out / name)
    return out / LAST


def resume_damaged(out) -> tuple[SimpleNamespace, str]:
    "Resume from a damaged checkpoint. Return the result, its description and whether the checkpoint was named"
    after = run_in_child(make_and_train, out, resume=True)
    return after, describe_resume(after, get_undisturbed()) + (
        "" if after.error else ", with a warning" if LAST in after.printed else ", without a warning"
    )


# The rows of the table: each function yields (case, passed, observation); its docstring is the criterion


def try_kills():
    "Kill with SIGKILL, resume in a new process. Passed: same bits."
    for name, (settings, steps) in VARIANTS.items():
        for step in steps:
            with temporary_folder() as out:
                kill_run(out, step, **settings)
                shutil.copytree(out, out.with_name("copy"))
                after = run_in_child(make_and_train, out, resume=True, **settings)
                undisturbed = get_undisturbed(**settings)
                what = describe_resume(after, undisturbed)
                if "patience" in settings and not has_same_bits(after, undisturbed):
                    restored = {**settings, "restore_callback_states_from_checkpoint": True}
                    again = run_in_child(make_and_train, out.with_name("copy"), resume=True, **restored)
                    what += f", stopped at step {after.step} and not {undisturbed.step}; with "
                    what += f"restore_callback_states_from_checkpoint=True: {describe_resume(again, undisturbed)}"
            yield f"{name}, killed at step {step}", has_same_bits(after, undisturbed), what


def try_torn_checkpoints():
    """Tear the newest checkpoint, then resume. Passed: the one before is used, the skipped one is named, same bits.
    A crash is not enough, nor is resuming without a warning."""

    def judge(out):
        after, what = resume_damaged(out)
        return has_same_bits(after, get_undisturbed()) and LAST in after.printed, what

    with temporary_folder() as out:
        names = sorted(p.name for p in copy_checkpoints(out).iterdir())
    for name in names:
        for part in (0, 50):
            with temporary_folder() as out:
                file = copy_checkpoints(out) / name
                os.truncate(file, file.stat().st_size * part // 100)
                yield f"{name} cut to {part} %", *judge(out)
    with temporary_folder() as out:
        shutil.rmtree(copy_checkpoints(out))
        (out / LAST).mkdir()
        yield "directory empty", *judge(out)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"):
        with temporary_folder() as out:
            run_in_child(
                make_and_train,
                out,
                ends=(-signal.SIGKILL,),
                callbacks=[insert_before_write(name, make_sender(signal.SIGKILL))],
            )
            assert (out / LAST).is_dir() and not (out / LAST / name).exists()
            yield f"SIGKILL in the save, before {name}", *judge(out)


def try_damage():
    """Flip a bit or delete a file, then resume. Passed: an error (a crash counts), or the same bits.
    Failed: other weights without an error."""

    def judge(out):
        after, what = resume_damaged(out)
        return after.error is not None or has_same_bits(after, get_undisturbed()), what

    with temporary_folder() as out:
        names = sorted(p.name for p in copy_checkpoints(out).iterdir())
    for name in names:
        with temporary_folder() as out:
            file = copy_checkpoints(out) / name
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
            yield f"{name}, a bit flipped in the middle", *judge(out)
    for name in names:
        with temporary_folder() as out:
            (copy_checkpoints(out) / name).unlink()
            yield f"{name} deleted", *judge(out)


def try_nonfinite():
    "Make a value non-finite. Passed: an error within the step, before the update (finite weights), no 0.0 logged."

    def loss(value):
        def act(model, **_):
            def hook(module, inputs, output):
                handle.remove()
                output.loss = output.loss * value
                return output

            handle = model.register_forward_hook(hook)

        return act

    def gradient(value):
        def act(model, **_):
            def hook(grad):
                handle.remove()
                return torch.full_like(grad, value)

            handle = model.score.weight.register_hook(hook)

        return act

    def weights(value):
        def act(model, **_):
            with torch.no_grad():
                model.score.weight[0, 0] = value

        return act

    pairs = itertools.product((loss, gradient, weights), {"NaN": math.nan, "infinity": math.inf}.items())
    injected = {f"{name} in the {act.__name__}": act(value) for act, (name, value) in pairs}
    cases = {
        f"{name} at step 20": {"callbacks": [ActAtStep("on_step_begin", 19, act)]} for name, act in injected.items()
    } | {
        "all labels -100": {"labels": -100},
        "learning rate 1e6": {"learning_rate": 1e6},
        "learning rate 1e6, SGD without clipping": {"learning_rate": 1e6, "optim": "sgd", "max_grad_norm": 0.0},
    }
    for name, settings in cases.items():
        with temporary_folder() as out:
            after = run_in_child(make_and_train, out, **settings)
        zeros = sum(loss == 0 for _, loss in after.losses)
        passed = after.error is not None and (after.finite or "in the weights" in name) and not zeros
        finite = "finite" if after.finite else "not finite"
        yield (
            name,
            passed,
            f"{shorten(after.error)}, {after.step} of {STEPS} steps, loss 0.0 logged {zeros} times, weights {finite}",
        )


def try_stops():
    "Stop with SIGINT, then resume. Passed: the model is left in eval mode, and resuming ends at the same bits."
    act = make_sender(signal.SIGINT)

    def from_step(owner, name):
        return ActAtStep("on_step_begin", 19, insert_before(owner, name, act))

    moments = {
        "while a batch is collated": ActAtStep(
            "on_step_end", 17, insert_before(DataCollatorWithPadding, "__call__", act)
        ),
        "in the forward pass": from_step(GPT2ForSequenceClassification, "forward"),
        "in the backward pass": from_step(torch.Tensor, "backward"),
        "before the update": ActAtStep("on_pre_optimizer_step", 22, act),
        "after the update": ActAtStep("on_optimizer_step", 22, act),
        "at the end of a step": ActAtStep("on_step_end", 23, act),
        "in the evaluation": ActAtStep("on_prediction_step", 20, act),
        "in the save, before optimizer.pt": insert_before_write("optimizer.pt", act),
        "in the save, before rng_state.pth": insert_before_write("rng_state.pth", act),
        "in the save, before trainer_state.json": insert_before_write("trainer_state.json", act),
        "between two epochs": ActAtStep("on_epoch_end", 32, act),
        "at the end of the training": ActAtStep("on_train_end", STEPS, act),
    }
    for name, callback in moments.items():
        with temporary_folder() as out:
            stopped = run_in_child(make_and_train, out, callbacks=[callback], **BEST)
            assert stopped.error.startswith("KeyboardInterrupt"), (name, stopped.printed)
            after = run_in_child(make_and_train, out, resume=True, **BEST)
        mode = "training" if stopped.training else "eval"
        yield (
            name,
            mode == "eval" and has_same_bits(after, get_undisturbed(**BEST)),
            f"at step {stopped.step}, model in {mode} mode; "
            f"resumed: {describe_resume(after, get_undisturbed(**BEST))}",
        )


def try_reruns():
    """Run the cell again. Passed: it starts from the first weights (same bits) or raises,
    and the files of the earlier run are unchanged."""

    def cells(first, second, out):
        "Return both results, and the files that the second changed or removed"
        one, then = first(), hash_files(out)
        two, now = second(), hash_files(out)
        return {
            "error": None,
            "one": one,
            "two": two,
            "touched": [name for name in then if then[name] != now.get(name)],
        }

    def same_trainer(out):
        trainer = make_trainer(out)
        return cells(lambda: train_and_describe(trainer), lambda: train_and_describe(trainer), out)

    def same_model(out):
        model, _ = load_model_and_tokenizer()
        return cells(
            lambda: make_and_train(out, model=model), lambda: make_and_train(out.with_name("second"), model=model), out
        )

    def after_stop(out):
        trainer = make_trainer(out, callbacks=[ActAtStep("on_step_end", KILL, make_sender(signal.SIGINT))])
        return cells(lambda: train_and_describe(trainer), lambda: train_and_describe(trainer), out)

    def cell(second="out", resume=None, **settings):
        return lambda out: cells(
            lambda: make_and_train(out), lambda: make_and_train(out.with_name(second), resume, **settings), out
        )

    cases = {
        "trainer.train() again": (same_trainer, {}),
        "trainer.train() again after the stop button": (after_stop, {}),
        "new Trainer, same model, other output_dir": (same_model, {}),
        "new model, other output_dir": (cell("second"), {}),
        "new model, same output_dir": (cell(), {}),
        "other seed, same output_dir": (cell(seed=1), {"seed": 1}),
        "fewer epochs and save_total_limit=2, same output_dir": (
            cell(num_train_epochs=1, save_total_limit=2),
            {"num_train_epochs": 1, "save_total_limit": 2},
        ),
        "other seed, same output_dir, resume_from_checkpoint=True": (cell(resume=True, seed=1), {"seed": 1}),
    }
    for name, (work, settings) in cases.items():
        with temporary_folder() as out:
            done = run_in_child(work, out)
            assert done.error is None, done.printed
        two, asked = SimpleNamespace(**done.two), get_undisturbed(**settings)
        right = two.error is not None or has_same_bits(two, asked)
        what = (
            "no error, but the model is that of the first run"
            if not right and two.weights == done.one["weights"]
            else describe_resume(two, asked)
        )
        yield (
            name,
            right and not done.touched,
            f"second run: {what}; {len(done.touched)} files of the first changed or removed",
        )


def try_full_disks():
    """Fill the disk in a save. Passed: the error is about space or bytes, and with free space again a run resumed from
    the previous checkpoint, named by hand, ends at the same bits."""
    with temporary_folder() as out:
        sizes = [p.stat().st_size for p in copy_checkpoints(out).iterdir()]

    def judge(out, stopped):
        previous = list_checkpoints(out)[-2]
        names_space = re.search(r"space|disk|too large|\d (bytes|[kKMG]i?B)\b", stopped.error, re.IGNORECASE)
        by_itself = run_in_child(make_and_train, out, resume=True)
        by_hand = run_in_child(make_and_train, out, resume=str(previous))
        ends = (
            f"resume_from_checkpoint=True: {describe_resume(by_itself, get_undisturbed())}; "
            f"{previous.name} named by hand: {describe_resume(by_hand, get_undisturbed())}"
        )
        passed = bool(names_space) and has_same_bits(by_hand, get_undisturbed())
        return passed, f"step {stopped.step}: {shorten(stopped.error)}; {ends}"

    for times in (1.02, 1.3, 1.6, 1.9, 2.25, 2.5):
        with temporary_folder() as out:
            out.mkdir()
            options = f"size={int(sum(sizes) * times) // 4096 * 4}k"
            if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", out], capture_output=True).returncode:
                limit = int(max(sizes) * (times % 1))  # no mount allowed: from step 12 on no file may grow over this
                stopped = run_in_child(
                    make_and_train,
                    out,
                    callbacks=[
                        ActAtStep(
                            "on_step_begin", 12, lambda **_: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
                        )
                    ],
                )
                yield f"files limited to {limit} bytes (RLIMIT_FSIZE)", *judge(out, stopped)
                continue
            try:
                stopped = run_in_child(make_and_train, out)
                subprocess.run(["mount", "-o", "remount,size=1g", out], check=True)
                yield f"tmpfs with room for {times:g} checkpoints", *judge(out, stopped)
            finally:
                subprocess.run(["umount", out], check=True)


def try_secrets():
    "Train with secrets in the process. Passed: none is in a file of output_dir (checkpoints, save_model, model card)."
    names = ("hub_token", "HF_TOKEN", "WANDB_API_KEY", "netrc", ".env", "password in a URL")
    canary = {name: f"hf_{hashlib.sha256(name.encode()).hexdigest()[:30]}" for name in names}

    def work(out):
        home = out.parent / "home"
        home.mkdir()
        (home / ".netrc").write_text(f"machine huggingface.co login me password {canary['netrc']}\n")
        (home / ".env").write_text(f"KEY={canary['.env']}\n")
        os.environ.update({"HOME": str(home), "HTTPS_PROXY": f"http://me:{canary['password in a URL']}@localhost:9"})
        os.environ.update({name: canary[name] for name in ("HF_TOKEN", "WANDB_API_KEY")})
        os.chdir(home)
        trainer = make_trainer(out, hub_token=canary["hub_token"])
        trainer.train()
        trainer.save_model(str(out))
        trainer.save_state()
        trainer.create_model_card()
        return describe_result(trainer)

    with temporary_folder() as out:
        done = run_in_child(work, out)
        assert done.error is None, done.printed
        content = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    for name in names:
        found = [file for file, data in content.items() if canary[name].encode() in data]
        yield (
            name,
            not found,
            f"in the clear in {len(found)} files: {sorted({Path(f).name for f in found})[0]}"
            if found
            else f"in none of {len(content)} files",
        )


def try_ends():
    """End a run in several ways. Passed: the exit code is right, and a file on disk has the end.
    The last trainer_state.json counts if it has all steps done."""

    def terminate(**_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(3.5)  # the handler waits for 3 s

    cases = {
        "finished": ({}, (0,)),
        "exception in step 23": (
            {"callbacks": [ActAtStep("on_step_begin", 22, make_raiser(ValueError("bad row")))]},
            (1,),
        ),
        "SIGINT": ({"callbacks": [ActAtStep("on_step_end", KILL, make_sender(signal.SIGINT))]}, (-signal.SIGINT,)),
        "SIGTERM": ({"callbacks": [ActAtStep("on_step_end", KILL, make_sender(signal.SIGTERM))]}, (-signal.SIGTERM,)),
        "SIGTERM, enable_jit_checkpoint": (
            {"enable_jit_checkpoint": True, "callbacks": [ActAtStep("on_step_end", KILL, terminate)]},
            (143, -signal.SIGTERM),
        ),
        "SIGKILL": ({"callbacks": [ActAtStep("on_step_end", KILL, make_sender(signal.SIGKILL))]}, (-signal.SIGKILL,)),
    }
    for name, (settings, codes) in cases.items():
        with temporary_folder() as out:
            done = run_in_child(
                lambda out, **settings: make_trainer(out, **settings).train().metrics,
                out,
                ends=(0, *codes),
                **settings,
            )
            records = [p.name for p in out.iterdir() if p.is_file()]
            last = list_checkpoints(out)[-1]
            state = read_state(last)
        complete = state.global_step == state.max_steps
        record = f"{last.name} says {state.global_step} of {state.max_steps} steps"
        record += "" if complete else f"; next to the checkpoints: {', '.join(records) or 'no record of the end'}"
        code = 128 - done.code if done.code < 0 else done.code
        yield name, done.code in codes and (complete or bool(records)), f"exit code {code}; {record}"


def try_seeds():
    "Train again with the same seed. Passed: same weights as in the first run."

    def stray(out):
        trainer = make_trainer(out)
        torch.rand(1)
        return train_and_describe(trainer)

    def stray_before(out):
        torch.rand(1)
        return make_and_train(out)

    def second(out):
        make_and_train(out)
        return make_and_train(out.with_name("second"))

    def fresh(out):
        done = subprocess.run([sys.executable, __file__, HOME, out], capture_output=True, text=True)
        return SimpleNamespace(**json.loads(done.stdout.splitlines()[-1]))

    cases = {
        "another process, forked": (make_and_train, {}),
        "evaluation on": (make_and_train, EVAL),
        "progress bar on": (make_and_train, {"disable_tqdm": False}),
        "no checkpoints": (make_and_train, {"save_strategy": "no"}),
        "a torch.rand(1) before Trainer()": (stray_before, {}),
        "a torch.rand(1) between Trainer() and train()": (stray, {}),
        "second training in one process": (second, {}),
    }
    for name, (work, settings) in cases.items():
        with temporary_folder() as out:
            after = run_in_child(work, out, **settings)
        yield (
            name,
            after.error is None and after.weights == get_undisturbed().weights,
            describe_resume(after, get_undisturbed()),
        )
    for i in (1, 2):
        with temporary_folder() as out:
            after = fresh(out)
        yield (
            f"a process of its own, {i}",
            after.error is None and after.weights == get_undisturbed().weights,
            describe_resume(after, get_undisturbed()),
        )


def try_memory():
    """Run out of memory at 4 rows a batch, with auto_find_batch_size. Passed: the weights are those of a clean run
    with the smaller batch, and an update has as many rows as the settings ask for."""

    def work(out, error, step):
        short_of_memory = insert_before(
            GPT2ForSequenceClassification,
            "forward",
            make_raiser(error),
            lambda *_, **batch: len(batch["input_ids"]) > 3,
        )
        trainer = make_trainer(
            out, auto_find_batch_size=True, callbacks=[ActAtStep("on_step_begin", step - 1, short_of_memory)]
        )
        began, watch = [], TrainerCallback()
        watch.on_train_begin = lambda args, state, control, model, **_: began.append(hash_value(model.state_dict()))
        trainer.add_callback(watch)
        done = train_and_describe(trainer)
        return {
            **done,
            "batch": trainer.state.train_batch_size,
            "accumulation": trainer.args.gradient_accumulation_steps,
            "began": began,
        }

    for error in (RuntimeError("CUDA out of memory."), MemoryError("cannot allocate")):
        for step in (1, 7, 30):
            with temporary_folder() as out:
                after = run_in_child(work, out, error, step)
            name = f"{type(error).__name__} at step {step}"
            if after.error:
                yield name, False, f"not caught: {shorten(after.error)}"
                continue
            clean = (
                after.weights
                == get_undisturbed(
                    per_device_train_batch_size=after.batch, gradient_accumulation_steps=after.accumulation
                ).weights
            )
            rows_an_update = after.batch * after.accumulation
            began = "the first" if after.began[0] == after.began[-1] else "trained"
            warned = "with" if "batch size" in after.printed else "without"
            what = f"{rows_an_update} rows per update from then on, {warned} a warning; restarted from {began} weights"
            what += f", ended with {'those' if clean else 'others than those'} of a clean run with batch {after.batch}"
            yield name, clean and rows_an_update == 4, what


def try_best_models():
    "Use load_best_model_at_end. Passed: the returned model has the recorded best metric, or there is an error."

    def work(out, resume=None, **settings):
        trainer = make_trainer(out, **{**BEST, **settings})
        done = train_and_describe(trainer, resume)
        metric = (trainer.args.metric_for_best_model or "loss").removeprefix("eval_")
        values = [r[f"eval_{metric}"] for r in trainer.state.log_history if f"eval_{metric}" in r]
        return {
            **done,
            "values": values,
            "again": trainer.evaluate()[f"eval_{metric}"],
            "best_step": trainer.state.best_global_step,
        }

    def delete(state, **_):
        shutil.rmtree(state.best_model_checkpoint)

    def move(state, **_):
        shutil.move(state.best_model_checkpoint, Path(state.best_model_checkpoint).parent.parent / "elsewhere")

    calls = itertools.count(1)

    def rounded(predicted):
        return {
            "score": round(
                torch.nn.functional.cross_entropy(
                    torch.tensor(predicted.predictions), torch.tensor(predicted.label_ids)
                ).item(),
                1,
            )
        }

    def nan_once(predicted):
        return {"score": math.nan if next(calls) == 3 else float(np.abs(predicted.predictions).mean())}

    def judge(after):
        if after.error:
            return True, shorten(after.error)
        return (
            after.again == after.best,
            f"recorded {after.best:.6g} at step {after.best_step}, the model that comes back has {after.again:.6g}",
        )

    cases = {
        "nothing done to it": {},
        "deleted before the end": {"callbacks": [ActAtStep("on_step_begin", 46, delete)]},
        "moved before the end": {"callbacks": [ActAtStep("on_step_begin", 46, move)]},
        "a metric with ties": {"metrics": rounded, "metric_for_best_model": "score", "greater_is_better": False},
        "a metric that is NaN once": {
            "metrics": nan_once,
            "metric_for_best_model": "score",
            "greater_is_better": False,
        },
    }
    for name, settings in cases.items():
        with temporary_folder() as out:
            after = run_in_child(work, out, **settings)
        assert after.error or "ties" not in name or after.values.count(after.best) > 1
        assert after.error or "NaN" not in name or sum(map(math.isnan, after.values)) == 1
        yield name, *judge(after)
    for name in ("nothing done to it", "deleted", "moved", "run folder moved"):
        with temporary_folder() as out:
            kill_run(out, 33, **BEST)
            recorded = out / f"checkpoint-{read_state(list_checkpoints(out)[-1]).best_global_step}"
            if name == "deleted":
                shutil.rmtree(recorded)
            if name == "moved":
                recorded.rename(out.parent / "elsewhere")
            if name == "run folder moved":
                out = out.rename(out.with_name("moved"))
            yield f"killed, {name}, resumed", *judge(run_in_child(work, out, resume=True))


def try_sharing():
    """Share a run. Passed: weights are readable by others like any new file (umask 022), a killed run that is moved or
    oddly named resumes to the same bits, a read-only folder loads."""

    def saved(out):
        trainer = make_trainer(out)
        trainer.train()
        trainer.save_model(str(out / "model"))
        return describe_result(trainer)

    def loaded(path):
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            AutoModelForSequenceClassification.from_pretrained(path)
        except OSError as e:
            return {"error": f"{type(e).__name__}: {e}"}
        return {"error": None}

    with temporary_folder() as out:
        assert run_in_child(saved, out).error is None
        for name, path in (("a checkpoint", out / LAST), ("save_model", out / "model")):
            weights, config = [(path / file).stat().st_mode & 0o777 for file in ("model.safetensors", "config.json")]
            yield f"weights of {name}", weights == 0o644, f"model.safetensors {weights:04o}, config.json {config:04o}"
        read_only = HOME / "read-only"
        shutil.copytree(out / "model", read_only)
        for path in (*read_only.iterdir(), read_only):
            path.chmod(0o555 if path.is_dir() else 0o444)
        HOME.chmod(0o755)
        after = run_in_child(loaded, read_only)
        yield "a read-only folder, its files made readable by hand", after.error is None, shorten(after.error)
    for case, first, then in (
        ("moved after the kill", "out", "moved/deeper/out"),
        ("spaces and unicode in the name", "my run, für 模型 🙂", "my run, für 模型 🙂"),
        ("a path of over 200 characters", "long-" * 42, "long-" * 42),
    ):
        with temporary_folder() as out:
            kill_run(out.with_name(first))
            (out.parent / then).parent.mkdir(parents=True, exist_ok=True)
            out.with_name(first).rename(out.parent / then)
            after = run_in_child(make_and_train, out.parent / then, resume=True)
        yield case, has_same_bits(after, get_undisturbed()), describe_resume(after, get_undisturbed())


TABLE = {
    "killed": try_kills,
    "torn checkpoint": try_torn_checkpoints,
    "damaged checkpoint": try_damage,
    "not finite": try_nonfinite,
    "stopped": try_stops,
    "cell run again": try_reruns,
    "disk full": try_full_disks,
    "secrets": try_secrets,
    "exit status": try_ends,
    "same seed": try_seeds,
    "out of memory": try_memory,
    "best model": try_best_models,
    "run folder moved": try_sharing,
}


def write_tiny_gpt2():
    "Write the base model; in a child process, as that starts threads"
    from ftkit.starter import tiny_gpt2

    tiny_gpt2(HOME / "tiny")
    return {}


def describe_fault(fault: str) -> dict:
    "Return number, name and title of a fault"
    return {"figure": FIGURES[fault], "fault": fault, "title": FAULTS[fault]}


def main() -> None:
    "Try all faults, print and write the table"
    began, figures = time.monotonic(), []
    run_in_child(write_tiny_gpt2)
    for fault, work in TABLE.items():
        start = time.monotonic()
        cases = [{"case": case, "passed": bool(passed), "what": what} for case, passed, what in work()]
        passed, seconds = sum(c["passed"] for c in cases), round(time.monotonic() - start, 1)
        row = {**describe_fault(fault), "passed": passed, "of": len(cases), "seconds": seconds}
        figures.append({**row, "criterion": " ".join(work.__doc__.split()), "cases": cases})
        print(f"{FIGURES[fault]:>3}  {passed:>3} of {len(cases):<3}  {FAULTS[fault]}", flush=True)
        print(
            "\n".join(f"            {'passed' if c['passed'] else 'FAILED'}  {c['case']}: {c['what']}" for c in cases),
            flush=True,
        )
    packages = ("torch", "transformers", "accelerate", "peft", "safetensors", "tokenizers", "numpy")
    record = {
        "date": date.today().isoformat(),
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "seconds": round(time.monotonic() - began),
        "figures": figures,
        "not_applicable": [{**describe_fault(fault), "why": why} for fault, why in NOT_APPLICABLE.items()],
        "not_measured": [{**describe_fault(fault), "why": why} for fault, why in NOT_MEASURED.items()],
    }
    Path(__file__).with_suffix(".json").write_text(
        json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    print(f"{sum(f['passed'] for f in figures)} of {sum(f['of'] for f in figures)} in {record['seconds']} s")


if __name__ == "__main__":
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in background jobs of a shell
    if len(sys.argv) > 2:
        print(json.dumps(make_and_train(sys.argv[2])))
    else:
        try:
            main()
        finally:
            shutil.rmtree(HOME)
