"The command line: flags are the keys of settings.ini. Nothing heavy is loaded here."

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftkit import __version__
from ftkit.errors import UserError, did_you_mean
from ftkit.settings import (
    KEYS,
    OTHER_NAMES,
    PRESETS,
    SECTIONS,
    TYPES,
    Settings,
    check_key,
    format_value,
    parse_plain,
    parse_value,
)

FLAGS = (  # of `train`, beside the keys
    "preset",
    "run",
    "resume",
    "rerun",
    "continue_from",
    "start",
    "add_feedback",
    "runs_dir",
    "json",
    "help",
)


@dataclass
class Command:
    "A command of ftkit"

    name: str  # the first word
    help: str  # one line
    add_arguments: Callable  # to its parser
    run: Callable  # with the parsed arguments, and the fields of TrainingArguments if it takes them
    takes_training_arguments: bool = False  # flags that are no key pass through


class Parser(argparse.ArgumentParser):
    "A parser whose errors are one line on stderr"

    def error(self, message):
        stop = "" if message.endswith((".", "?")) else "."
        raise UserError(f"{message}{stop} See `{self.prog} --help`.")


def make_parser(
    commands: dict[str, Command],  # all of them
) -> Parser:
    "Return the parser of `ftkit` alone: help and version"
    rows = "\n".join(f"  {command.name:<10} {command.help}" for command in commands.values())
    parser = Parser(
        prog="ftkit",
        usage="ftkit COMMAND …",
        description="Fine-tune language models, with numbers you can trust and runs that survive.",
        epilog=f"commands:\n{rows}\n\n`ftkit COMMAND --help` explains one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ftkit {__version__}")
    return parser


def parse(
    command: Command,  # which one
    argv: list[str],  # what follows its name
) -> tuple:
    "Return the arguments of `command.run`. Words may stand before and after flags"
    parser = Parser(prog=f"ftkit {command.name}", description=f"{command.help}.", allow_abbrev=False)
    parser.add_argument(
        "--runs_dir",
        metavar="DIR",
        help="the folder of the runs (default: runs next to the settings file, else in the current folder)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout and nothing else there")
    command.add_arguments(parser)
    extra = {}
    if command.takes_training_arguments:
        argv, extra = take_training_arguments(argv)
    flags = set(re.findall(r"--\w+", parser.format_help()))
    args, rest = parser.parse_known_intermixed_args([spell_flag(word, flags) for word in argv])
    if rest:
        word = next((word for word in rest if word.startswith("-")), rest[0])
        parser.error(f"unrecognized argument: {word}.{suggest_flag(word, flags)}")
    return (args, extra) if command.takes_training_arguments else (args,)


def spell_flag(
    word: str,  # of the command line
    flags: set[str],  # of the command
) -> str:
    "Return a flag that is written with dashes as the command spells it; any other word as it is"
    flag, equals, value = word.partition("=")
    spelled = "--" + flag.removeprefix("--").replace("-", "_")
    return spelled + equals + value if flag.startswith("--") and spelled in flags else word


def suggest_flag(
    word: str,  # that is no flag of the command
    flags: set[str],  # of the command
) -> str:
    "Return ` Did you mean '--x'?`: the flag that a usual other name stands for, else the nearest"
    name = word.partition("=")[0].removeprefix("--").replace("-", "_")
    usual = f"--{OTHER_NAMES.get(name)}"
    if usual in flags:
        return f" Did you mean '{usual}'?"
    return did_you_mean(word, flags - {"--help"})


def take_training_arguments(
    argv: list[str],  # what follows the command's name
) -> tuple[list[str], dict[str, object]]:
    "Take out the fields of TrainingArguments: `--adam_beta2 0.95`, `--bf16`, `--lr_scheduler_type=cosine`"
    ours, extra, argv = [], {}, list(argv)
    while argv:
        word = argv.pop(0)
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            flag = f"--{flag.removeprefix('--').replace('-', '_')}"
        if not flag.startswith("--") or flag == "--" or flag.removeprefix("--") in {*KEYS, *FLAGS}:
            ours.append(flag + equals + value)
            continue
        if not equals:
            value = argv.pop(0) if argv and not argv[0].startswith("--") else "true"
        check_key(flag.removeprefix("--"), "trainer", flag)
        extra[flag.removeprefix("--")] = parse_plain(value)
    return ours, extra


def add_keys(
    parser: Parser,  # of a command that takes settings
) -> None:
    "Add a flag for every key, grouped by step, explained by the key's own text"
    defaults = Settings()
    for section, text in SECTIONS.items():
        group = parser.add_argument_group(f"[{section}]", text)
        for name in (name for name, f in KEYS.items() if f.metadata["section"] == section):
            default = format_value(getattr(defaults, name)) or "none"
            tasks = f", task = {' or '.join(only)}" if (only := KEYS[name].metadata.get("tasks")) else ""
            help_text = f"{KEYS[name].metadata['help']} (default: {default}{tasks})".replace("%", "%%")
            alone = {"nargs": "?", "const": "true"} if TYPES[name] is bool else {}
            group.add_argument(f"--{name}", metavar="VALUE", default=argparse.SUPPRESS, help=help_text, **alone)


def read_settings(
    args: argparse.Namespace,  # of a command that takes settings
    extra: dict[str, object],  # fields of TrainingArguments
    base: Settings | None = None,  # of a run that is continued; default: the preset, or the defaults
) -> Settings:
    "Return the settings: of flag, file, preset and default, the first that gives a key counts"
    settings = base or (Settings.preset(args.preset) if args.preset else Settings())
    if file := settings_file(args):
        settings = Settings.read(file, settings)
    flags = {name: parse_value(KEYS[name], getattr(args, name), f"--{name}") for name in KEYS if hasattr(args, name)}
    return settings.replace(**flags, **extra)


def find_runs_dir(
    args: argparse.Namespace,  # of any command
) -> Path:
    "Return `--runs_dir`, else `runs` next to the settings file, else in the current folder"
    if args.runs_dir:
        return Path(args.runs_dir)
    file = settings_file(args)
    return (Path(file).parent if file else Path()) / "runs"


def settings_file(
    args: argparse.Namespace,  # of any command
) -> str | None:
    "Return the settings file that was given, or None. Raises `UserError` for a table in its place"
    given = getattr(args, "settings", None) or []
    tables = [word for word in given if Path(word).suffix.lower() not in (".ini", ".cfg", ".conf", "")]
    if tables:
        several = (
            f" With a pattern, put quotes around it: --train_file '*{Path(tables[0]).suffix}'."
            if len(given) > 1
            else ""
        )
        raise UserError(f"{tables[0]}: is not a settings file. Did you mean --train_file {tables[0]}?{several}")
    if len(given) > 1:
        raise UserError(f"{given[1]}: one settings file is enough. Give flags for what differs from {given[0]}.")
    return given[0] if given else None


def add_columns(
    parser: Parser,  # of a command that reads labelled rows
) -> None:
    "Add the names of the columns"
    parser.add_argument("--text_column_name", metavar="C", help="the column with the text (default: found)")
    parser.add_argument("--label_column_name", metavar="C", help="the column with the label (default: found)")


READING = ("encoding", "delimiter", "quoting", "column_names", "sheet_name", "sql_query")  # keys about one file


def add_reading(
    parser: Parser,  # of a command that reads a file
) -> None:
    "Add what a person may say about a file instead of having it found"
    for name in READING:
        help_text = KEYS[name].metadata["help"].replace("%", "%%")
        parser.add_argument(f"--{name}", metavar="VALUE", help=help_text)


def read_options(
    args: argparse.Namespace,  # of a command that reads a file
) -> dict[str, object]:
    "Return what was said about the file, as fields of `ReadOptions`"
    given = {name: getattr(args, name) for name in READING if getattr(args, name) is not None}
    return {name: parse_value(KEYS[name], value, f"--{name}") for name, value in given.items()}


def add_settings(
    parser: Parser,  # of a command that takes settings
) -> None:
    "Add the settings file, the preset and the keys"
    parser.add_argument("settings", nargs="*", metavar="SETTINGS.INI", help="a settings file")
    parser.add_argument("--preset", metavar="NAME", help=f"a ready experiment: {', '.join(PRESETS)}")
    add_keys(parser)


def add_run(
    parser: Parser,  # of a command on one run
) -> None:
    "Add the run"
    parser.add_argument("run", metavar="RUN", help="a run folder, or a name below runs_dir")


def load_run(args):
    "Return the run that was named. What is wrong with names and files is said before torch is loaded"
    from ftkit.files.tables import check_source
    from ftkit.runs.folder import find_run

    folder = find_run(args.run, find_runs_dir(args))
    if args.file:
        check_source(args.file)
    from ftkit.fine_tuning import Run

    return Run(folder)
