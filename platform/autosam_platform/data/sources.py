"""Where the cases of a dataset come from: the layout of a folder, and several such folders as one dataset."""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from autosam_inference.frozen import Frozen
from autosam_inference.scans.names import stem
from autosam_platform.places import StoreAddress, readable

Layout = Literal["btcv", "decathlon", "ct_org", "pairs", "dicom"]


class FilePattern(Frozen):
    """Where a case's files lie in the dataset's folder, without ``.nii.gz``.

    ``{id}`` is any name, the same in both; in the label ``{organ}`` is the name of an organ, where each has a mask of
    its own. There is no pattern of a label where a source is without labels.
    """

    image: str
    label: str | None = None

    @property
    def has_masks(self) -> bool:
        """Has each organ a mask of its own?"""
        return self.label is not None and "{organ}" in self.label

    @field_validator("image", "label")
    @classmethod
    def _below_the_folder(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        path = PurePosixPath(pattern)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise ValueError(f"{pattern!r} must be a path in the dataset's folder, without '..'")
        return str(path.with_name(stem(path.name)))

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> Self:
        image, label = (re.findall(r"\{(.*?)\}", pattern or "") for pattern in (self.image, self.label))
        if set(image) - {"id"} or set(label) - {"id", "organ"}:
            raise ValueError("a pattern of an image may hold {id}, that of a label {id} and {organ}, and nothing else")
        if self.label is not None and ("id" in image) != ("id" in label):
            raise ValueError("{id} must be in both patterns, or in none where there is one case")
        return self


class Source(Frozen):
    """One folder of scans among several that make a dataset, with what only its files have.

    Attributes:
        name: with ``_`` behind it, it begins the ids of the source's cases.
        root: the folder, absolute or from the description's file, or its address in an S3 store; where not given, the
            one of that name in the folder that the experiment names. It is not written into records: where scans lie is
            no part of what they are.
        annotates: names of the classes that the source annotates; all where not given. Others cost nothing in its
            cases, and what its files hold of them counts as background.
        labels: false where the source has none, or none to be used: its cases are prepared and in no split.
        layout, files, case_pattern, label_ids, mask_names, patient_pattern, patients: as in a description, on the
            source's own ids, those without its name.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    layout: Layout
    root: Annotated[Path | None, Field(exclude=True), AfterValidator(readable)] = None
    files: FilePattern | None = None
    case_pattern: str = ".*"
    label_ids: dict[int, str | None] = {}
    mask_names: dict[str, str] = {}
    patient_pattern: str | None = None
    patients: str | None = None
    annotates: tuple[str, ...] | None = None
    labels: bool = True

    @model_validator(mode="after")
    def _labels_have_a_place(self) -> Self:
        if self.labels and self.files is not None and self.files.label is None:
            raise ValueError("files needs the pattern of a label, or the source 'labels: false'")
        return self

    @property
    def prefix(self) -> str:
        """How the ids of its cases begin."""
        return f"{self.name}_"

    @property
    def has_masks(self) -> bool:
        """Has each organ a mask of its own?"""
        return self.files is not None and self.files.has_masks

    @property
    def as_description(self) -> dict[str, object]:
        """The fields that a description of this source alone would have."""
        return self.model_dump(exclude={"name", "root", "annotates", "labels"})

    def located(self, folder: Path) -> "Source":
        """The source with its root from ``folder``, where it is no absolute one."""
        if self.root is None or StoreAddress.parse(self.root) is not None:
            return self
        root = folder / self.root.expanduser()
        return self.model_copy(update={"root": root})


def prefixes_are_clear(sources: tuple[Source, ...]) -> bool:
    """Does an id tell its source: does no source's prefix begin that of another?

    >>> amos, amos_ct = (Source(name=name, layout="decathlon") for name in ("amos", "amos_ct"))
    >>> prefixes_are_clear((amos, amos_ct))
    False
    """
    prefixes = [each.prefix for each in sources]
    return not any(
        other.startswith(one)
        for place, one in enumerate(prefixes)
        for other_place, other in enumerate(prefixes)
        if other_place != place
    )
