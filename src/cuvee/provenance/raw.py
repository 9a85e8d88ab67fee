"""The raw file behind a point: its pixels, whether they are still those that were measured, and where in the file they stand."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import BadData, ConfigError, TransientError
from cuvee.model.instrument import Instrument
from cuvee.model.records import FileInfo, Pixels

__all__ = ["RawFrame", "find_pixels", "read_raw"]


@dataclass(frozen=True, slots=True)
class RawFrame:
    """One frame of a raw file as it is now.

    Parameters
    ----------
    info : FileInfo
        What the headers say.
    pixels : Pixels
        All its pixels.
    frame : int
        Which of its frames, from 0.
    gain : float32 array, shape (n_col,), optional
        By what the pixels of each column were multiplied before they were measured.
    """

    info: FileInfo
    pixels: Pixels
    frame: int
    gain: NDArray[np.float32] | None = None

    @property
    def flux(self) -> NDArray[np.float32]:
        """The frame's science pixels (e-/s), shape (n_row, n_col), as they were measured."""
        return self._even(np.asarray(self.pixels.flux[self.frame], dtype=np.float32))

    @property
    def counts(self) -> NDArray[np.float32]:
        """The same before the mission subtracted its background, where the file says what that was."""
        if self.pixels.background is None:
            return self.flux
        light = np.asarray(self.pixels.flux[self.frame], dtype=np.float32) + self.pixels.background[self.frame]
        return self._even(np.asarray(light, dtype=np.float32))

    def _even(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        return image if self.gain is None else image * self.gain


def read_raw(
    path: str, device: Instrument, content: str, cadence: int, time: float
) -> tuple[RawFrame | None, dict[str, Any]]:
    """Read the frame that a point was measured in.

    Parameters
    ----------
    path : str
        The raw file.
    device : Instrument
        Reads it.
    content : str
        Content hash of what was measured.
    cadence : int
        The frame's cadence number.
    time : float
        Its time (BTJD), for files that give no number twice but have frames without any.

    Returns
    -------
    RawFrame or None
        None where the file is not what it was.
    dict
        ``state`` (``unchanged``, ``changed``, ``gone``), ``content`` as measured, ``content_now`` and, in a ``sentence``, what that means.
    """
    facts: dict[str, Any] = {"path": path, "content": content, "content_now": None, "state": "gone", "sentence": ""}
    if not Path(path).exists():
        facts["sentence"] = f"{path} is gone, so its pixels cannot be summed again; what is known of the sum follows."
        return None, facts
    try:
        info = device.scan(path)
        pixels = device.read(info, None)
    except (BadData, ConfigError, TransientError) as error:
        facts |= {"state": "changed", "sentence": f"The pixels cannot be summed again: {error}"}
        return None, facts
    facts["content_now"] = pixels.content
    if pixels.content != content:
        facts["state"] = "changed"
        facts["sentence"] = (
            f"{path} has changed since it was measured (its content was {content}, now it is {pixels.content}), so its pixels are not those of "
            "the stored flux and are not summed again; cuvee run measures the file as it is now."
        )
        return None, facts
    same = np.flatnonzero(info.moments.cadence == cadence)
    if same.size == 0:
        facts |= {"state": "changed", "sentence": f"{path} has no frame of cadence {cadence} any more."}
        return None, facts
    late = np.abs(info.moments.mid[same] - time)
    frame = same[0 if np.isnan(late).all() else int(np.nanargmin(late))]
    facts |= {"state": "unchanged", "sentence": "The file is, bit for bit, the one that was measured."}
    return RawFrame(info, pixels, int(frame)), facts


def find_pixels(raw: RawFrame) -> dict[str, Any] | None:
    """Find the frame's pixels in its file with astropy (or h5py), which know nothing of cuvee.

    No instrument need say where its science pixels start: they are looked for, all of them, and must be found once.

    Parameters
    ----------
    raw : RawFrame
        From `read_raw`.

    Returns
    -------
    dict or None
        ``hdu`` with ``name``, or ``dataset``; ``column`` and ``frame`` where it holds many images; and ``col_to_x``, ``row_to_y``, which added to a
        detector coordinate give the index in the image, from 0. None where they are not found, or in several places.
    """
    found = []
    wanted = raw.flux
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about cards that are of no concern here
        try:
            for place, image in _images(raw):
                found += [{**place, "x": x, "y": y} for x, y in _places(np.asarray(image, dtype=np.float32), wanted)]
        except (OSError, ValueError, TypeError, KeyError, ImportError):
            return None
    if len(found) != 1:
        return None
    (place,) = found
    x, y = place.pop("x"), place.pop("y")
    geometry = raw.info.geometry
    return {**place, "col_to_x": x - geometry.col0, "row_to_y": y - geometry.row0}


def _images(raw: RawFrame) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
    """Yield every image of the file that might be the frame, with its address."""
    from cuvee.instruments.hdf5_stamps import is_hdf5

    path, n_frame = raw.info.path, raw.info.moments.cadence.size
    if is_hdf5(path):
        import h5py

        sets: list[str] = []
        with h5py.File(path, "r") as file:
            file.visititems(lambda name, item: sets.append(name) if getattr(item, "ndim", 0) == 3 else None)
            for name in sets:
                if file[name].shape[0] == n_frame:
                    yield {"dataset": name, "frame": raw.frame}, file[name][raw.frame]
        return
    from astropy.io import fits

    with fits.open(path) as units:
        for number, unit in enumerate(units):
            address = {"hdu": number, "name": unit.name}
            if unit.is_image and len(unit.shape) == 2:
                yield {**address, "column": None, "frame": None}, unit.data
            elif not unit.is_image and unit.data is not None and len(unit.data) == n_frame:
                for column in unit.columns.names:
                    if unit.data[column].ndim == 3:
                        yield {**address, "column": column, "frame": raw.frame}, unit.data[column][raw.frame]


def _places(image: NDArray[Any], wanted: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Yield where ``wanted`` stands in an image: x and y of its first pixel."""
    if image.ndim != 2:
        return
    n_row, n_col = wanted.shape
    # A row that is mostly numbers settles nearly every place at once.
    probe = int(np.argmax(np.isfinite(wanted).sum(axis=1)))
    for y in range(image.shape[0] - n_row + 1):
        for x in range(image.shape[1] - n_col + 1):
            if np.array_equal(image[y + probe, x : x + n_col], wanted[probe], equal_nan=True) and np.array_equal(
                image[y : y + n_row, x : x + n_col], wanted, equal_nan=True
            ):
                yield x, y
