"Predictions in parts: kept after a kill, the same bytes in shards, one folder for each source, run and option."

import json
import logging
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from conftest import BAD, FLAT, GOOD

from ftkit.cli.main import main
from ftkit.errors import UserError
from ftkit.files.streams import open_rows
from ftkit.serving import parts
from ftkit.serving.parts import OutputForm, Shard, join_shards, parse_shard, predict_rows_of

N = 700  # rows of the small files here


class Stub:
    "Answers that depend on the text and on how many are answered together, as a model's last digits do"

    keys = ("label", "score")

    def __init__(self, name: str = "one", dies_at: int | None = None):
        self.identity, self.calls, self.dies_at = {"weights": name}, 0, dies_at

    def read(self, table):
        others = {name: values for name, values in table.columns.items() if name != "text"}
        return table.columns["text"], others

    def answer(self, texts, progress=None):
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        if progress:
            progress(len(texts))
        share = len(texts) / 1e6
        rows = [{"label": "ab"[len(t) % 2], "score": share, "scores": {"a": share, "b": 1 - share}} for t in texts]
        return [row if text else {"error": "the text is empty"} for text, row in zip(texts, rows)]

    def list_scores(self):
        return ["a", "b"]


@pytest.fixture
def rows(tmp_path, monkeypatch):
    "A file of seven parts and a bit"
    monkeypatch.setattr(parts, "PART", 96)
    lines = [json.dumps({"id": i, "text": f"=text {i}" if i % 50 else ""}) for i in range(N)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    return open_rows(tmp_path / "rows.jsonl", stream_from=0)


def list_names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.fault("predict")
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_interrupted_work_is_continued_with_same_bytes(rows, tmp_path, suffix):
    form, out = OutputForm(suffix, ";", True), tmp_path / f"out{suffix}"
    whole = predict_rows_of(Stub(), rows, tmp_path / f"whole{suffix}", form)
    assert whole.rows == N and (whole.changed > 600) is (suffix == ".csv")
    with pytest.raises(KeyboardInterrupt):
        predict_rows_of(Stub(dies_at=5), rows, out, form)
    assert not out.exists()
    again = Stub()
    written = predict_rows_of(again, rows, out, form)
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert (written.kept, again.calls, written.changed) == (4 * 96, 8 - 4, whole.changed)
    assert list_names(tmp_path) == sorted([f"out{suffix}", "rows.jsonl", f"whole{suffix}"])


@pytest.mark.parametrize("what", ["the source", "the run", "the options", "the shard"])
def test_parts_of_another_start_are_not_used(rows, tmp_path, caplog, monkeypatch, what):
    form, out, stub, shard = OutputForm(".csv"), tmp_path / "out.csv", Stub(), None
    with pytest.raises(KeyboardInterrupt):
        predict_rows_of(Stub(dies_at=3), rows, out, form)
    if what == "the source":
        (tmp_path / "rows.jsonl").write_text((tmp_path / "rows.jsonl").read_text() + '{"id": 1, "text": "new"}\n')
        rows = open_rows(tmp_path / "rows.jsonl", stream_from=0)
    elif what == "the run":
        stub = Stub("two")
    elif what == "the options":
        form = OutputForm(".csv", ";")
    else:
        shard = Shard(1, 2)
    monkeypatch.setattr(logging.getLogger("ftkit"), "propagate", True)
    with caplog.at_level("INFO", logger="ftkit"):
        written = predict_rows_of(stub, rows, out, form, shard)
    assert written.kept == 0 and f"2 parts of an earlier start are not used: {what} changed" in caplog.text
    assert len(list(tmp_path.glob(".out.csv.*.parts"))) == 1  # the other one stays until it is deleted


def test_fault_before_the_first_part_leaves_nothing(rows, tmp_path):
    stub = Stub()
    stub.read = lambda table: (_ for _ in ()).throw(UserError("there is no such column"))
    with pytest.raises(UserError, match="no such column"):
        predict_rows_of(stub, rows, tmp_path / "out.csv", OutputForm(".csv"))
    assert list_names(tmp_path) == ["rows.jsonl"]


def test_second_process_is_refused(rows, tmp_path):
    class Nested(Stub):
        def answer(self, texts, progress=None):
            predict_rows_of(Stub(), rows, tmp_path / "out.csv", OutputForm(".csv"))

    with pytest.raises(UserError, match="another process is writing it"):
        predict_rows_of(Nested(), rows, tmp_path / "out.csv", OutputForm(".csv"))


def make_shards(rows, folder, of, suffix=".csv"):
    folder.mkdir()
    for i in range(1, of + 1):
        predict_rows_of(Stub(), rows, folder / f"{i}{suffix}", OutputForm(suffix), Shard(i, of))
    return folder


@pytest.mark.fault("predict")
@pytest.mark.parametrize("of, suffix", [(1, ".csv"), (3, ".csv"), (3, ".jsonl"), (11, ".csv")])
def test_joined_shards_are_the_whole(rows, tmp_path, of, suffix):
    predict_rows_of(Stub(), rows, tmp_path / f"whole{suffix}", OutputForm(suffix))
    make_shards(rows, tmp_path / "shards", of, suffix)
    written = join_shards(tmp_path / "shards", tmp_path / f"all{suffix}", Stub().identity)
    assert written.rows == N and (tmp_path / f"all{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


def spoil_missing(folder, rows):
    (folder / "2.csv.shard.json").unlink()


def spoil_twice(folder, rows):
    for end in ("", ".shard.json"):
        (folder / f"4.csv{end}").write_bytes((folder / f"3.csv{end}").read_bytes())


def spoil_lost(folder, rows):
    (folder / "2.csv").unlink()


def spoil_changed(folder, rows):
    (folder / "2.csv").write_bytes((folder / "2.csv").read_bytes().replace(b"text 3", b"text 4"))


def spoil_run(folder, rows):
    predict_rows_of(Stub("two"), rows, folder / "2.csv", OutputForm(".csv"), Shard(2, 3))


def spoil_of(folder, rows):
    predict_rows_of(Stub(), rows, folder / "4.csv", OutputForm(".csv"), Shard(4, 4))


def spoil_source(folder, rows):
    rows.sha256 = "another"
    predict_rows_of(Stub(), rows, folder / "2.csv", OutputForm(".csv"), Shard(2, 3))


@pytest.mark.fault("predict")
@pytest.mark.parametrize(
    "spoil, message",
    [
        (spoil_missing, "lacks the shards 2/3"),
        (spoil_twice, "shard 3/3 is there twice"),
        (spoil_lost, "2.csv: is missing next to"),
        (spoil_changed, "2.csv: has changed since it was made"),
        (spoil_run, "1.csv and 2.csv are of another run"),
        (spoil_of, "1.csv and 4.csv are of another number of shards"),
        (spoil_source, "1.csv and 2.csv are of another source"),
    ],
)
def test_wrong_shards_are_refused(rows, tmp_path, spoil, message):
    folder = make_shards(rows, tmp_path / "shards", 3)
    spoil(folder, rows)
    with pytest.raises(UserError, match=message):
        join_shards(folder, tmp_path / "all.csv", Stub().identity)
    assert not (tmp_path / "all.csv").exists() and not list(tmp_path.glob(".all*"))


def test_shards_of_another_run_are_refused(rows, tmp_path):
    folder = make_shards(rows, tmp_path / "shards", 2)
    with pytest.raises(UserError, match="answered by another run"):
        join_shards(folder, tmp_path / "all.csv", {"weights": "two"})


def test_speed_is_logged_without_a_terminal(rows, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(parts, "EVERY", 0)
    monkeypatch.setattr(logging.getLogger("ftkit"), "propagate", True)
    with caplog.at_level("INFO", logger="ftkit"):
        predict_rows_of(Stub(), rows, tmp_path / "out.csv", OutputForm(".csv"))
    lines = list(dict.fromkeys(line for line in caplog.messages if "rows a second" in line))
    assert len(lines) == 8 and re.fullmatch(r"700 of 700 rows, [\d,]+ rows a second, 0:00:00 left", lines[-1])


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/3", "1/4/5"])
def test_wrong_shard_is_refused(text):
    with pytest.raises(UserError, match="from 1/4 to 4/4"):
        parse_shard(text)


@pytest.mark.slow
def test_memory_is_flat(tmp_path):
    peaks = []
    for count in (20_000, 200_000):
        path = tmp_path / f"{count}.csv"
        path.write_text("id,text\n" + "".join(f"{i},some short text {i}\n" for i in range(count)))
        tracemalloc.start()
        rows = open_rows(path, stream_from=0)
        predict_rows_of(Stub(), rows, tmp_path / "out.csv", OutputForm(".csv"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


KILL = """
import os, signal, sys
import ftkit.serving.parts as parts
from ftkit.cli.main import main

parts.PART, left, replacing = 256, [int(sys.argv.pop(1))], parts.replacing

def killed(target):
    left[0] -= target.suffix == ".part"
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replacing(target)

parts.replacing = killed
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.fault("predict")
@pytest.mark.slow
def test_killed_command_continues_with_same_bytes(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parts, "PART", 256)
    lines = [f"{(GOOD, BAD, FLAT)[i % 3]}, number {i}" for i in range(2000)]
    (tmp_path / "rows.csv").write_text("review\n" + "".join(f'"{line}"\n' for line in lines))
    words = ["predict", "small", "--runs_dir", trained[0] / "runs", "--file", tmp_path / "rows.csv", "--out"]
    words = list(map(str, words))
    assert main([*words, str(tmp_path / "whole.csv")]) == 0
    for kill in (3, 2):
        done = subprocess.run(
            [sys.executable, "-c", KILL, str(kill), *words, str(tmp_path / "out.csv")],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == -signal.SIGKILL and not (tmp_path / "out.csv").exists()
    capsys.readouterr()
    assert main([*words, str(tmp_path / "out.csv")]) == 0
    assert "2,000 rows in" in (said := capsys.readouterr().err) and "; 768 of them were there" in said
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert list_names(tmp_path) == ["out.csv", "rows.csv", "whole.csv"]


def test_shards_by_the_command(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parts, "PART", 16)
    words = ["predict", "small", "--runs_dir", str(trained[0] / "runs")]
    file = ["--file", str(trained[0] / "mine.csv")]
    assert main([*words, *file, "--out", str(tmp_path / "whole.jsonl")]) == 0
    (tmp_path / "s").mkdir()
    for i in (2, 1):
        assert main([*words, *file, "--shard", f"{i}/2", "--out", str(tmp_path / f"s/{i}.jsonl")]) == 0
    assert main([*words, "--join", str(tmp_path / "s"), "--out", str(tmp_path / "all.jsonl")]) == 0
    assert (tmp_path / "all.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    capsys.readouterr()
    for more in (
        ["--shard", "1/2"],
        ["--join", "s"],
        ["--join", "s", "--out", "x.csv", *file],
        ["--shard", "1/2", *file],
    ):
        assert main([*words, *more]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert main([*words, *file, "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wanted = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [row["label"] for row in printed] == [row["label"] for row in wanted]
