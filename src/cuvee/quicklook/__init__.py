"""Figures: one a star, one a run, one a simulation."""

from cuvee.quicklook.composite import figure_composite
from cuvee.quicklook.noise import NoiseCurve, noise_curve
from cuvee.quicklook.photons import figure_exposure
from cuvee.quicklook.recovery import Example, Injection, figure_recovery
from cuvee.quicklook.residual import Residual, figure_residual
from cuvee.quicklook.resolved import figure_resolved
from cuvee.quicklook.run import figure_run
from cuvee.quicklook.scatter import figure_scatter
from cuvee.quicklook.stamp import Stamp, figure_stamp
from cuvee.quicklook.star import figure_light_curve, figure_strip, show_residual, show_star
from cuvee.quicklook.style import save

__all__ = [
    "Example",
    "Injection",
    "NoiseCurve",
    "Residual",
    "Stamp",
    "figure_composite",
    "figure_exposure",
    "figure_light_curve",
    "figure_recovery",
    "figure_residual",
    "figure_resolved",
    "figure_run",
    "figure_scatter",
    "figure_stamp",
    "figure_strip",
    "noise_curve",
    "save",
    "show_residual",
    "show_star",
]
