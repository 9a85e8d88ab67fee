"""What an instrument is: one record that says how to find, name, read and time its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.model.flags import Bit
from cuvee.model.records import FileInfo, Pixels

__all__ = ["Instrument"]


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument; made by a plug-in of the entry point group ``cuvee.instruments``.

    Parameters
    ----------
    name : str
        The word used in the configuration, in file names and in the ledger.
    title : str
        What people call it.
    zero_point : float
        Magnitude of one electron a second.
    fwhm : float
        Typical full width at half maximum of a star (px); for crowding where no PRF is known.
    patterns : tuple of str
        File-name patterns of its data, for `fnmatch`.
    quality : tuple of Bit
        The mission's quality bits.
    scan : callable
        ``scan(path) -> FileInfo`` reads headers only. Raises `cuvee.errors.BadData` with a reason.
    read : callable
        ``read(info, buffer=None) -> Pixels``; ``buffer`` is a uint8 array to be reused for the file's bytes
        where it is large enough. Raises `cuvee.errors.BadData` with a reason.
    naif_id : int
        The spacecraft's number in SPICE kernels; 0 where it is in none.
    pointing_error : float
        How far the stars of a stamp may lie, all alike, from where its WCS has them (px, standard deviation).
    """

    name: str
    title: str
    zero_point: float
    fwhm: float
    patterns: tuple[str, ...]
    quality: tuple[Bit, ...]
    scan: Callable[[str], FileInfo]
    read: Callable[[FileInfo, NDArray[np.uint8] | None], Pixels]
    naif_id: int = 0
    pointing_error: float = 0.1
