"What a server is asked to bear: malformed and endless requests, many clients, slow clients, signals."

import http.client
import itertools
import json
import signal
import socket
import threading
import time

import numpy as np
import psutil
import pytest
from conftest import mark_slow
from serving import HEAD, Server, serving, wait_until

MOST_GROWTH = 50_000_000  # bytes
CLIENTS, SLOW_CLIENTS = 50, 300


@pytest.fixture(scope="module")
def server(trained):
    "A server of the small run"
    with serving(trained[0]) as server:
        server.ask({"text": "the first one"})
        server.memory = read_memory(server)
        yield server


def read_memory(server: Server) -> int:
    "Bytes that the process uses"
    return psutil.Process(server.process.pid).memory_info().rss


def sized(body: bytes) -> tuple[bytes, ...]:
    "A request with its length"
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body


def chunks():
    "The parts of a body that never ends"
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b"x" * 65536 + b"\r\n"


MALFORMED = {
    "NaN": lambda: sized(b'{"text": NaN}'),
    "half a character": lambda: sized(b'{"text": "\\ud83d"}'),
    "200 MB": lambda: (HEAD + b"Content-Length: 200000000\r\n\r\n", *itertools.repeat(b" " * 1_000_000, 200)),
    "a million texts": lambda: sized(b'{"texts": [' + b'"a",' * 999_999 + b'"a"]}'),
    "nested deeply": lambda: sized(b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "wrong type": lambda: sized(b'{"text": 7}'),
    "empty": lambda: sized(b""),
    "only spaces": lambda: sized(b'{"text": "   "}'),
    "too long": lambda: sized(json.dumps({"text": "a" * 100_001}).encode()),
    "bad UTF-8": lambda: sized(b'{"text": "\xff\xfe"}'),
    "chunked without end": chunks,
    "10,000 headers": lambda: (HEAD, *(b"X-%d: y\r\n" % i for i in range(10_000)), b"\r\n"),
}


@pytest.mark.fault("serve limits")
@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_is_refused_in_a_second(server, case):
    taken = []
    while len(taken) < 3 and min(taken, default=1) >= 1:  # twice more if other programs of the machine held it up
        parts, began = MALFORMED[case](), time.monotonic()
        status = server.raw(parts)
        taken.append(time.monotonic() - began)
        assert 400 <= status < 500
    assert min(taken) < 1
    assert read_memory(server) - server.memory < MOST_GROWTH
    assert server.ask({"text": "a good one"})[0] == 200


def load(server: Server, texts: list[str], answers: list[dict], seconds: float, pause: float) -> list[tuple]:
    "Let many clients ask. Return (status, seconds, whether the answer is that of predict) of each request"
    done, end = [], time.monotonic() + seconds

    def client(number: int) -> None:
        connection, order = (
            http.client.HTTPConnection("127.0.0.1", server.port, timeout=60),
            np.random.default_rng(number),
        )
        while time.monotonic() < end:
            i, began = int(order.integers(len(texts))), time.monotonic()
            body = json.dumps({"text": texts[i]})
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            found = json.loads(response.read())
            done.append((response.status, time.monotonic() - began, found == answers[i]))
            time.sleep(pause)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


@pytest.mark.fault("serve load")
@pytest.mark.parametrize(
    "seconds, pause", [(6, 0.4), pytest.param(300, 0, marks=[pytest.mark.slow, pytest.mark.timeout(400)])]
)
def test_many_clients_get_the_answers_of_predict(trained, server, seconds, pause, record_property):
    from ftkit.fine_tuning import Run

    run = Run(trained[0] / "runs/small")
    texts = [f"{'warm bread and a late bus ' * (i % 9)}{i}" for i in range(40)]
    model = run.open_model()
    answers = [run.task.answer(*model, [text], run.settings)[0] for text in texts]
    assert answers[:2] == [run.predict([text])[0] for text in texts[:2]]
    done = load(server, texts, answers, seconds / 5, pause)
    before = read_memory(server)
    done += load(server, texts, answers, seconds * 4 / 5, pause)
    assert {status for status, *_ in done} <= {200, 503}
    assert all(same for status, _, same in done if status == 200)  # as floats: bit for bit
    assert sum(status == 200 for status, *_ in done) > CLIENTS
    assert read_memory(server) < 1.05 * before
    p95 = float(np.quantile([taken for _, taken, _ in done], 0.95))
    most = server.metric("ftkit_in_flight_max")
    record_property("load", f"{len(done)} requests, p95 {p95:.3f} s, {most:.0f} at one time at most")
    assert most <= CLIENTS + 1


def hold(port: int, number: int) -> socket.socket:
    "A client that never ends its request: nothing, half of the headers, half of the body, half of a second request"
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    if number % 4 == 3:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in sock.recv(1000)
    sock.sendall((b"", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{", HEAD)[number % 4])
    return sock


def is_closed(sock: socket.socket) -> bool:
    "Whether the server has closed a connection; what it still said is read"
    sock.setblocking(False)
    try:
        while sock.recv(1000):
            pass
        return True
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def measure(server: Server, count: int) -> float:
    "Seconds in which 95 % of good requests are answered"
    taken = []
    for _ in range(count):
        began = time.monotonic()
        assert server.ask({"text": "a good one"})[0] == 200
        taken.append(time.monotonic() - began)
    return float(np.quantile(taken, 0.95))


@pytest.mark.fault("slow clients")
def test_slow_clients_are_closed_and_others_notice_nothing(server, record_property):
    idle = measure(server, 20)
    clients = [hold(server.port, n) for n in range(SLOW_CLIENTS)]
    began = time.monotonic()
    busy = measure(server, 20)
    assert sum(map(is_closed, clients)) == 0  # all were held while the good ones were answered
    while not all(map(is_closed, clients)):
        assert time.monotonic() - began < 15
        for sock in clients[1::4]:  # a byte now and then does not help
            try:
                sock.send(b"X")
            except OSError:
                pass
        time.sleep(0.5)
    record_property("slow clients", f"p95 {1000 * idle:.1f} ms alone, {1000 * busy:.1f} ms beside {SLOW_CLIENTS}")
    assert busy < max(2 * idle, 1)  # below that the other programs of the machine decide
    for sock in clients:
        sock.close()


def lose_patience():
    "In the server: an answer that is not read for a second is too much"
    from ftkit.serving import limits

    limits.SEND_SECONDS = 1


@pytest.mark.slow
@pytest.mark.fault("slow clients")
def test_answers_that_nobody_reads_are_given_up(trained):
    with serving(trained[0], before=lose_patience) as server:
        before = read_memory(server)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", server.port))
            sock.setblocking(False)
            with pytest.raises((BlockingIOError, ConnectionResetError, BrokenPipeError)):
                for _ in range(100_000):  # until the server reads no further
                    sock.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
            wait_until(lambda: server.metric("ftkit_in_flight") == 2)
            wait_until(lambda: server.metric("ftkit_in_flight") == 1)  # that of this question alone
            assert read_memory(server) - before < MOST_GROWTH
        assert server.ask({"text": "a good one"})[0] == 200


def answer_slowly():
    "In the server: a model that takes a second"
    from ftkit.tasks.classification import Classification

    plain = Classification.answer

    def answer(self, *args, **kwargs):
        time.sleep(1)
        return plain(self, *args, **kwargs)

    Classification.answer = answer


def fill_quickly():
    "In the server: a slow model, and a queue for four texts"
    from ftkit.serving import queueing

    answer_slowly()
    queueing.Queue.__init__.__defaults__ = (1, 4, *queueing.Queue.__init__.__defaults__[2:])


@pytest.mark.fault("exit status")
@pytest.mark.parametrize(
    "number, code", mark_slow([(signal.SIGTERM, 143), (signal.SIGINT, 130)], fast=[(signal.SIGTERM, 143)])
)
def test_a_signal_lets_what_is_asked_be_answered(trained, number, code):
    with serving(trained[0], before=answer_slowly) as server:
        found = []
        client = threading.Thread(target=lambda: found.append(server.ask({"text": "a good one"})))
        client.start()
        wait_until(lambda: server.metric("ftkit_in_flight") > 1)
        assert server.stop(number) == code
        client.join()
        assert found[0][0] == 200 and "label" in found[0][1]
        assert "Traceback" not in server.process.stderr


@pytest.mark.fault("serve load")
def test_a_full_queue_says_when_to_ask_again(trained):
    with serving(trained[0], before=fill_quickly) as server:
        client = threading.Thread(target=server.ask, args=({"texts": ["one", "two", "three"]},))
        client.start()
        wait_until(lambda: server.metric("ftkit_texts_waiting") == 3)
        body = json.dumps({"texts": ["four", "five"]}).encode()
        status, headers, _ = server.request("POST", "/predict", body, **{"Content-Type": "application/json"})
        assert status == 503 and int(headers["retry-after"]) >= 1
        assert server.get("/ready")[0] == 200  # one more would fit
        client.join()
        assert server.ask({"texts": ["four", "five"]})[0] == 200


@pytest.mark.fault("exit status")
def test_a_port_that_is_taken_is_one_line(trained, ftkit):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = ftkit("serve", "small", "--port", port, cwd=trained[0])
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"--port {port}: another program uses this port" in done.stderr
