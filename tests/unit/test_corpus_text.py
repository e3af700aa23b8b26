"Files that people bring: encodings, quoting, headers. Read as meant, or refused in one line."

import pytest
from corpus import ROWS, Case, join, join_json, join_plain, judge

FRENCH = [(f"le café n°{i} était fermé, désolé pour {t.split()[1]}", label) for i, (t, label) in enumerate(ROWS)]
RUSSIAN = [
    (f"{('хлеб был тёплым', 'автобус опять сломался', 'библиотека открыта')[i % 3]} утром {i} числа", x)
    for i, x in enumerate(["хорошо", "плохо", "никак"] * 20)
]
POLISH = [
    (
        f"{('chleb był świeży i ciepły', 'autobus znów się zepsuł', 'biblioteka jest otwarta')[i % 3]}, dzień {i}",
        x,
    )
    for i, x in enumerate(["dobrze", "źle", "nijak"] * 20)
]
JAPANESE = [
    (f"{('パンはとても美味しかったです', 'バスがまた故障しました', '図書館は九時に開きます')[i % 3]}、{i}日目", x)
    for i, x in enumerate(["良い", "悪い", "普通"] * 20)
]
CYRILLIC_NAMES = r"windows-1251|cp1251"
SMART = [(f"it’s a “fine” day – {t}", label) for t, label in ROWS]


def broken(at: int, byte: bytes = b"\x92") -> bytes:
    "UTF-8 rows with one bad byte in a row"
    lines = [f"{t.replace('The', 'Le café, l’été : the')}|{label}".encode() for t, label in ROWS]
    lines[at] = lines[at].replace(b"day", b"da" + byte + b"y")
    return b"\n".join([b"text|label", *lines]) + b"\n"


ENCODINGS = [
    *(
        Case("A1", f"broken{at}.psv", broken(at), says=rf"line {at + 2}\b.*(byte|0x92).*encoding")
        for at in (0, 30, 59)
    ),
    Case(
        "A1",
        "broken.jsonl",
        join_json(FRENCH).encode().replace("désolé pour lamp".encode(), b"d\xe9sol\xe9 pour lamp", 1),
        says=r"line 6\b.*encoding",
    ),
    Case("A1", "cp1251.csv", join(RUSSIAN).encode("cp1251"), RUSSIAN, says=CYRILLIC_NAMES),
    Case("A1", "koi8.tsv", join(RUSSIAN, "\t", "text\tlabel").encode("koi8-r"), RUSSIAN, says="koi8-r"),
    Case("A1", "cp1250.csv", join(POLISH).encode("cp1250"), POLISH, says="cp1250|windows-1250"),
    Case("A1", "latin2.csv", join(POLISH).encode("iso8859-2"), POLISH, says="iso8859-2|iso-8859-2"),
    Case("A1", "sjis.csv", join(JAPANESE).encode("shift_jis"), JAPANESE, says="cp932|shift"),
    Case("A1", "eucjp.csv", join(JAPANESE).encode("euc_jp"), JAPANESE, says="euc"),
    Case("A1", "cp1252.jsonl", join_json(FRENCH).encode("cp1252"), FRENCH, says="cp1252|windows-1252"),
    Case("A1", "cp1252.csv", join(SMART).encode("cp1252"), SMART, says="cp1252|windows-1252"),
    Case("A1", "macroman.csv", join(FRENCH).encode("mac-roman"), FRENCH, says="mac"),
    Case("A1", "given.csv", join(FRENCH).encode("mac-roman"), FRENCH, keys={"encoding": "mac-roman"}),
    Case("A1", "wrong.csv", join(RUSSIAN).encode("cp1251"), says="encoding", keys={"encoding": "utf-8"}),
    Case("A1", "utf16.csv", join(RUSSIAN).encode("utf-16"), RUSSIAN, says="utf-16"),
    Case("E31", "nomark16.csv", join(FRENCH).encode("utf-16-le"), FRENCH, says="utf-16-le"),
    Case("E31", "nomark16be.tsv", join(FRENCH, "\t", "text\tlabel").encode("utf-16-be"), FRENCH, says="utf-16-be"),
    Case("A1", "mark.csv", b"\xef\xbb\xbf" + join(FRENCH).encode(), FRENCH),
]

INCH = [(f'a {i}" pipe and a {i + 1}" tap', label) for i, (_, label) in enumerate(ROWS)]
APOSTROPHE = [(f"'tis the {t.split()[1]}'s day, isn't it {i}", label) for i, (t, label) in enumerate(ROWS)]
OPENING = [(f'" {t}' if i % 7 == 0 else f'{t} "' if i % 7 == 3 else t, x) for i, (t, x) in enumerate(ROWS)]
QUOTED = [(f'"{t}" he said' if i % 5 == 0 else f'"{t}"', x) for i, (t, x) in enumerate(ROWS)]
BREAKS = [(f"{t}\nand so on, {i}", x) for i, (t, x) in enumerate(ROWS)]
SWALLOWED = join_plain(ROWS, ",", "text,label").replace(", day", " day")
SWALLOWED = SWALLOWED.replace("The soup", '"The soup', 1).replace("day 4,", 'day 4",', 1)
TOLD = [
    (t.replace(", day", " day").replace("The soup", '"The soup' if i == 1 else "The soup") + '"' * (i == 4), x)
    for i, (t, x) in enumerate(ROWS)
]
BARE = [(t.replace("The ", 'The "') if i == 1 else t, x) for i, (t, x) in enumerate(ROWS)]

QUOTES = [
    Case("A2", "opening.tsv", join_plain(OPENING), OPENING, says="quote characters are part of the text|no quoting"),
    Case("A2", "inch.tsv", join_plain(INCH), INCH, says="no quoting"),
    Case("A2", "inch.csv", join_plain(INCH, ",", "text,label"), INCH),
    Case("A2", "inch-quoted.csv", join(INCH), INCH),
    Case("A2", "apostrophe.tsv", join_plain(APOSTROPHE), APOSTROPHE),
    Case("A2", "apostrophe.csv", join(APOSTROPHE), APOSTROPHE),
    Case("A2", "dialogue.tsv", join_plain(QUOTED), rows=QUOTED),
    Case("A2", "quoted.tsv", join(QUOTED, "\t", "text\tlabel"), QUOTED),
    Case("A2", "all-quoted.csv", "".join(f'"{t}","{x}"\n' for t, x in [("text", "label"), *ROWS]), ROWS),
    Case("A2", "breaks.csv", join(BREAKS), BREAKS),
    Case("A2", "breaks-crlf.csv", join(BREAKS, end="\r\n"), BREAKS),
    Case("A2", "swallowed.csv", SWALLOWED, says=r"line 3: the quote .*quoting = literal"),
    Case("A2", "told.csv", SWALLOWED, TOLD, keys={"quoting": "literal"}),
    Case(
        "A2",
        "backslash.csv",
        "text,label\n" + "".join(f'"{t} \\"yes\\", he said",{x}\n' for t, x in ROWS),
        [(f'{t} "yes", he said', x) for t, x in ROWS],
        says="backslash",
    ),
    Case(
        "A2", "single.csv", "'text','label'\n" + "".join(f"'{t}','{x}'\n" for t, x in ROWS), ROWS, says="single quotes"
    ),
    Case("A2", "ragged.csv", join_plain(ROWS, ",", "text,label"), says=r"line \d+.*(fields|quotes)"),
    Case("A2", "bare.csv", join().replace('"The soup', '"The "soup', 1), BARE, says="not written twice"),
    Case("A2", "unclosed.csv", join().replace('day 4",', "day 4,", 1), says=r"line 6\b.*quot"),
    Case("A2", "cut.csv", join()[:-25], says=r"line \d+.*(cut|closed)"),
]

HEADERS = [
    Case(
        "E30",
        "trailing.csv",
        "class,message,,,\n" + "".join(f'{x},"{t}",,,\n' for t, x in ROWS),
        ROWS,
        says="3 nameless columns",
    ),
    Case(
        "E30",
        "trailing-some.csv",
        "class,message,,\n" + "".join(f'{x},"{t}",{"a note" if i == 9 else ""},\n' for i, (t, x) in enumerate(ROWS)),
        ROWS,
        says="nameless.*1 row has text there",
    ),
    Case(
        "E30",
        "index.csv",
        ",text,label\n" + "".join(f'{i},"{t}",{x}\n' for i, (t, x) in enumerate(ROWS)),
        ROWS,
        says="nameless column.*row numbers",
    ),
    Case("E30", "end.csv", "text;label;\n" + "".join(f"{t};{x};\n" for t, x in ROWS), ROWS, says="nameless"),
    Case("E30", "middle.csv", "text,,label\n" + "".join(f'"{t}",,{x}\n' for t, x in ROWS), ROWS, says="nameless"),
    Case("E31", "sep.csv", "sep=;\n" + join(sep=";", header="text;label"), ROWS, says=r"sep=;"),
    Case("E31", "septab.csv", "sep=\t\n" + join(sep="\t", header="text\tlabel"), ROWS, says="sep="),
    Case("E31", "sepquoted.csv", '"sep=;"\r\n' + join(sep=";", header="text;label", end="\r\n"), ROWS, says="sep="),
    Case("E31", "comments.csv", "# made by hand\n# in May\n" + join(), ROWS, says="2 comment lines"),
    Case("E31", "hash.csv", "#" + join(), ROWS, says="#"),
    Case(
        "E31",
        "prose.csv",
        "Survey of spring, all answers\nExported by Ann\n\n" + join(),
        says="lines 1 to 3 are above the table.*Delete",
    ),
    Case("E31", "title.csv", "My reviews\n" + join(), says="line 1 is above the table.*Delete"),
    Case(
        "E31",
        "pointer.csv",
        "version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 12345\n",
        says="Git LFS pointer.*git lfs pull",
    ),
    Case(
        "E31",
        "pointer.jsonl",
        "version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 12345\n",
        says="Git LFS pointer.*git lfs pull",
    ),
    Case(
        "E31",
        "pointer.parquet",
        "version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 12345\n",
        says="Git LFS",
    ),
    Case(
        "E31",
        "pointer.txt",
        "version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 12345\n",
        says="Git LFS",
    ),
    Case(
        "E31",
        "pointer.xlsx",
        "version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 12345\n",
        says="Git LFS",
    ),
    Case(
        "E31",
        "spaces.csv",
        "id, review_body, label\n" + "".join(f'{i}, "{t}", {x}\n' for i, (t, x) in enumerate(ROWS)),
        ROWS,
        says="space",
    ),
    Case(
        "E31",
        "spaced-name.csv",
        "id, review_body,label\n" + "".join(f'{i},"{t}",{x}\n' for i, (t, x) in enumerate(ROWS)),
        ROWS,
        says="spaces around column names",
    ),
    Case("E31", "case.csv", join(header=" Text , LABEL "), ROWS, says="spaces around column names"),
    Case("E31", "page.csv", "<!DOCTYPE html>\n<html><body>404</body></html>\n", says="web page"),
    Case("E31", "markdown.csv", "| text | label |\n|------|-------|\n| a b | pos |\n", says="Markdown"),
    Case("E31", "json.csv", join_json(), says="JSON.*Rename"),
    Case("E31", "zip.csv", b"PK\x03\x04" + bytes(60), says="ZIP"),
    Case("F", "noheader.csv", join().partition("\n")[2], says="column_names"),
    Case("F", "named.csv", join().partition("\n")[2], ROWS, keys={"column_names": ["text", "label"]}),
    Case(
        "F",
        "named.tsv",
        join_plain([(x, t) for t, x in ROWS], header=""),
        ROWS,
        keys={"column_names": ["label", "text"]},
    ),
    Case("F", "numbers.csv", "".join(f'{i % 3},"{t}"\n' for i, (t, x) in enumerate(ROWS)), says="column_names"),
    Case(
        "F", "named-wrong.csv", join().partition("\n")[2], says="column", keys={"column_names": ["a", "text", "label"]}
    ),
    Case(
        "E",
        "doubles.csv",
        "text,text,label\n" + "".join(f'"{t}",b,{x}\n' for t, x in ROWS),
        says="two columns are named 'text'",
    ),
    Case("E", "empty.csv", b"", says="empty"),
    Case("E", "header.csv", "text,label\n", says="no rows"),
    Case("E", "blank.csv", "\n \n", says="empty"),
    Case("E", "one.csv", "text;label\nfine;pos\n", says="every row has the label", by_check=False),
]


ALL = [pytest.param(c, id=f"{c.kind}-{c.name}") for c in ENCODINGS + QUOTES + HEADERS]


@pytest.mark.parametrize("case", ALL)
def test_file_is_read_or_refused(case, tmp_path, capsys):
    judge(case, tmp_path, capsys)
