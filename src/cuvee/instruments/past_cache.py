"""Big files straight from the disk into our own memory, past the system's page cache, where the system offers that.

A frame is read once and never again, so a copy of it in the page cache helps nobody; to make one takes several times the processor time
of the reading itself, and the system's read-ahead brings in rows and extensions that nobody asked for. Files that lie in the cache
already are better taken from there.
"""

from __future__ import annotations

import os
from typing import IO

import numpy as np
from numpy.typing import NDArray

__all__ = ["PAGE", "on_pages", "read_past_cache"]

PAGE = 4096
"""Unit of such reads, in memory and in the file; a multiple of every disk's blocks."""


def on_pages(buffer: NDArray[np.uint8] | None, size: int) -> NDArray[np.uint8]:
    """Return whole pages of memory for ``size`` bytes, in ``buffer`` where it has room for them.

    Parameters
    ----------
    buffer : uint8 array, optional
        Memory to use.
    size : int
        Bytes.

    Returns
    -------
    uint8 array, shape (n,)
        ``n`` is ``size`` or up to a page more. It starts at a page, save in a buffer that is large enough for the bytes alone.
    """
    whole = -(-size // PAGE) * PAGE
    if buffer is None or buffer.size < size or not buffer.flags.c_contiguous:
        buffer = np.empty(whole + PAGE, np.uint8)
    start = -buffer.ctypes.data % PAGE
    return buffer[start : start + whole] if start + whole <= buffer.size else buffer[:size]


def read_past_cache(file: IO[bytes], memory: NDArray[np.uint8], size: int) -> int:
    """Read the beginning of a file past the page cache.

    Parameters
    ----------
    file : file object
        An open plain file; where it stands does not matter, and does not change.
    memory : uint8 array, shape (n,)
        From `on_pages`.
    size : int
        Bytes wanted, at most ``n``.

    Returns
    -------
    int
        Bytes read; 0 where the file lies in the cache, or where the system cannot say so or cannot read past it, and fewer than ``size``
        where the file ends.

    Raises
    ------
    OSError
        If the disk fails.
    """
    if memory.size % PAGE or memory.ctypes.data % PAGE or not all(hasattr(os, a) for a in ("O_DIRECT", "RWF_NOWAIT")):
        return 0
    import fcntl

    number, view = file.fileno(), memory.data
    last = (size - 1) // PAGE * PAGE
    try:
        os.preadv(number, [view[last : last + PAGE]], last, os.RWF_NOWAIT)
    except BlockingIOError:
        pass  # not in the cache
    except OSError:
        return 0
    else:
        return 0
    before = fcntl.fcntl(number, fcntl.F_GETFL)
    done = 0
    try:
        fcntl.fcntl(number, fcntl.F_SETFL, before | os.O_DIRECT)
        while done < size:
            count = os.preadv(number, [view[done:]], done)
            done += count
            if count == 0 or done % PAGE:
                break
    except OSError as error:
        import errno

        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        return 0
    finally:
        fcntl.fcntl(number, fcntl.F_SETFL, before)
    # Asking may have brought a page in; the next reader shall not take the file for cached.
    os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
    return min(done, size)
