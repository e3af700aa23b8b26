"""Measure how long each notebook takes to run with one thread, two of them at a time: the run time of a lesson.

    python bench/lessons.py [NAME …]      # writes bench/lessons.json; five to ten minutes on two quiet cores

The tests add it to the time that the text takes to read.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parent / "nbs"
RESULT = HERE / "lessons.json"


def measure(
    path: Path,  # a notebook
) -> dict[str, float]:
    "Run the notebook. Return its seconds by the clock and on the processor, with those of its child processes"
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "nbdev-test", path, "--n-workers", "1"],
            cwd=HERE.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TMPDIR": folder},
        )
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{path.name}: does not run")
    seconds = {"wall_seconds": time.monotonic() - start, "cpu_seconds": used.ru_utime + used.ru_stime}
    return {name: round(value, 1) for name, value in seconds.items()} | {"date": date.today().isoformat()}


def main() -> None:
    "Measure the notebooks that are named, or all, and write the result"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="such as 03_data; default: all")
    names = parser.parse_args().names or [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    found = json.loads(RESULT.read_text(encoding="utf-8"))["lessons"] if RESULT.exists() else {}
    with ThreadPoolExecutor(2) as pool:
        for name, seconds in zip(names, pool.map(measure, [NOTEBOOKS / f"{name}.ipynb" for name in names])):
            found[name] = seconds
            print(name, seconds, flush=True)
    RESULT.write_text(json.dumps({"lessons": dict(sorted(found.items()))}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
