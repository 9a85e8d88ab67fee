"""Masks as rows of weights; what they sum is held to two missions' pipelines in tests/extract/test_series.py."""

import numpy as np

from cuvee.photometry import aperture


def test_mask_rows_hold_the_mask_for_every_star() -> None:
    mask = np.zeros((3, 5), bool)
    mask[1, 2:4] = True
    rows = aperture.mask_rows(mask, np.array([2.5, np.nan]), np.array([1.0, 0.0]))
    assert rows.pixel[:, 0].tolist() == [7, 8, 7, 8]
    assert rows.ptr.tolist() == [[0, 2], [2, 4]]
    np.testing.assert_allclose(rows.area[0, 0], [2.0, 2.0, 0.0, 0.0])
    assert not rows.clipped.any()
