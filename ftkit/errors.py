"The errors that a person using ftkit can cause. Each is one line: what came in, why not, what to write instead."

import difflib
import os
import re
import unicodedata

SECRET = re.compile("TOKEN|KEY|SECRET|PASSWORD|PASSWD", re.IGNORECASE)
USER_PASSWORD = re.compile(
    r"(\b[a-z][a-z0-9+.-]+:/{1,2})[^/?#\s'\"]*@", re.IGNORECASE
)  # one slash: a path was made of the URL
UNSEEN = (
    "Cc",
    "Cf",
    "Cs",
    "Zl",
    "Zp",
)  # control, format (text direction among them), half characters, line and paragraph separators


class OneLine:
    "An error whose message is all there is to say: on one line whatever names and files hold, without secrets, in a notebook without a traceback"

    def __str__(self):
        return scrubbed(visible(super().__str__()))

    def _render_traceback_(self):
        "What IPython shows"
        return [f"{type(self).__name__}: {self}"]


class UserError(OneLine, ValueError):
    "The input is at fault, not the program. The command prints the message alone and exits with 2."


class RunFailed(OneLine, RuntimeError):
    "A run that cannot go on: no room on the disk, no memory, a best model that is gone. One line; the command exits with 1."


class NotFinite(RunFailed):
    "A run whose loss or gradient became NaN or infinite. It was stopped before the update."


def nearest(
    name: str,  # what was written
    known,  # the names that would have been right
) -> str:
    "` Did you mean 'x'?`, or nothing when no known name is close"
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def scrubbed(
    text: str,  # a message that is shown or kept
) -> str:
    "The text without secrets: no user:password@ of a URL, no value of an environment variable that is named like a token, key or password"
    text = USER_PASSWORD.sub(r"\1***@", text)
    values = {
        line
        for name, value in os.environ.items()
        if SECRET.search(name)
        for line in value.splitlines()
        if len(line) >= 8
    }
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***")
    return text


def visible(
    text: str,  # from data, for a person's eyes
    keep: str = "",  # characters that may stay, such as the line break
) -> str:
    "The text with control characters written out (`\\x1b`), so that no terminal or page obeys them. The joiners of emoji, Persian and Hindi stay"
    return "".join(
        c
        if unicodedata.category(c) not in UNSEEN or c in keep + "\u200c\u200d"
        else c.encode("unicode_escape").decode()
        for c in text
    )
