"""Compare methods side by side: five that train, and prompting alone, on classification and on generation.

    OMP_NUM_THREADS=1 python bench/methods.py

Classification is the starter on its posts; generation is SmolLM2 (make smol), or its miniature without it, on the
support rows. Every method runs in a process of its own, so that its peak of memory is its own. Seconds are those of
the processor, which a busy machine changes less. Writes methods.json and methods.md next to this file.
"""

import argparse
import json
import platform
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from ftkit.errors import UserError
from ftkit.fine_tuning import TASKS
from ftkit.model_init import trainable_share
from ftkit.objective import Objective
from ftkit.runs.session import create_run
from ftkit.settings import CLASSIFICATION, GENERATION, Settings
from ftkit.starter.smol import smol_or_miniature
from ftkit.trainer import make_trainer, train
from ftkit.training.hardware import describe_machine, read_peak_memory, reset_peak_memory
from ftkit.views.console import quiet_libraries

HERE = Path(__file__).resolve().parent
RATES = {  # by hand, none was searched for
    CLASSIFICATION: {"full": 2e-4, "lora": 3e-3, "ia3": 1e-2, "prefix": 1e-2, "prompt": 1e-2},
    GENERATION: {"full": 1e-4, "lora": 1e-3, "ia3": 8e-3, "prefix": 1e-2, "prompt": 3e-2},
}
PROMPTING = ("zero_shot", "few_shot")  # rungs of the ladder: nothing is trained


def make_settings(task: str, args) -> Settings:
    "Return the experiment that all methods of a task share"
    if task == CLASSIFICATION:
        return Settings(max_train_samples=160, num_train_epochs=3, per_device_train_batch_size=16, num_threads=1)
    return Settings(
        task=task,
        model_name_or_path=str(smol_or_miniature()[0]),
        lora_r=16,
        max_train_samples=args.rows,
        num_train_epochs=1,
        per_device_train_batch_size=4,
        max_eval_samples=16,
        max_generated_samples=args.answers,
        max_new_tokens=48,
        num_threads=1,
    )


def read_rows(settings: Settings) -> tuple:
    "Return the task, the splits and the label names"
    task = TASKS[settings.task]
    data, report = task.load_data(**settings.section("data"))
    return task, data, report["labels"]


def count_stored(model) -> int:
    "Return the bytes of the weights to keep if the base model is at hand: those of an adapter, or all"
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return sum(file.stat().st_size for file in Path(folder).rglob("*.safetensors"))


def train_method(settings: Settings, method: str) -> dict:
    "Train, predict the test rows, and return both with what they cost"
    quiet_libraries()
    settings = settings.replace(method=method, learning_rate=RATES[settings.task][method])
    task, data, labels = read_rows(settings)
    tokenizer = task.load_tokenizer(**settings.section("model"))
    tokens = task.tokenize(data, tokenizer, **settings.section("tokenizer"))
    keys = settings.section("model") | settings.section("model_init")
    try:
        model = task.load_model(labels, tokenizer, seed=settings.seed, **keys)
    except UserError as error:
        return {"refused": str(error).split(" (")[0]}
    found = {"rate": settings.learning_rate, "trainable": trainable_share(model)[0], "stored": count_stored(model)}
    pieces = task.trainer_kwargs(tokens, tokenizer, settings)
    with tempfile.TemporaryDirectory() as folder, create_run(settings, folder, "bench") as run:
        model = train(make_trainer(model, tokens, tokenizer, settings, run, **pieces), run)
        found |= {"memory": run.record["peak_bytes"], "train_seconds": run.record["timing"]["train_cpu_seconds"]}
    start = time.process_time()
    predictions = task.predict(model, tokenizer, data["test"], settings)
    return found | {"answer_seconds": time.process_time() - start, "predictions": predictions}


def prompt(settings: Settings, rung: str) -> dict:
    "Predict the test rows with the untrained model, and return what it costs"
    quiet_libraries()
    task, data, labels = read_rows(settings)
    base, objective = task.open_base(settings), Objective(labels, **settings.section("objective"))
    base.model, base.tokenizer  # noqa: B018 - loaded before anything is measured
    reset_peak_memory()
    start = time.process_time()
    outputs = task.rungs[rung](data, data["test"], base, objective)
    seconds = time.process_time() - start
    return {"stored": 0, "memory": read_peak_memory(), "answer_seconds": seconds, "outputs": outputs}


def compare_methods(settings: Settings) -> dict[str, dict]:
    "Return method -> its costs, scores on the test rows, and the verdict against the model before training"
    found, task, context = {}, TASKS[settings.task], get_context("forkserver")
    context.set_forkserver_preload(["ftkit.fine_tuning"])
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for method in (*RATES[settings.task], *PROMPTING):
            work = prompt if method in PROMPTING else train_method
            found[method] = pool.submit(work, settings, method).result()
            print(settings.task, method, {k: v for k, v in found[method].items() if isinstance(v, int | float | str)})
    rows = found["full"]["predictions"]
    tables = {name: get_predictions(task, rows, row) for name, row in found.items() if "refused" not in row}
    keys = settings.section("metrics")
    for name, table in tables.items():
        scores = task.score(table, **keys)
        kept = (task.headline, "token_f1") if settings.task == GENERATION else (task.headline,)
        found[name]["scores"] = {key: vars(scores[key]) for key in kept if key in scores}
        if name != "zero_shot":
            found[name]["verdict"] = str(task.compare(table, tables["zero_shot"], (name, "zero_shot"), **keys))
    return found


def get_predictions(task, rows: pd.DataFrame, found: dict) -> pd.DataFrame:
    "Return the predictions of a method as a table, and leave its costs alone in `found`"
    outputs, table = found.pop("outputs", None), found.pop("predictions", None)
    return task.with_predictions(rows, outputs) if table is None else table


def format_table(found: dict[str, dict]) -> list[str]:
    "Return the lines of a table: costs as ratios to full, scores with their intervals"
    full, metrics = found["full"], list(found["full"]["scores"])
    head = ["method", "rate", "trained", "kept", "memory", "training", "answering", *metrics]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in found.items():
        if "refused" in row:
            lines.append(f"| {name} | refused: {row['refused']} |" + " |" * (len(head) - 2))
            continue
        ratio = lambda key: f"{row[key] / full[key]:.2f}" if key in row else "–"
        cells = [
            name,
            f"{row['rate']:g}" if "rate" in row else "–",
            f"{row.get('trainable', 0):,}",
            f"{row['stored'] / 1e6:,.2f} MB",
            *map(ratio, ("memory", "train_seconds", "answer_seconds")),
            *(format_score(row["scores"][m]) for m in metrics),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def format_score(score: dict) -> str:
    "Return a score with its interval"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def format_page(record: dict) -> str:
    "Return methods.md"
    versions = ", ".join(f"{name} {text}" for name, text in record["versions"].items())
    lines = [
        "# Methods side by side",
        "",
        f"Made by `python bench/methods.py` on {record['date']}: {record['machine']['device']} "
        f"({record['machine']['precision']} while training, one thread), {versions}.",
        "",
        "*kept*: the weights to store if the base model is at hand. *memory* (the peak of the process), *training*",
        "and *answering* (all test rows) are ratios to `full`, the latter two of processor seconds. Scores are those",
        "of the test rows, with 95 % intervals. One seed, one learning rate each: a first look, not a ranking.",
    ]
    for task, part in record["tasks"].items():
        full = part["methods"]["full"]
        lines += ["", f"## {task.removeprefix('text-').capitalize()}", "", part["what"] + ".", ""]
        lines += [*format_table(part["methods"]), ""]
        lines.append(
            f"`full`: {full['train_seconds']:.0f} s of training, {full['answer_seconds']:.1f} s of answering, "
            f"{full['memory'] / 1e6:,.0f} MB."
        )
        verdicts = [row["verdict"] for row in part["methods"].values() if "verdict" in row]
        lines += ["", *(f"- {text}" for text in verdicts)]
    return "\n".join([*lines, ""])


def main() -> None:
    "Run everything and write the result"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=48, help="training rows of generation (default: 48)")
    parser.add_argument("--answers", type=int, default=8, help="answers that are written (default: 8)")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the result (default: this one)")
    args = parser.parse_args()
    whats = {
        CLASSIFICATION: "The starter's posts, with all-MiniLM-L6-v2: 160 rows, 30 steps of 16. For this encoder "
        "prompting is the nearest description, or the nearest mean of four examples a label",
        GENERATION: f"The support rows, with {smol_or_miniature()[1]}: {args.rows} rows, {args.rows // 4} steps of 4. "
        f"loss: nats a token of all test rows; token_f1: of {args.answers} answers. few_shot: four examples",
    }
    tasks = {}
    for task, what in whats.items():
        tasks[task] = {"what": what, "methods": compare_methods(make_settings(task, args))}
    record = {
        "date": date.today().isoformat(),
        "machine": describe_machine(),
        "versions": {
            "Python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "peft")},
        },
        "tasks": tasks,
    }
    (args.out / "methods.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (args.out / "methods.md").write_text(format_page(record), encoding="utf-8")
    print(format_page(record))


if __name__ == "__main__":
    main()
