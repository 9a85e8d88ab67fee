"""The one loop over events against a slow reference that says the same in other words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee.events.regions import kinds_of_reason, regions_of
from cuvee.kernels.blocks import best_changes
from cuvee.kernels.photons import BANKS, BEHIND, N_KIND, NO_GOOD_TIME, PLACES, SOURCE, row_counter
from cuvee.model.photons import FIELDS, Trace

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
        rows["pulse_height"] = rng.integers(*((0, 32) if kind["pulse_height"].itemsize == 1 else (-40, 400)), n)
    return rows


@dataclass
class Counted:
    """Room for what is counted, in the order of the loop's arguments."""

    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, N_BIN, 6)))
    behind: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, N_BIN), np.int64))
    spectrum: NDArray[np.int64] = field(default_factory=lambda: np.zeros(N_COL, np.int64))
    tally: NDArray[np.int64] = field(default_factory=lambda: np.zeros((BANKS, N_KIND, 257), np.int64))
    image: NDArray[np.int32] = field(default_factory=lambda: np.zeros((11, N_COL), np.int32))
    order: NDArray[np.float64] = field(default_factory=lambda: np.array([np.nan, np.nan, 0.0, 0.0]))
    touched: NDArray[np.int64] = field(default_factory=lambda: np.array([N_BIN, -1]))

    def everything(self) -> tuple[NDArray[Any], ...]:
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


def setting() -> tuple[Trace, NDArray[np.uint8]]:
    column = np.arange(N_COL)
    low, high = (np.asarray(edge + column // 16, np.float64) for edge in (9.7, 20.4))  # a spectrum that rises
    behind = np.stack([np.tile([[0.0], [6.0]], N_COL), np.tile([[30.0], [36.0]], N_COL)])
    behind[0, :, 3] = np.nan  # a column without one of its regions
    reason = np.zeros(N_COL, np.uint8)
    reason[5:9], reason[40:43] = 7, 6  # airglow; no wavelength
    nothing = np.zeros(N_COL)
    return Trace("A", low, high, behind, nothing, 1e-15 * (1.0 + column / N_COL), nothing, calibrated=True), reason


CODES = {
    "cos": {"time": 4, "x": 4, "y": 4, "weight": 4, "quality": 2, "pulse_height": 1},
    "stis": {"time": 3, "x": 2, "y": 2},
    "rows as doubles": {"time": 5, "x": 5, "y": 5, "weight": 5, "quality": 3, "pulse_height": 2},
    "only times": {"time": 5},
    "raw cos": {"time": 4, "x": 2, "y": 2, "pulse_height": 1},
}
WALK = {"raw cos": 0.47}


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
    trace, reason = setting()
    bands = np.array([[0, N_COL - 1], [20, 33]])
    regions, found = regions_of(trace, reason, bands), Counted()
    start = 2.0
    bytes_of = rows.view(np.uint8).reshape(rows.size, kind.itemsize)
    count = row_counter(tuple(fields[:, 1].tolist()))
    kind_of = np.empty(rows.size, np.uint8)
    for part in (slice(0, 1700), slice(1700, None)):  # chunk by chunk
        count(
            np.ascontiguousarray(bytes_of[part]), fields, scale, WALK.get(name, 0.0), GTI, 0.02, BITS, np.array([2.0, 23.0]), regions.profile, regions.kinds,
            regions.low, regions.n_low, regions.group, regions.shift, trace.gain, start, STEP, *found.everything(), kind_of[part],
        )  # fmt: skip

    def value(field: str, default: float) -> NDArray[np.float64]:
        return rows[field].astype(np.float64) if field in (kind.names or ()) else np.full(rows.size, default)

    t, x, y = value("time", 0.0) * scale[0, 0], value("x", 0.0), value("y", 0.0)
    y = y - WALK.get(name, 0.0) * value("pulse_height", 0.0)
    finite = np.isfinite(t)
    good = finite & ((t[:, None] >= GTI[:, 0] - 0.02) & (t[:, None] <= GTI[:, 1] + 0.02)).any(axis=1)
    c, r = np.rint(x).astype(int), np.rint(y)
    wrong = (value("quality", 0.0).astype(int) & BITS) != 0
    loud = (value("pulse_height", 5.0) < 2.0) | (value("pulse_height", 5.0) > 23.0)
    on = (c >= 0) & (c < N_COL)
    at = np.where(on, c, 0)
    source = on & (r >= trace.low[at]) & (r <= trace.high[at])
    around = ((r >= trace.behind[:, 0, at]) & (r <= trace.behind[:, 1, at])).any(axis=0)
    left = {
        "time": ~finite, "gti": ~good, "quality": wrong, "pulse_height": loud, "edge": ~on, "outside": ~(source | around),
        "wavelength": reason[at] == 6, "airglow": reason[at] == 7,
    }  # fmt: skip
    rest = np.ones(rows.size, np.bool_)
    tally = found.tally.sum(axis=(0, 2))
    for name_of, mask in left.items():
        assert tally[kinds_of_reason(name_of)].sum() == np.count_nonzero(rest & mask), name_of
        rest &= ~mask
    assert tally.sum() == rows.size
    assert np.array_equal(kind_of == SOURCE, rest & source)
    assert np.array_equal(kind_of == BEHIND, rest & ~source)
    k = np.clip(np.floor((t - start) / STEP), 0, N_BIN - 1)
    w = value("weight", 1.0)
    for (low, high), pieces in zip(bands, regions.pieces, strict=True):
        mine = rest & (c >= low) & (c <= high)
        lit, dark = mine & source, mine & ~source
        energy = w * trace.gain[at]
        for column, values in enumerate((np.ones(rows.size), w, energy, energy**2, y)):
            wanted = np.bincount(k[lit].astype(int), values[lit], N_BIN)
            assert np.allclose(found.sums[pieces].sum(axis=0)[:, column], wanted, rtol=1e-12, atol=0.0)
        wanted = np.bincount(k[dark].astype(int), energy[dark], N_BIN)
        assert np.allclose(found.sums[pieces].sum(axis=0)[:, 5], wanted, rtol=1e-12, atol=0.0)
        assert np.array_equal(found.behind[pieces].sum(axis=0), np.bincount(k[dark].astype(int), minlength=N_BIN))
    assert np.array_equal(found.spectrum, np.bincount(c[rest & source], minlength=N_COL))
    assert found.order.tolist() == [np.nanmin(t), np.nanmax(t), 0.0, 1.0]
    assert found.touched.tolist() == [0, N_BIN - 1]
    if "pulse_height" in CODES[name]:
        heights = value("pulse_height", 0.0)[good & source & (reason[at] == 0)].astype(int)
        heights = heights[(heights >= 0) & (heights < 256)]  # others have no place
        pulses = found.tally[:, SOURCE:NO_GOOD_TIME:PLACES, :-1].sum(axis=(0, 1))
        assert np.array_equal(pulses, np.bincount(heights, minlength=256))
    line = r.astype(int) // 4
    seen = good & on & ~wrong & ~loud & (line >= 0) & (line < 10)
    image = np.zeros((10, N_COL), np.int32)
    np.add.at(image, (line[seen], c[seen]), 1)
    assert np.array_equal(found.image[1:], image)


def test_time_is_looked_at_event_by_event_where_it_must_be() -> None:
    """Gaps, steps back, and what is not a number lie wherever they like in blocks and chunks."""
    kind, fields = layout(CODES["only times"])
    rng = np.random.default_rng(8)
    times = np.sort(rng.uniform(0.0, 100.0, 3000))
    times[[700, 701, 1500]] = times[[701, 700, 1400]]
    times[[0, 511, 512, 2999]] = np.nan, np.inf, -np.inf, np.nan
    rows = np.zeros(times.size, kind)
    rows["time"] = times
    scale = np.tile([1.0, 0.0], (len(FIELDS), 1))
    column = np.zeros(1)
    trace = Trace(
        "ALL", column - np.inf, column + np.inf, np.zeros((0, 2, 1)), column, column, column, calibrated=False
    )
    regions, found = regions_of(trace, np.zeros(1, np.uint8), np.array([[0, 0]])), Counted()
    found.image, found.spectrum, found.sums, found.behind = (
        np.zeros((0, 1), np.int32), np.zeros(1, np.int64), np.zeros((1, N_BIN, 6)), np.zeros((1, N_BIN), np.int64),
    )  # fmt: skip
    row_counter((5, 0, 0, 0, 0, 0))(
        rows.view(np.uint8).reshape(rows.size, kind.itemsize), fields, scale, 0.0, GTI, 0.0, BITS, np.array([-np.inf, np.inf]), regions.profile,
        regions.kinds, regions.low, regions.n_low, regions.group, regions.shift, column, 2.0, STEP, *found.everything(), np.empty(0, np.uint8),
    )  # fmt: skip
    finite = times[np.isfinite(times)]
    good = ((finite[:, None] >= GTI[:, 0]) & (finite[:, None] <= GTI[:, 1])).any(axis=1)
    tally = found.tally.sum(axis=(0, 2))
    assert tally[kinds_of_reason("time")].sum() == 4
    assert tally[kinds_of_reason("gti")].sum() == np.count_nonzero(~good)
    assert tally[SOURCE] == np.count_nonzero(good)
    assert np.array_equal(found.sums[0, :, 0], np.bincount(((finite[good] - 2.0) // STEP).astype(int), minlength=N_BIN))
    assert found.order.tolist() == [finite[0], finite[-1], np.count_nonzero(np.diff(finite) < 0.0), 1.0]


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
