"Compressed files, read without unpacking them to the disk."

import bz2
import gzip
import lzma
import zipfile
import zlib
from pathlib import Path

from ftkit.errors import UserError
from ftkit.files.atomic import format_bytes

COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
MAGIC = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\0"}  # how a file begins
LIMIT = 8 * 10**9  # bytes unpacked: more is a bomb, or needs Parquet


def read_bytes(
    path: Path,  # a file, perhaps ending in .gz, .bz2 or .xz
) -> bytes:
    "Return the content of a file, unpacked. Raises `UserError` if it is damaged, or not what its name says"
    opener = COMPRESSED.get(path.suffix.lower())
    if opener is None:
        return path.read_bytes()
    try:
        with opener(path) as f:
            data = f.read(LIMIT + 1)
    except EOFError:
        raise UserError(f"{path}: is cut: the compressed file ends too early. Download it again.") from None
    except (OSError, lzma.LZMAError, zlib.error) as e:
        if isinstance(e, OSError) and e.errno:
            raise
        raise UserError(f"{path}: {explain_damage(path, e)}") from None
    return check_size(data, path)


def explain_damage(
    path: Path,  # a file ending in .gz, .bz2 or .xz
    error: Exception,  # raised while unpacking
) -> str:
    "Return what is wrong with a compressed file, and what to do: it is damaged, or its name is wrong"
    suffix, why = path.suffix.lower(), str(error).rstrip(".")
    with open(path, "rb") as f:
        start = f.read(6)
    if start.startswith(MAGIC[suffix]):
        return f"is damaged: it does not unpack as {suffix[1:]} ({why}). Download or copy it again."
    kind = next((other for other, magic in MAGIC.items() if start.startswith(magic)), None)
    rename = f"Rename it to {path.stem}{kind or ''}"
    what = f", it is {kind[1:]}" if kind else ""
    return f"is not {suffix[1:]}-compressed, though its name says so{what}. {rename}."


def read_single_member(
    path: Path,  # a .zip
) -> tuple[str, bytes]:
    "Return name and content of the one file in an archive. Raises `UserError` if there are several"
    try:
        with zipfile.ZipFile(path) as archive:
            member = find_single_member(archive, path)
            with archive.open(member) as f:
                return member.filename, check_size(f.read(LIMIT + 1), path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as e:
        if not is_archive(path):
            raise UserError(f"{path}: is not a ZIP archive, though its name says so. Rename it, or pack it.") from None
        raise UserError(f"{path}: cannot be unpacked ({e}). Download it again, or unpack it yourself.") from None


def find_single_member(
    archive: zipfile.ZipFile,  # an archive
    path: Path,  # of the archive
) -> zipfile.ZipInfo:
    "Return the one file in an archive. Raises `UserError` if there are none or several, or if it needs a password"
    files = [f for f in archive.infolist() if not f.is_dir() and not is_hidden(f.filename)]
    if not files:
        raise UserError(f"{path}: is an empty archive. Name another file, or pack it again.")
    if len(files) != 1:
        names = ", ".join(f.filename for f in files[:5])
        raise UserError(f"{path}: holds {len(files)} files ({names}). Unpack it, and name one of them.")
    if files[0].flag_bits & 1:
        raise UserError(f"{path}: needs a password. Unpack it first.")
    return files[0]


def is_archive(
    path: Path,  # a .zip
) -> bool:
    "Return whether a file begins like a ZIP archive"
    with open(path, "rb") as f:
        return f.read(2) == b"PK"


def is_hidden(
    name: str,  # of a member of an archive
) -> bool:
    "Return whether a member is the system's own: macOS adds such files"
    return name.startswith("__MACOSX/") or Path(name).name.startswith(".")


def check_size(
    data: bytes,  # unpacked
    path: Path,  # of the archive
) -> bytes:
    "Return the data. Raises `UserError` if it is larger than `LIMIT` or empty"
    if len(data) > LIMIT:
        raise UserError(f"{path}: unpacks to more than {format_bytes(LIMIT)}. Unpack it yourself, and use Parquet.")
    if not data:
        raise UserError(f"{path}: the file inside is empty. Name another file, or pack it again.")
    return data
