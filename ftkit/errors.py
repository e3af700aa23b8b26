"The errors that a person using ftkit can cause. Each is one line: what came in, why not, what to write instead."

import difflib


class UserError(ValueError):
    "The input is at fault, not the program. The command prints the message alone and exits with 2."


class NotFinite(RuntimeError):
    "A run whose gradient became NaN or infinite. It was stopped before the update; the command exits with 1."


def nearest(
    name: str,  # what was written
    known,  # the names that would have been right
) -> str:
    "` Did you mean 'x'?`, or nothing when no known name is close"
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
