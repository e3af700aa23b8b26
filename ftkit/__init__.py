"""Fine-tune language models in Jupyter, with numbers you can trust and runs that survive

Modules:

- `ftkit.checks.columns`: Which columns hold the text and the label: by name, else by content. A tie is refused with both names.
- `ftkit.checks.duplicates`: Texts that come again: the same, the same but for case, spaces, addresses and @names, or nearly the same.
- `ftkit.checks.near`: Near duplicates: all pairs of texts whose sets of 5-character shingles have a Jaccard similarity of 0.7 or more.
- `ftkit.checks.preflight`: What is checked before anything trains: each check says what was seen, why it matters, and what to write instead.
- `ftkit.checks.suspicious`: Labels that are probably wrong: cheap models, asked about rows that they have not seen, are sure of another one.
- `ftkit.checks.targets`: What `ftkit check` asks of rows with several labels or with numbers, in place of the checks on single labels.
- `ftkit.files.annotations`: Exports of annotation tools as plain columns: Label Studio, doccano, Prodigy, Argilla.
- `ftkit.files.atomic`: Atomic writes: a reader sees the old file or the new one, never a part of it.
- `ftkit.files.columnar`: Typed sources as text: Parquet, Arrow, Excel, databases, and objects of Python such as a DataFrame or a Dataset.
- `ftkit.files.conversations`: Conversations for text generation, from what people bring: chats, instructions, pairs, marked turns, plain text.
- `ftkit.files.feedback`: Answers that people judged: good, bad, or corrected. Good and corrected ones are rows of the next training.
- `ftkit.files.headers`: Names of columns, and what is taken for them: an example, a title, a second header, a comment or a total.
- `ftkit.files.json_rows`: JSON as rows, in the forms that people and tools write. What fits no form is refused by name.
- `ftkit.files.safety`: Checks of a folder from somebody else: nothing in it may point outside of it, and no code in it is run.
- `ftkit.files.streams.delimited`: Delimited text in pieces.
- `ftkit.files.streams.rules`: What the whole-file readers ask of all rows, asked of rows that pass by in pieces.
- `ftkit.files.tables`: Files as rows of text: one reader for each format.
- `ftkit.panels.processes`: The two child processes of a panel: `ftkit train`, and a worker that answers what needs torch.
- `ftkit.panels.result`: The section Result: the ladder and its verdict, where the model is wrong, and a sentence to try.
- `ftkit.panels.worker`: What a panel asks for and the kernel should not do itself: `python -m ftkit.panels.worker`.
- `ftkit.runs.checkpoints`: Checkpoints that are complete or absent.
- `ftkit.runs.continuing`: A run that continues another: its rows and judged answers, its test rows, and a verdict on the two.
- `ftkit.runs.folder`: The files of a run. Every view is rebuilt from them.
- `ftkit.serving.docker`: A run as a container image: Dockerfile, compose file, pinned requirements, the model and ftkit itself.
- `ftkit.serving.drift`: Tests for drift on arrays: are new rows draws from the same distribution as the reference rows?
- `ftkit.serving.int8`: Weights in 8 bits for torch on a CPU, stored as safetensors: no pickle is written or opened.
- `ftkit.serving.layers`: Fewer layers: some blocks of a fine-tuned model are kept, and one more epoch lets it get used to that.
- `ftkit.serving.monitor`: Whether new texts are still like those that a run was validated on: `ftkit monitor RUN FILE`.
- `ftkit.serving.parts`: Predictions for files of many millions of rows: in parts that survive a kill, in shards for several machines.
- `ftkit.serving.queueing`: Requests wait in a queue; one thread answers them with the functions behind `Run.predict`, the oldest first.
- `ftkit.serving.shrink`: A smaller or faster form of a run's model, and what that cost: size, speed, score with a verdict.
- `ftkit.settings`: One experiment as a value: typed keys, one section per step, read from and written to `settings.ini`.
- `ftkit.tasks.base`: What a task is: one value, chosen once in `fine_tune` and handed down. No module below asks for its name.
- `ftkit.tasks.chat`: From conversations to tokens: what the model reads, and which tokens it is trained on.
- `ftkit.tasks.generation`: Text generation: a model that answers, from pairs, instructions, chats or plain text.
- `ftkit.tasks.grounding`: Claims in generated texts that no source holds: numbers, names, codes, addresses and quotations.
- `ftkit.tasks.multi_label`: Any number of labels for each text: a post may be angry and sad, or neither.
- `ftkit.tasks.regression`: A number for each text: stars, a score, a price.
- `ftkit.tasks.resampling`: Intervals and verdicts by resampling rows: for any score that is a function of sums over the rows.
- `ftkit.tasks.text_scores`: Scores of generated texts against their references, and of the loss on them, each with an interval from the rows.
- `ftkit.views.advice`: What to do when: what a run's own files show to be wrong, and the key to change first.
- `ftkit.views.console`: Where lines go: stderr of a terminal, the output of a cell in a notebook."""

import importlib

__version__ = "0.2.0"

LAZY = {
    "Settings": "ftkit.settings",
    "fine_tune": "ftkit.fine_tuning",
    "Run": "ftkit.fine_tuning",
    "Panel": "ftkit.panels.panel",
}


def __getattr__(name):
    "Load a public name on first use: `import ftkit` loads nothing heavy (PEP 562)"
    if name in LAZY:
        return getattr(importlib.import_module(LAZY[name]), name)
    raise AttributeError(f"module 'ftkit' has no attribute '{name}'")


def __dir__():
    return [*LAZY, "__version__"]
