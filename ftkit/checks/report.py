"What a file holds, before anything is trained on it: `ftkit check`. Neither torch nor transformers is loaded."

from collections import Counter
from dataclasses import asdict, dataclass, field

from ftkit.checks.columns import choose_label, choose_text, get_column, join_texts
from ftkit.checks.duplicates import normalise
from ftkit.checks.labels import find_empty_names, join_spellings
from ftkit.checks.texts import is_blank
from ftkit.errors import escape_controls
from ftkit.files.annotations import find_several_labels, unlist
from ftkit.files.rows import Table

EXAMPLES = 3


@dataclass
class Finding:
    "Something in the rows that a person should know before training"

    what: str  # in one line
    count: int  # rows, texts or labels
    examples: list[str] = field(default_factory=list)
    fix: str = ""  # a setting or a line of code


def examine(
    tables: dict[str, Table],  # by split; `test` may be missing
    text_column_name: str | None = None,  # default: found
    label_column_name: str | None = None,  # default: found
) -> dict:
    "Return rows, columns, labels, duplicates, leaks and findings, as read, before any cleaning. Raises `UserError`"
    train = tables["train"]
    text_columns, text_how = choose_text(train, text_column_name, (label_column_name,) if label_column_name else ())
    label_column, label_how = choose_label(train, label_column_name, tuple(text_columns))
    read = {split: read_pairs(table, text_columns, label_column, split) for split, table in tables.items()}
    texts, labels = read["train"]
    counts = Counter(name for name in labels if isinstance(name, str))
    groups = {kind: find_groups(texts, key) for kind, key in (("exact", str), ("normalised", normalise))}
    conflicts = find_conflicts(texts, labels)
    result = {
        "source": train.describe(),
        "rows": len(texts),
        "columns": {
            "text": ", ".join(text_columns),
            "label": label_column,
            "how": f"text {text_how}, label {label_how}",
        },
        "labels": dict(counts),
        "encoding": train.encoding,
        "delimiter": train.delimiter,
        "empty": sum(is_blank(t) for t in texts),
        "conflicts": len(conflicts),
        "duplicates": count_kinds(groups["exact"], groups["normalised"]),
        "leaks": find_leaks(texts, read["test"][0]) if "test" in read else {"exact": 0, "normalised": 0, "near": None},
    }
    result["findings"] = [asdict(f) for f in find_all(tables, label_column, texts, labels, counts, conflicts, result)]
    return result


def read_pairs(
    table: Table,  # the rows of one split
    text_columns: list[str],  # one, or two that are a pair
    label_column: str,  # its label
    split: str,  # for the message
) -> tuple[list, list]:
    "Return texts and labels, one a row; a label is None if there is none, a list if there are several"
    texts = join_texts(table, text_columns, split)
    labels = unlist(get_column(table, label_column, split))
    return texts, [None if is_blank(v) else v.strip() if isinstance(v, str) else v for v in labels]


def find_groups(
    texts: list,  # one a row
    key,  # what two duplicates share
) -> set[int]:
    "Return the rows whose text has a duplicate"
    seen: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        if isinstance(text, str) and not is_blank(text):
            seen.setdefault(key(text), []).append(i)
    return {i for rows in seen.values() if len(rows) > 1 for i in rows}


def count_kinds(
    exact: set[int],  # rows with an exact duplicate
    normalised: set[int],  # rows with a normalised duplicate
) -> dict:
    "Return how many rows have a duplicate, each row once, under the closest kind"
    return {"exact": len(exact), "normalised": len(normalised - exact), "near": None}


def find_leaks(
    train: list,  # texts
    test: list,  # texts
) -> dict:
    "Return how many test rows are training rows too, each row once, under the closest kind"
    known = {t for t in train if isinstance(t, str)}
    alike = {normalise(t) for t in known}
    rows = [t for t in test if isinstance(t, str) and not is_blank(t)]
    exact = sum(t in known for t in rows)
    return {"exact": exact, "normalised": sum(normalise(t) in alike for t in rows) - exact, "near": None}


def find_conflicts(
    texts: list,  # one a row
    labels: list,  # one a row
) -> list[str]:
    "Return the texts that have more than one label"
    found: dict[str, set] = {}
    for text, label in zip(texts, labels):
        if isinstance(text, str) and isinstance(label, str) and not is_blank(text):
            found.setdefault(text, set()).add(label)
    return [text for text, names in found.items() if len(names) > 1]


def find_all(
    tables: dict[str, Table],  # by split
    label_column: str,  # the name of the label column
    texts: list,  # of the training rows
    labels: list,  # of the training rows
    counts: Counter,  # label -> rows
    conflicts: list[str],  # texts with more than one label
    result: dict,  # of `examine`
) -> list[Finding]:
    "Return everything that a person should know, in the order of the steps"
    shown = lambda values: [escape_controls(str(v))[:80] for v in list(values)[:EXAMPLES]]
    found = [Finding(note, 1) for table in tables.values() for note in table.notes]
    if result["empty"]:
        found.append(Finding("rows without a text; they are dropped", result["empty"]))
    if missing := sum(label is None for label in labels):
        found.append(Finding("rows without a label; they are dropped", missing))
    if several := [v for v in labels if isinstance(v, list | dict)]:
        found.append(
            Finding("rows with several labels", len(several), shown(several), "give a column with one label a row")
        )
    elif joined := find_several_labels([v for v in labels if isinstance(v, str)]):
        found.append(
            Finding(
                f"labels that hold several, separated by '{joined[0]}'", 1, shown([joined[1]]), "give one label a row"
            )
        )
    found += [Finding(note, 1) for note in join_spellings([v for v in labels if isinstance(v, str)])[1]]
    found += [Finding(note, 1) for note in find_empty_names(dict(counts), label_column)]
    if len(counts) < 2:
        found.append(Finding("only one label: there is nothing to learn", 1, shown(counts), "check label_column_name"))
    if conflicts:
        found.append(
            Finding("texts with more than one label", len(conflicts), shown(conflicts), "decide for one label")
        )
    for kind in ("exact", "normalised"):
        if count := result["duplicates"][kind]:
            found.append(
                Finding(f"rows with a duplicate text ({kind})", count, fix="duplicates stay on one side of a split")
            )
        if count := result["leaks"][kind]:
            found.append(
                Finding(f"test rows that are training rows too ({kind})", count, fix="take them out of the test file")
            )
    rare = [name for name, count in counts.items() if count < 3]
    if rare and len(counts) > 1:
        found.append(
            Finding("labels with fewer than 3 rows", len(rare), shown(rare), f"ignore_labels = {', '.join(rare[:3])}")
        )
    return found


def describe_examination(
    result: dict,  # of `examine`
) -> list[str]:
    "Return the result as lines of text"
    columns, labels = result["columns"], result["labels"]
    counts = ", ".join(f"{escape_controls(n)} {c:,}" for n, c in list(labels.items())[:12])
    lines = [
        f"{result['source']}: {result['rows']:,} rows",
        f"text = '{columns['text']}', label = '{columns['label']}' ({columns['how']})",
        f"{len(labels)} labels: {counts}" + (" …" if len(labels) > 12 else ""),
    ]
    for f in result["findings"]:
        count = f" ({f['count']:,})" if f["count"] > 1 else ""
        examples = f": {'; '.join(f['examples'])}" if f["examples"] else ""
        fix = f" → {f['fix']}" if f["fix"] else ""
        lines.append(f"- {f['what']}{count}{examples}{fix}")
    return lines + ([] if result["findings"] else ["nothing found"])
