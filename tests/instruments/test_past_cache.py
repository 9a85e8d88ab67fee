"""Reading past the page cache gives the file's bytes, from wherever they come, into whatever memory there is."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee.instruments.past_cache import PAGE, on_pages, read_past_cache

SIZE = 5 * PAGE + 1234


@pytest.fixture
def data() -> NDArray[np.uint8]:
    return np.random.default_rng(81).integers(0, 256, SIZE, dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path, data: NDArray[np.uint8]) -> Path:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(data.tobytes())
        os.fsync(file.fileno())
    return path


def _forget(path: Path) -> None:
    if not hasattr(os, "posix_fadvise"):
        pytest.skip("this system cannot be asked to forget a file")
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize("size", [1, PAGE, 3 * PAGE + 7, SIZE])
def test_a_cold_file_is_read_and_stays_cold(path: Path, data: NDArray[np.uint8], size: int) -> None:
    for _ in range(2):
        _forget(path)
        memory = on_pages(None, size)
        memory[:] = 0
        with path.open("rb") as file:
            done = read_past_cache(file, memory, size)
            if not done:
                pytest.skip("this file system cannot read past the cache")
            assert file.tell() == 0
            assert file.read() == data.tobytes(), "the file must be readable as before"
        assert done == size
        np.testing.assert_array_equal(memory[:size], data[:size])


def test_where_a_file_ends_too_early_it_says_so(path: Path, data: NDArray[np.uint8]) -> None:
    _forget(path)
    memory = on_pages(None, 9 * PAGE)
    with path.open("rb") as file:
        done = read_past_cache(file, memory, 9 * PAGE)
    assert done in (0, SIZE)  # 0: it could not be told that the last page, which is not there, is not cached
    np.testing.assert_array_equal(memory[:done], data[:done])


def test_a_cached_file_is_left_to_the_cache(path: Path) -> None:
    path.read_bytes()
    with path.open("rb") as file:
        assert read_past_cache(file, on_pages(None, SIZE), SIZE) == 0


def test_memory_is_used_again_and_starts_at_a_page() -> None:
    fresh = on_pages(None, SIZE)
    assert fresh.size == 6 * PAGE
    assert fresh.ctypes.data % PAGE == 0
    owner = fresh.base
    assert isinstance(owner, np.ndarray)
    again = on_pages(owner, SIZE)
    assert again.ctypes.data == fresh.ctypes.data
    # Too tight for whole pages: used all the same, but not for such reads.
    tight = np.empty(SIZE, np.uint8)
    memory = on_pages(tight, SIZE)
    assert np.shares_memory(memory, tight)
    assert memory.size == SIZE
    assert not np.shares_memory(on_pages(np.empty(100, np.uint8), SIZE), tight)


def test_unfit_memory_is_refused_quietly(path: Path) -> None:
    _forget(path)
    with path.open("rb") as file:
        assert read_past_cache(file, np.empty(SIZE, np.uint8), SIZE) == 0
