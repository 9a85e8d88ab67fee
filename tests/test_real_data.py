"""The whole way from real files to light curves, against truths that others have published or measured."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.timeseries import LombScargle
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy import ndimage

import cuvee
from cuvee.config import write_workspace
from cuvee.errors import ConfigError
from cuvee.instruments.registry import instrument
from cuvee.metrics import point_to_point_scatter
from cuvee.model.flags import ASSUMED_READOUT, EDGE, FAINT_THIRD, NO_HALO, NO_MASK
from cuvee.pipeline import PIPELINE
from cuvee.run.start import RunOptions, RunSummary, run_workspace
from cuvee.store.blocks import read_block
from cuvee.store.references import read_reference
from cuvee.survey import Survey

Reduce = Callable[..., tuple[Survey, RunSummary]]


class Silent:
    def begin(self, label: str, total: int) -> None: ...
    def advance(self, steps: int = 1) -> None: ...
    def end(self) -> None: ...
    def say(self, message: str) -> None: ...


@pytest.fixture(scope="module")
def reduce(tmp_path_factory: pytest.TempPathFactory) -> Reduce:
    def run(
        data: list[str], catalog: str | list[str], extra: str = "", name: str = "tess"
    ) -> tuple[Survey, RunSummary]:
        folder = tmp_path_factory.mktemp("survey")
        if isinstance(catalog, list):
            table = folder / "stars.csv"
            table.write_text("\n".join(["ID,ra,dec,mag", *catalog]) + "\n")
            catalog = str(table)
        config = write_workspace(folder / "w", name, data, [catalog])
        for change in extra.splitlines():
            section, _, setting = change.partition(" ")
            config.write_text(config.read_text().replace(f"[{section}]", f"[{section}]\n{setting}"))
        summary = run_workspace(config.parent, PIPELINE, RunOptions(executor="serial"), Silent())
        return cuvee.open(config.parent), summary

    return run


def strongest_period(time: NDArray[np.float64], flux: NDArray[np.float64]) -> float:
    """Return the strongest Lomb-Scargle peak between 0.1 and 13 d, after 6-MAD clipping."""
    middle = np.median(flux)
    mad = np.median(np.abs(flux - middle))
    keep = np.abs(flux - middle) < 6 * mad
    frequency = np.linspace(1 / 13, 10, 100_000)
    power = LombScargle(time[keep], flux[keep]).power(frequency)
    return float(1 / frequency[np.argmax(power)])


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


def own_mask(survey: Survey) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return rows and columns, within its stamp, of the mask of the only star of a survey."""
    block = read_block(next((survey.path / "RED").rglob("*.arrow")))
    reference = read_reference(next((survey.path / "BASE" / "reference-frames").glob("*.reference")))
    assert block.masks is not None
    col, row = block.masks.of(0)
    return row - reference.geometry.row0, col - reference.geometry.col0


def test_the_own_mask_of_a_tess_star_holds_that_of_the_mission(reduce: Reduce, shared_data: Path) -> None:
    folder = shared_data / "tess_tpf_25155310"
    survey, summary = reduce(
        [str(folder / "tess25155310-s01-first-cadences.fits.gz")],
        ["25155310,63.37389,-69.226789,10.555"],
        "extract k2p2 = true",
    )
    assert not summary.troubled
    curve = survey.light_curve(25155310)
    rows, cols = own_mask(survey)
    with fits.open(folder / "tess25155310-s01-first-cadences.fits.gz") as file:
        table, mission = file[1].data, (file[2].data & 2) > 0
        at = np.searchsorted(table["CADENCENO"], curve.cadence)
        sums = table["FLUX"].astype(np.float64)[:, rows, cols].sum(axis=1)[at]
    inside = np.zeros(mission.shape, bool)
    inside[rows, cols] = True
    assert inside[mission].all()
    np.testing.assert_allclose(curve.mask_flux, sums, rtol=1e-6)
    published = fits.getdata(folder / "hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits.gz", 1)
    sap = published["SAP_FLUX"][np.searchsorted(published["CADENCENO"], curve.cadence)]
    # The mission's nine pixels leave the wings out; with them the flux is the star's, after its magnitude, within 15 %.
    assert (curve.mask_flux > sap).all()
    assert np.median(curve.mask_flux) == pytest.approx(10 ** (0.4 * (20.44 - 10.555)), rel=0.15)


def test_in_a_crowded_field_the_own_mask_is_quieter_than_the_prf_masks_of_others(
    reduce: Reduce, shared_data: Path
) -> None:
    """Kepler's bulge: the peaks of the mean image serve as the catalogue, so that the star's mask is cut out among them."""
    folder = shared_data / "k2_221312395"
    path = next(folder.glob("ktwo*"))
    with fits.open(path) as tpf:
        image = np.nanmean(tpf[1].data["FLUX"].astype(np.float64), axis=0)
    info = instrument("kepler").scan(str(path))
    wcs, place = WCS(fits.Header.fromstring(info.wcs)), info.geometry
    peak = (image == ndimage.maximum_filter(image, 3)) & (image > 1.1 * np.nanmedian(image))
    row, col = np.nonzero(peak)
    ra, dec = wcs.all_pix2world(col + place.col0, row + place.row0, 0)
    x, y = wcs.all_world2pix(267.75039, -29.336657, 0)
    away = np.hypot(col + place.col0 - x, row + place.row0 - y)
    assert away.min() < 0.5  # the star is one of the peaks
    others = [f"{k + 1},{ra[k]:.7f},{dec[k]:.7f},15.0" for k in np.flatnonzero(away > 1.5)]
    survey, summary = reduce(
        [str(path)],
        ["221312395,267.75039,-29.336657,13.728", *others],
        "extract k2p2 = true\ntargets ids = [221312395]",
        "kepler",
    )
    assert not summary.troubled
    curve = survey.light_curve(221312395)
    rows, cols = own_mask(survey)
    with fits.open(next(folder.glob("hlsp*"))) as k2sff:
        masks = k2sff["PRF_APER_TBL"].data != 0
        tables = [k2sff[f"PRF_APER{n}"].data for n in range(4)]
    assert masks[3][rows, cols].all()  # the star's light, after their PRF
    assert rows.size > 9
    # On the same cadences, relative to the median of each.
    kept = np.isin(np.round(curve.time + 2457000 - 2454833, 3), np.round(tables[0]["T"], 3)) & curve.good
    assert kept.sum() > 1000

    def scatter(flux: NDArray[np.float64]) -> float:
        return float(point_to_point_scatter(flux[None])[0] / np.median(flux))

    ours = scatter(curve.mask_flux[kept].astype(np.float64))
    assert ours < 0.8 * min(scatter(table["FRAW"].astype(np.float64)) for table in tables)


def test_the_own_masks_of_cluster_stars_are_sums_of_their_pixels(reduce: Reduce, shared_data: Path) -> None:
    folder = shared_data / "tess_ic2391_s8_c3_ccd4"
    survey, summary = reduce(
        [str(folder / "TPF*_S8C8.fits.gz")],
        str(folder / "cluster_targets_tic.ecsv"),
        "targets mag_limit = 17.0\nextract k2p2 = true\nextract halo = true",
    )
    assert not summary.troubled
    assert "halo" not in survey.light_curves(columns=["best"])["best"].to_pylist()
    checked, quieter = 0, 0
    for path in sorted((survey.path / "RED").rglob("*.arrow")):
        block = read_block(path)
        assert block.masks is not None
        source = folder / f"{path.name.removesuffix('.arrow')}.fits.gz"
        geometry = instrument("tess").scan(str(source)).geometry
        flux = fits.getdata(source, 1)["FLUX"].astype(np.float64)
        for s in range(block.rows.size):
            col, row = block.masks.of(s)
            lost = np.isnan(block.planes["mask_flux"][s])
            assert (lost | (block.planes["flag"][s] & NO_MASK == 0)).all()
            if col.size == 0:
                assert lost.all()
                continue
            sums = flux[:, row - geometry.row0, col - geometry.col0].sum(axis=1)
            redone = sums - col.size * block.planes["background"][s].astype(np.float64)
            good = ~lost & (block.moments.quality == 0)
            np.testing.assert_allclose(block.planes["mask_flux"][s, good], redone[good], rtol=2e-6, atol=0.02)
            noise = [
                point_to_point_scatter(block.planes[f"{name}_flux"][s, good][None])[0]
                / np.median(block.planes[f"{name}_flux"][s, good])
                for name in ("mask", "aperture3")
            ]
            checked, quieter = checked + 1, quieter + bool(noise[0] < noise[1])
            assert (block.planes["flag"][s] & NO_HALO).all()  # none of them saturates
    assert checked >= 18
    assert quieter > 0.7 * checked


@pytest.mark.parametrize("form", ["npy", "fits"])
def test_a_mask_from_a_file_sums_its_pixels_and_nothing_else(
    reduce: Reduce, shared_data: Path, tmp_path: Path, form: str
) -> None:
    """D3: K2SFF's FRAW is the sum over its mask less as many medians of the pixels outside CIRC_APER3."""
    folder = shared_data / "k2_221312395"
    with fits.open(next(folder.glob("ktwo*"))) as tpf, fits.open(next(folder.glob("hlsp*"))) as k2sff:
        pixels, circles = tpf[1].data["FLUX"].astype(np.float64), k2sff["CIRC_APER_TBL"].data != 0
        cadence, table = tpf[1].data["CADENCENO"], k2sff["CIRC_APER4"].data
    mask = tmp_path / f"mask.{form}"
    if form == "npy":
        np.save(mask, circles[4])
    else:
        fits.PrimaryHDU(circles[4].astype(np.uint8)).writeto(mask)
    survey, summary = reduce(
        [str(folder / "ktwo*_lpd-targ.fits.gz")],
        ["221312395,267.75039,-29.336657,13.728"],
        f'extract mask = "{mask}"\nextract radii = [2.5]',
        "kepler",
    )
    assert not summary.troubled
    curve = survey.light_curve(221312395)
    assert np.isnan(curve.observations[0]["crowding"])
    assert not (curve.flag & EDGE).any()
    assert (curve.background[np.isfinite(curve.background)] == 0).all()
    np.testing.assert_array_equal(curve.flux, curve.aperture1_flux)
    background = np.nanmedian(pixels[:, ~circles[3]], axis=1)
    ours = dict(zip(curve.cadence.tolist(), curve.flux.astype(np.float64), strict=True))
    at = np.searchsorted(cadence, table["CADENCENO"])
    total = np.array([ours[int(number)] for number in table["CADENCENO"]])
    raw = total - circles[4].sum() * background[at]
    truth = table["FRAW"] * np.median(raw) / np.median(table["FRAW"])
    np.testing.assert_allclose(raw, truth, rtol=0, atol=2.0**-23 * total.max())
    assert survey.stamp(curve).radii == ()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("shape", "words"), [((11, 10), "a mask of 10 x 11 pixels .* but that has 11 x 10"), (None, "there is no file")]
)
def test_a_mask_that_does_not_fit_or_is_not_there_is_named(
    reduce: Reduce, shared_data: Path, tmp_path: Path, shape: tuple[int, int] | None, words: str
) -> None:
    mask = tmp_path / "mask.npy"
    if shape is not None:
        np.save(mask, np.ones(shape, bool))
    with pytest.raises(ConfigError, match=words):
        reduce(
            [str(shared_data / "k2_221312395" / "ktwo*_lpd-targ.fits.gz")],
            ["221312395,267.75039,-29.336657,13.728"],
            f'extract mask = "{mask}"',
            "kepler",
        )


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
