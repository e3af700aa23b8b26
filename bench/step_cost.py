"""Measure a training step of the starter on this machine with other dropout, attention and precision.

    .venv/bin/python bench/step_cost.py

Every variant takes the same batch, in an order that changes, so that a busy machine slows all of them alike. Printed
and written to bench/step_cost.json: the median over the batches of each variant's time divided by the first one's.
"""

import json
import platform
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import DataCollatorWithPadding

from ftkit.data import load_data
from ftkit.model_init import load_model
from ftkit.settings import Settings
from ftkit.tokenizer import load_tokenizer, tokenize
from ftkit.training.hardware import describe_machine
from ftkit.training.sampler import EpochSampler

STEPS, WARM_UP = 30, 3
VARIANTS = {  # dropout, attention, bf16
    "ftkit's default": (0.0, "eager", True),
    "dropout 0.1": (0.1, "eager", True),
    "fused attention": (0.0, "sdpa", True),
    "both, as plain": (0.1, "sdpa", True),
    "float32": (0.0, "eager", False),
}


def time_step(model, optimizer, batch, bf16: bool) -> float:
    "Return the seconds of one update"
    start = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        loss = model(**batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - start


def main() -> None:
    "Measure all variants, print and write the result"
    transformers.logging.set_verbosity_error()
    settings = Settings()
    data, report = load_data(**settings.section("data"))
    tokenizer = load_tokenizer("starter")
    rows = tokenize(data, tokenizer)["train"]
    order = list(EpochSampler(rows["length"], 32, "group_by_length", 0))
    models = {
        name: load_model("starter", report["labels"], tokenizer, dropout=dropout).train()
        for name, (dropout, _, _) in VARIANTS.items()
    }
    for name, (_, attention, _) in VARIANTS.items():
        models[name].set_attn_implementation(attention)
    optimizers = {name: torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True) for name, model in models.items()}
    seconds = {name: [] for name in VARIANTS}
    collate, turns = DataCollatorWithPadding(tokenizer), np.random.default_rng(0)
    for i in range(STEPS + WARM_UP):
        batch = collate(
            [{k: rows[j][k] for k in ("input_ids", "attention_mask", "labels")} for j in order[32 * i : 32 * (i + 1)]]
        )
        for name in turns.permutation(list(VARIANTS)):
            taken = time_step(models[name], optimizers[name], batch, VARIANTS[name][2])
            if i >= WARM_UP:
                seconds[name].append(taken)
    first = np.array(next(iter(seconds.values())))
    result = {
        name: {
            "ratio": round(float(np.median(np.array(s) / first)), 2),
            "median_seconds": round(float(np.median(s)), 3),
        }
        for name, s in seconds.items()
    }
    record = {
        "date": date.today().isoformat(),
        "machine": describe_machine(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "steps": STEPS,
        "batch": 32,
        "result": result,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print("\n".join(f"{name:<20} {r['ratio']:.2f} x   {r['median_seconds']:.3f} s" for name, r in result.items()))


if __name__ == "__main__":
    main()
