"""The commands of an experiment, each with its arguments. To add one: two functions and a row in `COMMANDS`.

Those that use a finished run are in `serving.py`."""

import json
import logging
from pathlib import Path

from ftkit.cli.output import print_json, print_lines
from ftkit.cli.parser import (
    Command,
    add_columns,
    add_reading,
    add_run,
    add_settings,
    find_runs_dir,
    load_run,
    read_options,
    read_settings,
)
from ftkit.errors import NOTHING_MADE, RunFailed, UserError, escape_controls
from ftkit.settings import KEYS, TASKS, Settings, parse_value

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
FOUND = 3  # exit code of `check` if there is something to know
logger = logging.getLogger(__name__)


def add_train(parser):
    add_settings(parser)
    parser.add_argument("--run", metavar="NAME", help="name of the new run (default: date and time)")
    parser.add_argument("--resume", metavar="RUN", help="continue a run that was stopped, failed or killed")
    parser.add_argument(
        "--rerun",
        metavar="RUN",
        help="repeat a run from its record, as a new run next to it, and say whether the result is the same",
    )
    parser.add_argument(
        "--continue_from",
        metavar="RUN",
        help="train further in a new run: the settings and rows of a finished run, the same test rows, and a verdict "
        "on the two. Flags change settings; those that define rows or labels stay",
    )
    parser.add_argument(
        "--start",
        metavar="WHAT",
        default=None,
        help="with --continue_from: weights (those of the run; default) or base (those of its base model)",
    )
    parser.add_argument(
        "--add_feedback", metavar="FILE", help="judged answers for the training rows: the same as --feedback_file"
    )


def train(args, extra):
    "Run an experiment, or continue or repeat one"
    if args.add_feedback:
        args.feedback_file = args.add_feedback
    runs_dir = find_runs_dir(args)
    settings = read_settings(args, extra, read_continued(args, runs_dir))
    given = args.settings or args.preset or extra or any(hasattr(args, name) for name in KEYS)
    if args.rerun is not None and (given or args.resume is not None):
        raise UserError("--rerun repeats a run with its own settings. Give only --run with it, or start a new run.")
    if args.resume is not None and (given or args.run is not None):
        raise UserError(
            "--resume continues a run with its own settings. Give nothing else with it, or start a new run."
        )
    check_names(args, settings, runs_dir)
    try:
        from ftkit.fine_tuning import Run, fine_tune
        from ftkit.views.console import quiet_libraries
    except KeyboardInterrupt:  # while libraries load, which takes seconds
        logger.warning(NOTHING_MADE)
        raise

    quiet_libraries()
    if args.rerun is not None:
        tuned = Run.load(args.rerun, runs_dir).rerun(name=args.run, runs_dir=args.runs_dir)
    elif args.resume is not None:
        tuned = Run.load(args.resume, runs_dir).resume()
    elif args.continue_from is not None:
        parent = Run.load(args.continue_from, runs_dir)
        start = args.start or "weights"
        tuned = fine_tune(settings, None, args.runs_dir, args.run, continue_from=parent, start=start)
    else:
        tuned = fine_tune(settings, runs_dir=runs_dir, name=args.run)
    if args.json:
        return print_json(tuned.record)
    print_result(tuned)


def read_continued(args, runs_dir: Path) -> Settings | None:
    "Return the settings of the run that is continued, or None. Raises `UserError` for what does not go with it"
    from ftkit.runs.folder import RunFolder, find_run

    if args.continue_from is None:
        if args.start is not None:
            raise UserError(f"--start {args.start}: is for --continue_from RUN. Give both, or neither.")
        return None
    if args.resume is not None or args.rerun is not None:
        raise UserError("--continue_from makes a new run, --resume and --rerun work on an old one. Give one of them.")
    if args.settings or args.preset:
        raise UserError("--continue_from takes the settings of the run. Give flags for what differs from them.")
    return RunFolder(find_run(args.continue_from, runs_dir)).settings


def check_names(args, settings: Settings, runs_dir: Path) -> None:
    "Raise `UserError` for a run or a file that cannot be used, before torch is loaded"
    from ftkit.runs.folder import check_name, find_run

    check_name(args.run, args.runs_dir if args.rerun or args.continue_from else runs_dir)
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
    from ftkit.views.advice import advise_run
    from ftkit.views.scores import describe_continued, describe_others, describe_slices, ladder_rows

    record, headline = tuned.record, tuned.task.headline
    print_lines(f"{'rung':<12} {headline:>8}   interval          seconds")
    always = record.get("always") or {}
    for row in ladder_rows(record):
        interval = "" if row["from"] is None else f"[{row['from']:.3f}, {row['to']:.3f}]"
        score = "-" if row[headline] is None else f"{row[headline]:.3f}"
        answer = f"   always {always[row['rung']]}" if row["rung"] in always else ""
        print_lines(f"{row['rung']:<12} {score:>8}   {interval:<14} {row['seconds']:>10}{answer}")
    for rung, problem in record["unfitted"].items():
        print_lines(f"{rung:<12} could not be fitted ({problem})")
    for line in describe_others(record):
        print_lines(f"test    {line}")
    print_lines("", *(v["text"] for v in record["verdicts"]))
    if advice := advise_run(record, tuned.history, tuned.settings):
        print_lines("", *(f"try     {found}" for found in advice))
    if record["looks"]:
        warning = ": the more looks, the less a good score means" if record["looks"] > 1 else ""
        print_lines("", f"look {record['looks']} at these {record['data']['test']['rows']:,} test rows{warning}")
    print_lines(f"run     {tuned.path}", f"model   {tuned.path / 'model'}", f"report  {tuned.path / 'report.html'}")
    if record["continued"]:
        print_lines("", *describe_continued(record["continued"]), *describe_slices(record["continued"]["slices"]))
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
    parser.add_argument(
        "--shard", metavar="I/N", help="only the rows of the I-th of N shares of --file (whole parts of 2,048 rows)"
    )
    parser.add_argument("--join", metavar="DIR", help="join the shards in a folder into --out")
    add_reading(parser)


def predict(args):
    "Answer texts with a run's model"
    from ftkit.serving.batch import check_output
    from ftkit.views.console import quiet_libraries

    check_words(args)
    if args.out:
        check_output(Path(args.out), args.file, args.force)
    run = load_run(args)
    quiet_libraries()
    if args.join:
        return join_shards(run, args)
    if args.file:
        return predict_file(run, args)
    texts, others = read_texts(run, args)
    rows = run.predict(texts)
    if args.out:
        from ftkit.serving.batch import write_rows

        options = {"separator": SEPARATORS[args.separator], "bom": args.bom, "force": args.force}
        changed = write_rows(Path(args.out), texts, rows, others, keys=run.task.answer_keys, **options)
        return log_written(args.out, len(rows), changed)
    print_answers(run, args, texts, rows)


def check_words(args) -> None:
    "Raise `UserError` unless one of texts, --file and --join is given, and what it needs"
    if args.join and (args.texts or args.file or args.shard or not args.out):
        raise UserError("--join joins shards into a file. Write: ftkit predict RUN --join DIR --out rows.csv")
    if bool(args.texts) == bool(args.file) and not args.join:
        raise UserError(
            "predict takes texts or --file, one of the two. "
            "Write: ftkit predict RUN 'a text', or ftkit predict RUN --file rows.csv"
        )
    if args.shard and not (args.file and args.out):
        raise UserError(
            "--shard is a share of the rows of a file. Write: "
            "ftkit predict RUN --file rows.csv --shard 1/4 --out shards/1.csv"
        )


def predict_file(run, args) -> None:
    "Answer the rows of a file in pieces: memory does not grow with them"
    from ftkit.files.rows import ReadOptions
    from ftkit.files.streams import open_rows
    from ftkit.serving.parts import PART, OutputForm, Predictor, Progress, parse_shard, predict_rows_of

    shard, options = parse_shard(args.shard) if args.shard else None, read_options(args)
    rows, predictor = open_rows(args.file, ReadOptions(**options)), Predictor(run, args.text_column_name)
    if args.out:
        reading = json.dumps({**options, "text_column_name": args.text_column_name}, sort_keys=True)
        form = OutputForm(Path(args.out).suffix, SEPARATORS[args.separator], args.bom, reading)
        written = predict_rows_of(predictor, rows, Path(args.out), form, shard, args.force)
        return log_written(args.out, written.rows, written.changed, written.kept)
    with Progress(rows.count) as progress:
        for table in rows.tables(PART):
            texts, _ = predictor.read(table)
            print_answers(run, args, texts, predictor.answer(texts, progress.add))


def join_shards(run, args) -> None:
    "Join the outputs of shards"
    from ftkit.serving.parts import Predictor, join_shards

    written = join_shards(Path(args.join), Path(args.out), Predictor(run).identity, args.force)
    log_written(args.out, written.rows, written.changed)


def log_written(out: str, rows: int, changed: int, kept: int = 0) -> None:
    "Log what was written"
    guarded = f"; {changed:,} texts that a spreadsheet would take for a formula have a ' in front" if changed else ""
    earlier = f"; {kept:,} of them were there from an earlier start" if kept else ""
    logger.info(f"{rows:,} rows in {out}, in the order of the input{earlier}{guarded}")


def print_answers(run, args, texts: list, rows: list[dict]) -> None:
    "Print answers, a line each"
    from ftkit.checks.columns import show_pair

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
    "Return the texts on the command line or on stdin, and the other columns that stdin holds"
    from ftkit.files.rows import ReadOptions
    from ftkit.files.tables import read_table
    from ftkit.serving.parts import Predictor

    if args.texts != ["-"]:
        return args.texts, {}
    return Predictor(run, args.text_column_name).read(read_table("-", ReadOptions(**read_options(args))))


def add_check(parser):
    parser.add_argument("file", metavar="FILE", help="rows: a file, a pattern, a folder, or - for stdin")
    parser.add_argument("--test_file", metavar="F", help="test rows, to find those that are training rows too")
    parser.add_argument("--html", metavar="F", help="also write what was found as a page")
    parser.add_argument("--task", metavar="VALUE", help=f"what the rows are for: {', '.join(TASKS)} (default: found)")
    add_columns(parser)
    add_reading(parser)


def check(args):
    "Examine labelled rows without training. The exit code is 3 if something was found"
    from ftkit.files.tables import check_source

    task = args.task and parse_value(KEYS["task"], args.task, "--task")
    for source in filter(None, (args.file, args.test_file)):
        check_source(source)
    from ftkit.checks.report import describe_examination, examine
    from ftkit.data import read_source
    from ftkit.files.rows import ReadOptions

    options = ReadOptions(**read_options(args))
    tables = read_source(train_file=args.file, test_file=args.test_file, options=options)
    result = examine(tables, args.text_column_name, args.label_column_name, task)
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
    from ftkit.serving.promotion import read_promoted

    try:
        promoted = (read_promoted(root) or {}).get("run")
    except UserError as e:  # the runs are listed all the same
        logger.warning(str(e))
        promoted = None
    rows = [{**row, "promoted": row["run"] == promoted} for row in summarise_runs(list_runs(root))]
    if args.json:
        return print_json({"runs": rows})
    print_lines(f"{'run':<28} {'status':<9} {'test score':<34} {'seconds':>8}  model")
    for row in rows:
        score = row[row["headline"]]
        score = f"{row['headline']} {score}" if score else "-"
        mark = "  (promoted)" if row["promoted"] else ""
        print_lines(
            f"{row['run']:<28} {row['status']:<9} {score:<34} {row['seconds'] or '-':>8}  {row['model']}{mark}"
        )


COMMANDS = {
    command.name: command
    for command in (
        Command("train", "run an experiment", add_train, train, takes_training_arguments=True),
        Command("evaluate", "score a run's model on labelled rows", add_evaluate, evaluate),
        Command("predict", "answer texts with a run's model", add_predict, predict),
        Command("check", "examine labelled rows without training", add_check, check),
        Command("forecast", "say what a training would take", add_forecast, forecast, takes_training_arguments=True),
        Command("runs", "list the runs, or compare two of them", add_runs, runs),
    )
}
