"The app without a process around it, with a model that does what a test wants."

import asyncio
import json
import logging
from types import SimpleNamespace

import httpx
import pytest

from ftkit.errors import UserError
from ftkit.serving import limits
from ftkit.serving.api import Service, make_app
from ftkit.serving.queueing import Queue

SECRET = "what nobody may read"


class Served:
    "A model that answers by the text"

    name, sample = "späte läufe", {"text": "fine", "finish_reason": "stop"}
    facts = {"run": "x", "weights_sha256": "0" * 64, "labels": []}
    task = SimpleNamespace(streams=True)
    run = SimpleNamespace(path=None)

    def answer(self, texts):
        if texts == ["fail"]:
            raise RuntimeError(SECRET)
        if texts == ["refuse"]:
            raise UserError("message 1 has the role 'x'.\nWrite user.")
        return [{"text": text, "score": float("nan")} for text in texts]

    def stream(self, text, emit):
        for word in text.split():
            emit(word)
        return self.answer([text])[0]


def ask(body: dict, path: str = "/predict", **keys) -> httpx.Response:
    "Ask the app"

    async def run():
        service = Service(Queue(Served()), **keys)
        app = make_app(service)
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with service.queue, httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(path, json=body)

    return asyncio.run(run())


def read_events(response: httpx.Response) -> list[tuple[str, dict]]:
    "Return (event, data) of server-sent events"
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [event.split("\n") for event in response.text.split("\n\n")[:-1]]
    return [(kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for kind, data in lines]


def test_a_number_that_json_lacks_is_text():
    response = ask({"text": "fine"})
    assert response.json() == {"text": "fine", "score": "nan"}
    assert response.headers["x-ftkit-run"] == "sp%C3%A4te%20l%C3%A4ufe"


def test_a_stream_has_pieces_and_then_the_answer():
    events = read_events(ask({"text": "one two", "stream": True}))
    assert events == [
        ("piece", {"text": "one"}),
        ("piece", {"text": "two"}),
        ("answer", {"text": "one two", "score": "nan"}),
    ]


@pytest.mark.parametrize("text, words", [("refuse", "has the role"), ("fail", "the server failed")])
def test_a_stream_ends_with_its_error(text, words):
    kind, value = read_events(ask({"text": text, "stream": True}))[-1]
    assert kind == "error" and words in value["error"] and SECRET not in value["error"]


def test_a_chat_is_handed_on_as_dictionaries():
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert ask({"texts": [chat, "plain"]}).json()[0]["text"] == chat


def test_what_the_task_refuses_is_one_line():
    response = ask({"text": "refuse"})
    assert response.status_code == 422 and response.json() == {"error": "message 1 has the role 'x'.\\nWrite user."}


@pytest.mark.parametrize("log_texts", [False, True])
def test_a_fault_is_logged_and_not_shown(caplog, monkeypatch, log_texts):
    monkeypatch.setattr(logging.getLogger("ftkit"), "propagate", True)
    response = ask({"text": "fail"}, log_texts=log_texts)
    assert response.status_code == 500 and response.json() == {"error": "the server failed. Its log has the reason."}
    assert "RuntimeError in test_endpoints.py, line " in caplog.text
    assert (SECRET in caplog.text) == log_texts


def test_bodies_of_all_requests_have_a_limit(monkeypatch):
    monkeypatch.setattr(limits, "HELD_BYTES", 50)
    assert ask({"text": "a" * 20}).status_code == 200
    response = ask({"text": "a" * 50})
    assert response.status_code == 503 and response.headers["retry-after"] == "1"


def test_a_body_of_the_largest_size_is_taken(monkeypatch):
    monkeypatch.setattr(limits, "BODY_BYTES", len(b'{"text":"aaaa"}'))
    assert ask({"text": "aaaa"}).status_code == 200
    assert ask({"text": "aaaaa"}).status_code == 413


def test_held_bytes_are_given_back():
    async def app(scope, receive, send):
        await receive()

    async def run():
        guard, sent = limits.Guard(app), []
        scope = {"type": "http", "method": "POST", "path": "/predict"}
        scope["headers"] = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        parts = [{"type": "http.request", "body": b"a" * 700_000, "more_body": i < 1} for i in range(2)]

        async def receive():
            return parts.pop(0) if parts else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message.get("status"))

        await guard(scope, receive, send)
        return guard.held, sent[0]

    assert asyncio.run(run()) == (0, 413)
