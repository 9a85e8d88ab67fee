"""The one loop over events against a slow reference that says the same in other words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee.kernels.blocks import best_changes
from cuvee.kernels.photons import count_rows
from cuvee.model.photons import FIELDS, REASONS

N_COL, N_BIN, STEP = 64, 20, 5.0
TYPES = {1: "u1", 2: ">i2", 3: ">i4", 4: ">f4", 5: ">f8"}
GTI = np.array([[2.0, 30.0], [35.0, 60.0], [70.0, 99.0]])
BITS = 64 | 512


def layout(codes: dict[str, int]) -> tuple[np.dtype[np.void], NDArray[np.int64]]:
    kind = np.dtype([(name, TYPES[codes[name]]) for name in FIELDS if codes.get(name)] + [("rest", "S3")])
    fields = np.zeros((len(FIELDS), 2), np.int64)
    for k, name in enumerate(FIELDS):
        if codes.get(name):
            fields[k] = kind.fields[name][1], codes[name]  # type: ignore[index]
    return kind, fields


def draw(kind: np.dtype[np.void], rng: np.random.Generator, n: int) -> NDArray[np.void]:
    rows = np.zeros(n, kind)
    rows["time"] = np.sort(rng.uniform(0.0, 100.0, n)) / (0.001 if kind["time"].kind == "i" else 1.0)
    for name, high in (("x", N_COL + 2.0), ("y", 40.0)):
        if name in (kind.names or ()):
            rows[name] = rng.uniform(-2.0, high, n)
    if "weight" in (kind.names or ()):
        rows["weight"] = rng.uniform(0.9, 1.5, n)
    if "quality" in (kind.names or ()):
        rows["quality"] = rng.choice([0, 0, 0, 8192, 512, 64 + 2], n)
    if "pulse_height" in (kind.names or ()):
        rows["pulse_height"] = rng.integers(0, 32, n)
    return rows


def empty() -> tuple[NDArray[Any], ...]:
    return (
        np.zeros((2, N_BIN, 6)), np.zeros((2, N_BIN), np.int64), np.zeros(N_COL, np.int64), np.zeros(len(REASONS), np.int64),
        np.zeros(256, np.int64), np.zeros((10, 8), np.int32), np.array([np.nan, np.nan, 0.0, 0.0]),
    )  # fmt: skip


def setting() -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    place = np.zeros((N_COL, 8), np.int16)
    column = np.arange(N_COL)
    place[:, 0], place[:, 1] = 10 + column // 16, 20 + column // 16  # a spectrum that rises
    place[:, 2], place[:, 3] = 0, 6
    place[:, 4], place[:, 5] = 30, 36
    place[5:9, 6], place[40:43, 6] = 7, 6  # airglow; no wavelength
    place[:, 7] = column // 8
    return place, 1e-15 * (1.0 + column / N_COL)


CODES = {
    "cos": {"time": 4, "x": 4, "y": 4, "weight": 4, "quality": 2, "pulse_height": 1},
    "stis": {"time": 3, "x": 2, "y": 2},
    "rows as doubles": {"time": 5, "x": 5, "y": 5, "weight": 5, "quality": 3, "pulse_height": 2},
    "only times": {"time": 5},
}


@pytest.mark.parametrize("name", CODES)
def test_counts_are_those_of_the_reference(name: str) -> None:
    kind, fields = layout(CODES[name])
    rng = np.random.default_rng(3)
    rows = draw(kind, rng, 5000)
    if kind["time"].kind == "f":
        rows["time"][17] = np.nan
    scale = np.tile([1.0, 0.0], (len(FIELDS), 1))
    if kind["time"].kind == "i":
        scale[0] = 0.001, 0.0
    place, gain = setting()
    first, last = np.array([0, 20]), np.array([N_COL - 1, 33])
    sums, behind, spectrum, reasons, pulses, image, order = empty()
    start = 2.0
    bytes_of = rows.view(np.uint8).reshape(rows.size, kind.itemsize)
    nothing = (
        np.empty(0),
        np.empty(0, np.int32),
        np.empty(0, np.float32),
        np.empty(0, np.uint8),
        np.empty(0, np.float32),
    )
    for part in (slice(0, 1700), slice(1700, None)):  # chunk by chunk
        kept = count_rows(
            np.ascontiguousarray(bytes_of[part]), fields, scale, GTI, 0.02, BITS, 2.0, 23.0, place, gain, first, last, start, STEP, sums,
            behind, spectrum, reasons, pulses, image, order, *nothing,
        )  # fmt: skip
        assert kept == 0

    def value(field: str, default: float) -> NDArray[np.float64]:
        return rows[field].astype(np.float64) if field in (kind.names or ()) else np.full(rows.size, default)

    t, x, y = value("time", 0.0) * scale[0, 0], value("x", 0.0), value("y", 0.0)
    finite = np.isfinite(t)
    good = finite & ((t[:, None] >= GTI[:, 0] - 0.02) & (t[:, None] <= GTI[:, 1] + 0.02)).any(axis=1)
    c, r = np.rint(x).astype(int), np.rint(y)
    wrong = (value("quality", 0.0).astype(int) & BITS) != 0
    loud = (value("pulse_height", 5.0) < 2.0) | (value("pulse_height", 5.0) > 23.0)
    on = (c >= 0) & (c < N_COL)
    at = place[np.where(on, c, 0)]
    source = on & (r >= at[:, 0]) & (r <= at[:, 1])
    around = ((r >= at[:, 2]) & (r <= at[:, 3])) | ((r >= at[:, 4]) & (r <= at[:, 5]))
    left = {
        "time": ~finite, "gti": ~good, "quality": wrong, "pulse_height": loud, "edge": ~on, "outside": ~(source | around),
        "wavelength": at[:, 6] == 6, "airglow": at[:, 6] == 7,
    }  # fmt: skip
    rest = np.ones(rows.size, np.bool_)
    for reason, mask in left.items():
        assert reasons[list(REASONS).index(reason)] == np.count_nonzero(rest & mask), reason
        rest &= ~mask
    k = np.clip(np.floor((t - start) / STEP), 0, N_BIN - 1)
    w = value("weight", 1.0)
    for band, (low, high) in enumerate(zip(first, last, strict=True)):
        mine = rest & (c >= low) & (c <= high)
        lit, dark = mine & source, mine & ~source
        energy = w * gain[np.where(on, c, 0)]
        for column, values in enumerate((np.ones(rows.size), w, energy, energy**2, y)):
            wanted = np.bincount(k[lit].astype(int), values[lit], N_BIN)
            assert np.allclose(sums[band, :, column], wanted, rtol=1e-12, atol=0.0)
        wanted = np.bincount(k[dark].astype(int), energy[dark], N_BIN)
        assert np.allclose(sums[band, :, 5], wanted, rtol=1e-12, atol=0.0)
        assert np.array_equal(behind[band], np.bincount(k[dark].astype(int), minlength=N_BIN))
    assert np.array_equal(spectrum, np.bincount(c[rest & source], minlength=N_COL))
    assert order[0] == np.nanmin(t)
    assert order[1] == np.nanmax(t)
    assert order[2] == 0.0
    assert order[3] == 1.0
    if "pulse_height" in CODES[name]:
        assert pulses.sum() == np.count_nonzero(good & source)


def test_events_that_are_kept_are_those_that_would_be_counted() -> None:
    kind, fields = layout(CODES["cos"])
    rows = draw(kind, np.random.default_rng(5), 4000)
    scale = np.tile([1.0, 0.0], (len(FIELDS), 1))
    place, gain = setting()
    whole = np.array([0]), np.array([N_COL - 1])
    bytes_of = rows.view(np.uint8).reshape(rows.size, kind.itemsize)

    def run(n: int) -> tuple[int, tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]:
        room = (
            np.zeros(n),
            np.zeros(n, np.int32),
            np.zeros(n, np.float32),
            np.zeros(n, np.uint8),
            np.zeros(n, np.float32),
        )
        found = empty()
        head = bytes_of, fields, scale, GTI, 0.02, BITS, 2.0, 23.0, place, gain, *whole, 2.0, STEP
        return count_rows(*head, found[0][:1].copy(), found[1][:1].copy(), *found[2:], *room), found, room

    n, one_by_one, (time, column, _, region, _) = run(rows.size)
    sums, behind = np.zeros((1, N_BIN, 6)), np.zeros((1, N_BIN), np.int64)
    rest = empty()[2:]
    nothing = (
        np.empty(0),
        np.empty(0, np.int32),
        np.empty(0, np.float32),
        np.empty(0, np.uint8),
        np.empty(0, np.float32),
    )
    count_rows(
        bytes_of,
        fields,
        scale,
        GTI,
        0.02,
        BITS,
        2.0,
        23.0,
        place,
        gain,
        *whole,
        2.0,
        STEP,
        sums,
        behind,
        *rest,
        *nothing,
    )
    assert n == sums[0, :, 0].sum() + behind.sum()
    assert np.count_nonzero(region[:n] == 2) == behind.sum()
    assert np.array_equal(np.bincount(column[:n][region[:n] == 1], minlength=N_COL), rest[0])
    assert np.array_equal(one_by_one[3], rest[1])  # left out for the same reasons
    assert np.all(np.diff(time[:n]) >= 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_are_those_of_an_exhaustive_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = np.asarray(rng.poisson(np.r_[np.full(4, 2.0), np.full(4, 9.0)]), np.float64)
    exposure = rng.uniform(0.5, 1.5, counts.size)
    prior = 2.0

    def fitness(cuts: tuple[int, ...]) -> float:
        total = 0.0
        for a, b in zip(cuts, (*cuts[1:], counts.size), strict=True):
            n, t = counts[a:b].sum(), exposure[a:b].sum()
            total += (n * np.log(n / t) if n else 0.0) - prior
        return total

    every = [(0, *(k for k in range(1, counts.size) if bits >> k & 1)) for bits in range(0, 1 << counts.size, 2)]
    wanted = max(every, key=fitness)
    best, last = np.zeros(counts.size), np.zeros(counts.size, np.int64)
    best_changes(np.r_[0.0, np.cumsum(counts)], np.r_[0.0, np.cumsum(exposure)], prior, best, last)
    found, at = [], counts.size
    while at:
        found.append(int(last[at - 1]))
        at = found[-1]
    assert tuple(found[::-1]) == wanted
    assert best[-1] == pytest.approx(fitness(wanted))
