"""Checks of a folder from somebody else: nothing in it may point outside of it, and no code in it is run.

Transformers opens any path that `tokenizer_config.json` and the index of the weights name, follows links,
and saves what it has read with the model.
"""

import json
import os
import pickle
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from ftkit.errors import RunFailed, UserError, is_out_of_memory

TEMPLATES = "additional_chat_templates"


def check_links(
    folder: Path,  # a model or run folder
    paths,  # files and folders in it
) -> None:
    "Raise `UserError` if a link points outside of the folder (in the Hub's cache: outside of the model's part of it)"
    root = Path(os.path.realpath(folder))
    if root.parent.name == "snapshots" and root.parents[1].name.startswith("models--"):
        root = root.parents[1]
    for path in paths:
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
            raise UserError(
                f"{folder}: {path.relative_to(folder)} is a link to {os.readlink(path)}, outside of the folder. "
                "Put a copy of the file there."
            )


def check_run(
    folder: Path,  # a run folder
) -> None:
    "Raise `UserError` if a link in a run folder would have files outside of it read or written"
    # links inside a checkpoint are not checked here: `find_problem` has it skipped
    check_links(folder, [*folder.iterdir(), *folder.glob("model/*"), folder / "checkpoints" / ".staging"])


def check_model(
    name: str,  # a folder, or a name on the Hub
    revision: str = "main",  # branch, tag or commit on the Hub
) -> None:
    "Raise `UserError` if loading a model would read a file outside of its folder or open anything but safetensors"
    folder = Path(name)
    if os.path.isdir(folder):
        check_links(folder, [*folder.iterdir(), *folder.glob(f"{TEMPLATES}/*")])
        if (folder / "adapter_config.json").exists():
            raise UserError(
                f"{name}: holds an adapter. Merge it into its base model (peft: merge_and_unload), save that, "
                "and give the path of its folder."
            )
        if any(folder.glob("pytorch_model*.bin")) and not any(folder.glob("*.safetensors")):
            new = f"{folder.name}-safetensors"
            raise UserError(
                f"{name}: has its weights as pytorch_model.bin alone, a pickle, which can run code when it is opened. "
                f'If you trust its author, convert it once: python -c "from transformers import AutoModel, '
                f"AutoTokenizer as T; AutoModel.from_pretrained('{name}').save_pretrained('{new}'); "
                f"T.from_pretrained('{name}').save_pretrained('{new}')\", and give {new}."
            )
        if str(read_json_object(folder / "config.json").get("transformers_weights", ".safetensors")).endswith(".bin"):
            raise UserError(
                f"{name}: its config.json names weights that are not safetensors. Save them as safetensors."
            )
        for index in folder.glob("*.index.json"):
            if shard := find_foreign_shard(index):
                raise UserError(f"{index}: names {shard!r}, which is not a safetensors file next to it.")
    check_tokenizer_config(name, revision)


def read_adapter(
    folder: Path,  # model/adapter of a run
) -> tuple[str, str]:
    "Return name and revision of the base model. Raises `UserError` for an adapter that PEFT would run code for"
    check_links(folder, folder.iterdir())
    config = read_json_object(folder / "adapter_config.json")
    quantized = "quantization_config" in read_json_object(folder.parent / "config.json")  # by method = qlora
    known = config.get("peft_type") in (("LORA",) if quantized else ("PROMPT_TUNING", "PREFIX_TUNING"))
    foreign = any(config.get(key) for key in ("auto_mapping", "megatron_config"))  # PEFT imports what they name
    plain = config.get("init_lora_weights", True) is True and config.get("prompt_tuning_init", "RANDOM") == "RANDOM"
    whole = known and plain and not foreign and (folder / "adapter_model.safetensors").is_file()
    name, revision = config.get("base_model_name_or_path"), config.get("revision") or "main"
    if not (whole and isinstance(name, str) and isinstance(revision, str)):
        raise UserError(f"{folder}: is not an adapter as ftkit writes it: qlora, prompt or prefix, in safetensors.")
    return name, revision


def find_foreign_shard(
    index: Path,  # of weights in several files
) -> str | None:
    """Return the first name in an index that is not a safetensors file next to it, or None if all are.

    Transformers would read it from another folder, or as a pickle.
    """
    shards = read_json_object(index).get("weight_map")
    for shard in shards.values() if isinstance(shards, dict) else [shards]:
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(".safetensors"):
            return str(shard)
    return None


def check_tokenizer_config(
    name: str,  # a folder, or a name on the Hub
    revision: str,  # branch, tag or commit on the Hub
) -> None:
    """Raise `UserError` if tokenizer_config.json names a file of this machine outside of the model's folder.

    Its content would become part of the vocabulary.
    """
    from huggingface_hub import hf_hub_download

    try:
        file = (
            Path(name, "tokenizer_config.json")
            if os.path.isdir(name)
            else Path(hf_hub_download(name, "tokenizer_config.json", revision=revision))
        )
    except (OSError, ValueError):  # the model has none, or does not exist: loading it raises
        return
    folder = Path(os.path.realpath(name))
    for key, value in read_json_object(file).items():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, str) and key != "name_or_path":
                for place in (Path(path), folder / path):
                    if (
                        os.path.exists(place)
                        and not os.path.isdir(place)
                        and not Path(os.path.realpath(place)).is_relative_to(folder)
                    ):
                        raise UserError(
                            f"{name}: its tokenizer_config.json has {key} = {path!r}, "
                            "a file outside of the model's folder. Remove that line."
                        )


def read_json_object(
    file: Path,  # that may be missing
) -> dict:
    "Read a JSON object; return an empty one if there is no such file. Raises `UserError` if it is something else"
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise UserError(f"{file}: cannot be read as JSON ({str(e).splitlines()[0]}).") from None
    if not isinstance(value, dict):
        raise UserError(f"{file}: expected a JSON object, found {type(value).__name__}.")
    return value


@contextmanager
def loading(
    what: str,  # the setting or folder, for the message
):
    "Turn an exception of the libraries about a model's files into a `UserError` of one line"
    try:
        yield
    except UserError:
        raise
    except pickle.UnpicklingError as e:
        raise UserError(
            f"{what}: holds a pickle, which can run code, so it is not opened. Save the weights as safetensors."
        ) from e
    except Exception as e:
        if is_out_of_memory(e):
            raise
        raise UserError(
            f"{what}: cannot be loaded ({type(e).__name__}: {(str(e).strip().splitlines() or [''])[0][:200]})."
        ) from e


@contextmanager
def reading_checkpoint(
    checkpoint: str | None,  # a folder; None for a training from the beginning
    begun: Callable[[], bool],  # returns True after the first step: by then the checkpoint has been read
):
    "Turn an exception of the libraries while they read a checkpoint into a `UserError` of one line"
    try:
        yield
    except pickle.UnpicklingError as e:
        raise UserError(
            f"{checkpoint}: holds more than numbers, which may run code, so it is not opened. Start a new run."
        ) from e
    except Exception as e:
        # too many open files, a busy device: another try may succeed
        temporary = isinstance(e, OSError) and not isinstance(e, FileNotFoundError) or "CUDA error" in str(e)
        if checkpoint is None or begun() or temporary or isinstance(e, UserError | RunFailed) or is_out_of_memory(e):
            raise
        raise UserError(
            f"{checkpoint}: cannot be resumed from ({type(e).__name__}: {(str(e).splitlines() or [''])[0]}). "
            "Delete it to resume from the previous checkpoint."
        ) from e
