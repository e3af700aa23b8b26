"What `ftkit check` finds in prompts and responses, and what `ftkit export` writes of them."

import json

import pytest
from conftest import write_csv

from ftkit.checks.chats import find_chats
from ftkit.checks.report import describe_examination, examine
from ftkit.cli.main import main
from ftkit.errors import UserError
from ftkit.files.rows import Table
from ftkit.files.tables import read_table
from ftkit.serving.export import export_openai
from ftkit.starter import posts_path, support_path

WORDS = "lamp pot leaf water tank button light cable shelf plant".split()


def make_pairs(n=40, **changes) -> Table:
    "Prompts and responses that differ; `changes`: row -> (prompt, response)"
    pairs = [
        (f"Why does my {WORDS[i % 10]} number {i} stop?", f"Turn the {WORDS[i % 10]} {i} times and wait. Then ask us.")
        for i in range(n)
    ]
    for row, pair in changes.items():
        pairs[int(row.removeprefix("row"))] = pair
    return Table({"prompt": [p for p, _ in pairs], "response": [r for _, r in pairs]}, "rows.csv")


def findings(table: Table) -> dict[str, dict]:
    "Return the findings of a table by the beginning of what they say"
    return {f["what"].split(":")[0]: f for f in examine({"train": table})["findings"]}


def test_support_answers_are_clean():
    result = examine({"train": read_table(support_path())})
    assert result["form"] == "pair" and result["findings"] == [] and result["rows"] == 300
    assert "task = text-generation" in describe_examination(result)[1]
    assert set(result["lengths"]) == {"train", "train, responses"}


@pytest.mark.parametrize(
    "pair, what",
    [
        (("Why does my lamp blink?", "Why does my lamp blink? Because it is empty."), "responses that begin"),
        (
            ("Why does it blink?", "First press the button on the side and then wait until the light"),
            "responses that end",
        ),
        (("Why?", None), "rows without a prompt or a response; they are dropped"),
        (("Why does my lamp number 0 stop?", "It is old."), "prompts that have several different responses"),
        (("Why?", "word " * 400 + "."), "responses that are 20 times as long"),
        (("Write to a@example.org", "Yes, a@example.org is right."), "pieces of personal data"),
    ],
    ids=["repeats its prompt", "ends in the middle", "is missing", "contradicts another", "is long", "is personal"],
)
def test_fault_of_a_pair_is_found(pair, what):
    found = findings(make_pairs(row7=pair))
    name = next((name for name in found if name.startswith(what)), None)
    assert name and found[name]["count"] == 1, list(found)
    assert not any(n.startswith(what) for n in findings(make_pairs()))


def test_shared_response_is_found():
    rows = {f"row{i}": (f"Question {i} about it?", "Ask your doctor.") for i in range(10)}
    found = findings(make_pairs(**rows))
    assert next(f for what, f in found.items() if what.startswith("responses that many"))["count"] == 10


def test_leaked_prompt_is_found():
    train = make_pairs()
    test = Table({"prompt": train.columns["prompt"][:3], "response": ["Other."] * 3}, "test.csv")
    result = examine({"train": train, "test": test})
    assert result["leaks"]["exact"] == 3 and any("training rows" in f["what"] for f in result["findings"])


def test_broken_chat_names_its_row(tmp_path):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    rows = [turns, turns[::-1], [{"role": "robot", "content": "x"}, *turns[1:]]] + [turns] * 7
    file = tmp_path / "chat.jsonl"
    file.write_text("".join(json.dumps({"messages": m}) + "\n" for m in rows))
    found = findings(read_table(file))["rows that are no conversation"]
    assert found["count"] == 2 and found["examples"][0].startswith("row 2:") and "robot" in found["examples"][1]


@pytest.mark.parametrize("label", ["label", "topic"])
def test_labelled_texts_are_no_chats(label):
    assert find_chats(read_table(posts_path()), "text", label) is None


def test_intents_are_labels():
    table = Table({"question": [f"How do I {i}?" for i in range(60)], "answer": ["yes", "no", "maybe"] * 20})
    assert find_chats(table) is None


def test_exported_file_is_valid(tmp_path):
    found = export_openai(support_path(), tmp_path / "s.jsonl")
    first = json.loads((tmp_path / "s.jsonl").read_text().splitlines()[0])
    assert [m["role"] for m in first["messages"]] == ["user", "assistant"] and found.rows == 300
    assert found.tokens > 10_000 and "= 1.00" in found.describe(price=1e6 / found.tokens, epochs=1)[2]
    assert "give --price" in found.describe()[2]


def test_export_refuses_and_writes_nothing(tmp_path):
    few = make_pairs(5)
    with pytest.raises(UserError, match="needs at least 10"):
        export_openai({"train": few}, tmp_path / "few.jsonl")
    with pytest.raises(UserError, match=r"ends in \.jsonl"):
        export_openai({"train": make_pairs()}, tmp_path / "s.csv")
    assert list(tmp_path.iterdir()) == []
    export_openai({"train": make_pairs()}, tmp_path / "s.jsonl")
    with pytest.raises(UserError, match="--force"):
        export_openai({"train": make_pairs()}, tmp_path / "s.jsonl")


def test_export_command_counts_and_prices(tmp_path, capsys):
    file = write_csv(
        tmp_path / "pairs.csv", [dict(zip(("prompt", "response"), p)) for p in zip(*make_pairs().columns.values())]
    )
    assert main(["export", str(file), "--to", "openai", "--out", str(tmp_path / "o.jsonl"), "--price", "8"]) == 0
    assert "3 epochs x 8 a million" in capsys.readouterr().out
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 40
