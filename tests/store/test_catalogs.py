"""Tables of stars as people have them: real ones, every format, and everything that can be wrong with them."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import MaskedColumn, Table
from tests.catalog.scenes import sip_footprint

from cuvee.catalog import TargetParams, footprint_pixels, make_stars, select_targets
from cuvee.errors import ConfigError, StoreError
from cuvee.model.records import Stars
from cuvee.store.catalog_columns import TIC_COLUMNS
from cuvee.store.catalogs import partition_files, read_partitions, read_stars, write_partitions

HEADER = "ID,ra,dec,Tmag"
COLUMNS = ("healpix", "id", "ra", "dec", "mag", "pmra", "pmdec", "epoch")


def table(folder: Path, *lines: str, name: str = "stars.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def same(first: Stars, second: Stars) -> None:
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def some_stars(n: int = 500, seed: int = 3) -> Stars:
    rng = np.random.default_rng(seed)
    dec = np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    mag = np.where(rng.random(n) < 0.1, np.nan, rng.uniform(5, 18, n))
    ids = rng.choice(10**9, n, replace=False) + 1
    return make_stars(ids, rng.uniform(0, 360, n), dec, mag, rng.normal(0, 30, n), rng.normal(0, 30, n))


# --- real tables ------------------------------------------------------------------------------------------------------


def test_real_tic_rows_load_whole(shared_data: Path) -> None:
    stars, report = read_stars(shared_data / "tic" / "ticentries.csv.gz")
    assert (report.n_row, report.n_star, len(stars)) == (206, 206, 206)
    # Three rows bear codes of that database's own, which name none of the TIC's dispositions.
    assert report.unread_dispositions == 3
    star = np.flatnonzero(stars.id == 1227555)[0]
    row = [getattr(stars, name)[star] for name in COLUMNS[2:]]
    assert row == [137.225947173, -15.281665578, 12.5991, -14.2149, 10.2903, 2000.0]
    assert (np.diff(stars.healpix) >= 0).all()


def test_real_tic_rows_without_their_header(shared_data: Path, tmp_path: Path) -> None:
    original = shared_data / "tic" / "ticentries.csv.gz"
    rows = gzip.decompress(original.read_bytes()).split(b"\n", 1)[1]
    bare = tmp_path / "tic_dec16_00S__14_00S.csv.gz"
    bare.write_bytes(gzip.compress(rows))
    same(read_stars(bare)[0], read_stars(original)[0])


def test_real_crossmatch_takes_the_tics_columns(shared_data: Path) -> None:
    path = shared_data / "tess_ic2391_s8_c3_ccd4" / "IC_2391_crossmatch_xmatch_TIC.csv.gz"
    stars, report = read_stars(path)
    # 344 Gaia sources, of which 15 pairs met the same TIC star.
    assert (report.n_row, report.n_star, report.repeated, report.first_repeat) == (344, 329, 15, 8)
    assert "15 rows left out that repeat an earlier one, the first in row 8" in report.sentence
    star = np.flatnonzero(stars.id == 45975697)[0]
    row = [getattr(stars, name)[star] for name in COLUMNS[2:]]
    # RAdeg, DEdeg, Tmag, pmRA and the second of two pmDE: the first is Cantat-Gaudin's.
    assert row == [131.67761803486, -55.13692631228, 13.745, -26.376, 23.654, 2000.0]


def test_real_ecsv_loads_whole(shared_data: Path) -> None:
    stars, report = read_stars(shared_data / "tess_ic2391_s8_c3_ccd4" / "cluster_targets_tic.ecsv")
    assert (report.n_row, report.n_star) == (118, 118)
    star = np.flatnonzero(stars.id == 94184079)[0]
    row = [getattr(stars, name)[star] for name in COLUMNS[2:7]]
    assert row == [130.913960833333, -53.13212175, 14.9214, -24.171, 23.908]


# --- formats ----------------------------------------------------------------------------------------------------------


def as_astropy(stars: Stars) -> Table:
    mag = MaskedColumn(stars.mag, mask=np.isnan(stars.mag), name="Tmag")
    made = Table(
        [stars.id, stars.ra, stars.dec, mag, stars.pmra, stars.pmdec],
        names=["ID", "ra", "dec", "Tmag", "pmRA", "pmDEC"],
    )
    made["ra"].unit = made["dec"].unit = "deg"
    made["pmRA"].unit = made["pmDEC"].unit = "mas / yr"
    return made


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("stars.csv", "ascii.csv"),
        ("stars.tsv", "ascii.tab"),
        ("stars.ecsv", "ascii.ecsv"),
        ("stars.fits", "fits"),
        ("stars.xml", "votable"),
        ("stars.parquet", "parquet"),
        ("misnamed.txt", "fits"),
    ],
)
def test_every_format_gives_the_same_stars(tmp_path: Path, name: str, kind: str) -> None:
    stars = some_stars()
    path = tmp_path / name
    if kind == "parquet":
        pq.write_table(
            pa.table(
                {
                    n: as_astropy(stars)[n].filled(np.nan) if n == "Tmag" else np.asarray(as_astropy(stars)[n])
                    for n in as_astropy(stars).colnames
                }
            ),
            path,
        )
    else:
        as_astropy(stars).write(path, format=kind)
    got, report = read_stars(path)
    same(got, stars)
    assert report.no_mag == int(np.isnan(stars.mag).sum())
    if kind != "parquet":  # which is compressed inside
        path.write_bytes(gzip.compress(path.read_bytes()))
        same(read_stars(path)[0], stars)


def test_ecsv_with_commas_and_other_units(tmp_path: Path) -> None:
    stars = some_stars(50)
    made = as_astropy(stars)
    made["ra"] = made["ra"] / 15.0
    made["ra"].unit = "hourangle"
    made["pmRA"] = made["pmRA"] / 1000.0
    made["pmRA"].unit = "arcsec / yr"
    made.write(tmp_path / "units.ecsv", format="ascii.ecsv", delimiter=",")
    got, _ = read_stars(tmp_path / "units.ecsv")
    np.testing.assert_allclose(got.ra, stars.ra, rtol=1e-14)
    np.testing.assert_allclose(got.pmra, stars.pmra, rtol=1e-12)
    made["ra"].unit = "kg"
    made.write(tmp_path / "kg.ecsv", format="ascii.ecsv")
    with pytest.raises(ConfigError, match="column ra has the unit 'kg' where deg is expected"):
        read_stars(tmp_path / "kg.ecsv")


@pytest.mark.parametrize(
    "header",
    [
        "ID,ra,dec,Tmag",
        "tic id,RAJ2000,DecJ2000,TMAG",
        "TIC_ID,RA J2000,DEJ2000,T_mag",
        "ticid,RAdeg,DEdeg,TESSMAG",
        "[ID]:Integer,[ra]:Float,[dec]:Float,[Tmag]:Float",
        '"TIC ID","RA","DEC","TESS mag"',
        "source_id,ra,decl,mag",
        "# ID,ra,dec,Tmag",
    ],
)
def test_spellings_of_columns(tmp_path: Path, header: str) -> None:
    stars, _ = read_stars(table(tmp_path, header, "7,10.5,-20.25,9.75"))
    assert (stars.id[0], stars.ra[0], stars.dec[0], stars.mag[0]) == (7, 10.5, -20.25, 9.75)
    assert (stars.pmra[0], stars.pmdec[0], stars.epoch[0]) == (0.0, 0.0, 2000.0)


def test_ambiguous_columns_go_by_the_order_of_aliases(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "KIC,RA_orig,Dec_orig,RAJ2000,DEJ2000,mag,ID,ra,dec,Tmag,e_pmRA,pmRA,pmDEC,ref_epoch,kepmag",
        "5,1,1,2,2,99,7,10,20,9,0.1,3,4,2016.0,8.5",
    )
    stars, _ = read_stars(path)
    assert [getattr(stars, name)[0] for name in COLUMNS[1:]] == [7, 10.0, 20.0, 9.0, 3.0, 4.0, 2016.0]
    assert read_stars(path, "kepler")[0].mag[0] == 8.5


def test_ids_as_people_write_them(tmp_path: Path) -> None:
    stars, report = read_stars(
        table(tmp_path, HEADER, "TIC 12,1,1,9", " 13.0 ,2,2,9", "9223372036854775807,3,3,9", ",4,4,9")
    )
    assert sorted(stars.id.tolist()) == [12, 13, 2**63 - 1]
    assert report.no_id == 1


def test_floating_ids_of_binary_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"TIC": [25155310.0, float("nan")], "ra": [1.0, 2.0], "dec": [0, 1], "Tmag": [9, 8]}), path)
    stars, report = read_stars(path)
    assert (stars.id.tolist(), report.no_id) == ([25155310], 1)
    pq.write_table(pa.table({"TIC": [2.5], "ra": [1.0], "dec": [0.0], "Tmag": [9.0]}), path)
    with pytest.raises(ConfigError, match=r"row 1: TIC is 2.5, which is not a whole number"):
        read_stars(path)


def test_empty_is_null_and_some_dispositions_are_dropped(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "ID,ra,dec,Tmag,pmRA,pmDEC,Disposition",
        "1,0,0,10,,,",
        "2,360,0,,NULL,nan,SPLIT",
        "3,400,,,,,DUPLICATE",
        "4,1,1,11,1,1,artifact",
        "1,5,5,5,5,5,DUPLICATE",
    )
    stars, report = read_stars(path)
    assert sorted(stars.id.tolist()) == [1, 2]
    assert stars.ra.tolist() == [0.0, 0.0]
    assert np.isnan(stars.mag[stars.id == 2]).all()
    assert dict(report.dispositions) == {"DUPLICATE": 2, "ARTIFACT": 1}
    assert report.no_mag == 1
    assert "2 rows of disposition DUPLICATE left out" in report.sentence


# --- what is wrong, and where -----------------------------------------------------------------------------------------

GOOD = ("1,10,20,9", "2,11,21,9.5")
BAD_ROWS = [
    ("3,12,91,9", "row 3: dec is 91.0, where -90 to 90 deg is expected"),
    ("3,-0.1,21,9", "row 3: ra is -0.1, where 0 to 360 deg is expected"),
    ("3,inf,21,9", "row 3: ra is inf, where 0 to 360 deg is expected"),
    ("3,12,,9", "row 3: dec is missing, where -90 to 90 deg is expected"),
    ("3,12h30m,21,9", "row 3: ra is '12h30m', which is not a number"),
    ("3,12,21,bright", "row 3: Tmag is 'bright', which is not a number"),
    ("HD 1,12,21,9", "row 3: ID is 'HD 1', which is not a whole number"),
    ("3.5,12,21,9", "row 3: ID is '3.5', which is not a whole number"),
    ("-3,12,21,9", "row 3: ID is -3, where ids are positive"),
    ("9223372036854775808,12,21,9", "row 3: ID is '9223372036854775808', which does not fit 64 bits"),
    ("2,11,21,9.25", "row 3: ID is 2, as in row 2, but with other values"),
    ("3,12,21", "row 3 has 3 columns where 4 are expected"),
]


@pytest.mark.parametrize(("row", "words"), BAD_ROWS)
@pytest.mark.parametrize("comment", [(), ("# stars of mine", "#")])
def test_a_bad_row_is_named(tmp_path: Path, row: str, words: str, comment: tuple[str, ...]) -> None:
    path = table(tmp_path, *comment, HEADER, *GOOD, row, "4,13,22,9")
    with pytest.raises(ConfigError) as caught:
        read_stars(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_row_far_down_a_bare_tic_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tic.csv"
    blank = [""] * len(TIC_COLUMNS)
    with path.open("w") as file:
        for i in range(30_000):
            row = blank.copy()
            row[0], row[13], row[14], row[60] = str(i + 1), f"{i % 360}.5", "-0.25", "12" if i != 29_998 else "12..3"
            file.write(",".join(row) + "\n")
    with pytest.raises(ConfigError, match=r"tic\.csv: row 29999: Tmag is '12\.\.3', which is not a number"):
        read_stars(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n  \n", "is empty"),
        (b"# only\n# comments\n", "nothing but comments"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "is a web page"),
        (b"<?xml version='1.0'?><svg/>", "is XML, but not a VOTable"),
        (b"<?xml version='1.0'?><VOTABLE><RESOURCE><TABLE>", "is a damaged VOTable"),
        (b"\x89HDF\r\n\x1a\n\x00\x00\x00", "is not a table that cuvee reads"),
        (b"PAR1 and then nothing", "is a damaged Parquet file"),
        (b"SIMPLE  =                    T", "is a damaged FITS file"),
        (b"once upon a time\nthere was a star\n", "is not a table that cuvee reads"),
        (b"ID,ra,dec,Tmag\n", "has a header but no rows"),
        (b"ID,ra,dec,Vmag\n1,2,3,4\n", "no column for the tess magnitude (looked for tmag, tessmag"),
        (b"name,ra,dec,Tmag\n1,2,3,4\n", "no column for the star's id (looked for id, ticid"),
        (b"ID,ra,glat,Tmag\n1,2,3,4\n", "no column for the position (looked for ra, dec, raj2000"),
        (b"1,2,3,4\n", "has no header line, and its 4 columns are not the 125 of the TIC"),
        (b"\x1f\x8b\x08\x00garbage", "cannot be read"),
    ],
)
def test_what_is_no_table_is_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "catalog"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_stars(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_columns_say_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"its columns are: ID, ra, dec, Vmag\."):
        read_stars(table(tmp_path, "ID,ra,dec,Vmag", "1,2,3,4"))


def test_a_truncated_gzip_is_damaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lines = "\n".join(f"{i + 1},{x:.9f},0.5,9" for i, x in enumerate(rng.uniform(0, 360, 300_000)))
    whole = gzip.compress(f"{HEADER}\n{lines}\n".encode(), compresslevel=1)
    path = tmp_path / "stars.csv.gz"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ConfigError, match="cut short or damaged"):
        read_stars(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no catalogue"):
        read_stars(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="is a folder"):
        read_stars(tmp_path)


# --- the partitioned store --------------------------------------------------------------------------------------------


def patch_of_stars(n: int) -> Stars:
    """Stars around RA 0 on the equator, in some twenty partitions."""
    rng = np.random.default_rng(9)
    ids = rng.choice(10**9, n, replace=False) + 1
    return make_stars(
        ids, rng.uniform(-4, 4, n) % 360.0, rng.uniform(-4, 4, n), rng.uniform(5, 18, n), *rng.normal(0, 30, (2, n))
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_partitions_give_back_what_was_written(tmp_path: Path) -> None:
    stars = patch_of_stars(800)
    paths = write_partitions(stars, tmp_path, "tic")
    pixels = np.unique(stars.healpix >> 48)
    assert [path.parent.name for path in paths] == [f"Npix={pixel}" for pixel in pixels]
    assert set(paths) == set(partition_files(tmp_path, range(12288)))
    same(read_partitions(tmp_path, range(12288)), stars)
    few = pixels[3:7].tolist()
    same(read_partitions(tmp_path, few[::-1]), stars.take(np.isin(stars.healpix >> 48, few)))


def test_the_same_stars_give_the_same_bytes(tmp_path: Path) -> None:
    stars = patch_of_stars(200)
    write_partitions(stars, tmp_path / "a", "tic")
    shuffled = stars.take(np.random.default_rng(1).permutation(200))
    again = make_stars(*(getattr(shuffled, name) for name in COLUMNS[1:]))
    write_partitions(again, tmp_path / "b", "tic")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    write_partitions(stars, tmp_path / "a", "tic")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_stale_partitions_of_a_tag_are_removed_and_others_kept(tmp_path: Path) -> None:
    stars = patch_of_stars(100)
    write_partitions(stars, tmp_path, "tic")
    write_partitions(stars.take(slice(0, 10)), tmp_path, "mine")
    write_partitions(stars.take(slice(0, 3)), tmp_path, "mine")
    assert len(list(tmp_path.rglob("mine.parquet"))) == len(np.unique(stars.healpix[:3] >> 48))
    same(read_partitions(tmp_path, range(12288)), stars)


def test_of_a_star_in_two_tags_the_first_wins(tmp_path: Path) -> None:
    first = make_stars([1, 2], [10.0, 11.0], [1.0, 1.0], [5.0, 6.0])
    second = make_stars([2, 3], [11.00001, 12.0], [1.0, 1.0], [7.0, 8.0])
    write_partitions(second, tmp_path, "b")
    write_partitions(first, tmp_path, "a")
    merged = read_partitions(tmp_path, range(12288))
    assert dict(zip(merged.id.tolist(), merged.mag.tolist(), strict=True)) == {1: 5.0, 2: 6.0, 3: 8.0}
    assert (np.diff(merged.healpix) > 0).all()


def test_no_partitions_no_stars(tmp_path: Path) -> None:
    assert len(read_partitions(tmp_path / "none", [1, 2])) == 0
    assert partition_files(tmp_path / "none", [1, 2]) == []
    assert write_partitions(patch_of_stars(0), tmp_path, "tic") == []


def test_a_damaged_partition_is_named(tmp_path: Path) -> None:
    paths = write_partitions(patch_of_stars(5), tmp_path, "tic")
    paths[0].write_bytes(paths[0].read_bytes()[:-20])
    with pytest.raises(StoreError, match=paths[0].parent.name):
        read_partitions(tmp_path, range(12288))


def test_a_footprint_finds_its_stars(tmp_path: Path) -> None:
    footprint = sip_footprint(0.0, 89.0)
    stars = some_stars(20_000)
    near = stars.take(stars.dec > 78)
    write_partitions(near, tmp_path, "tic")
    found = read_partitions(tmp_path, footprint_pixels([footprint]))
    options: dict[str, Any] = {"fwhm": 1.9, "zero_point": 20.44, "radii": (1.5,)}
    all_of = select_targets([footprint], stars, TargetParams(), **options)
    of_part = select_targets([footprint], found, TargetParams(), **options)
    assert len(all_of) > 20
    np.testing.assert_array_equal(of_part.id, all_of.id)
    np.testing.assert_array_equal(of_part.crowding, all_of.crowding)
