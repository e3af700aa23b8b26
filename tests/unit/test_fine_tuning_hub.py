"The article's experiment, unchanged, against a Hub on 127.0.0.1."

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from hub import serve

ASK = """
import contextlib, io, json
from ftkit.cli.main import main
said = {}
for key in ("dataset_name", "model_name_or_path"):
    with contextlib.redirect_stderr(io.StringIO()) as error:
        said[key] = main(["train", "--" + key, "nobody/nothing"]), error.getvalue()
print(json.dumps(said))
"""
TEXTS = {
    "negative": "the train was late again",
    "neutral": "the meeting is at noon",
    "positive": "what a lovely evening",
}


def use_hub(address: str, folder) -> dict[str, str]:
    "Return the environment of a process that knows this Hub alone"
    cache = {"HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_XET": "1"}
    return {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", **cache}


def fill_hub(root, tiny) -> None:
    "A Hub with `gpt2` (the tiny one: random weights) and the article's data set in its layout"
    shutil.copytree(tiny, root / "models" / "gpt2")
    folder = root / "datasets" / "mteb" / "tweet_sentiment_extraction"
    folder.mkdir(parents=True)
    for split, n in (("train", 150), ("test", 45)):
        rows = [
            {"id": str(i), "text": f"{TEXTS[label]} {split} {i}", "label": k, "label_text": label}
            for i in range(n)
            for k, label in [list(enumerate(TEXTS))[i % 3]]
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def test_preset_runs_from_a_hub(tmp_path, ftkit, tiny):
    fill_hub(tmp_path / "hub", tiny)
    with serve(tmp_path / "hub") as (address, requests):
        few = ("--max_train_samples", 60, "--num_train_epochs", 1)
        done = ftkit("train", "--preset", "gpt2-tweets", *few, "--json", cwd=tmp_path, env=use_hub(address, tmp_path))
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["status"] == "finished"
    assert record["data"]["labels"] == ["negative", "neutral", "positive"]
    assert record["data"]["test"]["rows"] == 45
    assert set(record["baselines"]) == {"majority", "tfidf", "zero_shot", "few_shot", "frozen"}
    assert any("gpt2/resolve" in r for r in requests) and any("tweet_sentiment_extraction" in r for r in requests)


def fill_hub_with_instructions(root, tiny, n: int = 60) -> None:
    "A Hub with `gpt2` (the tiny one: random weights) and instructions in the layout of Alpaca: a third have an input"
    shutil.copytree(tiny, root / "models" / "gpt2")
    folder = root / "datasets" / "tatsu-lab" / "alpaca" / "data"
    folder.mkdir(parents=True)
    rows = pd.DataFrame(
        {
            "instruction": [f"Name a thing that goes with number {i}." for i in range(n)],
            "input": ["" if i % 3 else f"thing {i}" for i in range(n)],
            "output": [f"Thing {i} goes with it." for i in range(n)],
        }
    )
    rows["text"] = "### Instruction:\n" + rows.instruction + "\n\n### Response:\n" + rows.output
    rows.to_parquet(folder / "train-00000-of-00001-a09b74b3ef9c3b56.parquet")


@pytest.mark.slow
def test_instruct_preset_runs_from_a_hub(tmp_path, ftkit, tiny):
    fill_hub_with_instructions(tmp_path / "hub", tiny)
    with serve(tmp_path / "hub") as (address, requests):
        few = ("--num_train_epochs", 1, "--max_new_tokens", 8)
        done = ftkit(
            "train", "--preset", "gpt2-instruct", *few, "--json", cwd=tmp_path, env=use_hub(address, tmp_path)
        )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], record["task"], record["headline"]) == ("finished", "text-generation", "loss")
    assert [record["data"][split]["rows"] for split in ("train", "validation", "test")] == [48, 6, 6]
    assert set(record["baselines"]) == {"copy", "nearest", "zero_shot", "few_shot"}
    assert record["metrics"]["test"]["loss"]["n"] == 6
    said = (tmp_path / "runs" / record["run"].split("/")[-1] / "report.html").read_text()
    assert "Name a thing that goes with number" in said
    assert any("gpt2/resolve" in r for r in requests) and any("alpaca/resolve" in r for r in requests)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["dataset_name", "model_name_or_path"])
def test_unknown_hub_name_is_refused(unknown_names, key):
    code, error = unknown_names[key]
    assert code == 2 and error.startswith(f"ftkit: {key} = nobody/nothing") and error.count("\n") == 1


@pytest.fixture(scope="module")
def unknown_names(tmp_path_factory):
    "What the command says to a name that an empty Hub does not have: key -> (exit code, stderr)"
    folder = tmp_path_factory.mktemp("unknown")
    (folder / "hub").mkdir()
    with serve(folder / "hub") as (address, _):
        env = os.environ | use_hub(address, folder)
        done = subprocess.run([sys.executable, "-c", ASK], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (folder / "runs").exists()
    return json.loads(done.stdout)
