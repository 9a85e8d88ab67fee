"""CDPP against scipy's filter in a plain loop, against lightkurve on real light curves, and against noise of known size."""

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.signal import savgol_coeffs, savgol_filter

from cuvee.metrics import MAD_TO_SIGMA, noise_over_hours

FloatArray = NDArray[np.float64]
HALF_HOUR = 1.0 / 48.0


def cdpp(flux: NDArray[Any], good: NDArray[np.bool_], time: NDArray[Any], cadence: NDArray[Any]) -> FloatArray:
    """Of one star, 1 h and 6.5 h."""
    offsets = np.array([0, flux.size])
    (found,) = noise_over_hours([flux.astype(np.float32)], good, time, cadence.astype(np.int32), offsets)
    return found[:, 0]


def plain(flux: NDArray[Any], number: NDArray[Any]) -> list[float]:
    """Bins of one star, those that are there, and their numbers: as the definition reads."""
    cut = np.flatnonzero(np.diff(number) > 5) + 1
    stretches = [part.astype(float) for part in np.split(flux, cut) if part.size >= 51]
    for _ in range(3):
        left = []
        for part in stretches:
            window = min(101, part.size - 1 + part.size % 2)
            trend = savgol_filter(part, window, 2, mode="interp")
            if part.size == window + 1:  # an even number of bins: the one window does not reach the last
                trend[-2:] = np.polynomial.Polynomial.fit(np.arange(window), part[1:], 2)(np.arange(window))[-2:]
            left.append(part - trend)
        before = sum(part.size for part in stretches)
        while True:
            limit = 5.0 * np.sqrt(np.mean(np.concatenate(left) ** 2))
            keep = [np.abs(rest) <= limit for rest in left]
            if all(which.all() for which in keep):
                break
            long = [which.sum() >= 51 for which in keep]
            stretches, left = (
                [x[which] for x, which, stays in zip(xs, keep, long, strict=True) if stays] for xs in (stretches, left)
            )
            if not left:
                return [np.nan, np.nan]
        if sum(part.size for part in stretches) == before:
            break
    means = [np.concatenate([np.convolve(rest, np.ones(n) / n, "valid") for rest in left]) for n in (2, 13)]
    return [float(np.std(one)) for one in means]


@pytest.mark.parametrize("seed", range(6))
def test_as_a_plain_loop_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    number = np.arange(1400)
    gone = (number // 200) % 3 == seed % 3 if seed < 3 else number % 2000 == 1999
    number = number[~gone & (rng.random(number.size) > 0.05)]
    if seed == 4:
        number = np.concatenate([number[:120], number[600:652], number[900:940]])  # the last stretch is too short
    if seed == 5:
        number = number[:90]
    flux = (1e4 + 30.0 * rng.normal(size=number.size) + 400.0 * np.sin(number / 150.0)).astype(np.float32)
    flux[::97] += 600.0  # flares, which must go
    found = cdpp(flux, np.ones(flux.size, bool), 1325.0 + number * HALF_HOUR, number + 7000)
    np.testing.assert_allclose(found, plain(flux, number), rtol=1e-9)


def test_stretches_of_any_length() -> None:
    rng = np.random.default_rng(9)
    flux = (1e4 + 30.0 * rng.normal(size=250)).astype(np.float32)
    for n in range(51, 120):
        number = np.concatenate([np.arange(n), 1000 + np.arange(250 - n)])
        found = cdpp(flux, np.ones(250, bool), number * HALF_HOUR, number)
        np.testing.assert_allclose(found, plain(flux, number), rtol=1e-9, err_msg=str(n))
        found = cdpp(flux[:n], np.ones(n, bool), number[:n] * HALF_HOUR, number[:n])
        np.testing.assert_allclose(found, plain(flux[:n], number[:n]), rtol=1e-9, err_msg=str(n))


def test_a_stretch_of_outliers_is_left_out() -> None:
    rng = np.random.default_rng(10)
    flux = (1e4 + rng.normal(size=1306)).astype(np.float32)
    number = np.concatenate([np.arange(1250), 2000 + np.arange(56)])
    for n_bad, n_row in ((6, 0), (3, 4), (49, 1)):
        spoilt = flux.copy()
        spoilt[1252 : 1252 + n_bad] += 1e4 * (-1.0) ** np.arange(n_bad)
        spoilt[:n_row] = 1e6
        found = cdpp(spoilt, np.ones(1306, bool), number * HALF_HOUR, number)
        np.testing.assert_allclose(found, plain(spoilt, number), rtol=1e-9)
        assert found[0] < 1.0
    spoilt[1252] = 1e6
    assert np.isnan(plain(spoilt[1250:1301], number[1250:1301])).all()
    assert np.isnan(cdpp(spoilt[1250:1301], np.ones(51, bool), number[1250:1301] * HALF_HOUR, number[1250:1301])).all()


def test_bad_points_are_as_good_as_absent() -> None:
    rng = np.random.default_rng(1)
    number = np.arange(700)
    flux = (1e4 + 30.0 * rng.normal(size=700)).astype(np.float32)
    good = rng.random(700) > 0.1
    spoilt = np.where(good, flux, 1e9).astype(np.float32)
    spoilt[~good & (number % 2 == 0)] = np.nan
    nan = good & (number % 50 == 0)
    spoilt[nan] = np.nan
    kept = good & ~nan
    found = cdpp(spoilt, good, number * HALF_HOUR, number)
    np.testing.assert_allclose(found, plain(flux[kept], number[kept]), rtol=1e-9)


@pytest.mark.parametrize(("seconds", "width"), [(1800, 1), (1765.5, 1), (600, 3), (200, 9), (120, 15), (20, 90)])
def test_white_noise_falls_as_the_root_of_time(seconds: float, width: int) -> None:
    rng = np.random.default_rng(width)
    n_star, n = 10, 4000 * width
    sigma = 1000.0 * np.sqrt(width)  # 1000 in a bin
    flux = (1e6 + sigma * rng.normal(size=n_star * n)).astype(np.float32)
    cadence = np.tile(np.arange(n, dtype=np.int32) + 12345 * width, n_star)
    (found,) = noise_over_hours(
        [flux], np.ones(flux.size, bool), cadence * seconds / 86400.0, cadence, n * np.arange(n_star + 1)
    )
    # What is taken is linear: a running mean of what the filter leaves. White noise comes out as the root of its weights' squares.
    taken = np.zeros(101)
    taken[50] = 1.0
    taken -= savgol_coeffs(101, 2)
    expected = [1000.0 * np.linalg.norm(np.convolve(np.ones(k) / k, taken)) for k in (2, 13)]
    # 40,000 bins, of which 13 x 2/3 count as one: good to 1.04 %.
    np.testing.assert_allclose(found.mean(axis=1), expected, rtol=0.03)


def test_bins_are_means_of_the_good_points_where_half_are_good() -> None:
    rng = np.random.default_rng(3)
    cadence = np.arange(9 * 300) + 9 * 5000
    flux = (1e4 + 30.0 * rng.normal(size=cadence.size)).astype(np.float32)
    good = rng.random(cadence.size) > 0.3
    good[(cadence // 9) % 60 == 7] = False
    good[9 * 100 : 9 * 100 + 5] = False  # four of nine are left
    good[9 * 101 : 9 * 101 + 4] = False
    there = [k for k in range(300) if 2 * good[9 * k : 9 * k + 9].sum() >= 9]
    assert 100 not in there
    means = np.array([flux[9 * k : 9 * k + 9][good[9 * k : 9 * k + 9]].astype(float).mean() for k in there])
    found = cdpp(flux, good, cadence * 200.0 / 86400.0, cadence)
    np.testing.assert_allclose(found, plain(means, np.array(there)), rtol=1e-9)


def test_what_cannot_be_told() -> None:
    number = np.arange(400)
    flux = np.random.default_rng(2).normal(1e4, 1.0, 400)
    good = np.ones(400, bool)
    assert np.isfinite(cdpp(flux, good, number * HALF_HOUR, number)).all()
    assert np.isnan(cdpp(flux[:50], good[:50], number[:50] * HALF_HOUR, number[:50])).all()
    assert np.isnan(cdpp(flux, good, number * 2 * HALF_HOUR, number)).all()  # an hour a frame
    assert np.isnan(cdpp(flux, good, number * 2 * HALF_HOUR, 2 * number)).all()  # every second frame is missing
    assert np.isnan(cdpp(flux, ~good, number * HALF_HOUR, number)).all()
    assert np.isnan(cdpp(flux, good, np.full(400, np.nan), number)).all()
    assert np.isnan(cdpp(flux[:0], good[:0], number[:0] * HALF_HOUR, number[:0])).all()
    assert noise_over_hours([flux.astype(np.float32)], good, number * 1.0, number.astype(np.int32), np.array([0]))[
        0
    ].shape == (2, 0)


def test_stars_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(5)
    counts = [300, 0, 40, 700]
    offsets = np.cumsum([0, *counts])
    flux = rng.normal(1e4, 1.0, offsets[-1]).astype(np.float32)
    cadence = np.concatenate([np.arange(n) for n in counts]).astype(np.int32)
    good = rng.random(flux.size) > 0.1
    (found,) = noise_over_hours([flux], good, cadence * HALF_HOUR, cadence, offsets)
    for k, (first, last) in enumerate(pairwise(offsets)):
        alone = cdpp(flux[first:last], good[first:last], cadence[first:last] * HALF_HOUR, cadence[first:last])
        np.testing.assert_array_equal(found[:, k], alone)


def theirs(time: FloatArray, flux: FloatArray, clipped: bool) -> list[float]:
    """CDPP by lightkurve (ppm), whose filter follows only what is within three standard deviations, or follows everything."""
    lightkurve = pytest.importorskip("lightkurve")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curve = lightkurve.LightCurve(time=time, flux=flux)
        if clipped:
            return [float(curve.estimate_cdpp(transit_duration=k).value) for k in (2, 13)]
        left = curve.flatten(101, 2, sigma=1e9).remove_outliers(5.0).flux.value
    return [1e6 * float(np.std(lightkurve.utils.running_mean(left, k))) for k in (2, 13)]


REAL = (
    ("tess_tpf_25155310/hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits.gz", "SAP_FLUX TIME CADENCENO QUALITY"),
    ("tess_hlsp/hlsp_tglc_tess_ffi_gaiaid-6399196263939178880-s0001-cam2-ccd1_tess_v1_llc.fits.gz", "aperture_flux time cadence_num TESS_flags"),
)  # fmt: skip


@pytest.mark.parametrize("injected", [False, True])
@pytest.mark.parametrize(("name", "columns"), REAL)
def test_as_lightkurve_on_real_cadences(shared_data: Path, name: str, columns: str, injected: bool) -> None:
    table = fits.getdata(shared_data / name, 1)
    flux, time, cadence, bits = (np.asarray(table[key]).astype(float) for key in columns.split())
    good = np.isfinite(flux) & np.isfinite(time) & (bits == 0)
    width = round(HALF_HOUR / float(np.median(np.diff(time[good]) / np.diff(cadence[good]))))
    if injected:  # noise, white and red, and a slow wave
        rng = np.random.default_rng(7)
        red = np.convolve(rng.normal(size=flux.size + 9 * width), np.ones(10 * width) / np.sqrt(10.0 * width))
        red = red[9 * width :][: flux.size]
        flux = 1.0 + 5e-4 * np.sqrt(width) * rng.normal(size=flux.size) + 1e-4 * red + 0.003 * np.sin(time)
    bins = cadence.astype(int) // width
    there = np.array([k for k in np.unique(bins[good]) if 2 * (good & (bins == k)).sum() >= width])
    # Stretches shorter than its filter are not filtered by lightkurve; outliers, as transits, cut them short.
    means = np.array([flux[good & (bins == k)].mean() for k in there])
    left = means - median_filter(means, 49)
    there = there[np.abs(left) < 3.0 * MAD_TO_SIGMA * np.median(np.abs(left))]
    stretches = np.split(there, np.flatnonzero(np.diff(there) > 5) + 1)
    kept = np.concatenate([part for part in stretches if part.size > 101])
    assert kept.size > 600
    good &= np.isin(bins, kept)
    found = 1e6 * cdpp(flux, good, time, cadence) / np.median(flux[good])
    moments, means = (np.array([values[good & (bins == k)].mean() for k in kept]) for values in (time, flux))
    np.testing.assert_allclose(found, theirs(moments, means, injected), rtol=0.02)
