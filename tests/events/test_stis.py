"""STIS time-tag lists against the mission's way of extracting them, and against the truth that they were drawn from."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from tests.events.stis_files import (
    ECHELLE,
    ORDERS,
    PLAIN,
    change_x1d,
    cut_into,
    dark_counts,
    opened,
    read_x1d,
    save,
    varying,
    write,
)
from tests.events.survey_of_photons import bad_files, reduce, survey_of

from cuvee.errors import BadData
from cuvee.events.curve import bin_edges
from cuvee.events.exposure import PhotonCurve, bin_exposure
from cuvee.events.params import EventParams
from cuvee.events.regions import Screen
from cuvee.events.screen import EventList
from cuvee.events.sums import Sums, add_up, add_up_traces
from cuvee.instruments import stis
from cuvee.model import flags
from cuvee.simulate.stis_events import START, Scene
from cuvee.simulate.stis_settings import LOW

BANDS = {"blue": (1150.0, 1205.0), "middle": (1230.0, 1290.0), "red": (1400.0, 1650.0)}


def binned(
    folder: Path,
    bands: dict[str, tuple[float, float]] = {},  # noqa: B006
    airglow: Literal["windows", "night", "keep"] = "windows",
) -> PhotonCurve:
    tag, x1d = (next(iter(folder.glob(f"*_{kind}.fits")), None) for kind in ("tag", "x1d"))
    assert tag is not None
    exposure, start = stis.read_exposure(str(tag))
    spectra = stis.read_spectra(str(x1d))[1] if x1d else {}
    one = EventList(exposure, partial(stis.chunks, exposure, start), stis.traces(exposure, spectra))
    return bin_exposure([one], EventParams(step=10.0, bands=bands, airglow=airglow), 0, stis.N_COL)


def by_column(sums: Sums) -> NDArray[np.float64]:
    return np.asarray(np.atleast_2d(sums.spectrum)[0], np.float64)


def mean(curve: PhotonCurve, name: str) -> float:
    some = curve.points["exposure"] > 0.0
    return float(
        np.average(curve.points[name][some].astype(float), weights=curve.points["exposure"][some].astype(float))
    )


def integral(row: np.void, low: float, high: float) -> float:
    wavelength, flux = np.asarray(row["WAVELENGTH"]), np.asarray(row["FLUX"])
    inside = (wavelength >= low) & (wavelength < high)
    return float((flux * np.gradient(wavelength))[inside].sum())


@pytest.fixture(scope="module")
def first_order(tmp_path_factory: pytest.TempPathFactory) -> tuple[PhotonCurve, NDArray[np.void], Scene]:
    tag = write(tmp_path_factory.mktemp("first"))
    return binned(tag.parent, bands=BANDS, airglow="keep"), read_x1d(tag), PLAIN


@pytest.fixture(scope="module")
def echelle(tmp_path_factory: pytest.TempPathFactory) -> tuple[PhotonCurve, NDArray[np.void], Scene]:
    tag = write(tmp_path_factory.mktemp("echelle"), ORDERS)
    return binned(tag.parent), read_x1d(tag), ORDERS


@pytest.mark.parametrize("band", sorted(BANDS))
def test_the_flux_of_a_band_is_the_integral_of_the_mission_s_spectrum(
    first_order: tuple[PhotonCurve, NDArray[np.void], Scene], band: str
) -> None:
    curve, spectra, scene = first_order
    found = mean(curve, f"{band}_flux")
    # Regions end between whole rows of the events here, and cut pixels there; a band's ends lie within a column.
    assert found == pytest.approx(integral(spectra[0], *BANDS[band]), rel=5e-3)
    low, high = BANDS[band]
    assert found == pytest.approx(scene.scale * (high - low), rel=0.03)  # some thousand events


def test_events_fall_into_the_mission_s_columns(
    first_order: tuple[PhotonCurve, NDArray[np.void], Scene],
) -> None:
    curve, spectra, scene = first_order
    ours = by_column(curve.sums["ORDER1"]).reshape(LOW, 2).sum(axis=1)
    theirs = np.asarray(spectra[0]["GROSS"]) * scene.seconds + dark_counts(scene, 11.0)
    # Not the same rows to a fraction of one, so not each event; but one column off would be far worse.
    assert np.abs(ours - theirs).mean() < 0.15 * np.abs(np.roll(ours, 1) - theirs).mean()
    assert ours.sum() == pytest.approx(theirs.sum(), rel=2e-3)


def test_a_line_in_one_pixel_of_the_spectrum_has_its_wavelength(tmp_path: Path) -> None:
    path, pixel = write(tmp_path, replace(PLAIN, dark=0.0)), 300  # of the spectrum, from 1; rows stay
    units = opened(path)
    units[1].data["AXIS1"] = np.where(np.arange(len(units[1].data)) % 2, 2 * pixel - 1, 2 * pixel)
    save(path, units)
    curve = binned(tmp_path, airglow="keep")
    counted = np.flatnonzero(by_column(curve.sums["ORDER1"]))
    assert counted.tolist() == [2 * pixel - 2, 2 * pixel - 1]
    wavelength = curve.traces["ORDER1"].wavelength[counted]
    assert wavelength.mean() == pytest.approx(read_x1d(path)[0]["WAVELENGTH"][pixel - 1], abs=1e-9)


def test_rows_of_the_region_are_the_pixels_of_the_spectrum_s_region(
    first_order: tuple[PhotonCurve, NDArray[np.void], Scene],
) -> None:
    curve, _, scene = first_order
    trace, order = curve.traces["ORDER1"], scene.setting.orders[0]
    column = 2 * 512  # the first of the two that pixel 513 has
    middle = order.row + order.tilt * (513 - 512.5)
    # Pixel p holds the events' rows 2 p - 1 and 2 p, counted from 1: its edges are 2 p - 1.5 and 2 p + 0.5.
    low = 2.0 * (middle - 5.5) + 0.5 - 1.0 - 0.5  # lower edge as a row from 0, at its lower edge
    assert trace.low[column] == pytest.approx(low + 0.5, abs=0.51)
    assert (trace.high - trace.low + 1.0 == 22.0).all()
    assert (trace.behind[:, 1] - trace.behind[:, 0] + 1.0 == 10.0).all()


def test_good_time_is_that_of_the_intervals(first_order: tuple[PhotonCurve, NDArray[np.void], Scene]) -> None:
    curve, _, scene = first_order
    assert curve.points["exposure"].sum() == pytest.approx(scene.seconds)
    gap = (curve.points["flag"] & flags.NO_EXPOSURE) > 0
    assert gap.sum() == 10
    assert np.isnan(curve.points["flux"][gap]).all()
    assert not (curve.points["flag"] & flags.NO_CALIBRATION).any()


def test_an_echelle_s_wavelengths_are_measured_once(
    echelle: tuple[PhotonCurve, NDArray[np.void], Scene],
) -> None:
    curve, spectra, scene = echelle
    assert len(curve.traces) == 40
    low, high = ECHELLE.orders[0].wavelength[0], ECHELLE.orders[-1].wavelength[-1]
    truth = scene.scale * (high - low)
    assert mean(curve, "flux") == pytest.approx(truth, rel=0.01)
    assert sum(integral(row, 0.0, 1e5) for row in spectra) > 1.3 * truth  # the orders overlap


def test_an_echelle_s_orders_are_the_mission_s(echelle: tuple[PhotonCurve, NDArray[np.void], Scene]) -> None:
    curve, spectra, scene = echelle
    for row in spectra:
        name = f"ORDER{row['SPORDER']}"
        kept = curve.sums[name].kept
        theirs = np.repeat((row["GROSS"] * scene.seconds + dark_counts(scene, 7.0)) / 2.0, 2)[kept].sum()
        assert by_column(curve.sums[name]).sum() == pytest.approx(theirs, abs=4.0 + 0.02 * float(theirs)), name
        used = np.repeat(row["FLUX"] * np.gradient(row["WAVELENGTH"]) / 2.0, 2)[kept].sum()
        assert mean(curve, f"{name.lower()}_flux") == pytest.approx(used, rel=0.02), name


def test_errors_are_right_where_each_order_has_an_event_or_none(tmp_path: Path) -> None:
    write(tmp_path, replace(ORDERS, scale=9e-16, dark=4.0, gti=((0.0, 4000.0),)))
    points = binned(tmp_path).points
    assert 20.0 < points["gross"].mean() < 120.0  # of 40 orders
    assert points["flux_err"].mean() == pytest.approx(points["flux"].std(), rel=0.12)  # 400 bins tell it to 4 %
    assert points["net_err"].mean() == pytest.approx(points["net"].std(), rel=0.12)


def test_orders_that_are_counted_together_are_what_each_is_alone(
    echelle: tuple[PhotonCurve, NDArray[np.void], Scene], tmp_path: Path
) -> None:
    path = write(tmp_path, replace(ORDERS, scale=2e-14, gti=((0.0, 100.0), (150.0, 300.0))))
    units = opened(path)
    units["GTI"].data["STOP"][0] = 90.0  # some events lie outside
    save(path, units)
    exposure, start = stis.read_exposure(str(path))
    traces = list(echelle[0].traces.values())
    screen = Screen(exposure.gti, 0, (-np.inf, np.inf), (), (1700.0, 2300.0))
    columns, edges = [(0, 2047)], bin_edges(exposure.gti, 5.0)
    together = add_up_traces(
        stis.chunks(exposure, start), exposure.table, traces, [screen] * 40, [columns] * 40, edges, stis.N_COL
    )
    for k in (0, 1, 20, 39):
        alone = add_up(stis.chunks(exposure, start), exposure.table, traces[k], screen, columns, edges, stis.N_COL)
        assert alone.reasons == together[k].reasons
        assert alone.reasons["gti"] > 0
        assert alone.reasons["outside"] > 0
        np.testing.assert_array_equal(alone.bins[:, 0], together[k].bins[:, 0])
        # Other rows begin a block of the loop, and so other events are added up first: rounding, nothing else.
        np.testing.assert_allclose(alone.bins, together[k].bins, rtol=1e-13)
        np.testing.assert_array_equal(alone.behind, together[k].behind)
        np.testing.assert_array_equal(alone.spectrum, together[k].spectrum)


def test_the_light_of_one_order_is_in_no_other(tmp_path: Path) -> None:
    only, folder = replace(ECHELLE, orders=tuple(one for one in ECHELLE.orders if one.number == 107)), tmp_path / "one"
    folder.mkdir()
    write(tmp_path, replace(ORDERS, dark=0.0))
    write(folder, replace(ORDERS, dark=0.0, setting=only)).replace(tmp_path / "osim01010_tag.fits")
    curve = binned(tmp_path)
    counts = {name: int(by_column(sums).sum()) for name, sums in curve.sums.items()}
    assert counts.pop("ORDER107") > 5000
    assert sum(counts.values()) == 0


def test_without_a_spectrum_all_of_the_detector_is_counted_and_nothing_has_a_flux(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "osim01010_x1d.fits").unlink()
    curve = binned(tmp_path)
    assert np.nansum(curve.points["gross"]) == fits.getheader(path, "EVENTS")["NAXIS2"]
    assert np.isnan(curve.points["flux"]).all()
    assert (curve.points["flag"] & flags.NO_CALIBRATION > 0).all()


def test_a_spectrum_of_another_exposure_is_not_used(tmp_path: Path) -> None:
    write(tmp_path)
    fits.setval(tmp_path / "osim01010_x1d.fits", "EXPTIME", value=700.0, extname="SCI")
    assert (binned(tmp_path).points["flag"] & flags.NO_CALIBRATION > 0).all()


def test_repeated_exposures_are_one(tmp_path: Path) -> None:
    one, three = tmp_path / "one", tmp_path / "three"
    for folder in (one, three):
        folder.mkdir()
        write(folder)
    cut_into(three / "osim01010_tag.fits", 3)
    whole, cut = binned(one), binned(three)
    for name, values in whole.points.items():
        np.testing.assert_array_equal(cut.points[name], values, err_msg=name)


def test_time_counts_from_the_start_of_the_first_exposure(tmp_path: Path) -> None:
    path = write(tmp_path, replace(PLAIN, cards={"TEXPSTRT": START + 0.5}))
    exposure, _ = stis.read_exposure(str(path))
    assert exposure.mjd == START + 0.5
    assert exposure.table.scale[0].tolist() == [0.000125, 0.0]
    assert exposure.scale == "utc"


def test_the_list_is_read_once_for_all_orders(
    echelle: tuple[PhotonCurve, NDArray[np.void], Scene], tmp_path: Path
) -> None:
    write(tmp_path, echelle[2])
    exposure, start = stis.read_exposure(str(tmp_path / "osim01010_tag.fits"))
    traces = stis.traces(exposure, stis.read_spectra(str(tmp_path / "osim01010_x1d.fits"))[1])
    readings = []

    def chunks() -> object:
        readings.append(time.monotonic())
        return stis.chunks(exposure, start)

    bin_exposure([EventList(exposure, chunks, traces)], EventParams(), 0, stis.N_COL)  # type: ignore[arg-type]
    assert len(readings) == 1


def test_the_period_is_found_the_whole_way(tmp_path: Path) -> None:
    write(tmp_path, varying(PLAIN, 131.0, 0.3))
    survey = survey_of("stis", tmp_path)
    facts, _ = survey.exposure("osim01010")
    period, _, chance = facts["peaks"]["short"]
    assert period == pytest.approx(131.0, abs=131.0**2 / 1500.0 / 2.0)
    assert chance < 1e-3
    curve = survey.light_curve("SIMULATED-1")
    assert np.isfinite(curve.points["flux"]).sum() > 500
    constant = tmp_path / "constant"
    constant.mkdir()
    write(constant, seed=6)
    assert survey_of("stis", constant).exposure("osim01010")[0]["statistics"]["constant"] > 0.01


def test_an_echelle_goes_the_whole_way(tmp_path: Path) -> None:
    write(tmp_path, ORDERS)
    survey = survey_of("stis", tmp_path)
    facts, arrays = survey.exposure("osim01010")
    assert len(facts["segments"]) == 40
    assert arrays[f"{facts['segments'][0]}.image"].sum() > 0


def test_what_the_configuration_asks_in_vain_is_forgotten_with_it(tmp_path: Path) -> None:
    write(tmp_path)
    assert [one.reason for one in reduce("stis", tmp_path, 'airglow = "night"').bad.values()] == ["no-timeline"]
    config = tmp_path / "w" / "cuvee.toml"
    config.write_text(config.read_text().replace('airglow = "night"', "step = 1e-5"))
    assert [one.reason for one in reduce("stis", tmp_path).bad.values()] == ["too-long"]
    config.write_text(config.read_text().replace("step = 1e-5", "step = 5.0"))
    assert not reduce("stis", tmp_path).bad
    assert survey_of("stis", tmp_path, run=False).light_curve("SIMULATED-1").points["time"].size == 300


def broken(folder: Path, name: str, change: object) -> None:
    path = write(folder, replace(PLAIN, rootname=name))
    path.with_name(f"{name}_x1d.fits").unlink()
    units = opened(path)
    change(units)  # type: ignore[operator]
    save(path, units)


def test_bad_files_are_set_aside_by_name_and_the_others_go_on(tmp_path: Path) -> None:
    write(tmp_path)

    def empty(units: fits.HDUList) -> None:
        units[1].data = units[1].data[:0]

    def no_gti(units: fits.HDUList) -> None:
        del units["GTI"]

    def elsewhere(units: fits.HDUList) -> None:
        units["GTI"].data["START"] += 1e6
        units["GTI"].data["STOP"] += 1e6

    def endless(units: fits.HDUList) -> None:
        units["GTI"].data["STOP"] = 1e30

    def backwards(units: fits.HDUList) -> None:
        units[1].data["TIME"] = units[1].data["TIME"][::-1].copy()

    def together(units: fits.HDUList) -> None:
        units[1].data["TIME"] = 24000

    def accum(units: fits.HDUList) -> None:
        units[0].header["OBSMODE"] = "ACCUM"
        del units["EVENTS"]

    def interrupted(units: fits.HDUList) -> None:
        units[1].header["EXPFLAG"] = "INTERRUPT"

    def other(units: fits.HDUList) -> None:
        units[0].header["INSTRUME"] = "COS"

    def no_column(units: fits.HDUList) -> None:
        units[1].columns.change_name("AXIS1", "AXIS9")

    expected = {
        "oa": (empty, "no-events"), "ob": (no_gti, "no-gti"), "oc": (elsewhere, "no-gti"), "od": (endless, "too-long"),
        "oe": (backwards, "non-linear-time"), "of": (together, "singular-event"), "og": (accum, "not-time-tag"),
        "oh": (interrupted, "bad-expflag"), "oi": (other, "header"), "oj": (no_column, "wrong-shape"),
    }  # fmt: skip
    for name, (change, _) in expected.items():
        broken(tmp_path, name, change)
    whole = (tmp_path / "osim01010_tag.fits").read_bytes()
    (tmp_path / "ok_tag.fits").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "ol_tag.fits").write_bytes(b"<html><body>404</body></html>" * 200)
    (tmp_path / "om_x1d.fits").write_bytes(whole)
    reasons = {name: reason for name, (_, reason) in expected.items()}
    reasons |= {"ok": "truncated", "ol": "not-fits", "om": "wrong-shape"}
    found = bad_files("stis", tmp_path)
    assert {name.partition("_")[0]: reason for name, (reason, _) in found.items()} == reasons
    for name, (_, message) in found.items():
        assert name in message
        assert "\n" not in message
    survey = survey_of("stis", tmp_path, run=False)
    assert survey.exposure("osim01010")[0]["calibrated"]


def test_a_spectrum_without_its_columns_says_which(tmp_path: Path) -> None:
    write(tmp_path)
    change_x1d(tmp_path / "osim01010_tag.fits", EXTRLOCY=None)
    with pytest.raises(BadData, match="EXTRLOCY"):
        stis.read_spectra(str(tmp_path / "osim01010_x1d.fits"))


def test_a_spectrum_with_a_region_of_no_height_is_not_used(tmp_path: Path) -> None:
    path = write(tmp_path)
    for height in (np.nan, 0.0, 1e30):
        change_x1d(path, EXTRSIZE=height)
        with pytest.raises(BadData, match="pixels high in order 1"):
            stis.read_spectra(str(tmp_path / "osim01010_x1d.fits"))


def test_a_spectrum_of_absurd_rates_is_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, replace(PLAIN, scale=2e-15))
    rates = read_x1d(path)["NET"].copy()
    rates[0, 700] = -3e37
    change_x1d(path, NET=rates)
    summary = reduce("stis", tmp_path)
    assert [(Path(path).name, one.reason) for path, one in summary.bad.items()] == [("osim01010_x1d.fits", "damaged")]
    points = survey_of("stis", tmp_path, run=False).light_curve("SIMULATED-1").points
    assert (points["flag"] & flags.NO_CALIBRATION > 0).all()  # what is left without it
