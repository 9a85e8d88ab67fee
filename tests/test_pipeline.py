"""The floor plan hangs together: every stage reads what an earlier one writes, or what is raw."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from cuvee.config import Config
from cuvee.instruments.registry import instrument
from cuvee.model.keys import DataId
from cuvee.pipeline import PIPELINE
from cuvee.run.inputs import readers
from cuvee.run.outputs import WRITERS
from cuvee.run.stage import DIMENSIONS, Product, Stage, Unit, units_of
from cuvee.run.streams import StreamLog
from cuvee.store.paths import Paths

RAW = {"table", "frame", "member", "stamp", "footprint", "events", "spectrum"}
BY_NAME = {stage.name: stage for stage in PIPELINE}


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(PIPELINE)


@pytest.mark.parametrize("stage", PIPELINE, ids=lambda stage: stage.name)
def test_a_stage_is_complete(stage: Stage) -> None:
    before = {kind for other in PIPELINE[: PIPELINE.index(stage)] for kind in other.writes}
    assert set(stage.reads) <= before | RAW
    assert {*stage.reads, *stage.writes} <= DIMENSIONS.keys()
    config = Config.model_validate({"workspace": {"instrument": "tess"}})
    known = readers(Unit(stage, DataId("tess"), ()), instrument("tess"), config, Paths(Path()), StreamLog())
    assert set(stage.reads) <= known.keys()
    assert stage.name in WRITERS
    assert set(stage.params) <= Config.model_fields.keys()
    assert set(stage.per) <= set(DIMENSIONS[stage.reads[0]])
    assert stage.version >= 1
    assert stage.run.__doc__


@pytest.mark.parametrize("stage", PIPELINE, ids=lambda stage: stage.name)
def test_a_stage_travels_to_workers(stage: Stage) -> None:
    assert pickle.loads(pickle.dumps(stage)) == stage


def test_how_the_work_is_spread_is_no_parameter_of_a_result() -> None:
    spread = {"run", "keep", "data", "workspace", "catalog"}
    assert not any(spread & set(stage.params) for stage in PIPELINE)


def test_targets_take_only_the_parts_of_the_catalogue_that_meet_the_footprint() -> None:
    group = DataId("tess", "s0008", "3-4", "ffi")
    products = {
        "footprint": [Product("footprint", group, "f", "", {"cells": frozenset({3, 4})})],
        "partition": [Product("partition", DataId("tess", part=f"t@{c}"), "p", "", {"cell": c}) for c in (2, 3, 4, 5)],
    }
    (unit,) = units_of(BY_NAME["targets"], products)
    assert [product.meta["cell"] for product in unit.inputs if product.kind == "partition"] == [3, 4]
