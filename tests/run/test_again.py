"""What is there and still true is left alone; what changed remakes what depends on it, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.run.workspaces import House, done, own, product_bytes, raw_files, remade, run, times

from cuvee.model.keys import BLOCK_CADENCES
from cuvee.run.refset import REFERENCE_FRAMES
from cuvee.store.ledger import Ledger
from cuvee.survey import open_survey

NOT_A_MEMBER = 20
"""A frame far from the middle of the segment, so not in the reference set."""


def block_of(path: Path) -> str:
    return f"b{int(fits.getval(path, 'FFIINDEX')) // BLOCK_CADENCES:06d}"


def change_pixel(path: Path) -> None:
    """Let the brightest star flare."""
    with fits.open(path, mode="update", memmap=False) as file:
        image = file[1].data
        middle = image[20:140, 20:140]
        row, col = np.unravel_index(np.nanargmax(middle), middle.shape)
        middle[row, col] *= 1.5


def configure(root: Path, section: str, line: str) -> None:
    path = root / "cuvee.toml"
    text = path.read_text()
    head = f"[{section}]\n"
    assert head in text or section == "collect"
    path.write_text(text.replace(head, f"{head}{line}\n") if head in text else f"{text}\n{head}{line}\n")


def of_stage(names: set[str]) -> set[str]:
    """Return which sorts of products are among files."""
    marks = {
        "partitions": "catalog",
        ".reference": "reference",
        "reference-frames": "reference",
        "targets.parquet": "targets",
        "/fluxes/": "extract",
        "/metrics/": "collect",
        "/Npix=": "collect",
        "/summary/": "summary",
    }
    return {next((stage for mark, stage in marks.items() if mark in name), "publish") for name in names}


def opened_by(root: Path) -> list[str]:
    """Run, and return the files below RAW that were opened meanwhile."""
    seen: list[str] = []
    active = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if active and event == "open" and "RAW" in str(arguments[0]):
            seen.append(str(arguments[0]))

    sys.addaudithook(hook)
    try:
        run(root)
    finally:
        active = False
    return seen


def test_a_second_run_does_nothing_and_opens_no_raw_file(house: House) -> None:
    root = house.finished()
    before = times(root)
    assert opened_by(root) == []
    summary = run(root)
    assert summary.worked == 0
    assert not summary.troubled
    assert not summary.bad
    assert {outcome for _, outcome in summary.counts} == {"have", "no-work"}  # so few stars teach no PRF
    assert not remade(before, root)


def test_it_does_not_matter_from_where_the_workspace_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    root = house.finished()
    monkeypatch.chdir(root)
    assert opened_by(Path()) == []
    monkeypatch.chdir(root.parent)
    assert opened_by(Path(root.name)) == []


def test_touched_files_are_confirmed_without_computing(house: House) -> None:
    root = house.finished()
    before = times(root)
    frames = raw_files(root)
    for path in (frames[NOT_A_MEMBER], frames[140]):  # the second one is a member of the reference set
        os.utime(own(path))
    assert set(opened_by(root)) == {str(frames[NOT_A_MEMBER]), str(frames[140])}
    assert not remade(before, root)
    assert opened_by(root) == []
    (root / "cuvee.db").unlink()  # the receipts know of it too
    assert run(root).worked == 0


def test_a_workspace_may_be_moved(house: House, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(house.finished(), moved, copy_function=shutil.copy)  # new inodes, new times
    before = times(moved)
    assert run(moved).worked == 0
    # Where the reference's WCS was read is written down anew; no product is.
    assert {Path(name).suffix for name in remade(before, moved)} <= {".json"}
    assert opened_by(moved) == []


def test_a_workspace_may_be_moved_and_reduced_in_another_way_at_once(house: House, tmp_path: Path) -> None:
    """What was known of the products before they were made anew must not come back."""
    root = house.finished()
    configure(root, "collect", 'aperture = "aperture1"')
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved, copy_function=shutil.copy)
    expected = {"collect": 2, "summary": 1, "publish": 1}
    assert done(run(moved)) == expected
    assert run(moved).worked == 0
    assert done(run(root)) == expected
    assert product_bytes(moved) == product_bytes(root)


def test_one_pixel_remakes_its_block_the_patches_and_the_summary(house: House) -> None:
    root = house.finished()
    before, bytes_before = times(root), product_bytes(root)
    path = raw_files(root)[NOT_A_MEMBER]
    edit_pixel(path)
    summary = run(root)
    assert done(summary).get("extract") == 1
    changed = remade(before, root)
    blocks = {name for name in changed if "/fluxes/" in name}
    assert len(blocks) == 1
    assert block_of(path) in next(iter(blocks))
    assert of_stage(changed) <= {"extract", "collect", "summary", "publish"}
    assert sum("/Npix=" in name for name in changed) == 2
    # Publishing describes all light curves; what it writes is the same, and it leaves it alone.
    assert all(product_bytes(root)[name] == bytes_before[name] for name in changed if of_stage({name}) == {"publish"})


def edit_pixel(path: Path) -> None:
    change_pixel(own(path))


def test_a_member_of_the_reference_set_remakes_its_detector(house: House) -> None:
    root = house.finished()
    record = json.loads(next((root / "BASE" / "reference-frames").glob("*.json")).read_text())
    assert len(record["members"]) == REFERENCE_FRAMES
    edit_pixel(next(path for path in raw_files(root) if path.name == record["members"][3]))
    summary = run(root)
    assert done(summary) == {"reference": 1, "extract": 4, "tracks": 1, "collect": 2, "summary": 1, "publish": 1}
    again = json.loads(next((root / "BASE" / "reference-frames").glob("*.json")).read_text())
    assert again["members"] == record["members"]


def test_a_comment_in_the_configuration_changes_nothing(house: House) -> None:
    root = house.finished()
    with (root / "cuvee.toml").open("a") as file:
        file.write("\n# a remark\n")
    assert run(root).worked == 0


@pytest.mark.parametrize(
    ("section", "line", "stages"),
    [
        ("collect", 'aperture = "aperture1"', {"collect": 2, "summary": 1, "publish": 1}),
        ("extract", "radii = [1.0, 2.0]", {"targets": 1, "extract": 4, "collect": 2, "summary": 1, "publish": 1}),
        ("run", "workers = 1", {}),
    ],
)
def test_a_parameter_remakes_what_depends_on_it(house: House, section: str, line: str, stages: dict[str, int]) -> None:
    root = house.finished()
    configure(root, section, line)
    assert done(run(root)) == stages
    assert run(root).worked == 0


def test_an_identical_remake_stops_there(house: House) -> None:
    """A parameter of the extraction that touches no target: the targets are made again, and are the same."""
    root = house.finished()
    before = product_bytes(root)
    configure(root, "extract", "small_series = 32")  # for stamps only
    assert done(run(root)) == {"targets": 1, "extract": 4}
    assert product_bytes(root) == before


def test_a_fainter_limit_drops_and_adds_patches_as_the_stars_say(house: House) -> None:
    root = house.finished()
    configure(root, "targets", "mag_limit = 9.0")
    run(root)
    few = {name for name in product_bytes(root) if "/Npix=" in name or "/metrics/" in name}
    configure(root, "targets", "margin = 6.0")
    (root / "cuvee.toml").write_text((root / "cuvee.toml").read_text().replace("mag_limit = 9.0", ""))
    run(root)
    assert product_bytes(root) == {**product_bytes(house.master)}
    assert few <= set(product_bytes(root))


def test_a_later_frame_remakes_only_its_block(house: House) -> None:
    root = house.untouched()
    last = raw_files(root)[-1]
    held = house.place.parent / last.name
    last.replace(held)
    run(root)
    before = times(root)
    held.replace(last)
    assert done(run(root)) == {"extract": 1, "collect": 2, "summary": 1, "publish": 1}
    assert sum("/fluxes/" in name for name in remade(before, root)) == 1
    assert product_bytes(root) == product_bytes(house.master)


def test_lost_products_are_made_again_with_the_same_bytes(house: House) -> None:
    root = house.finished()
    before = product_bytes(root)
    block = sorted(root.glob("RED/*/*/fluxes/*"))[1]
    block.unlink()
    assert done(run(root)) == {"extract": 1}
    next(root.glob("LC/tess/dataset/**/Npix=*/*.parquet")).unlink()
    assert done(run(root)) == {"collect": 1}
    (root / "LC" / "tess" / "properties").unlink()
    assert done(run(root)) == {"publish": 1}
    # Somebody wrote into a product, and its size is still the same.
    with block.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"\0\1\2\3")
    assert done(run(root)) == {"extract": 1}
    assert product_bytes(root) == before
    assert run(root).worked == 0


def test_the_ledger_is_rebuilt_from_receipts(house: House) -> None:
    root = house.finished()
    tables = ("files", "frames", "targets", "light_curves", "units", "products", "lineage")

    def rows(name: str) -> list[dict[str, object]]:
        with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
            return [{k: v for k, v in row.items() if k != "run_id"} for row in ledger.rows(name)]

    before = {name: rows(name) for name in tables}
    products = times(root)
    (root / "cuvee.db").unlink()
    assert run(root).worked == 0
    assert not remade(products, root)
    for name in tables:
        after = rows(name)
        for row in (*before[name], *after):
            row.pop("seconds", None)
            row.pop("memory", None)
        assert after == before[name], name


def test_another_catalogue_table_adds_its_stars_and_its_absence_takes_them_away(house: House) -> None:
    root = house.finished()
    before = product_bytes(root)
    table = root / "BASE" / "CAT" / "catalog.csv"
    lines = table.read_text().splitlines()
    header, rows = lines[0], lines[1:]
    second = root / "BASE" / "CAT" / "second.csv"
    brightest = next(row for row in rows if int(row.split(",")[0]) == star_on_pixels(root))
    second.write_text(f"{header}\n999999,{brightest.split(',', 1)[1]}\n")
    text = (root / "cuvee.toml").read_text()
    (root / "cuvee.toml").write_text(
        text.replace('"BASE/CAT/catalog.csv"', '"BASE/CAT/catalog.csv", "BASE/CAT/second.csv"')
    )
    run(root)
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        assert ledger.light_curves(999999)
    (root / "cuvee.toml").write_text(text)
    run(root)
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        assert not ledger.light_curves(999999)
        assert not ledger.targets(999999)
    assert product_bytes(root) == before


def star_on_pixels(root: Path) -> int:
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        return int(min(ledger.rows("targets"), key=lambda row: row["mag"])["id"])


def test_renewing_the_reference_does_nothing_while_the_same_frames_are_chosen(house: House) -> None:
    root = house.finished()
    assert run(root, renew_reference=True).worked == 0


def test_until_stops_after_a_stage_and_a_dry_run_changes_nothing(house: House) -> None:
    root = house.untouched()
    files = {path for path in root.rglob("*") if path.is_file()}
    summary = run(root, dry_run=True)
    assert summary.counts["catalog", "to do"] == 1
    assert {path for path in root.rglob("*") if path.is_file()} == files
    run(root, until="targets")
    assert not list(root.glob("RED/*/*/fluxes/*"))
    before = times(root)
    summary = run(root, dry_run=True)
    assert summary.counts["extract", "to do"] == 4
    assert not remade(before, root)
    run(root)
    assert product_bytes(root) == product_bytes(house.master)


def test_files_that_a_user_deletes_after_the_run_keep_their_points(house: House) -> None:
    root = house.finished()
    before = product_bytes(root)
    frames = raw_files(root)
    for path in (*frames[:NOT_A_MEMBER], *frames[140:160]):  # members of the reference set among them
        path.unlink()
    summary = run(root)
    assert (summary.worked, summary.n_gone) == (0, 40)
    edit_pixel(frames[-1])
    assert done(run(root)) == {"extract": 1, "collect": 2, "summary": 1, "publish": 1}
    after = product_bytes(root)
    assert after.keys() == before.keys()
    house.restore(frames[-1])
    run(root)
    assert product_bytes(root) == before
    for path in (*frames[:NOT_A_MEMBER], *frames[140:160]):
        house.restore(path)
    assert run(root).worked == 0  # they are read once more, and are what they were
    assert product_bytes(root) == before


def test_files_that_the_configuration_names_no_longer_lose_their_points(house: House) -> None:
    """They are there, but are not meant: unlike those that were deleted to make room."""
    root = house.finished()
    text = (root / "cuvee.toml").read_text()
    (root / "cuvee.toml").write_text(text.replace('["RAW"]', '["RAW/tess20190361*", "RAW/tess2019037*"]'))
    kept = len(list(root.glob("RAW/tess20190361*"))) + len(list(root.glob("RAW/tess2019037*")))
    assert 0 < kept < 300
    summary = run(root)
    assert (summary.n_files, summary.n_gone) == (kept, 0)
    assert summary.counts["extract", "dropped"] > 0
    (row,) = next(open_survey(root).batches()).slice(0, 1).to_pylist()
    assert len(row["lc"]["time"]) == kept
    (root / "cuvee.toml").write_text(text)
    run(root, renew_reference=True)
    assert product_bytes(root) == product_bytes(house.master)


def test_parts_of_the_workspace_may_lie_elsewhere(house: House, tmp_path: Path) -> None:
    root = house.untouched()
    configure(root, "workspace", f'red = "{tmp_path / "scratch"}"\nlc = "{tmp_path / "curves"}"')
    run(root)
    assert run(root).worked == 0
    assert len(list((tmp_path / "scratch").glob("*/*/fluxes/*"))) == 4
    assert sorted(np.fromiter((p.stat().st_size > 0 for p in (tmp_path / "curves").rglob("*.parquet")), bool))
