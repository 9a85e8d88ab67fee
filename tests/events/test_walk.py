"""The walk of the FUV detector: the constant against the mission's own correction, and raw rows against the mission's image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from tests.events.survey_of_photons import survey_of

from cuvee.events.exposure import bin_exposure
from cuvee.events.params import EventParams
from cuvee.events.screen import EventList
from cuvee.events.sums import row_values
from cuvee.instruments import cos
from cuvee.provenance import explain_target, format_target
from cuvee.simulate.cos import simulate_cos

HEIGHTS = np.arange(2, 24)
NEAR = 12.0
"""Rows around the middle of the light that are looked at."""


def by_height(values: NDArray[np.float64], height: NDArray[np.int64], cell: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what each pulse height adds to the values of a cell, which have a mean of their own: least squares, by turns."""
    _, cell = np.unique(cell, return_inverse=True)
    added = np.zeros(height.max() + 1)
    for _ in range(200):
        mean = np.bincount(cell, values - added[height]) / np.bincount(cell)
        added = np.bincount(height, values - mean[cell], added.size) / np.maximum(np.bincount(height), 1)
    return np.asarray(added)


def test_the_walk_is_what_the_mission_takes_out(shared_data: Path) -> None:
    events = fits.getdata(shared_data / "hst_cos_gj436" / "ld9m10ujq_corrtag_a.fits.gz")
    x, y, height = (events[name].astype(np.int64) for name in ("RAWX", "RAWY", "PHA"))
    on = (x > 1100) & (x < 15200) & (y > 290) & (y < 740) & np.isin(height, HEIGHTS)
    # What else is taken out of rows is the same for neighbours, whatever their pulses.
    taken = (events["RAWY"] - events["YCORR"]).astype(np.float64)[on]
    found = by_height(taken, height[on], x[on] // 64 * 1000 + y[on] // 8)[HEIGHTS]
    slope, zero = np.polyfit(HEIGHTS, found, 1)
    assert slope == pytest.approx(cos.WALK, abs=1e-3)
    np.testing.assert_allclose(found, zero + slope * HEIGHTS, atol=0.06)  # a straight line


def middle_and_width(row: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[float, float]:
    middle = float(row[counts.argmax()]) if np.unique(row).size == row.size else float(np.median(row))
    for _ in range(50):
        near = np.abs(row - middle) <= NEAR
        middle = float(np.average(row[near], weights=counts[near]))
    return middle, float(np.sqrt(np.average((row[near] - middle) ** 2, weights=counts[near])))


def test_raw_rows_without_the_walk_are_narrower_and_nearer_to_the_mission_s(shared_data: Path) -> None:
    folder = (
        shared_data / "hst_cos_swiftj1357"
    )  # another year, another place on the detector than what the constant is from
    path = folder / "ldfd01vpq_rawtag_a.fits.gz"
    exposure, start = cos.read_exposure(str(path))
    assert exposure.table.walk == cos.WALK
    raw = fits.getdata(path, 1)
    row = np.concatenate([row_values(rows, exposure.table, "y") for rows in cos.chunks(exposure, start)])
    x, y, height = (raw[name].astype(np.int64) for name in ("RAWX", "RAWY", "PHA"))
    image, header = fits.getdata(folder / "ldfd01vpq_counts_a.fits.gz", header=True)
    shift = round(header["SHIFT1A"])
    kept = np.isin(height, HEIGHTS) & (np.abs(y - 455) < 40)
    for column in range(2000, 9000, 1000):  # where there are thousands of events
        here = kept & (x >= column) & (x < column + 512)
        with_walk = middle_and_width(y[here].astype(np.float64), np.ones(np.count_nonzero(here)))
        without = middle_and_width(row[here], np.ones(np.count_nonzero(here)))
        lit = image[400:520, column + shift : column + shift + 512].sum(axis=1).astype(np.float64)
        mission = middle_and_width(np.arange(400.0, 520.0), lit)
        assert without[1] < with_walk[1] - 0.05
        assert abs(without[0] - mission[0]) < abs(with_walk[0] - mission[0]) - 4.0
        assert abs(without[0] - mission[0]) < cos.RAW_SHIFT


def raw_list(corrtag: Path, path: Path) -> Path:
    """Write the raw list that a calibrated one was made from."""
    with fits.open(corrtag) as file:
        rows = file["EVENTS"].data
        columns = [
            fits.Column(name, form, array=rows[name])
            for name, form in (("TIME", "1E"), ("RAWX", "1I"), ("RAWY", "1I"), ("PHA", "1B"))
        ]
        header = file["EVENTS"].header.copy(strip=True)
        for card in [card for card in header if card.startswith(("SP_", "B_", "PHA"))]:
            del header[card]
        events = fits.BinTableHDU.from_columns(columns, header, name="EVENTS")
        fits.HDUList([file[0], events, *file[2:]]).writeto(path)
    return path


def test_faint_and_bright_pulses_of_a_raw_list_come_from_the_same_rows(tmp_path: Path) -> None:
    simulate_cos(tmp_path / "s", events=60_000, exposures=1, seconds=600.0)
    corrtag = next((tmp_path / "s" / "RAW").glob("*_corrtag_a.fits"))
    path = raw_list(corrtag, tmp_path / corrtag.name.replace("corrtag", "rawtag"))
    exposure, start = cos.read_exposure(str(path))
    _, spectra = cos.read_spectra(str(next((tmp_path / "s" / "RAW").glob("*_x1d.fits"))))
    rows, weights = [], []
    for wanted in (range(2, 7), range(7, 24)):

        def chunks(wanted: range = wanted) -> Iterator[NDArray[np.uint8]]:
            for piece in cos.chunks(exposure, start):
                yield piece[np.isin(row_values(piece, exposure.table, "pulse_height"), wanted)]

        one = EventList(exposure, chunks, cos.traces(exposure, spectra))
        points = bin_exposure([one], EventParams(step=20.0), cos.SERIOUS, n_row=1024).points
        rows.append(float(np.average(points["centroid_row"], weights=points["gross"])))
        weights.append(float(points["gross"].sum()))
    assert min(weights) > 3000.0
    # A row's error: light and rounding spread over less than four rows.
    assert rows[0] == pytest.approx(rows[1], abs=5.0 * 4.0 * np.hypot(*(1.0 / np.sqrt(weights))))


def test_explain_says_that_it_is_taken_out(shared_data: Path, tmp_path: Path) -> None:
    path = next((shared_data / "hst_cos_swiftj1357").glob("*_rawtag_a.fits.gz"))
    (tmp_path / path.name).write_bytes(path.read_bytes())
    words = format_target(explain_target(survey_of("cos", tmp_path), "SWIFTJ1357.2-0933"))
    assert "the detector's walk is out of its rows, 0.4697 a unit of pulse height" in words
