"""Where an archive is: portal, files, bulk scripts, bulk catalogues, names of stars, and the bucket in the cloud."""

from __future__ import annotations

from dataclasses import dataclass

from cuvee.acquire.portal import Portal
from cuvee.acquire.wire import Wire

__all__ = ["Archive"]

_PUBLIC = "https://mast.stsci.edu"
_SCRIPTS = "https://archive.stsci.edu"
_RESOLVER = "http://mastresolver.stsci.edu"
_BUCKET = "https://stpubdata.s3.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Archive:
    """Where an archive is.

    Parameters
    ----------
    wire : Wire
        The line to it.
    base : str
        Portal and files; empty: MAST. A mirror has everything below one address.
    bucket : str
        The bucket of the cloud; empty: the public one, or that of the mirror.
    page_size : int
        Rows of a page of a search.
    """

    wire: Wire
    base: str = ""
    bucket: str = ""
    page_size: int = 50_000

    @property
    def portal(self) -> Portal:
        """The searches."""
        return Portal(self.wire, self.base or _PUBLIC, self.page_size)

    @property
    def resolver(self) -> str:
        """Where names of stars are looked up."""
        return f"{self.base or _RESOLVER}/Santa-war/query"

    def file_url(self, uri: str) -> str:
        """Return where a file is fetched."""
        return f"{self.base or _PUBLIC}/api/v0.1/Download/file?uri={uri}"

    def cloud_url(self, key: str) -> str:
        """Return where the cloud has a file."""
        return f"{self.bucket or (f'{self.base}/stpubdata' if self.base else _BUCKET)}/{key}"

    def script_url(self, sector: int, kind: str) -> str:
        """Return where the list of a sector's files of a kind is."""
        base = self.base or _SCRIPTS
        return f"{base}/missions/tess/download_scripts/sector/tesscurl_sector_{sector}_{kind}.sh"

    def catalog_url(self, name: str) -> str:
        """Return where a file of the bulk TIC is."""
        return f"{self.base or _SCRIPTS}/missions/tess/catalogs/tic_v82/{name}"

    @property
    def name(self) -> str:
        """Where it is, for people."""
        return self.base or _PUBLIC
