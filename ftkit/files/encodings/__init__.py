"""Text of unknown encoding: found, named, or refused.

`decode` tries what is certain first: signatures of binary formats, byte order marks, strict UTF-8, zero bytes of
UTF-16. What is left is guessed: every legacy encoding is tried on a sample, and each reading is priced in bits by how
rare its pairs of letters are in the language that suits it best. A guess needs a clear lead over every other reading.
"""

from ftkit.files.encodings.decoding import decode
from ftkit.files.encodings.spoiled import note_spoiled
from ftkit.files.encodings.text import Decoded

__all__ = ["Decoded", "decode", "note_spoiled"]
