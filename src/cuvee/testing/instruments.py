"""What every instrument must do: a suite for the tests of an instrument's plug-in.

A plug-in's test subclasses `InstrumentContract` under a name that pytest collects and says what its instrument is and which files it reads::

    from cuvee.testing.instruments import InstrumentContract

    class TestMyCamera(InstrumentContract):
        def device(self):
            return MY_CAMERA

        def samples(self, folder):
            return [write_a_frame(folder / "frame.fits")]
"""

from __future__ import annotations

import dataclasses
import math
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np

from cuvee.errors import BadData
from cuvee.model.instrument import Instrument
from cuvee.model.records import FileInfo, Pixels

__all__ = ["InstrumentContract"]

REASONS = {
    "truncated",
    "empty",
    "not-fits",
    "header",
    "all-nan",
    "duplicate",
    "wrong-shape",
    "checksum",
    "clock",
    "unreadable",
}
MUTATIONS = 200
SEED = 20180725


def _outcome(device: Instrument, path: Path) -> BadData | tuple[FileInfo, Pixels]:
    # Whatever the bytes are, one of two things comes out.
    try:
        info = device.scan(str(path))
        return info, device.read(info, None)
    except BadData as caught:
        error = caught
    assert error.reason in REASONS, error.reason
    assert str(path) in error.message
    assert "\n" not in error.message
    assert pickle.loads(pickle.dumps(error)).reason == error.reason
    return error


class InstrumentContract:
    """Tests of one instrument; subclass and fill in `device` and `samples`."""

    def device(self) -> Instrument:
        """Return the instrument."""
        raise NotImplementedError

    def samples(self, folder: Path) -> list[Path]:
        """Return good files of each kind that it reads; ``folder`` is there to write them in."""
        raise NotImplementedError

    def test_record(self) -> None:
        """The record is complete, and its quality bits are bits."""
        device = self.device()
        assert re.fullmatch(r"[a-z][a-z0-9_]*", device.name)
        assert device.title
        assert device.patterns
        assert math.isfinite(device.zero_point)
        assert device.fwhm > 0.0
        values = [bit.value for bit in device.quality]
        assert len(set(values)) == len(values)
        assert all(value > 0 and value & (value - 1) == 0 for value in values)

    def test_scan_describes_the_file(self, tmp_path: Path) -> None:
        """Names are fit for folders and keys; times, geometry and WCS are consistent; the record travels between processes."""
        device = self.device()
        for path in self.samples(tmp_path):
            info = device.scan(str(path))
            assert info.path == str(path)
            assert info.instrument == device.name
            for word in (info.segment, info.detector, info.kind, info.series, info.name):
                assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", word), word
            geometry, moments = info.geometry, info.moments
            assert geometry.n_row > 0
            assert geometry.n_col > 0
            if geometry.detector_rows:
                assert 0 <= geometry.row0 <= geometry.detector_rows - geometry.n_row
                assert 0 <= geometry.col0 <= geometry.detector_cols - geometry.n_col
            kinds = {
                "cadence": "int64",
                "start": "float64",
                "stop": "float64",
                "barycorr": "float64",
                "quality": "int32",
            }
            for name, kind in kinds.items():
                values = getattr(moments, name)
                assert values.dtype == kind
                assert values.shape == moments.cadence.shape
            known = np.isfinite(moments.mid)
            assert np.all(moments.start[known] < moments.stop[known])
            assert np.all(np.abs(moments.mid[known]) < 1e5)
            readout = info.readout
            assert readout.exposure > 0.0
            assert readout.n_read > 0
            assert len(readout.gain) == len(readout.read_noise) == len(readout.output_col) > 0
            assert list(readout.output_col) == sorted(readout.output_col)
            again = pickle.loads(pickle.dumps(info))
            for field in dataclasses.fields(info):
                if field.name != "moments":
                    np.testing.assert_equal(getattr(again, field.name), getattr(info, field.name))

    def test_wcs_is_in_detector_coordinates(self, tmp_path: Path) -> None:
        """The WCS text opens in astropy, and the pixels of the series lie within a degree of where stars may be projected."""
        from astropy.io import fits
        from astropy.wcs import WCS

        device = self.device()
        for path in self.samples(tmp_path):
            info = device.scan(str(path))
            if not info.wcs:
                continue
            assert len(info.wcs) % 80 == 0
            wcs = WCS(fits.Header.fromstring(info.wcs))
            col = info.geometry.col0 + 0.5 * (info.geometry.n_col - 1)
            row = info.geometry.row0 + 0.5 * (info.geometry.n_row - 1)
            ra, dec = wcs.all_pix2world(col, row, 0)
            back = wcs.all_world2pix(ra, dec, 0)
            np.testing.assert_allclose(back, [col, row], atol=1e-3)

    def test_read_gives_what_scan_promised(self, tmp_path: Path) -> None:
        """Pixels have the promised shape; their content hash depends on the bytes alone, not on buffer or name."""
        device = self.device()
        for path in self.samples(tmp_path):
            info = device.scan(str(path))
            plain = device.read(info, None)
            shape = (info.moments.cadence.size, info.geometry.n_row, info.geometry.n_col)
            assert plain.flux.shape == shape
            assert plain.flux.dtype.newbyteorder("=") == np.float32
            assert re.fullmatch(r"[0-9a-f]{32}", plain.content)
            flux = plain.flux.copy()
            buffer = np.full(os.path.getsize(path) + (1 << 24), 255, dtype=np.uint8)
            for _ in range(2):
                reused = device.read(info, buffer)
                np.testing.assert_array_equal(reused.flux, flux)
                assert reused.content == plain.content
            tiny = device.read(info, np.empty(10, dtype=np.uint8))
            np.testing.assert_array_equal(tiny.flux, flux)
            if plain.background is not None:
                assert plain.background.shape == shape
            assert (plain.mask is not None) == info.has_mask
            if plain.mask is not None:
                assert plain.mask.shape == shape[1:]
                assert plain.mask.dtype == bool
            elsewhere = tmp_path / "elsewhere"
            elsewhere.mkdir(exist_ok=True)
            moved = Path(shutil.copy(path, elsewhere / path.name))
            assert device.read(device.scan(str(moved)), None).content == plain.content

    def test_broken_files_are_bad_data(self, tmp_path: Path) -> None:
        """Empty, HTML, missing and truncated files come out as `BadData` with a reason, from scan or at the latest from read."""
        device = self.device()
        for path in self.samples(tmp_path):
            data = path.read_bytes()
            broken = tmp_path / ("broken-" + path.name)
            broken.write_bytes(b"")
            outcome = _outcome(device, broken)
            assert isinstance(outcome, BadData)
            assert outcome.reason == "empty"
            broken.write_bytes(b"<!DOCTYPE html><html><body>503 Service Unavailable</body></html>\n" * 60)
            outcome = _outcome(device, broken)
            assert isinstance(outcome, BadData)
            assert outcome.reason == "not-fits"
            broken.unlink()
            assert isinstance(_outcome(device, broken), BadData)
            for share in (0.001, 0.1, 0.4):
                broken.write_bytes(data[: max(3, int(share * len(data)))])
                assert isinstance(_outcome(device, broken), BadData), f"{path.name} cut at {share}"
            broken.unlink()

    def test_damaged_bytes_never_escape(self, tmp_path: Path) -> None:
        """Random damage to the first 40 kB gives `BadData` or a readable file; no other exception, no hang."""
        device = self.device()
        rng = np.random.default_rng(SEED)
        for path in self.samples(tmp_path):
            data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
            broken = tmp_path / ("damaged-" + path.name)
            for _ in range(MUTATIONS):
                damaged = data.copy()
                at = rng.integers(0, min(data.size, 40_000), size=rng.integers(1, 30))
                damaged[at] = rng.integers(32, 127, size=at.size)
                broken.write_bytes(damaged.tobytes())
                _outcome(device, broken)
