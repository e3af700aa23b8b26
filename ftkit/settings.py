"""One experiment as a value: typed keys, one section per step, read from and written to `settings.ini`.

The keys are Hugging Face's own names if its examples agree on one. A section holds the keyword arguments of its step's
function: `load_data(**settings.section("data"))`. Other fields of `TrainingArguments` are passed through in
`training_arguments`.
"""

import ast
import dataclasses
import importlib.util
import json
import math
import os
import re
import types
import typing
import unicodedata
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ftkit.errors import USER_PASSWORD, UserError, did_you_mean
from ftkit.files.ini import read_entries
from ftkit.files.rows import ADDRESS

SECTIONS = {
    "objective": "Step 1. The task, and the baselines that the model has to beat.",
    "model": "Step 2. The base model.",
    "data": "Step 3. The rows: where they come from and how they are split.",
    "tokenizer": "Step 4. From text to tokens.",
    "model_init": "Step 5. The initial weights, and which of them are trained.",
    "metrics": "Step 6. How the result is judged.",
    "trainer": "Step 7. Training. Any other field of transformers.TrainingArguments may be added here.",
}
Auto = typing.Literal["auto"]  # a value that is found when the run starts
METRICS = ["accuracy", "f1_macro", "precision_macro", "recall_macro"]
BEST_METRICS = [*METRICS, "loss"]  # the values of metric_for_best_model
BASELINES = ["majority", "tfidf", "zero_shot", "few_shot", "frozen"]
SHARES = {"accuracy"}  # metrics that count right rows
LOWER_IS_BETTER = {"loss", "perplexity", "mae", "mse", "hamming_loss"}  # metrics


@dataclass(frozen=True)
class TaskValues:
    "What the keys that are `auto` become for a task, and what they may be"

    baselines: list[str]  # the rungs of its ladder
    metrics: list[str]  # the values of metric_for_best_model, the default first
    model_name_or_path: str = "starter"
    dataset_name: str | None = "starter"
    max_seq_length: int = 128
    method: str = "full"
    per_device_train_batch_size: int = 32
    per_device_eval_batch_size: int = 64

    @property
    def metric_for_best_model(self) -> str:
        "Return the default"
        return self.metrics[0]


CLASSIFICATION, MULTI_LABEL, REGRESSION = "text-classification", "multi-label", "regression"
GENERATION = "text-generation"
HEADS = (CLASSIFICATION, MULTI_LABEL, REGRESSION)  # tasks whose model has a new head
TASKS = {
    CLASSIFICATION: TaskValues(BASELINES, BEST_METRICS),
    MULTI_LABEL: TaskValues(
        ["majority", "tfidf", "zero_shot", "frozen"],
        ["f1_micro", "f1_macro", "hamming_loss", "subset_accuracy", "loss"],
        dataset_name=None,
    ),
    REGRESSION: TaskValues(["median", "tfidf", "frozen"], ["mae", "mse", "spearman", "loss"], dataset_name=None),
    GENERATION: TaskValues(
        ["copy", "nearest", "zero_shot", "few_shot"],
        ["loss", "perplexity"],
        model_name_or_path="smol",
        dataset_name="support",
        max_seq_length=512,
        method="lora",
        per_device_train_batch_size=8,
        per_device_eval_batch_size=8,
    ),
}
AUTO = (  # keys that a task answers; the learning rate, its method
    "baselines",
    "metric_for_best_model",
    "model_name_or_path",
    "dataset_name",
    "max_seq_length",
    "method",
    "learning_rate",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
)


class AnyTask:
    "The values of a key in all tasks, in their order"

    def __init__(
        self,
        name: str,  # a field of `TaskValues`
    ):
        self.name = name

    def __iter__(self):
        return iter(dict.fromkeys(["auto", *(v for task in TASKS.values() for v in getattr(task, self.name))]))


METHODS = ["full", "lora", "qlora", "ia3", "prompt", "prefix", "top_k", "head"]


class Rates(NamedTuple):
    "The usual learning rates of a method"

    low: float
    default: float  # what `auto` becomes
    high: float


RATES = {
    "full": Rates(5e-6, 2e-4, 1e-3),
    "top_k": Rates(5e-6, 5e-4, 5e-3),
    "lora": Rates(2e-5, 1e-3, 1e-2),
    "qlora": Rates(2e-5, 1e-3, 1e-2),
    "ia3": Rates(1e-4, 1e-2, 0.1),
    "prompt": Rates(1e-4, 3e-2, 0.5),
    "prefix": Rates(1e-4, 1e-2, 0.5),
    "head": Rates(1e-4, 1e-3, 0.5),
}


def rates_of(
    method: str,  # one of `METHODS`, or one that was added
) -> Rates:
    "Return the usual learning rates of a method; of one that is not known, those of `full`"
    return RATES.get(method, RATES["full"])


OWNED = {
    "output_dir": "every run gets its own folder: give --runs_dir and --run",
    "overwrite_output_dir": "a run never overwrites another: give --run a new name",
    "resume_from_checkpoint": "use `ftkit train --resume RUN`, or `run.resume()`",
    "push_to_hub": "ftkit does not upload: push the run's folder model/ yourself after you have checked it",
    "hub_token": "ftkit keeps no secrets: log in with `hf auth login`",
    "dataloader_persistent_workers": "persistent workers make a resumed run differ from an uninterrupted one",
    "logging_nan_inf_filter": "ftkit stops at a loss that is not finite; it never logs it as 0.0",
    "save_only_model": "without the optimizer a resumed run ends with other weights",
    "ignore_data_skip": "a resumed run continues with the next row",
    "auto_find_batch_size": "if memory runs out, ftkit starts the training again with smaller batches",
    "data_seed": "data_seed belongs to the section [data]",
}
MOVED = {("metrics", "metric_for_best_model"): "trainer"}  # section in files of older runs, key -> section today
RETIRED = {
    "evaluation_strategy": "eval_strategy",
    "warmup_ratio": "warmup_steps (a number below 1 is the share of all steps)",
    "group_by_length": "train_sampling_strategy = group_by_length",
    "no_cuda": "use_cpu",
    "use_mps_device": "nothing: Apple's GPU is used if there is one (use_cpu = true to avoid it)",
    "logging_dir": "nothing: the log is log.jsonl in the run folder",
    "save_safetensors": "nothing: weights are always saved as safetensors",
    "fp16_backend": "fp16 = true",
    "half_precision_backend": "fp16 = true or bf16 = true",
    "include_inputs_for_metrics": "include_for_metrics = inputs",
    "jit_mode_eval": "torch_compile = true",
    "torchdynamo": "torch_compile_backend",
    "tokenizer": "model_name_or_path: the tokenizer comes with the model",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "max_length": "max_seq_length",
    "early_stopping": "early_stopping_patience",
    "num_epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
}
OTHER_NAMES = {  # names that people try -> the key
    "threads": "num_threads",
    "n_threads": "num_threads",
    "max_minutes": "minutes",
    "time_limit": "minutes",
    "text_column": "text_column_name",
    "text_col": "text_column_name",
    "text": "text_column_name",
    "label_column": "label_column_name",
    "label_col": "label_column_name",
    "label": "label_column_name",
    "target": "label_column_name",
    "epochs": "num_train_epochs",
    "n_epochs": "num_train_epochs",
    "lr": "learning_rate",
    "wd": "weight_decay",
    "model": "model_name_or_path",
    "model_name": "model_name_or_path",
    "base_model": "model_name_or_path",
    "checkpoint": "model_name_or_path",
    "max_len": "max_seq_length",
    "max_seq_len": "max_seq_length",
    "seq_length": "max_seq_length",
    "train": "train_file",
    "train_path": "train_file",
    "train_data": "train_file",
    "data": "train_file",
    "file": "train_file",
    "csv": "train_file",
    "input": "train_file",
    "valid_file": "validation_file",
    "val_file": "validation_file",
    "dev_file": "validation_file",
    "eval_file": "validation_file",
    "test": "test_file",
    "dataset": "dataset_name",
    "bs": "per_device_train_batch_size",
    "train_batch_size": "per_device_train_batch_size",
    "eval_batch_size": "per_device_eval_batch_size",
    "grad_accum": "gradient_accumulation_steps",
    "patience": "early_stopping_patience",
    "warmup": "warmup_steps",
    "random_state": "seed",
    "random_seed": "seed",
    "test_split": "test_size",
    "val_size": "validation_size",
    "lora_rank": "lora_r",
    "sep": "delimiter",
    "separator": "delimiter",
    "sheet": "sheet_name",
    "names": "column_names",
    "query": "sql_query",
    "group_column": "group_column_name",
    "time_column": "time_column_name",
    "output": "--runs_dir and --run",
    "out_dir": "--runs_dir and --run",
    "output_path": "--runs_dir and --run",
}


def key(
    section: str,  # one of `SECTIONS`
    default,  # the value if the key is not given
    text: str,  # what the key does: the comment in settings.ini and the line in --help
    **limits,  # `low`, `high` (inclusive), `above` (exclusive), `choices`
):
    "Return a field of `Settings` with its section, explanation and limits"
    metadata = {"section": section, "help": text, **limits}
    if isinstance(default, dict | list):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    "The settings of one experiment. They are immutable: `replace` returns new ones."

    task: str = key(
        "objective",
        CLASSIFICATION,
        "what the model is trained to do: text-classification (one label), multi-label (any number of labels), "
        "regression (a number), text-generation (an answer)",
        choices=TASKS,
    )
    baselines: list[str] = key(
        "objective", ["auto"], "the rungs of the ladder that the model has to beat", choices=AnyTask("baselines")
    )
    label_words: dict[str, str] = key(
        "objective",
        {},
        "words that stand for each label when the untrained model is asked "
        "(label: words; label: words); default: the label's name",
        tasks=(CLASSIFICATION, MULTI_LABEL),
    )
    num_shots: int = key(
        "objective",
        4,
        "examples in the prompt of the rung few_shot; of each label, if there are labels",
        low=1,
        tasks=(CLASSIFICATION, GENERATION),
    )

    model_name_or_path: str = key(
        "model",
        "auto",
        "a name on the Hugging Face Hub, a folder, `starter` (all-MiniLM-L6-v2 from the package index), or `smol` "
        "(SmolLM2-135M-Instruct: make smol)",
    )
    model_revision: str = key("model", "main", "the branch, tag or commit on the Hub")

    dataset_name: str | None = key(
        "data",
        "auto",
        "a data set on the Hub, `starter` (posts that come with ftkit) or `support` (questions and answers); ignored "
        "if train_file is given",
    )
    dataset_config_name: str | None = key("data", None, "the configuration of that data set")
    train_file: str | None = key(
        "data",
        None,
        "your own training rows: a file, a pattern such as rows-*.csv, a folder, - for stdin, the URL of a database",
    )
    validation_file: str | None = key(
        "data", None, "your own validation rows; default: split off from the training rows"
    )
    test_file: str | None = key("data", None, "your own test rows; default: split off from the training rows")
    text_column_name: str | None = key(
        "data", None, "the column with the text, or the prompt; default: found by name, then by content"
    )
    label_column_name: str | None = key("data", None, "the column with the label, or the response; default: found")
    encoding: str | None = key("data", None, "of the files, such as cp1252; default: found")
    delimiter: str | None = key("data", None, "of the files: comma, semicolon, tab or bar; default: found")
    quoting: str | None = key(
        "data",
        None,
        "quotes (a field may be in double quotes) or literal (quotes are part of the text); default: found",
        choices=("quotes", "literal"),
    )
    column_names: list[str] = key("data", [], "of files without a header line, such as text, label", names=True)
    sheet_name: str | None = key("data", None, "of an Excel file; default: the first sheet")
    sql_query: str | None = key("data", None, "if train_file is the URL of a database")
    ignore_labels: list[str] = key(
        "data", [], "leave out the rows with these labels", names=True, tasks=(CLASSIFICATION,)
    )
    feedback_file: str | None = key(
        "data", None, "judged answers (text, answer, mark, corrected), which are added to the training rows"
    )
    group_column_name: str | None = key(
        "data", None, "rows with the same value in this column stay on one side of a split"
    )
    group_near_duplicates: bool = key(
        "data", False, "texts that are nearly the same stay on one side of a split too, as equal ones do"
    )
    time_column_name: str | None = key("data", None, "hold out the latest rows by this column, instead of random ones")
    validation_size: float = key(
        "data",
        0.1,
        "the share of the rows that becomes the validation split if the source has none",
        above=0,
        high=0.5,
    )
    test_size: float = key(
        "data", 0.1, "the share of the rows that becomes the test split if the source has none", above=0, high=0.5
    )
    max_train_samples: int | None = key(
        "data", None, "train on at most this many rows: the first ones after a seeded shuffle", low=1
    )
    max_eval_samples: int | None = key(
        "data", 1000, "the same for the validation rows, which are scored after every epoch", low=1
    )
    max_predict_samples: int | None = key("data", None, "the same for the test rows", low=1)
    data_seed: int = key(
        "data", 42, "seed of the split and the samples; `seed` is that of the training", low=0, high=2**32 - 1
    )

    max_seq_length: int = key("tokenizer", "auto", "longer texts are cut to this many tokens", low=1)
    pad_to_max_length: bool = key(
        "tokenizer",
        False,
        "pad every text to max_seq_length, as old tutorials do; false: to the longest of its batch",
        tasks=HEADS,
    )
    chat_template: str = key(
        "tokenizer",
        "auto",
        "how roles become text: plain, alpaca or chatml; auto: the tokenizer's own, else plain",
        tasks=(GENERATION,),
    )
    packing: bool = key(
        "tokenizer",
        False,
        "join short rows into sequences of max_seq_length, without attention across rows",
        tasks=(GENERATION,),
    )

    method: str = key(
        "model_init",
        "auto",
        "which weights are trained: full, lora, qlora, ia3, prompt, prefix, top_k (the last layers, the head) or head",
        choices=METHODS,
    )
    top_k_layers: int = key("model_init", 2, "how many of the last layers are trained with method = top_k", low=1)
    dropout: float | None = key(
        "model_init",
        0.0,
        "of every dropout layer while training; none: the model's own (a step takes a sixth longer on CPUs)",
        low=0,
        high=0.9,
    )
    lora_r: int = key("model_init", 8, "rank of the LoRA matrices", low=1)
    lora_alpha: float = key("model_init", 16.0, "LoRA's update is scaled by lora_alpha / lora_r", above=0)
    lora_dropout: float = key("model_init", 0.05, "dropout before the LoRA matrices", low=0, high=0.999)
    num_virtual_tokens: int = key("model_init", 20, "vectors that learn in front of a text: prompt, prefix", low=1)

    confidence_level: float = key("metrics", 0.95, "of every interval", above=0.5, high=0.999)
    num_resamples: int = key(
        "metrics", 2000, "bootstrap resamples behind the intervals of F1 and of differences", low=100
    )
    max_generated_samples: int = key(
        "metrics",
        50,
        "answers that are written for each split; the loss rests on all rows",
        low=0,
        tasks=(GENERATION,),
    )
    max_new_tokens: int = key("metrics", 64, "the longest answer, in tokens", low=1, tasks=(GENERATION,))
    temperature: float = key(
        "metrics", 0.0, "of sampling; 0: always the likeliest token", low=0, high=5, tasks=(GENERATION,)
    )

    num_train_epochs: float = key("trainer", 3.0, "passes over the training rows", above=0)
    learning_rate: float = key("trainer", "auto", "the peak, after warm-up; auto: what suits the method", above=0)
    per_device_train_batch_size: int = key("trainer", "auto", "rows per step and device", low=1)
    per_device_eval_batch_size: int = key("trainer", "auto", "rows per batch when predicting", low=1)
    gradient_accumulation_steps: int = key("trainer", 1, "batches per update of the weights", low=1)
    warmup_steps: float = key("trainer", 0.1, "steps until the peak; below 1: the share of all steps", low=0)
    weight_decay: float = key("trainer", 0.01, "AdamW's pull of the weights towards zero", low=0)
    class_weights: str = key(
        "trainer",
        "none",
        "weight of each label in the loss: none, or balanced (rare labels count more)",
        choices=("none", "balanced"),
        tasks=(CLASSIFICATION,),
    )
    train_sampling_strategy: str = key(
        "trainer",
        "group_by_length",
        "order of the training rows: random, sequential, or group_by_length (texts of similar length share a batch)",
        choices=("random", "sequential", "group_by_length"),
    )
    metric_for_best_model: str = key(
        "trainer",
        "auto",
        "the validation metric that chooses the best epoch",
        choices=AnyTask("metrics"),
    )
    early_stopping_patience: int | None = key(
        "trainer", None, "stop after this many evaluations without a better metric_for_best_model", low=1
    )
    minutes: float | None = key("trainer", None, "train for at most this long, then stop after a step", above=0)
    num_threads: int | Auto = key(
        "trainer",
        "auto",
        "of the processor, while training; auto: OMP_NUM_THREADS if it is set, else what trial steps find fastest",
        low=1,
        high=1024,
    )
    preflight: str = key(
        "trainer",
        "true",
        "check model, rows and settings before training; full: also learn eight rows by heart; false: no checks",
        choices=("true", "false", "full"),
    )
    seed: int = key("trainer", 42, "of the new head, dropout and the order of the rows", low=0, high=2**32 - 1)
    training_arguments: dict[str, object] = field(default_factory=dict, metadata={"section": None})

    def __post_init__(self):
        for f in KEYS.values():
            value = parse_value(f, getattr(self, f.name))
            if is_auto(f.name, value):
                value = self.answer(f.name)
            object.__setattr__(self, f.name, list(value) if isinstance(value, list) else value)
        check_task(self)
        for name, value in self.training_arguments.items():
            check_key(name, "trainer")
            if isinstance(value, str):
                check_text(value, name)

    def answer(
        self,
        name: str,  # one of `AUTO`
    ) -> object:
        "Return what a key that is `auto` becomes for this task and this method"
        return rates_of(self.method).default if name == "learning_rate" else getattr(TASKS[self.task], name)

    def replace(
        self,
        **keys,  # keys of this class or fields of `TrainingArguments`
    ) -> "Settings":
        "Return these settings with some keys changed. Raises `UserError` if a key is unknown"
        own = {k: v for k, v in keys.items() if k in KEYS or k == "training_arguments"}
        if any(own.get(k, getattr(self, k)) != getattr(self, k) for k in ("task", "method")):
            # what the old task and method answered, the new ones answer
            own = {k: "auto" for k in AUTO if getattr(self, k) == self.answer(k)} | own
        extra = {k: v for k, v in keys.items() if k not in own}
        return dataclasses.replace(self, **{"training_arguments": {**self.training_arguments, **extra}, **own})

    def with_absolute_paths(self) -> "Settings":
        "Return these settings as they read from another folder"
        files = {k: v for k, v in self.section("data").items() if k.endswith("_file") and v and is_path(v)}
        paths = {k: str(Path(v).expanduser().absolute()) for k, v in files.items()}
        if (base := self.model_name_or_path) != "starter" and os.path.isdir(base):
            paths["model_name_or_path"] = str(Path(base).absolute())
        return self.replace(**paths)

    def section(
        self,
        name: str,  # one of `SECTIONS`
    ) -> dict:
        "Return the task's keys of one section with their values: the keyword arguments of that step's function"
        own = [f for f in KEYS.values() if f.metadata["section"] == name and serves(f, self.task)]
        keys = {f.name: getattr(self, f.name) for f in own}
        return keys | (self.training_arguments if name == "trainer" else {})

    @classmethod
    def preset(
        cls,
        name: str,  # one of `PRESETS`
        **keys,  # keys to change
    ) -> "Settings":
        "Return the settings of a ready-made experiment. Raises `UserError` if there is no such preset"
        if name not in PRESETS:
            raise UserError(
                f"preset '{name}' is not known.{did_you_mean(name, PRESETS)} Presets: {', '.join(PRESETS)}."
            )
        return cls().replace(**{**PRESETS[name], **keys})

    @classmethod
    def read(
        cls,
        path: str | Path,  # a file such as settings.ini
        base: "Settings | None" = None,  # values of the keys that the file does not give; default: the defaults
    ) -> "Settings":
        """Read the settings in an .ini file; relative paths in it count from its folder.

        Raises `UserError` with section, key and line.
        """
        path = Path(path)
        keys = {}
        for section, name, value, line in read_entries(path, SECTIONS):
            where = f"{path}, line {line}: [{section}] {name}"
            section = MOVED.get((section, name), section)
            check_key(name, section, where)
            if name not in KEYS:
                keys[name] = parse_plain(value)
                continue
            keys[name] = parse_value(KEYS[name], value, where)
            if name.endswith("_file") and keys[name] and is_path(keys[name]):
                keys[name] = str(path.parent / Path(keys[name]).expanduser())
        return (base or cls()).replace(**keys)

    def to_ini(
        self,
        first_line: str = "An ftkit experiment: `ftkit train THIS_FILE` runs it.",  # a comment in the first line
        record: bool = False,  # of a run. Else a rate that suits the method is written as auto: it follows edits
    ) -> str:
        "Return the text of a settings file, with every key explained"
        lines = [f"# {first_line}"]
        for section, text in SECTIONS.items():
            lines += ["", f"[{section}]", f"# {text}"]
            for name, value in self.section(section).items():
                if name == "learning_rate" and value == self.answer(name) and not record:
                    value = "auto"
                if name in KEYS:
                    lines += [f"# {KEYS[name].metadata['help']}", f"{name} = {format_value(value)}".rstrip()]
                else:
                    written = json.dumps(value) if isinstance(value, dict | list) else format_value(value)
                    lines += [f"{name} = {written}"]
        return "\n".join(lines) + "\n"


KEYS = {f.name: f for f in fields(Settings) if f.metadata["section"]}
TYPES = typing.get_type_hints(Settings)
PRESETS = {
    "starter": {},
    "gpt2-tweets": dict(
        model_name_or_path="gpt2",
        dataset_name="mteb/tweet_sentiment_extraction",
        text_column_name="text",
        label_column_name="label_text",
        max_train_samples=1000,
        max_eval_samples=1000,
        max_predict_samples=1000,
        per_device_train_batch_size=16,
        learning_rate=5e-5,
    ),
    # one pass: no row is seen twice, and dropout would only cost an eighth of each step
    "smol-support": dict(task=GENERATION, lora_r=16, lora_dropout=0, num_train_epochs=1, max_new_tokens=64),
    "gpt2-instruct": dict(
        task=GENERATION, model_name_or_path="gpt2", dataset_name="tatsu-lab/alpaca", max_train_samples=2000
    ),
}


def serves(
    f: dataclasses.Field,  # the key
    task: str,  # the value of `task`
) -> bool:
    "Return whether a key belongs to a task"
    return task in f.metadata.get("tasks", TASKS)


def is_auto(
    name: str,  # of a key
    value: object,  # as given
) -> bool:
    "Return whether the task answers a key"
    return name in AUTO and (value == ["auto"] or isinstance(value, str) and value.strip().lower() == "auto")


def check_task(
    settings: Settings,  # with all values
) -> None:
    "Raise `UserError` for a key that was set and belongs to other tasks, and for a rung or metric of another task"
    task = settings.task
    for f in KEYS.values():
        value = getattr(settings, f.name)
        if not serves(f, task) and value != default_of(f):
            raise UserError(
                f"{f.name} = {quote(value)}: is a key of task = {' and '.join(f.metadata['tasks'])}, "
                f"and here task = {task}. Leave it out."
            )
    if settings.training_arguments.get("label_smoothing_factor") and task != CLASSIFICATION:
        raise UserError(f"label_smoothing_factor: smooths the labels of {CLASSIFICATION}, and here task = {task}.")
    for name, known in (("baselines", TASKS[task].baselines), ("metric_for_best_model", TASKS[task].metrics)):
        value = getattr(settings, name)
        for item in value if isinstance(value, list) else [value]:
            if item not in known:
                raise UserError(
                    f"{name} = {quote(item)}: not a choice for task = {task}.{did_you_mean(item, known)} "
                    f"Choices: {', '.join(known)}."
                )


def default_of(f: dataclasses.Field) -> object:
    "Return the default of a key"
    return f.default if f.default is not dataclasses.MISSING else f.default_factory()


def check_key(
    name: str,  # the key
    section: str,  # the section it was given in
    where: str | None = None,  # file, line, section and key, for the message
) -> None:
    """Raise `UserError` if a key is set by ftkit itself, retired, unknown or in the wrong section.

    An unknown key of [trainer] passes: it is checked when the `TrainingArguments` are built.
    """
    where = where or name
    if name in KEYS:
        right = KEYS[name].metadata["section"]
        if right != section:
            raise UserError(f"{where}: this key belongs to the section [{right}].")
    elif name in OWNED:
        raise UserError(f"{where}: ftkit sets this itself; {OWNED[name]}.")
    elif name in RETIRED:
        raise UserError(f"{where}: this name is retired. Write {RETIRED[name]}.")
    elif name in OTHER_NAMES:
        raise UserError(f"{where}: this key is not known. Did you mean '{OTHER_NAMES[name]}'?")
    elif section != "trainer":
        raise UserError(
            f"{where}: this key is not known.{did_you_mean(name, KEYS)} See `ftkit train --help` for all keys."
        )
    elif (fields := training_fields()) and name not in fields:
        raise UserError(
            f"{where}: neither a key of ftkit nor a field of TrainingArguments."
            f"{did_you_mean(name, [*KEYS, *fields])} See `ftkit train --help` for all keys."
        )


@cache
def training_fields() -> frozenset[str]:
    "Return the fields of TrainingArguments from its source, as loading Transformers takes seconds; empty if not found"
    spec = importlib.util.find_spec("transformers")
    try:
        source = Path(spec.origin).with_name("training_args.py").read_text(encoding="utf-8")
        body = next(n.body for n in ast.parse(source).body if getattr(n, "name", None) == "TrainingArguments")
    except (AttributeError, OSError, StopIteration, SyntaxError):
        return frozenset()
    return frozenset(n.target.id for n in body if isinstance(n, ast.AnnAssign))


def parse_value(
    f: dataclasses.Field,  # the key
    value: object,  # text from a file or flag, or a Python value
    where: str | None = None,  # for the message; default: the key's name
) -> object:
    "Return a value as the key's type. Raises `UserError` if it does not fit or is out of the key's limits"
    where = where or f.name
    if is_auto(f.name, value):
        return "auto"
    if f.metadata.get("names") and isinstance(value, str):
        value = split_names(value)
    if isinstance(value, bool) and str(value).lower() in f.metadata.get("choices", ()):
        value = str(value).lower()  # of preflight, from Python
    try:
        value = convert(TYPES[f.name], value)
    except (ValueError, TypeError, OverflowError):
        raise UserError(
            f"{where} = {quote(value)}: expected {describe_type(TYPES[f.name])}, as in {f.name} = {example_value(f)}."
        ) from None
    rules = f.metadata
    if value is None:
        return value
    check_text(value, where)
    if "choices" in rules:
        for item in value if isinstance(value, list) else [value]:
            if item not in rules["choices"]:
                raise UserError(
                    f"{where} = {quote(item)}: not a choice.{did_you_mean(str(item), rules['choices'])} "
                    f"Choices: {', '.join(rules['choices'])}."
                )
    if isinstance(value, int | float) and not isinstance(value, bool):
        problem = find_range_problem(value, rules)
        if problem:
            raise UserError(f"{where} = {quote(value)}: {problem}.")
    return value


def split_names(
    text: str,  # names with commas between them; `none` alone means no name
) -> list[str]:
    "Return names that may hold spaces"
    return [] if text.strip().lower() == "none" else [name.strip() for name in text.split(",") if name.strip()]


def check_text(
    value: object,  # of a key
    where: str,  # for the message
) -> None:
    """Raise `UserError` if a text holds control characters or a password.

    A line break would start another line of settings.ini; a terminal would obey an escape sequence.
    """
    texts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else [value]
    for text in texts:
        if isinstance(text, str) and any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text):
            raise UserError(f"{where} = {quote(text)}: holds a line break or a control character. Write it without.")
        if isinstance(text, str) and USER_PASSWORD.search(text):
            raise UserError(
                f"{where}: holds a user or password in a URL, which would be kept with the run. "
                "Download the file and give its path."
            )
    if isinstance(value, dict) and any(sign in text for text in texts for sign in ":;"):
        raise UserError(
            f"{where} = {quote(value)}: a ':' or ';' in it would be read as the next entry. Write it without."
        )


def find_range_problem(value: float, rules) -> str | None:
    "Return which limit a number breaks, or None"
    if not math.isfinite(value):
        return "must be a finite number"
    if "low" in rules and value < rules["low"]:
        return f"must be at least {rules['low']}"
    if "above" in rules and value <= rules["above"]:
        return f"must be above {rules['above']}"
    if "high" in rules and value > rules["high"]:
        return f"must be at most {rules['high']}"
    return None


def is_union(kind) -> bool:
    "Return whether a type hint allows None or a word besides its type: `int | None`, `int | Auto`"
    return typing.get_origin(kind) in (types.UnionType, typing.Union)


def convert(kind, value):
    "Return a value as the type `kind`. Raises `ValueError` or `TypeError` if it does not fit"
    if is_union(kind):
        word = value.strip().lower() if isinstance(value, str) else value
        if Auto in typing.get_args(kind) and word == "auto":
            return "auto"
        if type(None) in typing.get_args(kind) and word in (None, "", "none"):
            return None
        return convert(typing.get_args(kind)[0], value)
    origin = typing.get_origin(kind) or kind
    if origin is bool:
        return parse_bool(value)
    if origin is int:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        return int(value)
    if origin is float:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    if origin is list:
        if isinstance(value, str):
            value = [i for i in re.split(r"[,\s]+", value) if i.lower() != "none"]
        return [str(i) for i in value if str(i)]
    if origin is dict:
        return parse_pairs(value) if isinstance(value, str) else {str(k): str(v) for k, v in dict(value).items()}
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def parse_bool(value) -> bool:
    "Return a truth value from true/false, yes/no, on/off or 1/0. Raises `ValueError` for other words"
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if str(value).strip().lower() not in words:
        raise ValueError
    return words[str(value).strip().lower()]


def parse_pairs(text: str) -> dict[str, str]:
    "Return `a: x; b: y` as a dictionary, `none` as an empty one. Raises `ValueError` if it has another form"
    found = {}
    if text.strip().lower() == "none":
        return found
    for part in filter(str.strip, text.split(";")):
        name, colon, value = part.partition(":")
        if not colon or not name.strip() or not value.strip():
            raise ValueError
        found[name.strip()] = value.strip()
    return found


def is_path(
    source: str,  # the value of train_file and its like
) -> bool:
    "Return whether it names a file or a pattern, not standard input or the URL of a database"
    return source != "-" and not ADDRESS.match(source)


def parse_plain(text: object) -> object:
    "Return the value of a key that only `TrainingArguments` knows, as bool, int, float, None or text"
    if not isinstance(text, str):
        return text
    lowered = text.strip().lower()
    if lowered in ("true", "false", "none", ""):
        return {"true": True, "false": False}.get(lowered)
    for kind in (int, float, json.loads) if lowered[:1] in "{[" else (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text.strip()


def matches_type(value: object, hint: object) -> bool:
    "Return whether a value fits a type hint of numbers and truth values. Any value fits another hint"
    kinds = typing.get_args(hint) or (hint,)
    return (
        not set(kinds) <= {bool, int, float, type(None)}
        or type(value) in kinds
        or type(value) is int
        and float in kinds
    )


def format_value(value: object) -> str:
    "Return a value as settings.ini has it: `convert` reads it back as the same value"
    if value is None:
        return "none"
    if isinstance(value, Enum):  # several fields of `TrainingArguments` are enums
        value = value.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{k}: {v}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def quote(value: object) -> str:
    "Return a value for an error message: quoted, on one line, at most 60 characters"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def describe_type(kind) -> str:
    "Return a type in words"
    names = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        list: "a list",
        dict: "label: words; label: words",
    }
    if is_union(kind):
        return f"{describe_type(typing.get_args(kind)[0])} or {'auto' if Auto in typing.get_args(kind) else 'none'}"
    return names[typing.get_origin(kind) or kind]


def example_value(f: dataclasses.Field) -> str:
    "Return a valid value of a key, for an error message"
    default = getattr(Settings(), f.name) if f.name in AUTO else default_of(f)
    if default or default is False:
        return format_value(default)
    return {"label_words": "negative: bad; positive: good"}.get(
        f.name, "1000" if f.name.startswith("max_") else "3" if "patience" in f.name else "data.csv"
    )
