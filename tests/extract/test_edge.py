"""Light at the edge of the pixels, against masks of photutils and pixel by pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from photutils.aperture import CircularAperture
from tests.extract.scenes import targets_at

from cuvee.extract.edge import with_edge
from cuvee.model.records import FluxBlock, Geometry, Moments, PixelMasks, Targets

RADII = (1.5, 2.5)
GEOMETRY = Geometry(9, 12, 300, 400)
IMAGE = np.random.default_rng(3).uniform(50.0, 900.0, (9, 12))


def stars() -> Targets:
    """In the middle, at an edge, in a corner, beyond the pixels, nowhere; and just so near that the larger circle touches an outer pixel."""
    col = 400.0 + np.array([5.0, 11.2, 0.4, 12.4, np.nan, 2.9])
    row = 300.0 + np.array([4.0, 4.3, 8.3, 4.0, 4.0, 4.0])
    return targets_at(col, row, "stamp")


def block(targets: Targets, masks: PixelMasks | None = None) -> FluxBlock:
    n, none = len(targets), np.zeros(1)
    moments = Moments(np.array([1]), none, none, none, np.zeros(1, np.int32))
    planes = {f"aperture{k}_{what}": np.zeros((n, 1), np.float32) for k in (1, 2) for what in ("flux", "flux_err")}
    return FluxBlock(moments, ("one",), planes, np.arange(n), {"kept": 1}, masks)


def edge_of(made: FluxBlock) -> dict[int, dict[str, tuple[float, float]]]:
    edge: dict[str, Any] = made.meta["edge"]
    pairs = zip(edge["light"], edge["area"], strict=True)
    return {
        star: dict(zip(edge["methods"], zip(light, area, strict=True), strict=True))
        for star, (light, area) in zip(edge["star"], pairs, strict=True)
    }


def outermost() -> NDArray[np.bool_]:
    return np.array([[i in (0, 8) or j in (0, 11) for j in range(12)] for i in range(9)])


@pytest.mark.parametrize("subtracted", [False, True])
def test_circles(subtracted: bool) -> None:
    targets = stars()
    image = IMAGE.copy()
    image[4, 11] = np.nan
    made = with_edge(block(targets), targets, image, GEOMETRY, RADII, subtracted=subtracted)
    assert made.meta["kept"] == 1
    found = edge_of(made)
    assert 0 not in found
    assert 4 not in found
    seen = 0
    for s in (1, 2, 3, 5):
        for k, radius in enumerate(RADII):
            place = float(targets.col[s]) - 400.0, float(targets.row[s]) - 300.0
            weight = CircularAperture(place, radius).to_mask(method="exact").to_image((9, 12))
            weight = (np.zeros((9, 12)) if weight is None else weight) * outermost()
            light, area = found.get(s, {}).get(f"aperture{k + 1}", (0.0, 0.0))
            assert light == pytest.approx(np.nansum(weight * image), rel=1e-5)
            assert area == pytest.approx(0.0 if subtracted else weight.sum(), rel=1e-5, abs=1e-7)
            seen += bool(weight.any())
    assert seen >= 6


def test_masks_of_the_stars_own_and_a_given_one() -> None:
    targets = stars()
    col, row = np.array([405, 406, 411, 400, 400]), np.array([304, 304, 300, 308, 307])
    ptr = np.array([0, 2, 3, 5, 5, 5, 5])
    masks = PixelMasks(ptr, col, row, np.zeros(6, bool), np.zeros(6, np.float32))
    found = edge_of(with_edge(block(targets, masks), targets, IMAGE, GEOMETRY, RADII))
    assert found[1]["mask"] == (IMAGE[0, 11], 1.0)
    assert found[2]["mask"] == (IMAGE[8, 0] + IMAGE[7, 0], 2.0)
    assert all(found[s]["mask"] == (0.0, 0.0) for s in found if s not in (1, 2))
    given = np.zeros((9, 12), bool)
    given[3:6, 9:] = True
    one = block(targets)
    one = replace(one, planes={name: plane for name, plane in one.planes.items() if name.startswith("aperture1")})
    found = edge_of(with_edge(one, targets, IMAGE, GEOMETRY, RADII, given, subtracted=True))
    assert all(found[s] == {"aperture1": (IMAGE[3:6, 11].sum(), 0.0)} for s in range(6))
    assert not edge_of(with_edge(one, targets, IMAGE, GEOMETRY, RADII, np.roll(given, -3, axis=1), subtracted=True))
