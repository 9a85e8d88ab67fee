"""What `cuvee run --reproduce` says in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cuvee.cli.output import count

if TYPE_CHECKING:
    from cuvee.reproduce import Reproduction

__all__ = ["reproduction_json", "reproduction_lines"]

_SHOWN = 20
"""Products that are listed; --json lists all. Inputs that differ are always all listed."""


def reproduction_lines(again: Reproduction) -> list[str]:
    """Say whether a run came out the same, and if not, which input differs.

    Parameters
    ----------
    again : Reproduction
        From `cuvee.reproduce.reproduce_run`.
    """
    past, found = again.past, again.comparison
    what = f"{past.name} of {past.ledger.parent} (cuvee {past.software['cuvee']}, {past.started})"
    same = found.compared - len(found.different)
    lines = [f"Reproduced {what}: {same} of {count(found.compared, 'product')} have the same bytes."]
    if found.remade:
        runs = ", ".join(map(str, sorted(set(found.remade.values()))))
        lines.append(
            f"{count(len(found.remade), 'product')} cannot be compared: a later run (number {runs}) made them, "
            "or made them anew; to compare these, reproduce that run:"
        )
        lines += _some([f"  {path}" for path in sorted(found.remade)])
    if found.inputs:
        lines.append(f"{count(len(found.inputs), 'input')} not as then:")
        lines += [f"  {how:11s} {path}" for path, how in sorted(found.inputs.items())]
    if found.different:
        lines.append(f"{count(len(found.different), 'product')} with other bytes:")
        lines += _some([f"  {one.path}: {one.why}" for one in found.different])
    if again.software:
        others = ", ".join(f"{name} {then} (now {now or 'none'})" for name, (then, now) in again.software.items())
        lines.append(f"That run had other software: {others}.")
    return lines


def _some(lines: list[str]) -> list[str]:
    rest = len(lines) - _SHOWN
    return lines if rest <= 0 else [*lines[:_SHOWN], f"  and {rest} more; --json lists all"]


def reproduction_json(again: Reproduction) -> dict[str, object]:
    """Return the same for machines.

    Parameters
    ----------
    again : Reproduction
        From `cuvee.reproduce.reproduce_run`.
    """
    past, found = again.past, again.comparison
    return {
        "ledger": str(past.ledger),
        "run": past.number,
        "exact": found.exact,
        "compared": found.compared,
        "different": [{"path": one.path, "why": one.why} for one in found.different],
        "inputs": found.inputs,
        "remade": found.remade,
        "software": {name: {"then": then, "now": now} for name, (then, now) in again.software.items()},
    }
