"""Frames, cutouts and stamps of the mission's layout, written with astropy and h5py."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

S1_START = 1325.313100604524
"""Spacecraft start of the first full-frame image of sector 1, whose number is 4697."""

Maker = Callable[..., Path]


def _wcs_cards(skip_col: int, skip_row: int) -> dict[str, Any]:
    return {
        "WCSAXES": 2,
        "CTYPE1": "RA---TAN-SIP",
        "CTYPE2": "DEC--TAN-SIP",
        "CRVAL1": 315.4075184165135,
        "CRVAL2": -28.95599979714701,
        "CRPIX1": 1045.0 - skip_col,
        "CRPIX2": 1001.0 - skip_row,
        "CD1_1": -0.005495654681849,
        "CD1_2": 0.001441757140596,
        "CD2_1": -0.001576462149567,
        "CD2_2": -0.005527475851378,
        "A_ORDER": 2,
        "B_ORDER": 2,
        "A_2_0": -1.918478714828e-05,
        "A_1_1": 1.706500106484e-05,
        "A_0_2": -2.988141253236e-06,
        "B_2_0": 2.990245447057627e-6,
        "B_1_1": -1.635567354874e-05,
        "B_0_2": 1.993337625108e-05,
        "AP_ORDER": 2,
        "BP_ORDER": 2,
        "AP_2_0": 1.917874352436e-05,
        "BP_0_2": -1.993541380255e-05,
    }


@pytest.fixture
def make_ffi(tmp_path: Path) -> Maker:
    """Write a calibrated full-frame image or a window of one; keywords change or (None) remove cards."""

    def make(
        name: str = "tess2018206192942-s0001-1-4-0120-s_ffic.fits",
        shape: tuple[int, int] = (24, 30),
        skip: tuple[int, int] = (100, 200),
        wcs: bool = True,
        physical: bool = True,
        primary: dict[str, Any] | None = None,
        cards: dict[str, Any] | None = None,
        folder: Path | None = None,
    ) -> Path:
        head = fits.Header()
        head["TSTART"] = S1_START
        head["TSTOP"] = S1_START + 1800.0 / 86400.0
        head["TELESCOP"] = "TESS"
        head["PROCVER"] = "spoc-4.0.36-20200520"
        head["DATA_REL"] = 38
        image = fits.Header()
        image["EXTNAME"] = "CAMERA.CCD 1.4 cal"
        values: dict[str, Any] = {
            "CAMERA": 1,
            "CCD": 4,
            "EXPOSURE": 0.0165,
            "BJDREFI": 2457000,
            "BJDREFF": 0.0,
            "TSTART": S1_START + 5.6780875e-3,
            "TSTOP": S1_START + 5.6780875e-3 + 1800.0 / 86400.0,
            "BTC_PIX1": 1068.0,
            "BTC_PIX2": 1024.0,
            "BARYCORR": 5.6780875e-3,
            "TIMEDEL": 1800.0 / 86400.0,
            "BACKAPP": False,
            "NREADOUT": 720,
            "DQUALITY": 2048,
            "IMAGTYPE": "cal",
        }
        values |= {f"GAIN{letter}": 5.3 for letter in "ABCD"} | {f"READNOI{letter}": 8.0 for letter in "ABCD"}
        if wcs:
            values |= _wcs_cards(*skip)
        if physical:
            for k in (1, 2):
                values |= {f"CRPIX{k}P": 1, f"CRVAL{k}P": 1 + skip[k - 1]}
        for header, base, extra in ((head, {}, primary), (image, values, cards)):
            for key, value in (base | (extra or {})).items():
                if value is not None:
                    header[key] = value
                elif key in header:
                    del header[key]
        rows, cols = shape
        pixels = (np.arange(rows)[:, None] * 10000.0 + np.arange(cols)).astype(np.float32)
        path = (folder or tmp_path) / name
        units = [fits.PrimaryHDU(header=head), fits.ImageHDU(pixels, image), fits.ImageHDU(pixels * 0.1)]
        data = path.with_suffix(".part")
        fits.HDUList(units).writeto(data, output_verify="silentfix")
        content = data.read_bytes()
        data.unlink()
        path.write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
        return path

    return make


@pytest.fixture
def make_stamp(tmp_path: Path) -> Maker:
    """Write a TESScut cutout (``cut``) or a target pixel file of TESS or Kepler."""

    def make(
        name: str,
        cut: bool = False,
        n_frame: int = 6,
        shape: tuple[int, int] = (5, 4),
        corner: tuple[int, int] = (1410, 1833),
        scale: float = 21.1 / 3600.0,
        length: float = 120.0,
        primary: dict[str, Any] | None = None,
        gaps: tuple[int, ...] = (),
    ) -> Path:
        index = np.array([k for k in range(n_frame + len(gaps)) if k not in gaps])
        rng = np.random.default_rng(4)
        flux = rng.normal(100.0, 5.0, (n_frame, *shape)).astype(">f4")
        time = S1_START + (index + 0.5) * length / 86400.0 + 0.002
        count = shape[0] * shape[1]
        dim = f"({shape[1]},{shape[0]})"
        columns = [
            fits.Column("TIME", "D", array=time),
            fits.Column("TIMECORR", "E", array=np.full(n_frame, 0.002)),
            fits.Column("CADENCENO", "J", array=np.zeros(n_frame) if cut else 500 + index),
            fits.Column("FLUX", f"{count}E", dim=dim, array=flux),
            fits.Column("FLUX_BKG", f"{count}E", dim=dim, array=flux * 0.0 + 7.0),
            fits.Column("QUALITY", "J", array=2 ** np.arange(n_frame)),
        ]
        if cut:
            seconds = np.datetime64("2018-07-25T19:29:42") + (index * round(length)).astype("timedelta64[s]")
            names = [f"tess{s.astype(object):%Y%j%H%M%S}-s0001-1-4-0120-s_ffi" for s in seconds]
            columns.append(fits.Column("FFI_FILE", "38A", array=names))
        table = fits.BinTableHDU.from_columns(columns, name="PIXELS")
        n = [column.name for column in columns].index("FLUX") + 1
        extra: dict[str, Any] = {
            "BJDREFI": 2457000,
            "BJDREFF": 0.0,
            "TIMEDEL": length / 86400.0,
            "NREADOUT": round(0.4 * length),
        }
        extra |= {"BACKAPP": 0.0 if cut else True}
        extra |= {f"1CTYP{n}": "RA---TAN", f"2CTYP{n}": "DEC--TAN", f"1CRVL{n}": 131.45, f"2CRVL{n}": -53.43}
        extra |= {f"1CRPX{n}": 3.0, f"2CRPX{n}": 2.0, f"1CDLT{n}": -scale, f"2CDLT{n}": scale}
        extra |= {f"11PC{n}": 0.8, f"12PC{n}": -0.6, f"21PC{n}": 0.6, f"22PC{n}": 0.8}
        extra |= {f"{k}CRV{n}P": corner[k - 1] for k in (1, 2)} | {f"{k}CRP{n}P": 1 for k in (1, 2)}
        for key, value in extra.items():
            table.header[key] = value
        head = fits.Header()
        base: dict[str, Any] = {
            "TELESCOP": "TESS",
            "SECTOR": 1,
            "CAMERA": 1,
            "CCD": 4,
            "DATA_REL": 38,
            "PROCVER": "spoc-5.0",
        }
        base |= {"RA_OBJ": 131.45, "DEC_OBJ": -53.43, "TICID": 1234}
        base |= {"TSTART": S1_START, "TSTOP": S1_START + (int(index[-1]) + 1) * length / 86400.0}
        base |= {"CREATOR": "astrocut"} if cut else {}
        for key, value in (base | (primary or {})).items():
            if value is not None:
                head[key] = value
        mask = np.ones(shape, dtype=np.int32)
        mask[1:3, 1:3] |= 2
        path = tmp_path / name
        fits.HDUList([fits.PrimaryHDU(header=head), table, fits.ImageHDU(mask, name="APERTURE")]).writeto(path)
        return path

    return make


@pytest.fixture
def make_hdf5(tmp_path: Path) -> Maker:
    """Write a Vineyard stamp of sector 2, camera 2, CCD 2, where the real one lies."""

    def make(name: str = "tess_77_2_2_2.h5", n_frame: int = 5) -> Path:
        import h5py

        path = tmp_path / name
        with h5py.File(path, "w") as file:
            head = {"TID": 77, "Tmag": 12.0, "camera": 2, "chip": 2, "sector": 2, "ra": 25.6683, "dec": -47.936}
            head |= {"x": 1468.85, "y": 63.65, "cx": 5.85, "cy": 5.65}
            for key, value in head.items():
                file[f"header/{key}"] = value
            file["TPF/TIME"] = 1354.10837118 + np.arange(n_frame) * 0.02083386
            file["TPF/QUALITY"] = np.arange(n_frame, dtype=np.int32)
            file["TPF/MY_QUALITY"] = np.zeros(n_frame, dtype=np.int32)
            file["TPF/X_POS"] = np.full(n_frame, 18.06877)
            file["TPF/Y_POS"] = np.full(n_frame, -45.77562)
            file["TPF/ROW_CNTS"] = np.random.default_rng(2).normal(90.0, 2.0, (n_frame, 13, 13)).astype(np.float32)
        return path

    return make
