"What the commands print on stdout: JSON for programs, lines for people."

import json
import sys

from ftkit.errors import escape_controls


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
