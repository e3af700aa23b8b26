"The commands that use a finished run, each with its arguments. To add one: two functions and a row in `COMMANDS`."

import logging
import shlex
import sys
from pathlib import Path

from ftkit.cli.output import print_json, print_lines
from ftkit.cli.parser import Command, add_columns, add_reading, add_run, find_runs_dir, read_options
from ftkit.errors import UserError, did_you_mean

DRIFTED = 3  # exit code of `monitor`
logger = logging.getLogger(__name__)


def add_export(parser):
    forms = "; ".join(f"{name}: {help_text}" for name, (_, help_text) in EXPORTS.items())
    parser.add_argument("source", metavar="RUN|FILE", help="a run; for openai also a file of rows")
    parser.add_argument("--to", metavar="FORM", required=True, help=forms)
    parser.add_argument("--out", metavar="F", required=True, help="the file or folder to write")
    parser.add_argument("--force", action="store_true", help="replace a file that is already there")
    parser.add_argument("--price", metavar="P", type=float, help="of a million training tokens, for the price line")
    parser.add_argument("--epochs", metavar="N", type=float, default=3, help="for the price line (default: 3)")
    add_columns(parser)
    add_reading(parser)


def export(args):
    "Write a run, or rows, for another tool"
    name = args.to.partition("=")[0]
    if name not in EXPORTS:
        raise UserError(f"--to {args.to}: is unknown.{did_you_mean(name, EXPORTS)} Write {', '.join(EXPORTS)}.")
    return EXPORTS[name][0](args)


def export_docker(args):
    "Write a folder from which a container image is built"
    from ftkit.runs.folder import RunFolder, find_run
    from ftkit.serving.docker import export_docker

    folder = export_docker(RunFolder(find_run(args.source, find_runs_dir(args))), args.out, args.force)
    if args.json:
        return print_json({"out": str(folder), "files": sorted(p.name for p in folder.iterdir())})
    print_lines(f"written  {folder}", f"start    cd {shlex.quote(str(folder))} && cat README.md")


def export_openai(args):
    "Write rows as OpenAI's fine-tuning reads them"
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


def export_shrunk(args):
    "Write a smaller or faster form of a run's model, and say what it costs"
    from ftkit.fine_tuning import Run
    from ftkit.runs.folder import find_run
    from ftkit.serving.shrink import describe_shrunk, shrink
    from ftkit.views.console import quiet_libraries

    quiet_libraries()
    record = shrink(Run(find_run(args.source, find_runs_dir(args))), args.to, args.out, args.force)
    if args.json:
        return print_json(record)
    use = f"open_shrunk({record['out']!r}).predict([...])"
    print_lines(*describe_shrunk(record), f"written  {record['out']}", f"use      ftkit.serving.shrink.{use}")


EXPORTS = {  # what --to names (a value may follow: layers=2) -> the function and its help
    "openai": (export_openai, "a fine-tuning file in JSON Lines"),
    "docker": (export_docker, "a folder with a Dockerfile, the model inside"),
    "int8": (export_shrunk, "the model with weights in 8 bits, for torch on a CPU"),
    "onnx": (export_shrunk, "a graph for onnxruntime (onnx=int8: weights in 8 bits)"),
    "layers": (export_shrunk, "the model with N of its layers (layers=N), trained a little more"),
}


def add_monitor(parser):
    add_run(parser)
    parser.add_argument("file", metavar="FILE", help="new texts: a file, a pattern, a folder, or - for stdin")
    parser.add_argument("--html", metavar="F", help="also write what was found as a page")
    add_columns(parser)
    add_reading(parser)


def monitor(args):
    "Compare new texts with a run's validation rows. The exit code is 3 if they have drifted"
    from tqdm import tqdm

    from ftkit.files.rows import ReadOptions
    from ftkit.files.tables import check_source, read_table
    from ftkit.runs.folder import find_run

    folder = find_run(args.run, find_runs_dir(args))
    check_source(args.file)
    table = read_table(args.file, ReadOptions(**read_options(args)))
    from ftkit.fine_tuning import Run
    from ftkit.serving.monitor import monitor
    from ftkit.views.console import quiet_libraries
    from ftkit.views.monitoring import describe_monitoring, write_monitoring

    quiet_libraries()
    with tqdm(desc="monitor", unit="row", file=sys.stderr, disable=None, leave=False) as bar:
        result = monitor(Run(folder), table, args.text_column_name, args.label_column_name, progress=bar.update)
    print_json(result) if args.json else print_lines(*describe_monitoring(result))
    if args.html:  # last: what was found is printed even if the page cannot be written
        logger.info(f"page written: {write_monitoring(result, args.html)}")
    return DRIFTED if result["drift"] else 0


def add_promote(parser):
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run folder, or a name below runs_dir")
    parser.add_argument("--force", action="store_true", help="also if no verdict says that it is better")
    parser.add_argument("--back", action="store_true", help="promote the run again that was promoted before")
    parser.add_argument(
        "--file", metavar="F", help="labelled rows, new to both runs, to compare them on (default: their test rows)"
    )
    add_columns(parser)


def promote(args):
    "Let a run serve if it is better than the one that serves now, or go back to the one before"
    from ftkit.files.tables import check_source
    from ftkit.runs.folder import find_run
    from ftkit.serving.promotion import promote, read_promoted, roll_back

    if args.back and (args.run or args.force or args.file):
        raise UserError("--back goes back to the run that was promoted before. Give nothing else with it.")
    if args.back:
        entry = roll_back(find_runs_dir(args))
    elif args.run is None:
        raise UserError("name the run to promote: ftkit promote RUN. To go back to the one before: --back.")
    else:
        folder = find_run(args.run, find_runs_dir(args))
        if args.file:
            check_source(args.file)
            if read_promoted(folder.parent) is None:
                raise UserError("no run is promoted yet, and --file compares with the promoted one. Leave it out.")
        from ftkit.fine_tuning import Run, find_trained
        from ftkit.runs.comparison import compare_on_rows, compare_predictions
        from ftkit.views.console import quiet_libraries

        quiet_libraries()
        run = Run(folder)
        if run.status == "finished" and find_trained(run, run.task) is None:
            raise UserError(f"{folder}: its model is not the one that it was scored with. Repeat the run: --rerun.")
        columns = (args.text_column_name, args.label_column_name)

        def judge(new, old):
            if args.file:
                return compare_on_rows(new, old, run.task, args.file, *columns)
            return compare_predictions(new, old, run.task)

        entry = promote(run, judge, args.force)
    if args.json:
        return print_json(entry)
    before = entry["previous"]
    print_lines(f"promoted  {entry['run']}", f"why       {entry['why']}", f"since     {entry['time']}")
    print_lines(f"before    {before['run']} (ftkit promote --back)" if before else "before    none")


def add_serve(parser):
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="a run folder, or a name below runs_dir (default: the promoted run; a run "
        "that is promoted later takes over without a restart)",
    )
    parser.add_argument(
        "--host",
        metavar="H",
        default="127.0.0.1",
        help="the address to listen on (default: %(default)s, "
        "this machine alone; any other needs a token in FTKIT_SERVE_TOKEN)",
    )
    parser.add_argument("--port", metavar="P", type=int, default=8000, help="0: a free one (default: %(default)s)")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="serve on a free port, ask for the run's own rows, and "
        "compare the answers with those that were evaluated",
    )
    parser.add_argument("--feedback", action="store_true", help="keep judgements on answers next to the run")
    parser.add_argument("--log_texts", action="store_true", help="let the log have the texts (default: never)")
    parser.add_argument(
        "--batch_size",
        metavar="N",
        type=int,
        default=1,
        help="answer up to N texts of several requests "
        "together: faster, but scores differ in the 7th digit (default: %(default)s, each request alone)",
    )


def serve(args):
    "Serve a finished run over HTTP, or check that what is served is what was evaluated"
    from ftkit.installed import check_installed
    from ftkit.runs.folder import RunFolder, find_run
    from ftkit.serving.address import NEEDED, bind, make_url, pick_hosts, read_token
    from ftkit.serving.promotion import find_promoted
    from ftkit.views.console import quiet_libraries

    check_installed("serve", "serve", *NEEDED)
    runs_dir = find_runs_dir(args)
    folder = find_run(args.run, runs_dir) if args.run else find_promoted(runs_dir)
    if folder is None:
        raise UserError(f"no run is promoted in {runs_dir}. Name the run: ftkit serve RUN. Or: ftkit promote RUN")
    RunFolder(folder).check_finished()
    if args.batch_size < 1:
        raise UserError(f"--batch_size {args.batch_size}: write 1 or more.")
    if args.verify:
        from ftkit.fine_tuning import Run
        from ftkit.serving.verification import describe_verification, verify

        quiet_libraries()
        result = verify(Run(folder))
        return print_json(result) if args.json else print_lines(*describe_verification(result))
    token, sock = read_token(args.host), bind(args.host, args.port)
    from ftkit.serving.server import serve

    def tell(served):
        url = make_url(sock)
        if args.json:
            return print_json({"url": url, "run": str(served.run.path), "task": served.task.name})
        print_lines(f"{served.name} answers at {url} (to try it, open it in a browser; to stop it, press Ctrl-C)")

    quiet_libraries()
    options = {"token": token, "hosts": pick_hosts(args.host), "takes_feedback": args.feedback}
    serve(folder if args.run else None, runs_dir, sock, tell, args.batch_size, log_texts=args.log_texts, **options)


def add_new(parser):
    parser.add_argument("folder", metavar="FOLDER", help="the folder to make; it may be there if it is empty")


def new(args):
    "Make a project: scripts, a server, tests, a container"
    from ftkit.serving.scaffold import make_project

    folder = make_project(args.folder)
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if "package" not in p.parts and p.is_file())
    if args.json:
        return print_json({"folder": str(folder), "files": files})
    print_lines(f"written  {folder}", f"start    cd {shlex.quote(str(folder))} && cat README.md && python train.py")


COMMANDS = {
    command.name: command
    for command in (
        Command("serve", "answer over HTTP with a run's model", add_serve, serve),
        Command("export", "write a run, or rows, for another tool", add_export, export),
        Command("new", "make a project with scripts, a server, tests and a container", add_new, new),
        Command("promote", "let a run serve if it is better than the one that serves now", add_promote, promote),
        Command("monitor", "say whether new texts have drifted from a run's validation rows", add_monitor, monitor),
    )
}
