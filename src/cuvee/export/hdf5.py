"""Vineyard's HDF5 stamps: raw pixels of TESS full-frame images around one star, as `cuvee.instruments.hdf5_stamps` reads them.

One file a star and observation, ``tess_{tic}_{sector}_{camera}_{chip}.h5``, with the datasets of the group ``header`` (``TID``, ``sector``, ``camera``, ``chip``,
``ra``, ``dec``, ``Tmag``, ``x``, ``y``, ``cx``, ``cy``) and of ``TPF``. The pixels are those of the frames, background included. TIME is the barycentric start of the
exposure in the direction of the CCD's reference pixel, the clock put right as in cuvee's own light curves. ``ra`` and ``dec`` are those of the
epoch of the frames, as ``x`` and ``y`` are. X_POS and Y_POS are where pixel (1045, 1001) of the
CCD looks in each frame. Of MY_QUALITY bit 1 says that this is not known, bit 2 that an asteroid passed.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import ConfigError
from cuvee.export.pixels import TargetPixels
from cuvee.instruments.tess_ffi import FIRST_COL
from cuvee.model.flags import ASTEROID

__all__ = ["hdf5_bytes", "hdf5_name"]

_NO_POSITION, _ASTEROID = 1, 2


def hdf5_name(target: TargetPixels, repeated: bool = False) -> str:
    """Name the file of one star in one observation.

    Parameters
    ----------
    target : TargetPixels
        The pixels.
    repeated : bool
        Whether the star has another row in this segment, so that the series must be in the name as well.
    """
    row = target.observation.row
    sector, (camera, chip) = int(str(row["segment"])[1:]), str(row["detector"]).split("-")
    return f"tess_{int(row['id'])}_{sector}_{camera}_{chip}{'_' + str(row['series']) if repeated else ''}.h5"


def hdf5_bytes(instrument: str, target: TargetPixels) -> bytes:
    """Write the pixels around one star as an HDF5 stamp; rows and columns off the detector are cut away.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    target : TargetPixels
        The pixels; at least one frame.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ConfigError
        If the pixels are not of TESS full-frame images, or h5py is not installed.
    """
    row = target.observation.row
    if instrument != "tess" or target.kind != "ffi":
        raise ConfigError(
            f"Star {row['id']} in {row['segment']} was measured in a stamp, but HDF5 stamps are cut out of TESS full-frame images; "
            "export it with --format tpf."
        )
    try:
        import h5py
    except ImportError as error:
        raise ConfigError("--format hdf5 needs h5py: pip install 'cuvee[hdf5]'.") from error
    there: NDArray[np.bool_] = np.asarray(np.isfinite(target.flux).any(axis=0))
    rows, cols = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    low, left = int(rows[0]), int(cols[0])
    flux = target.flux[:, low : rows[-1] + 1, left : cols[-1] + 1]
    pointing = target.axis.pointing[target.frame]
    unknown = ~np.isfinite(pointing).all(axis=1)
    passed = (target.column("flag") & ASTEROID) != 0
    camera, chip = (int(part) for part in str(row["detector"]).split("-"))
    x, y = float(row["col"]) + FIRST_COL, float(row["row"])
    wcs = target.wcs
    header: dict[str, Any] = {
        "TID": int(row["id"]),
        "sector": int(str(row["segment"])[1:]),
        "camera": camera,
        "chip": chip,
        "ra": float(row["ra"]) if wcs is None else wcs.ra,
        "dec": float(row["dec"]) if wcs is None else wcs.dec,
        "Tmag": float(row["mag"]),
        "x": x,
        "y": y,
        "cx": x - (target.col0 + left + FIRST_COL),
        "cy": y - (target.row0 + low),
    }
    series = {
        "TIME": target.axis.start[target.frame],
        "ROW_CNTS": np.ascontiguousarray(flux, np.float32),
        "QUALITY": target.column("quality").astype(np.int32),
        "MY_QUALITY": (_NO_POSITION * unknown + _ASTEROID * passed).astype(np.int32),
        "X_POS": pointing[:, 0],
        "Y_POS": pointing[:, 1],
    }
    file = io.BytesIO()
    with h5py.File(file, "w") as out:
        for name, value in header.items():
            out.create_dataset(f"header/{name}", data=value, track_times=False)
        for name, values in series.items():
            out.create_dataset(f"TPF/{name}", data=values, track_times=False)
    return file.getvalue()
