"""The thin joints between the pipeline's table and the rooms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.run.workspaces import House, raw_files

from cuvee import reference, steps
from cuvee.config import Config, load
from cuvee.errors import BadData
from cuvee.instruments.registry import instrument
from cuvee.model.instrument import Instrument
from cuvee.model.keys import BLOCK_CADENCES
from cuvee.model.records import Batch, FileInfo, Moments
from cuvee.run.streams import FrameStream, StreamLog
from cuvee.store.references import read_reference
from cuvee.store.targets import read_targets

TESS = instrument("tess")


@pytest.fixture
def root(house: House) -> Path:
    return house.finished()


def infos_of(root: Path, n: int) -> list[FileInfo]:
    return [TESS.scan(str(path)) for path in raw_files(root)[:n]]


def block_inputs(root: Path, infos: list[FileInfo], device: Instrument, log: StreamLog) -> dict[str, Any]:
    first = int(infos[0].moments.cadence[0]) // BLOCK_CADENCES * BLOCK_CADENCES
    return {
        "frame": FrameStream(device, infos, first, log),
        "targets": read_targets(next(root.glob("RED/*/*/targets.parquet"))),
        "reference": read_reference(next(root.glob("BASE/reference-frames/*.reference"))),
    }


def test_a_block_names_only_frames_that_could_be_read(root: Path) -> None:
    infos = infos_of(root, 5)

    def read(info: FileInfo, buffer: Any) -> Any:
        if info.path == infos[2].path:
            raise BadData(f"{info.path} is cut short.", "truncated", info.path)
        return TESS.read(info, buffer)

    log = StreamLog()
    config = load(root)
    block = steps.extract_block(block_inputs(root, infos, replace(TESS, read=read), log), config, TESS)
    at = [int(info.moments.cadence[0]) % BLOCK_CADENCES for info in infos]
    assert [block.names[i] for i in at] == [info.name if k != 2 else "" for k, info in enumerate(infos)]
    assert np.isnan(block.moments.start[at[2]])
    assert np.isfinite(block.planes["aperture1_flux"][:, at[1]]).any()
    assert np.isnan(block.planes["aperture1_flux"][:, at[2]]).all()
    assert [path for path, _, _ in log.bad] == [infos[2].path]


def test_a_block_without_any_good_frame_is_no_block(root: Path) -> None:
    def read(info: FileInfo, _: Any) -> Any:
        raise BadData(f"{info.path} is cut short.", "truncated", info.path)

    inputs = block_inputs(root, infos_of(root, 3), replace(TESS, read=read), StreamLog())
    with pytest.raises(BadData, match="none of its frames"):
        steps.extract_block(inputs, load(root), TESS)


def test_a_reader_that_fails_in_an_unforeseen_way_costs_one_frame(root: Path) -> None:
    infos = infos_of(root, 3)

    def read(info: FileInfo, buffer: Any) -> Any:
        if info.path == infos[1].path:
            raise IndexError("list index out of range")
        return TESS.read(info, buffer)

    log = StreamLog()
    inputs = block_inputs(root, infos, replace(TESS, read=read), log)
    block = steps.extract_block(inputs, load(root), TESS)
    assert sum(map(bool, block.names)) == 2
    (bad,) = log.bad
    assert bad[:2] == (infos[1].path, "unreadable")
    assert "IndexError" in bad[2]


def test_tables_of_patches_are_joined_in_their_order() -> None:
    tables = [{"id": np.array([3, 4])}, {"id": np.array([1])}]
    joined = steps.join_summary({"metrics": tables}, Config.model_validate({"workspace": {"instrument": "tess"}}), TESS)
    assert joined["id"].tolist() == [3, 4, 1]


def test_a_stamps_mean_image_is_made_of_frames_of_quality_0(monkeypatch: pytest.MonkeyPatch) -> None:
    quality = np.zeros(100, np.int32)
    quality[:50] = 1
    flux = np.full((100, 4, 5), 7.0, np.float32)
    flux[:50] = 1e6
    time = np.arange(100.0)
    moments = Moments(np.arange(100), time, time, np.zeros(100), quality)
    template = SimpleNamespace(name="x.fits", moments=moments, series="x", geometry=None, wcs="", readout=None)
    template.time_ra = template.time_dec = 0.0
    made: Any = object()
    monkeypatch.setattr(steps, "extract_series", lambda *_: made)
    config = Config.model_validate({"workspace": {"instrument": "tess"}})
    inputs = {"stamp": (SimpleNamespace(flux=flux), template, None), "targets": None}
    block, image = steps.extract_stamp(inputs, config, TESS)
    assert block is made
    assert len(image.members) == reference.SERIES_FRAMES
    np.testing.assert_array_equal(image.image, 7.0)


def test_batches_are_sixteen_neighbouring_cadences(root: Path) -> None:
    log = StreamLog()
    infos = infos_of(root, 40)
    first = int(infos[0].moments.cadence[0]) // BLOCK_CADENCES * BLOCK_CADENCES
    stream: Iterator[Batch] = iter(FrameStream(TESS, infos, first, log))
    lanes = [batch.position // 16 for batch in stream]
    assert all((lane == lane[0]).all() for lane in lanes)
    assert sum(map(len, lanes)) == 40
    assert len(log.contents) == 40
