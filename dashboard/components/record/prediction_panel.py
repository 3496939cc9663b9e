"""What came of a prediction, to read off and to take along: volumes of the organs, and the files."""

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from autosam_inference.scans.scan import read_scan
from autosam_platform.workspace import PredictionFolder
from dashboard.components.base.text import file_size

_VOLUMES = {
    "organ": st.column_config.TextColumn("Organ", pinned=True, width="medium"),
    "ml": st.column_config.NumberColumn("Volume (ml)", format="%.1f", help="Of the predicted voxels"),
}
_KINDS = {".nii.gz": "application/gzip", ".seg.dcm": "application/dicom"}


def prediction_panel(prediction: PredictionFolder) -> None:
    """Download buttons, and the volume of every organ of the model; nothing of a label map that is gone.

    Raises:
        UserError: the label map or the names of its organs cannot be read.
    """
    if not prediction.label.is_file():
        return  # as whoever draws it says
    _download("the label map", prediction.label, f"{prediction.folder.name}.nii.gz")
    if prediction.dicom_seg.exists():
        _download("the DICOM SEG", prediction.dicom_seg, f"{prediction.folder.name}.seg.dcm")
    volumes = organ_volumes(str(prediction.label), prediction.label.stat().st_mtime_ns)
    rows = [(name, volumes.get(id_, 0.0)) for id_, name in prediction.class_names().items()]
    table = pd.DataFrame(rows, columns=list(_VOLUMES))
    st.dataframe(table, hide_index=True, height="content", width="content", column_config=_VOLUMES)


def _download(what: str, path: Path, name: str) -> None:
    kind = next(kind for ending, kind in _KINDS.items() if name.endswith(ending))
    label = f"Download {what} ({file_size(path.stat().st_size)})"
    st.download_button(label, path.read_bytes, file_name=name, mime=kind, key=f"download-{name}")


@st.cache_data(max_entries=64, show_spinner="Measuring volumes …")
def organ_volumes(label: str, changed: int) -> dict[int, float]:
    """Volume in ml of each id that the label map has; ``changed`` is when the file was.

    Raises:
        ScanError: it cannot be read.
    """
    scan = read_scan(label)
    ids_N, counts_N = np.unique(scan.volume.array_DHW, return_counts=True)
    return {int(id_): float(count) * scan.grid.voxel_ml for id_, count in zip(ids_N, counts_N, strict=True)}
