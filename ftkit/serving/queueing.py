"""Requests wait in a queue; one thread answers them with the functions behind `Run.predict`, the oldest first.

A request is one call of `Task.answer`, so its answers are those of `Run.predict` with the same texts, bit for bit,
whoever else is asking. Texts of several requests in one call take a third less CPU time (bench/serve.json), and their
scores differ in the seventh digit, as matrix products of another shape are summed in another order: that is a choice.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from ftkit.serving.served import Served

WAITING = 1024  # texts that may wait


class Busy(Exception):
    "The queue is full"

    def __init__(self, seconds: int):
        self.seconds = seconds  # after which it may be worth to ask again


class Gone(Exception):
    "The client that is written for has left"


@dataclass
class Job:
    "A request that waits"

    texts: list  # what is asked
    emit: Callable | None  # called with each piece of an answer as it is written; None: answer at once
    future: asyncio.Future  # of (answers, the `Served` that gave them)

    def send(self, piece: str) -> None:
        "Pass a piece on, from the thread of the model. Raises `Gone` if nobody waits for it"
        if self.future.cancelled():
            raise Gone
        self.future.get_loop().call_soon_threadsafe(self.emit, piece)


class Queue:
    "What waits for the model"

    def __init__(
        self,
        served: Served,  # that answers; replaced when another run is promoted
        batch_size: int = 1,  # texts of several requests that are answered in one call; 1: each request alone
        most: int = WAITING,  # texts that may wait
        on_call: Callable = lambda texts, seconds: None,  # told of each call of the model
    ):
        self.served, self.batch_size, self.most, self.on_call = served, batch_size, most, on_call
        self.jobs, self.waiting, self.pace, self.arrived = deque(), 0, 0.05, asyncio.Event()
        # a thread has its own number of OpenMP threads, and that number is part of the bits
        self.pool = ThreadPoolExecutor(1, "model", torch.set_num_threads, (torch.get_num_threads(),))
        self.worker = None

    async def __aenter__(self):
        self.worker = asyncio.create_task(self.work())
        return self

    async def __aexit__(self, *_):
        self.worker.cancel()
        self.pool.shutdown(wait=False, cancel_futures=True)

    async def ask(
        self,
        texts: list,  # what is asked
        emit: Callable | None = None,  # called with each piece of an answer as it is written
    ) -> tuple[list[dict], Served]:
        "Return the answers and the run that gave them. Raises `Busy` if too many texts wait already"
        if self.waiting + len(texts) > self.most:
            raise Busy(max(1, min(60, round(self.waiting * self.pace))))
        job = Job(texts, emit, asyncio.get_running_loop().create_future())
        self.jobs.append(job)
        self.waiting += len(texts)
        self.arrived.set()
        return await job.future

    def take(self) -> list[Job]:
        "Return the oldest job, and those after it that fit into the same batch"
        jobs = [self.jobs.popleft()]
        room = self.batch_size - len(jobs[0].texts)
        while not jobs[0].emit and self.jobs and not self.jobs[0].emit and len(self.jobs[0].texts) <= room:
            jobs.append(self.jobs.popleft())
            room -= len(jobs[-1].texts)
        return jobs

    async def work(self) -> None:
        "Answer what waits, for ever"
        loop = asyncio.get_running_loop()
        while True:
            await self.arrived.wait()
            if not self.jobs:
                self.arrived.clear()
                continue
            jobs, began = self.take(), loop.time()
            count = sum(len(job.texts) for job in jobs)
            alive = [job for job in jobs if not job.future.cancelled()]
            results = await loop.run_in_executor(self.pool, answer_jobs, self.served, alive) if alive else []
            self.waiting -= count
            for job, result in zip(alive, results):
                settle(job.future, result)
            seconds = loop.time() - began
            self.pace += 0.1 * (seconds / max(count, 1) - self.pace)
            self.on_call(count, seconds)


def settle(
    future: asyncio.Future,  # of a job
    result,  # its value, or an exception
) -> None:
    "Give a job its result, unless nobody waits for it any more"
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def answer_jobs(
    served: Served,  # that answers
    jobs: list[Job],  # of one batch
) -> list:
    "Return for each job (answers, served), or the exception that it raised. A bad text spoils no other request"
    try:
        if jobs[0].emit:
            return [([served.stream(jobs[0].texts[0], jobs[0].send)], served)]
        answers = iter(served.answer([text for job in jobs for text in job.texts]))
        return [([next(answers) for _ in job.texts], served) for job in jobs]
    except Exception as error:
        if len(jobs) == 1:
            return [error]
        return [answer_jobs(served, [job])[0] for job in jobs]
