"""What a past run left, as far as its ledger still says, and how the products of another run compare with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cuvee.errors import ConfigError
from cuvee.model.keys import DataId
from cuvee.run.stage import Stage
from cuvee.store.ledger import Ledger

__all__ = ["Comparison", "Difference", "PastRun", "compare", "past_run"]

Key = tuple[str, str]
"""Kind and data id of a product."""

_RAW = ("frame", "member", "stamp", "table")
"""Kinds of inputs that are files of the user's."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run, and what of it still stands.

    Parameters
    ----------
    ledger : Path
        Where it is written down.
    number : int
        Of the run.
    started : str
        When (UTC).
    software : mapping of str to str
        Versions, cuvee's among them.
    config : mapping
        Its effective configuration, with the hashes of the files that this names.
    segment, detector, until : str
        What was asked (`cuvee.run.options.RunOptions`).
    products : mapping of Key to dict
        Rows of the products that stand as they stood after the run.
    remade : mapping of Key to (str, int)
        Products in its realm that a later run made or made anew: path, and that run's number.
    raw : tuple of str
        Raw files of its realm.
    """

    ledger: Path
    number: int
    started: str
    software: Mapping[str, str]
    config: Mapping[str, Any]
    segment: str
    detector: str
    until: str
    products: Mapping[Key, Mapping[str, Any]]
    remade: Mapping[Key, tuple[str, int]]
    raw: tuple[str, ...]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"run {self.number}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A product that is not what it was.

    Parameters
    ----------
    path : str
        Its file, relative to the workspace.
    why : str
        In words.
    """

    path: str
    why: str


@dataclass(slots=True)
class Comparison:
    """How the products compare.

    Parameters
    ----------
    compared : int
        Products of which it is known what they were.
    different : list of Difference
        Those of them that are not the same bytes, or were not made.
    inputs : dict of str to str
        Inputs that are not as they were, and in which way, whether or not a product shows it.
    remade : dict of str to int
        Products that cannot be compared, and which later run made them anew.
    """

    compared: int = 0
    different: list[Difference] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    remade: dict[str, int] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Whether every product of the run was compared and is the same, and every input, too."""
        return not self.different and not self.remade and not self.inputs


def past_run(ledger: Ledger, path: Path, number: int | None, stages: Sequence[Stage]) -> PastRun:
    """Find out what a run was.

    Parameters
    ----------
    ledger : Ledger
        The workspace's.
    path : Path
        Its file.
    number : int, optional
        Of the run; by default the newest one that was finished.
    stages : sequence of Stage
        The pipeline.

    Raises
    ------
    ConfigError
        If there is no such run, or it was not finished, or left nothing to compare with.
    """
    runs = {row["id"]: row for row in ledger.runs()}
    if number is None:
        number = max((n for n, row in runs.items() if row["finished"]), default=0)
        if not number:
            raise ConfigError(f"No run of {path} was ever finished; finish one with: cuvee run -w {path.parent}")
    row = runs.get(number)
    if row is None:
        raise ConfigError(f"There is no run {number} in {path}; it has runs 1 to {max(runs, default=0)}.")
    if not row["finished"]:
        raise ConfigError(
            f"Run {number} of {path} broke off; finish its work with cuvee run -w {path.parent}, and reproduce that run."
        )
    asked = row["config"].get("asked")
    if asked is None:
        raise ConfigError(
            f"Run {number} of {path} is of a cuvee that did not note what was asked; "
            f"run cuvee run -w {path.parent} once more, and reproduce that run."
        )
    if asked.get("stars"):
        raise ConfigError(
            f"Run {number} of {path} made the light curves of some stars only; reproduce a run of whole detectors."
        )
    names = [stage.name for stage in stages]
    made = set(names[: names.index(asked["until"]) + 1] if asked["until"] in names else names)
    products, remade = _realm(ledger, number, asked, made)
    if not products:
        raise ConfigError(f"Nothing of run {number} of {path} stands any more, or it made nothing; choose another run.")
    groups = {DataId.parse(data_id).group for _, data_id in products}
    raw = [row["path"] for row in _sound_files(ledger) if _group_of(row) in groups]
    software = {"cuvee": row["version"], **row["config"].get("software", {})}
    return PastRun(
        path, number, row["started"], software, row["config"], asked["segment"], asked["detector"], asked["until"],
        products, remade, tuple(raw),
    )  # fmt: skip


def _sound_files(ledger: Ledger) -> list[Mapping[str, Any]]:
    """Return the raw files that are good, or were before they went from disk."""
    bad = {row["path"] for row in ledger.quarantined()}
    return [row for row in ledger.files().values() if row["state"] != "bad" and row["path"] not in bad]


def _group_of(file: Mapping[str, Any]) -> DataId:
    return DataId(file["instrument"], file["segment"], file["detector"], file["kind"])


def _realm(
    ledger: Ledger, number: int, asked: Mapping[str, str], stages: set[str]
) -> tuple[dict[Key, Mapping[str, Any]], dict[Key, tuple[str, int]]]:
    """Return the products of what was asked: those that stand since the run or before, and those of later runs."""
    made_by = {(unit["stage"], unit["data_id"]): int(unit["run_id"]) for unit in ledger.units()}
    products: dict[Key, Mapping[str, Any]] = {}
    later: dict[Key, tuple[str, int]] = {}
    for row in ledger.products():
        group = DataId.parse(row["data_id"]).group
        elsewhere = group.segment and not (
            asked["segment"] in ("", group.segment) and group.detector.startswith(asked["detector"])
        )
        if elsewhere or row["stage"] not in stages or not row["path"]:
            continue
        key = row["kind"], row["data_id"]
        by = made_by.get((row["stage"], row["unit"]), 0)
        if by <= number:
            products[key] = row
        else:
            later[key] = row["path"], by
    # A detector of which nothing stands from then came later, or has been made anew altogether: that is another run.
    groups = {DataId.parse(data_id).group for _, data_id in products}
    later = {key: value for key, value in later.items() if DataId.parse(key[1]).group in groups}
    # What describes all light curves is the run's only as far as it made all of them.
    for key in [key for key in products if key[0] == "catalog"]:
        sources = {(row["input_kind"], row["input_id"]) for row in ledger.lineage(*key)}
        if not sources <= products.keys():
            del products[key]
    return products, later


def compare(old: Ledger, new: Ledger, past: PastRun, changed: Sequence[str]) -> Comparison:
    """Compare the products of two workspaces, by the content that their ledgers know.

    Parameters
    ----------
    old, new : Ledger
        Of the run, and of the workspace where it was done again.
    past : PastRun
        What the run left.
    changed : sequence of str
        Files named by the configuration that hold something else than then.

    Returns
    -------
    Comparison
    """
    here = {(row["kind"], row["data_id"]): row for row in new.products()}
    detective = _Detective(old, new, past, here)
    result = Comparison(len(past.products))
    result.inputs = {**dict.fromkeys(changed, "different"), **dict(detective.inputs.values())}
    result.remade = dict(past.remade.values())
    for key, row in past.products.items():
        if key in here and here[key]["content"] == row["content"]:
            continue
        inputs, reason = detective.causes(key)
        if inputs:
            first, *others = inputs
            reason = f"made from {first}" + (f" and {len(others)} more that differ" if others else ", which differs")
        result.inputs |= inputs
        result.different.append(Difference(row["path"], reason))
    return result


class _Detective:
    """Finds what is behind a product that differs; it remembers, for products share inputs."""

    def __init__(self, old: Ledger, new: Ledger, past: PastRun, here: Mapping[Key, Mapping[str, Any]]) -> None:
        self._old, self._new, self._past, self._here = old, new, past, here
        self._known: dict[Key, tuple[dict[str, str], str]] = {}
        self.inputs = {**self._files(), **self._tables()}

    def _files(self) -> dict[str, tuple[str, str]]:
        """Return the run's raw files that are not as they were: by data id, path and how they differ."""
        bad = {Path(row["path"]).name: row["message"] for row in self._new.quarantined()}
        there = {_data_id(row): row for row in _sound_files(self._new)}
        realm = set(self._past.raw)
        found = {}
        for row in _sound_files(self._old):
            path, data_id = row["path"], _data_id(row)
            now = there.get(data_id)
            if path not in realm:
                continue
            if now is None or now["state"]:
                message = bad.get(Path(path).name)
                found[data_id] = path, "missing" if message is None else f"cannot be used: {message}"
            elif row["content"] and now["content"] and row["content"] != now["content"]:
                found[data_id] = now["path"], "different"
        return found

    def _tables(self) -> dict[str, tuple[str, str]]:
        found = {}
        for row in self._old.products("table"):
            if not any(r["kind"] == "partition" and r["unit"] == row["unit"] for r in self._past.products.values()):
                continue
            now = self._here.get(("table", row["data_id"]))
            if now is None or now["content"] != row["content"]:
                name = DataId.parse(row["data_id"]).part
                found[row["data_id"]] = name, "missing" if now is None else "different"
        return found

    def causes(self, key: Key) -> tuple[dict[str, str], str]:
        """Return the files behind a difference, with how they differ; and a reason where there is none."""
        if key in self._known:
            return self._known[key]
        self._known[key] = {}, ""
        then = {(r["input_kind"], r["input_id"]): r["content"] for r in self._old.lineage(*key)}
        now = {(r["input_kind"], r["input_id"]): r["content"] for r in self._new.lineage(*key)}
        files: dict[str, str] = {}
        reasons = []
        for source in sorted(then.keys() | now.keys()):
            if then.get(source) == now.get(source):
                continue
            if source[0] in _RAW:
                if source[1] in self.inputs:
                    path, how = self.inputs[source[1]]
                    files[path] = how
                elif source not in then:
                    files[DataId.parse(source[1]).part] = "was not used then"
            elif self._differs(source):
                more, reason = self.causes(source)
                files |= more
                reasons.append(reason)
        reason = next(filter(None, reasons), "") or self._own_reason(key, then == now)
        self._known[key] = files, reason
        return self._known[key]

    def _differs(self, key: Key) -> bool:
        before, after = self._past.products.get(key), self._here.get(key)
        if before is None or after is None:
            return before is not None
        return bool(before["content"] != after["content"])

    def _own_reason(self, key: Key, same_inputs: bool) -> str:
        """Say why a product differs that is not made from files which do."""
        before, after = self._past.products[key], self._here.get(key)
        if after is None:
            rows = self._new.rows("units", stage=before["stage"], data_id=before["unit"])
            return f"not made: {rows[0]['message']}" if rows and rows[0]["message"] else "not made"
        if before["recipe"] == after["recipe"]:
            return "the same recipe from the same inputs gave other bytes, so the software or the processor differs"
        return (
            f"the parameters of {after['stage']}, or its version, differ" if same_inputs else "made from something else"
        )


def _data_id(file: Mapping[str, Any]) -> str:
    group = _group_of(file)
    part = file["name"] if group.kind == "ffi" else ""
    return str(DataId(group.instrument, group.segment, group.detector, group.kind, file["series"], part))
