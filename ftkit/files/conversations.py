"""Conversations for text generation, from what people bring: chats, instructions, pairs, marked turns, plain text.

A conversation is a list of {"role": "system", "user" or "assistant", "content": text} that ends with the assistant
turn to be learned. A row that would teach something else is refused by its number; a blank one is None.
"""

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from ftkit.checks.columns import SURROGATE, Profile, choose_text, find_named, profile, simplify
from ftkit.checks.texts import is_blank
from ftkit.errors import UserError
from ftkit.files.annotations import QUOTED
from ftkit.files.headers import clean_name
from ftkit.files.json_rows import DuplicateKey, decode, shorten
from ftkit.files.rows import Table, to_text

# names of columns as `plain_name` spells them
MESSAGES = {"message", "conversation"}
INSTRUCTIONS = {"instruction"}
INPUTS = {"input", "context"}  # next to an instruction
SYSTEMS = {"system", "system_prompt", "system_message"}
PROMPTS = INSTRUCTIONS | set(
    "prompt question query problem user human user_input user_message input context passage source src document "
    "article dialogue dialog text post body content report message utterance".split()
)
RESPONSES = set(
    "response answer completion output target tgt reply summary highlight abstract headline tldr solution "
    "translation generation assistant bot gpt chosen".split()
)
ASKS = INSTRUCTIONS | {"prompt", "question", "query", "problem"}  # such a column waits for a response
UNUSED = {"rejected"}  # the worse response of a preference
COLUMN_KEYS = {"prompt": "text_column_name", "response": "label_column_name", "conversation": "text_column_name"}

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "ai"), "assistant"),
}
TOOL_ROLES = set("tool function ipython observation tool_call tool_response function_call function_response".split())
TOOL_KEYS = ("tool_calls", "function_call", "tool_call_id", "audio")
ROLE_KEYS = ("role", "from")  # of OpenAI, of ShareGPT
CONTENT_KEYS = ("content", "value", "text")
TEXT_PARTS = ("text", "input_text", "output_text", None)  # types of a part of a content
ROLE_KEY = re.compile(r"['\"](role|from)['\"]")  # in a text that is a list of turns
TURNS_WANTED = 'Write [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}].'

# marks in a text, as a person writes them -> where a turn begins: the group is a word of `MARK_ROLES`
STYLES = {
    "### Human: and ### Assistant:": re.compile(r"###[ \t]*(Human|User|Assistant|System)[ \t]*:", re.I),
    "### Instruction: and ### Response:": re.compile(
        r"###[ \t]*(Instruction|Input|Context|Response|System)[ \t]*:", re.I
    ),
    "### Question: and ### Answer:": re.compile(r"###[ \t]*(Question|Input|Context|Answer|System)[ \t]*:", re.I),
    "<|im_start|>user and <|im_start|>assistant": re.compile(r"<\|im_start\|>[ \t]*(user|assistant|system)\b"),
    "[INST] and [/INST]": re.compile(r"(\[INST\]\s*<<SYS>>|<</SYS>>|\[/?INST\])"),
    # a line may also begin after a line break that is written as \n
    "Human: and Assistant:": re.compile(r"(?:^|\\n)[ \t]*(Human|User|Assistant|System)[ \t]*:", re.M),
    "USER: and ASSISTANT:": re.compile(r"\b(USER|ASSISTANT):"),  # Vicuna: in one line
}
MARK_ROLES = {
    **dict.fromkeys(("human", "user", "instruction", "question", "[inst]", "<</sys>>"), "user"),
    **dict.fromkeys(("assistant", "response", "answer", "[/inst]"), "assistant"),
    **dict.fromkeys(("system", "[inst]<<sys>>"), "system"),
    **dict.fromkeys(("input", "context"), "input"),  # what the turn of the user goes on with
}
START_MARKS = ("<s>",)
END_MARKS = ("<s>", "</s>", "<|im_end|>", "<|endoftext|>", "\\n", "\\r")
NEARLY_ALL = 0.9  # share of the cells
SAMPLE = 200  # cells that are looked at for turns

# https://cookbook.openai.com/examples/chat_finetuning_data_prep, "Format validation"; tools: the guide below
OPENAI_ROLES = ("system", "user", "assistant", "tool", "function")
OPENAI_KEYS = {"role", "content", "name", "weight", "function_call", "tool_calls", "tool_call_id"}
OPENAI_FEWEST = 10  # https://platform.openai.com/docs/guides/supervised-fine-tuning, "Right number of examples"
LINE_ENDS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}  # that JSON leaves as they are


@dataclass(frozen=True)
class Form:
    "How the rows of a table hold conversations"

    name: str  # a key of `FORMS`
    prompt: tuple[str, ...]  # columns; one named system among several is the system turn
    response: str | None  # column; None if the column of the prompt holds all
    how: str  # the columns and how they were chosen, for one log line


def choose_form(
    table: Table,  # the rows
    text_column_name: str | None = None,  # of the prompt or the conversation; several with commas are joined
    label_column_name: str | None = None,  # of the response
) -> Form:
    "Return the form of a table's rows. Raises `UserError` if no column would do, or if several would"
    prompt = resolve_prompt(table, text_column_name)
    response = None if label_column_name is None else find_named(table, label_column_name, "label_column_name")
    if response in prompt:
        raise UserError(
            f"{table.source}: '{response}' is given as text_column_name and as label_column_name. "
            "Write the column of the prompt and the column of the response."
        )
    if not prompt and not response:
        refuse_rows_of_turns(table)
    found = (find(table, prompt, response) for find, _ in FORMS.values())
    return next(form for form in found if form)


def read_conversations(
    table: Table,  # the rows
    form: Form,  # from `choose_form`, for these rows or for those of the training split
) -> list[list[dict[str, str]] | None]:
    """Return a conversation for each row, None if the prompt or the response is blank.

    Raises `UserError` with the row for a conversation that cannot be trained on.
    """
    response = None if form.response is None else find_named(table, form.response, "label_column_name")
    prompt = tuple(find_named(table, name, "text_column_name") for name in form.prompt)
    _, open_reader = FORMS[form.name]
    read = open_reader(table, replace(form, prompt=prompt, response=response))
    return [read_row(table, row, read) for row in range(len(table))]


def read_row(
    table: Table,  # the rows
    row: int,  # from 0
    read: Callable[[int], list[dict[str, str]] | None],  # the reader of the form
) -> list[dict[str, str]] | None:
    "Return the conversation of a row. Raises `UserError` with the row's number"
    try:
        return read(row)
    except UserError as e:
        raise UserError(f"{table.source}, row {table.number(row)}: {e}") from None


def read_prompts(
    table: Table,  # rows to answer; the response is not needed
    form: Form,  # of the training rows
) -> list[list[dict[str, str]]]:
    "Return for each row the turns before the answer; of plain text the text itself. Raises `UserError` with the row"
    names = [n for n in table.columns if plain_name(n) in map(plain_name, form.prompt)]
    if not names and len(table.columns) == 1:  # texts alone
        names = list(table.columns)
    if not names:
        raise UserError(
            f"{table.source}: has no column '{form.prompt[0]}', which the training rows have. "
            f"Columns: {', '.join(table.columns)}. Rename the one that is meant."
        )
    read = partial(PROMPT_READERS[form.name], table, replace(form, prompt=tuple(names)))
    return [read_row(table, row, read) for row in range(len(table))]


def read_asked(table: Table, form: Form, row: int) -> list[dict[str, str]]:
    "Return the turns that a row of prompt columns asks"
    cells = {n: table.columns[n][row] for n in form.prompt}
    system = [n for n in cells if plain_name(n) in SYSTEMS and len(cells) > 1]
    asked = read_prompt({n: cell for n, cell in cells.items() if n not in system})
    return add_system(asked, {n: cells[n] for n in system}) if asked else []


def read_started(table: Table, form: Form, row: int) -> list[dict[str, str]]:
    "Return the turns of a row with a list of them, without the answer if it is there"
    *system, name = form.prompt
    cell = table.columns[name][row]
    if isinstance(cell, str) and not is_list(cell):
        return [{"role": "user", "content": clean(cell)}]
    turns = [] if is_blank(cell) else read_turns(parse_turns(cell))
    turns = add_system(turns, {n: table.columns[n][row] for n in system}) if turns else []
    return turns[:-1] if turns and turns[-1]["role"] == "assistant" else turns


def read_marked(table: Table, form: Form, row: int) -> list[dict[str, str]]:
    "Return the turns of a row whose text marks them, without the answer; of a text without marks one turn of the user"
    (name,) = form.prompt
    text = "" if is_blank(table.columns[name][row]) else read_text(table.columns[name][row], name)
    style = next((style for style, marks in STYLES.items() if marks.search(text)), None)
    turns = split_turns(text, style) if style else [{"role": "user", "content": text}] if text else []
    return turns[:-1] if turns and turns[-1]["role"] == "assistant" else turns


def read_begun(table: Table, form: Form, row: int) -> list[dict[str, str]]:
    "Return the text of a row, to be continued"
    cell = table.columns[form.prompt[0]][row]
    return [] if is_blank(cell) else [{"role": "assistant", "content": read_text(cell, form.prompt[0])}]


PROMPT_READERS = {  # name of the form -> reader of one row
    "messages": read_started,
    "instruction": read_asked,
    "pair": read_asked,
    "turns": read_marked,
    "text": read_begun,
}


# --- names of columns ---


def plain_name(
    name: str,  # of a column
) -> str:
    "Return a column name in lower case, in the singular, without `_text` and without the number of a repeated name"
    return re.sub(r"_\d+$", "", simplify(clean_name(str(name)))).removesuffix("_text").removesuffix("s")


def pick_named(
    table: Table,  # the rows
    names: set[str],  # plain names
    without: Iterable[str] = (),  # columns that hold something else
) -> list[str]:
    "Return the columns with one of these names"
    return [n for n in table.columns if n not in without and plain_name(n) in names]


def resolve_prompt(
    table: Table,  # the rows
    wanted: str | None,  # one name, or several with commas
) -> tuple[str, ...]:
    "Return the columns that the user named, as the table spells them. Raises `UserError` if there is no such column"
    if wanted is None:
        return ()
    parts = [wanted] if wanted in table.columns else [p.strip() for p in wanted.split(",")]
    return tuple(dict.fromkeys(find_named(table, part, "text_column_name") for part in parts))


def settle(
    table: Table,  # the rows
    names: list[str],  # columns that would do
    what: str,  # a key of `COLUMN_KEYS`
) -> str | None:
    "Return the only column that would do, None if there is none. Raises `UserError` for a tie"
    if len(names) > 1:
        copies = {tuple(map(str, table.columns[n])): n for n in reversed(names)}
        names = [n for n in names if n in copies.values()]
        names = [n for n in names if is_candidate(n, profile(table.columns[n]))] or names
    if len(names) > 1:
        raise tie(table, names, what)
    return names[0] if names else None


def is_candidate(
    name: str,  # of a column that has rivals
    seen: Profile,  # of its values
) -> bool:
    "Return whether a column asks by its name, or has mostly different texts: no ids, dates and names of sources"
    varied = seen.odd < 0.5 and seen.distinct > min(20, seen.rows / 5) and (seen.distinct > 1 or seen.rows == 1)
    return seen.rows > 0 and (varied or plain_name(name) in ASKS)


def tie(
    table: Table,  # the rows
    names: list[str],  # columns that would do
    what: str,  # a key of `COLUMN_KEYS`
) -> UserError:
    "Return the error for several columns that would do"
    both = f", or both: text_column_name = {', '.join(names[:2])}" if what == "prompt" else ""
    return UserError(
        f"{table.source}: '{names[0]}' and '{names[1]}' would both do as the {what}. "
        f"Write {COLUMN_KEYS[what]} = one of them{both}."
    )


def quote_names(
    names: Iterable[str],  # of columns
) -> str:
    "Return names in quotes as a list for a person"
    return ", ".join(f"'{n}'" for n in names)


def refuse_rows_of_turns(
    table: Table,  # the rows
) -> None:
    "Raise `UserError` if each row is a turn: a column of roles next to one of contents"
    for name in pick_named(table, set(ROLE_KEYS)):
        contents = pick_named(table, set(map(plain_name, CONTENT_KEYS)), without=[name])
        roles = {simplify(v) for v in table.columns[name] if not is_blank(v)}
        if contents and roles and roles <= ROLES.keys() | TOOL_ROLES:
            raise UserError(
                f"{table.source}: each row is one turn ('{name}', '{contents[0]}'), not a conversation. Write a row "
                "for each conversation, with the list of its turns in a column 'messages'."
            )


# --- lists of messages ---


def find_messages(
    table: Table,  # the rows
    prompt: tuple[str, ...],  # columns that the user named
    response: str | None,  # column that the user named
) -> Form | None:
    "Return the form of a column with lists of turns, by its name or by its cells, or None"
    if response or len(prompt) > 1:
        return None
    names = prompt or [n for n in table.columns if plain_name(n) not in UNUSED]
    named = [n for n in names if plain_name(n) in MESSAGES and is_mostly(is_list, table.columns[n], 0.5)]
    is_pair = not prompt and pick_named(table, PROMPTS) and pick_named(table, RESPONSES)
    found = named or ([] if is_pair else [n for n in names if is_mostly(is_turns, table.columns[n])])
    if len(found) > 1:
        raise tie(table, found, "conversation")
    if not found:
        return None
    system = find_system(table, found)
    how = "as given" if prompt else "by name" if named else "by content"
    how = f"conversations in '{found[0]}', {how}" + (f"; system turns in '{system[0]}'" if system else "")
    return Form("messages", (*system, *found), None, how)


def is_list(
    value: object,  # a cell
) -> bool:
    "Return whether a cell is a list, or a text that begins as one"
    if isinstance(value, str):
        return clean(value).startswith(("[", "{"))
    return isinstance(to_list(value), list | dict)


def is_mostly(
    is_kind: Callable[[object], bool],  # of a cell
    values: list,  # of a column
    share: float = NEARLY_ALL,  # of the cells that are not blank
) -> bool:
    "Return whether nearly all cells of a column are of a kind"
    filled = sample(values)
    return bool(filled) and sum(map(is_kind, filled)) >= share * len(filled)


def sample(
    values: list,  # of a column
) -> list:
    "Return the first cells that are not blank"
    return list(islice((v for v in values if not is_blank(v)), SAMPLE))


def is_turns(
    value: object,  # a cell
) -> bool:
    "Return whether a cell is a list of objects with a role"
    if not is_list(value) or isinstance(value, str) and not ROLE_KEY.search(value):
        return False
    try:
        turns = parse_turns(value)
    except UserError:
        return False
    return len(turns) > 0 and all(isinstance(t, dict) and any(k in t for k in ROLE_KEYS) for t in turns)


def open_messages(
    table: Table,  # the rows
    form: Form,  # messages
) -> Callable[[int], list[dict[str, str]] | None]:
    "Return the reader of rows with lists of turns"
    *system, name = form.prompt

    def read(row):
        cell = table.columns[name][row]
        turns = [] if is_blank(cell) else parse_turns(cell)
        if not turns:
            return None
        return check(add_system(read_turns(turns), {n: table.columns[n][row] for n in system}))

    return read


def parse_turns(
    value: object,  # a cell: a list, an array, JSON or Python text of a list
) -> list:
    "Return the turns in a cell. Raises `UserError` if it is no list"
    value = parse_literal(value) if isinstance(value, str) else value
    if isinstance(value, dict):
        value = unpack_object(value)
    value = to_list(value)
    if not isinstance(value, list):
        raise UserError(f"expected a list of turns, found {shorten(str(value))}. {TURNS_WANTED}")
    return value


def to_list(
    value: object,  # an array, a tuple or anything else
) -> object:
    "Return an array or a tuple as a list, and any other value as it is"
    value = value.tolist() if hasattr(value, "tolist") else value
    return list(value) if isinstance(value, tuple) else value


def parse_literal(
    text: str,  # a cell
) -> object:
    "Return the value that a text writes in JSON or Python, or as numpy prints it: without commas between objects"
    text = clean(text)
    for parse in (decode, ast.literal_eval, lambda t: ast.literal_eval(add_commas(t))):
        try:
            return parse(text)
        except DuplicateKey as e:
            raise UserError(str(e)) from None
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def add_commas(
    text: str,  # of an array
) -> str:
    "Return a text with a comma between two objects, outside of quotes"
    return re.sub(rf"({QUOTED})|\}}\s*(?=\{{)", lambda found: found[1] or "}, ", text)


def unpack_object(
    value: dict,  # a cell
) -> object:
    "Return the turns in an object: {messages: [...]}, or the lists {role: [...], content: [...]} of a Parquet file"
    for key, inner in value.items():
        if plain_name(key) in MESSAGES:
            return inner
    lists = {key: to_list(inner) for key, inner in value.items()}
    same = all(isinstance(v, list) for v in lists.values()) and len({len(v) for v in lists.values()}) == 1
    return [dict(zip(lists, turn)) for turn in zip(*lists.values())] if same else value


def read_turns(
    turns: list,  # as `parse_turns` returns them
) -> list[dict[str, str]]:
    "Return turns with our roles. Leaves out an empty system turn at the start. Raises `UserError` for any other form"
    messages = [read_turn(turn, number) for number, turn in enumerate(turns, 1)]
    if to_text(turns[-1].get("weight")) in ("0", "0.0"):  # of OpenAI: 1 or 0, for turns of the assistant
        raise UserError("the last turn has the weight 0: it is not to be learned. Cut it, or write the weight 1.")
    if len(messages) > 1 and messages[0]["role"] == "system" and is_blank(messages[0]["content"]):
        return messages[1:]
    return messages


def read_turn(
    turn: object,  # with the keys of OpenAI or of ShareGPT
    number: int,  # from 1, for messages
) -> dict[str, str]:
    "Return a turn with our role and its content as text. Raises `UserError` for calls of tools and for images"
    if not isinstance(turn, dict):
        raise UserError(f"turn {number} is {shorten(str(turn))}, not an object with a role. {TURNS_WANTED}")
    if tools := [key for key in TOOL_KEYS if to_list(turn.get(key))]:
        raise UserError(f"turn {number} has {tools[0]}: only text is trained. Leave the row out.")
    return {"role": read_role(turn, number), "content": read_content(get_first(turn, CONTENT_KEYS), number)}


def get_first(
    turn: dict,  # of a conversation
    keys: tuple[str, ...],  # of which it has one
) -> object:
    "Return the value of the first key that has one, or None: a Parquet file gives each turn the keys of all"
    return next((turn[key] for key in keys if turn.get(key) is not None), None)


def read_role(
    turn: dict,  # of a conversation
    number: int,  # from 1, for messages
) -> str:
    "Return system, user or assistant. Raises `UserError` for another role"
    role = get_first(turn, ROLE_KEYS)
    if role is None:
        raise UserError(f"turn {number} has no role (keys: {', '.join(map(str, turn))}). {TURNS_WANTED}")
    word = simplify(role)
    if word in TOOL_ROLES:
        raise UserError(f"turn {number} has the role {word}: calls of tools are not trained. Leave the row out.")
    if word not in ROLES:
        raise UserError(f"turn {number} has the role '{shorten(str(role))}'. Write system, user or assistant.")
    return ROLES[word]


def read_content(
    value: object,  # a text, a list of parts, or None
    number: int,  # of the turn, for messages
) -> str:
    "Return a content as one text. Raises `UserError` for an image and other parts that are no text"
    parts = [value] if isinstance(value, dict) else to_list(value)
    if isinstance(parts, list):
        return clean("".join(read_part(part, number) for part in parts))
    return clean(value)


def read_part(
    part: object,  # of a content
    number: int,  # of the turn, for messages
) -> str:
    "Return the text of a part. Raises `UserError` for an image and anything else"
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and part.get("type") in TEXT_PARTS and isinstance(part.get("text"), str):
        return part["text"]
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise UserError(f"turn {number} holds a part of type {kind}: only text is trained. Leave the part or the row out.")


def clean(
    value: object,  # a text, a number or None
) -> str:
    "Return a value as text without white space and byte order marks around it"
    text = to_text(value)
    return "" if text is None else str(text).strip().strip("\ufeff").strip()


# --- columns ---


def find_system(
    table: Table,  # the rows
    without: Iterable[str],  # columns that hold something else
) -> list[str]:
    "Return the column of system turns, none if there is no such column. Raises `UserError` for a tie"
    found = pick_named(table, SYSTEMS, without)
    if len(found) > 1:
        raise UserError(f"{table.source}: {quote_names(found[:2])} both hold system turns by name. Rename one.")
    return found


def find_instruction(
    table: Table,  # the rows
    prompt: tuple[str, ...],  # columns that the user named
    response: str | None,  # column that the user named
) -> Form | None:
    "Return the form of an instruction with its inputs and its response (Alpaca, Dolly), or None"
    asked, answer, how = choose_columns(table, prompt, response)
    if len(asked) != 1 or plain_name(asked[0]) not in INSTRUCTIONS:
        return None
    return make_form(table, "instruction", (*asked, *pick_named(table, INPUTS, without=[answer])), answer, how)


def find_pair(
    table: Table,  # the rows
    prompt: tuple[str, ...],  # columns that the user named
    response: str | None,  # column that the user named
) -> Form | None:
    "Return the form of a prompt and a response, or None"
    asked, answer, how = choose_columns(table, prompt, response)
    return make_form(table, "pair", asked, answer, how) if asked else None


def make_form(
    table: Table,  # the rows
    name: str,  # instruction or pair
    prompt: tuple[str, ...],  # columns, without the one of system turns unless the user named it
    response: str,  # column
    how: str,  # they were chosen
) -> Form:
    "Return the form of columns, with the column of system turns if there is one"
    given = name == "pair" and len(prompt) > 1
    prompt = prompt if given else (*find_system(table, [*prompt, response]), *prompt)
    return Form(name, prompt, response, f"{quote_names(prompt)} → '{response}', {how}")


def choose_columns(
    table: Table,  # the rows
    prompt: tuple[str, ...],  # columns that the user named
    response: str | None,  # column that the user named
) -> tuple[tuple[str, ...], str | None, str]:
    "Return the columns of prompt and response, and how they were chosen; no prompt if the rows are no pairs"
    if not response and len(prompt) == 1 and find_style(table.columns[prompt[0]]):
        return (), None, ""
    answer = response or settle(table, pick_named(table, RESPONSES, prompt), "response")
    if answer is None:
        refuse_missing_response(table, prompt)
        return (), None, ""
    asked, how = (prompt, "as given") if prompt else choose_prompt(table, answer, bool(response))
    ways = dict.fromkeys([how, "as given" if response else "by name"])
    return asked, answer, " and ".join(ways)


def choose_prompt(
    table: Table,  # the rows
    response: str,  # its column
    required: bool,  # whether the user named the response
) -> tuple[tuple[str, ...], str]:
    "Return the column of the prompt, and how it was chosen. Raises `UserError` for a tie, or if one is required"
    found = pick_named(table, PROMPTS, without=[response])
    found = [n for n in found if not any(is_rendering(table, n, part, response) for part in found)]
    if any(plain_name(n) in INSTRUCTIONS for n in found):
        found = [n for n in found if plain_name(n) not in INPUTS]
    others = [n for n in table.columns if n != response and plain_name(n) not in UNUSED | SYSTEMS | RESPONSES]
    texts = found or [n for n in others if profile(table.columns[n]).is_text]
    if chosen := settle(table, texts, "prompt"):
        return (chosen,), "by name" if found else "by content"
    if required:
        raise UserError(
            f"{table.source}: '{response}' is the response, and no column is the prompt by its name. "
            f"Columns: {', '.join(table.columns)}. Write text_column_name = one of them."
        )
    return (), ""


def is_rendering(
    table: Table,  # the rows
    name: str,  # a column
    part: str,  # another, of the prompt
    response: str,  # its column
) -> bool:
    "Return whether a column holds prompt and response together, as the column `text` of Alpaca does"
    cells = list(zip(*(table.columns[n][:SAMPLE] for n in (name, part, response))))
    cells = [c for c in cells if all(isinstance(v, str) and v.strip() for v in c)]
    both = sum(p.strip() in whole and r.strip() in whole and p != whole for whole, p, r in cells)
    return bool(cells) and both >= NEARLY_ALL * len(cells)


def refuse_missing_response(
    table: Table,  # the rows
    prompt: tuple[str, ...],  # columns that the user named
) -> None:
    "Raise `UserError` if a column asks for a response, no name says which one it is, and other columns hold texts"
    asks = [] if prompt else pick_named(table, ASKS)
    texts = [n for n in table.columns if n not in asks and profile(table.columns[n]).is_text]
    if asks and texts and not any(find_style(table.columns[n]) for n in table.columns):
        raise UserError(
            f"{table.source}: '{asks[0]}' is a prompt by its name, and no column is the response by its name. "
            f"Columns: {', '.join(table.columns)}. Write label_column_name = the response, "
            f"or text_column_name = {asks[0]} if it is plain text."
        )


def open_columns(
    table: Table,  # the rows
    form: Form,  # instruction or pair
) -> Callable[[int], list[dict[str, str]] | None]:
    "Return the reader of rows with a prompt and a response"
    system = [n for n in form.prompt if plain_name(n) in SYSTEMS and len(form.prompt) > 1]
    prompts = [n for n in form.prompt if n not in system]

    def read(row):
        cells = {n: table.columns[n][row] for n in (*form.prompt, form.response)}
        asked = read_prompt({n: cells[n] for n in prompts})
        answer = read_cell(cells[form.response], "assistant", form.response)
        if not asked or not answer:
            return None
        whole = any(m["role"] == "user" for m in answer)  # `chosen` of a preference repeats the prompt
        return check(add_system(answer if whole else asked + answer, {n: cells[n] for n in system}))

    return read


def read_prompt(
    cells: dict[str, object],  # column -> its cell
) -> list[dict[str, str]]:
    "Return the turns of a prompt; the texts of several columns are one turn, with a blank line between them"
    if len(cells) == 1:
        return [turn for name, cell in cells.items() for turn in read_cell(cell, "user", name)]
    text = join_cells(cells)
    return [{"role": "user", "content": text}] if text else []


def join_cells(
    cells: dict[str, object],  # column -> its cell
) -> str:
    "Return the texts of a row with a blank line between them, an empty text if all are blank"
    return "\n\n".join(read_text(cell, name) for name, cell in cells.items() if not is_blank(cell))


def read_cell(
    cell: object,  # a text, or a list of turns
    role: str,  # of a text
    column: str,  # for messages
) -> list[dict[str, str]]:
    "Return the turns in a cell, none if it is blank. Raises `UserError` for anything but a text and turns"
    if is_blank(cell):
        return []
    if not isinstance(cell, str) and is_turns(cell):
        return read_turns(parse_turns(cell))
    return [{"role": role, "content": read_text(cell, column)}]


def read_text(
    cell: object,  # of a column of texts
    column: str,  # for messages
) -> str:
    "Return a cell as text. Raises `UserError` for a list and an object"
    if isinstance(to_list(cell), list | dict):
        raise UserError(f"column '{column}': expected a text, found {type(cell).__name__}. Write one text a row.")
    return clean(cell)


def add_system(
    messages: list[dict[str, str]],  # a conversation
    cells: dict[str, object],  # column of system turns -> its cell; empty if there is none
) -> list[dict[str, str]]:
    "Return a conversation with the system turn of its row in front, unless it has its own"
    texts = [read_text(cell, name) for name, cell in cells.items() if not is_blank(cell)]
    if not texts or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": texts[0]}, *messages]


# --- turns marked in a text ---


def find_turns(
    table: Table,  # the rows
    prompt: tuple[str, ...],  # columns that the user named
    response: str | None,  # column that the user named
) -> Form | None:
    "Return the form of a column whose texts mark the turns, or None"
    if response or len(prompt) > 1:
        return None
    names = prompt or [n for n in table.columns if plain_name(n) not in UNUSED]
    found = [n for n in names if find_style(table.columns[n])]
    if len(found) > 1:
        raise tie(table, found, "conversation")
    if not found:
        return None
    how = "as given" if prompt else "by content"
    marks = find_style(table.columns[found[0]])
    return Form("turns", tuple(found), None, f"turns in '{found[0]}' after {marks}, {how}")


def find_style(
    values: list,  # of a column
) -> str | None:
    "Return the marks of user and assistant that nearly all texts of a column have, or None"
    share, style = rank_styles(values)
    return style if share >= NEARLY_ALL else None


def rank_styles(
    values: list,  # of a column
) -> tuple[float, str]:
    "Return the style that most texts have, with its share; of equal ones the first"
    texts = [v for v in sample(values) if isinstance(v, str)]
    shares = {style: sum(has_both(t, marks) for t in texts) for style, marks in STYLES.items()}
    best = max(shares, key=shares.get)
    return shares[best] / max(1, len(texts)), best


def has_both(
    text: str,  # a cell
    marks: re.Pattern,  # of a style
) -> bool:
    "Return whether a text marks a turn of the user and one of the assistant"
    return {"user", "assistant"} <= {role_of_mark(word) for word in marks.findall(text)}


def role_of_mark(
    word: str,  # of a mark
) -> str:
    "Return the role that a mark stands for"
    return MARK_ROLES[re.sub(r"\s", "", word).lower()]


def open_turns(
    table: Table,  # the rows
    form: Form,  # turns
) -> Callable[[int], list[dict[str, str]] | None]:
    "Return the reader of rows whose text marks the turns"
    (name,) = form.prompt
    cells = table.columns[name]
    _, style = rank_styles(cells)

    def read(row):
        return None if is_blank(cells[row]) else check(split_turns(read_text(cells[row], name), style))

    return read


def split_turns(
    text: str,  # a cell
    style: str,  # of the column
) -> list[dict[str, str]]:
    "Return the turns of a text; what comes before the first mark is the system turn"
    before, *rest = STYLES[style].split(text)
    if not rest:
        raise UserError(f"has no turns after {style}, which other rows have. Add the marks, or leave the row out.")
    messages = [{"role": "system", "content": trim(before)}] if trim(before) else []
    for word, content in zip(rest[::2], map(trim, rest[1::2])):
        role = role_of_mark(word)
        if role == "input" and messages and messages[-1]["role"] == "user":
            messages[-1]["content"] = "\n\n".join(filter(None, [messages[-1]["content"], content]))
        else:
            messages.append({"role": "user" if role == "input" else role, "content": content})
    return messages


def trim(
    text: str,  # between two marks
) -> str:
    "Return a turn without white space, end marks and, at its end, line breaks written as \\n"
    before = None
    while text != before:
        before, text = text, clean(text)
        for mark in START_MARKS:
            text = text.removeprefix(mark)
        for mark in END_MARKS:
            text = text.removesuffix(mark)
    return text


# --- plain text ---


def find_text(
    table: Table,  # the rows
    prompt: tuple[str, ...],  # columns that the user named
    response: str | None,  # column that the user named: `find_pair` has used it
) -> Form:
    "Return the form of plain text. Raises `UserError` if no column or several would do"
    unused = tuple(pick_named(table, UNUSED | SYSTEMS))
    try:
        names, how = (prompt, "as given") if prompt else choose_text(table, None, unused)
    except UserError as e:
        raise UserError(f"{e} If one of them is the response, write label_column_name.") from None
    return Form("text", tuple(names), None, f"plain text in {quote_names(names)}, {how}; no column of responses")


def open_text(
    table: Table,  # the rows
    form: Form,  # text
) -> Callable[[int], list[dict[str, str]] | None]:
    "Return the reader of rows with plain text, which is one turn of the assistant"

    def read(row):
        text = join_cells({n: table.columns[n][row] for n in form.prompt})
        return check([{"role": "assistant", "content": text}], [find_odd_turn]) if text else None

    return read


# --- what can be trained on ---


def check(
    messages: list[dict[str, str]],  # a conversation
    finders: Iterable[Callable] | None = None,  # of problems; default: all
) -> list[dict[str, str]]:
    "Return a conversation. Raises `UserError` if it cannot be trained on"
    for find in finders or PROBLEMS:
        if problem := find(messages):
            raise UserError(problem)
    return messages


def find_problem(
    messages: list[dict[str, str]],  # a conversation
) -> str | None:
    "Return why a conversation cannot be trained on, in words, or None. A single turn, as of plain text, is refused"
    return next(filter(None, (find(messages) for find in PROBLEMS)), None)


def find_odd_turn(messages: list[dict[str, str]]) -> str | None:
    "Return which turn has an unknown role, no content or half of a character"
    for number, message in enumerate(messages, 1):
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant"):
            return f"turn {number} has the role '{role}'. Write system, user or assistant."
        if not isinstance(content, str) or is_blank(content):
            return f"turn {number} ({role}) is empty. Write its text, or leave the row out."
        if not content.isascii() and SURROGATE.search(content):
            return f"turn {number} ({role}) holds half of a character (a lone surrogate such as \\ud83d). Remove it."
    return None


def find_late_system(messages: list[dict[str, str]]) -> str | None:
    "Return which system turn is not the first"
    late = [number for number, m in enumerate(messages, 1) if m["role"] == "system" and number > 1]
    return f"turn {late[0]} is a system turn, which only the first may be. Move it, or leave it out." if late else None


def find_repeated_role(messages: list[dict[str, str]]) -> str | None:
    "Return which turns of the same role follow each other"
    for number, (a, b) in enumerate(zip(messages, messages[1:]), 1):
        if a["role"] == b["role"]:
            return f"turns {number} and {number + 1} both have the role {a['role']}. Join them, or leave the row out."
    return None


def find_missing_role(messages: list[dict[str, str]]) -> str | None:
    "Return what is missing: a turn of the user, or the last turn of the assistant"
    roles = [m["role"] for m in messages]
    if "user" not in roles:
        return "has no turn of the user. Add what the assistant answers, or leave the row out."
    if roles[-1] != "assistant":
        return f"ends with a turn of the {roles[-1]}, which nothing answers. Cut it: the last turn is learned."
    return None


PROBLEMS = (find_odd_turn, find_late_system, find_repeated_role, find_missing_role)


# --- for people, files and OpenAI ---


def prompt_of(
    messages: list[dict[str, str]],  # a conversation
) -> str:
    "Return what comes before the last turn as a person reads it: one user turn alone, several with their roles"
    before = messages[:-1]
    if [m["role"] for m in before] == ["user"]:
        return before[0]["content"]
    return "\n".join(f"{m['role']}: {m['content']}" for m in before)


def response_of(
    messages: list[dict[str, str]],  # a conversation
) -> str:
    "Return the text of the last turn"
    return messages[-1]["content"]


def to_json(
    messages: list[dict[str, str]],  # a conversation
) -> str:
    "Return a conversation as one line of JSON that any file can hold: half of a character is its escape"
    text = json.dumps(messages, ensure_ascii=False).translate(LINE_ENDS)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def from_json(
    text: str,  # from `to_json`
) -> list[dict[str, str]]:
    "Return the conversation"
    return json.loads(text)


def to_openai(
    messages: list[dict[str, str]],  # a conversation
) -> dict[str, list[dict[str, str]]]:
    "Return a conversation as an example of OpenAI's fine-tuning file"
    return {"messages": [{"role": m["role"], "content": m["content"]} for m in messages]}


def validate_openai(
    lines: Iterable[str],  # of a JSONL file
) -> list[str]:
    "Return the problems of a fine-tuning file by OpenAI's rules, each with its line number; none if it is valid"
    lines = [line.removeprefix("\ufeff").strip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    problems = [f"line {n}: {why}" for n, line in enumerate(lines, 1) for why in find_line_problems(line)]
    examples = sum(map(bool, lines))
    if examples < OPENAI_FEWEST:
        few = f"the file ends after {examples} {'example' if examples == 1 else 'examples'}. "
        problems.append(f"line {max(1, len(lines))}: {few}OpenAI needs at least {OPENAI_FEWEST}: add some.")
    return problems


def find_line_problems(
    line: str,  # without spaces around it
) -> Iterator[str]:
    "Yield why a line is no example for OpenAI"
    try:
        example = json.loads(line)
    except (ValueError, RecursionError) as e:
        why = getattr(e, "msg", "a number or a list that is too long")
        yield f"is not JSON ({why}). Write one object." if line else "is blank. Delete it."
        return
    messages = example.get("messages") if isinstance(example, dict) else None
    if not isinstance(messages, list) or not messages:
        yield f'has no list of messages: {shorten(line)}. Write {{"messages": [...]}}.'
        return
    for number, message in enumerate(messages, 1):
        yield from [f"message {number}: {why}" for why in find_message_problems(message)]
    if not any(isinstance(m, dict) and m.get("role") == "assistant" for m in messages):
        yield "has no message of the assistant. Add what is to be learned."


def find_message_problems(
    message: object,  # of an example
) -> Iterator[str]:
    "Yield why a message does not follow OpenAI's rules"
    if not isinstance(message, dict):
        yield "is no object. Write role and content."
        return
    role, content, weight = (message.get(key) for key in ("role", "content", "weight"))
    if unknown := sorted(message.keys() - OPENAI_KEYS):
        yield f"has the unknown key '{unknown[0]}'. Remove it."
    if role not in OPENAI_ROLES:
        yield f"has the role {json.dumps(role)}. Write system, user or assistant."
    if not (isinstance(content, str) and content) and not (message.get("tool_calls") or message.get("function_call")):
        yield "has no content that is a text. Write one text."
    if "weight" in message and (role != "assistant" or isinstance(weight, bool) or weight not in (0, 1)):
        yield "has a weight. Write 0 or 1, and only for the assistant."


# name -> how it is found in a table, the first that fits; how its rows are read
FORMS = {
    "messages": (find_messages, open_messages),
    "instruction": (find_instruction, open_columns),
    "pair": (find_pair, open_columns),
    "turns": (find_turns, open_turns),
    "text": (find_text, open_text),
}
