"Claims without a source: what was copied is never flagged, what was planted is."

import json
import time

import pytest
from conftest import REAL_DATA
from hypothesis import given, settings
from hypothesis import strategies as st

from ftkit.errors import UserError
from ftkit.tasks.grounding import find_claims, find_unsupported, grounding, has_capital_nouns

SOURCE = """Angela Merkel met Emmanuel Macron in Paris on 12 May 2024 at 15:30. The president of Siemens AG was there.
The budget is 1,200,000 euros, 50 % of it for trains; a ticket costs $4.50. Write to info@example.com, or see
https://www.example.com/help/page. Error E3 of the X-100 means "the door is not closed properly". There are 12 300
seats, two doors and twenty-one lamps, on the 3rd floor. GitHub has version 2.1.3. Three people came, 5kg of flour."""
GERMAN = "Die Rechnung vom 3. März 2024 beträgt 1.200,50 Euro. Bitte überweisen Sie den Betrag an die Sparkasse."
FLOATS = ["1,200", "1.5", "12", "300", "5kg", "50 %", "$3", "10:30", "3 pm", "2024-05-12", "12.05.2024", "two", "k"]
PIECES = [
    *FLOATS,
    "Anna",
    "Paris",
    "the",
    "and",
    "E3",
    "COVID-19",
    "iPhone",
    "May",
    "hundred",
    '"',
    "“",
    "”",
    "„",
    "«",
]
PIECES += ["»", "(", ")", ".", ",", ":", "\n", "-", "1.", "a.de", "x@y.de", "https://a.b/c.", "don't", "O'Neill", "三"]
PIECES += [
    "1920x1080",
    "v2.1.3",
    "[1]",
    "```",
    "der",
    "Über",
    "北京",
    "½",
    "’",
    "#",
    "@bob",
    "-5",
    "–",
    "million",
    "*",
]


def flag(answer, source=SOURCE):
    return [(claim.kind, claim.text) for claim in find_unsupported(answer, [source])]


@pytest.mark.parametrize(
    "answer",
    [
        "It is 1200000 euros.",
        "It is 1 200 000 euros (€1,200,000.00).",
        "It is 1.2 million euros, and half of it is 50%.",
        "a ticket costs 4,50 $",
        "There are 12,300 seats, 2 doors and 21 lamps.",
        "the third floor, floor 3",
        "They met on May 12, 2024 at 3:30 pm.",
        "They met on 2024-05-12 at 15:30.",
        "They met on 12.05.2024, or 5/12/24.",
        "Then Merkel met Macron, and Macron's team met the President.",
        "we saw angela merkel and ANGELA MERKEL",
        "It was built by siemens, and Siemens sold it.",
        "Error E3: “The door is not closed properly!”",
        'It says "the door … closed properly".',
        "the X100 and the x-100",
        "Please write to INFO@example.com.",
        "Look at (example.com/help/page) or www.example.com.",
        "version 2.1.3 of Github",
        "We need 5 kg of flour.",
        "1. Open it.\n2. Close it.\n3. Wait.\n4. Done.",
        "**Step 1:** open it\n**Step 2:** close it [1][2, 3]",
        "The Door. However, In the end: Please wait. - Good",
        "# How To Close The Door Of Your Train\nClose the door.",
        "```python\nx = 99\n```",
        "",
    ],
)
def test_copied_claims_are_not_flagged(answer):
    assert flag(answer) == []


@pytest.mark.parametrize(
    ("answer", "claim"),
    [
        ("It is 1,300,000 euros.", ("number", "1,300,000")),
        ("It is 1.2 billion euros.", ("number", "1.2 billion")),
        ("It gets 60 % of it.", ("number", "60 %")),
        ("A ticket costs $4.60.", ("number", "$4.60")),
        ("It has seven doors.", ("number", "seven")),
        ("the 4th floor", ("number", "4th")),
        ("They met on 13 May 2024.", ("number", "13")),
        ("They met on 12 June 2024.", ("name", "June")),
        ("They met on 2024-06-12.", ("number", "2024-06-12")),
        ("They met at 16:30.", ("number", "16:30")),
        ("They met at 4 pm.", ("number", "4 pm")),
        ("Angela Merkel met Olaf Scholz in Paris.", ("name", "Olaf Scholz")),
        ("Angela Merkel met Emmanuel Merkel.", ("name", "Emmanuel Merkel")),
        ("The train was built by Alstom.", ("name", "Alstom")),
        ("GitLab has it.", ("name", "GitLab")),
        ("the error E4", ("code", "E4")),
        ("the X-200 is new", ("code", "X-200")),
        ("Write to help@example.com.", ("address", "help@example.com")),
        ("See https://example.org/help.", ("address", "https://example.org/help")),
        ('It says "the door is now closed".', ("quotation", '"the door is now closed"')),
        ("Sie sagt „die Tür ist jetzt zu“.", ("quotation", "„die Tür ist jetzt zu“")),
        ("Elle dit « la porte est fermée ».", ("quotation", "« la porte est fermée »")),
        ("GitHub has version 2.1.4.", ("number", "2.1.4")),
    ],
)
def test_planted_claims_are_flagged(answer, claim):
    assert flag(answer) == [claim]


@pytest.mark.parametrize(
    ("answer", "claims"),
    [
        ("Der Betrag der Rechnung beträgt 1200,50 €.", []),
        ("Die Zahlung geht an die Sparkasse, mit dem Zug nach Hause.", []),
        ("Bitte Rechnung an Amt senden", []),
        ("Die Rechnung ist vom 03.03.2024.", []),
        ("Die Rechnung ist vom 04.03.2024 und beträgt 1.300 Euro.", ["04.03.2024", "1.300"]),
    ],
)
def test_german_nouns_are_not_flagged(answer, claims):
    assert [text for _, text in flag(answer, GERMAN)] == claims and has_capital_nouns(answer, [GERMAN])


@pytest.mark.parametrize(
    ("source", "answer", "claims"),
    [
        ("El señor Juan Pérez pagó 1.250,75 €.", "Pues Juan Perez pagó 1250,75 € a María López.", ["María López"]),
        ("Pan Kowalski mieszka w Warszawie.", "To jest miasto Warszawa, a nie Gdynia.", ["Gdynia"]),
        ("Иван живёт в Москве.", "Его город Москва, а не Казань.", ["Казань"]),
        ("张伟买了3台电脑,共计1,200元。", "张伟买了3台电脑,花了1200元,还买了5个鼠标。", ["5"]),
        ("L'usine compte douze salariés.", "Les 12 salariés de l'usine sont à Lyon.", ["Lyon"]),
        ("محمد اشترى ٣ كتب", "اشترى 3 كتب و 4 أقلام", ["4"]),
    ],
)
def test_other_languages_are_read(source, answer, claims):
    assert [text for _, text in flag(answer, source)] == claims


def test_title_case_switches_names_off():
    answer = "Nine Easy Ways To Clean Your New Kitchen Table With 99 Lemons"
    assert has_capital_nouns(answer) and [kind for kind, _ in flag(answer)] == ["number", "number"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=20), st.data())
def test_any_part_of_a_source_is_held(pieces, data):
    start = data.draw(st.integers(0, len(pieces) - 1))
    stop = data.draw(st.integers(start + 1, len(pieces)))
    part, source = " ".join(pieces[start:stop]), " ".join(pieces)
    assert find_unsupported(part, ["Other 7 words", source]) == find_unsupported(source, [source]) == []


@settings(deadline=None)
@given(st.text(st.sampled_from("aZé1239 .,:-/'\"“”„«»@\n北½€%x()[]#*`"), max_size=60))
def test_claims_are_places_in_the_text(text):
    claims = find_claims(text)
    assert all(text[claim.start : claim.end] == claim.text for claim in claims)
    assert all(a.end <= b.start for a, b in zip(claims, claims[1:]))


@pytest.mark.parametrize(
    "piece", ["1", "1,", "1 000 ", "1x", "A ", "A.", "a.", '"a ', "“", "«a»", "[1,", "```", "E-1", "two "]
)
def test_long_texts_take_seconds(piece):
    text = piece * (20_000 // len(piece))
    started = time.process_time()
    find_unsupported(text, [text[:5000]])
    assert time.process_time() - started < 5


def test_grounding_counts_answers():
    found = grounding(["It is in Paris.", "It is in Rome, in Rome.", GERMAN], [[SOURCE], ["?", "The Seine"], [GERMAN]])
    assert found["flags"] == [(1, "name", "Rome")] and found["without_names"] == 1
    assert found["unsupported"].value == pytest.approx(1 / 3) and found["unsupported"].n == 3
    assert grounding(["It is in Paris."], [SOURCE])["flags"] == []  # one text is one source


@pytest.mark.parametrize(("answers", "sources"), [([], []), (["a"], [])])
def test_wrong_rows_are_refused(answers, sources):
    with pytest.raises(UserError, match="Give the same rows"):
        grounding(answers, sources)


@pytest.mark.slow
def test_summaries_by_people_are_rarely_flagged():
    file = REAL_DATA / "dialogsum" / "dev.jsonl"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    rows = [json.loads(line) for line in file.read_text().splitlines()[:200]]
    dialogues = [[row["dialogue"]] for row in rows]
    assert grounding([row["summary"] for row in rows], dialogues)["unsupported"].value <= 0.02
    assert not [line for (text,) in dialogues for line in text.splitlines() if find_unsupported(line, [text])]
    others = grounding([row["summary"] for row in rows], dialogues[1:] + dialogues[:1])
    assert others["unsupported"].value >= 0.2  # half of the summaries hold no number and no name
