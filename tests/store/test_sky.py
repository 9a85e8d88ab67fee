"""Stored catalogues: every row and column as it was, circles and polygons as astropy has them, and what cannot be taken in."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from cuvee.errors import ConfigError, StoreError
from cuvee.store import sky_import
from cuvee.store.catalog_columns import TIC_COLUMNS
from cuvee.store.catalogs import read_stars
from cuvee.store.sky_import import import_table, md5_list
from cuvee.store.sky_search import cone_search, polygon_search
from cuvee.store.sky_store import Source, read_catalog

N = 1200
RNG = np.random.default_rng(8)
RA = np.concatenate([RNG.uniform(0.0, 360.0, N // 2), RNG.normal(0.0, 1.0, N // 2) % 360.0])
DEC = np.concatenate([RNG.uniform(-90.0, -86.0, N // 2), RNG.normal(-70.0, 1.0, N // 2)])


def bulk_rows() -> list[list[str]]:
    """Return rows of the TIC's 125 columns, empty where there is no value."""
    rows = []
    for k in range(N):
        row = dict.fromkeys(TIC_COLUMNS, "")
        row |= {
            "ID": str(10_000_000_000 + k),
            "version": "20190415",
            "ra": repr(float(RA[k])),
            "dec": repr(float(DEC[k])),
        }
        row |= {
            "Tmag": f"{8.0 + k % 9}",
            "objType": "STAR",
            "GAIA": str(4_690_000_000_000_000_000 + k),
            "objID": str(k),
        }
        row["disposition"] = "DUPLICATE" if k % 50 == 0 else ""
        row["TWOMASS"] = "" if k % 3 else f"0{k}-7"
        rows.append(list(row.values()))
    return rows


def text(rows: list[list[str]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in rows).encode()


@pytest.fixture(scope="module")
def bulk() -> bytes:
    return text(bulk_rows())


def take(path: Path, folder: Path, md5: str = "") -> Source:
    return import_table(path, folder, "tic", md5, lambda _read, _size: None)


@pytest.fixture
def stored(tmp_path: Path, bulk: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sky_import, "PART", 500)  # several parts, as with thirty million rows
    path = tmp_path / "tic_dec90_00S__68_00S.csv.gz"
    path.write_bytes(gzip.compress(bulk, 1))
    take(path, tmp_path / "tic", hashlib.md5(bulk).hexdigest())
    return tmp_path / "tic"


def test_all_columns_of_all_rows_are_there(stored: Path) -> None:
    known = read_catalog(stored)
    assert (known.n_row, list(known.columns)) == (N, list(TIC_COLUMNS))
    found = cone_search(stored, 0.0, -90.0, 180.0).sort_by("ID")
    assert found.column_names == [*TIC_COLUMNS, "distance"]
    assert found["ID"].to_pylist() == [10_000_000_000 + k for k in range(N)]
    np.testing.assert_array_equal(found["ra"].to_numpy(), RA)
    assert found["GAIA"].to_pylist()[5] == "4690000000000000005"
    assert found["TWOMASS"].to_pylist()[3:6] == ["03-7", None, None]
    assert found["HIP"].null_count == N
    assert {str(found.schema.field(name).type) for name in ("ID", "SDSS", "objID")} == {"int64"}


def test_a_circle_holds_what_astropy_finds(stored: Path) -> None:
    every = SkyCoord(RA, DEC, unit="deg")
    for ra, dec, radius in [
        (0.0, -90.0, 1.0),
        (359.9, -70.0, 0.5),
        (0.1, -70.2, 2.0),
        (123.0, -88.0, 0.7),
        (180.0, 0.0, 100.0),
    ]:
        separation = every.separation(SkyCoord(ra, dec, unit="deg"))
        want = np.flatnonzero(separation <= radius * u.deg)
        found = cone_search(stored, ra, dec, radius, ["ID"])
        assert sorted(found["ID"].to_pylist()) == (10_000_000_000 + want).tolist()
        assert want.size > 0
        distance = found["distance"].to_numpy()
        np.testing.assert_allclose(distance, np.sort(separation.arcsec[want]), atol=2e-3)


def test_a_polygon_holds_what_lies_on_the_inner_side_of_its_great_circles(stored: Path) -> None:
    corners = SkyCoord([358.5, 1.5, 1.0, 359.0], [-71.0, -71.0, -69.0, -69.0], unit="deg")
    xyz, every = corners.cartesian.xyz.value.T, SkyCoord(RA, DEC, unit="deg").cartesian.xyz.value.T
    inside = np.ones(N, bool)
    for a, b in zip(xyz, np.roll(xyz, -1, axis=0), strict=True):
        inside &= (
            np.linalg.det(np.stack([np.broadcast_to(a, every.shape), np.broadcast_to(b, every.shape), every], axis=1))
            >= 0.0
        )
    assert 50 < inside.sum() < N // 2
    for order in (slice(None), slice(None, None, -1)):
        found = polygon_search(stored, corners.ra.deg[order], corners.dec.deg[order], ["ID"])
        assert sorted(found["ID"].to_pylist()) == (10_000_000_000 + np.flatnonzero(inside)).tolist()


def test_a_run_reads_its_cells_as_it_reads_a_table(stored: Path, tmp_path: Path) -> None:
    whole, _ = read_stars(next(tmp_path.glob("tic_dec*.csv.gz")))
    ids = np.concatenate([read_stars(path)[0].id for path in stored.glob("Norder=5/Dir=*/Npix=*/*.parquet")])
    np.testing.assert_array_equal(np.sort(ids), np.sort(whole.id))
    assert whole.id.size == N - N // 50  # duplicates are left out there, and stay in the store


def test_files_are_sorted_by_place(stored: Path) -> None:
    for path in stored.glob("Norder=5/Dir=*/Npix=*/*.parquet"):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                index = file.read_row_group(group, ["_healpix_29"])["_healpix_29"].to_numpy()
                assert (np.diff(index) >= 0).all()
                assert (index >> 48 == int(path.parent.name.removeprefix("Npix="))).all()


def test_the_same_file_again_changes_nothing_and_a_changed_one_replaces_it(stored: Path, tmp_path: Path) -> None:
    path = next(tmp_path.glob("tic_dec*.csv.gz"))
    before = {file: file.stat().st_mtime_ns for file in stored.rglob("*.parquet")}
    take(path, stored)
    assert {file: file.stat().st_mtime_ns for file in stored.rglob("*.parquet")} == before
    path.write_bytes(gzip.compress(text(bulk_rows()[: N // 2]), 1))
    take(path, stored)
    assert read_catalog(stored).n_row == N // 2
    assert cone_search(stored, 0.0, -90.0, 180.0, ["ID"]).num_rows == N // 2
    assert not set(before) & set(stored.rglob("*.parquet"))


def test_a_header_beside_the_file_names_its_columns_in_any_order(tmp_path: Path) -> None:
    order = RNG.permutation(len(TIC_COLUMNS))
    rows = [[row[k] for k in order] for row in bulk_rows()[:300]]
    (tmp_path / "part.csv").write_bytes(text(rows))
    (tmp_path / "header.csv").write_text(",".join(f"[{TIC_COLUMNS[k]}]:String" for k in order) + "\n")
    take(tmp_path / "part.csv", tmp_path / "tic")
    found = cone_search(tmp_path / "tic", 0.0, -90.0, 180.0, ["ID", "ra", "Tmag"]).sort_by("ID")
    np.testing.assert_array_equal(found["ra"].to_numpy(), RA[:300])


@pytest.mark.parametrize("kind", ["fits", "votable", "ecsv", "parquet", "csv"])
def test_gaia_in_any_format(tmp_path: Path, kind: str) -> None:
    table = Table(
        {
            "source_id": np.arange(200) + 2**60,
            "ra": RA[-200:],
            "dec": DEC[-200:],
            "phot_g_mean_mag": RNG.normal(14, 2, 200),
        }
    )
    path = tmp_path / f"gaia.{kind}"
    if kind == "parquet":
        import pyarrow as pa

        pq.write_table(pa.table({name: np.asarray(table[name]) for name in table.colnames}), path)
    else:
        table.write(path, format={"csv": "ascii.csv", "ecsv": "ascii.ecsv"}.get(kind, kind))
    take(path, tmp_path / "gaia")
    found = cone_search(tmp_path / "gaia", 0.0, -70.0, 30.0).sort_by("source_id")
    assert found["source_id"].to_pylist() == [2**60 + k for k in range(200)]
    np.testing.assert_allclose(found["phot_g_mean_mag"].to_numpy(), table["phot_g_mean_mag"], rtol=1e-12)


def test_rows_without_a_position_are_counted(tmp_path: Path) -> None:
    rows = bulk_rows()[:10]
    rows[3][13] = ""
    (tmp_path / "x.csv").write_bytes(text(rows))
    source = take(tmp_path / "x.csv", tmp_path / "tic")
    assert (source.n_row, source.n_off) == (9, 1)


def spoilt(name: str) -> bytes:
    rows = bulk_rows()[:200]
    if name == "missing column":
        return text([row[:-1] for row in rows])
    if name == "ragged row":
        rows[150] = rows[150][:90]
    if name == "shifted columns":
        return text([row[-1:] + row[:-1] for row in rows])
    if name == "web page":
        return b"<!DOCTYPE html><html>maintenance</html>"
    if name == "empty":
        return b""
    if name == "no position":
        return text([[*row[:13], "", "", *row[15:]] for row in rows])
    whole = text(rows)
    return gzip.compress(whole)[:-3000] if name == "cut short" else whole


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing column", "header line, and its 124 columns are not the 125"),
        ("ragged row", "has 90 fields where 125 are expected"),
        ("shifted columns", "where a number is expected"),
        ("web page", "is a web page"),
        ("empty", "is empty"),
        ("no position", "no row with a position"),
        ("cut short", "Truncated compressed stream; fetch it again"),
        ("wrong md5", "its md5 is"),
    ],
)
def test_what_cannot_be_taken_in_changes_nothing(stored: Path, tmp_path: Path, name: str, words: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in stored.rglob("*") if path.is_file()}
    path = tmp_path / "other.csv"
    path.write_bytes(spoilt(name))
    with pytest.raises(ConfigError, match=words) as caught:
        take(path, stored, "0" * 32 if name == "wrong md5" else "")
    assert str(path) in caught.value.message
    assert {path: path.stat().st_mtime_ns for path in stored.rglob("*") if path.is_file()} == before
    assert not list(stored.glob(".taking*"))


def test_another_table_is_no_part_of_the_catalogue(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("ID,ra,dec,Tmag\n1,10.0,20.0,9.0\n")
    with pytest.raises(ConfigError, match="take it in under another name"):
        take(tmp_path / "other.csv", stored)


def test_a_header_of_another_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(text(bulk_rows()[:5]))
    (tmp_path / "header.csv").write_text("[ID]:Integer,[ra]:Float,[dec]:Float\n")
    with pytest.raises(ConfigError, match=r"has 125 columns, but .*header\.csv names 3"):
        take(tmp_path / "x.csv", tmp_path / "tic")


def test_searches_say_what_is_wrong(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no column 'Gmag'"):
        cone_search(stored, 0.0, -70.0, 1.0, ["Gmag"])
    for ra, dec, radius in [(-1.0, 0.0, 1.0), (0.0, 91.0, 1.0), (0.0, 0.0, 0.0), (float("nan"), 0.0, 1.0)]:
        with pytest.raises(ConfigError, match="no circle"):
            cone_search(stored, ra, dec, radius)
    with pytest.raises(ConfigError, match="not convex"):
        polygon_search(stored, [0.0, 2.0, 1.0, 1.0], [-70.0, -70.0, -69.8, -68.0])
    with pytest.raises(ConfigError, match="three corners"):
        polygon_search(stored, [0.0, 2.0], [-70.0, -70.0])
    with pytest.raises(StoreError, match="no catalogue in"):
        cone_search(tmp_path / "nowhere", 0.0, 0.0, 1.0)
    next(stored.rglob("*.parquet")).write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match="is damaged"):
        cone_search(stored, 0.0, -90.0, 180.0)


def test_lists_of_sums(tmp_path: Path) -> None:
    path = tmp_path / "md5sum.txt"
    path.write_text(f"{'AB' * 16} *tic_dec90_00S__88_00S.csv\n{'cd' * 16}  folder/other.csv.gz\n\n")
    assert md5_list(path) == {"tic_dec90_00S__88_00S.csv": "ab" * 16, "other.csv": "cd" * 16}
    path.write_text("<html>no list</html>")
    with pytest.raises(ConfigError, match="line 1 is no md5 sum"):
        md5_list(path)
