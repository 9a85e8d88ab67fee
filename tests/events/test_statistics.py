"""Whether counts vary, at the edge of what can be told."""

from __future__ import annotations

import numpy as np

from cuvee.events.statistics import statistics


def test_a_background_far_below_zero_ends_no_statistics() -> None:
    n = 200
    time, counts = np.arange(n, dtype=np.float64), np.random.default_rng(1).poisson(3.0, n).astype(np.float64)
    # Of a damaged spectrum: then no simulated light curve has a count, and all are alike.
    found = statistics(time, np.ones(n), counts, np.full(n, -1e3))
    assert found.constant < 0.01  # counts where there should be none
