"""The lanes: transposition of strided big-endian frames, and sums against a slow reference."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee.kernels import lanes


def _lanes(stack: NDArray[np.float32], swap: bool, box: tuple[int, int, int, int]) -> NDArray[np.float32]:
    words = tuple(frame.view(np.uint32) for frame in stack)
    row0, row1, col0, col1 = box
    out = np.zeros(((row1 - row0) * (col1 - col0), 16), np.float32)
    lanes.to_lanes(words, swap, *box, out.view(np.uint32))
    return out


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("width", [16, 17, 31, 48, 61])
def test_frames_become_lanes(order: str, width: int) -> None:
    rng = np.random.default_rng(5)
    stack = rng.normal(0.0, 1e6, (16, 20, 80)).astype(f"{order}f4")[:, 2:, 7:]
    stack[3, 4, 10] = np.nan
    stack[4, 5, 11] = np.inf
    swap = not stack.dtype.isnative
    got = _lanes(stack, swap, (1, 16, 5, 5 + width))
    want = stack[:, 1:16, 5 : 5 + width].reshape(16, -1).T.astype(np.float32)
    want[np.isinf(want)] = np.nan
    np.testing.assert_array_equal(got, want)
