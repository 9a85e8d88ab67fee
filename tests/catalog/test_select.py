"""Target selection on synthetic fields whose pixels are known, and on the real IC 2391 table."""

from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from pydantic import ValidationError
from tests.catalog.scenes import sip_footprint, stamp_of

from cuvee.catalog import TargetParams, healpix_index, make_stars, move, select_targets
from cuvee.errors import NoWork
from cuvee.model.records import Footprint
from cuvee.store.catalogs import read_stars

OPTIONS: dict[str, Any] = {"fwhm": 1.9, "zero_point": 20.44, "radii": (1.5, 2.5, 3.5)}


def stars_at(footprint: Any, col: Any, row: Any, mag: Any, **more: Any) -> Any:
    ra, dec = WCS(footprint.wcs, fix=False).all_pix2world(np.asarray(col, float), np.asarray(row, float), 0)
    ids = np.arange(1, len(col) + 1)
    return make_stars(ids, ra, dec, np.broadcast_to(np.asarray(mag, float), ids.shape), **more)


@pytest.mark.parametrize(("ra", "dec"), [(124.6, -57.0), (0.0, 5.0), (40.0, 90.0)])
def test_every_star_on_the_pixels_and_none_beside(ra: float, dec: float) -> None:
    footprint = sip_footprint(ra, dec)
    rng = np.random.default_rng(1)
    col, row = rng.uniform(-300, 2347, (2, 20_000))
    stars = stars_at(footprint, col, row, 12.0)
    targets = select_targets([footprint], stars, TargetParams(), **OPTIONS)
    on = np.flatnonzero((col >= -0.5) & (col < 2047.5) & (row >= -0.5) & (row < 2047.5)) + 1
    assert set(targets.id.tolist()) == set(on.tolist())
    assert np.abs(targets.col - col[targets.id - 1]).max() < 1e-4
    assert np.abs(targets.row - row[targets.id - 1]).max() < 1e-4
    order = np.lexsort((targets.id, targets.healpix))
    assert np.array_equal(order, np.arange(len(targets)))
    assert np.array_equal(targets.healpix, healpix_index(targets.ra, targets.dec))
    assert set(targets.series) == {"ffi"}
    assert targets.radii == (1.5, 2.5, 3.5)
    assert targets.crowding.shape == (len(targets), 3)


def test_magnitude_limits_part_targets_from_contaminants() -> None:
    footprint = sip_footprint(50.0, 30.0)
    col, row = [100.0, 101.0, 300.0, 301.0, 500.0, 501.0, 700.0], [100.0] * 7
    mag = [16.0, 16.001, 15.0, 19.5, 15.0, np.nan, np.nan]
    stars = stars_at(footprint, col, row, mag)
    targets = select_targets([footprint], stars, TargetParams(), **OPTIONS)
    assert sorted(targets.id.tolist()) == [1, 3, 5]
    share = {star: targets.crowding[targets.id == star][0, 1] for star in (1, 3, 5)}
    assert share[1] < 0.6  # a neighbour too faint to be a target
    assert share[3] == pytest.approx(1.0, abs=1e-12)  # one too faint to matter
    assert share[5] == pytest.approx(1.0, abs=1e-12)  # one without a magnitude
    deep = select_targets([footprint], stars, TargetParams(contaminant_limit=20.0), **OPTIONS)
    assert 0.9 < deep.crowding[deep.id == 3][0, 1] < 1.0


def test_contaminants_off_the_silicon_count() -> None:
    footprint = sip_footprint(50.0, 30.0)
    stars = stars_at(footprint, [0.0, -1.5], [900.0, 900.0], [12.0, 10.0])
    targets = select_targets([footprint], stars, TargetParams(), **OPTIONS)
    assert targets.id.tolist() == [1]
    assert targets.crowding[0, 1] < 0.7
    alone = select_targets([footprint], stars, TargetParams(margin=0.0), **OPTIONS)
    assert alone.crowding[0, 1] == pytest.approx(1.0, abs=1e-12)


def test_named_stars_only_and_whatever_their_magnitude() -> None:
    footprint = sip_footprint(50.0, 30.0)
    stars = stars_at(footprint, [100.0, 200.0, 201.0], [50.0, 60.0, 60.0], [10.0, 12.0, 17.5])
    targets = select_targets([footprint], stars, TargetParams(ids=(3, 99)), **OPTIONS)
    assert targets.id.tolist() == [3]
    assert targets.crowding[0, 0] < 0.1


def test_the_stamp_where_a_star_is_farthest_from_the_edge_wins() -> None:
    full = sip_footprint(124.6, -57.0)
    stamps = [
        stamp_of(full, "b", 100, 100, 11, 11),
        stamp_of(full, "a", 104, 100, 11, 11),
        stamp_of(full, "d", 300, 300, 11, 11),
        stamp_of(full, "c", 300, 300, 11, 11),
    ]
    #       only b | both, nearer b's middle | exactly between: a before b | nearer a's middle | twins c and d | none
    col = [102.0, 106.5, 107.0, 108.2, 303.0, 111.0]
    row = [105.0, 105.0, 105.0, 105.0, 304.0, 99.4]
    targets = select_targets(stamps, stars_at(full, col, row, 11.0), TargetParams(), **OPTIONS)
    assert dict(zip(targets.id.tolist(), targets.series.tolist(), strict=True)) == {
        1: "b",
        2: "b",
        3: "a",
        4: "a",
        5: "c",
    }
    again = select_targets(stamps[::-1], stars_at(full, col, row, 11.0), TargetParams(), **OPTIONS)
    assert np.array_equal(again.series, targets.series)
    np.testing.assert_allclose(again.crowding, targets.crowding, rtol=1e-14)
    assert np.abs(targets.col - np.array(col)[targets.id - 1]).max() < 1e-4


def test_stars_are_carried_to_the_epoch_of_the_frames() -> None:
    footprint = sip_footprint(200.0, -70.0, epoch=2019.5)
    rng = np.random.default_rng(6)
    col, row = rng.uniform(10, 2030, (2, 400))
    ra, dec = WCS(footprint.wcs, fix=False).all_pix2world(col, row, 0)
    pm = rng.normal(0, 3000, (2, 400)) * u.mas / u.yr
    still = {"distance": np.full(400, 10.0) * u.pc, "radial_velocity": np.zeros(400) * u.km / u.s}
    now = SkyCoord(ra * u.deg, dec * u.deg, pm_ra_cosdec=pm[0], pm_dec=pm[1], obstime=Time("J2019.5"), **still)
    at_2000 = now.apply_space_motion(new_obstime=Time("J2000"))
    for epoch in (2000.0, 2016.0):
        then = now.apply_space_motion(new_obstime=Time(epoch, format="jyear"))
        motion = (then.pm_ra_cosdec.to_value("mas/yr"), then.pm_dec.to_value("mas/yr"))
        stars = make_stars(np.arange(1, 401), then.ra.deg, then.dec.deg, np.full(400, 12.0), *motion, epoch)
        targets = select_targets([footprint], stars, TargetParams(), **OPTIONS)
        assert len(targets) == 400
        assert np.abs(targets.col - col[targets.id - 1]).max() < 1e-4
        assert np.abs(targets.row - row[targets.id - 1]).max() < 1e-4
        assert np.abs(targets.ra - at_2000.ra.deg[targets.id - 1]).max() < 1e-6
        assert np.abs(targets.dec - at_2000.dec.deg[targets.id - 1]).max() < 1e-6
        assert np.abs(targets.direction[0] - ra[targets.id - 1]).max() < 1e-6
        assert np.abs(targets.direction[1] - dec[targets.id - 1]).max() < 1e-6
        assert np.array_equal(targets.healpix, healpix_index(targets.ra, targets.dec))


def test_a_fast_star_enters_from_outside_its_cone() -> None:
    footprint = sip_footprint(30.0, 0.0, epoch=2025.0)
    small = stamp_of(footprint, "stamp", 1000, 1000, 9, 9)
    ra, dec = WCS(small.wcs, fix=False).all_pix2world(1004.0, 1004.0, 0)
    was = move(np.array([ra]), np.array([dec]), np.array([8000.0]), np.array([-6000.0]), -25.0)
    stars = make_stars([7], *was, [9.5], 8000.0, -6000.0)
    targets = select_targets([small], stars, TargetParams(), **OPTIONS)
    assert targets.id.tolist() == [7]
    assert abs(targets.col[0] - 1004.0) < 1e-3


def test_nothing_on_the_detector_is_no_work_and_says_where() -> None:
    footprint = sip_footprint(30.0, 0.0, series="frame-a")
    far = make_stars([1, 2], [210.0, 211.0], [0.0, 1.0], [10.0, 11.0])
    with pytest.raises(NoWork, match=r"magnitude 16 or brighter falls on frame-a"):
        select_targets([footprint], far, TargetParams(), **OPTIONS)
    with pytest.raises(NoWork, match="frame-a"):
        select_targets([footprint], far.take(slice(0, 0)), TargetParams(), **OPTIONS)
    stamps = [stamp_of(footprint, name, 5, 5, 9, 9) for name in ("y", "x")]
    with pytest.raises(NoWork, match=r"None of the 1 stars asked for falls on any of the 2 series \(x ... y\)"):
        select_targets(stamps, far, TargetParams(ids=(1,)), **OPTIONS)


def test_params_refuse_contradictions() -> None:
    with pytest.raises(ValidationError, match="contaminant_limit"):
        TargetParams(mag_limit=15.0, contaminant_limit=14.0)
    with pytest.raises(ValidationError):
        TargetParams.model_validate({"mag_limt": 15.0})
    assert TargetParams(mag_limit=14.0).depth == 17.0


def test_the_stars_of_real_stamps(ic2391: Footprint, shared_data: Path) -> None:
    """Each of the 21 TESScut series finds the star that it was cut for, in its middle."""
    folder = shared_data / "tess_ic2391_s8_c3_ccd4"
    stars, _ = read_stars(folder / "IC_2391_crossmatch_xmatch_TIC.csv.gz")
    stamps, middle = [], {}
    for path in sorted(folder.glob("TPF*.fits.gz")):
        star = int(path.name.split("_")[0].removeprefix("TPF"))
        header = fits.getheader(path, 1)
        n_row, n_col = fits.getheader(path, 2)["NAXIS2"], fits.getheader(path, 2)["NAXIS1"]
        stamps.append(stamp_of(ic2391, str(star), header["1CRV5P"] - 45, header["2CRV5P"] - 1, n_col, n_row))
        middle[star] = (header["1CRV5P"] - 45 + (n_col - 1) / 2, header["2CRV5P"] - 1 + (n_row - 1) / 2)
    # TIC 93551193 is of Tmag 16.47.
    targets = select_targets(stamps, stars, TargetParams(mag_limit=16.5), **OPTIONS)
    found = set(targets.id.tolist()) & set(middle)
    assert len(found) == 21
    for star in found:
        at = int(np.flatnonzero(targets.id == star)[0])
        assert targets.series[at] == str(star)
        assert max(abs(targets.col[at] - middle[star][0]), abs(targets.row[at] - middle[star][1])) <= 1.5
        # TIC 93551193 stands 34 arcsec from TIC 93551206 of Tmag 9.9; around the others it is 70 arcsec or far fainter.
        share = targets.crowding[at, 0]
        assert share < 0.02 if star == 93551193 else share > 0.95


def test_left_out_stars_still_disturb_and_those_of_priority_come_first() -> None:
    footprint = sip_footprint(50.0, 30.0)
    col, row = [100.0, 101.0, 300.0, 500.0, 700.0, 900.0, -50.0], [100.0] * 7
    mag = [12.0, 12.0, 15.0, 17.5, 11.0, 14.0, 9.0]
    stars = stars_at(footprint, col, row, mag)

    def chosen(**params: Any) -> list[int]:
        return sorted(select_targets([footprint], stars, TargetParams(**params), **OPTIONS).id.tolist())

    assert chosen() == [1, 2, 3, 5, 6]
    targets = select_targets([footprint], stars, TargetParams(exclude=(2, 77)), **OPTIONS)
    assert sorted(targets.id.tolist()) == [1, 3, 5, 6]
    assert targets.crowding[targets.id == 1][0, 1] < 0.6  # the one left out is there all the same
    assert chosen(priority=(4, 7)) == [1, 2, 3, 4, 5, 6]  # 7 is off the pixels
    assert chosen(ids=(1, 2), priority=(4,), exclude=(2,)) == [1, 4]
    assert chosen(max_stars=2) == [1, 5]
    assert chosen(max_stars=3) == [1, 2, 5]
    assert chosen(max_stars=3, priority=(4, 3)) == [3, 4, 5]
    assert chosen(max_stars=1, priority=(4, 3)) == [4]
    assert chosen(max_stars=9) == chosen()
    with pytest.raises(ValidationError):
        TargetParams(max_stars=0)
