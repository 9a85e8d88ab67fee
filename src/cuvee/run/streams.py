"""Frames of one block, read ahead while the pass over the previous ones computes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import BadData
from cuvee.model.instrument import Instrument
from cuvee.model.keys import BLOCK_CADENCES
from cuvee.model.records import LANES, Batch, FileInfo, Moments, Pixels

__all__ = ["FrameStream", "StreamLog", "block_moments", "read_frames"]

_READERS = 2
"""Threads that read; reading waits for the disk, and hashing and swapping release the interpreter's lock."""


@dataclass(slots=True)
class StreamLog:
    """What a stream learnt about the files that it read.

    Parameters
    ----------
    contents : dict of str to str
        Content hash of each good file, by path.
    bad : list of (path, reason, message)
        Files that could not be used.
    notes : list of str
        Sentences for the user, for example how many rows of a catalogue were left out.
    """

    contents: dict[str, str] = field(default_factory=dict)
    bad: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _read(instrument: Instrument, info: FileInfo, buffer: NDArray[np.uint8] | None) -> Pixels | BadData:
    try:
        return instrument.read(info, buffer)
    except BadData as error:
        return error
    except OSError as error:
        return BadData(
            f"{info.path} cannot be read: {error.strerror or error}; mend that, or leave it out.",
            "unreadable",
            info.path,
        )
    except Exception as error:  # whatever a file makes a reader do, the other frames are measured
        message = f"{info.path} cannot be read: its reader failed with {type(error).__name__}: {error}."
        return BadData(message, "unreadable", info.path)


def read_frames(instrument: Instrument, infos: Sequence[FileInfo], log: StreamLog) -> Iterator[tuple[int, Pixels]]:
    """Read frames in order, ahead of their use, without reusing buffers.

    Parameters
    ----------
    instrument : Instrument
        Reads the files.
    infos : sequence of FileInfo
        The frames.
    log : StreamLog
        Takes the content hashes and the bad files.

    Yields
    ------
    int
        Index into ``infos``; bad frames are left out.
    Pixels
        The frame.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        for i, result in enumerate(pool.map(lambda info: _read(instrument, info, None), infos)):
            if isinstance(result, BadData):
                log.bad.append((infos[i].path, result.reason, result.message))
            else:
                log.contents[infos[i].path] = result.content
                yield i, result


def block_moments(infos: Sequence[FileInfo], first: int, width: int) -> Moments:
    """Put frames on the time axis of a block.

    Parameters
    ----------
    infos : sequence of FileInfo
        Frames of one series, at most one a cadence.
    first, width : int
        First cadence number and number of cadences of the block.

    Returns
    -------
    Moments
        Arrays of shape (width,); NaN times where no frame is.
    """
    nan = np.full((3, width), np.nan)
    axis = Moments(np.arange(first, first + width), nan[0], nan[1], nan[2], np.zeros(width, np.int32))
    for info in infos:
        moments = info.moments
        i = int(moments.cadence[0]) - first
        for name in ("start", "stop", "barycorr", "quality"):
            getattr(axis, name)[i] = getattr(moments, name)[0]
    return axis


class FrameStream:
    """Iterates over the batches of one block while the next batch is being read.

    Parameters
    ----------
    instrument : Instrument
        Reads the files.
    infos : sequence of FileInfo
        The block's frames, at most one a cadence.
    first : int
        First cadence number of the block.
    log : StreamLog
        Takes the content hashes and the bad files while the stream is read.
    """

    def __init__(self, instrument: Instrument, infos: Sequence[FileInfo], first: int, log: StreamLog) -> None:
        self.log = log
        self.first = first
        self.width = BLOCK_CADENCES
        self._instrument = instrument
        self._infos = sorted(infos, key=self._position)

    def _position(self, info: FileInfo) -> int:
        return int(info.moments.cadence[0]) - self.first

    def axis(self) -> tuple[Moments, tuple[str, ...]]:
        """Return the block's time axis and the frames' names, without the frames found bad so far."""
        bad = {path for path, _, _ in self.log.bad}
        good = [info for info in self._infos if info.path not in bad]
        names = [""] * self.width
        for info in good:
            names[self._position(info)] = info.name
        return block_moments(good, self.first, self.width), tuple(names)

    def __iter__(self) -> Iterator[Batch]:
        indices = range(len(self._infos))
        chunks = [
            list(lanes) for _, lanes in itertools.groupby(indices, lambda i: self._position(self._infos[i]) // LANES)
        ]
        # Two sets of buffers: one is computed on while the other is filled. A buffer grows to its file on first use.
        buffers: list[list[NDArray[np.uint8] | None]] = [[None] * LANES, [None] * LANES]
        with ThreadPoolExecutor(_READERS) as pool:

            def start(k: int) -> list[Future[Pixels | BadData]]:
                ring = buffers[k % 2]
                return [
                    pool.submit(_read, self._instrument, self._infos[i], ring[lane]) for lane, i in enumerate(chunks[k])
                ]

            ahead = start(0) if chunks else []
            for k, chunk in enumerate(chunks):
                results = [future.result() for future in ahead]
                for lane, result in enumerate(results):
                    if isinstance(result, Pixels):
                        buffers[k % 2][lane] = _owner(result.flux)
                if k + 1 < len(chunks):
                    ahead = start(k + 1)
                frames, position = [], []
                for i, result in zip(chunk, results, strict=True):
                    info = self._infos[i]
                    if isinstance(result, BadData):
                        self.log.bad.append((info.path, result.reason, result.message))
                        continue
                    self.log.contents[info.path] = result.content
                    frames.append(result.flux[0])
                    position.append(self._position(info))
                if frames:
                    yield Batch(frames, np.asarray(position, np.int64))


def _owner(view: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Return the byte buffer that a view lies in, so that the next frame can be read into it."""
    owner: object = view
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    return owner if isinstance(owner, np.ndarray) and owner.dtype == np.uint8 else None
