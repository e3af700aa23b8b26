"""Cases from the field: how a table of them is made, read and judged.

A case has one of two right outcomes: its rows are read as they were meant and the decision is named, or it is
refused in one line with cause and remedy. Anything else is silently wrong, or a message that nobody can act on.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import pytest

from ftkit.checks.report import CHECKS
from ftkit.cli.main import main
from ftkit.data import load_data
from ftkit.errors import UserError

COUNTS: dict[str, Counter] = {}  # kind -> outcome -> cases that passed
THINGS = "bread soup train ticket garden lamp bus letter coat piano window bridge market ferry kettle".split()
SAID = {
    "pos": ["was lovely and warm", "made the whole street smile", "came early and worked at once"],
    "neg": ["broke again before noon", "smelled of wet dog and rust", "arrived late and half empty"],
    "neu": ["stands next to the door", "opens at nine on weekdays", "is painted grey and green"],
}


def make_rows(n: int = 60, labels: tuple = ("pos", "neg", "neu")) -> list[tuple[str, str]]:
    "Return pairs of a text and a label, every text different"
    kinds = list(SAID.values())
    return [
        (f"The {THINGS[i % 15]} {kinds[i % len(labels) % 3][i // 3 % 3]}, day {i}", labels[i % len(labels)])
        for i in range(n)
    ]


ROWS = make_rows()


def join(rows=None, sep: str = ",", header: str | None = None, end: str = "\n") -> str:
    "Return rows as delimited text, quoted as the csv module does"
    out = io.StringIO()
    writer = csv.writer(out, delimiter=sep, lineterminator=end)
    if header is None:
        writer.writerow(["text", "label"])
    writer.writerows(ROWS if rows is None else rows)
    return (header + end if header else "") + out.getvalue()


def join_plain(rows=None, sep: str = "\t", header: str = "text\tlabel") -> str:
    "Return rows as lines without any quoting"
    return "\n".join([*([header] if header else []), *(sep.join(map(str, r)) for r in rows or ROWS)]) + "\n"


def join_json(rows=None, names: tuple = ("text", "label"), **more) -> str:
    "Return rows as JSON Lines"
    rows = ROWS if rows is None else rows
    return "".join(json.dumps({**dict(zip(names, r)), **more}, ensure_ascii=False) + "\n" for r in rows)


@dataclass
class Case:
    "An input and what is right"

    kind: str  # of shared/cases.md: A1, E30, F …
    name: str  # the file, with the ending that a person would give it
    content: str | bytes | Callable  # or what writes it: (path) -> None
    rows: list | None = None  # text and label of each row that is kept; None: it is refused
    says: str = ""  # what a note, a line or the message must hold: a regex
    keys: dict = field(default_factory=dict)  # settings that the person gives
    by_check: bool = True  # whether `ftkit check` refuses it too; else it reports a finding


def write(case: Case, folder: Path) -> Path:
    "Write the file of a case"
    path = folder / case.name
    if callable(case.content):
        case.content(path)
    else:
        path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    return path


def run_check(path, capsys, judged: bool = False, **keys) -> tuple[int, dict | None, str]:
    """Return exit code, result and stderr of `ftkit check`, run in this process.

    The corpus asks how a file is read. The checks that train small models on its rows are left out unless `judged`
    """
    flags = [w for k, v in keys.items() for w in (f"--{k}", ", ".join(v) if isinstance(v, list) else str(v))]
    capsys.readouterr()
    idle = {} if judged else {name: lambda rows: [] for name in ("templates", "suspicious labels")}
    with patch.dict(CHECKS, idle):
        code = main(["check", str(path), *flags, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


def load(path=None, dataset=None, **keys) -> tuple[Counter, dict, str]:
    "Return the rows of all splits, the report, and all that it says"
    data, report = load_data(dataset, dataset_name=None, train_file=path and str(path), **keys)
    names = report["labels"]
    found = Counter((t, names[i]) for part in data.values() for t, i in zip(part["text"], part["label"]))
    return found, report, "\n".join([*report["lines"], *report["notes"]])


def refuse(work: Callable, says: str) -> str:
    "Return the message of a refusal: one line that holds what is expected"
    with pytest.raises(UserError) as caught:
        work()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700, message
    assert re.search(says, message), message
    return message


def judge(case: Case, folder: Path, capsys) -> None:
    "Assert that a case has its one right outcome, and count it"
    path = write(case, folder)
    before = sorted(p.name for p in folder.rglob("*"))
    code, result, err = run_check(path, capsys, **{k: v for k, v in case.keys.items() if k in CHECK_KEYS})
    if case.rows is None:
        if case.by_check:
            assert code == 2, (code, result)
            assert err.startswith("ftkit: ") and err.count("\n") == 1, err
            assert re.search(case.says, err) and path.name in err, err
        else:
            assert code == 3 and "Traceback" not in err, (code, err)
        refuse(lambda: load(path, **case.keys), case.says)
    else:
        assert code in (0, 3) and not err, (code, err)
        found, report, said = load(path, **case.keys)
        wanted = Counter(tuple(row) for row in case.rows)
        assert found == wanted, f"missing {list(wanted - found)[:3]}, unexpected {list(found - wanted)[:3]}"
        assert set(result["labels"]) >= set(report["labels"]) or not case.by_check
        if case.says:
            assert re.search(case.says, said), said
            checked = " ".join([f["what"] for f in result["findings"]] + [result["source"], result["columns"]["how"]])
            assert re.search(case.says, checked) or not case.by_check, checked
    assert sorted(p.name for p in folder.rglob("*")) == before
    count(case.kind, "refused" if case.rows is None else "read as meant")


CHECK_KEYS = (
    "text_column_name",
    "label_column_name",
    "encoding",
    "delimiter",
    "quoting",
    "column_names",
    "sheet_name",
    "sql_query",
)


def count(kind: str, outcome: str) -> None:
    "Count a case whose outcome was the right one"
    COUNTS.setdefault(kind, Counter())[outcome] += 1
