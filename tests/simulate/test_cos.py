"""What a COS detector counts beside its target, against what the notes on real exposures say of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from scipy import stats

from cuvee.errors import ConfigError
from cuvee.simulate.cos import simulate_cos

SECONDS = 2600.0


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.void]:
    folder = tmp_path_factory.mktemp("cos")
    simulate_cos(folder, events=30_000, exposures=1, seconds=SECONDS)
    with fits.open(next((folder / "RAW").glob("*_corrtag_a.fits"))) as file:
        return np.array(file["EVENTS"].data)


def test_there_are_no_more_exposures_than_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1,296 exposures at most"):
        simulate_cos(tmp_path / "w", events=100, exposures=1297, seconds=10.0)
    assert not (tmp_path / "w").exists()


def test_stims_come_at_their_rate_at_two_corners(rows: NDArray[np.void]) -> None:
    """As those of a real exposure (GJ 436, ld9m10ujq, segment A), before and after heat is out of the coordinates."""
    for raw, corrected in (((408.7, 980.2), (389.0, 984.0)), ((16033.2, 27.5), (16000.0, 33.0))):
        near = (np.abs(rows["RAWX"] - raw[0]) < 20) & (np.abs(rows["RAWY"] - raw[1]) < 20)
        for k, axis in enumerate("XY"):
            assert np.median(rows[f"RAW{axis}"][near]) == pytest.approx(raw[k], abs=0.6)
            for kind in ("CORR", "FULL"):
                assert np.median(rows[f"{axis}{kind}"][near]) == pytest.approx(corrected[k], abs=0.2)
        assert (rows["DQ"][near] == 0).all()
        n, expected = np.count_nonzero(near), 0.92 * SECONDS
        assert abs(n - expected) < 4.0 * np.sqrt(expected)
        assert (rows["PHA"][near] == 19).all()
        assert (rows["WAVELENGTH"][near] == 0.0).all()


def test_the_lamp_flashes_between_its_rows_at_its_times(rows: NDArray[np.void]) -> None:
    """From 0.5 and 2400.5 s for 12 s, at YFULL 512 to 544, some 109 counts a second against 21 otherwise."""
    window = (rows["YFULL"] > 511.0) & (rows["YFULL"] < 545.0)
    on = ((rows["TIME"] >= 0.5) & (rows["TIME"] < 12.5)) | ((rows["TIME"] >= 2400.5) & (rows["TIME"] < 2412.5))
    inside, outside = np.count_nonzero(window & on), np.count_nonzero(window & ~on)
    quiet = outside / (SECONDS - 24.0)
    assert abs(inside / 24.0 - quiet - 90.0) < 4.0 * np.sqrt(inside) / 24.0
    # Elsewhere the lamp is not to be seen.
    beside = np.count_nonzero(~window & on)
    expected = np.count_nonzero(~window & ~on) / (SECONDS - 24.0) * 24.0
    assert stats.poisson.sf(beside, expected) > 1e-5
    assert stats.poisson.cdf(beside, expected) > 1e-5


def test_the_dark_has_its_rate(rows: NDArray[np.void]) -> None:
    """1.72e-6 counts a second and pixel, where there is neither spectrum nor lamp nor line."""
    far = (rows["XCORR"] > 2000) & (rows["XCORR"] < 14000) & (rows["YCORR"] > 300) & (rows["YCORR"] < 390)
    good = far & (rows["DQ"] & 512 == 0)
    expected = 1.72e-6 * 12_000 * 90 * SECONDS
    assert abs(np.count_nonzero(good) - expected) < 4.0 * np.sqrt(expected)
