"""The demonstration: a simulated piece of a TESS CCD with damaged files, reduced, drawn, and compared with the truth."""

from __future__ import annotations

from pathlib import Path

from cuvee.errors import ConfigError
from cuvee.export import observations
from cuvee.pipeline import PIPELINE
from cuvee.quicklook import figure_recovery, save, show_star
from cuvee.report import write_report
from cuvee.run.start import Reporter, RunOptions, run_workspace
from cuvee.simulate import faults
from cuvee.simulate.gallery import best_stars, gallery
from cuvee.simulate.recover import recover
from cuvee.simulate.recovery_page import injections, recovery_document
from cuvee.simulate.recovery_text import format_table
from cuvee.simulate.signals import SINUSOID
from cuvee.simulate.tess import simulate
from cuvee.simulate.truth import read_truth
from cuvee.survey import Survey, open_survey

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
    pictures = [write_report(survey, reporter=reporter), *_compare(out, survey)]
    lines = [(out / "recovery.txt").read_text()]
    lines += [f"One frame has no WCS: it was measured all the same. {len(summary.bad)} files were damaged on purpose:"]
    lines += [f"  {bad.reason:10s} {Path(bad.path).name}" for bad in summary.bad.values()]
    lines += ["", "Look at these:", *(f"  {path}" for path in pictures)]
    lines += ["", f"Go on: cuvee status -w {out}; cuvee show ID -w {out}; cuvee explain ID -w {out}"]
    return "\n".join(lines)


def _compare(out: Path, survey: Survey) -> list[Path]:
    """Compare with the truth: a table, a page, a picture, and the light curve of the best recovered star."""
    truth = read_truth(out / "truth")
    curves = {seen.row["id"]: {**seen.row, **seen.points} for batch in survey.batches() for seen in observations(batch)}
    comparison = recover(
        truth.stars,
        curves.values(),
        modes=truth.modes,
        flares=truth.flares,
        asteroids=truth.asteroids,
        radii=survey.config.extract.radii,
    )
    (out / "recovery.txt").write_text(format_table(comparison) + "\n")
    examples = gallery(truth, comparison, curves)
    (out / "recovery.html").write_text(recovery_document(comparison, examples), encoding="utf-8")
    pictures = [out / "recovery.png"]
    simple, _ = injections(comparison)
    count = sum(kind.injected.size for kind in simple)
    save(figure_recovery(simple, examples[0], f"{count} signals injected and recovered"), pictures[0])
    for star in best_stars(comparison.stars, SINUSOID)[:1]:
        pictures.append(out / f"star-{star.id}.png")
        save(show_star(survey, survey.light_curve(star.id), star.period), pictures[-1])
    return [*pictures, out / "recovery.html"]
