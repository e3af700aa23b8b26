"""The endpoints of `ftkit serve`. To add one: a function with a docstring and `@router.get` or `@router.post`.

Limits are in `limits`, what a client may send in `questions`, the queue before the model in `queueing`.
"""

import asyncio
import json
import logging
import secrets
import traceback
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException

from ftkit import __version__
from ftkit.errors import UserError
from ftkit.files.feedback import add_feedback, feedback_path
from ftkit.fine_tuning import Run
from ftkit.runs.folder import to_json_value
from ftkit.serving.address import LOOPBACK
from ftkit.serving.limits import Guard, one_line
from ftkit.serving.meters import Meter, Meters
from ftkit.serving.promotion import find_promoted, read_promoted
from ftkit.serving.questions import QUESTIONS, TEXT, Judgement, Problem, Question
from ftkit.serving.queueing import Busy, Queue
from ftkit.serving.served import Served, open_served
from ftkit.views.html import shorten, templates

FOLLOW_SECONDS = 1.0  # between two looks at promoted.json
ERRORS = {  # status -> when a request gets it
    400: "the body is not JSON",
    401: "the token is missing or wrong",
    408: "the request took too long to arrive",
    413: "too many bytes",
    415: "the body is not declared as JSON",
    421: "another name of this machine was used",
    422: "the body is JSON and not a question, or none of its texts can be answered",
    503: "too many texts wait already (the header Retry-After has seconds), or a judgement could not be kept",
}
FORMS = {  # path -> what a body looks like
    "/predict": 'Send {"text": "one"} or {"texts": ["one", "two"]}.',
    "/feedback": 'Send {"text": "…", "answer": "…", "mark": "good" or "bad", "corrected": "…" or null}.',
}
logger = logging.getLogger(__name__)
router, feedback_router = APIRouter(), APIRouter()


@dataclass
class Service:
    "What the endpoints work with"

    queue: Queue  # in front of the model
    meters: Meters = field(default_factory=Meters)
    follows: Path | None = None  # the folder whose promoted run serves; None: one run
    takes_feedback: bool = False  # whether judgements are kept
    log_texts: bool = False  # whether the log has texts
    token: str | None = None  # that a client has to send
    hosts: tuple[str, ...] | None = LOOPBACK  # values of the Host header; None: any
    documents: dict[str, dict] = field(default_factory=dict)  # name of the run that answers -> its OpenAPI document

    @property
    def served(self) -> Served:
        "Return the run that answers now"
        return self.queue.served

    def take_over(
        self,
        served: Served,  # that answers from the next call on
    ) -> None:
        "Let another run answer. What is being answered is finished by the old one"
        logger.info(f"{served.name} serves now, instead of {self.served.name}")
        self.queue.served = served
        self.meters.swaps.inc()
        self.meters.show_run(served)

    def tell_fault(
        self,
        error: Exception,  # of the program
    ) -> None:
        "Log where the program failed; what it says may hold a text, so it is logged only if texts are"
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f": {error}" if self.log_texts else ""
        logger.error(f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}{what}")


async def find_service(request: Request) -> Service:
    "Return what the endpoints work with"
    return request.app.state.service


Used = Annotated[Service, Depends(find_service)]


@router.post("/predict", openapi_extra={"requestBody": {"content": {"application/json": {"examples": QUESTIONS}}}})
async def predict(question: Question, service: Used) -> Response:
    """Answer one text, or many.

    The answers are those of `ftkit predict --json`, bit for bit. A text that cannot be answered has only `error`; if
    that is so for all, the status is 422. The header X-Ftkit-Run names the run that answered.
    """
    texts = question.read()
    if service.log_texts:
        for text in texts:
            logger.info(f"asked: {shorten(text)}")
    if question.stream:
        if not service.served.task.streams:
            raise UserError("this model answers at once: leave out 'stream'.")
        return StreamingResponse(stream_events(service, texts), media_type="text/event-stream")
    answers, served = await service.queue.ask(texts)
    if all("error" in answer for answer in answers):
        raise UserError(answers[0]["error"])
    found = to_json_value(answers if question.texts is not None else answers[0])
    return JSONResponse(found, headers={"X-Ftkit-Run": quote(served.name)})


async def stream_events(service: Service, texts: list):
    "Yield server-sent events: the pieces of an answer as they are written, then the answer or an error"
    pieces = asyncio.Queue()
    asked = asyncio.create_task(service.queue.ask(texts, pieces.put_nowait))
    asked.add_done_callback(lambda task: pieces.put_nowait(None))
    try:
        while (piece := await pieces.get()) is not None:
            yield spell_event("piece", {"text": piece})
        answers, _ = await asked
        yield spell_event("answer", answers[0])
    except Busy as error:
        yield spell_event("error", {"error": f"too many texts wait already. Try again in {error.seconds} s."})
    except UserError as error:
        yield spell_event("error", {"error": str(error)})
    except Exception as error:
        service.tell_fault(error)
        yield spell_event("error", {"error": "the server failed. Its log has the reason."})
    finally:
        asked.cancel()


def spell_event(kind: str, value: dict) -> str:
    "Return a server-sent event"
    return f"event: {kind}\ndata: {json.dumps(to_json_value(value), allow_nan=False)}\n\n"


@feedback_router.post("/feedback")
async def feedback(judgement: Judgement, service: Used) -> dict:
    "Keep a judgement on an answer, next to the run. `ftkit train --add_feedback` learns from it"
    run = service.served.run.path
    try:
        await asyncio.to_thread(add_feedback, feedback_path(run), **judgement.model_dump(), run=run.name)
    except UserError as error:  # about the file: what was sent is valid
        logger.error(str(error))
        raise HTTPException(503, "the judgement could not be kept. The server's log has the reason.") from None
    return {"kept": True}


@router.get("/health")
async def health() -> dict:
    "Tell that the process runs"
    return {"status": "ok"}


@router.get("/ready")
async def ready(service: Used) -> Response:
    "Tell whether a question would be taken now: 503 if the queue is full"
    free = service.queue.most - service.queue.waiting
    return JSONResponse({"status": "ready" if free > 0 else "full"}, 200 if free > 0 else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(service: Used) -> Response:
    "Return what the server has measured, as Prometheus reads it"
    service.meters.waiting.set(service.queue.waiting)
    return Response(service.meters.to_text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/info")
async def info(service: Used) -> Response:
    "Describe the run that answers: task, labels, scores, versions, sha256 of the weights, model card"
    more = {"feedback": service.takes_feedback, "follows_promoted": service.follows is not None}
    return JSONResponse(to_json_value(service.served.facts | more))


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def page(service: Used) -> Response:
    "Show a page to try the model in a browser. It loads nothing from elsewhere"
    nonce = secrets.token_urlsafe(16)
    html = templates().get_template("try_it.html.j2").render(nonce=nonce, needs_token=service.token is not None)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return HTMLResponse(html, headers=headers)


def make_app(
    service: Service,  # what the endpoints work with
) -> FastAPI:
    "Return the ASGI app"

    @asynccontextmanager
    async def lifespan(app):
        service.queue.on_call = service.meters.count_call
        service.meters.show_run(service.served)
        async with service.queue:
            follower = asyncio.create_task(follow(service)) if service.follows else None
            yield
            if follower:
                follower.cancel()

    app = FastAPI(
        title="ftkit",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # these two pages load scripts from elsewhere
        redoc_url=None,
        responses={status: {"model": Problem, "description": text} for status, text in ERRORS.items()},
        exception_handlers={
            RequestValidationError: refuse_body,
            HTTPException: refuse_request,
            UserError: refuse_text,
            Busy: refuse_busy,
        },
    )
    app.state.service = service
    routers = [router, feedback_router] if service.takes_feedback else [router]
    for some in routers:
        app.include_router(some)
    app.openapi = lambda: get_document(app, service)
    paths = {"/openapi.json", *(route.path for some in routers for route in some.routes)}
    app.add_middleware(Guard, token=service.token, hosts=service.hosts)
    app.add_middleware(Meter, meters=service.meters, paths=paths, tell=service.tell_fault)
    return app


async def refuse_body(request: Request, error: RequestValidationError) -> JSONResponse:
    "Answer what is wrong with a body, without repeating it: it may hold what JSON cannot"
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return JSONResponse({"error": f"the body is not JSON ({one_line(first['ctx']['error'])})."}, 400)
    names = {*Question.model_fields, *Judgement.model_fields, "role", "content"}
    place = ".".join(str(part) for part in first["loc"][1:] if isinstance(part, int) or part in names)
    what = "has a key that is not known" if first["type"] == "extra_forbidden" else first["msg"]
    message = f"{place or 'the body'}: {what}. {FORMS.get(request.url.path, '')}"
    return JSONResponse({"error": one_line(message.strip())}, 422)


async def refuse_request(request: Request, error: HTTPException) -> JSONResponse:
    "Answer an error of the framework as one line"
    reason = "the body is not JSON in UTF-8, or is nested too deeply." if error.status_code == 400 else error.detail
    return JSONResponse({"error": one_line(reason)}, error.status_code, error.headers)


async def refuse_text(request: Request, error: UserError) -> JSONResponse:
    "Answer what is wrong with a text"
    return JSONResponse({"error": one_line(error)}, 422)


async def refuse_busy(request: Request, error: Busy) -> JSONResponse:
    "Answer that the queue is full, and when to ask again"
    reason = {"error": "too many texts wait already. Try again later."}
    return JSONResponse(reason, 503, {"Retry-After": str(error.seconds)})


async def follow(
    service: Service,  # that follows a folder of runs
) -> None:
    "Let the promoted run answer as soon as it is opened. One that cannot be opened is logged, and the old one stays"
    tried = told = None
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        try:
            entry = await asyncio.to_thread(read_promoted, service.follows)
            if entry is None or entry == tried:
                continue
            tried = entry
            if entry["run"] != service.served.name:
                service.take_over(await asyncio.to_thread(open_promoted, service.follows))
        except Exception as error:
            if str(error) != told:
                logger.error(f"{one_line(error)} {service.served.name} continues to serve")
            told = str(error)


def open_promoted(
    runs_dir: Path,  # the folder of the runs
) -> Served:
    "Open the promoted run. Raises `UserError` if there is none"
    folder = find_promoted(runs_dir)
    if folder is None:
        raise UserError(f"no run is promoted in {runs_dir}. Name the run: ftkit serve RUN. Or: ftkit promote RUN")
    return open_served(Run(folder))


def get_document(app: FastAPI, service: Service) -> dict:
    "Return the OpenAPI document, made once for each run that answers"
    name = service.served.name
    if name not in service.documents:
        service.documents = {name: describe_api(app, service)}
    return service.documents[name]


def describe_api(
    app: FastAPI,  # with its routes
    service: Service,  # whose run gives the example
) -> dict:
    "Return the OpenAPI document. What /predict answers is described by what the run really answered to `TEXT`"
    sample = to_json_value(service.served.sample)
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=f"Answers of the run {one_line(service.served.name)}. The example is its real answer to {TEXT!r}.",
        routes=app.routes,
    )
    answer = describe_value(sample)
    document["paths"]["/predict"]["post"]["responses"]["200"]["content"] = {
        "application/json": {
            "schema": {
                "anyOf": [answer, {"type": "array", "items": {"anyOf": [answer, describe_value({"error": ""})]}}]
            },
            "examples": {"one text": {"value": sample}, "many texts": {"value": [sample]}},
        }
    }
    if service.token:
        document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def describe_value(
    value: object,  # as JSON has it
) -> dict:
    "Return the JSON Schema of a value of this kind"
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {name: describe_value(part) for name, part in value.items()},
            "required": list(value),
        }
    if isinstance(value, list):
        return {"type": "array", "items": describe_value(value[0]) if value else {"type": "string"}}
    return {"type": "number" if isinstance(value, int | float) else "string"}
