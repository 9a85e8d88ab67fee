"""Frames whose time and cadence number contradict each other, told by their neighbours.

The clock that paces the exposures runs evenly, so time grows with the cadence number by the same step from frame to frame. A frame
that lies off the line of its neighbours has a wrong time or a wrong number; which of the two, nobody can say. Neighbours, not the
whole segment: a clock may start afresh after a gap.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np

from cuvee.run.facts import FileFacts

__all__ = ["contradictions"]

_WINDOW = 11
"""Frames, in order of cadence, of which the one in the middle is judged."""

_FAR = 100.0
"""Days from the middle of a segment; none lasts so long."""


def contradictions(frames: Sequence[FileFacts], fresh: Container[str]) -> dict[str, str]:
    """Find frames whose time and cadence number cannot both be right.

    Parameters
    ----------
    frames : sequence of FileFacts
        All frames of one series.
    fresh : container of str
        Paths of those to be judged.

    Returns
    -------
    dict of str to str
        What is wrong, by path. Where a series has fewer than five frames nothing can be told.
    """
    frames = sorted(frames, key=lambda facts: facts.first)
    n = len(frames)
    new = np.flatnonzero([facts.path in fresh for facts in frames])
    if n < 5 or not new.size:
        return {}
    width = min(_WINDOW, n)
    near = np.clip(new - width // 2, 0, n - width)[:, None] + np.arange(width)
    looked_at = np.unique(near)
    cadence = np.array([facts.first for facts in frames], np.float64)
    start = np.full(n, np.nan)
    moments = [frames[i].info.moments for i in looked_at]
    start[looked_at] = [m.start[0] for m in moments]
    barycorr = np.array([m.barycorr[0] for m in moments])
    if np.isfinite(barycorr).all():
        start[looked_at] -= (
            barycorr  # else the times of all are taken as they are: it changes by a second from frame to frame
        )
    apart = np.diff(cadence[looked_at])
    steps = np.diff(start[looked_at])[apart > 0] / apart[apart > 0]
    if not steps.size:
        return {}
    step = float(np.median(steps))
    middle = np.median(cadence)
    off = start - step * (cadence - middle)
    off = off[new] - np.median(off[near], axis=1)
    away = step * (cadence[new] - middle)
    found = {}
    for i, wrong, days in zip(new, off, away, strict=True):
        path, number = frames[i].path, frames[i].first
        if not abs(wrong) < 0.5 * step:
            what = f"its cadence number {number} and its time {start[i]:.5f} lie {abs(wrong):.3g} d apart by its neighbours"
        elif abs(days) > _FAR:
            what = f"its cadence number {number} lies {abs(days):.0f} d from the middle of its segment"
        else:
            continue
        found[path] = f"{path} has a wrong clock: {what}; fetch it again or leave it out."
    return found
