"The errors that a person can cause. Each one is one line: what came in, why it is refused, what to write instead."

import difflib
import os
import re
import unicodedata

SECRET = re.compile("TOKEN|KEY|SECRET|PASSWORD|PASSWD", re.IGNORECASE)
# one slash or two: `Path` turns the two of a URL into one
USER_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]+:/{1,2})[^/?#\s'\"]*@", re.IGNORECASE)
# Unicode categories: control, format (such as the text direction), lone surrogate, line and paragraph separator
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
    "cudnn_status_not_supported",
)


class OneLineError:
    "Mixin: the message is one line whatever names and files hold, without secrets; a notebook shows no traceback"

    def __str__(self):
        return redact(escape_controls(super().__str__()))

    def _render_traceback_(self):
        "Return what IPython shows"
        return [f"{type(self).__name__}: {self}"]


NOTHING_MADE = "stopped before the training began: no run was made, and there is nothing to resume."


class UserError(OneLineError, ValueError):
    "The input is at fault, not the program. The command prints the message alone and exits with 2."


class RunFailed(OneLineError, RuntimeError):
    "The run cannot continue: a full disk, no memory, a missing best model. One line; the command exits with 1."


class NotFinite(RunFailed):
    "The loss or a gradient became NaN or infinite. The run stopped before the update."


def did_you_mean(
    name: str,  # what was written
    known,  # the valid names
) -> str:
    "Return ` Did you mean 'x'?`, or an empty text if no known name is close"
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def redact(
    text: str,  # a message that is shown or kept
) -> str:
    """Return a message without secrets.

    These are the user:password@ of a URL and the values of environment variables named like a token, key or password.
    """
    text = USER_PASSWORD.sub(r"\1***@", text)
    secrets = [value for name, value in os.environ.items() if SECRET.search(name)]
    values = {line for value in secrets for line in value.splitlines() if len(line) >= 8}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***")
    return text


def escape_controls(
    text: str,  # from data, for a person to read
    keep: str = "",  # characters that may stay, such as the line break
) -> str:
    """Return a text with control characters written out (`\\x1b`), so that no terminal or page obeys them.

    The joiners of emoji, Persian and Hindi are kept.
    """
    kept = keep + "\u200c\u200d"
    return "".join(
        c if unicodedata.category(c) not in UNSEEN or c in kept else c.encode("unicode_escape").decode() for c in text
    )


def is_out_of_memory(
    error: BaseException,  # raised by a step of the model
) -> bool:
    "Return whether CUDA, MPS or the machine ran out of memory, so that a smaller batch may help"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without loading torch
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in NO_MEMORY)
