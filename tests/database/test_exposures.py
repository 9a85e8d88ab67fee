"""What the ledger says of exposures of photons, in each database: the table, hstlc's views over it, and how it is made anew."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from tests.database.test_database import KINDS, ask
from tests.events.conftest import made
from tests.events.survey_of_photons import run_quietly
from tests.run.test_databases import keep_ledger_in
from tests.store.servers import Servers

import cuvee
from cuvee.database import check_ledger, copy_ledger, make_survey_views
from cuvee.store.own_ledger import open_ledger
from cuvee.survey import Survey

KEY = "cos-fuv_simulated-1_g130m_1291_psa"
HSTLC = {
    "metadata": "id filename path ingest_date telescop instrume targname cal_ver obstype cenwave aperture detector opt_elem fppos",
    "outputs": "id metadata_id individual_path individual_filename composite_path composite_filename",
    "bad_data": "id filename ingest_date reason",
    "stats": "id lightcurve_path lightcurve_filename total mean mu stdev poisson_factor pearson_r pearson_p periodogram deliver",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good exposures, one that is too short, and a file that is no FITS."""
    folder = made(tmp_path_factory.mktemp("exposures") / "w")
    (folder / "RAW" / "lsim01acq_corrtag_a.fits").write_text("<html>")
    with fits.open(folder / "RAW" / "lsim01aaq_corrtag_a.fits") as file:
        file[0].header["ROOTNAME"] = "lsim01adq"
        for key in ("EXPTIME", "EXPTIMEA", "EXPTIMEB"):
            file["EVENTS"].header[key] = 0.5
        file.writeto(folder / "RAW" / "lsim01adq_corrtag_a.fits")
    assert len(run_quietly(folder).bad) == 2
    return folder


@pytest.fixture(params=KINDS)
def anywhere(request: pytest.FixtureRequest, finished: Path, tmp_path: Path, servers: Servers) -> Iterator[Survey]:
    root = tmp_path / "w"
    shutil.copytree(finished, root)
    survey = cuvee.open(root)
    if request.param == "sqlite":
        yield survey
        return
    with servers.place(request.param) as place:
        copy_ledger(str(survey.paths.ledger), place)
        keep_ledger_in(survey.path, place)
        survey.paths.ledger_file.unlink()
        yield cuvee.open(root)


def test_hstlcs_tables_are_there_with_its_columns(anywhere: Survey) -> None:
    assert set(HSTLC) <= {name.lower() for name in make_survey_views(anywhere)}
    for name, columns in HSTLC.items():
        ask(anywhere, f"SELECT {', '.join(columns.split())} FROM {name}")
    raw = anywhere.path / "RAW"
    rows = ask(
        anywhere,
        "SELECT m.filename, m.path, m.telescop, m.instrume, m.targname, m.obstype, m.cenwave, m.aperture, m.detector, m.opt_elem, m.fppos, "
        "o.individual_path, o.individual_filename, o.composite_path, o.composite_filename "
        "FROM metadata m JOIN outputs o ON o.metadata_id = m.id ORDER BY m.filename",
    )
    assert [row[0] for row in rows] == ["lsim01aaq_corrtag_a.fits", "lsim01abq_corrtag_a.fits"]
    for row in rows:
        with fits.open(raw / row[0]) as file:
            head = file[0].header
        words = [head[key] for key in ("TARGNAME", "OBSTYPE", "CENWAVE", "APERTURE", "DETECTOR", "OPT_ELEM")]
        assert list(row[2:10]) == ["HST", "COS", *words]
        assert int(row[10]) == int(head["FPPOS"])
        assert Path(row[1]).name == row[0]
        assert (anywhere.path / row[11] / row[12]).is_file()
        assert (anywhere.path / row[13] / row[14]).is_file()
    assert ask(anywhere, "SELECT reason FROM bad_data ORDER BY reason") == sorted([("Short Exposure",), ("not-fits",)])
    stats = ask(anywhere, "SELECT lightcurve_filename, total, mean, stdev, poisson_factor, periodogram FROM stats")
    assert len(stats) == 3
    for series in ("lsim01aaq", "lsim01abq"):
        points = anywhere.light_curve("SIMULATED-1").only(series)
        (found,) = (row for row in stats if series in row[0])
        assert found[1] == int(points["gross"].sum())
        net = points["gross"].astype(float) - points["background"]
        assert found[2] == pytest.approx(net.sum() / points["exposure"].sum() * 2.0, rel=0.01)
        assert found[3] == pytest.approx(np.std(net), rel=0.05)


def test_the_ledger_knows_what_the_light_curves_say(anywhere: Survey) -> None:
    with open_ledger(anywhere.paths, read_only=True) as ledger:
        rows = {row["series"]: row for row in ledger.rows("exposures")}
    assert set(rows) == {KEY, "lsim01aaq", "lsim01abq"}
    for series in ("lsim01aaq", "lsim01abq"):
        facts, _ = anywhere.exposure(series)
        row = rows[series]
        assert (row["segment"], row["detector"], row["grating"], row["cenwave"]) == ("lsim01", "fuv", "G130M", 1291)
        assert (row["composite"], row["proposal"], row["n_exposure"]) == (KEY, 99999, 1)
        assert row["constant"] == facts["statistics"]["constant"]
        assert row["false_alarm"] == min(peak[2] for peak in facts["peaks"].values() if np.isfinite(peak[2]))
        assert row["calibrated"] in (True, 1)
        assert (anywhere.path / row["path"]).is_file()
    assert (rows[KEY]["n_exposure"], rows[KEY]["segment"]) == (2, "composite")
    assert rows[KEY]["total"] == rows["lsim01aaq"]["total"] + rows["lsim01abq"]["total"]


def test_a_ledger_that_is_lost_has_them_again_and_one_that_is_wrong_is_told(anywhere: Survey) -> None:
    run_quietly(anywhere.path)  # the copied raw files are looked at
    assert not check_ledger(anywhere).differences
    with open_ledger(anywhere.paths) as ledger:
        before = ledger.rows("exposures")
        ledger.put("exposures", [{**before[1], "total": 1}])
    assert [(table, words) for table, _, words in check_ledger(anywhere).differences] == [
        ("exposures", f"total is 1, not {before[1]['total']}")
    ]
    with open_ledger(anywhere.paths) as ledger:
        for table in ("exposures", "units", "products", "lineage"):
            ledger.drop(table, [tuple(row[c.name] for c in ledger_keys(table)) for row in ledger.rows(table)])
    summary = run_quietly(anywhere.path)
    assert summary.worked == 0
    with open_ledger(anywhere.paths, read_only=True) as ledger:
        assert ledger.rows("exposures") == before


def ledger_keys(table: str) -> list[Any]:
    from cuvee.store.schema import TABLES

    return list(TABLES[table].primary_key.columns)


def test_an_exposure_whose_files_are_bad_now_is_taken_out(anywhere: Survey) -> None:
    for letter in "ab":
        path = anywhere.path / "RAW" / f"lsim01abq_corrtag_{letter}.fits"
        path.write_bytes(path.read_bytes()[:20_000])
    run_quietly(anywhere.path)
    with open_ledger(anywhere.paths, read_only=True) as ledger:
        assert [row["series"] for row in ledger.rows("exposures")] == ["lsim01aaq"]
