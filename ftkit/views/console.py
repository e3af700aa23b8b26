"""Where lines go: stderr of a terminal, the output of a cell in a notebook.

ftkit's modules log with `logging.getLogger(__name__)`. One handler, installed here, removes secrets and
escapes control characters.
"""

import logging
import os
import sys
import warnings


def in_notebook() -> bool:
    "Return whether the code runs in a notebook (Jupyter, Colab, nbdev-test)"
    shell = _shell()
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"


def has_front_end() -> bool:
    """Return whether a kernel is behind the cells.

    nbdev-test runs them without one: nobody moves a slider or watches a curve grow
    """
    return getattr(_shell(), "kernel", None) is not None


def _shell():
    "Return IPython's shell, or None, without loading IPython"
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def show_control(
    control,  # an ipywidgets widget
) -> None:
    "Show a widget if a front end can move it. Without one, its static result is shown alone"
    if has_front_end():
        from IPython.display import display

        display(control)


class ConsoleHandler(logging.Handler):
    "Print a record as one line. If nobody reads any more, the work continues"

    def emit(self, record: logging.LogRecord) -> None:
        from ftkit.errors import escape_controls, redact

        file = sys.stdout if in_notebook() else sys.stderr
        try:
            print(redact(escape_controls(record.getMessage())), file=file, flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
        except Exception:
            self.handleError(record)


def install_handler() -> None:
    "Show ftkit's log lines, once for the process. A program that configures the logger `ftkit` itself is left alone"
    logger = logging.getLogger("ftkit")
    if not logger.handlers:
        logger.addHandler(ConsoleHandler())
        logger.setLevel(logging.INFO)
        logger.propagate = False


def quiet_libraries() -> None:
    """Turn off the libraries' progress bars and the report on new weights, which lesson 5 explains.

    Warnings stay audible
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    logging.getLogger("transformers.modeling_utils").addFilter(is_no_load_report)


def is_no_load_report(
    record: logging.LogRecord,  # of transformers
) -> bool:
    "Filter: return False for the table of new and missing weights that `from_pretrained` logs"
    return "LOAD REPORT" not in str(record.msg)


def redact_record(
    record: logging.LogRecord,  # of the Hub's client
) -> bool:
    """Filter: remove secrets from a record.

    The Hub's client names the address with user and password when it tries again
    """
    from ftkit.errors import redact

    record.msg, record.args = redact(record.getMessage()), ()
    return True


def redact_hub_logs() -> None:
    "Remove secrets from what the Hub's client logs"
    from huggingface_hub.utils.logging import get_logger

    for handler in get_logger("huggingface_hub").handlers:
        handler.addFilter(redact_record)


def is_news(
    record: logging.LogRecord,  # of Transformers, about a resumed training
) -> bool:
    """Return False for three warnings about what is meant to be so.

    A share such as `logging_steps = 0.01` is not the number of steps that it means; a checkpoint of a model that
    writes has its embeddings once, and its head shares them; the best checkpoint has another place than when it was
    recorded, and ftkit's callback `Checkpoints` finds it there.
    """
    text = record.getMessage()
    share = "trainer_state.json" in text and text.count("\n\t") == 1 and "\n\tlogging_steps: 0." in text
    moved = text.startswith("The best checkpoint ") and "recorded in the resumed state does not exist" in text
    return not (share or moved or text.endswith("missing keys in the checkpoint model loaded: ['lm_head.weight']."))


def drop_false_warnings() -> None:
    "Leave out warnings that every good run would get: two of the Trainer, one about what PEFT asks"
    for name in ("transformers.trainer", "transformers.trainer_utils"):
        logging.getLogger(name).addFilter(is_news)
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)


install_handler()
