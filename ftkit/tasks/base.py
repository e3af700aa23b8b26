"""What a task is: one value, chosen once in `fine_tune` and handed down. No module below asks for its name.

To add a task: a subclass in a file of its own, its row in `ftkit.fine_tuning.TASKS`, its row in
`ftkit.settings.TASKS`. What is not overridden is right for a task that reads one text a row and has a label.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ftkit.checks.columns import choose_text, join_columns
from ftkit.data import OneLabel, load_data, load_rows
from ftkit.files.rows import Table
from ftkit.settings import Settings
from ftkit.tokenizer import count_cut, load_tokenizer, tokenize
from ftkit.views.html import Section


class Task:
    "The task-specific part of the seven steps. Methods return Hugging Face objects"

    name: str  # the value of the setting `task`
    pipeline: str | None  # of `transformers.pipeline`, which opens the folder model/; None if there is none
    headline: str  # the metric that leads in tables and reports
    rungs: dict[str, Callable]  # the baselines of the ladder: name -> function of (data, rows, base, objective)
    target_class = OneLabel  # what the label column holds
    answer_keys: tuple[str, ...]  # of `answer`, which lead in a file of predictions
    words: str  # what the model does, for the card: "A model …"
    limit: str  # what it cannot do, a sentence for the card
    streams = False  # whether `stream` has pieces to show before the answer is complete
    one_call = False  # whether an answer is one call of the model, which returns `logits`

    def load_data(
        self,
        dataset=None,  # the rows, if they are given from Python
        **data,  # the section [data]
    ) -> tuple[DatasetDict, dict]:
        "Step 3. Return the splits and the report on them"
        return load_data(dataset, target=self.target_class(), **data)

    def load_rows(
        self,
        rows,  # a file, or rows from Python
        report: dict,  # of `load_data`: columns and labels
        text_column_name: str | None = None,  # default: that of the training rows
        label_column_name: str | None = None,  # default: that of the training rows
    ) -> tuple[Dataset, dict[str, int]]:
        "Return other rows, read as the training rows were, and how many were dropped for which reason"
        return load_rows(rows, report, text_column_name, label_column_name, self.target_class())

    def read_again(
        self,
        predictions: pd.DataFrame,  # of a run
        report: dict,  # of `load_data`
    ) -> tuple[Dataset, dict[str, int]]:
        "Return the rows that were predicted, as `load_rows` does"
        columns = {"text": report["text_column"], "label": report["label_column"]}
        rows = predictions[list(columns)].rename(columns=columns)
        rows = rows.astype({name: str for name, kind in rows.dtypes.items() if kind == "category"})
        return self.load_rows(rows, report)

    def groups(
        self,
        rows: Dataset,  # with `label`, or their tokens with `labels`
        names: list[str],  # label names
    ) -> dict[str, np.ndarray]:
        "Return label -> whether each row has it (rows,); empty if the task has no labels"
        return {}

    def tokenize(
        self,
        data: DatasetDict,  # from `load_data`
        tokenizer: PreTrainedTokenizerBase,  # from `load_tokenizer`
        **tokenizer_keys,  # the section [tokenizer]
    ) -> DatasetDict:
        "Step 4. Return tokens in the order of the rows"
        return tokenize(data.select_columns(["text", "label"]), tokenizer, **tokenizer_keys)

    def describe_tokens(
        self,
        tokens: DatasetDict,  # from `tokenize`
    ) -> list[str]:
        "Return lines about the tokens, for the log"
        return []

    def load_model(
        self,
        labels: list[str],  # label names
        tokenizer: PreTrainedTokenizerBase,  # from `load_tokenizer`
        seed: int,  # of new weights
        **model_keys,  # the sections [model] and [model_init]
    ) -> PreTrainedModel:
        "Step 5. Return the model before its training"
        raise NotImplementedError

    def trainer_kwargs(
        self,
        tokens: DatasetDict,  # from `tokenize`
        tokenizer: PreTrainedTokenizerBase,  # from `load_tokenizer`
        settings: Settings,  # the experiment
    ) -> dict:
        "Step 7. Return `data_collator`, `compute_metrics` and `compute_loss_func` of the Trainer"
        raise NotImplementedError

    def expected_loss(
        self,
        labels: list[str],  # label names
    ) -> tuple[float, str] | None:
        "Return the loss of a model that knows nothing, and the same in words; None if there is no such number"
        return None

    def finish_model(
        self,
        model: PreTrainedModel,  # fine-tuned, before it is saved
        tokenizer: PreTrainedTokenizerBase,  # its tokenizer
        data: DatasetDict,  # from `load_data`: train and validation are there to be read
        settings: Settings,  # the experiment
    ) -> None:
        "Settle what a model needs besides its weights, such as thresholds. Test rows are not read here"

    def load_tokenizer(
        self,
        model_name_or_path: str,  # the section [model]
        model_revision: str = "main",
    ) -> PreTrainedTokenizerBase:
        "Return the tokenizer of the base model"
        return load_tokenizer(model_name_or_path, model_revision)

    def count_cut(
        self,
        rows: Dataset,  # one split, from `load_data`
        tokens: Dataset,  # its tokens
        tokenizer: PreTrainedTokenizerBase,  # that made them
        max_seq_length: int,  # the limit
    ) -> int:
        "Return how many rows lost tokens to the limit"
        return count_cut(rows["text"], tokens["length"], tokenizer, max_seq_length)

    def open_base(
        self,
        settings: Settings,  # the experiment
    ):
        "Return the untrained base model for the rungs, which loads its weights on first use"
        raise NotImplementedError

    def read_prompts(
        self,
        table: Table,  # rows to answer
        report: dict,  # of `load_data`: the text column
        text_column_name: str | None = None,  # default: that of the training rows
    ) -> list:
        "Return what is asked in each row"
        wanted = text_column_name or (report["text_column"] if len(table.columns) > 1 else None)
        columns, _ = choose_text(table, wanted)
        return join_columns(table, columns)

    def personal_texts(
        self,
        rows: Dataset,  # from `load_data`
    ) -> list[str]:
        "Return all that a person may have written in each row"
        return list(rows["text"])

    def find_pipeline(
        self,
        folder,  # model/ of a run
    ) -> str | None:
        "Return the pipeline of `transformers` that opens the model, or None"
        return self.pipeline

    def examinations(
        self,
        model: PreTrainedModel,  # fine-tuned
        tokenizer: PreTrainedTokenizerBase,  # its tokenizer
        base,  # from `open_base`
        settings: Settings,  # the experiment
    ) -> dict[str, Callable[[], dict]]:
        "Return name -> what else is found out about the model: functions that return keys of run.json"
        return {}

    def open_model(
        self,
        folder: str,  # model/ of a run
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        "Return a fine-tuned model and its tokenizer"
        raise NotImplementedError

    def predict(
        self,
        model: PreTrainedModel,  # fine-tuned
        tokenizer: PreTrainedTokenizerBase,  # its tokenizer
        rows: Dataset,  # from `load_data`
        settings: Settings,  # the experiment
    ) -> pd.DataFrame:
        "Return a row for each row, in order: what predictions.parquet keeps, with the columns `label` and `predicted`"
        raise NotImplementedError

    def with_predictions(
        self,
        predictions: pd.DataFrame,  # from `predict`
        outputs,  # of a rung of the ladder, for the same rows
    ) -> pd.DataFrame:
        "Return the same rows as a rung predicts them"
        raise NotImplementedError

    def score(
        self,
        predictions: pd.DataFrame,  # from `predict` or `with_predictions`
        **metrics,  # the section [metrics]
    ) -> dict:
        "Step 6. Return name -> `Interval`; a dictionary in it is a group of scores, such as those of each class"
        raise NotImplementedError

    def compare(
        self,
        a: pd.DataFrame,  # predictions of one model
        b: pd.DataFrame,  # of another, for the same rows
        names: tuple[str, str],  # of the models
        **metrics,  # the section [metrics]
    ):
        "Step 6. Return the `Verdict` on two models"
        raise NotImplementedError

    def answer(
        self,
        model: PreTrainedModel,  # fine-tuned
        tokenizer: PreTrainedTokenizerBase,  # its tokenizer
        texts: list,  # what to answer
        settings: Settings,  # the experiment
        progress=None,  # called with a number of rows as they are done
    ) -> list[dict]:
        "Return one dictionary for each text, in order; `error` in it if the text cannot be used"
        raise NotImplementedError

    def stream(
        self,
        model: PreTrainedModel,  # fine-tuned
        tokenizer: PreTrainedTokenizerBase,  # its tokenizer
        text,  # what to answer
        settings: Settings,  # the experiment
        emit: Callable[[str], None],  # called with each piece of the answer as it is written
    ) -> dict:
        "Return the answer to one text, as `answer` does"
        return self.answer(model, tokenizer, [text], settings)[0]

    def read_asked(
        self,
        predictions: pd.DataFrame,  # from `predict`
    ) -> list:
        "Return what was asked in each row, as `answer` takes it"
        return list(predictions.text)

    def read_answers(
        self,
        predictions: pd.DataFrame,  # from `predict`
        model: PreTrainedModel,  # that made them
    ) -> list[dict]:
        "Return stored predictions as `answer` returns them; an empty dictionary for a row that was not answered"
        return [{}] * len(predictions)

    def headline_sums(
        self,
        predictions: pd.DataFrame,  # from `predict`
    ) -> tuple[np.ndarray, Callable] | None:
        """Return numbers of each row (rows, numbers), and the headline metric as a function of their sums.

        None if the metric is no such function; then two sets of rows are not compared by it
        """
        return None

    def read_features(
        self,
        settings: Settings,  # the experiment
    ) -> Callable[[list[str]], np.ndarray] | None:
        "Return the function that turns texts into features of the frozen base model (texts, width), or None"
        return None

    def slices(
        self,
        predictions: pd.DataFrame,  # from `predict`
    ) -> dict[str, np.ndarray]:
        "Return name -> whether each row is in a slice that the label defines (rows,); empty if it defines none"
        return {}

    def report_sections(
        self,
        run,  # a `RunFolder` with predictions
    ) -> list[Section]:
        "Return what the report shows of this task alone"
        raise NotImplementedError

    def constant_answer(
        self,
        predictions: pd.DataFrame,  # from `predict`
    ) -> str | None:
        "Return the answer that all rows were given, such as that of the rung majority. None: they differ"
        return None

    def mean_confidence(
        self,
        predictions: pd.DataFrame,  # from `predict`
    ) -> float | None:
        "Return the mean probability that the model gives to its own answers, 0 to 1. None: it gives none"
        return None

    def right(
        self,
        predictions: pd.DataFrame,  # from `predict`
    ) -> np.ndarray | None:
        "Return whether each prediction is right (rows,); None if the task has no right and wrong"
        return None
