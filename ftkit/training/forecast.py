"""What a training will take, before it starts: seconds, memory and disk, and what would halve each."""

import math
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from datasets import DatasetDict
from transformers import PreTrainedModel, TrainingArguments

from ftkit.files.atomic import format_bytes
from ftkit.model import is_causal, load_config, model_facts
from ftkit.runs.checkpoints import estimate_bytes
from ftkit.settings import Settings
from ftkit.training.callbacks import SAVING_SHARE
from ftkit.training.hardware import count_usable_memory, pick_device, pick_precision
from ftkit.training.trial import Trial, count_tokens, list_batches
from ftkit.views.scores import format_seconds

STEP_SECONDS = 0.01  # of the Trainer's own work in each batch: its callbacks, its log
EVALUATION_SECONDS = 0.2  # of an evaluation and its save, whatever the size: scores, log, record
SAVE_SPEED = 400e6  # bytes per CPU second of a checkpoint: written, read back and hashed
PROMPT_TOKENS = 20  # of a prompt, besides its texts
WRITING = 3.0  # a token that is written, one after the other, takes this many times that of one that is read
REPORT_SECONDS = 3.0  # for card, report and the intervals


DEVICES = {  # bytes of memory that a training may take there
    "laptop, 16 GB": 11e9,
    "free Colab card, 16 GB": 14.5e9,
    "one large GPU, 80 GB": 78e9,
}
EFFICIENCY = 0.5  # share of the rate of one large product that a whole training reaches


@dataclass(frozen=True)
class Forecast:
    "What a training takes on this machine. The spans are those of `timing` in run.json"

    train_seconds: float  # the optimizer's loop with its evaluations and saves
    train_cpu_seconds: float  # of all threads
    total_seconds: float  # with predictions, ladder and report
    peak_bytes: int  # of the GPU if there is one, else of the process
    disk_bytes: int  # of the run folder while it trains
    evaluation_seconds: float  # of one evaluation with its save
    threads: int  # of torch
    fits: bool  # whether memory and disk suffice
    advice: list[str]  # what would halve each, as settings

    def __str__(self):
        return (
            f"{format_seconds(self.total_seconds)}, of them {format_seconds(self.train_seconds)} of training; "
            f"{format_bytes(self.peak_bytes)} of memory, {format_bytes(self.disk_bytes)} on disk; "
            f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        )


def make_forecast(
    trial: Trial,  # from `run_trial`
    model: PreTrainedModel,  # before its training
    tokens: DatasetDict,  # from `tokenize`
    settings: Settings,  # the experiment
    args: TrainingArguments,  # from `training_arguments`
    runs_dir: str | Path,  # where the run folder will lie
) -> Forecast:
    "Return the forecast for this machine"
    parts = {
        kind: forecast_training(trial, model, tokens, settings, args, kind) for kind in ("seconds", "cpu_seconds")
    }
    seconds, cpu_seconds = (sum(parts[kind].values()) for kind in ("seconds", "cpu_seconds"))
    advice = advise(parts["seconds"], trial, model, tokens, settings, args)
    limit = 60 * (settings.minutes or math.inf)
    if limit < seconds:
        advice.insert(0, f"minutes = {settings.minutes:g} is enough for about {limit / seconds:.0%} of the steps")
        seconds, cpu_seconds = limit, cpu_seconds * limit / seconds
    _, updates = count_batches(len(list_batches(tokens, settings)[0]), args)
    evaluations = max(1, count_evaluations(updates, args))
    after = forecast_scoring(trial, tokens, settings, is_causal(model.config))
    peak, disk = forecast_memory(trial, model), forecast_disk(model, args)
    fits = peak <= count_usable_memory() and disk <= count_free_disk(runs_dir)
    return Forecast(
        train_seconds=seconds,
        train_cpu_seconds=cpu_seconds,
        total_seconds=seconds + after,
        peak_bytes=peak,
        disk_bytes=disk,
        evaluation_seconds=(parts["seconds"]["evaluations"] + parts["seconds"]["saves"]) / evaluations,
        threads=trial.threads,
        fits=fits,
        advice=advice,
    )


def count_batches(
    batches: int,  # of one epoch
    args: TrainingArguments,  # epochs, steps, accumulation
) -> tuple[float, int]:
    "Return the batches and the updates of the whole training, as the Trainer counts them"
    per_epoch = max(1, math.ceil(batches / args.gradient_accumulation_steps))
    updates = args.max_steps if args.max_steps > 0 else math.ceil(per_epoch * args.num_train_epochs)
    return updates / per_epoch * batches, updates


def forecast_training(
    trial: Trial,  # from `run_trial`
    model: PreTrainedModel,  # before its training
    tokens: DatasetDict,  # from `tokenize`
    settings: Settings,  # the experiment
    args: TrainingArguments,  # from `training_arguments`
    kind: str,  # seconds or cpu_seconds
) -> dict[str, float]:
    "Return the seconds of `batches`, `updates`, `evaluations` and `saves`"
    _, sizes = list_batches(tokens, settings)
    batches, updates = count_batches(len(sizes), args)
    lengths = np.sort(np.array(tokens["validation"]["length"]))
    evaluated = count_tokens(split_batches(lengths, settings.per_device_eval_batch_size), settings)
    evaluation = float(trial.forward_cost(evaluated, kind).sum()) + EVALUATION_SECONDS
    parts = {
        "batches": batches * (float(trial.batch_cost(sizes, kind).mean()) + STEP_SECONDS),
        "updates": updates * trial.update_seconds,
        "evaluations": count_evaluations(updates, args) * evaluation,
    }
    save, saves = estimate_bytes(model) / SAVE_SPEED, count_evaluations(updates, args)
    share = SAVING_SHARE * sum(parts.values())
    return parts | {"saves": share if share >= (saves + 1) * save else saves * save}


def split_batches(
    lengths: np.ndarray,  # of texts, in their order
    size: int,  # texts in a batch
) -> list[np.ndarray]:
    "Return the lengths by batch"
    return [lengths[i : i + size] for i in range(0, len(lengths), size)]


def count_evaluations(
    updates: int,  # of the training
    args: TrainingArguments,  # when to evaluate
) -> int:
    "Return how often the validation rows are scored while training; each time is saved"
    if args.eval_strategy == "steps":
        every = args.eval_steps if args.eval_steps >= 1 else max(1, math.ceil(args.eval_steps * updates))
        return max(1, int(updates // every))
    return math.ceil(args.num_train_epochs) if args.max_steps <= 0 else 1


def forecast_scoring(
    trial: Trial,  # from `run_trial`
    tokens: DatasetDict,  # from `tokenize`
    settings: Settings,  # the experiment
    causal: bool,  # whether the base model continues text
) -> float:
    "Return the seconds of what follows the training: predictions, ladder, scores, card and report"
    lengths = {split: np.sort(np.array(tokens[split]["length"])) for split in tokens}

    def read(*splits, size=32, more=0):
        batches = [b + more for split in splits for b in split_batches(lengths[split], size)]
        return float(trial.forward_cost(count_tokens(batches, settings)).sum())

    seconds = read("validation", "test", size=settings.per_device_eval_batch_size) + REPORT_SECONDS
    labels = getattr(tokens["train"].features["labels"], "num_classes", 1)
    if causal:
        shots = settings.num_shots * labels * (float(lengths["train"].mean()) + PROMPT_TOKENS)
        for rung, more in {"zero_shot": PROMPT_TOKENS, "few_shot": shots}.items():
            seconds += labels * read("test", more=int(more)) if rung in settings.baselines else 0.0
    elif {"zero_shot", "few_shot"} & set(settings.baselines):
        seconds += read("test")
    if answers := settings.section("metrics").get("max_generated_samples"):
        turns = 2 + len({"zero_shot", "few_shot"} & set(settings.baselines))  # validation and test rows, and rungs
        rows = turns * min(answers, max(len(lengths["test"]), len(lengths["validation"])))
        seconds += WRITING * float(trial.forward_cost(np.array([rows * settings.max_new_tokens])).sum())
    if "frozen" in settings.baselines:
        seconds += read("train") + (read("test") if causal else 0.0)
    return seconds


def forecast_memory(
    trial: Trial,  # from `run_trial`
    model: PreTrainedModel,  # before its training
) -> int:
    "Return the peak in bytes: that of the trial steps, AdamW's two moments, and a checkpoint that is being written"
    return trial.peak_bytes + 8 * count_trained(model) + estimate_bytes(model)


def fit_trial(
    trial: Trial,  # from `run_trial`, perhaps with other batches
    model: PreTrainedModel,  # that was timed
    tokens: DatasetDict,  # from `tokenize`
    settings: Settings,  # the experiment
) -> Trial:
    "Return the trial with the memory of these batches: activations grow with the tokens of the longest one"
    timed = max(t.tokens for t in trial.timings)
    _, sizes = list_batches(tokens, settings)
    longest = float(np.quantile(sizes, 0.99, method="lower"))
    fixed = trial.base_bytes + 4 * count_trained(model)
    activations = max(0, trial.peak_bytes - fixed)
    return replace(trial, peak_bytes=int(trial.peak_bytes + activations * (longest / timed - 1)))


def count_trained(
    model: PreTrainedModel,  # any
) -> int:
    "Return the number of weights that train"
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def forecast_disk(
    model: PreTrainedModel,  # before its training
    args: TrainingArguments,  # how many checkpoints are kept
) -> int:
    "Return the bytes of the checkpoints that lie next to each other, and of the model"
    weights = 4 * sum(p.numel() for p in model.parameters())
    return ((args.save_total_limit or 2) + 2) * estimate_bytes(model) + weights


def count_free_disk(
    folder: str | Path,  # it may not exist yet
) -> int:
    "Return the free bytes on the disk of a folder"
    folder = Path(folder).absolute()
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free


def advise(
    parts: dict[str, float],  # of `forecast_training`, in seconds
    trial: Trial,  # from `run_trial`
    model: PreTrainedModel,  # before its training
    tokens: DatasetDict,  # from `tokenize`
    settings: Settings,  # the experiment
    args: TrainingArguments,  # how many checkpoints are kept
) -> list[str]:
    "Return what would halve time, memory and disk: settings, and what they lead to"
    total, trained, peak = sum(parts.values()), count_trained(model), forecast_memory(trial, model)
    half = f"num_train_epochs = {settings.num_train_epochs / 2:g}"
    lines = [f"half the time: {half} ({format_seconds(total / 2)} of training)"]
    if settings.method == "full":
        _, sizes = list_batches(tokens, settings)
        forward = float(trial.forward_cost(sizes).sum()) / max(float(trial.batch_cost(sizes).sum()), 1e-9)
        head = parts["batches"] * min(forward, 1.0) + parts["evaluations"]
        lines[0] += f"; method = head: {format_seconds(head)}, often with a lower score"
    activations = trial.peak_bytes - trial.base_bytes - 4 * trained
    size = settings.per_device_train_batch_size
    if activations > peak / 4 and size > 1:
        accumulation = settings.gradient_accumulation_steps * 2
        lines.append(
            f"less memory: per_device_train_batch_size = {size // 2}, gradient_accumulation_steps = {accumulation} "
            f"({format_bytes(peak - activations // 2)}, the same updates)"
        )
    elif settings.method == "full":
        saved = 20 * trained  # gradients, moments, and both in a checkpoint
        lines.append(f"less memory: method = lora ({format_bytes(peak - saved)})")
    disk, one = forecast_disk(model, args), estimate_bytes(model)
    if (args.save_total_limit or 2) > 1:
        fewer = disk - ((args.save_total_limit or 2) - 1) * one
        lines.append(f"less disk: save_total_limit = 1 ({format_bytes(fewer)})")
    if settings.method == "full":
        weights = 4 * sum(p.numel() for p in model.parameters())
        lines.append(
            f"least disk: method = lora (about {format_bytes(weights)}, as its checkpoints leave out the base)"
        )
    return lines


def compare_candidates(
    names: list[str],  # base models: names on the Hub, or folders; their configurations are enough
    tokens: int,  # of the training rows in one epoch, with padding
    length: int = 128,  # tokens of a long text
    batch_size: int = 32,  # texts in a batch
    num_train_epochs: float = 3.0,  # passes over the rows
) -> list[dict]:
    """Return parameters, memory, FLOPs per token, minutes and what it fits for each base model, all weights training.

    No weight is read: the minutes come from the rate of one product of matrices on this machine, and are a guide.
    Activations are those of Korthikanti et al. 2022 (https://arxiv.org/abs/2205.05198), in float32.
    """
    rate, rows = EFFICIENCY * measure_rate(), []
    for name in names:
        facts, config = model_facts(name), load_config(name).get_text_config()
        heads = getattr(config, "num_attention_heads", 1)
        layer = 68 * length * facts.hidden_size + 10 * heads * length**2
        needed = facts.training_bytes() + batch_size * (facts.layers or 1) * layer
        flops = 6 * facts.multiplied + 12 * (facts.layers or 1) * length * facts.hidden_size
        fits = [device for device, memory in DEVICES.items() if needed <= memory]
        rows.append(
            {
                "model": name,
                "parameters": facts.parameters,
                "bytes": needed,
                "flops_per_token": flops,
                "minutes": num_train_epochs * tokens * flops / rate / 60,
                "fits": fits[0] if fits else "none of these",
            }
        )
    return rows


def measure_rate() -> float:
    "Return the floating-point operations a second that this machine reaches in one large product, with its threads"
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(pick_precision(), torch.float32)
    a, b = (torch.ones(1024, 1024, dtype=kind, device=pick_device()) for _ in range(2))
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        float((a @ b)[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best
