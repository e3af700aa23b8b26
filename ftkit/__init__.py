"""Fine-tune language models in Jupyter, with numbers you can trust and runs that survive

Modules:

- `ftkit.files.tables`: Files as rows of text: CSV, TSV, JSON, JSON Lines, Parquet.
- `ftkit.runs.checkpoints`: Checkpoints that are whole or absent.
- `ftkit.runs.folder`: The files of a run. Every view is rebuilt from them.
- `ftkit.settings`: One experiment as a value: typed keys, one section per step, read from and written to `settings.ini`."""

import importlib

__version__ = "0.2.0"

LAZY = {"Settings": "ftkit.settings", "fine_tune": "ftkit.fine_tuning", "Run": "ftkit.fine_tuning"}


def __getattr__(name):
    "Load a public name on first use: `import ftkit` loads nothing heavy (PEP 562)"
    if name in LAZY:
        return getattr(importlib.import_module(LAZY[name]), name)
    raise AttributeError(f"module 'ftkit' has no attribute '{name}'")


def __dir__():
    return [*LAZY, "__version__"]
