"Served = evaluated: a real server is asked for the rows of a run, and its answers are compared with the stored ones."

import http.client
import json
import math
import socket

from ftkit.errors import RunFailed
from ftkit.fine_tuning import Run
from ftkit.serving.address import bind
from ftkit.serving.api import Service
from ftkit.serving.limits import BODY_BYTES, one_line
from ftkit.serving.questions import CHARACTERS, ITEMS
from ftkit.serving.queueing import Queue
from ftkit.serving.served import open_served
from ftkit.serving.server import in_thread, make_server
from ftkit.serving.turns import flatten_answer

MOST_DIFFERENT = 1e-5  # that a score may differ from the stored one: batches of another shape change the last digits


def verify(
    run: Run,  # a finished run
) -> dict:
    """Ask a real server for the rows of predictions.parquet and compare its answers with the stored ones.

    Returns how many `rows` were compared and the `largest_difference` of a score. Raises `RunFailed` that names the
    first row that differs
    """
    served, predictions = open_served(run), run.predictions
    stored, asked = run.task.read_answers(predictions, served.model), run.task.read_asked(predictions)
    answered = [i for i, answer in enumerate(stored) if answer]
    rows = [i for i in answered if count_characters(asked[i]) <= CHARACTERS]
    sock, splits, largest = bind("127.0.0.1", 0), list(predictions["split"]), 0.0
    with in_thread(make_server(Service(Queue(served))), sock):
        for some in split_requests(rows, asked, splits):
            for i, got in zip(some, ask(sock, [asked[i] for i in some])):
                place = f"{run.path}: row {i + 1} of predictions.parquet ({splits[i]})"
                largest = max(largest, compare_answers(stored[i], got, place))
    return {
        "run": str(run.path),
        "rows": len(rows),
        "largest_difference": largest,
        "limit": MOST_DIFFERENT,
        "not_answered": len(stored) - len(answered),
        "too_long": len(answered) - len(rows),
    }


def describe_verification(
    result: dict,  # from `verify`
) -> list[str]:
    "Return the result as lines"
    lines = [
        f"served = evaluated: {result['rows']:,} rows over HTTP, same answers, largest difference of a number "
        f"{result['largest_difference']:.1e} (limit {result['limit']:.0e})"
    ]
    if result["not_answered"]:
        lines.append(f"{result['not_answered']:,} rows have no stored answer: the run answered the first ones alone")
    if result["too_long"]:
        lines.append(f"{result['too_long']:,} rows are longer than the {CHARACTERS:,} characters that a server takes")
    return lines


def count_characters(
    text,  # a text, or a chat
) -> int:
    "Return the length of a text, or of the longest turn of a chat"
    return len(text) if isinstance(text, str) else max((len(turn["content"]) for turn in text), default=0)


def split_requests(
    rows: list[int],  # numbers
    asked: list,  # what is asked in each row
    splits: list[str],  # of each row
) -> list[list[int]]:
    "Return the row numbers by request: as many as one may hold, of one split"
    requests, room = [], 0
    for i in rows:
        size = len(json.dumps(asked[i])) + 2
        if size > room or len(requests[-1]) == ITEMS or splits[requests[-1][0]] != splits[i]:
            requests.append([])
            room = BODY_BYTES - 100
        requests[-1].append(i)
        room -= size
    return requests


def ask(
    sock: socket.socket,  # that listens
    texts: list,  # texts or chats
) -> list[dict]:
    "Return the answers of the server. Raises `RunFailed` if it refuses"
    host, port = sock.getsockname()[:2]
    connection = http.client.HTTPConnection(host, port, timeout=600)
    try:
        connection.request("POST", "/predict", json.dumps({"texts": texts}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        found = json.loads(response.read())
    finally:
        connection.close()
    if response.status != 200:
        raise RunFailed(f"the server answered {response.status}: {one_line(found.get('error'))}")
    return found


def compare_answers(
    stored: dict,  # of predictions.parquet
    got: dict,  # of the server
    place: str,  # for the message
) -> float:
    "Return the largest difference of two numbers. Raises `RunFailed` if labels differ, or a number by too much"
    largest, mine, other = 0.0, flatten_answer(stored), flatten_answer(got)
    for name in [*mine, *(name for name in other if name not in mine)]:
        a, b = mine.get(name), other.get(name)
        if isinstance(a, float) and isinstance(b, float | int):
            gap = abs(a - b) / max(1.0, abs(a))
            if math.isnan(a) and math.isnan(b):
                gap = 0.0
            if not gap <= MOST_DIFFERENT:
                raise RunFailed(f"{place}: {one_line(name)} is {b:.9g} over HTTP, and {a:.9g} was evaluated.")
            largest = max(largest, gap)
        elif a != b:
            raise RunFailed(f"{place}: {one_line(name)} is {b!r} over HTTP, and {a!r} was evaluated.")
    return largest
