"""Light curves against a slow loop over single points, against astropy's times, and against noise of known size."""

from collections.abc import Sequence
from dataclasses import replace
from math import erf
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord, solar_system_ephemeris
from astropy.time import Time
from photutils.aperture import CircularAperture, aperture_photometry
from pydantic import ValidationError

from cuvee.collect import CollectParams, SeriesFluxes, choose_aperture, collect, enclosed_light
from cuvee.errors import AlgorithmError, ConfigError, NoWork
from cuvee.model.flags import ASTEROID, EDGE, NO_FRAME, NO_TIME, SATURATED, TESS_QUALITY, default_mask
from cuvee.model.records import FluxBlock, Geometry, LightCurves, Moments, Targets
from cuvee.model.time import earth_position, move_time
from cuvee.photometry.rounding import round_to_noise

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


def slow(series: Sequence[SeriesFluxes], targets: Targets, star: int, best: str) -> dict[str, list[float]]:
    """Gather one star's points one by one."""
    found: dict[str, list[float]] = {}
    for one in series:
        for block in sorted(one.blocks, key=lambda b: b.moments.cadence[0]):
            for position in np.flatnonzero(one.rows == star):
                for k in range(block.moments.cadence.size):
                    if (block.planes["flag"][:, k] & NO_FRAME).all():
                        continue
                    mid = 0.5 * (block.moments.start[k] + block.moments.stop[k])
                    earth = earth_position(np.array([mid]))
                    sky = targets.ra[star : star + 1], targets.dec[star : star + 1]
                    time = move_time(np.array([mid]), one.time_ra, one.time_dec, *sky, earth)[0, 0]
                    flag = int(block.planes["flag"][position, k])
                    point = {
                        "time": time,
                        "cadence": block.moments.cadence[k],
                        "quality": block.moments.quality[k],
                        "flag": flag if np.isfinite(time) else flag | NO_TIME,
                    }
                    point |= {name: plane[position, k] for name, plane in block.planes.items() if name != "flag"}
                    point |= {"flux": point[f"{best}_flux"], "flux_err": point[f"{best}_flux_err"]}
                    for name, value in point.items():
                        found.setdefault(name, []).append(float(value))
    return found


def check(curves: LightCurves, series: Sequence[SeriesFluxes], targets: Targets) -> None:
    assert curves.offsets[0] == 0
    for star in range(len(targets)):
        expected = slow(series, targets, star, str(curves.best[star]))
        stretch = slice(curves.offsets[star], curves.offsets[star + 1])
        assert curves.offsets[star + 1] - curves.offsets[star] == len(expected.get("time", ()))
        for name, values in curves.points.items():
            np.testing.assert_allclose(values[stretch], expected.get(name, []), rtol=1e-12, atol=0, err_msg=name)


def test_blocks_of_full_frames_become_light_curves() -> None:
    targets = make_targets(9)
    blocks = [make_block(128, 9, missing=(0, 5)), make_block(256, 9), make_block(384, 9, missing=range(16))]
    blocks[1].moments.start[7] = np.nan  # a frame without a time stays, with a flag
    series = [SeriesFluxes(blocks[::-1], np.arange(9), RA0, DEC0)]
    curves = collect(series, targets, "s0008", "3-4", CollectParams(), MASK)
    assert (curves.segment, curves.detector) == ("s0008", "3-4")
    assert np.diff(curves.offsets).tolist() == [30] * 9
    assert list(curves.points) == [
        "time",
        "cadence",
        "quality",
        "flag",
        "flux",
        "flux_err",
        "background",
        "centroid_col",
        "centroid_row",
        "aperture1_flux",
        "aperture1_flux_err",
        "aperture2_flux",
        "aperture2_flux_err",
        "aperture3_flux",
        "aperture3_flux_err",
    ]
    kinds = {name: values.dtype for name, values in curves.points.items()}
    assert kinds.pop("time") == np.float64
    assert {kinds.pop(name) for name in ("cadence", "quality", "flag")} == {np.dtype(np.int32)}
    assert set(kinds.values()) == {np.dtype(np.float32)}
    check(curves, series, targets)
    lost = curves.points["cadence"] == 256 + 7
    assert np.isnan(curves.points["time"][lost]).all()
    assert (curves.points["flag"][lost] & NO_TIME).all()
    assert not (curves.points["flag"][~lost] & NO_TIME).any()
    assert np.isfinite(curves.points["flux"][lost]).all()


def test_input_blocks_are_left_as_they_were() -> None:
    block = make_block(128, 4)
    block.moments.start[2] = np.nan
    before = {name: plane.copy() for name, plane in block.planes.items()}
    for plane in block.planes.values():
        plane.flags.writeable = False
    collect([SeriesFluxes([block], np.arange(4), RA0, DEC0)], make_targets(4), "s", "d", CollectParams(), MASK)
    for name, plane in block.planes.items():
        np.testing.assert_array_equal(plane, before[name])


def test_several_stamps_in_a_patch_give_light_curves_of_different_lengths() -> None:
    targets = make_targets(8)
    series = [
        SeriesFluxes([make_block(0, 3, 40, missing=(3,))], np.array([1, 2, 3]), RA0, DEC0),
        SeriesFluxes([make_block(10, 2, 25)], np.array([6, 0]), RA0 + 1, DEC0),
        SeriesFluxes([make_block(20, 1, 7, missing=range(7))], np.array([7]), RA0, DEC0),
    ]
    curves = collect(series, targets, "s0008", "3-4", CollectParams(), MASK)
    assert np.diff(curves.offsets).tolist() == [25, 39, 39, 39, 0, 0, 25, 0]
    check(curves, series, targets)


def test_times_are_those_of_astropy_in_the_direction_of_the_star() -> None:
    targets = make_targets(6)
    block = make_block(128, 6)
    centre = EarthLocation.from_geocentric(0, 0, 0, u.m)
    with solar_system_ephemeris.set("builtin"):
        seen = Time(2457000.0 + 1517.4 + block.moments.cadence / 48.0, format="jd", scale="tdb", location=centre)
        there = SkyCoord(RA0 * u.deg, DEC0 * u.deg)
        mid = (seen + seen.light_travel_time(there)).jd - 2457000.0
        stars = SkyCoord(targets.ra * u.deg, targets.dec * u.deg)
        truth = [(seen + seen.light_travel_time(star)).jd - 2457000.0 for star in stars]
    half = 900 / 86400
    moments = replace(block.moments, start=mid - half, stop=mid + half)
    series = [SeriesFluxes([replace(block, moments=moments)], np.arange(6), RA0, DEC0)]
    curves = collect(series, targets, "s0008", "3-4", CollectParams(), MASK)
    times = curves.points["time"].reshape(6, 16)
    np.testing.assert_allclose(times, truth, rtol=0, atol=0.001 / 86400)
    assert np.abs(times - mid).max() > 5 / 86400  # what it would be off by otherwise


def test_times_hold_where_a_fast_star_is_now() -> None:
    """Barnard's star has come 200 arcsec since 2000, which is up to half a second of light across the Earth's orbit."""
    targets = make_targets(2)
    now = replace(targets, moved_ra=targets.ra + np.array([0.0, 0.08]), moved_dec=targets.dec + np.array([0.0, 0.05]))
    blocks = [make_block(0, 2)]
    curves = collect([SeriesFluxes(blocks, np.arange(2), RA0, DEC0)], now, "s0008", "3-4", CollectParams(), MASK)
    there = replace(targets, ra=now.direction[0], dec=now.direction[1])
    expected = collect([SeriesFluxes(blocks, np.arange(2), RA0, DEC0)], there, "s0008", "3-4", CollectParams(), MASK)
    np.testing.assert_array_equal(curves.points["time"], expected.points["time"])
    np.testing.assert_array_equal(curves.targets.ra, targets.ra)
    still = collect([SeriesFluxes(blocks, np.arange(2), RA0, DEC0)], targets, "s0008", "3-4", CollectParams(), MASK)
    late = 86400 * np.abs(curves.points["time"] - still.points["time"]).reshape(2, -1).max(axis=1)
    assert late[0] == 0.0
    assert 0.1 < late[1] < 1.0


def test_times_stay_where_their_direction_is_unknown() -> None:
    block = make_block(128, 2)
    series = [SeriesFluxes([block], np.arange(2), np.nan, np.nan)]
    curves = collect(series, make_targets(2), "s0008", "3-4", CollectParams(), MASK)
    np.testing.assert_array_equal(curves.points["time"].reshape(2, 16), [block.moments.mid] * 2)


def noisy(relative: Sequence[Sequence[float]], n: int = 400, seed: int = 7) -> list[Any]:
    """Fluxes of shape (n_star, n), one array an aperture, with the given relative noise of each star in each aperture."""
    rng = np.random.default_rng(seed)
    noise = np.asarray(relative, float)
    return [
        (1000.0 * (k + 1) * (1 + noise[:, k : k + 1] * rng.standard_normal((len(noise), n)))).astype(np.float32)
        for k in range(noise.shape[1])
    ]


def test_the_best_aperture_has_the_smallest_scatter_for_the_light_it_holds() -> None:
    fluxes = noisy([[1e-3, 2e-3, 3e-3], [9e-3, 1e-3, 2e-3], [9e-3, 4e-3, 1e-3]])
    good = np.ones(fluxes[0].shape, bool)
    shares = (1.0, 2.0, 3.0)  # as the fluxes of `noisy` grow
    assert choose_aperture(fluxes, good, shares).tolist() == [0, 1, 2]
    # Outliers count for nothing where they are flagged.
    for flux in fluxes:
        flux[:, ::3] += 1e6
    good[:, ::3] = False
    assert choose_aperture(fluxes, good, shares).tolist() == [0, 1, 2]


def test_light_of_neighbours_does_not_make_an_aperture_good() -> None:
    rng = np.random.default_rng(3)
    noise = [rng.normal(0, sigma, (1, 600)) for sigma in (2.0, 3.0, 4.0)]
    # The largest aperture is full of a bright constant neighbour: quiet for its flux, but not for the star's.
    fluxes = [level + n for level, n in zip((800.0, 1000.0, 90_000.0), noise, strict=True)]
    good = np.ones((1, 600), bool)
    assert choose_aperture(fluxes, good, (0.8, 0.99, 1.0)).tolist() == [0]


def test_a_clipped_aperture_is_taken_only_where_all_are() -> None:
    flux = noisy([[1e-3]] * 3)[0]
    good = np.ones(flux.shape, bool)
    fluxes = [3 * flux, 2 * flux, flux]
    whole = np.array([[True, True, False], [True, False, False], [False, False, False]])
    assert choose_aperture(fluxes, good, (1.0, 1.0, 1.0), whole).tolist() == [1, 0, 2]
    assert choose_aperture(fluxes, ~good, (1.0, 1.0, 1.0), whole).tolist() == [1, 0, 1]


def test_edge_is_that_of_the_aperture_which_flux_holds() -> None:
    targets = replace(make_targets(3), col=np.array([10.0, 2.2, 0.3]), row=np.array([10.0, 10.0, 10.0]))
    block = make_block(0, 3)
    block.planes["flag"][:] = np.array([[0], [EDGE], [EDGE]], np.int32)
    series = [SeriesFluxes([block], np.arange(3), RA0, DEC0, Geometry(20, 20, 0, 0))]
    curves = collect(series, targets, "s0008", "3-4", CollectParams(), MASK)
    edge = [(curves.points["flag"][a] & EDGE) != 0 for a in curves.offsets[:-1]]
    assert edge == [False, False, True]
    assert curves.best[1] in ("aperture1", "aperture2")  # 2.7 px of room


def test_enclosed_light_is_that_of_drawn_stars() -> None:
    """Stars drawn pixel by pixel at all sub-pixel places, summed by photutils."""
    fwhm, radii = 1.9, (1.5, 2.5, 3.5)
    width = fwhm / np.sqrt(4 * np.log(2))
    edges = np.arange(-10.5, 11.0)
    rng = np.random.default_rng(8)
    sums = []
    for x, y in rng.uniform(-0.5, 0.5, (200, 2)):
        across, up = (np.diff([0.5 * erf((e - c) / width) for e in edges]) for c in (x, y))
        apertures = [CircularAperture((x + 10, y + 10), r) for r in radii]
        table = aperture_photometry(np.outer(up, across), apertures, method="exact")
        sums.append([table[f"aperture_sum_{k}"][0] for k in range(3)])
    np.testing.assert_allclose(enclosed_light(radii, fwhm), np.mean(sums, axis=0), atol=0.004)


def test_equals_and_stars_without_measure_take_the_middle_aperture() -> None:
    flux = noisy([[1e-3]])[0]
    dark = np.full_like(flux, np.nan)
    good = np.ones(flux.shape, bool)
    ones = (1.0, 1.0, 1.0)
    assert choose_aperture([flux, flux, flux], good, ones).tolist() == [1]
    assert choose_aperture([flux, dark, flux], good, ones).tolist() == [0]
    assert choose_aperture([dark, dark, dark], good, ones).tolist() == [1]
    assert choose_aperture([flux, flux, flux], ~good, ones).tolist() == [1]
    assert choose_aperture([-flux, -flux, -flux], good, ones).tolist() == [1]
    assert choose_aperture([flux, -flux, dark], good, ones).tolist() == [0]
    assert choose_aperture([flux, flux], good, (1.0, 1.0)).tolist() == [0]


def test_best_flux_and_crowding_belong_together_star_by_star() -> None:
    n_star, n_frame = 3, 400
    fluxes = noisy([[1e-3, 2e-3, 3e-3], [6e-3, 1e-3, 2e-3], [9e-3, 2e-3, 3e-4]])
    block = make_block(0, n_star, n_frame)
    for k, flux in enumerate(fluxes):
        block.planes[f"aperture{k + 1}_flux"][:] = flux
    block.planes["flag"][:] = 0
    # Frames with bad quality are ruined, worst in the aperture that is best otherwise.
    bad = block.moments.quality == 32
    block.planes["aperture1_flux"][0, bad] *= 1 + np.arange(bad.sum()) % 2
    targets = replace(make_targets(n_star), crowding=np.array([[0.99, 0.98, 0.97]] * 3))
    series = [SeriesFluxes([block], np.arange(n_star), RA0, DEC0)]
    curves = collect(series, targets, "s0008", "3-4", CollectParams(), MASK)
    assert curves.best.tolist() == ["aperture1", "aperture2", "aperture3"]
    assert curves.targets.crowding[:, 0].tolist() == [0.99, 0.98, 0.97]
    for star, best in enumerate(curves.best):
        stretch = slice(curves.offsets[star], curves.offsets[star + 1])
        for what in ("flux", "flux_err"):
            np.testing.assert_array_equal(curves.points[what][stretch], block.planes[f"{best}_{what}"][star])
    for name in ("healpix", "id", "ra", "dec", "mag", "series", "col", "row", "flag"):
        np.testing.assert_array_equal(getattr(curves.targets, name), getattr(targets, name))


def test_one_aperture_for_all_can_be_asked_for() -> None:
    targets = make_targets(4)
    series = [SeriesFluxes([make_block(0, 4)], np.arange(4), RA0, DEC0)]
    curves = collect(series, targets, "s0008", "3-4", CollectParams(aperture="aperture3"), MASK)
    assert curves.best.tolist() == ["aperture3"] * 4
    np.testing.assert_array_equal(curves.points["flux"], curves.points["aperture3_flux"])
    np.testing.assert_array_equal(curves.targets.crowding[:, 0], targets.crowding[:, 2])
    with pytest.raises(ConfigError, match="'aperture4' was not measured; choose best or one of aperture1"):
        collect(series, targets, "s0008", "3-4", CollectParams(aperture="aperture4"), MASK)


@pytest.mark.parametrize("radii", [(1.5, 2.5, 3.5), (2.5,)])
def test_light_curves_of_a_single_mask_have_the_columns_of_the_others(radii: tuple[float, ...]) -> None:
    targets = make_targets(2, radii=radii)
    block = replace(make_block(0, 2, n_aperture=1), meta={"mask": True})
    # The circles would reach beyond these pixels; the mask does not.
    series = [SeriesFluxes([block], np.arange(2), RA0, DEC0, Geometry(3, 3, 0, 0))]
    curves = collect(series, targets, "s0008", "3-4", CollectParams(), MASK)
    assert curves.best.tolist() == ["aperture1"] * 2
    assert curves.targets.radii == ()
    assert np.isnan(curves.targets.crowding).all()
    assert not np.any(curves.points["flag"] & EDGE)
    assert all(np.isnan(curves.points[f"aperture{k + 1}_flux_err"]).all() for k in range(1, len(radii)))
    np.testing.assert_array_equal(curves.points["flux"], curves.points["aperture1_flux"])


def test_rounding_on_request_touches_fluxes_and_background_only() -> None:
    targets = make_targets(6)
    blocks = [make_block(128, 6), make_block(256, 6)]
    blocks[0].planes["aperture2_flux"][:, 3] = np.nan
    blocks[0].planes["aperture3_flux_err"][2, 5] = np.nan
    exact = collect([SeriesFluxes(blocks, np.arange(6), RA0, DEC0)], targets, "s0008", "3-4", CollectParams(), MASK)
    params = CollectParams(round_noise=8.0)
    curves = collect([SeriesFluxes(blocks, np.arange(6), RA0, DEC0)], targets, "s0008", "3-4", params, MASK)
    assert (exact.round_noise, curves.round_noise) == (0.0, 8.0)
    assert curves.best.tolist() == exact.best.tolist()
    for name, values in curves.points.items():
        if name != "background" and not name.endswith("flux"):
            np.testing.assert_array_equal(values, exact.points[name], err_msg=name)
        else:
            assert (values != exact.points[name])[np.isfinite(values)].mean() > 0.9, name
    for k in (1, 2, 3):
        flux, error = (exact.points[f"aperture{k}_{what}"] for what in ("flux", "flux_err"))
        np.testing.assert_array_equal(curves.points[f"aperture{k}_flux"], round_to_noise(flux, error, 8.0))
    flux, error = exact.points["flux"], exact.points["flux_err"]
    np.testing.assert_array_equal(curves.points["flux"], round_to_noise(flux, error, 8.0))
    # A point does not depend on what else is there.
    alone = collect([SeriesFluxes(blocks[1:], np.arange(6), RA0, DEC0)], targets, "s0008", "3-4", params, MASK)
    for name in ("background", "aperture1_flux"):
        whole = curves.points[name].reshape(6, 32)[:, 16:].ravel()
        np.testing.assert_array_equal(alone.points[name], whole)


def test_params_refuse_what_they_do_not_know() -> None:
    coarse: tuple[dict[str, Any], ...] = ({"round_noise": 0.5}, {"round_noise": -1}, {"round_noise": float("nan")})
    for wrong in ({"aperture": "worst"}, {"aperture": "aperture0"}, {"apertures": "best"}, *coarse):
        with pytest.raises(ValidationError):
            CollectParams(**wrong)


def test_nothing_to_collect_is_no_work() -> None:
    targets = make_targets(2)
    for series in (
        [],
        [SeriesFluxes([], np.arange(2), RA0, DEC0)],
        [SeriesFluxes([make_block(0, 0)], np.arange(0), RA0, DEC0)],
    ):
        with pytest.raises(NoWork):
            collect(series, targets, "s0008", "3-4", CollectParams(), MASK)


def test_blocks_that_do_not_belong_together_are_refused() -> None:
    targets = make_targets(4)
    rows = np.arange(4)
    wrong = [
        [SeriesFluxes([make_block(0, 4), make_block(128, 3)], rows, RA0, DEC0)],
        [SeriesFluxes([make_block(0, 4), make_block(128, 4, n_aperture=2)], rows, RA0, DEC0)],
        [
            SeriesFluxes([make_block(0, 2)], rows[:2], RA0, DEC0),
            SeriesFluxes([make_block(0, 2, n_aperture=1)], rows[2:], RA0, DEC0),
        ],
    ]
    for series in wrong:
        with pytest.raises(AlgorithmError, match="run extract again"):
            collect(series, targets, "s0008", "3-4", CollectParams(), MASK)
