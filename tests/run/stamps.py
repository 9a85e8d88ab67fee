"""Tiny cutouts of the mission's layout, many at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

START = 1325.313100604524
STEP = 0.1
"""Degrees between stamps."""
_SIDE = 50


def position(k: int) -> tuple[float, float]:
    """Return where the k-th stamp's star is (deg)."""
    return 120.0 + STEP * (k % _SIDE), -20.0 + STEP * (k // _SIDE)


def make_workspace(root: Path, n: int, n_frame: int = 6, shape: tuple[int, int] = (9, 9), config: str = "") -> Path:
    """Write a workspace of ``n`` cutouts with one star each.

    Parameters
    ----------
    root : Path
        Folder to make.
    n, n_frame : int
        Number of cutouts and of frames in each.
    shape : tuple of int
        Rows and columns.
    config : str
        More of ``cuvee.toml``.
    """
    raw = root / "RAW"
    raw.mkdir(parents=True)
    template = _hdus(n_frame, shape)
    table = template["PIXELS"]
    number = [column.name for column in table.columns].index("FLUX") + 1
    rng = np.random.default_rng(5)
    row, col = np.indices(shape)
    middle = np.array(shape) // 2
    profile = np.exp(-0.5 * ((row - middle[0]) ** 2 + (col - middle[1]) ** 2) / 0.8**2)
    rows = ["ID,ra,dec,Tmag"]
    for k in range(n):
        ra, dec = position(k)
        table.header[f"1CRVL{number}"], table.header[f"2CRVL{number}"] = ra, dec
        for axis, value in ((1, 45 + 20 * (k % 100)), (2, 1 + 20 * (k // 100))):
            table.header[f"{axis}CRV{number}P"] = value
        table.data["FLUX"][:] = 300.0 * profile + rng.normal(50.0, 1.0, (n_frame, *shape))
        template.writeto(raw / f"tess-s0001-1-4_{ra:.6f}_{dec:.6f}_{shape[1]}x{shape[0]}_astrocut.fits")
        rows.append(f"{1000 + k},{ra:.6f},{dec:.6f},{9.0 + k % 7}")
    (root / "stars.csv").write_text("\n".join(rows) + "\n")
    (root / "cuvee.toml").write_text(
        f'[workspace]\ninstrument = "tess"\n[data]\nfiles = ["RAW"]\n[catalog]\nfiles = ["stars.csv"]\n{config}'
    )
    return root


def _hdus(n_frame: int, shape: tuple[int, int]) -> fits.HDUList:
    length = 1800.0 / 86400.0
    count, dim = shape[0] * shape[1], f"({shape[1]},{shape[0]})"
    index = np.arange(n_frame)
    seconds = np.datetime64("2018-07-25T19:29:42") + (index * 1800).astype("timedelta64[s]")
    names = [f"tess{s.astype(object):%Y%j%H%M%S}-s0001-1-4-0120-s_ffic.fits"[:38] for s in seconds]
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("TIME", "D", array=START + (index + 0.5) * length + 0.002),
            fits.Column("TIMECORR", "E", array=np.full(n_frame, 0.002)),
            fits.Column("CADENCENO", "J", array=np.zeros(n_frame)),
            fits.Column("FLUX", f"{count}E", dim=dim, array=np.zeros((n_frame, *shape), ">f4")),
            fits.Column("QUALITY", "J", array=np.zeros(n_frame)),
            fits.Column("FFI_FILE", "38A", array=names),
        ],
        name="PIXELS",
    )
    scale = 21.1 / 3600.0
    cards: dict[str, object] = {"BJDREFI": 2457000, "BJDREFF": 0.0, "TIMEDEL": length, "NREADOUT": 720, "BACKAPP": 0.0}
    cards |= {"1CTYP4": "RA---TAN", "2CTYP4": "DEC--TAN", "1CRPX4": shape[1] // 2 + 1.0, "2CRPX4": shape[0] // 2 + 1.0}
    cards |= {"1CDLT4": -scale, "2CDLT4": scale, "11PC4": 1.0, "12PC4": 0.0, "21PC4": 0.0, "22PC4": 1.0}
    cards |= {"1CRVL4": 0.0, "2CRVL4": 0.0, "1CRV4P": 0, "2CRV4P": 0, "1CRP4P": 1, "2CRP4P": 1}
    for key, value in cards.items():
        table.header[key] = value
    head = fits.Header()
    for key, value in {
        "TELESCOP": "TESS", "SECTOR": 1, "CAMERA": 1, "CCD": 4, "DATA_REL": 38, "PROCVER": "spoc-5.0",
        "CREATOR": "astrocut", "TSTART": START, "TSTOP": START + n_frame * length,
    }.items():  # fmt: skip
        head[key] = value
    mask = fits.ImageHDU(np.ones(shape, np.int32), name="APERTURE")
    return fits.HDUList([fits.PrimaryHDU(header=head), table, mask])
