"""Exports of annotation tools as plain columns: Label Studio, doccano, Prodigy, Argilla.

A label that nobody confirmed is no label: rejected, ignored, skipped and suggested ones are never trained. Annotators
who disagree are named, not averaged. Answers of one label each are plain labels; if any row of a question has several
or none, all its answers stay lists, which the task reads.
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from ftkit.errors import UserError
from ftkit.files.rows import Table, to_text

TEXT_KEYS = "text sentence tweet post review comment message content body utterance question document".split()
LABEL_KEYS = set("label labels class category target sentiment intent topic".split())
ANSWERS = {"accept", "reject", "ignore"}  # of Prodigy
NO_QUESTION = ""  # of a record that was discarded without an answer
# of Argilla 1: https://docs.v1.argilla.io, "Record status"
STATUSES = {"default", "edited", "validated", "discarded"}
# columns of Label Studio's CSV and JSON_MIN exports that differ between two annotations of one task
ANNOTATION_COLUMNS = {"annotator", "annotation_id", "created_at", "updated_at", "lead_time"}
QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
QUOTED_LIST = re.compile(rf"[\[({{]\s*+(?:{QUOTED})(?:\s*+(?:,\s*+)?(?:{QUOTED}))*+\s*+(?:,\s*+)?[\])}}]")
NUMBER_LIST = re.compile(r"\[\s*-?[\d.]+(?:[\s,]+-?[\d.]+)*\s*\]")  # [1], [1, 2] and numpy's [1 2]
BARE_LIST = re.compile(r"\[[^\[\]'\"]+\]")  # [pos, neg]
DICTIONARY = re.compile(r"\{\s*['\"].*:.*\}", re.DOTALL)
EMPTY_LISTS = ("[]", "()", "set()")
DELIMITERS = (";", "|", "#", ",", "/")
SEPARATORS = DELIMITERS[:2]  # which always stand between labels
RARE_DELIMITERS = ("+", "&", "\n", "\t", " and ", " ")  # count only between labels that rows have alone
FEW_BLANK, FEW_ODD = 0.1, 0.01  # share of the cells of a column of 0 and 1; one is always few
TYPED = ("Parquet", "Arrow", "Arrow stream")  # formats in which doccano writes nothing
SPANS = (
    "the labels are spans such as [0, 5, 'PER'] (sequence labelling). Texts are classified here: "
    "export one label for each text."
)


def unpack_annotations(
    table: Table,  # as it was read: cells may hold lists and dictionaries
) -> Table:
    """Return the rows of an annotation export with plain columns, `text` and `label` where the tool nests them.

    Any other table is returned as it is. Raises `UserError` for spans, and for annotators who disagree.
    """
    for recognises, unpack in TOOLS:
        if recognises(table):
            return unpack(table)
    return table


# --- labels as lists ---


def unlist(
    values: list,  # of the label column
) -> list:
    """Return labels without the list around them: one element is the element, none is None, several stay a list.

    A list may also be text (`"['a']"`), or the value of `choices` as Label Studio writes it.
    Raises `UserError` for spans.
    """
    texts = [v.strip() for v in values if isinstance(v, str) and v.strip()]
    all_lists = bool(texts) and all(
        t in EMPTY_LISTS or NUMBER_LIST.fullmatch(t) or QUOTED_LIST.fullmatch(t) or BARE_LIST.fullmatch(t)
        for t in texts
    )
    if texts and all(map(DICTIONARY.fullmatch, texts)) and not any("choices" in t for t in texts):
        values = [parse_literal(v.strip(), v) if isinstance(v, str) else v for v in values]
    return [unlist_one(value, all_lists) for value in values]


def unlist_one(
    value: object,  # of the label column
    all_lists: bool,  # whether every text of the column is written as a list: then [1] is one too
) -> object:
    "Return a label without the list around it"
    if isinstance(value, str):
        value = parse_list(value, all_lists)
    if isinstance(value, dict) and set(value) == {"choices"}:
        value = value["choices"]
    if hasattr(value, "tolist"):  # an array
        value = value.tolist()
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if not isinstance(value, list | tuple):
        return to_text(value)
    if is_span(value) or any(is_span(v) for v in value):
        raise UserError(SPANS)
    names = list(dict.fromkeys(to_text(v) for v in value if v is not None and not isinstance(v, dict | list | tuple)))
    if any(isinstance(v, dict | list | tuple) for v in value):
        return list(value)  # of an unknown form: left to be refused
    return names if len(names) > 1 else names[0] if names else None


def to_labels(
    values: list,  # the answers to one question, None for a row without an answer
) -> list:
    """Return answers as plain labels if each answer is one label; else as lists of names, so that none is lost.

    They stay lists too if a name holds what separates labels in a text. An empty list is an answer, no label, and not
    the same as a row without an answer. Raises `UserError` for spans.
    """
    found = unlist(values)
    none = [label is None and value is not None and value != "" for label, value in zip(found, values)]
    if not any(none) and not any(isinstance(label, list) or is_joined(label) for label in found):
        return found
    return [
        [] if empty else label if label is None or isinstance(label, list) else [label]
        for label, empty in zip(found, none)
    ]


def is_joined(
    label: object,  # of a row
) -> bool:
    "Return whether a label holds a sign that always stands between labels in a text"
    return isinstance(label, str) and any(sign in label for sign in SEPARATORS)


def parse_list(
    text: str,  # a label as text
    all_lists: bool,  # whether every text of the column is written as a list
) -> object:
    "Return the list that a text writes, as JSON, Python or numpy print it; any other text as it is"
    stripped = text.strip()
    if stripped in EMPTY_LISTS:
        return []
    if stripped.startswith("{") and re.match(r"\{\s*['\"]choices['\"]\s*:", stripped):
        return parse_literal(stripped, text)
    if QUOTED_LIST.fullmatch(stripped):
        if stripped[0] == "(" and not re.search(r"['\"]\s*,", stripped):
            return text  # brackets around a quoted word
        loaded = parse_literal(stripped, text)
        if isinstance(loaded, str):
            return text
        # numpy prints ['a' 'b'], which Python would join to 'ab'
        quoted = re.findall(QUOTED, stripped)
        return [ast.literal_eval(q) for q in quoted] if len(quoted) != len(loaded) else loaded
    if all_lists and NUMBER_LIST.fullmatch(stripped):
        return re.split(r"[\s,]+", stripped[1:-1].strip())
    if all_lists and BARE_LIST.fullmatch(stripped):
        return [name.strip() for name in stripped[1:-1].split(",") if name.strip()]
    return text


def parse_literal(
    text: str,  # a list or a dictionary
    default: object,  # if it is neither JSON nor Python
) -> object:
    "Return the value of a JSON or Python literal"
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return default


def is_span(
    value: object,  # an element of a label
) -> bool:
    "Return whether a label marks a part of a text: [0, 5, 'PER'], or an object with start and end"
    if isinstance(value, dict):
        starts = {"start", "start_offset", "startOffset"} & set(value)
        return bool(starts and {"end", "end_offset", "endOffset"} & set(value))
    numbers = isinstance(value, list | tuple) and len(value) == 3 and all(is_integer(v) for v in value[:2])
    return numbers and isinstance(value[2], str) and not value[2].isdigit()


def is_integer(
    value: object,  # of a span
) -> bool:
    "Return whether a value is an integer"
    return isinstance(value, int) and not isinstance(value, bool)


def find_several_labels(
    values: list,  # of the label column, as text
) -> tuple[str, list[str]] | None:
    """Return the delimiter of labels that are joined in one value, and the labels of one such value, or None.

    A delimiter counts if the parts of a value are labels of their own in other rows, or if few parts make up many
    combinations. So `sci/tech` and `R&B, soul` are names. Parts are to be stripped of spaces.
    """
    distinct = list(dict.fromkeys(v.strip() for v in values if isinstance(v, str) and v.strip()))
    for delimiter in (*DELIMITERS, *RARE_DELIMITERS):
        bare = {v: v.strip(delimiter + " ") if len(delimiter) == 1 else v for v in distinct}  # pos;neg; ends in one
        split = {v: [p.strip() for p in b.split(delimiter)] for v, b in bare.items() if delimiter in b}
        combinations = {v: parts for v, parts in split.items() if all(parts) and len(set(parts)) == len(parts) > 1}
        if not combinations or is_decimal(delimiter, combinations.values()):
            continue
        alone = {b for v, b in bare.items() if v not in split}
        known = [parts for parts in combinations.values() if alone.issuperset(parts)]
        if known and (delimiter in DELIMITERS or len(known) == len(split)):
            return delimiter, known[0]
        if delimiter in DELIMITERS and is_mixed(list(combinations.values()), alone):
            return delimiter, next(iter(combinations.values()))
    return None


def is_decimal(
    delimiter: str,  # in the values
    combinations: Iterable[list[str]],  # the parts of each value
) -> bool:
    "Return whether values are numbers such as 1,5 or 1/2"
    return delimiter in ",/" and all(len(parts) == 2 and all(map(str.isdigit, parts)) for parts in combinations)


def is_mixed(
    combinations: list[list[str]],  # the parts of each value with the delimiter
    alone: set[str],  # values without it
) -> bool:
    "Return whether few labels make up many combinations, in no fixed places: aspect/polarity has fixed ones"
    parts = {p for c in combinations for p in c}
    places = {(p, i) for c in combinations for i, p in enumerate(c)}
    moves = len(places) > len(parts) or len({len(c) for c in combinations}) > 1 or bool(parts & alone)
    return len(combinations) >= 4 and len(parts) <= 0.75 * len(combinations) and moves


def find_indicator_columns(
    table: Table,  # the rows
) -> list[str]:
    """Return the columns of 0 and 1 next to a text: two or more, if there is no label column.

    A column with few blank or odd cells among its 0 and 1 is one of them: whoever reads it names the cells
    """
    if any(name.strip().lower() in LABEL_KEYS for name in table.columns):
        return []
    zero_one = [{"0", "1"}, {"0.0", "1.0"}, {"False", "True"}, {"false", "true"}]
    seen = {n: {v if not isinstance(v, list | dict) else "" for v in values} for n, values in table.columns.items()}
    found = [n for n, values in seen.items() if values and any(values <= pair for pair in zero_one)]
    vary = [n for n in found if len(seen[n]) == 2]
    has_text = any(is_text(values) for n, values in table.columns.items() if n not in found)
    if not has_text or not vary:
        return []
    nearly = [n for n, values in table.columns.items() if n not in found and is_nearly_zero_one(values, zero_one)]
    return [n for n in table.columns if n in found or n in nearly] if len(vary) + len(nearly) >= 2 else []


def is_nearly_zero_one(
    values: list,  # of a column
    zero_one: list[set[str]],  # how 0 and 1 are written
) -> bool:
    "Return whether a column holds both 0 and 1, few blank cells and fewer others"
    counts = Counter("" if v is None else v.strip() if isinstance(v, str) else "[]" for v in values)
    pair = max(zero_one, key=lambda pair: sum(counts[v] for v in pair))
    blank, flags = counts[""], sum(counts[v] for v in pair)
    odd = len(values) - blank - flags
    few = lambda share: max(1, share * len(values))
    return all(counts[v] for v in pair) and blank <= few(FEW_BLANK) and odd <= few(FEW_ODD) and blank + odd < flags


def is_text(
    values: list,  # of a column
) -> bool:
    "Return whether a column holds several words a value"
    texts = [v for v in values[:1000] if isinstance(v, str) and v.strip()]
    words = sum(max(len(t.split()), len(t) / 20) for t in texts)
    return bool(texts) and words / len(texts) >= 1.5


# --- Label Studio ---


def is_label_studio(table: Table) -> bool:
    "Return whether cells of `data` are objects next to annotations"
    key = "annotations" if "annotations" in table.columns else "completions"  # the name before version 1.0
    return has_kind(table, "data", dict) and has_kind(table, key, list)


def unpack_label_studio(table: Table) -> Table:
    "Read tasks with their completed annotations"
    key = "annotations" if "annotations" in table.columns else "completions"
    ids = table.columns.get("id") or [table.number(i) for i in range(len(table))]
    choices, skipped = [], 0
    for annotations in table.columns[key]:
        kept = [a for a in annotations or [] if isinstance(a, dict) and not a.get("was_cancelled")]
        skipped += len(annotations or []) - len(kept)
        kept = [a for a in kept if a.get("ground_truth")] or kept
        choices.append([found for a in kept if (found := read_result(a.get("result") or [], table.source))])
    names = list(dict.fromkeys(name for task in choices for annotation in task for name in annotation))
    labels = {}
    for name in names:
        answers = [[a[name] for a in task if name in a] for task in choices]
        remedy = "Mark one annotation of each as ground truth in Label Studio, or delete the others."
        labels[name] = settle(answers, ids, "task", table.source, remedy)
    labels = {"label": next(iter(labels.values()), [None] * len(table))} if len(labels) < 2 else labels
    notes = ["read as a Label Studio export"]
    if len(labels) > 1:
        notes.append(f"the choices are in the columns {', '.join(labels)}")
    if skipped:
        notes.append(f"{count(skipped, 'skipped annotation')} left out")
    if without := sum(not task for task in choices):
        notes.append(f"{count(without, 'task')} without a completed annotation")
    return rebuild(table, {"data": flatten_texts(table.columns["data"]), key: labels}, notes)


def read_result(
    result: list,  # of one annotation
    source: str,  # the file, for messages
) -> dict[str, list]:
    "Return the choices in a result by the name of their question. Raises `UserError` if there are only spans"
    found, other = {}, set()
    for item in result:
        value = item.get("value") if isinstance(item, dict) else None
        if not isinstance(value, dict):
            continue
        if "choices" in value and not is_span(value):
            found.setdefault(str(item.get("from_name", "label")), []).extend(value["choices"])
        elif "rating" in value:
            found.setdefault(str(item.get("from_name", "label")), []).append(value["rating"])
        else:
            other.add(str(item.get("type", "another type")))
    if other and not found:
        if "labels" in other or "hypertextlabels" in other or "choices" in other:
            raise UserError(f"{source}: {SPANS}")
        raise UserError(f"{source}: the annotations are of type {', '.join(sorted(other))}. Export choices.")
    return found


def is_flat_label_studio(table: Table) -> bool:
    "Return whether rows are those of Label Studio's CSV or JSON_MIN export"
    return (
        "annotation_id" in table.columns
        and "id" in table.columns
        or any(holds_choices(values) for values in table.columns.values())
    )


def holds_choices(
    values: list,  # of a column
) -> bool:
    'Return whether a column holds {"choices": [...]}, as an object or as text'
    return any(
        isinstance(v, dict)
        and set(v) == {"choices"}
        or isinstance(v, str)
        and re.fullmatch(r"\s*\{\s*['\"]choices['\"]\s*:\s*\[.*\]\s*\}\s*", v, re.DOTALL)
        for v in values
    )


def unpack_flat_label_studio(table: Table) -> Table:
    "Read rows with a column for each question, which keeps its name. Rows of one task that agree become one"
    columns = {n: to_labels(values) if holds_choices(values) else values for n, values in table.columns.items()}
    notes = ["read as a Label Studio export"]
    if "id" in columns and "annotation_id" in columns:
        content = [n for n in columns if n not in ANNOTATION_COLUMNS]
        rows: dict[object, list[tuple[int, str]]] = {}
        for i, task in enumerate(columns["id"]):
            rows.setdefault(task, []).append((i, repr([columns[n][i] for n in content])))
        answers = [[said for _, said in group] for group in rows.values()]
        remedy = "Keep one annotation of each, or delete the rows."
        check_agreement(answers, list(rows), "task", table.source, remedy)
        keep = [group[0][0] for group in rows.values()]
        if len(keep) < len(table):
            notes.append(f"{count(len(table) - len(keep), 'further annotation')} with the same choices left out")
        return select(table, columns, keep, notes)
    return rebuild(table, {}, notes, columns)


# --- doccano ---


def is_doccano(table: Table) -> bool:
    "Return whether there is a text next to a list of labels, or to entities"
    has_text = "text" in table.columns or "data" in table.columns
    key = find_list_column(table)
    return has_text and (key is not None and key not in table.orders or has_spans(table.columns.get("entities", [])))


def unpack_doccano(table: Table) -> Table:
    "Read texts with their lists of labels, which stay lists: of none, one or several. Raises `UserError` for spans"
    key = find_list_column(table)
    if key is None or has_spans(table.columns[key]):
        raise UserError(f"{table.source}: {SPANS}")
    replaced = {} if "text" in table.columns else {"data": {"text": table.columns["data"]}}
    if table.format in TYPED:
        return rebuild(table, replaced, [f"'{key}' holds lists; a list of one label was read as the label"])
    return rebuild(table, replaced, ["read as a doccano export"])


def find_list_column(table: Table) -> str | None:
    "Return the name of the column of labels if its cells are lists"
    return next((n for n in ("label", "labels") if has_kind(table, n, list)), None)


# --- Prodigy ---


def is_prodigy(table: Table) -> bool:
    "Return whether `answer` holds accept, reject or ignore, next to what else Prodigy writes"
    answers = {v for v in table.columns.get("answer", []) if not isinstance(v, list | dict)} - {None}
    others = {"label", "accept", "options", "_input_hash", "_task_hash", "spans"} & set(table.columns)
    return bool(answers) and answers <= ANSWERS and bool(others)


def unpack_prodigy(table: Table) -> Table:
    "Read the rows that were accepted. Raises `UserError` for spans, and if no row was accepted"
    answers = table.columns["answer"]
    keep = [i for i, answer in enumerate(answers) if answer == "accept"]
    counts = Counter(a or "unanswered" for a in answers if a != "accept")
    left_out = ", ".join(f"{n} {PAST[answer]}" for answer, n in counts.items())
    if not keep:
        raise UserError(f"{table.source}: no row was accepted ({left_out}). Accept some rows in Prodigy.")
    columns = dict(table.columns)
    if holds_lists(columns.get("accept", [])):
        given = [chosen if answer == "accept" else None for chosen, answer in zip(columns["accept"], answers)]
        columns = rebuild(table, {"accept": {"label": to_labels(given)}}, []).columns
    elif "label" not in columns or all(v is None for v in columns["label"]):
        if has_spans(columns.get("spans", [])):
            raise UserError(f"{table.source}: {SPANS}")
    else:
        columns["label"] = to_labels(columns["label"])
    notes = ["read as a Prodigy export"]
    if left_out:
        notes.append(f"{left_out}: left out")
    check_answers(table)
    made = select(table, columns, keep, notes)
    check_sessions(made)
    return made


PAST = {"reject": "rejected", "ignore": "ignored", "unanswered": "unanswered"}


def check_answers(
    table: Table,  # all rows
):
    "Raise `UserError` if one task was both accepted and rejected"
    key = find_key(table, ("_task_hash", "text"))
    if key is None or "label" not in table.columns or "accept" in table.columns:
        return
    groups: dict[tuple, list] = {}
    for i, task in enumerate(zip(map(str, table.columns[key]), map(str, table.columns["label"]))):
        groups.setdefault(task, []).append(i)
    answers = [[table.columns["answer"][i] for i in rows] for rows in groups.values()]
    answers = [[a for a in said if a in ("accept", "reject")] for said in answers]
    texts = table.columns.get("text", table.columns[key])
    names = [repr(str(texts[rows[0]])[:30]) for rows in groups.values()]
    check_agreement(answers, names, "task", table.source, "Decide on one answer, and delete the other rows.")


def check_sessions(
    table: Table,  # accepted rows
):
    "Raise `UserError` if two annotators accepted different labels for one text"
    session = find_key(table, ("_annotator_id", "_session_id"))
    if session is None or not {"_input_hash", "label"} <= set(table.columns):
        return
    groups: dict[object, dict[object, list]] = {}  # text -> annotator -> labels
    for text, who, label in zip(*(table.columns[n] for n in ("_input_hash", session, "label"))):
        groups.setdefault(text, {}).setdefault(who, []).append(label)
    answers = [[sorted(map(str, labels)) for labels in people.values()] for people in groups.values()]
    texts = table.columns.get("text", table.columns["_input_hash"])
    first = dict(zip(reversed(table.columns["_input_hash"]), reversed(texts)))
    names = [repr(str(first[text])[:30]) for text in groups]
    check_agreement(answers, names, "text", table.source, "Decide on one answer, and delete the other rows.")


# --- Argilla ---


def is_argilla_records(table: Table) -> bool:
    "Return whether rows are those of Argilla 1: one annotation and a status"
    statuses = {str(v).lower() for v in table.columns.get("status", []) if v is not None}
    return "annotation" in table.columns and bool(statuses) and statuses <= STATUSES


def unpack_argilla_records(table: Table) -> Table:
    "Read the annotations that were validated"
    statuses = [str(v).lower() for v in table.columns["status"]]
    labels = to_labels(table.columns["annotation"])
    if has_spans(table.columns["annotation"]):
        raise UserError(f"{table.source}: {SPANS}")
    labels = [label if status == "validated" else None for label, status in zip(labels, statuses)]
    replaced = {"annotation": {"label": labels}}
    if "text" not in table.columns and has_kind(table, "inputs", dict):
        replaced = {"inputs": flatten_texts(table.columns["inputs"])} | replaced
    return leave_out_discarded(table, replaced, statuses, labels)


def is_argilla(table: Table) -> bool:
    "Return whether rows are those of Argilla 2, nested or flat"
    nested = has_kind(table, "fields", dict) and "responses" in table.columns
    return nested or any(n.endswith(".responses") for n in table.columns) or bool(find_questions(table))


def find_questions(
    table: Table,  # with a column of responses for each question, as Argilla's FeedbackDataset writes it
) -> list[str]:
    "Return the columns that hold lists of responses with value and status"
    return [
        name
        for name, values in table.columns.items()
        if any(isinstance(v, list) and v and all(is_response(r) for r in v) for v in values)
    ]


def is_response(
    value: object,  # an element of a list
) -> bool:
    "Return whether an object is a response to one question"
    return isinstance(value, dict) and {"value", "status"} <= set(value)


def unpack_argilla(table: Table) -> Table:
    "Read the responses that were submitted, one column for each question"
    collected = {}  # question -> the responses of each row as (value, status)
    used = []
    if has_kind(table, "fields", dict) and "responses" in table.columns:
        used = ["responses"]
        rows = [read_responses(cell) for cell in table.columns["responses"]]
        for question in dict.fromkeys(q for row in rows for q in row):
            collected[question] = [row.get(question, []) for row in rows]
    elif flat := [n for n in table.columns if n.endswith(".responses")]:
        used = flat
        for name in flat:
            states = table.columns.get(f"{name}.status", [None] * len(table))
            collected[name.removesuffix(".responses")] = [
                list(zip(values or [], status or ["submitted"] * len(values or [])))
                for values, status in zip(table.columns[name], states)
            ]
    else:
        used = find_questions(table)
        for name in used:
            collected[name] = [[(r["value"], r["status"]) for r in cell or []] for cell in table.columns[name]]
    ids = table.columns.get("id") or [table.number(i) for i in range(len(table))]
    labels = {}
    for question, rows in collected.items():
        if question == NO_QUESTION:
            continue
        answers = [[as_list(value) for value, status in row if status in (None, "submitted")] for row in rows]
        if any(is_span(value) for row in answers for answer in row for value in answer):
            raise UserError(f"{table.source}: {SPANS}")
        labels[question] = settle(answers, ids, "record", table.source, "Discard all but one response of each.")
    name = next(iter(labels), "label")
    columns = {"label": labels.get(name, [None] * len(table))} if len(labels) < 2 else labels
    replaced = {"fields": flatten_texts(table.columns["fields"])} if has_kind(table, "fields", dict) else {}
    replaced |= {n: {} for n in used} | {used[0]: columns}
    statuses = [
        "discarded" if is_discarded([rows[i] for rows in collected.values()]) else "" for i in range(len(table))
    ]
    have = [any(column[i] is not None for column in labels.values()) or None for i in range(len(table))]
    return leave_out_discarded(table, replaced, statuses, have)


def read_responses(
    cell: object,  # of the column `responses`
) -> dict[str, list[tuple[object, str | None]]]:
    "Return the responses to each question as value and status: grouped by question, or one object a person"
    found: dict[str, list] = {}
    if isinstance(cell, dict):
        for question, responses in cell.items():
            for response in responses or []:
                found.setdefault(question, []).append((response.get("value"), response.get("status")))
    for person in cell if isinstance(cell, list) else []:
        values = person.get("values") or {}
        for question, answer in values.items():
            value = answer.get("value") if isinstance(answer, dict) else answer
            found.setdefault(question, []).append((value, person.get("status")))
        if not values and person.get("status"):
            found.setdefault(NO_QUESTION, []).append((None, person["status"]))
    return found


def is_discarded(
    questions: list[list[tuple[object, str | None]]],  # the responses of one row
) -> bool:
    "Return whether every response to a row was discarded"
    statuses = [status for responses in questions for _, status in responses]
    return bool(statuses) and all(status == "discarded" for status in statuses)


def leave_out_discarded(
    table: Table,  # of Argilla
    replaced: dict[str, dict[str, list]],  # column -> the columns in its place
    statuses: list[str],  # of the rows
    labels: list,  # of the rows; None: none was confirmed
) -> Table:
    "Return the table without discarded records; notes count them and those that nobody has confirmed"
    keep = [i for i, status in enumerate(statuses) if status != "discarded"]
    notes = ["read as an Argilla export"]
    if len(keep) < len(table):
        notes.append(f"{count(len(table) - len(keep), 'discarded record')} left out")
    if open_ := sum(labels[i] is None for i in keep):
        notes.append(f"{count(open_, 'record')} without a submitted or validated label")
    whole = rebuild(table, replaced, notes)
    return select(table, whole.columns, keep, notes)


# --- what they share ---


def settle(
    answers: list[list],  # of each row: what every annotator said
    names: list,  # of the rows, for messages
    unit: str,  # what a row is called
    source: str,  # the file, for messages
    remedy: str,  # what to do
) -> list:
    "Return the label of each row that its annotators agree on, or None. Raises `UserError` if some disagree"
    check_agreement(answers, names, unit, source, remedy)
    return to_labels([said[0] if said else None for said in answers])


def check_agreement(
    answers: list[list],  # of each row: what every annotator said
    names: list,  # of the rows, for messages
    unit: str,  # what a row is called
    source: str,  # the file, for messages
    remedy: str,  # what to do
):
    "Raise `UserError` with the names of rows on which annotators disagree"
    different = [len({frozenset(map(str, as_list(a))) for a in said}) > 1 for said in answers]
    conflicts = [str(name) for name, differ in zip(names, different) if differ]
    if conflicts:
        shown = ", ".join(conflicts[:5]) + (" …" if len(conflicts) > 5 else "")
        raise UserError(
            f"{source}: annotators disagree on {len(conflicts)} of {len(answers)} {unit}s ({unit} {shown}). {remedy}"
        )


def as_list(
    value: object,  # of a response
) -> list:
    "Return a value as a list"
    return value if isinstance(value, list) else [] if value is None else [value]


def count(
    number: int,  # of things
    thing: str,  # in the singular
) -> str:
    "Return a number with its noun"
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def holds_lists(
    values: list,  # of a column
) -> bool:
    "Return whether all cells that are not empty are lists, or lists as text"
    filled = [v for v in values if v is not None and v != ""]
    return bool(filled) and all(
        isinstance(v, list) or isinstance(v, str) and isinstance(parse_list(v, False), list) for v in filled
    )


def has_kind(
    table: Table,  # the rows
    name: str,  # of a column
    kind: type,  # list or dict
) -> bool:
    "Return whether a column exists, and has cells of a kind and otherwise none"
    values = [v for v in table.columns.get(name, []) if v is not None]
    return bool(values) and all(isinstance(v, kind) for v in values)


def has_spans(
    values: list,  # of a column
) -> bool:
    "Return whether a cell marks parts of its text"
    return any(is_span(v) or isinstance(v, list) and any(is_span(x) for x in v) for v in values)


def find_key(
    table: Table,  # the rows
    names: tuple[str, ...],  # the first that exists counts
) -> str | None:
    "Return the name of the first column that exists"
    return next((n for n in names if n in table.columns), None)


def flatten_texts(
    cells: list,  # dictionaries
) -> dict[str, list]:
    "Return dictionaries as columns; the one that holds the text is named text if that is clear"
    names = list(dict.fromkeys(name for cell in cells if cell for name in cell))
    columns = {name: [to_text((cell or {}).get(name)) for cell in cells] for name in names}
    if "text" in columns:
        return columns
    usual = [n for n in names if n.lower() in TEXT_KEYS] or [n for n in names if is_text(columns[n])]
    if len(usual) == 1:
        columns = {("text" if n == usual[0] else n): values for n, values in columns.items()}
    return columns


def rebuild(
    table: Table,  # as it was read
    replaced: dict[str, dict[str, list]],  # column -> the columns in its place; the last has the first right to a name
    notes: list[str],  # what was decided
    columns: dict[str, list] | None = None,  # default: those of the table
) -> Table:
    "Return a table with columns in the place of others. A second column of one name gets a longer name"
    new: dict[str, list] = {}
    owner = {name: parent for parent, inner in replaced.items() for name in inner}
    for name, values in (columns or table.columns).items():
        if name not in replaced:
            new[f"{name} (of the export)" if name in owner else name] = values
            continue
        for inner, inner_values in replaced[name].items():
            new[inner if owner[inner] == name else f"{name}.{inner}"] = inner_values
    return replace(table, columns=new, notes=[*table.notes, *notes])


def select(
    table: Table,  # as it was read
    columns: dict[str, list],  # of all rows
    keep: list[int],  # rows, from 0
    notes: list[str],  # what was decided
) -> Table:
    "Return some rows, which keep their numbers"
    chosen = {name: [values[i] for i in keep] for name, values in columns.items()}
    return replace(table, columns=chosen, numbers=[table.number(i) for i in keep], notes=[*table.notes, *notes])


# the order matters: a tool is tried if none above it is recognised
TOOLS = (
    (is_label_studio, unpack_label_studio),
    (is_prodigy, unpack_prodigy),
    (is_argilla_records, unpack_argilla_records),
    (is_argilla, unpack_argilla),
    (is_flat_label_studio, unpack_flat_label_studio),
    (is_doccano, unpack_doccano),
)
