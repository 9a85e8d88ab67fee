"""What a command imports before it works: what takes long to import waits until somebody needs it."""

from __future__ import annotations

import subprocess
import sys


def test_planning_does_without_compilers_and_large_libraries() -> None:
    script = """
import sys
import cuvee.cli.app, cuvee.acquire, cuvee.pipeline, cuvee.run.start
heavy = {"numba", "scipy", "pandas", "matplotlib", "astropy.wcs", "httpx"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
