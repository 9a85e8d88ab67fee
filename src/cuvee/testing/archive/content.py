"""Bytes that can be asked for in parts: a file on disk or a text made for one request."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cuvee.errors import BadData
from cuvee.instruments.fits_bytes import open_stream, units

__all__ = ["Content", "file_content", "other_version", "text_content"]


@dataclass(frozen=True, slots=True)
class Content:
    """What a request is answered with.

    Parameters
    ----------
    size : int
        Bytes.
    path : Path, optional
        The file that holds them; without it, they are ``data``.
    data : bytes
        The bytes themselves.
    etag : str
        Quoted; empty where there is none, and then no range can be asked for.
    modified : float
        Seconds since 1970.
    patches : tuple of (int, bytes)
        Where other bytes stand than in the file, in ascending order.
    """

    size: int
    path: Path | None = None
    data: bytes = b""
    etag: str = ""
    modified: float = 0.0
    patches: tuple[tuple[int, bytes], ...] = ()

    def patched(self, *patches: tuple[int, bytes]) -> Content:
        """Return the same content with some bytes exchanged."""
        return dataclasses.replace(self, patches=tuple(sorted((*self.patches, *patches))))

    def byte(self, offset: int) -> int:
        """Return one byte."""
        for start, other in self.patches:
            if start <= offset < start + len(other):
                return other[offset - start]
        if self.path is None:
            return self.data[offset]
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(1)[0]

    def send(self, connection: socket.socket, start: int, stop: int) -> None:
        """Write the bytes from ``start`` up to ``stop`` to a connection, without copies where the system can."""
        if self.path is None:
            for a, b, other in self._pieces(start, stop):
                connection.sendall(self.data[a:b] if other is None else other)
            return
        with self.path.open("rb") as file:
            for a, b, other in self._pieces(start, stop):
                if other is None:
                    _send_file(connection, file, a, b)
                else:
                    connection.sendall(other)

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int, bytes | None]]:
        at = start
        for offset, other in self.patches:
            first, last = max(offset, at), min(offset + len(other), stop)
            if first < last:
                if at < first:
                    yield at, first, None
                yield first, last, other[first - offset : last - offset]
                at = last
        if at < stop:
            yield at, stop, None


def _send_file(connection: socket.socket, file: BinaryIO, start: int, stop: int) -> None:
    sent = connection.sendfile(file, start, stop - start)
    if sent < stop - start:  # the file has shrunk since it was listed
        raise ConnectionAbortedError


def file_content(path: Path) -> Content:
    """Describe a file; its ETag stays the same until the file is written again."""
    facts = os.stat(path)
    mark = hashlib.md5(f"{path.name} {facts.st_size} {facts.st_mtime_ns}".encode(), usedforsecurity=False).hexdigest()
    return Content(facts.st_size, path, etag=f'"{mark}"', modified=facts.st_mtime)


def text_content(text: str | bytes) -> Content:
    """Describe a text that is made for one request."""
    data = text.encode() if isinstance(text, str) else text
    return Content(len(data), data=data)


def other_version(content: Content) -> Content:
    """Return a file as the archive may have made it anew: as long, just as sound, but with another ETag and other bytes.

    Two words of the pixels change places, one near the beginning and one near the end. The sums of a FITS file do not depend on the order of the words, so
    each version is whole by its own CHECKSUM; the beginning of one and the end of the other are neither.
    """
    assert content.path is not None
    first, last = _data_range(content.path, content.size)
    words = np.memmap(content.path, ">u4", "r", first, ((last - first) // 4,))
    shown = np.flatnonzero(words)
    different = shown[words[shown] != words[shown[0]]] if len(shown) else shown
    patches: tuple[tuple[int, bytes], ...] = ()
    if len(different):
        early, late = int(shown[0]), int(different[-1])
        patches = (
            (first + 4 * early, bytes(words[late : late + 1])),
            (first + 4 * late, bytes(words[early : early + 1])),
        )
    return dataclasses.replace(content.patched(*patches), etag=f'"{content.etag[2:-1]}2"')


def _data_range(path: Path, size: int) -> tuple[int, int]:
    try:
        with open_stream(str(path)) as (stream, plain_size):
            if plain_size != size:  # compressed
                return 0, size
            found = max(units(stream, size, str(path)), key=lambda unit: unit.size)
            return found.data, found.data + found.size
    except (BadData, ValueError):
        return 0, size
