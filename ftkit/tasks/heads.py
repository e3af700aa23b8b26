"What tasks share whose model reads a text and answers with a head: how it is opened, and the base of the ladder."

from transformers import AutoModelForSequenceClassification

from ftkit.objective import FrozenModel
from ftkit.serving.predict import open_model, predict_logits
from ftkit.tasks.base import Task


class HeadTask(Task):
    "A task whose model reads a text and answers with the logits of its head"

    pipeline = "text-classification"
    one_call = True

    def open_model(self, folder):
        return open_model(folder, AutoModelForSequenceClassification)

    def open_base(self, settings):
        return FrozenModel(**settings.section("model"), max_seq_length=settings.max_seq_length)

    def read_features(self, settings):
        return self.open_base(settings).features

    def read_logits(self, model, tokenizer, rows, settings):
        "Return logits (rows, answers) in the order of the rows"
        size = settings.per_device_eval_batch_size
        return predict_logits(model, tokenizer, rows["text"], settings.max_seq_length, size)

    def with_extras(self, frame, rows):
        "Return predictions with the columns that came along"
        return frame.assign(**{name: rows[name] for name in rows.column_names if name not in frame})
