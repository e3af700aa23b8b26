"The process of `ftkit serve`: it ends when a signal comes and what it was asked is answered."

import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from ftkit.fine_tuning import Run
from ftkit.serving.api import Service, make_app, open_promoted
from ftkit.serving.limits import HEADER_BYTES, TimedConnection
from ftkit.serving.queueing import Queue
from ftkit.serving.served import Served, open_served

FINISH_SECONDS = 30  # for what is being answered when the server is stopped


class Server(uvicorn.Server):
    "A server that knows which signal ended it: uvicorn raises it again, in vain where a shell had SIGINT ignored"

    ended_by: int | None = None

    def handle_exit(self, sig, frame):
        self.ended_by = sig
        super().handle_exit(sig, frame)


def make_server(
    service: Service,  # what the endpoints work with
) -> Server:
    "Return the server. It logs through ftkit alone, and finishes what it answers before it ends"
    return Server(
        uvicorn.Config(
            make_app(service),
            http=TimedConnection,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=HEADER_BYTES,
            timeout_graceful_shutdown=FINISH_SECONDS,
        )
    )


@contextmanager
def in_thread(
    server: uvicorn.Server,  # to run meanwhile
    sock: socket.socket,  # that listens
):
    "Run a server in a thread of this process"
    thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(FINISH_SECONDS)


def serve(
    folder: Path | None,  # a finished run; None: the promoted one, and each that is promoted later
    runs_dir: Path,  # the folder of the runs
    sock: socket.socket,  # that listens
    tell,  # called with the `Served` before it answers
    batch_size: int = 1,  # texts of several requests in one call of the model
    **options,  # of `Service`
) -> None:
    "Serve a run until a signal comes. Raises `KeyboardInterrupt` with the signal"
    served: Served = open_promoted(runs_dir) if folder is None else open_served(Run(folder))
    follows = runs_dir if folder is None else None
    tell(served)
    server = make_server(Service(Queue(served, batch_size), follows=follows, **options))
    server.run([sock])
    if server.ended_by:
        raise KeyboardInterrupt(server.ended_by)
