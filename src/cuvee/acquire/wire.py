"""The line to an archive: one HTTP client, and how long we are patient with it.

What may pass by itself (429, 5xx, a time-out, a connection that breaks) is tried again after a pause that doubles each time, with jitter so
that many clients do not come back in step; where the archive says when (Retry-After), everybody waits for that. What will not pass (404 and
the other refusals) is not tried again. Source of the pauses: RFC 9110, sections 10.2.3 and 15.5-15.6.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from types import TracebackType
from typing import Any, Self

import httpcore
import httpx

from cuvee import __version__
from cuvee.errors import TransientError

# Of 64 kB at a time, handing Python's lock to and fro between threads takes as long as the bytes do.
httpcore.HTTP11Connection.READ_NUM_BYTES = 1 << 20

__all__ = ["Interrupted", "Patience", "Refused", "Wire", "may_pass"]

_LONGEST_RETRY_AFTER = 600.0
_NO_NETWORK = 3
"""Connections that fail before a question is given up: who has no network should not wait for long to hear of it."""


class Refused(TransientError):
    """The archive refuses, and would again.

    Parameters
    ----------
    message : str
        One sentence.
    status : int
        Of HTTP.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Interrupted(Exception):
    """Somebody wants to stop."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try.

    Parameters
    ----------
    tries : int
        Requests for one thing before it counts as failed.
    first, longest : float
        The first pause, and the longest (s).
    connect, stall : float
        A connection, or the next bytes of an answer, must come within this (s).
    slowest : float
        Fewer bytes a second than this, over `stall`, count as a stall.
    executing : float
        How long a search may be in work at the archive (s).
    """

    tries: int = 6
    first: float = 1.0
    longest: float = 60.0
    connect: float = 20.0
    stall: float = 60.0
    slowest: float = 500.0
    executing: float = 600.0

    def pause(self, attempt: int) -> float:
        """Return the pause after an attempt, counted from 0 (s)."""
        return min(self.longest, self.first * 2.0**attempt) * random.uniform(0.5, 1.0)


class Wire:
    """One HTTP client for all threads of an acquisition.

    Parameters
    ----------
    patience : Patience
        How long to try.
    parallel : int
        Connections to a host that carry a file at the same time; who transfers one holds one of the `slots` meanwhile.
    """

    def __init__(self, patience: Patience | None = None, parallel: int = 4) -> None:
        self.patience = patience or Patience()
        self.stop = threading.Event()
        self.slots = threading.BoundedSemaphore(parallel)
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=2 * parallel)
        timeout = httpx.Timeout(self.patience.stall, connect=self.patience.connect, pool=None)
        headers = {"User-Agent": f"cuvee/{__version__}", "Accept-Encoding": "identity"}
        self.client = httpx.Client(
            verify=_trusted(), limits=limits, timeout=timeout, headers=headers, follow_redirects=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def hold(self, url: str, answer: httpx.Response) -> None:
        """Let everybody who wants something of this host wait as long as it asks for."""
        seconds = _retry_after(answer.headers.get("Retry-After", ""))
        if seconds > 0.0:
            host = httpx.URL(url).netloc.decode()
            with self._lock:
                self._until[host] = max(self._until.get(host, 0.0), time.monotonic() + seconds)

    def wait_turn(self, url: str) -> None:
        """Wait while the host wants to be left alone; raises `Interrupted`."""
        if not self._until:
            return self.sleep(0.0)
        with self._lock:
            until = self._until.get(httpx.URL(url).netloc.decode(), 0.0)
        return self.sleep(until - time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Wait; raises `Interrupted` where somebody wants to stop."""
        if self.stop.wait(max(0.0, seconds)) if seconds > 0.0 else self.stop.is_set():
            raise Interrupted

    def ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Send a request for something small, again and again if need be, and return the whole answer.

        Parameters
        ----------
        method, url : str
            Of HTTP.
        **more
            As `httpx.Client.request` takes them.

        Raises
        ------
        Refused
            If the archive refuses for good.
        TransientError
            If it cannot be reached, or keeps failing.
        """
        trouble, unreached, attempt = "", 0, 0
        for attempt in range(self.patience.tries):
            if attempt:
                self.sleep(self.patience.pause(attempt - 1))
            self.wait_turn(url)
            try:
                answer = self.client.request(method, url, **more)
            except httpx.ConnectError as error:
                trouble = f"cannot be reached ({_plain(error)})"
                unreached += 1
                if unreached == _NO_NETWORK:
                    break
                continue
            except httpx.HTTPError as error:
                trouble = f"does not answer ({_plain(error)})"
                continue
            if answer.status_code < 300:
                return answer
            trouble = f"answers with {answer.status_code} {answer.reason_phrase}".rstrip()
            if not may_pass(answer.status_code):
                raise Refused(f"{url} {trouble}.", answer.status_code)
            self.hold(url, answer)
        raise TransientError(f"{url} {trouble}, {attempt + 1} times; check the network, then run again.")

    def size(self, url: str) -> int:
        """Ask for the length of a file.

        Returns
        -------
        int
            Bytes; -1 where the archive does not say.

        Raises
        ------
        Refused
            If there is no such file.
        TransientError
            If the archive cannot be reached, or keeps failing.
        """
        try:
            length = self.ask("HEAD", url).headers.get("Content-Length", "")
        except Refused as refusal:
            if refusal.status in (404, 410):
                raise
            return -1  # it may well send what it does not describe
        return int(length) if length.isdigit() else -1


@cache
def _trusted() -> ssl.SSLContext:
    # To read who is trusted takes longer than many a search.
    return httpx.create_ssl_context()


def may_pass(status: int) -> bool:
    """Tell whether a status of HTTP may be another one soon."""
    return status in (408, 425, 429) or status >= 500


def _retry_after(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return 0.0
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER)


def _plain(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
