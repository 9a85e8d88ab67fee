"""How a client fares: each fault tried on it, and what it ended with, against the bytes that the archive holds.

A client is any function; so cuvee's own downloader stands in the same table as others::

    def fetch(url, name, target):
        return my_downloader(f"{url}/api/v0.1/Download/file?uri=mast:TESS/product/{name}", target)

    with LoopbackArchive(folder) as archive:
        print(try_downloads(fetch, archive, name, scratch))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cuvee.testing.archive.content import file_content, other_version
from cuvee.testing.archive.faults import Fault
from cuvee.testing.archive.server import LoopbackArchive

__all__ = [
    "SEARCH_FAULTS",
    "STATES",
    "TRANSFER_FAULTS",
    "Download",
    "Outcomes",
    "Search",
    "try_downloads",
    "try_searches",
]

Download = Callable[[str, str, Path], bool]
"""Fetch one file: the archive's URL, the file's name, where it goes; True where the client says that it is there.

An exception is a failure that it names; a TimeoutError says that it would have waited for ever.
"""
Search = Callable[[str], list[str]]
"""Ask for all observations of TESS: the archive's URL in, their ``obs_id`` out. Exceptions as of `Download`."""
Outcomes = Mapping[tuple[str, str], str]
"""``right``, ``wrong``, ``failed``, ``failed, part left`` or ``hangs``, by fault and state."""

STATES: dict[str, str] = {
    "first": "nothing lies there yet",
    "resumed": "the first half lies there",
    "whole": "the whole file lies there",
    "corrupt": "a file of the right size lies there, with one bit wrong",
    "once": "nothing lies there yet, and the fault strikes one request only",
}
"""What lies at the client's target before it begins."""
TRANSFER_FAULTS: dict[str, Fault] = {
    "none": Fault("slow", number=1e9),
    **{
        kind: Fault(kind)
        for kind in ("truncate", "drop", "flip", "html", "404", "416", "429", "500", "503", "503-range")
    },
    "slow": Fault("slow", number=1e6),
    **{kind: Fault(kind) for kind in ("stall", "no-length", "chunked", "wrong-length", "no-range", "no-accept-ranges")},
    "changed": Fault("changed", number=0),
    "missing": Fault("missing"),
}
"""What is tried on downloads; all of them strike every request, but in the state ``once``."""
SEARCH_FAULTS: dict[str, Fault] = {
    "none": Fault("slow", number=1e9),
    **{kind: Fault(kind) for kind in ("page-missing", "page-warning", "page-shifted", "page-duplicated", "rows-total")},
    "executing, three times": Fault("executing", times=3),
    "executing, for ever": Fault("executing"),
    "error": Fault("error"),
    "error, once": Fault("error", times=1),
    "503": Fault("503"),
    "503, once": Fault("503", times=1),
}
"""What is tried on searches."""


def try_downloads(client: Download, archive: LoopbackArchive, name: str, scratch: Path) -> Outcomes:
    """Let a client fetch one file under every fault and from every state.

    Parameters
    ----------
    client : Download
        Who is tried.
    archive : LoopbackArchive
        Its faults are set, and taken away in the end.
    name : str
        The file.
    scratch : Path
        An empty folder to work in.
    """
    content = file_content(archive.site.shelf.paths[name])
    good = archive.site.shelf.paths[name].read_bytes()
    # Whole is whole: of a file that has changed, the version of before will do as well.
    other = bytearray(good)
    for offset, patch in other_version(content).patches:
        other[offset : offset + len(patch)] = patch
    whole = {good, bytes(other)}
    spoilt = bytearray(good)
    spoilt[len(spoilt) // 2] ^= 1
    before = {"resumed": good[: len(good) // 2], "whole": good, "corrupt": bytes(spoilt)}
    outcomes = {}
    for number, (label, fault) in enumerate(TRANSFER_FAULTS.items()):
        for state in STATES:
            target = scratch / f"{number}-{state}" / name
            target.parent.mkdir()
            if state in before:
                target.write_bytes(before[state])
            times = 1 if state == "once" else None
            archive.faults = [Fault(fault.kind, f"*{name}", times, fault.number)]
            outcomes[label, state] = _download(client, archive.url, name, target, whole)
    archive.faults = []
    return outcomes


def _download(client: Download, url: str, name: str, target: Path, whole: set[bytes]) -> str:
    try:
        done = client(url, name, target)
    except TimeoutError:
        return "hangs"
    except Exception:  # a client may fail in any way, as long as it says so
        done = False
    is_right = target.is_file() and target.read_bytes() in whole
    if done:
        return "right" if is_right else "wrong"
    return "failed, part left" if target.is_file() and not is_right else "failed"


def try_searches(client: Search, archive: LoopbackArchive) -> Mapping[str, str]:
    """Let a client search under every fault of a search; ``right`` is every observation once."""
    right = sorted(of.row["obs_id"] for of in archive.site.observations if of.row["obs_collection"] == "TESS")
    outcomes = {}
    for label, fault in SEARCH_FAULTS.items():
        archive.faults = [Fault(fault.kind, "Mast.Caom.Filtered", fault.times, fault.number)]
        try:
            outcomes[label] = "right" if sorted(client(archive.url)) == right else "wrong"
        except TimeoutError:
            outcomes[label] = "hangs"
        except Exception:
            outcomes[label] = "failed"
    archive.faults = []
    return outcomes
