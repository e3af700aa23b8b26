"The command line: flags are the keys of settings.ini. Nothing heavy is loaded here."

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftkit import __version__
from ftkit.errors import UserError
from ftkit.settings import KEYS, PRESETS, SECTIONS, TYPES, Settings, check_key, format_value, parse_plain, parse_value

FLAGS = ("preset", "run", "resume", "rerun", "runs_dir", "json", "help")  # of `train`, beside the keys


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
        raise UserError(f"{message}. See `{self.prog} --help`.")


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
    if not command.takes_training_arguments:
        return (parser.parse_intermixed_args(argv),)
    argv, extra = take_training_arguments(argv)
    return parser.parse_intermixed_args(argv), extra


def take_training_arguments(
    argv: list[str],  # what follows the command's name
) -> tuple[list[str], dict[str, object]]:
    "Take out the flags that are fields of TrainingArguments alone: `--adam_beta2 0.95`, `--bf16`, `--lr_scheduler_type=cosine`"
    ours, extra, argv = [], {}, list(argv)
    while argv:
        word = argv.pop(0)
        flag, equals, value = word.partition("=")
        if not flag.startswith("--") or flag.removeprefix("--") in {*KEYS, *FLAGS}:
            ours.append(word)
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
        for name in defaults.section(section):
            default = format_value(getattr(defaults, name)) or "none"
            help_text = f"{KEYS[name].metadata['help']} (default: {default})".replace("%", "%%")
            alone = {"nargs": "?", "const": "true"} if TYPES[name] is bool else {}
            group.add_argument(f"--{name}", metavar="VALUE", default=argparse.SUPPRESS, help=help_text, **alone)


def read_settings(
    args: argparse.Namespace,  # of a command that takes settings
    extra: dict[str, object],  # fields of TrainingArguments
) -> Settings:
    "Return the settings: of flag, file, preset and default, the first that gives a key counts"
    settings = Settings.preset(args.preset) if args.preset else Settings()
    if args.settings:
        settings = Settings.read(args.settings, settings)
    flags = {name: parse_value(KEYS[name], getattr(args, name), f"--{name}") for name in KEYS if hasattr(args, name)}
    return settings.replace(**flags, **extra)


def find_runs_dir(
    args: argparse.Namespace,  # of any command
) -> Path:
    "Return `--runs_dir`, else `runs` next to the settings file, else in the current folder"
    if args.runs_dir:
        return Path(args.runs_dir)
    return (Path(args.settings).parent if getattr(args, "settings", None) else Path()) / "runs"


def add_settings(
    parser: Parser,  # of a command that takes settings
) -> None:
    "Add the settings file, the preset and the keys"
    parser.add_argument("settings", nargs="?", metavar="SETTINGS.INI", help="a settings file")
    parser.add_argument("--preset", metavar="NAME", help=f"a ready experiment: {', '.join(PRESETS)}")
    add_keys(parser)


def add_run(
    parser: Parser,  # of a command on one run
) -> None:
    "Add the run"
    parser.add_argument("run", metavar="RUN", help="a run folder, or a name below runs_dir")
