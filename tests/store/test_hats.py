"""The light-curve store opens in the programs that people use, with the values that went in."""

from dataclasses import replace
from pathlib import Path

import duckdb
import lsdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hats.catalog.dataset.table_properties import TableProperties
from hats.catalog.partition_info import PartitionInfo
from tests.store.curves import FIRST_POINT_COLUMNS, ROW_COLUMNS, make_curves, make_stars, points_of, write_survey

from cuvee.errors import ConfigError, StoreError
from cuvee.model.keys import PATCH_ORDER
from cuvee.model.records import LightCurves
from cuvee.store.atomic import TEMPORARY_SUFFIX
from cuvee.store.hats import find_star, patch_path, read_light_curves, write_catalog_metadata


def test_sectors_append_into_one_folder_a_patch(survey: tuple[Path, LightCurves, LightCurves]) -> None:
    root, first, _ = survey
    folders = sorted((root / "tess" / "dataset").glob("Norder=5/Dir=*/Npix=*"))
    patches = np.unique(first.targets.healpix >> 2 * (29 - PATCH_ORDER))
    assert [folder.name for folder in folders] == [f"Npix={patch}" for patch in patches]
    assert len(folders) > 3
    assert any(
        {path.name for path in folder.iterdir()} == {"s0008-3-4.parquet", "s0009-3-4.parquet"} for folder in folders
    )


def test_kinds_of_one_sector_get_files_of_their_own() -> None:
    path = patch_path(Path("LC"), "tess", 10_123, "s0008", "3-4", "tesscut")
    assert path.as_posix() == "LC/tess/dataset/Norder=5/Dir=10000/Npix=10123/s0008-3-4-tesscut.parquet"
    path = patch_path(Path("LC"), "tess", 7, "s0008", "3-4", "ffi")
    assert path.as_posix() == "LC/tess/dataset/Norder=5/Dir=0/Npix=7/s0008-3-4.parquet"


def test_lsdb_opens_the_catalogue_and_finds_the_same_values(survey: tuple[Path, LightCurves, LightCurves]) -> None:
    root, first, second = survey
    catalog = lsdb.open_catalog(root / "tess", columns="all")
    centre = SkyCoord(130.0 * u.deg, -53.0 * u.deg)
    cone = catalog.cone_search(ra=130.0, dec=-53.0, radius_arcsec=3600).compute(progress_bar=False)
    table = catalog.compute(progress_bar=False)
    assert len(table) == len(first.targets) + len(second.targets)
    assert set(ROW_COLUMNS) - {"_healpix_29"} <= set(table.columns)
    expected = 0
    for curves in (first, second):
        own = SkyCoord(curves.targets.ra * u.deg, curves.targets.dec * u.deg)
        expected += int((own.separation(centre) < 1 * u.deg).sum())
    assert len(cone) == expected > 50
    for curves in (first, second):
        rows = table[table["segment"] == curves.segment].set_index("id")
        for star in (0, 3, 123, len(curves.targets) - 1):
            found = rows.loc[curves.targets.id[star]]
            assert found["best"] == curves.best[star]
            assert found["ra"] == curves.targets.ra[star]
            assert found["crowding"] == curves.targets.crowding[star, 0]
            assert list(found["lc"].columns) == list(curves.points)
            for name in curves.points:
                np.testing.assert_array_equal(found["lc"][name], points_of(curves, star, name))


def test_duckdb_finds_the_same_values(survey: tuple[Path, LightCurves, LightCurves]) -> None:
    root, first, second = survey
    source = f"read_parquet('{root}/tess/dataset/Norder=*/Dir=*/Npix=*/*.parquet')"
    connection = duckdb.connect()
    count = connection.execute(f"SELECT count(*), sum(len(lc.flux)) FROM {source}").fetchall()
    n_point = int(first.offsets[-1] + second.offsets[-1])
    assert count == [(len(first.targets) + len(second.targets), n_point)]
    star = 250
    query = f'SELECT lc.time, lc.cadence, lc.flag, lc.flux, "dec" FROM {source} WHERE id = ? ORDER BY segment'
    found = connection.execute(query, [int(first.targets.id[star])]).fetchall()
    assert len(found) == 2
    for row, (curves, k) in zip(found, ((first, star), (second, star - 100)), strict=True):
        for values, name in zip(row, ("time", "cadence", "flag", "flux"), strict=False):
            np.testing.assert_array_equal(np.asarray(values, float), points_of(curves, k, name).astype(float))
        assert row[4] == first.targets.dec[star]


def test_our_own_reader_gives_everything_back(survey: tuple[Path, LightCurves, LightCurves]) -> None:
    root, first, second = survey
    table = read_light_curves(root, "tess")
    assert table.column_names == [*ROW_COLUMNS, "lc"]
    names = [child.name for child in table.schema.field("lc").type.fields]
    assert names == list(first.points)
    assert names[:9] == FIRST_POINT_COLUMNS
    for curves in (first, second):
        mine = table.filter(pa.compute.equal(table["segment"], curves.segment))
        np.testing.assert_array_equal(mine["id"].to_numpy(), curves.targets.id)
        np.testing.assert_array_equal(mine["_healpix_29"].to_numpy(), curves.targets.healpix)
        for name in ("ra", "dec", "mag", "col", "row"):
            np.testing.assert_array_equal(mine[name].to_numpy(), getattr(curves.targets, name))
        lc = mine["lc"].combine_chunks()
        for name, values in curves.points.items():
            np.testing.assert_array_equal(lc.field(name).flatten().to_numpy(zero_copy_only=False), values)
            assert lc.field(name).value_lengths().to_numpy().tolist() == np.diff(curves.offsets).tolist()


def test_columns_and_stars_can_be_chosen(survey: tuple[Path, LightCurves, LightCurves]) -> None:
    root, first, second = survey
    ids = [int(first.targets.id[k]) for k in (5, 150, 699)]
    table = read_light_curves(root, "tess", columns=["id", "segment", "lc.flux"], ids=ids)
    assert table.column_names == ["id", "segment", "lc"]
    assert [child.name for child in table.schema.field("lc").type.fields] == ["flux"]
    assert sorted(zip(table["id"].to_pylist(), table["segment"].to_pylist(), strict=True)) == sorted(
        [(ids[0], "s0008"), (ids[1], "s0008"), (ids[1], "s0009"), (ids[2], "s0008")]
    )
    assert read_light_curves(root, "tess", ids=[1]).num_rows == 0
    assert read_light_curves(root, "tess", ids=["no number"]).num_rows == 0
    assert read_light_curves(root, "tess", ["id"], segment="s0009").num_rows == len(second.targets)
    assert read_light_curves(root, "tess", ["id"], detector="3-4").num_rows == table.num_rows - 4 + 1100
    with pytest.raises(StoreError, match="s0009 1-1"):
        read_light_curves(root, "tess", segment="s0009", detector="1-1")
    with pytest.raises(ConfigError, match=r"no column 'lc.fluxx'"):
        read_light_curves(root, "tess", columns=["id", "lc.fluxx"])


def test_a_star_is_found_with_and_without_its_place(survey: tuple[Path, LightCurves, LightCurves]) -> None:
    root, first, second = survey
    star, healpix = int(first.targets.id[321]), int(first.targets.healpix[321])
    for place in (healpix, None):
        table = find_star(root, "tess", star, place)
        assert table["id"].to_pylist() == [star, star]
        assert table["segment"].to_pylist() == ["s0008", "s0009"]
        flux = table["lc"].combine_chunks().field("flux")
        np.testing.assert_array_equal(flux[0].values.to_numpy(), points_of(first, 321, "flux"))
        np.testing.assert_array_equal(flux[1].values.to_numpy(), points_of(second, 221, "flux"))
    assert find_star(root, "tess", 16, healpix).num_rows == 0
    assert find_star(root, "tess", 16, 0).num_rows == 0
    assert find_star(root, "tess", 16).num_rows == 0


def test_the_same_light_curves_give_the_same_bytes_in_any_order_of_writing(tmp_path: Path) -> None:
    curves = make_curves(make_stars(250), "s0008")
    for name in ("one", "two"):
        paths = write_survey(tmp_path / name, curves)
        for path in reversed(paths):
            path.touch()
        write_catalog_metadata(tmp_path / name, "tess")
    ones = sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(ones) > 4 + 2
    for path in ones:
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_metadata_follow_the_files_and_stay_where_nothing_changed(tmp_path: Path) -> None:
    stars = make_stars(250)
    write_survey(tmp_path, make_curves(stars, "s0008"))
    written = write_catalog_metadata(tmp_path, "tess")
    before = {path: path.stat().st_ino for path in written}
    assert write_catalog_metadata(tmp_path, "tess") == written
    assert {path: path.stat().st_ino for path in written} == before
    write_survey(tmp_path, make_curves(stars.take(slice(0, 30)), "s0009"))
    write_catalog_metadata(tmp_path, "tess")
    properties = (tmp_path / "tess" / "hats.properties").read_text()
    assert "hats_nrows=280\n" in properties
    assert "hats_npix_suffix=/\n" in properties
    assert (tmp_path / "tess" / "properties").read_text() == properties


def test_the_hats_package_reads_our_properties_and_partitions(survey: tuple[Path, LightCurves, LightCurves]) -> None:
    root, first, _ = survey
    properties = TableProperties.read_from_dir(root / "tess")
    pixels = PartitionInfo.read_from_dir(root / "tess").get_healpix_pixels()
    assert (properties.total_rows, properties.npix_suffix) == (1100, "/")
    assert (properties.healpix_column, properties.healpix_order) == ("_healpix_29", 29)
    assert [pixel.pixel for pixel in pixels] == sorted({int(h) >> 48 for h in first.targets.healpix})


def test_observations_with_fewer_apertures_read_as_null_where_a_method_did_not_run(tmp_path: Path) -> None:
    stars = make_stars(60).take(slice(0, 12))
    full, single = make_curves(stars, "s0008"), make_curves(stars, "s0008", n_aperture=1, seed=9)
    write_survey(tmp_path, full)
    write_survey(tmp_path, single, kind="tpf-120s")
    write_catalog_metadata(tmp_path, "tess")
    names = [f.name for f in pq.read_schema(tmp_path / "tess" / "dataset" / "_common_metadata").field("lc").type.fields]
    assert names == list(full.points)
    table = find_star(tmp_path, "tess", int(stars.id[1]), int(stars.healpix[1]))
    assert table.num_rows == 2
    lc = table["lc"].to_pylist()
    np.testing.assert_array_equal(lc[0]["aperture3_flux"], points_of(full, 1, "aperture3_flux").tolist())
    assert lc[1]["aperture3_flux"] is None
    np.testing.assert_array_equal(lc[1]["aperture1_flux"], points_of(single, 1, "aperture1_flux").tolist())
    assert read_light_curves(tmp_path, "tess", ["id", "lc.aperture3_flux"]).num_rows == 24


def test_stars_named_by_words_keep_their_names(tmp_path: Path) -> None:
    stars = make_stars(60)
    words = replace(stars, id=np.array([f"GJ-{k}" for k in range(60)]))
    write_survey(tmp_path, make_curves(words, "visit1"))
    assert find_star(tmp_path, "tess", "GJ-17").num_rows == 1
    assert find_star(tmp_path, "tess", "GJ-17", int(stars.healpix[17]))["id"].to_pylist() == ["GJ-17"]


def test_what_is_missing_or_damaged_is_said(tmp_path: Path) -> None:
    for call in (read_light_curves, write_catalog_metadata):
        with pytest.raises(StoreError, match="no light curves"):
            call(tmp_path, "tess")
    with pytest.raises(StoreError, match="no light curves"):
        find_star(tmp_path, "tess", 5, 0)
    path = write_survey(tmp_path, make_curves(make_stars(60), "s0008"))[0]
    path.write_bytes(path.read_bytes()[:-100])
    for read in (read_light_curves, write_catalog_metadata):
        with pytest.raises(StoreError, match=r"damaged .* delete"):
            read(tmp_path, "tess")
    assert not (tmp_path / "tess" / "hats.properties").exists()


def test_a_file_that_is_being_written_is_not_seen(survey: tuple[Path, LightCurves, LightCurves]) -> None:
    root, _, _ = survey
    path = next((root / "tess" / "dataset").glob("*/*/*/*.parquet"))
    half = path.with_name(f".s0010-3-4.parquet.00c0ffee{TEMPORARY_SUFFIX}")
    half.write_bytes(b"half a file")
    try:
        assert read_light_curves(root, "tess", ["id"]).num_rows == 1100
        assert set(write_catalog_metadata(root, "tess")) == {p for p in root.rglob("*") if p.is_file()} - {
            half,
            *root.rglob("*.parquet"),
        }
    finally:
        half.unlink()
