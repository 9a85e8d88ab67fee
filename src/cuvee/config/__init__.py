"""The configuration: one commented TOML file a workspace, read into frozen records, unknown keys refused.

Each room's parameters are defined beside the code they drive; this module only gathers them.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cuvee.catalog import TargetParams
from cuvee.collect import CollectParams, TimeParams
from cuvee.config.acquire import ACQUIRE_TEMPLATE, AcquireParams
from cuvee.config.templates import FRAMES, PHOTONS
from cuvee.errors import ConfigError, StoreError
from cuvee.events.params import EventParams
from cuvee.extract import ExtractParams
from cuvee.moving import MovingParams
from cuvee.prf.params import PrfParams
from cuvee.reference import ReferenceParams

__all__ = [
    "CONFIG_NAME",
    "FOLDERS",
    "AcquireParams",
    "CatalogSources",
    "Config",
    "DataSources",
    "DatabaseParams",
    "FileParams",
    "KeepParams",
    "RunParams",
    "WorkspaceParams",
    "load",
    "write_workspace",
]

CONFIG_NAME = "cuvee.toml"
FOLDERS = ("BASE", "RAW", "RED", "REDTEMP", "LC", "PROJ")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkspaceParams(_Section):
    """``[workspace]``: what is reduced, and where things lie.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    base, red, lc : str
        Folders for catalogues and reference frames, flux blocks, light curves; relative to the workspace.
    project : str
        Name of a set of parameters whose results lie apart from those of others: in ``RED/projid12``, ``LC/projid12``,
        ``BASE/projid12`` and the ledger ``cuvee-projid12.db`` for "12". Empty: in the folders themselves.
    """

    instrument: str
    base: str = "BASE"
    red: str = "RED"
    lc: str = "LC"
    project: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,32}$")


class DataSources(_Section):
    """``[data]``: where the raw files lie.

    Parameters
    ----------
    files : tuple of str
        Folders, globs or files, relative to the workspace.
    """

    files: tuple[str, ...] = ("RAW",)


class CatalogSources(_Section):
    """``[catalog]``: the reference catalogue.

    Parameters
    ----------
    files : tuple of str
        Tables with id, position and magnitude, relative to the workspace; stored catalogues by name or folder.
    """

    files: tuple[str, ...] = ()


class RunParams(_Section):
    """``[run]``: how the work is spread; never changes a result.

    Parameters
    ----------
    workers : int
        Worker processes; 0 takes one a core.
    executor : str
        ``process`` or ``serial``.
    """

    workers: int = Field(default=0, ge=0)
    executor: Literal["process", "serial"] = "process"


class KeepParams(_Section):
    """``[keep]``: what stays on disk once it has been used.

    Parameters
    ----------
    flux_blocks : bool
        Keep the flux blocks; without them a repaired frame costs the whole detector again.
    """

    flux_blocks: bool = True


class FileParams(_Section):
    """``[files]``: who may read and write what is written; never changes a result.

    Parameters
    ----------
    mode : str
        Of new files in the workspace, octal: "0640", "0664". Empty: as the user's umask says.
    group : str
        Of new files in the workspace. Empty: the user's.
    """

    mode: str = Field(default="", pattern=r"^(0?6[0246]{2})?$")
    group: str = ""


class DatabaseParams(_Section):
    """``[database]``: where the ledger is; never changes a result.

    Parameters
    ----------
    url : str
        Empty: the file ``cuvee.db`` of the workspace. Else a database of a server, as
        ``postgresql://USER@HOST/DATABASE?schema=SURVEY`` or ``mysql://USER@HOST/SURVEY``.
    """

    url: str = ""


class Config(_Section):
    """The whole configuration of a workspace, defaults filled in.

    Parameters
    ----------
    workspace, acquire, data, catalog, targets, reference, prf, extract, moving, events, collect, time, run, keep, files, database
        One record a section.
    """

    workspace: WorkspaceParams
    acquire: AcquireParams = AcquireParams()
    data: DataSources = DataSources()
    catalog: CatalogSources = CatalogSources()
    targets: TargetParams = TargetParams()
    reference: ReferenceParams = ReferenceParams()
    prf: PrfParams = PrfParams()
    extract: ExtractParams = ExtractParams()
    moving: MovingParams = MovingParams()
    events: EventParams = EventParams()
    collect: CollectParams = CollectParams()
    time: TimeParams = TimeParams()
    run: RunParams = RunParams()
    keep: KeepParams = KeepParams()
    files: FileParams = FileParams()
    database: DatabaseParams = DatabaseParams()

    def effective(self) -> dict[str, Any]:
        """Return every parameter with its value, ready for JSON; but for the database, whose URL may hold a password."""
        return json.loads(self.model_dump_json(exclude={"database"}))  # type: ignore[no-any-return]


def write_workspace(
    folder: Path, instrument: str, data: Sequence[str], catalog: Sequence[str], photons: bool = False
) -> Path:
    """Make a workspace: its folders and a commented configuration.

    Parameters
    ----------
    folder : Path
        The workspace; made if it is missing.
    instrument : str
        Name of the instrument.
    data, catalog : sequence of str
        Folders, globs or files of raw data and of catalogue tables, relative to the workspace.
    photons : bool
        Whether the instrument counts photons, and so needs no catalogue.

    Returns
    -------
    Path
        The configuration file.

    Raises
    ------
    ConfigError
        If the folder already is a workspace, or is a file.
    StoreError
        If it cannot be written.
    """
    path = folder / CONFIG_NAME
    if path.exists():
        raise ConfigError(f"{folder} already is a workspace; edit {path}, or choose another folder.")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; choose a folder for the workspace.")
    default = Config(workspace=WorkspaceParams(instrument=instrument))
    text = (PHOTONS if photons else FRAMES).format(
        events=default.events,
        band=list(default.events.band),
        instrument=instrument,
        acquire_section=_acquire_section(instrument, default.acquire),
        data=json.dumps(list(data)),
        catalog=json.dumps(list(catalog)),
        targets=default.targets,
        reference=default.reference,
        extract=default.extract,
        prf=default.prf,
        radii=list(default.extract.radii),
        psf=json.dumps(default.extract.psf),
        k2p2=json.dumps(default.extract.k2p2),
        halo=json.dumps(default.extract.halo),
        moving=json.dumps(default.extract.moving),
        annulus=list(default.extract.annulus),
        collect=default.collect,
        run=default.run,
        flux_blocks=json.dumps(default.keep.flux_blocks),
    )
    try:
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise StoreError(f"Cannot make the workspace {folder}: {error.strerror}.") from error
    return path


_MISSIONS = {"kepler": "kepler", "cos": "hst", "stis": "hst"}
"""Whose files an instrument's are, where it is not TESS."""


def _acquire_section(instrument: str, default: AcquireParams) -> str:
    text = ACQUIRE_TEMPLATE.format(acquire=default)
    mission = _MISSIONS.get(instrument)
    return text if mission is None else text.replace(f'# mission = "{default.mission}"', f'mission = "{mission}"')


def _nearest(word: str, choices: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(sorted(choices))}."


def _check_keys(given: Mapping[str, Any], path: Path) -> None:
    sections = Config.model_fields
    for section, values in given.items():
        if section not in sections:
            raise ConfigError(f"{path}: unknown section [{section}]; {_nearest(section, list(sections))}")
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {section!r} must be a section, written [{section}].")
        model = sections[section].annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        for key in values:
            if key not in model.model_fields:
                raise ConfigError(
                    f"{path}: unknown key {key!r} in [{section}]; {_nearest(key, list(model.model_fields))}"
                )


def load(folder: Path) -> Config:
    """Read a workspace's configuration.

    Parameters
    ----------
    folder : Path
        The workspace.

    Returns
    -------
    Config
        With defaults filled in.

    Raises
    ------
    ConfigError
        If there is none, or it is empty, damaged, contradictory, or has an unknown key.
    """
    path = folder / CONFIG_NAME
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {folder}; make a workspace with: cuvee init {folder} --instrument tess")
    if not path.is_file():
        raise ConfigError(
            f"{folder.resolve()} is not a cuvee workspace (no {CONFIG_NAME}); "
            "make one with: cuvee init WORKSPACE --instrument tess, or name one with -w"
        )
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    if not given:
        raise ConfigError(f'{path} is empty; it needs at least [workspace] with instrument = "tess".')
    _check_keys(given, path)
    try:
        return Config.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = " ".join(f"[{part}]" if i == 0 else str(part) for i, part in enumerate(first["loc"]))
        what = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: {where}: {what[:1].lower()}{what[1:]} (got {first['input']!r}).") from error
