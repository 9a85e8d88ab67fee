"""Where a number came from: the chain from a flux back to pixels, parameters and versions."""

from cuvee.provenance.explain import explain_star
from cuvee.provenance.words import format_explanation

__all__ = ["explain_star", "format_explanation"]
