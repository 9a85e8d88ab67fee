"""Target pixel files must hold the raw frames' pixels, and must open in lightkurve with every number where it looks for it."""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from photutils.aperture import CircularAperture
from tests.export.conftest import BROKEN, FRAMES, SIZE, Reader, origin
from tests.run import stamps
from tests.run.workspaces import raw_files, run

import cuvee
from cuvee.cli import main
from cuvee.errors import BadData, ConfigError
from cuvee.export import pixels
from cuvee.instruments.tess import TESS
from cuvee.store.numbers import read_columns
from cuvee.store.targets import read_targets
from cuvee.survey import Survey

RADII = (1.5, 2.5, 3.5)


@pytest.fixture(scope="session")
def file(survey: Survey, star: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tpf")
    assert survey.export(folder, "tpf", [star]) == 1
    (path,) = folder.iterdir()
    return path


@pytest.fixture
def table(file: Path) -> Any:
    with fits.open(file) as units:
        return units[1].data


def raw_images(survey: Survey) -> dict[int, Any]:
    """Return the whole frames as astropy reads them, by cadence number, and their WCS on the detector."""
    images = {}
    place = origin(survey)
    for i, path in enumerate(raw_files(survey.path)):
        if i == BROKEN:
            continue
        with fits.open(path) as units, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images[units[0].header["FFIINDEX"]] = (units[1].data.astype(np.float64), WCS(units[1].header), place)
    return images


def exact_weights(survey: Survey, star: int, radius: float, size: int = 11) -> tuple[Any, float, float]:
    """Return the share of each pixel in a circle, as photutils finds it, and the star's place in the cut."""
    seen = survey.light_curve(star).observations[0]
    x, y = (seen[name] - (np.floor(seen[name] + 0.5) - size // 2) for name in ("col", "row"))
    mask = CircularAperture((x, y), radius).to_mask(method="exact")
    return mask.to_image((size, size)), float(x), float(y)


def test_lightkurve_finds_everything(survey: Survey, star: int, file: Path, lightkurve_read: Reader) -> None:
    curve = survey.light_curve(star)
    assert file.name == f"hlsp_cuvee_tess_ffi_s0008-TIC{star:016d}_tess_v1_tp.fits"
    tpf = lightkurve_read(file, quality_bitmask="none")
    assert type(tpf).__name__ == "TessTargetPixelFile"
    assert tpf.shape == (FRAMES - 1, 11, 11)
    assert (tpf.targetid, tpf.sector, tpf.camera, tpf.ccd) == (star, 8, 3, 4)
    assert (tpf.ra, tpf.dec) == pytest.approx((curve.ra, curve.dec), abs=1e-9)
    np.testing.assert_array_equal(tpf.time.btjd, curve.time)
    np.testing.assert_array_equal(tpf.cadenceno, curve.cadence)
    np.testing.assert_array_equal(tpf.quality, curve.quality)
    assert tpf.time.scale == "tdb"
    assert str(tpf.flux.unit) == "electron / s"
    col, row = curve.observations[0]["col"], curve.observations[0]["row"]
    assert (tpf.column, tpf.row) == (round(col) - 5 + 45, round(row) - 5 + 1)
    light = tpf.to_lightcurve(aperture_mask="pipeline")
    assert abs(np.median(light.flux.value) / np.median(curve.flux) - 1.0) < 0.1
    assert np.isfinite(tpf.get_bkg_lightcurve().flux_err.value).all()


def test_flux_and_background_make_the_raw_pixels(survey: Survey, star: int, table: Any) -> None:
    curve = survey.light_curve(star)
    seen, place = curve.observations[0], origin(survey)
    x, y = (round(seen[name]) - 5 - place[name] for name in ("col", "row"))
    images = raw_images(survey)
    assert sorted(images) == table["CADENCENO"].tolist()
    for i, cadence in enumerate(table["CADENCENO"].tolist()):
        raw = images[cadence][0][y : y + 11, x : x + 11]
        np.testing.assert_allclose(table["FLUX"][i] + table["FLUX_BKG"][i], raw, rtol=3e-7, atol=1e-4)
        np.testing.assert_allclose(table["FLUX"][i], raw - curve.background[i], rtol=3e-7, atol=1e-4)
    assert (table["RAW_CNTS"] == -1).all()


def test_sums_over_circles_are_the_light_curves_with_their_errors(survey: Survey, star: int, table: Any) -> None:
    """So pixels, background and both errors are those of the measurement, by photutils' own circles."""
    curve = survey.light_curve(star)
    for k, radius in enumerate(RADII, 1):
        weight, _, _ = exact_weights(survey, star, radius)
        flux = np.einsum("tyx,yx->t", table["FLUX"].astype(np.float64), weight)
        np.testing.assert_allclose(flux, curve.points[f"aperture{k}_flux"], rtol=1e-5)
        light = np.einsum("tyx,yx->t", table["FLUX_ERR"].astype(np.float64) ** 2, weight**2)
        level = table["FLUX_BKG_ERR"][:, 5, 5].astype(np.float64) * weight.sum()
        np.testing.assert_allclose(
            np.sqrt(light + level**2), curve.points[f"aperture{k}_flux_err"], rtol=1e-4 + 2.0**-10
        )  # ten bits are kept


def test_pixels_on_straps_are_those_that_were_measured(survey: Survey, tmp_path: Path) -> None:
    """So the sums over circles are the light curve's there, too."""
    columns = read_columns(survey.path / "truth" / "straps.parquet")
    straps = columns["col"][columns["excess"] > 0.0]
    geometry = origin(survey)
    seen = survey.light_curves(columns=["id", "col", "row"]).to_pylist()
    inside = [r for r in seen if all(8 < r[k] - geometry[k] < SIZE - 8 for k in ("col", "row"))]
    star = int(min(inside, key=lambda r: float(np.abs(straps - r["col"]).min()))["id"])
    assert survey.export(tmp_path, "tpf", [star]) == 1
    with fits.open(next(tmp_path.iterdir())) as units:
        table = units[1].data
    curve = survey.light_curve(star)
    x, y = (round(curve.observations[0][name]) - 5 - geometry[name] for name in ("col", "row"))
    images = raw_images(survey)
    raw = np.array([images[k][0][y : y + 11, x : x + 11] for k in table["CADENCENO"].tolist()])
    share = np.median((table["FLUX"] + table["FLUX_BKG"]) / raw, axis=(0, 1))
    assert share.min() < 0.99
    assert share.max() == pytest.approx(1.0, abs=1e-6)
    for k, radius in enumerate(RADII, 1):
        weight, _, _ = exact_weights(survey, star, radius)
        flux = np.einsum("tyx,yx->t", table["FLUX"].astype(np.float64), weight)
        np.testing.assert_allclose(flux, curve.points[f"aperture{k}_flux"], rtol=1e-4, atol=1e-3)


def test_the_pipeline_mask_is_the_best_circle(survey: Survey, star: int, file: Path, lightkurve_read: Reader) -> None:
    best = int(survey.light_curve(star).observations[0]["best"].removeprefix("aperture"))
    weight, _, _ = exact_weights(survey, star, RADII[best - 1])
    np.testing.assert_array_equal(lightkurve_read(file).pipeline_mask, weight >= 0.5)


def test_sky_and_pixels_agree(survey: Survey, star: int, file: Path, lightkurve_read: Reader) -> None:
    """The star lies where its light curve says, and the corners where the whole frame's distortion puts them."""
    tpf = lightkurve_read(file)
    targets = read_targets(next((survey.path / "RED").rglob("targets.parquet")))
    at = int(np.flatnonzero(targets.id == star)[0])
    x, y = tpf.wcs.all_world2pix(*(angle[at] for angle in targets.direction), 0)
    seen = survey.light_curve(star).observations[0]
    assert (tpf.column - 45 + x, tpf.row - 1 + y) == pytest.approx((seen["col"], seen["row"]), abs=1e-3)

    middle = raw_images(survey)[int(tpf.cadenceno[FRAMES // 2])]
    place = middle[2]
    corners = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], dtype=np.float64)
    ra, dec = tpf.wcs.all_pix2world(corners, 0).T
    u, v = middle[1].all_world2pix(ra, dec, 0)
    shift = np.stack([u, v]).T - corners - [tpf.column - 45 - place["col"], tpf.row - 1 - place["row"]]
    assert np.abs(shift - shift.mean(axis=0)).max() < 1e-3  # scale, turn and sense
    assert np.abs(shift).max() < 0.5  # that frame's own pointing
    with fits.open(file) as units:
        again = WCS(units["APERTURE"].header).all_pix2world(corners, 0)
    np.testing.assert_allclose(again, np.stack([ra, dec]).T, rtol=1e-12)


def test_motion_is_that_of_the_frames_own_wcs(survey: Survey, star: int, table: Any) -> None:
    seen = survey.light_curve(star).observations[0]
    targets = read_targets(next((survey.path / "RED").rglob("targets.parquet")))
    at = int(np.flatnonzero(targets.id == star)[0])
    moved = []
    images = raw_images(survey)
    for cadence in table["CADENCENO"].tolist():
        _, wcs, place = images[cadence]
        x, y = wcs.all_world2pix(*(angle[at] for angle in targets.direction), 0)
        moved.append([x + place["col"] - seen["col"], y + place["row"] - seen["row"]])
    told = np.stack([table["POS_CORR1"], table["POS_CORR2"]]).T
    assert np.ptp(moved, axis=0).max() > 0.02  # the simulated spacecraft jitters
    np.testing.assert_allclose(told, moved, atol=1e-3)


def test_timecorr_leads_back_to_the_spacecraft(survey: Survey, table: Any) -> None:
    """TIME - TIMECORR is the middle of the exposure by the spacecraft's clock (and the sector's offset, 2 s at most)."""
    starts = {}
    for i, path in enumerate(raw_files(survey.path)):
        if i != BROKEN:
            with fits.open(path) as units:
                head = units[0].header
                starts[head["FFIINDEX"]] = 0.5 * (head["TSTART"] + head["TSTOP"])
    at = [starts[cadence] for cadence in table["CADENCENO"].tolist()]
    assert np.abs(table["TIME"] - table["TIMECORR"] - at).max() * 86400.0 < 2.1
    assert np.ptp(table["TIME"] - table["TIMECORR"] - at) * 86400.0 < 0.1


def test_the_file_is_sound_and_does_not_pose_as_the_missions(file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a wrong CHECKSUM is only a warning to astropy
        with fits.open(file, checksum=True) as units:
            units.verify("exception")
            assert [unit.name for unit in units] == ["PRIMARY", "PIXELS", "APERTURE"]
            assert units[0].header["ORIGIN"] == "cuvee"
            assert units[0].header["CREATOR"].startswith("cuvee")
            for unit in units:
                silent = [c.keyword for c in unit.header.cards if c.keyword != "COMMENT" and not c.comment]
                assert not silent


def test_lightkurve_works_on_with_it(file: Path, tmp_path: Path, lightkurve_read: Reader) -> None:
    """Its cutouts, coordinates and copies look in corners of the header that reading does not."""
    tpf = lightkurve_read(file, quality_bitmask="none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tpf.to_fits(
            tmp_path / "copy_tp.fits"
        )  # ahead of the cutout, which does damage to any file's columns (lightkurve 2.5)
        small = tpf.cutout(center=(5, 5), size=5)
    x, y = small.column - tpf.column, small.row - tpf.row
    assert x > 0
    np.testing.assert_array_equal(small.flux, tpf.flux[:, y : y + 5, x : x + 5])
    np.testing.assert_array_equal(lightkurve_read(tmp_path / "copy_tp.fits", quality_bitmask="none").flux, tpf.flux)
    ra, dec = tpf.get_coordinates()
    assert ra.shape == tpf.shape
    cosine = np.cos(np.radians(tpf.dec))
    assert np.hypot((ra[:, 5, 5] - tpf.ra) * cosine, dec[:, 5, 5] - tpf.dec).max() < 21.0 / 3600.0
    small.hdu.close()


def test_cuvee_reads_its_own_file(survey: Survey, star: int, file: Path, table: Any) -> None:
    info = TESS.scan(str(file))
    pixels = TESS.read(info, None)
    curve = survey.light_curve(star)
    assert (info.segment, info.detector, info.target_id) == ("s0008", "3-4", star)
    assert info.background_subtracted
    assert info.has_mask
    np.testing.assert_allclose(info.moments.mid, curve.time, atol=1e-9)
    np.testing.assert_array_equal(pixels.flux, table["FLUX"])
    assert info.geometry.col0 == round(curve.observations[0]["col"]) - 5


def test_pixels_off_the_detector_are_nan_and_the_star_keeps_the_middle(survey: Survey, tmp_path: Path) -> None:
    place = origin(survey)
    rows = survey.light_curves(columns=["id", "col", "row"]).to_pylist()
    near = [r for r in rows if round(r["col"]) - place["col"] < 4]
    assert near, "choose another seed: no star at the edge"
    (one, *_) = near
    survey.export(tmp_path, "tpf", [one["id"]], size=9)
    with fits.open(next(tmp_path.iterdir())) as units:
        flux, aperture, head = units[1].data["FLUX"], units["APERTURE"].data, units[1].header
    assert flux.shape[1:] == (9, 9)
    x = round(one["col"]) - 4 - place["col"]
    y = round(one["row"]) - 4 - place["row"]
    assert x < 0
    off = np.ones((9, 9), dtype=bool)
    off[max(-y, 0) : SIZE - y, -x:] = False
    np.testing.assert_array_equal(np.isnan(flux).all(axis=0), off)
    np.testing.assert_array_equal(aperture == 0, off)
    assert head["1CRV5P"] == place["col"] + x + 45


def test_stars_in_small_batches_give_the_same_bytes(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [int(i) for i in survey.light_curves(columns=["id"])["id"].to_pylist()[:7]]
    told: list[int] = []
    assert survey.export(tmp_path / "one", "tpf", ids, progress=lambda n, total: told.append(n * total)) == 7
    assert told == [7] * 7
    monkeypatch.setattr(pixels, "_MEMORY", 3 * 4 * FRAMES * 121)
    assert survey.export(tmp_path / "three", "tpf", ids) == 7
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "three" / path.name).read_bytes()


def test_stamps_are_cut_out_of_the_file_that_measured_the_star(tmp_path: Path, lightkurve_read: Reader) -> None:
    root = stamps.make_workspace(tmp_path / "cuts", 2)
    run(root)
    survey = cuvee.open(root)
    assert survey.export(tmp_path / "out", "tpf", [1001], size=5) == 1
    (path,) = (tmp_path / "out").iterdir()
    tpf = lightkurve_read(path, quality_bitmask="none")
    seen = survey.light_curve(1001)
    (cutout,) = (root / "RAW").glob(f"*{seen.observations[0]['series']}*")
    with fits.open(cutout) as units:
        raw = units[1].data["FLUX"]
        corner = units[1].header["1CRV4P"], units[1].header["2CRV4P"]
    x, y = tpf.column - corner[0], tpf.row - corner[1]
    np.testing.assert_allclose((tpf.flux + tpf.flux_bkg).value, raw[:, y : y + 5, x : x + 5], rtol=3e-7, atol=1e-4)


def test_k2_files_are_cut_out_of_the_missions(shared_data: Path, tmp_path: Path, lightkurve_read: Reader) -> None:
    mission = next((shared_data / "k2_221312395").glob("*_lpd-targ.fits.gz"))
    root = tmp_path / "k2"
    root.mkdir()
    (root / "stars.csv").write_text("ID,ra,dec,mag\n221312395,267.75039,-29.336657,13.728\n")
    (root / "cuvee.toml").write_text(
        f'[workspace]\ninstrument = "kepler"\n[data]\nfiles = ["{mission}"]\n[catalog]\nfiles = ["stars.csv"]\n'
    )
    run(root)
    assert cuvee.open(root).export(tmp_path / "out", "tpf", [221312395], size=7) == 1
    ours = lightkurve_read(next((tmp_path / "out").iterdir()), quality_bitmask="none")
    theirs = lightkurve_read(mission, quality_bitmask="none")
    assert type(ours).__name__ == "KeplerTargetPixelFile"
    keep = np.isin(theirs.cadenceno, ours.cadenceno)
    x, y = ours.column - theirs.column, ours.row - theirs.row
    cut = (keep, slice(y, y + 7), slice(x, x + 7))
    np.testing.assert_allclose(ours.time.jd, theirs.time.jd[keep], atol=1e-8)
    # The mission's errors know of more than photons and reading.
    for got, want, limit in ((ours.flux + ours.flux_bkg, theirs.flux, 1e-6), (ours.flux_err, theirs.flux_err, 0.3)):
        ratio = got.value / want.value[cut]
        assert np.isfinite(ratio).mean() > 0.99
        assert np.nanmedian(np.abs(ratio - 1.0)) < limit
    np.testing.assert_allclose(
        ours.wcs.all_pix2world([[3, 3]], 0), theirs.wcs.all_pix2world([[x + 3, y + 3]], 0), atol=2e-6
    )


def test_what_the_mission_subtracted_is_background_too(shared_data: Path, tmp_path: Path) -> None:
    mission = shared_data / "tess_tpf_25155310" / "tess25155310-s01-first-cadences.fits.gz"
    root = tmp_path / "spoc"
    root.mkdir()
    (root / "stars.csv").write_text("ID,ra,dec,Tmag\n25155310,63.373898,-69.226789,10.67\n")
    (root / "cuvee.toml").write_text(
        f'[workspace]\ninstrument = "tess"\n[data]\nfiles = ["{mission}"]\n[catalog]\nfiles = ["stars.csv"]\n'
    )
    run(root)
    assert cuvee.open(root).export(tmp_path / "out", "tpf", [25155310], size=5) == 1
    with fits.open(next((tmp_path / "out").iterdir())) as ours, fits.open(mission) as theirs:
        table, want = ours[1].data, theirs[1].data
        assert theirs[1].header["BACKAPP"]
        x, y = (ours[1].header[f"{k}CRV5P"] - theirs[1].header[f"{k}CRV5P"] for k in (1, 2))
        keep = np.isin(want["CADENCENO"], table["CADENCENO"])
        assert keep.any()
        before = (want["FLUX"] + want["FLUX_BKG"])[keep, y : y + 5, x : x + 5]
        error = want["FLUX_ERR"][keep, y : y + 5, x : x + 5]
    assert np.isfinite(before).all()
    np.testing.assert_allclose(table["FLUX"] + table["FLUX_BKG"], before, rtol=3e-7)
    assert np.median(table["FLUX_ERR"] / error) == pytest.approx(1.0, abs=0.1)
    assert (table["FLUX_BKG"] > 10.0).all()  # theirs, not only what cuvee finds on top


def test_mistakes_are_told_in_a_sentence(survey: Survey, star: int, tmp_path: Path) -> None:
    for size in (0, 4, 999):
        with pytest.raises(ConfigError, match="odd number"):
            survey.export(tmp_path / "out", "tpf", [star], size=size)
    with pytest.raises(ConfigError, match="leave it out"):
        survey.export(tmp_path / "out", "csv", [star], size=11)
    with pytest.raises(ConfigError, match="tpf, hdf5"):
        survey.export(tmp_path / "out", "xls", [star])
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        survey.export(tmp_path / "file", "tpf", [star])
    assert not (tmp_path / "out").exists()


def test_frames_that_are_not_what_was_measured_are_left_out(
    survey: Survey, star: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the command line, on files that vanish and change."""
    root = tmp_path / "moved"
    raw = tmp_path / "raw"
    shutil.copytree(survey.path / "RAW", raw)
    root.mkdir()
    text = (survey.path / "cuvee.toml").read_text().replace('"RAW"', f'"{raw}"')
    (root / "cuvee.toml").write_text(text.replace('"BASE/CAT', f'"{survey.path}/BASE/CAT'))
    run(root)

    def export(out: str) -> tuple[int, str]:
        words = ["cuvee", "export", str(star), "-w", str(root), "-f", "tpf", "-o", str(tmp_path / out), "-q"]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    files = sorted(raw.iterdir())
    files[1].unlink()
    files[2].touch()
    code, said = export("some")
    assert (code, said) == (0, f"Wrote 1 file into {tmp_path / 'some'}\n")
    whole = survey.light_curve(star).cadence.tolist()
    with fits.open(next((tmp_path / "some").iterdir())) as units:
        assert units[1].data["CADENCENO"].tolist() == [c for i, c in enumerate(whole) if i not in (1, 2)]
    shutil.rmtree(raw)
    code, said = export("none")
    assert code == 1
    assert f"Star {star} has no frames in s0008 3-4" in said
    assert "run again" in said
    with pytest.raises(BadData, match="0 files were written"):
        cuvee.open(root).export(tmp_path / "none", "tpf", [star])
