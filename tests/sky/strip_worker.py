"""A fetch of strips in a process of its own, which is killed from outside: ``python strip_worker.py WORKSPACE``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.acquire.files import HASTY
from tests.run.workspaces import Listener

from cuvee.acquire.strips import all_strips
from cuvee.sky.strip_fetch import fetch_strips

if __name__ == "__main__":
    fetch_strips(Path(sys.argv[1]), all_strips()[:6], Listener(), patience=HASTY)
