"""The demonstration: what it prints and draws comes from its own run, damaged files and all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import cuvee
from cuvee.demo import run_demo
from cuvee.errors import ConfigError
from cuvee.store.numbers import read_columns

FRAMES = 96


def command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from cuvee.cli import main; main()"
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a demonstration, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    done = command("demo", "demo", "--frames", str(FRAMES), "--stars", "600", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "demo", done.stdout


def test_damaged_files_are_named_and_the_run_inside_says_so_by_its_exit_code(shown: tuple[Path, str]) -> None:
    out, text = shown
    raw = sorted((out / "RAW").glob("*_ffic.fits"))
    assert len(raw) == FRAMES
    assert f"truncated  {raw[FRAMES // 5].name}" in text
    assert f"not-fits   {raw[2 * FRAMES // 5].name}" in text
    assert "2 files were damaged on purpose" in text
    again = command("run", "-w", str(out), "--quiet", folder=out.parent)
    assert again.returncode == 1
    assert "Nothing to do" in again.stdout
    # The frame without a WCS is measured by the place of the others.
    survey = cuvee.open(out)
    star = survey.light_curves(columns=["id"])["id"][0].as_py()
    missing = {FRAMES // 5, 2 * FRAMES // 5}
    frames = read_columns(out / "truth" / "frames.parquet")
    kept = [k for k in range(FRAMES) if k not in missing]
    np.testing.assert_array_equal(survey.light_curve(star).cadence, frames["cadence"][kept])


def test_what_it_says_was_injected_and_recovered_was(shown: tuple[Path, str]) -> None:
    out, text = shown
    assert (out / "recovery.txt").read_text() in text
    truth = read_columns(out / "truth" / "stars.parquet")
    survey = cuvee.open(out)
    row = re.compile(
        r"^ +(\d+) +([\d.]+)  sinusoid +([\d.]+) +[\d.]+ \+- [\d.]+ +([\d.]+) +([\d.]+) \+- ([\d.]+)", re.M
    )
    stars = row.findall(text)
    assert len(stars) >= 3
    for star, mag, period, injected, found, error in stars:
        at = int(np.flatnonzero(truth["id"] == int(star))[0])
        assert float(mag) == pytest.approx(truth["mag"][at], abs=0.01)
        assert float(period) == pytest.approx(truth["period"][at], abs=1e-4)
        assert float(injected) == pytest.approx(truth["amplitude"][at], abs=1e-5)
        # Fitted here anew: a sine and a cosine of the true period through the light curve that the run left.
        curve = survey.light_curve(int(star))
        time, flux = curve.time[curve.good], curve.flux[curve.good].astype(np.float64)
        turn = 2 * np.pi * (time - truth["epoch"][at]) / truth["period"][at]
        level, sine, _ = np.linalg.lstsq(np.stack([np.ones_like(turn), np.sin(turn), np.cos(turn)], axis=1), flux)[0]
        # Half an hour of exposure takes some of the amplitude, neighbours' light in the aperture some more.
        fitted = sine / level / np.sinc(0.5 / 24 / truth["period"][at]) / curve.observations[0]["crowding"]
        assert abs(fitted - float(found)) < max(3 * float(error), 0.02 * float(injected))
        assert abs(float(found) - float(injected)) < max(5 * float(error), 0.05 * float(injected))


def test_the_pictures_are_there_and_not_blank(shown: tuple[Path, str]) -> None:
    out, text = shown
    pictures = [Path(line) for line in text.splitlines() if line.strip().endswith(".png")]
    names = [str(path).strip() for path in pictures]
    assert names[0] == "demo/recovery.png"
    assert re.fullmatch(r"demo/star-\d+\.png", names[1])
    assert "  demo/report/index.html\n" in text
    assert (out / "report" / "index.html").read_text().rstrip().endswith("</html>")
    for name in names:
        image = imread(out.parent / name)
        assert image.shape[1] in (1999, 2000)
        assert np.ptp(image[..., :3].mean(axis=2)) > 0.5
        # Ink in every quarter: panels, not just a title.
        middle_row, middle_col = image.shape[0] // 2, image.shape[1] // 2
        for part in (slice(None, middle_row), slice(middle_row, None)):
            for side in (slice(None, middle_col), slice(middle_col, None)):
                assert (image[part, side, :3].min(axis=2) < 0.9).mean() > 0.005


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = command("demo", str(tmp_path), folder=tmp_path)
    assert done.returncode == 2
    assert "is in use" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ConfigError, match="cuvee demo FOLDER"):
        run_demo(tmp_path / "mine.txt", 48, 100, None)  # type: ignore[arg-type]
