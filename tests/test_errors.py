"""Errors cross process borders whole, and their exit codes are what the command line promises."""

import inspect
import pickle
import re

import pytest

from cuvee import errors
from cuvee.errors import (
    AlgorithmError,
    BadData,
    ConfigError,
    CuveeError,
    NoWork,
    StoreError,
    TransientError,
)

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CuveeError)]


@pytest.mark.parametrize(
    "error",
    [
        BadData("a.fits is cut short; fetch it again.", "truncated", "RAW/a.fits"),
        AlgorithmError("The fit did not end; take more frames.", {"iterations": 50.0, "residual": 0.25}),
        ConfigError("There is no folder x; make one."),
        NoWork("No star falls on the detector."),
        TransientError("The disk did not answer; try again."),
        StoreError("The disk is full; make room."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_worker_can_hand_an_error_to_the_driver(error: CuveeError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error) == error.message
    assert vars(copy) == vars(error)


def test_exit_codes_are_those_of_the_design() -> None:
    promised = {ConfigError: 2, StoreError: 3, BadData: 1, AlgorithmError: 1, TransientError: 1, NoWork: 0}
    assert {kind: kind.exit_code for kind in promised} == promised


def test_the_tree_in_the_docstring_has_every_class() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"^ {4}(?:[├└]── )?(\w+)", errors.__doc__, re.MULTILINE)
    assert sorted(drawn) == sorted(kind.__name__ for kind in CLASSES)
