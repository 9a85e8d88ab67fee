"""A large survey for the benchmark of planning: files of a few bytes that the ledger knows, and units that write a few bytes."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.fits import Header

from cuvee.catalog.stars import healpix_index
from cuvee.config import load
from cuvee.model.keys import DataId, patch_of, text_hash
from cuvee.model.records import FileInfo, Geometry, Moments, Readout, Targets
from cuvee.run.facts import FileFacts, facts_to_row, footprint_of, footprint_product
from cuvee.run.perform import Task, perform
from cuvee.run.receipts import Receipt, Slip, write_receipt
from cuvee.run.stage import Product
from cuvee.store.hats import patch_path
from cuvee.store.ledger import Ledger
from cuvee.store.numbers import write_columns
from cuvee.store.paths import Paths
from cuvee.store.targets import write_targets

CCDS = 16
SIDE = 36
STEP = 1.0 / 3.0
SCALE = 21.1 / 3600.0


@dataclass(frozen=True, slots=True)
class Star:
    id: int
    ra: float
    dec: float
    healpix: int


def quiet() -> Any:
    """Return a listener that takes no notice."""

    class Silence:
        def begin(self, label: str, total: int) -> None: ...
        def advance(self, steps: int = 1) -> None: ...
        def end(self) -> None: ...
        def say(self, message: str) -> None: ...

    return Silence()


# -- the survey ----------------------------------------------------------------------------------------------------


def make_survey(root: Path, n_unit: int, each: int) -> dict[str, Star]:
    """Write stamps of a few bytes and let the ledger know them as if their headers had been read; return stars by series."""
    (root / "RAW").mkdir(parents=True)
    (root / "cuvee.toml").write_text(
        '[workspace]\ninstrument = "tess"\n[data]\nfiles = ["RAW"]\n[catalog]\nfiles = ["stars.csv"]\n'
    )
    stars: dict[str, Star] = {}
    known = []
    for group in range(n_unit // each):
        sector, ccd = group // CCDS + 1, group % CCDS
        folder = root / "RAW" / f"s{sector:04d}"
        folder.mkdir(exist_ok=True)
        k = np.arange(each)
        dec = np.asarray(-42.0 + 14.0 * (ccd // 4) + STEP * (k // SIDE), np.float64)
        ra = (72.0 * sector + 17.0 * (ccd % 4) + STEP * (k % SIDE) / np.cos(np.radians(dec))) % 360.0
        healpix = healpix_index(ra, dec)
        for i in range(each):
            star = Star(group * each + i + 1, float(ra[i]), float(dec[i]), int(healpix[i]))
            path = folder / f"tess2018206045859-s{sector:04d}-{star.id:016d}-0120-s_tp.fits"
            path.write_text(path.name)
            facts = _facts(path, f"s{sector:04d}", f"{ccd // 4 + 1}-{ccd % 4 + 1}", star)
            stars[facts.info.series] = star
            known.append(facts)
    rows = [f"{s.id},{s.ra:.9f},{s.dec:.9f},10.0" for s in stars.values()]
    (root / "stars.csv").write_text("\n".join(["ID,ra,dec,Tmag", *rows]) + "\n")
    with Ledger.open(_paths(root).ledger) as ledger:
        ledger.put("files", [facts_to_row(facts) for facts in known])
    return stars


def _paths(root: Path) -> Paths:
    space = load(root).workspace
    return Paths.of_project(root, space.base, space.red, space.lc, space.project)


@functools.cache
def _header() -> str:
    """Return a WCS as the scan of a stamp leaves it: 14 cards without comments, in a block of 36."""
    cards: dict[str, object] = {
        "WCSAXES": 2,
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
    }
    cards |= {"RADESYS": "ICRS", "CRVAL1": 111.25, "CRPIX1": 6.0, "CRVAL2": -22.75, "CRPIX2": 6.0}
    cards |= {"CD1_1": -SCALE, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE}
    return str(Header(cards).tostring())


def _facts(path: Path, sector: str, detector: str, star: Star) -> FileFacts:
    """Return what a scan of a two-minute stamp leaves."""
    header = _header().replace("111.25", f"{star.ra:06.2f}").replace("-22.75", f"{star.dec:06.2f}")
    nan, mid = np.array([np.nan]), np.array([1339.6])
    info = FileInfo(
        path=str(path), instrument="tess", segment=sector, detector=detector, kind="tpf-120s", series=path.stem,
        name=path.name, geometry=Geometry(11, 11, star.id % 2000, star.id % 1999, 2048, 2048),
        readout=Readout(95.04, (5.23, 5.19, 5.24, 5.18), (9.9, 7.5, 7.4, 9.3), 60, (0, 512, 1024, 1536), 90000.0),
        moments=Moments(np.array([91190]), mid, mid, nan, np.zeros(1, np.int32)),
        wcs=header, time_ra=star.ra, time_dec=star.dec, background_subtracted=True, has_mask=True,
        target_id=star.id, data_release=1,
    )  # fmt: skip
    state = path.stat()
    data_id = DataId("tess", sector, detector, info.kind, info.series)
    cells = (star.healpix >> 48,)
    footprint = footprint_product(data_id, footprint_of(info), cells).content
    return FileFacts(
        str(path), data_id, (state.st_size, state.st_mtime_ns, state.st_ino), info, "", "", True, cells, footprint,
        20076, 91190, 111265,
    )  # fmt: skip


# -- units that do next to nothing ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Work:
    """Does a unit by writing what the driver will look for; stands where `cuvee.run.perform.perform` does."""

    stars: dict[str, Star]
    seconds: float = 0.0
    units: int = 0
    times: dict[str, int] = field(default_factory=dict)

    def __call__(self, task: Task) -> Slip:
        start = time.process_time()
        slip = perform(task) if task.unit.stage.name == "catalog" else self._pretend(task)
        self.seconds += time.process_time() - start
        self.units += 1
        return slip

    def _pretend(self, task: Task) -> Slip:
        unit, paths = task.unit, task.paths
        of_series = [p for p in unit.inputs if p.kind in ("stamp", "fluxes", "footprint")]
        mine = [self.stars[p.data_id.series] for p in of_series]
        contents = {}
        products: tuple[Product, ...]
        if unit.stage.name == "targets":
            path, targets = paths.targets(unit.data_id), self._targets(of_series)
            write_targets(path, targets)
            names, starts, counts = np.unique(
                [patch_of(h) for h in targets.healpix.tolist()], return_index=True, return_counts=True
            )
            patches = {str(n): (int(i), int(i + k)) for n, i, k in zip(names, starts, counts, strict=True)}
            products = (_written("targets", unit.data_id, path, paths, patches, write=False),)
        elif unit.stage.name == "extract-series":
            stamp = of_series[0]
            contents[stamp.path] = (stamp.meta["facts"].stat, text_hash(stamp.path))
            products = (
                _written(
                    "fluxes", unit.data_id, paths.fluxes(unit.data_id), paths, {patch_of(mine[0].healpix): (0, 1)}
                ),
                _written("reference", unit.data_id, paths.reference(unit.data_id), paths),
            )
        elif unit.stage.name == "collect":
            mine = [self.stars[p.data_id.series] for p in of_series if p.kind == "fluxes"]
            table = paths.metrics(unit.data_id)
            write_columns(table, self._metrics(mine))
            where = (unit.data_id.segment, unit.data_id.detector, unit.data_id.kind)
            curves = patch_path(paths.light_curves, "tess", int(unit.data_id.part[1:]), *where)
            products = (
                _written("lightcurves", unit.data_id, curves, paths, [unit.data_id.part]),
                _written("metrics", unit.data_id, table, paths, [unit.data_id.part], write=False),
            )
        else:
            path = paths.summary(unit.data_id, "parquet")
            products = (_written(unit.stage.writes[0], unit.data_id, path, paths),)
        inputs = tuple(p._replace(content=contents[p.path][1]) if p.path in contents else p for p in unit.inputs)
        recipe = unit._replace(inputs=inputs).recipe(task.params)
        receipt = Receipt(unit.stage.name, unit.data_id, recipe, "done", products=products, contents=contents)
        path = paths.receipt(unit.stage.name, unit.data_id)
        write_receipt(path, receipt)
        return Slip(str(path), "done")

    def _targets(self, footprints: Sequence[Product]) -> Targets:
        found = sorted((self.stars[p.data_id.series].healpix, p.data_id.series) for p in footprints)
        stars = [self.stars[series] for _, series in found]
        n, zero = len(found), np.zeros(len(found))
        return Targets(
            np.array([h for h, _ in found]), np.array([s.id for s in stars]), np.array([s.ra for s in stars]),
            np.array([s.dec for s in stars]), zero + 10.0, np.array([series for _, series in found]), zero, zero,
            np.ones((n, 1)), np.zeros(n, np.int32), (1.5,),
        )  # fmt: skip

    def _metrics(self, stars: Sequence[Star]) -> dict[str, Any]:
        n = len(stars)
        return {
            "id": np.array([s.id for s in stars]), "healpix": np.array([s.healpix for s in stars]),
            "series": np.array(["series"] * n), "best": np.array(["aperture1"] * n),
            **{name: np.full(n, 20076) for name in ("n_point", "n_good", "flag", "n_pixel")},
            **{name: np.full(n, 1e-4) for name in (
                "scatter", "cdpp_1h", "cdpp_6_5h", "variance", "variability", "rms_hour", "ptp", "contamination", "edge_flux", "flux",
            )},
        }  # fmt: skip


def _written(kind: str, data_id: DataId, path: Path, paths: Paths, patches: Any = None, write: bool = True) -> Product:
    if write:
        text = f"{kind} {data_id}"
        try:
            path.write_text(text)
        except FileNotFoundError:
            path.parent.mkdir(parents=True)
            path.write_text(text)
    state = path.stat()
    meta = {"size": state.st_size, "mtime_ns": state.st_mtime_ns} | ({"patches": patches} if patches else {})
    return Product(kind, data_id, text_hash(str(path)), str(path.relative_to(paths.root)), meta)
