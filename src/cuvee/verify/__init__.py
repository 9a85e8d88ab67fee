"""Every raw file looked at: what is missing, broken or foreign, and how to have it fetched again."""

from __future__ import annotations

from cuvee.verify.judge import Report, judge
from cuvee.verify.lists import read_list
from cuvee.verify.repair import repair
from cuvee.verify.walk import verify

__all__ = ["Report", "judge", "read_list", "repair", "verify"]
