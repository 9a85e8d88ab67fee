"""The stars' own pixel masks: cut from the mean image, and summed in the one pass beside the circles."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.background import Tiles
from cuvee.kernels.memory import on_lines
from cuvee.model import flags
from cuvee.model.records import LANES, Geometry, Neighbours, PixelMasks, Readout
from cuvee.photometry.aperture import Apertures
from cuvee.photometry.mask import MaskParams, Masks, grow, masks
from cuvee.photometry.mask_threshold import threshold

__all__ = ["MaskPass", "MaskRows", "find_masks", "mask_rows", "saturation_flux"]

PEAK_SHARE = 0.34
"""Share of a star's light in its brightest pixel; on TESS it makes stars of 7.0 mag bleed, as K2P2 has it."""
CORE, MARGIN = 128, 16
"""A large image is cut up into squares of this side, and this much more all round (px): the sky is not the same all over it."""
GROWTHS = 10
"""How often the cutout of a star whose mask reaches the edge is made larger."""
CUT_LIGHT = 0.01
"""Share of a mask's light in the outermost pixels of the image from which the mask counts as clipped."""


def saturation_flux(readout: Readout) -> float:
    """Return the flux (e-/s) of a star whose brightest pixel saturates."""
    return readout.saturation / PEAK_SHARE


def find_masks(
    image: NDArray[Any], geometry: Geometry, readout: Readout, neighbours: Neighbours, ids: NDArray[np.int64],
    wanted: NDArray[np.bool_], small: int,
) -> PixelMasks:  # fmt: skip
    """Make the masks of the stars of an image.

    Parameters
    ----------
    image : float array, shape (n_row, n_col)
        Mean of the frames (e-/s), with or without the background; NaN where there is nothing.
    geometry : Geometry
        Where its pixels lie.
    readout : Readout
        For the saturation limit.
    neighbours : Neighbours
        The catalogue stars of the series, those that get a mask among them.
    ids : int64 array, shape (n_star,)
        Catalogue ids of the stars that are measured.
    wanted : bool array, shape (n_star,)
        Which of them get a mask.
    small : int
        An image narrower or lower than this (px) is not cut up.

    Returns
    -------
    PixelMasks
        No mask overlaps another one of the same cutout. A star has none where it does not stand out of the sky, where its pixel lies in the mask of a
        brighter star (of two stars at one place the first has it), or where it is off the image, not wanted or unknown to ``neighbours``.

    Notes
    -----
    See `cuvee.photometry.mask`. A star bleeds that would fill its brightest pixel. A star whose mask reaches the edge of its
    cutout gets a larger one of its own, as far as the image goes.
    """
    col, row = neighbours.col - geometry.col0, neighbours.row - geometry.row0
    with np.errstate(divide="ignore"):
        mag = -2.5 * np.log10(neighbours.flux)
    params = MaskParams(saturation_mag=-2.5 * float(np.log10(saturation_flux(readout))))
    place = {int(ids[k]): k for k in np.flatnonzero(wanted).tolist()}
    output = np.array([place.get(star, -1) for star in neighbours.id.tolist()], np.int64)
    nothing = np.zeros(0, np.int64)
    found = [(nothing, nothing)] * ids.size
    clipped, crowding = np.zeros(ids.size, np.bool_), np.full(ids.size, np.nan, np.float32)
    n_row, n_col = image.shape
    whole = Geometry(n_row, n_col, 0, 0, n_row, n_col)
    cores = _cores((n_row, n_col), small)
    for row0, row1, col0, col1 in cores:
        margin = MARGIN if len(cores) > 1 else 0
        cut = _within(whole, Geometry(row1 - row0 + 2 * margin, col1 - col0 + 2 * margin, row0 - margin, col0 - margin))
        inside = (row >= row0 - 0.5) & (row < row1 - 0.5) & (col >= col0 - 0.5) & (col < col1 - 0.5)
        wanted_here = np.flatnonzero(inside & (output >= 0)).tolist()
        if not wanted_here:
            continue
        part = _cut(image, cut, col, row, mag, params)
        for star in wanted_here:
            mine, here = part, cut
            for _ in range(GROWTHS):
                larger = _within(whole, grow(here, mine.masks.edge[mine.at[star]], MARGIN)) if mine.has(star) else here
                if larger == here:
                    break
                here, mine = larger, _cut(image, larger, col, row, mag, params)
            if not mine.has(star):
                continue
            k = output[star]
            rows, cols = mine.pixels(star)
            rows, cols = rows + here.row0, cols + here.col0
            light = image[rows, cols] - mine.sky
            rim = (rows == 0) | (cols == 0) | (rows == n_row - 1) | (cols == n_col - 1)
            clipped[k] = bool(light[rim].sum() > CUT_LIGHT * light.sum())
            crowding[k] = 1.0 - mine.masks.contamination[mine.at[star]]
            found[k] = rows, cols
    ptr = np.concatenate([[0], np.cumsum([rows.size for rows, _ in found])]).astype(np.int64)
    every_row = np.concatenate([nothing, *(rows for rows, _ in found)]) + geometry.row0
    every_col = np.concatenate([nothing, *(cols for _, cols in found)]) + geometry.col0
    return PixelMasks(ptr, every_col.astype(np.int32), every_row.astype(np.int32), clipped, crowding)


@dataclass(frozen=True, slots=True)
class _Cut:
    """The masks of a cutout; ``at`` says where each star of the image stands among its stars, -1 for not at all.

    ``by_label`` holds its pixels in the order of their masks, which begin at ``ptr``.
    """

    masks: Masks
    at: NDArray[np.int64]
    sky: float
    by_label: NDArray[np.int64]
    ptr: NDArray[np.int64]

    def pixels(self, star: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows and columns of the star's mask, counted within the cutout."""
        label = int(self.masks.label[self.at[star]])
        row, col = np.divmod(self.by_label[self.ptr[label] : self.ptr[label + 1]], self.masks.labels.shape[1])
        return row, col

    def has(self, star: int) -> bool:
        """Whether the star stands out, and has a mask to itself."""
        k = int(self.at[star])
        return k >= 0 and bool(self.masks.owner[k] == k) and not self.masks.minimum[k]


def _cut(
    image: NDArray[Any], cut: Geometry, col: NDArray[np.float64], row: NDArray[np.float64], mag: NDArray[np.float64],
    params: MaskParams,
) -> _Cut:  # fmt: skip
    x, y = col - cut.col0, row - cut.row0
    near = np.flatnonzero((x > -MARGIN) & (x < cut.n_col + MARGIN) & (y > -MARGIN) & (y < cut.n_row + MARGIN))
    pixels = np.asarray(image[cut.row0 : cut.row0 + cut.n_row, cut.col0 : cut.col0 + cut.n_col], np.float64)
    sky = threshold(pixels, 0.0, params.trim)  # the mode
    at = np.full(col.size, -1, np.int64)
    at[near] = np.arange(near.size)
    made = masks(pixels - sky, x[near], y[near], mag[near], params)
    labels = made.labels.ravel()
    ptr = np.concatenate([[0], np.cumsum(np.bincount(labels))])
    return _Cut(made, at, sky, np.argsort(labels, kind="stable"), ptr)


def _cores(shape: tuple[int, int], small: int) -> list[tuple[int, int, int, int]]:
    """Return the squares that an image is cut up into: first and last row, first and last column (exclusive)."""
    if min(shape) < small:
        return [(0, shape[0], 0, shape[1])]
    edges = (np.linspace(0, n, max(1, round(n / CORE)) + 1).round().astype(int).tolist() for n in shape)
    rows, cols = (list(itertools.pairwise(e)) for e in edges)
    return [(*r, *c) for r in rows for c in cols]


def _within(image: Geometry, cut: Geometry) -> Geometry:
    """Return the part of a cutout that lies within the image."""
    row0, col0 = max(cut.row0, 0), max(cut.col0, 0)
    row1, col1 = min(cut.row0 + cut.n_row, image.n_row), min(cut.col0 + cut.n_col, image.n_col)
    return replace(image, n_row=row1 - row0, n_col=col1 - col0, row0=row0, col0=col0)


@dataclass(frozen=True, slots=True)
class MaskRows:
    """Masks as sparse rows for the one pass; a mask that lies in several tiles has a row, a piece of it, in each.

    Parameters
    ----------
    masks : PixelMasks
        The masks, in the order of the output.
    of_tile : int64 array, shape (n_tile + 1,)
        Where each tile's pieces begin.
    rows : Apertures
        The pieces.
    star, first : int64 array, shape (n_masked,)
        The stars that have a mask, numbered as the plan orders them, and the first piece of each.
    star_of_more, more : int64 array, shape (n_piece - n_masked,)
        The other pieces, and whose they are.
    area : float64 array, shape (n_star, 1, 4)
        As `cuvee.photometry.aperture.Apertures` has it, of whole masks, in the order of the plan.
    """

    masks: PixelMasks
    of_tile: NDArray[np.int64]
    rows: Apertures
    star: NDArray[np.int64]
    first: NDArray[np.int64]
    star_of_more: NDArray[np.int64]
    more: NDArray[np.int64]
    area: NDArray[np.float64]

    @property
    def flag(self) -> NDArray[np.int32]:
        """The bit ``NO_MASK`` of each star, in the order of the plan."""
        return np.where(self.area[:, 0, 0] > 0.0, 0, flags.NO_MASK).astype(np.int32)


def mask_rows(found: PixelMasks, order: NDArray[np.int64], layout: Tiles, geometry: Geometry) -> MaskRows:
    """Cut masks into pieces, tile by tile.

    Parameters
    ----------
    found : PixelMasks
        Of the stars in the order of the output.
    order : int64 array, shape (n_star,)
        Output row of each star of the plan.
    layout : Tiles
        The tiles.
    geometry : Geometry
        Where the image lies.

    Returns
    -------
    MaskRows
        Each pixel is in the tile that it belongs to, margins left out, so that a mask may be of any size.
    """
    n_star = order.size
    place = np.empty(n_star, np.int64)
    place[order] = np.arange(n_star)
    count = np.diff(found.ptr)
    star = np.repeat(place, count)
    col, row = found.col.astype(np.int64) - geometry.col0, found.row.astype(np.int64) - geometry.row0
    tile = layout.of(col.astype(np.float64), row.astype(np.float64))
    entries = np.lexsort((star, tile))
    star, tile, col, row = star[entries], tile[entries], col[entries], row[entries]
    starts = np.flatnonzero(np.diff(star, prepend=-1) | np.diff(tile, prepend=-1))
    outer = layout.outer[tile]
    pixel = (row - outer[:, 0]) * (outer[:, 3] - outer[:, 2]) + col - outer[:, 2]
    ptr = np.stack([starts, np.append(starts[1:], star.size)], axis=1) if starts.size else np.zeros((0, 2), np.int64)
    n_entry, n_piece = star.size, starts.size
    area = np.zeros((n_star, 1, 4))
    area[place, 0, :2] = count[:, None]  # weights are 1; first moments are not taken
    rows = Apertures(
        np.ascontiguousarray(ptr, np.int64), pixel.astype(np.int32)[:, None], np.ones((n_entry, 1), np.float32),
        np.zeros((n_entry, 2), np.float32), np.zeros((n_piece, 1, 4)), np.zeros(n_piece, np.bool_),
    )  # fmt: skip
    masked, first = np.unique(star[starts], return_index=True)
    more = np.setdiff1d(np.arange(n_piece), first)
    of_tile = np.searchsorted(tile[starts], np.arange(layout.outer.shape[0] + 1)).astype(np.int64)
    return MaskRows(found, of_tile, rows, masked, first.astype(np.int64), star[starts][more], more, area)


class MaskPass:
    """Takes the fluxes in the stars' masks while a pass over the frames goes on.

    Parameters
    ----------
    rows : MaskRows
        The masks.
    n_star, n_frame : int
        Size of the block.

    Attributes
    ----------
    rows : MaskRows
        The masks.
    flux, flux_err : float32 array, shape (n_star, n_frame)
        In the order of the output (e-/s); NaN where there is none.
    """

    def __init__(self, rows: MaskRows, n_star: int, n_frame: int) -> None:
        n_piece = rows.rows.ptr.shape[0]
        self.rows = rows
        self._pieces, self._rest = on_lines((n_piece, 1, LANES), np.float64), on_lines((n_piece, 4, LANES))
        self._sums, self._sum_rest = on_lines((n_star, 1, LANES), np.float64), on_lines((n_star, 4, LANES))
        self._sums[:], self._sum_rest[:] = 0.0, 0.0
        self._planes, self._word = on_lines((6, n_star, LANES)), on_lines((n_star, LANES), np.int32)
        self.flux, self.flux_err = np.full((2, n_star, n_frame), np.nan, np.float32)

    def tile(self, tile: int, image: NDArray[np.float32], counts: NDArray[np.float32]) -> None:
        """Sum the pieces in a tile whose lanes lie in ``image``; ``counts`` is what the noise sees."""
        from cuvee.kernels import aperture_sums

        rows, first, last = self.rows.rows, int(self.rows.of_tile[tile]), int(self.rows.of_tile[tile + 1])
        if last > first:
            aperture_sums.sum_apertures(
                image, counts, first, last, rows.ptr, rows.pixel, rows.weight, rows.offset, 0, self._pieces, self._rest
            )  # fmt: skip

    def finish(
        self, level: NDArray[np.float32], level_err: NDArray[np.float32], position: NDArray[np.float64],
        pixel_variance: NDArray[np.float64], order: NDArray[np.int64], readout: Readout, column: NDArray[np.int64],
        flag: NDArray[np.int32],
    ) -> None:  # fmt: skip
        """Turn the sums of a batch into fluxes; all as `cuvee.kernels.lanes.finish` takes it, ``flag`` changed in place."""
        from cuvee.kernels import lanes

        rows = self.rows
        self._sums[rows.star], self._sum_rest[rows.star] = self._pieces[rows.first], self._rest[rows.first]
        # Few masks have more than one piece.
        np.add.at(self._sums, rows.star_of_more, self._pieces[rows.more])
        np.add.at(self._sum_rest[:, :3], rows.star_of_more, self._rest[rows.more, :3])
        np.maximum.at(self._sum_rest[:, 3], rows.star_of_more, self._rest[rows.more, 3])
        bits = np.array([flags.NAN_PIXEL, flags.SATURATED, 0], np.int32)
        here = np.where(column >= 0, np.arange(LANES), -1)
        lanes.finish(
            self._sums, self._sum_rest, level, level_err, rows.area, position, pixel_variance, readout.exposure,
            readout.saturation, 0, 0.0, np.zeros(order.size, np.int32), order, here, bits, self._planes, self._word,
        )  # fmt: skip
        lane = np.flatnonzero(column >= 0)
        frame = column[lane]
        self.flux[:, frame], self.flux_err[:, frame] = self._planes[0][:, lane], self._planes[1][:, lane]
        flag[:, frame] |= self._word[:, lane]
