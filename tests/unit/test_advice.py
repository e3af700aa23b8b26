"What to do when: each symptom is seen in a planted run and not in a healthy one; the page is made from the table."

import ast
import math
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import quick_settings, small_rows

from ftkit.cli.commands import print_result
from ftkit.fine_tuning import Run, fine_tune
from ftkit.metrics import rows_needed
from ftkit.panels.result import advice_part
from ftkit.settings import GENERATION, KEYS, MULTI_LABEL, TASKS, Settings
from ftkit.views.advice import MOST, SYMPTOMS, advise_run, count_rows, smallest_gap
from ftkit.views.report import advice_section

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
NAMES = [symptom.name for symptom in SYMPTOMS]


def write_log(losses, validation, batches=10):
    "The lines of log.jsonl: training losses, and a validation loss at the end of each epoch of so many steps"
    rows = [{"step": i + 1, "loss": loss} for i, loss in enumerate(losses)]
    return rows + [{"step": batches * (i + 1), "epoch": i + 1.0, "eval_loss": v} for i, v in enumerate(validation)]


def make_record(**keys):
    "The record of a run that has nothing to be told"
    share = lambda value, n: {"value": value, "low": None, "high": None, "n": n}
    label = lambda n: {"precision": share(0.8, n), "recall": share(0.8, 40), "f1": share(0.8, n)}
    rows = {
        split: {"rows": n, "labels": {"bad": n // 2, "good": n // 2}} for split, n in (("train", 800), ("test", 100))
    }
    return {
        "status": "finished",
        "reason": None,
        "headline": "accuracy",
        "expected_loss": [math.log(2), "ln 2 = 0.69"],
        "max_steps": 30,
        "best": {"step": 30},
        "timing": {"train_seconds": 100.0},
        "data": {**rows, "validation": rows["test"], "read": {"train": 1000}, "dropped": {}, "held_out": ["test"]},
        "metrics": {
            "test": {"accuracy": share(0.8, 100)},
            "validation": {"per_class": {"bad": label(40), "good": label(40)}},
        },
        "baselines": {"majority": {"accuracy": share(0.5, 100)}, "tfidf": {"accuracy": share(0.7, 100)}},
        "verdicts": [judge("majority", "fine-tuned"), judge("tfidf", "fine-tuned")],
        **keys,
    }


def judge(rung, better):
    return {"a": "fine-tuned", "b": rung, "metric": "accuracy", "difference": 0.1, "p": 0.5, "better": better}


def with_rows(split, **keys):
    "A record with another number of rows or tokens in a split"
    data = make_record()["data"]
    return make_record(data={**data, split: {**data[split], **keys}})


def with_scores(validation, test):
    "A record with other accuracies: right rows, and rows"
    record = make_record()
    record["data"]["held_out"] = ["validation", "test"]
    for split, (right, rows) in (("validation", validation), ("test", test)):
        record["metrics"][split]["accuracy"] = {"value": right / rows, "low": None, "high": None, "n": rows}
    return record


def with_confidence(confidence, right, rows=100):
    "A record with this mean confidence and this accuracy on validation rows"
    record = with_scores((right, rows), (right, rows))
    record["metrics"]["validation"]["accuracy"]["high"] = right / rows + 0.09
    return {**record, "confidence": {"validation": confidence, "test": confidence}}


def never(label, counts):
    "A record in which no validation row was given a label"
    record = make_record()
    record["metrics"]["validation"]["per_class"][label]["precision"]["n"] = 0
    record["data"]["train"]["labels"] = counts
    return record


FALLING = [0.7 - 0.02 * i for i in range(30)]  # from ln 2 down
HEALTHY = write_log(FALLING, [0.5, 0.41, 0.40])
RISING = write_log(FALLING, [0.5, 0.4, 0.6])
LONG_RISE = write_log(FALLING * 2, [0.5, 0.4, 0.45, 0.5, 0.55, 0.6])
STUCK = write_log([0.69, 0.70] * 15, [0.693, 0.694, 0.693])
LONG_STUCK = write_log([0.69, 0.70] * 50, [0.693] * 10)
TIED = {"verdicts": [judge("majority", "fine-tuned"), judge("tfidf", None)]}
CUT = {"name": "length", "level": "warn", "seen": "300 of 800 are cut", "fix": "Write max_seq_length = 256."}
PLANTED = {  # what was planted: symptom, record, history, keys, the change that is advised
    "jump": (0, make_record(), write_log([0.7] * 10 + [3.0] * 20, [3.0] * 3), {}, "learning_rate = 6.7e-05"),
    "jump far above the usual": (
        0,
        {**never("bad", {"bad": 400, "good": 400}), **TIED},
        write_log([0.7] * 10 + [9.0] * 20, [5.0, 9.0, 3.0]),
        {"learning_rate": 0.05},
        "learning_rate = 0.001",
    ),
    "jump and rise": (
        0,
        {**make_record(), **TIED},
        write_log([0.7] * 10 + [9.0, 5.0] * 10, [3.0, 5.0, 9.0]),
        {},
        None,
    ),
    "back": (0, make_record(), write_log([0.7] * 5 + [0.2] * 10 + [0.7] * 15, [0.2, 0.7, 0.7]), {}, None),
    "nan": (0, make_record(status="failed", reason="NotFinite: step 3", metrics=None, verdicts=None), [], {}, None),
    "halved": (
        1,
        make_record(started_again=["out of memory"]),
        HEALTHY,
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 8},
        "per_device_train_batch_size = 4, gradient_accumulation_steps = 8",
    ),
    "one row": (
        1,
        make_record(status="failed", reason="RunFailed: out of memory with one row at a time.", verdicts=None),
        [],
        {},
        "method = lora",
    ),
    "slow rate": (2, make_record(), STUCK, {"learning_rate": 1e-6}, "learning_rate = 0.0002"),
    "slow head": (2, make_record(), LONG_STUCK, {"method": "head", "learning_rate": 2e-4}, "learning_rate = 0.001"),
    "few updates": (2, make_record(), STUCK, {"per_device_train_batch_size": 4}, "num_train_epochs = 6"),
    "few updates of large batches": (
        2,
        make_record(),
        write_log([0.69] * 10, []),
        {},
        "per_device_train_batch_size = 8, num_train_epochs = 5",
    ),
    "frozen": (2, make_record(), LONG_STUCK, {"method": "head", "learning_rate": 5e-3}, "method = full"),
    "wrong labels": (2, make_record(), LONG_STUCK, {}, "ftkit check FILE: do the labels follow from the texts?"),
    "few updates, tied": (2, make_record(**TIED), STUCK, {}, None),
    "slow rate, one label": (2, never("bad", {"bad": 400, "good": 400}), STUCK, {"learning_rate": 1e-6}, None),
    "slow rate, rising": (
        2,
        make_record(),
        write_log([0.70] * 10 + [0.69] * 20, [0.69, 0.70, 0.85]),
        {"learning_rate": 1e-6},
        None,
    ),
    "rise": (3, make_record(best={"step": 20}), RISING, {}, "num_train_epochs = 2, then more rows"),
    "rise, better metric": (3, make_record(), write_log(FALLING, [0.4, 0.5, 0.6]), {}, "more training rows"),
    "rise on a sample": (
        3,
        with_rows("train", rows=80),
        write_log(FALLING, [0.4, 0.5, 0.6]),
        {"max_train_samples": 80},
        "max_train_samples = none",
    ),
    "long rise": (
        3,
        make_record(best={"step": 20}, max_steps=50),
        write_log(FALLING * 2, [0.5, 0.4, 0.45, 0.5, 0.6]),
        {"metric_for_best_model": "loss"},
        "early_stopping_patience = 2",
    ),
    "long rise, late best": (  # patience would have stopped before the best epoch
        3,
        make_record(best={"step": 40}, max_steps=60),
        [row | ({"eval_accuracy": 0.7 if row["step"] == 40 else 0.6} if "epoch" in row else {}) for row in LONG_RISE],
        {},
        "more training rows",
    ),
    "stopped early": (3, make_record(best={"step": 20}), LONG_RISE, {"early_stopping_patience": 2}, None),
    "rare": (4, never("bad", {"bad": 40, "good": 760}), HEALTHY, {}, "class_weights = balanced"),
    "rare, no class weights": (
        4,
        never("bad", {"bad": 40, "good": 760}),
        HEALTHY,
        {"task": MULTI_LABEL},
        "metric_for_best_model = f1_macro, then more rows with it",
    ),
    "still rare": (4, never("bad", {"bad": 40, "good": 760}), HEALTHY, {"class_weights": "balanced"}, None),
    "not rare": (4, never("bad", {"bad": 400, "good": 400}), HEALTHY, {}, "num_train_epochs = 6"),
    "cut": (5, make_record(preflight=[CUT]), HEALTHY, {}, "max_seq_length = 256"),
    "fall": (6, make_record(), write_log(FALLING, [0.6, 0.5, 0.4]), {}, "num_train_epochs = 6"),
    "fall to max_steps": (6, make_record(), write_log(FALLING, [0.6, 0.5, 0.4]), {"max_steps": 30}, "max_steps = 60"),
    "few test rows": (7, {**with_rows("test", rows=30), **TIED}, HEALTHY, {}, "test_size = 0.08"),
    "capped test rows": (
        7,
        {**with_rows("test", rows=30), **TIED},
        HEALTHY,
        {"max_predict_samples": 30},
        "max_predict_samples = 77",
    ),
    "tie": (8, make_record(**TIED), HEALTHY, {}, "use tfidf, or label more training rows"),
    "loss": (8, make_record(verdicts=[judge("tfidf", "tfidf")]), HEALTHY, {}, None),
    "blind tie": (
        8,
        make_record(verdicts=[judge("majority", None)]),
        HEALTHY,
        {},
        "ftkit check FILE: do the labels follow from the texts?",
    ),
    "tie on a sample": (
        8,
        {**with_rows("train", rows=80), **TIED},
        HEALTHY,
        {"max_train_samples": 80},
        "max_train_samples = none",
    ),
    "time limit": (
        9,
        make_record(time_limit={"step": 20, "of": 60}),
        HEALTHY,
        {"minutes": 2, "num_train_epochs": 6},
        "num_train_epochs = 2, which fits into it",
    ),
    "flattered": (
        10,
        with_scores((41, 48), (66, 96)),
        HEALTHY,
        {},
        "validation_size = 0.2",
    ),
    "flattered by a cap": (
        10,
        with_scores((57, 100), (1625, 3534)),
        HEALTHY,
        {"max_eval_samples": 100},
        "max_eval_samples = 400",
    ),
    "flattered by a file": (
        10,
        {**with_scores((41, 48), (66, 96)), "data": {**make_record()["data"], "held_out": []}},
        HEALTHY,
        {},
        "ftkit check FILE: are both kinds of rows alike?",
    ),
    "too sure": (
        11,
        with_confidence(0.97, 70),
        HEALTHY,
        {},
        "show no confidence, or divide the logits by a temperature (lesson 6)",
    ),
    "padding": (
        9,
        with_rows("train", tokens=800 * 20),
        HEALTHY,
        {"pad_to_max_length": True},
        "pad_to_max_length = false",
    ),
}
ALLOWED = {  # healthy runs that look a little like ill ones
    "plain": (make_record(), HEALTHY, {}),
    "a little flattered": (with_scores((38, 48), (66, 96)), HEALTHY, {}),
    "sure, and right": (with_confidence(0.97, 90), HEALTHY, {}),
    "too sure, but not by much": (with_confidence(0.79, 70), HEALTHY, {}),
    "an old record without a confidence": ({**with_confidence(0.97, 70), "confidence": {}}, HEALTHY, {}),
    "no log": (make_record(), [], {}),
    "another task's loss": (make_record(expected_loss=None), STUCK, {}),
    "rise without learning": (make_record(best={"step": 20}), write_log([0.4] * 30, [0.5, 0.4, 0.6]), {}),
    "learned a little": (make_record(), write_log([0.69] * 15 + [0.62] * 15, [0.66, 0.64, 0.63]), {}),
    "stopped for another reason": (make_record(status="failed", reason="RunFailed: full disk"), HEALTHY, {}),
    "one hard batch": (make_record(), write_log([*FALLING[:15], 4.0, *FALLING[15:]], [0.5, 0.41, 0.40]), {}),
    "one hard batch of a dozen": (make_record(), write_log([*FALLING[:6], 4.0, *FALLING[6:11]], [0.5]), {}),
    "noise of small batches": (make_record(), write_log([x + 0.3 * (-1) ** i for i, x in enumerate(FALLING)], []), {}),
    "memorised": (make_record(), write_log(FALLING, [0.69, 0.70, 0.71]), {}),
    "slight rise, better metric": (make_record(), write_log(FALLING, [0.5, 0.40, 0.43]), {}),
    "fall on 10 validation rows": (with_rows("validation", rows=10), write_log(FALLING, [0.6, 0.5, 0.4]), {}),
    "rise on 10 validation rows": (with_rows("validation", rows=10), RISING, {}),
    "stopped by a person": (
        make_record(status="stopped", metrics=None, verdicts=None),
        write_log(FALLING, [0.6, 0.5, 0.4]),
        {},
    ),
    "stopped by patience": (make_record(max_steps=99), write_log(FALLING, [0.6, 0.5, 0.4]), {}),
    "cut at the model's own limit": (
        make_record(preflight=[{**CUT, "fix": "The model reads no more."}]),
        HEALTHY,
        {},
    ),
    "decided on 30 rows": (with_rows("test", rows=30), HEALTHY, {}),
    "padding of a short run": (
        {**with_rows("train", tokens=800 * 20), "timing": {"train_seconds": 20.0}},
        HEALTHY,
        {"pad_to_max_length": True},
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_fault_is_seen(name):
    symptom, record, history, keys, change = PLANTED[name]
    found = advise_run(record, history, Settings().replace(**keys))
    assert [advice.symptom for advice in found] == [NAMES[symptom]]
    assert change in (None, found[0].change) and str(found[0]) == f"{found[0].change} ({found[0].seen})"


def test_every_symptom_is_planted():
    assert {NAMES[planted[0]] for planted in PLANTED.values()} == {s.name for s in SYMPTOMS if s.find}


@pytest.mark.parametrize("name", ALLOWED)
def test_healthy_run_is_left_alone(name):
    record, history, keys = ALLOWED[name]
    assert advise_run(record, history, Settings().replace(**keys)) == []


def test_most_useful_comes_first():
    record = {**never("bad", {"bad": 40, "good": 760}), **TIED, "preflight": [CUT], "started_again": ["x"]}
    found = advise_run(record, RISING, Settings())
    assert [NAMES.index(advice.symptom) for advice in found] == [1, 3, 4] and len(found) == MOST


def test_more_epochs_are_not_advised_while_it_memorises():
    record = {**never("bad", {"bad": 400, "good": 400}), "best": {"step": 20}}
    changes = [advice.change for advice in advise_run(record, RISING, Settings())]
    assert changes == ["num_train_epochs = 2, then more rows", "more training rows with it"]


def test_too_sure_while_validation_loss_rises():
    changes = [advice.change for advice in advise_run(with_confidence(0.97, 70), RISING, Settings())]
    assert changes[1:] == ["metric_for_best_model = loss, early_stopping_patience = 2"] and len(changes) == 2
    by_loss = Settings(metric_for_best_model="loss")
    changes = [advice.change for advice in advise_run(with_confidence(0.97, 70), RISING, by_loss)]
    assert changes[-1].startswith("show no confidence")


def test_advised_settings_can_be_written():
    for symptom, record, history, keys, _ in PLANTED.values():
        settings = Settings().replace(**keys)
        for advice in advise_run(record, history, settings):
            pairs = [part.split(" = ") for part in advice.change.split(", ") if " = " in part]
            changed = settings.replace(**dict(pairs)) if pairs else None
            assert changed != settings or symptom == 1  # the smaller batch is the run's own already


def test_gap_is_that_of_rows_needed():
    assert [count_rows(gap) for gap in range(1, 100)] == [rows_needed(0, gap / 100) for gap in range(1, 100)]
    assert smallest_gap(30) == 25 and smallest_gap(count_rows(10)) == 10 and smallest_gap(0) == 100
    assert smallest_gap(30, level=0.01) > 25


def test_no_task_is_asked_for_its_name():
    tree = ast.parse((ROOT / "ftkit/views/advice.py").read_text(encoding="utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert not texts & set(TASKS)
    code = "import sys, ftkit.views.advice; print({'torch', 'transformers', 'matplotlib', 'pandas'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_small_run_is_told_its_test_rows_are_few(trained, capsys):
    folder, record = trained
    run = Run(folder / "runs/small")
    assert record["expected_loss"] == [pytest.approx(math.log(3)), "ln 3 = 1.10"]
    found = advise_run(run.record, run.history, run.settings)
    assert [advice.symptom for advice in found] == ["too few test rows"]
    print_result(run)
    lines = capsys.readouterr().out.splitlines()
    assert lines.index(f"try     {found[0]}") > max(lines.index(verdict.text) for verdict in run.verdicts)
    assert lines.index(f"try     {found[0]}") < lines.index("look 1 at these 9 test rows")
    page = BeautifulSoup((run.path / "report.html").read_text(encoding="utf-8"), "html.parser")
    section = next(s for s in page.find_all("section") if s.h2.get_text() == "What to try next")
    assert found[0].change in section.get_text() and found[0].why in section.get_text()
    assert found[0].change in advice_part(run, run.record)


def test_healthy_run_has_no_section(trained):
    run = Run(trained[0] / "runs/small")
    record = {**run.record, "verdicts": []}
    assert advice_section(run, record) is None and advice_part(run, record) == ""


def test_names_from_data_stay_text(trained):
    run = Run(trained[0] / "runs/small")
    record = run.record
    cut = {**CUT, "seen": "9 texts of <img src=x> are cut", "why": ""}
    record = {**record, "preflight": [cut]}
    assert "&lt;img" in advice_part(run, record) and "<img" not in advice_part(run, record)
    assert "<img" not in "".join(map(str, advice_section(run, record).parts))


@pytest.mark.slow
@pytest.mark.parametrize(
    "symptom, keys",
    [
        ("the loss stays at that of guessing (ln K with K labels)", {"learning_rate": 1e-9}),
        ("the loss jumps, or becomes NaN", {"learning_rate": 3.0, "num_train_epochs": 3}),
        ("texts are cut", {"max_seq_length": 4}),
        ("it takes too long", {"minutes": 0.04, "num_train_epochs": 50}),
    ],
)
def test_real_fault_is_seen(symptom, keys, tiny, tmp_path):
    rows = [{"text": row["review"], "label": row["stars"]} for row in small_rows(300)]
    run = fine_tune(quick_settings(tiny, **keys), rows, tmp_path, "x")
    assert symptom in [advice.symptom for advice in advise_run(run.record, run.history, run.settings)]


def test_page_is_made_from_the_table():
    from advice import FILE, make_page

    assert FILE.read_text(encoding="utf-8") == make_page(), "run .venv/bin/python docs/advice.py"
    page = make_page()
    assert all(symptom.name in page and symptom.first.split()[0].strip("`") in page for symptom in SYMPTOMS)


def test_keys_of_the_table_exist():
    keys = {key for symptom in SYMPTOMS for key in symptom.key.split(", ")}
    assert keys - {"the texts"} <= set(KEYS)


def test_generation_has_no_loss_of_guessing():
    assert advise_run(make_record(expected_loss=None), LONG_STUCK, Settings(task=GENERATION)) == []
