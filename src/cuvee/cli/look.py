"""The commands that look at results: show, explain, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cuvee.cli.output import count, tell
from cuvee.cli.reduce import Json, Workspace

if TYPE_CHECKING:
    from cuvee.survey import LightCurve, Survey

__all__ = ["explain", "export", "report", "show"]

_BJD_START = 2_400_000.0
"""Times above this are Julian dates, below it BTJD."""


def show(
    star: Annotated[str, typer.Argument(help="Catalogue id, 'RA DEC' in degrees, or a target's name.")],
    workspace: Workspace = Path(),
    period: Annotated[float, typer.Option(min=0.0, help="Fold at this period (days).")] = 0.0,
    psf: Annotated[bool, typer.Option("--psf", help="Draw its pixels, the PSF model and what that leaves.")] = False,
    exposure: Annotated[str, typer.Option(help="Photons: this exposure; without, the longest.")] = "",
    composite: Annotated[
        bool, typer.Option("--composite", help="Photons: all exposures of one configuration, together.")
    ] = False,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Photons: the exposure by time and wavelength ([events] resolve).")
    ] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Picture to write (png, pdf, svg).")] = None,
) -> None:
    """Draw a star's light curve, folded when a period is given, and its pixels with apertures and neighbours.

    With --psf its mean pixels, the model of all stars and what this leaves, instead. Of photons (cos, stis, events) an exposure is drawn: light curve,
    counts on the detector, spectrum, pulse heights, cumulative counts; with --resolved its flux by time and wavelength.

    Example: cuvee show 144996772 -w my-survey --period 0.76 -o star.png
    """
    from cuvee.quicklook import figure_exposure, figure_resolved, save, show_residual, show_star
    from cuvee.survey import open_survey

    survey = open_survey(workspace)
    given = {"--period": period, "--psf": psf, "--exposure": exposure, "--resolved": resolved, "--composite": composite}
    _check_options(survey, {name for name, value in given.items() if value})
    light_curve = survey.light_curve(survey.resolve(star))
    if survey.photons and composite:
        _show_composites(survey, light_curve.id, output)
        return
    if survey.photons:
        series = exposure or _longest(light_curve)
        points = light_curve.only(series)
        name = light_curve.id.replace("/", "-")
        path = output or Path(f"{name}-{series}{'-resolved' if resolved else ''}.png")
        draw = figure_resolved if resolved else figure_exposure
        save(draw(points, survey.exposure(series)), path)
        n = len(light_curve.observations)
        tell(f"{path}: {light_curve.id}, exposure {series}{f' of {n}' if n > 1 else ''}, {points['time'].size} bins.")
        return
    path = output or Path(f"{light_curve.id}{'-psf' if psf else ''}.png")
    save(show_residual(survey, light_curve) if psf else show_star(survey, light_curve, period or None), path)
    good = int(light_curve.good.sum())
    tell(f"{path}: star {light_curve.id}, {good} of {light_curve.time.size} points are good.")


def _check_options(survey: Survey, given: set[str]) -> None:
    """Refuse what would change nothing."""
    from cuvee.errors import ConfigError

    of_images, of_photons = {"--period", "--psf"}, {"--exposure", "--resolved", "--composite"}
    if vain := sorted(given & (of_images if survey.photons else of_photons)):
        here, there = ("photon lists", "images") if survey.photons else ("images", "photon lists")
        raise ConfigError(f"{survey.path} is a survey of {here}; leave out {' and '.join(vain)} (for {there} only).")
    if "--composite" in given and (vain := sorted(given & {"--exposure", "--resolved"})):
        raise ConfigError(
            f"--composite draws all exposures together, over all wavelengths; leave out {' and '.join(vain)}, or it."
        )


def _show_composites(survey: Survey, target: str, output: Path | None) -> None:
    from cuvee.errors import ConfigError
    from cuvee.quicklook import figure_composite, save

    found = survey.composites(target)
    if not found:
        raise ConfigError(
            f"{target} has no composite: it takes two exposures in one configuration; leave --composite out."
        )
    for k, (facts, points) in enumerate(found):
        name = "-".join(word for word in (target, *facts["setting"]) if word).replace("/", "-")
        path = output or Path(f"{name}.png")
        if k and output is not None:
            path = output.with_stem(f"{output.stem}-{k + 1}")
        save(figure_composite(points, facts), path)
        tell(f"{path}: {target}, {len(facts['members'])} exposures, {points['time'].size} bins.")


def _longest(light_curve: LightCurve) -> str:
    """Return the exposure with the most good time."""
    import numpy as np

    exposure = np.nan_to_num(light_curve.points["exposure"])
    seconds = np.bincount(light_curve.observation, exposure, len(light_curve.observations))
    return str(light_curve.observations[int(seconds.argmax())]["series"])


def explain(
    star: Annotated[str, typer.Argument(help="Catalogue id, 'RA DEC' in degrees, or a target's name.")],
    workspace: Workspace = Path(),
    time: Annotated[float | None, typer.Option(help="Explain the point nearest this time (BTJD or BJD).")] = None,
    composite: Annotated[bool, typer.Option("--composite", help="Photons: composites, not exposures.")] = False,
    as_json: Json = False,
) -> None:
    """Say where a star's fluxes come from: products, files, parameters, versions, and every flag in words.

    With a time, the flux of that point is written out, so that you can do the sum again by hand: pixels, weights, background, error and
    time; cuvee does it again, too, and says whether what is stored comes out. --json has all of it, and every pixel. Of photons (cos, stis,
    events): which files, which events were left out and why; with a time, a bin's events, background and flux.

    Example: cuvee explain 144996772 -w my-survey --time 2458530.3
    """
    from cuvee.provenance import explain_composites, explain_star, explain_target, format_explanation, format_target
    from cuvee.survey import open_survey

    survey = open_survey(workspace)
    _check_options(survey, {"--composite"} if composite else set())
    if time is not None and time > _BJD_START:
        time -= 2_457_000.0
    if survey.photons:
        target = (explain_composites if composite else explain_target)(survey, survey.resolve(star), time)
        tell(json.dumps(target, indent=1, allow_nan=False) if as_json else format_target(target))
        return
    facts = explain_star(survey, survey.resolve(star), time)
    tell(json.dumps(facts, indent=1, allow_nan=False) if as_json else format_explanation(facts))


def report(
    workspace: Workspace = Path(),
    run: Annotated[int, typer.Option(min=0, help="Number of the run; 0: the newest.")] = 0,
) -> None:
    """Write one page about a run: scatter, background, pointing, stars, bad files, cost; it needs no network.

    Example: cuvee report -w my-survey
    """
    from cuvee.cli.progress import TerminalReporter
    from cuvee.report import write_report
    from cuvee.survey import open_survey

    with TerminalReporter() as reporter:
        path = write_report(open_survey(workspace), run or None, reporter)
    tell(f"Report: {path}")


def export(
    stars: Annotated[list[str] | None, typer.Argument(help="Catalogue ids, or targets' names; none: all.")] = None,
    workspace: Workspace = Path(),
    format_: Annotated[
        str, typer.Option("--format", "-f", help="fits, csv, ecsv, votable; pixels: tpf, hdf5; photons: events.")
    ] = "fits",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.")] = Path("export"),
    size: Annotated[int | None, typer.Option(help="Pixels a side, odd, for tpf (11 by default) and hdf5 (13).")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Write light curves as files, one a star and observation, that lightkurve, astropy and others open.

    With --format tpf the pixels around the stars, cut out of the raw frames: target pixel files, less the background
    that the light curve subtracted. With hdf5 the raw pixels as Vineyard's stamps.

    Of photons (cos, stis, events) one file an exposure, and one of each composite. With events the source's events themselves, screened as for the light
    curve, at the barycentre: what stingray's EventList.read opens.

    Example: cuvee export 144996772 -w my-survey --format fits -o out
    """
    from cuvee.cli.progress import TerminalReporter
    from cuvee.survey import open_survey

    survey = open_survey(workspace)
    ids = [survey.resolve(star) for star in stars or []]
    with TerminalReporter(quiet) as reporter:
        begun = False

        def progress(done: int, total: int) -> None:
            nonlocal begun
            if not begun:
                reporter.begin("Writing", total)
                begun = True
            reporter.advance(done)

        n = survey.export(output, format_, ids or None, progress, size)
    tell(f"Wrote {count(n, 'file')} into {output}")
