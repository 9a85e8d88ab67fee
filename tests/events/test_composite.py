"""Exposures of one target in one configuration, put together."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.events.survey_of_photons import run_quietly

import cuvee
from cuvee.events.composite import common_limits, reach_of
from cuvee.model.photons import Trace
from cuvee.store.ledger import Ledger

SERIES = "lsim01aaq"
OTHER = "lsim01abq"


def trace(name: str, low: float, high: float) -> Trace:
    n = 11
    nothing = np.zeros(n)
    return Trace(name, nothing, nothing, np.zeros((0, 2, n)), np.linspace(low, high, n), np.ones(n), nothing, True)


def test_common_wavelengths_are_those_of_all() -> None:
    several = [
        reach_of([trace("A", 10.0, 20.0), trace("B", 1.0, 5.0)]),
        reach_of([trace("A", 12.0, 25.0), trace("B", 6.0, 9.0)]),
    ]
    assert common_limits(several) == {"A": (12.0, 20.0)}  # B has nothing in common
    assert common_limits([several[0], reach_of([trace("A", 0.0, 30.0)])]) == {"A": (10.0, 20.0)}  # one has no B


def shift(path: Path, columns: int) -> None:
    """Take the calibration of the first columns away, as of an exposure at another place of the grating."""
    with fits.open(path) as file:
        for name in ("FLUX", "NET", "WAVELENGTH"):
            file["SCI"].data[name][:, : 1062 + columns] = 0.0
        file.writeto(path, overwrite=True)


def test_a_composite_holds_its_exposures_in_the_order_of_time_over_their_common_wavelengths(copied: Path) -> None:
    shift(copied / "RAW" / f"{OTHER}_x1d.fits", 1500)
    assert not run_quietly(copied).troubled
    ((facts, points),) = cuvee.open(copied).composites("SIMULATED-1")
    assert facts["members"] == [SERIES, OTHER]
    low, high = facts["limits"]["FUVA"]
    assert low == pytest.approx(1288.7824 + 1500 * 0.0099674, abs=0.011)
    assert high == pytest.approx(1430.15, abs=0.011)
    assert np.all(np.diff(points["time"]) > 0.0)
    assert np.array_equal(np.unique(points["dataset"]), [1, 2])
    assert np.count_nonzero(points["dataset"] == 1) == 1300
    # Both see the same constant light in the same wavelengths.
    first, second = (
        np.average(points["flux"][points["dataset"] == k], weights=points["exposure"][points["dataset"] == k])
        for k in (1, 2)
    )
    assert first == pytest.approx(second, rel=0.03)
    alone = cuvee.open(copied).light_curve("SIMULATED-1").only(SERIES)
    assert points["gross"][points["dataset"] == 1].sum() < alone["gross"].sum()


def test_only_a_new_or_changed_member_makes_it_again(copied: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    for path in (copied / "RAW").glob(f"{OTHER}*"):
        shutil.move(path, away)
    assert run_quietly(copied).counts["composite", "no-work"] == 1
    assert cuvee.open(copied).composites() == []
    for path in away.iterdir():
        shutil.move(path, copied / "RAW")
    summary = run_quietly(copied)
    assert summary.counts["composite", "done"] == 1
    assert summary.counts["bin", "have"] == 1
    assert summary.counts["bin", "done"] == 1
    os.utime(copied / "RAW" / f"{OTHER}_corrtag_a.fits")  # touched, not changed
    (before,) = (copied / "LC" / "cos-composite").rglob("composite-*.parquet")
    made = before.stat().st_mtime_ns
    summary = run_quietly(copied)
    assert (summary.counts["bin", "done"], summary.counts["composite", "done"], summary.worked) == (0, 0, 0)
    assert before.stat().st_mtime_ns == made


def test_where_it_came_from_is_known(copied: Path) -> None:
    run_quietly(copied)
    with Ledger.open(copied / "cuvee.db", read_only=True) as ledger:
        rows = ledger.rows("lineage", kind="composites")
    assert {row["input_id"].rpartition("/")[2] for row in rows} >= {
        f"{SERIES}_corrtag_a.fits",
        f"{OTHER}_corrtag_b.fits",
        f"{OTHER}_x1d.fits",
    }


def test_an_exposure_without_a_spectrum_is_left_out_and_said(copied: Path) -> None:
    for end in ("corrtag_a", "corrtag_b"):
        source = copied / "RAW" / f"{SERIES}_{end}.fits"
        with fits.open(source) as file:
            file[0].header["ROOTNAME"] = "lsim01zzq"
            file.writeto(copied / "RAW" / f"lsim01zzq_{end}.fits")
    run_quietly(copied)
    ((facts, points),) = cuvee.open(copied).composites()
    assert facts["members"] == [SERIES, OTHER]
    assert facts["left_out"] == {"lsim01zzq": "it has no extracted spectrum"}
    assert np.isfinite(points["flux"]).all()


def test_another_aperture_is_another_composite(copied: Path) -> None:
    for path in (copied / "RAW").glob(f"{OTHER}*"):
        with fits.open(path) as file:
            file[0].header["APERTURE"] = "BOA"
            file.writeto(path, overwrite=True)
    summary = run_quietly(copied)
    assert summary.counts["composite", "no-work"] == 2
