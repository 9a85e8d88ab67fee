"""The 32-bit ones' complement sum by which FITS files prove their bytes."""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

from numba import njit, types, uint32, uint64

__all__ = ["sum_words"]


@njit(uint64(types.Array(uint32, 1, "C", readonly=True)), cache=True, nogil=True)
def sum_words(words):
    """Add up big-endian words.

    Parameters
    ----------
    words : uint32 array, shape (n,)
        The bytes as a little-endian machine sees them; fewer than 2**32 words, so nothing is carried away.

    Returns
    -------
    int
        Their sum; fold its upper into its lower 32 bits for the ones' complement sum.
    """
    total = uint64(0)
    for i in range(words.size):
        w = words[i]
        swapped = (w << uint32(24)) | ((w & uint32(0xFF00)) << uint32(8)) | ((w >> uint32(8)) & uint32(0xFF00))
        total += uint64(uint32(swapped | (w >> uint32(24))))
    return total
