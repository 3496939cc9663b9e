"""The order in which a body is painted."""

import numpy as np

from autosam_platform.data.phantom.bowel import paint_bowel, paint_duodenum
from autosam_platform.data.phantom.canvas import Canvas
from autosam_platform.data.phantom.chest import paint_breasts, paint_great_vessels, paint_heart, paint_lungs
from autosam_platform.data.phantom.frame import Frame
from autosam_platform.data.phantom.hips import paint_pelvis
from autosam_platform.data.phantom.muscles import paint_back, paint_hip_muscles
from autosam_platform.data.phantom.organs import (
    paint_adrenals,
    paint_esophagus,
    paint_gallbladder,
    paint_kidneys,
    paint_liver,
    paint_pancreas,
    paint_spleen,
    paint_stomach,
)
from autosam_platform.data.phantom.patient import Patient
from autosam_platform.data.phantom.pelvis import paint_pelvic_organs
from autosam_platform.data.phantom.shapes import cut
from autosam_platform.data.phantom.skeleton import paint_ribs, paint_spine
from autosam_platform.data.phantom.trunk import Trunk, surfaces
from autosam_platform.data.phantom.vessels import paint_vessels
from autosam_platform.data.phantom.wall import paint_arms, paint_wall


def paint_body(frame: Frame, patient: Patient, trunk: Trunk) -> Canvas:
    """Front to back: first what keeps its place in every patient, then what gives way to it.

    All of the patient is drawn whatever the frame shows, so that every part of a seed's body is of the same body.
    """
    bounds = surfaces(trunk)
    canvas = Canvas(frame, cut(bounds.cavity, bounds.abdomen).distance(frame.points) + np.float32(1.5))
    paint_spine(canvas, patient)
    paint_pelvis(canvas, patient, trunk)
    paint_vessels(canvas, patient)
    paint_back(canvas, patient)
    paint_esophagus(canvas, patient)
    paint_heart(canvas, patient, trunk, bounds)
    paint_great_vessels(canvas, patient)
    paint_hip_muscles(canvas, patient, trunk, bounds)
    paint_adrenals(canvas, patient)
    paint_kidneys(canvas, patient)
    paint_pancreas(canvas, patient)
    paint_gallbladder(canvas, patient)
    paint_spleen(canvas, patient)
    paint_stomach(canvas, patient)
    paint_liver(canvas, patient)
    paint_pelvic_organs(canvas, patient)
    paint_duodenum(canvas, patient)
    paint_bowel(canvas, patient)
    paint_lungs(canvas, patient, bounds)
    paint_ribs(canvas, patient, trunk, bounds)
    paint_breasts(canvas, patient, trunk)
    paint_arms(canvas, patient, trunk)
    paint_wall(canvas, patient, trunk, bounds)
    return canvas
