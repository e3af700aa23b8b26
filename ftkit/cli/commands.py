"The commands of `ftkit`, each with its arguments. To add one: two functions and a row in `COMMANDS`."

import json
import logging
import sys
from pathlib import Path

from ftkit.cli.parser import (
    Command,
    add_columns,
    add_reading,
    add_run,
    add_settings,
    find_runs_dir,
    read_options,
    read_settings,
)
from ftkit.errors import RunFailed, UserError, escape_controls
from ftkit.settings import KEYS, Settings

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
FOUND = 3  # exit code of `check` if there is something to know
logger = logging.getLogger(__name__)


def print_json(
    value: object,  # of a record
) -> None:
    "Print one JSON value on stdout, in ASCII if its encoding is not UTF-8, which readers of JSON expect"
    from ftkit.runs.folder import to_json_value

    plain = (sys.stdout.encoding or "utf-8").lower().replace("-", "") != "utf8"
    print(json.dumps(to_json_value(value), ensure_ascii=plain, allow_nan=False), flush=True)


def print_lines(
    *lines: str,
    keep: str = "",  # control characters that may stay
) -> None:
    "Print lines on stdout. Text from data or a stranger's run cannot forge another line or move the cursor"
    print(*(escape_controls(line, keep) for line in lines), sep="\n", flush=True)


def load_run(args):
    "Return the run that was named. What is wrong with names and files is said before torch is loaded"
    from ftkit.files.tables import check_source
    from ftkit.runs.folder import find_run

    folder = find_run(args.run, find_runs_dir(args))
    if args.file:
        check_source(args.file)
    from ftkit.fine_tuning import Run

    return Run(folder)


def add_train(parser):
    add_settings(parser)
    parser.add_argument("--run", metavar="NAME", help="name of the new run (default: date and time)")
    parser.add_argument("--resume", metavar="RUN", help="continue a run that was stopped, failed or killed")
    parser.add_argument(
        "--rerun",
        metavar="RUN",
        help="repeat a run from its record, as a new run next to it, and say whether the result is the same",
    )
    parser.add_argument("--add_feedback", metavar="FILE", help="the same as --feedback_file")


def train(args, extra):
    "Run an experiment, or continue or repeat one"
    if args.add_feedback:
        args.feedback_file = args.add_feedback
    settings, runs_dir = read_settings(args, extra), find_runs_dir(args)
    given = args.settings or args.preset or extra or any(hasattr(args, name) for name in KEYS)
    if args.rerun is not None and (given or args.resume is not None):
        raise UserError("--rerun repeats a run with its own settings. Give only --run with it, or start a new run.")
    if args.resume is not None and (given or args.run is not None):
        raise UserError(
            "--resume continues a run with its own settings. Give nothing else with it, or start a new run."
        )
    check_names(args, settings, runs_dir)
    from ftkit.fine_tuning import Run, fine_tune
    from ftkit.views.console import quiet_libraries

    quiet_libraries()
    if args.rerun is not None:
        tuned = Run.load(args.rerun, runs_dir).rerun(name=args.run, runs_dir=args.runs_dir)
    elif args.resume is not None:
        tuned = Run.load(args.resume, runs_dir).resume()
    else:
        tuned = fine_tune(settings, runs_dir=runs_dir, name=args.run)
    if args.json:
        return print_json(tuned.record)
    print_result(tuned)


def check_names(args, settings: Settings, runs_dir: Path) -> None:
    "Raise `UserError` for a run or a file that cannot be used, before torch is loaded"
    from ftkit.runs.folder import check_name, find_run

    check_name(args.run, args.runs_dir if args.rerun else runs_dir)
    if name := args.resume or args.rerun:
        find_run(name, runs_dir)
    else:
        check_sources(settings)


def check_sources(settings: Settings) -> None:
    "Raise `UserError` for a file that cannot be read, before torch is loaded"
    from ftkit.files.tables import check_source

    files = (settings.train_file, settings.validation_file, settings.test_file, settings.feedback_file)
    for source in filter(None, files):
        check_source(source)


def print_result(tuned) -> None:
    "Print the ladder, the verdicts, and where the files are"
    from ftkit.views.scores import ladder_rows

    record, headline = tuned.record, tuned.task.headline
    print_lines(f"{'rung':<12} {headline:>8}   interval          seconds")
    for row in ladder_rows(record):
        interval = "" if row["from"] is None else f"[{row['from']:.3f}, {row['to']:.3f}]"
        score = "-" if row[headline] is None else f"{row[headline]:.3f}"
        print_lines(f"{row['rung']:<12} {score:>8}   {interval:<14} {row['seconds']:>10}")
    for rung, problem in record["unfitted"].items():
        print_lines(f"{rung:<12} could not be fitted ({problem})")
    print_lines("", *(v["text"] for v in record["verdicts"]))
    if record["looks"]:
        print_lines("", f"look {record['looks']} at these {record['data']['test']['rows']:,} test rows")
    print_lines(f"run     {tuned.path}", f"model   {tuned.path / 'model'}", f"report  {tuned.path / 'report.html'}")
    if record.get("rerun"):
        print_lines("", *record["rerun"]["text"].splitlines())


def add_evaluate(parser):
    add_run(parser)
    parser.add_argument("--file", metavar="F", help="labelled rows (default: the run's own test rows)")
    parser.add_argument(
        "--again",
        action="store_true",
        help="repeat all that follows the training, without training: predictions, ladder, scores, card, report",
    )
    add_columns(parser)
    add_reading(parser)


def evaluate(args):
    "Score a run's model"
    from ftkit.files.rows import ReadOptions
    from ftkit.files.tables import read_table
    from ftkit.views.console import quiet_libraries

    if args.again and args.file:
        raise UserError("--again evaluates the run's own rows. Give --again or --file, one of the two.")
    run = load_run(args)
    quiet_libraries()
    if args.again:
        run.evaluate(again=True)
        return print_json(run.record) if args.json else print_result(run)
    rows = args.file
    if rows and (known := read_options(args)):
        rows = read_table(rows, ReadOptions(**known)).columns
    result = run.evaluate(rows, args.text_column_name, args.label_column_name)
    if args.json:
        return print_json(result)
    for name, score in result["metrics"].items():
        if not isinstance(score, dict):
            print_lines(f"{name:<16} {score}")
    if result["looks"]:
        print_lines("", f"look {result['looks']} at these {result['rows']:,} rows")


def add_predict(parser):
    add_run(parser)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts to answer; - reads them from standard input")
    parser.add_argument("--file", metavar="F", help="texts from a file's text column; a .txt has a text in each line")
    parser.add_argument(
        "--text_column_name",
        metavar="C",
        help="the column with the text (default: the one that the run was trained on)",
    )
    parser.add_argument(
        "--out", metavar="F", help="write a .csv or .jsonl file instead of stdout; other columns come along"
    )
    parser.add_argument(
        "--separator",
        metavar="S",
        default="comma",
        choices=list(SEPARATORS),
        help="of a .csv: comma, semicolon or tab",
    )
    parser.add_argument("--bom", action="store_true", help="begin a .csv with a byte order mark, which Excel wants")
    parser.add_argument("--force", action="store_true", help="replace a file that is already there")
    add_reading(parser)


def predict(args):
    "Answer texts with a run's model"
    from tqdm import tqdm

    from ftkit.checks.columns import show_pair
    from ftkit.serving.batch import check_output, write_rows
    from ftkit.views.console import quiet_libraries

    if args.out:
        check_output(Path(args.out), args.file, args.force)
    run = load_run(args)
    texts, others = read_texts(run, args)
    quiet_libraries()
    with tqdm(total=len(texts), desc="predict", unit="row", file=sys.stderr, disable=None, leave=False) as bar:
        rows = run.predict(texts, bar.update)
    if args.out:
        options = {"separator": SEPARATORS[args.separator], "bom": args.bom, "force": args.force}
        options["keys"] = run.task.answer_keys
        changed = write_rows(Path(args.out), texts, rows, others, **options)
        guarded = (
            f"; {changed:,} texts that a spreadsheet would take for a formula have a ' in front" if changed else ""
        )
        return logger.info(f"{len(rows):,} rows in {args.out}, in the order of the input{guarded}")
    for text, row in zip(texts, rows):
        if args.json:
            print_json(row)
        else:
            answer = ("error", row["error"]) if "error" in row else [row[key] for key in run.task.answer_keys]
            shown = [escape_controls(format_answer(value)) for value in answer]
            print_lines("\t".join([*shown, repr(show_pair(text))]), keep="\t")


def format_answer(value: object) -> str:
    "Return a value of an answer for a person to read"
    from ftkit.serving.batch import spell_answer

    return f"{value:.3f}" if isinstance(value, float) else str(spell_answer(value)) or "none"


def read_texts(run, args) -> tuple[list, dict[str, list]]:
    "Return the texts on the command line, on stdin, or in a file, and the other columns of the file"
    from ftkit.files.rows import ReadOptions
    from ftkit.files.tables import read_table

    file = "-" if args.texts == ["-"] else args.file
    if bool(args.texts) == bool(args.file):
        raise UserError(
            "predict takes texts or --file, one of the two. "
            "Write: ftkit predict RUN 'a text', or ftkit predict RUN --file rows.csv"
        )
    if not file:
        return args.texts, {}
    table = read_table(file, ReadOptions(**read_options(args)))
    used = (args.text_column_name or run.data["text_column"]).split(", ")
    others = {name: values for name, values in table.columns.items() if name not in used and len(table.columns) > 1}
    return run.task.read_prompts(table, run.data, args.text_column_name), others


def add_check(parser):
    parser.add_argument("file", metavar="FILE", help="rows: a file, a pattern, a folder, or - for stdin")
    parser.add_argument("--test_file", metavar="F", help="test rows, to find those that are training rows too")
    parser.add_argument("--html", metavar="F", help="also write what was found as a page")
    add_columns(parser)
    add_reading(parser)


def check(args):
    "Examine labelled rows without training. The exit code is 3 if something was found"
    from ftkit.files.tables import check_source

    for source in filter(None, (args.file, args.test_file)):
        check_source(source)
    from ftkit.checks.report import describe_examination, examine
    from ftkit.data import read_source
    from ftkit.files.rows import ReadOptions

    options = ReadOptions(**read_options(args))
    tables = read_source(train_file=args.file, test_file=args.test_file, options=options)
    result = examine(tables, args.text_column_name, args.label_column_name)
    print_json(result) if args.json else print_lines(*describe_examination(result))
    if args.html:  # last: what was found is printed even if the page cannot be written
        from ftkit.views.examination import write_examination

        logger.info(f"page written: {write_examination(result, args.html)}")
    return FOUND if result["findings"] else 0


def add_forecast(parser):
    add_settings(parser)


def forecast(args, extra):
    "Say what a training would take. Nothing is trained, and no run folder is made"
    from dataclasses import asdict

    settings, runs_dir = read_settings(args, extra), find_runs_dir(args)
    check_sources(settings)
    from ftkit.files.atomic import format_bytes
    from ftkit.fine_tuning import prepare
    from ftkit.views.console import quiet_libraries
    from ftkit.views.scores import format_seconds

    quiet_libraries()
    found = prepare(settings.replace(preflight="false"), runs_dir=runs_dir).forecast
    if found is None:
        raise RunFailed("no forecast: the trial steps ran out of memory, or their loss was not finite.")
    if args.json:
        return print_json(asdict(found))
    print_lines(
        f"training  {format_seconds(found.train_seconds)} ({format_seconds(found.train_cpu_seconds)} of CPU)",
        f"in all    {format_seconds(found.total_seconds)}, with predictions, ladder and report",
        f"memory    {format_bytes(found.peak_bytes)}",
        f"disk      {format_bytes(found.disk_bytes)}",
        f"threads   {found.threads}",
        f"fits      {'yes' if found.fits else 'no: memory or disk of this machine do not suffice'}",
        "",
        *found.advice,
    )


def add_export(parser):
    parser.add_argument("source", metavar="RUN|FILE", help="a run, whose rows are exported, or a file of rows")
    parser.add_argument("--to", required=True, choices=["openai"], help="openai: a fine-tuning file in JSON Lines")
    parser.add_argument("--out", metavar="F", required=True, help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace a file that is already there")
    parser.add_argument("--price", metavar="P", type=float, help="of a million training tokens, for the price line")
    parser.add_argument("--epochs", metavar="N", type=float, default=3, help="for the price line (default: 3)")
    add_columns(parser)
    add_reading(parser)


def export(args):
    "Write rows for another tool"
    from ftkit.data import read_source
    from ftkit.files.rows import ReadOptions
    from ftkit.files.tables import check_source
    from ftkit.runs.folder import RunFolder, find_run
    from ftkit.serving.export import export_openai

    names = [args.text_column_name, args.label_column_name]
    if Path(args.source).is_file():
        check_source(args.source)
        tables = read_source(train_file=args.source, options=ReadOptions(**read_options(args)))
    else:
        run = RunFolder(find_run(args.source, find_runs_dir(args)))
        keys = run.settings.section("data")
        tables = read_source(**{k: keys[k] for k in ("dataset_name", "dataset_config_name", "train_file")})
        names = [keys["text_column_name"], keys["label_column_name"]]
    found = export_openai(tables, args.out, *names, args.force)
    if args.json:
        return print_json(
            {"out": str(found.path), "rows": found.rows, "dropped": found.dropped, "tokens": found.tokens}
        )
    print_lines(*found.describe(args.price, args.epochs))


def add_runs(parser):
    parser.add_argument("runs", nargs="*", metavar="RUN", help="two runs to compare")


def runs(args):
    "List runs, or compare two"
    from ftkit.runs.folder import find_run, list_runs

    root = find_runs_dir(args)
    if len(args.runs) == 2:
        folders = [find_run(name, root) for name in args.runs]
        from ftkit.fine_tuning import Run
        from ftkit.runs.comparison import compare_runs, describe_comparison

        a, b = map(Run, folders)
        result = compare_runs(a, b, a.task)
        return print_json(result) if args.json else print_lines(*describe_comparison(result))
    if args.runs:
        raise UserError("name two runs to compare, or none to list them all.")
    from ftkit.runs.listing import summarise_runs

    rows = summarise_runs(list_runs(root))
    if args.json:
        return print_json({"runs": rows})
    print_lines(f"{'run':<28} {'status':<9} {'test score':<34} {'seconds':>8}  model")
    for row in rows:
        score = row[row["headline"]]
        score = f"{row['headline']} {score}" if score else "-"
        print_lines(f"{row['run']:<28} {row['status']:<9} {score:<34} {row['seconds'] or '-':>8}  {row['model']}")


COMMANDS = {
    command.name: command
    for command in (
        Command("train", "run an experiment", add_train, train, takes_training_arguments=True),
        Command("evaluate", "score a run's model on labelled rows", add_evaluate, evaluate),
        Command("predict", "answer texts with a run's model", add_predict, predict),
        Command("check", "examine labelled rows without training", add_check, check),
        Command("forecast", "say what a training would take", add_forecast, forecast, takes_training_arguments=True),
        Command("export", "write rows for another tool", add_export, export),
        Command("runs", "list the runs, or compare two of them", add_runs, runs),
    )
}
