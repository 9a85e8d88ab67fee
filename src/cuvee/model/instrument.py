"""What an instrument is: one record that says how to find, name, read and time its data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.model.flags import Bit
from cuvee.model.photons import Exposure, Spectrum, Trace
from cuvee.model.records import FileInfo, Pixels

__all__ = ["Instrument", "PhotonReader"]


@dataclass(frozen=True, slots=True)
class PhotonReader:
    """How the photon lists of an instrument are read.

    Parameters
    ----------
    exposure : callable
        ``exposure(path) -> (Exposure, start)``: headers and small tables of a photon list, and where its rows begin.
    chunks : callable
        ``chunks(exposure, start) -> iterator of uint8 arrays``: its rows, some megabytes at a time.
    spectra : callable
        ``spectra(path) -> (rootname, dict of str to Spectrum)``: the mission's extracted spectra of an exposure.
    traces : callable
        ``traces(exposure, spectra) -> list of Trace``: the regions of a photon list; ``spectra`` is empty where there are none.
    parts : callable
        ``parts(exposure) -> int``: files that an exposure with this detector has.
    bits : int
        Quality bits of events that are always left out.
    n_row : int
        Rows of the detector.
    """

    exposure: Callable[[str], tuple[Exposure, int]]
    chunks: Callable[[Exposure, int], Iterator[NDArray[np.uint8]]]
    spectra: Callable[[str], tuple[str, Mapping[str, Spectrum]]]
    traces: Callable[[Exposure, Mapping[str, Spectrum]], list[Trace]]
    parts: Callable[[Exposure], int]
    bits: int
    n_row: int


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
    photons : PhotonReader, optional
        Of an instrument that counts photons: ``read`` is never called then.
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
    photons: PhotonReader | None = None
