"""DICOM series as hospitals store them: where each voxel lies, which series is read, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import (
    LPS_OF_RAS,
    SHAPE_XYZ,
    compressed,
    ct,
    ct_slices,
    enhanced,
    in_colour,
    localiser,
    magnetic_resonance,
    moved,
    one_series,
    rotation,
    set_class,
    set_pixels,
    tilted,
    write_series,
    write_zip,
)
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import Scan, read_grid, read_scan

HU_DHW = ct().image_xyz.transpose(2, 1, 0)


def same_as_written(read: Scan, turn: np.ndarray | None = None) -> None:
    """Every voxel is where the factory put it."""
    np.testing.assert_array_equal(read.volume.array_DHW, HU_DHW)
    expected = ct().affine
    if turn is not None:
        expected[:3] = turn @ expected[:3]
    np.testing.assert_allclose(read.grid.canonical_affine, expected, atol=1e-5)


def test_a_voxel_lies_where_the_standard_says(tmp_path: Path) -> None:
    """PS3.3 C.7.6.2.1.1, by hand: an axial slice, columns to the patient's left, rows to the back."""
    slices = ct_slices()
    for place, each in enumerate(slices):
        each.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        each.ImagePositionPatient = [-100, -50, 200 + 4 * place]
        each.PixelSpacing = [2, 0.5]  # between rows, between columns
    marked = np.full((34, 37), -1000.0)
    marked[7, 3] = 500  # row, column
    set_pixels(slices[5], marked)
    read = read_scan(write_series(tmp_path / "ct", slices))
    assert read.volume.spacing_DHW == pytest.approx((4, 2, 0.5))
    (place,) = np.argwhere(read.volume.array_DHW == 500)
    x, y, z = read.grid.canonical_affine[:3] @ [*place[::-1], 1]
    assert (-x, -y, z) == pytest.approx((-100 + 3 * 0.5, -50 + 7 * 2, 200 + 5 * 4))
    assert read.grid.orientation == "LPS"
    assert place[0] == 5 and place[1] == 33 - 7 and place[2] == 36 - 3  # up, from the back, from the left


@pytest.mark.parametrize("codes", ["LPS", "LPI", "RAS", "LAI", "PIR", "PIL", "ASR", "LIP", "RSA"])
def test_every_orientation_reads_as_the_same_volume(tmp_path: Path, codes: str) -> None:
    read = read_scan(write_series(tmp_path / "ct", ct_slices(codes=codes)))
    same_as_written(read)
    assert read.notes == () and read.source == tmp_path / "ct"


@pytest.mark.parametrize("codes", ["LPS", "PIR"])
def test_an_oblique_series_keeps_its_angle(tmp_path: Path, codes: str) -> None:
    turn = rotation(12, 0) @ rotation(-7, 2)
    same_as_written(read_scan(write_series(tmp_path / "ct", ct_slices(codes=codes, turn=turn))), turn)


def _misleading(slices: list[Dataset]) -> list[Dataset]:
    """Numbers and locations that run against the positions, and a spacing that is none."""
    for place, each in enumerate(slices):
        each.InstanceNumber = 100 - 7 * place % 9
        each.SliceLocation = f"{50 - 2 * place}"
        each.SpacingBetweenSlices = "0.25"
        each.SliceThickness = "10"
    return slices


def _without_numbers(slices: list[Dataset]) -> list[Dataset]:
    for each in slices:
        del each.InstanceNumber
        each.RescaleType = None
    return slices


FORMS: dict[str, Callable[[], list[Dataset]]] = {
    "plain": ct_slices,
    "misleading": lambda: _misleading(ct_slices()),
    "no numbers": lambda: _without_numbers(ct_slices()),
    "rescale per slice": lambda: ct_slices(slopes=(1, 0.5, 2), intercepts=(-1024, -2000, 0), signed=True),
    "signed": lambda: ct_slices(intercepts=(0,), signed=True),
    "signed, 12 bits": lambda: ct_slices(intercepts=(0,), signed=True, bits=12),
    "unsigned, 12 bits": lambda: ct_slices(bits=12),
    "RLE": lambda: compressed(ct_slices(), RLELossless),
    "RLE, signed": lambda: compressed(ct_slices(intercepts=(0,), signed=True), RLELossless),
    "JPEG 2000": lambda: compressed(ct_slices(), JPEG2000Lossless),
    "JPEG 2000, signed": lambda: compressed(ct_slices(intercepts=(0,), signed=True), JPEG2000Lossless),
    "JPEG-LS": lambda: compressed(ct_slices(), JPEGLSLossless),
    "JPEG-LS, signed 12 bits": lambda: compressed(ct_slices(intercepts=(0,), signed=True, bits=12), JPEGLSLossless),
    "enhanced": lambda: [enhanced(ct_slices(slopes=(1, 2), intercepts=(-1024, -2000)))],
    "enhanced, in disorder": lambda: [enhanced(ct_slices()[::-1][3:] + ct_slices()[::-1][:3])],
    "enhanced, JPEG-LS": lambda: compressed([enhanced(ct_slices())], JPEGLSLossless),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_way_of_storing_gives_the_same_hu(tmp_path: Path, form: str) -> None:
    slices = FORMS[form]()
    if form == "rescale per slice":  # two HU a step is what a slope of 2 can hold
        odd = read_scan(write_series(tmp_path / "ct", slices, shuffle=True))
        assert odd.volume.array_DHW.dtype == np.float32
        np.testing.assert_allclose(odd.volume.array_DHW, HU_DHW, atol=1)
        np.testing.assert_array_equal(odd.volume.array_DHW[0::3], HU_DHW[0::3])
        np.testing.assert_array_equal(odd.volume.array_DHW[1::3], HU_DHW[1::3])
        return
    read = read_scan(write_series(tmp_path / "ct", slices, shuffle=True))
    if form == "enhanced":
        np.testing.assert_allclose(read.volume.array_DHW, HU_DHW, atol=1)
        np.testing.assert_array_equal(read.volume.array_DHW[0::2], HU_DHW[0::2])
    else:
        same_as_written(read)
    assert read.volume.array_DHW.dtype == np.int16


def test_a_folder_a_zip_and_a_file_of_a_series_are_one_scan(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "study" / "series" / "deeper", ct_slices(), shuffle=True)
    (tmp_path / "study" / ".DS_Store").write_bytes(b"\0" * 200)
    for path in (tmp_path / "study", folder / "IM0004", write_zip(tmp_path / "study.zip", tmp_path / "study")):
        read = read_scan(str(path))
        same_as_written(read)
        grid = read_grid(path)
        assert grid.shape_xyz == read.grid.shape_xyz and (grid.affine == read.grid.affine).all()
        assert read.source == path and read.notes == ()
        assert read.series is not None and len(read.series.slices) == SHAPE_XYZ[2] and read.series.straight


def _study(folder: Path) -> dict[str, str]:
    """A study on disk: a long CT, a short CT, an overview in a series of its own, one within the CT, an MR."""
    study = generate_uid()
    long, short = ct_slices(study=study), ct_slices(ct(1), study=study, number=3)[:5]
    overview = localiser(study)[0]
    overview.SeriesInstanceUID = long[0].SeriesInstanceUID
    parts = {"long": [*long, overview], "short": short, "overview": localiser(study), "mr": magnetic_resonance()}
    for name, slices in parts.items():
        write_series(folder, slices, prefix=name)
    (folder / "readme.txt").write_text("Geheim, Erika")
    return {name: str(slices[0].SeriesInstanceUID) for name, slices in parts.items()}


def test_the_ct_with_most_slices_is_chosen_and_said(tmp_path: Path) -> None:
    uids = _study(tmp_path / "study")
    read = read_scan(tmp_path / "study")
    same_as_written(read)
    choice, left_out, others = read.notes
    assert f"Of 4 series the CT with most slices is used, {uids['long']} (CT, 9 slices)" in choice
    assert f"{uids['short']} (CT, 5 slices)" in choice
    assert f"{uids['overview']} (1 × localiser)" in choice
    assert f"{uids['mr']} (9 × MR image)" in choice
    assert left_out == "Of the series 1 × localiser are left out."
    assert others == "1 file beside the images is no DICOM."


def test_a_series_can_be_asked_for(tmp_path: Path) -> None:
    uids = _study(tmp_path / "study")
    short = read_scan(tmp_path / "study", series=uids["short"])
    np.testing.assert_array_equal(short.volume.array_DHW, ct(1).image_xyz.transpose(2, 1, 0)[:5])
    assert read_scan(tmp_path / "study" / "short0002").series == short.series
    with pytest.raises(ScanError, match=r"the series [\d.]+ is no CT, but 9 × MR image: name another one"):
        read_scan(tmp_path / "study", series=uids["mr"])
    with pytest.raises(ScanError, match=r"holds no series 1\.2\.3; there is .*5 slices"):
        read_scan(tmp_path / "study", series="1.2.3")
    with pytest.raises(ScanError, match="is no DICOM, which alone has series"):
        read_scan(tmp_path / "scan.nii.gz", series="1.2.3")


def _doubled(*, equal: bool) -> list[Dataset]:
    again = ct_slices()[4]
    again.InstanceNumber = 10
    if not equal:
        set_pixels(again, np.zeros((34, 37)))
    return one_series(ct_slices(), [again])


def test_a_slice_stored_twice_is_used_once(tmp_path: Path) -> None:
    read = read_scan(write_series(tmp_path / "ct", _doubled(equal=True), shuffle=True))
    same_as_written(read)
    (note,) = read.notes
    assert note in ("Slice 5 is stored twice, and used once.", "Slice 10 is stored twice, and used once.")
    assert read.series is not None and len(read.series.slices) == SHAPE_XYZ[2]


def test_values_outside_the_field_become_air(tmp_path: Path) -> None:
    slices = ct_slices(intercepts=(0,), signed=True)
    hu = HU_DHW[0, ::-1, ::-1].copy()
    hu[:2] = -2000
    set_pixels(slices[0], hu)
    for each in slices:
        each.add_new("PixelPaddingValue", "US", 0x10000 - 2000)  # as some scanners write it
    read = read_scan(write_series(tmp_path / "ct", slices))
    assert read.volume.array_DHW.min() == -1024
    assert read.notes == ("74 voxels that the scanner marks as outside its field are set to -1024 HU.",)


def _change(slices: list[Dataset], places: tuple[int, ...], **values: object) -> list[Dataset]:
    for place in places:
        for name, value in values.items():
            if value is None:
                delattr(slices[place], name)
            else:
                setattr(slices[place], name, value)
    return slices


def _turned(slices: list[Dataset]) -> list[Dataset]:
    return _change(slices, (2, 6), ImageOrientationPatient=[1, 0, 0, 0, 0.99, 0.141067])


def _class(slices: list[Dataset]) -> list[Dataset]:
    for each in slices:
        set_class(each, SecondaryCaptureImageStorage, "CT")
    return slices


def _cut(slices: list[Dataset]) -> list[Dataset]:
    slices[3].PixelData = slices[3].PixelData[:-100]
    return slices


def _two_phases() -> list[Dataset]:
    second = ct_slices(ct(5))
    for each in second:
        each.InstanceNumber += 9
    return one_series(ct_slices(), second)


ALL = tuple(range(SHAPE_XYZ[2]))
REFUSED: dict[str, tuple[Callable[[], list[Dataset]], str]] = {
    "a slice is missing": (lambda: _without(4), "1 slice is missing, between 4 and 6: copy"),
    "two are missing": (lambda: _without(3, 4), "2 slices are missing, between 3 and 6"),
    "different at one place": (lambda: _doubled(equal=False), "slices 5 and 10 lie at one place and differ"),
    "two phases": (_two_phases, "slices 1 and 10 lie at one place and differ: .* phases"),
    "uneven": (
        lambda: moved(ct_slices(), lambda place: (0, 0, 0.2 * (place > 3))),
        r"slices lie unevenly: 3\.2 mm between 4 and 5, in place of 3 mm.*--straighten",
    ),
    "thicker further on": (
        lambda: moved(ct_slices(), lambda place: (0, 0, 3.0 * max(0, place - 5))),
        "slices lie unevenly: 6 mm between 6 and 7, in place of 3 mm, and so at 2 more places",
    ),
    "tilted": (lambda: tilted(ct_slices(), 15), r"the gantry was tilted by 15\.0°.*--straighten"),
    "shifted": (
        lambda: moved(ct_slices(), lambda place: (4.0 * (place > 5), 0, 0)),
        "slices are shifted sideways by 4 mm, between 6 and 7",
    ),
    "mixed orientations": (lambda: _turned(ct_slices()), "slices 3 and 7 differ in orientation"),
    "mixed voxel sizes": (
        lambda: _change(ct_slices(), (8,), PixelSpacing=["2", "2"]),
        "slice 9 differs in voxel size",
    ),
    "mixed sizes": (lambda: _smaller(ct_slices()), "slice 3 differs in size"),
    "magnetic resonance": (magnetic_resonance, "holds no CT series, but 9 × MR image"),
    "colour": (lambda: in_colour(ct_slices()), "holds no CT series, but 9 × colour image"),
    "a localiser alone": (lambda: localiser("1.2.3"), "holds no CT series, but 1 × localiser"),
    "pictures of a screen": (lambda: _class(ct_slices()), r"9 × picture of a screen \(secondary capture\)"),
    "a single slice": (lambda: ct_slices()[:1], r"holds a single slice \(slice 1\)"),
    "no position": (
        lambda: _change(ct_slices(), (1, 4), ImagePositionPatient=None),
        "slices 2 and 5 have no usable ImagePositionPatient",
    ),
    "no orientation": (
        lambda: _change(ct_slices(), ALL, ImageOrientationPatient=None),
        "slices 1, 2, 3, 4, 5, 6, 7, 8 and 1 more have no usable ImageOrientationPatient",
    ),
    "no directions": (
        lambda: _change(ct_slices(), (0,), ImageOrientationPatient=[0, 0, 0, 0, 0, 0]),
        "slice 1 has no usable ImageOrientationPatient",
    ),
    "no voxel size": (lambda: _change(ct_slices(), (0,), PixelSpacing=None), "slice 1 has no usable PixelSpacing"),
    "voxels of 50 mm": (lambda: _change(ct_slices(), ALL, PixelSpacing=["50", "50"]), "voxel size of 50 × 50 mm"),
    "no rescale": (lambda: _change(ct_slices(), (6,), RescaleSlope=None), "slice 7 has no usable RescaleSlope and"),
    "a slope of zero": (lambda: _change(ct_slices(), (6,), RescaleSlope="0"), "slice 7 has no usable RescaleSlope"),
    "another unit": (lambda: _change(ct_slices(), ALL, RescaleType="Z_EFF"), "values in Z_EFF, not HU"),
    "two frames of reference": (
        lambda: _change(ct_slices(), (3,), FrameOfReferenceUID="1.2.3"),
        "slice 4 has another FrameOfReferenceUID than the other slices",
    ),
    "a localiser by one word": (lambda: _change(ct_slices(), ALL, ImageType="LOCALIZER"), "9 × localiser"),
    "voxels of 0 mm": (lambda: _change(ct_slices(), ALL, PixelSpacing=["0", "0"]), "voxel size of 0 × 0 mm"),
    "no pixels": (lambda: _change(ct_slices(), (2,), PixelData=None), r"slice 3 \(IM0002\) has no pixel data"),
    "cut short": (lambda: _cut(ct_slices()), r"the pixels of slice 4 \(IM0003\) cannot be read .*copy"),
    "cut short, packed": (lambda: _packed_and_cut(JPEG2000Lossless), r"the pixels of slice 4 \(IM0003\) cannot"),
    "cut short, JPEG-LS": (lambda: _packed_and_cut(JPEGLSLossless), r"the pixels of slice 4 \(IM0003\) cannot"),
    "enhanced, without positions": (
        lambda: [_without_groups(enhanced(ct_slices()))],
        "slices 1, 2, .* have no usable ImagePositionPatient",
    ),
}


def _without(*places: int) -> list[Dataset]:
    return [each for place, each in enumerate(ct_slices()) if place not in places]


def _packed_and_cut(syntax: str) -> list[Dataset]:
    slices = compressed(ct_slices(), syntax)
    slices[3].PixelData = slices[3].PixelData[:16] + _frame(slices[3].PixelData[16:])
    return slices


def _frame(items: bytes) -> bytes:
    """One encapsulated frame with its second half gone, its length set right."""
    length = int.from_bytes(items[4:8], "little") // 4 * 2
    body = items[8 : 8 + length] if items[:4] == b"\xfe\xff\x00\xe0" else items[:length]
    return b"\xfe\xff\x00\xe0" + len(body).to_bytes(4, "little") + body + b"\xfe\xff\xdd\xe0\0\0\0\0"


def _smaller(slices: list[Dataset]) -> list[Dataset]:
    slices[2].Rows = 30
    set_pixels(slices[2], np.zeros((30, 37)))
    return slices


def _without_groups(whole: Dataset) -> Dataset:
    for frame in whole.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    return whole


@pytest.mark.parametrize("trap", REFUSED)
def test_what_is_no_volume_in_hu_is_refused(tmp_path: Path, trap: str) -> None:
    make, message = REFUSED[trap]
    slices = make()
    folder = write_series(tmp_path / "ct", slices)
    with pytest.raises(ScanError, match=message) as refusal:
        read_scan(folder)
    assert str(folder) in str(refusal.value) and str(refusal.value).endswith((".", ")"))


def _raw(each: Dataset, name: str, vr: str, value: bytes) -> None:
    """An element with bytes that pydicom itself would not write."""
    tag = Tag(name)
    each._dict[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom writes them, and complains
@pytest.mark.parametrize(("name", "value"), [("SeriesNumber", b"1A"), ("InstanceNumber", b"3.5 "), ("KVP", b"x ")])
def test_numbers_that_are_none_do_not_matter_where_nothing_rests_on_them(
    tmp_path: Path, name: str, value: bytes
) -> None:
    slices = ct_slices()
    for each in slices:
        _raw(each, name, "IS", value)
    same_as_written(read_scan(write_series(tmp_path / "ct", slices)))


def test_a_position_that_is_no_number_is_refused(tmp_path: Path) -> None:
    slices = ct_slices()
    _raw(slices[3], "ImagePositionPatient", "DS", b"1,5\\2,5\\3,5 ")
    with pytest.raises(ScanError, match="slice 4 has no usable ImagePositionPatient"):
        read_scan(write_series(tmp_path / "ct", slices))


def test_a_way_of_storing_that_nobody_reads_is_named(tmp_path: Path) -> None:
    slices = compressed(ct_slices(), RLELossless)
    for each in slices:
        each.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.100")
    with pytest.raises(ScanError, match=r"slice 1 \(IM0000\) is stored in a way that is not read \(MPEG2 .*convert"):
        read_scan(write_series(tmp_path / "ct", slices))


def test_folders_that_are_links_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    write_series(tmp_path / "lake", ct_slices())
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "series").symlink_to(tmp_path / "lake", target_is_directory=True)
    (tmp_path / "study" / "again").symlink_to(tmp_path / "study", target_is_directory=True)
    read = read_scan(tmp_path / "study")
    same_as_written(read)
    assert read.notes == ()


def test_a_slightly_leaning_series_keeps_its_lean_in_the_grid(tmp_path: Path) -> None:
    read = read_scan(write_series(tmp_path / "ct", tilted(ct_slices(), 0.5)))
    np.testing.assert_array_equal(read.volume.array_DHW, HU_DHW)
    step = (LPS_OF_RAS @ read.grid.affine[:3, 2]).tolist()
    assert step == pytest.approx([0, 3 * np.tan(np.deg2rad(0.5)), 3], abs=1e-4)
    assert read.notes == ("The slices lean by 0.50°; the grid leans with them.",)
