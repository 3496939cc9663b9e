"""Duodenum, small bowel and colon: in HU they look like stomach and pancreas."""

import numpy as np

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.canvas import Canvas
from autosam_platform.data.phantom.patient import Patient, near, vec
from autosam_platform.data.phantom.shapes import tube
from autosam_platform.data.phantom.tissue import content

SMALL_BOWEL = {"fluid": 0.35, "collapsed": 0.4, "oral_contrast": 0.15, "gas": 0.1}
COLON = {"stool": 0.55, "gas": 0.15, "fluid": 0.15, "oral_contrast": 0.15}


def paint_duodenum(canvas: Canvas, patient: Patient) -> None:
    """Around the head of the pancreas, then to the left between the mesenteric vessels and the aorta."""
    rng, pylorus = patient.rng, patient.landmarks.pylorus
    knee = pylorus + vec(22, -22, -16)
    path = [pylorus, knee, knee + vec(-4, -8, -34), vec(4, 30, -52), vec(-26, 34, -30)]
    solid = tube([*path, near(rng, (-38, 48, -22), (5, 5, 5))], [8, 11, 10.5, 9, 9, 10])
    tissue = patient.palette.hollow("bowel", 3.0, content(rng, SMALL_BOWEL))
    canvas.paint(solid, tissue, label=Organ.DUODENUM, gap=0.8, contact=1.2, halo=0.8, lobed=0.8)


def paint_bowel(canvas: Canvas, patient: Patient) -> None:
    """The colon around the abdomen, the loops of the small bowel within it and down into the pelvis."""
    _paint_colon(canvas, patient)
    _paint_sigmoid(canvas, patient)
    _paint_loops(canvas, patient, int(patient.rng.integers(20, 30)), (-85, 25, -145), (75, 88, -8))
    _paint_loops(canvas, patient, int(patient.rng.integers(13, 20)), (-58, 5, -236), (58, 66, -140))


def _paint_colon(canvas: Canvas, patient: Patient) -> None:
    """Caecum and ascending, transverse and descending colon."""
    rng = patient.rng
    hepatic_flexure, splenic_flexure = near(rng, (92, 24, -46), (4, 4, 8)), near(rng, (-92, 40, 2), (4, 4, 8))
    for path, width in (
        ([vec(72, 42, -186), vec(84, 26, -150), vec(96, 8, -95), hepatic_flexure], 20.0),
        ([hepatic_flexure, vec(60, 80, -44), vec(0, 92, -50), vec(-60, 84, -30), splenic_flexure], 17.0),
        ([splenic_flexure, vec(-102, 4, -34), vec(-98, 2, -95), vec(-84, 24, -150), vec(-76, 36, -186)], 14.0),
    ):
        middle = [near(rng, point, (4, 4, 4)) for point in path[1:-1]]
        solid = tube([path[0], *middle, path[-1]], width * rng.uniform(0.8, 1.15, len(path)))
        level = float(middle[0][1] + rng.uniform(-2, 14))
        tissue = patient.palette.hollow("bowel", 2.5, content(rng, COLON), gas_above=level)
        canvas.paint(solid, tissue, label=Organ.COLON, gap=1.2, contact=1.2, halo=0.8, lobed=1.6)


def _paint_sigmoid(canvas: Canvas, patient: Patient) -> None:
    """From the descending colon over the left psoas into a loop above the bladder, and back to the rectum."""
    rng, end = patient.rng, patient.landmarks.sigmoid_end
    loop = [near(rng, point, (8, 6, 8)) for point in ((-50, 42, -204), (-8, 36, -206), (18, 8, -196), (6, -18, -192))]
    path = [vec(-76, 36, -186), *loop, end]
    radii = np.array([13, 12, 13, 13, 12, 13]) * rng.uniform(0.8, 1.25, 6)
    tissue = patient.palette.hollow("bowel", 3.5, content(rng, COLON))
    canvas.paint(tube(path, radii), tissue, label=Organ.COLON, gap=1.0, contact=1.2, halo=0.8, lobed=1.4)


def _paint_loops(canvas: Canvas, patient: Patient, count: int, low: tuple[float, ...], high: tuple[float, ...]) -> None:
    rng = patient.rng
    for _ in range(count):
        path = rng.uniform(low, high) + rng.normal(0, (22, 12, 16), (4, 3)).cumsum(axis=0)
        tissue = patient.palette.hollow("bowel", 2.6, content(rng, SMALL_BOWEL))
        loop = tube(path, [rng.uniform(8.5, 13.5)] * 4, pieces=3)
        canvas.paint(loop, tissue, label=Organ.SMALL_BOWEL, gap=1.5, contact=1.2, lobed=1.0)
