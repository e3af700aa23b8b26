"Conversations: every form that people bring is recognised, ties and rows that teach something else are refused."

import json
import subprocess
import sys

import numpy as np
import pytest

from ftkit.errors import UserError
from ftkit.files.conversations import (
    FORMS,
    Form,
    choose_form,
    find_problem,
    from_json,
    prompt_of,
    read_conversations,
    read_prompts,
    response_of,
    to_json,
    to_openai,
    validate_openai,
)
from ftkit.files.json_rows import parse_json
from ftkit.files.rows import Table

ROLES = {"s": "system", "u": "user", "a": "assistant"}


def talk(*turns):
    'Return a conversation: talk("u hi", "a hello")'
    return [{"role": ROLES[t[0]], "content": t[2:]} for t in turns]


def sharegpt(*turns):
    'Return a conversation in the keys of ShareGPT: sharegpt("human hi", "gpt hello")'
    return [dict(zip(("from", "value"), t.split(" ", 1))) for t in turns]


def columns(**values):
    return Table(values, "a.csv")


def read(table, *names):
    return read_conversations(table, choose_form(table, *names))


def refuse(table, *names):
    "Return the message of the error for a table, which is one line"
    with pytest.raises(UserError) as caught:
        read(table, *names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


HI = talk("u hi", "a hello")
GREETED = talk("a Welcome!", "u hi", "a hello")
TWO = ["what is a loaf", "where is the bus"]
REPLIES = ["bread in one piece", "at the corner"]


def test_module_loads_no_model_libraries():
    code = (
        "import sys, ftkit.files.conversations as c; print({'torch', 'transformers', 'datasets'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


# --- the form of a table ---

CHOSEN = {
    "messages": ({"id": ["1"], "messages": [HI]}, "messages", ("messages",), None, "by name"),
    "conversations": ({"Conversations ": [HI]}, "messages", ("Conversations ",), None, "by name"),
    "messages before pairs": (
        {"prompt": ["hi"], "response": ["hello"], "messages": [HI]},
        "messages",
        ("messages",),
        None,
        "by name",
    ),
    "turns under another name": ({"chat": [HI, HI]}, "messages", ("chat",), None, "by content"),
    "json under another name": ({"dialog": [json.dumps(HI)]}, "messages", ("dialog",), None, "by content"),
    "only a preference": ({"chosen": [HI], "rejected": [HI]}, "messages", ("chosen",), None, "by content"),
    "history of a pair": (
        {"prompt": TWO, "response": REPLIES, "history": [HI, HI]},
        "pair",
        ("prompt",),
        "response",
        "by name",
    ),
    "system next to messages": (
        {"system": ["Be kind."], "conversations": [HI]},
        "messages",
        ("system", "conversations"),
        None,
        "system turns in 'system'",
    ),
    "alpaca": (
        {"instruction": TWO, "input": ["", "x"], "output": REPLIES, "text": TWO},
        "instruction",
        ("instruction", "input"),
        "output",
        "'instruction', 'input' → 'output', by name",
    ),
    "dolly": (
        {"instruction": TWO, "context": TWO, "response": REPLIES, "category": ["qa", "qa"]},
        "instruction",
        ("instruction", "context"),
        "response",
        "by name",
    ),
    "instruction alone": ({"Instruction": TWO, "Output": REPLIES}, "instruction", ("Instruction",), "Output", "→"),
    "instruction with system": (
        {"instruction": TWO, "output": REPLIES, "System Prompt": TWO},
        "instruction",
        ("System Prompt", "instruction"),
        "output",
        "by name",
    ),
    "orca": (
        {"id": ["1", "2"], "system_prompt": ["", "x"], "question": TWO, "response": REPLIES},
        "pair",
        ("system_prompt", "question"),
        "response",
        "by name",
    ),
    "input and output": ({"input": TWO, "output": REPLIES}, "pair", ("input",), "output", "by name"),
    "spaces and case": ({" PROMPT ": TWO, "Completion": REPLIES}, "pair", (" PROMPT ",), "Completion", "by name"),
    "byte order mark": ({"\ufeffprompt": TWO, "completion": REPLIES}, "pair", ("\ufeffprompt",), "completion", "→"),
    "plural": ({"Questions": TWO, "Answers": REPLIES}, "pair", ("Questions",), "Answers", "by name"),
    "T5": ({"input_text": TWO, "target_text": REPLIES}, "pair", ("input_text",), "target_text", "by name"),
    "source and target": ({"source": TWO, "target": REPLIES}, "pair", ("source",), "target", "by name"),
    "human and assistant": ({"human": TWO, "assistant": REPLIES}, "pair", ("human",), "assistant", "by name"),
    "news": ({"article": TWO, "highlights": REPLIES, "id": ["a", "b"]}, "pair", ("article",), "highlights", "by name"),
    "dialogue": ({"dialogue": TWO, "summary": REPLIES}, "pair", ("dialogue",), "summary", "by name"),
    "text and summary": (
        {"text": TWO, "summary": REPLIES, "title": REPLIES},
        "pair",
        ("text",),
        "summary",
        "by name",
    ),
    "preference": ({"prompt": TWO, "chosen": REPLIES, "rejected": TWO}, "pair", ("prompt",), "chosen", "by name"),
    "source is a site": (
        {"question": TWO * 30, "source": ["wikipedia", "reddit"] * 30, "answer": REPLIES * 30},
        "pair",
        ("question",),
        "answer",
        "by name",
    ),
    "a number is no rival": (
        {"problem": TWO, "solution": REPLIES, "answer": ["4", "12"]},
        "pair",
        ("problem",),
        "solution",
        "by name",
    ),
    "a copy is no rival": (
        {"prompt": TWO, "prompt.1": list(TWO), "response": REPLIES},
        "pair",
        ("prompt",),
        "response",
        "by name",
    ),
    "a rendering is no rival": (
        {"question": TWO, "answer": REPLIES, "text": [f"Q {q} A {a}" for q, a in zip(TWO, REPLIES)]},
        "pair",
        ("question",),
        "answer",
        "by name",
    ),
    "prompt by content": ({"title": TWO, "summary": REPLIES}, "pair", ("title",), "summary", "by content and by name"),
    "guanaco": ({"text": ["### Human: hi### Assistant: hello"]}, "turns", ("text",), None, "after ### Human:"),
    "hh-rlhf": (
        {"chosen": ["\n\nHuman: hi\n\nAssistant: hello"], "rejected": ["\n\nHuman: hi\n\nAssistant: no"]},
        "turns",
        ("chosen",),
        None,
        "after Human: and Assistant:, by content",
    ),
    "turns next to a source": (
        {"text": ["### Human: hi### Assistant: hello"] * 2, "source": ["web", "web"]},
        "turns",
        ("text",),
        None,
        "by content",
    ),
    "plain text": ({"text": TWO}, "text", ("text",), None, "by name; no column of responses"),
    "text and label": ({"text": TWO, "label": ["1", "0"]}, "text", ("text",), None, "by name"),
    "prompts to continue": ({"Prompt": TWO, "id": ["1", "2"]}, "text", ("Prompt",), None, "by content"),
    "messages that are texts": ({"Message": ["[Free] call now", *TWO]}, "text", ("Message",), None, "by name"),
    "marks in few cells": ({"text": ["Human: hi\nAssistant: ho", *TWO]}, "text", ("text",), None, "plain text"),
}


@pytest.mark.parametrize("values, name, prompt, response, how", CHOSEN.values(), ids=CHOSEN)
def test_form_is_recognised(values, name, prompt, response, how):
    form = choose_form(Table(values))
    assert (form.name, form.prompt, form.response) == (name, prompt, response)
    assert how in form.how and all(f"'{n}'" in form.how for n in prompt)


ALPACA = {
    "instruction": ["Add up.", "Say hello."],
    "input": ["1 + 1", ""],
    "output": ["two", "hello"],
    "text": [
        "Below.\n\n### Instruction:\nAdd up.\n\n### Input:\n1 + 1\n\n### Response:\ntwo",
        "Below.\n\n### Instruction:\nSay hello.\n\n### Response:\nhello",
    ],
}
GIVEN = {
    "both": ({"q1": TWO, "notes": REPLIES}, ("q1", "notes"), "pair", ("q1",), "notes", "as given"),
    "other case": ({"My Q": TWO, "My A": REPLIES}, ("my_q", "my a"), "pair", ("My Q",), "My A", "as given"),
    "over the usual names": (
        {"prompt": TWO, "response": REPLIES, "a": TWO, "b": REPLIES},
        ("a", "b"),
        "pair",
        ("a",),
        "b",
        "as given",
    ),
    "prompt alone": (
        {"question": TWO, "context": REPLIES, "answer": TWO},
        ("question",),
        "pair",
        ("question",),
        "answer",
        "as given and by name",
    ),
    "response alone": (
        {"prompt": TWO, "label": ["x", "y"]},
        (None, "label"),
        "pair",
        ("prompt",),
        "label",
        "by name and as given",
    ),
    "several prompts": (
        {"question": TWO, "context": REPLIES, "answer": TWO, "system": TWO},
        ("context, question",),
        "pair",
        ("context", "question"),
        "answer",
        "as given",
    ),
    "instruction keeps its input": (
        ALPACA,
        ("instruction", "output"),
        "instruction",
        ("instruction", "input"),
        "output",
        "as given",
    ),
    "marked text of alpaca": (ALPACA, ("text",), "turns", ("text",), None, "as given"),
    "messages": ({"a": [HI], "b": [HI]}, ("b",), "messages", ("b",), None, "as given"),
    "plain text": ({"question": TWO, "notes": REPLIES}, ("question",), "text", ("question",), None, "as given"),
    "a label of a text": ({"messages": [HI], "b": ["x"]}, ("messages", "b"), "pair", ("messages",), "b", "as given"),
    "a comma in a name": ({"a, b": TWO}, ("a, b",), "text", ("a, b",), None, "as given"),
}


@pytest.mark.parametrize("values, names, form, prompt, response, how", GIVEN.values(), ids=GIVEN)
def test_given_names_win(values, names, form, prompt, response, how):
    found = choose_form(Table(values), *names)
    assert (found.name, found.prompt, found.response) == (form, prompt, response) and how in found.how


AMBIGUOUS = {
    "prompts": (
        {"question": TWO, "context": REPLIES, "answer": TWO},
        (),
        "'question' and 'context' would both do as the prompt. Write text_column_name = one of them, "
        "or both: text_column_name = question, context.",
    ),
    "responses": (
        {"prompt": TWO, "output": REPLIES, "answer": TWO},
        (),
        "'output' and 'answer' would both do as the response. Write label_column_name = one of them.",
    ),
    "the same name twice": (
        {"Prompt": TWO, "prompt ": REPLIES, "response": TWO},
        (),
        "'Prompt' and 'prompt ' would both do as the prompt",
    ),
    "a name that pandas numbered": (
        {"prompt": TWO, "response": REPLIES, "response.1": TWO},
        (),
        "'response' and 'response.1' would both do as the response",
    ),
    "a constant instruction and a question": (
        {"instruction": ["Translate it."] * 2, "question": TWO, "answer": REPLIES},
        (),
        "'instruction' and 'question' would both do as the prompt",
    ),
    "messages and conversations": (
        {"messages": [HI], "conversations": [GREETED]},
        (),
        "'messages' and 'conversations' would both do as the conversation. Write text_column_name = one of them.",
    ),
    "marked texts": (
        {"a": ["Human: hi\nAssistant: ho"], "b": ["Human: hi\nAssistant: oh"]},
        (),
        "'a' and 'b' would both do as the conversation",
    ),
    "plain texts": (
        {"title": TWO, "poem": REPLIES},
        (),
        "would both do as text. Write text_column_name = one of them, or both: text_column_name = poem, title. "
        "If one of them is the response, write label_column_name.",
    ),
    "prompt without response": (
        {"question": TWO, "notes": REPLIES},
        (),
        "'question' is a prompt by its name, and no column is the response by its name. Columns: question, notes. "
        "Write label_column_name = the response, or text_column_name = question if it is plain text.",
    ),
    "response without prompt": (
        {"n": ["1", "2"], "notes": REPLIES},
        (None, "notes"),
        "'notes' is the response, and no column is the prompt by its name. Columns: n, notes. "
        "Write text_column_name = one of them.",
    ),
    "two systems": (
        {"system": TWO, "system_prompt": TWO, "prompt": TWO, "response": REPLIES},
        (),
        "'system', 'system_prompt' both hold system turns by name. Rename one.",
    ),
    "one column for both": (
        {"prompt": TWO},
        ("prompt", "prompt"),
        "'prompt' is given as text_column_name and as label_column_name. Write the column of the prompt and",
    ),
    "no such prompt": (
        {"prompt": TWO},
        ("promt",),
        "text_column_name = promt: there is no such column. Did you mean 'prompt'? Columns: prompt.",
    ),
    "no such response": (
        {"prompt": TWO},
        (None, "answer"),
        "label_column_name = answer: there is no such column. Columns: prompt.",
    ),
    "one turn a row": (
        {"chat_id": ["1", "1"], "role": ["user", "assistant"], "content": ["hi", "hello"]},
        (),
        "each row is one turn ('role', 'content'), not a conversation. Write a row for each conversation, "
        "with the list of its turns in a column 'messages'.",
    ),
}


@pytest.mark.parametrize("values, names, message", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_unclear_columns_are_refused(values, names, message):
    said = refuse(columns(**values), *names)
    assert said.startswith("a.csv: ") and message in said


# --- lists of messages ---

PARTS = [{"type": "text", "text": "What is "}, {"type": "text", "text": "a loaf? ", "image_url": None}]
CELLS = {
    "openai": (talk("s Be kind.", "u hi", "a hello"), talk("s Be kind.", "u hi", "a hello")),
    "sharegpt": (sharegpt("system Be kind.", "human hi", "gpt hello"), talk("s Be kind.", "u hi", "a hello")),
    "other roles": (sharegpt("User hi", "chatgpt hello", "prompter more", "BOT no"), HI + talk("u more", "a no")),
    "developer": ([{"role": "developer", "content": "Be kind."}, *HI], talk("s Be kind.", *["u hi", "a hello"])),
    "greeting": (sharegpt("gpt Welcome!", "human hi", "gpt hello"), GREETED),
    "greeting after system": (
        talk("s Be kind.", "a Hey", "u hi", "a yes"),
        talk("s Be kind.", "a Hey", "u hi", "a yes"),
    ),
    "white space": (talk("u \n hi \t", "a \ufeff hello \r\n"), HI),
    "inner white space": (talk("u a\n\n b\\n", "a  x  y"), talk("u a\n\n b\\n", "a x  y")),
    "parts": ([{"role": "user", "content": PARTS}, talk("a bread")[0]], talk("u What is a loaf?", "a bread")),
    "parts in arrays": (
        [{"role": "user", "content": np.array(PARTS, object)}, talk("a bread")[0]],
        talk("u What is a loaf?", "a bread"),
    ),
    "number": ([{"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": 4}], talk("u 2 + 2", "a 4")),
    "array": (np.array(HI, object), HI),
    "tuple": (tuple(HI), HI),
    "keys of all turns": (
        [{**t, "from": None, "value": None, "name": None, "tool_calls": np.array([])} for t in HI],
        HI,
    ),
    "lists by key": ({"from": ["human", "gpt"], "value": np.array(["hi", "hello"])}, HI),
    "object with messages": ({"id": 7, "messages": HI}, HI),
    "empty system turn": (talk("s ", "u hi", "a hello"), HI),
    "weights": ([{**HI[0]}, {**HI[1], "weight": 1}], HI),
    "json": (json.dumps(sharegpt("human it's", 'gpt "x"\n\\n')), talk("u it's", 'a "x"\n\\n')),
    "json with a byte order mark": ("\ufeff " + json.dumps(HI), HI),
    "json with a line break in a text": (
        '[{"role": "user", "content": "a\nb"}, {"from": "gpt", "value": "c"}]',
        talk("u a\nb", "a c"),
    ),
    "python": (str(talk("u it's", "a a\nb")), talk("u it's", "a a\nb")),
    "numpy": (
        "[{'role': 'user', 'content': 'a } { b'}\n {'role': 'assistant', 'content': \"it's\"}]",
        talk("u a } { b", "a it's"),
    ),
}


@pytest.mark.parametrize("cell, messages", CELLS.values(), ids=CELLS)
def test_lists_of_turns_are_read(cell, messages):
    assert read(columns(messages=[cell])) == [messages]


def test_rows_without_turns_are_none():
    cells = [HI, None, float("nan"), "", " \n", [], "[]", np.array([]), {"role": [], "content": []}]
    assert read(columns(messages=[json.dumps(HI)] * 10 + cells)) == [HI] * 11 + [None] * 8


def test_system_column_begins_conversation():
    own = talk("s Mine.", "u hi", "a hello")
    table = columns(conversations=[HI, HI, own, None], system=["Be kind. ", None, "Be kind.", "x"])
    assert read(table) == [talk("s Be kind.") + HI, HI, own, None]


def test_json_file_is_read():
    rows = [{"conversations": sharegpt("human hi", "gpt hello"), "id": n} for n in range(2)]
    assert read(parse_json("\n".join(map(json.dumps, rows)), "a.jsonl", "utf-8")) == [HI, HI]


TURNS = 'Write [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}].'
REFUSED = {
    "unknown role": (
        sharegpt("human hi", "narrator so it went"),
        "turn 2 has the role 'narrator'. Write system, user or assistant.",
    ),
    "no role": ([{"content": "hi"}, *HI], f"turn 1 has no role (keys: content). {TURNS}"),
    "tool": (
        [*HI[:1], {"role": "tool", "content": "4"}, *HI[1:]],
        "turn 2 has the role tool: calls of tools are not trained. Leave the row out.",
    ),
    "function call": (sharegpt("human hi", "function_call {}"), "turn 2 has the role function_call: calls of tools"),
    "observation": (sharegpt("human hi", "observation {}"), "turn 2 has the role observation: calls of tools"),
    "tool calls": (
        [HI[0], {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}],
        "turn 2 has tool_calls: only text is trained. Leave the row out.",
    ),
    "image": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, HI[1]],
        "turn 1 holds a part of type image_url: only text is trained. Leave the part or the row out.",
    ),
    "part that is a number": ([{"role": "user", "content": [1]}, HI[1]], "turn 1 holds a part of type int"),
    "content is an object": ([{"role": "user", "content": {"x": 1}}, HI[1]], "turn 1 holds a part of type None"),
    "empty": (talk("u hi", "a  "), "turn 2 (assistant) is empty. Write its text, or leave the row out."),
    "invisible": (talk("u \u200b", "a hello"), "turn 1 (user) is empty"),
    "no content": ([{"role": "user"}, HI[1]], "turn 1 (user) is empty"),
    "half of a character": (
        talk("u hi", "a x \ud83d"),
        r"turn 2 (assistant) holds half of a character (a lone surrogate such as \ud83d). Remove it.",
    ),
    "two of the user": (
        talk("u hi", "u hey", "a hello"),
        "turns 1 and 2 both have the role user. Join them, or leave the row out.",
    ),
    "two of the assistant": (talk("u hi", "a one", "a two"), "turns 2 and 3 both have the role assistant"),
    "late system": (
        talk("u hi", "s Be kind.", "a hello"),
        "turn 2 is a system turn, which only the first may be. Move it, or leave it out.",
    ),
    "two systems": (talk("s a", "s b", "u hi", "a hello"), "turn 2 is a system turn"),
    "no user": (talk("s Be kind.", "a hello"), "has no turn of the user. Add what the assistant answers, or"),
    "only the assistant": (talk("a hello"), "has no turn of the user"),
    "trailing user": (
        [*HI, *talk("u thanks")],
        "ends with a turn of the user, which nothing answers. Cut it: the last turn is learned.",
    ),
    "weight 0": (
        [HI[0], {**HI[1], "weight": 0}],
        "the last turn has the weight 0: it is not to be learned. Cut it, or write the weight 1.",
    ),
    "text": ("hello", f"expected a list of turns, found hello. {TURNS}"),
    "number": (4, "expected a list of turns, found 4."),
    "cut json": (json.dumps(HI)[:30], 'expected a list of turns, found [{"role": "user", "content": ". Write'),
    "object": ({"role": "user", "content": "hi"}, "expected a list of turns, found {'role': 'user'"),
    "nested too deeply": ("[" * 100_000, "expected a list of turns, found [[["),
    "texts": (["hi", "hello"], f"turn 1 is hi, not an object with a role. {TURNS}"),
    "a key twice": (
        '[{"role": "user", "role": "assistant", "content": "x"}]',
        "an object has the key 'role' twice. Delete one, or rename it.",
    ),
}


@pytest.mark.parametrize("cell, message", REFUSED.values(), ids=REFUSED)
def test_untrainable_conversations_are_refused(cell, message):
    table = Table({"messages": [HI, cell]}, "chats.jsonl", numbers=[3, 7])
    said = refuse(table)
    assert said.startswith("chats.jsonl, row 7: ") and message in said


# --- columns ---


def test_input_follows_instruction():
    table = columns(**ALPACA, system=["Be kind.", float("nan")])
    expected = [talk("s Be kind.", "u Add up.\n\n1 + 1", "a two"), talk("u Say hello.", "a hello")]
    assert read(table) == expected


PAIRS = {
    "texts": ({"prompt": [" a\n b "], "response": ["c\\n"]}, (), [talk("u a\n b", "a c\\n")]),
    "blank": (
        {"prompt": ["a", "", None, "b", "\u200b"], "response": [None, "x", "y", "\ufeff", "z"]},
        (),
        [None] * 5,
    ),
    "missing": ({"prompt": [float("nan"), "a"], "response": ["x", float("nan")]}, (), [None, None]),
    "numbers": (
        {"question": ["2 + 2", "1 + 1"], "answer": [4, "2.0"]},
        (),
        [talk("u 2 + 2", "a 4"), talk("u 1 + 1", "a 2.0")],
    ),
    "system": (
        {"system_prompt": ["Be kind.", ""], "question": ["a b", "c d"], "response": ["x", "y"]},
        (),
        [talk("s Be kind.", "u a b", "a x"), talk("u c d", "a y")],
    ),
    "joined": (
        {"question": ["q", "q", None], "context": ["c", None, " "], "answer": ["x", "y", "z"]},
        ("context, question",),
        [talk("u c\n\nq", "a x"), talk("u q", "a y"), None],
    ),
    "lists of turns": (
        {"prompt": [HI + talk("u more")], "completion": [talk("a yes")]},
        (),
        [HI + talk("u more", "a yes")],
    ),
    "preference with the prompt in it": ({"prompt": ["hi"], "chosen": [HI], "rejected": [HI]}, (), [HI]),
    "list and text": ({"history": [talk("u hi")], "reply": ["hello"]}, ("history", "reply"), [HI]),
    "no response anywhere": ({"prompt": TWO, "response": [None, ""]}, (), [None, None]),
}


@pytest.mark.parametrize("values, names, expected", PAIRS.values(), ids=PAIRS)
def test_pairs_are_read(values, names, expected):
    assert read(columns(**values), *names) == expected


def test_text_before_instruction_may_be_blank():
    assert read(columns(instruction=[""], input=["1 + 1"], output=["2"])) == [talk("u 1 + 1", "a 2")]


ODD_PAIRS = {
    "squad": (
        {"question": ["q"], "answers": [{"text": ["x"]}]},
        (),
        "column 'answers': expected a text, found dict. Write one text a row.",
    ),
    "list": ({"prompt": ["q"], "response": [["x", "y"]]}, (), "column 'response': expected a text, found list"),
    "joined list": (
        {"question": ["q"], "context": [["x", "y"]], "answer": ["x"]},
        ("context, question",),
        "column 'context': expected a text, found list",
    ),
    "system": (
        {"system": [{"x": 1}], "prompt": ["q"], "response": ["x"]},
        (),
        "column 'system': expected a text, found dict",
    ),
    "half of a character": ({"prompt": ["q"], "response": ["x \ud83d"]}, (), "turn 2 (assistant) holds half of a"),
    "unanswered": (
        {"prompt": [HI], "response": ["x"]},
        (),
        "turns 2 and 3 both have the role assistant",
    ),
    "list as plain text": ({"dialog": [["hi", "hello"]]}, (), "column 'dialog': expected a text, found list"),
    "turns as plain text": ({"text": [HI, "a", "b"]}, (), "column 'text': expected a text, found list"),
    "half of a character in plain text": ({"text": ["x \ud83d"]}, (), "turn 1 (assistant) holds half of a character"),
}


@pytest.mark.parametrize("values, names, message", ODD_PAIRS.values(), ids=ODD_PAIRS)
def test_odd_cells_are_refused(values, names, message):
    said = refuse(columns(**values), *names)
    assert said.startswith("a.csv, row 1: ") and message in said


# --- marked turns and plain text ---

MARKED = {
    "guanaco": ("### Human: hi there### Assistant: hello\n", talk("u hi there", "a hello")),
    "user": ("### User:\nhi\n\n### Assistant:\nhello", HI),
    "several": ("### Human: hi### Assistant: hello### Human: more### Assistant: no", HI + talk("u more", "a no")),
    "alpaca": (ALPACA["text"][0], talk("s Below.", "u Add up.\n\n1 + 1", "a two")),
    "no input": (ALPACA["text"][1], talk("s Below.", "u Say hello.", "a hello")),
    "system mark": ("### System: Be kind.\n### Human: hi\n### Assistant: hello", talk("s Be kind.") + HI),
    "question": ("### Question: hi\n### Answer: hello", HI),
    "human": ("\n\nHuman: hi\n\nAssistant: hello", HI),
    "user lines": (
        "User: hi\nAssistant: I said: User: x\nUser: y\nAssistant: z",
        talk("u hi", "a I said: User: x", "u y", "a z"),
    ),
    "written line breaks": (r"User: hi\nAssistant: one\ntwo\n", talk("u hi", r"a one\ntwo")),
    "vicuna": (
        "A chat. USER: hi ASSISTANT: hello</s>USER: more ASSISTANT: no</s>",
        talk("s A chat.") + HI + talk("u more", "a no"),
    ),
    "chatml": (
        "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in talk("s Be kind.", "u hi", "a hello")),
        talk("s Be kind.") + HI,
    ),
    "llama": ("<s>[INST] hi [/INST] hello </s><s>[INST] more [/INST] no </s>", HI + talk("u more", "a no")),
    "llama with system": ("<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nhi [/INST] hello </s>", talk("s Be kind.") + HI),
    "markdown in an answer": (
        "### Human: hi### Assistant: ### Example\n### Input: 1",
        talk("u hi", "a ### Example\n### Input: 1"),
    ),
}


@pytest.mark.parametrize("text, messages", MARKED.values(), ids=MARKED)
def test_marked_turns_are_read(text, messages):
    assert read(columns(text=[text, None, text])) == [messages, None, messages]


MARKED_WRONG = {
    "trailing user": ("### Human: hi### Assistant: hello### Human: thanks", "ends with a turn of the user"),
    "unanswered": ("### Human: hi", "ends with a turn of the user"),
    "empty": ("### Human: hi### Assistant: ", "turn 2 (assistant) is empty"),
    "repeated": ("### Human: hi### Human: hey### Assistant: x", "turns 1 and 2 both have the role user"),
    "no marks": (
        "hello",
        "has no turns after ### Human: and ### Assistant:, which other rows have. Add the marks, or leave the row out",
    ),
}


@pytest.mark.parametrize("text, message", MARKED_WRONG.values(), ids=MARKED_WRONG)
def test_wrong_marks_are_refused(text, message):
    said = refuse(columns(text=[*["### Human: hi### Assistant: hello"] * 20, text]))
    assert said.startswith("a.csv, row 21: ") and message in said


def test_marks_are_found_in_other_splits():
    form = choose_form(columns(text=["### Human: hi### Assistant: hello"] * 3))
    text = "### Human: hi### Assistant: hello"
    assert read_conversations(columns(text=[text, *[None] * 3]), form) == [HI, None, None, None]


def test_plain_text_is_one_turn():
    assert read(columns(text=[" one two\n", None, "\u200b", r"a\nb"])) == [
        talk("a one two"),
        None,
        None,
        talk(r"a a\nb"),
    ]


def test_columns_of_text_are_joined():
    assert read(columns(title=["A", None], poem=["b", "c"]), "title, poem") == [talk("a A\n\nb"), talk("a c")]


# --- other splits ---


def test_other_split_may_spell_columns_differently():
    form = choose_form(columns(prompt=TWO, response=REPLIES))
    assert read_conversations(columns(Response=["b"], PROMPT=["a"]), form) == [talk("u a", "a b")]


@pytest.mark.parametrize(
    "values, message",
    [
        ({"prompt": TWO}, "b.csv: label_column_name = response: there is no such column. Columns: prompt."),
        ({"response": TWO}, "b.csv: text_column_name = prompt: there is no such column. Columns: response."),
    ],
    ids=["response", "prompt"],
)
def test_other_split_needs_the_columns(values, message):
    with pytest.raises(UserError, match=message):
        read_conversations(Table(values, "b.csv"), Form("pair", ("prompt",), "response", ""))


def test_a_form_can_be_added(monkeypatch):
    monkeypatch.setitem(
        FORMS, "text", (lambda *_: Form("text", ("x",), None, ""), lambda table, form: lambda row: talk("a new"))
    )
    assert read(columns(x=TWO)) == [talk("a new")] * 2


# --- one conversation ---


@pytest.mark.parametrize(
    "messages, problem",
    [
        (HI, None),
        (GREETED, None),
        (talk("s a", "u b", "a c", "u d", "a e"), None),
        ([], "has no turn of the user"),
        (talk("a plain text"), "has no turn of the user"),
        (talk("u hi"), "ends with a turn of the user"),
        (talk("s a", "u b"), "ends with a turn of the user"),
        ([{"role": "tool", "content": "x"}, *HI], "turn 1 has the role 'tool'"),
        ([{"content": "x"}], "turn 1 has the role 'None'"),
        ([{"role": "user"}], "turn 1 (user) is empty"),
        (talk("s ", "u b", "a c"), "turn 1 (system) is empty"),
    ],
)
def test_problem_is_named(messages, problem):
    found = find_problem(messages)
    assert found is None if problem is None else problem in found


@pytest.mark.parametrize(
    "messages, prompt, response",
    [
        (HI, "hi", "hello"),
        (GREETED, "assistant: Welcome!\nuser: hi", "hello"),
        (talk("s a", "u b", "a c"), "system: a\nuser: b", "c"),
        (talk("u a", "a b", "u c", "a d"), "user: a\nassistant: b\nuser: c", "d"),
        (talk("a plain text"), "", "plain text"),
    ],
)
def test_prompt_and_response_are_texts(messages, prompt, response):
    assert (prompt_of(messages), response_of(messages)) == (prompt, response)


@pytest.mark.parametrize(
    "text", ["é 日本 😀", "a\nb\r\u2028c\x85d\u2029", 'say "no" \\n', "half \ud83d", "\\\ud83d\\"]
)
def test_json_is_one_line_and_returns(text):
    line = to_json(talk(f"u {text}", "a x"))
    assert len(line.splitlines()) == 1 and from_json(line.encode().decode()) == talk(f"u {text}", "a x")


def test_json_keeps_letters():
    assert to_json(talk("u é")) == '[{"role": "user", "content": "é"}]'


# --- OpenAI ---


def test_openai_example_is_valid():
    lines = [json.dumps(to_openai(messages)) + "\n" for messages in [HI, GREETED, talk("s a", "u b", "a c")] * 4]
    assert to_openai(HI) == {"messages": HI} and validate_openai(lines) == []
    assert validate_openai(iter(["\ufeff" + lines[0], *lines[1:], "\n"])) == []


TOOLS = [
    {"role": "user", "content": "2 + 2"},
    {"role": "assistant", "tool_calls": [{"id": "1", "type": "function"}], "weight": 0},
    {"role": "tool", "tool_call_id": "1", "content": "4"},
    {"role": "assistant", "content": "4", "weight": 1},
]
PROBLEMS = {
    "valid": ({"messages": HI}, []),
    "tools": ({"messages": TOOLS, "tools": []}, []),
    "not json": ('{"messages": [', ["is not JSON (Expecting value). Write one object."]),
    "nested": ("[" * 100_000, ["is not JSON (a number or a list that is too long). Write one object."]),
    "blank": (" ", ["is blank. Delete it."]),
    "list": (HI, ['has no list of messages: [{"role": "user", "content": "hi"}, {"ro…. Write {"messages": [...]}.']),
    "no messages": ({"prompt": "hi"}, ['has no list of messages: {"prompt": "hi"}. Write {"messages": [...]}.']),
    "empty": ({"messages": []}, ['has no list of messages: {"messages": []}. Write {"messages": [...]}.']),
    "no assistant": ({"messages": HI[:1]}, ["has no message of the assistant. Add what is to be learned."]),
    "role": (
        {"messages": [{"role": "human", "content": "hi"}, HI[1]]},
        ['message 1: has the role "human". Write system, user or assistant.'],
    ),
    "no role": (
        {"messages": [HI[0], HI[1], {"content": "x"}]},
        ["message 3: has the role null. Write system, user or assistant."],
    ),
    "content": (
        {"messages": [{"role": "user", "content": PARTS}, {"role": "assistant", "content": ""}]},
        [f"message {n}: has no content that is a text. Write one text." for n in (1, 2)],
    ),
    "key": (
        {"messages": [{**HI[0], "id": 1}, HI[1]]},
        ["message 1: has the unknown key 'id'. Remove it."],
    ),
    "weight": (
        {"messages": [{**HI[0], "weight": 1}, {**HI[1], "weight": 0.5}]},
        [f"message {n}: has a weight. Write 0 or 1, and only for the assistant." for n in (1, 2)],
    ),
    "text": (
        {"messages": ["hi", HI[1]]},
        ["message 1: is no object. Write role and content."],
    ),
}


@pytest.mark.parametrize("example, problems", PROBLEMS.values(), ids=PROBLEMS)
def test_openai_problems_have_their_line(example, problems):
    valid = json.dumps({"messages": HI})
    lines = [valid] * 5 + [example if isinstance(example, str) else json.dumps(example)] + [valid] * 9
    assert validate_openai(lines) == [f"line 6: {problem}" for problem in problems]


@pytest.mark.parametrize(
    "count, said", [(0, "line 1: the file ends after 0 examples"), (1, "after 1 example."), (9, "line 9:")]
)
def test_openai_needs_ten_examples(count, said):
    (problem,) = validate_openai([json.dumps({"messages": HI})] * count)
    assert said in problem and problem.endswith("OpenAI needs at least 10: add some.")


@pytest.mark.parametrize(
    "columns, form, asked",
    [
        ({"Prompt": ["Why?"]}, Form("pair", ("prompt",), "response", ""), [{"role": "user", "content": "Why?"}]),
        ({"anything": ["Why?"]}, Form("pair", ("prompt",), "response", ""), [{"role": "user", "content": "Why?"}]),
        (
            {"instruction": ["Add."], "input": ["1, 2"], "system": ["Be brief."]},
            Form("instruction", ("system", "instruction", "input"), "output", ""),
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Add.\n\n1, 2"}],
        ),
        (
            {"messages": ['[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]']},
            Form("messages", ("messages",), None, ""),
            [{"role": "user", "content": "Hi"}],
        ),
        (
            {"text": ["### Human: Why? ### Assistant: So."]},
            Form("turns", ("text",), None, ""),
            [{"role": "user", "content": "Why?"}],
        ),
        ({"text": ["Once upon"]}, Form("text", ("text",), None, ""), [{"role": "assistant", "content": "Once upon"}]),
        ({"prompt": [None]}, Form("pair", ("prompt",), "response", ""), []),
    ],
    ids=["pair", "one column", "instruction", "messages", "marked", "plain text", "blank"],
)
def test_prompts_are_read_as_in_training(columns, form, asked):
    assert read_prompts(Table(columns), form) == [asked]


def test_prompt_of_another_name_is_refused():
    with pytest.raises(UserError, match="has no column 'prompt'.*Rename"):
        read_prompts(Table({"a": ["b"], "c": ["d"]}), Form("pair", ("prompt",), "response", ""))
