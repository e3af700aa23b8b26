"The endpoints of `ftkit serve`, asked over HTTP."

import contextlib
import json
import os
import shutil

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from processes import Command
from prometheus_client.parser import text_string_to_metric_families
from schemathesis import GenerationMode
from serving import serving, wait_until

from ftkit.files.feedback import read_feedback
from ftkit.fine_tuning import Run
from ftkit.serving.api import describe_value

SECRET = "lovely warm bread that nobody may read in a log"


@pytest.fixture(scope="module")
def own(trained, tmp_path_factory):
    "A copy of the small run's folder, with a second run next to it"
    folder = shutil.copytree(trained[0], tmp_path_factory.mktemp("served") / "own")
    shutil.copytree(folder / "runs/small", folder / "runs/second")
    return folder


@pytest.fixture(scope="module")
def server(own):
    "A server of the small run that takes judgements"
    with serving(own, "--feedback") as server:
        yield server


@pytest.fixture(scope="module")
def run(own):
    "The small run"
    return Run(own / "runs/small")


def test_predict_answers_as_the_run_does(server, run):
    texts = ["lovely warm bread", "a bus " * 300, "the library"]
    assert server.ask({"texts": texts}) == (200, run.predict(texts))  # floats as they are: bit for bit
    assert server.ask({"text": texts[1]}) == (200, run.predict(texts[1:2])[0])


def test_a_pair_of_texts_is_one_text(server, run):
    assert server.ask({"text": ["warm", "bread"]}) == (200, run.predict([("warm", "bread")])[0])


def test_a_text_that_cannot_be_answered_has_an_error(server):
    status, answers = server.ask({"texts": ["warm", " ", "bread"]})
    assert status == 200 and answers[1] == {"error": "the text is empty"} and "label" in answers[2]
    assert server.ask({"texts": ["", " "]}) == (422, {"error": "the text is empty"})


def test_an_answer_names_its_run(server):
    body = json.dumps({"text": "warm"}).encode()
    headers = server.request("POST", "/predict", body, **{"Content-Type": "application/json"})[1]
    assert headers["x-ftkit-run"] == "small"


@pytest.mark.parametrize(
    "body, status, words",
    [
        (b"{", 400, "not JSON"),
        (b'{"text": "\xff"}', 400, "not JSON in UTF-8"),
        (b"", 422, "the body: Field required"),
        (b"[]", 422, "the body"),
        (b"{}", 422, "send one of 'text' and 'texts'"),
        (b'{"text": "a", "texts": ["b"]}', 422, "send one of 'text' and 'texts'"),
        (b'{"texts": []}', 422, "texts: List should have at least 1 item"),
        (b'{"texts": ["a", 7]}', 422, "texts.1: Input should be a valid string"),
        (b'{"text": "a", "\\ud83d": 1}', 422, ""),
        (b'{"text": "a", "temperature": 1}', 422, "has a key that is not known. Send {"),
        (b'{"text": "a", "stream": true}', 422, "answers at once"),
        (b'{"texts": ["a"], "stream": true}', 422, "'stream' takes one 'text'"),
        (b'{"text": [{"role": "user", "content": "a"}]}', 422, "expected a text, found list"),
        (b'{"text": [{"role": "nobody", "content": "a"}]}', 422, "Input should be"),
        (b'{"text": 1' + b"0" * 5000 + b"}", 400, "not JSON"),
    ],
)
def test_a_bad_body_is_explained_in_one_line(server, body, status, words):
    found, answer = server.ask(body)
    assert found == status and set(answer) == {"error"}
    assert words in answer["error"] and "\n" not in answer["error"]


def test_info_describes_the_run(server, run):
    found = json.loads(server.get("/info")[2])
    assert found["labels"] == run.labels and found["task"] == run.record["task"]
    assert found["weights_sha256"] == run.record["weights"]["final_sha256"]
    assert found["card"] == (run.path / "model/README.md").read_text(encoding="utf-8")
    assert found["metrics"]["accuracy"]["n"] == run.data["test"]["rows"]
    assert {"python", "ftkit", "torch"} <= set(found["versions"])


def test_health_and_ready(server):
    assert server.get("/health")[::2] == (200, b'{"status":"ok"}')
    assert server.get("/ready")[::2] == (200, b'{"status":"ready"}')


def test_metrics_can_be_read(server):
    server.ask({"text": "warm"})
    families = {f.name: f for f in text_string_to_metric_families(server.get("/metrics")[2].decode())}
    requests = {
        tuple(s.labels.values()): s.value for s in families["ftkit_requests"].samples if s.name.endswith("total")
    }
    assert requests["/predict", "200"] >= 1
    assert families["ftkit_run_info"].samples[0].labels["run"] == "small"
    server.get("/a/stranger/wrote/this")
    assert "stranger" not in server.get("/metrics")[2].decode()


def test_feedback_is_a_row_of_the_next_training(server, own):
    judged = {"text": "=1+1 <b>x</b>", "answer": "good", "mark": "bad", "corrected": "flat"}
    assert server.ask(judged, "/feedback") == (200, {"kept": True})
    assert server.ask({**judged, "mark": "ok"}, "/feedback")[0] == 422
    kept, left_out = read_feedback(own / "runs/small.feedback.jsonl")
    assert (kept.columns, left_out) == ({"text": [judged["text"]], "label": ["flat"]}, 0)


def test_feedback_that_cannot_be_kept_is_no_fault_of_the_client(own):
    (own / "runs/second.feedback.jsonl").mkdir()
    with serving(own, "--feedback", run="second") as server:
        status, answer = server.ask({"text": "a", "answer": "good", "mark": "good"}, "/feedback")
        assert status == 503 and "second" not in answer["error"]
        assert "second.feedback.jsonl: cannot be written" in server.process.stderr


def test_openapi_shows_a_real_answer(server, run):
    document = json.loads(server.get("/openapi.json")[2])
    assert set(document["paths"]) == {"/predict", "/feedback", "/health", "/ready", "/metrics", "/info"}
    shown = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]
    asked = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert shown["examples"]["one text"]["value"] == run.predict([asked["one text"]["value"]["text"]])[0]
    assert shown["schema"]["anyOf"][0]["required"] == ["label", "score", "scores"]


def test_a_schema_has_the_types_of_the_value():
    assert describe_value({"a": 1.5, "b": ["x"], "c": {"d": "y"}})["properties"] == {
        "a": {"type": "number"},
        "b": {"type": "array", "items": {"type": "string"}},
        "c": {"type": "object", "properties": {"d": {"type": "string"}}, "required": ["d"]},
    }


def test_nothing_is_loaded_from_elsewhere(server):
    _, headers, body = server.get("/")
    assert b"http://" not in body and b"https://" not in body and b"src=" not in body
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert server.get("/docs")[0] == server.get("/redoc")[0] == 404


def send_made_up_requests(server, count: int) -> set[int]:
    "Send what schemathesis makes up from the server's own description, valid and not. Return the statuses"
    schema, found = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json"), set()
    for operation in schema.get_all_operations():
        for mode in GenerationMode:

            @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @seed(0)
            @given(case=operation.ok().as_strategy(generation_mode=mode))
            def send(case):
                response = case.call(timeout=30)
                found.add(response.status_code)
                assert response.status_code < 500, (case.as_curl_command(), response.text)

            with contextlib.suppress(Unsatisfiable):  # a request without anything to get wrong
                send()
    return found


@pytest.mark.fault("serve limits")
@pytest.mark.parametrize("count", [6, pytest.param(150, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_no_request_finds_a_fault(server, count):
    assert {200, 422} <= send_made_up_requests(server, count)


def test_the_log_has_no_texts(own):
    with serving(own) as server:
        server.ask({"text": SECRET})
        server.ask({"text": SECRET + "\ud83d"})
        assert server.ask({"text": SECRET, "answer": "a", "mark": "good"}, "/feedback")[0] == 404  # it is off
        wait_until(lambda: "POST other 404" in server.process.stderr)
        assert "POST /predict 200" in server.process.stderr and "lovely" not in server.process.stderr
    with serving(own, "--log_texts") as server:
        server.ask({"text": SECRET})
        assert f"asked: {SECRET}" in server.process.stderr


def promote(folder, name):
    "Replace promoted.json"
    new = folder / "runs/new.json"
    new.write_text(json.dumps({"run": name, "previous": None, "time": f"for {name}", "why": "a test"}))
    os.replace(new, folder / "runs/promoted.json")


def test_the_promoted_run_takes_over_without_a_restart(own):
    def answering():
        return json.loads(server.get("/info")[2])["run"]

    shutil.copytree(own / "runs/small", own / "runs/broken")
    (own / "runs/broken/model/model.safetensors").write_bytes(b"no weights")
    promote(own, "small")
    with serving(own, run=None) as server:
        assert answering() == "small"
        promote(own, "second")
        wait_until(lambda: answering() == "second")
        assert server.metric("ftkit_swaps_total") == 1
        promote(own, "broken")
        wait_until(lambda: "second continues to serve" in server.process.stderr)
        promote(own, "nowhere")
        wait_until(lambda: server.process.stderr.count("second continues to serve") == 2)
        (own / "runs/promoted.json").write_text("{")
        wait_until(lambda: server.process.stderr.count("second continues to serve") == 3)
        assert answering() == "second" and server.ask({"text": "warm"})[0] == 200
        promote(own, "small")
        wait_until(lambda: answering() == "small")
        assert "Traceback" not in server.process.stderr


@pytest.mark.parametrize(
    "words, message",
    [
        (["serve"], "no run is promoted in runs. Name the run: ftkit serve RUN"),
        (["serve", "smal"], "there is no run 'smal' in runs. Did you mean 'small'?"),
        (["serve", "stopped"], "this run has not finished (status: stopped). Resume it"),
        (["serve", "empty"], "this run has no model yet"),
        (["serve", "small", "--host", "0.0.0.0"], "export FTKIT_SERVE_TOKEN="),
        (["serve", "small", "--host", "127.0.0.999"], "export FTKIT_SERVE_TOKEN="),
        (["serve", "small", "--port", "70000"], "write a number from 1 to 65535"),
        (["serve", "small", "--batch_size", "0"], "write 1 or more"),
    ],
)
def test_what_cannot_be_served_is_one_line(trained, tmp_path, words, message):
    folder = shutil.copytree(trained[0], tmp_path / "own")
    for name in ("stopped", "empty"):
        shutil.copytree(folder / "runs/small", folder / "runs" / name)
    Run(folder / "runs/stopped").update(status="stopped")
    shutil.rmtree(folder / "runs/empty/model")
    done = Command(*words, cwd=folder).result(60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert message in done.stderr
