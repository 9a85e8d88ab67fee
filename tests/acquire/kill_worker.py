"""An acquisition in a process of its own, which is killed from outside: ``python kill_worker.py WORKSPACE URL``."""

from __future__ import annotations

import sys

import cuvee.acquire

if __name__ == "__main__":
    cuvee.acquire.fetch(sys.argv[1], cuvee.acquire.tess(1, archive=sys.argv[2]))
