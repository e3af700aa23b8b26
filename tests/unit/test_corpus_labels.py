"Labels, columns and forms that people bring: read as meant, or refused in one line."

import bz2
import gzip
import json
import zipfile

import pandas as pd
import pytest
from corpus import ROWS, Case, join, join_json, join_plain, judge, make_rows

from ftkit.checks.columns import PAIR as BORDER

NAMES = ("pos", "neg", "neu")


def spelled(**spellings) -> list[tuple[str, str]]:
    "Rows in which one in five labels is spelled in another way"
    return [(t, spellings.get(x, x) if i % 5 == 0 else x) for i, (t, x) in enumerate(ROWS)]


def relabelled(change) -> list[tuple[str, str]]:
    "Rows whose label is what `change` makes of the row's number and label"
    return [(t, change(i, x)) for i, (t, x) in enumerate(ROWS)]


NUMBERS = relabelled(lambda i, x: str(NAMES.index(x)))
MIXED = relabelled(lambda i, x: f"{NAMES.index(x)}.0" if i % 4 == 0 else str(NAMES.index(x)))
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
FORMS = relabelled(lambda i, x: (DECOMPOSED if i % 6 == 0 else COMPOSED) if x == "pos" else x)
MISSING = lambda word: relabelled(lambda i, x: word if x == "neu" else x)
AS_ONE = "read as one label"
NO_LABEL = [row for row in ROWS if row[1] != "neu"]

SPELLINGS = [
    Case("A6", "case.csv", join(spelled(pos="Pos", neg="NEG")), ROWS, AS_ONE),
    Case("A6", "three.jsonl", join_json(relabelled(lambda i, x: (x, x.title(), x.upper())[i % 4 % 3])), ROWS, AS_ONE),
    Case("A6", "invisible.csv", join(spelled(pos="pos\u200b", neg="\ufeffneg")), ROWS, AS_ONE),
    Case("A6", "spaces.csv", join(spelled(pos=" pos", neg="neg\u00a0")), ROWS),
    Case(
        "A6",
        "inner.tsv",
        join_plain(relabelled(lambda i, x: "very  good" if i == 6 else "very good" if x == "pos" else x)),
        relabelled(lambda i, x: "very good" if x == "pos" else x),
        AS_ONE,
    ),
    Case("A6", "wide.csv", join(spelled(pos="ｐｏｓ")), ROWS, AS_ONE),
    Case("A6", "soft.csv", join(spelled(neu="n\u00adeu")), ROWS, AS_ONE),
    Case("A6", "forms.csv", join(FORMS), relabelled(lambda i, x: COMPOSED if x == "pos" else x), AS_ONE),
    Case("A6", "numbers.csv", join(MIXED), NUMBERS, AS_ONE),
    Case(
        "A6",
        "signs.csv",
        join(relabelled(lambda i, x: "+1" if x == "pos" and i % 2 else "1" if x == "pos" else "-1")),
        relabelled(lambda i, x: "1" if x == "pos" else "-1"),
        AS_ONE,
    ),
    Case(
        "A6",
        "codes.csv",
        join(relabelled(lambda i, x: {"pos": "007", "neg": "07", "neu": "7"}[x])),
        relabelled(lambda i, x: {"pos": "007", "neg": "07", "neu": "7"}[x]),
    ),
    *(
        Case(
            "A6",
            f"missing-{i}.csv",
            join(MISSING(word)),
            MISSING(word),
            "usually stands for a missing value.*ignore_labels",
        )
        for i, word in enumerate(
            ("nan", "None", "N/A", "-", "?", "NULL", "#N/A", "unknown value", ".", "n.a.", "NaN", "(none)", "missing")
        )
        if word != "unknown value"
    ),
    Case(
        "A6",
        "cat.csv",
        join() + join(make_rows(30)[:0] or [(f"more {t}", x) for t, x in ROWS]),
        ROWS + [(f"more {t}", x) for t, x in ROWS],
        "1 repeated header line",
    ),
    Case(
        "A6",
        "cat.jsonl",
        join_json([("text", "label"), *ROWS]),
        [("text", "label"), *ROWS],
        "name of the column|ignore_labels",
    ),
    Case("A6", "ignored.csv", join(MISSING("N/A")), NO_LABEL, keys={"ignore_labels": ["N/A"]}, by_check=False),
]
SPELLINGS = [c for c in SPELLINGS if c.name != "cat.jsonl"]

ONE = lambda i, x: f"['{x}']"
SEVERAL = r"several labels.*one label a row"
PAIR = {"pos": "pos", "neg": "neg", "neu": "pos{}neg"}


TWO_WORDS = relabelled(lambda i, x: {"pos": "very good", "neg": "very bad", "neu": "good"}[x])


def pairs(sep: str) -> list[tuple[str, str]]:
    "Rows of which a third have two labels"
    return relabelled(lambda i, x: PAIR[x].format(sep))


LABEL_STUDIO = [
    {
        "id": i + 1,
        "data": {"text": t},
        "annotations": [
            {
                "id": i,
                "was_cancelled": i == 6,
                "result": [{"from_name": "mood", "type": "choices", "value": {"choices": [x]}}],
            }
        ],
    }
    for i, (t, x) in enumerate(ROWS)
]
PRODIGY = [
    {
        "text": t,
        "label": x,
        "answer": ("reject", "ignore")[i % 2] if i % 10 in (4, 7) else "accept",
        "_input_hash": i,
        "_task_hash": i,
    }
    for i, (t, x) in enumerate(ROWS)
]
ACCEPTED = [row for i, row in enumerate(ROWS) if i % 10 not in (4, 7)]

ANNOTATIONS = [
    Case("A7", "two-words.csv", join(TWO_WORDS), TWO_WORDS),
    Case("A7", "bare-list.csv", join(relabelled(lambda i, x: f"[{x}]")), ROWS),
    Case(
        "A7",
        "bare-lists.csv",
        join(relabelled(lambda i, x: f"[{PAIR[x].format(', ')}]")),
        says=SEVERAL,
        by_check=False,
    ),
    Case("A7", "ends.csv", join(relabelled(lambda i, x: PAIR[x].format(";") + ";")), says=SEVERAL, by_check=False),
    Case(
        "A7",
        "dictionaries.csv",
        join(relabelled(lambda i, x: str({"pos": int(x != "neg"), "neg": int(x != "pos")}))),
        says="found dict. Convert",
        by_check=False,
    ),
    Case("A7", "fasttext-end.txt", "".join(f"{t} __label__{x}\n" for t, x in ROWS), ROWS, "fastText"),
    Case("F", "commas.txt", join(), ROWS),
    Case("F", "semicolons.txt", join(sep=";", header="text;label"), ROWS, "semicolon"),
    Case("A6", "stop.csv", join(spelled(pos="pos.", neg='"neg"')), ROWS, AS_ONE),
    Case("A7", "one.csv", join(relabelled(ONE)), ROWS),
    Case("A7", "one-json.csv", join(relabelled(lambda i, x: json.dumps([x]))), ROWS),
    Case("A7", "one.jsonl", join_json(relabelled(lambda i, x: [x])), ROWS, "doccano"),
    Case(
        "A7",
        "some-empty.csv",
        join(relabelled(lambda i, x: "[]" if x == "neu" else ONE(i, x))),
        NO_LABEL,
        "20 no label",
        by_check=False,
    ),
    Case("A7", "numbers.csv", join(relabelled(lambda i, x: f"[{NAMES.index(x)}]")), NUMBERS),
    Case(
        "A7",
        "several.csv",
        join(relabelled(lambda i, x: "['pos', 'neg']" if x == "neu" else ONE(i, x))),
        says=SEVERAL,
        by_check=False,
    ),
    Case(
        "A7",
        "several.jsonl",
        join_json(relabelled(lambda i, x: ["pos", "neg"] if x == "neu" else [x])),
        says=SEVERAL,
        by_check=False,
    ),
    *(
        Case("A7", f"joined{i}.csv", join(pairs(s)), says=SEVERAL, by_check=False)
        for i, s in enumerate((";", "|", ", ", " / ", "#", "; ", "+", " & ", " and ", " ", "\n"))
    ),
    Case(
        "A7",
        "slash.csv",
        join(relabelled(lambda i, x: "sci/tech" if x == "pos" else x)),
        relabelled(lambda i, x: "sci/tech" if x == "pos" else x),
    ),
    Case(
        "A7",
        "choices.csv",
        join(relabelled(lambda i, x: json.dumps({"choices": ["pos", "neg"]}) if x == "neu" else x)),
        says=SEVERAL,
        by_check=False,
    ),
    Case("A7", "choices-one.csv", join(relabelled(lambda i, x: json.dumps({"choices": [x]}))), ROWS, "Label Studio"),
    Case(
        "A7",
        "labelstudio.json",
        json.dumps(LABEL_STUDIO),
        [r for i, r in enumerate(ROWS) if i != 6],
        "1 skipped annotation left out",
    ),
    Case("A7", "prodigy.jsonl", "".join(json.dumps(r) + "\n" for r in PRODIGY), ACCEPTED, "rejected.*left out"),
    Case("A7", "prodigy.csv", lambda p: pd.DataFrame(PRODIGY).to_csv(p, index=False), ACCEPTED, "rejected.*left out"),
    Case(
        "A7",
        "prodigy-bare.jsonl",
        "".join(json.dumps({k: r[k] for k in ("text", "label", "answer")}) + "\n" for r in PRODIGY),
        ACCEPTED,
        "rejected.*left out",
    ),
    Case(
        "A7",
        "indicators.csv",
        "text,pos,neg\n" + "".join(f'"{t}",{int(x == "pos")},{int(x == "neg")}\n' for t, x in ROWS),
        says="label_column_name|several labels",
        by_check=False,
    ),
    Case("A7", "spans.jsonl", join_json(relabelled(lambda i, x: [[0, 5, "PER"]])), says="span|sequence labelling"),
    Case(
        "A7",
        "doccano.jsonl",
        "".join(
            json.dumps({"id": i, "text": t, "label": [x], "Comments": []}) + "\n" for i, (t, x) in enumerate(ROWS)
        ),
        ROWS,
        "doccano",
    ),
    Case("A7", "fasttext.txt", "".join(f"__label__{x} {t}\n" for t, x in ROWS), ROWS, "fastText"),
    Case("A7", "fasttext.csv", "".join(f"__label__{x} {t}\n" for t, x in ROWS), says="fastText.*\\.txt"),
    Case(
        "A7",
        "fasttext-two.txt",
        "".join(f"__label__{x} __label__b {t}\n" for t, x in ROWS),
        says=SEVERAL,
        by_check=False,
    ),
]


def table(*columns, **values) -> str:
    "Return a CSV of columns, each a function of row number, text and label"
    rows = [[make(i, t, x) for make in values.values()] for i, (t, x) in enumerate(ROWS)]
    return join(rows, header=",".join(values))


TEXT, LABEL = (lambda i, t, x: t), (lambda i, t, x: x)
NUMBER, ID = (lambda i, t, x: NAMES.index(x)), (lambda i, t, x: i + 1)
PASSAGE = lambda i, t, x: (
    f"Passage {i}: a longer text about {t.split()[1]} and what came of it, told by those who saw it"
)
BOTH = r"would both do as {}.*Write {}_column_name"
WIDE = [(f"{t}{BORDER}{PASSAGE(i, t, x)}", x) for i, (t, x) in enumerate(ROWS)]

COLUMNS = [
    Case("A8", "question.csv", table(question=TEXT, passage=PASSAGE, label=LABEL), says=BOTH.format("text", "text")),
    Case("A8", "sentence.csv", table(question=TEXT, sentence=PASSAGE, label=LABEL), says=BOTH.format("text", "text")),
    Case(
        "A8",
        "title.csv",
        table(title=TEXT, body=PASSAGE, stars=NUMBER),
        [(PASSAGE(i, t, x), str(NAMES.index(x))) for i, (t, x) in enumerate(ROWS)],
        "'title' holds texts too",
    ),
    Case(
        "A8",
        "both.csv",
        table(question=TEXT, passage=PASSAGE, label=LABEL),
        WIDE,
        keys={"text_column_name": "question,passage"},
    ),
    Case("A8", "premise.csv", table(premise=TEXT, hypothesis=PASSAGE, label=LABEL), says="text_column_name"),
    Case("A8", "names.csv", table(text=TEXT, label=NUMBER, label_text=LABEL), ROWS, "names the numbers of 'label'"),
    Case("A8", "names2.csv", table(label=NUMBER, text=TEXT, sentiment=LABEL), ROWS, "names the numbers of 'label'"),
    Case(
        "A8",
        "coarse.csv",
        table(text=TEXT, label_coarse=lambda i, t, x: x == "pos", label_fine=LABEL),
        says="label_column_name",
    ),
    Case(
        "A8",
        "tie.csv",
        table(text=TEXT, label=LABEL, category=lambda i, t, x: "ab"[i % 2]),
        says=BOTH.format("label", "label"),
    ),
    Case(
        "A8",
        "tie2.csv",
        table(text=TEXT, label=NUMBER, sentiment=lambda i, t, x: "ab"[i % 2]),
        says=BOTH.format("label", "label"),
    ),
    Case("A8", "ids.csv", table(text=ID, body=TEXT, label=LABEL), ROWS, "'text' holds no texts"),
    Case(
        "A8",
        "dates.csv",
        table(date=lambda i, t, x: f"2026-05-{i % 28 + 1:02}", comment=TEXT, rating=NUMBER),
        NUMBERS,
        "label = 'rating'|label by name",
    ),
    Case(
        "A8",
        "given.csv",
        table(text=TEXT, label=LABEL, category=lambda i, t, x: "ab"[i % 2]),
        ROWS,
        "as given",
        keys={"label_column_name": "label"},
    ),
    Case(
        "A8",
        "typo.csv",
        table(text=TEXT, label=LABEL),
        says="Did you mean 'label'",
        keys={"label_column_name": "lable"},
    ),
    Case("A8", "unusual.csv", table(verdict=LABEL, gripe=TEXT), ROWS, "by content"),
    Case(
        "A8",
        "extra.csv",
        table(id=ID, text=TEXT, label=LABEL, author=lambda i, t, x: f"ann{i % 9}"),
        ROWS,
        "label by name|by name",
    ),
    Case("A8", "empty-label.csv", table(text=TEXT, label=lambda i, t, x: "", sentiment=LABEL), ROWS),
    Case(
        "A8", "split.csv", table(text=TEXT, label=LABEL, split=lambda i, t, x: "test" if i % 5 == 0 else "train"), ROWS
    ),
]

CLINC = {s: [[t, x] for t, x in ROWS[a:b]] for s, a, b in (("train", 0, 40), ("val", 40, 50), ("test", 50, 60))}
FRAME = pd.DataFrame(ROWS, columns=["text", "label"])
MANY = [(t, f"intent {i // 3}") for i, (t, _) in enumerate(make_rows(690))]
UNIQUE = [(f"{t} {i}", x) for i, (t, x) in enumerate(MANY)]


def pack(name: str, data: bytes):
    "Return what writes an archive with one file"

    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, data)

    return write


FORMS_OF_FILES = [
    Case("F", "many.csv", join(MANY), MANY),
    Case("F", "many.jsonl", join_json(UNIQUE), UNIQUE),
    Case("F", "rows.xlsx", lambda p: FRAME.to_excel(p, index=False), ROWS, "Excel"),
    Case("F", "index.xlsx", lambda p: FRAME.to_excel(p), ROWS, "counts the rows and has no name"),
    Case("F", "rows.csv.gz", gzip.compress(join().encode()), ROWS),
    Case("F", "rows.jsonl.bz2", bz2.compress(join_json().encode()), ROWS),
    Case("F", "rows.zip", pack("inner/rows.csv", join().encode()), ROWS),
    Case(
        "F",
        "two.zip",
        lambda p: (pack("a.csv", b"text,label\nx,1\n")(p), zipfile.ZipFile(p, "a").writestr("b.csv", "x"))[:0],
        says="holds 2 files",
    ),
    Case("F", "clinc.json", json.dumps(CLINC), ROWS, by_check=False),
    Case("F", "pairs.json", json.dumps(ROWS), ROWS, "pairs"),
    Case("F", "label-first.json", json.dumps([(x, t) for t, x in ROWS]), ROWS, "label first"),
    *(
        Case("F", f"{o}.json", lambda p, o=o: FRAME.to_json(p, orient=o), ROWS, "JSON")
        for o in ("columns", "split", "index", "records", "table")
    ),
    Case("F", "values.json", lambda p: FRAME.to_json(p, orient="values"), ROWS, "pairs"),
    Case("F", "lists.json", json.dumps({"text": [t for t, _ in ROWS], "label": [x for _, x in ROWS]}), ROWS, "lists"),
    Case(
        "F",
        "wrapped.json",
        json.dumps({"version": 1, "data": [{"text": t, "label": x} for t, x in ROWS]}),
        ROWS,
        "'data'.*'version' left out",
    ),
    Case("F", "mapping.json", json.dumps(dict(ROWS)), ROWS),
    Case(
        "F",
        "trec.txt",
        "".join(f"{x.upper()}:kind {t}\n" for t, x in ROWS),
        relabelled(lambda i, x: f"{x.upper()}:kind"),
        "label and text in each line",
    ),
    Case("F", "texts.txt", "".join(f"{t}\n" for t, _ in ROWS), says="no other column. Add a column with the labels"),
    Case("F", "rows.parquet", lambda p: FRAME.to_parquet(p), ROWS, "Parquet"),
    Case("F", "rows.feather", lambda p: FRAME.to_feather(p), ROWS),
    Case("E", "cut.jsonl", join_json()[:-20], says="line 60: the last line is cut"),
    Case("E", "comma.jsonl", join_json().replace("}\n", "},\n"), says="line 1: ends in a comma"),
    Case("E", "twice.jsonl", join_json().replace("{", '{"text": "x", ', 1), says="line 1: .*'text' twice"),
    Case("E", "surrogate.jsonl", join_json().replace("The soup", "The \\ud83d", 1), says="row 2.*lone surrogate"),
    Case("E", "quotes.json", str([{"text": t, "label": x} for t, x in ROWS]), says="double quotes"),
    Case("E", "list.json", json.dumps([t for t, _ in ROWS]), says="without labels"),
    Case("E", "cut.csv.gz", gzip.compress(join().encode())[:-12], says="is cut"),
    Case("E", "false.csv.gz", join(), says="is not gz-compressed"),
    Case("E", "empty.parquet", lambda p: FRAME[:0].to_parquet(p), says="no rows"),
    Case("E", "rows.doc", "x", says="are not read"),
    Case("E", "rows.tsv.doc", "x", says="are not read"),
]


@pytest.mark.parametrize(
    "case", SPELLINGS + ANNOTATIONS + COLUMNS + FORMS_OF_FILES, ids=lambda c: f"{c.kind}-{c.name}"
)
def test_rows_are_read_or_refused(case, tmp_path, capsys):
    judge(case, tmp_path, capsys)
