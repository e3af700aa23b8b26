"The queue in front of the model."

import asyncio
import threading
from types import SimpleNamespace

import pytest

from ftkit.errors import UserError
from ftkit.serving.queueing import Busy, Queue


class Model:
    "Answers a text with the number of texts in its call"

    def __init__(self):
        self.calls, self.free = [], threading.Event()
        self.free.set()

    def answer(self, texts):
        self.free.wait(10)
        self.calls.append(list(texts))
        if "bad" in texts:
            raise UserError("bad")
        return [{"label": text} for text in texts]

    def stream(self, text, emit):
        self.free.wait(10)
        for letter in text:
            emit(letter)
        return {"text": text}


async def ask_all(queue: Queue, model: Model, requests: list[list]) -> list:
    "Ask all at one time, the first while the model is busy"
    model.free.clear()
    async with queue:
        asked = [asyncio.create_task(queue.ask(texts)) for texts in requests]
        await asyncio.sleep(0.05)
        model.free.set()
        return [
            found[0] if isinstance(found, tuple) else found
            for found in await asyncio.gather(*asked, return_exceptions=True)
        ]


@pytest.mark.parametrize(
    "size, calls",
    [
        (1, [["a"], ["b"], ["c", "d"], ["e"]]),
        (3, [["a"], ["b", "c", "d"], ["e"]]),  # the first was alone when the model was free
        (64, [["a"], ["b", "c", "d", "e"]]),
    ],
)
def test_requests_share_a_call_only_if_asked_for(size, calls):
    model = Model()
    queue = Queue(model, batch_size=size)
    model.free.clear()

    async def run():
        async with queue:
            first = asyncio.create_task(queue.ask(["a"]))
            await asyncio.sleep(0.05)
            rest = [asyncio.create_task(queue.ask(texts)) for texts in (["b"], ["c", "d"], ["e"])]
            await asyncio.sleep(0.05)
            model.free.set()
            return await asyncio.gather(first, *rest)

    found = asyncio.run(run())
    assert model.calls == calls
    assert [[answer["label"] for answer in answers] for answers, _ in found] == [["a"], ["b"], ["c", "d"], ["e"]]


def test_a_bad_text_spoils_no_other_request():
    model = Model()
    found = asyncio.run(ask_all(Queue(model, batch_size=64), model, [["x"], ["a"], ["bad"], ["b"]]))
    assert found[1] == [{"label": "a"}] and found[3] == [{"label": "b"}]
    assert isinstance(found[2], UserError)


def test_a_full_queue_refuses():
    model = Model()
    found = asyncio.run(ask_all(Queue(model, most=3), model, [["a"], ["b", "c"], ["d"]]))
    assert found[:2] == [[{"label": "a"}], [{"label": "b"}, {"label": "c"}]]
    assert isinstance(found[2], Busy) and found[2].seconds >= 1


def test_nobody_waits_for_a_client_that_left():
    model = Model()

    async def run():
        queue = Queue(model)
        model.free.clear()
        async with queue:
            first, gone = (asyncio.create_task(queue.ask([text])) for text in "ab")
            await asyncio.sleep(0.05)
            gone.cancel()
            await asyncio.sleep(0.05)
            model.free.set()
            await first
            await queue.ask(["c"])
            return queue.waiting

    assert asyncio.run(run()) == 0 and model.calls == [["a"], ["c"]]


def test_a_stream_ends_with_its_client():
    model, pieces = Model(), []

    async def run():
        async with Queue(model) as queue:
            answers, _ = await queue.ask(["abc"], pieces.append)
            assert answers == [{"text": "abc"}] and pieces == ["a", "b", "c"]
            model.free.clear()
            left = asyncio.create_task(queue.ask(["xyz"], pieces.append))
            await asyncio.sleep(0.05)
            left.cancel()
            model.free.set()
            assert (await queue.ask(["d"]))[0] == [{"label": "d"}]

    asyncio.run(run())
    assert pieces == ["a", "b", "c"]


def test_the_run_that_answers_is_named():
    async def run():
        old, new = Model(), Model()
        async with Queue(old) as queue:
            first = await queue.ask(["a"])
            queue.served = new
            return first[1] is old, (await queue.ask(["b"]))[1] is new

    assert asyncio.run(run()) == (True, True)


def test_the_model_thread_has_the_threads_of_predict():
    import torch

    model = SimpleNamespace(answer=lambda texts: [{"threads": torch.get_num_threads()}])

    async def run():
        async with Queue(model) as queue:
            return (await queue.ask(["a"]))[0][0]["threads"]

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert asyncio.run(run()) == 1
    finally:
        torch.set_num_threads(before)
