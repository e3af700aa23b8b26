"The command line: keys as flags, words in any order, fields of TrainingArguments."

import subprocess
import sys
import time

import pytest

from ftkit.cli.main import COMMANDS
from ftkit.cli.parser import parse, read_settings, take_training_arguments
from ftkit.errors import UserError
from ftkit.settings import KEYS


@pytest.mark.parametrize(
    "code",
    [
        "import ftkit",
        "from ftkit.cli.main import main; main(['--help'])",
        "from ftkit.cli.main import main; main(['train', '--help'])",
    ],
)
def test_help_loads_no_torch(code):
    heavy = "{'torch', 'transformers', 'datasets', 'pandas'}"
    check = f"import sys\ntry:\n    {code}\nexcept SystemExit: pass\nassert not {heavy} & set(sys.modules)"
    start = time.perf_counter()
    assert subprocess.run([sys.executable, "-c", check], stdout=subprocess.DEVNULL).returncode == 0
    empty = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import argparse, configparser, dataclasses"], check=True)
    assert empty - start < 0.5 + (time.perf_counter() - empty)


def parse_train(*argv):
    "Return the settings that `ftkit train` makes of its words"
    return read_settings(*parse(COMMANDS["train"], list(argv)))


def test_every_key_is_a_flag(capsys):
    with pytest.raises(SystemExit):
        parse(COMMANDS["train"], ["--help"])
    text = capsys.readouterr().out
    assert [name for name in KEYS if f"--{name} " not in text] == []


@pytest.mark.parametrize(
    "argv",
    [
        ["small", "a text", "another", "--json", "--out", "x.csv"],
        ["--json", "small", "a text", "--out", "x.csv", "another"],
        ["--out", "x.csv", "--json", "small", "a text", "another"],
    ],
)
def test_words_stand_anywhere(argv):
    (args,) = parse(COMMANDS["predict"], argv)
    assert (args.run, args.texts, args.json, args.out) == ("small", ["a text", "another"], True, "x.csv")


def test_settings_file_follows_flags(tmp_path):
    file = tmp_path / "a.ini"
    file.write_text("[trainer]\nseed = 7\nnum_train_epochs = 5\n")
    settings = parse_train("--seed", "1", str(file), "--preset", "gpt2-tweets")
    assert (settings.seed, settings.num_train_epochs, settings.model_name_or_path) == (1, 5, "gpt2")


@pytest.mark.parametrize(
    "argv, extra",
    [
        (["--adam_beta2", "0.95"], {"adam_beta2": 0.95}),
        (["--lr_scheduler_type=cosine"], {"lr_scheduler_type": "cosine"}),
        (["--bf16"], {"bf16": True}),
        (["--bf16", "--seed", "1"], {"bf16": True}),
        (["--lr_scheduler_kwargs", '{"num_cycles": 2}'], {"lr_scheduler_kwargs": {"num_cycles": 2}}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_training_arguments_pass_through(argv, extra):
    ours, found = take_training_arguments([*argv, "--run", "x"])
    assert found == extra and ours[-2:] == ["--run", "x"]
    assert parse_train(*argv).training_arguments == extra


@pytest.mark.parametrize("argv", [["--pad_to_max_length"], ["--pad_to_max_length", "true"], ["--pad_to_max_length=1"]])
def test_flag_alone_is_true(argv):
    assert parse_train(*argv).pad_to_max_length is True


@pytest.mark.parametrize(
    "command, argv, message",
    [
        (
            "predict",
            ["small", "--jsn", "a text"],
            "unrecognized argument: --jsn. Did you mean '--json'? See `ftkit predict --help`.",
        ),
        ("evaluate", [], "the following arguments are required: RUN"),
        ("train", ["--see", "1"], "Did you mean 'seed'?"),
    ],
)
def test_parser_error_is_one_line(command, argv, message):
    with pytest.raises(UserError) as caught:
        parse(COMMANDS[command], argv)
    assert message in str(caught.value) and "\n" not in str(caught.value)
