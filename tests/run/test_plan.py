"""Planning from what the ledger and the disk know, with as few questions to both as there are tables and folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from astropy.io import fits
from tests.run.stamps import make_workspace

from cuvee.instruments.tess import TESS
from cuvee.model.keys import DataId
from cuvee.run.facts import FILE_COLUMNS, FileFacts, facts_from_columns, facts_of, facts_to_row, stat_files
from cuvee.run.plan import make_plan
from cuvee.run.receipts import Receipt, write_receipt
from cuvee.run.stage import Product, Stage, Unit
from cuvee.run.stock import Stock
from cuvee.store.atomic import content_hash
from cuvee.store.ledger import Ledger
from cuvee.store.paths import Paths

GROUP = DataId("tess", "s0001", "1-4", "tesscut")
PER = ("instrument", "segment", "detector", "kind", "series")
EXTRACT = Stage("extract-series", 1, PER, ("stamp", "targets"), ("fluxes",), (), lambda *_: None)


def raw(n: int) -> dict[str, list[Product]]:
    stamps = [Product("stamp", GROUP._replace(series=f"stamp{k}"), f"content{k}", f"/raw/{k}") for k in range(n)]
    return {"stamp": stamps, "targets": [Product("targets", GROUP, "t", "")]}


def done(paths: Paths, unit: Unit) -> Receipt:
    """Leave what a unit leaves: its product on disk."""
    path = paths.fluxes(unit.data_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(unit.data_id))
    state = path.stat()
    meta = {"size": state.st_size, "mtime_ns": state.st_mtime_ns}
    made = Product("fluxes", unit.data_id, content_hash(path), str(path.relative_to(paths.root)), meta)
    return Receipt(unit.stage.name, unit.data_id, unit.recipe({}), "done", products=(made,))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


@pytest.fixture
def ledger(paths: Paths) -> Iterator[Ledger]:
    with Ledger.open(paths.ledger) as ledger:
        yield ledger


def test_what_is_settled_is_not_planned_again_until_its_product_changes(paths: Paths, ledger: Ledger) -> None:
    plan = make_plan(Stock(ledger, paths), EXTRACT, [GROUP], raw(5), {})
    assert len(plan.todo) == 5
    Stock(ledger, paths).settle([(unit, done(paths, unit)) for unit in plan.todo])
    again = make_plan(Stock(ledger, paths), EXTRACT, [GROUP], raw(5), {})
    assert (again.todo, len(again.settled)) == ([], 5)
    assert len(make_plan(Stock(ledger, paths), EXTRACT, [GROUP], raw(5), {"radius": 2}).todo) == 5
    paths.fluxes(plan.todo[0].data_id).write_text("something else")
    paths.fluxes(plan.todo[1].data_id).unlink()
    assert make_plan(Stock(ledger, paths), EXTRACT, [GROUP], raw(5), {}).todo == plan.todo[:2]
    fewer = make_plan(Stock(ledger, paths), EXTRACT, [GROUP], {**raw(3)}, {})
    assert [receipt.data_id.series for receipt in fewer.dropped] == ["stamp3", "stamp4"]


def test_receipts_that_the_ledger_missed_are_taken_in(paths: Paths, ledger: Ledger) -> None:
    units = make_plan(Stock(ledger, paths), EXTRACT, [GROUP], raw(4), {}).todo
    for unit in units[:3]:
        write_receipt(paths.receipt(unit.stage.name, unit.data_id), done(paths, unit))
    stock = Stock(ledger, paths)
    assert make_plan(stock, EXTRACT, [GROUP], raw(4), {}).todo == units[3:]
    stock.adopt()
    assert [row["data_id"] for row in ledger.units()] == [str(unit.data_id) for unit in units[:3]]


def test_products_that_were_copied_are_told_by_their_bytes_and_remembered(paths: Paths, ledger: Ledger) -> None:
    units = make_plan(Stock(ledger, paths), EXTRACT, [GROUP], raw(4), {}).todo
    Stock(ledger, paths).settle([(unit, done(paths, unit)) for unit in units])
    for unit in units:
        path = paths.fluxes(unit.data_id)
        os.utime(path, ns=(1, 1))
    stock = Stock(ledger, paths)
    assert make_plan(stock, EXTRACT, [GROUP], raw(4), {}).todo == []
    with counted() as statements:
        stock.adopt()
    assert [statement.split()[0] for statement in statements] == ["BEGIN", "INSERT"]
    assert [row["meta"]["mtime_ns"] for row in ledger.products()] == [1] * len(units)


def test_lineage_holds_what_was_read_last(paths: Paths, ledger: Ledger) -> None:
    stock = Stock(ledger, paths)
    (unit,) = make_plan(stock, EXTRACT, [GROUP], raw(1), {}).todo
    more = unit._replace(inputs=(*unit.inputs, Product("stamp", GROUP._replace(series="other"), "c", "/raw/other")))
    stock.settle([(more, done(paths, more))])
    assert len(ledger.lineage("fluxes", str(unit.data_id))) == 3
    stock.settle([(unit, done(paths, unit))])
    read = {row["input_kind"]: row["content"] for row in ledger.lineage("fluxes", str(unit.data_id))}
    assert read == {"stamp": "content0", "targets": "t"}


class counted:  # noqa: N801 - reads as a word where it is used
    """Collects the statements that databases are given meanwhile."""

    def __enter__(self) -> list[str]:
        self.statements: list[str] = []
        sa.event.listen(sa.Engine, "before_cursor_execute", self._note)
        return self.statements

    def __exit__(self, *_: object) -> None:
        sa.event.remove(sa.Engine, "before_cursor_execute", self._note)

    def _note(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self.statements.append(statement)


def test_the_ledger_is_asked_and_told_as_often_for_many_units_as_for_few(tmp_path: Path) -> None:
    found = []
    for n in (3, 300):
        paths = Paths(tmp_path / str(n))
        paths.root.mkdir()
        with Ledger.open(paths.ledger) as ledger:
            units = make_plan(Stock(ledger, paths), EXTRACT, [GROUP], raw(n), {}).todo
            receipts = [(unit, done(paths, unit)) for unit in units]
            with counted() as told:
                Stock(ledger, paths).settle(receipts)
            with counted() as asked:
                assert len(make_plan(Stock(ledger, paths), EXTRACT, [GROUP], raw(n), {}).settled) == n
        found.append((told, asked))
    assert found[0] == found[1]


# -- what the ledger keeps of files ------------------------------------------------------------------------------


def same_header(one: FileFacts, other: FileFacts) -> bool:
    return repr(one.info) == repr(other.info)  # NaN is not equal to itself


def test_facts_of_files_survive_the_ledger(tmp_path: Path, ledger: Ledger) -> None:
    root = make_workspace(tmp_path / "survey", 2)
    files = [str(path) for path in sorted((root / "RAW").iterdir())]
    stamps = [facts_of(TESS.scan(path), stat) for path, stat in stat_files(files).items()]
    assert all(facts.has_wcs and facts.footprint and facts.cells for facts in stamps)
    header = fits.Header([("CTYPE1", "RA---TAN", "with a comment"), ("", ""), ("CRVAL1", 1.5)])
    header.add_comment(" a text that begins with a blank")
    plain = stamps[0].info
    stamps.append(stamps[0]._replace(path="/odd", header=replace(plain, path="/odd", wcs=header.tostring())))
    stamps.append(facts_of(replace(TESS.scan(files[0]), path="/none", wcs=""), (1, 2, 3)))
    frame = replace(plain, path="/frame", kind="ffi", series="ffi", time_ra=float("nan"))
    stamps.append(facts_of(frame, (4, 5, 6))._replace(had="before", content="now", state="gone"))
    ledger.put("files", [facts_to_row(facts) for facts in stamps])
    known = facts_from_columns(ledger.columns("files", FILE_COLUMNS, as_text=("info",)))
    assert set(known) == {facts.path for facts in stamps}
    for facts in stamps:
        kept = known[facts.path]
        assert isinstance(kept.header, str)
        assert kept._replace(header=facts.header) == facts
        assert same_header(kept, facts)
        assert kept.footprint_product().content == facts.footprint_product().content
