"""One star's light curve: arrays as attributes, and the way into other people's tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import ConfigError
from cuvee.export import star_title
from cuvee.model.flags import FLAGS, QUALITY, default_mask
from cuvee.model.records import BJD_OFFSET
from cuvee.store.curve_table import point_column

if TYPE_CHECKING:
    from astropy.timeseries import TimeSeries
    from matplotlib.figure import Figure

__all__ = ["LightCurve"]


@dataclass(frozen=True)
class LightCurve:
    """Every observation of one star, in time order.

    The columns of the light-curve store are attributes, each an array of shape (n_point,): those below and those of each
    aperture, ``aperture1_flux``, ``aperture1_flux_err``, ... (e-/s). A column that one of the observations lacks is NaN
    there. Points without a time stand last.

    Parameters
    ----------
    instrument : str
        Who saw it.
    id : int or str
        Catalogue id; of a photon counter the target's name.
    ra, dec : float
        Catalogue position (deg, ICRS, epoch 2000).
    mag : float
        Magnitude in the instrument's band.
    observations : tuple of mapping
        The rows of the store, in time order: ``segment, detector, series, col, row, crowding, best``.
    observation : int array, shape (n_point,)
        Which of them each point belongs to.
    points : mapping of str to array
        The columns by name.
    columns : mapping of str to (unit, meaning)
        What the store says of them.
    """

    instrument: str
    id: Any
    ra: float
    dec: float
    mag: float
    observations: tuple[Mapping[str, Any], ...]
    observation: NDArray[np.int64]
    points: Mapping[str, NDArray[Any]]
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> NDArray[Any]:
        points = self.__dict__.get("points", {})
        if name not in points:
            raise AttributeError(f"A light curve has no column {name!r}; it has {', '.join(points)}.")
        column: NDArray[Any] = points[name]
        return column

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.points]

    def __len__(self) -> int:
        return int(self.observation.size)

    def only(self, series: str) -> dict[str, NDArray[Any]]:
        """Return the columns of one of its observations.

        Raises
        ------
        ConfigError
            If it has none of that name.
        """
        found = [k for k, row in enumerate(self.observations) if row["series"] == series]
        if not found:
            known = ", ".join(str(row["series"]) for row in self.observations)
            raise ConfigError(f"{self.name} has no exposure {series!r}; it has {known}.")
        here = np.isin(self.observation, found)
        return {name: values[here] for name, values in self.points.items()}

    @property
    def time(self) -> NDArray[np.float64]:
        """BTJD = BJD_TDB - 2457000, mid-exposure (d)."""
        return self.points["time"]

    @property
    def cadence(self) -> NDArray[Any]:
        """The mission's cadence number."""
        return self.points["cadence"]

    @property
    def quality(self) -> NDArray[Any]:
        """The mission's quality bits."""
        return self.points["quality"]

    @property
    def flag(self) -> NDArray[Any]:
        """Our own bits."""
        return self.points["flag"]

    @property
    def flux(self) -> NDArray[Any]:
        """Flux in the best aperture (e-/s)."""
        return self.points["flux"]

    @property
    def flux_err(self) -> NDArray[Any]:
        """One standard deviation of ``flux`` (e-/s)."""
        return self.points["flux_err"]

    @property
    def background(self) -> NDArray[Any]:
        """Background under the star (e-/s/pixel)."""
        return self.points["background"]

    @property
    def centroid_col(self) -> NDArray[Any]:
        """Flux-weighted column (px)."""
        return self.points["centroid_col"]

    @property
    def centroid_row(self) -> NDArray[Any]:
        """Flux-weighted row (px)."""
        return self.points["centroid_row"]

    @property
    def name(self) -> str:
        """What catalogues call the star, for example ``TIC 25155310``."""
        return star_title(self.instrument, self.id)

    @property
    def good(self) -> NDArray[np.bool_]:
        """The default mask: finite time and flux, and no bit of ``quality`` or ``flag`` that the registry calls bad."""
        quality_mask = default_mask(QUALITY.get(self.instrument, ()))
        good: NDArray[np.bool_] = np.isfinite(self.time)
        good &= np.isfinite(self.points.get("net", self.flux))  # photons without a calibration have rates, but no flux
        good &= (self.quality & quality_mask) == 0
        good &= (self.flag & default_mask(FLAGS)) == 0
        return good

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with a row a point: the columns, and ``segment`` and ``detector``.

        Raises
        ------
        ConfigError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ConfigError("to_pandas needs pandas; install it with: pip install pandas") from error
        frame = pd.DataFrame(dict(self.points))
        for name in ("segment", "detector"):
            words = [str(row[name]) for row in self.observations]
            frame[name] = np.array(words, dtype=object)[self.observation]
        return frame

    def to_timeseries(self) -> TimeSeries:
        """Return an `astropy.timeseries.TimeSeries` with units; points without a time are left out."""
        from astropy.time import Time
        from astropy.timeseries import TimeSeries

        keep = np.isfinite(self.time)
        # Two numbers keep the full precision of BTJD.
        series = TimeSeries(
            time=Time(BJD_OFFSET, self.time[keep], format="jd", scale="tdb"), data=self._quantities(keep)
        )
        series.meta = {"OBJECT": self.name, "RA": self.ra, "DEC": self.dec}
        return series

    def to_lightkurve(self) -> Any:
        """Return a `lightkurve.LightCurve`; points without a time are left out.

        Raises
        ------
        ConfigError
            If lightkurve is not installed.
        """
        try:
            import lightkurve
        except ImportError as error:
            raise ConfigError(
                "to_lightkurve needs lightkurve; install it with: pip install 'cuvee[lightkurve]'"
            ) from error
        from astropy.time import Time

        keep = np.isfinite(self.time)
        columns = self._quantities(keep)
        columns["cadenceno"] = columns.pop("cadence")
        time = Time(self.time[keep], format="btjd", scale="tdb")  # a format that lightkurve registers
        meta = {
            "LABEL": self.name,
            "TARGETID": self.id,
            "RA": self.ra,
            "DEC": self.dec,
            "MISSION": self.instrument.upper(),
        }
        return lightkurve.LightCurve(time=time, data=columns, meta=meta)

    def plot(self, period: float | None = None) -> Figure:
        """Draw the light curve, flagged points marked; folded as well when a period (d) is given."""
        from cuvee.quicklook import figure_light_curve

        return figure_light_curve(self, period)

    def _quantities(self, keep: NDArray[np.bool_]) -> dict[str, Any]:
        from astropy import units as u

        columns: dict[str, Any] = {}
        for name, values in self.points.items():
            if name != "time":
                unit = (self.columns.get(name) or point_column(name))[0]
                columns[name] = u.Quantity(values[keep], unit) if unit else values[keep]
        return columns
