"The article's experiment, unchanged, against a Hub on 127.0.0.1."

import json
import shutil

from hub import serve

TEXTS = {
    "negative": "the train was late again",
    "neutral": "the meeting is at noon",
    "positive": "what a lovely evening",
}


def fill(root, tiny) -> None:
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
    fill(tmp_path / "hub", tiny)
    with serve(tmp_path / "hub") as (address, requests):
        env = {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }
        done = ftkit("train", "--preset", "gpt2-tweets", "--json", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["status"] == "finished"
    assert record["data"]["labels"] == ["negative", "neutral", "positive"]
    assert record["data"]["test"]["rows"] == 45
    assert set(record["baselines"]) == {"majority", "tfidf", "zero_shot", "few_shot", "frozen"}
    assert any("gpt2/resolve" in r for r in requests) and any("tweet_sentiment_extraction" in r for r in requests)


def test_unknown_hub_name_is_refused(tmp_path, ftkit):
    (tmp_path / "hub").mkdir()
    with serve(tmp_path / "hub") as (address, _):
        env = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}
        done = ftkit("train", "--dataset_name", "nobody/nothing", cwd=tmp_path, env=env)
        model = ftkit("train", "--model_name_or_path", "nobody/nothing", cwd=tmp_path, env=env)
    assert (
        done.returncode == 2
        and done.stderr.startswith("ftkit: dataset_name = nobody/nothing")
        and done.stderr.count("\n") == 1
    )
    assert (
        model.returncode == 2
        and model.stderr.startswith("ftkit: model_name_or_path = nobody/nothing")
        and model.stderr.count("\n") == 1
    )
    assert not (tmp_path / "runs").exists()
