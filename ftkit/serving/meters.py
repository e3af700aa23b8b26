"What the server measures, as Prometheus reads it, and one log line for each request, without texts."

import json
import logging
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

QUIET = ("/health", "/ready", "/metrics")  # asked every few seconds by machines: no log line
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
logger = logging.getLogger(__name__)


class Meters:
    "Counters of one server. To add one: an attribute, and the place that moves it"

    def __init__(self):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        keys = {"registry": self.registry}
        self.requests = Counter("ftkit_requests", "Requests", ["path", "status"], **keys)
        self.seconds = Histogram("ftkit_request_seconds", "Seconds from request to answer", ["path"], **keys)
        self.in_flight = Gauge("ftkit_in_flight", "Requests that are being answered", **keys)
        self.most_in_flight = Gauge("ftkit_in_flight_max", "Most requests at one time so far", **keys)
        self.waiting = Gauge("ftkit_texts_waiting", "Texts that wait for the model", **keys)
        self.texts = Histogram(
            "ftkit_call_texts", "Texts in one call of the model", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), **keys
        )
        self.call_seconds = Histogram("ftkit_call_seconds", "Seconds of one call of the model", **keys)
        self.swaps = Counter("ftkit_swaps", "Times that a newly promoted run took over", **keys)
        self.run = Gauge("ftkit_run_info", "The run that answers", ["run", "weights_sha256"], **keys)
        self.now = self.most = 0

    def show_run(
        self,
        served,  # a `Served`
    ) -> None:
        "Name the run that answers"
        self.run.clear()
        self.run.labels(served.name, served.facts["weights_sha256"]).set(1)

    def count_call(
        self,
        texts: int,  # in the call
        seconds: float,  # that it took
    ) -> None:
        "Count a call of the model"
        self.texts.observe(texts)
        self.call_seconds.observe(seconds)

    def to_text(self) -> bytes:
        "Return all values in the text format of Prometheus"
        return generate_latest(self.registry)

    def enter(self) -> None:
        "Count a request that begins"
        self.now += 1
        self.most = max(self.most, self.now)
        self.in_flight.set(self.now)
        self.most_in_flight.set(self.most)

    def leave(
        self,
        method: str,  # of the request
        path: str,  # of the endpoint, not what the client wrote
        status: int,  # of the answer
        seconds: float,  # that it took
    ) -> None:
        "Count and log a request that ends"
        self.now -= 1
        self.in_flight.set(self.now)
        self.requests.labels(path, status).inc()
        self.seconds.labels(path).observe(seconds)
        if path not in QUIET:
            logger.info(f"{method} {path} {status}, {1000 * seconds:.0f} ms")


class Meter:
    "ASGI middleware: counts each request, and answers 500 without details if the app fails"

    def __init__(
        self,
        app,  # the next ASGI app
        meters: Meters,  # of the server
        paths: set[str],  # of the endpoints
        tell=lambda error: None,  # told of a fault of the program
    ):
        self.app, self.meters, self.paths, self.tell = app, meters, paths, tell

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status = time.perf_counter(), 0

        async def watch(message):
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self.meters.enter()
        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            self.tell(error)
            if not status:
                body = json.dumps({"error": "the server failed. Its log has the reason."}).encode()
                head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
                await watch({"type": "http.response.start", "status": 500, "headers": head})
                await send({"type": "http.response.body", "body": body})
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.meters.leave(method, path, status, time.perf_counter() - began)
