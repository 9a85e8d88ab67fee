"""The workspace with PSF fluxes is made once."""

from __future__ import annotations

import pytest
from tests.provenance.psf_house import PsfHouse, make_psf_house


@pytest.fixture(scope="session")
def psf_house(tmp_path_factory: pytest.TempPathFactory) -> PsfHouse:
    return make_psf_house(tmp_path_factory.mktemp("psf") / "w")
