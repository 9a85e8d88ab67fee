"""What the ledger and the survey say of light curves: against plain arithmetic on the light curves themselves."""

import re
import sqlite3

import numpy as np
import pyarrow.parquet as pq
import pytest
from photutils.aperture import CircularAperture
from scipy import stats
from tests.run.workspaces import House
from tests.test_cdpp import cdpp

import cuvee
from cuvee.model.flags import FLAGS
from cuvee.store.references import read_reference
from cuvee.survey import Survey


@pytest.fixture(scope="module")
def survey(house: House) -> Survey:
    """A finished workspace."""
    opened: Survey = cuvee.open(house.finished())
    return opened


def test_the_ledger_says_what_the_light_curves_say(survey: Survey) -> None:
    table = survey.diagnostics().to_pylist()
    assert len(table) == len(survey.light_curves(["id"]))
    crowding = dict(zip(*survey.light_curves(["id", "crowding"]).to_pydict().values(), strict=True))
    judged = 0
    for row in table[::3]:
        lc = survey.light_curve(row["id"])
        good = lc.good & np.isfinite(lc.flux)
        assert row["n_good"] == good.sum()
        assert row["n_point"] == lc.time.size
        assert row["contamination"] == pytest.approx(1.0 - crowding[row["id"]], abs=1e-6)
        assert row["mask_size"] == pytest.approx(np.pi * {"1": 1.5, "2": 2.5, "3": 3.5}[row["best"][-1]] ** 2)
        assert row["flag"] == np.bitwise_and.reduce(lc.points["flag"])
        if good.sum() < 10:
            assert row["variance"] is None or good.sum() > 1
            continue
        judged += 1
        time, flux = lc.time[good], lc.flux[good].astype(float)
        error = np.median(lc.flux_err[good])
        left = flux - np.polynomial.Polynomial.fit(time, flux, 3)(time)
        assert row["mean_flux"] == pytest.approx(np.median(flux))
        assert row["variance"] == pytest.approx(np.var(flux, ddof=1), rel=1e-6)
        assert row["variability"] == pytest.approx(np.std(left, ddof=1) / error, rel=1e-6)
        assert row["ptp"] == pytest.approx(np.median(np.abs(np.diff(flux))), rel=1e-5)
        hour = np.floor((time - time[0]) * 24.0 + 0.25)
        means = [flux[hour == h].mean() for h in np.unique(hour)]
        assert row["rms_hour"] == pytest.approx(stats.median_abs_deviation(means, scale="normal"), rel=1e-6)
        noise = cdpp(lc.flux, good, lc.time, lc.points["cadence"])
        assert [row["cdpp_1h"], row["cdpp_6_5h"]] == pytest.approx((1e6 * noise / np.median(flux)).tolist())
    assert judged > 20


def test_light_at_the_edge_is_that_of_the_pixels_there(survey: Survey) -> None:
    """photutils lays the circles; pixels are those of the reference image, the background is that of the light curve."""
    still = read_reference(next((survey.path / "BASE" / "reference-frames").glob("*.reference")))
    outermost = np.ones(still.image.shape, bool)
    outermost[1:-1, 1:-1] = False
    places = {row["id"]: row for row in survey.light_curves(["id", "col", "row"]).to_pylist()}
    there = 0
    for row in survey.diagnostics().to_pylist():
        place = places[row["id"]]
        where = place["col"] - still.geometry.col0, place["row"] - still.geometry.row0
        if row["best"][:-1] != "aperture" or not np.isfinite(where).all():
            continue
        circle = CircularAperture(where, {"1": 1.5, "2": 2.5, "3": 3.5}[row["best"][-1]])
        weight = circle.to_mask(method="exact").to_image(still.image.shape)
        if weight is None or not (weight * outermost).any():
            assert row["edge_flux"] == 0.0
            continue
        there += 1
        level = np.median(survey.light_curve(row["id"]).background)
        expected = float((weight * outermost * (still.image - level)).sum())
        assert row["edge_flux"] == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert there > 3


def test_what_went_wrong_is_said_of_each_star(survey: Survey) -> None:
    table = survey.diagnostics().to_pylist()
    # The field has too few stars for a PRF, which concerns all of them.
    few = re.compile(r"prf: Only \d+ stars .* There are apertures, but no PSF fluxes\.(; )?")
    assert all(few.match(row["errors"]) for row in table)
    assert {few.sub("", row["errors"]) for row in table if row["n_good"]} == {""}
    lost = [row for row in table if not row["n_good"]]
    assert lost
    for row in lost:
        names = {bit.name for bit in FLAGS if bit.bad and row["flag"] & bit.value}
        said = few.sub("", row["errors"]).split("; ")
        assert {words.removeprefix("all points: ").split(" ")[0] for words in said if words.startswith("all")} == names
        assert all(said)


def test_every_second_is_somebodys(survey: Survey) -> None:
    with sqlite3.connect(survey.paths.ledger) as ledger:
        spent = ledger.execute("SELECT sum(seconds) FROM units WHERE stage IN ('extract', 'collect')").fetchone()[0]
        given, n = ledger.execute("SELECT sum(elaptime), count(*) FROM light_curves WHERE n_good >= 0").fetchone()
    assert n > 100
    assert given == pytest.approx(spent)


def test_every_method_is_in_the_summary(survey: Survey) -> None:
    (path,) = (survey.paths.light_curves / "tess" / "summary").glob("*.parquet")
    rows = {row["id"]: row for row in pq.read_table(path).to_pylist()}
    by_star = {row["id"]: row for row in survey.diagnostics().to_pylist()}
    assert rows.keys() == by_star.keys()
    for star in list(rows)[::7]:
        lc = survey.light_curve(star)
        for name in ("aperture1", "aperture2", "aperture3"):
            noise = cdpp(lc.points[f"{name}_flux"], lc.good, lc.time, lc.points["cadence"])
            found = [rows[star][f"{name}_noise_{hours}"] for hours in ("1h", "6_5h")]
            np.testing.assert_allclose(found, noise)
        assert by_star[star]["cdpp_1h"] == pytest.approx(rows[star]["cdpp_1h"], nan_ok=True) or (
            by_star[star]["cdpp_1h"] is None and np.isnan(rows[star]["cdpp_1h"])
        )


def test_some_stars_and_observations(survey: Survey) -> None:
    every = survey.diagnostics()
    some = every["id"].to_pylist()[3:6]
    assert survey.diagnostics(ids=some).equals(every.slice(3, 3))
    assert survey.diagnostics(segment="s0008", detector="3-4").equals(every)
    assert survey.diagnostics(segment="s0009").num_rows == 0
    assert survey.diagnostics(segment="s0009").schema == every.schema
