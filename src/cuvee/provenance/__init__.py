"""Where a number came from: the chain from a flux back to pixels or photons, parameters and versions."""

from cuvee.provenance.explain import explain_star
from cuvee.provenance.photons import explain_composites, explain_target, format_target
from cuvee.provenance.words import format_explanation

__all__ = ["explain_composites", "explain_star", "explain_target", "format_explanation", "format_target"]
