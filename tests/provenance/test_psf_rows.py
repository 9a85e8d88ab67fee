"""The slow arithmetic of PSF photometry, beside the fast."""

from __future__ import annotations

import numpy as np
import pytest
from tests.provenance.psf_house import ORIGIN, SIZE, PsfHouse

from cuvee import prf
from cuvee.extract import ExtractParams, even
from cuvee.extract.frames import plan_of
from cuvee.provenance.prf_stamps import displaced, higher_orders, stamps
from cuvee.provenance.psf_rows import Rows
from cuvee.provenance.psf_scene import scene_of
from cuvee.store.references import read_reference
from cuvee.store.star_models import read_star_model
from cuvee.store.targets import read_targets


def test_rows_are_those_of_the_plan(psf_house: PsfHouse) -> None:
    """What is worked out star by star in double precision, beside the plan of all stars."""
    model = read_star_model(next((psf_house.root / "BASE" / "prf").glob("*.npz")))
    reference = read_reference(next((psf_house.root / "BASE" / "reference-frames").iterdir()))
    targets = read_targets(next(psf_house.root.glob("RED/*/*/targets.parquet")))
    psf = plan_of(targets, reference, ExtractParams(psf=True), model).psf
    assert psf is not None
    plan = psf.plan
    scene = scene_of(model, targets.id, even(reference)[0])
    kept = np.flatnonzero(scene.apart)
    assert kept[plan.star].tolist() != []
    assert set(kept[plan.star].tolist()) == set(np.flatnonzero(scene.solved).tolist())
    assert set(kept[plan.star[plan.bright]].tolist()) <= set(np.flatnonzero(scene.seen_well).tolist())
    np.testing.assert_allclose(scene.light, plan.images[0], atol=1e-6 * plan.images[0].max())
    rows = Rows(scene)
    n_grouped = 0
    for k in range(0, plan.star.size, 15):
        star = int(kept[plan.star[k]])
        row = rows.row(star)
        if not row.norm > 0.0:
            assert np.isinf(plan.variance[k])
            continue
        found = rows.variance(star)
        n_grouped += found.group.size > 1
        inflated = found.reference / found.alone
        assert row.weight.sum() == pytest.approx(float(plan.weight_sum[k]), rel=1e-6)
        assert row.followed.sum() == np.diff(plan.pairs.ptr)[k]
        assert found.reference == pytest.approx(plan.variance[k], rel=1e-6 * inflated)
        higher = row.higher @ row.weight
        np.testing.assert_allclose(
            plan.pairs.rest[k, 6:], higher, atol=2e-4 * float(np.abs(row.higher).max() * row.weight.max())
        )
        assert found.squares == pytest.approx(plan.squares[k], rel=1e-6)
        assert found.lean == pytest.approx(plan.lean[k], rel=1e-5 * inflated)
    assert n_grouped > 5


def test_stamps_are_those_of_the_kernel_and_of_their_differences(psf_house: PsfHouse) -> None:
    model = read_star_model(next((psf_house.root / "BASE" / "prf").glob("*.npz")))
    rng = np.random.default_rng(6)
    col, row = (rng.uniform(ORIGIN, ORIGIN + SIZE, 50) for _ in range(2))
    corner, values = stamps(model.prf, col, row)
    first_col, first_row, drawn = prf.stamps(model.prf, col, row)
    np.testing.assert_array_equal(corner, np.stack([first_row, first_col], axis=1))
    np.testing.assert_allclose(values, drawn, atol=1e-7 * float(np.abs(drawn).max()))
    # Moved by the expansion, or drawn where they are moved to (towards the middle of their pixels).
    step = 0.2
    x, y = (np.where(place > np.rint(place), -step, step) for place in (col, row))
    moved = stamps(model.prf, col + x, row + y, ((0, 0),))[1][0]
    higher = higher_orders(model.prf, col, row)
    third = np.stack([x**3 / 6, x * x * y / 2, x * y * y / 2, y**3 / 6])
    fourth = np.stack([x**4 / 24, x**3 * y / 6, x * x * y * y / 4, x * y**3 / 6, y**4 / 24])
    found = []
    for n in range(col.size):
        light = displaced(values[:, n], x[n], y[n])
        off = [np.abs(light - moved[n]).max()]
        for terms, order in ((third, higher[:4]), (fourth, higher[4:])):
            light = light + np.tensordot(terms[:, n], order[:, n], 1)
            off.append(np.abs(light - moved[n]).max())
        found.append(off)
    second, with_third, with_fourth = np.median(found, axis=0)
    assert second > 3.0 * with_third > 6.0 * with_fourth
