"""Raw files looked at with what the ledger knows of them, and the ledger told what is new."""

from __future__ import annotations

from collections.abc import Sequence

from cuvee.model.instrument import Instrument
from cuvee.run.executors import Crew
from cuvee.run.facts import (
    FILE_COLUMNS,
    bad_file_from_row,
    bad_file_to_row,
    facts_from_columns,
    facts_to_row,
    frame_row,
)
from cuvee.run.inventory import Inventory, take_inventory
from cuvee.run.options import Reporter
from cuvee.store.ledger import Ledger

__all__ = ["scan_raw_files"]


def scan_raw_files(
    raw: Sequence[str], device: Instrument, ledger: Ledger, crew: Crew, reporter: Reporter, run_id: int | None
) -> Inventory:
    """Find out what raw files there are.

    Parameters
    ----------
    raw : sequence of str
        Their paths.
    device : Instrument
        Reads headers.
    ledger : Ledger
        Knows files of earlier runs.
    crew : Crew
        Opens many files at a time.
    reporter : Reporter
        Takes the news.
    run_id : int or None
        The run for which the ledger is told; None where it only looks.
    """
    known = facts_from_columns(ledger.columns("files", FILE_COLUMNS, as_text=("info",)))
    quarantined = {row["path"]: bad_file_from_row(row) for row in ledger.quarantined()}
    read = 0

    def progress(done: int, total: int) -> None:
        nonlocal read
        if not read:
            reporter.begin("Reading headers", total)
        reporter.advance(done - read)
        read = done

    inventory = take_inventory(raw, device.scan, known, quarantined, crew, progress)
    if read:
        reporter.end()
    if run_id is not None:
        with ledger.batch():
            ledger.drop_files(inventory.dropped)
            ledger.put("files", [facts_to_row(facts) for facts in inventory.fresh])
            ledger.put("frames", [frame_row(facts) for facts in inventory.fresh if facts.is_frame])
            ledger.replace_quarantine([bad_file_to_row(bad, run_id) for bad in inventory.bad.values()])
    return inventory
