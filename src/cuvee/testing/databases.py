"""What every database that holds a ledger must do: a suite for the tests of a database.

A test subclasses `DatabaseContract` under a name that pytest collects and has a fixture ``place``: where an empty ledger of its own can
be, an SQLite file or a URL, which it takes away afterwards::

    from cuvee.testing.databases import DatabaseContract

    class TestMyDatabase(DatabaseContract):
        @pytest.fixture
        def place(self):
            yield "postgresql://me@host/test?schema=contract"
            drop_schema("contract")
"""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from cuvee.errors import CuveeError, StoreError
from cuvee.store.ledger import Ledger
from cuvee.store.schema import METADATA, REVISIONS, TABLES
from cuvee.testing.bulk_loads import BulkLoadContract, raising

__all__ = ["DatabaseContract"]


def _unit(k: int, outcome: str = "done", **more: Any) -> dict[str, Any]:
    data_id = f"tess/s0008/3-4/ffi/ffi/b{k:06d}"
    return {"stage": "extract", "data_id": data_id, "outcome": outcome, "counts": {"stars": k}, "run_id": 1, **more}


def _bad(path: str, reason: str = "truncated", size: int = 10, run_id: int = 1) -> dict[str, Any]:
    return {"path": path, "size": size, "mtime_ns": 1, "inode": 2, "reason": reason, "message": "x", "run_id": run_id}


class DatabaseContract(BulkLoadContract):
    """Tests of one database; subclass and give it a fixture ``place``."""

    def test_rows_come_back_with_defaults_and_later_ones_replace_them(self, place: Path | str) -> None:
        """Rows come back with the defaults of what they leave out, and later ones replace them."""
        with Ledger.open(place) as ledger:
            ledger.put_units([_unit(1), _unit(2, "failed", message="it broke", seconds=1.5)])
            ledger.put_units([_unit(1, "have", recipe="ab")])
            ledger.put_units([])
        with Ledger.open(place) as ledger:
            one, two = ledger.units()
            assert (one["outcome"], one["recipe"], one["counts"], one["seconds"]) == ("have", "ab", {"stars": 1}, 0.0)
            assert (two["outcome"], two["recipe"], two["message"]) == ("failed", "", "it broke")
            assert ledger.units("collect") == []
            ledger.drop("units", [(one["stage"], one["data_id"]), ("collect", "none")])
            assert ledger.units("extract") == [two]

    def test_a_row_must_fit_its_table(self, place: Path | str) -> None:
        """A column that the table lacks, or a key that the row lacks, is an error."""
        with Ledger.open(place) as ledger:
            with raising(KeyError, "no column colour"):
                ledger.put_units([_unit(1, colour="red")])
            with raising(KeyError, "lacks data_id"):
                ledger.put_units([{"stage": "extract"}])

    def test_files_and_frames_are_remembered_and_forgotten_together(self, place: Path | str) -> None:
        """Integers of 64 bits, any letter, NaN within JSON: all come back as they were."""
        info = {
            "moments": [13952.0, 1517.4, float("nan"), 0.004, 32.0],
            "wcs": "CRVAL1 = 130.0",
            "geometry": {"n_row": 2048},
        }
        row = {
            "path": "/data/å ffic.fits",
            "size": 5,
            "mtime_ns": 1_553_000_000_123_456_789,
            "inode": 2**62,
            "info": info,
        }
        with Ledger.open(place) as ledger:
            ledger.put("files", [row, {"path": "b"}])
            ledger.put("frames", [{"file": row["path"], "cadence": 13952, "start": 1517.4}, {"file": "b"}])
            found = ledger.files()
            assert list(found) == ["/data/å ffic.fits", "b"]
            kept = found["/data/å ffic.fits"]
            assert (kept["mtime_ns"], kept["inode"], kept["first_cadence"]) == (row["mtime_ns"], 2**62, -1)
            assert repr(kept["info"]) == repr(info)
            ledger.drop_files(["b"])
            assert list(ledger.files()) == ["/data/å ffic.fits"]
            assert [frame["file"] for frame in ledger.rows("frames")] == ["/data/å ffic.fits"]

    def test_an_update_changes_what_it_names_and_nothing_else(self, place: Path | str) -> None:
        """An update leaves the columns that it does not name, and makes no rows."""
        with Ledger.open(place) as ledger:
            ledger.put("files", [{"path": name, "size": 5, "state": "bad", "info": {"a": 1}} for name in "abc"])
            before = ledger.files()
            ledger.update(
                "files", [{"path": "a", "content": "x", "state": ""}, {"path": "c", "content": "y", "state": "gone"}]
            )
            ledger.update("files", [{"path": "d", "content": "z"}])
            ledger.update("files", [])
            changed = {"a": {"content": "x", "state": ""}, "b": {}, "c": {"content": "y", "state": "gone"}}
            assert ledger.files() == {name: {**before[name], **changes} for name, changes in changed.items()}

    def test_columns_are_those_of_the_rows(self, place: Path | str) -> None:
        """Columns are those of the rows, in the order of the key."""
        with Ledger.open(place) as ledger:
            assert [list(column) for column in ledger.columns("files", ("path", "info"))] == [[], []]
            ledger.put("files", [{"path": name, "info": {"n": [name]}, "has_wcs": name == "b"} for name in "ba"])
            path, has_wcs, info = ledger.columns("files", ("path", "has_wcs", "info"))
            assert (list(path), list(has_wcs), list(info)) == (["a", "b"], [False, True], [{"n": ["a"]}, {"n": ["b"]}])
            (texts,) = ledger.columns("files", ("info",), as_text=("info",), path="b")
            assert [json.loads(text) for text in texts] == [{"n": ["b"]}]

    def test_products_and_lineage(self, place: Path | str) -> None:
        """Products and their lineage are put, put again, and forgotten together."""
        with Ledger.open(place) as ledger:
            made = {"path": "RED/x.arrow", "content": "c0", "meta": {"patches": {"p1": [0, 5]}}, "stage": "extract"}
            ledger.put_products([{"kind": "fluxes", "data_id": f"b{k}", **made} for k in range(3)])
            ledger.put_products([{"kind": "targets", "data_id": "b0"}])
            assert [row["data_id"] for row in ledger.products("fluxes")] == ["b0", "b1", "b2"]
            assert ledger.products("fluxes")[0]["meta"] == {"patches": {"p1": [0, 5]}}
            assert len(ledger.products()) == 4
            of = {"kind": "fluxes", "data_id": "b0", "input_kind": "frame"}
            ledger.put(
                "lineage", [{**of, "input_id": "f1", "content": "c1"}, {**of, "input_id": "f2", "content": "c2"}]
            )
            ledger.put(
                "lineage", [{**of, "data_id": "b1", "input_id": "f3"}, {**of, "input_id": "f2", "content": "c4"}]
            )
            found = [(row["input_id"], row["content"]) for row in ledger.lineage("fluxes", "b0")]
            assert found == [("f1", "c1"), ("f2", "c4")]
            ledger.drop_products([("fluxes", "b0"), ("fluxes", "b2")])
            assert [row["data_id"] for row in ledger.products("fluxes")] == ["b1"]
            assert ledger.lineage("fluxes", "b0") == []
            assert len(ledger.lineage("fluxes", "b1")) == 1

    def test_quarantine_remembers_who_saw_a_file_first_until_it_changes(self, place: Path | str) -> None:
        """The run that first saw a bad file stays with it until the file changes."""
        with Ledger.open(place) as ledger:
            ledger.replace_quarantine([_bad("a"), _bad("b")])
            ledger.put_quarantine([_bad("a", run_id=2), _bad("b", size=11, run_id=2), _bad("c", run_id=2)])
            assert {row["path"]: row["run_id"] for row in ledger.quarantined()} == {"a": 1, "b": 2, "c": 2}
            ledger.replace_quarantine([_bad("a", run_id=3)])
            assert [row["path"] for row in ledger.quarantined()] == ["a"]
            assert {row["path"]: row["still"] for row in ledger.rows("quarantine")} == {
                "a": True,
                "b": False,
                "c": False,
            }
            ledger.replace_quarantine([])
            assert ledger.quarantined() == []
            ledger.put_quarantine([_bad("a", run_id=4)])
            assert [(row["path"], row["run_id"]) for row in ledger.quarantined()] == [("a", 4)]
            ledger.replace_quarantine([])
            assert ledger.quarantined() == []

    def test_runs_are_numbered_and_a_killed_one_stays_open(self, place: Path | str) -> None:
        """Runs are numbered from 1, and one that was killed stays open."""
        with Ledger.open(place) as ledger:
            assert ledger.start_run("0.1.0", {"extract": {"radii": [1.5]}}, "cuvee run") == 1
            number = ledger.start_run("0.1.0", {}, "cuvee run")
            ledger.finish_run(number)
            one, two = ledger.runs()
        assert one["config"] == {"extract": {"radii": [1.5]}}
        assert (one["command"], one["finished"]) == ("cuvee run", "")
        assert two["finished"] >= two["started"] > ""

    def test_targets_and_light_curves_are_replaced_as_a_whole(self, place: Path | str) -> None:
        """What is replaced is gone, and nothing else is."""
        with Ledger.open(place) as ledger:
            where = {"instrument": "tess", "segment": "s0008", "detector": "3-4", "kind": "ffi"}
            ledger.replace(
                "targets",
                [{**where, "id": k, "healpix": 10 * k} for k in range(5)],
                segment="s0008",
                detector="3-4",
                kind="ffi",
            )
            ledger.replace(
                "targets", [{**where, "detector": "3-3", "id": 4}], segment="s0008", detector="3-3", kind="ffi"
            )
            ledger.replace(
                "targets", [{**where, "id": 4, "mag": 9.25, "decl": -53.0}], segment="s0008", detector="3-4", kind="ffi"
            )
            assert [(row["detector"], row["mag"]) for row in ledger.targets(4)] == [("3-3", None), ("3-4", 9.25)]
            assert ledger.targets(3) == []
            curves = [{**where, "id": k, "path": "LC/a.parquet", "n_point": 9, "scatter": 1e-3} for k in range(3)]
            ledger.replace("light_curves", curves, path="LC/a.parquet")
            ledger.replace("light_curves", curves[:2], path="LC/a.parquet")
            ledger.replace(
                "light_curves", [{**where, "id": 0, "segment": "s0009", "path": "LC/b.parquet"}], path="LC/b.parquet"
            )
            assert [row["segment"] for row in ledger.light_curves(0)] == ["s0008", "s0009"]
            assert ledger.light_curves(2) == []

    def test_the_tables_are_those_that_the_code_declares(self, place: Path | str) -> None:
        """Every table has its columns, with the type's kind and whether they may be NULL, its key and its indexes."""
        with Ledger.open(place) as ledger, ledger.database.transaction() as connection:
            found = sa.inspect(connection)
            for table in METADATA.tables.values():
                columns = {column["name"]: column for column in found.get_columns(table.name)}
                assert list(columns) == [column.name for column in table.columns]
                for column in table.columns:
                    assert columns[column.name]["nullable"] == column.nullable, (table.name, column.name)
                    if isinstance(column.type, sa.Double):
                        assert "DOUBLE" in str(columns[column.name]["type"])
                    if isinstance(column.type, sa.BigInteger):
                        assert str(columns[column.name]["type"]).startswith("BIGINT")
                key = found.get_pk_constraint(table.name)["constrained_columns"]
                assert key == [column.name for column in table.primary_key.columns]
                indexes = {index["name"]: index["column_names"] for index in found.get_indexes(table.name)}
                for index in table.indexes:
                    assert indexes[index.name] == [column.name for column in index.columns]

    def test_texts_are_told_apart_and_ordered_byte_by_byte(self, place: Path | str) -> None:
        """As Python does: case, accents and blanks at the end count, "/" comes before "0"."""
        names = [
            "B",
            "b",
            "B ",
            "é",
            "e",
            "E",
            "ß",
            "ss",
            "z/1",
            "z/",
            "z0",
            "z",
            "Z",
            "ﬀ",
            "😀",
            "a_b",
            "a%b",
            "a\\b",
            "a'b",
        ]
        with Ledger.open(place) as ledger:
            ledger.put("files", [{"path": name} for name in names])
            assert list(ledger.columns("files", ("path",))[0]) == sorted(names)
            assert ledger.values("files", "path") == sorted(names)
            ledger.put("products", [{"kind": "x", "data_id": name, "path": name} for name in names])
            (found,) = ledger.columns("products", ("data_id",), within=("z/", "z0"), kind="x")
            assert list(found) == ["z/", "z/1"]
            assert ledger.rows("files", path="b")[0]["path"] == "b"

    def test_numbers_come_back_to_the_last_bit(self, place: Path | str) -> None:
        """Doubles and long integers are what they were; NaN is no value."""
        rng = np.random.default_rng(1)
        values = [
            0.1,
            -1e-308,
            1.7976931348623157e308,
            math.pi,
            5e-324,
            0.0,
            *(rng.normal(size=200) * 10.0 ** rng.integers(-300, 300, 200)),
        ]
        where = {"instrument": "tess", "segment": "s0008", "detector": "3-4", "kind": "ffi"}
        rows = [{**where, "id": 2**62 + k, "ra": float(value), "decl": math.nan} for k, value in enumerate(values)]
        with Ledger.open(place) as ledger:
            ledger.put("targets", rows)
            ids, ra, decl = ledger.columns("targets", ("id", "ra", "decl"))
        assert list(ids) == [row["id"] for row in rows]
        assert [value.hex() for value in ra] == [float(value).hex() for value in values]
        assert set(decl) == {None}

    def test_long_texts_are_kept(self, place: Path | str) -> None:
        """Neither a path of 700 letters nor a message of a million is cut short."""
        path, message = "/" + 699 * "ä", 1_000_000 * "é"
        with Ledger.open(place) as ledger:
            ledger.put_quarantine([{**_bad(path), "message": message}])
            ledger.put("files", [{"path": path, "info": {"header": message}}])
            assert ledger.quarantined()[0]["message"] == message
            assert ledger.files()[path]["info"] == {"header": message}

    def test_a_batch_is_kept_as_a_whole_or_not_at_all(self, place: Path | str) -> None:
        """Whatever breaks off in the middle of a batch, nothing of it has been written."""
        with Ledger.open(place) as ledger:
            ledger.put_units([_unit(0)])
            with raising(ZeroDivisionError), ledger.batch():
                ledger.put_units([_unit(1)])
                ledger.drop("units", [("extract", _unit(0)["data_id"])])
                raise ZeroDivisionError
            assert [row["data_id"] for row in ledger.units()] == [_unit(0)["data_id"]]
            with raising(CuveeError), ledger.batch():
                ledger.put_units([_unit(1)])
                ledger.put_units([{**_unit(2), "message": None}])
            assert len(ledger.units()) == 1
            with ledger.batch():
                ledger.put_units([_unit(1), _unit(2)])
                ledger.drop("units", [("extract", _unit(0)["data_id"])])
            assert [row["data_id"] for row in ledger.units()] == [_unit(1)["data_id"], _unit(2)["data_id"]]

    def test_readers_see_the_last_finished_batch(self, place: Path | str) -> None:
        """Neither a reader that is there nor one that comes late waits for the writer, or sees half of what it does."""
        with Ledger.open(place) as writer:
            writer.put_units([_unit(k) for k in range(100)])
            with writer.database.transaction() as connection, Ledger.open(place, read_only=True) as reader:
                connection.execute(TABLES["units"].delete())
                assert len(reader.units()) == 100
                with Ledger.open(place, read_only=True) as late:
                    assert len(late.units()) == 100
            with Ledger.open(place, read_only=True) as reader:
                assert reader.units() == []

    def test_a_reader_cannot_write_nor_make_a_ledger(self, place: Path | str) -> None:
        """What is opened to be read stays as it is."""
        assert not Ledger.exists(place)
        with raising(StoreError, "There is no ledger"):
            Ledger.open(place, read_only=True)
        assert not Ledger.exists(place)
        Ledger.open(place).close()
        assert Ledger.exists(place)
        with Ledger.open(place, read_only=True) as reader, raising(StoreError):
            reader.put_units([_unit(1)])

    def test_threads_share_a_ledger(self, place: Path | str) -> None:
        """Writers and readers in several threads do not disturb one another."""
        with Ledger.open(place) as ledger:
            threads = [threading.Thread(target=lambda k=k: ledger.put_units([_unit(k)])) for k in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(ledger.units()) == 20

    def test_some_that_make_the_tables_at_once(self, place: Path | str) -> None:
        """All find a whole ledger."""
        counts: list[int] = []

        def look() -> None:
            with Ledger.open(place) as ledger:
                counts.append(ledger.count("units"))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [0, 0, 0, 0]

    def test_other_versions_and_other_tables_are_refused_and_left_alone(self, place: Path | str) -> None:
        """A ledger of a newer cuvee is not touched, and no other tables are taken for one."""
        with Ledger.open(place) as ledger:
            ledger.put_units([_unit(1)])
            database = ledger.database
            with database.transaction() as connection:
                connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
            for read_only in (False, True):
                with raising(StoreError, "newer cuvee"):
                    Ledger.open(place, read_only=read_only)
            with database.transaction() as connection:
                connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{REVISIONS[-1]}'")
            assert len(ledger.units()) == 1
            with database.transaction() as connection:
                connection.exec_driver_sql("DROP TABLE alembic_version")
            for read_only in (False, True):
                with raising(CuveeError, "cuvee ledger"):
                    Ledger.open(place, read_only=read_only)
            assert len(ledger.units()) == 1
