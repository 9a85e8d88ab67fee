"""One bad frame never stops a run: it is set aside with its reason, and its repair remakes what depends on it."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from tests.run.workspaces import House, done, edit, own, product_bytes, raw_files, remade, run, times

from cuvee.model.flags import FLAGS, default_mask
from cuvee.simulate import faults
from cuvee.store.ledger import Ledger
from cuvee.survey import open_survey

FRAME = 20
"""Not in the reference set, which lies about the middle."""
MEMBER = 150


def cadences(root: Path) -> list[int]:
    """Return the cadences of the first star's light curve."""
    return list(curve_of(root, brightest(root)).cadence)


def brightest(root: Path) -> int:
    tables = [
        pq.ParquetFile(path).read(["id", "mag"]).to_pylist() for path in root.glob("LC/tess/dataset/**/*.parquet")
    ]
    return int(min((row for table in tables for row in table), key=lambda row: row["mag"])["id"])


def curve_of(root: Path, star: int):  # type: ignore[no-untyped-def]
    return open_survey(root).light_curve(star)


def cadence_of(path: Path) -> int:
    return int(fits.getval(path, "FFIINDEX"))


def compress(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()
    return packed


def damage_packed(path: Path, fault: str) -> None:
    """Damage a gzip file: cut it short as it is, or let the damage be inside."""
    if fault in ("truncated", "zero-byte"):
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size * 3 // 10 if fault == "truncated" else 0)
        return
    inside = path.with_suffix("")
    inside.write_bytes(gzip.decompress(path.read_bytes()))
    faults.FAULTS[fault](inside)
    compress(inside)


REASONS = {
    "truncated": "truncated",
    "zero-byte": "empty",
    "html": "not-fits",
    "header": "header",
    "all-nan": "all-nan",
    "wrong-shape": "wrong-shape",
}


def test_every_fault_of_the_simulator_is_tried_here() -> None:
    assert set(faults.FAULTS) == {*REASONS, "no-wcs"}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("fault", REASONS)
def test_a_fault_is_set_aside_with_its_reason_and_its_repair_remakes_one_block(
    house: House, fault: str, packed: bool
) -> None:
    root = house.finished()
    good = product_bytes(root)
    path = raw_files(root)[FRAME]
    missing = cadence_of(path)
    if packed:
        path = compress(own(path))
        assert run(root).worked == 0  # packed by the user, but the same bytes inside
        damage_packed(path, fault)
    else:
        edit(path, faults.FAULTS[fault])
    summary = run(root)
    assert {Path(bad.path).name: bad.reason for bad in summary.bad.values()} == {path.name: REASONS[fault]}
    bad = summary.bad[str(path)]
    assert str(path) in bad.message
    assert bad.message.endswith(".")
    assert done(summary) == {"extract": 1, "tracks": 1, "collect": 2, "summary": 1, "publish": 1}
    assert not summary.troubled
    assert missing not in cadences(root)
    assert len(cadences(root)) == 299

    again = run(root)
    assert again.worked == 0
    assert again.bad == summary.bad

    path.unlink()
    before = times(root)
    house.restore(root / "RAW" / path.name.removesuffix(".gz"))
    mended = run(root)
    assert not mended.bad
    assert done(mended) == {"extract": 1, "tracks": 1, "collect": 2, "summary": 1, "publish": 1}
    assert sum("/fluxes/" in name for name in remade(before, root)) == 1
    assert len(cadences(root)) == 300
    assert product_bytes(root) == good


def test_receipts_remember_what_was_found_bad_when_its_pixels_were_read(house: House) -> None:
    root = house.finished()
    edit(raw_files(root)[FRAME], faults.all_nan)
    run(root)
    (root / "cuvee.db").unlink()
    rebuilt = run(root)
    assert (rebuilt.worked, [bad.reason for bad in rebuilt.bad.values()]) == (0, ["all-nan"])


def test_a_duplicate_is_named_and_changes_nothing(house: House) -> None:
    root = house.finished()
    good = product_bytes(root)
    path = raw_files(root)[FRAME]
    copy = faults.duplicate(path)
    for _ in range(2):
        summary = run(root)
        assert [(bad.path, bad.reason) for bad in summary.bad.values()] == [(str(copy), "duplicate")]
        assert str(path) in summary.bad[str(copy)].message
        assert summary.worked == 0
    # If the one in use breaks, the other takes its place.
    edit(path, faults.zero_byte)
    summary = run(root)
    assert [bad.reason for bad in summary.bad.values()] == ["empty"]
    assert product_bytes(root) == good


def test_a_frame_without_wcs_is_measured(house: House) -> None:
    root = house.finished()
    path = raw_files(root)[FRAME]
    star = brightest(root)
    before = curve_of(root, star)
    edit(path, faults.strip_wcs)
    summary = run(root)
    assert not summary.bad
    after = curve_of(root, star)
    at = list(after.cadence).index(cadence_of(path))
    assert after.flux[at] == before.flux[at]
    assert not after.flag[at] & default_mask(FLAGS)
    assert after.good[at] == before.good[at]


def test_a_frame_of_another_ccd_is_a_detector_of_its_own(house: House) -> None:
    root = house.finished()
    good = product_bytes(root)
    source = raw_files(root)[FRAME]
    path = source.with_name(source.name.replace("-3-4-", "-2-1-"))
    shutil.copy(source, path)
    with fits.open(path, mode="update", memmap=False) as file:
        for unit in file:
            if "CAMERA" in unit.header:
                unit.header["CAMERA"], unit.header["CCD"] = 2, 1
    summary = run(root)
    assert not summary.bad
    made = {"reference": 1, "targets": 1, "extract": 1, "tracks": 1, "collect": 2, "summary": 1, "publish": 1}
    assert done(summary) == made
    after = product_bytes(root)
    described = {
        name for name in good if "/dataset/Norder" not in name and name.startswith("LC/tess") and "summary" not in name
    }
    assert {name: after[name] for name in good if name not in described} == {
        name: good[name] for name in good if name not in described
    }
    assert sum("s0008-2-1" in name for name in after) >= 3


def test_a_block_of_bad_frames_only_gives_no_points_and_comes_back(house: House) -> None:
    root = house.finished()
    good = product_bytes(root)
    frames = raw_files(root)
    first = cadence_of(frames[0]) // 128
    block = [path for path in frames if cadence_of(path) // 128 == first]
    kept = 300 - len(block)
    # Some are seen to be bad from their headers, some only from their pixels.
    for i, path in enumerate(block):
        edit(path, faults.zero_byte if i % 2 else faults.all_nan)
    summary = run(root)
    assert len(summary.bad) == len(block)
    assert len(cadences(root)) == kept
    assert not any(f"b{first:06d}" in name for name in product_bytes(root))
    again = run(root)
    assert again.worked == 0
    assert not again.troubled
    for path in block:
        house.restore(path)
    assert not run(root).bad
    assert product_bytes(root) == good


def test_a_fresh_run_over_a_bad_block_ends_like_one_that_met_it_later(house: House) -> None:
    root = house.untouched()
    frames = raw_files(root)
    first = cadence_of(frames[0]) // 128
    for path in frames:
        if cadence_of(path) // 128 == first:
            edit(path, faults.all_nan)
    summary = run(root)
    assert [receipt.outcome for receipt in summary.troubled] == ["bad-data"]
    products = product_bytes(root)
    assert not any(f"b{first:06d}" in name for name in products)
    again = run(root)
    assert (again.worked, again.troubled) == (0, [])
    assert product_bytes(root) == products


def test_frames_that_are_all_bad_are_all_listed(house: House) -> None:
    root = house.untouched()
    for path in raw_files(root):
        edit(path, faults.zero_byte)
    summary = run(root)
    assert len(summary.bad) == 300
    assert not list(root.glob("LC/tess/dataset"))
    assert run(root).worked == 0
    for path in raw_files(root):
        house.restore(path)
    run(root)
    assert product_bytes(root) == product_bytes(house.master)


def test_a_detector_whose_frames_all_went_bad_has_light_curves_no_longer(house: House) -> None:
    root = house.finished()
    for path in raw_files(root):
        edit(path, faults.zero_byte)
    summary = run(root)
    assert summary.counts["collect", "dropped"] == 2
    assert not list(root.glob("LC/**/Npix=*/*.parquet"))
    assert run(root).worked == 0
    for path in raw_files(root):
        house.restore(path)
    run(root)
    assert product_bytes(root) == product_bytes(house.master)


def test_no_frame_with_a_wcs_is_said_once(house: House) -> None:
    root = house.untouched()
    for path in raw_files(root)[5:]:
        path.unlink()
    for path in raw_files(root):
        edit(path, faults.strip_wcs)
    for _ in range(2):
        summary = run(root)
        assert [(r.stage, r.outcome) for r in summary.troubled] == [("targets", "blocked")]
        assert "has a WCS" in summary.troubled[0].message
        assert not summary.bad


@pytest.mark.parametrize("fault", ["truncated", "all-nan"])
def test_a_bad_member_makes_the_reference_set_be_chosen_anew(house: House, fault: str) -> None:
    root = house.untouched()
    path = raw_files(root)[MEMBER]
    edit(path, faults.FAULTS[fault])
    summary = run(root)
    record = next((root / "BASE" / "reference-frames").glob("*.json"))
    members = json.loads(record.read_text())["members"]
    assert len(members) == 32
    assert path.name not in members
    assert len(summary.bad) == 1
    assert not summary.troubled
    assert len(cadences(root)) == 299
    assert run(root).worked == 0
    # Its repair does not choose the set anew: only its block is made again.
    house.restore(path)
    assert done(run(root)) == {"extract": 1, "tracks": 1, "collect": 2, "summary": 1, "publish": 1}
    assert json.loads(record.read_text())["members"] == members
    # Unless that is asked for; then everything is as if the frame had never been bad.
    assert "reference" in done(run(root, renew_reference=True))
    assert product_bytes(root) == product_bytes(house.master)


def test_what_quarantine_remembers_survives_in_the_ledger(house: House) -> None:
    root = house.finished()
    path = raw_files(root)[FRAME]
    edit(path, faults.truncate)
    run(root)
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        first = ledger.quarantined()[0]["run_id"]
    run(root)
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        assert [(row["path"], row["run_id"]) for row in ledger.quarantined()] == [(str(path), first)]
    path.unlink()
    run(root)
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        assert ledger.quarantined() == []
