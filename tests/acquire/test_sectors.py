"""Observations of one sector and of several, and which runs over several are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuvee.acquire.sectors import choose_runs, observed, parse_sectors
from cuvee.errors import ConfigError

STAR = 117544915


def runs(*spans: tuple[int, int], star: int = STAR, stamp: str = "2019000000000") -> list[str]:
    return [f"tess{stamp}-s{first:04d}-s{last:04d}-{star:016d}" for first, last in spans]


def chosen(obs_ids: list[str], sectors: range | tuple[int, ...] = ()) -> list[tuple[int, int]]:
    found = [run for obs_id in obs_ids if (run := observed(obs_id)) is not None]
    assert len(found) == len(obs_ids)
    return [(run.first, run.last) for run in choose_runs(found, sectors)]


def test_observations_are_told_apart_by_their_obs_id() -> None:
    single = observed("tess2018206045859-s0001-0000000117544915-0120-s")
    fast = observed("tess2020187183116-s0027-0000000025155310-0189-a_fast")
    several = observed("tess2018206190142-s0001-s0009-0000000117544915-00206")
    assert single is not None
    assert fast is not None
    assert several is not None
    assert (single.several, single.first, single.last, single.target) == (False, 1, 1, STAR)
    assert (fast.several, fast.first, fast.target) == (False, 27, 25155310)
    assert (several.several, several.first, several.last, several.pin) == (True, 1, 9, "00206")
    assert observed("tess-s0001-1-4") is None


@pytest.mark.parametrize(
    ("spans", "kept"),
    [
        ([(1, 2), (1, 3), (1, 6), (1, 9), (1, 13)], [(1, 13)]),  # each is a part of the next
        ([(1, 13), (27, 39)], [(27, 39), (1, 13)]),  # nothing in common
        ([(1, 36), (1, 39), (27, 39)], [(1, 39)]),
        ([(1, 36), (30, 60)], [(30, 60)]),  # they share sectors: the newer one
        ([(14, 60), (1, 36), (1, 13)], [(14, 60)]),  # the last is a part of the second
        ([(1, 65), (2, 72)], [(2, 72)]),  # the newest, though not the widest
        ([(5, 5)], [(5, 5)]),
        ([], []),
    ],
)
def test_the_newest_run_that_is_no_part_of_another_is_kept(
    spans: list[tuple[int, int]], kept: list[tuple[int, int]]
) -> None:
    assert chosen(runs(*spans)) == kept
    assert chosen(runs(*reversed(spans))) == kept


def test_of_one_range_the_one_made_last_is_kept() -> None:
    older, newer = runs((1, 9), stamp="2019000000000"), runs((1, 9), stamp="2020000000000")
    found = [run for run in map(observed, older + newer) if run is not None]
    assert [run.obs_id for run in choose_runs(found)] == newer


def test_a_limit_of_sectors_comes_first_so_that_no_star_is_lost() -> None:
    # With the limit after the choice, the run over 1-36 would have hidden both.
    spans = runs((1, 3), (1, 6), (1, 36))
    assert chosen(spans, range(1, 14)) == [(1, 6)]


spans = st.tuples(st.integers(1, 30), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(spans, max_size=8, unique=True))
def test_what_is_kept_is_apart_and_hides_nothing(found: list[tuple[int, int]]) -> None:
    kept = chosen(runs(*found))
    covered = [sector for first, last in kept for sector in range(first, last + 1)]
    assert len(covered) == len(set(covered))
    for first, last in found:  # each run shares a sector with one that is kept, or lies in one that was wider
        inside = any((a, b) != (first, last) and a <= first and last <= b for a, b in found)
        assert inside or any(a <= last and first <= b for a, b in kept)


@pytest.mark.parametrize(
    ("words", "sectors"), [(["1-3"], (1, 2, 3)), ([5, "1,3-4"], (1, 3, 4, 5)), (["2", "2"], (2,)), ([], ())]
)
def test_sectors_are_read(words: list[str | int], sectors: tuple[int, ...]) -> None:
    assert parse_sectors(words) == sectors


@pytest.mark.parametrize("word", ["0", "3-1", "one", "1-", "-1", "1..3", "99999"])
def test_what_is_no_sector_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="A sector is a number"):
        parse_sectors([word])
