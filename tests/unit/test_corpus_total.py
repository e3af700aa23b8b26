"The corpus as a whole: every kind has its cases, and none ended in another way than it should."

import pytest
import test_corpus_commands
import test_corpus_labels
import test_corpus_text
from corpus import CHECK_KEYS, COUNTS, run_check, write

TABLES = [
    *test_corpus_text.ENCODINGS,
    *test_corpus_text.QUOTES,
    *test_corpus_text.HEADERS,
    *test_corpus_labels.SPELLINGS,
    *test_corpus_labels.ANNOTATIONS,
    *test_corpus_labels.COLUMNS,
    *test_corpus_labels.FORMS_OF_FILES,
]
KINDS = "A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 D26 D27 E30 E31 E32 E33 E34 E35 E36 E37 F".split()


def test_every_kind_has_cases():
    kinds = {case.kind for case in TABLES} | {kind for kind, *_ in test_corpus_commands.WRONG}
    assert kinds <= {*KINDS, "E"} and len(TABLES) >= 150
    assert len({(case.kind, case.name) for case in TABLES}) == len(TABLES)
    for kind in kinds:
        cases = [c for c in TABLES if c.kind == kind] + [w for w in test_corpus_commands.WRONG if w[0] == kind]
        assert len(cases) >= 3, kind


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [case for case in TABLES if case.rows is not None], ids=lambda c: f"{c.kind} {c.name}"
)
def test_doctor_judges_the_rows_of_every_file(case, tmp_path, capsys):
    keys = {k: v for k, v in case.keys.items() if k in CHECK_KEYS}
    code, result, err = run_check(write(case, tmp_path), capsys, judged=True, **keys)
    assert code in (0, 3) and not err and result["findings"] is not None


def test_none_is_silently_wrong(request):
    corpus = [
        item for item in request.session.items if "test_corpus_" in item.nodeid and not item.get_closest_marker("slow")
    ]
    passed = sum(sum(outcomes.values()) for outcomes in COUNTS.values())
    alone = len({item.path.name for item in corpus}) < 5 or hasattr(request.config, "workerinput")
    failed = [kind for kind in KINDS if not alone and sum(COUNTS.get(kind, {}).values()) < 3]
    print(f"corpus: {passed} cases, 0 silently wrong" if not failed else f"too few right: {failed}")
    assert not failed
    own = [i for i in corpus if i.path.name != "test_corpus_total.py" and not i.get_closest_marker("xfail")]
    assert alone or passed >= len(own), f"{passed} of {len(own)} cases ended as they should"
