"""Which strips of the TIC images need: against the pixels themselves, wherever on the sky."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, Sip
from tests.sky.bulk import strip_name

from cuvee.acquire.strips import Strip, all_strips, strip_of, strips_between
from cuvee.catalog.project import declination_range
from cuvee.model.keys import DataId
from cuvee.model.records import Footprint, Geometry
from cuvee.run.facts import footprint_product
from cuvee.sky.strips import DRIFT, strips_of

SIZE = 2048
MARGIN = 6.0


def test_every_file_of_the_archive_has_its_strip() -> None:
    strips = all_strips()
    assert (strips[0].name, strips[-1].name) == ("tic_dec90_00S__88_00S.csv.gz", "tic_dec88_00N__90_00N.csv.gz")
    assert (strips[44].name, strips[45].name) == ("tic_dec02_00S__00_00N.csv.gz", "tic_dec00_00N__02_00N.csv.gz")
    assert all(strip_of(strip.name) == strip_of(f"{strip.stem}.csv") == strip for strip in strips)
    assert strip_of("tic_dec03_00S__01_00S.csv.gz") is None
    assert strip_of("header.csv") is None


@pytest.mark.parametrize(
    ("low", "high", "numbers"),
    [
        (-68.0, -64.0, [11, 12]),
        (-68.0, -68.0, [11]),
        (-67.9, -67.1, [11]),
        (-90.0, -90.0, [0]),
        (90.0, 90.0, [89]),
        (-0.1, 0.1, [44, 45]),
        (-90.0, 90.0, list(range(90))),
    ],
)
def test_a_range_is_the_strips_that_it_spans(low: float, high: float, numbers: list[int]) -> None:
    assert [strip.number for strip in strips_between(low, high)] == numbers


def footprint(ra: float, dec: float, roll: float, size: int = SIZE) -> Footprint:
    """A CCD of TESS, distorted, with its middle there."""
    wcs = WCS(naxis=2)
    angle, scale = np.deg2rad(roll), 21.0 / 3600.0
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [size / 2, size / 2]
    wcs.wcs.cd = scale * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], a[0, 2], b[1, 1], b[0, 3], a[2, 1] = 3e-6, -2e-6, 2.5e-6, 4e-10, -5e-10
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    header = wcs.to_header(relax=True)
    return Footprint("1-1", Geometry(size, size, 0, 0), header.tostring(), 2018.6)


def product(placed: Footprint) -> object:
    geometry = placed.geometry
    facts = {
        "series": placed.series,
        "geometry": {name: getattr(geometry, name) for name in ("n_row", "n_col", "row0", "col0")},
        "wcs": placed.wcs,
        "epoch": placed.epoch,
        "time_ra": 0.0,
        "time_dec": 0.0,
    }
    return footprint_product(DataId("tess"), facts)


def brute_force(placed: Footprint, extra: float) -> tuple[set[str], float, float]:
    """The files in which stars may lie, by a grid of the pixels and `MARGIN` beyond them, each `extra` degrees wide."""
    edge = placed.geometry.n_col - 0.5 + MARGIN
    ticks = np.linspace(-0.5 - MARGIN, edge, 200)
    col, row = (axis.ravel() for axis in np.meshgrid(ticks, ticks))
    sky = WCS(placed.wcs, fix=False).pixel_to_world(col, row)
    assert isinstance(sky, SkyCoord)
    low, high = float(sky.dec.deg.min()), float(sky.dec.deg.max())
    decs = np.concatenate([sky.dec.deg - extra, sky.dec.deg, sky.dec.deg + extra])
    return {strip_name(dec) for dec in np.clip(decs, -90.0, 89.9999)}, low, high


PLACES = [
    (75.0, -66.0, 0.0),
    (75.0, -66.57, 33.0),
    (0.0, 0.0, 12.0),
    (359.9, -1.1, 45.0),
    (0.05, 88.0, 20.0),
    (123.0, 90.0, 0.0),
    (200.0, -89.4, 77.0),
    (40.0, -84.2, 45.0),  # the pole lies just off an edge or a corner
    (40.0, -84.2, 0.0),
    (310.0, 62.1, 5.0),
]


@pytest.mark.parametrize(("ra", "dec", "roll"), PLACES)
def test_the_strips_are_those_of_the_pixels(ra: float, dec: float, roll: float) -> None:
    placed = footprint(ra, dec, roll)
    needed, low, high = brute_force(placed, 0.0)
    chosen = {strip.name for strip in strips_of([product(placed)], MARGIN)}  # type: ignore[list-item]
    moved, _, _ = brute_force(placed, DRIFT)
    assert needed <= moved <= chosen
    # No more than what half a step along the edge, and of the grid here, may add.
    generous, _, _ = brute_force(placed, DRIFT + 0.05)
    assert chosen <= generous
    south, north = declination_range(placed, MARGIN, 0.0)
    assert south <= low + 1e-9
    assert north >= high - 1e-9
    assert south > low - 0.05
    assert north < high + 0.05


def test_many_places_and_rolls_against_their_pixels() -> None:
    rng = np.random.default_rng(5)
    for _ in range(12):
        ra, dec, roll = rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1))), rng.uniform(0, 360)
        placed = footprint(ra, dec, roll, 512)
        moved, _, _ = brute_force(placed, DRIFT)
        generous, _, _ = brute_force(placed, DRIFT + 0.05)
        chosen = {strip.name for strip in strips_of([product(placed)], MARGIN)}  # type: ignore[list-item]
        assert moved <= chosen <= generous, (ra, dec, roll)


def test_what_is_known_needs_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    placed = product(footprint(75.0, -66.0, 0.0, 64))
    found = strips_of([placed], MARGIN)  # type: ignore[list-item]
    assert found == {Strip(11), Strip(12)}
    monkeypatch.setattr("cuvee.sky.strips.declination_range", None)
    assert strips_of([placed], MARGIN, all_strips()) == set()  # type: ignore[list-item]
