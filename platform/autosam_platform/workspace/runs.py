"""The folder of a run, and of an evaluation of its model."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autosam_inference.card import CARD, WEIGHTS, ModelCard, ModelFolderError, read_card
from autosam_inference.errors import UserError
from autosam_inference.files import write_text
from autosam_inference.scans.names import case_file_name
from autosam_models import find_model
from autosam_platform.experiment import Experiment
from autosam_platform.locks import LOCK
from autosam_platform.workspace.paths import WorkspacePaths


class RunFolderError(UserError):
    """A run whose folder lacks what it is asked for; the message names the file and what to do."""


@dataclass(frozen=True)
class EvaluationFolder:
    """What an evaluation wrote; nothing need be there yet."""

    folder: Path
    paths: WorkspacePaths

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def seconds(self) -> Path:
        return self.folder / "seconds.csv"

    @property
    def summary(self) -> Path:
        return self.folder / "summary.json"

    @property
    def organs(self) -> Path:
        """The picture of Dice and NSD by organ."""
        return self.folder / "organs.png"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions"

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def records(self) -> Path:
        """Folder of what was recorded of each case."""
        return self.folder / "cases"

    @property
    def lock(self) -> Path:
        """Held by the process that evaluates; beside the folder, whose files are recorded."""
        return self.folder.with_name(f".{self.folder.name}.lock")

    @property
    def case_ids(self) -> list[str]:
        """Cases that were evaluated, sorted."""
        return sorted(_recorded_id(path) for path in self.records.glob("*.json"))

    @property
    def has_cases(self) -> bool:
        """Was any case evaluated?"""
        return any(self.records.glob("*.json"))

    def recorded(self, case_id: str) -> Path | None:
        """What is recorded of a case, if it was evaluated; earlier versions named the file by the id as it is."""
        path = self.record(case_id)
        earlier = (each for each in self.records.glob("*.json") if each.stem == case_id)
        return path if path.is_file() else next(earlier, None)

    def files(self, case_id: str) -> tuple[Path, Path | None]:
        """The scan of an evaluated case, and its truth in the classes' ids, wherever the workspace lies now.

        Raises:
            RunFolderError: what is recorded of the case is damaged.
        """
        path = self.recorded(case_id) or self.record(case_id)
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            image, label = str(told["image"]), told["label"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"{path} is no record of a case ({error!r}): evaluate the run again.") from error
        return self.paths.resolve(image), None if label is None else self.paths.resolve(str(label))

    def prediction(self, case_id: str) -> Path:
        return self.predictions / f"{case_file_name(case_id)}.nii.gz"

    def truth(self, case_id: str) -> Path:
        """The truth in the ids of the classes, where its own files have others."""
        return self.folder / "truths" / f"{case_file_name(case_id)}.nii.gz"

    def picture(self, case_id: str) -> Path:
        return self.pictures / f"{case_file_name(case_id)}.png"

    def record(self, case_id: str) -> Path:
        """Where what is recorded of a case goes."""
        return self.records / f"{case_file_name(case_id)}.json"


_OTHER_EVALUATION = re.compile(r"evaluation-(\w+)-([0-9a-f]{8})-(train|val|test)")


@dataclass(frozen=True)
class OtherEvaluation(EvaluationFolder):
    """What an evaluation on a dataset wrote that is not the run's own."""

    dataset: str
    fingerprint: str
    split: str


def _recorded_id(record: Path) -> str:
    """The case's id, which is the file's name where that has no hash in it."""
    if "~" not in record.stem:
        return record.stem
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["case_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return record.stem  # damaged: whoever opens it will say so


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, made or not.

    Attributes:
        paths: the workspace that the paths in its records start from.
    """

    folder: Path
    paths: WorkspacePaths

    @property
    def name(self) -> str:
        """The run's id."""
        return self.folder.name

    @property
    def config(self) -> Path:
        """The resolved experiment, as YAML."""
        return self.folder / "config.yaml"

    @property
    def experiment(self) -> Experiment:
        """The experiment that the run was started with.

        Raises:
            RunFolderError: the file is missing or damaged.
        """
        try:
            recorded = yaml.safe_load(self.config.read_text(encoding="utf-8"))
            return Experiment.model_validate(self.paths.settings_here(recorded))
        except (OSError, yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError, AttributeError) as error:
            raise RunFolderError(
                f"{self.config} holds no experiment of this version ({str(error).splitlines()[0]}): start the run "
                "again with the command that made it, which writes the file anew"
            ) from error

    def write_experiment(self, experiment: Experiment) -> dict[str, Any]:
        """Write ``config.yaml``, and return what it says."""
        recorded = self.paths.recorded_settings(experiment)
        write_text(self.config, yaml.safe_dump(recorded, sort_keys=False))
        return recorded

    @property
    def model(self) -> Path:
        """Folder of the finished model."""
        return self.folder / "model"

    @property
    def model_card(self) -> Path:
        """The file that says what the model is; written with the weights, so that it stands for them."""
        return self.model / CARD

    @property
    def weights(self) -> Path:
        return self.model / WEIGHTS

    @property
    def card(self) -> ModelCard:
        """What the model says of itself.

        Raises:
            ModelFolderError: the run is not finished, or its model is damaged.
        """
        return read_card(self.model)

    @property
    def finished(self) -> bool:
        """Has it a model?"""
        return self.model_card.is_file()

    @property
    def distilled(self) -> bool:
        """Did a teacher teach it?

        Raises:
            ModelFolderError: the run is not finished, or its model is damaged.
        """
        return "teacher" in self.card.lineage

    @property
    def prompted(self) -> bool:
        """Does it need prompts from the label, so that it can predict no scan that has none? False of one whose model
        cannot be read: whoever takes it is told.
        """
        try:
            return find_model(self.card.model.name).prompted
        except (ModelFolderError, ValueError):
            return False

    def evaluation(self, split: str = "test", other: str | None = None) -> EvaluationFolder:
        """Where the run's own evaluation on a split lies.

        Args:
            other: name and beginning of the fingerprint of a dataset that is not the run's own, with a hyphen between.
        """
        name = f"evaluation-{other}-{split}" if other else "evaluation" if split == "test" else f"evaluation-{split}"
        return EvaluationFolder(self.folder / name, self.paths)

    @property
    def other_evaluations(self) -> list["OtherEvaluation"]:
        """Finished evaluations on datasets that are not the run's own, in the order of their names."""
        found = ((path, _OTHER_EVALUATION.fullmatch(path.name)) for path in sorted(self.folder.glob("evaluation-*")))
        made = [OtherEvaluation(path, self.paths, *match.groups()) for path, match in found if match]
        return [each for each in made if each.summary.is_file() and each.metrics.is_file()]

    def evaluation_of(self, label: str) -> EvaluationFolder:
        """Where another model was evaluated for this run's report."""
        return EvaluationFolder(self.folder / label / "evaluation", self.paths)

    @property
    def checkpoints(self) -> Path:
        """Ray Train's own storage."""
        return self.folder / "ray"

    @property
    def failure(self) -> Path:
        """Why the workers ended, for the driver to read."""
        return self.folder / "failure.txt"

    @property
    def progress(self) -> Path:
        """How far the fit is, written by its first worker for whoever looks."""
        return self.folder / "progress.json"

    @property
    def log(self) -> Path:
        """What a training said that was made beside others."""
        return self.folder / "training.log"

    @property
    def curves(self) -> Path:
        return self.folder / "curves.png"

    @property
    def report(self) -> Path:
        """Folder of the matched report of a distillation."""
        return self.folder / "report"

    @property
    def report_table(self) -> Path:
        return self.report / "report.csv"

    @property
    def report_json(self) -> Path:
        return self.report / "report.json"

    @property
    def report_over_seeds(self) -> Path:
        """What several seeds came to, in the folder of the first one's report."""
        return self.report / "over_seeds.json"

    @property
    def report_picture(self) -> Path:
        return self.report / "report.png"

    @property
    def lock(self) -> Path:
        """Held by the process that makes the run."""
        return self.folder / LOCK
