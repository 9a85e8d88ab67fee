"""Every file name in a workspace is built here, and nowhere else; building a name makes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cuvee.model.keys import DataId

__all__ = ["Paths", "receipt_name"]


@dataclass(frozen=True, slots=True)
class Paths:
    """Names of the files of one workspace.

    Parameters
    ----------
    root : Path
        The workspace.
    base, red, lc : str
        Its folders.
    project : str
        See `Paths.of_project`.
    database : str
        URL of the ledger, where it is not a file of the workspace.
    """

    root: Path
    base: str = "BASE"
    red: str = "RED"
    lc: str = "LC"
    project: str = ""
    database: str = ""

    @classmethod
    def of_project(cls, root: Path, base: str, red: str, lc: str, project: str, database: str = "") -> Paths:
        """Return the names of one project's files.

        Projects share raw files and the workspace's lock, nothing else: each has its own folder in ``base``, ``red`` and ``lc``, and its
        own ledger. So the same star in the same sector has one name in each, and no project can take another's product for
        its own. The partitions of the catalogue are apart, too, because ``[catalog]`` may name other tables.

        Parameters
        ----------
        root : Path
            The workspace.
        base, red, lc : str
            Its folders, as the configuration names them.
        project : str
            Name of the project; empty for results that lie in the folders themselves.
        database : str
            URL of the ledger; empty for a file of the workspace.
        """
        if not project:
            return cls(root, base, red, lc, database=database)
        folder = f"projid{project}"
        return cls(root, f"{base}/{folder}", f"{red}/{folder}", f"{lc}/{folder}", project, database)

    @property
    def _tag(self) -> str:
        return f"-projid{self.project}" if self.project else ""

    @property
    def ledger(self) -> Path | str:
        """The ledger: an SQLite file, or a URL."""
        if not self.database:
            return self.ledger_file
        from cuvee.store.addresses import place_of_project  # takes time to import, and few need it

        return place_of_project(self.database, self._tag, self.root)

    @property
    def ledger_file(self) -> Path:
        """The SQLite file that the ledger is in, unless the configuration names a database."""
        return self.root / f"cuvee{self._tag}.db"

    @property
    def lock(self) -> Path:
        """The lock that a writer holds."""
        return self.root / ".cuvee.lock"

    @property
    def catalogs(self) -> Path:
        """Where stored catalogues are, one folder each; projects share them."""
        return (
            self.root / (self.base.removesuffix(f"/projid{self.project}") if self.project else self.base) / "catalogs"
        )

    @property
    def acquire_lock(self) -> Path:
        """The lock of whoever fetches files; a run may go on meanwhile with those that are there."""
        return self.root / ".cuvee-acquire.lock"

    def acquisition(self, mission: str, key: str) -> Path:
        """Name the record of what came when an archive was asked a question."""
        return self.root / "PROJ" / f"acquire-{mission}-{key}.json"

    @property
    def identity(self) -> Path:
        """The file that says which survey this is, for ledgers on a server."""
        return self.root / ".cuvee.survey"

    @property
    def light_curves(self) -> Path:
        """Root of the light-curve catalogues, one folder an instrument."""
        return self.root / self.lc

    def chip_table(self, sector: int, camera: int, ccd: int, kind: str) -> Path:
        """All stars on a detector, for people; ``kind`` is the ending."""
        return self.root / self.base / "chips" / f"CTLchip{sector}_{camera}_{ccd}.{kind}"

    @property
    def partitions(self) -> Path:
        """The reference catalogue, partitioned by HEALPix."""
        return self.root / self.base / "CAT" / "partitions"

    @property
    def temporary(self) -> Path:
        """Scratch, safe to delete."""
        return self.root / "REDTEMP"

    @property
    def filed(self) -> Path:
        """Links to raw photon lists, filed under their targets."""
        return self.root / f"TARGETS{self._tag}"

    @property
    def products(self) -> list[Path]:
        """The folders of all that is made, but for reports."""
        return [self.root / folder for folder in (self.base, self.red, self.lc)]

    def reference_set(self, series: DataId) -> Path:
        """Name the record of which frames make the reference of a series."""
        return self.root / self.base / "reference-frames" / f"{_stem(series)}.json"

    def reference(self, series: DataId) -> Path:
        """Name the reference image of a series."""
        return self.root / self.base / "reference-frames" / f"{_stem(series)}.reference"

    def stars(self, series: DataId) -> Path:
        """Name the PRF and the stars of a series."""
        return self.root / self.base / "prf" / f"{_stem(series)}.npz"

    def targets(self, group: DataId) -> Path:
        """Name the targets of a detector."""
        return self.root / self.red / group.segment / f"{group.detector}-{group.kind}" / "targets.parquet"

    def neighbours(self, group: DataId) -> Path:
        """Name the catalogue stars of a detector's series."""
        return self.targets(group).with_name("neighbours.parquet")

    def fluxes(self, unit: DataId) -> Path:
        """Name the flux block of a series."""
        folder = self.root / self.red / unit.segment / f"{unit.detector}-{unit.kind}" / "fluxes"
        return folder / f"{unit.series}{'-' + unit.part if unit.part else ''}.arrow"

    def candidates(self, unit: DataId) -> Path:
        """Name the table of what may be moving objects in a block."""
        folder = self.root / self.red / unit.segment / f"{unit.detector}-{unit.kind}" / "moving"
        return folder / f"{unit.series}-{unit.part}.parquet"

    def tracks(self, group: DataId) -> Path:
        """Name the paths of the moving objects of a detector."""
        return self.targets(group).with_name("tracks.parquet")

    def metrics(self, unit: DataId) -> Path:
        """Name the table of numbers of a patch's stars."""
        folder = self.root / self.red / unit.segment / f"{unit.detector}-{unit.kind}" / "metrics"
        return folder / f"{unit.part}.parquet"

    def exposure(self, unit: DataId) -> Path:
        """Name what was counted in an exposure of photons: its image, pulse heights, spectrum, and the numbers of its light curve."""
        return self.root / self.red / unit.segment / f"{unit.detector}-{unit.kind}" / f"{unit.series}.npz"

    def composite(self, unit: DataId) -> Path:
        """Name what is known of a composite: its exposures, its wavelengths, how it varies."""
        return self.root / self.red / "composites" / f"{unit.part}.json"

    def summary(self, group: DataId, suffix: str) -> Path:
        """Name a detector's table."""
        return self.root / self.lc / group.instrument / "summary" / f"{_stem(group)}.{suffix}"

    def report(self, run: int = 0) -> Path:
        """Name the report of a run; that of the newest run has a name of its own."""
        return self.root / f"report{self._tag}" / (f"run-{run:04d}.html" if run else "index.html")

    def receipts(self, stage: str, segment: str) -> Path:
        """Name the folder of the receipts of a stage's units in a segment."""
        return self.root / self.red / "receipts" / stage / (segment or "all")

    def receipt(self, stage: str, unit: DataId) -> Path:
        """Name the receipt that is written after a unit's products."""
        return self.receipts(stage, unit.segment) / receipt_name(unit)


def receipt_name(unit: DataId) -> str:
    """Name the receipt of a unit within its folder."""
    return f"{'-'.join([part for part in unit[2:] if part]) or 'all'}.json"


def _stem(unit: DataId) -> str:
    return "-".join(part for part in (unit.segment, unit.detector, unit.kind, unit.series, unit.part) if part)
