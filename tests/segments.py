"""DICOM SEG as pydicom alone reads it: where each organ lies in the patient.

Mirrored and shifted masks are the commonest fault of those who write such files, so this reader is its own: it takes
positions and directions from the file's frames and knows nothing of the package's grids.
"""

import numpy as np
from pydicom.dataset import Dataset

Centroids = dict[str, np.ndarray]


def masks(seg: Dataset) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Of every frame: segment number (0 in a label map), values (rows, columns), and a 3 × 3 matrix that takes column,
    row, 1 to LPS mm."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    directions = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = (float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing)
    size = seg.Rows * seg.Columns
    bits = np.frombuffer(seg.PixelData, np.uint8)
    values = np.unpackbits(bits, bitorder="little") if seg.BitsAllocated == 1 else bits
    found = []
    for place, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        to_lps = np.column_stack([directions[0] * between_columns, directions[1] * between_rows, position])
        identified = frame.get("SegmentIdentificationSequence")
        number = int(identified[0].ReferencedSegmentNumber) if identified else 0
        found.append((number, values[place * size :][:size].reshape(seg.Rows, seg.Columns), to_lps))
    return found


def centroids(seg: Dataset) -> Centroids:
    """Mean position (LPS mm) of each segment by its label."""
    names = {int(each.SegmentNumber): str(each.SegmentLabel) for each in seg.SegmentSequence}
    places: dict[str, list[np.ndarray]] = {}
    for number, values, to_lps in masks(seg):
        for value in np.unique(values[values > 0]):
            rows, columns = np.nonzero(values == value)
            points = to_lps @ np.stack([columns, rows, np.ones_like(rows)])
            places.setdefault(names[number or int(value)], []).append(points)
    return {name: np.hstack(points).mean(1) for name, points in places.items()}
