"""Make the table of architectures: which base model trains with which method, and which pair is refused.

    python bench/architectures.py     # a minute and a half

Runs the whole grid of tests/unit/test_architectures.py (tiny seeded models); writes architectures.md next to itself.
The exit code is that of the tests.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from datetime import date
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEST = HERE.parent / "tests/unit/test_architectures.py"


def run_grid(
    report: Path,  # the file of pytest's results
) -> int:
    "Run every pair of kind and method and return the exit code"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junitxml={report}", TEST, "-k", "test_pair"]
    return subprocess.run(
        command, cwd=HERE.parent, env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ).returncode


def read_grid(
    report: Path,  # the file of pytest's results
) -> dict[str, dict[str, str]]:
    "Return kind -> method -> outcome: the tests note what was said when a pair was refused"
    grid: dict[str, dict[str, str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kind, _, method = re.search(r"\[(.+)\]", case.get("name"))[1].rpartition("-")
        failed = case.find("failure") is not None or case.find("error") is not None
        said = [p.get("value") for p in case.iter("property") if p.get("name") == "refused"]
        reason = said[0].partition(" (")[0].partition(". ")[0] if said else None
        grid.setdefault(kind, {})[method] = "fails" if failed else f"refused: {reason}" if reason else "trains"
    return grid


def format_grid(
    grid: dict[str, dict[str, str]],  # kind -> method -> outcome
) -> str:
    "Return the table as Markdown"
    methods = list(next(iter(grid.values())))
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft"))
    lines = [
        "# Which base models train",
        "",
        f"Made by `python bench/architectures.py` on {date.today()}: Python {platform.python_version()}, {versions}.",
        "Tiny models with random weights, one epoch on 60 rows each. *trains* means: the run ends, its weights have",
        "changed, the saved model opens in a plain pipeline (a prompt, which is an adapter: in ftkit) and answers",
        "as the run does, and every text gets the same logits alone and in a batch. *refused* means: one line",
        "before anything starts, and no folder.",
        "",
        "| architecture | " + " | ".join(f"`{method}`" for method in methods) + " |",
        "|---|" + "---|" * len(methods),
    ]
    lines += [f"| {kind} | " + " | ".join(row[method] for method in methods) + " |" for kind, row in grid.items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    "Run the grid, write and print the table"
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = run_grid(report)
        table = format_grid(read_grid(report))
    (HERE / "architectures.md").write_text(table, encoding="utf-8")
    print(table)
    return code


if __name__ == "__main__":
    sys.exit(main())
