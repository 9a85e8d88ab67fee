"""Kepler and K2 target pixel files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from cuvee.errors import BadData
from cuvee.instruments.kepler import KEPLER
from cuvee.instruments.tess import TESS

Maker = Callable[..., Path]
HEAD = {"TELESCOP": "Kepler", "QUARTER": 3, "MODULE": 12, "OUTPUT": 3, "KEPLERID": 757076, "SECTOR": None}


def _make(make_stamp: Maker, name: str = "kplr000757076_lpd-targ.fits", **primary: Any) -> Path:
    return make_stamp(name, corner=(84, 52), scale=3.98 / 3600, length=1765.5, primary=HEAD | primary)


def test_quarter_and_module_output(make_stamp: Maker) -> None:
    info = KEPLER.scan(str(_make(make_stamp)))
    assert (info.segment, info.detector, info.kind, info.target_id) == ("q03", "12-3", "tpf-long", 757076)
    assert (info.geometry.row0, info.geometry.col0) == (31, 71)
    assert info.readout.assumed == ("GAIN", "READNOIS")
    assert info.readout.n_read == 706  # NREADOUT as made
    pixels = KEPLER.read(info, None)
    assert pixels.mask is not None
    assert pixels.mask.sum() == 4


def test_campaign_before_quarter_and_neither_is_named(make_stamp: Maker) -> None:
    assert KEPLER.scan(str(_make(make_stamp, CAMPAIGN=9))).segment == "c09"
    with pytest.raises(BadData, match="CAMPAIGN and QUARTER"):
        KEPLER.scan(str(_make(make_stamp, "b.fits", QUARTER=None)))


def test_files_of_the_other_mission_say_so(make_stamp: Maker) -> None:
    with pytest.raises(BadData, match="not from TESS but from Kepler"):
        TESS.scan(str(_make(make_stamp)))
    with pytest.raises(BadData, match="not from Kepler but from TESS"):
        KEPLER.scan(str(make_stamp("x_tp.fits", primary={"QUARTER": 3})))


def test_real_k2_file(shared_data: Path) -> None:
    folder = shared_data / "k2_221312395"
    path = folder / "ktwo221312395-c91_lpd-targ.fits.gz"
    info = KEPLER.scan(str(path))
    assert (info.segment, info.detector, info.kind, info.series) == (
        "c91",
        "10-4",
        "tpf-long",
        "ktwo221312395-c91_lpd-targ",
    )
    assert not info.background_subtracted
    assert info.readout.gain == (115.49,)
    assert info.readout.exposure == pytest.approx(270 * 6.01980290327)
    with fits.open(path) as hdus:
        table = hdus[1].data
        time, flux = table["TIME"], table["FLUX"]
        np.testing.assert_allclose(info.moments.mid, time + 2454833.0 - 2457000.0, rtol=1e-12)
        np.testing.assert_array_equal(info.moments.cadence, table["CADENCENO"])
        np.testing.assert_array_equal(info.moments.quality, table["QUALITY"])
        pixels = KEPLER.read(info, None)
        np.testing.assert_array_equal(pixels.flux, flux)
        # The file's own WCS: its first pixel is column 84, row 52, which are 71 and 31 from the first science pixel.
        x, y = WCS(hdus["APERTURE"].header, fix=False).all_world2pix(267.75039, -29.336657, 0)
    mine = WCS(fits.Header.fromstring(info.wcs)).all_world2pix(267.75039, -29.336657, 0)
    np.testing.assert_allclose(mine, [x + 71.0, y + 31.0], atol=1e-6)
    assert np.isnan(info.moments.mid).sum() == 3


def test_given_masks_reproduce_k2sff(shared_data: Path) -> None:
    """Truth D3: masks over our pixels, less the median of the pixels outside CIRC_APER3, are FRAW."""
    folder = shared_data / "k2_221312395"
    info = KEPLER.scan(str(folder / "ktwo221312395-c91_lpd-targ.fits.gz"))
    pixels = KEPLER.read(info, None)
    at = {int(cadence): k for k, cadence in enumerate(info.moments.cadence)}
    with fits.open(folder / "hlsp_k2sff_k2_lightcurve_221312395-c91_kepler_v1_llc.fits.gz") as hdus:
        circles, prfs = hdus["CIRC_APER_TBL"].data != 0, hdus["PRF_APER_TBL"].data != 0
        names = [f"CIRC_APER{k}" for k in range(6)] + [f"PRF_APER{k}" for k in range(4)]
        tables = {name: hdus[name].data for name in names}
        for name in names:
            kind, number = name.split("_APER")
            mask = (circles if kind == "CIRC" else prfs)[int(number)]
            rows = [at[int(cadence)] for cadence in tables[name]["CADENCENO"]]
            flux = pixels.flux[rows].astype(float)
            raw = flux[:, mask].sum(axis=1) - mask.sum() * np.median(flux[:, ~circles[3]], axis=1)
            truth = tables[name]["FRAW"]
            np.testing.assert_allclose(raw / np.median(raw), truth / np.median(truth), rtol=1e-12, err_msg=name)
