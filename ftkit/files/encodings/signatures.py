"What is no text: signatures of binary formats, and control characters."

import re

from ftkit.errors import UserError

SIGNATURES = (  # offset, bytes, name
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "an empty ZIP archive"),
    (0, b"PK\x07\x08", "a ZIP archive in parts"),
    (0, b"\x1f\x8b", "gzip data"),
    (0, b"\x1f\x9d", "compress (.Z) data"),
    (0, b"\xfd7zXZ\x00", "xz data"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (0, b"\x04\x22\x4d\x18", "LZ4 data"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file"),
    (0, b"%PDF-", "a PDF"),
    (0, b"\x89PNG\r\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"II*\x00", "a TIFF image"),
    (0, b"MM\x00*", "a TIFF image"),
    (0, b"\x00\x00\x01\x00", "an icon image"),
    (4, b"ftyp", "an MP4, HEIC or AVIF file"),
    (0, b"\x7fELF", "a program (ELF)"),
    (0, b"\xca\xfe\xba\xbe", "a program"),
    (0, b"\xcf\xfa\xed\xfe", "a program (Mach-O)"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x80\x02", "a Python pickle"),
    (0, b"\x80\x03", "a Python pickle"),
    (0, b"\x80\x04\x95", "a Python pickle"),
    (0, b"\x80\x05\x95", "a Python pickle"),
    (0, b"\x00asm", "a WebAssembly program"),
    (8, b'{"__metadata__"', "a safetensors file"),
)
# these begin like ordinary text, so control characters have to follow
ASCII_SIGNATURES = (
    (0, b"PAR1", "a Parquet file"),
    (0, b"BZh", "bzip2 data"),
    (0, b"ORC", "an ORC file"),
    (0, b"Obj\x01", "an Avro file"),
    (0, b"ARROW1", "an Arrow file"),
    (0, b"FEA1", "a Feather file"),
    (0, b"GIF8", "a GIF image"),
    (8, b"WEBP", "a WebP image"),
    (0, b"RIFF", "a RIFF file (sound, video or image)"),
    (0, b"BM", "a BMP image"),
    (0, b"ID3", "an MP3 file"),
    (0, b"OggS", "an Ogg file"),
    (0, b"fLaC", "a FLAC file"),
    (0, b"MZ", "a Windows program"),
    (0, b"GGUF", "a GGUF model"),
    (0, b"$FL2", "an SPSS file"),
    (0, b"<stata_dta>", "a Stata file"),
    (0, b"wOF", "a font"),
)
CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"


def refuse_binary(
    data: bytes,  # all of a file
    source: str,  # its name
):
    "Raise `UserError` if the file starts like a known binary format"
    name = next((name for at, mark, name in SIGNATURES if data.startswith(mark, at)), None)
    if name is None and any(byte in CONTROLS for byte in data[:1000]):
        name = next((name for at, mark, name in ASCII_SIGNATURES if data.startswith(mark, at)), None)
    if name:
        ending = re.search(r"\.\w{1,8}$", source)
        though = f", though its name ends in {ending[0]}" if ending else ""
        raise UserError(f"{source}: is {name}{though}, not text. Export or unpack it as UTF-8 text.")


def count_controls(
    data: bytes,  # all of a file
) -> float:
    "Return the share of control bytes, from up to three pieces"
    pieces = b"".join(data[at : at + 50_000] for at in sorted({0, len(data) // 2, max(0, len(data) - 50_000)}))
    return (len(pieces) - len(pieces.translate(None, CONTROLS))) / max(1, len(pieces))


def refuse_controls(
    data: bytes,  # all of a file
    source: str,  # its name
    limit: float,  # share that is still text
):
    "Raise `UserError` if control bytes are too many for a text"
    if (share := count_controls(data)) > limit:
        raise UserError(
            f"{source}: {share:.0%} of its bytes are control characters: binary data. Export it as UTF-8 text."
        )
