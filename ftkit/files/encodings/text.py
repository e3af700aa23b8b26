"A decoded text and how it was found."

from dataclasses import dataclass, field

from ftkit.errors import UserError
from ftkit.files.encodings.words import describe_fault


@dataclass
class Decoded:
    "A text and how it was found"

    text: str
    encoding: str  # as it is shown: utf-8, utf-16-le, cp1252
    notes: list[str] = field(default_factory=list)  # for a guess: the words that it decides


def decode_strictly(
    data: bytes,  # without a byte order mark
    source: str,  # the name of the file
    codec: str,  # a name that Python knows
    advice: str = "",  # what to write instead
) -> str:
    "Return the text. Raises `UserError` with line, byte and context if a byte does not fit."
    try:
        return data.decode(codec)
    except UnicodeDecodeError as e:
        raise UserError(
            f"{describe_fault(data, source, codec, e)} {advice or 'Write another encoding, or mend the file.'}"
        ) from None
