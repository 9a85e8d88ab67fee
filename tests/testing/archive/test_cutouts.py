"""Cutouts: their pixels are those of the images, and cuvee's own reader places them where the images are."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from tests.testing.archive.asking import ask

from cuvee.instruments.tess import TESS
from cuvee.testing.archive import LoopbackArchive


def place_of(path: Path, col: float, row: float) -> tuple[float, float]:
    """Return where a pixel of an image looks, by the image's own header."""
    with fits.open(path) as units:
        head = units[1].header
        for key in ("DATE-OBS", "DATE-END"):
            del head[key]
        ra, dec = WCS(head).all_pix2world(col, row, 0)
    return float(ra), float(dec)


def cutout(archive: LoopbackArchive, ra: float, dec: float, width: int, height: int, folder: Path) -> Path:
    query = f"x={width}&y={height}&units=px&sector=8&ra={ra}&dec={dec}"
    got = ask(archive, f"/tesscut/api/v0.1/astrocut?{query}")
    assert got.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(got.body)) as packed:
        (name,) = packed.namelist()
        assert name == f"tess-s0008-3-4_{ra:.6f}_{dec:.6f}_{width}x{height}_astrocut.fits"
        return Path(packed.extract(name, folder))


@pytest.mark.parametrize(("width", "height"), [(5, 5), (4, 7), (1, 1)])
def test_pixels_are_those_of_the_images(
    archive: LoopbackArchive, served: Path, tmp_path: Path, width: int, height: int
) -> None:
    frames = sorted(served.glob("frames/*_ffic.fits"))
    ra, dec = place_of(frames[3], 30.2, 20.3)
    path = cutout(archive, ra, dec, width, height, tmp_path)
    with fits.open(path) as units:
        table, names = units["PIXELS"].data, [name.strip() for name in units["PIXELS"].data["FFI_FILE"]]
        assert names == [frame.name[:38] for frame in frames]
        assert units["APERTURE"].data.shape == (height, width)
        corners = [units["PIXELS"].header[key] for key in ("1CRV5P", "2CRV5P")]
        for k, frame in enumerate(frames):
            with fits.open(frame) as image:
                # A pixel of the whole CCD, from its number in the image: both count from 1.
                left = corners[0] - round(1045 - image[1].header["CRPIX1"]) - 1
                low = corners[1] - round(1001 - image[1].header["CRPIX2"]) - 1
                part = slice(low, low + height), slice(left, left + width)
                np.testing.assert_array_equal(table["FLUX"][k].reshape(height, width), image[1].data[part])
                np.testing.assert_array_equal(table["FLUX_ERR"][k].reshape(height, width), image[2].data[part])
                assert table["TIME"][k] == (image[1].header["TSTART"] + image[1].header["TSTOP"]) / 2
        # The place that was asked for is in the middle pixel; of an even number of pixels, in one of the middle two.
        assert abs(left + (width - 1) / 2 - 30.2) <= (0.5 if width % 2 else 1.0)
        assert abs(low + (height - 1) / 2 - 20.3) <= (0.5 if height % 2 else 1.0)


def test_cuvee_reads_a_cutout_where_the_images_are(archive: LoopbackArchive, served: Path, tmp_path: Path) -> None:
    frames = sorted(served.glob("frames/*_ffic.fits"))
    ra, dec = place_of(frames[3], 30.0, 20.0)
    cut, image = TESS.scan(str(cutout(archive, ra, dec, 7, 7, tmp_path))), TESS.scan(str(frames[3]))
    assert (cut.kind, cut.segment, cut.detector) == ("tesscut", "s0008", "3-4")
    col, row = cut.geometry.col0 - image.geometry.col0, cut.geometry.row0 - image.geometry.row0
    flux = TESS.read(cut, None).flux
    for k, frame in enumerate(frames):
        whole = TESS.read(TESS.scan(str(frame)), None).flux[0]
        np.testing.assert_array_equal(flux[k], whole[row : row + 7, col : col + 7])
    # The tangent plane of the cutout against the image's distorted one, over the cutout.
    x, y = (
        axis.ravel() for axis in np.meshgrid(cut.geometry.col0 + np.arange(7.0), cut.geometry.row0 + np.arange(7.0))
    )
    ours, theirs = (np.array(WCS(fits.Header.fromstring(info.wcs)).all_pix2world(x, y, 0)) for info in (cut, image))
    assert (
        np.abs((ours - theirs) * [[np.cos(np.radians(dec))], [1.0]]).max() * 3600 < 0.01 * 21
    )  # a hundredth of a pixel


def test_what_lies_outside_is_not_a_number(archive: LoopbackArchive, served: Path, tmp_path: Path) -> None:
    ra, dec = place_of(sorted(served.glob("frames/*_ffic.fits"))[3], 0.0, 30.0)
    with fits.open(cutout(archive, ra, dec, 6, 3, tmp_path)) as units:
        flux = units["PIXELS"].data["FLUX"]
    assert np.isnan(flux).any(axis=(0, 1)).tolist() == [True, True, True, False, False, False]
    assert np.isnan(flux).all(axis=(0, 1)).tolist() == [True, True, True, False, False, False]


def test_who_has_seen_a_place(archive: LoopbackArchive, served: Path) -> None:
    ra, dec = place_of(sorted(served.glob("frames/*_ffic.fits"))[3], 30.0, 30.0)
    found = ask(archive, "/tesscut/api/v0.1/sector", "POST", f"ra={ra}&dec={dec}&radius=0.0").json
    assert found == {"results": [{"sectorName": "tess-s0008-3-4", "sector": "0008", "camera": "3", "ccd": "4"}]}
    assert ask(archive, "/tesscut/api/v0.1/sector", "POST", f"ra={ra}&dec={-dec}&radius=0.0").json == {"results": []}
    assert "msg" in ask(archive, f"/tesscut/api/v0.1/astrocut?ra={ra}&dec={-dec}&x=5&y=5&units=px").json
    assert ask(archive, f"/tesscut/api/v0.1/astrocut?ra={ra}&dec={dec}&x=5&y=5&units=px&sector=9").json["msg"]
    for wrong in ("ra=x&dec=1", f"ra={ra}&dec={dec}&x=0&y=5", f"ra={ra}&dec={dec}&x=5&y=5&units=ly"):
        assert ask(archive, f"/tesscut/api/v0.1/astrocut?{wrong}").status == 400
