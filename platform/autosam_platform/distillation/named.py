"""The teacher that an experiment names, once the names are folders: models, or files."""

from pathlib import Path

from autosam_inference.several import ModelFolders
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.distillation.file_teacher import FileTeacher, identity_of_files
from autosam_platform.distillation.teacher import TrainedTeacher, require_match
from autosam_platform.experiment import Experiment, answer_files, several
from autosam_platform.workspace import Workspace


def named_teacher(
    experiment: Experiment, prepared: PreparedDataset, workspace: Workspace
) -> TrainedTeacher | FileTeacher:
    """The teacher in the folder, or the folders, that ``experiment`` names.

    Raises:
        MismatchError: a model and the dataset have other classes, spacing or windows.
        ModelFolderError: a folder holds no usable model.
    """
    folders = [Path(each) for each in experiment.distillation.teachers]
    if len(folders) == 1 and answer_files(folders[0]):
        return FileTeacher.of(folders[0], prepared, workspace)
    for folder in folders:
        require_match(ModelFolders((folder,)).card, prepared)
    return TrainedTeacher.of(folders, experiment.teacher_overlap)


def identity_of(teacher: str) -> str:
    """Hash of the files of a teacher, or several, named by their folders."""
    folders = [Path(each) for each in several(teacher)]
    if len(folders) == 1 and answer_files(folders[0]):
        return identity_of_files(folders[0])
    return ModelFolders.of(*folders).hash
