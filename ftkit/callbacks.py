"What happens beside the training: the log, the checkpoints, and what a person sees."

import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import TrainerCallback

from ftkit.checkpoints import STAGING, commit, prune
from ftkit.errors import NotFinite
from ftkit.views import LiveChart, in_notebook


class RunLog(TrainerCallback):
    "Every logged step as a line of log.jsonl"

    def __init__(self, run):
        self.run, self.training = run, False

    def on_train_begin(self, args, state, control, **kwargs):
        "What is logged from here on belongs to the curve"
        self.training = True

    def on_log(self, args, state, control, logs=None, **kwargs):
        "Numbers as the Trainer logs them"
        if self.training and "train_runtime" not in logs:  # its train_loss is wrong after a resume: the curve is in the other lines
            self.run.log(step=state.global_step, **logs)

    def on_train_end(self, args, state, control, **kwargs):
        "A later evaluation is no part of the curve"
        self.training = False


class Checkpoints(TrainerCallback):
    "Turns what the Trainer has written into whole checkpoints, and keeps the newest and the best"

    def __init__(
        self,
        run,  # the run whose checkpoints these are
        limit: int | None = None,  # save_total_limit: newest checkpoints to keep; default: 1
    ):
        self.run, self.folder, self.limit = run, run.path / "checkpoints", limit or 1

    def on_train_begin(self, args, state, control, **kwargs):
        "The best checkpoint is where this folder is now, not where it was when it was written"
        self.began, self.before = time.monotonic(), self.run.record["timing"]["train_seconds"] or 0.0
        shutil.rmtree(self.folder / STAGING, ignore_errors=True)
        best = self.folder / f"step-{state.best_global_step}"
        state.best_model_checkpoint = str(best) if best.is_dir() else None

    def on_train_end(self, args, state, control, **kwargs):
        "Nothing half done is left"
        shutil.rmtree(self.folder / STAGING, ignore_errors=True)

    def on_save(self, args, state, control, **kwargs):
        "Called when the Trainer has written its folder"
        commit(Path(args.output_dir) / f"checkpoint-{state.global_step}", self.folder, state.global_step)
        best = self.folder / f"step-{state.best_global_step}"
        state.best_model_checkpoint = str(best) if best.is_dir() else None
        steps = sorted(int(p.name[5:]) for p in self.folder.glob("step-*"))
        prune(self.folder, {*steps[-self.limit :], state.best_global_step})
        self.run.update(timing={"train_seconds": self.before + time.monotonic() - self.began, "total_seconds": None})


class Interrupted(KeyboardInterrupt):
    "Ctrl-C, the notebook's stop button or SIGTERM, after the step was finished and a checkpoint is whole"


class StopAtStep(TrainerCallback):
    "Ctrl-C, the stop button and SIGTERM end the training after the step in which they come, with a whole checkpoint. A second one ends it at once"

    def __init__(self):
        self.signal, self.before = None, {}

    def on_train_begin(self, args, state, control, **kwargs):
        "Listen; only the main thread may"
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self.hear) for number in (signal.SIGINT, signal.SIGTERM)}

    def hear(self, number, frame):
        "The first signal waits for the end of the step"
        if self.signal is not None:
            self.restore()
            raise Interrupted(number)
        self.signal = number

    def on_step_end(self, args, state, control, **kwargs):
        "Save here, then stop"
        if self.signal is not None:
            control.should_save = control.should_training_stop = True

    def on_epoch_end(self, args, state, control, **kwargs):
        "An epoch that was cut short is not evaluated: the resumed run would not have seen that"
        if self.signal is not None:
            control.should_evaluate = control.should_save = control.should_log = False

    def on_prediction_step(self, args, state, control, **kwargs):
        "An evaluation is not waited for: the checkpoint before it is whole"
        if self.signal is not None:
            raise Interrupted(self.signal)

    def on_train_end(self, args, state, control, **kwargs):
        "Give the signals back; training that was stopped does not return as if it were done"
        self.restore()
        if self.signal is not None:
            raise Interrupted(self.signal)

    def restore(self) -> None:
        "The handlers that were there before"
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}


class FiniteGradients(TrainerCallback):
    "Stops before a gradient that is NaN or infinite reaches the weights"

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        "Called after backward and clipping, before the update"
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if args.fp16 or bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients))):  # with fp16 the scaler skips such a step itself
            return
        raise NotFinite(
            f"step {state.global_step + 1}: the gradient is not finite; the weights were not changed. "
            f"Likely causes: a learning rate that is too high (now {args.learning_rate:g}), labels that are wrong, or {'bf16' if args.bf16 else 'the data'}. "
            "The checkpoint before it is whole."
        )


class TerminalProgress(TrainerCallback):
    "One bar on stderr"

    bar = None

    def on_train_begin(self, args, state, control, **kwargs):
        "Open the bar"
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="train", unit="step", file=sys.stderr, disable=None, leave=False)

    def on_step_end(self, args, state, control, **kwargs):
        "One step further"
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        "The newest numbers beside the bar"
        shown = {k: f"{v:.3f}" for k, v in logs.items() if k in ("loss", "eval_loss", "eval_accuracy")}
        if shown and self.bar is not None:
            self.bar.set_postfix(shown, refresh=False)

    def on_train_end(self, args, state, control, **kwargs):
        "Close the bar"
        self.bar.close()


class NotebookProgress(TrainerCallback):
    "The curve as it grows, under the cell; a picture at the end"

    chart = None

    def on_train_begin(self, args, state, control, **kwargs):
        "Show the empty chart"
        self.chart = LiveChart(state.max_steps)
        self.chart.show()

    def on_log(self, args, state, control, logs=None, **kwargs):
        "One point more"
        if self.chart is None:
            return
        if "loss" in logs:
            self.chart.add("training loss", state.global_step, logs["loss"])
        if "eval_loss" in logs:
            self.chart.add("validation loss", state.global_step, logs["eval_loss"])

    def on_train_end(self, args, state, control, **kwargs):
        "The chart becomes a PNG, which survives every saved form"
        self.chart.finish()
        self.chart = None


def progress_callback() -> TrainerCallback:
    "What fits where the code runs"
    return NotebookProgress() if in_notebook() else TerminalProgress()
