"""The faults that ftkit promises to survive.

A test marked `@pytest.mark.fault("disk full")` counts for that row of the table, once for each of its cases.
"""

import json
import os
import platform
from collections import defaultdict
from datetime import date
from pathlib import Path

FAULTS = {  # name: title, in the order of the table
    "killed": "killed and resumed: same weights, optimizer and losses",
    "torn checkpoint": "torn checkpoint: the newest complete one is used, the other named",
    "damaged checkpoint": "damaged checkpoint: detected, never silent",
    "not finite": "not finite: stopped before the update",
    "stopped": "stopped at any moment: complete checkpoint, usable model",
    "cell run again": "cell run again: nothing trained on silently, nothing touched",
    "disk full": "disk full: reported with bytes, nothing lost",
    "secrets": "secrets: none in any file",
    "hostile files": "hostile files: no code run, nothing read outside",
    "HTML from data": "HTML from data: no live tag in any view",
    "hostile names": "hostile names and paths: refused",
    "exit status": "status and exit code after every end",
    "same seed": "same seed, same bytes, in any process",
    "serve limits": "server: what is malformed or too large is refused in a second",
    "serve load": "server under load: no errors, the answers of predict bit for bit",
    "slow clients": "server with 300 slow clients: they are closed, others notice nothing",
    "odd texts": "odd texts: same answer alone and in any batch",
    "predict": "predict: a row out for a row in, also after a kill",
    "out of memory": "out of memory: smaller batches from the first weights",
    "read while written": "records read while they are written: never torn",
    "several processes": "several processes: locked out, never mixed",
    "best model": "best model: it is the recorded one, or an error",
    "run folder moved": "run folder moved, shared, read-only, oddly named",
}
# The numbers of the rows in bench/faults.json and bench/plain_faults.json
FIGURES = dict(zip(FAULTS, (1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25)))


class FaultCounter:
    "A pytest plugin: counts cases by fault, prints the table, writes it to $FTKIT_FAULTS"

    def __init__(self):
        self.counts = defaultdict(lambda: {"passed": 0, "failed": 0, "skipped": 0})
        self.failures = defaultdict(list)  # fault: the cases that failed, as pytest takes them

    def pytest_runtest_logreport(self, report):
        "Count a case: it passes when its call passes; it fails at any stage"
        if report.when == "call" or report.failed or report.skipped:
            for name, value in report.user_properties:
                if name == "fault":
                    self.counts[value][report.outcome] += 1
                    if report.failed:
                        self.failures[value].append(report.nodeid)

    def rows(self) -> list[dict]:
        "Return one row for each fault that was run"
        return [
            {"figure": FIGURES[fault], "fault": fault, "title": FAULTS[fault], **self.counts[fault]}
            | ({"failures": self.failures[fault]} if self.failures[fault] else {})
            for fault in FAULTS
            if fault in self.counts
        ]

    def pytest_terminal_summary(self, terminalreporter):
        "Print N of N for each fault"
        if not self.counts:
            return
        terminalreporter.section("faults: N of N")
        for row in self.rows():
            total = row["passed"] + row["failed"]
            skipped = f" ({row['skipped']} skipped)" if row["skipped"] else ""
            terminalreporter.write_line(
                f"{row['figure']:>3}  {row['passed']:>3} of {total:<3}  {row['title']}{skipped}"
            )
        if os.environ.get("FTKIT_FAULTS"):
            from ftkit.runs.folder import package_versions

            table = {
                "date": date.today().isoformat(),
                "machine": platform.platform(),
                "cores": os.cpu_count(),
                "versions": package_versions(),
                "figures": self.rows(),
            }
            Path(os.environ["FTKIT_FAULTS"]).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
