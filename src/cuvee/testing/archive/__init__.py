"""An archive on this machine that answers as MAST does, and the faults that a client has to live with.

A test of a downloader runs it over a folder of files and says what goes wrong::

    with LoopbackArchive(folder, faults=[Fault("truncate", "*_ffic.fits", times=1)]) as archive:
        fetch(archive.url)
        assert [request.status for request in archive.requests] == [200, 200]
"""

from cuvee.testing.archive.faults import KINDS, Fault, parse_fault
from cuvee.testing.archive.server import LoopbackArchive, Request

__all__ = ["KINDS", "Fault", "LoopbackArchive", "Request", "parse_fault"]
