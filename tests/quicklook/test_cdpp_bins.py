"""CDPP by magnitude: against a plain loop, and on the page against the light curves' own numbers."""

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee.collect import enclosed_light
from cuvee.instruments.registry import instrument
from cuvee.quicklook.cdpp import cdpp_bins, cdpp_methods, figure_cdpp
from cuvee.report.cdpp import cdpp_part

RADII, FWHM, ZERO = (1.5, 2.5), 1.9, 20.44
METHODS = ("aperture1", "aperture2", "halo", "psf")


def made_up(n: int = 300) -> dict[str, NDArray[Any]]:
    """Bright stars are quietest in aperture 2, faint ones in the PSF flux; aperture 3 was not measured."""
    rng = np.random.default_rng(1)
    mag = rng.uniform(8.0, 14.0, n)
    flux = 10.0 ** (-0.4 * (mag - ZERO))
    stars = {"mag": mag, "best": rng.choice(METHODS[:2], n), "crowding": np.ones(n)}
    for name, level in zip((*METHODS, "aperture3"), (3.0, 1.0, 4.0, 2.0, np.nan), strict=True):
        noise = 1e-4 * level * flux * rng.uniform(0.9, 1.1, n)
        if name == "psf":
            noise[mag > 11.0] *= 0.2
        stars |= {f"{name}_noise_1h": 3.0 * noise, f"{name}_noise_6_5h": noise}
    stars["best"][mag > 11.0] = "psf"
    stars["psf_noise_1h"][::9] = np.nan
    return stars


@pytest.mark.parametrize(("width", "circles"), [(0.5, True), (1.0, True), (1.0, False)])
def test_bins_are_those_of_a_plain_loop(width: float, circles: bool) -> None:
    stars = made_up()
    if not circles:
        stars["crowding"] = np.full(300, np.nan)
    shares = dict(zip(METHODS, (*enclosed_light(RADII, FWHM), enclosed_light(RADII, FWHM)[-1], 1.0), strict=True))
    assert cdpp_methods(stars) == METHODS
    bins = cdpp_bins(stars, RADII, FWHM, ZERO, width)
    assert len(bins) == 6 / width
    for one in bins:
        rows = []
        for k in range(300):
            found = {}
            for name in METHODS:
                for hours in ("1h", "6_5h"):
                    own = 10.0 ** (-0.4 * (float(stars["mag"][k]) - ZERO)) * (shares[name] if circles else 1.0)
                    found[name, hours] = 1e6 * float(stars[f"{name}_noise_{hours}"][k]) / own
            best = str(stars["best"][k])
            if one.low <= stars["mag"][k] < one.high and np.isfinite([found[best, "1h"], found[best, "6_5h"]]).all():
                rows.append((best, found))
        assert one.n_star == len(rows)
        for i, hours in enumerate(("1h", "6_5h")):
            assert one.flux[i] == pytest.approx(np.median([found[best, hours] for best, found in rows]))
            for m, name in enumerate(METHODS):
                known = [found[name, hours] for _, found in rows if np.isfinite(found[name, hours])]
                assert one.methods[m][i] == pytest.approx(np.median(known))
    assert figure_cdpp(bins, METHODS, RADII).axes


def test_the_page_says_which_is_quietest_where() -> None:
    tess = instrument("tess")
    words = str(cdpp_part(made_up(), tess, RADII, "camera 1", 60, "here"))
    for hours in ("1 h", "6.5 h"):
        assert (
            f"Over {hours} the median star is least noisy in aperture 2 (2.5 px) from 8 to 11 mag; PSF from 11 to 14 mag."
            in words
        )
    row = re.search(r"<tr><th[^>]*>13 to 14 mag</th>.*?</tr>", words)
    assert row is not None
    assert len(re.findall("<t[hd]", row[0])) == 2 + 2 * (1 + len(METHODS))


def test_without_numbers_there_is_nothing_to_say() -> None:
    stars = made_up()
    old = {name: values for name, values in stars.items() if "_noise_" not in name}
    short = {name: np.full(300, np.nan) if "_noise_" in name else values for name, values in stars.items()}
    for table in (old, short):
        assert cdpp_methods(table) == ()
        assert str(cdpp_part(table, instrument("tess"), RADII, "camera 1", 60, "here")) == ""
