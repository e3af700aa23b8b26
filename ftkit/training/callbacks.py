"What happens beside the training: the log, the checkpoints, and what a person sees."

import math
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerState

from ftkit.errors import NotFinite, RunFailed
from ftkit.files.atomic import count_bytes
from ftkit.runs.checkpoints import (
    STAGING,
    check_free_space,
    commit,
    estimate_bytes,
    find_newest,
    find_problem,
    parse_step,
    prune,
)
from ftkit.views.console import in_notebook
from ftkit.views.progress import LiveChart

SAVING_SHARE = 0.05  # of the training's time, which saving between the epochs may take
WRITE_SPEED = 200e6  # bytes a second: assumed until the first checkpoint was written


class RunLog(TrainerCallback):
    "Every logged step as a line of log.jsonl"

    def __init__(self, run):
        self.run, self.training = run, False

    def on_train_begin(self, args, state, control, **kwargs):
        "What is logged from here on belongs to the curve"
        self.training = True

    def on_log(self, args, state, control, logs=None, **kwargs):
        "Numbers as the Trainer logs them"
        if (
            self.training and "train_runtime" not in logs
        ):  # its train_loss is wrong after a resume: the curve is in the other lines
            self.run.log(step=state.global_step, **logs)

    def on_train_end(self, args, state, control, **kwargs):
        "A later evaluation is no part of the curve"
        self.training = False


class Checkpoints(TrainerCallback):
    """Saves as often as its share of the time allows, turns what the Trainer has written into whole checkpoints, and keeps the newest and the best.

    The epochs' ends are saved whatever they cost, as the best epoch is one of them; what they cost is taken from the share.
    """

    def __init__(
        self,
        run,  # the run whose checkpoints these are
        limit: int | None = None,  # save_total_limit: newest checkpoints to keep beside the best; default: 2
        share: float | None = None,  # of the time, for saving between the epochs' ends; default: SAVING_SHARE
    ):
        self.run, self.folder, self.limit, self.share = (
            run,
            run.path / "checkpoints",
            limit or 2,
            SAVING_SHARE if share is None else share,
        )

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        "The best checkpoint is where this folder is now, not where it was when it was written. Room for the kept ones, the best and a new one is asked for now"
        self.began, self.before = time.monotonic(), self.run.record["timing"]["train_seconds"] or 0.0
        self.saved = self.asked = self.began
        self.first, self.spent = state.global_step, 0.0
        self.bytes = estimate_bytes(model)
        self.cost = self.bytes / WRITE_SPEED
        shutil.rmtree(self.folder / STAGING, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        there = len(list(self.folder.glob("step-*")))
        check_free_space(
            self.folder,
            max(1, self.limit + 2 - there) * self.bytes,
            f"training, with room for {self.limit + 2} checkpoints,",
        )
        self.run.update(checkpoint_bytes=self.bytes)
        self.find_best(state)

    def find_best(self, state) -> None:
        "Where the best checkpoint stands"
        best = self.folder / f"step-{state.best_global_step}"
        state.best_model_checkpoint = str(best) if best.is_dir() else None

    def on_step_end(self, args, state, control, **kwargs):
        "Is it worth a checkpoint? Its time must be within the share of the time since the last one, and with the saves to come within that of the whole training"
        self.asked = time.monotonic()
        whole = (
            (self.asked - self.began) * (state.max_steps - self.first) / (state.global_step - self.first)
        )  # seconds, at the pace so far
        to_come = self.cost * (1 + count_saves_left(args, state))
        affordable = self.share * (self.asked - self.saved) >= self.cost and self.share * whole >= self.spent + to_come
        follows = is_epoch_end(state) and "epoch" in (args.eval_strategy, args.save_strategy)
        if affordable and args.save_strategy != "no" and not follows:
            control.should_save = True
        if control.should_save:
            check_free_space(self.folder, self.bytes, f"the checkpoint of step {state.global_step}")

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        "A save that follows is timed from here. The best step so far is saved whatever `save_steps` says: else its weights could not be given"
        self.asked = time.monotonic()
        value, best = (
            metrics.get(f"eval_{args.metric_for_best_model.removeprefix('eval_')}", math.nan),
            state.best_metric,
        )
        if (
            best is None
            and value == value
            or best is not None
            and (value > best if args.greater_is_better else value < best)
        ):
            control.should_save |= args.load_best_model_at_end

    def on_save(self, args, state, control, model=None, **kwargs):
        "Called when the Trainer has written its folder"
        if bad := next((name for name, p in model.named_parameters() if not torch.isfinite(p.sum())), None):
            raise NotFinite(
                f"step {state.global_step}: the weights of {bad} are not finite; they are not kept. {describe_last_checkpoint(self.folder)}."
            )
        best = state.best_global_step
        needed = best if best == state.global_step or (self.folder / f"step-{best}").is_dir() else None
        checkpoint = commit(
            Path(args.output_dir) / f"checkpoint-{state.global_step}",
            self.folder,
            state.global_step,
            needed,
            self.run.read().get("id"),
        )
        self.find_best(state)
        steps = sorted(
            parse_step(p) for p in self.folder.glob("step-*") if p.is_dir() and 0 <= parse_step(p) <= state.global_step
        )
        prune(self.folder, {*steps[-self.limit :], best or 0})
        self.saved = time.monotonic()
        self.cost, self.bytes = self.saved - self.asked, count_bytes(checkpoint)
        self.spent += self.cost
        self.run.update(
            timing={"train_seconds": self.before + self.saved - self.began, "total_seconds": None},
            checkpoint_bytes=self.bytes,
        )

    def on_log(self, args, state, control, logs=None, **kwargs):
        "The training is over and the best weights will be read: are they what was written?"
        if "train_runtime" in logs and args.load_best_model_at_end and state.best_global_step:
            best = self.folder / f"step-{state.best_global_step}"
            if reason := find_problem(best):
                raise RunFailed(
                    f"{best.name} has the best weights (validation {args.metric_for_best_model} {state.best_metric:.4f}), but {reason}: they cannot be given."
                )

    def on_train_end(self, args, state, control, **kwargs):
        "Nothing half done is left"
        shutil.rmtree(self.folder / STAGING, ignore_errors=True)


def count_saves_left(args, state) -> int:
    "How many saves are due until the training ends, whatever they cost"
    if args.save_strategy == "epoch":
        return state.num_train_epochs - int(state.epoch)
    return (
        (state.max_steps - state.global_step) // state.save_steps
        if args.save_strategy == "steps" and state.save_steps > 0
        else 0
    )


def is_epoch_end(state) -> bool:
    "Is this step the last of its epoch, or of the training?"
    return float(state.epoch).is_integer() or state.global_step >= state.max_steps


def is_before_evaluation(args, state) -> bool:
    "Is this step the last before an evaluation at the epoch's end?"
    return args.eval_strategy == "epoch" and is_epoch_end(state)


class Interrupted(KeyboardInterrupt):
    "Ctrl-C, the notebook's stop button or SIGTERM"


class StopAtStep(TrainerCallback):
    "Ctrl-C, the stop button and SIGTERM end the training after the step in which they come, with a whole checkpoint. A second one ends it at once"

    def __init__(self):
        self.signal, self.before = None, {}

    def on_train_begin(self, args, state, control, **kwargs):
        "Listen; only the main thread of a process may"
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(self, number, frame):
        "The first signal waits for the end of the step"
        if self.signal is not None:
            self.restore()
            raise Interrupted(number)
        self.signal = number

    def on_step_end(self, args, state, control, **kwargs):
        "Save here, then stop. Where an evaluation would follow, the checkpoint before stands: a run that is resumed from here would never make it"
        if self.signal is not None:
            control.should_training_stop = True
            control.should_save = not is_before_evaluation(args, state)

    def on_epoch_end(self, args, state, control, **kwargs):
        "An epoch that was cut short is not evaluated: the resumed run would not have seen that"
        if self.signal is not None:
            control.should_evaluate = control.should_save = control.should_log = False
            control.should_training_stop = True  # the signal may have come after the step's end

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


class NonFiniteGuard(TrainerCallback):
    "Stops before a loss or a gradient that is NaN or infinite reaches the weights"

    def __init__(
        self,
        run,  # whose checkpoints are named
    ):
        self.folder, self.smallest = run.path / "checkpoints", None

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        """Called after backward and clipping, before the update.

        Clipping divides by the norm of all gradients: one value that is not finite makes every gradient NaN or zero. So the smallest tensor tells,
        and only a NaN or a zero there (or no clipping) has all of them read.
        """
        if not math.isfinite(unlogged_loss(state)["loss"]):
            raise self.failure("loss", args, state)
        if args.fp16:  # the scaler skips an update whose gradient is not finite
            return
        if self.smallest is None:
            self.smallest = min((p for p in model.parameters() if p.grad is not None), key=torch.Tensor.numel)
        probe = self.smallest.grad.sum().item() if args.max_grad_norm else 0.0
        if probe and math.isfinite(probe):
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if not bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients))):
            raise self.failure("gradient", args, state)

    def failure(self, what: str, args, state) -> NotFinite:
        "Step, likely causes, and what is left"
        causes = f"a learning rate that is too high (now {args.learning_rate:g}), labels that are wrong, or {'bf16' if args.bf16 else 'fp16' if args.fp16 else 'the model itself'}"
        return NotFinite(
            f"step {state.global_step + 1}: the {what} is not finite; the weights were not changed. Likely causes: {causes}. {describe_last_checkpoint(self.folder)}."
        )


def describe_last_checkpoint(folder: Path) -> str:
    "What is left when a run fails"
    checkpoint, _ = find_newest(folder)
    return f"The last complete checkpoint is {checkpoint.name}" if checkpoint else "There is no checkpoint yet"


def unlogged_loss(state) -> dict:
    "The loss summed since the last logged step, `{loss, since}`: part of the trainer's state, so that a resumed run logs the same mean"
    return state.stateful_callbacks.setdefault("unlogged", {"loss": 0.0, "since": state.global_step})


class Patience(EarlyStoppingCallback):
    "Early stopping that goes on counting where a resumed run left off"

    def on_train_begin(self, args, state, control, **kwargs):
        "The count is part of the checkpoint"
        super().on_train_begin(args, state, control, **kwargs)
        self.early_stopping_patience_counter = self.read_counter(state)
        state.stateful_callbacks.setdefault(type(self).__name__, self.state())  # of a run that had no patience before

    def is_exhausted(
        self,
        checkpoint: Path,  # a whole one
    ) -> bool:
        "Had patience ended the training there? A run that was killed after that step has nothing left to train"
        return (
            self.read_counter(TrainerState.load_from_json(str(checkpoint / "trainer_state.json")))
            >= self.early_stopping_patience
        )

    def read_counter(self, state) -> int:
        "Evaluations without a better one, as the trainer's state has them"
        return (
            state.stateful_callbacks.get(type(self).__name__, {})
            .get("attributes", {})
            .get("early_stopping_patience_counter", 0)
        )


class TerminalProgress(TrainerCallback):
    "One bar on stderr"

    bar = None

    def on_train_begin(self, args, state, control, **kwargs):
        "Open the bar"
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="train",
            unit="step",
            file=sys.stderr,
            disable=None,
            leave=False,
        )

    def on_step_end(self, args, state, control, **kwargs):
        "One step further"
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        "The newest numbers beside the bar"
        shown = {
            k: f"{v:.3f}" for k, v in logs.items() if k in ("loss", "eval_loss", f"eval_{args.metric_for_best_model}")
        }
        if shown and self.bar is not None:
            self.bar.set_postfix(shown, refresh=False)

    def on_train_end(self, args, state, control, **kwargs):
        "Close the bar"
        self.bar.close()


class NotebookProgress(TrainerCallback):
    "The curve as it grows, under the cell; a picture at the end"

    chart = None

    def on_train_begin(self, args, state, control, **kwargs):
        "Show the chart: empty, or what a run that goes on has logged so far"
        self.chart = LiveChart(state.max_steps)
        self.chart.show()
        for row in state.log_history:
            self.add(row["step"], row)

    def on_log(self, args, state, control, logs=None, **kwargs):
        "One point more"
        if self.chart is not None:
            self.add(state.global_step, logs)

    def add(self, step: int, logs: dict) -> None:
        "A logged loss as a point"
        for name, key in (("training loss", "loss"), ("validation loss", "eval_loss")):
            if key in logs:
                self.chart.add(name, step, logs[key])

    def on_train_end(self, args, state, control, **kwargs):
        "The chart becomes a PNG, which survives every saved form"
        self.chart.finish()
        self.chart = None


def progress_callback() -> TrainerCallback:
    "What fits where the code runs"
    return NotebookProgress() if in_notebook() else TerminalProgress()
