"""Duodenum, colon and small bowel: no class of BTCV, but in HU they look like stomach and pancreas."""

from autosam_platform.data.phantom.canvas import Canvas
from autosam_platform.data.phantom.patient import Patient, near, vec
from autosam_platform.data.phantom.shapes import tube
from autosam_platform.data.phantom.tissue import content

SMALL_BOWEL = {"fluid": 0.35, "collapsed": 0.4, "oral_contrast": 0.15, "gas": 0.1}
COLON = {"stool": 0.55, "gas": 0.15, "fluid": 0.15, "oral_contrast": 0.15}


def paint_bowel(canvas: Canvas, patient: Patient) -> None:
    """Everything after the stomach."""
    _paint_duodenum(canvas, patient)
    _paint_colon(canvas, patient)
    _paint_loops(canvas, patient)


def _paint_duodenum(canvas: Canvas, patient: Patient) -> None:
    """Around the head of the pancreas, then to the left between the mesenteric vessels and the aorta."""
    rng, pylorus = patient.rng, patient.landmarks.pylorus
    knee = pylorus + vec(22, -22, -16)
    path = [pylorus, knee, knee + vec(-4, -8, -34), vec(4, 30, -52), vec(-26, 34, -30)]
    solid = tube([*path, near(rng, (-38, 48, -22), (5, 5, 5))], [8, 11, 10.5, 9, 9, 10])
    tissue = patient.palette.hollow("bowel", 3.0, content(rng, SMALL_BOWEL))
    canvas.paint(solid, tissue, gap=0.8, contact=1.2, halo=0.8, lobed=0.8)


def _paint_colon(canvas: Canvas, patient: Patient) -> None:
    rng = patient.rng
    hepatic_flexure, splenic_flexure = near(rng, (92, 24, -46), (4, 4, 8)), near(rng, (-92, 40, 2), (4, 4, 8))
    for path, width in (
        ([vec(90, 0, -185), vec(96, 8, -90), hepatic_flexure], 20.0),
        ([hepatic_flexure, vec(60, 80, -44), vec(0, 92, -50), vec(-60, 84, -30), splenic_flexure], 17.0),
        ([splenic_flexure, vec(-102, 4, -34), vec(-100, 0, -90), vec(-88, 8, -185)], 14.0),
    ):
        middle = [near(rng, point, (4, 4, 4)) for point in path[1:-1]]
        solid = tube([path[0], *middle, path[-1]], width * rng.uniform(0.8, 1.15, len(path)))
        level = float(middle[0][1] + rng.uniform(-2, 14))
        tissue = patient.palette.hollow("bowel", 2.5, content(rng, COLON), gas_above=level)
        canvas.paint(solid, tissue, gap=1.2, contact=1.2, halo=0.8, lobed=1.6)


def _paint_loops(canvas: Canvas, patient: Patient) -> None:
    rng = patient.rng
    for _ in range(int(rng.integers(20, 30))):
        path = rng.uniform((-85, 25, -145), (75, 88, -8)) + rng.normal(0, (22, 12, 16), (4, 3)).cumsum(axis=0)
        tissue = patient.palette.hollow("bowel", 2.6, content(rng, SMALL_BOWEL))
        canvas.paint(tube(path, [rng.uniform(8.5, 13.5)] * 4), tissue, gap=1.5, contact=1.2, lobed=1.0)
