"""What computes beside cuvee itself, and in which versions."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

__all__ = ["software_versions"]

_PACKAGES = ("numpy", "scipy", "numba", "astropy", "pyerfa", "cdshealpix", "pyarrow")


def software_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that can move a number, by name, and the kind of machine."""
    found = {"machine": platform.machine(), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # put together without its metadata
            found[name] = "unknown"
    return found
