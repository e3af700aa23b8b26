"The worked summarisation: the lines of docs/summaries.md run, with tiny models and papers of the same shape."

import json
import re
import shlex
import subprocess
import sys

import pytest
from architectures import make_base
from conftest import ROOT

from ftkit.checks.report import examine
from ftkit.cli.main import main
from ftkit.data import read_source
from ftkit.fine_tuning import Run
from ftkit.starter.smol import tiny_llama

PAGE = (ROOT / "docs" / "summaries.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
PYTHON = next(text for kind, text in BLOCKS if kind == "python")
COMMANDS = [
    shlex.split(line)[1:]
    for kind, text in BLOCKS
    for line in text.splitlines()
    if kind == "bash" and line.startswith("ftkit")
]
SMALL = "--num_train_epochs 1 --max_generated_samples 2 --max_new_tokens 8 --preflight false".split()


def make_paper(number: int) -> dict:
    "Return a paper as aclsum has it"
    first = [f"Parser {number} reads text .", f"It has {number + 3} layers .", "We test it on letters and on news ."]
    return {
        "id": str(number),
        "title": f"Parser {number}",
        "sentences": {"abstract": first, "introduction": ["Much is said here ."], "conclusion": ["It ends ."]},
        "summary": {
            "challenge": "Parsers are slow.",
            "approach": f"They add {number + 3} layers.",
            "outcome": f"Parser {number} is {number + 2} percent better.",
        },
    }


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    "Return a folder with the files that the page's Python writes"
    folder = tmp_path_factory.mktemp("papers")
    dataset = folder / "packages" / "aclsum" / "dataset"
    dataset.mkdir(parents=True)
    (dataset.parent / "__init__.py").write_text("raise ImportError('is never imported')\n", encoding="utf-8")
    for split, numbers in {"train": range(24), "val": range(24, 32), "test": range(32, 40)}.items():
        text = "".join(json.dumps(make_paper(number)) + "\n" for number in numbers)
        (dataset / f"{split}.jsonl").write_text(text, encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(dataset.parents[1])!r})\n{PYTHON}"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return folder


@pytest.mark.slow
def test_rows_are_found_by_name(papers):
    found = read_source(train_file=str(papers / "papers-train.csv"))
    assert "'document' → 'summary', by name" in str(examine(found))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_page_trains_and_predicts(papers, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(papers)
    base = str(tiny_llama(tmp_path / "llama") if kind == "llama" else make_base("t5", tmp_path / "t5"))
    name = "outcomes" if kind == "llama" else "outcomes-t5"
    for words in COMMANDS:
        if words[0] == "train" and words[-1] != name or words[0] == "predict" and kind == "t5":
            continue
        more = ["--model_name_or_path", base] if words[0] in ("train", "forecast") else []
        found = main([*words, *more, *(SMALL if more else [])])
        assert found == (3 if words[0] == "check" else 0)  # 3: the papers of this test look made from a template
    run = Run(papers / "runs" / name)
    assert {"copy", "nearest", "zero_shot"} <= set(run.baselines) and "unsupported" in run.metrics["test"]
    test = run.predictions.query("split == 'test'")
    assert len(test) == 8 and test.text.str.endswith("what did they find?").all()
    if kind == "llama":
        assert (papers / "summaries.csv").is_file()
