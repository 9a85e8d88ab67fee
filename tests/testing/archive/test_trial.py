"""The trial itself: a client that is perfect, one that lies, one that gives up and one that waits are told apart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cuvee.testing.archive import LoopbackArchive
from cuvee.testing.archive.trial import SEARCH_FAULTS, STATES, TRANSFER_FAULTS, try_downloads, try_searches


def test_downloads_are_judged_by_their_bytes(archive: LoopbackArchive, frame: str, tmp_path: Path) -> None:
    def perfect(_url: str, name: str, target: Path) -> bool:
        shutil.copyfile(archive.site.shelf.paths[name], target)
        return True

    def liar(_url: str, _name: str, _target: Path) -> bool:
        return True

    def quitter(_url: str, _name: str, _target: Path) -> bool:
        raise OSError("no")

    def waiter(_url: str, _name: str, _target: Path) -> bool:
        raise TimeoutError

    found = {}
    for client in (perfect, liar, quitter, waiter):
        (tmp_path / client.__name__).mkdir()
        outcomes = try_downloads(client, archive, frame, tmp_path / client.__name__)
        assert set(outcomes) == {(fault, state) for fault in TRANSFER_FAULTS for state in STATES}
        found[client.__name__] = {state: {outcomes[fault, state] for fault in TRANSFER_FAULTS} for state in STATES}
    assert set().union(*found["perfect"].values()) == {"right"}
    assert {state: outcomes for state, outcomes in found["liar"].items() if outcomes != {"wrong"}} == {
        "whole": {"right"}
    }
    assert found["quitter"]["first"] == found["quitter"]["whole"] == {"failed"}
    assert found["quitter"]["resumed"] == found["quitter"]["corrupt"] == {"failed, part left"}
    assert set().union(*found["waiter"].values()) == {"hangs"}
    assert archive.faults == ()


@pytest.mark.parametrize("outcome", ["right", "wrong", "failed", "hangs"])
def test_searches_are_judged_by_their_rows(archive: LoopbackArchive, outcome: str) -> None:
    def client(_url: str) -> list[str]:
        if outcome == "failed":
            raise OSError("no")
        if outcome == "hangs":
            raise TimeoutError
        names = [str(of.row["obs_id"]) for of in archive.site.observations if of.row["obs_collection"] == "TESS"]
        return names + names[:1] * (outcome == "wrong")

    assert try_searches(client, archive) == dict.fromkeys(SEARCH_FAULTS, outcome)
