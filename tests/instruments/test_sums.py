"""Sums of units against astropy's, and every single bit that turns."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io import fits

from cuvee.errors import BadData
from cuvee.instruments.fits_bytes import units
from cuvee.instruments.sums import add_bytes, check_sum
from cuvee.kernels.sums import sum_words


def image(side: int = 30) -> bytes:
    pixels = np.random.default_rng(3).normal(100.0, 9.0, (side, side)).astype(np.float32)
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(pixels)]).writeto(file, checksum=True)
    return file.getvalue()


def judge(content: bytes) -> None:
    for unit in units(io.BytesIO(content), len(content), "x.fits"):
        check_sum(unit.cards, add_bytes(content[unit.start : unit.end]))


def test_the_compiled_sum_is_that_of_python_and_of_astropy() -> None:
    data = np.random.default_rng(1).integers(0, 256, 2880 * 5, dtype=np.uint8)
    words = [int.from_bytes(data[k : k + 4].tobytes(), "big") for k in range(0, data.size, 4)]
    assert sum_words(data.view("<u4")) == add_bytes(data.data) == sum(words)
    large = np.tile(data, 100)
    assert large.size > 1 << 20  # where the compiled loop takes over
    assert add_bytes(large.data, 7) == 100 * sum(words) + 7
    folded = sum(words) % 0xFFFFFFFF
    assert folded == int(fits.PrimaryHDU()._compute_checksum(data)) % 0xFFFFFFFF


def test_a_sound_file_is_sound() -> None:
    judge(image())


def test_every_bit_that_turns_is_found() -> None:
    content = image()
    (_, unit) = units(io.BytesIO(content), len(content), "x.fits")
    rng = np.random.default_rng(2)
    for at in rng.integers(unit.data, unit.end, 200):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[at] ^= 1 << bit
            with pytest.raises(BadData, match="by exactly one bit") as caught:
                judge(bytes(damaged))
            assert caught.value.reason == "checksum"


def test_a_file_that_was_edited_without_its_sum_is_left_alone() -> None:
    content = image()
    (_, unit) = units(io.BytesIO(content), len(content), "x.fits")
    rng = np.random.default_rng(4)
    for _ in range(500):
        edited = bytearray(content)
        at = int(rng.integers(unit.data // 4, (unit.end - 80) // 4)) * 4
        edited[at : at + 8] = rng.normal(100.0, 9.0, 2).astype(">f4").tobytes()
        judge(bytes(edited))
