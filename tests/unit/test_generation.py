"Text generation from rows to answers: forms, methods, scores, views, and runs that are stopped, killed or repeated."

import contextlib
import csv
import io
import json
import math
import re
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import transformers
from architectures import make_base
from conftest import mark_slow
from markupsafe import Markup, escape
from processes import Command
from runs import PRECISION, make_flags, read_fingerprint, signal_at, stop_in_second_epoch

import ftkit.tasks.generation
import ftkit.tasks.text_scores
from ftkit.cli.main import main
from ftkit.errors import RunFailed, UserError
from ftkit.files.conversations import from_json
from ftkit.fine_tuning import Run, fine_tune, prepare
from ftkit.model_init import weights_sha256
from ftkit.objective import Objective
from ftkit.panels.panel import Panel
from ftkit.settings import Settings
from ftkit.starter.smol import tiny_llama
from ftkit.tasks.chat import encode_prompt, set_template, tokenize_conversations
from ftkit.tasks.generation import Base, Generation, copy, few_shot, nearest, zero_shot
from ftkit.training.forecast import forecast_scoring

TASK = Generation()
FORMULA, HOSTILE = "=1+1", "<b onload=x>green</b> & <|im_end|> $x$"
ANSWERS = ["It is red.", FORMULA, HOSTILE, "Ask anna.meier@firma.de."]
PROMPTS = [f"Say {['red', 'sum', 'green', 'who'][i % 4]}{' please' * (i % 5)}, number {i}" for i in range(40)]
PAIRS = [{"prompt": prompt, "response": ANSWERS[i % 4], "id": str(i)} for i, prompt in enumerate(PROMPTS)]
PAIRS[0]["prompt"] = "<script>alert(1)</script> red"
WRITTEN = 3  # rows of a split that are answered, of 4
KEYS = {
    "task": TASK.name,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 8,
    "max_seq_length": 160,
    "max_new_tokens": 5,
    "max_generated_samples": WRITTEN,
    "num_resamples": 100,
    "num_shots": 2,
    "preflight": "false",
}
SCORES = ["loss", "perplexity", "exact_match", "token_f1", "rougeL", "bleu", "chrf", "unsupported"]
OWN = ["text", "label", "messages", "predicted", "nll", "tokens", "finish_reason", "split"]


def chat(*contents, system=None):
    "Return a conversation whose turns alternate"
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]
    return [{"role": "system", "content": system}, *turns] if system else turns


FORMS = {  # name -> rows; what is asked in row 1
    "pair": [{"prompt": r["prompt"], "response": r["response"]} for r in PAIRS],
    "system": [{"system": "Be brief.", "question": r["prompt"], "answer": r["response"]} for r in PAIRS],
    "instruction": [
        {"instruction": r["prompt"], "input": f"item {i}" if i % 2 else "", "output": r["response"]}
        for i, r in enumerate(PAIRS)
    ],
    "openai": [
        {"messages": chat("Hello", f"Hi {r['id']}", r["prompt"], r["response"], system="Be brief.")} for r in PAIRS
    ],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": r["prompt"]}, {"from": "gpt", "value": r["response"]}]}
        for r in PAIRS
    ],
    "sharegpt with system": [
        {
            "system": "Be brief.",
            "conversations": [{"from": "human", "value": r["prompt"]}, {"from": "gpt", "value": r["response"]}],
        }
        for r in PAIRS
    ],
    "marked": [{"text": f"### Human: {r['prompt']}### Assistant: {r['response']}"} for r in PAIRS],
    "plain": [{"text": f"{r['prompt']}. That is the end of it."} for r in PAIRS],
}
ASKED = {
    "pair": chat(PROMPTS[1]),
    "system": chat(PROMPTS[1], system="Be brief."),
    "instruction": chat(f"{PROMPTS[1]}\n\nitem 1"),
    "openai": chat("Hello", "Hi 1", PROMPTS[1], system="Be brief."),
    "sharegpt": chat(PROMPTS[1]),
    "sharegpt with system": chat(PROMPTS[1], system="Be brief."),
    "marked": chat(PROMPTS[1]),
}


@pytest.fixture(scope="module", autouse=True)
def few_general_texts():
    "Look at a few of the general texts: a hundred of them take longer than the training"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ftkit.tasks.generation, "GENERAL_TEXTS", 5)
        yield


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return str(tiny_llama(tmp_path_factory.mktemp("llama")))


@pytest.fixture(scope="session")
def quick(llama):
    "Return settings of a run of a second: `quick(method='full')`"
    return lambda **keys: Settings(task=TASK.name).replace(**{"model_name_or_path": llama, **KEYS, **keys})


def write_jsonl(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def tuned(quick, tmp_path_factory):
    "A run that has memorised its four answers; no test changes it"
    folder = tmp_path_factory.mktemp("tuned")
    file = write_jsonl(folder / "mine.jsonl", PAIRS)
    keys = {
        "metric_for_best_model": "perplexity",
        "method": "full",
        "learning_rate": 5e-3,
        "num_train_epochs": 40,
        "max_new_tokens": 40,
        "preflight": "true",
    }
    settings = quick(train_file=file, eval_strategy="steps", eval_steps=80, logging_steps=20, **keys)
    return fine_tune(settings, runs_dir=folder / "runs", name="tuned")


@pytest.fixture(scope="module")
def run_form(quick, tmp_path_factory):
    "Return the run of a form and its file, made once"
    made = {}

    def make(form):
        if form not in made:
            folder = tmp_path_factory.mktemp("form")
            file = write_jsonl(folder / "rows.jsonl", FORMS[form])
            rungs = list(TASK.rungs) if form == "plain" else ["zero_shot"]
            made[form] = fine_tune(quick(train_file=file, baselines=rungs), runs_dir=folder, name="x"), file
        return made[form]

    return make


def words(page):
    "Return a page without tags and with its entities read"
    from bs4 import BeautifulSoup

    return BeautifulSoup(page, "html.parser").get_text(" ")


# --- what a run keeps ---


def test_run_keeps_its_scores(tuned):
    record = tuned.record
    assert (record["status"], record["task"], record["headline"]) == ("finished", TASK.name, "loss")
    assert set(record["steps"].values()) == {"done"} and record["unfitted"] == {}
    assert all(list(record["metrics"][split]) == SCORES for split in ("validation", "test"))
    assert list(record["baselines"]) == ["copy", "nearest", "zero_shot", "few_shot"] == list(TASK.rungs)
    assert [(v.b, v.metric) for v in tuned.verdicts] == [
        ("copy", "token_f1"),
        ("nearest", "token_f1"),
        ("zero_shot", "loss"),
        ("few_shot", "loss"),
    ]
    general = record["general_text"]
    assert general["rows"] == 5 and general["verdict"]["a"] == "fine-tuned" and general["verdict"]["b"] == "base"
    assert general["after"]["value"] - general["before"]["value"] == pytest.approx(general["verdict"]["difference"])


def test_scores_rest_on_rows(tuned):
    scores, rows = tuned.metrics["test"], tuned.predictions.query("split == 'test'")
    assert scores["loss"].value == pytest.approx(rows.nll.sum() / rows.tokens.sum()) and scores["loss"].n == 4
    assert scores["perplexity"].value == pytest.approx(math.exp(scores["loss"].value))
    assert all(scores[name].n == WRITTEN for name in SCORES[2:]) and scores["exact_match"].value > 0.5
    for rung in tuned.baselines.values():  # the same rows for each
        assert all(rung[name].n == WRITTEN for name in SCORES[2:])


def test_predictions_keep_row_order(tuned):
    data, _ = TASK.load_data(None, **tuned.settings.section("data"))
    assert list(tuned.predictions.columns) == [*OWN[:-1], "id", "split"]
    for split in ("validation", "test"):
        rows = tuned.predictions.query("split == @split")
        assert rows.text.tolist() == data[split]["text"][:] and rows.label.tolist() == data[split]["label"][:]
        assert rows.id.tolist() == data[split]["id"][:] and rows.predicted.notna().tolist() == [True] * 3 + [False]
        assert rows.finish_reason.tolist()[:3] == ["stop"] * 3 and rows.tokens.gt(0).all()


def test_log_has_the_same_loss(tuned):  # predictions are float32, evaluations as precise as the training
    best = next(row for row in tuned.history if row["step"] == tuned.record["best"]["step"] and "eval_loss" in row)
    assert best["eval_loss"] == pytest.approx(tuned.metrics["validation"]["loss"].value, rel=PRECISION)
    assert tuned.record["best"]["value"] == best["eval_perplexity"]
    assert best["eval_perplexity"] == pytest.approx(tuned.metrics["validation"]["perplexity"].value, rel=PRECISION)


def test_preflight_checks_the_training(tuned):
    levels = {finding["name"]: finding["level"] for finding in tuned.record["preflight"]}
    assert {"tokenizer", "padding", "length", "accumulation", "learning rate", "forecast"} <= set(levels)
    assert not {"label map", "labels", "overfit"} & set(levels)
    assert {name for name, level in levels.items() if level != "ok"} == {"learning rate"}


def test_report_escapes_every_text(tuned):
    page = (tuned.path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<b onload" not in page
    written = [text for text in tuned.predictions.predicted if text == HOSTILE]
    assert written and str(escape(HOSTILE)) in page
    for title in ("The ladder", "Answers (3 of 3 test rows)", "How it writes", "What it may have forgotten"):
        assert title in words(page)


def test_card_speaks_of_texts(tuned):
    card = (tuned.path / "model/README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: text-generation" in card and "A model that writes text" in card and "test perplexity" in card
    assert "calibrated" not in card and "classifier" not in card and "truncation=True" not in card


def test_responses_are_searched_for_personal_data(tuned):
    assert sum(tuned.record["personal_data"]["found"].values()) > 0


# --- answers ---


def test_predict_answers_in_order(tuned):
    counts, asked = [], PROMPTS[1:9]
    answers = tuned.predict([*asked, "", None, 7], counts.append)
    assert [answer["text"] for answer in answers[:8]] == [ANSWERS[i % 4] for i in range(1, 9)]
    assert [list(answer) for answer in answers[8:]] == [["error"]] * 3 and sum(counts) == len(answers)
    assert answers[:8] == [tuned.predict([text])[0] for text in asked]
    assert tuned.predict(pd.DataFrame({"prompt": asked, "other": "x"})) == answers[:8] == tuned.predict(tuple(asked))


def test_evaluation_repeats_the_metrics(tuned):
    found = tuned.evaluate()
    assert found["metrics"] == tuned.metrics["test"] and found["rows"] == 4
    found = tuned.evaluate(tuned.settings.train_file)
    assert (found["rows"], found["metrics"]["loss"].n, found["metrics"]["token_f1"].n) == (40, 40, WRITTEN)


def test_saved_model_opens_in_pipeline(tuned):
    pipe = transformers.pipeline("text-generation", str(tuned.path / "model"))
    asked = PROMPTS[1:5]
    wrote = [pipe(chat(text))[0]["generated_text"][-1]["content"] for text in asked]
    assert wrote == [answer["text"] for answer in tuned.predict(asked)]
    for text in asked:
        ids = pipe.tokenizer.apply_chat_template(chat(text), add_generation_prompt=True, return_dict=False)
        assert ids == encode_prompt(pipe.tokenizer, chat(text), 160)


@pytest.fixture
def asked_file(tmp_path):
    "Rows to answer, one of them blank"
    return write_jsonl(tmp_path / "ask.jsonl", [*PAIRS[1:4], {"prompt": "", "response": "", "id": "x"}])


def test_csv_keeps_prompt_and_answer(tuned, asked_file, tmp_path):
    assert main(["predict", str(tuned.path), "--file", asked_file, "--out", str(tmp_path / "out.csv")]) == 0
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as f:
        names, *rows = csv.reader(f)
    assert len(set(names)) == len(names) and {"response", "id", "finish_reason", "error"} <= set(names)
    assert [row[0] for row in rows] == [*PROMPTS[1:4], ""] and rows[3][-1] == "the text is empty"
    assert all(answer in row for answer, row in zip(("'" + FORMULA, HOSTILE, ANSWERS[3]), rows))


def test_jsonl_keeps_prompt_and_answer(tuned, asked_file, tmp_path):
    assert main(["predict", str(tuned.path), "--file", asked_file, "--out", str(tmp_path / "out.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == [*PROMPTS[1:4], ""] and rows[3]["error"] == "the text is empty"
    assert [ANSWERS[i] in row.values() for i, row in enumerate(rows[:3], 1)] == [True] * 3


def test_command_prints_answers(tuned, capsys):
    assert main(["predict", str(tuned.path), PROMPTS[1], PROMPTS[2], "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == tuned.predict(PROMPTS[1:3])
    assert main(["predict", str(tuned.path), PROMPTS[1]]) == 0
    assert capsys.readouterr().out == f"{FORMULA}\tstop\t{PROMPTS[1]!r}\n"
    assert main(["evaluate", str(tuned.path), "--file", tuned.settings.train_file]) == 0
    assert re.search(r"loss +0\.\d+ \[.*\nperplexity +1\.", capsys.readouterr().out)


@pytest.mark.parametrize(
    "form",
    [
        *(pytest.param(f, marks=pytest.mark.slow) for f in ("pair", "system", "instruction", "sharegpt", "marked")),
        "openai",
    ],
)
def test_file_asks_as_trained(run_form, tmp_path, monkeypatch, form):
    (run, _), file = run_form(form), write_jsonl(tmp_path / "ask.jsonl", FORMS[form][:3])
    asked, plain = [], ftkit.tasks.generation.encode_prompt
    monkeypatch.setattr(
        ftkit.tasks.generation, "encode_prompt", lambda tokenizer, m, n: asked.append(m) or plain(tokenizer, m, n)
    )
    assert main(["predict", str(run.path), "--file", file, "--json"]) == 0
    assert asked[1] == ASKED[form]


def test_plain_text_is_continued(run_form, monkeypatch):
    run, _ = run_form("plain")
    prompts = []
    monkeypatch.setattr(
        ftkit.tasks.generation,
        "write_texts",
        lambda model, tokenizer, ids, **keys: prompts.extend(ids) or [("", "stop")],
    )
    run.predict([FORMS["plain"][1]["text"]])
    _, tokenizer = run.open_model()
    (whole,) = tokenize_conversations([chat("", FORMS["plain"][1]["text"])[1:]], tokenizer, 160)["input_ids"]
    assert prompts == [whole[:-1]]


# --- forms of rows ---


@pytest.mark.parametrize("form", mark_slow(FORMS, fast=["openai", "plain"]))
def test_every_form_trains(run_form, form):
    run, file = run_form(form)
    assert run.status == "finished" and run.metrics["test"]["loss"].n == 4
    assert run.evaluate()["metrics"] == run.metrics["test"] and run.evaluate(file)["rows"] == 40
    if form in ASKED:
        data, _ = TASK.load_data(None, **run.settings.section("data"))
        rows = [row for split in data.values() for row in split["messages"]]
        assert [*ASKED[form], *chat("", ANSWERS[1])[1:]] in map(from_json, rows)
    else:
        assert run.predictions.predicted.isna().all() and list(run.metrics["test"]) == ["loss", "perplexity"]


def test_plain_text_has_no_answers(run_form):
    run, _ = run_form("plain")
    assert [v.b for v in run.verdicts] == ["zero_shot"] and set(run.record["unfitted"]) == {
        "copy",
        "nearest",
        "few_shot",
    }
    assert "Answers (" not in (run.path / "report.html").read_text(encoding="utf-8")


TURNS = {
    "role": (chat("a", "b") + [{"role": "wizard", "content": "c"}], "turn 3 has the role 'wizard'"),
    "end": (chat("a", "b", "c"), "ends with a turn of the user"),
    "blank": (chat(" ", "b"), "turn 1 .user. is empty"),
    "twice": (chat("a", "b")[:1] * 2 + chat("a", "b")[1:], "turns 1 and 2 both have the role user"),
    "tool": ([*chat("a"), {"role": "tool", "content": "b"}], "the role tool"),
    "system": ([*chat("a"), {"role": "system", "content": "s"}, *chat("", "b")[1:]], "turn 2 is a system turn"),
}


@pytest.mark.parametrize("fault", TURNS)
def test_faulty_turns_name_their_row(quick, tmp_path, fault):
    turns, message = TURNS[fault]
    rows = [{"messages": chat(f"question {i}", f"answer {i}")} for i in range(20)]
    with pytest.raises(UserError, match=f"row 6: .*{message}") as caught:
        fine_tune(quick(), [*rows[:5], {"messages": turns}, *rows[5:]], tmp_path, "x")
    assert "\n" not in str(caught.value) and not (tmp_path / "x").exists()


def test_empty_responses_are_counted():
    rows = [{**row, "response": "" if i % 10 == 0 else row["response"]} for i, row in enumerate(FORMS["pair"])]
    data, report = TASK.load_data(rows, dataset_name=None)
    assert sum(report["dropped"]["train"].values()) == 4 and "4 " in report["lines"][0]
    assert sum(len(split) for split in data.values()) == 36 and "" not in data["train"]["label"][:]


def test_validation_columns_may_differ_in_case(tmp_path):
    train = write_jsonl(tmp_path / "train.jsonl", FORMS["pair"])
    rows = [{"Prompt": f"{row['prompt']}!", "Response": row["response"]} for row in FORMS["pair"][:6]]
    data, report = TASK.load_data(None, train_file=train, validation_file=write_jsonl(tmp_path / "v.jsonl", rows))
    assert len(data["validation"]) == 6 and report["held_out"] == ["test"]


def test_one_prompt_cannot_be_split():
    rows = [{"prompt": "Say a colour.", "response": f"Colour {i}."} for i in range(40)]
    with pytest.raises(UserError) as caught:
        TASK.load_data(rows, dataset_name=None)
    assert "ignore_labels" not in str(caught.value) and "label ''" not in str(caught.value)


@pytest.mark.parametrize(
    "rows",
    [
        FORMS["pair"] * 2,
        [{"prompt": row["prompt"], "response": f"{a}{i}"} for i, row in enumerate(PAIRS) for a in "ab"],
    ],
    ids=["duplicates", "two responses"],
)
def test_notes_know_no_labels(rows):
    _, report = TASK.load_data(rows, dataset_name=None)
    assert not [note for note in report["notes"] if "class_weights" in note or "label" in note]


# --- before the training ---


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"model_name_or_path": "starter"}, "bert is an encoder and cannot write"),
        ({"max_seq_length": 20}, "none of the .* rows has a token to train"),
        ({"chat_template": "alpacca"}, "Did you mean 'alpaca'"),
        ({"class_weights": "balanced"}, "is a key of task = text-classification"),
        ({"ignore_labels": ["a"]}, "is a key of task = text-classification"),
        ({"label_words": {"a": "b"}}, "is a key of task = text-classification"),
        ({"pad_to_max_length": True}, "is a key of task = text-classification"),
        ({"metric_for_best_model": "accuracy"}, "not a choice for task = text-generation"),
        ({"baselines": ["tfidf"]}, "not a choice for task = text-generation"),
        ({"temperature": -1}, "must be at least 0"),
        ({"max_new_tokens": 0}, "must be at least 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_impossible_settings_are_refused(quick, tmp_path, keys, message):
    with pytest.raises(UserError, match=message) as caught:
        fine_tune(quick(**keys), FORMS["pair"], tmp_path, "x")
    assert "\n" not in str(caught.value) and not (tmp_path / "x").exists()


@pytest.mark.parametrize("key", ["max_new_tokens", "temperature", "packing", "chat_template", "max_generated_samples"])
def test_other_tasks_refuse_keys(key):
    value = {"packing": True, "chat_template": "plain"}.get(key, 3)
    with pytest.raises(UserError, match=f"{key} = .*is a key of task = text-generation"):
        Settings(**{key: value})


@pytest.mark.slow
def test_short_limit_is_no_late_failure(quick, tmp_path):
    settings = quick(max_seq_length=96, max_new_tokens=90, baselines=["zero_shot"])
    try:
        run = fine_tune(settings, FORMS["pair"], tmp_path, "x")
    except UserError:  # said before the training
        assert not (tmp_path / "x").exists()
    else:
        assert run.predictions.predicted.notna().sum() == 2 * WRITTEN


def test_forecast_counts_written_tokens(quick):
    plan = prepare(quick(), FORMS["pair"])
    trial = SimpleNamespace(forward_cost=lambda tokens, kind="seconds": np.asarray(tokens, dtype=float))
    seconds = [
        forecast_scoring(trial, plan.tokens, plan.settings.replace(max_new_tokens=n), causal=True) for n in (1, 500)
    ]
    assert seconds[1] > seconds[0]


def test_forecast_command_needs_no_run(tuned, llama, tmp_path, capsys):
    flags = {"task": TASK.name, "train_file": tuned.settings.train_file, "model_name_or_path": llama}
    assert main(["forecast", *make_flags(flags), "--runs_dir", str(tmp_path / "runs"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fits"] and not [*tmp_path.glob("runs/*/run.json")]


# --- baselines ---


@pytest.mark.parametrize("limit", [512, 160, 110])
@pytest.mark.parametrize("form", ["pair", "system", "openai"])
def test_shots_leave_the_tokens_alone(quick, form, limit):
    settings = quick(max_seq_length=limit, max_generated_samples=0)
    data, _ = TASK.load_data(FORMS[form], **settings.section("data") | {"dataset_name": None})
    base = Base(TASK, settings)
    alone = zero_shot(data, data["test"], base)
    shown = few_shot(data, data["test"], base, Objective([], num_shots=2))
    assert shown["tokens"].tolist() == alone["tokens"].tolist() and all(alone["tokens"])
    assert (shown["nll"] != alone["nll"]).any() or limit == 110


def test_shots_follow_the_system_turn(quick, monkeypatch):
    settings, seen = quick(max_seq_length=512), []
    data, _ = TASK.load_data(FORMS["openai"], **settings.section("data") | {"dataset_name": None})
    monkeypatch.setattr(
        ftkit.tasks.generation, "write", lambda model, tokenizer, asked, s: seen.extend(asked) or [("", "stop")] * 9
    )
    few_shot(data, data["test"], Base(TASK, settings), Objective([], num_shots=2))
    assert len(seen) == WRITTEN
    for turns in seen:
        assert [turn["role"] for turn in turns] == ["system", *["user", "assistant"] * 5, "user"]


def test_uncounted_row_has_no_loss(quick):
    settings = quick(max_seq_length=64, max_generated_samples=0)
    rows = [{"system": "word " * (200 if i == 3 else 1), **row} for i, row in enumerate(FORMS["pair"])]
    data, _ = TASK.load_data(rows, **settings.section("data") | {"dataset_name": None})
    base = Base(TASK, settings)
    place = next(i for i, text in enumerate(data["train"]["messages"]) if "word word word" in text)
    chosen = data["train"].select([place, *(i for i in range(4) if i != place)])
    found = few_shot(data, chosen, base, Objective([], num_shots=2))
    assert found["tokens"][0] == 0 == found["nll"][0] and all(found["tokens"][1:])


def test_simple_rungs_answer_the_same_rows():
    data, _ = TASK.load_data(FORMS["pair"], dataset_name=None)
    base = SimpleNamespace(settings=SimpleNamespace(max_generated_samples=WRITTEN))
    for rung in (copy, nearest):
        found = rung(data, data["test"], base)
        assert [text is not None for text in found["predicted"]] == [True] * WRITTEN + [False] and np.isnan(
            found["nll"]
        )
    right = sum(a == b for a, b in zip(nearest(data, data["test"], base)["predicted"], data["test"]["label"]))
    assert right == WRITTEN
    text = "First sentence. Second\nthird"
    rows = TASK.load_data([{"prompt": f"{i} {text}", "response": f"a {i}"} for i in range(20)], dataset_name=None)[0]
    assert all(re.fullmatch(r"\d+ First sentence\.", found) for found in copy(rows, rows["test"], base)["predicted"])


@pytest.mark.slow
def test_nothing_written_is_no_fault(quick, tmp_path):
    run = fine_tune(quick(max_generated_samples=0), FORMS["pair"], tmp_path, "x")
    assert list(run.metrics["test"]) == ["loss", "perplexity"] and run.predictions.predicted.isna().all()
    assert [v.b for v in run.verdicts] == ["zero_shot", "few_shot"] and run.evaluate()["metrics"] == run.metrics[
        "test"
    ]


def test_missing_extra_leaves_gaps(quick, tmp_path, monkeypatch):
    plain = ftkit.tasks.text_scores.find_spec
    monkeypatch.setattr(
        ftkit.tasks.text_scores,
        "find_spec",
        lambda name: None if name in ("rouge_score", "sacrebleu") else plain(name),
    )
    run = fine_tune(quick(), FORMS["pair"], tmp_path, "x")
    scores = run.metrics["test"]
    assert scores["rougeL"] is scores["bleu"] is scores["chrf"] is None and scores["token_f1"].n == WRITTEN
    assert (run.path / "report.html").is_file() and "test token F1" in (run.path / "model/README.md").read_text()


@pytest.mark.slow
def test_two_tokenizers_compare_no_losses(tuned, tiny, quick, tmp_path):
    other = fine_tune(
        quick(model_name_or_path=tiny, baselines=[], max_new_tokens=40, train_file=tuned.settings.train_file),
        runs_dir=tmp_path,
        name="other",
    )
    a, b = (run.predictions.query("split == 'test'").reset_index(drop=True) for run in (tuned, other))
    assert a.tokens.tolist() != b.tokens.tolist()
    assert TASK.compare(a, b, ("a", "b"), num_resamples=100).metric == "token_f1"


# --- what trains ---


@pytest.mark.parametrize(
    "method",
    mark_slow(["lora", "full", "ia3", "prefix", "prompt", "top_k"], fast=["lora"]),
)
def test_every_method_is_reopened(quick, tmp_path, method):
    keys = {"num_virtual_tokens": 4, "top_k_layers": 1, "baselines": ["zero_shot"]}
    run = fine_tune(quick(method=method, learning_rate=1e-2, **keys), FORMS["pair"], tmp_path, "x")
    model, tokenizer = run.open_model()
    assert weights_sha256(model) == run.record["weights"]["final_sha256"]
    assert run.metrics["test"]["loss"].value != run.baselines["zero_shot"]["loss"].value
    found, kept = run.evaluate(), run.metrics["test"]
    assert found["metrics"]["loss"].value == pytest.approx(kept["loss"].value, rel=1e-5)
    rows = run.predictions.query("split == 'test'")
    assert [a["text"] for a in run.predict(rows.text.tolist()[:WRITTEN])] == rows.predicted.tolist()[:WRITTEN]


def test_log_counts_decoder_tokens(tmp_path):
    tokenizer = TASK.load_tokenizer(str(make_base("t5", tmp_path / "t5")))
    data, _ = TASK.load_data(
        [{"prompt": f"q {i}", "response": f"a long answer, number {i}"} for i in range(40)], dataset_name=None
    )
    (line,) = TASK.describe_tokens(TASK.tokenize(data, tokenizer, 64))
    trained, whole = (int(number.replace(",", "")) for number in re.findall(r"[\d,]+", line)[:2])
    assert trained <= whole


@pytest.mark.parametrize("kind", ["t5", pytest.param("bart", marks=pytest.mark.slow)])
def test_encoder_decoder_trains(quick, tmp_path, kind):
    base = str(make_base(kind, tmp_path / kind))
    run = fine_tune(quick(model_name_or_path=base, method="full", learning_rate=5e-3), FORMS["pair"], tmp_path, "x")
    assert (
        run.metrics["test"]["loss"].value < run.baselines["zero_shot"]["loss"].value and run.record["unfitted"] == {}
    )
    found = run.evaluate()
    assert found["metrics"] == run.metrics["test"] and run.predictions.predicted.notna().sum() == 2 * WRITTEN
    assert "pipeline_tag: text-generation" not in (run.path / "model/README.md").read_text()  # which cannot open it


def test_template_is_kept(quick, tmp_path):
    run = fine_tune(quick(chat_template="alpaca", baselines=["zero_shot"]), FORMS["pair"], tmp_path, "x")
    _, tokenizer = run.open_model()
    wanted = TASK.load_tokenizer(run.settings.model_name_or_path)
    set_template(wanted, "alpaca")
    assert tokenizer.chat_template == wanted.chat_template and run.evaluate()["metrics"] == run.metrics["test"]


@pytest.mark.slow
def test_sampled_answers_are_repeated(quick, tmp_path):
    run = fine_tune(quick(temperature=1.5, baselines=[]), FORMS["pair"], tmp_path, "x")
    saved = json.loads((run.path / "model/generation_config.json").read_text())
    assert (saved["do_sample"], saved["temperature"], saved["top_k"]) == (True, 1.5, 0)
    rows = run.predictions.query("split == 'test'")
    assert [a["text"] for a in run.predict(rows.text.tolist()[:WRITTEN])] == rows.predicted.tolist()[:WRITTEN]


def test_packing_trains_the_same_tokens(quick, tmp_path):
    run = fine_tune(quick(packing=True, max_seq_length=400, baselines=[]), FORMS["pair"], tmp_path, "x")
    data, _ = TASK.load_data(FORMS["pair"], dataset_name=None)
    _, tokenizer = run.open_model()
    tokens = TASK.tokenize(data, tokenizer, 400)
    packed = TASK.tokenize(data, tokenizer, 400, packing=True)
    assert sum(packed["train"]["trained"]) == sum(tokens["train"]["trained"])
    assert run.record["max_steps"] == math.ceil(len(packed["train"]) / 8) < math.ceil(len(tokens["train"]) / 8)
    assert run.data["train"]["cut"] == 0 and run.metrics["test"]["loss"].n == 4


@pytest.mark.parametrize("what", ["prefix", "prompt", "t5"])
def test_packing_is_refused_in_words(quick, tmp_path, what):
    keys = {"model_name_or_path": str(make_base("t5", tmp_path / "t5"))} if what == "t5" else {"method": what}
    with pytest.raises(UserError, match="packing = true"):
        fine_tune(quick(packing=True, preflight="true", **keys), FORMS["pair"], tmp_path, "x")


@pytest.mark.slow
def test_micro_batches_log_the_same(quick, tmp_path):
    found = []
    for size, accumulation in ((8, 1), (2, 4)):
        sizes = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}
        fixed = {"train_sampling_strategy": "sequential", "max_steps": 2, "logging_steps": 1, "lora_dropout": 0.0}
        run = fine_tune(quick(**sizes, **fixed, baselines=[]), FORMS["openai"], tmp_path, str(size))
        found.append([(row["loss"], row["grad_norm"]) for row in run.history if "grad_norm" in row])
    assert len(found[0]) == 2 and np.array(found[1]) == pytest.approx(np.array(found[0]), rel=1e-3)


def test_cut_row_is_left_out(quick, tmp_path):
    rows = [{"system": "word " * (300 if i == 3 else 1), **row} for i, row in enumerate(FORMS["pair"])]
    run = fine_tune(quick(per_device_train_batch_size=1, baselines=[]), rows, tmp_path, "x")
    assert run.status == "finished" and run.record["max_steps"] == 31


# --- stopped, killed, repeated ---


@pytest.fixture(scope="module")
def whole(llama, tmp_path_factory):
    "A run that nothing happened to, made by the command: the run, its flags, what `--json` printed"
    folder = tmp_path_factory.mktemp("whole")
    keys = {k: v for k, v in KEYS.items() if k != "preflight"} | {
        "model_name_or_path": llama,
        "train_file": write_jsonl(folder / "mine.jsonl", FORMS["pair"]),
        "num_train_epochs": 3,
        "logging_steps": 1,
        "dropout": 0.1,
        "baselines": "zero_shot",
        "num_threads": 1,
    }
    flags, printed = make_flags(keys), io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["train", *flags, "--runs_dir", str(folder / "runs"), "--run", "whole", "--json"]) == 0
    return Run(folder / "runs/whole"), flags, json.loads(printed.getvalue())


def test_command_trains_from_file(whole):
    run, _, record = whole
    assert record["status"] == "finished" == run.status and set(record["metrics"]["test"]) == set(SCORES)
    assert (run.settings.task, run.data["columns"]) == (TASK.name, "'prompt' → 'response', by name")


def test_stopped_run_resumes_identically(whole, tmp_path, monkeypatch):
    run, _, _ = whole
    stop_in_second_epoch(monkeypatch, lambda: fine_tune(run.settings, runs_dir=tmp_path, name="stopped"))
    stopped = Run(tmp_path / "stopped")
    assert stopped.status == "stopped"
    assert read_fingerprint(stopped.resume()) == read_fingerprint(run)


@pytest.mark.slow
def test_killed_command_resumes_identically(whole, tmp_path):
    run, flags, _ = whole
    killed = Command("train", *flags, "--run", "killed", cwd=tmp_path)
    signal_at(killed, tmp_path / "runs/killed", 6, signal.SIGKILL)
    assert killed.wait(60) == -signal.SIGKILL
    done = Command("train", "--resume", "killed", cwd=tmp_path).result()
    assert done.returncode == 0 and "zero_shot" in done.stdout, done.stderr
    assert read_fingerprint(tmp_path / "runs/killed") == read_fingerprint(run)


@pytest.mark.slow
def test_repeated_run_is_identical(whole, tmp_path):
    run, _, _ = whole
    again = run.rerun(runs_dir=tmp_path)
    assert again.record["rerun"]["outcome"] == "identical" and again.predictions.equals(run.predictions)


def test_infinite_gradient_ends_the_run(quick, tmp_path):
    settings = quick(learning_rate=1e30, max_grad_norm=0, method="full", baselines=[])
    with pytest.raises(RunFailed, match="step .* not finite.*learning rate") as caught:
        fine_tune(settings, FORMS["pair"], tmp_path, "x")
    assert "\n" not in str(caught.value) and Run(tmp_path / "x").status == "failed"


@pytest.mark.slow
def test_evaluation_again_changes_nothing(tuned, tmp_path, capsys):
    run = Run(shutil.copytree(tuned.path, tmp_path / "tuned"))
    (run.path / "report.html").unlink()
    assert main(["evaluate", str(run.path), "--again", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["metrics"] == tuned.record["metrics"] and record["general_text"] == tuned.record["general_text"]
    assert run.predictions.equals(tuned.predictions) and (run.path / "report.html").is_file()


# --- the panel ---


@pytest.fixture
def shown(tuned):
    "The result of the run in a panel, as words"
    panel = Panel(runs_dir=tuned.path.parent)
    panel.show_run(tuned.path.name)
    result = panel.views["result"]
    result.explorer.kind.value = "all rows"  # the small model may have learned them all
    return result.to_html() + Markup(result.explorer.table.value)


def test_panel_shows_the_result(shown, tuned):
    said = words(shown)
    assert "Test loss" in said and "few_shot" in said and "Error" not in said
    assert "<script>alert" not in shown and "<b onload" not in shown


def test_panel_names_no_wrong_unit(shown):
    said = words(shown)
    assert "fine-tuned is, in points" not in said or "nats" in said


def test_panel_shows_losses_of_rows(shown, tuned):
    rows = tuned.predictions.query("split == 'validation'")
    said = words(shown)
    assert "nan" not in said.split()
    assert any(f"{row.nll / row.tokens:.3f}" in said or f"{row.nll:.3f}" in said for row in rows.itertuples())
