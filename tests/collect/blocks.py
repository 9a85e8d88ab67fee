"""Flux blocks and targets made up, for the tests of collection."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cuvee.model.flags import ASTEROID, NO_FRAME, SATURATED, TESS_QUALITY, default_mask
from cuvee.model.records import FluxBlock, Moments, Targets

MASK = default_mask(TESS_QUALITY)
RA0, DEC0 = 130.0, -53.0


def make_targets(n: int, seed: int = 1, radii: tuple[float, ...] = (1.5, 2.5, 3.5)) -> Targets:
    rng = np.random.default_rng(seed)
    return Targets(
        healpix=np.arange(n),
        id=rng.permutation(n).astype(np.int64),
        ra=rng.uniform(128, 132, n),
        dec=rng.uniform(-55, -51, n),
        mag=rng.uniform(7, 16, n),
        series=np.full(n, "ffi"),
        col=rng.uniform(0, 2047, n),
        row=rng.uniform(0, 2047, n),
        crowding=rng.uniform(0.5, 1.0, (n, len(radii))),
        flag=np.zeros(n, np.int32),
        radii=radii,
    )


def make_block(
    first: int, n_star: int, n_frame: int = 16, n_aperture: int = 3, missing: Sequence[int] = ()
) -> FluxBlock:
    rng = np.random.default_rng(first)
    cadence = np.arange(first, first + n_frame)
    start = 1517.4 + cadence / 48.0
    moments = Moments(
        cadence,
        start,
        start + 1800 / 86400,
        np.full(n_frame, 0.004),
        rng.choice([0, 0, 0, 32, 64], n_frame).astype(np.int32),
    )
    shape = (n_star, n_frame)
    planes: dict[str, Any] = {}
    for k in range(n_aperture):
        planes[f"aperture{k + 1}_flux"] = rng.normal(1000 * (k + 1), 3 + k, shape).astype(np.float32)
        planes[f"aperture{k + 1}_flux_err"] = rng.uniform(2, 3, shape).astype(np.float32)
    for name in ("background", "background_err", "centroid_col", "centroid_row"):
        planes[name] = rng.normal(100, 1, shape).astype(np.float32)
    planes["flag"] = rng.choice([0, 0, 0, 0, SATURATED, ASTEROID], shape).astype(np.int32)
    for k in missing:
        start[k] = np.nan
        for name, plane in planes.items():
            plane[:, k] = NO_FRAME if name == "flag" else np.nan
    names = tuple("" if k in missing else f"frame{c}" for k, c in enumerate(cadence))
    return FluxBlock(moments, names, planes, np.arange(n_star))


def noisy(relative: Sequence[Sequence[float]], n: int = 400, seed: int = 7) -> list[Any]:
    """Fluxes of shape (n_star, n), one array an aperture, with the given relative noise of each star in each aperture."""
    rng = np.random.default_rng(seed)
    noise = np.asarray(relative, float)
    return [
        (1000.0 * (k + 1) * (1 + noise[:, k : k + 1] * rng.standard_normal((len(noise), n)))).astype(np.float32)
        for k in range(noise.shape[1])
    ]
