"""Stamps: every file a series of its own, many tiny units, and masks that count by their content."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.run.stamps import make_workspace
from tests.run.workspaces import done, product_bytes, run

import cuvee
from cuvee.errors import ConfigError
from cuvee.model.keys import DataId
from cuvee.simulate import faults


def stamps(root: Path) -> list[Path]:
    return sorted((root / "RAW").iterdir())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "survey", 40)


def test_every_stamp_gives_its_star(root: Path) -> None:
    summary = run(root)
    assert not summary.troubled
    assert not summary.bad
    assert done(summary)["extract-series"] == 40
    table = cuvee.open(root).light_curves(columns=["id"])
    assert sorted(table["id"].to_pylist()) == list(range(1000, 1040))
    assert run(root).worked == 0


def test_chunks_of_stamps_give_the_same_bytes_in_processes(root: Path, tmp_path: Path) -> None:
    run(root)
    other = make_workspace(tmp_path / "other", 40)
    run(other, executor="process", workers=2)
    assert product_bytes(other) == product_bytes(root)


def test_a_bad_stamp_is_set_aside_until_it_is_repaired(root: Path) -> None:
    run(root)
    good = product_bytes(root)
    path = stamps(root)[7]
    content = path.read_bytes()
    faults.truncate(path)
    summary = run(root)
    assert [bad.reason for bad in summary.bad.values()] == ["truncated"]
    assert cuvee.open(root).light_curves(columns=["id"]).num_rows == 39
    assert run(root).worked == 0
    path.write_bytes(content)
    run(root)
    assert product_bytes(root) == good


def test_a_new_stamp_adds_its_star(root: Path) -> None:
    path = stamps(root)[7]
    held = root / path.name
    path.rename(held)
    run(root)
    held.rename(path)
    summary = run(root)
    assert not summary.troubled
    assert cuvee.open(root).light_curves(columns=["id"]).num_rows == 40
    assert run(root).worked == 0


def test_a_mask_counts_by_its_content(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "survey", 4, config='[extract]\nmask = "mask.npy"\n')
    with pytest.raises(ConfigError, match=r"there is no file .*mask\.npy"):
        run(root)
    assert not (root / "cuvee.db").exists()
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    np.save(root / "mask.npy", mask)
    assert done(run(root))["extract-series"] == 4
    first = product_bytes(root)
    assert run(root).worked == 0
    mask[3, 3] = False
    np.save(root / "mask.npy", mask)
    assert done(run(root))["extract-series"] == 4
    second = product_bytes(root)
    assert all(second[name] != first[name] for name in first if "/fluxes/" in name)
    mask[3, 3] = True
    np.save(root / "mask.npy", mask)
    run(root)
    assert product_bytes(root) == first


def test_the_lineage_of_psf_stamps_grows_as_their_number_and_all_depend_on_all(tmp_path: Path) -> None:
    counts = []
    for n in (6, 12):
        root = make_workspace(tmp_path / str(n), n, 30, config="[extract]\npsf = true\n")
        assert not run(root).troubled
        with sqlite3.connect(root / "cuvee.db") as ledger:
            rows = ledger.execute("SELECT data_id, input_id FROM lineage WHERE kind = 'stars' AND input_kind = 'stamp'")
            assert all(DataId.parse(one).series == DataId.parse(other).series for one, other in rows)
            counts.append(ledger.execute("SELECT count(*) FROM lineage").fetchone()[0])
    assert counts[1] < 2 * counts[0]
    before = {path.name: path.read_bytes() for path in (root / "BASE" / "prf").iterdir()}
    with fits.open(stamps(root)[3], mode="update") as file:
        file["PIXELS"].data["FLUX"] *= 1.5
    run(root)
    after = {path.name: path.read_bytes() for path in (root / "BASE" / "prf").iterdir()}
    assert sum(before[name] != after[name] for name in before) == 12
