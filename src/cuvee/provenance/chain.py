"""Follow the ledger's lineage from a star's light curve back to raw files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cuvee.config import CONFIG_NAME
from cuvee.errors import ConfigError, StoreError
from cuvee.instruments.registry import find_files
from cuvee.model.keys import DataId, patch_of
from cuvee.model.psf import StarModel
from cuvee.model.records import FluxBlock, Targets
from cuvee.pipeline import PIPELINE
from cuvee.provenance.settings import settings_of
from cuvee.run.params import params_of
from cuvee.store.atomic import content_hash
from cuvee.store.blocks import read_block
from cuvee.store.catalogs import PARTITION_ORDER
from cuvee.store.ledger import Ledger
from cuvee.store.sky_store import find_stored
from cuvee.store.star_models import read_star_model
from cuvee.store.targets import read_targets
from cuvee.survey import Survey

__all__ = ["Chain", "intact_products", "psf_products"]

_BEHIND = {
    "lightcurves": ("fluxes", "tracks", "targets"),
    "fluxes": ("reference", "stars", "neighbours"),
    "neighbours": ("partition",),
    "targets": ("partition",),
}
"""Which inputs of a product are products themselves, made by a stage before."""


def intact_products(
    root: Path, steps: Sequence[Mapping[str, Any]], kinds: Sequence[str]
) -> tuple[dict[str, Path], Path | None]:
    """Find products of a chain that are still what they were when the flux was made.

    Parameters
    ----------
    root : Path
        The workspace.
    steps : sequence of dict
        The chain of products behind a point.
    kinds : sequence of str
        Those that are wanted.

    Returns
    -------
    dict of str to Path
        By kind.
    Path or None
        The first one that is missing or has changed, or where it would be.
    """
    found: dict[str, Path] = {}
    for kind in kinds:
        step = next((step for step in steps if step["product"] == kind), None)
        path = root / str(step["path"]) if step is not None else root / kind
        if step is None or not path.is_file() or content_hash(path) != step["content"]:
            return found, path
        found[kind] = path
    return found, None


def psf_products(root: Path, steps: Sequence[Mapping[str, Any]]) -> tuple[StarModel, Targets, FluxBlock]:
    """Read what a PSF flux was made with, and where it was written.

    Parameters
    ----------
    root : Path
        The workspace.
    steps : sequence of dict
        The chain of products behind a point.

    Returns
    -------
    StarModel, Targets, FluxBlock

    Raises
    ------
    StoreError
        If one of them is missing, damaged, or no longer what it was.
    """
    products, changed = intact_products(root, steps, ("stars", "targets", "fluxes"))
    if changed is not None:
        raise StoreError(
            f"{changed} is not what the PSF flux was made with, so it cannot be redone; cuvee run makes it anew."
        )
    try:
        return read_star_model(products["stars"]), read_targets(products["targets"]), read_block(products["fluxes"])
    except StoreError as error:
        raise StoreError(f"The PSF flux cannot be redone: {error}") from error


class Chain:
    """The products from light curves back to the catalogue, each with what made it.

    Parameters
    ----------
    survey : Survey
        The workspace.
    ledger : Ledger
        Knows the products.

    Attributes
    ----------
    runs : dict of int to dict
        The runs that made them, by number, each with its versions and with where its parameters were set.
    """

    def __init__(self, survey: Survey, ledger: Ledger) -> None:
        self._survey = survey
        self._ledger = ledger
        self._text = (survey.path / CONFIG_NAME).read_text(encoding="utf-8")
        self._rows: dict[int, dict[str, Any]] = {}
        self._files: dict[DataId, dict[tuple[str, str], str]] = {}
        self._tables: dict[str, str] | None = None
        self.runs: dict[int, dict[str, Any]] = {}

    def steps(self, row: Mapping[str, Any], block: str = "") -> list[dict[str, Any]]:
        """List the products behind a star's light curve, nearest first.

        Parameters
        ----------
        row : mapping
            The star's row in ``light_curves``.
        block : str
            Only this block of frames; empty for all.
        """
        series = DataId(row["instrument"], row["segment"], row["detector"], row["kind"], row["series"])
        healpix = int(row["healpix"])
        steps: list[dict[str, Any]] = []
        patch = DataId(series.instrument, series.segment, series.detector, series.kind, part=patch_of(healpix))
        todo = [("lightcurves", str(patch))]
        seen = set(todo)

        def concerns(kind: str, data_id: str) -> bool:
            other = DataId.parse(data_id)
            if kind == "fluxes":
                return other.series == series.series and block in ("", other.part)
            if kind == "partition":  # the others hold neighbours only
                return other.part.rpartition("@")[2] == str(healpix >> 2 * (29 - PARTITION_ORDER))
            return kind not in ("reference", "stars") or other.series == series.series

        while todo:
            kind, data_id = todo.pop(0)
            step = self._step(kind, data_id, series.group)
            if step is None:
                continue
            steps.append(step)
            behind = [
                (source["input_kind"], source["input_id"])
                for wanted in _BEHIND.get(kind, ())
                for source in step["inputs"]
                if source["input_kind"] == wanted and concerns(wanted, source["input_id"])
            ]
            new = [key for key in behind if key not in seen]
            seen.update(new)
            todo = new + todo
        return steps

    def step(self, kind: str, unit: DataId) -> dict[str, Any] | None:
        """Return one product, with what made it; None where the ledger has none."""
        return self._step(kind, str(unit), unit.group)

    def _step(self, kind: str, data_id: str, group: DataId) -> dict[str, Any] | None:
        products = self._ledger.rows("products", kind=kind, data_id=data_id)
        if not products:
            return None
        product = products[0]
        unit = self._ledger.rows("units", stage=product["stage"], data_id=product["unit"])[0]
        run = self._run(unit["run_id"])
        stage = next((stage for stage in PIPELINE if stage.name == product["stage"]), None)
        inputs = [
            {
                **{name: source[name] for name in ("input_kind", "input_id", "content")},
                "path": self._path(source["input_kind"], source["input_id"], group),
            }
            for source in self._ledger.lineage(kind, data_id)
        ]
        return {
            "product": kind,
            "data_id": data_id,
            "path": product["path"],
            "content": product["content"],
            "recipe": product["recipe"],
            "stage": product["stage"],
            "version": None if stage is None else stage.version,
            "seconds": unit["seconds"],
            "run": unit["run_id"],
            "cuvee": run.get("version", ""),
            "started": run.get("started", ""),
            "sections": [] if stage is None else list(stage.params),
            "parameters": {} if stage is None else params_of(stage, run.get("config", {})),
            "inputs": inputs,
        }

    def _path(self, kind: str, data_id: str, group: DataId) -> str:
        """Return where an input's bytes are; empty for one that is only facts, or that the ledger has forgotten."""
        if kind == "table":
            if self._tables is None:
                root, catalogs = self._survey.path.resolve(), self._survey.paths.catalogs
                sources = [
                    str(find_stored(source, root, catalogs) or source) for source in self._survey.config.catalog.files
                ]
                try:
                    found = find_files(sources, ("*",), root)
                except ConfigError:
                    found = []
                self._tables = {Path(path).name: path for path in found}
            return self._tables.get(DataId.parse(data_id).part, "")
        if kind not in ("frame", "member", "stamp", "events", "spectrum"):
            return next((str(row["path"]) for row in self._ledger.rows("products", kind=kind, data_id=data_id)), "")
        if group not in self._files:
            rows = self._ledger.rows("files", segment=group.segment, detector=group.detector, kind=group.kind)
            self._files[group] = {(row["series"], row["name"]): row["path"] for row in rows}
            self._files[group] |= {(row["series"], ""): row["path"] for row in rows if row["kind"] != "ffi"}
        source = DataId.parse(data_id)
        return self._files[group].get((source.series, source.part), "")

    def _run(self, number: int) -> dict[str, Any]:
        if number not in self._rows:
            rows = self._ledger.rows("runs", id=number)
            self._rows[number] = row = rows[0] if rows else {}
            if row:
                self.runs[number] = {
                    **{name: row[name] for name in ("id", "started", "finished", "version", "command")},
                    "software": row["config"].get("software"),
                    "settings": settings_of(row, self._survey.config, self._text),
                }
        return self._rows[number]
