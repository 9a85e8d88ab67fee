"""What has been done in a workspace, and what is wrong: read from the ledger, without its lock."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from cuvee.errors import StoreError
from cuvee.pipeline import PIPELINE
from cuvee.store.lock import lock_holder
from cuvee.store.own_ledger import has_ledger, open_ledger
from cuvee.survey import Survey

__all__ = ["workspace_status"]

_SOUND = ("done", "have", "no-work")


def workspace_status(survey: Survey) -> dict[str, Any]:
    """Sum the ledger up.

    Parameters
    ----------
    survey : Survey
        The workspace.

    Returns
    -------
    dict
        Ready for JSON: ``runs`` (oldest first), ``running`` (process of the run that is going on, 0 for none), ``files``
        (good ones at hand), ``gone`` (measured and deleted since), ``light_curves``, ``stages`` (units by outcome),
        ``seconds``, ``troubled_units``, ``bad_files``.

    Raises
    ------
    StoreError
        If the ledger is damaged.
    """
    report: dict[str, Any] = {
        "runs": [],
        "running": lock_holder(survey.paths.lock),
        "files": 0,
        "gone": 0,
        "light_curves": 0,
        "stages": {},
        "seconds": {},
        "troubled_units": [],
        "bad_files": [],
    }
    if not has_ledger(survey.paths):
        return report
    stages: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    seconds: dict[str, float] = defaultdict(float)
    try:
        opened = open_ledger(survey.paths, read_only=True)
    except StoreError:
        if report["running"]:
            return report  # the first run has only just begun, and is still making its ledger
        raise
    with opened as ledger:
        names = ("stage", "data_id", "outcome", "message", "seconds")
        for stage, unit, outcome, message, spent in zip(*ledger.columns("units", names), strict=True):
            stages[stage][outcome] += 1
            seconds[stage] += spent
            if outcome not in _SOUND:
                report["troubled_units"].append({"stage": stage, "unit": unit, "outcome": outcome, "message": message})
        report["runs"] = [
            {name: run[name] for name in ("id", "started", "finished", "version", "command")} for run in ledger.runs()
        ]
        report["bad_files"] = [
            {name: bad[name] for name in ("path", "reason", "message")} for bad in ledger.quarantined()
        ]
        report["light_curves"] = ledger.count("light_curves") + ledger.count("exposures")  # of stars, and of photons
        unusable = {bad["path"] for bad in report["bad_files"]}
        files = zip(*ledger.columns("files", ("path", "state")), strict=True)
        states = [state for path, state in files if path not in unusable]
        report["files"], report["gone"] = states.count(""), states.count("gone")
    report["stages"] = {stage.name: dict(stages[stage.name]) for stage in PIPELINE if stage.name in stages}
    report["seconds"] = {stage: round(seconds[stage], 3) for stage in report["stages"]}
    return report
