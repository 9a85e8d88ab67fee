"""PRF and stars of a series on disk."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cuvee.errors import StoreError
from cuvee.model.prf import Prf
from cuvee.model.psf import ModelImage, StarModel
from cuvee.store.atomic import atomic_path

__all__ = ["read_star_model", "write_star_model"]

_STARS = {"id": np.int64, "col": np.float64, "row": np.float64, "flux": np.float64}
_IMAGES = ("image", "light", "error")
_PLACE = ("level", "col0", "row0", "n_frame")


def write_star_model(path: Path, model: StarModel) -> None:
    """Write a star model as numpy's ``.npz``, atomically and always with the same bytes.

    Parameters
    ----------
    path : Path
        Where it goes.
    model : StarModel
        What to write.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    prf = {name: value for name, value in asdict(model.prf).items() if name != "coef"}
    facts: dict[str, Any] = {"series": model.series, "prf": prf, "numbers": dict(model.numbers)}
    arrays: dict[str, Any] = {name: np.ascontiguousarray(getattr(model, name), dtype) for name, dtype in _STARS.items()}
    if model.shown is not None:
        facts["shown"] = {name: getattr(model.shown, name) for name in _PLACE}
        arrays |= {name: np.ascontiguousarray(getattr(model.shown, name), np.float32) for name in _IMAGES}
    text = np.frombuffer(json.dumps(facts, sort_keys=True).encode(), np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, facts=text, coef=np.ascontiguousarray(model.prf.coef, np.float64), **arrays)


def read_star_model(path: Path) -> StarModel:
    """Read what `write_star_model` wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    StarModel

    Raises
    ------
    StoreError
        If the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            facts = json.loads(file["facts"].tobytes())
            prf: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in facts["prf"].items()
            }
            stars = {name: file[name] for name in _STARS}
            shown = ModelImage(*(file[name] for name in _IMAGES), **facts["shown"]) if "shown" in facts else None
            return StarModel(
                facts["series"], Prf(coef=file["coef"], **prf), **stars, numbers=facts["numbers"], shown=shown
            )
    except FileNotFoundError as error:
        raise StoreError(f"The PRF {path} is missing; run again to make it anew.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise StoreError(f"The PRF {path} is damaged ({error}); delete it and run again.") from error
