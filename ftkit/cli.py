"The command `ftkit`. Its flags are the keys of settings.ini; nothing heavy is loaded before it is needed."

import argparse
import json
import os
import signal
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

from ftkit import __version__
from ftkit.errors import RunFailed, UserError, nearest, scrubbed, visible
from ftkit.settings import KEYS, PRESETS, SECTIONS, TYPES, Settings, check_known, plain_value, typed, written

COMMANDS = ("train", "evaluate", "predict", "runs")
INTERRUPTED, TERMINATED = 130, 143


class Parser(argparse.ArgumentParser):
    "A parser whose errors are one line on stderr"

    def error(self, message):
        raise UserError(f"{message}. See `{self.prog} --help`.")


class Terminated(SystemExit):
    "SIGTERM has come"


def default_of(name: str) -> str:
    "A key's default, as settings.ini would state it"
    return written(getattr(Settings(), name)) or "none"


def add_keys(parser: argparse.ArgumentParser) -> None:
    "A flag for every key, grouped by step, explained by the key's own text"
    for section, text in SECTIONS.items():
        group = parser.add_argument_group(f"[{section}]", text)
        for name, f in KEYS.items():
            if f.metadata["section"] == section:
                help_text = f"{f.metadata['help']} (default: {default_of(name)})".replace("%", "%%")
                alone = {"nargs": "?", "const": "true"} if TYPES[name] is bool else {}
                group.add_argument(f"--{name}", metavar="VALUE", default=argparse.SUPPRESS, help=help_text, **alone)


def build_parser() -> Parser:
    "The command line"
    parser = Parser(
        prog="ftkit",
        description="Fine-tune language models, with numbers you can trust and runs that survive.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ftkit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    shared = Parser(add_help=False, allow_abbrev=False)
    shared.add_argument(
        "--runs_dir",
        metavar="DIR",
        help="the folder of the runs (default: runs beside the settings file, else in the current folder)",
    )
    shared.add_argument("--json", action="store_true", help="one JSON object on stdout and nothing else there")
    train = commands.add_parser(
        "train",
        parents=[shared],
        allow_abbrev=False,
        help="run an experiment",
        description="Run an experiment: settings come from flags, then the file, then the preset, then the defaults.",
    )
    train.add_argument("settings", nargs="?", metavar="SETTINGS.INI", help="a settings file")
    train.add_argument("--preset", metavar="NAME", help=f"a ready experiment: {', '.join(PRESETS)}")
    train.add_argument("--run", metavar="NAME", help="name of the new run (default: date and time)")
    train.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped, failed or killed")
    train.add_argument(
        "--rerun",
        metavar="RUN",
        help="repeat a run from its record, as a new run beside it, and say whether the result is the same",
    )
    add_keys(train)
    evaluate = commands.add_parser(
        "evaluate", parents=[shared], allow_abbrev=False, help="score a run's model on labelled rows"
    )
    evaluate.add_argument("run", metavar="RUN", help="a run folder, or a name below runs_dir")
    evaluate.add_argument("--file", metavar="F", help="labelled rows (default: the run's own test rows)")
    predict = commands.add_parser(
        "predict", parents=[shared], allow_abbrev=False, help="classify texts with a run's model"
    )
    predict.add_argument("run", metavar="RUN", help="a run folder, or a name below runs_dir")
    predict.add_argument("texts", nargs="*", metavar="TEXT", help="texts to classify")
    predict.add_argument("--file", metavar="F", help="texts from a file's text column")
    predict.add_argument(
        "--text_column_name",
        metavar="C",
        help="the column with the text (default: the one that the run was trained on)",
    )
    predict.add_argument("--out", metavar="F", help="write a .csv or .jsonl file instead of stdout")
    runs = commands.add_parser(
        "runs", parents=[shared], allow_abbrev=False, help="list the runs, or compare two of them"
    )
    runs.add_argument("runs", nargs="*", metavar="RUN", help="two runs to compare")
    return parser


def pass_through(argv: list[str]) -> tuple[list[str], dict[str, object]]:
    "Take out the flags that are fields of TrainingArguments alone: `--adam_beta2 0.95`, `--bf16`, `--lr_scheduler_type=cosine`"
    ours, extra, argv = [], {}, list(argv)
    own = {*KEYS, "preset", "run", "resume", "rerun", "runs_dir", "json", "help"}
    while argv:
        word = argv.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name in own:
            ours.append(word)
            continue
        if not equals:
            value = argv.pop(0) if argv and not argv[0].startswith("--") else "true"
        check_known(name, "trainer", f"--{name}")
        extra[name] = plain_value(value)
    return ours, extra


def settings_of(args: argparse.Namespace, extra: dict[str, object]) -> Settings:
    "Flag, file, preset, default: the first that says something about a key counts"
    settings = Settings.preset(args.preset) if args.preset else Settings()
    if args.settings:
        settings = Settings.read(args.settings, settings)
    flags = {name: typed(KEYS[name], getattr(args, name), f"--{name}") for name in KEYS if hasattr(args, name)}
    return settings.replace(**flags, **extra)


def runs_dir_of(args: argparse.Namespace) -> Path:
    "`--runs_dir`, else `runs` beside the settings file, else in the current folder"
    if args.runs_dir:
        return Path(args.runs_dir)
    beside = Path(args.settings).parent if getattr(args, "settings", None) else Path()
    return beside / "runs"


def dump(value: object) -> None:
    "One JSON value on stdout"
    from ftkit.run import plain

    print(json.dumps(plain(value), ensure_ascii=False, allow_nan=False), flush=True)


def show(*lines: str, keep: str = "") -> None:
    "Lines on stdout; what comes from data or a stranger's run cannot forge another line or move the cursor"
    print(*(visible(line, keep) for line in lines), sep="\n", flush=True)


def quiet_libraries() -> None:
    "The libraries' own bars and notices would drown ours; errors still show"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def command_train(args: argparse.Namespace, extra: dict[str, object]) -> None:
    "ftkit train"
    settings, runs_dir = settings_of(args, extra), runs_dir_of(args)
    given = args.settings or args.preset or extra or any(hasattr(args, name) for name in KEYS)
    if args.rerun is not None and (given or args.resume is not None):
        raise UserError(
            "--rerun repeats a run with its own settings. Give nothing else with it but --run, or start a new run."
        )
    if args.resume is not None and (given or args.run is not None):
        raise UserError("--resume goes on with a run's own settings. Give nothing else with it, or start a new run.")
    quiet_libraries()
    from ftkit.report import ladder_rows
    from ftkit.run import Run
    from ftkit.trainer import fine_tune

    if args.rerun is not None:
        from ftkit.rerun import rerun

        run = rerun(Run.load(args.rerun, runs_dir), name=args.run, runs_dir=args.runs_dir)
    else:
        run = (
            Run.load(args.resume, runs_dir).resume()
            if args.resume is not None
            else fine_tune(settings, runs_dir=runs_dir, name=args.run)
        )
    if args.json:
        return dump(run.record)
    record = run.record
    show(f"{'rung':<12} {'accuracy':>8}   interval          seconds")
    for row in ladder_rows(record):
        show(f"{row['rung']:<12} {row['accuracy']:>8.3f}   [{row['from']:.3f}, {row['to']:.3f}] {row['seconds']:>10}")
    show("", *(v["text"] for v in record["verdicts"]))
    if record["looks"]:
        show("", f"look {record['looks']} at these {record['data']['test']['rows']:,} test rows")
    show(f"run     {run.path}", f"model   {run.path / 'model'}", f"report  {run.path / 'report.html'}")
    if args.rerun:
        show("", record["rerun"]["text"])


def command_evaluate(args: argparse.Namespace) -> None:
    "ftkit evaluate"
    run = load_run(args)
    quiet_libraries()
    result = run.evaluate(args.file)
    if args.json:
        return dump(result)
    for name in ("accuracy", "f1_macro", "precision_macro", "recall_macro"):
        show(f"{name:<16} {result['metrics'][name]}")
    if result["looks"]:
        show("", f"look {result['looks']} at these {result['rows']:,} rows")


def load_run(args: argparse.Namespace):
    "The run that was named"
    from ftkit.run import Run

    return Run.load(args.run, runs_dir_of(args))


def command_predict(args: argparse.Namespace) -> None:
    "ftkit predict"
    from tqdm import tqdm

    from ftkit.outputs import check_out, texts_of, write_rows
    from ftkit.views import say

    run = load_run(args)
    if args.out:
        check_out(Path(args.out), args.file)
    texts = texts_of(run, args.texts, args.file, args.text_column_name)
    quiet_libraries()
    with tqdm(total=len(texts), desc="predict", unit="row", file=sys.stderr, disable=None, leave=False) as bar:
        rows = run.predict(texts, bar.update)
    if args.out:
        write_rows(Path(args.out), texts, rows)
        return say(f"{len(rows):,} rows in {args.out}")
    for text, row in zip(texts, rows):
        if args.json:
            dump(row)
        else:
            answer = (row["label"], f"{row['score']:.3f}") if "label" in row else ("error", row["error"])
            show("\t".join([*map(visible, answer), repr(text)]), keep="\t")


def command_runs(args: argparse.Namespace) -> None:
    "ftkit runs"
    from ftkit.outputs import compare_runs, comparison_lines, run_rows
    from ftkit.run import Run, list_runs

    root = runs_dir_of(args)
    if len(args.runs) == 2:
        result = compare_runs(*(Run.load(name, root) for name in args.runs))
        return dump(result) if args.json else show(*comparison_lines(result))
    if args.runs:
        raise UserError("name two runs to compare, or none to list them all.")
    rows = run_rows(list_runs(root))
    if args.json:
        return dump({"runs": rows})
    show(f"{'run':<28} {'status':<9} {'test accuracy':<24} {'seconds':>8}  model")
    for row in rows:
        show(
            f"{row['run']:<28} {row['status']:<9} {row['accuracy'] or '-':<24} {row['seconds'] or '-':>8}  {row['model']}"
        )


@contextmanager
def termination_as_exit():
    "SIGTERM ends the work like Ctrl-C does, with its own exit code"

    def terminate(number, frame):
        raise Terminated(TERMINATED)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str] | None = None) -> int:
    "Entry point. 0 done, 1 fault, 2 the user's input, 130 interrupted, 143 terminated"
    try:
        with termination_as_exit():
            return run_command(list(sys.argv[1:] if argv is None else argv))
    except (UserError, RunFailed) as e:
        complain(str(e))
        return 2 if isinstance(e, UserError) else 1
    except (KeyboardInterrupt, Terminated) as e:
        terminated = isinstance(e, Terminated) or signal.SIGTERM in e.args
        complain("terminated" if terminated else "interrupted")
        return TERMINATED if terminated else INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # a fault of the program: shown whole, but for secrets
        print(scrubbed(visible(traceback.format_exc(), keep="\n")), file=sys.stderr)
        return 1


def complain(text: str) -> None:
    "One line on stderr; the errors see to it that it is one, and holds no secret"
    print(f"ftkit: {text}", file=sys.stderr)


def add_late_words(parser: Parser, args: argparse.Namespace, rest: list[str]) -> None:
    "Texts and run names may stand behind a flag too (`ftkit predict RUN --json 'a text'`), where argparse leaves them over"
    words = {"predict": "texts", "runs": "runs"}.get(args.command)
    dashes = rest.index("--") if "--" in rest else len(rest)
    if rest and (words is None or any(word.startswith("-") for word in rest[:dashes])):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if words:
        getattr(args, words).extend(rest[:dashes] + rest[dashes + 1 :])


def run_command(argv: list[str]) -> int:
    "Parse and dispatch"
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        raise UserError(
            f"there is no command '{argv[0]}'.{nearest(argv[0], COMMANDS)} Commands: {', '.join(COMMANDS)}."
        )
    extra = {}
    if argv[:1] == ["train"]:
        argv, extra = pass_through(argv)
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    add_late_words(parser, args, rest)
    if args.command == "train":
        command_train(args, extra)
    elif args.command:
        {"evaluate": command_evaluate, "predict": command_predict, "runs": command_runs}[args.command](args)
    else:
        parser.print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
