"""Measure how long each notebook takes to run, one after the other, with one thread: the run time of a lesson.

    python bench/lessons.py [NAME …]      # writes bench/lessons.json; about ten minutes on a quiet machine

The tests add it to the time that the text takes to read.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parent / "nbs"
RESULT = HERE / "lessons.json"


def measure(
    path: Path,  # a notebook
) -> dict[str, float]:
    "Run the notebook. Return its seconds by the clock and on the processor, with those of its child processes"
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [Path(sys.executable).parent / "nbdev-test", path, "--n-workers", "1"],
            cwd=HERE.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TMPDIR": folder},
            check=True,
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_seconds": round(time.monotonic() - start, 1), "cpu_seconds": round(used, 1)}


def main() -> None:
    "Measure the notebooks that are named, or all, and write the result"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="such as 03_data; default: all")
    names = parser.parse_args().names or [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    found = json.loads(RESULT.read_text(encoding="utf-8"))["lessons"] if RESULT.exists() else {}
    for name in names:
        found[name] = measure(NOTEBOOKS / f"{name}.ipynb") | {"date": date.today().isoformat()}
        print(name, found[name], flush=True)
    RESULT.write_text(json.dumps({"lessons": dict(sorted(found.items()))}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
