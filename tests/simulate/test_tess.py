"""A simulated workspace: its files against the mission's facts, its pixels against its own truth."""

import filecmp
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray

from cuvee.errors import ConfigError
from cuvee.simulate import ffi, tess
from cuvee.simulate.attitude import AU_DAYS
from cuvee.simulate.params import PLAIN, SimulationParams
from cuvee.simulate.pixels import background
from cuvee.simulate.plan import draw_light, make_plan
from cuvee.simulate.pointing import make_wcs, moved
from cuvee.simulate.signals import sinusoid_mean, transit_mean
from cuvee.simulate.truth import TABLES

Columns = dict[str, NDArray[Any]]
Truth = tuple[Columns, Columns]
Cube = NDArray[np.float64]

SIZE, FRAMES = 160, 34  # the first momentum dump is in frame 28


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sim") / "window"
    tess.simulate(out, frames=FRAMES, stars=120, size=SIZE, seed=7)
    return out


@pytest.fixture(scope="module")
def truth(workspace: Path) -> Truth:
    stars = pq.read_table(workspace / "truth" / "stars.parquet").to_pydict()
    frames = pq.read_table(workspace / "truth" / "frames.parquet").to_pydict()
    return {k: np.array(v) for k, v in stars.items()}, {k: np.array(v) for k, v in frames.items()}


@pytest.fixture(scope="module")
def files(workspace: Path) -> list[Path]:
    return sorted((workspace / "RAW").iterdir())


@pytest.fixture(scope="module")
def cube(files: list[Path]) -> Cube:
    return np.stack([fits.getdata(f, 1) for f in files]).astype(float)


def _wcs(header: Any) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # MJD-OBS from DATE-OBS: with real frames, too
        return WCS(header)


def test_the_workspace_is_complete(workspace: Path, files: list[Path]) -> None:
    assert {p.name for p in workspace.iterdir()} >= {"RAW", "BASE", "truth", "cuvee.toml"}
    assert len(files) == FRAMES
    header = (workspace / "BASE" / "CAT" / "catalog.csv").read_text().splitlines()[0]
    assert header == "ID,ra,dec,pmRA,pmDEC,Tmag"


def test_headers_say_what_the_missions_do(files: list[Path], truth: Truth) -> None:
    _, frames = truth
    assert [f.name for f in files] == frames["name"].tolist()
    for k in (0, 28, FRAMES - 1):
        with fits.open(files[k]) as f:
            primary, cal, uncert = (unit.header for unit in f)
        name = Time(primary["DATE-OBS"]).to_datetime().strftime("%Y%j%H%M%S")
        assert files[k].name == f"tess{name}-s0008-3-4-0136-s_ffic.fits"
        assert primary["DATA_REL"] >= 30
        assert primary["SIMDATA"] is True
        assert primary["FFIINDEX"] == frames["cadence"][k] == frames["cadence"][0] + k
        assert primary["TSTOP"] - primary["TSTART"] == pytest.approx(1800 / 86400, abs=1e-10)
        # DATE-OBS is UTC, TSTART is TDB.
        assert Time(primary["DATE-OBS"], scale="utc").tdb.jd - 2457000 == pytest.approx(primary["TSTART"], abs=2e-8)
        for header in (cal, uncert):
            assert header["TSTART"] - primary["TSTART"] == pytest.approx(header["BARYCORR"], abs=1e-11)
            assert header["TSTOP"] - primary["TSTOP"] == pytest.approx(header["BARYCORR"], abs=1e-11)
        assert (cal["TSTART"] + cal["TSTOP"]) / 2 == pytest.approx(frames["time"][k], abs=1e-10)
        assert cal["EXTNAME"] == "CAMERA.CCD 3.4 cal"
        assert cal["EXPOSURE"] * 86400 == pytest.approx(cal["NREADOUT"] * cal["INT_TIME"], rel=1e-6)
        assert cal["NUM_FRM"] * cal["FRAMETIM"] == pytest.approx(cal["TIMEDEL"] * 86400)
        assert cal["BACKAPP"] is False
        assert cal["DQUALITY"] == frames["quality"][k] == (32 if k == 28 else 0)


def test_barycentric_correction_agrees_with_astropy(files: list[Path]) -> None:
    header = fits.getheader(files[0], 1)
    primary = fits.getheader(files[0], 0)
    pixel = (
        header["BTC_PIX1"] - ffi.FIRST_COL - (ffi.SCIENCE - SIZE) // 2,
        header["BTC_PIX2"] - (ffi.SCIENCE - SIZE) // 2,
    )
    target = SkyCoord(*_wcs(header).all_pix2world(*pixel, 1), unit="deg")
    middle = Time(2457000.0, 0.5 * (primary["TSTART"] + primary["TSTOP"]), format="jd", scale="tdb")
    centre = EarthLocation.from_geocentric(0, 0, 0, unit="m")
    roemer = middle.light_travel_time(target, kind="barycentric", location=centre, ephemeris="builtin")
    # The spacecraft is 40 Earth radii (0.85 s) from the Earth's centre.
    assert abs(roemer.to_value("s") - header["BARYCORR"] * 86400) < 0.86


def test_sky_and_pixels_agree_through_the_wcs_of_every_frame(workspace: Path, files: list[Path], truth: Truth) -> None:
    stars, frames = truth
    table = np.genfromtxt(workspace / "BASE" / "CAT" / "catalog.csv", delimiter=",", names=True)
    assert np.array_equal(table["ID"], stars["id"])
    years = (Time(fits.getheader(files[0], 0)["DATE-OBS"]).jyear) - 2000.0
    ra = table["ra"] + table["pmRA"] * years / 3.6e6 / np.cos(np.radians(table["dec"]))
    dec = table["dec"] + table["pmDEC"] * years / 3.6e6
    for k in (0, 13, 28):
        wcs = _wcs(fits.getheader(files[k], 1))
        assert wcs.wcs.crpix[0] == 1045 - (ffi.FIRST_COL + (ffi.SCIENCE - SIZE) // 2)
        x, y = wcs.all_world2pix(ra, dec, 0)
        first = (ffi.SCIENCE - SIZE) // 2
        for axis, at in (("col", x), ("row", y)):
            shift = frames[f"jitter_{axis}"][k] + frames[f"drift_{axis}"][k]
            for along in ("col", "row"):
                shift = shift + frames[f"drift_{axis}_by_{along}"][k] * (stars[along] - 1023.5)
            np.testing.assert_allclose(at + first, stars[axis] + shift, atol=2e-3)
        back = wcs.all_pix2world(x, y, 0)
        np.testing.assert_allclose(back[0], ra, atol=1e-9)


def test_the_distortion_is_of_the_size_of_the_real_one() -> None:
    cards = make_wcs(128.25, -46.5, 23.0)
    assert 30 < cards["A_DMAX"] < 70
    assert 5e-6 < abs(cards["A_2_0"]) < 5e-5
    wcs = _wcs(fits.Header(cards))
    grid = np.stack(np.meshgrid(np.linspace(1, 2136, 30), np.linspace(1, 2078, 30)), axis=-1).reshape(-1, 2)
    # The inverse polynomials are as good as real ones: 0.01 px, and 0.2 px in the corners.
    there = wcs.sip_foc2pix(wcs.sip_pix2foc(grid, 1), 1)
    assert np.abs(there - grid).max() < 0.4
    assert np.median(np.abs(there - grid)) < 0.02
    # 21 arcseconds a pixel and the parity of TESS images (east to the right of north).
    assert np.linalg.det(wcs.wcs.cd) > 0
    for d_col, d_row in ((0.1, 0.0), (-0.05, 0.15)):
        sky = wcs.all_pix2world(grid, 1)
        shifted = _wcs(fits.Header(moved(cards, d_col, d_row))).all_world2pix(sky, 1)
        assert np.abs(shifted - grid - [d_col, d_row]).max() < 0.02
        assert np.median(np.abs(shifted - grid - [d_col, d_row])) < 0.003


def test_checksums_are_right(files: list[Path]) -> None:
    raw = files[3].read_bytes()
    with fits.open(files[3], checksum=False) as f:
        bounds = [f.fileinfo(k) for k in range(3)]
    assert bounds[-1]["datLoc"] + bounds[-1]["datSpan"] == len(raw)
    for b in bounds:
        words = np.frombuffer(raw[b["hdrLoc"] : b["datLoc"] + b["datSpan"]], dtype=">u4").astype(np.uint64)
        total = int(words.sum())
        while total >> 32:
            total = (total & 0xFFFFFFFF) + (total >> 32)
        assert total == 0xFFFFFFFF


def _stars_nearby(stars: Columns, k: Any) -> float:
    apart = np.hypot(stars["col"] - stars["col"][k], stars["row"] - stars["row"][k])
    return float(stars["flux"][(apart < 14) & (apart > 0)].sum())


def test_pixels_hold_the_flux_that_the_truth_says(cube: Cube, truth: Truth) -> None:
    stars, _ = truth
    first = (ffi.SCIENCE - SIZE) // 2
    x, y = stars["col"] - first, stars["row"] - first
    inside = (x > 12) & (x < SIZE - 13) & (y > 12) & (y < SIZE - 13) & (stars["kind"] == "constant")
    lonely = [k for k in np.flatnonzero(inside) if _stars_nearby(stars, k) < 0.01 * stars["flux"][k]]
    assert lonely, "choose another seed: no bright star is alone"
    for k in lonely:
        c, r = round(x[k]), round(y[k])
        box = cube[:, r - 9 : r + 10, c - 9 : c + 10]
        ring = np.concatenate([box[:, :2].reshape(FRAMES, -1), box[:, -2:].reshape(FRAMES, -1)], axis=1)
        flux = box.sum(axis=(1, 2)) - 361 * np.median(ring, axis=1)
        noise = np.sqrt(stars["flux"][k] / 1425.6 + 361 * 0.11) / np.sqrt(FRAMES)
        assert abs(flux.mean() - stars["flux"][k]) < 5 * noise + _stars_nearby(stars, k) + 361 * 0.1


def test_the_uncertainty_plane_is_the_scatter(files: list[Path], cube: Cube, truth: Truth) -> None:
    # Residuals from the noiseless image of the same plan, in units of the UNCERT plane.
    plan = make_plan(FRAMES, 120, SIZE, 1800, 7, SimulationParams())
    for k in (0, 5):
        light = draw_light(plan, k)
        clean, level = light.image, light.background
        assert level == pytest.approx(truth[1]["background"][k])
        pull = (cube[k] - clean) / fits.getdata(files[k], 2)
        assert pull.mean() == pytest.approx(0, abs=5 / SIZE)
        assert pull.std() == pytest.approx(1, abs=5 / np.sqrt(2) / SIZE)
    # Without the model: the background's first differences between frames of equal pointing are too rare, so the
    # darkest half of the pixels stands in; the glow changes by far less than the noise between two frames.
    dark = cube.mean(axis=0) < np.median(cube)
    step = (cube[1] - cube[0])[dark]
    expected = np.sqrt(np.median(fits.getdata(files[0], 2)[dark] ** 2) * 2)
    assert 1.4826 * np.median(np.abs(step - np.median(step))) == pytest.approx(expected, rel=0.03)


def test_injected_stars_vary_as_the_truth_says(truth: Truth) -> None:
    stars, frames = truth
    plan = make_plan(FRAMES, 120, SIZE, 1800, 7, SimulationParams())
    assert np.array_equal(plan.varying, np.flatnonzero(stars["kind"] != "constant"))
    # Light reaches a star on the reference pixel's line of sight when the frames say.
    at = np.argmin(np.hypot(stars["col"] - 1023, stars["row"] - 1023))
    seen = 0.5 * (plan.frames[3].start + plan.frames[3].stop) + plan.toward[at] @ plan.position[3] * AU_DAYS
    assert seen == pytest.approx(frames["time"][3], abs=0.5 / 86400)
    # The noiseless pixels about the star whose variation is the strongest in the field.
    first = (ffi.SCIENCE - SIZE) // 2
    plan = make_plan(FRAMES, 120, SIZE, 1800, 7, PLAIN)
    stars = {name: getattr(plan.scene, name) for name in stars if hasattr(plan.scene, name)}
    x, y = stars["col"] - first, stars["row"] - first
    inside = (np.minimum(x, y) > 12) & (np.maximum(x, y) < SIZE - 13)
    for kind, sign in (("sinusoid", 1.0), ("transit", -1.0)):
        size = np.where((stars["kind"] == kind) & inside, stars["amplitude"] * stars["flux"], 0.0)
        k = int(np.argmax(size))
        period, epoch = stars["period"][k], stars["epoch"][k]
        if kind == "sinusoid":
            shape = sinusoid_mean(frames["time"], period, epoch, 1 / 48)
        else:
            shape = transit_mean(frames["time"], period, epoch, stars["duration"][k], 1 / 48)
        assert np.ptp(shape) > 0.5
        c, r = round(x[k]), round(y[k])
        sums = []
        for j, frame in enumerate(plan.frames):
            clean = draw_light(plan, j).image.astype(float) - background(
                first, first, SIZE, frame.start - plan.frames[0].start
            )
            sums.append(clean[r - 10 : r + 11, c - 10 : c + 11].sum())
        total = np.array(sums) / stars["flux"][k]
        slope = np.polyfit(shape, total, 1)[0]
        assert slope == pytest.approx(sign * stars["amplitude"][k], rel=0.03), kind


def test_same_seed_same_bytes_on_any_number_of_threads(
    workspace: Path, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    tess.simulate(tmp_path / "again", frames=FRAMES, stars=120, size=SIZE, seed=7)
    for name in (
        *(f"RAW/{f.name}" for f in files),
        "BASE/CAT/catalog.csv",
        *(f"truth/{name}.parquet" for name in TABLES),
    ):
        assert filecmp.cmp(workspace / name, tmp_path / "again" / name, shallow=False), name
    one, other = (make_plan(1, 120, SIZE, 1800, seed, PLAIN).scene for seed in (7, 8))
    assert not np.array_equal(one.mag, other.mag)


def test_a_full_frame_has_the_real_layout(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    tess.simulate(
        tmp_path / "full", frames=1, stars=50, cadence=200.0, progress=lambda done, of: seen.append((done, of))
    )
    (path,) = (tmp_path / "full" / "RAW").iterdir()
    assert seen == [(1, 1)]
    # The size of a calibrated full-frame image with WCS in the archive.
    assert path.stat().st_size == 35_547_840
    with fits.open(path) as f:
        assert f[1].data.shape == f[2].data.shape == (2078, 2136)
        assert (f[1].header["NREADOUT"], f[1].header["NUM_FRM"]) == (80, 100)
        assert f[1].header["CRPIX1"] == 1045
        assert np.median(f[1].data[:2048, 44:2092]) > 70
        assert abs(np.median(f[1].data[:, 2092:])) < 0.2
        assert abs(np.median(f[1].data[2048:, 44:])) < 0.2
        noise = np.sqrt(80 * (ffi.READ_NOISE[0] ** 2 + ffi.GAIN[0] ** 2 / 12)) / 158.4
        assert f[1].data[:, 2093:2103].std() == pytest.approx(noise, rel=0.02)


def test_the_cards_are_those_of_a_real_frame(shared_data: Path, files: list[Path]) -> None:
    path = shared_data / "tess_ffi_crop" / "tess2018206192942-s0001-1-4-0120-s_ffic.fits.gz"
    with fits.open(path) as real, fits.open(files[0]) as ours:
        for k in range(3):
            known = {n for n in real[k].header if not n.startswith("TMOFST")}
            assert not known - set(ours[k].header)
            assert set(ours[k].header) - known <= {"TMOFST34", "FFIINDEX"}
            for name in known - {"COMMENT", ""}:
                assert type(ours[k].header[name]) is type(real[k].header[name]), name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frames": 0}, "at least one frame"),
        ({"stars": 0}, "one star"),
        ({"size": 63}, "between 64 and 2048"),
        ({"size": 2049}, "between 64 and 2048"),
        ({"cadence": 120.0}, "every 1800, 600, 200 seconds"),
    ],
)
def test_a_bad_argument_is_one_sentence(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tess.simulate(tmp_path / "new", **{"frames": 1, "stars": 1, "size": 64, **change})
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="not an empty folder"):
        tess.simulate(tmp_path, frames=1, stars=1, size=64)
    with pytest.raises(ConfigError, match="not an empty folder"):
        tess.simulate(tmp_path / "thesis.tex", frames=1, stars=1, size=64)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_density_is_that_of_a_whole_ccd() -> None:
    assert tess.stars_at(200_000, 2048) == 200_000
    assert tess.stars_at(200_000, 512) == 12_500
    assert tess.stars_at(10, 64) == 1
