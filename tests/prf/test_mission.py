"""The mission's PRF files as a PRF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf

from cuvee.errors import ConfigError
from cuvee.prf import stamps
from cuvee.prf.mission import mission_prf

File = tuple[Mapping[str, Any], NDArray[np.float64]]


def file_at(col: float, row: float, **changes: Any) -> File:
    """A Gaussian integrated over pixels, nine samples a pixel; its width grows towards the corners."""
    u, v = col / 1024 - 1, row / 1024 - 1
    sigma = 0.75 + 0.02 * u + 0.03 * v * v
    at = (np.arange(117) - 58) / 9
    line = 0.5 * (erf((at + 0.5) / (np.sqrt(2) * sigma)) - erf((at - 0.5) / (np.sqrt(2) * sigma)))
    header = {"CAM": 3.0, "CCD": 4.0, "NSAMP": 9.0, "CCD_CREF": col + 45.0, "CCD_RREF": row + 1.0} | changes
    return header, np.outer(line, np.roll(line, 2))


GRID = [file_at(c, r) for c in (0.0, 512.0, 1024.0, 1535.0, 2047.0) for r in (0.0, 512.0, 1024.0, 1535.0, 2047.0)]


def test_samples_come_back() -> None:
    prf, rms = mission_prf(GRID, 3, 4)
    assert (prf.order, prf.half, prf.knots) == (2, 6, 3)
    assert rms < 1e-4
    # A star between the samples' places; the Gaussian's middle lies two samples to the right of the star.
    col, row = np.array([700.25]), np.array([300.4])
    first_col, first_row, values = stamps(prf, col, row)
    sigma = 0.75 + 0.02 * (col[0] / 1024 - 1) + 0.03 * (row[0] / 1024 - 1) ** 2
    dx = first_col[0] + np.arange(13) - col[0] - 2 / 9
    dy = first_row[0] + np.arange(13) - row[0]
    scale = np.sqrt(2) * sigma
    across, up = (0.5 * (erf((d + 0.5) / scale) - erf((d - 0.5) / scale)) for d in (dx, dy))
    np.testing.assert_allclose(values[0, 0], np.outer(up, across), atol=5e-4)
    assert values[0].sum() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("files", "order"), [(GRID[:1], 0), (GRID[:3], 0), ([GRID[0], GRID[4], GRID[20]], 1)])
def test_few_files_make_a_lower_order(files: list[File], order: int) -> None:
    assert mission_prf(files, 3, 4)[0].order == order


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "no PRF file for camera 3, CCD 4"),
        ([GRID[0], file_at(9.0, 9.0, CCD=2.0)], "of camera 3, CCD 2, but the frames are of camera 3, CCD 4"),
        ([GRID[0], file_at(9.0, 9.0, NSAMP=5.0)], "5 a pixel"),
        ([({"CAM": 3.0}, GRID[0][1])], "lacks the header card CCD"),
    ],
)
def test_wrong_files_are_refused(files: list[File], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        mission_prf(files, 3, 4)


def test_real_files(shared_data: Path) -> None:
    from astropy.io import fits

    files = []
    for path in sorted((shared_data / "tess_ic2391_s8_c3_ccd4" / "prf").glob("*.fits.gz")):
        with fits.open(path) as hdus:
            files.append((hdus[0].header, hdus[0].data.astype(np.float64)))
    assert len(files) == 4
    for header, image in files:
        prf, rms = mission_prf([(header, image)], 3, 4)
        assert rms < 3e-4
        # Nine samples a pixel: a star on a pixel's centre sees every ninth, with the middle one on it.
        col, row = np.array([header["CCD_CREF"] - 45.0]), np.array([header["CCD_RREF"] - 1.0])
        _, _, values = stamps(prf, col, row)
        np.testing.assert_allclose(values[0, 0], image[4::9, 4::9], atol=3e-3)
        assert image.max() > 0.25
    _, rms = mission_prf(files, 3, 4)
    assert rms < 1e-3
