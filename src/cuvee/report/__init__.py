"""The report: one static HTML page a run, which says what was reduced, how well, and what is wrong with the rest."""

from cuvee.report.write import write_report

__all__ = ["write_report"]
