"A run that serves: its model in memory, opened once, and what a client may know about it."

import logging
from dataclasses import dataclass

import torch

from ftkit.fine_tuning import Run
from ftkit.model_init import weights_sha256
from ftkit.runs.folder import package_versions
from ftkit.serving.questions import TEXT
from ftkit.settings import Settings
from ftkit.tasks.base import Task
from ftkit.training.hardware import pick_device

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    "An opened run"

    run: Run
    task: Task
    settings: Settings
    model: object  # a `PreTrainedModel`
    tokenizer: object  # its tokenizer
    facts: dict  # about the run, as `/info` shows them
    sample: dict  # the answer to `TEXT`

    @property
    def name(self) -> str:
        "Return the name of the run"
        return self.run.path.name

    def answer(
        self,
        texts: list,  # texts or chats
    ) -> list[dict]:
        "Return one dictionary for each text, as `Run.predict` does"
        return self.task.answer(self.model, self.tokenizer, texts, self.settings)

    def stream(
        self,
        text,  # a text or a chat
        emit,  # called with each piece of the answer as it is written
    ) -> dict:
        "Return the answer to one text. Raises `UserError` if the task does not write"
        return self.task.stream(self.model, self.tokenizer, text, self.settings, emit)


def open_served(
    run: Run,  # a finished run
) -> Served:
    "Open the model of a run and let it answer once. Raises `UserError` if it cannot be served"
    run.check_finished()
    record, settings, (model, tokenizer) = run.record, run.settings, run.open_model()
    sha256, trained = weights_sha256(model), record["weights"]["final_sha256"]
    if trained and sha256 != trained:
        logger.warning(f"{run.path}: its weights are not those that it trained ({sha256[:12]}, not {trained[:12]})")
    card = run.model_folder / "README.md"
    facts = {
        "run": run.path.name,
        "task": record["task"],
        "labels": run.labels,
        "headline": record["headline"],
        "metrics": (record["metrics"] or {}).get("test"),
        "streams": run.task.streams,
        "max_seq_length": settings.max_seq_length,
        "weights_sha256": sha256,
        "device": pick_device(),
        "threads": torch.get_num_threads(),
        "versions": package_versions(),
        "trained_with": record["versions"],
        "card": card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None,
    }
    sample = run.task.answer(model, tokenizer, [TEXT], settings)[0]
    return Served(run, run.task, settings, model, tokenizer, facts, sample)
