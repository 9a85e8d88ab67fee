"""Vineyard's HDF5 stamps: what their numbers mean, and that they go the way of all stamps."""

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from cuvee.errors import BadData, ConfigError
from cuvee.instruments.tess import TESS
from cuvee.instruments.tess_camera import FOCAL_LENGTH, camera_vectors, sky_vectors
from cuvee.instruments.tess_clock import ANCHOR_TIME, FRAME_SECONDS
from cuvee.model.time import DAY, earth_position, move_time

Maker = Callable[..., Path]


@pytest.fixture(scope="module")
def stamps(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "tess_ffi13_exotokyo").glob("*.h5"))


def test_header_position_counts_full_frame_pixels_from_0(stamps: list[Path]) -> None:
    """The distance between star and CRVAL settles it: half a pixel off as pixels of the full frame, 2 to 33 px as science pixels."""
    as_frame: list[float] = []
    as_science: list[float] = []
    for path in stamps:
        with h5py.File(path) as file:
            head = {key: float(file[f"header/{key}"][()]) for key in ("x", "y", "ra", "dec", "chip")}
            crval = np.median(file["TPF/X_POS"]), np.median(file["TPF/Y_POS"])
        sky = np.linalg.norm(sky_vectors(head["ra"], head["dec"]) - sky_vectors(*crval)) * FOCAL_LENGTH
        for shift, out in ((44.0, as_frame), (0.0, as_science)):
            camera = camera_vectors(int(head["chip"]), [head["x"] - shift, 1000.0], [head["y"], 1000.0])
            out.append(float(abs(np.linalg.norm(camera[0] - camera[1]) * FOCAL_LENGTH - sky)))
    assert max(as_frame) < 0.6
    assert min(as_science) > 1.5
    assert max(as_science) > 30.0


def test_times_are_starts_of_exposures(stamps: list[Path]) -> None:
    """Without light time, TIME lies on the grid of the spacecraft's exposure starts, to the 1.4 s that the spacecraft is off the Earth."""
    for path in stamps:
        info = TESS.scan(str(path))
        start = info.moments.start
        earth = earth_position(start)
        direction = sky_vectors(info.time_ra, info.time_dec)[0]
        at_spacecraft = start - earth @ direction / DAY
        grid = ANCHOR_TIME + (info.moments.cadence - 4697) * 1800.0 * FRAME_SECONDS / DAY
        assert np.abs(at_spacecraft - grid).max() * DAY < 2.5
        np.testing.assert_allclose((info.moments.stop - start) * DAY, 1799.99924, atol=1e-4)
        assert np.all(np.diff(info.moments.cadence) >= 1)


def test_real_stamps(stamps: list[Path]) -> None:
    first = TESS.scan(str(stamps[0]))
    assert (first.segment, first.detector, first.kind, first.series) == ("s0002", "2-2", "hdf5", "tess_100129999_2_2_2")
    assert first.target_id == 100129999
    for path in stamps:
        info = TESS.scan(str(path))
        with h5py.File(path) as file:
            head = {key: float(file[f"header/{key}"][()]) for key in ("x", "y", "cx", "cy", "ra", "dec")}
            flux, quality = file["TPF/ROW_CNTS"][()], file["TPF/QUALITY"][()]
        wcs = WCS(fits.Header.fromstring(info.wcs))
        col, row = wcs.all_world2pix(head["ra"], head["dec"], 0)
        np.testing.assert_allclose([col, row], [head["x"] - 44.0, head["y"]], atol=1e-6)
        np.testing.assert_allclose(
            [col - info.geometry.col0, row - info.geometry.row0], [head["cx"], head["cy"]], atol=1e-6
        )
        scale = np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600.0
        assert 18.0 < scale < 21.5
        np.testing.assert_array_equal(TESS.read(info, None).flux, flux)
        np.testing.assert_array_equal(info.moments.quality, quality)
        assert len(info.readout.assumed) == 10


def test_the_variable_star_is_where_the_header_says(stamps: list[Path]) -> None:
    """TIC 100129999 (truth D8, P = 0.34284 d): the pixel that varies with its period is the one its WCS names."""
    info = TESS.scan(str(stamps[0]))
    good = info.moments.quality == 0
    time, flux = info.moments.mid[good], TESS.read(info, None).flux[good].astype(float)
    phase = 2.0 * np.pi * time / 0.34284
    slow = (time - time.mean()) / np.ptp(time)
    basis = np.stack([np.cos(phase), np.sin(phase), *(slow**k for k in range(6))], axis=1)
    fit = np.linalg.lstsq(basis, flux.reshape(len(time), -1), rcond=None)[0]
    amplitude = np.hypot(fit[0], fit[1]).reshape(13, 13)
    rows, cols = np.indices(amplitude.shape)
    near = amplitude > 0.3 * amplitude.max()
    where = [np.average(axis[near], weights=amplitude[near]) for axis in (cols, rows)]
    ra_dec = 25.6683, -47.936
    col, row = WCS(fits.Header.fromstring(info.wcs)).all_world2pix(*ra_dec, 0)
    assert where == pytest.approx([col - info.geometry.col0, row - info.geometry.row0], abs=0.5)


def test_turn_of_the_local_wcs_is_that_of_the_sector(stamps: list[Path]) -> None:
    """The direction of the reference pixel, from the local WCS, is the frames' CRVAL moved by the 23 pixels between them."""
    for path in stamps:
        info = TESS.scan(str(path))
        with h5py.File(path) as file:
            crval = sky_vectors(np.median(file["TPF/X_POS"]), np.median(file["TPF/Y_POS"]))
        chord = np.linalg.norm(sky_vectors(info.time_ra, info.time_dec) - crval) * FOCAL_LENGTH
        assert chord == pytest.approx(np.hypot(23.0, 23.0), rel=0.05)


def test_star_in_its_own_direction_has_its_own_time(make_hdf5: Maker) -> None:
    info = TESS.scan(str(make_hdf5()))
    mid = info.moments.mid
    moved = move_time(mid, info.time_ra, info.time_dec, [25.6683], [-47.936], earth_position(mid))[0]
    assert 1.0 < np.abs(moved - mid).max() * DAY < 60.0


def _drop(path: Path, name: str) -> None:
    with h5py.File(path, "a") as file:
        del file[name]


def _put(path: Path, name: str, value: Any) -> None:
    _drop(path, name)
    with h5py.File(path, "a") as file:
        file[name] = value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("header/cx", 5.1, "no whole pixels"),
        ("header/camera", 9, "no CCD of TESS"),
        ("header/x", 20.85, "off the science pixels"),
        ("header/dec", -17.9, "do not belong to one CCD"),
        ("header/ra", "somewhere", "cannot be read"),
        ("TPF/TIME", np.zeros(3), "not one number a frame"),
        ("TPF/ROW_CNTS", np.zeros((5, 13)), "no series of images"),
        ("TPF/X_POS", np.full(5, np.nan), "has no position"),
    ],
)
def test_what_is_wrong_is_named(make_hdf5: Maker, name: str, value: Any, words: str) -> None:
    path = make_hdf5()
    _put(path, name, value)
    with pytest.raises(BadData, match=words):
        TESS.scan(str(path))


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("TPF/ROW_CNTS", (10**7, 13, 13), "f4"),
        ("TPF/MY_QUALITY", (10**10,), "i4"),
        ("header/ra", (10**10,), "f8"),
        ("TPF/more", (3, 10**9), "f8"),
    ],
)
def test_a_dataset_that_claims_more_than_the_file_can_hold_is_not_read(
    make_hdf5: Maker, name: str, shape: tuple[int, ...], kind: str
) -> None:
    path = make_hdf5()
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        file.create_dataset(
            name, shape=shape, dtype=kind, chunks=tuple(min(n, 100) for n in shape)
        )  # nothing is stored
    with pytest.raises(BadData, match=f"{name} claims") as caught:
        TESS.read(TESS.scan(str(path)), None)
    assert caught.value.reason == "wrong-shape"


def test_missing_parts_and_blank_pixels(make_hdf5: Maker) -> None:
    path = make_hdf5()
    info = TESS.scan(str(path))
    _put(path, "TPF/ROW_CNTS", np.zeros((5, 13, 13), dtype=np.float32))
    with pytest.raises(BadData) as caught:
        TESS.read(info, None)
    assert caught.value.reason == "all-nan"
    _drop(path, "TPF/QUALITY")
    with pytest.raises(BadData, match="QUALITY"):
        TESS.scan(str(path))


def test_without_h5py_the_user_learns_what_to_install(make_hdf5: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_hdf5()
    real = builtins.__import__

    def fake(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(ConfigError, match=r"pip install 'cuvee\[hdf5\]'"):
        TESS.scan(str(path))
