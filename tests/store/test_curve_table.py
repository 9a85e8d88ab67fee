"""What the files of light curves say of themselves, and how they are encoded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.store.curves import make_curves, make_stars

from cuvee.model.records import LightCurves
from cuvee.photometry.rounding import added_noise, round_to_noise
from cuvee.store.hats import write_patch


def test_files_are_encoded_for_floats_and_cut_into_small_row_groups(
    survey: tuple[Path, LightCurves, LightCurves],
) -> None:
    root, _, _ = survey
    path = max((root / "tess" / "dataset").glob("*/*/*/*.parquet"), key=lambda p: p.stat().st_size)
    metadata = pq.read_metadata(path)
    assert metadata.num_row_groups == -(-metadata.num_rows // 100)
    group = metadata.row_group(0)
    columns = {group.column(k).path_in_schema: group.column(k) for k in range(group.num_columns)}
    for name in ("time", "flux", "flux_err", "aperture3_flux"):
        column = columns[f"lc.{name}.list.element"]
        assert "BYTE_STREAM_SPLIT" in column.encodings
    assert all(column.compression == "ZSTD" and not column.has_dictionary_page for column in columns.values())
    assert columns["_healpix_29"].statistics.has_min_max


def test_every_column_says_what_it_is(survey: tuple[Path, LightCurves, LightCurves]) -> None:
    root, _, _ = survey
    schema = pq.read_schema(root / "tess" / "dataset" / "_common_metadata")
    fields = [*schema, *schema.field("lc").type.fields]
    assert len(fields) == 13 + 15
    assert all(field.metadata[b"description"] for field in fields)
    lc = schema.field("lc").type
    assert lc.field("flux").metadata[b"unit"] == b"electron/s"
    assert lc.field("aperture2_flux_err").metadata[b"description"] == b"one standard deviation of flux within 2.5 px"
    assert schema.field("id").type == pa.int64()
    assert lc.field("time").type.value_type == pa.float64()
    assert lc.field("flux").type.value_type == pa.float32()


def test_rounded_light_curves_are_smaller_and_say_what_it_cost(tmp_path: Path) -> None:
    exact = make_curves(make_stars(100), "s0008", 1000)
    noise = np.random.default_rng(5).normal(2e4, 30.0, exact.points["time"].size).astype(np.float32)
    errors = np.full(noise.size, 30.0, np.float32)
    points = {**exact.points, "background": noise}
    points |= {name: noise + k for k, name in enumerate(points) if name.endswith("flux")}
    points |= {name: errors for name in points if name.endswith("flux_err")}
    exact = replace(exact, points=points)
    fluxes = [name for name in points if name.endswith("flux") or name == "background"]
    rounded = replace(
        exact, points={**points, **{n: round_to_noise(points[n], errors, 8.0) for n in fluxes}}, round_noise=8.0
    )
    sizes = {}
    for what, curves in (("exact", exact), ("rounded", rounded)):
        write_patch(tmp_path / what, curves)
        footer = pq.read_metadata(tmp_path / what)
        leaves = [
            footer.row_group(g).column(c) for g in range(footer.num_row_groups) for c in range(footer.num_columns)
        ]
        sizes[what] = sum(
            x.total_compressed_size for x in leaves if x.path_in_schema.split(".")[1:2] in [[n] for n in fluxes]
        )
    # Flux 2e4 with error 30: of 24 bits 10 are above the step of 2 that is left, and the noise fills about 6 of them.
    assert sizes["rounded"] < 0.5 * sizes["exact"]

    schema = pq.read_schema(tmp_path / "rounded")
    assert schema.metadata[b"round_noise"] == b"8"
    nested = schema.field("lc").type
    said = {nested.field(i).name: nested.field(i).metadata or {} for i in range(nested.num_fields)}
    assert sorted(name for name, words in said.items() if b"rounding" in words) == sorted(
        [*fluxes, *(name for name in points if name.endswith("flux_err"))]
    )
    assert said["flux_err"][b"rounding"] == b"rounded to 10 significant bits"
    words = said["flux"][b"rounding"].decode()
    assert f"{added_noise(8.0):.4f} of the error" in words
    assert "0.065 %" in words
    assert b"rounding" not in (pq.read_schema(tmp_path / "exact").metadata or {})
