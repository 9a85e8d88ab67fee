"""How a run tells how far it is."""

from __future__ import annotations

import re

import pytest

from cuvee.cli.progress import TerminalReporter, duration, pace


@pytest.mark.parametrize(
    ("steps", "seconds", "words"),
    [(120, 10.0, "12/s"), (30, 60.0, "30/min"), (1, 1800.0, "2/h"), (3, 10.0, "18/min"), (0, 5.0, ""), (4, 0.0, "")],
)
def test_pace(steps: int, seconds: float, words: str) -> None:
    assert pace(steps, seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (8.44, "8.4 s"), (119.0, "119 s"), (720.0, "12 min"), (12600.0, "3.5 h")]
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_plain_lines_tell_count_pace_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("cuvee.cli.progress.time.monotonic", lambda: clock[0])
    with TerminalReporter() as reporter:
        reporter.begin("extract s0008 3-4 ffi", 40)
        reporter.advance(0)
        for _ in range(4):
            clock[0] += 6.0
            reporter.advance(5)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "extract s0008 3-4 ffi: 10 of 40, 50/min, about 36 s left",
        "extract s0008 3-4 ffi: 20 of 40, 50/min, about 24 s left",
        "extract s0008 3-4 ffi: 20 done in 24 s",
    ]


def test_nothing_is_told_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalReporter(quiet=True) as reporter:
        reporter.begin("collect", 2)
        reporter.advance(2)
        reporter.say("A sentence.")
    assert capsys.readouterr().err == ""


def test_a_bar_fits_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("COLUMNS", "80"), ("TERM", "xterm"), ("FORCE_COLOR", "1")):
        monkeypatch.setenv(name, value)
    with TerminalReporter() as reporter:
        reporter.begin("extract-series s0008 3-4 tpf-120s", 1200)
        reporter.advance(600)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    assert lines
    assert all(len(line) <= 80 for line in lines)
    assert all("extract-series s0008 3-4 tpf-120s" in line and "/1200" in line and "left" in line for line in lines)
