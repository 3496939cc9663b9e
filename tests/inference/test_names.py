"""Names of scans' files, and of what is stored of a case."""

from itertools import combinations
from pathlib import Path

import pytest

from autosam_inference.scans.names import case_file_name, stem, suffix


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.nii.gz", ("a", ".nii.gz")),
        ("a.NII.GZ", ("a", ".NII.GZ")),
        ("a.Nii", ("a", ".Nii")),
        ("a.b.nii", ("a.b", ".nii")),
        ("a.gz", ("a.gz", "")),
        ("nii", ("nii", "")),
    ],
)
def test_suffixes_are_known_in_any_case(name: str, parts: tuple[str, str]) -> None:
    assert (stem(Path("folder") / name), suffix(Path("folder") / name)) == parts


@pytest.mark.parametrize("case_id", ["img0001", "volume-10", "amos_0004", "a" * 100])
def test_a_plain_id_is_its_own_name(case_id: str) -> None:
    assert case_file_name(case_id) == case_id


def test_no_two_ids_share_a_name_on_any_file_system() -> None:
    ids = ["b03", "B03", "b03.label", "b03_label", "b03 label", "b03/label", "b03~0", "ü", "u", "u\u0308", "..", ".b03"]
    ids += ["x" * 240, "x" * 239 + "y", "-b03", case_file_name("B03"), "Patient, one", "Patient: one"]
    for one, other in combinations([case_file_name(case_id).casefold() for case_id in ids], 2):
        assert one != other
        assert not one.startswith(f"{other}.") and not other.startswith(f"{one}.")


def test_names_hold_nothing_that_leads_elsewhere() -> None:
    for case_id in ("../../etc/passwd", "a\x00b", "a\nb", "C:\\scan", "-rf", ".hidden", "x" * 5000, "\udcff"):
        name = case_file_name(case_id)
        assert len(name.encode()) < 120 and name.isascii() and name.isprintable()
        assert not set(name) & set("/\\: ") and name[0] not in ".-"
