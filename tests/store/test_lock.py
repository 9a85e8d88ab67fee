"""Two writers never meet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cuvee.errors import ConfigError
from cuvee.store.lock import workspace_lock

HOLD = """
import sys, time
from pathlib import Path
from cuvee.store.lock import workspace_lock
with workspace_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_told_who_is_first(tmp_path: Path) -> None:
    lock = tmp_path / ".cuvee.lock"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=f"process {other.pid}"), workspace_lock(lock):
            pass
    finally:
        other.kill()
        other.communicate()
    with workspace_lock(lock):  # a dead holder holds nothing
        pass
