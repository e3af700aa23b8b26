"""From conversations to tokens: what the model reads, and which tokens it is trained on.

A conversation is a list of `{"role": "system" | "user" | "assistant", "content": str}` that ends with an assistant
turn. A single assistant turn alone is plain text to continue. What is trained: every assistant turn with the token
that ends it. What is masked: prompts, system messages, role headers, and the line break after a turn, which a model
that stops at the end of its turn never writes.

Marks that a template writes as plain text (`### Response:`) can be spelled by a text; special tokens cannot.
"""

import logging
import os
import re
from dataclasses import dataclass
from functools import lru_cache

import torch
from datasets import Dataset
from jinja2 import TemplateError
from transformers import BatchEncoding, PreTrainedTokenizerBase

from ftkit.errors import UserError, did_you_mean
from ftkit.tokenizer import fit_length

logger = logging.getLogger(__name__)

IGNORED = -100  # the label that PyTorch's cross entropy leaves out
ROLES = ("system", "user", "assistant")
# around a special token that a text spells, and where an assistant's text ends; Unicode keeps these for programs
OPEN, CLOSE, END = "\ufdd0", "\ufdd1", "\ufdd2"

# `chatml` ends an assistant turn with the tokenizer's end-of-text token: <|im_end|> itself for Qwen and SmolLM2; for
# others <|im_start|> and <|im_end|> are plain text and the model still ends with a token that stops generation
TEMPLATES = {
    "plain": (
        "{% for message in messages %}{{ message['content'] }}"
        "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\\n\\n' }}{% endif %}{% endfor %}"
    ),
    # https://github.com/tatsu-lab/stanford_alpaca: the prompt without an input
    "alpaca": (
        "{% if messages[0]['role'] != 'system' %}{{ 'Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\\n\\n' }}{% endif %}"
        "{% for message in messages %}{% if message['role'] == 'assistant' %}"
        "{{ '### Response:\\n' + message['content'] }}{{ eos_token }}{% if not loop.last %}{{ '\\n\\n' }}{% endif %}"
        "{% elif message['role'] == 'user' %}{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}"
        "{% else %}{{ message['content'] + '\\n\\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"
    ),
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
        "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '<|im_end|>' }}{% endif %}"
        "{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
}


def set_template(
    tokenizer: PreTrainedTokenizerBase,  # its `chat_template` is set
    chat_template: str = "auto",  # a name in TEMPLATES; "auto": the tokenizer's own, else plain
) -> str:
    """Set the tokenizer's chat template and return the name of the one in use, "its own" if it keeps it.

    A template of TEMPLATES begins with the bos token if the tokenizer itself begins texts with it. Raises `UserError`
    if there is no such template.
    """
    if chat_template == "auto" and tokenizer.chat_template is not None:
        return "its own"
    name = "plain" if chat_template == "auto" else chat_template
    if name not in TEMPLATES:
        choices = ["auto", *TEMPLATES]
        raise UserError(
            f"chat_template = {name}: there is no such template.{did_you_mean(name, choices)} "
            f"Write one of {', '.join(choices)}."
        )
    bos = "{{ bos_token }}" if begins_with_bos(tokenizer) else ""
    tokenizer.chat_template = bos + TEMPLATES[name]
    return name


def find_frame(
    tokenizer: PreTrainedTokenizerBase,
    target: bool = False,  # around what an encoder-decoder model writes, not what it reads
) -> tuple[list[int], list[int]]:
    "Return the ids that the tokenizer itself writes before and after a text"
    options = {"text_target": "a"} if target else {"text": "a"}
    out = tokenizer(**options, return_special_tokens_mask=True)
    ids, inside = out["input_ids"], [i for i, special in enumerate(out["special_tokens_mask"]) if not special]
    return ids[: inside[0]], ids[inside[-1] + 1 :]


def begins_with_bos(
    tokenizer: PreTrainedTokenizerBase,
) -> bool:
    "Return whether the tokenizer itself begins a text with its bos token. SmolLM2 has one (<|im_start|>) and does not"
    return tokenizer.bos_token_id is not None and find_frame(tokenizer)[0] == [tokenizer.bos_token_id]


def find_end_ids(
    tokenizer: PreTrainedTokenizerBase,  # with its chat template
) -> list[int]:
    "Return the ids at which generation stops: the end-of-text token, and the one that ends a turn if it is another"
    messages = mark(tokenizer, [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}])
    rendered = render(tokenizer, messages)
    turn = find_turns(tokenizer, messages, rendered)[-1]
    written = find_controls(tokenizer).find_any.findall(rendered.text[turn.end : turn.stop])
    ids = tokenizer.convert_tokens_to_ids([tokenizer.eos_token, *written])
    return list(dict.fromkeys(i for i in ids if i is not None))


# ---------------------------------------------------------------------------------------- one conversation to tokens


def encode_conversation(
    tokenizer: PreTrainedTokenizerBase,  # with its chat template, see `set_template`
    messages: list[dict],  # one conversation that ends with an assistant turn
    max_seq_length: int,  # in tokens
) -> dict:
    """Return `input_ids`, `attention_mask`, `labels` (-100: not trained), `trained` (tokens) and `cut`.

    Each response is tokenised from where the model begins to generate it, so `encode_prompt` is the masked beginning.
    The end-of-text token is appended, and trained, unless the template ends the response with a token of its own.

    Too long: the oldest turns are left out first (never the system message), then the start of the user's message,
    down to a quarter of the limit, then the end of the last response: `cut` is True, and the end is not trained.
    Raises `UserError` if the template cannot be used for this conversation.
    """
    limit, messages = fit_length(max_seq_length, tokenizer), check_messages(messages, answered=True)
    ids, labels = encode_messages(tokenizer, messages)
    while (excess := count_needed(labels) - limit) > 0:
        shorter = shorten(tokenizer, messages, excess, max(1, limit // 4))
        if shorter is None:
            break
        messages, (ids, labels) = shorter, encode_messages(tokenizer, shorter)
    ids, labels = ids[:limit], labels[:limit]
    trained = len(labels) - labels.count(IGNORED)
    return {
        "input_ids": ids,
        "attention_mask": [1] * len(ids),
        "labels": labels,
        "trained": trained,
        "cut": excess > 0,
    }


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase,  # with its chat template, see `set_template`
    messages: list[dict],  # one conversation; a last assistant turn is left out
    max_seq_length: int,  # in tokens, without those to be generated
) -> list[int]:
    """Return the ids that generation starts from.

    Too long: the oldest turns are left out, then the start of the user's message. Raises `UserError` if that does not
    suffice.
    """
    limit, messages = fit_length(max_seq_length, tokenizer), check_messages(messages)
    messages = messages[:-1] if messages[-1]["role"] == "assistant" else messages
    if not messages:
        return start_ids(tokenizer)
    return fit_prompt(tokenizer, messages, limit, lambda messages: encode_messages(tokenizer, messages)[0])


def fit_prompt(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict],  # from `check_messages`, without a last assistant turn
    limit: int,  # in tokens
    encode,  # messages -> ids
) -> list[int]:
    "Return the ids of as much of the prompt as the limit allows. Raises `UserError` if that is nothing"
    while len(ids := encode(messages)) > limit:
        messages = shorten(tokenizer, messages, len(ids) - limit, 1)
        if messages is None:
            raise UserError(
                f"max_seq_length = {limit}: the system message and the chat template take {len(ids)} tokens. "
                f"Write {len(ids) + limit} or more, or shorten the system message."
            )
    return ids


def encode_pair(
    tokenizer: PreTrainedTokenizerBase,  # of an encoder-decoder model, with a chat template
    messages: list[dict],  # one conversation that ends with an assistant turn
    max_seq_length: int,  # in tokens, of the prompt and of the response
) -> dict:
    """Return `input_ids` and `attention_mask` of the prompt, `labels` of the last response, `trained` and `cut`.

    Both have the special tokens that the model expects (T5: </s> at the end). Earlier responses are part of the
    prompt. Too long: as in `encode_prompt`, and the end of the response is cut, with the token that ends it.
    """
    limit, messages = fit_length(max_seq_length, tokenizer), check_messages(messages, answered=True)
    ids = fit_prompt(tokenizer, messages[:-1], limit, lambda messages: frame_prompt(tokenizer, messages))
    before, after = find_frame(tokenizer, target=True)
    rendered = unmark(mark(tokenizer, messages)[-1]["content"])
    response = [i for i, _ in encode_text(tokenizer, rendered, [])]
    labels = before + response + (after or [eos_id(tokenizer)])
    cut, labels = len(labels) > limit, labels[:limit]
    mask = [1] * len(ids)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "trained": len(labels), "cut": cut}


def frame_prompt(
    tokenizer: PreTrainedTokenizerBase,  # of an encoder-decoder model
    messages: list[dict],  # from `check_messages`, without a last assistant turn
) -> list[int]:
    "Return what the encoder reads: the prompt without blank ends, between the tokenizer's own special tokens"
    before, after = find_frame(tokenizer)
    if not messages:
        return before + after
    text = write_prompt(tokenizer, mark(tokenizer, fold_system(tokenizer, messages)))
    bos = tokenizer.bos_token if begins_with_bos(tokenizer) else None
    tokens = encode_text(tokenizer, unmark(text.removeprefix(bos or "").rstrip()), [])
    return before + [i for i, _ in tokens] + after


def check_messages(
    messages: list[dict],  # one conversation
    answered: bool = False,  # require that it ends with an assistant turn
) -> list[dict]:
    "Return role and content of each message, without our marks. Raises `UserError` if it is not a conversation"
    for number, message in enumerate(messages, 1):
        if message.get("role") not in ROLES:
            raise UserError(f"message {number} has the role {message.get('role')!r}. Write {', '.join(ROLES)}.")
        if not isinstance(message.get("content"), str):
            raise UserError(f"message {number} has {message.get('content')!r} as its content. Write a text.")
    if not messages or (answered and messages[-1]["role"] != "assistant"):
        raise UserError("a conversation ends with the assistant turn to learn, and this one does not. Add it.")
    return [{"role": m["role"], "content": re.sub(f"[{OPEN}{CLOSE}{END}]", "", m["content"])} for m in messages]


def encode_messages(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict],  # from `check_messages`
) -> tuple[list[int], list[int]]:
    "Return the ids and labels of a conversation; without a last assistant turn those of the prompt for one"
    if len(messages) == 1 and messages[0]["role"] == "assistant":
        return encode_plain(tokenizer, messages)
    marked = mark(tokenizer, fold_system(tokenizer, messages))
    rendered = render(tokenizer, marked)
    turns = find_turns(tokenizer, marked, rendered)
    tokens = encode_text(tokenizer, rendered, [turn.start for turn in turns if turn.begins])
    ids = [i for i, _ in tokens]
    labels = [i if any(t.start <= at < t.stop for t in turns) else IGNORED for i, at in tokens]
    ended = not turns or turns[-1].ended or messages[-1]["role"] != "assistant"
    end = [] if ended else [eos_id(tokenizer)]
    return ids + end, [IGNORED, *labels[1:], *end]  # nothing predicts the first token


def encode_plain(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict],  # a single assistant turn
) -> tuple[list[int], list[int]]:
    "Return the ids and labels of a text to continue, between the tokens that begin and end a text"
    start, end = start_ids(tokenizer), [eos_id(tokenizer)]
    text = [i for i, _ in encode_text(tokenizer, unmark(mark(tokenizer, messages)[0]["content"]), [])]
    return start + text + end, [IGNORED] * len(start) + text + end


def start_ids(
    tokenizer: PreTrainedTokenizerBase,
) -> list[int]:
    "Return what stands before a plain text: bos if the tokenizer writes it, else eos, as between texts in pretraining"
    return [tokenizer.bos_token_id if begins_with_bos(tokenizer) else eos_id(tokenizer)]


def eos_id(
    tokenizer: PreTrainedTokenizerBase,
) -> int:
    "Return the id of the end-of-text token. Raises `UserError` if there is none"
    if tokenizer.eos_token_id is None:
        raise UserError(
            "the tokenizer has no end-of-text token, so the model would not learn to stop. "
            "Set it: tokenizer.eos_token = the token that ends a text."
        )
    return tokenizer.eos_token_id


# ------------------------------------------------------------------------------------------------ too long


def count_needed(
    labels: list[int],  # of one conversation
) -> int:
    "Return the number of tokens up to the last one that is trained"
    return max((i for i, label in enumerate(labels, 1) if label != IGNORED), default=len(labels))


def shorten(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict],  # from `check_messages`
    excess: int,  # tokens to lose
    least: int,  # tokens of the user's message that stay
) -> list[dict] | None:
    "Return the conversation without its oldest turns, or with less of the user's message; None if nothing can go"
    system = [m for m in messages[:1] if m["role"] == "system"]
    rest = messages[len(system) :]
    for i in range(1, len(rest)):
        if rest[i]["role"] == "user" and rest[i - 1]["role"] == "assistant":
            return system + rest[i:]
    if not rest or rest[0]["role"] != "user":
        return None
    content = cut_start(tokenizer, rest[0]["content"], excess, least)
    return None if content is None else [*system, {"role": "user", "content": content}, *rest[1:]]


def cut_start(
    tokenizer: PreTrainedTokenizerBase,
    text: str,  # of a user's message
    excess: int,  # tokens to lose
    least: int,  # tokens to keep
) -> str | None:
    "Return the end of a text, or None if it is as short as it may be"
    tokens = call_tokenizer(tokenizer, text, as_text=True)
    keep = max(len(tokens) - excess, least)
    # at least one character, if the first takes several tokens
    return text[max(1, tokens[-keep][1]) :] if keep < len(tokens) else None


# -------------------------------------------------------------------------------------------- templates and turns


@dataclass
class Rendered:
    "A conversation as the template writes it"

    text: str
    ends: list[int]  # where each assistant's text ends
    breaks: list[int]  # where a special token that a text spells begins and ends
    spelled: set[int]  # those of them where one begins


@dataclass
class Turn:
    "An assistant turn, in characters of the rendered text"

    start: int  # where the model begins to generate
    end: int  # where its text ends
    stop: int  # where the turn ends
    begins: bool  # the text before `start` is the prompt that the template writes for this turn
    ended: bool  # the template ends it with a token


def apply_template(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict],
    prompt: bool = False,  # with the header of an assistant turn at the end
) -> str:
    "Return what the chat template writes. Raises `UserError` if it refuses"
    if tokenizer.chat_template is None:
        raise UserError("the tokenizer has no chat template. Set one: set_template(tokenizer, 'plain').")
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    except (TemplateError, TypeError, ValueError, KeyError) as error:
        raise UserError(
            f"the model's chat template refuses the conversation: {error}. Write chat_template = plain."
        ) from error


def takes_system(
    tokenizer: PreTrainedTokenizerBase,
) -> bool:
    "Return whether the template writes a system message. Gemma's refuses it, some of Mistral's drop it in training"
    contents = zip(ROLES, (END, "x", "x"))
    try:
        return END in apply_template(tokenizer, [{"role": role, "content": text} for role, text in contents])
    except UserError:
        return False


def fold_system(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict],  # from `check_messages`
) -> list[dict]:
    "Return the conversation with the system message before the first user message if the template takes none"
    if messages[0]["role"] != "system" or takes_system(tokenizer):
        return messages
    system, rest = messages[0]["content"], messages[1:]
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": system}, *rest]
    return [{"role": "user", "content": f"{system}\n\n{rest[0]['content']}"}, *rest[1:]]


@dataclass(frozen=True)
class Controls:
    "The added tokens of a tokenizer, without those of white space, which Gemma has"

    special: tuple[str, ...]
    other: tuple[str, ...]  # such as <think>
    find_special: re.Pattern
    find_any: re.Pattern


def compile_tokens(
    tokens: tuple[str, ...],  # as they are written
) -> re.Pattern:
    "Return the pattern that finds any of the tokens, the longest first"
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or "(?!)")


@lru_cache(maxsize=2)
def list_controls(
    tokenizer: PreTrainedTokenizerBase,
    size: int,  # of its vocabulary: it may grow
    named: str,  # its special tokens: they may change
) -> Controls:
    "Return the added tokens. Gemma has 6,000 of them, so the result is cached"
    added = {t.content: t.special for t in tokenizer.added_tokens_decoder.values() if t.content.strip()}
    added |= dict.fromkeys(tokenizer.all_special_tokens, True)
    special, other = (tuple(t for t, is_special in added.items() if is_special is kind) for kind in (True, False))
    return Controls(special, other, compile_tokens(special), compile_tokens(tuple(added)))


def find_controls(
    tokenizer: PreTrainedTokenizerBase,
) -> Controls:
    "Return the added tokens as they are now"
    return list_controls(tokenizer, len(tokenizer), str(tokenizer.special_tokens_map))


def mark(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict],  # from `check_messages`
) -> list[dict]:
    """Return the conversation with marks around the special tokens that a text spells and at each response's end.

    In prompts also around other tokens that the template writes. In responses those stay: <think> is one of them.
    """
    controls = find_controls(tokenizer)
    special = written = controls.find_special
    if any(controls.find_any.search(m["content"]) for m in messages if m["role"] != "assistant"):
        answer = [] if messages[-1]["role"] == "assistant" else [{"role": "assistant"}]  # the same for a prompt
        text = apply_template(tokenizer, [{**m, "content": "x"} for m in [*messages, *answer]])
        written = compile_tokens((*controls.special, *(t for t in controls.other if t in text)))
    patterns = {"system": written, "user": written, "assistant": special}
    return [mark_message(m, patterns[m["role"]]) for m in messages]


def mark_message(
    message: dict,
    tokens: re.Pattern,  # that its text may not become
) -> dict:
    "Return the message with its marks. That of the end stands before white space, so that a template can strip it"
    text = tokens.sub(lambda found: f"{OPEN}{found[0]}{CLOSE}", message["content"])
    body = text.rstrip()
    end = END if message["role"] == "assistant" else ""
    return {**message, "content": body + end + text[len(body) :]}


def unmark(
    marked: str,  # rendered, or the content of a message
) -> Rendered:
    "Return the text without marks, and where they were. A template may have split a pair: that is a break still"
    pieces = re.split(f"([{OPEN}{CLOSE}{END}])", marked)
    out = Rendered("", [], [], set())
    for i, piece in enumerate(pieces):
        if i % 2:
            (out.ends if piece == END else out.breaks).append(len(out.text))
        elif i and pieces[i - 1] == OPEN and pieces[i + 1 : i + 2] == [CLOSE]:
            out.spelled.add(len(out.text))
        out.text += "" if i % 2 else piece
    return out


def render(
    tokenizer: PreTrainedTokenizerBase,
    marked: list[dict],  # from `mark`
) -> Rendered:
    "Return the conversation as the template writes it; without a last assistant turn with the header of one"
    if marked[-1]["role"] != "assistant":
        return unmark(write_prompt(tokenizer, marked))
    rendered = unmark(apply_template(tokenizer, marked))
    plain = [{**m, "content": unmark(m["content"]).text} for m in marked]
    if rendered.text != apply_template(tokenizer, plain):
        raise UserError("the model's chat template rewrites the response. Write chat_template = plain.")
    return rendered


def write_prompt(
    tokenizer: PreTrainedTokenizerBase,
    marked: list[dict],  # up to an assistant turn
) -> str:
    "Return what the template writes before an assistant turn, its header too if the template never writes it alone"
    prompt = apply_template(tokenizer, marked, prompt=True)
    if "add_generation_prompt" in tokenizer.get_chat_template():
        return prompt
    answered = apply_template(tokenizer, [*marked, {"role": "assistant", "content": f"{END}x"}])
    header = answered.rpartition(END)[0].removeprefix(prompt)
    return prompt + header if header.strip() and answered.startswith(prompt) else prompt


def find_turns(
    tokenizer: PreTrainedTokenizerBase,
    marked: list[dict],  # from `mark`
    rendered: Rendered,  # of them
) -> list[Turn]:
    "Return the assistant turns"
    numbers = [k for k, m in enumerate(marked) if m["role"] == "assistant"]
    if len(rendered.ends) != len(numbers):
        raise UserError("the model's chat template does not write each response once. Write chat_template = plain.")
    return [find_turn(tokenizer, marked, rendered, k, end) for k, end in zip(numbers, rendered.ends)]


def find_turn(
    tokenizer: PreTrainedTokenizerBase,
    marked: list[dict],  # from `mark`
    rendered: Rendered,  # of them
    k: int,  # the number of the message
    end: int,  # where its text ends
) -> Turn:
    """Return an assistant turn.

    It begins after the prompt that the template writes for it, if the rendered text begins with that prompt. An
    earlier turn that the template changes later (Qwen3 leaves out its thinking) begins where its text does.
    Raises `UserError` if the last turn is not what follows its prompt.
    """
    text, last = rendered.text, k == len(marked) - 1
    prompt = unmark(write_prompt(tokenizer, marked[:k])).text if k else ""
    begins = bool(prompt) and text.startswith(prompt) and len(prompt) <= end
    if last and k and not begins:
        raise UserError(
            "the model's chat template writes another prompt in training than for generation. "
            "Write chat_template = plain."
        )
    gap = text[end:]
    tail = gap if last else unmark(apply_template(tokenizer, marked[: k + 1]))
    if not last:
        tail = tail.text[tail.ends[-1] :] if tail.ends else ""
    length, ended = measure_tail(tokenizer, gap, tail)
    start = len(prompt) if begins else find_text(text[:end], unmark(marked[k]["content"]).text.rstrip())
    return Turn(start, end, end + length, begins, ended)


def find_text(
    before: str,  # rendered, up to where the text ends
    body: str,  # the text as it was given
) -> int:
    "Return where the text begins, or what the template left of its end, with the space before it"
    length = len(os.path.commonprefix([before[::-1], body[::-1]]))
    start = len(before) - len(before[len(before) - length :].lstrip()) if length else len(before)
    return start - 1 if before[start - 1 : start] == " " else start


def measure_tail(
    tokenizer: PreTrainedTokenizerBase,
    gap: str,  # what the template writes after a response, up to the end of the conversation
    tail: str,  # what it writes if the conversation ends with that response
) -> tuple[int, bool]:
    """Return how many characters of the gap end the turn, and whether there is a token among them.

    That is up to the first token, and an end-of-text token that follows it: Phi-3 writes <|end|> and <|endoftext|>.
    """
    tokens = list(find_controls(tokenizer).find_any.finditer(gap))
    shared = len(os.path.commonprefix([gap, tail]))
    shared = min([shared, *(t.start() for t in tokens if t.start() < shared < t.end())])
    ends = [t.end() for t in tokens if t.end() <= shared]
    if not ends:
        return shared, False
    eos = re.compile(rf"\s*{re.escape(tokenizer.eos_token or '')}").match(gap, ends[0], shared)
    return (eos.end() if eos and eos[0].strip() else ends[0]), True


# ---------------------------------------------------------------------------------------------- text to tokens


def encode_text(
    tokenizer: PreTrainedTokenizerBase,
    rendered: Rendered,
    starts: list[int],  # where the model begins to generate: no token crosses it
) -> list[tuple[int, int]]:
    "Return the id of each token and where it begins. What a text spells does not become a special token"
    if not tokenizer.is_fast:
        raise UserError("the model's tokenizer does not know where its tokens begin. Use a model with a fast one.")
    text = rendered.text
    points = sorted({0, len(text), *rendered.breaks, *starts})
    return [
        (token, a + at)
        for a, b in zip(points, points[1:])
        for token, at in encode_piece(tokenizer, text[a:b], a > 0, a in rendered.spelled)
    ]


def encode_piece(
    tokenizer: PreTrainedTokenizerBase,
    text: str,  # between two points
    continued: bool,  # text stands before it
    as_text: bool,  # write out the special tokens
) -> list[tuple[int, int]]:
    """Return the id of each token and where it begins.

    SentencePiece writes a space before the first word of a text. So a piece that continues one is encoded after a
    line break, which is taken off again, as `apply_chat_template(sanitize_control_tokens=True)` does it.
    """
    if continued:
        line_break = tokenizer("\n", add_special_tokens=False)["input_ids"]
        tokens = call_tokenizer(tokenizer, "\n" + text, as_text)
        if [i for i, _ in tokens[: len(line_break)]] == line_break:
            tokens = [(i, max(0, at - 1)) for i, at in tokens[len(line_break) :]]
        else:
            tokens = call_tokenizer(tokenizer, text, as_text)
    else:
        tokens = call_tokenizer(tokenizer, text, as_text)
    if as_text and len(text) > 1 and not {i for i, _ in tokens}.isdisjoint(tokenizer.added_tokens_decoder):
        rest = encode_piece(tokenizer, text[1:], True, True)  # a vocabulary may hold it as a word: T5 has </s>
        return encode_piece(tokenizer, text[:1], continued, True) + [(i, at + 1) for i, at in rest]
    return tokens


def call_tokenizer(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    as_text: bool,  # write out the special tokens
) -> list[tuple[int, int]]:
    "Return the id of each token and where it begins"
    options = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}  # we cut ourselves
    out = tokenizer(text, split_special_tokens=as_text, **options)
    return [(i, start) for i, (start, _) in zip(out["input_ids"], out["offset_mapping"])]


def show_tokens(
    tokenizer: PreTrainedTokenizerBase,
    encoded: dict,  # from `encode_conversation` or `encode_pair`
) -> list[tuple[str, int, bool]]:
    "Return the text, the id and whether it is trained for each token; for a pair the prompt, then the response"
    ids, labels = encoded["input_ids"], encoded["labels"]
    if len(ids) == len(labels) and all(label in (IGNORED, i) for i, label in zip(ids, labels)):
        return [(tokenizer.decode([i]), i, label != IGNORED) for i, label in zip(ids, labels)]
    return [(tokenizer.decode([i]), i, side is labels) for side in (ids, labels) for i in side]


# -------------------------------------------------------------------------------------------- many conversations


def tokenize_conversations(
    conversations: list,  # each a list of messages
    tokenizer: PreTrainedTokenizerBase,  # with its chat template, see `set_template`
    max_seq_length: int,  # in tokens
    encoder_decoder: bool = False,  # for T5, BART and their like
) -> Dataset:
    """Return `input_ids`, `attention_mask`, `labels`, `length`, `trained` and `cut` in the order of the rows.

    Warns about rows without a token to train, by their numbers from 1; they stay: leave out those with `trained` 0
    before training. Raises `UserError` if no row has one, or if a row cannot be encoded.
    """
    encode = encode_pair if encoder_decoder else encode_conversation
    rows = []
    for number, messages in enumerate(conversations, 1):
        try:
            row = encode(tokenizer, messages, max_seq_length)
        except UserError as error:
            raise UserError(f"row {number}: {error}") from error
        # the decoder of a model with an encoder reads the labels
        rows.append({**row, "length": len(row["input_ids"]) + (len(row["labels"]) if encoder_decoder else 0)})
    report_untrained(rows, max_seq_length)
    return Dataset.from_list(rows)


def report_untrained(
    rows: list[dict],  # with `trained`
    max_seq_length: int,  # for the message
) -> None:
    "Warn about rows without a token to train. Raises `UserError` if there is no other"
    empty = [number for number, row in enumerate(rows, 1) if not row["trained"]]
    if len(empty) == len(rows):
        raise UserError(
            f"max_seq_length = {max_seq_length}: none of the {len(rows):,} rows has a token to train: the "
            "prompt fills it. Write a larger max_seq_length, or shorten the system message."
        )
    if empty:
        numbers = ", ".join(map(str, empty[:5])) + (" …" if len(empty) > 5 else "")
        logger.warning(
            f"{len(empty):,} of {len(rows):,} rows have no token to train, as the prompt takes max_seq_length = "
            f"{max_seq_length}: rows {numbers}. Write a larger max_seq_length."
        )


def pad_right(
    rows: list[list[int]],
    value: int,  # of the padding
) -> torch.Tensor:
    "Return a tensor (rows, longest row)"
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])


def pad_id(
    tokenizer: PreTrainedTokenizerBase,
) -> int:
    "Return the id of padding. It is masked by length, so that any id does"
    return next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)


@dataclass
class CausalCollator:
    """Pads `input_ids` and `labels` on the right to the longest of the batch, for decoders and encoder-decoders.

    The attention mask comes from the lengths, never from the ids: pad may be eos, and eos is trained.
    """

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, rows: list[dict]) -> BatchEncoding:
        ids = [row["input_ids"] for row in rows]
        batch = {
            "input_ids": pad_right(ids, pad_id(self.tokenizer)),
            "attention_mask": pad_right([[1] * len(row) for row in ids], 0),
        }
        if "labels" in rows[0]:
            batch["labels"] = pad_right([row["labels"] for row in rows], IGNORED)
        return BatchEncoding(batch)


# ------------------------------------------------------------------------------------------------------- packing


def fill_sequences(
    lengths: list[int],  # of the rows
    max_seq_length: int,  # of a sequence
) -> list[list[int]]:
    "Return the numbers of the rows in each sequence: every row goes to the first that has room"
    sequences, room = [], []
    for number, length in enumerate(lengths):
        first = next((i for i, free in enumerate(room) if free >= length), None)
        if first is None:
            first = len(room)
            sequences.append([])
            room.append(max_seq_length)
        sequences[first].append(number)
        room[first] -= length
    return sequences


def pack(
    tokens: Dataset,  # from `tokenize_conversations`, for a decoder
    max_seq_length: int,  # in tokens
) -> Dataset:
    """Return sequences of several rows, with `position_ids` that restart at each row; for `PackedCollator`.

    The first token of a row is never trained: the token before it is another row's. Raises `UserError` if a row is
    longer than the limit.
    """
    lengths = [len(ids) for ids in tokens["input_ids"]]
    if max(lengths) > max_seq_length:
        number = next(i for i, length in enumerate(lengths, 1) if length > max_seq_length)
        raise UserError(
            f"max_seq_length = {max_seq_length}: row {number} has {lengths[number - 1]} tokens. "
            "Tokenise with the same max_seq_length."
        )
    return Dataset.from_list([join_rows(tokens.select(rows)) for rows in fill_sequences(lengths, max_seq_length)])


def join_rows(
    rows: Dataset,  # of one sequence
) -> dict:
    "Return the rows one after the other, with their positions"
    labels = [label for row in rows["labels"] for label in (IGNORED, *row[1:])]
    ids = [i for row in rows["input_ids"] for i in row]
    return {
        "input_ids": ids,
        "labels": labels,
        "position_ids": [at for row in rows["input_ids"] for at in range(len(row))],
        "length": len(ids),
        "trained": len(labels) - labels.count(IGNORED),
        "cut": sum(rows["cut"]) if "cut" in rows.column_names else 0,
    }


@dataclass
class PackedCollator:
    """Pads packed sequences and masks attention across their rows.

    Transformers finds packed rows by `position_ids` alone only without an attention mask and without a cache, which a
    model in training makes by default. So the mask is written out: (batch, 1, n, n), 0 or the lowest number, which
    eager and sdpa attention add to the scores. A sliding window is not applied within a row.
    """

    tokenizer: PreTrainedTokenizerBase
    dtype: torch.dtype = torch.float32  # of the mask: that of the weights, if they are not float32

    def __call__(self, rows: list[dict]) -> BatchEncoding:
        # a padding token has position 0: it is a row of its own and sees itself, so that no softmax is over nothing
        positions = pad_right([row["position_ids"] for row in rows], 0)
        row_numbers = (positions == 0).cumsum(-1)
        visible = (row_numbers[:, None, :, None] == row_numbers[:, None, None, :]).tril()
        mask = torch.zeros(visible.shape, dtype=self.dtype).masked_fill(~visible, torch.finfo(self.dtype).min)
        return BatchEncoding(
            {
                "input_ids": pad_right([row["input_ids"] for row in rows], pad_id(self.tokenizer)),
                "attention_mask": mask,
                "position_ids": positions,
                "labels": pad_right([row["labels"] for row in rows], IGNORED),
            }
        )
