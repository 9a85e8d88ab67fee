"""Files of light curves of photons: other people's readers must see the numbers of the store, with their units."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io.votable import parse
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from astropy.time import Time

from cuvee.errors import ConfigError
from cuvee.survey import Survey

FIRST, SECOND = "lsim01aaq", "lsim01abq"
KEY = "hlsp_cuvee_hst_cos-fuv_simulated-1_g130m_1291_psa"
HSTLC = [
    "dataset",
    "times",
    "mjd",
    "bins",
    "gross",
    "background",
    "flux",
    "counts",
    "error",
    "flux_error",
    "net",
    "signal_to_noise",
]


def exported(survey: Survey, folder: Path, form: str, suffix: str = "") -> dict[str, Path]:
    assert survey.export(folder, form) == 3
    names = {path.name: path for path in folder.iterdir()}
    ending = f"_v1_sci.{suffix or form}"
    assert sorted(names) == [f"{KEY}_{FIRST}{ending}", f"{KEY}_{SECOND}{ending}", f"{KEY}{ending}"]
    return {name.removeprefix(KEY).removesuffix(ending).strip("_"): path for name, path in names.items()}


def test_fits_has_the_columns_of_both_houses_and_is_sound(photons: Survey, tmp_path: Path) -> None:
    path = exported(photons, tmp_path / "a", "fits")[FIRST]
    points = photons.light_curve("SIMULATED-1").only(FIRST)
    with fits.open(photons.path / "RAW" / f"{FIRST}_corrtag_a.fits") as raw:
        start, exposed = raw["EVENTS"].header["EXPSTART"], raw["EVENTS"].header["EXPTIME"]
        target = raw[0].header["TARGNAME"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a wrong CHECKSUM or DATASUM is only a warning to astropy
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "LIGHTCURVE"]
            head, rows = hdus[0].header, hdus[1].data
            assert not [card for hdu in hdus for card in hdu.header.cards if "HIERARCH" in card.image]
            assert not [
                card for hdu in hdus for card in hdu.header.cards if card.keyword != "COMMENT" and not card.comment
            ]
            names = [name.lower() for name in rows.names]
            assert set(HSTLC) | {"time", "exposure", "flag", "flux_err"} <= set(names)
            bare = {c.name for c in hdus[1].columns if not c.unit}
            assert bare == {"DATASET", "CADENCENO", "QUALITY", "FLAG", "SIGNAL_TO_NOISE"}
            for column in hdus[1].columns:
                if column.unit:
                    u.Unit(column.unit, format="fits", parse_strict="raise")
            for name in ("time", "flux", "gross", "background", "net", "exposure"):
                np.testing.assert_array_equal(rows[name], points[name])
            np.testing.assert_allclose(rows["times"], 0.032 + 2.0 * np.arange(len(rows)), atol=1e-9)
            np.testing.assert_allclose((rows["mjd"] - start) * 86400.0, rows["times"], atol=1e-5)
            assert set(rows["bins"]) == {2.0}
            assert set(rows["dataset"]) == {1}
            np.testing.assert_allclose(rows["counts"], rows["gross"] - rows["background"], rtol=1e-6)
            np.testing.assert_allclose(rows["signal_to_noise"] * rows["error"], rows["counts"], rtol=1e-6, atol=1e-9)
            assert (head["TARGNAME"], head["INSTRUME"], head["DETECTOR"], head["OPT_ELEM"]) == (
                target,
                "COS",
                "FUV",
                "G130M",
            )
            assert (head["CENWAVE"], head["APERTURE"], head["PROPOSID"]) == (1291, "PSA", 99999)
            assert head["EXPSTART"] == pytest.approx(start + 0.032 / 86400.0, abs=1e-9)
            assert head["EXPTIME"] == pytest.approx(exposed, abs=0.1)
            assert Time(head["DATE-OBS"], scale="utc").mjd == pytest.approx(head["EXPSTART"], abs=1e-8)
            assert "HLSPLEAD" not in head  # a person's name, and nobody's here
            assert 1100.0 < hdus[1].header["WMIN"] < 1200.0 < 1400.0 < hdus[1].header["WMAX"] < 1500.0
    again = exported(photons, tmp_path / "b", "fits")[FIRST]
    assert again.read_bytes() == path.read_bytes()


def test_a_composite_knows_the_time_of_each_exposure(photons: Survey, tmp_path: Path) -> None:
    files = exported(photons, tmp_path, "fits")
    with fits.open(files[""]) as both, fits.open(files[FIRST]) as one, fits.open(files[SECOND]) as two:
        rows = both[1].data
        assert [both[1].header[f"EXPO{k:04d}"] for k in (1, 2)] == [FIRST, SECOND]
        for k, single in ((1, one[1].data), (2, two[1].data)):
            np.testing.assert_array_equal(rows["mjd"][rows["dataset"] == k], single["mjd"])
        assert (np.diff(rows["time"]) > 0.0).all()


def test_lightkurve_reads_it(photons: Survey, tmp_path: Path) -> None:
    path = exported(photons, tmp_path, "fits")[FIRST]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of optional packages of its own
        lightkurve = pytest.importorskip("lightkurve", reason="lightkurve is not installed (group test)")
        seen = lightkurve.read(path)
    points = photons.light_curve("SIMULATED-1").only(FIRST)
    np.testing.assert_array_equal(seen.time.btjd, points["time"])
    assert seen.time.scale == "tdb"
    np.testing.assert_array_equal(np.ma.filled(seen.flux.value, np.nan), points["flux"])
    assert seen.flux.unit == u.Unit("erg / (s cm2)")
    assert seen.meta["LABEL"] == "SIMULATED-1"


@pytest.mark.parametrize("form", ["csv", "ecsv", "votable"])
def test_text_formats_have_the_same_numbers_and_the_right_units(photons: Survey, tmp_path: Path, form: str) -> None:
    path = exported(photons, tmp_path, form, {"votable": "vot"}.get(form, ""))[SECOND]
    points = photons.light_curve("SIMULATED-1").only(SECOND)
    units = {"flux": "erg / (s cm2)", "net": "ct / s", "gross": "ct", "exposure": "s", "time": "d"}
    if form == "csv":
        table = Table.read(path, format="ascii.csv", comment="#")
        words = path.read_text()
        for name, unit in {"flux": "erg/(cm2 s)", "net": "count/s", "gross": "count"}.items():
            assert f"# column {name} [{unit}]:" in words
        assert "electron" not in words
    elif form == "ecsv":
        table = Table.read(path)
        assert table.meta["object"] == "SIMULATED-1"
        assert table.meta["grating"] == "G130M"
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            votable = parse(path, verify="exception")
        fields = votable.get_first_table().fields
        assert all(
            check_ucd(one.ucd, check_controlled_vocabulary=True) for one in [*fields, *votable.get_first_table().params]
        )
        table = votable.get_first_table().to_table()
        assert {p.name: p.value for p in votable.get_first_table().params}["id"] == "SIMULATED-1"
    for name in points:
        np.testing.assert_array_equal(
            np.ma.filled(np.asarray(table[name]), np.nan).astype(points[name].dtype), points[name]
        )
    if form != "csv":
        for name, unit in units.items():
            assert table[name].unit == u.Unit(unit)


def test_what_photons_do_not_have_is_refused_in_a_sentence(photons: Survey, tmp_path: Path) -> None:
    for form in ("tpf", "hdf5"):
        with pytest.raises(ConfigError, match="counts photons, and has no pixels"):
            photons.export(tmp_path, form)
    with pytest.raises(ConfigError, match=r"no export format 'xls'; choose from .* events"):
        photons.export(tmp_path, "xls")
    with pytest.raises(ConfigError, match="no light curve of star NOBODY"):
        photons.export(tmp_path, "fits", ["NOBODY"])
    assert not list(tmp_path.iterdir())
