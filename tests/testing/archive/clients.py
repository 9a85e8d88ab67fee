"""Other people's clients, as functions that `cuvee.testing.archive.trial` can try: curl, and astroquery in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

CURL = shutil.which("curl")
PATIENCE = 2.0
"""Seconds after which a client that says nothing counts as hanging."""

WORKER = r"""
import json, sys, threading, warnings
warnings.simplefilter("ignore")
out, sys.stdout = sys.stdout, sys.stderr
from astroquery.mast import Observations

def do(asked, reply):
    try:
        if "path" in asked:
            reply["answer"] = Observations.download_file(asked["uri"], local_path=asked["path"], verbose=False)[0] == "COMPLETE"
        else:
            reply["answer"] = [str(name) for name in Observations.query_criteria(**asked)["obs_id"]]
    except Exception as error:
        reply["error"] = f"{type(error).__name__}: {error}"

patience = float(sys.argv[1])
for line in sys.stdin:
    reply = {}
    # It downloads without a timeout; whoever waits for ever is left behind.
    thread = threading.Thread(target=do, args=(json.loads(line), reply), daemon=True)
    thread.start()
    thread.join(patience)
    print(json.dumps(reply), file=out, flush=True)
"""


def environment(url: str, home: Path, **more: str) -> dict[str, str]:
    """Return the environment in which astroquery and lightkurve ask the archive at ``url`` and leave nothing outside ``home``.

    Names are looked up through the proxy, because the address of the resolver cannot be configured.
    """
    config = home / "config" / "astropy"
    config.mkdir(parents=True, exist_ok=True)
    lines = ("[mast]", f"server = {url}", f"catalogs_server = {url}", f"timeout = {PATIENCE:.0f}", "pagesize = 2", "")
    (config / "astroquery.cfg").write_text("\n".join(lines))
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    places = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_CACHE_HOME": str(home / "cache")}
    return {**kept, **places, "http_proxy": url, "no_proxy": "127.0.0.1", **more}


def fetch_with_curl(url: str, name: str, target: Path) -> bool:
    """Fetch a file as a line of a bulk script does."""
    assert CURL is not None
    command = [CURL, "-s", "-C", "-", "-L", "-o", name, f"{url}/api/v0.1/Download/file/?uri=mast:TESS/product/{name}"]
    try:
        return subprocess.run(command, cwd=target.parent, check=False, timeout=PATIENCE).returncode == 0
    except subprocess.TimeoutExpired:
        raise TimeoutError from None


def curl_version() -> str:
    """Return the version of curl."""
    assert CURL is not None
    return subprocess.run([CURL, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


class Astroquery:
    """A process that has imported astroquery with one archive in its configuration."""

    def __init__(self, url: str, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(2 * PATIENCE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(url, home),
            cwd=home,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, **asked: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline())
        if not reply:
            raise TimeoutError
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply["answer"]

    def fetch(self, _url: str, name: str, target: Path) -> bool:
        """Fetch a file; the archive is the one of the configuration."""
        return bool(self._ask(uri=f"mast:TESS/product/{name}", path=str(target)))

    def search(self, _url: str) -> list[str]:
        """Return the ``obs_id`` of all observations of TESS."""
        return [str(name) for name in self._ask(obs_collection="TESS")]
