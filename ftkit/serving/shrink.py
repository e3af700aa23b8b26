"""A smaller or faster form of a run's model, and what that cost: size, speed, score with a verdict.

`shrunk.json` next to the model has all figures. What was converted is compared with the original on the validation
rows: nothing was chosen on them for it. What was trained again chose its layers there, so the verdict on it is on the
test rows, which counts as an evaluation on them.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from transformers import AutoTokenizer

from ftkit.errors import UserError, did_you_mean
from ftkit.files.atomic import apply_umask, count_bytes, format_bytes, replacing, write_json
from ftkit.files.safety import check_model, loading, read_json_object
from ftkit.fine_tuning import TASKS, Run, read_texts
from ftkit.intervals import Interval
from ftkit.runs.folder import package_versions, to_json_value, utc_now
from ftkit.runs.scoring import count_look
from ftkit.serving.docker import PUBLIC_DATA, check_out, write_settings
from ftkit.serving.int8 import open_int8, quantize, save_int8
from ftkit.serving.layers import train_layers
from ftkit.serving.onnx import OnnxClassifier, save_onnx
from ftkit.serving.turns import SIZES, Answerer, compare_answers, time_turns
from ftkit.settings import Settings
from ftkit.training.hardware import describe_machine

RECORD = "shrunk.json"
TIMED = 64  # validation texts that are answered for the time
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Form:
    "A way to make a model smaller or faster"

    write: Callable  # (run, value after `=`, folder) -> what was done, in words: writes the model
    open: Callable  # (task, folder) -> what is called as a model
    trained: bool = False  # whether weights were trained again


def write_int8(run: Run, value: str, folder: Path) -> str:
    "Write the model with weights in 8 bits"
    refuse_value("int8", value)
    model, tokenizer = open_on_cpu(run)
    save_int8(quantize(model), folder)
    tokenizer.save_pretrained(folder)
    return "linear layers in 8 bits for torch on a CPU, embeddings in float32"


def write_onnx(run: Run, value: str, folder: Path) -> str:
    "Write the model as an ONNX graph"
    if value not in ("", "int8"):
        raise UserError(f"onnx={value}: write onnx, or onnx=int8 for weights in 8 bits.")
    if not run.task.one_call:
        raise UserError(
            f"{run.path}: a {run.task.name} model is called once for each token it writes, which one ONNX graph of "
            "a call does not do. Write int8 or layers=N."
        )
    model, tokenizer = open_on_cpu(run)
    save_onnx(model, tokenizer, folder, int8=value == "int8")
    tokenizer.save_pretrained(folder)
    return f"an ONNX graph for onnxruntime, weights in {'8 bits' if value else 'float32'}"


def write_layers(run: Run, value: str, folder: Path) -> str:
    "Write the model with fewer layers, after a short training"
    if not (value.isascii() and value.isdigit()):
        raise UserError(f"layers={value}: how many layers are kept? Write layers=3.")
    with tempfile.TemporaryDirectory(prefix="ftkit-") as temporary:
        tuned = train_layers(run, int(value), Path(temporary))
        shutil.copytree(tuned.model_folder, folder, dirs_exist_ok=True)
        epochs = tuned.settings.num_train_epochs
    return f"{int(value)} of the layers, trained for another {epochs:g} epoch"


def open_on_cpu(run: Run) -> tuple:
    "Return the model of a run, where every form is compared with it, and its tokenizer"
    return run.task.open_model(str(run.model_folder))


def open_folder(task, folder: Path):
    "Return the model of a plain folder of Transformers"
    return task.open_model(str(folder))[0]


FORMS = {  # what `--to` names; a value may follow, as in layers=3
    "int8": Form(write_int8, lambda task, folder: open_int8(folder)),
    "onnx": Form(write_onnx, lambda task, folder: OnnxClassifier(folder)),
    "layers": Form(write_layers, open_folder, trained=True),
}


def refuse_value(
    name: str,  # of a form
    value: str,  # after its `=`
) -> None:
    "Raise `UserError` if a form has a value that it does not take"
    if value:
        raise UserError(f"{name}={value}: takes no value. Write {name}.")


def shrink(
    run: Run,  # finished
    form: str,  # int8, onnx, onnx=int8, or layers=N
    out: str | Path,  # the folder to write
    force: bool = False,  # replace a folder that is there
) -> dict:
    "Write a smaller form of a run's model into a folder. Return its figures, as shrunk.json keeps them"
    name, _, value = form.partition("=")
    if name not in FORMS:
        raise UserError(f"{form}: is unknown.{did_you_mean(name, FORMS)} Write int8, onnx, onnx=int8 or layers=N.")
    run.check_finished()
    out = check_out(run, out, force)
    if out.resolve().is_relative_to(run.path.resolve()):
        raise UserError(f"--out {out}: lies in the run. Name a folder outside of it.")
    if (run.model_folder / "adapter").is_dir():
        raise UserError(
            f"{run.path}: its model is an adapter beside its base model, and no form has both. "
            "Train with a method that is merged, such as lora."
        )
    try:
        with replacing(out) as folder:
            folder.mkdir()
            what = FORMS[name].write(run, value, folder)
            write_settings(run, folder)
            data = {key: run.data[key] for key in PUBLIC_DATA if key in run.data}
            facts = {"form": form, "what": what, "run": run.path.name, "task": run.task.name, "data": data}
            write_json(folder / RECORD, facts)
            (folder / "README.md").unlink(missing_ok=True)  # the card of the training that is left out
            record = to_json_value({**facts, **measure(run, folder, FORMS[name].trained)})
            write_json(folder / RECORD, record)
            write_readme(run, record, folder)
            for file in folder.iterdir():
                apply_umask(file)
    except OSError as e:
        raise UserError(f"--out {out}: cannot be written ({e.strerror}). Name another folder.") from None
    return record | {"out": str(out)}


@dataclass(frozen=True)
class Shrunk(Answerer):
    "A shrunk model, opened"

    record: dict  # shrunk.json

    def predict(
        self,
        texts,  # as `Run.predict` takes them
    ) -> list[dict]:
        "Return one answer for each text, in order, with the same keys as `Run.predict`"
        return self.answer(read_texts(texts, self.record["data"], self.task))


def open_shrunk(
    folder: str | Path,  # that `ftkit export --to int8|onnx|layers=N` wrote
) -> Shrunk:
    "Open a shrunk model, ready to predict. Raises `UserError` if the folder is none"
    folder = Path(folder)
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder}: has no {RECORD}. Write it: ftkit export RUN --to int8 --out {folder}")
    check_model(str(folder))
    record = read_json_object(folder / RECORD)
    name, task = str(record.get("form")).partition("=")[0], TASKS.get(str(record.get("task")))
    if name not in FORMS or task is None or not isinstance(record.get("data"), dict):
        raise UserError(f"{folder / RECORD}: is not as ftkit writes it. Export the run again.")
    settings, model = Settings.read(folder / "settings.ini"), FORMS[name].open(task, folder)
    with loading(str(folder)):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return Shrunk(task, model, tokenizer, settings, record)


def measure(
    run: Run,  # the original
    folder: Path,  # with the shrunk model
    trained: bool,  # whether it was trained again
) -> dict:
    "Return size, speed, scores and verdict of a shrunk model, as it opens from its folder"
    original, shrunk = Answerer(run.task, *open_on_cpu(run), run.settings), open_shrunk(folder)
    stored, keys = run.predictions, run.settings.section("metrics")
    scores, found, looks = {}, {}, None
    for split in ("validation", "test") if trained else ("validation",):
        old = stored[stored.split == split].reset_index(drop=True)
        rows, _ = run.task.read_again(old, run.data)
        new = run.task.predict(shrunk.model, shrunk.tokenizer, rows, run.settings)
        if len(new) != len(old):
            raise UserError(f"{run.path}: its {split} rows cannot be read again. Repeat the run: --rerun.")
        scores[split] = run.task.score(new, **keys)
        verdict = run.task.compare(new, old, (shrunk.record["form"], run.path.name), **keys)
        found = {**asdict(verdict), "split": split, "rows": len(new)}
        if split == "test":
            looks = count_look(run, run.data["test"]["sha256"], "export")
        else:
            answers = [run.task.read_answers(*pair) for pair in ((old, original.model), (new, shrunk.model))]
            texts = run.task.read_asked(old.sample(min(TIMED, len(old)), random_state=0))
    sizes = count_bytes(folder), count_bytes(run.model_folder)
    return {
        "smaller": sizes[1] / sizes[0],
        "bytes": sizes[0],
        "bytes_original": sizes[1],
        "speed": {str(size): time_turns(original, shrunk, texts, size) for size in SIZES},
        "headline": run.task.headline,
        "scores": scores,
        "scores_original": {split: run.record["metrics"][split] for split in scores},
        "verdict": found,
        "looks": looks,
        "answers": compare_answers(*answers),
        "machine": describe_machine() | {"device": "cpu"},
        "versions": package_versions(),
        "created": utc_now(),
    }


def describe_shrunk(
    record: dict,  # from `shrink`
) -> list[str]:
    "Return the figures as lines"
    verdict, headline, answers = record["verdict"], record["headline"], record["answers"]
    split, threads = verdict["split"], record["machine"]["threads"]
    score, before = (Interval.from_record(record[key][split][headline]) for key in ("scores", "scores_original"))
    speed = "; ".join(
        f"{part['faster']:.2f}x at batch {size}: {part['milliseconds']:.1f} ms a text, was "
        f"{part['milliseconds_original']:.1f}"
        for size, part in record["speed"].items()
    )
    parts = [f"{answers['same']:.1%} the same"] if answers["same"] is not None else []
    if answers["largest_difference"] is not None:
        parts.append(f"largest difference of a number {answers['largest_difference']:.2g}")
    look = f", look {record['looks']} at these rows" if record["looks"] else ""
    return [
        f"form     {record['form']}: {record['what']}",
        f"size     {record['smaller']:.2f}x smaller: {format_bytes(record['bytes'])}, "
        f"was {format_bytes(record['bytes_original'])}",
        f"speed    {speed} (CPU, threads: {threads}, medians)",
        f"{headline:<8} {score} on {verdict['rows']:,} {split} rows{look}; was {before}",
        f"verdict  {verdict['text']}",
        f"answers  {', '.join(parts)} on {answers['rows']:,} validation rows",
    ]


def write_readme(
    run: Run,  # the original
    record: dict,  # of the shrunk model
    folder: Path,  # that gets README.md
) -> None:
    "Write a card with the figures of the shrunk model, and below it the original's"
    card = run.model_folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    body = text.partition("\n---\n")[2] if text.startswith("---\n") else text  # the front matter has other scores
    lines = describe_shrunk(record)
    text = "\n".join(
        [
            f"# {record['form']}: a smaller form of a model that ftkit fine-tuned",
            "",
            *(f"    {line}" for line in lines),
            "",
            "To use it (all figures are in shrunk.json):",
            "",
            "    from ftkit.serving.shrink import open_shrunk",
            '    open_shrunk(".").predict(["a text"])',
            "",
            "The card of the original follows. Its scores are those of the original.",
            "",
            body.strip(),
            "",
        ]
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
