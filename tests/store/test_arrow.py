"""Arrow columns as NumPy arrays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cuvee.store.arrow import column_values, values_of
from cuvee.store.numbers import write_columns


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.float32, np.float64])
def test_numbers_are_what_pyarrow_says(dtype: type[np.generic]) -> None:
    array = pa.array(np.arange(9).astype(dtype)).slice(2, 5)
    found = values_of(array)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, array.to_numpy())
    assert not found.flags.owndata
    assert values_of(array.slice(0, 0)).size == 0


def test_truth_values_are_unpacked() -> None:
    array = pa.array([True, False, True, True]).slice(1)
    np.testing.assert_array_equal(column_values(pa.chunked_array([array])), [False, True, True])


def test_columns_of_several_chunks_are_joined() -> None:
    np.testing.assert_array_equal(column_values(pa.chunked_array([[1, 2], [], [3]], pa.int64())), [1, 2, 3])
    np.testing.assert_array_equal(column_values(pa.chunked_array([["a"], ["bcd"]])), ["a", "bcd"])
    assert column_values(pa.chunked_array([], pa.float32())).dtype == np.float32
    assert column_values(pa.chunked_array([], pa.string())).shape == (0,)


@pytest.mark.parametrize("array", [pa.array([1, None]), pa.array([True, None]), pa.array([[1]]), pa.array([None, "a"])])
def test_anything_else_is_refused(array: pa.Array) -> None:
    with pytest.raises(pa.ArrowException):
        column_values(pa.chunked_array([array]))


def test_pandas_is_not_imported_for_it(tmp_path: Path) -> None:
    write_columns(tmp_path / "metrics.parquet", {"id": np.arange(3), "best": np.array(["a", "b", "c"])})
    script = f"""
import sys
from pathlib import Path
from cuvee.store.numbers import read_columns
assert len(read_columns(Path({str(tmp_path / "metrics.parquet")!r}))["id"]) == 3
assert "pandas" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
