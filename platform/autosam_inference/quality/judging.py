"""From what was seen of a scan to what is said of each organ."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from autosam_inference.card import LabelClass
from autosam_inference.quality.anatomy import Anatomy, Organ
from autosam_inference.quality.calibration import Calibration, OrganReference, Signals
from autosam_inference.quality.measures import ScanMeasures
from autosam_inference.quality.place import Constellation, constellation
from autosam_inference.quality.signals import signals
from autosam_inference.quality.verdict import Flag, OrganQuality, worse

MIRRORED = 0.3
"""Signal of that name from which on a scan is taken for its own mirror image."""
_CUT = 0.25  # of an organ's largest cross-section, beyond what is usual: then its volume is not whole
_SPEAKS = -0.25  # effect on the logit from which on a signal is a reason
_MOST_REASONS = 3
EXCHANGED = "left and right look exchanged"
CUT = "cut by the edge of the scan"


def judge(
    calibration: Calibration, found: ScanMeasures, classes: Sequence[LabelClass], organs: Collection[str] | None = None
) -> tuple[OrganQuality, ...]:
    """What is to be said of each organ.

    Args:
        found: what was seen of the scan.
        organs: that were asked for; all of ``classes`` where not given.
    """
    place = constellation(found.anatomy.organs, calibration.organs)
    told = signals(found, place, calibration.organs, calibration.thickest_mm)
    return tuple(
        _found(calibration, found, each, told[each.name])
        if each.name in told
        else _not_found(each.name, found.anatomy, place, calibration.organs.get(each.name))
        for each in classes
        if organs is None or each.name in organs
    )


def _found(calibration: Calibration, found: ScanMeasures, each: LabelClass, told: Signals) -> OrganQuality:
    expected = calibration.expected(each.name, told)
    interval = calibration.interval(expected)
    flag, first = _flag(expected, interval, calibration.least_dice), []
    if told.get("mirrored", 0) > MIRRORED:
        flag, first = worse(flag, "do not use" if each.mirror else "check"), [EXCHANGED]
    if told.get("cut", 0) > _CUT:
        flag, first = worse(flag, "check"), [*first, CUT]
    if flag == "ok":
        return OrganQuality(each.name, expected, interval, flag)
    organ, reference = found.anatomy.organs[each.name], calibration.organs.get(each.name)
    reasons = [*first, *_reasons(calibration.effects(told), found, organ, reference)]
    said = tuple(dict.fromkeys(reasons))[:_MOST_REASONS] or ("seldom better with this model",)
    return OrganQuality(each.name, expected, interval, flag, said)


def _flag(expected: float, interval: tuple[float, float], least: float) -> Flag:
    if expected < least:
        return "do not use"
    return "check" if interval[0] < least else "ok"


def _not_found(name: str, anatomy: Anatomy, place: Constellation, reference: OrganReference | None) -> OrganQuality:
    """An organ that is missing is something to look at, unless the scan does not show its place."""
    where = "its place may be in the scan"
    flag: Flag = "check"
    if reference is not None and not any(math.isnan(each) for each in place.shift_DHW):
        expected = [each.middle + shift for each, shift in zip(reference.place_DHW, place.shift_DHW, strict=True)]
        sides = zip(anatomy.low_DHW, expected, anatomy.high_DHW, strict=True)
        inside = all(low <= at <= high for low, at, high in sides)
        where, flag = ("its place is in the scan", "check") if inside else ("its place is not in the scan", "ok")
    return OrganQuality(name, None, None, flag, (f"not found, {where}",))


def _reasons(
    effects: Mapping[str, float], found: ScanMeasures, organ: Organ, reference: OrganReference | None
) -> Iterator[str]:
    """The signals that speak against the organ, the weightiest first."""
    for signal in sorted(effects, key=lambda each: effects[each]):
        if effects[signal] > _SPEAKS:
            return
        yield _words(signal, found, organ, reference)


def _words(signal: str, found: ScanMeasures, organ: Organ, reference: OrganReference | None) -> str:
    if signal == "islands":
        return f"in {organ.pieces} pieces" if organ.pieces > 1 else "with crumbs beside it"
    if signal == "volume" and reference is not None:
        return f"unusually {'large' if math.log(organ.ml) > reference.log_ml.middle else 'small'}"
    if signal == "brightness" and reference is not None:
        return f"unusually {'bright' if organ.hu > reference.hu.middle else 'dark'}"
    if signal == "thickness":
        return f"slices of {found.thickest_mm:.0f} mm, thicker than in training"
    return _WORDS[signal]


_WORDS = {
    "agreement": "windows disagree",
    "certainty": "the network is unsure",
    "margin": "the network is unsure of its border",
    "company": "the network is unsure of the other organs",
    "place": "not where it usually lies",
    "cut": CUT,
    "histogram": "the scan's values are unlike those in training",
    "mirrored": EXCHANGED,
}
