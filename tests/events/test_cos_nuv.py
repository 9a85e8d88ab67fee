"""COS's other detector: three stripes that lean on one list, in an image that is wider than the detector.

No real list of it is at hand, so a list and a spectrum are made by the rules of calcos (2026-02): a column of an image or a spectrum is that of the detector
and X_OFFSET (ccos.c, binevents); SP_LOC is told in the middle of the image, B_BKG in the middle of the detector (extract.py, updateExtractionKeywords).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from cuvee.events.exposure import PhotonCurve, bin_exposure
from cuvee.events.params import EventParams
from cuvee.events.screen import EventList
from cuvee.instruments import cos

WIDE, NARROW, OFFSET = 1274, 1024, 100
MIDDLE = {"A": 180.0, "B": 300.0, "C": 420.0}
"""Row of each stripe in the middle of the image."""
SLOPE, HEIGHT, AWAY = 0.06, 41, 60.0
SECONDS, WORTH = 500.0, 2e12
COLUMN = np.arange(WIDE, dtype=np.float64)


def low_row(letter: str) -> NDArray[np.float64]:
    return np.asarray(np.rint(MIDDLE[letter] + SLOPE * (COLUMN - WIDE // 2)) - HEIGHT // 2, np.float64)


def wavelength_of(letter: str) -> NDArray[np.float64]:
    return np.asarray({"A": 1700.0, "B": 1800.0, "C": 1900.0}[letter] + 0.037 * (COLUMN - WIDE // 2), np.float64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("nuv"), np.random.default_rng(1)
    x, y, rows = [], [], []
    cards = {"X_OFFSET": OFFSET, "EXPSTART": 58000.0, "EXPEND": 58000.0 + SECONDS / 86400.0, "EXPTIME": SECONDS}
    for letter, middle in MIDDLE.items():
        n = 20_000
        # Three quarters of it in the lower half of the columns: so columns that are off by 100 are found out.
        column = OFFSET + NARROW * rng.random(n) ** 2
        x.append(column - OFFSET)
        y.append(middle + SLOPE * (column - WIDE // 2) + rng.normal(0.0, 3.0, n))
        cards |= {f"SP_LOC_{letter}": middle, f"SP_SLP_{letter}": SLOPE, f"SP_HGT_{letter}": HEIGHT}
        at = middle + AWAY + SLOPE * (OFFSET + NARROW / 2 - WIDE // 2)
        cards |= {f"B_BKG1_{letter}": at, f"B_HGT1_{letter}": HEIGHT}
    xs, ys = np.concatenate(x).astype(np.float32), np.concatenate(y).astype(np.float32)
    for letter in MIDDLE:
        where, low = np.rint(xs).astype(int) + OFFSET, low_row(letter)
        inside = (np.rint(ys) >= low[where]) & (np.rint(ys) < low[where] + HEIGHT)
        counts = np.bincount(where[inside], minlength=WIDE).astype(np.float64)
        net = counts / SECONDS
        rows.append(
            (
                f"NUV{letter}",
                SECONDS,
                wavelength_of(letter),
                net / WORTH,
                net,
                0.0 * net,
                counts,
                low,
                low + HEIGHT - 1.0,
            )
        )
    dtype = [
        ("TIME", ">f4"), ("RAWX", ">i2"), ("RAWY", ">i2"), ("XFULL", ">f4"), ("YFULL", ">f4"), ("WAVELENGTH", ">f4"), ("EPSILON", ">f4"),
        ("DQ", ">i2"), ("PHA", "u1"),
    ]  # fmt: skip
    events = np.zeros(xs.size, dtype)
    events["TIME"] = np.sort(rng.random(xs.size)) * SECONDS
    events["XFULL"], events["YFULL"], events["EPSILON"] = xs, ys, 1.0
    primary = fits.PrimaryHDU()
    primary.header.update(
        {
            "TELESCOP": "HST", "INSTRUME": "COS", "DETECTOR": "NUV", "OPT_ELEM": "G185M", "CENWAVE": 1850, "APERTURE": "PSA", "ROOTNAME": "lnuv01aaq",
            "TARGNAME": "STAR", "RA_TARG": 10.0, "DEC_TARG": 5.0, "SEGMENT": "N/A", "OBSMODE": "TIME-TAG",
        }
    )  # fmt: skip
    table, good = (
        fits.BinTableHDU(events, name="EVENTS"),
        np.array([(0.0, SECONDS)], [("START", ">f8"), ("STOP", ">f8")]),
    )
    table.header.update(cards)
    fits.HDUList([primary, table, fits.BinTableHDU(good, name="GTI")]).writeto(folder / "lnuv01aaq_corrtag.fits")
    form = [
        (name, ">f8", (WIDE,))
        for name in ("WAVELENGTH", "FLUX", "NET", "BACKGROUND", "GCOUNTS", "Y_LOWER_OUTER", "Y_UPPER_OUTER")
    ]
    spectra = np.array(rows, [("SEGMENT", "S4"), ("EXPTIME", ">f8"), *form])
    fits.HDUList([primary, fits.BinTableHDU(spectra, name="SCI")]).writeto(folder / "lnuv01aaq_x1d.fits")
    return folder


def binned(folder: Path, by_spectrum: bool = True) -> PhotonCurve:
    exposure, start = cos.read_exposure(str(folder / "lnuv01aaq_corrtag.fits"))
    _, spectra = cos.read_spectra(str(folder / "lnuv01aaq_x1d.fits"))
    traces = cos.traces(exposure, spectra if by_spectrum else {})
    one = EventList(exposure, partial(cos.chunks, exposure, start), traces)
    return bin_exposure([one], EventParams(step=50.0, bands={"b": (1790.0, 1795.0)}), cos.SERIOUS, 1024)


def test_events_fall_into_the_columns_of_the_spectrum(folder: Path) -> None:
    curve = binned(folder)
    spectra = fits.getdata(folder / "lnuv01aaq_x1d.fits", "SCI")
    assert list(curve.sums) == ["NUVA", "NUVB", "NUVC"]
    assert curve.events == {"NUVA to NUVC": 60_000}
    for row in spectra:
        np.testing.assert_array_equal(curve.sums[row["SEGMENT"]].spectrum, row["GCOUNTS"])
    mean = np.average(curve.points["b_flux"], weights=curve.points["exposure"])
    wavelength, flux = spectra["WAVELENGTH"][1], spectra["FLUX"][1]
    inside = (wavelength >= 1790.0) & (wavelength < 1795.0)
    assert mean == pytest.approx((flux * 0.037)[inside].sum(), rel=1e-6)


def test_boxes_of_the_header_follow_the_stripes(folder: Path) -> None:
    curve = binned(folder, by_spectrum=False)
    for name, sums in curve.sums.items():
        # The box holds 41 rows around light of 3 rows' width: all of it, and none in the background's.
        assert sums.bins[0, 0].sum() == pytest.approx(20_000, abs=3), name
        assert sums.behind[0].sum() <= 3, name
        trace = curve.traces[name]
        middle = trace.behind[0].mean(axis=0) - 0.5 * (trace.low + trace.high)
        assert np.abs(middle - AWAY).max() <= 1.0, name
