"""Everything that is behind a star's fluxes, and behind one of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cuvee import __version__
from cuvee.config import CONFIG_NAME
from cuvee.errors import ConfigError
from cuvee.instruments.registry import instrument
from cuvee.model.flags import FLAGS, Bit, describe
from cuvee.model.keys import DataId
from cuvee.provenance.chain import Chain
from cuvee.provenance.point import explain_point, file_of
from cuvee.run.software import software_versions
from cuvee.store.own_ledger import open_ledger
from cuvee.survey import LightCurve, Survey

__all__ = ["explain_star", "nearest", "plain_facts", "points_of"]

FAR = 0.5
"""A time further than this from every point of a star (d) is a slip of the user's."""


def explain_star(survey: Survey, star: int, time: float | None = None) -> dict[str, Any]:
    """Gather everything that is behind a star's fluxes.

    Parameters
    ----------
    survey : Survey
        The workspace.
    star : int
        Catalogue id.
    time : float, optional
        Explain the point nearest this time (BTJD) too.

    Returns
    -------
    dict
        Ready for JSON (what is not a number is None):

        ``id``, ``ra``, ``dec``, ``mag``, ``instrument``, ``workspace``, ``configuration`` (the file)
            the star, and where it was looked up;
        ``software_now``
            versions of cuvee, Python and the packages that compute, as installed now;
        ``runs``
            for each run that made a product below: ``id``, ``started``, ``finished``, ``version`` (of cuvee), ``command``, ``software`` (versions then; None
            where that was not written down) and ``settings``: each parameter's ``section``, ``key``, ``value``, ``set`` (where, in words), ``line`` of
            ``cuvee.toml`` and value ``now``;
        ``observations``
            with ``time`` only that of the point. Each has the columns of the light curve's row; ``points``, ``good``, and how many of them
            carry which bit of ``quality`` and ``flag``; ``light_curves`` (the file); ``chain``: the products behind it, each with ``product``, ``data_id``,
            ``path``, ``content`` (XXH3-128 of the file), ``recipe``, ``stage``, ``version``, ``run``, ``parameters`` and all its ``inputs`` (kind, id, content,
            path); and the ``point``:

            ``values``, ``quality``, ``flag``
                the columns as stored, the bits in words;
            ``file``
                ``path``, ``content`` when it was measured, ``content_now``, ``state`` (unchanged, changed, gone), and a ``sentence`` about it. A frame's content
                is the XXH3-128 of its headers and science rows, a stamp's that of the whole (unpacked) file;
            ``place``
                where its pixels are for astropy: ``hdu``, ``column``, ``frame``, and x = col + ``col_to_x``, y = row + ``row_to_y``, from 0: ``hdul[hdu].data[y, x]``, or
                ``hdul[hdu].data[column][frame][y, x]``; for HDF5 the ``dataset``, ``[frame, y, x]``;
            ``gain``
                columns that answer to light otherwise than those around them, as straps do, each with the factor by which its pixels are multiplied before anything
                else (`cuvee.background.column_response`): each ``value`` below has it in it;
            ``apertures``
                each with ``pixels`` (``col``, ``row``, ``x``, ``y``, ``value``, ``weight``, ``product``, and ``before_subtraction`` where the mission subtracted something), ``sum``
                of the products, ``area`` and ``area2`` (sums of weight and weight^2), ``flux`` = sum - area x the background subtracted, and ``flux_err``, each
                ``redone``, ``stored``, ``difference``, ``tolerance``, ``agrees``; ``variance``, the terms of flux_err^2: ``photons`` = ``light2`` / exposure with
                ``light2`` = sum of weight^2 x value (before subtraction), ``reading`` = area2 x ``readout.variance``, ``background`` = (area x
                background_err)^2. A ``mask`` among them is the star's own, of weights 1. With a rounding of the stored values, ``rounding_step``;
            ``background``
                ``kind``, ``level`` and ``error`` (e-/s/pixel), compared with the stored column. ``annulus``: mean of value - base over the ``pixels``, of which
                those beyond ``kappa`` spreads are clipped, at most ``n_pass`` ``passes``; its error is told by how they differ in pairs
                (`cuvee.provenance.sums.clipped_mean`); ``base`` is by how much a pixel stands out in the
                reference image; with PSF fluxes (``beside_stars``), the light of all stars in it. ``mesh``: sum of ``nodes``' weight x value; a node's value is its cell's mean (as for an annulus) moved to the cell's
                centre: mean - shift_row x slope_row - shift_col x slope_col - curvature / 24, slope and curvature from the ``means`` of the cells
                beside it, and to its error is added how far interpolation may go astray, by how they bend, and how otherwise than ``stills``, those of the reference image
                (`cuvee.provenance.sums.mesh_nodes`). ``faint_third``: the clipped median. ``none``: nothing was subtracted;
            ``psf``
                where PSF fluxes were measured: ``why_not`` says in words why this star has none, else None; ``col``, ``row``, ``reference_flux`` of the star as
                fitted; ``pointing``: ``coefficients`` in column and row of the ``basis``, which add up to the ``shift`` of the frame here (px); ``background``: the mesh
                at ``col`` and ``row``, ``level`` = B; ``pixels``, each with ``value`` = D (where it is ``mended``, that of the reference image), ``others`` = M, the
                light of all other stars in this frame, ``prf`` = P, ``weight`` = w and ``product`` = w (D - M). Their sums are ``sum``, ``weight`` and ``norm`` =
                sum of w P; ``solution`` = (sum - B x weight) / norm; ``flux`` is that less what a ``cosmic_ray`` added (``taken``), compared; ``tolerance``: what
                ends the solution (``settled``, ``pointing``), single precision (``background``, ``arithmetic``) and rounding leave open (e-/s).
                ``neighbours``: each other star's ``flux``, where it is ``from`` and its ``light`` in the sum; ``variance``: ``reference`` + ``sky``, at least a fifth of
                the former, + ``background`` make ``flux_err``^2, with ``sky`` = ``squares`` (level - ``still_level``) / exposure and ``background`` = (``lean`` x
                error of the level)^2; ``alone``, without the other stars of its ``group``; ``chi2``, reduced, compared. Of a ``stamp`` all is solved at once: ``pixels``
                with ``value`` = D, the ``mean`` M of the ``n_frame`` frames that point alike, what is ``curved`` C, ``gain`` g and ``product`` = g (D - M - C);
                ``flux`` = ``flux_in_mean`` + ``sum`` of these; all ``stars`` of the model, those not ``solved`` as bright as in the mean; ``level``, the change
                of the background; pixels left out as hit (``cosmic_ray``); ``variance`` of a ``frame`` like the mean and of the ``level``;
            ``halo``
                where halo fluxes were measured: ``why_not``, as above; ``pixels`` with ``value`` = D, ``weight`` = w (sought again), ``mean`` = M and ``product`` = w (D -
                ``background``); their ``sum``; ``light``, the sum of w M; ``flux`` = ``level`` x sum / light, where ``level`` brings the median of the ``n_good``
                frames to that of the method ``like``; total variation over mean ``before``, of the plain sum, and ``after``; ``n_full`` pixels without a weight;
            ``readout``
                ``exposure`` (s), ``n_read``, ``gain_here``, ``read_noise_here``, ``variance`` = n_read (read_noise^2 + gain^2 / 12) / exposure^2, ``saturation``, cards ``assumed``;
            ``time``
                ``start``, ``stop``, ``mid``, valid in ``direction``; ``star``; ``observer`` (light-seconds from the barycentre); ``light_path`` (s) = (unit vector of
                the star - that of the direction) . observer; time = mid + light_path / 86400, compared;
            ``choice``
                each aperture's, and the PSF's, ``scatter``, ``enclosed`` light, ``relative`` = their quotient; ``redone``, the smallest; ``best``, as stored;
            ``troubles``
                sentences about what could not be redone.

    Raises
    ------
    ConfigError
        If there is no such star, or no point near ``time``.
    """
    curve = survey.light_curve(star)
    facts: dict[str, Any] = {
        "id": curve.id,
        "ra": curve.ra,
        "dec": curve.dec,
        "mag": curve.mag,
        "instrument": curve.instrument,
        "workspace": str(survey.path),
        "configuration": str(survey.path / CONFIG_NAME),
        "software_now": {"cuvee": __version__, **software_versions()},
        "observations": [],
    }
    with open_ledger(survey.paths, read_only=True) as ledger:
        rows = {(row["segment"], row["detector"], row["series"]): row for row in ledger.light_curves(star)}
        chosen = None if time is None else nearest(curve, time)
        chain = Chain(survey, ledger)
        for i, seen in enumerate(curve.observations):
            if chosen is not None and curve.observation[chosen] != i:
                continue
            here: dict[str, Any] = {name: value for name, value in seen.items() if name != "lc"}
            here |= points_of(curve, i)
            row = rows.get((seen["segment"], seen["detector"], seen["series"]))
            if row is not None:
                here["light_curves"] = row["path"]
                series = DataId(row["instrument"], row["segment"], row["detector"], row["kind"], row["series"])
                found = None if chosen is None else file_of(ledger, series, int(curve.cadence[chosen]))
                file, block = found or (None, "")
                here["chain"] = chain.steps(row, block)
                if chosen is not None:
                    here["point"] = explain_point(survey, curve, chosen, here["chain"], file, block)
            facts["observations"].append(here)
    facts["runs"] = [chain.runs[number] for number in sorted(chain.runs)]
    return plain_facts(facts)


def plain_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts as JSON can hold them, None for what is not a number."""
    plain: dict[str, Any] = _plain(facts)
    return plain


def nearest(curve: LightCurve, time: float) -> int:
    """Return the point of a star that is nearest to a time; raises ConfigError where none is near."""
    distance = np.abs(curve.time - time)
    if not np.isfinite(distance).any():
        raise ConfigError(f"No point of star {curve.id} has a time.")
    i = int(np.nanargmin(distance))
    if distance[i] > FAR:
        raise ConfigError(
            f"Star {curve.id} has no point within half a day of BTJD {time:.5f}; its points run from "
            f"{np.nanmin(curve.time):.5f} to {np.nanmax(curve.time):.5f}."
        )
    return i


def _plain(value: Any) -> Any:
    """Turn facts into what JSON can hold; it has no word for what is not a number."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def points_of(curve: LightCurve, i: int) -> dict[str, Any]:
    """Count the points of an observation, and say in words how many carry which bit."""
    mine = curve.observation == i

    def tally(values: Any, bits: tuple[Bit, ...]) -> list[dict[str, Any]]:
        union = int(np.bitwise_or.reduce(values)) if values.size else 0
        single = [1 << k for k in range(union.bit_length()) if union >> k & 1]
        return [{"points": int(np.count_nonzero(values & bit)), "meaning": describe(bit, bits)[0]} for bit in single]

    return {
        "points": int(mine.sum()),
        "good": int(curve.good[mine].sum()),
        "quality": tally(curve.quality[mine], instrument(curve.instrument).quality),
        "flag": tally(curve.flag[mine], FLAGS),
    }
