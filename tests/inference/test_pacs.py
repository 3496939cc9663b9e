"""A series goes through a real PACS, is segmented, and its label map goes back: nothing may have moved on the way."""

from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_factory import LPS_OF_RAS, centroids_lps, ct, ct_slices, write_series
from numpy_runtime import NumpyConvolution
from pacs import MISSING, Pacs, running_pacs
from segments import Centroids, centroids
from small_cards import small_card

from autosam_inference import TrainedModel, predict, read_scan, write_dicom_seg, write_nifti
from autosam_inference.prediction import Prediction
from autosam_inference.scans.scan import Scan
from autosam_platform.data.description import load_description

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"{' and '.join(MISSING)} not installed (apt-get install orthanc dcmtk)"
)
BTCV = load_description("btcv")
CARD = small_card(BTCV.classes, spacing_xyz=(2.0, 2.0, 3.0))
MODEL = TrainedModel(CARD, NumpyConvolution.random(BTCV.num_classes), 0.5, 1)
"""Scatters organs over the scan."""
SERIES = ("SeriesInstanceUID", "StudyInstanceUID", "Modality", "NumberOfSeriesRelatedInstances")


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    with running_pacs(tmp_path_factory.mktemp("pacs")) as running:
        yield running


def _fetched(pacs: Pacs, folder: Path, way: str, codes: str) -> Scan:
    """A phantom as a series of that orientation, sent to the PACS, found there, and fetched."""
    sent = ct_slices(codes=codes)
    pacs.store(*sorted(write_series(folder / "scanner", sent, shuffle=True).iterdir()))
    study = sent[0].StudyInstanceUID
    (found,) = pacs.find(folder / "found", "SERIES", **dict.fromkeys(SERIES, "") | {"StudyInstanceUID": study})
    assert (found.SeriesInstanceUID, found.Modality) == (sent[0].SeriesInstanceUID, "CT")
    assert found.NumberOfSeriesRelatedInstances == len(sent)
    place = getattr(pacs, way)(folder / "ct", found.StudyInstanceUID, found.SeriesInstanceUID)
    return read_scan(place)


def _predicted(nifti: Path) -> Centroids:
    """Mean position (LPS mm) of each organ of a label map, as nibabel reads it."""
    image = nib.load(nifti)
    label_xyz = np.asarray(image.dataobj)
    affine = LPS_OF_RAS @ image.affine[:3]
    names = {each.id: each.name for each in BTCV.classes}
    return {
        names[each]: affine @ [*np.argwhere(label_xyz == each).mean(0), 1]
        for each in np.unique(label_xyz[label_xyz > 0])
    }


def _same_places(found: Centroids, expected: Centroids) -> None:
    assert found.keys() == expected.keys() and len(expected) > 1
    for name, place in expected.items():
        np.testing.assert_allclose(found[name], place, atol=1e-3, err_msg=name)


@pytest.mark.parametrize(("way", "codes"), [("get", "LPS"), ("move", "PIR")])
def test_a_label_map_comes_back_from_the_pacs_where_it_was_predicted(
    pacs: Pacs, tmp_path: Path, way: str, codes: str
) -> None:
    scan = _fetched(pacs, tmp_path, way, codes)
    np.testing.assert_array_equal(scan.volume.array_DHW, ct().image_xyz.transpose(2, 1, 0))
    prediction = predict(MODEL, scan)
    write_nifti(prediction, tmp_path / "label.nii.gz")
    write_dicom_seg(prediction, tmp_path / "seg.dcm", "binary")
    pacs.store(tmp_path / "seg.dcm")
    study = pydicom.dcmread(tmp_path / "seg.dcm").StudyInstanceUID
    series = dict.fromkeys(SERIES, "") | {"StudyInstanceUID": study}
    found = {each.Modality: each for each in pacs.find(tmp_path / "both", "SERIES", **series)}
    assert found.keys() == {"CT", "SEG"}, "one study of one patient"
    (back,) = pacs.get(tmp_path / "back", study, found["SEG"].SeriesInstanceUID).iterdir()
    _same_places(centroids(pydicom.dcmread(back)), _predicted(tmp_path / "label.nii.gz"))
    assert read_scan(tmp_path / "ct").series == scan.series, "the label map beside it is no other choice"


@pytest.mark.parametrize("kind", ["labelmap", "binary"])
def test_the_truth_comes_back_where_it_was_drawn(pacs: Pacs, tmp_path: Path, kind: str) -> None:
    """The new kind by the web: dcmtk 3.6.7, and with it Debian's PACS in C-STORE, does not know its class yet."""
    scan = _fetched(pacs, tmp_path, "get", "LAI")
    drawn = Prediction(scan, ct().label_xyz.transpose(2, 1, 0), CARD, {})
    write_dicom_seg(drawn, tmp_path / "seg.dcm", kind)  # type: ignore[arg-type]
    pacs.upload(tmp_path / "seg.dcm")
    uid = pydicom.dcmread(tmp_path / "seg.dcm").SOPInstanceUID
    back = pydicom.dcmread(pacs.download(uid, tmp_path / "back.dcm"))
    places = centroids_lps()
    _same_places(centroids(back), {each.name: places[each.id] for each in BTCV.classes})
