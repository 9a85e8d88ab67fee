"""Names of archive files: what each says of its file, where the file goes below RAW, and under which names the archives have it.

Sources: TESS Archive Manual and TESS Science Data Products Description Document (file names); Kepler Archive Manual (KDMC-10008), section 2;
HST Data Handbook, section 3 (file names); the public layout of the bucket ``stpubdata``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["HST_INSTRUMENTS", "KINDS", "Named", "identify"]

KINDS = {
    "tess": ("ffic", "ffir", "lc", "fast-lc", "tp", "fast-tp", "dvt", "dvr", "dvm", "dvs", "cbv"),
    "kepler": ("lc", "fast-lc", "tp", "fast-tp"),
    "hst": ("corrtag", "tag", "x1d", "x1dsum", "rawtag", "flt", "x2d", "sx1", "sx2", "spt", "asn", "raw", "lampflash"),
}
"""What can be asked for by name. ``dv`` stands for the four kinds of data validation files, fast for 20 s (TESS) and 1 min (Kepler)."""

HST_INSTRUMENTS = {"l": "cos", "o": "stis"}
"""By the first letter of a file name."""

_TESS_FFI = re.compile(
    r"tess(?P<stamp>\d{13})-s(?P<first>\d{4})-(?P<camera>[1-4])-(?P<ccd>[1-4])-\d{4}-[a-z]_(?P<kind>ffic|ffir|cbv)\.fits"
)
_TESS_STAR = re.compile(
    r"tess(?P<stamp>\d{13})-s(?P<first>\d{4})-(?P<target>\d{16})-\d{4}-[a-z]_(?P<kind>(fast-)?(lc|tp))\.fits"
)
_TESS_DV = re.compile(
    r"tess(?P<stamp>\d{13})-s(?P<first>\d{4})-s(?P<last>\d{4})-(?P<target>\d{16})(-\d{2})?-\d{5}_(?P<kind>dv[tr](?=\.fits|\.xml|\.pdf)|dv[ms])"
    r"\.(fits|xml|pdf)"
)
_KEPLER = re.compile(r"kplr(?P<target>\d{9})-(?P<stamp>\d{13})_(?P<kind>llc|slc|lpd-targ|spd-targ)\.fits(\.gz)?")
_K2 = re.compile(r"ktwo(?P<target>\d{9})-c(?P<first>\d{2,3})_(?P<kind>llc|slc|lpd-targ|spd-targ)\.fits(\.gz)?")
_HST = re.compile(r"(?P<root>[lo][a-z0-9]{8})_(?P<kind>[a-z0-9]+)(_[ab])?\.fits")
_KEPLER_KINDS = {"llc": "lc", "slc": "fast-lc", "lpd-targ": "tp", "spd-targ": "fast-tp"}


@dataclass(frozen=True, slots=True)
class Named:
    """What the name of a file says.

    Parameters
    ----------
    name : str
        The name.
    mission : str
        ``tess``, ``kepler``, ``k2`` or ``hst``.
    kind : str
        One of `KINDS`; of HST the suffix, whatever it is.
    first, last : int
        Sectors, or the campaign of K2; 0 where there is none.
    camera, ccd : int
        Of a full-frame image; 0 elsewhere.
    target : int
        TIC, KIC or EPIC; 0 where the file is of no single star.
    stamp : str
        The digits of the time in it.
    folder : str
        Where it goes, below RAW.
    uri : str
        Its name at the archive.
    key : str
        Its name in the bucket ``stpubdata``; empty where that is not known.
    """

    name: str
    mission: str
    kind: str
    first: int
    last: int
    camera: int
    ccd: int
    target: int
    stamp: str
    folder: str
    uri: str
    key: str

    @property
    def path(self) -> str:
        """The file, relative to RAW."""
        return f"{self.folder}/{self.name}"

    @property
    def is_fits(self) -> bool:
        """Whether it is a FITS file, plain or gzip."""
        return self.name.endswith((".fits", ".fits.gz"))


def identify(name: str) -> Named | None:
    """Say what a file is by its name.

    Parameters
    ----------
    name : str
        The name, without a folder.

    Returns
    -------
    Named or None
        None where it is no name that cuvee knows, such as that of a preview.
    """
    for pattern, describe in _READERS:
        if match := pattern.fullmatch(name):
            return describe(name, match)
    return None


def _tess_frame(name: str, match: re.Match[str]) -> Named:
    stamp, sector, kind = match["stamp"], int(match["first"]), match["kind"]
    camera, ccd = int(match["camera"]), int(match["ccd"])
    above = "cbv" if kind == "cbv" else "ffi"
    day = f"{stamp[:4]}/{stamp[4:7]}"
    key = f"tess/public/ffi/s{sector:04d}/{day}/{camera}-{ccd}/{name}" if above == "ffi" else ""
    folder = f"tess/{above}/s{sector:04d}/{camera}-{ccd}"
    return Named(name, "tess", kind, sector, sector, camera, ccd, 0, stamp, folder, _tess_uri(name), key)


def _tess_star(name: str, match: re.Match[str]) -> Named:
    sector, tic, kind = int(match["first"]), match["target"], match["kind"]
    folder, key = f"tess/{kind}/s{sector:04d}", _tess_key(sector, tic, name)
    return Named(name, "tess", kind, sector, sector, 0, 0, int(tic), match["stamp"], folder, _tess_uri(name), key)


def _tess_validation(name: str, match: re.Match[str]) -> Named:
    first, last, tic = int(match["first"]), int(match["last"]), match["target"]
    folder = f"tess/dv/s{first:04d}-s{last:04d}"
    key = (
        _tess_key(first, tic, name) if first == last else ""
    )  # how the bucket files runs of several sectors is not known
    return Named(name, "tess", match["kind"], first, last, 0, 0, int(tic), match["stamp"], folder, _tess_uri(name), key)


def _kepler(name: str, match: re.Match[str]) -> Named:
    kic, kind = match["target"], _KEPLER_KINDS[match["kind"]]
    place = f"kepler/{_kepler_shelf(kind)}/{kic[:4]}/{kic}/{name}"
    uri = f"mast:KEPLER/url/missions/{place}"
    key = place.replace("kepler/", "kepler/public/", 1)
    folder = f"kepler/{kind}/{kic[:4]}"
    return Named(name, "kepler", kind, 0, 0, 0, 0, int(kic), match["stamp"], folder, uri, key)


def _k2(name: str, match: re.Match[str]) -> Named:
    epic, campaign, kind = int(match["target"]), int(match["first"]), _KEPLER_KINDS[match["kind"]]
    shelf = f"{epic // 100_000 * 100_000}/{epic % 100_000 // 1000 * 1000:05d}"
    place = f"k2/{_kepler_shelf(kind)}/c{campaign}/{shelf}/{name}"
    uri = f"mast:K2/url/missions/{place}"
    key = place.replace("k2/", "k2/public/", 1)
    return Named(name, "k2", kind, campaign, campaign, 0, 0, epic, "", f"k2/{kind}/c{campaign:02d}", uri, key)


def _hst(name: str, match: re.Match[str]) -> Named:
    root = match["root"]
    instrument = HST_INSTRUMENTS[root[0]]
    key = f"hst/public/{root[:4]}/{root}/{name}"
    folder = f"hst/{instrument}/{root[:4]}"
    return Named(name, "hst", match["kind"], 0, 0, 0, 0, 0, "", folder, f"mast:HST/product/{name}", key)


def _tess_uri(name: str) -> str:
    return f"mast:TESS/product/{name}"


def _tess_key(sector: int, tic: str, name: str) -> str:
    return f"tess/public/tid/s{sector:04d}/{tic[:4]}/{tic[4:8]}/{tic[8:12]}/{tic[12:]}/{name}"


def _kepler_shelf(kind: str) -> str:
    return "lightcurves" if kind.endswith("lc") else "target_pixel_files"


_READERS: tuple[tuple[re.Pattern[str], Callable[[str, re.Match[str]], Named]], ...] = (
    (_TESS_FFI, _tess_frame),
    (_TESS_STAR, _tess_star),
    (_TESS_DV, _tess_validation),
    (_KEPLER, _kepler),
    (_K2, _k2),
    (_HST, _hst),
)
