"""The PRF files of TESS: one image a place of a CCD."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import ConfigError

__all__ = ["PrfFile", "read_prf_files"]

PrfFile = tuple[dict[str, Any], NDArray[np.float64]]

CARDS = ("CAM", "CCD", "CCD_CREF", "CCD_RREF", "NSAMP")
"""Which detector and which place on it (FFI column and row, counted from 1), and samples a pixel."""


def read_prf_files(paths: Sequence[Path]) -> list[PrfFile]:
    """Read the PRF files that the mission publishes.

    Parameters
    ----------
    paths : sequence of Path
        FITS files, compressed or not.

    Returns
    -------
    list of (cards, image)
        Cards of the primary header, and the samples.

    Raises
    ------
    ConfigError
        If a file cannot be read, or is no PRF.
    """
    from astropy.io import fits

    files = []
    for path in paths:
        try:
            with fits.open(path, memmap=False) as hdus:
                header, image = hdus[0].header, hdus[0].data
                cards = {name: header[name] for name in CARDS}
        except FileNotFoundError as error:
            raise ConfigError(f"[prf] files: there is no file {path}.") from error
        except KeyError as error:
            raise ConfigError(
                f"[prf] files: {path} is no PRF of TESS, for its header lacks {error.args[0]!r}: name the mission's own files, unchanged."
            ) from error
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"[prf] files: {path} cannot be read: {error}.") from error
        if image is None or image.ndim != 2 or not np.isfinite(image).all():
            raise ConfigError(f"[prf] files: {path} holds no image of a PRF: fetch it again or leave it out.")
        files.append((cards, image.astype(np.float64)))
    return files
