"""Frames whose time and cadence number contradict each other, on made-up clocks."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.model.keys import DataId
from cuvee.model.records import FileInfo, Geometry, Moments, Readout
from cuvee.run.clocks import contradictions
from cuvee.run.facts import FileFacts

STEP = 1800.0 / 86400.0


def frames(cadence: np.ndarray, start: np.ndarray, barycorr: float = 0.003) -> list[FileFacts]:
    made: list[FileFacts] = []
    for number, begin in zip(cadence.tolist(), start.tolist(), strict=True):
        begin += np.nan_to_num(barycorr)
        times = np.array([[begin], [begin + STEP], [barycorr]])
        moments = Moments(np.array([number]), times[0], times[1], times[2], np.zeros(1, np.int32))
        name = f"{len(made)}.fits"
        info = FileInfo(
            path=name, instrument="tess", segment="s0008", detector="3-4", kind="ffi", series="ffi", name=name,
            geometry=Geometry(9, 9, 0, 0, 2048, 2048), readout=Readout(1.0, (1.0,), (1.0,), 1, (0,), 1.0), moments=moments,
        )  # fmt: skip
        data_id = DataId("tess", "s0008", "3-4", "ffi", "ffi", name)
        made.append(FileFacts(name, data_id, (0, 0, 0), info, first=number, last=number))
    return made


def found(cadence: np.ndarray, start: np.ndarray, fresh: range | None = None, barycorr: float = 0.003) -> set[int]:
    paths = {f"{i}.fits" for i in (range(cadence.size) if fresh is None else fresh)}
    return {int(path.removesuffix(".fits")) for path in contradictions(frames(cadence, start, barycorr), paths)}


CADENCE = np.arange(13915, 13915 + 200)
START = 1517.3 + STEP * (1.0 - 4.2e-7) * (CADENCE - CADENCE[0])


def test_an_even_clock_contradicts_nothing() -> None:
    assert not found(CADENCE, START)


def test_times_at_the_barycentre_run_evenly_enough() -> None:
    """Without BARYCORR in any frame the light path is in the times; it changes by some seconds a day."""
    light = 499.0 / 86400.0 * np.cos(2.0 * np.pi * (START - 1400.0) / 365.25)
    assert not found(CADENCE, START + light, barycorr=np.nan)


@pytest.mark.parametrize("at", [0, 1, 100, 198, 199])
@pytest.mark.parametrize("days", [-1.0 / 24.0, STEP, 3650.0])
def test_a_wrong_time_is_found_anywhere(at: int, days: float) -> None:
    start = START.copy()
    start[at] += days
    assert found(CADENCE, start) == {at}
    assert found(CADENCE, start, range(at, at + 1)) == {at}
    assert not found(CADENCE, start, range(50, 60))


@pytest.mark.parametrize("more", [-1, 1, 64, 100_000])
def test_a_wrong_number_is_found(more: int) -> None:
    cadence = CADENCE.copy()
    cadence[7] += more
    assert found(cadence, START) == {7}


def test_a_frame_from_another_year_is_found_though_its_clock_is_even() -> None:
    cadence, start = CADENCE.copy(), START.copy()
    cadence[7] += 20_000
    start[7] += 20_000 * STEP * (1.0 - 4.2e-7)
    assert found(cadence, start) == {7}


def test_gaps_and_a_clock_that_starts_afresh_contradict_nothing() -> None:
    keep = np.r_[0:40, 90:93, 130:200]
    assert not found(CADENCE[keep], START[keep])
    start = START.copy()
    start[100:] += 0.7
    assert not found(CADENCE, start)


def test_of_few_frames_nothing_is_said() -> None:
    start = START[:4].copy()
    start[2] += 1.0
    assert not found(CADENCE[:4], start)
    assert found(CADENCE[:6], np.r_[START[:2], START[2] + 1.0, START[3:6]]) == {2}
