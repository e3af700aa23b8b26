"""The table of faults: every case of `tests/` that counts for a figure, really done, beside the same for plain Transformers.

    python bench/faults.py            # `make faults`

Writes faults.json (ftkit), plain_faults.json (plain Transformers) and faults.md (both) beside this file. Exit code: that of the tests.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def cases(row: dict | None, whole: str) -> str:
    "`k of N` of a row, or a dash"
    return f"{row['passed']} of {row[whole]}" if row else "-"


def table(ours: dict, plain: dict) -> str:
    "Both results as Markdown"
    theirs = {row["figure"]: row for row in plain["figures"]}
    lines = [
        "# The table of faults",
        "",
        f"Made by `make faults` on {ours['date']}: {ours['cores']} cores, {ours['machine']}, no GPU; Python {ours['versions']['python']}, "
        f"PyTorch {ours['versions']['torch']}, Transformers {ours['versions']['transformers']}. ftkit's cases took {ours['seconds'] / 60:.0f} minutes.",
        "Each case is really done: a real process is killed, a real file system filled, a real byte flipped. The two columns do not always count the same",
        "number of cases: what plain Transformers has no means for (`plain_faults.json` says which, and each case) is a dash.",
        "",
        "| | what is counted | ftkit | plain Transformers |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row['figure']} | {row['title']} | {cases({**row, 'of': row['passed'] + row['failed']}, 'of')} | {cases(theirs.get(row['figure']), 'of')} |"
        for row in ours["figures"]
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    "Run, write, print"
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-m", "figure"],
        cwd=HERE.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "FTKIT_FIGURES": str(HERE / "faults.json")},
    )
    seconds = time.monotonic() - start
    subprocess.run([sys.executable, HERE / "plain_faults.py"], check=True)
    ours, plain = (
        json.loads((HERE / name).read_text(encoding="utf-8")) for name in ("faults.json", "plain_faults.json")
    )
    ours["seconds"] = round(seconds)
    (HERE / "faults.json").write_text(json.dumps(ours, indent=1) + "\n", encoding="utf-8")
    (HERE / "faults.md").write_text(table(ours, plain), encoding="utf-8")
    print((HERE / "faults.md").read_text(encoding="utf-8"))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
