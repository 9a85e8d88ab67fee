"""What figures call an observation."""

from __future__ import annotations

from pathlib import PurePath

__all__ = ["band_of", "detector_words", "observation_words", "segment_words", "short_words"]

_BANDS = {"tess": "TESS magnitude", "kepler": "Kepler magnitude"}
_KINDS = {
    "ffi": "full-frame images",
    "tesscut": "TESScut cutouts",
    "hdf5": "HDF5 stamps",
    "tpf-long": "target pixel files, long cadence",
    "tpf-short": "target pixel files, short cadence",
}


def band_of(instrument: str) -> str:
    """Say what an instrument's magnitude is."""
    return _BANDS.get(instrument, "magnitude")


def segment_words(instrument: str, segment: str) -> str:
    """Say which segment it is: ``sector 8`` for ``s0008`` of TESS; a name of another form stays as it is."""
    letter, number = segment[:1], segment[1:]
    word = {
        ("tess", "s"): "sector",
        ("kepler", "c"): "K2 campaign",
        ("kepler", "q"): "Kepler quarter",
    }.get((instrument, letter))
    return f"{word} {int(number)}" if word and number.isdigit() else segment


def detector_words(instrument: str, detector: str) -> str:
    """Say which detector it is: ``camera 3, CCD 4`` for ``3-4`` of TESS; a name of another form stays as it is."""
    first, _, second = detector.partition("-")
    words = {"tess": ("camera", "CCD"), "kepler": ("module", "output")}.get(instrument)
    return f"{words[0]} {first}, {words[1]} {second}" if words and second else detector


def short_words(instrument: str, segment: str, detector: str) -> str:
    """Say which segment and detector it is, for the title of a figure."""
    return f"{segment_words(instrument, segment)}, {detector_words(instrument, detector)}"


def observation_words(instrument: str, table: PurePath) -> str:
    """Say in words what a detector's table of numbers is of.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    table : PurePath
        The table, whose name is segment, detector (two numbers) and kind of file.

    Returns
    -------
    str
        For example ``TESS sector 8, camera 3, CCD 4, full-frame images``.
    """
    segment, first, second, kind = [*table.stem.split("-", 3), "", "", ""][:4]
    mission = "TESS " if instrument == "tess" else ""
    detector = detector_words(instrument, f"{first}-{second}")
    if kind.startswith("tpf-") and kind.endswith("s"):
        kind = f"target pixel files, {kind.removeprefix('tpf-').removesuffix('s')} s"
    return f"{mission}{segment_words(instrument, segment)}, {detector}, {_KINDS.get(kind, kind)}"
