"""Real COS exposures against the mission's own extraction of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.events.survey_of_photons import survey_of

from cuvee.errors import BadData
from cuvee.events.curve import band_curve, bin_edges
from cuvee.events.exposure import bin_exposure
from cuvee.events.params import EventParams
from cuvee.events.regions import Screen
from cuvee.events.screen import EventList
from cuvee.events.sums import Sums, add_up
from cuvee.events.trace import box_trace, columns_of, spectrum_trace
from cuvee.instruments import cos
from cuvee.model.photons import Exposure, Spectrum, Trace

BANDS = ((1290.0, 1297.0), (1301.0, 1307.0), (1314.0, 1330.0), (1330.0, 1340.0), (1360.0, 1400.0), (1400.0, 1430.0))
EVERYTHING = (0.1, 1e5)


@pytest.fixture(scope="module")
def gj436(shared_data: Path) -> tuple[Exposure, Spectrum, Trace, Sums]:
    folder = shared_data / "hst_cos_gj436"
    exposure, start = cos.read_exposure(str(folder / "ld9m10ujq_corrtag_a.fits.gz"))
    root, spectra = cos.read_spectra(str(folder / "ld9m10ujq_x1d.fits.gz"))
    assert root == exposure.rootname == "ld9m10ujq"
    trace = spectrum_trace(spectra["FUVA"], cos.stripes(exposure)["FUVA"])
    screen = Screen(exposure.gti, cos.SERIOUS, (-np.inf, np.inf), (), EVERYTHING)
    columns = [(0, trace.low.size - 1), *(columns_of(trace, *band) for band in BANDS)]
    edges = bin_edges(exposure.gti, 60.0)
    sums = add_up(cos.chunks(exposure, start), exposure.table, trace, screen, columns, edges)
    return exposure, spectra["FUVA"], trace, sums


def test_events_in_the_source_s_rows_are_the_mission_s_counts_exactly(
    gj436: tuple[Exposure, Spectrum, Trace, Sums],
) -> None:
    _, spectrum, _, sums = gj436
    assert sums.bins[0, 0].sum() == 6522
    assert round(float(spectrum.counts.sum())) == 6522
    # Column by column, but for some whose coordinate lies at half a pixel.
    assert np.count_nonzero(sums.spectrum != spectrum.counts) < 0.005 * spectrum.counts.size


def test_every_event_is_kept_or_left_out_for_one_reason(gj436: tuple[Exposure, Spectrum, Trace, Sums]) -> None:
    exposure, _, _, sums = gj436
    kept = sums.bins[0, 0].sum() + sums.behind[0].sum()
    assert kept + sum(sums.reasons.values()) == sums.n_event == exposure.table.n_row == 40450
    assert sums.reasons["quality"] > 0
    assert sums.reasons["outside"] > 0


@pytest.mark.parametrize("band", range(len(BANDS)))
def test_the_flux_of_a_band_is_the_integral_of_the_mission_s_spectrum(
    gj436: tuple[Exposure, Spectrum, Trace, Sums], band: int
) -> None:
    exposure, spectrum, trace, sums = gj436
    curve = band_curve(trace, sums, band + 1, exposure.gti, bin_edges(exposure.gti, 60.0))
    inside = (spectrum.wavelength >= BANDS[band][0]) & (spectrum.wavelength < BANDS[band][1])
    integral = float((spectrum.flux * np.gradient(spectrum.wavelength))[inside].sum())
    mean = float(np.average(curve.flux, weights=curve.exposure))
    assert mean == pytest.approx(integral, rel=5e-3)
    assert mean == pytest.approx(integral, rel=2e-5)  # what it is: nothing but rounding


def test_the_background_is_that_of_the_mission_and_not_a_fifth_below(
    gj436: tuple[Exposure, Spectrum, Trace, Sums],
) -> None:
    exposure, spectrum, trace, sums = gj436
    edges = bin_edges(exposure.gti, 60.0)
    curve = band_curve(trace, sums, 0, exposure.gti, edges)
    of_spectrum = float(spectrum.dark.sum() * np.diff(exposure.gti).sum())
    weight = sums.bins[0, 1].sum() / sums.bins[0, 0].sum()
    assert curve.background.sum() * weight == pytest.approx(of_spectrum, rel=1e-6)
    # Without a spectrum: rows of the source over rows of the background, here 39 over 70.
    boxed = box_trace("FUVA", cos.stripes(exposure)["FUVA"])
    screen = Screen(exposure.gti, cos.SERIOUS, (-np.inf, np.inf), (), EVERYTHING)
    start = cos.read_exposure(exposure.path)[1]
    plain = add_up(cos.chunks(exposure, start), exposure.table, boxed, screen, [(0, 16383)], edges)
    counted = band_curve(boxed, plain, 0, exposure.gti, edges)
    assert counted.background.sum() == pytest.approx(plain.behind.sum() * 39.0 / 70.0, rel=1e-9)
    assert np.isnan(counted.flux).all()  # no calibration, no flux


def test_raw_events_within_the_pulse_heights_are_those_of_the_mission_s_image(shared_data: Path) -> None:
    # D11 of the data's README: sum(counts image) * EXPTIME = 300,690.
    folder = shared_data / "hst_cos_swiftj1357"
    exposure, start = cos.read_exposure(str(folder / "ldfd01vpq_rawtag_a.fits.gz"))
    assert exposure.cards["raw"]
    assert exposure.cards["pulse"] == (2.0, 23.0)
    n_col = 16384
    everywhere = Trace(
        "FUVA", np.zeros(n_col), np.full(n_col, 1023.0), np.zeros((0, 2, n_col)), np.zeros(n_col), np.zeros(n_col),
        np.full(n_col, np.nan), False,
    )  # fmt: skip
    screen = Screen(exposure.gti, 0, exposure.cards["pulse"], (), EVERYTHING)
    edges = bin_edges(exposure.gti, 10.0)
    sums = add_up(cos.chunks(exposure, start), exposure.table, everywhere, screen, [(0, n_col - 1)], edges)
    assert sums.bins[0, 0].sum() == pytest.approx(300690, rel=1e-3)


@pytest.mark.parametrize("limits", [None, (2, 23), (4, 30)])
def test_pulse_heights_of_a_raw_list_are_those_that_its_spectrum_names(
    shared_data: Path, limits: tuple[int, int] | None, tmp_path: Path
) -> None:
    folder = shared_data / "hst_cos_swiftj1357"
    exposure, start = cos.read_exposure(str(folder / "ldfd01vpq_rawtag_a.fits.gz"))
    spectra = {}
    if limits:
        with fits.open(folder / "ldfd01vpq_x1d.fits.gz") as file:
            file["SCI"].header["PHALOWRA"], file["SCI"].header["PHAUPPRA"] = limits
            file.writeto(tmp_path / "ldfd01vpq_x1d.fits")
        spectra = cos.read_spectra(str(tmp_path / "ldfd01vpq_x1d.fits"))[1]
    one = EventList(exposure, partial(cos.chunks, exposure, start), cos.traces(exposure, spectra))
    curve = bin_exposure([one], EventParams(step=10.0), cos.SERIOUS, n_row=1024)
    rows = fits.getdata(folder / "ldfd01vpq_rawtag_a.fits.gz", 1)
    low, high = limits or (2, 23)
    beyond = (rows["PHA"] < low) | (rows["PHA"] > high)
    in_time = ((rows["TIME"][:, None] >= exposure.gti[:, 0]) & (rows["TIME"][:, None] <= exposure.gti[:, 1])).any(
        axis=1
    )
    assert curve.reasons["pulse_height"] == np.count_nonzero(beyond & in_time)


def test_a_star_that_varies_strongly_is_found_the_whole_way(shared_data: Path, tmp_path: Path) -> None:
    for path in (shared_data / "hst_cos_swiftj1357").glob("*_rawtag_a.fits.gz"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    facts, _ = survey_of("cos", tmp_path).exposure("ldfd01vpq")
    found = facts["statistics"]
    assert found["constant"] < 1e-20
    assert found["poisson_factor"] > 1.3
    assert found["excess_variance"] > 10.0 * found["excess_variance_err"]


def test_a_spectrum_is_no_photon_list(shared_data: Path) -> None:
    with pytest.raises(BadData, match="holds no events"):
        cos.read_exposure(str(shared_data / "hst_cos_gj436" / "ld9m10ujq_x1d.fits.gz"))
