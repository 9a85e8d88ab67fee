"""`cuvee archive serve`, as a new user meets it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.cli.conftest import Cuvee


def test_it_says_what_it_serves_and_stops_when_it_is_told(tmp_path: Path) -> None:
    name = "tess2018206192942-s0001-1-4-0120-s_ffic.fits"
    (tmp_path / name).write_bytes(b"x" * 5000)
    command = [
        sys.executable,
        "-c",
        "from cuvee.cli import main; main()",
        "archive",
        "serve",
        str(tmp_path),
        "--fault",
        "503:*_lc.fits:times=2",
    ]
    # A shell may have the whole run ignore interrupts; the archive is to be interrupted.
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as server:
        assert server.stdout is not None
        lines: list[str] = []
        while not lines or "unsigned" not in lines[-1]:
            lines.append(server.stdout.readline())
            assert lines[-1], lines
        text = "".join(lines)
        match = re.search(r"An archive of 1 file of .* is at (http://127\.0\.0\.1:\d+) \(Ctrl-C stops it\)", text)
        assert match is not None
        assert "1 file of TESS sector 1 ffic" in text
        assert "fault: 503 on *_lc.fits, 2 times" in text
        for address in re.findall(r"curl (?:-\S+ (?:\S+\.fits )?)?'?(http\S+?)'?\n", text):
            assert address.startswith(match[1])
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=20) as answer:
                assert answer.status == 200
        os.kill(server.pid, signal.SIGINT)
        rest = server.stdout.read()
    assert re.match(r"Stopped after 4 requests \(4 x 200\)\.\n  503 on \*_lc\.fits, 2 times: struck 0 times\n", rest), (
        rest
    )
    assert server.returncode == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere"], ["There is no folder nowhere"]),
        ([".", "--fault", "truncat"], ["'truncat'", "did you mean 'truncate'", "stall"]),
        ([".", "--fault", "503:*:times=many"], ["times", "503:*:times=many"]),
        ([".", "--catalogs", "nowhere"], ["nowhere", "--catalogs"]),
        ([".", "--port", "99999"], ["--port"]),
        ([], ["folder", "cuvee archive serve --help"]),
    ],
)
def test_mistakes(
    cuvee: Cuvee, words: list[str], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = cuvee("archive", "serve", *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("cuvee: ")
    assert answer.err.count("\n") == 1
    for word in expected:
        assert word in answer.err


def test_without_a_verb_it_helps(cuvee: Cuvee) -> None:
    answer = cuvee("archive")
    assert answer.code == 0
    assert "serve" in answer.out
