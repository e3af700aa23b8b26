"Parquet in pieces."

from collections.abc import Iterator
from pathlib import Path

from ftkit.errors import UserError
from ftkit.files.columnar import from_arrow
from ftkit.files.rows import ReadOptions, Table
from ftkit.files.streams.rules import Rules
from ftkit.files.streams.text import ReadWhole

INDEX = "__index_level_"  # a nameless index of pandas


class ParquetRows:
    "The rows of a Parquet file"

    def __init__(
        self,
        path: Path,  # of the file
        options: ReadOptions,  # without any for this format
    ):
        import pyarrow
        import pyarrow.types as types

        self.path, self.dropped = path, set()
        self.faults = (pyarrow.ArrowException, OSError, ValueError, OverflowError, UserError)
        try:
            with self.open() as file:
                self.schema = file.schema_arrow
        except self.faults:
            raise ReadWhole("it cannot be read") from None
        if len(set(self.schema.names)) < len(self.schema.names):
            raise ReadWhole("two columns have one name")
        if index := [name for name in self.schema.names if name.startswith(INDEX)]:
            raise ReadWhole(f"it has an index without a name ({index[0]}): write it with df.to_parquet(index=False)")
        kinds = {field.name: field.type for field in self.schema}
        times = [name for name, kind in kinds.items() if types.is_timestamp(kind)]
        if times:
            raise ReadWhole(f"how the times in '{times[0]}' are written depends on all of them")

    def open(self):
        "Return the file as pyarrow has it, which reads a part of a row group at a time"
        import pyarrow.parquet

        return pyarrow.parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 20)

    def tables(
        self,
        size: int,  # rows in each
    ) -> Iterator[Table]:
        "Yield the rows in tables, without the columns that are no text somewhere. Raises `ReadWhole`"
        import pyarrow

        try:
            with self.open() as file:
                done = 0
                for batch in file.iter_batches(size):
                    rows = pyarrow.Table.from_batches([batch]).replace_schema_metadata(self.schema.metadata)
                    table = from_arrow(rows, str(self.path), "Parquet")
                    self.dropped |= set(self.schema.names) - set(table.columns)
                    table.columns = {n: values for n, values in table.columns.items() if n not in self.dropped}
                    table.numbers = range(done + 1, done + 1 + len(rows))
                    done += len(rows)
                    yield table
        except self.faults as e:
            raise ReadWhole(f"it cannot be read in pieces ({str(e)[:80]})") from None

    def finish(
        self,
        rules: Rules,  # what was gathered about all rows
    ) -> None:
        "Judge what all rows showed. Raises `ReadWhole`"
        if self.dropped & set(rules.names):  # a later row was found to be no text
            raise ReadWhole(f"the column '{min(self.dropped & set(rules.names))}' holds text in some rows alone")
