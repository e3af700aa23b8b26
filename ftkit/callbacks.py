"What happens beside the training: the log, the checkpoints, and what a person sees."

import shutil
import sys
from pathlib import Path

from tqdm import tqdm
from transformers import TrainerCallback

from ftkit.checkpoints import STAGING, commit, prune
from ftkit.views import LiveChart, in_notebook


class RunLog(TrainerCallback):
    "Every logged step as a line of log.jsonl"

    def __init__(self, run):
        self.run = run

    def on_log(self, args, state, control, logs=None, **kwargs):
        "Numbers as the Trainer logs them"
        if "train_runtime" not in logs:  # its train_loss is wrong after a resume: the curve is in the other lines
            self.run.log(step=state.global_step, **logs)


class Checkpoints(TrainerCallback):
    "Turns what the Trainer has written into whole checkpoints, and keeps the newest and the best"

    def __init__(
        self,
        folder: Path,  # the run's checkpoints folder
        limit: int | None = None,  # save_total_limit: newest checkpoints to keep; default: 1
    ):
        self.folder, self.limit = folder, limit or 1

    def on_train_begin(self, args, state, control, **kwargs):
        "The best checkpoint is where this folder is now, not where it was when it was written"
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


class TerminalProgress(TrainerCallback):
    "One bar on stderr"

    def on_train_begin(self, args, state, control, **kwargs):
        "Open the bar"
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="train", unit="step", file=sys.stderr, disable=None, leave=False)

    def on_step_end(self, args, state, control, **kwargs):
        "One step further"
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        "The newest numbers beside the bar"
        shown = {k: f"{v:.3f}" for k, v in logs.items() if k in ("loss", "eval_loss", "eval_accuracy")}
        if shown:
            self.bar.set_postfix(shown, refresh=False)

    def on_train_end(self, args, state, control, **kwargs):
        "Close the bar"
        self.bar.close()


class NotebookProgress(TrainerCallback):
    "The curve as it grows, under the cell; a picture at the end"

    def on_train_begin(self, args, state, control, **kwargs):
        "Show the empty chart"
        self.chart = LiveChart(state.max_steps)
        self.chart.show()

    def on_log(self, args, state, control, logs=None, **kwargs):
        "One point more"
        if "loss" in logs:
            self.chart.add("training loss", state.global_step, logs["loss"])
        if "eval_loss" in logs:
            self.chart.add("validation loss", state.global_step, logs["eval_loss"])

    def on_train_end(self, args, state, control, **kwargs):
        "The chart becomes a PNG, which survives every saved form"
        self.chart.finish()


def progress_callback() -> TrainerCallback:
    "What fits where the code runs"
    return NotebookProgress() if in_notebook() else TerminalProgress()
