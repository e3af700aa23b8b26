"""Compare the forecast with what the training then took, over twelve configurations, with one thread.

    OMP_NUM_THREADS=1 python bench/forecast.py

Each configuration is three runs of `fine_tune` in this process, the configurations taking turns; the median of each
ratio counts. Compared are CPU seconds of the training, which a busy machine changes less than wall seconds. Writes
forecast.json next to this file.
"""

import json
import os
import tempfile
from datetime import date
from pathlib import Path
from statistics import median

from transformers import AutoTokenizer, BertConfig, BertModel, GPT2Config, GPT2Model, set_seed

from ftkit import Settings, fine_tune
from ftkit.starter import minilm_path, tiny_gpt2
from ftkit.training.hardware import describe_machine
from ftkit.views.console import quiet_libraries

HERE = Path(__file__).resolve().parent
PASSES = 3
NEAR = 0.25  # a forecast is right if it is off by at most this share


def save_model(model, tokenizer: str, folder: Path) -> str:
    "Save a model with random weights and a tokenizer, and return the folder"
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)


def configurations(folder: Path) -> dict[str, dict]:
    "Return name -> keys of `Settings`"
    set_seed(42)
    tiny = str(tiny_gpt2())
    gpt2 = GPT2Model(GPT2Config(vocab_size=2000, n_embd=256, n_layer=6, n_head=8))
    bert = BertModel(BertConfig(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024))
    gpt2, bert = save_model(gpt2, tiny, folder / "gpt2"), save_model(bert, str(minilm_path()), folder / "bert")
    return {
        "MiniLM, 300 rows, 2 epochs": dict(max_train_samples=300, num_train_epochs=2),
        "MiniLM, batches of 8": dict(max_train_samples=200, num_train_epochs=1, per_device_train_batch_size=8),
        "MiniLM, lora": dict(max_train_samples=300, num_train_epochs=2, method="lora"),
        "MiniLM, top_k": dict(max_train_samples=300, num_train_epochs=2, method="top_k"),
        "MiniLM, head": dict(max_train_samples=300, num_train_epochs=2, method="head"),
        "MiniLM, padded to 64": dict(
            max_train_samples=200, num_train_epochs=1, pad_to_max_length=True, max_seq_length=64
        ),
        "MiniLM, 4 batches an update": dict(
            max_train_samples=200, num_train_epochs=1, per_device_train_batch_size=8, gradient_accumulation_steps=4
        ),
        "BERT 4x256, 600 rows": dict(model_name_or_path=bert, max_train_samples=600, num_train_epochs=2),
        "BERT 4x256, dropout, random order": dict(
            model_name_or_path=bert,
            max_train_samples=400,
            num_train_epochs=2,
            dropout=None,
            train_sampling_strategy="random",
        ),
        "GPT-2 6x256, 400 rows": dict(model_name_or_path=gpt2, max_train_samples=400, num_train_epochs=2),
        "GPT-2 6x256, lora": dict(model_name_or_path=gpt2, max_train_samples=400, num_train_epochs=2, method="lora"),
        "tiny GPT-2, 1,000 rows, 4 epochs": dict(model_name_or_path=tiny, max_train_samples=1000, num_train_epochs=4),
    }


def compare(record: dict) -> dict[str, float]:
    "Return forecast over actual, and the CPU seconds of the training"
    forecast, timing = record["forecast"], record["timing"]
    return {
        "cpu_seconds": timing["train_cpu_seconds"],
        "forecast_over_actual": forecast["train_cpu_seconds"] / timing["train_cpu_seconds"],
        "wall_over_actual": forecast["train_seconds"] / timing["train_seconds"],
        "total_over_actual": forecast["total_seconds"] / timing["total_seconds"],
        "memory_over_actual": forecast["peak_bytes"] / record["peak_bytes"],
    }


def main() -> None:
    "Run all configurations, print and write the result"
    quiet_libraries()
    ratios: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory() as folder:
        chosen = configurations(Path(folder))
        for name, keys in PASSES * [*chosen.items()]:
            settings = Settings().replace(baselines=["majority"], num_threads=1, **keys)
            record = fine_tune(settings, runs_dir=Path(folder) / "runs").record
            ratios.setdefault(name, []).append(compare(record))
            print(name, *ratios[name][-1].values(), sep="  ", flush=True)
    rows = [
        {"configuration": name, **{key: round(median(found[key] for found in each), 3) for key in each[0]}}
        for name, each in ratios.items()
    ]
    near = sum(abs(row["forecast_over_actual"] - 1) <= NEAR for row in rows)
    result = {
        "date": date.today().isoformat(),
        "machine": describe_machine(),
        "near": near,
        "of": len(rows),
        "rows": rows,
    }
    (HERE / "forecast.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{near} of {len(rows)} forecasts lie within {NEAR:.0%} in CPU seconds")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
