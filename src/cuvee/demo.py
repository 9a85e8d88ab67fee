"""The demonstration: a simulated piece of a TESS CCD with damaged files, reduced, drawn, and compared with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import ConfigError
from cuvee.export import observations
from cuvee.pipeline import PIPELINE
from cuvee.quicklook import Example, Injection, draw_run, figure_recovery, save, show_star
from cuvee.run.drive import Reporter, RunOptions, run_workspace
from cuvee.simulate import faults
from cuvee.simulate.recover import Found, format_table, recover
from cuvee.simulate.signals import SINUSOID, TRANSIT, sinusoid_mean, transit_mean
from cuvee.simulate.tess import simulate
from cuvee.store.numbers import read_columns
from cuvee.survey import LightCurve, Survey, open_survey

__all__ = ["run_demo"]

SIZE = 512
"""Science pixels a side of the simulated window."""


def run_demo(out: Path, frames: int, stars: int, reporter: Reporter) -> str:
    """Simulate, damage, reduce, draw and compare.

    Parameters
    ----------
    out : Path
        The workspace to make; must be empty or absent.
    frames, stars : int
        How much to simulate.
    reporter : Reporter
        Takes the news.

    Returns
    -------
    str
        What was found, for the terminal.

    Raises
    ------
    ConfigError
        If the folder is in use.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is in use; remove it, or name another folder: cuvee demo FOLDER")
    reporter.begin("simulate tess", frames)
    simulate(out, frames=frames, stars=stars, size=SIZE, progress=lambda _done, _total: reporter.advance())
    reporter.end()
    raw = sorted((out / "RAW").glob("*_ffic.fits"))
    faults.truncate(raw[frames // 5])
    faults.replace_by_html(raw[2 * frames // 5])
    faults.strip_wcs(raw[3 * frames // 5])
    summary = run_workspace(out, PIPELINE, RunOptions(command="demo"), reporter)
    survey = open_survey(out)
    drawn = draw_run(survey.paths, survey.instrument, survey.config.extract.radii)
    pictures = [*drawn, *_compare(out, survey)]
    lines = [(out / "recovery.txt").read_text()]
    lines += [f"One frame has no WCS: it was measured all the same. {len(summary.bad)} files were damaged on purpose:"]
    lines += [f"  {bad.reason:10s} {Path(bad.path).name}" for bad in summary.bad.values()]
    lines += ["", "Look at these:", *(f"  {path}" for path in pictures)]
    lines += ["", f"Go on: cuvee status -w {out}; cuvee show ID -w {out}; cuvee explain ID -w {out}"]
    return "\n".join(lines)


def _compare(out: Path, survey: Survey) -> list[Path]:
    """Compare with the truth: a table, a picture, and the light curve of the best recovered star."""
    truth = read_columns(out / "truth" / "stars.parquet")
    curves = [{**seen.row, **seen.points} for batch in survey.batches() for seen in observations(batch)]
    comparison = recover(truth, curves)
    (out / "recovery.txt").write_text(format_table(comparison) + "\n")
    sure = [star for star in comparison.stars if star.sure]
    best = sorted(sure, key=lambda star: star.amplitude_err / star.amplitude)
    injections = [_injection(comparison.stars, kind) for kind in (SINUSOID, TRANSIT)]
    shown = [star for kind in (SINUSOID, TRANSIT) for star in [s for s in best if s.kind == kind][:3]]
    examples = [_example(star, survey.light_curve(star.id), truth) for star in shown]
    pictures = [out / "recovery.png"]
    save(figure_recovery(injections, examples, f"{len(comparison.stars)} signals injected and recovered"), pictures[0])
    for star in best[:1]:
        pictures.append(out / f"star-{star.id}.png")
        save(show_star(survey, survey.light_curve(star.id), star.period), pictures[-1])
    return pictures


def _injection(stars: Sequence[Found], kind: str) -> Injection:
    values = np.array([(s.amplitude, s.amplitude_found, s.amplitude_err) for s in stars if s.kind == kind])
    injected, found, error = values.reshape(-1, 3).T
    return Injection(f"{kind}s", injected, found, error)


def _example(star: Found, curve: LightCurve, truth: dict[str, NDArray[Any]]) -> Example:
    """Take a light curve and what was put into it, the latter as the aperture sees it: weakened by the neighbours' light."""
    at = truth["id"] == star.id
    period, epoch, duration = (truth[name][at] for name in ("period", "epoch", "duration"))
    good = curve.good
    time, flux = curve.time[good], curve.flux[good]
    exposure = float(np.median(np.diff(time)))

    def signal(when: NDArray[np.float64]) -> NDArray[np.float64]:
        if star.kind == SINUSOID:
            shape = sinusoid_mean(when, period, epoch, exposure)
        else:
            shape = -transit_mean(when, period, epoch, duration, exposure)
        return np.asarray(1.0 + star.crowding * star.amplitude * shape)

    phase = np.linspace(-0.5, 0.5, 401)
    model = signal(epoch + phase * star.period) / np.median(signal(time)) - 1.0
    title = f"{star.kind}, {star.period:.3f} d, T = {star.mag:.1f}"
    return Example(title, time, flux / np.median(flux) - 1.0, star.period, float(epoch[0]), (phase, model))
