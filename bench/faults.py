"""Make the table of faults: every case of `tests/` that is marked with a fault, next to that of plain Transformers.

    python bench/faults.py            # `make faults`
    python bench/faults.py --failed   # after a mend: only the cases that failed, and the table again

Writes faults.json (ftkit), generation_faults.json (the survival tests again, with task = text-generation),
plain_faults.json (plain Transformers) and faults.md (all) next to this file. The exit code is that of the tests.
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
    cases = 0 if row is None else row["of"] if "of" in row else row["passed"] + row["failed"]
    return f"{row['passed']} of {cases}" if cases else "-"


def format_table(ours: dict, generation: dict, plain: dict) -> str:
    "Return the results as Markdown"
    versions = ours["versions"]
    written, theirs = ({row["figure"]: row for row in found["figures"]} for found in (generation, plain))
    lines = [
        "# The table of faults",
        "",
        f"Made by `make faults` on {ours['date']}: {ours['cores']} cores, {ours['machine']}, no GPU; "
        f"Python {versions['python']}, PyTorch {versions['torch']}, Transformers {versions['transformers']}. "
        f"ftkit's cases took {ours['seconds'] / 60:.0f} minutes.",
        "Each fault is real: a process is killed, a file system filled, a byte flipped. "
        "The columns do not always have the same number of cases. "
        f"Generation: the survival tests with `task = text-generation`, made on {generation['date']}."
        if generation["figures"]
        else "Generation: not run as a whole yet.",
        *(
            f"{name}: what failed first was mended and run again: {', '.join(found['again'])}."
            for name, found in (("ftkit", ours), ("Generation", generation))
            if "again" in found
        ),
        "A dash means that there is nothing that depends on the task, or nothing that plain Transformers could be "
        "tested for, or that it was not measured: see `plain_faults.json`, which also lists each case.",
        "",
        "| | what is counted | ftkit | generation | plain Transformers |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['figure']} | {row['title']} | {format_cases(row)} | {format_cases(written.get(row['figure']))} "
        f"| {format_cases(theirs.get(row['figure']))} |"
        for row in ours["figures"]
    ]
    return "\n".join(lines) + "\n"


def run_faults(
    name: str,  # of the file that is written, next to this one
    *options: str,  # of pytest
    **environment: str,  # more variables
) -> int:
    "Run the tests that are marked with a fault, write how many passed, and return their exit code"
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-m", "fault", *options],
        cwd=HERE.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "FTKIT_FAULTS": str(HERE / name), **environment},
    )
    found = json.loads((HERE / name).read_text(encoding="utf-8"))
    found["seconds"] = round(time.monotonic() - start)
    (HERE / name).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return done.returncode


def repeat_failed(
    name: str,  # of the file that holds what was run
    **environment: str,  # more variables, as then
) -> int:
    "Run the cases that failed again, write into the file how many pass now, and return the exit code"
    path = HERE / name
    found = json.loads(path.read_text(encoding="utf-8"))
    cases = sorted({case for row in found["figures"] for case in row.get("failures", [])})
    if not cases:
        return 0
    code = run_faults("again.json", *cases, **environment)
    again = {row["figure"]: row for row in json.loads((HERE / "again.json").read_text(encoding="utf-8"))["figures"]}
    (HERE / "again.json").unlink()
    for row in found["figures"]:
        if row.pop("failures", None):
            row["passed"] += again[row["figure"]]["passed"]
            row["failed"] = again[row["figure"]]["failed"]
            row |= {key: value for key, value in again[row["figure"]].items() if key == "failures"}
    found["again"] = [*found.get("again", []), *cases]
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return code


def main() -> int:
    "Run all, or what failed, write and print the table"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--failed", action="store_true", help="only the cases that failed")
    generation = {"FTKIT_TASK": "text-generation"}
    if parser.parse_args().failed:
        codes = [repeat_failed("faults.json"), repeat_failed("generation_faults.json", **generation)]
    else:
        codes = [run_faults("faults.json"), run_faults("generation_faults.json", "tests/survival", **generation)]
        subprocess.run([sys.executable, HERE / "plain_faults.py"], check=True)
    write_table()
    print((HERE / "faults.md").read_text(encoding="utf-8"))
    return max(codes)


def write_table() -> None:
    "Write faults.md from the three files"
    names = ("faults.json", "generation_faults.json", "plain_faults.json")
    paths = [HERE / name for name in names]
    found = [json.loads(p.read_text(encoding="utf-8")) if p.exists() else {"figures": []} for p in paths]
    (HERE / "faults.md").write_text(format_table(*found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
