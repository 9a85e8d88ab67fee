"""Pixel masks on real files: of the stars' own, and from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy import ndimage
from tests.real_runs import Reduce, reducer

from cuvee.errors import ConfigError
from cuvee.instruments.registry import instrument
from cuvee.metrics import point_to_point_scatter
from cuvee.model.flags import EDGE, NO_HALO, NO_MASK
from cuvee.store.blocks import read_block
from cuvee.store.references import read_reference
from cuvee.survey import Survey


@pytest.fixture(scope="module")
def reduce(tmp_path_factory: pytest.TempPathFactory) -> Reduce:
    return reducer(tmp_path_factory)


def own_mask(survey: Survey) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return rows and columns, within its stamp, of the mask of the only star of a survey."""
    block = read_block(next((survey.path / "RED").rglob("*.arrow")))
    reference = read_reference(next((survey.path / "BASE" / "reference-frames").glob("*.reference")))
    assert block.masks is not None
    col, row = block.masks.of(0)
    return row - reference.geometry.row0, col - reference.geometry.col0


def test_the_own_mask_of_a_tess_star_holds_that_of_the_mission(reduce: Reduce, shared_data: Path) -> None:
    folder = shared_data / "tess_tpf_25155310"
    survey, summary = reduce(
        [str(folder / "tess25155310-s01-first-cadences.fits.gz")],
        ["25155310,63.37389,-69.226789,10.555"],
        "extract k2p2 = true",
    )
    assert not summary.troubled
    curve = survey.light_curve(25155310)
    rows, cols = own_mask(survey)
    with fits.open(folder / "tess25155310-s01-first-cadences.fits.gz") as file:
        table, mission = file[1].data, (file[2].data & 2) > 0
        at = np.searchsorted(table["CADENCENO"], curve.cadence)
        sums = table["FLUX"].astype(np.float64)[:, rows, cols].sum(axis=1)[at]
    inside = np.zeros(mission.shape, bool)
    inside[rows, cols] = True
    assert inside[mission].all()
    np.testing.assert_allclose(curve.mask_flux, sums, rtol=1e-6)
    published = fits.getdata(folder / "hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits.gz", 1)
    sap = published["SAP_FLUX"][np.searchsorted(published["CADENCENO"], curve.cadence)]
    # The mission's nine pixels leave the wings out; with them the flux is the star's, after its magnitude, within 15 %.
    assert (curve.mask_flux > sap).all()
    assert np.median(curve.mask_flux) == pytest.approx(10 ** (0.4 * (20.44 - 10.555)), rel=0.15)


def test_in_a_crowded_field_the_own_mask_is_quieter_than_the_prf_masks_of_others(
    reduce: Reduce, shared_data: Path
) -> None:
    """Kepler's bulge: the peaks of the mean image serve as the catalogue, so that the star's mask is cut out among them."""
    folder = shared_data / "k2_221312395"
    path = next(folder.glob("ktwo*"))
    with fits.open(path) as tpf:
        image = np.nanmean(tpf[1].data["FLUX"].astype(np.float64), axis=0)
    info = instrument("kepler").scan(str(path))
    wcs, place = WCS(fits.Header.fromstring(info.wcs)), info.geometry
    peak = (image == ndimage.maximum_filter(image, 3)) & (image > 1.1 * np.nanmedian(image))
    row, col = np.nonzero(peak)
    ra, dec = wcs.all_pix2world(col + place.col0, row + place.row0, 0)
    x, y = wcs.all_world2pix(267.75039, -29.336657, 0)
    away = np.hypot(col + place.col0 - x, row + place.row0 - y)
    assert away.min() < 0.5  # the star is one of the peaks
    others = [f"{k + 1},{ra[k]:.7f},{dec[k]:.7f},15.0" for k in np.flatnonzero(away > 1.5)]
    survey, summary = reduce(
        [str(path)],
        ["221312395,267.75039,-29.336657,13.728", *others],
        "extract k2p2 = true\ntargets ids = [221312395]",
        "kepler",
    )
    assert not summary.troubled
    curve = survey.light_curve(221312395)
    rows, cols = own_mask(survey)
    with fits.open(next(folder.glob("hlsp*"))) as k2sff:
        masks = k2sff["PRF_APER_TBL"].data != 0
        tables = [k2sff[f"PRF_APER{n}"].data for n in range(4)]
    assert masks[3][rows, cols].all()  # the star's light, after their PRF
    assert rows.size > 9
    # On the same cadences, relative to the median of each.
    kept = np.isin(np.round(curve.time + 2457000 - 2454833, 3), np.round(tables[0]["T"], 3)) & curve.good
    assert kept.sum() > 1000

    def scatter(flux: NDArray[np.float64]) -> float:
        return float(point_to_point_scatter(flux[None])[0] / np.median(flux))

    ours = scatter(curve.mask_flux[kept].astype(np.float64))
    assert ours < 0.8 * min(scatter(table["FRAW"].astype(np.float64)) for table in tables)


def test_the_own_masks_of_cluster_stars_are_sums_of_their_pixels(reduce: Reduce, shared_data: Path) -> None:
    folder = shared_data / "tess_ic2391_s8_c3_ccd4"
    survey, summary = reduce(
        [str(folder / "TPF*_S8C8.fits.gz")],
        str(folder / "cluster_targets_tic.ecsv"),
        "targets mag_limit = 17.0\nextract k2p2 = true\nextract halo = true",
    )
    assert not summary.troubled
    assert "halo" not in survey.light_curves(columns=["best"])["best"].to_pylist()
    checked, quieter = 0, 0
    for path in sorted((survey.path / "RED").rglob("*.arrow")):
        block = read_block(path)
        assert block.masks is not None
        source = folder / f"{path.name.removesuffix('.arrow')}.fits.gz"
        geometry = instrument("tess").scan(str(source)).geometry
        flux = fits.getdata(source, 1)["FLUX"].astype(np.float64)
        for s in range(block.rows.size):
            col, row = block.masks.of(s)
            lost = np.isnan(block.planes["mask_flux"][s])
            assert (lost | (block.planes["flag"][s] & NO_MASK == 0)).all()
            if col.size == 0:
                assert lost.all()
                continue
            sums = flux[:, row - geometry.row0, col - geometry.col0].sum(axis=1)
            redone = sums - col.size * block.planes["background"][s].astype(np.float64)
            good = ~lost & (block.moments.quality == 0)
            np.testing.assert_allclose(block.planes["mask_flux"][s, good], redone[good], rtol=2e-6, atol=0.02)
            noise = [
                point_to_point_scatter(block.planes[f"{name}_flux"][s, good][None])[0]
                / np.median(block.planes[f"{name}_flux"][s, good])
                for name in ("mask", "aperture3")
            ]
            checked, quieter = checked + 1, quieter + bool(noise[0] < noise[1])
            assert (block.planes["flag"][s] & NO_HALO).all()  # none of them saturates
    assert checked >= 18
    assert quieter > 0.7 * checked


@pytest.mark.parametrize("form", ["npy", "fits"])
def test_a_mask_from_a_file_sums_its_pixels_and_nothing_else(
    reduce: Reduce, shared_data: Path, tmp_path: Path, form: str
) -> None:
    """D3: K2SFF's FRAW is the sum over its mask less as many medians of the pixels outside CIRC_APER3."""
    folder = shared_data / "k2_221312395"
    with fits.open(next(folder.glob("ktwo*"))) as tpf, fits.open(next(folder.glob("hlsp*"))) as k2sff:
        pixels, circles = tpf[1].data["FLUX"].astype(np.float64), k2sff["CIRC_APER_TBL"].data != 0
        cadence, table = tpf[1].data["CADENCENO"], k2sff["CIRC_APER4"].data
    mask = tmp_path / f"mask.{form}"
    if form == "npy":
        np.save(mask, circles[4])
    else:
        fits.PrimaryHDU(circles[4].astype(np.uint8)).writeto(mask)
    survey, summary = reduce(
        [str(folder / "ktwo*_lpd-targ.fits.gz")],
        ["221312395,267.75039,-29.336657,13.728"],
        f'extract mask = "{mask}"\nextract radii = [2.5]',
        "kepler",
    )
    assert not summary.troubled
    curve = survey.light_curve(221312395)
    assert np.isnan(curve.observations[0]["crowding"])
    assert not (curve.flag & EDGE).any()
    assert (curve.background[np.isfinite(curve.background)] == 0).all()
    np.testing.assert_array_equal(curve.flux, curve.aperture1_flux)
    background = np.nanmedian(pixels[:, ~circles[3]], axis=1)
    ours = dict(zip(curve.cadence.tolist(), curve.flux.astype(np.float64), strict=True))
    at = np.searchsorted(cadence, table["CADENCENO"])
    total = np.array([ours[int(number)] for number in table["CADENCENO"]])
    raw = total - circles[4].sum() * background[at]
    truth = table["FRAW"] * np.median(raw) / np.median(table["FRAW"])
    np.testing.assert_allclose(raw, truth, rtol=0, atol=2.0**-23 * total.max())
    assert survey.stamp(curve).radii == ()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("shape", "words"), [((11, 10), "a mask of 10 x 11 pixels .* but that has 11 x 10"), (None, "there is no file")]
)
def test_a_mask_that_does_not_fit_or_is_not_there_is_named(
    reduce: Reduce, shared_data: Path, tmp_path: Path, shape: tuple[int, int] | None, words: str
) -> None:
    mask = tmp_path / "mask.npy"
    if shape is not None:
        np.save(mask, np.ones(shape, bool))
    with pytest.raises(ConfigError, match=words):
        reduce(
            [str(shared_data / "k2_221312395" / "ktwo*_lpd-targ.fits.gz")],
            ["221312395,267.75039,-29.336657,13.728"],
            f'extract mask = "{mask}"',
            "kepler",
        )
