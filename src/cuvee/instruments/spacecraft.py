"""Where a spacecraft was, from the kernels that its mission publishes (SPICE, through the extra spiceypy).

References
----------
Acton et al. 2018, Planet. Space Sci. 150, 9; SPK Required Reading (NAIF), sections on reading kernels and coverage.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import ConfigError
from cuvee.model.records import BJD_OFFSET
from cuvee.model.time import DAY, earth_position

__all__ = ["check_kernels", "spacecraft_position"]

FloatArray = NDArray[np.float64]

LIGHT_SPEED = 299792.458
"""km/s."""

J2000 = 2451545.0
BARYCENTRE, EARTH = "0", "399"
"""Numbers of the Solar System's barycentre and of the Earth in SPICE."""

_ONE_AT_A_TIME = threading.Lock()
"""SPICE keeps its kernels in one pool and is not made for threads."""


def _spice() -> Any:
    try:
        import spiceypy
    except ImportError as error:
        raise ConfigError("[time] kernel needs spiceypy: pip install 'cuvee[spice]', or leave kernel out.") from error
    return spiceypy


@contextmanager
def _loaded(kernels: Sequence[Path]) -> Iterator[Any]:
    """Have kernels loaded for a while, and none of them afterwards."""
    spice = _spice()
    with _ONE_AT_A_TIME:
        done = []
        try:
            for kernel in kernels:
                if not kernel.is_file():
                    raise ConfigError(f"[time] kernel: there is no file {kernel}; correct its name or leave it out.")
                try:
                    spice.furnsh(str(kernel))
                except Exception as error:  # spiceypy has a class of its own for each of SPICE's messages
                    raise ConfigError(
                        f"[time] kernel: {kernel} is no kernel that SPICE can read ({_words(error)})."
                    ) from error
                done.append(kernel)
            yield spice
        finally:
            for kernel in done:
                spice.unload(str(kernel))


def _words(error: Exception) -> str:
    return str(getattr(error, "short", "") or type(error).__name__)


def check_kernels(kernels: Sequence[Path], body: int, name: str) -> None:
    """Find out before any work whether kernels can be used at all.

    Parameters
    ----------
    kernels : sequence of Path
        The files; none is fine.
    body : int
        The spacecraft's number in SPICE, 0 for none.
    name : str
        The instrument, for the message.

    Raises
    ------
    ConfigError
        If a file is missing or no kernel, spiceypy is not installed, or the instrument is in no spacecraft.
    """
    if not kernels:
        return
    if not body:
        raise ConfigError(f"[time] kernel: {name} is in no spacecraft that SPICE knows; leave kernel out.")
    with _loaded(kernels):
        pass


def spacecraft_position(kernels: Sequence[Path], body: int, time: FloatArray) -> FloatArray:
    """Return the barycentric position of a spacecraft.

    Parameters
    ----------
    kernels : sequence of Path
        SPK files, or a meta-kernel; from the spacecraft to the Solar System's barycentre, or to the Earth, whose own
        position is then the built-in one (`cuvee.model.time.earth_position`, 40 microseconds).
    body : int
        The spacecraft's number in SPICE: -95 for TESS.
    time : float64 array, shape (n,)
        BTJD at the spacecraft (d, TDB).

    Returns
    -------
    float64 array, shape (n, 3)
        Light-seconds along the ICRS axes; NaN where ``time`` is.

    Raises
    ------
    ConfigError
        If the kernels cannot be used, or do not cover these times.
    """
    position = np.full((time.size, 3), np.nan)
    known = np.isfinite(time)
    if not known.any():
        return position
    seconds = (time[known] + (BJD_OFFSET - J2000)) * DAY
    with _loaded(kernels) as spice:
        error: Exception | None = None
        for centre in (BARYCENTRE, EARTH):
            try:
                found = spice.spkpos(str(body), seconds, "J2000", "NONE", centre)[0]
            except Exception as caught:  # as above
                error = caught
                continue
            position[known] = np.asarray(found) / LIGHT_SPEED
            if centre == EARTH:
                position[known] += earth_position(time[known])
            return position
    first, last = float(time[known].min()), float(time[known].max())
    names = ", ".join(str(kernel) for kernel in kernels)
    assert error is not None
    raise ConfigError(
        f"[time] kernel: {names} does not say where spacecraft {body} was from BTJD {first:.3f} to {last:.3f} ({_words(error)}); "
        "name kernels that cover these times, or leave kernel out (star times are then within 0.25 s)."
    ) from error
