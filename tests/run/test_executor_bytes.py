"""How the work is spread never changes a result."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.run.workspaces import House, done, edit, product_bytes, raw_files, run

from cuvee.simulate import faults


@pytest.mark.parametrize(("executor", "workers"), [("process", 2), ("process", 1)])
def test_executors_give_the_same_bytes(house: House, executor: str, workers: int) -> None:
    root = house.untouched()
    run(root, executor=executor, workers=workers)
    assert product_bytes(root) == product_bytes(house.master)


def test_the_place_and_order_of_files_does_not_matter(house: House) -> None:
    root = house.untouched()
    for i, path in enumerate(reversed(raw_files(root))):
        folder = root / "RAW" / f"{i % 3}"
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    run(root)
    assert product_bytes(root) == product_bytes(house.master)


def keep_no_blocks(root: Path) -> None:
    path = root / "cuvee.toml"
    path.write_text(path.read_text().replace("[keep]\n", "[keep]\nflux_blocks = false\n"))


def test_evicted_blocks_are_made_again_only_on_need(house: House) -> None:
    root = house.untouched()
    keep_no_blocks(root)
    run(root)
    blocks = {name for name in product_bytes(house.master) if "/fluxes/" in name}
    good = {name: content for name, content in product_bytes(house.master).items() if name not in blocks}
    assert product_bytes(root) == good
    assert run(root).worked == 0
    (root / "cuvee.db").unlink()  # receipts know what was evicted
    assert run(root).worked == 0

    path = raw_files(root)[20]
    edit(path, faults.truncate)
    summary = run(root)
    assert done(summary) == {"extract": 4, "tracks": 1, "collect": 2, "summary": 1, "publish": 1}
    house.restore(path)
    run(root)
    assert product_bytes(root) == good
    assert run(root).worked == 0


def test_evicted_blocks_whose_frames_are_gone_lose_no_light_curve(house: House) -> None:
    root = house.untouched()
    keep_no_blocks(root)
    run(root)
    before = product_bytes(root)
    frames = raw_files(root)
    for path in frames[:50]:
        path.unlink()
    assert run(root).worked == 0
    edit(frames[-1], faults.truncate)
    for _ in range(2):
        summary = run(root)
        assert {(r.stage, r.outcome) for r in summary.troubled} == {("collect", "blocked")}
        assert "bring them back" in summary.troubled[0].message
        assert {n: b for n, b in product_bytes(root).items() if n.startswith("LC")} == {
            n: b for n, b in before.items() if n.startswith("LC")
        }
    for path in frames[:50]:
        house.restore(path)
    assert not run(root).troubled
    house.restore(frames[-1])
    run(root)
    assert product_bytes(root) == before
