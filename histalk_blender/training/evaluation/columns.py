"""The columns of an evaluation: what each metric is, and how it is printed."""

from __future__ import annotations

DEFINITIONS = {
    "vertex_error": "mean distance over all vertices and frames",
    "root_lve": "root of lve",
    "lve": "mean over frames of the largest squared error over the lip vertices",
    "fdd": "mean over clips and upper-face vertices of the standard deviation over time of the squared displacement "
    "norm, reference minus prediction",
    "abs_fdd": "mean over clips of the absolute value of a clip's fdd",
    "lrp": "share of frames in which no lip vertex is off by more than a tenth of the neutral lips' width (ours)",
    "opening_correlation": "of the mean distance over the inner-lip pairs 61-67, 62-66, 63-65, over all frames",
    "closure_recall": "share of /p b m/ within 40 ms of which the inner lips are less than 1 mm further apart than "
    "at rest",
    "closure_precision": "share of such stretches outside silence that touch a /p b m f v/ within 60 ms",
    "labiodental_recall": "share of /f v/ within 40 ms of which the lower lip is less than 2 mm below its rest",
    "labiodental_precision": "share of such stretches outside silence that touch a /p b m f v/ within 60 ms",
    "silence_mm": "mean distance of the eight inner-lip landmarks from their rest over the silence_frames: those in a "
    "SIL or outside all phones that are 0.2 s or more from any phone and 25 dB below the clip's loud frames (ours)",
    "mtm_ms": "mean distance in time of an extremum of the reference's lip opening to its counterpart, found by "
    "derivative dynamic time warping within 0.4 s; an extremum turns back by a tenth of the range",
    "jitter": "mean third difference in time of lip and upper-face vertices, relative to the reference's",
    "phones": "the network's lip opening minus the reference's over the frames inside a phone, in mm: the mean of its "
    "absolute value, and the mean with its sign, positive where the mouth is too open",
}


def columns(metres: bool) -> list[tuple[str, str, float, int]]:
    """Key, heading, factor and decimals; the powers of ten are those that papers print."""
    unit, name = ("mm", "mm") if metres else ("thousandths", "1e-3")
    powers, squared = ((5, 7), "m²") if metres else ((4, 5), "unit²")
    return [
        (f"vertex_error_{unit}", f"vertex error {name}", 1, 3),
        (f"root_lve_{unit}", f"root LVE {name}", 1, 2),
        ("opening_correlation", "opening correlation", 1, 2),
        ("closure_recall", "closure recall", 1, 2),
        ("closure_precision", "closure precision", 1, 2),
        ("labiodental_recall", "f v recall", 1, 2),
        ("labiodental_precision", "f v precision", 1, 2),
        ("silence_mm", "silence mm", 1, 3),
        ("mtm_ms", "MTM ms", 1, 0),
        ("jitter", "jitter", 1, 2),
        ("lrp", "LRP", 1, 2),
        ("lve", f"LVE 1e-{powers[0]} {squared}", 10 ** powers[0], 3),
        ("fdd", f"FDD 1e-{powers[1]} {squared}", 10 ** powers[1], 3),
        ("abs_fdd", "abs FDD", 10 ** powers[1], 3),
    ]
