"""One table a detector: every star on its science pixels, with all that the catalogue says of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from cuvee.catalog.motion import angles, unit_vectors
from cuvee.errors import ConfigError
from cuvee.instruments.tess_ffi import FIRST_COL
from cuvee.model.keys import DataId
from cuvee.model.records import Targets
from cuvee.store.atomic import atomic_path
from cuvee.store.own_ledger import open_ledger
from cuvee.store.sky_search import cone_search
from cuvee.store.sky_store import read_catalog
from cuvee.store.targets import read_targets
from cuvee.survey import Survey

__all__ = ["ChipTable", "chip_tables"]


@dataclass(frozen=True, slots=True)
class ChipTable:
    """The table of one detector.

    Parameters
    ----------
    path : Path
        Where it is.
    sector, camera, ccd : int
        Which detector.
    n_star : int
        Its rows.
    """

    path: Path
    sector: int
    camera: int
    ccd: int
    n_star: int


def chip_tables(
    survey: Survey, sectors: Collection[int], detector: str, catalog: Path | None, kind: str = "parquet"
) -> list[ChipTable]:
    """Write ``CTLchip{sector}_{camera}_{ccd}``: of each detector the stars on it that ``[targets]`` asks for, by brightness.

    Parameters
    ----------
    survey : Survey
        A TESS workspace whose targets have been placed.
    sectors : collection of int
        Which; empty for all.
    detector : str
        ``3-4``, ``3-`` for all of a camera, empty for all.
    catalog : Path, optional
        A stored catalogue, whose columns join by id; without it there are those that cuvee needs.
    kind : {"parquet", "csv"}
        Format.

    Returns
    -------
    list of ChipTable
        Of the detectors that have stars. Columns: ``ID``, ``sector``, ``camera``, ``chip``; ``x``, ``y``, where the star is in the
        full-frame image, at the epoch of the frames, counted from 0 with the collateral columns; ``col``, ``row``, the same in science pixels;
        then the catalogue's.

    Raises
    ------
    ConfigError
        If the instrument has no such detectors.
    StoreError
        If they cannot be written.
    """
    if survey.instrument != "tess":
        raise ConfigError(f"Tables of detectors are made for TESS; {survey.path} holds data of {survey.device.title}.")
    with open_ledger(survey.paths, read_only=True) as ledger:
        placed = sorted(DataId.parse(str(row["data_id"])).group for row in ledger.rows("products", kind="targets"))
    groups = [
        group
        for group in placed
        if group.kind == "ffi"
        and group.detector.startswith(detector)
        and (not sectors or int(group.segment[1:]) in sectors)
    ]
    made = []
    for group in groups:
        sector, (camera, ccd) = int(group.segment[1:]), (int(k) for k in group.detector.split("-"))
        table = _table(read_targets(survey.paths.targets(group)), sector, camera, ccd, catalog)
        out = survey.paths.chip_table(sector, camera, ccd, kind)
        with atomic_path(out) as temporary:
            if kind == "csv":
                pa_csv.write_csv(table, temporary)
            else:
                pq.write_table(table, temporary, compression="zstd")
        made.append(ChipTable(out, sector, camera, ccd, table.num_rows))
    return made


def _table(targets: Targets, sector: int, camera: int, ccd: int, catalog: Path | None) -> pa.Table:
    order = np.argsort(targets.mag, kind="stable")
    n = order.size
    here = {
        "ID": targets.id[order],
        "sector": np.full(n, sector),
        "camera": np.full(n, camera),
        "chip": np.full(n, ccd),
        "x": targets.col[order] + FIRST_COL,
        "y": targets.row[order],
        "col": targets.col[order],
        "row": targets.row[order],
    }
    if catalog is None or n == 0:
        more = {"ra": targets.ra[order], "dec": targets.dec[order], "Tmag": targets.mag[order]}
        return pa.table({**here, **more})
    known = read_catalog(catalog)
    found = cone_search(catalog, *_around(targets))
    ids = pc.cast(found[known.roles["id"]], pa.int64())
    found = found.set_column(found.schema.get_field_index(known.roles["id"]), known.roles["id"], ids)
    at = pc.index_in(pa.array(here["ID"]), value_set=ids.combine_chunks())
    rest = [name for name in known.columns if name != known.roles["id"]]
    table = pa.table({name: value for name, value in here.items() if name == "ID" or name not in rest})
    for name in rest:
        table = table.append_column(name, pc.take(found[name], at))
    return table


def _around(targets: Targets) -> tuple[float, float, float]:
    """Return the circle around all targets: centre and radius (deg)."""
    places = unit_vectors(targets.ra, targets.dec)
    middle = places.mean(axis=0)
    middle /= np.linalg.norm(middle)
    reach = 2.0 * np.arcsin(min(1.0, 0.5 * float(np.linalg.norm(places - middle, axis=1).max())))
    ra, dec = angles(middle)
    return float(ra), float(dec), float(np.rad2deg(reach)) + 1e-6
