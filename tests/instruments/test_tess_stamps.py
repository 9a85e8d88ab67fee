"""Cutouts and target pixel files: real ones against the mission's catalogues, made ones for the corners."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from cuvee.errors import BadData
from cuvee.instruments.tess import TESS
from cuvee.instruments.tess_clock import cadence_number, name_seconds
from cuvee.instruments.tess_stamps import frame_names
from cuvee.model.records import FileInfo
from cuvee.model.time import DAY, earth_position, move_time

Maker = Callable[..., Path]
S1_START = 1325.313100604524


@cache
def _ic2391(folder: Path) -> list[FileInfo]:
    return [TESS.scan(str(path)) for path in sorted(folder.glob("TPF*.fits.gz"))]


@pytest.fixture(scope="module")
def cluster(shared_data: Path) -> Path:
    return shared_data / "tess_ic2391_s8_c3_ccd4"


@pytest.fixture(scope="module")
def s8_wcs(cluster: Path) -> WCS:
    for row in pq.read_table(cluster / "tess-s0008-wcs-catalog.parquet").to_pylist():
        if (row["camera"], row["ccd"]) == (3, 4):
            return WCS(fits.Header.fromstring(row["wcs"]))
    raise AssertionError


@pytest.fixture(scope="module")
def s8_frames(cluster: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(cluster / "tess-s0008-spoc-ffi-catalog.parquet").to_pandas()
    table = table[(table.camera == 3) & (table.ccd == 4)]
    epoch = np.datetime64("2014-12-08T12:00:00")
    tdb_minus_utc = 69.184
    out = {
        "name": table.path.str.rsplit("/", n=1).str[1].str[:38].to_numpy().astype(str),
        "quality": table.quality.to_numpy(),
        "barycorr": table.barycorr.to_numpy(),
    }
    for key in ("start", "stop"):
        # Whole seconds, truncated: on average half a second is missing.
        seconds = (table[key].to_numpy().astype("datetime64[s]") - epoch) / np.timedelta64(1, "s")
        out[key] = (seconds + 0.5 + tdb_minus_utc) / DAY
    return out


def test_positions_are_those_of_the_full_frame_s_wcs(cluster: Path, s8_wcs: WCS) -> None:
    """Truth D6: within 0.01 px of the SIP WCS."""
    infos = _ic2391(cluster)
    assert len(infos) == 21
    for info in infos:
        head = fits.getheader(info.path)
        col, row = WCS(fits.Header.fromstring(info.wcs)).all_world2pix(head["RA_OBJ"], head["DEC_OBJ"], 0)
        full_col, full_row = s8_wcs.all_world2pix(head["RA_OBJ"], head["DEC_OBJ"], 1)
        np.testing.assert_allclose([col, row], [full_col - 45.0, full_row - 1.0], atol=0.01)
        g = info.geometry
        assert g.col0 <= col <= g.col0 + g.n_col - 1
        assert g.row0 <= row <= g.row0 + g.n_row - 1
        assert (info.segment, info.detector, info.kind) == ("s0008", "3-4", "tesscut")
        assert info.series == Path(info.path).name.removesuffix(".fits.gz")
        assert not info.background_subtracted
        assert not info.has_mask


def test_names_and_quality_are_those_of_the_full_frames(cluster: Path, s8_frames: dict[str, np.ndarray]) -> None:
    """Truth D7: names and order of 968 frames; quality but for bits 128 and 16384, which the older release lacks."""
    for info in _ic2391(cluster):
        quality = info.moments.quality
        assert quality.size == 968
        keep = ~(128 | 16384)
        np.testing.assert_array_equal(quality & keep, s8_frames["quality"] & keep)
    first = _ic2391(cluster)[0]
    np.testing.assert_array_equal([name[:38] for name in frame_names(first.path)], s8_frames["name"])
    assert not np.array_equal(first.moments.quality, s8_frames["quality"])


def test_times_are_those_of_the_reprocessed_frames(
    cluster: Path, s8_frames: dict[str, np.ndarray], s8_wcs: WCS
) -> None:
    """Corrected starts and stops agree with the newer release's within 0.1 s in the mean, cadence by cadence within its rounding."""
    moments = _ic2391(cluster)[0].moments
    for key in ("start", "stop"):
        error = (getattr(moments, key) - s8_frames[key]) * DAY
        assert abs(error.mean()) < 0.1
        assert np.abs(error).max() < 0.7
    np.testing.assert_allclose((moments.stop - moments.start) * DAY, 1799.98, atol=0.01)
    # They hold in the direction of the CCD's reference pixel, which the stamp itself does not tell.
    info = _ic2391(cluster)[0]
    ra, dec = (float(x) for x in s8_wcs.all_pix2world(1068.0, 1024.0, 1))
    earth = earth_position(moments.mid)
    moved = move_time(moments.mid, info.time_ra, info.time_dec, [ra], [dec], earth)[0]
    assert np.abs(moved - moments.mid).max() * DAY < 0.1


def test_rebuilt_times_are_on_no_grid(cluster: Path) -> None:
    """TIME of a cutout is up to 3.5 s off; ours differ from it by that and the sector's offset, and have no steps."""
    info = _ic2391(cluster)[0]
    with fits.open(info.path) as hdus:
        coarse = hdus[1].data["TIME"]
    off = (info.moments.mid - coarse) * DAY + 1.419
    assert 3.0 < np.abs(off).max() < 4.0
    assert abs(off.mean()) < 0.2
    step = np.diff(info.moments.start - info.moments.barycorr)[np.diff(info.moments.cadence) == 1] * DAY
    np.testing.assert_allclose(step, 1799.99924, atol=1e-3)


def test_cadence_numbers_are_those_of_the_full_frames(cluster: Path, s8_frames: dict[str, np.ndarray]) -> None:
    """Across the gaps, from the names, a stamp's cadences are what the frames' own headers give, with or without FFIINDEX."""
    start = s8_frames["start"] - s8_frames["barycorr"]
    expected = cadence_number(start, 1800.0)
    assert expected[0] == 13915  # FFIINDEX of the cutouts' primary header
    assert np.diff(expected).max() == 158
    for info in _ic2391(cluster):
        np.testing.assert_array_equal(info.moments.cadence, expected)


def test_all_stamps_have_the_same_time_axis_but_each_its_own_pixels(cluster: Path) -> None:
    infos = _ic2391(cluster)
    for info in infos[1:]:
        np.testing.assert_allclose(info.moments.mid, infos[0].moments.mid, atol=0.01 / DAY)
        assert info.time_ra == pytest.approx(infos[0].time_ra, abs=0.02)
        assert info.time_dec == pytest.approx(infos[0].time_dec, abs=0.01)
    contents = {TESS.read(info, None).content for info in infos}
    assert len(contents) == 21


def test_pipeline_mask_reproduces_sap_flux(shared_data: Path) -> None:
    """Truth D1: to float32 rounding."""
    folder = shared_data / "tess_tpf_25155310"
    info = TESS.scan(str(folder / "tess25155310-s01-first-cadences.fits.gz"))
    assert (info.kind, info.segment, info.detector, info.target_id) == ("tpf-120s", "s0001", "4-1", 25155310)
    assert info.background_subtracted
    assert info.has_mask
    pixels = TESS.read(info, None)
    assert pixels.mask is not None
    assert pixels.background is not None
    assert pixels.mask.sum() == 9
    with fits.open(folder / "hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits.gz") as hdus:
        curve = hdus[1].data
        at = {int(cadence): k for k, cadence in enumerate(curve["CADENCENO"])}
        rows = [at[int(cadence)] for cadence in info.moments.cadence]
        sap, background, time = (curve[name][rows].astype(float) for name in ("SAP_FLUX", "SAP_BKG", "TIME"))
    np.testing.assert_allclose(pixels.flux[:, pixels.mask].sum(axis=1, dtype=float), sap, rtol=3e-7)
    np.testing.assert_allclose(pixels.background[:, pixels.mask].sum(axis=1, dtype=float), background, rtol=1e-6)
    np.testing.assert_allclose((info.moments.mid - time) * DAY, -1.979, atol=1e-3)


def test_tpf_lies_where_the_full_frame_s_wcs_puts_it(shared_data: Path) -> None:
    """The WCS of a target pixel file is the pointing model; POS_CORR, half a pixel here, leads to where the star is."""
    info = TESS.scan(str(shared_data / "tess_tpf_25155310" / "tess25155310-s01-first-cadences.fits.gz"))
    star = 63.37480890472281, -69.22651163825252
    for row in pq.read_table(shared_data / "tess_misc" / "tess-s0001-wcs-catalog.parquet").to_pylist():
        if (row["camera"], row["ccd"]) == (4, 1):
            full = WCS(fits.Header.fromstring(row["wcs"])).all_world2pix(*star, 1)
    mine = WCS(fits.Header.fromstring(info.wcs)).all_world2pix(*star, 0)
    table = fits.getdata(info.path, 1)
    drift = [float(np.nanmedian(table[name])) for name in ("POS_CORR1", "POS_CORR2")]
    np.testing.assert_allclose(np.add(mine, drift), [full[0] - 45.0, full[1] - 1.0], atol=0.15)


def test_one_pixel_is_too_few_and_says_so(shared_data: Path) -> None:
    with pytest.raises(BadData, match=r"not of the detector's scale.*at least 3 x 3 pixels") as caught:
        TESS.scan(str(shared_data / "tess_misc" / "test-tpf-tesscut_1x1.fits.gz"))
    assert caught.value.reason == "header"


def test_light_curves_are_no_pixels(shared_data: Path) -> None:
    path = shared_data / "tess_tpf_25155310" / "hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits.gz"
    with pytest.raises(BadData, match="a light curve") as caught:
        TESS.scan(str(path))
    assert caught.value.reason == "wrong-shape"


def test_cutout_with_gaps_and_without_ffiindex(make_stamp: Maker) -> None:
    path = make_stamp("a_astrocut.fits", cut=True, length=1800.0, gaps=(2, 3))
    info = TESS.scan(str(path))
    np.testing.assert_array_equal(info.moments.cadence, 4697 + np.array([0, 1, 4, 5, 6, 7]))
    np.testing.assert_allclose(info.moments.start[2], S1_START + 4 * 1800 / DAY + 0.002, atol=1e-6 + 0.01 / DAY)
    assert info.readout.exposure == pytest.approx(1425.6)
    assert TESS.read(info, None).mask is None


def test_cutout_whose_ends_do_not_fit_takes_its_coarse_times(make_stamp: Maker) -> None:
    path = make_stamp("b_astrocut.fits", cut=True, length=200.0, primary={"TSTOP": S1_START + 1.0})
    info = TESS.scan(str(path))
    np.testing.assert_allclose(info.moments.mid, S1_START + (np.arange(6) + 0.5) * 200 / DAY + 0.002, atol=1e-6)
    np.testing.assert_array_equal(np.diff(info.moments.cadence), 1)


def test_fast_and_slow_target_pixel_files(make_stamp: Maker) -> None:
    for length, kind in ((120.0, "tpf-120s"), (20.0, "tpf-20s")):
        info = TESS.scan(str(make_stamp(f"{kind}_tp.fits", length=length)))
        assert info.kind == kind
        assert info.target_id == 1234
        np.testing.assert_array_equal(info.moments.cadence, 500 + np.arange(6))
        np.testing.assert_allclose((info.moments.stop - info.moments.start) * DAY, length, rtol=1e-6)
        assert info.readout.exposure == pytest.approx(0.792 * length)
        assert (info.time_ra, info.time_dec) == (131.45, -53.43)
        pixels = TESS.read(info, None)
        assert pixels.background is not None
        assert np.all(pixels.background == 7.0)
        assert pixels.mask is not None
        assert pixels.mask.sum() == 4


def test_pixels_off_the_science_area_are_cut_off(make_stamp: Maker) -> None:
    path = make_stamp("edge_tp.fits", corner=(43, 2046))
    info = TESS.scan(str(path))
    g = info.geometry
    assert (g.n_row, g.n_col, g.row0, g.col0) == (3, 2, 2045, 0)
    pixels = TESS.read(info, None)
    np.testing.assert_array_equal(pixels.flux, fits.getdata(path, 1)["FLUX"][:, :3, 2:])
    assert pixels.mask is not None
    assert pixels.mask.shape == (3, 2)
    with pytest.raises(BadData, match="off the science pixels"):
        TESS.scan(str(make_stamp("off_tp.fits", corner=(3, 100))))


def test_rows_without_time_are_kept(make_stamp: Maker) -> None:
    path = make_stamp("nan_tp.fits")
    with fits.open(path, mode="update") as hdus:
        hdus[1].data["TIME"][2] = np.nan
        hdus[1].data["CADENCENO"][4] = hdus[1].data["CADENCENO"][3]
    moments = TESS.scan(str(path)).moments
    np.testing.assert_array_equal(np.isnan(moments.mid), [False, False, True, False, False, False])
    assert moments.cadence[3] == moments.cadence[4]


def test_blank_stamps_and_missing_columns(make_stamp: Maker) -> None:
    path = make_stamp("blank_tp.fits")
    info = TESS.scan(str(path))
    data = path.read_bytes()
    with fits.open(path, mode="update") as hdus:
        hdus[1].data["FLUX"][:] = np.nan
    with pytest.raises(BadData) as caught:
        TESS.read(info, None)
    assert caught.value.reason == "all-nan"
    path.write_bytes(data.replace(b"'QUALITY '", b"'QUALITEE'"))
    with pytest.raises(BadData, match="no proper column QUALITY"):
        TESS.scan(str(path))


def test_name_seconds() -> None:
    assert name_seconds("tess2018206192942-s0001-1-4-0120-s_ffic.fits") == pytest.approx(
        S1_START * DAY - 69.184, abs=1.0
    )
    assert np.isnan(name_seconds("frame.fits"))


NASTY = [
    "",
    "T",
    "-1",
    "0",
    "1E400",
    "1E299",
    "NaN",
    "''",
    "'",
    "99999999999999999999",
    "7.5",
    "'(3,3)'",
    "'1000000000E'",
    "'0E'",
]


@pytest.mark.parametrize("cut", [True, False])
def test_no_value_of_any_card_escapes_as_anything_but_bad_data(make_stamp: Maker, cut: bool) -> None:
    path = make_stamp("fuzz_astrocut.fits" if cut else "fuzz_tp.fits", cut=cut, length=1800.0 if cut else 120.0)
    data = path.read_bytes()
    rng = np.random.default_rng(11)
    cards = [at for at in range(0, 4 * 2880, 80) if data[at + 8 : at + 10] == b"= "]
    outcomes = 0
    for _ in range(1000):
        damaged = bytearray(data)
        for at in rng.choice(cards, size=rng.integers(1, 4), replace=False):
            damaged[at + 10 : at + 80] = NASTY[rng.integers(len(NASTY))].rjust(20).encode().ljust(70)
        path.write_bytes(damaged)
        try:
            info = TESS.scan(str(path))
            pixels = TESS.read(info, None)
        except BadData as error:
            outcomes += error.reason != ""
            continue
        assert pixels.flux.shape[1:] == (info.geometry.n_row, info.geometry.n_col)
        if info.wcs:
            WCS(fits.Header.fromstring(info.wcs))
    assert outcomes > 300
