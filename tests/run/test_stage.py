"""Units are found by joining products on their dimensions, in linear time."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import xxhash

from cuvee.model.keys import DataId, recipe_hash
from cuvee.run.stage import Product, Stage, units_of

DETECTOR = ("instrument", "segment", "detector", "kind")


def nothing(*_: object) -> None:
    return None


def frame(detector: str, cadence: int, content: str = "x") -> Product:
    data_id = DataId("tess", "s0008", detector, "ffi", "ffi", f"frame{cadence}")
    return Product("frame", data_id, content, f"/raw/{detector}/{cadence}", {"block": f"b{cadence // 128:06d}"})


EXTRACT = Stage(
    "extract", 1, (*DETECTOR, "series", "block"), ("frame", "reference", "targets"), ("fluxes",), (), nothing
)
COLLECT = Stage("collect", 1, (*DETECTOR, "patch"), ("targets", "fluxes"), ("lightcurves",), (), nothing)


def test_blocks_gather_their_frames_and_share_reference_and_targets() -> None:
    series = DataId("tess", "s0008", "3-4", "ffi", "ffi")
    products = {
        "frame": [frame("3-4", c) for c in range(100, 300)] + [frame("1-1", 100)],
        "reference": [Product("reference", series, "r")],
        "targets": [Product("targets", series.group, "t", "", {"patches": {"p00001": (0, 5), "p00002": (5, 9)}})],
    }
    units = units_of(EXTRACT, products)
    by_part = {(u.data_id.detector, u.data_id.part): u for u in units}
    assert sorted(by_part) == [("1-1", "b000000"), ("3-4", "b000000"), ("3-4", "b000001"), ("3-4", "b000002")]
    assert [p.kind for p in by_part["3-4", "b000000"].inputs] == ["frame"] * 28 + ["reference", "targets"]
    # The other detector has neither reference nor targets: its unit lacks them, and the driver calls it blocked.
    assert {p.kind for p in by_part["1-1", "b000000"].inputs} == {"frame"}


def test_patches_gather_only_blocks_that_touch_them() -> None:
    group = DataId("tess", "s0008", "3-4", "tesscut")
    targets = Product("targets", group, "t", "", {"patches": {"p00001": (0, 5), "p00002": (5, 9)}})
    stamps = [
        Product("fluxes", DataId("tess", "s0008", "3-4", "tesscut", name), name, "", {"patches": {patch: (0, 1)}})
        for name, patch in (("a", "p00001"), ("b", "p00002"), ("c", "p00002"))
    ]
    units = units_of(COLLECT, {"targets": [targets], "fluxes": stamps})
    got = {u.data_id.part: sorted(p.data_id.series for p in u.inputs if p.kind == "fluxes") for u in units}
    assert got == {"p00001": ["a"], "p00002": ["b", "c"]}


def test_recipe_depends_on_every_input_and_parameter_and_on_nothing_else() -> None:
    inputs = [("frame", "a", "1"), ("frame", "b", "2")]
    recipe = recipe_hash("extract", 1, {"r": 1.5}, inputs)
    assert recipe == recipe_hash("extract", 1, {"r": 1.5}, reversed(inputs))
    others = {
        recipe_hash("extract", 2, {"r": 1.5}, inputs),
        recipe_hash("extract", 1, {"r": 2.5}, inputs),
        recipe_hash("extract", 1, {"r": 1.5}, inputs[:1]),
        recipe_hash("extract", 1, {"r": 1.5}, [("frame", "a", "1"), ("frame", "b", "3")]),
        recipe_hash("collect", 1, {"r": 1.5}, inputs),
    }
    assert recipe not in others
    assert len(others) == 5


def test_a_recipe_is_the_hash_of_plain_json() -> None:
    inputs = [("frame", 'tess/"å\\\n', "2"), ("frame", "tess/b", ""), ("footprint", "tess/b", "1")]
    params = {"r": [1.5, None], "a": {"z": "ü", "b": True}}
    text = json.dumps(["extract", 3, params, sorted(inputs)], sort_keys=True, separators=(",", ":"))
    assert recipe_hash("extract", 3, params, inputs) == xxhash.xxh3_128(text.encode()).hexdigest()
    nothing_read = json.dumps(["extract", 3, {}, []], separators=(",", ":"))
    assert recipe_hash("extract", 3, {}, []) == xxhash.xxh3_128(nothing_read.encode()).hexdigest()


def test_a_patch_gathers_the_footprints_of_its_own_series_only() -> None:
    group = DataId("tess", "s0008", "3-4", "tesscut")
    series = {name: group._replace(series=name) for name in ("a", "b", "c")}
    products = {
        "targets": [Product("targets", group, "t", "", {"patches": {"p00001": (0, 5), "p00002": (5, 9)}})],
        "fluxes": [
            Product("fluxes", series["a"], "fa", "", {"patches": {"p00001": (0, 1)}}),
            Product("fluxes", series["b"]._replace(part="b0"), "fb", "", {"patches": {"p00002": (0, 1)}}),
            Product("fluxes", series["b"]._replace(part="b1"), "fb", "", {"patches": {"p00002": (0, 1)}}),
        ],
        "footprint": [Product("footprint", data_id, f"w{name}") for name, data_id in series.items()],
    }
    stage = replace(COLLECT, reads=("targets", "fluxes", "footprint"), along={"footprint": "fluxes"})
    got = {u.data_id.part: [p.content for p in u.inputs] for u in units_of(stage, products)}
    assert got == {"p00001": ["t", "fa", "wa"], "p00002": ["t", "fb", "fb", "wb"]}


def test_dimensions_go_from_coarse_to_fine() -> None:
    stage = replace(EXTRACT, per=("segment", "instrument"))
    with pytest.raises(ValueError, match="segment, instrument are not in the order"):
        units_of(stage, {"frame": [frame("3-4", 1)]})


def test_data_ids_survive_their_text() -> None:
    for data_id in (
        DataId("tess"),
        DataId("tess", part="a.csv@12"),
        DataId("tess", "s0001", "1-1", "ffi", "ffi", "b000001"),
    ):
        assert DataId.parse(str(data_id)) == data_id


def test_planning_is_linear() -> None:
    """Ten times the frames take ten times the function calls; quadratic planning would take a hundred times."""

    def calls(n: int) -> int:
        products = {"frame": [frame("3-4", c) for c in range(n)]}
        count = 0

        def tally(_frame: object, event: str, _arg: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(tally)
        try:
            units_of(EXTRACT, products)
        finally:
            sys.setprofile(None)
        return count

    assert calls(20_000) < 11 * calls(2_000)
