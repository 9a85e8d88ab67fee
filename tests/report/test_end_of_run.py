"""The page that `cuvee run` leaves: always there when something was done, never a reason for a run to fail."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cuvee.cli import main
from cuvee.report import write as writing
from cuvee.survey import Survey, open_survey

Run = Callable[[Path], tuple[int, list[str]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Type `cuvee run`, and return the exit code and the lines on the screen."""

    def typed(folder: Path) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["cuvee", "run", "-w", str(folder), "-q", "--executor", "serial"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().out.splitlines()

    return typed


@pytest.fixture
def fresh(survey: Survey, tmp_path: Path) -> Path:
    """The survey with one of its products lost, so that there is something to do."""
    folder = tmp_path / "w"
    shutil.copytree(survey.path, folder, symlinks=True, ignore=shutil.ignore_patterns("report"))
    next(folder.glob("LC/tess/summary/*.parquet")).unlink()
    return folder


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "report").iterdir()) if (folder / "report").is_dir() else []


def test_a_run_that_did_something_ends_with_its_page_and_an_idle_one_leaves_it(run: Run, fresh: Path) -> None:
    code, lines = run(fresh)
    assert code == 1  # two files are bad
    assert lines[-1] == f"Report: {fresh / 'report' / 'index.html'}"
    assert left(fresh) == ["index.html", "run-0002.html"]
    page = (fresh / "report" / "index.html").read_bytes()
    assert page.endswith(b"</html>\n")
    assert b": run 2, " in page
    code, lines = run(fresh)
    assert code == 1
    assert not any("report" in line.lower() for line in lines)
    assert (fresh / "report" / "index.html").read_bytes() == page


def test_a_page_that_cannot_be_written_is_one_sentence(run: Run, fresh: Path) -> None:
    (fresh / "report").write_text("a file where the folder should be")
    code, lines = run(fresh)
    assert code == 1
    assert lines[0].startswith("Done: ")
    assert lines[-1].startswith(f"The run is complete, its report is not (Cannot write {fresh / 'report'}")
    assert lines[-1].endswith(f"; try again with: cuvee report -w {fresh}")
    assert run(fresh)[1][0].startswith("Nothing to do")


@pytest.mark.parametrize(
    ("trouble", "words"), [(KeyboardInterrupt(), "interrupted"), (ValueError("a bug"), "unexpected ValueError: a bug")]
)
def test_an_interrupt_or_a_bug_while_drawing_leaves_the_run_whole_and_nothing_half_written(
    run: Run, fresh: Path, monkeypatch: pytest.MonkeyPatch, trouble: BaseException, words: str
) -> None:
    def broken(*_: object) -> bytes:
        raise trouble

    monkeypatch.setattr(writing, "make_page", broken)
    code, lines = run(fresh)
    assert code == 1
    assert lines[-1] == f"The run is complete, its report is not ({words}); try again with: cuvee report -w {fresh}"
    assert left(fresh) == []
    # Even while the file is being written.
    monkeypatch.undo()
    survey = open_survey(fresh)

    def stopped(_: int) -> None:
        raise trouble

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(type(trouble)):
        writing.write_report(survey)
    assert left(fresh) == []


def test_words_of_the_command_line_are_enough_to_write_it_again(
    run: Run, fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(fresh)
    before = (fresh / "report" / "index.html").read_bytes()
    shutil.rmtree(fresh / "report")
    words: Sequence[str] = ("cuvee", "report", "-w", str(fresh))
    monkeypatch.setattr(sys, "argv", list(words))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert capsys.readouterr().out == f"Report: {fresh / 'report' / 'index.html'}\n"
    assert (fresh / "report" / "index.html").read_bytes() == before
