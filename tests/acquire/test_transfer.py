"""The parts of a transfer: how long to wait, how fast to go, and what a file is judged by."""

from __future__ import annotations

import base64
import hashlib
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
from tests.acquire.files import ffi_name, write_fits

from cuvee.acquire.judge import judge
from cuvee.acquire.transfer import Tap
from cuvee.acquire.wire import Interrupted, Patience, Wire, may_pass
from cuvee.errors import BadData
from cuvee.store.atomic import content_hash
from cuvee.verify.examine import Examine

NAME = ffi_name(0)


def test_pauses_double_with_jitter_up_to_a_limit() -> None:
    patience = Patience(first=1.0, longest=60.0)
    for attempt, whole in enumerate((1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0)):
        pauses = [patience.pause(attempt) for _ in range(50)]
        assert whole / 2 <= min(pauses)
        assert max(pauses) <= whole
        assert len(set(pauses)) > 40


@pytest.mark.parametrize(
    ("told", "low", "high"),
    [
        ("7", 6.0, 7.0),
        ("a date", 498.0, 500.0),
        ("1e9", 599.0, 600.0),  # an archive that asks for a day is asked again after ten minutes
        ("", 0.0, 0.0),
        ("-5", 0.0, 0.0),
        ("soon", 0.0, 0.0),
    ],
)
def test_everybody_waits_as_long_as_the_archive_asks_for(told: str, low: float, high: float) -> None:
    if told == "a date":  # made here: two test processes that collect tests have two clocks
        told = format_datetime(datetime.now(UTC) + timedelta(seconds=500), usegmt=True)
    with Wire() as wire:
        waits: list[float] = []
        wire.sleep = waits.append  # type: ignore[method-assign, assignment]
        wire.hold("http://a.example/x", httpx.Response(503, headers={"Retry-After": told} if told else {}))
        wire.wait_turn("http://a.example/y")
        assert low <= max(0.0, waits[0]) <= high
        wire.wait_turn("http://b.example/y")
        assert waits[1] <= 0.0  # another host has asked for nothing


def test_a_pause_ends_when_somebody_wants_to_stop() -> None:
    with Wire() as wire:
        wire.stop.set()
        with pytest.raises(Interrupted):
            wire.sleep(3600.0)
        with pytest.raises(Interrupted):
            wire.sleep(0.0)


def test_what_may_pass() -> None:
    assert [status for status in (400, 401, 403, 404, 408, 410, 429, 500, 502, 503, 504) if may_pass(status)] == [
        408, 429, 500, 502, 503, 504,
    ]  # fmt: skip


def test_the_tap_lets_no_more_through_than_the_bandwidth() -> None:
    tap = Tap(1e6)
    waits = [tap.take(250_000) for _ in range(8)]
    # 2 MB at 1 MB/s: whoever took the last quarter waits two seconds, less what has passed meanwhile.
    assert waits == sorted(waits)
    assert 1.5 < waits[-1] <= 2.0
    assert tap.taken == 2_000_000
    assert Tap().take(10**9) == 0.0


def test_a_sound_file_is_proven_by_its_sums(tmp_path: Path) -> None:
    write_fits(tmp_path / NAME, 1)
    verdict = judge(tmp_path / NAME, NAME)
    assert (verdict.proven, verdict.doubt, verdict.hash) == (True, "", content_hash(tmp_path / NAME))
    write_fits(tmp_path / "other.fits", 1, checksum=False)
    verdict = judge(tmp_path / "other.fits", NAME)
    assert (verdict.proven, verdict.doubt) == (False, "")


@pytest.mark.parametrize("bit", range(0, 8, 3))
@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_any_bit_that_turned_in_the_data_is_seen(share: float, bit: int, tmp_path: Path) -> None:
    data = bytearray(write_fits(tmp_path / NAME, 2))
    data[int(share * len(data))] ^= 1 << bit
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(BadData, match="exactly one bit"):
        judge(tmp_path / NAME, NAME)


@pytest.mark.parametrize(
    ("start", "stop", "tail"),
    [(0, -2880, b""), (0, None, b"x"), (0, None, bytes(2880)), (2880, None, b""), (0, 0, b"")],
)
def test_what_is_cut_or_has_a_tail_is_broken(start: int, stop: int | None, tail: bytes, tmp_path: Path) -> None:
    data = write_fits(tmp_path / NAME, 3)
    (tmp_path / NAME).write_bytes(data[start:stop] + tail)
    with pytest.raises(BadData):
        judge(tmp_path / NAME, NAME)


STEM = "tess2018206190142-s0001-s0003-0000000025155310-00129"


@pytest.mark.parametrize(
    ("suffix", "data", "reason"),
    [
        ("_dvr.pdf", b"%PDF-1.5 ...", ""),
        ("_dvr.pdf", b"<!DOCTYPE html><html>", "not-fits"),
        ("_dvr.pdf", b"<?xml", "not-fits"),
        ("_dvr.pdf", b"", "empty"),
        ("_dvr.xml", b'<?xml version="1.0"?><dvTargetResults/>', ""),
        ("_dvr.xml", b"\xef\xbb\xbf<?xml", ""),
        ("_dvr.xml", b"\n<HTML><body>maintenance", "not-fits"),
        ("_dvr.xml", b"<error>busy</error>", "not-fits"),
        ("_dvt.fits", b"<!DOCTYPE html><html>", "not-fits"),
    ],
)
def test_a_file_is_what_its_name_says_when_it_comes_and_later(
    suffix: str, data: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / f"{STEM}{suffix}"
    path.write_bytes(data)
    assert Examine(full=True)([str(path)])[0].reason == reason
    path = path.rename(tmp_path / f".{path.name}.partial")
    if not reason:
        assert judge(path, f"{STEM}{suffix}").doubt == ""
    else:
        with pytest.raises(BadData) as caught:
            judge(path, f"{STEM}{suffix}")
        assert caught.value.reason == reason


def test_sums_that_the_archive_sends_along_are_checked(tmp_path: Path) -> None:
    data = write_fits(tmp_path / NAME, 4)
    sums = {
        "content-md5": hashlib.md5(data, usedforsecurity=False).digest(),
        "x-amz-checksum-sha256": hashlib.sha256(data).digest(),
        "x-amz-checksum-sha1": hashlib.sha1(data, usedforsecurity=False).digest(),
        "x-amz-checksum-crc32": zlib.crc32(data).to_bytes(4, "big"),
    }
    for header, digest in sums.items():
        assert judge(tmp_path / NAME, NAME, {header: base64.b64encode(digest).decode()}).doubt == ""
        wrong = bytes([digest[0] ^ 1]) + digest[1:]
        assert header in judge(tmp_path / NAME, NAME, {header: base64.b64encode(wrong).decode()}).doubt
