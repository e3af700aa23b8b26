"A classifier as an ONNX graph that onnxruntime runs, in float32 or with weights in 8 bits."

import logging
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import SequenceClassifierOutput

from ftkit.errors import UserError, is_out_of_memory
from ftkit.files.safety import loading
from ftkit.installed import check_installed
from ftkit.tokenizer import takes_types

GRAPH = "model.onnx"
NEEDED = ("onnxruntime", "onnx", "onnxscript")


class Logits(nn.Module):
    "A classifier that takes its inputs by position and returns logits alone, as an exporter wants it"

    def __init__(
        self,
        model: PreTrainedModel,  # a classifier
        names: list[str],  # of its inputs, in their order
    ):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs):
        return self.model(**dict(zip(self.names, inputs))).logits


def save_onnx(
    model: PreTrainedModel,  # a classifier in float32 on the CPU
    tokenizer: PreTrainedTokenizerBase,  # its tokenizer
    folder: Path,  # where graph and configuration go
    int8: bool = False,  # store the weights in 8 bits
) -> None:
    "Write model.onnx and the configuration. Raises `UserError` if the model cannot be exported"
    check_installed("onnx", "shrink", *NEEDED)
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if takes_types(tokenizer) else [])]
    example = tokenizer(
        ["a short text", "a text that is longer than the first one"], padding=True, return_tensors="pt"
    )
    inputs = tuple(example[n] if n in example else torch.zeros_like(example["input_ids"]) for n in names)
    free = torch.export.Dim.DYNAMIC
    try:
        with quiet_exporter():
            torch.onnx.export(
                Logits(model, names).eval(),
                inputs,
                folder / GRAPH,
                input_names=names,
                output_names=["logits"],
                dynamic_shapes=(tuple({0: free, 1: free} for _ in names),),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError) as e:
        if is_out_of_memory(e):
            raise
        first = next(filter(None, str(e).splitlines()), type(e).__name__)[:160]
        raise UserError(f"{type(model).__name__} cannot be exported to ONNX ({first}). Write --to int8.") from e
    if int8:
        quantize_graph(folder / GRAPH)
    model.config.save_pretrained(folder)


@contextmanager
def quiet_exporter():
    "Hide what the exporter says of parts that are not installed and not needed, and of its own old calls"
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)  # torchvision is not installed
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)", FutureWarning)
            yield
    finally:
        registration.setLevel(level)


def quantize_graph(
    file: Path,  # model.onnx in float32; replaced
) -> None:
    "Store the weights of a graph in 8 bits, those of the embeddings too"
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)  # it advises a pre-processing, and without a handler would set up logging for all
    try:
        quantize_dynamic(file, file, weight_type=QuantType.QInt8, per_channel=True)
    finally:
        root.removeHandler(silent)


class OnnxClassifier:
    "A graph that is called as a `PreTrainedModel` is: tensors by name go in, an output with `logits` comes out"

    device, training = torch.device("cpu"), False

    def __init__(
        self,
        folder: Path,  # that `save_onnx` wrote
    ):
        check_installed("onnx", "shrink", "onnxruntime")
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
        with loading(str(folder)):
            self.config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            self.session = InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])
        self.names = [part.name for part in self.session.get_inputs()]

    def __call__(self, **batch) -> SequenceClassifierOutput:
        ids = batch["input_ids"]
        inputs = {name: batch.get(name, torch.zeros_like(ids)).numpy() for name in self.names}
        return SequenceClassifierOutput(logits=torch.from_numpy(self.session.run(["logits"], inputs)[0]))

    def eval(self):
        "Return itself: a graph only predicts"
        return self

    def train(self, mode: bool = True):
        "Return itself: a graph only predicts"
        return self
