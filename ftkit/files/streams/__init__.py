"""Files of many millions of rows, read in pieces of a flat size, as `read_table` reads them whole.

The whole-file readers decide by all rows: encoding, delimiter, quoting, header, what is refused. A stream may not
decide otherwise. So a file passes twice. The first pass proves that the whole-file reader would read it in one certain
way: what the first 10,000 rows settle is settled there, by the same functions, and every later row is asked whether it
could change that. A file that leaves a doubt raises `ReadWhole`, and is read whole, which also words every error. The
second pass yields the rows.

`text` is about bytes and encodings, `rules` about rows of any format, `delimited`, `plain` and `columnar` about
formats; `opening` joins them.
"""

from ftkit.files.streams.opening import Rows, open_rows

__all__ = ["Rows", "open_rows"]
