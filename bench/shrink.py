"""What smaller forms of a run's model cost and bring: `python bench/shrink.py` writes shrink.json and shrink.md.

One run of the starter model on 600 posts, then each form of `ftkit export` with its size, its time in turns with the
original, and its score with a verdict; then the same model with weights set to zero, which dense kernels multiply too.
"""

import argparse
import copy
import json
import os
import platform
import sys
import tempfile
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch
from torch.nn.utils import prune

from ftkit.files.atomic import count_bytes
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.folder import to_json_value
from ftkit.serving.shrink import TIMED, shrink
from ftkit.serving.turns import SIZES, Answerer, time_turns
from ftkit.settings import Settings
from ftkit.training.hardware import read_cpu_flags
from ftkit.views.console import quiet_libraries

HERE = Path(__file__).resolve().parent
FORMS = ("int8", "onnx", "onnx=int8", "layers=5", "layers=4", "layers=3", "layers=2")
ZEROS = (0.5, 0.9)  # shares of the weights of linear layers
INSTRUCTIONS = {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"}  # that decide what 8 bits bring


def train(
    runs_dir: Path,  # for the run
) -> Run:
    "Train the run that is shrunk: a fifth of the posts each for validation and test, so that intervals are narrow"
    keys = {"max_train_samples": 600, "validation_size": 0.2, "test_size": 0.2, "num_train_epochs": 3.0}
    return fine_tune(Settings().replace(**keys, baselines=[]), runs_dir=runs_dir, name="original")


def measure_zeros(
    run: Run,
    share: float,  # of the weights of each linear layer, the smallest ones
    folder: Path,  # for the model
) -> dict:
    "Return size, speed and verdict of the model with its smallest weights set to zero"
    model, tokenizer = run.open_model()
    smaller = copy.deepcopy(model)
    for part in smaller.modules():
        if isinstance(part, torch.nn.Linear):
            prune.l1_unstructured(part, "weight", share)
            prune.remove(part, "weight")
    smaller.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    record = judge(run, smaller, tokenizer, f"{share:.0%} zeros")
    pair = Answerer(run.task, model, tokenizer, run.settings), Answerer(run.task, smaller, tokenizer, run.settings)
    texts = list(run.predictions.query("split == 'validation'").text[:TIMED])
    record["speed"] = {str(size): time_turns(*pair, texts, size) for size in SIZES}
    return record | {"smaller": count_bytes(run.model_folder) / count_bytes(folder), "bytes": count_bytes(folder)}


def judge(
    run: Run,
    model,  # changed
    tokenizer,
    name: str,  # of the form
) -> dict:
    "Return score and verdict on the validation rows"
    old = run.predictions.query("split == 'validation'").reset_index(drop=True)
    new = run.task.predict(model, tokenizer, run.task.read_again(old, run.data)[0], run.settings)
    keys = run.settings.section("metrics")
    verdict = run.task.compare(new, old, (name, run.path.name), **keys)
    found = {"form": name, "headline": run.task.headline, "scores": {"validation": run.task.score(new, **keys)}}
    return to_json_value({**found, "verdict": {**vars(verdict), "split": "validation", "rows": len(new)}})


def format_row(
    record: dict,  # of a form
) -> str:
    "Return a line of the table"
    verdict, speed = record["verdict"], record["speed"]
    score = record["scores"][verdict["split"]][record["headline"]]
    times = [f"{speed[str(n)]['faster']:.2f}x ({speed[str(n)]['milliseconds']:.1f} ms)" for n in SIZES]
    low, high = 100 * verdict["low"], 100 * verdict["high"]
    worse = {None: "no significant difference", record["form"]: "better"}.get(verdict["better"], "**worse**")
    return (
        f"| {record['form']} | {record['smaller']:.2f}x ({record['bytes'] / 1e6:.0f} MB) | {' | '.join(times)} | "
        f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}] | {verdict['split']} | "
        f"{100 * verdict['difference']:+.1f} [{low:+.1f}, {high:+.1f}] {worse} |"
    )


def format_table(
    result: dict,  # as in shrink.json
) -> str:
    "Return the table as Markdown"
    first = result["forms"][0]["speed"]
    own = ", ".join(
        f"{split} {s['value']:.3f} [{s['low']:.3f}, {s['high']:.3f}]" for split, s in result["own"].items()
    )
    times = " and ".join(f"{first[str(n)]['milliseconds_original']:.1f} ms at batch {n}" for n in SIZES)
    return "\n".join(
        [
            "# What smaller forms cost and bring",
            "",
            f"Made by `python bench/shrink.py` on {result['date']} ({result['machine']}). The original: the starter",
            f"model fine-tuned on 600 posts, {result['bytes'] / 1e6:.0f} MB, {times}; accuracy: {own}.",
            "",
            "| form | smaller | batch 1 | batch 16 | accuracy | rows | verdict against the original, points |",
            "|---|---|---|---|---|---|---|",
            *map(format_row, result["forms"] + result["zeros"]),
            f"| bf16, bitsandbytes, torchao on a GPU | {result['gpu']} | | | | | |",
            "",
            "Times are medians per text, tokenization included, of the model and the original taking turns in one",
            "process; the ratio is against the original in those turns. The load average of the machine was "
            f"{result['load']}:",
            "above the number of cores, times are rough and a ratio can be off by half.",
            "",
            "Converted forms are judged on the validation rows, on which the original's best epoch was chosen, which",
            "favours the original. `layers=N` chose its layers there, so it is judged on the test rows. Each row has",
            "its own interval: the best of several forms looks better than it is.",
            "",
            "Zeros: the smallest weights of every linear layer, set to zero (`torch.nn.utils.prune`). The files are",
            "as large, and dense kernels multiply zeros too: a ratio near 1 is noise.",
            "",
        ]
    )


def main() -> int:
    "Run everything and write the result"
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    quiet_libraries()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = train(folder / "runs")
        forms = [shrink(run, form, folder / form) for form in FORMS]
        zeros = [measure_zeros(run, share, folder / f"zeros-{share}") for share in ZEROS]
        own = {split: run.record["metrics"][split][run.task.headline] for split in ("validation", "test")}
        size = count_bytes(run.model_folder)
    for record in forms:
        for key in ("data", "out", "scores_original"):
            record.pop(key)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {' '.join(sorted(read_cpu_flags() & INSTRUCTIONS))}"
    result = {
        "date": date.today().isoformat(),
        "machine": f"{machine}, {torch.get_num_threads()} thread, no GPU used",
        "load": round(os.getloadavg()[0], 1),
        "bytes": size,
        "own": own,
        "forms": forms,
        "zeros": zeros,
        "gpu": "not measured" if torch.cuda.is_available() else "not measured (no GPU)",
    }
    (HERE / "shrink.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (HERE / "shrink.md").write_text(format_table(result), encoding="utf-8")
    print(format_table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
