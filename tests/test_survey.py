"""A workspace read from Python: what went into the store must come out of every door."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuvee
from cuvee.config import write_workspace
from cuvee.errors import ConfigError, StoreError
from cuvee.export import file_name, observations
from cuvee.model.keys import PATCH_ORDER
from cuvee.model.records import Geometry, LightCurves, Readout, Reference, Targets
from cuvee.store.hats import patch_path, write_patch
from cuvee.store.references import write_reference
from cuvee.store.targets import write_targets
from cuvee.survey import LightCurve, Survey

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # lightkurve warns of an optional package of its own
    import lightkurve

RADII = (1.5, 2.5, 3.5)
READOUT = Readout(1425.6, (5.2,) * 4, (10.0,) * 4, 720, (0, 512, 1024, 1536), 1.5e5)
HEALPIX = 2853163812395712513


def targets(ids: list[int]) -> Targets:
    n = len(ids)
    rng = np.random.default_rng(n)
    number = np.arange(n, dtype=np.float64)
    return Targets(
        healpix=HEALPIX + np.arange(n),
        id=np.array(ids),
        ra=131.45 + 0.01 * number,
        dec=np.full(n, -53.43),
        mag=9.0 + number,
        series=np.full(n, "ffi"),
        col=100.0 + 3.2 * number,
        row=np.full(n, 50.25),
        crowding=rng.uniform(0.5, 1.0, (n, 1)),
        flag=np.zeros(n, np.int32),
        radii=RADII,
    )


def light_curves(ids: list[int], segment: str, start: float, detector: str = "3-4", apertures: int = 3) -> LightCurves:
    counts = 40 + np.arange(len(ids))
    offsets = np.append(0, np.cumsum(counts))
    n = int(offsets[-1])
    rng = np.random.default_rng(int(start))
    at = np.concatenate([np.arange(count) for count in counts])
    points: dict[str, Any] = {
        "time": start + at / 48.0,
        "cadence": (at + 11_000).astype(np.int32),
        "quality": np.where(at == 5, 32, np.where(at == 6, 64, 0)).astype(np.int32),
        "flag": np.where(at == 7, 2, np.where(at == 8, 8, 0)).astype(np.int32),
    }
    names = ["flux", "flux_err", "background", "centroid_col", "centroid_row"]
    names += [f"aperture{k}_{what}" for k in range(1, apertures + 1) for what in ("flux", "flux_err")]
    points |= {name: rng.normal(1000.0, 3.0, n).astype(np.float32) for name in names}
    points["flux"][at == 9] = np.nan
    points["time"][at == 10] = np.nan
    best = np.full(len(ids), "aperture2")
    return LightCurves(targets(ids), segment, detector, best, offsets, points)


IDS = [101, 202, 303]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sectors of three stars, the later one written first, and a reference image."""
    folder = tmp_path_factory.mktemp("survey") / "w"
    write_workspace(folder, "tess", ["RAW"], [])
    for segment, start in (("s0035", 2255.0), ("s0008", 1517.0)):
        path = patch_path(folder / "LC", "tess", HEALPIX >> 2 * (29 - PATCH_ORDER), segment, "3-4", "ffi")
        write_patch(path, light_curves(IDS, segment, start, apertures=3 if segment == "s0008" else 2))
    stars = targets(IDS)
    write_targets(folder / "RED" / "s0008" / "3-4-ffi" / "targets.parquet", stars)
    image = np.arange(64.0 * 128.0, dtype=np.float32).reshape(64, 128)
    reference = Reference(
        "ffi", Geometry(64, 128, 30, 40, 2048, 2048), image, "", 2019.1, 131.0, -53.0, ("a", "b"), READOUT
    )
    write_reference(folder / "BASE" / "reference-frames" / "s0008-3-4-ffi-ffi.reference", reference)
    return folder


@pytest.fixture(scope="module")
def survey(workspace: Path) -> Survey:
    opened: Survey = cuvee.open(workspace)
    return opened


def test_import_is_light_and_open_is_found() -> None:
    code = (
        "import sys, cuvee\n"
        "heavy = {'numpy', 'pyarrow', 'matplotlib', 'astropy', 'numba', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert cuvee.open.__name__ == 'open_survey'\n"
        "assert 'matplotlib' not in sys.modules\n"
        "assert not hasattr(cuvee, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_observations_follow_one_another_in_time(survey: Survey) -> None:
    lc = survey.light_curve(202)
    assert isinstance(lc, cuvee.LightCurve)
    assert [row["segment"] for row in lc.observations] == ["s0008", "s0035"]
    known = np.isfinite(lc.time)
    assert (np.diff(lc.time[known]) > 0).all()
    assert known[: known.sum()].all()
    for k, (segment, start) in enumerate((("s0008", 1517.0), ("s0035", 2255.0))):
        want = light_curves(IDS, segment, start, apertures=3 if k == 0 else 2)
        rows = slice(int(want.offsets[1]), int(want.offsets[2]))
        mine = lc.observation == k
        order = np.argsort(lc.cadence[mine])
        for name, values in want.points.items():
            np.testing.assert_array_equal(getattr(lc, name)[mine][order], values[rows])
    assert np.isnan(lc.aperture3_flux[lc.observation == 1]).all()
    assert (lc.id, lc.mag, lc.name, len(lc)) == (202, 10.0, "TIC 202", 82)
    assert "aperture1_flux" in dir(lc)


def test_good_leaves_out_what_the_registry_calls_bad(survey: Survey) -> None:
    lc = survey.light_curve(101)
    # Of cadences 5 (desaturation), 6 (cosmic ray), 7 (edge), 8 (saturated), 9 (no flux), 10 (no time), 6 and 8 may stay.
    bad = np.isin(lc.cadence - 11_000, [5, 7, 9, 10])
    np.testing.assert_array_equal(lc.good, ~bad)


def test_a_column_that_is_not_there_is_named(survey: Survey) -> None:
    with pytest.raises(AttributeError, match="no column 'fluxx'; it has time, cadence"):
        _ = survey.light_curve(101).fluxx


def test_table_has_a_row_a_star_and_observation(survey: Survey) -> None:
    table = survey.light_curves(columns=["id", "segment", "mag"])
    assert sorted(zip(table["id"].to_pylist(), table["segment"].to_pylist(), strict=True)) == sorted(
        (star, segment) for star in IDS for segment in ("s0008", "s0035")
    )
    assert survey.light_curves(columns=["id"], ids=[303], segment="s0008").num_rows == 1


def test_stars_are_found_by_position_as_astropy_measures_it(survey: Survey) -> None:
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    found = survey.find(131.4505, -53.4301, radius=25.0)
    assert found["id"].to_pylist() == [101, 202]
    here = SkyCoord(131.4505 * u.deg, -53.4301 * u.deg)
    want = here.separation(SkyCoord(found["ra"].to_numpy() * u.deg, found["dec"].to_numpy() * u.deg)).arcsec
    np.testing.assert_allclose(found["separation"].to_numpy(), want, rtol=1e-6)
    with pytest.raises(ConfigError, match="is no position"):
        survey.find(400.0, 0.0)


@pytest.mark.parametrize("word", ["202", "TIC 202", "tic202", "131.4601 -53.43", "131.4601, -53.43"])
def test_a_star_has_many_names(survey: Survey, word: str) -> None:
    assert survey.resolve(word) == 202


def test_mistakes_are_one_sentence(survey: Survey, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no light curve of star 7 .* holds 3 stars; look a star up by its position"):
        survey.light_curve(7)
    with pytest.raises(ConfigError, match="neither a catalogue id nor a position"):
        survey.resolve("Proxima")
    with pytest.raises(ConfigError, match="the nearest is 303, "):
        survey.resolve("131.60 -53.43")
    with pytest.raises(ConfigError, match="cuvee init"):
        cuvee.open(tmp_path)
    with pytest.raises(ConfigError, match="cuvee init"):
        cuvee.open(tmp_path / "nowhere")
    write_workspace(tmp_path / "empty", "tess", ["RAW"], [])
    with pytest.raises(StoreError, match="make them with: cuvee run"):
        cuvee.open(tmp_path / "empty").light_curve(101)


def test_other_tools_get_every_point_with_a_time(survey: Survey) -> None:
    lc = survey.light_curve(101)
    known = np.isfinite(lc.time)
    frame, series, curve = lc.to_pandas(), lc.to_timeseries(), lc.to_lightkurve()
    assert len(frame) == len(lc)
    assert list(frame["segment"].unique()) == ["s0008", "s0035"]
    np.testing.assert_array_equal(frame["flux"], lc.flux)
    np.testing.assert_array_equal((series.time.tdb.jd1 - 2457000.0) + series.time.tdb.jd2, lc.time[known])
    np.testing.assert_array_equal(np.asarray(series["flux"]), lc.flux[known])
    assert str(series["background"].unit) == "electron / (pix s)"
    assert isinstance(curve, lightkurve.LightCurve)
    np.testing.assert_array_equal(curve.time.btjd, lc.time[known])
    np.testing.assert_array_equal(curve.flux.value, lc.flux[known])
    np.testing.assert_array_equal(curve["quality"], lc.quality[known])
    np.testing.assert_array_equal(curve["cadenceno"], lc.cadence[known])
    assert curve.label == "TIC 101"


def test_what_is_not_installed_is_said(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    lc = survey.light_curve(101)
    monkeypatch.setitem(sys.modules, "lightkurve", None)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"install it with: pip install 'cuvee\[lightkurve\]'"):
        lc.to_lightkurve()
    with pytest.raises(ConfigError, match="pip install pandas"):
        lc.to_pandas()


def test_export_writes_all_stars_or_those_asked_for(survey: Survey, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    assert survey.export(tmp_path / "all", progress=lambda n, total: told.append((n, total))) == 6
    assert told == [(1, 6)] * 6
    assert survey.export(tmp_path / "one", ids=[303]) == 2
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {f"hlsp_cuvee_tess_ffi_{s}-TIC0000000000000303_tess_v1_llc.fits" for s in ("s0008", "s0035")}
    curve = lightkurve.read(tmp_path / "one" / file_name("tess", {**_row(303)}, "fits"))
    lc = survey.light_curve(303)
    mine = (lc.observation == 0) & np.isfinite(lc.time)
    np.testing.assert_array_equal(np.ma.filled(curve.flux.value, np.nan), lc.flux[mine])
    # The later sector was measured in two apertures only, and its files say so.
    later = lightkurve.read(tmp_path / "one" / file_name("tess", {**_row(303), "segment": "s0035"}, "fits"))
    assert "aperture2_flux" in later.colnames
    assert "aperture3_flux" not in later.colnames
    with pytest.raises(ConfigError, match="no light curve of star 9"):
        survey.export(tmp_path / "none", ids=[101, 9])
    assert not (tmp_path / "none").exists()


def _row(star: int) -> dict[str, Any]:
    return {"id": star, "segment": "s0008", "detector": "3-4", "series": "ffi"}


def test_batches_hold_every_row_once(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuvee.survey.exposures._BATCH", 2)
    seen = [(o.row["id"], o.row["segment"]) for table in survey.batches() for o in observations(table)]
    assert sorted(seen) == sorted((star, segment) for star in IDS for segment in ("s0008", "s0035"))


def test_stamp_is_the_reference_image_about_the_star(survey: Survey) -> None:
    lc = survey.light_curve(202)
    stamp = survey.stamp(lc)
    assert stamp is not None
    assert (stamp.col0, stamp.row0, stamp.image.shape) == (96, 43, (15, 15))
    # The image counts its pixels: row 43 and column 96 of the detector are row 13 and column 56 of the image.
    assert stamp.image[0, 0] == 13 * 128 + 56
    assert stamp.target == (103.2, 50.25, 10.0)
    np.testing.assert_allclose(stamp.neighbours, [[100.0, 50.25, 9.0], [106.4, 50.25, 11.0]])
    assert (stamp.radii, stamp.best) == (RADII, 1)
    assert survey.stamp(lc, observation=1) is None  # the workspace has no reference image of that sector


def test_light_curve_survives_a_copy(survey: Survey) -> None:
    import copy
    import pickle

    lc = survey.light_curve(101)
    for other in (copy.copy(lc), pickle.loads(pickle.dumps(lc))):
        assert isinstance(other, LightCurve)
        np.testing.assert_array_equal(other.flux, lc.flux)
