"""What is checked before anything trains: each check says what was seen, why it matters, and what to write instead.

To add one: a function and a row in `CHECKS`. A check refuses, before a run folder exists, only if the training could
not run or its answers would be wrong; else it warns.
"""

import copy
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from datasets import DatasetDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from ftkit.errors import UserError
from ftkit.files.atomic import format_bytes, sha256_json
from ftkit.model_init import describe_labels
from ftkit.objective import Objective
from ftkit.runs.continuing import Continuation
from ftkit.settings import Settings, rates_of
from ftkit.tasks.base import Task
from ftkit.tokenizer import model_columns
from ftkit.trainer import check_can_finish
from ftkit.training.forecast import Forecast, count_batches, count_free_disk, forecast_disk, make_forecast
from ftkit.training.hardware import count_usable_memory, pick_device
from ftkit.training.trial import Trial, count_answers, list_batches, unchanged
from ftkit.views.advice import FEW_UPDATES, advise_updates

OK, WARN, REFUSE = "ok", "warn", "refuse"
MANY_UNKNOWN = 0.2  # share of a label's tokens that the tokenizer does not know
MANY_CUT = 0.2  # share of a label's texts that the limit cuts
MOST_TOKENS = 8192  # of a limit that is advised
MANY_TIMES = 20  # the loss of guessing, from which a first loss is a fault
ROWS = 8  # of a batch that a check reads
SHORT = FEW_UPDATES // 3  # a training with fewer updates of the weights
OVERFIT_STEPS = 30  # updates on one batch, with `preflight = full`
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    "The outcome of one check"

    name: str  # of the check
    level: str  # ok, warn or refuse
    seen: str  # what was found, with its numbers
    why: str  # why it matters
    fix: str = ""  # a setting or a line of code; empty if all is well

    def __str__(self):
        return f"{self.name}: {self.seen}. {self.why} {self.fix}".rstrip()


@dataclass
class Plan:
    "A training that has not begun: what `fine_tune` prepares, and what the checks look at"

    task: Task  # what the model is trained to do
    settings: Settings  # the experiment
    args: TrainingArguments  # from `training_arguments`
    data: DatasetDict  # from `load_data`
    report: dict  # of `load_data`, with `cut` and `unknown`
    objective: Objective  # the rungs of the ladder
    tokenizer: PreTrainedTokenizerBase  # from `load_tokenizer`
    tokens: DatasetDict  # from `tokenize`
    runs_dir: str | Path  # where the run folder will lie
    model: PreTrainedModel | None = None  # with its first weights
    forecast: Forecast | None = None  # from trial steps
    findings: list[Finding] = field(default_factory=list)  # of the checks
    auto: list[str] = field(default_factory=list)  # keys whose value was found here
    feedback: list[dict] | None = None  # the judged answers among the training rows
    continued: Continuation | None = None  # the run that this one continues

    @property
    def labels(self) -> list[str]:
        "Return the label names; empty if the task has none"
        return self.report["labels"]

    @property
    def ignoring(self) -> str:
        "Return how a label is left out, for a sentence"
        return " with ignore_labels" if "ignore_labels" in self.settings.section("data") else ""

    def groups(
        self,
        split: str = "train",  # or another
    ) -> dict[str, np.ndarray]:
        "Return label -> whether each row has it (rows,)"
        return self.task.groups(self.tokens[split], self.labels)

    @cached_property
    def pieces(self) -> dict:
        "Return `data_collator`, `compute_metrics` and `compute_loss_func`"
        return self.task.trainer_kwargs(self.tokens, self.tokenizer, self.settings)

    @cached_property
    def tokens_sha256(self) -> str:
        "Return the fingerprint of the training rows' tokens"
        return sha256_json(self.tokens["train"]["input_ids"][:])

    @property
    def model_keys(self) -> dict:
        "Return the arguments of `Task.load_model`: of a continued run, the folder of its weights as the base model"
        keys = self.settings.section("model") | self.settings.section("model_init")
        folder = self.continued and self.continued.first_weights
        return keys | ({"model_name_or_path": folder, "model_revision": "main"} if folder else {})

    def load_model(self) -> None:
        "Load the model with its first weights"
        self.model = self.task.load_model(self.labels, self.tokenizer, seed=self.settings.seed, **self.model_keys)

    def take_model(self) -> PreTrainedModel | None:
        "Return the model and forget it, so that its memory is free when the training forgets it too"
        model, self.model = self.model, None
        return model

    def with_threads(
        self,
        threads: int | None,  # of torch; None: as many as now
    ) -> "Plan":
        "Return the plan with a number of threads in place of `auto`"
        if self.settings.num_threads != "auto":
            return self
        settings = self.settings.replace(num_threads=threads or torch.get_num_threads())
        return replace(self, settings=settings, auto=[*self.auto, "num_threads"])

    def with_trial(
        self,
        trial: Trial | None,  # from `run_trial`
    ) -> "Plan":
        "Return the plan with the forecast and the fastest number of threads. Logs them"
        plan = self.with_threads(trial and trial.threads)
        if trial is not None:
            plan.forecast = make_forecast(trial, plan.model, plan.tokens, plan.settings, plan.args, plan.runs_dir)
            found = Finding("forecast", *check_forecast(plan))
            plan.findings = [*plan.findings, found]
            logger.info(f"forecast: {plan.forecast}")
            if found.level == WARN:
                logger.warning(str(found))
        return plan

    def check(self) -> None:
        "Run the checks that the settings ask for. Raises `UserError` if the training cannot work"
        if self.settings.preflight != "false":
            self.findings = run_checks(self)

    def record(self) -> dict:
        "Return what run.json keeps of the plan"
        record = {"task": self.task.name, "headline": self.task.headline, "data": self.report}
        record |= {"tokens_sha256": self.tokens_sha256, "expected_loss": self.task.expected_loss(self.labels)}
        if self.forecast is not None:
            record["forecast"] = asdict(self.forecast)
        if self.findings:
            record["preflight"] = [asdict(finding) for finding in self.findings]
        return record | ({"auto": self.auto} if self.auto else {})


def run_checks(
    plan: Plan,  # before its training
) -> list[Finding]:
    "Run all checks and log what is not well. Raises `UserError` with the first one that refuses"
    chosen = {name: check for name, check in CHECKS.items() if name != "overfit" or plan.settings.preflight == "full"}
    with unchanged(plan.model):
        plan.model.to(pick_device()).eval()
        findings = []
        for name, check in chosen.items():
            if (found := check(plan)) is None:  # it does not concern this task
                continue
            findings.append(Finding(name, *found))
            if findings[-1].level == REFUSE:
                raise UserError(str(findings[-1]))
            if findings[-1].level == WARN:
                logger.warning(str(findings[-1]))
    warnings = sum(finding.level == WARN for finding in findings)
    seen = f"{warnings} of them warn" if warnings else "all well"
    logger.info(f"preflight: {len(findings)} checks of settings and model, {seen}")
    return findings


def first_rows(
    plan: Plan,  # whose training rows these are
) -> list[dict]:
    "Return the tokens of the first training rows"
    rows = plan.tokens["train"].select(range(min(ROWS, len(plan.tokens["train"]))))
    return list(rows.select_columns(model_columns(rows)))


def run_model(
    plan: Plan,  # its model
    rows: list[dict],  # of tokens
    total: int | None = None,  # answers in the update that they are part of; default: in these
    model: PreTrainedModel | None = None,  # default: that of the plan
) -> tuple[torch.Tensor, torch.Tensor]:
    "Return logits (rows, labels) and the loss of a batch"
    model = model or plan.model
    batch = plan.pieces["data_collator"](rows).to(model.device)
    labels = batch.pop("labels")
    outputs = model(**batch)
    return outputs["logits"].float(), plan.pieces["compute_loss_func"](outputs, labels, total or count_answers(labels))


def check_tokenizer(plan: Plan) -> tuple:
    why = "Tokens that the model does not know carry no meaning."
    known, largest = plan.model.get_input_embeddings().num_embeddings, max(map(max, plan.tokens["train"]["input_ids"]))
    sizes = f"the tokenizer makes {len(plan.tokenizer):,} tokens, the model knows {known:,}"
    if largest >= known:
        fix = "Save the right tokenizer next to the model: AutoTokenizer.from_pretrained(base).save_pretrained(folder)"
        return REFUSE, f"{sizes}, and a text has the token id {largest:,}", why, fix
    found = {name: share for name, share in plan.report["unknown"].items() if share > MANY_UNKNOWN}
    if found:
        shown = ", ".join(f"{name} {share:.0%}" for name, share in found.items())
        fix = "Its vocabulary is of another language or script: choose a base model of the texts' language."
        return WARN, f"the base model does not know many of the tokens, by label: {shown}", why, fix
    share = max(plan.report["unknown"].values(), default=0.0)
    return OK, f"{sizes}; at most {share:.1%} of a label's tokens are unknown", why


def check_padding(plan: Plan) -> tuple:
    why = "Otherwise a text's answer depends on the texts that share its batch."
    rows = sorted(first_rows(plan), key=lambda row: len(row["input_ids"]))
    pair = [rows[0], rows[-1]]
    with torch.no_grad():
        alone, together = run_model(plan, pair[:1])[0][0], run_model(plan, pair)[0][0]
        together = together[: len(alone)]  # of a model that answers at each token
    gap, side = float((alone - together).abs().max()), plan.tokenizer.padding_side
    if gap > 1e-3 * max(1.0, float(alone.abs().max())):
        fix = f"The tokenizer pads on the {side}: load it with load_tokenizer and the model with load_model."
        return REFUSE, f"a text alone and the same text padded get other logits (by {gap:.2g})", why, fix
    return OK, f"a text alone and the same text padded on the {side} get the same logits", why


def check_length(plan: Plan) -> tuple:
    why = "What is cut off, the model never sees."
    limit, rows = plan.settings.max_seq_length, plan.report["train"]["rows"]
    lengths, cut = np.array(plan.tokens["train"]["length"]), plan.report["train"].get("cut", 0)
    shares = {name: float(np.mean(lengths[has] >= limit)) for name, has in plan.groups().items() if has.any()}
    worst = max(shares, key=shares.get, default=None)
    seen = f"{cut:,} of {rows:,} training texts are cut at {limit} tokens"
    if cut and (cut > MANY_CUT * rows or worst and shares[worst] > MANY_CUT):
        room = plan.tokenizer.model_max_length
        more = f"Write max_seq_length = {advise_limit(plan)}." if room > limit else "The model reads no more."
        most = f", {shares[worst]:.0%} of those of {worst}" if worst and shares[worst] > cut / rows else ""
        return WARN, f"{seen}{most}", why, more
    return OK, seen, why


def advise_limit(plan: Plan) -> int:
    "Return a limit in tokens that cuts at most one text in twenty, within what the model reads: a power of two"
    limit, room = plan.settings.max_seq_length, min(plan.tokenizer.model_max_length, MOST_TOKENS)
    rows = plan.data["train"].select(range(min(500, len(plan.data["train"]))))
    keys = plan.settings.section("tokenizer")
    keys |= {"max_seq_length": room} | {name: False for name in ("packing", "pad_to_max_length") if name in keys}
    lengths = plan.task.tokenize(DatasetDict(train=rows), plan.tokenizer, **keys)["train"]["length"]
    return min(room, max(2 * limit, 1 << (int(np.quantile(lengths, 0.95)) - 1).bit_length()))


def check_label_map(plan: Plan) -> tuple | None:
    if not plan.labels:
        return None
    why = "Else the answers get each other's names."
    config, names = plan.model.config, plan.labels
    if [config.id2label.get(i) for i in range(len(names))] != names or config.num_labels != len(names):
        fix = "Load the model with load_model(labels=names of the data, in the order of their ids)."
        return REFUSE, f"the model's labels are {config.id2label}, those of the data {names}", why, fix
    return OK, f"{len(names)} labels have the same ids in the model and in the data", why


def check_labels(plan: Plan) -> tuple | None:
    if not plan.labels:
        return None
    why = "A label without rows is neither learned nor scored."
    missing = {split: [name for name, has in plan.groups(split).items() if not has.any()] for split in plan.tokens}
    unseen = [n for n in missing["train"] if any(n not in gone for split, gone in missing.items() if split != "train")]
    if unseen:
        seen = f"no training row has the label {describe_labels(unseen)}, but other rows do"
        return REFUSE, seen, why, f"Add training rows, or leave the label out{plan.ignoring}."
    if any(missing.values()):
        seen = "; ".join(
            f"{split} has no row of {describe_labels(names)}" for split, names in missing.items() if names
        )
        return WARN, seen, why, f"Add rows, or leave the label out{plan.ignoring}."
    return OK, f"all {len(plan.labels)} labels have rows in all splits", why


def check_first_loss(plan: Plan) -> tuple:
    why = "A model that knows nothing of the task has about the loss of guessing."
    with torch.no_grad():
        loss = float(run_model(plan, first_rows(plan))[1])
    guessing, words = plan.task.expected_loss(plan.labels) or (math.inf, "")
    seen = f"the loss before training is {loss:.2f}" + (f", next to {words}" if words else "")
    if not loss <= MANY_TIMES * guessing:
        return WARN, seen, why, "Look at the weights of the base model, and at the labels."
    return OK, seen, why


def check_accumulation(plan: Plan) -> tuple:
    why = "Else the batch size changes the step, not the memory alone."
    rows = first_rows(plan)
    total = count_answers(plan.pieces["data_collator"](rows)["labels"])

    def norm(size):
        plan.model.zero_grad()
        for i in range(0, len(rows), size):
            run_model(plan, rows[i : i + size], total)[1].backward()
        gradients = [p.grad for p in plan.model.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0

    whole, parts = norm(len(rows)), norm(2)
    plan.model.zero_grad()
    seen = f"{len(rows)} rows at once and in twos give gradients of norm {whole:.4g} and {parts:.4g}"
    if math.isfinite(whole) and abs(whole - parts) > 0.01 * max(whole, 1e-6):
        return WARN, seen, why, "compute_loss_func has to return the sum over the rows, divided by num_items_in_batch."
    return OK, seen, why


def check_trainable(plan: Plan) -> tuple:
    why = "Frozen weights stay as they are."
    trained = {name: p.numel() for name, p in plan.model.named_parameters() if p.requires_grad}
    total = sum(p.numel() for p in plan.model.parameters())
    if not trained:
        return REFUSE, "no weight of the model trains", why, "Write method = full or lora."
    parts = sorted({name.partition(".")[0] for name in trained})
    count = sum(trained.values())
    return OK, f"{count:,} of {total:,} weights train ({count / total:.1%}), in {', '.join(parts)}", why


def check_dtype(plan: Plan) -> tuple:
    why = "In half precision small updates are rounded away."
    kinds = sorted({str(p.dtype).removeprefix("torch.") for p in plan.model.parameters() if p.requires_grad})
    if kinds and kinds != ["float32"]:
        return WARN, f"the trained weights are {', '.join(kinds)}", why, "Load them with dtype=torch.float32."
    return OK, "the trained weights are float32", why


def check_learning_rate(plan: Plan) -> tuple:
    why = "Too small learns nothing, too large forgets what the base model knows."
    s = plan.settings
    low, default, high = rates_of(s.method)
    if not low <= s.learning_rate <= high:
        seen = f"learning_rate = {s.learning_rate:g} is outside the usual range of method = {s.method}"
        return WARN, f"{seen} ({low:g} to {high:g})", why, f"Write learning_rate = {default:.0e}."
    return OK, f"learning_rate = {s.learning_rate:g}, usual for method = {s.method}: {low:g} to {high:g}", why


def check_updates(plan: Plan) -> tuple | None:
    continued = plan.continued and plan.continued.first_weights
    if continued or plan.task.expected_loss(plan.labels) is None:  # no new head, which has all to learn
        return None
    why = "A new head starts at random, and each update moves it a little."
    updates = count_batches(len(list_batches(plan.tokens, plan.settings)[0]), plan.args)[1]
    seen = f"{updates:,} {'update' if updates == 1 else 'updates'} of the weights in all"
    if updates < SHORT:
        limited = plan.args.max_steps > 0
        change = f"max_steps = {FEW_UPDATES}" if limited else advise_updates(plan.settings, updates)
        return WARN, f"{seen}, which is hardly enough to learn from", why, f"Write {change}."
    return OK, seen, why


def check_memory(plan: Plan) -> tuple:
    why = "Without weights, gradients and AdamW's moments nothing can train."
    trained = sum(p.numel() for p in plan.model.parameters() if p.requires_grad)
    weights = sum(p.numel() * p.element_size() for p in plan.model.parameters())
    needed, usable = weights + 12 * trained, count_usable_memory()
    seen = f"weights, gradients and moments need {format_bytes(needed)}, and {format_bytes(usable)} are there"
    if needed > usable:
        return REFUSE, seen, why, "Write method = lora or head, or take a smaller base model."
    return OK, seen, why


def check_forecast(plan: Plan) -> tuple:
    why = "A training that runs out of memory starts again with smaller batches."
    seen, usable = f"the training takes {plan.forecast}", count_usable_memory()
    if plan.forecast.peak_bytes > usable:
        fix = "Write a smaller per_device_train_batch_size and more gradient_accumulation_steps."
        return WARN, f"{seen}; {format_bytes(usable)} of memory are there", why, fix
    return OK, seen, why


def check_disk(plan: Plan) -> tuple:
    why = "A full disk ends the training."
    needed, free = forecast_disk(plan.model, plan.args), count_free_disk(plan.runs_dir)
    seen = f"the run needs {format_bytes(needed)}, and {format_bytes(free)} are free"
    if needed > free:
        return REFUSE, f"{seen} in {plan.runs_dir}", why, "Free some, or give another --runs_dir."
    return OK, seen, why


def check_settings(plan: Plan) -> tuple:
    why = "What fails after the last step has cost the whole training."
    try:
        check_can_finish(plan.args, len(plan.tokens["train"]), plan.model)
    except UserError as e:
        return REFUSE, str(e).rstrip("."), why
    return OK, "optimizer and schedule can be made, and no split is without a batch", why


def check_overfit(plan: Plan) -> tuple:
    why = "A model that cannot learn eight rows by heart has a fault: loss, labels or frozen weights."
    model, rows = copy.deepcopy(plan.model), first_rows(plan)
    trained = [p for p in model.parameters() if p.requires_grad]
    rate = rates_of(plan.settings.method).high / 3  # high: eight rows have to be learned by heart
    optimizer, losses = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0), []
    for _ in range(OVERFIT_STEPS):
        loss = run_model(plan, rows, model=model)[1]
        losses.append(loss.item())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    seen = f"{OVERFIT_STEPS} updates on {len(rows)} rows bring the loss from {losses[0]:.2f} to {losses[-1]:.2f}"
    if not losses[-1] < 0.7 * losses[0]:
        return WARN, seen, why, "Look at the labels of these rows and at what trains."
    return OK, seen, why


CHECKS: dict[str, Callable[[Plan], tuple]] = {
    "tokenizer": check_tokenizer,
    "padding": check_padding,
    "length": check_length,
    "label map": check_label_map,
    "labels": check_labels,
    "trained weights": check_trainable,
    "precision": check_dtype,
    "loss at the start": check_first_loss,
    "accumulation": check_accumulation,
    "learning rate": check_learning_rate,
    "updates": check_updates,
    "memory": check_memory,
    "disk": check_disk,
    "settings": check_settings,
    "overfit": check_overfit,
}
