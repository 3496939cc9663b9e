"""Training patches: which case, where, and how it is changed, all decided by seed, epoch and place alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from autosam_models.sizes import Size
from autosam_platform.data.augmentation import PatchKind, SpatialTransform, augment_intensity
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.prepared import PreparedDataset
from autosam_platform.data.store import StoredCase

_ORDER, _PATCH, _SOURCES, _UNLABELLED = 0, 1, 2, 3  # streams of random numbers of an epoch


class Patch(TypedDict):
    """What the network trains on.

    ``image``: 1, D, H, W, float32, scaled. ``label``: 1, D, H, W, uint8 class ids. ``annotated``: K, bool, the classes
    that the case annotates and the background. ``probabilities``: K, D, H, W, in 255ths, uint8 or float32 as a teacher
    gives them.
    """

    image: Tensor
    label: Tensor
    annotated: Tensor
    case_id: str
    probabilities: NotRequired[Tensor]


class Teacher(Protocol):
    """What is known of a case beside its label."""

    def probabilities(self, case: StoredCase, corner_DHW: Size, size_DHW: Size) -> np.ndarray:
        """Probability of each class in the part of a case, in 255ths: K, D, H, W, uint8 where they are rounded, else
        float32; background outside the case.
        """
        ...


@dataclass(frozen=True)
class Unlabelled:
    """Scans without labels, which a teacher alone tells of.

    Attributes:
        cases: prepared.
        points: of each, flat indices of voxels to centre patches on, by the class that the teacher sees there.
        teacher: of these cases.
        share: of all patches, from 0 to 1, that are of these scans.
    """

    cases: tuple[StoredCase, ...]
    points: tuple[dict[int, list[int]], ...]
    teacher: Teacher
    share: float


@dataclass(frozen=True)
class _Drawn:
    """A case to take a patch from."""

    case: StoredCase
    points: Mapping[int, Sequence[int] | np.ndarray]
    teacher: Teacher | None
    labelled: bool


class PatchDataset(Dataset[Patch]):
    """Patches of the training cases; ``patches_per_case`` of each in an epoch, on average where there are sources.

    Of several sources each is drawn equally often in an epoch, however many cases it has, and so is each case of a
    source, but for one draw more or less.

    A place ``index`` of an epoch always holds the same patch, on whatever worker or rank it is made. Half of
    the patches (the description's ``foreground_fraction``) are centred on an organ: one of those that the
    case holds, each as likely as the others, then one of its voxels. The rest are centred on background
    inside the patient. Source: paper, Sec. 4 (patches, 1 : 1) and 7.2 (augmentation).

    Args:
        patch_DHW: voxels.
        patches_per_case: per epoch.
        seed: of the cases' order, the places and the augmentation.
        teacher: gives its probabilities to each patch.
        unlabelled: takes the place of labelled cases in its share of the patches, so that an epoch is no longer for
            it; such a patch annotates no class, and its label is background.

    Raises:
        ValueError: the dataset has no training case.
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        patch_DHW: Size,
        patches_per_case: int = 1,
        seed: int = 0,
        teacher: Teacher | None = None,
        unlabelled: Unlabelled | None = None,
    ) -> None:
        self._teacher, self._unlabelled = teacher, unlabelled
        self._cases = prepared.cases("train")
        if not self._cases:
            raise ValueError(f"{prepared.folder} has no training case")
        self._description = prepared.description
        self._patch_DHW = patch_DHW
        self._seed = seed
        self._epoch = 0
        self._points = [_points(case) for case in self._cases]
        self._sources = _by_source(self._cases, self._description)
        self._length = patches_of_epoch(prepared, patches_per_case)

    def __len__(self) -> int:
        """See ``patches_of_epoch``."""
        return self._length

    def set_epoch(self, epoch: int) -> None:
        """Every epoch has its own order and patches; call it before a loader's workers start."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> Patch:
        if not 0 <= index < len(self):
            raise IndexError(f"place {index} of {len(self)}")
        drawn = self._draw(index)
        rng = np.random.default_rng([self._seed, self._epoch, _PATCH, index])
        case, description = drawn.case, self._description
        transform = SpatialTransform.draw(rng, description.augmentation)
        size = transform.margin(self._patch_DHW, case.spacing_DHW)
        centre = _draw_centre(rng, drawn.points, case.shape_DHW, description.foreground_fraction)
        corner = _corner(centre, self._patch_DHW, case.shape_DHW, size)
        arrays: list[tuple[Tensor, PatchKind]] = [
            (torch.from_numpy(case.image_patch(corner, size))[None], "image"),
            (torch.from_numpy(_label_patch(drawn, corner, size))[None], "label"),
        ]
        if drawn.teacher is not None:
            arrays.append((torch.from_numpy(drawn.teacher.probabilities(case, corner, size)), "probabilities"))
        image, label, *further = transform.apply(arrays, self._patch_DHW, case.spacing_DHW, description.mirrored_ids)
        image = augment_intensity(image, rng, description.augmentation, description.bounds)
        annotated = torch.zeros(description.num_classes, dtype=torch.bool)
        annotated[[0, *(description.annotated_ids(case.case_id) if drawn.labelled else ())]] = True
        annotated = transform.of_classes(annotated, description.mirrored_ids)
        patch: Patch = {"image": image, "label": label, "annotated": annotated, "case_id": case.case_id}
        if further:
            patch["probabilities"] = further[0]
        return patch

    def _draw(self, index: int) -> _Drawn:
        """The case of a place: its labelled one, or in some places a scan without labels, each as likely as others."""
        if self._unlabelled is not None:
            rng = np.random.default_rng([self._seed, self._epoch, _UNLABELLED, index])
            if rng.random() < self._unlabelled.share:
                number = int(rng.integers(len(self._unlabelled.cases)))
                case, points = self._unlabelled.cases[number], self._unlabelled.points[number]
                return _Drawn(case, points, self._unlabelled.teacher, labelled=False)
        number = self._case_at(index)
        return _Drawn(self._cases[number], self._points[number], self._teacher, labelled=True)

    def _case_at(self, index: int) -> int:
        """Each round through the sources, and each through the cases of one, is a permutation of its own."""
        draw, place = divmod(index, len(self._sources))
        source = self._permutation(len(self._sources), _SOURCES, draw)[place]
        cases = self._sources[source]
        turn, place = divmod(draw, len(cases))
        own = (source,) if len(self._sources) > 1 else ()  # else the numbers are those from before there were sources
        return cases[self._permutation(len(cases), _ORDER, turn, *own)[place]]

    def _permutation(self, count: int, *stream: int) -> list[int]:
        return np.random.default_rng([self._seed, self._epoch, *stream]).permutation(count).tolist()


def patches_of_epoch(prepared: PreparedDataset, patches_per_case: int) -> int:
    """How many patches an epoch has: so many of each training case, rounded up to whole rounds through the sources."""
    cases = prepared.cases("train")
    sources = max(len(_by_source(cases, prepared.description)), 1)
    return -(-len(cases) * patches_per_case // sources) * sources


def _by_source(cases: list[StoredCase], description: DatasetDescription) -> list[list[int]]:
    """Numbers of the cases of each source that has any, in the order of the description; one list without sources."""
    if not description.sources:
        return [list(range(len(cases)))]
    names = [source.name if (source := description.source_of(case.case_id)) else "" for case in cases]
    groups = ([number for number, own in enumerate(names) if own == each.name] for each in description.sources)
    return [numbers for numbers in groups if numbers]


def _label_patch(drawn: _Drawn, corner_DHW: Size, size_DHW: Size) -> np.ndarray:
    if drawn.labelled:
        return drawn.case.label_patch(corner_DHW, size_DHW)
    return np.zeros(size_DHW, np.uint8)


def _points(case: StoredCase) -> dict[int, np.ndarray]:
    """Sampled voxels per class id that the case holds, as flat indices."""
    if case.record.contents is None:
        raise ValueError(f"training case '{case.case_id}' has no label")
    return {value: np.array(points) for value, points in case.record.contents.points.items() if points}


def _draw_centre(
    rng: np.random.Generator,
    points: Mapping[int, Sequence[int] | np.ndarray],
    shape_DHW: Size,
    foreground_fraction: float,
) -> tuple[int, ...]:
    organs = [value for value in points if value != 0]
    wants_organ = rng.random() < foreground_fraction
    value = organs[int(rng.integers(len(organs)))] if organs and (wants_organ or 0 not in points) else 0
    candidates = points.get(value)
    flat = (
        rng.integers(np.prod(shape_DHW))
        if candidates is None or not len(candidates)
        else candidates[int(rng.integers(len(candidates)))]
    )
    return tuple(int(place) for place in np.unravel_index(int(flat), shape_DHW))


def _corner(
    centre_DHW: tuple[int, ...],
    patch_DHW: Size,
    shape_DHW: Size,
    size_DHW: Size,
) -> Size:
    """First voxel of the part to read: the patch around the centre, moved inside the volume where it fits,
    centred on the volume where it does not; then the margin on both sides of it.
    """
    corner = []
    for centre, patch, n, size in zip(centre_DHW, patch_DHW, shape_DHW, size_DHW, strict=True):
        first = min(max(centre - patch // 2, 0), n - patch) if n >= patch else -((patch - n) // 2)
        corner.append(first - (size - patch) // 2)
    d, h, w = corner
    return d, h, w
