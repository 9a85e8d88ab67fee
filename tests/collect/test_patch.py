"""Light curves against a slow loop over single points, in memory and read back from their file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from tests.collect.blocks import DEC0, MASK, RA0, make_block, make_targets, noisy

from cuvee.collect import CollectParams, SeriesFluxes, collect
from cuvee.errors import AlgorithmError, ConfigError, NoWork
from cuvee.model.flags import EDGE, NO_FRAME, NO_TIME
from cuvee.model.records import Geometry, LightCurves, Targets
from cuvee.model.time import earth_position, move_time
from cuvee.photometry.rounding import round_to_noise
from cuvee.store.hats import write_patch


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
            same(name, values[stretch], expected)


def ten_bits(values: NDArray[Any]) -> NDArray[Any]:
    mantissa, exponent = np.frexp(values.astype(np.float64))
    return np.asarray(np.ldexp(np.floor(1024.0 * mantissa + 0.5) / 1024.0, exponent), values.dtype)


def same(name: str, found: NDArray[Any], expected: Mapping[str, Sequence[float] | NDArray[Any]]) -> None:
    """Ask for the same bits, but for times: a matrix product may round otherwise than a single one. Errors have ten bits."""
    wanted = np.asarray(expected.get(name, []), found.dtype)
    if name.endswith("flux_err"):
        wanted = ten_bits(wanted)
    if name == "time":
        np.testing.assert_allclose(found, wanted, rtol=1e-15, atol=0)
    else:
        np.testing.assert_array_equal(found, wanted, err_msg=name)


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


def test_the_file_gives_every_bit_back(tmp_path: Path) -> None:
    targets = make_targets(230)  # three row groups
    blocks = [
        make_block(128, 230, 30, missing=(0, 1, 9, 29)),
        make_block(256, 230, 11),
        make_block(384, 230, missing=(4,)),
    ]
    blocks[1].planes["aperture2_flux"][::5, 3] = np.nan
    series = [SeriesFluxes(blocks, np.arange(230), RA0, DEC0)]
    curves = collect(series, targets, "s0008", "3-4", CollectParams(), MASK)
    write_patch(tmp_path / "curves.parquet", curves)
    table = pq.read_table(tmp_path / "curves.parquet")
    assert table["id"].to_pylist() == targets.id.tolist()
    points = table["lc"].combine_chunks()
    lists = {child.name: points.field(child.name) for child in points.type.fields}
    for star, best in enumerate(table["best"].to_pylist()):
        expected = slow(series, targets, star, best)
        assert lists.keys() == expected.keys() - {"background_err"}
        for name, values in lists.items():
            same(name, values[star].values.to_numpy(), expected)


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


def test_edge_is_that_of_the_aperture_which_flux_holds() -> None:
    targets = replace(make_targets(3), col=np.array([10.0, 2.2, 0.3]), row=np.array([10.0, 10.0, 10.0]))
    block = make_block(0, 3)
    block.planes["flag"][:] = np.array([[0], [EDGE], [EDGE]], np.int32)
    series = [SeriesFluxes([block], np.arange(3), RA0, DEC0, Geometry(20, 20, 0, 0))]
    curves = collect(series, targets, "s0008", "3-4", CollectParams(), MASK)
    edge = [(curves.points["flag"][a] & EDGE) != 0 for a in curves.offsets[:-1]]
    assert edge == [False, False, True]
    assert curves.best[1] in ("aperture1", "aperture2")  # 2.7 px of room


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
            same(what, curves.points[what][stretch], {what: block.planes[f"{best}_{what}"][star]})
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
