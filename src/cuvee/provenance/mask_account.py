"""Which pixels a star's own mask has: the flux block holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cuvee.errors import StoreError
from cuvee.model.records import PixelMasks
from cuvee.provenance.account import Made
from cuvee.provenance.chain import intact_products
from cuvee.store.blocks import read_block
from cuvee.store.targets import read_targets

__all__ = ["own_mask_of"]


def own_mask_of(
    root: Path, steps: Sequence[Mapping[str, Any]], made: Made, star_id: int
) -> tuple[PixelMasks | None, list[str]]:
    """Find a star's own mask.

    Parameters
    ----------
    root : Path
        The workspace.
    steps : sequence of dict
        The chain of products behind the point.
    made : Made
        From `cuvee.provenance.account.made_of`.
    star_id : int
        Catalogue id of the star.

    Returns
    -------
    PixelMasks or None
        Of this one star, perhaps without a pixel; None where no masks were made, or where they are no longer there.
    list of str
        Sentences about what is missing.
    """
    if not made.params.k2p2:
        return None, []
    paths, changed = intact_products(root, steps, ("targets", "fluxes"))
    if changed is not None:
        return None, [
            f"{changed} is not what the flux was made with, so the star's mask is not known; cuvee run makes it anew."
        ]
    try:
        block, ids = read_block(paths["fluxes"]), read_targets(paths["targets"]).id
    except StoreError as error:
        return None, [f"The star's mask is not known: {error}"]
    at = np.flatnonzero(ids[block.rows] == star_id)
    if block.masks is None or at.size == 0:
        return None, ["The flux block holds no mask of this star; cuvee run makes it anew."]
    s = int(at[0])
    col, row = block.masks.of(s)
    own = slice(s, s + 1)
    return PixelMasks(np.array([0, col.size]), col, row, block.masks.clipped[own], block.masks.crowding[own]), []
