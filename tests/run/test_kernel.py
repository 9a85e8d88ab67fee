"""A spacecraft kernel in the configuration: it moves the times of the stars, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.run.workspaces import done, run, times

import cuvee
from cuvee.errors import ConfigError
from cuvee.model.time import DAY
from cuvee.simulate.tess import simulate

spiceypy = pytest.importorskip("spiceypy", reason="spiceypy comes with the extra spice")

OFFSET = np.array([1.0e6, -2.0e6, 3.0e6])
"""Where the spacecraft hangs, from the Earth (km): far out, so that what it changes is easily seen."""


def write_kernel(path: Path, first: float, last: float, offset: np.ndarray = OFFSET) -> None:
    path.unlink(missing_ok=True)
    handle = spiceypy.spkopn(str(path), "test", 0)
    span = [(time + 5455.0) * DAY for time in (first, last)]
    states = np.hstack([np.tile(offset, (2, 1)), np.zeros((2, 3))])
    spiceypy.spkw08(handle, -95, 399, "J2000", *span, "test", 1, 2, states, span[0], span[1] - span[0])
    spiceypy.spkcls(handle)


def test_star_times_use_the_kernel(tmp_path: Path) -> None:
    root = tmp_path / "survey"
    simulate(root, frames=24, stars=30, size=96, seed=4)
    run(root)
    before = cuvee.open(root).light_curves()
    first, last = (float(f(before["lc"].combine_chunks().field("time").values)) for f in (np.nanmin, np.nanmax))
    write_kernel(root / "tess.bsp", first - 1.0, last + 1.0)
    config = (root / "cuvee.toml").read_text()
    (root / "cuvee.toml").write_text(config.replace("[time]", '[time]\nkernel = "tess.bsp"'))
    written = times(root)
    again = done(run(root))
    assert set(again) <= {"collect", "summary", "publish"}
    assert "collect" in again
    after = cuvee.open(root).light_curves()

    angles = np.radians([after["ra"].to_numpy(), after["dec"].to_numpy()])
    star = np.array([np.cos(angles[1]) * np.cos(angles[0]), np.cos(angles[1]) * np.sin(angles[0]), np.sin(angles[1])])
    moved = []
    for i in range(after.num_rows):
        new, old = (np.array(table["lc"][i]["time"].as_py()) for table in (after, before))
        moved.append(np.nanmean(new - old) * DAY)
        np.testing.assert_array_equal(np.array(after["lc"][i]["flux"].as_py()), before["lc"][i]["flux"].as_py())
    # Between two stars the direction of the frames' own times drops out. Without a kernel the Earth is taken where it is when the
    # light reaches the barycentre, which is worth 0.3 ms across these 96 pixels.
    expected = OFFSET / 299792.458 @ (star - star[:, :1])
    np.testing.assert_allclose(np.array(moved) - moved[0], expected, atol=4e-4)
    assert np.abs(expected).max() > 1e-2
    assert {name: when for name, when in times(root).items() if "/fluxes/" in name or "targets" in name} == {
        name: when for name, when in written.items() if "/fluxes/" in name or "targets" in name
    }

    assert run(root).worked == 0
    write_kernel(root / "tess.bsp", first - 1.0, last + 1.0, -OFFSET)  # another one under the same name
    assert "collect" in done(run(root))
    write_kernel(root / "tess.bsp", first - 9.0, first - 8.0)
    with pytest.raises(ConfigError, match="does not say where spacecraft -95 was"):
        run(root)
    (root / "tess.bsp").unlink()
    with pytest.raises(ConfigError, match="there is no file"):
        run(root)
