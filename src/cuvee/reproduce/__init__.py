"""Doing a run of another workspace again, and saying whether every byte is the same."""

from cuvee.reproduce.past import Comparison, Difference, PastRun
from cuvee.reproduce.repeat import Reproduction, reproduce_run

__all__ = ["Comparison", "Difference", "PastRun", "Reproduction", "reproduce_run"]
