"""Moving objects for the light curves: paths that were found, and those of the tables that ``[moving] ephemerides`` names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from cuvee.config import Config
from cuvee.errors import ConfigError
from cuvee.instruments.registry import find_files
from cuvee.model.moving import Ephemerides, Tracks
from cuvee.model.records import FluxBlock, Footprint
from cuvee.moving import known_tracks
from cuvee.store.ephemerides import read_ephemerides
from cuvee.store.numbers import read_columns

__all__ = ["ephemeris_paths", "found_tracks", "read_known", "tracks_over"]


def ephemeris_paths(config: Config, root: Path) -> list[Path]:
    """Return the tables that ``[moving] ephemerides`` names.

    Parameters
    ----------
    config : Config
        The effective configuration.
    root : Path
        The workspace.

    Raises
    ------
    ConfigError
        If one is missing.
    """
    if not config.moving.ephemerides:
        return []
    try:
        return [Path(path) for path in find_files(config.moving.ephemerides, ("*",), root)]
    except ConfigError as error:
        raise ConfigError(f"[moving] ephemerides: {error}") from error


def read_known(config: Config, root: Path) -> Ephemerides | None:
    """Read the tables that ``[moving] ephemerides`` names; None where it names none.

    Parameters
    ----------
    config, root
        As `ephemeris_paths` takes them.

    Raises
    ------
    ConfigError
        If one cannot be read.
    """
    states = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in ephemeris_paths(config, root))
    return _read(states) if states else None


@lru_cache(maxsize=1)
def _read(states: tuple[tuple[Path, int, int], ...]) -> Ephemerides:
    """Read them once a worker, and again where one has changed."""
    return read_ephemerides([path for path, _, _ in states])


@lru_cache(maxsize=2)
def found_tracks(path: Path, content: str) -> dict[str, Tracks]:  # noqa: ARG001 - the same path may come to hold others
    """Read the paths that were found on a detector, by series."""
    columns = read_columns(path)
    series = columns.pop("series")
    return {
        str(name): Tracks(**{key: values[series == name] for key, values in columns.items()})
        for name in np.unique(series)
    }


def tracks_over(
    footprint: Footprint,
    time_ra: float,
    time_dec: float,
    blocks: Sequence[FluxBlock],
    known: Ephemerides | None,
    zero_point: float,
) -> tuple[Tracks, ...]:
    """Return the paths of known objects over the pixels of a series while it was observed.

    Parameters
    ----------
    footprint, time_ra, time_dec, known, zero_point
        As `cuvee.moving.known_tracks` takes them; without known objects there are no paths.
    blocks : sequence of FluxBlock
        The series' blocks, for their times.
    """
    if known is None:
        return ()
    mid = np.concatenate([block.moments.mid for block in blocks])
    mid = mid[np.isfinite(mid)]
    if not mid.size:
        return ()
    # The times of stars differ from those of the frames by a minute.
    span = (float(mid.min()) - 0.1, float(mid.max()) + 0.1)
    return (_over(_Known(known), footprint, time_ra, time_dec, span, zero_point),)


class _Known:
    """Ephemerides as a key: the same tables are the same record."""

    def __init__(self, known: Ephemerides) -> None:
        self.known = known

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and other.known is self.known

    def __hash__(self) -> int:
        return id(self.known)


@lru_cache(maxsize=4)
def _over(
    key: _Known, footprint: Footprint, ra: float, dec: float, span: tuple[float, float], zero_point: float
) -> Tracks:
    """All patches of a detector ask for the same paths."""
    return known_tracks(key.known, footprint, ra, dec, span, zero_point)
