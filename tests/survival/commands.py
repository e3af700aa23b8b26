"Commands as processes of their own, on the small rows of three labels."

from conftest import BAD, FLAT, GOOD
from processes import Command, context
from runs import make_flags

TEXTS = [GOOD, BAD, FLAT]
COLUMNS = {"train_file": "mine.csv", "text_column_name": "review", "label_column_name": "stars"}
KEYS = {
    **COLUMNS,
    "baselines": "majority",
    "num_resamples": 100,
    "logging_steps": 1,
    "dropout": 0.1,
    "save_total_limit": 2,
    "num_train_epochs": 4,
    "per_device_train_batch_size": 8,
    "learning_rate": 3e-3,
}


def start_training(folder, base, name, *more, keys=KEYS, before=None):
    "Start a training as a process of its own"
    words = ["train", *make_flags({**keys, "model_name_or_path": base, "run": name}), *more]
    return Command(*words, cwd=folder, before=before)


def start_process(work, *args):
    "Start a function of a module in a process of its own"
    process = context.Process(target=work, args=args, daemon=True)
    process.start()
    return process


def get_line(text):
    "Return the one line of a refused command, after those about the rows that it has read and what was checked"
    before = ("train: ", "validation: ", "test: ", "learning rate: ", "updates: ", "preflight: ", "forecast: ")
    lines = [line for line in text.splitlines() if not line.startswith(before)]
    assert len(lines) == 1 and lines[0].startswith("ftkit: "), text
    return lines[0]
