"""Times of stars with the spacecraft's own position: a kernel is written, and astropy says what comes out."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time

from cuvee.errors import ConfigError
from cuvee.instruments.spacecraft import check_kernels, spacecraft_position
from cuvee.instruments.tess import TESS
from cuvee.model.time import DAY, earth_position, move_time, observer_time

spiceypy = pytest.importorskip("spiceypy", reason="spiceypy comes with the extra spice")

FIRST, LAST = 1517.0, 1521.0
RADIUS = 64.0 * 6378.137
PLACE = EarthLocation.from_geocentric(0.6 * RADIUS, -0.64 * RADIUS, 0.48 * RADIUS, unit=u.km)
"""As far from the Earth as TESS goes. It turns with the Earth, so it moves faster than TESS ever does (25 km/s)."""

Kernel = Callable[..., Path]


def btjd(time: Any) -> Time:
    return Time(2457000.0, time, format="jd", scale="tdb")


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """Write an SPK of the place above, seen from the Earth (399) or from the barycentre (0)."""

    def make(name: str = "tess.bsp", centre: int = 399, first: float = FIRST, last: float = LAST) -> Path:
        step = 120.0
        seconds = np.arange((first + 5455.0) * DAY, (last + 5455.0) * DAY, step)
        time = btjd(seconds / DAY - 5455.0)
        position = PLACE.get_gcrs_posvel(time)[0].xyz.to_value(u.km).T
        if centre == 0:
            position = position + earth_position(seconds / DAY - 5455.0) * 299792.458
        states = np.hstack([position, np.gradient(position, step, axis=0)])
        path = tmp_path / name
        handle = spiceypy.spkopn(str(path), "test", 0)
        spiceypy.spkw08(
            handle, -95, centre, "J2000", seconds[0], seconds[-1], "test", 7, len(seconds), states, seconds[0], step
        )
        spiceypy.spkcls(handle)
        return path

    return make


@pytest.mark.parametrize("centre", [0, 399])
def test_times_are_those_of_astropy_for_an_observer_out_there(centre: int, kernel: Kernel) -> None:
    at_observer = np.linspace(FIRST + 0.1, LAST - 0.1, 200)
    ra0, dec0 = 130.0, -53.0
    ra, dec = np.array([121.0, 135.0, 130.0, 142.5]), np.array([-48.0, -57.5, -53.0, -50.0])
    time = Time(btjd(at_observer), location=PLACE)

    def arrival(ra: float, dec: float) -> Any:
        way = time.light_travel_time(SkyCoord(ra * u.deg, dec * u.deg), "barycentric", ephemeris="builtin")
        return at_observer + way.to_value(u.d)

    mid = arrival(ra0, dec0)
    truth = np.array([arrival(*star) for star in zip(ra, dec, strict=True)])
    assert np.abs(observer_time(mid, ra0, dec0) - at_observer).max() * DAY < 1.5
    place = spacecraft_position([kernel(centre=centre)], TESS.naif_id, observer_time(mid, ra0, dec0))
    with_kernel = move_time(mid, ra0, dec0, ra, dec, place)
    without = move_time(mid, ra0, dec0, ra, dec, earth_position(mid))
    # The Earth alone keeps the promise of 0.25 s; with the kernel nothing is left of that.
    assert 0.1 < np.abs(without - truth).max() * DAY < 0.25
    assert np.abs(with_kernel - truth).max() * DAY < 1e-3


def test_no_kernel_stays_loaded_and_nan_stays_nan(kernel: Kernel) -> None:
    place = spacecraft_position([kernel()], -95, np.array([np.nan, FIRST + 1.0]))
    assert np.isnan(place[0]).all()
    assert np.isfinite(place[1]).all()
    assert spiceypy.ktotal("ALL") == 0
    assert np.isnan(spacecraft_position([Path("nowhere")], -95, np.array([np.nan]))).all()


def test_what_is_wrong_with_a_kernel_is_said_in_one_sentence(kernel: Kernel, tmp_path: Path) -> None:
    good = kernel()
    for time in (FIRST - 1.0, LAST + 300.0):
        with pytest.raises(ConfigError, match="does not say where spacecraft -95 was from BTJD") as caught:
            spacecraft_position([good], -95, np.array([FIRST + 1.0, time]))
        assert "\n" not in caught.value.message
    with pytest.raises(ConfigError, match="spacecraft -227"):
        spacecraft_position([good], -227, np.array([FIRST + 1.0]))
    with pytest.raises(ConfigError, match="there is no file"):
        check_kernels([tmp_path / "none.bsp"], -95, "TESS")
    for name, content in (
        ("text.bsp", b"<html>gone</html>"),
        ("cut.bsp", good.read_bytes()[:3000]),
        ("empty.bsp", b""),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=r"\[time\] kernel"):
            spacecraft_position([tmp_path / name], -95, np.array([FIRST + 1.0]))
    with pytest.raises(ConfigError, match="no spacecraft"):
        check_kernels([good], 0, "A ground-based camera")
    check_kernels([], 0, "A ground-based camera")
    assert spiceypy.ktotal("ALL") == 0


def test_without_spiceypy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spiceypy", None)
    with pytest.raises(ConfigError, match=r"pip install 'cuvee\[spice\]'"):
        check_kernels([Path("x.bsp")], -95, "TESS")
