"""A run done again elsewhere gives the same bytes, or the input that differs is named."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
from astropy.io import fits
from tests.cli.conftest import Answer, Cuvee, cuvee
from tests.run import stamps
from tests.run.workspaces import House, edit, raw_files, run

from cuvee.simulate import faults

__all__ = ["cuvee"]  # the fixture


def hashes(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every product; records, receipts, pictures and the user's own tables are none."""
    files = [path for folder in ("BASE", "LC", "RED") for path in (root / folder).rglob("*") if path.is_file()]
    names = {str(path.relative_to(root)): path for path in files if path.suffix not in (".json", ".png")}
    return {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in names.items() if n != "BASE/CAT/catalog.csv"}


def change_pixel(path: Path, rank: int) -> None:
    """Change one pixel of a frame, the one of this rank in brightness: -1 is the brightest, which lies in a star."""
    with fits.open(path, mode="update") as file:
        image = file[1].data
        order = np.argsort(np.where(np.isfinite(image), image, -np.inf), axis=None)
        image.flat[order[rank]] *= 1.01


def brighten(path: Path) -> None:
    change_pixel(path, -1)


def again(cuvee: Cuvee, new: Path, run: Path | str, *more: object) -> Answer:
    return cuvee("run", "-w", new, "--reproduce", run, "--executor", "serial", *more)


def forge(root: Path, statement: str) -> None:
    """Change what a ledger remembers."""
    with sqlite3.connect(root / "cuvee.db") as ledger:
        ledger.execute(statement)
    ledger.close()


def test_all_products_have_the_same_bytes_in_another_place(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old, new = house.finished(), tmp_path / "deep" / "new"
    answer = cuvee("run", "-w", new, "--reproduce", old, "--executor", "process", "--workers", 2)
    assert answer.code == 0, answer
    assert hashes(new) == hashes(old)
    n = len(hashes(old))
    assert f"Reproduced run 1 of {old}" in answer.out
    assert f": {n} of {n} products have the same bytes.\n" in answer.out
    assert "Other software" not in answer.err
    # What was made is a workspace like any other; asked again, the comparison is made again, and nothing else.
    assert "Nothing to do: 300 files" in cuvee("run", "-w", new, "-q").out
    answer = again(cuvee, new, f"{old}#1", "--json")
    assert answer.code == 0
    report = json.loads(answer.out)
    assert report["worked"] == 0
    assert (report["reproduction"]["exact"], report["reproduction"]["compared"]) == (True, n)


def test_a_frame_with_one_other_pixel_is_named(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old, new = house.finished(), tmp_path / "new"
    frame = raw_files(old)[20]
    edit(frame, brighten)
    answer = again(cuvee, new, old, "--json")
    assert answer.code == 1
    told = json.loads(answer.out)["reproduction"]
    assert told["inputs"] == {str(frame): "different"}
    before, after = hashes(old), hashes(new)
    assert before.keys() == after.keys()
    assert {one["path"] for one in told["different"]} == {name for name in before if before[name] != after[name]}
    assert all(frame.name in one["why"] for one in told["different"])
    assert told["compared"] == len(before)
    text = again(cuvee, new, old, "-q").out
    house.restore(frame)
    assert f"1 input not as then:\n  different   {frame}\n" in text


def test_an_input_that_no_product_shows_is_named_too(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old, new = house.finished(), tmp_path / "new"
    frame = raw_files(old)[-1]
    edit(frame, lambda path: fits.setval(path, "NOTE", value="looked at"))
    answer = again(cuvee, new, old, "-q")
    house.restore(frame)
    assert hashes(new) == hashes(old)
    n = len(hashes(old))
    assert answer.code == 1
    assert f": {n} of {n} products have the same bytes.\n1 input not as then:\n  different   {frame}\n" in answer.out


def test_a_frame_that_is_missing_is_named_before_and_after(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old, new = house.finished(), tmp_path / "new"
    frame = raw_files(old)[20]
    frame.unlink()
    try:
        answer = again(cuvee, new, old)
    finally:
        house.restore(frame)
    assert answer.code == 1
    assert answer.err.startswith(f"Missing: {frame}\n")
    assert f"1 input not as then:\n  missing     {frame}\n" in answer.out
    before, after = hashes(old), hashes(new)
    assert f"{len(before)} products have the same bytes" in answer.out
    for name in before:
        assert (f"  {name}: made from {frame}" in answer.out) == (before[name] != after[name])


def test_another_catalogue_is_named(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old = house.finished()
    table = old / "BASE" / "CAT" / "catalog.csv"
    text = table.read_text()
    edit(table, lambda path: path.write_text("\n".join(text.splitlines()[:-1]) + "\n"))
    answer = again(cuvee, tmp_path / "new", old, "-q")
    assert answer.code == 1
    assert "1 input not as then:\n  different   catalog.csv\n" in answer.out


def test_other_software_is_a_warning(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old = house.finished()
    forge(old, "UPDATE runs SET version = '0.0.9', config = json_set(config, '$.software.numpy', '1.0')")
    answer = again(cuvee, tmp_path / "new", old)
    assert answer.code == 0
    assert answer.err.startswith("Other software: cuvee 0.0.9 then, ")
    assert "numpy 1.0 then" in answer.err
    assert "That run had other software: cuvee 0.0.9 (now " in answer.out


def test_a_broken_frame_then_is_left_out_now(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old, new = house.untouched(), tmp_path / "new"
    frame = raw_files(old)[20]
    edit(frame, faults.truncate)
    run(old)
    house.restore(frame)  # repaired since, but the run did without it
    answer = again(cuvee, new, old, "-q")
    assert answer.code == 0, answer
    assert hashes(new) == hashes(old)


def test_frames_that_came_later_neither_enter_nor_move_the_reference_set(
    cuvee: Cuvee, house: House, tmp_path: Path
) -> None:
    old, new = house.untouched(), tmp_path / "new"
    later = raw_files(old)[200:]
    aside = tmp_path / "later"
    aside.mkdir()
    for path in later:
        shutil.move(path, aside)
    run(old)
    (record,) = (old / "BASE" / "reference-frames").glob("*.json")
    members = json.loads(record.read_text())["members"]
    for path in later[:60]:
        shutil.move(aside / path.name, path)
    run(old)
    for path in later[60:]:  # never reduced in the old workspace
        shutil.move(aside / path.name, path)
    answer = again(cuvee, new, old, "-q")
    assert answer.code == 0, answer
    assert hashes(new) == hashes(old)
    assert json.loads((new / record.relative_to(old)).read_text())["members"] == members


def test_what_a_later_run_made_anew_cannot_be_compared(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old = house.finished()
    first = hashes(old)
    frame = raw_files(old)[20]
    edit(frame, brighten)
    run(old)
    second = hashes(old)
    anew = {name for name in first if first[name] != second[name]}
    try:
        answer = again(cuvee, tmp_path / "one", f"{old}#1", "--json")
        newest = again(cuvee, tmp_path / "two", old, "--json")
    finally:
        house.restore(frame)
    told = json.loads(answer.out)["reproduction"]
    assert answer.code == 1
    assert anew
    assert set(told["remade"]) >= anew
    assert set(told["remade"].values()) == {2}
    assert (told["different"], told["compared"]) == ([], len(first) - len(told["remade"]))
    assert newest.code == 0
    assert json.loads(newest.out)["reproduction"]["run"] == 2


def test_what_was_asked_is_asked_again(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old, new = house.untouched(), tmp_path / "new"
    run(old, until="extract", segment="s0008")
    answer = again(cuvee, new, old, "-q")
    assert answer.code == 0
    assert hashes(new) == hashes(old)
    assert not list((new / "LC").rglob("*.parquet"))


def test_settings_and_projects_come_along(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old, new = house.untouched(), tmp_path / "new"
    path = old / "cuvee.toml"
    text = path.read_text().replace("[workspace]", '[workspace]\nproject = "12"\nred = "elsewhere/RED"')
    path.write_text(text.replace("[extract]", "[extract]\nradii = [1.0, 2.0]"))
    run(old)
    path.write_text(text)  # changed since; the run is what counts
    answer = again(cuvee, new, old, "-q")
    assert answer.code == 0, answer
    assert {n for n in hashes(new) if n.startswith("LC/projid12/")} == {n for n in hashes(old) if n.startswith("LC/")}
    assert all(hashes(old)[n] == sha for n, sha in hashes(new).items() if not n.startswith("RED"))


def test_workspace_and_inputs_may_move(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    """Sources in the workspace move with it; where others lie now, the new workspace says."""
    before = hashes(house.finished())
    old = tmp_path / "moved"
    shutil.copytree(house.place, old)
    shutil.rmtree(house.place)
    assert again(cuvee, tmp_path / "one", old, "-q").code == 0
    assert hashes(tmp_path / "one") == before

    shutil.move(old / "RAW", tmp_path / "archive")
    lost = again(cuvee, tmp_path / "two", old)
    assert lost.code == 2
    assert f"None of the 300 raw files of run 1 is in {old / 'RAW'}" in lost.err
    assert not (tmp_path / "two").exists()
    cuvee("init", tmp_path / "two", "--data", tmp_path / "archive")
    assert again(cuvee, tmp_path / "two", old, "-q").code == 0
    assert hashes(tmp_path / "two") == before

    cuvee("init", tmp_path / "three", "--data", tmp_path / "archive")
    path = tmp_path / "three" / "cuvee.toml"
    path.write_text(path.read_text().replace("[extract]", "[extract]\nradii = [1.0]"))
    other = again(cuvee, tmp_path / "three", old)
    assert other.code == 2
    assert "[extract] radii, which run 1 decides" in other.err


def test_stamps_with_a_mask(cuvee: Cuvee, tmp_path: Path) -> None:
    old, new = stamps.make_workspace(tmp_path / "old", 12, config='[extract]\nmask = "mask.npy"\n'), tmp_path / "new"
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    np.save(old / "mask.npy", mask)
    run(old)
    assert again(cuvee, new, old, "-q").code == 0
    assert hashes(new) == hashes(old)
    mask[3, 3] = False
    np.save(old / "mask.npy", mask)
    answer = again(cuvee, tmp_path / "other", old)
    assert answer.code == 1
    assert f"Different: {old / 'mask.npy'}\n" in answer.err
    assert f"  different   {old / 'mask.npy'}\n" in answer.out
    assert "the parameters of extract-series, or its version, differ" in answer.out


def test_a_run_that_cannot_be_meant(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old, new = house.finished(), tmp_path / "new"
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "notes.txt").write_text("no ledger")
    (tmp_path / "notes.db").write_text("no ledger, either")
    for words, expected in (
        ([tmp_path / "nowhere"], [f"no workspace {tmp_path / 'nowhere'}"]),
        ([empty], [f"no ledger (cuvee.db) in {empty}"]),
        ([tmp_path / "notes.txt"], ["no ledger of cuvee"]),
        ([tmp_path / "notes.db"], ["notes.db", "not a database"]),
        ([f"{old}#7"], ["no run 7", "runs 1 to 1"]),
        ([f"{old}#"], ["no workspace"]),
        ([old, "--sector", 8], ["--reproduce", "leave out --sector"]),
        ([old, "--dry-run", "--until", "extract"], ["leave out --until, --dry-run"]),
    ):
        answer = again(cuvee, new, *words)
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer
        for word in expected:
            assert word in answer.err
        assert not new.exists()


def test_a_run_that_broke_off(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old = house.finished()
    run(old)
    forge(old, "UPDATE runs SET finished = '' WHERE id = 2")
    answer = again(cuvee, tmp_path / "new", f"{old}#2")
    assert answer.code == 2
    assert "Run 2 of" in answer.err
    assert "broke off" in answer.err
    assert "run 1" in again(cuvee, tmp_path / "new", old, "-q").out
    forge(old, "UPDATE runs SET finished = ''")
    assert "was ever finished" in again(cuvee, tmp_path / "newer", old).err


def test_only_an_empty_workspace_will_do(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    old = house.finished()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("important")
    file = tmp_path / "file"
    file.write_text("")
    ran = tmp_path / "ran"
    shutil.copytree(old, ran)
    for place in (other, file, ran, old):
        answer = again(cuvee, place, old)
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer
        assert str(place) in answer.err
        assert "empty" in answer.err
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
