"""What was observed: one row an observation, one a product, from the names and the headers of the files on the shelf."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from cuvee.errors import BadData, TransientError
from cuvee.instruments.fits_bytes import Cards, data_size, open_stream, read_header
from cuvee.instruments.local_wcs import sky_of_pixels
from cuvee.instruments.tess import TESS
from cuvee.model.records import FileInfo
from cuvee.testing.archive.columns import OBSERVATIONS, PRODUCTS
from cuvee.testing.archive.names import FileName
from cuvee.testing.archive.query import Row, inside, middle, separation

__all__ = ["FFI", "Observation", "footprint", "observe", "products"]

FFI = "TESS FFI"
_MJD_OF_BTJD = 56_999.5
_TARGET_RADIUS = 5 / 3600
"""Degrees around a star that its row says were observed."""
_ABSENT_SIZE = 2_039_040
"""What a search says of a file that is not there: the size of a light curve of sector 1."""

_PRODUCT_WORDS = {
    "lc": ("Light curves", "LC", "SCIENCE"),
    "tp": ("Target pixel files", "TP", "SCIENCE"),
    "fast-lc": ("Fast light curves", "FAST-LC", "SCIENCE"),
    "fast-tp": ("Fast target pixel files", "FAST-TP", "SCIENCE"),
    "dvt": ("Data validation time series", "DVT", "SCIENCE"),
    "dvr": ("Full data validation report", "DVR", "INFO"),
    "dvm": ("Data validation mini report", "DVM", "INFO"),
    "dvs": ("TCE summary report", "DVS", "INFO"),
    "ffic": ("Full frame image, calibrated", "FFIC", "SCIENCE"),
    "ffir": ("Full frame image, raw", "FFIR", "SCIENCE"),
    "cbv": ("Cotrending basis vectors", "CBV", "AUXILIARY"),
    "col": ("Collateral pixels", "COL", "AUXILIARY"),
    "llc": ("Lightcurve Long Cadence (KLC)", "LLC", "SCIENCE"),
    "slc": ("Lightcurve Short Cadence (KSC)", "SLC", "SCIENCE"),
    "lpd-targ": ("Target Pixel Long Cadence (TPL)", "LPD-TARG", "SCIENCE"),
    "spd-targ": ("Target Pixel Short Cadence (TPS)", "SPD-TARG", "SCIENCE"),
}
"""Of each kind: what it is, its sub-group, its type."""
_HST_AUXILIARY = {"spt", "jit", "jif", "trl", "asn", "lampflash", "wav"}


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation.

    Parameters
    ----------
    row : dict
        Of the table of observations.
    files : tuple of FileName
        Its products.
    corners : tuple of (float, float)
        Of what it covers (deg); empty for a star.
    facts : dict of str to str
        What the header of its main file says, for searches that know more.
    """

    row: dict[str, Any]
    files: tuple[FileName, ...]
    corners: tuple[tuple[float, float], ...]
    facts: dict[str, str]

    def distance(self, ra: float, dec: float, radius: float) -> float | None:
        """Return how far it is from a place (arcsec); None where the circle of that radius (deg) does not reach it."""
        if self.row["s_ra"] is None:
            return None
        if self.corners and inside(ra, dec, self.corners):
            return 0.0
        far = separation(ra, dec, self.row["s_ra"], self.row["s_dec"])
        return far * 3600 if far <= radius + (0 if self.corners else _TARGET_RADIUS) else None


def observe(listed: Iterable[FileName], paths: dict[str, Path]) -> list[Observation]:
    """Make the table of observations.

    Parameters
    ----------
    listed : iterable of FileName
        What the archive tells of.
    paths : dict of str to Path
        Where the files are, by name; those that are missing have no header to ask.
    """
    known = [named for named in listed if named.obs_id]
    single = {(n.star, n.first): n.obs_id for n in known if n.kind in ("lc", "tp")}

    def group(named: FileName) -> str:
        # Reports about one sector belong to the light curve of that sector.
        report = named.kind.startswith("dv") and named.first == named.last
        return single.get((named.star, named.first), named.obs_id) if report else named.obs_id

    found, taken = [], set[int]()
    for obs_id, members in groupby(sorted(known, key=lambda named: (group(named), named.name)), key=group):
        number = 60_000_000 + zlib.crc32(obs_id.encode()) % 30_000_000
        while number in taken:
            number += 1
        taken.add(number)
        found.append(_observation(obs_id, number, tuple(members), paths))
    return found


def _observation(obs_id: str, number: int, files: tuple[FileName, ...], paths: dict[str, Path]) -> Observation:
    row: dict[str, Any] = dict.fromkeys(OBSERVATIONS)
    mission = files[0].mission
    row |= {
        "intentType": "science", "obs_collection": mission, "project": mission, "obs_id": obs_id, "dataRights": "PUBLIC", "mtFlag": False,
        "calib_level": 3, "wavelength_region": "Optical", "obsid": str(number), "objID": str(number + 100_000_000),
    }  # fmt: skip
    present = [paths[named.name] for named in files if named.name in paths and ".fits" in named.name]
    if files[0].camera:
        return _frames(row, files, present)
    main = _main(files)
    facts = _facts(paths.get(main.name))
    if mission == "Kepler":
        # One observation holds all quarters of a star; which, its name says: one digit a quarter, from 0 to 17.
        quarters = {named.name: _facts(paths.get(named.name)).get("QUARTER", "") for named in files}
        facts |= {f"QUARTER {name}": quarter for name, quarter in quarters.items()}
        row["obs_id"] += "_Q" + "".join("1" if str(k) in quarters.values() else "0" for k in range(18))
    row["dataURL"] = main.uri
    if mission == "HST":
        _fill_hst(row, facts)
    else:
        _fill_star(row, main, facts)
    if row["s_ra"] is not None:
        row["s_region"] = f"CIRCLE {row['s_ra']:.8f} {row['s_dec']:.8f} {_TARGET_RADIUS:.8f}"
    return Observation(row, files, (), facts)


def _main(files: tuple[FileName, ...]) -> FileName:
    order = (
        "lc",
        "fast-lc",
        "tp",
        "fast-tp",
        "dvt",
        "llc",
        "slc",
        "lpd-targ",
        "spd-targ",
        "x1dsum",
        "x1d",
        "corrtag_a",
        "corrtag",
        "tag",
    )
    return min(files, key=lambda named: order.index(named.kind) if named.kind in order else len(order))


def _fill_star(row: dict[str, Any], main: FileName, facts: dict[str, str]) -> None:
    """Fill in a star of TESS, Kepler or K2."""
    tess = main.mission == "TESS"
    name = str(main.star) if tess else f"{'kplr' if main.mission == 'Kepler' else 'ktwo'}{main.star:09d}"
    start, stop = _real(facts, "TSTART"), _real(facts, "TSTOP")
    zero = _MJD_OF_BTJD if tess else 54_832.5  # of BKJD, BJD - 2454833
    short = main.kind.startswith("s")
    row |= {
        "provenance_name": "SPOC" if tess else main.mission, "instrument_name": "Photometer" if tess else "Kepler", "filters": main.mission,
        "target_name": name, "s_ra": _real(facts, "RA_OBJ"), "s_dec": _real(facts, "DEC_OBJ"),
        "dataproduct_type": "timeseries" if tess or main.kind.endswith("lc") else "cube", "proposal_pi": "Ricker, George" if tess else None,
        "t_min": None if start is None else start + zero, "t_max": None if stop is None else stop + zero,
        "t_exptime": (20.0 if main.kind.startswith("fast") else 120.0) if tess else (60.0 if short else 1800.0),
        "em_min": 600.0 if tess else 418.0, "em_max": 1000.0 if tess else 905.0, "sequence_number": main.last or None,
    }  # fmt: skip


def _fill_hst(row: dict[str, Any], facts: dict[str, str]) -> None:
    """Fill in a spectrum of HST."""
    detector, instrument = facts.get("DETECTOR"), facts.get("INSTRUME")
    row |= {
        "provenance_name": f"CAL{instrument}" if instrument else None, "filters": facts.get("OPT_ELEM"), "target_name": facts.get("TARGNAME"),
        "instrument_name": f"{instrument}/{detector}" if instrument and detector else instrument, "wavelength_region": "UV",
        "s_ra": _real(facts, "RA_TARG"), "s_dec": _real(facts, "DEC_TARG"), "proposal_pi": facts.get("PR_INV_L"), "proposal_id": facts.get("PROPOSID"),
        "dataproduct_type": "image" if facts.get("OBSTYPE", "").startswith("IMAG") else "spectrum", "proposal_type": "GO",
        "t_min": _real(facts, "EXPSTART", "TEXPSTRT"), "t_max": _real(facts, "EXPEND", "TEXPEND"), "t_exptime": _real(facts, "EXPTIME", "TEXPTIME"),
    }  # fmt: skip


def _frames(row: dict[str, Any], files: tuple[FileName, ...], present: list[Path]) -> Observation:
    """Fill in the full-frame images of a detector; where it looks, a frame in the middle says: the first of a sector often does not know."""
    info, corners = footprint(present)
    exposure = float("nan")
    if info is not None:
        exposure = round(float(info.readout.exposure), 1)
        row["s_ra"], row["s_dec"] = middle(corners)
        row["s_region"] = "POLYGON " + " ".join(f"{a:.8f} {d:.8f}" for a, d in corners)
    times = [time for named in files if (time := _stamp_mjd(named.stamp)) is not None]
    row |= {
        "provenance_name": "SPOC", "instrument_name": "Photometer", "filters": "TESS", "target_name": FFI, "dataproduct_type": "image",
        "proposal_pi": "Ricker, George", "sequence_number": files[0].first, "em_min": 600.0, "em_max": 1000.0,
        "t_exptime": None if exposure != exposure else exposure, "t_min": min(times, default=None), "t_max": max(times, default=None),
    }  # fmt: skip
    return Observation(row, files, corners, {})


def footprint(present: list[Path]) -> tuple[FileInfo | None, tuple[tuple[float, float], ...]]:
    """Return the middle frame that knows where it looks, and the corners of its pixels (deg)."""
    frames = [path for path in present if "_ffic" in path.name]
    outwards = sorted(range(len(frames)), key=lambda k: abs(k - len(frames) // 2))
    for k in outwards[:50]:
        try:
            info = TESS.scan(str(frames[k]))
        except (BadData, TransientError):
            continue
        if info.wcs:
            g = info.geometry
            left, right, low, high = g.col0 - 0.5, g.col0 + g.n_col - 0.5, g.row0 - 0.5, g.row0 + g.n_row - 0.5
            ra, dec = sky_of_pixels(info.wcs, [left, right, right, left], [low, low, high, high])
            return info, tuple((float(a) % 360, float(d)) for a, d in zip(ra, dec, strict=True))
    return None, ()


def products(observation: Observation, sizes: dict[str, int]) -> list[Row]:
    """Make the rows of an observation's products; ``sizes`` are in bytes, by name."""
    of = observation.row
    rows: list[Row] = []
    for named in observation.files:
        words = _PRODUCT_WORDS.get(named.kind)
        if words is None:
            words = (
                f"{named.kind} file",
                named.kind.upper(),
                "AUXILIARY" if named.kind in _HST_AUXILIARY else "SCIENCE",
            )
        quarter = f"{named.first:02d}" if named.mission == "K2" else observation.facts.get(f"QUARTER {named.name}", "")
        suffix = f" - {'C' if named.mission == 'K2' else 'Q'}{quarter}" if quarter else ""
        row: dict[str, Any] = dict.fromkeys(PRODUCTS)
        row |= {
            key: of[key]
            for key in (
                "obs_collection",
                "dataproduct_type",
                "obs_id",
                "proposal_id",
                "dataRights",
                "calib_level",
                "filters",
            )
        }
        row |= {
            "obsID": of["obsid"], "parent_obsid": of["obsid"], "description": words[0] + suffix, "type": "S", "dataURI": named.uri,
            "productType": words[2], "productGroupDescription": "Minimum Recommended Products" if words[2] == "SCIENCE" else None,
            "productSubGroupDescription": words[1], "project": of["provenance_name"], "prvversion": observation.facts.get("PROCVER"),
            "productFilename": named.name, "size": sizes.get(named.name, _ABSENT_SIZE),
        }  # fmt: skip
        rows.append(row)
    return rows


def _facts(path: Path | None) -> dict[str, str]:
    """Return what the first two headers of a file say; of a file that cannot be read, nothing."""
    if path is None:
        return {}
    found: dict[str, str] = {}
    try:
        with open_stream(str(path)) as (stream, _):
            first = read_header(stream, str(path), first=True)
            if first is None:
                return {}
            stream.seek(first[1] + -(-data_size(first[0]) // 2880) * 2880, os.SEEK_SET)
            second = read_header(stream, str(path), first=False)
            for cards in (first[0], *([second[0]] if second else [])):
                for key in _WANTED:
                    if key in cards and key not in found:
                        found[key] = _text(cards, key)
    except (BadData, TransientError):
        return found
    return found


_WANTED = [
    "RA_OBJ",
    "DEC_OBJ",
    "TSTART",
    "TSTOP",
    "PROCVER",
    "QUARTER",
    "TARGNAME",
    "RA_TARG",
    "DEC_TARG",
    "INSTRUME",
    "DETECTOR",
    "OPT_ELEM",
    "PROPOSID",
    "PR_INV_L",
    "OBSTYPE",
    "OBSMODE",
    "APERTURE",
    "CENWAVE",
    "EXPSTART",
    "EXPEND",
    "EXPTIME",
    "TEXPSTRT",
    "TEXPEND",
    "TEXPTIME",
    "CAL_VER",
]


def _text(cards: Cards, key: str) -> str:
    return (cards.value(key) or "").strip().strip("'").strip()


def _real(facts: dict[str, str], *keys: str) -> float | None:
    for key in keys:
        try:
            return float(facts[key].replace("D", "E"))
        except (KeyError, ValueError):
            continue
    return None


def _stamp_mjd(stamp: str) -> float | None:
    """Return the date in a file's name as MJD; None where it is no date."""
    try:
        return (datetime.strptime(stamp, "%Y%j%H%M%S") - datetime(1858, 11, 17)) / timedelta(days=1)
    except ValueError:
        return None
