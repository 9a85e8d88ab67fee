"""The command line as users meet it: words in, exit code and text out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cuvee.cli import main


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


Cuvee = Callable[..., Answer]


@pytest.fixture
def cuvee(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cuvee:
    """Call the command line with words; there is no terminal, and whatever goes wrong comes as an exit code."""

    def call(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["cuvee", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Answer(int(ended.value.code or 0), out, err)

    return call
