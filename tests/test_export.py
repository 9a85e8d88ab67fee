"""Exports must open in other people's readers with every number intact, and must be what they say they are."""

import io
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.io.votable import parse
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from astropy.timeseries import TimeSeries

from cuvee.errors import ConfigError
from cuvee.export import FORMATS, Observation, export, file_name, observations
from cuvee.export.csv import csv_bytes
from cuvee.export.ecsv import ecsv_bytes
from cuvee.export.fits import fits_bytes
from cuvee.export.votable import votable_bytes
from cuvee.store.curve_table import point_column

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # lightkurve warns of an optional package of its own
    import lightkurve

FLOATS = ["flux", "flux_err", "background", "centroid_col", "centroid_row", "aperture1_flux", "aperture1_flux_err"]


def observation(seed: int = 1, n: int = 120, **row: Any) -> Observation:
    rng = np.random.default_rng(seed)
    points: dict[str, Any] = {
        "time": 1517.34 + np.arange(n) / 48.0 + 1e-9 * rng.random(n),
        "cadence": np.arange(11_000, 11_000 + n, dtype=np.int32),
        "quality": rng.choice([0, 0, 0, 32, 2176], n).astype(np.int32),
        "flag": rng.choice([0, 0, 0, 2, 520], n).astype(np.int32),
    }
    points |= {name: rng.normal(3e4, 25.0, n).astype(np.float32) for name in FLOATS}
    points["time"][[3, 50]] = np.nan
    points["flux"][[3, 7, 50]] = np.nan
    plain: dict[str, Any] = {
        "_healpix_29": 2853163812395712513,
        "id": 144996772,
        "ra": 131.449788333333,
        "dec": -53.4307279444444,
        "mag": 9.7005,
        "segment": "s0008",
        "detector": "3-4",
        "series": "ffi",
        "col": 1023.25,
        "row": 77.5,
        "crowding": 0.93,
        "best": "aperture2",
    }
    return Observation(plain | row, points)


def as_table(*rows: Observation) -> pa.Table:
    return pa.Table.from_pylist(
        [{**x.row, "lc": {k: v.tolist() for k, v in x.points.items()}} for x in rows], _schema()
    )


def _schema() -> pa.Schema:
    plain = {"id": pa.int64(), "ra": pa.float64(), "dec": pa.float64(), "mag": pa.float32(), "_healpix_29": pa.int64()}
    plain |= dict.fromkeys(("segment", "detector", "series", "best"), pa.string())
    plain |= dict.fromkeys(("col", "row", "crowding"), pa.float32())
    nested: dict[str, pa.DataType] = {"time": pa.float64()}
    nested |= dict.fromkeys(("cadence", "quality", "flag"), pa.int32())
    nested |= dict.fromkeys(FLOATS, pa.float32())
    lists = pa.struct([(name, pa.list_(kind)) for name, kind in nested.items()])
    return pa.schema([*plain.items(), ("lc", lists)])


@pytest.fixture
def kepler() -> Observation:
    return observation(id=221312395, segment="c91", detector="17-2", best="pipeline")


@pytest.mark.parametrize(("instrument", "form"), [("tess", "tess.fits"), ("kepler", "kepler.fits")])
def test_both_readers_see_the_same_times_fluxes_errors_and_quality(instrument: str, form: str, tmp_path: Path) -> None:
    seen = observation()
    path = tmp_path / file_name(instrument, seen.row, "fits")
    path.write_bytes(fits_bytes(instrument, seen))
    keep = np.isfinite(seen.points["time"])

    light_curve = lightkurve.read(path)
    series = TimeSeries.read(path, format=form, unit_parse_strict="silent")
    assert len(light_curve) == len(series) == keep.sum()
    # The readers add the zero point themselves; a double BJD resolves 40 microseconds, two-part times do better.
    np.testing.assert_array_equal(light_curve.time.btjd, seen.points["time"][keep])
    np.testing.assert_allclose(
        (series.time.tdb.jd1 - 2457000.0) + series.time.tdb.jd2, seen.points["time"][keep], rtol=1e-14
    )
    assert light_curve.time.scale == series.time.scale == "tdb"
    for name in FLOATS:
        want = seen.points[name][keep]
        np.testing.assert_array_equal(np.ma.filled(light_curve[name].value, np.nan), want)
        np.testing.assert_array_equal(np.asarray(series[name]), want)
    for name in ("quality", "flag"):
        np.testing.assert_array_equal(np.asarray(light_curve[name]), seen.points[name][keep])
        np.testing.assert_array_equal(np.asarray(series[name]), seen.points[name][keep])
    np.testing.assert_array_equal(np.asarray(series["cadenceno"]), seen.points["cadence"][keep])
    assert str(series["flux"].unit) == str(light_curve["flux"].unit) == "electron / s"


def test_file_is_sound_fits_and_says_what_everything_is(kepler: Observation) -> None:
    for instrument, seen in (("tess", observation()), ("kepler", kepler)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a wrong CHECKSUM or DATASUM is only a warning to astropy
            with fits.open(io.BytesIO(fits_bytes(instrument, seen)), checksum=True) as hdus:
                hdus.verify("exception")
                assert [hdu.name for hdu in hdus] == ["PRIMARY", "LIGHTCURVE"]
                for hdu in hdus:
                    assert "CHECKSUM" in hdu.header
                    assert "DATASUM" in hdu.header
                    silent = [c.keyword for c in hdu.header.cards if c.keyword != "COMMENT" and not c.comment]
                    assert not silent, f"{instrument}: cards without a comment: {silent}"
                for column in hdus[1].columns:
                    if column.name not in {"QUALITY", "FLAG", "CADENCENO"}:
                        assert column.unit, f"{column.name} has no unit"


def test_comments_are_whole_and_apertures_say_how_wide_they_are() -> None:
    names = ["time", "cadence", "quality", "flag", *FLOATS]
    said = {name: point_column(name, 2.5 if name.startswith("aperture1") else None) for name in names}
    seen = Observation(observation(series="ffi-r0768-c0768-0512x0512").row, observation().points, said)
    with fits.open(io.BytesIO(fits_bytes("tess", seen))) as hdus:
        comments = hdus[1].header.comments
        titles = {hdus[1].header[f"TTYPE{i}"]: comments[f"TTYPE{i}"] for i in range(1, len(names) + 1)}
    assert titles == {{"cadence": "CADENCENO"}.get(name, name.upper()): meaning for name, (_, meaning) in said.items()}
    assert titles["APERTURE1_FLUX_ERR"] == "one standard deviation of flux within 2.5 px"
    assert comments["SERIES"] == "frame series"
    assert comments["COL"] == "[pixel] column; 0 = 1st science column"


@pytest.mark.parametrize("n", [0, 1, 7, 1300])
def test_checksums_are_right_whatever_the_data(n: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(20):
            content = fits_bytes("tess", observation(seed, max(n, 51)) if n > 50 else _short(seed, n))
            with fits.open(io.BytesIO(content), checksum=True) as hdus:
                assert len(hdus[1].data) == (n - 2 if n > 50 else n)


def _short(seed: int, n: int) -> Observation:
    full = observation(seed)
    return Observation(full.row, {name: values[60 : 60 + n] for name, values in full.points.items()})


def test_header_holds_the_star_and_does_not_pose_as_the_mission(kepler: Observation) -> None:
    with fits.open(io.BytesIO(fits_bytes("tess", observation()))) as hdus:
        head, table = hdus[0].header, hdus[1].header
    assert (head["OBJECT"], head["TICID"], head["SECTOR"], head["CAMERA"], head["CCD"]) == (
        "TIC 144996772",
        144996772,
        8,
        3,
        4,
    )
    assert (head["TELESCOP"], head["CREATOR"]) == ("TESS", "cuvee")
    assert "ORIGIN" not in head
    assert (head["RA_OBJ"], head["DEC_OBJ"]) == (131.449788333333, -53.4307279444444)
    assert head["TESSMAG"] == 9.7005
    assert (table["EXTNAME"], table["EXTVER"], table["TIMESYS"], table["TIMEUNIT"]) == ("LIGHTCURVE", 1, "TDB", "d")
    assert table["BJDREFI"] + table["BJDREFF"] == 2457000
    assert (table["BESTAPER"], table["CROWDING"], table["COL"], table["ROW"]) == ("aperture2", 0.93, 1023.25, 77.5)
    assert "QUALITY 32: desaturation" in list(table["COMMENT"])
    with fits.open(io.BytesIO(fits_bytes("kepler", kepler))) as hdus:
        head = hdus[0].header
    assert (head["TELESCOP"], head["OBJECT"]) == ("Kepler", "EPIC 221312395")
    assert (head["CAMPAIGN"], head["MODULE"], head["OUTPUT"]) == (91, 17, 2)


def test_what_is_not_known_is_a_card_without_a_value() -> None:
    with fits.open(io.BytesIO(fits_bytes("tess", observation(mag=float("nan"), crowding=None)))) as hdus:
        assert hdus[0].header["TESSMAG"] is None
        assert hdus[1].header["CROWDING"] is None


def test_names_follow_the_convention_and_tell_repeated_rows_apart(kepler: Observation) -> None:
    row = observation().row
    assert file_name("tess", row, "fits") == "hlsp_cuvee_tess_ffi_s0008-TIC0000000144996772_tess_v1_llc.fits"
    assert file_name("kepler", kepler.row, "csv") == "hlsp_cuvee_kepler_tpf_c91-EPIC0000000221312395_kepler_v1_llc.csv"
    assert "s0008-3-4-ffi-TIC" in file_name("tess", row, "fits", repeated=True)


def test_csv_opens_in_pandas_and_astropy_with_the_same_numbers(tmp_path: Path) -> None:
    seen = observation()
    path = tmp_path / "star.csv"
    path.write_bytes(csv_bytes("tess", seen))
    frame, table = (
        pd.read_csv(path, comment="#", float_precision="round_trip"),
        Table.read(path, format="ascii.csv", comment="#"),
    )
    assert list(frame.columns) == table.colnames
    assert set(table.colnames) == set(seen.points)
    for name, want in seen.points.items():
        np.testing.assert_array_equal(frame[name].to_numpy().astype(want.dtype), want)
        np.testing.assert_array_equal(np.asarray(table[name]).astype(want.dtype), want)
    words = path.read_text().split("time,flux")[0]
    assert "# column flux [electron/s]: flux in the aperture named by best" in words
    assert "# id = 144996772 (catalogue id)" in words
    assert "# ra = 131.449788333333 deg (right ascension, ICRS, epoch 2000)" in words


def test_ecsv_comes_back_bit_for_bit_with_units_and_words(tmp_path: Path) -> None:
    for seen in (observation(), observation(mag=float("nan"), crowding=None), _short(3, 0)):
        path = tmp_path / "star.ecsv"
        path.write_bytes(ecsv_bytes("tess", seen))
        table = Table.read(path)
        assert set(table.colnames) == set(seen.points)
        for name, want in seen.points.items():
            got = np.asarray(table[name])
            assert (got.dtype, got.tobytes()) == (want.dtype, want.tobytes()), name
            unit, meaning = seen.describe(name)
            assert table[name].description == meaning
            assert table[name].unit == (u.Unit(unit) if unit else None)
        assert (table.meta["object"], table.meta["time_scale"]) == ("TIC 144996772", "tdb")
        assert table.meta["time_zero_jd"] == 2457000.0
        for name, value in seen.row.items():
            if not name.startswith("_"):
                assert table.meta[name] == value or (np.isnan(value) and np.isnan(table.meta[name])), name


def test_votable_is_valid_exact_and_says_what_everything_is() -> None:
    for seen in (observation(), observation(mag=float("nan"), crowding=None, series='a<b&"c'), _short(3, 0)):
        content = votable_bytes("tess", seen)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            whole = parse(io.BytesIO(content), verify="exception", unit_format="vounit")
        assert whole.version == "1.4"
        (system,) = whole.resources[0].time_systems
        assert (system.timeorigin, system.timescale, system.refposition) == (2457000.0, "TDB", "BARYCENTER")
        element = whole.get_first_table()
        table = element.to_table()
        assert set(table.colnames) == set(seen.points)
        for name, want in seen.points.items():
            got = np.ma.getdata(table[name])
            assert got.dtype.newbyteorder("=") == want.dtype
            np.testing.assert_array_equal(got, want)
            assert table[name].description == seen.describe(name)[1]
        assert str(table["flux"].unit) == "electron / s"
        assert element.get_field_by_id("time").ref == system.ID
        for field in (*element.fields, *element.params):
            assert check_ucd(field.ucd, check_controlled_vocabulary=True, has_colon=False), field.name
        params = {param.name: param.value for param in element.params}
        assert (params["id"], params["ra"], params["series"]) == (144996772, 131.449788333333, seen.row["series"])
        assert {info.name: info.value for info in whole.resources[0].infos}["quality_32"] == "desaturation"


def test_rounded_fluxes_say_so_in_every_format(tmp_path: Path) -> None:
    words = "rounded to multiples of the power of two next below the value's own error / 8; the added noise is at most 0.0361 of it"
    table = as_table(observation())
    nested = table.schema.field("lc").type
    fields = [child.with_metadata({"description": "it", "rounding": words}) for child in nested.fields]
    schema = table.schema.set(table.schema.get_field_index("lc"), pa.field("lc", pa.struct(fields)))
    (seen,) = observations(
        pa.table([column.cast(f.type) for column, f in zip(table.columns, schema, strict=True)], schema)
    )
    assert seen.rounding == words
    with fits.open(io.BytesIO(fits_bytes("tess", seen)), checksum=True) as hdus:
        assert words in " ".join(hdus[1].header["COMMENT"])
    assert f"# flux and background are {words}\n" in csv_bytes("tess", seen).decode()
    (tmp_path / "star.ecsv").write_bytes(ecsv_bytes("tess", seen))
    assert Table.read(tmp_path / "star.ecsv").meta["rounding"].endswith(words)
    whole = parse(io.BytesIO(votable_bytes("tess", seen)), verify="exception", unit_format="vounit")
    assert {info.name: info.value for info in whole.resources[0].infos}["rounding"].endswith(words)
    for write in FORMATS.values():
        assert b"rounded" not in write("tess", observation())


class Rows:
    """A survey of some rows, handed out in pieces of some size."""

    instrument = "tess"

    def __init__(self, rows: list[Observation], piece: int) -> None:
        self.table = as_table(*rows)
        self.piece = piece

    def index(self, ids: Collection[int] | None = None) -> pa.Table:
        assert ids is None
        return self.table.select(["id", "segment"])

    def batches(self, ids: Collection[int] | None = None) -> Iterator[pa.Table]:
        assert ids is None
        for i in range(0, self.table.num_rows, self.piece):
            yield self.table.slice(i, self.piece)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_export_writes_every_row_whole_and_the_same_bytes_again(form: str, tmp_path: Path) -> None:
    rows = [
        observation(1),
        observation(2, id=7),
        observation(3, id=7, detector="3-3"),
        observation(4, id=7, segment="s0009"),
    ]
    told: list[tuple[int, int]] = []
    count = export(Rows(rows, 4), None, form, tmp_path / "a", lambda n, total: told.append((n, total)))
    assert count == len(list((tmp_path / "a").iterdir())) == 4
    assert told == [(1, 4)] * 4
    export(Rows(rows, 1), None, form, tmp_path / "b")
    first = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    again = {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert first == again
    assert sum("s0008-3-3-ffi-TIC" in name or "s0008-3-4-ffi-TIC" in name for name in first) == 2


def test_points_survive_the_walk_through_a_sliced_table() -> None:
    rows = [observation(k, n=60 + k, id=k) for k in range(5)]
    walked = list(observations(as_table(*rows).slice(1, 3)))
    assert [x.row["id"] for x in walked] == [1, 2, 3]
    for got, want in zip(walked, rows[1:4], strict=True):
        for name, values in want.points.items():
            np.testing.assert_array_equal(got.points[name], values)
            assert got.points[name].dtype == values.dtype


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no export format 'xml'; choose from fits, csv, ecsv, votable"):
        export(Rows([], 1), None, "xml", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        export(Rows([], 1), None, "fits", tmp_path / "file")
