"""What `cuvee database` does, with the ledger in each database: stars, views, copies, checks."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from tests.run.test_databases import keep_ledger_in, small_survey
from tests.run.workspaces import Listener, run
from tests.store.servers import Servers

from cuvee.database import check_ledger, copy_ledger, database_facts, load_catalog, make_survey_views
from cuvee.errors import ConfigError, StoreError
from cuvee.sky import take_in
from cuvee.store.catalog_columns import TIC_COLUMNS
from cuvee.store.ledger import Ledger
from cuvee.store.lock import workspace_lock
from cuvee.store.own_ledger import open_ledger
from cuvee.store.schema import REVISIONS, TABLES
from cuvee.survey import Survey, open_survey

KINDS = ("sqlite", "postgresql", "mysql")


HSTLC = ("metadata", "outputs", "bad_data", "stats")  # what is in them: test_exposures.py


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small survey that has been run, with its ledger in a file; copied by each test."""
    root = small_survey(tmp_path_factory.mktemp("finished") / "survey")
    assert not run(root).troubled
    return root


@pytest.fixture
def survey(finished: Path, tmp_path: Path) -> Survey:
    root = tmp_path / "survey"
    shutil.copytree(finished, root)
    return open_survey(root)


@pytest.fixture(params=KINDS)
def anywhere(request: pytest.FixtureRequest, survey: Survey, servers: Servers) -> Iterator[Survey]:
    """The same survey with its ledger in each database."""
    if request.param == "sqlite":
        yield survey
        return
    with servers.place(request.param) as place:
        copy_ledger(str(survey.paths.ledger), place)
        keep_ledger_in(survey.path, place)
        survey.paths.ledger_file.unlink()
        yield open_survey(survey.path)


def ask(survey: Survey, query: str) -> list[tuple[Any, ...]]:
    with open_ledger(survey.paths, read_only=True) as ledger, ledger.database.transaction() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def catalogue(survey: Survey) -> list[dict[str, str]]:
    with (survey.path / "BASE" / "CAT" / "catalog.csv").open() as file:
        return list(csv.DictReader(file))


# -- stars -------------------------------------------------------------------------------------------------------


def test_stars_of_the_survey_and_of_a_file_are_loaded(anywhere: Survey) -> None:
    stars = catalogue(anywhere)
    middle = round(float(np.median([float(star["dec"]) for star in stars])), 3)
    n, _ = load_catalog(anywhere, "tic", within=(-90.0, middle))
    assert n == sum(float(star["dec"]) < middle for star in stars) > 0
    n, views = load_catalog(anywhere, "tic", within=(middle, 90.0))
    assert [row[0] for row in ask(anywhere, "SELECT id FROM tic ORDER BY id")] == sorted(int(s["ID"]) for s in stars)
    names = {name.lower() for name in views}
    assert {f"ticv8_-90_{middle:g}", f"ticv8_{middle:g}_90", f"ticv8_{middle:g}_90_has_key"} <= names
    # The same again replaces what is there.
    load_catalog(anywhere, "tic", within=(middle, 90.0))
    assert ask(anywhere, "SELECT count(*) FROM tic") == [(len(stars),)]
    path = anywhere.path / "ctl.csv"
    lines = [
        "[ID]:Integer,[ra]:Float,[dec]:Float,[pmRA]:Float,[pmDEC]:Float,[Tmag]:Float,[Teff]:Float,rad,name,disposition"
    ]
    lines += [
        "7,0.5,-89.5,1.5,-2.5,9.25,5000.5,1.25,a star,",
        "5,359.5,88,,,10,,,,SPLIT",
        "6,1,1,1,1,1,1,1,x,DUPLICATE",
    ]
    path.write_text("\n".join(lines) + "\n")
    n, views = load_catalog(anywhere, "ctl", [path], more=["rad", "name"])
    assert n == 2
    assert ask(anywhere, "SELECT id, ra, decl, pmra, pmdec, tmag, teff, rad, name FROM ctl ORDER BY id") == [
        (5, 359.5, 88.0, None, None, 10.0, None, None, None),
        (7, 0.5, -89.5, 1.5, -2.5, 9.25, 5000.5, 1.25, "a star"),
    ]
    assert ask(anywhere, "SELECT ID, Tmag, Teff, rad FROM CTLv8 WHERE Tmag < 10") == [(7, 9.25, 5000.5, 1.25)]
    assert ask(anywhere, "SELECT count(*) FROM CTLv8_has_key") == [(2,)]
    with pytest.raises(ConfigError, match="has other columns"):
        load_catalog(anywhere, "ctl", [path])
    assert database_facts(anywhere)["tables"]["ctl"] == 2


def test_a_stored_catalogue_is_loaded_with_all_its_columns(anywhere: Survey) -> None:
    rows = []
    for k in range(400):
        row = dict.fromkeys(TIC_COLUMNS, "")
        row |= {
            "ID": str(10**10 + 7 * k % 400),
            "ra": str(k * 0.9),
            "dec": str(-62.0 + 0.01 * k),
            "Tmag": str(8 + k % 9),
            "objType": "STAR",
        }
        row |= {
            "SDSS": "" if k % 3 else str(2**60 + k),
            "TWOMASS": "" if k % 4 else f"0{k}-7",
            "Teff": "" if k % 5 else "5000.5",
        }
        row["disposition"] = "DUPLICATE" if k % 50 == 0 else ""
        rows.append(list(row.values()))
    path = anywhere.path / "tic_dec62_00S__58_00S.csv"
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    take_in([path], anywhere.paths.catalogs, Listener())
    n, views = load_catalog(anywhere, "tic", within=(-60.0, -59.0), more=["all"])
    wanted = [row for k, row in enumerate(rows) if k % 50 and -60.0 <= float(row[14]) < -59.0]
    assert n == len(wanted) > 50
    assert "ticv8_-60_-59" in {name.lower() for name in views}
    places = [TIC_COLUMNS.index(name) for name in ("ID", "dec", "Tmag", "Teff", "SDSS", "TWOMASS", "objType")]
    kinds = (int, float, float, float, int, str, str)
    expected = sorted(
        tuple(kind(row[at]) if row[at] else None for at, kind in zip(places, kinds, strict=True)) for row in wanted
    )
    assert ask(anywhere, "SELECT id, decl, tmag, teff, sdss, twomass, objtype FROM tic ORDER BY id") == expected
    with open_ledger(anywhere.paths, read_only=True) as ledger, ledger.database.transaction() as connection:
        columns = {column["name"] for column in sa.inspect(connection).get_columns("tic")}
    assert columns == {name.lower() for name in TIC_COLUMNS} - {"dec"} | {"decl", "healpix"}


def test_what_cannot_be_loaded_is_refused(survey: Survey) -> None:
    for arguments, words in (
        (("gaia",), "no catalogue 'gaia'"),
        (("ctl",), "has no stars of the CTL"),
        (("tic", (), (3.0, -3.0)), "no range of declinations"),
        (("tic", (), (-90.0, 90.0), ["rad"]), "--column needs --file"),
        (("tic", [survey.path / "BASE/CAT/catalog.csv"], (-90.0, 90.0), ["colour"]), "has no column colour"),
        (("tic", [survey.path / "none.csv"]), "There is no catalogue"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_catalog(survey, *arguments)
    with workspace_lock(survey.paths.lock), pytest.raises(ConfigError, match="Another run"):
        load_catalog(survey, "tic")
    assert "tic" not in database_facts(survey)["tables"]


# -- views -------------------------------------------------------------------------------------------------------

PIPE_TREX = {
    "calibratedframes": "framekey entryts frameisok fits fistar fiphot wcs fitsheader photinfo",
    "frameinfo": "framekey network projectid stationid obsfield framerjd fits fistar wcs cfn cfs ccd frt flt flv cid cvn cbv cdv cfv exp"
    " tid tvn tfs ttt tms tmi tmv tgs mph iha izd",
    "filters": "filterid filtername filterdesc",
    "objectinfo": "objectid twomassid ucac4id ra decl pmra pmra_err pmdecl pmdecl_err parallax jmag hmag kmag umag bmag vmag rmag imag"
    " sdssu sdssg sdssr sdssi sdssz gaiag ndet network stations",
    "lcinfo": "version datarelease lightcurvecolumns lightcurvesortcol lightcurveapertures lcbestaperture objectinfocolumns objectinfoidcol"
    " unixtime lcserver comment",
    "photometryinfo": "photkey projectid field photmethod ism_photreftype ism_photrefframe ism_convsubtype ism_lcapertures ism_convkernel",
    "astromrefs": "projectid field camera ccd isactive unixtime framepath jpegpath sval dval bgv ndet comment",
    "photrefs": "projectid field camera ccd photreftype isactive unixtime framepath jpegpath convolvetarget convolveregpath cmrawphotpath"
    " target_zenithdist target_moondist target_ndet target_medmagerr target_meddval photrefinfo",
    "ap_photometry": "frameutcdt objectid framekey photkey photdata",
    "ism_photometry": "frameutcdt objectid framekey photkey",
    "iphotfiles": "projectid field ccd photreftype convsubtype isactive iphotfilepath framerjd framefilepath entrytimestamp",
    "iphotobjects": "projectid field ccd photreftype convsubtype isactive objectid iphotfilepath iphotfileline",
    "photindex_iphots": "rjd objectid framekey photline",
}
TASOC = {
    "todolist": "priority starid sector datasource camera ccd cadence method tmag status cbv_area",
    "diagnostics": "priority lightcurve method_used elaptime worker_wait_time mean_flux variance variability rms_hour ptp pos_row pos_column"
    " contamination mask_size edge_flux stamp_width stamp_height stamp_resizes errors",
    "photometry_skipped": "priority skipped_by",
}
"""Tables and columns as in these pipelines' own schemas."""


def test_the_views_have_the_columns_of_the_other_pipelines_and_the_survey_in_them(anywhere: Survey) -> None:
    names = make_survey_views(anywhere)
    assert {name.lower() for name in names} == {*PIPE_TREX, *TASOC, *HSTLC, "ctlchip8_3_4"}
    for name, columns in (PIPE_TREX | TASOC).items():
        ask(anywhere, f"SELECT {', '.join(columns.split())} FROM {name}")
    stars = {int(star): lc for star, lc in zip(*anywhere.light_curves(["id", "mag"]).to_pydict().values(), strict=True)}
    listed = ask(
        anywhere, "SELECT starid, sector, datasource, camera, ccd, cadence, tmag FROM todolist ORDER BY priority"
    )
    assert {row[0] for row in listed} == set(stars)
    assert {row[1:6] for row in listed} == {(8, "ffi", 3, 4, 1800)}
    assert [row[6] for row in listed] == sorted(row[6] for row in listed)
    diagnosed = ask(
        anywhere,
        "SELECT t.starid, d.lightcurve, d.rms_hour FROM todolist t JOIN diagnostics d ON d.priority = t.priority WHERE t.status IN (1, 3)",
    )
    assert diagnosed
    assert all((anywhere.path / path).is_file() and rms > 0.0 for _, path, rms in diagnosed)
    one = anywhere.light_curve(diagnosed[0][0])
    assert diagnosed[0][2] == ask(anywhere, f"SELECT rms_hour FROM light_curves WHERE id = {one.id}")[0][0]
    assert ask(anywhere, "SELECT count(*) FROM photometry_skipped") == [(0,)]
    assert ask(anywhere, "SELECT count(*) FROM ism_photometry") == [(0,)]

    # A row a frame, a star, a star and block; never a row a point.
    n_frame, n_block = 140, 2
    frames = ask(
        anywhere,
        "SELECT c.fits, f.framerjd, f.exp, f.ccd FROM calibratedframes c JOIN frameinfo f ON f.framekey = c.framekey WHERE c.frameisok",
    )
    assert len(frames) == n_frame
    assert all(
        Path(fits).name.endswith("_ffic.fits") and exposure == pytest.approx(1800.0, rel=0.3)
        for fits, _, exposure, _ in frames
    )
    time = np.sort([rjd for _, rjd, _, _ in frames]) - 57_000.0
    assert np.abs(time - np.sort(one.time)).max() < 600.0 / 86_400.0  # the barycentre's light travel
    for name, n in (("objectinfo", len(stars)), ("ap_photometry", len(stars)), ("photindex_iphots", len(stars)), ("iphotobjects", n_block * len(stars)), ("iphotfiles", n_block), ("astromrefs", 1), ("photrefs", 1), ("filters", 1), ("lcinfo", 1), ("photometryinfo", 1)):  # fmt: skip
        assert ask(anywhere, f"SELECT count(*) FROM {name}") == [(n,)], name
    for name in (
        "iphotfilepath FROM iphotfiles",
        "framepath FROM astromrefs",
        "framepath FROM photrefs",
        "photline FROM photindex_iphots",
    ):
        assert all((anywhere.path / path).is_file() for (path,) in ask(anywhere, f"SELECT {name}")), name
    targets = {row[0]: row[1:] for row in ask(anywhere, "SELECT id, col, ra FROM targets")}
    chip = ask(anywhere, "SELECT ID, x, ra, Tmag FROM CTLchip8_3_4")
    assert {star: (x, ra) for star, x, ra, _ in chip} == {star: (col + 44, ra) for star, (col, ra) in targets.items()}
    assert make_survey_views(anywhere) == names
    assert run(anywhere.path).worked == 0


def test_views_do_not_keep_a_ledger_from_its_next_version(anywhere: Survey) -> None:
    make_survey_views(anywhere)
    with open_ledger(anywhere.paths, read_only=True) as ledger:
        owner = ledger.rows("survey")
    with open_ledger(anywhere.paths) as ledger, ledger.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0006'")
        connection.exec_driver_sql("DROP TABLE survey")
    with Ledger.open(anywhere.paths.ledger) as ledger:
        assert ledger.database.version() == REVISIONS[-1]
        ledger.put("survey", owner)
    assert database_facts(anywhere)["views"] == []
    assert make_survey_views(anywhere)


# -- copies ------------------------------------------------------------------------------------------------------


def test_a_survey_moves_from_database_to_database_and_goes_on(survey: Survey, servers: Servers) -> None:
    before = _everything(survey.paths.ledger)
    with servers.place("postgresql") as postgres, servers.place("mysql") as mysql:
        back = survey.path / "back.db"
        chain = [str(survey.paths.ledger), postgres, mysql, str(back)]
        proofs = [copy_ledger(source, target) for source, target in pairwise(chain)]
        assert proofs[0] == proofs[1] == proofs[2]
        assert {one.table: one.rows for one in proofs[0]} == {name: len(rows) for name, rows in before.items()}
        assert _everything(back) == before
        assert _everything(mysql) == before
        keep_ledger_in(survey.path, mysql)
        survey.paths.ledger_file.unlink()
        assert run(survey.path).worked == 0
        with pytest.raises(ConfigError, match="holds a ledger already"):
            copy_ledger(str(back), mysql)
        with pytest.raises(ConfigError, match="onto itself"):
            copy_ledger(mysql, mysql)
        with pytest.raises(StoreError, match="There is no ledger"):
            copy_ledger(str(survey.path / "none.db"), postgres)


def _everything(place: Path | str) -> dict[str, list[dict[str, Any]]]:
    with Ledger.open(place, read_only=True) as ledger:
        return {name: ledger.rows(name) for name in TABLES}


# -- checks ------------------------------------------------------------------------------------------------------


def test_a_ledger_agrees_with_its_receipts_until_it_is_changed(anywhere: Survey) -> None:
    found = check_ledger(anywhere)
    assert found.differences == []
    n_star = len(anywhere.light_curves(["id"]))
    assert (found.rows["targets"], found.rows["light_curves"]) == (n_star, n_star)
    assert found.rows["units"] == found.receipts == database_facts(anywhere)["tables"]["units"]
    with open_ledger(anywhere.paths) as ledger:
        units, products = ledger.units("extract"), ledger.products("fluxes")
        star = ledger.rows("light_curves")[0]
        ledger.drop("units", [("extract", units[0]["data_id"])])
        ledger.put("units", [{**units[1], "data_id": units[1]["data_id"] + "-none"}])
        ledger.put("products", [{**products[0], "content": "0" * 32}])
        ledger.put("light_curves", [{**star, "n_point": star["n_point"] + 1}])
    os.truncate(anywhere.path / products[1]["path"], 100)
    found = check_ledger(anywhere)
    said = sorted((table, words.split(" is ")[0]) for table, _, words in found.differences)
    assert said == [
        ("light_curves", "n_point"),
        ("products", "content"),
        ("products", f"its file {products[1]['path']} has another size"),
        ("units", "in the ledger, but no receipt tells of it"),
        ("units", "not in the ledger, but a receipt tells of it"),
    ]
    # A run mends what matters: the file, and what the ledger lacks.
    assert not run(anywhere.path).troubled
    left = {words.split(" is ")[0] for _, _, words in check_ledger(anywhere).differences}
    assert left <= {"n_point", "content", "in the ledger, but no receipt tells of it"}


def test_a_ledger_that_is_lost_is_made_anew_and_agrees(survey: Survey) -> None:
    survey.paths.ledger_file.unlink()
    assert database_facts(survey)["there"] is False
    run(survey.path)
    assert check_ledger(survey).differences == []
