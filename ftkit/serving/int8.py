"""Weights in 8 bits for torch on a CPU, stored as safetensors: no pickle is written or opened.

Every linear layer keeps whole numbers from -128 to 127 with a scale for each output; activations are rounded while
the model runs (dynamic quantization). Embeddings stay float32. `NAME.weight` is int8, `NAME.int8_scale` is float32.
"""

import warnings
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from torch.ao.nn.quantized.dynamic import Linear
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic
from transformers import AutoConfig, GenerationConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ftkit.errors import UserError
from ftkit.files.safety import loading
from ftkit.serving.predict import check_complete
from ftkit.training.hardware import pick_attention

WEIGHTS, SCALE = "model.int8.safetensors", ".int8_scale"


def quantize(
    model: PreTrainedModel,  # in float32 on the CPU; it is changed
) -> PreTrainedModel:
    "Return the model with its linear layers in 8 bits. Raises `UserError` if it has none"
    use_linear(model)
    with keep_quiet():
        model = quantize_dynamic(model.eval(), {nn.Linear: per_channel_dynamic_qconfig}, inplace=True)
    if not find_quantized(model):
        raise UserError(f"{type(model).__name__}: has no linear layer that torch can store in 8 bits.")
    return model


@contextmanager
def keep_quiet():
    "Hide that torch will move its 8-bit layers to another package: they still work in 2.13"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel", UserWarning)
        yield


def use_linear(
    model: nn.Module,  # any; it is changed
) -> None:
    "Replace GPT-2's `Conv1D`, which torch does not quantize, by the linear layer that it is"
    for name, part in list(model.named_modules()):
        if isinstance(part, Conv1D):
            linear = nn.Linear(*part.weight.shape)
            linear.weight, linear.bias = nn.Parameter(part.weight.detach().T.contiguous()), part.bias
            model.set_submodule(name, linear)


def find_quantized(
    model: nn.Module,  # any
) -> dict[str, Linear]:
    "Return name -> layer in 8 bits"
    return {name: part for name, part in model.named_modules() if isinstance(part, Linear)}


def save_int8(
    model: PreTrainedModel,  # from `quantize`
    folder: Path,  # where its configuration and its weights go
) -> None:
    "Write the weights and the configuration"
    tensors, seen = {}, set()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.data_ptr() not in seen and name in model.state_dict():  # tied weights once, no computed buffers
            tensors[name] = tensor.detach().contiguous()
            seen.add(tensor.data_ptr())
    for name, layer in find_quantized(model).items():
        weight = layer.weight()
        tensors[f"{name}.weight"] = weight.int_repr()
        tensors[name + SCALE] = weight.q_per_channel_scales().float()
        if layer.bias() is not None:
            tensors[f"{name}.bias"] = layer.bias().detach()
    model.config.architectures = [type(model).__name__]  # the class that `open_int8` makes
    model.config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def open_int8(
    folder: Path,  # that `save_int8` wrote
) -> PreTrainedModel:
    "Return the model, ready to predict. Raises `UserError` if the folder is not as `save_int8` writes it"
    with loading(str(folder)):
        model = make_model(folder)
        use_linear(model)
        model.tie_weights()
        tensors = load_file(folder / WEIGHTS)
        scaled = [name.removesuffix(SCALE) for name in tensors if name.endswith(SCALE)]
        scales = {name: tensors.pop(name + SCALE) for name in scaled}
        own = {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[0] not in scales}
        check_complete(find_missing(model, own, scales) | find_unpaired(tensors, scales), folder)
        model.load_state_dict(own, strict=False)
        with keep_quiet():
            for name, scale in scales.items():
                model.set_submodule(name, make_layer(tensors[f"{name}.weight"], scale, tensors.get(f"{name}.bias")))
        if model.can_generate() and (folder / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(folder, trust_remote_code=False)
    return model.eval()


def make_model(
    folder: Path,  # with config.json
) -> PreTrainedModel:
    "Return a model with new weights, which are drawn without touching the random numbers of others"
    attention = pick_attention() or "eager"
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, attn_implementation=attention)
    kind = getattr(transformers, str((config.architectures or [None])[0]), None)
    if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
        raise UserError(f"{folder}: its config.json names no model of Transformers. Export it again.")
    with torch.random.fork_rng():
        return kind(config)


def find_missing(
    model: PreTrainedModel,  # new
    own: dict,  # name -> tensor, as stored
    scales: dict,  # name of a layer in 8 bits -> its scale
) -> set[str]:
    "Return the weights that were not stored, neither themselves nor as the other end of a tie"
    places = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    stored = {places[name].data_ptr() for name in own if name in places}
    wanted = [name for name in model.state_dict() if name.rpartition(".")[0] not in scales]
    return {name for name in wanted if places[name].data_ptr() not in stored}


def find_unpaired(
    tensors: dict,  # name -> tensor, as stored, without scales
    scales: dict,  # name of a layer in 8 bits -> its scale
) -> set[str]:
    "Return the scales of weights in 8 bits that were not stored, and the weights of scales"
    names = {name.rpartition(".")[0] for name, tensor in tensors.items() if tensor.dtype == torch.int8}
    return {name + SCALE for name in names - set(scales)} | {f"{name}.weight" for name in set(scales) - names}


def make_layer(
    weight: torch.Tensor,  # int8 (outputs, inputs)
    scale: torch.Tensor,  # float32 (outputs,)
    bias: torch.Tensor | None,  # float32 (outputs,)
) -> Linear:
    "Return a linear layer in 8 bits"
    outputs, inputs = weight.shape
    zeros = torch.zeros(outputs, dtype=torch.int64)
    layer = Linear(inputs, outputs, bias_=bias is not None)
    packed = torch.quantize_per_channel(weight.float() * scale[:, None], scale.double(), zeros, 0, torch.qint8)
    layer.set_weight_bias(packed, bias)
    return layer
