"Packages as they are installed, whatever scripts lie next to the program."

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from ftkit.errors import UserError


def import_installed(
    name: str,  # of a package that people also give to scripts, such as evaluate
) -> ModuleType:
    """Import a package although a script of its name stands first in the path.

    `python train.py` looks for modules next to train.py first, and finds an evaluate.py there.
    """
    loaded = sys.modules.get(name)
    if hasattr(loaded, "__path__"):
        return loaded
    before = list(sys.path)
    sys.modules.pop(name, None)
    sys.path[:] = [folder for folder in before if not (Path(folder or ".") / f"{name}.py").is_file()]
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = before
        if loaded is not None:  # the script keeps its name for the program
            sys.modules[name] = loaded


def check_installed(
    what: str,  # that needs them, as the user named it
    extra: str,  # of ftkit, which brings them
    *packages: str,  # names as they are imported
) -> None:
    "Raise `UserError` if a package is not installed"
    if missing := [name for name in packages if find_spec(name) is None]:
        raise UserError(f"{what} needs {', '.join(missing)}, not installed here. Run: pip install 'ftkit[{extra}]'")
