"""Predictions for a file in pieces (`ftkit predict --file`), next to reading all and predicting in one go.

    .venv/bin/python bench/predict_stream.py

200,000 and 1,000,000 short rows with a stub in place of the model, 20,000 rows with the starter's base model and an
untrained head (what it answers does not matter here). Scores of a real model differ in the 7th digit with what is
answered together, so only the stub's files are the same to the byte. Each measurement runs in a process of its own;
where other work shares the cores, the ratio of CPU seconds counts. Writes bench/predict_stream.json.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

CASES = {"stub": (200_000, 1_000_000), "base model": (20_000,)}
MODEL = """
from types import SimpleNamespace
class Stub:
    keys, identity = ("label", "score"), {"weights": "stub"}
    def read(self, table):
        return table.columns["text"], {name: v for name, v in table.columns.items() if name != "text"}
    def list_scores(self):
        return ["a", "b"]
    def answer(self, texts, progress=None):
        return [{"label": "a", "score": 0.75, "scores": {"a": 0.75, "b": 0.25}} for _ in texts]
class Base(Stub):
    identity = {"weights": "base"}
    def __init__(self):
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from ftkit.model import resolve_model
        from ftkit.tasks.classification import Classification
        folder = resolve_model("starter")
        self.model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2).eval()
        self.model.config.id2label = {0: "a", 1: "b"}
        self.tokenizer, self.task = AutoTokenizer.from_pretrained(folder), Classification()
    def answer(self, texts, progress=None):
        return self.task.answer(self.model, self.tokenizer, texts, SimpleNamespace(max_seq_length=128))
predictor = Base() if KIND == "base model" else Stub()
"""
WAYS = {
    "in pieces": """
from ftkit.files.streams import open_rows
from ftkit.serving.parts import OutputForm, predict_rows_of
rows = open_rows(FILE)
print(predict_rows_of(predictor, rows, OUT, OutputForm(".csv")).rows, file=sys.stderr)
""",
    "all at once": """
from ftkit.files.tables import read_table
from ftkit.serving.batch import write_rows
texts, others = predictor.read(read_table(FILE))
write_rows(OUT, texts, predictor.answer(texts), others)
""",
}


def write_rows(path: Path, count: int) -> None:
    "Write short rows, some of them quoted"
    with open(path, "w", encoding="utf-8") as f:
        f.write("id,text\n")
        for i in range(count):
            text = f"parcel {i} came {('late', 'early', 'wet, and open')[i % 3]} on day {i % 365}"
            f.write(f'{i},"{text}"\n' if "," in text else f"{i},{text}\n")


def measure(kind: str, way: str, path: Path, out: Path) -> dict:
    "Return seconds, CPU seconds, and peak megabytes beyond those of the loaded model, of a process of its own"
    script = (
        "import resource, sys, time\nfrom pathlib import Path\n"
        f"KIND, FILE, OUT = {kind!r}, {str(path)!r}, Path({str(out)!r})\n"
        "import ftkit.fine_tuning, ftkit.files.streams, ftkit.serving.parts\n"
        f"{MODEL}\nbefore, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()\n{WAYS[way]}\n"
        "print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic() - start)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    base, peak, seconds = map(float, done.stdout.split()[-3:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds_with_imports": round(cpu, 1),
        "peak_mb": round(peak / 1000),
        "added_mb": round((peak - base) / 1000),
    }


def main() -> None:
    "Measure and write the table"
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, counts in CASES.items():
            for count in counts:
                path = Path(folder) / f"{count}.csv"
                write_rows(path, count)
                row = {"model": kind, "rows": count, "file_mb": round(path.stat().st_size / 1e6, 1)}
                for way in WAYS:
                    row[way] = measure(kind, way, path, Path(folder) / f"{way}.csv")
                a, b = row["in pieces"], row["all at once"]
                row["seconds_ratio"] = round(a["seconds"] / b["seconds"], 2)
                row["cpu_ratio"] = round(a["cpu_seconds_with_imports"] / b["cpu_seconds_with_imports"], 2)
                row["added_memory_ratio"] = round(a["added_mb"] / max(1, b["added_mb"]), 2)
                both = [(Path(folder) / f"{way}.csv").read_bytes() for way in WAYS]
                row["same_bytes"] = both[0] == both[1]
                measured.append(row)
                print(json.dumps(row), flush=True)
    result = {
        "date": date.today().isoformat(),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "measured": measured,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
