"""Delimited text (CSV, TSV) as rows: delimiter and quoting are found over the whole file, or the file is refused.

A file is scanned with several readings: every line split at the delimiter, or quotes as the csv module reads them.
A reading fits if all records have as many fields as the header. If two fit and differ, the file's evidence decides.
"""

from ftkit.files.delimited.impostors import refuse_impostor
from ftkit.files.delimited.table import parse_delimited
from ftkit.files.headers import is_usual_name

__all__ = ["is_usual_name", "parse_delimited", "refuse_impostor"]
