"""Run what `make test` leaves out: slow tests, method qlora, then lessons and fast tests on the oldest Transformers.

    python bench/slow.py              # `make slow`

Writes slow.json next to this file. The exit code is 1 if anything failed.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OLDEST = ROOT / ".venv-oldest/bin"
BITSANDBYTES = ROOT / ".venv-oldest/bitsandbytes"  # apart: PEFT would load it in every process
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def run_tests(
    python: str,  # of an environment
    *options: str,  # of pytest
    path: Path | None = None,  # a folder with more packages
) -> dict:
    "Run tests and return how many passed, failed and were skipped, which failed, and the minutes"
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", f"--junitxml={report}", *options]
        subprocess.run(command, cwd=ROOT, env=ENVIRONMENT | ({"PYTHONPATH": str(path)} if path else {}))
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    skipped = sum(c.find("skipped") is not None for c in cases)
    return {
        "passed": len(cases) - len(failed) - skipped,
        "failed": [f"{c.get('classname')}::{c.get('name')}" for c in failed],
        "skipped": skipped,
        "minutes": round((time.monotonic() - start) / 60, 1),
    }


def run_lessons(
    tool: Path,  # nbdev-test of an environment
) -> bool:
    "Execute all notebooks and return whether they ran"
    with tempfile.TemporaryDirectory() as folder:
        command = [tool, "--n-workers", "2"]
        return subprocess.run(command, cwd=ROOT, env={**ENVIRONMENT, "TMPDIR": folder}).returncode == 0


def read_version(
    python: str,  # of an environment
) -> str:
    "Return the version of Transformers"
    code = "from importlib.metadata import version; print(version('transformers'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    "Run everything and write the result"
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    newest, old = sys.executable, str(OLDEST / "python")
    result = {
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, no GPU",
        "slow tests": {"transformers": read_version(newest), **run_tests(newest, "-m", "slow")},
        "method qlora on the CPU": run_tests(newest, "tests/unit/test_qlora.py", path=BITSANDBYTES),
        "oldest Transformers": {
            "transformers": read_version(old),
            "lessons run": run_lessons(OLDEST / "nbdev-test"),
            **run_tests(old, "-m", "not slow", "tests/unit", "tests/survival"),
        },
    }
    (HERE / "slow.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    parts = [part for part in result.values() if isinstance(part, dict)]
    return int(any(p["failed"] or not p["passed"] for p in parts) or not parts[-1]["lessons run"])


if __name__ == "__main__":
    sys.exit(main())
