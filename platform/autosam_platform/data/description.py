"""What a dataset is, as data: its classes, layout, split, voxel spacing, intensity window and augmentation.

One YAML file per dataset in ``descriptions/``; adding a dataset is adding one such file, here or anywhere.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

import numpy as np
import yaml
from pydantic import (
    Field,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from autosam_inference.bounds import Spacing
from autosam_inference.card import LabelClass, Scaling
from autosam_inference.errors import UserError, reasons, where
from autosam_inference.frozen import Frozen
from autosam_inference.scans.intensity import normalise
from autosam_inference.scans.names import stem
from autosam_platform.data.sources import FilePattern, Layout, Source, prefixes_are_clear
from autosam_platform.data.splits import ByList, EveryCase, Folds, InOrder

Probability = Annotated[float, Field(ge=0, le=1)]

_OF_A_SOURCE = ("layout", "files", "case_pattern", "label_ids", "mask_names", "patient_pattern", "patients")
"""Fields that a description has, or each of its sources."""

_SIDES = {"left": "right", "links": "rechts", "l": "r"}
_OTHER_SIDE = _SIDES | {other: one for one, other in _SIDES.items()}
"""Words that tell the sides of a pair of organs apart."""

_FOLDER = Path(__file__).parent / "descriptions"


class Augmentation(Frozen):
    """Probability of each augmentation of a training patch: the paper's four (Sec. 7.2), of which ``flip`` holds per
    axis; and four more, for what is learnt on phantoms and used on patients.
    """

    flip: Probability
    rotate: Probability
    intensity_scale: Probability
    intensity_shift: Probability
    zoom: Probability = 0.0
    contrast: Probability = 0.0
    blur: Probability = 0.0
    noise: Probability = 0.0

    @model_serializer(mode="wrap")
    def _without_unused(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Those that came later are not written where they never happen: hashes and records stay what they were."""
        later = ("zoom", "contrast", "blur", "noise")
        return {name: value for name, value in serialise(self).items() if value or name not in later}


class DatasetDescription(Frozen):
    """Everything the platform knows about a dataset.

    Attributes:
        case_pattern: only cases whose whole id matches this regular expression belong to the dataset.
        files: own places of the files, instead of those of ``layout: pairs`` or ``layout: dicom``.
        ignored_labels: label ids that may occur in the files and count as background, with their names.
        label_ids: for files with other ids than the classes': their ids → names of classes, or null for background.
            Ids other than these, 0 and those of ``ignored_labels`` are refused.
        mask_names: for masks of one organ each, or segments of a DICOM SEG: their names → names of classes, where they
            differ by more than case, spaces, ``_`` and ``-``. Several masks of one class are joined.
        patient_pattern: regular expression whose first group in a case's id is its patient: folds keep a patient
            together, and then each case needs one; with other splits a patient in several of them is noticed.
        patients: for the same, a CSV file in the dataset's folder with the columns ``case`` and ``patient``.
        annotated: for datasets whose cases do not annotate every class: regular expression of case ids →
            names of the classes annotated there; the first match counts, no match means all classes. Each must be
            that of some case.
        sources: for datasets out of several folders: what each has of its own, in place of the fields above.
        spacing_xyz: voxel spacing after preparation, mm.
        hu_window: HU outside are clipped.
        licence: of images and labels, as their owner states it; it is told with every model that is exported.
        synthetic: whether every scan is drawn by a program, and of no patient. It goes into the card of a model that is
            exported, and not into records: read it from ``load_description``.
        foreground_fraction: share of training patches that are centred on an organ.
        nsd_tolerance_mm: tolerance of the normalised surface distance.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")]
    title: str
    layout: Layout | None = None
    classes: tuple[LabelClass, ...]
    split: Annotated[InOrder | ByList | EveryCase | Folds, Field(discriminator="rule")]
    spacing_xyz: tuple[Spacing, Spacing, Spacing]
    hu_window: tuple[int, int]
    scaling: Scaling
    augmentation: Augmentation
    case_pattern: str = ".*"
    files: FilePattern | None = None
    ignored_labels: dict[int, str] = {}
    label_ids: dict[int, str | None] = {}
    mask_names: dict[str, str] = {}
    patient_pattern: str | None = None
    patients: str | None = None
    annotated: dict[str, tuple[str, ...]] = {}
    sources: tuple[Source, ...] = ()
    licence: str | None = None
    synthetic: Annotated[bool, Field(exclude=True)] = False
    foreground_fraction: Probability = 0.5
    nsd_tolerance_mm: PositiveFloat = 2.0

    @property
    def num_classes(self) -> int:
        """K: the classes and the background."""
        return len(self.classes) + 1

    @property
    def _is_unlabelled(self) -> bool:
        """Are all cases test cases, which alone may come without a label?"""
        return self.split.rule == "every_case" and self.split.splits == ("test",)

    @property
    def mirrored_ids(self) -> dict[int, int]:
        """Label id → id of the partner on the other side, for organs that have one."""
        ids = {each.name: each.id for each in self.classes}
        return {each.id: ids[each.mirror] for each in self.classes if each.mirror is not None}

    @property
    def bounds(self) -> tuple[float, float]:
        """What the lowest and the highest HU of the window become."""
        low, high = normalise(np.array(self.hu_window), self.hu_window, self.scaling).tolist()
        return low, high

    @property
    def mask_classes(self) -> dict[str, int]:
        """Names of masks' files, or of a DICOM SEG's segments, as ``loose`` leaves them, → ids of their classes; empty
        where there are neither."""
        if self.layout != "dicom" and (self.files is None or not self.files.has_masks):
            return {}
        ids = {each.name: each.id for each in self.classes}
        return {loose(name): value for name, value in ids.items()} | {
            loose(stem(file)): ids[name] for file, name in self.mask_names.items()
        }

    def class_of(self, file_id: int) -> int | None:
        """What an id of a label map counts as; None for one that ``label_ids`` leaves out.

        >>> load_description("btcv").class_of(6)
        6
        """
        if not self.label_ids or (file_id == 0 and 0 not in self.label_ids):
            return file_id
        name = self.label_ids.get(file_id)
        return next((each.id for each in self.classes if each.name == name), None)

    def annotated_ids(self, case_id: str) -> tuple[int, ...]:
        """Ids of the classes that the case annotates."""
        source = self.source_of(case_id)
        found = [names for pattern, names in self.annotated.items() if re.fullmatch(pattern, case_id)]
        names = source.annotates if source else next(iter(found), None)
        return tuple(each.id for each in self.classes if names is None or each.name in names)

    def source_of(self, case_id: str) -> Source | None:
        """The source of the case; None of a description without sources."""
        return next((each for each in self.sources if case_id.startswith(each.prefix)), None)

    def for_case(self, case_id: str) -> "DatasetDescription":
        """What holds for one case: this description, or that of the case's source."""
        source = self.source_of(case_id)
        return self if source is None else self.of_source(source)

    def of_source(self, source: Source) -> "DatasetDescription":
        """The description of one source by itself, for cases whose ids begin with its name.

        Classes that it does not annotate become background: the loss holds what is there for unknown, and a voxel
        that a label gives to a class without a probability would cost more than all others together.
        """
        names = [each.name for each in self.classes]
        annotates = names if source.annotates is None else source.annotates
        fields = self.model_dump(exclude={"sources", "annotated", "split"}) | source.as_description
        fields |= {"title": f"{source.name} of {self.title}", "unannotated": set(names) - set(annotates)}
        fields["split"] = EveryCase(rule="every_case", splits=("train",))  # that of all sources together counts
        if source.label_ids:
            fields["ignored_labels"] = {}  # which are ids of files, too, and label_ids names all of them
        if source.annotates is not None:
            fields["annotated"] = {".*": annotates}
            if not source.has_masks:
                ids = source.label_ids or {each.id: each.name for each in self.classes}
                fields["label_ids"] = {
                    value: None if name in fields["unannotated"] else name for value, name in ids.items()
                }
        return _OfSource.model_validate(fields)

    @model_validator(mode="after")
    def _classes_are_consistent(self) -> Self:
        ids = [each.id for each in self.classes]
        names = {each.name: each for each in self.classes}
        if not ids or ids != list(range(1, len(ids) + 1)):
            raise ValueError(f"class ids must be 1, 2, 3, … in this order, without a gap, not {ids}")
        if len(names) < len(ids):
            raise ValueError("two classes have the same name")
        for each in self.classes:
            if each.mirror is not None and (each.mirror not in names or names[each.mirror].mirror != each.name):
                raise ValueError(f"'{each.name}' and its mirror '{each.mirror}' must name each other")
        if set(self.ignored_labels) & {0, *ids}:
            raise ValueError(f"ignored_labels repeats an id that is in use: {sorted(self.ignored_labels)}")
        for field, named in (
            ("annotated", {name for each in self.annotated.values() for name in each}),
            ("label_ids", {name for name in self.label_ids.values() if name is not None}),
            ("mask_names", set(self.mask_names.values())),
        ):
            if named - set(names):
                raise ValueError(f"{field} names unknown classes: {sorted(named - set(names))}")
        return self

    @model_validator(mode="after")
    def _sides_know_each_other(self) -> Self:
        """A left-right flip would train a left organ under the id of the right one, unless it knows of it.

        Saying ``mirror: null`` is an answer, too: of heart chambers neither becomes the other.
        """
        if not self.augmentation.flip:
            return self
        by_words = {_words(each.name): each for each in self.classes}
        for each in self.classes:
            other = by_words.get(tuple(_OTHER_SIDE.get(word, word) for word in _words(each.name)))
            if other not in (None, each) and "mirror" not in each.model_fields_set:
                raise ValueError(
                    f"'{each.name}' and '{other.name}' are two sides, and a left-right flip (augmentation.flip) would "
                    f"train each under the other's id: write {_mirrored(each, other)} and {_mirrored(other, each)}, or "
                    "'mirror: null' in both where a flip makes neither the other"
                )
        return self

    @model_validator(mode="after")
    def _labels_are_said_once(self) -> Self:
        masks = self.files is not None and self.files.has_masks
        if set(self.label_ids) & set(self.ignored_labels):
            raise ValueError("an id may be in label_ids or in ignored_labels, not in both")
        if self.label_ids and masks:
            raise ValueError("label_ids goes with label maps, and files.label has masks of an {organ} each: mask_names")
        if self.mask_names and not masks and self.layout != "dicom":
            raise ValueError("mask_names needs {organ} in files.label, or layout: dicom")
        if len({loose(stem(name)) for name in self.mask_names}) < len(self.mask_names):
            raise ValueError("two of mask_names differ by case, spaces, '_' and '-' only")
        return self

    @model_validator(mode="after")
    def _window_fits_the_store(self) -> Self:
        low, high = self.hu_window
        if not -32768 <= low < high <= 32767:
            raise ValueError(f"hu_window must be [low, high] within 16 bits, not [{low}, {high}]")
        return self

    @model_validator(mode="after")
    def _patterns_are_valid(self) -> Self:
        for pattern in (self.case_pattern, *self.annotated, *([self.patient_pattern] if self.patient_pattern else [])):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        if self.patient_pattern and not re.compile(self.patient_pattern).groups:
            raise ValueError(f"patient_pattern needs a group in parentheses, not {self.patient_pattern!r}")
        if self.files is not None and self.layout not in ("pairs", "dicom"):
            raise ValueError("'files' goes with 'layout: pairs' or 'layout: dicom' only")
        needs_labels = not isinstance(self, _OfSource) and not self._is_unlabelled
        if self.files is not None and self.files.label is None and needs_labels:
            raise ValueError("files needs the pattern of a label")
        if self.split.rule == "by_list" and "decathlon" not in (self.layout, *(each.layout for each in self.sources)):
            raise ValueError("the split rule 'by_list' needs 'layout: decathlon'")
        return self

    @model_validator(mode="after")
    def _sources_say_what_is_theirs(self) -> Self:
        own = ("annotated", *_OF_A_SOURCE)
        said = [name for name in own if getattr(self, name) != type(self).model_fields[name].default]
        if not self.sources and self.layout is None:
            raise ValueError("either layout or sources is needed")
        if self.sources and said:
            raise ValueError(
                f"{', '.join(said)} goes into each of the sources (of classes: annotates), not beside them"
            )
        if not prefixes_are_clear(self.sources):
            raise ValueError("an id must tell its source: no name may be another's, or begin another's before a '_'")
        if self.sources and not any(each.labels for each in self.sources):
            raise ValueError("all sources have 'labels: false': there is nothing to train on")
        for source in self.sources:
            unknown = set(source.annotates or ()) - {each.name for each in self.classes}
            if unknown or source.annotates == ():
                raise ValueError(f"source {source.name} annotates {sorted(unknown) or 'no class'}: name known classes")
            try:
                self.of_source(source)
            except ValidationError as error:
                raise ValueError(f"source {source.name}: {'; '.join(reasons(error))}") from None
        return self

    @field_validator("patients")
    @classmethod
    def _is_in_the_folder(cls, name: str | None) -> str | None:
        if name is not None and (PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts):
            raise ValueError(f"patients: {name!r} must be a file in the dataset's folder, without '..'")
        return name

    @model_serializer(mode="wrap")
    def _without_unused(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came later are not written where nothing is in them: hashes and records stay what they were."""
        later = ("licence", "label_ids", "mask_names", "patient_pattern", "patients", "sources")
        return {name: value for name, value in serialise(self).items() if value or name not in later}


class _OfSource(DatasetDescription):
    """The description of one source; masks of the classes that it does not annotate are not looked at."""

    unannotated: frozenset[str]

    @property
    def mask_classes(self) -> dict[str, int]:
        left_out = {each.id for each in self.classes if each.name in self.unannotated}
        return {name: value for name, value in super().mask_classes.items() if value not in left_out}


def _words(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W_]+", name.casefold()))


def _mirrored(one: LabelClass, other: LabelClass) -> str:
    return f"{{id: {one.id}, name: {one.name}, mirror: {other.name}}}"


def loose(name: str) -> str:
    """A name of an organ without what people write in different ways: case, spaces, ``_`` and ``-``.

    >>> loose("Right kidney") == loose("right_kidney")
    True
    """
    return re.sub(r"[\s_-]+", "", name.casefold())


class DescriptionError(UserError):
    """A dataset description that does not exist or is wrong; the message names the file and the field."""


def description_names() -> list[str]:
    """Names of the descriptions that come with the platform."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_description(name_or_path: str | Path) -> DatasetDescription:
    """The description of that name, or of that YAML file (one ending in ``.yaml`` or ``.yml``).

    Raises:
        DescriptionError: no such name (the message lists those there are) or file, or a field is wrong.
    """
    path = _path_of(name_or_path)
    try:
        description = DatasetDescription.model_validate(_read(path))
    except ValidationError as error:
        problems = "; ".join(reasons(error))
        raise DescriptionError(f"{path} is not a valid dataset description: {problems}") from None
    here = path.expanduser().absolute().parent
    return description.model_copy(update={"sources": tuple(each.located(here) for each in description.sources)})


def _path_of(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return path
    if str(name_or_path) in description_names():
        return _FOLDER / f"{name_or_path}.yaml"
    raise DescriptionError(
        f"There is no dataset description '{name_or_path}'. Known: {', '.join(description_names())}; "
        "or give the path of a .yaml file."
    )


def _read(path: Path) -> dict[str, Any]:
    """The fields of the file, over those of the description that it ``extends``."""
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DescriptionError(f"{path} cannot be read ({error.strerror}): check the path.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DescriptionError(f"{path} is not valid YAML: {where(error)}") from None
    if not isinstance(fields, dict):
        raise DescriptionError(f"{path} must hold 'field: value' lines, see {_FOLDER / 'btcv.yaml'}")
    base = fields.pop("extends", None)
    if base is None:
        return fields
    if base not in description_names():
        raise DescriptionError(f"{path} extends '{base}', which is not one of {', '.join(description_names())}")
    inherited = _read(_FOLDER / f"{base}.yaml")
    if fields.get("sources"):  # which have layouts of their own
        inherited = {name: value for name, value in inherited.items() if name not in ("annotated", *_OF_A_SOURCE)}
    return inherited | fields
