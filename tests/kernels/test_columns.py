"""Columns times their gain, against numpy; all others to the bit as they were."""

import numpy as np
import pytest

from cuvee.kernels import columns


@pytest.mark.parametrize(("col0", "col1"), [(0, 40), (7, 23), (30, 31)])
def test_columns_are_multiplied_by_their_gain(col0: int, col1: int) -> None:
    rng = np.random.default_rng(6)
    gain = np.ones(40, np.float32)
    gain[[0, 8, 9, 22, 30, 39]] = rng.uniform(0.9, 1.1, 6)
    width, n_row = col1 - col0, 11
    image = rng.normal(100.0, 10.0, (n_row * width + 5, 16)).astype(np.float32)
    image[3, 2] = np.nan
    want = image.copy()
    want[: n_row * width] *= np.tile(gain[col0:col1], n_row)[:, None]
    columns.even_columns(image, gain, col0, col1, n_row)
    np.testing.assert_array_equal(image, want)
