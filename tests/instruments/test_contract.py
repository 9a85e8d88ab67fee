"""The shared suite, run on both instruments, with a file of each kind."""

from pathlib import Path

import pytest

from cuvee.instruments.registry import instrument
from cuvee.model.instrument import Instrument
from cuvee.testing.instruments import InstrumentContract


class TestTess(InstrumentContract):
    @pytest.fixture(autouse=True)
    def _makers(self, make_ffi, make_stamp, make_hdf5):  # type: ignore[no-untyped-def]
        self.made = [
            make_ffi(),
            make_ffi("tess2018206195942-s0001-1-4-0120-s_ffic.fits.gz"),
            make_stamp("tess-s0001-1-4_131.4_-53.4_5x4_astrocut.fits", cut=True, length=1800.0),
            make_stamp("tess2018206045859-s0001-0000000000001234-0120-s_tp.fits"),
        ]
        self.hdf5 = make_hdf5()

    def device(self) -> Instrument:
        return instrument("tess")

    def samples(self, folder: Path) -> list[Path]:
        assert folder.is_dir()
        return [*self.made, self.hdf5]


class TestKepler(InstrumentContract):
    @pytest.fixture(autouse=True)
    def _makers(self, make_stamp):  # type: ignore[no-untyped-def]
        head = {"TELESCOP": "Kepler", "QUARTER": 3, "MODULE": 12, "OUTPUT": 3, "KEPLERID": 757076, "SECTOR": None}
        self.made = [
            make_stamp("kplr000757076_lpd-targ.fits", corner=(84, 52), scale=3.98 / 3600, length=1765.5, primary=head)
        ]

    def device(self) -> Instrument:
        return instrument("kepler")

    def samples(self, folder: Path) -> list[Path]:
        assert folder.is_dir()
        return self.made
