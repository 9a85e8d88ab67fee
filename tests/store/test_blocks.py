"""Flux blocks, targets and reference images come back as they went in, and damage is seen."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cuvee.errors import StoreError
from cuvee.model.records import FluxBlock, Geometry, Moments, PixelMasks, Readout, Reference, Targets
from cuvee.store.blocks import read_block, write_block
from cuvee.store.references import read_reference, write_reference
from cuvee.store.targets import read_targets, write_targets

READOUT = Readout(1425.6, (5.24, 5.22, 5.18, 5.27), (7.5, 8.1, 7.9, 8.0), 720, (0, 512, 1024, 1536), 1e5, ("GAINA",))


def make_block(n_star: int = 400, n_frame: int = 128, seed: int = 1) -> FluxBlock:
    rng = np.random.default_rng(seed)
    start = 1517.4 + np.arange(n_frame) / 48.0
    start[3] = np.nan
    moments = Moments(
        np.arange(n_frame) + 13_952,
        start,
        start + 1425.6 / 86400,
        np.full(n_frame, 0.004),
        rng.integers(0, 4096, n_frame).astype(np.int32),
    )
    planes: dict[str, Any] = {
        name: rng.normal(1000, 3, (n_star, n_frame)).astype(np.float32)
        for name in ("aperture1_flux", "aperture1_flux_err", "background", "centroid_col")
    }
    planes["aperture1_flux"][:, 3] = np.nan
    planes["flag"] = rng.integers(0, 512, (n_star, n_frame)).astype(np.int32)
    names = tuple("" if k == 3 else f"tess2019{k:05d}-s0008-3-4-0136-s_ffic" for k in range(n_frame))
    meta = {"readout": READOUT, "time_ra": 130.25, "time_dec": -53.1}
    return FluxBlock(moments, names, planes, np.arange(n_star) + 7, meta)


def assert_same(left: FluxBlock, right: FluxBlock, rows: slice = slice(None)) -> None:
    for one in fields(Moments):
        np.testing.assert_array_equal(getattr(left.moments, one.name), getattr(right.moments, one.name))
        assert getattr(left.moments, one.name).dtype == getattr(right.moments, one.name).dtype
    assert left.names == right.names
    assert left.meta == right.meta
    assert list(left.planes) == list(right.planes)
    np.testing.assert_array_equal(left.rows, right.rows[rows])
    for name in right.planes:
        assert left.planes[name].dtype == right.planes[name].dtype
        np.testing.assert_array_equal(left.planes[name], right.planes[name][rows])


@pytest.mark.parametrize(
    "rows", [slice(None), slice(0, 0), slice(0, 1), slice(100, 300), slice(399, 400), slice(390, 999)]
)
def test_a_block_comes_back_whole_or_by_any_run_of_stars(tmp_path: Path, rows: slice) -> None:
    block = make_block()
    write_block(tmp_path / "block.arrow", block)
    assert_same(read_block(tmp_path / "block.arrow", rows), block, rows)


@pytest.mark.parametrize("rows", [slice(None), slice(0, 0), slice(2, 3), slice(1, 5)])
def test_the_stars_own_masks_come_back(tmp_path: Path, rows: slice) -> None:
    size = np.array([3, 0, 2, 0, 4])
    ptr = np.concatenate([[0], np.cumsum(size)])
    col, row = np.arange(9, dtype=np.int32), np.arange(9, dtype=np.int32)[::-1] + 2000
    crowding = np.array([0.5, np.nan, 1.0, np.nan, 0.25], np.float32)
    masks = PixelMasks(ptr, col, row, np.array([True, False, False, False, True]), crowding)
    block = replace(make_block(n_star=5), masks=masks)
    write_block(tmp_path / "block.arrow", block)
    back = read_block(tmp_path / "block.arrow", rows)
    assert_same(back, block, rows)
    assert back.masks is not None
    stars = range(5)[rows]
    assert back.masks.ptr.size == len(stars) + 1
    for k, star in enumerate(stars):
        np.testing.assert_array_equal(back.masks.of(k), masks.of(star))
    np.testing.assert_array_equal(back.masks.clipped, masks.clipped[rows])
    np.testing.assert_array_equal(back.masks.crowding, crowding[rows])


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 20_000), (0, 16)])
def test_blocks_of_odd_shapes_come_back(tmp_path: Path, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    n_star, n_frame = shape
    time = np.arange(n_frame) / 48.0
    moments = Moments(np.arange(n_frame), time, time + 0.02, np.zeros(n_frame), np.zeros(n_frame, np.int32))
    planes = {"aperture1_flux": rng.random(shape).astype(">f4"), "flag": np.zeros(shape, np.int32)}
    block = FluxBlock(moments, ("",) * n_frame, planes, np.arange(n_star))
    write_block(tmp_path / "block.arrow", block)
    found = read_block(tmp_path / "block.arrow")
    np.testing.assert_array_equal(found.planes["aperture1_flux"], planes["aperture1_flux"])
    assert found.planes["aperture1_flux"].dtype == np.dtype("<f4")
    assert found.planes["flag"].shape == shape


def test_a_run_of_stars_is_a_view_of_the_file_and_reads_only_its_own_bytes(tmp_path: Path) -> None:
    block = make_block(n_star=5000)
    path = tmp_path / "block.arrow"
    write_block(path, block)
    before = pa.total_allocated_bytes()
    found = read_block(path, slice(1000, 1200))
    assert pa.total_allocated_bytes() - before < 10_000
    assert not found.planes["aperture1_flux"].flags.writeable
    # One contiguous stretch of the file, that of the 200 stars.
    assert found.planes["aperture1_flux"].flags.c_contiguous
    assert path.read_bytes().count(found.planes["aperture1_flux"].tobytes()) == 1


def test_stars_read_from_a_block_outlive_its_replacement(tmp_path: Path) -> None:
    block, other = make_block(seed=1), make_block(seed=9)
    path = tmp_path / "block.arrow"
    write_block(path, block)
    found = read_block(path, slice(10, 20))
    write_block(path, other)
    assert_same(found, block, slice(10, 20))
    path.unlink()
    assert_same(found, block, slice(10, 20))


def test_the_same_block_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_block(tmp_path / name, make_block())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    write_block(tmp_path / "three", make_block(seed=3))
    assert (tmp_path / "three").read_bytes() != (tmp_path / "one").read_bytes()


def test_blocks_written_from_what_was_read_have_the_same_bytes(tmp_path: Path) -> None:
    write_block(tmp_path / "one", make_block())
    write_block(tmp_path / "two", read_block(tmp_path / "one"))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def _truncate(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_cut_off_block_is_damaged(tmp_path: Path, share: float) -> None:
    path = tmp_path / "block.arrow"
    write_block(path, make_block())
    _truncate(path, share)
    with pytest.raises(StoreError, match="damaged"):
        read_block(path, slice(0, 10))


def test_something_else_by_the_name_of_a_block_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "block.arrow"
    path.write_text("<html>503 Service Unavailable</html>")
    with pytest.raises(StoreError, match="damaged"):
        read_block(path)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, pa.schema([("a", pa.int64())])) as writer:
        writer.write_batch(pa.record_batch({"a": [1, 2]}))
    with pytest.raises(StoreError, match="damaged"):
        read_block(path)


def test_a_missing_block_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing"):
        read_block(tmp_path / "block.arrow")


def test_a_plane_of_another_shape_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    block = make_block(n_star=4)
    planes = {**block.planes, "background": np.zeros((4, 5), np.float32)}
    with pytest.raises(ValueError, match="shape"):
        write_block(tmp_path / "block.arrow", FluxBlock(block.moments, block.names, planes, block.rows))
    assert list(tmp_path.iterdir()) == []


def make_targets(n: int = 300, n_aperture: int = 3) -> Targets:
    rng = np.random.default_rng(5)
    return Targets(
        healpix=np.sort(rng.integers(0, 12 * 4**29, n)),
        id=rng.permutation(n).astype(np.int64) + 2**40,
        ra=rng.uniform(0, 360, n),
        dec=rng.uniform(-90, 90, n),
        mag=np.where(np.arange(n) == 3, np.nan, rng.uniform(6, 16, n)),
        series=np.array(["ffi", "TPF144996772_S8C8"])[rng.integers(0, 2, n)],
        col=rng.uniform(0, 2047, n),
        row=rng.uniform(0, 2047, n),
        crowding=np.where(rng.random((n, n_aperture)) < 0.1, np.nan, rng.random((n, n_aperture))),
        flag=rng.integers(0, 64, n).astype(np.int32),
        radii=(1.5, 2.5, 3.5)[:n_aperture],
        # Some catalogues know of no motion.
        moved_ra=rng.uniform(0, 360, n) if n != 1 else None,
        moved_dec=rng.uniform(-90, 90, n) if n != 1 else None,
    )


@pytest.mark.parametrize(("n", "n_aperture"), [(300, 3), (1, 1), (0, 3), (5, 0)])
def test_targets_come_back_the_same(tmp_path: Path, n: int, n_aperture: int) -> None:
    targets = make_targets(n, n_aperture)
    for name in ("one", "two"):
        write_targets(tmp_path / name, targets)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    found = read_targets(tmp_path / "one")
    for one in fields(Targets):
        left, right = getattr(found, one.name), getattr(targets, one.name)
        np.testing.assert_array_equal(left, right)
        if one.name != "radii" and n and right is not None:
            assert left.dtype == right.dtype
    assert found.radii == targets.radii


def test_damaged_and_missing_targets_say_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing"):
        read_targets(tmp_path / "targets.parquet")
    write_targets(tmp_path / "targets.parquet", make_targets())
    _truncate(tmp_path / "targets.parquet", 0.5)
    with pytest.raises(StoreError, match="damaged"):
        read_targets(tmp_path / "targets.parquet")


def make_reference() -> Reference:
    rng = np.random.default_rng(6)
    image = rng.normal(100, 5, (30, 47)).astype(np.float32)
    image[2, 3] = np.nan
    geometry = Geometry(30, 47, 512, 1024, 2048, 2048)
    wcs = "CTYPE1  = 'RA---TAN-SIP'" + " " * 56
    return Reference("ffi", geometry, image, wcs, 2019.12, 130.2, -53.0, ("a_ffic", "b_ffic"), READOUT)


def test_a_reference_image_comes_back_the_same(tmp_path: Path) -> None:
    reference = make_reference()
    for name in ("one", "two"):
        write_reference(tmp_path / name, reference)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    found = read_reference(tmp_path / "one")
    np.testing.assert_array_equal(found.image, reference.image)
    left, right = asdict(found), asdict(reference)
    del left["image"], right["image"]
    assert left == right
    assert found.image.dtype == np.float32


@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
def test_a_cut_off_reference_image_is_damaged(tmp_path: Path, share: float) -> None:
    write_reference(tmp_path / "one", make_reference())
    _truncate(tmp_path / "one", share)
    with pytest.raises(StoreError, match="damaged"):
        read_reference(tmp_path / "one")
    with pytest.raises(StoreError, match="missing"):
        read_reference(tmp_path / "two")
