"""What the viewer has of a prediction beside its pictures."""

from collections.abc import Callable
from pathlib import Path

import pytest
from example_cases import volumes, write_prediction, write_volume
from streamlit.testing.v1 import AppTest


def test_a_prediction_in_the_viewer_has_volumes_and_its_download(page: Callable[..., AppTest], empty: Path) -> None:
    made = volumes()
    name = write_prediction(empty, write_volume(empty / "scan.nii.gz", made.scan), made.first)
    app = page("viewer", prediction=name)
    assert not app.exception and not app.error
    ml = app.dataframe[0].value.set_index("organ")["ml"].to_dict()
    assert ml == pytest.approx({"spleen": 20 * 0.006, "gallbladder": 0.0, "liver": 2 * 0.006})  # voxels of 1 × 2 × 3 mm
    (button,) = app.get("download_button")
    assert button.proto.label.startswith("Download the label map (") and button.proto.label.endswith(" bytes)")
