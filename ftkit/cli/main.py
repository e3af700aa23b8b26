"The entry point of the command: dispatch, and what happens when it ends in another way than by finishing."

import os
import signal
import sys
import traceback
from contextlib import contextmanager

from ftkit.cli import commands, serving
from ftkit.cli.parser import make_parser, parse
from ftkit.errors import RunFailed, UserError, did_you_mean, escape_controls, redact
from ftkit.views.console import install_handler

INTERRUPTED, TERMINATED = 130, 143
COMMANDS = commands.COMMANDS | serving.COMMANDS


class Terminated(SystemExit):
    "SIGTERM has come"


def main(
    argv: list[str] | None = None,  # default: those of the process
) -> int:
    "Run the command and return the exit code: 0 done, 1 fault, 2 the user's input, 130 interrupted, 143 terminated"
    install_handler()
    escape_unprintable()
    try:
        with termination_as_exit():
            return run_command(list(sys.argv[1:] if argv is None else argv))
    except (UserError, RunFailed) as e:
        print_error(str(e))
        return 2 if isinstance(e, UserError) else 1
    except (KeyboardInterrupt, Terminated) as e:
        terminated = isinstance(e, Terminated) or signal.SIGTERM in e.args
        print_error("terminated" if terminated else "interrupted")
        return TERMINATED if terminated else INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # a fault of the program: the whole traceback, without secrets
        print(redact(escape_controls(traceback.format_exc(), keep="\n")), file=sys.stderr)
        return 1


def escape_unprintable() -> None:
    "Let characters that the terminal's encoding lacks be printed as escapes instead of ending the command"
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def run_command(
    argv: list[str],  # without the program's name
) -> int:
    "Parse and dispatch"
    name, *rest = argv or ["--help"]
    if name.startswith("-"):
        make_parser(COMMANDS).parse_args([name])
    elif name not in COMMANDS:
        raise UserError(
            f"there is no command '{name}'.{did_you_mean(name, COMMANDS)} Commands: {', '.join(COMMANDS)}."
        )
    else:
        command = COMMANDS[name]
        return command.run(*parse(command, rest)) or 0
    return 0


@contextmanager
def termination_as_exit():
    "Let SIGTERM end the work as Ctrl-C does, with its own exit code"

    def terminate(number, frame):
        raise Terminated(TERMINATED)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def print_error(
    text: str,  # one line without secrets
) -> None:
    "Print a line on stderr"
    print(f"ftkit: {text}", file=sys.stderr)
