"""Everything that can go wrong, and what it means for the run.

::

    CuveeError
    ├── ConfigError       the user's mistake; found before any work (exit 2)
    ├── NoWork            there is nothing to do for this unit; not a failure
    ├── BadData           an input is broken: quarantined with a reason, the run goes on (exit 1)
    ├── AlgorithmError    a method failed on sound data; repeatable, so no retry; carries numbers (exit 1)
    ├── TransientError    network, disk, a dead worker: tried again with back-off
    └── StoreError        the workspace itself is unusable: full, read-only, locked, damaged (exit 3)

Every message says what is wrong, where, and what to do about it, in one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "EXIT_BAD_UNITS",
    "EXIT_ENVIRONMENT",
    "EXIT_INTERRUPTED",
    "EXIT_OK",
    "EXIT_USER",
    "AlgorithmError",
    "BadData",
    "ConfigError",
    "CuveeError",
    "NoWork",
    "StoreError",
    "TransientError",
]

EXIT_OK = 0
EXIT_BAD_UNITS = 1
EXIT_USER = 2
EXIT_ENVIRONMENT = 3
EXIT_INTERRUPTED = 130


class CuveeError(Exception):
    """Base of all errors that cuvee raises on purpose.

    Parameters
    ----------
    message : str
        One sentence: what, where, what to do.
    """

    exit_code = EXIT_BAD_UNITS

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(CuveeError):
    """The configuration, a command-line argument or a catalogue cannot be used as given."""

    exit_code = EXIT_USER


class NoWork(CuveeError):
    """This unit has nothing to do, for example no star falls on the detector."""

    exit_code = EXIT_OK


class BadData(CuveeError):
    """An input file is broken.

    Parameters
    ----------
    message : str
        One sentence for the user.
    reason : str
        A short word for tables: ``truncated``, ``empty``, ``not-fits``, ``header``, ``all-nan``,
        ``duplicate``, ``wrong-shape``, ``checksum``, ``clock``, ``unreadable``.
    path : str, optional
        The file at fault, where the message is about one file.
    """

    def __init__(self, message: str, reason: str = "unreadable", path: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.path = path

    def __reduce__(self) -> tuple[type[BadData], tuple[str, str, str]]:
        return (type(self), (self.message, self.reason, self.path))


class AlgorithmError(CuveeError):
    """A method failed on sound data.

    Parameters
    ----------
    message : str
        One sentence for the user.
    numbers : mapping of str to float, optional
        What the method saw when it gave up.
    """

    def __init__(self, message: str, numbers: Mapping[str, float] | None = None) -> None:
        super().__init__(message)
        self.numbers = dict(numbers or {})

    def __reduce__(self) -> tuple[type[AlgorithmError], tuple[str, dict[str, float]]]:
        return (type(self), (self.message, self.numbers))


class TransientError(CuveeError):
    """Something outside failed and may work next time."""


class StoreError(CuveeError):
    """The workspace or the ledger cannot be read or written."""

    exit_code = EXIT_ENVIRONMENT
