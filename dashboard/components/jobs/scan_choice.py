"""Which scan is predicted: uploaded or on the server, and of a DICOM study which series."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from autosam_inference.scans.dicom import ct_series
from autosam_inference.scans.dicom_files import is_dicom, stands_for_series
from autosam_inference.scans.dicom_series import Series
from autosam_inference.scans.scan import check_scan
from dashboard.components.base.places import allowed_path
from dashboard.components.jobs.uploads import store_upload

_UPLOAD, _FILE = "Upload", "A file on the server"
_SECONDS = 30  # that the series of a folder are remembered


@dataclass(frozen=True)
class ScanChoice:
    """A scan as jobs/predict.py is told of it.

    Attributes:
        series: SeriesInstanceUID of a DICOM study's; None for the CT with most slices.
        straighten: resample tilted or uneven slices, instead of refusing them.
    """

    path: Path
    series: str | None = None
    straighten: bool = False

    def check(self) -> None:
        """See that it can be read, by its headers.

        Raises:
            ScanError: it cannot.
        """
        check_scan(self.path, series=self.series, straighten=self.straighten)


def chosen_scan() -> ScanChoice | None:
    """Let a scan be chosen; None where none is yet.

    Raises:
        UserError: what was uploaded or named is no scan, or lies outside the allowed folders.
    """
    if st.radio("Scan", [_UPLOAD, _FILE], horizontal=True) == _UPLOAD:
        kinds = "CT scan as NIfTI (.nii or .nii.gz), or a DICOM study as a zip"
        file = st.file_uploader(kinds, type=["nii", "gz", "zip"])
        path = None if file is None else _stored(file)
    else:
        about = "NIfTI, or a folder or zip of DICOM; in the workspace, the project, or a folder of "
        text = st.text_input("Path", help=f"{about}AUTOSAM_ALLOWED_FOLDERS").strip()
        path = allowed_path(text) if text else None
    if path is None or not is_dicom(path):
        return None if path is None else ScanChoice(path)
    return _of_study(path)


def _stored(file: UploadedFile) -> Path:
    """Kept once, and not anew with every change on the page."""
    name, path = st.session_state.get("stored_upload", ("", ""))
    if name != file.file_id or not Path(path).exists():
        path = str(store_upload(file.name, file))
        st.session_state["stored_upload"] = (file.file_id, path)
    return Path(path)


def _of_study(path: Path) -> ScanChoice:
    series = None
    known = dict(_series(path))
    if len(known) > 1 and not stands_for_series(path):
        about = "A study holds several reconstructions and phases. First is the CT with most slices."
        picked = st.selectbox("Series", list(known), format_func=known.__getitem__, help=about)
        series = None if picked == next(iter(known)) else picked  # as jobs/predict.py chooses where it is told none
    straighten = st.checkbox(
        "Straighten the slices",
        help="Resamples slices that are tilted, shifted or unevenly spaced to an even grid, which are refused without.",
    )
    return ScanChoice(path, series, straighten)


@st.cache_data(ttl=_SECONDS, max_entries=16, show_spinner="Looking for series …")
def _series(path: Path) -> list[tuple[str, str]]:
    return [(each.uid, _words(each)) for each in ct_series(path)]


def _words(series: Series) -> str:
    """Of numbers alone: a series' description may name the patient."""
    number = "" if series.number is None else f"Series {series.number} · "
    return f"{number}{series.slices} slice{'s' if series.slices > 1 else ''} · {series.uid}"
