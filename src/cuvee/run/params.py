"""Which parameters a stage's result depends on: sections of the configuration, and files that the configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cuvee.config import Config
from cuvee.run.inputs import prf_paths
from cuvee.run.known_objects import ephemeris_paths
from cuvee.run.software import software_versions
from cuvee.run.stage import Stage
from cuvee.store.atomic import content_hash

__all__ = ["known_params", "params_of"]


def known_params(config: Config, root: Path) -> dict[str, Any]:
    """Return every parameter of a run, as the ledger keeps them with it.

    Parameters
    ----------
    config : Config
        The effective configuration.
    root : Path
        The workspace; mask file, kernels and ephemerides are named relative to it, and count by their content.

    Returns
    -------
    dict
        One item a section; ``mask``, ``prf_files``, ``kernels`` and ``ephemerides`` hold content hashes, where such files are named; ``software`` versions, which enter
        no recipe.
    """
    known = config.effective()
    known["software"] = software_versions()
    mask = config.extract.mask
    if mask is not None and mask != "pipeline":
        known["mask"] = content_hash(root / mask)
    if config.prf.files:
        known["prf_files"] = [content_hash(path) for path in prf_paths(config, root)]
    if config.time.kernel:
        known["kernels"] = [content_hash(root / kernel) for kernel in config.time.kernel]
    if config.moving.ephemerides:
        known["ephemerides"] = [content_hash(path) for path in ephemeris_paths(config, root)]
    return known


def params_of(stage: Stage, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that enter a stage's recipes.

    Parameters
    ----------
    stage : Stage
        The stage.
    known : mapping
        From `known_params`.
    """
    params = {section: known.get(section, {}) for section in stage.params}
    if "stamp" in stage.reads and "mask" in known:
        params["mask"] = known["mask"]
    if "prf" in stage.params and "prf_files" in known:
        params["prf_files"] = known["prf_files"]
    if "time" in stage.params and "kernels" in known:
        params["kernels"] = known["kernels"]
    if "moving" in stage.params and "ephemerides" in known:
        params["ephemerides"] = known["ephemerides"]
    return params
