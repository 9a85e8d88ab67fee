"""The commands that make their own data: simulate and demo."""

from __future__ import annotations

import enum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cuvee.cli.output import tell
from cuvee.errors import ConfigError

__all__ = ["Simulated", "demo", "simulate"]


class Simulated(enum.StrEnum):
    """What can be simulated."""

    TESS = "tess"
    COS = "cos"
    STIS = "stis"


def simulate(
    what: Annotated[Simulated, typer.Argument(help="Instrument to simulate.")],
    out: Annotated[Path, typer.Argument(help="Workspace to make.")],
    frames: Annotated[int, typer.Option(min=1, help="Number of frames.")] = 64,
    stars: Annotated[int, typer.Option(min=1, help="Number of stars on the pixels.")] = 2000,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Science pixels a side; 2048: the whole CCD.")] = 512,
    cadence: Annotated[float, typer.Option(help="Seconds between frames: 1800, 600 or 200.")] = 1800.0,
    density: Annotated[
        float | None, typer.Option(min=1, max=200_000, help="Stars on a whole CCD, instead of --stars.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Only stars and background: none of what TESS adds.")] = False,
    events: Annotated[int, typer.Option(min=100, help="cos, stis: events of an exposure, about.")] = 200_000,
    exposures: Annotated[int, typer.Option(min=1, help="cos, stis: number of exposures.")] = 2,
    grating: Annotated[str, typer.Option(help="stis: G140L, G140M, E140M, E140H or E230M.", show_default="E140M")] = "",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Make a workspace of simulated full-frame images, or of lists of photons, with the truth.

    With cos or stis: exposures of a star with a period of 131 s and a flare, photon lists (of both segments) and extracted spectra.

    Example: cuvee simulate tess sim --frames 240 --stars 3000 --size 512, then: cuvee run -w sim
    """
    from cuvee.cli.progress import TerminalReporter

    if grating and what is not Simulated.STIS:
        raise ConfigError(f"--grating is an option of stis; {what.value} takes none.")
    if what is not Simulated.TESS:
        from cuvee.simulate.cos import simulate_cos
        from cuvee.simulate.stis import simulate_stis

        make = simulate_cos if what is Simulated.COS else partial(simulate_stis, grating=grating.upper() or "E140M")
        with TerminalReporter(quiet) as reporter:
            reporter.begin(f"Simulating {what.value}", exposures)
            total = make(
                out, events=events, exposures=exposures, seed=seed, progress=lambda _done, _total: reporter.advance()
            )
        tell(f"Made {out}: {exposures} exposures with {total:,} events. Next: cuvee run -w {out}")
        return
    from cuvee.simulate.params import PLAIN, SimulationParams
    from cuvee.simulate.tess import simulate as simulate_tess
    from cuvee.simulate.tess import stars_at

    with TerminalReporter(quiet) as reporter:
        reporter.begin(f"Simulating {what.value}", frames)
        simulate_tess(
            out,
            frames=frames,
            stars=stars if density is None else stars_at(density, size),
            size=size,
            cadence=cadence,
            seed=seed,
            params=PLAIN if plain else SimulationParams(),
            progress=lambda _done, _total: reporter.advance(),
        )
    tell(f"Made {out}: {frames} frames of {size} x {size} pixels. Next: cuvee run -w {out}")


def demo(
    out: Annotated[Path, typer.Argument(help="Folder to make; must not exist yet.")] = Path("demo"),
    frames: Annotated[int, typer.Option(min=48, help="Number of frames.")] = 384,
    stars: Annotated[int, typer.Option(min=100, help="Number of stars.")] = 2500,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Simulate a piece of a TESS CCD, with three damaged files, reduce it, draw it, compare it with the truth.

    Example: cuvee demo
    """
    from cuvee.cli.progress import TerminalReporter
    from cuvee.demo import run_demo

    with TerminalReporter(quiet) as reporter:
        tell(run_demo(out, frames, stars, reporter))
