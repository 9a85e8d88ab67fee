"""Every bit of every flag, in one registry; the tables in the documentation are made from it.

``quality`` holds the mission's own bits, unchanged. ``flag`` holds ours. They never share a column.

References
----------
TESS: Science Data Products Description Document, EXP-TESS-ARC-ICD-0014 Rev F, table 32.
Kepler and K2: Kepler Archive Manual, KDMC-10008-006, table 2-3.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ASSUMED_READOUT",
    "ASTEROID",
    "COSMIC_RAY",
    "DAYLIGHT",
    "EDGE",
    "FAINT_THIRD",
    "FLAGS",
    "KEPLER_QUALITY",
    "NAN_PIXEL",
    "NO_BACKGROUND",
    "NO_CALIBRATION",
    "NO_EXPOSURE",
    "NO_FRAME",
    "NO_HALO",
    "NO_MASK",
    "NO_POSITION",
    "NO_PSF",
    "NO_TIME",
    "PARTIAL",
    "PART_MISSING",
    "QUALITY",
    "SATURATED",
    "STRADDLES_OUTPUTS",
    "TESS_QUALITY",
    "Bit",
    "default_mask",
    "describe",
]


@dataclass(frozen=True, slots=True)
class Bit:
    """One bit of a flag column.

    Parameters
    ----------
    value : int
        The bit's value, a power of two.
    name : str
        A short name for tables and code.
    meaning : str
        One line in words.
    bad : bool
        Whether a point with this bit is left out by the default mask.
    """

    value: int
    name: str
    meaning: str
    bad: bool


NO_POSITION = 1
EDGE = 2
NAN_PIXEL = 4
SATURATED = 8
STRADDLES_OUTPUTS = 16
NO_BACKGROUND = 32
FAINT_THIRD = 64
ASTEROID = 128
NO_FRAME = 256
NO_TIME = 512
ASSUMED_READOUT = 1024
NO_PSF = 2048
COSMIC_RAY = 4096
NO_MASK = 8192
NO_HALO = 16384
NO_CALIBRATION = 32768
NO_EXPOSURE = 65536
PARTIAL = 131072
DAYLIGHT = 262144
PART_MISSING = 524288

FLAGS: tuple[Bit, ...] = (
    Bit(
        NO_POSITION,
        "no_position",
        "no usable position: the frame has no WCS and none could be lent to it, or the star left the WCS's domain",
        True,
    ),
    Bit(EDGE, "edge", "the aperture that flux holds is clipped by the edge of the pixels", True),
    Bit(
        NAN_PIXEL,
        "nan_pixel",
        "a pixel in the largest aperture, or in the PSF's stamp, is not a number; apertures without it are still valid",
        False,
    ),
    Bit(SATURATED, "saturated", "a pixel in the largest aperture is at or above the saturation limit", False),
    Bit(
        STRADDLES_OUTPUTS,
        "straddles_outputs",
        "the largest aperture lies across two readout outputs, whose gain and read noise differ",
        False,
    ),
    Bit(
        NO_BACKGROUND, "no_background", "too few clean pixels to measure the background; the flux is not a number", True
    ),
    Bit(
        FAINT_THIRD,
        "faint_third",
        "small series: the background is the clipped median of the faintest third of the pixels",
        False,
    ),
    Bit(
        ASTEROID,
        "asteroid",
        "a moving object, found or known, crosses the largest aperture, and has more light than half the point's error (docs/moving.md)",
        True,
    ),
    Bit(
        NO_FRAME,
        "no_frame",
        "flux blocks only: the frame of this cadence is missing or was quarantined; light curves leave the cadence out",
        True,
    ),
    Bit(NO_TIME, "no_time", "the frame carries no finite time", True),
    Bit(
        ASSUMED_READOUT,
        "assumed_readout",
        "cards on gain, read noise or exposure are missing; the instrument's usual values stand in, so flux_err is approximate",
        False,
    ),
    Bit(
        NO_PSF,
        "no_psf",
        "there is no PSF flux: no PRF could be learned, a brighter star is nearer than 0.3 px, too many of the star's pixels are missing or saturated, or the frame "
        "lies more than half a pixel off the reference image",
        False,
    ),
    Bit(
        COSMIC_RAY,
        "cosmic_ray",
        "up to four pixels were too bright for the star's PRF, and what they added was taken out of the PSF flux",
        False,
    ),
    Bit(
        NO_MASK,
        "no_mask",
        "the star has no pixel mask of its own: it does not stand out of the sky, a brighter star's mask holds its pixel, or it is "
        "fainter than [extract] k2p2_limit",
        False,
    ),
    Bit(
        NO_HALO,
        "no_halo",
        "there is no halo flux: the star is not saturated, a brighter one is near, too few pixels or frames are good, or the series is "
        "large",
        False,
    ),
    Bit(
        NO_CALIBRATION,
        "no_calibration",
        "photons: what a count is worth is not known, so there is no flux: no extracted spectrum of the exposure, or a raw list",
        False,
    ),
    Bit(NO_EXPOSURE, "no_exposure", "photons: the bin holds no good time", True),
    Bit(PARTIAL, "partial", "photons: good time is less than 99 % of the bin; rates are right, errors larger", False),
    Bit(
        DAYLIGHT,
        "daylight",
        "photons: the Sun was up at the observatory for some of the bin, and with it the airglow",
        False,
    ),
    Bit(
        PART_MISSING,
        "part_missing",
        "photons: a segment of the detector that the exposure should have is missing or set aside",
        False,
    ),
)

TESS_QUALITY: tuple[Bit, ...] = (
    Bit(1, "attitude_tweak", "attitude tweak", True),
    Bit(2, "safe_mode", "spacecraft in safe mode", True),
    Bit(4, "coarse_point", "spacecraft in coarse point", True),
    Bit(8, "earth_point", "spacecraft in Earth point", True),
    Bit(16, "argabrightening", "argabrightening event", True),
    Bit(32, "desaturation", "reaction wheel desaturation event", True),
    Bit(64, "cosmic_ray_aperture", "cosmic ray in an optimal aperture pixel", False),
    Bit(128, "manual_exclude", "manual exclude due to an anomaly", True),
    Bit(256, "discontinuity", "discontinuity corrected between this cadence and the next", False),
    Bit(512, "impulsive_outlier", "impulsive outlier removed before cotrending", True),
    Bit(1024, "cosmic_ray_collateral", "cosmic ray on a collateral pixel row or column", False),
    Bit(2048, "stray_light", "stray light from Earth or Moon in the camera's field of view (predicted)", False),
    Bit(4096, "scattered_light", "scattered light exclude", True),
    Bit(8192, "planet_search_exclude", "planet search exclude", False),
    Bit(16384, "bad_calibration", "bad calibration exclude", True),
    Bit(32768, "insufficient_targets", "insufficient targets for error correction", False),
)

KEPLER_QUALITY: tuple[Bit, ...] = (
    Bit(1, "attitude_tweak", "attitude tweak", True),
    Bit(2, "safe_mode", "spacecraft in safe mode", True),
    Bit(4, "coarse_point", "spacecraft in coarse point", True),
    Bit(8, "earth_point", "spacecraft in Earth point", True),
    Bit(16, "zero_crossing", "reaction wheel zero crossing", False),
    Bit(32, "desaturation", "reaction wheel desaturation event", True),
    Bit(64, "argabrightening", "argabrightening across the detector", True),
    Bit(128, "cosmic_ray_aperture", "cosmic ray in an optimal aperture pixel", False),
    Bit(256, "manual_exclude", "manual exclude", True),
    Bit(1024, "sensitivity_dropout", "sudden pixel sensitivity dropout", False),
    Bit(2048, "impulsive_outlier", "impulsive outlier removed before cotrending", False),
    Bit(4096, "argabrightening_output", "argabrightening on the CCD module and output", True),
    Bit(8192, "cosmic_ray_collateral", "cosmic ray on a collateral pixel row or column", False),
    Bit(16384, "detector_anomaly", "detector anomaly", True),
    Bit(32768, "no_fine_point", "spacecraft not in fine point", True),
    Bit(65536, "no_data", "no data collected", True),
    Bit(131072, "rolling_band_aperture", "rolling band in the optimal aperture", False),
    Bit(262144, "rolling_band_mask", "rolling band in the full mask", False),
    Bit(524288, "thruster_firing_possible", "possible thruster firing", False),
    Bit(1048576, "thruster_firing", "thruster firing", True),
)

QUALITY: dict[str, tuple[Bit, ...]] = {"tess": TESS_QUALITY, "kepler": KEPLER_QUALITY}
"""The mission's bits by instrument name."""


def default_mask(bits: tuple[Bit, ...]) -> int:
    """Return the OR of all bits that the default mask leaves out."""
    mask = 0
    for bit in bits:
        if bit.bad:
            mask |= bit.value
    return mask


def describe(value: int, bits: tuple[Bit, ...]) -> list[str]:
    """Say a flag's value in words.

    Parameters
    ----------
    value : int
        The flag, zero for a clean point.
    bits : tuple of Bit
        The registry to read it with, for example `FLAGS` or ``QUALITY["tess"]``.

    Returns
    -------
    list of str
        ``"name (value): meaning"`` for each bit set, lowest first; a bit without a name is named as such.
    """
    words = [f"{bit.name} ({bit.value}): {bit.meaning}" for bit in bits if value & bit.value]
    known = 0
    for bit in bits:
        known |= bit.value
    rest = value & ~known
    words += [f"bit {1 << k} ({1 << k}): not in the registry" for k in range(rest.bit_length()) if rest >> k & 1]
    return words
