"""A run for some stars: what it makes is what a whole run makes, and what it leaves alone stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from astropy.io import fits
from tests.run.stamps import make_workspace
from tests.run.workspaces import House, Listener, done, edit, own, product_bytes, raw_files, remade, run, times

import cuvee
from cuvee.errors import ConfigError
from cuvee.pipeline import PIPELINE
from cuvee.reproduce import reproduce_run
from cuvee.run.start import RunOptions
from cuvee.store.ledger import Ledger


def star_of_each_patch(root: Path) -> dict[str, int]:
    """A star with light curves in each patch, by the file that they are in."""
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        return {row["path"]: row["id"] for row in ledger.rows("light_curves")}


def curve_files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in (root / "LC").rglob("*.parquet") if "Npix=" in str(path)}


def test_its_patch_comes_first_and_the_rest_later(house: House) -> None:
    whole = product_bytes(house.finished())
    patches = star_of_each_patch(house.place)
    assert len(patches) > 1
    path, star = sorted(patches.items())[-1]
    root = house.untouched()
    first = run(root, stars=(star,))
    assert done(first)["collect"] == 1
    assert done(first)["extract"] == 4
    assert curve_files(root) == {path}
    assert product_bytes(root)[path] == whole[path]
    assert cuvee.open(root).light_curve(star).time.size > 0
    assert not run(root, stars=(star,)).worked
    second = run(root)
    assert done(second)["collect"] == len(patches) - 1
    assert "extract" not in done(second)
    assert product_bytes(root) == whole


def test_what_is_whole_stays_so(house: House) -> None:
    root = house.finished()
    star = next(iter(star_of_each_patch(root).values()))
    before, written = product_bytes(root), times(root)
    assert not run(root, stars=(star,)).worked
    assert product_bytes(root) == before
    assert not remade(written, root)


def test_other_settings_touch_only_its_patch(house: House) -> None:
    root = house.finished()
    path, star = sorted(star_of_each_patch(root).items())[0]
    config = root / "cuvee.toml"
    config.write_text(config.read_text().replace("[collect]\n", '[collect]\naperture = "aperture3"\n'))
    before = product_bytes(root)
    assert done(run(root, stars=(star,)))["collect"] == 1
    after = product_bytes(root)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert {name for name in changed if "Npix=" in name} == {path}
    assert done(run(root))["collect"] == len(star_of_each_patch(root)) - 1


def second_detector(root: Path) -> None:
    """Let half of the frames be of another detector, far away on the sky."""
    for path in raw_files(root)[::2]:

        def change(path: Path) -> None:
            with fits.open(path, mode="update") as file:
                for unit in file:
                    if "CCD" in unit.header:
                        unit.header["CCD"] = 2
                    if "CRVAL1" in unit.header:
                        unit.header["CRVAL1"] = 12.0
                    for card in ("CHECKSUM", "DATASUM"):
                        unit.header.pop(card, None)

        edit(path, change)
        own(path).rename(path.with_name(path.name.replace("-3-4-", "-3-2-")))


def test_other_detectors_are_not_measured(house: House) -> None:
    root = house.untouched()
    second_detector(root)
    star = next(iter(star_of_each_patch(house.master).values()))
    first = run(root, stars=(star,))
    assert done(first)["targets"] == 1
    assert done(first)["extract"] > 0
    assert not list((root / "RED" / "s0008").glob("3-2*"))
    with pytest.raises(ConfigError, match=f"Star {star} is on no pixel"):
        run(root, stars=(star,), segment="s0008", detector="3-2")


@pytest.mark.parametrize(("n", "psf"), [(60, False), (16, True)])
def test_stamps_of_other_patches_are_not_measured(tmp_path: Path, n: int, psf: bool) -> None:
    config = "[extract]\npsf = true\n[prf]\nstars = 50\nsnr = 20\n" if psf else ""
    root = make_workspace(tmp_path / "w", n, shape=(15, 15), config=config)
    whole = make_workspace(tmp_path / "whole", n, shape=(15, 15), config=config)
    run(whole)
    everything = product_bytes(whole)
    patches = star_of_each_patch(whole)
    assert len(patches) > 1
    with Ledger.open(whole / "cuvee.db", read_only=True) as ledger:
        rows = ledger.rows("light_curves")
    path, star = sorted(patches.items())[0]
    near = [row["id"] for row in rows if row["path"] == path]
    assert len(near) < n
    first = run(root, stars=(star,))
    assert done(first)["extract-series"] == len(near)
    assert curve_files(root) == {path}
    assert product_bytes(root)[path] == everything[path]
    run(root)
    assert product_bytes(root) == everything


def test_stars_that_cannot_be_had(house: House) -> None:
    root = house.finished()
    every = list(star_of_each_patch(root).values())
    catalogue = (root / "BASE" / "CAT" / "catalog.csv").read_text().splitlines()[1:]
    faint = next(line.split(",")[0] for line in catalogue if float(line.split(",")[-1]) > 16.5)
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        measured = {str(row["id"]) for row in ledger.rows("targets")}
    beside = next(
        line.split(",")[0]
        for line in catalogue
        if float(line.split(",")[-1]) < 15.5 and line.split(",")[0] not in measured
    )
    before = product_bytes(root)
    for star, words in (
        (1, "Star 1 is not in the catalogue"),
        (int(faint), "no target by"),
        (int(beside), "on no pixel"),
    ):
        with pytest.raises(ConfigError, match=words):
            run(root, stars=(every[0], star))
        with pytest.raises(ConfigError, match=words):
            run(root, stars=(star,), dry_run=True)
    with pytest.raises(ConfigError, match="Stars 1, 2 are not in the catalogue"):
        run(root, stars=(1, 2))
    config = root / "cuvee.toml"
    config.write_text(config.read_text().replace("[targets]\n", "[targets]\nmax_stars = 1\n"))
    with pytest.raises(ConfigError, match=r"left out on s0008 3-4 by \[targets\] max_stars"):
        run(root, stars=tuple(every))
    config.write_text(config.read_text().replace("max_stars = 1\n", ""))
    run(root)
    assert product_bytes(root) == before
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        assert ledger.last_run()["finished"]  # type: ignore[index]


def test_a_run_for_stars_is_not_reproduced(house: House, tmp_path: Path) -> None:
    root = house.untouched()
    star = next(iter(star_of_each_patch(house.master).values()))
    run(root, stars=(star,))
    with pytest.raises(ConfigError, match="some stars only"):
        reproduce_run(tmp_path / "again", str(root), PIPELINE, RunOptions(executor="serial"), Listener())


@pytest.mark.parametrize("name", ["exclude", "priority"])
def test_lists_of_stars_in_files(house: House, name: str) -> None:
    root = house.finished()
    config = root / "cuvee.toml"
    config.write_text(config.read_text().replace("[targets]\n", f'[targets]\n{name} = "list.txt"\n'))
    with pytest.raises(ConfigError, match=rf"\[targets\] {name}: .*list.txt cannot be read"):
        run(root)
    (root / "list.txt").write_text("# mine\n12\nTIC 5\n")
    with pytest.raises(ConfigError, match=rf"\[targets\] {name}: line 3 of .*'TIC 5'"):
        run(root)
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        measured = {row["id"] for row in ledger.rows("targets")}
    star = min(measured)
    (root / "list.txt").write_text(f"# mine\n\n{star}  # the first\n")
    run(root)
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        now = {row["id"] for row in ledger.rows("targets")}
        assert ledger.last_run()["config"]["targets"][name] == [star]  # type: ignore[index]
    assert now == (measured - {star} if name == "exclude" else measured)
    assert not run(root).worked
