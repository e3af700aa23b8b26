"""Fine-tune language models in Jupyter, with numbers you can trust and runs that survive

Modules:

- `ftkit.checkpoints`: Checkpoints that are whole or absent.
- `ftkit.files`: Files as rows of text: CSV, TSV, JSON, JSON Lines, Parquet.
- `ftkit.settings`: One experiment as a value: typed keys, one section per step, read from and written to `settings.ini`."""

__version__ = "0.1.0"
