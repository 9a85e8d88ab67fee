"""Light curves made up, and written as the engine does."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from cdshealpix.nested import lonlat_to_healpix

from cuvee.model.keys import PATCH_ORDER
from cuvee.model.records import LightCurves, Targets
from cuvee.store.hats import patch_path, write_patch

ROW_COLUMNS = [
    "_healpix_29",
    "id",
    "ra",
    "dec",
    "mag",
    "segment",
    "detector",
    "series",
    "col",
    "row",
    "crowding",
    "best",
]
FIRST_POINT_COLUMNS = [
    "time",
    "cadence",
    "quality",
    "flag",
    "flux",
    "flux_err",
    "background",
    "centroid_col",
    "centroid_row",
]


def make_stars(n: int = 700, seed: int = 1) -> Targets:
    """Stars of a field that lies across several patches."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(128.0, 132.0, n), rng.uniform(-54.5, -51.5, n)
    healpix = lonlat_to_healpix(ra * u.deg, dec * u.deg, 29).astype(np.int64)
    order = np.argsort(healpix)
    return Targets(
        healpix=healpix[order],
        id=rng.permutation(n).astype(np.int64) + 93_000_000,
        ra=ra[order],
        dec=dec[order],
        mag=rng.uniform(7, 16, n),
        series=np.full(n, "ffi"),
        col=rng.uniform(0, 2047, n),
        row=rng.uniform(0, 2047, n),
        crowding=rng.random((n, 1)),
        flag=np.zeros(n, np.int32),
        radii=(1.5, 2.5, 3.5),
    )


def make_curves(targets: Targets, segment: str, n_point: int = 40, seed: int = 2, n_aperture: int = 3) -> LightCurves:
    rng = np.random.default_rng(seed)
    n = len(targets)
    counts = np.where(np.arange(n) % 7 == 3, n_point // 2, n_point)  # ragged
    counts[n // 2] = 0
    offsets = np.concatenate([[0], np.cumsum(counts)])
    total = int(offsets[-1])
    points: dict[str, Any] = {
        "time": 1517.4 + np.concatenate([np.arange(count) for count in counts]) / 48 + rng.normal(0, 1e-4, total),
        "cadence": np.concatenate([np.arange(count) for count in counts]).astype(np.int32) + 13_952,
        "quality": rng.integers(0, 4096, total).astype(np.int32),
        "flag": rng.integers(0, 512, total).astype(np.int32),
    }
    names = [*FIRST_POINT_COLUMNS[4:]]
    names += [f"aperture{k + 1}_{what}" for k in range(n_aperture) for what in ("flux", "flux_err")]
    points |= {name: rng.normal(1000, 3, total).astype(np.float32) for name in names}
    points["flux"][::17] = np.nan
    best = np.array([f"aperture{k + 1}" for k in rng.integers(0, n_aperture, n)])
    return LightCurves(targets, segment, "3-4", best, offsets, points)


def take(curves: LightCurves, rows: slice) -> LightCurves:
    start, stop, _ = rows.indices(len(curves.targets))
    first, last = curves.offsets[start], curves.offsets[stop]
    return LightCurves(
        curves.targets.take(rows),
        curves.segment,
        curves.detector,
        curves.best[rows],
        curves.offsets[start : stop + 1] - first,
        {name: values[first:last] for name, values in curves.points.items()},
    )


def write_survey(root: Path, curves: LightCurves, kind: str = "ffi") -> list[Path]:
    """Write light curves patch by patch, as the engine does."""
    patches = curves.targets.healpix >> 2 * (29 - PATCH_ORDER)
    paths = []
    for patch in np.unique(patches):
        start, stop = np.searchsorted(patches, [patch, patch + 1])
        paths.append(patch_path(root, "tess", int(patch), curves.segment, curves.detector, kind))
        write_patch(paths[-1], take(curves, slice(start, stop)))
    return paths


def points_of(curves: LightCurves, star: int, name: str) -> Any:
    return curves.points[name][curves.offsets[star] : curves.offsets[star + 1]]
