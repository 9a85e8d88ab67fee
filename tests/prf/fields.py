"""Made-up fields: frames of stars with a known PRF, known pointing and known noise, and a catalogue that is a little wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg
from scipy.special import erf

from cuvee.model.records import Geometry, Readout

FloatArray = NDArray[np.float64]

DRAWN = 10
"""Half width of the square in which a star is drawn (px): wider than the stamps that are learned."""


@dataclass(frozen=True)
class Field:
    """Frames and the truth about them."""

    frames: list[NDArray[np.float32]]
    geometry: Geometry
    readout: Readout
    col: FloatArray
    row: FloatArray
    flux: FloatArray
    series: FloatArray
    pointing: FloatArray
    catalogue: tuple[FloatArray, FloatArray, FloatArray]
    kind: str
    sky: FloatArray


def profile(kind: str, dx: FloatArray, dy: FloatArray, u: FloatArray, v: FloatArray) -> FloatArray:
    """Share of the light in a pixel whose centre lies dx, dy from the star."""
    if kind == "gauss":
        sigma = 0.81 * (1.0 + 0.04 * u**2 + 0.03 * v)
        scale = 1.0 / (np.sqrt(2.0) * sigma)
        across = 0.5 * (erf((dx + 0.5) * scale) - erf((dx - 0.5) * scale))
        return np.asarray(across * 0.5 * (erf((dy + 0.5) * scale) - erf((dy - 0.5) * scale)))
    # Moffat, integrated by Gauss-Legendre points over the pixel: sharper, with wings, and stretched by place.
    core = 1.35 * (1.0 + 0.06 * u**2 + 0.04 * v)
    stretch = 0.08 * u * v
    node, weight = np.polynomial.legendre.leggauss(5)
    total = np.zeros(np.broadcast_shapes(dx.shape, dy.shape, u.shape))
    for a, wa in zip(0.5 * node, 0.5 * weight, strict=True):
        for b, wb in zip(0.5 * node, 0.5 * weight, strict=True):
            q = ((dx + a) ** 2 * (1 + stretch) + (dy + b) ** 2 * (1 - stretch)) / core**2
            total += wa * wb * (1.0 + q) ** -3.2
    return np.asarray(total * 2.2 * np.sqrt(1 - stretch**2) / (np.pi * core**2))


def light(
    field: Field, col: FloatArray, row: FloatArray, half: int
) -> tuple[NDArray[np.int64], FloatArray, NDArray[np.bool_]]:
    """Pixel numbers, shares of the light and whether the pixel exists, shape (n_star, (2 half + 1)^2) each."""
    g = field.geometry
    return _light(field.kind, g, col, row, half)


def _light(
    kind: str, g: Geometry, col: FloatArray, row: FloatArray, half: int
) -> tuple[NDArray[np.int64], FloatArray, NDArray[np.bool_]]:
    around = np.arange(-half, half + 1)
    c = np.rint(col).astype(np.int64)[:, None, None] + around
    r = np.rint(row).astype(np.int64)[:, None, None] + around[:, None]
    u = ((col - g.col0) / (0.5 * g.n_col) - 1.0)[:, None, None]
    v = ((row - g.row0) / (0.5 * g.n_row) - 1.0)[:, None, None]
    share = profile(kind, c - col[:, None, None], r - row[:, None, None], u, v)
    c, r = c - g.col0, r - g.row0
    there = (c >= 0) & (c < g.n_col) & (r >= 0) & (r < g.n_row)
    pixel = np.where(there, r * g.n_col + c, 0)
    n = col.size
    return pixel.reshape(n, -1), (share * there).reshape(n, -1), there.reshape(n, -1)


def make_field(
    kind: str,
    size: int = 256,
    n_star: int = 900,
    n_frame: int = 16,
    seed: int = 1,
    jitter: float = 0.05,
    position_error: float = 0.02,
    faintest: float = 15.0,
    variable: float = 0.0,
) -> Field:
    rng = np.random.default_rng(seed)
    geometry = Geometry(size, size, 300, 500, 2048, 2048)
    readout = Readout(1425.6, (5.2, 5.3), (9.0, 8.0), 720, (0, 600), 1e6)
    k = 0.30 * np.log(10.0)
    mag = np.log(np.exp(k * 7.5) + rng.random(n_star) * (np.exp(k * faintest) - np.exp(k * 7.5))) / k
    flux = 10 ** (0.4 * (20.44 - mag))
    # Some stars lie beyond the edge.
    col = geometry.col0 + rng.uniform(-8, size + 7, n_star)
    row = geometry.row0 + rng.uniform(-8, size + 7, n_star)
    pointing = rng.normal(0.0, jitter, (n_frame, 2))
    pointing -= pointing.mean(axis=0)
    series = np.tile(flux[:, None], n_frame)
    if variable:
        which = rng.random(n_star) < 0.05
        series[which] *= 1.0 + variable * np.sin(np.arange(n_frame) * 0.9 + rng.uniform(0, 6, which.sum())[:, None])
    y, x = np.mgrid[:size, :size] / size - 0.5
    sky = 110.0 + 12.0 * x - 9.0 * y + 25.0 * x * y
    read = np.array(readout.read_noise) ** 2 * readout.n_read / readout.exposure**2
    read = read[(np.arange(size) + geometry.col0 >= 600).astype(int)]
    frames = []
    for t in range(n_frame):
        image = (sky * (1.0 + 0.04 * np.sin(t))).ravel().copy()
        pixel, share, there = _light(kind, geometry, col + pointing[t, 0], row + pointing[t, 1], DRAWN)
        np.add.at(image, pixel[there], (share * series[:, t, None])[there])
        variance = image.reshape(size, size) / readout.exposure + read
        frames.append(
            (image.reshape(size, size) + rng.normal(size=(size, size)) * np.sqrt(variance)).astype(np.float32)
        )
    catalogue = (
        col + rng.normal(0, position_error, n_star) + 0.1,
        row + rng.normal(0, position_error, n_star) - 0.15,
        flux * 10 ** (0.4 * rng.normal(0, 0.05, n_star)),
    )
    return Field(frames, geometry, readout, col, row, flux, series, pointing, catalogue, kind, sky)


def star_space(
    frames: list[FloatArray], matrices: list[sparse.csr_matrix], weight: FloatArray, pointing: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Fluxes of all stars in each frame by a sparse direct solve, and their photon limit: the reference for the PRF's quality.

    The matrices are the stamps and their five derivatives as rows over the pixels; with one matrix a frame's pointing is in it.
    """
    plain = matrices[0]
    fluxes = []
    for t, frame in enumerate(frames):
        dx, dy = pointing[t]
        factors = [1.0, dx, dy, dx * dx / 2, dx * dy, dy * dy / 2][: len(matrices)]
        here = sum((f * m for f, m in zip(factors, matrices, strict=True)), start=0 * plain).tocsr()
        weighted = here @ sparse.diags(weight)
        normal = (weighted @ here.T).tocsc() + 1e-9 * sparse.identity(plain.shape[0])
        fluxes.append(linalg.spsolve(normal.tocsc(), weighted @ frame.ravel()))
    limit = 1.0 / np.sqrt(np.maximum((plain.multiply(plain) @ weight), 1e-300))
    return np.array(fluxes).T, limit
