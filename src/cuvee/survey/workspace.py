"""A workspace to read from: its light curves by star, by position and as tables."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cuvee.config import Config, load
from cuvee.errors import ConfigError
from cuvee.export import (
    FORMATS,
    PIXEL_FORMATS,
    RawSeries,
    export,
    export_events,
    export_photons,
    export_pixels,
    observations,
)
from cuvee.instruments.registry import instrument
from cuvee.model.instrument import Instrument
from cuvee.store.hats import find_star, read_light_curves
from cuvee.store.paths import Paths
from cuvee.survey import pixels
from cuvee.survey.exposures import Exposures, batches_of
from cuvee.survey.light_curve import LightCurve
from cuvee.survey.raw_series import raw_series

if TYPE_CHECKING:
    from cuvee.quicklook import Residual, Stamp
    from cuvee.quicklook.photons import Counted

__all__ = ["Survey", "open_survey"]

_NEAR = 21.0
"""How far from a given position a star may be to be meant (arcsec): one TESS pixel."""
_STAR = ("id", "ra", "dec", "mag")
_ARROW = {int: pa.int64(), float: pa.float64(), str: pa.string()}


@dataclass(frozen=True, slots=True)
class Survey:
    """A workspace, to read from; `open_survey` makes it.

    Parameters
    ----------
    path : Path
        The workspace.
    config : Config
        Its configuration.
    """

    path: Path
    config: Config

    @property
    def instrument(self) -> str:
        """Name of the instrument."""
        return self.config.workspace.instrument

    @property
    def device(self) -> Instrument:
        """The instrument, which reads the raw files."""
        return instrument(self.instrument)

    @property
    def paths(self) -> Paths:
        """Names of its files."""
        places = self.config.workspace
        return Paths.of_project(self.path, places.base, places.red, places.lc, places.project, self.config.database.url)

    def light_curves(
        self,
        columns: Sequence[str] | None = None,
        ids: Iterable[int] | None = None,
        segment: str = "",
        detector: str = "",
    ) -> pa.Table:
        """Return light curves as a table, one row a star and observation.

        Parameters
        ----------
        columns : sequence of str, optional
            Names of columns, ``lc.flux`` for one of the nested ones; all by default.
        ids : iterable of int, optional
            Only these stars.
        segment, detector : str
            Only this observation; empty for all.

        Returns
        -------
        pyarrow.Table

        Raises
        ------
        StoreError
            If there are none yet, or a file is damaged, or there is no such column.
        """
        return read_light_curves(self.paths.light_curves, self.instrument, columns, ids, segment, detector)

    @property
    def photons(self) -> bool:
        """Whether its instrument counts photons: stars then have names, not numbers."""
        return self.device.photons is not None

    def light_curve(self, id: int | str) -> LightCurve:  # noqa: A002 (the column's name)
        """Return every observation of one star, in time order.

        Parameters
        ----------
        id : int or str
            Catalogue id; of a photon counter the target's name.

        Returns
        -------
        LightCurve

        Raises
        ------
        ConfigError
            If the star has no light curve.
        StoreError
            If there are no light curves yet, or a file is damaged.
        """
        seen = list(observations(find_star(self.paths.light_curves, self.instrument, id if self.photons else int(id))))
        if not seen:
            n_star = len(pc.unique(self.light_curves(columns=["id"])["id"]))
            raise ConfigError(
                f"There is no light curve of star {id} in {self.path}, which holds {n_star} stars; look a star up by its "
                "position: cuvee show 'RA DEC', or survey.find(ra, dec)."
            )
        seen.sort(key=lambda o: float(np.nanmin(o.points["time"])) if np.isfinite(o.points["time"]).any() else np.inf)
        observation = np.repeat(np.arange(len(seen)), [o.points["time"].size for o in seen])
        names = dict.fromkeys(name for o in seen for name in o.points)
        points = {name: np.concatenate([o.column(name) for o in seen]) for name in names}
        order = np.argsort(points["time"], kind="stable")
        row = seen[0].row
        return LightCurve(
            self.instrument,
            row["id"] if self.photons else int(row["id"]),
            float(row["ra"]),
            float(row["dec"]),
            float(row["mag"]),
            tuple({name: value for name, value in o.row.items() if name not in (*_STAR, "_healpix_29")} for o in seen),
            observation[order],
            {name: values[order] for name, values in points.items()},
            {name: said for o in seen for name, said in o.columns.items()},
        )

    @property
    def counted(self) -> Exposures:
        """What was counted of photons: exposures, composites, the lists behind them."""
        return Exposures(self.paths, self.device, self.config.events, self.index)

    def exposure(self, series: str) -> Counted:
        """Return what was counted in an exposure of photons: facts, and arrays by name; raises ConfigError for one that there is not."""
        return self.counted.exposure(series)

    def composites(self, target: str = "") -> list[tuple[Mapping[str, Any], dict[str, np.ndarray[Any, Any]]]]:
        """Return composites of photons (of a target): what is known of each, and its columns by name; in the order of their names."""
        return self.counted.composites(target)

    def diagnostics(self, ids: Iterable[int] | None = None, segment: str = "", detector: str = "") -> pa.Table:
        """Return what sums up light curves, one row a star and observation: noise, TASOC's diagnostics, what went wrong.

        Parameters
        ----------
        ids : iterable of int, optional
            Only these stars.
        segment, detector : str
            Only this observation; empty for all.

        Returns
        -------
        pyarrow.Table
            The columns of the ledger's table ``light_curves`` (`cuvee.store.schema`), in the order of the ids; null where there is no
            such number. The same of every method, and more, is in ``LC/INSTRUMENT/summary`` (`cuvee.metrics.summarise`).

        Raises
        ------
        StoreError
            If nothing has been run yet, or the ledger is damaged.
        """
        from cuvee.store.own_ledger import open_ledger
        from cuvee.store.schema import TABLES

        equal: dict[str, Any] = {"instrument": self.instrument}
        equal |= {name: value for name, value in (("segment", segment), ("detector", detector)) if value}
        names = [column.name for column in TABLES["light_curves"].columns]
        with open_ledger(self.paths, read_only=True) as ledger:
            columns = ledger.columns("light_curves", names, **equal)
        kinds = {column.name: _ARROW[column.type.python_type] for column in TABLES["light_curves"].columns}
        table = pa.table({name: pa.array(values, kinds[name]) for name, values in zip(names, columns, strict=True)})
        return table if ids is None else table.filter(pc.is_in(table["id"], pa.array(list(ids), pa.int64())))

    def find(self, ra: float, dec: float, radius: float = _NEAR) -> pa.Table:
        """Find stars with light curves by position.

        Parameters
        ----------
        ra, dec : float
            Position (deg, ICRS).
        radius : float
            How far to look (arcsec).

        Returns
        -------
        pyarrow.Table
            ``id, ra, dec, mag, separation`` (arcsec), one row a star, nearest first.

        Raises
        ------
        ConfigError
            If the position is none.
        StoreError
            If there are no light curves yet.
        """
        if not (0.0 <= ra <= 360.0 and -90.0 <= dec <= 90.0):
            raise ConfigError(f"{ra} {dec} is no position: RA runs from 0 to 360 and Dec from -90 to 90 degrees.")
        table = self.light_curves(columns=_STAR)
        first = np.unique(table["id"].to_numpy(), return_index=True)[1]
        lon, lat = np.radians(table["ra"].to_numpy()[first]), np.radians(table["dec"].to_numpy()[first])
        # The haversine formula, which is exact for small angles (Sinnott 1984, Sky & Telescope 68, 159).
        half = np.sin(0.5 * (lat - np.radians(dec))) ** 2
        half += np.cos(lat) * np.cos(np.radians(dec)) * np.sin(0.5 * (lon - np.radians(ra))) ** 2
        separation = np.degrees(2.0 * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0)))) * 3600.0
        nearest = np.argsort(separation, kind="stable")
        nearest = nearest[separation[nearest] <= radius]
        return table.take(first[nearest]).append_column("separation", pa.array(separation[nearest]))

    def resolve(self, star: str) -> Any:
        """Turn what a user calls a star into its catalogue id.

        Parameters
        ----------
        star : str
            An id, with or without its catalogue (``TIC 25155310``), or a position in degrees (``63.37 -69.23``); of a photon counter a
            target's name, in which capitals, blanks and hyphens do not matter.

        Returns
        -------
        int or str
            The id as given, or that of the star nearest the position, within one TESS pixel.

        Raises
        ------
        ConfigError
            If it is neither, or no star is there.
        """
        if self.photons:
            names = sorted(set(self.light_curves(columns=["id"])["id"].to_pylist()))
            same = [name for name in names if _plain(name) == _plain(star)]
            if same:
                return str(same[0])
        elif number := re.fullmatch(r"\s*(?:TIC|EPIC|KIC)?\s*(\d+)\s*", star, re.IGNORECASE):
            return int(number[1])
        try:
            ra, dec = (float(word) for word in re.split(r"[\s,]+", star.strip()))
        except ValueError:
            if self.photons:
                near = difflib.get_close_matches(star.upper(), names, n=1, cutoff=0.5)
                known = (
                    f"did you mean {near[0]}?"
                    if near
                    else f"there are {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}."
                )
                raise ConfigError(f"There is no target {star!r} in {self.path}; {known}") from None
            raise ConfigError(
                f"{star!r} is neither a catalogue id nor a position; write 25155310, or '63.3739 -69.2268' in degrees."
            ) from None
        found = self.find(ra, dec)
        if found.num_rows == 0:
            nearest = self.find(ra, dec, radius=np.inf).slice(0, 1).to_pylist()[0]
            raise ConfigError(
                f"No star within {_NEAR:.0f} arcsec of {ra} {dec} has a light curve in {self.path}; "
                f"the nearest is {nearest['id']}, {nearest['separation']:.0f} arcsec away."
            )
        chosen = found["id"][0].as_py()
        return str(chosen) if self.photons else int(chosen)

    def export(
        self,
        folder: str | Path,
        format: str = "fits",  # noqa: A002 (the word of the command line)
        ids: Collection[Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
        size: int | None = None,
    ) -> int:
        """Write light curves, or with ``tpf`` and ``hdf5`` the pixels behind them, into files of their own.

        See `cuvee.export.export` and `cuvee.export.export_pixels`.
        """
        if self.photons:
            if format in PIXEL_FORMATS or size is not None:
                raise ConfigError(
                    f"{self.device.title} counts photons, and has no pixels; choose from {', '.join([*FORMATS, 'events'])}."
                )
            if format == "events":
                return export_events(self.counted, ids, Path(folder), progress)
            if format not in FORMATS:
                raise ConfigError(
                    f"There is no export format {format!r}; choose from {', '.join([*FORMATS, 'events'])}."
                )
            return export_photons(self.counted, ids, format, Path(folder), progress)
        if format in PIXEL_FORMATS:
            return export_pixels(self, ids, format, Path(folder), size, progress)
        if format == "events":
            raise ConfigError(
                f"{self.device.title} counts no photons, and so has no events; choose from {', '.join(FORMATS)}."
            )
        if format not in FORMATS:
            raise ConfigError(
                f"There is no export format {format!r}; choose from {', '.join([*FORMATS, *PIXEL_FORMATS])}."
            )
        if size is not None:
            raise ConfigError(f"--size is for pixels ({', '.join(PIXEL_FORMATS)}); leave it out for {format}.")
        return export(self, ids, format, Path(folder), progress)

    def raw_series(self, segment: str, detector: str, series: str, ids: Collection[int]) -> RawSeries:
        """Return the raw files behind light curves, and what is needed to cut some stars out of them."""
        return raw_series(self.paths, self.instrument, segment, detector, series, ids)

    def index(self, ids: Collection[int] | None = None) -> pa.Table:
        """Return ``id, segment, detector`` of the rows there are (of some stars); raises ConfigError for a star without any."""
        table = self.light_curves(columns=["id", "segment", "detector"], ids=ids)
        missing = sorted(set(ids or ()) - set(table["id"].to_pylist()))
        if missing:
            self.light_curve(missing[0])  # says what is wrong
        return table

    def batches(self, ids: Collection[int] | None = None) -> Iterator[pa.Table]:
        """Walk through the light curves (of some stars), some hundred stars of one observation at a time."""
        return batches_of(self.paths, self.instrument, self.index(ids))

    def stamp(self, light_curve: LightCurve, observation: int = 0) -> Stamp | None:
        """Cut the surroundings of a star out of its reference image; see `cuvee.survey.pixels.stamp`."""
        return pixels.stamp(self.paths, self.instrument, light_curve, observation)

    def residual(self, light_curve: LightCurve, observation: int = 0) -> Residual | None:
        """Return a star's mean pixels beside the PSF model of them; see `cuvee.survey.pixels.residual`."""
        return pixels.residual(self.paths, self.instrument, light_curve, observation)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).upper()


def open_survey(path: str | Path) -> Survey:
    """Open a workspace to read from it; also known as ``cuvee.open``.

    Parameters
    ----------
    path : str or Path
        The workspace.

    Returns
    -------
    Survey

    Raises
    ------
    ConfigError
        If the folder is no workspace, or its configuration is wrong.
    """
    folder = Path(path).expanduser()
    return Survey(folder, load(folder))
