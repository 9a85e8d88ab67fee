"""A survey of tile-compressed frames: where the compression loses nothing, so do the light curves."""

from __future__ import annotations

from pathlib import Path

from astropy.io import fits
from tests.run.workspaces import product_bytes, raw_files, run

from cuvee.simulate.tess import simulate


def compress(path: Path) -> None:
    with fits.open(path) as units:
        images = [
            fits.CompImageHDU(unit.data, unit.header, compression_type="GZIP_2", quantize_level=0) for unit in units[1:]
        ]
        fits.HDUList([fits.PrimaryHDU(header=units[0].header), *images]).writeto(path.with_name(f"{path.name}.fz"))
    path.unlink()


def test_light_curves_are_those_of_the_plain_frames(tmp_path: Path) -> None:
    for name in ("plain", "packed"):
        simulate(tmp_path / name, frames=20, stars=30, size=96, seed=4)
    for path in raw_files(tmp_path / "packed"):
        compress(path)
    plain, packed = (run(tmp_path / name, executor="process", workers=2) for name in ("plain", "packed"))
    assert not packed.bad
    assert packed.n_files == plain.n_files
    assert product_bytes(tmp_path / "packed") == product_bytes(tmp_path / "plain")
    assert run(tmp_path / "packed").worked == 0
