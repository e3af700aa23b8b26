"Two models that take turns in one process: how long each needs for a text, and how far their answers differ."

import time
from dataclasses import dataclass

import numpy as np

from ftkit.settings import Settings
from ftkit.tasks.base import Task

SIZES = (1, 16)  # texts at a time
TURNS = {1: 40, 16: 12}  # at most
SECONDS = 8.0  # that the turns of a size may take, after the first three


@dataclass(frozen=True)
class Answerer:
    "A model that answers as it is served"

    task: Task
    model: object  # a `PreTrainedModel`, or what is called as one
    tokenizer: object  # its tokenizer
    settings: Settings  # of its run

    def answer(
        self,
        texts: list,  # texts or chats
        batch_size: int | None = None,  # texts at a time; default: that of the settings
    ) -> list[dict]:
        "Return one dictionary for each text, as `Run.predict` does"
        settings = self.settings.replace(per_device_eval_batch_size=batch_size) if batch_size else self.settings
        return self.task.answer(self.model, self.tokenizer, texts, settings)


def time_turns(
    original: Answerer,
    shrunk: Answerer,
    texts: list,  # to answer, in turn
    size: int,  # of them at a time
) -> dict:
    "Return median milliseconds per text of both, and how many times faster the second is"
    pair, spent, began = (original, shrunk), ([], []), time.perf_counter()
    for who in pair:
        who.answer(pick(texts, 0, size), size)  # the first call is slower
    for turn in range(TURNS[size]):
        some = pick(texts, turn, size)
        for i in (0, 1) if turn % 2 else (1, 0):
            start = time.perf_counter()
            pair[i].answer(some, size)
            spent[i].append(1000 * (time.perf_counter() - start) / size)
        if turn >= 2 and time.perf_counter() - began > SECONDS:
            break
    a, b = map(float, map(np.median, spent))
    return {"faster": a / b, "milliseconds": b, "milliseconds_original": a, "turns": len(spent[0])}


def pick(
    texts: list,  # all
    turn: int,  # from 0
    size: int,  # texts to return
) -> list:
    "Return the texts of a turn, from the beginning again after the last"
    return [texts[i % len(texts)] for i in range(turn * size, (turn + 1) * size)]


def compare_answers(
    old: list[dict],  # of the original; empty: it did not answer
    new: list[dict],  # of the other model, for the same texts
) -> dict:
    "Return `rows`, the share of `same` words in the answers, and the `largest_difference` of a number; None if none"
    pairs = [(split_answer(a), split_answer(b)) for a, b in zip(old, new) if a and b]
    same = [a[0] == b[0] for a, b in pairs if a[0]]
    gaps = [abs(a[1][name] - b[1][name]) for a, b in pairs for name in a[1].keys() & b[1].keys()]
    return {
        "rows": len(pairs),
        "same": float(np.mean(same)) if same else None,
        "largest_difference": max(gaps) if gaps else None,
    }


def split_answer(
    answer: dict,  # of a model
) -> tuple[dict, dict[str, float]]:
    "Return what an answer says in words, and its numbers by name"
    found = flatten_answer(answer)
    numbers = {name: value for name, value in found.items() if isinstance(value, float)}
    return {name: value for name, value in found.items() if name not in numbers}, numbers


def flatten_answer(
    answer: dict,  # of a model
) -> dict[str, object]:
    "Return the parts of an answer, those of dictionaries in it with the name before them"
    found = {}
    for name, value in answer.items():
        found |= {f"{name} of {k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    return found
