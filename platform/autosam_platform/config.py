"""One validated description of an experiment. Recipes (YAML) fill it, then the command line; a run stores it.

Defaults are the paper's (PAPER.md Sec. 4 and 7.3: AdamW, 5e-4, 200 epochs of which 5 warm up, patches of 128³,
batch 1 per GPU, sliding window with overlap 0.75).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import tyro
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from autosam_models import find_model, model_names
from autosam_platform.files import content_hash

Positive = Annotated[int, Field(gt=0)]
Spacing = Annotated[float, Field(gt=0.1, le=20)]
T = TypeVar("T", bound=BaseModel)
J = TypeVar("J", bound="Job")

MODEL_FILES = ("model.json", "model.safetensors")
"""What a folder must hold to be a trained model: its description and its weights."""

CHECKPOINTING = "activation_checkpointing"
"""The option of models that can do with less memory in training."""


class Section(BaseModel):
    """A part of the description: immutable, and strict about names it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DatasetSection(Section):
    """What is trained on."""

    name: str = "phantom"
    """A description that comes with the project (phantom, btcv, amos, ct_org, pelvic, one_scan), or a YAML file."""
    root: Path | None = None
    """Folder of the raw scans; the phantom is made where none is given."""
    phantom_seed: int = 1
    """Seed of the phantoms."""
    spacing_xyz: tuple[Spacing, Spacing, Spacing] | None = None
    """Voxel spacing in mm to prepare for; the description's where none is given."""
    allow_rejected: bool = False
    """Train although the checks rejected some cases; without it that is refused."""

    @model_validator(mode="after")
    def _root_is_known(self) -> Self:
        if self.root is None and self.name != "phantom":
            raise ValueError(f"dataset '{self.name}' needs the folder of its scans: add --dataset.root FOLDER")
        return self


class ModelSection(Section):
    """Which network."""

    name: str = Field(default="autosam_vit_b", examples=model_names())
    """A registered model: `python -m autosam_models` lists them."""
    checkpoint: Path | None = None
    """SAM's own .pth file to start from; without one everything trains from random weights."""
    patch_DHW: tuple[Positive, Positive, Positive] = (128, 128, 128)
    """Voxels of a patch: depth, height, width."""
    options: dict[str, bool | int | float | str] = {}
    """Options of that model, for example `upsample 2 apg False`."""

    @model_validator(mode="after")
    def _model_has_these_options(self) -> Self:
        model = find_model(self.name)
        model.check_options(self.options)
        if self.checkpoint is not None and "checkpoint" not in model.options:
            raise ValueError(f"{self.name} cannot start from SAM's checkpoint: leave --model.checkpoint out")
        return self


class TrainingSection(Section):
    """How it is trained."""

    epochs: Positive = 200
    """Epochs."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 5.0
    """Epochs of linear warm-up."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-4
    """Learning rate after the warm-up."""
    final_rate: Annotated[float, Field(gt=0, le=1)] = 0.01
    """The rate at the end, as a fraction of the learning rate."""
    decay: Literal["exponential", "linear"] = "exponential"
    """How the rate gets there after the warm-up: exponential is the paper's, linear pays in short runs."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    """AdamW's decoupled weight decay."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient."""
    batch: Positive = 1
    """Patches per worker and step."""
    patches_per_case: Positive = 1
    """Patches drawn from each case in an epoch."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bf16 autocast where the hardware has it (auto), always, or never; weights are fp32."""
    seed: int = 0
    """Seed of the weights, the order of the cases, the patches and the augmentation."""
    deterministic: bool = False
    """Same bits on every run: one thread and deterministic kernels; slower."""
    validate_every: Positive = 10
    """Epochs between validations (where there is a validation split), and the last one."""
    checkpoint_steps: Annotated[int, Field(ge=0)] = 0
    """Steps between checkpoints inside an epoch; 0 is at the ends of epochs only."""
    checkpoint_epochs: Positive = 1
    """Epochs between checkpoints."""
    loader_workers: Annotated[int, Field(ge=0)] = 2
    """Processes that make patches for each training worker; 0 makes them in the loop."""

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"{self.warmup_epochs:g} warm-up epochs leave nothing of {self.epochs} epochs: lower "
                "--training.warmup-epochs or raise --training.epochs"
            )
        return self


class DistillationSection(Section):
    """What a student learns from a teacher; where none is named, it learns from the labels alone."""

    teacher: Annotated[str | None, tyro.conf.arg(aliases=("--teacher",))] = None
    """A finished run by its name or folder, a model's folder, or the recipe that trains the teacher if need be."""
    kd_lambda: Annotated[float, Field(ge=0, le=1), tyro.conf.arg(aliases=("--kd-lambda",))] = 0.5
    """Weight of the labels (Eq. 2); the teacher has the rest: 1 is training without a teacher, 0 the teacher alone."""
    loss: Literal["mse", "kl"] = "mse"
    """Distance to the teacher: mean squared error of probabilities (the paper's), or KL divergence at a temperature."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    """Softens both distributions of the KL divergence; the mean squared error has none."""
    teacher_overlap: Annotated[float, Field(ge=0, le=0.9)] | None = None
    """Share that neighbouring windows have in common when the teacher predicts the training cases; where not given, as
    when models are evaluated."""
    teacher_mode: Annotated[Literal["cached", "online"], tyro.conf.arg(aliases=("--teacher-mode",))] = "cached"
    """Teacher's probabilities computed once and stored, or computed anew for every patch (to compare)."""


class ComputeSection(Section):
    """What it runs on. None of this changes the result, so none of it is in a run's name."""

    workers: Positive = 1
    """Training processes; the global batch is workers × batch."""
    gpu: bool | None = None
    """One GPU per worker; where not said, if the cluster has one."""
    cpus_per_worker: Positive | None = None
    """Cores per worker; where not said, the machine's cores shared among the workers, at most 8."""
    wait_for_nodes: bool = False
    """Wait for an autoscaling cluster to grow where it is too small now; without it that is refused."""
    activation_checkpointing: bool = False
    """Keep only each block's input for the backward pass: less memory, some 15 % more time, the same result."""
    memory_check: bool = True
    """Refuse a run whose training step is estimated to need more memory than there is."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """How often lost workers are started again from the last checkpoint."""


class InferenceSection(Section):
    """How a whole scan is predicted."""

    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.75
    """Share that neighbouring windows have in common when the test cases are evaluated; 0.75 is the paper's."""
    validation_overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.25
    """The same for the validations of a training run, which only have to tell which checkpoint is better: 0.02 of Dice
    less than 0.5, at a third of the time (docs/benchmarks.md)."""


class Experiment(Section):
    """One experiment: everything that decides its result, and what it runs on."""

    name: str = Field(default="autosam", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    """First part of the run's name."""
    dataset: DatasetSection = DatasetSection()
    model: ModelSection = ModelSection()
    training: TrainingSection = TrainingSection()
    distillation: DistillationSection = DistillationSection()
    inference: InferenceSection = InferenceSection()
    compute: ComputeSection = ComputeSection()

    @model_validator(mode="after")
    def _model_can_checkpoint(self) -> Self:
        if self.compute.activation_checkpointing and CHECKPOINTING not in find_model(self.model.name).options:
            raise ValueError(
                f"{self.model.name} cannot checkpoint its activations: leave --compute.activation-checkpointing out"
            )
        return self

    @model_validator(mode="after")
    def _online_teacher_is_asked_in_the_loop(self) -> Self:
        if self.distils and self.distillation.teacher_mode == "online" and self.training.loader_workers:
            raise ValueError(
                "an online teacher is asked by the training process itself: add --training.loader-workers 0, or leave "
                "--teacher-mode online out"
            )
        return self

    def model_options(self) -> dict[str, Any]:
        """What the model is built with for training, beside SAM's checkpoint."""
        chosen = {CHECKPOINTING: True} if self.compute.activation_checkpointing else {}
        return {**self.model.options, "patch": self.model.patch_DHW, **chosen}

    @property
    def distils(self) -> bool:
        """Does a teacher have any influence?"""
        return self.distillation.teacher is not None and self.distillation.kd_lambda < 1

    @property
    def teacher_overlap(self) -> float:
        """Share that neighbouring windows of the teacher have in common."""
        given = self.distillation.teacher_overlap
        return self.inference.overlap if given is None else given

    def run_id(self, data_fingerprint: str) -> str:
        """Name of the run: the experiment's name and a hash of all that decides its result.

        The global batch decides it, and how many workers share it does not (beyond rounding). A teacher counts by its
        files; where it has no influence, the run is the one without a teacher.
        """
        settings = self.model_dump(mode="json", exclude={"compute", "name"})
        settings["dataset"].pop("root"), settings["dataset"].pop("allow_rejected")
        settings["training"].pop("loader_workers")
        settings["training"]["batch"] *= self.compute.workers
        checkpoint = self.model.checkpoint if self.model.checkpoint else ""
        return f"{self.name}-{content_hash(settings, checkpoint, data_fingerprint, *self._teacher(settings))[:8]}"

    def _teacher(self, settings: dict[str, Any]) -> list[Path]:
        """The teacher's files; what is said of it and has no influence is taken out of ``settings``."""
        section = settings.pop("distillation")
        if self.distillation.teacher is None or not self.distils:
            return []
        section.pop("teacher")
        section["teacher_overlap"] = self.teacher_overlap
        if self.distillation.loss != "kl":
            section.pop("temperature")
        settings["distillation"] = section
        return [Path(self.distillation.teacher) / name for name in MODEL_FILES]


class CommandLine(Section):
    """What every job can be asked beside its settings."""

    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print the result as one JSON object on the last line."""
    check: bool = False
    """Print the resolved settings as YAML and end, without doing the job; status 2 where they cannot be run."""
    as_schema: Annotated[bool, tyro.conf.arg(name="schema")] = False
    """Print what can be set (JSON Schema) and the recipe's values as one JSON object and end; forms are made of it."""

    def settings(self) -> dict[str, Any]:
        """The job's own settings, as plain values."""
        return self.model_dump(mode="json", exclude=set(CommandLine.model_fields))

    def end_if_checked(self) -> None:
        """Print the settings and end the process, where that is all that was asked: for jobs to call once they know
        that the settings can be run, and before they import what takes seconds.
        """
        if self.check:
            print(yaml.safe_dump(self.settings(), sort_keys=False), end="")
            raise SystemExit(0)


class Job(Experiment, CommandLine):
    """An experiment as a command line: a recipe first, settings after it."""

    recipe: str = "demo"
    """A recipe in jobs/recipes by its name (demo, distill, one_scan, btcv, amos, ct_org, pelvic), or a YAML file."""

    def experiment(self) -> Experiment:
        """The experiment without what only the command line needs."""
        return Experiment.model_validate(self.model_dump(include=set(Experiment.model_fields)))


class ConfigError(ValueError):
    """A recipe or a command line that cannot be run; the message names the setting and what to do."""


def load_recipe(name: str, folder: Path, kind: str = "recipe") -> dict[str, Any]:
    """Read a recipe: the name of one in ``folder``, or a path to a YAML file.

    Args:
        kind: what such files are called where there is none of that name.

    Raises:
        ConfigError: there is no such recipe, or it is not a YAML mapping.
    """
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    path = folder / f"{name}.yaml" if name in known else Path(name)
    if not path.is_file():
        raise ConfigError(f"no {kind} '{name}': name one of {', '.join(known)}, or a YAML file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings: a {kind} is a YAML mapping such as `training: {{epochs: 10}}`")
    return content


def parse_job(
    arguments: Sequence[str], recipes: Path, *, description: str, recipe: str = "demo", model: str | None = None
) -> Job:
    """The recipe that ``--recipe`` names, with the command line over it.

    Args:
        recipe: the one that is taken where the command line names none.
        model: a model in place of the recipe's own, whose options and checkpoint go with it.

    Raises:
        SystemExit: status 2 after a message naming the setting, what is wrong with it and what is allowed.
    """
    return parse_kind_of_job(Job, arguments, recipes, description=description, recipe=recipe, model=model)


def parse_kind_of_job(
    kind: type[J],
    arguments: Sequence[str],
    recipes: Path,
    *,
    description: str,
    recipe: str = "demo",
    model: str | None = None,
) -> J:
    """The same for a job with settings of its own."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--recipe", default=recipe)
    recipe = first.parse_known_args(arguments)[0].recipe
    try:
        defaults = load_recipe(recipe, recipes) | {"recipe": recipe}
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    if model is not None and isinstance(defaults.get("model", {}), dict):
        defaults = _with_model(defaults, model)
    return parse(kind, arguments, description=description, defaults=defaults)


def _with_model(recipe: dict[str, Any], name: str) -> dict[str, Any]:
    section = dict(recipe.get("model", {}))
    if section.get("name") == name:
        return recipe
    kept = {key: value for key, value in section.items() if key not in ("options", "checkpoint")}
    return recipe | {"name": f"{recipe.get('name', 'autosam')}-{name}", "model": kept | {"name": name}}


def parse(kind: type[T], arguments: Sequence[str], *, description: str, defaults: dict[str, Any] | None = None) -> T:
    """Fill ``kind`` from ``defaults`` and then the command line; print the reason and leave where that fails.

    Raises:
        SystemExit: status 2 after a message naming the setting, what is wrong with it and what is allowed; status 0
            after the schema, where that is asked for.
    """
    try:
        start = _unchecked(kind, defaults or {})
        if "--schema" in arguments:  # before the command line has to be complete
            print(json.dumps({"schema": kind.model_json_schema(), "values": _plain(start)}))
            raise SystemExit(0)
        return tyro.cli(kind, default=start, args=list(arguments), description=description)
    except ValidationError as error:
        print(explain(error), file=sys.stderr)
    except ConfigError as error:
        print(error, file=sys.stderr)
    raise SystemExit(2)


def _unchecked(kind: type[T], values: dict[str, Any], prefix: str = "") -> T:
    """``kind`` with ``values``, whose types are checked but not how they go together.

    A recipe may need the command line to be complete (`--dataset.root`); the checks across settings run when
    tyro builds the final object.
    """
    unknown = sorted(set(values) - set(kind.model_fields))
    if unknown:
        known = ", ".join(kind.model_fields)
        raise ConfigError(f"there is no setting '{prefix}{unknown[0]}'; in its place there are {known}")
    filled: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, Section):
            filled[name] = _unchecked(part, values.get(name, {}), f"{prefix}{name}.")
        elif name in values:
            filled[name] = _checked_value(kind, name, values[name], prefix)
        elif not field.is_required():
            filled[name] = field.get_default(call_default_factory=True)
    return kind.model_construct(**filled)


def _plain(start: BaseModel) -> dict[str, Any]:
    return start.model_dump(mode="json", exclude=set(CommandLine.model_fields))


def _checked_value(kind: type[BaseModel], name: str, value: Any, prefix: str) -> Any:
    field = kind.model_fields[name]
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise ConfigError(f"{prefix}{name}: {reason} (given: {value!r})") from error


def explain(error: ValidationError) -> str:
    """One line per wrong setting: its name as on the command line, the reason, the value given."""
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"]).replace("_", "-")
        given = "" if problem["type"] in ("missing", "value_error") else f" (given: {problem['input']!r})"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message, given = "there is no such setting; --help lists them", ""
        lines.append(f"--{name}: {message}{given}")
    return "\n".join(lines)
