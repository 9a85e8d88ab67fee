"""Footprints like TESS's, anywhere on the sky."""

from astropy.io import fits

from cuvee.model.records import Footprint, Geometry

# SIP terms as large as those of a TESS corner CCD (some pixels of distortion at the edges, some tens at the far corner).
SIP = {
    "A_2_0": -1.94e-5,
    "A_1_1": 1.73e-5,
    "A_0_2": -3.09e-6,
    "A_3_0": 2.1e-9,
    "A_1_2": -2.7e-9,
    "B_2_0": 4.1e-6,
    "B_1_1": -1.5e-5,
    "B_0_2": 2.05e-5,
    "B_0_3": 1.9e-9,
    "B_2_1": -2.2e-9,
}
SCALE = 0.00577  # deg/px


def sip_footprint(
    ra: float,
    dec: float,
    *,
    size: int = 2048,
    series: str = "ffi",
    epoch: float = 2000.0,
    geometry: Geometry | None = None,
) -> Footprint:
    """A detector whose WCS is centred on its middle pixel, with distortion, rotated and mirrored as TESS's are."""
    header = fits.Header()
    header["WCSAXES"] = 2
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    header["CRPIX1"] = header["CRPIX2"] = 0.5 * (size + 1)
    header["CD1_1"], header["CD1_2"] = 0.89 * SCALE, 0.45 * SCALE
    header["CD2_1"], header["CD2_2"] = -0.45 * SCALE, 0.89 * SCALE
    header["A_ORDER"] = header["B_ORDER"] = 3
    for key, value in SIP.items():
        header[key] = value
    return Footprint(series, geometry or Geometry(size, size, 0, 0, size, size), header.tostring(), epoch)


def stamp_of(footprint: Footprint, series: str, col0: int, row0: int, n_col: int, n_row: int) -> Footprint:
    """A window of a detector, with the detector's WCS."""
    full = footprint.geometry
    geometry = Geometry(n_row, n_col, row0, col0, full.detector_rows, full.detector_cols)
    return Footprint(series, geometry, footprint.wcs, footprint.epoch)
