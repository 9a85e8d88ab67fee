"""What a file's name says: mission, kind, sector, star, and where the archive keeps it.

Facts: the archive manuals of TESS, Kepler and HST, and the names of real files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["FileName", "read_name"]

_TESS_FRAME = re.compile(
    r"tess(?P<stamp>\d{13})-s(?P<first>\d{4})-(?P<camera>[1-4])-(?P<ccd>[1-4])-(?P<config>\d{4})-[a-z]_(?P<kind>ffi[rc]|cbv|col)\.fits(\.gz|\.fz)?"
)
_TESS_TARGET = re.compile(
    r"(?P<obs>tess(?P<stamp>\d{13})-s(?P<first>\d{4})-(?P<tic>\d{16})-\d{4}-[a-z])_(?P<kind>(fast-)?(lc|tp))\.fits(\.gz)?"
)
_TESS_DV = re.compile(
    r"(?P<obs>tess(?P<stamp>\d{13})-s(?P<first>\d{4})-s(?P<last>\d{4})-(?P<tic>\d{16}))(-\d{2})?-\d{5}_(?P<kind>dvt\.fits|dv[rms]\.(pdf|xml))"
)
_TESS_TCE = re.compile(r"tess(?P<stamp>\d{13})-s(?P<first>\d{4})-s(?P<last>\d{4})_dvr-tcestats\.csv")
_KEPLER = re.compile(r"(?P<obs>kplr(?P<kic>\d{9}))-(?P<stamp>\d{13})_(?P<kind>[ls]lc|[ls]pd-targ)\.fits(\.gz)?")
_K2 = re.compile(r"(?P<obs>ktwo(?P<epic>\d{9})-c(?P<first>\d{2,3}))_(?P<kind>[ls]lc|[ls]pd-targ)\.fits(\.gz)?")
_HST = re.compile(r"(?P<obs>[a-z][a-z0-9]{8})_(?P<kind>[a-z0-9]+(_[ab])?)\.fits(\.gz)?")


@dataclass(frozen=True, slots=True)
class FileName:
    """What a file's name says.

    Parameters
    ----------
    name : str
        The name itself.
    mission : str
        ``TESS``, ``Kepler``, ``K2``, ``HST``; empty where the name is of no mission.
    kind : str
        ``ffic``, ``ffir``, ``cbv``, ``col``, ``lc``, ``tp``, ``fast-lc``, ``fast-tp``, ``dvt``, ``dvr``, ``dvm``, ``dvs``, ``tce``; of Kepler ``llc``,
        ``lpd-targ`` and so on; of HST the suffix, such as ``corrtag_a``.
    obs_id : str
        The observation that it belongs to.
    key : str
        Where the archive keeps it, below ``public``: ``tess/public/...``.
    first, last : int
        Sectors (or campaign); 0 where there is none.
    camera, ccd : int
        From 1; 0 where there is none.
    star : int
        Number in the mission's input catalogue; 0 where there is none.
    stamp : str
        The time in the name, ``yyyydddhhmmss``; empty where there is none.
    """

    name: str
    mission: str = ""
    kind: str = ""
    obs_id: str = ""
    key: str = ""
    first: int = 0
    last: int = 0
    camera: int = 0
    ccd: int = 0
    star: int = 0
    stamp: str = ""

    @property
    def uri(self) -> str:
        """The name by which the archive hands it out."""
        return f"mast:{(self.mission or 'TESS').upper()}/product/{self.name}"


def read_name(name: str) -> FileName:
    """Read a file's name; one that is of no mission has an empty ``mission``."""
    if match := _TESS_FRAME.fullmatch(name):
        return _frame(name, match)
    if match := _TESS_TARGET.fullmatch(name):
        sector, tic, kind = int(match["first"]), match["tic"], match["kind"]
        obs = match["obs"] + ("_fast" if kind.startswith("fast") else "")
        key = f"tess/public/tid/s{sector:04d}/{_fours(tic)}/{name}"
        return FileName(name, "TESS", kind, obs, key, sector, sector, star=int(tic), stamp=match["stamp"])
    if match := _TESS_DV.fullmatch(name):
        first, last, tic = int(match["first"]), int(match["last"]), match["tic"]
        folder = f"s{first:04d}" if first == last else f"s{first:04d}-s{last:04d}"
        key = f"tess/public/tid/{folder}/{_fours(tic)}/{name}"
        kind = match["kind"].partition(".")[0]
        return FileName(name, "TESS", kind, match["obs"], key, first, last, star=int(tic), stamp=match["stamp"])
    if match := _TESS_TCE.fullmatch(name):
        key = f"tess/public/catalogs/tce/{name}"
        return FileName(name, "TESS", "tce", "", key, int(match["first"]), int(match["last"]), stamp=match["stamp"])
    if match := _KEPLER.fullmatch(name):
        folder = "lightcurves" if match["kind"].endswith("lc") else "target_pixel_files"
        key = f"kepler/public/{folder}/{match['kic'][:4]}/{match['kic']}/{name}"
        obs = f"{match['obs']}_{_cadence(match['kind'])}"
        return FileName(name, "Kepler", match["kind"], obs, key, star=int(match["kic"]), stamp=match["stamp"])
    if match := _K2.fullmatch(name):
        folder = "lightcurves" if match["kind"].endswith("lc") else "target_pixel_files"
        half, epic = int(match["first"]), match["epic"]
        key = f"k2/public/{folder}/c{half}/{epic[:4]}00000/{epic[4:6]}000/{name}"
        campaign = half // 10 if half in (91, 92, 101, 102, 111, 112) else half  # three campaigns came in two halves
        obs = f"{match['obs']}_{_cadence(match['kind'])}"
        return FileName(name, "K2", match["kind"], obs, key, campaign, campaign, star=int(epic))
    if match := _HST.fullmatch(name):
        obs = match["obs"]
        return FileName(name, "HST", match["kind"], obs, f"hst/public/{obs[:4]}/{obs}/{name}")
    return FileName(name)


def _frame(name: str, match: re.Match[str]) -> FileName:
    sector, camera, ccd = int(match["first"]), int(match["camera"]), int(match["ccd"])
    stamp, kind = match["stamp"], match["kind"]
    folder = (
        f"ffi/s{sector:04d}/{stamp[:4]}/{stamp[4:7]}/{camera}-{ccd}"
        if kind.startswith("ffi")
        else f"ffi/s{sector:04d}/{kind}"
    )
    obs = f"tess-s{sector:04d}-{camera}-{ccd}"
    return FileName(name, "TESS", kind, obs, f"tess/public/{folder}/{name}", sector, sector, camera, ccd, stamp=stamp)


def _cadence(kind: str) -> str:
    return "lc" if kind.startswith("l") else "sc"


def _fours(tic: str) -> str:
    return "/".join(tic[k : k + 4] for k in range(0, 16, 4))
