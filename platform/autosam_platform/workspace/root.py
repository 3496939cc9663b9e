"""The workspace itself: where it is, and what lies in it."""

import os
from pathlib import Path
from typing import Any

from autosam_inference.bundle import is_bundle
from autosam_inference.errors import UserError
from autosam_inference.files import content_hash
from autosam_inference.scans.names import short_name, stem
from autosam_platform.places import require_local
from autosam_platform.workspace.paths import WorkspacePaths
from autosam_platform.workspace.predictions import PredictionFolder
from autosam_platform.workspace.prepared import PreparedFolder
from autosam_platform.workspace.runs import RunFolder
from autosam_platform.workspace.studies import StudyFolder
from autosam_platform.workspace.sweeps import SweepFolder


class WorkspaceError(UserError):
    """A workspace that cannot be used; the message says which, and what to set."""


def workspace() -> "Workspace":
    """The folder of prepared data, runs, predictions and tracking: ``AUTOSAM_WORKSPACE``, else ``./workspace``.

    Raises:
        WorkspaceError: there is no such folder, and none can be made; or it is an address.
    """
    named = Path(os.environ.get("AUTOSAM_WORKSPACE") or _default_folder())
    try:
        require_local(named)
    except ValueError as error:
        raise WorkspaceError(f"AUTOSAM_WORKSPACE: {error}.") from error
    folder = named.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"the workspace {folder} is no folder and cannot be made one ({error.strerror}): set AUTOSAM_WORKSPACE to "
            "a folder that you may write to."
        ) from error
    return Workspace(folder)


def settings_at(path: Path, recorded: dict[str, Any]) -> dict[str, Any]:
    """Settings read from ``path``, wherever their workspace lies now.

    Where they are a run's record or a sweep's best recipe, paths start from that workspace; others are as they are.
    """
    path = path.absolute()
    name, owner = path.parent.name, Workspace(path.parent.parent.parent)
    ours = path in (owner.run(name).config, owner.sweep(name).best)
    return owner.settings_here(recorded) if ours else recorded


def _default_folder() -> Path:
    """`ray job submit --working-dir` runs a job in a copy of the folder that Ray deletes: nothing may be kept there."""
    uploaded = "runtime_resources" in Path.cwd().parts
    return Path.home() / "autosam-workspace" if uploaded else Path("workspace")


_RUNS, _SWEEPS, _STUDIES = "runs", "sweeps", "studies"


class Workspace(WorkspacePaths):
    """What lies where; the only one who joins these names.

    Attributes:
        folder: absolute.
    """

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def run_folders(self) -> list[RunFolder]:
        """All runs, finished or not, in the order of their names."""
        return [self.run(path.name) for path in sorted(self._runs.glob("*")) if path.is_dir()]

    @property
    def finished_runs(self) -> list[RunFolder]:
        """Runs that have a model, the newest first."""
        finished = [run for run in self.run_folders if run.finished]
        return sorted(finished, key=lambda run: run.model_card.stat().st_mtime, reverse=True)

    def run(self, name: str) -> RunFolder:
        """A run, made or not."""
        return RunFolder(self._runs / name, self)

    def run_at(self, folder: Path) -> RunFolder:
        """The run in ``folder``, which may be one of another workspace."""
        folder = folder.absolute()
        return RunFolder(folder, Workspace(folder.parent.parent) if folder.parent.name == _RUNS else self)

    @property
    def _runs(self) -> Path:
        return self.folder / _RUNS

    @property
    def sweeps(self) -> list[SweepFolder]:
        """All sweeps, the one last written first."""
        found = [self.sweep(path.name) for path in (self.folder / _SWEEPS).glob("*") if path.is_dir()]
        begun = [sweep for sweep in found if sweep.trials.exists()]
        return sorted(begun, key=lambda sweep: sweep.trials.stat().st_mtime, reverse=True)

    def sweep(self, name: str) -> SweepFolder:
        """A sweep, made or not."""
        return SweepFolder(self.folder / _SWEEPS / name)

    @property
    def studies(self) -> list[StudyFolder]:
        """All studies, the one last written first."""
        found = [self.study(path.name) for path in (self.folder / _STUDIES).glob("*") if path.is_dir()]
        begun = [study for study in found if study.results.exists()]
        return sorted(begun, key=lambda study: study.results.stat().st_mtime, reverse=True)

    def study(self, name: str) -> StudyFolder:
        """A study, made or not."""
        return StudyFolder(self.folder / _STUDIES / name)

    @property
    def predictions(self) -> Path:
        """Folder of what jobs/predict.py wrote, a folder in it for each scan and run."""
        return self.folder / "predictions"

    def prediction(self, name: str) -> PredictionFolder | None:
        """What was predicted into the folder of that name; ``None`` where nothing was."""
        return PredictionFolder.find(self.predictions / name, self)

    def prediction_name(self, scan: Path, run: str, series: str | None = None) -> str:
        """Of the folder for ``scan`` segmented by the model of ``run``.

        Args:
            series: of a DICOM folder, where one was asked for.

        Many scans are called ``ct.nii.gz``, so the name says where it lies and what is in it, too.
        """
        made_of = scan if scan.is_file() else [path.name for path in sorted(scan.rglob("*"))]
        parts = [self.relative(scan.resolve()), made_of, *([series] if series else [])]
        return f"{short_name(stem(scan))}-{content_hash(*parts)[:8]}-{run}"

    def new_prediction(self, name: str, scan: Path) -> PredictionFolder:
        """Where a prediction of ``scan`` goes."""
        return PredictionFolder(self.predictions / name / f"{short_name(stem(scan))}.nii.gz", self)

    def bundle(self, name: str) -> Path:
        """Where a run's bundle goes, where no other place is named."""
        return self._bundles / name

    @property
    def bundles(self) -> list[Path]:
        """Bundles that were exported here, folders and zips, the newest first."""
        found = [place for place in self._bundles.glob("*") if not place.name.startswith(".") and is_bundle(place)]
        return sorted(found, key=lambda place: place.stat().st_mtime, reverse=True)

    @property
    def _bundles(self) -> Path:
        return self.folder / "bundles"

    @property
    def predicting(self) -> Path:
        """Folder of the records and logs of predictions that the dashboard started."""
        return self.folder / "predicting"

    @property
    def uploads(self) -> Path:
        """Folder of the scans sent to the dashboard."""
        return self.folder / "uploads"

    def prepared(self, name: str) -> PreparedFolder:
        """Cases that were prepared alike, or are going to be."""
        return PreparedFolder(self.folder / "prepared" / name, self)

    @property
    def prepared_folders(self) -> list[PreparedFolder]:
        """All that was prepared, in the order of their names."""
        return [self.prepared(path.name) for path in sorted((self.folder / "prepared").glob("*")) if path.is_dir()]

    def dataset(self, name: str) -> Path:
        """Folder of raw data that was generated."""
        return self.folder / "datasets" / name

    def teacher(self, name: str) -> Path:
        """Folder of a teacher's stored probabilities."""
        return self.folder / "teachers" / name

    def embeddings(self, name: str) -> Path:
        """Folder of the stored image embeddings of a prompted model's training slices."""
        return self.folder / "embeddings" / name

    def cost(self, name: str) -> Path:
        """What a model costs on a CPU."""
        return self.folder / "costs" / f"{name}.json"

    def benchmark(self, name: str) -> Path:
        """What a benchmark measured."""
        return self.folder / "benchmarks" / f"{name}.json"

    @property
    def database(self) -> Path:
        """The record of runs, where no server keeps it."""
        return self.folder / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Copies of files that the record of runs keeps."""
        return self.folder / "mlartifacts"

    @property
    def ray_token(self) -> Path:
        """Token of the Ray that a job starts by itself."""
        return self.folder / "ray" / "auth_token"
