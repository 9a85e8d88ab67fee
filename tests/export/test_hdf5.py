"""HDF5 stamps must hold the frames' own pixels, and cuvee must measure in them what it measures in the frames."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits
from tests.export.conftest import BROKEN, FRAMES, SIZE, origin
from tests.run import stamps
from tests.run.workspaces import raw_files, run

import cuvee
from cuvee.errors import ConfigError
from cuvee.instruments.tess import TESS
from cuvee.survey import Survey


def test_pixels_are_those_of_the_frames_and_names_those_of_the_readme(
    survey: Survey, star: int, tmp_path: Path
) -> None:
    curve = survey.light_curve(star)
    seen, place = curve.observations[0], origin(survey)
    assert survey.export(tmp_path, "hdf5", [star]) == 1
    with h5py.File(tmp_path / f"tess_{star}_8_3_4.h5") as file:
        head = {name: item[()] for name, item in file["header"].items()}
        series = {name: item[()] for name, item in file["TPF"].items()}
    assert set(head) == {"TID", "sector", "camera", "chip", "ra", "dec", "Tmag", "x", "y", "cx", "cy"}
    assert set(series) == {"TIME", "ROW_CNTS", "QUALITY", "MY_QUALITY", "X_POS", "Y_POS"}
    assert (head["TID"], head["sector"], head["camera"], head["chip"]) == (star, 8, 3, 4)
    assert (head["x"], head["y"]) == pytest.approx((seen["col"] + 44, seen["row"]))
    assert series["ROW_CNTS"].shape == (FRAMES - 1, 13, 13)
    assert series["ROW_CNTS"].dtype == np.float32
    x, y = (round(head[k] - head[f"c{k}"]) for k in ("x", "y"))
    good = [path for i, path in enumerate(raw_files(survey.path)) if i != BROKEN]
    for i, path in enumerate(good):
        with fits.open(path) as units:
            raw = units[1].data[y - place["row"] :, x - 44 - place["col"] :][:13, :13]
            head_of = units[1].header
            assert series["TIME"][i] == pytest.approx(head_of["TSTART"], abs=2.1 / 86400.0)  # the sector's clock
            np.testing.assert_allclose(
                (series["X_POS"][i], series["Y_POS"][i]), (head_of["CRVAL1"], head_of["CRVAL2"]), atol=1e-9
            )
        np.testing.assert_array_equal(series["ROW_CNTS"][i], raw)
    np.testing.assert_array_equal(series["QUALITY"], curve.quality)
    assert (series["MY_QUALITY"] & 1 == 0).all()


def test_a_run_on_the_stamps_measures_what_the_frames_gave(survey: Survey, tmp_path: Path) -> None:
    rows = survey.light_curves(columns=["id", "mag", "col", "row", "crowding"]).to_pylist()
    place = origin(survey)
    inside = [r for r in rows if all(12 < r[k] - place[k] < SIZE - 12 for k in ("col", "row")) and r["crowding"] > 0.9]
    ids = [int(r["id"]) for r in sorted(inside, key=lambda r: r["mag"])[:5]]
    raw = tmp_path / "stamps"
    assert survey.export(raw, "hdf5", ids) == len(ids)
    root = tmp_path / "again"
    root.mkdir()
    (root / "cuvee.toml").write_text(
        f'[workspace]\ninstrument = "tess"\n[data]\nfiles = ["{raw}"]\n[catalog]\n'
        f'files = ["{survey.path / "BASE" / "CAT" / "catalog.csv"}"]\n'
    )
    assert not run(root).troubled
    again = cuvee.open(root)
    for star in ids:
        frames, stamp = survey.light_curve(star), again.light_curve(star)
        np.testing.assert_array_equal(stamp.cadence, frames.cadence)
        np.testing.assert_array_equal(stamp.quality, frames.quality)
        # The reader takes the Earth's place and a nominal camera; a second is 1e-5 d.
        assert np.abs(stamp.time - frames.time).max() * 86400.0 < 0.5
        for name in ("col", "row"):
            assert stamp.observations[0][name] == pytest.approx(frames.observations[0][name], abs=0.05)
        ratio = stamp.points["aperture2_flux"] / frames.points["aperture2_flux"]
        # Another estimate of the background, out of 13 x 13 pixels.
        assert np.median(ratio) == pytest.approx(1.0, abs=0.02)


def test_stamps_end_where_the_detector_ends(survey: Survey, tmp_path: Path) -> None:
    place = origin(survey)
    rows = survey.light_curves(columns=["id", "col", "row"]).to_pylist()
    near = [r for r in rows if round(r["row"]) - place["row"] < 6 < round(r["col"]) - place["col"] < SIZE - 7]
    assert near, "choose another seed: no star at the edge"
    (one, *_) = near
    survey.export(tmp_path, "hdf5", [one["id"]])
    info = TESS.scan(str(next(tmp_path.iterdir())))
    assert info.geometry.row0 == place["row"]
    assert info.geometry.n_row == round(one["row"]) - place["row"] + 7
    assert info.geometry.n_col == 13


def test_bytes_are_the_same_each_time(survey: Survey, star: int, tmp_path: Path) -> None:
    content = []
    for name in ("one", "two"):
        survey.export(tmp_path / name, "hdf5", [star])
        content.append(next((tmp_path / name).iterdir()).read_bytes())
    assert content[0] == content[1]


def test_what_cannot_be_is_told_in_a_sentence(
    survey: Survey, star: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = stamps.make_workspace(tmp_path / "cuts", 1)
    run(root)
    with pytest.raises(ConfigError, match="--format tpf"):
        cuvee.open(root).export(tmp_path / "out", "hdf5", [1000])
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'cuvee\[hdf5\]'"):
        survey.export(tmp_path / "out", "hdf5", [star])
