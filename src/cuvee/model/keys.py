"""Names of things: what a unit of work is about, and the hash that says what made a product."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import xxhash

__all__ = [
    "BLOCK_CADENCES",
    "PATCH_ORDER",
    "DataId",
    "block_of",
    "patch_of",
    "recipe_hash",
    "recipe_head",
    "recipe_of",
    "text_hash",
]

BLOCK_CADENCES = 128
"""Frames of a full-frame series are extracted in fixed ranges of this many cadence numbers."""

PATCH_ORDER = 5
"""HEALPix order of a patch, the unit of the light-curve store (3.4 square degrees)."""


class DataId(NamedTuple):
    """What a product or unit is about: the dimensions that apply to it; the others are empty.

    A tuple, because a survey has millions of them that are made, compared and looked up by.

    Parameters
    ----------
    instrument, segment, detector, kind, series : str
        See `cuvee.model.records.FileInfo`.
    part : str
        The finest dimension: ``b0108`` for a block of cadences, ``p01234`` for a patch, the frame's name for
        a frame, the table's name for a catalogue table.
    """

    instrument: str
    segment: str = ""
    detector: str = ""
    kind: str = ""
    series: str = ""
    part: str = ""

    def __str__(self) -> str:
        return f"{self.instrument}/{self.segment}/{self.detector}/{self.kind}/{self.series}/{self.part}".rstrip("/")

    @classmethod
    def parse(cls, text: str) -> DataId:
        """Read what ``str`` wrote."""
        return cls(*text.split("/"))

    @property
    def group(self) -> DataId:
        """The segment, detector and kind it belongs to: one wave of work."""
        return DataId(self.instrument, self.segment, self.detector, self.kind)


def block_of(cadence: int) -> str:
    """Return the name of the block that holds a cadence number."""
    return f"b{cadence // BLOCK_CADENCES:06d}"


def patch_of(healpix: int) -> str:
    """Return the name of the patch that holds an order-29 nested HEALPix index."""
    return f"p{healpix >> 2 * (29 - PATCH_ORDER):05d}"


def text_hash(text: str) -> str:
    """Return the XXH3-128 (hex) of a text."""
    return xxhash.xxh3_128(text.encode()).hexdigest()


_to_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_quote = json.encoder.encode_basestring_ascii


def recipe_head(stage: str, version: int, params: Any) -> str:
    """Return what the recipes of all units of a stage begin with, so that it is written once and not once a unit.

    Parameters
    ----------
    stage : str
        Name of the stage.
    version : int
        The stage's version.
    params : object
        Parameters as JSON can hold them.
    """
    return _to_json([stage, version, params])[:-1]


def recipe_of(head: str, inputs: Iterable[tuple[str, str, str]]) -> str:
    """Return the recipe of a unit.

    Parameters
    ----------
    head : str
        From `recipe_head`.
    inputs : iterable of (kind, data id, content)
        As for `recipe_hash`.
    """
    # The same text as `_to_json` makes of the list, in a third of the time: there are as many recipes as units.
    read = ",".join([f"[{_quote(a)},{_quote(b)},{_quote(c)}]" for a, b, c in sorted(inputs)])
    return text_hash(f"{head},[{read}]]")


def recipe_hash(stage: str, version: int, params: Any, inputs: Iterable[tuple[str, str, str]]) -> str:
    """Return the identity of a unit's products.

    Parameters
    ----------
    stage : str
        Name of the stage.
    version : int
        The stage's version.
    params : object
        Parameters as JSON can hold them.
    inputs : iterable of (kind, data id, content)
        Content hashes of everything that is read.

    Returns
    -------
    str
        XXH3-128 (hex); the order of the inputs does not matter.
    """
    return recipe_of(recipe_head(stage, version, params), inputs)
