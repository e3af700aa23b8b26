"Delimited text: delimiter and quoting are found over the whole file and named, or the file is refused with its line."

import csv
import io

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ftkit.errors import UserError
from ftkit.files.delimited import parse_delimited, table
from ftkit.files.rows import ReadOptions


def parse(text, suffix=".csv", **options):
    return parse_delimited(text, f"a{suffix}", "utf-8", ReadOptions(**options), suffix)


def rows_of(table):
    return list(zip(*table.columns.values()))


def refused(text, suffix=".csv", **options):
    with pytest.raises(UserError) as e:
        parse(text, suffix, **options)
    assert "\n" not in str(e.value)
    return str(e.value)


DELIMITER = {
    "comma": ("text,label\na,1\n", ".csv", "comma", "CSV"),
    "semicolon": ("text;label\nhello, you;1\nbye, me;2\n", ".csv", "semicolon", "CSV"),
    "semicolon and decimals": ("text;score\na;1,5\nb;2,5\n", ".csv", "semicolon", "CSV"),
    "tab": ("text\tlabel\na, b\t1\n", ".csv", "tab", "TSV"),
    "bar": ("text|label\na, b|1\n", ".csv", "bar", "CSV"),
    "commas under .tsv": ("text,label\na,1\nb,2\n", ".tsv", "comma", "CSV"),
    "semicolons under .tab": ("text;label\na;1\n", ".tab", "semicolon", "CSV"),
    "both, and the ending decides": ("text,a\tlabel\nb,c\t1\n", ".tsv", "tab", "TSV"),
    "both, and the header decides": ('"text, all";label\nb,c;1\n', ".csv", "semicolon", "CSV"),
    "late line decides": ("text;label\n" + "a,b;1\n" * 99 + "a;1\n", ".csv", "semicolon", "CSV"),
    "one column": ("text\nhello, you\nbye\n", ".csv", None, "CSV"),
    "one column under .tsv": ("text\nhello\nbye\n", ".tsv", None, "TSV"),
}


@pytest.mark.parametrize("text, suffix, name, format", DELIMITER.values(), ids=DELIMITER)
def test_delimiter_is_found(text, suffix, name, format):
    table = parse(text, suffix)
    assert (table.delimiter, table.format, table.encoding, table.source) == (name, format, "utf-8", f"a{suffix}")


@pytest.mark.parametrize("given", ["comma", ",", " , ", "','"])
def test_given_delimiter_wins(given):
    assert parse("a,b;c\nd,e;f\n", delimiter=given).columns == {"a": ["d"], "b;c": ["e;f"]}


@pytest.mark.parametrize("given", ["tab", "\t", "\\t", "Tab"])
def test_tab_has_names(given):
    assert parse("text,a\tlabel\nb,c\td\n", delimiter=given).columns == {"text,a": ["b,c"], "label": ["d"]}


def test_two_delimiters_are_refused():
    message = refused("a,b;c\nd,e;f\ng,h;i\n")
    assert "comma and semicolon" in message and "delimiter = ;" in message


@pytest.mark.parametrize("given, words", [("x", "not a known"), (";", "comma splits every line")])
def test_wrong_delimiter_is_refused(given, words):
    assert words in refused("text,label\na,1\nb,2\n", delimiter=given)


def test_single_nul_stays():
    assert parse("text,label\na\0b,1\n").columns["text"] == ["a\0b"]


def test_values_stay_as_written():
    values = ["007", "True", "null", " a ", "NA", "", "1.0", "=1+1", "\0", "\u2028", "\x0c", "\x85", "\\n", "\ue000"]
    table = parse("text,label\n" + "".join(f"{v},x\n" for v in values))
    assert table.columns["text"] == values


MEASURED = 'sentence\tlabel\n" I never said ,\tneg\nshe whispered .\tneu\nhe left . "\tpos\nfine\tpos\n'
NONE = {
    "quotes over lines in TSV": (MEASURED, ".tsv", ['" I never said ,', "she whispered .", 'he left . "', "fine"]),
    "the same under .csv": (MEASURED, ".csv", ['" I never said ,', "she whispered .", 'he left . "', "fine"]),
    "no space at the quotes": ('text\tlabel\n"a\t1\nb"\t2\n', ".tsv", ['"a', 'b"']),
    "quote in mid-field": ('text,label\n5" screen,1\na,2\n', ".csv", ['5" screen', "a"]),
    "an inch at the end": ('text,label\nscreen 5",1\na,2\n', ".csv", ['screen 5"', "a"]),
    "a lonely quote": ('text,label\na,1\n"b,1\n' + "c,2\n" * 3000, ".csv", ["a", '"b'] + ["c"] * 3000),
    "a lonely quote at the end": ("text\tlabel\n" + "c\t2\n" * 3000 + '"b\t1\n', ".tsv", ["c"] * 3000 + ['"b']),
    "two quotations": ('text,label\n"Alien" meets "Predator",1\na,2\n', ".csv", ['"Alien" meets "Predator"', "a"]),
    "quote, then text": ('text,label\n"Alien" is good,1\na,2\n', ".csv", ['"Alien" is good', "a"]),
    "tokens": ('word\ttag\n"\tO\nyes\tO\n\n"\tO\nno\tO\n', ".tsv", ['"', "yes", '"', "no"]),
    "one column": ('text\n"Alien" is good\nso, so\n', ".csv", ['"Alien" is good', "so, so"]),
}


@pytest.mark.parametrize("text, suffix, wanted", NONE.values(), ids=NONE)
def test_quotes_are_text(text, suffix, wanted):
    table = parse(text, suffix)
    assert next(iter(table.columns.values())) == wanted
    assert table.quoting == "none"


@pytest.mark.parametrize("text", ["text,label\nit's,1\n", "text,label\n'tis,1\n'twas,2\n"])
def test_apostrophes_are_text(text):
    table = parse(text)
    assert table.quoting is None and not table.notes
    assert table.columns["text"][0] in ("it's", "'tis")


QUOTES = {
    "delimiter": ('text,label\n"a, b",1\nc,2\n', ["a, b", "c"]),
    "doubled": ('text,label\n"he said ""x""",1\nc,2\n', ['he said "x"', "c"]),
    "all": ('"text","label"\n"a","1"\n"b","2"\n', ["a", "b"]),
    "balanced": ('text,label\n"a",1\nb,2\n', ["a", "b"]),
    "empty": ('text,label\n"",1\nb,2\n', ["", "b"]),
    "lines": ('text,label\n"I like\nit, much",1\nc,2\n', ["I like\nit, much", "c"]),
    "blank lines inside": ('text,label\n"I like\n\n\nit",1\nc,2\n', ["I like\n\n\nit", "c"]),
    "line ends stay": ('text,label\r\n"a\nb\rc\r\nd",1\r\nc,2\r\n', ["a\nb\rc\r\nd", "c"]),
    "evidence outweighs": ('text,label\n"a, x",1\n"b, y",2\n"b,1\nb",1\nc,2\n', ["a, x", "b, y", "b,1\nb", "c"]),
    "mid-field inch": ('text,label\n"a, x",1\n5" screen,2\n', ["a, x", '5" screen']),
    "one column": ('text\n"hello, you"\n"bye ""x"""\nplain\n', ["hello, you", 'bye "x"', "plain"]),
    "one column, a comma each": ('text\n"hello, you"\n"so, so"\n"bye, me"\n', ["hello, you", "so, so", "bye, me"]),
    "header with commas": ('"text, all",label\n"a, b",1\n"c, d",2\n', ["a, b", "c, d"]),
    "tabs": ('"text"\t"label"\n"a\tb"\t"1"\n"c"\t"2"\n', ["a\tb", "c"]),
}


@pytest.mark.parametrize("text, wanted", QUOTES.values(), ids=QUOTES)
def test_quotes_are_syntax(text, wanted):
    table = parse(text)
    assert next(iter(table.columns.values())) == wanted
    assert table.quoting == "quotes"


UNUSUAL = {
    "backslash": ('text,label\n"he said \\"a, b\\" x",1\n"y",2\n', ['he said "a, b" x', "y"], "backslash"),
    "backslash in a quoted file": ('"text","label"\n"a \\"b\\" c","1"\n"y","2"\n', ['a "b" c', "y"], "backslash"),
    "backslash and lines": ('text,label\n"a \\"b\\"\nc, d",1\n"y",2\n', ['a "b"\nc, d', "y"], "backslash"),
    "a backslash at the end": ('text,label\n"a, \\"b\\" \\\\",1\n"y",2\n', ['a, "b" \\\\', "y"], "backslash"),
    "bare": ('text,label\n"he said "hi" to, me",1\n"y",2\n', ['he said "hi" to, me', "y"], "not written twice"),
    "bare in a quoted file": ('"text","label"\n"a "b" c","1"\n"y","2"\n', ['a "b" c', "y"], "not written twice"),
    "bare in a quoted column": ('text,label\n"a "b" c",1\n"y",2\n', ['a "b" c', "y"], "not written twice"),
    "single": ("text,label\n'a, b',1\n'c',2\n", ["a, b", "c"], "single quotes"),
    "single, doubled": ("text,label\n'it''s, b',1\n'c',2\n", ["it's, b", "c"], "single quotes"),
    "single, backslash": ("text,label\n'it\\'s, b',1\n'c',2\n", ["it's, b", "c"], "single quotes"),
    "single, all": ("'text','label'\n'a','1'\n'it's','2'\n", ["a", "it's"], "single quotes"),
    "space before a quote": ('text, label\n"a, b", "1"\nc, "2"\n', ["a, b", "c"], "space after each comma"),
}


@pytest.mark.parametrize("text, wanted, note", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_quotes_are_noted(text, wanted, note):
    table = parse(text)
    assert table.columns["text"] == wanted and table.columns["label"] == ["1", "2"]
    assert table.quoting == "quotes" and note in " ".join(table.notes)


REFUSED_QUOTES = {
    "lines like rows": ('text,label\nx,1\n"a,2\nb",1\nc,2\n', "line 3", "quoting = literal"),
    "only with quoting": ('label,text\n1,"a\nb, 2"\n', "line 2", "quoting = quotes"),
    "never closed": ('text,label\n"a, b",1\n"open,2\nx,1\n', "line 3", "never closed"),
    "cut inside a quote": ('text,label\n"a, b",1\n"I like it, bu', "line 3", "cut"),
    "bare and delimiter": ('text,label\n"a, b",1\n"x "y", z",2\n', "line 3", "twice"),
    "quoted header": ('"text","label"\n"a","1"\n"b,"2"\n', "line 3", "twice"),
    "rows with labels": (
        'text,label\n"x, y",0\n"a ""b""",1\n"z, z",0\n"open,0\nb,1\nc,0\nd,1\ne",1\nf,0\ng,1\nh,0\n',
        "line 5",
        "rows of their own",
    ),
}


@pytest.mark.parametrize("text, line, words", REFUSED_QUOTES.values(), ids=REFUSED_QUOTES)
def test_doubtful_quotes_are_refused(text, line, words):
    message = refused(text)
    assert f"a.csv, {line}:" in message and words in message


@pytest.mark.parametrize("quoting, wanted", [("none", ['"a', 'b"', "c"]), ("quotes", ["a,2\nb", "c"])])
def test_given_quoting_wins(quoting, wanted):
    assert parse('text,label\n"a,2\nb",1\nc,2\n', quoting=quoting).columns["text"] == wanted


def test_unknown_quoting_is_refused():
    assert "quotes or literal" in refused("text,label\na,1\n", quoting="all")


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_tab_quotes_with_evidence(end):
    "A cell with tab and line break in a file that doubles quotes is neither split nor joined silently"
    assert "quoting" in refused(f'text\tlabel{end}"a ""x"" \tb{end}c"\td{end}', ".tsv")


RAGGED = {
    "text holds the delimiter": (
        "text,label\na,1\nhello, you,1\nb,2\n",
        3,
        "3 fields where the header has 2",
        "quotes",
    ),
    "every text does": (
        "text,label\nhello, you,0\nbye, me,1\n",
        2,
        "3 fields where the header has 2",
        "2 lines have 3",
    ),
    "short row": ("text,label\na,1\nb\nc,2\n", 3, "1 field where the header has 2 (text, label)", "Complete"),
    "cut": ("text,label\na,1\nb,2\nhel", 4, "1 field", "the file seems to be cut"),
    "only short row": ("text,label\nhello\n", 2, "1 field", "Complete"),
    "row names of R": (
        '"text","label"\n"1","a","x"\n"2","b","y"\n',
        2,
        "3 fields where the header has 2",
        "name missing",
    ),
    "trailing delimiter in places": ("text,label\na,1,\nb,2\n", 3, "no comma at its end", "Delete"),
    "tabs": ("text\tlabel\na\t1\nb\tc\t2\n", 3, "3 fields", "holds a tab"),
    "title of one word": ("text\na,1\nb,2\nc,3\n", 2, "2 fields where the header has 1 (text)", "quotes around"),
    "joined lines": ("text,label\na,1\nb,2text,label\nc,1\n", 3, "3 fields", "quotes"),
    "comment": ("text,label\na,1\n# more\nb,2\n", 3, "1 field", "looks like a comment"),
    "footer": ("text,label\na,1\nb,2\nTotal: 2\n", 4, "1 field", "Complete"),
}


@pytest.mark.parametrize("text, line, words, remedy", RAGGED.values(), ids=RAGGED)
def test_ragged_rows_are_refused(text, line, words, remedy):
    message = refused(text)
    assert message.startswith(f"a.csv, line {line}: ") and words in message and remedy in message


def test_shifted_label_is_refused():
    assert "line 4" in refused("text,label,\n" + "a,0,\nb,1,\nhello, you,0\n" + "c,1,\n" * 9)


NAMELESS = {
    "header and rows": ("class,message,,,\nham,hello,,,\nspam,bye,,,\n", ["3 nameless columns were left out"]),
    "with text": (
        "class,message,,,\nham,a,,,\nspam,b, more,,\nham,c,d,e,\n",
        ["3 nameless columns were left out; 2 rows have text there, the first in line 3"],
    ),
    "header alone": ("class,message,\nham,a\n", ["1 nameless column was left out"]),
    "rows alone": ("class,message\nham,a,,\nspam,b,,\n", ["2 nameless columns were left out"]),
    "row numbers": (
        ",class,message\n0,ham,a\n1,spam,b\n",
        ["1 nameless column was left out: it holds the row numbers"],
    ),
}


@pytest.mark.parametrize("text, notes", NAMELESS.values(), ids=NAMELESS)
def test_nameless_columns_are_noted(text, notes):
    table = parse(text)
    assert list(table.columns) == ["class", "message"] and table.notes == notes
    assert table.columns["message"][0] in ("hello", "a")


HEADER = {
    "spaces": (" text , label \na,1\n", "spaces around column names"),
    "invisible": ("\ufefftext,\u200blabel\na,1\n", "invisible"),
    "sep": ("sep=,\ntext,label\na,1\n", "names the delimiter"),
    "sep in quotes": ('"SEP=;"\ntext;label\na;1\n', "names the delimiter"),
    "sep of a tab": ("sep=\t\r\ntext\tlabel\r\na\t1\r\n", "names the delimiter"),
    "one comment": ("# made by a tool\ntext,label\na,1\n", "1 comment line above"),
    "comments": ("# x, y\n#z\n\ntext,label\na,1\n", "2 comment lines above"),
    "hash header": ("#text,label\na,1\n", "the # before the first name"),
    "comment with commas": ("# tool, 2024\ntext,label\na,1\n", "1 comment line"),
    "spaces after each comma": ("text, label\na, 1\n", "space after each comma"),
}


@pytest.mark.parametrize("text, note", HEADER.values(), ids=HEADER)
def test_header_is_cleaned(text, note):
    table = parse(text)
    assert table.columns == {"text": ["a"], "label": ["1"]} and note in " ".join(table.notes)


def test_quotes_after_spaces():
    table = parse('id,text,label\n1, "a, b", pos\n2, "c", neg\n')
    assert rows_of(table) == [("1", "a, b", "pos"), ("2", "c", "neg")]
    assert "space after each comma" in " ".join(table.notes)


PROSE = {
    "title": ("Reviews of 2024\ntext,label\na,1\nb,2\n", "line 1 is above", "line 2 holds the names (text, label)"),
    "stamp": ("Reviews\n\nExported at noon\ntext,label\na,1\nb,2\n", "lines 1 to 3 are", "line 4 holds the names"),
    "commas in it": ("Export, by me, today\nsms,kind\na,1\nb,2\n", "line 1 is above", "line 2 holds the names (sms"),
    "as many commas": ("Report, 2024\ntext,label\na,1\nb,2\n", "line 2", "holds the names (text, label)"),
    "quoted rows": ('Reviews\ntext,label\n"a, b",1\n"c, d",2\n', "line 1 is above", "line 2 holds the names"),
    "tabs": ("Reviews\ntext\tlabel\na\t1\nb\t2\n", "line 1 is above", "line 2 holds the names"),
}


@pytest.mark.parametrize("text, above, names", PROSE.values(), ids=PROSE)
def test_prose_above_is_refused(text, above, names):
    message = refused(text)
    assert above in message and names in message and "Delete" in message


@pytest.mark.parametrize("text", ["text,label,text\na,b,c\n", " text,text \na,b\n", "a,\u200ba\nx,y\n"])
def test_double_names_are_refused(text):
    assert "two columns are named" in refused(text)


NO_HEADER = {
    "label again": ("good film,pos\n" + "bad film,neg\nfine,pos\n" * 30, "('pos' occurs 30 times below it)"),
    "label first": ("pos\tgood film\n" + "neg\tbad film\npos\tfine one\n" * 30, "label, text"),
    "number": ("3,nice\n4,bad\n5,so so\n", "3 is a number"),
    "sentence": ("I liked this film very much,x\n" + "It was far too long for me,y\n" * 2, "is a sentence"),
    "one column": ("I liked this film very much\nIt was far too long for me\n", "column_names = text"),
    "TREC": ("DESC:a How did it come to this ?\nENTY:b What do they all want there ?\n", "is a sentence"),
}


@pytest.mark.parametrize("text, words", NO_HEADER.values(), ids=NO_HEADER)
def test_missing_header_is_refused(text, words):
    message = refused(text)
    assert "the first line looks like a row" in message and "column_names = " in message and words in message


NORMAL = {
    "plain": "text,label\na,pos\nb,label\n",
    "numbers": "sms,spam\na,0\nb,1\n",
    "pandas": "0,1\na,0\nb,1\n",
    "years": "country,2019,2020\nChina,1,2\nPeru,3,4\n",
    "v1": "v1,v2\nham,v1 is good\nspam,b\n",
    "form": "Timestamp,What did you like most about the course?\n1 May,it was all good\n2 May,not so much at all\n",
    "a name that is a value": "question,type\nis it?,question\nno.,statement\nwhy?,question\n",
    "explained": "id_of_row (as in the file of last year),kind\nit was all very good,a\nso it was not good,b\n",
    "wide": "review_text,is_good\na,True\nb,False\n",
    "german": "Satz,Stimmung\na,gut\nb,schlecht\n",
    "one column": "text\ntext of a row\n",
}


@pytest.mark.parametrize("text", NORMAL.values(), ids=NORMAL)
def test_normal_header_is_read(text):
    table = parse(text)
    assert list(table.columns) == text.split("\n")[0].split(",") and len(table) == len(text.splitlines()) - 1


def test_given_names_need_no_header():
    table = parse("good film,pos\nbad film,neg\n", column_names=("text", "label"))
    assert rows_of(table) == [("good film", "pos"), ("bad film", "neg")] and list(table.numbers) == [1, 2]


def test_given_names_equal_header():
    table = parse("text,label\na,1\n", column_names=("text", "label"))
    assert rows_of(table) == [("a", "1")] and "it is the header" in " ".join(table.notes)


def test_given_name_of_one_column():
    assert parse("hello, you\nbye\n", column_names=("text",)).columns == {"text": ["hello, you", "bye"]}


def test_hash_row_is_kept():
    assert len(parse("#yes I do,pos\nno,neg\n", column_names=("text", "label"))) == 2


MISNAMED = {
    "too few": ("a,b,c\nd,e,f\n", ("text", "label"), "every line has 3 fields"),
    "one": ("a,b\nd,e\n", ("text",), "every line has 2 fields"),
    "another header": ("text,label\na,1\n", ("tweet", "class"), "looks like one (text, label)"),
    "twice": ("a,b\n", ("text", "text"), "twice"),
    "ragged": ("a,b\nc,d,e\n", ("text", "label"), "line 2: 3 fields where column_names has 2"),
}


@pytest.mark.parametrize("text, names, words", MISNAMED.values(), ids=MISNAMED)
def test_wrong_names_are_refused(text, names, words):
    assert words in refused(text, column_names=names)


def test_repeated_header_is_noted():
    table = parse("text,label\na,1\n\ufefftext,label\nb,2\ntext,label\nc,1\n")
    assert table.columns["text"] == ["a", "b", "c"] and table.numbers == [2, 4, 6]
    assert table.notes == ["2 repeated header lines left out, the first in line 3"]


IMPOSTORS = {
    "LFS": ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "HTML": ("\n<!DOCTYPE html>\n<html>", "web page"),
    "HTML behind a comment": ("<!-- a -->\n<!-- b --><html>", "web page"),
    "XHTML": ('<?xml version="1.0"?>\n<!DOCTYPE html>', "web page"),
    "XML": ('<?xml version="1.0"?>\n<rows>', "XML"),
    "JSON": ('[{"text": "a"}]', ".json"),
    "JSON lines": ('{"text": "a"}\n{"text": "b"}\n', ".jsonl"),
    "JSON cut": ('[\n {"text": "a"},\n {"te', ".json"),
    "JSON lists": ('[["a", "b"],\n["c", "d"]]', ".json"),
    "Python": ("{'text': 'a', 'label': 1}\n{'text': 'b', 'label': 2}\n", "Python"),
    "RTF": ("{\\rtf1\\ansi text,label", "RTF"),
    "LaTeX": ("% a\n\\documentclass{article}\n", "LaTeX"),
    "Markdown": ("| text | label |\n|---|:--|\n| a | 1 |\n", "Markdown"),
    "blank": ("\n \r\n\t\n", "the file is empty"),
    "nothing": ("", "the file is empty"),
    "header alone": ("text,label\n\n", "no rows"),
    "headers alone": ("text,label\ntext,label\n", "no rows"),
    "comments alone": ("# a\n# b\n", "no rows"),
    "NUL": ("t\0e\0x\0t\0,\0l\0\n\0a\0,\0b\0\n", "utf-16"),
    "fastText": ("__label__pos a\n__label__neg b\n", "fastText"),
    "lines in quotes": ('"text,label"\n"a,1"\n"b,2"\n', "quotes as a whole"),
}


@pytest.mark.parametrize("text, words", IMPOSTORS.values(), ids=IMPOSTORS)
def test_impostors_are_named(text, words):
    message = refused(text)
    assert message.startswith("a.csv: ") and words in message


def test_impostor_check_is_fast():
    assert refused("% " * 5000 + "\n" + "<!-- x -->" * 5000)


LINES = {
    "unix": ("text,label\na,1\n\nb,2\n", [2, 4]),
    "windows": ("text,label\r\na,1\r\n\r\nb,2", [2, 4]),
    "old mac": ("text,label\ra,1\r\rb,2\r", [2, 4]),
    "mixed": ("text,label\r\na,1\r\nb,2\n", range(2, 4)),
    "blank above": ("\n \ntext,label\na,1\nb,2\n\n", range(4, 6)),
    "spaces": ("text,label\na,1\n  \nb,2\n", [2, 4]),
}


@pytest.mark.parametrize("text, numbers", LINES.values(), ids=LINES)
def test_lines_are_numbered(text, numbers):
    table = parse(text)
    assert rows_of(table) == [("a", "1"), ("b", "2")] and table.numbers == numbers


def test_wrapped_rows_are_numbered():
    table = parse('text,label\n"a\nb, c",1\nd,2\n')
    assert [table.number(i) for i in range(2)] == [2, 4]


def test_empty_rows_are_rows():
    assert rows_of(parse("text\tlabel\n\t\na\t1\n", ".tsv")) == [("", ""), ("a", "1")]


def test_large_field_is_read():
    assert len(parse(f'text,label\n"{"a, " * 200_000}",1\n').columns["text"][0]) == 600_000


@pytest.mark.parametrize("mark", ["^", ":", "~", "::", "##", "\x01", "\x1f", "¦", "=>"])
def test_unread_delimiter_is_named(mark):
    text = "text" + mark + "label\n" + "".join(f"good {i}{mark}{i % 2}\n" for i in range(9))
    with pytest.raises(UserError, match="splits every line into 2 fields, but is no known delimiter"):
        parse(text)


@pytest.mark.parametrize(
    "lines", ["text\na: b\nc: d\n", "what: do you think?\nit is: fine\nno\n", "text #1\na #1\nb\n"]
)
def test_one_column_of_text_is_read(lines):
    assert len(parse(lines, ".csv").columns) == 1


def test_chunks_are_joined(monkeypatch):
    monkeypatch.setattr(table, "CHUNK", 3)
    text = "text,label\n" + "".join(f"a{i},{i}\n" for i in range(7))
    assert rows_of(parse(text)) == [(f"a{i}", str(i)) for i in range(7)]


FIELD = st.text(st.sampled_from("ab ,;|\t\n\r\"'\\#0\u2028") | st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    suffix=st.sampled_from([".csv", ".tsv"]),
)
def test_written_rows_return_or_refuse(rows, delimiter, quoting, suffix):
    assume(("text", "label") not in rows)  # a repeated header
    # in TSV without doubled quotes, lines that look like rows are rows: nothing in the file tells the difference
    assume(delimiter != "\t" or not any("\t" in v and "\r\n" in v for row in rows for v in row))
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, quoting=quoting).writerows([("text", "label"), *rows])
    try:
        table = parse(file.getvalue(), suffix)
    except UserError:
        return
    assert rows_of(table) == rows
