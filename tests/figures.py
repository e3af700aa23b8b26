"The table of what ftkit promises about faults: a test marked `@pytest.mark.figure(N)` counts for row N, once for each of its cases."

import json
import os
import platform
from collections import defaultdict
from datetime import date
from pathlib import Path

TITLES = {
    1: "killed and resumed: same weights, optimizer and losses",
    2: "torn checkpoint: the newest whole one is used, the other named",
    3: "damaged checkpoint: seen, never silent",
    6: "not finite: stopped before the update",
    7: "stopped at any moment: whole checkpoint, usable model",
    8: "cell run again: nothing trained on silently, nothing touched",
    9: "disk full: said with bytes, nothing lost",
    10: "secrets: none in any file",
    11: "hostile files: no code run, nothing read outside",
    12: "HTML from data: no live tag in any view",
    13: "hostile names and paths: refused",
    14: "status and exit code after every end",
    15: "same seed, same bytes, in any process",
    19: "odd texts: same answer alone and in any batch",
    20: "predict: a row out for a row in, also after a kill",
    21: "out of memory: smaller batches from the first weights",
    22: "records read while they are written: never torn",
    23: "several processes: locked out, never mixed",
    24: "best model: it is the recorded one, or an error",
    25: "run folder moved, shared, read-only, oddly named",
}


class Figures:
    "A pytest plugin: counts cases by figure, prints the table, writes it to $FTKIT_FIGURES"

    def __init__(self):
        self.counts = defaultdict(lambda: {"passed": 0, "failed": 0, "skipped": 0})

    def pytest_runtest_logreport(self, report):
        "A case passes when its call passes; it fails at any stage"
        if report.when == "call" or report.failed or report.skipped:
            for name, value in report.user_properties:
                if name == "figure":
                    self.counts[value][report.outcome] += 1

    def rows(self) -> list[dict]:
        "One row for each figure that was run"
        return [{"figure": n, "title": TITLES[n], **self.counts[n]} for n in sorted(self.counts)]

    def pytest_terminal_summary(self, terminalreporter):
        "N of N"
        if not self.counts:
            return
        terminalreporter.section("faults: N of N")
        for row in self.rows():
            whole = row["passed"] + row["failed"]
            skipped = f" ({row['skipped']} skipped)" if row["skipped"] else ""
            terminalreporter.write_line(
                f"{row['figure']:>3}  {row['passed']:>3} of {whole:<3}  {row['title']}{skipped}"
            )
        if os.environ.get("FTKIT_FIGURES"):
            from ftkit.runs.folder import package_versions

            table = {
                "date": date.today().isoformat(),
                "machine": platform.platform(),
                "cores": os.cpu_count(),
                "versions": package_versions(),
                "figures": self.rows(),
            }
            Path(os.environ["FTKIT_FIGURES"]).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
