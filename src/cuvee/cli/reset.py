"""The command reset: a survey put back to its beginning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cuvee.cli.output import count, tell
from cuvee.cli.reduce import Workspace

if TYPE_CHECKING:
    from cuvee.database import Reset

__all__ = ["reset"]

_SHOWN = 5


def reset(
    workspace: Workspace = Path(),
    database: Annotated[bool, typer.Option("--database", help="Empty the ledger's tables of what was made.")] = False,
    files: Annotated[
        bool, typer.Option("--files", help="Delete what was made: in LC, RED, report, REDTEMP, TARGETS.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put a survey back to its beginning: says what will go, asks, and takes it away.

    Raw files, catalogues (BASE), cuvee.toml, the quarantine, what was acquired and the list of runs stay, and so do files that cuvee has not
    made. After --files cuvee run makes everything again; after --database alone it takes the ledger from the receipts in RED.

    Example: cuvee reset --files -w my-survey
    """
    from cuvee.database import plan_reset
    from cuvee.database import reset as do_reset
    from cuvee.errors import ConfigError
    from cuvee.survey import open_survey

    if not (database or files):
        raise ConfigError("Say what is to be reset: --database, --files, or both.")
    survey = open_survey(workspace)
    plan = plan_reset(survey, database, files)
    if not any(plan.rows.values()) and not any(plan.files.values()):
        tell("There is nothing to reset.")
        return
    tell("\n".join(_lines(plan)))
    if not yes:
        try:
            sure = typer.confirm("Do this?")
        except typer.Abort as error:
            raise ConfigError("Nothing was reset, for nobody answered; --yes does it without asking.") from error
        if not sure:
            tell("Nothing was reset.")
            return
    done = do_reset(survey, database, files)
    n_row, n_file = sum(done.rows.values()), sum(map(len, done.files.values()))
    tell(
        f"Reset: {count(n_file, 'file')} deleted, {count(n_row, 'row')} of the ledger dropped. Next: cuvee run -w {workspace}"
    )


def _lines(plan: Reset) -> list[str]:
    lines = []
    for folder, found in plan.files.items():
        if found:
            size = sum(path.lstat().st_size for path in found if path.is_symlink() or path.exists())
            lines.append(f"Will delete {count(len(found), 'file')} ({size / 1e6:.1f} MB) in {folder}")
    rows = {name: n for name, n in plan.rows.items() if n}
    if rows:
        lines.append("Will drop from the ledger " + ", ".join(f"{n} of {name}" for name, n in rows.items()))
    if plan.left:
        names = ", ".join(map(str, plan.left[:_SHOWN]))
        more = f" and {len(plan.left) - _SHOWN} more" if len(plan.left) > _SHOWN else ""
        lines.append(f"Leaves {count(len(plan.left), 'file')} that cuvee has not made: {names}{more}")
    lines.append("Keeps raw files, BASE, cuvee.toml, the quarantine, what was acquired, and the list of runs.")
    return lines
