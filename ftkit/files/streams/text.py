"The bytes of a file in one pass: packed or not, and the encoding that the whole-file reader would choose."

import codecs
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ftkit.errors import UserError
from ftkit.files.archives import COMPRESSED, LIMIT, check_size, find_single_member
from ftkit.files.encodings.decoding import find_codec, find_mark
from ftkit.files.encodings.signatures import CONTROLS, refuse_binary
from ftkit.files.encodings.wide import WIDE

BLOCK = 1 << 20  # bytes read at a time
SHARE = 0.1  # of control bytes that `decode` still takes for text
PIECE = 50_000  # bytes of each of the three pieces that it counts them in
DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, NotImplementedError)


class ReadWhole(Exception):
    "Why a file has to be read whole: its rows could be read in another way, or hold a fault"


class Misfit(ReadWhole):
    "A row that does not fit the way in which the rows before it were read"


@dataclass(frozen=True)
class TextFile:
    "A text file of which every byte was seen"

    path: Path
    suffix: str  # that tells the format: `.csv` of rows.csv.gz
    source: str  # for messages
    codec: str  # of Python
    mark: int  # bytes of the byte order mark

    @contextmanager
    def open(
        self,
        newline: str = "",  # as for `open`
    ) -> Iterator[io.TextIOWrapper]:
        "Yield the file as lines"
        with open_unpacked(self.path) as f:
            f.read(self.mark)
            yield io.TextIOWrapper(f, encoding=self.codec, newline=newline)


@contextmanager
def open_unpacked(
    path: Path,  # a file, perhaps ending in .gz, .bz2, .xz or .zip
) -> Iterator[io.BufferedIOBase]:
    "Yield the content of a file as bytes"
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(find_single_member(archive, path)) as f:
            yield f
    else:
        with COMPRESSED.get(path.suffix.lower(), open)(path, "rb") as f:
            yield f


def examine_text(
    path: Path,  # a file
    suffix: str,  # that tells its format
    given: str | None,  # an encoding that a person wrote
) -> TextFile:
    "Return how a file is decoded. Raises `ReadWhole` if the whole-file reader may decode it in another way"
    source = str(path)
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                source = f"{path}: {find_single_member(archive, path).filename}"
        with open_unpacked(path) as f:
            codec, mark = find_encoding(f, path, given)
    except UnicodeDecodeError:
        raise ReadWhole("it is not UTF-8 throughout") from None
    except DAMAGE:
        raise ReadWhole("it cannot be unpacked") from None
    return TextFile(path, suffix, source, codec, mark)


def find_encoding(
    file: io.BufferedIOBase,  # its bytes
    path: Path,  # of the file
    given: str | None,  # an encoding that a person wrote
) -> tuple[str, int]:
    "Return the codec of a file and the length of its mark. Raises `ReadWhole` or `UnicodeDecodeError`"
    block = file.read(BLOCK)
    refuse_binary(block, str(path))
    mark, codec = find_mark(block) or (b"", None)
    if codec == "utf-32-le":
        raise ReadWhole("it may be UTF-32")
    if given:
        codec = settle_given(str(path), given, codec)
    seen = Seen(codec or "utf-8", is_found=not (given or codec))
    seen.add(block[len(mark) :])
    while block := file.read(BLOCK):
        seen.add(block)
        if path.suffix.lower() in (*COMPRESSED, ".zip") and seen.size > LIMIT:
            check_size(range(seen.size), path)
    seen.end(given is not None and seen.codec != "utf-8")
    return seen.codec, len(mark)


def settle_given(
    source: str,  # for messages
    given: str,  # an encoding that a person wrote
    marked: str | None,  # the encoding of the mark at the start
) -> str:
    "Return the codec of an encoding that a person wrote. Raises `ReadWhole` if a mark or the width may change it"
    codec = find_codec(source, given).removesuffix("-sig")
    if (marked and marked != codec) or codec.startswith(("utf-16", "utf-32")) or codec in WIDE:
        raise ReadWhole(f"encoding = {given} leaves the order of its bytes open")
    if marked and codec != "utf-8":
        raise ReadWhole("it begins with a byte order mark")
    return codec


class Seen:
    "What the bytes of a file were so far"

    def __init__(
        self,
        codec: str,  # that decodes them
        is_found: bool,  # by `decode`, without a mark and without a person's word: then it looks for other signs
    ):
        self.codec, self.is_found = codec, is_found
        self.decoder = codecs.getincrementaldecoder(codec)("strict")
        self.utf8 = codecs.getincrementaldecoder("utf-8")("strict")
        self.size = self.controls = 0
        self.is_ascii, self.is_utf8, self.escapes, self.last = True, True, False, b""

    def add(
        self,
        block: bytes,  # the next
    ) -> None:
        "Look at a block. Raises `ReadWhole`, or `UnicodeDecodeError` if it does not fit the codec"
        self.size += len(block)
        if "\0" in self.decoder.decode(block):
            raise ReadWhole("it holds zero bytes")
        self.is_ascii = self.is_ascii and block.isascii()
        if self.codec != "utf-8" and self.is_utf8:
            try:
                self.utf8.decode(block)
            except UnicodeDecodeError:
                self.is_utf8 = False
        if self.is_found:
            self.controls += len(block) - len(block.translate(None, CONTROLS))
            self.escapes = self.escapes or b"\x1b" in block or b"~{" in self.last + block
            self.last = block[-1:]

    def end(
        self,
        is_foreign: bool,  # a person wrote another encoding than UTF-8
    ) -> None:
        "Judge what was seen. Raises `ReadWhole`"
        self.decoder.decode(b"", final=True)
        if is_foreign and self.is_utf8 and not self.is_ascii:
            raise ReadWhole("it may be UTF-8 in spite of the encoding that was written")
        if self.is_ascii and self.escapes:
            raise ReadWhole("it may switch its alphabet by escape sequences")
        if 3 * self.controls > SHARE * min(self.size, PIECE):
            raise ReadWhole("it holds many control characters")


def refusing_doubt(
    check,  # a function of the whole-file reader that raises `UserError`
    *args,
) -> None:
    "Call a check on the first rows. Raises `ReadWhole` in place of `UserError`: all rows decide, and word the error"
    try:
        check(*args)
    except UserError as e:
        raise ReadWhole(f"it may hold a fault ({str(e)[:120]})") from None
