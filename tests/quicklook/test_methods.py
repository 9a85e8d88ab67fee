"""Methods by magnitude: against plain loops, and a detector where it is known which one wins."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee.model.records import Readout
from cuvee.quicklook.methods import figure_methods, method_bins, method_words, methods_of, yardstick
from cuvee.quicklook.run import figure_run, psf_noise

SHARES = (0.5, 0.9, 1.0)
ZERO = 20.0


def made_up(n: int = 400, seed: int = 1) -> dict[str, NDArray[Any]]:
    """Stars whose scatter in aperture 1 is 3 e-/s more than the PSF's, and in aperture 2 a tenth more."""
    rng = np.random.default_rng(seed)
    mag = rng.uniform(8.0, 14.0, n)
    psf = 10.0 ** (0.2 * (ZERO - mag)) * rng.uniform(0.9, 1.1, n)
    chi2 = rng.normal(1.0, 0.1, n)
    chi2[mag < 10.0] += 3.0
    return {
        "mag": mag,
        "aperture1_scatter": 0.5 * (psf + 3.0),
        "aperture2_scatter": 0.9 * 1.1 * psf,
        "psf_scatter": psf,
        "psf_chi2": chi2,
        "n_cosmic_ray": rng.integers(0, 4, n),
        "best": rng.choice(["aperture1", "aperture2", "psf"], n),
        "background": np.full(n, 80.0),
    }


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_bins_are_those_of_a_plain_loop(width: float) -> None:
    stars = made_up()
    stars["psf_scatter"][::17] = np.nan
    stars["mag"][5] = np.nan
    bins = method_bins(stars, SHARES, ZERO, width)
    assert methods_of(stars) == ("aperture1", "aperture2", "psf")
    assert len(bins) == 6 / width
    for one in bins:
        rows = [
            k for k in range(400) if one.low <= stars["mag"][k] < one.high and np.isfinite(stars["psf_scatter"][k])
        ]  # fmt: skip
        assert one.high - one.low == pytest.approx(width)
        assert one.n_star == len(rows)
        assert one.n_cosmic_ray == sum(int(stars["n_cosmic_ray"][k]) for k in rows)
        for m, name in enumerate(("aperture1", "aperture2", "psf")):
            own = [float(stars[f"{name}_scatter"][k]) / SHARES[m] for k in rows]
            flux = [10.0 ** (-0.4 * (float(stars["mag"][k]) - ZERO)) for k in rows]
            assert one.scatter[m] == pytest.approx(np.median(np.array(own) / flux))
            ratio = np.array(own) / np.array([stars["psf_scatter"][k] for k in rows])
            assert one.over[m] == pytest.approx(np.median(ratio))
            assert one.best[m] == pytest.approx(np.mean([stars["best"][k] == name for k in rows]))
        assert one.chi2 == pytest.approx(np.percentile([stars["psf_chi2"][k] for k in rows], [16, 50, 84]))


def test_the_winner_is_the_one_that_scatters_less() -> None:
    for one in method_bins(made_up(), SHARES, ZERO, 1.0):
        assert one.over[1] == pytest.approx(1.1)
        assert one.over[0] > 1.0
        assert one.over[2] == 1.0
        assert (one.chi2[1] > 3.0) == (one.high <= 10.0)
    # With no share of light lost, aperture 1 would seem to win.
    assert all(one.over[0] < 1.0 for one in method_bins(made_up(), (1.0, 1.0, 1.0), ZERO, 1.0)[:4])


def test_nothing_is_compared_without_psf_fluxes() -> None:
    stars = made_up()
    del stars["psf_scatter"]
    assert methods_of(stars) == ()
    assert method_bins(stars, SHARES, ZERO, 0.5) == []


def test_masks_and_halos_are_compared_with_the_middle_aperture() -> None:
    stars = made_up(400)
    del stars["psf_chi2"], stars["n_cosmic_ray"]
    stars["mask_scatter"] = 0.5 * stars["aperture1_scatter"]
    stars["halo_scatter"] = np.full(400, np.nan)
    del stars["psf_scatter"]
    methods = methods_of(stars)
    assert methods == ("aperture1", "aperture2", "mask", "halo")
    assert (yardstick(methods), yardstick(("aperture1", "psf"))) == ("aperture1", "psf")
    share = np.full(400, 0.5 * SHARES[0])
    bins = method_bins(stars, (*SHARES[:2], share, share), ZERO, 0.5)
    assert bins
    for one in bins:
        assert one.over[0] == 1.0
        assert one.over[2] == pytest.approx(1.0)  # half the noise, of half the light
        assert np.isnan(one.over[3])
    figure_methods(bins, methods, (1.5, 2.5)).draw_without_rendering()
    assert [method_words(name) for name in methods[2:]] == ["own mask", "halo"]


def test_the_noise_of_a_psf_flux_is_that_of_its_photons_or_of_its_pixels() -> None:
    stars = {"background": np.array([100.0, np.nan, 100.0])}
    readout = Readout(1000.0, (5.0,), (10.0,), 100, (0,), 1e9)
    curve = psf_noise("tess", stars, readout, 12.0, (4.0, 22.0))
    flux = 10.0 ** (-0.4 * (curve.mag - 20.44))
    assert curve.total[0] == pytest.approx(1.0 / np.sqrt(1000.0 * flux[0]), rel=1e-3)
    read = 100 * 10.0**2 / 1000.0**2
    assert curve.total[-1] == pytest.approx(np.sqrt(12.0 * (100.0 / 1000.0 + read)) / flux[-1], rel=1e-2)


@pytest.mark.parametrize("best", ["psf", "aperture1"])
def test_the_line_of_expected_noise_is_that_of_the_flux_which_is_shown(best: str) -> None:
    mag = np.linspace(8.0, 16.0, 200)
    flux = 10.0 ** (-0.4 * (mag - 20.44))
    numbers = {"flux": flux, "flux_err": 0.01 * flux, "scatter": np.sqrt(flux), "background": np.full(200, 100.0)}
    stars = {"mag": mag, "id": np.arange(200), "crowding": np.ones(200), "best": np.full(200, best), **numbers}
    readout = Readout(1000.0, (1e-9,), (10.0,), 100, (0,), 1e9)  # so small a gain that nothing is rounded
    figure = figure_run("tess", (1.5, 2.5), stars, readout, "x")
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "expected noise:"]
    at, ppm = (np.asarray(values, float) for values in line.get_data())
    # TESS stars are 1.9 px wide; the pixel blurs them once, and exact overlap with a circle once more.
    variance = 1.9**2 / (8.0 * np.log(2.0))
    share = 1.0 if best == "psf" else 1.0 - np.exp(-(1.5**2) / 2.0 / (variance + 1.0 / 6.0))
    n_pixel = 4.0 * np.pi * (variance + 1.0 / 12.0) if best == "psf" else np.pi * 1.5**2
    light = share * 10.0 ** (-0.4 * (at - 20.44))
    noise = np.sqrt(light / 1000.0 + n_pixel * (100.0 / 1000.0 + 100 * 10.0**2 / 1000.0**2))
    np.testing.assert_allclose(ppm, 1e6 * noise / light, rtol=1e-9)


@pytest.mark.parametrize("spoil", ["nothing", "few", "no chi2", "far"])
def test_the_picture_is_drawn_whatever_the_numbers(spoil: str) -> None:
    stars = made_up(400 if spoil != "few" else 6)
    if spoil == "no chi2":
        stars["psf_chi2"][:] = np.nan
    if spoil == "far":
        stars["aperture1_scatter"] *= 1e4
    width = 8.0 if spoil == "few" else 0.5
    bins = method_bins(stars, SHARES, ZERO, width)
    figure = figure_methods(bins, methods_of(stars), (1.5, 2.5), title="x")
    figure.draw_without_rendering()
    shown = [line for line in figure.axes[0].lines if len(np.atleast_1d(line.get_xdata())) == len(bins)]
    np.testing.assert_allclose(np.asarray(shown[2].get_ydata()), [1e6 * one.scatter[2] for one in bins])


def test_methods_are_named_with_their_radius() -> None:
    assert [method_words(name, (1.5, 2.5)) for name in ("aperture2", "aperture3", "psf")] == [
        "aperture 2 (2.5 px)",
        "aperture 3",
        "PSF",
    ]
