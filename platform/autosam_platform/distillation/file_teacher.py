"""A teacher that is a folder of files: what somebody else's model said of the cases."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from autosam_inference.files import content_hash
from autosam_inference.scans.scan import read_grid
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.store import StoredCase
from autosam_platform.distillation.answer_files import AnswerError, answer_file, meaning_of, no_answers
from autosam_platform.distillation.answer_reading import answer_KDHW, require_alike
from autosam_platform.experiment import hashes_of_teacher
from autosam_platform.workspace import Workspace

_BYTES_A_TASK = 1 << 30
_BYTES_A_VOXEL = 24  # of the scan: ids, a class as float32 and its copies on the way to the prepared grid


@dataclass(frozen=True)
class FileTeacher:
    """See ``teacher.Answering``.

    Attributes:
        folder: of the files; ``answer_files`` says which.
        identity: hash of their names and bytes.
        spacing_xyz: of the prepared grid, mm.
        workspace: that the cases' records start from, since an answer is compared with its scan.
    """

    folder: Path
    identity: str
    spacing_xyz: tuple[float, float, float]
    workspace: Workspace
    on_gpu: bool = False

    @classmethod
    def of(cls, folder: Path, prepared: PreparedDataset, workspace: Workspace) -> Self:
        return cls(folder, identity_of_files(folder), prepared.spacing_xyz, workspace)

    @property
    def settings(self) -> list[Any]:
        return []

    @property
    def name(self) -> str:
        return f"files in {self.folder.name.replace(',', ' ')}"

    def learnt(self, prepared: PreparedDataset) -> set[str]:
        """Nobody knows what somebody else's model was trained on."""
        return set()

    def require(self, cases: Sequence[StoredCase]) -> None:
        """Refuse cases of which a file is missing, or its ids are not all named.

        Raises:
            AnswerError: names all of them.
        """
        problems, left_out = [], set()
        for case in cases:
            try:
                left_out |= set(meaning_of(answer_file(self.folder, case.case_id).label, case.description).left_out)
            except AnswerError as error:
                problems.append(f"  {case.case_id}: {error}")
        if problems:
            raise no_answers(self.name, problems, len(cases))
        if left_out:
            print(f"Of no class here, and so background: {', '.join(sorted(left_out))}.", flush=True)

    def case_probabilities(self, case: StoredCase, threads: int) -> np.ndarray:
        """See ``teacher.Answering``.

        Raises:
            ScanError, AnswerError: a file cannot be used.
        """
        file, description = answer_file(self.folder, case.case_id), case.description
        x, y, z = self.spacing_xyz
        meaning = meaning_of(file.label, description)
        said_KDHW = answer_KDHW(file, meaning, self._scan(case), (z, y, x), description)
        if said_KDHW.shape[1:] != case.shape_DHW:
            raise AnswerError(f"{case.record.image} is not the scan any more that was prepared: prepare the data again")
        if case.record.contents is not None:
            require_alike(file.label, said_KDHW.argmax(0), case.label().numpy(), description)
        return said_KDHW

    def memory(self, case: StoredCase) -> int:
        """See ``teacher.Answering``: of the scan's voxels, and of all channels of probabilities where there are any."""
        file = answer_file(self.folder, case.case_id)
        voxels = int(np.prod(read_grid(self._scan(case)).shape_DHW))
        prepared = int(np.prod(case.shape_DHW)) * 3 * case.description.num_classes
        return _BYTES_A_TASK + _BYTES_A_VOXEL * voxels + 2 * _unpacked(file.probabilities) + prepared

    def _scan(self, case: StoredCase) -> Path:
        return self.workspace.resolve(case.record.image)


def _unpacked(path: Path | None) -> int:
    """Bytes of the arrays in a file; none of one that is damaged, which is said when it is read."""
    if path is None or not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        return sum(each.file_size for each in archive.infolist())


def identity_of_files(folder: Path) -> str:
    """Hash of the names and bytes of a folder's answers."""
    return content_hash(hashes_of_teacher(folder))
