"""What a task is: one value, chosen once in `fine_tune` and handed down. No module below asks for its name.

To add a task: a subclass in a file of its own, its row in `ftkit.fine_tuning.TASKS`, its name in
`ftkit.settings.TASKS`.
"""

import pandas as pd
from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ftkit.settings import Settings
from ftkit.views.html import Section


class Task:
    "The task-specific part of the seven steps. Methods return Hugging Face objects"

    name: str  # the value of the setting `task`
    pipeline: str | None  # of `transformers.pipeline`, which opens the folder model/; None if there is none
    headline: str  # the metric that leads in tables and reports
    rungs: tuple[str, ...]  # the baselines of the ladder
    base_model: str  # the default base model

    def load_data(
        self,
        dataset=None,  # the rows, if they are given from Python
        **data,  # the section [data]
    ) -> tuple[DatasetDict, dict]:
        "Step 3. Return the splits and the report on them"
        raise NotImplementedError

    def load_rows(
        self,
        rows,  # a file, or rows from Python
        report: dict,  # of `load_data`: columns and labels
        text_column_name: str | None = None,  # default: that of the training rows
        label_column_name: str | None = None,  # default: that of the training rows
    ) -> tuple[Dataset, dict[str, int]]:
        "Return other rows, read as the training rows were, and how many were dropped for which reason"
        raise NotImplementedError

    def tokenize(
        self,
        data: DatasetDict,  # from `load_data`
        tokenizer: PreTrainedTokenizerBase,  # from `load_tokenizer`
        **tokenizer_keys,  # the section [tokenizer]
    ) -> DatasetDict:
        "Step 4. Return tokens in the order of the rows"
        raise NotImplementedError

    def load_model(
        self,
        tokens: DatasetDict,  # from `tokenize`
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

    def report_sections(
        self,
        run,  # a `RunFolder` with predictions
    ) -> list[Section]:
        "Return what the report shows of this task alone"
        raise NotImplementedError
