"""A million rows (200 MB of text) read, cleaned and split, or examined: peak memory and seconds, next to pandas.

Examined twice, at a million and at `FEWER` rows: above 100,000 the costly checks sample, so what grows is the texts.

    .venv/bin/python bench/million_rows.py

Each measurement runs in a process of its own. Writes bench/million_rows.json.
"""

import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

ROWS, FEWER, LETTERS = 1_000_000, 150_000, 200
WORK = {
    "ftkit: read, clean, split": (
        "from ftkit.data import load_data\n"
        "data, _ = load_data(train_file=FILE, max_eval_samples=None); n = sum(data.num_rows.values())"
    ),
    "ftkit: examine": (
        "from ftkit.checks.report import examine; from ftkit.files.tables import read_table\n"
        "n = examine({'train': read_table(FILE)}, 'text', 'label')['rows']"
    ),
    "pandas: read": "import pandas as pd; n = len(pd.read_csv(FILE, dtype=str, keep_default_na=False))",
    "imports alone": "import ftkit.data, pandas; n = 0",
}


def write_rows(path: Path, rows: int) -> None:
    "Write rows: every text different, three labels, some quoted"
    words = [f"word{i}" for i in range(5000)]
    with open(path, "w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(["text", "label"])
        for i in range(rows):
            text = f"{i}, " + " ".join(words[(i * 7919 + k * 104729) % 5000] for k in range(LETTERS // 9))
            writer.writerow([text, ("bad", "flat", "good")[i % 3]])


def measure(code: str, path: Path) -> dict:
    "Run code in a process of its own and return wall seconds, CPU seconds and peak bytes"
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    script = (
        f"FILE = {str(path)!r}\n{code}\nimport resource; print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows, peak = map(int, done.stdout.split()[-2:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = time.monotonic() - start
    return {"rows": rows, "wall_seconds": round(wall, 1), "cpu_seconds": round(cpu, 1), "peak_mb": round(peak / 1000)}


def main() -> None:
    "Measure and write the table"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        write_rows(path, FEWER)
        fewer = {name: measure(WORK[name], path) for name in ("ftkit: examine", "pandas: read")}
        write_rows(path, ROWS)
        result = {
            "date": date.today().isoformat(),
            "machine": platform.platform(),
            "cores": os.cpu_count(),
            "file_mb": round(path.stat().st_size / 1e6),
            "measured": {name: measure(code, path) for name, code in WORK.items()},
            f"measured with {FEWER:,} rows": fewer,
        }
    measured = result["measured"]
    cpu = [measured[name]["cpu_seconds"] for name in ("ftkit: read, clean, split", "pandas: read")]
    result["cpu_ratio"] = round(cpu[0] / cpu[1], 1)
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
