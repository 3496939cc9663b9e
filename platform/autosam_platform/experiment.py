"""One validated description of an experiment. Recipes and the command line fill it; a run stores it.

Defaults are the paper's (Sec. 4 and 7.3: AdamW, 5e-4, 200 epochs of which 5 warm up, patches of 128³,
batch 1 per GPU, sliding window with overlap 0.75).
"""

import functools
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tyro
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from autosam_inference.bounds import Overlap, Spacing
from autosam_inference.card import CARD, MODEL_FILES
from autosam_inference.errors import UserError
from autosam_inference.files import content_hash
from autosam_inference.scans.names import suffix
from autosam_models import find_model, model_names
from autosam_models.prompted.asking import Asking
from autosam_models.sam_file import require_sam_file
from autosam_platform.places import StoreAddress, readable, require_local

IDENTITY = 2
"""What a run's name is made by. Raise it when a default changes, or a setting goes or comes to mean something else:
runs are named by what differs from the defaults. A new setting whose default is what was done before changes no name.
"""

PHANTOMS = ("phantom", "phantom_torso", "phantom_amos", "phantom_ct_org", "phantom_pelvic")
"""Descriptions whose cases the platform draws itself."""


def _absolute(path: Path) -> Path:
    """Workers and later commands run in other folders.

    Raises:
        ValueError: it is an address, which would be taken for a folder here.
    """
    require_local(path)
    return path.expanduser().absolute()


def _scans(place: Path) -> Path:
    """As ``_absolute``, but for an address of an S3 store, which stays as it is."""
    return _absolute(place) if StoreAddress.parse(place) is None else place


def _told(place: Path) -> str:
    """With both slashes of an address."""
    return str(StoreAddress.parse(place) or place)


def _is_file(name: str) -> bool:
    return Path(name).suffix in (".yaml", ".yml")


def _name_or_absolute(name: str) -> str:
    return str(_absolute(Path(name))) if _is_file(name) else name


def several(teacher: str) -> tuple[str, ...]:
    """The teachers that a setting names, commas between them; a name that is a folder is one, whatever is in it.

    >>> several("fold-1, fold-2")
    ('fold-1', 'fold-2')
    """
    names = tuple(each.strip() for each in teacher.split(","))
    return (teacher,) if len(names) == 1 or Path(teacher).exists() else names


def _named(teacher: str | None) -> str | None:
    if teacher is not None and not all(several(teacher)):
        raise ValueError(f"'{teacher}' has an empty name: write --teacher ONE, or --teacher ONE,OTHER")
    return teacher


def _needs_root(name: str) -> str:
    return f"dataset '{name}' needs the folder of its scans: add --dataset.root FOLDER"


def _has_sources(path: Path) -> bool:
    """Does a description name sources, which may have folders of their own? One that cannot be read tells later."""
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return True
    return not isinstance(fields, dict) or bool(fields.get("sources"))


PROBABILITIES = ".npz"
"""Ending of the files of probabilities that a teacher of files may have."""


def answer_files(folder: Path) -> list[Path]:
    """What a folder holds of somebody else's answers, names of their ids included; nothing where it holds a model.

    Raises:
        ConfigError: it may not be read.
    """
    try:
        if not folder.is_dir() or (folder / CARD).exists():
            return []
        visible = sorted(each for each in folder.iterdir() if each.is_file() and not each.name.startswith("."))
    except OSError as error:
        raise ConfigError(
            f"the teacher's folder {folder} cannot be read ({error.strerror}): ask for the right to"
        ) from None
    answers = [each for each in visible if suffix(each) or each.suffix == PROBABILITIES]
    return [*answers, *(each for each in visible if each.suffix == ".json")] if answers else []


def hashes_of_teacher(folder: Path) -> list[str]:
    """Of a teacher's files, which it counts by: a model's, or answers' with their names, which say whose they are."""
    answers = answer_files(folder)
    try:
        if answers:
            return [part for each in answers for part in (each.name, _file_hash(each))]
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be read ({error.strerror}): ask for the right to") from None
    return [_file_hash(folder / name) for name in MODEL_FILES]


Positive = Annotated[int, Field(gt=0)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
ScansPlace = Annotated[Path, AfterValidator(_scans), PlainSerializer(_told, return_type=str, when_used="json")]
"""Where raw scans are: a folder, absolute; or the address of one in an S3 store (``StoreAddress``)."""

_BY_THEIR_BYTES = ("model.checkpoint", "distillation.teacher")
"""Settings that name files, which decide a run by what is in them, wherever they lie."""

CHECKPOINTING = "activation_checkpointing"
"""The option of models that can do with less memory in training."""


class ConfigError(UserError):
    """A recipe or a command line that cannot be run; the message names the setting and what to do."""


class Section(BaseModel):
    """A part of the description: immutable, and strict about names it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DatasetSection(Section):
    """What is trained on."""

    name: Annotated[str, AfterValidator(_name_or_absolute)] = "phantom"
    """A description that comes with the project (phantom, phantom_torso, phantom_amos, phantom_ct_org, phantom_pelvic,
    btcv, amos, ct_org, pelvic, one_scan), or a YAML file."""
    root: ScansPlace | None = None
    """Folder of the raw scans, or its address in an S3 store (`s3://bucket/folder`), from where they are copied into
    the workspace; not needed where each source of a description has one, or for phantoms."""
    phantom_seed: int = 1
    """Seed of the phantoms."""
    phantoms: Annotated[int, Field(ge=3)] | None = None
    """Make so many phantoms, shared out in the proportions of the description's split; as many as it names if none."""
    spacing_xyz: tuple[Spacing, Spacing, Spacing] | None = None
    """Voxel spacing in mm to prepare for; the description's where none is given."""
    folds: Annotated[int, Field(ge=3, le=100)] | None = None
    """Cross-validation with so many groups of patients, in place of the description's split; see --dataset.fold."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """Which fold, from 0: its group tests, the next one validates, the others train."""
    labelled: Positive | None = None
    """Use the labels of so many training cases only, the first ones; `--unlabelled rest` lets a teacher tell of the
    others."""
    allow_rejected: bool = False
    """Train although the checks rejected some cases; without it that is refused."""

    @model_validator(mode="after")
    def _root_is_known(self) -> Self:
        if self.root is None and self.name not in PHANTOMS and not _is_file(self.name):
            raise ValueError(_needs_root(self.name))
        return self

    @model_validator(mode="after")
    def _phantoms_are_made(self) -> Self:
        if self.phantoms is not None and (self.root is not None or self.name not in PHANTOMS):
            raise ValueError(
                "--dataset.phantoms is for phantoms, which are made here: leave it out for scans of a folder"
            )
        return self

    @model_validator(mode="after")
    def _fold_is_one_of_the_folds(self) -> Self:
        if self.folds is not None and (self.fold or 0) >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} is not possible: they count from 0 to {self.folds - 1}")
        return self


class ModelSection(Section):
    """Which network."""

    name: str = Field(default="autosam_vit_b", examples=model_names())
    """A registered model: `python -m autosam_models` lists them."""
    checkpoint: AbsolutePath | None = None
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
        if model.prompted:
            Asking.of(self.options)
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
    decay: Literal["exponential", "linear", "cosine", "poly"] = "exponential"
    """How the rate gets there after the warm-up: exponential is the paper's, linear pays in short runs, poly is
    nnU-Net's (to the power of 0.9)."""
    optimizer: Literal["adamw", "sgd", "muon"] = "adamw"
    """AdamW is the paper's; SGD with Nesterov's momentum nnU-Net's; Muon takes kernels, and AdamW what is no matrix."""
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Of SGD; the others have their own."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    """Weight decay: decoupled with AdamW and Muon, a part of the gradient with SGD."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share that a running mean of the weights keeps at each step, such as 0.99: that mean is then what is validated
    and saved; 0 is no mean."""
    places: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the labels' loss, and of a teacher's soft_labels, that asks where each organ is, every organ alike: it
    brings out small organs early; 0 is the paper's loss (Eq. 1) alone."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient."""
    batch: Annotated[int, Field(gt=0, le=4096)] = 1
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

    teacher: Annotated[str | None, AfterValidator(_named), tyro.conf.arg(aliases=("--teacher",))] = None
    """A finished run by its name or folder, a model's folder, or the recipe that trains the teacher if need be. Of
    several, with commas between them, the mean of their probabilities teaches. Or a folder of somebody else's label
    maps (CASE.nii.gz), with probabilities (CASE.npz) if there are any."""
    kd_lambda: Annotated[float, Field(ge=0, le=1), tyro.conf.arg(aliases=("--kd-lambda",))] = 0.5
    """Weight of the labels (Eq. 2); the teacher has the rest: 1 is training without a teacher, 0 the teacher alone."""
    fade: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the training, at its end, in which the teacher's weight (1 − λ) sinks in a straight line to 0, so that
    the labels have the last word; 0 keeps it as it is, as in the paper."""
    loss: Literal["mse", "kl", "focused", "pooled", "region", "channel", "soft_labels"] = "mse"
    """Distance to the teacher: mean squared error of probabilities (the paper's), KL divergence at a temperature (kl),
    squared error where either says organ (focused), that at three scales (pooled), soft Dice (region), places of each
    organ (channel), or soft Dice and KL divergence, as labels have them (soft_labels)."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    """Softens both distributions of the KL divergences (kl, channel); the others have none."""
    calibrate: bool = False
    """Soften or sharpen what the teacher says, for every distance, by the temperature at which it fits the labels of
    the validation cases best; the record has that."""
    teacher_overlap: Overlap | None = None
    """Share that neighbouring windows have in common when the teacher predicts the training cases; where not given, as
    when models are evaluated."""
    teacher_mode: Annotated[Literal["cached", "online"], tyro.conf.arg(aliases=("--teacher-mode",))] = "cached"
    """Teacher's probabilities computed once and stored, or computed anew for every patch (to compare)."""

    confidence: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Voxels where the teacher's largest probability is less have no say in the distance; 0 leaves out none."""
    unlabelled: Annotated[str | None, AfterValidator(readable), tyro.conf.arg(aliases=("--unlabelled",))] = None
    """Scans without labels that the teacher tells of: a folder with them, a source of the dataset with `labels: false`,
    or `rest`: all of its cases that are in no split."""
    unlabelled_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the patches that are of scans without labels; an epoch has as many patches as without them."""
    unlabelled_sureness: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Scans without labels are left out where the teacher's probability of the organs that it finds is less in the
    mean, and where it finds none."""

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers that are named: none, one or several."""
        return () if self.teacher is None else several(self.teacher)

    @property
    def softens(self) -> bool:
        """Does the distance have a temperature?"""
        return self.loss in ("kl", "channel")

    @property
    def distance(self) -> str:
        """The distance in words."""
        return f"{self.loss}, temperature {self.temperature:g}" if self.softens else self.loss


class ComputeSection(Section):
    """What it runs on. None of this changes the result, so none of it is in a run's name."""

    workers: Positive = 1
    """Training processes; the global batch is workers × batch."""
    min_workers: Positive | None = None
    """Elastic: train with as few as these while machines are away, and with more as they come, up to --compute.workers.
    The batch stays that of all workers, since those that are there compute the others' parts too, one after the other.
    Where not said, a run waits until all are there."""
    gpu: bool | None = None
    """One GPU per worker; where not said, if the cluster has one."""
    cpus_per_worker: Positive | None = None
    """Cores per worker; where not said, the machine's cores shared among the workers, at most 8."""
    wait_for_nodes: bool = False
    """Wait for an autoscaling cluster to grow where it is too small now; without it that is refused."""
    accumulate: Positive = 1
    """Parts that a worker's batch is computed in, one after the other, their gradients added: less memory, the same
    result. A run goes on with fewer workers so, too: 8 workers of batch 1 are 1 worker of batch 8 in 8 parts."""
    activation_checkpointing: bool = False
    """Keep only each block's input for the backward pass: less memory, some 15 % more time, the same result."""
    memory_check: bool = True
    """Refuse a run whose training step is estimated to need more memory than there is."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """How often lost workers are started again from the last checkpoint."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=("--verbose",))] = False
    """Show what Ray Train says of its workers and checkpoints too."""


class InferenceSection(Section):
    """How a whole scan is predicted."""

    overlap: Overlap = 0.75
    """Share that neighbouring windows have in common when the test cases are evaluated; 0.75 is the paper's."""
    validation_overlap: Overlap = 0.25
    """Share in common in the validations of a training run, which only have to tell which checkpoint is better: 0.02 of
    Dice less than 0.5, at a third of the time (docs/benchmarks.md)."""


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
    def _model_learns_places(self) -> Self:
        if self.training.places and find_model(self.model.name).prompted:
            raise ValueError(
                f"{self.model.name} is asked for one organ at a time, which has no others to weigh as much as: leave "
                "--training.places out"
            )
        return self

    @model_validator(mode="after")
    def _range_of_workers_is_one(self) -> Self:
        compute = self.compute
        if compute.min_workers is not None and compute.min_workers > compute.workers:
            raise ValueError(
                f"--compute.min-workers {compute.min_workers} is more than --compute.workers {compute.workers}: the "
                "latter is how many there are when all machines are there"
            )
        return self

    @model_validator(mode="after")
    def _batch_has_whole_parts(self) -> Self:
        if self.training.batch % self.compute.accumulate:
            raise ValueError(
                f"a batch of {self.training.batch} cannot be computed in {self.compute.accumulate} equal parts: choose "
                "a --compute.accumulate that divides --training.batch"
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

    @model_validator(mode="after")
    def _prompts_have_no_teacher(self) -> Self:
        if self.prompted and self.distils:
            raise ValueError(
                f"{self.model.name} is asked by prompts, organ by organ, and cannot learn a teacher's probabilities: "
                "leave --teacher out, or name a student"
            )
        return self

    @model_validator(mode="after")
    def _scans_without_labels_have_a_teacher(self) -> Self:
        section = self.distillation
        if section.unlabelled is not None and (section.teacher is None or section.teacher_mode == "online"):
            raise ValueError(
                "scans without labels are learnt from a teacher's stored answers: name it with --teacher, without "
                "--teacher-mode online, or leave --unlabelled out"
            )
        return self

    def model_options(self) -> dict[str, Any]:
        """What the model is built with for training, beside SAM's checkpoint."""
        chosen = {CHECKPOINTING: True} if self.compute.activation_checkpointing else {}
        return {**self.model.options, "patch": self.model.patch_DHW, **chosen}

    @property
    def batch_at_once(self) -> int:
        """Patches that a worker computes at a time."""
        return self.training.batch // self.compute.accumulate

    @property
    def prompted(self) -> bool:
        """Is the model asked by prompts from the label, slice by slice?"""
        return find_model(self.model.name).prompted

    @property
    def untuned(self) -> bool:
        """Is it a prompted model as it is, so that nothing is trained?"""
        return self.prompted and self.asking.tune == "none"

    @property
    def asking(self) -> Asking:
        """How a prompted model is asked, and what of it is tuned."""
        return Asking.of(self.model.options)

    @property
    def distils(self) -> bool:
        """Does a teacher have any influence?"""
        return self.distillation.teacher is not None and self.distillation.kd_lambda < 1

    @property
    def teacher_overlap(self) -> float:
        """Share that neighbouring windows of the teacher have in common."""
        given = self.distillation.teacher_overlap
        return self.inference.overlap if given is None else given

    def require_files(self) -> None:
        """Refuse a checkpoint that is not there or not the model's, or scans that nothing names: for who is about to
        train, since a run's record may outlive its files.

        Raises:
            ConfigError: names the file, and where to get one.
        """
        data = self.dataset
        if data.root is None and _is_file(data.name) and not _has_sources(Path(data.name)):
            raise ConfigError(_needs_root(data.name))
        if self.model.checkpoint is not None:
            try:
                require_sam_file(self.model.checkpoint)
                find_model(self.model.name).check_checkpoint(str(self.model.checkpoint), **self.model_options())
            except (OSError, ValueError) as error:
                of_file = str(self.model.checkpoint) in str(error)  # else of the model's other settings
                raise ConfigError(f"{'--model.checkpoint' if of_file else self.model.name}: {error}") from error

    def run_id(self, data_fingerprint: str) -> str:
        """Name of the run: the experiment's name and a hash of all that decides its result.

        That is what differs from the defaults, ``IDENTITY``, the bytes of SAM's checkpoint and the data. The global
        batch decides it, and how many workers share it does not (beyond rounding). A teacher counts by its files; where
        it has no influence, the run is the one without a teacher.

        Args:
            data_fingerprint: hash of the prepared cases, and of all in their description that decides a training.
        """
        start = _file_hash(self.model.checkpoint) if self.model.checkpoint else ""
        teacher = self._hashes_of_teacher()
        settings = {name: value for name, value in self.decisive().items() if name not in _BY_THEIR_BYTES}
        return f"{self.name}-{content_hash(IDENTITY, settings, start, teacher, data_fingerprint)[:8]}"

    def decisive(self) -> dict[str, Any]:
        """By dotted names, what decides the result beside the data, as far as it differs from the defaults: two
        experiments on the same data that agree in it are one run under two names. What has no influence is not in it.
        """
        sections = {name for name, value in self if isinstance(value, Section)} - {"dataset", "compute"}
        changed = self.model_dump(mode="json", include=sections, exclude_defaults=True)
        names = {f"{part}.{name}": value for part, values in changed.items() for name, value in values.items()}
        if self.training.optimizer != "sgd":
            names.pop("training.momentum", None)
        for name in ("training.loader_workers", *self._without_influence()):
            names.pop(name, None)
        built_in = find_model(self.model.name).defaults
        options = names.pop("model.options", {})
        names["model.options"] = {name: value for name, value in options.items() if built_in.get(name) != value}
        names["training.batch"] = self.training.batch * self.compute.workers
        if self.prompted:
            names = {name: value for name, value in names.items() if self._decides_prompted(name)}
        if self.distils:
            names["distillation.teacher_overlap"] = self.teacher_overlap
            if self.distillation.unlabelled is not None:  # of a manifest its name tells all that decides
                names["distillation.unlabelled"] = Path(self.distillation.unlabelled).stem
        return names

    def _decides_prompted(self, name: str) -> bool:
        """Does a setting decide what a prompted model comes to? It has no windows; of one that is not tuned, the seed
        decides the weights that no checkpoint gives.
        """
        section = name.partition(".")[0]
        untuned = self.model.options.get("tune", "none") == "none"
        return section != "inference" and (section != "training" or not untuned or name == "training.seed")

    def _without_influence(self) -> list[str]:
        """What of the distillation makes no difference here."""
        section = self.distillation
        names = [] if self.distils else list(type(section).model_fields)
        if section.unlabelled is None:
            names += ["unlabelled_share", "unlabelled_sureness"]
        if not section.softens:
            names.append("temperature")
        return [f"distillation.{name}" for name in names]

    def _hashes_of_teacher(self) -> list[str]:
        """Of one its files' hashes; of several those too, in an order that does not depend on how they were named."""
        if not self.distils:
            return []
        hashes = sorted(hashes_of_teacher(Path(each)) for each in self.distillation.teachers)
        return [each for one in hashes for each in one]


def _file_hash(path: Path) -> str:
    status = path.stat()
    return _known_hash(path, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _known_hash(path: Path, *_: int) -> str:
    """Hash of a file that has not changed since; a job asks for its run's name several times, and weights are large."""
    return content_hash(path)
