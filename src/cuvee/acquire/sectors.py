"""Observations of one sector and of several, told apart by their obs_id; which runs over several sectors are worth having."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from cuvee.errors import ConfigError

__all__ = ["Observed", "choose_runs", "observed", "parse_sectors"]

_ONE = re.compile(r"tess(?P<stamp>\d{13})-s(?P<first>\d{4})-(?P<target>\d{16})-\d{4}-[a-z](?P<pin>)(_fast)?")
_SEVERAL = re.compile(r"tess(?P<stamp>\d{13})-s(?P<first>\d{4})-s(?P<last>\d{4})-(?P<target>\d{16})(-(?P<pin>\d{5}))?")
_HIGHEST = 9999


@dataclass(frozen=True, slots=True)
class Observed:
    """What the obs_id of a TESS observation of a star says.

    Parameters
    ----------
    obs_id : str
        As the archive has it.
    target : int
        TIC.
    first, last : int
        Sectors.
    several : bool
        Whether it is a run over several sectors, such as those of data validation; such a run may be of one sector.
    stamp, pin : str
        When it was made: digits of a time, and of the pipeline run where it has them.
    """

    obs_id: str
    target: int
    first: int
    last: int
    several: bool
    stamp: str
    pin: str


def observed(obs_id: str) -> Observed | None:
    """Say what an obs_id means; None where it is of no single star."""
    if match := _ONE.fullmatch(obs_id):
        return Observed(
            obs_id, int(match["target"]), int(match["first"]), int(match["first"]), False, match["stamp"], ""
        )
    if match := _SEVERAL.fullmatch(obs_id):
        first, last = int(match["first"]), int(match["last"])
        return Observed(obs_id, int(match["target"]), first, last, True, match["stamp"], match["pin"] or "")
    return None


def choose_runs(runs: Iterable[Observed], sectors: Collection[int] = ()) -> list[Observed]:
    """Return the runs over several sectors that are worth having: of each star the newest, and those that it has nothing of.

    A run whose sectors all lie in those of another is left out; of what remains the newest is taken (the latest last sector, then the
    widest, then the latest made), then each older one that shares no sector with those taken.

    Parameters
    ----------
    runs : iterable of Observed
        Of any stars.
    sectors : collection of int, optional
        Only runs that begin and end within these count at all; a wider run must not hide one that would have been taken.

    Returns
    -------
    list of Observed
        By star, newest first.
    """
    of_star: dict[int, list[Observed]] = {}
    for run in runs:
        if not sectors or (run.first >= min(sectors) and run.last <= max(sectors)):
            of_star.setdefault(run.target, []).append(run)
    chosen = []
    for star in sorted(of_star):
        newest_first = sorted(of_star[star], key=_age, reverse=True)
        taken: list[Observed] = []
        for run in newest_first:
            inside = any(_within(run, other) for other in newest_first)
            if not inside and all(run.last < other.first or run.first > other.last for other in taken):
                taken.append(run)
        chosen += taken
    return chosen


def _age(run: Observed) -> tuple[int, int, str, str]:
    return run.last, run.last - run.first, run.stamp, run.pin


def _within(run: Observed, other: Observed) -> bool:
    same = (run.first, run.last) == (other.first, other.last)
    return not same and other.first <= run.first and run.last <= other.last


def parse_sectors(words: Sequence[str | int]) -> tuple[int, ...]:
    """Return the sectors that texts such as ``1-3`` and ``7`` name, each once, in their order.

    Raises
    ------
    ConfigError
        If a text names none.
    """
    found: set[int] = set()
    for word in ",".join(str(word) for word in words).replace(" ", ",").split(","):
        if not word:
            continue
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= _HIGHEST:
            raise ConfigError(f"A sector is a number from 1, or two as in 1-3, not {word!r}.")
        found.update(range(first, last + 1))
    return tuple(sorted(found))
