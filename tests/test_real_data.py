"""The whole way from real files to light curves, against truths that others have published or measured."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from tests.real_runs import Reduce, reducer, strongest_period

from cuvee.instruments.registry import instrument
from cuvee.model.flags import ASSUMED_READOUT, FAINT_THIRD
from cuvee.survey import Survey


@pytest.fixture(scope="module")
def reduce(tmp_path_factory: pytest.TempPathFactory) -> Reduce:
    return reducer(tmp_path_factory)


@pytest.fixture(scope="module")
def ic2391(reduce: Reduce, shared_data: Path) -> Survey:
    folder = shared_data / "tess_ic2391_s8_c3_ccd4"
    survey, summary = reduce(
        [str(folder / "TPF*_S8C8.fits.gz")], str(folder / "cluster_targets_tic.ecsv"), "targets mag_limit = 17.0"
    )
    assert not summary.bad
    assert not summary.troubled
    return survey


def test_vetted_rotation_periods_of_ic2391(ic2391: Survey, shared_data: Path) -> None:
    with (shared_data / "tess_ic2391_s8_c3_ccd4" / "periods_truth.csv").open() as file:
        vetted = [row for row in csv.DictReader(file) if row["ty_Q"] == "0" and float(row["tmag_catalog"]) < 13]
    assert len(vetted) == 8
    found = 0
    for row in vetted:
        curve = ic2391.light_curve(int(row["tic"]))
        clean = (curve.quality == 0) & np.isfinite(curve.time) & np.isfinite(curve.flux)
        period = strongest_period(curve.time[clean], curve.flux[clean].astype(float))
        truth = float(row["ty_period_d"])
        found += any(abs(period / (truth * factor) - 1) < 0.05 for factor in (1.0, 0.5, 2.0))
    assert found >= 7


def test_every_star_of_the_stamps_has_all_its_cadences(ic2391: Survey) -> None:
    table = ic2391.light_curves()
    stamped = {int(path.name[3:].split("_")[0]) for path in map(Path, table["series"].to_pylist())}
    assert len(stamped) == 21
    for row in table.to_pylist():
        points = row["lc"]
        assert len(points["time"]) == 968
        assert all(np.diff(points["cadence"]) > 0)
        assert all(flag & FAINT_THIRD and not flag & ASSUMED_READOUT for flag in points["flag"])


def test_a_star_in_several_stamps_is_measured_where_it_is_farthest_from_the_edge(
    ic2391: Survey, shared_data: Path
) -> None:
    infos = [
        instrument("tess").scan(str(path))
        for path in sorted((shared_data / "tess_ic2391_s8_c3_ccd4").glob("TPF*_S8C8.fits.gz"))
    ]
    table = ic2391.light_curves(columns=["id", "series", "col", "row"]).to_pylist()
    assert len({row["id"] for row in table}) == len(table)
    for row in table:
        room = {}
        for info in infos:
            place = info.geometry
            x, y = row["col"] - place.col0, row["row"] - place.row0
            room[info.series] = min(x, place.n_col - 1 - x, y, place.n_row - 1 - y)
        assert room[row["series"]] == max(room.values())


def test_the_pipeline_mask_gives_the_missions_own_flux(reduce: Reduce, shared_data: Path) -> None:
    """D1: the sum over SPOC's optimal aperture is SAP_FLUX to float32 rounding."""
    folder = shared_data / "tess_tpf_25155310"
    survey, _ = reduce(
        [str(folder / "tess25155310-s01-first-cadences.fits.gz")],
        ["25155310,63.37389,-69.226789,10.555"],
        'extract mask = "pipeline"',
    )
    curve = survey.light_curve(25155310)
    published = fits.getdata(folder / "hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits.gz", 1)
    rows = np.isin(published["CADENCENO"], curve.cadence)
    np.testing.assert_allclose(curve.flux, published["SAP_FLUX"][rows], rtol=2e-7)
    np.testing.assert_array_equal(curve.cadence, published["CADENCENO"][rows])
    np.testing.assert_array_equal(curve.quality, published["QUALITY"][rows])
    # SPOC's error has covariance terms beyond ours: data/README puts them at a few per cent.
    np.testing.assert_allclose(curve.flux_err, published["SAP_FLUX_ERR"][rows], rtol=0.1)
    # Sector 1 of the first release is late by 1.979 s in the mean (TESS data release notes 27).
    late = 86400 * (published["TIME"][rows] - curve.time)
    np.testing.assert_allclose(late, 1.979, atol=0.05)


def test_background_subtracted_pixels_are_not_subtracted_again(reduce: Reduce, shared_data: Path) -> None:
    survey, _ = reduce(
        [str(shared_data / "tess_tpf_25155310" / "tess25155310-s01-first-cadences.fits.gz")],
        ["25155310,63.37389,-69.226789,10.555"],
    )
    curve = survey.light_curve(25155310)
    with fits.open(shared_data / "tess_tpf_25155310" / "tess25155310-s01-first-cadences.fits.gz") as file:
        pixels = file[1].data["FLUX"]
    # The largest circle holds at most the whole stamp, at least the light of the optimal aperture.
    assert (curve.aperture3_flux < np.nansum(pixels, axis=(1, 2))).all()
    assert (curve.aperture3_flux > 7900).all()


def test_vineyard_stamps_show_the_known_period(reduce: Reduce, shared_data: Path) -> None:
    """D8: TIC 100129999 varies with 0.3428 d."""
    survey, summary = reduce(
        [str(shared_data / "tess_ffi13_exotokyo" / "*.h5")],
        [
            "100129999,25.6683,-47.936,15.1639",
            "141909999,94.2409,-77.1312,15.7833",
            "1099999,35.9294,-6.63831,15.771",
        ],
    )
    assert not summary.troubled
    curve = survey.light_curve(100129999)
    good = curve.good
    assert strongest_period(curve.time[good], curve.flux[good].astype(float)) == pytest.approx(0.3428, rel=0.005)
    assert survey.light_curves(columns=["id"]).num_rows == 3
    # These files say nothing of gain, read noise and exposure, and the light curves say that.
    assert (curve.flag & ASSUMED_READOUT).all()


def test_k2_target_pixels_become_a_light_curve(reduce: Reduce, shared_data: Path) -> None:
    survey, summary = reduce(
        [str(shared_data / "k2_221312395" / "ktwo*_lpd-targ.fits.gz")],
        ["221312395,267.75039,-29.336657,13.728"],
        name="kepler",
    )
    assert not summary.troubled
    curve = survey.light_curve(221312395)
    assert curve.observations[0]["segment"] == "c91"
    published = fits.getdata(
        shared_data / "k2_221312395" / "hlsp_k2sff_k2_lightcurve_221312395-c91_kepler_v1_llc.fits.gz", 1
    )
    # K2SFF gives BKJD = BJD - 2454833 of the cadences that it kept.
    ours = curve.time[np.isfinite(curve.time)]
    nearest = np.abs(ours[:, None] - (published["T"] + 2454833 - 2457000)[None, :]).min(axis=0)
    assert nearest.max() < 1e-3
    assert np.isfinite(curve.flux[curve.good]).all()


def test_a_cropped_full_frame_image_goes_the_way_of_full_frames(reduce: Reduce, shared_data: Path) -> None:
    path = next((shared_data / "tess_ffi_crop").glob("*_ffic.fits.gz"))
    with fits.open(path) as file:
        image = file[1].data
        header = file[1].header
        for card in ("DATE-OBS", "DATE-END"):  # astropy warns that it reads them, and warnings are errors here
            del header[card]
        wcs = WCS(header)
    # The brightest isolated peaks of the science pixels serve as stars.
    science = image[:, 44:]
    order = np.argsort(science, axis=None)[::-1]
    peaks: list[tuple[int, int]] = []
    for row, col in zip(*np.unravel_index(order, science.shape), strict=True):
        inside = 12 < row < science.shape[0] - 12 and 12 < col < science.shape[1] - 12
        if inside and all(max(abs(row - r), abs(col - c)) > 9 for r, c in peaks):
            peaks.append((int(row), int(col)))
        if len(peaks) == 5:
            break
    sky = [wcs.all_pix2world(col + 44, row, 0) for row, col in peaks]
    stars = [f"{i + 1},{float(ra):.8f},{float(dec):.8f},10.0" for i, (ra, dec) in enumerate(sky)]
    survey, summary = reduce([str(path)], stars)
    assert not summary.bad
    assert not summary.troubled
    for i, (row, col) in enumerate(peaks):
        curve = survey.light_curve(i + 1)
        seen = curve.observations[0]
        assert (seen["col"], seen["row"]) == (pytest.approx(col, abs=0.01), pytest.approx(row, abs=0.01))
        assert (seen["segment"], seen["detector"]) == ("s0001", "1-4")
        assert len(curve) == 1
        # Within a pixel of its peak a star's light is brighter than any single pixel of it.
        background = float(np.median(science))
        assert curve.aperture2_flux[0] > science[row, col] - background


def test_a_stamp_of_a_single_pixel_says_why_it_cannot_be_used(reduce: Reduce, shared_data: Path) -> None:
    path = shared_data / "tess_misc" / "test-tpf-tesscut_1x1.fits.gz"
    _, summary = reduce([str(path)], ["1,217.4,-62.7,11.0"])
    (bad,) = summary.bad.values()
    assert bad.reason == "header"
    assert "too small to fit one" in bad.message
    assert path.name in bad.message
