"""One file from the archive to the disk, whatever happens on the way.

The bytes go to a hidden file beside the final one. It has been judged (`cuvee.acquire.judge`) and synced before anybody may rename it.
What breaks off goes on where it stopped, on condition that the file is still the same (Range with If-Range, RFC 9110, sections 13.1.5 and 14);
without a name for its version, or where the archive takes no ranges, it begins anew. What comes whole but not sound is fetched anew, too.
Where only a sum or a length says that something is wrong, a second fetch decides: two that agree byte by byte are the archive's own file.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import httpx
import xxhash

from cuvee.acquire.judge import Verdict, judge
from cuvee.acquire.wire import Wire, may_pass
from cuvee.errors import BadData
from cuvee.store.atomic import TEMPORARY_SUFFIX

__all__ = ["Expected", "Fetched", "Tap", "fetch", "temporary_path"]

_WORTH_RESUMING = 1 << 22
"""Bytes from which on a part is kept for the next acquisition, too."""
_PROGRESS = 1 << 20
"""Bytes more than before the last try, for which a try does not count."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_WHOLE_RANGE = re.compile(r"bytes \*/(\d+)")


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a file before it comes.

    Parameters
    ----------
    name : str
        What it will be called.
    size : int
        Its bytes; -1 where nobody knows.
    hash : str
        Its XXH3-128 (hex), where it must be the same as before; else empty.
    """

    name: str
    size: int = -1
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one file.

    Parameters
    ----------
    state : str
        ``have``: it lies under its temporary name, judged and synced. ``missing``: the archive does not have it. ``changed``: the archive has
        another one than was expected. ``broken``: what comes is not sound. ``failed``: it did not come.
    url : str
        Where it came from, or should have.
    hash : str
        XXH3-128 (hex).
    size, mtime_ns, inode : int
        Of the temporary file; the renamed one has the same.
    tries : int
        Requests.
    message : str
        What there is to say about it.
    etag : str
        The archive's name for this version.
    """

    state: str
    url: str
    hash: str = ""
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0
    tries: int = 0
    message: str = ""
    etag: str = ""


class Tap:
    """Counts the bytes that come for all threads, and lets no more through than the bandwidth.

    Parameters
    ----------
    bandwidth : float
        Bytes a second in all; 0: as many as come.
    """

    def __init__(self, bandwidth: float = 0.0) -> None:
        self._bandwidth = bandwidth
        self._lock = threading.Lock()
        self._free_at = 0.0
        self.taken = 0

    def take(self, n: int) -> float:
        """Count ``n`` bytes, and return how long to wait before the next (s)."""
        with self._lock:
            self.taken += n
            if not self._bandwidth:
                return 0.0
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + n / self._bandwidth
            return self._free_at - now


class _Trouble(Exception):
    """Something that may pass."""


class _Gone(Exception):
    """The archive does not have it."""


@dataclass(slots=True)
class _Part:
    """What has come of a file so far."""

    path: Path
    done: int = 0
    validator: str = ""
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    kept: bool = False
    digest: xxhash.xxh3_128 = field(default_factory=xxhash.xxh3_128)

    @property
    def note(self) -> Path:
        return self.path.with_suffix(".validator")

    def forget(self) -> None:
        if not self.done and not self.kept:  # what else may lie there will be written over
            self.validator, self.url = "", ""
            return
        self.done, self.validator, self.url = 0, "", ""
        self.kept = False
        self.digest.reset()
        for path in (self.path, self.note):
            path.unlink(missing_ok=True)

    def keep(self) -> None:
        """Leave word of the version, for whoever comes after us."""
        self.note.write_text(json.dumps({"url": self.url, "validator": self.validator}))
        self.kept = True

    def recall(self) -> None:
        """Go on from what an earlier acquisition left, if it can be known for what it is."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(self.note.read_text())
            self.url, self.validator, self.kept = str(note["url"]), str(note["validator"]), True
            with self.path.open("rb") as file:
                while piece := file.read(_WORTH_RESUMING):
                    self.digest.update(piece)
                    self.done += len(piece)
            return
        self.forget()


def temporary_path(final: Path) -> Path:
    """Return where the bytes of a file go until it is whole."""
    return final.with_name(f".{final.name}{TEMPORARY_SUFFIX}")


def fetch(wire: Wire, urls: Sequence[str], final: Path, expected: Expected, tap: Tap) -> Fetched:
    """Fetch one file to its temporary name.

    Parameters
    ----------
    wire : Wire
        The line.
    urls : sequence of str
        Where it can be had; each is asked if the one before has it not, or cannot deliver.
    final : Path
        Where it will lie.
    expected : Expected
        What is known of it.
    tap : Tap
        Counts the bytes.

    Raises
    ------
    Interrupted
        If somebody wants to stop.
    OSError
        If the disk cannot take it.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(temporary_path(final))
    part.recall()
    tries, answer = 0, Fetched("failed", urls[-1])
    for number, url in enumerate(urls):
        answer = _Transfer(wire, url, part, expected, tap).run(last=number == len(urls) - 1)
        tries += answer.tries
        if answer.state in ("have", "changed"):
            break
    return _with(answer, tries)


def _with(answer: Fetched, tries: int) -> Fetched:
    return Fetched(
        answer.state,
        answer.url,
        answer.hash,
        answer.size,
        answer.mtime_ns,
        answer.inode,
        tries,
        answer.message,
        answer.etag,
    )


class _Transfer:
    """The tries to get one file from one place."""

    def __init__(self, wire: Wire, url: str, part: _Part, expected: Expected, tap: Tap) -> None:
        self._wire, self._url, self._part, self._expected, self._tap = wire, url, part, expected, tap
        self._doubted = ""
        self._pauses = 0

    def run(self, last: bool) -> Fetched:
        patience, part, trouble, state = self._wire.patience, self._part, "", "failed"
        limit = max(2, patience.tries) if last else 2
        if self._part.url != self._url:
            self._part.forget()
        tries = spent = 0
        while spent < limit:
            tries, spent, before = tries + 1, spent + 1, self._part.done
            try:
                self._wire.wait_turn(self._url)
                with self._wire.slots:  # others may use the line while this file is judged and synced
                    self._receive()
                verdict = judge(part.path, self._expected.name, part.headers, part.digest.hexdigest())
            except _Gone as gone:
                self._part.forget()
                return Fetched("missing", self._url, tries=tries, message=str(gone))
            except _Trouble as fault:
                trouble, state = str(fault), "failed"
                if self._part.done >= before + _PROGRESS:  # a long file over a poor line gets there, piece by piece
                    spent = self._pauses = 0
            except BadData as fault:
                self._part.forget()
                said = fault.message.replace(str(part.path), self._expected.name)
                trouble, state = said.partition("; fetch it again")[0], "broken"
            else:
                if (answer := self._accept(verdict, tries)) is not None:
                    return answer
                trouble, state = verdict.doubt or "it is not as it should be", "broken"
                self._doubted = verdict.hash
                self._part.forget()
                if spent == 1:
                    continue  # a doubt is worth a second fetch, at once
            if spent < limit:
                self._wire.sleep(patience.pause(self._pauses))
                self._pauses += 1
        return Fetched(state, self._url, tries=tries, message=f"{trouble} ({tries} tries)")

    def _accept(self, verdict: Verdict, tries: int) -> Fetched | None:
        """Say that it is whole, or None where a second fetch must tell."""
        part, expected = self._part, self._expected
        facts = part.path.stat()
        doubt = verdict.doubt
        if expected.size not in (-1, facts.st_size):
            doubt = f"it has {facts.st_size} bytes and not {expected.size}, as the archive's list says"
        differs = expected.hash not in ("", verdict.hash)
        if expected.hash and not differs:
            doubt = ""
        if (doubt or differs) and verdict.hash != self._doubted:
            return None
        message = f"{doubt}, in each of two fetches: so the archive has it" if doubt else ""
        if differs:
            part.forget()
            return Fetched("changed", self._url, verdict.hash, facts.st_size, tries=tries)
        with part.path.open("rb") as file:
            os.fsync(file.fileno())
        if part.kept:
            part.note.unlink(missing_ok=True)
        etag = part.headers.get("etag", "")
        return Fetched(
            "have", self._url, verdict.hash, facts.st_size, facts.st_mtime_ns, facts.st_ino, tries, message, etag
        )

    def _receive(self) -> None:
        """Get what is missing of the file."""
        part, headers = self._part, {"x-amz-checksum-mode": "ENABLED"} if "uri=" not in self._url else {}
        if part.done and part.validator:
            headers |= {"Range": f"bytes={part.done}-", "If-Range": part.validator}
        else:
            part.forget()
        try:
            with self._wire.client.stream("GET", self._url, headers=headers) as answer:
                self._take(answer)
        except httpx.TimeoutException as error:
            raise _Trouble(f"the archive does not go on for {self._wire.patience.stall:g} s") from error
        except httpx.HTTPError as error:
            raise _Trouble(f"the connection broke ({str(error) or type(error).__name__})") from error

    def _take(self, answer: httpx.Response) -> None:
        part, status = self._part, answer.status_code
        if status == 416 and part.done:
            whole = _WHOLE_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if whole and int(whole[1]) == part.done:
                return  # nothing is missing; whether it is right, the judge says
            part.forget()
            raise _Trouble("the archive has no more of the file, and what came is not all")
        if status not in (200, 206):
            if not may_pass(status):
                raise _Gone(f"the archive answers with {status} {answer.reason_phrase}".rstrip())
            self._wire.hold(self._url, answer)
            raise _Trouble(f"the archive answers with {status} {answer.reason_phrase}".rstrip())
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise _Trouble("the archive sends it compressed, though it was asked not to")
        if status == 206:
            span = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if span is None or int(span[1]) != part.done:
                part.forget()
                raise _Trouble("the archive sends another range than it was asked for")
            if _validator(answer) not in ("", part.validator):
                part.forget()
                raise _Trouble("the archive's file has changed meanwhile")
        else:
            part.forget()
            part.url, part.validator = self._url, _validator(answer)
            part.headers = {name.lower(): value for name, value in answer.headers.items()}
        with part.path.open("ab" if status == 206 else "wb") as file:
            self._write(answer, file)

    def _write(self, answer: httpx.Response, file: BinaryIO) -> None:
        part, patience = self._part, self._wire.patience
        start, slept, came = time.monotonic(), 0.0, 0
        try:
            for piece in answer.iter_raw():
                file.write(piece)
                part.digest.update(piece)
                part.done += len(piece)
                came += len(piece)
                if not part.kept and part.validator and part.done >= _WORTH_RESUMING:
                    part.keep()
                wait = self._tap.take(len(piece))
                self._wire.sleep(wait)
                slept += wait
                spent = time.monotonic() - start - slept
                if spent > patience.stall:
                    if came < patience.slowest * spent:
                        raise _Trouble(f"the archive sends only {came / spent:.0f} bytes a second")
                    start, slept, came = time.monotonic(), 0.0, 0
        finally:
            file.flush()


def _validator(answer: httpx.Response) -> str:
    """Return the name of this version of the file, as If-Range takes it: a strong ETag, or else the time of its last change."""
    etag = str(answer.headers.get("ETag", ""))
    return etag if etag.startswith('"') else str(answer.headers.get("Last-Modified", ""))
