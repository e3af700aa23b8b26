"""Make the table of faults: every case of `tests/` that is marked with a fault, next to that of plain Transformers.

    python bench/faults.py            # `make faults`

Writes faults.json (ftkit), plain_faults.json (plain Transformers) and faults.md (both) next to this file.
The exit code is that of the tests.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def format_cases(row: dict | None) -> str:
    "Return `k of N` of a row, or a dash"
    if row is None:
        return "-"
    return f"{row['passed']} of {row['of'] if 'of' in row else row['passed'] + row['failed']}"


def format_table(ours: dict, plain: dict) -> str:
    "Return both results as Markdown"
    versions, theirs = ours["versions"], {row["figure"]: row for row in plain["figures"]}
    lines = [
        "# The table of faults",
        "",
        f"Made by `make faults` on {ours['date']}: {ours['cores']} cores, {ours['machine']}, no GPU; "
        f"Python {versions['python']}, PyTorch {versions['torch']}, Transformers {versions['transformers']}. "
        f"ftkit's cases took {ours['seconds'] / 60:.0f} minutes.",
        "Each fault is real: a process is killed, a file system filled, a byte flipped. "
        "The two columns do not always have the same number of cases.",
        "A dash means that plain Transformers has nothing to test there, or was not measured: "
        "see `plain_faults.json`, which also lists each case.",
        "",
        "| | what is counted | ftkit | plain Transformers |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row['figure']} | {row['title']} | {format_cases(row)} | {format_cases(theirs.get(row['figure']))} |"
        for row in ours["figures"]
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    "Run both, write and print the table"
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-m", "fault"],
        cwd=HERE.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "FTKIT_FAULTS": str(HERE / "faults.json")},
    )
    seconds = time.monotonic() - start
    subprocess.run([sys.executable, HERE / "plain_faults.py"], check=True)
    ours, plain = (
        json.loads((HERE / name).read_text(encoding="utf-8")) for name in ("faults.json", "plain_faults.json")
    )
    ours["seconds"] = round(seconds)
    (HERE / "faults.json").write_text(json.dumps(ours, indent=1) + "\n", encoding="utf-8")
    (HERE / "faults.md").write_text(format_table(ours, plain), encoding="utf-8")
    print((HERE / "faults.md").read_text(encoding="utf-8"))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
