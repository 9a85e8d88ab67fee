"""What was put into the simulated stars against what the light curves give back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.model.flags import FLAGS, TESS_QUALITY, default_mask
from cuvee.simulate.signals import CONSTANT, SINUSOID, TRANSIT, sinusoid_mean, transit_mean

__all__ = ["Comparison", "Found", "NoiseBin", "format_table", "recover"]

FloatArray = NDArray[np.float64]

FEWEST = 8
"""A light curve with fewer good points says nothing."""
WITHIN = 0.05
"""A period counts as found when it is as close as this to the true one, relatively."""
SURE = 5.0
"""Injected signals this many times their error ought to be found."""
EDGES = (7.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0)
EXAMPLES = 8


@dataclass(frozen=True, slots=True)
class Found:
    """One injected star.

    Parameters
    ----------
    id : int
        Its number.
    kind : str
        ``sinusoid`` or ``transit``.
    mag : float
        Magnitude.
    crowding : float
        Its share of the flux in the aperture, by which the measured amplitude has been divided.
    flux_ratio : float
        Median flux times ``crowding``, over the true flux: the share of the star's light in the aperture.
    period, period_found, period_err : float
        Days; what was found is the strongest Lomb-Scargle peak, NaN for transits.
    amplitude, amplitude_found, amplitude_err : float
        Semi-amplitude or depth relative to the star's own flux.
    """

    id: int
    kind: str
    mag: float
    crowding: float
    flux_ratio: float
    period: float
    period_found: float
    period_err: float
    amplitude: float
    amplitude_found: float
    amplitude_err: float

    @property
    def pull(self) -> float:
        """Found minus injected amplitude, in errors."""
        return (self.amplitude_found - self.amplitude) / self.amplitude_err

    @property
    def sure(self) -> bool:
        """Whether the injected signal is strong enough that it ought to be found."""
        return self.amplitude >= SURE * self.amplitude_err

    @property
    def recovered(self) -> bool:
        """Whether it was: a sinusoid by its period, a transit by a depth of more than three errors."""
        if self.kind == SINUSOID:
            return abs(self.period_found / self.period - 1.0) <= WITHIN
        return self.amplitude_found > 3.0 * self.amplitude_err


@dataclass(frozen=True, slots=True)
class NoiseBin:
    """The constant stars in one range of magnitude.

    Parameters
    ----------
    bright, faint : float
        The range.
    n : int
        Stars.
    scatter : float
        Median over the stars of the robust standard deviation of the relative flux.
    expected : float
        Median over the stars of flux error over flux.
    """

    bright: float
    faint: float
    n: int
    scatter: float
    expected: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `recover` returns.

    Parameters
    ----------
    stars : tuple of Found
        The injected stars that have a light curve, brightest first.
    noise : tuple of NoiseBin
        The constant stars by magnitude; empty ranges are left out.
    without : int
        Injected stars that have no light curve, or one of fewer than eight good points.
    """

    stars: tuple[Found, ...]
    noise: tuple[NoiseBin, ...]
    without: int


def _good(curve: Mapping[str, Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
    # time, flux, error of the points that the default mask keeps
    time, flux, error = (np.asarray(curve[name], dtype=np.float64) for name in ("time", "flux", "flux_err"))
    keep = np.isfinite(time) & np.isfinite(flux) & np.isfinite(error) & (error > 0.0)
    keep &= (np.asarray(curve["quality"]) & default_mask(TESS_QUALITY)) == 0
    keep &= (np.asarray(curve["flag"]) & default_mask(FLAGS)) == 0
    return time[keep], flux[keep], error[keep]


def _amplitude(flux: FloatArray, error: FloatArray, shape: FloatArray) -> tuple[float, float, float]:
    # Weighted fit of level * (1 + amplitude * shape): amplitude, its error, residual scatter relative to the level.
    # The error is that of the flux errors, or of the residuals where these are larger.
    design = np.stack([np.ones_like(shape), shape], axis=1) / error[:, None]
    covariance = np.linalg.pinv(design.T @ design)
    level, slope = covariance @ design.T @ (flux / error)
    residual = flux - level - slope * shape
    chi2 = float(np.sum((residual / error) ** 2)) / (flux.size - 2)
    sigma = np.sqrt(covariance[1, 1] * max(1.0, chi2))
    if covariance[1, 1] == 0.0:
        sigma = np.inf
    return float(slope / level), float(sigma / abs(level)), float(residual.std() / abs(level))


def _period(time: FloatArray, flux: FloatArray, error: FloatArray) -> float:
    # The strongest peak between one cycle in the observation and the Nyquist frequency, then a finer grid about it.
    from astropy.timeseries import LombScargle

    span = float(time[-1] - time[0])
    highest = 0.5 / float(np.median(np.diff(time)))
    search = LombScargle(time, flux, error)
    frequency = np.linspace(1.0 / span, highest, int(10 * span * highest) + 2)
    at = frequency[np.argmax(search.power(frequency))]
    fine = np.linspace(max(at - 0.2 / span, 0.5 / span), at + 0.2 / span, 201)
    # The fast method interpolates, which would shift the peak by more than its error.
    return float(1.0 / fine[np.argmax(search.power(fine, method="cython"))])


def _star(truth: Mapping[str, Any], curve: Mapping[str, Any], points: tuple[FloatArray, ...]) -> Found:
    time, flux, error = points
    exposure = float(np.median(np.diff(time)))
    period, epoch = np.asarray(truth["period"]), np.asarray(truth["epoch"])
    if truth["kind"] == SINUSOID:
        shape = sinusoid_mean(time, period, epoch, exposure)
    else:
        shape = -transit_mean(time, period, epoch, np.asarray(truth["duration"]), exposure)
    amplitude, sigma, scatter = _amplitude(flux, error, shape)
    crowding = float(curve["crowding"])
    share = crowding if crowding > 0.0 else 1.0
    found = found_err = np.nan
    if truth["kind"] == SINUSOID:
        found = _period(time, flux, error)
        # Montgomery & O'Donoghue 1999, DSSN 13, 28, equation 10, for the frequency.
        span = float(time[-1] - time[0])
        found_err = found**2 * np.sqrt(6.0 / time.size) * scatter / (np.pi * span * max(abs(amplitude), sigma))
    return Found(
        id=int(truth["id"]),
        kind=str(truth["kind"]),
        mag=float(truth["mag"]),
        crowding=crowding,
        flux_ratio=float(np.median(flux)) * share / float(truth["flux"]),
        period=float(period),
        period_found=found,
        period_err=float(found_err),
        amplitude=float(truth["amplitude"]),
        amplitude_found=amplitude / share,
        amplitude_err=sigma / share,
    )


def recover(stars_truth: Mapping[str, NDArray[Any]], light_curves: Iterable[Mapping[str, Any]]) -> Comparison:
    """Compare light curves with the truth of a simulation.

    The amplitude of a sinusoid and the depth of a transit are fitted at the true ephemeris, to the injected shape
    averaged over an exposure; a fit in the aperture sees them diluted by the neighbours' light, so they are divided
    by ``crowding``. The period of a sinusoid is searched blindly.

    Parameters
    ----------
    stars_truth : mapping of str to array, each of shape (n_star,)
        The columns of ``truth/stars.parquet``: ``id, mag, flux, kind, period, epoch, amplitude, duration``.
    light_curves : iterable of mapping
        For each light curve ``id``, ``crowding``, and arrays of shape (n_point,) ``time`` (BTJD), ``flux``, ``flux_err``
        (e-/s), ``quality``, ``flag``. Stars that the truth does not know are passed over.

    Returns
    -------
    Comparison
        Star by star for the injected ones, by magnitude for the noise of the constant ones.
    """
    row_of = {int(number): row for row, number in enumerate(stars_truth["id"])}
    names = ("id", "mag", "flux", "kind", "period", "epoch", "amplitude", "duration")
    stars: list[Found] = []
    quiet: list[tuple[float, float, float]] = []
    for curve in light_curves:
        row = row_of.get(int(curve["id"]))
        points = _good(curve)
        if row is None or points[0].size < FEWEST:
            continue
        truth = {name: stars_truth[name][row] for name in names}
        if truth["kind"] != CONSTANT:
            stars.append(_star(truth, curve, points))
            continue
        middle = float(np.median(points[1]))
        if middle > 0.0:
            spread = 1.4826 * float(np.median(np.abs(points[1] - middle)))
            quiet.append((float(truth["mag"]), spread / middle, float(np.median(points[2])) / middle))
    table = np.array(quiet).reshape(-1, 3)
    noise = []
    for bright, faint in pairwise(EDGES):
        rows = table[(table[:, 0] >= bright) & (table[:, 0] < faint)]
        if rows.size:
            noise.append(NoiseBin(bright, faint, len(rows), *(float(v) for v in np.median(rows[:, 1:], axis=0))))
    injected = set(np.asarray(stars_truth["id"])[np.asarray(stars_truth["kind"]) != CONSTANT].tolist())
    without = len(injected - {star.id for star in stars})
    return Comparison(tuple(sorted(stars, key=lambda star: (star.mag, star.id))), tuple(noise), without)


def _spread(values: list[float]) -> float:
    return 1.4826 * float(np.median(np.abs(np.array(values) - np.median(values))))


def _kind_lines(stars: list[Found], title: str, what: str) -> list[str]:
    lines = [
        "",
        title,
        f"  {'Tmag':>7}  {'stars':>5}  {'above 5 sigma':>13}  {'recovered':>9}  {what + ' found/injected':>24}  {'pull':>14}",
    ]
    for bright, faint in pairwise(EDGES):
        here = [s for s in stars if bright <= s.mag < faint]
        sure = [s for s in here if s.sure]
        if not here:
            continue
        line = f"  {bright:4.0f}-{faint:2.0f}  {len(here):5d}  {len(sure):13d}"
        if sure:
            ratio = [s.amplitude_found / s.amplitude for s in sure]
            pull = [s.pull for s in sure]
            recovered = f"{sum(s.recovered for s in sure)} of {len(sure)}"
            line += f"  {recovered:>9}  {np.median(ratio):15.3f} +- {_spread(ratio):5.3f}  {np.median(pull):+6.2f} +- {_spread(pull):4.2f}"
        lines.append(line)
    return lines


def _example_lines(stars: list[Found]) -> list[str]:
    lines = [
        "",
        "The brightest of them",
        f"  {'id':>12}  {'Tmag':>5}  {'kind':8}  {'period (d)':>10}  {'found':>18}  {'amplitude':>9}  {'found':>18}  {'pull':>5}",
    ]
    for star in stars:
        period = f"{star.period_found:.4f} +- {star.period_err:.4f}" if star.kind == SINUSOID else "-"
        amplitude = f"{star.amplitude_found:.5f} +- {star.amplitude_err:.5f}"
        lines.append(
            f"  {star.id:12d}  {star.mag:5.2f}  {star.kind:8}  {star.period:10.4f}  {period:>18}  "
            f"{star.amplitude:9.5f}  {amplitude:>18}  {star.pull:+5.1f}"
        )
    return lines


def format_table(comparison: Comparison) -> str:
    """Write a comparison as plain text.

    Parameters
    ----------
    comparison : Comparison
        From `recover`.

    Returns
    -------
    str
        Lines of at most 110 characters.
    """
    sinusoids = [s for s in comparison.stars if s.kind == SINUSOID]
    transits = [s for s in comparison.stars if s.kind == TRANSIT]
    lines = ["Injected against recovered"]
    if sinusoids:
        lines += _kind_lines(sinusoids, "Sinusoids: period within 5 % of the true one, semi-amplitude", "amplitude")
    if transits:
        lines += _kind_lines(transits, "Transits: depth at the true ephemeris, above three errors", "depth")
    if comparison.stars:
        lines += _example_lines([*sinusoids[:EXAMPLES], *transits[:EXAMPLES]])
    if comparison.noise:
        lines += ["", "Constant stars: scatter of one exposure, relative to the flux"]
        lines += [f"  {'Tmag':>7}  {'stars':>6}  {'measured (ppm)':>14}  {'expected (ppm)':>14}  {'ratio':>6}"]
        lines += [
            f"  {b.bright:4.0f}-{b.faint:2.0f}  {b.n:6d}  {1e6 * b.scatter:14,.0f}  {1e6 * b.expected:14,.0f}  {b.scatter / b.expected:6.2f}"
            for b in comparison.noise
        ]
    if comparison.without:
        lines += [
            "",
            f"{comparison.without} injected stars have no light curve, or one with fewer than {FEWEST} good points.",
        ]
    return "\n".join(lines)
