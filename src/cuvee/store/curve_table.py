"""The columns of a light curve: what each is called, its unit and its meaning, and the table that they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.errors import StoreError
from cuvee.model.records import LightCurves
from cuvee.photometry.rounding import KEPT_BITS, added_noise

__all__ = ["POINT_COLUMNS", "ROW_COLUMNS", "light_curve_table", "point_column"]

ROW_COLUMNS: dict[str, tuple[str, str]] = {
    "_healpix_29": ("", "order-29 nested HEALPix index of the catalogue position"),
    "id": ("", "catalogue id"),
    "ra": ("deg", "right ascension, ICRS, epoch 2000"),
    "dec": ("deg", "declination, ICRS, epoch 2000"),
    "mag": ("mag", "magnitude in the instrument's band"),
    "segment": ("", "TESS sector, Kepler quarter, HST visit or night"),
    "detector": ("", "detector, for TESS camera-CCD"),
    "series": ("", "frame series that measured the star"),
    "col": ("pixel", "detector column, 0-based centre of the first science pixel"),
    "row": ("pixel", "detector row, 0-based centre of the first science pixel"),
    "crowding": ("", "the star's share of the flux in the aperture named by best; NaN where unknown"),
    "best": ("", "the aperture that flux and flux_err hold"),
}
"""Unit and meaning of each column of a row."""

POINT_COLUMNS: dict[str, tuple[str, str]] = {
    "time": ("d", "BJD_TDB - 2457000 at mid-exposure, at the star"),
    "cadence": ("", "the mission's cadence number"),
    "quality": ("", "the mission's quality bits, unchanged"),
    "flag": ("", "cuvee's flag bits"),
    "flux": ("electron/s", "flux in the aperture named by best"),
    "flux_err": ("electron/s", "one standard deviation of flux"),
    "background": ("electron/(s pixel)", "background that was subtracted, in one pixel"),
    "centroid_col": ("pixel", "flux-weighted column; 0 = 1st science column"),
    "centroid_row": ("pixel", "flux-weighted row; 0 = 1st science row"),
}
"""Unit (as astropy reads it) and meaning of the nested columns, short enough for a FITS card; those of the apertures
come on top, see `point_column`."""


_METHODS = {"mask": "the star's own pixel mask", "halo": "its halo, scaled to mask or aperture"}


def point_column(name: str, radius: float | None = None) -> tuple[str, str]:
    """Return unit and meaning of a nested column.

    Parameters
    ----------
    name : str
        For example ``flux`` or ``aperture2_flux_err``.
    radius : float, optional
        Of its aperture (px), where that is a circle.

    Returns
    -------
    unit, meaning : str
        The unit is empty where there is none.
    """
    if name in POINT_COLUMNS:
        return POINT_COLUMNS[name]
    method, _, what = name.partition("_")
    if what == "chi2":
        return "", f"reduced chi2 of the {method} fit in the star's pixels"
    method = _METHODS.get(method, method)
    meaning = {"flux": "flux", "flux_err": "one standard deviation of flux"}.get(what, what)
    return "electron/s", f"{meaning} in {method}" if radius is None else f"{meaning} within {radius:g} px"


def light_curve_table(light_curves: LightCurves) -> pa.Table:
    """Return light curves as a table of one row a star, the points in the nested column ``lc``.

    Parameters
    ----------
    light_curves : LightCurves
        The light curves of a patch.

    Returns
    -------
    pyarrow.Table
        Every field carries its unit and its meaning as metadata.

    Raises
    ------
    StoreError
        If it has more points than the offsets of its lists can count.
    """
    targets = light_curves.targets
    n_star = len(targets)
    arrays = {
        "_healpix_29": targets.healpix,
        "id": targets.id,
        "ra": targets.ra,
        "dec": targets.dec,
        "mag": targets.mag,
        "segment": np.full(n_star, light_curves.segment),
        "detector": np.full(n_star, light_curves.detector),
        "series": targets.series,
        "col": targets.col,
        "row": targets.row,
        "crowding": targets.crowding[:, 0],
        "best": light_curves.best,
    }
    columns = [_array(values) for values in arrays.values()]
    fields = [
        pa.field(name, column.type, nullable=False, metadata=_described(*ROW_COLUMNS[name]))
        for name, column in zip(arrays, columns, strict=True)
    ]
    if light_curves.offsets[-1] > np.iinfo(np.int32).max:
        raise StoreError(f"A patch of {light_curves.segment} {light_curves.detector} has too many points for one file.")
    offsets = pa.array(light_curves.offsets.astype(np.int32))
    radii = {f"aperture{k + 1}": radius for k, radius in enumerate(targets.radii)}
    lists, nested = [], []
    for name, values in light_curves.points.items():
        one = pa.ListArray.from_arrays(offsets, pa.array(values, from_pandas=False))
        lists.append(one)
        known = light_curves.columns.get(name)
        said = _described(*(known or point_column(name, radii.get(name.partition("_")[0]))))
        if known:
            pass  # nothing of photons is rounded
        elif name == "background" or name.endswith("flux"):
            said |= _rounded(light_curves.round_noise)
        elif name.endswith(("flux_err", "chi2")):
            said |= {"rounding": f"rounded to {KEPT_BITS + 1} significant bits"}
        nested.append(pa.field(name, one.type, metadata=said))
    struct = pa.StructArray.from_arrays(lists, fields=nested)
    columns.append(struct)
    fields.append(pa.field("lc", struct.type, metadata=_described("", "the points, lists of equal length")))
    facts = {"segment": light_curves.segment, "detector": light_curves.detector, **_rounded(light_curves.round_noise)}
    return pa.table(columns, schema=pa.schema(fields, facts))


def _array(values: NDArray[Any]) -> pa.Array:
    if values.dtype.kind == "U":
        return pa.array(values.tolist(), pa.string())
    return pa.array(np.ascontiguousarray(values), from_pandas=False)


def _rounded(steps: float) -> dict[str, str]:
    """Say by what values were rounded and what that cost; nothing where every bit was kept."""
    if not steps:
        return {}
    share = added_noise(steps)
    words = (
        f"rounded to multiples of the power of two next below the value's own error / {steps:g}; the added noise is at most "
        f"{share:.4f} of the error (rms, in quadrature), which makes it larger by at most {100.0 * (np.hypot(1.0, share) - 1.0):.3f} %"
    )
    return {"round_noise": f"{steps:g}", "rounding": words}


def _described(unit: str, description: str) -> dict[str, str]:
    return {"unit": unit, "description": description} if unit else {"description": description}
