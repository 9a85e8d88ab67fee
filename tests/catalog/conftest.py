"""The real detector that the IC 2391 stamps were cut from."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from cuvee.model.records import Footprint, Geometry


@pytest.fixture(scope="session")
def ic2391(shared_data: Path) -> Footprint:
    """Sector 8, camera 3, CCD 4, in detector coordinates."""
    table = pq.read_table(shared_data / "tess_ic2391_s8_c3_ccd4" / "tess-s0008-wcs-catalog.parquet").to_pylist()
    text = next(row["wcs"] for row in table if (row["camera"], row["ccd"]) == (3, 4))
    header = fits.Header.fromstring(text)
    header["CRPIX1"] -= 44  # FFI column = detector column + 45, 1-based
    return Footprint("ffi", Geometry(2048, 2048, 0, 0, 2048, 2048), header.tostring(), 2019.12)
