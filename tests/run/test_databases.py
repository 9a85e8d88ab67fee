"""A whole run with the ledger in each database: the same bytes, however often the connection is cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.run.workspaces import Listener, done, product_bytes, run
from tests.store.servers import Servers

from cuvee.config import load
from cuvee.simulate.tess import simulate
from cuvee.store.own_ledger import open_ledger
from cuvee.survey import open_survey


class Saboteur(Listener):
    """Cuts all connections to the ledger with each piece of news."""

    def __init__(self, servers: Servers, place: str) -> None:
        super().__init__()
        self.cut = 0
        self._servers, self._place = servers, place

    def begin(self, label: str, total: int) -> None:
        super().begin(label, total)
        self.advance()

    def advance(self, steps: int = 1) -> None:  # noqa: ARG002
        self.cut += self._servers.cut(self._place)


def small_survey(root: Path) -> Path:
    simulate(root, frames=140, stars=40, size=64, seed=3)
    return root


def keep_ledger_in(root: Path, url: str) -> None:
    path = root / "cuvee.toml"
    text = path.read_text()
    assert "[database]\n" in text
    path.write_text(text.replace("[database]\n", f'[database]\nurl = "{url}"\n'))


@pytest.fixture(scope="module")
def in_a_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, int]]:
    root = small_survey(tmp_path_factory.mktemp("file") / "survey")
    counts = done(run(root))
    with open_ledger(open_survey(root).paths, read_only=True) as ledger:
        rows = {name: ledger.count(name) for name in ("files", "frames", "targets", "units", "products", "lineage")}
    assert (root / "cuvee.db").is_file()
    return product_bytes(root), {**counts, **rows}


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_run_makes_the_same_bytes_while_its_connections_are_cut(
    kind: str, servers: Servers, tmp_path: Path, in_a_file: tuple[dict[str, str], dict[str, int]]
) -> None:
    with servers.place(kind) as place:
        root = small_survey(tmp_path / "survey")
        keep_ledger_in(root, place)
        assert load(root).database.url == place
        saboteur = Saboteur(servers, place)
        summary = run(root, saboteur)
        assert saboteur.cut > 10
        assert not summary.troubled
        survey = open_survey(root)
        with open_ledger(survey.paths, read_only=True) as ledger:
            rows = {name: ledger.count(name) for name in ("files", "frames", "targets", "units", "products", "lineage")}
            assert [bool(one["finished"]) for one in ledger.runs()] == [True]
            assert place not in str(ledger.last_run())
        assert (product_bytes(root), {**done(summary), **rows}) == in_a_file
        assert not (root / "cuvee.db").exists()
        assert run(root).worked == 0
        assert len(survey.light_curves(columns=["id"])) == rows["targets"]
