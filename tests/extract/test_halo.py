"""Halo fluxes of a small series: who gets one, its level, its error, and what it gains over apertures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.extract.scenes import COL0, ROW0, stamp_info, targets_at
from tests.extract.test_masks import neighbours_at
from tests.photometry.test_halo import SIZE, saturated_star, transit

from cuvee import extract
from cuvee.metrics import point_to_point_scatter
from cuvee.model import flags
from cuvee.model.records import FluxBlock, Pixels, Readout

FLUX = 8e6
"""Its charge runs out of the stamp."""
READOUT = Readout(1425.6, (5.2,), (8.0,), 720, (0,), 80_800.0)
PLACE: tuple[list[float], list[float]] = ([COL0 + 10.1], [ROW0 + 9.8])


def cube_of(light: NDArray[np.float64], behind: float = 100.0) -> NDArray[Any]:
    images, _ = saturated_star(1, light, FLUX)
    return (images + behind).astype(">f4")


def measure(cube: NDArray[Any], places: Any = PLACE, fluxes: Any = (FLUX,), **params: Any) -> FluxBlock:
    col, row = places
    near = neighbours_at(col, row, fluxes, "stamp")
    info = stamp_info((SIZE, SIZE), cube.shape[0], readout=READOUT)
    wanted = extract.ExtractParams(**{"halo": True, **params})
    return extract.extract_series(Pixels(cube, ""), info, targets_at(col, row, "stamp"), wanted, None, near)


def scatter(flux: NDArray[Any]) -> float:
    return float(point_to_point_scatter(flux[None, :])[0] / np.median(flux))


@pytest.mark.parametrize("k2p2", [False, True])
def test_a_halo_shows_a_transit_better_than_apertures(k2p2: bool) -> None:
    light = transit()
    block = measure(cube_of(light), k2p2=k2p2)
    flux = block.planes["halo_flux"][0].astype(np.float64)
    assert np.isfinite(flux).all()
    assert not (block.planes["flag"] & flags.NO_HALO).any()
    inside = light < 1.0

    def depth(name: str) -> float:
        values = block.planes[f"{name}_flux"][0].astype(np.float64)
        return float(1.0 - values[inside].mean() / values[~inside].mean())

    assert depth("halo") == pytest.approx(0.01, rel=0.05)
    others = ["aperture1", "aperture2", "aperture3", *(["mask"] if k2p2 else [])]
    for name in others:  # pixels that are full are quiet, but show nothing
        noise = scatter(block.planes[f"{name}_flux"][0])
        assert scatter(flux) / depth("halo") < 0.2 * noise / max(depth(name), 1e-6)
    like = "mask" if k2p2 else "aperture3"
    assert np.median(flux) == pytest.approx(np.median(block.planes[f"{like}_flux"][0]), rel=1e-6)


def test_its_errors_are_those_of_its_scatter() -> None:
    block = measure(cube_of(np.ones(600)))
    flux, error = (block.planes[name][0] for name in ("halo_flux", "halo_flux_err"))
    # The weights were fitted to these very points, and the star moves.
    assert scatter(flux) * np.median(flux) == pytest.approx(np.median(error), rel=0.3)


def test_a_star_that_is_not_saturated_has_none_unless_it_is_bright_enough() -> None:
    cube = 0.005 * cube_of(np.ones(60), 0.0).astype(np.float64)
    cube = (cube + 100.0 + np.random.default_rng(3).standard_normal(cube.shape)).astype(">f4")
    block = measure(cube, fluxes=[0.005 * FLUX])
    assert (block.planes["flag"] & flags.NO_HALO).all()
    assert np.isnan(block.planes["halo_flux"]).all()
    asked = measure(cube, fluxes=[0.005 * FLUX], halo_limit=5.0)  # its magnitude is 0 here
    assert np.isfinite(asked.planes["halo_flux"]).all()


def test_a_faint_star_beside_a_saturated_one_has_none() -> None:
    places = [COL0 + 10.1, COL0 + 11.9], [ROW0 + 9.8, ROW0 + 10.5]
    block = measure(cube_of(np.ones(60)), places, (FLUX, 100.0))
    assert np.isfinite(block.planes["halo_flux"][0]).all()
    assert np.isnan(block.planes["halo_flux"][1]).all()
    assert (block.planes["flag"][1] & flags.NO_HALO).all()


@pytest.mark.parametrize("value", [2e5, np.nan])
def test_a_stamp_full_of_saturated_pixels_or_of_none_has_none(value: float) -> None:
    block = measure(np.full((30, SIZE, SIZE), value, ">f4"))
    assert (block.planes["flag"] & flags.NO_HALO).all()
    assert np.isnan(block.planes["halo_flux"]).all()


def test_too_few_frames_give_none() -> None:
    block = measure(cube_of(np.ones(8)))
    assert (block.planes["flag"] & flags.NO_HALO).all()


def test_a_frame_without_pixels_is_told() -> None:
    cube = cube_of(np.ones(60))
    cube[7] = np.nan
    block = measure(cube)
    assert np.flatnonzero(np.isnan(block.planes["halo_flux"][0])).tolist() == [7]
    assert np.flatnonzero(block.planes["flag"][0] & flags.NO_HALO).tolist() == [7]


def test_a_bright_neighbour_is_kept_out() -> None:
    """A neighbour a tenth as bright that varies by half leaves the halo alone once the catalogue knows it."""
    rng = np.random.default_rng(4)
    wave = 1.0 + 0.5 * np.sin(np.arange(300) / 5.0)
    y, x = np.mgrid[:SIZE, :SIZE]
    cube = cube_of(np.ones(300)).astype(np.float64)
    cube += wave[:, None, None] * 0.1 * FLUX / 3.0 * np.exp(-0.5 * ((x - 16.0) ** 2 + (y - 4.0) ** 2) / 0.7**2)
    cube += rng.standard_normal(cube.shape)
    places = [PLACE[0][0], COL0 + 16.0], [PLACE[1][0], ROW0 + 4.0]
    block = measure(cube.astype(">f4"), places, (FLUX, 0.1 * FLUX))
    known = block.planes["halo_flux"][0].astype(np.float64)
    assert abs(np.corrcoef(known, wave)[0, 1]) * known.std() / known.mean() < 1e-3
