"Rows and models for other tools: OpenAI's fine-tuning file."

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from ftkit.checks.report import count_tokens
from ftkit.data import read_source
from ftkit.errors import UserError
from ftkit.files.atomic import write_text
from ftkit.files.conversations import choose_form, read_conversations, to_json, to_openai, validate_openai
from ftkit.files.rows import ReadOptions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenAIFile:
    "What was written for OpenAI"

    path: Path  # of the file
    rows: int  # conversations
    dropped: int  # rows without a prompt or a response
    tokens: int | None  # of all contents, as the starter's tokenizer counts; None if its package is not installed

    def describe(
        self,
        price: float | None = None,  # of a million training tokens; None: not known
        epochs: float = 1,  # passes over the rows
    ) -> list[str]:
        "Return rows, tokens and price as lines"
        lines = [f"{self.path}: {self.rows:,} conversations" + (f", {self.dropped:,} dropped" * bool(self.dropped))]
        if self.tokens is None:
            return [*lines, "tokens: not counted, as the starter model is not installed: pip install 'ftkit[starter]'"]
        lines += [f"tokens: about {self.tokens:,}, by the starter's tokenizer; OpenAI's own count differs"]
        if price is None:
            return [*lines, "price: give --price, what a million training tokens cost today"]
        cost = self.tokens / 1e6 * epochs * price
        return [*lines, f"price: {self.tokens:,} tokens x {epochs:g} epochs x {price:g} a million = {cost:.2f}"]


def export_openai(
    source,  # rows from Python, a file, or tables of `read_source`
    out: str | Path,  # the .jsonl file to write
    text_column_name: str | None = None,  # of prompt or conversation; default: found
    label_column_name: str | None = None,  # of the response; default: found
    force: bool = False,  # replace a file that is there
) -> OpenAIFile:
    "Write the training rows as OpenAI reads them. Raises `UserError`, and writes nothing, if a row breaks its rules"
    out = Path(out)
    if out.suffix != ".jsonl":
        raise UserError(f"--out {out}: write a file that ends in .jsonl.")
    if out.exists() and not force:
        raise UserError(f"--out {out}: is already there. Give another name, or --force to replace it.")
    table = (source if isinstance(source, dict) else read_source(source, options=ReadOptions()))["train"]
    found = read_conversations(table, choose_form(table, text_column_name, label_column_name))
    kept = [messages for messages in found if messages is not None]
    lines = [json.dumps(to_openai(json.loads(to_json(messages))), ensure_ascii=False) for messages in kept]
    if problems := validate_openai(lines):
        more = f" And {len(problems) - 1} more problems." if len(problems) > 1 else ""
        raise UserError(f"{table.source}: is no fine-tuning file for OpenAI: {problems[0]}{more}")
    try:
        write_text(out, "\n".join(lines) + "\n")
    except OSError as e:
        raise UserError(f"--out {out}: cannot be written ({e.strerror}). Name another file.") from None
    tokens = count_tokens([turn["content"] for messages in kept for turn in messages])
    return OpenAIFile(out, len(kept), len(found) - len(kept), sum(tokens) or None)
