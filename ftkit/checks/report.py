"""What a file holds, before anything is trained on it: `ftkit check`. Neither torch nor transformers is loaded.

To add a check: a function that takes `Rows` and returns findings, and a row in `CHECKS`.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from itertools import islice

import numpy as np

from ftkit.checks.chats import CHECKS as CHAT_CHECKS
from ftkit.checks.chats import Chats, find_chats
from ftkit.checks.columns import choose_label, choose_text
from ftkit.checks.duplicates import find_oversampled
from ftkit.checks.findings import EXAMPLES, LONGEST_EXAMPLE, Finding, Rows, show
from ftkit.checks.labels import find_lookalikes, find_odd_names, find_unlike_labels, label_key
from ftkit.checks.languages import find_foreign
from ftkit.checks.price import price_leak, price_templates
from ftkit.checks.privacy import find_personal_data, mask, mask_hits
from ftkit.checks.suspicious import find_suspicious
from ftkit.checks.targets import CHOICES, NUMBER_CHECKS, SEVERAL_CHECKS, recognise
from ftkit.checks.templates import find_templates
from ftkit.checks.texts import is_blank, is_damaged, is_short
from ftkit.errors import UserError, escape_controls
from ftkit.files.annotations import find_several_labels
from ftkit.files.conversations import choose_form
from ftkit.files.rows import Table
from ftkit.settings import CLASSIFICATION, GENERATION, MULTI_LABEL, REGRESSION
from ftkit.starter import minilm_path

FEW_TO_TRAIN = 3  # rows of a label, of which each split needs one
RARE_SHARE = 10  # times as many rows of the most frequent label: to leave the other out is an answer, too
FEW_TO_SCORE = 10  # test rows of a label, below which its recall is hardly known
MOST_TOKENISED = 2000  # texts of a split whose tokens are counted; of more, a sample
TEST_SHARE = 0.1  # of the rows, if there is no test file
MOST_LISTED = 15  # row numbers of a finding
MANY_TEMPLATES = 0.2  # share of the rows from which templates are priced
KIND_WORDS = {"exact": "an exact", "normalised": "a normalised", "near": "a near"}
IN_TRAIN = {"exact": "are training rows too", "normalised": "are training rows too, but for case, links or @names"}
IN_TRAIN["near"] = "are nearly the same as a training row"


def examine(
    tables: dict[str, Table],  # by split; `test` may be missing
    text_column_name: str | None = None,  # default: found
    label_column_name: str | None = None,  # default: found
    task: str | None = None,  # that the rows are for; default: recognised
) -> dict:
    "Return rows, columns, labels, duplicates, leaks and findings, as read, before any cleaning. Raises `UserError`"
    train = tables["train"]
    if task == GENERATION:
        return examine_chats(Chats(tables, choose_form(train, text_column_name, label_column_name)))
    if not task and (form := find_chats(train, text_column_name, label_column_name)):
        return examine_chats(Chats(tables, form))
    named = []
    if not task:
        task, named = recognise(train, text_column_name, label_column_name)
    if task in CHOICES:
        return examine_targets(tables, text_column_name, label_column_name, task, named)
    text_columns, text_how = choose_text(train, text_column_name, (label_column_name,) if label_column_name else ())
    label_column, label_how = choose_label(train, label_column_name, tuple(text_columns))
    rows, texts = Rows(tables, text_columns, label_column, one_label=True), ", ".join(text_columns)
    columns = {"text": texts, "label": label_column, "how": f"text {text_how}, label {label_how}"}
    findings = [finding for check in CHECKS.values() for finding in check(rows)]
    return describe_rows(rows, columns, dict(rows.counts), len(rows.conflicts), findings, task)


def examine_targets(
    tables: dict[str, Table],  # by split; `test` may be missing
    text_column_name: str | None,  # default: found
    label_column_name: str | None,  # default: found
    task: str,  # multi-label or regression
    named: list[Finding],  # which task was recognised, if it was not given
) -> dict:
    "Return what `examine` does for rows with several labels or with numbers"
    choose, kind = CHOICES[task]
    text_columns, column, how = choose(tables["train"], text_column_name, label_column_name)
    rows = kind(tables, text_columns, column)
    found = [finding for check in EXAMINATIONS[task].values() for finding in check(rows)]
    findings = named + [mend_by_hand(finding) for finding in found]
    columns = {"text": ", ".join(text_columns), "label": column, "how": how}
    return describe_rows(rows, columns, dict(rows.counts), len(rows.conflicts), findings, task)


def mend_by_hand(
    finding: Finding,  # of a check that single labels have too
) -> Finding:
    "Return a finding without a fix that serves single labels alone: `clean` and ignore_labels"
    if "labels={" in finding.fix:
        return replace(finding, fix="write them in one way")
    alone = "clean(" in finding.fix or "ignore_labels" in finding.fix
    return replace(finding, fix="take them out of the file") if alone else finding


def examine_chats(
    chats: Chats,  # prompts and responses
) -> dict:
    "Return what `examine` does for rows of prompts and responses: without labels, but with lengths of both"
    rows, form = chats.rows, chats.form
    findings = [finding for check in CHAT_CHECKS.values() for finding in check(chats)]
    shared = [finding for name in SHARED_CHECKS for finding in CHECKS[name](rows)]
    findings += [replace(f, fix="take them out of the file" if "clean(" in f.fix else f.fix) for f in shared]
    prompt = ", ".join(form.prompt)
    columns = {"text": prompt, "label": form.response or prompt, "how": form.how}
    result = describe_rows(rows, columns, {}, 0, findings, GENERATION)
    responses = {f"{split}, responses": describe_lengths(labels) for split, (_, labels) in rows.read.items()}
    return result | {"form": form.name, "lengths": result["lengths"] | responses}


def describe_rows(
    rows: Rows,  # as read
    columns: dict,  # text, label, and how they were chosen
    labels: dict,  # name -> rows
    conflicts: int,  # texts with more than one label
    findings: list[Finding],  # of the checks
    task: str,  # that the rows are for
) -> dict:
    "Return the result of an examination"
    train = rows.tables["train"]
    duplicates, leaks = rows.repeats.count()
    return {
        "source": train.describe(),
        "task": task,
        "rows": len(rows.texts),
        "columns": columns,
        "labels": labels,
        "lengths": {split: describe_lengths(texts) for split, (texts, _) in rows.read.items()},
        "encoding": train.encoding,
        "delimiter": train.delimiter,
        "empty": sum(is_blank(t) for t in rows.texts),
        "conflicts": conflicts,
        "duplicates": duplicates,
        "leaks": leaks,
        "compared": {"texts": rows.repeats.compared, "of": rows.repeats.texts},
        "findings": [asdict(finding) for finding in findings],
    }


def describe_lengths(
    texts: list,  # of one split
) -> dict[str, dict[str, int]] | None:
    "Return how long texts are in `characters` and, if the starter's tokenizer is installed, in `tokens`"
    texts = [text for text in texts if isinstance(text, str) and not is_blank(text)]
    if not texts:
        return None
    some = texts if len(texts) <= MOST_TOKENISED else random.Random(42).sample(texts, MOST_TOKENISED)
    tokens = count_tokens(some)
    return {"characters": spread(map(len, texts))} | ({"tokens": spread(tokens)} if tokens else {})


def spread(
    lengths,  # of texts
) -> dict[str, int]:
    "Return the smallest, the median, the 99th percentile and the largest of some lengths"
    lengths = list(lengths)
    median, most = np.percentile(lengths, [50, 99])
    return {"min": min(lengths), "median": round(median), "p99": round(most), "max": max(lengths)}


def count_tokens(
    texts: list[str],  # to tokenise
) -> list[int]:
    "Return how many tokens the starter's tokenizer makes of each text; nothing if its package is not installed"
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(minilm_path() / "tokenizer.json"))
    except UserError:
        return []
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]


def check_reading(rows: Rows) -> list[Finding]:
    return [Finding(note, 1) for table in rows.tables.values() for note in table.notes]


def check_empty(rows: Rows) -> list[Finding]:
    found = []
    if empty := [i for i, text in enumerate(rows.texts) if is_blank(text)]:
        what = "rows without a text; they are dropped"
        found.append(Finding(what, len(empty), rows=count_from_one(empty)))
    if short := [i for i, text in enumerate(rows.texts) if is_short(text)]:
        shown, fix = show(rows.texts[i] for i in short), "clean(rows, short='drop')"
        found.append(Finding("texts of hardly a letter", len(short), shown, fix, count_from_one(short)))
    return found


def check_damaged(rows: Rows) -> list[Finding]:
    damaged = [i for i, text in enumerate(rows.texts) if is_damaged(text)]
    if not damaged:
        return []
    what = "texts with characters that were once decoded wrongly"
    fix = "export them again as UTF-8 (what shows as ï¿½ or � is lost in this file), or clean(rows, drop=[…])"
    return [Finding(what, len(damaged), show(rows.texts[i] for i in damaged), fix, count_from_one(damaged))]


def check_labels(rows: Rows) -> list[Finding]:
    names = [name for name in rows.labels if isinstance(name, str)]
    found = []
    if missing := [i for i, label in enumerate(rows.labels) if label is None]:
        found.append(Finding("rows without a label; they are dropped", len(missing), rows=count_from_one(missing)))
    if several := [v for v in rows.labels if isinstance(v, list | dict)]:
        found.append(
            Finding("rows with several labels", len(several), show(several), "give a column with one label a row")
        )
    elif joined := find_several_labels(names):
        what = f"labels that hold several, separated by '{joined[0]}'"
        found.append(Finding(what, 1, show([joined[1]]), "give one label a row"))
    found += [Finding(note, 1) for note in rows.spelling[1]]
    found += [Finding(note, 1) for note in find_odd_names(dict(rows.counts), rows.label_column)]
    if len(rows.counts) < 2:
        what = "only one label: there is nothing to learn"
        found.append(Finding(what, 1, show(rows.counts), "check label_column_name"))
    return found


def check_lookalikes(rows: Rows) -> list[Finding]:
    pairs = find_lookalikes(rows.counts)
    if not pairs:
        return []
    shown = [f"{a} ({rows.counts[a]}) and {b} ({rows.counts[b]})" for a, b in pairs]
    rare, other = sorted(pairs[0], key=rows.counts.get)
    fix = f"clean(rows, labels={{{rare!r}: {other!r}}})"
    return [Finding("pairs of labels that look alike", len(pairs), show(shown), fix)]


def check_rare(rows: Rows) -> list[Finding]:
    if len(rows.counts) < 2:
        return []
    found, few = [], [name for name, count in rows.counts.items() if count < FEW_TO_TRAIN]
    if few:
        fix = f"ignore_labels = {', '.join(few[:3])}"
        places = count_from_one(i for i, label in enumerate(rows.labels) if label in few)
        found.append(Finding(f"labels with fewer than {FEW_TO_TRAIN} rows", len(few), show(few), fix, places))
    given = rows.count("test") if "test" in rows.read else None
    expected = given or {name: count * TEST_SHARE for name, count in rows.counts.items()}
    scarce = [name for name in rows.counts if name not in few and expected.get(name, 0) < FEW_TO_SCORE]
    if scarce:
        where = "" if given else f", if {TEST_SHARE:.0%} of the rows are held out"
        shown = [f"{name} ({int(expected.get(name, 0))})" for name in scarce]
        what = f"labels with fewer than {FEW_TO_SCORE} test rows{where}: their recall will hardly be known"
        fix = "collect rows of them, or write a larger test_size"
        most = max(rows.counts.values())
        if rare := [name for name in scarce if RARE_SHARE * rows.counts[name] < most]:
            fix = f"collect rows of them, or leave them out: ignore_labels = {', '.join(rare[:3])}"
        found.append(Finding(what, len(scarce), show(shown), fix))
    return found


def check_conflicts(rows: Rows) -> list[Finding]:
    found = check_alike_conflicts(rows)
    if not rows.conflicts:
        return found
    shown = [
        f"{mask_hits(text)[:50]} ({', '.join(f'{name} {n}' for name, n in names.items())})"
        for text, names in islice(rows.conflicts.items(), EXAMPLES)
    ]
    what, fix = "texts with more than one label", "decide for one, or clean(rows, conflicts='drop')"
    places = [i for i, text in enumerate(rows.texts) if isinstance(text, str) and text in rows.conflicts]
    return [Finding(what, len(rows.conflicts), show(shown), fix, count_from_one(places)), *found]


def check_alike_conflicts(rows: Rows) -> list[Finding]:
    "Find texts that are nearly the same with another label each: dropping one of two would keep a chance label"
    pairs = rows.alike_conflicts
    shown = [
        f"row {i + 1}, {rows.labels[i]}, and row {j + 1}, {rows.labels[j]}: {mask_hits(rows.texts[j])[:50]}"
        for i, j in pairs[:EXAMPLES]
    ]
    what = "pairs of texts that are nearly the same, with different labels"
    fix = (
        "read them (`ftkit check --json` lists the pairs): clean(rows, conflicts='near') drops both of each, "
        "clean(rows, drop=[…]) the wrong one"
    )
    places, numbers = [i for pair in pairs for i in pair], [[i + 1, j + 1] for i, j in pairs]
    return [Finding(what, len(pairs), show(shown), fix, count_from_one(places), numbers)] if pairs else []


def check_duplicates(rows: Rows) -> list[Finding]:
    found = []
    for kind, pairs in rows.repeats.duplicates.items():
        if pairs:
            only = " only with group_near_duplicates = true" if kind == "near" else ""
            first = "settle the different labels first, then " if rows.alike_conflicts and kind != "exact" else ""
            fix = f"{first}clean(rows, duplicates='{kind}'); in a split, they stay on one side{only}"
            shown = show_twins(kind, pairs, rows.texts, rows.texts)
            what = f"rows that have {KIND_WORDS[kind]} duplicate"
            found.append(Finding(what, len(pairs), shown, fix, count_from_one(pairs)))
    return found + note_sample(rows)


def show_twins(
    kind: str,  # exact, normalised or near
    pairs: dict[int, int],  # row -> the row that it repeats
    texts: list,  # of the rows
    others: list,  # of those that are repeated
) -> list[str]:
    "Return the first few texts, and next to each the one that it repeats if that is another"
    first = list(pairs.items())[:EXAMPLES]
    if kind == "exact":
        return show(texts[i] for i, _ in first)
    half = LONGEST_EXAMPLE // 2
    return [" ≈ ".join(show([texts[i], others[j]], half)) for i, j in first]


def count_from_one(
    places: Iterable[int],  # of rows, from 0
) -> list[int]:
    "Return the numbers of rows as a person counts them, ascending"
    return sorted({i + 1 for i in places})


def note_sample(rows: Rows) -> list[Finding]:
    repeats, found = rows.repeats, []
    if repeats.compared < repeats.texts:
        what = f"near duplicates were looked for in a sample of {repeats.compared:,} of {repeats.texts:,} texts"
        found.append(Finding(what, 1))
    if not repeats.complete:
        what = (
            "so many texts are alike that each was compared with the most similar in length: some near duplicates may"
        )
        found.append(Finding(f"{what} be missing", 1))
    return found


def check_leaks(rows: Rows) -> list[Finding]:
    found = check_leaked_rows(rows)
    if not found:
        return []
    texts, labels = rows.read["test"]
    leaked = set().union(*rows.repeats.leaks.values())
    if len(leaked) == sum(isinstance(text, str) and not is_blank(text) for text in texts):
        what = "the price of the leak: every test row is a training row too; a score on them says nothing of new texts"
        return [*found, Finding(what, len(leaked))]
    usable = [i for i, (t, label) in enumerate(zip(texts, labels)) if isinstance(t, str) and isinstance(label, str)]
    prices = price_leak(
        labelled(rows.texts, rows.labels),
        ([texts[i] for i in usable], [labels[i] for i in usable]),
        [place for place, i in enumerate(usable) if i in leaked],
    )
    return found + [Finding(f"the price of the leak: {cost}", len(leaked)) for cost in prices]


def check_leaked_rows(rows: Rows) -> list[Finding]:
    if "test" not in rows.read:
        return []
    found, kinds = [], [kind for kind, pairs in rows.repeats.leaks.items() if pairs]
    for kind, pairs in rows.repeats.leaks.items():
        if pairs:
            fix = f"clean(test_rows, leaks='{kinds[-1]}', train=rows)"  # it drops those of the stricter kinds, too
            what = f"test rows that {IN_TRAIN[kind]}"
            shown = show_twins(kind, pairs, rows.read["test"][0], rows.texts)
            found.append(Finding(what, len(pairs), shown, fix, count_from_one(pairs), split="test"))
    return found + (check_leaked_labels(rows) if rows.one_label else [])


def check_leaked_labels(rows: Rows) -> list[Finding]:
    "Find test rows that have another label than the training row that they repeat: one of the two is wrong"
    texts, labels = rows.read["test"]
    pairs = sorted((i, j) for kind in rows.repeats.leaks.values() for i, j in kind.items())
    pairs = [(i, j) for i, j in pairs if isinstance(labels[i], str) and isinstance(rows.labels[j], str)]
    repeated = len(pairs)
    pairs = [(i, j) for i, j in pairs if label_key(labels[i]) != label_key(rows.labels[j])]
    shown = [
        f"test row {i + 1}, {labels[i]}, and training row {j + 1}, {rows.labels[j]}: {mask_hits(texts[i])[:50]}"
        for i, j in pairs[:EXAMPLES]
    ]
    what = f"test rows with another label than the training row that they repeat, of {repeated} that repeat one"
    fix, numbers = "read both: as large a share of the other labels may be wrong", [[i + 1, j + 1] for i, j in pairs]
    test = [i for i, _ in numbers]
    return [Finding(what, len(pairs), show(shown), fix, test, numbers, "test")] if pairs else []


def labelled(
    texts: list,  # one a row
    labels: list,  # one a row
) -> tuple[list[str], list[str]]:
    "Return texts and labels of the rows that have both"
    pairs = [
        (text, label)
        for text, label in zip(texts, labels)
        if isinstance(text, str) and not is_blank(text) and isinstance(label, str)
    ]
    return [text for text, _ in pairs], [label for _, label in pairs]


def check_other_labels(rows: Rows) -> list[Finding]:
    others = [split for split in rows.read if split != "train"]
    return [
        Finding(**found)
        for split in others
        for found in find_unlike_labels(rows.names(split), set(rows.counts), split)
    ]


def check_oversampled(rows: Rows) -> list[Finding]:
    copied = find_oversampled(rows.texts, rows.labels, rows.repeats.duplicates["exact"])
    if not copied:
        return []
    shown = [f"{name}: {copies:,} of {count:,} rows are copies" for name, (copies, count) in copied.items()]
    fix = "split first, then copy: clean(rows, duplicates='exact'), and class_weights = balanced in place of copies"
    return [Finding("labels that look oversampled", len(copied), show(shown), fix)]


def check_templates(rows: Rows) -> list[Finding]:
    found, made = look_for_templates(rows)
    usable = [i for i in made if isinstance(rows.labels[i], str)]
    if len(set(made.values())) > 1 and len({rows.labels[i] for i in usable}) > 1:
        texts, labels = [rows.texts[i] for i in usable], [rows.labels[i] for i in usable]
        seen, unseen = price_templates(texts, labels, [made[i] for i in usable])
        what = f"the price of the templates: tfidf has {seen} on their rows, {unseen} on rows of unseen templates"
        found.append(Finding(what, len(usable)))
    return found


def check_template_rows(rows: Rows) -> list[Finding]:
    return look_for_templates(rows)[0]


def look_for_templates(
    rows: Rows,  # as read
) -> tuple[list[Finding], dict[int, int]]:
    "Return a finding if many rows are made from templates, and row -> template; nothing with few"
    templates = find_templates(rows.texts)
    made = {row: number for number, template in enumerate(templates) for row in template.rows}
    if len(made) < MANY_TEMPLATES * max(len(rows.texts), 1):
        return [], {}
    what = f"rows that look made from {len(templates):,} templates, … in place of the words that change"
    shown = [f"{template.text} ({len(template.rows):,})" for template in templates]
    fix = "clean(rows, template_column='template') and group_column_name = template"
    return [Finding(what, len(made), show(shown), fix)], made


def check_suspicious(rows: Rows) -> list[Finding]:
    found = find_suspicious(rows.texts, rows.labels)
    if not found:
        return []
    shown = [
        f"row {s.row + 1}, {s.given}, rather {s.other}: {mask_hits(rows.texts[s.row])[:50]}" for s in found[:EXAMPLES]
    ]
    odds = int(min(s.odds for s in found))
    what = (
        f"labels to read again: cheap models that have not seen the row find another at least {odds} times as likely"
    )
    fix = "read them; correct them in the file, or clean(rows, drop=[…])"
    return [Finding(what, len(found), show(shown), fix, [s.row + 1 for s in found])]


def check_personal_data(rows: Rows) -> list[Finding]:
    found = []
    for split, (texts, _) in rows.read.items():
        hits = find_personal_data(texts)
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in Counter(hit.kind for hit in hits).most_common())
        where, name = ("", "rows") if split == "train" else (f" in the {split} rows", f"{split}_rows")
        if hits:
            what = f"pieces of personal data{where} ({kinds}); names of people are not looked for"
            shown, fix = show(f"{hit.kind} {mask(hit.value)}" for hit in hits), f"clean({name}, redact=True)"
            numbers = count_from_one(hit.row for hit in hits)
            found.append(Finding(what, len(hits), shown, fix, numbers, split=split))
    return found


def check_languages(rows: Rows) -> list[Finding]:
    foreign = find_foreign(rows.texts)
    if not foreign:
        return []
    places = [i for found in foreign.values() for i in found]
    what = (
        f"texts in another language or script ({', '.join(f'{name} {len(found)}' for name, found in foreign.items())})"
    )
    fix = "read them, or clean(rows, foreign='drop')"
    return [Finding(what, len(places), show(rows.texts[i] for i in places), fix, count_from_one(places))]


CHECKS: dict[str, Callable[[Rows], list[Finding]]] = {
    "reading": check_reading,
    "empty texts": check_empty,
    "damaged characters": check_damaged,
    "labels": check_labels,
    "labels that look alike": check_lookalikes,
    "rare labels": check_rare,
    "labels of other splits": check_other_labels,
    "conflicts": check_conflicts,
    "duplicates": check_duplicates,
    "leaks": check_leaks,
    "oversampling": check_oversampled,
    "templates": check_templates,
    "suspicious labels": check_suspicious,
    "personal data": check_personal_data,
    "languages": check_languages,
}


WITHOUT_PRICES = {
    "reading": check_reading,
    "empty texts": check_empty,
    "damaged characters": check_damaged,
    "duplicates": check_duplicates,
    "leaks": check_leaked_rows,
    "templates": check_template_rows,
    "personal data": check_personal_data,
    "languages": check_languages,
}
PER_LABEL = {
    "labels that look alike": check_lookalikes,
    "rare labels": check_rare,
    "labels of other splits": check_other_labels,
}
EXAMINATIONS = {
    MULTI_LABEL: SEVERAL_CHECKS | PER_LABEL | WITHOUT_PRICES,
    REGRESSION: NUMBER_CHECKS | WITHOUT_PRICES,
}
SHARED_CHECKS = (
    "reading",
    "damaged characters",
    "duplicates",
    "leaks",
    "templates",
    "personal data",
    "languages",
)  # of chats too


def describe_examination(
    result: dict,  # of `examine`
) -> list[str]:
    "Return the result as lines of text"
    task, columns, labels = result["task"], result["columns"], result["labels"]
    counts = ", ".join(f"{escape_controls(n)} {c:,}" for n, c in list(labels.items())[:12])
    names = f"text = '{columns['text']}', label = '{columns['label']}' ({columns['how']})"
    lines = [f"{result['source']}: {result['rows']:,} rows"]
    if "form" in result:
        lines += [f"prompts and responses: {columns['how']}. Train with task = text-generation"]
    else:
        word = "numbers" if task == REGRESSION else f"{len(labels)} labels"
        lines += [names if task == CLASSIFICATION else f"{columns['how']}. Task: {task}"]
        lines += [f"{word}: {counts}" + (" …" if len(labels) > 12 else "")]
    for split, found in result["lengths"].items():
        kinds = [
            f"{kind}: median {v['median']:,}, 99 of 100 rows up to {v['p99']:,}, longest {v['max']:,}"
            for kind, v in (found or {}).items()
        ]
        lines += [f"{split} texts: {'; '.join(kinds)}"] if kinds else []
    nothing = "nothing found" + ("; wrong labels can hide: read a sample yourself" if task == CLASSIFICATION else "")
    for f in result["findings"]:
        count = f" ({f['count']:,})" if f["count"] > 1 or f["examples"] else ""
        examples = f": {'; '.join(f['examples'])}" if f["examples"] else ""
        fix = f" → {f['fix']}" if f["fix"] else ""
        lines.append(f"- {f['what']}{count}{examples}{list_rows(f['rows'], f['split'])}{fix}")
    return lines + ([] if result["findings"] else [nothing])


def list_rows(
    numbers: list[int],  # of rows, from 1
    split: str,  # whose rows they are
) -> str:
    "Return the first numbers in brackets, and where the others are; nothing without any"
    if not numbers:
        return ""
    more = " … --json has all" if len(numbers) > MOST_LISTED else ""
    whose = "" if split == "train" else f"{split} "
    return f" [{whose}row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:MOST_LISTED]))}{more}]"
