"What tests of the server share: a real one in a process of its own, requests as bytes, and what it measured."

import http.client
import json
import os
import socket
import time
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

from processes import Command

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class Server:
    "`ftkit serve` in a process: `port`, `ask`, `get`, `raw`"

    def __init__(self, process: Command):
        self.process = process
        self.port = int(json.loads(process.stdout)["url"].rpartition(":")[2])

    def request(self, method: str, path: str, body: bytes | None = None, **headers) -> tuple[int, dict, bytes]:
        "Return status, headers and body"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def get(self, path: str, **headers) -> tuple[int, dict, bytes]:
        "Return status, headers and body"
        return self.request("GET", path, **headers)

    def ask(self, body: object, path: str = "/predict", **headers) -> tuple[int, object]:
        "Return status and answer"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, found = self.request("POST", path, data, **{"Content-Type": "application/json"} | headers)
        return status, json.loads(found)

    def raw(self, parts: Iterable[bytes]) -> int:
        "Send bytes until the server answers, and return the status. It may close before it has read all"
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as sock:
            try:
                for part in parts:
                    sock.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return int(sock.makefile("rb").readline().split()[1])

    def metric(self, name: str) -> float:
        "Return a value of /metrics"
        lines = self.get("/metrics")[2].decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])

    def stop(self, number: int) -> int:
        "Send a signal and return the exit code"
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def serving(folder: Path, *flags, run: str | None = "small", env: dict | None = None, before=None):
    "Run a server while a test asks it"
    words = ["serve", *([run] if run else []), "--port", 0, "--json", *flags]
    process = Command(*words, cwd=folder, env=env, before=before)
    try:
        deadline = time.monotonic() + 60
        while not (os.path.exists(process.files[0]) and process.stdout.endswith("\n")):
            assert process.poll() is None and time.monotonic() < deadline, process.stderr
            time.sleep(0.01)
        yield Server(process)
    finally:
        if process.poll() is None:
            process.send_signal(9)
            process.wait()


def wait_until(is_so, seconds: float = 20) -> None:
    "Wait until something is so"
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never was so"
        time.sleep(0.02)
