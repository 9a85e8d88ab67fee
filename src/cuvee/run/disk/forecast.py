"""How much disk the work on a detector takes: estimated from frames, stars and formats.

Flux blocks are arrays of known shape, so their size is known; light curves are compressed, and the bytes that a value then takes
were measured, in simulated frames and in stamps of sector 8.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.catalog import select_targets, wanted_stars
from cuvee.config import Config
from cuvee.errors import BadData, NoWork
from cuvee.model.instrument import Instrument
from cuvee.model.keys import BLOCK_CADENCES, PATCH_ORDER, DataId, block_of
from cuvee.model.prf import knot_count
from cuvee.model.records import Footprint, Geometry, Stars
from cuvee.prf.learn import NEEDED
from cuvee.run.disk.need import BASE, BLOCKS, LC, LEDGER, RED
from cuvee.run.facts import FileFacts, footprint_facts
from cuvee.run.stage import Product, Unit
from cuvee.run.stock import Stock
from cuvee.store.catalogs import PARTITION_ORDER, read_partitions, read_stars
from cuvee.store.paths import Paths
from cuvee.store.targets import read_targets

__all__ = ["Forecast"]

_SAMPLE = 32
"""Stamps of a detector whose stars are counted; the others are taken to have as many."""

# Bytes, all measured. A point's values in the light curves:
_TIME, _FLUX, _ERROR, _LEVEL, _CENTROID, _CHI2, _WHOLE = 3.3, 2.8, 1.4, 2.4, 1.7, 2.3, 0.05
# A star's row in the light curves, in targets, and in metrics and summary, where more methods add to it:
_ROW, _TARGET, _METRICS, _METRICS_MORE = 90, 105, 175, (31, 16)
# A file of light curves or metrics with nothing in it, and what more methods add to that; each further group of 100 stars; a flux block;
# receipts:
_PATCH, _METRICS_FILE, _FILE_MORE, _GROUP, _BLOCK, _RECEIPT, _READ = (
    12_000,
    8_800,
    (1_200, 1_050),
    1_500,
    4_500,
    1_000,
    170,
)
# A further column of a file of light curves or of a flux block; in this a star's own mask, and a frame's pointing, of frames and of a stamp:
_COLUMN, _PLANE, _MASK, _POINTING = 500, 300, 330, (121, 40)
# A reference image beside its pixels, of frames and of a stamp; the record of the set:
_REFERENCE, _STAMP, _RECORD = 16_500, 10_300, 8_000
# A PRF and its stars beside the coefficients, a pixel of the mean images kept with it, a target's part of the stars there and of the list
# of stars in the field: about two stars of the catalogue to a target:
_PRF, _MODEL_PIXEL, _MODEL_STAR, _NEIGHBOUR = 2_600, 12, 64, 55
# In the ledger a frame, a stamp, and a star; an empty one:
_FRAME_ROW, _STAMP_ROW, _STAR, _EMPTY = 2_200, 7_500, 500, 120_000
# A star of the catalogue, and a partition of it:
_CATALOG_STAR, _PARTITION = 60, 6_000


class Forecast:
    """Estimates what the work on a detector will write.

    Parameters
    ----------
    config : Config
        The effective configuration.
    device : Instrument
        For counting stars.
    paths : Paths
        Where things lie.
    stock : Stock
        What exists.
    stages : collection of str
        Names of the stages that will be done.
    """

    def __init__(self, config: Config, device: Instrument, paths: Paths, stock: Stock, stages: Collection[str]) -> None:
        self._config, self._device, self._paths, self._stock = config, device, paths, stock
        self._stages = stages
        extract = config.extract
        self._apertures = 1 if extract.mask is not None else len(extract.radii)

    def catalog(self, tables: Sequence[str]) -> dict[str, float]:
        """Return the bytes that taking the catalogue in writes.

        Parameters
        ----------
        tables : sequence of str
            Those that are to be read.
        """
        need: defaultdict[str, float] = defaultdict(float)
        for path in tables:
            stars = self._read(path)
            cells = len(np.unique(stars.healpix >> 2 * (29 - PARTITION_ORDER)))
            need[LEDGER] += 0 if self._paths.database or self._paths.ledger_file.exists() else _EMPTY / len(tables)
            need[BASE] += _CATALOG_STAR * len(stars) + _PARTITION * cells
        return need

    def whole(
        self, group: DataId, raw: Mapping[str, Sequence[Product]], tables: Sequence[str] = ()
    ) -> dict[str, float]:
        """Return the bytes that doing everything for a detector writes, less those of what is there.

        Parameters
        ----------
        group : DataId
            The detector.
        raw : mapping of str to sequence of Product
            Its raw files and footprints.
        tables : sequence of str, optional
            Tables to count stars in, where the catalogue has not been taken in.
        """
        series, healpix = self._count(raw, tables)
        files = _files_of(raw)
        need = self._measure(series, healpix, files, {name: _blocks_of(facts) for name, facts in files.items()}, None)
        if "reference" in self._stages:
            shown = [files[name][0] for name in _spread(sorted(files))]
            pixels = [facts.info.geometry.n_row * facts.info.geometry.n_col for facts in shown]
            extra = _REFERENCE + _RECORD if group.kind == "ffi" else _STAMP
            need[BASE] += len(files) * (4 * float(np.mean(pixels)) + extra)
            if self._psf(group.kind == "ffi"):
                need[BASE] += len(files) * self._model(group.kind == "ffi", series.size, float(np.mean(pixels)))
                need[BASE] += _MODEL_STAR * series.size
        need[RED] += _TARGET * series.size
        if self._config.extract.k2p2 or self._config.extract.halo:
            need[RED] += _NEIGHBOUR * series.size
        need[LEDGER] += _STAR * series.size
        need[LEDGER] += sum(_FRAME_ROW if facts.is_frame else _STAMP_ROW for found in files.values() for facts in found)
        for kind, products in self._stock.take(group).items():
            if kind != "partition":
                self._subtract(need, products)
        return need

    def rest(self, group: DataId, raw: Mapping[str, Sequence[Product]], units: Sequence[Unit]) -> dict[str, float]:
        """Return the bytes that units, and the light curves which follow from them, write, less those of what they replace.

        Parameters
        ----------
        group : DataId
            The detector, whose targets are there.
        raw : mapping of str to sequence of Product
            Its raw files.
        units : sequence of Unit
            Of the stages that make flux blocks or read them.
        """
        held = self._stock.take(group)
        targets = read_targets(self._paths.root / held["targets"][0].path)
        files = _files_of(raw)
        touched = {unit.data_id.series for unit in units if "fluxes" in unit.stage.writes}
        blocks: dict[str, list[int]] = defaultdict(list)
        for unit in units:
            if "fluxes" in unit.stage.writes:
                frames = sum(product.kind == "frame" for product in unit.inputs)
                blocks[unit.data_id.series].append(frames)
        if not self._config.keep.flux_blocks:  # those that were given up are made again for the light curves
            blocks = defaultdict(list, {name: _blocks_of(facts) for name, facts in files.items()})
        called = {int(unit.data_id.part.removeprefix("p")) for unit in units if "fluxes" in unit.stage.reads}
        patches = called | set(_patches(targets.healpix)[np.isin(targets.series, sorted(touched))].tolist())
        need = self._measure(targets.series, targets.healpix, files, blocks, patches, bool(held.get("stars")))
        made = {unit.data_id for unit in units}
        self._subtract(need, [p for p in held.get("fluxes", ()) if p.data_id in made])
        for kind in ("lightcurves", "metrics"):
            self._subtract(need, [p for p in held.get(kind, ()) if int(p.data_id.part.removeprefix("p")) in patches])
        return need

    def _measure(
        self,
        series: NDArray[np.str_],
        healpix: NDArray[np.int64],
        files: Mapping[str, Sequence[FileFacts]],
        blocks: Mapping[str, Sequence[int]],
        patches: Collection[int] | None,
        fitted: bool = True,
    ) -> dict[str, float]:
        """Return the bytes of flux blocks and light curves; where no PRF was found the columns of PSF fluxes are there, and empty."""
        need: defaultdict[str, float] = defaultdict(float)
        stars = dict(zip(*(found.tolist() for found in np.unique(series, return_counts=True)), strict=True))
        extract = self._config.extract
        psf = self._psf(next(iter(files.values()))[0].is_frame) if files else 0
        planes = 2 * (self._apertures + extract.k2p2 + extract.halo) + 3 * psf + 5
        further = _PLANE * (6 * extract.k2p2 + 2 * extract.halo + 3 * psf)
        if {"extract", "extract-series"} & set(self._stages):
            for name, counts in blocks.items():
                if name not in stars:
                    continue
                frame = files[name][0]
                title = len(frame.data_id.part) or len(frame.path) - frame.path.rfind(os.sep) - 1
                pointing = psf * _POINTING[0 if frame.is_frame else 1]
                for n_read in counts:
                    width = BLOCK_CADENCES if frame.is_frame else n_read or frame.n_frame
                    # Arrow keeps the schema, with times, names and pointing, at both ends of the file.
                    need[BLOCKS] += stars[name] * (8 + 4 * width * planes + _MASK * extract.k2p2) + further + _BLOCK
                    need[BLOCKS] += 2 * width * (52 + title) + 2 * (n_read or frame.n_frame) * pointing
                    need[RED] += _RECEIPT + (_READ * n_read if frame.is_frame else 0)
        if "collect" in self._stages and series.size:
            cells = _patches(healpix)
            chosen = np.isin(cells, sorted(patches)) if patches is not None else np.ones(cells.size, bool)
            size = {
                name: sum(facts.n_frame for facts in found) * self._point(found[0].is_frame, fitted)
                for name, found in files.items()
            }
            points = sum(size.get(name, 0.0) for name in series[chosen].tolist())
            n_star, n_patch = int(chosen.sum()), len(np.unique(cells[chosen]))
            columns = 2 * (extract.k2p2 + extract.halo) + 3 * psf
            more = extract.k2p2 + extract.halo + psf
            row, file = (
                one + (first + each * more if more else 0)
                for one, (first, each) in ((_METRICS, _METRICS_MORE), (_METRICS_FILE, _FILE_MORE))
            )
            need[LC] += points + _ROW * n_star + (_PATCH + _COLUMN * columns) * n_patch + _GROUP * (n_star // 100)
            need[LC] += row * n_star + file
            need[RED] += row * n_star + (file + 2 * _RECEIPT) * n_patch
        return need

    def _point(self, frame: bool, fitted: bool) -> float:
        """Return the bytes that one point of a light curve takes; of full frames there are no halo fluxes."""
        steps, extract = self._config.collect.round_noise, self._config.extract
        # Of a rounded flux, the bits of its error and of the steps within it are left.
        flux, level = ((min(full, 1.1 + math.log2(steps) / 7)) if steps else full for full in (_FLUX, _LEVEL))
        # A mask flux and that of a PSF are as large as an aperture's; the best one is there twice.
        psf = self._psf(frame) * fitted
        n = self._apertures + 1 + extract.k2p2 + psf + (extract.halo and not frame)
        empty = extract.halo * frame * 2 * _WHOLE
        return _TIME + 3 * _WHOLE + n * (flux + _ERROR) + level + 2 * _CENTROID + psf * _CHI2 + empty

    def _psf(self, frame: bool) -> int:
        """Return 1 where there are PSF fluxes, 0 where not."""
        return int(self._config.extract.psf_of_frames if frame else self._config.extract.psf_of_stamps)

    def _model(self, frame: bool, n_star: int, n_pixel: float) -> float:
        """Return the bytes of the PRF of a series, without its stars, and of the image that is kept of a stamp; one star in ten teaches."""
        params = self._config.prf
        order = min(params.order, sum(n_star >= 10 * n for n in NEEDED) - 1) if frame else 0
        terms = (order + 1) * (order + 2) // 2
        coef = 8 * max(terms, 1) * knot_count(params.knots, params.half) ** 2
        return _PRF + coef + (0 if frame else _MODEL_PIXEL * n_pixel)

    def _subtract(self, need: dict[str, float], products: Iterable[Product]) -> None:
        place = {
            "fluxes": BLOCKS, "targets": RED, "neighbours": RED, "metrics": RED, "reference": BASE, "stars": BASE,
        }  # fmt: skip
        for product in products:
            try:
                need[place.get(product.kind, LC)] -= (
                    (self._paths.root / product.path).stat().st_size if product.path else 0
                )
            except OSError:  # given up, or lost
                continue

    def _count(
        self, raw: Mapping[str, Sequence[Product]], tables: Sequence[str]
    ) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
        """Return series and HEALPix index of the stars that will be targets; for many stamps those of a sample, repeated."""
        places = _spread(sorted(raw["footprint"], key=lambda product: product.data_id))
        footprints = []
        for product in places:
            facts = footprint_facts(product)
            footprints.append(Footprint(facts["series"], Geometry(**facts["geometry"]), facts["wcs"], facts["epoch"]))
        cells = {cell for product in places for cell in product.meta["cells"]}
        catalogs = [self._read(path) for path in tables] or [read_partitions(self._paths.partitions, sorted(cells))]
        params, device = self._config.targets, self._device
        series: list[Any] = []
        healpix: list[Any] = []
        for stars in catalogs:
            # Contaminants take no room, and without them the work is a tenth.
            able = stars.take(wanted_stars(stars, params))
            try:
                found = select_targets(
                    footprints, able, params, fwhm=device.fwhm, zero_point=device.zero_point, radii=()
                )
            except (NoWork, BadData):
                continue  # whatever is wrong there, the stage that chooses targets says so
            series.append(found.series)
            healpix.append(found.healpix)
        if not series:
            return np.zeros(0, np.str_), np.zeros(0, np.int64)
        names, index = np.concatenate(series), np.concatenate(healpix)
        everyone = sorted({product.data_id.series for product in raw["footprint"]})
        if len(everyone) > len(places):
            sample = [names[names == product.data_id.series] for product in places]
            spots = [index[names == product.data_id.series] for product in places]
            chosen = [k * len(places) // len(everyone) for k in range(len(everyone))]
            names = np.concatenate([np.full(sample[i].size, name) for name, i in zip(everyone, chosen, strict=True)])
            index = np.concatenate([spots[i] for i in chosen])
        return names, index

    def _read(self, path: str) -> Stars:
        return read_stars(Path(path), self._device.name)[0]


def _spread(items: Sequence[Any]) -> list[Any]:
    """Return at most `_SAMPLE` of the items, from all over."""
    n = min(len(items), _SAMPLE)
    return [items[k * len(items) // n] for k in range(n)]


def _patches(healpix: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(healpix >> 2 * (29 - PATCH_ORDER))


def _files_of(raw: Mapping[str, Sequence[Product]]) -> dict[str, list[FileFacts]]:
    """Return the raw files by series."""
    files: dict[str, list[FileFacts]] = defaultdict(list)
    for product in (*raw["frame"], *raw["stamp"]):
        files[product.data_id.series].append(product.meta["facts"])
    return dict(files)


def _blocks_of(files: Sequence[FileFacts]) -> list[int]:
    """Return how many frames each block of a series holds."""
    if not files[0].is_frame:
        return [files[0].n_frame]
    return list(Counter(block_of(facts.first) for facts in files).values())
