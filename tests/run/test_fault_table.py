"""Every fault in every situation comes out as the contract says (`tests.run.fault_table`, which prints the table)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.run.fault_surveys import Survey
from tests.run.fault_table import CONTRACT, SITUATIONS, row


@pytest.fixture(scope="module", params=CONTRACT)
def survey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Survey]:
    return request.param, Survey(request.param, Path(tmp_path_factory.mktemp("faults")))


def test_every_fault_has_the_right_outcome(survey: tuple[str, Survey]) -> None:
    kind, place = survey
    wrong = [
        f"{fault.name}, {where}: {'; '.join(cell.wrong)}"
        for fault in CONTRACT[kind]
        for where, cell in zip(SITUATIONS, row(place, fault), strict=True)
        if cell.wrong
    ]
    assert not wrong, "\n".join(wrong)
