"Callbacks of the training: the log, the checkpoints, the stop, and the progress that a person sees."

import logging
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
from ftkit.training.hardware import read_peak_memory
from ftkit.views.console import in_notebook
from ftkit.views.progress import LiveChart

logger = logging.getLogger(__name__)
SAVING_SHARE = 0.05  # of the training time, for saving between the epochs' ends
WRITE_SPEED = 200e6  # bytes per second, assumed until the first checkpoint is written


class RunLog(TrainerCallback):
    "Appends every logged step of the training to log.jsonl, with its time and memory"

    def __init__(self, run):
        self.run, self.training = run, False

    def on_train_begin(self, args, state, control, **kwargs):
        "Start to record: what is logged from here on belongs to the curve"
        self.training, self.watch = True, Stopwatch(self.run)
        self.run.update(max_steps=state.max_steps)

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Append what the Trainer logs, but not its summary: after a resume its train_loss is wrong.

        The Trainer's own log gets the time too, as a resumed run begins with it
        """
        if self.training and "train_runtime" not in logs:
            spent = {"seconds": round(self.watch.read()["train_seconds"], 2), "memory_bytes": read_peak_memory()}
            state.log_history[-1].update(spent)
            self.run.log(step=state.global_step, **logs, **spent)

    def on_train_end(self, args, state, control, **kwargs):
        "Stop recording: a later evaluation is not part of the curve"
        self.training = False


class Stopwatch:
    "Measures the training in wall and CPU seconds, those of a resumed run's earlier parts included"

    def __init__(self, run):
        before = run.record["timing"]
        self.before = (before["train_seconds"] or 0.0, before.get("train_cpu_seconds") or 0.0)
        self.began = (time.monotonic(), time.process_time())

    def read(self) -> dict[str, float | None]:
        "Return `timing` as run.json has it"
        now = (time.monotonic(), time.process_time())
        wall, cpu = (before + t - began for before, t, began in zip(self.before, now, self.began))
        return {"train_seconds": wall, "train_cpu_seconds": cpu, "total_seconds": None}


class Checkpoints(TrainerCallback):
    """Saves as often as its share of the time allows, and keeps the newest checkpoints and the best.

    The epochs' ends are saved whatever they cost, as the best epoch is one of them; their cost counts
    towards the share.
    """

    def __init__(
        self,
        run,  # the run whose checkpoints these are
        limit: int | None = None,  # save_total_limit: newest checkpoints to keep next to the best; default: 2
        share: float | None = None,  # of the time, for saving between the epochs' ends; default: SAVING_SHARE
    ):
        self.run, self.folder, self.limit = run, run.path / "checkpoints", limit or 2
        self.share = SAVING_SHARE if share is None else share

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Start the clocks and find the best checkpoint, as the run folder may have moved.

        Raises `RunFailed` if the disk has no room for the checkpoints to keep, the best and a new one.
        """
        self.began, self.watch = time.monotonic(), Stopwatch(self.run)
        self.saved = self.asked = self.began
        self.first, self.spent = state.global_step, 0.0
        self.bytes = estimate_bytes(model)
        self.cost = self.bytes / WRITE_SPEED
        shutil.rmtree(self.folder / STAGING, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        missing = self.limit + 2 - len(list(self.folder.glob("step-*")))
        needs = f"training, with room for {self.limit + 2} checkpoints,"
        check_free_space(self.folder, max(1, missing) * self.bytes, needs)
        self.run.update(checkpoint_bytes=self.bytes)
        self.locate_best(state)

    def locate_best(self, state) -> None:
        "Set the path of the best checkpoint to this run folder, or to None if it has been deleted"
        best = self.folder / f"step-{state.best_global_step}"
        state.best_model_checkpoint = str(best) if best.is_dir() else None

    def on_step_end(self, args, state, control, **kwargs):
        """Request a checkpoint if its time is within the share, and raise `RunFailed` if the disk has no room for it.

        The share is that of the time since the last save and, with the saves to come, that of the whole training.
        """
        self.asked = time.monotonic()
        pace = (self.asked - self.began) / (state.global_step - self.first)  # seconds per step so far
        total = pace * (state.max_steps - self.first)
        to_come = self.cost * (1 + count_saves_left(args, state))
        affordable = self.share * (self.asked - self.saved) >= self.cost and self.share * total >= self.spent + to_come
        follows = is_epoch_end(state) and "epoch" in (args.eval_strategy, args.save_strategy)
        if affordable and args.save_strategy != "no" and not follows:
            control.should_save = True
        if control.should_save:
            check_free_space(self.folder, self.bytes, f"the checkpoint of step {state.global_step}")

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        """Request a checkpoint of the best step so far, whatever `save_steps` says: its weights are read at the end.

        A save that follows is timed from here.
        """
        self.asked = time.monotonic()
        value = metrics.get(f"eval_{args.metric_for_best_model.removeprefix('eval_')}", math.nan)
        best = state.best_metric
        if best is None:
            better = not math.isnan(value)
        else:
            better = value > best if args.greater_is_better else value < best
        if better:
            control.should_save |= args.load_best_model_at_end

    def on_save(self, args, state, control, model=None, **kwargs):
        "Complete the checkpoint and delete older ones. Raises `NotFinite` if a weight is not finite"
        if bad := next((name for name, p in model.named_parameters() if not torch.isfinite(p.sum())), None):
            raise NotFinite(
                f"step {state.global_step}: the weights of {bad} are not finite; they are not saved. "
                f"{describe_last_checkpoint(self.folder)}."
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
        self.locate_best(state)
        steps = sorted(
            parse_step(p) for p in self.folder.glob("step-*") if p.is_dir() and 0 <= parse_step(p) <= state.global_step
        )
        prune(self.folder, {*steps[-self.limit :], best or 0})
        self.saved = time.monotonic()
        self.cost, self.bytes = self.saved - self.asked, count_bytes(checkpoint)
        self.spent += self.cost
        self.run.update(timing=self.watch.read(), checkpoint_bytes=self.bytes)

    def on_log(self, args, state, control, logs=None, **kwargs):
        "Check the best checkpoint before the Trainer loads it at the end. Raises `RunFailed` if it is damaged"
        if "train_runtime" in logs and args.load_best_model_at_end and state.best_global_step:
            best = self.folder / f"step-{state.best_global_step}"
            if reason := find_problem(best):
                raise RunFailed(
                    f"{best.name} has the best weights (validation {args.metric_for_best_model} "
                    f"{state.best_metric:.4f}), but {reason}: they cannot be loaded."
                )

    def on_train_end(self, args, state, control, **kwargs):
        "Delete what was not completed"
        shutil.rmtree(self.folder / STAGING, ignore_errors=True)


def count_saves_left(args, state) -> int:
    "Return how many saves are scheduled until the training ends, whatever they cost"
    if args.save_strategy == "epoch":
        return state.num_train_epochs - int(state.epoch)
    return (
        (state.max_steps - state.global_step) // state.save_steps
        if args.save_strategy == "steps" and state.save_steps > 0
        else 0
    )


def is_epoch_end(state) -> bool:
    "Return whether this step is the last of its epoch or of the training"
    return float(state.epoch).is_integer() or state.global_step >= state.max_steps


def is_before_evaluation(args, state) -> bool:
    "Return whether an evaluation at the epoch's end follows this step"
    return args.eval_strategy == "epoch" and is_epoch_end(state)


class Interrupted(KeyboardInterrupt):
    "Ctrl-C, the notebook's stop button or SIGTERM"

    def _render_traceback_(self):
        "Return what IPython shows: one line, below the one that the run has logged"
        return ["Interrupted: the training was stopped; the line above says how to resume the run"]


class EvaluateAtEnd(TrainerCallback):
    "Evaluate and save at the last step if no evaluation has come before: `eval_steps` or `eval_delay` lie beyond it"

    def on_step_end(self, args, state, control, **kwargs):
        "Ask for the evaluation"
        if args.eval_strategy == "steps" and state.global_step >= state.max_steps and state.best_metric is None:
            control.should_evaluate = control.should_save = True
        return control


class TimeLimit(TrainerCallback):
    "Stops the training after some minutes, with an evaluation and a checkpoint of its last step"

    def __init__(
        self,
        run,  # its record knows what has been spent, and what an evaluation takes
        minutes: float,  # of training, its evaluations and saves included
    ):
        self.run, self.minutes = run, minutes

    def on_train_begin(self, args, state, control, **kwargs):
        "Start the clock: of a resumed run, what is left of the time"
        self.watch, self.last = Stopwatch(self.run), time.monotonic()
        self.reserve = self.run.record["forecast"].get("evaluation_seconds") or 0.0

    def on_step_end(self, args, state, control, **kwargs):
        "Stop if another step and the evaluation would take longer than there is time"
        now = time.monotonic()
        step, self.last = now - self.last, now
        left = 60 * self.minutes - self.watch.read()["train_seconds"] - self.reserve
        if left > step or state.global_step >= state.max_steps:
            return
        control.should_training_stop = control.should_log = True
        control.should_evaluate |= args.eval_strategy == "steps"  # else the end of the epoch evaluates and saves
        control.should_save |= args.eval_strategy == "steps"
        self.run.update(time_limit={"step": state.global_step, "of": state.max_steps})
        logger.info(f"minutes = {self.minutes:g}: stopping after step {state.global_step} of {state.max_steps}")

    def on_evaluate(self, args, state, control, **kwargs):
        "Do not count an evaluation as part of the next step"
        self.last = time.monotonic()

    def on_save(self, args, state, control, **kwargs):
        "Nor a save"
        self.last = time.monotonic()


class StopAtStep(TrainerCallback):
    """Stops the training after the current step, with a complete checkpoint, on Ctrl-C, the stop button or SIGTERM.

    A second signal stops it at once.
    """

    def __init__(self):
        self.signal, self.before = None, {}

    def on_train_begin(self, args, state, control, **kwargs):
        "Install the signal handlers, which only the main thread of a process may"
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(self, number, frame):
        "Note the first signal for the end of the step; raise `Interrupted` on the second"
        if self.signal is not None:
            self.restore()
            raise Interrupted(number)
        self.signal = number

    def on_step_end(self, args, state, control, **kwargs):
        """Save here, then stop.

        If an evaluation would follow, do not save: a run that resumes from here would never evaluate.
        """
        if self.signal is not None:
            control.should_training_stop = True
            control.should_save = not is_before_evaluation(args, state)

    def on_epoch_end(self, args, state, control, **kwargs):
        "Skip the evaluation of an epoch that was cut short: an uninterrupted run would not have it"
        if self.signal is not None:
            control.should_evaluate = control.should_save = control.should_log = False
            control.should_training_stop = True  # the signal may have come after the step's end

    def on_prediction_step(self, args, state, control, **kwargs):
        "Stop in the middle of an evaluation: the checkpoint before it is complete"
        if self.signal is not None:
            raise Interrupted(self.signal)

    def on_train_end(self, args, state, control, **kwargs):
        "Restore the signal handlers. Raises `Interrupted` if the training was stopped: it is not finished"
        self.restore()
        if self.signal is not None:
            raise Interrupted(self.signal)

    def restore(self) -> None:
        "Put the previous signal handlers back"
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}


class NonFiniteGuard(TrainerCallback):
    "Stops before a loss or a gradient that is NaN or infinite reaches the weights"

    def __init__(
        self,
        run,  # the run whose last checkpoint the message names
    ):
        self.folder, self.smallest = run.path / "checkpoints", None

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        """Raise `NotFinite` after backward and clipping, before the update.

        Clipping divides by the norm of all gradients: one value that is not finite makes every gradient NaN or zero.
        So the smallest tensor is a probe, and all are read only if it is NaN or zero, or if there is no clipping.
        """
        if not math.isfinite(unlogged_loss(state)["loss"]):
            raise self.make_error("loss", args, state)
        if args.fp16:  # the scaler skips an update whose gradient is not finite
            return
        if self.smallest is None:
            self.smallest = min((p for p in model.parameters() if p.grad is not None), key=torch.Tensor.numel)
        probe = self.smallest.grad.sum().item() if args.max_grad_norm else 0.0
        if probe and math.isfinite(probe):
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if not bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients))):
            raise self.make_error("gradient", args, state)

    def make_error(self, what: str, args, state) -> NotFinite:
        "Return the error with the step, the likely causes and the last checkpoint"
        last = "bf16" if args.bf16 else "fp16" if args.fp16 else "the model itself"
        causes = f"a learning rate that is too high (now {args.learning_rate:g}), labels that are wrong, or {last}"
        return NotFinite(
            f"step {state.global_step + 1}: the {what} is not finite; the weights were not changed. "
            f"Likely causes: {causes}. {describe_last_checkpoint(self.folder)}."
        )


def describe_last_checkpoint(folder: Path) -> str:
    "Return which checkpoint is left when a run fails, as a sentence without its full stop"
    checkpoint, _ = find_newest(folder)
    return f"The last complete checkpoint is {checkpoint.name}" if checkpoint else "There is no checkpoint yet"


def unlogged_loss(state) -> dict:
    """Return the loss summed since the last logged step, as `{loss, since}`.

    It is part of the trainer's state, so that a resumed run logs the same mean.
    """
    return state.stateful_callbacks.setdefault("unlogged", {"loss": 0.0, "since": state.global_step})


class Patience(EarlyStoppingCallback):
    "Early stopping whose count survives a resume"

    def on_train_begin(self, args, state, control, **kwargs):
        "Continue the count of the checkpoint"
        super().on_train_begin(args, state, control, **kwargs)
        self.early_stopping_patience_counter = self.read_counter(state)
        state.stateful_callbacks.setdefault(type(self).__name__, self.state())  # of a run that had no patience before

    def is_exhausted(
        self,
        checkpoint: Path,  # a complete one
    ) -> bool:
        "Return whether patience had ended the training there: a run killed after that step has nothing left to train"
        return (
            self.read_counter(TrainerState.load_from_json(str(checkpoint / "trainer_state.json")))
            >= self.early_stopping_patience
        )

    def read_counter(self, state) -> int:
        "Return the number of evaluations without a better one, from the trainer's state"
        return (
            state.stateful_callbacks.get(type(self).__name__, {})
            .get("attributes", {})
            .get("early_stopping_patience_counter", 0)
        )


class TerminalProgress(TrainerCallback):
    "Shows one bar on stderr"

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
        "Advance the bar"
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        "Show the newest numbers next to the bar"
        shown = {
            k: f"{v:.3f}" for k, v in logs.items() if k in ("loss", "eval_loss", f"eval_{args.metric_for_best_model}")
        }
        if shown and self.bar is not None:
            self.bar.set_postfix(shown, refresh=False)

    def on_train_end(self, args, state, control, **kwargs):
        "Close the bar"
        self.bar.close()


class NotebookProgress(TrainerCallback):
    "Draws the curve under the cell as it grows; a picture at the end"

    chart = None

    def on_train_begin(self, args, state, control, **kwargs):
        "Show the chart: empty, or with what a resumed run has logged so far"
        self.chart = LiveChart(state.max_steps)
        self.chart.show()
        for row in state.log_history:
            self.add_losses(row["step"], row)

    def on_log(self, args, state, control, logs=None, **kwargs):
        "Add the losses of this step"
        if self.chart is not None:
            self.add_losses(state.global_step, logs)

    def add_losses(self, step: int, logs: dict) -> None:
        "Add each logged loss as a point"
        for name, key in (("training loss", "loss"), ("validation loss", "eval_loss")):
            if key in logs:
                self.chart.add_point(name, step, logs[key])

    def on_train_end(self, args, state, control, **kwargs):
        "Replace the chart with a PNG, which every saved form of the notebook shows"
        self.chart.finish()
        self.chart = None


def progress_callback() -> TrainerCallback:
    "Return the callback for a notebook or for a terminal"
    return NotebookProgress() if in_notebook() else TerminalProgress()
