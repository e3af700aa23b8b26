"""Limits of the server, kept before a body is parsed: who may ask, how many bytes, in what time.

To change one: its constant. What a question may hold is in `ftkit.serving.questions`.
"""

import asyncio
import hmac
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ftkit.errors import escape_controls
from ftkit.serving.address import LOOPBACK

BODY_BYTES = 1_000_000  # of one request: 256 posts, or a text of 100,000 characters in any script
HELD_BYTES = 64_000_000  # of the bodies of all requests at one time
HEADER_BYTES = 16_384  # of request line and headers, as nginx and Apache allow about
RECEIVE_SECONDS = 10.0  # from the first byte of a request to its last
SEND_SECONDS = 30.0  # that a client may leave an answer unread
DRAIN_SECONDS = 0.5  # that a refused body is still read, so that the client sees the refusal
ARRIVED = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)  # states of a client that has no more to send
OPEN_PATHS = ("/", "/health", "/ready")  # without a token: they tell nothing about the run


def one_line(
    text: object,  # that may hold what a client sent
    limit: int = 300,  # characters
) -> str:
    "Return a message as one short line that any encoding can hold"
    return escape_controls(str(text)[:limit])


class TimedConnection(H11Protocol):
    """A connection that ends if a request does not arrive in time, or an answer is not read.

    uvicorn has no such limit (encode/uvicorn#157): a client that never ends its headers would be held for ever.
    """

    def connection_made(self, transport):
        super().connection_made(transport)
        self.unread = None
        self.late = self.loop.call_later(RECEIVE_SECONDS, self.refuse_late)

    def data_received(self, data):
        if self.late is None:
            self.late = self.loop.call_later(RECEIVE_SECONDS, self.refuse_late)
        super().data_received(data)
        if self.conn.their_state in ARRIVED:
            self.late = cancel(self.late)

    def refuse_late(self):
        "Answer 408 if nothing was answered yet, and end the connection"
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.transport.close()

    def pause_writing(self):
        super().pause_writing()
        self.unread = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def resume_writing(self):
        super().resume_writing()
        self.unread = cancel(self.unread)

    def connection_lost(self, exc):
        self.late, self.unread = cancel(self.late), cancel(self.unread)
        super().connection_lost(exc)


def cancel(
    timer: asyncio.TimerHandle | None,  # that may be running
) -> None:
    "Stop a timer"
    if timer is not None:
        timer.cancel()


class Refused(Exception):
    "A request that is answered without asking the app: status, one line, headers"

    def __init__(self, status: int, reason: str, **headers: str):
        self.status, self.reason, self.headers = status, reason, headers


class Guard:
    "ASGI middleware: refuses strangers and what is too large, and hands the app a body that has arrived"

    def __init__(
        self,
        app,  # the next ASGI app
        token: str | None = None,  # that a client has to send; None: anybody may ask
        hosts: tuple[str, ...] | None = LOOPBACK,  # values of the Host header; None: any
    ):
        self.app, self.token, self.hosts, self.held = app, token, hosts, 0

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        size = 0
        try:
            try:
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
                self.check_sender(scope, headers)
                check_kind(scope, headers)
                body = b""
                async for part in self.read(headers, receive):
                    body, size = body + part, size + len(part)
            except Refused as refusal:
                return await refuse(refusal, receive, send)
            await self.app(scope, replay(body, receive), send)
        finally:
            self.held -= size

    def check_sender(self, scope: dict, headers: dict[str, str]) -> None:
        """Raise `Refused` for a wrong token, or a page that was led here by another name of this machine.

        A page of a stranger whose own name points to 127.0.0.1 (DNS rebinding) sends its name as Host
        """
        name = headers.get("host", "")
        name = name if name.endswith("]") else name.rpartition(":")[0] or name
        if self.hosts is not None and name.lower() not in self.hosts:
            raise Refused(421, f"this server answers to {', '.join(self.hosts)} and to no other name.")
        if self.token is None or scope["path"] in OPEN_PATHS:
            return
        kind, _, sent = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(sent.strip().encode(), self.token.encode()):
            raise Refused(401, "send the header 'Authorization: Bearer TOKEN'.", **{"www-authenticate": "Bearer"})

    async def read(self, headers: dict[str, str], receive):
        "Yield the parts of a body. Raises `Refused` if there are too many bytes, of this request or of all"
        large = Refused(413, f"the body has more than {BODY_BYTES:,} bytes. Send fewer texts at a time.")
        if headers.get("content-length", "0").isdecimal() and int(headers.get("content-length", "0")) > BODY_BYTES:
            raise large
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the body has not arrived.")
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size > BODY_BYTES:
                raise large
            if self.held + len(part) > HELD_BYTES:
                raise Refused(503, "too many requests at one time. Try again.", **{"retry-after": "1"})
            self.held += len(part)
            yield part


def check_kind(scope: dict, headers: dict[str, str]) -> None:
    """Raise `Refused` for a body that is not declared as JSON.

    A browser asks the server before a foreign page may send JSON, and this server does not agree (no CORS)
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if scope["method"] == "POST" and kind != "application/json":
        raise Refused(415, "send JSON with the header 'Content-Type: application/json'.")


async def refuse(refusal: Refused, receive, send) -> None:
    "Answer with an error, then read on a little: a connection that is closed with unread bytes is reset"
    body = json.dumps({"error": refusal.reason}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    pairs = [(k.encode(), v.encode()) for k, v in {**headers, **refusal.headers}.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while (await receive()).get("more_body"):
                pass
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


def replay(
    body: bytes,  # that has arrived
    receive,  # of the server
):
    "Return a `receive` that has the body at once"
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def again():
        return left.pop() if left else await receive()

    return again
