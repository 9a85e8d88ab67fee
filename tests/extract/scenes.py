"""A small field in forty-eight frames and a noisy stamp, with what is in them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from cuvee import extract
from cuvee.model.records import Batch, FileInfo, FluxBlock, Geometry, Moments, Readout, Reference, Targets

READOUT = Readout(1425.6, (5.2, 5.3), (8.0, 9.0), 720, (0, 340), 2e4)
N_ROW, N_COL, ROW0, COL0 = 200, 230, 100, 200
GEOMETRY = Geometry(N_ROW, N_COL, ROW0, COL0, 2048, 2048)
AREA = np.pi * np.array([1.5, 2.5, 3.5]) ** 2


def add_star(image: NDArray[Any], col: float, row: float, flux: float, sigma: float = 0.8) -> None:
    """Add a pixel-integrated Gaussian."""
    i, j = round(col), round(row)
    x, y = np.arange(max(i - 8, 0), min(i + 9, image.shape[1])), np.arange(max(j - 8, 0), min(j + 9, image.shape[0]))
    scale = 1.0 / (np.sqrt(2.0) * sigma)
    along = [0.5 * np.diff(erf((np.append(k - 0.5, k[-1] + 0.5) - c) * scale)) for k, c in ((x, col), (y, row))]
    image[y[0] : y[-1] + 1, x[0] : x[-1] + 1] += flux * np.outer(along[1], along[0])


def surface(t: float) -> NDArray[Any]:
    y, x = np.mgrid[:N_ROW, :N_COL].astype(float)
    glow = 40.0 * np.exp(-((x + 300.0 - 50.0 * t) ** 2 + (y - 150.0) ** 2) / 2.0 / 250.0**2)
    return np.asarray(110.0 + 0.03 * x - 0.02 * y + glow)


def observe(rng: np.random.Generator, clean: NDArray[Any]) -> NDArray[Any]:
    gain = np.where(np.arange(clean.shape[-1]) + COL0 < 340, 5.2, 5.3)
    read = np.where(np.arange(clean.shape[-1]) + COL0 < 340, 8.0, 9.0)
    variance = clean / 1425.6 + 720 * (read**2 + gain**2 / 12) / 1425.6**2
    return np.asarray(clean + np.sqrt(variance) * rng.standard_normal(clean.shape))


def targets_at(col: Any, row: Any, series: str = "ffi") -> Targets:
    n = len(col)
    zero = np.zeros(n)
    return Targets(
        np.arange(n), np.arange(n), zero, zero, zero, np.full(n, series), np.asarray(col, float), np.asarray(row, float),
        np.ones((n, 3)), np.zeros(n, np.int32), (1.5, 2.5, 3.5),
    )  # fmt: skip


def moments_of(n: int) -> Moments:
    t = np.arange(float(n))
    return Moments(np.arange(n), t, t + 1, np.zeros(n), np.zeros(n, np.int32))


def batches(frames: Sequence[NDArray[Any]], places: Sequence[int]) -> Iterator[Batch]:
    """Yield batches of sixteen neighbouring places."""
    places = list(places)
    for first in range(0, max(places) + 1, 16):
        here = [k for k, place in enumerate(places) if first <= place < first + 16]
        if here:
            yield Batch([frames[k] for k in here], np.array([places[k] for k in here]))


class Scene:
    """Forty-eight noisy frames of one field, as strided big-endian views, and what is in them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(51)
        n = 150
        self.col = COL0 + rng.uniform(5, N_COL - 6, n)
        self.row = ROW0 + rng.uniform(5, N_ROW - 6, n)
        self.flux = 10 ** rng.uniform(1.5, 4.0, n)
        stars = np.zeros((N_ROW, N_COL))
        for c, r, f in zip(self.col, self.row, self.flux, strict=True):
            add_star(stars, c - COL0, r - ROW0, f)
        self.stars = stars
        self.surfaces = [surface(t / 4) for t in range(48)]
        self.frames = []
        for behind in self.surfaces:
            raw = np.zeros((N_ROW + 6, N_COL + 20), ">f4")
            raw[:N_ROW, 11 : 11 + N_COL] = observe(rng, stars + behind)
            self.frames.append(raw[:N_ROW, 11 : 11 + N_COL])
        image = np.mean([np.asarray(f, float) for f in self.frames[:32]], axis=0).astype(np.float32)
        self.reference = Reference("ffi", GEOMETRY, image, "", 2019.0, 0.0, 0.0, ("a",), READOUT)
        self.targets = targets_at(self.col, self.row)

    def extract(self, **params: Any) -> FluxBlock:
        some = batches(self.frames, range(48))
        return extract.extract(
            some, moments_of(48), ("",) * 48, self.targets, self.reference, extract.ExtractParams(**params)
        )

    def alone(self) -> NDArray[np.bool_]:
        """Stars without a neighbour within 12 px that is not far fainter, away from the edge."""
        away = np.hypot(self.col[:, None] - self.col, self.row[:, None] - self.row)
        near = (away < 12) & (self.flux[None, :] > 0.01 * self.flux[:, None])
        inside = (self.col > COL0 + 12) & (self.col < COL0 + N_COL - 12)
        inside &= (self.row > ROW0 + 12) & (self.row < ROW0 + N_ROW - 12)
        return np.asarray((near.sum(axis=1) == 1) & inside)


def measure_one(
    frame: NDArray[Any], col: Sequence[float], row: Sequence[float], scene: Scene, **params: Any
) -> FluxBlock:
    return extract.extract(
        iter([Batch([frame], np.array([0]))]), moments_of(1), ("",), targets_at(np.array(col), np.array(row)), scene.reference,
        extract.ExtractParams(**params),
    )  # fmt: skip


def stamp_info(shape: tuple[int, int], n: int, **changes: Any) -> FileInfo:
    geometry = Geometry(*shape, ROW0, COL0, 2048, 2048)
    info = FileInfo("stamp.fits", "tess", "s0001", "1-1", "tesscut", "stamp", "stamp", geometry, READOUT, moments_of(n))
    return replace(info, **changes)


def noisy_stamp(rng: np.random.Generator, n: int, flux: float = 3000.0) -> NDArray[Any]:
    clean = np.zeros((11, 11))
    add_star(clean, 5.2, 4.9, flux)
    level = 120.0 + 30.0 * np.sin(np.arange(n) / 50.0)
    return observe(rng, clean + level[:, None, None]).astype(">f4")
