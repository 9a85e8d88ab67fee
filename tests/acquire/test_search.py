"""Searches: what is found, and that a portal that tells less than all, or nothing at all, is never believed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.acquire.files import HASTY, ffi_name, make_shelf

import cuvee.acquire
from cuvee.acquire.api import archive_at
from cuvee.acquire.manifest import Found, Query
from cuvee.acquire.search import search
from cuvee.errors import ConfigError, TransientError
from cuvee.testing.archive import Fault, LoopbackArchive

STARS = (117544915, 25155310, 261136679)
RUNS = ((1, 3), (1, 6), (27, 39))


def star_file(path: Path, **cards: object) -> None:
    primary = fits.PrimaryHDU()
    for key, value in cards.items():
        primary.header[key] = value
    primary.header["NEXTEND"] = 1
    table = fits.BinTableHDU.from_columns([fits.Column("TIME", "D", array=np.arange(10.0))])
    fits.HDUList([primary, table]).writeto(path, checksum=True)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackArchive]:
    folder = tmp_path_factory.mktemp("shelf")
    make_shelf(folder, [ffi_name(k, ccd=ccd) for ccd, n in ((1, 4), (2, 3)) for k in range(n)], 8)
    make_shelf(folder, [ffi_name(k, sector=2, ccd=1) for k in range(2)], 8)
    for k, star in enumerate(STARS):
        place = {"RA_OBJ": 300.0 + 0.1 * k, "DEC_OBJ": -40.0}
        for sector in (1, 2):
            stem = f"tess2018206045859-s{sector:04d}-{star:016d}-0120-s"
            star_file(folder / f"{stem}_lc.fits", **place)
            star_file(folder / f"{stem}_tp.fits", **place)
        for first, last in RUNS:
            star_file(folder / f"tess2019000000000-s{first:04d}-s{last:04d}-{star:016d}-00200_dvt.fits", **place)
    for star, ra in ((99, 250.0), (100, 250.0005)):  # two within two seconds of arc, and nobody else near
        star_file(folder / f"tess2019006130736-s0008-{star:016d}-0136-s_lc.fits", RA_OBJ=ra, DEC_OBJ=-10.0)
    for name in ("kplr011904151-2009131105131_llc.fits", "kplr011904151-2009131105131_lpd-targ.fits.gz"):
        star_file(folder / name, RA_OBJ=285.0, DEC_OBJ=50.0)
    star_file(folder / "ktwo205985000-c03_lpd-targ.fits.gz", RA_OBJ=340.0, DEC_OBJ=-10.0)
    for root, instrument, detector, programme, target, grating, files in (
        ("ld9m10ujq", "COS", "FUV", 14767, "GJ-436", "G130M", ("corrtag_a", "corrtag_b", "x1d")),
        ("ld9m10uyq", "COS", "FUV", 14767, "GJ-436", "G160M", ("flt_a", "x1d")),
        ("oblh01040", "STIS", "NUV-MAMA", 12566, "HD128621", "E230M", ("tag", "x1d")),
    ):
        cards = {"INSTRUME": instrument, "DETECTOR": detector, "PROPOSID": programme, "TARGNAME": target}
        for suffix in files:
            star_file(folder / f"{root}_{suffix}.fits", **cards, OPT_ELEM=grating, RA_TARG=10.0, DEC_TARG=20.0)
    with LoopbackArchive(folder) as archive:
        yield archive


@pytest.fixture(autouse=True)
def well(archive: LoopbackArchive) -> None:
    archive.faults = []
    archive.clear()


def ask(archive: LoopbackArchive, query: Query, page_size: int = 5) -> Found:
    with archive_at(archive.url, HASTY) as there:
        return search(query, replace(there, page_size=page_size))


def names(found: Found) -> list[str]:
    return sorted(file.name for file in found.manifest.files)


def test_the_script_of_a_sector_says_which_frames_there_are(archive: LoopbackArchive) -> None:
    found = cuvee.acquire.tess("1-2", archive=archive.url)
    assert len(found.manifest.files) == 4 + 3 + 2  # not as many for each detector
    one = cuvee.acquire.tess(1, camera=1, ccd=2, archive=archive.url)
    assert names(one) == [ffi_name(k, ccd=2) for k in range(3)]
    assert one.manifest.files[0].path == f"RAW/tess/ffi/s0001/1-2/{ffi_name(0, ccd=2)}"
    assert {r.path for r in archive.requests} <= {
        f"/missions/tess/download_scripts/sector/tesscurl_sector_{n}_ffic.sh" for n in (1, 2)
    }


def test_files_of_stars_are_found_with_their_sizes(archive: LoopbackArchive) -> None:
    found = cuvee.acquire.tess(targets=[f"TIC {STARS[0]}", STARS[1]], products=["lc", "tp"], archive=archive.url)
    assert len(found.manifest.files) == 8
    paths = archive.site.shelf.paths
    assert {file.name: file.size for file in found.manifest.files} == {
        file.name: paths[file.name].stat().st_size for file in found.manifest.files
    }
    assert set(found.observations["target_name"]) == {str(STARS[0]), str(STARS[1])}
    assert set(found.manifest.table["name"]) <= set(found.products["productFilename"])
    assert names(cuvee.acquire.tess(2, targets=STARS[2], archive=archive.url)) == [
        f"tess2018206045859-s0002-{STARS[2]:016d}-0120-s_lc.fits"
    ]


def test_of_runs_over_several_sectors_the_newest_and_those_apart_are_found(archive: LoopbackArchive) -> None:
    found = cuvee.acquire.tess(targets=STARS[0], products="dv", archive=archive.url)
    assert [name.split("-")[1:3] for name in names(found)] == [["s0001", "s0006"], ["s0027", "s0039"]]
    early = cuvee.acquire.tess("1-5", targets=STARS[0], products="dv", archive=archive.url)
    assert [name.split("-")[1:3] for name in names(early)] == [["s0001", "s0003"]]


def test_conditions_on_columns(archive: LoopbackArchive) -> None:
    both = cuvee.acquire.tess(where=["t_exptime=100..200", "obs_id=tess2018*"], archive=archive.url)
    assert len(both.manifest.files) == 6
    one = cuvee.acquire.tess(where=[f"target_name={STARS[0]},{STARS[1]}", "sequence_number=1"], archive=archive.url)
    assert len(one.manifest.files) == 2
    assert "sequence_number" in cuvee.acquire.columns(archive.url)["column"]


def test_kepler_and_k2(archive: LoopbackArchive) -> None:
    found = cuvee.acquire.kepler(["KIC 11904151", "EPIC 205985000"], archive=archive.url)
    assert names(found) == ["kplr011904151-2009131105131_lpd-targ.fits.gz", "ktwo205985000-c03_lpd-targ.fits.gz"]
    assert names(cuvee.acquire.kepler(11904151, products="lc", archive=archive.url)) == [
        "kplr011904151-2009131105131_llc.fits"
    ]


def test_hst_by_instrument_programme_target_and_grating(archive: LoopbackArchive) -> None:
    photons = ["ld9m10ujq_corrtag_a.fits", "ld9m10ujq_corrtag_b.fits", "ld9m10ujq_x1d.fits"]
    assert names(cuvee.acquire.hst("cos", time_tag=True, archive=archive.url)) == photons
    assert names(cuvee.acquire.hst("cos", programme=14767, archive=archive.url)) == [*photons, "ld9m10uyq_x1d.fits"]
    assert names(cuvee.acquire.hst(grating="e230m", archive=archive.url)) == [
        "oblh01040_tag.fits",
        "oblh01040_x1d.fits",
    ]
    assert names(cuvee.acquire.hst(targets="gj-436", grating="G130M", products="x1d", archive=archive.url)) == [
        "ld9m10ujq_x1d.fits"
    ]


@pytest.mark.parametrize(
    "kind", ["page-missing", "page-warning", "page-shifted", "page-duplicated", "rows-total", "error"]
)
@pytest.mark.parametrize("service", ["Mast.Caom.Filtered", "Mast.Caom.Products"])
def test_an_answer_that_does_not_add_up_is_asked_for_again(archive: LoopbackArchive, service: str, kind: str) -> None:
    query = Query("tess", targets=tuple(map(str, STARS)), products=("lc", "tp"))
    truth = names(ask(archive, query))
    assert len(truth) == 12
    archive.faults = [Fault(kind, service, times=2)]
    assert names(ask(archive, query)) == truth
    assert archive.hits == (2,)
    archive.faults = [Fault(kind, service)]
    with pytest.raises(TransientError, match=r"is not to be trusted.*4 times"):
        ask(archive, query)


def test_a_search_in_work_is_waited_for_with_patience_and_not_for_ever(archive: LoopbackArchive) -> None:
    query = Query("tess", targets=(str(STARS[0]),))
    archive.faults = [Fault("executing", "Mast.Caom.Filtered", times=3)]
    assert len(names(ask(archive, query))) == 2
    archive.clear()
    archive.faults = [Fault("executing", "Mast.Caom.Filtered")]
    with pytest.raises(TransientError, match="still works on a search"):
        ask(archive, query)
    # Pauses double from 10 ms; asked again at once, it would have been hundreds of times in half a second.
    assert 3 < len(archive.requests) < 12


@pytest.mark.parametrize("fault", [Fault("503", times=2, number=0.05), Fault("429", times=2), Fault("500", times=3)])
def test_a_portal_that_is_busy_is_asked_again(archive: LoopbackArchive, fault: Fault) -> None:
    archive.faults = [fault]
    assert len(names(ask(archive, Query("tess", targets=(str(STARS[0]),))))) == 2


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (Query("tess", sectors=(999,)), "no list of ffic files of sector 999.*not released yet"),
        (Query("tess", sectors=(1,), camera=3), "has no ffic file of sector 1, camera 3"),
        (Query("tess", targets=("5",)), "has no lc file of 5"),
        (Query("tess", targets=("no such star",)), "knows no star 'no such star'"),
        (Query("tess"), "--sector 1"),
        (Query("tess", sectors=(1,), ccd=2), "--ccd needs --camera"),
        (Query("tess", targets=("5",), camera=1), "single stars"),
        (Query("tess", targets=("5",), products=("ffic",)), "whole detectors"),
        (Query("tess", sectors=(1,), products=("lcc",)), "no product 'lcc'"),
        (Query("tess", where=("target_nam=5",)), "did you mean 'target_name'"),
        (Query("tess", where=("target_name",)), "column=value"),
        (Query("tess", where=("target_name=1..2",)), "holds words"),
        (Query("kepler"), "--target"),
        (Query("hst"), "--programme"),
        (Query("hst", instrument="wfc3", time_tag=True), "cos or stis"),
        (Query("hst", programme="99999"), "has no corrtag or tag or x1d file of programme 99999"),
        (Query("cheops"), "choose tess"),
    ],
)
def test_mistakes_are_said_in_one_sentence(archive: LoopbackArchive, query: Query, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        ask(archive, query)
    assert "\n" not in caught.value.message


def test_stars_of_which_there_is_nothing_are_named(archive: LoopbackArchive) -> None:
    found = ask(archive, Query("tess", targets=(str(STARS[0]), "TIC 5")))
    assert len(names(found)) == 2
    assert found.manifest.notes == ("TIC 5: the archive has no lc of it.",)


def test_a_star_may_be_named_by_its_place_if_that_is_only_one(archive: LoopbackArchive) -> None:
    named = ask(archive, Query("tess", targets=("300.1 -40.0",)))
    assert names(named) == names(ask(archive, Query("tess", targets=(str(STARS[1]),))))
    with pytest.raises(ConfigError, match=r"may be any of 99, 100; name one by its id"):
        ask(archive, Query("tess", targets=("250.0 -10.0",)))
    with pytest.raises(ConfigError, match="no light curve or pixels of it"):
        ask(archive, Query("tess", targets=("10.0 80.0",)))


def test_what_was_asked_can_be_written_down() -> None:
    query = Query("tess", sectors=(1, 2), camera=1, products=("ffic",))
    assert Query.from_dict(json.loads(json.dumps(query.as_dict()))) == query
    assert query.key != replace(query, camera=2).key
