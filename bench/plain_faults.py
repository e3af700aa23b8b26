"""What happens in plain Transformers when the faults of tests/figures.py are done to it: the table beside ftkit's.

    .venv/bin/python bench/plain_faults.py

A two-layer GPT-2 classifier (`tiny_gpt2`, dropout 0.1), 64 rows, batch 4, 48 steps, a checkpoint every 5, one thread, the Trainer as its
documentation shows it. Each training is a process of its own, forked from one that has only imported the libraries; kills and signals are real and come
at an exact step. "Same bits" means: sha256 of the weights, sha256 of the optimizer's state and the loss of every step are those of the run
that nobody disturbed. Resuming means `Trainer.train(resume_from_checkpoint=True)` in a new process. What counts as passed stands in each function's
docstring and in the result. Printed and written to bench/plain_faults.json.
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
from figures import TITLES

HOME = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="plain-faults-"))
STEPS, SAVE, KILL, LAST, BEFORE = (
    48,
    5,
    23,
    "checkpoint-20",
    "checkpoint-15",
)  # killed at 23, the newest checkpoint is that of step 20
WORDS = {
    "bad": "late broken cold rude lost noisy",
    "flat": "opens closes monday street number hall",
    "good": "warm bright lovely kind fresh quick",
}
FILLER = "the a bus bread library today again this room with its very new old small".split()
EVAL = {"eval_strategy": "steps", "eval_steps": SAVE}
BEST = {**EVAL, "load_best_model_at_end": True}
VARIANTS = {  # settings, steps at which it is killed: epoch 1, mid-epoch 2, first step after a save
    "random order": ({}, (13, 23, 36)),
    "group_by_length": ({"train_sampling_strategy": "group_by_length"}, (13, 23, 36)),
    "2 workers": ({"dataloader_num_workers": 2}, (13, 23, 36)),
    "accumulation 2": ({"gradient_accumulation_steps": 2, "num_train_epochs": 6}, (7, 13, 36)),
    "LoRA": ({"lora": True}, (13, 23, 36)),
    "noise collator": ({"noise": True}, (13, 23, 36)),
    "evaluation and best model": (BEST, (13, 23, 36)),
    "early stopping": ({**BEST, "patience": 4}, (13, 23, 36)),  # it stops at 45
}
NOT_APPLICABLE = {
    12: "The Trainer makes no view of data: its only HTML is the notebook's table of metrics.",
    13: "The Trainer takes any path as output_dir; there are no names of runs to refuse.",
    20: "There is no command that predicts a file.",
    22: "There are no records of a run that another process is meant to read while it is written.",
    23: "There is no lock and no rerun: two processes may write into one output_dir.",
}
NOT_MEASURED = {
    11: "It applies, but was not measured here: most of it is decided by the versions of torch and safetensors.",
    19: "It applies, but was not measured here: the answer depends on the code that a person writes around the tokenizer.",
}


# What a user writes, and what is looked at afterwards


def rows(n: int, seed: int, noisy: bool = False) -> list[dict]:
    "Short texts of three labels, 4 to 24 words; noisy: the labels are drawn by lot, so that the evaluation soon gets worse"
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
    "Replaces tokens at random, drawing from torch's global generator as DataCollatorForLanguageModeling does"

    def __call__(self, features):
        batch = super().__call__(features)
        drawn = torch.rand(batch["input_ids"].shape) < 0.1
        batch["input_ids"] = torch.where(drawn, torch.randint(1, 300, drawn.shape), batch["input_ids"])
        return batch


def model_and_tokenizer(lora: bool = False):
    "The tiny GPT-2 with a new head"
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


def make(
    out, callbacks=(), model=None, lora=False, noise=False, patience=0, labels=None, metrics=None, **settings
) -> Trainer:
    "A Trainer as the documentation shows it"
    new, tokenizer = model_and_tokenizer(lora)
    data = [
        [{**tokenizer(r["text"]), "labels": r["label"] if labels is None else labels} for r in part]
        for part in (rows(64, 0), rows(16, 1, noisy=True))
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


def digest(value) -> str:
    "sha256 of numbers and tensors, however nested"
    if isinstance(value, dict):
        value = repr([(str(k), digest(value[k])) for k in sorted(value, key=str)])
    elif isinstance(value, (list, tuple)):
        value = repr([digest(v) for v in value])
    return hashlib.sha256(
        value.contiguous().numpy().tobytes() if torch.is_tensor(value) else repr(value).encode()
    ).hexdigest()


def report(trainer: Trainer, error: str | None = None) -> dict:
    "What is left after training"
    weights = trainer.model.state_dict()
    return {
        "error": error,
        "weights": digest(weights),
        "optimizer": digest(trainer.optimizer.state_dict()) if trainer.optimizer else None,
        "losses": [[r["step"], r["loss"]] for r in trainer.state.log_history if "loss" in r],
        "step": trainer.state.global_step,
        "best": trainer.state.best_metric,
        "finite": all(bool(torch.isfinite(w).all()) for w in weights.values()),
        "training": trainer.model.training,
    }


def train(trainer: Trainer, resume=None) -> dict:
    "Train, as in a notebook: an error or Ctrl-C ends the cell, not the process"
    try:
        trainer.train(resume_from_checkpoint=resume)
    except (Exception, KeyboardInterrupt) as e:
        traceback.print_exc()
        return report(trainer, " ".join(f"{type(e).__name__}: {e}".split()))
    return report(trainer)


def run(out, resume=None, **settings) -> dict:
    "The whole cell"
    return train(make(out, **settings), resume)


def child(work, *args, ends=(0,), **settings) -> SimpleNamespace:
    "Do it in a process of its own: exit code (negative: the signal that ended it; any other than `ends` is this script's fault), what it returned, what it printed"
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


def same(a, b) -> bool:
    "Weights, optimizer and losses"
    return a.error is None and all(getattr(a, k) == getattr(b, k) for k in ("weights", "optimizer", "losses"))


def short(error: str | None) -> str:
    "An error's first words, without the paths of this machine"
    text = re.sub(rf"{re.escape(str(HOME))}(/tmp\w+)?", "…", error or "no error")
    return text if len(text) <= 130 else text[:129] + "…"


def told(after, whole) -> str:
    "How a resumed run ended"
    if after.error:
        return short(after.error)
    apart = next((a[0] for a, b in zip(after.losses, whole.losses) if a != b), None)
    differ = [k for k in ("weights", "optimizer", "losses") if getattr(after, k) != getattr(whole, k)]
    return (
        "same bits"
        if not differ
        else f"no error, other {' and '.join(differ)}" + (f", the first other loss at step {apart}" if apart else "")
    )


@contextmanager
def folder():
    "A new folder, removed afterwards"
    path = Path(tempfile.mkdtemp(dir=HOME)) / "out"
    yield path
    shutil.rmtree(path.parent)


def files(path: Path) -> dict:
    "sha256 of every file below a folder"
    return {
        p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(path.rglob("*"))
        if p.is_file()
    }


def checkpoints(path: Path) -> list[Path]:
    "By step"
    return sorted(path.glob("checkpoint-*"), key=lambda p: int(p.name[11:]))


def state_of(checkpoint: Path) -> TrainerState:
    "What trainer_state.json says"
    return TrainerState.load_from_json(checkpoint / "trainer_state.json")


# How a fault is done at an exact place


class At(TrainerCallback):
    "Does something once: at one event, when so many steps are done"

    def __init__(self, event, step, act):
        self.step, self.act = step, act
        setattr(self, event, self.fire)

    def fire(self, args, state, control, **kwargs):
        if state.global_step == self.step and self.act:
            act, self.act = self.act, None
            act(state=state, **kwargs)


def send(number):
    "A real signal to the process itself"
    return lambda **_: os.kill(os.getpid(), number)


def fail(error: Exception):
    "An exception"

    def act(**_):
        raise error

    return act


def before(owner, name, act, when=lambda *args, **kwargs: True):
    "From now on, in this process, owner.name is preceded by act"

    def arm(**_):
        original = getattr(owner, name)

        def wrapped(*args, **kwargs):
            if when(*args, **kwargs):
                act()
            return original(*args, **kwargs)

        setattr(owner, name, wrapped)

    return arm


def before_file(name, act):
    "At step 20: act instead of writing this file of the checkpoint"
    if name == "trainer_state.json":
        arm = before(TrainerState, "save_to_json", act)
    else:
        arm = before(torch, "save", act, lambda value, path, **_: Path(path).name == name)
    return At("on_step_begin", 19, arm)


def killed(out, step=KILL, **settings) -> None:
    "A run that got SIGKILL in the step"
    child(run, out, ends=(-signal.SIGKILL,), callbacks=[At("on_step_end", step, send(signal.SIGKILL))], **settings)


WHOLE = {}


def whole(**settings) -> SimpleNamespace:
    "The run that nobody disturbed, made once"
    key = json.dumps(settings, sort_keys=True)
    if key not in WHOLE:
        with folder() as out:
            WHOLE[key] = child(run, out, **settings)
        assert WHOLE[key].error is None, WHOLE[key].printed
    return WHOLE[key]


def damaged(out):
    "A copy of the checkpoints of one killed run, to do damage to"
    if not (HOME / "killed").exists():
        killed(HOME / "killed")
    for name in (BEFORE, LAST):
        shutil.copytree(HOME / "killed" / name, out / name)
    return out / LAST


def resumed(out) -> tuple[SimpleNamespace, str]:
    "What came of a damaged checkpoint, and whether anything was said about it"
    after = child(run, out, resume=True)
    return after, told(after, whole()) + (
        "" if after.error else ", and said" if LAST in after.printed else ", nothing said"
    )


# The rows of the table: each yields (case, passed, what was seen)


def kills():
    "SIGKILL, then resumed in a new process: same bits."
    for name, (settings, steps) in VARIANTS.items():
        for step in steps:
            with folder() as out:
                killed(out, step, **settings)
                shutil.copytree(out, out.with_name("copy"))
                after = child(run, out, resume=True, **settings)
                what = told(after, whole(**settings))
                if "patience" in settings and not same(after, whole(**settings)):
                    again = child(
                        run,
                        out.with_name("copy"),
                        resume=True,
                        restore_callback_states_from_checkpoint=True,
                        **settings,
                    )
                    what += f", stopped at step {after.step} and not {whole(**settings).step}"
                    what += f"; with restore_callback_states_from_checkpoint=True: {told(again, whole(**settings))}"
            yield f"{name}, killed at step {step}", same(after, whole(**settings)), what


def torn():
    """Newest checkpoint half-written: resume falls back to the one before, names the one it skipped, and ends at the same bits.
    A crash is not enough, nor is going on in silence."""

    def judged(out):
        after, what = resumed(out)
        return same(after, whole()) and LAST in after.printed, what

    with folder() as out:
        names = sorted(p.name for p in damaged(out).iterdir())
    for name in names:
        for part in (0, 50):
            with folder() as out:
                file = damaged(out) / name
                os.truncate(file, file.stat().st_size * part // 100)
                yield f"{name} cut to {part} %", *judged(out)
    with folder() as out:
        shutil.rmtree(damaged(out))
        (out / LAST).mkdir()
        yield "directory empty", *judged(out)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"):
        with folder() as out:
            child(run, out, ends=(-signal.SIGKILL,), callbacks=[before_file(name, send(signal.SIGKILL))])
            assert (out / LAST).is_dir() and not (out / LAST / name).exists()
            yield f"SIGKILL in the save, before {name}", *judged(out)


def damage():
    "A bit flipped or a file gone: refused loudly (a crash counts), or fallen back, or of no consequence (same bits). Not passed: other weights in silence."

    def judged(out):
        after, what = resumed(out)
        return after.error is not None or same(after, whole()), what

    with folder() as out:
        names = sorted(p.name for p in damaged(out).iterdir())
    for name in names:
        with folder() as out:
            file = damaged(out) / name
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
            yield f"{name}, a bit flipped in the middle", *judged(out)
    for name in names:
        with folder() as out:
            (damaged(out) / name).unlink()
            yield f"{name} deleted", *judged(out)


def nonfinite():
    "Stops within a step with an error, before the update (finite weights), with no 0.0 in the log."

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
    cases = {f"{name} at step 20": {"callbacks": [At("on_step_begin", 19, act)]} for name, act in injected.items()} | {
        "all labels -100": {"labels": -100},
        "learning rate 1e6": {"learning_rate": 1e6},
        "learning rate 1e6, SGD without clipping": {"learning_rate": 1e6, "optim": "sgd", "max_grad_norm": 0.0},
    }
    for name, settings in cases.items():
        with folder() as out:
            after = child(run, out, **settings)
        zeros = sum(loss == 0 for _, loss in after.losses)
        passed = after.error is not None and (after.finite or "in the weights" in name) and not zeros
        finite = "finite" if after.finite else "not finite"
        yield (
            name,
            passed,
            f"{short(after.error)}, {after.step} of {STEPS} steps, loss 0.0 logged {zeros} times, weights {finite}",
        )


def stops():
    "SIGINT: the model is left in eval mode, and resuming ends at the same bits."
    act = send(signal.SIGINT)

    def from_step(owner, name):
        return At("on_step_begin", 19, before(owner, name, act))

    moments = {
        "while a batch is collated": At("on_step_end", 17, before(DataCollatorWithPadding, "__call__", act)),
        "in the forward pass": from_step(GPT2ForSequenceClassification, "forward"),
        "in the backward pass": from_step(torch.Tensor, "backward"),
        "before the update": At("on_pre_optimizer_step", 22, act),
        "after the update": At("on_optimizer_step", 22, act),
        "at the end of a step": At("on_step_end", 23, act),
        "in the evaluation": At("on_prediction_step", 20, act),
        "in the save, before optimizer.pt": before_file("optimizer.pt", act),
        "in the save, before rng_state.pth": before_file("rng_state.pth", act),
        "in the save, before trainer_state.json": before_file("trainer_state.json", act),
        "between two epochs": At("on_epoch_end", 32, act),
        "at the end of the training": At("on_train_end", STEPS, act),
    }
    for name, callback in moments.items():
        with folder() as out:
            stopped = child(run, out, callbacks=[callback], **BEST)
            assert stopped.error.startswith("KeyboardInterrupt"), (name, stopped.printed)
            after = child(run, out, resume=True, **BEST)
        mode = "training" if stopped.training else "eval"
        yield (
            name,
            mode == "eval" and same(after, whole(**BEST)),
            f"at step {stopped.step}, model in {mode} mode; resumed: {told(after, whole(**BEST))}",
        )


def reruns():
    "The cell run again: it starts from the first weights (same bits) or refuses, and the files of the earlier run are what they were."

    def cells(first, second, out):
        "The two reports, and the files that the second changed or removed"
        one, then = first(), files(out)
        two, now = second(), files(out)
        return {
            "error": None,
            "one": one,
            "two": two,
            "touched": [name for name in then if then[name] != now.get(name)],
        }

    def same_trainer(out):
        trainer = make(out)
        return cells(lambda: train(trainer), lambda: train(trainer), out)

    def same_model(out):
        model, _ = model_and_tokenizer()
        return cells(lambda: run(out, model=model), lambda: run(out.with_name("second"), model=model), out)

    def after_stop(out):
        trainer = make(out, callbacks=[At("on_step_end", KILL, send(signal.SIGINT))])
        return cells(lambda: train(trainer), lambda: train(trainer), out)

    def cell(second="out", resume=None, **settings):
        return lambda out: cells(lambda: run(out), lambda: run(out.with_name(second), resume, **settings), out)

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
        with folder() as out:
            done = child(work, out)
            assert done.error is None, done.printed
        two, asked = SimpleNamespace(**done.two), whole(**settings)
        right = two.error is not None or same(two, asked)
        what = (
            "no error, but the first run's model came back"
            if not right and two.weights == done.one["weights"]
            else told(two, asked)
        )
        yield (
            name,
            right and not done.touched,
            f"second run: {what}; {len(done.touched)} files of the first changed or removed",
        )


def disk_full():
    "The disk fills up in a save: the error speaks of space or bytes, and with space again the checkpoint before it, named by hand, resumes to the same bits."
    with folder() as out:
        sizes = [p.stat().st_size for p in damaged(out).iterdir()]

    def judged(out, stopped):
        previous = checkpoints(out)[-2]
        said = re.search(r"space|disk|too large|\d (bytes|[kKMG]i?B)\b", stopped.error, re.IGNORECASE)
        by_itself = child(run, out, resume=True)
        by_hand = child(run, out, resume=str(previous))
        ends = f"resume_from_checkpoint=True: {told(by_itself, whole())}; {previous.name} named by hand: {told(by_hand, whole())}"
        return bool(said) and same(by_hand, whole()), f"step {stopped.step}: {short(stopped.error)}; {ends}"

    for times in (1.02, 1.3, 1.6, 1.9, 2.25, 2.5):
        with folder() as out:
            out.mkdir()
            options = f"size={int(sum(sizes) * times) // 4096 * 4}k"
            if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", out], capture_output=True).returncode:
                limit = int(max(sizes) * (times % 1))  # no mount allowed: from step 12 on no file may grow over this
                stopped = child(
                    run,
                    out,
                    callbacks=[
                        At("on_step_begin", 12, lambda **_: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
                    ],
                )
                yield f"files limited to {limit} bytes (RLIMIT_FSIZE)", *judged(out, stopped)
                continue
            try:
                stopped = child(run, out)
                subprocess.run(["mount", "-o", "remount,size=1g", out], check=True)
                yield f"tmpfs with room for {times:g} checkpoints", *judged(out, stopped)
            finally:
                subprocess.run(["umount", out], check=True)


def secrets():
    "A secret that the process holds is in no file of output_dir (checkpoints, save_model, model card)."
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
        trainer = make(out, hub_token=canary["hub_token"])
        trainer.train()
        trainer.save_model(str(out))
        trainer.save_state()
        trainer.create_model_card()
        return report(trainer)

    with folder() as out:
        done = child(work, out)
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


def ends():
    "The exit code is that of the end, and a record on disk tells the end. The last trainer_state.json counts as a record where it says that all steps are done."

    def terminate(**_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(3.5)  # the handler waits for 3 s

    cases = {
        "finished": ({}, (0,)),
        "exception in step 23": ({"callbacks": [At("on_step_begin", 22, fail(ValueError("bad row")))]}, (1,)),
        "SIGINT": ({"callbacks": [At("on_step_end", KILL, send(signal.SIGINT))]}, (-signal.SIGINT,)),
        "SIGTERM": ({"callbacks": [At("on_step_end", KILL, send(signal.SIGTERM))]}, (-signal.SIGTERM,)),
        "SIGTERM, enable_jit_checkpoint": (
            {"enable_jit_checkpoint": True, "callbacks": [At("on_step_end", KILL, terminate)]},
            (143, -signal.SIGTERM),
        ),
        "SIGKILL": ({"callbacks": [At("on_step_end", KILL, send(signal.SIGKILL))]}, (-signal.SIGKILL,)),
    }
    for name, (settings, codes) in cases.items():
        with folder() as out:
            done = child(
                lambda out, **settings: make(out, **settings).train().metrics, out, ends=(0, *codes), **settings
            )
            records = [p.name for p in out.iterdir() if p.is_file()]
            last = checkpoints(out)[-1]
            state = state_of(last)
        complete = state.global_step == state.max_steps
        record = f"{last.name} says {state.global_step} of {state.max_steps} steps"
        record += (
            "" if complete else f"; beside the checkpoints: {', '.join(records) or 'nothing that says how it ended'}"
        )
        code = 128 - done.code if done.code < 0 else done.code
        yield name, done.code in codes and (complete or bool(records)), f"exit code {code}; {record}"


def seeds():
    "Same seed, same weights as in the first run."

    def stray(out):
        trainer = make(out)
        torch.rand(1)
        return train(trainer)

    def stray_before(out):
        torch.rand(1)
        return run(out)

    def second(out):
        run(out)
        return run(out.with_name("second"))

    def fresh(out):
        done = subprocess.run([sys.executable, __file__, HOME, out], capture_output=True, text=True)
        return SimpleNamespace(**json.loads(done.stdout.splitlines()[-1]))

    cases = {
        "another process, forked": (run, {}),
        "evaluation on": (run, EVAL),
        "progress bar on": (run, {"disable_tqdm": False}),
        "no checkpoints": (run, {"save_strategy": "no"}),
        "a torch.rand(1) before Trainer()": (stray_before, {}),
        "a torch.rand(1) between Trainer() and train()": (stray, {}),
        "second training in one process": (second, {}),
    }
    for name, (work, settings) in cases.items():
        with folder() as out:
            after = child(work, out, **settings)
        yield name, after.error is None and after.weights == whole().weights, told(after, whole())
    for i in (1, 2):
        with folder() as out:
            after = fresh(out)
        yield (
            f"a process of its own, {i}",
            after.error is None and after.weights == whole().weights,
            told(after, whole()),
        )


def memory():
    """auto_find_batch_size, memory ends with 4 rows a batch: the run goes on with fewer to the weights of a clean run with so few,
    and as many rows go into an update as were asked for."""

    def work(out, error, step):
        short_of_memory = before(
            GPT2ForSequenceClassification, "forward", fail(error), lambda *_, **batch: len(batch["input_ids"]) > 3
        )
        trainer = make(out, auto_find_batch_size=True, callbacks=[At("on_step_begin", step - 1, short_of_memory)])
        began, watch = [], TrainerCallback()
        watch.on_train_begin = lambda args, state, control, model, **_: began.append(digest(model.state_dict()))
        trainer.add_callback(watch)
        done = train(trainer)
        return {
            **done,
            "batch": trainer.state.train_batch_size,
            "accumulation": trainer.args.gradient_accumulation_steps,
            "began": began,
        }

    for error in (RuntimeError("CUDA out of memory."), MemoryError("cannot allocate")):
        for step in (1, 7, 30):
            with folder() as out:
                after = child(work, out, error, step)
            name = f"{type(error).__name__} at step {step}"
            if after.error:
                yield name, False, f"not caught: {short(after.error)}"
                continue
            clean = (
                after.weights
                == whole(
                    per_device_train_batch_size=after.batch, gradient_accumulation_steps=after.accumulation
                ).weights
            )
            rows_an_update = after.batch * after.accumulation
            began = "the first" if after.began[0] == after.began[-1] else "trained"
            what = f"{rows_an_update} rows an update from then on, {'said' if 'batch size' in after.printed else 'nothing said'}; began again from {began} weights"
            what += f", ended with {'those' if clean else 'others than those'} of a clean run with {after.batch} rows a batch"
            yield name, clean and rows_an_update == 4, what


def best():
    "load_best_model_at_end: the model that comes back is evaluated to the recorded best metric, or there is an error."

    def work(out, resume=None, **settings):
        trainer = make(out, **{**BEST, **settings})
        done = train(trainer, resume)
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

    def judged(after):
        if after.error:
            return True, short(after.error)
        return (
            after.again == after.best,
            f"recorded {after.best:.6g} at step {after.best_step}, the model that comes back has {after.again:.6g}",
        )

    cases = {
        "nothing done to it": {},
        "deleted before the end": {"callbacks": [At("on_step_begin", 46, delete)]},
        "moved before the end": {"callbacks": [At("on_step_begin", 46, move)]},
        "a metric with ties": {"metrics": rounded, "metric_for_best_model": "score", "greater_is_better": False},
        "a metric that is NaN once": {
            "metrics": nan_once,
            "metric_for_best_model": "score",
            "greater_is_better": False,
        },
    }
    for name, settings in cases.items():
        with folder() as out:
            after = child(work, out, **settings)
        assert after.error or "ties" not in name or after.values.count(after.best) > 1
        assert after.error or "NaN" not in name or sum(map(math.isnan, after.values)) == 1
        yield name, *judged(after)
    for name in ("nothing done to it", "deleted", "moved", "the whole folder moved"):
        with folder() as out:
            killed(out, 33, **BEST)
            recorded = out / f"checkpoint-{state_of(checkpoints(out)[-1]).best_global_step}"
            if name == "deleted":
                shutil.rmtree(recorded)
            if name == "moved":
                recorded.rename(out.parent / "elsewhere")
            if name == "the whole folder moved":
                out = out.rename(out.with_name("moved"))
            yield f"killed, {name}, resumed", *judged(child(work, out, resume=True))


def share():
    """Weights can be read by others as any new file (umask 022); a killed run that is moved or oddly named resumes to the same bits;
    a read-only folder can be loaded."""

    def saved(out):
        trainer = make(out)
        trainer.train()
        trainer.save_model(str(out / "model"))
        return report(trainer)

    def loaded(path):
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            AutoModelForSequenceClassification.from_pretrained(path)
        except OSError as e:
            return {"error": f"{type(e).__name__}: {e}"}
        return {"error": None}

    with folder() as out:
        assert child(saved, out).error is None
        for name, path in (("a checkpoint", out / LAST), ("save_model", out / "model")):
            weights, config = [(path / file).stat().st_mode & 0o777 for file in ("model.safetensors", "config.json")]
            yield f"weights of {name}", weights == 0o644, f"model.safetensors {weights:04o}, config.json {config:04o}"
        read_only = HOME / "read-only"
        shutil.copytree(out / "model", read_only)
        for path in (*read_only.iterdir(), read_only):
            path.chmod(0o555 if path.is_dir() else 0o444)
        HOME.chmod(0o755)
        after = child(loaded, read_only)
        yield "a read-only folder, its files made readable by hand", after.error is None, short(after.error)
    for case, first, then in (
        ("moved after the kill", "out", "moved/deeper/out"),
        ("spaces and unicode in the name", "my run, für 模型 🙂", "my run, für 模型 🙂"),
        ("a path of over 200 characters", "long-" * 42, "long-" * 42),
    ):
        with folder() as out:
            killed(out.with_name(first))
            (out.parent / then).parent.mkdir(parents=True, exist_ok=True)
            out.with_name(first).rename(out.parent / then)
            after = child(run, out.parent / then, resume=True)
        yield case, same(after, whole()), told(after, whole())


TABLE = {
    1: kills,
    2: torn,
    3: damage,
    6: nonfinite,
    7: stops,
    8: reruns,
    9: disk_full,
    10: secrets,
    14: ends,
    15: seeds,
    21: memory,
    24: best,
    25: share,
}


def tiny():
    "Write the model that all start from; in a child, since it starts threads"
    from ftkit.starter import tiny_gpt2

    tiny_gpt2(HOME / "tiny")
    return {}


def main() -> None:
    "Measure, print and write"
    began, figures = time.monotonic(), []
    child(tiny)
    for number, work in TABLE.items():
        start = time.monotonic()
        cases = [{"case": case, "passed": bool(passed), "what": what} for case, passed, what in work()]
        passed, seconds = sum(c["passed"] for c in cases), round(time.monotonic() - start, 1)
        row = {"figure": number, "title": TITLES[number], "passed": passed, "of": len(cases), "seconds": seconds}
        figures.append({**row, "criterion": " ".join(work.__doc__.split()), "cases": cases})
        print(f"{number:>3}  {passed:>3} of {len(cases):<3}  {TITLES[number]}", flush=True)
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
        "not_applicable": [{"figure": n, "title": TITLES[n], "why": why} for n, why in NOT_APPLICABLE.items()],
        "not_measured": [{"figure": n, "title": TITLES[n], "why": why} for n, why in NOT_MEASURED.items()],
    }
    Path(__file__).with_suffix(".json").write_text(
        json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    print(f"{sum(f['passed'] for f in figures)} of {sum(f['of'] for f in figures)} in {record['seconds']} s")


if __name__ == "__main__":
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    if len(sys.argv) > 2:
        print(json.dumps(run(sys.argv[2])))
    else:
        try:
            main()
        finally:
            shutil.rmtree(HOME)
