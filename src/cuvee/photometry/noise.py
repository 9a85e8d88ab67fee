"""What one pixel's electronics add to the noise.

The full model of an aperture sum F = sum w_i p_i, in (e-/s)^2, is

    var F = sum w_i^2 c_i / t  +  sum w_i^2 v  +  (sum w_i)^2 e^2

with p the pixel (e-/s), c the pixel before anything was subtracted from it (photons of star and background alike), t the
time on source, v the variance of `pixel_variance` and e the error of the background's own estimate. The first and last
term are added where the sums are at hand, in `cuvee.kernels.lanes.finish`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.model.records import Readout

__all__ = ["output_of", "pixel_variance", "variance_at"]


def output_of(col: NDArray[np.float64], readout: Readout) -> NDArray[np.int64]:
    """Find the readout output that reads each detector column.

    Parameters
    ----------
    col : float64 array
        Detector columns (px).
    readout : Readout
        Where the outputs begin.

    Returns
    -------
    int64 array
        Index into the tuples of ``readout``; columns left of the first output count to it.
    """
    first = np.asarray(readout.output_col, dtype=np.float64) - 0.5
    return np.asarray(np.clip(np.searchsorted(first, col, side="right") - 1, 0, first.size - 1))


def pixel_variance(readout: Readout) -> NDArray[np.float64]:
    """Variance that reading and digitising add to one pixel of one frame, for each output.

    A frame is the sum of ``n_read`` reads. Each adds the read noise R (e-) and is rounded to whole counts of g electrons,
    which adds an error even over an interval g wide, of variance g^2/12. So v = n (R^2 + g^2/12) / t^2.

    Parameters
    ----------
    readout : Readout
        Terms of the noise model.

    Returns
    -------
    float64 array, shape (n_output,)
        (e-/s)^2.

    References
    ----------
    Widrow & Kollar 2008, Quantization Noise (variance of rounding to steps of q: q^2/12).
    """
    gain = np.asarray(readout.gain, dtype=np.float64)
    read_noise = np.asarray(readout.read_noise, dtype=np.float64)
    return np.asarray(readout.n_read * (read_noise**2 + gain**2 / 12.0) / readout.exposure**2)


def variance_at(col: NDArray[np.float64], readout: Readout) -> NDArray[np.float64]:
    """Return `pixel_variance` of the output that reads each detector column (px), of the shape of ``col``."""
    return pixel_variance(readout)[output_of(col, readout)]
