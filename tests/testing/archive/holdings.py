"""A folder as an archive has it: simulated full-frame images, light curves, target pixel files, reports, and spectra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from cuvee.simulate.params import PLAIN
from cuvee.simulate.tess import simulate

STAMP = "2019032160000"
TIC = (25155310, 117544915)
PLACES = {25155310: (127.90, -46.90), 117544915: (340.327824, -43.841277)}
N_CADENCE = 40


def make_holdings(folder: Path) -> Path:
    """Fill a folder: 6 frames of sector 8, camera 3, CCD 4; two stars at 2 minutes, one of them at 20 seconds, too; reports; HST; Kepler."""
    sim = folder / "sim"
    simulate(sim, frames=6, stars=20, size=64, cadence=1800.0, seed=3, params=PLAIN)
    out = folder / "served"
    (out / "frames").mkdir(parents=True)
    for path in (sim / "RAW").iterdir():
        path.rename(out / "frames" / path.name)
    for number, tic in enumerate(TIC):
        write_light_curve(out / "lc" / light_curve_name(tic), tic, 120.0)
        write_pixels(out / "tp" / light_curve_name(tic).replace("_lc", "_tp"), tic)
        write_report(out / f"tess{STAMP}-s0008-s0008-{tic:016d}-{200 + number:05d}_dvt.fits", tic)
    write_light_curve(out / "lc" / light_curve_name(TIC[0]).replace("-s_lc", "-a_fast-lc"), TIC[0], 20.0)
    write_report(out / f"tess{STAMP}-s0001-s0009-{TIC[0]:016d}-00212_dvt.fits", TIC[0])
    (out / f"tess{STAMP}-s0001-s0009-{TIC[0]:016d}-00212_dvr.pdf").write_bytes(b"%PDF-1.4 report")
    for name in ("ld9m10ujq_corrtag_a.fits", "ld9m10ujq_x1d.fits", "ld9m10ujq_spt.fits"):
        write_spectrum(out / "hst" / name, "COS", "FUV", "G130M", 14767)
    write_spectrum(out / "hst" / "o8k401010_tag.fits", "STIS", "FUV-MAMA", "E140M", 9000)
    write_kepler(out / "kplr011904151-2009131105131_llc.fits")
    (out / "notes.txt").write_text("no product")
    return out


def light_curve_name(tic: int) -> str:
    return f"tess{STAMP}-s0008-{tic:016d}-0136-s_lc.fits"


def _primary(**cards: object) -> fits.PrimaryHDU:
    unit = fits.PrimaryHDU()
    for key, value in cards.items():
        unit.header[key.replace("_OBS", "-OBS")] = value
    return unit


def _star(tic: int) -> dict[str, object]:
    ra, dec = PLACES[tic]
    return {
        "TELESCOP": "TESS", "INSTRUME": "TESS Photometer", "OBJECT": f"TIC {tic}", "TICID": tic, "SECTOR": 8, "CAMERA": 3, "CCD": 4, "RA_OBJ": ra,
        "DEC_OBJ": dec, "TSTART": 1517.34, "TSTOP": 1517.34 + N_CADENCE / 720, "PROCVER": "spoc-3.3.36", "DATA_REL": 10, "TESSMAG": 9.5,
    }  # fmt: skip


def write_light_curve(path: Path, tic: int, cadence: float) -> None:
    time = 1517.34 + np.arange(N_CADENCE) * cadence / 86400
    flux = 1000 + np.random.default_rng(tic).normal(size=N_CADENCE)
    names = ("SAP_FLUX", "SAP_FLUX_ERR", "SAP_BKG", "SAP_BKG_ERR", "PDCSAP_FLUX", "PDCSAP_FLUX_ERR")
    centres = (
        "PSF_CENTR1",
        "PSF_CENTR1_ERR",
        "PSF_CENTR2",
        "PSF_CENTR2_ERR",
        "MOM_CENTR1",
        "MOM_CENTR1_ERR",
        "MOM_CENTR2",
        "MOM_CENTR2_ERR",
    )
    columns = [
        fits.Column("TIME", "D", "BJD - 2457000, days", array=time),
        fits.Column("TIMECORR", "E", "d", array=np.zeros(N_CADENCE)),
        fits.Column("CADENCENO", "J", array=np.arange(N_CADENCE)),
        *(fits.Column(name, "E", "e-/s", array=np.ones(N_CADENCE) if "ERR" in name else flux) for name in names),
        fits.Column("QUALITY", "J", array=np.zeros(N_CADENCE)),
        *(fits.Column(name, "D", "pixel", array=np.full(N_CADENCE, 100.0)) for name in centres),
    ]
    primary = _primary(**_star(tic), CREATOR="LightCurveExporterPipelineModule", ORIGIN="NASA/Ames")
    table = fits.BinTableHDU.from_columns(columns, name="LIGHTCURVE")
    table.header.update({"BJDREFI": 2457000, "BJDREFF": 0.0, "TIMEUNIT": "d", "EXPOSURE": 0.05, **_star(tic)})
    _write(path, primary, table)


def write_pixels(path: Path, tic: int) -> None:
    flux = np.random.default_rng(tic).normal(100, 1, (N_CADENCE, 5, 5)).astype(np.float32)
    planes = [
        fits.Column(name, "25E", "e-/s", dim="(5, 5)", array=flux)
        for name in ("FLUX", "FLUX_ERR", "FLUX_BKG", "FLUX_BKG_ERR")
    ]
    columns = [
        fits.Column("TIME", "D", "BJD - 2457000, days", array=1517.34 + np.arange(N_CADENCE) / 720),
        fits.Column("CADENCENO", "J", array=np.arange(N_CADENCE)),
        *planes,
        fits.Column("QUALITY", "J", array=np.zeros(N_CADENCE)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="PIXELS")
    table.header.update({"BJDREFI": 2457000, "BJDREFF": 0.0, "TIMEUNIT": "d", "1CRV4P": 500, "2CRV4P": 500})
    primary = _primary(**_star(tic), CREATOR="TargetPixelExporterPipelineModule", ORIGIN="NASA/Ames")
    _write(path, primary, table, fits.ImageHDU(np.ones((5, 5), np.int32), name="APERTURE"))


def write_report(path: Path, tic: int) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("TIME", "D", array=np.arange(N_CADENCE))], name="TCE_1")
    _write(path, _primary(**_star(tic)), table)


def write_spectrum(path: Path, instrument: str, detector: str, grating: str, proposal: int) -> None:
    primary = _primary(
        TELESCOP="HST", INSTRUME=instrument, DETECTOR=detector, OPT_ELEM=grating, PROPOSID=proposal, TARGNAME=f"STAR-{proposal}", RA_TARG=175.5512,
        DEC_TARG=26.7025, PR_INV_L="Sing", OBSTYPE="SPECTROSCOPIC", OBSMODE="TIME-TAG", APERTURE="PSA", CENWAVE=1291,
    )  # fmt: skip
    table = fits.BinTableHDU.from_columns([fits.Column("TIME", "E", array=np.arange(100))], name="EVENTS")
    table.header.update({"EXPSTART": 58108.5, "EXPEND": 58108.53, "EXPTIME": 1881.152})
    _write(path, primary, table)


def write_kepler(path: Path) -> None:
    primary = _primary(
        TELESCOP="Kepler",
        OBJECT="KIC 11904151",
        KEPLERID=11904151,
        QUARTER=1,
        RA_OBJ=285.67,
        DEC_OBJ=50.24,
        PROCVER="x",
    )
    table = fits.BinTableHDU.from_columns([fits.Column("TIME", "D", array=np.arange(50))], name="LIGHTCURVE")
    table.header.update({"TSTART": 131.5, "TSTOP": 164.9})
    _write(path, primary, table)


def _write(path: Path, *units: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList(list(units)).writeto(path, checksum=True)
