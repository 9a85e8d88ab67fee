"""What simulated photon lists of all instruments share: the workspace with its truth, and how a long table of events is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cuvee.errors import ConfigError, StoreError
from cuvee.simulate.photon_source import Source

__all__ = ["PIECE", "TARGET", "letters", "make_workspace", "write_list"]

PIECE = 1_000_000
"""Events that are drawn at a time, about."""

TARGET = {
    "TARGNAME": "SIMULATED-1", "RA_TARG": 175.55, "DEC_TARG": 26.7, "EQUINOX": 2000.0, "PROPOSID": 99999, "TARDESCR": "STAR;SIMULATED",
    "IMAGETYP": "TIME-TAG", "OBSMODE": "TIME-TAG", "OBSTYPE": "SPECTROSCOPIC", "EXPTYPE": "EXTERNAL/SCI",
}  # fmt: skip
"""Cards of the primary header that say what was observed, and how."""

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
"""Of which two tell the exposures of a visit apart."""

ORBIT_STEP = 5760.0
"""From one exposure's start to the next one's (s)."""


def make_workspace(
    out: Path,
    instrument: str,
    write: Callable[[Path, str, float, float, np.random.Generator], tuple[int, dict[str, Any]]],
    *,
    rootname: str,
    events: int,
    exposures: int,
    seconds: float,
    source: Source,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write a workspace of simulated exposures of one star, an orbit apart, and ``truth/truth.json``.

    Parameters
    ----------
    out : Path
        The workspace; must be absent or empty.
    instrument : str
        ``cos`` or ``stis``.
    write : callable
        Called for each exposure as ``write(folder, rootname, mjd, phase, rng)``, with the phase of the orbit at its start; returns how many events
        it has, and its truth.
    rootname : str
        Of the exposures, with ``{}`` where two letters tell them apart.
    events, exposures : int
        How many events each exposure should have, and how many exposures.
    seconds : float
        Length of each.
    source : Source
        How the star varies.
    seed : int
        Another seed, other events.
    progress : callable, optional
        Called as ``progress(done, exposures)``.

    Returns
    -------
    int
        Events of all exposures.

    Raises
    ------
    ConfigError
        If an argument cannot be used, or the folder is not empty.
    StoreError
        If the workspace cannot be written.
    """
    from cuvee.config import write_workspace

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} already exists and is not an empty folder; name a new one for the simulation.")
    if events < 100 or exposures < 1 or not 10.0 <= seconds <= 20_000.0:
        raise ConfigError(
            f"A simulation needs 100 events, one exposure and 10 to 20,000 seconds (got {events}, {exposures}, {seconds:g})."
        )
    if exposures > len(LETTERS) ** 2:
        raise ConfigError(
            f"A visit has names for {len(LETTERS) ** 2:,} exposures at most (got {exposures:,}); make several simulations."
        )
    truth: dict[str, Any] = {"source": asdict(source), "seconds": seconds, "exposures": {}}
    total = 0
    try:
        for folder in ("RAW", "truth"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        for k in range(exposures):
            name, rng = rootname.format(letters(k)), np.random.default_rng([seed, k])
            mjd = 58500.0 + k * ORBIT_STEP / 86400.0
            n_event, truth["exposures"][name] = write(out / "RAW", name, mjd, 0.05 + 0.13 * k, rng)
            total += n_event
            if progress is not None:
                progress(k + 1, exposures)
        (out / "truth" / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    except OSError as error:
        raise StoreError(
            f"Cannot write the simulation to {out}: {error.strerror}; free some space, or name another folder."
        ) from error
    write_workspace(out, instrument=instrument, data=["RAW"], catalog=[], photons=True)
    return total


def letters(k: int) -> str:
    """Return two letters or digits that tell exposures apart."""
    return LETTERS[k // len(LETTERS)] + LETTERS[k % len(LETTERS)]


def write_list(
    path: Path,
    primary: fits.Header,
    header: fits.Header,
    forms: Sequence[str],
    rows: Iterable[NDArray[np.void]],
    dtype: np.dtype[Any],
    tables: Mapping[str, NDArray[np.void]],
) -> int:
    """Write a photon list, some rows at a time: no more than a piece of it is ever in memory.

    Parameters
    ----------
    path : Path
        The file.
    primary, header : Header
        Of the file, and of its table of events.
    forms : sequence of str
        The columns' formats (TFORM).
    rows : iterable of structured arrays
        The events, in order.
    dtype : dtype
        Of a row, as it lies in the file.
    tables : mapping of str to structured array
        What comes behind the events, by name.

    Returns
    -------
    int
        How many events there are.
    """
    empty = fits.BinTableHDU(np.zeros(0, dtype), header=header, name="EVENTS")
    for k, form in enumerate(forms, 1):
        empty.header[f"TFORM{k}"] = form
    cards = empty.header.copy()
    cards.update(header)  # the table has dropped those of its columns
    n_event = 0
    with path.open("wb") as file:
        file.write(fits.PrimaryHDU(header=primary).header.tostring().encode())
        at = file.tell()
        file.write(cards.tostring().encode())
        for some in rows:
            file.write(some.tobytes())
            n_event += some.size
        file.write(bytes(-file.tell() % 2880))
        for name, table in tables.items():
            file.write(fits.BinTableHDU(table, name=name).header.tostring().encode())
            data = table.tobytes()
            file.write(data + bytes(-len(data) % 2880))
        cards["NAXIS2"] = n_event
        file.seek(at)
        file.write(cards.tostring().encode())
    return n_event
