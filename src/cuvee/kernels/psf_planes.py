"""Carry the PSF fluxes of sixteen frames to their places, with errors and flags."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, void
from numpy.typing import NDArray

__all__ = ["deliver"]

N_LANE = 16


@njit(
    [
        void(
            float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1], int32[:, ::1], int64[::1],
            float64[:, ::1], float64, float64, int64[::1], int32[::1], float32[:, ::1], float32[:, ::1], float32[:, ::1],
            int32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def deliver(
    flux: NDArray[np.float32],
    level: NDArray[np.float32],
    level_err: NDArray[np.float32],
    missing: NDArray[np.float32],
    chi2: NDArray[np.float32],
    hits: NDArray[np.int32],
    output: NDArray[np.int64],
    noise: NDArray[np.float64],
    exposure: float,
    spoilt: float,
    column: NDArray[np.int64],
    bits: NDArray[np.int32],
    out: NDArray[np.float32],
    out_err: NDArray[np.float32],
    out_chi2: NDArray[np.float32],
    flag: NDArray[np.int32],
) -> None:
    """Write fluxes and their errors to the time axis.

    The variance of the plan holds for a frame as bright as the reference image; a brighter background adds its photons, and the
    background's own error moves the flux.

    Parameters
    ----------
    flux, level, level_err : float32 array, shape (n_star, 16)
        Fluxes (e-/s), background and its error (e-/s/pixel).
    missing : float32 array, shape (n_star, 16)
        Share of the star's weights that lies on missing pixels.
    chi2, hits : arrays, shape (n_star, 16)
        From `cuvee.kernels.psf_judge.judge`.
    output : int64 array, shape (n_star,)
        Output row of each star, -1 for none.
    noise : float64 array, shape (n_star, 4)
        Variance in the reference image ((e-/s)^2), its growth with that of the pixels, change of the flux with the background (px),
        background of the reference image (e-/s/pixel).
    exposure : float
        Time on source (s).
    spoilt : float
        Share of missing weight from which there is no flux.
    column : int64 array, shape (16,)
        Output column of each lane; -1 for an empty lane.
    bits : int32 array, shape (3,)
        Bits for a missing pixel, for a flux that is not given, and for a cosmic ray that was taken out.
    out, out_err, out_chi2 : float32 array, shape (n_target, n_frame)
        Receive fluxes, errors and reduced chi2.
    flag : int32 array, shape (n_target, n_frame)
        Receives the bits beside those that it holds.
    """
    for s in range(output.size):
        row = output[s]
        if row < 0:
            continue
        variance, squares, lean, still = noise[s]
        for b in range(N_LANE):
            k = column[b]
            if k < 0:
                continue
            if missing[s, b] > 0.0:
                flag[row, k] |= bits[0]
            if missing[s, b] > spoilt or np.isnan(level[s, b]):
                flag[row, k] |= bits[1]
                continue
            here = variance + squares * (level[s, b] - still) / exposure
            here = max(here, 0.2 * variance) + (lean * level_err[s, b]) ** 2
            if hits[s, b] > 0:
                flag[row, k] |= bits[2]
            out[row, k] = flux[s, b]
            out_chi2[row, k] = chi2[s, b]
            out_err[row, k] = np.sqrt(here)
