"""What an archive says of itself when it is started by hand, and when it stops."""

from __future__ import annotations

from collections import Counter

from cuvee.testing.archive.downloads import script_paths
from cuvee.testing.archive.faults import Fault
from cuvee.testing.archive.server import LoopbackArchive

__all__ = ["announcement", "farewell"]


def announcement(archive: LoopbackArchive) -> str:
    """Say what is served, which addresses to try, and how to point other clients at it."""
    site, url = archive.site, archive.url
    shelf = site.shelf
    known = [named for named in shelf.names.values() if named.mission]
    kinds = Counter(
        f"{named.mission} {'sector' if named.mission == 'TESS' else 'campaign'} {named.last} {named.kind}"
        if named.last
        else f"{named.mission} {named.kind}"
        for named in known
    )
    lines = [f"An archive of {_count(len(shelf.names), 'file')} of {shelf.folder} is at {url} (Ctrl-C stops it)."]
    lines += [f"  {_count(n, 'file')} of {what}" for what, n in sorted(kinds.items())]
    if others := len(shelf.names) - len(known):
        lines.append(f"  {_count(others, 'file')} with a name of no mission: downloaded by name, found by no search")
    if not known:
        lines.append(
            "  No file here has a name that MAST gives, such as tess2018206192942-s0001-1-4-0120-s_ffic.fits, so searches find nothing."
        )
    if site.catalogs is not None:
        lines.append(f"  {_count(len(site.catalogs.tables), 'table')} of stars of {site.catalogs.folder}")
    lines += [f"  fault: {_describe(fault)}" for fault in archive.faults]
    lines += ["", "Try:"]
    if known:
        first = known[0]
        lines.append(f"  curl -O {url}/{'stpubdata/' + first.key}")
        lines.append(f"  curl -o {first.name} '{url}/api/v0.1/Download/file?uri={first.uri}'")
    lines += [f"  curl {url}{path}" for path in script_paths(site)[:4]]
    lines += [
        f"  curl {url}/tess/bulk_downloads/bulk_downloads_ffi-tp-lc-dv.html",
        "",
        "Point at it:",
        "  astroquery, lightkurve: in $XDG_CONFIG_HOME/astropy/astroquery.cfg, read at import:",
        "    [mast]",
        f"    server = {url}",
        f"  names such as 'TIC 25155310', which they look up elsewhere: export HTTP_PROXY={url} NO_PROXY=127.0.0.1",
        f"  boto3, s3fs, aws --no-sign-request: export AWS_ENDPOINT_URL_S3={url} (bucket stpubdata, unsigned)",
    ]
    return "\n".join(lines)


def farewell(archive: LoopbackArchive) -> str:
    """Say what was asked, and how often each fault struck."""
    requests = archive.requests
    status = ", ".join(f"{n} x {code}" for code, n in sorted(Counter(request.status for request in requests).items()))
    lines = [f"Stopped after {_count(len(requests), 'request')}{f' ({status})' if status else ''}."]
    lines += [
        f"  {_describe(fault)}: struck {_count(n, 'time')}"
        for fault, n in zip(archive.faults, archive.hits, strict=True)
    ]
    return "\n".join(lines)


def _describe(fault: Fault) -> str:
    times = "" if fault.times is None else f", {_count(fault.times, 'time')}"
    number = "" if fault.number is None else f", number {fault.number:g}"
    return f"{fault.kind} on {fault.pattern}{times}{number}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
