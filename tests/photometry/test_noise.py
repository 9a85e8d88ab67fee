"""The noise model: against a simulated readout, and against the mission's own uncertainties."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from cuvee.model.records import Readout
from cuvee.photometry import noise

READOUT = Readout(1425.6, (5.35, 5.22, 5.22, 5.18), (10.06, 7.46, 7.31, 9.17), 720, (0, 512, 1024, 1536), 1e5)


def test_variance_of_reads_that_are_rounded_to_counts() -> None:
    rng = np.random.default_rng(21)
    exposure, gain, read_noise, n_read = 39.6, 5.0, 3.0, 20
    readout = Readout(exposure, (gain,), (read_noise,), n_read, (0,), 1e5)
    electrons = 200.0 + read_noise * rng.standard_normal((40_000, n_read))
    rate = (gain * np.rint(electrons / gain)).sum(axis=1) / exposure
    assert noise.pixel_variance(readout)[0] == pytest.approx(rate.var(), rel=0.03)


def test_each_column_has_its_output() -> None:
    col = np.array([-5.0, 0.0, 511.4, 511.6, 1024.0, 1535.0, 2047.0])
    assert noise.output_of(col, READOUT).tolist() == [0, 0, 0, 1, 2, 2, 3]


def test_close_to_the_uncertainties_of_the_mission(shared_data: Path) -> None:
    path = shared_data / "tess_ffi_crop" / "tess2018206192942-s0001-1-4-0120-s_ffic.fits.gz"
    with fits.open(path) as hdus:
        header = hdus[1].header
        n = hdus[2].data.shape[1]  # the file's second plane is cropped to fewer columns than the first
        flux = hdus[1].data[:, 44:n].astype(float)
        uncert = hdus[2].data[:, 44:n].astype(float)
    exposure = header["EXPOSURE"] * 86400.0
    gain, read_noise = (tuple(header[f"{card}{k}"] for k in "ABCD") for card in ("GAIN", "READNOI"))
    readout = Readout(exposure, gain, read_noise, header["NREADOUT"], (0, 512, 1024, 1536), 1e5)
    ratio = np.sqrt(flux / exposure + noise.pixel_variance(readout)[0]) / uncert
    # The mission also propagates flat field, smear and black level. In this corner of the field the ratio is 0.969 at all
    # levels from 100 to 10,000 e-/s, as a flat field of 0.94 would do.
    assert np.median(ratio) == pytest.approx(0.97, abs=0.01)
    assert np.percentile(ratio, 99) - np.percentile(ratio, 1) < 0.03
    assert np.median(ratio[flux > 1000]) == pytest.approx(np.median(ratio[flux < 200]), abs=0.005)


def test_each_column_has_the_variance_of_its_output() -> None:
    readout = Readout(1425.6, (5.2, 5.4), (9.0, 8.0), 720, (0, 512), 1e5)
    variance = noise.variance_at(np.arange(500.0, 530.0), readout)
    np.testing.assert_allclose(variance[:12], noise.pixel_variance(readout)[0])
    np.testing.assert_allclose(variance[12:], noise.pixel_variance(readout)[1])
